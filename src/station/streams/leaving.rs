//! Streams that are over and whose servers have not taken their relayed addresses back: the sockets stay open for that.

use std::time::Instant;

use super::{Pending, Streams};
use crate::station::{FAREWELL, MediaPacket, PortId};

impl<O: Copy> Streams<O> {
    /// The place of a stream that is over goes, as soon as its peer has nothing more to say.
    pub(super) fn leave(&mut self, port: PortId) {
        let place = &mut self.places[port.0 as usize];
        if place.peer.as_ref().is_none_or(|peer| peer.is_released()) {
            return self.vacate(port);
        }
        place.leaving = true;
        self.leaving += 1;
        // A timer of the session's may have been the earlier one, or have gone off while nothing was let through.
        self.drain(port);
    }

    /// What comes for a stream that is over: only what its servers say counts.
    pub(super) fn hear_leaving(&mut self, packet: MediaPacket<'_>) {
        let MediaPacket { arrived, port, from, bytes, .. } = packet;
        if let Some(peer) = &mut self.places[port.0 as usize].peer {
            let _ = peer.handle_packet(arrived, from, bytes);
        }
        self.drain(port);
    }

    /// Whether a stream that is over has nothing more to say.
    pub(super) fn has_left(&self, port: PortId) -> bool {
        let place = self.places.get(port.0 as usize).filter(|place| place.leaving);
        place.and_then(|place| place.peer.as_ref()).is_some_and(|peer| peer.is_released())
    }

    /// Closes the sockets of a stream that is over; its place is free.
    pub(super) fn vacate(&mut self, port: PortId) {
        let place = &mut self.places[port.0 as usize];
        self.leaving -= usize::from(place.leaving);
        (place.peer, place.armed, place.leaving, place.waiting) = (None, None, false, 0);
        place.generation += 1;
        self.free.push(port.0);
        self.out.push_back(Pending::Close(port));
    }

    /// When a station that has done all else is to come back for what its streams still say to servers: for as long as
    /// [`FAREWELL`] from the first time that it asks, and then they are left behind. `None` where it need not wait; it may have to
    /// close sockets then.
    pub fn farewell(&mut self, now: Instant) -> Option<Instant> {
        if self.leaving == 0 {
            return None;
        }
        let until = *self.leave_by.get_or_insert(now + FAREWELL);
        if now < until {
            return self.timers.next_deadline().into_iter().chain([until]).min();
        }
        for index in 0..self.places.len() {
            if self.places[index].leaving {
                self.vacate(PortId(index as u32));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::sip::sdp::crypto::{KeySource, Suite};
    use crate::station::{Channel, MediaSockets, Output};
    use crate::units::Secret;
    use crate::webrtc::{Config, Credentials, FakeServer, Identity, Login, Server};

    const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 3478);
    const OURS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7)), 4000);
    const SOCKETS: MediaSockets = MediaSockets { range: None, local: OURS.ip(), shared: false };

    /// One stream with an allocation, and its server.
    struct World {
        now: Instant,
        streams: Streams<u8>,
        port: PortId,
        server: FakeServer,
        closed: Vec<PortId>,
    }

    impl World {
        #[expect(
            clippy::disallowed_methods,
            reason = "an Instant to start from; the test never looks at the clock again"
        )]
        fn new() -> Self {
            let now = Instant::now();
            let key = rcgen::KeyPair::generate().expect("a key");
            let certificate = rcgen::CertificateParams::default().self_signed(&key).expect("a certificate");
            let identity = Identity::new(certificate.der().to_vec(), key.serialize_der()).expect("DTLS works here");
            let mut streams = Streams::new(1, 0, Some(Arc::new(identity)), now);
            let port = streams.open(7, SOCKETS);
            let credentials = Credentials::of(&KeySource::new([7; 32]).next(Suite::AesCm128Sha1_80));
            let login = Some(Login { username: "agent".into(), password: Secret::new("secret") });
            let server = Server { name: "turn".into(), address: SERVER, reliable: false, login };
            let config = Config { servers: vec![server], ..Config::new(OURS, true, credentials) };
            streams.prepare(now, port, || (config, Vec::new()));
            let mut world = Self { now, streams, port, server: FakeServer::new(SERVER), closed: Vec::new() };
            world.exchange(true);
            assert_eq!(world.server.allocations.len(), 1);
            world
        }

        /// Everything that is to be sent is, and comes back where the server is there.
        fn exchange(&mut self, hears: bool) -> usize {
            let (mut sent, mut buffer) = (0, Vec::new());
            while let Some(output) = self.streams.poll_output::<()>(&mut buffer) {
                match output {
                    Output::Media { to, .. } if to == SERVER => {
                        sent += 1;
                        let answers = if hears { self.server.handle(OURS, SERVER, &buffer) } else { Vec::new() };
                        for (from, _, bytes) in answers {
                            let (arrived, port, channel) = (self.now, self.port, Channel::Rtp);
                            self.streams.handle_packet(MediaPacket { arrived, port, channel, from, bytes: &bytes });
                            while self.streams.shake(self.now) {}
                        }
                    }
                    Output::ClosePort(port) => self.closed.push(port),
                    _ => {}
                }
                buffer.clear();
            }
            sent
        }
    }

    #[test]
    fn sockets_stay_open_until_the_server_has_taken_its_address_back() {
        let mut world = World::new();
        let counted = world.streams.counts();
        assert!(world.streams.finish(world.now, world.port).is_none(), "it never ran");
        assert_eq!((world.streams.owner(world.port), world.streams.counts()), (None, counted));
        assert_eq!(world.exchange(false), 1, "it says so");
        assert_eq!(world.streams.open(8, SOCKETS), PortId(1), "its place is not free");
        // The far end goes on for a moment: that is no stray.
        let (arrived, port, channel) = (world.now, world.port, Channel::Rtp);
        world.streams.handle_packet(MediaPacket { arrived, port, channel, from: OURS, bytes: &[0x80; 172] });
        assert_eq!(world.streams.stray, 0);
        world.now += Duration::from_millis(250);
        assert!(world.streams.deadline().is_some_and(|at| at <= world.now));
        world.streams.handle_timeout(world.now);
        assert_eq!((world.exchange(true), world.server.allocations.len()), (1, 0), "and again, until it is answered");
        assert_eq!(world.closed, [world.port]);
        assert_eq!(world.streams.farewell(world.now), None);
        assert_eq!(world.streams.open(9, SOCKETS), world.port);
    }

    #[test]
    fn a_server_that_never_answers_keeps_a_station_for_half_a_second_at_its_end() {
        let mut world = World::new();
        world.streams.finish(world.now, world.port);
        let end = world.now + FAREWELL;
        let mut sent = world.exchange(false);
        while let Some(at) = world.streams.farewell(world.now) {
            assert!(at <= end && at > world.now);
            world.now = at;
            world.streams.handle_timeout(at);
            sent += world.exchange(false);
        }
        assert_eq!((world.now, sent), (end, 2));
        world.exchange(false);
        assert_eq!(world.closed, [world.port]);
    }
}
