//! The endpoint: every session, registration and request of one worker, and which message belongs to whom.
//!
//! Responses find their entry by the branch that we made, requests within a dialog by the tag that we made, copies of
//! an INVITE and its CANCEL by a hash of its transaction (RFC 3261 §17.1.3, §17.2.3). What belongs to nobody is counted
//! and, where the standard says so, answered. Messages are given with [`Endpoint::handle_message`]; while its events
//! are drained the caller still holds the message, so an event does not repeat what stands in it.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use rustc_hash::{FxBuildHasher, FxHashMap};

use super::exchange::{Cause, Exchange, Login};
use super::flow::{Flow, Link, LinkId, Links, Transport};
use super::message::{Message, Method, Start};
use super::outbox::{Context, Outbox, Transmit};
use super::registration::{Binding, Registration};
use super::session::{self, Invite, Response, Session};
use super::token::{Handle, Salt};
use super::transaction::Timers;
use super::write::{self, Writer};
use crate::timer::Wheel;
use crate::units::Random;

/// How an endpoint is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// User-Agent and Server.
    pub agent: String,
    /// Base times.
    pub timers: Timers,
}

impl Default for Config {
    fn default() -> Self {
        Self { agent: concat!("ringfleet/", env!("CARGO_PKG_VERSION")).to_owned(), timers: Timers::default() }
    }
}

/// What the endpoint tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A provisional response to our INVITE, 100 included.
    Provisional {
        /// The session.
        session: Handle,
        /// 100–199.
        code: u16,
    },
    /// A 2xx to our INVITE; it is acknowledged already.
    Answered {
        /// The session.
        session: Handle,
    },
    /// A 2xx crossed our CANCEL; it is acknowledged, and BYE is under way.
    AnsweredAfterCancel {
        /// The session.
        session: Handle,
    },
    /// Our INVITE failed; the session is over.
    Refused {
        /// The session.
        session: Handle,
        /// 300–699.
        code: u16,
        /// Whether the code was received.
        cause: Cause,
    },
    /// A call came in.
    Invited {
        /// The session.
        session: Handle,
    },
    /// The caller gave up before we answered; 487 is sent.
    Cancelled {
        /// The session.
        session: Handle,
    },
    /// Our 2xx was acknowledged.
    Acknowledged {
        /// The session.
        session: Handle,
    },
    /// Our 2xx was never acknowledged; BYE is under way.
    NotAcknowledged {
        /// The session.
        session: Handle,
    },
    /// An INVITE within the dialog; it waits for `respond`.
    Reinvited {
        /// The session.
        session: Handle,
    },
    /// The far end ended the call; 200 is sent and the session is over.
    ByeReceived {
        /// The session.
        session: Handle,
    },
    /// Our BYE has its final response, or none in time; the session is over.
    ByeAnswered {
        /// The session.
        session: Handle,
        /// Final code, 408 or 503 when concluded here.
        code: u16,
        /// Whether the code was received.
        cause: Cause,
    },
    /// The connection of an established session broke; the session is over.
    LinkLost {
        /// The session.
        session: Handle,
    },
    /// The binding stands.
    Registered {
        /// The registration.
        registration: Handle,
        /// Expiry granted, seconds.
        expires: Option<u32>,
        /// It was a refresh.
        refreshed: bool,
    },
    /// The binding was refused or lost; the registration is over.
    RegistrationFailed {
        /// The registration.
        registration: Handle,
        /// Final code, 408 or 503 when concluded here.
        code: u16,
        /// Whether the code was received.
        cause: Cause,
        /// It was a refresh: a binding that stood is lost.
        refresh: bool,
    },
    /// The binding was removed, or could not be; the registration is over.
    Unregistered {
        /// The registration.
        registration: Handle,
        /// Final code.
        code: u16,
        /// Whether the code was received.
        cause: Cause,
    },
    /// Our OPTIONS has its final response, or none in time.
    OptionsAnswered {
        /// The request.
        request: Handle,
        /// Final code.
        code: u16,
        /// Whether the code was received.
        cause: Cause,
    },
    /// A REGISTER came in; answer it with [`Endpoint::reply`].
    RegisterReceived,
}

