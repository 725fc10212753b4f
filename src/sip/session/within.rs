//! Requests of the far end within the dialog, and what each is answered with (RFC 3261 §12.2.2, §15.1.2; RFC 3311 §5.2).

use super::timer::Asked;
use super::{Offer, Session, State};
use crate::sip::endpoint::{Event, refusal};
use crate::sip::flow::Flow;
use crate::sip::message::{Message, Method, Start};
use crate::sip::outbox::Context;
use crate::sip::sdp::peering::FRAGMENT;
use crate::sip::session::Response;
use crate::sip::write::{self, Writer};

/// Answers that are remembered for copies of their requests.
const MAX_ANSWERED: usize = 4;

/// A request that was answered.
#[derive(Debug)]
pub(super) struct Answered {
    key: u64,
    flow: Flow,
    bytes: Vec<u8>,
}

/// An UPDATE or PRACK with an offer, until the application answers it.
#[derive(Debug)]
pub(super) struct Offered {
    key: u64,
    flow: Flow,
    head: Vec<u8>,
    asked: Asked,
    update: bool,
}

impl Session {
    /// A request within the dialog. What the application has no say in is answered here.
    pub fn handle_request(&mut self, context: &mut Context<'_>, request: &Message<'_>, flow: Flow, key: u64) {
        let (Start::Request { method, .. }, Some((cseq, _))) = (request.start(), request.cseq()) else { return };
        if method == Method::Ack {
            return self.handle_ack(context, cseq);
        }
        let key = key ^ u64::from(method == Method::Cancel);
        if let Some(answered) = self.answered.iter().find(|answered| answered.key == key) {
            return context.out.send(answered.flow, self.owner, &answered.bytes);
        }
        if self.served.as_ref().is_some_and(|served| served.key == key) && method == Method::Invite {
            return self.handle_copy(context);
        }
        if self.offered.as_ref().is_some_and(|offered| offered.key == key) {
            return;
        }
        if self.state == State::Over {
            let code = if method == Method::Bye { 200 } else { 481 };
            return self.answer(context, request, (flow, key), code, &[]);
        }
        // A BYE is never refused for its number: the far end will not talk any more, whatever it counts.
        if method != Method::Bye && self.dialog.remote_cseq.is_some_and(|last| cseq < last) {
            return self.answer(context, request, (flow, key), 500, &[]);
        }
        self.dialog.remote_cseq = Some(self.dialog.remote_cseq.map_or(cseq, |last| last.max(cseq)));
        if let Some(refusal) = refusal::of(request, method) {
            let headers: Vec<(&str, &str)> = refusal.headers.iter().map(|(name, it)| (*name, it.as_str())).collect();
            return self.answer(context, request, (flow, key), refusal.code, &headers);
        }
        // RFC 5626 §5.3: what refreshes the target over another connection shows where the far end is now.
        let moved = flow.link != self.flow.link && context.link(flow).is_some_and(|link| link.transport.is_reliable());
        if moved && matches!(method, Method::Invite | Method::Update) {
            self.reroute(flow);
        }
        match method {
            Method::Bye => self.handle_bye(context, request, flow, key),
            Method::Invite => self.handle_reinvite(context, request, flow, key),
            Method::Prack => self.handle_prack(context, request, flow, key),
            Method::Update => self.handle_update(context, request, flow, key),
            Method::Info if request.has_content_type(FRAGMENT) => {
                self.answer(context, request, (flow, key), 200, &[]);
                context.tell(Event::Trickled { session: context.handle });
            }
            // There are no subscriptions here that a NOTIFY could belong to (RFC 6665 §4.1.3).
            Method::Notify => self.answer(context, request, (flow, key), 481, &[]),
            _ => self.answer(context, request, (flow, key), 200, &[]),
        }
    }

    /// Answers the far end's UPDATE or PRACK with an offer.
    pub fn answer_offer(&mut self, context: &mut Context<'_>, response: &Response<'_>) {
        let Some(offered) = self.offered.take() else { return };
        let Some(link) = context.link(offered.flow) else { return };
        let accepts = response.code < 300;
        let fields =
            if accepts && offered.update { self.agree_refresh(context.now, &offered.asked) } else { Vec::new() };
        let mut bytes = Vec::with_capacity(offered.head.len() + 400 + response.sdp.len());
        let mut writer = Writer::response(&mut bytes, response.code, response.reason);
        writer.lines(&offered.head);
        if accepts && offered.update {
            writer.contact(link, &self.contact);
        }
        writer.field("Server", context.agent);
        for (name, value) in fields {
            writer.field(name, value);
        }
        for (name, value) in response.headers {
            writer.field(name, value);
        }
        writer.body("application/sdp", response.sdp);
        if accepts {
            self.sdp = response.sdp.into();
        }
        self.offer = Offer::Settled;
        self.remember(context, offered.flow, offered.key, bytes);
        self.send_change_if_due(context);
    }

