//! What one attempt of a check is worth by itself: `--once`.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::measure::{BackOff, LatencyFrom, Tally, Totals};
use crate::record::CallRecord;
use crate::report::{Checker, ExpectationResult, LATE_IN_SMALL_RUN_MS};
use crate::scenario::watch::Check;

/// What the calls of a watch came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdicts {
    /// Checks that were made.
    pub(super) checks: u64,
    /// Of them, those that failed.
    pub(super) failed: u64,
    /// Of them, those that started late for reasons of ours.
    pub(super) late: u64,
    /// Of them, those that nothing was sent for: nobody is there.
    pub(super) unreachable: u64,
}

impl Verdicts {
    /// Judges the last attempt of a check by everything that its scenario expects; gives what does not hold, in words.
    pub(super) fn add(&mut self, check: &Check, record: &CallRecord) -> Vec<String> {
        let mut tally = Tally::new(LatencyFrom::Actual);
        tally.add(&record.outcome());
        let mut checker = Checker::new(&check.plan.expect);
        checker.add(record);
        let totals = Totals {
            tally,
            planned: Some(1),
            warm_up: 0,
            ended_early: None,
            dropped: 0,
            back_off: BackOff::default(),
            closed: false,
            beside: BTreeMap::new(),
            peak_concurrent: 1,
            peak_cps: 0.0,
            elapsed: Duration::ZERO,
        };
        let results = checker.finish(&totals, &[]);
        let broken: Vec<String> = results.iter().filter(|result| !result.pass).map(words).collect();
        self.checks += 1;
        self.failed += u64::from(!broken.is_empty());
        self.late += u64::from(record.late_ms.is_some_and(|late| late > LATE_IN_SMALL_RUN_MS));
        self.unreachable += u64::from(record.is_unreachable());
        broken
    }
}

fn words(result: &ExpectationResult) -> String {
    let actual = result.actual.as_ref().map_or_else(|| "not measured".to_owned(), ToString::to_string);
    let note = result.note.as_ref().map_or_else(String::new, |note| format!("; {note}"));
    format!("{}  ({actual}{note})", result.text)
}
