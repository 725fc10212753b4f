//! What the station wants: messages and packets to send, sockets to open and to close, reports.

use std::net::{IpAddr, SocketAddr};

use super::{Reactor, Turned, Wire, fault_of};
use crate::evidence::Message;
use crate::net::dialer::Dialer;
use crate::sip::flow::{Link, LinkId, Transport};
use crate::station::{LinkEvent, Output, Station};

/// Why a stream on a shared pair of sockets cannot go on.
fn indistinct(remote: SocketAddr) -> String {
    format!(
        "media sockets are shared, and several calls were told to expect RTP from {remote} without an a=ssrc of their own: \
         give each call a port of its own (sockets: per_call)"
    )
}

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
                    if let Some(transport) = transport {
                        let bytes = self.out.since(start);
                        wire.see(owner, &Message { at: now, sent: true, local, remote: flow.remote, transport, bytes });
                    }
                    self.out.push(index, flow.remote, start);
                    if self.out.is_full() {
                        self.out.flush(&mut self.sockets, &mut self.health);
                    }
                }
                Output::Media { port, channel, to } => match self.sockets.of_port(port, channel) {
                    Some(index) => self.out.push(index, to, start),
                    None => self.out.forget(start),
                },
                Output::OpenPort { port, sockets } => {
                    let opened = self.sockets.open_port(self.poll.registry(), port, sockets);
                    self.station.handle_port(now, port, opened);
                }
                Output::Expect { port, remote } => {
                    for port in self.sockets.expect(now, port, remote) {
                        self.station.handle_port(now, port, Err(indistinct(remote.rtp)));
                    }
                }
                Output::ClosePort(port) => {
                    // RTCP BYE goes out before its socket closes.
                    self.out.flush(&mut self.sockets, &mut self.health);
                    self.sockets.close_port(self.poll.registry(), port, now);
                }
                Output::OpenLink { link, transport, remote, local, local_port, server } => {
                    self.open_link(link, (transport, remote), (local, local_port), server);
                }
                Output::CloseLink(link) => {
                    self.out.flush(&mut self.sockets, &mut self.health);
                    self.sockets.close_link(self.poll.registry(), link, now);
                }
                Output::PauseLink { link, paused } => self.left.extend(self.sockets.pause(link, paused)),
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
        let opened = if transport == Transport::Udp {
            self.sockets.open_udp(self.poll.registry(), link, remote, from).map(Some)
        } else {
            let (plain, to) = (Dialer::default(), (remote, from.0));
            let above = self.tls.servers.get(usize::from(server)).unwrap_or(&plain).above(transport);
            let open = |above| self.sockets.open_stream(self.poll.registry(), link, to, above, now);
            above.and_then(open).map(|()| None)
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
        for (link, rungs, (fault, text)) in self.sockets.take_lost(self.poll.registry()) {
            self.station.handle_link(self.turn.now, link, LinkEvent::Climbed(rungs));
            self.station.handle_link(self.turn.now, link, LinkEvent::Lost(fault, text));
        }
    }
}
