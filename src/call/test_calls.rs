//! Test calls to devices of a search for registrations: that a registrar lists a binding does not mean that calls reach it.
//!
//! Another device of the search calls the number of the one that is looked at. What counts is whether its INVITE arrives
//! here; it is refused with 480 then, so nobody's phone rings on.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use super::callers::{Callers, owner_of};
use super::leg::LegRef;
use super::step::request_uri;
use crate::pace::search::Try;
use crate::scenario::text::Values;
use crate::sip::endpoint::Event;
use crate::sip::header;
use crate::sip::message::{Message, Start};
use crate::sip::session::{Extensions, Invite, Response};
use crate::sip::token::Handle;
use crate::sip::uri::{Uri, bracketed};

/// A call that has not arrived within this time does not reach its device.
const ARRIVES_WITHIN: Duration = Duration::from_secs(10);
/// Test calls under way at the same time.
const AT_ONCE: usize = 10;

/// Test calls of a search.
#[derive(Debug, Default)]
pub(super) struct TestCalls {
    under_way: FxHashMap<Handle, TestCall>,
    waiting: VecDeque<Try>,
}

#[derive(Debug)]
struct TestCall {
    /// The try whose device is called.
    of: Try,
    /// User of its Contact.
    user: String,
    until: Instant,
    delivered: bool,
    cancelled: bool,
}

impl TestCalls {
    /// When a call is given up that did not arrive.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.under_way.values().filter(|call| !call.cancelled).map(|call| call.until).min()
    }
}

impl Callers {
    /// The registrar lists the binding of a try: does a call reach it? False where no test call is wanted.
    pub(super) fn ask_by_call(&mut self, now: Instant, me: LegRef) -> bool {
        if self.config.plan.test_call.is_none() || self.limit.is_none() {
            return false;
        }
        let n = self.places[me.place as usize].n;
        if let Some(limit) = &mut self.limit {
            limit.calls.waiting.push_back(n);
        }
        self.place_test_calls(now);
        true
    }

    fn place_test_calls(&mut self, now: Instant) {
        while let Some(limit) = self.limit.as_mut().filter(|limit| limit.calls.under_way.len() < AT_ONCE) {
            let Some(of) = limit.calls.waiting.pop_front() else { return };
            let other = limit.neighbour_of(of);
            match other.and_then(|by| self.place_test_call(now, of, by)) {
                Some((handle, call)) => {
                    if let Some(limit) = &mut self.limit {
                        limit.calls.under_way.insert(handle, call);
                    }
                }
                // Nobody is there to call it: what the registrar says has to do.
                None => self.tell_alive(now, of, other.is_none()),
            }
        }
    }

    fn place_test_call(&mut self, now: Instant, of: Try, by: Try) -> Option<(Handle, TestCall)> {
        let plan = Arc::clone(&self.config.plan);
        let (actor, pool) = (&plan.actors[0], self.pools[0]?);
        let (called, caller) = (self.leg_of(of)?, self.leg_of(by)?);
        let account = |leg: Option<&super::leg::Leg>| leg.and_then(super::leg::Leg::account);
        let (called, caller) =
            (account(self.leg(called))?, account(self.leg(caller).filter(|leg| leg.registration.is_some()))?);
        let (called, login) = (self.accounts[pool].get(called), self.accounts[pool].login(caller));
        let (target, own) = (&actor.target, &self.accounts[pool].get(caller).user);
        let values = Values { n: of, account: Some(called), ..Values::default() };
        let number = target.final_number(&plan.test_call.as_ref()?.render(&values), None);
        let uri = request_uri(&number, None, (target.server.scheme(), &target.domain));
        target.safety.permits(&uri).ok()?;
        let registration = self.leg(self.leg_of(by)?)?.registration?;
        let address = format!("{own}@{}", bracketed(&target.domain));
        let route = self.endpoint.service_route(&address).to_vec();
        let call = Invite {
            flow: self.endpoint.flow(registration)?,
            owner: owner_of(of, 0),
            uri: &uri,
            from: &format!("<{}:{address}>", target.server.scheme()),
            to: &format!("<{uri}>"),
            contact: own,
            route: &route,
            max_forwards: 70,
            extensions: Extensions::default(),
            headers: &target.headers,
            sdp: b"",
            credentials: login,
            raw: None,
            largest_datagram: target.largest_datagram(),
        };
        let handle = self.endpoint.invite(now, &call)?;
        let user = called.user.clone();
        Some((handle, TestCall { of, user, until: now + ARRIVES_WITHIN, delivered: false, cancelled: false }))
    }

    /// What becomes of a test call. False where the handle is none.
    pub(super) fn note_test_call(&mut self, now: Instant, handle: Handle, event: Event) -> bool {
        let Some(call) = self.limit.as_ref().and_then(|limit| limit.calls.under_way.get(&handle)) else { return false };
        let (of, delivered) = (call.of, call.delivered);
        match event {
            Event::Provisional { .. } => return true,
            Event::Unserved { code, cause, .. } => {
                self.endpoint.give_up(now, handle, code, cause);
                return true;
            }
            Event::Answered { .. } => self.endpoint.bye(now, handle, None),
            _ => {}
        }
        if let Some(limit) = &mut self.limit {
            limit.calls.under_way.remove(&handle);
        }
        self.tell_alive(now, of, delivered);
        self.place_test_calls(now);
        true
    }

    /// An INVITE came in: where it is a test call's, it has arrived, and is refused.
    pub(super) fn take_test_call(&mut self, now: Instant, session: Handle, invite: &Message<'_>) -> Option<u64> {
        let Start::Request { uri, .. } = invite.start() else { return None };
        let called = header::text(Uri::parse(uri)?.user);
        let calls = &mut self.limit.as_mut()?.calls.under_way;
        let call = calls.values_mut().find(|call| !call.delivered && call.user == called)?;
        call.delivered = true;
        let owner = owner_of(call.of, 0);
        self.endpoint.adopt(session, owner, None);
        self.endpoint.respond(now, session, &Response { code: 480, ..Response::default() });
        Some(owner)
    }

    /// Gives up test calls that do not arrive.
    pub(super) fn end_late_test_calls(&mut self, now: Instant) {
        let Some(limit) = &mut self.limit else { return };
        let mut late = Vec::new();
        for (handle, call) in limit.calls.under_way.iter_mut().filter(|(_, call)| !call.cancelled && call.until <= now)
        {
            call.cancelled = true;
            late.push(*handle);
        }
        for handle in late {
            self.endpoint.cancel(now, handle);
        }
    }
}
