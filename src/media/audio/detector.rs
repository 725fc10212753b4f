//! Finds markers in linear samples, wherever they begin.
//!
//! Every 5 ms the strongest of the sixteen tones in the last 20 ms is noted, with its share of the power there: a
//! share does not depend on the level. Where the noted tones look like a sync, the symbols behind it are read, two
//! windows each, and the CRC decides; the best of several places gives the moment, refined between the 5 ms steps.

use std::f64::consts::TAU;
use std::sync::LazyLock;

use super::marker::{FRAME, LENGTH, Marker, SYMBOL, SYMBOLS, SYNC, TONES};

/// Samples of a step.
const BLOCK: usize = 40;
/// Steps of a window of 20 ms.
const WINDOW_BLOCKS: usize = FRAME / BLOCK;
/// Steps of a symbol and of a marker.
const SYMBOL_BLOCKS: u64 = (SYMBOL / BLOCK) as u64;
const MARKER_BLOCKS: u64 = (LENGTH / BLOCK) as u64;
/// Windows that are remembered: a marker and a little around it.
const KEPT: usize = 128;
/// The least share of the power that makes a tone count.
const LEAST_SHARE: f32 = 0.25;
/// The least sum of the four shares of a sync.
const LEAST_SYNC: f32 = 1.0;
/// Symbols in doubt that are tried both ways.
const DOUBTS: usize = 3;
/// Steps after which no better place for the same marker can come.
const SETTLED: u64 = 6;
/// Energy of a window at −60 dBov.
const SILENT_ENERGY: f32 = FRAME as f32 * 1e-6;

type Sums = [f32; 2 * TONES];

/// A marker and where it began.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// What it says.
    pub marker: Marker,
    /// Its first sample, counted from the first one that was fed.
    pub start: f64,
}

/// The strongest tone of a window.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    tone: u8,
    share: f32,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    block: u64,
    marker: Marker,
    score: f32,
}

/// Looks for markers in one stream.
#[derive(Clone, Debug)]
pub struct Detector {
    /// Cosine and sine sums of the last four blocks, the current one among them.
    sums: [Sums; WINDOW_BLOCKS],
    energy: [f32; WINDOW_BLOCKS],
    /// The block that is being filled, and how far it is.
    block: u64,
    filled: usize,
    /// By the block they begin with, modulo [`KEPT`].
    windows: [Window; KEPT],
    candidate: Option<Candidate>,
}

impl Default for Detector {
    fn default() -> Self {
        Self {
            sums: [[0.0; 2 * TONES]; WINDOW_BLOCKS],
            energy: [0.0; WINDOW_BLOCKS],
            block: 0,
            filled: 0,
            windows: [Window::default(); KEPT],
            candidate: None,
        }
    }
}

impl Detector {
    /// Looks at the next samples, in parts of full scale.
    pub fn feed(&mut self, mut samples: &[f32]) -> Option<Found> {
        let mut found = None;
        while !samples.is_empty() {
            let (now, later) = samples.split_at(samples.len().min(BLOCK - self.filled));
            self.accumulate(now);
            found = self.step(now.len()).or(found);
            samples = later;
        }
        found
    }

    /// Goes on by `samples` of silence.
    pub fn feed_silence(&mut self, mut samples: usize) -> Option<Found> {
        let mut found = None;
        while samples > 0 {
            let now = samples.min(BLOCK - self.filled);
            found = self.step(now).or(found);
            samples -= now;
        }
        found
    }

    /// Samples fed so far.
    pub fn position(&self) -> u64 {
        self.block * BLOCK as u64 + self.filled as u64
    }

    fn accumulate(&mut self, samples: &[f32]) {
        let slot = self.block as usize % WINDOW_BLOCKS;
        // All tones repeat after a frame, so sums of blocks can be added without turning them.
        let rows = &ROWS[slot * BLOCK + self.filled..];
        let (mut sums, mut energy) = (self.sums[slot], self.energy[slot]);
        for (sample, row) in samples.iter().zip(rows) {
            for (sum, factor) in sums.iter_mut().zip(row) {
                *sum += sample * factor;
            }
            energy += sample * sample;
        }
        (self.sums[slot], self.energy[slot]) = (sums, energy);
    }

    fn step(&mut self, samples: usize) -> Option<Found> {
        self.filled += samples;
        if self.filled < BLOCK {
            return None;
        }
        let window_start = self.block.wrapping_sub(WINDOW_BLOCKS as u64 - 1);
        self.windows[window_start as usize % KEPT] = self.window();
        self.filled = 0;
        self.block += 1;
        let slot = self.block as usize % WINDOW_BLOCKS;
        (self.sums[slot], self.energy[slot]) = ([0.0; 2 * TONES], 0.0);
        // One block more than the marker, so that both neighbours of its place are known.
        self.judge(self.block.checked_sub(MARKER_BLOCKS + 1)?)
    }