/// What belonged to nobody or could not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams that are no SIP message, or a request without a field that every one must have.
    pub malformed: u64,
    /// Responses to nothing of ours.
    pub stray_responses: u64,
    /// Requests within a dialog that is not ours or is over.
    pub stray_requests: u64,
    /// Requests that came again.
    pub copies: u64,
}

/// An OPTIONS to send.
#[derive(Clone, Copy, Debug)]
pub struct Ping<'a> {
    /// Where it goes.
    pub flow: Flow,
    /// The application's number for it; not 0.
    pub owner: u64,
    /// Request-URI and To.
    pub uri: &'a str,
    /// From without tag.
    pub from: &'a str,
    /// Further header fields.
    pub headers: &'a [(String, String)],
    /// What to answer a challenge with.
    pub credentials: Option<&'a Arc<Login>>,
}

/// Every session, registration and request of one worker.
#[derive(Debug)]
pub struct Endpoint {
    config: Config,
    links: Links,
    places: Vec<Place>,
    free: Vec<u32>,
    /// Transactions of INVITEs that came in; `None` once over, so that a late copy is not a new call (RFC 6026 §7.1).
    invited: FxHashMap<u64, Option<Handle>>,
    /// Those that are over, and until when they are remembered.
    over: VecDeque<(Instant, u64)>,
    timers: Wheel<Handle>,
    salt: Salt,
    random: Random,
    out: Outbox,
    counters: Counters,
}

#[derive(Debug)]
struct Place {
    generation: u32,
    entry: Entry,
    armed: Option<Instant>,
}

#[derive(Debug)]
enum Entry {
    Free,
    Session(Box<Session>),
    Registration(Box<Registration>),
    Options(Box<Options>),
}

#[derive(Debug)]
struct Options {
    flow: Flow,
    owner: u64,
    exchange: Exchange,
    next_number: u32,
    over: bool,
}

impl Endpoint {
    /// An endpoint with no link and nothing under way.
    pub fn new(config: Config, seed: u64, now: Instant) -> Self {
        let mut random = Random::new(seed);
        Self {
            config,
            links: Links::default(),
            places: Vec::new(),
            free: Vec::new(),
            invited: FxHashMap::default(),
            over: VecDeque::new(),
            timers: Wheel::new(now),
            salt: Salt(random.next_u64()),
            random,
            out: Outbox::default(),
            counters: Counters::default(),
        }
    }

    // --- links ----------------------------------------------------------------------------------------------------

    /// A link was opened.
    pub fn add_link(&mut self, id: LinkId, link: Link) {
        self.links.add(id, link);
    }

    /// A link was closed or broke: what lives on it ends.
    pub fn remove_link(&mut self, now: Instant, id: LinkId) {
        let on_link: Vec<Handle> = (0u32..)
            .zip(&self.places)
            .filter(|(_, place)| place.entry.flow().is_some_and(|flow| flow.link == id))
            .map(|(index, place)| Handle { index, generation: place.generation })
            .collect();
        self.links.remove(id);
        for handle in on_link {
            self.with_entry(now, handle, |context, entry| match entry {
                Entry::Session(session) => session.handle_link_lost(context),
                Entry::Registration(registration) => registration.handle_link_lost(context),
                Entry::Options(options) => options.finish(context, 503, Cause::Transport),
                Entry::Free => {}
            });
        }
    }

    /// Nobody is at the other end of a flow: requests that have no response at all will get none (§8.1.3.1, 503).
    pub fn fail_towards(&mut self, now: Instant, flow: Flow) {
        let towards: Vec<Handle> = (0u32..)
            .zip(&self.places)
            .filter(|(_, place)| place.entry.flow() == Some(flow))
            .map(|(index, place)| Handle { index, generation: place.generation })
            .collect();
        for handle in towards {
            self.with_entry(now, handle, |context, entry| match entry {
                Entry::Session(session) => session.handle_unreachable(context),
                Entry::Registration(registration) => registration.handle_unreachable(context),
                Entry::Options(options) => options.finish(context, 503, Cause::Transport),
                Entry::Free => {}
            });
        }
    }

    // --- what the application wants -------------------------------------------------------------------------------

