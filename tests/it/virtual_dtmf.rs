//! Keys (DTMF) in calls in virtual time: against the lab and between two agents of ours, as events and as tones, and what records
//! say of them.

use std::sync::Arc;
use std::time::Duration;

use ringfleet::record::{CallRecord, Class};
use ringfleet::report::Checker;
use ringfleet::scenario::compile::{self, Compiled, Input};
use ringfleet::scenario::plan::{Policy, Srtp};

use crate::pair::Network;
use crate::scenarios::root;
use crate::virtual_net::{World, caller, compiled};

const MINUTE: Duration = Duration::from_secs(60);

fn ran(mut world: World) -> World {
    world.run_and_rest(3 * MINUTE);
    world
}

fn call(steps: &str) -> World {
    ran(World::new(caller(steps, "{ calls: 1 }")))
}

/// What a record says: sent and heard, each with its way.
fn told(record: &CallRecord) -> [Option<String>; 4] {
    let text = |told: &Option<ringfleet::record::KeysTold>| told.as_ref().map(ToString::to_string);
    [text(&record.dtmf_sent), record.dtmf_sent_by.clone(), text(&record.dtmf_heard), record.dtmf_heard_by.clone()]
}

fn all(texts: [&str; 4]) -> [Option<String>; 4] {
    texts.map(|text| Some(text.to_owned()))
}

#[test]
fn keys_are_sent_and_come_back_over_plain_rtp_srtp_and_dtls() {
    let steps = "[{ dial: { number: keys } }, { talk: { for: 2s } }, { dtmf: \"123#\" }, { expect: { dtmf_heard: \"123#\" } }, \
        { dtmf: { keys: \"*0D\", by: inband, for: 80ms, pause: 80ms } }, { expect: { dtmf_heard: \"*0D\" } }, \
        { talk: { for: 2s } }, hangup]";
    for policy in [Policy::Off, Policy::Required, Policy::Dtls] {
        let mut compiled = caller(steps, "{ calls: 1 }");
        for actor in &mut compiled.plan.actors {
            Arc::make_mut(&mut actor.target).srtp = Srtp::new(policy);
        }
        let world = ran(World::new(compiled));
        let record = world.record();
        assert_eq!((record.class, &record.unmet), (Class::Ok, &None), "{policy:?}: {record:#?}");
        assert_eq!(told(record), all(["123#*0D", "inband", "123#*0D", "inband"]), "{policy:?}");
        assert_eq!((record.audio.as_str(), record.loss_pct), ("two_way", Some(0.0)), "{policy:?}");
    }
}

#[test]
fn without_keys_a_record_knows_none_sent_and_none_heard() {
    let world = call("[{ dial: { number: echo } }, { talk: { for: 2s } }, hangup]");
    assert_eq!(told(world.record()), [None, None, Some(String::new()), None]);
    let mut world = World::new(caller("[{ dial: { number: echo } }, { talk: { for: 2s } }, hangup]", "{ calls: 1 }"));
    world.rewrite_answers = Some(without_events);
    assert_eq!(told(ran(world).record()), [None, None, None, None], "nobody could hear any");
}

fn without_events(sdp: &str) -> String {
    sdp.replace(" 101\r\n", "\r\n")
        .replace("a=rtpmap:101 telephone-event/8000\r\n", "")
        .replace("a=fmtp:101 0-15\r\n", "")
}

#[test]
fn towards_a_far_end_that_takes_no_events_auto_sends_tones_and_event_says_so() {
    let steps = |by: &str| {
        format!(
            "[{{ dial: {{ number: keys }} }}, {{ dtmf: {{ keys: \"47\", by: {by} }} }}, {{ expect: {{ dtmf_heard: \"47\" }} }}, \
             hangup]"
        )
    };
    let run = |by: &str| {
        let mut world = World::new(caller(&steps(by), "{ calls: 1 }"));
        world.rewrite_answers = Some(without_events);
        ran(world)
    };
    let world = run("auto");
    assert_eq!((&world.record().unmet, told(world.record())), (&None, all(["47", "inband", "47", "inband"])));
    let world = run("event");
    let record = world.record();
    assert_eq!(record.unmet.as_deref(), Some("dtmf: the far end takes no telephone events"));
    assert!(record.is_failed());
    assert_eq!(told(record), [None, None, Some(String::new()), None]);
}

