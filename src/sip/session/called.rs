//! The called half of a session: the far end's INVITE, our responses, its ACK and CANCEL (RFC 3261 §9.2, §13.3,
//! §17.2.1; RFC 6026 §7.1).

use super::reliable::{requires, supports};
use super::timer::Asked;
use super::trickle::{self, TRICKLE_ICE, supported};
use super::{Extensions, Offer, Reliable, Session, State};
use crate::sip::dialog::Dialog;
use crate::sip::endpoint::Event;
use crate::sip::endpoint::refusal::{self, Refusal};
use crate::sip::flow::{Flow, Link};
use crate::sip::message::{Message, Method, Start};
use crate::sip::outbox::Context;
use crate::sip::transaction::{Due, Server};
use crate::sip::write::{self, Writer};

/// A response to a call that was received.
#[derive(Clone, Copy, Debug, Default)]
pub struct Response<'a> {
    /// Status code.
    pub code: u16,
    /// Reason phrase; empty for the standard's.
    pub reason: &'a str,
    /// User part of our Contact (2xx and 18x), or the whole field value when it begins with `<` (3xx).
    pub contact: &'a str,
    /// Further header fields.
    pub headers: &'a [(&'a str, &'a str)],
    /// SDP; empty for none.
    pub sdp: &'a [u8],
}

/// The far end's INVITE and our answer to it.
#[derive(Debug)]
pub(super) struct Served {
    /// Hash of its transaction.
    pub(super) key: u64,
    flow: Flow,
    pub(super) cseq: u32,
    /// The request came for a `sips:` URI: so is our Contact (§12.1.1).
    sips: bool,
    head: Vec<u8>,
    last: Vec<u8>,
    /// Runs from our final response to its ACK.
    pub(super) timer: Option<Server>,
    /// Our final response is sent.
    pub(super) answered: bool,
    /// That was a 2xx: copies of the INVITE are absorbed.
    accepted: bool,
    /// Extensions that the caller speaks.
    reliable: Reliable,
    trickles: bool,
    asked: Asked,
    /// What it requires or brings cannot be done with, whoever calls.
    refusal: Option<Refusal>,
    /// The answer was in a reliable provisional response, so the 2xx has none.
    answered_early: bool,
}

/// A response that is ready to be sent.
#[derive(Debug)]
pub(super) struct Written {
    code: u16,
    rseq: Option<u32>,
    bytes: Vec<u8>,
    has_sdp: bool,
}

impl Session {
    /// Takes a call that was received; the endpoint tells it under `key`.
    pub fn receive(context: &mut Context<'_>, invite: &Message<'_>, flow: Flow, key: u64) -> Self {
        let tag = context.salt.tag(context.handle).to_string();
        let served = Served::new(invite, flow, key, &tag);
        context.tell(Event::Invited { session: context.handle });
        let mut session = Self {
            served: Some(Box::new(served)),
            offer: if invite.sdp().is_some() { Offer::Theirs } else { Offer::Settled },
            invited_key: Some(key),
            ..Self::new(flow, Dialog::from_invite(invite, &tag), State::Invited)
        };
        session.take_capabilities(invite);
        session
    }

    /// Takes the call, once it is known who calls, and sets what the session speaks. False where the INVITE requires or
    /// brings something else: its caller is told so, and the session is over.
    pub fn speak(&mut self, context: &mut Context<'_>, extensions: Extensions) -> bool {
        self.extensions = extensions;
        let refusal = self.served.as_mut().filter(|_| self.state == State::Invited).and_then(|it| it.refusal.take());
        if let Some(refusal) = refusal {
            let headers: Vec<(&str, &str)> = refusal.headers.iter().map(|(name, it)| (*name, it.as_str())).collect();
            self.respond(context, &Response { code: refusal.code, headers: &headers, ..Response::default() });
            return false;
        }
        let Some(served) = self.served.as_ref().filter(|_| self.state == State::Invited) else { return true };
        let least = extensions.timer.min_se.to_string();
        let (code, header) = match (extensions.reliable, served.reliable) {
            (Reliable::Off, Reliable::Required) => (420, ("Unsupported", "100rel")),
            (Reliable::Required, Reliable::Off) => (421, ("Require", "100rel")),
            _ if served.asked.is_too_small(&extensions.timer) => (422, ("Min-SE", least.as_str())),
            _ => return true,
        };
        self.respond(context, &Response { code, headers: &[header], ..Response::default() });
        false
    }

