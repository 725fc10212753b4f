//! A call to a number of the lab, and what its behaviour does with it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::limits::{Ask, Held};
use super::registrar::user_of;
use super::station::Pbx;
use super::video::CallVideo;
use crate::media::codec::opus::Wishes;
use crate::media::{Codec, Source, audio};
use crate::scenario::lab::Behaviour;
use crate::scenario::plan::Reject;
use crate::sip::flow::Flow;
use crate::sip::message::{Message, Start};
use crate::sip::sdp::crypto::{Key, Policy, Protection, Suite};
use crate::sip::sdp::peering::{Fragments, LocalPeering, Peering};
use crate::sip::sdp::{Local, Negotiated, Order, Sdp};
use crate::sip::session::{Extensions, Means, Response};
use crate::sip::token::Handle;
use crate::station::streams::{config_of, described};
use crate::station::{MediaSockets, PortId};
use crate::webrtc::{self, Credentials};

/// How long a call that gets no response is remembered: longer than its caller repeats the INVITE (Timer B).
const NO_RESPONSE: Duration = Duration::from_secs(40);

/// What the lab speaks, in the order of its own offers.
const CODECS: [Codec; 4] = [Codec::Pcma, Codec::Pcmu, Codec::G722, Codec::Opus];

/// The longest ringing: a caller that vanished without CANCEL is not kept for ever.
pub(super) const RING_LIMIT: Duration = Duration::from_secs(600);

/// A call that came in.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) behaviour: Option<Behaviour>,
    pub(super) flow: Flow,
    pub(super) offer: Option<Box<[u8]>>,
    pub(super) port: Option<PortId>,
    pub(super) local_rtp: Option<SocketAddr>,
    /// Descriptions that were sent: the version of the next.
    descriptions: u64,
    acknowledged: bool,
    /// Keys of what we send, one for each suite, where the caller offers any.
    keys: Vec<Key>,
    /// Our lines on ICE and DTLS where no socket stands behind our descriptions.
    peering: Option<LocalPeering>,
    /// Candidates of the other side that came before its description was used.
    early: Fragments,
    /// Video, where it was ever offered.
    pub(super) video: Option<Box<CallVideo>>,
    /// Its places in all limits.
    held: Held,
    state: State,
    deadline: Option<Instant>,
    /// The session that we placed to a registered account for it.
    pub(super) onward: Option<Handle>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// To be answered or refused at the deadline.
    Alerting,
    /// The announcement is playing; the refusal comes at the deadline.
    Announcing,
    /// Answered; BYE comes at the deadline, if there is one.
    Up,
    /// Connected to a registered account.
    Bridged,
}

impl Pbx {
    pub(super) fn handle_invite(&mut self, now: Instant, session: Handle, flow: Flow, invite: &Message<'_>) {
        let Start::Request { uri, .. } = invite.start() else { return };
        let number = user_of(uri).unwrap_or_default();
        // A number that never answers does not even challenge: only a time-out tells.
        let (trunk, inner) = self.trunk_of(&number);
        let everybody = self.fault_of(None, trunk, &inner);
        let behaviour = everybody.or_else(|| self.behaviour_of(trunk, &inner));
        let ask = Ask { source: flow.remote.ip(), account: "", trunk, callee: &inner };
        if behaviour == Some(Behaviour::NoResponse) || self.limits.ignores(now, &ask) {
            return self.ignore(now, session, flow);
        }
        let Some(account) = self.admit(now, session, invite) else { return };
        if !self.endpoint.speak(now, session, self.speaks()) {
            return;
        }
        let behaviour = self.fault_of(Some(&account), trunk, &inner).or(behaviour);
        if behaviour == Some(Behaviour::NoResponse) {
            return self.ignore(now, session, flow);
        }
        let held = match self.limits.enter(now, &Ask { account: &account, ..ask }) {
            Ok(held) => held,
            Err(None) => return self.ignore(now, session, flow),
            Err(Some(refuse)) => return self.refuse(now, session, &refuse),
        };
        let offer = invite.sdp().map(Box::from);
        let known = self.registrar.knows(&inner);
        self.keep(session, Call::new(behaviour.clone(), flow, offer, held));
        match behaviour {
            Some(behaviour) => self.begin(now, session, &behaviour),
            None if known => self.connect(now, session, &inner, invite),
            None => self.end_with(now, session, &Reject::new(404, Some(1))),
        }
    }

