//! What the lab's registrar does with paths, GRUUs and flows, phone by phone (RFC 3327, 5627, 5626); and what callers do
//! with a Service-Route and a GRUU of theirs.

use std::sync::Arc;
use std::time::Duration;

use ringfleet::record::Class;
use ringfleet::scenario::compile::Compiled;
use ringfleet::sip::flow::Flow;
use ringfleet::sip::message::{Message, Method};

use crate::pbx_desk::{Desk, at, field};
use crate::virtual_net::{Sent, Side, World, caller, compiled, reply};

const MINUTE: Duration = Duration::from_secs(60);

/// A phone of 1001 that names its device.
fn contact(flow: Flow, device: &str, more: &str) -> String {
    format!(
        "Supported: gruu, outbound\r\nContact: <sip:1001@{}>;+sip.instance=\"<urn:uuid:{device}>\"{more}\r\n",
        flow.remote
    )
}

/// An INVITE of 1002 to a whole Request-URI.
fn invite(desk: &mut Desk, uri: &str, number: u32) {
    let from = at(9);
    let text = format!(
        "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKg{number}\r\nMax-Forwards: 70\r\n\
         From: <sip:1002@lab>;tag=g{number}\r\nTo: <{uri}>\r\nCall-ID: g{number}@desk\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:1002@{}>\r\nContent-Length: 0\r\n\r\n",
        from.remote, from.remote
    );
    desk.send(from, &text);
}

/// Who was called last.
fn called(desk: &Desk) -> Option<Flow> {
    desk.got.iter().rev().find(|got| got.text.starts_with("INVITE ")).map(|got| got.flow)
}

#[test]
fn a_call_takes_the_path_that_its_account_was_registered_by() {
    let mut desk = Desk::new("");
    let path = "Path: <sip:edge.lab;lr>, <sip:core.lab;lr>\r\nContact: <sip:1001@10.0.1.1:5060>\r\n";
    let (code, _, text) = desk.register(at(1), "1001", path);
    assert_eq!((code, text.matches("\r\nPath: ").count()), (200, 2), "{text}");
    desk.dial(at(2), "1002", "1001");
    let invite = &desk.got.iter().find(|got| got.text.starts_with("INVITE ")).expect("1001 is called").text;
    let routes: Vec<&str> = invite.lines().filter(|line| line.starts_with("Route: ")).collect();
    assert_eq!(routes, ["Route: <sip:edge.lab;lr>", "Route: <sip:core.lab;lr>"]);
    assert!(invite.starts_with("INVITE sip:1001@10.0.1.1:5060 SIP/2.0\r\n"), "{invite}");
}

#[test]
fn a_gruu_leads_to_its_device_and_the_account_to_the_one_that_came_last() {
    let mut desk = Desk::new("");
    let (_, _, text) = desk.register(at(1), "1001", &contact(at(1), "a", ""));
    let given = field(&text, "Contact").expect("it is bound").to_owned();
    let gruu =
        given.split("pub-gruu=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("it has one").to_owned();
    assert!(gruu.starts_with("sip:1001@") && gruu.ends_with(";gr=urn:uuid:a"), "{given}");
    desk.pass(Duration::from_secs(1));
    desk.register(at(2), "1001", &contact(at(2), "b", ""));
    invite(&mut desk, &gruu, 1);
    assert_eq!(called(&desk), Some(at(1)));
    invite(&mut desk, gruu.split(';').next().expect("an address"), 2);
    assert_eq!(called(&desk), Some(at(2)));
    let calls = desk.got.len();
    invite(&mut desk, &gruu.replace(":a", ":c"), 3);
    assert!(desk.got[calls..].iter().any(|got| got.text.starts_with("SIP/2.0 480 ")), "{:#?}", &desk.got[calls..]);
}

#[test]
fn a_contact_that_cannot_stand_in_a_request_line_is_refused() {
    let mut desk = Desk::new("");
    let (code, _, text) = desk.register(at(1), "1001", "Contact: <sip:1001@10.0.1.1 x>\r\n");
    assert_eq!(code, 400, "{text}");
}

#[test]
fn nobody_gets_a_gruu_who_does_not_ask_for_one() {
    let mut desk = Desk::new("");
    let (_, _, text) = desk.register(at(1), "1001", &contact(at(1), "a", "").replace("gruu, ", ""));
    assert!(text.contains("+sip.instance=") && !text.contains("gruu"), "{text}");
    let (_, _, text) = desk.register(at(2), "1002", "Supported: gruu\r\nContact: <sip:1002@10.0.1.2:5060>\r\n");
    assert!(!text.contains("gruu"), "{text}");
}

#[test]
fn a_flow_takes_the_place_of_the_one_with_its_number_and_not_that_of_another() {
    let mut desk = Desk::new("");
    let (code, _, text) = desk.register(at(1), "1001", &contact(at(1), "a", ";reg-id=1"));
    assert_eq!((code, field(&text, "Require")), (200, Some("outbound")));
    desk.register(at(2), "1001", &contact(at(2), "a", ";reg-id=2"));
    assert_eq!(desk.contacts(at(1), "1001"), 2);
    desk.pass(Duration::from_secs(1));
    let (_, _, text) = desk.register(at(3), "1001", &contact(at(3), "a", ";reg-id=1"));
    assert_eq!(text.matches("\r\nContact: ").count(), 2, "{text}");
    assert!(!text.contains("10.0.1.1:5060>;"), "{text}");
    desk.dial(at(9), "1002", "1001");
    assert_eq!(called(&desk), Some(at(3)));
    desk.register(at(3), "1001", &contact(at(3), "a", ";reg-id=1;expires=0"));
    assert_eq!(desk.contacts(at(1), "1001"), 1);
}

#[test]
fn a_flow_through_somebody_who_does_not_keep_it_is_refused() {
    let mut desk = Desk::new("");
    let via = "Via: SIP/2.0/UDP 10.9.9.9:5060;branch=z9hG4bKx\r\n";
    let through = |path: &str| format!("{via}{path}{}", contact(at(1), "a", ";reg-id=1"));
    assert_eq!(desk.register(at(1), "1001", &through("")).0, 439);
    assert_eq!(desk.register(at(1), "1001", &through("Path: <sip:edge.lab;lr>\r\n")).0, 439);
    assert_eq!(desk.register(at(1), "1001", &through("Path: <sip:edge.lab;lr;ob>\r\n")).0, 200);
}

/// Registrations that ask for a GRUU, or are of flows.
fn asking(gruu: bool, outbound: bool, mut compiled: Compiled) -> Compiled {
    for actor in &mut compiled.plan.actors {
        let target = Arc::make_mut(&mut actor.target);
        (target.gruu, target.outbound) = (gruu, outbound);
    }
    compiled
}

fn first<'w>(world: &'w World, by: Side, begin: &str) -> &'w Sent {
    world.wire.iter().find(|sent| sent.by == by && sent.line.starts_with(begin)).expect("sent")
}

