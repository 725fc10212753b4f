//! What a leg sends: frames on an absolute grid, or echoes on arrival.
//!
//! The k-th point of the grid is `origin + k × ptime`, computed and never summed up, so that it does not drift. A
//! late wake-up sends every point that has passed; sequence numbers and timestamps are those of the grid.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::media::Source;
use crate::media::audio::{self, Marker, Reference, Tone};
use crate::media::dtmf::{Frame, Generator, Press};
use crate::media::rtcp::SenderInfo;
use crate::media::rtp::Header;
use crate::media::seed::Seeded;

use super::Config;
use super::dtmf::Pressing;

/// Points that passed longer ago than this are not made up for: a machine that slept must not send a burst.
const LATEST: Duration = Duration::from_secs(1);
/// Echoes that may wait between two turns.
const MOST_ECHOES: usize = 64;

/// The sending side.
#[derive(Debug)]
pub(super) struct Outgoing {
    ssrc: u32,
    sequence: u16,
    origin: Instant,
    ptime: Duration,
    /// A point of the grid and its timestamp, from which the others are counted in units per packet.
    counted_from: (u64, u32),
    units: u32,
    /// The next point of the grid.
    next: u64,
    /// The next packet follows a pause (RFC 3551 §4.1).
    resumes: bool,
    packets: u32,
    octets: u32,
    total: u64,
    /// When the first packet went out.
    first: Option<Instant>,
    skipped: u64,
    reference: Reference,
    tone: Tone,
    /// When the last markers went out, by their sequence numbers.
    markers: [Option<Instant>; 16],
    echoes: Echoes,
    /// Keys that are pressed, once any were.
    pub(super) pressing: Option<Box<Pressing>>,
}

/// Payloads that wait to be sent back.
#[derive(Clone, Debug, Default)]
struct Echoes {
    bytes: Vec<u8>,
    waiting: VecDeque<(Header, usize)>,
    sent: usize,
    /// Their source, and what its timestamps differ from ours by.
    source: Option<(u32, u32)>,
}

impl Outgoing {
    pub(super) fn new(config: &Config, seeded: &mut Seeded, now: Instant) -> Self {
        let random = seeded.next_u64();
        Self {
            ssrc: config.ssrc.unwrap_or(random as u32),
            // RFC 3711 §3.3.1: far from the edge, so that losing the first packets cannot hide a rollover.
            sequence: (random >> 32) as u16 & if config.is_secure() { 0x7FFF } else { 0xFFFF },
            counted_from: (0, seeded.next_u64() as u32),
            origin: first_point(config, now),
            ptime: config.ptime,
            units: config.units(),
            next: 0,
            resumes: true,
            packets: 0,
            octets: 0,
            total: 0,
            first: None,
            skipped: 0,
            reference: Reference::default(),
            tone: Tone::default(),
            markers: [None; 16],
            echoes: Echoes::default(),
            pressing: None,
        }
    }

    pub(super) fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// RTP packets sent.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// When the first packet went out.
    pub(super) fn first(&self) -> Option<Instant> {
        self.first
    }

    /// Points of the grid that were given up because they had passed long ago.
    pub(super) fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The first point of the grid.
    pub(super) fn first_point(&self) -> Instant {
        self.origin
    }

    /// When the marker with this sequence number went out.
    pub(super) fn marker_sent(&self, sequence: u8) -> Option<Instant> {
        self.markers[usize::from(sequence & 0x0F)]
    }

    /// When the next frame is due.
    pub(super) fn deadline(&self, config: &Config) -> Option<Instant> {
        self.sends_frames(config).then(|| self.point(self.next))
    }

    /// Whether frames go out on the grid.
    fn sends_frames(&self, config: &Config) -> bool {
        let made_here = !matches!(config.send, Source::Echo | Source::Nothing) || self.presses();
        made_here && config.direction.sends()
    }

    /// Whether a key is held, or waits.
    fn presses(&self) -> bool {
        self.pressing.as_ref().is_some_and(|pressing| !pressing.sender.is_idle())
    }

    /// A re-INVITE changed the codec, and with it perhaps the clock: timestamps go on from where they are.
    pub(super) fn change_codec(&mut self, config: &Config) {
        self.counted_from = (self.next, self.timestamp_of(self.next));
        self.units = config.units();
        self.interrupt();
    }

