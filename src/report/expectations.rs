//! What was expected of the run against what it came to.
//!
//! `each:` is checked record by record as attempts end, `run:`, `called:`, `limit:` and `finding:` at the end. Three expectations
//! are implied: every planned attempt was made, every expectation of a step was met, and, where the file expects
//! nothing of the run, no attempt failed. What was not measured does not pass.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::measure::Totals;
use crate::record::{CallRecord, Finding, Outcome};
use crate::scenario::plan::{Abort, Each, Expectation, ExpectationKind};

use super::called::{self, Calls};
use super::summary::Limit;

/// One of `expectations` in `summary.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExpectationResult {
    /// As the file says it.
    pub text: String,
    /// What was measured; `null` is not measured.
    pub actual: Option<Actual>,
    /// Whether it holds.
    pub pass: bool,
    /// Why it does not hold, where the figure alone does not say so.
    pub note: Option<String>,
    /// It stands in no file: every run expects it.
    #[serde(default)]
    pub implied: bool,
}

/// Whether every expectation holds.
pub fn all_hold(results: &[ExpectationResult]) -> bool {
    results.iter().all(|result| result.pass)
}

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Actual {
    /// A figure.
    Number(f64),
    /// Words, as `98 of 100`.
    Text(String),
}

impl fmt::Display for Actual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{}", (number * 1000.0).round() / 1000.0),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// Checks records as they come.
#[derive(Clone, Debug)]
pub struct Checker {
    expectations: Vec<Expectation>,
    /// One for each expectation; used by `each:` only.
    each: Vec<EachCount>,
    /// By the number of the actor; used by `called:` only.
    calls: Vec<Calls>,
    first_unmet: Option<String>,
    purpose: Purpose,
}

/// What a run is for, which says what is expected of it where nothing is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// Attempts that succeed.
    Calls,
    /// A run without an attempt is as good as any: it only serves those who call.
    Serving,
    /// The search for a limit.
    Search,
}

#[derive(Clone, Debug, Default)]
struct EachCount {
    checked: u64,
    held: u64,
    first_failure: Option<String>,
}

impl Checker {
    /// A checker of a plan's expectations.
    pub fn new(expectations: &[Expectation]) -> Self {
        let each = vec![EachCount::default(); expectations.len()];
        let calls = Vec::new();
        Self { expectations: expectations.to_vec(), each, calls, first_unmet: None, purpose: Purpose::Calls }
    }

    /// A checker of a far end that owes no attempt: nobody may have called it.
    pub fn serving(self) -> Self {
        Self { purpose: Purpose::Serving, ..self }
    }

    /// A checker of a search for a limit.
    pub fn searching(self) -> Self {
        Self { purpose: Purpose::Search, ..self }
    }

    /// Checks one attempt of which nothing but its figures is known: none that a step or `each:` refuses.
    pub fn count(&mut self, outcome: &Outcome) {
        for (expectation, count) in self.expectations.iter().zip(&mut self.each) {
            if let ExpectationKind::Each(each) = &expectation.kind {
                count.add(each, outcome);
            }
        }
    }

    /// Notes whether the leg of an actor was called, beside what is checked of it.
    pub fn note_called(&mut self, actor: usize, outcome: &Outcome) {
        if self.calls.len() <= actor {
            self.calls.resize(actor + 1, Calls::default());
        }
        self.calls[actor].add(outcome);
    }

    /// Checks one attempt; the first that is refused is named.
    pub fn add(&mut self, record: &CallRecord) {
        let outcome = record.outcome();
        self.count(&outcome);
        for (expectation, count) in self.expectations.iter().zip(&mut self.each) {
            if let (ExpectationKind::Each(each), None) = (&expectation.kind, &count.first_failure) {
                let mismatch = each.mismatch(&outcome).filter(|_| each.concerns(&outcome));
                count.first_failure = mismatch.map(|mismatch| format!("{}: {mismatch}", record.call_id));
            }
        }
        if let (None, Some(unmet)) = (&self.first_unmet, &record.unmet) {
            self.first_unmet = Some(format!("{}: {unmet}", record.call_id));
        }
    }

    /// The first of the expectations of every attempt that one attempt does not meet, by itself.
    pub fn mismatch(expectations: &[Expectation], outcome: &Outcome) -> Option<String> {
        expectations.iter().find_map(|expectation| match &expectation.kind {
            ExpectationKind::Each(each) if each.concerns(outcome) => each.mismatch(outcome),
            _ => None,
        })
    }

    /// What all expectations came to, those of the file first.
    pub fn finish(&self, totals: &Totals, limits: &[Limit]) -> Vec<ExpectationResult> {
        let mut results: Vec<ExpectationResult> = self
            .expectations
            .iter()
            .zip(&self.each)
            .map(|(expectation, count)| result(expectation, (count, &self.calls), totals, limits))
            .collect();
        results.extend(shortfall(totals));
        results.extend(self.unmet(totals));
        if self.expectations.is_empty() {
            results.push(match self.purpose {
                Purpose::Search => limit_found(limits),
                purpose => none_failed(totals, purpose == Purpose::Serving),
            });
        }
        results
    }

    fn unmet(&self, totals: &Totals) -> Option<ExpectationResult> {
        let unmet = totals.tally.unmet();
        let note = self.first_unmet.clone();
        (unmet > 0).then(|| implied("every expectation of a step is met", format!("{unmet} not met"), note))
    }
}

