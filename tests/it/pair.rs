//! Two SIP endpoints in virtual time through a simulated network with delay, loss, reorder and duplication.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ringfleet::sip::endpoint::{Config, Endpoint, Event};
use ringfleet::sip::flow::{Flow, Link, LinkId, Transport};
use ringfleet::sip::header::{self, Name};
use ringfleet::sip::message::{Message, Start};
use ringfleet::sip::outbox::Reply;
use ringfleet::sip::session::{Extensions, Invite};
use ringfleet::sip::validity;
use ringfleet::units::Random;

/// What the network does to a datagram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Network {
    pub(crate) delay: Duration,
    /// Further delay, up to this, drawn per datagram: reorders.
    pub(crate) spread: Duration,
    /// In a thousand.
    pub(crate) loss: u64,
    /// In a thousand.
    pub(crate) duplication: u64,
}

impl Default for Network {
    fn default() -> Self {
        Self { delay: Duration::from_millis(10), spread: Duration::ZERO, loss: 0, duplication: 0 }
    }
}

/// Two endpoints, what is between them, and what each has told.
pub(crate) struct Pair {
    pub(crate) now: Instant,
    pub(crate) start: Instant,
    pub(crate) ends: [Endpoint; 2],
    pub(crate) network: Network,
    pub(crate) random: Random,
    pub(crate) told: [Vec<(Duration, Event)>; 2],
    /// First lines of all datagrams sent, with the moment: (end, line).
    pub(crate) wire: Vec<(Duration, usize, String)>,
    /// The same datagrams in full: (end, text).
    pub(crate) messages: Vec<(usize, String)>,
    /// What arrived last, while the events that it caused are drained.
    pub(crate) at_hand: String,
    /// Datagrams whose first line begins so are lost, this many times.
    pub(crate) drop_next: Vec<(String, usize)>,
    under_way: BTreeMap<(Instant, u64), (usize, Vec<u8>)>,
    sequence: u64,
}

pub(crate) const OFFER: &[u8] = b"v=0\r\nm=audio 4000 RTP/AVP 8\r\n";

/// The call that the first end places to the second.
pub(crate) fn invite(flow: Flow) -> Invite<'static> {
    Invite {
        flow,
        owner: 7,
        uri: "sip:b@127.0.0.1:5061",
        from: "<sip:a@lab>",
        to: "<sip:b@lab>",
        contact: "a",
        route: &[],
        headers: &[],
        sdp: OFFER,
        max_forwards: 70,
        extensions: Extensions::default(),
        credentials: None,
        raw: None,
        largest_datagram: None,
    }
}

pub(crate) const LINK: LinkId = LinkId(0);

pub(crate) fn address(end: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 5060 + end as u16))
}

impl Pair {
    pub(crate) fn new(network: Network, transport: Transport) -> Self {
        #[expect(clippy::disallowed_methods, reason = "any instant will do as the origin of virtual time")]
        let start = Instant::now();
        let ends = std::array::from_fn(|end| {
            let mut endpoint = Endpoint::new(Config::default(), end as u64 + 1, start);
            endpoint.add_link(LINK, Link::new(transport, address(end)));
            endpoint
        });
        Self {
            now: start,
            start,
            ends,
            network,
            random: Random::new(42),
            told: [Vec::new(), Vec::new()],
            wire: Vec::new(),
            messages: Vec::new(),
            at_hand: String::new(),
            drop_next: Vec::new(),
            under_way: BTreeMap::new(),
            sequence: 0,
        }
    }

    /// The flow from one end to the other.
    pub(crate) fn flow(&self, from: usize) -> Flow {
        Flow { link: LINK, remote: address(1 - from) }
    }

    /// Lets time pass until nothing is due before `until`. Each event is given to `react`.
    pub(crate) fn run(&mut self, until: Duration, mut react: impl FnMut(&mut Self, usize, Event)) {
        let until = self.start + until;
        for turn in 0.. {
            assert!(turn < 200_000, "the endpoints do not come to rest");
            self.drain(&mut react);
            let datagram = self.under_way.keys().next().map(|(at, _)| *at);
            let timer = self.ends.iter().filter_map(Endpoint::poll_timeout).min();
            let Some(next) = datagram.into_iter().chain(timer).min().filter(|at| *at <= until) else { break };
            self.now = self.now.max(next);
            if datagram.is_some_and(|at| at <= self.now) {
                let (_, (end, bytes)) = self.under_way.pop_first().expect("one is under way");
                self.deliver(end, &bytes, &mut react);
            } else {
                for end in 0..2 {
                    self.ends[end].handle_timeout(self.now);
                }
            }
        }
        self.now = until;
    }

