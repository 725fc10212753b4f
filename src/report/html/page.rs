//! What stands on the page, section by section, as texts ready to be written.

use serde::Serialize;

use crate::measure::{Figure, Window};
use crate::record::{CallRecord, Class, Origin, explain};
use crate::sip::write::reason_phrase;
use crate::station::Unattributed;

use super::super::generator::Generator;
use super::super::headline::thousands;
use super::super::summary::{Limit, SinkReport, Summary};
use super::super::verdict::Verdict;
use super::FAILURES_SHOWN;
use super::chart::Chart;
use super::tables::{Distributions, distribution, tables};
use super::timeline::charts;
use super::words::{self, Unit, short};

/// Fewer attempts than this have no charts.
const FEWEST_FOR_CHARTS: u64 = 3;
const NOT_MEASURED: &str = "not measured";

/// Everything that the template writes.
#[derive(Debug, Serialize)]
pub(super) struct Page<'a> {
    scenario: &'a str,
    description: &'a str,
    target: &'a str,
    version: &'a str,
    headline: &'a str,
    verdict: &'static str,
    /// `good`, `bad` or `unsure`: a colour and a mark.
    mood: &'static str,
    started: String,
    lasted: String,
    tiles: Vec<Tile>,
    expectations: Vec<Expectation>,
    limits: Vec<LimitRow>,
    charts: Vec<Chart>,
    faults_title: &'static str,
    faults: Vec<Fault>,
    codes: Vec<Code>,
    calls: Vec<Call>,
    /// Failed calls that are not listed.
    calls_left_out: u64,
    tables: Vec<Distributions>,
    indicators: Vec<Indicator>,
    limited_by: &'a [String],
    generator: Vec<Check>,
    sinks: Vec<Sink<'a>>,
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Tile {
    name: &'static str,
    value: String,
    more: String,
}

#[derive(Debug, Serialize)]
struct Expectation {
    text: String,
    pass: bool,
    actual: String,
    note: Option<String>,
    implied: bool,
}

#[derive(Debug, Serialize)]
struct LimitRow {
    of: String,
    trunk: String,
    measured: String,
    contracted: String,
    finding: String,
    proof: String,
    refusal: String,
    text: String,
}

#[derive(Debug, Serialize)]
struct Fault {
    class: &'static str,
    count: String,
    meaning: &'static str,
    /// Nothing where the scenario expects it.
    next: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Code {
    code: String,
    phrase: &'static str,
    local: bool,
    count: String,
}

#[derive(Debug, Serialize)]
struct Call {
    call_id: String,
    at: String,
    from: String,
    to: String,
    code: String,
    reason: String,
    class: &'static str,
    unmet: Option<String>,
    /// What is wrong with its media, or with the servers of ICE.
    faults: Vec<String>,
    /// Folder of its evidence, where some was kept.
    evidence: Option<String>,
}

#[derive(Debug, Serialize)]
struct Indicator {
    name: &'static str,
    short: &'static str,
    meaning: &'static str,
    value: Option<String>,
}

/// One line of our own health.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    value: String,
    bound: &'static str,
}

#[derive(Debug, Serialize)]
struct Sink<'a> {
    #[serde(flatten)]
    report: &'a SinkReport,
    reconciles: bool,
}

impl<'a> Page<'a> {
    pub(super) fn new(summary: &'a Summary, windows: &[Window], failures: &[CallRecord]) -> Self {
        let calls: Vec<Call> = failures.iter().take(FAILURES_SHOWN).map(call).collect();
        let beside: u64 = summary.beside.iter().filter(|(class, _)| **class != Class::Ok).map(|(_, count)| count).sum();
        let failed_legs = summary.failed + summary.answering_legs.failed;
        Self {
            scenario: &summary.scenario,
            description: &summary.description,
            target: &summary.target,
            version: &summary.version,
            headline: &summary.headline,
            verdict: summary.verdict.words(),
            mood: mood(summary.verdict),
            started: summary.started_at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
            lasted: lasted(summary),
            tiles: tiles(summary),
            expectations: expectations(summary),
            limits: summary.limits.iter().map(limit).collect(),
            // One or two calls have no course over time.
            charts: if summary.attempted < FEWEST_FOR_CHARTS {
                Vec::new()
            } else {
                let calls = summary.calls.attempted > 0 && summary.calls.attempted == summary.attempted;
                charts(windows, summary.started_at, failed_legs, calls)
            },
            faults_title: if failed_legs > 0 { "What went wrong" } else { "Refused, as expected" },
            faults: summary.faults().into_iter().map(|(class, count)| fault(class, count, failed_legs > 0)).collect(),
            codes: summary.codes.iter().map(|(code, count)| self::code(code, *count)).collect(),
            calls_left_out: (failed_legs + beside).saturating_sub(calls.len() as u64),
            calls,
            tables: tables(summary),
            indicators: indicators(summary),
            limited_by: &summary.generator.limited_by,
            generator: generator(&summary.generator, summary),
            sinks: summary.sinks.iter().map(|report| Sink { reconciles: report.reconciles(), report }).collect(),
            notes: notes(summary),
        }
    }
}

