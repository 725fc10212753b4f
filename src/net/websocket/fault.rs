//! What is wrong with a WebSocket connection, in words for the one who has to mend it.

use std::io;

use tungstenite::Error;
use tungstenite::error::{CapacityError, ProtocolError};

use super::MAX_MESSAGE;
use crate::sip::one_message::NotOneMessage;

/// Why a WebSocket connection ended, or was never made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Another status than 101.
    #[error("the server answers the WebSocket upgrade with {code}{}{}", spaced(.reason), hint(*.code))]
    Status {
        /// The status code.
        code: u16,
        /// The phrase of the standard for it; with a redirection, where to.
        reason: String,
    },
    /// 101 without the subprotocol.
    #[error("the server upgrades to WebSocket, but not to the subprotocol `sip` (RFC 7118 §4){}", spaced(.0))]
    Subprotocol(String),
    /// 101, and something that the client did not ask for or that must be there.
    #[error("the answer to the WebSocket upgrade is wrong: {0}")]
    Answer(&'static str),
    /// What came is not HTTP.
    #[error("what comes in answer to the WebSocket upgrade is not HTTP: perhaps the port does not speak it")]
    NotHttp,
    /// The head of the request or of its answer has no end.
    #[error("the head of the WebSocket upgrade has no end within {0} bytes")]
    HeadTooLong(usize),
    /// The peer went away before both had agreed.
    #[error("the peer closed the connection during the WebSocket upgrade")]
    EndedInUpgrade,
    /// A request that is none for SIP over WebSocket.
    #[error("this is no request for SIP over WebSocket: {0}")]
    Request(&'static str),
    /// The peer closed, with or without saying why.
    #[error("the peer closed the WebSocket: {}{}", code_name(*.code), colon(.reason))]
    Closed {
        /// The code of its close frame.
        code: Option<u16>,
        /// The text of its close frame.
        reason: String,
    },
    /// The connection ended without a close frame.
    #[error("the connection ended without a word of WebSocket (1006){}", .0.as_deref().map(colon).unwrap_or_default())]
    CutOff(Option<String>),
    /// A frame, or several, without measure.
    #[error("a WebSocket message is longer than {MAX_MESSAGE} bytes")]
    TooLong,
    /// Text that is none.
    #[error("a WebSocket message of text is not UTF-8")]
    NotUtf8,
    /// A frame that breaks the rules of RFC 6455.
    #[error("the peer breaks the WebSocket protocol: {0}")]
    Frame(String),
    /// A SIP message over several WebSocket messages, or several in one.
    #[error("{0} (RFC 7118 §5)")]
    NotOneMessage(NotOneMessage),
}

/// What kind of fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// There was no WebSocket connection.
    Upgrade,
    /// The peer ended it.
    Closed,
    /// What came breaks the rules.
    Protocol,
}

impl Fault {
    pub(super) fn of(error: &Error) -> Self {
        match error {
            Error::Capacity(CapacityError::MessageTooLong { .. }) => Self::TooLong,
            Error::Utf8(_) => Self::NotUtf8,
            Error::ConnectionClosed | Error::AlreadyClosed => Self::CutOff(None),
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Self::CutOff(None),
            Error::Protocol(error) => Self::Frame(error.to_string()),
            other => Self::Frame(other.to_string()),
        }
    }

    /// What kind of fault it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Status { .. }
            | Self::Subprotocol(_)
            | Self::Answer(_)
            | Self::NotHttp
            | Self::HeadTooLong(_)
            | Self::EndedInUpgrade
            | Self::Request(_) => Kind::Upgrade,
            Self::Closed { .. } | Self::CutOff(_) => Kind::Closed,
            Self::TooLong | Self::NotUtf8 | Self::Frame(_) | Self::NotOneMessage(_) => Kind::Protocol,
        }
    }

    /// What the peer is told of it (RFC 6455 §7.4.1).
    pub(super) fn close_code(&self) -> u16 {
        match self {
            Self::TooLong => 1009,
            Self::NotUtf8 => 1007,
            _ => 1002,
        }
    }
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        Self::other(fault)
    }
}

/// The kind of an error of a connection, where it is one of WebSocket.
pub fn kind_of(error: &io::Error) -> Option<Kind> {
    error.get_ref()?.downcast_ref::<Fault>().map(Fault::kind)
}

fn spaced(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(" {text}") }
}

fn colon(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

fn hint(code: u16) -> &'static str {
    match code {
        200 => ": an ordinary web page, as if nobody had asked for WebSocket (a proxy that does not pass it on?)",
        400 | 426 => ": it may not know the subprotocol `sip`, or want another path or Origin",
        401 | 403 => ": it may want an Origin, a token or a header (origin, url and headers of `websocket:`)",
        404 => ": check the path in the target's url",
        502..=504 => ": the proxy is there, and the SIP server behind it is not",
        _ => "",
    }
}

/// A close code with its name (RFC 6455 §7.4.1).
fn code_name(code: Option<u16>) -> String {
    let Some(code) = code else { return "without a code (1005)".to_owned() };
    let name = match code {
        1000 => "normal",
        1001 => "going away",
        1002 => "protocol error",
        1003 => "unsupported data",
        1007 => "invalid text",
        1008 => "policy violation",
        1009 => "message too big",
        1010 => "extension wanted",
        1011 => "internal error",
        1012 => "service restart",
        1013 => "try again later",
        _ => return code.to_string(),
    };
    format!("{code} ({name})")
}
