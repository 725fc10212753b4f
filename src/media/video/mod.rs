//! Video as far as its headers tell: what is sent, and what is read of that which comes.
//!
//! [`Pictures`] makes the frames that are sent: valid VP8 (RFC 6386) and H.264 (ITU-T H.264, Constrained Baseline) of a grey
//! picture that never changes, filled up to the bit rate wanted. [`Frames`] puts received packets together to frames and
//! tells which could be shown, by their headers alone (RFC 7741, RFC 6184); [`Freezes`] counts how often the picture stood
//! still, as browsers do. Nothing is decoded.

mod bits;
mod frames;
mod freezes;
mod h264;
mod vp8;

pub use frames::{Frames, Shown};
pub use freezes::Freezes;

use std::collections::VecDeque;
use std::fmt;

use crate::sip::sdp::VideoFormat;

/// RTP clock of every video format, Hz (RFC 7741 §4.1, RFC 6184 §5.1).
pub const CLOCK_RATE: u32 = 90_000;

/// Bytes of the longest payload that is sent: with every header it stays below 1280, which any path carries.
const LONGEST_PAYLOAD: usize = 1_180;

/// A video codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VideoCodec {
    /// VP8 (RFC 7741).
    Vp8,
    /// H.264 (RFC 6184).
    H264,
}

impl VideoCodec {
    /// Both, in the order in which they are offered by default.
    pub const ALL: [Self; 2] = [Self::Vp8, Self::H264];

    /// Encoding name in SDP.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vp8 => "VP8",
            Self::H264 => "H264",
        }
    }

    /// Payload type in our offers.
    pub const fn payload_type(self) -> u8 {
        match self {
            Self::Vp8 => 96,
            Self::H264 => 97,
        }
    }

    /// What we would like to receive: for H.264 Constrained Baseline of level 3.1, in one packet or several.
    pub const fn fmtp(self) -> Option<&'static str> {
        match self {
            Self::Vp8 => None,
            Self::H264 => Some("profile-level-id=42e01f;packetization-mode=1;level-asymmetry-allowed=1"),
        }
    }

    /// The codec of that name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.name().eq_ignore_ascii_case(name))
    }

    /// The codec that our offers give this number.
    pub fn from_payload_type(payload_type: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.payload_type() == payload_type)
    }

    /// What the headers in a payload say.
    pub(super) fn look(self, payload: &[u8]) -> Option<Look> {
        match self {
            Self::Vp8 => vp8::look(payload),
            Self::H264 => h264::look(payload),
        }
    }
}

/// Width and height of a picture, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Size {
    /// Width.
    pub width: u16,
    /// Height.
    pub height: u16,
}

impl Size {
    /// Macroblocks of 16 × 16 pixels across and down.
    fn macroblocks(self) -> (u32, u32) {
        (u32::from(self.width).div_ceil(16), u32::from(self.height).div_ceil(16))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// What a sender of video sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Its size, each side an even number from 16 to 4096.
    pub size: Size,
    /// Frames per second, 1–60.
    pub fps: u16,
    /// Bit rate of the payloads that is aimed at, kbit/s; key frames come on top.
    pub kbps: u32,
}

impl Default for Picture {
    fn default() -> Self {
        Self { size: Size { width: 640, height: 360 }, fps: 15, kbps: 300 }
    }
}

impl Picture {
    /// Bytes of a frame.
    fn frame_bytes(&self) -> usize {
        (u64::from(self.kbps) * 125 / u64::from(self.fps.max(1))) as usize
    }
}

/// What one side of a call would do with video.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Codecs, best first; at least one.
    pub codecs: Vec<VideoCodec>,
    /// What is sent.
    pub picture: Picture,
    /// Offers of plain RTP have the profile RTP/AVPF (RFC 4585).
    pub avpf: bool,
}

impl Default for Wish {
    fn default() -> Self {
        Self { codecs: VideoCodec::ALL.to_vec(), picture: Picture::default(), avpf: false }
    }
}

impl Wish {
    /// Its codecs as SDP describes them.
    pub fn formats(&self) -> Vec<VideoFormat> {
        let described = |codec: &VideoCodec| VideoFormat {
            name: codec.name(),
            payload_type: codec.payload_type(),
            fmtp: codec.fmtp(),
        };
        self.codecs.iter().map(described).collect()
    }
}

/// What the headers in one payload say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Look {
    /// Whether a frame begins with it; `None` where the format does not tell.
    starts: Option<bool>,
    /// It is of a frame that needs no other.
    key: bool,
    /// The size of the pictures from here on.
    size: Option<Size>,
}

/// Makes the frames of one stream that is sent.
#[derive(Clone, Debug)]
pub struct Pictures {
    codec: VideoCodec,
    /// Every NAL unit of H.264 is to be in one packet (packetization mode 0).
    single_nal: bool,
    /// Frames so far.
    count: u32,
    /// Key frames so far.
    keys: u32,
    /// The frame that follows any other, where it is always the same; for this size.
    still: Option<(Size, Vec<u8>)>,
}

impl Pictures {
    /// Frames of a codec. With `single_nal` H.264 keeps to packetization mode 0 (RFC 6184 §6.2).
    pub fn new(codec: VideoCodec, single_nal: bool) -> Self {
        Self { codec, single_nal, count: 0, keys: 0, still: None }
    }

    /// The payloads of the next frame, which a stream has to begin with a key frame; the last of them has the marker bit.
    pub fn next(&mut self, picture: &Picture, key: bool, payloads: &mut VecDeque<Vec<u8>>) {
        let (size, wanted) = (picture.size, picture.frame_bytes());
        match self.codec {
            VideoCodec::Vp8 => {
                let frame = if key { vp8::key_frame(size) } else { self.still_of(size).to_vec() };
                vp8::packetise(frame, wanted, self.count as u16, payloads);
            }
            VideoCodec::H264 => {
                let units = if key {
                    h264::key_frame(size, self.keys, self.single_nal)
                } else {
                    vec![h264::still_frame(size, self.count)]
                };
                h264::packetise(units, wanted, self.single_nal, payloads);
            }
        }
        self.keys += u32::from(key);
        // H.264 counts from each key frame on.
        self.count = if key && self.codec == VideoCodec::H264 { 1 } else { self.count.wrapping_add(1) };
    }

    fn still_of(&mut self, size: Size) -> &[u8] {
        if self.still.as_ref().is_none_or(|(of, _)| *of != size) {
            self.still = Some((size, vp8::still_frame(size)));
        }
        self.still.as_ref().map_or(&[], |(_, frame)| frame)
    }
}

#[cfg(test)]
mod tests;