    /// Whole milliseconds at which each datagram whose first line begins with `line` was sent.
    pub(crate) fn sent(&self, line: &str) -> Vec<u128> {
        self.wire.iter().filter(|(_, _, sent)| sent.starts_with(line)).map(|(at, _, _)| at.as_millis()).collect()
    }

    /// The whole datagrams of an end whose first line begins with `line`.
    pub(crate) fn messages_of(&self, end: usize, line: &str) -> Vec<&str> {
        let sent = self.messages.iter().filter(|(from, text)| *from == end && text.starts_with(line));
        sent.map(|(_, text)| text.as_str()).collect()
    }

    /// Bytes of somebody else reach an end now.
    pub(crate) fn inject(&mut self, end: usize, text: &str, mut react: impl FnMut(&mut Self, usize, Event)) {
        self.deliver(end, text.as_bytes(), &mut react);
    }

    fn deliver(&mut self, end: usize, bytes: &[u8], react: &mut impl FnMut(&mut Self, usize, Event)) {
        match Message::parse(bytes) {
            Ok(message) => {
                let flow = self.flow(end);
                self.ends[end].handle_message(self.now, flow, &message);
                self.at_hand = String::from_utf8_lossy(bytes).into_owned();
                self.drain(react);
            }
            Err(_) => self.ends[end].note_malformed(),
        }
    }

    /// The link of an end breaks and is opened again at once.
    pub(crate) fn lose_link(&mut self, end: usize, transport: Transport) {
        self.ends[end].remove_link(self.now, LINK);
        self.ends[end].add_link(LINK, Link::new(transport, address(end)));
    }

    fn drain(&mut self, react: &mut impl FnMut(&mut Self, usize, Event)) {
        loop {
            let mut rest = true;
            for end in 0..2 {
                while let Some(event) = self.ends[end].poll_event() {
                    rest = false;
                    if event == Event::RegisterReceived {
                        self.grant(end, self.at_hand.clone().as_bytes());
                    }
                    self.told[end].push((self.now - self.start, event));
                    react(self, end, event);
                }
                while let Some(transmit) = self.ends[end].poll_transmit() {
                    let bytes = transmit.bytes.to_vec();
                    self.transmit(end, bytes);
                }
            }
            if rest {
                break;
            }
        }
    }

    /// An end is a registrar that grants what it is asked for.
    fn grant(&mut self, end: usize, bytes: &[u8]) {
        let request = Message::parse(bytes).expect("it was read before");
        let field = |name| request.header(name).map(header::text).unwrap_or_default();
        let headers = [("Contact", field(Name::Contact)), ("Expires", field(Name::Expires))];
        let flow = self.flow(end);
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        self.ends[end].reply(flow, &request, &Reply { code: 200, headers: &headers, ..Reply::default() });
    }

    fn transmit(&mut self, from: usize, bytes: Vec<u8>) {
        assert_strict(&bytes);
        let line = String::from_utf8_lossy(&bytes).lines().next().unwrap_or("").to_owned();
        let forced = self.drop_next.iter_mut().find(|(begin, left)| *left > 0 && line.starts_with(begin.as_str()));
        let lost = match forced {
            Some((_, left)) => {
                *left -= 1;
                true
            }
            None => self.random.next_u64() % 1000 < self.network.loss,
        };
        self.wire.push((self.now - self.start, from, line));
        self.messages.push((from, String::from_utf8_lossy(&bytes).into_owned()));
        if lost {
            return;
        }
        let copies = 1 + u64::from(self.random.next_u64() % 1000 < self.network.duplication);
        for _ in 0..copies {
            let spread = self.network.spread.as_micros() as u64;
            let extra = if spread == 0 { 0 } else { self.random.next_u64() % spread };
            let at = self.now + self.network.delay + Duration::from_micros(extra);
            self.sequence += 1;
            self.under_way.insert((at, self.sequence), (1 - from, bytes.clone()));
        }
    }
}

/// Whatever was received, what is sent is in order.
pub(crate) fn assert_strict(bytes: &[u8]) {
    let message = Message::parse(bytes).unwrap_or_else(|error| panic!("{error}: {}", bytes.escape_ascii()));
    let right = match message.start() {
        Start::Request { .. } => validity::flaw(&message).is_none(),
        // RFC 4475 §3.3.1: a request without its fields ideally gets a 400, which cannot have them either.
        Start::Response { code: 400, .. } => true,
        Start::Response { .. } => validity::is_whole(&message),
    };
    assert!(right && message.skipped_lines() == 0, "{}", bytes.escape_ascii());
}
