//! RTP and RTCP of the video of one leg: like [`Session`](super::Session), and with frames, key frames and freezes in the
//! place of what is heard.
//!
//! A key frame is asked for where only that can be shown next: after the first packet of a stream that begins without one, and
//! where something is missing; by PLI (RFC 4585) where both sides agreed on it, else by FIR (RFC 5104), else not. Who asks us
//! for one gets it at the next point of the grid. An echo has no key frames of its own: it asks the sender.

mod report;
mod send;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::control::Control;
use super::latch::Latch;
use super::protection::Protection;
use super::{Channel, Output, Strays};
use crate::media::clock::NtpClock;
use crate::media::rtcp::{self, Compound};
use crate::media::rtp::{Header, Packet};
use crate::media::seed::Seeded;
use crate::media::stats::{Arrival, Reception};
use crate::media::video::{CLOCK_RATE, Frames, Freezes, Picture, VideoCodec};
use crate::sip::sdp::crypto::Keys;
use crate::sip::sdp::{Direction, VideoFeedback};

pub use report::VideoReport;

use send::Outgoing;

/// A key frame that does not come is asked for again after this long.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// Time between packets of one frame that says nothing: packets of a frame leave one after the other.
const PACKET_TIME: Duration = Duration::from_millis(1);

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VideoSource {
    /// Frames of our own.
    Picture(Picture),
    /// Back what was received.
    Echo,
    /// No RTP at all.
    Nothing,
}

/// What a session of video is told when it opens, and when something was agreed on anew.
#[derive(Clone, Debug)]
pub struct VideoConfig {
    /// Codec that is sent.
    pub codec: VideoCodec,
    /// The payload type that it is sent with.
    pub payload_type: u8,
    /// The payload type that it comes with.
    pub received_as: u8,
    /// Other codecs may come with the payload types of our offers: it was one of those that was answered.
    pub offered: bool,
    /// H.264 is sent in packetization mode 0.
    pub single_nal: bool,
    /// Where RTP goes until it is learned from what arrives.
    pub remote_rtp: SocketAddr,
    /// Where RTCP goes until it is learned from what arrives.
    pub remote_rtcp: SocketAddr,
    /// RTP and RTCP share the RTP socket.
    pub rtcp_mux: bool,
    /// Keys of SRTP, as for audio.
    pub srtp: Option<Keys>,
    /// It shares the path of audio (BUNDLE), and DTLS brings the keys.
    pub bundled: bool,
    /// What is sent.
    pub send: VideoSource,
    /// What the negotiated direction allows.
    pub direction: Direction,
    /// Requests for key frames that both sides understand.
    pub feedback: VideoFeedback,
    /// Where in the time between frames the grid lies.
    pub phase: Duration,
    /// The wall clock of RTCP.
    pub clock: NtpClock,
}

/// Canonical name in SDES: that of the leg's audio.
const CNAME: &str = "ringfleet";

/// The video of one leg.
#[derive(Debug)]
pub struct VideoSession {
    config: VideoConfig,
    now: Instant,
    outgoing: Outgoing,
    control: Control,
    reception: Reception,
    frames: Frames,
    freezes: Freezes,
    strays: Strays,
    protection: Protection,
    latch: Latch,
    requests: Requests,
    received: Received,
    /// There is no such stream for now: nothing is sent, not even RTCP.
    removed: bool,
    closed: bool,
}

/// Requests for key frames.
#[derive(Clone, Copy, Debug, Default)]
struct Requests {
    /// One is to go out.
    due: bool,
    asked_at: Option<Instant>,
    asked: u32,
    got: u32,
    /// Who sent the last FIR, and its number.
    last_fir: Option<(u32, u8)>,
    /// Number of our last FIR.
    fir: u8,
}

