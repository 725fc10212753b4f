//! Requests beside the calls: what an agent asks of the application that it works in, over HTTP or a WebSocket of JSON
//! messages. A station wants them done ([`Order`]) and is told what came of them ([`Told`]); sockets are `net::side`'s.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::record::SideFault;
use crate::scenario::plan::{Application, Method};
use crate::units::Secret;

/// Most bytes of an answer that are read; a longer one is [`SideFault::Unexpected`].
pub const LARGEST_ANSWER: usize = 256 * 1024;
/// Most bytes of a message that comes over a WebSocket; a longer one ends it.
pub const LARGEST_MESSAGE: usize = 64 * 1024;

/// Something to be done for a leg.
#[derive(Clone, Debug)]
pub struct Order {
    /// The leg, by a number that no other has.
    pub seat: u64,
    /// What.
    pub wish: Wish,
}

/// What a leg wants done.
#[derive(Clone, Debug)]
pub enum Wish {
    /// One HTTP request.
    Ask(Box<Request>),
    /// A message over the WebSocket that the leg has at this URL; one that it has not is opened, and stays open. Without a
    /// body it is only opened.
    Say(Box<Request>),
    /// The leg is done: its WebSockets are closed.
    Leave,
}

/// A request, ready to be sent.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its number, from 1, within the leg.
    pub number: u32,
    /// Method of HTTP.
    pub method: Method,
    /// The whole URL, or a path within the application.
    pub url: Secret,
    /// Header fields besides those of the application.
    pub headers: Vec<(String, Secret)>,
    /// JSON.
    pub body: Option<Secret>,
    /// It is given up after this.
    pub within: Duration,
    /// Where paths lead, and whom to trust.
    pub access: Arc<Application>,
}

/// What came of an order.
#[derive(Clone, Debug)]
pub struct Told {
    /// The leg.
    pub seat: u64,
    /// When it came.
    pub at: Instant,
    /// What.
    pub news: News,
}

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// The answer of HTTP to the request of this number.
    Answered {
        /// The number of the request.
        number: u32,
        /// Status code.
        status: u16,
        /// Content, [`LARGEST_ANSWER`] bytes at most.
        body: Vec<u8>,
    },
    /// The WebSocket is open, and the message of this number on its way.
    Said {
        /// The number of the request.
        number: u32,
    },
    /// A message came over a WebSocket of the leg.
    Message(String),
    /// The request of this number came to nothing.
    Failed {
        /// The number of the request.
        number: u32,
        /// How.
        fault: SideFault,
        /// Why, for people.
        text: String,
    },
    /// A WebSocket of the leg has ended; the text says how.
    Closed(String),
}
