//! Defects that were found once, each with the scenario that showed it.

use std::time::Duration;

use ringfleet::record::{Class, Origin};
use ringfleet::scenario::plan::Transport;
use ringfleet::station::LinkFault;

use crate::pair::Network;
use crate::virtual_net::{PBX, Side, World, caller, compiled, over};

const MINUTE: Duration = Duration::from_secs(60);

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn slow(delay: u64) -> Network {
    Network { delay: ms(delay), ..Network::default() }
}

const OPEN_LAB: &str = "lab: open\nchallenge: false\n";

fn open_lab(steps: &str, load: &str) -> ringfleet::scenario::compile::Compiled {
    let text =
        format!("scenario: test\ntarget: lab.yaml\ncaller: {{ account: agents, steps: {steps} }}\nload: {load}\n");
    compiled(&text, OPEN_LAB)
}

#[test]
fn ringing_that_comes_after_the_caller_gave_up_sets_no_clock_that_strikes_for_ever() {
    let steps = "[{ dial: { number: ring_forever, cancel_after: 1s } }]";
    let mut world = World::through(slow(600), open_lab(steps, "{ calls: 1 }"));
    world.run(MINUTE);
    assert_eq!(world.record().class, Class::CallCancelled);
    // At 1 s nothing had come yet: CANCEL waits for the 180 (RFC 3261 §9.1).
    assert_eq!(world.sent(Side::Callers, "CANCEL").first(), Some(&1200));
}

#[test]
fn a_challenge_that_meets_our_giving_up_is_a_cancelled_call_and_no_failed_authentication() {
    let steps = "[{ dial: { number: echo, cancel_after: 1s } }]";
    let mut world = World::through(slow(600), caller(steps, "{ calls: 1 }"));
    world.run(MINUTE);
    assert_eq!((world.record().class, world.record().code), (Class::CallCancelled, Some(407)));
}

#[test]
fn a_cancel_that_nobody_answers_ends_after_32_s_although_ringing_goes_on() {
    let steps = "[{ dial: { number: ring_forever, answer_within: 2s } }]";
    let mut world = World::new(caller(steps, "{ calls: 1 }"));
    // The far end never sees the CANCEL, and its 180 comes once more after it.
    world.drop_next.push(("CANCEL".into(), usize::MAX));
    world.drop_next.push(("SIP/2.0 180".into(), 1));
    world.run(2 * MINUTE);
    let record = world.record();
    assert_eq!((record.class, record.code_origin), (Class::CallTimeout, Some(Origin::Local)));
    let last = world.now - world.start;
    assert!(last >= Duration::from_secs(34) && last < Duration::from_secs(66), "{last:?}");
}

#[test]
fn a_cancel_that_is_repeated_goes_where_its_invite_went() {
    let text = "scenario: test\ntarget: lab.yaml\ncaller: { account: agents, steps: \
        [{ dial: { number: ring_forever, answer_within: 2s } }] }\nload: { calls: 1 }\n";
    // The Request-URI names another host than the one that calls are sent to.
    let mut world = World::new(compiled(text, "lab: elsewhere\ndomain: 192.0.2.77\n"));
    world.drop_next.push(("CANCEL".into(), 2));
    world.run(MINUTE);
    let cancels: Vec<_> = world.wire.iter().filter(|sent| sent.line.starts_with("CANCEL")).collect();
    assert_eq!(cancels.len(), 3);
    assert!(cancels.iter().all(|sent| sent.to == PBX), "{cancels:?}");
    assert_eq!(world.record().class, Class::CallCancelled);
}

#[test]
fn attempts_that_fail_at_once_follow_each_other_without_recursion() {
    let mut compiled = caller("[{ dial: { number: echo } }]", "{ calls: 10000 }");
    compiled.plan.load.stop.calls = Some(20_000);
    compiled.plan.safety.max_calls = u64::MAX;
    let mut world = World::new(over(Transport::Tcp, compiled));
    world.refuse_links = Some(LinkFault::Refused);
    world.run(MINUTE);
    assert_eq!(world.records.len(), 20_000);
    assert_eq!(world.callers.progress().peak, 1);
}

#[test]
fn attempts_that_fail_at_once_can_be_stopped() {
    let mut compiled = caller("[{ dial: { number: echo } }]", "{ calls: 10000 }");
    compiled.plan.load.stop.calls = Some(1_000_000_000);
    // Nobody resolved the server.
    let mut world = World::unresolved(compiled);
    world.pass_turns(10);
    world.stop();
    world.run(MINUTE);
    assert!(world.records.len() <= 11_000, "{}", world.records.len());
    assert!(world.records.iter().all(|record| record.class == Class::TransportDns));
}

