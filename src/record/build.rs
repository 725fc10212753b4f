//! From facts to the record of an attempt: differences of moments, time stamps, class.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use crate::media::dtmf::Keys;
use crate::media::session::{DtmfReport, VideoFigures};
use crate::units::{millis, printable};

use super::call_record::{CallRecord, Direction, Retry, Role};
use super::dtmf::KeysTold;
use super::facts::{Facts, FinalResponse, LocalFailure, MediaFacts, Moments};
use super::outcome::{Outcome, between};

/// Who and where: what is known of an attempt without looking at what happened.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields of the record, under the same names")]
pub struct Identity {
    pub call_id: String,
    pub scenario: String,
    pub target: String,
    pub site: Option<String>,
    pub probe: Option<String>,
    pub agent: Option<String>,
    pub account: Option<String>,
    pub unit: Option<String>,
    pub role: Role,
    pub direction: Direction,
    pub transport: Option<String>,
    pub next_hop: Option<String>,
    pub from: Option<String>,
    pub to: Option<String>,
    pub hotline: Option<String>,
    pub trunk: Option<String>,
    pub carrier: Option<String>,
    pub gateway: Option<String>,
    pub route: Option<String>,
    pub route_source: Option<String>,
    pub link: Option<String>,
    pub platform_call_id: Option<String>,
    pub sip_call_ids: Vec<String>,
    pub paired_with: Option<String>,
    pub evidence: Option<String>,
}

/// Figures of a leg's media that the record carries and that no class depends on. Counts, loss, level, gaps and what
/// was heard come from [`MediaFacts`].
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "the fields of the record, under the same names")]
pub struct MediaFigures {
    pub codec: Option<String>,
    pub srtp: Option<String>,
    pub srtp_replayed: Option<u64>,
    pub grade: Option<String>,
    pub grade_by: Option<String>,
    pub grade_missing: Option<String>,
    pub grade_worst_s: Option<String>,
    pub poor_s: Option<u32>,
    pub mos_lq: Option<f64>,
    pub mos_cq: Option<f64>,
    pub r_factor: Option<f64>,
    pub mos_model: Option<String>,
    pub loss_source: Option<String>,
    pub burst_r: Option<f64>,
    pub jitter_ms: Option<f64>,
    pub rtt_ms: Option<f64>,
    pub one_way_ms: Option<f64>,
    pub mouth_to_ear_ms: Option<f64>,
    pub audio_loop_ms: Option<f64>,
    pub first_packet_ms: Option<f64>,
    pub first_tx_packet_ms: Option<f64>,
    pub first_audio_ms: Option<f64>,
    pub video: Option<Box<VideoFigures>>,
    pub dtmf: DtmfReport,
    /// The keys are secret: the record says that there were some.
    pub keys_hidden: bool,
}

/// One moment on both clocks, read together at the start of a run: it maps the worker's clock to the calendar.
#[derive(Clone, Copy, Debug)]
pub struct Anchor {
    /// On the worker's clock.
    pub instant: Instant,
    /// On the calendar.
    pub timestamp: Timestamp,
}

impl Anchor {
    /// The calendar time of `moment`; the ends of the calendar where it lies beyond.
    pub fn timestamp_of(&self, moment: Instant) -> Timestamp {
        let signed = |duration: Duration| SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
        let shifted = match moment.checked_duration_since(self.instant) {
            Some(later) => self.timestamp.checked_add(signed(later)),
            None => self.timestamp.checked_sub(signed(self.instant.duration_since(moment))),
        };
        shifted.unwrap_or(if moment < self.instant { Timestamp::MIN } else { Timestamp::MAX })
    }
}

