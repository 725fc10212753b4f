//! What comes for streams of WebRTC that have no keys yet waits, in the order in which it came: checks of ICE, flights of
//! DTLS and what follows them. Whoever hosts the streams has one after another taken once media that is due has gone out,
//! as long as it has time. The core has no clock to say what a step has cost, so a step is one datagram: the cryptography
//! that a flight asks for cannot be divided further.
//!
//! What a server of TURN passes on over TCP does not wait: bytes of a connection cannot be dropped where too many wait.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use super::{Place, Streams};
use crate::station::{Channel, MediaPacket, PortId};

/// Datagrams for one stream that wait at most: a handshake has a dozen, and a second of audio comes to fifty.
const MOST: u8 = 64;

/// A datagram that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    generation: u32,
    arrived: Instant,
    port: PortId,
    channel: Channel,
    from: SocketAddr,
    bytes: Box<[u8]>,
}

impl<O> Place<O> {
    /// Whether a packet that arrives now has to wait: the stream is on its way to keys, or others that came before wait.
    pub(super) fn has_to_wait(&self) -> bool {
        self.waiting > 0 || self.peer.as_ref().is_some_and(|peer| peer.is_shaking())
    }

    /// Puts a packet off; false where too many wait.
    pub(super) fn keep_waiting(&mut self, queue: &mut VecDeque<Waiting>, packet: MediaPacket<'_>) -> bool {
        let has_room = self.waiting < MOST;
        if has_room {
            let MediaPacket { arrived, port, channel, from, bytes } = packet;
            self.waiting += 1;
            queue.push_back(Waiting { generation: self.generation, arrived, port, channel, from, bytes: bytes.into() });
        }
        has_room
    }
}

impl<O: Copy> Streams<O> {
    /// Takes the datagram that has waited for longest; false where none waits.
    pub fn shake(&mut self, now: Instant) -> bool {
        while let Some(Waiting { generation, arrived, port, channel, from, bytes }) = self.waiting.pop_front() {
            // Others are of a stream that is over.
            if let Some(place) = self.places.get_mut(port.0 as usize).filter(|place| place.generation == generation) {
                place.waiting -= 1;
                self.take(now, MediaPacket { arrived, port, channel, from, bytes: &bytes });
                return true;
            }
        }
        false
    }

