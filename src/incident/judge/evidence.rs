//! What the judge remembers of results: the last failures with what had passed before each, and the last results of all.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::values::{Ids, NONE};
use crate::incident::family::{Family, STAGES, Symptom};
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
    /// Results on each of its labels that could have failed of the family before and did not: how many passed since is a
    /// difference.
    pub(super) passed: [u64; LABELS],
    /// How likely it was without any fault.
    pub(super) background: f64,
    /// How likely it was by what is usual: the part of the background that is no failure.
    pub(super) chance: f64,
    /// It was a repetition.
    pub(super) again: bool,
    /// The same agent had failed in the same way just before.
    pub(super) echo: bool,
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
    /// When it came, ms.
    pub(super) at: u64,
    /// When its call began, ms: a pass is evidence of that time.
    pub(super) began: u64,
    pub(super) ids: Ids,
    /// A bit for each stage that it passed.
    passed: u8,
    /// A bit for each family that it failed of.
    failed: u16,
}

impl Seen {
    pub(super) fn new(
        at: u64,
        began: u64,
        ids: Ids,
        passed: [bool; STAGES],
        families: impl Iterator<Item = Family>,
    ) -> Self {
        let bits = passed.iter().enumerate().fold(0, |bits, (stage, passed)| bits | u8::from(*passed) << stage);
        let seen = Self { at, began, ids, passed: bits, failed: 0 };
        families.fold(seen, |seen, family| Self { failed: seen.failed | 1 << family.index(), ..seen })
    }

    /// Whether it passed where it could have failed of a family. One that failed of another family there shows nothing of this.
    pub(super) fn passed(&self, family: Family) -> bool {
        self.passed & 1 << family.stage() as u8 != 0
    }

    /// Whether nothing was wrong with it.
    pub(super) fn is_well(&self) -> bool {
        self.failed == 0
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

    /// Results that came since a moment, the newest first.
    pub(super) fn seen_since(&self, since: u64) -> impl Iterator<Item = &Seen> {
        self.seen.iter().rev().take_while(move |seen| seen.at >= since)
    }

    /// Results of calls that began since a moment, the newest first.
    pub(super) fn begun_since(&self, since: u64) -> impl Iterator<Item = &Seen> {
        self.seen_since(since).filter(move |seen| seen.began >= since)
    }

    /// The longest time that a call took of those that ended since a moment, ms.
    pub(super) fn longest_since(&self, since: u64) -> u64 {
        self.seen_since(since).map(|seen| seen.at - seen.began).max().unwrap_or(0)
    }

    /// Takes a result for one from before the failures that came while its call was under way.
    pub(super) fn put_before_failures(&mut self, seen: &Seen) {
        let under_way = self.failures.iter_mut().rev().take_while(|failure| failure.at > seen.began);
        for failure in under_way.filter(|failure| seen.passed(failure.family)) {
            let labels = failure.ids.iter().zip(seen.ids).zip(&mut failure.passed);
            labels.filter(|((own, id), _)| **own == *id && *id != NONE).for_each(|(_, passed)| *passed += 1);
        }
    }
}
