//! What goes out in a turn: collected, then sent in batches.

use std::net::SocketAddr;
use std::ops::Range;

use super::Health;
use super::sockets::{Kind, Sockets};
use crate::evidence::Message;

/// Who sees the messages of SIP on the wire: the evidence.
pub trait Wire {
    /// A message was sent or arrived for the attempt `owner` (0: nobody's).
    fn see(&mut self, owner: u64, message: &Message<'_>);
}

/// Nobody looks.
impl Wire for () {
    fn see(&mut self, _: u64, _: &Message<'_>) {}
}

/// Bytes that are collected at most: a burst of thousands of messages need not lie in memory as a whole.
const FULL: usize = 256 * 1024;

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

    /// Whether so much is collected that it had better go out in mid-turn.
    pub(super) fn is_full(&self) -> bool {
        self.arena.len() >= FULL
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
                Some(Kind::Sip { udp, .. } | Kind::Media { udp, .. }) => {
                    udp.send_all(now.iter().map(|(_, to, bytes)| (*to, &self.arena[bytes.clone()])))
                }
                Some(Kind::Stream { stream, link, .. }) => {
                    let link = *link;
                    let mut bytes = now.iter().map(|(_, _, bytes)| &self.arena[bytes.clone()]);
                    match bytes.try_for_each(|bytes| stream.send(bytes)) {
                        Ok(()) => now.len(),
                        Err(error) => {
                            sockets.lose_by(link, &error);
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
