//! The network grade: Huawei's table of loss, jitter and one-way delay, and *unusable* (ours) beyond its end.
//!
//! Every bound is a strict `<`, so exactly 0.1 % of loss is medium. The worst input decides. A grade is an
//! instrument of its own beside MOS: the two disagree on purpose.

use std::fmt;

/// How good the network is, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grade {
    /// Loss < 0.1 %, jitter < 10 ms and one-way delay < 40 ms.
    Good,
    /// Loss < 1 %, jitter < 20 ms and one-way delay < 100 ms.
    Medium,
    /// Loss < 5 %, jitter < 60 ms and one-way delay < 400 ms.
    Poor,
    /// An input at or above the bounds of poor.
    Unusable,
}

/// What decided a grade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum By {
    /// Packet loss.
    Loss,
    /// Interarrival jitter.
    Jitter,
    /// One-way delay, RTT / 2.
    Delay,
}

/// What a grade is made from; `None` is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Inputs {
    /// Packets lost, percent.
    pub loss_pct: Option<f64>,
    /// Jitter (RFC 3550 §6.4.1), ms.
    pub jitter_ms: Option<f64>,
    /// One-way delay, ms.
    pub one_way_ms: Option<f64>,
}

/// A grade and how it came about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graded {
    /// The grade; `None` where no input is known, or where those known are good and another is missing.
    pub grade: Option<Grade>,
    /// The input that made it worse than good, the first of loss, jitter and delay on a tie.
    pub by: Option<By>,
    /// Inputs that are not known.
    pub missing: Vec<By>,
}

const LOSS: [f64; 3] = [0.1, 1.0, 5.0];
const JITTER: [f64; 3] = [10.0, 20.0, 60.0];
const DELAY: [f64; 3] = [40.0, 100.0, 400.0];

impl Inputs {
    /// The grade of the inputs that are known.
    pub fn grade(&self) -> Graded {
        let mut graded = Graded::default();
        let mut worst: Option<(Grade, By)> = None;
        for (by, value, bounds) in self.rows() {
            match value.map(|value| of(value, bounds)) {
                None => graded.missing.push(by),
                Some(grade) if worst.is_none_or(|(so_far, _)| grade > so_far) => worst = Some((grade, by)),
                Some(_) => {}
            }
        }
        match worst {
            Some((Grade::Good, _)) if graded.missing.is_empty() => graded.grade = Some(Grade::Good),
            Some((Grade::Good, _)) | None => {}
            Some((grade, by)) => (graded.grade, graded.by) = (Some(grade), Some(by)),
        }
        graded
    }

    /// The worst grade that the known inputs show, [`Grade::Good`] included: what a single second is counted by.
    pub fn worst(&self) -> Option<Grade> {
        self.rows().into_iter().filter_map(|(_, value, bounds)| Some(of(value?, bounds))).max()
    }

    fn rows(&self) -> [(By, Option<f64>, [f64; 3]); 3] {
        [(By::Loss, self.loss_pct, LOSS), (By::Jitter, self.jitter_ms, JITTER), (By::Delay, self.one_way_ms, DELAY)]
    }
}

impl Graded {
    /// The missing inputs as `jitter,delay`; `None` where none is missing.
    pub fn missing_names(&self) -> Option<String> {
        let names: Vec<&str> = self.missing.iter().map(|by| by.name()).collect();
        (!names.is_empty()).then(|| names.join(","))
    }
}

fn of(value: f64, [good, medium, poor]: [f64; 3]) -> Grade {
    match value {
        value if value < good => Grade::Good,
        value if value < medium => Grade::Medium,
        value if value < poor => Grade::Poor,
        _ => Grade::Unusable,
    }
}

impl Grade {
    /// The name in records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Medium => "medium",
            Self::Poor => "poor",
            Self::Unusable => "unusable",
        }
    }
}

impl By {
    /// The name in records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Jitter => "jitter",
            Self::Delay => "delay",
        }
    }
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(loss: f64, jitter: f64, delay: f64) -> Inputs {
        Inputs { loss_pct: Some(loss), jitter_ms: Some(jitter), one_way_ms: Some(delay) }
    }

    #[test]
    fn every_bound_belongs_to_the_worse_grade() {
        for (edge, below, at) in [
            (inputs(0.1, 10.0, 40.0), Grade::Good, Grade::Medium),
            (inputs(1.0, 20.0, 100.0), Grade::Medium, Grade::Poor),
            (inputs(5.0, 60.0, 400.0), Grade::Poor, Grade::Unusable),
        ] {
            let good = inputs(0.0, 0.0, 0.0);
            for (one, by) in [
                (Inputs { loss_pct: edge.loss_pct, ..good }, By::Loss),
                (Inputs { jitter_ms: edge.jitter_ms, ..good }, By::Jitter),
                (Inputs { one_way_ms: edge.one_way_ms, ..good }, By::Delay),
            ] {
                assert_eq!(one.grade(), Graded { grade: Some(at), by: Some(by), missing: vec![] });
            }
            let just_below = edge.rows().map(|(_, value, _)| value.map(|value| value.next_down()));
            let [loss_pct, jitter_ms, one_way_ms] = just_below;
            assert_eq!(Inputs { loss_pct, jitter_ms, one_way_ms }.grade().grade, Some(below));
        }
    }

    #[test]
    fn the_worst_input_decides_and_is_named() {
        let graded = inputs(0.5, 30.0, 120.0).grade();
        assert_eq!((graded.grade, graded.by), (Some(Grade::Poor), Some(By::Jitter)));
        assert_eq!(inputs(0.0, 0.0, 0.0).grade().by, None);
    }

    #[test]
    fn good_is_unknown_while_an_input_is_missing_but_bad_is_bad() {
        let no_delay = Inputs { one_way_ms: None, ..inputs(0.0, 1.0, 0.0) };
        assert_eq!(no_delay.grade(), Graded { grade: None, by: None, missing: vec![By::Delay] });
        assert_eq!(no_delay.worst(), Some(Grade::Good));
        let lossy = Inputs { loss_pct: Some(2.0), ..no_delay };
        assert_eq!((lossy.grade().grade, lossy.grade().missing_names()), (Some(Grade::Poor), Some("delay".into())));
        let nothing = Inputs::default().grade();
        assert_eq!((nothing.grade, nothing.missing_names()), (None, Some("loss,jitter,delay".into())));
    }
}
