//! The media host of a station: for each stream a pair of sockets and a [`media::Session`], spread in phase over the
//! packet time so that no tick has to send them all; streams of WebRTC have a [`webrtc::Peer`] beside it, on the same
//! socket. Callers and the simulated PBX both use it; `O` is what a stream belongs to there. Events are kept of a bounded number of streams at a time, and dropped of the others.

mod away;
mod dtmf;
mod leaving;
mod shaking;
mod video;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use thin_vec::ThinVec;

use super::{Channel, LinkEvent, MediaPacket, MediaSockets, Output, PortId, RemoteMedia};
use crate::media::clock::NtpClock;
use crate::media::codec::opus::Wishes;
use crate::media::session::VideoSession;
use crate::media::{self, Codec, Config, Report, Session, Source};
use crate::sip::flow::{Flow, LinkId, Transport};
use crate::sip::sdp::peering::{LocalPeering, Peering, Role};
use crate::sip::sdp::{AudioCodec, Negotiated, Sdp};
use crate::timer::Wheel;
use crate::units::Random;
use crate::webrtc::{self, Credentials, Handled, Identity, Peer, Remote, Via};
use shaking::Waiting;

pub use video::video_config_of;

/// The configuration of a stream as both sides agreed on it; `None` where it has no address or codec to send with.
pub fn config_of(agreed: &Negotiated, send: Source, marker_id: u16, clock: NtpClock) -> Option<Config> {
    let dtls = agreed.dtls.is_some();
    // ICE finds the address, and until then nothing is sent.
    let rtp = if dtls { SocketAddr::from(([0; 4], 0)) } else { agreed.remote_rtp? };
    let codec = Codec::from_name(agreed.codec.name)?;
    Some(Config {
        payload_type: agreed.payload_type,
        received_as: agreed.codec.payload_type,
        others: agreed.others,
        telephone_event: agreed.event,
        events: agreed.events,
        rtcp_mux: agreed.rtcp_mux,
        direction: agreed.direction,
        srtp: agreed.srtp,
        remote_ssrc: agreed.remote_ssrc,
        dtls,
        send,
        marker_id,
        ..Config::new(codec, rtp, agreed.remote_rtcp.filter(|_| !dtls).unwrap_or(rtp), clock)
    })
}

/// A codec as SDP describes it; `opus` is what we would like to receive of that.
pub fn described(codec: Codec, opus: Wishes) -> AudioCodec {
    AudioCodec {
        name: codec.name(),
        payload_type: codec.payload_type(),
        clock_rate: codec.clock_rate(),
        channels: codec.channels(),
        fmtp: (codec == Codec::Opus).then(|| opus.fmtp()),
    }
}

/// Between the sources of two streams that follow each other, so that neighbours look nothing alike.
const SOURCE_STEP: u32 = 0x9E37_79B9;

/// Packet time of every codec, and so the number of 1 ms phases that streams are spread over.
const PTIME_MS: u32 = 20;

/// The media streams of one worker.
#[derive(Debug)]
pub struct Streams<O> {
    places: Vec<Place<O>>,
    /// Our certificate, where WebRTC is spoken.
    identity: Option<Arc<Identity>>,
    free: Vec<u32>,
    timers: Wheel<(u32, u32)>,
    random: Random,
    arena: Vec<u8>,
    packet: Vec<u8>,
    out: VecDeque<Pending>,
    events: VecDeque<(O, media::Event)>,
    peer_events: VecDeque<(O, PeerEvent)>,
    /// Connections to servers of ICE: of which place, its generation, and the number of the server there.
    relays: FxHashMap<LinkId, (u32, u32, usize)>,
    /// What waits for a host that has time for it.
    waiting: VecDeque<Waiting>,
    /// Streams whose awaited packet has come, and when.
    heard: VecDeque<(O, Instant)>,
    /// Streams at which an awaited key was heard.
    keyed: VecDeque<O>,
    next_phase: u32,
    next_source: u32,
    /// Streams that may still be watched.
    room: u32,
    counts: Counts,
    /// Packets for a pair that is closed.
    stray: u64,
    /// Streams that are over and whose servers have not taken their relayed addresses back.
    leaving: usize,
    /// When these are left behind, once the station has nothing else to do.
    leave_by: Option<Instant>,
}

/// What the peer of a stream came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerEvent {
    /// More of its candidates are known, and further ones may follow.
    Candidates,
    /// Its candidates are known: it can be described.
    Gathered,
    /// It will not come to keys; [`Peer::fault`] says why.
    Failed,
}

