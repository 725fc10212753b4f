use std::time::Duration;

use super::*;
use crate::sip::one_message::NotOneMessage;
use crate::units::Secret;

const OPTIONS: &[u8] = b"OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/WS h\r\nContent-Length: 0\r\n\r\n";

fn settings() -> WebSettings {
    WebSettings {
        authority: "pbx.example:8089".into(),
        path: Secret::new("/ws?token=t0p"),
        origin: Some("https://cc.example".into()),
        headers: vec![("X-Tenant".into(), Secret::new("acme"))],
        pings: true,
        reconnect: Duration::from_secs(1),
    }
}

fn client() -> WebSocket {
    WebSocket::client(&settings()).expect("a request")
}

fn said(web: &mut WebSocket) -> Vec<u8> {
    let mut out = Vec::new();
    web.poll_output(&mut out);
    out
}

/// What comes of bytes that arrive.
fn heard(web: &mut WebSocket, bytes: &[u8]) -> Vec<Event> {
    web.handle_input(bytes);
    std::iter::from_fn(|| web.poll_event()).collect()
}

/// Both sides after their handshake.
fn pair() -> (WebSocket, WebSocket) {
    let (mut ours, mut theirs) = (client(), WebSocket::server());
    assert_eq!(heard(&mut theirs, &said(&mut ours)), [Event::Opened]);
    assert_eq!(heard(&mut ours, &said(&mut theirs)), [Event::Opened]);
    (ours, theirs)
}

fn ended(events: Vec<Event>) -> Fault {
    match events.last() {
        Some(Event::Ended(fault)) => fault.clone(),
        other => panic!("{other:?}"),
    }
}

/// A frame without a mask, as a server sends it.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ ..126 => bytes.push(length as u8),
        length @ ..65_536 => {
            bytes.push(126);
            bytes.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            bytes.push(127);
            bytes.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(payload);
    bytes
}

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const TEXT_BEGUN: u8 = 0x01;
const MORE: u8 = 0x00;
const LAST: u8 = 0x80;
const CLOSE: u8 = 0x88;
const PING_FRAME: u8 = 0x89;

fn message(bytes: &[u8]) -> Event {
    Event::Message(Bytes::copy_from_slice(bytes))
}

#[test]
fn the_request_names_host_path_origin_and_the_subprotocol() {
    let request = String::from_utf8(said(&mut client())).expect("ASCII");
    assert!(request.starts_with("GET /ws?token=t0p HTTP/1.1\r\nHost: pbx.example:8089\r\n"), "{request}");
    for line in ["Sec-WebSocket-Protocol: sip", "Origin: https://cc.example", "x-tenant: acme", "Upgrade: websocket"] {
        assert!(request.contains(&format!("\r\n{line}\r\n")), "{line} in {request}");
    }
}

#[test]
fn messages_go_both_ways_as_text_or_where_they_are_not_utf8_as_binary_and_byte_by_byte() {
    let (mut ours, mut theirs) = pair();
    let latin: &[u8] = b"MESSAGE sip:a SIP/2.0\r\nSubject: caf\xe9\r\nContent-Length: 0\r\n\r\n";
    for (bytes, opcode) in [(OPTIONS, TEXT), (latin, BINARY)] {
        ours.send(bytes);
        let frame = said(&mut ours);
        assert_eq!((frame[0], frame[1] & 0x80), (opcode, 0x80), "a client masks");
        let events: Vec<Event> = frame.chunks(1).flat_map(|byte| heard(&mut theirs, byte)).collect();
        assert_eq!(events, [message(bytes)]);
        theirs.send(bytes);
        let frame = said(&mut theirs);
        assert_eq!((frame[0], frame[1] & 0x80), (opcode, 0));
        assert_eq!(heard(&mut ours, &frame), [message(bytes)]);
        assert_eq!((ours.unfinished(), theirs.unfinished()), (0, 0));
    }
}

#[test]
fn a_keep_alive_is_a_ping_frame_that_is_answered_or_two_line_ends_where_the_target_says_so() {
    let (mut ours, mut theirs) = pair();
    ours.send(PING);
    assert_eq!(heard(&mut theirs, &said(&mut ours)), []);
    assert_eq!(heard(&mut ours, &said(&mut theirs)), [Event::Pong]);
    let mut ours = WebSocket::client(&WebSettings { pings: false, ..settings() }).expect("a request");
    let mut theirs = WebSocket::server();
    heard(&mut theirs, &said(&mut ours));
    heard(&mut ours, &said(&mut theirs));
    ours.send(PING);
    assert_eq!(heard(&mut theirs, &said(&mut ours)), [message(PING)]);
    theirs.send(b"\r\n");
    assert_eq!(heard(&mut ours, &said(&mut theirs)), [message(b"\r\n")]);
}

