//! Temporary bans: who was refused too often is refused for a while.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{Key, Table};
use crate::scenario::lab::Ban;

/// Whom a limit has banned, and whom it is about to.
#[derive(Debug, Default)]
pub(super) struct Bans {
    records: Table<Record>,
}

#[derive(Debug, Default)]
struct Record {
    /// Refusals that may lead to a ban, oldest first.
    strikes: VecDeque<Instant>,
    /// End of the last ban.
    until: Option<Instant>,
}

impl Bans {
    /// Whether a ban of this caller holds now.
    pub(super) fn hold(&mut self, now: Instant, subject: &Key) -> bool {
        self.records.get(subject).is_some_and(|record| record.holds(now))
    }

    /// The caller was refused by the limit.
    pub(super) fn strike(&mut self, now: Instant, subject: Key, ban: &Ban) {
        let record = self.records.entry(subject, |record| !record.holds(now) && record.is_forgiven(now, ban.within));
        record.strikes.push_back(now);
        while record.strikes.front().is_some_and(|at| *at + ban.within <= now) {
            record.strikes.pop_front();
        }
        if record.strikes.len() >= ban.after as usize {
            record.strikes.clear();
            record.until = Some(now + ban.length);
        }
    }
}

impl Record {
    fn holds(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until > now)
    }

    fn is_forgiven(&self, now: Instant, within: Duration) -> bool {
        self.strikes.back().is_none_or(|at| *at + within <= now)
    }
}