    /// Gives no response, now and to repetitions.
    fn ignore(&mut self, now: Instant, session: Handle, flow: Flow) {
        self.keep(session, Call::new(Some(Behaviour::NoResponse), flow, None, Held::default()));
        self.set_deadline(session, now + NO_RESPONSE);
    }

    /// The trunk that a number's prefix chooses, and the number behind it.
    fn trunk_of(&self, number: &str) -> (Option<usize>, String) {
        let trunks = self.config.plan.trunks.iter().enumerate();
        let found = trunks.filter_map(|(index, trunk)| Some((index, number.strip_prefix(trunk.prefix.as_str())?)));
        let longest = found.min_by_key(|(_, inner)| inner.len());
        longest.map_or_else(|| (None, number.to_owned()), |(index, inner)| (Some(index), inner.to_owned()))
    }

    /// What a number does. A number behind a trunk that nobody here has is answered by an echo, as the outside world.
    fn behaviour_of(&self, trunk: Option<usize>, number: &str) -> Option<Behaviour> {
        let found = self.config.plan.extensions.iter().find(|extension| extension.number == number);
        let outside = trunk.is_some() && !number.is_empty() && !self.registrar.knows(number);
        let echo = || outside.then_some(Behaviour::Echo { answer_after: Duration::ZERO });
        found.map(|extension| extension.behaviour.clone()).or_else(echo)
    }

    /// What is out of order for a call; `account` is who calls, where that is known by now.
    fn fault_of(&self, account: Option<&str>, trunk: Option<usize>, number: &str) -> Option<Behaviour> {
        let plan = &self.config.plan;
        let trunk = trunk.and_then(|index| plan.trunks.get(index)).map(|trunk| trunk.name.as_str());
        let met = plan.faults.iter().find(|fault| fault.meets(account, trunk, number));
        met.map(|fault| fault.behaviour.clone())
    }

    fn begin(&mut self, now: Instant, session: Handle, behaviour: &Behaviour) {
        let ring = |pbx: &mut Self| pbx.endpoint.respond(now, session, &response(180));
        match behaviour {
            Behaviour::Echo { answer_after } => {
                ring(self);
                self.set_deadline(session, now + *answer_after);
            }
            Behaviour::Keys | Behaviour::Silence | Behaviour::NoMedia | Behaviour::FarEndBye { .. } => {
                ring(self);
                self.set_deadline(session, now);
            }
            Behaviour::RingForever => {
                ring(self);
                self.set_deadline(session, now + RING_LIMIT);
            }
            Behaviour::EarlyMedia { .. } => self.open_port(session),
            Behaviour::Reject { after, ring: rings, .. } => {
                if *rings {
                    ring(self);
                } else if !after.is_zero() {
                    self.endpoint.respond(now, session, &response(100));
                }
                self.set_deadline(session, now + *after);
            }
            Behaviour::Redirect { contact } => {
                let contact = format!("<{contact}>");
                self.endpoint.respond(now, session, &Response { code: 302, contact: &contact, ..Response::default() });
                self.forget(now, session);
            }
            Behaviour::NoResponse => {}
        }
    }

