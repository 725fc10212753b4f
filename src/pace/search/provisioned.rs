//! The search for extensions that cannot log in because too many exist: each account registers alone, one after another.
//!
//! Accounts that are refused are tried again, `prove` times, with one that was accepted as a witness: it must still be.
//! A subset that stays refused may just have wrong passwords. So one good account registers with a wrong password on
//! purpose: only where the subset is refused in another way than that, and the target has at least twice as many accounts
//! as its licence has devices, is it the 2 × rule.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::verdict::{Outcome, Scope, Seen, millis, times};
use super::{Action, Event, How, Machine, Refusal, Settings, Try, Who};
use crate::record::Finding;

/// Rounds that may begin anew because the witness was refused too.
const MOST_RESTARTS: u32 = 3;
/// The rule holds from so many accounts for each device of the licence on.
const FACTOR: u64 = 2;

/// Searches accounts for those that cannot register.
#[derive(Debug)]
pub(super) struct Provisioned {
    settings: Settings,
    doing: Doing,
    actions: VecDeque<Action>,
    last: Try,
    accounts: Vec<Account>,
    /// Indexes of those that were refused at first.
    refused: Vec<usize>,
    /// The first that was accepted.
    witness: Option<usize>,
    round: u32,
    restarts: u32,
    /// Between two tries.
    step: Duration,
    seen: Seen,
    outcome: Option<Outcome>,
}

#[derive(Debug)]
struct Account {
    number: Try,
    refusal: Refusal,
    /// Times that it was accepted later on.
    accepted: u32,
}

#[derive(Clone, Copy, Debug)]
enum Doing {
    Waiting {
        until: Instant,
        next: Next,
    },
    Trying {
        number: Try,
        next: Next,
    },
    /// Its binding is being removed.
    Removing {
        number: Try,
        next: Next,
    },
    Done,
}

/// Who is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// The account of this index, for the first time.
    First(usize),
    /// This one of those that were refused.
    Again(usize),
    /// One that was accepted, after the pause of this number.
    Witness(usize),
    /// The same, with a wrong password.
    WrongPassword,
}

impl Provisioned {
    /// A search that begins now.
    pub(super) fn new(settings: Settings, now: Instant) -> Self {
        Self {
            doing: Doing::Waiting { until: now, next: Next::First(0) },
            actions: VecDeque::new(),
            last: 0,
            accounts: Vec::new(),
            refused: Vec::new(),
            witness: None,
            round: 0,
            restarts: 0,
            step: settings.step_every,
            seen: Seen::default(),
            outcome: None,
            settings,
        }
    }

    /// Accounts that are tried.
    fn count(&self) -> usize {
        self.settings.up_to.min(self.settings.accounts) as usize
    }

    fn wait(&mut self, now: Instant, pause: Duration, next: Next) {
        let until = (now + pause).max(self.seen.not_before(now));
        self.doing = Doing::Waiting { until, next };
    }

    fn start(&mut self, now: Instant, next: Next) {
        let index = match next {
            Next::First(index) => index,
            Next::Again(place) => self.refused[place],
            Next::Witness(_) | Next::WrongPassword => self.witness.unwrap_or(0),
        };
        let how = if next == Next::WrongPassword { How::WrongPassword } else { How::Usual };
        self.last += 1;
        self.actions.push_back(Action::Start { number: self.last, who: Who::Nth(index as u64), how, due: Some(now) });
        self.doing = Doing::Trying { number: self.last, next };
    }

    fn handle_up(&mut self, number: Try, next: Next) {
        match next {
            Next::First(index) => self.witness = self.witness.or(Some(index)),
            Next::Again(place) => self.accounts[place].accepted += 1,
            Next::Witness(_) | Next::WrongPassword => {}
        }
        self.actions.push_back(Action::Release(number));
        self.doing = Doing::Removing { number, next };
    }

    fn handle_refusal(&mut self, now: Instant, number: Try, next: Next, refusal: Refusal) {
        self.seen.note_wish(now, &refusal);
        match next {
            Next::First(index) => {
                self.seen.note(number, refusal.clone());
                self.refused.push(index);
                self.accounts.push(Account { number, refusal, accepted: 0 });
                self.go_on(now, next, true);
            }
            Next::Again(_) => {
                self.seen.proof.push(number);
                self.go_on(now, next, true);
            }
            Next::Witness(_) => self.go_on(now, next, false),
            Next::WrongPassword => self.conclude(Some(&refusal)),
        }
    }

    /// After an answer, with nothing registered any more.
    fn go_on(&mut self, now: Instant, done: Next, as_before: bool) {
        let (step, first_pause) = (self.step, self.settings.pauses[0]);
        match done {
            Next::First(index) if index + 1 < self.count() => self.wait(now, step, Next::First(index + 1)),
            Next::First(_) if self.refused.is_empty() => {
                let text = format!("each of the {} accounts can be registered alone", self.count());
                self.outcome = Some(self.seen.outcome(None, None, text));
                self.doing = Doing::Done;
            }
            Next::First(_) => self.wait(now, first_pause.max(step), Next::Again(0)),
            Next::Again(place) if place + 1 < self.refused.len() => self.wait(now, step, Next::Again(place + 1)),
            Next::Again(_) => self.wait(now, step, Next::Witness(0)),
            Next::Witness(0) if as_before => {
                self.round += 1;
                match self.round < self.settings.prove {
                    true => self.wait(now, first_pause.max(step), Next::Again(0)),
                    false => self.judge(now),
                }
            }
            // It was shut out as well: what the others came to in this round says nothing.
            Next::Witness(rung) if as_before => {
                self.restarts += 1;
                if self.restarts > MOST_RESTARTS {
                    return self.finish(
                        Finding::RegLimitVaries,
                        None,
                        "accounts are accepted at one time and refused at another",
                    );
                }
                self.step = self.step.max(self.settings.pauses[rung]);
                self.wait(now, self.step, Next::Again(0));
            }
            Next::Witness(rung) => match self.settings.pauses.get(rung + 1).copied() {
                Some(pause) => self.wait(now, pause, Next::Witness(rung + 1)),
                None if self.witness.is_none() => self.finish(Finding::LineDown, Some(0), "no account is accepted"),
                None => {
                    let text = "after some refusals every account is refused, one that was accepted before as well";
                    self.finish(Finding::RegBlocked, None, text);
                }
            },
            Next::WrongPassword => self.conclude(None),
        }
    }

