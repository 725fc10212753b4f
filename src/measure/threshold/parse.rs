//! Reading a threshold, with errors that say what to write instead.

use std::ops::Range;
use std::str::FromStr;

use crate::record::Class;

use super::{Figure, Measure, Op, Statistic, Threshold, Total, What};

/// Why a text is no threshold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ThresholdError {
    /// No comparison sign.
    #[error("there is no comparison in `{0}`: write it as in `asr >= 99%` or `p(99) of srd_ms < 500`")]
    NoComparison(String),
    /// A comparison sign that is none of the six.
    #[error("`{0}` is no comparison: use < <= > >= == or !=")]
    Comparison(String),
    /// A name that nothing is measured under.
    #[error("nothing is measured as `{name}`{}", nearest.as_ref().map_or_else(|| format!("; known are {known}"), |n| format!("; did you mean `{n}`?")))]
    UnknownName {
        /// As written.
        name: String,
        /// The nearest right word.
        nearest: Option<String>,
        /// All right words.
        known: String,
    },
    /// A distribution without a statistic, as in `srd_ms < 500`.
    #[error("`{0}` has many values: write p(99), avg, min or max of it, as in `p(99) of {0} < 500`")]
    NoStatistic(String),
    /// A statistic of a single number.
    #[error("`{0}` is a single number: leave `of` and what stands before it out")]
    SingleNumber(String),
    /// A statistic that does not exist.
    #[error("`{0}` is no statistic: use p(0) to p(100), avg, min or max")]
    Statistic(String),
    /// A bound that is no number.
    #[error("`{0}` is not a number")]
    Number(String),
    /// A unit that the figure is not measured in.
    #[error("`{name}` is not measured in `{unit}`{}", if expected.is_empty() { "; leave the unit out".to_owned() } else { format!("; use {expected}") })]
    Unit {
        /// The figure.
        name: String,
        /// The unit as written.
        unit: String,
        /// Units it has.
        expected: &'static str,
    },
}

