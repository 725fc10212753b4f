//! The sockets of one worker, found by token, link or media port.

use std::io;
use std::net::{IpAddr, SocketAddr};

use mio::{Interest, Registry, Token};
use rustc_hash::FxHashMap;

use crate::net::stream::Stream;
use crate::net::udp::{self, Udp};
use crate::sip::flow::{LinkId, Transport};
use crate::station::{Channel, LinkFault, PortId};

/// A socket.
pub(super) enum Kind {
    /// SIP over UDP.
    Sip { link: LinkId, udp: Udp },
    /// One of a pair of media sockets.
    Media { port: PortId, channel: Channel, udp: Udp },
    /// SIP over TCP.
    Stream { link: LinkId, stream: Stream, local: SocketAddr },
    /// Waits for connections.
    Listener(mio::net::TcpListener),
}

/// The sockets of one worker.
#[derive(Default)]
pub(super) struct Sockets {
    places: Vec<Option<Kind>>,
    free: Vec<usize>,
    links: FxHashMap<LinkId, usize>,
    ports: FxHashMap<PortId, (usize, usize)>,
    next_media_port: u32,
    lost: Vec<(LinkId, LinkFault, String)>,
    open: usize,
}

impl Sockets {
    pub(super) fn len(&self) -> usize {
        self.open
    }

    /// Pairs of media sockets.
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
        self.places[index] = Some(socket);
        self.open += 1;
        Ok(index)
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

    /// Socket, own address and transport of a link.
    pub(super) fn of_link(&self, link: LinkId) -> Option<(usize, SocketAddr, &'static str)> {
        let index = *self.links.get(&link)?;
        match self.places[index].as_ref()? {
            Kind::Sip { udp, .. } => Some((index, udp.local(), Transport::Udp.name())),
            Kind::Stream { local, .. } => Some((index, *local, Transport::Tcp.name())),
            _ => None,
        }
    }

    pub(super) fn of_port(&self, port: PortId, channel: Channel) -> Option<usize> {
        let (rtp, rtcp) = *self.ports.get(&port)?;
        Some(if channel == Channel::Rtp { rtp } else { rtcp })
    }

    /// Opens a pair of media sockets; the address is that of RTP.
    pub(super) fn open_port(
        &mut self,
        registry: &Registry,
        port: PortId,
        range: Option<(u16, u16)>,
        local: IpAddr,
    ) -> Result<SocketAddr, String> {
        let (rtp, rtcp) = udp::bind_media_pair(local, range, &mut self.next_media_port)?;
        let address = rtp.local();
        let mut add =
            |channel, udp| self.add(registry, Kind::Media { port, channel, udp }).map_err(|error| error.to_string());
        let (rtp, rtcp) = (add(Channel::Rtp, rtp)?, add(Channel::Rtcp, rtcp)?);
        self.ports.insert(port, (rtp, rtcp));
        Ok(address)
    }

    pub(super) fn close_port(&mut self, registry: &Registry, port: PortId) {
        if let Some((rtp, rtcp)) = self.ports.remove(&port) {
            self.close(registry, rtp);
            self.close(registry, rtcp);
        }
    }

    /// Opens a link. A UDP socket tells its own address at once, a connection later.
    pub(super) fn open_link(
        &mut self,
        registry: &Registry,
        link: LinkId,
        transport: Transport,
        remote: SocketAddr,
        local_port: u16,
    ) -> io::Result<Option<SocketAddr>> {
        match transport {
            Transport::Udp => {
                let local = SocketAddr::new(udp::local_address_towards(remote)?, local_port);
                let udp = Udp::bind_sip(local)?;
                let local = udp.local();
                self.add(registry, Kind::Sip { link, udp })?;
                Ok(Some(local))
            }
            Transport::Tcp => {
                let stream = Stream::connect(remote)?;
                let local = SocketAddr::new(udp::local_address_towards(remote)?, 0);
                self.add(registry, Kind::Stream { link, stream, local })?;
                Ok(None)
            }
        }
    }

    pub(super) fn close_link(&mut self, registry: &Registry, link: LinkId) {
        if let Some(index) = self.links.remove(&link) {
            self.close(registry, index);
        }
    }

    /// Notes that a connection is lost; [`take_lost`](Self::take_lost) closes it.
    pub(super) fn lose(&mut self, link: LinkId, fault: LinkFault, text: String) {
        if !self.lost.iter().any(|(other, ..)| *other == link) {
            self.lost.push((link, fault, text));
        }
    }

    /// Closes the connections that were lost, and names them.
    pub(super) fn take_lost(&mut self, registry: &Registry) -> Vec<(LinkId, LinkFault, String)> {
        let lost = std::mem::take(&mut self.lost);
        for (link, ..) in &lost {
            self.close_link(registry, *link);
        }
        lost
    }

    fn close(&mut self, registry: &Registry, index: usize) {
        let Some(mut socket) = self.places.get_mut(index).and_then(Option::take) else { return };
        let _ = match &mut socket {
            Kind::Sip { udp, .. } | Kind::Media { udp, .. } => registry.deregister(udp.source()),
            Kind::Stream { stream, .. } => registry.deregister(stream.source()),
            Kind::Listener(listener) => registry.deregister(listener),
        };
        self.free.push(index);
        self.open -= 1;
    }
}
