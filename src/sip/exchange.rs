//! A request other than INVITE and its final response, one answered challenge included (RFC 3261 §17.1.2, §22).

use std::sync::Arc;

use super::auth;
use super::flow::Flow;
use super::header::{self, Name};
use super::message::{Message, Start};
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
    credentials: Option<Arc<Login>>,
    challenged: bool,
}

impl Exchange {
    /// Sends `bytes`, the request with CSeq number `cseq` in the entry's transaction `number`.
    pub fn start(
        context: &mut Context<'_>,
        (flow, owner): (Flow, u64),
        (number, cseq): (u32, u32),
        credentials: Option<Arc<Login>>,
        bytes: Vec<u8>,
    ) -> Self {
        context.out.send(flow, owner, &bytes);
        let reliable = context.link(flow).is_some_and(|link| link.transport.is_reliable());
        let client = Client::new(context.now, context.timers, reliable, false, number, bytes);
        Self { client, cseq, credentials, challenged: false }
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
        self.challenged
    }

    /// The next moment at which [`handle_timeout`](Self::handle_timeout) has something to do.
    pub fn deadline(&self) -> Option<std::time::Instant> {
        self.client.deadline()
    }

    /// A response to the transaction under way: its code where it is final. A first challenge is answered instead,
    /// in a transaction with the number that `next_number` gives.
    pub fn handle_response(
        &mut self,
        context: &mut Context<'_>,
        (flow, owner): (Flow, u64),
        response: &Message<'_>,
        next_number: &mut u32,
    ) -> Option<u16> {
        let code = response.code()?;
        if code < 200 {
            self.client.handle_provisional(context.now, context.timers);
            return None;
        }
        if matches!(code, 401 | 407) && !self.challenged && self.answer(context, (flow, owner), response, next_number) {
            return None;
        }
        Some(code)
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

    fn answer(
        &mut self,
        context: &mut Context<'_>,
        (flow, owner): (Flow, u64),
        response: &Message<'_>,
        next_number: &mut u32,
    ) -> bool {
        let Some(credentials) = self.credentials.clone() else { return false };
        let number = *next_number;
        let Some(bytes) =
            answer_challenge(context, flow, response, self.client.bytes(), &credentials, (number, self.cseq + 1))
        else {
            return false;
        };
        *next_number += 1;
        *self = Self::start(context, (flow, owner), (number, self.cseq + 1), Some(credentials), bytes);
        self.challenged = true;
        true
    }
}

/// The request `original` again with an answer to the challenge in `response`; `None` where the challenge cannot be
/// answered (unknown scheme or algorithm, link closed).
pub fn answer_challenge(
    context: &mut Context<'_>,
    flow: Flow,
    response: &Message<'_>,
    original: &[u8],
    login: &Login,
    (number, cseq): (u32, u32),
) -> Option<Vec<u8>> {
    let link = context.link(flow)?;
    let original = Message::parse(original).ok()?;
    let cnonce = format!("{:016x}", context.random.next_u64());
    let (name, value) = authorization(response, &original, login, &cnonce)?;
    let branch = context.salt.branch(context.handle, number);
    Some(write::with_credentials(&original, (link.transport.name(), link.advertised, &branch), cseq, (name, &value)))
}

/// Name and value of the field that answers the challenges of a 401 (Authorization) or 407 (Proxy-Authorization).
fn authorization(
    response: &Message<'_>,
    original: &Message<'_>,
    login: &Login,
    cnonce: &str,
) -> Option<(&'static str, String)> {
    let (asked, name) = match response.code()? {
        401 => (Name::WwwAuthenticate, "Authorization"),
        _ => (Name::ProxyAuthenticate, "Proxy-Authorization"),
    };
    let values: Vec<String> = response.headers(asked).map(header::text).collect();
    let challenge = auth::strongest(values.iter().map(String::as_str))?;
    let Start::Request { method, uri } = original.start() else { return None };
    let (method, uri) = (header::text(method.as_bytes()), header::text(uri));
    let request = auth::Request { method: &method, uri: &uri, body: original.body() };
    let credentials = auth::Credentials { user: &login.user, password: &login.password };
    Some((name, challenge.respond(&credentials, &request, cnonce, 1)))
}
