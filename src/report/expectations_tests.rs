use super::super::samples::{expectations, records, totals};
use super::*;
use crate::measure::samples::{nothing, refused, registration};
use crate::record::{Class, Origin, Role};
use crate::scenario::plan::WantedOutcome;

fn results(expected: &[Expectation], records: &[CallRecord], limits: &[Limit]) -> Vec<ExpectationResult> {
    let mut checker = Checker::new(expected);
    records.iter().for_each(|record| checker.add(record));
    checker.finish(&totals(records), limits)
}

#[test]
fn each_attempt_is_checked_and_the_first_that_differs_is_named() {
    let results = results(&expectations(&[]), &records(10), &[]);
    assert_eq!(results.len(), 1);
    assert_eq!((results[0].actual.clone(), results[0].pass), (Some(Actual::Text("10 of 13".into())), false));
    assert_eq!(results[0].note.as_deref(), Some("busy-1: not answered: call.callee_busy (486)"));
}

#[test]
fn a_threshold_shows_its_figure_and_null_is_not_measured() {
    let results = results(&expectations(&["answered == 10", "p(99) of rrd_ms < 5"]), &records(10), &[]);
    assert_eq!((results[1].actual.clone(), results[1].pass), (Some(Actual::Number(10.0)), true));
    assert_eq!((results[2].actual.clone(), results[2].pass), (None, false));
    assert_eq!(results[2].note.as_deref(), Some("not measured"));
}

#[test]
fn without_expectations_a_failed_attempt_fails_the_run() {
    let failing = results(&[], &records(10), &[]);
    assert_eq!((failing[0].text.as_str(), failing[0].pass), ("no attempt fails", false));
    assert!(results(&[], &records(10)[..10], &[])[0].pass);
    assert!(!results(&[], &[], &[])[0].pass, "nothing was attempted");
}

#[test]
fn an_unmet_step_fails_the_run_whatever_else_is_expected() {
    let mut record = refused(486, Class::CallCalleeBusy);
    (record.call_id, record.unmet) = ("c1".into(), Some("dial: code [404], got 486".into()));
    let expected = &expectations(&["attempted == 1"])[1..];
    let results = results(expected, &[record], &[]);
    assert!(results[0].pass && !results[1].pass && results[1].implied);
    assert_eq!(results[1].note.as_deref(), Some("c1: dial: code [404], got 486"));
}

#[test]
fn a_run_that_made_fewer_attempts_than_planned_fails() {
    let mut totals = totals(&records(10)[..10]);
    (totals.planned, totals.dropped) = (Some(12), 1);
    let checker = Checker::new(&expectations(&["asr == 100%"])[1..]);
    let results = checker.finish(&totals, &[]);
    assert_eq!(results[1].actual, Some(Actual::Text("10 of 12".into())));
    totals.dropped = 2;
    assert_eq!(checker.finish(&totals, &[]).len(), 1, "dropped starts are the generator's matter");
}

#[test]
fn limits_and_findings_are_compared_with_what_was_found() {
    let limit = Expectation { text: "limit: 5".into(), kind: ExpectationKind::Limit(5) };
    let finding = Expectation {
        text: "finding: call.trunk_saturated".into(),
        kind: ExpectationKind::Finding(Finding::CallTrunkSaturated),
    };
    let found = Limit { measured: Some(5), finding: Some(Finding::CallTrunkSaturated), proved: 2, ..Limit::default() };
    let expected = [limit, finding];
    assert!(results(&expected, &records(1), std::slice::from_ref(&found)).iter().all(|result| result.pass));
    let unfound = results(&expected, &records(1), &[]);
    assert!(unfound.iter().all(|result| !result.pass && result.note.as_deref() == Some("not measured")));
}

#[test]
fn bug_a_phone_that_need_not_be_called_and_was_not_has_no_call_to_answer() {
    let uncalled = CallRecord { role: Role::Callee, invited: false, class: Class::Ok, ..nothing() };
    let each = [Expectation {
        text: "each".into(),
        kind: ExpectationKind::Each(Each { outcome: Some(WantedOutcome::Answered), ..Each::default() }),
    }];
    assert_eq!(results(&each, std::slice::from_ref(&uncalled), &[])[0].actual, None);
    let missed = CallRecord { class: Class::CallNoAnswer, ..uncalled };
    assert!(!results(&each, &[missed], &[])[0].pass);
}

#[test]
fn codes_must_have_been_received_and_registrations_have_no_call() {
    let each = |each| [Expectation { text: "each".into(), kind: ExpectationKind::Each(each) }];
    let timed_out = CallRecord { code: Some(408), code_origin: Some(Origin::Local), ..nothing() };
    let code = each(Each { code: vec![408], ..Each::default() });
    assert!(!results(&code, std::slice::from_ref(&timed_out), &[])[0].pass);
    let received = CallRecord { code_origin: Some(Origin::Received), ..timed_out };
    assert!(results(&code, &[received], &[])[0].pass);
    let answered = each(Each { outcome: Some(WantedOutcome::Answered), ..Each::default() });
    assert_eq!(results(&answered, &[registration(200, Class::Ok)], &[])[0].actual, None);
    let registered = each(Each { outcome: Some(WantedOutcome::Registered), ..Each::default() });
    assert!(results(&registered, &[registration(200, Class::Ok)], &[])[0].pass);
}