/// An implied expectation that does not hold.
fn implied(text: &str, actual: String, note: Option<String>) -> ExpectationResult {
    ExpectationResult { text: text.to_owned(), actual: Some(Actual::Text(actual)), pass: false, note, implied: true }
}

/// Attempts that were planned, not dropped, and not made: a run that does less than it says must not pass.
fn shortfall(totals: &Totals) -> Option<ExpectationResult> {
    let attempted = totals.tally.legs().attempted;
    let missing =
        totals.planned.map_or(0, |planned| planned.saturating_sub(attempted + totals.dropped + totals.warm_up));
    let actual = totals.planned.map_or_else(|| attempted.to_string(), |planned| format!("{attempted} of {planned}"));
    let held_back = totals.back_off.held_back;
    let closed = totals.closed.then(|| "the time in which lines may be filled was over before the load".to_owned());
    let paused = (held_back > 0)
        .then(|| format!("{held_back} fell into pauses that the far side had asked for (503 with Retry-After)"));
    let why: Vec<String> = totals.ended_early.clone().into_iter().chain(closed).chain(paused).collect();
    let note = (!why.is_empty()).then(|| why.join("; "));
    (missing > 0 || totals.closed).then(|| implied("every planned attempt is made", actual, note))
}

/// What would have ended the run before its time: `hits` says which of them did, what was measured then, and after how
/// many seconds.
pub fn aborts(aborts: &[Abort], hits: &[Option<(f64, f64)>]) -> Vec<ExpectationResult> {
    let result = |(abort, hit): (&Abort, &Option<(f64, f64)>)| ExpectationResult {
        text: format!("abort_when: {}", abort.text),
        actual: hit.map(|(actual, _)| Actual::Number(actual)),
        pass: hit.is_none(),
        note: hit.map_or_else(
            || Some("it did not come to that".to_owned()),
            |(_, seconds)| Some(format!("the run was ended after {seconds:.0} s")),
        ),
        implied: false,
    };
    aborts.iter().zip(hits).map(result).collect()
}

/// A search is to find a limit, and where it is known what was bought, not less.
fn limit_found(limits: &[Limit]) -> ExpectationResult {
    let limit = limits.last();
    let (measured, bought) = (limit.and_then(|limit| limit.measured), limit.and_then(|limit| limit.contracted));
    let text = bought.map_or_else(|| "a limit is found".to_owned(), |bought| format!("limit >= {bought} (contracted)"));
    let note = limit.map(|limit| limit.text.clone());
    let pass = measured.is_some_and(|measured| measured >= bought.unwrap_or(0));
    ExpectationResult {
        text,
        actual: measured.map(|measured| Actual::Number(measured as f64)),
        pass,
        note,
        implied: true,
    }
}

fn none_failed(totals: &Totals, serving: bool) -> ExpectationResult {
    let (failed, attempted) = (totals.tally.failed_legs(), totals.tally.legs().attempted);
    let (actual, note) = match attempted {
        0 if !serving => (None, Some("not measured".to_owned())),
        _ => (Some(Actual::Text(format!("{failed} of {attempted} failed"))), None),
    };
    let pass = (attempted > 0 || serving) && failed == 0;
    ExpectationResult { text: "no attempt fails".to_owned(), actual, pass, note, implied: true }
}

fn result(
    expectation: &Expectation,
    (count, calls): (&EachCount, &[Calls]),
    totals: &Totals,
    limits: &[Limit],
) -> ExpectationResult {
    let (actual, pass, note) = match &expectation.kind {
        ExpectationKind::Each(_) => count.result(),
        ExpectationKind::Run(threshold) => {
            let evaluation = threshold.evaluate(totals);
            (evaluation.actual.map(Actual::Number), evaluation.pass, None)
        }
        ExpectationKind::Called(actors) => called::judge(actors, calls),
        ExpectationKind::Limit(wanted) => {
            let measured = limits.last().and_then(|limit| limit.measured);
            (measured.map(|measured| Actual::Number(measured as f64)), measured == Some(*wanted), None)
        }
        ExpectationKind::Finding(wanted) => finding(*wanted, limits),
    };
    let not_measured = || actual.is_none().then(|| "not measured".to_owned());
    let note = note.or_else(not_measured);
    ExpectationResult { text: expectation.text.clone(), actual, pass, note, implied: false }
}

fn finding(wanted: Finding, limits: &[Limit]) -> (Option<Actual>, bool, Option<String>) {
    let found: Vec<&str> = limits.iter().filter_map(|limit| limit.finding).map(Finding::name).collect();
    let actual = (!found.is_empty()).then(|| Actual::Text(found.join(", ")));
    (actual, found.contains(&wanted.name()), None)
}

impl EachCount {
    fn add(&mut self, each: &Each, outcome: &Outcome) {
        if each.concerns(outcome) {
            self.checked += 1;
            self.held += u64::from(each.holds(outcome));
        }
    }

    fn result(&self) -> (Option<Actual>, bool, Option<String>) {
        if self.checked == 0 {
            return (None, false, None);
        }
        let actual = Actual::Text(format!("{} of {}", self.held, self.checked));
        (Some(actual), self.held == self.checked, self.first_failure.clone())
    }
}

#[cfg(test)]
#[path = "expectations_tests.rs"]
mod tests;
