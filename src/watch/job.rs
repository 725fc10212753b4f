//! What a call of a watch is for, and what follows from how it ended. No clock, no files.

use std::sync::Arc;

use crate::call::Finished;
use crate::evidence::File;
use crate::record::{CallRecord, Retry};
use crate::report::Checker;
use crate::scenario::watch::{Check, Labels};

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The calendar asked for it.
    Scheduled,
    /// Another check has failed, and this one tells who is hit.
    Control,
    /// It tries again what failed, with sockets and a registration of its own.
    Reproduction,
}

/// A result that can be kept.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) finished: Finished,
    pub(super) files: Option<Vec<File>>,
    pub(super) purpose: Purpose,
}

/// A call under way.
#[derive(Debug)]
pub(super) struct Job {
    /// Its line's name in the calendar.
    pub(super) line: Arc<str>,
    pub(super) check: Arc<Check>,
    pub(super) purpose: Purpose,
    /// For a reproduction the failure that it tries again.
    original: Option<Box<Outcome>>,
    /// Tries that are left.
    tries: u32,
}

/// What follows from the end of a call.
#[derive(Debug)]
pub(super) enum Next {
    /// It is over, with these results, the last one last.
    Over(Vec<Outcome>),
    /// It is to be tried again; the results are those that nothing more will change.
    Again(Box<Job>, Vec<Outcome>),
}

impl Job {
    pub(super) fn new(line: Arc<str>, check: Arc<Check>, purpose: Purpose) -> Self {
        let tries = if purpose == Purpose::Scheduled { check.reproduce } else { 0 };
        Self { line, check, purpose, original: None, tries }
    }

    /// The leg that counts as the attempt has ended. `may_retry` says whether there is time and budget to try again; it
    /// is asked only where there is something to try.
    pub(super) fn end(
        mut self,
        finished: Finished,
        files: Option<Vec<File>>,
        may_retry: impl FnOnce() -> bool,
    ) -> Next {
        let (failed, class) = (finished.record.is_failed(), finished.record.class);
        let outcome = Outcome { finished, files, purpose: self.purpose };
        let mut results = Vec::new();
        let original = match self.original.take() {
            None if failed && self.tries > 0 => Box::new(outcome),
            None => return Next::Over(vec![outcome]),
            Some(mut original) => {
                let retry = &mut original.finished.record.retry;
                *retry = match failed {
                    false => Retry::Transient,
                    true if class == original.finished.record.class => Retry::Reproduced,
                    // It fails, and not in the same way: neither was shown.
                    true => Retry::None,
                };
                results.push(outcome);
                if *retry != Retry::None || self.tries == 0 {
                    results.insert(0, *original);
                    return Next::Over(results);
                }
                original
            }
        };
        if !may_retry() {
            results.insert(0, *original);
            return Next::Over(results);
        }
        (self.purpose, self.tries, self.original) = (Purpose::Reproduction, self.tries - 1, Some(original));
        Next::Again(Box::new(self), results)
    }

    /// Its call was never begun, or nobody will hear of it any more: what was held is a result as it is.
    pub(super) fn give_up(self) -> Option<Outcome> {
        self.original.map(|original| *original)
    }
}

/// What the watch knows of a result beside the call itself: labels, and what its scenario expects of every attempt.
pub(super) fn complete(record: &mut CallRecord, check: &Check) {
    let Labels { unit, hotline, trunk, carrier, gateway } = &check.labels;
    let fill = |field: &mut Option<String>, label: &Option<String>| {
        if field.is_none() {
            field.clone_from(label);
        }
    };
    fill(&mut record.unit, unit);
    fill(&mut record.hotline, hotline);
    fill(&mut record.trunk, trunk);
    fill(&mut record.carrier, carrier);
    fill(&mut record.gateway, gateway);
    if record.unmet.is_none() && !record.is_failed() {
        record.unmet = Checker::mismatch(&check.plan.expect, record);
    }
}
