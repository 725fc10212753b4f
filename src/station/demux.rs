//! Which stream a datagram is for, where the calls of a worker share one pair of media sockets.
//!
//! ```text
//! an address that SDP gave ─ to one stream ─────────► that stream
//!                          └ to several ─ by SSRC ──► the one that named it (a=ssrc, RFC 5576) or was heard with it,
//!                                                     else the only one of them that named none
//! another address ─ SSRC of one stream ─────────────► that stream: a NAT that changed its mind
//!                 └ any other ──────────────────────► nobody's, and counted
//! ```
//!
//! Streams that name no SSRC and have one address cannot be told apart: [`Demux::expect`] says which, since a guess
//! would measure one by packets of the other. What still comes of a stream that is over is told from what comes of the
//! next one at that address by its SSRC and sequence numbers. Where a stream has named its SSRC and was heard with it,
//! another SSRC from there is that of a call whose answer is still on its way. A datagram of a known source takes one
//! lookup and no allocation.

use std::collections::VecDeque;
use std::iter::Sum;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::{Channel, PortId};
use crate::media::rtcp;

/// How long packets of a stream that is over are known as such.
const LATE_FOR: Duration = Duration::from_secs(2);
/// Sequence numbers beyond the last that late packets may have: those of [`LATE_FOR`], at 20 ms each.
const LATE_AHEAD: u16 = 100;
/// Sequence numbers before the last that a late packet which was overtaken may have.
const LATE_BEHIND: u16 = 50;
/// A stream that was not heard with the SSRC that it named for so long may have had it rewritten on the way.
const TRUSTED_FOR: Duration = Duration::from_millis(500);
/// Addresses and sources that one stream is known by at the same time; beyond it the oldest is forgotten.
const FLOWS_EACH: usize = 4;

/// Where the packets of a stream come from, as the far end's SDP says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteMedia {
    /// RTP, and RTCP where both share a port.
    pub rtp: SocketAddr,
    /// RTCP.
    pub rtcp: SocketAddr,
    /// The source that it names (`a=ssrc`).
    pub ssrc: Option<u32>,
}

/// Datagrams on shared media sockets that were given to no stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unattributed {
    /// Of an address and a source that no call has, or that several have. What overtakes the answer of its call is among
    /// them.
    pub unknown: u64,
    /// Of calls that were over.
    pub late: u64,
}

impl Sum for Unattributed {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |a, b| Self { unknown: a.unknown + b.unknown, late: a.late + b.late })
    }
}

/// The streams of one pair of media sockets.
#[derive(Debug, Default)]
pub struct Demux {
    /// Who has which address by SDP, of RTP and of RTCP.
    told: [FxHashMap<Address, Told>; 2],
    streams: FxHashMap<PortId, Stream>,
    /// Who has named an SSRC or was heard with it.
    sources: FxHashMap<u32, SmallVec<[PortId; 1]>>,
    /// What has come, and whose it was.
    flows: FxHashMap<FlowKey, Flow>,
    /// When flows of streams that are over may be forgotten.
    ends: VecDeque<(Instant, FlowKey)>,
    /// Sources of streams that are over, and until when what comes of them is late, wherever from.
    over: FxHashMap<u32, Instant>,
    /// When these may be forgotten.
    over_ends: VecDeque<(Instant, u32)>,
    /// The same of addresses that were contested.
    contested: VecDeque<(Instant, Address)>,
    unattributed: Unattributed,
}

/// An address, IPv4 as mapped into IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Address(u128, u16);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct FlowKey(Address, u32);

/// Packets of one source from one address.
#[derive(Clone, Copy, Debug)]
struct Flow {
    port: PortId,
    /// The last of RTP.
    sequence: Option<u16>,
    /// The stream is over; until then what comes is late.
    late_until: Option<Instant>,
}

