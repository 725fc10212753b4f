//! Keep-alives and failed flows (RFC 5626 §4.4, §4.5).

use std::sync::Arc;
use std::time::Duration;

use ringfleet::record::Class;
use ringfleet::scenario::compile::Compiled;
use ringfleet::scenario::plan::{KeepAlive, Transport};

use crate::virtual_net::{Side, World, caller, compiled, over, reply};

const MINUTE: Duration = Duration::from_secs(60);

fn kept(policy: KeepAlive, mut compiled: Compiled) -> Compiled {
    for actor in &mut compiled.plan.actors {
        Arc::make_mut(&mut actor.target).keep_alive = policy;
    }
    compiled
}

fn every(seconds: u64) -> KeepAlive {
    KeepAlive::Every(Duration::from_secs(seconds))
}

const LONG: &str = "[{ dial: { number: internal, media: none } }, { wait: 10m }, hangup]";

fn gaps(world: &World) -> Vec<f64> {
    world.pings.windows(2).map(|two| (two[1].0 - two[0].0).as_secs_f64()).collect()
}

#[test]
fn a_connection_with_a_long_call_is_pinged_and_one_over_udp_is_not() {
    for (transport, policy, least, most) in [
        (Transport::Tcp, KeepAlive::Usual, 95.0, 120.0),
        (Transport::Tls, every(30), 24.0, 30.0),
        (Transport::Udp, every(30), 24.0, 30.0),
    ] {
        let mut world = World::new(over(transport, kept(policy, caller(LONG, "{ calls: 1 }"))));
        world.run(11 * MINUTE);
        assert_eq!(world.record().class, Class::Ok);
        assert!(world.pings.len() >= 5, "{transport}: {:?}", world.pings);
        assert!(gaps(&world).iter().all(|gap| (least..most + 0.01).contains(gap)), "{transport}: {:?}", gaps(&world));
    }
    for (transport, policy) in [(Transport::Udp, KeepAlive::Usual), (Transport::Tcp, KeepAlive::Off)] {
        let mut world = World::new(over(transport, kept(policy, caller(LONG, "{ calls: 1 }"))));
        world.run(11 * MINUTE);
        assert!(world.pings.is_empty(), "{transport}");
    }
}

#[test]
fn a_call_whose_server_falls_silent_ends_with_the_class_of_a_broken_connection() {
    let mut world = World::new(over(Transport::Tcp, kept(every(30), caller(LONG, "{ calls: 1 }"))));
    world.pass(MINUTE);
    assert!(!world.pings.is_empty());
    world.mute = true;
    world.run(3 * MINUTE);
    let (record, last) = (world.record(), world.pings.last().expect("pinged").0);
    assert_eq!((record.class, record.hangup_by.as_deref()), (Class::TransportTcp, Some("far_end")));
    assert!(record.reason.as_ref().is_some_and(|reason| reason.ends_with("no answer to a keep-alive within 10 s")));
    assert!((world.now - world.start - last).abs_diff(Duration::from_secs(10)) < Duration::from_millis(5));
}

#[test]
fn a_flow_timer_of_the_registrar_says_how_often() {
    let steps = "[{ register: { expires: 3600 } }, { wait: 5m }]";
    let mut world = World::new(caller(steps, "{ calls: 1 }"));
    world.script = Some(Box::new(|request| vec![reply(request, 200, "Flow-Timer: 25")]));
    world.run(6 * MINUTE);
    assert_eq!(world.record().class, Class::Ok);
    assert!((11..=15).contains(&world.pings.len()), "{:?}", world.pings);
    assert!(gaps(&world).iter().all(|gap| (20.0..25.01).contains(gap)), "{:?}", gaps(&world));
}

#[test]
fn a_standing_registration_whose_flow_failed_is_made_again_over_a_new_connection_after_a_while() {
    let text = "scenario: inbound\ntarget: lab\nactors:\n  agent: { account: agents, registered: standing, \
         expires: 3600, steps: [{ answer: { within: 20s } }, talk] }\n  customer: { account: agents, when: agent.registered, steps: \
         [{ dial: { number: \"1001\", answer_within: 20s } }, { talk: { for: 2s } }, hangup] }\n\
         load: { rate: 0.01/s, calls: 4 }\n";
    let mut world = World::new(over(Transport::Tcp, kept(every(30), compiled(text, ""))));
    world.pass(Duration::from_secs(70));
    world.mute = true;
    world.pass(Duration::from_secs(115));
    world.mute = false;
    world.run(10 * MINUTE);
    let beside: Vec<_> = world.beside.iter().map(|record| (record.class, record.reason.clone())).collect();
    assert_eq!(beside.len(), 2, "{beside:#?}");
    assert_eq!(beside[0].0, Class::RegBindingLost);
    // RFC 5626 §4.5: after 30 to 60 s.
    let says = |record: usize, text| beside[record].1.as_ref().is_some_and(|reason| reason.contains(text));
    assert!(says(0, "no answer to a keep-alive within 10 s") && says(1, "registered again after "), "{beside:?}");
    let registers = world.sent(Side::Callers, "REGISTER");
    assert!(registers.iter().any(|at| (115_000..170_000).contains(at)), "{registers:?}");
    assert_eq!(world.records.iter().filter(|record| record.class == Class::Ok).count(), 6, "{:#?}", world.records);
}

#[test]
fn a_udp_flow_is_kept_alive_by_stun_where_the_target_asks_for_it_and_the_lab_answers() {
    let steps = "[{ register: { expires: 3600 } }, { wait: 10m }]";
    let mut world = World::new(kept(KeepAlive::Stun, caller(steps, "{ calls: 1 }")));
    world.run(11 * MINUTE);
    assert_eq!(world.record().class, Class::Ok);
    assert!((20..=25).contains(&world.pings.len()), "each is answered, so none comes again: {:?}", world.pings);
    assert!(gaps(&world).iter().all(|gap| (24.0..29.01).contains(gap)), "{:?}", gaps(&world));
    assert_eq!(world.callers.counters().malformed, 0);
}

#[test]
fn a_call_whose_udp_server_falls_silent_or_whose_nat_moves_ends_as_unreachable() {
    let steps = "[{ dial: { number: echo, media: none } }, { wait: 10m }, hangup]";
    for (moves, text) in [
        (false, "no answer to a keep-alive within 39.5 s"),
        (true, "the flow came from 203.0.113.7:21001 and now comes from 203.0.113.7:22001"),
    ] {
        let mut world = World::new(kept(KeepAlive::Stun, caller(steps, "{ calls: 1 }")));
        let nat = |more| Some((std::net::Ipv4Addr::new(203, 0, 113, 7).into(), more));
        world.nat = nat(1000);
        world.pass(2 * MINUTE);
        if moves {
            world.nat = nat(2000);
        } else {
            world.mute = true;
        }
        world.run(5 * MINUTE);
        let record = world.record();
        assert_eq!(record.class, Class::TransportUnreachable, "{record:#?}");
        assert!(record.reason.as_ref().is_some_and(|reason| reason.ends_with(text)), "{:?}", record.reason);
    }
}
