//! Calls of one pair of sockets, datagram by datagram.

use super::*;
use crate::media::rtcp;
use crate::media::rtp::Header;

const ONE: PortId = PortId(1);
const TWO: PortId = PortId(2);
const THREE: PortId = PortId(3);

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 9], port))
}

/// RTP at this port and RTCP above it.
fn remote(port: u16, ssrc: Option<u32>) -> RemoteMedia {
    RemoteMedia { rtp: at(port), rtcp: at(port + 1), ssrc }
}

fn rtp(ssrc: u32, sequence: u16) -> Vec<u8> {
    let mut packet = Vec::new();
    Header { marker: false, payload_type: 8, sequence, timestamp: 0, ssrc }.write(&mut packet);
    packet.resize(172, 0xD5);
    packet
}

fn report(ssrc: u32) -> Vec<u8> {
    let mut packet = Vec::new();
    rtcp::receiver_report(&mut packet, ssrc, &[]);
    packet
}

/// A demultiplexer, and its time.
struct World {
    demux: Demux,
    now: Instant,
}

impl World {
    #[expect(clippy::disallowed_methods, reason = "any instant will do as the origin of virtual time")]
    fn new() -> Self {
        Self { demux: Demux::default(), now: Instant::now() }
    }

    fn expect(&mut self, port: PortId, remote: RemoteMedia) -> Vec<PortId> {
        self.demux.expect(self.now, port, remote).to_vec()
    }

    fn forget(&mut self, port: PortId) {
        self.demux.forget(self.now, port);
    }

    fn rtp(&mut self, from: u16, ssrc: u32, sequence: u16) -> Option<PortId> {
        self.demux.find(self.now, Channel::Rtp, at(from), &rtp(ssrc, sequence))
    }

    fn rtcp(&mut self, channel: Channel, from: u16, ssrc: u32) -> Option<PortId> {
        self.demux.find(self.now, channel, at(from), &report(ssrc))
    }

    fn pass(&mut self, milliseconds: u64) {
        self.now += Duration::from_millis(milliseconds);
    }

    fn counted(&self) -> (u64, u64) {
        let Unattributed { unknown, late } = self.demux.unattributed();
        (unknown, late)
    }
}

#[test]
fn calls_are_told_apart_by_the_addresses_that_sdp_gave() {
    let mut world = World::new();
    assert_eq!((world.expect(ONE, remote(4000, None)), world.expect(TWO, remote(4002, None))), (vec![], vec![]));
    for sequence in 0..3 {
        assert_eq!((world.rtp(4000, 7, sequence), world.rtp(4002, 8, sequence)), (Some(ONE), Some(TWO)));
    }
    let of_their_own = (world.rtcp(Channel::Rtcp, 4001, 7), world.rtcp(Channel::Rtcp, 4003, 8));
    assert_eq!(of_their_own, (Some(ONE), Some(TWO)));
    let muxed = (world.rtcp(Channel::Rtp, 4000, 7), world.rtcp(Channel::Rtp, 4002, 8));
    assert_eq!(muxed, (Some(ONE), Some(TWO)));
    // Another source from there, as after a transfer, is its as well; and so is what is no RTP.
    assert_eq!(world.rtp(4000, 99, 5), Some(ONE));
    assert_eq!(world.demux.find(world.now, Channel::Rtp, at(4002), b"x"), Some(TWO));
    assert_eq!(world.counted(), (0, 0));
}

#[test]
fn what_comes_from_elsewhere_is_counted_and_nobodys() {
    let mut world = World::new();
    world.expect(ONE, remote(4000, None));
    assert_eq!((world.rtp(5000, 7, 1), world.rtcp(Channel::Rtcp, 5001, 7)), (None, None));
    assert_eq!(world.demux.find(world.now, Channel::Rtp, at(5000), &[]), None);
    assert_eq!(world.counted(), (3, 0));
}

