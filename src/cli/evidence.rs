//! `ringfleet evidence`: what a run folder holds of one call.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;

use anyhow::Context as _;

use super::exit;
use super::out::{self, note};
use crate::record::{CallRecord, Class, Direction, Origin, explain};
use crate::units::printable;

pub(super) fn run(run_dir: &Path, call_id: &str) -> anyhow::Result<u8> {
    let Some(record) = find(run_dir, call_id)? else {
        note!("ringfleet: {} holds no record of a call `{call_id}`", run_dir.join("calls.jsonl").display());
        return Ok(exit::USAGE);
    };
    let mut out = out::stdout();
    write!(out, "{}", printable(&about(&record)))?;
    let folder = run_dir.join("evidence").join(&record.call_id);
    match fs::read_to_string(folder.join("ladder.txt")) {
        Ok(ladder) => writeln!(out, "\n{}", printable(&ladder))?,
        Err(_) => {
            writeln!(out, "\nno messages were kept: evidence is kept of failed calls, and of all in a small run")?;
        }
    }
    let names = files(run_dir, &record);
    if !names.is_empty() {
        writeln!(out, "files: {}", names.join("\n       "))?;
    }
    Ok(exit::PASS)
}

/// The files that a run folder holds of a call, in order.
pub(super) fn files(run_dir: &Path, record: &CallRecord) -> Vec<String> {
    let folder = run_dir.join("evidence").join(&record.call_id);
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = files.map(|file| file.path().display().to_string()).collect();
    names.sort();
    names
}

/// The record of a call in `calls.jsonl`.
pub(super) fn find(run_dir: &Path, call_id: &str) -> anyhow::Result<Option<CallRecord>> {
    let path = run_dir.join("calls.jsonl");
    let file = fs::File::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
    for line in BufReader::new(file).lines() {
        let line = line.with_context(|| format!("cannot read {}", path.display()))?;
        if !line.contains(call_id) {
            continue;
        }
        if let Ok(record) = serde_json::from_str::<CallRecord>(&line)
            && record.call_id == call_id
        {
            return Ok(Some(record));
        }
    }
    Ok(None)
}

fn number(value: Option<f64>, unit: &str) -> String {
    value.map_or_else(|| "unknown".to_owned(), |value| format!("{value:.1}{unit}"))
}

/// Timings and quality of a call, then its class with what to do next.
fn about(record: &CallRecord) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".to_owned());
    let (from, to) = record.ends();
    let (from, to) = (from.unwrap_or("unknown"), to.unwrap_or("unknown"));
    let mut out = format!("{}  {from} -> {to}  {}\n", record.call_id, record.class);
    let rows = [
        ("started", record.started_at.map_or_else(|| "not started".to_owned(), |at| at.to_string())),
        ("response", response(record)),
        ("SRD", number(record.srd_ms, " ms")),
        ("set-up", number(record.setup_ms, " ms")),
        ("duration", number(record.duration_ms, " ms")),
        ("audio", record.audio.clone()),
        ("MOS LQ / CQ", format!("{} / {}", number(record.mos_lq, ""), number(record.mos_cq, ""))),
        (
            "loss, jitter, RTT",
            [number(record.loss_pct, " %"), number(record.jitter_ms, " ms"), number(record.rtt_ms, " ms")].join(", "),
        ),
        ("grade", text(&record.grade)),
    ];
    let packets = record.first_packet_ms.or(record.first_tx_packet_ms).map(|_| {
        let sent = number(record.first_tx_packet_ms, " ms");
        let came = rung(record, Rung::Received, record.first_packet_ms);
        let audio = rung(record, Rung::Sound, record.first_audio_ms);
        ("first packet", format!("sent {sent}, received {came} after media was opened, first sound {audio}"))
    });
    let recovery = record.recovery_from.as_ref().map(|from| {
        let took = number(record.recovery_ms, " ms");
        ("recovery", format!("{took} after {from}, {} tries", record.recovery_tries.unwrap_or_default()))
    });
    let video = record.video.as_deref().map(|video| {
        let size = video.size.as_deref().unwrap_or("no picture");
        let first = number(video.first_frame_ms, " ms");
        let (fps, loss) = (number(video.fps, " frames/s"), number(video.loss_pct, " %"));
        let freezes = video.freezes.map_or_else(|| "unknown".to_owned(), |freezes| freezes.to_string());
        let refused = video.srtp_unauthenticated.filter(|packets| *packets > 0);
        let refused = refused.map_or_else(String::new, |packets| format!(", {packets} packets with a wrong SRTP key"));
        let came = format!("{size}, {fps}, first frame after {first}, loss {loss}, freezes {freezes}{refused}");
        ("video", format!("{}: {came}", video.codec))
    });
    let rungs = connection(record).into_iter().chain(path(record)).chain(packets);
    for (name, value) in rows.into_iter().chain(rungs).chain(video).chain(recovery).chain(faults(record)) {
        out.push_str(&format!("  {name:18} {value}\n"));
    }
    for request in &record.requests {
        let status = request.status.map_or_else(String::new, |status| format!(" {status}"));
        let fault = request.fault.map_or_else(String::new, |fault| format!(", side.{}", fault.name()));
        out.push_str(&format!("  {:18} {}{status}, {:.1} ms{fault}\n", "asked", request.request, request.took_ms));
    }
    if let Some(unmet) = &record.unmet {
        out.push_str(&format!("  {:18} {unmet}\n", "not met"));
    }
    out.push_str(&format!("\n{}\n", explain(record.class)));
    out
}

