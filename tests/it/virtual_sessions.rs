//! Whole scenarios with the extensions of a session: hold and resume, PRACK, session timers; against the lab.

use std::time::Duration;

use ringfleet::record::Class;

use crate::virtual_net::{Side, World, caller, compiled};

const MINUTE: Duration = Duration::from_secs(60);

fn against(lab: &str, steps: &str) -> World {
    let text = format!(
        "scenario: test\ntarget: lab.yaml\ncaller: {{ account: agents, steps: {steps} }}\nload: {{ calls: 1 }}\n"
    );
    World::new(compiled(&text, lab))
}

#[test]
fn a_far_end_is_put_on_hold_and_taken_back_and_the_silence_between_is_no_fault() {
    for (hold, method) in [("hold", "INVITE"), ("hold: { by: update, direction: inactive }", "UPDATE")] {
        let resume = hold.replace("hold", "resume").replace(", direction: inactive", "");
        let steps = format!(
            "[{{ dial: {{ number: internal }} }}, {{ talk: {{ for: 3s }} }}, {}, {{ wait: 10s }}, {}, \
             {{ talk: {{ for: 3s }} }}, hangup]",
            step(hold),
            step(&resume)
        );
        let mut world = World::new(caller(&steps, "{ calls: 1 }"));
        world.run(MINUTE);
        let record = world.record();
        assert_eq!((record.class, record.audio.as_str()), (Class::Ok, "two_way"), "{record:#?}");
        let changes = world.sent(Side::Callers, method);
        assert_eq!(changes[changes.len() - 2..], [3040, 13_060], "{method}");
        // 50 packets a second come back while the call is not on hold: 6 of its 16 seconds.
        assert!(record.rx_packets.is_some_and(|packets| (290..=310).contains(&packets)), "{:?}", record.rx_packets);
    }
}

fn step(text: &str) -> String {
    if text.contains(':') { format!("{{ {text} }}") } else { text.to_owned() }
}

#[test]
fn a_hold_that_is_refused_fails_the_attempt_and_says_so() {
    let mut world = World::new(caller(
        "[{ dial: { number: internal } }, { talk: { for: 1s } }, hold, { wait: 1s }, hangup]",
        "{ calls: 1 }",
    ));
    // Nobody answers the re-INVITE.
    world.pass(Duration::from_millis(1000));
    world.drop_next.push(("INVITE".into(), usize::MAX));
    world.run(2 * MINUTE);
    let record = world.record();
    assert_eq!(record.unmet.as_deref(), Some("hold or resume: there was no answer"));
    assert!(record.is_failed());
    assert_eq!(world.sent(Side::Callers, "BYE").len(), 1);
}

#[test]
fn an_agent_behind_the_lab_is_put_on_hold_by_its_customer() {
    let text = "scenario: inbound\ntarget: lab\nactors:\n  agent: { account: agents, registered: standing, steps: \
        [{ answer: { within: 20s } }, talk] }\n  customer: { account: agents, when: agent.registered, steps: \
        [{ dial: { number: \"1001\" } }, { talk: { for: 3s } }, hold, { wait: 2s }, { resume: { by: update } }, \
        { talk: { for: 3s } }, hangup] }\nload: { calls: 1 }\n";
    let mut world = World::new(compiled(text, ""));
    world.run(MINUTE);
    assert_eq!(world.records.len(), 2);
    for record in &world.records {
        assert_eq!((record.class, record.audio.as_str()), (Class::Ok, "two_way"), "{record:#?}");
    }
    // Each change goes through the lab to the other side.
    assert_eq!((world.sent(Side::Pbx, "UPDATE").len(), world.sent(Side::Pbx, "INVITE").len()), (1, 2));
}

#[test]
fn a_call_that_requires_100rel_acknowledges_the_ringing_of_the_lab() {
    let steps = "[{ dial: { number: echo, 100rel: required } }, { talk: { for: 1s } }, hangup]";
    let mut world = World::new(caller(steps, "{ calls: 1 }"));
    world.run(MINUTE);
    assert_eq!(world.record().class, Class::Ok);
    assert_eq!(world.sent(Side::Callers, "PRACK").len(), 1);
}

#[test]
fn early_media_in_a_reliable_183_is_heard_and_the_refusal_after_it_is_classified() {
    let steps = "[{ dial: { number: early_media, 100rel: required } }]";
    let mut world = World::new(caller(steps, "{ calls: 1 }"));
    world.run(MINUTE);
    assert_eq!(world.record().class, Class::CallCalleeBusy);
    assert_eq!(world.sent(Side::Callers, "PRACK").len(), 1);
    assert!(world.record().rx_packets.is_some_and(|packets| packets > 80), "{:?}", world.record().rx_packets);
}

#[test]
fn a_lab_that_requires_100rel_refuses_a_caller_who_does_not_speak_it() {
    let mut world = against("lab: strict\n100rel: required\n", "[{ dial: { number: echo, 100rel: off } }]");
    world.run(MINUTE);
    assert_eq!((world.record().class, world.record().code), (Class::CallNotAcceptable, Some(421)));
    world.rest(MINUTE);
    assert_eq!(world.pbx.calls_under_way(), 0);
}

#[test]
fn both_legs_of_a_call_through_a_lab_that_requires_100rel_are_acknowledged() {
    let text = "scenario: inbound\ntarget: lab.yaml\nactors:\n  agent: { account: agents, registered: standing, steps: \
        [{ answer: { within: 20s, 100rel: required } }, talk] }\n  customer: { account: agents, when: agent.registered, \
        steps: [{ dial: { number: \"1001\", 100rel: required } }, { talk: { for: 3s } }, hangup] }\nload: { calls: 1 }\n";
    let mut world = World::new(compiled(text, "lab: strict\n100rel: required\n"));
    world.run(MINUTE);
    for record in &world.records {
        assert_eq!((record.class, record.audio.as_str()), (Class::Ok, "two_way"), "{record:#?}");
    }
    assert_eq!((world.sent(Side::Callers, "PRACK").len(), world.sent(Side::Pbx, "PRACK").len()), (1, 1));
}

#[test]
fn a_long_call_is_refreshed_every_45_s_after_the_lab_wanted_90_instead_of_60() {
    let steps = "[{ dial: { number: internal, session_timer: { expires: 60s, refresher: uac, by: update } } }, \
        { talk: { for: 100s } }, hangup]";
    let mut world = World::new(caller(steps, "{ calls: 1 }"));
    world.run(3 * MINUTE);
    assert_eq!(world.record().class, Class::Ok, "{:#?}", world.record());
    assert_eq!(world.sent(Side::Pbx, "SIP/2.0 422").len(), 1);
    assert_eq!(world.sent(Side::Callers, "UPDATE"), [45_060, 90_080]);
}

#[test]
fn a_call_that_its_far_end_does_not_refresh_is_a_session_that_expired() {
    let lab = "lab: slow\nsession_timer: { expires: 90s, refresher: uas }\n";
    let mut world = against(lab, "[{ dial: { number: internal } }, { talk: { for: 5m } }, hangup]");
    world.pass(Duration::from_millis(1000));
    world.drop_next.push(("INVITE".into(), usize::MAX));
    world.run(6 * MINUTE);
    let record = world.record();
    assert_eq!(record.class, Class::CallSessionExpired, "{record:#?}");
    // 60 s after the 200 came.
    assert_eq!(world.sent(Side::Callers, "BYE").first(), Some(&60_040));
}