impl CallRecord {
    /// The record of an attempt that has ended, `outcome` being what these facts and figures come to. `unmet` is left for
    /// the caller to fill: its text is of the steps, no fact.
    pub fn new(identity: Identity, facts: &Facts, figures: MediaFigures, outcome: &Outcome, anchor: &Anchor) -> Self {
        let moments = &facts.moments;
        let nothing_opened = MediaFacts::default();
        let media = facts.media.as_deref().unwrap_or(&nothing_opened);
        let opened = facts.media.is_some();
        let peer = facts.peer.as_deref();
        let rungs = peer.map(|peer| peer.rungs).unwrap_or_default();
        let response = facts.response.as_ref().or_else(|| facts.registration.as_ref().map(|r| &r.response));
        let ended = moments.ended.or(moments.bye_answered).or(moments.bye).or(moments.finished);
        Self {
            call_id: identity.call_id,
            scenario: identity.scenario,
            target: identity.target,
            site: identity.site,
            probe: identity.probe,
            agent: identity.agent,
            account: identity.account,
            unit: identity.unit,
            role: identity.role,
            direction: identity.direction,
            transport: identity.transport,
            next_hop: identity.next_hop,
            hops_tried: facts.hops_tried,
            forks: facts.forks,
            dns_ms: facts.look_up.map(millis),
            connect_ms: facts.connect.map(millis),
            tcp_ms: facts.rungs.tcp.map(millis),
            tls_ms: facts.rungs.tls.map(millis),
            ws_upgrade_ms: facts.rungs.upgrade.map(millis),
            from: identity.from,
            to: identity.to,
            hotline: identity.hotline,
            trunk: identity.trunk,
            carrier: identity.carrier,
            gateway: identity.gateway,
            route: identity.route,
            route_source: identity.route_source,
            link: identity.link,
            intended_start: anchor.timestamp_of(first_moment(moments).unwrap_or(anchor.instant)),
            warm_up: outcome.warm_up,
            started_at: moments.started.map(|moment| anchor.timestamp_of(moment)),
            ended_at: anchor.timestamp_of(ended.or_else(|| first_moment(moments)).unwrap_or(anchor.instant)),
            late_ms: outcome.late_ms,
            stalled_ms: outcome.stalled_ms,
            class: outcome.class,
            code: outcome.code,
            code_origin: outcome.code_origin,
            reason: reason(facts, response),
            q850: facts.q850,
            warning: facts.warning.as_deref().map(str::to_owned),
            app_code: facts.app_code.as_deref().map(str::to_owned),
            platform_call_id: identity.platform_call_id,
            sip_call_ids: identity.sip_call_ids,
            retry: Retry::None,
            invited: outcome.invited,
            rang: outcome.rang,
            rrd_ms: outcome.rrd_ms,
            registered_ms: outcome.registered_ms,
            pdd_ms: outcome.pdd_ms,
            srd_ms: outcome.srd_ms,
            ring_ms: outcome.ring_ms,
            setup_ms: outcome.setup_ms,
            duration_ms: outcome.duration_ms,
            sdd_ms: outcome.sdd_ms,
            hangup_by: outcome.hangup_by.map(|by| by.name().to_owned()),
            codec: figures.codec,
            ice_gathered_ms: outcome.ice_gathered_ms,
            ice_check_ms: between(rungs.described, rungs.first_check),
            ice_connected_ms: between(rungs.described, rungs.connected),
            dtls_done_ms: between(rungs.described, rungs.dtls_done),
            first_audio_ms: figures.first_audio_ms,
            media_fault: peer.and_then(|peer| peer.fault.as_ref()).map(ToString::to_string).or_else(|| foreign(facts)),
            media_path: peer.and_then(|peer| peer.relays).map(|relays| path_of(relays).to_owned()),
            ice_server_fault: peer.and_then(|peer| peer.servers.clone()),
            ice_trickled: peer.and_then(|peer| peer.trickled),
            ice_trickle_fault: peer.and_then(|peer| Some(peer.trickle_fault.as_ref()?.to_string())),
            ice_hidden: peer.map(|peer| peer.hidden.clone()).unwrap_or_default(),
            recovery_ms: outcome.recovery_ms,
            recovery_from: facts.recovery.as_ref().map(|recovery| recovery.from.to_owned()),
            recovery_tries: facts.recovery.as_ref().map(|recovery| recovery.tries),
            srtp: figures.srtp,
            srtp_unauthenticated: media.unauthenticated,
            srtp_replayed: figures.srtp_replayed,
            grade: figures.grade,
            grade_by: figures.grade_by,
            grade_missing: figures.grade_missing,
            grade_worst_s: figures.grade_worst_s,
            poor_s: figures.poor_s,
            mos_lq: outcome.mos_lq,
            mos_cq: outcome.mos_cq,
            r_factor: figures.r_factor,
            mos_model: figures.mos_model,
            loss_pct: outcome.loss_pct,
            loss_source: figures.loss_source,
            burst_r: figures.burst_r,
            jitter_ms: outcome.jitter_ms,
            rtt_ms: outcome.rtt_ms,
            one_way_ms: figures.one_way_ms,
            mouth_to_ear_ms: figures.mouth_to_ear_ms,
            audio_loop_ms: figures.audio_loop_ms,
            tx_packets: opened.then_some(media.tx_packets),
            rx_packets: opened.then_some(media.rx_packets),
            first_packet_ms: figures.first_packet_ms,
            first_tx_packet_ms: figures.first_tx_packet_ms,
            audio_rx: media.audio_rx,
            audio_tx: media.audio_tx,
            audio: outcome.audio.name().to_owned(),
            level_dbov: media.level_dbov,
            gap_ms_max: media.gap_ms_max,
            video: figures.video,
            dtmf_sent: keys_of(figures.dtmf.sent, figures.keys_hidden),
            dtmf_sent_by: figures.dtmf.sent_by.map(|way| way.name().to_owned()),
            dtmf_heard: keys_of(figures.dtmf.heard, figures.keys_hidden),
            dtmf_heard_by: figures.dtmf.heard_by.map(|way| way.name().to_owned()),
            unmet: None,
            as_expected: outcome.as_expected,
            paired_with: identity.paired_with,
            requests: facts.requests.to_vec(),
            evidence: identity.evidence,
        }
    }
}