fn mood(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "good",
        Verdict::Fail => "bad",
        Verdict::GeneratorLimited | Verdict::NotStarted | Verdict::Interrupted => "unsure",
    }
}

fn seconds(summary: &Summary) -> f64 {
    summary.ended_at.duration_since(summary.started_at).as_secs_f64().max(0.0)
}

fn lasted(summary: &Summary) -> String {
    let seconds = seconds(summary);
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{} s", short(seconds)),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole / 60 % 60),
    }
}

pub(super) fn or_not_measured(value: Option<String>) -> String {
    value.unwrap_or_else(|| NOT_MEASURED.to_owned())
}

fn tiles(summary: &Summary) -> Vec<Tile> {
    let tile = |name, value: String, more: String| Tile { name, value, more };
    let of_planned = summary.planned.filter(|planned| *planned > summary.attempted + summary.warm_up);
    let share = |part: u64, all: u64| match all {
        0 => String::new(),
        all => format!("{} %", short(100.0 * part as f64 / all as f64)),
    };
    let calls = summary.kpi.asr.is_some() || summary.answered > 0;
    let succeeded = summary.attempted.saturating_sub(summary.failed);
    let good = match calls {
        true => ("Answered", summary.calls.answered, summary.calls.attempted),
        false => ("Succeeded", succeeded, summary.attempted),
    };
    // Some attempts only register: they are no calls.
    let mixed = calls && summary.calls.attempted < summary.attempted;
    let mut tiles = vec![
        tile(
            if calls && !mixed { "Calls" } else { "Attempts" },
            thousands(summary.attempted),
            of_planned.map_or_else(String::new, |planned| format!("of {} planned", thousands(planned))),
        ),
        tile(good.0, thousands(good.1), share(good.1, good.2)),
        tile("Failed", thousands(summary.failed), share(summary.failed, summary.attempted)),
    ];
    if mixed {
        tiles.insert(1, tile("Calls", thousands(summary.calls.attempted), String::new()));
    }
    if summary.attempted > 1 {
        tiles.push(tile("Most at the same time", thousands(summary.peak_concurrent), String::new()));
        // A run of less than a second has no rate.
        if summary.peak_cps > 0.0 {
            tiles.push(tile(
                "Highest start rate",
                short(summary.peak_cps),
                if calls && !mixed { "calls per second" } else { "attempts per second" }.to_owned(),
            ));
        }
    }
    tiles.extend(of_figure(summary, Figure::SetupMs, "Set-up time"));
    tiles.extend(of_figure(summary, Figure::MosCq, "Voice quality (MOS)"));
    tiles
}

/// The median of a figure; nothing where it does not apply.
fn of_figure(summary: &Summary, figure: Figure, name: &'static str) -> Option<Tile> {
    let unit = words::figure(figure).2;
    let values = distribution(summary, figure)?;
    let applies = values.count + values.unknown > 0;
    let more = match (values.count, figure) {
        (0 | 1, Figure::MosCq) => "1 bad to 4.5 best".to_owned(),
        (0 | 1, _) => String::new(),
        (_, Figure::MosCq) => "median; 1 bad to 4.5 best".to_owned(),
        _ => values.p99.map_or_else(String::new, |p99| format!("median; 99 % below {}", unit.with_sign(p99))),
    };
    applies.then(|| Tile { name, value: or_not_measured(values.p50.map(|value| unit.with_sign(value))), more })
}

