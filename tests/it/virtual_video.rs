//! Calls with video in virtual time: against the lab, between two agents of ours, over plain RTP, SRTP and DTLS.

use std::sync::Arc;
use std::time::Duration;

use ringfleet::media::session::VideoFigures;
use ringfleet::record::{CallRecord, Class};
use ringfleet::scenario::compile::Compiled;
use ringfleet::scenario::plan::{Policy, Srtp};

use crate::pair::Network;
use crate::virtual_net::{Side, World, caller, compiled};

const MINUTE: Duration = Duration::from_secs(60);
const STEPS: &str =
    "[{ dial: { number: echo, video: { size: 320x240, fps: 20, kbps: 200 } } }, { talk: { for: 5s } }, hangup]";

fn with_srtp(policy: Policy, mut compiled: Compiled) -> Compiled {
    for actor in &mut compiled.plan.actors {
        Arc::make_mut(&mut actor.target).srtp = Srtp::new(policy);
    }
    compiled
}

fn ran(mut world: World) -> World {
    world.run_and_rest(3 * MINUTE);
    world
}

fn video_of(record: &CallRecord) -> &VideoFigures {
    record.video.as_deref().unwrap_or_else(|| panic!("no video: {record:#?}"))
}

/// The descriptions that a side sent, in order.
fn descriptions(world: &World, by: Side) -> Vec<String> {
    let with_sdp =
        world.wire.iter().filter(|sent| sent.by == by).filter_map(|sent| sent.text.split_once("\r\n\r\nv=0"));
    with_sdp.map(|(_, sdp)| sdp.to_owned()).collect()
}

#[test]
fn an_echo_sends_video_back_in_plain_rtp_in_srtp_and_over_dtls() {
    for policy in [Policy::Off, Policy::Offered, Policy::Required, Policy::Dtls] {
        let world = ran(World::new(with_srtp(policy, caller(STEPS, "{ calls: 1 }"))));
        let record = world.record();
        assert_eq!((record.class, record.audio.as_str()), (Class::Ok, "two_way"), "{policy:?}: {record:#?}");
        assert_eq!((record.srtp_unauthenticated.unwrap_or(0), record.srtp_replayed.unwrap_or(0)), (0, 0), "{policy:?}");
        let video = video_of(record);
        let clean = record.srtp.as_ref().map(|_| 0);
        assert_eq!((video.srtp_unauthenticated, video.srtp_replayed), (clean, clean), "{policy:?}");
        assert_eq!((video.codec.as_str(), video.size.as_deref()), ("VP8", Some("320x240")), "{policy:?}");
        assert_eq!((video.tx_key_frames, video.rx_key_frames, video.broken_frames), (1, 1, 0), "{policy:?}: {video:?}");
        assert!((97..=101).contains(&video.tx_frames) && video.rx_frames + 2 >= video.tx_frames, "{video:?}");
        assert_eq!((video.freezes, video.frozen_ms, video.loss_pct), (Some(0), Some(0.0), Some(0.0)), "{policy:?}");
        assert!(video.fps.is_some_and(|fps| (fps - 20.0).abs() < 0.2), "{video:?}");
        assert!(video.kbps.is_some_and(|kbps| (190.0..240.0).contains(&kbps)), "{video:?}");
        assert!(video.rtt_ms.is_some_and(|rtt| (rtt - 20.0).abs() < 1.0), "{policy:?}: {video:?}");
        assert!(record.rtt_ms.is_some_and(|rtt| (rtt - 20.0).abs() < 1.0), "{policy:?}: audio keeps its RTCP");
        assert!(video.first_frame_ms.is_some_and(|ms| ms < 400.0), "{policy:?}: {video:?}");
    }
}

#[test]
fn in_webrtc_video_shares_the_path_of_audio_and_elsewhere_it_has_its_own() {
    let mut world = World::new(with_srtp(Policy::Dtls, caller(STEPS, "{ calls: 1 }")));
    world.pass(Duration::from_secs(3));
    assert_eq!(world.open_ports_of(Side::Callers), 1, "one pair of sockets");
    let offer = descriptions(&world, Side::Callers).remove(0);
    assert!(offer.contains("a=group:BUNDLE 0 1\r\n") && offer.contains("m=video 0 UDP/TLS/RTP/SAVPF"), "{offer}");
    let answer = descriptions(&world, Side::Pbx).remove(0);
    assert!(answer.contains("a=group:BUNDLE 0 1\r\n") && !answer.contains("m=video 0"), "{answer}");
    let mut world = World::new(caller(STEPS, "{ calls: 1 }"));
    world.pass(Duration::from_secs(3));
    assert_eq!(world.open_ports_of(Side::Callers), 2);
    assert!(descriptions(&world, Side::Callers).iter().all(|offer| !offer.contains("m=video 0 ")));
}

