//! What each answer leads to.

use std::time::Instant;

use super::{Doing, FIRST_CHECKPOINT, Freed, Next, Places, Purpose, STEADY, Then, Whose};
use crate::pace::search::verdict::Outcome;
use crate::pace::search::{Event, Of, Refusal, Try};
use crate::record::Finding;

impl Places {
    /// A try of the climb has its answer.
    pub(super) fn handle_pending(&mut self, now: Instant, number: Try, event: Event) {
        let Some(place) = self.pending.iter().position(|pending| *pending == number) else { return };
        self.pending.remove(place);
        match event {
            Event::Up if self.outcome.is_some() => self.release(number),
            Event::Up => {
                self.held.push(number);
                let count = self.held.len();
                let asks =
                    self.settings.of == Of::Registrations && count >= FIRST_CHECKPOINT && count.is_power_of_two();
                if asks && matches!(self.doing, Doing::Climbing { .. }) {
                    self.doing = Doing::Settling { refused: false };
                }
            }
            Event::Refused(refusal) if self.outcome.is_none() => {
                self.refused = Some(number);
                self.seen.note(number, refusal);
                self.doing = Doing::Settling { refused: true };
            }
            _ => {}
        }
        self.settle_pending(now);
    }

    pub(super) fn settle_pending(&mut self, now: Instant) {
        let Doing::Settling { refused } = self.doing else { return };
        if !self.pending.is_empty() {
            return;
        }
        if refused {
            self.begin_proof(now);
        } else if self.held.len() >= self.most() {
            self.confirm(now, Then::Full);
        } else {
            self.confirm(now, Then::Climb);
        }
    }

    pub(super) fn handle_up(&mut self, now: Instant, number: Try, purpose: Purpose) {
        match purpose {
            Purpose::Control | Purpose::LastControl => {
                self.seen.control = Some(true);
                self.release(number);
                if purpose == Purpose::Control {
                    self.ask_elsewhere(now);
                } else {
                    self.confirm(now, Then::Blocked);
                }
            }
            Purpose::Elsewhere => {
                self.seen.taken_elsewhere += 1;
                self.release(number);
                self.free(now, false);
            }
            Purpose::Retry(freed) => {
                self.held.push(number);
                self.seen.proof.push(number);
                self.seen.freed_after.push(now.saturating_duration_since(freed.at));
                match freed.whose {
                    Whose::Same => self.seen.taken_by_same += 1,
                    _ if self.settings.accounts == 1 => {}
                    Whose::Suspect(_) | Whose::Other | Whose::Another => self.seen.taken_by_other += 1,
                }
                match freed.whose {
                    // It is no worse than others.
                    Whose::Suspect(index) => drop(self.suspects.remove(index)),
                    _ => self.suspects.iter_mut().for_each(|(_, refused)| *refused += 1),
                }
                self.round += 1;
                if freed.last {
                    self.conclude_limit();
                } else {
                    self.seen.rounds += 1;
                    self.begin_round(now);
                }
            }
            Purpose::Extra if self.may_be_the_account() => {
                self.held.push(number);
                self.wait(now, self.settings.pauses[0], Purpose::Recheck);
            }
            Purpose::Extra => self.find_steady(now, number, 1, 0),
            Purpose::Again(rung) => self.find_steady(now, number, 1, rung),
            Purpose::Recheck => self.find_steady(now, number, 2, 0),
            Purpose::Steady { passed, rung } => self.find_steady(now, number, passed + 1, rung),
            Purpose::Neighbour(0) => {
                self.held.push(number);
                if let Some(refused) = self.refused.take() {
                    self.suspect(refused);
                }
                self.restarts -= 1;
                self.climb(now);
            }
            Purpose::Neighbour(rung) => self.find_steady(now, number, 2, rung),
            Purpose::Cleared => {
                self.held.push(number);
                self.conclude(Finding::CallRateLimited, None);
            }
            Purpose::Over => {
                self.held.push(number);
                self.suspects.iter().for_each(|(suspect, _)| self.seen.set_aside(*suspect));
                self.finish(Outcome::not_found(&self.settings, &self.seen));
            }
            Purpose::Evict(before) => {
                self.held.push(number);
                self.seen.proof.push(number);
                // The end of the other one may come a little later than the answer.
                let then = Next::Confirm(Then::Evicted(before));
                self.doing = Doing::Waiting { until: now + self.settings.pauses[0], then };
            }
        }
    }

