//! SIP over WebSocket (RFC 7118) as a machine over the buffers of a connection: bytes in, SIP messages out, and the other
//! way round. It has no socket and no clock, and one contract: [`WebSocket::handle_input`] never fails,
//! [`WebSocket::poll_event`] is asked until it has no more, then [`WebSocket::poll_output`].
//!
//! ```text
//! client() ─► Asking ──101 with `sip`──► Open ──close, fault──► Over
//! server() ─► Asked ──GET with `sip`───►  │
//! ```
//!
//! Frames are tungstenite's, which also makes the keys of the handshake and the masks of frames.

mod fault;
mod handshake;

use std::io::{self, Read, Write};

use tungstenite::protocol::frame::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Bytes, Error, Message};

use crate::scenario::plan::WebSettings;
use crate::sip::keep_alive::PING;
use crate::sip::one_message::check_one_message;

pub use fault::{Fault, Kind, kind_of};

/// Longest message that is taken, bytes, in one frame or in several.
pub const MAX_MESSAGE: usize = 256 * 1024;
/// Longest head of the request or of its answer.
const MAX_HEAD: usize = 16 * 1024;
/// What a connection that is idle keeps to read into.
const READ_BUFFER: usize = 4096;

/// One side of a WebSocket connection.
#[derive(Debug)]
pub struct WebSocket {
    state: State,
    /// What came and was not looked at; the first `taken` bytes of it were.
    input: Vec<u8>,
    taken: usize,
    output: Vec<u8>,
    /// Bytes that came since a message was whole, without the control frames among them.
    unfinished: usize,
    /// Bytes of a control frame before its payload: a client masks.
    control_head: usize,
    /// A keep-alive goes out as a ping frame, which every peer has to answer, and not as a message of two CRLFs.
    pings: bool,
}

#[derive(Debug)]
enum State {
    /// The request was sent; this is what Sec-WebSocket-Accept has to be.
    Asking(String),
    /// The peer is to send its request.
    Asked,
    Open(Box<WebSocketContext>),
    Over,
}

/// What came of what arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Both sides have agreed: messages can be exchanged.
    Opened,
    /// A SIP message, or line ends that keep the flow alive.
    Message(Bytes),
    /// The answer to a ping.
    Pong,
    /// It is over. What is there to send should be sent; then the connection is to be closed.
    Ended(Fault),
}

impl WebSocket {
    /// The side that connects. Its request is there to be sent.
    ///
    /// # Errors
    /// The settings make no HTTP request.
    pub fn client(settings: &WebSettings) -> io::Result<Self> {
        let (request, accept) = handshake::request(settings)?;
        Ok(Self { output: request, pings: settings.pings, ..Self::new(State::Asking(accept)) })
    }

    /// The side that was connected to. It takes any path.
    pub fn server() -> Self {
        Self::new(State::Asked)
    }

    fn new(state: State) -> Self {
        let (input, output) = (Vec::new(), Vec::new());
        Self { state, input, taken: 0, output, unfinished: 0, control_head: 2, pings: true }
    }

    /// Whether it waits for the handshake's end.
    pub fn is_upgrading(&self) -> bool {
        matches!(self.state, State::Asking(_) | State::Asked)
    }

    /// Bytes of a message that is not whole yet.
    pub fn unfinished(&self) -> usize {
        self.unfinished
    }

    /// Bytes arrived.
    pub fn handle_input(&mut self, bytes: &[u8]) {
        if !matches!(self.state, State::Over) {
            self.input.extend_from_slice(bytes);
            self.unfinished += bytes.len();
        }
    }

    /// The peer will send nothing more: what that says.
    pub fn handle_end(&mut self, text: Option<String>) -> Fault {
        let fault = match std::mem::replace(&mut self.state, State::Over) {
            State::Asking(_) | State::Asked => Fault::EndedInUpgrade,
            State::Open(_) | State::Over => Fault::CutOff(text),
        };
        (self.input, self.taken) = (Vec::new(), 0);
        fault
    }

