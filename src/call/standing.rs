//! Registrations that stand from before the first attempt to after the last (`registered: standing` and `all`).
//!
//! ```text
//! Opening ──accepted──► Registered ──refresh failed──► Lost ──its time──► Opening
//!    └─refused─► Failed      └──last attempt over──► Removing ──► Gone
//! ```
//!
//! One that stood and was lost is asked for again, after a time that doubles with each failure (RFC 5626 §4.5). One that
//! the registrar never accepted is not: its answer is the result. In a watch it is asked for again all the same.
//!
//! A hundred thousand of them may stand: what is kept of each is small, and nothing here looks at all of them.

use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use super::accounts::Pick;
use super::hops::Way;
use super::observe;
use crate::record::{LocalFailure, RegistrationFacts};
use crate::sip::endpoint::Event;
use crate::sip::exchange::Cause;
use crate::sip::flow::LinkId;
use crate::sip::message::Message;
use crate::sip::token::Handle;
use crate::timer::Wheel;
use crate::units::Random;

/// One standing account among those of all actors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    pub(super) actor: u8,
    pub(super) index: u32,
}

/// Where the seats of all actors are found: by their time, their registration and the link that they wait for.
#[derive(Debug)]
pub(super) struct Seats {
    /// Those that are asked for at their time, for the first time or again.
    pub(super) due: Wheel<Seat>,
    pub(super) by_handle: FxHashMap<Handle, Seat>,
    pub(super) waiting: FxHashMap<LinkId, Vec<Seat>>,
    /// Between two requests that begin or end a registration.
    pub(super) spacing: Duration,
    /// Once no attempt is left: the seat that is removed next, and when.
    pub(super) removal: Option<(Seat, Instant)>,
}

/// The standing accounts of one actor.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// In the order of their accounts.
    entries: Vec<Entry>,
    /// How many are in each state.
    counts: [usize; 6],
    /// Those that are registered and that no attempt uses.
    free: usize,
    /// The one that is looked at first for the next attempt.
    next: usize,
    /// Why the last of them that is not registered is not.
    pub(super) failure: Option<Failure>,
    /// One that was never accepted is asked for again too: a watch has no end at which its answer is the result.
    pub(super) never_gives_up: bool,
    /// The first wait of those that are lost, which doubles, and the longest.
    pub(super) waits: (Duration, Duration),
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
    account: u32,
    /// Failures since it stood.
    pub(super) failures: u32,
    state: State,
    /// An attempt uses it.
    in_use: bool,
    pub(super) registration: Option<Handle>,
    /// Since when it is lost, having stood before.
    pub(super) lost: Option<Instant>,
    /// Where its request goes, while that is not where its binding was made.
    pub(super) asking: Option<Box<Asking>>,
}

/// Where the request of an account goes.
#[derive(Debug, Default)]
pub(super) struct Asking {
    pub(super) way: Option<Way>,
    /// The link that it waits for.
    pub(super) link: Option<LinkId>,
    /// Its REGISTER was not served where it went, for this code and cause, and waits for another place.
    pub(super) unserved: Option<(u16, Cause)>,
}

/// What became of a standing registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Became {
    /// As was to be expected.
    Usual,
    /// It stood and does not any more, or could not be made again; it is asked for again at this moment.
    Lost(Instant),
    /// It was lost, since this moment, and stands again.
    Back(Instant),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Waits for its time, its link or the registrar.
    Opening,
    Registered,
    /// Lost, after it had stood: it is asked for again at its time.
    Lost,
    /// Never accepted.
    Failed,
    /// Being removed, after the last attempt.
    Removing,
    Gone,
}

impl Seats {
    pub(super) fn new(spacing: Duration, now: Instant) -> Self {
        let (by_handle, waiting) = (FxHashMap::default(), FxHashMap::default());
        Self { due: Wheel::new(now), by_handle, waiting, spacing, removal: None }
    }
}

