//! `summary.json`: the verdict and everything it rests on.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::measure::{BackOff, DistributionSummary, Figure, Kpi, LatencyFrom, Legs, Totals};
use crate::record::{Class, Finding};

use super::expectations::{ExpectationResult, all_hold};
use super::generator::Generator;
use super::ice_servers::IceServers;
use super::verdict::{Ending, Verdict};

/// The whole of `summary.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The verdict.
    pub verdict: Verdict,
    /// Exit code of the process.
    pub exit_code: u8,
    /// The verdict as one sentence.
    pub headline: String,
    /// Name of the scenario.
    pub scenario: String,
    /// What the scenario is for.
    pub description: String,
    /// Name of the target, or of several with commas between.
    pub target: String,
    /// Of each target that says so: `company`, `tax_id`, `environment`, `login_url`, for incident sheets.
    #[serde(default)]
    pub about: BTreeMap<String, BTreeMap<String, String>>,
    /// Version of the program.
    pub version: String,
    /// When the run started.
    pub started_at: Timestamp,
    /// When the last attempt had ended.
    pub ended_at: Timestamp,
    /// Attempts planned, where the load says so.
    pub planned: Option<u64>,
    /// Attempts of the warm-up, started or dropped. They are in `calls.jsonl` (`warm_up: true`) and in `windows.jsonl`, and
    /// in no other figure here.
    #[serde(default)]
    pub warm_up: u64,
    /// Attempts that started. The two legs of one call are one attempt.
    pub attempted: u64,
    /// Attempts that were answered.
    pub answered: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Of the attempts, those that are calls: one that only registers or pings is none.
    #[serde(default)]
    pub calls: Legs,
    /// Legs that answered our own calls, beside the attempts.
    pub answering_legs: Legs,
    /// What was recorded beside the attempts, by class: inbound calls that nothing waited for
    /// (`call.inbound_unexpected`), standing registrations that were lost (`reg.binding_lost`) or made again (`ok`).
    #[serde(default)]
    pub beside: BTreeMap<Class, u64>,
    /// Accounts that stayed registered for the whole run (`registered: standing` or `all`); `null` without any.
    #[serde(default)]
    pub standing: Option<Standing>,
    /// What was wrong with the STUN and TURN servers of the targets, by `ice_server_fault` of the records: legs, those
    /// included that did well without.
    #[serde(default)]
    pub ice_servers: IceServers,
    /// Pauses that the far side asked for, and starts that fell into them.
    #[serde(default)]
    pub back_off: BackOff,
    /// Legs by class.
    pub classes: BTreeMap<Class, u64>,
    /// Legs by SIP code; `408 local` was concluded here and never received.
    pub codes: BTreeMap<String, u64>,
    /// Highest number of attempts at the same time.
    pub peak_concurrent: u64,
    /// Highest number of starts in a second.
    pub peak_cps: f64,
    /// From where `srd_ms`, `setup_ms` and `rrd_ms` of `latency` are counted; `intended` includes `late_ms`.
    pub latency_from: LatencyFrom,
    /// Distributions of times.
    pub latency: BTreeMap<Figure, DistributionSummary>,
    /// Distributions of media quality.
    pub quality: BTreeMap<Figure, DistributionSummary>,
    /// Performance indicators.
    pub kpi: Kpi,
    /// Limits that were searched for.
    pub limits: Vec<Limit>,
    /// Expectations and what they came to.
    pub expectations: Vec<ExpectationResult>,
    /// Our own health.
    pub generator: Generator,
    /// Whether every result arrived.
    pub sinks: Vec<SinkReport>,
    /// What `calls.jsonl` and the `media` points hold of the run.
    pub records: RecordShare,
}

/// What is known of a run beside its figures.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields of the summary, under the same names")]
pub struct RunInfo {
    pub scenario: String,
    pub description: String,
    pub target: String,
    pub about: BTreeMap<String, BTreeMap<String, String>>,
    pub version: String,
    pub started_at: Timestamp,
    pub ended_at: Timestamp,
    pub ending: Ending,
    pub ice_servers: IceServers,
    pub standing: Option<Standing>,
}

/// Accounts that stayed registered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// How many there are.
    pub accounts: u64,
    /// Most of them that were registered at the same time.
    pub registered: u64,
    /// Refreshes that were accepted.
    pub refreshes: u64,
}

/// A limit that was searched for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    /// `concurrent_calls`, `call_rate`, `registrations` or `provisioned_extensions`.
    pub of: String,
    /// Trunk that it was searched on.
    pub trunk: Option<String>,
    /// Places found.
    pub measured: Option<u64>,
    /// The least and greatest that other experiments gave.
    pub range: Option<(u64, u64)>,
    /// Places bought.
    pub contracted: Option<u64>,
    /// What it is.
    pub finding: Option<Finding>,
    /// `shown` by controls or `assumed`.
    pub scope: Option<String>,
    /// Code of the refusal.
    pub code: Option<u16>,
    /// Reason of the refusal.
    pub reason: Option<String>,
    /// How often it was proved: all places alive, one more refused, one freed and taken again.
    pub proved: u32,
    /// From freeing a place to a call being accepted, ms.
    pub freed_after_ms: Option<f64>,
    /// Attempts that prove it.
    pub call_ids: Vec<String>,
    /// All that in one sentence.
    pub text: String,
}

