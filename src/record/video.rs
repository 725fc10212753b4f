//! The video of one leg in its record: `video` there, and fields `video_…` in InfluxDB.

use serde::{Deserialize, Serialize};

/// Figures of the video that both sides agreed on. `null` is unknown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VideoRecord {
    /// Encoding name of the codec that was sent.
    pub codec: String,
    /// Size of the pictures that came last, as `640x360`.
    pub size: Option<String>,
    /// Frames that came whole, a second, from the first packet to the last.
    pub fps: Option<f64>,
    /// Payload that came, kbit/s, from the first packet to the last.
    pub kbps: Option<f64>,
    /// RTP packets sent.
    pub tx_packets: u64,
    /// Frames sent.
    pub tx_frames: u64,
    /// Of them, key frames of our own: an echo has none.
    pub tx_key_frames: u64,
    /// RTP packets received.
    pub rx_packets: u64,
    /// Frames that came whole.
    pub rx_frames: u64,
    /// Of them, key frames.
    pub rx_key_frames: u64,
    /// Frames of which something was missing.
    pub broken_frames: u64,
    /// From when video was to come to the first frame that could be shown; `null` where none could.
    pub first_frame_ms: Option<f64>,
    /// Times that the picture stood still (`freezeCount` of W3C's statistics); `null` where none was shown.
    pub freezes: Option<u32>,
    /// For how long together.
    pub frozen_ms: Option<f64>,
    /// Packets lost, percent; `null` where fewer than two were expected.
    pub loss_pct: Option<f64>,
    /// Interarrival jitter (RFC 3550), by the first packet of each frame.
    pub jitter_ms: Option<f64>,
    /// Round trip to the next RTP hop, by RTCP.
    pub rtt_ms: Option<f64>,
    /// Key frames that we asked for (PLI or FIR).
    pub key_frames_asked: u32,
    /// Key frames that the far end asked us for.
    pub key_frames_wanted: u32,
}

/// What is counted of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "the fields of the record, under the same names")]
pub struct VideoOutcome {
    pub fps: Option<f64>,
    pub first_frame_ms: Option<f64>,
    pub frozen_ms: Option<f64>,
    pub loss_pct: Option<f64>,
}

impl VideoRecord {
    pub(super) fn outcome(&self) -> VideoOutcome {
        let Self { fps, first_frame_ms, frozen_ms, loss_pct, .. } = *self;
        VideoOutcome { fps, first_frame_ms, frozen_ms, loss_pct }
    }
}
