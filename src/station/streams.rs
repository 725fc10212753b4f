//! The media host of a station: for each stream a pair of sockets and a [`media::Session`], spread in phase over the
//! packet time so that no tick has to send them all. Callers and the simulated PBX both use it; `O` is what a stream
//! belongs to there. Events are kept of a bounded number of streams at a time, and dropped of the others.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::time::{Duration, Instant};

use super::{Channel, MediaPacket, Output, PortId};
use crate::media::clock::NtpClock;
use crate::media::{self, Codec, Config, Report, Session, Source};
use crate::sip::sdp::{AudioCodec, Negotiated};
use crate::timer::Wheel;
use crate::units::Random;

/// The configuration of a stream as both sides agreed on it; `None` where it has no address or codec to send with.
pub fn config_of(agreed: &Negotiated, send: Source, marker_id: u16, clock: NtpClock) -> Option<Config> {
    let rtp = agreed.remote_rtp?;
    let codec = Codec::from_name(agreed.codec.name)?;
    Some(Config {
        payload_type: agreed.payload_type,
        telephone_event: agreed.dtmf_pt,
        rtcp_mux: agreed.rtcp_mux,
        direction: agreed.direction,
        srtp: agreed.srtp,
        send,
        marker_id,
        ..Config::new(codec, rtp, agreed.remote_rtcp.unwrap_or(rtp), clock)
    })
}

/// A codec as SDP describes it.
pub fn described(codec: Codec) -> AudioCodec {
    AudioCodec { name: codec.name(), payload_type: codec.payload_type(), clock_rate: codec.clock_rate() }
}

/// Packet time of G.711, and so the number of 1 ms phases that streams are spread over.
const PTIME_MS: u32 = 20;

/// The media streams of one worker.
#[derive(Debug)]
pub struct Streams<O> {
    places: Vec<Place<O>>,
    free: Vec<u32>,
    timers: Wheel<(u32, u32)>,
    random: Random,
    arena: Vec<u8>,
    packet: Vec<u8>,
    out: VecDeque<Pending>,
    events: VecDeque<(O, media::Event)>,
    next_phase: u32,
    /// Streams that may still be watched.
    room: u32,
    counts: Counts,
    /// Packets for a pair that is closed.
    stray: u64,
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
    /// Its events are kept.
    watched: bool,
    session: Option<Box<Session>>,
    armed: Option<Instant>,
}

#[derive(Debug)]
enum Pending {
    Open { port: PortId, range: Option<(u16, u16)>, local: IpAddr },
    Close(PortId),
    Packet { port: PortId, channel: Channel, to: SocketAddr, bytes: Range<usize> },
}

impl<O: Copy> Streams<O> {
    /// No streams yet. As many as `watched` at the same time have their events kept: a stream that starts while there
    /// is room, for its whole life. So which are does not depend on how they fare.
    pub fn new(seed: u64, watched: u32, now: Instant) -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
            timers: Wheel::new(now),
            random: Random::new(seed),
            arena: Vec::new(),
            packet: Vec::new(),
            out: VecDeque::new(),
            events: VecDeque::new(),
            next_phase: 0,
            room: watched,
            counts: Counts::default(),
            stray: 0,
        }
    }

    /// Asks for a pair of sockets.
    pub fn open(&mut self, owner: O, range: Option<(u16, u16)>, local: IpAddr) -> PortId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place { generation: 0, owner: None, watched: false, session: None, armed: None });
            self.places.len() as u32 - 1
        });
        let port = PortId(index);
        self.places[index as usize].owner = Some(owner);
        self.out.push_back(Pending::Open { port, range, local });
        port
    }

    /// Whom an open pair belongs to.
    pub fn owner(&self, port: PortId) -> Option<O> {
        self.places.get(port.0 as usize).and_then(|place| place.owner)
    }

    /// How many streams there were so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Begins to send and to listen; a stream that runs goes on towards the addresses of `config`, with its keys. The phase of the
    /// stream is set here.
    pub fn run(&mut self, now: Instant, port: PortId, config: Config) {
        if self.is_running(port) {
            return self.with_session(port, |session| {
                session.set_remote(config.remote_rtp, config.remote_rtcp, now);
                session.set_direction(config.direction, now);
                session.set_srtp(config.srtp, now);
            });
        }
        // 7 and 20 have no common factor: neighbours in time are far apart in phase.
        self.next_phase = (self.next_phase + 7) % PTIME_MS;
        let config = Config { phase: Duration::from_millis(u64::from(self.next_phase)), ..config };
        let seed = self.random.next_u64();
        let place = &mut self.places[port.0 as usize];
        place.session = Some(Box::new(Session::new(config, seed, now)));
        place.watched = self.room > 0;
        self.room -= u32::from(place.watched);
        self.counts.started += 1;
        self.counts.watched += u64::from(place.watched);
        self.drain(port);
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

    /// Ends a stream and gives its sockets back. `None` where it was never started.
    pub fn finish(&mut self, now: Instant, port: PortId) -> Option<Report> {
        self.with_session(port, |session| session.close(now));
        let place = self.places.get_mut(port.0 as usize)?;
        let session = place.session.take();
        place.generation += 1;
        self.room += u32::from(place.watched);
        (place.owner, place.watched, place.armed) = (None, false, None);
        self.free.push(port.0);
        self.out.push_back(Pending::Close(port));
        session.map(|session| session.report(now))
    }

    /// A packet arrived.
    pub fn handle_packet(&mut self, packet: MediaPacket<'_>) {
        let MediaPacket { arrived, port, channel, from, bytes } = packet;
        let Some(session) = self.places.get_mut(port.0 as usize).and_then(|place| place.session.as_mut()) else {
            self.stray += 1;
            return;
        };
        match channel {
            Channel::Rtp if !media::rtcp::is_rtcp(bytes) => session.handle_rtp(arrived, from, bytes),
            _ => session.handle_rtcp(arrived, from, bytes),
        }
        self.drain(port);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((index, generation)) = self.timers.pop(now) {
            let place = &mut self.places[index as usize];
            if place.generation != generation {
                continue;
            }
            place.armed = None;
            if let Some(session) = &mut place.session {
                session.handle_timeout(now);
                self.drain(PortId(index));
            }
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
            Pending::Open { port, range, local } => Output::OpenPort { port, range, local },
            Pending::Close(port) => Output::ClosePort(port),
            Pending::Packet { port, channel, to, bytes } => {
                buffer.extend_from_slice(&self.arena[bytes]);
                Output::Media { port, channel, to }
            }
        })
    }

    fn drain(&mut self, port: PortId) {
        let place = &mut self.places[port.0 as usize];
        let Some(session) = &mut place.session else { return };
        loop {
            let start = self.arena.len();
            match session.poll_output(&mut self.packet) {
                media::Output::Transmit { channel, to } => {
                    let channel = match channel {
                        media::session::Channel::Rtp => Channel::Rtp,
                        media::session::Channel::Rtcp => Channel::Rtcp,
                    };
                    self.arena.extend_from_slice(&self.packet);
                    self.out.push_back(Pending::Packet { port, channel, to, bytes: start..self.arena.len() });
                }
                media::Output::Idle => break,
                media::Output::Event(event) => {
                    let owner = place.owner.filter(|_| place.watched);
                    self.events.extend(owner.map(|owner| (owner, event)));
                }
                media::Output::Timeout(at) => {
                    if place.armed.is_none_or(|armed| at < armed) {
                        place.armed = Some(at);
                        self.timers.insert(at, (port.0, place.generation));
                    }
                    break;
                }
            }
        }
    }
}
