//! Shapes of load as the binary runs them: what is judged, and what ends a run.

use serde_json::Value;

use crate::cli::{Desk, code, records, summary, text};

#[test]
fn attempts_of_the_warm_up_are_recorded_and_judged_by_nothing() {
    let desk = Desk::new();
    desk.write(
        "warm.yaml",
        "scenario: warm\ntarget: lab\ncaller: { account: agents, steps: [{ dial: { number: internal, media: none } }, hangup] }\n\
         load: { rate: 20/s, calls: 40, warm_up: 1s }\n\
         expect: [{ each: { outcome: answered } }, { run: \"attempted == 20\" }, { run: \"answered == 20\" }]\n",
    );
    let output = desk.run(&["run", "warm.yaml", "--out", "out", "--workers", "2", "--records", "all"]);
    assert_eq!(code(&output), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
    let summary = summary(&desk.path("out"));
    assert_eq!((&summary["planned"], &summary["attempted"], &summary["warm_up"]), (&40.into(), &20.into(), &20.into()));
    assert_eq!(summary["latency"]["srd_ms"]["count"], 20);
    assert_eq!(summary["expectations"][0]["actual"], "20 of 20");
    let records = records(&desk.path("out"));
    assert_eq!((records.len(), records.iter().filter(|record| record.warm_up).count()), (40, 20));
}

#[test]
fn a_run_is_ended_by_what_it_is_to_be_aborted_for_and_says_so() {
    let desk = Desk::new();
    desk.write(
        "refused.yaml",
        "scenario: refused\ntarget: lab\ncaller: { account: agents, steps: [{ dial: { number: busy } }] }\n\
         load: { rate: 20/s, for: 60s }\n\
         expect: [{ run: \"count(486) >= 0\" }]\nabort_when: [\"asr > 50%\", { run: \"rate(failed) > 90%\", after: 1500ms }]\n",
    );
    let output = desk.run(&["run", "refused.yaml", "--out", "out", "--workers", "2"]);
    assert_eq!(code(&output), Some(1), "{}{}", text(&output.stdout), text(&output.stderr));
    let summary = summary(&desk.path("out"));
    assert_eq!((&summary["verdict"], &summary["planned"]), (&Value::from("fail"), &Value::from(1200)));
    let attempted = summary["attempted"].as_u64().expect("a number");
    assert!((25..200).contains(&attempted), "{attempted}");
    let expectations = summary["expectations"].as_array().expect("a list");
    let of = |text: &str| expectations.iter().find(|it| it["text"] == text).expect("listed");
    assert_eq!(of("abort_when: asr > 50%")["pass"], true);
    let hit = of("abort_when: rate(failed) > 90%");
    assert_eq!((&hit["pass"], &hit["actual"]), (&Value::from(false), &Value::from(100.0)));
    let note = hit["note"].as_str().expect("a text");
    assert!(note.starts_with("the run was ended after "), "{note}");
    let planned = of("every planned attempt is made");
    assert_eq!(planned["note"], "the run was ended: rate(failed) > 90%");
    assert!(text(&output.stderr).contains("rate(failed) > 90%: the run is ended"), "{}", text(&output.stderr));
}
