//! The ear of one leg: puts received frames in place, measures their level and looks for markers.
//!
//! There is no jitter buffer: what is missing when a later frame comes is heard as silence, and a late frame is not
//! heard. Listening by timestamps keeps markers whole over losses.

use std::time::{Duration, Instant};

use crate::media::codec::{Codec, g711};
use crate::media::level::{self, Meter};

use super::detector::Detector;
use super::marker::Marker;

/// More than this is missing: only so much is filled with silence, samples.
const LONGEST_FILL: u32 = 4_000;
/// Packets whose arrival is averaged: about the length of a marker.
const ARRIVALS: usize = 16;
/// Time of a sample, ns.
const SAMPLE_NS: f64 = 125_000.0;

/// A marker that was heard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sighting {
    /// What it says.
    pub marker: Marker,
    /// When its first sample arrived.
    pub at: Instant,
}

/// Listens to one direction of one leg.
#[derive(Clone, Debug)]
pub struct Listener {
    detector: Detector,
    next_timestamp: Option<u32>,
    origin: Instant,
    /// Arrival of the last packets against an even flow from the origin on, ns.
    offsets: [f64; ARRIVALS],
    arrivals: usize,
    meter: Meter,
    second: Meter,
}

impl Listener {
    /// Begins to listen.
    pub fn new(now: Instant) -> Self {
        Self {
            detector: Detector::default(),
            next_timestamp: None,
            origin: now,
            offsets: [0.0; ARRIVALS],
            arrivals: 0,
            meter: Meter::default(),
            second: Meter::default(),
        }
    }

    /// Hears a frame that is neither late nor a duplicate.
    pub fn hear(&mut self, arrived: Instant, codec: Codec, timestamp: u32, coded: &[u8]) -> Option<Sighting> {
        let before = self.fill(timestamp);
        self.next_timestamp = Some(timestamp.wrapping_add(coded.len() as u32));
        self.note_arrival(arrived);
        let power = level::power(codec, coded);
        self.meter.add(power, coded.len());
        self.second.add(power, coded.len());
        let found =
            if level::is_silent(power) { self.detector.feed_silence(coded.len()) } else { self.listen(codec, coded) };
        found.or(before).map(|found| Sighting { marker: found.marker, at: self.moment(found.start) })
    }

    /// Levels since the beginning.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Mean active level since this was last asked, dBov; `None` where nothing was decoded.
    pub fn take_level(&mut self) -> Option<f64> {
        std::mem::take(&mut self.second).level_dbov()
    }

    fn fill(&mut self, timestamp: u32) -> Option<super::Found> {
        let missing = timestamp.wrapping_sub(self.next_timestamp?);
        // A timestamp that stands still or goes back is the sender's; its frames follow each other all the same.
        let forward = missing.cast_signed() > 0;
        if forward { self.detector.feed_silence(missing.min(LONGEST_FILL) as usize) } else { None }
    }

    fn note_arrival(&mut self, arrived: Instant) {
        let elapsed = arrived.saturating_duration_since(self.origin).as_nanos() as f64;
        self.offsets[self.arrivals % ARRIVALS] = elapsed - self.detector.position() as f64 * SAMPLE_NS;
        self.arrivals += 1;
    }

    fn listen(&mut self, codec: Codec, coded: &[u8]) -> Option<super::Found> {
        let table = g711::linear_table(codec);
        let mut linear = [0.0; 160];
        let mut found = None;
        for piece in coded.chunks(linear.len()) {
            for (sample, byte) in linear.iter_mut().zip(piece) {
                *sample = table[usize::from(*byte)];
            }
            found = self.detector.feed(&linear[..piece.len()]).or(found);
        }
        found
    }

    /// When a sample arrived, by the mean of the last arrivals.
    fn moment(&self, sample: f64) -> Instant {
        let known = self.arrivals.min(ARRIVALS);
        let offset = self.offsets[..known].iter().sum::<f64>() / known.max(1) as f64;
        let nanos = (sample * SAMPLE_NS + offset).max(0.0);
        self.origin + Duration::from_nanos(nanos as u64)
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any moment will do as a start")]
mod tests;
