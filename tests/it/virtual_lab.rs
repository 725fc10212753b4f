//! Whole scenarios against the simulated PBX in virtual time: class, code, where the code comes from, and timing.

use std::time::Duration;

use ringfleet::record::{CallRecord, Class, Origin};
use ringfleet::scenario::plan::Transport;
use ringfleet::station::LinkFault;

use crate::pair::Network;
use crate::virtual_net::{Side, World, caller, compiled, over};

const MINUTE: Duration = Duration::from_secs(60);

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Dials a number of the built-in lab, listens for five seconds where it is answered, and hangs up.
fn call(number: &str) -> CallRecord {
    let mut world = World::new(caller(
        &format!("[{{ dial: {{ number: {number} }} }}, {{ talk: {{ for: 5s }} }}, hangup]"),
        "{ calls: 1 }",
    ));
    world.run(3 * MINUTE);
    world.rest(MINUTE);
    assert_eq!(world.open_ports(), 0, "every media socket is given back");
    world.record().clone()
}

/// Class, code and origin of a refused call, and the time to its first status-indicative response, ms.
fn refused(number: &str) -> (Class, Option<u16>, Option<Origin>, Option<f64>) {
    let record = call(number);
    assert!(record.setup_ms.is_none(), "{record:#?}");
    assert!(record.is_failed());
    (record.class, record.code, record.code_origin, record.srd_ms)
}

const RECEIVED: Option<Origin> = Some(Origin::Received);

/// A message takes 10 ms each way; the challenge costs one round trip.
const TWO_ROUND_TRIPS: Option<f64> = Some(40.0);

#[test]
fn numbers_that_are_refused_at_once_say_why() {
    let table = [
        ("forbidden", Class::CallForbidden, 403),
        ("invalid", Class::CallNumberInvalid, 404),
        ("timeout_408", Class::CallCalleeUnreachable, 408),
        ("gone", Class::CallNumberOutOfService, 410),
        ("unreachable", Class::CallCalleeUnreachable, 480),
        ("incomplete", Class::CallNumberInvalid, 484),
        ("busy", Class::CallCalleeBusy, 486),
        ("not_acceptable", Class::CallNotAcceptable, 488),
        ("server_error", Class::CallServerError, 500),
        ("bad_gateway", Class::CallNetworkFailed, 502),
        ("unavailable", Class::CallNetworkFailed, 503),
        ("congested", Class::CallCongestion, 503),
        ("declined", Class::CallCalleeDeclined, 603),
        ("redirect", Class::CallRedirected, 302),
        ("request_terminated", Class::Unknown, 487),
        ("\"2999999\"", Class::CallNumberInvalid, 404),
    ];
    for (number, class, code) in table {
        assert_eq!(refused(number), (class, Some(code), RECEIVED, TWO_ROUND_TRIPS), "{number}");
    }
}

#[test]
fn no_response_is_a_local_408_after_timer_b() {
    let mut world = World::new(caller("[{ dial: { number: no_response } }]", "{ calls: 1 }"));
    world.run(MINUTE);
    let record = world.record();
    assert_eq!((record.class, record.code, record.code_origin), (Class::CallTimeout, Some(408), Some(Origin::Local)));
    assert_eq!(record.srd_ms, None, "nothing came");
    assert_eq!(world.sent(Side::Callers, "INVITE"), [0, 500, 1500, 3500, 7500, 15_500, 31_500]);
    assert_eq!(world.now - world.start, secs(32));
    assert!(world.sent(Side::Callers, "CANCEL").is_empty(), "without a provisional response nothing is cancelled");
}

#[test]
fn an_announcement_before_the_refusal_is_heard_and_the_refusal_counts() {
    let record = call("early_media");
    assert_eq!((record.class, record.code, record.q850), (Class::CallCalleeBusy, Some(486), Some(17)));
    assert!(record.rx_packets > Some(90), "two seconds of announcement: {:?}", record.rx_packets);
    assert_eq!(record.srd_ms, TWO_ROUND_TRIPS);
}

#[test]
fn a_ring_without_answer_is_refused_with_480_after_ringing() {
    let record = call("no_answer");
    assert_eq!((record.class, record.code, record.srd_ms), (Class::CallNoAnswer, Some(480), TWO_ROUND_TRIPS));
    assert!(record.rang);
}

