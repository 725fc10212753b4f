//! The end of an attempt: what it showed goes out, whole or as figures.

use std::sync::Arc;
use std::time::Instant;

use super::callers::{Callers, owner_of};
use super::leg::{Leg, LegRef, Phase};
use super::marks::{Whose, role_of};
use super::report::{Counted, Finished, Report};
use crate::media;
use crate::record::{CallRecord, MediaSecond, Outcome, RegistrationRecord, Role};
use crate::scenario::plan::{Expectation, ExpectationKind, Plan};

/// Which legs are told whole.
#[derive(Debug)]
pub(super) struct Sample {
    every: u64,
    successes: u64,
    refused: bool,
}

impl Sample {
    pub(super) fn new(every: u64) -> Self {
        Self { every: every.max(1), successes: 0, refused: false }
    }

    fn wants(&mut self, outcome: &Outcome, expected: &[Expectation]) -> bool {
        if outcome.is_failed() {
            return true;
        }
        let due = self.successes.is_multiple_of(self.every);
        self.successes += 1;
        let refuses = |expectation: &Expectation| matches!(&expectation.kind, ExpectationKind::Each(each) if each.concerns(outcome) && !each.holds(outcome));
        // The report names the first.
        let first = !self.refused && expected.iter().any(refuses);
        self.refused |= first;
        due || first
    }
}

impl Callers {
    pub(super) fn end_attempt_if_over(&mut self, now: Instant, index: u32) {
        let place = &mut self.places[index as usize];
        if place.n == 0 || place.legs.iter().any(|leg| leg.phase != Phase::Done) {
            return;
        }
        let n = std::mem::take(&mut place.n);
        let mut legs = std::mem::take(&mut place.legs);
        let held = std::mem::take(&mut place.accounts_held);
        let first = usize::from(place.first);
        let plan = std::mem::replace(&mut place.plan, Arc::clone(&self.config.plan));
        for ((pool, standing), account) in self.pools.iter().zip(&mut self.standing).skip(first).zip(held) {
            match (standing, pool, account) {
                (Some(standing), _, Some(account)) => standing.give_back(account as usize),
                (None, Some(pool), Some(account)) => self.accounts[*pool].release(account as usize),
                _ => {}
            }
        }
        self.free.push(index);
        self.progress.in_progress -= 1;
        self.progress.finished += 1;
        if let Some(limit) = &mut self.limit {
            limit.note_end(n, &mut legs);
        }
        self.report(&plan, (n, first as u8), legs);
        if !self.over {
            // Not from here: an attempt that fails at once would begin the next one, and so on without end.
            self.next_start = Some(now);
        }
    }

    /// Reports the seconds that have passed on streams that are watched; to be called while their legs still stand.
    pub(super) fn tell_seconds(&mut self) {
        while let Some((me, event)) = self.streams.poll_event() {
            if let (media::Event::Second(second), Some(leg)) = (event, self.leg(me)) {
                let at = self.config.anchor.timestamp_of(second.end);
                let identity = self.whose_at(me, leg).identity(leg.marks.clone());
                let second = MediaSecond { identity, at, second };
                self.reports.push_back(Report::Second(Box::new(second)));
            }
        }
    }

    pub(super) fn report(&mut self, plan: &Plan, (n, first): (u64, u8), mut legs: Vec<Leg>) {
        self.share_facts(plan, (n, first), &mut legs);
        let intended = legs.iter().filter_map(|leg| leg.facts.moments.intended).min();
        let warm_up = intended.is_some_and(|at| self.starts.warms_up(at));
        let is_caller = |actor: usize| role_of(&plan.actors[actor]).0 == Role::Caller;
        let primary = (0..legs.len()).position(|index| is_caller(usize::from(first) + index)).unwrap_or(0);
        for (index, leg) in legs.into_iter().enumerate() {
            let actor = first + index as u8;
            let (owner, primary) = (owner_of(n, actor), index == primary);
            let role = role_of(&plan.actors[usize::from(actor)]).0;
            let outcome = Outcome {
                warm_up,
                unmet: leg.unmet.is_some(),
                as_expected: leg.as_expected,
                ..Outcome::of(role, &leg.facts, leg.figures.as_deref())
            };
            if !self.sample.wants(&outcome, &plan.expect) {
                let ice_server_fault = leg.facts.peer.and_then(|peer| peer.servers);
                self.counted.push(Counted { outcome, ice_server_fault, primary, owner });
                continue;
            }
            let identity = self.whose(plan, (n, actor), &leg).identity(leg.marks);
            let figures = leg.figures.map(|it| *it).unwrap_or_default();
            let mut record = CallRecord::new(identity, &leg.facts, figures, &outcome, &self.config.anchor);
            record.unmet = leg.unmet;
            let registration = RegistrationRecord::of(&record, &leg.facts);
            let answered = self.hops.any_answered();
            let finished = Finished { record, registration, primary, beside: false, owner, answered };
            self.reports.push_back(Report::Finished(Box::new(finished)));
        }
    }

    /// Whose a leg is that stands at its place.
    pub(super) fn whose_at<'a>(&'a self, me: LegRef, leg: &Leg) -> Whose<'a> {
        let place = &self.places[me.place as usize];
        self.whose(&place.plan, (place.n, me.actor), leg)
    }

    /// Whose a leg of a plan is: of this attempt and actor.
    fn whose<'a>(&'a self, plan: &'a Plan, (n, actor): (u64, u8), leg: &Leg) -> Whose<'a> {
        let actor = usize::from(actor);
        let account = leg.account().zip(self.pools[actor]).map(|(index, pool)| self.accounts[pool].get(index));
        Whose { config: &self.config, plan, n, actor, account }
    }

    /// Legs of one attempt know of each other: which record is the other end, and whether an INVITE reached it.
    fn share_facts(&self, plan: &Plan, (n, first): (u64, u8), legs: &mut [Leg]) {
        let role = |index: &usize| role_of(&plan.actors[usize::from(first) + index]).0;
        let caller = (0..legs.len()).find(|index| role(index) == Role::Caller);
        let callees = || (0..legs.len()).filter(|index| role(index) == Role::Callee);
        // Of several devices of an account one is called.
        let rang = callees().find(|index| legs[*index].facts.moments.invite.is_some());
        let callee = rang.or_else(|| callees().next());
        let (Some(caller), Some(callee)) = (caller, callee) else { return };
        let invited = legs[callee].facts.moments.invite.is_some();
        if legs[caller].facts.moments.invite.is_some() {
            legs[caller].facts.far_leg_invited = Some(invited);
            legs[callee].facts.far_leg_invited = Some(invited);
        }
        if invited {
            let call_id = |index: usize| self.whose(plan, (n, first + index as u8), &legs[index]).call_id();
            let (caller_id, callee_id) = (call_id(caller), call_id(callee));
            legs[caller].marks.paired_with = Some(callee_id.into());
            legs[callee].marks.paired_with = Some(caller_id.into());
        }
    }
}
