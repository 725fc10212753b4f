//! What goes out in a turn: collected, then sent in batches.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Instant;

use super::Health;
use super::sockets::{Kind, Sockets};
use crate::station::LinkFault;

/// Who sees the messages of SIP on the wire: the evidence.
pub trait Wire {
    /// A message was sent for the attempt `owner` (0: nobody's).
    fn sent(
        &mut self,
        owner: u64,
        at: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        transport: &'static str,
        bytes: &[u8],
    );
    /// A message arrived for the attempt `owner` (0: nobody's).
    fn received(
        &mut self,
        owner: u64,
        at: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        transport: &'static str,
        bytes: &[u8],
    );
}

/// Nobody looks.
impl Wire for () {
    fn sent(&mut self, _: u64, _: Instant, _: SocketAddr, _: SocketAddr, _: &'static str, _: &[u8]) {}
    fn received(&mut self, _: u64, _: Instant, _: SocketAddr, _: SocketAddr, _: &'static str, _: &[u8]) {}
}

/// Packets of this turn, in order.
#[derive(Default)]
pub(super) struct Outgoing {
    arena: Vec<u8>,
    packets: Vec<(usize, SocketAddr, Range<usize>)>,
}

impl Outgoing {
    /// Where the station appends its bytes.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.arena
    }

    /// The end of what is collected so far.
    pub(super) fn mark(&self) -> usize {
        self.arena.len()
    }

    /// What was appended since a mark.
    pub(super) fn since(&self, mark: usize) -> &[u8] {
        &self.arena[mark..]
    }

    /// Takes back what was appended since a mark.
    pub(super) fn forget(&mut self, mark: usize) {
        self.arena.truncate(mark);
    }

    /// What was appended since a mark is a packet for a socket.
    pub(super) fn push(&mut self, socket: usize, to: SocketAddr, mark: usize) {
        self.packets.push((socket, to, mark..self.arena.len()));
    }

    /// Sends everything: runs of one socket in one batch.
    pub(super) fn flush(&mut self, sockets: &mut Sockets, health: &mut Health) {
        let mut rest = self.packets.as_slice();
        while let Some((socket, ..)) = rest.first() {
            let run = rest.iter().take_while(|(other, ..)| other == socket).count();
            let (now, later) = rest.split_at(run);
            rest = later;
            let taken = match sockets.get_mut(*socket) {
                Some(Kind::Sip { udp, .. } | Kind::Media { udp, .. }) => match now {
                    [(_, to, bytes)] => usize::from(udp.send(*to, &self.arena[bytes.clone()]).is_ok()),
                    many => {
                        let datagrams: Vec<(SocketAddr, &[u8])> =
                            many.iter().map(|(_, to, bytes)| (*to, &self.arena[bytes.clone()])).collect();
                        udp.send_all(&datagrams)
                    }
                },
                Some(Kind::Stream { stream, link, .. }) => {
                    let link = *link;
                    let mut bytes = now.iter().map(|(_, _, bytes)| &self.arena[bytes.clone()]);
                    match bytes.try_for_each(|bytes| stream.send(bytes)) {
                        Ok(()) => now.len(),
                        Err(error) => {
                            sockets.lose(link, LinkFault::Broken, error.to_string());
                            0
                        }
                    }
                }
                _ => 0,
            };
            health.sent += taken as u64;
            health.send_overflows += (now.len() - taken) as u64;
        }
        self.packets.clear();
        self.arena.clear();
    }
}