#[test]
fn a_call_that_rings_for_ever_is_cancelled_when_its_time_is_over() {
    let steps = "[{ dial: { number: ring_forever, answer_within: 5s } }]";
    let mut world = World::new(caller(steps, "{ calls: 1 }"));
    world.run(MINUTE);
    let record = world.record();
    assert_eq!((record.class, record.code, record.code_origin), (Class::CallCancelled, Some(487), RECEIVED));
    // Counted from the first INVITE.
    assert_eq!(world.sent(Side::Callers, "CANCEL"), [5000]);
}

#[test]
fn a_caller_who_gives_up_cancels_that_long_after_the_first_ring() {
    let steps = "[{ dial: { number: ring_forever, cancel_after: 3s } }]";
    let mut world = World::new(caller(steps, "{ calls: 1 }"));
    world.run(MINUTE);
    assert_eq!(world.record().class, Class::CallCancelled);
    assert_eq!(world.sent(Side::Callers, "CANCEL"), [3040]);
}

#[test]
fn an_echo_is_heard_in_both_directions_and_its_figures_are_those_of_the_network() {
    let record = call("echo");
    assert_eq!((record.class, record.code, record.audio.as_str()), (Class::Ok, Some(200), "two_way"), "{record:#?}");
    assert_eq!((record.srd_ms, record.setup_ms), (Some(40.0), Some(240.0)));
    assert_eq!(record.duration_ms, Some(5000.0));
    assert_eq!(record.sdd_ms, Some(20.0));
    assert_eq!(record.hangup_by.as_deref(), Some("us"));
    assert_eq!(record.loss_pct, Some(0.0));
    let rtt = record.rtt_ms.expect("RTCP ran");
    assert!((rtt - 20.0).abs() < 1.0, "twice the delay: {rtt}");
    assert!(record.mos_cq > Some(4.3));
}

#[test]
fn silence_no_media_and_a_slow_answer_are_told_apart() {
    let silence = call("silence");
    assert_eq!((silence.class, silence.code), (Class::MediaSilenceWithRtp, Some(200)));
    assert!(silence.rx_packets > Some(200));
    let nothing = call("no_media");
    assert_eq!((nothing.class, nothing.rx_packets), (Class::MediaNoRtp, Some(0)));
    let slow = call("slow_answer");
    assert_eq!((slow.class, slow.ring_ms), (Class::Ok, Some(3000.0)));
}

#[test]
fn a_far_end_that_hangs_up_at_once_or_midway_is_told_apart() {
    let dropped = call("dropped");
    assert_eq!((dropped.class, dropped.q850), (Class::CallDroppedImmediately, Some(41)));
    assert_eq!(dropped.hangup_by.as_deref(), Some("far_end"));
    let midway = call("far_end_bye");
    assert_eq!((midway.class, midway.q850), (Class::CallDroppedMidway, Some(16)));
    // ACK reaches the lab 20 ms after its 200, its BYE us 3,010 ms later.
    assert_eq!(midway.duration_ms, Some(3020.0));
}

#[test]
fn a_far_end_that_hangs_up_when_expected_is_right() {
    let steps =
        "[{ dial: { number: far_end_bye } }, { talk: {} }, { expect: { ended_by: { party: far_end, within: 1s } } }]";
    let mut world = World::new(caller(steps, "{ calls: 1 }"));
    world.run(MINUTE);
    let record = world.record();
    assert_eq!((record.class, record.as_expected, record.unmet.as_deref()), (Class::Ok, Some(true), None));
}

#[test]
fn an_expected_end_that_does_not_come_is_unmet_and_the_call_is_hung_up() {
    let steps = "[{ dial: { number: echo } }, { expect: { ended_by: { party: far_end, within: 2s } } }]";
    let mut world = World::new(caller(steps, "{ calls: 1 }"));
    world.run(MINUTE);
    let record = world.record();
    assert!(record.is_failed());
    assert_eq!(record.unmet.as_deref(), Some("expect: the call was not ended by the far end within 2s"));
    assert_eq!(world.sent(Side::Callers, "BYE").len(), 1);
}

#[test]
fn a_call_that_is_still_up_is_found_so_and_one_that_is_not_is_not() {
    let steps = "[{ dial: { number: echo } }, { wait: 2s }, { expect: still_up }, hangup]";
    let mut world = World::new(caller(steps, "{ calls: 1 }"));
    world.run(MINUTE);
    assert_eq!((world.record().class, world.record().as_expected), (Class::Ok, Some(true)));
    let steps = "[{ dial: { number: dropped } }, { wait: 2s }, { expect: still_up }, hangup]";
    let mut world = World::new(caller(steps, "{ calls: 1 }"));
    world.run(MINUTE);
    assert_eq!(world.record().as_expected, Some(false));
    assert_eq!(world.record().unmet.as_deref(), Some("expect: the call is not up any more"));
}

