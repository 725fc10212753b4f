//! Reference audio in frames of codecs that are coded in frames: encoded once for all calls, and played in any order.
//!
//! A frame is heard rightly behind a frame that it was coded behind. So each symbol of a marker is coded behind each other
//! one, and the sync, which is always the same, behind what is spoken before it.

use std::sync::LazyLock;

use crate::media::codec::{Codec, g722, opus};

use super::marker::{FRAME, Marker, START, SYMBOL, SYMBOLS, SYNC, TONES};
use super::{LEVEL_DBOV, PERIOD, TONE_DBOV, TONE_HZ, TONE_LOOP, sine, speech};

/// Frames of the tone source until it repeats.
const TONE_FRAMES: usize = TONE_LOOP / FRAME;
/// Frames after which a coder has forgotten how it began.
const RUN_IN: usize = 3;
const PERIOD_FRAMES: usize = PERIOD as usize / FRAME;

type Frame = Box<[u8]>;

/// The frames of one codec.
#[derive(Debug)]
pub(super) struct Frames {
    /// The loop of speech, with the sync of each marker in its place.
    speech: Vec<Frame>,
    /// Both frames of each symbol behind each other one.
    symbols: Vec<[Frame; 2]>,
    tone: Vec<Frame>,
    silence: Frame,
}

/// The frames of a codec other than G.711.
pub(super) fn of(codec: Codec) -> &'static Frames {
    static G722: LazyLock<Frames> = LazyLock::new(|| {
        let coder = || {
            let mut encoder = g722::Encoder::default();
            move |linear: &[i16]| encoder.encode(linear)
        };
        Frames::new(2, coder)
    });
    static OPUS: LazyLock<Frames> = LazyLock::new(|| {
        let coder = || {
            let mut encoder = opus::Encoder::new().expect("libopus is built with what is asked of it");
            move |linear: &[i16]| encoder.encode(linear).expect("a frame of 20 ms")
        };
        Frames::new(1, coder)
    });
    if codec == Codec::Opus { &OPUS } else { &G722 }
}

impl Frames {
    /// `coder` makes a coder of frames at `times` the listening rate.
    fn new<C: FnMut(&[i16]) -> Vec<u8>>(times: usize, coder: impl Fn() -> C) -> Self {
        let tones: [Vec<i16>; TONES] = std::array::from_fn(|tone| {
            (0..FRAME * times).map(sine(Marker::frequency(tone), LEVEL_DBOV, times)).collect()
        });
        let tone: Vec<i16> = (0..TONE_LOOP * times).map(sine(TONE_HZ, TONE_DBOV, times)).collect();
        Self {
            speech: looped(coder(), spoken(times, &tones).chunks(FRAME * times)),
            symbols: symbols(coder(), &tones),
            tone: looped(coder(), tone.chunks(FRAME * times)),
            silence: looped(coder(), [vec![0; FRAME * times].as_slice()].into_iter()).remove(0),
        }
    }

    /// The n-th frame of the reference, where it is none of a symbol behind the sync.
    pub(super) fn speech(&self, n: usize) -> &[u8] {
        &self.speech[n % self.speech.len()]
    }

    /// The first or second frame of a symbol behind another one.
    pub(super) fn symbol(&self, before: u8, tone: u8, second: bool) -> &[u8] {
        &self.symbols[usize::from(before) * TONES + usize::from(tone)][usize::from(second)]
    }

    /// The n-th frame of the tone source.
    pub(super) fn tone(&self, n: usize) -> &[u8] {
        &self.tone[n % TONE_FRAMES]
    }

    /// A frame of silence.
    pub(super) fn silence(&self) -> &[u8] {
        &self.silence
    }
}

/// Each symbol behind each other one, coded as one marker without end in which every pair comes once: the Lyndon words of
/// one and of two tones in their order are a de Bruijn sequence.
fn symbols(mut code: impl FnMut(&[i16]) -> Vec<u8>, tones: &[Vec<i16>; TONES]) -> Vec<[Frame; 2]> {
    let order =
        (0..TONES).flat_map(|tone| std::iter::once(tone).chain((tone + 1..TONES).flat_map(move |more| [tone, more])));
    let mut symbols = vec![<[Frame; 2]>::default(); TONES * TONES];
    let mut before = TONES - 1;
    (0..RUN_IN).for_each(|_| drop(code(&tones[before])));
    for tone in order {
        symbols[before * TONES + tone] = [(); 2].map(|()| code(&tones[tone]).into_boxed_slice());
        before = tone;
    }
    symbols
}

/// The loop of speech, with tones where markers go: their sync, and the last tone of it for the rest of them.
fn spoken(times: usize, tones: &[Vec<i16>; TONES]) -> Vec<i16> {
    let mut linear = speech::speech(times);
    for (n, frame) in linear.chunks_mut(FRAME * times).enumerate() {
        let within = n % PERIOD_FRAMES * FRAME;
        let symbol = within.checked_sub(START).map(|into| into / SYMBOL);
        match symbol {
            Some(0) => frame.copy_from_slice(&tones[usize::from(SYNC[0])]),
            Some(1..SYMBOLS) => frame.copy_from_slice(&tones[usize::from(SYNC[1])]),
            _ => {}
        }
    }
    linear
}

/// The frames of audio that is played over and over, as they come once the coder has settled.
fn looped<'a>(mut code: impl FnMut(&[i16]) -> Vec<u8>, frames: impl Iterator<Item = &'a [i16]> + Clone) -> Vec<Frame> {
    let length = frames.clone().count();
    let from = length - RUN_IN % length;
    let coded = frames.cycle().skip(from).take(RUN_IN + length).map(|frame| code(frame).into_boxed_slice());
    coded.skip(RUN_IN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_symbol_is_there_behind_every_other_in_both_codecs() {
        for (codec, length) in [(Codec::G722, 160), (Codec::Opus, 80)] {
            let Frames { speech, symbols, tone, silence } = of(codec);
            assert_eq!((speech.len(), symbols.len(), tone.len(), silence.len()), (200, 256, 5, length));
            assert!(symbols.iter().flatten().chain(speech).chain(tone).all(|frame| frame.len() == length), "{codec:?}");
        }
    }
}
