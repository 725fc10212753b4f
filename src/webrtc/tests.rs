//! Two peers in virtual time, their descriptions exchanged as text.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use super::*;
use crate::sip::sdp::crypto::{KeySource, Keys, Policy, Protection, Suite};
use crate::sip::sdp::peering::{Peering, Role};
use crate::sip::sdp::{AudioCodec, Local, Order, Sdp};

pub(super) const PCMA: AudioCodec =
    AudioCodec { name: "PCMA", payload_type: 8, clock_rate: 8000, channels: 1, fmtp: None };
const CALLER: usize = 0;
const CALLEE: usize = 1;

pub(super) fn identity() -> Arc<Identity> {
    static IDENTITIES: LazyLock<[Arc<Identity>; 2]> = LazyLock::new(|| {
        [(), ()].map(|()| {
            let key = rcgen::KeyPair::generate().expect("a key");
            let certificate = rcgen::CertificateParams::default().self_signed(&key).expect("a certificate");
            Arc::new(Identity::new(certificate.der().to_vec(), key.serialize_der()).expect("DTLS works here"))
        })
    });
    Arc::clone(&IDENTITIES[0])
}

fn address(side: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 4_000 + side as u16))
}

/// A caller and a callee at these addresses.
pub(super) fn pair(addresses: [SocketAddr; 2], now: Instant, change: impl Fn(usize, &mut Config)) -> [Peer; 2] {
    let mut source = KeySource::new([7; 32]);
    [CALLER, CALLEE].map(|side| {
        let credentials = Credentials::of(&source.next(Suite::AesCm128Sha1_80));
        let mut config = Config::new(addresses[side], side == CALLER, credentials);
        change(side, &mut config);
        Peer::new(config, identity(), side as u64, now)
    })
}

struct Packet {
    arrives: Instant,
    to: usize,
    bytes: Vec<u8>,
}

/// Two peers and the network between them.
struct World {
    start: Instant,
    now: Instant,
    peers: [Peer; 2],
    wire: Vec<Packet>,
    delay: Duration,
    /// Which packets are lost: by the side that sends, their number there, and their bytes.
    loses: fn(usize, usize, &[u8]) -> bool,
    sent: [usize; 2],
    events: [Vec<Event>; 2],
}

impl World {
    #[expect(clippy::disallowed_methods, reason = "an Instant to start from; the test never looks at the clock again")]
    fn new(change: impl Fn(usize, &mut Config)) -> Self {
        let now = Instant::now();
        let peers = pair([CALLER, CALLEE].map(address), now, change);
        let (wire, sent, events) = (Vec::new(), [0; 2], [Vec::new(), Vec::new()]);
        let delay = Duration::from_millis(1);
        Self { start: now, now, peers, wire, delay, loses: |_, _, _| false, sent, events }
    }

