//! A request other than INVITE and its final response, answered challenges included (RFC 3261 §17.1.2, §22).

use super::authenticator::{Authenticator, Rounds};
use super::flow::Flow;
use super::message::Message;
use super::outbox::Context;
use super::transaction::{Client, Due};
use super::write;
use crate::units::Secret;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A final response came over the wire.
    Response,
    /// None came in 64·T1; treated as 408 (RFC 3261 §8.1.3.1).
    Timeout,
    /// The transport failed; treated as 503.
    Transport,
}

impl Cause {
    /// Whether another place may serve the request that ended so (RFC 3263 §4.3): 503, a transport failure, or no
    /// response at all, `heard` being whether there was one, provisional or final.
    pub fn is_unserved(self, code: u16, heard: bool) -> bool {
        match self {
            Self::Response => code == 503,
            Self::Timeout | Self::Transport => !heard,
        }
    }
}

/// What a challenge is answered with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Login {
    /// User name of the digest.
    pub user: String,
    /// Its password.
    pub password: Secret,
}

/// A request under way.
#[derive(Debug)]
pub struct Exchange {
    client: Client,
    cseq: u32,
    rounds: Rounds,
}

/// What a response comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Nothing yet, or it was answered.
    Nothing,
    /// It is final, with this code.
    Final(u16),
    /// The answer to its challenge is too large for a datagram, and was not sent.
    TooLarge,
}

impl Exchange {
    /// Sends `bytes`, the request with CSeq number `cseq` in the entry's transaction `number`.
    pub fn start(
        context: &mut Context<'_>,
        (flow, owner): (Flow, u64),
        (number, cseq): (u32, u32),
        bytes: Vec<u8>,
    ) -> Self {
        context.out.send(flow, owner, &bytes);
        let reliable = context.link(flow).is_some_and(|link| link.transport.is_reliable());
        let client = Client::new(context.now, context.timers, reliable, false, number, bytes.into());
        Self { client, cseq, rounds: Rounds::default() }
    }

    /// A request that is written and waits for another flow.
    pub fn held(context: &Context<'_>, (number, cseq): (u32, u32), bytes: Vec<u8>) -> Self {
        let mut client = Client::new(context.now, context.timers, true, false, number, bytes.into());
        client.stop();
        Self { client, cseq, rounds: Rounds::default() }
    }

    /// CSeq number of the last request sent.
    pub fn cseq(&self) -> u32 {
        self.cseq
    }

    /// Number of the transaction under way.
    pub fn number(&self) -> u32 {
        self.client.number
    }

    /// Whether a challenge has been answered.
    pub fn was_challenged(&self) -> bool {
        self.rounds.any()
    }

    /// Whether a provisional response came in the transaction under way.
    pub fn was_heard(&self) -> bool {
        self.client.is_proceeding()
    }

    /// Nothing is sent or waited for any more.
    pub fn stop(&mut self) {
        self.client.stop();
    }

    /// The request once more, for another flow, where our Contact is `contact`.
    pub fn elsewhere(
        &self,
        context: &mut Context<'_>,
        flow: Flow,
        contact: &str,
        auth: (&mut Authenticator, (u32, u32)),
    ) -> Option<Vec<u8>> {
        elsewhere(context, flow, self.client.bytes(), contact, auth)
    }

    /// The next moment at which [`handle_timeout`](Self::handle_timeout) has something to do.
    pub fn deadline(&self) -> Option<std::time::Instant> {
        self.client.deadline()
    }

    /// A response to the transaction under way. A challenge that can be answered is, in a transaction with the number that
    /// `next_number` gives, unless the request is larger than `largest` with its credentials.
    pub fn handle_response(
        &mut self,
        context: &mut Context<'_>,
        (flow, owner): (Flow, u64),
        response: &Message<'_>,
        (authenticator, next_number): (&mut Authenticator, &mut u32),
        largest: Option<usize>,
    ) -> Heard {
        let Some(code) = response.code() else { return Heard::Nothing };
        if code < 200 {
            self.client.handle_provisional(context.now, context.timers);
            return Heard::Nothing;
        }
        if matches!(code, 401 | 407) && authenticator.take(response, &mut self.rounds) {
            let (number, cseq) = (*next_number, self.cseq + 1);
            if let Some(bytes) = again(context, flow, self.client.bytes(), authenticator, (number, cseq)) {
                if is_too_large(context, flow, bytes.len(), largest) {
                    self.cseq = cseq;
                    self.client.stop();
                    return Heard::TooLarge;
                }
                *next_number += 1;
                let rounds = std::mem::take(&mut self.rounds);
                *self = Self { rounds, ..Self::start(context, (flow, owner), (number, cseq), bytes) };
                return Heard::Nothing;
            }
        }
        authenticator.take_next_nonce(response);
        Heard::Final(code)
    }

    /// Retransmits what is due; true when nobody answered in time.
    pub fn handle_timeout(&mut self, context: &mut Context<'_>, (flow, owner): (Flow, u64)) -> bool {
        match self.client.handle_timeout(context.now, context.timers) {
            Some(Due::Retransmit) => {
                context.out.send(flow, owner, self.client.bytes());
                false
            }
            Some(Due::TimedOut) => true,
            None => false,
        }
    }
}

/// Whether a request is larger than may go as a datagram (RFC 3261 §18.1.1), and would go as one.
pub fn is_too_large(context: &Context<'_>, flow: Flow, bytes: usize, largest: Option<usize>) -> bool {
    let datagrams = || context.link(flow).is_some_and(|link| !link.transport.is_reliable());
    largest.is_some_and(|largest| bytes > largest) && datagrams()
}

/// The request `original` once more in a new transaction, with credentials for what was asked so far; `None` where the
/// flow's link is closed.
pub fn again(
    context: &mut Context<'_>,
    flow: Flow,
    original: &[u8],
    authenticator: &mut Authenticator,
    (number, cseq): (u32, u32),
) -> Option<Vec<u8>> {
    let link = context.link(flow)?;
    let original = Message::parse(original).ok()?;
    let branch = context.salt.branch(context.handle, number);
    // Before it is protected: the address in its Contact and body may be corrected, which `auth-int` covers.
    let anew = write::again(&original, link, branch, cseq, &[]);
    let anew = Message::parse(&anew).ok()?;
    let fields = authenticator.fields(context.random, &anew);
    Some(write::with_fields(&anew, &fields))
}

/// The request `original` for another flow, in a new transaction: our Contact there is `contact`, and the description has
/// the address that we have there.
pub fn elsewhere(
    context: &mut Context<'_>,
    flow: Flow,
    original: &[u8],
    contact: &str,
    (authenticator, (number, cseq)): (&mut Authenticator, (u32, u32)),
) -> Option<Vec<u8>> {
    let link = context.link(flow)?;
    let original = Message::parse(original).ok()?;
    let branch = context.salt.branch(context.handle, number);
    let moved = write::elsewhere(&original, link, branch, cseq, contact);
    Some(with_known_credentials(context, moved, authenticator))
}

/// Adds the credentials for what was asked before to a request that is written up to its body.
pub fn with_known_credentials(context: &mut Context<'_>, bytes: Vec<u8>, authenticator: &mut Authenticator) -> Vec<u8> {
    if authenticator.is_empty() {
        return bytes;
    }
    let Ok(request) = Message::parse(&bytes) else { return bytes };
    let fields = authenticator.fields(context.random, &request);
    write::with_fields(&request, &fields)
}
