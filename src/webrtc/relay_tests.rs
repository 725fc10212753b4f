//! A peer that goes by a relay, another one, and the servers between them, in virtual time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::server::fake::Fake;
use super::tests::{PCMA, pair};
use super::*;
use crate::sip::sdp::crypto::{KeySource, Policy, Protection, Suite};
use crate::sip::sdp::{Local, Order, Sdp};
use crate::units::Secret;

const NAME: &str = "turn:192.0.2.1:3478";

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn turn(password: &str) -> Server {
    let login = Login { username: "agent".into(), password: Secret::new(password) };
    Server { name: NAME.into(), address: at("192.0.2.1:3478"), reliable: false, login: Some(login) }
}

/// The caller at 10.0.0.7, the callee at 198.51.100.9, the server at 192.0.2.1.
struct World {
    start: Instant,
    now: Instant,
    peers: [Peer; 2],
    fake: Fake,
    wire: Vec<(Instant, SocketAddr, SocketAddr, Vec<u8>)>,
    /// No datagram passes straight between the peers.
    walled: bool,
    deaf: bool,
    addresses: [SocketAddr; 2],
    events: [Vec<Event>; 2],
}

impl World {
    #[expect(clippy::disallowed_methods, reason = "an Instant to start from; the test never looks at the clock again")]
    fn new(change: impl Fn(usize, &mut Config)) -> Self {
        let now = Instant::now();
        let addresses = [at("10.0.0.7:4000"), at("198.51.100.9:5000")];
        let peers = pair(addresses, now, change);
        let fake = Fake::new(at("192.0.2.1:3478"));
        let (wire, events) = (Vec::new(), [Vec::new(), Vec::new()]);
        Self { start: now, now, peers, fake, wire, walled: false, deaf: false, addresses, events }
    }

    fn address(&self, side: usize) -> SocketAddr {
        self.addresses[side]
    }

    fn send(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        self.wire.push((self.now + Duration::from_millis(5), from, to, bytes));
    }

    fn drain(&mut self) {
        let mut buf = Vec::new();
        for side in [0, 1] {
            loop {
                match self.peers[side].poll_output(&mut buf) {
                    Output::Event(event) => self.events[side].push(event),
                    Output::Transmit(Via::Datagram(to)) => self.send(self.address(side), to, buf.clone()),
                    Output::Transmit(Via::Connection(_)) => panic!("no server has a connection"),
                    Output::Timeout(_) => break,
                }
            }
        }
    }

    fn deliver(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let peers = self.addresses;
        match peers.iter().position(|peer| *peer == to) {
            Some(_) if self.walled && peers.contains(&from) => {}
            Some(side) => {
                let _ = self.peers[side].handle_packet(self.now, from, bytes);
            }
            None if self.deaf => {}
            None => {
                for (from, to, bytes) in self.fake.handle(from, to, bytes) {
                    self.send(from, to, bytes);
                }
            }
        }
    }

    fn run(&mut self, length: Duration) {
        let end = self.now + length;
        self.drain();
        loop {
            let arrival = self.wire.iter().map(|packet| packet.0).min();
            let mut timeout = |side: usize| match self.peers[side].poll_output(&mut Vec::new()) {
                Output::Timeout(at) => at,
                other => panic!("drained before: {other:?}"),
            };
            let next = [timeout(0), timeout(1), arrival].into_iter().flatten().min().filter(|next| *next <= end);
            let Some(next) = next else { break };
            self.now = self.now.max(next);
            match self.wire.iter().position(|packet| packet.0 <= self.now) {
                Some(index) => {
                    let (_, from, to, bytes) = self.wire.remove(index);
                    self.deliver(from, to, &bytes);
                }
                None => self.peers.iter_mut().for_each(|peer| peer.handle_timeout(self.now)),
            }
            self.drain();
        }
        self.now = end;
    }