    /// What came of what arrived, one after the other.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = match &self.state {
            State::Asking(_) => self.take_answer(),
            State::Asked => self.take_request(),
            State::Open(_) => self.read(),
            State::Over => return None,
        };
        event.unwrap_or_else(|fault| {
            self.state = State::Over;
            Some(Event::Ended(fault))
        })
    }

    /// Moves what is to be sent to the end of `out`.
    pub fn poll_output(&mut self, out: &mut Vec<u8>) {
        if !self.output.is_empty() {
            out.append(&mut self.output);
            self.output = Vec::new();
        }
    }

    /// Sends a SIP message: as text where it is UTF-8, as RFC 7118 §5 has it, else as binary.
    pub fn send(&mut self, message: &[u8]) {
        if message == PING && self.pings {
            return self.write(Message::Ping(Bytes::new()));
        }
        self.write(match std::str::from_utf8(message) {
            Ok(text) => Message::text(text),
            Err(_) => Message::binary(message.to_vec()),
        });
    }

    /// Says that nothing more will be said.
    pub fn close(&mut self) {
        let normal = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        self.with_context(|context, pipe| {
            // A buffer takes every write; a peer that has closed before hears nothing more.
            let _ = context.close(pipe, Some(normal));
        });
        self.state = State::Over;
    }

    fn write(&mut self, message: Message) {
        self.with_context(|context, pipe| {
            // A buffer takes every write; after the close nothing more is said.
            let _ = context.write(pipe, message).and_then(|()| context.flush(pipe));
        });
    }

    fn with_context<R>(&mut self, act: impl FnOnce(&mut WebSocketContext, &mut Pipe<'_>) -> R) -> Option<R> {
        let State::Open(context) = &mut self.state else { return None };
        let mut pipe = Pipe { input: &self.input[self.taken..], output: &mut self.output };
        let result = act(context, &mut pipe);
        self.taken = self.input.len() - pipe.input.len();
        if self.taken == self.input.len() {
            (self.input, self.taken) = (Vec::new(), 0);
        }
        Some(result)
    }

    fn take_answer(&mut self) -> Result<Option<Event>, Fault> {
        let State::Asking(accept) = &self.state else { return Ok(None) };
        match handshake::read_answer(self.head(), accept)? {
            Some(end) => Ok(Some(self.open(Role::Client, end))),
            None => self.wait_for_head(),
        }
    }

    fn take_request(&mut self) -> Result<Option<Event>, Fault> {
        let head = &self.input[..self.input.len().min(MAX_HEAD)];
        match handshake::answer(head, &mut self.output)? {
            Some(end) => Ok(Some(self.open(Role::Server, end))),
            None => self.wait_for_head(),
        }
    }

    /// As much of what came as may be the head of a handshake.
    fn head(&self) -> &[u8] {
        &self.input[..self.input.len().min(MAX_HEAD)]
    }

    fn wait_for_head(&self) -> Result<Option<Event>, Fault> {
        if self.input.len() > MAX_HEAD { Err(Fault::HeadTooLong(MAX_HEAD)) } else { Ok(None) }
    }

    /// The handshake has ended; what came behind it are frames.
    fn open(&mut self, role: Role, head: usize) -> Event {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE));
        self.state = State::Open(Box::new(WebSocketContext::new(role, Some(config))));
        self.control_head = if role == Role::Server { 6 } else { 2 };
        self.taken = head;
        self.unfinished = self.input.len() - head;
        Event::Opened
    }

    fn read(&mut self) -> Result<Option<Event>, Fault> {
        loop {
            let Some(read) = self.with_context(|context, pipe| context.read(pipe)) else { return Ok(None) };
            let message = match read {
                Ok(Message::Text(text)) => text.into(),
                Ok(Message::Binary(bytes)) => bytes,
                Ok(Message::Pong(payload)) => {
                    self.pass_control(payload.len());
                    return Ok(Some(Event::Pong));
                }
                Ok(Message::Ping(payload)) => {
                    // It is answered when the next frame is looked for.
                    self.pass_control(payload.len());
                    continue;
                }
                // Nobody asked for frames.
                Ok(Message::Frame(_)) => continue,
                Ok(Message::Close(frame)) => {
                    // The peer hears that we have heard it.
                    self.with_context(|context, pipe| context.flush(pipe).is_ok());
                    let (code, reason) = frame
                        .map_or((None, String::new()), |frame| (Some(u16::from(frame.code)), frame.reason.to_string()));
                    return Err(Fault::Closed { code, reason });
                }
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    // Fragments without an end would be taken for ever.
                    return if self.unfinished > 2 * MAX_MESSAGE { self.refuse(Fault::TooLong) } else { Ok(None) };
                }
                Err(error) => return self.refuse(Fault::of(&error)),
            };
            self.unfinished = self.input.len() - self.taken;
            return match check_one_message(&message) {
                Ok(()) => Ok(Some(Event::Message(message))),
                Err(error) => self.refuse(Fault::NotOneMessage(error)),
            };
        }
    }

    /// A control frame may come in the middle of a message, and is no part of it.
    fn pass_control(&mut self, payload: usize) {
        self.unfinished = self.unfinished.saturating_sub(self.control_head + payload);
    }

    /// The peer breaks the rules: it is told so, and that is the end (RFC 6455 §7.1.7).
    fn refuse(&mut self, fault: Fault) -> Result<Option<Event>, Fault> {
        let frame = CloseFrame { code: fault.close_code().into(), reason: "".into() };
        self.with_context(|context, pipe| context.close(pipe, Some(frame)).is_ok());
        Err(fault)
    }
}

/// What came, and what is to be sent: a connection as tungstenite wants it.
struct Pipe<'a> {
    input: &'a [u8],
    output: &'a mut Vec<u8>,
}

impl Read for Pipe<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.input.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.input.read(buffer)
    }
}

impl Write for Pipe<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
