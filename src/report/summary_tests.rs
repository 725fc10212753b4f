use super::super::generator::Health;
use super::super::samples::{expectations, records, summary};
use super::*;

fn good() -> Vec<crate::record::CallRecord> {
    let mut records = records(10);
    records.truncate(10);
    records
}

#[test]
fn a_good_run_passes_in_one_sentence() {
    let summary = summary(&good(), &expectations(&["asr >= 99%"]), Ending::Complete, Health::default());
    assert_eq!((summary.verdict, summary.exit_code), (Verdict::Pass, 0));
    assert_eq!(summary.headline, "10 of 10 calls were answered; both expectations hold.");
    assert!(!summary.sinks.is_empty() && summary.sinks[0].reconciles());
}

#[test]
fn a_negative_test_that_came_true_reads_as_a_success() {
    let busy = crate::record::CallRecord { as_expected: Some(true), ..records(1)[1].clone() };
    let headline = |records: &[_]| summary(records, &[], Ending::Complete, Health::default()).headline;
    assert_eq!(
        headline(std::slice::from_ref(&busy)),
        "1 call ended unanswered, as the scenario expects; nothing failed."
    );
    assert_eq!(headline(&[busy.clone(), busy]), "2 calls ended unanswered, as the scenario expects; nothing failed.");
}

#[test]
fn attempts_that_only_register_are_no_calls() {
    let login = crate::record::CallRecord {
        role: crate::record::Role::Registration,
        invited: false,
        code: None,
        ..records(1)[0].clone()
    };
    let all = |others: usize| {
        let mut records = good();
        records.extend(std::iter::repeat_n(login.clone(), others));
        summary(&records, &[], Ending::Complete, Health::default())
    };
    let two = all(2);
    assert_eq!(two.headline, "10 of 10 calls were answered, and 2 of 2 other attempts succeeded; nothing failed.");
    assert_eq!((two.attempted, two.calls.attempted, two.calls.answered), (12, 10, 10));
    assert_eq!(all(1).headline, "10 of 10 calls were answered, and 1 other attempt succeeded; nothing failed.");
}

#[test]
fn a_failed_run_names_its_main_fault() {
    let summary = summary(&records(10), &expectations(&[]), Ending::Complete, Health::default());
    assert_eq!(summary.verdict, Verdict::Fail);
    assert_eq!(
        summary.headline,
        "10 of 13 calls were answered; the most frequent fault is call.callee_busy (2): The called party is busy."
    );
    assert_eq!(summary.faults(), [(Class::CallCalleeBusy, 2), (Class::CallTimeout, 1)]);
}

#[test]
fn a_pass_with_failures_that_nothing_forbids_says_so() {
    let expected = &expectations(&["answered == 10"])[1..];
    let summary = summary(&records(10), expected, Ending::Complete, Health::default());
    let headline = "10 of 13 calls were answered; the expectation holds, though 3 failed, most of them by \
                    call.callee_busy.";
    assert_eq!((summary.verdict, summary.headline.as_str()), (Verdict::Pass, headline));
}

#[test]
fn a_slow_run_without_faults_names_the_expectation() {
    let expected = expectations(&["p(99) of setup_ms < 200"]);
    let summary = summary(&good(), &expected, Ending::Complete, Health::default());
    assert_eq!(summary.headline, "10 of 10 calls were answered; expected “p(99) of setup_ms < 200”, measured 210.");
}

#[test]
fn other_endings_say_what_happened() {
    let headline = |ending, health| summary(&good(), &[], ending, health).headline;
    let not_started = Ending::NotStarted("UDP port 5060 is in use".into());
    assert_eq!(headline(not_started, Health::default()), "Nothing was tested: UDP port 5060 is in use.");
    let interrupted = "The run was interrupted after 10 of 10 calls were answered.";
    assert_eq!(headline(Ending::Interrupted, Health::default()), interrupted);
}

#[test]
fn the_summary_has_every_key_of_the_contract_and_survives_json() {
    let summary = summary(&records(10), &expectations(&["p(99) of rtt_ms < 5"]), Ending::Complete, Health::default());
    let value = serde_json::to_value(&summary).expect("serialises");
    for key in "verdict exit_code scenario target started_at planned attempted answered failed classes codes \
                peak_concurrent peak_cps latency quality kpi limits expectations generator sinks"
        .split_whitespace()
    {
        assert!(value.get(key).is_some(), "{key}");
    }
    let names = |key: &str| value[key].as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    let latency = "srd_ms srd_ok_ms srd_failed_ms pdd_ms ring_ms setup_ms duration_ms sdd_ms rrd_ms registered_ms \
                   recovery_ms ice_gathered_ms";
    let quality =
        "mos_lq mos_cq loss_pct jitter_ms rtt_ms video_first_frame_ms video_frozen_ms video_fps video_loss_pct";
    assert_eq!(names("latency"), latency.split_whitespace().collect::<Vec<_>>());
    assert_eq!(names("quality"), quality.split_whitespace().collect::<Vec<_>>());
    assert_eq!(value["latency"]["rrd_ms"]["p99"], serde_json::Value::Null);
    assert_eq!(value["codes"]["408 local"], 1);
    assert_eq!(value["latency_from"], "intended");
    assert_eq!(value["generator"]["datagrams_lost"], 0);
    let text = serde_json::to_string(&summary).expect("serialises");
    assert_eq!(serde_json::from_str::<Summary>(&text).expect("reads"), summary);
}
