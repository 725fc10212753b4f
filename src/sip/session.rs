//! An INVITE session from either side (RFC 3261 §13–15): one dialog, its INVITE transaction and one request besides.
//!
//! ```text
//! caller:  Calling ─18x─► Calling ─2xx─► Up ─bye()──► Closing ─2xx to BYE─► Over
//!             └─cancel()─► Cancelling ─487─► Over (lingers to acknowledge again)
//! called:  Invited ─respond(2xx)─► Answering ─ACK─► Up ─BYE received─► Over
//!             └─respond(≥300)─► Refusing ─ACK─► Over
//! ```

use std::sync::Arc;
use std::time::Instant;

use super::dialog::Dialog;
use super::endpoint::Event;
use super::exchange::{self, Cause, Exchange, Login};
use super::flow::{Flow, Link};
use super::header::Name;
use super::message::{Message, Method, Start};
use super::outbox::Context;
use super::token::Handle;
use super::transaction::{Client, Due, Server, soonest};
use super::uri::NameAddr;
use super::write::{self, Writer};

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
    /// User part of our Contact.
    pub contact_user: &'a str,
    /// Pre-loaded Route fields.
    pub route: &'a [String],
    /// Further header fields.
    pub headers: &'a [(String, String)],
    /// SDP offer; empty for an INVITE without one.
    pub sdp: &'a [u8],
    /// What to answer a challenge with.
    pub credentials: Option<&'a Arc<Login>>,
}

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

/// An INVITE session.
#[derive(Debug)]
pub struct Session {
    /// The application's number for it.
    pub owner: u64,
    flow: Flow,
    state: State,
    dialog: Dialog,
    credentials: Option<Arc<Login>>,
    /// The INVITE of ours under way.
    invite: Option<Client>,
    invite_cseq: u32,
    challenged: bool,
    /// The last ACK to a failure: repeated when that failure comes again.
    acknowledged: Option<(u32, Vec<u8>)>,
    /// Our CANCEL or BYE under way.
    request: Option<Exchange>,
    /// The INVITE of the far end under way.
    served: Option<Served>,
    /// Under which the endpoint finds copies of the INVITE that made the session.
    invited_key: Option<u64>,
    next_number: u32,
    linger_until: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Calling,
    /// We want to give up; CANCEL goes out as soon as a provisional response allows it.
    Cancelling,
    Invited,
    Answering,
    Refusing,
    Up,
    /// Our BYE is under way.
    Closing,
    Over,
}

/// The far end's INVITE and our answer to it.
#[derive(Debug)]
struct Served {
    /// Hash of its transaction.
    key: u64,
    flow: Flow,
    cseq: u32,
    head: Vec<u8>,
    last: Vec<u8>,
    timer: Option<Server>,
}

impl Session {
    /// Places a call. `None` where the flow's link is closed.
    pub fn place(context: &mut Context<'_>, call: &Invite<'_>) -> Option<Self> {
        let link = context.link(call.flow)?;
        let tag = context.salt.tag(context.handle);
        let call_id = format!("{:016x}{:08x}@ringfleet", context.random.next_u64(), context.random.next_u32());
        let mut bytes = Vec::with_capacity(700 + call.sdp.len());
        let mut writer = Writer::request(&mut bytes, b"INVITE", call.uri.as_bytes());
        writer.via(link.transport.name(), link.advertised, context.salt.branch(context.handle, 1));
        writer.field("Max-Forwards", "70");
        for route in call.route {
            writer.field("Route", route);
        }
        let local = format!("{};tag={tag}", call.from);
        writer.field("From", &local).field("To", call.to).field("Call-ID", &call_id).field("CSeq", "1 INVITE");
        contact(&mut writer, link, call.contact_user);
        writer.field("Allow", write::ALLOW).field("User-Agent", context.agent);
        for (name, value) in call.headers {
            writer.field(name, value);
        }
        writer.body("application/sdp", call.sdp);
        context.out.send(call.flow, call.owner, &bytes);
        let reliable = link.transport.is_reliable();
        Some(Self {
            owner: call.owner,
            flow: call.flow,
            state: State::Calling,
            dialog: Dialog {
                call_id: call_id.into_bytes().into(),
                local: local.into_bytes().into(),
                remote: call.to.as_bytes().into(),
                target: call.uri.as_bytes().into(),
                route: Vec::new(),
                local_cseq: 1,
                remote_cseq: None,
            },
            credentials: call.credentials.cloned(),
            invite: Some(Client::new(context.now, context.timers, reliable, true, 1, bytes)),
            invite_cseq: 1,
            challenged: false,
            acknowledged: None,
            request: None,
            served: None,
            invited_key: None,
            next_number: 2,
            linger_until: None,
        })
    }