fn expectations(summary: &Summary) -> Vec<Expectation> {
    let row = |expectation: &super::super::ExpectationResult| Expectation {
        text: expectation.text.clone(),
        pass: expectation.pass,
        actual: or_not_measured(expectation.actual.as_ref().map(ToString::to_string)),
        note: expectation.note.clone().filter(|note| note != NOT_MEASURED),
        implied: expectation.implied,
    };
    summary.expectations.iter().map(row).collect()
}

fn limit(limit: &Limit) -> LimitRow {
    let number = |value: Option<u64>| value.map(thousands);
    let code = limit.code.map(|code| code.to_string());
    let refusal: Vec<String> = code.into_iter().chain(limit.reason.clone()).collect();
    LimitRow {
        of: limit.of.replace('_', " "),
        trunk: limit.trunk.clone().unwrap_or_else(|| "–".to_owned()),
        measured: or_not_measured(number(limit.measured)),
        contracted: number(limit.contracted).unwrap_or_else(|| "not stated".to_owned()),
        finding: limit.finding.map_or_else(|| "none".to_owned(), |finding| finding.to_string()),
        proof: match limit.proved {
            0 => "not proved".to_owned(),
            1 => "once".to_owned(),
            times => format!("{times} times"),
        },
        text: limit.text.clone(),
        refusal: if refusal.is_empty() { "–".to_owned() } else { refusal.join(" ") },
    }
}

fn fault(class: Class, count: u64, failed: bool) -> Fault {
    let explanation = explain(class);
    Fault {
        class: class.name(),
        count: thousands(count),
        meaning: explanation.meaning(),
        next: failed.then(|| explanation.next_action()),
    }
}

/// `486` was received, `408 local` was concluded here.
fn code(name: &str, count: u64) -> Code {
    let (code, local) = match name.strip_suffix(" local") {
        Some(code) => (code, true),
        None => (name, false),
    };
    let phrase = code.parse().map_or("", reason_phrase);
    Code { code: code.to_owned(), phrase, local, count: thousands(count) }
}

fn call(record: &CallRecord) -> Call {
    let dash = |text: Option<&str>| text.unwrap_or("–").to_owned();
    let (from, to) = record.ends();
    let of = if record.is_code_of_registration() { " to REGISTER" } else { "" };
    let local = if record.code_origin == Some(Origin::Local) { " (local)" } else { "" };
    // The address is made of our own id, so that no record can point elsewhere.
    let safe = record.call_id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    let kept = record.evidence.is_some() && safe;
    Call {
        call_id: record.call_id.clone(),
        at: record.started_at.unwrap_or(record.intended_start).strftime("%H:%M:%S").to_string(),
        from: dash(from),
        to: dash(to),
        code: record.code.map_or_else(|| "none".to_owned(), |code| format!("{code}{local}{of}")),
        reason: record.reason.clone().unwrap_or_default(),
        class: record.class.name(),
        unmet: record.unmet.clone(),
        faults: record
            .media_fault
            .as_deref()
            .into_iter()
            .chain(record.other_server_fault())
            .map(str::to_owned)
            .collect(),
        evidence: kept.then(|| record.call_id.clone()),
    }
}

fn indicators(summary: &Summary) -> Vec<Indicator> {
    let write = |(name, abbreviation, meaning, value, unit): (_, _, _, Option<f64>, &str)| Indicator {
        name,
        short: abbreviation,
        meaning,
        value: value.map(|value| format!("{} {unit}", short(value))),
    };
    words::indicators(&summary.kpi).into_iter().map(write).collect()
}

