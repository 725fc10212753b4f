//! What the fuzz targets of `tests/fuzz` feed bytes to, and what `cargo test` feeds their corpus to: each reads whatever
//! it is given, and checks what must hold of what it has read.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use ringfleet::media::codec::{Codec, Decoder, LONGEST};
use ringfleet::media::dtmf::{Event as KeyEvent, Receiver};
use ringfleet::media::srtp::{Inbound, Outbound};
use ringfleet::media::{rtcp, rtp};
use ringfleet::net::clock;
use ringfleet::net::tls::dtls_identity;
use ringfleet::net::websocket::{Event, WebSocket};
use ringfleet::scenario::compile::{self, Input, kind_of};
use ringfleet::scenario::plan::WebSettings;
use ringfleet::sip::auth::{self, Algorithm, Credentials, Request, Verifier};
use ringfleet::sip::endpoint::{Config, Endpoint};
use ringfleet::sip::flow::{Flow, Link, LinkId, Transport};
use ringfleet::sip::framing::{Frame, Framer, FramingError};
use ringfleet::sip::header;
use ringfleet::sip::message::Message;
use ringfleet::sip::sdp::crypto::{Key, KeySource, Suite};
use ringfleet::sip::sdp::peering::{Fragments, Peering, Role};
use ringfleet::sip::sdp::{AudioCodec, Local, Order, Sdp};
use ringfleet::sip::uri::{NameAddr, Uri, unescape};
use ringfleet::sip::validity;
use ringfleet::units::Secret;
use ringfleet::webrtc::{self, Identity, Login, Peer, Remote, Server};

