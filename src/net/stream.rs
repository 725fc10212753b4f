//! Connections of SIP, TCP and TLS: what arrives is cut into messages, what cannot be sent yet waits, within bounds.
//!
//! ```text
//! connect()  ─► Connecting ─► (Shaking) ─► Open
//! accepted() ─► Unknown: the first byte tells TLS from SIP ─► (Shaking) ─► Open
//! ```

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};

use super::tls::{Acceptor, Session};
use crate::sip::flow::Transport;
use crate::sip::framing::{Frame, Framer};

/// Bytes that may wait for a slow peer before the connection is given up.
const MAX_WAITING: usize = 4 * 1024 * 1024;
/// Read at once.
const CHUNK: usize = 64 * 1024;
/// Chunks read in one turn, so that one busy connection does not hold up the others.
const CHUNKS_A_TURN: usize = 16;
/// Content type of a TLS handshake record (RFC 8446 §5.1). No SIP message and no keep-alive begins so.
const HANDSHAKE: u8 = 22;

/// A connection.
#[derive(Debug)]
pub struct Stream {
    socket: mio::net::TcpStream,
    remote: SocketAddr,
    state: State,
    tls: Option<Box<Session>>,
    /// For a peer that begins with TLS.
    acceptor: Option<Acceptor>,
    framer: Framer,
    waiting: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Connecting,
    Unknown,
    Shaking,
    Open,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advance {
    /// It waits for its peer.
    Waiting,
    /// A step of its handshake is done, and more may be there to do.
    Again,
    /// It is open from now on, with our own address.
    Opened(SocketAddr),
    /// It was open already.
    Open,
}

/// What reading came to.
#[derive(Debug)]
pub enum ReadState {
    /// Everything that was there is read.
    Drained,
    /// More is there: read again next turn.
    More,
    /// The peer closed, the connection broke, or it does not speak SIP.
    Closed(io::Error),
}

/// A connection from one of several local addresses that is being opened.
fn connect_from(local: IpAddr, remote: SocketAddr) -> io::Result<mio::net::TcpStream> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(remote), socket2::Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::new(local, 0).into())?;
    match socket.connect(&remote.into()) {
        Err(error) if error.raw_os_error() != Some(nix::errno::Errno::EINPROGRESS as i32) => Err(error),
        _ => Ok(mio::net::TcpStream::from_std(socket.into())),
    }
}

impl Stream {
    /// Begins to connect, from this local address where one is given.
    ///
    /// # Errors
    /// The system's.
    pub fn connect(remote: SocketAddr, local: Option<IpAddr>, tls: Option<Session>) -> io::Result<Self> {
        let socket = match local {
            None => mio::net::TcpStream::connect(remote)?,
            Some(local) => connect_from(local, remote)?,
        };
        Ok(Self { tls: tls.map(Box::new), ..Self::of(socket, remote, State::Connecting) })
    }

    /// A connection that was accepted. With an `acceptor` its peer may speak TLS or not, as it likes.
    pub fn accepted(socket: mio::net::TcpStream, remote: SocketAddr, acceptor: Option<Acceptor>) -> Self {
        Self { acceptor, ..Self::of(socket, remote, State::Unknown) }
    }

    fn of(socket: mio::net::TcpStream, remote: SocketAddr, state: State) -> Self {
        let _ = socket.set_nodelay(true);
        let (framer, waiting) = (Framer::new(), Vec::new());
        Self { socket, remote, state, tls: None, acceptor: None, framer, waiting }
    }

    /// For readiness.
    pub fn source(&mut self) -> &mut mio::net::TcpStream {
        &mut self.socket
    }

    /// The other end.
    pub fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// TCP or TLS.
    pub fn transport(&self) -> Transport {
        if self.tls.is_some() { Transport::Tls } else { Transport::Tcp }
    }

    /// Whether messages can be exchanged.
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Whether the connection is past TCP's own handshake, and in that of TLS.
    pub fn is_shaking(&self) -> bool {
        self.state == State::Shaking
    }

    /// Whether a message has begun that is not whole yet.
    pub fn is_within_message(&self) -> bool {
        self.framer.pending() > 0
    }

    /// Bytes that are held for it: of an unfinished message, and of what its peer does not take.
    pub fn held(&self) -> usize {
        self.framer.pending() + self.waiting.len()
    }