/// What became of the points of a sink: `measured = written + spooled + rejected`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkCounts {
    /// Points that results became.
    pub measured: u64,
    /// Points that the server confirmed.
    pub written: u64,
    /// Points that wait, on disk.
    pub spooled: u64,
    /// Points that are not delivered: refused by the server (dead letters), or dropped here.
    pub rejected: u64,
    /// Of `rejected`, those dropped because the spool was full or could not be written.
    #[serde(default)]
    pub dropped: u64,
}

/// An entry of `sinks`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkReport {
    /// Kind of sink.
    pub name: String,
    /// Where it writes to, without the token.
    pub url: String,
    /// How many points went where.
    #[serde(flatten)]
    pub counts: SinkCounts,
    /// The last thing that went wrong, if anything did.
    pub last_error: Option<String>,
}

impl SinkReport {
    /// Whether every result is accounted for.
    pub fn reconciles(&self) -> bool {
        self.counts.measured == self.counts.written + self.counts.spooled + self.counts.rejected
    }
}

/// What `calls.jsonl` and the `media` points hold of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RecordShare {
    /// Records of failures; all are written.
    pub failures: u64,
    /// Records of successes that were written.
    pub successes: u64,
    /// Share of the successes that was written, percent; `null` without successes.
    pub successes_pct: Option<f64>,
    /// Legs that opened media.
    #[serde(default)]
    pub media_legs: u64,
    /// Of them, those that have a `media` point for each second; none where no sink wants them.
    #[serde(default)]
    pub media_sampled: u64,
    /// Their share, percent; `null` without media.
    #[serde(default)]
    pub media_sampled_pct: Option<f64>,
}

/// The parts that a summary is put together from.
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    /// What is known of the run beside its figures.
    pub info: RunInfo,
    /// Its figures.
    pub totals: &'a Totals,
    /// What was expected.
    pub expectations: Vec<ExpectationResult>,
    /// Limits found.
    pub limits: Vec<Limit>,
    /// Our own health.
    pub generator: Generator,
    /// What became of the results.
    pub sinks: Vec<SinkReport>,
    /// What `calls.jsonl` holds.
    pub records: RecordShare,
}

impl Summary {
    /// Decides the verdict and puts the summary together; `exit_code` maps the verdict (see `cli::exit`).
    pub fn new(parts: Parts<'_>, exit_code: impl FnOnce(Verdict) -> u8) -> Self {
        let Parts { info, totals, expectations, limits, generator, sinks, records } = parts;
        let all_hold = all_hold(&expectations);
        let verdict = Verdict::decide(&info.ending, generator.is_limited(), all_hold);
        let legs = totals.tally.legs();
        let mut summary = Self {
            verdict,
            exit_code: exit_code(verdict),
            headline: String::new(),
            scenario: info.scenario,
            description: info.description,
            target: info.target,
            about: info.about,
            version: info.version,
            started_at: info.started_at,
            ended_at: info.ended_at,
            planned: totals.planned,
            warm_up: totals.warm_up,
            attempted: legs.attempted,
            answered: legs.answered,
            failed: legs.failed,
            calls: totals.tally.calls(),
            answering_legs: totals.tally.answering_legs(),
            beside: totals.beside.clone(),
            standing: info.standing,
            ice_servers: info.ice_servers,
            back_off: totals.back_off,
            classes: totals.tally.classes().clone(),
            codes: totals.tally.codes(),
            peak_concurrent: totals.peak_concurrent,
            peak_cps: totals.peak_cps,
            latency_from: totals.tally.latency_from(),
            latency: distributions(totals, false),
            quality: distributions(totals, true),
            kpi: totals.tally.kpi(),
            limits,
            expectations,
            generator,
            sinks,
            records,
        };
        summary.headline = super::headline::headline(&summary, &info.ending);
        summary
    }

    /// The classes that are faults, the most frequent first.
    pub fn faults(&self) -> Vec<(Class, u64)> {
        let mut faults: Vec<(Class, u64)> = self
            .classes
            .iter()
            .map(|(class, count)| (*class, *count))
            .filter(|(class, _)| *class != Class::Ok)
            .collect();
        faults.sort_by_key(|(class, count)| (std::cmp::Reverse(*count), *class));
        faults
    }
}

fn distributions(totals: &Totals, quality: bool) -> BTreeMap<Figure, DistributionSummary> {
    let figures = Figure::ALL.into_iter().filter(|figure| figure.is_quality() == quality && *figure != Figure::LateMs);
    figures.map(|figure| (figure, totals.tally.figure(figure).summary())).collect()
}

#[cfg(test)]
#[path = "summary_tests.rs"]
mod tests;