#[test]
fn a_source_that_was_heard_is_followed_to_another_address() {
    let mut world = World::new();
    world.expect(ONE, remote(4000, None));
    world.expect(TWO, remote(4002, None));
    assert_eq!(world.rtp(4000, 7, 1), Some(ONE));
    assert_eq!((world.rtp(6000, 7, 2), world.rtcp(Channel::Rtcp, 6001, 7)), (Some(ONE), Some(ONE)));
    // Both have the source: nobody can tell.
    assert_eq!(world.rtp(4002, 7, 1), Some(TWO));
    assert_eq!((world.rtp(6002, 7, 3), world.rtp(6000, 7, 3)), (None, Some(ONE)));
    assert_eq!(world.counted(), (1, 0));
}

#[test]
fn a_source_that_was_named_is_known_wherever_it_comes_from() {
    let mut world = World::new();
    world.expect(ONE, remote(4000, Some(7)));
    assert_eq!(world.rtp(6000, 7, 1), Some(ONE));
}

#[test]
fn calls_at_one_address_are_told_apart_by_the_sources_that_they_name() {
    let mut world = World::new();
    assert_eq!(world.expect(ONE, remote(4000, Some(7))), []);
    assert_eq!(world.expect(TWO, remote(4000, Some(8))), []);
    assert_eq!(world.expect(THREE, remote(4000, None)), []);
    assert_eq!((world.rtp(4000, 7, 1), world.rtp(4000, 8, 1)), (Some(ONE), Some(TWO)));
    assert_eq!(world.rtcp(Channel::Rtcp, 4001, 8), Some(TWO));
    assert_eq!(world.rtp(4000, 9, 1), Some(THREE), "the only one that named none");
    assert_eq!(world.expect(PortId(4), remote(4000, Some(8))), [TWO, PortId(4)], "named twice");
}

#[test]
fn calls_at_one_address_without_named_sources_are_both_told_and_nothing_is_guessed() {
    let mut world = World::new();
    world.expect(ONE, remote(4000, None));
    assert_eq!(world.rtp(4000, 7, 1), Some(ONE));
    assert_eq!(world.expect(TWO, remote(4000, None)), [ONE, TWO]);
    assert_eq!((world.rtp(4000, 7, 2), world.rtp(4000, 8, 1)), (Some(ONE), None));
    world.forget(ONE);
    world.forget(TWO);
    // What is on its way must not count for the next one.
    assert_eq!(world.expect(THREE, remote(4000, None)), [THREE]);
    assert_eq!(world.rtp(4000, 8, 2), None);
    world.forget(THREE);
    world.pass(2000);
    assert_eq!(world.expect(THREE, remote(4000, None)), []);
    assert_eq!(world.rtp(4000, 9, 1), Some(THREE));
    assert_eq!(world.counted(), (2, 0));
    world.forget(THREE);
    world.pass(2000);
    world.demux.forget_late(world.now);
    assert!(world.demux.told.iter().all(FxHashMap::is_empty) && world.demux.contested.is_empty());
}

#[test]
fn packets_of_a_call_that_is_over_do_not_count_for_the_next_one_at_its_address() {
    let mut world = World::new();
    world.expect(ONE, remote(4000, None));
    assert_eq!(world.rtp(4000, 7, 65_530), Some(ONE));
    world.forget(ONE);
    assert_eq!((world.rtp(4000, 7, 65_531), world.rtcp(Channel::Rtcp, 4001, 7)), (None, None));
    // Places of a station are given again.
    assert_eq!(world.expect(ONE, remote(4000, None)), []);
    assert_eq!(
        (world.rtp(4000, 7, 3), world.rtp(4000, 7, 65_532), world.rtcp(Channel::Rtcp, 4001, 7)),
        (None, None, None)
    );
    assert_eq!((world.rtp(4000, 8, 1), world.rtcp(Channel::Rtcp, 4001, 8)), (Some(ONE), Some(ONE)));
    assert_eq!(world.counted(), (0, 5));
    world.pass(2000);
    assert_eq!(world.rtp(4000, 7, 4), Some(ONE), "so late it is a source of this call");
    world.forget(ONE);
    world.pass(2000);
    world.demux.forget_late(world.now);
    let Demux { told, streams, sources, flows, ends, over, over_ends, .. } = &world.demux;
    assert!(told.iter().all(FxHashMap::is_empty) && streams.is_empty() && sources.is_empty());
    assert!(over.is_empty() && over_ends.is_empty());
    assert!(flows.is_empty() && ends.is_empty(), "{flows:?}");
}