    /// All rounds are over: does the subset stand?
    fn judge(&mut self, now: Instant) {
        let accepted = self.accounts.iter().filter(|account| account.accepted > 0).count();
        if accepted == 0 {
            return self.wait(now, self.settings.pauses[0].max(self.step), Next::WrongPassword);
        }
        let always = self.accounts.iter().all(|account| account.accepted >= self.settings.prove);
        match always {
            true if self.accounts.iter().all(|account| account.refusal.code.is_none()) => {
                let text = "accounts that got no answer are accepted later";
                self.finish(Finding::RegLimitVaries, None, text);
            }
            true => self.finish(Finding::RegRateLimited, None, "accounts that were refused are accepted after a pause"),
            false => {
                let text =
                    format!("{accepted} of {} accounts that were refused are accepted later", self.accounts.len());
                self.finish(Finding::RegLimitVaries, None, &text);
            }
        }
    }

    /// A stable subset is refused; the refusal of a wrong password, where it was refused.
    fn conclude(&mut self, wrong: Option<&Refusal>) {
        self.seen.rounds = self.round;
        let (count, refused) = (self.count(), self.accounts.len());
        let look_alike = |account: &Account| wrong.is_some_and(|wrong| is_like(&account.refusal, wrong));
        let alike = self.accounts.iter().any(look_alike);
        let wrong = match wrong.and_then(|wrong| Some((wrong.code?, wrong.reason.as_deref().unwrap_or_default()))) {
            Some((code, reason)) => format!("a wrong password is refused with {code} “{reason}”"),
            None => "a wrong password is not refused with any code".to_owned(),
        };
        let over = self.settings.licence.is_some_and(|licence| self.settings.provisioned >= FACTOR * licence);
        let rule = match self.settings.licence {
            None => "how many devices the licence has is not known".to_owned(),
            Some(licence) => format!("{} accounts exist for a licence of {licence}", self.settings.provisioned),
        };
        self.seen.aside = self.accounts.iter().map(|account| account.number).collect();
        let (how, rounds) = (self.seen.refused(), times(self.round));
        let text = format!(
            "{refused} of {count} accounts cannot be registered even alone ({how}), shown again {rounds}; {wrong}; {rule}{}",
            self.seen.waited()
        );
        let named = over && !alike;
        let finding = if named { Finding::RegProvisionedOver2x } else { Finding::RegSubsetRefused };
        let measured = named.then_some((count - refused) as u64);
        let scope = if self.settings.exclusive { Scope::Shown } else { Scope::Assumed };
        let mut outcome = self.seen.outcome(Some(finding), measured, String::new());
        (outcome.scope, outcome.text) = (Some(scope), text);
        self.outcome = Some(outcome);
        self.doing = Doing::Done;
    }

    fn finish(&mut self, finding: Finding, measured: Option<u64>, text: &str) {
        let (how, pauses) = (self.seen.refused(), self.settings.pauses.last().copied().map(millis).unwrap_or_default());
        let text = format!("{text} ({how}; pauses of up to {pauses})");
        self.outcome = Some(self.seen.outcome(Some(finding), measured, text));
        self.doing = Doing::Done;
    }
}

/// Nothing tells one refusal from the other. A 401 or 407 is one for credentials, whatever it says.
fn is_like(one: &Refusal, other: &Refusal) -> bool {
    one.code == other.code && (one.reason == other.reason || matches!(one.code, Some(401 | 407)))
}

impl Machine for Provisioned {
    fn handle_timeout(&mut self, now: Instant) {
        if let Doing::Waiting { until, next } = self.doing
            && until <= now
        {
            self.start(now, next);
        }
    }

    fn handle_event(&mut self, now: Instant, number: Try, event: Event) {
        match (self.doing, event) {
            (Doing::Trying { number: tried, .. }, Event::OwnFault(text)) if tried == number => {
                self.outcome = Some(Outcome::bounded(text));
                self.doing = Doing::Done;
            }
            (Doing::Trying { number: tried, next }, Event::Up) if tried == number => self.handle_up(number, next),
            (Doing::Trying { number: tried, next }, Event::Refused(refusal)) if tried == number => {
                self.handle_refusal(now, number, next, refusal);
            }
            (Doing::Removing { number: tried, next }, Event::Ended | Event::Gone) if tried == number => {
                self.go_on(now, next, true);
            }
            (Doing::Removing { number: tried, .. }, Event::LeftBehind) if tried == number => {
                let text =
                    "the search was stopped: a registration could not be removed, and the next one would not be alone";
                self.outcome = Some(Seen::default().outcome(None, None, text.to_owned()));
                self.doing = Doing::Done;
            }
            _ => {}
        }
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn deadline(&self) -> Option<Instant> {
        match self.doing {
            Doing::Waiting { until, .. } => Some(until),
            _ => None,
        }
    }

    fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    fn is_done(&self) -> bool {
        matches!(self.doing, Doing::Done)
    }

    fn stop(&mut self) {
        self.actions.clear();
        self.doing = Doing::Done;
    }
}
