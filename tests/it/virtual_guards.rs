//! Loads that meet a limit, in virtual time: a full trunk, and the guard rails that keep a line usable for others.

use std::time::Duration;

use ringfleet::record::{CallRecord, Class, Direction, Origin, Role};
use ringfleet::scenario::plan::Transport;

use crate::scenarios::root;
use crate::virtual_net::{Side, World, caller, compiled, over};

const MINUTE: Duration = Duration::from_secs(60);

fn count(records: &[CallRecord], class: Class) -> usize {
    records.iter().filter(|record| record.class == class).count()
}

#[test]
fn a_trunk_of_five_is_full_with_five_calls_held_open_and_refuses_the_sixth() {
    let text = std::fs::read_to_string(root().join("scenarios/trunk-full.yaml")).expect("readable");
    let mut world = World::new(compiled(&text, ""));
    world.run(MINUTE);
    assert_eq!((count(&world.records, Class::Ok), count(&world.records, Class::CallCongestion)), (5, 1));
    let mut dialled: Vec<_> = world.records.iter().filter_map(|record| record.to.clone()).collect();
    dialled.sort();
    assert_eq!(dialled, ["9001", "9002", "9003", "9004", "9005", "9006"], "the prefix stands in the number once");
    let refused = world.records.iter().find(|record| record.class != Class::Ok).expect("one is refused");
    assert_eq!((refused.call_id.as_str(), refused.code), ("run-000006", Some(503)));
    assert_eq!(refused.trunk.as_deref(), Some("trunk_a"));
    // The first began at 0 and was held until the load's time was over.
    let first = world.records.iter().find(|record| record.call_id == "run-000001").expect("it has a record");
    assert_eq!((first.audio.as_str(), first.duration_ms), ("two_way", Some(3960.0)));
}

#[test]
fn a_number_behind_the_prefix_alone_is_no_number() {
    let mut world = World::new(caller("[{ dial: { number: \"900\" } }]", "{ calls: 1 }"));
    world.run(MINUTE);
    assert_eq!((world.record().class, world.record().code), (Class::CallNumberInvalid, Some(404)));
}

#[test]
fn an_account_behind_the_prefix_is_called_and_not_replaced_by_an_echo() {
    let mut world = World::new(caller("[{ dial: { number: \"9001020\" } }]", "{ calls: 1 }"));
    world.run(MINUTE);
    assert_eq!((world.record().class, world.record().code), (Class::CallCalleeUnreachable, Some(480)));
}