    /// The next packet follows a pause or a change.
    pub(super) fn interrupt(&mut self) {
        self.resumes = true;
    }

    /// Whether something waits to be sent back.
    pub(super) fn has_echoes(&self) -> bool {
        !self.echoes.waiting.is_empty()
    }

    /// Presses keys from the next point of the grid on; false where too many wait.
    pub(super) fn press(&mut self, config: &Config, press: Press, now: Instant) -> bool {
        if !self.presses() && matches!(config.send, Source::Echo | Source::Nothing) {
            // Nothing was sent at the points before.
            self.follow(now);
            self.drop_echoes();
        }
        self.pressing.get_or_insert_default().sender.press(press)
    }

    pub(super) fn drop_echoes(&mut self) {
        self.echoes = Echoes::default();
    }

    /// Keeps a payload to send it back at once; false where too many wait.
    pub(super) fn echo(&mut self, now: Instant, header: &Header, payload: &[u8]) -> bool {
        if self.presses() {
            // Keys take the place of what is sent otherwise.
            return true;
        }
        if self.echoes.waiting.len() >= MOST_ECHOES {
            return false;
        }
        let shift = match self.echoes.source {
            Some((ssrc, shift)) if ssrc == header.ssrc => shift,
            _ => self.timestamp(now).wrapping_sub(header.timestamp),
        };
        self.echoes.source = Some((header.ssrc, shift));
        let timestamp = header.timestamp.wrapping_add(shift);
        self.echoes.waiting.push_back((Header { timestamp, ..*header }, payload.len()));
        self.echoes.bytes.extend_from_slice(payload);
        true
    }

    /// Writes the next packet that is due, if one is. `hearing` goes into markers.
    pub(super) fn poll(&mut self, config: &Config, now: Instant, hearing: u8, buf: &mut Vec<u8>) -> bool {
        let written = self.write_due(config, now, hearing, buf);
        if written {
            self.first.get_or_insert(now);
        }
        written
    }

    fn write_due(&mut self, config: &Config, now: Instant, hearing: u8, buf: &mut Vec<u8>) -> bool {
        if config.send == Source::Echo && !self.presses() {
            return self.poll_echo(config, buf);
        }
        if self.sends_frames(config) && now.saturating_duration_since(self.point(self.next)) > LATEST {
            let before = self.next;
            self.follow(now);
            self.skipped += self.next - before;
        }
        while self.sends_frames(config) && self.point(self.next) <= now {
            let sent = self.write_frame(config, now, hearing, buf);
            self.next += 1;
            if sent {
                return true;
            }
        }
        if !self.sends_frames(config) {
            self.follow(now);
        }
        false
    }

    /// The sender information for a report sent now.
    pub(super) fn info(&self, config: &Config, now: Instant) -> Option<SenderInfo> {
        (self.packets > 0).then(|| SenderInfo {
            ntp: config.clock.ntp(now),
            rtp_timestamp: self.timestamp(now),
            packets: self.packets,
            octets: self.octets,
        })
    }

    /// Writes what goes out at the next point of the grid; false where that is nothing.
    fn write_frame(&mut self, config: &Config, now: Instant, hears: u8, buf: &mut Vec<u8>) -> bool {
        let timestamp = self.timestamp_of(self.next);
        match self.pressing.as_mut().map_or(Frame::Audio, |pressing| pressing.poll(config, timestamp)) {
            Frame::Audio => self.write_audio(config, (timestamp, now), hears, buf),
            Frame::Silence => self.write_tone(config, timestamp, buf, |generator, buf| {
                generator.fill_silence(config.codec, config.samples(), buf);
            }),
            Frame::Tone { key, level, from } => self.write_tone(config, timestamp, buf, |generator, buf| {
                generator.fill(config.codec, (key, level), (from, config.samples()), buf);
            }),
            Frame::Event { timestamp, first, event } => {
                let Some(format) = config.telephone_event else { return false };
                // RFC 4733 §2.2: the marker is that of a new event, whatever pause lies before it.
                let resumes = std::mem::replace(&mut self.resumes, first);
                self.write_header(format.payload_type, timestamp, buf);
                self.resumes = resumes && !first;
                buf.extend_from_slice(&event.to_bytes());
                self.count(event.to_bytes().len());
                true
            }
        }
    }