/// What arrived and could be meant for us.
#[derive(Clone, Copy, Debug, Default)]
struct Received {
    /// Payload bytes, and frames that came whole, while video was to come.
    bytes: u64,
    frames: u64,
    /// Since when video is to come, while it is.
    expected_since: Option<Instant>,
    /// How long it was to come before.
    expected: Duration,
    /// From when on something was to come until the first frame was shown.
    first_shown: Option<Duration>,
    last_timestamp: Option<u32>,
    /// When the last packet arrived, since video is to come.
    last: Option<Instant>,
    /// Times from packet to packet together, and how many stretches of them there are.
    flowing: Duration,
    stretches: u32,
}

impl VideoSession {
    /// Opens the stream. `seed` gives SSRC, first sequence number, first timestamp and the times of RTCP reports.
    pub fn new(config: VideoConfig, seed: u64, now: Instant) -> Self {
        let mut seeded = Seeded::new(seed);
        let outgoing = Outgoing::new(&config, &mut seeded, now);
        let control = Control::new(seeded, outgoing.first_point());
        let received = Received { expected_since: config.direction.receives().then_some(now), ..Received::default() };
        Self {
            now,
            control,
            reception: Reception::new(CLOCK_RATE, PACKET_TIME),
            frames: Frames::default(),
            freezes: Freezes::default(),
            strays: Strays::default(),
            protection: Protection::new(config.srtp),
            latch: Latch::default(),
            requests: Requests::default(),
            received,
            removed: false,
            closed: false,
            outgoing,
            config,
        }
    }

    /// Whether an RTP packet of a shared path is this stream's.
    pub fn takes(&self, packet: &[u8]) -> bool {
        packet.get(1).is_some_and(|second| self.codec_of(second & 0x7F).is_some())
    }

    /// Takes a datagram from the RTP socket, `arrived` by the kernel's time stamp.
    pub fn handle_rtp(&mut self, arrived: Instant, from: SocketAddr, packet: &[u8]) {
        if let Some(opened) = self.protection.open(Channel::Rtp, packet, self.config.bundled, &mut self.strays) {
            self.receive_rtp(arrived, from, &opened);
            self.protection.put_back(opened);
        }
    }

    /// Takes a datagram from the RTCP socket.
    pub fn handle_rtcp(&mut self, arrived: Instant, from: SocketAddr, packet: &[u8]) {
        if let Some(opened) = self.protection.open(Channel::Rtcp, packet, self.config.bundled, &mut self.strays) {
            self.receive_rtcp(arrived, Some(from), &opened);
            self.protection.put_back(opened);
        }
    }

    fn receive_rtp(&mut self, arrived: Instant, from: SocketAddr, packet: &[u8]) {
        if rtcp::is_rtcp(packet) {
            return self.receive_rtcp(arrived, None, packet);
        }
        self.now = self.now.max(arrived);
        let Ok(Packet { header, payload }) = Packet::parse(packet) else {
            self.strays.garbage += 1;
            return;
        };
        let Some(codec) = self.codec_of(header.payload_type) else {
            self.strays.payload_type += 1;
            return;
        };
        // Where ICE finds the path, whatever comes over it counts.
        if !self.config.bundled && !self.latch.takes(arrived, from, header.ssrc, &self.reception) {
            self.strays.address += 1;
            return;
        }
        // The packets of a frame have one timestamp and follow each other: the first of them says what jitter is.
        let timed = self.received.last_timestamp.replace(header.timestamp) != Some(header.timestamp);
        let arrival = self.reception.add(arrived, &header, timed);
        if arrival == Arrival::Duplicate {
            return;
        }
        // What was under way when video was switched off says nothing of its pace.
        if self.received.expected_since.is_some() {
            self.received.bytes += payload.len() as u64;
            match self.received.last.replace(arrived) {
                Some(last) => self.received.flowing += arrived.saturating_duration_since(last),
                None => self.received.stretches += 1,
            }
        }
        if arrival == Arrival::Restart {
            self.frames.restart();
        }
        let Self { frames, freezes, received, .. } = self;
        let (since, whole) = (received.expected_since, frames.whole());
        frames.add(codec, arrived, &header, payload, |frame| {
            let Some(since) = since else { return };
            freezes.add(frame.at);
            let waited = frame.at.saturating_duration_since(since) + received.expected;
            received.first_shown.get_or_insert(waited);
        });
        if since.is_some() {
            received.frames += frames.whole() - whole;
        }
        if self.frames.wants_key() {
            self.ask_for_key();
        }
        if self.config.send == VideoSource::Echo && self.config.direction.sends() && !self.closed {
            let own = header.payload_type == self.config.received_as;
            let payload_type = if own { self.config.payload_type } else { header.payload_type };
            let kept = self.outgoing.echo(self.now, &Header { payload_type, ..header }, payload);
            self.strays.echo_overflow += u64::from(!kept);
        }
    }

