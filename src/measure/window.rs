//! The run over time: one line per window, a second or ten.
//!
//! A start counts in the window in which it happened, an end in the window in which it happened, so the sums over all
//! windows equal the totals. Who drives the windows has the clock and knows how many attempts are going on.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::record::{Class, Outcome};

use super::histogram::{Distribution, Scale};
use super::tally::LatencyFrom;

/// One line of `windows.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// Its end.
    pub at: Timestamp,
    /// Its length, seconds.
    pub seconds: f64,
    /// Attempts that started.
    pub started: u64,
    /// Starts that were due and did not happen.
    pub dropped: u64,
    /// Legs that ended after an answer.
    pub answered: u64,
    /// Legs that ended as failed.
    pub failed: u64,
    /// Legs that ended, by class.
    pub classes: BTreeMap<Class, u64>,
    /// Attempts going on at its end.
    pub concurrent: u64,
    /// Starts per second.
    pub cps: f64,
    /// Response delay of the attempts that ended.
    pub srd_ms: Percentiles,
    /// Answer delay of the attempts that ended.
    pub setup_ms: Percentiles,
    /// Conversational quality of the attempts that ended.
    pub mos_cq: Percentiles,
    /// Worst late start, ms.
    pub late_ms: Option<f64>,
    /// Turns of the workers while media ran, ms: each from the moment it was due to its end, so how late RTP may have gone out.
    #[serde(default)]
    pub turn_ms: Percentiles,
}

/// The percentiles that a window keeps; `null` without values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// 10th percentile.
    pub p10: Option<f64>,
    /// Median.
    pub p50: Option<f64>,
    /// 99th percentile.
    pub p99: Option<f64>,
}

impl Percentiles {
    fn of(distribution: &Distribution) -> Self {
        let [p10, p50, p99] = [10.0, 50.0, 99.0].map(|percent| distribution.percentile(percent));
        Self { p10, p50, p99 }
    }
}

/// Collects what happens until the window is closed, then starts again.
#[derive(Clone, Debug)]
pub struct WindowBuilder {
    latency_from: LatencyFrom,
    started: u64,
    dropped: u64,
    answered: u64,
    failed: u64,
    classes: BTreeMap<Class, u64>,
    srd_ms: Distribution,
    setup_ms: Distribution,
    mos_cq: Distribution,
    late_ms: Option<f64>,
    turn_ms: Distribution,
}

impl WindowBuilder {
    /// An empty window.
    pub fn new(latency_from: LatencyFrom) -> Self {
        Self {
            latency_from,
            started: 0,
            dropped: 0,
            answered: 0,
            failed: 0,
            classes: BTreeMap::new(),
            srd_ms: Distribution::new(Scale::Millis),
            setup_ms: Distribution::new(Scale::Millis),
            mos_cq: Distribution::new(Scale::Small),
            late_ms: None,
            turn_ms: Distribution::new(Scale::Millis),
        }
    }

    /// Counts turns of a worker, milliseconds.
    pub fn add_turns(&mut self, turns: &Distribution) {
        self.turn_ms.merge(turns);
    }

    /// Counts attempts that started.
    pub fn start(&mut self, attempts: u64) {
        self.started += attempts;
    }

    /// Counts starts that were due and did not happen.
    pub fn drop_starts(&mut self, attempts: u64) {
        self.dropped += attempts;
    }

    /// Counts an attempt that ended.
    pub fn end(&mut self, outcome: &Outcome) {
        self.answered += u64::from(outcome.is_answered());
        self.failed += u64::from(outcome.is_failed());
        *self.classes.entry(outcome.class).or_default() += 1;
        let waited = match self.latency_from {
            LatencyFrom::Intended => outcome.late_ms.unwrap_or(0.0),
            LatencyFrom::Actual => 0.0,
        };
        add_known(&mut self.srd_ms, outcome.srd_ms.map(|ms| ms + waited));
        add_known(&mut self.setup_ms, outcome.setup_ms.map(|ms| ms + waited));
        add_known(&mut self.mos_cq, outcome.mos_cq);
        self.late_ms = later(self.late_ms, outcome.late_ms);
    }

