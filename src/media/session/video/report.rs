//! What is known of the video of a leg.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::VideoSession;
use crate::media::session::Strays;
use crate::units::millis;

/// Figures of the video that both sides agreed on, as `video` of a record has them. `None` is not known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VideoFigures {
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
    /// Packets that the far end's SRTP key does not prove; `null` for plain RTP.
    #[serde(default)]
    pub srtp_unauthenticated: Option<u64>,
    /// Packets that came a second time, or too late to tell; `null` for plain RTP.
    #[serde(default)]
    pub srtp_replayed: Option<u64>,
}

/// The video of one leg from its opening on.
#[derive(Clone, Debug, PartialEq)]
pub struct VideoReport {
    /// What its record shows.
    pub figures: VideoFigures,
    /// For how long video was to be received.
    pub expected: Duration,
    /// Datagrams that were not taken.
    pub strays: Strays,
}

impl VideoReport {
    pub(super) fn of(session: &VideoSession, now: Instant) -> Self {
        Self {
            figures: VideoFigures::of(session, now),
            expected: session.received.expected(now),
            strays: session.strays,
        }
    }
}

impl VideoFigures {
    fn of(session: &VideoSession, now: Instant) -> Self {
        let VideoSession { config, outgoing, control, reception, frames, freezes, received, requests, .. } = session;
        let rejected = session.protection.suite().map(|_| session.protection.rejected());
        let (tx_packets, tx_frames, tx_key_frames) = outgoing.counts();
        let shown = received.first_shown().is_some();
        let (count, total) = freezes.until(now);
        let (key_frames_asked, key_frames_wanted) = requests.counts();
        Self {
            codec: config.codec.name().to_owned(),
            size: frames.sizes().last().map(ToString::to_string),
            fps: received.fps(),
            kbps: received.kbps(),
            tx_packets,
            tx_frames,
            tx_key_frames,
            rx_packets: reception.counts().packets,
            rx_frames: frames.whole(),
            rx_key_frames: frames.keys(),
            broken_frames: frames.broken(),
            first_frame_ms: received.first_shown().map(millis),
            freezes: shown.then_some(count),
            frozen_ms: shown.then(|| millis(total)),
            loss_pct: reception.loss_pct(),
            jitter_ms: reception.jitter_ms(),
            rtt_ms: control.median_rtt_ms(),
            key_frames_asked,
            key_frames_wanted,
            srtp_unauthenticated: rejected.map(|rejected| rejected.unauthenticated),
            srtp_replayed: rejected.map(|rejected| rejected.replayed),
        }
    }
}