/// The rungs below the first request, each with how long it took, and the one that the connection did not get past.
fn connection(record: &CallRecord) -> Option<(&'static str, String)> {
    let rungs = [
        ("DNS", record.dns_ms),
        ("TCP", record.tcp_ms),
        ("TLS", record.tls_ms),
        ("WebSocket", record.ws_upgrade_ms),
        ("REGISTER", record.rrd_ms),
    ];
    let failed = match record.class {
        Class::TransportDns | Class::ProbeNoDns => Some("DNS"),
        Class::TransportTls => Some("TLS"),
        Class::TransportWsUpgrade => Some("WebSocket"),
        Class::TransportRefused | Class::TransportUnreachable | Class::TransportTcp if record.tcp_ms.is_none() => {
            Some("connection")
        }
        class if class.is_of_registration() && record.rrd_ms.is_none() => Some("REGISTER"),
        _ => None,
    };
    let took = rungs.into_iter().filter_map(|(name, ms)| Some(format!("{name} {:.1} ms", ms?)));
    let steps: Vec<String> = took.chain(failed.map(|name| format!("{name} FAILED"))).collect();
    (!steps.is_empty()).then(|| ("connection", steps.join(", ")))
}

/// A rung of media.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rung {
    Gathered,
    Pair,
    Dtls,
    Received,
    Sound,
}

/// How long a rung took, or that it is the one that media did not get past.
fn rung(record: &CallRecord, of: Rung, took: Option<f64>) -> String {
    let failed = match record.class {
        Class::MediaNoRelay => Rung::Gathered,
        Class::MediaIceFailed | Class::MediaFirewallBlocked => Rung::Pair,
        Class::MediaDtlsFailed => Rung::Dtls,
        Class::MediaNoRtp => Rung::Received,
        Class::MediaSilenceWithRtp => Rung::Sound,
        _ => return number(took, " ms"),
    };
    // Candidates may be known, with no relay among them.
    if failed == of && (took.is_none() || of == Rung::Gathered) { "FAILED".to_owned() } else { number(took, " ms") }
}

/// What media and the servers of ICE stumbled over, under the names that the classes refer to.
fn faults(record: &CallRecord) -> impl Iterator<Item = (&'static str, String)> {
    let media = record.media_fault.clone().map(|fault| ("media_fault", fault));
    media.into_iter().chain(record.other_server_fault().map(|fault| ("ice_server_fault", fault.to_owned())))
}

