//! Requests that are larger than a datagram should be (RFC 3261 §18.1.1).

use std::sync::Arc;
use std::time::Duration;

use ringfleet::record::{CallRecord, Class};
use ringfleet::scenario::plan::{LargeRequests, Transport};

use crate::virtual_net::{Fate, Side, World, compiled};

const MINUTE: Duration = Duration::from_secs(60);
const UDP: &str = "Via: SIP/2.0/UDP 10.0.0.1:20001;";

/// A call whose INVITE has a header field of so many bytes.
fn call(filler: usize, policy: LargeRequests, lab: &str, load: &str) -> ringfleet::scenario::compile::Compiled {
    let filler = "x".repeat(filler);
    let text = format!(
        "scenario: test\ntarget: lab.yaml\ncaller: {{ account: agents, steps: [{{ dial: {{ number: internal, \
         media: none, headers: {{ X-Filler: {filler} }} }} }}, hangup] }}\nload: {load}\n"
    );
    let mut compiled = compiled(&text, lab);
    for actor in &mut compiled.plan.actors {
        Arc::make_mut(&mut actor.target).large_requests = policy;
    }
    compiled
}

const OPEN: &str = "lab: open\nchallenge: false\n";
const ONE: &str = "{ calls: 1 }";

/// The topmost Via of each request of a method, up to its parameters.
fn vias(world: &World, method: &str) -> Vec<String> {
    let sent = world.wire.iter().filter(|sent| sent.by == Side::Callers && sent.line.starts_with(method));
    let via = |text: &str| {
        text.lines().find(|line| line.starts_with("Via: ")).map(|line| line[..line.len().min(32)].to_owned())
    };
    sent.filter_map(|sent| via(&sent.text)).collect()
}

fn shown(record: &CallRecord) -> (Class, Option<&str>, Option<u32>) {
    (record.class, record.transport.as_deref(), record.hops_tried)
}

#[test]
fn by_default_a_large_invite_goes_as_one_datagram() {
    let mut world = World::new(call(3000, LargeRequests::Fragment, OPEN, ONE));
    world.run(MINUTE);
    assert_eq!(
        (shown(world.record()), vias(&world, "INVITE")),
        ((Class::Ok, Some("udp"), Some(1)), vec![UDP.to_owned()])
    );
    assert_eq!(world.record().connect_ms, None);
}

#[test]
fn where_the_target_wants_it_a_large_invite_goes_by_tcp_and_so_does_the_rest_of_its_call() {
    let mut world = World::new(call(3000, LargeRequests::Tcp, OPEN, ONE));
    world.run(MINUTE);
    assert_eq!(shown(world.record()), (Class::Ok, Some("tcp"), Some(1)));
    for method in ["INVITE", "ACK", "BYE"] {
        let vias = vias(&world, method);
        assert!(vias.len() == 1 && vias[0].starts_with("Via: SIP/2.0/TCP 10.0.0.1:20002;"), "{method}: {vias:?}");
    }
    let invite = world.wire.iter().find(|sent| sent.line.starts_with("INVITE")).expect("sent");
    assert_eq!(world.record().connect_ms, Some(0.0), "the links of this world open at once");
    assert!(invite.text.contains("@10.0.0.1:20002;transport=tcp>\r\n"), "{}", invite.text);
}

#[test]
fn an_invite_below_1300_bytes_stays_a_datagram() {
    let mut world = World::new(call(100, LargeRequests::Tcp, OPEN, ONE));
    world.run(MINUTE);
    assert_eq!((shown(world.record()), world.asked.clone()), ((Class::Ok, Some("udp"), Some(1)), vec![Transport::Udp]));
}

#[test]
fn an_invite_that_grows_too_large_with_its_credentials_changes_to_tcp() {
    let mut world = World::new(call(500, LargeRequests::Tcp, "lab: asks\n", ONE));
    world.run(MINUTE);
    assert_eq!(shown(world.record()), (Class::Ok, Some("tcp"), Some(1)));
    let vias = vias(&world, "INVITE");
    assert_eq!((vias.len(), vias[0].as_str()), (2, UDP));
    assert!(vias[1].starts_with("Via: SIP/2.0/TCP"), "{vias:?}");
    let sizes: Vec<usize> =
        world.wire.iter().filter(|sent| sent.line.starts_with("INVITE")).map(|sent| sent.text.len()).collect();
    assert!(sizes[0] <= 1300 && sizes[1] > 1300, "{sizes:?}");
}

#[test]
fn a_server_that_takes_no_connection_gets_the_large_invite_by_udp_and_is_not_asked_again_for_a_minute() {
    let mut world = World::new(call(3000, LargeRequests::Tcp, OPEN, "{ rate: 0.1/s, calls: 8 }"));
    world.no_tcp = true;
    world.run(3 * MINUTE);
    for record in &world.records {
        assert_eq!(shown(record), (Class::Ok, Some("udp"), Some(1)));
    }
    assert!(vias(&world, "INVITE").iter().all(|via| via == UDP));
    let asked: Vec<_> = world.asked.iter().filter(|transport| **transport == Transport::Tcp).collect();
    assert_eq!((world.records.len(), asked.len()), (8, 2));
}