    pub(super) fn handle_refusal(&mut self, now: Instant, number: Try, purpose: Purpose, refusal: Refusal) {
        match purpose {
            // Nobody answers: that is no refusal, and what is held may be gone as well.
            Purpose::Control if refusal.code.is_none() => self.begin_proof(now),
            Purpose::Control => {
                self.seen.control = Some(false);
                self.ask_elsewhere(now);
            }
            Purpose::Elsewhere => {
                self.seen.refused_elsewhere += 1;
                self.free(now, false);
            }
            Purpose::LastControl => {
                self.seen.control = Some(false);
                self.confirm(now, Then::Blocked);
            }
            Purpose::Extra => {
                self.seen.proof.push(number);
                self.refused = Some(number);
                self.seen.note(number, refusal);
                if self.settings.control && self.seen.control.is_none() {
                    self.begin_try_at(now, Purpose::Control);
                } else {
                    self.ask_elsewhere(now);
                }
            }
            Purpose::Retry(freed) => self.try_freed_again(now, freed),
            Purpose::Again(rung) => {
                self.refused = Some(number);
                if rung + 1 < self.settings.pauses.len() {
                    self.wait(now, self.settings.pauses[rung + 1], Purpose::Again(rung + 1));
                } else {
                    self.free(now, true);
                }
            }
            Purpose::Recheck => self.wait(now, self.settings.pauses[0], Purpose::Neighbour(0)),
            Purpose::Cleared => {
                if let Some(refused) = self.refused.take() {
                    self.suspect(refused);
                }
                self.restarts -= 1;
                self.climb(now);
            }
            Purpose::Neighbour(rung) if rung + 1 < self.settings.pauses.len() => {
                self.wait(now, self.settings.pauses[rung + 1], Purpose::Neighbour(rung + 1));
            }
            Purpose::Steady { passed, rung } if rung + 1 < self.settings.pauses.len() => {
                let then = Purpose::Steady { passed, rung: rung + 1 };
                self.wait(now, self.settings.pauses[rung + 1], then);
            }
            Purpose::Neighbour(_) | Purpose::Steady { .. } | Purpose::Over | Purpose::Evict(_) => {
                if let (Purpose::Neighbour(_), Some(refused)) = (purpose, self.refused) {
                    self.suspect(refused);
                }
                self.refused = Some(number);
                self.seen.note(number, refusal);
                self.begin_proof(now);
            }
        }
    }

    /// The place that was freed is not there yet, or not for this account.
    pub(super) fn try_freed_again(&mut self, now: Instant, freed: Freed) {
        let next = match freed.whose {
            Whose::Suspect(index) => Some(self.whose_turn(index + 1)),
            Whose::Other if self.settings.accounts > 1 => Some(Whose::Another),
            Whose::Another => Some(Whose::Same),
            Whose::Other | Whose::Same => None,
        };
        if let Some(whose) = next {
            self.begin_try_at(now, Purpose::Retry(Freed { whose, ..freed }));
        } else if let Some(pause) = self.settings.pauses.get(freed.turn).copied() {
            let then = Purpose::Retry(Freed { whose: Whose::Other, turn: freed.turn + 1, ..freed });
            self.wait(now, pause, then);
        } else if self.settings.control {
            self.begin_try_at(now, Purpose::LastControl);
        } else {
            self.confirm(now, Then::Blocked);
        }
    }

    /// One more was accepted although one was refused with no more up, and nothing was freed between.
    pub(super) fn find_steady(&mut self, now: Instant, number: Try, passed: u32, rung: usize) {
        self.held.push(number);
        let then = match passed >= STEADY {
            false => Purpose::Steady { passed, rung },
            // Accounts that are refused for themselves look like a rate as long as only others are tried after a pause.
            true if self.may_be_the_account() => Purpose::Cleared,
            true => return self.conclude(Finding::CallRateLimited, None),
        };
        self.wait(now, self.settings.pauses[rung], then);
    }

    /// Whether the refusal that the proof began with may be for its account alone.
    pub(super) fn may_be_the_account(&self) -> bool {
        self.refused.is_some() && self.settings.accounts > 1
    }

    pub(super) fn handle_end(&mut self, now: Instant, number: Try) {
        self.leaving.retain(|leaving| *leaving != number);
        if let Doing::Freeing { victim, last } = self.doing
            && victim == number
        {
            let freed = Freed { by: victim, at: now, turn: 0, whose: self.whose_turn(0), last };
            self.begin_try_at(now, Purpose::Retry(freed));
        }
    }

    pub(super) fn handle_loss(&mut self, now: Instant, number: Try) {
        if self.leaving.contains(&number) {
            return self.handle_end(now, number);
        }
        let before = self.held.len();
        self.held.retain(|held| *held != number);
        self.gone += before - self.held.len();
        match &mut self.doing {
            Doing::Confirming { waiting, .. } => waiting.retain(|waiting| *waiting != number),
            Doing::Climbing { .. } => self.doing = Doing::Settling { refused: false },
            _ => {}
        }
    }

    pub(super) fn handle_alive(&mut self, number: Try, alive: bool) {
        let Doing::Confirming { waiting, .. } = &mut self.doing else { return };
        let before = waiting.len();
        waiting.retain(|waiting| *waiting != number);
        if waiting.len() < before && !alive {
            self.held.retain(|held| *held != number);
            self.gone += 1;
            self.release(number);
        }
    }

    /// Goes on where all that was waited for has come.
    pub(super) fn settle(&mut self, now: Instant) {
        self.settle_pending(now);
        if let Doing::Confirming { waiting, then } = &self.doing
            && waiting.is_empty()
        {
            let then = *then;
            self.confirmed(now, then);
        }
        self.leave_if_empty();
    }
}
