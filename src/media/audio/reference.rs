//! Coded reference audio, frame by frame, out of shared tables: of G.711 sample by sample, of other codecs in the frames
//! of [`frames`](super::frames).

use std::sync::LazyLock;

use crate::media::codec::Codec;
use crate::media::codec::g711::{self, Law};

use super::frames::{self, Frames};
use super::marker::{FRAME, LENGTH, Marker, START, SYMBOL, SYMBOLS, TONES};
use super::{LEVEL_DBOV, PERIOD, TONE_DBOV, TONE_HZ, TONE_LOOP, sine, speech};

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
    /// Appends the next `samples` (at the listening rate), coded. `marker` is asked for the marker that begins in them, if
    /// one does. Codecs other than G.711 give whole frames of 160 samples.
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
            let (piece, length) = match codec.law() {
                Some(law) => {
                    let piece = self.piece(law, (end - self.position) as usize);
                    (piece, piece.len())
                }
                None => (self.frame(frames::of(codec)), FRAME),
            };
            self.position += length as u64;
            out.extend_from_slice(piece);
        }
        started
    }

    fn marker_start(&self, samples: usize) -> Option<MarkerStart> {
        let offset = (START as u64 + PERIOD - self.position % PERIOD) % PERIOD;
        let sequence = ((self.position + offset) / PERIOD % 16) as u8;
        (offset < samples as u64).then_some(MarkerStart { sequence, offset: offset as usize })
    }

    /// The frame that begins here.
    fn frame(&self, frames: &'static Frames) -> &'static [u8] {
        let within = (self.position % PERIOD) as usize;
        let symbol = within.checked_sub(START).map(|into| into / SYMBOL).filter(|symbol| (2..SYMBOLS).contains(symbol));
        match symbol {
            Some(symbol) => {
                let second = (within - START) % SYMBOL >= FRAME;
                frames.symbol(self.symbols[symbol - 1], self.symbols[symbol], second)
            }
            // The sync, which is always the same, is coded with what is spoken before it.
            None => frames.speech(self.position as usize / FRAME),
        }
    }

    /// The longest stretch from here that lies in one table, at most `limit` samples.
    fn piece(&self, law: Law, limit: usize) -> &'static [u8] {
        let tables = &TABLES[law as usize];
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
    /// Appends the next `samples` (at the listening rate), coded; of codecs other than G.711 whole frames.
    pub fn fill(&mut self, codec: Codec, samples: usize, out: &mut Vec<u8>) {
        match codec.law() {
            Some(law) => {
                let tone = &TABLES[law as usize].tone;
                out.extend((0..samples).map(|i| tone[(self.position + i) % TONE_LOOP]));
            }
            None => {
                let first = self.position / FRAME;
                let frames = (first..first + samples / FRAME).map(|i| frames::of(codec).tone(i));
                frames.for_each(|frame| out.extend_from_slice(frame));
            }
        }
        self.position = (self.position + samples) % TONE_LOOP;
    }
}

/// Appends `samples` of silence (at the listening rate), coded; of codecs other than G.711 whole frames.
pub fn fill_silence(codec: Codec, samples: usize, out: &mut Vec<u8>) {
    match codec.law() {
        Some(law) => out.resize(out.len() + samples, g711::silence(law)),
        None => (0..samples / FRAME).for_each(|_| out.extend_from_slice(frames::of(codec).silence())),
    }
}

struct Tables {
    speech: Vec<u8>,
    tones: [[u8; FRAME]; TONES],
    tone: [u8; TONE_LOOP],
}

static TABLES: LazyLock<[Tables; 2]> = LazyLock::new(|| {
    let speech = speech::speech(1);
    Law::ALL.map(|law| {
        let code = |sample: i16| g711::encode_sample(law, sample);
        Tables {
            speech: speech.iter().map(|sample| code(*sample)).collect(),
            tones: std::array::from_fn(|tone| {
                let wave = sine(Marker::frequency(tone), LEVEL_DBOV, 1);
                std::array::from_fn(|i| code(wave(i)))
            }),
            tone: {
                let wave = sine(TONE_HZ, TONE_DBOV, 1);
                std::array::from_fn(|i| code(wave(i)))
            },
        }
    })
});

#[cfg(test)]
mod tests {
    use crate::media::codec::{Decoder, LONGEST};
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
        for codec in Codec::ALL {
            let (mut reference, mut out) = (Reference::default(), Vec::new());
            let starts: Vec<(usize, MarkerStart)> =
                (0..150).filter_map(|frame| Some((frame, reference.fill(codec, 160, marker, &mut out)?))).collect();
            let at = |sequence| MarkerStart { sequence, offset: 0 };
            assert_eq!(starts, [(5, at(0)), (55, at(1)), (105, at(2))]);
        }
    }

    #[test]
    fn frames_of_20_ms_have_the_length_of_their_codec() {
        for (codec, length) in Codec::ALL.into_iter().zip([160, 160, 160, 80]) {
            let mut out = Vec::new();
            let mut reference = Reference::default();
            for frame in 1..=200 {
                reference.fill(codec, 160, marker, &mut out);
                assert_eq!(out.len(), frame * length, "{codec:?}");
            }
            out.clear();
            Tone::default().fill(codec, 160, &mut out);
            fill_silence(codec, 160, &mut out);
            assert_eq!(out.len(), 2 * length, "{codec:?}");
        }
    }

    /// What is heard of frames of 20 ms from the second half second on, when a decoder has settled.
    fn level_of(codec: Codec, frames: usize, mut fill: impl FnMut(&mut Vec<u8>)) -> f64 {
        let (mut decoder, mut linear, mut heard) = (Decoder::default(), [0.0; LONGEST], Vec::new());
        for frame in 0..frames {
            let mut payload = Vec::new();
            fill(&mut payload);
            let samples = decoder.decode(codec, &payload, &mut linear);
            assert_eq!(samples, 160);
            if frame >= 25 {
                heard.extend_from_slice(&linear[..samples]);
            }
        }
        level::dbov(level::power(&heard))
    }

    #[test]
    fn reference_tone_and_silence_have_the_documented_levels_in_every_codec() {
        for codec in Codec::ALL {
            let (mut reference, mut tone) = (Reference::default(), Tone::default());
            let measured = level_of(codec, 225, |out| {
                reference.fill(codec, 160, marker, out);
            });
            assert!((measured - LEVEL_DBOV).abs() < 0.6, "{codec:?} {measured}");
            let measured = level_of(codec, 75, |out| tone.fill(codec, 160, out));
            assert!((measured - TONE_DBOV).abs() < 0.2, "{codec:?} {measured}");
            let measured = level_of(codec, 75, |out| fill_silence(codec, 160, out));
            assert!(measured < level::SILENCE_DBOV, "{codec:?} {measured}");
        }
    }
}