#[test]
fn a_far_end_that_gives_every_call_the_same_source_is_heard() {
    let mut world = World::new();
    world.expect(ONE, remote(4000, None));
    world.expect(TWO, remote(4002, None));
    assert_eq!((world.rtp(4000, 7, 1000), world.rtp(4002, 7, 1000)), (Some(ONE), Some(TWO)));
    world.forget(ONE);
    world.expect(THREE, remote(4000, None));
    assert_eq!(
        (world.rtp(4000, 7, 1001), world.rtp(4000, 7, 0), world.rtp(4000, 7, 1)),
        (None, Some(THREE), Some(THREE))
    );
    assert_eq!(world.counted(), (0, 1));
}

#[test]
fn a_call_that_a_re_invite_moves_is_heard_at_both_addresses_and_leaves_the_old_one() {
    let mut world = World::new();
    world.expect(ONE, remote(4000, None));
    assert_eq!(world.rtp(4000, 7, 1), Some(ONE));
    assert_eq!(world.expect(ONE, remote(4000, None)), [], "a hold that moves nothing");
    assert_eq!(world.expect(ONE, remote(4100, None)), []);
    assert_eq!(
        (world.rtp(4000, 7, 2), world.rtp(4100, 7, 3), world.rtp(4100, 9, 1)),
        (Some(ONE), Some(ONE), Some(ONE))
    );
    assert_eq!(world.rtcp(Channel::Rtcp, 4101, 9), Some(ONE));
    assert_eq!(world.expect(TWO, remote(4000, None)), [], "the old address is free");
    assert_eq!(world.rtp(4000, 8, 1), Some(TWO));
    assert_eq!(world.counted(), (0, 0));
}

#[test]
fn a_call_whose_answer_is_on_its_way_is_not_taken_for_one_that_named_its_source() {
    let mut world = World::new();
    world.expect(ONE, remote(4000, Some(7)));
    assert_eq!((world.rtp(4000, 8, 1), world.rtp(4000, 7, 1), world.rtp(4000, 8, 2)), (None, Some(ONE), None));
    world.pass(10_000);
    assert_eq!(world.rtp(4000, 8, 3), None);
    world.expect(TWO, remote(4000, Some(8)));
    assert_eq!(world.rtp(4000, 8, 4), Some(TWO));
    assert_eq!(world.counted(), (3, 0));
}

#[test]
fn a_source_that_is_rewritten_on_the_way_counts_after_half_a_second() {
    let mut world = World::new();
    world.expect(ONE, remote(4000, Some(7)));
    world.pass(499);
    assert_eq!(world.rtp(4000, 8, 1), None);
    world.pass(1);
    assert_eq!(world.rtp(4000, 8, 2), Some(ONE));
}

#[test]
fn a_far_end_with_ever_new_sources_takes_no_memory() {
    let mut world = World::new();
    world.expect(ONE, remote(4000, None));
    for ssrc in 0..1000 {
        assert_eq!(world.rtp(4000, ssrc, 1), Some(ONE));
    }
    assert_eq!((world.demux.flows.len(), world.demux.sources.len()), (FLOWS_EACH, 1));
}

#[test]
fn a_datagram_is_given_to_its_call_without_allocation() {
    let mut world = World::new();
    let packets: Vec<_> = (0..1000).map(|n| (at(4000 + 2 * n), rtp(n.into(), 1))).collect();
    for (n, (from, packet)) in packets.iter().enumerate() {
        let port = PortId(n as u32);
        world.expect(port, RemoteMedia { rtp: *from, rtcp: *from, ssrc: None });
        assert_eq!(world.demux.find(world.now, Channel::Rtp, *from, packet), Some(port));
    }
    let unknown = rtp(5000, 1);
    let counted = allocation_counter::measure(|| {
        for (from, packet) in &packets {
            world.demux.find(world.now, Channel::Rtp, *from, packet);
        }
        world.demux.find(world.now, Channel::Rtp, at(1), &unknown);
    });
    assert_eq!((counted.count_total, world.counted()), (0, (1, 0)));
}