#[test]
fn a_negative_test_that_comes_true_is_no_failure_and_one_that_does_not_is() {
    let steps = "[{ dial: { number: busy, expect: { code: 486, class: call.callee_busy, within: 5s } } }]";
    let mut world = World::new(caller(steps, "{ calls: 1 }"));
    world.run(MINUTE);
    let record = world.record();
    assert_eq!((record.class, record.as_expected), (Class::CallCalleeBusy, Some(true)));
    assert!(!record.is_failed());
    let steps = "[{ dial: { number: echo, expect: { code: [404, 484] } } }]";
    let mut world = World::new(caller(steps, "{ calls: 1 }"));
    world.run(MINUTE);
    let record = world.record();
    assert_eq!(record.unmet.as_deref(), Some("dial: expected code 404 or 484, got 200"));
    assert!(record.is_failed());
    assert_eq!(world.sent(Side::Callers, "BYE").len(), 1, "the call is hung up all the same");
}

#[test]
fn options_is_answered() {
    let mut world = World::new(caller("[options]", "{ calls: 1 }"));
    world.run(MINUTE);
    let record = world.record();
    assert_eq!((record.class, record.code, record.invited), (Class::Ok, Some(200), false));
}

#[test]
fn options_without_answer_is_a_local_408() {
    let network = Network { loss: 1000, ..Network::default() };
    let mut world = World::through(network, caller("[options]", "{ calls: 1 }"));
    world.run(MINUTE);
    let record = world.record();
    assert_eq!(
        (record.class, record.code, record.code_origin),
        (Class::TransportOptions, Some(408), Some(Origin::Local))
    );
}

#[test]
fn the_sixth_call_on_a_trunk_is_refused_and_a_freed_place_is_usable_again() {
    let steps = "[{ dial: { number: echo, trunk: trunk_a } }, { talk: { for: 10s } }, hangup]";
    // One a second: the sixth meets five, the twelfth finds a place again.
    let mut world = World::new(caller(steps, "{ rate: 1/s, calls: 13 }"));
    world.run(2 * MINUTE);
    let mut classes: Vec<(u32, Class)> =
        world.records.iter().map(|r| (r.call_id[4..].parse().unwrap(), r.class)).collect();
    classes.sort_unstable();
    let refused: Vec<u32> =
        classes.iter().filter(|(_, class)| *class == Class::CallCongestion).map(|(n, _)| *n).collect();
    assert_eq!(refused, [6, 7, 8, 9, 10, 11], "{classes:?}");
    let sixth = world.records.iter().find(|record| record.call_id == "run-000006").unwrap();
    assert_eq!(
        (sixth.code, sixth.reason.as_deref()),
        (Some(503), Some("call attempt had over the max concurrent calls"))
    );
    assert_eq!(sixth.to.as_deref(), Some("9002000"));
}

#[test]
fn a_registration_beyond_the_licence_is_refused_and_the_others_are_removed_at_the_end() {
    let lab = "lab: small\nlicence: { devices: 2, refuse: { code: 403, reason: license limit exceeded } }\n";
    let text = "scenario: licence\ntarget: lab.yaml\ncaller: { account: agents, steps: [register, { wait: 5s }] }\n\
        load: { concurrent: 3, calls: 3 }\n";
    let mut world = World::new(compiled(text, lab));
    world.run(MINUTE);
    let classes: Vec<Class> = world.records.iter().map(|record| record.class).collect();
    assert_eq!(classes.iter().filter(|class| **class == Class::Ok).count(), 2);
    let refused = world.records.iter().find(|record| record.class == Class::RegRefused).expect("one is refused");
    assert_eq!((refused.code, refused.reason.as_deref()), (Some(403), Some("license limit exceeded")));
    // Challenge and answer each, and one more of the two that unregister: they know their nonce.
    assert_eq!(world.sent(Side::Callers, "REGISTER").len(), 8);
}

#[test]
fn a_registration_has_its_delay_and_the_call_after_it_its_own() {
    let steps = "[register, { dial: { number: echo } }, { talk: { for: 2s } }, hangup]";
    let mut world = World::new(caller(steps, "{ calls: 1 }"));
    world.run(MINUTE);
    let record = world.record();
    assert_eq!((record.class, record.rrd_ms, record.srd_ms), (Class::Ok, Some(40.0), Some(40.0)));
}

