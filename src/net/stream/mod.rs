//! Connections of SIP, TCP, TLS and WebSocket: what arrives is cut into messages, what cannot be sent yet waits, within
//! bounds.
//!
//! ```text
//! connect()  ─► Connecting ─► (Shaking) ─► (Upgrading) ─► Open
//! accepted() ─► Unknown: the first byte tells TLS ─► (Shaking) ─► Greeting: GET tells WebSocket ─► (Upgrading) ─► Open
//! ```

mod opening;

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::time::Instant;

use super::clock;
use super::tls::{self, Acceptor, Session};
use super::websocket::{Event, Fault, WebSocket};
use crate::sip::flow::Transport;
use crate::sip::framing::{Frame, Framer};
use crate::sip::keep_alive::PING;
use crate::sip::one_message::is_line_ends;
use crate::station::Rungs;

/// Bytes that may wait for a slow peer before the connection is given up.
const MAX_WAITING: usize = 4 * 1024 * 1024;
/// Read at once.
const CHUNK: usize = 64 * 1024;
/// Chunks read in one turn, so that one busy connection does not hold up the others.
const CHUNKS_A_TURN: usize = 16;
/// The answer to a ping.
const PONG: &[u8] = b"\r\n";

/// A connection.
#[derive(Debug)]
pub struct Stream {
    socket: mio::net::TcpStream,
    remote: SocketAddr,
    state: State,
    tls: Option<Box<Session>>,
    web: Option<Box<WebSocket>>,
    /// For a peer that begins with TLS.
    acceptor: Option<Acceptor>,
    framer: Framer,
    waiting: Vec<u8>,
    /// When the step at hand of becoming open began, and how long those took that are done.
    since: Instant,
    rungs: Rungs,
    /// Somebody else opened it.
    accepted: bool,
    /// What came before it was open is still to be given out.
    early: bool,
    /// Its bytes are given out as they come.
    raw: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Connecting,
    Unknown,
    Shaking,
    Greeting,
    Upgrading,
    Open,
}

/// What a connection begins with once TCP has connected.
#[derive(Debug, Default)]
pub struct Above {
    /// TLS.
    pub tls: Option<Session>,
    /// WebSocket, within TLS or not.
    pub web: Option<WebSocket>,
    /// It is no SIP that is spoken: bytes are given out as they come.
    pub raw: bool,
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
    pub fn connect(remote: SocketAddr, local: Option<IpAddr>, above: Above) -> io::Result<Self> {
        let socket = match local {
            None => mio::net::TcpStream::connect(remote)?,
            Some(local) => connect_from(local, remote)?,
        };
        let Above { tls, web, raw } = above;
        let (tls, web) = (tls.map(Box::new), web.map(Box::new));
        Ok(Self { tls, web, raw, ..Self::of(socket, remote, State::Connecting) })
    }

    /// A connection that was accepted. Its peer may speak SIP or WebSocket and, with an `acceptor`, TLS below it, as it
    /// likes.
    pub fn accepted(socket: mio::net::TcpStream, remote: SocketAddr, acceptor: Option<Acceptor>) -> Self {
        Self { acceptor, accepted: true, ..Self::of(socket, remote, State::Unknown) }
    }

    fn of(socket: mio::net::TcpStream, remote: SocketAddr, state: State) -> Self {
        let _ = socket.set_nodelay(true);
        let (framer, waiting) = (Framer::new(), Vec::new());
        let (since, rungs) = (clock::now(), Rungs::default());
        let (tls, web, acceptor) = (None, None, None);
        let (accepted, early, raw) = (false, false, false);
        Self { socket, remote, state, tls, web, acceptor, framer, waiting, since, rungs, accepted, early, raw }
    }

    /// For readiness.
    pub fn source(&mut self) -> &mut mio::net::TcpStream {
        &mut self.socket
    }

    /// The other end.
    pub fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// TCP, TLS, WS or WSS.
    pub fn transport(&self) -> Transport {
        match (&self.tls, &self.web) {
            (None, None) => Transport::Tcp,
            (Some(_), None) => Transport::Tls,
            (None, Some(_)) => Transport::Ws,
            (Some(_), Some(_)) => Transport::Wss,
        }
    }

    /// Whether it carries something else than SIP.
    pub fn is_raw(&self) -> bool {
        self.raw
    }

    /// How long the steps took that are done towards an open connection of ours.
    pub fn rungs(&self) -> Rungs {
        self.rungs
    }

    /// Whether messages can be exchanged.
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Whether the connection is past TCP's own handshake, and in that of TLS.
    pub fn is_shaking(&self) -> bool {
        self.state == State::Shaking
    }

    /// Whether the connection is in the handshake of WebSocket.
    pub fn is_upgrading(&self) -> bool {
        self.state == State::Upgrading
    }

    /// Whether a message has begun that is not whole yet.
    pub fn is_within_message(&self) -> bool {
        self.unfinished() > 0
    }

    fn unfinished(&self) -> usize {
        self.web.as_ref().map_or_else(|| self.framer.pending(), |web| web.unfinished())
    }

    /// Bytes that are held for it: of an unfinished message, and of what its peer does not take.
    pub fn held(&self) -> usize {
        self.unfinished() + self.waiting.len()
    }

