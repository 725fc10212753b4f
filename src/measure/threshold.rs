//! The small grammar of `run:` expectations.
//!
//! ```text
//! threshold := figure op number [unit]
//! figure    := stat "of" name | "count" "(" what ")" | "rate" "(" what ")" | name
//! stat      := "p" "(" number ")" | "avg" | "min" | "max"          p(0) to p(100)
//! what      := class | group ".*" | code | "answered" | "failed" | "two_way"
//! op        := "<" | "<=" | ">" | ">=" | "==" | "!="
//! unit      := "%" | "ms" | "s"
//! ```
//!
//! A bound in `s` on milliseconds is 1000 times as many. Names with a distribution are those of [`Figure`]; names without are those of [`Total`].

mod parse;

pub use parse::ThresholdError;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::record::Class;

use super::figure::Figure;
use super::tally::Totals;
use super::total::Total;

/// A condition on the totals of a run, as `p(99) of srd_ms < 500`.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    measure: Measure,
    op: Op,
    /// In the unit of the measure.
    bound: f64,
    text: String,
}

#[derive(Clone, Debug, PartialEq)]
enum Measure {
    Statistic(Statistic, Figure),
    Total(Total),
    Count(What),
    Rate(What),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Statistic {
    Percentile(f64),
    Average,
    Least,
    Greatest,
}

/// What can be counted.
#[derive(Clone, Debug, PartialEq)]
enum What {
    Class(Class),
    /// Classes that begin with this, the dot included.
    Group(String),
    Code(u16),
    Answered,
    Failed,
    TwoWay,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
}

/// What a threshold came to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// What was measured; `None` fails with "not measured".
    pub actual: Option<f64>,
    /// Whether the condition holds.
    pub pass: bool,
}

impl Threshold {
    /// Compares the totals with the bound. What was not measured does not pass.
    pub fn evaluate(&self, totals: &Totals) -> Evaluation {
        let actual = self.measure.value(totals);
        Evaluation { actual, pass: actual.is_some_and(|actual| self.op.holds(actual, self.bound)) }
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Measure {
    fn value(&self, totals: &Totals) -> Option<f64> {
        let attempted = totals.tally.legs().attempted;
        // Nothing attempted is nothing measured: "no time-outs" must not pass on an empty run.
        let measured = |count: u64| (attempted > 0).then_some(count as f64);
        match self {
            Self::Statistic(statistic, figure) => statistic.of(*figure, totals),
            Self::Total(total) => total.of(totals),
            Self::Count(what) => measured(what.count(totals)),
            // Of the attempts: what was recorded beside them is no part of a whole.
            Self::Rate(what) => measured(what.attempts(totals)).map(|count| 100.0 * count / attempted as f64),
        }
    }
}

impl Statistic {
    fn of(self, figure: Figure, totals: &Totals) -> Option<f64> {
        let values = totals.tally.figure(figure);
        match self {
            Self::Percentile(percent) => values.percentile(percent),
            Self::Average => values.mean(),
            Self::Least => values.min(),
            Self::Greatest => values.max(),
        }
    }
}

impl What {
    fn count(&self, totals: &Totals) -> u64 {
        let beside = match self {
            Self::Class(class) => totals.beside_of(|it| it == *class),
            Self::Group(prefix) => totals.beside_of(|it| it.name().starts_with(prefix.as_str())),
            _ => 0,
        };
        self.attempts(totals) + beside
    }

    fn attempts(&self, totals: &Totals) -> u64 {
        let tally = &totals.tally;
        match self {
            Self::Class(class) => tally.count_of(*class),
            Self::Group(prefix) => {
                tally.classes().iter().filter(|(class, _)| class.name().starts_with(prefix)).map(|(_, n)| n).sum()
            }
            Self::Code(code) => tally.received(*code),
            Self::Answered => tally.legs().answered,
            Self::Failed => tally.legs().failed,
            Self::TwoWay => tally.two_way(),
        }
    }
}

impl Op {
    fn holds(self, actual: f64, bound: f64) -> bool {
        match self {
            Self::Less => actual < bound,
            Self::LessOrEqual => actual <= bound,
            Self::Greater => actual > bound,
            Self::GreaterOrEqual => actual >= bound,
            Self::Equal => actual == bound,
            Self::NotEqual => actual != bound,
        }
    }
}

#[cfg(test)]
mod tests;
