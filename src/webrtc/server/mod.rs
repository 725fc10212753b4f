//! A STUN or TURN server as a peer uses it: our address as others see it, and a relayed address with all that keeps it
//! in use (RFC 8489, RFC 8656): credentials, permissions, channels, refreshes, its end.
//!
//! ```text
//! asking ─► ready ─► giving back ─► over
//!    └─► in trouble ◄─┘
//! ```
//!
//! [`Client`] speaks with one server over one socket or connection of its host; `turn-client-proto`, which does so too,
//! tells only that an allocation failed and not why, and why is what a probe is there for.

#[cfg(test)]
pub(crate) mod fake;
mod message;
#[cfg(test)]
mod tests;
mod trouble;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use message::{Arrived, Granted, Proof, Refused, Response, Transaction, What};
pub use trouble::{ServerFault, Trouble};

use crate::units::{Random, Secret};

/// First repetition of a request over UDP. RFC 8489 §6.2.1 has 500 ms for a path of unknown latency; browsers wait less.
const FIRST_REPEAT: Duration = Duration::from_millis(250);
/// How often a request is sent; the last one waits as long as the one before it: 11.75 s together.
const SENDINGS: u8 = 6;
/// How long a request over a connection waits (RFC 8489 §6.2.2 has 39.5 s, longer than any call waits).
const RELIABLE_WAIT: Duration = Duration::from_secs(10);
/// How often one request is tried again with what the server asks for: credentials, then a newer nonce.
const TRIES: u8 = 3;
/// How long an allocation that is in the way has to go away, each time: one that was given back stands for another second at
/// coturn.
const OLD_GOES: Duration = Duration::from_millis(500);
/// How often a permission is renewed; it lasts 300 s (RFC 8656 §9). A channel, which lasts 600 s, renews its own.
const PERMISSION_EVERY: Duration = Duration::from_secs(240);
/// How long before its end an allocation is refreshed, where it lasts twice as long.
const REFRESH_BEFORE: Duration = Duration::from_secs(60);
/// How long an allocation lasts where the server does not say (RFC 8656 §3.2).
const LIFETIME: Duration = Duration::from_secs(600);
/// A mapping of a NAT that nothing else uses is kept (RFC 8445 §11 has 15 s at least).
const KEEP_EVERY: Duration = Duration::from_secs(15);
/// First number of a channel, and how many there may be (RFC 8656 §12).
const FIRST_CHANNEL: u16 = 0x4000;
const MOST_CHANNELS: usize = 64;
/// Peers that permissions are asked for; more are passed over.
const MOST_PERMISSIONS: usize = 64;
/// What a frame of a connection may hold besides its length.
const FRAME_HEAD: usize = 20;

/// A STUN or TURN server that a peer may use.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its URI, for messages.
    pub name: String,
    /// Where it is.
    pub address: SocketAddr,
    /// It is reached over a connection, whose bytes the host of the peer carries.
    pub reliable: bool,
    /// What opens a TURN server; `None` for STUN.
    pub login: Option<Login>,
}

/// User name and password at a TURN server.
#[derive(Clone, Debug)]
pub struct Login {
    /// User name.
    pub username: String,
    /// Password.
    pub password: Secret,
}

/// What bytes from a server were.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received<'a> {
    /// Between it and us.
    Taken,
    /// From a peer, by the relayed address.
    Data(SocketAddr, &'a [u8]),
    /// Nothing that we know of.
    Stray,
}

#[derive(Debug)]
struct Request {
    what: What,
    transaction: Transaction,
    bytes: Vec<u8>,
    proved: bool,
    tries: u8,
    /// When it is sent again or given up, how long it waited until then, and how often it may still be sent.
    due: Instant,
    wait: Duration,
    left: u8,
}

/// Something that has to be asked for again and again.
#[derive(Debug)]
struct Kept<T> {
    of: T,
    granted: bool,
    renew_at: Instant,
}