impl Standing {
    /// Accounts, in ascending order.
    pub(super) fn new(accounts: impl IntoIterator<Item = usize>) -> Self {
        let entry = |account| Entry {
            account: account as u32,
            failures: 0,
            state: State::Opening,
            in_use: false,
            registration: None,
            lost: None,
            asking: None,
        };
        let entries: Vec<Entry> = accounts.into_iter().map(entry).collect();
        let counts = [entries.len(), 0, 0, 0, 0, 0];
        Self { entries, counts, waits: (BASE_WAIT, MAX_WAIT), ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn get(&self, index: usize) -> &Entry {
        &self.entries[index]
    }

    /// What may be changed freely: all but its state and whether it is in use.
    pub(super) fn get_mut(&mut self, index: usize) -> &mut Entry {
        &mut self.entries[index]
    }

    /// How many are in a state.
    pub(super) fn count(&self, state: State) -> usize {
        self.counts[state as usize]
    }

    pub(super) fn set(&mut self, index: usize, state: State) {
        self.change(index, |entry| entry.state = state);
    }

    /// An account that is registered and free, now in use: they go round in turn.
    pub(super) fn take(&mut self, pick: Pick) -> Option<usize> {
        if self.free == 0 {
            return None;
        }
        let count = self.entries.len();
        let in_turn = || (0..count).map(|ahead| (self.next + ahead) % count).filter(|at| self.entries[*at].is_free());
        let wanted = in_turn().find(|at| pick.permits(self.entries[*at].account()));
        let index = wanted.or_else(|| in_turn().next().filter(|_| matches!(pick, Pick::Not(_))))?;
        self.next = (index + 1) % count;
        self.change(index, |entry| entry.in_use = true);
        Some(self.entries[index].account())
    }

    pub(super) fn give_back(&mut self, account: usize) {
        if let Ok(index) = self.entries.binary_search_by_key(&account, Entry::account) {
            self.change(index, |entry| entry.in_use = false);
        }
    }

    /// The registrar has answered for every account.
    pub(super) fn is_settled(&self) -> bool {
        self.count(State::Opening) == 0
    }

    /// No binding is left, nor a request that may make one.
    pub(super) fn is_gone(&self) -> bool {
        [State::Opening, State::Registered, State::Removing].into_iter().all(|state| self.count(state) == 0)
    }

    /// What became of the registration of an entry.
    pub(super) fn tell(
        &mut self,
        now: Instant,
        (index, event): (usize, Event),
        message: Option<&Message<'_>>,
        random: &mut Random,
    ) -> Became {
        match event {
            Event::RegistrationFailed { code, cause, refresh, asked, .. } => {
                let stood = refresh || self.entries[index].lost.is_some();
                let facts = RegistrationFacts {
                    response: observe::final_response(code, cause, message),
                    delay: now.saturating_duration_since(asked),
                    expires: None,
                    challenged_again: matches!(code, 401 | 407) && cause == Cause::Response,
                    refresh: stood,
                };
                let retry_after = facts.response.retry_after;
                self.failure = Some(Failure::Registrar(facts));
                if stood || self.never_gives_up {
                    return Became::Lost(self.lose(now, index, retry_after, random));
                }
                self.forget(index, State::Failed);
                Became::Usual
            }
            Event::Registered { .. } => {
                if self.entries[index].state != State::Removing {
                    self.set(index, State::Registered);
                }
                let entry = &mut self.entries[index];
                entry.failures = 0;
                let back = entry.lost.take();
                if self.count(State::Failed) + self.count(State::Lost) == 0 {
                    self.failure = None;
                }
                back.map_or(Became::Usual, Became::Back)
            }
            Event::Unregistered { .. } => {
                self.forget(index, State::Gone);
                Became::Usual
            }
            _ => Became::Usual,
        }
    }

    /// An account does not stand any more, or could not be made again: when it is asked for again.
    pub(super) fn lose(
        &mut self,
        now: Instant,
        index: usize,
        retry_after: Option<u32>,
        random: &mut Random,
    ) -> Instant {
        self.forget(index, State::Lost);
        let entry = &mut self.entries[index];
        entry.lost.get_or_insert(now);
        entry.failures += 1;
        let asked = Duration::from_secs(retry_after.unwrap_or(0).into());
        now + retry_wait(self.waits, entry.failures, random).max(asked)
    }

    /// Nothing is under way for an account any more.
    fn forget(&mut self, index: usize, state: State) {
        self.change(index, |entry| (entry.state, entry.registration, entry.asking) = (state, None, None));
    }

    fn change(&mut self, index: usize, change: impl FnOnce(&mut Entry)) {
        let entry = &mut self.entries[index];
        self.counts[entry.state as usize] -= 1;
        self.free -= usize::from(entry.is_free());
        change(entry);
        self.counts[entry.state as usize] += 1;
        self.free += usize::from(entry.is_free());
    }
}

impl Entry {
    /// Index of its account in the pool.
    pub(super) fn account(&self) -> usize {
        self.account as usize
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    /// Its request waits for a place to go to.
    pub(super) fn waits(&self) -> bool {
        let unserved = self.asking.as_ref().is_some_and(|asking| asking.unserved.is_some());
        unserved || self.state == State::Opening && self.registration.is_none()
    }

    fn is_free(&self) -> bool {
        self.state == State::Registered && !self.in_use
    }
}

/// RFC 5626 §4.5: between half and all of the first wait · 2^failures, and of the longest at most.
fn retry_wait((base, most): (Duration, Duration), failures: u32, random: &mut Random) -> Duration {
    let upper = base.saturating_mul(2u32.saturating_pow(failures.min(16))).min(most);
    upper / 2 + Duration::from_millis(random.next_u64() % (upper.as_millis() as u64 / 2 + 1))
}

/// RFC 5626 §4.5, where no other flow is left.
const BASE_WAIT: Duration = Duration::from_secs(30);
/// The longest wait.
const MAX_WAIT: Duration = Duration::from_secs(1800);

#[cfg(test)]
mod tests {
    use super::*;

    fn standing() -> Standing {
        let mut standing = Standing::new([0, 2, 4]);
        (0..3).for_each(|index| standing.set(index, State::Registered));
        standing
    }

    #[test]
    fn accounts_that_stand_go_round_in_turn_and_one_in_use_is_passed_over() {
        let mut standing = standing();
        assert_eq!([standing.take(Pick::Next), standing.take(Pick::Next)], [Some(0), Some(2)]);
        standing.give_back(0);
        assert_eq!([standing.take(Pick::Next), standing.take(Pick::Next)], [Some(4), Some(0)]);
        assert_eq!(standing.take(Pick::Next), None);
        standing.give_back(2);
        assert_eq!([standing.take(Pick::Not(2)), standing.take(Pick::Only(4))], [Some(2), None]);
    }

    #[test]
    fn an_account_that_is_lost_is_not_given_away_and_is_counted_where_it_is() {
        let mut standing = standing();
        #[expect(clippy::disallowed_methods, reason = "any instant will do as the origin of virtual time")]
        let now = Instant::now();
        let again = standing.lose(now, 0, Some(90), &mut Random::new(1));
        assert_eq!(again, now + Duration::from_secs(90), "Retry-After, where it is longer than the wait");
        assert_eq!((standing.count(State::Lost), standing.count(State::Registered)), (1, 2));
        assert_eq!(
            [standing.take(Pick::Next), standing.take(Pick::Next), standing.take(Pick::Next)],
            [Some(2), Some(4), None]
        );
        assert!(standing.is_settled() && !standing.is_gone());
    }

    #[test]
    fn the_wait_of_an_account_that_is_lost_doubles_up_to_the_longest() {
        let waits = (Duration::from_secs(1), Duration::from_secs(30));
        let mut random = Random::new(1);
        for (failures, least, most) in [(1, 1, 2), (2, 2, 4), (4, 8, 16), (5, 15, 30), (40, 15, 30)] {
            let wait = retry_wait(waits, failures, &mut random);
            assert!((Duration::from_secs(least)..=Duration::from_secs(most)).contains(&wait), "{failures}: {wait:?}");
        }
    }

    #[test]
    fn what_is_kept_of_an_account_is_small() {
        assert!(size_of::<Entry>() <= 56, "{}", size_of::<Entry>());
    }
}
