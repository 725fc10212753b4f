//! Callers behind a NAT, in virtual time: what they learn of their own address and what they do with it.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use ringfleet::record::Class;
use ringfleet::scenario::compile::Compiled;
use ringfleet::scenario::plan::{PublicAddress, Transport};

use crate::virtual_net::{Side, World, compiled, over};

const MINUTE: Duration = Duration::from_secs(60);
const PUBLIC: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7));
/// Added to SIP ports by the NAT.
const MORE: u16 = 11_000;
const CALL: &str = "[register, { dial: { number: echo } }, { talk: { for: 3s } }, hangup]";

fn known_as(public: PublicAddress, mut compiled: Compiled) -> Compiled {
    for actor in &mut compiled.plan.actors {
        Arc::make_mut(&mut actor.target).public_address = public;
    }
    compiled
}

fn behind_nat(public: PublicAddress, steps: &str, lab: &str) -> World {
    let text = format!(
        "scenario: nat\ntarget: lab.yaml\ncaller: {{ account: agents, steps: {steps} }}\nload: {{ calls: 1 }}\n"
    );
    let mut world = World::new(known_as(public, compiled(&text, lab)));
    world.nat = Some((PUBLIC, MORE));
    world
}

/// Contacts of every REGISTER, in the order in which they were sent.
fn registered(world: &World) -> Vec<Vec<String>> {
    let registers = world.wire.iter().filter(|sent| sent.by == Side::Callers && sent.line.starts_with("REGISTER"));
    registers.map(|sent| fields(&sent.text, "Contact: ")).collect()
}

fn fields(text: &str, begin: &str) -> Vec<String> {
    text.lines().filter_map(|line| line.strip_prefix(begin)).map(ToOwned::to_owned).collect()
}

fn last(world: &World, method: &str) -> String {
    let sent = world.wire.iter().rfind(|sent| sent.by == Side::Callers && sent.line.starts_with(method));
    sent.map(|sent| sent.text.clone()).expect("it was sent")
}

#[test]
fn the_answer_to_a_challenge_carries_the_address_that_the_challenge_told() {
    let mut world = behind_nat(PublicAddress::Learned, CALL, "lab: nat\n");
    world.run(MINUTE);
    assert_eq!(world.record().class, Class::Ok, "{:#?}", world.record());
    assert_eq!(
        registered(&world),
        [
            ["<sip:1001@10.0.0.1:20001>;expires=300"],
            ["<sip:1001@203.0.113.7:31001>;expires=300"],
            // Its removal, with the nonce that is known.
            ["<sip:1001@203.0.113.7:31001>;expires=0"],
        ]
    );
    let invite = last(&world, "INVITE");
    assert_eq!(fields(&invite, "Contact: "), ["<sip:1001@203.0.113.7:31001>"]);
    assert_eq!(fields(&invite, "c="), ["IN IP4 203.0.113.7"]);
    // Via keeps the local address (RFC 3581 §4), so that the next response tells again.
    assert!(fields(&invite, "Via: ")[0].starts_with("SIP/2.0/UDP 10.0.0.1:20001;"), "{invite}");
}

#[test]
fn a_binding_made_with_the_private_address_is_replaced_even_where_the_licence_has_room_for_one_device() {
    let lab = "lab: nat\nchallenge: false\nlicence: { devices: 1 }\n";
    let mut world = behind_nat(PublicAddress::Learned, CALL, lab);
    world.run(MINUTE);
    assert_eq!(world.record().class, Class::Ok, "{:#?}", world.record());
    assert_eq!(
        registered(&world),
        [
            vec!["<sip:1001@10.0.0.1:20001>;expires=300"],
            vec!["<sip:1001@10.0.0.1:20001>;expires=0", "<sip:1001@203.0.113.7:31001>;expires=300"],
            vec!["<sip:1001@203.0.113.7:31001>;expires=0"],
        ]
    );
}

