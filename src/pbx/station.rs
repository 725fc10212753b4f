//! The PBX as a station: what comes in goes to the registrar or to a call.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use rustc_hash::{FxHashMap, FxHashSet};

use super::calls::Call;
use super::limits::Limits;
use super::registrar::{Access, Answer, Registrar, user_of};
use crate::media::clock::NtpClock;
use crate::scenario::lab::LabPlan;
use crate::sip::endpoint::{self, Endpoint, Event};
use crate::sip::flow::{Flow, LinkId, Transport};
use crate::sip::header::Name;
use crate::sip::keep_alive::{Action, KeepAlives, PING, Policy};
use crate::sip::message::{Message, ParseError};
use crate::sip::outbox::Reply;
use crate::sip::sdp::crypto::KeySource;
use crate::sip::session::{Means, Response};
use crate::sip::stun;
use crate::sip::token::Handle;
use crate::sip::uri::Uri;
use crate::station::streams::Streams;
use crate::station::{LinkEvent, LinkFault, MediaPacket, Output, PortId, Station};
use crate::timer::Wheel;
use crate::units::{Random, Redacted};
use crate::webrtc::Identity;

/// How a PBX is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// What it is told to be.
    pub plan: LabPlan,
    /// The wall clock of RTCP.
    pub clock: NtpClock,
    /// What keys of SRTP are made from: unpredictable.
    pub secret: Redacted<[u8; 32]>,
    /// Our certificate of DTLS, where WebRTC is spoken.
    pub identity: Option<Arc<Identity>>,
}

/// The simulated PBX.
#[derive(Debug)]
pub struct Pbx {
    pub(super) config: Config,
    pub(super) endpoint: Endpoint,
    pub(super) key_source: KeySource,
    pub(super) streams: Streams<Handle>,
    pub(super) registrar: Registrar,
    /// Calls by the session that came in.
    pub(super) calls: FxHashMap<Handle, Call>,
    /// Sessions that we placed, and the call they belong to.
    pub(super) placed: FxHashMap<Handle, Handle>,
    /// Sessions that were asked to change, by whom and with what.
    pub(super) asked: FxHashMap<Handle, (Handle, Means)>,
    pub(super) limits: Limits,
    pub(super) timers: Wheel<Handle>,
    /// Connections of WebSocket that are pinged.
    keep_alives: KeepAlives,
    pinged: FxHashSet<LinkId>,
    pings: Vec<Flow>,
    /// Responses to STUN requests.
    bound: Vec<(Flow, Vec<u8>)>,
    /// Connections to be closed.
    closing: Vec<LinkId>,
    over: bool,
}

impl Pbx {
    /// A PBX that nobody is registered at.
    pub fn new(config: Config, endpoint: endpoint::Config, seed: u64, now: Instant) -> Self {
        let mut random = Random::new(seed);
        let endpoint = endpoint::Config { keeps_lost: config.plan.keeps_calls, ..endpoint };
        Self {
            key_source: KeySource::new(config.secret.0),
            endpoint: Endpoint::new(endpoint, random.next_u64(), now),
            streams: Streams::new(random.next_u64(), 0, config.identity.clone(), now),
            registrar: Registrar::new(&config.plan, &mut random, now),
            calls: FxHashMap::default(),
            placed: FxHashMap::default(),
            asked: FxHashMap::default(),
            limits: Limits::new(&config.plan, random.next_u64(), now),
            timers: Wheel::new(now),
            keep_alives: KeepAlives::new(random.next_u64(), now),
            pinged: FxHashSet::default(),
            pings: Vec::new(),
            bound: Vec::new(),
            closing: Vec::new(),
            over: false,
            config,
        }
    }

    /// Calls that ring or are up.
    pub fn calls_under_way(&self) -> usize {
        self.calls.len()
    }

    /// Places of all limits on calls together that calls hold, or held and that have not come back yet.
    pub fn places_taken(&self, now: Instant) -> usize {
        self.limits.taken(now)
    }

    /// Bindings that stand.
    pub fn bindings(&self, now: Instant) -> usize {
        self.registrar.len(now)
    }

    /// Changes how many calls a trunk holds at the same time. Calls that are up stay up. False where there is no such
    /// trunk, or where it does not limit calls.
    pub fn set_trunk_places(&mut self, now: Instant, trunk: &str, places: u32) -> bool {
        let index = self.config.plan.trunks.iter().position(|other| other.name == trunk);
        index.is_some_and(|index| self.limits.set_trunk(now, index, places))
    }

    /// Changes how many devices the licence allows. Bindings that stand stay. False where there is no licence.
    pub fn set_licence_places(&mut self, places: u32) -> bool {
        let licence = self.config.plan.licence.as_mut();
        licence.map(|licence| licence.places = places).is_some()
    }

