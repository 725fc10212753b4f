//! Calls that share one pair of media sockets, in virtual time.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use ringfleet::record::{CallRecord, Class};
use ringfleet::scenario::compile::Compiled;
use ringfleet::station::Unattributed;

use crate::virtual_net::{Side, World, compiled};

const MINUTE: Duration = Duration::from_secs(60);
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));
const CALL: &str = "[{ dial: { number: echo } }, { talk: { for: 5s } }, hangup]";

fn calls(steps: &str, load: &str, lab: &str) -> Compiled {
    let text = format!("scenario: x\ntarget: lab.yaml\ncaller: {{ account: agents, steps: {steps} }}\nload: {load}\n");
    compiled(&text, lab)
}

fn sharing(mut compiled: Compiled) -> World {
    for actor in &mut compiled.plan.actors {
        Arc::make_mut(&mut actor.target).shared_media = true;
    }
    World::new(compiled)
}

fn unattributed(world: &World) -> Unattributed {
    world.shared.as_ref().expect("a pair was opened").1.unattributed()
}

/// What was measured of a call.
fn figures(record: &CallRecord) -> impl PartialEq + std::fmt::Debug + use<> {
    (
        (record.class, record.tx_packets, record.rx_packets, record.loss_pct, record.jitter_ms, record.rtt_ms),
        (
            record.audio.clone(),
            record.audio_rx,
            record.audio_tx,
            record.mos_cq,
            record.gap_ms_max,
            record.first_packet_ms,
        ),
    )
}

#[test]
fn a_call_over_shared_sockets_is_measured_as_one_with_sockets_of_its_own() {
    let hold = "[{ dial: { number: echo } }, { talk: { for: 3s } }, hold, { wait: 2s }, resume, { talk: { for: 3s } }, hangup]";
    let encrypted = "lab: x\nmedia: { srtp: required }\n";
    for (steps, lab) in [(CALL, "lab: x\n"), (hold, "lab: x\n"), (CALL, encrypted)] {
        let of = |mut world: World| {
            world.run(2 * MINUTE);
            let offers = world.wire.iter().filter(|sent| sent.by == Side::Callers && sent.line.starts_with("INVITE"));
            let named = offers.map(|sent| sent.text.contains("\r\na=ssrc:")).collect::<Vec<_>>();
            let mut all: Vec<_> =
                world.records.iter().map(|record| (record.call_id.clone(), figures(record))).collect();
            all.sort_by(|a, b| a.0.cmp(&b.0));
            (all, named.iter().any(|named| *named), world)
        };
        let load = "{ concurrent: 4, calls: 12 }";
        let (own, named, _) = of(World::new(calls(steps, load, lab)));
        assert!(!named, "nobody is bothered with a line that tells nothing new");
        let (shared, named, world) = of(sharing(calls(steps, load, lab)));
        assert_eq!((shared.len(), named), (12, true));
        assert!(world.records.iter().all(|record| record.class == Class::Ok), "{:#?}", world.records);
        assert_eq!(shared, own, "{steps} {lab}");
        assert_eq!(unattributed(&world).unknown, 0);
        assert_eq!(world.open_ports_of(Side::Callers), 0);
    }
}

#[test]
fn a_far_end_with_one_address_for_two_calls_ends_both_with_a_reason() {
    let mut world = sharing(calls(CALL, "{ concurrent: 2, calls: 2 }", "lab: x\n"));
    world.rewrite_answers = Some(|sdp| {
        let (before, line) = sdp.split_once("m=audio ").expect("audio");
        let (_, after) = line.split_once(' ').expect("a port");
        format!("{before}m=audio 30000 {after}")
    });
    world.run(MINUTE);
    world.rest(MINUTE);
    assert_eq!(world.records.len(), 2);
    for record in &world.records {
        assert_eq!((record.class, record.hangup_by.as_deref()), (Class::ProbeNoMediaPort, Some("us")), "{record:#?}");
    }
    assert_eq!((world.open_ports(), world.pbx.calls_under_way(), world.byes.len()), (0, 0, 2));
}

#[test]
fn a_nat_that_changes_its_mind_in_mid_call_costs_no_packet() {
    let mut world = sharing(calls(CALL, "{ concurrent: 2, calls: 2 }", "lab: x\n"));
    world.pass(Duration::from_secs(2));
    world.media_nat = Some(ELSEWHERE);
    world.run(MINUTE);
    for record in &world.records {
        assert_eq!((record.class, record.loss_pct), (Class::Ok, Some(0.0)), "{record:#?}");
    }
    assert_eq!(unattributed(&world).unknown, 0);
    assert_eq!(world.audio_to.last().map(|to| to.ip()), Some(ELSEWHERE), "it is answered there");
}

#[test]
fn what_comes_from_an_address_that_no_answer_gave_is_counted_and_heard_by_nobody() {
    let mut world = sharing(calls(CALL, "{ concurrent: 2, calls: 2 }", "lab: x\n"));
    world.media_nat = Some(ELSEWHERE);
    world.run(MINUTE);
    for record in &world.records {
        assert_eq!((record.class, record.rx_packets), (Class::MediaNoRtp, Some(0)), "{record:#?}");
    }
    let Unattributed { unknown, late } = unattributed(&world);
    assert!(unknown > 2 * 200 && late == 0, "{unknown} {late}");
}