    fn describe(&mut self) {
        let (mut offer, mut answer) = (Vec::new(), Vec::new());
        let local = |peer: &Peer, side: usize, out: &mut Vec<u8>, offer: Option<&Sdp<'_>>| {
            let protection = Protection { policy: Policy::Dtls, keys: &[], peering: Some(peer.ours()) };
            let address = peer.default_address().unwrap_or_else(|| self.address(side));
            let local = Local { protection, ..Local::new(address, &[PCMA], 1) };
            match offer {
                None => {
                    local.write_offer(out);
                    None
                }
                Some(offer) => Some(local.answer(offer, Order::Theirs, out).expect("acceptable")),
            }
        };
        local(&self.peers[0], 0, &mut offer, None);
        let offer = Sdp::parse(&offer).expect("valid");
        let taken = local(&self.peers[1], 1, &mut answer, Some(&offer)).expect("answered");
        let answer = Sdp::parse(&answer).expect("valid");
        let remote = |sdp: &Sdp<'_>, role| Remote::of(&sdp.media[0], role).expect("ICE");
        self.peers[1].set_remote(self.now, &remote(&offer, taken.dtls.expect("DTLS")));
        let protection = Protection { policy: Policy::Dtls, keys: &[], peering: Some(self.peers[0].ours()) };
        let agreed =
            Local { protection, ..Local::new(self.address(0), &[PCMA], 1) }.negotiated(&answer).expect("usable");
        self.peers[0].set_remote(self.now, &remote(&answer, agreed.dtls.expect("DTLS")));
    }

    fn kinds(&self, side: usize) -> Vec<&str> {
        let kind = |text: &'_ String| -> &str {
            let kind = text.split(' ').nth(7).expect("a candidate");
            ["host", "srflx", "relay"].into_iter().find(|known| *known == kind).expect("a kind")
        };
        self.peers[side].ours().candidates.iter().map(kind).collect()
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_peer_that_trickles_tells_each_candidate_when_it_comes_and_goes_by_a_relay_that_came_late() {
    let stun = Server { name: "stun:192.0.2.2".into(), address: at("192.0.2.2:3478"), login: None, ..turn("secret") };
    let mut world = World::new(|side, config| {
        if side == 0 {
            (config.servers, config.trickle) = (vec![turn("secret"), stun.clone()], true);
        }
    });
    world.walled = true;
    // Nothing waits for the servers; the callee hears of the relay from its checks.
    assert_eq!((world.kinds(0), world.peers[0].ours().complete), (vec!["host"], false));
    world.describe();
    world.run(SECOND);
    assert_eq!(world.events[0].first(), Some(&Event::Candidates), "{:?}", world.events[0]);
    assert_eq!((world.kinds(0), world.peers[0].ours().complete), (vec!["host", "srflx", "relay"], false));
    assert_eq!(world.peers[0].rungs().gathered, None, "the other server has yet to answer");
    world.run(SECOND * 4);
    assert!(world.events[0].contains(&Event::Gathered) && world.peers[0].ours().complete);
    assert_eq!(world.peers[0].rungs().gathered, Some(world.start + SECOND * 3));
    assert_eq!(world.peers[0].relays(), Some((true, false)));
}

#[test]
fn a_peer_with_servers_describes_itself_once_they_have_answered() {
    let stun = Server { name: "stun:192.0.2.1".into(), login: None, ..turn("secret") };
    let mut world = World::new(|side, config| {
        if side == 0 {
            config.servers = vec![stun.clone(), turn("secret")];
        }
    });
    assert!(world.peers[0].is_gathering() && !world.peers[1].is_gathering());
    world.run(Duration::from_millis(15));
    assert!(world.peers[0].is_gathering(), "the relay asks for credentials first");
    world.run(Duration::from_millis(5));
    assert_eq!(world.events[0], [Event::Gathered]);
    let rungs = world.peers[0].rungs();
    assert_eq!(rungs.gathered, Some(world.start + Duration::from_millis(20)));
    let mut kinds = world.kinds(0);
    kinds.sort_unstable();
    assert_eq!(kinds, ["host", "relay", "srflx"], "STUN sees no other address, TURN does");
    assert_eq!(world.peers[0].default_address(), None);
}

#[test]
fn a_relay_carries_ice_dtls_and_audio_where_nothing_passes_straight() {
    for relay_only in [false, true] {
        let mut world = World::new(|side, config| {
            if side == 0 {
                config.servers = vec![turn("secret")];
                config.relay_only = relay_only;
            }
        });
        world.walled = true;
        world.run(SECOND);
        let relayed = at("192.0.2.1:50000");
        if relay_only {
            assert_eq!((world.kinds(0), world.peers[0].default_address()), (vec!["relay"], Some(relayed)));
        }
        world.describe();
        world.run(5 * SECOND);
        let keys = [0, 1].map(|side| world.peers[side].secured().expect("keys"));
        assert_eq!((keys[0].0, keys[1].0), (world.address(1), relayed));
        assert!(keys[0].1.ours == keys[1].1.theirs && keys[0].1.theirs == keys[1].1.ours);
        assert_eq!((world.peers[0].relays(), world.peers[1].relays()), (Some((true, false)), Some((false, true))));
        // Audio by a channel, both ways.
        let (packet, mut out) = ([0x80; 172], Vec::new());
        let via = world.peers[0].carry(world.address(1), &packet, &mut out);
        assert_eq!((via, out.len()), (Via::Datagram(at("192.0.2.1:3478")), 176));
        let (from, to, bytes) = world.fake.handle(world.address(0), at("192.0.2.1:3478"), &out).remove(0);
        assert_eq!((from, to), (relayed, world.address(1)));
        assert_eq!(world.peers[1].handle_packet(world.now, from, &bytes), Handled::Media(relayed, &packet));
        let (from, _, bytes) = world.fake.handle(world.address(1), relayed, &packet).remove(0);
        assert_eq!(world.peers[0].handle_packet(world.now, from, &bytes), Handled::Media(world.address(1), &packet));
        // What says so is lost at first, and a packet of audio is too late.
        world.deaf = true;
        world.peers[0].close(world.now);
        assert_eq!(world.peers[0].handle_packet(world.now, world.address(1), &packet), Handled::Stray);
        world.run(Duration::from_millis(700));
        assert!(!world.peers[0].is_released());
        world.deaf = false;
        world.run(SECOND);
        assert_eq!(world.fake.allocations.len(), 0, "given back");
        assert!(world.peers[0].is_released());
        assert_eq!(world.peers[0].poll_output(&mut Vec::new()), Output::Timeout(None));
    }
}