    /// Places a call. `None` where the flow's link is closed.
    pub fn invite(&mut self, now: Instant, call: &Invite<'_>) -> Option<Handle> {
        self.enter(now, |context| Session::place(context, call).map(|session| Entry::Session(Box::new(session))))
    }

    /// Gives up a call that is not answered yet.
    pub fn cancel(&mut self, now: Instant, session: Handle) {
        self.with_session(now, session, |context, session| session.cancel(context));
    }

    /// Ends a call. `reason` is a Reason field.
    pub fn bye(&mut self, now: Instant, session: Handle, reason: Option<&str>) {
        self.with_session(now, session, |context, session| session.bye(context, reason));
    }

    /// Answers a call that came in, or an INVITE within its dialog.
    pub fn respond(&mut self, now: Instant, session: Handle, response: &Response<'_>) {
        self.with_session(now, session, |context, session| session.respond(context, response));
    }

    /// Forgets a call that came in without a word to its caller, as a far end that is gone.
    pub fn abandon(&mut self, now: Instant, session: Handle) {
        self.with_session(now, session, |_, session| session.abandon());
    }

    /// Gives a session that came in the application's number, and credentials for its requests.
    pub fn adopt(&mut self, session: Handle, owner: u64, credentials: Option<Arc<Login>>) {
        if let Some(Entry::Session(session)) = self.entry_mut(session) {
            session.owner = owner;
            session.set_credentials(credentials);
        }
    }

    /// Registers. `None` where the flow's link is closed.
    pub fn register(&mut self, now: Instant, binding: Binding) -> Option<Handle> {
        self.enter(now, |context| Registration::start(context, binding).map(|it| Entry::Registration(Box::new(it))))
    }

    /// Removes a binding.
    pub fn unregister(&mut self, now: Instant, registration: Handle) {
        self.with_entry(now, registration, |context, entry| {
            if let Entry::Registration(registration) = entry {
                registration.remove(context);
            }
        });
    }

    /// Sends OPTIONS. `None` where the flow's link is closed.
    pub fn options(&mut self, now: Instant, ping: &Ping<'_>) -> Option<Handle> {
        self.enter(now, |context| Options::start(context, ping).map(|it| Entry::Options(Box::new(it))))
    }

    /// Answers a request that the endpoint keeps nothing of (REGISTER).
    pub fn reply(&mut self, flow: Flow, request: &Message<'_>, code: u16, reason: &str, headers: &[(&str, String)]) {
        let tag = format!("{:016x}", self.random.next_u64());
        let to = Flow { link: flow.link, remote: write::response_destination(request, flow.remote) };
        let agent = &self.config.agent;
        self.out.write(to, 0, |arena| {
            let mut writer = Writer::response(arena, code, reason);
            writer.lines(&write::response_head(request, flow.remote, &tag, false));
            for (name, value) in headers {
                writer.field(name, value);
            }
            writer.field("Server", agent).body("", b"");
        });
    }

    /// The address that a link advertises.
    pub fn local_address(&self, link: LinkId) -> Option<IpAddr> {
        self.links.get(link).map(|link| link.advertised.ip())
    }

    /// What a link carries its messages over.
    pub fn transport(&self, link: LinkId) -> Option<Transport> {
        self.links.get(link).map(|link| link.transport)
    }

    /// Call-ID of a session or registration.
    pub fn call_id(&self, handle: Handle) -> Option<String> {
        match self.entry(handle)? {
            Entry::Session(session) => Some(super::header::text(session.call_id())),
            Entry::Registration(registration) => Some(registration.call_id().to_owned()),
            Entry::Options(_) | Entry::Free => None,
        }
    }

    /// Whether a challenge has been answered on this session or registration.
    pub fn was_challenged(&self, handle: Handle) -> bool {
        match self.entry(handle) {
            Some(Entry::Session(session)) => session.was_challenged(),
            Some(Entry::Registration(registration)) => registration.was_challenged(),
            Some(Entry::Options(options)) => options.exchange.was_challenged(),
            _ => false,
        }
    }

    /// What belonged to nobody so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Entries that stand, lingering ones included.
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Whether nothing stands.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    // --- what comes in --------------------------------------------------------------------------------------------

    /// Counts bytes that are no message.
    pub fn note_malformed(&mut self) {
        self.counters.malformed += 1;
    }

