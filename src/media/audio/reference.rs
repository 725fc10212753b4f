//! Coded reference audio, frame by frame, out of shared tables.

use std::f64::consts::TAU;
use std::sync::LazyLock;

use crate::media::codec::{Codec, g711};

use super::marker::{FRAME, LENGTH, Marker, START, SYMBOL, SYMBOLS, TONES};
use super::{LEVEL_DBOV, PERIOD, speech};

const RATE: f64 = 8_000.0;
/// Level of the tone source, dBov.
const TONE_DBOV: f64 = -16.0;
const TONE_HZ: f64 = 440.0;
/// 44 whole cycles of the tone.
const TONE_LOOP: usize = 800;

/// Where one leg stands in its reference audio.
#[derive(Clone, Debug, Default)]
pub struct Reference {
    /// Samples given so far.
    position: u64,
    /// Tones of the marker that is being sent.
    symbols: [u8; SYMBOLS],
}

/// A marker began in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkerStart {
    /// Its sequence number.
    pub sequence: u8,
    /// Where in the frame it begins, samples.
    pub offset: usize,
}

/// Where one leg stands in the tone.
#[derive(Clone, Debug, Default)]
pub struct Tone {
    position: usize,
}

impl Reference {
    /// Appends the next `samples` coded samples. `marker` is asked for the marker that begins in them, if one does.
    pub fn fill(
        &mut self,
        codec: Codec,
        samples: usize,
        marker: impl FnOnce(u8) -> Marker,
        out: &mut Vec<u8>,
    ) -> Option<MarkerStart> {
        let started = self.marker_start(samples);
        if let Some(MarkerStart { sequence, .. }) = started {
            self.symbols = marker(sequence).symbols();
        }
        let end = self.position + samples as u64;
        while self.position < end {
            let piece = self.piece(codec, (end - self.position) as usize);
            self.position += piece.len() as u64;
            out.extend_from_slice(piece);
        }
        started
    }

    fn marker_start(&self, samples: usize) -> Option<MarkerStart> {
        let offset = (START as u64 + PERIOD - self.position % PERIOD) % PERIOD;
        let sequence = ((self.position + offset) / PERIOD % 16) as u8;
        (offset < samples as u64).then_some(MarkerStart { sequence, offset: offset as usize })
    }

    /// The longest stretch from here that lies in one table, at most `limit` samples.
    fn piece(&self, codec: Codec, limit: usize) -> &'static [u8] {
        let tables = &TABLES[codec as usize];
        let within = (self.position % PERIOD) as usize;
        let (table, at, end) = if (START..START + LENGTH).contains(&within) {
            let tone = usize::from(self.symbols[(within - START) / SYMBOL]);
            let at = (within - START) % FRAME;
            (tables.tones[tone].as_slice(), at, FRAME)
        } else {
            let at = (self.position % tables.speech.len() as u64) as usize;
            let left = if within < START { START - within } else { PERIOD as usize - within };
            (tables.speech.as_slice(), at, at + left)
        };
        &table[at..end.min(at + limit)]
    }
}

impl Tone {
    /// Appends the next `samples` coded samples.
    pub fn fill(&mut self, codec: Codec, samples: usize, out: &mut Vec<u8>) {
        let tone = &TABLES[codec as usize].tone;
        out.extend((0..samples).map(|i| tone[(self.position + i) % TONE_LOOP]));
        self.position = (self.position + samples) % TONE_LOOP;
    }
}

struct Tables {
    speech: Vec<u8>,
    tones: [[u8; FRAME]; TONES],
    tone: [u8; TONE_LOOP],
}

static TABLES: LazyLock<[Tables; 2]> = LazyLock::new(|| {
    let speech = speech::speech();
    [Codec::Pcmu, Codec::Pcma].map(|codec| Tables {
        speech: speech.iter().map(|sample| g711::encode_sample(codec, *sample)).collect(),
        tones: std::array::from_fn(|tone| sine(codec, Marker::frequency(tone), LEVEL_DBOV)),
        tone: sine(codec, TONE_HZ, TONE_DBOV),
    })
});

fn sine<const N: usize>(codec: Codec, frequency: f64, dbov: f64) -> [u8; N] {
    let amplitude = 32_768.0 * std::f64::consts::SQRT_2 * 10_f64.powf(dbov / 20.0);
    std::array::from_fn(|i| {
        g711::encode_sample(codec, (amplitude * (TAU * frequency * i as f64 / RATE).sin()).round() as i16)
    })
}

#[cfg(test)]
mod tests {
    use crate::media::level;

    use super::*;

    fn marker(sequence: u8) -> Marker {
        Marker { id: 0x1234, sequence, hears: 0 }
    }

    #[test]
    fn any_frame_length_gives_the_same_audio() {
        let whole = |samples: usize| {
            let (mut reference, mut out) = (Reference::default(), Vec::new());
            while out.len() < 40_000 {
                reference.fill(Codec::Pcma, samples, marker, &mut out);
            }
            out.truncate(40_000);
            out
        };
        assert!(whole(160) == whole(240) && whole(160) == whole(80));
    }

    #[test]
    fn markers_begin_every_second_and_count() {
        let (mut reference, mut out) = (Reference::default(), Vec::new());
        let starts: Vec<(usize, MarkerStart)> =
            (0..150).filter_map(|frame| Some((frame, reference.fill(Codec::Pcmu, 160, marker, &mut out)?))).collect();
        let at = |sequence| MarkerStart { sequence, offset: 0 };
        assert_eq!(starts, [(5, at(0)), (55, at(1)), (105, at(2))]);
    }

    #[test]
    fn reference_and_tone_have_the_documented_levels() {
        for codec in Codec::ALL {
            let (mut reference, mut out) = (Reference::default(), Vec::new());
            reference.fill(codec, 32_000, marker, &mut out);
            let measured = level::dbov(level::power(codec, &out));
            assert!((measured - LEVEL_DBOV).abs() < 0.5, "{measured}");
            out.clear();
            Tone::default().fill(codec, 1_600, &mut out);
            assert!((level::dbov(level::power(codec, &out)) - TONE_DBOV).abs() < 0.1);
        }
    }
}
