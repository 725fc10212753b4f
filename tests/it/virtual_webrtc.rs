//! Calls with WebRTC media (ICE, DTLS-SRTP) over any transport of SIP in virtual time, and what becomes of them when one
//! side gets it wrong.

use std::sync::Arc;
use std::time::Duration;

use ringfleet::record::{CallRecord, Class, Heard};
use ringfleet::scenario::compile::Compiled;
use ringfleet::scenario::plan::{Policy, Srtp};

use crate::pair::Network;
use crate::virtual_net::{World, caller, compiled};

const MINUTE: Duration = Duration::from_secs(60);
const STEPS: &str = "[{ dial: { number: echo } }, { talk: { for: 5s } }, hangup]";

/// One call of a caller with WebRTC media to a lab that takes what is offered.
fn webrtc(steps: &str) -> Compiled {
    let mut compiled = caller(steps, "{ calls: 1 }");
    Arc::make_mut(&mut compiled.plan.actors[0].target).srtp = Srtp::new(Policy::Dtls);
    compiled
}

fn call_with_answer(rewrite: fn(&str) -> String) -> CallRecord {
    let mut world = World::new(webrtc(STEPS));
    world.rewrite_answers = Some(rewrite);
    ran(world)
}

fn ran(mut world: World) -> CallRecord {
    world.run(2 * MINUTE);
    world.rest(MINUTE);
    assert_eq!(world.open_ports(), 0, "every socket is given back");
    world.record().clone()
}

/// The lines of a description that do not begin with any of `starts`.
fn without(sdp: &str, starts: &[&str]) -> String {
    sdp.split_inclusive("\r\n").filter(|line| !starts.iter().any(|start| line.starts_with(start))).collect()
}

#[test]
fn a_call_with_webrtc_media_is_heard_both_ways_and_has_every_figure() {
    let record = ran(World::new(webrtc(STEPS)));
    assert_eq!((record.class, record.audio.as_str()), (Class::Ok, "two_way"), "{record:#?}");
    assert_eq!(record.srtp.as_deref(), Some("AEAD_AES_256_GCM"));
    assert_eq!((record.srtp_unauthenticated, record.loss_pct), (Some(0), Some(0.0)));
    assert!(record.rtt_ms.is_some() && record.jitter_ms.is_some() && record.mos_cq > Some(4.0), "{record:#?}");
    assert!(record.audio_loop_ms.is_some() && record.level_dbov.is_some());
    let ladder = [record.ice_check_ms, record.ice_connected_ms, record.dtls_done_ms, record.first_packet_ms];
    assert!(ladder.iter().all(Option::is_some), "{ladder:?}");
    assert!(ladder.is_sorted(), "{ladder:?}");
    assert!(record.first_audio_ms >= record.first_packet_ms);
    assert_eq!(record.media_fault, None);
}

#[test]
fn a_lab_file_says_it_for_both_sides() {
    let scenario = "scenario: test\ntarget: lab.yaml\ncaller: { account: agents, steps: STEPS }\nload: { calls: 1 }\n";
    let record = ran(World::new(compiled(&scenario.replace("STEPS", STEPS), "lab: web\nmedia: { srtp: dtls }\n")));
    assert_eq!((record.class, record.audio.as_str()), (Class::Ok, "two_way"));
    assert!(record.dtls_done_ms.is_some());
}

#[test]
fn a_side_that_does_not_speak_webrtc_refuses_it() {
    for (callers, lab) in [(Policy::Dtls, Policy::Off), (Policy::Off, Policy::Dtls), (Policy::Required, Policy::Dtls)] {
        let mut compiled = caller(STEPS, "{ calls: 1 }");
        Arc::make_mut(&mut compiled.plan.actors[0].target).srtp = Srtp::new(callers);
        Arc::make_mut(compiled.lab.as_mut().expect("the lab")).srtp = Some(Srtp::new(lab));
        let record = ran(World::new(compiled));
        assert_eq!((record.class, record.code), (Class::CallNotAcceptable, Some(488)), "{callers:?} to {lab:?}");
    }
}

#[test]
fn audio_comes_through_a_network_that_loses_packets() {
    let network = Network { loss: 30, ..Network::default() };
    let record = ran(World::through(network, webrtc(STEPS)));
    assert_eq!(record.audio, "two_way", "{record:#?}");
    assert!(record.loss_pct > Some(1.0));
}

