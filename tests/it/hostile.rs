//! Peers that answer what nobody should: each attempt ends with the right class, memory stays bounded, nothing panics.

use std::time::{Duration, Instant};

use ringfleet::record::{CallRecord, Class, Origin};
use ringfleet::scenario::compile::Compiled;
use ringfleet::sip::endpoint::{Config, Endpoint};
use ringfleet::sip::flow::{Flow, Link, LinkId, Transport};
use ringfleet::sip::header::{self, Name};
use ringfleet::sip::message::{Message, Method};

use crate::registrar_peer::Registrar;
use crate::virtual_net::{Side, World, compiled};

const MINUTE: Duration = Duration::from_secs(60);
const SDP: &str =
    "v=0\r\no=- 1 1 IN IP4 10.0.0.2\r\ns=-\r\nc=IN IP4 10.0.0.2\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8 0\r\n";

fn attempt(steps: &str) -> Compiled {
    let text = format!(
        "scenario: test\ntarget: lab.yaml\ncaller: {{ account: agents, steps: {steps} }}\nload: {{ calls: 1 }}\n"
    );
    compiled(&text, "lab: open\nchallenge: false\n")
}

/// A response to a request, with header lines of one's own before the body.
pub(crate) fn response(request: &Message<'_>, code: u16, lines: &str, body: &str) -> Vec<u8> {
    let mut text = format!("SIP/2.0 {code} X\r\n");
    for (name, values) in [("Via", Name::Via), ("From", Name::From), ("Call-ID", Name::CallId), ("CSeq", Name::CSeq)] {
        for value in request.headers(values) {
            text += &format!("{name}: {}\r\n", header::text(value));
        }
    }
    let to = request.header(Name::To).map(header::text).unwrap_or_default();
    let tag = if to.contains("tag=") || lines.contains("To:") { "" } else { ";tag=far" };
    if !lines.contains("To:") {
        text += &format!("To: {to}{tag}\r\n");
    }
    if !body.is_empty() {
        text += "Content-Type: application/sdp\r\n";
    }
    if !lines.contains("Content-Length") {
        text += &format!("Content-Length: {}\r\n", body.len());
    }
    format!("{text}{lines}\r\n{body}").into_bytes()
}

const CONTACT: &str = "Contact: <sip:far@10.0.0.2:5060>\r\n";

