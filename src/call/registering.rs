//! Standing registrations of a worker: asked for before the load begins, kept while it goes on, removed after it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::callers::Callers;
use super::hops::{Way, Why};
use super::links::{Access, Holder, Purpose};
use super::observe;
use super::standing::{Asking, Became, Failure, Seat, Standing, State};
use super::step::binding_of;
use crate::record::{LocalFailure, Rungs};
use crate::scenario::plan::{Plan, Registered};
use crate::sip::endpoint::Event;
use crate::sip::exchange::Cause;
use crate::sip::flow::LinkId;
use crate::sip::message::Message;
use crate::sip::token::Handle;

/// Registrations that the highest rate allows within this time may be asked for at once.
const AT_ONCE: Duration = Duration::from_millis(10);
/// The longest wait before a connection of WebSocket that was lost is made again: no page leaves its user without a phone
/// for longer.
const LONGEST_RECONNECT: Duration = Duration::from_secs(30);
/// Number of standing registrations for the evidence: nobody's.
pub(super) const STANDING_OWNER: u64 = 0;

impl Callers {
    /// Standing registrations are asked for; without any the load begins at once.
    pub(super) fn prepared(mut self, now: Instant) -> Self {
        let plan = Arc::clone(&self.config.plan);
        let (mut asked, never_gives_up) = (0, self.waits_for_commands());
        for (index, (actor, pool)) in plan.actors.iter().zip(self.pools.clone()).enumerate() {
            let standing: Option<Standing> = pool.filter(|_| actor.registered.stands()).map(|pool| {
                let wanted = standing_accounts(&plan, index, self.config.share);
                let accounts = std::iter::from_fn(|| self.accounts[pool].acquire(true)).take(wanted);
                let mut standing = Standing::new(accounts);
                standing.never_gives_up = never_gives_up;
                if let Some(web) = &actor.target.server.web {
                    standing.waits = (web.reconnect, LONGEST_RECONNECT.max(2 * web.reconnect));
                }
                standing
            });
            for entry in 0..standing.as_ref().map_or(0, Standing::len) {
                // No faster than calls may start: a registrar takes so many at once as its switch does.
                let due = now + (self.seats.spacing * asked).saturating_sub(AT_ONCE);
                self.seats.due.insert(due, Seat { actor: index as u8, index: entry as u32 });
                asked += 1;
                self.progress.standing += 1;
            }
            self.standing.push(standing);
        }
        self.preparing = self.standing.iter().any(Option::is_some);
        if self.preparing {
            self.retry_standing(now);
            self.begin_if_settled(now);
        } else {
            self.next_start = Some(self.config.start);
        }
        self
    }

    /// Asks for registrations whose time has come, for the first time or after they were lost.
    pub(super) fn retry_standing(&mut self, now: Instant) {
        while let Some(seat) = self.seats.due.pop(now) {
            let Some(standing) = &mut self.standing[usize::from(seat.actor)] else { continue };
            let index = seat.index as usize;
            match standing.get(index).state() {
                State::Lost if self.seats.removal.is_none() => standing.set(index, State::Opening),
                State::Opening if self.preparing => {}
                _ => continue,
            }
            self.ask_standing(now, seat);
        }
    }

