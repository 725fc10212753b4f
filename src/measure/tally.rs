//! The running sum of a run: counts and distributions. Each worker has its own; they merge.
//!
//! Latency is counted from the **intended** start where the schedule is open: a caller whose call started late waited
//! for it too (coordinated omission). With a closed load there is no intended start of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::media::Audio;
use crate::record::{Class, Origin, Outcome, Role};

use super::figure::Figure;
use super::histogram::Distribution;
use super::kpi::{Counts, Kpi};
use super::window::later;

/// From where latency is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LatencyFrom {
    /// From the start that the schedule asked for: `late_ms` is added.
    Intended,
    /// From the actual start: the load has no schedule of its own.
    #[default]
    Actual,
}

/// Attempts counted as attempted, answered and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Legs {
    /// Attempts that started.
    pub attempted: u64,
    /// Answered with a 2xx to the INVITE.
    pub answered: u64,
    /// Failed ([`Outcome::is_failed`]).
    pub failed: u64,
}

impl Legs {
    fn add(&mut self, outcome: &Outcome) {
        self.attempted += 1;
        self.answered += u64::from(outcome.is_answered());
        self.failed += u64::from(outcome.is_failed());
    }

    fn merge(&mut self, other: Self) {
        self.attempted += other.attempted;
        self.answered += other.answered;
        self.failed += other.failed;
    }
}

/// Counts and distributions of many records.
#[derive(Clone, Debug)]
pub struct Tally {
    latency_from: LatencyFrom,
    /// Legs that place calls, register or ping.
    leading: Legs,
    /// Of them, those that place calls.
    placing: Legs,
    /// Legs that answer calls.
    answering: Legs,
    unmet: u64,
    two_way: u64,
    stalled: u64,
    stalled_ms_max: Option<f64>,
    classes: BTreeMap<Class, u64>,
    codes: BTreeMap<(u16, bool), u64>,
    figures: Vec<Distribution>,
    counts: Counts,
}

impl Tally {
    /// An empty tally.
    pub fn new(latency_from: LatencyFrom) -> Self {
        Self {
            latency_from,
            leading: Legs::default(),
            placing: Legs::default(),
            answering: Legs::default(),
            unmet: 0,
            two_way: 0,
            stalled: 0,
            stalled_ms_max: None,
            classes: BTreeMap::new(),
            codes: BTreeMap::new(),
            figures: Figure::ALL.iter().map(|figure| Distribution::new(figure.scale())).collect(),
            counts: Counts::default(),
        }
    }

    /// Counts one attempt.
    pub fn add(&mut self, outcome: &Outcome) {
        if outcome.role == Role::Callee { &mut self.answering } else { &mut self.leading }.add(outcome);
        if outcome.role == Role::Caller {
            self.placing.add(outcome);
        }
        self.unmet += u64::from(outcome.unmet);
        self.two_way += u64::from(outcome.audio == Audio::TwoWay);
        if outcome.stalled_ms.is_some() {
            self.stalled += 1;
            self.stalled_ms_max = later(self.stalled_ms_max, outcome.stalled_ms);
        }
        *self.classes.entry(outcome.class).or_default() += 1;
        if let Some(code) = outcome.code {
            *self.codes.entry((code, outcome.code_origin == Some(Origin::Local))).or_default() += 1;
        }
        self.counts.add(outcome);
        for figure in Figure::ALL {
            self.add_figure(figure, outcome);
        }
    }

    fn add_figure(&mut self, figure: Figure, outcome: &Outcome) {
        let late = match self.latency_from {
            LatencyFrom::Intended if figure.waits_for_start() => outcome.late_ms.unwrap_or(0.0),
            _ => 0.0,
        };
        match figure.of(outcome) {
            Some(value) => self.figures[figure as usize].add(Some(value + late)),
            None if figure.applies(outcome) => self.figures[figure as usize].add(None),
            None => {}
        }
    }

    /// Adds what another tally of the same run counted.
    pub fn merge(&mut self, other: &Self) {
        self.leading.merge(other.leading);
        self.placing.merge(other.placing);
        self.answering.merge(other.answering);
        self.unmet += other.unmet;
        self.two_way += other.two_way;
        self.stalled += other.stalled;
        self.stalled_ms_max = later(self.stalled_ms_max, other.stalled_ms_max);
        for (class, count) in &other.classes {
            *self.classes.entry(*class).or_default() += count;
        }
        for (code, count) in &other.codes {
            *self.codes.entry(*code).or_default() += count;
        }
        self.counts.merge(&other.counts);
        for (own, added) in self.figures.iter_mut().zip(&other.figures) {
            own.merge(added);
        }
    }

