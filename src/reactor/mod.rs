//! One worker's turn: take what is ready, let the station act, do what it wants done.
//!
//! *Quiet*: woken per packet. *Busy* (many packets or streams): sleep to the next tick of 1 ms, or of 2 ms where no media
//! runs, then take what is ready, so that the cost of waking is shared. What is due goes out before handshakes are gone on
//! with, of which a turn takes few. A plain thread; nothing here blocks but the wait itself.

mod accepted;
mod act;
mod farewell;
mod health;
mod out;
mod receive;
mod shaking;
mod sockets;

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token, Waker};

use crate::measure::Distribution;
use crate::net::clock::{self, Turn};
use crate::net::dialer::Dialer;
use crate::net::drops::Drops;
use crate::net::timer::{Timer, sleep_to_tick};
use crate::net::tls::{self, Acceptor};
use crate::net::udp::{Buffers, Udp, own_address};
use crate::net::websocket::{self, Kind as WebKind};
use crate::sip::flow::{Link, LinkId, PublicAddress, Transport};
use crate::station::{LinkEvent, LinkFault, Station};
use farewell::Farewells;
use health::{Pace, Turns};
use out::Outgoing;
use shaking::Shaking;
use sockets::{Kind, Sockets};

pub use health::Health;
pub use out::Wire;

const TIMER: Token = Token(usize::MAX);
const WAKER: Token = Token(usize::MAX - 1);
/// A turn that comes later than this takes all that has arrived before it does what is due.
const LATE: Duration = Duration::from_millis(20);
/// How often a late turn goes back to sockets that still have something.
const ROUNDS: usize = 64;
/// Sockets that one wait reports at most; where it reports so many, there may be more.
const EVENTS: usize = 1024;

/// What a reactor tells the one who runs it.
#[derive(Debug)]
pub enum Turned<R> {
    /// The station reported something.
    Report(R),
    /// The station has done all it was made for.
    Done,
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
    /// When the station has something to do by itself.
    idle_until: Option<Instant>,
    /// When the current turn was due; `None` where it was woken by what arrived.
    due: Option<Instant>,
    /// When the oldest datagram of the current turn arrived.
    oldest: Option<Instant>,
    pace: Pace,
    turns: Turns,
    health: Health,
    next_accepted: u32,
    tls: Security,
    shaking: Shaking,
}

/// How connections are secured.
#[derive(Clone, Debug, Default)]
pub struct Security {
    /// For each server that the station was given.
    pub servers: Vec<Dialer>,
    /// For those who connect to us; without it they cannot speak TLS.
    pub acceptor: Option<Acceptor>,
}

/// The listening UDP socket's link.
pub const LISTENER: LinkId = LinkId(0);

impl<S: Station> Reactor<S> {
    /// A reactor without sockets.
    ///
    /// # Errors
    /// The system's: too many open files.
    pub fn new(station: S, tls: Security) -> io::Result<Self> {
        let poll = Poll::new()?;
        let timer = Timer::new()?;
        let fd = timer.raw_fd();
        poll.registry().register(&mut mio::unix::SourceFd(&fd), TIMER, Interest::READABLE)?;
        let origin = clock::now();
        Ok(Self {
            station,
            poll,
            events: Events::with_capacity(EVENTS),
            timer,
            sockets: Sockets::beginning_at(clock::seed() as u32),
            buffers: Buffers::default(),
            read_buffer: Vec::new(),
            out: Outgoing::default(),
            ready: Vec::new(),
            failed: Vec::new(),
            left: Vec::new(),
            origin,
            turn: Turn::begin(origin),
            idle_until: None,
            due: None,
            oldest: None,
            pace: Pace::new(origin),
            turns: Turns::new(),
            health: Health::default(),
            next_accepted: receive::ACCEPTED,
            tls,
            shaking: Shaking::default(),
        })
    }

    /// Who counts what the kernel drops of the sockets opened from now on.
    pub fn count_drops(&mut self, drops: Drops) {
        self.sockets.drops = Some(drops);
    }