fn keys_of(keys: Option<Keys>, hidden: bool) -> Option<KeysTold> {
    keys.map(|keys| KeysTold::new(keys, hidden))
}

/// When the attempt was due, else the earliest that is known of it.
fn first_moment(moments: &Moments) -> Option<Instant> {
    moments.intended.or(moments.started).or(moments.invite)
}

/// The reason phrase, with the text of the Reason or Warning header behind it where that says more.
fn reason(facts: &Facts, response: Option<&FinalResponse>) -> Option<String> {
    let phrase = response.map(|response| response.reason.as_str()).filter(|phrase| !phrase.is_empty());
    let transport = match facts.local_failure.as_deref() {
        Some(LocalFailure::Transport(failure)) => failure.text.as_deref(),
        _ => None,
    };
    // The peer of a WebSocket may have closed it with any text.
    let text = facts.reason_text.as_deref().or(transport).filter(|text| !text.is_empty()).map(printable);
    match (phrase, text.as_deref()) {
        (Some(phrase), Some(text)) if !phrase.eq_ignore_ascii_case(text) => Some(format!("{phrase}; {text}")),
        (phrase, text) => phrase.or(text).map(str::to_owned),
    }
}

/// Why most of what came was not heard, where its payload type is why.
fn foreign(facts: &Facts) -> Option<String> {
    let media = facts.media.as_ref().filter(|media| media.foreign_packets > media.rx_packets)?;
    Some(format!("{} packets came with a payload type that was not agreed on", media.foreign_packets))
}

/// Which way media went: by a relay of ours, by one of the other side's.
fn path_of(relays: (bool, bool)) -> &'static str {
    match relays {
        (false, false) => "direct",
        (true, false) => "our_relay",
        (false, true) => "their_relay",
        (true, true) => "both_relays",
    }
}

#[cfg(test)]
#[path = "build_tests.rs"]
mod tests;
