//! Two SIP endpoints in virtual time through a simulated network with delay, loss, reorder and duplication.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ringfleet::sip::endpoint::{Config, Endpoint, Event};
use ringfleet::sip::flow::{Flow, Link, LinkId, Transport};
use ringfleet::sip::message::Message;
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
    /// Datagrams whose first line begins so are lost, this many times.
    pub(crate) drop_next: Vec<(String, usize)>,
    under_way: BTreeMap<(Instant, u64), (usize, Vec<u8>)>,
    sequence: u64,
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
            endpoint.add_link(LINK, Link { transport, advertised: address(end) });
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
            self.drain(None, &mut react);
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

    fn deliver(&mut self, end: usize, bytes: &[u8], react: &mut impl FnMut(&mut Self, usize, Event)) {
        match Message::parse(bytes) {
            Ok(message) => {
                let flow = self.flow(end);
                self.ends[end].handle_message(self.now, flow, &message);
                self.drain(Some((end, bytes)), react);
            }
            Err(_) => self.ends[end].note_malformed(),
        }
    }

    fn drain(&mut self, _at_hand: Option<(usize, &[u8])>, react: &mut impl FnMut(&mut Self, usize, Event)) {
        loop {
            let mut rest = true;
            for end in 0..2 {
                while let Some(event) = self.ends[end].poll_event() {
                    rest = false;
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

    fn transmit(&mut self, from: usize, bytes: Vec<u8>) {
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
