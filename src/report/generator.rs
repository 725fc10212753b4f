//! Our own health during a run, and the rule that says when *we* were the limit.
//!
//! A run is `generator_limited` when at least 1 % of the starts were dropped or more than 100 ms late, or at least
//! 0.1 % of the datagrams were lost in our own sockets, or the 99th percentile of a worker's turn was above 20 ms
//! while media ran. A turn counts from the moment it was due. An attempt that was under way while its worker stood
//! still for more than 100 ms counts as a late start. A run of fewer than 100 starts is too small for shares: it is
//! limited only if a start was dropped or more than a second late, or a worker stood still for more than a second.
//! Whatever the size, a run in which an expectation failed is limited if every failure in it may come from a standstill
//! of ours, and so is one whose results could not be written.

use serde::{Deserialize, Serialize};

use crate::measure::{DistributionSummary, Figure, Totals};
use crate::record::Class;
use crate::station::{Dismissed, Unattributed};

/// A start is late above this, ms.
const LATE_MS: f64 = 100.0;
/// In a small run, or a single check, a start is late above this, ms.
pub const LATE_IN_SMALL_RUN_MS: f64 = 1000.0;
/// Runs with fewer starts are small.
const SMALL_RUN: u64 = 100;
/// Share of dropped or late starts, percent.
const STARTS_PCT: f64 = 1.0;
/// Share of datagrams lost in our sockets, percent.
const DATAGRAMS_PCT: f64 = 0.1;
/// 99th percentile of a worker's turn, ms.
const TURN_MS: f64 = 20.0;

/// What the workers know of themselves. `None` is not measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// Worker threads.
    pub workers: u32,
    /// CPU time of our threads, the embedded lab apart, seconds.
    pub cpu_s: Option<f64>,
    /// CPU time of the embedded lab, seconds.
    pub lab_cpu_s: Option<f64>,
    /// Highest number of sockets that were open at the same time.
    pub sockets: Option<u64>,
    /// Datagrams received.
    pub datagrams_received: u64,
    /// Datagrams that our own sockets dropped because we did not read in time.
    pub datagrams_lost: u64,
    /// Datagrams and stream bytes that were no SIP, RTP or RTCP (messages, not bytes).
    pub malformed: u64,
    /// Connections of others that we closed.
    #[serde(default)]
    pub connections_dismissed: Dismissed,
    /// Datagrams of RTP and RTCP on shared media sockets that were given to no call.
    #[serde(default)]
    pub rtp_unattributed: Unattributed,
    /// 99th percentile of a worker's turn while media ran, ms.
    pub turn_ms_p99: Option<f64>,
    /// Attempts that were started and whose result never came: a worker ended by a bug, or legs did not end in time.
    pub records_lost: u64,
    /// Why results could not be written to the run folder, which ended the run.
    #[serde(default)]
    pub unwritten: Option<String>,
    /// Calls whose raw messages were overwritten in the ring before they could be kept.
    pub evidence_overwritten: u64,
}

/// `generator` of `summary.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Generator {
    /// From the intended to the actual start.
    pub late_ms: DistributionSummary,
    /// Starts that were more than 100 ms late.
    pub late_starts: u64,
    /// Starts that were due and did not happen.
    pub dropped_starts: u64,
    /// Attempts under way while their worker stood still for 100 ms or more.
    #[serde(default)]
    pub stalled_attempts: u64,
    /// The longest standstill of a worker with attempts under way, ms; `null` where there was none of 100 ms.
    #[serde(default)]
    pub stalled_ms_max: Option<f64>,
    /// What the workers know of themselves.
    #[serde(flatten)]
    pub health: Health,
    /// The bounds that were broken, as sentences; empty when the generator was not the limit.
    pub limited_by: Vec<String>,
}