    fn local(&self, side: usize) -> Local<'_> {
        let protection = Protection { policy: Policy::Dtls, keys: &[], peering: Some(self.peers[side].ours()) };
        Local { protection, ..Local::new(address(side), &[PCMA], 1) }
    }

    /// Offer and answer; each text may be changed on its way.
    fn describe(&mut self, change: impl Fn(usize, String) -> String) {
        let (mut offer, mut answer) = (Vec::new(), Vec::new());
        self.local(CALLER).write_offer(&mut offer);
        let offer = change(CALLER, String::from_utf8(offer).expect("text"));
        let offer = Sdp::parse(offer.as_bytes()).expect("valid");
        let taken = self.local(CALLEE).answer(&offer, Order::Theirs, &mut answer).expect("acceptable");
        let answer = change(CALLEE, String::from_utf8(answer).expect("text"));
        let answer = Sdp::parse(answer.as_bytes()).expect("valid");
        let agreed = self.local(CALLER).negotiated(&answer).expect("usable");
        let of = |sdp: &Sdp<'_>, line: usize, role: Option<Role>| {
            Remote::of(&sdp.media[line], role.expect("DTLS")).expect("ICE")
        };
        let callers = of(&offer, taken.line, taken.dtls);
        self.peers[CALLEE].set_remote(self.now, &callers);
        self.drain();
        let callees = of(&answer, agreed.line, agreed.dtls);
        self.peers[CALLER].set_remote(self.now, &callees);
        self.drain();
    }

    fn drain(&mut self) {
        let mut buf = Vec::new();
        for side in [CALLER, CALLEE] {
            loop {
                match self.peers[side].poll_output(&mut buf) {
                    Output::Event(event) => self.events[side].push(event),
                    Output::Transmit(Via::Connection(_)) => panic!("there is no server"),
                    Output::Transmit(Via::Datagram(to)) => {
                        self.sent[side] += 1;
                        let there = [CALLER, CALLEE].into_iter().find(|other| address(*other) == to);
                        if let Some(to) = there.filter(|_| !(self.loses)(side, self.sent[side], &buf)) {
                            self.wire.push(Packet { arrives: self.now + self.delay, to, bytes: buf.clone() });
                        }
                    }
                    Output::Timeout(_) => break,
                }
            }
        }
    }

    fn timeout(&mut self, side: usize) -> Option<Instant> {
        match self.peers[side].poll_output(&mut Vec::new()) {
            Output::Timeout(at) => at,
            other => panic!("drained before: {other:?}"),
        }
    }

    /// Lets time pass until `end` after the start.
    fn run(&mut self, end: Duration) {
        let end = self.start + end;
        self.drain();
        loop {
            let arrival = self.wire.iter().map(|packet| packet.arrives).min();
            let timeouts = [self.timeout(CALLER), self.timeout(CALLEE)];
            let next = timeouts.into_iter().flatten().chain(arrival).min().filter(|next| *next <= end);
            let Some(next) = next else { break };
            self.now = self.now.max(next);
            let due = self.wire.iter().position(|packet| packet.arrives <= self.now);
            if let Some(index) = due {
                let packet = self.wire.remove(index);
                self.peers[packet.to].handle_packet(self.now, address(1 - packet.to), &packet.bytes);
            } else {
                self.peers.iter_mut().for_each(|peer| peer.handle_timeout(self.now));
            }
            self.drain();
        }
        self.now = end;
    }

    fn keys(&self, side: usize) -> Option<(SocketAddr, Keys)> {
        self.events[side].iter().find_map(|event| match event {
            Event::Connected { remote, keys } => Some((*remote, *keys)),
            _ => None,
        })
    }

    fn assert_connected(&self) {
        let (caller, callee) = (self.keys(CALLER).expect("keys"), self.keys(CALLEE).expect("keys"));
        assert_eq!((caller.0, callee.0), (address(CALLEE), address(CALLER)));
        assert_eq!((caller.1.ours, caller.1.theirs), (callee.1.theirs, callee.1.ours));
    }

    /// From the descriptions to the keys.
    fn took(&self, side: usize) -> Duration {
        let rungs = self.peers[side].rungs();
        rungs.dtls_done.expect("done") - rungs.described.expect("described")
    }
}

