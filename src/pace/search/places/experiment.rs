//! What is tried next, and the end.

use std::time::{Duration, Instant};

use super::{Doing, Freed, MOST_RESTARTS, MOST_SUSPECTS, Next, Places, Purpose, Then, Whose};
use crate::pace::search::verdict::Outcome;
use crate::pace::search::{Action, How, Of, Try, Who};
use crate::record::Finding;

impl Places {
    pub(super) fn climb(&mut self, now: Instant) {
        self.doing = if self.held.len() < self.most() {
            Doing::Climbing { next: (now + self.settings.step_every).max(self.seen.not_before(now)) }
        } else {
            Doing::Settling { refused: false }
        };
        self.settle_pending(now);
    }

    /// A refusal with `held` up is to be proved.
    pub(super) fn begin_proof(&mut self, now: Instant) {
        self.restarts += 1;
        if self.restarts > MOST_RESTARTS {
            // A limit on places would have held at last: here ever more were accepted, and never fewer.
            let at = &self.seen.refused_at;
            return match at.is_sorted() && at.first() < at.last() {
                true => self.conclude(Finding::CallRateLimited, None),
                false => self.conclude_limit(),
            };
        }
        self.round = 0;
        self.seen.begin_proof(self.held.len() as u64);
        self.begin_round(now);
    }

    pub(super) fn begin_round(&mut self, now: Instant) {
        if self.round < self.settings.prove {
            self.confirm(now, Then::Round);
        } else {
            self.wait(now, self.settings.pauses[0], Purpose::Again(0));
        }
    }

    pub(super) fn confirm(&mut self, now: Instant, then: Then) {
        let waiting = self.held.clone();
        self.actions.extend(waiting.iter().map(|number| Action::Confirm(*number)));
        self.doing = Doing::Confirming { waiting, then };
        if self.held.is_empty() {
            self.confirmed(now, then);
        }
    }

    pub(super) fn confirmed(&mut self, now: Instant, then: Then) {
        let lost = std::mem::take(&mut self.gone);
        if lost > 0 && self.held.is_empty() {
            return self.conclude(Finding::LineDown, None);
        }
        match then {
            Then::Evicted(before) if self.held.len() == before => {
                self.round += 1;
                self.seen.rounds = self.round;
                if self.round >= self.settings.prove {
                    return self.conclude(Finding::CallEvicted, Some(before as u64));
                }
                self.begin_try_at(now, Purpose::Evict(before));
            }
            // What is left was alive, and one more is refused all the same.
            Then::Blocked if lost > 0 => self.conclude(Finding::CallBlocked, None),
            _ if lost > 0 && self.seen.refusals.is_empty() => self.begin_eviction(now),
            _ if lost > 0 => self.lose(now),
            // It was no eviction: what went before went by itself.
            Then::Evicted(_) => self.lose(now),
            Then::Climb => self.climb(now),
            Then::Blocked => self.conclude(Finding::CallBlocked, None),
            Then::Full => self.begin_try_at(now, Purpose::Over),
            Then::Round if self.round == 0 => self.wait(now, self.settings.pauses[0], Purpose::Extra),
            Then::Round => self.begin_try_at(now, Purpose::Extra),
        }
    }

    /// Some of what was up is gone, and nothing was ever refused.
    pub(super) fn begin_eviction(&mut self, now: Instant) {
        self.restarts += 1;
        if self.restarts > MOST_RESTARTS {
            return self.conclude_limit();
        }
        (self.round, self.seen.rounds) = (0, 0);
        self.seen.evicted_at.push(self.held.len() as u64);
        self.begin_try_at(now, Purpose::Evict(self.held.len()));
    }

    /// Something went by itself: on with what is left.
    pub(super) fn lose(&mut self, now: Instant) {
        self.restarts += 1;
        if self.restarts > MOST_RESTARTS {
            return self.conclude_limit();
        }
        self.climb(now);
    }

    /// One more from another source address, where there is one; then a place is given back.
    pub(super) fn ask_elsewhere(&mut self, now: Instant) {
        if self.settings.sources > 1 {
            self.begin_try_at(now, Purpose::Elsewhere);
        } else {
            self.free(now, false);
        }
    }

    /// Gives one place back, if there is one.
    pub(super) fn free(&mut self, now: Instant, last: bool) {
        if self.held.is_empty() {
            return if last {
                self.conclude(Finding::LineDown, Some(0));
            } else {
                self.wait(now, self.settings.pauses[0], Purpose::Again(0));
            };
        }
        let victim = self.held.remove(0);
        self.release(victim);
        self.doing = Doing::Freeing { victim, last };
    }

