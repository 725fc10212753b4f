//! What a stream of video sends: frames on an absolute grid, or echoes on arrival.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{VideoConfig, VideoSource};
use crate::media::rtcp::SenderInfo;
use crate::media::rtp::Header;
use crate::media::seed::Seeded;
use crate::media::video::{CLOCK_RATE, Picture, Pictures};

/// Frames that are late by more than this are not made up for.
const LATEST: Duration = Duration::from_secs(1);
/// Echoes that may wait between two turns.
const MOST_ECHOES: usize = 512;
/// Who cannot ask for a key frame gets one this often.
const UNASKED: Duration = Duration::from_secs(5);

/// The sending side.
#[derive(Debug)]
pub(super) struct Outgoing {
    ssrc: u32,
    /// Of the next packet.
    sequence: u16,
    pictures: Pictures,
    /// The moment that frames are counted from, and its timestamp.
    origin: Instant,
    origin_timestamp: u32,
    /// The next frame, counted from there.
    next: u64,
    /// The next frame has to be a key frame.
    key: bool,
    last_key: Option<Instant>,
    /// Packets of the frame at hand, or echoes, with their headers.
    waiting: VecDeque<(Header, Vec<u8>)>,
    /// The source that is echoed, and what its timestamps and numbers differ from ours by.
    echoed: Option<(u32, u32, u16)>,
    packets: u32,
    octets: u32,
    total: u64,
    frames: u64,
    keys: u64,
}

impl Outgoing {
    pub(super) fn new(config: &VideoConfig, seeded: &mut Seeded, now: Instant) -> Self {
        let random = seeded.next_u64();
        Self {
            ssrc: random as u32,
            // RFC 3711 §3.3.1: far from the edge.
            sequence: (random >> 32) as u16 & 0x7FFF,
            pictures: Pictures::new(config.codec, config.single_nal),
            origin: now + config.phase,
            origin_timestamp: seeded.next_u64() as u32,
            next: 0,
            key: true,
            last_key: None,
            waiting: VecDeque::new(),
            echoed: None,
            packets: 0,
            octets: 0,
            total: 0,
            frames: 0,
            keys: 0,
        }
    }

    pub(super) fn ssrc(&self) -> u32 {
        self.ssrc
    }

    pub(super) fn first_point(&self) -> Instant {
        self.origin
    }

    /// Packets, frames and key frames sent.
    pub(super) fn counts(&self) -> (u64, u64, u64) {
        (self.total, self.frames, self.keys)
    }

    /// The next frame is to be a key frame.
    pub(super) fn want_key(&mut self) {
        self.key = true;
    }

    /// Nothing more is sent.
    pub(super) fn stop(&mut self) {
        self.waiting.clear();
    }

    /// What is sent may have changed: the codec, the picture, or whether anything is.
    pub(super) fn renew(&mut self, before: &VideoConfig, config: &VideoConfig, now: Instant) {
        if (before.codec, before.single_nal) != (config.codec, config.single_nal) {
            self.pictures = Pictures::new(config.codec, config.single_nal);
            self.key = true;
        }
        if before.send != config.send || before.direction.sends() != config.direction.sends() {
            self.waiting.clear();
            (self.echoed, self.key) = (None, true);
            // Frames are counted from here on, at their own pace.
            self.origin_timestamp = self.timestamp(now);
            (self.origin, self.next) = (now, 0);
        }
    }

    /// When the next frame is due.
    pub(super) fn deadline(&self, config: &VideoConfig) -> Option<Instant> {
        picture_of(config).map(|picture| self.point(&picture, self.next))
    }

    /// There is nowhere to send to: frames that are due are passed over.
    pub(super) fn skip(&mut self, config: &VideoConfig, now: Instant) {
        self.waiting.clear();
        if let Some(picture) = picture_of(config) {
            self.follow(&picture, now);
        }
    }

    /// Writes the next packet that is due, if one is.
    pub(super) fn poll(&mut self, config: &VideoConfig, now: Instant, buf: &mut Vec<u8>) -> bool {
        if let (true, Some(picture)) = (self.waiting.is_empty(), picture_of(config)) {
            if now.saturating_duration_since(self.point(&picture, self.next)) > LATEST {
                self.follow(&picture, now);
            }
            if self.point(&picture, self.next) <= now {
                self.make(config, &picture, now);
            }
        }
        let Some((header, payload)) = self.waiting.pop_front() else { return false };
        header.write(buf);
        buf.extend_from_slice(&payload);
        self.total += 1;
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(payload.len() as u32);
        true
    }