    /// A message arrived over a flow. Returns the application's number of the entry it belonged to.
    pub fn handle_message(&mut self, now: Instant, flow: Flow, message: &Message<'_>) -> Option<u64> {
        match message.start() {
            Start::Response { .. } => self.handle_response(now, message),
            Start::Request { method, .. } => self.handle_request(now, flow, message, method),
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(handle) = self.timers.pop(now) {
            if !self.is_current(handle) {
                continue;
            }
            self.places[handle.index as usize].armed = None;
            self.with_entry(now, handle, |context, entry| match entry {
                Entry::Session(session) => session.handle_timeout(context),
                Entry::Registration(registration) => registration.handle_timeout(context),
                Entry::Options(options) => options.handle_timeout(context),
                Entry::Free => {}
            });
        }
    }

    /// The next message to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit<'_>> {
        self.out.poll_transmit()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.out.poll_event()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next_deadline()
    }

    fn handle_response(&mut self, now: Instant, response: &Message<'_>) -> Option<u64> {
        let branch = response.via().and_then(|via| via.branch());
        let entry = branch.and_then(|branch| self.salt.read_branch(branch)).filter(|(it, _)| self.is_current(*it));
        let Some((handle, number)) = entry else {
            self.counters.stray_responses += 1;
            return None;
        };
        self.with_entry(now, handle, |context, entry| {
            match entry {
                Entry::Session(session) => session.handle_response(context, response, number),
                Entry::Registration(registration) => registration.handle_response(context, response, number),
                Entry::Options(options) => options.handle_response(context, response, number),
                Entry::Free => {}
            }
            entry.owner()
        })
        .flatten()
    }

    fn handle_request(&mut self, now: Instant, flow: Flow, request: &Message<'_>, method: Method<'_>) -> Option<u64> {
        if !is_complete(request) {
            self.counters.malformed += 1;
            // Without a Via nobody can be answered; an ACK never is.
            return match request.via() {
                Some(_) if method != Method::Ack => self.answer_plain(flow, request, 400),
                _ => None,
            };
        }
        if let Some(tag) = request.to().and_then(|to| to.tag()) {
            return self.handle_dialog_request(now, flow, request, method, tag);
        }
        let key = self.transaction_key(request);
        match method {
            Method::Invite => self.handle_invite(now, flow, request, key),
            Method::Cancel => match self.invited.get(&key).copied().flatten() {
                Some(handle) => self.with_session(now, handle, |context, session| {
                    session.handle_cancel(context, request, flow);
                    session.owner
                }),
                None => self.refuse_stray(flow, request, 481),
            },
            Method::Ack => None,
            Method::Register => {
                self.out.tell(Event::RegisterReceived);
                None
            }
            Method::Options | Method::Notify | Method::Message | Method::Info => self.answer_plain(flow, request, 200),
            Method::Bye | Method::Prack | Method::Update => self.refuse_stray(flow, request, 481),
            _ => self.answer_plain(flow, request, 405),
        }
    }

    fn handle_invite(&mut self, now: Instant, flow: Flow, invite: &Message<'_>, key: u64) -> Option<u64> {
        if let Some(known) = self.invited.get(&key).copied() {
            self.counters.copies += 1;
            return self.with_session(now, known?, |context, session| {
                session.handle_copy(context);
                session.owner
            });
        }
        let receive = |context: &mut Context<'_>| Session::receive(context, invite, flow, key);
        let handle = self.enter(now, |context| Some(Entry::Session(Box::new(receive(context)))))?;
        self.invited.insert(key, Some(handle));
        None
    }

    fn handle_dialog_request(
        &mut self,
        now: Instant,
        flow: Flow,
        request: &Message<'_>,
        method: Method<'_>,
        tag: &[u8],
    ) -> Option<u64> {
        let handle = self.salt.read_tag(tag);
        let ours = handle.filter(|handle| self.is_session_of(*handle, request));
        if let Some(handle) = ours {
            let key = self.transaction_key(request);
            return self.with_session(now, handle, |context, session| {
                session.handle_request(context, request, flow, key);
                session.owner
            });
        }
        self.counters.stray_requests += 1;
        match method {
            Method::Ack => None,
            // A BYE that comes again after its dialog ended here: the far end only wants to hear 200.
            Method::Bye if handle.is_some_and(|handle| self.was_given(handle)) => self.answer_plain(flow, request, 200),
            _ => self.answer_plain(flow, request, 481),
        }
    }

