//! One worker's turn: take what is ready, let the station act, do what it wants done.
//!
//! *Quiet*: woken per packet. *Busy* (many packets or streams): sleep to the next 1 ms tick, then take what is ready,
//! so that the cost of waking is shared. A plain thread; nothing here blocks but the wait itself.

mod out;
mod sockets;

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token, Waker};

use crate::net::clock::{self, Turn};
use crate::net::stream::ReadState;
use crate::net::timer::{Timer, sleep_to_tick};
use crate::net::udp::{Buffers, Udp};
use crate::sip::flow::{Flow, Link, LinkId, Transport};
use crate::station::{LinkEvent, LinkFault, Output, Station};
use out::Outgoing;
use sockets::{Kind, Sockets};

pub use out::Wire;

const TIMER: Token = Token(usize::MAX);
const WAKER: Token = Token(usize::MAX - 1);
/// Datagrams in a turn beyond which the next turn waits for a tick: 2,000 packets/s and more.
const BUSY_DATAGRAMS: u32 = 2;
/// Streams beyond which every turn waits for a tick.
const BUSY_STREAMS: usize = 50;
/// Batches taken from one socket in a turn.
const BATCHES_A_TURN: usize = 8;

/// What a reactor tells the one who runs it.
#[derive(Debug)]
pub enum Turned<R> {
    /// The station reported something.
    Report(R),
    /// The station has done all it was made for.
    Done,
}

/// What a reactor has seen of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Turns taken.
    pub turns: u64,
    /// Turns longer than 20 ms while media ran.
    pub long_turns: u64,
    /// Longest turn.
    pub longest_turn: Duration,
    /// Datagrams that the system did not take from us.
    pub send_overflows: u64,
    /// Datagrams received, SIP and media.
    pub received: u64,
    /// Datagrams and stream messages sent.
    pub sent: u64,
    /// Sockets open now.
    pub sockets: u64,
    /// Most sockets open at the same time.
    pub peak_sockets: u64,
}

/// A station and its sockets.
pub struct Reactor<S: Station> {
    /// What is hosted.
    pub station: S,
    poll: Poll,
    events: Events,
    timer: Timer,
    sockets: Sockets,
    buffers: Buffers,
    read_buffer: Vec<u8>,
    out: Outgoing,
    ready: Vec<usize>,
    /// Sockets that report an error.
    failed: Vec<usize>,
    /// Ready sockets that were not emptied.
    left: Vec<usize>,
    origin: Instant,
    turn: Turn,
    busy: bool,
    health: Health,
    next_accepted: u32,
    public_address: Option<std::net::IpAddr>,
}

/// Links of accepted connections are numbered from here; those that a station opens are below.
const ACCEPTED: u32 = 1 << 31;
/// The listening UDP socket's link.
pub const LISTENER: LinkId = LinkId(0);

impl<S: Station> Reactor<S> {
    /// A reactor without sockets.
    ///
    /// # Errors
    /// The system's: too many open files.
    pub fn new(station: S, public_address: Option<std::net::IpAddr>) -> io::Result<Self> {
        let poll = Poll::new()?;
        let timer = Timer::new()?;
        let fd = timer.raw_fd();
        poll.registry().register(&mut mio::unix::SourceFd(&fd), TIMER, Interest::READABLE)?;
        let origin = clock::now();
        Ok(Self {
            station,
            poll,
            events: Events::with_capacity(1024),
            timer,
            sockets: Sockets::default(),
            buffers: Buffers::default(),
            read_buffer: Vec::new(),
            out: Outgoing::default(),
            ready: Vec::new(),
            failed: Vec::new(),
            left: Vec::new(),
            origin,
            turn: Turn::begin(origin),
            // The first turn does not wait: a station wants something before anything arrives.
            busy: true,
            health: Health::default(),
            next_accepted: ACCEPTED,
            public_address,
        })
    }

    /// Wakes the reactor from another thread.
    ///
    /// # Errors
    /// The system's: too many open files.
    pub fn waker(&self) -> io::Result<Waker> {
        Waker::new(self.poll.registry(), WAKER)
    }

    /// Listens for SIP over UDP and TCP at one address. Returns it, with the port that was given.
    ///
    /// # Errors
    /// The system's, as address in use.
    pub fn listen(&mut self, local: SocketAddr) -> io::Result<SocketAddr> {
        let udp = Udp::bind_sip(local)?;
        let local = udp.local();
        self.sockets.add(self.poll.registry(), Kind::Sip { link: LISTENER, udp })?;
        self.sockets.add(self.poll.registry(), Kind::Listener(mio::net::TcpListener::bind(local)?))?;
        let known = Link { transport: Transport::Udp, advertised: self.advertise(local) };
        self.station.handle_link(self.turn.now, LISTENER, LinkEvent::Opened(known));
        Ok(local)
    }

    /// The station was told something from outside: the next turn comes at once.
    pub fn wake_soon(&mut self) {
        if self.timer.arm(Some(self.turn.now), clock::now()).is_err() {
            self.busy = true;
        }
    }

