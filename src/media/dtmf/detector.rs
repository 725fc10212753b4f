//! Keys in decoded audio: the power at each of the eight frequencies in blocks of 12.75 ms, by Goertzel's algorithm.
//!
//! A block has a key where one tone of each group is strong, alike enough, and both together are nearly all that sounds
//! there: speech and music have more in them. Two such blocks in a row are a key, so that 40 ms of one are always enough and
//! 17 ms never are; three without it in a row end it, which 40 ms of a pause always have (ITU-T Q.24 and its
//! Annex A). Lost audio neither makes nor ends a key.

use std::f64::consts::TAU;
use std::sync::LazyLock;

use crate::media::codec::LISTENING_RATE;

use super::tones::{HIGH, LOW, amplitude, key_at};
use super::{Key, Keys};

/// Samples of a block: as few as tell 697 from 770 Hz.
const BLOCK: usize = 102;
/// Blocks in a row that make a key, and those that end it.
const MAKE: u8 = 2;
const END: u8 = 3;
/// The weakest tone, dBm0: that of Q.24 has −36 at most, and a frequency that is off or a block that is cut takes some.
const WEAKEST_DBM0: f64 = -39.0;
/// By how much the tone of the high group may be the stronger one, 4 dB, and that of the low group, 8 dB (Q.24, Annex A: as lines
/// in North America have it, which is wider than others).
const HIGH_STRONGER: f32 = 2.512;
const LOW_STRONGER: f32 = 6.31;
/// By how much a tone stands out in its group, 8 dB.
const STANDS_OUT: f32 = 6.31;
/// The least share of all power that both tones have. Frequencies 1.5 % off still have it, those 3.5 % off do not.
const LEAST_SHARE: f32 = 0.77;

/// Listens for keys in one stream.
#[derive(Clone, Debug, Default)]
pub struct Detector {
    /// Goertzel's last two values for each frequency, low group first.
    last: [f32; 8],
    before: [f32; 8],
    energy: f32,
    filled: usize,
    /// The key of the blocks that came last, and how many of them had it.
    candidate: Option<(Key, u8)>,
    /// The key that sounds, and blocks without it since.
    sounds: Option<(Key, u8)>,
    /// Keys that were recognised and not taken.
    told: Keys,
}

impl Detector {
    /// Listens to the next samples, in parts of full scale.
    pub fn feed(&mut self, mut samples: &[f32]) {
        while !samples.is_empty() {
            let (now, later) = samples.split_at(samples.len().min(BLOCK - self.filled));
            self.accumulate(now);
            samples = later;
            if self.filled == BLOCK {
                self.judge();
            }
        }
    }

    /// Goes on by samples of silence.
    pub fn feed_silence(&mut self, samples: usize) {
        let blocks = (self.filled + samples) / BLOCK;
        let rest = (self.filled + samples) % BLOCK;
        for block in 0..blocks.min(usize::from(END) + 1) {
            // What had sounded of the block counts, with silence behind it.
            let left = if block == 0 { BLOCK - self.filled } else { 0 };
            self.accumulate(&[0.0; BLOCK][..left]);
            self.judge();
        }
        if blocks > 0 {
            self.filled = rest;
        } else {
            self.accumulate(&[0.0; BLOCK][..samples]);
        }
    }

    /// Audio is missing here: the block that it is in says nothing.
    pub fn skip(&mut self) {
        self.clear();
    }

    /// The keys that were recognised since this was last asked.
    pub fn take(&mut self) -> Keys {
        std::mem::take(&mut self.told)
    }

    fn accumulate(&mut self, samples: &[f32]) {
        let (mut last, mut before, mut energy) = (self.last, self.before, self.energy);
        for sample in samples {
            for i in 0..8 {
                let value = COEFFICIENTS[i] * last[i] - before[i] + sample;
                (before[i], last[i]) = (last[i], value);
            }
            energy += sample * sample;
        }
        (self.last, self.before, self.energy) = (last, before, energy);
        self.filled += samples.len();
    }

    /// A block is whole.
    fn judge(&mut self) {
        let seen = self.seen();
        self.clear();
        if let Some((key, missed)) = &mut self.sounds {
            *missed = if seen == Some(*key) { 0 } else { *missed + 1 };
            if *missed >= END {
                self.sounds = None;
            }
        }
        let times = match (seen, self.candidate) {
            (Some(key), Some((before, times))) if key == before => times.saturating_add(1),
            _ => 1,
        };
        self.candidate = seen.map(|key| (key, times));
        let sounding = self.sounds.map(|(key, _)| key);
        if let Some(key) = seen.filter(|key| times >= MAKE && sounding != Some(*key)) {
            self.sounds = Some((key, 0));
            self.told.push(key);
        }
    }

    fn clear(&mut self) {
        (self.last, self.before) = ([0.0; 8], [0.0; 8]);
        (self.energy, self.filled) = (0.0, 0);
    }

    /// The key of the block.
    fn seen(&self) -> Option<Key> {
        let power = |i: usize| {
            let (last, before) = (self.last[i], self.before[i]);
            last * last + before * before - COEFFICIENTS[i] * last * before
        };
        let powers: [f32; 8] = std::array::from_fn(power);
        let (low, high) = powers.split_at(4);
        let (row, low) = strongest(low)?;
        let (column, high) = strongest(high)?;
        let alike = high <= low * HIGH_STRONGER && low <= high * LOW_STRONGER;
        // A sine of amplitude a has the power (51 a)² here and the energy 51 a².
        let share = (low + high) / (BLOCK as f32 / 2.0 * self.energy);
        (low.min(high) >= *WEAKEST && alike && share >= LEAST_SHARE).then(|| key_at(row, column))?
    }
}

/// The strongest of a group, where it stands out.
fn strongest(powers: &[f32]) -> Option<(usize, f32)> {
    let (at, most) = powers.iter().copied().enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b))?;
    let others = || powers.iter().enumerate().filter(|(other, _)| *other != at);
    others().all(|(_, power)| most > power * STANDS_OUT).then_some((at, most))
}

/// 2 cos ω of each frequency.
static COEFFICIENTS: LazyLock<[f32; 8]> = LazyLock::new(|| {
    let frequency = |i: usize| if i < 4 { LOW[i] } else { HIGH[i - 4] };
    std::array::from_fn(|i| (2.0 * (TAU * frequency(i) / f64::from(LISTENING_RATE)).cos()) as f32)
});

static WEAKEST: LazyLock<f32> = LazyLock::new(|| (BLOCK as f64 / 2.0 * amplitude(WEAKEST_DBM0)).powi(2) as f32);

#[cfg(test)]
mod tests;