    /// The deadline of a call has come.
    pub(super) fn handle_deadline(&mut self, now: Instant, session: Handle) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        if call.deadline.is_none_or(|at| at > now) {
            return;
        }
        call.deadline = None;
        match (call.state, call.behaviour.clone()) {
            (State::Alerting, Some(Behaviour::NoResponse)) => {
                self.endpoint.abandon(now, session);
                self.forget(now, session);
            }
            (State::Alerting, Some(Behaviour::Reject { reject, .. })) => self.end_with(now, session, &reject),
            (State::Alerting, Some(Behaviour::RingForever)) => self.end_with(now, session, &Reject::new(480, Some(19))),
            (State::Alerting, None) => self.give_up(now, session),
            (State::Alerting, Some(Behaviour::NoMedia)) => self.answer(now, session),
            (State::Alerting, _) => self.open_port(session),
            (State::Announcing, Some(Behaviour::EarlyMedia { then, .. })) => self.end_with(now, session, &then),
            (State::Up, Some(Behaviour::FarEndBye { q850, .. })) => self.hang_up(now, session, q850),
            _ => {}
        }
    }

    /// A media port of a call is open, or could not be.
    pub(super) fn handle_port_of(&mut self, now: Instant, session: Handle, port: PortId, opened: Option<SocketAddr>) {
        if self.take_video_port(now, session, port, opened) {
            return;
        }
        let Some(call) = self.calls.get_mut(&session) else { return };
        call.local_rtp = opened;
        if opened.is_none() {
            return self.end_with(now, session, &Reject::new(500, None));
        }
        if !self.open_video_port(session, None) {
            self.proceed(now, session);
        }
    }

    /// The ports that the answer needs are open.
    pub(super) fn proceed(&mut self, now: Instant, session: Handle) {
        match self.calls.get(&session).and_then(|call| call.behaviour.clone()) {
            Some(Behaviour::EarlyMedia { announce, .. }) => self.announce(now, session, announce),
            _ => self.answer(now, session),
        }
    }

    fn announce(&mut self, now: Instant, session: Handle, length: Duration) {
        let Some(sdp) = self.negotiate(now, session, Source::Speech) else {
            return self.end_with(now, session, &Reject::new(488, None));
        };
        self.endpoint.respond(now, session, &Response { code: 183, contact: "lab", sdp: &sdp, ..Response::default() });
        if let Some(call) = self.calls.get_mut(&session) {
            call.state = State::Announcing;
        }
        self.set_deadline(session, now + length);
    }

    fn answer(&mut self, now: Instant, session: Handle) {
        let source = self.source_of(session);
        let Some(sdp) = self.negotiate(now, session, source) else {
            return self.end_with(now, session, &Reject::new(488, None));
        };
        self.endpoint.respond(now, session, &Response { code: 200, contact: "lab", sdp: &sdp, ..Response::default() });
        if let Some(call) = self.calls.get_mut(&session) {
            call.state = State::Up;
        }
    }

    fn source_of(&self, session: Handle) -> Source {
        match self.calls.get(&session).and_then(|call| call.behaviour.as_ref()) {
            Some(Behaviour::Keys) => Source::Keys,
            Some(Behaviour::Silence) => Source::Silence,
            Some(Behaviour::NoMedia) => Source::Nothing,
            _ => Source::Echo,
        }
    }

    /// Our answer to the offer; media begins. To an INVITE without one it is our offer.
    fn negotiate(&mut self, now: Instant, session: Handle, source: Source) -> Option<Vec<u8>> {
        let call = self.calls.get_mut(&session)?;
        call.descriptions += 1;
        let (offer, mut sdp) = (call.offer.take(), Vec::with_capacity(300));
        let offer = match &offer {
            Some(offer) => Some(Sdp::parse(offer).ok()?),
            None => None,
        };
        let srtp = self.config.plan.srtp.as_ref();
        let (policy, accepts) =
            srtp.map_or_else(|| (Policy::Offered, &Suite::ALL[..]), |srtp| (srtp.policy, &srtp.accepts));
        if call.keys.is_empty() && offer.as_ref().map_or(policy == Policy::Required, Sdp::has_crypto) {
            call.keys = accepts.iter().map(|suite| self.key_source.next(*suite)).collect();
        }
        if let Some(video) = call.video.as_mut().filter(|video| video.keys.is_empty() && !call.keys.is_empty()) {
            video.keys = accepts.iter().map(|suite| self.key_source.next(*suite)).collect();
        }
        let offered_dtls = offer.as_ref().is_some_and(Sdp::has_dtls);
        if policy == Policy::Dtls && offer.is_none() || policy != Policy::Off && offered_dtls {
            self.prepare_peer(now, session, offer.as_ref());
        }
        let agreed = self.describe(session, |local| match &offer {
            Some(offer) => local.answer(offer, Order::Theirs, &mut sdp).ok().map(Some),
            None => {
                local.write_offer(&mut sdp);
                Some(None)
            }
        })?;
        if let (Some(agreed), Some(offer)) = (agreed, &offer) {
            self.connect_media(now, session, offer, &agreed);
            self.run_media(now, session, &agreed, source);
        }
        Some(sdp)
    }

    /// Our lines on ICE and DTLS for the descriptions of a call.
    fn prepare_peer(&mut self, now: Instant, session: Handle, offer: Option<&Sdp<'_>>) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let key_source = &mut self.key_source;
        let mut credentials = || Credentials::of(&key_source.next(Suite::AesCm128Sha1_80));
        let Some((port, local)) = call.port.zip(call.local_rtp) else {
            if call.peering.is_none() {
                call.peering = self.streams.without_socket(credentials());
            }
            return;
        };
        let public = self.endpoint.public_address(call.flow.link).map(|ip| SocketAddr::new(ip, local.port()));
        let made = || {
            let config = webrtc::Config::new(local, offer.is_none(), credentials());
            let config = webrtc::Config { public, trickle: true, ..config };
            (config, Vec::new())
        };
        self.streams.prepare(now, port, made);
        if let Some(offer) = offer {
            self.streams.follow_restart(port, offer, credentials);
        }
    }

    /// Looks for the path to the other side, where it is WebRTC's.
    fn connect_media(&mut self, now: Instant, session: Handle, theirs: &Sdp<'_>, agreed: &Negotiated) {
        let Some((call, port)) = self.calls.get_mut(&session).and_then(|call| call.port.map(|port| (call, port)))
        else {
            return;
        };
        self.streams.connect(now, port, theirs, agreed);
        if call.early.all().is_some_and(|early| self.streams.add_candidates(now, port, &early)) {
            call.early = Fragments::default();
        }
    }

    /// Candidates of one side that its description did not have: they are for us, or for the other side of a call between accounts.
    pub(super) fn handle_candidates(&mut self, now: Instant, session: Handle, message: Option<&Message<'_>>) {
        let Some(body) = message.map(|message| message.body()) else { return };
        if let Some(other) = self.other_side(session) {
            return self.endpoint.send_candidates(now, other, body);
        }
        let Some(call) = self.calls.get_mut(&session) else { return };
        let theirs = Peering::of_fragment(body);
        if !call.port.is_some_and(|port| self.streams.add_candidates(now, port, &theirs)) {
            call.early.keep(body);
        }
    }

    /// What the lab speaks in calls: candidates that come later too, unless it refuses WebRTC.
    fn speaks(&self) -> Extensions {
        let off = self.config.plan.srtp.as_ref().is_some_and(|srtp| srtp.policy == Policy::Off);
        Extensions { trickle: !off, ..self.config.plan.speaks }
    }

    fn describe<R>(&self, session: Handle, with: impl FnOnce(&Local<'_>) -> Option<R>) -> Option<R> {
        let call = self.calls.get(&session)?;
        let codecs = CODECS.map(|codec| described(codec, Wishes::default()));
        let ip = self.endpoint.public_address(call.flow.link)?;
        let rtp = SocketAddr::new(ip, call.local_rtp.map_or(9, |local| local.port()));
        let policy = self.config.plan.srtp.as_ref().map_or(Policy::Offered, |srtp| srtp.policy);
        let peering = call.port.and_then(|port| self.streams.peering(port)).or(call.peering.as_ref());
        let protection = Protection { policy, keys: &call.keys, peering };
        let video = call.video.as_ref().map(|video| video.described(rtp, peering.is_some()));
        let local = Local::new(rtp, &codecs, u64::from(session.index) + 1);
        with(&Local { video, protection, version: call.descriptions, ..local })
    }

    fn run_media(&mut self, now: Instant, session: Handle, agreed: &Negotiated, source: Source) {
        let Some(call) = self.calls.get(&session) else { return };
        let marker = session.index as u16 | audio::FAR_END;
        let Some(port) = call.port.filter(|_| call.local_rtp.is_some()) else { return };
        match config_of(agreed, source, marker, self.config.clock) {
            Some(config) => self.streams.run(now, port, config),
            // On hold at address 0.0.0.0: nothing can be sent.
            None => self.streams.with_session(port, |stream| stream.set_direction(agreed.direction, now)),
        }
        self.run_video(now, session, agreed.video.as_ref(), source);
    }

    /// ACK came, perhaps with the answer to our offer: a call that the far end ends counts from here.
    pub(super) fn handle_acknowledged(&mut self, now: Instant, session: Handle, message: Option<&Message<'_>>) {
        if let Some(answer) = message.and_then(Message::sdp) {
            self.pass_answer(now, session, answer);
            let answer = Sdp::parse(answer).ok();
            let agreed = self.describe(session, |local| local.negotiated(answer.as_ref()?).ok());
            let source = self.source_of(session);
            if let (Some(agreed), Some(answer)) = (agreed, &answer) {
                self.connect_media(now, session, answer, &agreed);
                self.run_media(now, session, &agreed, source);
            }
        }
        let Some(call) = self.calls.get_mut(&session) else { return };
        if let Some(Behaviour::FarEndBye { after, .. }) = call.behaviour
            && !std::mem::replace(&mut call.acknowledged, true)
        {
            self.set_deadline(session, now + after);
        }
    }

    /// An offer in a re-INVITE, UPDATE or PRACK.
    pub(super) fn handle_offer(&mut self, now: Instant, session: Handle, by: Means, message: Option<&Message<'_>>) {
        if self.pass_offer(now, session, by, message) {
            return;
        }
        let flow = self.endpoint.flow(session);
        if let Some(call) = self.calls.get_mut(&session) {
            call.offer = message.and_then(Message::sdp).map(Box::from);
            // Who asks may have come back over another connection.
            call.flow = flow.unwrap_or(call.flow);
        }
        if !self.open_video_port(session, Some(by)) {
            self.answer_offer(now, session, by);
        }
    }

    /// Answers an offer that came within a call.
    pub(super) fn answer_offer(&mut self, now: Instant, session: Handle, by: Means) {
        let source = self.source_of(session);
        match self.negotiate(now, session, source) {
            Some(sdp) => self.answer_change(now, session, by, 200, &sdp),
            None => self.answer_change(now, session, by, 488, b""),
        }
    }

    /// Ends a call that was answered, or refuses one that was not.
    pub(super) fn hang_up(&mut self, now: Instant, session: Handle, q850: Option<u16>) {
        let Some(call) = self.calls.get(&session) else { return };
        match call.state {
            State::Up | State::Bridged => {
                let reason = q850.map(|cause| format!("Q.850;cause={cause}"));
                self.endpoint.bye(now, session, reason.as_deref());
            }
            State::Alerting | State::Announcing => {
                self.refuse(now, session, &Reject::new(480, None));
            }
        }
        self.forget(now, session);
    }

    pub(super) fn end_with(&mut self, now: Instant, session: Handle, reject: &Reject) {
        self.refuse(now, session, reject);
        self.forget(now, session);
    }

    fn refuse(&mut self, now: Instant, session: Handle, reject: &Reject) {
        let headers = reject.headers();
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let reason = reject.reason.as_deref().unwrap_or("");
        let refusal = Response { code: reject.code, reason, headers: &headers, ..Response::default() };
        self.endpoint.respond(now, session, &refusal);
    }

    /// A call has ended: its places and its media are free.
    pub(super) fn forget(&mut self, now: Instant, session: Handle) {
        let Some(call) = self.calls.remove(&session) else { return };
        self.limits.leave(now, call.held);
        for port in call.video.and_then(|video| video.own).into_iter().chain(call.port) {
            self.streams.finish(now, port);
        }
        if let Some(onward) = call.onward {
            self.placed.remove(&onward);
        }
    }

    pub(super) fn mark_bridged(&mut self, session: Handle) {
        if let Some(call) = self.calls.get_mut(&session) {
            call.state = State::Bridged;
        }
    }

    fn open_port(&mut self, session: Handle) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let Some(local) = self.endpoint.local_address(call.flow.link) else { return };
        call.port = Some(self.streams.open(session, MediaSockets { range: None, local, shared: false }));
    }

    pub(super) fn set_deadline(&mut self, session: Handle, at: Instant) {
        if let Some(call) = self.calls.get_mut(&session) {
            call.deadline = Some(at);
            self.timers.insert(at, session);
        }
    }

    fn keep(&mut self, session: Handle, call: Call) {
        self.calls.insert(session, call);
    }
}

impl Call {
    fn new(behaviour: Option<Behaviour>, flow: Flow, offer: Option<Box<[u8]>>, held: Held) -> Self {
        let state = State::Alerting;
        let (port, local_rtp, deadline, onward) = (None, None, None, None);
        Self {
            behaviour,
            flow,
            offer,
            port,
            local_rtp,
            keys: Vec::new(),
            peering: None,
            early: Fragments::default(),
            video: None,
            descriptions: 0,
            acknowledged: false,
            held,
            state,
            deadline,
            onward,
        }
    }
}

fn response(code: u16) -> Response<'static> {
    Response { code, contact: "lab", ..Response::default() }
}