    fn refuse_stray(&mut self, flow: Flow, request: &Message<'_>, code: u16) -> Option<u64> {
        self.counters.stray_requests += 1;
        self.answer_plain(flow, request, code)
    }

    fn answer_plain(&mut self, flow: Flow, request: &Message<'_>, code: u16) -> Option<u64> {
        self.reply(flow, request, code, "", &[("Allow", write::ALLOW.to_owned())]);
        None
    }

    /// RFC 3261 §17.2.3: branch, sent-by and CSeq number; the method is left out, so that CANCEL finds its INVITE.
    fn transaction_key(&self, request: &Message<'_>) -> u64 {
        let mut hasher = FxBuildHasher.build_hasher();
        hasher.write_u64(self.salt.0);
        if let Some(via) = request.via() {
            hasher.write(via.branch().unwrap_or(b""));
            hasher.write(via.host);
            hasher.write_u16(via.port.unwrap_or(5060));
        }
        hasher.write(request.call_id().unwrap_or(b""));
        hasher.write_u32(request.cseq().map_or(0, |(number, _)| number));
        hasher.finish()
    }

    // --- places ---------------------------------------------------------------------------------------------------

    fn is_current(&self, handle: Handle) -> bool {
        self.entry(handle).is_some()
    }

    fn is_session_of(&self, handle: Handle, request: &Message<'_>) -> bool {
        matches!(self.entry(handle), Some(Entry::Session(session)) if Some(session.call_id()) == request.call_id())
    }

    /// Whether the handle was given away once, even if what stood there is gone.
    fn was_given(&self, handle: Handle) -> bool {
        self.places.get(handle.index as usize).is_some_and(|place| handle.generation <= place.generation)
    }

    fn entry(&self, handle: Handle) -> Option<&Entry> {
        let place = self.places.get(handle.index as usize)?;
        (place.generation == handle.generation && !matches!(place.entry, Entry::Free)).then_some(&place.entry)
    }

    fn entry_mut(&mut self, handle: Handle) -> Option<&mut Entry> {
        let place = self.places.get_mut(handle.index as usize)?;
        (place.generation == handle.generation && !matches!(place.entry, Entry::Free)).then_some(&mut place.entry)
    }

    fn enter(&mut self, now: Instant, make: impl FnOnce(&mut Context<'_>) -> Option<Entry>) -> Option<Handle> {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place { generation: 0, entry: Entry::Free, armed: None });
            self.places.len() as u32 - 1
        });
        let place = &mut self.places[index as usize];
        place.generation += 1;
        place.armed = None;
        let handle = Handle { index, generation: place.generation };
        match make(&mut self.context(now, handle)) {
            Some(entry) => {
                self.places[index as usize].entry = entry;
                self.settle(now, handle);
                Some(handle)
            }
            None => {
                self.free.push(index);
                None
            }
        }
    }

    fn with_session<R>(
        &mut self,
        now: Instant,
        handle: Handle,
        act: impl FnOnce(&mut Context<'_>, &mut Session) -> R,
    ) -> Option<R> {
        self.with_entry(now, handle, |context, entry| match entry {
            Entry::Session(session) => Some(act(context, session)),
            _ => None,
        })
        .flatten()
    }

    /// Lets an entry act, then sees to its timer and its end.
    fn with_entry<R>(
        &mut self,
        now: Instant,
        handle: Handle,
        act: impl FnOnce(&mut Context<'_>, &mut Entry) -> R,
    ) -> Option<R> {
        let place = self.places.get_mut(handle.index as usize)?;
        if place.generation != handle.generation || matches!(place.entry, Entry::Free) {
            return None;
        }
        let mut entry = std::mem::replace(&mut place.entry, Entry::Free);
        let result = act(&mut self.context(now, handle), &mut entry);
        self.places[handle.index as usize].entry = entry;
        self.settle(now, handle);
        Some(result)
    }

    fn settle(&mut self, now: Instant, handle: Handle) {
        let place = &mut self.places[handle.index as usize];
        let (over, deadline, key) = match &place.entry {
            Entry::Session(session) => (session.is_over(now), session.deadline(), session.served_key()),
            Entry::Registration(registration) => (registration.is_over(), registration.deadline(), None),
            Entry::Options(options) => (options.over, options.exchange.deadline(), None),
            Entry::Free => return,
        };
        if over {
            place.entry = Entry::Free;
            self.free.push(handle.index);
            if let Some(key) = key {
                self.forget_later(now, key);
            }
        } else if let Some(deadline) = deadline.filter(|at| place.armed.is_none_or(|armed| *at < armed)) {
            place.armed = Some(deadline);
            self.timers.insert(deadline, handle);
        }
    }

    fn forget_later(&mut self, now: Instant, key: u64) {
        if let Some(known) = self.invited.get_mut(&key) {
            *known = None;
            self.over.push_back((now + self.config.timers.timeout(), key));
        }
        while let Some((_, key)) = self.over.pop_front_if(|(until, _)| *until <= now) {
            self.invited.remove(&key);
        }
    }

    fn context(&mut self, now: Instant, handle: Handle) -> Context<'_> {
        Context {
            now,
            handle,
            salt: self.salt,
            timers: &self.config.timers,
            links: &self.links,
            agent: &self.config.agent,
            random: &mut self.random,
            out: &mut self.out,
        }
    }
}

