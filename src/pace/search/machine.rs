//! The machine: what it is doing, and what each answer leads to.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::verdict::{Outcome, Seen};
use super::{Action, Event, Of, Refusal, Settings, Try, Who};
use crate::record::Finding;

/// A pause that is enough this many times in a row, with one more up each time, shows a limit on the rate.
pub(super) const STEADY: u32 = 3;
/// Times that a search begins its proof anew before it says that the limit varies.
const MOST_RESTARTS: u32 = 8;
/// A Retry-After is kept up to here.
const LONGEST_WISH: Duration = Duration::from_secs(300);
/// Accounts that are given a freed place to try, to know whether they are refused whatever is free.
const MOST_SUSPECTS: usize = 4;
/// Fewest registrations up at which they are first asked for whether they still stand.
const FIRST_CHECKPOINT: usize = 4;

/// Searches one line.
#[derive(Debug)]
pub struct Search {
    settings: Settings,
    doing: Doing,
    actions: VecDeque<Action>,
    /// Number of the last try.
    last: Try,
    /// Up and held, the oldest first.
    held: Vec<Try>,
    /// Tries of the climb that have no answer yet.
    pending: Vec<Try>,
    /// Released, and not ended yet.
    leaving: Vec<Try>,
    /// Ended by themselves since the last confirmation.
    gone: usize,
    /// The far side wants nothing before.
    not_before: Option<Instant>,
    /// The refusal that the present proof began with.
    refused: Option<Try>,
    /// Tries that were refused while a neighbour was accepted, and how often each was refused a freed place that another
    /// took: it is the account, if that never fails.
    suspects: Vec<(Try, u32)>,
    round: u32,
    restarts: u32,
    seen: Seen,
    outcome: Option<Outcome>,
}

#[derive(Debug)]
enum Doing {
    /// One more try each `step_every`.
    Climbing {
        next: Instant,
    },
    /// Waits for the answers of tries that are under way.
    Settling {
        refused: bool,
    },
    /// Waits to be told who is alive.
    Confirming {
        waiting: Vec<Try>,
        then: Then,
    },
    /// Lets time pass.
    Waiting {
        until: Instant,
        then: Next,
    },
    /// Waits for the answer of one try.
    Trying {
        number: Try,
        purpose: Purpose,
    },
    /// Waits for the end of the try that gives its place back.
    Freeing {
        victim: Try,
        last: bool,
    },
    /// Waits for the end of everything.
    Leaving,
    Done,
}

/// What follows a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Try(Purpose),
    Confirm(Then),
}

/// What follows a confirmation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Climb,
    /// As many are up as may be.
    Full,
    Round,
    /// One more than this many was accepted.
    Evicted(usize),
}

/// What one try is to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// k + 1 is refused.
    Extra,
    /// The control passes.
    Control,
    /// The freed place is taken.
    Retry(Freed),
    /// With no freed place coming back: whether the control still passes.
    LastControl,
    /// k + 1 is refused after the n-th pause.
    Again(usize),
    /// The account that was refused is refused again.
    Recheck,
    /// While the next one is accepted, after the n-th pause.
    Neighbour(usize),
    /// The n-th pause is enough, so many times by now.
    Steady { passed: u32, rung: usize },
    /// One more than `up_to` is accepted.
    Over,
    /// One more is accepted, and another one goes; this many are up before.
    Evict(usize),
}

/// A place that was given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Freed {
    by: Try,
    at: Instant,
    /// Pauses since.
    turn: usize,
    /// Who tries to take it.
    whose: Whose,
    /// It is the one after the pauses.
    last: bool,
}

/// Whose turn it is to take a freed place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// The n-th account that may be refused whatever is free.
    Suspect(usize),
    Other,
    /// A second one: places of other people's calls come and go, and one refusal may be chance.
    Another,
    /// The one that gave it back.
    Same,
}