    /// What the reactor has seen of itself.
    pub fn health(&self) -> Health {
        self.health
    }

    /// Time of the current turn.
    pub fn now(&self) -> Instant {
        self.turn.now
    }

    /// Waits for something to happen and treats it. Messages on the wire go to `wire`, reports to `told`.
    ///
    /// # Errors
    /// The system's, from waiting itself.
    pub fn turn(&mut self, wire: &mut impl Wire, mut told: impl FnMut(&mut S, Turned<S::Report>)) -> io::Result<()> {
        self.wait()?;
        self.turn = Turn::begin(self.turn.now);
        let before = self.health.received;
        self.take_ready(wire);
        self.take_failed();
        self.station.handle_timeout(self.turn.now);
        self.drain(wire, &mut told);
        self.out.flush(&mut self.sockets, &mut self.health);
        self.drop_lost_links();
        self.drain(wire, &mut told);
        self.out.flush(&mut self.sockets, &mut self.health);
        let datagrams = (self.health.received - before) as u32;
        self.busy = datagrams > BUSY_DATAGRAMS || self.sockets.streams() > BUSY_STREAMS;
        self.note_turn();
        Ok(())
    }

    fn wait(&mut self) -> io::Result<()> {
        let mut patience = None;
        if !self.left.is_empty() {
            patience = Some(Duration::ZERO);
        } else if self.busy {
            sleep_to_tick(self.origin, clock::now());
            patience = Some(Duration::ZERO);
        }
        loop {
            match self.poll.poll(&mut self.events, patience) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
                Ok(()) => break,
            }
        }
        self.ready.clear();
        self.ready.append(&mut self.left);
        for event in &self.events {
            match event.token() {
                TIMER => self.timer.acknowledge(),
                WAKER => {}
                Token(index) => {
                    self.ready.push(index);
                    if event.is_error() {
                        self.failed.push(index);
                    }
                }
            }
        }
        Ok(())
    }

    /// Tells the station of destinations that ICMP says are not there.
    fn take_failed(&mut self) {
        for index in std::mem::take(&mut self.failed) {
            let Some(Kind::Sip { link, udp }) = self.sockets.get_mut(index) else { continue };
            let link = *link;
            let mut told: Vec<SocketAddr> = Vec::new();
            for (remote, error) in udp.unreachable() {
                if !told.contains(&remote) {
                    told.push(remote);
                    self.station.handle_unreachable(self.turn.now, Flow { link, remote }, fault_of(&error));
                }
            }
        }
    }

    fn take_ready(&mut self, wire: &mut impl Wire) {
        let ready = std::mem::take(&mut self.ready);
        for index in &ready {
            self.take(*index, wire);
        }
        self.ready = ready;
    }

    fn take(&mut self, index: usize, wire: &mut impl Wire) {
        let turn = self.turn;
        let Some(mut socket) = self.sockets.lend(index) else { return };
        match &mut socket {
            Kind::Sip { link, udp } => {
                let (link, local) = (*link, udp.local());
                let mut more = true;
                for _ in 0..BATCHES_A_TURN {
                    more = udp.receive(&mut self.buffers, &turn, |datagram| {
                        self.health.received += 1;
                        let flow = Flow { link, remote: datagram.from };
                        let owner = self.station.handle_sip(turn.now, datagram.arrived, flow, datagram.bytes);
                        wire.received(
                            owner.unwrap_or(0),
                            datagram.arrived,
                            local,
                            datagram.from,
                            "UDP",
                            datagram.bytes,
                        );
                    });
                    if !more {
                        break;
                    }
                }
                if more {
                    self.left.push(index);
                }
            }
            Kind::Media { port, channel, udp } => {
                let (port, channel) = (*port, *channel);
                let mut more = true;
                for _ in 0..BATCHES_A_TURN {
                    more = udp.receive(&mut self.buffers, &turn, |datagram| {
                        self.health.received += 1;
                        let (arrived, from) = (datagram.arrived, datagram.from);
                        self.station.handle_media(turn.now, arrived, port, channel, from, datagram.bytes);
                    });
                    if !more {
                        break;
                    }
                }
                if more {
                    self.left.push(index);
                }
            }
            Kind::Stream { .. } => self.take_stream(index, &mut socket, wire),
            Kind::Listener(listener) => {
                while let Ok((accepted, remote)) = listener.accept() {
                    self.accept(accepted, remote);
                }
            }
        }
        self.sockets.give_back(index, socket);
    }

    fn take_stream(&mut self, index: usize, socket: &mut Kind, wire: &mut impl Wire) {
        let now = self.turn.now;
        let Kind::Stream { link, stream, local } = socket else { return };
        let link = *link;
        if !stream.is_connected() {
            match stream.finish_connecting() {
                Ok(None) => return,
                Ok(Some(address)) => {
                    *local = address;
                    let advertised = self.advertise(address);
                    let known = Link { transport: Transport::Tcp, advertised };
                    self.station.handle_link(now, link, LinkEvent::Opened(known));
                }
                Err(error) => return self.sockets.lose(link, fault_of(&error), error.to_string()),
            }
        }
        if let Err(error) = stream.flush() {
            self.sockets.lose(link, LinkFault::Broken, error.to_string());
        }
        let (remote, local) = (stream.remote(), *local);
        let state = stream.receive(&mut self.read_buffer, |bytes| {
            self.health.received += 1;
            let owner = self.station.handle_sip(now, now, Flow { link, remote }, bytes);
            wire.received(owner.unwrap_or(0), now, local, remote, "TCP", bytes);
        });
        match state {
            ReadState::Drained => {}
            ReadState::More => self.left.push(index),
            ReadState::Closed => {
                self.sockets.lose(link, LinkFault::Broken, "the peer closed the connection".to_owned());
            }
        }
    }

    fn accept(&mut self, accepted: mio::net::TcpStream, remote: SocketAddr) {
        let Ok(local) = accepted.local_addr() else { return };
        let link = LinkId(self.next_accepted);
        self.next_accepted = self.next_accepted.wrapping_add(1) | ACCEPTED;
        let stream = crate::net::stream::Stream::accepted(accepted, remote);
        let Ok(index) = self.sockets.add(self.poll.registry(), Kind::Stream { link, stream, local }) else { return };
        let known = Link { transport: Transport::Tcp, advertised: self.advertise(local) };
        self.station.handle_link(self.turn.now, link, LinkEvent::Opened(known));
        self.left.push(index);
    }

    /// Does what the station wants, until it wants nothing more.
    fn drain(&mut self, wire: &mut impl Wire, told: &mut impl FnMut(&mut S, Turned<S::Report>)) {
        let now = self.turn.now;
        loop {
            let start = self.out.mark();
            match self.station.poll_output(now, self.out.buffer()) {
                Output::Sip { flow, owner } => {
                    let Some((index, local, transport)) = self.sockets.of_link(flow.link) else {
                        self.out.forget(start);
                        continue;
                    };
                    wire.sent(owner, now, local, flow.remote, transport, self.out.since(start));
                    self.out.push(index, flow.remote, start);
                }
                Output::Media { port, channel, to } => match self.sockets.of_port(port, channel) {
                    Some(index) => self.out.push(index, to, start),
                    None => self.out.forget(start),
                },
                Output::OpenPort { port, range, local } => {
                    let opened = self.sockets.open_port(self.poll.registry(), port, range, local);
                    self.station.handle_port(now, port, opened);
                }
                Output::ClosePort(port) => {
                    // RTCP BYE goes out before its socket closes.
                    self.out.flush(&mut self.sockets, &mut self.health);
                    self.sockets.close_port(self.poll.registry(), port);
                }
                Output::OpenLink { link, transport, remote, local_port } => {
                    self.open_link(link, transport, remote, local_port);
                }
                Output::CloseLink(link) => {
                    self.out.flush(&mut self.sockets, &mut self.health);
                    self.sockets.close_link(self.poll.registry(), link);
                }
                Output::Report(report) => told(&mut self.station, Turned::Report(report)),
                Output::Done => {
                    told(&mut self.station, Turned::Done);
                    break;
                }
                Output::Idle(at) => {
                    if let Err(error) = self.timer.arm(at, clock::now()) {
                        tracing::error!(%error, "the worker's timer cannot be armed");
                    }
                    break;
                }
            }
        }
        self.health.sockets = self.sockets.len() as u64;
        self.health.peak_sockets = self.health.peak_sockets.max(self.health.sockets);
    }

    fn open_link(&mut self, link: LinkId, transport: Transport, remote: SocketAddr, local_port: u16) {
        let now = self.turn.now;
        let opened = self.sockets.open_link(self.poll.registry(), link, transport, remote, local_port);
        match opened {
            Ok(Some(local)) => {
                let known = Link { transport, advertised: self.advertise(local) };
                self.station.handle_link(now, link, LinkEvent::Opened(known));
            }
            // A connection tells later.
            Ok(None) => {}
            Err(error) => self.station.handle_link(now, link, LinkEvent::Lost(fault_of(&error), error.to_string())),
        }
    }

    fn drop_lost_links(&mut self) {
        for (link, fault, text) in self.sockets.take_lost(self.poll.registry()) {
            self.station.handle_link(self.turn.now, link, LinkEvent::Lost(fault, text));
        }
    }

    fn advertise(&self, local: SocketAddr) -> SocketAddr {
        SocketAddr::new(self.public_address.unwrap_or_else(|| local.ip()), local.port())
    }

    fn note_turn(&mut self) {
        let took = clock::now().saturating_duration_since(self.turn.now);
        self.health.turns += 1;
        self.health.longest_turn = self.health.longest_turn.max(took);
        if took > Duration::from_millis(20) && self.sockets.streams() > 0 {
            self.health.long_turns += 1;
        }
    }
}

fn fault_of(error: &io::Error) -> LinkFault {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => LinkFault::Refused,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => LinkFault::Unreachable,
        _ => LinkFault::Broken,
    }
}
