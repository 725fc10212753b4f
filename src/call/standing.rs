//! Registrations that stand from before the first attempt to after the last (`registered: standing`).

use crate::sip::token::Handle;

/// The standing accounts of one actor.
#[derive(Debug, Default)]
pub(super) struct Standing {
    pub(super) entries: Vec<Entry>,
}

/// One account that stays registered.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) account: usize,
    pub(super) registration: Option<Handle>,
    pub(super) state: State,
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
        let entry = |account| Entry { account, registration: None, state: State::Opening, in_use: false };
        Self { entries: accounts.into_iter().map(entry).collect() }
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

    pub(super) fn entry_of(&mut self, registration: Handle) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.registration == Some(registration))
    }
}
