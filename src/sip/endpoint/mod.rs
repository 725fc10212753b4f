//! The endpoint: every session, registration and request of one worker, and which message belongs to whom.
//!
//! Responses find their entry by the branch that we made, requests within a dialog by the tag that we made, copies of
//! an INVITE and its CANCEL by a hash of its transaction (RFC 3261 §17.1.3, §17.2.3). What belongs to nobody is counted
//! and, where the standard says so, answered. Messages are given with [`Endpoint::handle_message`]; while its events
//! are drained the caller still holds the message, so an event does not repeat what stands in it.

mod comeback;
mod elsewhere;
mod event;
mod incoming;
mod options;
mod place;
pub(super) mod refusal;

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::{FxHashMap, FxHasher};

use super::exchange::{Cause, Login};
use super::flow::{Flow, Link, LinkId, Links, Transport};
use super::message::{Message, Start};
use super::outbox::{Outbox, Reply, Transmit};
use super::registration::{Binding, Registration};
use super::session::{Extensions, Invite, Means, Response, Session};
use super::token::{Handle, Salt};
use super::transaction::Timers;
use crate::timer::Wheel;
use crate::units::Random;

pub use event::{Counters, Event};
pub use options::Ping;

use options::Options;
use place::{Entry, Place};

/// How an endpoint is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// User-Agent and Server.
    pub agent: String,
    /// Base times.
    pub timers: Timers,
    /// Whether a request that starts something (INVITE, REGISTER, OPTIONS) and is not served waits for another place:
    /// see [`Event::Unserved`]. Default false: it has failed.
    pub fails_over: bool,
    /// How long a call that is up stays when its connection is gone: so long the far end may come back over another, with
    /// a request that refreshes the target. Default zero: it is over.
    pub keeps_lost: Duration,
}

impl Default for Config {
    fn default() -> Self {
        let agent = concat!("ringfleet/", env!("CARGO_PKG_VERSION")).to_owned();
        Self { agent, timers: Timers::default(), fails_over: false, keeps_lost: Duration::ZERO }
    }
}

/// Every session, registration and request of one worker.
#[derive(Debug)]
pub struct Endpoint {
    config: Config,
    links: Links,
    places: Vec<Place>,
    free: Vec<u32>,
    /// Transactions of INVITEs that came in; `None` once over, so that a late copy is not a new call (RFC 6026 §7.1).
    invited: FxHashMap<u64, Invited>,
    /// The transaction of an INVITE by its Call-ID, From tag and CSeq: another one with the same came by another way.
    merged: FxHashMap<u64, u64>,
    /// The last registration of each `user@domain`, by its hash.
    reached: FxHashMap<u64, Handle>,
    /// Those that are over, and until when they are remembered.
    over: VecDeque<(Instant, u64)>,
    timers: Wheel<Handle>,
    /// Links whose entries stand still, with those that were due since.
    suspended: FxHashMap<LinkId, Vec<Handle>>,
    salt: Salt,
    random: Random,
    out: Outbox,
    counters: Counters,
}

/// An INVITE that came in.
#[derive(Clone, Copy, Debug)]
struct Invited {
    /// `None` once it is over.
    session: Option<Handle>,
    /// Where it stands among those that came by one way.
    merge: u64,
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
            merged: FxHashMap::default(),
            reached: FxHashMap::default(),
            over: VecDeque::new(),
            timers: Wheel::new(now),
            suspended: FxHashMap::default(),
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
                Entry::Options(options) => options.fail(context, 503, Cause::Transport),
                Entry::Remnant(_) | Entry::Free => {}
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
                Entry::Options(options) => options.fail(context, 503, Cause::Transport),
                Entry::Remnant(_) | Entry::Free => {}
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

    /// Answers an UPDATE or PRACK with an offer.
    pub fn answer_offer(&mut self, now: Instant, session: Handle, response: &Response<'_>) {
        self.with_session(now, session, |context, session| session.answer_offer(context, response));
    }

