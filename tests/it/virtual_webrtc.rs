//! Calls with WebRTC media (ICE, DTLS-SRTP) over any transport of SIP in virtual time, and what becomes of them when one
//! side gets it wrong.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ringfleet::measure::{Figure, LatencyFrom, Tally, Threshold};
use ringfleet::record::{CallRecord, Class, Heard};
use ringfleet::scenario::compile::Compiled;
use ringfleet::scenario::plan::{Ice, IceServer, Policy, Server, Srtp, Transport};
use ringfleet::units::Secret;

use crate::pair::Network;
use crate::virtual_net::{Side, World, caller, compiled};

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
    world.run_and_rest(2 * MINUTE);
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
    assert!(record.first_audio_ms >= record.first_packet_ms && record.first_tx_packet_ms.is_some());
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
fn bug_an_answer_at_address_0_0_0_0_is_no_hold_where_ice_finds_the_address() {
    let record = call_with_answer(|sdp| {
        let nowhere =
            |line: &str| if line.starts_with("c=") { "c=IN IP4 0.0.0.0\r\n".to_owned() } else { line.to_owned() };
        sdp.split_inclusive("\r\n").map(nowhere).collect()
    });
    assert_eq!((record.class, record.audio.as_str()), (Class::Ok, "two_way"), "{record:#?}");
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
fn a_candidate_that_comes_in_an_info_is_checked() {
    let mut world = World::new(webrtc(STEPS));
    // Nothing that is known before leads anywhere.
    world.rewrite_answers = Some(|sdp| sdp.replace("a=ice-pwd:", "a=ice-pwd:x"));
    world.pass(Duration::from_secs(2));
    let late = SocketAddr::from(([10, 9, 9, 9], 5_555));
    assert!(!world.audio_to.contains(&late));
    let of = |by: Side, begin: &str| world.wire.iter().find(|sent| sent.by == by && sent.line.starts_with(begin));
    let ok = &of(Side::Pbx, "SIP/2.0 200").expect("answered").text;
    let field = |name: &str| ok.lines().find_map(|line| line.strip_prefix(name)).expect("a field").trim();
    let ufrag = field("a=ice-ufrag:");
    let body = format!(
        "a=ice-ufrag:{ufrag}\r\na=ice-pwd:x\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n\
         a=candidate:9 1 UDP 2130706431 10.9.9.9 5555 typ host\r\na=end-of-candidates\r\n"
    );
    let info = format!(
        "INFO sip:us@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bKlate\r\nMax-Forwards: 70\r\n\
         From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 77 INFO\r\nInfo-Package: trickle-ice\r\n\
         Content-Type: application/trickle-ice-sdpfrag\r\nContent-Length: {}\r\n\r\n{body}",
        field("To:"),
        field("From:"),
        field("Call-ID:"),
        body.len()
    );
    world.inject_from(SocketAddr::from(([10, 0, 0, 2], 5060)), info.as_bytes());
    world.pass(Duration::from_secs(1));
    assert!(world.audio_to.contains(&late), "{:?}", world.audio_to);
    assert!(world.wire.iter().any(|sent| sent.by == Side::Callers && sent.text.contains("CSeq: 77 INFO")), "answered");
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

/// The BYE of the callers, and when it went out.
fn bye(world: &World) -> (Duration, String) {
    let sent = world.wire.iter().find(|sent| sent.by == Side::Callers && sent.line.starts_with("BYE"));
    sent.map(|sent| (sent.at, sent.text.clone())).expect("a BYE")
}

#[test]
fn a_call_whose_ice_or_dtls_fails_ends_then_and_gives_the_reason() {
    let mut world = World::new(webrtc("[{ dial: { number: echo } }, { talk: { for: 50s } }, hangup]"));
    world.firewall = true;
    world.run(2 * MINUTE);
    let (at, bye_of_ice) = bye(&world);
    assert!(bye_of_ice.contains("\r\nReason: SIP;cause=408;text=\"ICE failed\"\r\n"), "{bye_of_ice}");
    assert!((10..12).contains(&at.as_secs()), "{at:?}");
    let record = world.record();
    assert_eq!((record.class, record.hangup_by.as_deref()), (Class::MediaFirewallBlocked, Some("us")));

    let mut world = World::new(webrtc("[{ dial: { number: echo } }, { talk: { for: 50s } }, hangup]"));
    world.rewrite_answers = Some(|sdp| sdp.replace("sha-256 ", "sha-256 00:"));
    world.run(2 * MINUTE);
    let (at, bye_of_dtls) = bye(&world);
    assert!(bye_of_dtls.contains("\r\nReason: SIP;cause=488;text=\"DTLS failed\"\r\n"), "{bye_of_dtls}");
    assert!(at < Duration::from_secs(2), "{at:?}");
    assert_eq!(world.record().class, Class::MediaDtlsFailed);
}

/// A caller whose servers of ICE are silent.
fn with_silent_servers(steps: &str, relay_only: bool) -> Compiled {
    let mut compiled = webrtc(steps);
    let server = |uri: &str, login| IceServer {
        uri: uri.to_owned(),
        server: Server { turn: true, ..Server::new(uri, Some(3478), Transport::Udp) },
        login,
    };
    let login = Some(("agent".to_owned(), Secret::new("secret")));
    let servers = vec![server("stun:stun.example", None), server("turn:turn.example", login)];
    Arc::make_mut(&mut compiled.plan.actors[0].target).ice = Ice { servers, relay_only, ..Ice::default() };
    compiled
}

#[test]
fn silent_servers_of_ice_cost_three_seconds_and_are_named() {
    let record = ran(World::new(with_silent_servers(STEPS, false)));
    assert_eq!((record.class, record.media_path.as_deref()), (Class::Ok, Some("direct")), "{record:#?}");
    assert_eq!(record.ice_gathered_ms.map(f64::round), Some(3000.0));
    let faults = "stun:stun.example did not answer; turn:turn.example did not answer";
    assert_eq!((record.ice_server_fault.as_deref(), record.media_fault), (Some(faults), None));
}

#[test]
fn calls_that_waited_for_silent_servers_are_counted_with_the_fault_and_the_wait() {
    let two = caller(STEPS, "{ calls: 2 }").plan.load;
    let mut compiled = with_silent_servers(STEPS, false);
    compiled.plan.load = two;
    // The second is told by its figures alone.
    let mut world = World::sampling(compiled, 1_000);
    world.run(2 * MINUTE);
    assert_eq!((world.records.len(), world.counted.len()), (1, 1));
    let faults = "stun:stun.example did not answer; turn:turn.example did not answer";
    assert_eq!(world.counted[0].ice_server_fault.as_deref(), Some(faults));
    let mut tally = Tally::new(LatencyFrom::Actual);
    tally.add(&world.records[0].outcome());
    tally.add(&world.counted[0].outcome);
    let gathered = tally.figure(Figure::IceGatheredMs).summary();
    assert_eq!((gathered.count, gathered.unknown, gathered.min.map(f64::round)), (2, 0, Some(3000.0)));
    let threshold: Threshold = "p(95) of ice_gathered_ms < 500".parse().expect("it may be expected");
    assert_eq!(threshold.to_string(), "p(95) of ice_gathered_ms < 500");
}

#[test]
fn without_a_relay_that_is_asked_for_nothing_is_dialled() {
    let mut world = World::new(with_silent_servers(STEPS, true));
    world.run(2 * MINUTE);
    assert_eq!(world.sent(Side::Callers, "INVITE"), [0; 0]);
    let record = ran(world);
    assert_eq!((record.class, record.invited), (Class::MediaNoRelay, false), "{record:#?}");
    let fault = "media may go by a relay only, and there is none: \
                 stun:stun.example did not answer; turn:turn.example did not answer";
    assert_eq!(record.media_fault.as_deref(), Some(fault));
}

#[test]
fn who_hangs_up_while_servers_are_asked_leaves_nothing_behind() {
    let mut world = World::new(with_silent_servers(STEPS, false));
    world.pass(Duration::from_secs(1));
    world.stop();
    let record = ran(world);
    assert_eq!(record.class, Class::ProbeInterrupted);
}