    /// From where latency is counted.
    pub fn latency_from(&self) -> LatencyFrom {
        self.latency_from
    }

    /// Attempts: the legs that place calls, register or ping, or the answering ones where there are no others. The
    /// two legs of one call are one attempt.
    pub fn legs(&self) -> Legs {
        if self.leading.attempted == 0 { self.answering } else { self.leading }
    }

    /// Of the attempts, those that are calls: a leg that only registers or pings is none.
    pub fn calls(&self) -> Legs {
        if self.leading.attempted == 0 { self.answering } else { self.placing }
    }

    /// Answering legs beside the attempts of [`Tally::legs`].
    pub fn answering_legs(&self) -> Legs {
        self.answering
    }

    /// Failed legs of either kind.
    pub fn failed_legs(&self) -> u64 {
        self.leading.failed + self.answering.failed
    }

    /// Legs with an expectation of a step that was not met.
    pub fn unmet(&self) -> u64 {
        self.unmet
    }

    /// Legs whose audio was heard in both directions.
    pub fn two_way(&self) -> u64 {
        self.two_way
    }

    /// Legs under way while our own worker stood still.
    pub fn stalled(&self) -> u64 {
        self.stalled
    }

    /// The longest such time, ms.
    pub fn stalled_ms_max(&self) -> Option<f64> {
        self.stalled_ms_max
    }

    /// Legs by class, `ok` included.
    pub fn classes(&self) -> &BTreeMap<Class, u64> {
        &self.classes
    }

    /// Legs of a class.
    pub fn count_of(&self, class: Class) -> u64 {
        self.classes.get(&class).copied().unwrap_or(0)
    }

    /// Legs with this code received.
    pub fn received(&self, code: u16) -> u64 {
        self.codes.get(&(code, false)).copied().unwrap_or(0)
    }

    /// Legs by code: `486` was received, `408 local` was concluded here.
    pub fn codes(&self) -> BTreeMap<String, u64> {
        let name = |(code, local): (u16, bool)| if local { format!("{code} local") } else { code.to_string() };
        self.codes.iter().map(|(code, count)| (name(*code), *count)).collect()
    }

    /// The distribution of a figure; latency as [`Tally::latency_from`] says.
    pub fn figure(&self, figure: Figure) -> &Distribution {
        &self.figures[figure as usize]
    }

    /// Performance indicators of the calls placed.
    pub fn kpi(&self) -> Kpi {
        self.counts.kpi()
    }
}

/// A tally with what only the run as a whole knows.
#[derive(Clone, Debug)]
pub struct Totals {
    /// Counts and distributions.
    pub tally: Tally,
    /// Attempts that the plan asks for, where it says so.
    pub planned: Option<u64>,
    /// Attempts of the warm-up, started or dropped: nothing else here counts them.
    pub warm_up: u64,
    /// Why the run was ended before its time, where it was.
    pub ended_early: Option<String>,
    /// Starts that were due and did not happen.
    pub dropped: u64,
    /// Starts that fell into a pause that the far side had asked for: neither it nor we fell short.
    pub back_off: BackOff,
    /// The time in which lines may be filled was over before the load was.
    pub closed: bool,
    /// What was recorded beside the attempts, by class: inbound calls that nothing waited for, standing registrations
    /// that were lost (`reg.binding_lost`) or made again (`ok`).
    pub beside: BTreeMap<Class, u64>,
    /// Highest number of attempts at the same time.
    pub peak_concurrent: u64,
    /// Highest number of starts in a second.
    pub peak_cps: f64,
    /// From the first start to the end of the last attempt.
    pub elapsed: Duration,
}

/// Pauses that the far side asked for (503 with Retry-After).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackOff {
    /// How many began.
    pub pauses: u64,
    /// Starts of an open schedule that fell into one and were not made.
    pub held_back: u64,
}

