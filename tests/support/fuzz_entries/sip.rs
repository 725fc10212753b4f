//! SIP: messages, their parts, and streams of them.

use std::collections::HashSet;
use std::time::Duration;

use ringfleet::net::clock;
use ringfleet::sip::auth::{self, Algorithm, Credentials, Request, Verifier};
use ringfleet::sip::endpoint::{Config, Endpoint};
use ringfleet::sip::flow::{Flow, Hop, Link, LinkId, Transport};
use ringfleet::sip::framing::{Frame, Framer, FramingError};
use ringfleet::sip::header;
use ringfleet::sip::locate::{Answer, Locator, Naptr, Query, Srv, Step, Wanted};
use ringfleet::sip::message::{Fault, Message};
use ringfleet::sip::sdp::{AudioCodec, Local, Order, Sdp};
use ringfleet::sip::stun::{self, Binding};
use ringfleet::sip::uri::{NameAddr, Uri, unescape};
use ringfleet::sip::validity;
use ringfleet::units::Secret;

use super::address;

/// A datagram reaches an endpoint: whatever it answers can be read and is in order.
pub fn message(bytes: &[u8]) {
    let Ok(message) = Message::parse(bytes) else { return };
    let _ = (message.cseq(), message.from(), message.to(), message.contact(), message.sdp(), message.skipped_lines());
    for (name, value) in message.fields() {
        let _ = (header::text(name), header::text(value), header::number(value), header::split_list(value).count());
    }
    let now = clock::now();
    let mut endpoint = Endpoint::new(Config::default(), 1, now);
    endpoint.add_link(LinkId(0), Link::new(Transport::Udp, address("192.0.2.1:5060")));
    let flow = Flow { link: LinkId(0), remote: address("192.0.2.2:5060") };
    endpoint.handle_message(now, flow, &message);
    endpoint.handle_message(now, flow, &message);
    while let Some(transmit) = endpoint.poll_transmit() {
        let answer = Message::parse(transmit.bytes).expect("what is sent can be read");
        assert!(answer.code().is_some_and(|code| code >= 200) && answer.fault().is_none());
        // A request that is in order is answered in order.
        assert!(validity::flaw(&message).is_some() || validity::is_whole(&answer));
    }
    while endpoint.poll_event().is_some() {}
    endpoint.handle_timeout(now + Duration::from_secs(3600));
}

/// A URI, and a name-addr around it.
pub fn uri(bytes: &[u8]) {
    let named = NameAddr::parse(bytes);
    let _ = named.tag();
    for text in [bytes, named.uri] {
        if let Some(uri) = Uri::parse(text) {
            let _ = (uri.param("transport"), header::text(&unescape(uri.user)));
            assert!(unescape(uri.user).len() <= uri.user.len());
            assert!(!uri.is_sip() || !uri.host.is_empty());
        }
    }
}

/// A description as an offer and as an answer: our answer can be read and has as many media lines.
pub fn sdp(bytes: &[u8]) {
    const PCMA: AudioCodec = AudioCodec { name: "PCMA", payload_type: 8, clock_rate: 8000, channels: 1, fmtp: None };
    const CODECS: [AudioCodec; 3] = [
        PCMA,
        AudioCodec { name: "PCMU", payload_type: 0, ..PCMA },
        AudioCodec { name: "opus", payload_type: 111, clock_rate: 48_000, channels: 2, fmtp: Some("minptime=10") },
    ];
    let Ok(theirs) = Sdp::parse(bytes) else { return };
    let local = Local::new(address("192.0.2.1:4000"), &CODECS, 1);
    for order in [Order::Ours, Order::Theirs] {
        let mut out = Vec::new();
        match local.answer(&theirs, order, &mut out) {
            Ok(_) => {
                let answer = Sdp::parse(&out).expect("what is sent can be read");
                assert_eq!(answer.media.len(), theirs.media.len());
            }
            Err(refused) => assert!(out.is_empty() && !refused.to_string().is_empty()),
        }
    }
    if let Err(error) = local.negotiated(&theirs) {
        assert!(!error.to_string().is_empty());
    }
}

/// Each line is a challenge, and an answer to one.
pub fn challenge(bytes: &[u8]) {
    let text = header::text(bytes);
    let values = || bytes.split(|byte| *byte == b'\n').map(header::text).collect::<Vec<_>>();
    let secret = Secret::new("secret");
    for challenge in auth::by_realm(values().iter().map(String::as_str)) {
        let request = Request { method: "REGISTER", uri: "sip:lab", body: b"" };
        let answer = challenge.respond(&Credentials { user: "1001", password: &secret }, &request, "c", 1);
        assert!(answer.starts_with("Digest ") && !answer.contains(['\r', '\n']), "{answer} of {text}");
    }
    let verifier = Verifier::new("lab", [7; 32], Duration::from_secs(60));
    let _ = verifier.challenge(Algorithm::Md5, 1, false, Duration::ZERO);
    let _ = verifier.verify(values().iter().map(String::as_str), "REGISTER", b"", |_| Some(&secret), Duration::ZERO);
}