    /// Answers the far end's INVITE, provisionally or finally. Nothing is sent where nothing waits for it.
    pub fn respond(&mut self, context: &mut Context<'_>, response: &Response<'_>) {
        if self.state == State::Over {
            return;
        }
        // An INVITE has one final response, and none of any kind after it.
        let Some(served) = self.served.as_ref().filter(|served| !served.answered) else { return };
        let Some(link) = context.link(served.flow) else { return };
        let (accepts, provisional) = ((200..300).contains(&response.code), (101..200).contains(&response.code));
        let reliable = provisional && self.state == State::Invited && self.is_reliable(served);
        if reliable && response.sdp.is_empty() && self.offer == Offer::Settled && !served.answered_early {
            // The first reliable response to an INVITE without offer would have to bring ours (§13.2.1): the 2xx does.
            return;
        }
        let sdp = if accepts && served.answered_early { b"" } else { response.sdp };
        let asked = served.asked;
        let agreed = if accepts { self.agree_refresh(context.now, &asked) } else { Vec::new() };
        let rseq = reliable.then(|| self.provisionals.next_rseq(context.random.next_u32()));
        let Some(served) = &self.served else { return };
        let mut bytes = Vec::with_capacity(served.head.len() + 400 + sdp.len());
        let mut writer = Writer::response(&mut bytes, response.code, response.reason);
        writer.lines(&served.head);
        if response.contact.starts_with('<') || accepts || provisional {
            let link = Link { sips: link.sips || served.sips, ..link };
            writer.contact(link, response.contact);
        }
        if accepts || provisional {
            writer.field("Allow", write::ALLOW);
        }
        if let Some(rseq) = rseq {
            writer.field("Require", "100rel").field_fmt("RSeq", format_args!("{rseq}"));
        }
        let trickles = self.extensions.trickle && served.trickles;
        if trickles && (accepts || provisional) {
            writer.field("Recv-Info", TRICKLE_ICE);
        }
        if accepts {
            writer.field("Supported", supported(self.extensions.reliable != Reliable::Off, trickles));
            for (name, value) in agreed {
                writer.field(name, value);
            }
        }
        writer.field("Server", context.agent);
        for (name, value) in response.headers {
            writer.field(name, value);
        }
        writer.body("application/sdp", sdp);
        if accepts {
            self.contact = response.contact.into();
        }
        if !sdp.is_empty() {
            self.sdp = sdp.into();
        }
        let written = Written { code: response.code, rseq, bytes, has_sdp: !sdp.is_empty() };
        // RFC 3262 §3: what follows a reliable response waits until that is acknowledged, but for a refusal.
        if response.code > 100 && response.code < 300 {
            if let Some(served) = &mut self.served {
                served.answered = accepts;
            }
            if let Some(written) = self.provisionals.hold(written) {
                self.send_written(context, written);
            }
        } else {
            self.send_written(context, written);
        }
    }

    /// Whether provisional responses to this INVITE are sent so that they have to be acknowledged.
    fn is_reliable(&self, served: &Served) -> bool {
        match (self.extensions.reliable, served.reliable) {
            (Reliable::Off, _) | (_, Reliable::Off) => false,
            (Reliable::Required, _) | (_, Reliable::Required) => true,
            (Reliable::Supported, Reliable::Supported) => false,
        }
    }

    pub(super) fn send_written(&mut self, context: &mut Context<'_>, written: Written) {
        let Some(served) = &mut self.served else { return };
        let reliable_link = context.link(served.flow).is_some_and(|link| link.transport.is_reliable());
        context.out.send(served.flow, self.owner, &written.bytes);
        if let Some(rseq) = written.rseq {
            let (flow, cseq) = (served.flow, served.cseq);
            if written.has_sdp && self.offer == Offer::Theirs {
                (self.offer, served.answered_early) = (Offer::Settled, true);
            }
            self.provisionals.sent(context, (rseq, cseq), flow, written.bytes.clone());
        }
        served.last = written.bytes;
        if written.code < 200 {
            return;
        }
        let accepted = written.code < 300;
        served.timer = Some(Server::new(context.now, context.timers, accepted || !reliable_link));
        (served.answered, served.accepted) = (true, accepted);
        self.offer = match self.offer {
            // Our description in a 2xx to an INVITE without one is the offer; the ACK has the answer.
            Offer::Settled if accepted && written.has_sdp && !served.answered_early => Offer::Ours,
            _ => Offer::Settled,
        };
        self.provisionals.clear();
        if self.state == State::Invited {
            self.state = if accepted { State::Answering } else { State::Refusing };
        }
    }

    /// Ends a call that was received without a word to the caller, as a far end that is gone.
    pub fn abandon(&mut self) {
        self.end(None);
    }

    /// The INVITE came again: the last response is repeated (§17.2.1), but a 2xx repeats itself (RFC 6026 §7.1).
    pub fn handle_copy(&mut self, context: &mut Context<'_>) {
        let Some(served) = self.served.as_ref().filter(|served| !served.last.is_empty() && !served.accepted) else {
            return;
        };
        context.out.send(served.flow, self.owner, &served.last);
    }

    /// CANCEL for the far end's INVITE: 200 to it, and 487 where nothing final was sent yet (§9.2).
    pub fn handle_cancel(&mut self, context: &mut Context<'_>, request: &Message<'_>, flow: Flow, key: u64) {
        self.answer(context, request, (flow, key), 200, &[]);
        if self.state == State::Invited {
            self.give_way(context);
        } else if self.state == State::Up && self.is_serving() {
            // A re-INVITE that is taken back leaves the session as it was (§14.2).
            self.respond(context, &Response { code: 487, ..Response::default() });
        }
    }

