//! What comes over a WebSocket, and what finds the path of a WebRTC call.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use ringfleet::net::clock;
use ringfleet::net::tls::dtls_identity;
use ringfleet::net::websocket::{Event, WebSocket};
use ringfleet::scenario::plan::WebSettings;
use ringfleet::sip::sdp::Sdp;
use ringfleet::sip::sdp::crypto::{KeySource, Suite};
use ringfleet::sip::sdp::peering::{Fragments, Peering, Role};
use ringfleet::units::Secret;
use ringfleet::webrtc::{self, Identity, Login, Peer, Remote, Server};

use super::address;

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
