//! Session descriptions (RFC 8866) and offer/answer (RFC 3264) for one audio stream, and one of video beside it.
//!
//! [`Sdp::parse`] reads what others write, without copying and leniently; [`Local`] is our side: it writes offers,
//! makes answers and says what was negotiated. Hold and resume are the same description with the next version and
//! another direction ([`Local::renewed`]). Keys of SRTP are agreed on by SDES ([`crypto`]), or ICE and DTLS are
//! ([`peering`]). Opening ports, codecs themselves, SRTP, ICE and DTLS are left to others.

pub mod crypto;
pub mod peering;

mod answer;
mod description;
mod local;
mod parse;
mod video;

pub use answer::{AnswerError, EventFormat, Negotiated, NoAddress, PayloadTypes, Refused};
pub use description::{Connection, Encoding, Format, Media, Sdp};
pub use local::{AudioCodec, CNAME, Local, Order};
pub use parse::SdpError;
pub use video::{LocalVideo, NegotiatedVideo, VideoFeedback, VideoFormat};

use std::fmt;

/// Which way media flows, seen from the one who says it (RFC 8866 §6.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Both ways.
    #[default]
    SendRecv,
    /// It sends only: the other side is on hold.
    SendOnly,
    /// It receives only.
    RecvOnly,
    /// Neither way.
    Inactive,
}

impl Direction {
    const ALL: [Self; 4] = [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive];

    /// The attribute's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// Whether the one who says it sends.
    pub const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the one who says it receives.
    pub const fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The same seen from the other side.
    pub const fn reversed(self) -> Self {
        Self::of(self.receives(), self.sends())
    }

    /// What both allow.
    pub const fn and(self, other: Self) -> Self {
        Self::of(self.sends() && other.sends(), self.receives() && other.receives())
    }

    const fn of(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|direction| name.eq_ignore_ascii_case(direction.name()))
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod fixtures {
    use super::{AudioCodec, Local};

    pub(super) const PCMA: AudioCodec =
        AudioCodec { name: "PCMA", payload_type: 8, clock_rate: 8000, channels: 1, fmtp: None };
    pub(super) const PCMU: AudioCodec = AudioCodec { name: "PCMU", payload_type: 0, ..PCMA };
    pub(super) const G722: AudioCodec = AudioCodec { name: "G722", payload_type: 9, ..PCMA };
    pub(super) const OPUS: AudioCodec = AudioCodec {
        name: "opus",
        payload_type: 111,
        clock_rate: 48_000,
        channels: 2,
        fmtp: Some("minptime=10;useinbandfec=1"),
    };

    /// A side that speaks PCMA and PCMU and would multiplex.
    pub(super) fn local() -> Local<'static> {
        Local { rtcp_mux: true, ..Local::new(([192, 0, 2, 7], 20_000).into(), &[PCMA, PCMU], 77) }
    }
}