    /// Acknowledges a 2xx that brought the offer, with the answer.
    pub fn acknowledge(&mut self, now: Instant, session: Handle, sdp: &[u8]) {
        self.with_session(now, session, |context, session| session.acknowledge(context, sdp));
    }

    /// Offers another description in a session that is up. False where it is not.
    pub fn change(&mut self, now: Instant, session: Handle, sdp: &[u8], by: Means) -> bool {
        self.with_session(now, session, |context, session| session.change(context, sdp, by)).unwrap_or(false)
    }

    /// The candidates of ICE that the offer of a call of ours has, as a body of the type
    /// [`FRAGMENT`](super::sdp::peering::FRAGMENT); others may follow.
    pub fn offer_candidates(&mut self, session: Handle, fragment: &[u8]) {
        if let Some(Entry::Session(session)) = self.entry_mut(session) {
            session.offer_candidates(fragment);
        }
    }

    /// Tells the far end all our candidates so far in an INFO request, once there is a dialog; told as
    /// [`Event::CandidatesAnswered`]. The far end of a call of ours has to say that it takes them.
    pub fn send_candidates(&mut self, now: Instant, session: Handle, fragment: &[u8]) {
        self.with_session(now, session, |context, session| session.send_candidates(context, fragment));
    }

    /// Whether answers to a call say from now on that candidates in INFO requests are taken, to who takes them too.
    pub fn speak_trickle(&mut self, session: Handle, speaks: bool) {
        if let Some(Entry::Session(session)) = self.entry_mut(session) {
            session.speak_trickle(speaks);
        }
    }

    /// Whether the far end of a session says that it takes candidates in INFO requests, and has refused none.
    pub fn takes_candidates(&self, session: Handle) -> bool {
        matches!(self.entry(session), Some(Entry::Session(session)) if session.takes_candidates())
    }

    /// Takes a call that came in and sets the extensions that it speaks. False where its INVITE requires or brings
    /// something else: it is refused (415, 420, 421 or 422) and over.
    pub fn speak(&mut self, now: Instant, session: Handle, extensions: Extensions) -> bool {
        self.with_session(now, session, |context, session| session.speak(context, extensions)).unwrap_or(false)
    }

    /// The answer to our offer that came in a reliable provisional response, for a 2xx that repeats none.
    pub fn early_answer(&self, session: Handle) -> Option<&[u8]> {
        match self.entry(session)? {
            Entry::Session(session) => session.early_answer(),
            _ => None,
        }
    }

    /// Places that rang or answered for an INVITE of ours, by the tag of To; `None` where none did.
    pub fn forks(&self, session: Handle) -> Option<u32> {
        match self.entry(session)? {
            Entry::Session(session) => session.forks(),
            _ => None,
        }
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
        let address = hash_of(&binding.user, &binding.registrar.domain);
        let handle = self
            .enter(now, |context| Registration::start(context, binding).map(|it| Entry::Registration(Box::new(it))))?;
        self.reached.insert(address, handle);
        Some(handle)
    }

    /// Removes a binding.
    pub fn unregister(&mut self, now: Instant, registration: Handle) {
        self.with_entry(now, registration, |context, entry| {
            if let Entry::Registration(registration) = entry {
                registration.remove(context);
            }
        });
    }

    /// Asks the registrar whether a binding stands. False where it cannot be asked.
    pub fn query(&mut self, now: Instant, registration: Handle) -> bool {
        let asked = self.with_entry(now, registration, |context, entry| match entry {
            Entry::Registration(registration) => registration.query(context),
            _ => false,
        });
        asked.unwrap_or(false)
    }

    /// Asks the far end whether it knows of a session that is up, by OPTIONS within its dialog. False where it is not up.
    pub fn probe(&mut self, now: Instant, session: Handle) -> bool {
        self.with_session(now, session, |context, session| session.probe(context)).unwrap_or(false)
    }

