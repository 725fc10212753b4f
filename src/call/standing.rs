//! Registrations that stand from before the first attempt to after the last (`registered: standing`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::callers::Callers;
use super::links::{Access, Purpose};
use super::observe;
use super::step::binding_of;
use crate::record::{LocalFailure, RegistrationFacts, TransportFault};
use crate::scenario::plan::{Plan, Registered};
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
                let server = self.config.servers.iter().find(|(known, _)| *known == actor.target.server);
                let Some((_, remote)) = server else {
                    standing.failure = Some(Failure::Local(LocalFailure::Transport(TransportFault::Dns)));
                    entry.state = State::Failed;
                    continue;
                };
                let transport = actor.target.server.transport;
                let account = transport.is_reliable().then_some((pool, entry.account));
                let purpose = Purpose { transport, remote: *remote, local_port: actor.target.local_port, account };
                match self.links.access(purpose) {
                    Access::Open(flow) if entry.registration.is_none() => {
                        let account = self.accounts[pool].get(entry.account);
                        let login = self.accounts[pool].login(entry.account);
                        let binding = binding_of(actor, account, login, flow, DEFAULT_EXPIRES, STANDING_OWNER);
                        entry.registration = self.endpoint.register(now, binding);
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
        let known = self.standing.iter_mut().flatten().any(|standing| standing.tell(now, event, message));
        if known {
            self.begin_if_settled(now);
        }
        known
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

/// Expiry asked for by standing registrations, seconds.
const DEFAULT_EXPIRES: u32 = 300;
/// Number of standing registrations for the evidence: nobody's.
const STANDING_OWNER: u64 = 0;

/// Accounts that stay registered on one worker: as many as attempts may need at the same time.
fn standing_accounts(plan: &Plan, (index, workers): (u64, u64)) -> usize {
    let needed = crate::scenario::compile::concurrency(plan).unwrap_or_else(|| plan.safety.max_concurrent.into());
    (needed / workers + u64::from(index < needed % workers)).max(1) as usize
}