/// Whether a request has the fields that every one must have (RFC 3261 §8.1.1); Max-Forwards is not insisted on.
fn is_complete(request: &Message<'_>) -> bool {
    let parties = request.from().is_some() && request.to().is_some();
    parties && request.via().is_some() && request.call_id().is_some() && request.cseq().is_some()
}

impl Entry {
    fn flow(&self) -> Option<Flow> {
        match self {
            Self::Session(session) => Some(session.flow()),
            Self::Registration(registration) => Some(registration.flow()),
            Self::Options(options) => Some(options.flow),
            Self::Free => None,
        }
    }

    fn owner(&self) -> Option<u64> {
        match self {
            Self::Session(session) => Some(session.owner),
            Self::Registration(registration) => Some(registration.owner()),
            Self::Options(options) => Some(options.owner),
            Self::Free => None,
        }
    }
}

impl Options {
    fn start(context: &mut Context<'_>, ping: &Ping<'_>) -> Option<Self> {
        let link = context.link(ping.flow)?;
        let mut bytes = Vec::with_capacity(400);
        let mut writer = Writer::request(&mut bytes, b"OPTIONS", ping.uri.as_bytes());
        writer.via(link.transport.name(), link.advertised, context.salt.branch(context.handle, 1));
        writer.field("Max-Forwards", "70");
        writer.field("From", format!("{};tag={}", ping.from, context.salt.tag(context.handle)));
        writer.field("To", format!("<{}>", ping.uri));
        writer.field("Call-ID", format!("{:016x}@ringfleet", context.random.next_u64())).field("CSeq", "1 OPTIONS");
        session::contact(&mut writer, link, "");
        writer.field("Accept", "application/sdp").field("User-Agent", context.agent);
        for (name, value) in ping.headers {
            writer.field(name, value);
        }
        writer.body("", b"");
        let exchange = Exchange::start(context, (ping.flow, ping.owner), (1, 1), ping.credentials.cloned(), bytes);
        Some(Self { flow: ping.flow, owner: ping.owner, exchange, next_number: 2, over: false })
    }

    fn handle_response(&mut self, context: &mut Context<'_>, response: &Message<'_>, number: u32) {
        if self.exchange.number() != number {
            return;
        }
        let flow = (self.flow, self.owner);
        if let Some(code) = self.exchange.handle_response(context, flow, response, &mut self.next_number) {
            self.finish(context, code, Cause::Response);
        }
    }

    fn handle_timeout(&mut self, context: &mut Context<'_>) {
        if self.exchange.handle_timeout(context, (self.flow, self.owner)) {
            self.finish(context, 408, Cause::Timeout);
        }
    }

    fn finish(&mut self, context: &mut Context<'_>, code: u16, cause: Cause) {
        self.over = true;
        context.tell(Event::OptionsAnswered { request: context.handle, code, cause });
    }
}
