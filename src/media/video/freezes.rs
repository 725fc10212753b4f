//! How often and for how long the picture stood still.
//!
//! As `freezeCount` and `totalFreezesDuration` of W3C's Identifiers for WebRTC's Statistics API: a freeze is a time between
//! two frames shown that reaches max(3·m, m + 150 ms), where m is the mean of the last 30 such times. Differences: a frame
//! counts as shown when it has arrived whole, since nothing is decoded or buffered here; before the fifth time there is no mean
//! to go by; and a picture that stands still at the end counts, although no further frame tells.

use std::time::{Duration, Instant};

/// Times that make the mean.
const WINDOW: usize = 30;
/// Fewer than these are no mean.
const LEAST: usize = 5;
const MORE: Duration = Duration::from_millis(150);

/// Times between frames.
#[derive(Clone, Debug, Default)]
pub struct Freezes {
    last: Option<Instant>,
    /// The last times, µs; the place of the oldest once there are enough.
    times_us: Vec<u32>,
    oldest: usize,
    count: u32,
    total: Duration,
}

impl Freezes {
    /// A frame was shown.
    pub fn add(&mut self, at: Instant) {
        if let Some(last) = self.last.replace(at) {
            let time = at.saturating_duration_since(last);
            if self.is_freeze(time) {
                self.count += 1;
                self.total += time;
            }
            self.note(time);
        }
    }

    /// What stood still until now was meant to: video was switched off, or on hold.
    pub fn pause(&mut self) {
        self.last = None;
    }

    /// Number and length of the freezes, that of now included.
    pub fn until(&self, now: Instant) -> (u32, Duration) {
        let standing = self.last.map(|last| now.saturating_duration_since(last)).filter(|time| self.is_freeze(*time));
        standing.map_or((self.count, self.total), |time| (self.count + 1, self.total + time))
    }

    fn is_freeze(&self, time: Duration) -> bool {
        if self.times_us.len() < LEAST {
            return false;
        }
        let sum: u64 = self.times_us.iter().copied().map(u64::from).sum();
        let mean = Duration::from_micros(sum / self.times_us.len() as u64);
        time >= (mean * 3).max(mean + MORE)
    }

    fn note(&mut self, time: Duration) {
        let time = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        if self.times_us.len() < WINDOW {
            self.times_us.push(time);
        } else {
            self.times_us[self.oldest] = time;
            self.oldest = (self.oldest + 1) % WINDOW;
        }
    }
}
