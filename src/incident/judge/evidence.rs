//! What the judge remembers of results: the last failures with what had passed before each, and the last results of all.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::values::{Ids, NONE};
use crate::incident::family::{Family, STAGES, Stage, Symptom};
use crate::incident::labels::{LABELS, Label};

/// A failed result.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Failure {
    /// When it came, ms.
    pub(super) at: u64,
    pub(super) stamp: Timestamp,
    pub(super) family: Family,
    pub(super) symptom: Symptom,
    pub(super) ids: Ids,
    /// Results that had passed the family's stage on each of its labels before: how many passed since is a difference.
    pub(super) passed: [u64; LABELS],
    /// How likely it was without any fault.
    pub(super) background: f64,
    /// It was a repetition.
    pub(super) again: bool,
    /// An incident explains it: it is no background.
    pub(super) explained: bool,
    /// The incident that explains it is over.
    pub(super) done: bool,
    pub(super) code: Option<u16>,
    pub(super) unit: Option<String>,
    pub(super) call_id: String,
    pub(super) sip_call_id: Option<String>,
}

impl Failure {
    pub(super) fn on(&self, label: Label, id: u32) -> bool {
        self.ids[label.index()] == id
    }

    /// Who failed; an account stands for an agent without a name.
    pub(super) fn agent(&self) -> u32 {
        agent_of(&self.ids)
    }
}

/// Who called: the agent, else the account.
pub(super) fn agent_of(ids: &Ids) -> u32 {
    let [agent, account] = [Label::Agent, Label::Account].map(|label| ids[label.index()]);
    if agent == NONE { account } else { agent }
}

/// Any result, as short as can be.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Seen {
    pub(super) at: u64,
    pub(super) ids: Ids,
    /// A bit for each stage that it passed.
    passed: u8,
    /// A bit for each family that it failed of.
    failed: u16,
}

impl Seen {
    pub(super) fn new(at: u64, ids: Ids, passed: [bool; STAGES], failed: impl Iterator<Item = Family>) -> Self {
        let bits = passed.iter().enumerate().map(|(stage, passed)| u8::from(*passed) << stage).sum();
        Self { at, ids, passed: bits, failed: failed.fold(0, |bits, family| bits | 1 << family.index()) }
    }

    pub(super) fn passed(&self, stage: Stage) -> bool {
        self.passed & 1 << stage as u8 != 0
    }

    pub(super) fn failed(&self, family: Family) -> bool {
        self.failed & 1 << family.index() != 0
    }
}

/// The last results.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Log {
    pub(super) failures: VecDeque<Failure>,
    pub(super) seen: VecDeque<Seen>,
    /// Failures that were ever put in: the number of the next one.
    pub(super) count: u64,
}

impl Log {
    /// The number of the first failure that is still held.
    pub(super) fn first(&self) -> u64 {
        self.count - self.failures.len() as u64
    }

    /// Results since a moment, the newest first.
    pub(super) fn seen_since(&self, since: u64) -> impl Iterator<Item = &Seen> {
        self.seen.iter().rev().take_while(move |seen| seen.at >= since)
    }
}
