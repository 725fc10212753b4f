//! The shipped loads in virtual time, each as its file says it against the lab that it names: what it expects holds.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use ringfleet::measure::{BackOff, LatencyFrom, Tally, Totals};
use ringfleet::pace::Schedule;
use ringfleet::record::{Class, Heard};
use ringfleet::report::{Actual, Checker, ExpectationResult, Generator, Health, all_hold};
use ringfleet::scenario::compile::{self, Compiled, Input};
use ringfleet::scenario::plan::Actor;

use crate::scenarios::root;
use crate::virtual_net::{Side, World};

fn shipped(name: &str) -> Compiled {
    let path = root().join("scenarios").join(name);
    let text = fs::read_to_string(&path).expect("readable");
    let input = Input {
        path: &path,
        text: &text,
        target: None,
        set: &[],
        env: &|_| None,
        read: &|path| fs::read_to_string(path),
    };
    compile::scenario(&input).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

/// Runs a scenario; it passes by its own expectations.
fn passes(name: &str) -> (World, Totals) {
    let compiled = shipped(name);
    let plan = compiled.plan.clone();
    let (world, totals, expectations) = judged(compiled);
    assert!(all_hold(&expectations), "{name}: {expectations:#?}");
    assert!(!Generator::new(&totals, Health::default(), true).is_limited(), "{name}");
    for abort in &plan.abort_when {
        assert!(!abort.when.evaluate(&totals).pass, "{name}: {}", abort.text);
    }
    assert_eq!(world.open_ports_of(Side::Callers), 0, "{name}");
    (world, totals)
}

/// Runs a scenario and judges it by its own expectations.
fn judged(compiled: Compiled) -> (World, Totals, Vec<ExpectationResult>) {
    let plan = compiled.plan.clone();
    let mut world = World::new(compiled);
    world.run(Duration::from_secs(300));
    let open = matches!(plan.load.schedule, Schedule::Open { .. });
    let mut tally = Tally::new(if open { LatencyFrom::Intended } else { LatencyFrom::Actual });
    let mut checker = Checker::new(&plan.expect);
    for record in world.records.iter().filter(|record| !record.warm_up) {
        tally.add(&record.outcome());
        checker.add(record);
        let of_actor = |actor: &Actor| record.call_id.ends_with(&format!("-{}", actor.name));
        if let Some(actor) = plan.actors.iter().position(of_actor) {
            checker.note_called(actor, &record.outcome());
        }
    }
    let totals = Totals {
        tally,
        planned: plan.load.planned(),
        warm_up: world.primary.iter().filter(|record| record.warm_up).count() as u64,
        ended_early: None,
        dropped: world.dropped,
        back_off: BackOff::default(),
        closed: false,
        beside: BTreeMap::new(),
        peak_concurrent: world.callers.progress().peak,
        peak_cps: 0.0,
        elapsed: world.now - world.start,
    };
    let expectations = checker.finish(&totals, &[]);
    (world, totals, expectations)
}

#[test]
fn agents_of_a_pool_are_called_at_either_phone_and_one_that_never_is_is_found() {
    let (world, totals) = passes("agent-pool.yaml");
    assert_eq!((totals.tally.legs().answered, world.records.len()), (16, 48));

    // A server that calls who registered last never calls the first phone.
    let mut compiled = shipped("agent-pool.yaml");
    Arc::make_mut(compiled.lab.as_mut().expect("its own")).registrations.rings_any = false;
    let (_, _, expectations) = judged(compiled);
    let failed: Vec<&ExpectationResult> = expectations.iter().filter(|result| !result.pass).collect();
    assert_eq!(failed.len(), 1, "{expectations:#?}");
    assert_eq!(failed[0].text, "called: [first, second]");
    assert_eq!(failed[0].actual, Some(Actual::Text("first 0, second 16 of 16 calls".into())));
    assert_eq!(failed[0].note.as_deref(), Some("reg.pool_member_unused: never called: first (there 16 times)"));
}

#[test]
fn an_agent_with_two_tabs_open_is_called_at_one_of_them() {
    let (world, totals) = passes("second-tab.yaml");
    let called = world.records.iter().filter(|record| record.call_id.ends_with("-tab") && record.invited).count();
    assert_eq!((totals.tally.legs().answered, called), (1, 1));
}

#[test]
fn inbound_calls_are_answered_by_an_agent_who_stays_registered() {
    let (world, totals) = passes("inbound-answer.yaml");
    assert_eq!((totals.tally.legs().answered, totals.tally.answering_legs().answered), (10, 10));
    assert_eq!(totals.peak_concurrent, 2);
    let agents: BTreeSet<&str> = world.records.iter().filter_map(|record| record.to.as_deref()).collect();
    assert_eq!(
        agents.into_iter().collect::<Vec<_>>(),
        ["1001", "1002"],
        "each customer called the agent of its attempt"
    );
    assert!(world.beside.is_empty(), "nobody rang in vain, and the registration stood");
}

#[test]
fn a_call_whose_packets_are_counted_knows_how_they_came_and_says_of_its_audio_that_it_is_unknown() {
    let (world, _) = passes("counted-call.yaml");
    let record = &world.primary[0];
    let heard = (record.audio_rx, record.audio_tx, record.audio.as_str());
    assert_eq!(heard, (Heard::Unknown, Heard::Unknown, "unknown"));
    assert_eq!((record.class, record.loss_pct, record.code), (Class::Ok, Some(0.0), Some(200)));
    assert!(record.rx_packets > Some(100) && record.mos_lq.is_some() && record.grade.is_some(), "{record:?}");
    let written = serde_json::to_value(record).expect("plain data");
    for unknown in ["level_dbov", "audio_loop_ms", "first_audio_ms"] {
        assert!(written.get(unknown).is_none_or(serde_json::Value::is_null), "{unknown}: {written}");
    }
}

#[test]
fn desks_change_hands_without_a_device_too_many() {
    let (world, totals) = passes("shift-change.yaml");
    assert_eq!(world.records.len(), 8);
    let answered = world.records.iter().filter(|record| record.is_answered()).count();
    assert_eq!(answered, 4, "everybody who arrived took a call");
    let (all, calls) = (totals.tally.legs(), totals.tally.calls());
    assert_eq!((all.attempted, calls.attempted, calls.answered), (8, 4, 4), "who leaves makes no call");
}

#[test]
fn forty_phones_that_come_back_at_once_are_all_registered_after_their_back_off() {
    let (world, totals) = passes("register-storm.yaml");
    assert_eq!(world.records.len(), 40);
    assert_eq!(totals.peak_concurrent, 40, "all at once");
    let waited = world.records.iter().filter(|record| record.registered_ms > record.rrd_ms).count();
    assert!(waited >= 20, "only {waited} were refused first");
    assert!(world.records.iter().all(|record| record.class == Class::Ok && record.rrd_ms < Some(500.0)));
    // Nobody comes back before the second that the registrar asked for, and not all in the same moment.
    let mut back: Vec<u64> = world.records.iter().map(|it| it.registered_ms.expect("registered") as u64).collect();
    back.retain(|ms| *ms > 500);
    assert!(back.iter().all(|ms| *ms >= 2000), "a second, and half of twice the base: {back:?}");
    let fullest = back.iter().map(|from| back.iter().filter(|ms| **ms >= *from && **ms < *from + 200).count()).max();
    assert!(fullest <= Some(10), "{back:?}");
}

#[test]
fn a_soak_keeps_its_places_filled() {
    let (world, totals) = passes("soak.yaml");
    assert_eq!(totals.peak_concurrent, 8);
    assert!(world.records.len() > 25 && totals.warm_up > 8, "{} {}", world.records.len(), totals.warm_up);
}

#[test]
fn a_morning_has_its_mix_and_what_goes_wrong_in_it_is_expected() {
    let (world, totals) = passes("mixed-morning-peak.yaml");
    let planned = totals.planned.expect("known");
    assert!((70..=110).contains(&planned), "10 s to 4/s, 15 s at it, 5 s down: 90 on average, {planned}");
    let of = |kind: &str| world.records.iter().filter(|record| record.call_id.ends_with(kind)).count();
    let twentieth = planned as usize / 20;
    assert!(of("conversation") >= 12 * twentieth && of("wrong_number") >= twentieth && of("logs_in") >= twentieth);
    assert!(world.records.iter().all(|record| !record.is_failed()), "what was expected is no failure");
}

#[test]
fn a_call_with_video_has_its_pictures_and_its_shared_screen() {
    let (world, _) = passes("video-call.yaml");
    let video = world.record().video.as_deref().expect("agreed on");
    assert_eq!(
        (video.size.as_deref(), video.rx_key_frames, video.freezes),
        (Some("1920x1080"), 2, Some(0)),
        "{video:?}"
    );
}

#[test]
fn keys_go_as_events_and_as_tones_and_come_back() {
    let (world, _) = passes("dtmf.yaml");
    let record = world.record();
    let told = [&record.dtmf_sent, &record.dtmf_heard].map(|told| told.as_ref().map(ToString::to_string));
    assert_eq!(told, [Some("123#*0D".to_owned()), Some("123#*0D".to_owned())]);
    assert_eq!((record.class, record.as_expected), (Class::Ok, Some(true)));
}
