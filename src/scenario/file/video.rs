//! Video, as it is written: `video:` of `dial` and `answer`, and as a step.

use schemars::JsonSchema;
use serde::Deserialize;

use super::session::MeansWord;

/// Video beside audio: `true`, or what is sent, as `{ size: 1280x720, fps: 30 }`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(title = "video")]
pub enum VideoFile {
    /// With the defaults, or none.
    Plain(bool),
    /// What is sent.
    Told(PictureFile),
}

/// Video that is sent. The picture is a grey one that never changes, in valid frames that are filled up to the bit rate.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "video")]
pub struct PictureFile {
    /// Codecs in the order of preference. Default: VP8, then H264.
    pub codecs: Option<Vec<VideoCodecWord>>,
    /// Width and height of the picture, even numbers from 16 to 4096. Default: 640x360.
    #[schemars(regex(pattern = "^[0-9]{2,4}x[0-9]{2,4}$"))]
    pub size: Option<String>,
    /// Frames per second, 1 to 60, default 15.
    #[schemars(range(min = 1, max = 60))]
    pub fps: Option<u16>,
    /// Bit rate, kbit/s, 1 to 20000, default 300. Key frames come on top.
    #[schemars(range(min = 1, max = 20000))]
    pub kbps: Option<u32>,
    /// Profile of the line in offers, where video is not WebRTC's. Default: AVP, which most devices take with requests for
    /// key frames all the same.
    pub profile: Option<ProfileWord>,
}

/// `video` as a step: a re-INVITE adds video, changes what is sent, or, with `false`, removes it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(title = "video")]
pub enum VideoStepFile {
    /// Video as it was or by default, or none any more.
    Plain(bool),
    /// What is sent from now on.
    Told(VideoChangeFile),
}

/// What changes; the rest stays as it was.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "video")]
pub struct VideoChangeFile {
    /// Codecs in the order of preference. Default: as before, at first VP8, then H264.
    pub codecs: Option<Vec<VideoCodecWord>>,
    /// Width and height of the picture, even numbers from 16 to 4096. Default: as before, at first 640x360.
    #[schemars(regex(pattern = "^[0-9]{2,4}x[0-9]{2,4}$"))]
    pub size: Option<String>,
    /// Frames per second, 1 to 60. Default: as before, at first 15.
    #[schemars(range(min = 1, max = 60))]
    pub fps: Option<u16>,
    /// Bit rate, kbit/s, 1 to 20000. Default: as before, at first 300.
    #[schemars(range(min = 1, max = 20000))]
    pub kbps: Option<u32>,
    /// Profile of the line in offers, where video is not WebRTC's. Default: as before, at first AVP.
    pub profile: Option<ProfileWord>,
    /// With what it is asked for. Default: reinvite.
    pub by: MeansWord,
}

/// A video codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(title = "codec")]
pub enum VideoCodecWord {
    /// VP8.
    VP8,
    /// H.264, Constrained Baseline.
    H264,
}

/// Profile of a video line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(title = "profile")]
pub enum ProfileWord {
    /// RTP/AVP, or RTP/SAVP with encryption.
    #[serde(rename = "AVP")]
    Avp,
    /// RTP/AVPF, or RTP/SAVPF with encryption.
    #[serde(rename = "AVPF")]
    Avpf,
}