    /// Tries after a pause.
    pub(super) fn wait(&mut self, now: Instant, pause: Duration, then: Purpose) {
        let until = (now + pause).max(self.seen.not_before(now));
        self.doing = Doing::Waiting { until, then: Next::Try(then) };
    }

    /// Tries as soon as the far side wants it.
    pub(super) fn begin_try_at(&mut self, now: Instant, purpose: Purpose) {
        match Some(self.seen.not_before(now)).filter(|at| *at > now) {
            Some(until) => self.doing = Doing::Waiting { until, then: Next::Try(purpose) },
            None => self.begin_try(purpose),
        }
    }

    pub(super) fn begin_try(&mut self, purpose: Purpose) {
        let who = match (purpose, self.refused) {
            (Purpose::Recheck | Purpose::Cleared, Some(refused)) => Who::Like(refused),
            (Purpose::Retry(Freed { whose: Whose::Same, by, .. }), _) => Who::Like(by),
            (Purpose::Retry(Freed { whose: Whose::Suspect(suspect), .. }), _) => Who::Like(self.suspects[suspect].0),
            // With registrations it is the one that was refused: that it is accepted shows that nothing is wrong with it.
            (Purpose::Retry(Freed { whose: Whose::Other, .. }), Some(refused))
                if self.settings.of == Of::Registrations =>
            {
                Who::Like(refused)
            }
            (Purpose::Retry(freed), _) => Who::Unlike(freed.by),
            (Purpose::Extra | Purpose::Again(_) | Purpose::Neighbour(_), Some(refused)) => Who::Unlike(refused),
            _ => Who::Next,
        };
        let how = match purpose {
            Purpose::Control | Purpose::LastControl => How::Control,
            Purpose::Elsewhere => How::Elsewhere,
            _ => How::Usual,
        };
        let number = self.start(who, how);
        self.doing = Doing::Trying { number, purpose };
    }

    pub(super) fn start(&mut self, who: Who, how: How) -> Try {
        self.last += 1;
        self.actions.push_back(Action::Start { number: self.last, who, how, due: None });
        self.last
    }

    /// The account of this try may be to blame, and no limit: it is not used again but to find that out.
    pub(super) fn suspect(&mut self, number: Try) {
        self.suspects.push((number, 0));
        self.actions.push_back(Action::SetAside(number));
    }

    /// Suspects first, as far as a place for each try is worth it.
    pub(super) fn whose_turn(&self, suspect: usize) -> Whose {
        if suspect < self.suspects.len().min(MOST_SUSPECTS) { Whose::Suspect(suspect) } else { Whose::Other }
    }

    pub(super) fn release(&mut self, number: Try) {
        self.leaving.push(number);
        self.actions.push_back(Action::Release(number));
    }

    /// Places to be held at most: for the one that goes beyond, an account must be left.
    pub(super) fn most(&self) -> usize {
        let usable = self.settings.accounts.saturating_sub(self.suspects.len() as u64 + 1);
        let own_each = self.settings.of == Of::Registrations;
        if own_each { self.settings.up_to.min(usable) as usize } else { self.settings.up_to as usize }
    }

    /// It is a limit on places: which one, what was seen tells.
    pub(super) fn conclude_limit(&mut self) {
        for (suspect, refused) in std::mem::take(&mut self.suspects) {
            if refused > self.settings.prove {
                self.seen.set_aside(suspect);
            }
        }
        let outcome = Outcome::limit(&self.settings, &self.seen, self.held.len() as u64);
        self.finish(outcome);
    }

    pub(super) fn conclude(&mut self, finding: Finding, measured: Option<u64>) {
        let outcome = Outcome::other(&self.settings, &self.seen, finding, measured);
        self.finish(outcome);
    }

    pub(super) fn finish(&mut self, outcome: Outcome) {
        let slowly = self.left_behind || outcome.finding == Some(Finding::RegRateLimited);
        self.outcome = Some(outcome);
        if slowly {
            return self.doing = Doing::Parting { next: self.now };
        }
        for number in std::mem::take(&mut self.held) {
            self.release(number);
        }
        self.doing = Doing::Leaving;
        self.leave_if_empty();
    }

    /// Lets go of the next one.
    pub(super) fn part(&mut self, now: Instant) {
        match self.held.pop() {
            Some(number) => {
                self.release(number);
                let next = (now + self.settings.pauses[0]).max(self.seen.not_before(now));
                self.doing = Doing::Parting { next };
            }
            None => {
                self.doing = Doing::Leaving;
                self.leave_if_empty();
            }
        }
    }

    pub(super) fn leave_if_empty(&mut self) {
        if matches!(self.doing, Doing::Leaving) && self.leaving.is_empty() && self.pending.is_empty() {
            self.doing = Doing::Done;
        }
    }
}
