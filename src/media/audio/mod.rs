//! Reference audio: what we send so that it can be recognised, and the ear that recognises it.
//!
//! Each second of reference audio is 0.4 s of marker (from 0.1 s on) and 0.6 s of speech-like sound, both at about
//! −20 dBov. The speech is shared by all calls and the marker is put together from sixteen shared tones, so a call
//! holds no audio of its own. Own design; no standard.

mod detector;
mod listener;
mod marker;
mod reference;
mod speech;

pub use detector::{Detector, Found};
pub use listener::{Listener, Sighting};
pub use marker::{FAR_END, Marker};
pub use reference::{MarkerStart, Reference, Tone};

/// Level of reference audio, dBov.
pub const LEVEL_DBOV: f64 = -20.0;

/// Samples in one period of the reference.
pub(super) const PERIOD: u64 = 8_000;