fn without_candidates(_: usize, text: String) -> String {
    let lines = text.split_inclusive("\r\n").filter(|line| !line.starts_with("a=candidate"));
    lines.collect::<String>().replace("m=audio 4000", "m=audio 9").replace("m=audio 4001", "m=audio 9")
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn two_peers_come_to_the_same_keys_whoever_begins_dtls() {
    for role in [Role::Client, Role::Server] {
        let mut world = World::new(|_, config| config.role = role);
        world.describe(|_, text| text);
        world.run(SECOND);
        world.assert_connected();
        assert_eq!(world.keys(CALLER).expect("keys").1.ours.suite, Suite::AeadAes256Gcm);
        // One way takes 1 ms: a check and its response, the nomination, and two round trips of DTLS.
        assert!(world.took(CALLER) <= Duration::from_millis(9), "{role:?}: {:?}", world.took(CALLER));
        let rungs = world.peers[CALLER].rungs();
        let order = [rungs.gathered, rungs.described, rungs.first_check, rungs.connected, rungs.dtls_done];
        assert!(order.iter().all(Option::is_some) && order.is_sorted(), "{rungs:?}");
    }
}

#[test]
fn a_lite_side_answers_checks_and_comes_to_keys() {
    for lite in [CALLER, CALLEE] {
        let mut world = World::new(|side, config| config.lite = side == lite);
        world.describe(|_, text| text);
        world.run(SECOND);
        world.assert_connected();
    }
}

#[test]
fn a_side_that_names_no_candidate_is_known_by_its_checks() {
    let mut world = World::new(|_, _| {});
    world.describe(|side, text| if side == CALLER { without_candidates(side, text) } else { text });
    world.run(SECOND);
    world.assert_connected();
}

#[test]
fn candidates_that_come_later_are_checked_where_they_are_of_this_session() {
    for (session, connects) in [("", true), ("another", false)] {
        let mut world = World::new(|_, _| {});
        world.describe(without_candidates);
        world.run(SECOND);
        assert_eq!(world.sent, [0, 0], "neither knows where the other is");
        let theirs = world.peers[CALLER].ours();
        let ufrag = format!("{}{session}", theirs.ufrag);
        let lines = theirs.candidates.iter().map(|candidate| format!("a={candidate}\r\n")).collect::<String>();
        let body = format!(
            "a=ice-ufrag:{ufrag}\r\na=ice-pwd:x\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n{lines}a=end-of-candidates\r\n"
        );
        world.peers[CALLEE].add_candidates(world.now, &Peering::of_fragment(body.as_bytes()));
        world.run(2 * SECOND);
        assert_eq!(world.keys(CALLER).is_some(), connects, "{:?}", world.events);
        if connects {
            world.assert_connected();
        }
    }
}

#[test]
fn lost_packets_of_each_kind_are_repeated() {
    let mut world = World::new(|_, _| {});
    world.loses = |_, number, _| number % 3 == 1;
    world.describe(|_, text| text);
    world.run(10 * SECOND);
    world.assert_connected();
}

#[test]
fn checks_that_nothing_answers_are_blocked_after_ten_seconds() {
    let mut world = World::new(|_, _| {});
    world.loses = |_, _, _| true;
    world.describe(|_, text| text);
    world.run(Duration::from_millis(9_999));
    assert_eq!(world.events, [vec![], vec![]]);
    world.run(10 * SECOND);
    let [Event::Failed(Fault::Blocked { checks })] = world.events[CALLER][..] else { panic!("{:?}", world.events) };
    assert!((3..=9).contains(&checks), "{checks}");
    let sent = world.sent;
    world.run(60 * SECOND);
    assert_eq!(world.sent, sent, "a peer that failed is silent");
}

#[test]
fn a_path_that_works_one_way_only_is_no_pair() {
    let mut world = World::new(|_, _| {});
    world.loses = |side, _, _| side == CALLER;
    world.describe(|_, text| text);
    world.run(11 * SECOND);
    assert!(matches!(world.peers[CALLER].fault(), Some(Fault::NoPair { answered: 0, .. })), "{:?}", world.events);
    assert!(matches!(world.peers[CALLEE].fault(), Some(Fault::Blocked { .. })), "{:?}", world.events);
    assert_eq!(world.peers[CALLER].fault().map(Fault::rung), Some(Rung::Connected));
}

#[test]
fn candidates_behind_names_of_mdns_are_named_and_the_checks_of_their_side_are_enough() {
    let hide = |_: usize, text: String| {
        without_candidates(0, text).replace(
            "a=end-of-candidates",
            "a=candidate:1 1 udp 2113937151 1f2a.local 50000 typ host\r\na=end-of-candidates",
        )
    };
    let mut world = World::new(|_, _| {});
    world.describe(|side, text| if side == CALLER { hide(side, text) } else { text });
    world.run(SECOND);
    world.assert_connected();
    let mut world = World::new(|_, _| {});
    world.describe(hide);
    world.run(11 * SECOND);
    let fault = Fault::NoCandidate { mdns: vec!["1f2a.local".into()] };
    assert_eq!(world.peers[CALLER].fault(), Some(&fault));
    assert_eq!(world.peers[CALLER].hidden(), ["1f2a.local"]);
    let text =
        "the other side gave no address that can be reached (1 hidden behind mDNS names: 1f2a.local) and sent no check";
    assert_eq!(fault.to_string(), text);
}

#[test]
fn a_certificate_must_have_one_of_the_fingerprints() {
    let wrong = "a=fingerprint:sha-256 00:11\r\n";
    let mut world = World::new(|_, _| {});
    world.describe(|_, text| text.replace("a=fingerprint", &format!("{wrong}a=fingerprint")));
    world.run(SECOND);
    world.assert_connected();
    let mut world = World::new(|_, _| {});
    world.describe(|side, text| match side {
        CALLEE => {
            let start = text.find("a=fingerprint").expect("there");
            let end = start + text[start..].find("\r\n").expect("a line") + 2;
            format!("{}{wrong}{}", &text[..start], &text[end..])
        }
        _ => text,
    });
    world.run(SECOND);
    let fault = world.peers[CALLER].fault().expect("it failed");
    assert!(matches!(fault, Fault::Fingerprint { told, .. } if told == "sha-256 00:11"), "{fault}");
    assert_eq!(fault.rung(), Rung::DtlsDone);
    assert_eq!(world.keys(CALLER), None);
}

#[test]
fn dtls_that_never_begins_and_dtls_that_stops_are_told_apart() {
    let mut world = World::new(|_, _| {});
    world.loses = |_, _, bytes| is_dtls(bytes);
    world.describe(|_, text| text);
    world.run(11 * SECOND);
    assert_eq!(world.peers[CALLER].fault(), Some(&Fault::DtlsSilent));
    let mut world = World::new(|_, _| {});
    world.loses = |side, _, bytes| side == CALLER && is_dtls(bytes);
    world.describe(|_, text| text);
    world.run(11 * SECOND);
    assert_eq!(world.peers[CALLER].fault(), Some(&Fault::DtlsTimeout));
    assert_eq!(world.peers[CALLEE].fault(), Some(&Fault::DtlsSilent));
}

#[test]
fn ice_that_begins_anew_keeps_the_keys() {
    let mut world = World::new(|_, _| {});
    world.describe(|_, text| text);
    world.run(SECOND);
    let mut source = KeySource::new([8; 32]);
    for peer in &mut world.peers {
        peer.restart(Credentials::of(&source.next(Suite::AesCm128Sha1_80)));
    }
    let before = world.events.clone();
    world.describe(|_, text| text);
    world.run(20 * SECOND);
    assert_eq!(world.events, before);
    assert_eq!(world.peers[CALLER].fault(), None);
}

#[test]
fn a_connected_peer_only_keeps_its_path_alive() {
    let mut world = World::new(|_, _| {});
    world.describe(|_, text| text);
    world.run(SECOND);
    let before = world.sent;
    world.run(61 * SECOND);
    let sent = world.sent.map(|sent| sent)[CALLER] - before[CALLER];
    // A check every three seconds, and a response to each of the other side's.
    assert!((36..=44).contains(&sent), "{sent}");
}

#[test]
fn a_peer_that_is_closed_says_so_and_is_silent() {
    let mut world = World::new(|_, _| {});
    world.describe(|_, text| text);
    world.run(SECOND);
    let before = world.sent[CALLER];
    world.peers[CALLER].close(world.now);
    world.run(10 * SECOND);
    assert_eq!(world.sent[CALLER], before + 1);
    assert_eq!(world.timeout(CALLER), None);
}

#[test]
fn any_bytes_are_taken_or_passed_over() {
    let mut world = World::new(|_, _| {});
    world.describe(|_, text| text);
    for first in 0..=255_u8 {
        for length in [1_usize, 4, 13, 20, 28, 60] {
            let bytes: Vec<u8> = (0..length).map(|i| if i == 0 { first } else { (i * 37) as u8 }).collect();
            let now = world.now;
            world.peers[CALLER].handle_packet(now, address(CALLEE), &bytes);
        }
    }
    world.run(SECOND);
    world.assert_connected();
}

#[test]
fn a_connected_peer_holds_little_memory() {
    let mut kept = None;
    let held = allocation_counter::measure(|| {
        let mut world = World::new(|_, _| {});
        world.describe(|_, text| text);
        world.run(5 * SECOND);
        world.assert_connected();
        kept = Some(world);
    });
    let each = held.bytes_current / 2;
    println!("{each} bytes a peer, {} allocations for both", held.count_total);
    assert!(each < 64 * 1024, "{each} bytes");
    drop(kept);
}