/// A connection to a server of ICE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayLink {
    /// Number of the server among those of the peer.
    pub by: usize,
    /// Its own number.
    pub link: LinkId,
    /// TCP or TLS.
    pub transport: Transport,
    /// Where the server is.
    pub remote: SocketAddr,
    /// Index of the server that the station was given.
    pub server: u16,
}

/// How many streams there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All that were started.
    pub started: u64,
    /// Of them, those whose events were kept.
    pub watched: u64,
}

#[derive(Debug)]
struct Place<O> {
    generation: u32,
    /// Whom the open pair belongs to.
    owner: Option<O>,
    /// Our source, where descriptions name it: the pair is shared.
    source: Option<u32>,
    /// Where packets of a stream on a shared pair come from.
    expected: Option<RemoteMedia>,
    /// Its events are kept.
    watched: bool,
    session: Option<Box<Session>>,
    /// Video, on the path of audio or on one of its own.
    video: Option<Box<VideoSession>>,
    /// Brings path and keys, where the stream is one of WebRTC.
    peer: Option<Box<Peer>>,
    /// Connections to servers of the peer, by their number there.
    relays: ThinVec<(usize, LinkId, SocketAddr)>,
    armed: Option<Instant>,
    /// Nothing goes out and nothing is taken in: its owner is cut off, or does not run.
    mute: bool,
    /// It is over but for what its peer says to servers.
    leaving: bool,
    /// How many datagrams for it wait.
    waiting: u8,
    /// When the last RTP packet arrived.
    last: Option<Instant>,
    /// RTP that arrives later than this is told.
    awaited: Option<Instant>,
    /// The next key that is heard is told.
    awaits_key: bool,
}

#[derive(Debug)]
enum Pending {
    OpenLink(RelayLink),
    CloseLink(LinkId),
    LinkPacket { flow: Flow, bytes: Range<usize> },
    Open { port: PortId, sockets: MediaSockets },
    Close(PortId),
    Expect { port: PortId, remote: RemoteMedia },
    Packet { port: PortId, channel: Channel, to: SocketAddr, bytes: Range<usize> },
}

impl<O: Copy> Streams<O> {
    /// No streams yet. As many as `watched` at the same time have their events kept: a stream that starts while there
    /// is room, for its whole life. So which are does not depend on how they fare.
    ///
    /// Without an `identity` WebRTC is not spoken.
    pub fn new(seed: u64, watched: u32, identity: Option<Arc<Identity>>, now: Instant) -> Self {
        Self {
            places: Vec::new(),
            identity,
            free: Vec::new(),
            timers: Wheel::new(now),
            random: Random::new(seed),
            arena: Vec::new(),
            packet: Vec::new(),
            out: VecDeque::new(),
            events: VecDeque::new(),
            peer_events: VecDeque::new(),
            relays: FxHashMap::default(),
            waiting: VecDeque::new(),
            heard: VecDeque::new(),
            keyed: VecDeque::new(),
            next_phase: 0,
            next_source: seed as u32,
            room: watched,
            counts: Counts::default(),
            stray: 0,
            leaving: 0,
            leave_by: None,
        }
    }

