//! What arrived while video was to come: from it are the rates, and how long the first frame took.

use std::time::{Duration, Instant};

/// What arrived and could be meant for us.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Received {
    /// Payload bytes, and frames that came whole.
    bytes: u64,
    frames: u64,
    /// Since when video is to come, while it is.
    expected_since: Option<Instant>,
    /// How long it was to come before.
    expected: Duration,
    /// From when on something was to come until the first frame was shown.
    first_shown: Option<Duration>,
    /// When the last packet arrived, since video is to come.
    last: Option<Instant>,
    /// Times from packet to packet together, and how many stretches of them there are.
    flowing: Duration,
    stretches: u32,
}

impl Received {
    pub(super) fn new(now: Instant, expected: bool) -> Self {
        Self { expected_since: expected.then_some(now), ..Self::default() }
    }

    /// Whether video is to come from now on; a new stretch begins in any case.
    pub(super) fn expect(&mut self, now: Instant, expected: bool) {
        self.last = None;
        let since = std::mem::replace(&mut self.expected_since, expected.then_some(now));
        if let Some(since) = since {
            self.expected += now.saturating_duration_since(since);
        }
    }

    /// Whether video is to come. What was under way when it was switched off says nothing of its pace.
    pub(super) fn is_expected(&self) -> bool {
        self.expected_since.is_some()
    }

    /// A packet came, of so many bytes of payload.
    pub(super) fn add(&mut self, arrived: Instant, bytes: usize) {
        if !self.is_expected() {
            return;
        }
        self.bytes += bytes as u64;
        match self.last.replace(arrived) {
            Some(last) => self.flowing += arrived.saturating_duration_since(last),
            None => self.stretches += 1,
        }
    }

    /// So many frames came whole.
    pub(super) fn add_frames(&mut self, frames: u64) {
        if self.is_expected() {
            self.frames += frames;
        }
    }

    /// A frame could be shown.
    pub(super) fn show(&mut self, at: Instant) {
        if let Some(since) = self.expected_since {
            let waited = at.saturating_duration_since(since) + self.expected;
            self.first_shown.get_or_insert(waited);
        }
    }

    /// For how long video was to come.
    pub(super) fn expected(&self, now: Instant) -> Duration {
        self.expected + self.expected_since.map(|since| now.saturating_duration_since(since)).unwrap_or_default()
    }

    /// How long the first frame took.
    pub(super) fn first_shown(&self) -> Option<Duration> {
        self.first_shown
    }

    /// Frames that came whole, a second.
    pub(super) fn fps(&self) -> Option<f64> {
        // The first frame of a stretch begins the time that is counted.
        self.per_second(self.frames.saturating_sub(self.stretches.into()) as f64)
    }

    /// Payload, kbit/s.
    pub(super) fn kbps(&self) -> Option<f64> {
        self.per_second(self.bytes as f64 * 8.0 / 1_000.0)
    }

    fn per_second(&self, count: f64) -> Option<f64> {
        let flowing = self.flowing.as_secs_f64();
        (flowing > 0.0).then(|| count / flowing)
    }
}
