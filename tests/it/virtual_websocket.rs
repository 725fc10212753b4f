//! SIP over WebSocket in virtual time: who we are over it (RFC 7118), what ends it, and how an agent comes back.

use std::sync::Arc;
use std::time::Duration;

use ringfleet::record::Class;
use ringfleet::scenario::plan::KeepAlive;
use ringfleet::station::LinkFault;

use crate::virtual_net::{Side, World, compiled};

const AGENT: &str = "scenario: agent\ntarget: lab\nactors:\n  agent: { transport: wss, account: agents, registered: standing, \
    expires: 3600, steps: [{ answer: { within: 60s } }, talk] }\n  customer: { account: agents, when: agent.registered, steps: \
    [{ dial: { number: \"{{ agent.user }}\", answer_within: 20s } }, { talk: { for: 2s } }, hangup] }\nload: ";

fn caller_over(transport: &str, steps: &str) -> World {
    let text = format!(
        "scenario: test\ntarget: lab\ncaller: {{ transport: {transport}, account: agents, steps: {steps} }}\nload: {{ calls: 1 }}\n"
    );
    World::new(compiled(&text, ""))
}

/// The value of a field in each message of the callers that begins so.
fn values(world: &World, line: &str, field: &str) -> Vec<String> {
    let sent = world.wire.iter().filter(|sent| sent.by == Side::Callers && sent.line.starts_with(line));
    let value = |text: &str| text.lines().find_map(|line| line.strip_prefix(field).map(str::to_owned));
    sent.filter_map(|sent| value(&sent.text)).collect()
}

/// Host of `<sip:USER@HOST;transport=ws>`.
fn host_of(contact: &str) -> &str {
    let (_, rest) = contact.split_once('@').expect("a user");
    rest.split_once(";transport=ws").expect("always ws, within TLS too").0
}

#[test]
fn an_agent_has_a_name_that_is_no_address_and_one_connection_for_its_registration_and_its_calls() {
    let mut world = World::new(compiled(&format!("{AGENT}{{ concurrent: 1, calls: 3 }}\n"), ""));
    world.run(Duration::from_secs(60));
    assert!(world.records.len() == 6 && world.records.iter().all(|record| record.class == Class::Ok));
    let webs = world.asked.iter().filter(|transport| transport.is_web()).count();
    assert_eq!((webs, world.asked.len()), (1, 2), "one for the agent, and one socket for the customers");
    let registered = values(&world, "REGISTER", "Contact: ");
    let host = host_of(&registered[0]);
    assert!(host.ends_with(".invalid") && !host.contains(':'), "{host}");
    for via in values(&world, "REGISTER", "Via: ") {
        assert!(via.starts_with(&format!("SIP/2.0/WSS {host};branch=")), "{via}");
    }
    let answers = values(&world, "SIP/2.0 200", "Contact: ");
    assert!(!answers.is_empty() && answers.iter().all(|contact| host_of(contact) == host), "{answers:?}");
    // The lab reaches it over the connection, by the name that it gave.
    let invited = world.wire.iter().find(|sent| sent.by == Side::Pbx && sent.line.starts_with("INVITE"));
    let line = &invited.expect("called").line;
    assert!(line.contains(&format!("@{host};transport=ws SIP/2.0")), "{line}");
}

#[test]
fn a_caller_over_websocket_offers_audio_at_its_address_and_refreshes_its_binding_by_its_name() {
    let steps = "[{ register: { expires: 60 } }, { dial: { number: echo } }, { talk: { for: 3m } }, hangup]";
    let mut world = caller_over("ws", steps);
    world.run(Duration::from_secs(300));
    let record = world.record();
    assert_eq!((record.class, record.transport.as_deref()), (Class::Ok, Some("ws")));
    let contacts = values(&world, "REGISTER", "Contact: ");
    assert!(contacts.len() > 4 && contacts.windows(2).all(|two| host_of(&two[0]) == host_of(&two[1])), "{contacts:?}");
    let invite = world.wire.iter().find(|sent| sent.line.starts_with("INVITE")).expect("sent");
    assert!(invite.text.contains("c=IN IP4 10.0.0.1"), "{}", invite.text);
    let vias = values(&world, "BYE", "Via: ");
    assert!(vias.iter().all(|via| via.contains("SIP/2.0/WS ") && via.contains(".invalid;")), "{vias:?}");
}

#[test]
fn outbound_says_so_in_the_contact_of_calls_and_not_in_that_of_the_binding() {
    let text = "scenario: test\ntarget: lab\ncaller: { transport: ws, account: agents, steps: [register, { dial: { number: echo } }, \
        { talk: { for: 1s } }, hangup] }\nload: { calls: 1 }\n";
    let mut compiled = compiled(text, "");
    Arc::make_mut(&mut compiled.plan.actors[0].target).outbound = true;
    let mut world = World::new(compiled);
    world.run(Duration::from_secs(30));
    assert_eq!(world.record().class, Class::Ok);
    let binding = &values(&world, "REGISTER", "Contact: ")[0];
    assert!(!binding.contains(";ob") && binding.contains(";reg-id=1;"), "{binding}");
    let call = &values(&world, "INVITE", "Contact: ")[0];
    assert!(call.ends_with(";transport=ws;ob>"), "{call}");
}