#[test]
fn video_under_another_key_than_was_said_is_counted_apart_from_audio() {
    let mut world = World::new(with_srtp(Policy::Required, caller(STEPS, "{ calls: 1 }")));
    world.rewrite_answers = Some(|sdp| {
        let (before, video) = sdp.split_once("m=video ").expect("a video line");
        let (line, key) = video.split_once("inline:").expect("a key");
        format!("{before}m=video {line}inline:AAAA{}", &key[4..])
    });
    let world = ran(world);
    let (record, video) = (world.record(), video_of(world.record()));
    assert_eq!((record.audio.as_str(), record.srtp_unauthenticated), ("two_way", Some(0)), "{record:#?}");
    assert_eq!((video.rx_packets, video.first_frame_ms), (0, None), "{video:?}");
    assert!(video.srtp_unauthenticated.is_some_and(|packets| packets > 90), "{video:?}");
}

#[test]
fn h264_in_an_avpf_line_is_answered_as_offered() {
    let steps = "[{ dial: { number: echo, video: { codecs: [H264], profile: AVPF } } }, { talk: { for: 5s } }, hangup]";
    let world = ran(World::new(caller(steps, "{ calls: 1 }")));
    let video = video_of(world.record());
    assert_eq!((video.codec.as_str(), video.size.as_deref()), ("H264", Some("640x360")));
    assert_eq!((video.freezes, video.rx_key_frames), (Some(0), 1));
    assert!(descriptions(&world, Side::Pbx)[0].contains(" RTP/AVPF 97\r\n"));
}

#[test]
fn a_side_that_refuses_video_has_the_call_without_it() {
    let mut world = World::new(caller(STEPS, "{ calls: 1 }"));
    world.rewrite_answers = Some(|sdp| {
        let (before, line) = sdp.split_once("m=video ").expect("a video line");
        let (_, rest) = line.split_once(' ').expect("a port");
        format!("{before}m=video 0 {rest}")
    });
    let world = ran(world);
    assert_eq!((world.record().class, &world.record().video), (Class::Ok, &None));
    let plain = ran(World::new(caller("[{ dial: { number: echo } }, { talk: { for: 1s } }, hangup]", "{ calls: 1 }")));
    assert_eq!(plain.record().video, None);
    assert!(descriptions(&plain, Side::Callers).iter().all(|offer| !offer.contains("m=video")));
}

#[test]
fn through_a_network_that_loses_packets_key_frames_are_asked_for_and_freezes_counted() {
    let steps = STEPS.replace("for: 5s", "for: 40s");
    for policy in [Policy::Off, Policy::Dtls] {
        let network = Network { loss: 20, ..Network::default() };
        let mut world = World::through(network, with_srtp(policy, caller(&steps, "{ calls: 1 }")));
        world.run(3 * MINUTE);
        let video = video_of(world.record());
        assert!(video.key_frames_asked > 3 && video.key_frames_wanted > 3, "{policy:?}: {video:?}");
        assert!(video.tx_key_frames > 3 && video.rx_key_frames > 3, "{policy:?}: {video:?}");
        assert!(video.loss_pct.is_some_and(|loss| (2.0..7.0).contains(&loss)), "{policy:?}: {video:?}");
        assert!(video.freezes > Some(0) && video.frozen_ms > Some(200.0), "{policy:?}: {video:?}");
    }
}

#[test]
fn video_is_added_changed_and_taken_away_in_the_call() {
    let steps = "[{ dial: { number: echo } }, { talk: { for: 2s } }, { video: { size: 320x240, fps: 10 } }, { talk: { for: 3s } }, \
        { video: { size: 1920x1080, fps: 5, by: BY } }, { talk: { for: 3s } }, hold, { wait: 3s }, resume, { talk: { for: 2s } }, \
        { video: false }, { talk: { for: 2s } }, { video: { fps: 20 } }, { talk: { for: 2s } }, hangup]";
    for (policy, by) in [(Policy::Off, "reinvite"), (Policy::Required, "update"), (Policy::Dtls, "update")] {
        let world = ran(World::new(with_srtp(policy, caller(&steps.replace("BY", by), "{ calls: 1 }"))));
        let record = world.record();
        assert_eq!((record.class, record.audio.as_str()), (Class::Ok, "two_way"), "{policy:?}: {record:#?}");
        assert_eq!((&record.unmet, record.srtp_unauthenticated.unwrap_or(0)), (&None, 0));
        let video = video_of(record);
        assert_eq!(video.size.as_deref(), Some("1920x1080"), "it comes back as it was: {video:?}");
        assert_eq!((video.broken_frames, video.loss_pct), (0, Some(0.0)), "{policy:?}: {video:?}");
        // Added, larger, back again; on hold we send on.
        assert_eq!((video.tx_key_frames, video.rx_key_frames), (3, 3), "{policy:?}: {video:?}");
        assert!((85..=110).contains(&video.rx_frames), "{policy:?}: {video:?}");
        let offers = descriptions(&world, Side::Callers);
        assert!(!offers[0].contains("m=video"), "{}", offers[0]);
        let removed = offers.iter().filter(|offer| offer.contains("m=video 0 ") && !offer.contains("bundle-only"));
        assert_eq!(removed.count(), 1, "{policy:?}: {offers:#?}");
        assert!(offers.last().is_some_and(|offer| offer.contains("a=rtpmap:96 VP8/90000")));
    }
}

