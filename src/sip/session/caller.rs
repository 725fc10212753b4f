//! The calling half of a session: our INVITE, what comes back, ACK and CANCEL (RFC 3261 §9.1, §13.2, §17.1.1;
//! RFC 6026 §7.2).

use std::num::NonZeroU32;
use std::sync::Arc;

use super::fork::Acknowledged;
use super::trickle::{TRICKLE_ICE, fork_of, supported};
use super::{Extensions, Offer, Pending, Purpose, Reliable, Session, State};
use crate::sip::authenticator::{Authenticator, Rounds};
use crate::sip::dialog::{Dialog, Texts};
use crate::sip::endpoint::Event;
use crate::sip::exchange::{self, Cause, Exchange, Login};
use crate::sip::flow::Flow;
use crate::sip::header::{self, Name};
use crate::sip::message::{Message, Start};
use crate::sip::outbox::Context;
use crate::sip::raw::Raw;
use crate::sip::token::hex;
use crate::sip::transaction::{Client, Due};
use crate::sip::write::{self, Writer};

/// How often an INVITE is sent again because the session interval was too small (RFC 4028 §7.3).
const MAX_RAISES: u8 = 3;

/// A call to place.
#[derive(Clone, Copy, Debug)]
pub struct Invite<'a> {
    /// Where the INVITE goes.
    pub flow: Flow,
    /// The application's number for the session, handed back with its messages; not 0.
    pub owner: u64,
    /// Request-URI.
    pub uri: &'a str,
    /// From without tag, as `<sip:1001@pbx.example>`.
    pub from: &'a str,
    /// To, as `<sip:2000@pbx.example>`.
    pub to: &'a str,
    /// User part of our Contact, or the whole field value when it begins with `<`.
    pub contact: &'a str,
    /// Pre-loaded Route fields.
    pub route: &'a [String],
    /// Further header fields.
    pub headers: &'a [(String, String)],
    /// SDP offer; empty for an INVITE without one.
    pub sdp: &'a [u8],
    /// Max-Forwards, 0–255; 70 unless the call is passed on.
    pub max_forwards: u8,
    /// Extensions that it speaks.
    pub extensions: Extensions,
    /// What to answer a challenge with.
    pub credentials: Option<&'a Arc<Login>>,
    /// What to get wrong on purpose.
    pub raw: Option<&'a Arc<Raw>>,
    /// Bytes of the largest INVITE that is sent as a datagram; a larger one waits for another flow
    /// ([`Event::TooLarge`]). `None` sends any.
    pub largest_datagram: Option<usize>,
}

/// An INVITE of ours under way.
#[derive(Debug)]
pub(super) struct Inviting {
    pub(super) client: Client,
    pub(super) flow: Flow,
    pub(super) cseq: u32,
    pub(super) rounds: Rounds,
    pub(super) raises: u8,
    /// It brings an offer.
    pub(super) offers: bool,
}

impl Session {
    /// Places a call. `None` where the flow's link is closed.
    pub fn place(context: &mut Context<'_>, call: &Invite<'_>) -> Option<Self> {
        let link = context.link(call.flow)?;
        let tag = context.salt.tag(context.handle).to_string();
        let call_id =
            [&hex(context.random.next_u64())[..], &hex(context.random.next_u64())[..8], b"@ringfleet"].concat();
        let mut bytes = Vec::with_capacity(700 + call.sdp.len());
        let mut writer = Writer::request(&mut bytes, b"INVITE", call.uri.as_bytes());
        writer.via(link, context.salt.branch(context.handle, 1));
        writer.number("Max-Forwards", call.max_forwards.into());
        for route in call.route {
            writer.field("Route", route);
        }
        let local = [call.from, ";tag=", &tag].concat();
        writer.field("From", &local).field("To", call.to).field("Call-ID", &call_id).cseq(1, b"INVITE");
        writer.contact(link, call.contact);
        writer.field("Allow", write::ALLOW).field("User-Agent", context.agent);
        write_extensions(&mut writer, &call.extensions);
        for (name, value) in call.headers {
            writer.field(name, value);
        }
        writer.body("application/sdp", call.sdp);
        let client = Client::new(context.now, context.timers, link.transport.is_reliable(), true, 1, bytes.into());
        let texts = Texts {
            call_id: &call_id,
            local: local.as_bytes(),
            remote: call.to.as_bytes(),
            target: call.uri.as_bytes(),
        };
        let dialog = Dialog::new(&texts, 1);
        let offers = !call.sdp.is_empty();
        let invite = Inviting { client, flow: call.flow, cseq: 1, rounds: Rounds::default(), raises: 0, offers };
        let largest = call.largest_datagram.and_then(|bytes| NonZeroU32::new(u32::try_from(bytes).unwrap_or(u32::MAX)));
        let mut session = Self {
            raw: call.raw.cloned(),
            owner: call.owner,
            authenticator: Authenticator::new(call.credentials.cloned()),
            extensions: call.extensions,
            trickle: call.extensions.trickle.then(Box::default),
            contact: call.contact.into(),
            invite: Some(Box::new(invite)),
            offer: if offers { Offer::Ours } else { Offer::Settled },
            sdp: call.sdp.into(),
            next_number: 2,
            largest_datagram: largest.filter(|_| call.raw.is_none()),
            ..Self::new(call.flow, dialog, State::Calling)
        };
        if !session.holds_back(context) {
            session.emit_invite(context);
        }
        Some(session)
    }