    /// Wakes the reactor from another thread.
    ///
    /// # Errors
    /// The system's: too many open files.
    pub fn waker(&self) -> io::Result<Waker> {
        Waker::new(self.poll.registry(), WAKER)
    }

    /// Listens for SIP over UDP, TCP, WebSocket and, with an acceptor, TLS at one address: the first bytes of a connection
    /// tell.
    /// Returns it, with the port that was given. Listening at every address, we are known by that of the default route.
    ///
    /// # Errors
    /// The system's, as address in use.
    pub fn listen(&mut self, local: SocketAddr) -> io::Result<SocketAddr> {
        let tries = if local.port() == 0 { FREE_PORT_TRIES } else { 1 };
        let (udp, listener) = bind_both(|| Udp::bind_sip(local), tries)?;
        let local = udp.local();
        self.sockets.add(self.poll.registry(), Kind::Sip { link: LISTENER, udp })?;
        self.sockets.add(self.poll.registry(), Kind::Listener(listener))?;
        let known = Link::new(Transport::Udp, local);
        let known = if local.ip().is_unspecified() {
            known.known_as(PublicAddress::Fixed(own_address(local.ip())))
        } else {
            known
        };
        self.station.handle_link(self.turn.now, LISTENER, LinkEvent::Opened(known));
        Ok(local)
    }

    /// One more server that the station knows from now on, and how connections to it are made. Its number, which must not
    /// be 65,535: that is nobody's.
    pub fn add_server(&mut self, dialer: Dialer) -> usize {
        self.tls.servers.push(dialer);
        self.tls.servers.len() - 1
    }

    /// The station was told something from outside: the next turn comes at once.
    pub fn wake_soon(&mut self) {
        self.idle_until = Some(self.turn.now);
    }

    /// What the reactor has seen of itself.
    pub fn health(&self) -> Health {
        self.health
    }

    /// The turns while media ran since they were last taken, each from the moment it was due, milliseconds.
    pub fn take_turns(&mut self) -> Distribution {
        self.turns.take()
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
        self.oldest = None;
        self.take_ready(wire);
        self.catch_up(wire);
        self.take_failed();
        self.station.handle_timeout(self.turn.now);
        self.drain(wire, &mut told);
        self.out.flush(&mut self.sockets, &mut self.health);
        self.shake(wire);
        self.sockets.expire(self.turn.now);
        self.health.dismissed = self.sockets.accepted.dismissed;
        self.health.unattributed = self.sockets.unattributed();
        self.drop_lost_links();
        self.drain(wire, &mut told);
        self.out.flush(&mut self.sockets, &mut self.health);
        self.pace.note(self.turn.now, self.health.received - before);
        let times = (self.begun_late(), clock::now());
        self.turns.note(&mut self.health, times, self.sockets.streams());
        Ok(())
    }

    /// Waits until the peers of the connections that were closed have closed them too, for this long at most: the end of
    /// a process resets what it has not read.
    ///
    /// # Errors
    /// The system's, from waiting itself.
    pub fn see_off(&mut self, patience: Duration) -> io::Result<()> {
        let until = clock::now() + patience;
        while !self.sockets.farewells.is_empty() {
            let left = until.saturating_duration_since(clock::now());
            if left.is_zero() {
                break;
            }
            self.poll(Some(left))?;
            self.ready.clear();
        }
        Ok(())
    }

    /// When this turn should have begun.
    fn begun_late(&self) -> Instant {
        [self.due, self.oldest].into_iter().flatten().min().map_or(self.turn.now, |due| due.min(self.turn.now))
    }

    /// A worker that was kept from running finds much in its sockets. All of it is older than what is due now: a
    /// response that came in time must not meet a transaction that has timed out.
    fn catch_up(&mut self, wire: &mut impl Wire) {
        for _ in 0..ROUNDS {
            if self.left.is_empty() || self.turn.now - self.begun_late() < LATE {
                break;
            }
            std::mem::swap(&mut self.ready, &mut self.left);
            self.left.clear();
            self.take_ready(wire);
        }
    }

