//! The sockets of one worker, found by token, link or media port.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use mio::{Interest, Registry, Token};
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

use super::accepted::{Accepted, Dismissal};
use super::farewell::Farewells;
use super::fault_of;
use crate::net::drops::Drops;
use crate::net::stream::{Above, Stream};
use crate::net::tls;
use crate::net::udp::{self, Udp};
use crate::sip::flow::{LinkId, Transport};
use crate::sip::transaction::soonest;
use crate::station::demux::Demux;
use crate::station::{Channel, LinkFault, MediaSockets, PortId, RemoteMedia, Rungs, Unattributed};

/// A connection, TLS and WebSocket included, that is not open by then is given up.
pub(super) const OPEN_WITHIN: Duration = Duration::from_secs(10);

/// A socket.
pub(super) enum Kind {
    /// SIP over UDP.
    Sip { link: LinkId, udp: Udp },
    /// One of a pair of media sockets.
    Media { whose: Whose, channel: Channel, udp: Udp },
    /// SIP over TCP, TLS or WebSocket.
    Stream { link: LinkId, stream: Stream, local: SocketAddr },
    /// Waits for connections.
    Listener(mio::net::TcpListener),
}

/// Whose media sockets are.
#[derive(Clone, Copy)]
pub(super) enum Whose {
    /// One stream's.
    Stream(PortId),
    /// Those of many streams: which of the shared pairs.
    Shared(usize),
}

/// The sockets of one worker.
#[derive(Default)]
pub(super) struct Sockets {
    places: Vec<Option<Kind>>,
    free: Vec<usize>,
    links: FxHashMap<LinkId, usize>,
    ports: FxHashMap<PortId, MediaPair>,
    /// Pairs of media sockets that streams share, until the end: what comes for the last of them is late and not refused.
    pub(super) shared: Vec<SharedPair>,
    /// Which pair of a range is tried next.
    next_media_port: u32,
    lost: Vec<(LinkId, LinkFault, String)>,
    /// Connections that are not read for a while.
    paused: FxHashSet<LinkId>,
    open: usize,
    /// Connections that have to be open by then; some are, or are gone.
    pub(super) opening: VecDeque<(Instant, LinkId)>,
    /// Connections of others, among all.
    pub(super) accepted: Accepted,
    /// Connections that we have closed.
    pub(super) farewells: Farewells,
    /// Who counts what the kernel drops.
    pub(super) drops: Option<Drops>,
}

/// The sockets of a stream.
#[derive(Clone, Copy)]
struct MediaPair {
    rtp: usize,
    rtcp: usize,
    /// Which of the shared pairs they are.
    shared: Option<usize>,
}

/// A pair of media sockets that streams share.
pub(super) struct SharedPair {
    wanted: MediaSockets,
    address: SocketAddr,
    sockets: (usize, usize),
    pub(super) demux: Demux,
}