const INBOUND: &str = "scenario: inbound\ntarget: lab\nactors:\n  \
    agent: { account: agents, registered: standing, steps: [{ answer: { after: 2s, within: 20s } }, { talk: { for: 5s } }] }\n  \
    customer: { account: agents, when: agent.registered, steps: [{ dial: { number: \"1001\", answer_within: 20s } }, \
    { talk: { for: 5s } }, hangup] }\n";

#[test]
fn a_customer_reaches_a_standing_agent_and_both_records_are_paired_and_two_way() {
    let mut world = World::new(compiled(&format!("{INBOUND}load: {{ calls: 2 }}\n"), ""));
    world.run(2 * MINUTE);
    assert_eq!((world.records.len(), world.primary.len()), (4, 2));
    for record in &world.records {
        assert_eq!((record.class, record.audio.as_str()), (Class::Ok, "two_way"), "{record:#?}");
    }
    let agent = world.records.iter().find(|record| record.call_id == "run-000001-agent").expect("recorded");
    assert_eq!(agent.paired_with.as_deref(), Some("run-000001-customer"));
    let customer = world.records.iter().find(|record| record.call_id == "run-000001-customer").expect("recorded");
    assert_eq!(customer.paired_with.as_deref(), Some("run-000001-agent"));
    assert_eq!((customer.account.as_deref(), agent.account.as_deref()), (Some("1002"), Some("1001")));
    // Through the lab and back twice for the challenge, twice more for the agent's 180 and 200.
    assert_eq!((customer.srd_ms, customer.setup_ms), (Some(60.0), Some(2060.0)));
    // Registered with a challenge, and removed with the nonce that is known.
    assert_eq!(world.sent(Side::Callers, "REGISTER").len(), 3);
}

#[test]
fn both_legs_of_many_calls_at_a_time_are_paired() {
    let mut world = World::new(compiled(&format!("{INBOUND}load: {{ concurrent: 9, calls: 18 }}\n"), ""));
    world.run(2 * MINUTE);
    assert_eq!(world.primary.len(), 18);
    for record in &world.records {
        let (n, actor) = (&record.call_id[..10], &record.call_id[11..]);
        let other = if actor == "agent" { "customer" } else { "agent" };
        assert_eq!(record.class, Class::Ok, "{record:#?}");
        assert_eq!(record.paired_with, Some(format!("{n}-{other}")));
    }
}

#[test]
fn two_hundred_calls_at_fifty_a_second_through_loss_and_jitter_all_end_and_are_counted_right() {
    let network = Network { spread: ms(20), loss: 50, ..Network::default() };
    let steps = "[{ dial: { number: internal, answer_within: 30s } }, { talk: { for: 2s } }, hangup]";
    let mut world = World::through(network, caller(steps, "{ rate: 50/s, calls: 200 }"));
    world.run(3 * MINUTE);
    let progress = world.callers.progress();
    assert_eq!((progress.started, progress.finished, progress.dropped, progress.in_progress), (200, 200, 0, 0));
    assert_eq!((world.records.len(), world.dropped), (200, 0));
    let answered = world.records.iter().filter(|record| record.is_answered()).count();
    assert_eq!(answered, 200, "an INVITE that is lost is repeated");
    let mean = |figure: fn(&CallRecord) -> Option<f64>| {
        let known: Vec<f64> = world.records.iter().filter_map(figure).collect();
        known.iter().sum::<f64>() / known.len() as f64
    };
    // What comes back crossed the network twice: 1 − 0.95² of the packets are missing, jitter is that of one way.
    let loss = mean(|record| record.loss_pct);
    assert!((4.0..11.0).contains(&loss), "{loss}");
    let jitter = mean(|record| record.jitter_ms);
    assert!((3.0..12.0).contains(&jitter), "{jitter}");
    let rtt = mean(|record| record.rtt_ms);
    assert!((20.0..60.0).contains(&rtt), "{rtt}");
    world.rest(MINUTE);
    assert_eq!(world.open_ports(), 0);
}

#[test]
fn calls_through_reorder_and_duplication_are_each_one_call() {
    let network = Network { spread: ms(30), duplication: 200, ..Network::default() };
    let steps = "[register, { dial: { number: echo } }, { talk: { for: 3s } }, hangup]";
    let mut world = World::through(network, caller(steps, "{ concurrent: 5, calls: 20 }"));
    world.run(3 * MINUTE);
    for record in &world.records {
        assert_eq!((record.code, record.hangup_by.as_deref()), (Some(200), Some("us")), "{record:#?}");
        assert!(record.loss_pct.is_some_and(|loss| loss < 1.0), "a copy is not a loss: {:?}", record.loss_pct);
    }
}

