//! What is known of the video of a leg.

use std::time::{Duration, Instant};

use super::VideoSession;
use crate::media::session::{Rejected, Strays};
use crate::media::video::Size;
use crate::units::millis;

/// Figures of the video of one leg from its opening on. `None` is not known.
#[derive(Clone, Debug, PartialEq)]
pub struct VideoReport {
    /// Encoding name of the codec sent.
    pub codec: &'static str,
    /// For how long video was to be received.
    pub expected: Duration,
    /// RTP packets sent.
    pub tx_packets: u64,
    /// Frames sent, those of an echo by their marker bits.
    pub tx_frames: u64,
    /// Key frames of our own sent.
    pub tx_key_frames: u64,
    /// RTP packets received, duplicates included.
    pub rx_packets: u64,
    /// Frames that came whole.
    pub rx_frames: u64,
    /// Of them, key frames.
    pub rx_key_frames: u64,
    /// Frames of which something was missing.
    pub broken_frames: u64,
    /// Frames that came whole, a second, from the first packet to the last.
    pub fps: Option<f64>,
    /// Payload received, kbit/s, from the first packet to the last.
    pub kbps: Option<f64>,
    /// Sizes of the pictures, the current one last.
    pub sizes: Vec<Size>,
    /// Times that the picture stood still; `None` where none was shown.
    pub freezes: Option<u32>,
    /// How long it did together, ms.
    pub frozen_ms: Option<f64>,
    /// From when video was to come to the first frame that could be shown, ms.
    pub first_frame_ms: Option<f64>,
    /// Lost packets, percent of expected ones; `None` where fewer than two were expected.
    pub loss_pct: Option<f64>,
    /// Jitter at the end, ms, by the first packet of each frame.
    pub jitter_ms: Option<f64>,
    /// Median round-trip time, ms.
    pub rtt_ms: Option<f64>,
    /// Key frames that we asked for.
    pub key_frames_asked: u32,
    /// Key frames that the far end asked us for.
    pub key_frames_wanted: u32,
    /// Datagrams that were not taken.
    pub strays: Strays,
    /// Packets that SRTP did not let in.
    pub srtp_rejected: Rejected,
}

impl VideoReport {
    pub(super) fn of(session: &VideoSession, now: Instant) -> Self {
        let VideoSession { config, outgoing, control, reception, frames, freezes, received, requests, .. } = session;
        let (tx_packets, tx_frames, tx_key_frames) = outgoing.counts();
        let shown = received.first_shown().is_some();
        let (count, total) = freezes.until(now);
        let (key_frames_asked, key_frames_wanted) = requests.counts();
        Self {
            codec: config.codec.name(),
            expected: received.expected(now),
            tx_packets,
            tx_frames,
            tx_key_frames,
            rx_packets: reception.counts().packets,
            rx_frames: frames.whole(),
            rx_key_frames: frames.keys(),
            broken_frames: frames.broken(),
            fps: received.fps(),
            kbps: received.kbps(),
            sizes: frames.sizes().to_vec(),
            freezes: shown.then_some(count),
            frozen_ms: shown.then(|| millis(total)),
            first_frame_ms: received.first_shown().map(millis),
            loss_pct: reception.loss_pct(),
            jitter_ms: reception.jitter_ms(),
            rtt_ms: control.median_rtt_ms(),
            key_frames_asked,
            key_frames_wanted,
            strays: session.strays,
            srtp_rejected: session.protection.rejected(),
        }
    }
}