    /// Takes over what can change while it runs: numbers, faults, and how many places trunks and the licence have. Calls and
    /// bindings stay.
    pub fn change(&mut self, now: Instant, plan: LabPlan) {
        for trunk in &plan.trunks {
            if let Some(places) = &trunk.limit.places {
                self.set_trunk_places(now, &trunk.name, places.limit);
            }
        }
        if let Some(licence) = &plan.licence {
            self.set_licence_places(licence.places);
        }
        (self.config.plan.extensions, self.config.plan.faults) = (plan.extensions, plan.faults);
    }

    fn drain_endpoint(&mut self, now: Instant, at_hand: Option<(Flow, &Message<'_>)>) {
        let message = at_hand.map(|(_, message)| message);
        while let Some(event) = self.endpoint.poll_event() {
            match (event, at_hand) {
                (Event::RegisterReceived, Some((flow, message))) => self.handle_register(now, flow, message),
                (Event::Invited { session }, Some((flow, message))) => self.handle_invite(now, session, flow, message),
                (Event::Acknowledged { session }, _) => self.handle_acknowledged(now, session, message),
                (Event::Reinvited { session }, _) => self.handle_offer(now, session, Means::Reinvite, message),
                (Event::Offered { session }, _) => self.handle_offer(now, session, Means::Update, message),
                (Event::Changed { .. }, _) => self.handle_changed(now, event, message),
                (Event::Provisional { session, code }, _) => self.handle_provisional(now, session, code, message),
                (Event::Trickled { session }, _) => self.handle_candidates(now, session, message),
                (Event::Answered { session }, _) => self.handle_answered(now, session, message),
                (Event::Refused { session, code, .. }, _) => self.handle_refused(now, session, code, message),
                (
                    Event::Cancelled { session }
                    | Event::ByeReceived { session }
                    | Event::ByeAnswered { session, .. }
                    | Event::NotAcknowledged { session }
                    | Event::ProvisionalNotAcknowledged { session }
                    | Event::SessionExpired { session }
                    | Event::AnsweredAfterCancel { session }
                    | Event::LinkLost { session },
                    _,
                ) => self.handle_ended(now, session),
                _ => {}
            }
        }
    }

    fn handle_register(&mut self, now: Instant, flow: Flow, request: &Message<'_>) {
        // RFC 3261 §10.3: the address of record is a SIP or SIPS URI (RFC 4475 §3.3.4).
        if !request.to().and_then(|to| Uri::parse(to.uri)).is_some_and(|aor| aor.is_sip()) {
            return self.endpoint.reply(flow, request, &Reply { code: 400, ..Reply::default() });
        }
        let aor = request.to().and_then(|to| user_of(to.uri));
        let access = match (&aor, self.config.plan.challenge) {
            (Some(user), false) => Access::Granted(user.clone()),
            _ => self.registrar.authorize(now, request, Name::Authorization),
        };
        let answer = match access {
            Access::Granted(user) if aor.as_ref() == Some(&user) => {
                self.registrar.register(now, &self.config.plan, &user, flow, request)
            }
            Access::Granted(_) => Answer::refuse(403, "", Vec::new()),
            Access::Unknown => Answer::refuse(404, "", Vec::new()),
            Access::Challenge(value) => Answer::refuse(401, "", vec![("WWW-Authenticate", value)]),
        };
        let headers: Vec<(&str, &str)> = answer.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.endpoint.reply(flow, request, &Reply { code: answer.code, reason: &answer.reason, headers: &headers });
        for link in answer.closes {
            self.close(now, link);
        }
    }

    /// Closes a connection from our side.
    fn close(&mut self, now: Instant, link: LinkId) {
        if self.endpoint.transport(link).is_some_and(Transport::is_reliable) {
            self.registrar.remove_link(link);
            self.endpoint.remove_link(now, link);
            self.closing.push(link);
        }
    }

    /// A connection of WebSocket is pinged from its first message on.
    fn watch_over(&mut self, now: Instant, flow: Flow) {
        let Some(every) = self.config.plan.pings_every else { return };
        self.keep_alives.note_heard(flow.link, false);
        if self.endpoint.transport(flow.link).is_some_and(Transport::is_web) && self.pinged.insert(flow.link) {
            self.keep_alives.add(now, flow, true, Policy::Every(every));
            self.keep_alives.expect_answers(flow.link);
        }
    }

    /// Sends the pings that are due, and closes connections whose peer does not answer them.
    fn ping(&mut self, now: Instant) {
        while let Some(action) = self.keep_alives.poll(now) {
            match action {
                Action::Ping(flow) => self.pings.push(flow),
                Action::Failed(link, _) => {
                    self.pinged.remove(&link);
                    self.close(now, link);
                }
                Action::Bind(..) => {}
            }
        }
    }

    /// Challenges a caller. The account that calls, where the call may go on.
    pub(super) fn admit(&mut self, now: Instant, session: Handle, invite: &Message<'_>) -> Option<String> {
        if !self.config.plan.challenge {
            return Some(invite.from().and_then(|from| user_of(from.uri)).unwrap_or_default());
        }
        let (code, challenge) = match self.registrar.authorize(now, invite, Name::ProxyAuthorization) {
            Access::Granted(user) => return Some(user),
            Access::Challenge(value) => (407, Some(value)),
            Access::Unknown => (403, None),
        };
        let headers: Vec<(&str, &str)> = challenge.iter().map(|value| ("Proxy-Authenticate", value.as_str())).collect();
        self.endpoint.respond(now, session, &Response { code, headers: &headers, ..Response::default() });
        None
    }
}

impl Station for Pbx {
    type Report = ();