#[test]
fn a_closed_load_keeps_as_many_under_way_as_it_says() {
    let steps = "[{ dial: { number: internal, media: none } }, { wait: 1s }, hangup]";
    let mut world = World::new(caller(steps, "{ concurrent: 10, calls: 35 }"));
    world.run(MINUTE);
    let progress = world.callers.progress();
    assert_eq!((progress.started, progress.finished, progress.peak), (35, 35, 10));
    // Four rounds of 40 ms set-up, 1 s and 20 ms for the BYE.
    assert_eq!(world.now - world.start, ms(4 * 1060));
}

#[test]
fn the_time_of_a_closed_load_ends_it_and_calls_under_way_go_on_to_their_end() {
    let steps = "[{ dial: { number: internal, media: none } }, { wait: 1s }, hangup]";
    let mut world = World::new(caller(steps, "{ concurrent: 2, for: 3s }"));
    world.run(MINUTE);
    assert_eq!(world.records.len(), 6);
    assert!(world.records.iter().all(|record| record.class == Class::Ok));
}

#[test]
fn over_tcp_everything_takes_the_connection_of_its_account() {
    let steps = "[register, { dial: { number: echo } }, { talk: { for: 2s } }, hangup]";
    let mut world = World::new(over(Transport::Tcp, caller(steps, "{ concurrent: 3, calls: 3 }")));
    world.run(MINUTE);
    for record in &world.records {
        assert_eq!((record.class, record.audio.as_str()), (Class::Ok, "two_way"), "{record:#?}");
        assert_eq!(record.transport.as_deref(), Some("tcp"));
    }
    assert_eq!(world.records.len(), 3);
}

#[test]
fn a_customer_reaches_an_agent_over_tcp() {
    let mut world = World::new(over(Transport::Tcp, compiled(&format!("{INBOUND}load: {{ calls: 1 }}\n"), "")));
    world.run(MINUTE);
    let seen: Vec<(Class, &str)> = world.records.iter().map(|r| (r.class, r.audio.as_str())).collect();
    assert_eq!(seen, [(Class::Ok, "two_way"), (Class::Ok, "two_way")], "{:#?}", world.records);
}

#[test]
fn a_connection_that_breaks_ends_registration_and_call_and_the_attempt_is_over() {
    let steps = "[register, { dial: { number: echo } }, { talk: { for: 10s } }, hangup]";
    for at in [ms(15), ms(50), ms(70), ms(120), ms(300), secs(3)] {
        let mut world = World::new(over(Transport::Tcp, caller(steps, "{ calls: 1 }")));
        world.pass(at);
        world.break_links();
        world.run(MINUTE);
        let class = world.record().class;
        assert!(matches!(class, Class::TransportTcp | Class::TransportUnreachable), "{at:?}: {class}");
        assert!(world.now - world.start <= at + secs(1), "{at:?}");
    }
}

#[test]
fn a_wrong_password_is_found_in_registration_and_call() {
    let wrong = |steps: &str| {
        let mut compiled = caller(steps, "{ calls: 1 }");
        for actor in &mut compiled.plan.actors {
            let mut pool = (**actor.pool.as_ref().expect("it has one")).clone();
            pool.accounts[0].password = Some(ringfleet::units::Secret::new("wrong"));
            actor.pool = Some(std::sync::Arc::new(pool));
        }
        let mut world = World::new(compiled);
        world.run(MINUTE);
        let record = world.record();
        (record.class, record.code, record.code_origin)
    };
    assert_eq!(wrong("[register]"), (Class::RegCredentials, Some(401), RECEIVED));
    assert_eq!(wrong("[{ dial: { number: echo } }]"), (Class::CallAuthFailed, Some(407), RECEIVED));
}

#[test]
fn a_pool_without_a_free_account_says_that_it_was_ours() {
    let mut compiled =
        caller("[{ dial: { number: echo } }, { talk: { for: 1s } }, hangup]", "{ concurrent: 3, calls: 3 }");
    for actor in &mut compiled.plan.actors {
        let mut pool = (**actor.pool.as_ref().expect("it has one")).clone();
        pool.accounts.truncate(2);
        pool.calls_each = Some(1);
        actor.pool = Some(std::sync::Arc::new(pool));
    }
    let mut world = World::new(compiled);
    world.run(MINUTE);
    let mut classes: Vec<Class> = world.records.iter().map(|record| record.class).collect();
    classes.sort();
    assert_eq!(classes, [Class::Ok, Class::Ok, Class::ProbeNoAccount]);
}