#[test]
fn a_message_in_many_frames_is_one_message_and_a_ping_between_them_is_answered() {
    let (mut ours, _) = pair();
    let mut bytes = frame(TEXT_BEGUN, &OPTIONS[..10]);
    bytes.extend(frame(PING_FRAME, b"x"));
    bytes.extend(frame(MORE, &OPTIONS[10..11]));
    assert_eq!(heard(&mut ours, &bytes), []);
    assert!(ours.unfinished() > 0);
    assert_eq!(said(&mut ours)[0], 0x8a, "a pong");
    assert_eq!(heard(&mut ours, &frame(LAST, &OPTIONS[11..])), [message(OPTIONS)]);
}

#[test]
fn a_close_is_answered_and_its_code_and_words_are_kept() {
    for (payload, words) in [
        (&b"\x03\xe9maintenance"[..], "the peer closed the WebSocket: 1001 (going away): maintenance"),
        (b"\x0f\xa0", "the peer closed the WebSocket: 4000"),
        (b"", "the peer closed the WebSocket: without a code (1005)"),
    ] {
        let (mut ours, _) = pair();
        let fault = ended(heard(&mut ours, &frame(CLOSE, payload)));
        assert_eq!((fault.kind(), fault.to_string().as_str()), (Kind::Closed, words));
        assert_eq!(said(&mut ours)[0], CLOSE, "it is answered");
        assert_eq!(heard(&mut ours, b"more"), [], "that was the end");
    }
    let (mut ours, mut theirs) = pair();
    ours.close();
    let fault = ended(heard(&mut theirs, &said(&mut ours)));
    assert_eq!(fault, Fault::Closed { code: Some(1000), reason: String::new() });
    assert_eq!(theirs.handle_end(None).kind(), Kind::Closed);
}

#[test]
fn an_end_without_a_close_frame_is_1006() {
    let (mut ours, _) = pair();
    let text = ours.handle_end(Some("Connection reset by peer".into())).to_string();
    assert_eq!(text, "the connection ended without a word of WebSocket (1006): Connection reset by peer");
    assert_eq!(client().handle_end(None), Fault::EndedInUpgrade);
}

#[test]
fn frames_that_break_the_rules_end_the_connection_with_their_code() {
    let masked = [&[TEXT, 0x81, 1, 2, 3, 4][..], b"x"].concat();
    for (bytes, code, words) in [
        (frame(TEXT, b"\xff\xfe"), 1007, "a WebSocket message of text is not UTF-8"),
        (masked, 1002, "the peer breaks the WebSocket protocol: Received a masked frame from server"),
        (frame(0xc1, b"x"), 1002, "the peer breaks the WebSocket protocol: Reserved bits are non-zero"),
        (frame(LAST, b"x"), 1002, "the peer breaks the WebSocket protocol: Continue frame but nothing to continue"),
        (frame(0x09, b"x"), 1002, "the peer breaks the WebSocket protocol: Fragmented control frame"),
        (frame(TEXT, &vec![b'x'; MAX_MESSAGE + 1]), 1009, "a WebSocket message is longer than 262144 bytes"),
    ] {
        let (mut ours, mut theirs) = pair();
        let fault = ended(heard(&mut ours, &bytes));
        assert_eq!((fault.kind(), fault.to_string().as_str()), (Kind::Protocol, words));
        let told = ended(heard(&mut theirs, &said(&mut ours)));
        assert_eq!(told, Fault::Closed { code: Some(code), reason: String::new() }, "{words}");
    }
    // A server wants masks.
    let (_, mut theirs) = pair();
    let fault = ended(heard(&mut theirs, &frame(TEXT, OPTIONS)));
    assert_eq!(fault.to_string(), "the peer breaks the WebSocket protocol: Received an unmasked frame from client");
}

#[test]
fn fragments_without_an_end_are_given_up() {
    let (mut ours, _) = pair();
    heard(&mut ours, &frame(TEXT_BEGUN, b""));
    let empty = frame(MORE, b"").repeat(1000);
    let fault = (0..MAX_MESSAGE).find_map(|_| heard(&mut ours, &empty).pop());
    assert_eq!(fault, Some(Event::Ended(Fault::TooLong)));
}