impl Generator {
    /// Judges a run; `all_hold` says whether every expectation holds.
    pub fn new(totals: &Totals, health: Health, all_hold: bool) -> Self {
        let late = totals.tally.figure(Figure::LateMs);
        let late_starts = late.count_above(LATE_MS);
        let late_ms = late.summary();
        let starts = Starts {
            due: totals.tally.legs().attempted + totals.dropped,
            dropped: totals.dropped,
            late: late_starts,
            worst_ms: late_ms.max,
            stalled: totals.tally.stalled(),
            stalled_ms: totals.tally.stalled_ms_max(),
            failed: totals.tally.failed_legs(),
            excused: totals.tally.count_of(Class::ProbeStalled),
            all_hold,
        };
        Self {
            late_ms,
            late_starts,
            dropped_starts: totals.dropped,
            stalled_attempts: starts.stalled,
            stalled_ms_max: starts.stalled_ms,
            limited_by: limits(&starts, &health),
            health,
        }
    }

    /// Whether a run of `attempted` starts is too small for shares.
    pub(super) fn is_small(&self, attempted: u64) -> bool {
        attempted + self.dropped_starts < SMALL_RUN
    }

    /// Whether we were the limit.
    pub fn is_limited(&self) -> bool {
        !self.limited_by.is_empty()
    }
}

/// How the attempts of a run fared with us.
#[derive(Clone, Copy, Debug, Default)]
struct Starts {
    /// Starts that were due.
    due: u64,
    dropped: u64,
    /// More than 100 ms late.
    late: u64,
    worst_ms: Option<f64>,
    /// Under way during a standstill.
    stalled: u64,
    stalled_ms: Option<f64>,
    /// Failed for whatever cause.
    failed: u64,
    /// Failed in a way that a standstill explains.
    excused: u64,
    /// What was asked of the run holds all the same.
    all_hold: bool,
}

