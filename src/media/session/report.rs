//! What is known of a leg, under the names of the record.

use std::time::{Duration, Instant};

use crate::media::emodel::{Impairment, Input};
use crate::media::grade::{By, Grade, Inputs};
use crate::media::stats::{Counts, loss_pct};
use crate::media::{Audio, Heard};
use crate::units::millis;

use super::{DtmfReport, Rejected, Session, Strays};
use crate::sip::sdp::crypto::Suite;

/// RTP that stops for longer than this before the end has stopped.
const STOPPED_AFTER: Duration = Duration::from_secs(2);

/// Figures of one leg from its opening on. `None` is not known.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Time the leg has been listening.
    pub listened: Duration,
    /// Encoding name of the codec sent.
    pub codec: &'static str,
    /// RTP packets sent.
    pub tx_packets: u64,
    /// RTP packets received, duplicates included.
    pub rx_packets: u64,
    /// Expected, lost, reordered, duplicate packets and restarts.
    pub reception: Counts,
    /// Lost packets, percent of expected ones; `None` where fewer than two were expected.
    pub loss_pct: Option<f64>,
    /// Where the loss comes from: `seq`, sequence numbers; `sr`, what the far end says it sent, where too little arrived
    /// to count by; `None` with `loss_pct`.
    pub loss_source: Option<&'static str>,
    /// Burst ratio, at least 1; `None` where nothing was lost.
    pub burst_r: Option<f64>,
    /// 95th percentile of the jitter of each second, as the grade uses it; of a call under a second its jitter.
    pub jitter_ms: Option<f64>,
    /// Median round-trip time to the next RTP hop, ms.
    pub rtt_ms: Option<f64>,
    /// Half of `rtt_ms`.
    pub one_way_ms: Option<f64>,
    /// Listening MOS, 1–4.41.
    pub mos_lq: Option<f64>,
    /// Conversational MOS, 1–4.41; `None` where the delay is not known.
    pub mos_cq: Option<f64>,
    /// R behind `mos_cq`, on the scale of narrow band.
    pub r_factor: Option<f64>,
    /// What MOS was computed with.
    pub mos_model: Option<String>,
    /// Grade over the call.
    pub grade: Option<Grade>,
    /// What made it worse than good.
    pub grade_by: Option<By>,
    /// Inputs of the grade that are missing, joined by commas.
    pub grade_missing: Option<String>,
    /// Grade of the worst second.
    pub grade_worst_s: Option<Grade>,
    /// Seconds at poor or worse.
    pub poor_s: Option<u32>,
    /// What we heard.
    pub audio_rx: Heard,
    /// What the far end is known to have heard of us.
    pub audio_tx: Heard,
    /// Both directions together.
    pub audio: Audio,
    /// Markers of ours or of the far end that were heard.
    pub markers_heard: u32,
    /// Marker id of the far end of ours, or of the wrong party, that was heard.
    pub heard_id: Option<u16>,
    /// Mean active level of received audio, dBov.
    pub level_dbov: Option<f64>,
    /// Longest gap between packets beyond what their sender meant, ms.
    pub gap_ms_max: Option<f64>,
    /// From the opening to the first packet, ms.
    pub first_packet_ms: Option<f64>,
    /// From the opening to the first packet sent, ms.
    pub first_tx_packet_ms: Option<f64>,
    /// From the opening to the first packet that was more than silence, ms.
    pub first_audio_ms: Option<f64>,
    /// From sending a marker to hearing it come back, ms (median).
    pub audio_loop_ms: Option<f64>,
    /// RTP had stopped for this long, more than two seconds.
    pub stopped_for: Option<Duration>,
    /// What the far end reported on the packets that we sent.
    pub far_end: Option<FarEnd>,
    /// RTCP datagrams received.
    pub rtcp_received: u64,
    /// RTCP datagrams sent.
    pub rtcp_sent: u32,
    /// Times the far end's RTP address differed from what was known.
    pub address_changes: u32,
    /// Points of the send grid given up because this machine was more than a second late.
    pub tx_skipped: u64,
    /// Datagrams that were not taken.
    pub strays: Strays,
    /// Crypto suite of SRTP; `None` for plain RTP.
    pub srtp: Option<&'static str>,
    /// Packets that SRTP did not let in.
    pub srtp_rejected: Rejected,
    /// Keys that were sent and heard.
    pub dtmf: DtmfReport,
}

