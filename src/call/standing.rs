//! Registrations that stand from before the first attempt to after the last (`registered: standing`).
//!
//! ```text
//! Opening ──accepted──► Registered ──refresh failed──► Lost ──its time──► Opening
//!    └─refused─► Failed      └──last attempt over──► Removing ──► Gone
//! ```
//!
//! One that stood and was lost is asked for again, after a time that doubles with each failure (RFC 5626 §4.5). One that
//! the registrar never accepted is not: its answer is the result. In a watch it is asked for again all the same.

use std::time::{Duration, Instant};

use super::accounts::Pick;
use super::hops::{Hops, Way};
use super::observe;
use crate::record::{LocalFailure, RegistrationFacts};
use crate::sip::endpoint::Event;
use crate::sip::exchange::Cause;
use crate::sip::flow::LinkId;
use crate::sip::message::Message;
use crate::sip::token::Handle;
use crate::units::Random;

/// The standing accounts of one actor.
#[derive(Debug, Default)]
pub(super) struct Standing {
    pub(super) entries: Vec<Entry>,
    /// Why the last of them that is not registered is not.
    pub(super) failure: Option<Failure>,
    /// One that was never accepted is asked for again too: a watch has no end at which its answer is the result.
    pub(super) never_gives_up: bool,
}

/// Why an account is not registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The registrar refused, or did not answer.
    Registrar(RegistrationFacts),
    /// Nothing could be sent.
    Local(LocalFailure),
}

/// One account that stays registered.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) account: usize,
    pub(super) registration: Option<Handle>,
    pub(super) state: State,
    /// It is not asked for before this moment.
    pub(super) due: Instant,
    /// The link that it waits for.
    pub(super) link: Option<LinkId>,
    /// Which places its requests go to.
    pub(super) way: Option<Way>,
    /// Its REGISTER was not served where it went, for this code and cause, and waits for another place.
    pub(super) unserved: Option<(u16, Cause)>,
    /// When its REGISTER was sent.
    pub(super) asked: Option<Instant>,
    /// An attempt uses it.
    pub(super) in_use: bool,
    /// Its Call-ID.
    pub(super) sip_call_id: Option<String>,
    /// Since when it is lost, having stood before.
    pub(super) lost: Option<Instant>,
    /// Failures since it stood.
    pub(super) failures: u32,
}

/// What became of a standing registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Became {
    /// It is none of these.
    Unknown,
    /// As was to be expected.
    Usual,
    /// It stood and does not any more, or could not be made again; its index.
    Lost(usize),
    /// It was lost, since this moment, and stands again; its index.
    Back(usize, Instant),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Waits for its link or for the registrar.
    Opening,
    Registered,
    /// Lost, after it had stood: it is asked for again at this moment.
    Lost(Instant),
    /// Never accepted.
    Failed,
    /// Being removed, after the last attempt.
    Removing,
    Gone,
}

impl Standing {
    /// Accounts, each with the moment from which it is asked for.
    pub(super) fn new(accounts: impl IntoIterator<Item = (usize, Instant)>) -> Self {
        let entry = |(account, due)| Entry {
            account,
            due,
            registration: None,
            state: State::Opening,
            link: None,
            way: None,
            unserved: None,
            asked: None,
            in_use: false,
            sip_call_id: None,
            lost: None,
            failures: 0,
        };
        Self { entries: accounts.into_iter().map(entry).collect(), failure: None, never_gives_up: false }
    }

    /// An account that is registered and free, now in use.
    pub(super) fn take(&mut self, pick: Pick) -> Option<usize> {
        let is_free = |entry: &Entry| entry.state == State::Registered && !entry.in_use;
        let wanted = |entry: &Entry| is_free(entry) && pick.permits(entry.account);
        let any = || self.entries.iter().position(is_free).filter(|_| matches!(pick, Pick::Not(_)));
        let place = self.entries.iter().position(wanted).or_else(any)?;
        let free = &mut self.entries[place];
        free.in_use = true;
        Some(free.account)
    }

