//! What a call of a watch is for, and what follows from how it ended. No clock, no files.

use std::sync::Arc;
use std::time::Duration;

use crate::call::{Finished, MemberId};
use crate::evidence::File;
use crate::incident::INTERRUPTION;
use crate::record::{CallRecord, Class, Retry};
use crate::report::Checker;
use crate::scenario::watch::{Check, Labels};

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The calendar asked for it.
    Scheduled,
    /// Another check has failed, and this one tells who is hit.
    Control,
    /// It tries again what failed, with sockets and a registration of its own: no result by itself.
    Reproduction,
    /// The judge asked for it, as its agent may fail or not; the request that its result answers.
    Answer(u64),
}

impl Purpose {
    /// The request of the judge that the result answers, if there is one.
    pub(super) fn request(self) -> Option<u64> {
        match self {
            Self::Answer(id) => Some(id),
            Self::Scheduled | Self::Control | Self::Reproduction => None,
        }
    }
}

/// A line of a check.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) check: Arc<Check>,
    /// The member of the worker that calls.
    pub(super) member: MemberId,
    /// Index of the account in the pool, where the line is of one.
    pub(super) account: Option<usize>,
}

/// A result that can be kept.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) finished: Finished,
    pub(super) files: Option<Vec<File>>,
    pub(super) purpose: Purpose,
    /// It was tried again, whatever that showed.
    pub(super) tried_again: bool,
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
        let outcome = Outcome { finished, files, purpose: self.purpose, tried_again: false };
        let mut results = Vec::new();
        let original = match self.original.take() {
            // A fault of ours says nothing about the target, and to call twice where we fall behind makes it worse.
            None if failed && self.tries > 0 && !is_ours(class) && !lasted(&outcome.finished.record) => {
                Box::new(outcome)
            }
            None => return Next::Over(vec![outcome]),
            Some(mut original) => {
                original.tried_again = true;
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

/// Whether a class is of our own machine and not of what is called.
pub(super) fn is_ours(class: Class) -> bool {
    class.name().starts_with("probe.")
}

/// Whether nothing was heard for longer than any brief interruption lasts: what was sent again and again for 32 s (64·T1, RFC
/// 3261 §17.1) was tried again by that. It counts at once, and the judge asks for another call where it wants one.
fn lasted(record: &CallRecord) -> bool {
    let took = record.started_at.and_then(|began| Duration::try_from(record.ended_at.duration_since(began)).ok());
    matches!(record.class, Class::CallTimeout | Class::RegTimeout) && took.is_some_and(|took| took >= INTERRUPTION)
}

/// The index of the account that a call was of; `of_line` is that of its line, where the line is of one.
pub(super) fn account_of(check: &Check, of_line: Option<usize>, user: Option<&str>) -> Option<usize> {
    of_line.or_else(|| {
        let pool = check.plan.actors.first()?.pool.as_ref()?;
        pool.accounts.iter().position(|account| Some(account.user.as_str()) == user)
    })
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
        record.unmet = Checker::mismatch(&check.plan.expect, &record.outcome());
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use jiff::SignedDuration;

    use super::*;
    use crate::media::Heard;
    use crate::scenario::compile::{self, Input};

    fn check(rest: &str) -> Arc<Check> {
        let call = "scenario: call\ntarget: lab\ncaller: { account: agents, steps: [{ dial: { number: echo } }] }\n\
                    expect: [each: { audio: two_way }]\n";
        let text = format!("watch: w\nchecks: [{{ scenario: call.yaml, every: 60s{rest} }}]\n");
        let input = Input {
            path: Path::new("w.yaml"),
            text: &text,
            target: None,
            set: &[],
            env: &|_| None,
            read: &|_| Ok(call.to_owned()),
        };
        let watch = compile::watch(&input).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        Arc::new(watch.checks[0].clone())
    }

    fn finished(class: Class) -> Finished {
        let text = include_str!("../../tests/data/influx/record.json");
        let mut record: CallRecord = serde_json::from_str(text).expect("valid");
        (record.class, record.unmet, record.as_expected) = (class, None, None);
        Finished { record, registration: None, primary: true, beside: false, owner: 1, answered: true }
    }

    fn job(check: &Arc<Check>) -> Job {
        Job::new("call".into(), Arc::clone(check), Purpose::Scheduled)
    }

    fn retries(next: &Next) -> Vec<(Class, Retry, Purpose)> {
        let (Next::Over(outcomes) | Next::Again(_, outcomes)) = next;
        let shown = |it: &Outcome| (it.finished.record.class, it.finished.record.retry, it.purpose);
        outcomes.iter().map(shown).collect()
    }

    fn again(next: Next) -> Job {
        match next {
            Next::Again(job, _) => *job,
            Next::Over(_) => panic!("it is over"),
        }
    }

    const BUSY: Class = Class::CallCalleeBusy;

    #[test]
    fn a_call_that_holds_is_over_and_is_not_tried_again() {
        let next = job(&check("")).end(finished(Class::Ok), None, || panic!("nobody asks"));
        assert_eq!(retries(&next), [(Class::Ok, Retry::None, Purpose::Scheduled)]);
    }

    #[test]
    fn a_failure_waits_for_what_its_repetition_shows() {
        let first = || job(&check("")).end(finished(BUSY), None, || true);
        assert_eq!(retries(&first()), [], "it is held");
        let passed = again(first()).end(finished(Class::Ok), None, || panic!("one try is all"));
        let (original, repetition) = (Purpose::Scheduled, Purpose::Reproduction);
        assert_eq!(retries(&passed), [(BUSY, Retry::Transient, original), (Class::Ok, Retry::None, repetition)]);
        let failed = again(first()).end(finished(BUSY), None, || true);
        assert_eq!(retries(&failed), [(BUSY, Retry::Reproduced, original), (BUSY, Retry::None, repetition)]);
    }

    #[test]
    fn a_repetition_that_fails_otherwise_shows_neither_and_the_next_one_may() {
        let other = Class::CallForbidden;
        let first = again(job(&check(", reproduce: 2")).end(finished(BUSY), None, || true));
        let second = first.end(finished(other), None, || true);
        assert_eq!(retries(&second), [(other, Retry::None, Purpose::Reproduction)]);
        let third = again(second).end(finished(other), None, || true);
        assert_eq!(retries(&third)[0], (BUSY, Retry::None, Purpose::Scheduled));
    }

    #[test]
    fn without_time_or_budget_a_failure_counts_as_it_is() {
        let next = job(&check("")).end(finished(BUSY), None, || false);
        assert_eq!(retries(&next), [(BUSY, Retry::None, Purpose::Scheduled)]);
        let never = job(&check(", reproduce: 0")).end(finished(BUSY), None, || panic!("nobody asks"));
        assert_eq!(retries(&never), [(BUSY, Retry::None, Purpose::Scheduled)]);
        let held = again(job(&check("")).end(finished(BUSY), None, || true)).give_up();
        assert_eq!(held.map(|it| it.finished.record.class), Some(BUSY));
    }

    #[test]
    fn a_call_that_nothing_was_heard_of_for_32_s_counts_at_once() {
        for (class, seconds, counts) in [
            (Class::CallTimeout, 32, true),
            (Class::RegTimeout, 32, true),
            // A 408 that came back soon.
            (Class::CallTimeout, 2, false),
            (Class::CallNetworkFailed, 32, false),
        ] {
            let mut silent = finished(class);
            let began = silent.record.ended_at - SignedDuration::from_secs(seconds);
            silent.record.started_at = Some(began);
            let next = job(&check("")).end(silent, None, || true);
            let expected = [(class, Retry::None, Purpose::Scheduled)];
            assert_eq!(retries(&next) == expected, counts, "{class:?} after {seconds} s");
        }
    }

    #[test]
    fn a_fault_of_our_own_machine_is_not_tried_again() {
        let next = job(&check("")).end(finished(Class::ProbeStalled), None, || panic!("it would only add to it"));
        assert_eq!(retries(&next), [(Class::ProbeStalled, Retry::None, Purpose::Scheduled)]);
    }

    #[test]
    fn a_control_is_not_tried_again() {
        let control = Job::new("call".into(), check(""), Purpose::Control);
        let next = control.end(finished(BUSY), None, || panic!("nobody asks"));
        assert_eq!(retries(&next), [(BUSY, Retry::None, Purpose::Control)]);
    }

    #[test]
    fn labels_stand_where_the_call_says_none_and_what_is_expected_of_every_attempt_counts() {
        let check = check(", labels: { trunk: cht, carrier: other }");
        let mut record = finished(Class::Ok).record;
        (record.trunk, record.carrier) = (None, Some("own".into()));
        (record.audio_rx, record.audio_tx) = (Heard::None, Heard::Heard);
        complete(&mut record, &check);
        assert_eq!((record.trunk.as_deref(), record.carrier.as_deref()), (Some("cht"), Some("own")));
        assert_eq!(record.unmet.as_deref(), Some("audio is one_way_tx, not two_way"));
        assert!(record.is_failed());
    }
}
