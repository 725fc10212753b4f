//! What a run comes to.

use serde::{Deserialize, Serialize};

/// The verdict on a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Everything that was expected holds.
    Pass,
    /// An expectation or threshold failed.
    Fail,
    /// We fell behind: the result says nothing about the target.
    GeneratorLimited,
    /// No attempt could be made.
    NotStarted,
    /// The run was interrupted.
    Interrupted,
}

/// How a run ended, whatever it measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All attempts that were planned have ended.
    Complete,
    /// A signal ended it; every leg was hung up.
    Interrupted,
    /// There was no first attempt; the text says what was needed and what was there.
    NotStarted(String),
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 5] = [Self::Pass, Self::Fail, Self::GeneratorLimited, Self::NotStarted, Self::Interrupted];

    /// The verdict where several things hold: interrupted comes before not started, that before generator limited,
    /// that before a failed expectation. A figure measured by a limited generator proves nothing in either direction.
    pub fn decide(ending: &Ending, generator_limited: bool, all_hold: bool) -> Self {
        match ending {
            Ending::Interrupted => Self::Interrupted,
            Ending::NotStarted(_) => Self::NotStarted,
            Ending::Complete if generator_limited => Self::GeneratorLimited,
            Ending::Complete if !all_hold => Self::Fail,
            Ending::Complete => Self::Pass,
        }
    }

    /// The verdict as people read it.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::GeneratorLimited => "generator limited",
            Self::NotStarted => "not started",
            Self::Interrupted => "interrupted",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stronger_verdict_wins() {
        let not_started = Ending::NotStarted("port 5060 is in use".into());
        let table = [
            (Ending::Complete, false, true, Verdict::Pass),
            (Ending::Complete, false, false, Verdict::Fail),
            (Ending::Complete, true, false, Verdict::GeneratorLimited),
            (Ending::Complete, true, true, Verdict::GeneratorLimited),
            (not_started, false, false, Verdict::NotStarted),
            (Ending::Interrupted, true, false, Verdict::Interrupted),
        ];
        for (ending, limited, hold, verdict) in table {
            assert_eq!(Verdict::decide(&ending, limited, hold), verdict, "{ending:?} {limited} {hold}");
        }
    }
}
