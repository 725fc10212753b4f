//! Accounts of a pool go round in turn.

use std::sync::Arc;

use rustc_hash::FxHashSet;
use smallvec::SmallVec;

use crate::scenario::plan::{Account, Plan, Pool};
use crate::sip::exchange::Login;

/// A pool and which of its accounts are in use. A worker has every `step`-th account, from `first` on, so that no two
/// workers share one.
#[derive(Debug)]
pub(super) struct Accounts {
    pool: Arc<Pool>,
    first: usize,
    step: usize,
    /// Those of its own, with the attempts that use each, or [`OWNED`].
    own: Vec<(Option<Arc<Login>>, u32)>,
    next: usize,
    aside: FxHashSet<usize>,
}

/// The accounts that an attempt holds.
#[derive(Clone, Copy)]
pub(super) struct Cast<'a> {
    /// The actor of its first leg.
    pub(super) first: usize,
    /// The account of each of its legs.
    pub(super) held: &'a [Option<u32>],
    /// The pool of every actor.
    pub(super) pools: &'a [Option<usize>],
    pub(super) accounts: &'a [Accounts],
}

impl<'a> Cast<'a> {
    /// That of an actor.
    fn account(&self, actor: usize) -> Option<&'a Account> {
        let held = self.held.get(actor.checked_sub(self.first)?).copied().flatten()?;
        Some(self.accounts[self.pools.get(actor).copied().flatten()?].get(held as usize))
    }

    /// Those of all actors, by their names.
    pub(super) fn accounts<'p>(&self, plan: &'p Plan) -> SmallVec<[(&'p str, Option<&'a Account>); 4]> {
        plan.actors.iter().enumerate().map(|(index, actor)| (actor.name.as_str(), self.account(index))).collect()
    }
}

/// One attempt has the account for itself.
const OWNED: u32 = u32::MAX;

/// Which account of a pool is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Pick {
    /// The next in turn.
    #[default]
    Next,
    /// This one.
    Only(usize),
    /// Any but this one, where there is another.
    Not(usize),
}

impl Pick {
    /// Whether it is one of these.
    pub(super) fn permits(self, account: usize) -> bool {
        match self {
            Self::Next => true,
            Self::Only(wanted) => account == wanted,
            Self::Not(avoided) => account != avoided,
        }
    }
}

impl Accounts {
    pub(super) fn new(pool: Arc<Pool>, first: usize, step: usize) -> Self {
        let step = step.max(1);
        let own = pool.accounts.iter().skip(first).step_by(step).map(|account| (login(account), 0)).collect();
        Self { pool, first, step, own, next: 0, aside: FxHashSet::default() }
    }

    /// The pools of a plan, each once, and which of them each actor draws from.
    pub(super) fn of_plan(plan: &Plan, first: usize, step: usize) -> (Vec<Self>, Vec<Option<usize>>) {
        let mut pools: Vec<Self> = Vec::new();
        let of_actor = plan.actors.iter().map(|actor| {
            let pool = actor.pool.as_ref()?;
            let known = pools.iter().position(|known| Arc::ptr_eq(&known.pool, pool));
            Some(known.unwrap_or_else(|| {
                pools.push(Self::new(Arc::clone(pool), first, step));
                pools.len() - 1
            }))
        });
        let of_actor = of_actor.collect();
        (pools, of_actor)
    }

    /// The next account that is free: for itself alone where it is to be `owned`.
    pub(super) fn acquire(&mut self, owned: bool) -> Option<usize> {
        self.acquire_as(owned, Pick::Next)
    }

    /// The next account that is free and the one that is wanted.
    pub(super) fn acquire_as(&mut self, owned: bool, pick: Pick) -> Option<usize> {
        let limit = if owned { 1 } else { self.pool.calls_each.unwrap_or(OWNED) };
        let count = self.own.len();
        let free = |place: &usize| self.own[*place].1 < limit;
        let in_turn = || (0..count).map(|ahead| (self.next + ahead) % count).filter(free);
        let wanted = in_turn().find(|place| {
            let account = self.index_of(*place);
            pick.permits(account) && (pick == Pick::Only(account) || !self.aside.contains(&account))
        });
        let place = wanted.or_else(|| in_turn().next().filter(|_| matches!(pick, Pick::Not(_))))?;
        self.next = (place + 1) % count;
        self.own[place].1 = if owned { OWNED } else { self.own[place].1 + 1 };
        Some(self.index_of(place))
    }

    /// An account is not to be used again, unless it alone is wanted.
    pub(super) fn set_aside(&mut self, account: usize) {
        self.aside.insert(account);
    }

    pub(super) fn release(&mut self, index: usize) {
        let place = self.place_of(index);
        if let Some((_, used)) = self.own.get_mut(place) {
            *used = if *used == OWNED { 0 } else { *used - 1 };
        }
    }

    pub(super) fn get(&self, index: usize) -> &Account {
        &self.pool.accounts[index]
    }

    pub(super) fn login(&self, index: usize) -> Option<&Arc<Login>> {
        self.own.get(self.place_of(index))?.0.as_ref()
    }

    fn index_of(&self, place: usize) -> usize {
        self.first + place * self.step
    }

    fn place_of(&self, index: usize) -> usize {
        index.saturating_sub(self.first) / self.step
    }
}

fn login(account: &Account) -> Option<Arc<Login>> {
    let password = account.password.clone()?;
    let user = account.auth_user.clone().unwrap_or_else(|| account.user.clone());
    Some(Arc::new(Login { user, password }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(users: &[&str], calls_each: Option<u32>) -> Arc<Pool> {
        let accounts = users.iter().map(|user| Account { user: (*user).to_owned(), ..Account::default() }).collect();
        Arc::new(Pool { name: "agents".into(), accounts, calls_each })
    }

    #[test]
    fn accounts_go_round_in_turn_and_an_owned_one_is_not_given_twice() {
        let mut accounts = Accounts::new(pool(&["a", "b", "c"], None), 0, 1);
        assert_eq!(
            [accounts.acquire(true), accounts.acquire(true), accounts.acquire(true)],
            [Some(0), Some(1), Some(2)]
        );
        assert_eq!(accounts.acquire(true), None);
        accounts.release(1);
        assert_eq!(accounts.acquire(true), Some(1));
    }

    #[test]
    fn an_account_carries_as_many_calls_as_it_may() {
        let mut accounts = Accounts::new(pool(&["a"], Some(2)), 0, 1);
        assert_eq!(
            [accounts.acquire(false), accounts.acquire(false), accounts.acquire(false)],
            [Some(0), Some(0), None]
        );
    }

    #[test]
    fn an_account_that_is_owned_carries_no_other_call() {
        let mut accounts = Accounts::new(pool(&["a", "b"], None), 0, 1);
        assert_eq!(accounts.acquire(true), Some(0));
        assert_eq!([accounts.acquire(false), accounts.acquire(false)], [Some(1), Some(1)]);
        accounts.release(0);
        assert_eq!(accounts.acquire(false), Some(0));
    }

    #[test]
    fn two_workers_share_no_account() {
        let users = pool(&["a", "b", "c"], None);
        let (mut first, mut second) = (Accounts::new(users.clone(), 0, 2), Accounts::new(users, 1, 2));
        assert_eq!([first.acquire(true), first.acquire(true), first.acquire(true)], [Some(0), Some(2), None]);
        assert_eq!([second.acquire(true), second.acquire(true)], [Some(1), None]);
    }
}
