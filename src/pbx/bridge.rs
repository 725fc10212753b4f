//! Calls between accounts: a back-to-back user agent. Descriptions pass through, so media flows from end to end.

use std::time::Instant;

use super::calls::RING_LIMIT;
use super::station::Pbx;
use crate::scenario::plan::Reject;
use crate::sip::endpoint::Event;
use crate::sip::header::{self, Name};
use crate::sip::message::{Message, Start};
use crate::sip::session::{Extensions, Invite, Means, Response, speaks_trickle};
use crate::sip::token::Handle;
use crate::sip::uri::Uri;

impl Pbx {
    /// Calls the contact of a registered account for a call that came in.
    pub(super) fn connect(&mut self, now: Instant, session: Handle, user: &str, invite: &Message<'_>) {
        let gruu = match invite.start() {
            Start::Request { uri, .. } => Uri::parse(uri).and_then(|uri| uri.param("gr")).map(header::text),
            Start::Response { .. } => None,
        };
        let any = self.config.plan.registrations.rings_any;
        let Some(binding) = self.registrar.find(now, user, gruu.as_deref(), any).cloned() else {
            return self.end_with(now, session, &Reject::new(480, Some(20)));
        };
        // RFC 7332 §3: what goes through a back-to-back user agent has one hop less before it.
        let hops = invite.header(Name::MaxForwards).and_then(header::number).unwrap_or(70).min(255) as u8;
        let Some(max_forwards) = hops.checked_sub(1) else {
            return self.end_with(now, session, &Reject { code: 483, reason: None, q850: None, retry_after: None });
        };
        self.endpoint.respond(now, session, &Response { code: 100, ..Response::default() });
        let from = invite.from().map(|from| header::text(from.uri)).unwrap_or_default();
        // Headers of the application's own pass, as that which pairs both legs.
        let own = invite.fields().filter(|(name, _)| name.len() > 2 && name[..2].eq_ignore_ascii_case(b"X-"));
        let headers: Vec<(String, String)> =
            own.map(|(name, value)| (header::text(name), header::text(value))).collect();
        let call = Invite {
            flow: binding.flow,
            owner: 1,
            uri: &binding.contact,
            from: &format!("<{from}>"),
            to: &format!("<sip:{user}@{}>", self.config.plan.domain),
            contact: "lab",
            route: &binding.path,
            max_forwards,
            extensions: Extensions { trickle: speaks_trickle(invite), ..self.config.plan.speaks },
            headers: &headers,
            sdp: invite.sdp().unwrap_or(b""),
            credentials: None,
            raw: None,
            largest_datagram: None,
        };
        match self.endpoint.invite(now, &call) {
            Some(onward) => {
                self.placed.insert(onward, session);
                if let Some(call) = self.calls.get_mut(&session) {
                    call.onward = Some(onward);
                }
                self.set_deadline(session, now + RING_LIMIT);
            }
            None => self.end_with(now, session, &Reject::new(480, Some(20))),
        }
    }

    /// The account has rung for too long: neither side waits any more.
    pub(super) fn give_up(&mut self, now: Instant, session: Handle) {
        let onward = self.calls.get(&session).and_then(|call| call.onward);
        self.end_with(now, session, &Reject::new(480, Some(19)));
        if let Some(onward) = onward {
            self.endpoint.cancel(now, onward);
        }
    }

    pub(super) fn handle_provisional(
        &mut self,
        now: Instant,
        onward: Handle,
        code: u16,
        message: Option<&Message<'_>>,
    ) {
        if let (Some(session), true) = (self.placed.get(&onward).copied(), code > 100) {
            let sdp = message.and_then(Message::sdp).unwrap_or(b"");
            self.endpoint.speak_trickle(session, self.endpoint.takes_candidates(onward));
            self.endpoint.respond(now, session, &Response { code, contact: "lab", sdp, ..Response::default() });
        }
    }

    pub(super) fn handle_answered(&mut self, now: Instant, onward: Handle, message: Option<&Message<'_>>) {
        let Some(session) = self.placed.get(&onward).copied() else {
            return self.endpoint.bye(now, onward, None);
        };
        // RFC 3262 §5: the answer may have come in a provisional response that was acknowledged.
        let early = || self.endpoint.early_answer(onward);
        let sdp = message.and_then(Message::sdp).or_else(early).unwrap_or(b"").to_vec();
        self.mark_bridged(session);
        self.endpoint.speak_trickle(session, self.endpoint.takes_candidates(onward));
        self.endpoint.respond(now, session, &Response { code: 200, contact: "lab", sdp: &sdp, ..Response::default() });
    }

    pub(super) fn handle_refused(&mut self, now: Instant, onward: Handle, code: u16, message: Option<&Message<'_>>) {
        let Some(session) = self.placed.get(&onward).copied() else { return };
        let reason = message.and_then(|message| match message.start() {
            Start::Response { reason, .. } => Some(header::text(reason)),
            Start::Request { .. } => None,
        });
        self.end_with(now, session, &Reject { reason, ..Reject::new(code, None) });
    }

    /// The other side of a call that is connected to an account.
    pub(super) fn other_side(&self, session: Handle) -> Option<Handle> {
        self.placed.get(&session).copied().or_else(|| self.calls.get(&session)?.onward)
    }

    /// One side wants to change what flows: the other is asked. False where there is no other side.
    pub(super) fn pass_offer(
        &mut self,
        now: Instant,
        session: Handle,
        by: Means,
        message: Option<&Message<'_>>,
    ) -> bool {
        let Some(other) = self.other_side(session) else { return false };
        let sdp = message.and_then(Message::sdp).unwrap_or(b"");
        let passed = !sdp.is_empty() && self.endpoint.change(now, other, sdp, by);
        if passed {
            self.asked.insert(other, (session, by));
        } else {
            self.answer_change(now, session, by, 488, b"");
        }
        true
    }

    /// The other side has answered the change.
    pub(super) fn handle_changed(&mut self, now: Instant, event: Event, message: Option<&Message<'_>>) {
        let Event::Changed { session, code, .. } = event else { return };
        let Some((asker, by)) = self.asked.remove(&session) else { return };
        let sdp = message.and_then(Message::sdp).filter(|_| code < 300).unwrap_or(b"");
        self.answer_change(now, asker, by, code, sdp);
    }

    pub(super) fn answer_change(&mut self, now: Instant, session: Handle, by: Means, code: u16, sdp: &[u8]) {
        let response = Response { code, contact: "lab", sdp, ..Response::default() };
        match by {
            Means::Reinvite => self.endpoint.respond(now, session, &response),
            Means::Update => self.endpoint.answer_offer(now, session, &response),
        }
    }

    /// The ACK of one side has the answer to an offer of the other.
    pub(super) fn pass_answer(&mut self, now: Instant, session: Handle, answer: &[u8]) {
        if let Some(other) = self.other_side(session) {
            self.endpoint.acknowledge(now, other, answer);
        }
    }

    /// One side of a call has ended: so does the other.
    pub(super) fn handle_ended(&mut self, now: Instant, ended: Handle) {
        self.asked.remove(&ended);
        if let Some(session) = self.placed.get(&ended).copied() {
            return self.hang_up(now, session, None);
        }
        if let Some(onward) = self.calls.get(&ended).and_then(|call| call.onward) {
            self.placed.remove(&onward);
            self.endpoint.cancel(now, onward);
            self.endpoint.bye(now, onward, None);
        }
        self.forget(now, ended);
    }
}