    /// Takes a call that was received; the endpoint tells it under `key`.
    pub fn receive(context: &mut Context<'_>, invite: &Message<'_>, flow: Flow, key: u64) -> Self {
        let tag = context.salt.tag(context.handle).to_string();
        let served = Served::new(invite, flow, key, &tag);
        context.tell(Event::Invited { session: context.handle });
        Self {
            owner: 0,
            flow,
            state: State::Invited,
            dialog: Dialog::from_invite(invite, &tag),
            credentials: None,
            invite: None,
            invite_cseq: 0,
            challenged: false,
            acknowledged: None,
            request: None,
            served: Some(served),
            invited_key: Some(key),
            next_number: 1,
            linger_until: None,
        }
    }

    /// Call-ID.
    pub fn call_id(&self) -> &[u8] {
        &self.dialog.call_id
    }

    /// The flow its INVITE took.
    pub fn flow(&self) -> Flow {
        self.flow
    }

    /// Whether we have answered a challenge to the INVITE.
    pub fn was_challenged(&self) -> bool {
        self.challenged
    }

    /// Credentials for requests of a session that was received.
    pub fn set_credentials(&mut self, credentials: Option<Arc<Login>>) {
        self.credentials = credentials;
    }

    /// Whether nothing more can happen; `now` ends its lingering.
    pub fn is_over(&self, now: Instant) -> bool {
        self.state == State::Over && self.linger_until.is_none_or(|until| until <= now)
    }

    /// Whether the endpoint must find copies of an INVITE under this key.
    pub fn served_key(&self) -> Option<u64> {
        self.invited_key
    }

