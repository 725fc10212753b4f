//! The servers of one peer: they tell its candidates (RFC 8445 §5.1.1), and carry what goes by a relay.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::ice::Ice;
use super::server::{Client, Received, Server};
use crate::units::Random;

/// Which way a packet of a peer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// As a datagram, to this address.
    Datagram(SocketAddr),
    /// Over the connection to the server of this number.
    Connection(usize),
}

/// Between us and an address of the other side: straight, or by the server of this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) remote: SocketAddr,
    pub(super) by: Option<usize>,
}

/// The servers of one peer.
#[derive(Debug, Default)]
pub(super) struct Servers {
    clients: Vec<Client>,
    /// Until then they have time to tell us our addresses.
    until: Option<Instant>,
    /// Addresses of ours that became candidates.
    told: Vec<SocketAddr>,
}

impl Servers {
    /// Asks all of them, each in a sequence of its own.
    pub(super) fn new(servers: &[Server], local: SocketAddr, seed: u64, now: Instant, within: Duration) -> Self {
        let seeds = |index: usize| Random::of(seed, [index as u64]).next_u64();
        let client = |(index, server): (usize, &Server)| Client::new(server.clone(), local, seeds(index), now);
        let clients: Vec<Client> = servers.iter().enumerate().map(client).collect();
        let until = (!clients.is_empty()).then(|| now + within);
        Self { clients, until, told: Vec::new() }
    }

    pub(super) fn is_gathering(&self) -> bool {
        self.until.is_some()
    }

    /// Ends gathering when every server has answered or had its time. True where it ended now.
    pub(super) fn settle(&mut self, now: Instant) -> bool {
        let Some(until) = self.until else { return false };
        if until > now && !self.clients.iter().all(Client::is_settled) {
            return false;
        }
        self.until = None;
        self.clients.iter_mut().for_each(Client::give_up);
        true
    }

    /// Adds the candidates that servers have told by now. What comes by a new relay is passed on from every candidate of the other
    /// side's that is known.
    pub(super) fn add_candidates(&mut self, now: Instant, ice: &mut Ice, relay_only: bool) {
        for client in &mut self.clients {
            let mut is_new = |address: &SocketAddr| {
                let new = !self.told.contains(address);
                self.told.extend(new.then_some(*address));
                new
            };
            if let Some(mapped) = client.mapped().filter(|_| !relay_only).filter(&mut is_new) {
                ice.add_reflexive(mapped);
            }
            if let Some(relayed) = client.relayed().filter(&mut is_new) {
                ice.add_relayed(relayed);
                for address in ice.remote_addresses().filter(|address| address.is_ipv4() == relayed.is_ipv4()) {
                    client.permit(now, address.ip());
                }
            }
        }
    }

    /// The first relayed address that there is.
    pub(super) fn relayed(&self) -> Option<SocketAddr> {
        self.clients.iter().find_map(Client::relayed)
    }

    /// What is wrong with servers, in one sentence; `None` where nothing is.
    pub(super) fn faults(&self) -> Option<String> {
        let faults: Vec<String> =
            self.clients.iter().filter_map(Client::fault).map(|fault| fault.to_string()).collect();
        (!faults.is_empty()).then(|| faults.join("; "))
    }

    /// The server that relays this address for us.
    pub(super) fn relay_of(&self, address: SocketAddr) -> Option<usize> {
        self.clients.iter().position(|client| client.relayed() == Some(address))
    }

    /// Where the server of this number relays us.
    pub(super) fn address_of(&self, by: Option<usize>) -> Option<SocketAddr> {
        self.clients.get(by?)?.relayed()
    }

    /// What comes from there is to be passed on by every relay.
    pub(super) fn permit(&mut self, now: Instant, peer: IpAddr) {
        for client in &mut self.clients {
            if client.relayed().is_some_and(|relayed| relayed.is_ipv4() == peer.is_ipv4()) {
                client.permit(now, peer);
            }
        }
    }

    /// Much will go this way.
    pub(super) fn bind(&mut self, now: Instant, path: Path) {
        if let Some(client) = path.by.and_then(|by| self.clients.get_mut(by)) {
            client.bind(now, path.remote);
        }
    }

    /// Appends to `out` what carries `bytes` along a path. Which way that goes.
    pub(super) fn wrap(&mut self, path: Path, bytes: &[u8], out: &mut Vec<u8>) -> Via {
        match path.by.and_then(|by| Some((by, self.clients.get_mut(by)?))) {
            None => {
                out.extend_from_slice(bytes);
                Via::Datagram(path.remote)
            }
            Some((by, client)) => {
                client.wrap(path.remote, bytes, out);
                via(by, client)
            }
        }
    }

    /// Takes a datagram, where it is a server's; what is in it, where that is a peer's.
    pub(super) fn receive<'a>(
        &mut self,
        now: Instant,
        from: SocketAddr,
        bytes: &'a [u8],
    ) -> Option<Option<(Path, &'a [u8])>> {
        // A server may be there for STUN and for TURN.
        for (by, client) in self.clients.iter_mut().enumerate() {
            if client.server().reliable || client.server().address != from {
                continue;
            }
            match client.receive(now, bytes) {
                Received::Taken => return Some(None),
                Received::Data(remote, data) => return Some(Some((Path { remote, by: Some(by) }, data))),
                Received::Stray => {}
            }
        }
        None
    }

    /// Takes bytes of the connection to a server; what is in them that is a peer's.
    pub(super) fn receive_bytes(&mut self, now: Instant, by: usize, bytes: &[u8]) -> Vec<(Path, Vec<u8>)> {
        let mut found = Vec::new();
        if let Some(client) = self.clients.get_mut(by) {
            let path = |remote| Path { remote, by: Some(by) };
            client.receive_bytes(now, bytes, |remote, data| found.push((path(remote), data.to_vec())));
        }
        found
    }

    /// The connection to a server is open, or lost, and why.
    pub(super) fn handle_connection(&mut self, now: Instant, by: usize, opened: Result<(), String>) {
        let Some(client) = self.clients.get_mut(by) else { return };
        match opened {
            Ok(()) => client.opened(now),
            Err(text) => client.lost(text),
        }
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.clients.iter().filter_map(Client::due).chain(self.until).min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.clients.iter_mut().for_each(|client| client.handle_timeout(now));
    }

    /// The next packet for a server, its bytes into `buf`.
    pub(super) fn poll_transmit(&mut self, buf: &mut Vec<u8>) -> Option<Via> {
        let found = |(by, client): (usize, &mut Client)| client.poll_transmit().map(|bytes| (via(by, client), bytes));
        let (via, bytes) = self.clients.iter_mut().enumerate().find_map(found)?;
        *buf = bytes;
        Some(via)
    }

    /// Gives every relayed address back.
    pub(super) fn release(&mut self, now: Instant) {
        self.until = None;
        self.clients.iter_mut().for_each(|client| client.release(now));
    }

    /// Whether every server has taken its address back, or was asked often enough.
    pub(super) fn are_released(&self) -> bool {
        self.clients.iter().all(Client::is_released)
    }
}

fn via(by: usize, client: &Client) -> Via {
    let server = client.server();
    if server.reliable { Via::Connection(by) } else { Via::Datagram(server.address) }
}