#[test]
fn a_peer_that_changes_its_network_asks_its_servers_from_there_and_goes_on_by_a_relay() {
    let mut world = World::new(|side, config| {
        if side == 0 {
            config.servers = vec![turn("secret")];
            config.relay_only = true;
        }
    });
    world.walled = true;
    world.run(SECOND);
    world.describe();
    world.run(5 * SECOND);
    let keys = world.peers[0].secured().expect("keys").1;
    let gathered = world.peers[0].rungs().gathered;
    world.events = [Vec::new(), Vec::new()];

    world.addresses[0] = at("10.0.1.8:4100");
    let mut source = KeySource::new([9; 32]);
    let mut credentials = || Credentials::of(&source.next(Suite::AesCm128Sha1_80));
    let (local, servers) = (world.addresses[0], vec![turn("secret")]);
    let there = Relocation { local, public: None, credentials: credentials(), servers };
    world.peers[0].relocate(world.now, there, 99);
    assert!(world.peers[0].is_gathering());
    world.run(Duration::from_millis(100));
    assert_eq!(world.events[0], [Event::Gathered]);
    let relayed = at("192.0.2.1:50001");
    assert_eq!((world.kinds(0), world.peers[0].default_address()), (vec!["relay"], Some(relayed)));

    world.peers[1].restart(credentials());
    world.describe();
    world.run(5 * SECOND);
    assert_eq!(world.events[0], [Event::Gathered, Event::Moved(world.address(1))]);
    assert_eq!(world.events[1], [Event::Moved(relayed)]);
    assert!(world.peers[0].secured() == Some((world.address(1), keys)), "the keys stay");
    assert_eq!((world.peers[0].relays(), world.peers[0].rungs().gathered), (Some((true, false)), gathered));
}

#[test]
fn the_straight_way_is_taken_where_there_is_one() {
    let mut world = World::new(|side, config| {
        if side == 0 {
            config.servers = vec![turn("secret")];
        }
    });
    world.run(SECOND);
    world.describe();
    world.run(5 * SECOND);
    assert_eq!((world.peers[0].relays(), world.peers[1].relays()), (Some((false, false)), Some((false, false))));
    assert_eq!(world.peers[0].server_faults(), None);
}

#[test]
fn two_relays_speak_with_each_other() {
    let mut world = World::new(|_, config| {
        config.servers = vec![turn("secret")];
        config.relay_only = true;
    });
    world.run(SECOND);
    world.describe();
    world.run(8 * SECOND);
    assert_eq!(world.peers[0].relays(), Some((true, true)), "{:?}", world.events);
    assert!(world.peers[0].secured().is_some() && world.peers[1].secured().is_some());
}

#[test]
fn without_a_relay_that_is_needed_the_peer_fails_at_once_and_says_why() {
    let mut world = World::new(|side, config| {
        if side == 0 {
            config.servers = vec![turn("wrong")];
            config.relay_only = true;
        }
    });
    world.run(SECOND);
    let servers = format!("{NAME} refused: 401 Unauthorized, user name or password is wrong");
    let fault = Fault::NoRelay { servers: servers.clone() };
    assert_eq!(world.events[0], [Event::Failed(fault.clone())]);
    assert_eq!(fault.to_string(), format!("media may go by a relay only, and there is none: {servers}"));
    assert_eq!((fault.rung(), world.peers[0].rungs().gathered), (Rung::Gathered, None));
}

#[test]
fn a_silent_server_costs_its_time_and_is_named_and_the_call_goes_on_without_it() {
    let mut world = World::new(|side, config| {
        if side == 0 {
            config.servers = vec![turn("secret")];
            config.gather_within = 2 * SECOND;
        }
    });
    world.deaf = true;
    world.run(Duration::from_millis(1_999));
    assert!(world.peers[0].is_gathering());
    world.run(Duration::from_millis(1));
    assert_eq!(world.events[0], [Event::Gathered]);
    assert_eq!(world.peers[0].server_faults(), Some(format!("{NAME} did not answer")));
    assert_eq!(world.kinds(0), ["host"]);
    world.describe();
    world.run(5 * SECOND);
    assert!(world.peers[0].secured().is_some());
}