    /// The caller wants no answer any more.
    pub(super) fn give_way(&mut self, context: &mut Context<'_>) {
        self.provisionals.clear();
        self.reopen();
        self.respond(context, &Response { code: 487, ..Response::default() });
        context.tell(Event::Cancelled { session: context.handle });
    }

    /// A 2xx that still waited for a PRACK was never sent: there is room for another final response.
    pub(super) fn reopen(&mut self) {
        if let Some(served) = &mut self.served {
            served.answered = false;
        }
    }

    /// Whether an INVITE of the far end waits for our final response, or that for its ACK.
    pub(super) fn is_serving(&self) -> bool {
        self.served.as_ref().is_some_and(|served| !served.answered || served.timer.is_some())
    }

    pub(super) fn handle_served_timeout(&mut self, context: &mut Context<'_>) {
        let Some(served) = &mut self.served else { return };
        let Some(timer) = &mut served.timer else { return };
        match timer.handle_timeout(context.now) {
            Some(Due::Retransmit) => context.out.send(served.flow, self.owner, &served.last),
            Some(Due::TimedOut) => {
                served.timer = None;
                match self.state {
                    // §13.3.1.4, §14.2
                    State::Answering | State::Up if served.accepted => {
                        self.state = State::Up;
                        context.tell(Event::NotAcknowledged { session: context.handle });
                        let reason = self.bye_after_ack.take().and_then(|reason| *reason);
                        self.send_bye(context, reason.as_deref());
                    }
                    State::Refusing => self.end(None),
                    _ => {}
                }
            }
            None => {}
        }
    }

    pub(super) fn handle_ack(&mut self, context: &mut Context<'_>, cseq: u32) {
        let Some(served) = self.served.as_mut().filter(|served| served.cseq == cseq) else { return };
        if served.timer.take().is_none() {
            return;
        }
        (served.head, served.last) = (Vec::new(), Vec::new());
        match self.state {
            State::Refusing => return self.end(None),
            State::Answering | State::Up if served.accepted => {
                (self.state, self.offer) = (State::Up, Offer::Settled);
                context.tell(Event::Acknowledged { session: context.handle });
            }
            _ => {}
        }
        match self.bye_after_ack.take() {
            Some(reason) if self.state == State::Up => self.send_bye(context, reason.as_deref()),
            _ => {
                self.send_change_if_due(context);
                self.send_fragments(context);
            }
        }
    }

    pub(super) fn handle_reinvite(&mut self, context: &mut Context<'_>, request: &Message<'_>, flow: Flow, key: u64) {
        let asked = Asked::of(request);
        let least = self.extensions.timer.min_se.to_string();
        // Who sends a re-INVITE has our 2xx, whatever became of its ACK.
        let acknowledged = self.state == State::Answering && self.offer == Offer::Settled;
        let (code, header) = match self.state {
            State::Up | State::Answering if self.offer == Offer::Ours || self.invite.is_some() => (491, None),
            State::Invited | State::Up if self.is_serving() => (500, Some(self.come_again(context))),
            State::Up if self.offer == Offer::Theirs => (500, Some(self.come_again(context))),
            State::Up if asked.is_too_small(&self.extensions.timer) => (422, Some(("Min-SE", least))),
            State::Up => (0, None),
            State::Answering if acknowledged => (0, None),
            State::Calling | State::Cancelling => (491, None),
            _ => (481, None),
        };
        if code != 0 {
            let headers: Vec<(&str, &str)> = header.iter().map(|(name, value)| (*name, value.as_str())).collect();
            return self.answer(context, request, (flow, key), code, &headers);
        }
        if acknowledged {
            self.state = State::Up;
            context.tell(Event::Acknowledged { session: context.handle });
        }
        self.dialog.refresh_target(request);
        self.take_capabilities(request);
        self.offer = if request.sdp().is_some() { Offer::Theirs } else { Offer::Settled };
        self.served = Some(Box::new(Served::new(request, flow, key, "")));
        context.tell(Event::Reinvited { session: context.handle });
    }

    /// When to come again, 0–10 s (§14.2).
    pub(super) fn come_again(&self, context: &mut Context<'_>) -> (&'static str, String) {
        ("Retry-After", (context.random.next_u64() % 11).to_string())
    }
}

impl Served {
    fn new(invite: &Message<'_>, flow: Flow, key: u64, tag: &str) -> Self {
        let flow_back = Flow { link: flow.link, remote: write::response_destination(invite, flow.remote) };
        let reliable = match (requires(invite, "100rel"), supports(invite, "100rel")) {
            (true, _) => Reliable::Required,
            (false, true) => Reliable::Supported,
            (false, false) => Reliable::Off,
        };
        Self {
            key,
            flow: flow_back,
            cseq: invite.cseq().map_or(0, |(number, _)| number),
            head: write::response_head(invite, flow.remote, tag, true),
            last: Vec::new(),
            timer: None,
            answered: false,
            accepted: false,
            reliable,
            trickles: trickle::speaks(invite),
            asked: Asked::of(invite),
            refusal: refusal::of_content(invite, Method::Invite),
            answered_early: false,
            sips: matches!(invite.start(), Start::Request { uri, .. } if uri.starts_with(b"sips:")),
        }
    }
}
