//! Registrations that stand from before the first attempt to after the last (`registered: standing`).

use std::time::{Duration, Instant};

use super::observe;
use crate::record::{LocalFailure, RegistrationFacts, TransportFault};
use crate::sip::endpoint::Event;
use crate::sip::exchange::Cause;
use crate::sip::flow::LinkId;
use crate::sip::message::Message;
use crate::sip::token::Handle;

/// The standing accounts of one actor.
#[derive(Debug, Default)]
pub(super) struct Standing {
    pub(super) entries: Vec<Entry>,
    /// Why the last of them that is not registered is not.
    pub(super) failure: Option<Failure>,
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
    /// The link that it waits for.
    pub(super) link: Option<LinkId>,
    /// When its REGISTER was sent.
    pub(super) asked: Option<Instant>,
    /// An attempt uses it.
    pub(super) in_use: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Waits for its link or for the registrar.
    Opening,
    Registered,
    /// Refused, or lost later.
    Failed,
    /// Being removed, after the last attempt.
    Removing,
    Gone,
}

impl Standing {
    pub(super) fn new(accounts: impl IntoIterator<Item = usize>) -> Self {
        let entry = |account| Entry {
            account,
            registration: None,
            state: State::Opening,
            link: None,
            asked: None,
            in_use: false,
        };
        Self { entries: accounts.into_iter().map(entry).collect(), failure: None }
    }

    /// An account that is registered and free, now in use.
    pub(super) fn take(&mut self) -> Option<usize> {
        let free = self.entries.iter_mut().find(|entry| entry.state == State::Registered && !entry.in_use)?;
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
        self.entries.iter().all(|entry| matches!(entry.state, State::Gone | State::Failed))
    }

    /// What became of a registration. False where it is none of these.
    pub(super) fn tell(&mut self, now: Instant, event: Event, message: Option<&Message<'_>>) -> bool {
        let (registration, state) = match event {
            Event::Registered { registration, .. } => (registration, State::Registered),
            Event::RegistrationFailed { registration, .. } => (registration, State::Failed),
            Event::Unregistered { registration, .. } => (registration, State::Gone),
            _ => return false,
        };
        let entry = self.entries.iter_mut().find(|entry| entry.registration == Some(registration));
        let Some(entry) = entry else { return false };
        if entry.state == State::Removing && state == State::Registered {
            return true;
        }
        entry.state = state;
        if let Event::RegistrationFailed { code, cause, refresh, .. } = event {
            let delay = entry.asked.map_or(Duration::ZERO, |asked| now.saturating_duration_since(asked));
            self.failure = Some(Failure::Registrar(RegistrationFacts {
                response: observe::final_response(code, cause, message),
                delay,
                expires: None,
                challenged_again: matches!(code, 401 | 407) && cause == Cause::Response,
                refresh,
            }));
        }
        true
    }

    /// Accounts that wait for a link will not be registered over it.
    pub(super) fn lose_link(&mut self, link: LinkId, fault: TransportFault) {
        for entry in &mut self.entries {
            if entry.state == State::Opening && entry.registration.is_none() && entry.link == Some(link) {
                entry.state = State::Failed;
                self.failure = Some(Failure::Local(LocalFailure::Transport(fault)));
            }
        }
    }
}