impl ThresholdError {
    /// Where in the text the mistake stands, in bytes; the whole text where it is missing something.
    pub fn place(&self, text: &str) -> Range<usize> {
        let word = match self {
            Self::NoComparison(_) => "",
            Self::UnknownName { name: word, .. }
            | Self::Unit { unit: word, .. }
            | Self::Comparison(word)
            | Self::NoStatistic(word)
            | Self::SingleNumber(word)
            | Self::Statistic(word)
            | Self::Number(word) => word.as_str(),
        };
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        let whole = |from: &usize| {
            let (before, after) = (text[..*from].chars().next_back(), text[from + word.len()..].chars().next());
            let joined = |inner: Option<char>, outer: Option<char>| {
                inner.is_some_and(is_name) && outer.is_some_and(|c| c.is_alphabetic() || c == '_')
            };
            !joined(word.chars().next(), before) && !joined(word.chars().next_back(), after)
        };
        // A unit stands at the end, what else there is as near to the front as it can.
        let found = match self {
            Self::Unit { .. } => text.rfind(word),
            _ => text.match_indices(word).map(|(from, _)| from).find(whole),
        };
        match found.filter(|_| !word.is_empty()) {
            Some(from) => from..from + word.len(),
            None => 0..text.len(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Number,
    Percent,
    Millis,
    Seconds,
}

impl FromStr for Threshold {
    type Err = ThresholdError;

    fn from_str(text: &str) -> Result<Self, ThresholdError> {
        let text = text.trim();
        let is_sign = |c: char| matches!(c, '<' | '>' | '=' | '!');
        let start = text.find(is_sign).ok_or_else(|| ThresholdError::NoComparison(text.to_owned()))?;
        let end = start + text[start..].find(|c| !is_sign(c)).unwrap_or(text.len() - start);
        let measure: Measure = text[..start].trim().parse()?;
        let op = text[start..end].parse()?;
        let bound = measure.bound(text[end..].trim())?;
        Ok(Self { measure, op, bound, text: text.to_owned() })
    }
}

impl Measure {
    /// The bound in the unit of the measure.
    fn bound(&self, text: &str) -> Result<f64, ThresholdError> {
        let split = text.find(|c: char| c == '%' || c.is_alphabetic()).unwrap_or(text.len());
        let (number, unit) = (text[..split].trim(), text[split..].trim());
        let number: f64 = number.parse().map_err(|_| ThresholdError::Number(text.to_owned()))?;
        let scale = match (self.unit(), unit) {
            (_, "") | (Unit::Percent, "%") | (Unit::Millis, "ms") | (Unit::Seconds, "s") => 1.0,
            (Unit::Millis, "s") => 1000.0,
            (Unit::Seconds, "ms") => 0.001,
            (own, _) => {
                let (name, unit) = (self.name(), unit.to_owned());
                return Err(ThresholdError::Unit { name, unit, expected: own.spelling() });
            }
        };
        Ok(number * scale)
    }
    fn name(&self) -> String {
        match self {
            Self::Statistic(_, figure) => figure.name().to_owned(),
            Self::Total(total) => total.name().to_owned(),
            Self::Count(_) => "count(…)".to_owned(),
            Self::Rate(_) => "rate(…)".to_owned(),
        }
    }

    fn unit(&self) -> Unit {
        match self {
            Self::Statistic(_, Figure::LossPct) | Self::Rate(_) => Unit::Percent,
            Self::Statistic(_, figure) if figure.is_millis() => Unit::Millis,
            Self::Total(Total::AcdS) => Unit::Seconds,
            Self::Total(total) if total.is_percent() => Unit::Percent,
            _ => Unit::Number,
        }
    }
}

impl Unit {
    fn spelling(self) -> &'static str {
        match self {
            Self::Number => "",
            Self::Percent => "%",
            Self::Millis | Self::Seconds => "ms or s",
        }
    }
}

impl FromStr for Measure {
    type Err = ThresholdError;

    fn from_str(text: &str) -> Result<Self, ThresholdError> {
        if let Some((statistic, name)) = split_of(text) {
            let statistic = statistic.parse()?;
            return match figure(name) {
                Some(figure) => Ok(Self::Statistic(statistic, figure)),
                None if total(name).is_some() => Err(ThresholdError::SingleNumber(name.to_owned())),
                None => Err(unknown(name, Figure::ALL.map(Figure::name))),
            };
        }
        if let Some(what) = call(text, "count") {
            return Ok(Self::Count(what.parse()?));
        }
        if let Some(what) = call(text, "rate") {
            return Ok(Self::Rate(what.parse()?));
        }
        match total(text) {
            Some(total) => Ok(Self::Total(total)),
            None if figure(text).is_some() => Err(ThresholdError::NoStatistic(text.to_owned())),
            None => Err(unknown(text, Total::ALL.iter().map(|t| t.name()).chain(Figure::ALL.map(Figure::name)))),
        }
    }
}

fn split_of(text: &str) -> Option<(&str, &str)> {
    let (statistic, name) = text.split_once(" of ")?;
    Some((statistic.trim(), name.trim()))
}

/// The argument in `name(argument)`.
fn call<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    Some(text.strip_prefix(name)?.trim().strip_prefix('(')?.strip_suffix(')')?.trim())
}

fn figure(name: &str) -> Option<Figure> {
    Figure::ALL.into_iter().find(|figure| figure.name() == name)
}

fn total(name: &str) -> Option<Total> {
    Total::ALL.iter().copied().find(|total| total.name() == name)
}

fn unknown<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> ThresholdError {
    let known: Vec<&str> = known.into_iter().collect();
    let by_distance = |word: &&str| strsim::damerau_levenshtein(name, word);
    let near = |word: &&str| word.starts_with(name) || by_distance(word) <= 1 + name.chars().count() / 3;
    let nearest = known.iter().copied().filter(near).min_by_key(by_distance).map(str::to_owned);
    ThresholdError::UnknownName { name: name.to_owned(), nearest, known: known.join(", ") }
}

impl FromStr for Statistic {
    type Err = ThresholdError;

    fn from_str(text: &str) -> Result<Self, ThresholdError> {
        let error = || ThresholdError::Statistic(text.to_owned());
        match text {
            "avg" => Ok(Self::Average),
            "min" => Ok(Self::Least),
            "max" => Ok(Self::Greatest),
            _ => {
                let percent: f64 = call(text, "p").and_then(|number| number.parse().ok()).ok_or_else(error)?;
                (0.0..=100.0).contains(&percent).then_some(Self::Percentile(percent)).ok_or_else(error)
            }
        }
    }
}

impl FromStr for What {
    type Err = ThresholdError;

    fn from_str(text: &str) -> Result<Self, ThresholdError> {
        let in_group = |prefix: &str| Class::ALL.iter().any(|class| class.name().starts_with(prefix));
        match (text, text.strip_suffix('*'), text.parse::<u16>()) {
            ("answered", ..) => Ok(Self::Answered),
            ("failed", ..) => Ok(Self::Failed),
            ("two_way", ..) => Ok(Self::TwoWay),
            (_, Some(prefix), _) if prefix.ends_with('.') && in_group(prefix) => Ok(Self::Group(prefix.to_owned())),
            (.., Ok(code)) if (200..700).contains(&code) => Ok(Self::Code(code)),
            _ => text.parse().map(Self::Class).map_err(|_| {
                unknown(text, Class::ALL.iter().map(|class| class.name()).chain(["answered", "failed", "two_way"]))
            }),
        }
    }
}

impl FromStr for Op {
    type Err = ThresholdError;

    fn from_str(text: &str) -> Result<Self, ThresholdError> {
        Ok(match text {
            "<" => Self::Less,
            "<=" => Self::LessOrEqual,
            ">" => Self::Greater,
            ">=" => Self::GreaterOrEqual,
            "==" => Self::Equal,
            "!=" => Self::NotEqual,
            _ => return Err(ThresholdError::Comparison(text.to_owned())),
        })
    }
}
