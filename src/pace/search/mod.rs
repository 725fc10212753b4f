//! Finds where a line stops, and proves it: a machine that says which try to start, hold, look after and let go, and
//! is told what became of it. It knows no SIP: a try is a call or a registration, by [`Of`].
//!
//! ```text
//!            a refusal, none pending        every leg alive
//! climb ───────────────────────────► confirm ─────────────► round: k + 1 is refused, a control call passes,
//!   ▲  one try each `step_every`        │                     one is freed, another account takes its place
//!   └──────── some were lost ───────────┘                       │ `prove` times
//!                                                                ▼
//!             finding ◄── freed once more, taken again ◄── pauses: k + 1 is refused after each of them
//! ```
//!
//! A refusal proves *a* limit, not whose. What tells them apart is what happens next, never the code (requirements
//! 4.9; the figures of RFC 3398 and of carriers differ):
//!
//! | seen | finding |
//! |---|---|
//! | refused after every pause, taken once one is freed | the line's own limit |
//! | a pause alone is enough, three times in a row | a limit on the rate |
//! | refused although a place was freed, after every pause | blocked for a while |
//! | a freed place is taken by the account that had it, never by another | a limit of each account |
//! | one more is accepted from another source address, each time | a limit of each source address |
//! | the control is refused too, until a place is freed | a limit of more than this line; of the whole system, where it is refused from another source address too |
//! | accepted, and another one is gone | eviction |
//! | refused whenever it is tried, freed places too, while its neighbours are accepted | that account alone; it is set aside |
//! | k differs | a range, not a number |
//! | nothing is accepted, or all that were up are gone | the line is down |
//!
//! A rate and accounts that are refused even alone are searched for by machines of their own, `rate` and `provisioned`.

mod places;
mod provisioned;
mod rate;
#[cfg(test)]
mod tests;
mod verdict;

pub use verdict::{Outcome, Scope};

use std::fmt;
use std::time::{Duration, Instant};

use crate::record::Class;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Calls at the same time.
    ConcurrentCalls,
    /// Calls per second.
    CallRate,
    /// Devices registered at the same time.
    Registrations,
    /// Accounts that exist, each registered alone.
    ProvisionedExtensions,
}

/// How a search goes about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// What is counted.
    pub of: Of,
    /// More than so many are not held, but for the one that proves that the limit is not there, at least 1. Of a rate:
    /// calls per second, never more.
    pub up_to: u64,
    /// Between the starts of two tries.
    pub step_every: Duration,
    /// How often the limit is proved, at least 1.
    pub prove: u32,
    /// Pauses after which k + 1 is tried again, at least one, growing. The first is also kept before every try that
    /// is to tell causes apart. A Retry-After is kept too.
    pub pauses: Vec<Duration>,
    /// There is a control call: one that needs no place on the line.
    pub control: bool,
    /// Accounts that tries come from; each has one of its own where registrations are counted.
    pub accounts: u64,
    /// Source addresses that tries can come from.
    pub sources: u64,
    /// Tries differ in whom they call, so that a limit of the callee is not what is found.
    pub callees_differ: bool,
    /// Nobody else uses the line while it is searched.
    pub exclusive: bool,
    /// For how long each rate is tried.
    pub trial: Duration,
    /// How long a call of a search for a rate is held once it is up.
    pub hold: Duration,
    /// Devices that the licence has, where that is known.
    pub licence: Option<u64>,
    /// Accounts that exist at the target.
    pub provisioned: u64,
    /// Tries in all, at most: a search for a rate ends there.
    pub max_tries: u64,
    /// Tries under way at the same time, at most: a search for a rate ends there.
    pub max_under_way: u64,
}

impl Settings {
    /// Tries under way at the same time at most, as far as that is known beforehand: `up_to`, and those that tell a
    /// limit on the rate. With a rate it is what the time says that calls are held.
    pub fn most_held(&self) -> u64 {
        match self.of {
            Of::ConcurrentCalls | Of::Registrations => self.up_to + u64::from(places::STEADY) + 1,
            Of::ProvisionedExtensions => 1,
            Of::CallRate => (self.up_to as f64 * self.hold.as_secs_f64()).ceil() as u64 + 1,
        }
    }