    fn handle_bye(&mut self, context: &mut Context<'_>, request: &Message<'_>, flow: Flow, key: u64) {
        self.answer(context, request, (flow, key), 200, &[]);
        match self.state {
            // A BYE crosses a BYE: both are answered, and ours has its own answer still to come. What we have refused is over,
            // but for its ACK.
            State::Over | State::Closing | State::Refusing => {}
            // A caller may end an early dialog so; the INVITE still wants its final response (§15.1.2).
            State::Invited => self.give_way(context),
            // A fork that hangs up before any answered: the INVITE goes on.
            State::Calling | State::Cancelling => {}
            _ => {
                self.end_lingering();
                context.tell(Event::ByeReceived { session: context.handle });
            }
        }
    }

    fn handle_update(&mut self, context: &mut Context<'_>, request: &Message<'_>, flow: Flow, key: u64) {
        let asked = Asked::of(request);
        let offers = request.sdp().is_some();
        let refused = match self.offer {
            _ if asked.is_too_small(&self.extensions.timer) => {
                Some((422, ("Min-SE", self.extensions.timer.min_se.to_string())))
            }
            // RFC 3311 §5.2: two offers at once.
            Offer::Ours if offers => Some((491, ("Allow", write::ALLOW.to_owned()))),
            Offer::Theirs if offers => Some((500, self.come_again(context))),
            _ if self.offered.is_some() => Some((500, self.come_again(context))),
            _ => None,
        };
        if let Some((code, (name, value))) = refused {
            return self.answer(context, request, (flow, key), code, &[(name, &value)]);
        }
        self.dialog.refresh_target(request);
        self.take_capabilities(request);
        if offers {
            return self.take_offer(context, request, flow, key);
        }
        let Some(link) = context.link(flow) else { return };
        let agreed = self.agree_refresh(context.now, &asked);
        let own = link.contact_value(&self.contact);
        let mut headers = vec![("Contact", own.as_str())];
        headers.extend(agreed.iter().map(|(name, value)| (*name, value.as_str())));
        self.answer(context, request, (flow, key), 200, &headers);
    }

    /// An offer that the application answers with [`answer_offer`](Self::answer_offer).
    pub(super) fn take_offer(&mut self, context: &mut Context<'_>, request: &Message<'_>, flow: Flow, key: u64) {
        let tag = context.salt.tag(context.handle).to_string();
        let to = Flow { link: flow.link, remote: write::response_destination(request, flow.remote) };
        let head = write::response_head(request, flow.remote, &tag, false);
        let update = request.method() == Some(Method::Update);
        self.offered = Some(Box::new(Offered { key, flow: to, head, asked: Asked::of(request), update }));
        self.offer = Offer::Theirs;
        context.tell(Event::Offered { session: context.handle });
    }

    /// Answers a request and remembers it for its copies.
    pub(super) fn answer(
        &mut self,
        context: &mut Context<'_>,
        request: &Message<'_>,
        (flow, key): (Flow, u64),
        code: u16,
        headers: &[(&str, &str)],
    ) {
        let tag = context.salt.tag(context.handle).to_string();
        let to = Flow { link: flow.link, remote: write::response_destination(request, flow.remote) };
        let mut bytes = Vec::with_capacity(400);
        let mut writer = Writer::response(&mut bytes, code, "");
        writer.lines(&write::response_head(request, flow.remote, &tag, false));
        if !headers.iter().any(|(name, _)| *name == "Allow") {
            writer.field("Allow", write::ALLOW);
        }
        for (name, value) in headers {
            writer.field(name, value);
        }
        if request.method() == Some(Method::Options) {
            writer.field("Accept", "application/sdp").field("Supported", refusal::SUPPORTED);
        }
        writer.field("Server", context.agent).body("", b"");
        self.remember(context, to, key, bytes);
    }

    fn remember(&mut self, context: &mut Context<'_>, flow: Flow, key: u64, bytes: Vec<u8>) {
        context.out.send(flow, self.owner, &bytes);
        if self.answered.len() == MAX_ANSWERED {
            self.answered.remove(0);
        }
        self.answered.push(Answered { key, flow, bytes });
    }
}
