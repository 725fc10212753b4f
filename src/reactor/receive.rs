//! What arrives: datagrams, bytes of connections, connections, and errors that ICMP reports.

use std::io;
use std::net::SocketAddr;

use super::out::Wire;
use super::sockets::{Kind, OPEN_WITHIN, Whose};
use super::{Reactor, fault_of};
use crate::evidence::Message;
use crate::net::clock::Turn;
use crate::net::stream::{Advance, ReadState, Stream};
use crate::net::udp::{Buffers, Datagram, Udp};
use crate::sip::flow::{Flow, Link, LinkId};
use crate::station::{LinkEvent, MediaPacket, Station};

/// Batches taken from one socket in a turn.
const BATCHES_A_TURN: usize = 8;
/// Links of accepted connections are numbered from here; those that a station opens are below.
pub(super) const ACCEPTED: u32 = 1 << 31;

impl<S: Station> Reactor<S> {
    /// Tells the station of destinations that ICMP says are not there.
    pub(super) fn take_failed(&mut self) {
        while let Some(index) = self.failed.pop() {
            let Some(Kind::Sip { link, udp }) = self.sockets.get_mut(index) else { continue };
            let link = *link;
            let mut told: Vec<SocketAddr> = Vec::new();
            for (remote, error) in udp.unreachable() {
                if !told.contains(&remote) {
                    told.push(remote);
                    self.station.handle_unreachable(self.turn.now, Flow { link, remote }, fault_of(&error));
                }
            }
        }
    }

    pub(super) fn take_ready(&mut self, wire: &mut impl Wire) {
        let ready = std::mem::take(&mut self.ready);
        for index in &ready {
            self.take(*index, wire);
        }
        self.ready = ready;
    }

    pub(super) fn take(&mut self, index: usize, wire: &mut impl Wire) {
        let turn = self.turn;
        let mut oldest = self.oldest.unwrap_or(turn.now);
        let Some(mut socket) = self.sockets.lend(index) else { return };
        match &mut socket {
            Kind::Sip { link, udp } => {
                let (link, local) = (*link, udp.local());
                let more = batches(udp, &mut self.buffers, &turn, |datagram| {
                    self.health.received += 1;
                    let flow = Flow { link, remote: datagram.from };
                    let owner = self.station.handle_sip(turn.now, datagram.arrived, flow, datagram.bytes);
                    oldest = oldest.min(datagram.arrived);
                    wire.see(
                        owner.unwrap_or(0),
                        &Message {
                            at: datagram.arrived,
                            sent: false,
                            local,
                            remote: datagram.from,
                            transport: "UDP",
                            bytes: datagram.bytes,
                        },
                    );
                });
                self.left.extend(more.then_some(index));
            }
            Kind::Media { whose, channel, udp } => {
                let channel = *channel;
                let more = batches(udp, &mut self.buffers, &turn, |datagram| {
                    self.health.received += 1;
                    let Datagram { arrived, from, bytes } = datagram;
                    oldest = oldest.min(arrived);
                    let port = match *whose {
                        Whose::Stream(port) => Some(port),
                        Whose::Shared(pair) => self.sockets.shared[pair].demux.find(arrived, channel, from, bytes),
                    };
                    if let Some(port) = port {
                        self.station.handle_media(turn.now, MediaPacket { arrived, port, channel, from, bytes });
                    }
                });
                self.left.extend(more.then_some(index));
            }
            Kind::Stream { .. } => self.take_stream(index, &mut socket, wire),
            Kind::Listener(listener) => loop {
                match listener.accept() {
                    Ok((accepted, remote)) => self.accept(accepted, remote),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // The peer was gone before it was let in.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                    Err(_) => {
                        // No file descriptor is left: one has to go, and who waits is let in next turn.
                        let goes = self.sockets.accepted.make_room();
                        if goes.is_some() {
                            self.left.push(index);
                        }
                        self.sockets.dismiss(goes);
                        break;
                    }
                }
            },
        }
        self.oldest = Some(oldest);
        self.sockets.give_back(index, socket);
    }

    fn take_stream(&mut self, index: usize, socket: &mut Kind, wire: &mut impl Wire) {
        let now = self.turn.now;
        let Kind::Stream { link, stream, local } = socket else { return };
        let link = *link;
        if self.sockets.is_paused(link) {
            return;
        }
        match self.shaking.open(stream) {
            Ok(Advance::Open) => {}
            Ok(Advance::Opened(address)) => {
                *local = address;
                let known = Link::new(stream.transport(), address);
                self.station.handle_link(now, link, LinkEvent::Climbed(stream.rungs()));
                self.station.handle_link(now, link, LinkEvent::Opened(known));
            }
            Ok(Advance::Waiting) => return,
            Ok(Advance::Again) => return self.shaking.put_off(index),
            Err(error) => return self.sockets.lose_by(link, &error),
        }
        if let Err(error) = stream.flush() {
            return self.sockets.lose_by(link, &error);
        }
        let (remote, local, transport, raw) = (stream.remote(), *local, stream.transport().name(), stream.is_raw());
        let mut whole = false;
        let state = stream.receive(&mut self.read_buffer, |bytes| {
            self.health.received += 1;
            whole = true;
            let owner = self.station.handle_sip(now, now, Flow { link, remote }, bytes);
            if !raw {
                wire.see(owner.unwrap_or(0), &Message { at: now, sent: false, local, remote, transport, bytes });
            }
        });
        let goes = self.sockets.accepted.note_read(now, link, (whole, stream.is_within_message()), stream.held());
        self.sockets.dismiss(goes);
        match state {
            ReadState::Drained => {}
            ReadState::More => self.left.push(index),
            ReadState::Closed(error) => self.sockets.lose_by(link, &error),
        }
    }

    fn accept(&mut self, accepted: mio::net::TcpStream, remote: SocketAddr) {
        let Ok(local) = accepted.local_addr() else { return };
        let link = LinkId(self.next_accepted);
        self.next_accepted = self.next_accepted.wrapping_add(1) | ACCEPTED;
        let stream = Stream::accepted(accepted, remote, self.tls.acceptor.clone());
        let Ok(index) = self.sockets.add(self.poll.registry(), Kind::Stream { link, stream, local }) else { return };
        self.sockets.opening.push_back((self.turn.now + OPEN_WITHIN, link));
        let goes = self.sockets.accepted.add(self.turn.now, link);
        self.sockets.dismiss(goes);
        self.left.push(index);
    }
}

/// Takes what has arrived at a socket, as far as a turn may; whether there is more.
fn batches(udp: &Udp, buffers: &mut Buffers, turn: &Turn, mut each: impl FnMut(Datagram<'_>)) -> bool {
    (0..BATCHES_A_TURN).all(|_| udp.receive(buffers, turn, &mut each))
}