    /// When the next of them is asked for.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.seats.due.next_deadline()
    }

    /// Sends the REGISTER of an account that waits for a place to go to, where its link is open.
    fn ask_standing(&mut self, now: Instant, seat: Seat) {
        let plan = Arc::clone(&self.config.plan);
        let (actor, index) = (usize::from(seat.actor), seat.index as usize);
        let (Some(standing), Some(pool)) = (&mut self.standing[actor], self.pools[actor]) else { return };
        let entry = standing.get_mut(index);
        if !entry.waits() {
            return;
        }
        let (actor, registrar) = (&plan.actors[actor], &self.registrars[actor]);
        let server = &actor.target.server;
        let account = entry.account();
        let mut asking = entry.asking.take().unwrap_or_default();
        if asking.way.is_none() {
            asking.way = self.hops.number_of(server).map(Way::new);
        }
        let hop = asking.way.as_mut().and_then(|way| Some((way.server(), way.hop(now, &mut self.hops)?)));
        let Some((number, hop)) = hop else {
            if let (Some((code, cause)), Some(registration)) = (asking.unserved, entry.registration) {
                return self.endpoint.give_up(now, registration, code, cause);
            }
            let tried = asking.way.as_ref().is_some_and(Way::has_left);
            let unknown = self.hops.why_unknown(asking.way.as_ref().map(Way::server));
            let missed = asking.way.as_ref().and_then(Way::furthest).map(|missed| missed.failure);
            let fault = if tried { missed.unwrap_or_else(|| self.fault.clone()) } else { unknown.into() };
            standing.failure = Some(Failure::Local(LocalFailure::Transport(fault)));
            if standing.get(index).lost.is_some() || standing.never_gives_up {
                let again = standing.lose(now, index, None, &mut self.random);
                self.seats.due.insert(again, seat);
            } else {
                standing.set(index, State::Failed);
                self.begin_if_settled(now);
            }
            return;
        };
        let holder = Holder { pool, account, tab: 0 };
        let purpose = Purpose::new(hop, (number, server), &actor.target, holder, account as u32);
        asking.link = None;
        let access = self.links.access(purpose, hop.address);
        if let (Access::Open(_), Some(way)) = (&access, &mut asking.way) {
            way.note_reached();
        }
        match access {
            Access::Open(flow) if asking.unserved.take().is_some() => {
                if let Some(registration) = entry.registration {
                    self.endpoint.move_to(now, registration, flow);
                }
            }
            Access::Open(flow) => {
                let accounts = &self.accounts[pool];
                let (who, login) = (accounts.get(account), accounts.login(account));
                let binding = binding_of(registrar, who, login, flow, (actor.expires, 0), STANDING_OWNER);
                entry.registration = self.endpoint.register(now, binding);
                if let Some(registration) = entry.registration {
                    self.seats.by_handle.insert(registration, seat);
                }
            }
            Access::Ask(link) => {
                asking.link = Some(link);
                self.wanted.push((link, purpose, hop.address));
            }
            Access::Opening(link) => asking.link = Some(link),
        }
        if let Some(link) = asking.link {
            self.seats.waiting.entry(link).or_default().push(seat);
        }
        entry.asking = Some(asking);
    }

    /// A link is open that accounts may wait for.
    pub(super) fn take_standing_link(&mut self, now: Instant, link: LinkId) {
        for seat in self.waiting_for(link) {
            self.ask_standing(now, seat);
        }
    }

    /// Accounts that wait for this link will not be registered over it.
    pub(super) fn miss_standing_link(&mut self, now: Instant, link: LinkId) {
        for seat in self.waiting_for(link) {
            let Some(standing) = &mut self.standing[usize::from(seat.actor)] else { continue };
            if let Some(asking) = &mut standing.get_mut(seat.index as usize).asking {
                if let Some(way) = &mut asking.way {
                    way.miss(now, &mut self.hops, &self.fault, Rungs::default());
                }
                asking.unserved = asking.unserved.map(|_| (503, Cause::Transport));
            }
            self.ask_standing(now, seat);
        }
    }

    /// The accounts that wait for a link.
    fn waiting_for(&mut self, link: LinkId) -> Vec<Seat> {
        let mut seats = self.seats.waiting.remove(&link).unwrap_or_default();
        seats.retain(|seat| self.asking(*seat).is_some_and(|asking| asking.link == Some(link)));
        seats
    }

    fn asking(&mut self, seat: Seat) -> Option<&mut Asking> {
        let standing = self.standing[usize::from(seat.actor)].as_mut()?;
        standing.get_mut(seat.index as usize).asking.as_deref_mut()
    }

    /// The way to the place where a binding was made.
    fn way_home(&self, seat: Seat, registration: Handle) -> Option<Way> {
        let server = &self.config.plan.actors[usize::from(seat.actor)].target.server;
        let flow = self.endpoint.flow(registration)?;
        self.hops.way_to(self.hops.number_of(server)?, flow.remote, self.endpoint.transport(flow.link))
    }

    /// A REGISTER was not served where it went: another place is tried.
    fn move_standing(
        &mut self,
        now: Instant,
        seat: Seat,
        (registration, code, cause): (Handle, u16, Cause),
        message: Option<&Message<'_>>,
    ) {
        if self.over {
            // Nobody needs it any more.
            return self.endpoint.give_up(now, registration, code, cause);
        }
        let retry_after = observe::final_response(code, cause, message).retry_after;
        let why = Why::of(cause, retry_after);
        self.leave(seat, (registration, code, cause), |way, hops| way.leave(now, hops, why));
        self.ask_standing(now, seat);
    }

    /// A REGISTER is too large for a datagram: it goes to the same place by TCP, where that is spoken.
    fn enlarge_standing(&mut self, now: Instant, seat: Seat, registration: Handle) {
        self.leave(seat, (registration, 503, Cause::Transport), |way, _| way.prefer_tcp());
        self.ask_standing(now, seat);
    }

    fn leave(
        &mut self,
        seat: Seat,
        (registration, code, cause): (Handle, u16, Cause),
        leave: impl FnOnce(&mut Way, &mut super::hops::Hops),
    ) {
        let home = self.way_home(seat, registration);
        let Some(standing) = &mut self.standing[usize::from(seat.actor)] else { return };
        let asking = standing.get_mut(seat.index as usize).asking.get_or_insert_default();
        if asking.way.is_none() {
            asking.way = home;
        }
        if let Some(way) = &mut asking.way {
            leave(way, &mut self.hops);
        }
        asking.unserved = Some((code, cause));
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
    pub(super) fn tell_standing(
        &mut self,
        now: Instant,
        (handle, event): (Handle, Event),
        message: Option<&Message<'_>>,
    ) -> bool {
        let Some(seat) = self.seats.by_handle.get(&handle).copied() else { return false };
        match event {
            Event::Unserved { code, cause, .. } => self.move_standing(now, seat, (handle, code, cause), message),
            Event::TooLarge { .. } => self.enlarge_standing(now, seat, handle),
            _ => self.settle_standing(now, seat, (handle, event), message),
        }
        true
    }

    fn settle_standing(
        &mut self,
        now: Instant,
        seat: Seat,
        (handle, event): (Handle, Event),
        message: Option<&Message<'_>>,
    ) {
        let (actor, index) = (usize::from(seat.actor), seat.index as usize);
        if let Event::Registered { refreshed, .. } = event {
            self.note_standing_answer(seat, handle);
            self.progress.refreshes += u64::from(refreshed);
        } else {
            self.seats.by_handle.remove(&handle);
        }
        let Some(standing) = &mut self.standing[actor] else { return };
        let became = standing.tell(now, (index, event), message, &mut self.random);
        let first_loss = standing.get(index).failures == 1;
        match became {
            Became::Usual => {}
            Became::Lost(again) => {
                self.seats.due.insert(again, seat);
                if first_loss {
                    self.record_loss(now, seat, handle);
                }
            }
            Became::Back(since) => self.record_return(now, seat, (event, since), message),
        }
        self.honour(now, actor, event);
        self.begin_if_settled(now);
        let standing = self.standing.iter().flatten();
        let registered = standing.map(|standing| standing.count(State::Registered) as u64).sum();
        self.progress.most_registered = self.progress.most_registered.max(registered);
        if self.seats.removal.is_some_and(|(next, _)| (next.actor, next.index) > (seat.actor, seat.index)) {
            // Its answer came after its turn to be removed.
            self.remove_seat(now, seat);
        }
    }

    /// The place that a REGISTER went to has answered: nothing is kept of the way there, unless it was an unusual one.
    fn note_standing_answer(&mut self, seat: Seat, registration: Handle) {
        let kept = self.asking(seat).and_then(|asking| asking.way.take());
        let Some(mut way) = kept.or_else(|| self.way_home(seat, registration)) else { return };
        way.note_answer(&mut self.hops);
        way.begin_anew();
        let unusual = way.is_by_tcp().then(|| Box::new(Asking { way: Some(way), ..Asking::default() }));
        if let Some(standing) = &mut self.standing[usize::from(seat.actor)] {
            standing.get_mut(seat.index as usize).asking = unusual;
        }
    }

    /// A registrar that asks for time gets no calls meanwhile either.
    fn honour(&mut self, now: Instant, actor: usize, event: Event) {
        let failure = self.standing[actor].as_ref().and_then(|standing| standing.failure.as_ref());
        if let (Event::RegistrationFailed { code: 503, .. }, Some(Failure::Registrar(facts))) = (event, failure) {
            self.back_off.note(now, actor, None, facts.response.retry_after);
        }
    }

    /// After the last attempt the standing bindings are removed, no faster than they were made. True once none is left.
    pub(super) fn remove_standing(&mut self, now: Instant) -> bool {
        let (mut seat, mut due) = self.seats.removal.unwrap_or((Seat { actor: 0, index: 0 }, now));
        while let Some(standing) = self.standing.get(usize::from(seat.actor)) {
            if standing.as_ref().is_none_or(|standing| standing.len() <= seat.index as usize) {
                seat = Seat { actor: seat.actor + 1, index: 0 };
                continue;
            }
            if due > now + AT_ONCE {
                break;
            }
            let next = Seat { index: seat.index + 1, ..seat };
            self.seats.removal = Some((next, due));
            if self.remove_seat(now, seat) {
                due = due.max(now) + self.seats.spacing;
            }
            seat = next;
        }
        self.seats.removal = Some((seat, due));
        usize::from(seat.actor) >= self.standing.len() && self.standing.iter().flatten().all(Standing::is_gone)
    }

    /// When the next of the bindings is removed.
    pub(super) fn removal_at(&self) -> Option<Instant> {
        let (seat, due) = self.seats.removal?;
        (usize::from(seat.actor) < self.standing.len()).then_some(due)
    }

    /// Removes the binding of a seat, where there is one; whether a request was sent. One whose REGISTER is under way is
    /// removed when its answer has come.
    fn remove_seat(&mut self, now: Instant, seat: Seat) -> bool {
        let Some(standing) = &mut self.standing[usize::from(seat.actor)] else { return false };
        let index = seat.index as usize;
        match (standing.get(index).state(), standing.get(index).registration) {
            (State::Registered, Some(registration)) => {
                standing.set(index, State::Removing);
                self.endpoint.unregister(now, registration);
                true
            }
            (State::Opening, None) => {
                standing.set(index, State::Gone);
                false
            }
            _ => false,
        }
    }
}

/// Accounts that stay registered on one worker: all that it has, or as many as attempts may need at the same time.
fn standing_accounts(plan: &Plan, actor: usize, (index, workers): (u64, u64)) -> usize {
    if plan.actors[actor].registered == Registered::All {
        return usize::MAX;
    }
    let needed =
        crate::scenario::compile::concurrency_of(plan, actor).unwrap_or_else(|| plan.safety.max_concurrent.into());
    (needed / workers + u64::from(index < needed % workers)).max(1) as usize
}