/// The last report block on us.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FarEnd {
    /// Packets lost on the way there since the start; duplicates make it negative.
    pub lost: i32,
    /// Jitter there, ms.
    pub jitter_ms: f64,
}

impl Report {
    pub(super) fn of(session: &Session, now: Instant) -> Self {
        let Session { reception, control, seconds, hearing, listener, config, .. } = session;
        let counts = reception.counts();
        let since_start = |moment: Instant| millis(moment.saturating_duration_since(session.started));
        let listened = now.saturating_duration_since(session.started);
        let jitter_ms = seconds.jitter_p95_ms().or_else(|| reception.jitter_ms());
        let rtt_ms = control.median_rtt_ms();
        let (loss_pct, loss_source) = loss(session);
        let one_way_ms = rtt_ms.map(|rtt| rtt / 2.0);
        let burst_r = reception.burst_r();
        let graded = Inputs { loss_pct, jitter_ms, one_way_ms }.grade();
        // Without audio there is nothing to have an opinion of.
        let input = reception.loss_pct().map(|loss_pct| Input {
            codec: Impairment::of(config.codec),
            loss_pct,
            burst_r: burst_r.unwrap_or(1.0),
            one_way_ms,
        });
        let quality = input.map(|input| input.quality());
        let audio_rx = session.hears(now);
        let audio_tx = hearing.is_heard();
        let (rtcp_received, rtcp_sent) = control.counts();
        Self {
            listened,
            codec: config.codec.name(),
            tx_packets: session.outgoing.total(),
            rx_packets: counts.packets,
            reception: counts,
            loss_pct,
            loss_source,
            burst_r,
            jitter_ms,
            rtt_ms,
            one_way_ms,
            mos_lq: quality.map(|quality| quality.mos_lq),
            mos_cq: quality.and_then(|quality| quality.mos_cq),
            r_factor: quality.and_then(|quality| quality.r_cq),
            mos_model: input.map(|input| input.model()),
            grade: graded.grade,
            grade_by: graded.by,
            grade_missing: graded.missing_names(),
            grade_worst_s: seconds.worst(),
            poor_s: seconds.poor(),
            audio_rx,
            audio_tx,
            audio: Audio::of(audio_rx, audio_tx),
            markers_heard: hearing.markers(),
            heard_id: hearing.heard_id(),
            level_dbov: listener.meter().level_dbov(),
            gap_ms_max: reception.longest_gap().map(millis),
            first_packet_ms: reception.first().map(since_start),
            first_tx_packet_ms: session.outgoing.first().map(since_start),
            first_audio_ms: session.first_audio.map(since_start),
            audio_loop_ms: hearing.loop_ms(),
            stopped_for: stopped_for(session, now),
            far_end: control.far_block().map(|block| FarEnd {
                lost: block.lost,
                jitter_ms: f64::from(block.jitter) / f64::from(config.codec.clock_rate()) * 1_000.0,
            }),
            rtcp_received,
            rtcp_sent,
            address_changes: session.address_changes,
            tx_skipped: session.outgoing.skipped(),
            strays: session.strays,
            srtp: session.protection.suite().map(Suite::name),
            srtp_rejected: session.protection.rejected(),
            dtmf: session.dtmf(),
        }
    }
}

/// Sequence numbers tell the loss between the first and the last packet that arrived; where fewer than two did, only
/// the far end knows what it sent.
fn loss(session: &Session) -> (Option<f64>, Option<&'static str>) {
    let reception = &session.reception;
    if let Some(by_numbers) = reception.loss_pct() {
        return (Some(by_numbers), Some("seq"));
    }
    let by_report = session.control.far_sent().and_then(|sent| loss_pct(sent, reception.counts().unique));
    (by_report, by_report.map(|_| "sr"))
}

/// A call on hold is not stopped.
fn stopped_for(session: &Session, now: Instant) -> Option<Duration> {
    let silence = now.saturating_duration_since(session.reception.last()?);
    (silence > STOPPED_AFTER && session.config.direction.receives()).then_some(silence)
}
