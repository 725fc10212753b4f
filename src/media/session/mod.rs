//! RTP and RTCP of one leg: sends on a grid, receives, reports, listens (RFC 3550, 3551, 4961, 5761).
//!
//! ```text
//! open ──► sending on the grid, RTCP from its first point on ──close()──► BYE ──► closed (Output::Idle)
//! ```
//!
//! After each `handle_*`, `set_*` or `close` call `poll_output` until it gives [`Output::Timeout`] or
//! [`Output::Idle`]. Bad bytes become counts. What a call's figures mean together is judged elsewhere.

mod config;
mod control;
mod dtmf;
mod hearing;
mod latch;
mod protection;
mod report;
mod seconds;
mod send;
#[cfg(test)]
mod tests;
mod video;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::audio::Listener;
use super::codec::Codec;
use super::emodel::Impairment;
use super::rtp::{Header, Packet};
use super::seed::Seeded;
use super::stats::{Arrival, Reception};
use super::{Heard, Source, rtcp};
use crate::sip::sdp::Direction;
use crate::sip::sdp::crypto::Keys;

pub use config::{Config, Listen};
pub use dtmf::DtmfReport;
pub use protection::Rejected;
pub use report::{FarEnd, Report};
pub use seconds::Second;
pub use video::{VideoConfig, VideoFigures, VideoReport, VideoSession, VideoSource};

use control::Control;
use dtmf::DtmfHeard;
use hearing::Hearing;
use latch::Latch;
use protection::Protection;
use seconds::Seconds;
use send::Outgoing;

/// Comfort noise (RFC 3389), sent by some far ends during silence.
const COMFORT_NOISE: u8 = 13;

/// Which socket of the pair that a leg has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// The RTP socket; RTCP too where both are muxed.
    Rtp,
    /// The RTCP socket.
    Rtcp,
}

/// What a session wants.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send the bytes that are in the buffer.
    Transmit {
        /// On this socket.
        channel: Channel,
        /// To this address.
        to: SocketAddr,
    },
    /// Something happened.
    Event(Event),
    /// Nothing until this moment, unless a packet arrives.
    Timeout(Instant),
    /// Closed: nothing more will come.
    Idle,
}

/// What happened in a session.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The first valid RTP packet arrived.
    FirstPacket,
    /// RTP comes from this address from now on, and is sent there.
    AddressChanged(SocketAddr),
    /// What we hear became clear or changed.
    Hears(Heard),
    /// What the far end hears of us became clear or changed.
    IsHeard(Heard),
    /// The far end said goodbye in RTCP.
    Bye,
    /// A second of the leg has passed.
    Second(Second),
    /// One more key was heard ([`Session::dtmf`]).
    Key,
}

/// Packets that were not taken for what they seemed to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strays {
    /// Datagrams that are neither RTP nor RTCP.
    pub garbage: u64,
    /// RTP with a payload type that was not negotiated.
    pub payload_type: u64,
    /// RTP from another address while the current one was alive.
    pub address: u64,
    /// RTCP of our own that came back.
    pub reflected: u64,
    /// Packets that came before DTLS had brought the keys.
    pub early: u64,
    /// Packets that could not be echoed because too many waited.
    pub echo_overflow: u64,
}

/// Media of one leg.
#[derive(Debug)]
pub struct Session {
    config: Config,
    started: Instant,
    now: Instant,
    outgoing: Outgoing,
    control: Control,
    reception: Reception,
    listener: Listener,
    /// Keys that were heard, once any were.
    dtmf_heard: Option<Box<DtmfHeard>>,
    hearing: Hearing,
    seconds: Seconds,
    strays: Strays,
    protection: Protection,
    latch: Latch,
    address_changes: u32,
    /// When the first packet came that was more than silence.
    first_audio: Option<Instant>,
    /// What both directions were last told to be.
    told: (Heard, Heard),
    events: VecDeque<Event>,
    closed: bool,
}