    fn handle_sip(&mut self, now: Instant, _: Instant, flow: Flow, bytes: &[u8]) -> Option<u64> {
        if stun::is_stun(bytes) {
            // RFC 5626 §8: flows over UDP are kept alive by asking us where they come from.
            match stun::respond(bytes, flow.remote) {
                Some(response) => self.bound.push((flow, response)),
                None => self.endpoint.note_malformed(),
            }
            return None;
        }
        match Message::parse(bytes) {
            Ok(message) => {
                self.watch_over(now, flow);
                self.endpoint.handle_message(now, flow, &message);
                self.drain_endpoint(now, Some((flow, &message)));
            }
            Err(ParseError::KeepAlive) => self.keep_alives.note_heard(flow.link, true),
            Err(_) => self.endpoint.note_malformed(),
        }
        None
    }

    fn handle_media(&mut self, _: Instant, packet: MediaPacket<'_>) {
        self.streams.handle_packet(packet);
        // Whoever calls a lab sees what came of the path, and hangs up.
        while self.streams.poll_peer_event().is_some() {}
    }

    fn shake(&mut self, now: Instant) -> bool {
        let shook = self.streams.shake(now);
        while self.streams.poll_peer_event().is_some() {}
        shook
    }

    fn handle_port(&mut self, now: Instant, port: PortId, opened: Result<SocketAddr, String>) {
        if let Some(session) = self.streams.owner(port) {
            self.handle_port_of(now, session, port, opened.ok());
        }
    }

    fn handle_link(&mut self, now: Instant, link: LinkId, event: LinkEvent) {
        match event {
            LinkEvent::Climbed(_) => {}
            LinkEvent::Opened(known) => self.endpoint.add_link(link, known),
            LinkEvent::Lost(..) => {
                self.keep_alives.remove(link);
                self.pinged.remove(&link);
                self.registrar.remove_link(link);
                self.endpoint.remove_link(now, link);
                self.drain_endpoint(now, None);
            }
        }
    }

    fn handle_unreachable(&mut self, now: Instant, flow: Flow, _: LinkFault) {
        self.endpoint.fail_towards(now, flow);
        self.drain_endpoint(now, None);
    }

    fn handle_timeout(&mut self, now: Instant) {
        while let Some(session) = self.timers.pop(now) {
            self.handle_deadline(now, session);
        }
        self.ping(now);
        self.endpoint.handle_timeout(now);
        self.drain_endpoint(now, None);
        self.streams.handle_timeout(now);
        while self.streams.poll_peer_event().is_some() {}
    }

    fn stop(&mut self, now: Instant) {
        let sessions: Vec<Handle> = self.calls.keys().copied().collect();
        for session in sessions {
            let onward = self.calls.get(&session).and_then(|call| call.onward);
            self.hang_up(now, session, None);
            // The account that was called hears of it, too.
            if let Some(onward) = onward {
                self.endpoint.cancel(now, onward);
                self.endpoint.bye(now, onward, None);
            }
        }
        self.over = true;
    }

    fn poll_output(&mut self, _: Instant, buffer: &mut Vec<u8>) -> Output<()> {
        if let Some(transmit) = self.endpoint.poll_transmit() {
            buffer.extend_from_slice(transmit.bytes);
            return Output::Sip { flow: transmit.flow, owner: transmit.owner };
        }
        if let Some((flow, response)) = self.bound.pop() {
            buffer.extend_from_slice(&response);
            return Output::Sip { flow, owner: 0 };
        }
        if let Some(flow) = self.pings.pop() {
            buffer.extend_from_slice(PING);
            return Output::Sip { flow, owner: 0 };
        }
        if let Some(output) = self.streams.poll_output(buffer) {
            return output;
        }
        // What has to be said over it first is said above.
        if let Some(link) = self.closing.pop() {
            return Output::CloseLink(link);
        }
        if self.over && self.calls.is_empty() {
            return Output::Done;
        }
        let deadlines = [
            self.endpoint.poll_timeout(),
            self.streams.deadline(),
            self.timers.next_deadline(),
            self.keep_alives.deadline(),
        ];
        Output::Idle(deadlines.into_iter().flatten().min())
    }
}