#[test]
fn a_far_end_that_takes_no_video_in_the_call_is_told() {
    let steps = "[{ dial: { number: echo } }, { video: true }, { talk: { for: 1s } }, hangup]";
    let mut world = World::new(caller(steps, "{ calls: 1 }"));
    world.rewrite_answers = Some(|sdp| match sdp.split_once("m=video ") {
        Some((before, line)) => format!("{before}m=video 0 {}", line.split_once(' ').expect("a port").1),
        None => sdp.to_owned(),
    });
    let world = ran(world);
    let record = world.record();
    assert_eq!(record.unmet.as_deref(), Some("video: the far end takes no video"));
    assert!(record.is_failed());
}

/// Two agents of ours, of whom one calls the other through the lab. Each line of `answers` is a step of the other.
fn two_agents(dial: &str, answers: &[&str]) -> Compiled {
    let answers: String = answers.iter().map(|step| format!("      - {step}\n")).collect();
    compiled(
        &format!(
            "scenario: test\ntarget: lab\nactors:\n  callee:\n    account: agents\n    registered: standing\n    steps:\n\
             {answers}  caller:\n    account: agents\n    when: callee.registered\n    steps:\n{}load: {{ calls: 1 }}\n",
            format_args!("      - dial: {dial}\n      - talk: {{ for: 6s }}\n      - hangup\n")
        ),
        "",
    )
}

fn legs(world: &World) -> [&CallRecord; 2] {
    let leg = |inbound: bool| {
        let of = |record: &&CallRecord| (record.direction == ringfleet::record::Direction::Inbound) == inbound;
        world.records.iter().find(of).expect("a leg")
    };
    [leg(false), leg(true)]
}

#[test]
fn two_agents_see_each_other_over_dtls_and_over_sdes() {
    for policy in [Policy::Dtls, Policy::Required, Policy::Off] {
        let number = "\"{{ callee.user }}\"";
        let dial = format!("{{ number: {number}, video: {{ size: 640x480 }} }}");
        let answers = ["answer: { video: { size: 352x288, fps: 30 } }", "talk"];
        let compiled = with_srtp(policy, two_agents(&dial, &answers));
        let world = ran(World::new(compiled));
        let [caller, callee] = legs(&world).map(video_of);
        assert_eq!((caller.size.as_deref(), callee.size.as_deref()), (Some("352x288"), Some("640x480")), "{policy:?}");
        assert!(caller.fps.is_some_and(|fps| (fps - 30.0).abs() < 0.5), "{policy:?}: {caller:?}");
        assert!(callee.fps.is_some_and(|fps| (fps - 15.0).abs() < 0.5), "{policy:?}: {callee:?}");
        for video in [caller, callee] {
            assert_eq!((video.freezes, video.broken_frames, video.loss_pct), (Some(0), 0, Some(0.0)), "{policy:?}");
            assert!(video.tx_packets > 50 && video.rtt_ms.is_some(), "{policy:?}: {video:?}");
        }
    }
}

#[test]
fn an_agent_without_video_refuses_the_line_and_keeps_its_place_in_offers_of_its_own() {
    let answers = ["answer: {}", "talk: { for: 2s }", "hold", "wait: 1s", "resume", "talk"];
    let world = ran(World::new(two_agents("{ number: \"{{ callee.user }}\", video: true }", &answers)));
    for record in legs(&world) {
        assert_eq!((record.class, &record.video), (Class::Ok, &None), "{record:#?}");
    }
    // The INVITE, twice for a challenge, its answer, and both sides of hold and resume; only the first has a port.
    let descriptions = descriptions(&world, Side::Callers);
    assert_eq!(descriptions.len(), 7);
    assert!(descriptions.iter().all(|sdp| sdp.matches("m=video").count() == 1), "{descriptions:#?}");
    assert_eq!(descriptions.iter().filter(|sdp| sdp.contains("m=video 0 ")).count(), 5, "{descriptions:#?}");
}

#[test]
fn an_agent_is_asked_for_video_in_the_middle_of_the_call() {
    for policy in [Policy::Dtls, Policy::Off] {
        let compiled = compiled(
            "scenario: test\ntarget: lab\nactors:\n  callee:\n    account: agents\n    registered: standing\n    steps:\n      \
             - answer: { video: true }\n      - talk\n  caller:\n    account: agents\n    when: callee.registered\n    steps:\n      \
             - dial: { number: \"{{ callee.user }}\" }\n      - talk: { for: 2s }\n      - video: true\n      \
             - talk: { for: 3s }\n      - hangup\nload: { calls: 1 }\n",
            "",
        );
        let world = ran(World::new(with_srtp(policy, compiled)));
        for record in legs(&world) {
            assert_eq!(record.class, Class::Ok, "{policy:?}: {record:#?}");
            let video = video_of(record);
            assert!((40..=47).contains(&video.rx_frames) && video.freezes == Some(0), "{policy:?}: {video:?}");
        }
    }
}