    fn write_tone(
        &mut self,
        config: &Config,
        timestamp: u32,
        buf: &mut Vec<u8>,
        fill: impl FnOnce(&mut Generator, &mut Vec<u8>),
    ) -> bool {
        self.write_header(config.payload_type, timestamp, buf);
        let start = buf.len();
        if let Some(pressing) = &mut self.pressing {
            fill(&mut pressing.generator, buf);
        }
        self.count(buf.len() - start);
        true
    }

    fn write_audio(&mut self, config: &Config, (timestamp, now): (u32, Instant), hears: u8, buf: &mut Vec<u8>) -> bool {
        if matches!(config.send, Source::Echo | Source::Nothing) {
            return false;
        }
        self.write_header(config.payload_type, timestamp, buf);
        let (start, samples) = (buf.len(), config.samples());
        match config.send {
            Source::Speech | Source::Keys => {
                let marker = |sequence| Marker { id: config.marker_id, sequence, hears };
                if let Some(start) = self.reference.fill(config.codec, samples, marker, buf) {
                    // The first sample is as late on its way as the packet that it is in.
                    let inside = Duration::from_micros(125) * start.offset as u32;
                    self.markers[usize::from(start.sequence)] = Some(now + inside);
                }
            }
            Source::Tone => self.tone.fill(config.codec, samples, buf),
            Source::Silence => audio::fill_silence(config.codec, samples, buf),
            Source::Echo | Source::Nothing => {}
        }
        self.count(buf.len() - start);
        true
    }

    fn poll_echo(&mut self, config: &Config, buf: &mut Vec<u8>) -> bool {
        while let Some((header, length)) = self.echoes.waiting.pop_front() {
            let start = self.echoes.sent;
            self.echoes.sent += length;
            if config.direction.sends() {
                self.resumes |= header.marker;
                self.write_header(header.payload_type, header.timestamp, buf);
                buf.extend_from_slice(&self.echoes.bytes[start..start + length]);
                self.count(length);
                return true;
            }
        }
        self.echoes.bytes.clear();
        self.echoes.sent = 0;
        false
    }

    fn write_header(&mut self, payload_type: u8, timestamp: u32, buf: &mut Vec<u8>) {
        let marker = std::mem::take(&mut self.resumes);
        Header { marker, payload_type, sequence: self.sequence, timestamp, ssrc: self.ssrc }.write(buf);
        self.sequence = self.sequence.wrapping_add(1);
    }

    fn count(&mut self, octets: usize) {
        self.total += 1;
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(octets as u32);
    }

    fn point(&self, k: u64) -> Instant {
        self.origin + Duration::from_nanos(self.ptime.as_nanos() as u64 * k)
    }

    /// Moves to the first point that has not passed, without sending those before.
    pub(super) fn follow(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.origin).as_nanos();
        let next = elapsed.div_ceil(self.ptime.as_nanos()) as u64;
        if next > self.next {
            self.next = next;
            self.resumes = true;
        }
    }

    fn timestamp_of(&self, k: u64) -> u32 {
        let (from, timestamp) = self.counted_from;
        timestamp.wrapping_add((k.wrapping_sub(from) as u32).wrapping_mul(self.units))
    }

    /// The media clock at `now`.
    fn timestamp(&self, now: Instant) -> u32 {
        let (from, timestamp) = self.counted_from;
        let from = self.point(from);
        let units = |time: Duration| (time.as_nanos() * u128::from(self.units) / self.ptime.as_nanos()) as u32;
        match now.checked_duration_since(from) {
            Some(elapsed) => timestamp.wrapping_add(units(elapsed)),
            // The next point of the grid, from which a change counts, may be still to come.
            None => timestamp.wrapping_sub(units(from - now)),
        }
    }
}

/// The first moment from `now` on that lies in the leg's phase.
fn first_point(config: &Config, now: Instant) -> Instant {
    let grid = config.clock.at + config.phase;
    match now.checked_duration_since(grid) {
        None => grid,
        Some(past) => {
            let points = past.as_nanos().div_ceil(config.ptime.as_nanos());
            grid + Duration::from_nanos((points * config.ptime.as_nanos()) as u64)
        }
    }
}