    /// Datagrams that wait.
    pub fn put_off(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::media::clock::NtpClock;
    use crate::media::{Codec, Config};
    use crate::sip::sdp::crypto::{KeySource, Policy, Protection, Suite};
    use crate::sip::sdp::peering::Role;
    use crate::sip::sdp::{Local, Sdp};
    use crate::station::streams::described;
    use crate::station::{MediaSockets, Output};
    use crate::webrtc::{self, Credentials, Identity, Remote, is_dtls, is_stun};

    const OURS: usize = 0;
    const THEIRS: usize = 1;
    const TICK: Duration = Duration::from_millis(1);
    const ALL: usize = usize::MAX;

    /// The address of a stream.
    fn address(side: usize, port: PortId) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::new(10, 0, 0, side as u8), 4000 + port.0 as u16))
    }

    /// A datagram for a stream, and the stream of the other side that it is from.
    type Packet = (PortId, Vec<u8>);

    /// Streams of WebRTC of two sides, each with the one of its number there.
    struct World {
        now: Instant,
        sides: [Streams<u32>; 2],
        /// What is on its way to each side.
        wire: [Vec<Packet>; 2],
        /// What our side has sent, by stream.
        sent: Vec<Packet>,
    }

    impl World {
        #[expect(
            clippy::disallowed_methods,
            reason = "an Instant to start from; the test never looks at the clock again"
        )]
        fn new(streams: u32, ours: Role) -> Self {
            let now = Instant::now();
            let key = rcgen::KeyPair::generate().expect("a key");
            let certificate = rcgen::CertificateParams::default().self_signed(&key).expect("a certificate");
            let identity = Identity::new(certificate.der().to_vec(), key.serialize_der()).expect("DTLS works here");
            let identity = Some(Arc::new(identity));
            let sides = [1, 2].map(|seed| Streams::new(seed, 0, identity.clone(), now));
            let mut world = Self { now, sides, wire: [Vec::new(), Vec::new()], sent: Vec::new() };
            let mut source = KeySource::new([7; 32]);
            for _ in 0..streams {
                let descriptions = [OURS, THEIRS].map(|side| {
                    let port = world.open(side);
                    let credentials = Credentials::of(&source.next(Suite::AesCm128Sha1_80));
                    let config = webrtc::Config::new(address(side, port), side == THEIRS, credentials);
                    world.sides[side].prepare(now, port, || (config, Vec::new()));
                    world.describe(side, port)
                });
                let theirs = if ours == Role::Client { Role::Server } else { Role::Client };
                for (side, role) in [(OURS, ours), (THEIRS, theirs)] {
                    let sdp = Sdp::parse(&descriptions[1 - side]).expect("valid");
                    let remote = Remote::of(&sdp.media[0], role).expect("ICE");
                    let port = PortId(world.sides[side].places.len() as u32 - 1);
                    world.sides[side].set_remote(now, port, &remote);
                }
            }
            world
        }

        fn open(&mut self, side: usize) -> PortId {
            let local = address(side, PortId(0)).ip();
            self.sides[side].open(0, MediaSockets { range: None, local, shared: false })
        }

        fn describe(&self, side: usize, port: PortId) -> Vec<u8> {
            let mut text = Vec::new();
            let peering = self.sides[side].peering(port);
            let protection = Protection { policy: Policy::Dtls, keys: &[], peering };
            let codecs = [described(Codec::Pcma, Default::default())];
            Local { protection, ..Local::new(address(side, port), &codecs, 1) }.write_offer(&mut text);
            text
        }

        fn media(&self, dtls: bool) -> Config {
            let nowhere = SocketAddr::from(([10, 9, 9, 9], 9));
            Config {
                dtls,
                rtcp_mux: true,
                ..Config::new(Codec::Pcma, nowhere, nowhere, NtpClock::from_unix(self.now, Duration::ZERO))
            }
        }

        fn drain(&mut self, side: usize) {
            let mut buffer = Vec::new();
            while let Some(output) = self.sides[side].poll_output::<()>(&mut buffer) {
                if let Output::Media { port, .. } = output {
                    if side == OURS {
                        self.sent.push((port, buffer.clone()));
                    }
                    self.wire[1 - side].push((port, std::mem::take(&mut buffer)));
                }
                buffer.clear();
            }
        }

        fn deliver(&mut self, side: usize, packets: Vec<Packet>) {
            for (port, bytes) in packets {
                let (arrived, from) = (self.now, address(1 - side, port));
                self.sides[side].handle_packet(MediaPacket {
                    arrived,
                    port,
                    channel: Channel::Rtp,
                    from,
                    bytes: &bytes,
                });
            }
            self.drain(side);
        }

        /// What is due, and then as many steps as there is time for.
        fn act(&mut self, side: usize, steps: usize) {
            self.sides[side].handle_timeout(self.now);
            self.drain(side);
            for _ in 0..steps {
                if !self.sides[side].shake(self.now) {
                    break;
                }
                self.drain(side);
            }
        }

        /// A turn of both sides, our own with so many steps.
        fn turn(&mut self, steps: usize) {
            self.now += TICK;
            for (side, steps) in [(OURS, steps), (THEIRS, ALL)] {
                let arrived = std::mem::take(&mut self.wire[side]);
                self.deliver(side, arrived);
                self.act(side, steps);
            }
        }

        /// Turns, in which what comes to us and is not STUN is held back, until there is so much of it.
        fn hold(&mut self, count: usize) -> Vec<Packet> {
            let mut held = Vec::new();
            for _ in 0..100 {
                self.turn(ALL);
                held.extend(self.wire[OURS].extract_if(.., |(_, bytes)| !is_stun(bytes)));
                if held.len() >= count {
                    return held;
                }
            }
            panic!("{} of {count} came", held.len());
        }

        fn keyed(&self) -> usize {
            let peers = self.sides[OURS].places.iter().filter_map(|place| place.peer.as_ref());
            peers.filter(|peer| peer.secured().is_some()).count()
        }
    }

    /// Streams in the order in which they sent DTLS.
    fn shaken(sent: &[Packet]) -> Vec<u32> {
        let mut ports: Vec<u32> = sent.iter().filter(|(_, bytes)| is_dtls(bytes)).map(|(port, _)| port.0).collect();
        ports.dedup();
        ports
    }

    #[test]
    fn twenty_handshakes_that_arrive_at_once_are_spread_over_turns_and_media_that_is_due_goes_first() {
        let mut world = World::new(20, Role::Server);
        // A call that has been going on.
        let established = world.open(OURS);
        let media = world.media(false);
        world.sides[OURS].run(world.now, established, media);
        let hellos = world.hold(20);
        let order: Vec<u32> = hellos.iter().map(|(port, _)| port.0).collect();
        world.sent.clear();
        world.now += TICK;
        world.deliver(OURS, hellos);
        assert_eq!((world.sides[OURS].put_off(), world.sent.len()), (20, 0), "nothing is done when they come");
        // One step in each turn: the answers come one after another, as the flights did.
        let (mut turns, mut due) = (0, 0);
        while world.sides[OURS].put_off() > 0 {
            let (before, from) = (world.sides[OURS].put_off(), world.sent.len());
            world.act(OURS, 1);
            assert_eq!(world.sides[OURS].put_off(), before - 1);
            let sent = &world.sent[from..];
            let is_rtp = |(port, _): &Packet| *port == established;
            if let Some(at) = sent.iter().position(is_rtp) {
                due += 1;
                assert!(!sent[..at].iter().any(|(_, bytes)| is_dtls(bytes)), "media goes first");
            }
            assert_eq!(shaken(sent), [order[turns]]);
            turns += 1;
            world.now += TICK;
        }
        assert_eq!((turns, due), (20, 1));
        assert_eq!(world.keyed(), 0);
        while world.keyed() < 20 {
            world.turn(1);
            turns += 1;
            assert!(turns < 1000, "{} have keys", world.keyed());
        }
        assert_eq!(world.sides[OURS].stray, 0, "none was lost");
    }

    #[test]
    fn media_that_comes_right_behind_the_last_flight_waits_for_the_keys_and_is_heard() {
        let mut world = World::new(1, Role::Client);
        let port = PortId(0);
        for side in [OURS, THEIRS] {
            let media = world.media(true);
            world.sides[side].run(world.now, port, media);
        }
        // The flight of the server.
        let flight = world.hold(1);
        world.deliver(OURS, flight);
        world.act(OURS, ALL);
        let rest = world.hold(5);
        assert_eq!(world.keyed(), 0);
        assert!(rest.iter().rev().take(2).all(|(_, bytes)| !is_dtls(bytes)), "it speaks");
        let media = rest.iter().filter(|(_, bytes)| !is_dtls(bytes)).count() as u64;
        world.deliver(OURS, rest);
        world.act(OURS, ALL);
        assert_eq!(world.keyed(), 1);
        let report = world.sides[OURS].finish(world.now, port).expect("it ran");
        assert_eq!((report.rx_packets + report.rtcp_received, report.strays.early), (media, 0));
    }

    #[test]
    fn a_flight_that_came_in_time_and_waits_does_not_meet_a_handshake_that_has_timed_out() {
        let mut world = World::new(1, Role::Server);
        let hello = world.hold(1);
        world.deliver(OURS, hello);
        world.act(OURS, ALL);
        let last = world.hold(1);
        world.deliver(OURS, last);
        assert_eq!(world.keyed(), 0);
        // The worker stands still for longer than a handshake may take.
        world.now += Duration::from_secs(11);
        world.act(OURS, ALL);
        assert_eq!(world.keyed(), 1);
    }

    #[test]
    fn what_waits_for_a_stream_is_bounded_and_goes_with_it() {
        let mut world = World::new(1, Role::Server);
        let flood = vec![(PortId(0), vec![22; 100]); 100];
        world.deliver(OURS, flood);
        assert_eq!((world.sides[OURS].put_off(), world.sides[OURS].stray), (64, 36));
        world.sides[OURS].finish(world.now, PortId(0));
        let next = world.open(OURS);
        assert_eq!(next, PortId(0), "the place is another stream's");
        assert!(!world.sides[OURS].shake(world.now));
        assert_eq!(world.sides[OURS].put_off(), 0);
    }
}