/// The rungs of ICE and DTLS, and which way media went.
fn path(record: &CallRecord) -> Option<(&'static str, String)> {
    // With candidates that come later a call may be over before all are known.
    let refused = record.class == Class::MediaNoRelay;
    if record.ice_gathered_ms.is_none() && record.ice_trickled.is_none() && !refused {
        return None;
    }
    let gathered = rung(record, Rung::Gathered, record.ice_gathered_ms);
    let check = number(record.ice_check_ms, " ms");
    let pair = rung(record, Rung::Pair, record.ice_connected_ms);
    let dtls = rung(record, Rung::Dtls, record.dtls_done_ms);
    let mut text = format!("gathered {gathered}, first check {check}, pair {pair}, DTLS {dtls} after the description");
    if let Some(way) = &record.media_path {
        text.push_str(&format!(", {}", way.replace('_', " ")));
    }
    if let Some(taken) = record.ice_trickled {
        text.push_str(&format!(", {taken} INFO with later candidates taken"));
    }
    let works = record.media_fault.is_none();
    let hidden = Some(&record.ice_hidden).filter(|names| !names.is_empty() && works);
    let hidden = hidden.map(|names| format!("hidden behind mDNS: {}", names.join(", ")));
    let faults = [record.ice_trickle_fault.clone(), hidden];
    for fault in faults.into_iter().flatten() {
        text.push_str(&format!("; {fault}"));
    }
    Some(("ICE and DTLS", text))
}

