//! The torture messages of RFC 4475 and RFC 5118, one test each: what the RFC says is to be made of it.
//!
//! `tests/data/torture` holds them in the RFCs' own notation (§2 of RFC 4475) with the SHA-256 of the bytes in the
//! archive of RFC 4475 Appendix A. RFC 5118 has no archive, and its three bodies are longer or shorter than it says
//! (as printed they were `clerr`), so that their Content-Length is corrected here.

mod application;
mod invalid;
mod ipv6;
mod semantics;
mod valid;

use std::net::SocketAddr;
use std::time::Instant;

use ringfleet::sip::endpoint::{Config, Counters, Endpoint, Event};
use ringfleet::sip::flow::{Flow, Link, LinkId, Transport};
use ringfleet::sip::header::{self, Name};
use ringfleet::sip::message::{Message, Method, Start};
use ringfleet::sip::uri::Uri;
use sha2::{Digest, Sha256};

use crate::torture_messages::all;

/// The bytes of a message by its name in the RFC.
fn message(name: &str) -> Vec<u8> {
    all().find(|(found, ..)| *found == name).unwrap_or_else(|| panic!("no message is called {name}")).1
}

/// What an endpoint makes of a message that arrives from 192.0.2.200:5060 over UDP.
struct Treatment {
    events: Vec<Event>,
    /// First lines of what it sends.
    sent: Vec<String>,
    /// Everything it sends.
    bytes: Vec<u8>,
    counters: Counters,
}

fn treat(name: &str) -> Treatment {
    #[expect(clippy::disallowed_methods, reason = "any instant will do as the origin of virtual time")]
    let now = Instant::now();
    let mut endpoint = Endpoint::new(Config::default(), 1, now);
    let local: SocketAddr = "192.0.2.100:5060".parse().expect("valid");
    endpoint.add_link(LinkId(0), Link::new(Transport::Udp, local));
    let flow = Flow { link: LinkId(0), remote: "192.0.2.200:5060".parse().expect("valid") };
    let bytes = message(name);
    match Message::parse(&bytes) {
        Ok(message) => drop(endpoint.handle_message(now, flow, &message)),
        Err(_) => endpoint.note_malformed(),
    }
    let events = std::iter::from_fn(|| endpoint.poll_event()).collect();
    let (mut sent, mut bytes) = (Vec::new(), Vec::new());
    while let Some(transmit) = endpoint.poll_transmit() {
        let line = transmit.bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
        sent.push(header::text(line));
        bytes.extend_from_slice(transmit.bytes);
        Message::parse(transmit.bytes).expect("what is sent can be read");
    }
    Treatment { events, sent, bytes, counters: endpoint.counters() }
}

/// The endpoint answers with this first line and tells nobody.
fn assert_answered(name: &str, line: &str) {
    let treatment = treat(name);
    assert_eq!((treatment.sent, treatment.events), (vec![line.to_owned()], vec![]), "{name}");
}

/// The endpoint sends nothing and tells nobody.
fn dropped(name: &str) -> Counters {
    let treatment = treat(name);
    assert_eq!((treatment.sent, treatment.events), (vec![], vec![]), "{name}");
    treatment.counters
}

/// The endpoint takes it as a call.
fn assert_invites(name: &str) {
    let treatment = treat(name);
    assert!(matches!(treatment.events.as_slice(), [Event::Invited { .. }]), "{name}: {:?}", treatment.events);
    assert_eq!(treatment.sent, Vec::<String>::new(), "{name}");
}

/// The endpoint hands it to the registrar.
fn assert_registers(name: &str) {
    assert_eq!(treat(name).events, [Event::RegisterReceived], "{name}");
}

/// The values of a header field, folding undone.
fn values(message: &Message<'_>, name: Name) -> Vec<String> {
    message.headers(name).flat_map(header::split_list).map(header::text).collect()
}

fn request_uri<'a>(message: &Message<'a>) -> &'a [u8] {
    match message.start() {
        Start::Request { uri, .. } => uri,
        Start::Response { .. } => panic!("a request was expected"),
    }
}

#[test]
fn the_data_is_the_archive_of_rfc_4475_to_the_byte() {
    let mut checked = 0;
    for (name, bytes, archived) in all() {
        if let Some(archived) = archived {
            let hash: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hash, archived, "{name}");
            checked += 1;
        }
    }
    assert_eq!((checked, all().count()), (49, 61));
}

#[test]
fn no_part_of_a_message_makes_anything_panic() {
    for (_, bytes, _) in all() {
        for end in 0..bytes.len() {
            if let Ok(message) = Message::parse(&bytes[..end]) {
                let _ = (message.via(), message.cseq(), message.from(), message.to(), message.contact(), message.sdp());
                let _ = Uri::parse(message.from().map_or(&b""[..], |from| from.uri));
            }
        }
    }
}
