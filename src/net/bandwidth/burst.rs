//! The two ends of one burst: who sends it, evenly spread, and who counts what comes.

use std::time::{Duration, Instant};

use super::packet::{DATA, Packet};

/// Between two tellings that a burst is over, and how often that is told where nobody answers.
const END_EVERY: Duration = Duration::from_millis(100);
const ENDS: u8 = 15;

/// How fast packets follow each other, and how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    interval: Duration,
    packets: u32,
}

impl Shape {
    /// Packets with these headers that come to so many kbit/s on the wire for this time.
    pub(super) fn new(kbps: u32, length: Duration, headers: usize) -> Self {
        let bits = 8.0 * (DATA + headers) as f64;
        let interval = Duration::from_secs_f64(bits / (f64::from(kbps.max(1)) * 1e3));
        let packets = (length.as_secs_f64() / interval.as_secs_f64()).ceil() as u32;
        Self { interval, packets }
    }

    /// How long the burst takes: of `n` packets the n-th leaves an interval before that.
    pub(super) fn length(self) -> Duration {
        self.interval * self.packets
    }

    pub(super) fn packets(self) -> u32 {
        self.packets
    }
}

/// Who sends.
#[derive(Debug)]
pub(super) struct Sender {
    number: u64,
    shape: Shape,
    begun: Instant,
    sent: u32,
    ends: u8,
    next_end: Instant,
}

impl Sender {
    pub(super) fn new(number: u64, shape: Shape, now: Instant) -> Self {
        Self { number, shape, begun: now, sent: 0, ends: 0, next_end: now }
    }

    /// When there is something to send; `None` where all was said.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.sent < self.shape.packets {
            true => Some(self.begun + self.shape.interval * self.sent),
            false => (self.ends < ENDS).then_some(self.next_end),
        }
    }

    /// Whether its last packet is sent.
    pub(super) fn has_ended(&self) -> bool {
        self.sent == self.shape.packets
    }

    /// The next packet that is due; false where none is.
    pub(super) fn poll(&mut self, now: Instant, out: &mut Vec<u8>) -> bool {
        if self.due().is_none_or(|due| due > now) {
            return false;
        }
        if self.sent < self.shape.packets {
            Packet::Data(self.sent).write(self.number, out);
            self.sent += 1;
            if self.sent == self.shape.packets {
                self.next_end = now + END_EVERY;
            }
            return true;
        }
        (self.ends, self.next_end) = (self.ends + 1, now + END_EVERY);
        Packet::End(self.sent).write(self.number, out);
        true
    }
}

/// Who counts.
#[derive(Debug)]
pub(super) struct Receiver {
    /// Which packets came.
    seen: Vec<bool>,
    received: u32,
    first: Option<Instant>,
    last: Option<Instant>,
}

impl Receiver {
    pub(super) fn new(shape: Shape) -> Self {
        Self { seen: vec![false; shape.packets as usize], received: 0, first: None, last: None }
    }

    pub(super) fn take(&mut self, arrived: Instant, count: u32) {
        // One that comes twice counts once.
        if let Some(seen) = self.seen.get_mut(count as usize).filter(|seen| !**seen) {
            *seen = true;
            self.received += 1;
            self.first = Some(self.first.map_or(arrived, |first| first.min(arrived)));
            self.last = Some(self.last.map_or(arrived, |last| last.max(arrived)));
        }
    }

    pub(super) fn counts(&self) -> (u32, Duration) {
        let span = self.first.zip(self.last).map(|(first, last)| last.saturating_duration_since(first));
        (self.received, span.unwrap_or_default())
    }

    /// What it tells the sender.
    pub(super) fn result(&self) -> Packet {
        let (received, span) = self.counts();
        Packet::Result { received, span_us: span.as_micros().try_into().unwrap_or(u32::MAX) }
    }
}