    fn wait(&mut self) -> io::Result<()> {
        let before = clock::now();
        let mut patience = Some(Duration::ZERO);
        if !self.left.is_empty() || self.shaking.is_put_off() {
            self.due = Some(before);
        } else if let Some(tick) = self.pace.tick(self.sockets.streams()) {
            self.due = Some(sleep_to_tick(self.origin, before, tick));
        } else {
            self.timer.arm(self.idle_until, before)?;
            // What became due during the last turn is no fault of the wait.
            self.due = self.idle_until.map(|at| at.max(before));
            patience = None;
        }
        self.ready.clear();
        self.ready.append(&mut self.left);
        while self.poll(patience)? == EVENTS {
            patience = Some(Duration::ZERO);
        }
        Ok(())
    }

    /// Asks which sockets are ready. Returns how many events there were.
    fn poll(&mut self, patience: Option<Duration>) -> io::Result<usize> {
        while let Err(error) = self.poll.poll(&mut self.events, patience) {
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
        let mut count = 0;
        for event in &self.events {
            count += 1;
            match event.token() {
                TIMER => self.timer.acknowledge(),
                WAKER => {}
                Token(token) if Farewells::concerns(token) => {
                    self.sockets.farewells.take(token, &mut self.read_buffer);
                }
                Token(index) => {
                    self.ready.push(index);
                    if event.is_error() {
                        self.failed.push(index);
                    }
                }
            }
        }
        Ok(count)
    }
}

fn fault_of(error: &io::Error) -> LinkFault {
    if let Some(kind) = websocket::kind_of(error) {
        return match kind {
            WebKind::Upgrade => LinkFault::Upgrade,
            WebKind::Closed => LinkFault::WebClosed,
            WebKind::Protocol => LinkFault::WebProtocol,
        };
    }
    match error.kind() {
        _ if tls::is_tls(error) => LinkFault::Tls,
        io::ErrorKind::ConnectionRefused => LinkFault::Refused,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => LinkFault::Unreachable,
        _ => LinkFault::Broken,
    }
}

/// Ports that are tried where any free one will do.
const FREE_PORT_TRIES: u32 = 32;

/// Sockets for datagrams and for streams at one port. A port that is free for UDP may be somebody's for TCP.
fn bind_both(mut udp: impl FnMut() -> io::Result<Udp>, tries: u32) -> io::Result<(Udp, TcpListener)> {
    let mut left = tries;
    loop {
        let udp = udp()?;
        left -= 1;
        match TcpListener::bind(udp.local()) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && left > 0 => {}
            bound => return Ok((udp, bound?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::sip::flow::Flow;
    use crate::station::{MediaPacket, Output, PortId};

    #[test]
    fn a_port_that_is_taken_for_streams_is_not_the_free_one() {
        // An address of this test's own: nobody else takes the same port for UDP.
        let any = SocketAddr::from(([127, 0, 0, 77], 0));
        let taken = TcpListener::bind(any).expect("free");
        let at = taken.local_addr().expect("bound");
        let mut addresses = vec![any, at];
        let (udp, listener) = bind_both(|| Udp::bind_sip(addresses.pop().expect("two")), 2).expect("bound");
        assert_eq!(listener.local_addr().expect("bound"), udp.local());
        assert_ne!(udp.local(), at);
        let error = bind_both(|| Udp::bind_sip(at), 1).map(|_| ()).expect_err("the one that was asked for");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    /// Takes connections, hears nothing, and does what it is told.
    #[derive(Default)]
    struct Deaf {
        /// What is sent with each, and what else is wanted.
        wants: VecDeque<(&'static str, Output<()>)>,
    }

    impl Station for Deaf {
        type Report = ();

        fn handle_sip(&mut self, _: Instant, _: Instant, _: Flow, _: &[u8]) -> Option<u64> {
            None
        }
        fn handle_media(&mut self, _: Instant, _: MediaPacket<'_>) {}
        fn shake(&mut self, _: Instant) -> bool {
            false
        }
        fn handle_port(&mut self, _: Instant, _: PortId, _: Result<SocketAddr, String>) {}
        fn handle_link(&mut self, _: Instant, _: LinkId, _: LinkEvent) {}
        fn handle_unreachable(&mut self, _: Instant, _: Flow, _: LinkFault) {}
        fn handle_timeout(&mut self, _: Instant) {}
        fn stop(&mut self, _: Instant) {}
        fn poll_output(&mut self, _: Instant, out: &mut Vec<u8>) -> Output<()> {
            let Some((bytes, output)) = self.wants.pop_front() else { return Output::Idle(None) };
            out.extend_from_slice(bytes.as_bytes());
            output
        }
    }

    #[test]
    fn bug_a_connection_closed_with_unread_bytes_does_not_reset_what_was_sent_last() {
        use std::io::{ErrorKind, Read as _, Write as _};

        #[expect(clippy::disallowed_methods, reason = "the peers of this test are not the product's")]
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let remote = listener.local_addr().expect("bound");
        let mut reactor = Reactor::new(Deaf::default(), Security::default()).expect("a reactor");
        let link = LinkId(1);
        let open =
            Output::OpenLink { link, transport: Transport::Tcp, remote, local: None, local_port: 0, server: u16::MAX };
        reactor.station.wants.push_back(("", open));
        reactor.wake_soon();
        reactor.turn(&mut (), |_, _| {}).expect("a turn");
        let (mut peer, _) = listener.accept().expect("it connects");
        reactor.turn(&mut (), |_, _| {}).expect("a turn");
        // More than a turn reads, while the last message and the end are said.
        peer.set_nonblocking(true).expect("a socket");
        let mut sent = 0;
        while sent < 2 << 20 && peer.write(&[b'x'; 65536]).inspect(|count| sent += count).is_ok() {}
        let sip = Output::Sip { flow: Flow { link, remote }, owner: 0 };
        reactor.station.wants.extend([("given back", sip), ("", Output::CloseLink(link))]);
        reactor.wake_soon();
        reactor.turn(&mut (), |_, _| {}).expect("a turn");
        assert_eq!(reactor.health().sockets, 0, "it is no connection any more");
        // The peer goes on for a while, and then hears all of what was said.
        let mut rest = 1 << 20;
        while rest > 0 {
            match peer.write(&[b'x'; 65536]) {
                Ok(count) => rest -= count.min(rest),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    reactor.wake_soon();
                    reactor.turn(&mut (), |_, _| {}).expect("a turn");
                }
                Err(error) => panic!("it is reset: {error}"),
            }
        }
        peer.set_nonblocking(false).expect("a socket");
        let mut heard = String::new();
        peer.read_to_string(&mut heard).expect("no reset");
        assert_eq!(heard, "given back");
        drop(peer);
        reactor.see_off(Duration::from_secs(10)).expect("it can wait");
        assert!(reactor.sockets.farewells.is_empty(), "the peer has closed");
    }

    #[test]
    fn a_connection_too_many_closes_the_one_that_was_silent_for_longest() {
        use std::io::{Read as _, Write as _};

        let mut reactor = Reactor::new(Deaf::default(), Security::default()).expect("a reactor");
        reactor.sockets.accepted.bounds.connections = 2;
        let server = reactor.listen(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
        let mut turn = |until: &dyn Fn(&Health) -> bool| {
            while !until(&reactor.health()) {
                reactor.turn(&mut (), |_, _| {}).expect("a turn");
            }
        };
        #[expect(clippy::disallowed_methods, reason = "the peers of this test are not the product's")]
        let connect = || std::net::TcpStream::connect(server).expect("it listens");
        let (mut speaks, mut silent) = (connect(), connect());
        turn(&|health| health.sockets == 4);
        speaks.write_all(b"\r\n\r\n").expect("it is open");
        turn(&|health| health.received == 1);
        let mut third = connect();
        turn(&|health| health.dismissed.crowded == 1);
        assert_eq!(silent.read(&mut [0; 9]).expect("no error"), 0, "it is closed");
        third.write_all(b"\r\n\r\n").expect("it is open");
        turn(&|health| health.received == 2);
        for peer in [&mut speaks, &mut third] {
            let mut pong = [0; 2];
            peer.read_exact(&mut pong).expect("it is open");
            assert_eq!(&pong, b"\r\n");
        }
    }
}
