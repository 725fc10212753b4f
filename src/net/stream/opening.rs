//! How a connection becomes open: TCP, then TLS and WebSocket where they are spoken.

use std::io;
use std::time::Duration;

use super::{Advance, State, Stream};
use crate::net::websocket::{Event, WebSocket};
use crate::net::{clock, tls};
use crate::sip::framing::Framer;

/// Content type of a TLS handshake record (RFC 8446 §5.1). No SIP message and no keep-alive begins so.
const HANDSHAKE: u8 = 22;
/// What a request for WebSocket begins with. No SIP message does.
const GET: &[u8] = b"GET ";

impl Stream {
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
            State::Greeting => self.greet(),
            State::Upgrading => self.upgrade(),
        }
    }

    /// The step at hand is done: how long it took.
    fn step(&mut self) -> Duration {
        let now = clock::now();
        now.saturating_duration_since(std::mem::replace(&mut self.since, now))
    }

    fn finish_connecting(&mut self) -> io::Result<Advance> {
        if let Some(error) = self.socket.take_error()? {
            return Err(error);
        }
        match self.socket.peer_addr() {
            Ok(_) => {
                self.rungs.tcp = Some(self.step());
                if self.tls.is_none() {
                    return self.begin();
                }
                self.state = State::Shaking;
                Ok(Advance::Again)
            }
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
                _ => self.begin(),
            },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Advance::Waiting),
            Err(error) => Err(error),
        }
    }

    fn shake(&mut self) -> io::Result<Advance> {
        let Some(tls) = &mut self.tls else { return self.begin() };
        let heard = tls.shake(&mut self.socket)?;
        match (tls.is_handshaking(), heard) {
            (false, _) => {
                self.rungs.tls = Some(self.step());
                self.begin()
            }
            (true, true) => Ok(Advance::Again),
            (true, false) => Ok(Advance::Waiting),
        }
    }

    /// TCP, and TLS where there is one, are done.
    fn begin(&mut self) -> io::Result<Advance> {
        self.state = match self.web {
            Some(_) => State::Upgrading,
            None if self.accepted => State::Greeting,
            None => return self.open(),
        };
        self.flush()?;
        Ok(Advance::Again)
    }

    /// The first words of a peer tell what it speaks.
    fn greet(&mut self) -> io::Result<Advance> {
        let mut first = [0; 512];
        let read = match self.read(&mut first) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Advance::Waiting),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Advance::Again),
            Err(error) => return Err(error),
        };
        self.early = true;
        self.framer.push(&first[..read]);
        let begun = self.framer.unread();
        if begun.starts_with(GET) {
            let mut web = WebSocket::server();
            web.handle_input(begun);
            (self.framer, self.web, self.state) = (Framer::new(), Some(Box::new(web)), State::Upgrading);
            return Ok(Advance::Again);
        }
        if GET.starts_with(begun) { Ok(Advance::Again) } else { self.open() }
    }

    fn upgrade(&mut self) -> io::Result<Advance> {
        let mut bytes = [0; 2048];
        let read = match self.read(&mut bytes) {
            Ok(0) => Err(None),
            Ok(read) => Ok(read),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Advance::Again),
            // TLS 1.3 refuses a client's certificate after the handshake.
            Err(error) if tls::is_tls(&error) => return Err(error),
            Err(error) => Err(Some(error.to_string())),
        };
        let Some(web) = &mut self.web else { return self.open() };
        let read = read.map_err(|text| web.handle_end(text))?;
        web.handle_input(&bytes[..read]);
        let event = web.poll_event();
        // A peer that is refused hears why.
        let flushed = self.flush();
        match event {
            Some(Event::Ended(fault)) => Err(fault.into()),
            Some(Event::Opened) => {
                (self.rungs.upgrade, self.early) = (Some(self.step()), true);
                flushed.and_then(|()| self.open())
            }
            _ if read > 0 => Ok(Advance::Again),
            _ => Ok(Advance::Waiting),
        }
    }

    fn open(&mut self) -> io::Result<Advance> {
        self.state = State::Open;
        self.acceptor = None;
        self.flush()?;
        self.socket.local_addr().map(Advance::Opened)
    }
}
