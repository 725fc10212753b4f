//! RFC 4475 §3.1.1: valid messages, all of which a parser has to accept.

use ringfleet::sip::sdp::Sdp;
use ringfleet::sip::uri::unescape;

use super::*;

#[test]
fn wsinv_folding_white_space_and_mixed_names_read_as_a_plain_invite() {
    let bytes = message("wsinv");
    let message = Message::parse(&bytes).expect("valid");
    let uri = Uri::parse(request_uri(&message)).expect("valid");
    assert_eq!((uri.user, uri.host), (&b"vivekg"[..], &b"chair-dnrc.example.com"[..]));
    assert_eq!(uri.param("unknownparam"), Some(&b""[..]));
    let (to, from) = (message.to().expect("there"), message.from().expect("there"));
    assert_eq!((to.uri, to.tag()), (&b"sip:vivekg@chair-dnrc.example.com"[..], Some(&b"1918181833n"[..])));
    assert_eq!((from.display, from.uri), (&br#"J Rosenberg \\\""#[..], &b"sip:jdrosen@example.com"[..]));
    assert_eq!(from.tag(), Some(&b"98asjd8"[..]));
    assert_eq!(message.header(Name::MaxForwards).and_then(header::number), Some(68));
    assert_eq!(message.cseq(), Some((9, Method::Invite)));
    assert_eq!(message.header_by_name("s"), Some(&b""[..]), "the subject is empty");
    let via = message.via().expect("there");
    assert_eq!((via.transport, via.host, via.port), (&b"UDP"[..], &b"192.0.2.2"[..], None));
    assert_eq!(via.branch(), Some(&b"390skdjuw"[..]));
    let vias: Vec<_> = message.headers(Name::Via).flat_map(header::split_list).collect();
    let vias: Vec<_> = vias.into_iter().map(|via| ringfleet::sip::message::Via::parse(via).expect("valid")).collect();
    let read: Vec<_> = vias.iter().map(|via| (via.transport, via.host, via.branch().expect("there"))).collect();
    assert_eq!(
        read[1..],
        [
            (&b"TCP"[..], &b"spindle.example.com"[..], &b"z9hG4bK9ikj8"[..]),
            (b"UDP", b"192.168.255.111", b"z9hG4bK30239")
        ]
    );
    assert_eq!(
        message.header_by_name("NewFangledHeader").map(header::text).as_deref(),
        Some("newfangled value continued newfangled value")
    );
    assert_eq!(message.header_by_name("UnknownHeaderWithUnusualValue"), Some(&b";;,,;;,;"[..]));
    let contact = message.contact().expect("there");
    assert_eq!((contact.display, contact.uri), (&br#"Quoted string \"\""#[..], &b"sip:jdrosen@example.com"[..]));
    assert_eq!(header::param(contact.params, "q"), Some(&b"0.33"[..]));
    assert_eq!(header::param(contact.params, "newparam"), Some(&b"newvalue"[..]));
    assert_eq!(header::param(contact.params, "secondparam"), Some(&b""[..]));
    let sdp = Sdp::parse(message.sdp().expect("a body")).expect("valid");
    assert_eq!(sdp.media.iter().map(|media| media.port).collect::<Vec<_>>(), [49217, 3227]);
    assert_eq!((message.skipped_lines(), message.fault()), (0, None));
    // It has a To tag, so it belongs to a dialog, and to none of ours.
    assert_answered("wsinv", "SIP/2.0 481 Call/Transaction Does Not Exist");
}

#[test]
fn intmeth_every_character_that_is_legal_somewhere_is_kept_and_the_method_gets_501() {
    let bytes = message("intmeth");
    let message = Message::parse(&bytes).expect("valid");
    let method = &b"!interesting-Method0123456789_*+`.%indeed'~"[..];
    assert_eq!(message.method(), Some(Method::Other(method)));
    let uri = Uri::parse(request_uri(&message)).expect("valid");
    assert_eq!((uri.user, uri.host), (&b"1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"[..], &b"example.com"[..]));
    assert_eq!(message.via().and_then(|via| via.branch()), Some(&b"z9hG4bK-.!%66*_+`'~"[..]));
    assert_eq!(message.to().map(|to| to.display), Some(&b"BEL:\\\x07 NUL:\\\x00 DEL:\\\x7f"[..]));
    let from = message.from().expect("there");
    assert_eq!((from.display, from.uri), (&b"token1~` token2'+_ token3*%!.-"[..], &b"sip:mundane@example.com"[..]));
    assert_eq!(from.tag(), Some(&b"_token~1'+`*%!-."[..]));
    assert_eq!(header::param(from.params, "fromParam''~+*_!.-%"), Some("работающий".as_bytes()));
    assert_eq!(message.call_id(), Some(&b"intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{"[..]));
    assert_eq!(message.cseq(), Some((139_122_385, Method::Other(method))));
    assert_eq!(message.header_by_name("extensionHeader-!.%*+_`'~"), Some("\u{feff}大停電".as_bytes()));
    let treatment = treat("intmeth");
    assert_eq!((treatment.sent, treatment.events), (vec!["SIP/2.0 501 Not Implemented".to_owned()], vec![]));
    assert!(header::text(&treatment.bytes).contains("Allow: INVITE, ACK, "), "with what we know in Allow");
}

#[test]
fn esc01_escapes_of_a_uri_are_resolved_once() {
    let bytes = message("esc01");
    let message = Message::parse(&bytes).expect("valid");
    let uri = Uri::parse(request_uri(&message)).expect("valid");
    assert_eq!((&*unescape(uri.user), uri.host), (&b"sips:user@example.com"[..], &b"example.net"[..]));
    let user = |value: Option<ringfleet::sip::uri::NameAddr<'_>>| {
        let uri = value.and_then(|value| Uri::parse(value.uri)).expect("valid");
        header::text(&unescape(uri.user))
    };
    assert_eq!((user(message.to()), user(message.from())), ("user".into(), "I have spaces".into()));
    assert_eq!(user(message.contact()), "caller");
    let contact = Uri::parse(message.contact().expect("there").uri).expect("valid");
    assert_eq!(&*unescape(contact.params), b";lr;name=value%41", "never twice: not valueA");
    assert_eq!(message.call_id(), Some(&b"esc01.239409asdfakjkn23onasd0-3234"[..]));
    assert!(message.sdp().is_some(), "C is Content-Type");
    assert_invites("esc01");
}

#[test]
fn escnull_an_escaped_null_does_not_end_a_user_name() {
    let bytes = message("escnull");
    let message = Message::parse(&bytes).expect("valid");
    let aor = Uri::parse(message.to().expect("there").uri).expect("valid");
    assert_eq!(&*unescape(aor.user), b"null-\0-null");
    let contacts = values(&message, Name::Contact);
    assert_eq!(contacts, ["<sip:%00@host5.example.com>", "<sip:%00%00@host5.example.com>"], "two bindings");
    assert_registers("escnull");
}

#[test]
fn esc02_a_percent_sign_is_no_escape_in_methods_names_and_display_names() {
    let bytes = message("esc02");
    let message = Message::parse(&bytes).expect("valid");
    assert_eq!(message.method(), Some(Method::Other(b"RE%47IST%45R")), "not REGISTER");
    assert_eq!(message.to().map(|to| to.display), Some(&b"%Z%45"[..]));
    assert_eq!(values(&message, Name::Contact).len(), 2);
    assert_eq!(message.header_by_name("C%6Fntact"), Some(&b"<sip:alias2@host2.example.com>"[..]));
    assert_answered("esc02", "SIP/2.0 501 Not Implemented");
}

#[test]
fn lwsdisp_a_display_name_needs_no_space_before_its_bracket() {
    let bytes = message("lwsdisp");
    let message = Message::parse(&bytes).expect("valid");
    let from = message.from().expect("there");
    assert_eq!(
        (from.display, from.uri, from.tag()),
        (&b"caller"[..], &b"sip:caller@example.com"[..], Some(&b"323"[..]))
    );
    assert_answered("lwsdisp", "SIP/2.0 200 OK");
}

#[test]
fn longreq_long_values_and_34_vias_are_read() {
    let bytes = message("longreq");
    let message = Message::parse(&bytes).expect("valid");
    assert_eq!(values(&message, Name::Via).len(), 34);
    assert_eq!(message.via().map(|via| via.host), Some(&b"sip33.example.com"[..]));
    assert_eq!(message.from().and_then(|from| from.tag()).map(<[u8]>::len), Some(155));
    assert_eq!(message.call_id().map(<[u8]>::len), Some(141));
    let to = Uri::parse(message.to().expect("there").uri).expect("valid");
    assert_eq!((to.port, to.param("unknownparam1").map(<[u8]>::len)), (Some(6000), Some(89)));
    assert_invites("longreq");
}

#[test]
fn dblreq_what_follows_a_body_of_length_0_in_a_datagram_is_ignored() {
    let bytes = message("dblreq");
    let message = Message::parse(&bytes).expect("valid");
    assert_eq!((message.method(), message.body()), (Some(Method::Register), &b""[..]));
    assert_registers("dblreq");
}

#[test]
fn semiuri_a_user_part_may_hold_parameters_and_an_escaped_at() {
    let bytes = message("semiuri");
    let message = Message::parse(&bytes).expect("valid");
    let uri = Uri::parse(request_uri(&message)).expect("valid");
    assert_eq!(
        (&*unescape(uri.user), uri.host, uri.params),
        (&b"user;par=u@example.net"[..], &b"example.com"[..], &b""[..])
    );
    assert_answered("semiuri", "SIP/2.0 200 OK");
}

#[test]
fn transports_unknown_transports_in_lower_vias_change_nothing() {
    let bytes = message("transports");
    let message = Message::parse(&bytes).expect("valid");
    assert_eq!(message.via().map(|via| via.transport), Some(&b"UDP"[..]));
    assert_eq!(message.call_id(), Some(&b"transports.kijh4akdnaqjkwendsasfdj"[..]));
    assert_answered("transports", "SIP/2.0 200 OK");
    let answered = treat("transports").bytes;
    let answer = Message::parse(&answered).expect("valid");
    assert_eq!(values(&answer, Name::Via)[1..], values(&message, Name::Via)[1..], "in the same order");
}

#[test]
fn mpart01_a_binary_body_with_nulls_is_framed_by_its_length() {
    let bytes = message("mpart01");
    let message = Message::parse(&bytes).expect("valid");
    assert_eq!((message.body().len(), message.fault()), (553, None));
    assert!(message.body().contains(&0) && message.body().ends_with(b"--7a9cbec02ceef655--\r\n"));
    assert!(message.has_content_type("multipart/mixed") && message.sdp().is_none());
    assert_eq!(treat("mpart01").events, []);
}

#[test]
fn unreason_a_reason_phrase_is_any_text() {
    let bytes = message("unreason");
    let message = Message::parse(&bytes).expect("valid");
    let Start::Response { code: 200, reason } = message.start() else { panic!("{:?}", message.start()) };
    assert_eq!(header::text(reason), "= 2**3 * 5**2 но сто девяносто девять - простое");
    assert_eq!(dropped("unreason").stray_responses, 1);
}

#[test]
fn noreason_a_reason_phrase_may_be_empty() {
    let bytes = message("noreason");
    let message = Message::parse(&bytes).expect("valid");
    assert_eq!(message.start(), Start::Response { code: 100, reason: b"" });
    assert_eq!(dropped("noreason").stray_responses, 1);
}