#[test]
fn an_invite_without_registration_is_corrected_when_its_challenge_is_answered() {
    let mut world =
        behind_nat(PublicAddress::Learned, "[{ dial: { number: echo } }, { talk: { for: 3s } }, hangup]", "lab: nat\n");
    world.run(MINUTE);
    assert_eq!(world.record().class, Class::Ok, "{:#?}", world.record());
    let invite = last(&world, "INVITE");
    assert_eq!(fields(&invite, "Contact: "), ["<sip:1001@203.0.113.7:31001>"]);
    assert_eq!((fields(&invite, "c="), fields(&invite, "o=").len()), (vec!["IN IP4 203.0.113.7".to_owned()], 1));
    let length: usize = fields(&invite, "Content-Length: ")[0].parse().expect("a number");
    assert_eq!(invite.split_once("\r\n\r\n").map(|(_, body)| body.len()), Some(length));
}

#[test]
fn a_mapping_that_moves_is_seen_at_the_refresh_and_the_old_binding_goes() {
    let lab = "lab: nat\nchallenge: false\n";
    let mut world = behind_nat(PublicAddress::Learned, "[{ register: { expires: 60 } }, { wait: 100s }]", lab);
    world.pass(Duration::from_secs(30));
    world.nat = Some((PUBLIC, MORE + 7));
    world.run(5 * MINUTE);
    assert_eq!(world.record().class, Class::Ok, "{:#?}", world.record());
    let refreshes = &registered(&world)[2..4];
    assert_eq!(
        refreshes,
        [
            vec!["<sip:1001@203.0.113.7:31001>;expires=60"],
            vec!["<sip:1001@203.0.113.7:31001>;expires=0", "<sip:1001@203.0.113.7:31008>;expires=60"],
        ]
    );
}

#[test]
fn a_public_address_that_was_given_stays_and_media_is_still_bound_to_our_own() {
    let fixed = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));
    let mut world = behind_nat(PublicAddress::Fixed(fixed), CALL, "lab: nat\n");
    // Had the media sockets been asked for at the public address, the network would have refused.
    world.run(MINUTE);
    assert_eq!(world.record().class, Class::Ok, "{:#?}", world.record());
    let invite = last(&world, "INVITE");
    assert_eq!(fields(&invite, "Contact: "), ["<sip:1001@198.51.100.1:20001>"]);
    assert_eq!(fields(&invite, "c="), ["IN IP4 198.51.100.1"]);
    assert!(fields(&invite, "Via: ")[0].starts_with("SIP/2.0/UDP 198.51.100.1:20001;"), "{invite}");
    assert!(registered(&world).iter().flatten().all(|contact| contact.contains("@198.51.100.1:20001")));
}

#[test]
fn without_a_nat_nothing_is_registered_twice() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let text = format!(
            "scenario: nat\ntarget: lab.yaml\ncaller: {{ account: agents, steps: {CALL} }}\nload: {{ calls: 1 }}\n"
        );
        let mut world = World::new(over(
            transport,
            known_as(PublicAddress::Learned, compiled(&text, "lab: nat\nchallenge: false\n")),
        ));
        world.run(MINUTE);
        assert_eq!(world.record().class, Class::Ok);
        assert_eq!(world.sent(Side::Callers, "REGISTER").len(), 2, "{transport}: one to make it, one to remove it");
    }
}

#[test]
fn with_sips_every_uri_of_ours_and_the_answers_contact_are_sips() {
    let mut compiled = over(
        Transport::Tls,
        compiled(&format!("scenario: sips\ntarget: lab\ncaller: {{ account: agents, steps: {CALL} }}\n"), ""),
    );
    Arc::make_mut(&mut compiled.plan.actors[0].target).server.sips = true;
    let mut world = World::new(compiled);
    world.run(MINUTE);
    assert_eq!(world.record().class, Class::Ok, "{:#?}", world.record());
    assert_eq!(registered(&world)[0], ["<sips:1001@10.0.0.1:20001>;expires=300"]);
    let invite = last(&world, "INVITE");
    assert!(invite.starts_with("INVITE sips:2000@lab.ringfleet.invalid SIP/2.0\r\nVia: SIP/2.0/TLS "), "{invite}");
    assert_eq!(fields(&invite, "Contact: "), ["<sips:1001@10.0.0.1:20001>"]);
    let answered = world.wire.iter().find(|sent| {
        sent.by == Side::Pbx && sent.text.contains("CSeq: 2 INVITE") && sent.line.starts_with("SIP/2.0 200")
    });
    assert_eq!(fields(&answered.expect("answered").text, "Contact: "), ["<sips:lab@10.0.0.2:5060>"]);
}
