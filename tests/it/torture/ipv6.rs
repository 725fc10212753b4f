//! RFC 5118: IPv6 references and where they may stand.

use std::net::IpAddr;

use ringfleet::sip::message::Via;
use ringfleet::sip::sdp::{Connection, Sdp};

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().expect("valid")
}

/// Host and port of the Request-URI.
fn target(name: &str) -> (String, Option<u16>) {
    let bytes = message(name);
    let uri = Uri::parse(request_uri(&Message::parse(&bytes).expect("valid"))).expect("valid");
    (header::text(uri.host), uri.port)
}

#[test]
fn ipv6_good_references_in_request_uri_via_and_contact_are_read_without_brackets() {
    assert_eq!(target("ipv6-good"), ("2001:db8::10".into(), None));
    let bytes = message("ipv6-good");
    let message = Message::parse(&bytes).expect("valid");
    let via = message.via().expect("there");
    assert_eq!((via.host, via.port), (&b"2001:db8::9:1"[..], None));
    let contact = Uri::parse(message.contact().expect("there").uri).expect("valid");
    assert_eq!((contact.user, contact.host), (&b"caller"[..], &b"2001:db8::1"[..]));
    assert_registers("ipv6-good");
}

#[test]
fn ipv6_bad_an_address_without_brackets_gets_400() {
    assert_answered("ipv6-bad", "SIP/2.0 400 Bad Request-URI");
}

#[test]
fn port_ambiguous_what_stands_inside_the_brackets_is_address() {
    assert_eq!(target("port-ambiguous"), ("2001:db8::10:5070".into(), None));
    assert_registers("port-ambiguous");
}

#[test]
fn port_unambiguous_what_stands_behind_the_brackets_is_port() {
    assert_eq!(target("port-unambiguous"), ("2001:db8::10".into(), Some(5070)));
    assert_registers("port-unambiguous");
}

#[test]
fn via_received_param_is_read_with_brackets_and_without() {
    for (name, received) in [
        ("via-received-param-with-delim", &b"[2001:db8::9:255]"[..]),
        ("via-received-param-no-delim", b"2001:db8::9:255"),
    ] {
        let bytes = message(name);
        let message = Message::parse(&bytes).expect("valid");
        let via = message.via().expect("there");
        assert_eq!((via.host, header::param(via.params, "received")), (&b"2001:db8::9:1"[..], Some(received)));
    }
    assert_answered("via-received-param-with-delim", "SIP/2.0 481 Call/Transaction Does Not Exist");
    assert_answered("via-received-param-no-delim", "SIP/2.0 200 OK");
}

#[test]
fn ipv6_in_sdp_addresses_of_a_description_are_read() {
    let bytes = message("ipv6-in-sdp");
    let message = Message::parse(&bytes).expect("valid");
    let sdp = Sdp::parse(message.sdp().expect("a body")).expect("valid");
    let connection = Some(Connection::Address(ip("2001:db8::20")));
    assert!(sdp.media.iter().all(|media| media.connection == connection));
    assert_invites("ipv6-in-sdp");
}

#[test]
fn mult_ip_in_header_each_via_has_its_own_kind_of_address() {
    let bytes = message("mult-ip-in-header");
    let message = Message::parse(&bytes).expect("valid");
    let vias: Vec<_> = message.headers(Name::Via).map(|via| Via::parse(via).expect("valid")).collect();
    assert_eq!((vias[0].host, vias[0].port), (&b"2001:db8::9:1"[..], Some(6050)));
    assert_eq!((vias[1].host, vias[2].host), (&b"192.0.2.1"[..], &b"2001:db8::9:255"[..]));
    assert_eq!(header::param(vias[2].params, "received"), Some(&b"192.0.2.200"[..]));
    assert_answered("mult-ip-in-header", "SIP/2.0 481 Call/Transaction Does Not Exist");
}

#[test]
fn mult_ip_in_sdp_each_media_line_has_its_own_kind_of_address() {
    let bytes = message("mult-ip-in-sdp");
    let message = Message::parse(&bytes).expect("valid");
    let sdp = Sdp::parse(message.sdp().expect("a body")).expect("valid");
    let connections: Vec<_> = sdp.media.iter().map(|media| media.connection).collect();
    assert_eq!(connections, [Some(Connection::Address(ip("192.0.2.1"))), Some(Connection::Address(ip("2001:db8::1")))]);
    assert_invites("mult-ip-in-sdp");
}

#[test]
fn ipv4_mapped_ipv6_addresses_are_read() {
    let bytes = message("ipv4-mapped-ipv6");
    let message = Message::parse(&bytes).expect("valid");
    let via = message.via().expect("there");
    assert_eq!((via.host, via.port), (&b"::ffff:192.0.2.10"[..], Some(19823)));
    let sdp = Sdp::parse(message.sdp().expect("a body")).expect("valid");
    assert_eq!(sdp.media[0].connection, Some(Connection::Address(ip("::ffff:192.0.2.2"))));
    assert_invites("ipv4-mapped-ipv6");
}

#[test]
fn ipv6_bug_abnf_a_colon_too_many_breaks_nothing() {
    assert_eq!(target("ipv6-bug-abnf-3-colons"), ("2001:db8:::192.0.2.1".into(), None));
    assert_answered("ipv6-bug-abnf-3-colons", "SIP/2.0 200 OK");
    assert_eq!(target("ipv6-correct-abnf-2-colons"), ("2001:db8::192.0.2.1".into(), None));
    assert_answered("ipv6-correct-abnf-2-colons", "SIP/2.0 200 OK");
}
