//! The ear of one leg: puts received frames in place, measures their level and looks for markers.
//!
//! There is no jitter buffer: what is missing when a later frame comes is heard as silence, or as the codec conceals it
//! ([`Decoder::conceal`]), and a late frame is not heard. Listening by timestamps keeps markers whole over losses.

use std::time::{Duration, Instant};

use crate::media::codec::g711::{self, Law};
use crate::media::codec::{Codec, Decoder, LONGEST};
use crate::media::dtmf::{self, Keys};
use crate::media::level::{self, Meter};

use super::detector::Detector;
use super::marker::Marker;

/// More than this is missing: only so much is filled with silence, samples.
const LONGEST_FILL: u32 = 4_000;
/// So much may be missing within a key, samples: a packet of 20 ms. More may have been the pause between two.
const LONGEST_LOSS: u32 = 160;
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
#[derive(Debug)]
pub struct Listener {
    detector: Detector,
    /// Listens for keys, where that is asked for.
    keys: Option<Box<dtmf::Detector>>,
    decoder: Decoder,
    /// Codec of the last frame, and the timestamp after it.
    next: Option<(Codec, u32)>,
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
            keys: None,
            decoder: Decoder::default(),
            next: None,
            origin: now,
            offsets: [0.0; ARRIVALS],
            arrivals: 0,
            meter: Meter::default(),
            second: Meter::default(),
        }
    }

    /// Hears a frame that is neither late nor a duplicate.
    pub fn hear(&mut self, arrived: Instant, codec: Codec, timestamp: u32, coded: &[u8]) -> Option<Sighting> {
        let before = self.fill(codec, timestamp, coded);
        self.note_arrival(arrived);
        let (samples, found) = match codec.law() {
            Some(law) => (coded.len(), self.hear_g711(law, coded)),
            None => self.hear_frame(codec, coded),
        };
        self.next = Some((codec, timestamp.wrapping_add(samples as u32 * codec.units_per_sample())));
        found.or(before).map(|found| Sighting { marker: found.marker, at: self.moment(found.start) })
    }

    /// Listens for keys as well from now on.
    pub fn listen_for_keys(&mut self) {
        self.keys.get_or_insert_default();
    }

    /// Whether it listens for keys.
    pub fn listens_for_keys(&self) -> bool {
        self.keys.is_some()
    }

    /// Keys that were recognised since this was last asked.
    pub fn take_keys(&mut self) -> Keys {
        self.keys.as_mut().map(|keys| keys.take()).unwrap_or_default()
    }

    /// Levels since the beginning.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Mean active level since this was last asked, dBov; `None` where nothing was decoded.
    pub fn take_level(&mut self) -> Option<f64> {
        std::mem::take(&mut self.second).level_dbov()
    }

    /// Goes on over what is missing before a frame.
    fn fill(&mut self, codec: Codec, timestamp: u32, coded: &[u8]) -> Option<super::Found> {
        // Timestamps of another clock say nothing about the gap.
        let (_, next) = self.next.filter(|(before, _)| before.clock_rate() == codec.clock_rate())?;
        let missing = timestamp.wrapping_sub(next);
        // A timestamp that stands still or goes back is the sender's; its frames follow each other all the same.
        if missing.cast_signed() <= 0 {
            return None;
        }
        let missing = missing / codec.units_per_sample();
        let mut linear = [0.0; LONGEST];
        match self.decoder.conceal(codec, missing as usize, coded, &mut linear) {
            Some(samples) => self.detect(&linear[..samples]),
            None => {
                self.miss_for_keys(missing);
                self.detector.feed_silence(missing.min(LONGEST_FILL) as usize)
            }
        }
    }

    /// What is missing may be loss, which ends no key, or a pause of the sender, which does.
    fn miss_for_keys(&mut self, missing: u32) {
        let Some(keys) = &mut self.keys else { return };
        if missing <= LONGEST_LOSS { keys.skip() } else { keys.feed_silence(missing as usize) }
    }

    fn detect(&mut self, linear: &[f32]) -> Option<super::Found> {
        if let Some(keys) = &mut self.keys {
            keys.feed(linear);
        }
        self.detector.feed(linear)
    }

    fn detect_silence(&mut self, samples: usize) -> Option<super::Found> {
        if let Some(keys) = &mut self.keys {
            keys.feed_silence(samples);
        }
        self.detector.feed_silence(samples)
    }

    fn note_arrival(&mut self, arrived: Instant) {
        let elapsed = arrived.saturating_duration_since(self.origin).as_nanos() as f64;
        self.offsets[self.arrivals % ARRIVALS] = elapsed - self.detector.position() as f64 * SAMPLE_NS;
        self.arrivals += 1;
    }

    /// The level of G.711 is known by table, and silence need not be decoded.
    fn hear_g711(&mut self, law: Law, coded: &[u8]) -> Option<super::Found> {
        let power = level::coded_power(law, coded);
        self.measure(power, coded.len());
        if level::is_silent(power) {
            return self.detect_silence(coded.len());
        }
        let mut linear = [0.0; 160];
        let mut found = None;
        for piece in coded.chunks(linear.len()) {
            let samples = g711::decode(law, piece, &mut linear);
            found = self.detect(&linear[..samples]).or(found);
        }
        found
    }

    /// A frame of a codec that has to be decoded to be known, and how many samples it came to.
    fn hear_frame(&mut self, codec: Codec, coded: &[u8]) -> (usize, Option<super::Found>) {
        let mut linear = [0.0; LONGEST];
        let samples = self.decoder.decode(codec, coded, &mut linear);
        let heard = &linear[..samples];
        let power = level::power(heard);
        self.measure(power, samples);
        let silent = level::is_silent(power);
        (samples, if silent { self.detect_silence(samples) } else { self.detect(heard) })
    }

    fn measure(&mut self, power: f64, samples: usize) {
        self.meter.add(power, samples);
        self.second.add(power, samples);
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