    /// Our INVITE under way goes out; the one that makes the call with what is wrong in it on purpose.
    fn emit_invite(&self, context: &mut Context<'_>) {
        let Some(invite) = &self.invite else { return };
        let bytes = invite.client.bytes();
        match self.raw.as_ref().filter(|_| matches!(self.state, State::Calling | State::Cancelling)) {
            Some(raw) => context.out.send(invite.flow, self.owner, &raw.apply(bytes)),
            None => context.out.send(invite.flow, self.owner, bytes),
        }
    }

    /// Gives up a call that is not answered yet (§9.1).
    pub fn cancel(&mut self, context: &mut Context<'_>) {
        if self.state == State::Calling {
            self.state = State::Cancelling;
            match &self.unserved {
                Some(unserved) => self.refuse(context, unserved.code, unserved.cause),
                None => self.send_cancel_if_allowed(context),
            }
        }
    }

    /// Acknowledges a 2xx that brought the offer, with our answer.
    pub fn acknowledge(&mut self, context: &mut Context<'_>, sdp: &[u8]) {
        let Some((number, _)) = self.accepted.filter(|_| self.offer == Offer::Theirs && self.served.is_none()) else {
            return;
        };
        self.offer = Offer::Settled;
        self.sdp = sdp.into();
        // Only the INVITE that made the dialog is ever sent without an offer, so its CSeq number is the dialog's.
        let cseq = self.dialog.local_cseq;
        self.acknowledge_success(context, None, (number, cseq), sdp);
    }

    pub(super) fn handle_invite_timeout(&mut self, context: &mut Context<'_>) {
        let Some(invite) = &mut self.invite else { return };
        match invite.client.handle_timeout(context.now, context.timers) {
            Some(Due::Retransmit) => self.emit_invite(context),
            Some(Due::TimedOut) if matches!(self.state, State::Calling | State::Cancelling) => {
                self.fail_invite(context, 408, Cause::Timeout);
            }
            Some(Due::TimedOut) => {
                self.invite = None;
                self.conclude_change(context, 408, Cause::Timeout);
            }
            None => {}
        }
    }

    pub(super) fn handle_invite_response(
        &mut self,
        context: &mut Context<'_>,
        response: &Message<'_>,
        number: u32,
    ) -> bool {
        let Some(code) = response.code() else { return false };
        let awaited = self.invite.as_ref().is_some_and(|invite| invite.client.number == number);
        match code {
            100..200 if awaited => self.handle_provisional(context, response, code),
            200..300 if awaited => self.handle_success(context, response, number),
            200..300 => return self.handle_further_success(context, response, number),
            300.. if awaited => self.handle_failure(context, response, code),
            300.. => {
                let ack = self.acknowledged.iter().find(|ack| ack.failure && ack.number == number);
                if let Some(ack) = ack {
                    context.out.send(ack.flow, self.owner, &ack.bytes);
                }
                return ack.is_some();
            }
            // A provisional response that was overtaken by the final one.
            _ => {}
        }
        true
    }

    fn handle_provisional(&mut self, context: &mut Context<'_>, response: &Message<'_>, code: u16) {
        let Some(invite) = &mut self.invite else { return };
        let first = !invite.client.is_proceeding();
        invite.client.handle_provisional(context.now, context.timers);
        match self.state {
            State::Cancelling if first => self.send_cancel_if_allowed(context),
            State::Calling => {}
            _ => return self.tell_late_ringing(context, code),
        }
        if code > 100 {
            self.forks.note(response);
        }
        self.take_capabilities(response);
        if self.acknowledge_provisional(context, response) {
            context.tell(Event::Provisional { session: context.handle, code });
            self.note_early(context, response);
        }
    }

    /// Provisional responses of a call that we gave up are told, those of a re-INVITE are not.
    fn tell_late_ringing(&self, context: &mut Context<'_>, code: u16) {
        if self.state == State::Cancelling {
            context.tell(Event::Provisional { session: context.handle, code });
        }
    }