    /// A far end may send any codec of its answer, so those of our offer are all taken. In an answer of ours there is one, and the
    /// numbers of the offer may mean anything else.
    fn codec_of(&self, payload_type: u8) -> Option<VideoCodec> {
        if payload_type == self.config.received_as {
            return Some(self.config.codec);
        }
        VideoCodec::from_payload_type(payload_type).filter(|_| self.config.offered)
    }

    fn receive_rtcp(&mut self, arrived: Instant, from: Option<SocketAddr>, packet: &[u8]) {
        self.now = self.now.max(arrived);
        let own = self.outgoing.ssrc();
        let heard = if self.config.bundled { self.reception.ssrc() } else { None };
        self.control.receive(&self.config.clock, (arrived, from), packet, (own, heard), &mut self.strays);
        for packet in Compound::new(packet).map_while(Result::ok) {
            let asked = match packet {
                rtcp::Packet::PictureLoss { media } => media == own,
                rtcp::Packet::FullIntra { from, mut requests } => {
                    let number = requests.find(|(media, _)| *media == own).map(|(_, number)| number);
                    // RFC 5104 §4.3.1.1: a repetition has the number of the request that it repeats.
                    number.is_some_and(|number| self.requests.last_fir.replace((from, number)) != Some((from, number)))
                }
                _ => false,
            };
            if asked {
                self.requests.got += 1;
                match self.config.send {
                    VideoSource::Echo => self.ask_for_key(),
                    _ => self.outgoing.want_key(),
                }
            }
        }
    }

    fn ask_for_key(&mut self) {
        let VideoFeedback { pli, fir } = self.config.feedback;
        let again = self.requests.asked_at.is_none_or(|at| self.now >= at + ASK_AGAIN);
        if (pli || fir) && again && !self.closed && self.reception.ssrc().is_some() {
            self.requests.due = true;
        }
    }

    /// The moment of the last [`Output::Timeout`] has come, or a later one.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// Gives the next packet (its bytes in `buf`, whose former content is dropped) or deadline.
    pub fn poll_output(&mut self, buf: &mut Vec<u8>) -> Output {
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
        Output::Timeout(frame.into_iter().chain(self.control.deadline()).min().unwrap_or(self.now))
    }

    /// Both sides agreed on something, perhaps on what holds already.
    pub fn renew(&mut self, config: VideoConfig, now: Instant) {
        self.now = self.now.max(now);
        self.removed = false;
        let before = std::mem::replace(&mut self.config, config);
        if before.direction.receives() != self.config.direction.receives() {
            self.expect(self.config.direction.receives());
        }
        if (before.remote_rtp, before.remote_rtcp) != (self.config.remote_rtp, self.config.remote_rtcp)
            && !self.config.bundled
        {
            self.latch.forget();
            self.control.unlatch();
        }
        if self.config.bundled {
            // ICE has found where it goes.
            (self.config.remote_rtp, self.config.remote_rtcp) = (before.remote_rtp, before.remote_rtcp);
            self.config.srtp = before.srtp;
        } else {
            self.protection.set_keys(self.config.srtp);
        }
        self.config.phase = before.phase;
        self.outgoing.renew(&before, &self.config, self.now);
    }