#[derive(Debug, Default)]
struct Told {
    ports: SmallVec<[PortId; 1]>,
    /// Streams here could not be told apart, and packets of theirs may come until then.
    contested_until: Option<Instant>,
}

#[derive(Debug)]
struct Stream {
    remote: RemoteMedia,
    since: Instant,
    /// The last source of RTP.
    heard: Option<u32>,
    flows: SmallVec<[FlowKey; FLOWS_EACH]>,
}

/// The sender of a datagram, as it says itself.
#[derive(Clone, Copy)]
struct Sender {
    ssrc: u32,
    /// Of RTP.
    sequence: Option<u16>,
}

impl Demux {
    /// What the far end of a stream says of itself. Gives the streams, this one perhaps among them, that cannot be told
    /// apart from now on.
    pub fn expect(&mut self, now: Instant, port: PortId, remote: RemoteMedia) -> SmallVec<[PortId; 2]> {
        self.forget_late(now);
        match self.streams.get_mut(&port) {
            Some(stream) if stream.remote == remote => return SmallVec::new(),
            Some(stream) => {
                let before = std::mem::replace(&mut stream.remote, remote);
                stream.since = now;
                // Its old address may be another stream's from now on, which may have the same SSRC.
                for key in std::mem::take(&mut stream.flows) {
                    self.flows.remove(&key);
                }
                self.leave(port, before);
            }
            None => {
                let flows = SmallVec::new();
                self.streams.insert(port, Stream { remote, since: now, heard: None, flows });
            }
        }
        for (told, address) in self.told.iter_mut().zip([remote.rtp, remote.rtcp]) {
            told.entry(Address::of(address)).or_default().ports.push(port);
        }
        let clashing = self.clashing(now, port, remote);
        if let Some(ssrc) = remote.ssrc {
            self.claim(port, ssrc);
        }
        if !clashing.is_empty()
            && let Some(told) = self.told[0].get_mut(&Address::of(remote.rtp))
        {
            told.contested_until = Some(now + LATE_FOR);
            self.contested.push_back((now + LATE_FOR, Address::of(remote.rtp)));
        }
        clashing
    }

    /// A stream is over.
    pub fn forget(&mut self, now: Instant, port: PortId) {
        self.forget_late(now);
        let Some(stream) = self.streams.remove(&port) else { return };
        self.leave(port, stream.remote);
        if let Some(ssrc) = stream.heard {
            self.disclaim(port, ssrc);
        }
        let until = now + LATE_FOR;
        for ssrc in stream.heard.into_iter().chain(stream.remote.ssrc) {
            self.over.insert(ssrc, until);
            self.over_ends.push_back((until, ssrc));
        }
        for key in stream.flows {
            if let Some(flow) = self.flows.get_mut(&key).filter(|flow| flow.port == port) {
                flow.late_until = Some(until);
                self.ends.push_back((until, key));
            }
        }
    }

    /// Whose a datagram is.
    pub fn find(&mut self, arrived: Instant, channel: Channel, from: SocketAddr, packet: &[u8]) -> Option<PortId> {
        let address = Address::of(from);
        let Some(sender) = Sender::of(channel, packet) else { return self.find_without_source(channel, address) };
        let key = FlowKey(address, sender.ssrc);
        if let Some(flow) = self.flows.get_mut(&key) {
            match flow.late_until {
                None => {
                    flow.sequence = sender.sequence.or(flow.sequence);
                    return Some(flow.port);
                }
                Some(until) if arrived < until && flow.is_continued_by(sender) => {
                    flow.sequence = sender.sequence.or(flow.sequence);
                    self.unattributed.late += 1;
                    return None;
                }
                Some(_) => {}
            }
        }
        let over = self.is_over(arrived, sender.ssrc);
        // The goodbye of a stream that is over may be the first report of it.
        let found =
            if over && sender.sequence.is_none() { None } else { self.search(arrived, channel, address, sender.ssrc) };
        match found {
            Some(port) => self.note(port, key, sender),
            None if over => self.unattributed.late += 1,
            None => self.unattributed.unknown += 1,
        }
        found
    }