fn standing(lab: &str, agent: &str) -> ringfleet::scenario::compile::Compiled {
    let text = format!(
        "scenario: inbound\ntarget: lab.yaml\nactors:\n  agent: {{ account: agents, registered: standing, steps: \
         {agent} }}\n  customer: {{ account: agents, when: agent.registered, steps: [{{ dial: {{ number: \"1001\", \
         answer_within: 20s }} }}, {{ talk: {{ for: 2s }} }}, hangup] }}\nload: {{ calls: 2 }}\n"
    );
    compiled(&text, lab)
}

const ANSWER: &str = "[{ answer: { within: 20s } }, talk]";

#[test]
fn a_load_starts_although_its_standing_registration_was_refused_and_says_why() {
    let lab = "lab: full\nlicence: { devices: 1, refuse: { code: 403, reason: license limit exceeded } }\n";
    let mut compiled = standing(lab, ANSWER);
    let mut plan = (*compiled.lab.clone().expect("it is a lab")).clone();
    plan.licence.as_mut().expect("it has one").places = 0;
    compiled.lab = Some(std::sync::Arc::new(plan));
    let mut world = World::new(compiled);
    world.run(MINUTE);
    assert_eq!(world.records.len(), 4);
    for record in &world.records {
        assert_eq!((record.class, record.code), (Class::RegRefused, Some(403)), "{record:#?}");
        assert_eq!(record.reason.as_deref(), Some("license limit exceeded"));
        assert!(record.is_failed());
    }
    assert!(world.primary.iter().all(|record| record.unmet.as_deref() == Some("when: agent was never registered")));
    assert!(world.sent(Side::Callers, "INVITE").is_empty());
}

#[test]
fn a_load_starts_although_the_link_of_its_standing_registration_is_refused() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut world = World::new(over(transport, standing("lab: any\n", ANSWER)));
        world.refuse_links = Some(LinkFault::Refused);
        world.run(MINUTE);
        assert_eq!(world.records.len(), 4);
        assert!(world.records.iter().all(|record| record.class == Class::TransportRefused), "{:#?}", world.records);
    }
}

#[test]
fn a_standing_registration_that_gets_no_answer_is_a_time_out_and_the_load_starts() {
    let mut world = World::through(Network { loss: 1000, ..Network::default() }, standing("lab: any\n", ANSWER));
    world.run(2 * MINUTE);
    assert!(world.primary.iter().all(|record| record.class == Class::RegTimeout), "{:#?}", world.primary);
    assert_eq!(world.primary[0].code_origin, Some(Origin::Local));
}

#[test]
fn a_registration_under_way_when_the_run_is_stopped_is_removed() {
    let mut world = World::new(standing("lab: any\n", ANSWER));
    world.pass(ms(15));
    world.stop();
    world.run(MINUTE);
    // REGISTER, with credentials, and one to remove it.
    assert_eq!(world.sent(Side::Callers, "REGISTER").len(), 3);
    assert_eq!(world.sent(Side::Pbx, "SIP/2.0 200").len(), 2);
}

#[test]
fn an_actor_that_waits_for_a_state_that_never_comes_has_failed() {
    let text = "scenario: inbound\ntarget: lab\nactors:\n  \
        first: { account: agents, steps: [{ dial: { number: busy } }] }\n  \
        second: { account: agents, when: first.answered, steps: [{ dial: { number: echo } }, { talk: { for: 1s } }] }\n\
        load: { calls: 1 }\n";
    let mut world = World::new(compiled(text, ""));
    world.run(MINUTE);
    let second = world.records.iter().find(|record| record.call_id.ends_with("second")).expect("recorded");
    assert!(second.is_failed() && !second.invited);
    assert_eq!(second.unmet.as_deref(), Some("when: first was never answered"));
}

#[test]
fn a_call_that_its_caller_gave_up_is_cancelled_on_both_records() {
    let mut compiled = standing("lab: any\n", "[{ answer: { after: 10s, within: 20s } }, talk]");
    compiled.plan.load.stop.calls = Some(1);
    for actor in &mut compiled.plan.actors {
        for step in &mut actor.steps {
            if let ringfleet::scenario::plan::Step::Dial(dial) = step {
                dial.cancel_after = Some(ms(2000));
            }
        }
    }
    let mut world = World::new(compiled);
    world.run(MINUTE);
    let classes: Vec<Class> = world.records.iter().map(|record| record.class).collect();
    assert_eq!(classes, [Class::CallCancelled, Class::CallCancelled], "{:#?}", world.records);
}

