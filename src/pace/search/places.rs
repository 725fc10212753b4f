//! The search for a number of places: what it is doing, and what it is told.

mod answers;
mod experiment;

use std::collections::VecDeque;
use std::time::Instant;

use super::verdict::{Outcome, Seen};
use super::{Action, Event, How, Machine, Settings, Try, Who};

/// A pause that is enough this many times in a row, with one more up each time, shows a limit on the rate.
pub(super) const STEADY: u32 = 3;
/// Times that a search begins its proof anew before it says that the limit varies.
const MOST_RESTARTS: u32 = 8;
/// Accounts that are given a freed place to try, to know whether they are refused whatever is free.
const MOST_SUSPECTS: usize = 4;
/// Fewest registrations up at which they are first asked for whether they still stand.
const FIRST_CHECKPOINT: usize = 4;

/// Searches one line for its places.
#[derive(Debug)]
pub(super) struct Places {
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
    /// The refusal that the present proof began with.
    refused: Option<Try>,
    /// Tries that were refused while a neighbour was accepted, and how often each was refused a freed place that another
    /// took: it is the account, if that never fails.
    suspects: Vec<(Try, u32)>,
    round: u32,
    restarts: u32,
    seen: Seen,
    outcome: Option<Outcome>,
    /// Something could not be removed: the far side takes no more at a time.
    left_behind: bool,
    /// When it was last told something.
    now: Instant,
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
    /// Lets go of one after the other: who takes registrations slowly takes their end no faster.
    Parting {
        next: Instant,
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
    /// No freed place comes back: is what is still held alive at all?
    Blocked,
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
    /// One more is refused from another source address as well.
    Elsewhere,
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
    /// Pauses are enough: for the account that was refused at first as well?
    Cleared,
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

impl Places {
    /// A search that begins now.
    pub(super) fn new(settings: Settings, now: Instant) -> Self {
        Self {
            settings,
            doing: Doing::Climbing { next: now },
            actions: VecDeque::new(),
            last: 0,
            held: Vec::new(),
            pending: Vec::new(),
            leaving: Vec::new(),
            gone: 0,
            refused: None,
            suspects: Vec::new(),
            round: 0,
            restarts: 0,
            seen: Seen::default(),
            outcome: None,
            left_behind: false,
            now,
        }
    }
}

impl Machine for Places {
    fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        match self.doing {
            Doing::Climbing { next } if next <= now => {
                let number = self.start(Who::Next, How::Usual);
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
            Doing::Parting { next } if next <= now => self.part(now),
            Doing::Waiting { until, then: Next::Confirm(then) } if until <= now => {
                self.confirm(now, then);
                self.settle(now);
            }
            _ => {}
        }
    }

    fn handle_event(&mut self, now: Instant, number: Try, event: Event) {
        self.now = now;
        if let Event::Refused(refusal) = &event {
            self.seen.note_wish(now, refusal);
        }
        self.left_behind |= event == Event::LeftBehind;
        match event {
            Event::Ended | Event::LeftBehind => self.handle_end(now, number),
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

    fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn deadline(&self) -> Option<Instant> {
        match self.doing {
            Doing::Climbing { next } => Some(next),
            Doing::Waiting { until, .. } => Some(until),
            Doing::Parting { next } => Some(next),
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