    pub(super) fn give_back(&mut self, account: usize) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.account == account) {
            entry.in_use = false;
        }
    }

    /// The registrar has answered for every account.
    pub(super) fn is_settled(&self) -> bool {
        self.entries.iter().all(|entry| entry.state != State::Opening)
    }

    /// No binding is left.
    pub(super) fn is_gone(&self) -> bool {
        self.entries.iter().all(|entry| matches!(entry.state, State::Gone | State::Failed | State::Lost(_)))
    }

    /// When the next registration is asked for, or one that was lost again.
    pub(super) fn retry_at(&self, preparing: bool) -> Option<Instant> {
        let due = |entry: &Entry| match entry.state {
            State::Lost(at) => Some(at),
            State::Opening if preparing && entry.is_unasked() => Some(entry.due),
            _ => None,
        };
        self.entries.iter().filter_map(due).min()
    }

    /// What became of a registration.
    pub(super) fn tell(
        &mut self,
        now: Instant,
        event: Event,
        message: Option<&Message<'_>>,
        (hops, random): (&mut Hops, &mut Random),
    ) -> Became {
        let (registration, state) = match event {
            Event::Registered { registration, .. } => (registration, State::Registered),
            Event::RegistrationFailed { registration, .. } => (registration, State::Failed),
            Event::Unregistered { registration, .. } => (registration, State::Gone),
            _ => return Became::Unknown,
        };
        let Some(index) = self.entries.iter().position(|entry| entry.registration == Some(registration)) else {
            return Became::Unknown;
        };
        let entry = &mut self.entries[index];
        if entry.state == State::Removing && state == State::Registered {
            return Became::Usual;
        }
        entry.state = state;
        if let Some(way) = entry.way.as_mut().filter(|_| state == State::Registered) {
            way.note_answer(hops);
            way.begin_anew();
        }
        match event {
            Event::RegistrationFailed { code, cause, refresh, .. } => {
                let delay = entry.asked.map_or(Duration::ZERO, |asked| now.saturating_duration_since(asked));
                let stood = refresh || entry.lost.is_some();
                let facts = RegistrationFacts {
                    response: observe::final_response(code, cause, message),
                    delay,
                    expires: None,
                    challenged_again: matches!(code, 401 | 407) && cause == Cause::Response,
                    refresh: stood,
                };
                if stood || self.never_gives_up {
                    entry.lose(now, facts.response.retry_after, random);
                }
                self.failure = Some(Failure::Registrar(facts));
                if stood || self.never_gives_up { Became::Lost(index) } else { Became::Usual }
            }
            Event::Registered { .. } => {
                entry.failures = 0;
                let back = entry.lost.take();
                if self.entries.iter().all(|entry| !matches!(entry.state, State::Failed | State::Lost(_))) {
                    self.failure = None;
                }
                back.map_or(Became::Usual, |since| Became::Back(index, since))
            }
            _ => Became::Usual,
        }
    }
}

impl Entry {
    /// It does not stand any more, or could not be made again: the next try waits.
    pub(super) fn lose(&mut self, now: Instant, retry_after: Option<u32>, random: &mut Random) {
        self.lost.get_or_insert(now);
        self.failures += 1;
        let asked = Duration::from_secs(retry_after.unwrap_or(0).into());
        self.state = State::Lost(now + retry_wait(self.failures, random).max(asked));
        (self.registration, self.link, self.way) = (None, None, None);
    }

    /// It waits for its turn.
    pub(super) fn is_unasked(&self) -> bool {
        self.asked.is_none() && self.link.is_none()
    }

    /// It waits for a link, and its turn has come.
    pub(super) fn waits(&self, now: Instant) -> bool {
        self.unserved.is_some() || self.state == State::Opening && self.registration.is_none() && self.due <= now
    }
}

/// RFC 5626 §4.5: between half and all of 30 s · 2^failures, 1,800 s at most.
fn retry_wait(failures: u32, random: &mut Random) -> Duration {
    let upper = (BASE_WAIT * 2u32.saturating_pow(failures.min(16))).min(MAX_WAIT);
    upper / 2 + Duration::from_millis(random.next_u64() % (upper.as_millis() as u64 / 2 + 1))
}

/// RFC 5626 §4.5, where no other flow is left.
const BASE_WAIT: Duration = Duration::from_secs(30);
/// The longest wait.
const MAX_WAIT: Duration = Duration::from_secs(1800);