/// What reads bytes, with its name: that of its target and of its folder in the corpus.
pub type Entry = (&'static str, fn(&[u8]));

/// Every entry.
pub const ALL: [Entry; 14] = [
    ("message", message),
    ("uri", uri),
    ("sdp", sdp),
    ("challenge", challenge),
    ("rtp", rtp),
    ("payload", payload),
    ("dtmf", dtmf),
    ("rtcp", rtcp),
    ("scenario", scenario),
    ("framing", framing),
    ("srtp", srtp),
    ("websocket", websocket),
    ("turn", turn),
    ("ice", ice),
];

fn address(text: &str) -> SocketAddr {
    text.parse().expect("valid")
}

/// A datagram reaches an endpoint: whatever it answers can be read and is in order.
pub fn message(bytes: &[u8]) {
    let Ok(message) = Message::parse(bytes) else { return };
    let _ = (message.cseq(), message.from(), message.to(), message.contact(), message.sdp(), message.skipped_lines());
    for (name, value) in message.fields() {
        let _ = (header::text(name), header::text(value), header::number(value), header::split_list(value).count());
    }
    #[expect(clippy::disallowed_methods, reason = "any instant will do as the origin of virtual time")]
    let now = Instant::now();
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

/// Payloads, each behind its length, to one decoder of every codec: whatever they are, so much comes of them as may.
pub fn payload(bytes: &[u8]) {
    let (mut decoder, mut linear) = (Decoder::default(), [0.0; LONGEST]);
    let mut rest = bytes;
    while let [choice, length, later @ ..] = rest {
        let (payload, later) = later.split_at(later.len().min(usize::from(*length)));
        let codec = Codec::ALL[usize::from(*choice) % Codec::ALL.len()];
        let missing = usize::from(choice >> 2) * 20;
        let concealed = decoder.conceal(codec, missing, payload, &mut linear);
        assert!(concealed.is_none_or(|samples| samples == missing));
        let samples = decoder.decode(codec, payload, &mut linear);
        assert!(samples <= LONGEST && linear[..samples].iter().all(|sample| sample.is_finite()));
        rest = later;
    }
}

/// Packets of telephone events, each a source, a timestamp and four bytes of payload: as many keys come of them as are told.
pub fn dtmf(bytes: &[u8]) {
    let (mut receiver, mut told) = (Receiver::default(), 0);
    for [source, t0, t1, t2, t3, payload @ ..] in bytes.as_chunks::<9>().0 {
        let Some(event) = KeyEvent::parse(payload) else { continue };
        assert_eq!(KeyEvent::parse(&event.to_bytes()), Some(event));
        let timestamp = u32::from_be_bytes([*t0, *t1, *t2, *t3]);
        if let Some((_, later)) = receiver.take((u32::from(source % 2), timestamp), &event) {
            assert!(later <= told);
            told += 1;
        }
    }
    assert!(receiver.recent().count() <= told.min(16));
}

/// An RTP packet: its header is the same when it is written again.
pub fn rtp(bytes: &[u8]) {
    if let Ok(packet) = rtp::Packet::parse(bytes) {
        assert!(packet.payload.len() <= bytes.len() - 12);
        let written = packet.header.to_bytes();
        assert_eq!(rtp::Packet::parse(&written).map(|again| again.header), Ok(packet.header));
    }
}

/// An RTCP compound packet.
pub fn rtcp(bytes: &[u8]) {
    let _ = rtcp::is_rtcp(bytes);
    for packet in rtcp::Compound::new(bytes) {
        match packet {
            Ok(rtcp::Packet::SenderReport { reports, .. } | rtcp::Packet::ReceiverReport { reports, .. }) => {
                assert!(reports.count() <= 31);
            }
            Ok(_) => {}
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

/// A file of each kind: a plan, or mistakes that can be shown.
pub fn scenario(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let read = |_: &Path| Ok("lab: open\nchallenge: false\n".to_owned());
    let input = Input {
        path: Path::new("scenario.yaml"),
        text,
        target: None,
        set: &[],
        env: &|_| Some("x".into()),
        read: &read,
    };
    let shown = |found: ringfleet::scenario::diagnostic::Diagnostics| assert!(!found.to_string().is_empty());
    kind_of(text);
    compile::scenario(&input).map_or_else(shown, drop);
    compile::target(&input).map_or_else(shown, drop);
    compile::lab(&input).map_or_else(shown, drop);
}

/// A stream gives the same frames however it is cut; the first byte says how.
pub fn framing(bytes: &[u8]) {
    let Some((cut, stream)) = bytes.split_first() else { return };
    let pieces = usize::from(*cut).max(1);
    assert_eq!(frames(stream.chunks(pieces)), frames(std::iter::once(stream)));
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

/// Packets of somebody without the key are not let in; packets of ours come back as they were.
pub fn srtp(bytes: &[u8]) {
    for suite in [Suite::AesCm128Sha1_80, Suite::AeadAes128Gcm] {
        let Ok(key) = Key::new(suite, &[5; 46][..suite.key_len() + suite.salt_len()]) else { continue };
        let mut inbound = Inbound::new(&key);
        assert!(inbound.unprotect_rtp(&mut bytes.to_vec()).is_err());
        assert!(inbound.unprotect_rtcp(&mut bytes.to_vec()).is_err());
        let mut outbound = Outbound::new(&key);
        let mut packet = bytes.to_vec();
        if rtp::Packet::parse(bytes).is_ok() && outbound.protect_rtp(&mut packet).is_ok() {
            assert_eq!(inbound.unprotect_rtp(&mut packet), Ok(()));
            assert_eq!(packet, bytes);
        }
    }
}

static IDENTITY: LazyLock<Arc<Identity>> = LazyLock::new(|| dtls_identity().expect("a certificate"));

/// What a STUN and two TURN servers say, over UDP and over a connection; the first byte says who, and how it is cut.
pub fn turn(bytes: &[u8]) {
    let Some((how, bytes)) = bytes.split_first() else { return };
    let now = clock::now();
    let key = KeySource::new([7; 32]).next(Suite::AesCm128Sha1_80);
    let server = |name: &str, reliable, login: bool| {
        let login = login.then(|| Login { username: "agent".into(), password: Secret::new("secret") });
        Server { name: name.into(), address: address("192.0.2.1:3478"), reliable, login }
    };
    let servers = vec![server("stun:a", false, false), server("turn:a", false, true), server("turns:a", true, true)];
    let credentials = webrtc::Credentials::of(&key);
    let config = webrtc::Config { servers, ..webrtc::Config::new(address("192.0.2.7:4000"), true, credentials) };
    let mut peer = Peer::new(config, Arc::clone(&IDENTITY), 7, now);
    peer.handle_connection(now, 2, Ok(()));
    for piece in bytes.chunks(usize::from(how >> 1).max(1)) {
        if how & 1 == 0 {
            let _ = peer.handle_packet(now, address("192.0.2.1:3478"), piece);
        } else {
            peer.handle_bytes(now, 2, piece, |_, _| {});
        }
        drain(&mut peer);
    }
}

fn drain(peer: &mut Peer) {
    let (mut out, mut sent) = (Vec::new(), 0);
    while !matches!(peer.poll_output(&mut out), webrtc::Output::Timeout(_)) {
        sent += 1;
        assert!(sent < 100, "it goes on for ever");
    }
}

/// The other side of a WebRTC call, whose checks of ICE, DTLS and media come as packets, each behind its length in two bytes; the
/// first byte says what we are.
pub fn ice(bytes: &[u8]) {
    const THEIRS: &[u8] = b"v=0\r\no=- 1 1 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\n\
        m=audio 4000 UDP/TLS/RTP/SAVPF 8\r\na=ice-ufrag:them\r\na=ice-pwd:0123456789012345678901\r\n\
        a=fingerprint:sha-256 00:11\r\na=setup:actpass\r\na=rtcp-mux\r\n\
        a=candidate:1 1 udp 2130706431 192.0.2.2 4000 typ host\r\n";
    let Some((how, mut rest)) = bytes.split_first() else { return };
    let (now, there) = (clock::now(), address("192.0.2.2:4000"));
    let theirs = Sdp::parse(THEIRS).expect("a description");
    let role = if how & 1 == 0 { Role::Client } else { Role::Server };
    let remote = Remote::of(&theirs.media[0], role).expect("credentials of ICE");
    let credentials = webrtc::Credentials::of(&KeySource::new([7; 32]).next(Suite::AesCm128Sha1_80));
    let config = webrtc::Config {
        lite: how & 2 != 0,
        ..webrtc::Config::new(address("192.0.2.7:4000"), how & 4 != 0, credentials)
    };
    let mut peer = Peer::new(config, Arc::clone(&IDENTITY), 7, now);
    peer.set_remote(now, &remote);
    // As a body of an INFO: candidates of another session and of none, names, and garbage.
    peer.add_candidates(now, &Peering::of_fragment(rest));
    let mut kept = Fragments::default();
    [rest, b"a=ice-ufrag:them", rest].iter().for_each(|body| kept.keep(body));
    if let Some(all) = kept.all() {
        peer.add_candidates(now, &all);
    }
    peer.add_candidates(now, &Peering::of_fragment(&[b"a=ice-ufrag:them\na=candidate:", rest].concat()));
    drain(&mut peer);
    while let [high, low, later @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (packet, later) = later.split_at(later.len().min(length));
        let _ = peer.handle_packet(now, there, packet);
        drain(&mut peer);
        rest = later;
    }
    for seconds in [1, 11, 30] {
        peer.handle_timeout(now + Duration::from_secs(seconds));
        drain(&mut peer);
    }
}

/// What comes over a WebSocket, to either side and before or after its handshake, gives the same events however it is cut;
/// the first byte says how, and to whom.
pub fn websocket(bytes: &[u8]) {
    let Some((how, stream)) = bytes.split_first() else { return };
    let pieces = usize::from(how >> 2).max(1);
    let (whole, cut) = (side(how & 3), side(how & 3));
    assert_eq!(web_events(whole, std::iter::once(stream)), web_events(cut, stream.chunks(pieces)));
}

/// A client or a server, that waits for its handshake or has had it.
fn side(which: u8) -> WebSocket {
    let settings = WebSettings { authority: "lab".into(), path: Secret::new("/"), ..WebSettings::default() };
    let mut ours = WebSocket::client(&settings).expect("a request");
    let mut theirs = WebSocket::server();
    if which & 2 != 0 {
        let mut out = Vec::new();
        ours.poll_output(&mut out);
        theirs.handle_input(&out);
        assert_eq!(theirs.poll_event(), Some(Event::Opened));
        out.clear();
        theirs.poll_output(&mut out);
        ours.handle_input(&out);
        assert_eq!(ours.poll_event(), Some(Event::Opened));
    }
    if which & 1 == 0 { ours } else { theirs }
}

fn web_events<'a>(mut web: WebSocket, pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Event> {
    let (mut events, mut out) = (Vec::new(), Vec::new());
    for piece in pieces {
        web.handle_input(piece);
        while let Some(event) = web.poll_event() {
            if let Event::Ended(fault) = &event {
                assert!(!fault.to_string().is_empty());
            }
            events.push(event);
        }
        web.poll_output(&mut out);
        assert!(web.unfinished() <= 1 << 20 && out.len() <= 1 << 20);
    }
    events
}
