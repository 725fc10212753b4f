//! One look at a STUN or TURN server, for the preflight: what it gives and how long that takes. Blocks; calls do the same on
//! their worker's sockets.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};

use super::clock::{self, Turn};
use super::dialer::Dialer;
use super::stream::{Advance, ReadState, Stream};
use super::tls;
use super::udp::{Buffers, Udp, local_address_towards};
use crate::sip::flow::Transport;
use crate::station::FAREWELL;
use crate::webrtc::{Config, Credentials, Event, Identity, Output, Peer, Server, Via};

const UDP: Token = Token(0);
const STREAM: Token = Token(1);

/// Asks a server that is reached by this transport what it gives, as an agent of WebRTC does. How long that took.
///
/// # Errors
/// What is wrong with it, by its name.
pub fn ask(
    server: Server,
    (transport, dialer): (Transport, &Dialer),
    identity: Arc<Identity>,
    credentials: Credentials,
    within: Duration,
) -> Result<Duration, String> {
    let (name, address) = (server.name.clone(), server.address);
    let failed = |error: io::Error| format!("{name} has no connection: {}", tls::describe(&error));
    let begun = clock::now();
    let mut look = Look::begin(server, (transport, dialer), identity, credentials, within).map_err(failed)?;
    while !look.turn().map_err(failed)? {}
    let took = clock::now().saturating_duration_since(begun);
    look.see_off().map_err(failed)?;
    match look.peer.server_faults() {
        None => Ok(took),
        Some(faults) => Err(format!("{faults} ({address})")),
    }
}

struct Look {
    peer: Peer,
    poll: Poll,
    udp: Udp,
    stream: Option<Stream>,
    buffers: Buffers,
    bytes: Vec<u8>,
    turn: Turn,
}

impl Look {
    fn begin(
        server: Server,
        (transport, dialer): (Transport, &Dialer),
        identity: Arc<Identity>,
        credentials: Credentials,
        within: Duration,
    ) -> io::Result<Self> {
        let now = clock::now();
        let remote = server.address;
        let poll = Poll::new()?;
        let mut udp = Udp::bind(SocketAddr::new(local_address_towards(remote)?, 0))?;
        poll.registry().register(udp.source(), UDP, Interest::READABLE)?;
        let mut stream = None;
        if transport.is_reliable() {
            let mut opening = Stream::connect(remote, None, dialer.above(transport)?)?;
            poll.registry().register(opening.source(), STREAM, Interest::READABLE | Interest::WRITABLE)?;
            stream = Some(opening);
        }
        let servers = vec![server];
        let config = Config { servers, gather_within: within, ..Config::new(udp.local(), true, credentials) };
        let peer = Peer::new(config, identity, clock::seed(), now);
        let (buffers, bytes, turn) = (Buffers::default(), Vec::new(), Turn::begin(now));
        Ok(Self { peer, poll, udp, stream, buffers, bytes, turn })
    }

    /// Does what there is to do, and waits for more. True where the server has said all.
    fn turn(&mut self) -> io::Result<bool> {
        let Some(due) = self.send()? else { return Ok(true) };
        self.wait(due.map(|at| at.saturating_duration_since(clock::now())))?;
        Ok(false)
    }

    /// The server gets its relayed address back, if it takes it in time.
    fn see_off(&mut self) -> io::Result<()> {
        let until = clock::now() + FAREWELL;
        self.peer.close(clock::now());
        loop {
            let due = self.send()?.flatten();
            let left = until.saturating_duration_since(clock::now());
            if self.peer.is_released() || left.is_zero() {
                return Ok(());
            }
            self.wait(Some(due.map_or(left, |at| at.saturating_duration_since(clock::now()).min(left))))?;
        }
    }

    /// Waits for something to arrive, and takes it.
    fn wait(&mut self, wait: Option<Duration>) -> io::Result<()> {
        let mut events = Events::with_capacity(8);
        match self.poll.poll(&mut events, wait) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        self.turn = Turn::begin(self.turn.now);
        let now = self.turn.now;
        let (udp, peer) = (&self.udp, &mut self.peer);
        while udp.receive(&mut self.buffers, &self.turn, |datagram| {
            let _ = peer.handle_packet(now, datagram.from, datagram.bytes);
        }) {}
        self.read_stream();
        self.peer.handle_timeout(now);
        Ok(())
    }

    fn read_stream(&mut self) {
        let (now, peer) = (self.turn.now, &mut self.peer);
        let Some(stream) = &mut self.stream else { return };
        let told = loop {
            match stream.advance() {
                Ok(Advance::Again) => {}
                Ok(Advance::Opened(_)) => peer.handle_connection(now, 0, Ok(())),
                Ok(Advance::Open) => {
                    match stream.receive(&mut self.bytes, |bytes| peer.handle_bytes(now, 0, bytes, |_, _| {})) {
                        ReadState::More => {}
                        ReadState::Drained => return,
                        ReadState::Closed(error) => break error,
                    }
                }
                Ok(Advance::Waiting) => return,
                Err(error) => break error,
            }
        };
        self.stream = None;
        peer.handle_connection(now, 0, Err(tls::describe(&told)));
    }

    /// Sends what is to be sent. When the next turn is due; `None` where the server has said all.
    fn send(&mut self) -> io::Result<Option<Option<std::time::Instant>>> {
        let (mut packet, mut settled) = (Vec::new(), false);
        loop {
            match self.peer.poll_output(&mut packet) {
                Output::Transmit(Via::Datagram(to)) => {
                    self.udp.send_all(std::iter::once((to, packet.as_slice())));
                }
                Output::Transmit(Via::Connection(_)) => {
                    if let Some(stream) = &mut self.stream {
                        stream.send(&packet)?;
                    }
                }
                Output::Event(Event::Gathered | Event::Failed(_)) => settled = true,
                Output::Event(_) => {}
                Output::Timeout(at) => return Ok(if settled { None } else { Some(at) }),
            }
        }
    }
}
