//! The figures that have a distribution: one list for tallies, thresholds and reports.

use serde::{Deserialize, Serialize};

use crate::record::{Outcome, Party, Role};

use super::histogram::Scale;

/// A figure of the record whose distribution is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    /// INVITE to the first status-indicative response (RFC 6076 §4.3).
    SrdMs,
    /// The same of calls that were answered (RFC 6076 §4.3.1).
    SrdOkMs,
    /// The same of calls that were refused (RFC 6076 §4.3.2).
    SrdFailedMs,
    /// INVITE to the first 18x: the post-dial delay.
    PddMs,
    /// First 18x to the 200.
    RingMs,
    /// INVITE to the 200.
    SetupMs,
    /// The 200 to the BYE (RFC 6076 §4.5).
    DurationMs,
    /// BYE to its response (RFC 6076 §4.4).
    SddMs,
    /// REGISTER to its success, the challenge included (RFC 6076 §4.1).
    RrdMs,
    /// The first REGISTER to its success, further tries included.
    RegisteredMs,
    /// Until an agent that was disturbed on purpose worked again.
    RecoveryMs,
    /// From asking for a socket until our candidates of ICE were known.
    IceGatheredMs,
    /// Intended to actual start.
    LateMs,
    /// Listening quality.
    MosLq,
    /// Conversational quality.
    MosCq,
    /// Packets lost, percent.
    LossPct,
    /// Interarrival jitter (RFC 3550).
    JitterMs,
    /// Round trip to the next RTP hop.
    RttMs,
    /// From when video was to come to the first frame that could be shown.
    VideoFirstFrameMs,
    /// For how long the picture stood still.
    VideoFrozenMs,
    /// Frames that came whole, a second.
    VideoFps,
    /// Packets of video lost, percent.
    VideoLossPct,
}

impl Figure {
    /// Every figure: first the times, then the quality.
    pub const ALL: [Self; 22] = [
        Self::SrdMs,
        Self::SrdOkMs,
        Self::SrdFailedMs,
        Self::PddMs,
        Self::RingMs,
        Self::SetupMs,
        Self::DurationMs,
        Self::SddMs,
        Self::RrdMs,
        Self::RegisteredMs,
        Self::RecoveryMs,
        Self::IceGatheredMs,
        Self::LateMs,
        Self::MosLq,
        Self::MosCq,
        Self::LossPct,
        Self::JitterMs,
        Self::RttMs,
        Self::VideoFirstFrameMs,
        Self::VideoFrozenMs,
        Self::VideoFps,
        Self::VideoLossPct,
    ];

    /// The name it has in `summary.json`, and in the record where that has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SrdMs => "srd_ms",
            Self::SrdOkMs => "srd_ok_ms",
            Self::SrdFailedMs => "srd_failed_ms",
            Self::PddMs => "pdd_ms",
            Self::RingMs => "ring_ms",
            Self::SetupMs => "setup_ms",
            Self::DurationMs => "duration_ms",
            Self::SddMs => "sdd_ms",
            Self::RrdMs => "rrd_ms",
            Self::RegisteredMs => "registered_ms",
            Self::RecoveryMs => "recovery_ms",
            Self::IceGatheredMs => "ice_gathered_ms",
            Self::LateMs => "late_ms",
            Self::MosLq => "mos_lq",
            Self::MosCq => "mos_cq",
            Self::LossPct => "loss_pct",
            Self::JitterMs => "jitter_ms",
            Self::RttMs => "rtt_ms",
            Self::VideoFirstFrameMs => "video_first_frame_ms",
            Self::VideoFrozenMs => "video_frozen_ms",
            Self::VideoFps => "video_fps",
            Self::VideoLossPct => "video_loss_pct",
        }
    }

    /// Whether it belongs to `quality` in `summary.json`, else to `latency`.
    pub const fn is_quality(self) -> bool {
        matches!(self, Self::MosLq | Self::MosCq | Self::LossPct | Self::JitterMs | Self::RttMs) || self.is_of_video()
    }

    /// Whether it is of video.
    pub const fn is_of_video(self) -> bool {
        matches!(self, Self::VideoFirstFrameMs | Self::VideoFrozenMs | Self::VideoFps | Self::VideoLossPct)
    }

    /// Whether it is measured in milliseconds.
    pub const fn is_millis(self) -> bool {
        !matches!(self, Self::MosLq | Self::MosCq | Self::LossPct | Self::VideoFps | Self::VideoLossPct)
    }

    /// Whether a late start made the person wait longer for it, so that it counts from the intended start.
    pub const fn waits_for_start(self) -> bool {
        matches!(
            self,
            Self::SrdMs
                | Self::SrdOkMs
                | Self::SrdFailedMs
                | Self::PddMs
                | Self::SetupMs
                | Self::RrdMs
                | Self::RegisteredMs
        )
    }

    pub(super) const fn scale(self) -> Scale {
        if self.is_millis() { Scale::Millis } else { Scale::Small }
    }

    /// Its value in a outcome.
    pub fn of(self, outcome: &Outcome) -> Option<f64> {
        match self {
            Self::SrdMs => outcome.srd_ms,
            Self::SrdOkMs => outcome.srd_ms.filter(|_| outcome.is_answered()),
            Self::SrdFailedMs => outcome.srd_ms.filter(|_| !outcome.is_answered()),
            Self::PddMs => outcome.pdd_ms,
            Self::RingMs => outcome.ring_ms,
            Self::SetupMs => outcome.setup_ms,
            Self::DurationMs => outcome.duration_ms,
            Self::SddMs => outcome.sdd_ms,
            Self::RrdMs => outcome.rrd_ms,
            Self::RegisteredMs => outcome.registered_ms,
            Self::RecoveryMs => outcome.recovery_ms,
            Self::IceGatheredMs => outcome.ice_gathered_ms,
            Self::LateMs => outcome.late_ms,
            Self::MosLq => outcome.mos_lq,
            Self::MosCq => outcome.mos_cq,
            Self::LossPct => outcome.loss_pct,
            Self::JitterMs => outcome.jitter_ms,
            Self::RttMs => outcome.rtt_ms,
            Self::VideoFirstFrameMs => outcome.video?.first_frame_ms,
            Self::VideoFrozenMs => outcome.video?.frozen_ms,
            Self::VideoFps => outcome.video?.fps,
            Self::VideoLossPct => outcome.video?.loss_pct,
        }
    }

    /// Whether an attempt should have a value: if it has none, the value is unknown; else there is none to know.
    pub(super) fn applies(self, outcome: &Outcome) -> bool {
        let (placed, answered) = (outcome.invited && outcome.role == Role::Caller, outcome.is_answered());
        match self {
            Self::SrdMs => placed,
            Self::SrdOkMs => placed && answered,
            Self::SrdFailedMs => placed && !answered,
            // Where it did not ring, there was no waiting for that.
            Self::PddMs => placed && outcome.rang,
            Self::RingMs => answered && outcome.rang,
            Self::SetupMs | Self::DurationMs => answered,
            Self::SddMs => answered && outcome.hangup_by == Some(Party::Us),
            Self::RrdMs | Self::RegisteredMs => outcome.class.is_of_registration(),
            Self::RecoveryMs => outcome.disturbed,
            // Media other than WebRTC's has no candidates to know.
            Self::IceGatheredMs => false,
            Self::LateMs => true,
            Self::VideoFirstFrameMs | Self::VideoFrozenMs | Self::VideoFps | Self::VideoLossPct => {
                outcome.video.is_some()
            }
            // Media that was not opened has no quality to know.
            _ => answered && outcome.media_opened,
        }
    }
}