#[test]
fn a_websocket_that_is_closed_in_each_state_of_a_call_has_its_class_and_its_code() {
    const CLOSED: &str = "the peer closed the WebSocket: 1012 (service restart)";
    for (number, after, answered) in [("ring_forever", 1, false), ("slow_answer", 1, false), ("echo", 3, true)] {
        let steps = format!("[register, {{ dial: {{ number: {number} }} }}, {{ talk: {{ for: 1m }} }}, hangup]");
        let mut world = caller_over("ws", &steps);
        world.pass(Duration::from_secs(after));
        world.break_links_by(LinkFault::WebClosed, CLOSED);
        world.run(Duration::from_secs(120));
        let record = world.record();
        assert_eq!((record.class, record.is_answered()), (Class::TransportWsClosed, answered), "{number}: {record:#?}");
        assert!(record.reason.as_ref().is_some_and(|reason| reason.contains(CLOSED)), "{:?}", record.reason);
        assert_eq!((world.open_ports(), world.done), (0, true));
    }
}

#[test]
fn a_websocket_that_is_closed_before_a_register_or_a_bye_is_answered_has_its_class() {
    const CLOSED: &str = "the peer closed the WebSocket: 1001 (going away)";
    for (steps, silent_from, registered) in [
        ("[register, { dial: { number: echo } }, hangup]", 0, false),
        ("[{ dial: { number: echo } }, { talk: { for: 2s } }, hangup]", 2, true),
    ] {
        let mut world = caller_over("ws", steps);
        world.pass(Duration::from_secs(silent_from));
        world.mute = true;
        world.pass(Duration::from_secs(1));
        world.break_links_by(LinkFault::WebClosed, CLOSED);
        world.run(Duration::from_secs(120));
        let record = world.record();
        assert_eq!(
            (record.class, record.is_answered()),
            (Class::TransportWsClosed, registered),
            "{steps}: {record:#?}"
        );
        assert!(record.reason.as_ref().is_some_and(|reason| reason.contains(CLOSED)), "{:?}", record.reason);
        assert_eq!((world.open_ports(), world.done), (0, true));
    }
}

#[test]
fn a_server_that_leaves_a_ping_unanswered_has_failed_with_the_first_one() {
    let steps = "[{ dial: { number: echo, media: none } }, { wait: 10m }, hangup]";
    let text = format!(
        "scenario: test\ntarget: lab\ncaller: {{ transport: wss, account: agents, steps: {steps} }}\nload: {{ calls: 1 }}\n"
    );
    let mut compiled = compiled(&text, "");
    Arc::make_mut(&mut compiled.plan.actors[0].target).keep_alive = KeepAlive::Every(Duration::from_secs(30));
    let mut world = World::new(compiled);
    world.pass(Duration::from_secs(2));
    world.mute = true;
    world.run(Duration::from_secs(120));
    let (record, pinged) = (world.record(), world.pings[0].0);
    assert_eq!((record.class, world.pings.len()), (Class::TransportWsSilent, 1), "{record:#?}");
    assert!((world.now - world.start - pinged).abs_diff(Duration::from_secs(10)) < Duration::from_millis(5));
}

#[test]
fn an_agent_whose_connection_was_closed_comes_back_within_two_seconds_with_the_same_contact_and_takes_calls() {
    let mut world = World::new(compiled(&format!("{AGENT}{{ rate: 0.1/s, calls: 3 }}\n"), ""));
    world.pass(Duration::from_secs(6));
    world.break_links_by(LinkFault::WebClosed, "the peer closed the WebSocket: 1001 (going away)");
    world.run(Duration::from_secs(120));
    let beside: Vec<_> = world.beside.iter().map(|record| (record.class, record.reason.clone())).collect();
    let says = |record: usize, text| beside[record].1.as_ref().is_some_and(|reason: &String| reason.contains(text));
    assert!(beside.len() == 2 && beside[0].0 == Class::RegBindingLost, "{beside:#?}");
    assert!(says(0, "1001 (going away)") && says(1, "registered again after "), "{beside:#?}");
    let registers = world.sent(Side::Callers, "REGISTER");
    let again = registers.iter().find(|at| **at >= 6000).expect("asked again");
    assert!((7000..=8100).contains(again), "{registers:?}");
    let contacts = values(&world, "REGISTER", "Contact: ");
    assert!(contacts.iter().all(|contact| host_of(contact) == host_of(&contacts[0])), "{contacts:?}");
    assert!(world.records.iter().all(|record| record.class == Class::Ok), "{:#?}", world.records);
}