/// The final response and whether it came over the wire.
fn response(record: &CallRecord) -> String {
    let reason = record.reason.as_deref().unwrap_or_default();
    let Some(code) = record.code else {
        return if reason.is_empty() { "none".to_owned() } else { format!("none: {reason}") };
    };
    match (record.code_origin, record.direction) {
        (Some(Origin::Local), Direction::Outbound) => format!("none, taken for {code}: {reason}"),
        (Some(Origin::Local), Direction::Inbound) => format!("{code} {reason}, sent by us"),
        _ if record.is_code_of_registration() => format!("{code} {reason}, to REGISTER: no INVITE was sent"),
        _ => format!("{code} {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_time_out_is_not_shown_as_a_response() {
        let line = include_str!("../../tests/data/influx/record.json");
        let mut record: CallRecord = serde_json::from_str(line).expect("valid");
        (record.code, record.reason) = (Some(408), Some("no response in time".into()));
        (record.code_origin, record.direction) = (Some(Origin::Received), Direction::Outbound);
        assert_eq!(response(&record), "408 no response in time");
        record.code_origin = Some(Origin::Local);
        assert_eq!(response(&record), "none, taken for 408: no response in time");
        record.direction = Direction::Inbound;
        assert_eq!(response(&record), "408 no response in time, sent by us");
        record.code = None;
        assert_eq!(response(&record), "none: no response in time");
        record.reason = None;
        assert_eq!(response(&record), "none");
    }

    #[test]
    fn the_row_of_ice_has_what_followed_the_description_and_who_did_not_take_it() {
        let line = include_str!("../../tests/data/influx/record.json");
        let mut record: CallRecord = serde_json::from_str(line).expect("valid");
        record.ice_hidden.clear();
        let told = |record: &CallRecord| path(record).map(|(_, text)| text);
        assert_eq!(told(&record), None);
        (record.ice_check_ms, record.ice_connected_ms, record.dtls_done_ms) = (Some(1.0), Some(2.0), Some(3.0));
        (record.ice_trickled, record.media_path) = (Some(0), Some("our_relay".into()));
        record.ice_trickle_fault = Some("refused".into());
        let rungs = "first check 1.0 ms, pair 2.0 ms, DTLS 3.0 ms after the description, our relay";
        let all = format!("gathered unknown, {rungs}, 0 INFO with later candidates taken; refused");
        assert_eq!(told(&record), Some(all));
        (record.ice_trickled, record.ice_trickle_fault, record.ice_gathered_ms) = (None, None, Some(4.0));
        assert_eq!(told(&record), Some(format!("gathered 4.0 ms, {rungs}")));
    }

    #[test]
    fn a_relay_that_refused_is_named_with_what_it_said_and_as_the_rung_that_failed() {
        let line = include_str!("../../tests/data/influx/record.json");
        let mut record: CallRecord = serde_json::from_str(line).expect("valid");
        let refused = "turn:relay.test refused: 437 Mismatched allocation";
        (record.class, record.code, record.reason) = (Class::MediaNoRelay, Some(200), Some("OK".into()));
        (record.code_origin, record.srd_ms, record.setup_ms) = (Some(Origin::Received), None, None);
        (record.from, record.to, record.agent, record.ice_gathered_ms) = (None, None, Some("1026".into()), None);
        (record.media_fault, record.ice_server_fault) = (Some(format!("no relay: {refused}")), Some(refused.into()));
        let text = about(&record);
        for line in [
            "01JG-7-1  1026 -> unknown  media.no_relay\n",
            "  response           200 OK, to REGISTER: no INVITE was sent\n",
            "  ICE and DTLS       gathered FAILED, first check unknown, ",
            "  media_fault        no relay: turn:relay.test refused: 437 Mismatched allocation\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(!text.contains("ice_server_fault "), "it is told once: {text}");
        (record.class, record.media_fault) = (Class::Ok, None);
        assert!(about(&record).contains(&format!("  ice_server_fault   {refused}\n")));
    }

    #[test]
    fn the_rung_of_media_that_failed_is_named() {
        let line = include_str!("../../tests/data/influx/record.json");
        let mut record: CallRecord = serde_json::from_str(line).expect("valid");
        (record.ice_gathered_ms, record.first_packet_ms) = (Some(1.0), None);
        record.first_tx_packet_ms = Some(2.0);
        for (class, told) in [
            (Class::MediaIceFailed, "pair FAILED"),
            (Class::MediaFirewallBlocked, "pair FAILED"),
            (Class::MediaDtlsFailed, "DTLS FAILED"),
            (Class::MediaNoRtp, "received FAILED"),
            (Class::MediaSilenceWithRtp, "first sound FAILED"),
            (Class::RegCredentials, "REGISTER FAILED"),
        ] {
            (record.class, record.first_audio_ms, record.rrd_ms) = (class, None, None);
            let text = about(&record);
            assert_eq!((text.matches("FAILED").count(), text.contains(told)), (1, true), "{told} in {text}");
        }
    }

    #[test]
    fn each_rung_is_told_with_how_long_it_took_and_the_first_that_failed_is_named() {
        let line = include_str!("../../tests/data/influx/record.json");
        let mut record: CallRecord = serde_json::from_str(line).expect("valid");
        (record.dns_ms, record.tcp_ms, record.rrd_ms) = (Some(1.26), Some(0.5), None);
        record.class = Class::TransportTls;
        let told = |record: &CallRecord| connection(record).map(|(_, text)| text);
        assert_eq!(told(&record), Some("DNS 1.3 ms, TCP 0.5 ms, TLS FAILED".into()));
        (record.tls_ms, record.ws_upgrade_ms, record.rrd_ms) = (Some(2.0), Some(3.0), Some(4.0));
        record.class = Class::Ok;
        let all = "DNS 1.3 ms, TCP 0.5 ms, TLS 2.0 ms, WebSocket 3.0 ms, REGISTER 4.0 ms";
        assert_eq!(told(&record), Some(all.into()));
        (record.dns_ms, record.tcp_ms, record.tls_ms, record.ws_upgrade_ms) = (None, None, None, None);
        (record.rrd_ms, record.class) = (None, Class::TransportRefused);
        assert_eq!(told(&record), Some("connection FAILED".into()));
        record.class = Class::Ok;
        assert_eq!(told(&record), None);
    }
}