#[test]
fn early_media_and_hold_keep_the_path_of_the_call() {
    let steps = "[{ dial: { number: early_media, expect: { code: 486 } } }]";
    let record = ran(World::new(webrtc(steps)));
    assert_eq!((record.code, record.audio_rx), (Some(486), Heard::Heard), "{record:#?}");
    let steps = "[{ dial: { number: echo } }, { talk: { for: 3s } }, hold, { wait: 2s }, resume, { talk: { for: 3s } }, hangup]";
    let record = ran(World::new(webrtc(steps)));
    assert_eq!((record.class, record.audio.as_str()), (Class::Ok, "two_way"), "{record:#?}");
    assert_eq!((record.srtp_unauthenticated, record.media_fault), (Some(0), None));
}

#[test]
fn an_answer_without_ice_or_without_a_fingerprint_says_so_in_its_class() {
    let record = call_with_answer(|sdp| without(sdp, &["a=ice-", "a=candidate"]));
    assert_eq!(record.class, Class::MediaIceFailed);
    assert_eq!(record.media_fault.as_deref(), Some("the other side does not speak ICE"));
    let record = call_with_answer(|sdp| without(sdp, &["a=fingerprint"]));
    assert_eq!(record.class, Class::MediaDtlsFailed);
    assert_eq!(record.media_fault.as_deref(), Some("the other side gave no fingerprint of its certificate"));
    let record = call_with_answer(|sdp| sdp.replace("UDP/TLS/RTP/SAVPF", "RTP/AVP"));
    assert_eq!(record.class, Class::CallBadAnswer);
}

#[test]
fn a_certificate_with_another_fingerprint_is_not_believed() {
    let record = call_with_answer(|sdp| {
        let (before, rest) = sdp.split_once("a=fingerprint:sha-256 ").expect("a fingerprint");
        format!("{before}a=fingerprint:sha-256 {}{}", if rest.starts_with("00") { "11" } else { "00" }, &rest[2..])
    });
    assert_eq!((record.class, record.rx_packets), (Class::MediaDtlsFailed, Some(0)), "{record:#?}");
    assert!(record.ice_connected_ms.is_some() && record.dtls_done_ms.is_none());
    assert!(record.media_fault.is_some_and(|fault| fault.starts_with("the certificate's fingerprint is sha-256 ")));
    let record = call_with_answer(|sdp| {
        let (before, rest) = sdp.split_once("a=fingerprint:").expect("a fingerprint");
        format!("{before}a=fingerprint:sha-1 AA:BB\r\na=fingerprint:{rest}")
    });
    assert_eq!((record.class, record.audio.as_str()), (Class::Ok, "two_way"), "one of two is enough");
}

#[test]
fn a_password_of_another_session_finds_no_path() {
    let record = call_with_answer(|sdp| sdp.replace("a=ice-pwd:", "a=ice-pwd:x"));
    assert_eq!(record.class, Class::MediaIceFailed, "{record:#?}");
    assert!(record.ice_check_ms.is_some() && record.ice_connected_ms.is_none());
    assert!(record.media_fault.is_some_and(|fault| fault.starts_with("no pair of candidates worked: ")));
}

#[test]
fn audio_that_a_firewall_keeps_back_is_named() {
    let mut world = World::new(webrtc("[{ dial: { number: echo } }, { talk: { for: 15s } }, hangup]"));
    world.firewall = true;
    let record = ran(world);
    assert_eq!(record.class, Class::MediaFirewallBlocked, "{record:#?}");
    assert!(record.media_fault.is_some_and(|fault| fault.ends_with(" checks of ICE were sent, and nothing came back")));
}

#[test]
fn waves_of_agents_leave_nothing_behind() {
    let steps = "[{ dial: { number: echo } }, { talk: { for: 1s } }, hangup]";
    let mut compiled = caller(steps, "{ rate: 20/s, calls: 60 }");
    Arc::make_mut(&mut compiled.plan.actors[0].target).srtp = Srtp::new(Policy::Dtls);
    let mut world = World::new(compiled);
    world.run(MINUTE);
    world.rest(MINUTE);
    assert_eq!((world.records.len(), world.open_ports()), (60, 0));
    assert!(world.records.iter().all(|record| record.class == Class::Ok), "{:#?}", world.records[0]);
}