impl Sockets {
    /// No sockets yet; pairs of media sockets are taken from this one of a range on.
    ///
    /// The place should differ from run to run: a TURN server knows an address of an earlier run for as long as its
    /// allocation lasts, and refuses another there (437).
    pub(super) fn beginning_at(pair: u32) -> Self {
        Self { next_media_port: pair, ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.open
    }

    /// Streams that have media sockets.
    pub(super) fn streams(&self) -> usize {
        self.ports.len()
    }

    /// Registers a socket for readiness and takes it in.
    pub(super) fn add(&mut self, registry: &Registry, mut socket: Kind) -> io::Result<usize> {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        let registered = match &mut socket {
            Kind::Sip { udp, .. } | Kind::Media { udp, .. } => {
                registry.register(udp.source(), Token(index), Interest::READABLE)
            }
            Kind::Stream { stream, .. } => {
                registry.register(stream.source(), Token(index), Interest::READABLE | Interest::WRITABLE)
            }
            Kind::Listener(listener) => registry.register(listener, Token(index), Interest::READABLE),
        };
        if let Err(error) = registered {
            self.free.push(index);
            return Err(error);
        }
        if let Kind::Sip { link, .. } | Kind::Stream { link, .. } = &socket {
            self.links.insert(*link, index);
        }
        if let (Some(drops), Some(inode)) = (&self.drops, inode_of(&socket)) {
            drops.add(inode);
        }
        self.places[index] = Some(socket);
        self.open += 1;
        Ok(index)
    }

    /// A connection is not read any more, or again: its socket, where that is to be looked at now.
    pub(super) fn pause(&mut self, link: LinkId, paused: bool) -> Option<usize> {
        if paused {
            self.paused.insert(link);
            return None;
        }
        self.paused.remove(&link);
        self.links.get(&link).copied()
    }

    pub(super) fn is_paused(&self, link: LinkId) -> bool {
        !self.paused.is_empty() && self.paused.contains(&link)
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut Kind> {
        self.places.get_mut(index)?.as_mut()
    }

    /// Takes a socket out of its place while it is read.
    pub(super) fn lend(&mut self, index: usize) -> Option<Kind> {
        self.places.get_mut(index)?.take()
    }

    pub(super) fn give_back(&mut self, index: usize, socket: Kind) {
        self.places[index] = Some(socket);
    }

    /// Socket, own address and transport of a link; no transport where it carries something else than SIP.
    pub(super) fn of_link(&self, link: LinkId) -> Option<(usize, SocketAddr, Option<&'static str>)> {
        let index = *self.links.get(&link)?;
        match self.places[index].as_ref()? {
            Kind::Sip { udp, .. } => Some((index, udp.local(), Some(Transport::Udp.name()))),
            Kind::Stream { local, stream, .. } => {
                Some((index, *local, (!stream.is_raw()).then(|| stream.transport().name())))
            }
            _ => None,
        }
    }

    pub(super) fn of_port(&self, port: PortId, channel: Channel) -> Option<usize> {
        let pair = self.ports.get(&port)?;
        Some(if channel == Channel::Rtp { pair.rtp } else { pair.rtcp })
    }

    /// Opens a pair of media sockets, or finds the one that is shared; the address is that of RTP.
    pub(super) fn open_port(
        &mut self,
        registry: &Registry,
        port: PortId,
        wanted: MediaSockets,
    ) -> Result<SocketAddr, String> {
        if wanted.shared {
            return self.join_shared(registry, port, wanted);
        }
        let (rtp, rtcp) = udp::bind_media_pair(wanted.local, wanted.range, &mut self.next_media_port, Udp::bind)?;
        let address = rtp.local();
        let (rtp, rtcp) = self.add_pair(registry, Whose::Stream(port), (rtp, rtcp))?;
        self.ports.insert(port, MediaPair { rtp, rtcp, shared: None });
        Ok(address)
    }

    /// The first stream opens the pair.
    fn join_shared(&mut self, registry: &Registry, port: PortId, wanted: MediaSockets) -> Result<SocketAddr, String> {
        let known = self.shared.iter().position(|pair| pair.wanted == wanted);
        let pair = known.map_or_else(|| self.open_shared(registry, wanted), Ok)?;
        let SharedPair { address, sockets: (rtp, rtcp), .. } = self.shared[pair];
        self.ports.insert(port, MediaPair { rtp, rtcp, shared: Some(pair) });
        Ok(address)
    }

    fn open_shared(&mut self, registry: &Registry, wanted: MediaSockets) -> Result<usize, String> {
        // From the first port on, so that it is the same one in each run: firewalls have it in their rules.
        let (rtp, rtcp) = udp::bind_media_pair(wanted.local, wanted.range, &mut 0, Udp::bind_shared_media)?;
        let (pair, address) = (self.shared.len(), rtp.local());
        let sockets = self.add_pair(registry, Whose::Shared(pair), (rtp, rtcp))?;
        self.shared.push(SharedPair { wanted, address, sockets, demux: Demux::default() });
        Ok(pair)
    }

    fn add_pair(
        &mut self,
        registry: &Registry,
        whose: Whose,
        (rtp, rtcp): (Udp, Udp),
    ) -> Result<(usize, usize), String> {
        let mut add =
            |channel, udp| self.add(registry, Kind::Media { whose, channel, udp }).map_err(|error| error.to_string());
        Ok((add(Channel::Rtp, rtp)?, add(Channel::Rtcp, rtcp)?))
    }

    /// Packets of a stream on a shared pair come from there; the streams that cannot be told apart by that.
    pub(super) fn expect(&mut self, now: Instant, port: PortId, remote: RemoteMedia) -> SmallVec<[PortId; 2]> {
        let pair = self.ports.get(&port).and_then(|pair| pair.shared);
        pair.map_or_else(SmallVec::new, |pair| self.shared[pair].demux.expect(now, port, remote))
    }

    /// What came over shared pairs and was given to no stream.
    pub(super) fn unattributed(&self) -> Unattributed {
        self.shared.iter().map(|pair| pair.demux.unattributed()).sum()
    }

    pub(super) fn close_port(&mut self, registry: &Registry, port: PortId, now: Instant) {
        match self.ports.remove(&port) {
            Some(MediaPair { shared: Some(pair), .. }) => self.shared[pair].demux.forget(now, port),
            Some(MediaPair { rtp, rtcp, shared: None }) => {
                self.close(registry, rtp);
                self.close(registry, rtcp);
            }
            None => {}
        }
    }

    /// Opens a UDP socket towards a server. Returns its own address.
    pub(super) fn open_udp(
        &mut self,
        registry: &Registry,
        link: LinkId,
        remote: SocketAddr,
        (local, local_port): (Option<IpAddr>, u16),
    ) -> io::Result<SocketAddr> {
        let local = local.map_or_else(|| udp::local_address_towards(remote), Ok)?;
        let local = SocketAddr::new(local, local_port);
        let udp = Udp::bind_sip(local)?;
        let local = udp.local();
        self.add(registry, Kind::Sip { link, udp })?;
        Ok(local)
    }

    /// Begins to connect to a server.
    pub(super) fn open_stream(
        &mut self,
        registry: &Registry,
        link: LinkId,
        (remote, local): (SocketAddr, Option<IpAddr>),
        above: Above,
        now: Instant,
    ) -> io::Result<()> {
        let stream = Stream::connect(remote, local, above)?;
        let local = SocketAddr::new(local.map_or_else(|| udp::local_address_towards(remote), Ok)?, 0);
        self.add(registry, Kind::Stream { link, stream, local })?;
        self.opening.push_back((now + OPEN_WITHIN, link));
        Ok(())
    }

    /// When [`expire`](Self::expire) has something to do next.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let opening = self.opening.front().map(|(until, _)| *until);
        soonest(soonest(opening, self.accepted.deadline()), self.farewells.deadline())
    }

    /// Gives up connections that did not open in time, those of others whose time is over, and the peers that do not close
    /// what we have closed.
    pub(super) fn expire(&mut self, now: Instant) {
        self.farewells.expire(now);
        while let Some(dismissal) = self.accepted.expire(now) {
            self.dismiss(Some(dismissal));
        }
        while let Some((_, link)) = self.opening.pop_front_if(|(until, _)| *until <= now) {
            let Some(Kind::Stream { stream, .. }) =
                self.links.get(&link).and_then(|index| self.places[*index].as_ref())
            else {
                continue;
            };
            let within = OPEN_WITHIN.as_secs();
            let (fault, what) = match stream {
                _ if stream.is_open() => continue,
                _ if stream.is_shaking() => (LinkFault::Tls, "the TLS handshake did not end"),
                _ if stream.is_upgrading() => (LinkFault::Upgrade, "the upgrade to WebSocket did not end"),
                _ => (LinkFault::Broken, "no connection"),
            };
            self.lose(link, fault, format!("{what} within {within} s"));
        }
    }

    /// Notes that a connection is lost by an error.
    pub(super) fn lose_by(&mut self, link: LinkId, error: &io::Error) {
        self.lose(link, fault_of(error), tls::describe(error));
    }

    /// Closes a connection that somebody else opened, where there is one that has to go.
    pub(super) fn dismiss(&mut self, dismissal: Option<Dismissal>) {
        if let Some((link, text)) = dismissal {
            self.lose(link, LinkFault::Broken, text);
        }
    }

    /// Closes a link. What was sent last by a connection reaches its peer.
    pub(super) fn close_link(&mut self, registry: &Registry, link: LinkId, now: Instant) {
        let Some(index) = self.forget_link(link) else { return };
        match self.places[index].take_if(|socket| matches!(socket, Kind::Stream { .. })) {
            Some(Kind::Stream { stream, .. }) => {
                self.free.push(index);
                self.open -= 1;
                if let Some(socket) = stream.half_close() {
                    self.farewells.add(registry, socket, now);
                }
            }
            _ => self.close(registry, index),
        }
    }

    /// A link is no more; the place of its socket, which is to be closed.
    fn forget_link(&mut self, link: LinkId) -> Option<usize> {
        self.paused.remove(&link);
        let index = self.links.remove(&link)?;
        self.accepted.remove(link);
        Some(index)
    }

    /// Notes that a connection is lost; [`take_lost`](Self::take_lost) closes it.
    pub(super) fn lose(&mut self, link: LinkId, fault: LinkFault, text: String) {
        if !self.lost.iter().any(|(other, ..)| *other == link) {
            self.lost.push((link, fault, text));
        }
    }

    /// Closes the connections that were lost, and names them: how far they had come, and why they are lost.
    pub(super) fn take_lost(&mut self, registry: &Registry) -> Vec<(LinkId, Rungs, (LinkFault, String))> {
        let mut lost = Vec::new();
        for (link, fault, text) in std::mem::take(&mut self.lost) {
            let place = self.links.get(&link).and_then(|index| self.places[*index].as_ref());
            let rungs = match place {
                Some(Kind::Stream { stream, .. }) => stream.rungs(),
                _ => Rungs::default(),
            };
            if let Some(index) = self.forget_link(link) {
                self.close(registry, index);
            }
            lost.push((link, rungs, (fault, text)));
        }
        lost
    }

    fn close(&mut self, registry: &Registry, index: usize) {
        let Some(mut socket) = self.places.get_mut(index).and_then(Option::take) else { return };
        if let (Some(drops), Some(inode)) = (&self.drops, inode_of(&socket)) {
            drops.remove(inode);
        }
        let _ = match &mut socket {
            Kind::Sip { udp, .. } | Kind::Media { udp, .. } => registry.deregister(udp.source()),
            Kind::Stream { stream, .. } => {
                stream.close();
                registry.deregister(stream.source())
            }
            Kind::Listener(listener) => registry.deregister(listener),
        };
        self.free.push(index);
        self.open -= 1;
    }
}

/// The kernel's number of a UDP socket.
fn inode_of(socket: &Kind) -> Option<u64> {
    match socket {
        Kind::Sip { udp, .. } | Kind::Media { udp, .. } => udp.inode().ok(),
        Kind::Stream { .. } | Kind::Listener(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::clock;
    use crate::net::stream::Advance;
    use crate::net::tls::{Client, SelfSigned};
    use crate::scenario::plan::{Roots, TlsSettings};
    use crate::sip::flow::LinkId;

    #[test]
    fn a_server_that_never_answers_the_handshake_is_given_up_after_ten_seconds() {
        let poll = mio::Poll::new().expect("a poll");
        // The system accepts the connection; nobody ever speaks.
        let listener = mio::net::TcpListener::bind("127.0.0.1:0".parse().expect("valid")).expect("a port");
        let remote = listener.local_addr().expect("bound");
        let ca = SelfSigned::new("lab", remote.ip()).expect("a certificate").ca;
        let settings = TlsSettings { name: "lab".into(), roots: Roots::Given(ca), ..TlsSettings::default() };
        let session = Client::new(&settings, None).expect("settings").connect().expect("a session");
        let (mut sockets, now) = (Sockets::default(), clock::now());
        let above = Above { tls: Some(session), ..Above::default() };
        sockets.open_stream(poll.registry(), LinkId(1), (remote, None), above, now).expect("a socket");
        let Some(Kind::Stream { stream, .. }) = sockets.get_mut(0) else { panic!("there is one") };
        while stream.advance().expect("no error") != Advance::Waiting {}
        assert_eq!(sockets.deadline(), Some(now + OPEN_WITHIN));
        sockets.expire(now + OPEN_WITHIN - Duration::from_millis(1));
        assert!(sockets.take_lost(poll.registry()).is_empty());
        sockets.expire(now + OPEN_WITHIN);
        let text = "the TLS handshake did not end within 10 s".to_owned();
        let lost = sockets.take_lost(poll.registry());
        assert!(lost[0].1.tcp.is_some() && lost[0].1.tls.is_none(), "{lost:?}");
        assert_eq!((lost[0].0, &lost[0].2), (LinkId(1), &(LinkFault::Tls, text)));
    }

    #[test]
    fn a_run_does_not_begin_at_the_media_port_of_the_one_before() {
        let poll = mio::Poll::new().expect("a poll");
        let local = IpAddr::from([127, 0, 0, 1]);
        let first_of = |pair, range| {
            let mut sockets = Sockets::beginning_at(pair);
            let wanted = MediaSockets { range: Some(range), local, shared: false };
            sockets.open_port(poll.registry(), PortId(1), wanted).map(|address| address.port())
        };
        let (a, b) = ((47_100, 47_119), (47_120, 47_121));
        assert_eq!(
            [first_of(0, a), first_of(3, a), first_of(13, a)],
            [47_100, 47_106, 47_106].map(Ok),
            "it wraps round"
        );
        assert_eq!(first_of(u32::MAX, b), Ok(47_120), "a range of one pair has one place");
    }
}