    fn handle_success(&mut self, context: &mut Context<'_>, response: &Message<'_>, number: u32) {
        let Some(invite) = self.invite.take() else { return };
        let until = context.now + context.timers.timeout();
        self.accepted = Some((number, until));
        self.acknowledged.clear();
        let initial = matches!(self.state, State::Calling | State::Cancelling);
        if initial {
            self.forks.note(response);
            self.dialog.complete(response);
            self.keep_early(response);
        } else {
            self.dialog.refresh_target(response);
        }
        self.take_capabilities(response);
        self.take_refresh(context.now, response);
        if invite.offers || response.sdp().is_none() {
            self.offer = Offer::Settled;
            // Credentials of the INVITE go with its ACK (§22.1); most have none.
            let sent = (!self.authenticator.is_empty()).then(|| Message::parse(invite.client.bytes()).ok()).flatten();
            self.acknowledge_success(context, sent.as_ref(), (number, invite.cseq), b"");
        } else {
            // The offer is theirs; the application has the answer that the ACK carries.
            self.offer = Offer::Theirs;
        }
        match self.state {
            State::Calling => {
                self.state = State::Up;
                context.tell(Event::Answered { session: context.handle });
                self.send_change_if_due(context);
                self.send_fragments(context);
            }
            State::Cancelling => {
                // The 200 crossed our CANCEL: the call stands, so it is ended properly (§9.1, §15).
                if self.offer == Offer::Theirs {
                    self.acknowledge(context, b"");
                }
                self.state = State::Up;
                context.tell(Event::AnsweredAfterCancel { session: context.handle });
                self.send_bye(context, None);
            }
            _ => self.conclude_change(context, response.code().unwrap_or(200), Cause::Response),
        }
    }

    /// The other early dialogs are over (§13.2.2.4); that of the call may have had its answer already.
    fn keep_early(&mut self, response: &Message<'_>) {
        let tag = self.dialog.remote_tag();
        let mut chosen = self.early.iter_mut().find(|early| Some(&*early.tag) == tag);
        self.early_answer = chosen.as_mut().and_then(|early| early.answer.take());
        let (told, fork) = (chosen.map(|early| early.told), fork_of(tag));
        self.early.clear();
        self.choose_told(told, response);
        self.requests.retain(|request| match request.purpose {
            Purpose::Candidates(to) => to == fork,
            purpose => purpose != Purpose::Prack,
        });
    }

    fn handle_failure(&mut self, context: &mut Context<'_>, response: &Message<'_>, code: u16) {
        let Some(invite) = self.invite.take().map(|invite| *invite) else { return };
        if let Some(bytes) = acknowledgement(&invite.client, response) {
            context.out.send(invite.flow, self.owner, &bytes);
            let (number, flow) = (invite.client.number, invite.flow);
            self.acknowledged.push(Acknowledged { number, failure: true, flow, bytes: bytes.into() });
        }
        let wanted = self.state != State::Cancelling;
        match code {
            503 if self.state == State::Calling => {
                self.invite = Some(Box::new(invite));
                return self.fail_invite(context, code, Cause::Response);
            }
            401 | 407 if wanted => match self.answer_challenge(context, response, invite) {
                None => return,
                Some(refused) => self.challenged |= refused.rounds.any(),
            },
            422 if wanted && self.raise_interval(context, response, invite) => return,
            _ => {}
        }
        if matches!(self.state, State::Calling | State::Cancelling) {
            self.refuse(context, code, Cause::Response);
        } else {
            self.note_retry_after(response);
            self.conclude_change(context, code, Cause::Response);
        }
    }

    /// Sends the INVITE again with credentials; gives it back where that makes no sense.
    fn answer_challenge(
        &mut self,
        context: &mut Context<'_>,
        response: &Message<'_>,
        mut invite: Inviting,
    ) -> Option<Inviting> {
        if !self.authenticator.take(response, &mut invite.rounds) {
            return Some(invite);
        }
        self.challenged = true;
        let transaction = (self.next_number, self.dialog.local_cseq + 1);
        let bytes = exchange::again(context, invite.flow, invite.client.bytes(), &mut self.authenticator, transaction);
        match bytes {
            Some(bytes) => {
                self.invite_again(context, invite, bytes);
                None
            }
            None => Some(invite),
        }
    }