    /// Accounts that have to be there where each try has one of its own.
    pub fn accounts_needed(&self) -> u64 {
        match self.of {
            // One more than is held; those beyond tell a limit on the rate, and do without where there is none.
            Of::ConcurrentCalls | Of::Registrations => self.up_to + 1,
            Of::CallRate | Of::ProvisionedExtensions => self.most_held(),
        }
    }
}

/// A try, by its number from 1: an attempt of the run.
pub type Try = u64;

/// Whose account a try uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The next in turn.
    Next,
    /// That of another try.
    Like(Try),
    /// Any but that of another try, where there is one.
    Unlike(Try),
    /// The one of this index.
    Nth(u64),
}

/// In which way a try is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// As the scenario says.
    Usual,
    /// It is the control call.
    Control,
    /// As the scenario says, from another source address.
    Elsewhere,
    /// With a password that is wrong on purpose.
    WrongPassword,
}

/// What the search wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start a try. It is told [`Event::Up`] or [`Event::Refused`] of it, once.
    Start {
        /// Its number: each is greater than those before.
        number: Try,
        /// From whom.
        who: Who,
        /// In which way.
        how: How,
        /// When it was due, where that is a matter of the experiment.
        due: Option<Instant>,
    },
    /// End a try that is up. [`Event::Ended`] follows.
    Release(Try),
    /// Find out whether a try that is up is alive. [`Event::Alive`] follows.
    Confirm(Try),
    /// The account of this try is not to be used again.
    SetAside(Try),
}

/// What became of a try.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// It is up, and held.
    Up,
    /// It was not accepted, or had no answer.
    Refused(Refusal),
    /// It could not be made, and that is our own fault: what is missing.
    OwnFault(String),
    /// It was up, and has ended although nobody here ended it.
    Gone,
    /// It has ended, as it was told to.
    Ended,
    /// It was told to end, and the far side did not confirm that: its place may still be taken.
    LeftBehind,
    /// Whether it is alive.
    Alive(bool),
}

/// How a try was refused.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// Final response; `None` where none was received.
    pub code: Option<u16>,
    /// Its reason phrase, or the text of its Reason header.
    pub reason: Option<String>,
    /// What the attempt showed.
    pub class: Class,
    /// Wish for a pause (Retry-After).
    pub retry_after: Option<Duration>,
}

/// A search that goes on. It is told of time and tries, and then asked what it wants until it wants nothing more.
pub struct Search(Box<dyn Machine>);

/// What searches have in common.
trait Machine: fmt::Debug + Send {
    /// Time has passed.
    fn handle_timeout(&mut self, now: Instant);

    /// What became of a try.
    fn handle_event(&mut self, now: Instant, number: Try, event: Event);

    /// The next thing to do.
    fn poll_action(&mut self) -> Option<Action>;

    /// When [`Machine::handle_timeout`] is due.
    fn deadline(&self) -> Option<Instant>;

    /// What was found, as soon as that is known; what is up is let go then.
    fn outcome(&self) -> Option<&Outcome>;

    /// Nothing is left to do.
    fn is_done(&self) -> bool;

    /// The run is being stopped: nothing more is started, and what was not found stays unknown.
    fn stop(&mut self);
}

impl Search {
    /// A search that begins now.
    pub fn new(settings: Settings, now: Instant) -> Self {
        match settings.of {
            Of::ConcurrentCalls | Of::Registrations => Self(Box::new(places::Places::new(settings, now))),
            Of::ProvisionedExtensions => Self(Box::new(provisioned::Provisioned::new(settings, now))),
            Of::CallRate => Self(Box::new(rate::Rate::new(settings, now))),
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.0.handle_timeout(now);
    }

    /// What became of a try.
    pub fn handle_event(&mut self, now: Instant, number: Try, event: Event) {
        self.0.handle_event(now, number, event);
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.0.poll_action()
    }

    /// When [`Search::handle_timeout`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.0.deadline()
    }

    /// What was found, as soon as that is known; what is up is let go then.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.0.outcome()
    }

    /// Nothing is left to do.
    pub fn is_done(&self) -> bool {
        self.0.is_done()
    }

    /// The run is being stopped: nothing more is started, and what was not found stays unknown.
    pub fn stop(&mut self) {
        self.0.stop();
    }
}

impl fmt::Debug for Search {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