    /// Adds what another worker collected for the same window.
    pub fn merge(&mut self, other: &Self) {
        self.started += other.started;
        self.dropped += other.dropped;
        self.answered += other.answered;
        self.failed += other.failed;
        for (class, count) in &other.classes {
            *self.classes.entry(*class).or_default() += count;
        }
        self.srd_ms.merge(&other.srd_ms);
        self.setup_ms.merge(&other.setup_ms);
        self.mos_cq.merge(&other.mos_cq);
        self.late_ms = later(self.late_ms, other.late_ms);
        self.turn_ms.merge(&other.turn_ms);
    }

    /// Closes the window and starts the next. `seconds` is its length, `concurrent` how many attempts are going on.
    pub fn close(&mut self, at: Timestamp, seconds: f64, concurrent: u64) -> Window {
        let window = Window {
            at,
            seconds,
            started: self.started,
            dropped: self.dropped,
            answered: self.answered,
            failed: self.failed,
            classes: std::mem::take(&mut self.classes),
            concurrent,
            cps: if seconds > 0.0 { self.started as f64 / seconds } else { 0.0 },
            srd_ms: Percentiles::of(&self.srd_ms),
            setup_ms: Percentiles::of(&self.setup_ms),
            mos_cq: Percentiles::of(&self.mos_cq),
            late_ms: self.late_ms,
            turn_ms: Percentiles::of(&self.turn_ms),
        };
        self.clear();
        window
    }

    fn clear(&mut self) {
        (self.started, self.dropped, self.answered, self.failed, self.late_ms) = (0, 0, 0, 0, None);
        self.srd_ms.clear();
        self.setup_ms.clear();
        self.mos_cq.clear();
        self.turn_ms.clear();
    }
}

fn add_known(distribution: &mut Distribution, value: Option<f64>) {
    if value.is_some() {
        distribution.add(value);
    }
}

pub(super) fn later(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.max(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{answered, refused};
    use super::*;

    fn at() -> Timestamp {
        "2026-01-02T03:04:05Z".parse().expect("valid")
    }

    #[test]
    fn a_window_holds_what_happened_since_the_last() {
        let mut builder = WindowBuilder::new(LatencyFrom::Actual);
        builder.start(3);
        builder.drop_starts(1);
        builder.end(&answered(30.0, 230.0).outcome());
        builder.end(&refused(486, Class::CallCalleeBusy).outcome());
        let window = builder.close(at(), 2.0, 7);
        assert_eq!((window.started, window.dropped, window.answered, window.failed), (3, 1, 1, 1));
        assert_eq!((window.concurrent, window.cps), (7, 1.5));
        assert_eq!(window.setup_ms.p50, Some(230.0));
        assert_eq!(window.classes, BTreeMap::from([(Class::Ok, 1), (Class::CallCalleeBusy, 1)]));
        let empty = builder.close(at(), 1.0, 7);
        assert_eq!((empty.started, empty.answered, empty.setup_ms.p50, empty.late_ms), (0, 0, None, None));
        assert_eq!(empty.turn_ms, Percentiles::default(), "no media ran");
    }

    #[test]
    fn turns_of_workers_count_in_the_window_in_which_they_are_told() {
        let turns = |each: f64| {
            let mut turns = Distribution::new(Scale::Millis);
            turns.add(Some(each));
            turns
        };
        let mut builder = WindowBuilder::new(LatencyFrom::Actual);
        (0..99).for_each(|_| builder.add_turns(&turns(1.0)));
        builder.add_turns(&turns(7.0));
        let window = builder.close(at(), 1.0, 0);
        assert_eq!((window.turn_ms.p50, window.turn_ms.p99), (Some(1.0), Some(1.0)));
        builder.add_turns(&turns(2.0));
        assert_eq!(builder.close(at(), 1.0, 0).turn_ms.p99, Some(2.0));
    }

    #[test]
    fn windows_of_two_workers_merge() {
        let mut one = WindowBuilder::new(LatencyFrom::Intended);
        let mut other = one.clone();
        one.start(1);
        let mut late = answered(30.0, 230.0);
        late.late_ms = Some(70.0);
        other.end(&late.outcome());
        one.merge(&other);
        let window = one.close(at(), 1.0, 0);
        assert_eq!((window.started, window.answered, window.late_ms), (1, 1, Some(70.0)));
        assert_eq!(window.setup_ms.p99, Some(300.0));
    }
}
