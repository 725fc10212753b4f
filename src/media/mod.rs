//! Media of one leg: RTP, RTCP, SRTP, codecs (G.711, G.722, Opus), keys (DTMF), reception statistics, the E-model, the grade,
//! and what is *heard*.
//!
//! [`Session`] joins the parts for one leg. It takes packets with the moment they arrived and gives packets, events
//! and deadlines; sockets, SDP and the judgement of a call belong to others. RFC 3550, 3551, 4733, 5761, 6716 and
//! 7587, ITU-T G.107, G.107.1, G.109, G.113, G.711 and G.722.
//!
//! There is no jitter buffer: before listening, losses and late packets are concealed by silence, and a short loss of Opus
//! by its decoder. The E-model is given network loss only.

pub mod audio;
pub mod clock;
pub mod codec;
pub mod dtmf;
pub mod emodel;
pub mod grade;
pub mod level;
pub mod rtcp;
pub mod rtp;
pub mod session;
pub mod srtp;
pub mod stats;
pub mod video;

mod heard;
mod seed;

pub use codec::Codec;
pub use heard::{Audio, Heard};
pub use session::{Config, Event, Listen, Output, Report, Session};

/// What a talking leg sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// Speech-like reference audio with our marker.
    #[default]
    Speech,
    /// A 440 Hz tone at −16 dBov.
    Tone,
    /// RTP that carries silence.
    Silence,
    /// Back what was received.
    Echo,
    /// Speech, and back each key that was heard, the way that it came.
    Keys,
    /// No RTP at all.
    Nothing,
}