fn hours(hours: f64) -> Duration {
    Duration::from_secs_f64(hours * 3600.0)
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_line_is_filled_only_while_its_window_is_open() {
    let target = "target: prod\nsip: { server: pbx.example }\naccounts: { agents: { users: \"1001..1020\", password: \"${P}\" } }\n\
        trunks: { main: { contracted_calls: 3, select: { prefix: 9 } } }\nlicence: { extensions: 2 }\n\
        numbers: { echo: \"2000\" }\nsaturate: { allowed: true, window: \"02:00-04:00\" }\n";
    let plan = |steps: &str, load: &str| {
        let caller = format!("caller: {{ account: agents, steps: {steps} }}\nload: {load}\n");
        compiled(&format!("scenario: x\ntarget: target.yaml\n{caller}"), target).plan
    };
    let call = "[{ dial: { number: echo, trunk: main } }, { talk: { for: 5s } }]";
    let filling = plan(call, "{ concurrent: 4, calls: 9 }");
    assert_eq!(filling.filled[0].what, "trunk `main` of `prod` (4 calls, it has 3)");
    assert_eq!(filling.may_start_at(hours(3.5)), Ok(Some(hours(0.5))));
    assert_eq!(
        filling.may_start_at(hours(13.2)).expect_err("closed").to_string(),
        "the load fills trunk `main` of `prod` (4 calls, it has 3), which its target allows between 02:00 and 04:00 \
         only; it is 13:12 (local time)"
    );
    let within = plan(call, "{ concurrent: 3, calls: 9 }");
    assert_eq!((within.filled.len(), within.may_start_at(hours(13.2))), (0, Ok(None)));
    let by_prefix = plan("[{ dial: { number: \"92000\" } }, hold_open]", "{ rate: 1/s, calls: 5 }");
    assert_eq!(by_prefix.filled[0].what, "trunk `main` of `prod` (4 calls, it has 3)", "held from second to second");
    let registering = plan("[register, { wait: 5s }]", "{ concurrent: 3, calls: 9 }");
    assert_eq!(registering.filled[0].what, "the licence of `prod` (3 registrations, it has 2)");
}

#[test]
fn when_the_window_closes_no_call_starts_any_more_and_held_calls_end() {
    let steps = "[{ dial: { number: \"900{{ n }}\", trunk: trunk_a } }, hold_open]";
    let load = "{ rate: 1/s, calls: 9, for: 60s }";
    let mut world = World::closing(caller(steps, load), Duration::from_millis(3500));
    world.run(MINUTE);
    assert_eq!(world.closed, Some(Duration::from_millis(3500)));
    assert_eq!((world.records.len(), world.dropped), (4, 0));
    assert_eq!(world.sent(Side::Callers, "BYE"), [3500; 4]);
    let talking = "[{ dial: { number: internal } }, { talk: { for: 2s } }, hangup]";
    let mut world = World::closing(caller(talking, "{ concurrent: 2, calls: 100 }"), secs(3));
    world.run(MINUTE);
    assert_eq!((world.closed, world.records.len()), (Some(secs(3)), 4), "calls that are up are ended by their steps");
}

/// A lab whose `full` refuses with 503 and Retry-After: 5, and whose trunk of one place does with 4.
const OVERLOADED: &str = "lab: overloaded\nextensions:\n  \
    full: { number: 3503, does: { reject: { code: 503, retry_after: 5 } } }\n  \
    echo: { number: 2000, does: echo }\n\
    trunks: { main: { prefix: 900, calls: 1, refuse: { code: 503, retry_after: 4 } } }\n";

fn overloaded(steps: &str, load: &str) -> World {
    let caller = format!("caller: {{ account: agents, steps: {steps} }}\nload: {load}\n");
    World::new(compiled(&format!("scenario: x\ntarget: lab.yaml\n{caller}"), OVERLOADED))
}

#[test]
fn starts_of_a_rate_that_fall_in_a_pause_are_held_back_and_counted_apart() {
    let mut world = overloaded("[{ dial: { number: full } }]", "{ rate: 1/s, calls: 9 }");
    world.run(MINUTE);
    // The 503 to the first call came at 0.04 s, that to the one at 6 s at 6.04 s.
    assert_eq!(world.sent(Side::Callers, "INVITE").len(), 4, "two calls, each challenged once");
    assert_eq!(world.held_back, [1, 2, 3, 4, 5, 7, 8].map(secs));
    assert_eq!((world.dropped, world.records.len()), (0, 2));
}

#[test]
fn a_load_of_calls_at_the_same_time_waits_for_the_end_of_a_pause() {
    let mut world = overloaded("[{ dial: { number: full } }]", "{ concurrent: 1, calls: 3 }");
    world.run(MINUTE);
    let invites = world.sent(Side::Callers, "INVITE");
    assert_eq!((invites[0], invites[2], invites[4]), (0, 5040, 10_080));
    assert_eq!((world.records.len(), world.held_back.len()), (3, 0));
}

#[test]
fn a_scenario_that_measures_refusals_goes_on_in_spite_of_retry_after() {
    let load = "{ rate: 1/s, calls: 9, honour_retry_after: false }";
    let mut world = overloaded("[{ dial: { number: full } }]", load);
    world.run(MINUTE);
    assert_eq!((world.records.len(), world.held_back.len()), (9, 0));
}

#[test]
fn a_call_of_an_attempt_under_way_is_not_placed_in_a_pause_and_other_trunks_are_free() {
    let steps = "[{ dial: { number: full, expect: { code: 503 } } }, { dial: { number: echo, trunk: main } }]";
    let mut world = overloaded(steps, "{ calls: 1 }");
    world.run(MINUTE);
    let record = world.record();
    assert_eq!(record.unmet.as_deref(), Some("dial: no calls are wanted for another 5.0 s (Retry-After)"));
    assert_eq!(world.sent(Side::Callers, "INVITE").len(), 2);
    // The trunk is full from the first call on: the second's pause is of that trunk alone.
    let two = "scenario: x\ntarget: lab.yaml\nactors:\n  \
        out: { account: agents, steps: [{ dial: { number: echo, trunk: main } }, { talk: { for: 3s } }] }\n  \
        in: { account: agents, steps: [{ wait: 1s }, { dial: { number: echo, trunk: main, expect: { code: 503 } } }, \
        { dial: { number: echo } }, { talk: { for: 1s } }] }\nload: { calls: 1 }\n";
    let mut world = World::new(compiled(two, OVERLOADED));
    world.run(MINUTE);
    let inner = world.records.iter().find(|record| record.call_id.ends_with("in")).expect("recorded");
    assert_eq!((inner.unmet.as_deref(), inner.code), (None, Some(200)));
}

#[test]
fn an_inbound_call_that_nothing_waits_for_is_refused_and_recorded_beside_the_attempts() {
    let text = "scenario: inbound\ntarget: lab\nactors:\n  \
        agent: { account: agents, registered: standing, steps: [{ answer: { within: 20s } }, talk] }\n  \
        first: { account: agents, when: agent.registered, steps: [{ dial: { number: \"1001\" } }, { talk: { for: 3s } }, hangup] }\n  \
        second: { account: agents, when: agent.registered, steps: [{ wait: 1s }, { dial: { number: \"1001\" } }] }\n\
        load: { calls: 1 }\n";
    let mut world = World::new(compiled(text, ""));
    world.run(MINUTE);
    assert_eq!((world.records.len(), world.beside.len()), (3, 1));
    let stray = &world.beside[0];
    assert_eq!(
        (stray.class, stray.role, stray.direction),
        (Class::CallInboundUnexpected, Role::Callee, Direction::Inbound)
    );
    assert_eq!((stray.code, stray.code_origin), (Some(480), Some(Origin::Local)));
    assert_eq!((stray.to.as_deref(), stray.target.as_str()), (Some("1001"), "lab"));
    let second = world.records.iter().find(|record| record.call_id.ends_with("second")).expect("recorded");
    assert_eq!((stray.from.as_deref(), second.code), (second.from.as_deref(), Some(480)));
    assert_eq!((stray.call_id.as_str(), stray.paired_with.as_deref()), ("run-stray000001", Some("run-000001-second")));
    assert!(stray.is_failed() && stray.sip_call_ids.len() == 1);
}

/// A call every ten seconds to an agent that stays registered, for ten minutes.
fn hotline() -> ringfleet::scenario::compile::Compiled {
    let text = "scenario: inbound\ntarget: lab\nactors:\n  \
        agent: { account: agents, registered: standing, steps: [{ answer: { within: 20s } }, talk] }\n  \
        customer: { account: agents, when: agent.registered, steps: [{ dial: { number: \"1001\" } }, { talk: { for: 2s } }, hangup] }\n\
        load: { rate: 0.1/s, calls: 60 }\n";
    compiled(text, "")
}

#[test]
fn a_standing_registration_whose_refresh_gets_no_answer_is_made_again() {
    let mut world = World::new(hotline());
    world.pass(secs(29));
    // The first refresh and its ten repetitions: the time-out is 32 s later.
    world.drop_next = vec![("REGISTER".into(), 11)];
    world.run(15 * MINUTE);
    let refresh = world.sent(Side::Callers, "REGISTER")[2];
    assert!((30_000..270_000).contains(&refresh), "between a tenth and nine tenths of 300 s: {refresh}");
    let [lost, back] = &world.beside[..] else { panic!("{:#?}", world.beside) };
    assert_eq!((lost.class, lost.code, lost.code_origin), (Class::RegBindingLost, Some(408), Some(Origin::Local)));
    assert_eq!((lost.role, lost.account.as_deref()), (Role::Registration, Some("1001")));
    assert_eq!((back.class, back.code, back.rrd_ms), (Class::Ok, Some(200), Some(40.0)));
    let gone = back.ended_at.duration_since(lost.ended_at).as_millis();
    assert!((30_000..=60_040).contains(&gone), "RFC 5626 4.5: between 30 s and 60 s, {gone} ms");
    assert_eq!(back.reason.as_deref().map(|reason| reason.starts_with("OK; registered again after ")), Some(true));
    let failed = world.primary.iter().filter(|record| record.class != Class::Ok);
    let (away, unreached): (Vec<&CallRecord>, _) = failed.partition(|record| record.class == Class::RegBindingLost);
    assert!(unreached.is_empty(), "the binding stood until 300 s: {unreached:#?}");
    // Those who came later were not let call, and were told why.
    assert!((2..=6).contains(&away.len()), "{}", away.len());
    for record in away {
        assert_eq!((record.invited, record.unmet.as_deref()), (false, Some("when: agent was never registered")));
    }
    assert_eq!(world.records.len(), 120);
}

#[test]
fn a_standing_registration_whose_connection_breaks_is_made_again_over_a_new_one() {
    let mut world = World::new(over(Transport::Tcp, hotline()));
    world.pass(secs(125));
    world.break_links();
    world.run(15 * MINUTE);
    let classes: Vec<Class> = world.beside.iter().map(|record| record.class).collect();
    assert_eq!(classes, [Class::RegBindingLost, Class::Ok], "{:#?}", world.beside);
    assert_eq!(world.primary.last().map(|record| record.class), Some(Class::Ok));
}

#[test]
fn a_standing_registration_that_stays_away_is_asked_for_less_and_less_often() {
    let mut world = World::new(hotline());
    world.pass(secs(29));
    world.drop_next = vec![("REGISTER".into(), usize::MAX)];
    world.run(20 * MINUTE);
    assert_eq!(world.beside.len(), 1, "one loss, however often it is tried");
    let sent = world.sent(Side::Callers, "REGISTER");
    let tries: Vec<u128> = sent.windows(2).filter(|two| two[1] - two[0] > 5_000).map(|two| two[1]).collect();
    let waits: Vec<u128> = tries.windows(2).map(|two| two[1] - two[0] - 32_000).collect();
    assert!((30_000..270_000).contains(&tries[0]), "the refresh: {}", tries[0]);
    assert!((30_000..=60_000).contains(&waits[0]) && (60_000..=120_000).contains(&waits[1]), "{waits:?}");
}