#[test]
fn keys_that_do_not_come_as_expected_fail_the_step_at_once_or_when_its_time_is_over() {
    let run = |expect: &str| {
        let steps = format!(
            "[{{ dial: {{ number: keys }} }}, {{ dtmf: \"12\" }}, {{ expect: {{ dtmf_heard: {expect} }} }}, hangup]"
        );
        let world = call(&steps);
        let record = world.record();
        (record.unmet.clone(), record.duration_ms.expect("answered"))
    };
    let (unmet, wrong) = run("\"13\"");
    assert_eq!(unmet.as_deref(), Some("expect: the keys 12 were heard, not 13"));
    let (unmet, late) = run("{ keys: \"123\", within: 3s }");
    assert_eq!(unmet.as_deref(), Some("expect: the keys 12 were heard, not 123"));
    assert!((late - wrong - 3_000.0).abs() < 100.0, "{wrong} {late}");
    let silent = call("[{ dial: { number: echo } }, { expect: { dtmf_heard: { keys: \"1\", within: 1s } } }, hangup]");
    assert_eq!(silent.record().unmet.as_deref(), Some("expect: no keys were heard"));
}

fn each(wanted: &str, env: &dyn Fn(&str) -> Option<String>) -> Compiled {
    let text = format!(
        "scenario: test\ntarget: lab\ncaller:\n  account: agents\n  steps:\n    - dial: {{ number: keys }}\n    \
         - dtmf: \"{wanted}\"\n    - talk: {{ for: 2s }}\n    - hangup\nload: {{ calls: 1 }}\n\
         expect:\n  - each: {{ dtmf_heard: \"${{PIN}}\" }}\n"
    );
    let path = root().join("scenarios/test.yaml");
    let input =
        Input { path: &path, text: &text, target: None, set: &[], env, read: &|path| std::fs::read_to_string(path) };
    compile::scenario(&input).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

/// The run, and what its call does not meet.
fn judged(compiled: Compiled) -> (World, Option<String>) {
    let plan = compiled.plan.clone();
    let world = ran(World::new(compiled));
    let mismatch = Checker::mismatch(&plan.expect, &world.record().outcome());
    (world, mismatch)
}

#[test]
fn a_pin_is_compared_and_written_nowhere() {
    let pin = |_: &str| Some("4711".to_owned());
    let (world, mismatch) = judged(each("${PIN}", &pin));
    assert_eq!(mismatch, None);
    let record = world.record();
    assert_eq!(told(record), all(["hidden", "event", "hidden", "event"]));
    let (wrong, mismatch) = judged(each("9999", &pin));
    assert_eq!(mismatch.as_deref(), Some("4 keys were heard, not the 4 expected"));
    for shown in [format!("{record:?}"), serde_json::to_string(record).expect("plain"), format!("{:?}", wrong.record())]
    {
        assert!(!shown.contains("4711") && !shown.contains("9999"), "{shown}");
    }
}

#[test]
fn an_agent_hears_what_its_caller_presses_and_answers_by_keys() {
    let compiled = compiled(
        "scenario: test\ntarget: lab\nactors:\n  callee:\n    account: agents\n    registered: standing\n    steps:\n      \
         - answer: {}\n      - expect: { dtmf_heard: { keys: \"12\", within: 10s } }\n      - dtmf: \"#\"\n      \
         - expect: { dtmf_heard: \"9\" }\n      - talk\n  caller:\n    account: agents\n    when: callee.registered\n    steps:\n      \
         - dial: { number: \"{{ callee.user }}\" }\n      - talk: { for: 1s }\n      - dtmf: \"12\"\n      \
         - expect: { dtmf_heard: \"#\" }\n      - dtmf: { keys: \"9\", by: inband, level: -25 }\n      - talk: { for: 1s }\n      \
         - hangup\nload: { calls: 1 }\n",
        "",
    );
    let world = ran(World::new(compiled));
    for record in &world.records {
        assert_eq!((record.class, &record.unmet, record.as_expected), (Class::Ok, &None, Some(true)), "{record:#?}");
    }
    let mut heard: Vec<String> =
        world.records.iter().filter_map(|record| record.dtmf_heard.as_ref().map(ToString::to_string)).collect();
    heard.sort();
    assert_eq!(heard, ["#", "129"]);
}

#[test]
fn through_a_network_that_loses_and_reorders_events_come_whole() {
    let keys = "0123456789*#ABCD";
    let steps = format!(
        "[{{ dial: {{ number: keys }} }}, {{ dtmf: \"{keys}\" }}, {{ expect: {{ dtmf_heard: \"{keys}\" }} }}, hangup]"
    );
    let network = Network { loss: 150, spread: Duration::from_millis(50), duplication: 50, ..Network::default() };
    let mut world = World::through(network, caller(&steps, "{ calls: 1 }"));
    world.run(3 * MINUTE);
    let record = world.record();
    assert_eq!((&record.unmet, told(record)), (&None, all([keys, "event", keys, "event"])), "{record:#?}");
}

#[test]
fn keys_pressed_on_hold_wait_no_longer_than_their_step() {
    let world =
        call("[{ dial: { number: keys } }, { hold: { direction: inactive } }, { dtmf: \"12\" }, resume, hangup]");
    assert_eq!(world.record().unmet.as_deref(), Some("dtmf: 0 of 2 keys were sent"));
}
