//! What a session of video is told when it opens, and when something was agreed on anew.

use std::net::SocketAddr;
use std::time::Duration;

use crate::media::clock::NtpClock;
use crate::media::video::{Picture, VideoCodec};
use crate::sip::sdp::crypto::Keys;
use crate::sip::sdp::{Direction, VideoFeedback};

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VideoSource {
    /// Frames of our own.
    Picture(Picture),
    /// Back what was received.
    Echo,
    /// No RTP at all.
    Nothing,
}

/// Addresses and codec of the video of one leg.
#[derive(Clone, Debug)]
pub struct VideoConfig {
    /// Codec that is sent.
    pub codec: VideoCodec,
    /// The payload type that it is sent with.
    pub payload_type: u8,
    /// The payload type that it comes with.
    pub received_as: u8,
    /// Other codecs may come with the payload types of our offers: it was one of those that was answered.
    pub offered: bool,
    /// H.264 is sent in packetization mode 0.
    pub single_nal: bool,
    /// Where RTP goes until it is learned from what arrives.
    pub remote_rtp: SocketAddr,
    /// Where RTCP goes until it is learned from what arrives.
    pub remote_rtcp: SocketAddr,
    /// RTP and RTCP share the RTP socket.
    pub rtcp_mux: bool,
    /// Keys of SRTP, as for audio.
    pub srtp: Option<Keys>,
    /// It shares the path of audio (BUNDLE), and DTLS brings the keys.
    pub bundled: bool,
    /// What is sent.
    pub send: VideoSource,
    /// What the negotiated direction allows.
    pub direction: Direction,
    /// Requests for key frames that both sides understand.
    pub feedback: VideoFeedback,
    /// Where in the time between frames the grid lies.
    pub phase: Duration,
    /// The wall clock of RTCP.
    pub clock: NtpClock,
}

impl VideoConfig {
    /// The codec of a received packet. A far end may send any codec of its answer, so those of our offer are all taken. In an
    /// answer of ours there is one, and the numbers of the offer may mean anything else.
    pub(super) fn codec_of(&self, payload_type: u8) -> Option<VideoCodec> {
        if payload_type == self.received_as {
            return Some(self.codec);
        }
        VideoCodec::from_payload_type(payload_type).filter(|_| self.offered)
    }
}
