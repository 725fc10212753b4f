//! DTMF: keys as telephone events (RFC 4733) and as pairs of tones in the audio (ITU-T Q.23), sent and heard.
//!
//! [`Sender`] says what goes out at each point of a leg's send grid in place of audio, [`Receiver`] takes the events that
//! arrive, and [`Detector`] listens to decoded audio. Which way a peer takes is agreed on in SDP; who presses what, and what
//! was to be heard, is for the steps of a call.

mod detector;
mod event;
mod key;
mod receiver;
mod sender;
mod tones;

use std::time::Duration;

pub use detector::Detector;
pub use event::Event;
pub use key::{BadKey, Key, Keys};
pub use receiver::{Receiver, Tone};
pub use sender::{Frame, Point, Sender};
pub use tones::Generator;

/// How keys are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As telephone events, RTP packets of their own (RFC 4733).
    Event,
    /// As pairs of tones in the audio.
    Inband,
}

impl Way {
    /// Its name in records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Inband => "inband",
        }
    }
}

/// Keys to be pressed one after another, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Press {
    /// The keys.
    pub keys: Keys,
    /// How they are sent.
    pub way: Way,
    /// How long each is held, up to [`LONGEST`]; it lasts whole packets. Default 100 ms.
    pub duration: Duration,
    /// Time after each, at least [`SHORTEST_PAUSE`], in whole packets. Default 100 ms.
    pub pause: Duration,
    /// Level of each of the two tones, dBm0, −36 to −3: receivers hear them from −36 up, and two of −3 are as loud as a codec can
    /// be. Default −10.
    pub level: i8,
}

/// How long a key is held, and the pause after it, where nothing else is asked for.
pub const USUAL: Duration = Duration::from_millis(100);
/// Tones and pauses that are shorter need not be recognised (ITU-T Q.24, Annex A).
pub const SHORTEST: Duration = Duration::from_millis(40);
/// The least pause: the last packet of an event is sent three times within it (RFC 4733 §2.5.1.4).
pub const SHORTEST_PAUSE: Duration = SHORTEST;
/// The longest that a key is held.
pub const LONGEST: Duration = Duration::from_secs(6);
/// The packet time of our legs.
pub const PACKET: Duration = Duration::from_millis(20);
/// The level where nothing else is asked for, dBm0.
pub const USUAL_LEVEL: i8 = -10;

impl Press {
    /// These keys, with every default.
    pub fn new(keys: Keys, way: Way) -> Self {
        Self { keys, way, duration: USUAL, pause: USUAL, level: USUAL_LEVEL }
    }

    /// How long all of it takes in packets of 20 ms, as every leg of ours sends them: the pause after the last key included, and
    /// the silence before tones.
    pub fn length(&self) -> Duration {
        let each = packets(self.duration, PACKET) + packets(self.pause, PACKET);
        let before = if self.way == Way::Inband { sender::LEAD_IN } else { 0 };
        PACKET * (each * self.keys.len() as u32 + before)
    }
}

/// A time in whole packets, at least one.
fn packets(time: Duration, ptime: Duration) -> u32 {
    (time.as_nanos().div_ceil(ptime.as_nanos().max(1)) as u32).max(1)
}