#[test]
fn a_call_from_a_gruu_is_ended_by_its_far_end_through_it() {
    let steps = "[register, { dial: { number: far_end_bye } }, { talk: {} }]";
    let mut world = World::new(asking(true, false, caller(steps, "{ calls: 1 }")));
    world.run(2 * MINUTE);
    assert_eq!((world.record().class, world.record().code), (Class::Ok, Some(200)), "{:#?}", world.record());
    let invite = first(&world, Side::Callers, "INVITE");
    assert!(field(&invite.text, "Contact").is_some_and(|it| it.contains(";gr=urn:uuid:")), "{}", invite.text);
    assert!(first(&world, Side::Pbx, "BYE").line.contains(";gr=urn:uuid:"));
}

#[test]
fn a_customer_reaches_the_device_that_a_gruu_names() {
    let text = |number: &str| {
        format!(
            "scenario: inbound\ntarget: lab\nactors:\n  agent: {{ account: agents, registered: standing, steps: \
             [{{ answer: {{ within: 20s }} }}, talk] }}\n  customer: {{ account: agents, when: agent.registered, steps: \
             [{{ dial: {{ number: \"{number}\", answer_within: 20s }} }}, {{ talk: {{ for: 2s }} }}, hangup] }}\n\
             load: {{ calls: 1 }}\n"
        )
    };
    let call = |number: &str| {
        let mut world = World::new(asking(true, true, compiled(&text(number), "")));
        world.run(2 * MINUTE);
        world
    };
    let known = call("1001");
    let granted = first(&known, Side::Pbx, "SIP/2.0 200").text.clone();
    let gruu = granted.split("pub-gruu=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("it has one");
    assert_eq!(field(&granted, "Require"), Some("outbound"));
    let world = call(gruu);
    assert!(world.records.iter().all(|record| record.class == Class::Ok), "{:#?}", world.records);
    assert!(first(&world, Side::Callers, "INVITE").line.contains(gruu));
}

#[test]
fn options_and_calls_take_the_service_route_of_their_account() {
    let steps = "[register, options, { dial: { number: echo, media: none } }]";
    let mut world = World::new(caller(steps, "{ calls: 1 }"));
    world.script = Some(Box::new(|bytes| {
        let request = Message::parse(bytes).expect("we send what can be read");
        match request.method() {
            Some(Method::Ack) => Vec::new(),
            Some(Method::Invite) => vec![reply(bytes, 486, "Server: x")],
            _ => vec![reply(bytes, 200, "Service-Route: <sip:out1.lab;lr>, <sip:out2.lab;lr>")],
        }
    }));
    world.run(2 * MINUTE);
    for method in ["OPTIONS", "INVITE"] {
        let routes: Vec<&str> =
            first(&world, Side::Callers, method).text.lines().filter(|line| line.starts_with("Route: ")).collect();
        assert_eq!(routes, ["Route: <sip:out1.lab;lr>", "Route: <sip:out2.lab;lr>"], "{method}");
    }
    assert!(!first(&world, Side::Callers, "REGISTER").text.contains("\r\nRoute: "));
}

#[test]
fn a_flow_that_is_opened_anew_leaves_no_second_binding_behind() {
    for (outbound, bindings) in [(false, 2), (true, 1)] {
        let mut desk = Desk::new("");
        let flow = if outbound { ";reg-id=1" } else { "" };
        for connection in [1, 2] {
            let from = desk.connect(1, connection);
            desk.register(from, "1001", &contact(from, "a", flow));
        }
        assert_eq!(desk.contacts(at(1), "1001"), bindings);
    }
}