impl Totals {
    /// Faults of these classes that were recorded beside the attempts.
    pub fn beside_of(&self, wanted: impl Fn(Class) -> bool) -> u64 {
        let faults = self.beside.iter().filter(|(class, _)| **class != Class::Ok && wanted(**class));
        faults.map(|(_, count)| count).sum()
    }

    /// Attempts started per second over the whole run; `None` where it had no length.
    pub fn cps(&self) -> Option<f64> {
        let seconds = self.elapsed.as_secs_f64();
        (seconds > 0.0).then(|| self.tally.legs().attempted as f64 / seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{answered, refused, registration, timed_out};
    use super::*;
    use crate::record::CallRecord;

    fn tally(latency_from: LatencyFrom, records: &[CallRecord]) -> Tally {
        let mut tally = Tally::new(latency_from);
        records.iter().for_each(|record| tally.add(&record.outcome()));
        tally
    }

    fn sample() -> Vec<CallRecord> {
        vec![answered(30.0, 230.0), refused(486, Class::CallCalleeBusy), timed_out()]
    }

    #[test]
    fn attempts_are_counted_by_outcome_class_and_code() {
        let tally = tally(LatencyFrom::Actual, &sample());
        assert_eq!(tally.legs(), Legs { attempted: 3, answered: 1, failed: 2 });
        assert_eq!(tally.count_of(Class::CallTimeout), 1);
        let codes = [("200", 1), ("408 local", 1), ("486", 1)].map(|(code, n)| (code.to_owned(), n));
        assert_eq!(tally.codes(), codes.into());
        assert_eq!((tally.received(486), tally.received(408)), (1, 0));
    }

    #[test]
    fn a_time_out_has_an_unknown_response_delay() {
        let summary = tally(LatencyFrom::Actual, &sample()).figure(Figure::SrdMs).summary();
        assert_eq!((summary.count, summary.unknown, summary.max), (2, 1, Some(30.0)));
        let registered = tally(LatencyFrom::Actual, &[registration(200, Class::Ok)]);
        assert_eq!(registered.figure(Figure::SrdMs).summary().unknown, 0, "there was no call");
        assert_eq!(registered.figure(Figure::RrdMs).summary().p50, Some(15.0));
    }

    #[test]
    fn latency_counts_from_the_intended_start_on_open_schedules() {
        let late = CallRecord { late_ms: Some(500.0), ..answered(30.0, 230.0) };
        let intended = tally(LatencyFrom::Intended, std::slice::from_ref(&late));
        assert_eq!(intended.figure(Figure::SetupMs).max(), Some(730.0));
        assert_eq!(intended.figure(Figure::RingMs).max(), Some(200.0));
        assert_eq!(tally(LatencyFrom::Actual, &[late]).figure(Figure::SetupMs).max(), Some(230.0));
    }

    #[test]
    fn a_negative_test_that_came_true_is_no_failure() {
        let expected = CallRecord { as_expected: Some(true), ..refused(404, Class::CallNumberInvalid) };
        let unmet =
            CallRecord { as_expected: Some(false), unmet: Some("code [404], got 200".into()), ..answered(20.0, 200.0) };
        let tally = tally(LatencyFrom::Actual, &[expected, unmet]);
        assert_eq!((tally.legs().failed, tally.unmet()), (1, 1));
    }

    #[test]
    fn the_two_legs_of_a_call_are_one_attempt() {
        let callee = CallRecord { role: Role::Callee, ..answered(0.0, 2000.0) };
        let both = tally(LatencyFrom::Actual, &[answered(30.0, 230.0), callee.clone()]);
        assert_eq!((both.legs().attempted, both.answering_legs().attempted), (1, 1));
        assert_eq!(tally(LatencyFrom::Actual, &[callee]).legs().attempted, 1, "only the far end is ours");
    }

    #[test]
    fn merging_equals_counting_together() {
        let (mut left, right) = (tally(LatencyFrom::Actual, &sample()), tally(LatencyFrom::Actual, &sample()));
        left.merge(&right);
        let together = tally(LatencyFrom::Actual, &[sample(), sample()].concat());
        assert_eq!(
            (left.legs(), left.classes(), left.codes()),
            (together.legs(), together.classes(), together.codes())
        );
        assert_eq!(left.kpi(), together.kpi());
        for figure in Figure::ALL {
            assert_eq!(left.figure(figure).summary(), together.figure(figure).summary());
        }
    }
}