    /// The next moment at which [`handle_timeout`](Self::handle_timeout) has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let invite = self.invite.as_ref().and_then(Client::deadline);
        let request = self.request.as_ref().and_then(Exchange::deadline);
        let served = self.served.as_ref().and_then(|served| served.timer.as_ref()).and_then(Server::deadline);
        soonest(soonest(invite, request), soonest(served, self.linger_until))
    }

    // --- what the application wants -------------------------------------------------------------------------------

    /// Gives up a call that is not answered yet (§9.1).
    pub fn cancel(&mut self, context: &mut Context<'_>) {
        if self.state == State::Calling {
            self.state = State::Cancelling;
            self.send_cancel_if_allowed(context);
        }
    }

    /// Ends the call (§15). `reason` is a Reason field (RFC 3326).
    pub fn bye(&mut self, context: &mut Context<'_>, reason: Option<&str>) {
        if !matches!(self.state, State::Up | State::Answering) {
            return;
        }
        self.state = State::Closing;
        let Some(link) = context.link(self.flow) else { return self.lose_bye(context, Cause::Transport) };
        self.dialog.local_cseq += 1;
        let (number, cseq) = (self.take_number(), self.dialog.local_cseq);
        let mut bytes = Vec::with_capacity(500);
        let branch = context.salt.branch(context.handle, number);
        let mut writer = self.dialog.request(&mut bytes, link, "BYE", cseq, branch);
        writer.field("User-Agent", context.agent);
        if let Some(reason) = reason {
            writer.field("Reason", reason);
        }
        writer.body("", b"");
        let flow = self.dialog.next_hop(self.flow, link.transport);
        let credentials = self.credentials.clone();
        self.request = Some(Exchange::start(context, (flow, self.owner), (number, cseq), credentials, bytes));
    }

    /// Answers the far end's INVITE, provisionally or finally.
    pub fn respond(&mut self, context: &mut Context<'_>, response: &Response<'_>) {
        let Some(served) = &mut self.served else { return };
        let Some(link) = context.link(served.flow) else { return };
        let mut bytes = Vec::with_capacity(served.head.len() + 400 + response.sdp.len());
        let mut writer = Writer::response(&mut bytes, response.code, response.reason);
        writer.lines(&served.head);
        if response.contact.starts_with('<') {
            writer.field("Contact", response.contact);
        } else if (101..300).contains(&response.code) {
            contact(&mut writer, link, response.contact);
        }
        if (200..300).contains(&response.code) {
            writer.field("Allow", write::ALLOW);
        }
        writer.field("Server", context.agent);
        for (name, value) in response.headers {
            writer.field(name, value);
        }
        writer.body("application/sdp", response.sdp);
        context.out.send(served.flow, self.owner, &bytes);
        served.last = bytes;
        if response.code < 200 {
            return;
        }
        let accepted = response.code < 300;
        served.timer = Some(Server::new(context.now, context.timers, accepted || !link.transport.is_reliable()));
        if self.state == State::Invited {
            self.state = if accepted { State::Answering } else { State::Refusing };
        }
    }

    /// Ends a call that was received without a word to the caller, as a far end that is gone.
    pub fn abandon(&mut self) {
        self.end(None);
    }

    // --- what comes in --------------------------------------------------------------------------------------------

    /// A response to the transaction `number` of this session.
    pub fn handle_response(&mut self, context: &mut Context<'_>, response: &Message<'_>, number: u32) {
        match response.method() {
            Some(Method::Invite) => self.handle_invite_response(context, response, number),
            _ => self.handle_request_response(context, response, number),
        }
    }

    /// A request within the dialog. ACK and BYE are treated, a further INVITE is told, all else is acknowledged.
    pub fn handle_request(&mut self, context: &mut Context<'_>, request: &Message<'_>, flow: Flow, key: u64) {
        let Start::Request { method, .. } = request.start() else { return };
        match method {
            Method::Ack => self.handle_ack(context),
            Method::Bye => self.handle_bye(context, request, flow),
            Method::Invite => self.handle_reinvite(context, request, flow, key),
            Method::Prack | Method::Update | Method::Info | Method::Message | Method::Notify | Method::Options => {
                reply(context, request, flow, self.owner, 200);
            }
            _ => reply(context, request, flow, self.owner, 405),
        }
    }

    /// The INVITE came again: the last response is repeated (§17.2.1).
    pub fn handle_copy(&mut self, context: &mut Context<'_>) {
        if let Some(served) = self.served.as_ref().filter(|served| !served.last.is_empty()) {
            context.out.send(served.flow, self.owner, &served.last);
        }
    }

    /// CANCEL for the far end's INVITE: 200 to it, and 487 where nothing final was sent yet (§9.2).
    pub fn handle_cancel(&mut self, context: &mut Context<'_>, request: &Message<'_>, flow: Flow) {
        reply(context, request, flow, self.owner, 200);
        if self.state == State::Invited {
            self.respond(context, &Response { code: 487, ..Response::default() });
            context.tell(Event::Cancelled { session: context.handle });
        }
    }

    /// The link of its flow is gone.
    pub fn handle_link_lost(&mut self, context: &mut Context<'_>) {
        match self.state {
            State::Calling | State::Cancelling => self.refuse(context, 503, Cause::Transport),
            State::Closing => self.lose_bye(context, Cause::Transport),
            State::Over => self.linger_until = None,
            _ => {
                self.end(None);
                context.tell(Event::LinkLost { session: context.handle });
            }
        }
    }

    /// Nobody is at the other end: a request without any response yet will get none.
    pub fn handle_unreachable(&mut self, context: &mut Context<'_>) {
        match self.state {
            State::Calling | State::Cancelling if self.invite.as_ref().is_some_and(|it| !it.is_proceeding()) => {
                self.refuse(context, 503, Cause::Transport);
            }
            State::Closing => self.lose_bye(context, Cause::Transport),
            _ => {}
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, context: &mut Context<'_>) {
        if let Some(invite) = &mut self.invite {
            match invite.handle_timeout(context.now, context.timers) {
                Some(Due::Retransmit) => context.out.send(self.flow, self.owner, invite.bytes()),
                Some(Due::TimedOut) => self.refuse(context, 408, Cause::Timeout),
                None => {}
            }
        }
        let mut request = self.request.take();
        let flow = self.request_flow(context);
        let timed_out = request.as_mut().is_some_and(|request| request.handle_timeout(context, (flow, self.owner)));
        if !timed_out {
            self.request = request;
        } else if self.state == State::Closing {
            self.lose_bye(context, Cause::Timeout);
        }
        self.handle_served_timeout(context);
    }

    fn handle_served_timeout(&mut self, context: &mut Context<'_>) {
        let Some(served) = &mut self.served else { return };
        let Some(timer) = &mut served.timer else { return };
        match timer.handle_timeout(context.now, context.timers) {
            Some(Due::Retransmit) => context.out.send(served.flow, self.owner, &served.last),
            Some(Due::TimedOut) => {
                served.timer = None;
                match self.state {
                    State::Answering => {
                        context.tell(Event::NotAcknowledged { session: context.handle });
                        self.bye(context, None);
                    }
                    State::Refusing => self.end(None),
                    _ => {}
                }
            }
            None => {}
        }
    }

    // --- our INVITE -----------------------------------------------------------------------------------------------

    fn handle_invite_response(&mut self, context: &mut Context<'_>, response: &Message<'_>, number: u32) {
        let Some(code) = response.code() else { return };
        let awaited = self.invite.as_ref().is_some_and(|invite| invite.number == number);
        match code {
            100..200 if awaited => self.handle_provisional(context, code),
            200..300 if awaited => self.establish(context, response),
            200..300 => self.handle_further_success(context, response),
            300.. if awaited => self.handle_failure(context, response, code),
            300.. => {
                if let Some((acknowledged, ack)) = &self.acknowledged
                    && *acknowledged == number
                {
                    context.out.send(self.flow, self.owner, ack);
                }
            }
            _ => {}
        }
    }

    fn handle_provisional(&mut self, context: &mut Context<'_>, code: u16) {
        if let Some(invite) = &mut self.invite {
            let first = !invite.is_proceeding();
            invite.handle_provisional(context.now, context.timers);
            if self.state == State::Cancelling && first {
                self.send_cancel_if_allowed(context);
            }
        }
        context.tell(Event::Provisional { session: context.handle, code });
    }

    fn establish(&mut self, context: &mut Context<'_>, response: &Message<'_>) {
        self.dialog.complete(response);
        (self.invite, self.acknowledged) = (None, None);
        self.send_ack(context);
        if self.state == State::Cancelling {
            // The 200 crossed our CANCEL: the call stands, so it is ended properly (§9.1, §15).
            (self.state, self.request) = (State::Up, None);
            context.tell(Event::AnsweredAfterCancel { session: context.handle });
            self.bye(context, None);
        } else {
            self.state = State::Up;
            context.tell(Event::Answered { session: context.handle });
        }
    }

    /// A 2xx that comes again is acknowledged again; one of another fork is acknowledged and ended (§13.2.2.4).
    fn handle_further_success(&mut self, context: &mut Context<'_>, response: &Message<'_>) {
        let tag = response.to().and_then(|to| to.tag());
        if tag == self.dialog.remote_tag() && self.invite.is_none() {
            return self.send_ack(context);
        }
        let Some(link) = context.link(self.flow) else { return };
        let mut fork = Dialog {
            call_id: self.dialog.call_id.clone(),
            local: self.dialog.local.clone(),
            remote: Box::default(),
            target: self.dialog.target.clone(),
            route: Vec::new(),
            local_cseq: self.invite_cseq,
            remote_cseq: None,
        };
        fork.complete(response);
        let flow = fork.next_hop(self.flow, link.transport);
        for (method, cseq) in [("ACK", self.invite_cseq), ("BYE", self.invite_cseq + 1)] {
            let branch = context.salt.branch(context.handle, self.take_number());
            context.out.write(flow, self.owner, |arena| {
                fork.request(arena, link, method, cseq, branch).body("", b"");
            });
        }
    }

    fn handle_failure(&mut self, context: &mut Context<'_>, response: &Message<'_>, code: u16) {
        let Some(invite) = self.invite.take() else { return };
        if let Some(ack) = acknowledgement(&invite, response) {
            context.out.send(self.flow, self.owner, &ack);
            self.acknowledged = Some((invite.number, ack));
        }
        if matches!(code, 401 | 407) && self.state == State::Calling && self.answer(context, response, &invite) {
            return;
        }
        self.refuse(context, code, Cause::Response);
    }

    fn answer(&mut self, context: &mut Context<'_>, response: &Message<'_>, invite: &Client) -> bool {
        let Some(credentials) = self.credentials.clone().filter(|_| !self.challenged) else { return false };
        let (number, cseq) = (self.next_number, self.dialog.local_cseq + 1);
        let answered =
            exchange::answer_challenge(context, self.flow, response, invite.bytes(), &credentials, (number, cseq));
        let Some(bytes) = answered else { return false };
        self.challenged = true;
        self.next_number += 1;
        (self.dialog.local_cseq, self.invite_cseq) = (cseq, cseq);
        context.out.send(self.flow, self.owner, &bytes);
        let reliable = context.link(self.flow).is_some_and(|link| link.transport.is_reliable());
        self.invite = Some(Client::new(context.now, context.timers, reliable, true, number, bytes));
        true
    }

    fn refuse(&mut self, context: &mut Context<'_>, code: u16, cause: Cause) {
        let reliable = context.link(self.flow).is_none_or(|link| link.transport.is_reliable());
        let linger = (!reliable && self.acknowledged.is_some()).then(|| context.now + context.timers.timeout());
        self.end(linger);
        context.tell(Event::Refused { session: context.handle, code, cause });
    }

    fn send_ack(&mut self, context: &mut Context<'_>) {
        let Some(link) = context.link(self.flow) else { return };
        let branch = context.salt.branch(context.handle, self.take_number());
        let flow = self.dialog.next_hop(self.flow, link.transport);
        let (dialog, cseq) = (&self.dialog, self.invite_cseq);
        context.out.write(flow, self.owner, |arena| {
            dialog.request(arena, link, "ACK", cseq, branch).body("", b"");
        });
    }

    fn send_cancel_if_allowed(&mut self, context: &mut Context<'_>) {
        let Some(invite) = self.invite.as_mut().filter(|invite| invite.is_proceeding()) else { return };
        let Some(bytes) = cancel_of(invite) else { return };
        invite.expire_in(context.now, context.timers);
        let (number, cseq) = (invite.number, self.invite_cseq);
        self.request = Some(Exchange::start(context, (self.flow, self.owner), (number, cseq), None, bytes));
    }

    // --- our CANCEL or BYE ----------------------------------------------------------------------------------------

    fn handle_request_response(&mut self, context: &mut Context<'_>, response: &Message<'_>, number: u32) {
        let Some(mut request) = self.request.take_if(|request| request.number() == number) else { return };
        let flow = self.request_flow(context);
        let code = request.handle_response(context, (flow, self.owner), response, &mut self.next_number);
        self.dialog.local_cseq = self.dialog.local_cseq.max(request.cseq());
        match code {
            None => self.request = Some(request),
            Some(code) if self.state == State::Closing => {
                self.end(None);
                context.tell(Event::ByeAnswered { session: context.handle, code, cause: Cause::Response });
            }
            // The final response to CANCEL says nothing of the INVITE: that has its own.
            Some(_) => {}
        }
    }

    /// Where our request under way goes: a BYE by the dialog's route, a CANCEL where its INVITE went (§9.1).
    fn request_flow(&self, context: &Context<'_>) -> Flow {
        match context.link(self.flow) {
            Some(link) if self.state == State::Closing => self.dialog.next_hop(self.flow, link.transport),
            _ => self.flow,
        }
    }

    fn lose_bye(&mut self, context: &mut Context<'_>, cause: Cause) {
        self.end(None);
        let code = if cause == Cause::Timeout { 408 } else { 503 };
        context.tell(Event::ByeAnswered { session: context.handle, code, cause });
    }

    // --- requests of the far end ----------------------------------------------------------------------------------

    fn handle_ack(&mut self, context: &mut Context<'_>) {
        let Some(served) = &mut self.served else { return };
        if served.timer.take().is_none() {
            return;
        }
        match self.state {
            State::Answering => {
                self.state = State::Up;
                (served.head, served.last) = (Vec::new(), Vec::new());
                context.tell(Event::Acknowledged { session: context.handle });
            }
            State::Refusing => self.end(None),
            _ => {}
        }
    }

    fn handle_bye(&mut self, context: &mut Context<'_>, request: &Message<'_>, flow: Flow) {
        reply(context, request, flow, self.owner, 200);
        match self.state {
            State::Over => {}
            // A BYE crosses a BYE: both are answered, and ours has its own answer still to come.
            State::Closing => {}
            _ => {
                self.end(None);
                context.tell(Event::ByeReceived { session: context.handle });
            }
        }
    }

    fn handle_reinvite(&mut self, context: &mut Context<'_>, request: &Message<'_>, flow: Flow, key: u64) {
        let cseq = request.cseq().map_or(0, |(number, _)| number);
        if self.served.as_ref().is_some_and(|served| served.cseq == cseq && served.key == key) {
            return self.handle_copy(context);
        }
        if self.state != State::Up {
            // §14.2: one INVITE at a time.
            return reply(context, request, flow, self.owner, 491);
        }
        self.dialog.remote_cseq = Some(cseq);
        if let Some(contact) = request.contact() {
            self.dialog.target = contact.uri.into();
        }
        self.served = Some(Served::new(request, flow, key, ""));
        context.tell(Event::Reinvited { session: context.handle });
    }

    fn take_number(&mut self) -> u32 {
        self.next_number += 1;
        self.next_number - 1
    }

    fn end(&mut self, linger_until: Option<Instant>) {
        self.state = State::Over;
        self.linger_until = linger_until;
        (self.invite, self.request, self.credentials) = (None, None, None);
        if let Some(served) = &mut self.served {
            served.timer = None;
        }
    }
}