    /// Whether video is to come from now on.
    fn expect(&mut self, expected: bool) {
        self.reception.pause(self.now);
        self.freezes.pause();
        self.received.last = None;
        let since = std::mem::replace(&mut self.received.expected_since, expected.then_some(self.now));
        if let Some(since) = since {
            self.received.expected += self.now.saturating_duration_since(since);
        }
    }

    /// What may flow from now on, where nothing else was agreed on.
    pub fn set_direction(&mut self, direction: Direction, now: Instant) {
        let config = VideoConfig { direction, ..self.config.clone() };
        self.renew(config, now);
    }

    /// The stream was taken out of the call; what is agreed on anew may bring it back.
    pub fn remove(&mut self, now: Instant) {
        self.set_direction(Direction::Inactive, now);
        self.removed = true;
    }

    /// Sends something else from the next frame on.
    pub fn set_source(&mut self, send: VideoSource, now: Instant) {
        if send != self.config.send {
            let config = VideoConfig { send, ..self.config.clone() };
            self.renew(config, now);
        }
    }

    /// ICE has found a path, and DTLS the keys for it.
    pub fn secure(&mut self, remote: SocketAddr, keys: Keys, now: Instant) {
        self.set_remote(remote, now);
        self.config.srtp = Some(keys);
        self.protection.set_keys(Some(keys));
    }

    /// The path of a bundle leads elsewhere from now on.
    pub fn set_remote(&mut self, remote: SocketAddr, now: Instant) {
        self.now = self.now.max(now);
        (self.config.remote_rtp, self.config.remote_rtcp) = (remote, remote);
        self.latch.forget();
        self.control.unlatch();
    }

    /// We were away until now: what was sent to us meanwhile is no loss and no freeze.
    pub fn pause(&mut self, now: Instant) {
        self.now = self.now.max(now);
        if self.config.direction.receives() {
            self.expect(true);
        }
        self.outgoing.want_key();
    }

    /// Stops sending and says goodbye in RTCP.
    pub fn close(&mut self, now: Instant) {
        self.now = self.now.max(now);
        if !self.closed {
            self.closed = true;
            self.outgoing.stop();
            self.control.say_goodbye();
        }
    }

    /// What is known of the stream so far.
    pub fn report(&self, now: Instant) -> VideoReport {
        VideoReport::of(self, now.max(self.now))
    }

    fn poll_rtp(&mut self, buf: &mut Vec<u8>) -> Option<Output> {
        if self.closed {
            return None;
        }
        let Some(to) = self.rtp_address() else {
            self.outgoing.skip(&self.config, self.now);
            return None;
        };
        let written = self.outgoing.poll(&self.config, self.now, buf);
        written.then_some(Output::Transmit { channel: Channel::Rtp, to })
    }

    fn poll_rtcp(&mut self, buf: &mut Vec<u8>) -> Option<Output> {
        if !self.control.is_due(self.now) && !self.requests.due {
            return None;
        }
        if self.removed {
            self.requests.due = false;
            self.control.skip(self.now);
            return None;
        }
        let way = self.control.way(self.config.rtcp_mux, self.rtp_address(), self.config.remote_rtcp);
        let Some((channel, to)) = way else {
            self.requests.due = false;
            self.control.skip(self.now);
            return None;
        };
        let (ssrc, info) = (self.outgoing.ssrc(), self.outgoing.info(&self.config, self.now));
        self.control.write((ssrc, CNAME), self.now, info, &mut self.reception, buf);
        if let (true, Some(media)) = (std::mem::take(&mut self.requests.due), self.reception.ssrc()) {
            if self.config.feedback.pli {
                rtcp::picture_loss(buf, ssrc, media);
            } else {
                self.requests.fir = self.requests.fir.wrapping_add(1);
                rtcp::full_intra(buf, ssrc, media, self.requests.fir);
            }
            self.requests.asked += 1;
            self.requests.asked_at = Some(self.now);
        }
        Some(Output::Transmit { channel, to })
    }

    fn rtp_address(&self) -> Option<SocketAddr> {
        self.latch.remote(self.config.remote_rtp)
    }
}

#[cfg(test)]
mod tests;