    /// Takes one step towards being open.
    ///
    /// # Errors
    /// Why the connection could not be made.
    pub fn advance(&mut self) -> io::Result<Advance> {
        match self.state {
            State::Open => Ok(Advance::Open),
            State::Connecting => self.finish_connecting(),
            State::Unknown => self.look(),
            State::Shaking => self.shake(),
        }
    }

    fn finish_connecting(&mut self) -> io::Result<Advance> {
        if let Some(error) = self.socket.take_error()? {
            return Err(error);
        }
        match self.socket.peer_addr() {
            Ok(_) if self.tls.is_some() => {
                self.state = State::Shaking;
                Ok(Advance::Again)
            }
            Ok(_) => self.open(),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(Advance::Waiting),
            Err(error) => Err(error),
        }
    }

    fn look(&mut self) -> io::Result<Advance> {
        let mut first = [0];
        match self.socket.peek(&mut first) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => match &self.acceptor {
                Some(acceptor) if first == [HANDSHAKE] => {
                    self.tls = Some(Box::new(acceptor.accept()?));
                    self.state = State::Shaking;
                    Ok(Advance::Again)
                }
                _ => self.open(),
            },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Advance::Waiting),
            Err(error) => Err(error),
        }
    }

    fn shake(&mut self) -> io::Result<Advance> {
        let Some(tls) = &mut self.tls else { return self.open() };
        let heard = tls.shake(&mut self.socket)?;
        match (tls.is_handshaking(), heard) {
            (false, _) => self.open(),
            (true, true) => Ok(Advance::Again),
            (true, false) => Ok(Advance::Waiting),
        }
    }

    fn open(&mut self) -> io::Result<Advance> {
        self.state = State::Open;
        self.acceptor = None;
        self.flush()?;
        self.socket.local_addr().map(Advance::Opened)
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
        match (&mut self.tls, self.state) {
            (_, State::Connecting | State::Unknown | State::Shaking) => Ok(()),
            (Some(tls), State::Open) => tls.flush(&mut self.socket, &mut self.waiting),
            (None, State::Open) => self.flush_plain(),
        }
    }

    fn flush_plain(&mut self) -> io::Result<()> {
        let mut sent = 0;
        let result = loop {
            if sent == self.waiting.len() {
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

    /// Reads what is there and gives each message to `each`, and line ends where nothing else came.
    pub fn receive(&mut self, buffer: &mut Vec<u8>, mut each: impl FnMut(&[u8])) -> ReadState {
        buffer.resize(CHUNK, 0);
        for _ in 0..CHUNKS_A_TURN {
            let read = match self.read(buffer) {
                Ok(0) => return ReadState::Closed(self.cut_off()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return ReadState::Drained,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return ReadState::Closed(error),
            };
            self.framer.push(&buffer[..read]);
            let (mut pings, mut messages) = (0, 0);
            loop {
                match self.framer.next_frame() {
                    Ok(Some(Frame::Message(bytes))) => {
                        messages += 1;
                        each(bytes);
                    }
                    Ok(Some(Frame::Ping)) => pings += 1,
                    Ok(None) => break,
                    Err(error) => return ReadState::Closed(io::Error::new(io::ErrorKind::InvalidData, error)),
                }
            }
            // A pong may be all that comes: it shows that the peer is there.
            if messages == 0 && buffer.iter().take(read).all(|byte| matches!(byte, b'\r' | b'\n')) {
                each(&buffer[..read]);
            }
            for _ in 0..pings {
                if let Err(error) = self.send(b"\r\n") {
                    return ReadState::Closed(error);
                }
            }
        }
        ReadState::More
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.tls {
            Some(tls) => tls.read(&mut self.socket, buffer),
            None => self.socket.read(buffer),
        }
    }

    /// What the peer's closing says.
    fn cut_off(&self) -> io::Error {
        let text = match self.framer.pending() {
            0 => "the peer closed the connection".to_owned(),
            bytes => format!("the peer closed the connection in the middle of a message, after {bytes} bytes of it"),
        };
        io::Error::new(io::ErrorKind::UnexpectedEof, text)
    }

    /// Says that nothing more will come; the socket closes when this is dropped.
    pub fn close(&mut self) {
        let _ = self.flush();
        if let Some(tls) = &mut self.tls {
            tls.close(&mut self.socket);
        }
    }
}
