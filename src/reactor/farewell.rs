//! Connections that we have closed: read on, into nothing, until their peers close too.
//!
//! A socket that is closed with unread bytes resets its connection, and a peer that is reset may lose what we sent last
//! (RFC 9293, 3.6.1 and 3.10.4), as the message that gives a relay's allocation back. Waiting for the peer is bounded in time and
//! in number.

use std::collections::VecDeque;
use std::io::{self, Read as _};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustc_hash::FxHashMap;

/// How long a peer may take to close.
const WITHIN: Duration = Duration::from_secs(2);
/// Connections that are waited for at most; the oldest goes first.
const MOST: usize = 1024;
/// Bytes of one connection that are thrown away in one turn at most: who sends more is not waited for.
const MOST_BYTES: usize = 4 * 1024 * 1024;
/// Tokens from here on are of this module; sockets in use have lower ones.
const FIRST: usize = 1 << 48;

/// What waits, by token.
#[derive(Default)]
pub(super) struct Farewells {
    sockets: FxHashMap<usize, TcpStream>,
    /// Oldest first; some are gone already.
    until: VecDeque<(Instant, usize)>,
    next: usize,
}

impl Farewells {
    /// Whether this token is of a connection that we have closed.
    pub(super) fn concerns(token: usize) -> bool {
        token >= FIRST
    }

    /// Waits for the peer of a connection on which all was said. The socket is registered already.
    pub(super) fn add(&mut self, registry: &Registry, mut socket: TcpStream, now: Instant) {
        let token = FIRST + self.next;
        self.next += 1;
        // Without readiness it could not be read: it closes at once.
        if registry.reregister(&mut socket, Token(token), Interest::READABLE).is_ok() {
            self.sockets.insert(token, socket);
            self.until.push_back((now + WITHIN, token));
        }
        while self.sockets.len() > MOST {
            self.drop_oldest();
        }
    }

    /// Reads what is there; the socket closes where its peer has closed.
    pub(super) fn take(&mut self, token: usize, buffer: &mut Vec<u8>) {
        let Some(socket) = self.sockets.get_mut(&token) else { return };
        buffer.resize(buffer.len().max(16 * 1024), 0);
        let mut left = MOST_BYTES;
        let ended = loop {
            match socket.read(buffer) {
                Ok(0) => break true,
                Ok(count) => left = left.saturating_sub(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break true,
            }
            if left == 0 {
                break true;
            }
        };
        if ended {
            self.sockets.remove(&token);
        }
    }

    /// When [`expire`](Self::expire) has something to do next.
    pub(super) fn deadline(&self) -> Option<Instant> {
        if self.sockets.is_empty() { None } else { self.until.front().map(|(until, _)| *until) }
    }

    /// Closes those whose peers took too long.
    pub(super) fn expire(&mut self, now: Instant) {
        while self.until.front().is_some_and(|(until, token)| *until <= now || !self.sockets.contains_key(token)) {
            self.drop_oldest();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }

    fn drop_oldest(&mut self) {
        if let Some((_, token)) = self.until.pop_front() {
            self.sockets.remove(&token);
        }
    }
}