#[test]
fn a_media_port_that_cannot_be_opened_is_our_own_failure() {
    let steps = "[register, { dial: { number: echo } }, { talk: { for: 2s } }, hangup]";
    let mut world = World::new(caller(steps, "{ concurrent: 2, calls: 2 }"));
    world.max_ports = 1;
    world.run(MINUTE);
    let mut classes: Vec<Class> = world.records.iter().map(|record| record.class).collect();
    classes.sort();
    assert_eq!(classes, [Class::Ok, Class::ProbeNoMediaPort]);
    assert_eq!(world.sent(Side::Callers, "INVITE").len(), 2, "the one without a port does not dial");
    assert_eq!(world.sent(Side::Callers, "REGISTER").len(), 6, "and is unregistered all the same");
}

#[test]
fn a_link_that_is_refused_is_a_class_of_its_own() {
    for (fault, class) in [
        (LinkFault::Refused, Class::TransportRefused),
        (LinkFault::Unreachable, Class::TransportUnreachable),
        (LinkFault::Broken, Class::TransportTcp),
    ] {
        let mut world = World::new(over(Transport::Tcp, caller("[{ dial: { number: echo } }]", "{ calls: 1 }")));
        world.refuse_links = Some(fault);
        world.run(MINUTE);
        assert_eq!((world.record().class, world.record().invited), (class, false));
    }
}

#[test]
fn stopping_in_the_middle_hangs_up_every_leg_and_the_station_is_done() {
    let steps = "[register, { dial: { number: internal } }, { talk: { for: 1m } }, hangup]";
    let mut world = World::new(caller(steps, "{ rate: 10/s, calls: 20 }"));
    // Some talk, one registers, one is being placed.
    world.pass(ms(1050));
    world.stop();
    world.run(MINUTE);
    assert!(world.now - world.start < ms(1200), "{:?}", world.now - world.start);
    let progress = world.callers.progress();
    assert_eq!((progress.started, progress.in_progress), (11, 0));
    let answered = world.records.iter().filter(|record| record.is_answered()).count();
    assert_eq!(world.sent(Side::Callers, "BYE").len(), answered, "each call that was up is hung up");
    for record in &world.records {
        let expected = if record.is_answered() { Class::Ok } else { Class::ProbeInterrupted };
        assert!(record.class == expected || record.class == Class::CallCancelled, "{record:#?}");
    }
    // Challenge and answer to register, and one to remove.
    assert_eq!(world.sent(Side::Callers, "REGISTER").len(), 33);
    world.rest(MINUTE);
    assert_eq!(world.open_ports(), 0);
}

#[test]
fn stopping_at_any_moment_ends_everything() {
    let steps = "[options, register, { dial: { number: echo } }, { talk: { for: 1s } }, hangup]";
    for at in (0..1700).step_by(23).map(ms) {
        let mut world = World::new(caller(steps, "{ calls: 2 }"));
        world.pass(at);
        world.stop();
        world.run(2 * MINUTE);
        assert!(world.now - world.start <= at + secs(1), "stopped at {at:?}, done after {:?}", world.now - world.start);
        assert!(world.records.len() <= 2);
        for record in &world.records {
            let right = record.is_answered() || record.class == Class::ProbeInterrupted;
            assert!(right, "stopped at {at:?}: {record:#?}");
        }
        world.rest(MINUTE);
        assert_eq!(world.open_ports(), 0);
    }
}

#[test]
fn stopping_two_parties_at_any_moment_ends_both() {
    for at in (0..9000).step_by(331).map(ms) {
        let mut world = World::new(compiled(&format!("{INBOUND}load: {{ calls: 1 }}\n"), ""));
        world.pass(at);
        world.stop();
        world.run(2 * MINUTE);
        assert!(world.now - world.start <= at + secs(1), "stopped at {at:?}, done after {:?}", world.now - world.start);
        assert!(world.records.len() == 2 || at < ms(40), "{at:?}");
        let registers = world.sent(Side::Callers, "REGISTER").len();
        assert!(matches!(registers, 1..=3), "{at:?}: the binding is removed: {:#?}", world.wire);
        world.rest(MINUTE);
        assert_eq!(world.open_ports(), 0, "{at:?}");
    }
}