impl Session {
    /// Opens a leg. `seed` gives SSRC, first sequence number, first timestamp and the times of RTCP reports.
    pub fn new(mut config: Config, seed: u64, now: Instant) -> Self {
        config.bound();
        let mut seeded = Seeded::new(seed);
        let outgoing = Outgoing::new(&config, &mut seeded, now);
        let control = Control::new(seeded, outgoing.first_point());
        let mut session = Self {
            started: now,
            now,
            control,
            reception: Reception::new(config.codec.clock_rate(), config.ptime),
            listener: Listener::new(now),
            dtmf_heard: None,
            hearing: Hearing::new(config.marker_id, config.expected_id),
            seconds: Seconds::new(now),
            strays: Strays::default(),
            protection: Protection::new(config.srtp),
            latch: Latch::default(),
            address_changes: 0,
            first_audio: None,
            told: (Heard::Unknown, Heard::Unknown),
            events: VecDeque::new(),
            closed: false,
            outgoing,
            config,
        };
        session.listen_for_tones();
        session
    }

    /// Takes a datagram from the RTP socket, `arrived` by the kernel's time stamp.
    pub fn handle_rtp(&mut self, arrived: Instant, from: SocketAddr, packet: &[u8]) {
        if let Some(opened) = self.protection.open(Channel::Rtp, packet, self.config.dtls, &mut self.strays) {
            self.receive_rtp(arrived, from, &opened);
            self.protection.put_back(opened);
        }
    }

    fn receive_rtp(&mut self, arrived: Instant, from: SocketAddr, packet: &[u8]) {
        if rtcp::is_rtcp(packet) {
            return self.receive_rtcp(arrived, None, packet);
        }
        self.advance(arrived);
        let Ok(Packet { header, payload }) = Packet::parse(packet) else {
            self.strays.garbage += 1;
            return;
        };
        let codec = self.config.codec_of(header.payload_type);
        let event = codec.is_none() && self.config.events.has(header.payload_type);
        if codec.is_none() && !event && header.payload_type != COMFORT_NOISE {
            self.strays.payload_type += 1;
            return;
        }
        if !self.counts(arrived, from, header.ssrc) {
            return;
        }
        if self.reception.first().is_none() {
            self.events.push_back(Event::FirstPacket);
        }
        if let Some(codec) = codec {
            self.reception.set_clock_rate(codec.clock_rate());
        }
        let arrival = self.reception.add(arrived, &header, !event);
        if event {
            return self.take_event(arrived, &header, payload);
        }
        let is_new = matches!(arrival, Arrival::Ahead(_) | Arrival::Restart);
        if let Some(codec) = codec.filter(|_| is_new && self.config.listen != Listen::Packets) {
            self.hear(arrived, codec, &header, payload);
        }
        // What is sent back has numbers of its own, so a copy would come back as a packet that nobody sent.
        let echoed = self.config.send == Source::Echo && !self.closed && arrival != Arrival::Duplicate;
        if codec.is_some() && echoed {
            // Each side may have a number of its own for a codec.
            let own = header.payload_type == self.config.received_as;
            let payload_type = if own { self.config.payload_type } else { header.payload_type };
            let kept = self.outgoing.echo(self.now, &Header { payload_type, ..header }, payload);
            self.strays.echo_overflow += u64::from(!kept);
        }
    }

    /// Takes a datagram from the RTCP socket.
    pub fn handle_rtcp(&mut self, arrived: Instant, from: SocketAddr, packet: &[u8]) {
        if let Some(opened) = self.protection.open(Channel::Rtcp, packet, self.config.dtls, &mut self.strays) {
            self.receive_rtcp(arrived, Some(from), &opened);
            self.protection.put_back(opened);
        }
    }

