//! RFC 4475 §3.2–3.4: messages that can be read, and what a transaction layer or an application makes of them.

use std::time::Duration;

use ringfleet::scenario::lab::LabPlan;
use ringfleet::sip::framing::{Framer, FramingError};

use super::*;
use crate::registrar_peer::Registrar;

#[test]
fn badbranch_a_branch_without_an_identifier_breaks_nothing() {
    assert_answered("badbranch", "SIP/2.0 200 OK");
}

#[test]
fn insuf_a_request_without_call_id_from_and_to_gets_400_without_them() {
    let treatment = treat("insuf");
    assert_eq!(treatment.sent, ["SIP/2.0 400 Missing Call-ID Header Field"]);
    let answer = Message::parse(&treatment.bytes).expect("valid");
    assert_eq!((answer.call_id(), answer.from(), answer.to()), (None, None, None));
    assert_eq!(answer.cseq(), Some((193_942, Method::Invite)));
}

#[test]
fn unkscm_and_novelsc_schemes_that_nobody_knows_are_read() {
    for (name, scheme) in [("unkscm", &b"nobodyKnowsThisScheme"[..]), ("novelsc", b"soap.beep")] {
        let bytes = message(name);
        let uri = Uri::parse(request_uri(&Message::parse(&bytes).expect("valid"))).expect("valid");
        assert_eq!((uri.scheme, uri.is_sip()), (scheme, false));
    }
}

#[test]
fn unksm2_an_address_of_record_that_is_no_sip_uri_gets_400_of_the_registrar() {
    let mut registrar = Registrar::new(LabPlan { challenge: false, ..LabPlan::default() });
    assert_eq!(registrar.answer(&message("unksm2")).0, "SIP/2.0 400 Bad Request");
}

#[test]
fn bext01_the_extensions_it_requires_are_read_one_by_one() {
    let bytes = message("bext01");
    let message = Message::parse(&bytes).expect("valid");
    assert_eq!(values(&message, Name::Require), ["nothingSupportsThis", "nothingSupportsThisEither"]);
}

#[test]
fn invut_a_body_of_an_unknown_type_is_no_sdp() {
    let bytes = message("invut");
    let message = Message::parse(&bytes).expect("valid");
    assert_eq!((message.sdp(), message.body().len()), (None, 40));
}

#[test]
fn regaut01_credentials_of_an_unknown_scheme_are_challenged_anew() {
    let mut registrar = Registrar::new(LabPlan { challenge: true, ..LabPlan::default() });
    let (line, answer) = registrar.answer(&message("regaut01"));
    assert_eq!(line, "SIP/2.0 401 Unauthorized");
    assert!(answer.contains("WWW-Authenticate: Digest "), "{answer}");
    let mut open = Registrar::new(LabPlan { challenge: false, ..LabPlan::default() });
    assert_eq!(open.answer(&message("regaut01")).0, "SIP/2.0 200 OK", "who does not ask does not look");
}

#[test]
fn multi01_several_values_where_one_must_stand_get_400() {
    assert_answered("multi01", "SIP/2.0 400 Several Call-ID Header Fields");
}

#[test]
fn mcl01_lengths_that_differ_get_400_and_end_a_stream() {
    assert_answered("mcl01", "SIP/2.0 400 Bad Content-Length");
    let mut framer = Framer::new();
    framer.push(&message("mcl01"));
    assert_eq!(framer.next_frame().err(), Some(FramingError::BadContentLength));
}

#[test]
fn bcast_a_response_to_a_broadcast_address_is_dropped() {
    assert_eq!(dropped("bcast").stray_responses, 1);
}

#[test]
fn zeromf_an_endpoint_answers_as_if_max_forwards_were_positive() {
    assert_answered("zeromf", "SIP/2.0 200 OK");
}

#[test]
fn cparam01_and_cparam02_a_parameter_belongs_to_the_uri_only_inside_the_brackets() {
    let mut registrar = Registrar::new(LabPlan { challenge: false, ..LabPlan::default() });
    let contact = |answer: &str| {
        let line = answer.lines().find(|line| line.starts_with("Contact")).expect("a binding");
        line.split(";expires").next().expect("a part").to_owned()
    };
    let (line, answer) = registrar.answer(&message("cparam01"));
    assert_eq!(
        (line.as_str(), contact(&answer)),
        ("SIP/2.0 200 OK", "Contact: <sip:+19725552222@gw1.example.net>".into())
    );
    let mut registrar = Registrar::new(LabPlan { challenge: false, ..LabPlan::default() });
    let (line, answer) = registrar.answer(&message("cparam02"));
    assert_eq!(
        (line.as_str(), contact(&answer)),
        ("SIP/2.0 200 OK", "Contact: <sip:+19725552222@gw1.example.net;unknownparam>".into())
    );
}

#[test]
fn regescrt_a_binding_keeps_the_escaped_header_field_of_its_uri() {
    let mut registrar = Registrar::new(LabPlan { challenge: false, ..LabPlan::default() });
    let (line, answer) = registrar.answer(&message("regescrt"));
    assert_eq!(line, "SIP/2.0 200 OK");
    assert!(answer.contains("Contact: <sip:user@example.com?Route=%3Csip:sip.example.com%3E>;expires=300"), "{answer}");
    registrar.pass(Duration::from_secs(1));
}

#[test]
fn sdp01_what_an_offer_accepts_in_return_is_read() {
    let bytes = message("sdp01");
    let message = Message::parse(&bytes).expect("valid");
    assert_eq!(message.header_by_name("accept"), Some(&b"text/nobodyKnowsThis"[..]));
    assert!(message.sdp().is_some());
}

#[test]
fn inv2543_an_invite_of_rfc_2543_without_branch_from_tag_and_length_is_a_call() {
    let bytes = message("inv2543");
    let message = Message::parse(&bytes).expect("valid");
    assert_eq!(message.via().and_then(|via| via.branch()), None);
    assert_eq!(message.from().and_then(|from| from.tag()), None);
    assert!(message.body().ends_with(b"m=audio 49217 RTP/AVP 0\r\n"), "the rest of the datagram");
    assert_eq!(message.to().map(|to| to.uri), Some(&b"sip:+16505552222@ss1.example.net"[..]));
    assert_invites("inv2543");
}