/// One attempt against a peer that answers INVITEs as told, and BYE and CANCEL with 200.
fn against(steps: &str, mut invite: impl FnMut(&Message<'_>) -> Vec<Vec<u8>> + 'static) -> (CallRecord, World) {
    let mut world = World::new(attempt(steps));
    world.script = Some(Box::new(move |bytes| {
        let request = Message::parse(bytes).expect("we send what can be read");
        match (request.code(), request.method()) {
            (None, Some(Method::Invite)) => invite(&request),
            (None, Some(Method::Ack)) | (Some(_), _) | (None, None) => Vec::new(),
            (None, Some(_)) => vec![response(&request, 200, "", "")],
        }
    }));
    world.run(5 * MINUTE);
    let record = world.record().clone();
    world.rest(5 * MINUTE);
    assert_eq!((world.open_ports(), world.next_moment()), (0, None), "nothing is left");
    (record, world)
}

const SIGNALLING: &str = "[{ dial: { number: echo, media: none } }, { wait: 1s }, hangup]";
const AUDIO: &str = "[{ dial: { number: echo } }, { talk: { for: 1s } }, hangup]";

/// What comes of an attempt whose INVITE is answered with this 200.
fn answered(steps: &str, lines: &'static str, body: &'static str) -> CallRecord {
    against(steps, move |invite| vec![response(invite, 200, lines, body)]).0
}

#[test]
fn a_header_of_60_kb_is_read_and_ten_thousand_headers_are_no_answer() {
    let long = format!("{CONTACT}X-Long: {}\r\n", "x".repeat(60_000));
    let (record, _) = against(SIGNALLING, move |invite| vec![response(invite, 200, &long, SDP)]);
    assert_eq!((record.class, record.code), (Class::Ok, Some(200)), "{record:#?}");
    let many = format!("{CONTACT}{}", "X: y\r\n".repeat(10_000));
    let (record, world) = against(SIGNALLING, move |invite| vec![response(invite, 200, &many, SDP)]);
    assert_eq!((record.class, record.code_origin), (Class::CallTimeout, Some(Origin::Local)), "{record:#?}");
    assert_eq!(world.callers.counters().malformed, 7, "as often as the INVITE was sent");
}

#[test]
fn an_answer_without_usable_audio_is_a_bad_answer_and_the_call_is_hung_up() {
    let video = "v=0\r\no=- 1 1 IN IP4 10.0.0.2\r\ns=-\r\nc=IN IP4 10.0.0.2\r\nt=0 0\r\nm=video 40000 RTP/AVP 31\r\n";
    let rejected = "v=0\r\no=- 1 1 IN IP4 10.0.0.2\r\ns=-\r\nc=IN IP4 10.0.0.2\r\nt=0 0\r\nm=audio 0 RTP/AVP 8\r\n";
    let g729 = "v=0\r\no=- 1 1 IN IP4 10.0.0.2\r\ns=-\r\nc=IN IP4 10.0.0.2\r\nt=0 0\r\nm=audio 40000 RTP/AVP 18\r\n";
    for (what, sdp) in [
        ("none", ""),
        ("port 0", rejected),
        ("another codec", g729),
        ("no audio", video),
        ("no description", "hello"),
        ("a broken media line", "v=0\r\nm=audio -1 RTP/AVP 8\r\n"),
        ("no address", "v=0\r\nm=audio 40000 RTP/AVP 8\r\n"),
    ] {
        let (record, world) = against(AUDIO, move |invite| vec![response(invite, 200, CONTACT, sdp)]);
        assert_eq!((record.class, record.code), (Class::CallBadAnswer, Some(200)), "{what}: {record:#?}");
        assert_eq!(world.sent(Side::Callers, "BYE").len(), 1, "{what}");
    }
}

/// A provisional response or answer of one of several forks.
fn of_fork(invite: &Message<'_>, code: u16, fork: &str, port: u16) -> Vec<u8> {
    let to = invite.header(Name::To).map(header::text).unwrap_or_default();
    let body = if port == 0 { String::new() } else { SDP.replace("40000", &port.to_string()) };
    response(invite, code, &format!("To: {to};tag={fork}\r\n{CONTACT}"), &body)
}

#[test]
fn an_answer_without_description_does_not_take_the_early_media_of_another_fork() {
    for (answers, class) in [("y", Class::Ok), ("x", Class::CallBadAnswer)] {
        let (record, world) = against(AUDIO, move |invite| {
            vec![of_fork(invite, 183, "y", 40_000), of_fork(invite, 180, "x", 0), of_fork(invite, 200, answers, 0)]
        });
        assert_eq!((record.class == Class::CallBadAnswer, record.forks), (class != Class::Ok, Some(2)), "{record:#?}");
        assert_eq!(world.sent(Side::Callers, "BYE").len(), 1, "{answers}");
    }
}

#[test]
fn early_media_goes_to_the_fork_that_rang_last_and_audio_to_the_one_that_answers() {
    let (record, world) = against(AUDIO, |invite| {
        let early = [("x", 40_000), ("y", 41_000)].map(|(fork, port)| of_fork(invite, 183, fork, port));
        early.into_iter().chain([of_fork(invite, 200, "x", 40_000)]).collect()
    });
    assert_eq!((record.code, record.forks), (Some(200), Some(2)), "{record:#?}");
    let ports: Vec<u16> = world.audio_to.iter().map(|to| to.port()).collect();
    assert_eq!(ports.last(), Some(&40_000), "{ports:?}");
    let bye = world.wire.iter().find(|sent| sent.line.starts_with("BYE")).expect("sent");
    assert!(bye.text.contains(";tag=x\r\n"), "{}", bye.text);
}

#[test]
fn a_call_that_nobody_rings_for_has_an_unknown_number_of_forks() {
    let (record, _) = against(SIGNALLING, |invite| vec![response(invite, 404, "", "")]);
    assert_eq!((record.code, record.forks), (Some(404), None));
}

#[test]
fn a_challenge_that_cannot_be_answered_is_a_failed_authentication() {
    for challenge in [
        "Proxy-Authenticate: Digest realm=\"x\", nonce=\"n\", algorithm=ROT-13\r\n",
        "Proxy-Authenticate: Negotiate\r\n",
        "Proxy-Authenticate: Digest\r\n",
        "Proxy-Authenticate: ,,;=\"\r\n",
        "",
    ] {
        let (record, world) = against(SIGNALLING, move |invite| vec![response(invite, 407, challenge, "")]);
        assert_eq!((record.class, record.code), (Class::CallAuthFailed, Some(407)), "{challenge}: {record:#?}");
        assert_eq!(world.sent(Side::Callers, "INVITE").len(), 1, "{challenge}");
    }
}

#[test]
fn endless_challenges_are_given_up() {
    let mut nonce = 0;
    let (record, world) = against(SIGNALLING, move |invite| {
        nonce += 1;
        let line = format!("Proxy-Authenticate: Digest realm=\"x\", nonce=\"{nonce}\", stale=true\r\n");
        vec![response(invite, 407, &line, "")]
    });
    assert_eq!((record.class, record.code), (Class::CallAuthFailed, Some(407)), "{record:#?}");
    let invites = world.sent(Side::Callers, "INVITE").len();
    assert!((2..=4).contains(&invites), "{invites} INVITEs");
}

#[test]
fn a_storm_of_provisional_responses_changes_nothing() {
    let (record, world) = against(SIGNALLING, |invite| {
        let mut all = vec![response(invite, 180, CONTACT, ""); 10_000];
        all.push(response(invite, 486, "", ""));
        all
    });
    assert_eq!((record.class, record.code), (Class::CallCalleeBusy, Some(486)), "{record:#?}");
    assert_eq!(world.sent(Side::Callers, "").len(), 2, "INVITE and ACK");
}

#[test]
fn a_redirection_to_itself_is_not_followed_round_and_round() {
    let (record, world) = against(SIGNALLING, |invite| vec![response(invite, 302, CONTACT, "")]);
    assert_eq!((record.class, record.code), (Class::CallRedirected, Some(302)), "{record:#?}");
    assert_eq!(world.sent(Side::Callers, "INVITE").len(), 1);
}

#[test]
fn lengths_that_are_too_long_negative_or_twofold_make_no_answer_and_one_too_short_a_bad_one() {
    for lines in ["Content-Length: 9999\r\n", "Content-Length: -1\r\n", "Content-Length: 1\r\nl: 2\r\n"] {
        let record = answered(SIGNALLING, lines, SDP);
        assert_eq!((record.class, record.code_origin), (Class::CallTimeout, Some(Origin::Local)), "{lines}");
    }
    let record = answered(AUDIO, "Content-Length: 20\r\n", SDP);
    assert_eq!(record.class, Class::CallBadAnswer, "{record:#?}");
}

#[test]
fn numbers_out_of_range_are_not_wrapped() {
    let lines = "Contact: <sip:far@10.0.0.2:5060>;expires=-1;q=1e9\r\nSession-Expires: 99999999999\r\nRetry-After: -5\r\n\
        Min-SE: -90\r\nRSeq: 4294967296\r\nTimestamp: 1e400\r\n";
    assert_eq!(answered(SIGNALLING, lines, SDP).class, Class::Ok);
    let (record, _) = against(SIGNALLING, |invite| {
        let text = String::from_utf8(response(invite, 200, CONTACT, SDP)).expect("ASCII");
        vec![text.replace("CSeq: 1 ", "CSeq: 4294967297 ").into_bytes()]
    });
    assert_eq!(record.class, Class::CallTimeout, "a CSeq beyond 32 bits is nobody's");
}

#[test]
fn an_answer_without_contact_or_to_tag_is_a_call_all_the_same() {
    for (what, lines) in [("Contact", ""), ("To tag", "To: <sip:x@y>\r\nContact: <sip:far@10.0.0.2:5060>\r\n")] {
        let (record, world) = against(SIGNALLING, move |invite| vec![response(invite, 200, lines, SDP)]);
        assert_eq!((record.class, record.hangup_by.as_deref()), (Class::Ok, Some("us")), "{what}: {record:#?}");
        let sent = |method| world.sent(Side::Callers, method).len();
        assert_eq!((sent("ACK"), sent("BYE")), (1, 1), "{what}");
    }
}

#[test]
fn garbage_before_the_answer_is_counted() {
    let (record, world) = against(SIGNALLING, |invite| {
        vec![
            b"\x16\x03\x01\x02\x00\x01".to_vec(),
            b"SIP/2.0 200 OK\r\n\r\n".to_vec(),
            vec![0; 60_000],
            b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
            response(invite, 200, CONTACT, SDP),
        ]
    });
    assert_eq!(record.class, Class::Ok, "{record:#?}");
    assert_eq!(world.callers.counters().malformed, 4);
}

#[test]
fn fifty_thousand_responses_to_nothing_are_counted_and_take_no_memory() {
    #[expect(clippy::disallowed_methods, reason = "any instant will do as the origin of virtual time")]
    let start = Instant::now();
    let mut endpoint = Endpoint::new(Config::default(), 1, start);
    let local = "192.0.2.100:5060".parse().expect("valid");
    endpoint.add_link(LinkId(0), Link::new(Transport::Udp, local));
    let flow = Flow { link: LinkId(0), remote: "192.0.2.200:5060".parse().expect("valid") };
    let text = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.100:5060;branch=z9hG4bK0000000000000000.1\r\n\
        From: <sip:a@h>;tag=1\r\nTo: <sip:b@h>;tag=2\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n";
    let used = allocation_counter::measure(|| {
        for number in 0..50_000_u32 {
            let message = Message::parse(text.as_bytes()).expect("valid");
            endpoint.handle_message(start + Duration::from_micros(20) * number, flow, &message);
        }
    });
    assert_eq!((endpoint.counters().stray_responses, endpoint.len(), used.count_total), (50_000, 0, 0));
    assert!(endpoint.poll_transmit().is_none() && endpoint.poll_event().is_none());
}

fn invite_to(registrar: &mut Registrar, lines: &str, body: &str) -> String {
    let text = format!(
        "INVITE sip:2000@lab SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.200;branch=z9hG4bK{}\r\nFrom: <sip:a@h>;tag=1\r\n\
         To: <sip:2000@lab>\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\n{lines}Content-Length: {}\r\n\r\n{body}",
        lines.len() + body.len(),
        body.len()
    );
    registrar.answer(text.as_bytes()).0
}

#[test]
fn hostile_invites_are_answered_or_counted_and_the_pbx_goes_on() {
    let plan = ringfleet::scenario::lab::LabPlan { challenge: false, ..Default::default() };
    let mut pbx = Registrar::new(plan);
    assert_eq!(invite_to(&mut pbx, &"X: y\r\n".repeat(10_000), ""), "", "ten thousand headers");
    let long = format!("X-Long: {}\r\n", "x".repeat(60_000));
    assert!(invite_to(&mut pbx, &long, "").starts_with("SIP/2.0 "), "a long header");
    for sdp in ["v=0\r\nm=audio 0 RTP/AVP 8\r\n", "v=0\r\nm=audio -1 x\r\n", "\0\0\0", "m=", "v=0"] {
        assert!(invite_to(&mut pbx, "Content-Type: application/sdp\r\n", sdp).starts_with("SIP/2.0 "), "{sdp:?}");
    }
    pbx.pass(Duration::from_secs(600));
    assert!(invite_to(&mut pbx, "", "").starts_with("SIP/2.0 "), "it goes on");
}
