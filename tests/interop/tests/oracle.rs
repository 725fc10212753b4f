//! Torture messages and generated ones: what both parsers accept, both read alike.

use proptest::prelude::*;
use ringfleet_interop::alike::{Verdict, compare};
use ringfleet_interop::torture_messages;

/// Messages that rsip takes and ringfleet refuses, each as RFC 4475 or RFC 5118 wants it.
const REFUSED: [&str; 9] =
    ["badinv01", "clerr", "ncl", "scalarlg", "quotbal", "mismatch01", "insuf", "multi01", "mcl01"];

#[test]
fn the_torture_messages_that_both_accept_are_read_alike() {
    let verdicts: Vec<_> = torture_messages::all().map(|(name, bytes, _)| (name, compare(&bytes))).collect();
    let fields: usize =
        verdicts.iter().map(|(_, verdict)| if let Verdict::Alike(many) = verdict { *many } else { 0 }).sum();
    let of = |wanted: fn(&Verdict) -> bool| {
        verdicts.iter().filter(|(_, it)| wanted(it)).map(|(name, _)| *name).collect::<Vec<_>>()
    };
    let both = of(|verdict| matches!(verdict, Verdict::Alike(_)));
    println!("both {both:?}, {fields} fields\nonly ours {:?}", of(|verdict| *verdict == Verdict::OnlyOurs));
    println!("neither {:?}", of(|verdict| *verdict == Verdict::Neither));
    assert_eq!(of(|verdict| *verdict == Verdict::OnlyTheirs), REFUSED);
    assert!(both.len() >= 15 && fields >= 200, "{} messages, {fields} fields", both.len());
}

fn token() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9][a-zA-Z0-9.!%*_+~-]{0,12}"
}

fn uri() -> impl Strategy<Value = String> {
    let user = prop::option::of("[a-z0-9]{1,10}");
    let host = prop_oneof!["[a-z]{1,8}(\\.[a-z]{2,5}){1,2}", "192\\.0\\.2\\.[1-9]"];
    let port = prop::option::of(1..65_535_u16);
    let params = prop_oneof![Just(""), Just(";transport=tcp"), Just(";lr"), Just(";user=phone;x=y")];
    let scheme = prop_oneof![4 => Just("sip"), 1 => Just("sips")];
    (scheme, user, host, port, params).prop_map(|(scheme, user, host, port, params)| {
        let user = user.map(|user| format!("{user}@")).unwrap_or_default();
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{scheme}:{user}{host}{port}{params}")
    })
}

fn party(tag: bool) -> impl Strategy<Value = String> {
    let display = prop_oneof![Just(String::new()), "[A-Za-z]{1,8} ", "\"[A-Za-z ,;]{0,10}\" "];
    (display, uri(), token()).prop_map(move |(display, uri, word)| {
        let tag = if tag { format!(";tag={word}") } else { String::new() };
        format!("{display}<{uri}>{tag}")
    })
}

fn message() -> impl Strategy<Value = String> {
    let method =
        prop_oneof![Just("INVITE"), Just("REGISTER"), Just("OPTIONS"), Just("BYE"), Just("MESSAGE"), Just("ACK")];
    let transport = prop_oneof![Just("UDP"), Just("TCP"), Just("TLS")];
    let first = (method, uri(), prop::option::of(100..700_u16));
    let via = (transport, "[a-z]{1,8}", prop::option::of(1..65_535_u16), token());
    let rest = (party(true), party(false), token(), any::<u32>(), party(false), prop::option::of(0..9999_u32));
    (first, via, rest).prop_map(|((method, uri, code), (transport, host, port, branch), (from, to, id, cseq, contact, expires))| {
        let first = code.map_or_else(|| format!("{method} {uri} SIP/2.0"), |code| format!("SIP/2.0 {code} Some Reason"));
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        let expires = expires.map(|expires| format!(";expires={expires}")).unwrap_or_default();
        format!(
            "{first}\r\nVia: SIP/2.0/{transport} {host}{port};branch=z9hG4bK{branch};rport\r\nMax-Forwards: 70\r\n\
             From: {from}\r\nTo: {to}\r\nCall-ID: {id}@{host}\r\nCSeq: {cseq} {method}\r\nContact: {contact}{expires}\r\n\
             Content-Length: 0\r\n\r\n"
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn generated_messages_are_read_alike(text in message()) {
        let verdict = compare(text.as_bytes());
        prop_assert!(!matches!(verdict, Verdict::OnlyTheirs | Verdict::Neither), "{verdict:?}");
    }
}
