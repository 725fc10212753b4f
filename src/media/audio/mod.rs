//! Reference audio: what we send so that it can be recognised, and the ear that recognises it.
//!
//! Each second of reference audio is 0.4 s of marker (from 0.1 s on) and 0.6 s of speech-like sound, both at about
//! −20 dBov. The speech is shared by all calls and the marker is put together from sixteen shared tones, so a call
//! holds no audio of its own. Own design; no standard.

mod detector;
mod frames;
mod listener;
mod marker;
mod reference;
mod speech;

use std::f64::consts::TAU;

use crate::media::codec::{Codec, LISTENING_RATE};

pub use detector::{Detector, Found};
pub use listener::{Listener, Sighting};
pub use marker::{FAR_END, Marker};
pub use reference::{MarkerStart, Reference, Tone, fill_silence};

/// Level of reference audio, dBov.
pub const LEVEL_DBOV: f64 = -20.0;

/// Samples in one period of the reference.
pub(super) const PERIOD: u64 = 8_000;

/// Level of the tone source, dBov.
const TONE_DBOV: f64 = -16.0;
const TONE_HZ: f64 = 440.0;
/// 44 whole cycles of the tone, samples.
const TONE_LOOP: usize = 800;

/// Codes the audio of a codec, unless it is there: so that it does not happen in the middle of calls.
pub fn prepare(codec: Codec) {
    let (mut reference, mut out) = (Reference::default(), Vec::new());
    reference.fill(codec, marker::FRAME, |sequence| Marker { id: 0, sequence, hears: 0 }, &mut out);
}

/// The samples of a sine at `times` the listening rate, by their number.
fn sine(frequency: f64, dbov: f64, times: usize) -> impl Fn(usize) -> i16 {
    let rate = f64::from(LISTENING_RATE) * times as f64;
    let amplitude = 32_768.0 * std::f64::consts::SQRT_2 * 10_f64.powf(dbov / 20.0);
    move |i| (amplitude * (TAU * frequency * i as f64 / rate).sin()).round() as i16
}