/// Our side towards one server.
pub(super) struct Client {
    server: Server,
    local: SocketAddr,
    random: Random,
    proof: Option<Proof>,
    requests: Vec<Request>,
    mapped: Option<SocketAddr>,
    relayed: Option<SocketAddr>,
    trouble: Option<Trouble>,
    over: bool,
    /// When the allocation, or the mapping of a NAT, is renewed.
    refresh_at: Option<Instant>,
    permissions: Vec<Kept<IpAddr>>,
    channels: Vec<Kept<SocketAddr>>,
    /// A peer that the server does not let us reach, and why.
    forbidden: Option<(IpAddr, String)>,
    /// What is to be sent to the server.
    out: VecDeque<Vec<u8>>,
    /// Of a connection: what has arrived and is not whole.
    inbox: Vec<u8>,
}

impl Client {
    /// Asks for what the server is there for. Over a connection, once [`opened`](Self::opened).
    pub(super) fn new(server: Server, local: SocketAddr, seed: u64, now: Instant) -> Self {
        let reliable = server.reliable;
        let mut client = Self {
            server,
            local,
            random: Random::new(seed),
            proof: None,
            requests: Vec::new(),
            mapped: None,
            relayed: None,
            trouble: None,
            over: false,
            refresh_at: None,
            permissions: Vec::new(),
            channels: Vec::new(),
            forbidden: None,
            out: VecDeque::new(),
            inbox: Vec::new(),
        };
        if !reliable {
            client.begin(now);
        }
        client
    }

    /// The connection to the server is open.
    pub(super) fn opened(&mut self, now: Instant) {
        if self.trouble.is_none() && self.requests.is_empty() {
            self.begin(now);
        }
    }

    /// The connection to the server could not be made, or is lost.
    pub(super) fn lost(&mut self, text: String) {
        self.fail(Trouble::Connection(text));
    }

    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    /// Whether it is known what the server gives, or that it gives nothing.
    pub(super) fn is_settled(&self) -> bool {
        let has = if self.server.login.is_some() { self.relayed.is_some() } else { self.mapped.is_some() };
        has || self.trouble.is_some()
    }

    /// Our own address as the server sees it, over UDP.
    pub(super) fn mapped(&self) -> Option<SocketAddr> {
        self.mapped.filter(|_| !self.server.reliable)
    }

    /// The address that the server relays for us.
    pub(super) fn relayed(&self) -> Option<SocketAddr> {
        self.relayed
    }

    /// What went wrong.
    pub(super) fn fault(&self) -> Option<ServerFault> {
        let fault = |trouble| ServerFault { server: self.server.name.clone(), trouble };
        let forbidden = || self.forbidden.clone().map(|(peer, reason)| Trouble::Forbidden { peer, reason });
        self.trouble.clone().or_else(forbidden).map(fault)
    }

    /// There is no more time for it to answer.
    pub(super) fn give_up(&mut self) {
        if !self.is_settled() {
            let asked = !self.server.reliable || !self.requests.is_empty();
            self.fail(if asked { Trouble::Silent } else { Trouble::Connection("it was not open in time".to_owned()) });
        }
    }

    /// What comes from there is to be passed on.
    pub(super) fn permit(&mut self, now: Instant, peer: IpAddr) {
        let known = self.permissions.iter().any(|permission| permission.of == peer);
        if self.relayed.is_none() || known || self.permissions.len() >= MOST_PERMISSIONS {
            return;
        }
        self.permissions.push(Kept { of: peer, granted: false, renew_at: now + PERMISSION_EVERY });
        self.ask(now, What::Permit(peer), 0);
    }

    /// Much will be sent there: a channel saves 32 bytes of each packet.
    pub(super) fn bind(&mut self, now: Instant, peer: SocketAddr) {
        let known = self.channels.iter().any(|channel| channel.of == peer);
        if self.relayed.is_none() || known || self.channels.len() >= MOST_CHANNELS {
            return;
        }
        let number = FIRST_CHANNEL + self.channels.len() as u16;
        self.channels.push(Kept { of: peer, granted: false, renew_at: now + PERMISSION_EVERY });
        self.ask(now, What::Channel(number, peer), 0);
    }