impl Served {
    fn new(invite: &Message<'_>, flow: Flow, key: u64, tag: &str) -> Self {
        let flow = Flow { link: flow.link, remote: write::response_destination(invite, flow.remote) };
        let head = write::response_head(invite, flow.remote, tag, true);
        let cseq = invite.cseq().map_or(0, |(number, _)| number);
        Self { key, flow, cseq, head, last: Vec::new(), timer: None }
    }
}

/// Answers a request without keeping anything of it.
pub fn reply(context: &mut Context<'_>, request: &Message<'_>, flow: Flow, owner: u64, code: u16) {
    let tag = context.salt.tag(context.handle).to_string();
    let agent = context.agent;
    let to = Flow { link: flow.link, remote: write::response_destination(request, flow.remote) };
    context.out.write(to, owner, |arena| {
        let mut writer = Writer::response(arena, code, "");
        writer.lines(&write::response_head(request, flow.remote, &tag, false));
        writer.field("Allow", write::ALLOW).field("Server", agent).body("", b"");
    });
}

pub(super) fn contact(writer: &mut Writer<'_>, link: Link, user: &str) {
    let (at, address, transport) =
        (if user.is_empty() { "" } else { "@" }, link.advertised, link.transport.uri_param());
    writer.field("Contact", format!("<sip:{user}{at}{address}{transport}>"));
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
    writer.field("Call-ID", original.call_id()?).field_fmt("CSeq", format_args!("{cseq} {method}"));
    writer.body("", b"");
    Some(bytes)
}

/// Whether a To value already has a tag, as an INVITE within a dialog does.
pub fn has_to_tag(request: &Message<'_>) -> bool {
    request.header(Name::To).map(NameAddr::parse).and_then(|to| to.tag()).is_some()
}

/// A session's identity for the application.
pub type SessionId = Handle;
