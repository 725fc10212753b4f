//! Video, as it is written: `video:` of `dial` and `answer`, and as a step.

use schemars::JsonSchema;
use serde::Deserialize;

use super::session::MeansWord;

/// Video: `true`, `false`, or what is sent, as `{ size: 1280x720, fps: 30 }`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(title = "video")]
pub enum VideoFile {
    /// With the defaults, or as it was before; or none.
    Plain(bool),
    /// What is sent.
    Told(PictureFile),
}

/// Video that is sent. The picture is a grey one that never changes, in valid frames that are filled up to the bit rate.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "video")]
pub struct PictureFile {
    /// Codecs in the order of preference. Default: VP8, then H264; in a step `video` as before.
    pub codecs: Option<Vec<VideoCodecWord>>,
    /// Width and height of the picture, even numbers from 16 to 4096. Default: 640x360; in a step `video` as before.
    #[schemars(regex(pattern = "^[0-9]{2,4}x[0-9]{2,4}$"))]
    pub size: Option<String>,
    /// Frames per second, 1 to 60. Default: 15; in a step `video` as before.
    #[schemars(range(min = 1, max = 60))]
    pub fps: Option<u16>,
    /// Bit rate, kbit/s, 1 to 20000. Default: 300; in a step `video` as before. Key frames come on top.
    #[schemars(range(min = 1, max = 20000))]
    pub kbps: Option<u32>,
    /// Profile of the line in offers, where video is not WebRTC's. Default: AVP, which most devices take with requests for
    /// key frames all the same; in a step `video` as before.
    pub profile: Option<ProfileWord>,
    /// In a step `video`: with what it is asked for. Default: reinvite.
    pub by: Option<MeansWord>,
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