    /// What was given to no stream so far.
    pub fn unattributed(&self) -> Unattributed {
        self.unattributed
    }

    /// Neither RTP nor RTCP: whose address it comes from, where that is one stream's.
    fn find_without_source(&mut self, channel: Channel, address: Address) -> Option<PortId> {
        let found = match self.told[index(channel)].get(&address).map(|told| &told.ports[..]) {
            Some([port]) => Some(*port),
            _ => None,
        };
        self.unattributed.unknown += u64::from(found.is_none());
        found
    }

    /// Whose a source is that has not come from there before.
    fn search(&self, arrived: Instant, channel: Channel, address: Address, ssrc: u32) -> Option<PortId> {
        let known = self.sources.get(&ssrc).map_or(&[][..], |ports| ports);
        let Some(told) = self.told[index(channel)].get(&address).filter(|told| !told.ports.is_empty()) else {
            return only(known.iter().copied());
        };
        let here = |port: &PortId| self.streams.get(port).is_some_and(|stream| stream.is_at(channel, address));
        let mut named = known.iter().copied().filter(here).peekable();
        if named.peek().is_some() {
            return only(named);
        }
        if told.contested_until.is_some_and(|until| arrived < until) {
            return None;
        }
        match told.ports[..] {
            [port] => self.streams.get(&port).filter(|stream| stream.may_be(arrived)).map(|_| port),
            _ => only(told.ports.iter().copied().filter(|port| self.is_unnamed(*port))),
        }
    }

    /// A stream was heard from there with this source.
    fn note(&mut self, port: PortId, key: FlowKey, sender: Sender) {
        let Some(stream) = self.streams.get_mut(&port) else { return };
        if stream.flows.len() == FLOWS_EACH {
            self.flows.remove(&stream.flows.remove(0));
        }
        stream.flows.push(key);
        self.flows.insert(key, Flow { port, sequence: sender.sequence, late_until: None });
        if sender.sequence.is_some() && stream.heard != Some(sender.ssrc) {
            let before = stream.heard.replace(sender.ssrc);
            let named = stream.remote.ssrc;
            if let Some(before) = before.filter(|before| named != Some(*before)) {
                self.disclaim(port, before);
            }
            self.claim(port, sender.ssrc);
        }
    }

    /// Streams that have the address of one as well and could be taken for it, and that one itself; none where there is none.
    fn clashing(&self, now: Instant, port: PortId, remote: RemoteMedia) -> SmallVec<[PortId; 2]> {
        let Some(told) = self.told[0].get(&Address::of(remote.rtp)) else { return SmallVec::new() };
        let others = told.ports.iter().copied().filter(|other| *other != port);
        let mut clashing: SmallVec<[PortId; 2]> = match remote.ssrc {
            Some(ssrc) => others.filter(|other| self.has(*other, ssrc)).collect(),
            None => others.filter(|other| self.is_unnamed(*other)).collect(),
        };
        let contested = remote.ssrc.is_none() && told.contested_until.is_some_and(|until| now < until);
        if contested || !clashing.is_empty() {
            clashing.push(port);
        }
        clashing
    }

    /// Whether a source is one of a stream that is over, and of none that goes on.
    fn is_over(&self, arrived: Instant, ssrc: u32) -> bool {
        self.over.get(&ssrc).is_some_and(|until| arrived < *until) && !self.sources.contains_key(&ssrc)
    }

    fn is_unnamed(&self, port: PortId) -> bool {
        self.streams.get(&port).is_some_and(|stream| stream.remote.ssrc.is_none())
    }

    fn has(&self, port: PortId, ssrc: u32) -> bool {
        self.sources.get(&ssrc).is_some_and(|ports| ports.contains(&port))
    }