impl Search {
    /// A search that begins now.
    pub fn new(settings: Settings, now: Instant) -> Self {
        Self {
            settings,
            doing: Doing::Climbing { next: now },
            actions: VecDeque::new(),
            last: 0,
            held: Vec::new(),
            pending: Vec::new(),
            leaving: Vec::new(),
            gone: 0,
            not_before: None,
            refused: None,
            suspects: Vec::new(),
            round: 0,
            restarts: 0,
            seen: Seen::default(),
            outcome: None,
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.doing {
            Doing::Climbing { next } if next <= now => {
                let number = self.start(Who::Next, false);
                self.pending.push(number);
                self.doing = if self.held.len() + self.pending.len() < self.most() {
                    // From the moment that was due: a late turn does not slow the climb down.
                    let next = next.max(now.checked_sub(self.settings.step_every).unwrap_or(now));
                    Doing::Climbing { next: next + self.settings.step_every }
                } else {
                    Doing::Settling { refused: false }
                };
            }
            Doing::Waiting { until, then: Next::Try(purpose) } if until <= now => self.begin_try(purpose),
            Doing::Waiting { until, then: Next::Confirm(then) } if until <= now => {
                self.confirm(now, then);
                self.settle(now);
            }
            _ => {}
        }
    }

    /// What became of a try.
    pub fn handle_event(&mut self, now: Instant, number: Try, event: Event) {
        if let Event::Refused(refusal) = &event
            && let Some(wish) = refusal.retry_after
        {
            let wish = wish.min(LONGEST_WISH);
            self.seen.retry_after = self.seen.retry_after.max(Some(wish));
            self.not_before = self.not_before.max(Some(now + wish));
        }
        match event {
            Event::Ended => self.handle_end(now, number),
            Event::Gone => self.handle_loss(now, number),
            Event::Alive(alive) => self.handle_alive(number, alive),
            Event::OwnFault(text) => {
                self.pending.retain(|pending| *pending != number);
                if self.outcome.is_none() {
                    self.finish(Outcome::bounded(text));
                }
            }
            Event::Up | Event::Refused(_) => match self.doing {
                Doing::Trying { number: wanted, purpose } if wanted == number => match event {
                    Event::Refused(refusal) => self.handle_refusal(now, number, purpose, refusal),
                    _ => self.handle_up(now, number, purpose),
                },
                _ => self.handle_pending(now, number, event),
            },
        }
        self.settle(now);
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`Search::handle_timeout`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        match self.doing {
            Doing::Climbing { next } => Some(next),
            Doing::Waiting { until, .. } => Some(until),
            _ => None,
        }
    }

    /// What was found, as soon as that is known; what is up is let go then.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// Nothing is left to do.
    pub fn is_done(&self) -> bool {
        matches!(self.doing, Doing::Done)
    }

    /// The run is being stopped: nothing more is started, and what was not found stays unknown.
    pub fn stop(&mut self) {
        self.actions.clear();
        self.doing = Doing::Done;
    }

    /// What places are counted.
    pub fn settings_of(&self) -> Of {
        self.settings.of
    }

    /// Places held at this moment.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    // --- answers --------------------------------------------------------------------------------------------------

    /// A try of the climb has its answer.
    fn handle_pending(&mut self, now: Instant, number: Try, event: Event) {
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

    fn settle_pending(&mut self, now: Instant) {
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

    fn handle_up(&mut self, now: Instant, number: Try, purpose: Purpose) {
        match purpose {
            Purpose::Control | Purpose::LastControl => {
                self.seen.control = Some(true);
                self.release(number);
                if purpose == Purpose::Control {
                    self.free(now, false);
                } else {
                    self.conclude(Finding::CallBlocked, None);
                }
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

    fn handle_refusal(&mut self, now: Instant, number: Try, purpose: Purpose, refusal: Refusal) {
        match purpose {
            Purpose::Control => {
                self.seen.control = Some(false);
                self.free(now, false);
            }
            Purpose::LastControl => {
                self.seen.control = Some(false);
                self.conclude(Finding::CallBlocked, None);
            }
            Purpose::Extra => {
                self.seen.proof.push(number);
                self.refused = Some(number);
                self.seen.note(number, refusal);
                if self.settings.control && self.seen.control.is_none() {
                    self.begin_try_at(now, Purpose::Control);
                } else {
                    self.free(now, false);
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
    fn try_freed_again(&mut self, now: Instant, freed: Freed) {
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
            self.conclude(Finding::CallBlocked, None);
        }
    }

    /// One more was accepted although one was refused with no more up, and nothing was freed between.
    fn find_steady(&mut self, now: Instant, number: Try, passed: u32, rung: usize) {
        self.held.push(number);
        if passed >= STEADY {
            self.conclude(Finding::CallRateLimited, None);
        } else {
            self.wait(now, self.settings.pauses[rung], Purpose::Steady { passed, rung });
        }
    }

    /// Whether the refusal that the proof began with may be for its account alone.
    fn may_be_the_account(&self) -> bool {
        self.refused.is_some() && self.settings.accounts > 1
    }

    fn handle_end(&mut self, now: Instant, number: Try) {
        self.leaving.retain(|leaving| *leaving != number);
        if let Doing::Freeing { victim, last } = self.doing
            && victim == number
        {
            let freed = Freed { by: victim, at: now, turn: 0, whose: self.whose_turn(0), last };
            self.begin_try_at(now, Purpose::Retry(freed));
        }
    }

    fn handle_loss(&mut self, now: Instant, number: Try) {
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

    fn handle_alive(&mut self, number: Try, alive: bool) {
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
    fn settle(&mut self, now: Instant) {
        self.settle_pending(now);
        if let Doing::Confirming { waiting, then } = &self.doing
            && waiting.is_empty()
        {
            let then = *then;
            self.confirmed(now, then);
        }
        self.leave_if_empty();
    }

    // --- the experiment -------------------------------------------------------------------------------------------

    fn climb(&mut self, now: Instant) {
        self.doing = if self.held.len() < self.most() {
            Doing::Climbing { next: (now + self.settings.step_every).max(self.not_before.unwrap_or(now)) }
        } else {
            Doing::Settling { refused: false }
        };
        self.settle_pending(now);
    }

    /// A refusal with `held` up is to be proved.
    fn begin_proof(&mut self, now: Instant) {
        self.restarts += 1;
        if self.restarts > MOST_RESTARTS {
            // A limit on places would have held at last.
            return match self.seen.refused_at.is_sorted_by(|a, b| a < b) {
                true => self.conclude(Finding::CallRateLimited, None),
                false => self.conclude_limit(),
            };
        }
        self.round = 0;
        self.seen.begin_proof(self.held.len() as u64);
        self.begin_round(now);
    }

    fn begin_round(&mut self, now: Instant) {
        if self.round < self.settings.prove {
            self.confirm(now, Then::Round);
        } else {
            self.wait(now, self.settings.pauses[0], Purpose::Again(0));
        }
    }

    fn confirm(&mut self, now: Instant, then: Then) {
        let waiting = self.held.clone();
        self.actions.extend(waiting.iter().map(|number| Action::Confirm(*number)));
        self.doing = Doing::Confirming { waiting, then };
        if self.held.is_empty() {
            self.confirmed(now, then);
        }
    }

    fn confirmed(&mut self, now: Instant, then: Then) {
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
            _ if lost > 0 && self.seen.refusals.is_empty() => self.begin_eviction(now),
            _ if lost > 0 => self.lose(now),
            // It was no eviction: what went before went by itself.
            Then::Evicted(_) => self.lose(now),
            Then::Climb => self.climb(now),
            Then::Full => self.begin_try_at(now, Purpose::Over),
            Then::Round if self.round == 0 => self.wait(now, self.settings.pauses[0], Purpose::Extra),
            Then::Round => self.begin_try_at(now, Purpose::Extra),
        }
    }

    /// Some of what was up is gone, and nothing was ever refused.
    fn begin_eviction(&mut self, now: Instant) {
        self.restarts += 1;
        if self.restarts > MOST_RESTARTS {
            return self.conclude_limit();
        }
        (self.round, self.seen.rounds) = (0, 0);
        self.seen.evicted_at.push(self.held.len() as u64);
        self.begin_try_at(now, Purpose::Evict(self.held.len()));
    }

    /// Something went by itself: on with what is left.
    fn lose(&mut self, now: Instant) {
        self.restarts += 1;
        if self.restarts > MOST_RESTARTS {
            return self.conclude_limit();
        }
        self.climb(now);
    }

    /// Gives one place back, if there is one.
    fn free(&mut self, now: Instant, last: bool) {
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
    fn wait(&mut self, now: Instant, pause: Duration, then: Purpose) {
        let until = (now + pause).max(self.not_before.unwrap_or(now));
        self.doing = Doing::Waiting { until, then: Next::Try(then) };
    }

    /// Tries as soon as the far side wants it.
    fn begin_try_at(&mut self, now: Instant, purpose: Purpose) {
        match self.not_before.filter(|at| *at > now) {
            Some(until) => self.doing = Doing::Waiting { until, then: Next::Try(purpose) },
            None => self.begin_try(purpose),
        }
    }

    fn begin_try(&mut self, purpose: Purpose) {
        let who = match (purpose, self.refused) {
            (Purpose::Recheck, Some(refused)) => Who::Like(refused),
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
        let number = self.start(who, matches!(purpose, Purpose::Control | Purpose::LastControl));
        self.doing = Doing::Trying { number, purpose };
    }

    fn start(&mut self, who: Who, control: bool) -> Try {
        self.last += 1;
        self.actions.push_back(Action::Start { number: self.last, who, control });
        self.last
    }

    /// The account of this try may be to blame, and no limit: it is not used again but to find that out.
    fn suspect(&mut self, number: Try) {
        self.suspects.push((number, 0));
        self.actions.push_back(Action::SetAside(number));
    }

    /// Suspects first, as far as a place for each try is worth it.
    fn whose_turn(&self, suspect: usize) -> Whose {
        if suspect < self.suspects.len().min(MOST_SUSPECTS) { Whose::Suspect(suspect) } else { Whose::Other }
    }

    fn release(&mut self, number: Try) {
        self.leaving.push(number);
        self.actions.push_back(Action::Release(number));
    }

    /// Places to be held at most: for the one that goes beyond, an account must be left.
    fn most(&self) -> usize {
        let usable = self.settings.accounts.saturating_sub(self.suspects.len() as u64 + 1);
        let own_each = self.settings.of == Of::Registrations;
        if own_each { self.settings.up_to.min(usable) as usize } else { self.settings.up_to as usize }
    }

    // --- the end --------------------------------------------------------------------------------------------------

    /// It is a limit on places: which one, what was seen tells.
    fn conclude_limit(&mut self) {
        for (suspect, refused) in std::mem::take(&mut self.suspects) {
            if refused > self.settings.prove {
                self.seen.set_aside(suspect);
            }
        }
        let outcome = Outcome::limit(&self.settings, &self.seen, self.held.len() as u64);
        self.finish(outcome);
    }

    fn conclude(&mut self, finding: Finding, measured: Option<u64>) {
        let outcome = Outcome::other(&self.settings, &self.seen, finding, measured);
        self.finish(outcome);
    }

    fn finish(&mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
        for number in std::mem::take(&mut self.held) {
            self.release(number);
        }
        self.doing = Doing::Leaving;
        self.leave_if_empty();
    }

    fn leave_if_empty(&mut self) {
        if matches!(self.doing, Doing::Leaving) && self.leaving.is_empty() && self.pending.is_empty() {
            self.doing = Doing::Done;
        }
    }
}
