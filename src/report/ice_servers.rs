//! What was wrong with the STUN and TURN servers of a run. A call may do well without them and still wait for them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::headline::thousands;

/// Faults that are told apart. What servers say is part of them, so their number has no other bound.
const TOLD_APART: usize = 20;
/// What the others are counted as.
const OTHERS: &str = "other faults of STUN and TURN servers";

/// Legs by what was wrong with STUN and TURN servers for them: the text of `ice_server_fault` in their records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IceServers(BTreeMap<String, u64>);

impl IceServers {
    /// Counts a leg; `None` is one for which nothing was wrong.
    pub fn note(&mut self, fault: Option<&str>) {
        let Some(fault) = fault else { return };
        if let Some(count) = self.0.get_mut(fault) {
            *count += 1;
            return;
        }
        let name = if self.0.len() < TOLD_APART { fault } else { OTHERS };
        *self.0.entry(name.to_owned()).or_default() += 1;
    }

    /// A line for each fault, the most frequent first.
    pub fn lines(&self) -> Vec<String> {
        let mut faults: Vec<(&str, u64)> = self.0.iter().map(|(fault, count)| (fault.as_str(), *count)).collect();
        faults.sort_by_key(|(fault, count)| (std::cmp::Reverse(*count), *fault));
        let line = |(fault, count): (&str, u64)| match count {
            1 => format!("{fault} (1 call leg)"),
            _ => format!("{fault} ({} call legs)", thousands(count)),
        };
        faults.into_iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_silent_is_told_with_how_many_legs_waited_for_it() {
        let mut servers = IceServers::default();
        assert!(servers.lines().is_empty());
        for fault in [Some("stun:b refused: 401"), None, Some("turn:a did not answer"), Some("turn:a did not answer")] {
            servers.note(fault);
        }
        assert_eq!(servers.lines(), ["turn:a did not answer (2 call legs)", "stun:b refused: 401 (1 call leg)"]);
        let value = serde_json::to_value(&servers).expect("serialises");
        assert_eq!(value, serde_json::json!({ "stun:b refused: 401": 1, "turn:a did not answer": 2 }));
    }

    #[test]
    fn texts_without_end_are_counted_together() {
        let mut servers = IceServers::default();
        (0..100).for_each(|n| servers.note(Some(&format!("stun:a refused: {n}"))));
        assert_eq!(servers.lines().len(), TOLD_APART + 1);
        assert_eq!(servers.lines()[0], format!("{OTHERS} (80 call legs)"));
    }
}
