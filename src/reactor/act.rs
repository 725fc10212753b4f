//! What the station wants: messages and packets to send, sockets to open and to close, reports.

use std::io;
use std::net::{IpAddr, SocketAddr};

use super::{Reactor, Turned, Wire, fault_of};
use crate::evidence::Message;
use crate::sip::flow::{Link, LinkId, Transport};
use crate::station::{LinkEvent, Output, Station};

impl<S: Station> Reactor<S> {
    /// Does what the station wants, until it wants nothing more.
    pub(super) fn drain(&mut self, wire: &mut impl Wire, told: &mut impl FnMut(&mut S, Turned<S::Report>)) {
        let now = self.turn.now;
        loop {
            let start = self.out.mark();
            match self.station.poll_output(now, self.out.buffer()) {
                Output::Sip { flow, owner } => {
                    let Some((index, local, transport)) = self.sockets.of_link(flow.link) else {
                        self.out.forget(start);
                        continue;
                    };
                    let bytes = self.out.since(start);
                    wire.see(owner, &Message { at: now, sent: true, local, remote: flow.remote, transport, bytes });
                    self.out.push(index, flow.remote, start);
                    if self.out.is_full() {
                        self.out.flush(&mut self.sockets, &mut self.health);
                    }
                }
                Output::Media { port, channel, to } => match self.sockets.of_port(port, channel) {
                    Some(index) => self.out.push(index, to, start),
                    None => self.out.forget(start),
                },
                Output::OpenPort { port, range, local } => {
                    let opened = self.sockets.open_port(self.poll.registry(), port, range, local);
                    self.station.handle_port(now, port, opened);
                }
                Output::ClosePort(port) => {
                    // RTCP BYE goes out before its socket closes.
                    self.out.flush(&mut self.sockets, &mut self.health);
                    self.sockets.close_port(self.poll.registry(), port);
                }
                Output::OpenLink { link, transport, remote, local, local_port, server } => {
                    self.open_link(link, (transport, remote), (local, local_port), server);
                }
                Output::CloseLink(link) => {
                    self.out.flush(&mut self.sockets, &mut self.health);
                    self.sockets.close_link(self.poll.registry(), link);
                }
                Output::Report(report) => told(&mut self.station, Turned::Report(report)),
                Output::Done => {
                    told(&mut self.station, Turned::Done);
                    break;
                }
                Output::Idle(at) => {
                    self.idle_until = [at, self.sockets.deadline()].into_iter().flatten().min();
                    break;
                }
            }
        }
        self.health.sockets = self.sockets.len() as u64;
        self.health.peak_sockets = self.health.peak_sockets.max(self.health.sockets);
    }

    fn open_link(&mut self, link: LinkId, to: (Transport, SocketAddr), from: (Option<IpAddr>, u16), server: u16) {
        let (now, (transport, remote)) = (self.turn.now, to);
        let client = self.tls.clients.get(usize::from(server)).and_then(Option::as_ref);
        let opened = match (transport, client) {
            (Transport::Udp, _) => self.sockets.open_udp(self.poll.registry(), link, remote, from).map(Some),
            (Transport::Tls, None) => Err(io::Error::other("TLS is not set up for this server")),
            (Transport::Tls, Some(client)) => client.connect().and_then(|session| {
                self.sockets
                    .open_stream(self.poll.registry(), link, (remote, from.0), Some(session), now)
                    .map(|()| None)
            }),
            (Transport::Tcp, _) => {
                self.sockets.open_stream(self.poll.registry(), link, (remote, from.0), None, now).map(|()| None)
            }
        };
        match opened {
            Ok(Some(local)) => {
                let known = Link::new(transport, local);
                self.station.handle_link(now, link, LinkEvent::Opened(known));
            }
            // A connection tells later.
            Ok(None) => {}
            Err(error) => self.station.handle_link(now, link, LinkEvent::Lost(fault_of(&error), error.to_string())),
        }
    }

    pub(super) fn drop_lost_links(&mut self) {
        for (link, fault, text) in self.sockets.take_lost(self.poll.registry()) {
            self.station.handle_link(self.turn.now, link, LinkEvent::Lost(fault, text));
        }
    }
}
