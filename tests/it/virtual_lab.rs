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
    let mut world = World::new(caller(&format!("[{{ dial: {{ number: {number} }} }}, {{ talk: {{ for: 5s }} }}, hangup]"), "{ calls: 1 }"));
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
    let steps = "[{ dial: { number: far_end_bye } }, { talk: {} }, { expect: { ended_by: { party: far_end, within: 1s } } }]";
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
    assert_eq!((record.class, record.code, record.code_origin), (Class::TransportOptions, Some(408), Some(Origin::Local)));
}

#[test]
fn the_sixth_call_on_a_trunk_is_refused_and_a_freed_place_is_usable_again() {
    let steps = "[{ dial: { number: echo, trunk: trunk_a } }, { talk: { for: 10s } }, hangup]";
    // One a second: the sixth meets five, the twelfth finds a place again.
    let mut world = World::new(caller(steps, "{ rate: 1/s, calls: 13 }"));
    world.run(2 * MINUTE);
    let mut classes: Vec<(u32, Class)> = world.records.iter().map(|r| (r.call_id[4..].parse().unwrap(), r.class)).collect();
    classes.sort_unstable();
    let refused: Vec<u32> = classes.iter().filter(|(_, class)| *class == Class::CallCongestion).map(|(n, _)| *n).collect();
    assert_eq!(refused, [6, 7, 8, 9, 10, 11], "{classes:?}");
    let sixth = world.records.iter().find(|record| record.call_id == "run-000006").unwrap();
    assert_eq!((sixth.code, sixth.reason.as_deref()), (Some(503), Some("call attempt had over the max concurrent calls")));
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
    // Challenge and answer each: two that register and unregister, one that is refused.
    assert_eq!(world.sent(Side::Callers, "REGISTER").len(), 10);
}

#[test]
fn a_registration_has_its_delay_and_the_call_after_it_its_own() {
    let steps = "[register, { dial: { number: echo } }, { talk: { for: 2s } }, hangup]";
    let mut world = World::new(caller(steps, "{ calls: 1 }"));
    world.run(MINUTE);
    let record = world.record();
    assert_eq!((record.class, record.rrd_ms, record.srd_ms), (Class::Ok, Some(40.0), Some(40.0)));
}