/// A stream gives the same frames however it is cut; the first byte says how. Who reads a frame finds its end where it was
/// cut off.
pub fn framing(bytes: &[u8]) {
    let Some((cut, stream)) = bytes.split_first() else { return };
    let pieces = usize::from(*cut).max(1);
    let whole = frames(std::iter::once(stream));
    assert_eq!(frames(stream.chunks(pieces)), whole);
    for frame in whole.0.iter().flatten() {
        let Ok(message) = Message::parse(frame) else { continue };
        assert!(
            !matches!(message.fault(), Some(Fault::ContentLength | Fault::Truncated { .. })),
            "{:?}",
            message.fault()
        );
        assert!(frame.ends_with(message.body()) && ends_before(frame, message.body().len()), "{message:?}");
    }
}

/// Whether an empty line stands before so many bytes at the end.
fn ends_before(frame: &[u8], body: usize) -> bool {
    let headers = &frame[..frame.len() - body];
    headers.ends_with(b"\n\n") || headers.ends_with(b"\n\r\n")
}

fn frames<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Option<Vec<u8>>>, Option<FramingError>) {
    let mut framer = Framer::new();
    let mut found = Vec::new();
    for piece in pieces {
        framer.push(piece);
        loop {
            match framer.next_frame() {
                Ok(Some(Frame::Message(message))) => found.push(Some(message.to_vec())),
                Ok(Some(Frame::Ping)) => found.push(None),
                Ok(None) => break,
                Err(error) => return (found, Some(error)),
            }
        }
    }
    (found, None)
}

/// A STUN packet at a SIP port: only a request is answered, with little, and the answer says where the request came from.
pub fn stun(bytes: &[u8]) {
    let told = stun::read(bytes);
    for from in ["203.0.113.7:40123", "[2001:db8::7]:5060"].map(address) {
        let Some(answer) = stun::respond(bytes, from) else { continue };
        assert_eq!(told, Some(Binding::Request));
        assert!(stun::is_stun(&answer) && answer.len() <= bytes.len() + 24);
        let Some(Binding::Response { transaction, mapped }) = stun::read(&answer) else { panic!("it is a response") };
        assert_eq!((&transaction.to_be_bytes()[4..], mapped), (&bytes[8..20], Some(from)));
    }
}

/// What DNS says of a server, whose URI the first bytes are: it ends after few questions, with places or a reason.
pub fn locate(bytes: &[u8]) {
    let mut rest = bytes.iter().copied();
    let how = rest.next().unwrap_or_default();
    let transports = [None, Some(Transport::Udp), Some(Transport::Tls), Some(Transport::Wss)];
    let wanted = Wanted {
        host: name(rest.next()),
        port: (how & 1 != 0).then_some(5070),
        transport: transports[usize::from(how >> 1 & 3)],
        sips: how & 8 != 0,
    };
    let mut locator = Locator::new(wanted, u64::from(how));
    for asked in 0.. {
        assert!(asked <= 24, "it asks for ever");
        match locator.poll() {
            Step::Ask(query) => locator.handle_answer(answer(&query, &mut rest)),
            Step::Found(hops) => {
                let distinct: HashSet<Hop> = hops.iter().copied().collect();
                assert!((1..=16).contains(&hops.len()) && distinct.len() == hops.len());
                break;
            }
            Step::Failed(error) => {
                assert!(!error.to_string().is_empty());
                break;
            }
        }
    }
}

/// A few names, so that they lead to each other.
fn name(choice: Option<u8>) -> String {
    const NAMES: [&str; 8] = ["lab.test", "LAB.test", "_sip._udp.lab.test", "a.lab.test", "b.lab.test", "lab", ".", ""];
    NAMES[usize::from(choice.unwrap_or(7) % 8)].to_owned()
}

fn answer(query: &Query, rest: &mut impl Iterator<Item = u8>) -> Answer {
    let what = rest.next().unwrap_or_default();
    let records = 0..what >> 2;
    let mut number = || u16::from(rest.next().unwrap_or_default());
    match (what & 3, query) {
        (0, _) => Answer::Failed("refused".into()),
        (1, _) => Answer::Unanswered("silent".into()),
        (_, Query::Naptr(_)) => Answer::Naptr(
            records
                .map(|_| Naptr {
                    order: number(),
                    preference: number(),
                    flags: ["s", "a", "", "u"][usize::from(number() % 4)].into(),
                    service: ["SIP+D2U", "sip+d2t", "SIPS+D2T", "E2U"][usize::from(number() % 4)].into(),
                    replacement: name(Some(number() as u8)),
                })
                .collect(),
        ),
        (_, Query::Srv(_)) => Answer::Srv(
            records
                .map(|_| Srv {
                    priority: number(),
                    weight: number() << 8,
                    port: number(),
                    target: name(Some(number() as u8)),
                })
                .collect(),
        ),
        (_, Query::Address(_)) => Answer::Address(records.map(|_| [192, 0, 2, number() as u8].into()).collect()),
    }
}