#[test]
fn a_large_invite_that_is_not_served_goes_to_the_next_place_by_tcp_too() {
    for fate in [Fate::Refused, Fate::Unavailable(None)] {
        let mut world = World::behind(&[fate], call(3000, LargeRequests::Tcp, OPEN, ONE));
        world.run(MINUTE);
        assert_eq!(shown(world.record()), (Class::Ok, Some("tcp"), Some(2)), "{fate:?}");
    }
}

/// The same header field in every request, and a target that wants large ones over TCP.
fn heavy(filler: usize, steps: &str, lab: &str) -> ringfleet::scenario::compile::Compiled {
    let text =
        format!("scenario: test\ntarget: lab.yaml\ncaller: {{ account: agents, steps: {steps} }}\nload: {ONE}\n");
    let mut compiled = compiled(&text, lab);
    for actor in &mut compiled.plan.actors {
        let target = Arc::make_mut(&mut actor.target);
        target.large_requests = LargeRequests::Tcp;
        target.headers.push(("X-Filler".into(), "x".repeat(filler)));
    }
    compiled
}

fn transports(world: &World, method: &str) -> Vec<String> {
    vias(world, method).iter().map(|via| via["Via: SIP/2.0/".len()..][..3].to_owned()).collect()
}

#[test]
fn a_large_register_or_options_goes_by_tcp_too_and_by_udp_where_no_connection_is_taken() {
    for (steps, method) in [("[register]", "REGISTER"), ("[options]", "OPTIONS")] {
        let mut world = World::new(heavy(3000, steps, OPEN));
        world.run(MINUTE);
        assert_eq!(shown(world.record()), (Class::Ok, Some("tcp"), Some(1)), "{method}");
        assert!(transports(&world, method).iter().all(|it| it == "TCP"), "{:?}", vias(&world, method));
        let mut world = World::new(heavy(3000, steps, OPEN));
        world.no_tcp = true;
        world.run(MINUTE);
        assert_eq!(shown(world.record()), (Class::Ok, Some("udp"), Some(1)), "{method}");
        assert!(transports(&world, method).iter().all(|it| it == "UDP"), "{:?}", vias(&world, method));
        let mut world = World::new(heavy(100, steps, OPEN));
        world.run(MINUTE);
        assert_eq!((shown(world.record()), world.asked.len()), ((Class::Ok, Some("udp"), Some(1)), 1), "{method}");
    }
}

#[test]
fn a_register_that_grows_too_large_with_its_credentials_changes_to_tcp_and_stays_there() {
    let mut world = World::new(heavy(800, "[{ register: { expires: 60 } }, { wait: 100s }]", "lab: asks\n"));
    world.run(3 * MINUTE);
    assert_eq!(shown(world.record()), (Class::Ok, Some("tcp"), Some(1)));
    // The first, its answer to the challenge, two or three refreshes, the one that removes the binding.
    let transports = transports(&world, "REGISTER");
    assert!((5..=6).contains(&transports.len()) && transports[0] == "UDP", "{transports:?}");
    assert!(transports[1..].iter().all(|it| it == "TCP"), "{transports:?}");
    let callers = world.wire.iter().filter(|sent| sent.by == Side::Callers);
    let number =
        |text: &str| text.lines().find_map(|line| line.strip_prefix("CSeq: ")?.split(' ').next()?.parse().ok());
    let numbers: Vec<u32> = callers.filter_map(|sent| number(&sent.text)).collect();
    assert!(numbers.windows(2).all(|two| two[0] < two[1]), "{numbers:?}");
}

#[test]
fn a_large_standing_registration_goes_by_tcp_and_by_udp_where_no_connection_is_taken() {
    for no_tcp in [false, true] {
        let text = "scenario: test\ntarget: lab.yaml\nactors:\n  agent: { account: agents, registered: standing, \
             steps: [{ wait: 1s }] }\nload: { calls: 1 }\n";
        let mut compiled = compiled(text, "lab: asks\n");
        for actor in &mut compiled.plan.actors {
            let target = Arc::make_mut(&mut actor.target);
            target.large_requests = LargeRequests::Tcp;
            target.headers.push(("X-Filler".into(), "x".repeat(2000)));
        }
        let mut world = World::new(compiled);
        world.no_tcp = no_tcp;
        world.run(MINUTE);
        assert_eq!(world.record().class, Class::Ok, "{:#?}", world.record());
        let wanted = if no_tcp { "UDP" } else { "TCP" };
        let seen = transports(&world, "REGISTER");
        assert!(seen.len() == 3 && seen.iter().all(|it| it == wanted), "{seen:?}");
    }
}
