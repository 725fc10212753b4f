//! TCP connections of SIP: what arrives is cut into messages, what cannot be sent yet waits, within bounds.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use crate::sip::framing::{Frame, Framer};

/// Bytes that may wait for a slow peer before the connection is given up.
const MAX_WAITING: usize = 4 * 1024 * 1024;
/// Read at once.
const CHUNK: usize = 64 * 1024;
/// Chunks read in one turn, so that one busy connection does not hold up the others.
const CHUNKS_A_TURN: usize = 16;

/// A connection.
#[derive(Debug)]
pub struct Stream {
    socket: mio::net::TcpStream,
    remote: SocketAddr,
    framer: Framer,
    waiting: Vec<u8>,
    connected: bool,
}

/// What reading came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadState {
    /// Everything that was there is read.
    Drained,
    /// More is there: read again next turn.
    More,
    /// The peer closed, the connection broke, or it does not speak SIP.
    Closed,
}

impl Stream {
    /// Begins to connect.
    ///
    /// # Errors
    /// The system's.
    pub fn connect(remote: SocketAddr) -> io::Result<Self> {
        Ok(Self::of(mio::net::TcpStream::connect(remote)?, remote, false))
    }

    /// A connection that was accepted.
    pub fn accepted(socket: mio::net::TcpStream, remote: SocketAddr) -> Self {
        Self::of(socket, remote, true)
    }

    fn of(socket: mio::net::TcpStream, remote: SocketAddr, connected: bool) -> Self {
        let _ = socket.set_nodelay(true);
        Self { socket, remote, framer: Framer::new(), waiting: Vec::new(), connected }
    }

    /// For readiness.
    pub fn source(&mut self) -> &mut mio::net::TcpStream {
        &mut self.socket
    }

    /// The other end.
    pub fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// Whether the connection stands.
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// The socket became writable: once, that tells how connecting ended, with our own address.
    ///
    /// # Errors
    /// Why the connection could not be made.
    pub fn finish_connecting(&mut self) -> io::Result<Option<SocketAddr>> {
        if let Some(error) = self.socket.take_error()? {
            return Err(error);
        }
        match self.socket.peer_addr() {
            Ok(_) => {
                self.connected = true;
                self.socket.local_addr().map(Some)
            }
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends bytes, or keeps them until the peer takes them.
    ///
    /// # Errors
    /// The connection broke, or its peer takes nothing.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.waiting.len() + bytes.len() > MAX_WAITING {
            return Err(io::Error::new(io::ErrorKind::WriteZero, "the peer does not read what it is sent"));
        }
        self.waiting.extend_from_slice(bytes);
        self.flush()
    }

    /// Sends what waits.
    ///
    /// # Errors
    /// The connection broke.
    pub fn flush(&mut self) -> io::Result<()> {
        let mut sent = 0;
        let result = loop {
            if !self.connected || sent == self.waiting.len() {
                break Ok(());
            }
            match self.socket.write(&self.waiting[sent..]) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        self.waiting.drain(..sent);
        result
    }

    /// Reads what is there and gives each message to `each`.
    pub fn receive(&mut self, buffer: &mut Vec<u8>, mut each: impl FnMut(&[u8])) -> ReadState {
        buffer.resize(CHUNK, 0);
        for _ in 0..CHUNKS_A_TURN {
            match self.socket.read(buffer) {
                Ok(0) => return ReadState::Closed,
                Ok(count) => self.framer.push(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return ReadState::Drained,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return ReadState::Closed,
            }
            let mut pings = 0;
            loop {
                match self.framer.next_frame() {
                    Ok(Some(Frame::Message(bytes))) => each(bytes),
                    Ok(Some(Frame::Ping)) => pings += 1,
                    Ok(None) => break,
                    Err(_) => return ReadState::Closed,
                }
            }
            for _ in 0..pings {
                if self.send(b"\r\n").is_err() {
                    return ReadState::Closed;
                }
            }
        }
        ReadState::More
    }
}