    fn window(&self) -> Window {
        let energy: f32 = self.energy.iter().sum();
        if energy < SILENT_ENERGY {
            return Window::default();
        }
        let mut sums = self.sums[0];
        for block in &self.sums[1..] {
            sums.iter_mut().zip(block).for_each(|(sum, part)| *sum += part);
        }
        let mut strongest = (0, 0.0);
        for tone in 0..TONES {
            let power = sums[tone] * sums[tone] + sums[TONES + tone] * sums[TONES + tone];
            if power > strongest.1 {
                strongest = (tone, power);
            }
        }
        // A pure tone of amplitude a has the power (80 a)² here and the energy 80 a².
        Window { tone: strongest.0 as u8, share: strongest.1 / (FRAME as f32 / 2.0 * energy) }
    }

    /// Whether a marker begins at `block`; a marker found earlier is given out when no better place can come.
    fn judge(&mut self, block: u64) -> Option<Found> {
        if let Some(candidate) = self.read(block)
            && self.candidate.is_none_or(|so_far| candidate.score > so_far.score)
        {
            self.candidate = Some(candidate);
        }
        let settled = self.candidate.filter(|candidate| block >= candidate.block + SETTLED)?;
        self.candidate = None;
        Some(self.refine(&settled))
    }

    fn read(&self, block: u64) -> Option<Candidate> {
        let sync: [f32; 2] = std::array::from_fn(|i| self.score(block, i, SYNC[i]));
        if sync[0] + sync[1] < LEAST_SYNC || sync.iter().any(|share| *share < LEAST_SHARE) {
            return None;
        }
        let marker = self.data(block)?;
        Some(Candidate { block, marker, score: self.marker_score(block, &marker) })
    }

    /// Reads the symbols behind the sync; where both windows of a symbol are strong and differ, both are tried.
    fn data(&self, block: u64) -> Option<Marker> {
        let mut symbols = [0; SYMBOLS - 2];
        let mut doubts = [(0, 0, 0); DOUBTS];
        let mut doubtful = 0;
        for (i, symbol) in symbols.iter_mut().enumerate() {
            let [mut strong, mut weak] = self.pair(block, i + SYNC.len());
            if weak.share > strong.share {
                std::mem::swap(&mut strong, &mut weak);
            }
            if strong.share < LEAST_SHARE {
                return None;
            }
            *symbol = strong.tone;
            if weak.tone != strong.tone && weak.share > strong.share / 2.0 {
                *doubts.get_mut(doubtful)? = (i, strong.tone, weak.tone);
                doubtful += 1;
            }
        }
        (0..1_u32 << doubtful).find_map(|choice| {
            for (bit, (i, strong, weak)) in doubts[..doubtful].iter().enumerate() {
                symbols[*i] = if choice >> bit & 1 == 0 { *strong } else { *weak };
            }
            Marker::from_symbols(&symbols)
        })
    }

    /// Both windows of a symbol.
    fn pair(&self, block: u64, symbol: usize) -> [Window; 2] {
        let first = block.wrapping_add(symbol as u64 * SYMBOL_BLOCKS);
        [first, first.wrapping_add(WINDOW_BLOCKS as u64)].map(|block| self.windows[block as usize % KEPT])
    }

    /// Shares of the windows of a symbol that agree with `tone`.
    fn score(&self, block: u64, symbol: usize, tone: u8) -> f32 {
        self.pair(block, symbol).iter().filter(|window| window.tone == tone).map(|window| window.share).sum()
    }

    fn marker_score(&self, block: u64, marker: &Marker) -> f32 {
        marker.symbols().iter().enumerate().map(|(i, tone)| self.score(block, i, *tone)).sum()
    }

    /// The score falls by the same slope on both sides of the true place, so three of them show where it is.
    fn refine(&self, candidate: &Candidate) -> Found {
        let Candidate { block, marker, score } = *candidate;
        let before = self.marker_score(block.wrapping_sub(1), &marker);
        let after = self.marker_score(block + 1, &marker);
        let slope = score - before.min(after);
        let shift = if slope > 0.0 { ((after - before) / (2.0 * slope)).clamp(-0.5, 0.5) } else { 0.0 };
        Found { marker, start: (block as f64 + f64::from(shift)) * BLOCK as f64 }
    }
}

/// Cosine and sine of each tone at each sample of a frame.
static ROWS: LazyLock<[Sums; FRAME]> = LazyLock::new(|| {
    std::array::from_fn(|i| {
        let angle = |tone: usize| TAU * Marker::frequency(tone) * i as f64 / 8_000.0;
        std::array::from_fn(|k| if k < TONES { angle(k).cos() } else { angle(k - TONES).sin() } as f32)
    })
});