    /// The moment of the last [`Output::Timeout`] has come, or a later one.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
    }

    /// Gives the next packet (its bytes in `buf`, whose former content is dropped), event or deadline.
    pub fn poll_output(&mut self, buf: &mut Vec<u8>) -> Output {
        if let Some(event) = self.events.pop_front() {
            return Output::Event(event);
        }
        buf.clear();
        while let Some(transmit) = self.poll_rtp(buf).or_else(|| self.poll_rtcp(buf)) {
            if self.protection.protect(buf) {
                return transmit;
            }
            buf.clear();
        }
        if self.closed {
            return Output::Idle;
        }
        let frame = self.rtp_address().and_then(|_| self.outgoing.deadline(&self.config));
        let deadlines = [frame, self.control.deadline(), Some(self.seconds.end())];
        Output::Timeout(deadlines.into_iter().flatten().min().unwrap_or(self.now))
    }

    /// Sends something else from the next point of the grid on.
    pub fn set_source(&mut self, source: Source, now: Instant) {
        self.advance(now);
        self.config.send = source;
        self.listen_for_tones();
        self.outgoing.drop_echoes();
        self.outgoing.interrupt();
    }

    /// Hold and resume: what the negotiated SDP direction allows.
    pub fn set_direction(&mut self, direction: Direction, now: Instant) {
        self.advance(now);
        if direction.receives() != self.config.direction.receives() {
            self.reception.pause(now);
        }
        if direction.sends() != self.config.direction.sends() {
            self.outgoing.interrupt();
        }
        self.config.direction = direction;
    }

    /// We were away until now: what was sent to us meanwhile is no loss and no gap.
    pub fn pause(&mut self, now: Instant) {
        self.advance(now);
        self.reception.pause(now);
        self.outgoing.interrupt();
    }

    /// A re-INVITE moved the far end. Symmetric addresses are learned anew.
    pub fn set_remote(&mut self, rtp: SocketAddr, rtcp: SocketAddr, now: Instant) {
        self.advance(now);
        if (rtp, rtcp) != (self.config.remote_rtp, self.config.remote_rtcp) {
            (self.config.remote_rtp, self.config.remote_rtcp) = (rtp, rtcp);
            self.latch.forget();
            self.control.unlatch();
        }
    }

    /// ICE has found a path, and DTLS the keys for it: from now on the leg sends and takes SRTP.
    pub fn secure(&mut self, remote: SocketAddr, keys: Keys, now: Instant) {
        self.set_remote(remote, remote, now);
        self.set_srtp(Some(keys), now);
    }

    /// A re-INVITE brought keys of SRTP, perhaps those of before.
    pub fn set_srtp(&mut self, keys: Option<Keys>, now: Instant) {
        self.advance(now);
        self.config.srtp = keys;
        self.protection.set_keys(keys);
    }

    /// What a re-INVITE agreed on of codec and payload types, perhaps those of before.
    pub fn set_codec(&mut self, agreed: &Config, now: Instant) {
        self.advance(now);
        let Config { codec, payload_type, received_as, mut others, telephone_event, events, .. } = *agreed;
        let changed = self.config.codec != codec;
        // RFC 3264 §8.3.2: what is under way is still of the codec of before.
        if Codec::from_payload_type(self.config.received_as) == Some(self.config.codec) {
            others = others.with(self.config.received_as);
        }
        (self.config.codec, self.config.payload_type, self.config.received_as) = (codec, payload_type, received_as);
        (self.config.others, self.config.telephone_event, self.config.events) = (others, telephone_event, events);
        if changed {
            self.config.bound();
            self.outgoing.change_codec(&self.config);
        }
    }

    /// Another stream is sent and received over the same path, or is not any more: RTCP of its sources is not ours.
    pub fn set_shared(&mut self, shared: bool) {
        self.config.shared = shared;
    }

    /// Stops sending and says goodbye in RTCP.
    pub fn close(&mut self, now: Instant) {
        self.advance(now);
        if !self.closed {
            self.closed = true;
            self.outgoing.drop_echoes();
            self.control.say_goodbye();
        }
    }

    /// What is known of the leg so far.
    pub fn report(&self, now: Instant) -> Report {
        Report::of(self, now.max(self.now))
    }

    /// Whether nothing came of what was taken in last: to poll would give the deadline of before again.
    pub fn is_quiet(&self) -> bool {
        self.events.is_empty() && !self.outgoing.has_echoes()
    }

    /// When the last RTP packet arrived.
    pub fn last_received(&self) -> Option<Instant> {
        self.reception.last()
    }

    /// What is being sent.
    pub fn source(&self) -> Source {
        self.config.send
    }

    /// SSRC of what we send.
    pub fn ssrc(&self) -> u32 {
        self.outgoing.ssrc()
    }

    fn advance(&mut self, to: Instant) {
        self.now = self.now.max(to);
        while !self.closed && self.seconds.end() <= self.now {
            let interval = self.reception.take_interval();
            let (rtt, level) = (self.control.rtt(), self.listener.take_level());
            let second = self.seconds.close(interval, rtt, level, Impairment::of(self.config.codec));
            self.events.push_back(Event::Second(second));
            self.tell_hearing();
        }
    }

    /// `from` is where RTCP goes from now on; `None` where it came with RTP.
    fn receive_rtcp(&mut self, arrived: Instant, from: Option<SocketAddr>, packet: &[u8]) {
        self.advance(arrived);
        let heard = if self.config.shared { self.reception.ssrc() } else { None };
        let sources = (self.outgoing.ssrc(), heard);
        self.control.receive(&self.config.clock, (arrived, from), packet, sources, &mut self.strays);
        if self.control.take_bye() {
            self.events.push_back(Event::Bye);
        }
    }

    /// Whether a packet from here counts. Where ICE finds the path, whatever comes over it does.
    fn counts(&mut self, arrived: Instant, from: SocketAddr, ssrc: u32) -> bool {
        if self.config.dtls {
            return true;
        }
        let before = self.rtp_address();
        if !self.latch.takes(arrived, from, ssrc, &self.reception) {
            self.strays.address += 1;
            return false;
        }
        if self.rtp_address() != before {
            self.address_changes += 1;
            self.events.push_back(Event::AddressChanged(from));
        }
        true
    }

    fn hear(&mut self, arrived: Instant, codec: Codec, header: &Header, payload: &[u8]) {
        let sighting = self.listener.hear(arrived, codec, header.timestamp, payload);
        if self.listener.listens_for_keys() {
            self.take_tones(arrived);
        }
        if self.first_audio.is_none() && self.listener.meter().active_samples() > 0 {
            self.first_audio = Some(arrived);
        }
        if let Some(sighting) = sighting {
            self.hearing.see(&sighting, &self.outgoing, self.config.send == Source::Echo);
            self.tell_hearing();
        }
    }

    fn tell_hearing(&mut self) {
        let news = (self.hears(self.now), self.hearing.is_heard());
        let before = std::mem::replace(&mut self.told, news);
        if news.0 != before.0 {
            self.events.push_back(Event::Hears(news.0));
        }
        if news.1 != before.1 {
            self.events.push_back(Event::IsHeard(news.1));
        }
    }

    fn hears(&self, now: Instant) -> Heard {
        // On hold nothing is expected, so that nothing can be missing.
        let receives = self.config.direction.receives();
        let listened = if receives { now.saturating_duration_since(self.started) } else { Duration::ZERO };
        self.hearing.hears(self.reception.counts().packets, self.listener.meter(), listened)
    }

    fn poll_rtp(&mut self, buf: &mut Vec<u8>) -> Option<Output> {
        if self.closed {
            return None;
        }
        let Some(to) = self.rtp_address() else {
            self.outgoing.drop_echoes();
            self.outgoing.follow(self.now);
            return None;
        };
        let hearing = self.hearing.code(self.told.0);
        let written = self.outgoing.poll(&self.config, self.now, hearing, buf);
        written.then_some(Output::Transmit { channel: Channel::Rtp, to })
    }

    fn poll_rtcp(&mut self, buf: &mut Vec<u8>) -> Option<Output> {
        if !self.control.is_due(self.now) {
            return None;
        }
        let way = self.control.way(self.config.rtcp_mux, self.rtp_address(), self.config.remote_rtcp);
        let Some((channel, to)) = way else {
            self.control.skip(self.now);
            return None;
        };
        let info = self.outgoing.info(&self.config, self.now);
        self.control.write(self.outgoing.ssrc(), self.now, info, &mut self.reception, buf);
        Some(Output::Transmit { channel, to })
    }

    fn rtp_address(&self) -> Option<SocketAddr> {
        self.latch.remote(self.config.remote_rtp)
    }
}
