//! Calls with encrypted audio (SDES-SRTP) in virtual time, and what becomes of them when one side gets it wrong.

use std::sync::Arc;
use std::time::Duration;

use ringfleet::record::{CallRecord, Class};
use ringfleet::scenario::compile::Compiled;
use ringfleet::scenario::plan::{Policy, Srtp, Suite};

use crate::pair::Network;
use crate::virtual_net::{World, caller, compiled};

const MINUTE: Duration = Duration::from_secs(60);
const STEPS: &str = "[{ dial: { number: echo } }, { talk: { for: 5s } }, hangup]";

/// One call of callers to a lab.
fn between(callers: Srtp, lab: Option<Srtp>) -> Compiled {
    let mut compiled = caller(STEPS, "{ calls: 1 }");
    Arc::make_mut(&mut compiled.plan.actors[0].target).srtp = callers;
    Arc::make_mut(compiled.lab.as_mut().expect("the lab")).srtp = lab;
    compiled
}

fn call(callers: Policy, lab: Policy) -> CallRecord {
    ran(World::new(between(Srtp::new(callers), Some(Srtp::new(lab)))))
}

/// A call with required encryption whose answer is changed on its way.
fn call_with_answer(rewrite: fn(&str) -> String) -> CallRecord {
    let mut world = World::new(between(Srtp::new(Policy::Required), None));
    world.rewrite_answers = Some(rewrite);
    ran(world)
}

fn ran(mut world: World) -> CallRecord {
    world.run(2 * MINUTE);
    world.record().clone()
}

#[test]
fn audio_is_heard_both_ways_in_every_suite() {
    for suite in Suite::ALL {
        let only = Srtp { policy: Policy::Required, offers: vec![suite], accepts: vec![suite] };
        let record = ran(World::new(between(only, None)));
        assert_eq!((record.class, record.audio.as_str()), (Class::Ok, "two_way"), "{suite}");
        assert_eq!(record.srtp.as_deref(), Some(suite.name()));
        assert_eq!((record.srtp_unauthenticated, record.srtp_replayed), (Some(0), Some(0)));
        assert_eq!((record.loss_pct, record.rtt_ms.is_some()), (Some(0.0), true), "{suite}: RTCP came through");
    }
}

#[test]
fn both_sides_agree_on_what_their_files_allow() {
    use Policy::{Off, Offered, Required};
    let encrypted = Some("AES_CM_128_HMAC_SHA1_80");
    for (callers, lab, expected) in [
        (Off, Off, None),
        (Off, Offered, None),
        (Offered, Off, None),
        (Offered, Offered, encrypted),
        (Offered, Required, encrypted),
        (Required, Offered, encrypted),
        (Required, Required, encrypted),
    ] {
        let record = call(callers, lab);
        assert_eq!((record.class, record.srtp.as_deref()), (Class::Ok, expected), "{callers:?} to {lab:?}");
        assert_eq!(record.audio, "two_way");
    }
    for (callers, lab) in [(Off, Required), (Required, Off)] {
        let record = call(callers, lab);
        assert_eq!((record.class, record.code), (Class::CallNotAcceptable, Some(488)), "{callers:?} to {lab:?}");
    }
}

#[test]
fn a_lab_file_says_it_for_both_sides() {
    let scenario = "scenario: test\ntarget: lab.yaml\ncaller: { account: agents, steps: STEPS }\nload: { calls: 1 }\n";
    let lab = "lab: encrypted\nmedia: { srtp: required, crypto: [AEAD_AES_256_GCM] }\n";
    let record = ran(World::new(compiled(&scenario.replace("STEPS", STEPS), lab)));
    assert_eq!((record.class, record.srtp.as_deref()), (Class::Ok, Some("AEAD_AES_256_GCM")));
}

#[test]
fn an_answer_without_a_key_is_a_bad_answer() {
    let record = call_with_answer(|sdp| without_crypto(sdp).replace("RTP/SAVP", "RTP/AVP"));
    assert_eq!((record.class, record.code, record.tx_packets), (Class::CallBadAnswer, Some(200), None));
    let record = call_with_answer(without_crypto);
    assert_eq!(record.class, Class::CallBadAnswer);
}

#[test]
fn an_answer_with_an_unknown_suite_or_tag_is_a_bad_answer() {
    for rewrite in [
        (|sdp: &str| sdp.replace("AES_CM_128_HMAC_SHA1_80", "F8_128_HMAC_SHA1_80")) as fn(&str) -> String,
        |sdp| sdp.replace("AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"),
        |sdp| sdp.replace("crypto:1", "crypto:7"),
        |sdp| sdp.replace("inline:", "inline:AAAA"),
    ] {
        assert_eq!(call_with_answer(rewrite).class, Class::CallBadAnswer);
    }
}

#[test]
fn a_key_that_proves_nothing_is_named_as_such_and_counted() {
    let record = call_with_answer(|sdp| {
        let (before, key) = sdp.split_once("inline:").expect("a key");
        let (first, rest) = key.split_at(1);
        format!("{before}inline:{}{rest}", if first == "A" { "B" } else { "A" })
    });
    assert_eq!((record.class, record.rx_packets), (Class::MediaSrtpFailed, Some(0)));
    assert!(record.srtp_unauthenticated > Some(200), "{:?}", record.srtp_unauthenticated);
    assert_eq!(record.loss_pct, None, "nothing is known of packets that nobody proves");
}

#[test]
fn packets_that_come_twice_are_let_in_once() {
    let network = Network { duplication: 500, ..Network::default() };
    let record = ran(World::through(network, between(Srtp::new(Policy::Required), None)));
    assert_eq!((record.class, record.audio.as_str()), (Class::Ok, "two_way"));
    assert!(record.srtp_replayed > Some(50), "{:?}", record.srtp_replayed);
    assert_eq!(record.srtp_unauthenticated, Some(0));
}

fn without_crypto(sdp: &str) -> String {
    sdp.split_inclusive("\r\n").filter(|line| !line.starts_with("a=crypto")).collect()
}