fn generator(generator: &Generator, summary: &Summary) -> Vec<Check> {
    let health = &generator.health;
    let check = |name, value: String, bound| Check { name, value, bound };
    let ms = |value: Option<f64>| or_not_measured(value.map(|value| Unit::Millis.with_sign(value)));
    let count = |value: Option<u64>| or_not_measured(value.map(thousands));
    let cpu = |cpu_s: Option<f64>| {
        let share = |cpu_s: f64| short(100.0 * cpu_s / seconds(summary).max(0.001));
        or_not_measured(cpu_s.map(|cpu_s| format!("{} s ({} % of one core)", short(cpu_s), share(cpu_s))))
    };
    // The same rule as `Generator`: shares say nothing in a small run.
    let bound = |large, small| if generator.is_small(summary.attempted) { small } else { large };
    let stalled = match generator.stalled_ms_max {
        Some(stood) => {
            format!("{} ({} attempts)", Unit::Millis.with_sign(stood), thousands(generator.stalled_attempts))
        }
        None => "none of 100 ms".to_owned(),
    };
    let mut checks = vec![
        check("Late starts, 99 % within", ms(generator.late_ms.p99), ""),
        check("Worst late start", ms(generator.late_ms.max), bound("", "1 s")),
        check("Starts more than 100 ms late", thousands(generator.late_starts), bound("1 %, with those dropped", "")),
        check("Starts dropped", thousands(generator.dropped_starts), bound("1 %, with those late", "none")),
        check("Longest standstill of a worker", stalled, bound("", "1 s")),
        check("Packets received", thousands(health.datagrams_received), ""),
        check("Packets lost in our own sockets", thousands(health.datagrams_lost), bound("0.1 %", "")),
        check("Turn of a worker, 99 % within", ms(health.turn_ms_p99), bound("20 ms while audio runs", "")),
        check("CPU time of our workers", cpu(health.cpu_s), ""),
        check("Worker threads", thousands(u64::from(health.workers)), ""),
        check("Most sockets at the same time", count(health.sockets), ""),
        check("Malformed messages received", thousands(health.malformed), ""),
        check("Results lost on the way to this report", thousands(health.records_lost), ""),
        check("Calls whose evidence was overwritten", thousands(health.evidence_overwritten), ""),
    ];
    if health.connections_dismissed.count() > 0 {
        checks.push(check("Connections of others that we closed", health.connections_dismissed.to_string(), ""));
    }
    let Unattributed { unknown, late } = health.rtp_unattributed;
    if unknown + late > 0 {
        let shown = format!("{}; of calls that were over {}", thousands(unknown), thousands(late));
        checks.push(check("RTP and RTCP of no call, at shared ports", shown, ""));
    }
    if health.lab_cpu_s.is_some() {
        checks.insert(8, check("CPU time of the built-in lab", cpu(health.lab_cpu_s), ""));
    }
    checks
}

fn notes(summary: &Summary) -> Vec<String> {
    let servers = summary.ice_servers.lines();
    let mut notes: Vec<String> =
        servers.iter().map(|line| format!("Fault of a STUN or TURN server: {line}.")).collect();
    let answering = summary.answering_legs;
    if answering.attempted > 0 {
        notes.push(format!(
            "The far end was ours too: {} of its {} legs were answered, {} failed. Both legs of a call are one \
             attempt above; classes and codes count legs.",
            thousands(answering.answered),
            thousands(answering.attempted),
            thousands(answering.failed)
        ));
    }
    if summary.warm_up > 0 {
        notes.push(format!(
            "Attempts of the warm-up: {}. They are recorded, and count in no figure but those over time.",
            thousands(summary.warm_up)
        ));
    }
    let beside = |class: Class| summary.beside.get(&class).copied().unwrap_or(0);
    let unexpected = beside(Class::CallInboundUnexpected);
    if unexpected > 0 {
        notes.push(format!(
            "Inbound calls that nothing in the scenario waited for: {}. They were refused and are no attempts.",
            thousands(unexpected)
        ));
    }
    if let Some(standing) = summary.standing {
        notes.push(format!(
            "Accounts that stayed registered for the whole run: {} of {}; their bindings were refreshed {}.",
            thousands(standing.registered),
            thousands(standing.accounts),
            times(standing.refreshes)
        ));
    }
    let (lost, back) = (beside(Class::RegBindingLost), beside(Class::Ok));
    if lost > 0 {
        notes.push(format!("Standing registrations were lost {} and made again {}.", times(lost), times(back)));
    }
    if summary.back_off.pauses > 0 {
        notes.push(format!(
            "The far side asked {} for a time without calls (503 with Retry-After); {} starts fell into it and were \
             not made.",
            times(summary.back_off.pauses),
            thousands(summary.back_off.held_back)
        ));
    }
    if let Some(share) = summary.records.successes_pct.filter(|share| *share < 100.0) {
        notes.push(format!(
            "calls.jsonl holds every failure and {} % of the successes; the figures above count all.",
            short(share)
        ));
    }
    notes
}

fn times(count: u64) -> String {
    match count {
        0 => "never".to_owned(),
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        _ => format!("{} times", thousands(count)),
    }
}
