//! An incident as it stands, for whoever shows, stores or sends it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::family::{Severity, Symptom};
use super::labels::Scope;
use crate::record::Finding;

/// What has happened to an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It is new; or it has come back soon after it was closed, and keeps its id.
    Opened,
    /// It reaches further than it seemed.
    Widened,
    /// It reaches less far than it seemed, or its scope is known now.
    Narrowed,
    /// It has become a worse one.
    Worsened,
    /// It shows itself in another class, no worse than before.
    Reclassified,
    /// It is part of another incident and is over under its own id ([`Incident::merged_into`]).
    Merged,
    /// It is new, and was seen as part of another one before ([`Incident::split_from`]).
    Split,
    /// Its calls pass again.
    Closed,
}

impl Change {
    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Widened => "widened",
            Self::Narrowed => "narrowed",
            Self::Worsened => "worsened",
            Self::Reclassified => "reclassified",
            Self::Merged => "merged",
            Self::Split => "split",
            Self::Closed => "closed",
        }
    }
}

/// A value of a label, as the place of a fault.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// Of which kind.
    pub scope: Scope,
    /// Which one.
    pub value: String,
}

/// Why a scope is undetermined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undecided {
    /// Nothing else was tested in the window.
    NoControl,
    /// The same calls carry each of the candidates.
    SameCalls,
    /// The results so far fit several candidates about as well.
    TooClose,
}

/// One call of an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Our id.
    pub call_id: String,
    /// SIP Call-ID.
    pub sip_call_id: Option<String>,
    /// When it ended.
    pub at: Timestamp,
}

/// An incident as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Stable for its life, over a restart, and when it comes back soon after it was closed.
    pub id: String,
    /// How far it reaches.
    pub scope: Scope,
    /// Which trunk, which agent …; of an undetermined one its candidates, joined by ` or `.
    pub value: String,
    /// Where it may lie, when the scope is undetermined; else empty.
    pub candidates: Vec<Place>,
    /// Why the scope is undetermined.
    pub undecided: Option<Undecided>,
    /// What most of its failed calls showed; where several families fail, in the worst of them.
    pub symptom: Symptom,
    /// What the calls show together.
    pub finding: Option<Finding>,
    /// How bad it is.
    pub severity: Severity,
    /// Whether it hits at least `max(2, 30 %)` of the agents tested: never one alone.
    pub widespread: bool,
    /// The unit of every agent that is hit; `None` where they are of several.
    pub unit: Option<String>,
    /// The end of its first failed call.
    pub since: Timestamp,
    /// When it was opened, by the stamp of the result that showed it.
    pub opened_at: Timestamp,
    /// The stamp of the last result that changed it.
    pub updated_at: Timestamp,
    /// When its calls had passed long enough.
    pub closed_at: Option<Timestamp>,
    /// Calls that failed of it.
    pub failures: u64,
    /// Calls that were tested on it since it began.
    pub tested: u64,
    /// Distinct agents that failed in the window.
    pub agents_failing: u32,
    /// Distinct agents that were tested in the window.
    pub agents_tested: u32,
    /// Whether a repetition failed as well; `None` where none was made.
    pub reproduced: Option<bool>,
    /// The probability that this is its scope, 0–1 (`docs/judge.md`).
    pub confidence: f64,
    /// Final SIP codes that were received, and how often.
    pub codes: Vec<(u16, u64)>,
    /// Symptoms and how often, the most frequent first.
    pub symptoms: Vec<(Symptom, u64)>,
    /// The values that all its failed calls share, as `trunk=cht`.
    pub shared: Vec<String>,
    /// The first failed call.
    pub first_call: Call,
    /// The last failed call.
    pub last_call: Call,
    /// How often it came back after it was closed.
    pub reopened: u32,
    /// The incident that it is part of.
    pub merged_into: Option<String>,
    /// The incident that it was seen as part of.
    pub split_from: Option<String>,
}

/// Distinct codes that an incident counts.
pub(super) const MOST_CODES: usize = 16;

impl Incident {
    /// SIP codes in words, with how many of the failed calls had none: `503 (10×), none (2×)`. Empty without failures.
    pub fn codes_in_words(&self) -> String {
        let mut words: Vec<String> = self.codes.iter().map(|(code, times)| format!("{code} ({times}×)")).collect();
        let counted: u64 = self.codes.iter().map(|(_, times)| times).sum();
        let others = self.failures.saturating_sub(counted);
        if others > 0 {
            let which = if self.codes.len() < MOST_CODES { "none" } else { "others or none" };
            words.push(format!("{which} ({others}×)"));
        }
        words.join(", ")
    }

    /// Its place in words: `trunk cht`, `undetermined (trunk a or gateway b)`.
    pub fn place(&self) -> String {
        match self.scope {
            Scope::Undetermined => {
                let candidates = self.candidates.iter().map(|place| format!("{} {}", place.scope, place.value));
                format!("undetermined ({})", candidates.collect::<Vec<_>>().join(" or "))
            }
            scope => format!("{scope} {}", self.value),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::incident::{Incident, sample_incident};

    #[test]
    fn failed_calls_that_had_no_code_are_counted_beside_those_that_had_one() {
        let of = |failures, codes| Incident { failures, codes, ..sample_incident() }.codes_in_words();
        assert_eq!(of(12, vec![(503, 10), (408, 2)]), "503 (10×), 408 (2×)");
        assert_eq!(of(19, vec![(200, 2)]), "200 (2×), none (17×)");
        assert_eq!(of(19, Vec::new()), "none (19×)");
        let many = (0..16).map(|n| (400 + n, 1)).collect();
        assert!(of(20, many).ends_with(", 415 (1×), others or none (4×)"));
    }
}
