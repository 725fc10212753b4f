//! Requests that are wrong on purpose, as they come out on the wire and as the other side takes them.

use std::time::Duration;

use ringfleet::record::Class;

use crate::virtual_net::{Side, World, caller};

const MINUTE: Duration = Duration::from_secs(60);

fn dialled(raw: &str, more: &str) -> World {
    let steps = format!("[{{ dial: {{ number: echo, raw: {raw}{more} }} }}]");
    let mut world = World::new(caller(&steps, "{ calls: 1 }"));
    world.strict = false;
    world.run(2 * MINUTE);
    world
}

/// The requests of the callers as text.
fn sent(world: &World) -> Vec<String> {
    let own = world.wire.iter().filter(|sent| sent.by == Side::Callers);
    own.map(|sent| sent.text.clone()).collect()
}

#[test]
fn every_copy_of_an_invite_goes_out_with_what_is_wrong_in_it() {
    let raw = "{ headers: { Max-Forwards: [], Content-Type: text/plain, X-Twice: [one, \"{{ n }}\"] }, body: hello }";
    let world = dialled(raw, "");
    let requests = sent(&world);
    let invites: Vec<&String> = requests.iter().filter(|text| text.starts_with("INVITE")).collect();
    assert!(invites.len() >= 2, "one before and one after the challenge: {requests:#?}");
    for text in invites {
        assert!(!text.contains("Max-Forwards"), "{text}");
        let end = "Content-Type: text/plain\r\nContent-Length: 5\r\nX-Twice: one\r\nX-Twice: 1\r\n\r\nhello";
        assert!(text.ends_with(end), "{text}");
        assert_eq!(text.matches("Content-").count(), 2);
    }
    // The ACK to the challenge is of the request as it should have been.
    assert!(requests.iter().any(|text| text.starts_with("ACK") && text.contains("Max-Forwards: 70")));
}

#[test]
fn an_invite_by_another_name_is_refused_and_the_refusal_counts() {
    let world = dialled("{ method: DANCE, headers: { CSeq: 1 DANCE } }", ", expect: { code: 501 }");
    let record = world.record();
    assert_eq!((record.code, record.unmet.as_deref(), record.as_expected), (Some(501), None, Some(true)));
    assert!(sent(&world)[0].starts_with("DANCE sip:2000@lab.ringfleet.invalid SIP/2.0\r\n"));
}

#[test]
fn a_wrong_branch_leaves_the_call_without_an_answer() {
    let world = dialled("{ headers: { Via: \"SIP/2.0/UDP 10.0.0.1:20000;branch=z9hG4bKnot-ours;rport\" } }", "");
    assert_eq!(world.record().class, Class::CallTimeout);
}

#[test]
fn no_first_line_reaches_an_emergency_service() {
    let world = dialled("{ start_line: \"INVITE sip:110@lab.ringfleet.invalid SIP/2.0\" }", "");
    assert!(sent(&world).is_empty(), "{:?}", sent(&world));
    let unmet = world.record().unmet.clone().expect("refused");
    assert!(unmet.contains("reaches the emergency number 110"), "{unmet}");
}