    /// Sends OPTIONS. `None` where the flow's link is closed.
    pub fn options(&mut self, now: Instant, ping: &Ping<'_>) -> Option<Handle> {
        self.enter(now, |context| Options::start(context, ping).map(|it| Entry::Options(Box::new(it))))
    }

    /// Answers a request that the endpoint keeps nothing of (REGISTER).
    pub fn reply(&mut self, flow: Flow, request: &Message<'_>, reply: &Reply<'_>) {
        let tag = format!("{:016x}", self.random.next_u64());
        self.out.reply((flow, 0), request, &tag, &self.config.agent, reply);
    }

    /// Route that requests of an address of record (`user@domain`) are to take, as its registrar said last (RFC 3608).
    pub fn service_route(&self, address: &str) -> &[String] {
        self.registration_of(address).map_or(&[], Registration::service_route)
    }

    /// The public GRUU of an address of record (`user@domain`) that is registered (RFC 5627).
    pub fn gruu(&self, address: &str) -> Option<&str> {
        self.registration_of(address)?.gruu()
    }

    fn registration_of(&self, address: &str) -> Option<&Registration> {
        let (user, domain) = address.rsplit_once('@')?;
        match self.entry(*self.reached.get(&hash_of(user, domain))?)? {
            Entry::Registration(registration) if registration.is_of(address) => Some(registration),
            _ => None,
        }
    }

    /// The flow of a session, registration or request.
    pub fn flow(&self, handle: Handle) -> Option<Flow> {
        self.entry(handle)?.flow()
    }

    /// Call-ID of a registration, even of one that is over.
    pub fn registration_call_id(&self, handle: Handle) -> String {
        self.salt.call_id(handle)
    }

    /// The address that a link is bound to.
    pub fn local_address(&self, link: LinkId) -> Option<IpAddr> {
        self.links.get(link).map(|link| link.local.ip())
    }

    /// The address that the outside knows a link by, for SDP.
    pub fn public_address(&self, link: LinkId) -> Option<IpAddr> {
        self.links.get(link).map(|link| link.contact.ip())
    }

    /// What a link carries its messages over.
    pub fn transport(&self, link: LinkId) -> Option<Transport> {
        self.links.get(link).map(|link| link.transport)
    }

    /// Call-ID of a session or registration.
    pub fn call_id(&self, handle: Handle) -> Option<String> {
        match self.entry(handle)? {
            Entry::Session(session) => Some(super::header::text(session.call_id())),
            Entry::Registration(_) => Some(self.registration_call_id(handle)),
            Entry::Remnant(remnant) => remnant.call_id().map(super::header::text),
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
            Start::Response { .. } => self.handle_response(now, flow, message),
            Start::Request { method, .. } => self.handle_request(now, flow, message, method),
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(handle) = self.timers.pop(now) {
            if !self.is_current(handle) {
                continue;
            }
            let place = &mut self.places[handle.index as usize];
            place.armed = None;
            if self.holds_back(handle) {
                continue;
            }
            let place = &self.places[handle.index as usize];
            if matches!(place.entry, Entry::Remnant(_)) {
                self.settle(now, handle);
                continue;
            }
            self.run_entry(now, handle);
        }
    }

    fn run_entry(&mut self, now: Instant, handle: Handle) {
        self.with_entry(now, handle, |context, entry| match entry {
            Entry::Session(session) => session.handle_timeout(context),
            Entry::Registration(registration) => registration.handle_timeout(context),
            Entry::Options(options) => options.handle_timeout(context),
            Entry::Remnant(_) | Entry::Free => {}
        });
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
}

/// Of an address of record.
fn hash_of(user: &str, domain: &str) -> u64 {
    let mut hasher = FxHasher::default();
    (user, domain).hash(&mut hasher);
    hasher.finish()
}