    /// Keeps a payload to send it back at once; false where too many wait. A number that is missing on the way here is
    /// missing on the way back, so that the sender sees it.
    pub(super) fn echo(&mut self, now: Instant, header: &Header, payload: &[u8]) -> bool {
        if self.waiting.len() >= MOST_ECHOES {
            return false;
        }
        let (timestamps, numbers) = match self.echoed {
            Some((ssrc, timestamps, numbers)) if ssrc == header.ssrc => (timestamps, numbers),
            _ => (self.timestamp(now).wrapping_sub(header.timestamp), self.sequence.wrapping_sub(header.sequence)),
        };
        self.echoed = Some((header.ssrc, timestamps, numbers));
        let (timestamp, sequence) = (header.timestamp.wrapping_add(timestamps), header.sequence.wrapping_add(numbers));
        // Another source goes on behind all of this one.
        if (sequence.wrapping_sub(self.sequence) as i16) >= 0 {
            self.sequence = sequence.wrapping_add(1);
        }
        self.frames += u64::from(header.marker);
        self.waiting.push_back((Header { timestamp, sequence, ssrc: self.ssrc, ..*header }, payload.to_vec()));
        true
    }

    /// The sender information for a report sent now.
    pub(super) fn info(&self, config: &VideoConfig, now: Instant) -> Option<SenderInfo> {
        (self.packets > 0).then(|| SenderInfo {
            ntp: config.clock.ntp(now),
            rtp_timestamp: self.timestamp(now),
            packets: self.packets,
            octets: self.octets,
        })
    }

    /// Makes the packets of the frame that is due.
    fn make(&mut self, config: &VideoConfig, picture: &Picture, now: Instant) {
        let can_ask = config.feedback.pli || config.feedback.fir;
        let unasked = self.last_key.is_none_or(|last| now >= last + UNASKED) && !can_ask;
        let key = std::mem::take(&mut self.key) || unasked;
        if key {
            self.last_key = Some(now);
            self.keys += 1;
        }
        let mut payloads = VecDeque::new();
        self.pictures.next(picture, key, &mut payloads);
        let timestamp = self.timestamp_of(picture, self.next);
        while let Some(payload) = payloads.pop_front() {
            let header = Header {
                marker: payloads.is_empty(),
                payload_type: config.payload_type,
                sequence: self.sequence,
                timestamp,
                ssrc: self.ssrc,
            };
            self.sequence = self.sequence.wrapping_add(1);
            self.waiting.push_back((header, payload));
        }
        self.frames += 1;
        self.next += 1;
    }

    fn point(&self, picture: &Picture, k: u64) -> Instant {
        self.origin + Duration::from_nanos(k * 1_000_000_000 / u64::from(picture.fps.max(1)))
    }

    fn timestamp_of(&self, picture: &Picture, k: u64) -> u32 {
        self.origin_timestamp.wrapping_add((k * u64::from(CLOCK_RATE) / u64::from(picture.fps.max(1))) as u32)
    }

    /// Moves to the first frame that is not due yet.
    fn follow(&mut self, picture: &Picture, now: Instant) {
        let elapsed = now.saturating_duration_since(self.origin).as_nanos();
        let passed = (elapsed * u128::from(picture.fps.max(1))).div_ceil(1_000_000_000) as u64;
        self.next = self.next.max(passed);
    }

    /// The media clock at `now`.
    fn timestamp(&self, now: Instant) -> u32 {
        let units = |time: Duration| (time.as_nanos() * u128::from(CLOCK_RATE) / 1_000_000_000) as u32;
        match now.checked_duration_since(self.origin) {
            Some(elapsed) => self.origin_timestamp.wrapping_add(units(elapsed)),
            None => self.origin_timestamp.wrapping_sub(units(self.origin - now)),
        }
    }
}

/// What is sent of our own.
fn picture_of(config: &VideoConfig) -> Option<Picture> {
    match config.send {
        VideoSource::Picture(picture) if config.direction.sends() => Some(picture),
        _ => None,
    }
}