    /// RFC 4028 §7.3: once more with the interval that the far end wants at least.
    fn raise_interval(&mut self, context: &mut Context<'_>, response: &Message<'_>, invite: Inviting) -> bool {
        let least = response.header(Name::MinSe).and_then(header::number);
        let (Some(least), Some(link), true) = (least, context.link(invite.flow), invite.raises < MAX_RAISES) else {
            return false;
        };
        let sent = invite.client.bytes().to_vec();
        let Ok(original) = Message::parse(&sent) else { return false };
        self.extensions.timer.raise(least);
        let mut fields = self.extensions.timer.fields();
        fields.extend(self.authenticator.fields(context.random, &original));
        let branch = context.salt.branch(context.handle, self.next_number);
        let bytes = write::again(&original, link, branch, self.dialog.local_cseq + 1, &fields);
        let raises = invite.raises + 1;
        self.invite_again(context, Inviting { raises, ..invite }, bytes);
        true
    }

    fn invite_again(&mut self, context: &mut Context<'_>, invite: Inviting, bytes: Vec<u8>) {
        self.dialog.local_cseq += 1;
        let (number, cseq) = (self.take_number(), self.dialog.local_cseq);
        // What the challenged INVITE brought forth is over.
        self.early.clear();
        self.send_invite(context, Inviting { cseq, ..invite }, number, bytes);
    }

    /// Sends an INVITE as transaction `number`.
    pub(super) fn send_invite(&mut self, context: &mut Context<'_>, invite: Inviting, number: u32, bytes: Vec<u8>) {
        let reliable = context.link(invite.flow).is_some_and(|link| link.transport.is_reliable());
        let client = Client::new(context.now, context.timers, reliable, true, number, bytes.into());
        self.invite = Some(Box::new(Inviting { client, ..invite }));
        if self.state != State::Calling || !self.holds_back(context) {
            self.emit_invite(context);
        }
    }

    pub(super) fn refuse(&mut self, context: &mut Context<'_>, code: u16, cause: Cause) {
        let reliable = context.link(self.flow).is_none_or(|link| link.transport.is_reliable());
        // Timer D: the failure may come again.
        let linger = (!reliable && !self.acknowledged.is_empty()).then(|| context.now + context.timers.timeout());
        self.end(linger);
        context.tell(Event::Refused { session: context.handle, code, cause });
    }

    fn send_cancel_if_allowed(&mut self, context: &mut Context<'_>) {
        let Some(invite) = self.invite.as_mut().filter(|invite| invite.client.is_proceeding()) else { return };
        let Some(bytes) = cancel_of(&invite.client) else { return };
        invite.client.expire_in(context.now, context.timers);
        let (flow, number, cseq) = (invite.flow, invite.client.number, invite.cseq);
        let exchange = Exchange::start(context, (flow, self.owner), (number, cseq), bytes);
        self.requests.push(Pending { purpose: Purpose::Cancel, flow, exchange });
    }

    /// What the far end says of itself.
    pub(super) fn take_capabilities(&mut self, message: &Message<'_>) {
        let mut allowed = message.headers(Name::Allow).flat_map(header::split_list).peekable();
        if allowed.peek().is_some() {
            self.updates = allowed.any(|method| method == b"UPDATE");
        }
    }
}

/// The extensions of an INVITE of ours.
pub(super) fn write_extensions(writer: &mut Writer<'_>, extensions: &Extensions) {
    writer.field("Supported", supported(extensions.reliable == Reliable::Supported, extensions.trickle));
    if extensions.trickle {
        writer.field("Recv-Info", TRICKLE_ICE);
    }
    if extensions.reliable == Reliable::Required {
        writer.field("Require", "100rel");
    }
    for (name, value) in extensions.timer.fields() {
        writer.field(name, value);
    }
}

/// The ACK to a failure: of the INVITE's own transaction (§17.1.1.3).
fn acknowledgement(invite: &Client, response: &Message<'_>) -> Option<Vec<u8>> {
    let to = response.header(Name::To)?;
    hop_by_hop(invite, "ACK", Some(to))
}

/// The CANCEL of an INVITE (§9.1).
fn cancel_of(invite: &Client) -> Option<Vec<u8>> {
    hop_by_hop(invite, "CANCEL", None)
}

/// A request with the Request-URI, Via, Route, From, Call-ID and CSeq number of an INVITE.
fn hop_by_hop(invite: &Client, method: &str, to: Option<&[u8]>) -> Option<Vec<u8>> {
    let original = Message::parse(invite.bytes()).ok()?;
    let Start::Request { uri, .. } = original.start() else { return None };
    let (cseq, _) = original.cseq()?;
    let mut bytes = Vec::with_capacity(400);
    let mut writer = Writer::request(&mut bytes, method.as_bytes(), uri);
    writer.field("Via", original.header(Name::Via)?).field("Max-Forwards", "70");
    for route in original.headers(Name::Route) {
        writer.field("Route", route);
    }
    writer.field("From", original.header(Name::From)?).field("To", to.or_else(|| original.header(Name::To))?);
    writer.field("Call-ID", original.call_id()?).cseq(cseq, method.as_bytes());
    writer.body("", b"");
    Some(bytes)
}
