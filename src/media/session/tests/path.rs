//! Two sessions joined by a simulated network in virtual time.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use crate::media::clock::NtpClock;
use crate::media::codec::Codec;
use crate::media::rtp::Packet;
use crate::media::session::{Channel, Config, Event, Output, Session};

/// A packet on its way.
pub(super) struct Flight {
    pub(super) arrives: Instant,
    pub(super) to: usize,
    pub(super) channel: Channel,
    pub(super) bytes: Vec<u8>,
}

/// When each packet of a side arrives after it was sent; none is lost, two are a duplicate. The number counts RTP
/// packets of the side.
pub(super) type Path = Box<dyn FnMut(u64, &[u8]) -> Vec<Duration>>;

pub(super) struct Pair {
    pub(super) start: Instant,
    pub(super) now: Instant,
    pub(super) ends: [Session; 2],
    pub(super) events: [Vec<Event>; 2],
    /// What each side sent: when, on which channel, the bytes.
    pub(super) sent: [Vec<(Instant, Channel, Vec<u8>)>; 2],
    /// Whether bytes are kept in `sent`.
    pub(super) keep: bool,
    paths: [Path; 2],
    flights: Vec<Flight>,
}

pub(super) fn even(delay_ms: u64) -> Path {
    Box::new(move |_, _| vec![Duration::from_millis(delay_ms)])
}

/// The address of a side's channel.
pub(super) fn address(side: usize, channel: Channel) -> SocketAddr {
    let port = 4_000 + 2 * side as u16 + u16::from(channel == Channel::Rtcp);
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// A session's configuration as it is seen from `side`.
pub(super) fn config(side: usize, start: Instant) -> Config {
    let other = 1 - side;
    let clock = NtpClock::from_unix(start, Duration::from_secs(1_700_000_000));
    Config {
        phase: Duration::from_millis(7),
        ..Config::new(Codec::Pcma, address(other, Channel::Rtp), address(other, Channel::Rtcp), clock)
    }
}

#[expect(clippy::disallowed_methods, reason = "any moment will do as a start")]
pub(super) fn some_moment() -> Instant {
    Instant::now()
}

impl Pair {
    /// Side 0 places the call, side 1 answers it; `change` adapts both configurations.
    pub(super) fn new(paths: [Path; 2], change: impl Fn(usize, &mut Config)) -> Self {
        let start = some_moment();
        let end = |side: usize| {
            let mut config = config(side, start);
            config.marker_id = if side == 0 { 0x0123 } else { 0x8123 };
            change(side, &mut config);
            Session::new(config, 7 + side as u64, start)
        };
        Self {
            start,
            now: start,
            ends: [end(0), end(1)],
            events: [vec![], vec![]],
            sent: [vec![], vec![]],
            keep: false,
            paths,
            flights: vec![],
        }
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let deadlines = [self.drain(0), self.drain(1)];
            let arrival = self.flights.iter().map(|flight| flight.arrives).min();
            let next = deadlines.into_iter().chain([arrival]).flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            self.deliver();
            for (session, _) in self.ends.iter_mut().zip(deadlines).filter(|(_, at)| at.is_some_and(|at| at <= next)) {
                session.handle_timeout(next);
            }
        }
        self.now = end;
    }

    pub(super) fn close(&mut self) {
        self.ends.iter_mut().for_each(|session| session.close(self.now));
        self.drain(0);
        self.drain(1);
    }

    fn deliver(&mut self) {
        self.flights.sort_by_key(|flight| flight.arrives);
        while self.flights.first().is_some_and(|flight| flight.arrives <= self.now) {
            let Flight { arrives, to, channel, bytes } = self.flights.remove(0);
            let from = address(1 - to, channel);
            match channel {
                Channel::Rtp => self.ends[to].handle_rtp(arrives, from, &bytes),
                Channel::Rtcp => self.ends[to].handle_rtcp(arrives, from, &bytes),
            }
            self.drain(to);
        }
    }

    /// Takes what a side has to give; its next deadline.
    pub(super) fn drain(&mut self, side: usize) -> Option<Instant> {
        let mut buf = Vec::new();
        loop {
            match self.ends[side].poll_output(&mut buf) {
                Output::Event(event) => self.events[side].push(event),
                Output::Timeout(at) => return Some(at),
                Output::Idle => return None,
                Output::Transmit { channel, to } => {
                    assert_eq!(to, address(1 - side, channel));
                    self.send(side, channel, &buf);
                }
            }
        }
    }

    fn send(&mut self, side: usize, channel: Channel, bytes: &[u8]) {
        let number = match channel {
            Channel::Rtp => self.ends[side].report(self.now).tx_packets - 1,
            Channel::Rtcp => u64::MAX,
        };
        for delay in (self.paths[side])(number, bytes) {
            let arrives = self.now + delay;
            self.flights.push(Flight { arrives, to: 1 - side, channel, bytes: bytes.to_vec() });
        }
        if self.keep {
            self.sent[side].push((self.now, channel, bytes.to_vec()));
        }
    }

    /// RTP packets a side sent, with the moment.
    pub(super) fn rtp(&self, side: usize) -> Vec<(Instant, Packet<'_>)> {
        let rtp = self.sent[side].iter().filter(|(_, channel, _)| *channel == Channel::Rtp);
        rtp.map(|(at, _, bytes)| (*at, Packet::parse(bytes).expect("our own packet"))).collect()
    }
}