    /// Asks for a pair of sockets.
    pub fn open(&mut self, owner: O, sockets: MediaSockets) -> PortId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place {
                generation: 0,
                owner: None,
                source: None,
                expected: None,
                watched: false,
                session: None,
                video: None,
                peer: None,
                relays: ThinVec::new(),
                armed: None,
                mute: false,
                leaving: false,
                waiting: 0,
                last: None,
                awaited: None,
                awaits_key: false,
            });
            self.places.len() as u32 - 1
        });
        let port = PortId(index);
        let place = &mut self.places[index as usize];
        place.owner = Some(owner);
        if sockets.shared {
            // An odd step goes through every number before one comes again.
            self.next_source = self.next_source.wrapping_add(SOURCE_STEP);
            place.source = Some(self.next_source);
        }
        self.out.push_back(Pending::Open { port, sockets });
        port
    }

    /// Whom an open pair belongs to.
    pub fn owner(&self, port: PortId) -> Option<O> {
        self.places.get(port.0 as usize).and_then(|place| place.owner)
    }

    /// The SSRC that descriptions of a stream name (RFC 5576), where its pair is shared: whoever shares one with its calls as well
    /// tells them apart by it.
    pub fn source(&self, port: PortId) -> Option<u32> {
        self.places.get(port.0 as usize)?.source
    }

    /// How many streams there were so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Makes the stream one of WebRTC, unless it is one, with the connections to its servers. Nothing happens where
    /// WebRTC is not spoken.
    pub fn prepare(&mut self, now: Instant, port: PortId, config: impl FnOnce() -> (webrtc::Config, Vec<RelayLink>)) {
        let Some(identity) = &self.identity else { return };
        let Some(place) = self.places.get_mut(port.0 as usize).filter(|place| place.peer.is_none()) else { return };
        let (config, links) = config();
        place.peer = Some(Box::new(Peer::new(config, Arc::clone(identity), self.random.next_u64(), now)));
        for link in links {
            place.relays.push((link.by, link.link, link.remote));
            self.relays.insert(link.link, (port.0, place.generation, link.by));
            self.out.push_back(Pending::OpenLink(link));
        }
        self.drain(port);
    }

    /// A link was opened or lost; false where it is none of a stream.
    pub fn handle_link(&mut self, now: Instant, link: LinkId, event: &LinkEvent) -> bool {
        let Some((index, generation, by)) = self.relays.get(&link).copied() else { return false };
        let place = self.places.get_mut(index as usize).filter(|place| place.generation == generation);
        if let Some(peer) = place.and_then(|place| place.peer.as_mut()) {
            match event {
                LinkEvent::Climbed(_) => {}
                LinkEvent::Opened(_) => peer.handle_connection(now, by, Ok(())),
                LinkEvent::Lost(_, text) => peer.handle_connection(now, by, Err(text.clone())),
            }
            self.drain(PortId(index));
        }
        if matches!(event, LinkEvent::Lost(..)) {
            self.relays.remove(&link);
        }
        true
    }

    /// Bytes of a link arrived; false where it is none of a stream.
    pub fn handle_bytes(&mut self, now: Instant, arrived: Instant, link: LinkId, bytes: &[u8]) -> bool {
        let Some((index, generation, by)) = self.relays.get(&link).copied() else { return false };
        let Some(place) = self.places.get_mut(index as usize).filter(|place| place.generation == generation) else {
            return true;
        };
        let (peer, session, video) = (&mut place.peer, &mut place.session, &mut place.video);
        if let Some(peer) = peer {
            peer.handle_bytes(now, by, bytes, |from, packet| {
                if video::take(video, arrived, Channel::Rtp, from, packet) {
                    return;
                }
                match session {
                    Some(session) if media::rtcp::is_rtcp(packet) => session.handle_rtcp(arrived, from, packet),
                    Some(session) => session.handle_rtp(arrived, from, packet),
                    None => {}
                }
            });
        }
        self.drain(PortId(index));
        true
    }

    /// The next thing that a peer of a stream came to.
    pub fn poll_peer_event(&mut self) -> Option<(O, PeerEvent)> {
        self.peer_events.pop_front()
    }

    /// What a description of ours says of WebRTC where no socket stands behind it.
    pub fn without_socket(&self, credentials: Credentials) -> Option<LocalPeering> {
        let identity = self.identity.as_ref()?;
        Some(LocalPeering {
            ufrag: credentials.ufrag,
            pwd: credentials.pwd,
            lite: false,
            candidates: Vec::new(),
            complete: true,
            trickle: false,
            fingerprint: identity.fingerprint().to_owned(),
            role: Role::Client,
        })
    }

    /// What a description of ours says of WebRTC, where the stream is one of it.
    pub fn peering(&self, port: PortId) -> Option<&LocalPeering> {
        self.peer(port).map(Peer::ours)
    }

    /// The path and the keys of a stream, where they are WebRTC's.
    pub fn peer(&self, port: PortId) -> Option<&Peer> {
        self.places.get(port.0 as usize)?.peer.as_deref()
    }

    fn set_remote(&mut self, now: Instant, port: PortId, remote: &Remote) {
        if let Some(peer) = self.places.get_mut(port.0 as usize).and_then(|place| place.peer.as_mut()) {
            peer.set_remote(now, remote);
            self.drain(port);
        }
    }

    /// What the other side says of itself in the line that was agreed on, where that is WebRTC's: the path is looked for.
    pub fn connect(&mut self, now: Instant, port: PortId, theirs: &Sdp<'_>, agreed: &Negotiated) {
        let Some(role) = agreed.dtls else { return };
        if let Some(remote) = theirs.media.get(agreed.line).and_then(|media| Remote::of(media, role)) {
            self.set_remote(now, port, &remote);
        }
    }

    /// Candidates came after the description that they belong to. False where that is not known, or not yet.
    pub fn add_candidates(&mut self, now: Instant, port: PortId, theirs: &Peering<'_>) -> bool {
        let peer = self.places.get_mut(port.0 as usize).and_then(|place| place.peer.as_mut());
        let taken = peer.is_some_and(|peer| peer.add_candidates(now, theirs));
        self.drain(port);
        taken
    }

    /// An offer came: where it begins ICE anew, so do we, with these credentials.
    pub fn follow_restart(&mut self, port: PortId, offer: &Sdp<'_>, credentials: impl FnOnce() -> Credentials) {
        let line = offer.audio().find(|media| media.is_dtls_rtp() && !media.is_rejected());
        // What we are in DTLS is settled with the answer.
        let offered = line.and_then(|media| Remote::of(media, Role::Server));
        if let (Some(offered), Some(place)) = (offered, self.places.get_mut(port.0 as usize))
            && let Some(peer) = place.peer.as_mut().filter(|peer| peer.is_restarted_by(&offered))
        {
            peer.restart(credentials());
        }
    }

    /// Begins to send and to listen; a stream that runs goes on towards the addresses of `config`, with its keys. The phase of the
    /// stream is set here.
    pub fn run(&mut self, now: Instant, port: PortId, config: Config) {
        self.expect(port, &config);
        if self.is_running(port) {
            return self.with_session(port, |session| {
                session.set_codec(&config, now);
                session.set_direction(config.direction, now);
                if !config.dtls {
                    session.set_remote(config.remote_rtp, config.remote_rtcp, now);
                    session.set_srtp(config.srtp, now);
                }
            });
        }
        // 7 and 20 have no common factor: neighbours in time are far apart in phase.
        self.next_phase = (self.next_phase + 7) % PTIME_MS;
        let config = Config { phase: Duration::from_millis(u64::from(self.next_phase)), ..config };
        let seed = self.random.next_u64();
        let place = &mut self.places[port.0 as usize];
        let config = Config { ssrc: place.source, ..config };
        place.session = Some(Box::new(Session::new(config, seed, now)));
        if let (Some((remote, keys)), Some(session)) =
            (place.peer.as_ref().and_then(|peer| peer.secured()), &mut place.session)
        {
            session.secure(remote, keys, now);
        }
        place.watched = self.room > 0;
        self.room -= u32::from(place.watched);
        self.counts.started += 1;
        self.counts.watched += u64::from(place.watched);
        self.drain(port);
    }

    /// Where packets of a stream on a shared pair come from, as far as that is new.
    fn expect(&mut self, port: PortId, config: &Config) {
        let Some(place) = self.places.get_mut(port.0 as usize).filter(|place| place.source.is_some()) else { return };
        let remote = RemoteMedia { rtp: config.remote_rtp, rtcp: config.remote_rtcp, ssrc: config.remote_ssrc };
        if place.expected.replace(remote) != Some(remote) {
            self.out.push_back(Pending::Expect { port, remote });
        }
    }

    /// Lets `act` change a running stream.
    pub fn with_session(&mut self, port: PortId, act: impl FnOnce(&mut Session)) {
        if let Some(session) = self.places.get_mut(port.0 as usize).and_then(|place| place.session.as_mut()) {
            act(session);
            self.drain(port);
        }
    }

    /// Whether the stream was started.
    pub fn is_running(&self, port: PortId) -> bool {
        self.places.get(port.0 as usize).is_some_and(|place| place.session.is_some())
    }

    /// Ends a stream and gives its sockets back, once servers that have relayed for it know that it is over. `None` where it was
    /// never started.
    pub fn finish(&mut self, now: Instant, port: PortId) -> Option<Report> {
        // The goodbye of RTCP goes out before that of DTLS ends the association.
        self.with_session(port, |session| session.close(now));
        self.with_video(port, |video| video.close(now));
        if let Some(peer) = self.places.get_mut(port.0 as usize).and_then(|place| place.peer.as_mut()) {
            peer.close(now);
            self.drain(port);
        }
        let place = self.places.get_mut(port.0 as usize)?;
        for (_, link, _) in std::mem::take(&mut place.relays) {
            // One that was lost is closed.
            if self.relays.remove(&link).is_some() {
                self.out.push_back(Pending::CloseLink(link));
            }
        }
        let session = place.session.take();
        place.video = None;
        self.room += u32::from(place.watched);
        (place.owner, place.watched) = (None, false);
        (place.source, place.expected) = (None, None);
        (place.mute, place.last, place.awaited, place.awaits_key) = (false, None, None, false);
        self.leave(port);
        session.map(|session| session.report(now))
    }

    /// A packet arrived. One for a stream that is on its way to keys waits for [`shake`](Self::shake).
    pub fn handle_packet(&mut self, packet: MediaPacket<'_>) {
        let place = self.places.get_mut(packet.port.0 as usize);
        match place.filter(|place| !place.mute) {
            Some(place) if place.has_to_wait() => {
                self.stray += u64::from(!place.keep_waiting(&mut self.waiting, packet));
            }
            _ => self.take(packet.arrived, packet),
        }
    }

    /// Takes a packet, `now` or when it arrived.
    fn take(&mut self, now: Instant, packet: MediaPacket<'_>) {
        let MediaPacket { arrived, port, channel, from, bytes } = packet;
        let place = self.places.get_mut(port.0 as usize);
        if place.as_ref().is_some_and(|place| place.mute) {
            return;
        }
        if place.as_ref().is_some_and(|place| place.leaving) {
            return self.hear_leaving(packet);
        }
        let mut quiet = false;
        let taken = place.is_some_and(|place| {
            let handled = match &mut place.peer {
                Some(peer) => peer.handle_packet(now, from, bytes),
                None => Handled::Media(from, bytes),
            };
            let handled = match handled {
                Handled::Media(from, bytes) if video::take(&mut place.video, arrived, channel, from, bytes) => {
                    return true;
                }
                handled => handled,
            };
            match (handled, &mut place.session, channel) {
                (Handled::Taken, ..) => return true,
                (Handled::Stray, ..) => return false,
                (_, None, _) => return place.video.is_some(),
                (Handled::Media(from, bytes), Some(session), Channel::Rtp) if !media::rtcp::is_rtcp(bytes) => {
                    session.handle_rtp(arrived, from, bytes);
                    if session.last_received() == Some(arrived) {
                        place.last = Some(arrived);
                    }
                    // A packet moves no deadline forward: most need nothing further.
                    quiet = place.peer.is_none() && session.is_quiet();
                }
                (Handled::Media(from, bytes), Some(session), _) => session.handle_rtcp(arrived, from, bytes),
            }
            true
        });
        self.stray += u64::from(!taken);
        self.tell_awaited(port);
        if !quiet {
            self.drain(port);
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((index, generation)) = self.timers.pop(now) {
            let place = &mut self.places[index as usize];
            if place.generation != generation {
                continue;
            }
            place.armed = None;
            if place.mute {
                continue;
            }
            // What came in time and waits must not meet a handshake that has timed out.
            if let Some(peer) = place.peer.as_mut().filter(|_| place.waiting == 0) {
                peer.handle_timeout(now);
            }
            if let Some(session) = &mut place.session {
                session.handle_timeout(now);
            }
            if let Some(video) = &mut place.video {
                video.handle_timeout(now);
            }
            self.drain(PortId(index));
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.next_deadline()
    }

    /// The next event of a stream that is watched, in the turn in which it happened.
    pub fn poll_event(&mut self) -> Option<(O, media::Event)> {
        self.events.pop_front()
    }

    /// The next thing to do.
    pub fn poll_output<R>(&mut self, buffer: &mut Vec<u8>) -> Option<Output<R>> {
        let Some(pending) = self.out.pop_front() else {
            self.arena.clear();
            return None;
        };
        Some(match pending {
            Pending::Open { port, sockets } => Output::OpenPort { port, sockets },
            Pending::Close(port) => Output::ClosePort(port),
            Pending::Expect { port, remote } => Output::Expect { port, remote },
            Pending::OpenLink(RelayLink { link, transport, remote, server, .. }) => {
                Output::OpenLink { link, transport, remote, local: None, local_port: 0, server }
            }
            Pending::CloseLink(link) => Output::CloseLink(link),
            Pending::LinkPacket { flow, bytes } => {
                buffer.extend_from_slice(&self.arena[bytes]);
                Output::Sip { flow, owner: 0 }
            }
            Pending::Packet { port, channel, to, bytes } => {
                buffer.extend_from_slice(&self.arena[bytes]);
                Output::Media { port, channel, to }
            }
        })
    }

    fn drain(&mut self, port: PortId) {
        let peer = self.drain_peer(port);
        if self.has_left(port) {
            return self.vacate(port);
        }
        let session = self.drain_session(port);
        let video = self.drain_video(port);
        let Some(place) = self.places.get_mut(port.0 as usize) else { return };
        let peer = peer.filter(|_| place.waiting == 0);
        let Some(at) = peer.into_iter().chain(session).chain(video).min() else { return };
        if place.armed.is_none_or(|armed| at < armed) {
            place.armed = Some(at);
            self.timers.insert(at, (port.0, place.generation));
        }
    }

    /// Takes what the peer of a stream has to send and to tell; gives its deadline.
    fn drain_peer(&mut self, port: PortId) -> Option<Instant> {
        let Place { peer: Some(peer), session, video, relays, owner, .. } = self.places.get_mut(port.0 as usize)?
        else {
            return None;
        };
        loop {
            match peer.poll_output(&mut self.packet) {
                webrtc::Output::Transmit(via) => {
                    let start = self.arena.len();
                    self.arena.extend_from_slice(&self.packet);
                    self.out.extend(pending((port, Channel::Rtp), relays, via, start..self.arena.len()));
                }
                webrtc::Output::Event(event) => {
                    let told = match event {
                        webrtc::Event::Candidates => Some(PeerEvent::Candidates),
                        webrtc::Event::Gathered => Some(PeerEvent::Gathered),
                        webrtc::Event::Failed(_) => Some(PeerEvent::Failed),
                        _ => None,
                    };
                    self.peer_events.extend(owner.zip(told));
                    if let Some(video) = video {
                        match &event {
                            webrtc::Event::Connected { remote, keys } => video.secure(*remote, *keys, peer.now()),
                            webrtc::Event::Moved(remote) => video.set_remote(*remote, peer.now()),
                            _ => {}
                        }
                    }
                    let (now, Some(session)) = (peer.now(), session.as_mut()) else { continue };
                    match event {
                        webrtc::Event::Connected { remote, keys } => session.secure(remote, keys, now),
                        webrtc::Event::Moved(remote) => session.set_remote(remote, remote, now),
                        _ => {}
                    }
                }
                webrtc::Output::Timeout(at) => return at,
            }
        }
    }

    /// Takes what the session of a stream has to send and to tell; gives its deadline.
    fn drain_session(&mut self, port: PortId) -> Option<Instant> {
        let place = self.places.get_mut(port.0 as usize)?;
        let session = place.session.as_mut()?;
        loop {
            match session.poll_output(&mut self.packet) {
                media::Output::Transmit { channel, to } => {
                    let Place { peer, relays, .. } = place;
                    self.out.extend(media_packet(port, (channel, to), peer, relays, &self.packet, &mut self.arena));
                }
                media::Output::Idle => return None,
                media::Output::Event(media::Event::Key) => {
                    let awaited = std::mem::take(&mut place.awaits_key);
                    self.keyed.extend(place.owner.filter(|_| awaited));
                }
                media::Output::Event(event) => {
                    let owner = place.owner.filter(|_| place.watched);
                    self.events.extend(owner.map(|owner| (owner, event)));
                }
                media::Output::Timeout(at) => return Some(at),
            }
        }
    }
}

/// A packet of RTP or RTCP that goes out, by the path of the stream's peer where it has one.
fn media_packet(
    port: PortId,
    (channel, to): (Channel, SocketAddr),
    peer: &mut Option<Box<Peer>>,
    relays: &[(usize, LinkId, SocketAddr)],
    packet: &[u8],
    arena: &mut Vec<u8>,
) -> Option<Pending> {
    let start = arena.len();
    let via = match peer {
        Some(peer) => peer.carry(to, packet, arena),
        None => {
            arena.extend_from_slice(packet);
            Via::Datagram(to)
        }
    };
    pending((port, channel), relays, via, start..arena.len())
}

/// A packet, the way that it goes; `None` where the connection to its server is not known.
fn pending(
    (port, channel): (PortId, Channel),
    relays: &[(usize, LinkId, SocketAddr)],
    via: Via,
    bytes: Range<usize>,
) -> Option<Pending> {
    match via {
        Via::Datagram(to) => Some(Pending::Packet { port, channel, to, bytes }),
        Via::Connection(by) => {
            let (_, link, remote) = relays.iter().find(|(known, ..)| *known == by)?;
            Some(Pending::LinkPacket { flow: Flow { link: *link, remote: *remote }, bytes })
        }
    }
}