/// The rule of the module's page, each broken bound as a sentence.
fn limits(starts: &Starts, health: &Health) -> Vec<String> {
    let Starts { due, dropped, late, worst_ms, stalled, stalled_ms, failed, excused, all_hold } = *starts;
    let mut broken = Vec::new();
    if let Some(error) = &health.unwritten {
        broken.push(format!("results could not be kept, so the run was ended: {error}"));
    }
    if excused > 0 && excused == failed && !all_hold {
        broken.push(format!("{excused} attempts failed, each while our own machine stood still"));
    }
    if due < SMALL_RUN {
        if dropped > 0 {
            broken.push(format!("{dropped} of {due} starts were dropped"));
        }
        if let Some(worst) = worst_ms.filter(|worst| *worst > LATE_IN_SMALL_RUN_MS) {
            broken.push(format!("a start was {worst:.0} ms late (bound {LATE_IN_SMALL_RUN_MS:.0} ms)"));
        }
        if let Some(stood) = stalled_ms.filter(|stood| *stood > LATE_IN_SMALL_RUN_MS) {
            broken.push(format!(
                "a worker stood still for {stood:.0} ms with {stalled} attempts under way (bound \
                 {LATE_IN_SMALL_RUN_MS:.0} ms)"
            ));
        }
        return broken;
    }
    let starts = share(dropped + late + stalled, due);
    if starts >= STARTS_PCT {
        broken.push(format!(
            "{starts:.1} % of the starts were dropped ({dropped}) or more than {LATE_MS:.0} ms late ({late}), or their \
             worker stood still so long ({stalled}); bound {STARTS_PCT} %"
        ));
    }
    let lost = share(health.datagrams_lost, health.datagrams_received + health.datagrams_lost);
    if lost >= DATAGRAMS_PCT {
        broken.push(format!("{lost:.2} % of the datagrams were lost in our own sockets; bound {DATAGRAMS_PCT} %"));
    }
    if let Some(turn) = health.turn_ms_p99.filter(|turn| *turn > TURN_MS) {
        broken.push(format!("the 99th percentile of a worker's turn was {turn:.1} ms; bound {TURN_MS:.0} ms"));
    }
    broken
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { 100.0 * part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limited(due: u64, dropped: u64, late: u64, worst_ms: f64, health: &Health) -> usize {
        limits(&Starts { due, dropped, late, worst_ms: Some(worst_ms), ..Starts::default() }, health).len()
    }

    #[test]
    fn a_standstill_counts_as_a_late_start_and_in_a_small_run_from_a_second_on() {
        let limited = |due, stalled, stood| {
            let starts = Starts { due, stalled, stalled_ms: Some(stood), ..Starts::default() };
            limits(&starts, &Health::default()).len()
        };
        assert_eq!(limited(1000, 9, 1500.0), 0, "nine attempts of a thousand");
        assert_eq!(limited(1000, 10, 100.0), 1);
        assert_eq!(limited(10, 10, 1000.0), 0);
        assert_eq!(limited(10, 1, 1000.1), 1);
    }

    #[test]
    fn failures_that_a_standstill_explains_never_blame_the_target() {
        let limited = |due, failed, excused| {
            let stalled_ms = Some(150.0);
            let starts = Starts { due, failed, excused, stalled: excused, stalled_ms, ..Starts::default() };
            limits(&starts, &Health::default()).len()
        };
        assert_eq!(limited(10, 1, 1), 1);
        assert_eq!(limited(100_000, 3, 3), 1);
        assert_eq!(limited(100_000, 4, 3), 0, "one failure is the target's");
        assert_eq!(limited(100_000, 0, 0), 0);
    }

    #[test]
    fn a_standstill_that_leaves_every_expectation_standing_does_not_undo_the_run() {
        let starts = Starts { due: 1, failed: 1, excused: 1, stalled: 1, stalled_ms: Some(171.0), ..Starts::default() };
        assert_eq!(limits(&starts, &Health::default()).len(), 1);
        assert_eq!(limits(&Starts { all_hold: true, ..starts }, &Health::default()).len(), 0);
    }

    #[test]
    fn results_that_cannot_be_kept_limit_a_run_of_any_size() {
        let health = Health { unwritten: Some("no space".into()), ..Health::default() };
        assert_eq!([limited(1, 0, 0, 0.0, &health), limited(1000, 0, 0, 0.0, &health)], [1, 1]);
    }

    #[test]
    fn one_percent_of_dropped_or_late_starts_is_the_bound() {
        let healthy = Health::default();
        assert_eq!(limited(1000, 5, 4, 150.0, &healthy), 0);
        assert_eq!(limited(1000, 5, 5, 150.0, &healthy), 1);
        assert_eq!(limited(1000, 10, 0, 0.0, &healthy), 1);
        assert_eq!(limited(1000, 0, 9, 5000.0, &healthy), 0, "nine late starts of a thousand");
    }

    #[test]
    fn one_datagram_in_a_thousand_lost_in_our_sockets_is_the_bound() {
        let lost = |lost| Health { datagrams_received: 100_000 - lost, datagrams_lost: lost, ..Health::default() };
        assert_eq!(limited(1000, 0, 0, 0.0, &lost(99)), 0);
        assert_eq!(limited(1000, 0, 0, 0.0, &lost(100)), 1);
    }

    #[test]
    fn a_slow_turn_counts_only_above_twenty_milliseconds() {
        let turn = |ms| Health { turn_ms_p99: Some(ms), ..Health::default() };
        assert_eq!(limited(1000, 0, 0, 0.0, &turn(20.0)), 0);
        assert_eq!(limited(1000, 0, 0, 0.0, &turn(20.1)), 1);
    }

    #[test]
    fn a_small_run_is_limited_only_by_a_second_or_a_dropped_start() {
        let slow = Health { turn_ms_p99: Some(90.0), ..Health::default() };
        assert_eq!(limited(99, 0, 40, 1000.0, &slow), 0);
        assert_eq!(limited(99, 0, 1, 1000.1, &slow), 1);
        assert_eq!(limited(99, 1, 0, 0.0, &slow), 1);
        assert_eq!(limited(100, 0, 0, 0.0, &slow), 1, "a hundred is not small");
        assert_eq!(limited(0, 0, 0, 0.0, &Health::default()), 0);
    }

    #[test]
    fn every_bound_that_is_broken_is_named() {
        let health =
            Health { datagrams_received: 10, datagrams_lost: 10, turn_ms_p99: Some(25.0), ..Health::default() };
        let starts = Starts { due: 200, dropped: 1, late: 3, worst_ms: Some(300.0), stalled: 2, ..Starts::default() };
        let broken = limits(&starts, &health);
        assert_eq!(
            broken,
            [
                "3.0 % of the starts were dropped (1) or more than 100 ms late (3), or their worker stood still so \
                 long (2); bound 1 %",
                "50.00 % of the datagrams were lost in our own sockets; bound 0.1 %",
                "the 99th percentile of a worker's turn was 25.0 ms; bound 20 ms",
            ]
        );
    }
}
