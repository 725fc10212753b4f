//! RTP and RTCP of the video of one leg: like [`Session`](super::Session), and with frames, key frames and freezes in the
//! place of what is heard.
//!
//! A key frame is asked for where only that can be shown next: after the first packet of a stream that begins without one, and
//! where something is missing; by PLI (RFC 4585) where both sides agreed on it, else by FIR (RFC 5104), else not. Who asks us
//! for one gets it at the next point of the grid. An echo has no key frames of its own: it asks the sender.

mod config;
mod received;
mod report;
mod requests;
mod send;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::control::Control;
use super::latch::Latch;
use super::protection::Protection;
use super::{Channel, Output, Strays};
use crate::media::rtcp;
use crate::media::rtp::{Header, Packet};
use crate::media::seed::Seeded;
use crate::media::stats::{Arrival, Reception};
use crate::media::video::{CLOCK_RATE, Frames, Freezes};
use crate::sip::sdp::Direction;
use crate::sip::sdp::crypto::Keys;

pub use config::{VideoConfig, VideoSource};
pub use report::{VideoFigures, VideoReport};

use received::Received;
use requests::Requests;
use send::Outgoing;

/// Time between packets of one frame that says nothing: packets of a frame leave one after the other.
const PACKET_TIME: Duration = Duration::from_millis(1);

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
    /// Of the last RTP packet.
    last_timestamp: Option<u32>,
    /// There is no such stream for now: nothing is sent, not even RTCP.
    removed: bool,
    closed: bool,
}

impl VideoSession {
    /// Opens the stream. `seed` gives SSRC, first sequence number, first timestamp and the times of RTCP reports.
    pub fn new(config: VideoConfig, seed: u64, now: Instant) -> Self {
        let mut seeded = Seeded::new(seed);
        let outgoing = Outgoing::new(&config, &mut seeded, now);
        let control = Control::new(seeded, outgoing.first_point());
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
            received: Received::new(now, config.direction.receives()),
            last_timestamp: None,
            removed: false,
            closed: false,
            outgoing,
            config,
        }
    }

    /// Whether an RTP packet of a shared path is this stream's.
    pub fn takes(&self, packet: &[u8]) -> bool {
        packet.get(1).is_some_and(|second| self.config.codec_of(second & 0x7F).is_some())
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
        let Some(codec) = self.config.codec_of(header.payload_type) else {
            self.strays.payload_type += 1;
            return;
        };
        // Where ICE finds the path, whatever comes over it counts.
        if !self.config.bundled && !self.latch.takes(arrived, from, header.ssrc, &self.reception) {
            self.strays.address += 1;
            return;
        }
        // The packets of a frame have one timestamp and follow each other: the first of them says what jitter is.
        let timed = self.last_timestamp.replace(header.timestamp) != Some(header.timestamp);
        let arrival = self.reception.add(arrived, &header, timed);
        if arrival == Arrival::Duplicate {
            return;
        }
        self.received.add(arrived, payload.len());
        if arrival == Arrival::Restart {
            self.frames.restart();
        }
        let Self { frames, freezes, received, .. } = self;
        let whole = frames.whole();
        frames.add(codec, arrived, &header, payload, |frame| {
            if received.is_expected() {
                freezes.add(frame.at);
                received.show(frame.at);
            }
        });
        received.add_frames(frames.whole() - whole);
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

    fn receive_rtcp(&mut self, arrived: Instant, from: Option<SocketAddr>, packet: &[u8]) {
        self.now = self.now.max(arrived);
        let own = self.outgoing.ssrc();
        let heard = if self.config.bundled { self.reception.ssrc() } else { None };
        self.control.receive(&self.config.clock, (arrived, from), packet, (own, heard), &mut self.strays);
        if self.requests.take(packet, own) {
            match self.config.send {
                VideoSource::Echo => self.ask_for_key(),
                _ => self.outgoing.want_key(),
            }
        }
    }

    fn ask_for_key(&mut self) {
        if !self.closed && self.reception.ssrc().is_some() {
            self.requests.want(self.now, self.config.feedback);
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
        self.received.expect(self.now, expected);
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
        if !self.control.is_due(self.now) && !self.requests.is_due() {
            return None;
        }
        if self.removed {
            self.requests.skip();
            self.control.skip(self.now);
            return None;
        }
        let way = self.control.way(self.config.rtcp_mux, self.rtp_address(), self.config.remote_rtcp);
        let Some((channel, to)) = way else {
            self.requests.skip();
            self.control.skip(self.now);
            return None;
        };
        let (ssrc, info) = (self.outgoing.ssrc(), self.outgoing.info(&self.config, self.now));
        self.control.write(ssrc, self.now, info, &mut self.reception, buf);
        self.requests.write(self.now, self.config.feedback, ssrc, self.reception.ssrc(), buf);
        Some(Output::Transmit { channel, to })
    }

    fn rtp_address(&self) -> Option<SocketAddr> {
        self.latch.remote(self.config.remote_rtp)
    }
}

#[cfg(test)]
mod tests;