    fn claim(&mut self, port: PortId, ssrc: u32) {
        let ports = self.sources.entry(ssrc).or_default();
        if !ports.contains(&port) {
            ports.push(port);
        }
    }

    fn disclaim(&mut self, port: PortId, ssrc: u32) {
        if let Some(ports) = self.sources.get_mut(&ssrc) {
            ports.retain(|other| *other != port);
            if ports.is_empty() {
                self.sources.remove(&ssrc);
            }
        }
    }

    /// A stream is not at these addresses any more, and does not name this source.
    fn leave(&mut self, port: PortId, remote: RemoteMedia) {
        for (all, address) in self.told.iter_mut().zip([remote.rtp, remote.rtcp]) {
            let address = Address::of(address);
            if let Some(told) = all.get_mut(&address) {
                told.ports.retain(|other| *other != port);
                if told.ports.is_empty() && told.contested_until.is_none() {
                    all.remove(&address);
                }
            }
        }
        let heard = self.streams.get(&port).and_then(|stream| stream.heard);
        if let Some(ssrc) = remote.ssrc.filter(|ssrc| heard != Some(*ssrc)) {
            self.disclaim(port, ssrc);
        }
    }

    fn forget_late(&mut self, now: Instant) {
        while let Some((until, key)) = self.ends.pop_front_if(|(until, _)| *until <= now) {
            if self.flows.get(&key).is_some_and(|flow| flow.late_until == Some(until)) {
                self.flows.remove(&key);
            }
        }
        while let Some((until, ssrc)) = self.over_ends.pop_front_if(|(until, _)| *until <= now) {
            if self.over.get(&ssrc) == Some(&until) {
                self.over.remove(&ssrc);
            }
        }
        while let Some((until, address)) = self.contested.pop_front_if(|(until, _)| *until <= now) {
            if let Some(told) = self.told[0].get_mut(&address).filter(|told| told.contested_until == Some(until)) {
                told.contested_until = None;
                if told.ports.is_empty() {
                    self.told[0].remove(&address);
                }
            }
        }
    }
}

impl Stream {
    fn is_at(&self, channel: Channel, address: Address) -> bool {
        Address::of(if channel == Channel::Rtp { self.remote.rtp } else { self.remote.rtcp }) == address
    }

    /// Whether another source than it has named may be its.
    fn may_be(&self, arrived: Instant) -> bool {
        self.remote.ssrc.is_none_or(|named| self.heard != Some(named) && arrived >= self.since + TRUSTED_FOR)
    }
}

impl Flow {
    /// Whether a packet is of the stream that is over: a far end may give its next stream the same SSRC.
    fn is_continued_by(&self, sender: Sender) -> bool {
        let (Some(last), Some(sequence)) = (self.sequence, sender.sequence) else { return true };
        sequence.wrapping_sub(last) <= LATE_AHEAD || last.wrapping_sub(sequence) <= LATE_BEHIND
    }
}

impl Address {
    fn of(address: SocketAddr) -> Self {
        let ip = match address.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        Self(u128::from(ip), address.port())
    }
}

impl Sender {
    /// RFC 3550 §5.1 and §6.4: SRTP and SRTCP leave both in the clear.
    fn of(channel: Channel, packet: &[u8]) -> Option<Self> {
        let word = |at: usize| packet.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
        if packet.first()? >> 6 != 2 {
            return None;
        }
        if channel == Channel::Rtcp || rtcp::is_rtcp(packet) {
            return Some(Self { ssrc: word(4)?, sequence: None });
        }
        let sequence = u16::from_be_bytes([*packet.get(2)?, *packet.get(3)?]);
        Some(Self { ssrc: word(8)?, sequence: Some(sequence) })
    }
}

fn index(channel: Channel) -> usize {
    usize::from(channel == Channel::Rtcp)
}

fn only<T>(mut all: impl Iterator<Item = T>) -> Option<T> {
    all.next().filter(|_| all.next().is_none())
}

#[cfg(test)]
mod tests;
