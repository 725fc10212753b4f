//! Runs for tests.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::measure::samples::{answered, refused, timed_out};
use crate::measure::{BackOff, LatencyFrom, Tally, Totals, Window, WindowBuilder};
use crate::record::{CallRecord, Class, Heard};
use crate::scenario::plan::{Each, Expectation, ExpectationKind, WantedOutcome};

use super::*;

/// `ok` calls with good audio, then two busy ones and one without response.
pub(super) fn records(ok: u64) -> Vec<CallRecord> {
    let heard = |i: u64| CallRecord {
        call_id: format!("ok-{i}"),
        audio: "two_way".into(),
        audio_rx: Heard::Heard,
        audio_tx: Heard::Heard,
        mos_lq: Some(4.4),
        mos_cq: Some(4.2 + 0.01 * (i % 20) as f64),
        loss_pct: Some(0.0),
        jitter_ms: Some(0.4),
        rtt_ms: Some(1.2),
        rx_packets: Some(500),
        ..answered(20.0 + i as f64, 200.0 + i as f64)
    };
    let mut records: Vec<CallRecord> = (1..=ok).map(heard).collect();
    records.push(CallRecord { call_id: "busy-1".into(), ..refused(486, Class::CallCalleeBusy) });
    records.push(CallRecord { call_id: "busy-2".into(), ..refused(486, Class::CallCalleeBusy) });
    records.push(CallRecord { call_id: "lost-1".into(), ..timed_out() });
    records
}

/// Seconds in which twenty calls start, one ends busy and the others well.
pub(super) fn windows(count: u64) -> Vec<Window> {
    let start: jiff::Timestamp = "2026-01-02T03:04:05Z".parse().expect("valid");
    (1..=count)
        .map(|second| {
            let mut builder = WindowBuilder::new(LatencyFrom::Intended);
            builder.start(20);
            builder.end(&CallRecord { mos_cq: Some(4.2), ..answered(20.0, 200.0 + second as f64) }.outcome());
            builder.end(&refused(486, Class::CallCalleeBusy).outcome());
            builder.close(start + Duration::from_secs(second), 1.0, 40)
        })
        .collect()
}

pub(super) fn totals(records: &[CallRecord]) -> Totals {
    let mut tally = Tally::new(LatencyFrom::Intended);
    records.iter().for_each(|record| tally.add(&record.outcome()));
    Totals {
        tally,
        planned: Some(records.len() as u64),
        dropped: 0,
        back_off: BackOff::default(),
        warm_up: 0,
        ended_early: None,
        closed: false,
        beside: BTreeMap::new(),
        peak_concurrent: 17,
        peak_cps: 10.0,
        elapsed: Duration::from_secs(10),
    }
}

pub(super) fn expectations(run: &[&str]) -> Vec<Expectation> {
    let each = Each { outcome: Some(WantedOutcome::Answered), audio: Some("two_way".into()), ..Each::default() };
    let mut expectations =
        vec![Expectation { text: "each: outcome answered, audio two_way".into(), kind: ExpectationKind::Each(each) }];
    expectations.extend(run.iter().map(|text| Expectation {
        text: (*text).to_owned(),
        kind: ExpectationKind::Run(text.parse().expect("valid")),
    }));
    expectations
}

pub(super) fn info(ending: Ending) -> RunInfo {
    RunInfo {
        scenario: "outbound-dial".into(),
        description: "An agent registers, dials out, talks for ten seconds and hangs up.".into(),
        target: "lab".into(),
        about: BTreeMap::new(),
        version: "0.1.0".into(),
        started_at: "2026-01-02T03:04:05Z".parse().expect("valid"),
        ended_at: "2026-01-02T03:04:25Z".parse().expect("valid"),
        ending,
        ice_servers: IceServers::default(),
        standing: None,
    }
}

/// The summary of `records` with these expectations.
pub(super) fn summary(records: &[CallRecord], expected: &[Expectation], ending: Ending, health: Health) -> Summary {
    let totals = totals(records);
    let mut checker = Checker::new(expected);
    records.iter().for_each(|record| checker.add(record));
    let sink = SinkReport {
        name: "influxdb".into(),
        counts: SinkCounts { measured: 10, written: 8, spooled: 2, ..SinkCounts::default() },
        ..SinkReport::default()
    };
    let expectations = checker.finish(&totals, &[]);
    let all_hold = all_hold(&expectations);
    let parts = Parts {
        info: info(ending),
        totals: &totals,
        expectations,
        limits: Vec::new(),
        generator: Generator::new(&totals, health, all_hold),
        sinks: vec![sink],
        records: RecordShare { failures: 3, successes: 10, successes_pct: Some(100.0), ..RecordShare::default() },
    };
    let code = |verdict| if verdict == Verdict::Pass { 0 } else { 1 };
    Summary::new(parts, code)
}
