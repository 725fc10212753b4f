//! What a machine of the SIP layer wants done: bytes to send and events to tell. Drained after every input.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use super::endpoint::Event;
use super::flow::{Flow, Link, Links};
use super::message::Message;
use super::token::{Handle, Salt};
use super::transaction::Timers;
use super::write::{self, Writer};
use crate::units::Random;

/// Bytes to send and events to tell, in order. Its buffers are reused.
#[derive(Debug, Default)]
pub struct Outbox {
    arena: Vec<u8>,
    transmits: VecDeque<Pending>,
    events: VecDeque<Event>,
}

#[derive(Debug)]
struct Pending {
    flow: Flow,
    owner: u64,
    range: Range<usize>,
}

/// A message to send.
#[derive(Debug, PartialEq, Eq)]
pub struct Transmit<'a> {
    /// Where to.
    pub flow: Flow,
    /// What the application gave the session, registration or request as its own number; 0 is nobody's.
    pub owner: u64,
    /// The bytes.
    pub bytes: &'a [u8],
}

/// A response that is sent once and not remembered.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reply<'a> {
    /// Status code.
    pub code: u16,
    /// Reason phrase; empty for the standard's.
    pub reason: &'a str,
    /// Further header fields.
    pub headers: &'a [(&'a str, &'a str)],
}

/// What an entry of the endpoint sees of the endpoint while it works.
#[derive(Debug)]
pub struct Context<'a> {
    /// The time of this turn.
    pub now: Instant,
    /// The entry's own place.
    pub handle: Handle,
    /// The endpoint's secret.
    pub salt: Salt,
    /// Base times.
    pub timers: &'a Timers,
    /// Links that are open.
    pub links: &'a Links,
    /// User-Agent and Server.
    pub agent: &'a str,
    /// Requests that are not served wait for another place.
    pub fails_over: bool,
    /// How long a call that is up stays when its connection is gone.
    pub keeps_lost: Duration,
    /// The endpoint's randomness.
    pub random: &'a mut Random,
    /// Where bytes and events go.
    pub out: &'a mut Outbox,
}

impl Outbox {
    /// Sends bytes.
    pub fn send(&mut self, flow: Flow, owner: u64, bytes: &[u8]) {
        self.write(flow, owner, |arena| arena.extend_from_slice(bytes));
    }

    /// Sends what `write` appends. Returns it.
    pub fn write(&mut self, flow: Flow, owner: u64, write: impl FnOnce(&mut Vec<u8>)) -> &[u8] {
        let start = self.arena.len();
        write(&mut self.arena);
        self.transmits.push_back(Pending { flow, owner, range: start..self.arena.len() });
        &self.arena[start..]
    }

    /// Answers a request that nothing is kept of. `tag` is ours, for a To without one.
    pub fn reply(
        &mut self,
        (flow, owner): (Flow, u64),
        request: &Message<'_>,
        tag: &str,
        agent: &str,
        with: &Reply<'_>,
    ) {
        let to = Flow { link: flow.link, remote: write::response_destination(request, flow.remote) };
        self.write(to, owner, |arena| {
            let mut writer = Writer::response(arena, with.code, with.reason);
            writer.lines(&write::response_head(request, flow.remote, tag, false));
            for (name, value) in with.headers {
                writer.field(name, value);
            }
            writer.field("Server", agent).body("", b"");
        });
    }

    /// Tells an event.
    pub fn tell(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// The next message to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit<'_>> {
        let Some(Pending { flow, owner, range }) = self.transmits.pop_front() else {
            self.arena.clear();
            return None;
        };
        Some(Transmit { flow, owner, bytes: &self.arena[range] })
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
}

impl Context<'_> {
    /// The link of a flow, while it is open.
    pub fn link(&self, flow: Flow) -> Option<Link> {
        self.links.get(flow.link)
    }

    /// Answers a request of this entry's peer that nothing is kept of.
    pub fn reply(&mut self, flow: (Flow, u64), request: &Message<'_>, with: &Reply<'_>) {
        let tag = self.salt.tag(self.handle).to_string();
        self.out.reply(flow, request, &tag, self.agent, with);
    }

    /// Tells an event.
    pub fn tell(&mut self, event: Event) {
        self.out.tell(event);
    }
}