#[test]
fn calls_held_open_end_with_the_load() {
    let steps = "[{ dial: { number: internal } }, hold_open, hangup]";
    // The last call starts, and the load is over, before it is answered.
    let mut world = World::new(caller(steps, "{ calls: 1 }"));
    world.run(MINUTE);
    assert_eq!(world.record().class, Class::Ok);
    // With a time beside the number, calls are held to its end.
    let mut world = World::new(caller(steps, "{ concurrent: 3, calls: 3, for: 10s }"));
    world.run(MINUTE);
    assert_eq!(world.records.len(), 3);
    assert_eq!(world.now - world.start, ms(10_020));
    assert_eq!(world.callers.progress().peak, 3);
}

#[test]
fn more_attempts_than_the_target_allows_are_dropped_and_counted() {
    let mut compiled =
        caller("[{ dial: { number: internal } }, { talk: { for: 2s } }, hangup]", "{ rate: 10/s, calls: 30 }");
    compiled.plan.safety.max_concurrent = 5;
    let mut world = World::new(compiled);
    world.run(MINUTE);
    let progress = world.callers.progress();
    assert_eq!((progress.peak, progress.started + progress.dropped), (5, 30));
    assert_eq!((world.dropped, world.records.len() as u64), (progress.dropped, progress.started));
    assert!(progress.dropped > 15);
}

#[test]
fn a_call_without_any_response_leaves_nothing_behind_in_the_lab() {
    let mut world = World::new(caller("[{ dial: { number: no_response } }]", "{ calls: 3 }"));
    world.run(3 * MINUTE);
    world.rest(MINUTE);
    assert!(world.sent(Side::Pbx, "SIP/2.0").is_empty(), "{:#?}", world.wire);
    assert_eq!(world.pbx.calls_under_way(), 0);
}

#[test]
fn a_bye_that_is_lost_is_repeated_and_the_call_still_ends_with_its_200() {
    let steps = "[{ dial: { number: internal, media: none } }, { wait: 1s }, hangup]";
    let mut world = World::new(caller(steps, "{ calls: 1 }"));
    world.drop_next.push(("BYE".into(), 2));
    world.run(MINUTE);
    assert_eq!(world.sent(Side::Callers, "BYE"), [1040, 1540, 2540]);
    assert_eq!(world.record().sdd_ms, Some(1520.0));
}

#[test]
fn a_link_lost_while_dialling_is_a_fault_of_the_transport() {
    let steps = "[{ dial: { number: ring_forever } }]";
    let mut world = World::new(over(Transport::Tcp, caller(steps, "{ calls: 1 }")));
    world.pass(ms(1000));
    world.break_links();
    world.run(MINUTE);
    let record = world.record();
    assert_eq!((record.class, record.code, record.code_origin), (Class::TransportTcp, Some(503), Some(Origin::Local)));
}

#[test]
fn a_media_port_is_given_to_the_next_call_with_clean_timers() {
    let steps = "[{ dial: { number: internal } }, { talk: { for: 1s } }, hangup]";
    let mut world = World::new(caller(steps, "{ calls: 5 }"));
    world.run(MINUTE);
    for record in &world.records {
        // One packet each 20 ms and not one more: from the 200 to the BYE.
        assert!(record.tx_packets.is_some_and(|sent| (49..=52).contains(&sent)), "{:?}", record.tx_packets);
        assert_eq!(record.audio, "two_way");
    }
}

#[test]
fn an_invite_without_the_fields_that_every_request_has_is_no_call() {
    let mut world = World::new(caller("[{ dial: { number: echo } }, { talk: { for: 1s } }, hangup]", "{ calls: 1 }"));
    world.pass(ms(1));
    world.inject(b"INVITE sip:2000@lab SIP/2.0\r\n\r\n");
    world.inject(b"INVITE sip:2000@lab SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1:20001;branch=z9hG4bKx\r\n\r\n");
    assert_eq!(world.pbx.calls_under_way(), 0);
    assert_eq!(world.sent(Side::Pbx, "SIP/2.0 400").len(), 1, "only one has a Via to answer to");
    world.run(MINUTE);
    assert_eq!(world.record().class, Class::Ok);
}

#[test]
fn a_far_end_that_was_left_to_hang_up_drops_nothing_however_soon_it_does() {
    for steps in [
        "[{ dial: { number: dropped } }, talk]",
        "[{ dial: { number: dropped } }, { expect: { ended_by: { party: far_end, within: 5s } } }]",
        "[{ dial: { number: dropped } }, { wait: 1s }, { expect: { ended_by: { party: far_end, within: 5s } } }]",
    ] {
        let mut world = World::new(caller(steps, "{ calls: 1 }"));
        world.run(MINUTE);
        assert_eq!(world.record().class, Class::Ok, "{steps}");
    }
}
