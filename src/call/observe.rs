//! From messages to facts: what a response, a BYE or a media report shows, without judging it.

use std::time::Duration;

use crate::media;
use crate::media::grade::Grade;
use crate::record::{Facts, FinalResponse, MediaFacts, MediaFigures, Origin};
use crate::sip::auth;
use crate::sip::exchange::Cause;
use crate::sip::header::{self, Name};
use crate::sip::message::{Message, Start};
use crate::sip::write;

/// A final response, received or concluded here.
pub(super) fn final_response(code: u16, cause: Cause, message: Option<&Message<'_>>) -> FinalResponse {
    let received = message.filter(|_| cause == Cause::Response);
    let reason = match received.map(Message::start) {
        Some(Start::Response { reason, .. }) => header::text(reason),
        _ => match cause {
            Cause::Response => write::reason_phrase(code).to_owned(),
            Cause::Timeout => "no response in time".to_owned(),
            Cause::Transport => "transport failed".to_owned(),
        },
    };
    let obstacle = received.filter(|_| matches!(code, 401 | 407)).and_then(obstacle);
    let reason = match obstacle {
        Some(obstacle) if reason.is_empty() => obstacle,
        Some(obstacle) => format!("{reason}; {obstacle}"),
        None => reason,
    };
    let retry_after = received.and_then(|message| message.header(Name::RetryAfter)).and_then(header::number);
    let origin = if cause == Cause::Response { Origin::Received } else { Origin::Local };
    FinalResponse { code, origin, reason, retry_after }
}

/// Why a challenge is one that nobody here can answer, whatever the password.
fn obstacle(response: &Message<'_>) -> Option<String> {
    let asked = [Name::WwwAuthenticate, Name::ProxyAuthenticate];
    let values: Vec<String> = asked.iter().flat_map(|name| response.headers(*name)).map(header::text).collect();
    auth::obstacle(values.iter().map(String::as_str))
}

/// The code, where it came over the wire.
pub(super) fn received(code: u16, cause: Cause) -> Option<u16> {
    (cause == Cause::Response).then_some(code)
}

/// Reason (RFC 3326) and Warning of a final response, CANCEL or BYE.
pub(super) fn reason(facts: &mut Facts, message: &Message<'_>) {
    for value in message.headers(Name::Reason).flat_map(header::split_list) {
        let protocol = header::split(value, b';').next().unwrap_or(b"");
        let text = header::param(value, "text").map(header::text).filter(|text| !text.is_empty()).map(Box::from);
        if protocol.eq_ignore_ascii_case(b"Q.850") {
            let cause = header::param(value, "cause").and_then(header::number);
            facts.q850 = cause.and_then(|cause| u16::try_from(cause).ok()).or(facts.q850);
            facts.reason_text = text.or_else(|| facts.reason_text.take());
        } else if facts.reason_text.is_none() {
            facts.reason_text = text;
        }
    }
    if let Some(warning) = message.header(Name::Warning) {
        facts.warning = Some(header::text(warning).into());
    }
}

/// Facts and figures of a stream that has ended. `listened` is how long the scenario wanted to hear something.
pub(super) fn media(report: media::Report, listened: Duration, reference_expected: bool) -> (MediaFacts, MediaFigures) {
    let facts = MediaFacts {
        listened,
        reference_expected,
        audio_rx: report.audio_rx,
        audio_tx: report.audio_tx,
        tx_packets: report.tx_packets,
        rx_packets: report.rx_packets,
        foreign_packets: report.strays.payload_type,
        unauthenticated: report.srtp.map(|_| report.srtp_rejected.unauthenticated),
        loss_pct: report.loss_pct,
        level_dbov: report.level_dbov,
        gap_ms_max: report.gap_ms_max,
        stopped_for: report.stopped_for,
        grade_poor_or_worse: report.grade.is_some_and(|grade| grade >= Grade::Poor),
    };
    let figures = MediaFigures {
        codec: Some(report.codec.to_owned()),
        srtp: report.srtp.map(str::to_owned),
        srtp_replayed: report.srtp.map(|_| report.srtp_rejected.replayed),
        grade: report.grade.map(|it| it.to_string()),
        grade_by: report.grade_by.map(|it| it.to_string()),
        grade_missing: report.grade_missing,
        grade_worst_s: report.grade_worst_s.map(|it| it.to_string()),
        poor_s: report.poor_s,
        mos_lq: report.mos_lq,
        mos_cq: report.mos_cq,
        r_factor: report.r_factor,
        mos_model: report.mos_model,
        loss_source: report.loss_source.map(str::to_owned),
        burst_r: report.burst_r,
        jitter_ms: report.jitter_ms,
        rtt_ms: report.rtt_ms,
        one_way_ms: report.one_way_ms,
        mouth_to_ear_ms: None,
        audio_loop_ms: report.audio_loop_ms,
        first_packet_ms: report.first_packet_ms,
        first_tx_packet_ms: report.first_tx_packet_ms,
        first_audio_ms: report.first_audio_ms,
        video: None,
        dtmf: report.dtmf,
        keys_hidden: false,
    };
    (facts, figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_q_850_cause_is_kept_beside_the_code() {
        let raw = b"SIP/2.0 503 Busy\r\nReason: SIP;cause=503;text=\"a, b\", Q.850;cause=34;text=\"no circuit\"\r\n\
            Warning: 399 x \"y\"\r\nRetry-After: 18 (later)\r\n\r\n";
        let message = Message::parse(raw).expect("valid");
        let mut facts = Facts::default();
        reason(&mut facts, &message);
        assert_eq!((facts.q850, facts.reason_text.as_deref()), (Some(34), Some("no circuit")));
        assert_eq!(facts.warning.as_deref(), Some("399 x \"y\""));
        let response = final_response(503, Cause::Response, Some(&message));
        assert_eq!((response.reason.as_str(), response.retry_after), ("Busy", Some(18)));
    }

    #[test]
    fn a_local_time_out_is_never_a_received_code() {
        let response = final_response(408, Cause::Timeout, None);
        assert_eq!((response.code, response.origin), (408, Origin::Local));
        assert_eq!((received(408, Cause::Timeout), received(408, Cause::Response)), (None, Some(408)));
    }
}
