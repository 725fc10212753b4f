//! Registrations that stand from before the first attempt to after the last (`registered: standing`).
//!
//! ```text
//! Opening ──accepted──► Registered ──refresh failed──► Lost ──its time──► Opening
//!    └─refused─► Failed      └──last attempt over──► Removing ──► Gone
//! ```
//!
//! One that stood and was lost is asked for again, after a time that doubles with each failure (RFC 5626 §4.5). One that
//! the registrar never accepted is not: its answer is the result.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::accounts::Pick;
use super::callers::Callers;
use super::links::{Access, Purpose};
use super::observe;
use super::step::binding_of;
use crate::record::{LocalFailure, RegistrationFacts, TransportFailure, TransportFault};
use crate::scenario::plan::{Plan, Registered};
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
    /// Its Call-ID.
    pub(super) sip_call_id: Option<String>,
    /// Since when it is lost, having stood before.
    lost: Option<Instant>,
    /// Failures since it stood.
    failures: u32,
}

/// What became of a standing registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Became {
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
    pub(super) fn new(accounts: impl IntoIterator<Item = usize>) -> Self {
        let entry = |account| Entry {
            account,
            registration: None,
            state: State::Opening,
            link: None,
            asked: None,
            in_use: false,
            sip_call_id: None,
            lost: None,
            failures: 0,
        };
        Self { entries: accounts.into_iter().map(entry).collect(), failure: None }
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

    /// When the next lost registration is asked for again.
    fn retry_at(&self) -> Option<Instant> {
        let due = |entry: &Entry| match entry.state {
            State::Lost(at) => Some(at),
            _ => None,
        };
        self.entries.iter().filter_map(due).min()
    }

    /// What became of a registration.
    fn tell(&mut self, now: Instant, event: Event, message: Option<&Message<'_>>, random: &mut Random) -> Became {
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
                if stood {
                    entry.lose(now, facts.response.retry_after, random);
                }
                self.failure = Some(Failure::Registrar(facts));
                if stood { Became::Lost(index) } else { Became::Usual }
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

    /// Accounts that wait for a link will not be registered over it.
    pub(super) fn lose_link(&mut self, now: Instant, link: LinkId, failure: &TransportFailure, random: &mut Random) {
        for entry in &mut self.entries {
            if entry.state == State::Opening && entry.registration.is_none() && entry.link == Some(link) {
                self.failure = Some(Failure::Local(LocalFailure::Transport(failure.clone())));
                match entry.lost {
                    Some(_) => entry.lose(now, None, random),
                    None => entry.state = State::Failed,
                }
            }
        }
    }
}

impl Entry {
    /// It does not stand any more, or could not be made again: the next try waits.
    fn lose(&mut self, now: Instant, retry_after: Option<u32>, random: &mut Random) {
        self.lost.get_or_insert(now);
        self.failures += 1;
        let asked = Duration::from_secs(retry_after.unwrap_or(0).into());
        self.state = State::Lost(now + retry_wait(self.failures, random).max(asked));
        (self.registration, self.link) = (None, None);
    }
}

/// RFC 5626 §4.5: between half and all of 30 s · 2^failures, 1,800 s at most.
fn retry_wait(failures: u32, random: &mut Random) -> Duration {
    let upper = (BASE_WAIT * 2u32.saturating_pow(failures.min(16))).min(MAX_WAIT);
    upper / 2 + Duration::from_millis(random.next_u64() % (upper.as_millis() as u64 / 2 + 1))
}

impl Callers {
    /// Standing registrations are asked for; without any the load begins at once.
    pub(super) fn prepared(mut self, now: Instant) -> Self {
        let plan = Arc::clone(&self.config.plan);
        for (actor, pool) in plan.actors.iter().zip(self.pools.clone()) {
            let standing = pool.filter(|_| actor.registered == Registered::Standing).map(|pool| {
                let wanted = standing_accounts(&plan, self.config.share);
                Standing::new(std::iter::from_fn(|| self.accounts[pool].acquire(true)).take(wanted))
            });
            self.standing.push(standing);
        }
        self.preparing = self.standing.iter().any(Option::is_some);
        if self.preparing {
            self.register_standing(now);
        } else {
            self.next_start = Some(self.config.start);
        }
        self
    }

    /// Sends REGISTER for every standing account whose link is open.
    pub(super) fn register_standing(&mut self, now: Instant) {
        let plan = Arc::clone(&self.config.plan);
        for (index, actor) in plan.actors.iter().enumerate() {
            let (Some(standing), Some(pool)) = (&mut self.standing[index], self.pools[index]) else { continue };
            for entry in standing.entries.iter_mut().filter(|entry| entry.state == State::Opening) {
                let server = &actor.target.server;
                let known = self.config.servers.iter().position(|(known, _)| known == server);
                let hop = known.and_then(|index| Some((index, *self.config.servers[index].1.first()?)));
                let Some((index, hop)) = hop else {
                    standing.failure = Some(Failure::Local(LocalFailure::Transport(TransportFault::Dns.into())));
                    entry.state = State::Failed;
                    continue;
                };
                let purpose = Purpose::new(hop, (index, server), &actor.target, (pool, entry.account));
                match self.links.access(purpose) {
                    Access::Open(flow) if entry.registration.is_none() => {
                        let account = self.accounts[pool].get(entry.account);
                        let login = self.accounts[pool].login(entry.account);
                        let binding = binding_of(actor, account, login, flow, DEFAULT_EXPIRES, STANDING_OWNER);
                        entry.registration = self.endpoint.register(now, binding);
                        entry.sip_call_id = entry.registration.and_then(|handle| self.endpoint.call_id(handle));
                        entry.asked = Some(now);
                    }
                    Access::Ask(link) => {
                        entry.link = Some(link);
                        self.wanted.push((link, purpose));
                    }
                    Access::Opening(link) => entry.link = Some(link),
                    Access::Open(_) => {}
                }
            }
        }
        self.begin_if_settled(now);
    }

    /// The load begins once the registrar has answered for every standing account, whatever it said.
    pub(super) fn begin_if_settled(&mut self, now: Instant) {
        if self.preparing && self.standing.iter().flatten().all(Standing::is_settled) {
            self.preparing = false;
            self.starts.begin(now);
            self.next_start = Some(now);
        }
    }

    /// What became of a standing registration. False where the handle is none.
    pub(super) fn tell_standing(&mut self, now: Instant, event: Event, message: Option<&Message<'_>>) -> bool {
        for actor in 0..self.standing.len() {
            let Some(standing) = &mut self.standing[actor] else { continue };
            let first_loss = |standing: &Standing, index: usize| standing.entries[index].failures == 1;
            match standing.tell(now, event, message, &mut self.random) {
                Became::Unknown => continue,
                Became::Usual => {}
                Became::Lost(index) if first_loss(standing, index) => self.record_loss(now, actor, index),
                Became::Lost(_) => {}
                Became::Back(index, since) => self.record_return(now, actor, index, since, message),
            }
            self.honour(now, actor, event);
            self.begin_if_settled(now);
            return true;
        }
        false
    }

    /// A registrar that asks for time gets no calls meanwhile either.
    fn honour(&mut self, now: Instant, actor: usize, event: Event) {
        let failure = self.standing[actor].as_ref().and_then(|standing| standing.failure.as_ref());
        if let (Event::RegistrationFailed { code: 503, .. }, Some(Failure::Registrar(facts))) = (event, failure) {
            self.back_off.note(now, actor, None, facts.response.retry_after);
        }
    }

    /// Asks again for lost registrations whose time has come.
    pub(super) fn retry_standing(&mut self, now: Instant) {
        let mut due = false;
        for entry in self.standing.iter_mut().flatten().flat_map(|standing| &mut standing.entries) {
            if matches!(entry.state, State::Lost(at) if at <= now) {
                entry.state = State::Opening;
                due = true;
            }
        }
        if due {
            self.register_standing(now);
        }
    }

    /// When the next lost registration is asked for again.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.standing.iter().flatten().filter_map(Standing::retry_at).min()
    }

    /// After the last attempt the standing bindings are removed. True once none is left.
    pub(super) fn remove_standing(&mut self, now: Instant) -> bool {
        for entry in self.standing.iter_mut().flatten().flat_map(|standing| &mut standing.entries) {
            match (entry.state, entry.registration) {
                (State::Registered, Some(registration)) => {
                    entry.state = State::Removing;
                    self.endpoint.unregister(now, registration);
                }
                // One whose REGISTER is under way is removed when its answer has come.
                (State::Opening, None) => entry.state = State::Gone,
                _ => {}
            }
        }
        self.standing.iter().flatten().all(Standing::is_gone)
    }
}

/// RFC 5626 §4.5, where no other flow is left.
const BASE_WAIT: Duration = Duration::from_secs(30);
/// The longest wait.
const MAX_WAIT: Duration = Duration::from_secs(1800);
/// Expiry asked for by standing registrations, seconds.
const DEFAULT_EXPIRES: u32 = 300;
/// Number of standing registrations for the evidence: nobody's.
pub(super) const STANDING_OWNER: u64 = 0;

/// Accounts that stay registered on one worker: as many as attempts may need at the same time.
fn standing_accounts(plan: &Plan, (index, workers): (u64, u64)) -> usize {
    let needed = crate::scenario::compile::concurrency(plan).unwrap_or_else(|| plan.safety.max_concurrent.into());
    (needed / workers + u64::from(index < needed % workers)).max(1) as usize
}
