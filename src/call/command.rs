//! Attempts that start on command, where a calendar and not a load says when.

use std::sync::Arc;
use std::time::Instant;

use rustc_hash::FxHashSet;

use super::accounts::Pick;
use super::callers::{Callers, Opening, spacing_of};
use super::report::NotBegun;
use super::start::share_of;
use crate::pace::Schedule;
use crate::record::Anchor;
use crate::scenario::plan::Plan;

/// An attempt that was asked for and has not started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Commanded {
    n: u64,
    intended: Instant,
    account: Option<usize>,
}

impl Callers {
    /// Starts an attempt of a plan that waits for commands: of this account of its first actor's pool, or the next; its
    /// records are dated by `anchor`, as the wall clock may have been set since the last. Gives its index, from 1. Where
    /// standing registrations are still asked for, it waits for them.
    pub fn command(&mut self, now: Instant, intended: Instant, account: Option<usize>, anchor: Anchor) -> u64 {
        let n = self.starts.on_demand() + 1;
        self.config.anchor = anchor;
        self.commands.push_back(Commanded { n, intended, account });
        if !self.preparing {
            self.next_start = Some(now);
        }
        n
    }

    /// Another plan from now on, whose agents are registered as those of the plan before
    /// ([`Plan::registers_as`]): their registrations stay, and attempts that
    /// are under way end as they began.
    pub fn revise(&mut self, plan: Arc<Plan>) {
        self.seats.spacing = spacing_of(&plan, self.config.share);
        self.reference_expected = plan.expects_reference();
        self.permitted.iter_mut().for_each(FxHashSet::clear);
        self.config.plan = plan;
    }

    /// No command will come any more: the station is done once what was asked for has ended.
    pub fn finish(&mut self, now: Instant) {
        self.leaving = true;
        if self.commands.is_empty() {
            (self.preparing, self.over) = (false, true);
            self.next_start = Some(now);
        }
    }

    pub(super) fn waits_for_commands(&self) -> bool {
        matches!(self.config.plan.load.schedule, Schedule::OnCommand { .. })
    }

    /// Starts what was asked for.
    pub(super) fn start_commanded(&mut self, now: Instant) {
        self.next_start = None;
        while let Some(Commanded { n, intended, account }) = self.commands.pop_front() {
            let paused = self.back_off.holds_attempts(now, &self.config.plan, n);
            let ceiling = share_of(self.config.plan.safety.max_concurrent.into(), self.config.share);
            if self.over || self.progress.in_progress >= ceiling {
                self.drop_start(n - 1, NotBegun::Late);
            } else if paused.is_some_and(|until| until > now) {
                self.drop_start(n - 1, NotBegun::HeldBack);
            } else {
                let pick = account.map_or(Pick::Next, Pick::Only);
                let place = self.open_place(&Opening { n, intended, pick, control: false });
                self.begin_legs(now, place);
            }
        }
        self.over |= self.leaving;
    }
}
