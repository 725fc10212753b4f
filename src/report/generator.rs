//! Our own health during a run, and the rule that says when *we* were the limit.
//!
//! A run is `generator_limited` when at least 1 % of the starts were dropped or more than 100 ms late, or at least
//! 0.1 % of the datagrams were lost in our own sockets, or the 99th percentile of a worker's turn was above 20 ms
//! while media ran. A run of fewer than 100 starts is too small for shares: it is limited only if a start was dropped
//! or more than a second late.

use serde::{Deserialize, Serialize};

use crate::measure::{DistributionSummary, Figure, Totals};

/// A start is late above this, ms.
const LATE_MS: f64 = 100.0;
/// In a small run a start is late above this, ms.
const LATE_IN_SMALL_RUN_MS: f64 = 1000.0;
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
    /// 99th percentile of a worker's turn while media ran, ms.
    pub turn_ms_p99: Option<f64>,
    /// Results that found their channel full and were lost on the way to the report.
    pub records_lost: u64,
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
    /// What the workers know of themselves.
    #[serde(flatten)]
    pub health: Health,
    /// The bounds that were broken, as sentences; empty when the generator was not the limit.
    pub limited_by: Vec<String>,
}

impl Generator {
    /// Judges a run.
    pub fn new(totals: &Totals, health: Health) -> Self {
        let late = totals.tally.figure(Figure::LateMs);
        let late_starts = late.count_above(LATE_MS);
        let late_ms = late.summary();
        let due = totals.tally.legs().attempted + totals.dropped;
        let limited_by = limits(due, totals.dropped, late_starts, late_ms.max, &health);
        Self { late_ms, late_starts, dropped_starts: totals.dropped, health, limited_by }
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

/// The rule of the module's page, each broken bound as a sentence.
fn limits(due: u64, dropped: u64, late: u64, worst_ms: Option<f64>, health: &Health) -> Vec<String> {
    let mut broken = Vec::new();
    if due < SMALL_RUN {
        if dropped > 0 {
            broken.push(format!("{dropped} of {due} starts were dropped"));
        }
        if let Some(worst) = worst_ms.filter(|worst| *worst > LATE_IN_SMALL_RUN_MS) {
            broken.push(format!("a start was {worst:.0} ms late (bound {LATE_IN_SMALL_RUN_MS:.0} ms)"));
        }
        return broken;
    }
    let starts = share(dropped + late, due);
    if starts >= STARTS_PCT {
        broken.push(format!(
            "{starts:.1} % of the starts were dropped ({dropped}) or more than {LATE_MS:.0} ms late ({late}); \
             bound {STARTS_PCT} %"
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
        limits(due, dropped, late, Some(worst_ms), health).len()
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
        let broken = limits(200, 1, 3, Some(300.0), &health);
        assert_eq!(
            broken,
            [
                "2.0 % of the starts were dropped (1) or more than 100 ms late (3); bound 1 %",
                "50.00 % of the datagrams were lost in our own sockets; bound 0.1 %",
                "the 99th percentile of a worker's turn was 25.0 ms; bound 20 ms",
            ]
        );
    }
}
