//! Calls between accounts: a back-to-back user agent. Descriptions pass through, so media flows from end to end.

use std::time::Instant;

use super::station::Pbx;
use crate::scenario::plan::Reject;
use crate::sip::header;
use crate::sip::message::Message;
use crate::sip::session::{Invite, Response};
use crate::sip::token::Handle;

impl Pbx {
    /// Calls the contact of a registered account for a call that came in.
    pub(super) fn connect(&mut self, now: Instant, session: Handle, user: &str, invite: &Message<'_>) {
        let Some(binding) = self.registrar.find(now, user).cloned() else {
            return self.end_with(now, session, &Reject { code: 480, reason: None, q850: Some(20) });
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
            contact_user: "lab",
            route: &[],
            headers: &headers,
            sdp: invite.sdp().unwrap_or(b""),
            credentials: None,
        };
        match self.endpoint.invite(now, &call) {
            Some(onward) => {
                self.placed.insert(onward, session);
                if let Some(call) = self.calls.get_mut(&session) {
                    call.onward = Some(onward);
                }
            }
            None => self.end_with(now, session, &Reject { code: 480, reason: None, q850: Some(20) }),
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
            self.endpoint.respond(now, session, &Response { code, contact: "lab", sdp, ..Response::default() });
        }
    }

    pub(super) fn handle_answered(&mut self, now: Instant, onward: Handle, message: Option<&Message<'_>>) {
        let Some(session) = self.placed.get(&onward).copied() else {
            return self.endpoint.bye(now, onward, None);
        };
        let sdp = message.and_then(Message::sdp).unwrap_or(b"");
        self.mark_bridged(session);
        self.endpoint.respond(now, session, &Response { code: 200, contact: "lab", sdp, ..Response::default() });
    }

    pub(super) fn handle_refused(&mut self, now: Instant, onward: Handle, code: u16, message: Option<&Message<'_>>) {
        let Some(session) = self.placed.get(&onward).copied() else { return };
        let reason = message.and_then(|message| match message.start() {
            crate::sip::message::Start::Response { reason, .. } => Some(header::text(reason)),
            crate::sip::message::Start::Request { .. } => None,
        });
        self.end_with(now, session, &Reject { code, reason, q850: None });
    }

    /// One side of a call has ended: so does the other.
    pub(super) fn handle_ended(&mut self, now: Instant, ended: Handle) {
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