#[test]
fn a_sip_message_that_is_split_or_merged_is_named() {
    let two = [OPTIONS, OPTIONS].concat();
    for (bytes, wanted) in [
        (&OPTIONS[..30], NotOneMessage::Split { need: 31, have: 30 }),
        (&two[..], NotOneMessage::Merged(OPTIONS.len())),
    ] {
        let (mut ours, _) = pair();
        let fault = ended(heard(&mut ours, &frame(TEXT, bytes)));
        assert_eq!((fault.kind(), fault), (Kind::Protocol, Fault::NotOneMessage(wanted)));
    }
    let (mut ours, _) = pair();
    let two = [frame(TEXT, OPTIONS), frame(BINARY, OPTIONS)].concat();
    assert_eq!(heard(&mut ours, &two), [message(OPTIONS), message(OPTIONS)], "two frames at once are two messages");
}

/// What a client makes of an answer with these lines, where `ACCEPT` stands for what it should be.
fn answered(text: &str) -> Vec<Event> {
    let mut ours = client();
    let State::Asking(accept) = &ours.state else { panic!("it asks") };
    let text = text.replace("ACCEPT", accept);
    heard(&mut ours, text.as_bytes())
}

const UPGRADED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
    Sec-WebSocket-Accept: ACCEPT\r\n";

#[test]
fn every_answer_that_is_no_upgrade_says_what_it_is() {
    assert_eq!(answered(&format!("{UPGRADED}Sec-WebSocket-Protocol: sip\r\n\r\n")), [Event::Opened]);
    for (text, words) in [
        (
            "HTTP/1.1 404 Whatever\r\nContent-Length: 0\r\n\r\n".to_owned(),
            "the server answers the WebSocket upgrade with 404 Not Found: check the path in the target's url",
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: https://login.example/?session=s3cret\r\n\r\n".to_owned(),
            "the server answers the WebSocket upgrade with 302 Found to https://login.example/",
        ),
        (format!("{UPGRADED}\r\n"), "the server upgrades to WebSocket, but not to the subprotocol `sip` (RFC 7118 §4)"),
        (
            format!("{UPGRADED}Sec-WebSocket-Protocol: mqtt\r\n\r\n"),
            "the server upgrades to WebSocket, but not to the subprotocol `sip` (RFC 7118 §4) but to `mqtt`",
        ),
        (
            format!("{UPGRADED}Sec-WebSocket-Protocol: sip\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
            "the answer to the WebSocket upgrade is wrong: it agrees to an extension that nobody asked for",
        ),
        (
            UPGRADED.replace("ACCEPT", "x") + "\r\n",
            "the answer to the WebSocket upgrade is wrong: its Sec-WebSocket-Accept is not that of our key, as from a \
             cache",
        ),
        (
            "SIP/2.0 400 Bad Request\r\n\r\n".to_owned(),
            "what comes in answer to the WebSocket upgrade is not HTTP: perhaps the port does not speak it",
        ),
        (
            format!("HTTP/1.1 101 x\r\nX: {}", "y".repeat(MAX_HEAD)),
            "the head of the WebSocket upgrade has no end within 16384 bytes",
        ),
    ] {
        let fault = ended(answered(&text));
        assert_eq!((fault.kind(), fault.to_string().as_str()), (Kind::Upgrade, words));
    }
}

#[test]
fn a_request_that_is_none_for_sip_is_refused_in_words() {
    let good = String::from_utf8(said(&mut client())).expect("ASCII");
    for (request, words) in [
        (good.replace("Sec-WebSocket-Protocol: sip", "Sec-WebSocket-Protocol: mqtt, xmpp"), "the subprotocol `sip`"),
        (good.replace("Upgrade: websocket", "Upgrade: h2c"), "none for WebSocket"),
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "none for WebSocket"),
        ("GET \x01 HTTP/1.1\r\n\r\n".to_owned(), "no HTTP/1.1"),
    ] {
        let mut theirs = WebSocket::server();
        let fault = ended(heard(&mut theirs, request.as_bytes()));
        let answer = String::from_utf8(said(&mut theirs)).expect("ASCII");
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n") && answer.contains(words), "{answer}");
        assert!(matches!(fault, Fault::Request(_)), "{fault:?}");
    }
    let several = good.replace("Sec-WebSocket-Protocol: sip", "Sec-WebSocket-Protocol: mqtt, sip");
    assert_eq!(heard(&mut WebSocket::server(), several.as_bytes()), [Event::Opened]);
}