    /// Appends to `out` what carries `bytes` to a peer.
    pub(super) fn wrap(&mut self, peer: SocketAddr, bytes: &[u8], out: &mut Vec<u8>) {
        let channel = self.channels.iter().position(|channel| channel.granted && channel.of == peer);
        match (channel, u16::try_from(bytes.len())) {
            (Some(index), Ok(length)) => {
                out.extend_from_slice(&(FIRST_CHANNEL + index as u16).to_be_bytes());
                out.extend_from_slice(&length.to_be_bytes());
                out.extend_from_slice(bytes);
                // RFC 8656 §12.5: frames of a connection are padded, datagrams need not be.
                if self.server.reliable {
                    out.resize(out.len() + bytes.len().next_multiple_of(4) - bytes.len(), 0);
                }
            }
            (None, Ok(length)) if length < u16::MAX - 64 => {
                out.extend_from_slice(&message::send(self.transaction(), peer, bytes));
            }
            // No datagram is so long.
            _ => {}
        }
    }

    /// Takes a datagram of the server.
    pub(super) fn receive<'a>(&mut self, now: Instant, bytes: &'a [u8]) -> Received<'a> {
        if let Some(head @ [0x40..=0x4f, ..]) = bytes.first_chunk::<4>() {
            let length = usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
            let channel = self.channel(head);
            return match (channel, bytes.get(4..4 + length)) {
                (Some(channel), Some(data)) => Received::Data(channel.of, data),
                _ => Received::Stray,
            };
        }
        match message::read(bytes, self.proof.as_ref()) {
            Some(Arrived::Data(peer, data)) if self.relayed.is_some() => Received::Data(peer, data),
            Some(Arrived::Response(response)) => {
                if self.take(now, response) {
                    Received::Taken
                } else {
                    Received::Stray
                }
            }
            _ => Received::Stray,
        }
    }

    /// Takes bytes of the connection to the server and gives what came from peers to `each`.
    pub(super) fn receive_bytes(&mut self, now: Instant, bytes: &[u8], mut each: impl FnMut(SocketAddr, &[u8])) {
        let mut inbox = std::mem::take(&mut self.inbox);
        inbox.extend_from_slice(bytes);
        let mut begin = 0;
        while let Some(head) = inbox[begin..].first_chunk::<4>() {
            let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
            let whole = match head[0] {
                0..=3 => FRAME_HEAD + length,
                // One that was never bound is something else: an `H` of HTTP reads so.
                0x40..=0x4f if self.channel(head).is_some() => 4 + length.next_multiple_of(4),
                _ => return self.fail(Trouble::Connection("what comes over it is no TURN".to_owned())),
            };
            let Some(frame) = inbox[begin..].get(..whole) else { break };
            if let Received::Data(peer, data) = self.receive(now, frame) {
                each(peer, data);
            }
            begin += whole;
        }
        inbox.drain(..begin);
        self.inbox = inbox;
    }

    /// The channel that a frame is of.
    fn channel(&self, head: &[u8; 4]) -> Option<&Kept<SocketAddr>> {
        let number = u16::from_be_bytes([head[0], head[1]]);
        self.channels.get(usize::from(number.checked_sub(FIRST_CHANNEL)?))
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub(super) fn due(&self) -> Option<Instant> {
        let requests = self.requests.iter().map(|request| request.due);
        if self.over || self.trouble.is_some() {
            return requests.min();
        }
        let permissions = self.permissions.iter().map(|kept| kept.renew_at);
        let channels = self.channels.iter().map(|kept| kept.renew_at);
        requests.chain(permissions).chain(channels).chain(self.refresh_at).min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.due().is_none_or(|due| due > now) {
            return;
        }
        for index in (0..self.requests.len()).rev() {
            // One that is given up may end them all.
            if self.requests.get(index).is_some_and(|request| request.due <= now) {
                self.repeat(now, index);
            }
        }
        if self.over || self.trouble.is_some() {
            return;
        }
        if self.refresh_at.is_some_and(|at| at <= now) {
            self.refresh_at = None;
            let what = if self.relayed.is_some() { What::Refresh } else { What::Binding };
            self.ask(now, what, 0);
        }
        for index in 0..self.permissions.len() {
            let kept = &mut self.permissions[index];
            if kept.renew_at <= now {
                kept.renew_at = now + PERMISSION_EVERY;
                let what = What::Permit(kept.of);
                self.ask(now, what, 0);
            }
        }
        for index in 0..self.channels.len() {
            let kept = &mut self.channels[index];
            if kept.renew_at <= now {
                kept.renew_at = now + PERMISSION_EVERY;
                let what = What::Channel(FIRST_CHANNEL + index as u16, kept.of);
                self.ask(now, what, 0);
            }
        }
    }

    /// The next packet for the server.
    pub(super) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.out.pop_front()
    }

    /// Gives the relayed address back (RFC 8656 §8: a refresh with lifetime 0), also one that is only now asked for. Over UDP
    /// that is repeated until it is answered, as any request; an allocation that it never reaches ends by itself. What
    /// goes over a connection is not waited for.
    pub(super) fn release(&mut self, now: Instant) {
        if self.over {
            return;
        }
        self.over = true;
        let reliable = self.server.reliable;
        // One that waits for an old allocation to go was not sent yet.
        let is_asked = |it: &Request| matches!(it.what, What::Allocate { .. }) && it.proved && it.left < SENDINGS;
        self.requests.retain(|request| !reliable && is_asked(request));
        if self.relayed.is_some() && self.trouble.is_none() {
            self.give_back(now);
        }
    }

    /// Whether nothing more is to be said to the server.
    pub(super) fn is_released(&self) -> bool {
        self.over && self.requests.is_empty() && self.out.is_empty()
    }

    fn give_back(&mut self, now: Instant) {
        self.ask(now, What::Release, 0);
        if self.server.reliable {
            self.requests.clear();
        }
    }

    fn begin(&mut self, now: Instant) {
        let allocate = What::Allocate { ipv6: self.local.is_ipv6() };
        self.ask(now, if self.server.login.is_some() { allocate } else { What::Binding }, 0);
    }

    fn transaction(&mut self) -> Transaction {
        let [high, low] = [self.random.next_u64(), self.random.next_u64()].map(u128::from);
        (high << 32 ^ low) & ((1 << 96) - 1)
    }

    fn ask(&mut self, now: Instant, what: What, tries: u8) {
        let request = self.request(now, what, tries);
        self.out.push_back(request.bytes.clone());
        self.requests.push(request);
    }

    fn request(&mut self, now: Instant, what: What, tries: u8) -> Request {
        let transaction = self.transaction();
        let proof = self.proof.as_ref().filter(|_| what != What::Binding);
        let bytes = message::request(what, transaction, proof);
        let proved = proof.is_some();
        let (wait, left) = if self.server.reliable { (RELIABLE_WAIT, 0) } else { (FIRST_REPEAT, SENDINGS - 1) };
        Request { what, transaction, bytes, proved, tries, due: now + wait, wait, left }
    }

    fn repeat(&mut self, now: Instant, index: usize) {
        let request = &mut self.requests[index];
        if request.left == 0 {
            let request = self.requests.swap_remove(index);
            return match request.what {
                // It is asked again when it is renewed, and what it carries shows whether it is there.
                What::Permit(_) | What::Channel(..) | What::Release => {}
                _ if self.over => {}
                What::Binding if self.mapped.is_some() => self.refresh_at = Some(now + KEEP_EVERY),
                _ => self.fail(Trouble::Silent),
            };
        }
        self.out.push_back(request.bytes.clone());
        if request.left > 1 {
            request.wait *= 2;
        }
        (request.left, request.due) = (request.left - 1, now + request.wait);
    }

    /// Takes a response; false where nothing was asked so, or somebody else gave it.
    fn take(&mut self, now: Instant, response: Response) -> bool {
        let Some(index) = self.requests.iter().position(|request| request.transaction == response.transaction) else {
            return false;
        };
        let proved = self.requests[index].proved;
        // RFC 8489 §9.2.5: a response without the right integrity is none. Challenges have none, and some servers leave
        // it out of other errors too.
        let believed = match (&response.outcome, response.proved) {
            (_, Some(holds)) => holds,
            (Ok(_), None) => !proved,
            (Err(_), None) => true,
        };
        if !believed {
            return false;
        }
        let request = self.requests.swap_remove(index);
        match response.outcome {
            Ok(granted) => self.take_granted(now, request.what, &granted),
            Err(refused) => self.take_refused(now, &request, refused),
        }
        true
    }

    fn take_granted(&mut self, now: Instant, what: What, granted: &Granted) {
        let lifetime = granted.lifetime.unwrap_or(LIFETIME);
        let refresh = now + lifetime.saturating_sub(REFRESH_BEFORE).max(lifetime / 2).max(Duration::from_secs(1));
        match what {
            What::Binding => {
                self.mapped = granted.mapped.or(self.mapped);
                self.refresh_at = Some(now + KEEP_EVERY);
                if self.mapped.is_none() {
                    self.fail(Trouble::Nothing);
                }
            }
            What::Allocate { .. } => {
                (self.mapped, self.relayed) = (granted.mapped, granted.relayed);
                if self.over {
                    return self.give_back(now);
                }
                self.refresh_at = Some(refresh);
                if self.relayed.is_none() {
                    self.fail(Trouble::Nothing);
                }
            }
            What::Refresh => self.refresh_at = Some(refresh),
            What::Release => {}
            What::Permit(peer) => {
                if let Some(kept) = self.permissions.iter_mut().find(|kept| kept.of == peer) {
                    kept.granted = true;
                }
            }
            What::Channel(_, peer) => {
                if let Some(kept) = self.channels.iter_mut().find(|kept| kept.of == peer) {
                    kept.granted = true;
                }
            }
        }
    }

    fn take_refused(&mut self, now: Instant, request: &Request, refused: Refused) {
        let Refused { code, reason, realm, nonce, alternate } = refused;
        // What is refused at the end leaves nothing to be given back.
        let may_try = request.tries < TRIES && (!self.over || request.what == What::Release);
        match (code, nonce, realm, &self.server.login) {
            // The challenge to what was asked without credentials.
            (401, Some(nonce), Some(realm), Some(login)) if !request.proved && may_try => {
                self.proof = Some(Proof::new(login, realm, nonce));
                return self.ask(now, request.what, request.tries + 1);
            }
            (438, Some(nonce), ..) if may_try => {
                if let Some(proof) = &mut self.proof {
                    proof.renew(nonce);
                    return self.ask(now, request.what, request.tries + 1);
                }
            }
            // RFC 8656 §7.4: the port was somebody's a moment ago, our own perhaps.
            (437, ..) if may_try && matches!(request.what, What::Allocate { .. }) => {
                let later = self.request(now, request.what, request.tries + 1);
                return self.requests.push(Request { due: now + OLD_GOES, left: later.left + 1, ..later });
            }
            _ => {}
        }
        match request.what {
            What::Permit(peer) => self.forbidden = Some((peer, format!("{code} {reason}"))),
            What::Channel(_, peer) => self.forbidden = Some((peer.ip(), format!("{code} {reason}"))),
            What::Release => {}
            _ if self.over => {}
            _ => self.fail(Trouble::Refused { code, reason, alternate, challenged: self.proof.is_some() }),
        }
    }

    fn fail(&mut self, trouble: Trouble) {
        self.trouble.get_or_insert(trouble);
        self.requests.clear();
        self.inbox = Vec::new();
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { server, mapped, relayed, trouble, .. } = self;
        write!(f, "Client({}, mapped {mapped:?}, relayed {relayed:?}, {trouble:?})", server.name)
    }
}