    /// Sends bytes, or keeps them until the peer takes them.
    ///
    /// # Errors
    /// The connection broke, or its peer takes nothing.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.waiting.len() + bytes.len() > MAX_WAITING {
            return Err(io::Error::new(io::ErrorKind::WriteZero, "the peer does not read what it is sent"));
        }
        match &mut self.web {
            Some(web) => web.send(bytes),
            None => self.waiting.extend_from_slice(bytes),
        }
        self.flush()
    }

    /// Sends what waits.
    ///
    /// # Errors
    /// The connection broke.
    pub fn flush(&mut self) -> io::Result<()> {
        match (&mut self.tls, self.state) {
            (_, State::Connecting | State::Unknown | State::Shaking | State::Greeting) => Ok(()),
            (tls, State::Upgrading | State::Open) => {
                if let Some(web) = &mut self.web {
                    web.poll_output(&mut self.waiting);
                }
                match tls {
                    Some(tls) => tls.flush(&mut self.socket, &mut self.waiting),
                    None => self.flush_plain(),
                }
            }
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
        // What came before the connection was open.
        if std::mem::take(&mut self.early)
            && let Err(error) = self.take_in(None, &mut each)
        {
            return ReadState::Closed(error);
        }
        for _ in 0..CHUNKS_A_TURN {
            let read = match self.read(buffer) {
                Ok(0) => return ReadState::Closed(self.cut_off(None)),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return ReadState::Drained,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return ReadState::Closed(self.cut_off(Some(error))),
            };
            if let Err(error) = self.take_in(Some(&buffer[..read]), &mut each) {
                return ReadState::Closed(error);
            }
        }
        ReadState::More
    }

    /// Gives what has become whole to `each`, and answers pings.
    fn take_in(&mut self, bytes: Option<&[u8]>, each: &mut impl FnMut(&[u8])) -> io::Result<()> {
        let pings = match &mut self.web {
            Some(web) => {
                web.handle_input(bytes.unwrap_or_default());
                let (pings, ended) = take_web(web, each);
                if let Some(fault) = ended {
                    // The peer hears of the end what it may.
                    let _ = self.flush();
                    return Err(fault.into());
                }
                pings
            }
            None if self.raw => {
                bytes.into_iter().for_each(each);
                0
            }
            None => self.take_stream(bytes, each)?,
        };
        (0..pings).try_for_each(|_| self.send(PONG))?;
        // Pongs of WebSocket.
        if self.web.is_some() { self.flush() } else { Ok(()) }
    }

    fn take_stream(&mut self, bytes: Option<&[u8]>, each: &mut impl FnMut(&[u8])) -> io::Result<usize> {
        let first = match bytes {
            Some(bytes) => is_line_ends(bytes),
            None => is_line_ends(self.framer.unread()),
        };
        self.framer.push(bytes.unwrap_or_default());
        let (mut pings, mut messages) = (0, 0);
        loop {
            match self.framer.next_frame() {
                Ok(Some(Frame::Message(bytes))) => {
                    messages += 1;
                    each(bytes);
                }
                Ok(Some(Frame::Ping)) => pings += 1,
                Ok(None) => break,
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            }
        }
        // A pong may be all that comes: it shows that the peer is there.
        if messages == 0 && first {
            each(bytes.unwrap_or(PONG));
        }
        Ok(pings)
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.tls {
            Some(tls) => tls.read(&mut self.socket, buffer),
            None => self.socket.read(buffer),
        }
    }

    /// What the connection's end says, with the error that there was.
    fn cut_off(&mut self, error: Option<io::Error>) -> io::Error {
        if let Some(web) = &mut self.web
            && !error.as_ref().is_some_and(tls::is_tls)
        {
            return web.handle_end(error.map(|error| error.to_string())).into();
        }
        error.unwrap_or_else(|| {
            let text = match self.framer.pending() {
                0 => "the peer closed the connection".to_owned(),
                bytes => {
                    format!("the peer closed the connection in the middle of a message, after {bytes} bytes of it")
                }
            };
            io::Error::new(io::ErrorKind::UnexpectedEof, text)
        })
    }

    /// Says that nothing more will come; the socket closes when this is dropped.
    pub fn close(&mut self) {
        if let Some(web) = &mut self.web {
            web.close();
        }
        let _ = self.flush();
        if let Some(tls) = &mut self.tls {
            tls.close(&mut self.socket);
        }
    }

    /// Says that nothing more will come, and leaves the socket, already registered, to who reads on. One that closes with
    /// unread bytes resets its connection, and its peer may lose what we sent last (RFC 9293, 3.6.1). `None` where
    /// nothing was ever said, or nothing can be any more.
    pub fn half_close(mut self) -> Option<mio::net::TcpStream> {
        self.close();
        let said = self.is_open() && self.socket.shutdown(Shutdown::Write).is_ok();
        said.then_some(self.socket)
    }
}

/// Takes what has become whole: how many pings there were, and the fault that ended it.
fn take_web(web: &mut WebSocket, each: &mut impl FnMut(&[u8])) -> (usize, Option<Fault>) {
    let mut pings = 0;
    while let Some(event) = web.poll_event() {
        match event {
            Event::Opened => {}
            Event::Message(bytes) => {
                pings += usize::from(*bytes == *PING);
                each(&bytes);
            }
            Event::Pong => each(PONG),
            Event::Ended(fault) => return (pings, Some(fault)),
        }
    }
    (pings, None)
}
