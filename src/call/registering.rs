//! Standing registrations of a worker: asked for before the load begins, kept while it goes on, removed after it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::callers::Callers;
use super::hops::{Way, Why};
use super::links::{Access, Purpose};
use super::observe;
use super::standing::{Became, Failure, Standing, State};
use super::step::binding_of;
use crate::record::{LocalFailure, TransportFault};
use crate::scenario::plan::{Plan, Registered};
use crate::sip::endpoint::Event;
use crate::sip::exchange::Cause;
use crate::sip::flow::LinkId;
use crate::sip::message::Message;
use crate::sip::token::Handle;

/// Expiry asked for by standing registrations, seconds.
const DEFAULT_EXPIRES: u32 = 300;
/// Registrations that the highest rate allows within this time may be asked for at once.
const AT_ONCE: Duration = Duration::from_millis(10);
/// Number of standing registrations for the evidence: nobody's.
pub(super) const STANDING_OWNER: u64 = 0;

impl Callers {
    /// Standing registrations are asked for; without any the load begins at once.
    pub(super) fn prepared(mut self, now: Instant) -> Self {
        let plan = Arc::clone(&self.config.plan);
        // No faster than calls may start: a registrar takes so many at once as its switch does.
        let spacing = Duration::from_secs_f64(self.config.share.1 as f64 / plan.safety.max_cps.max(1e-3));
        let mut asked = 0;
        for (index, (actor, pool)) in plan.actors.iter().zip(self.pools.clone()).enumerate() {
            let standing = pool.filter(|_| actor.registered == Registered::Standing).map(|pool| {
                let wanted = standing_accounts(&plan, index, self.config.share);
                let accounts = std::iter::from_fn(|| self.accounts[pool].acquire(true)).take(wanted);
                let standing = Standing::new(accounts.map(|account| {
                    let due = now + (spacing * asked).saturating_sub(AT_ONCE);
                    asked += 1;
                    (account, due)
                }));
                Standing { never_gives_up: self.waits_for_commands(), ..standing }
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
            for entry in standing.entries.iter_mut().filter(|entry| entry.waits(now)) {
                let server = &actor.target.server;
                if entry.way.is_none() {
                    entry.way = self.hops.number_of(server).map(Way::new);
                }
                let hop = entry.way.as_mut().and_then(|way| Some((way.server(), way.hop(now, &mut self.hops)?)));
                let Some((number, hop)) = hop else {
                    if let (Some((code, cause)), Some(registration)) = (entry.unserved.take(), entry.registration) {
                        self.endpoint.give_up(now, registration, code, cause);
                        continue;
                    }
                    let tried = entry.way.as_ref().is_some_and(Way::has_left);
                    let fault = if tried { self.fault.clone() } else { TransportFault::Dns.into() };
                    standing.failure = Some(Failure::Local(LocalFailure::Transport(fault)));
                    if entry.lost.is_some() || standing.never_gives_up {
                        entry.lose(now, None, &mut self.random);
                    } else {
                        entry.state = State::Failed;
                    }
                    continue;
                };
                let purpose = Purpose::new(hop, (number, server), &actor.target, (pool, entry.account));
                match self.links.access(purpose, hop.address) {
                    Access::Open(flow) if entry.unserved.take().is_some() => {
                        if let Some(registration) = entry.registration {
                            self.endpoint.move_to(now, registration, flow);
                        }
                    }
                    Access::Open(flow) => {
                        let account = self.accounts[pool].get(entry.account);
                        let login = self.accounts[pool].login(entry.account);
                        let binding = binding_of(actor, account, login, flow, DEFAULT_EXPIRES, STANDING_OWNER);
                        entry.registration = self.endpoint.register(now, binding);
                        entry.sip_call_id = entry.registration.and_then(|handle| self.endpoint.call_id(handle));
                        entry.asked = Some(now);
                    }
                    Access::Ask(link) => {
                        entry.link = Some(link);
                        self.wanted.push((link, purpose, hop.address));
                    }
                    Access::Opening(link) => entry.link = Some(link),
                }
            }
        }
        self.begin_if_settled(now);
    }

    /// A REGISTER was not served where it went: another place is tried. False where it is none of these.
    fn move_standing(
        &mut self,
        now: Instant,
        registration: Handle,
        (code, cause): (u16, Cause),
        message: Option<&Message<'_>>,
    ) -> bool {
        let entries = self.standing.iter_mut().flatten().flat_map(|standing| &mut standing.entries);
        let Some(entry) = entries.into_iter().find(|entry| entry.registration == Some(registration)) else {
            return false;
        };
        if self.over {
            // Nobody needs it any more.
            self.endpoint.give_up(now, registration, code, cause);
            return true;
        }
        let retry_after = observe::final_response(code, cause, message).retry_after;
        if let Some(way) = &mut entry.way {
            way.leave(now, &mut self.hops, Why::of(cause, retry_after));
        }
        entry.unserved = Some((code, cause));
        self.register_standing(now);
        true
    }

    /// A REGISTER is too large for a datagram: it goes to the same place by TCP, where that is spoken. False where it is
    /// none of these.
    fn enlarge_standing(&mut self, now: Instant, registration: Handle) -> bool {
        let entries = self.standing.iter_mut().flatten().flat_map(|standing| &mut standing.entries);
        let Some(entry) = entries.into_iter().find(|entry| entry.registration == Some(registration)) else {
            return false;
        };
        if let Some(way) = &mut entry.way {
            way.prefer_tcp();
        }
        entry.unserved = Some((503, Cause::Transport));
        self.register_standing(now);
        true
    }

    /// Accounts that wait for this link will not be registered over it.
    pub(super) fn miss_standing_link(&mut self, now: Instant, link: LinkId) {
        for entry in self.standing.iter_mut().flatten().flat_map(|standing| &mut standing.entries) {
            if entry.waits(now) && entry.link == Some(link) {
                if let Some(way) = &mut entry.way {
                    way.miss(now, &mut self.hops);
                }
                entry.unserved = entry.unserved.map(|_| (503, Cause::Transport));
            }
        }
        self.register_standing(now);
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
        if let Event::Unserved { entry, code, cause } = event {
            return self.move_standing(now, entry, (code, cause), message);
        }
        if let Event::TooLarge { entry } = event {
            return self.enlarge_standing(now, entry);
        }
        for actor in 0..self.standing.len() {
            let Some(standing) = &mut self.standing[actor] else { continue };
            let first_loss = |standing: &Standing, index: usize| standing.entries[index].failures == 1;
            match standing.tell(now, event, message, (&mut self.hops, &mut self.random)) {
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

    /// Asks for registrations whose time has come, and again for those that were lost.
    pub(super) fn retry_standing(&mut self, now: Instant) {
        let mut due = false;
        for entry in self.standing.iter_mut().flatten().flat_map(|standing| &mut standing.entries) {
            due |= self.preparing && entry.state == State::Opening && entry.is_unasked() && entry.due <= now;
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
        self.standing.iter().flatten().filter_map(|standing| standing.retry_at(self.preparing)).min()
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

/// Accounts that stay registered on one worker: as many as attempts may need at the same time.
fn standing_accounts(plan: &Plan, actor: usize, (index, workers): (u64, u64)) -> usize {
    let needed =
        crate::scenario::compile::concurrency_of(plan, actor).unwrap_or_else(|| plan.safety.max_concurrent.into());
    (needed / workers + u64::from(index < needed % workers)).max(1) as usize
}
