//! Who measures: asks whether a responder is there, and then for a burst each way.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::burst::{Receiver, Sender, Shape};
use super::packet::{DATA, HEADERS, Packet, Ticket, Way};

/// First repetition of a question; each further one waits twice as long. How often it is asked: 3.75 s together.
const FIRST_REPEAT: Duration = Duration::from_millis(250);
const ASKED: u8 = 4;
/// How long the end of a burst is waited for after its time.
const OVER: Duration = Duration::from_secs(3);
/// How much more is sent than is wanted, so that a loss which is no lack of bandwidth does not look like one.
const MARGIN: f64 = 1.05;

/// What is to be measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wanted {
    /// Mbit/s each way, IP and UDP headers included.
    pub mbps: f64,
    /// For how long, each way.
    pub length: Duration,
}

/// One way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// What came through, Mbit/s of IP packets.
    pub mbps: f64,
    /// Packets that were sent.
    pub sent: u32,
    /// Those of them that arrived.
    pub received: u32,
    /// How long the burst took, from its first packet to its last.
    pub took: Duration,
}

impl Measured {
    fn new(shape: Shape, headers: usize, received: u32, span: Duration) -> Self {
        let sent = shape.packets();
        // What comes late was held up on the way: then it is the time of arrival that counts. Between n packets lie
        // n - 1 intervals.
        let took = shape.length().max(span + shape.length() / sent.max(1));
        let bits = 8.0 * (DATA + headers) as f64 * f64::from(received);
        Self { mbps: bits / took.as_secs_f64() / 1e6, sent, received: received.min(sent), took }
    }

    /// Share of the packets that did not arrive, percent.
    pub fn loss_pct(&self) -> f64 {
        100.0 * f64::from(self.sent - self.received) / f64::from(self.sent.max(1))
    }
}

/// Why nothing could be measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nobody there answers as a responder does.
    NoResponder,
    /// It measures with somebody else.
    Busy,
    /// It takes and gives less.
    TooMuch,
    /// It stopped answering.
    Silent,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoResponder => {
                "nobody there answers as a responder does, so no burst was sent; start one there: \
                 `ringfleet answer --bandwidth ADDR` (UDP, past every firewall between)"
            }
            Self::Busy => "it measures with somebody else just now; try again in a minute",
            Self::TooMuch => "it takes and gives less than is wanted",
            Self::Silent => "it stopped answering in the middle",
        })
    }
}

#[derive(Debug)]
enum State {
    /// Is a responder there?
    Greeting,
    /// A burst that way is asked for.
    Asking(Way),
    Sending(Sender),
    Receiving(Receiver),
    Over(Option<Trouble>),
}

/// The machine: two bursts, one after the other.
#[derive(Debug)]
pub(super) struct Client {
    to: SocketAddr,
    number: u64,
    shape: Shape,
    kbps: u32,
    ms: u32,
    headers: usize,
    ticket: Option<Ticket>,
    state: State,
    /// When the state has taken too long, or asks again.
    due: Instant,
    wait: Duration,
    asked: u8,
    up: Option<Measured>,
    down: Option<Measured>,
}

impl Client {
    /// `number` is one that nobody can guess.
    pub(super) fn new(to: SocketAddr, wanted: Wanted, number: u64, now: Instant) -> Self {
        let headers = HEADERS[usize::from(to.is_ipv6())];
        let (kbps, ms) = ((wanted.mbps * MARGIN * 1e3).round() as u32, wanted.length.as_millis() as u32);
        Self {
            to,
            number,
            shape: Shape::new(kbps, Duration::from_millis(ms.into()), headers),
            kbps,
            ms,
            headers,
            ticket: None,
            state: State::Greeting,
            due: now,
            wait: FIRST_REPEAT,
            asked: 0,
            up: None,
            down: None,
        }
    }

    /// Up and down, or why not; `None` as long as it is at it.
    pub(super) fn outcome(&self) -> Option<Result<[Measured; 2], Trouble>> {
        let State::Over(trouble) = &self.state else { return None };
        Some(match (trouble, self.up, self.down) {
            (None, Some(up), Some(down)) => Ok([up, down]),
            (trouble, ..) => Err(trouble.clone().unwrap_or(Trouble::Silent)),
        })
    }

    pub(super) fn due(&self) -> Option<Instant> {
        match &self.state {
            State::Over(_) => None,
            // A sender that has said all waits for the result.
            State::Sending(sender) => Some(sender.due().map_or(self.due, |at| at.min(self.due))),
            _ => Some(self.due),
        }
    }

    /// The next packet for the responder; false where none is due.
    pub(super) fn poll(&mut self, now: Instant, out: &mut Vec<u8>) -> bool {
        let number = self.number_of_state();
        if let State::Sending(sender) = &mut self.state
            && sender.poll(now, out)
        {
            return true;
        }
        match &self.state {
            State::Over(_) => return false,
            _ if self.due > now => return false,
            State::Greeting if self.asked < ASKED => Packet::Hello.write(number, out),
            State::Asking(way) if self.asked < ASKED => {
                let Some(ticket) = self.ticket else { return false };
                Packet::Begin { ticket, way: *way, kbps: self.kbps, ms: self.ms }.write(number, out);
            }
            State::Greeting => return self.end(Some(Trouble::NoResponder)),
            State::Receiving(_) => return self.take_down(),
            State::Asking(_) | State::Sending(_) => return self.end(Some(Trouble::Silent)),
        }
        (self.asked, self.due) = (self.asked + 1, now + self.wait);
        self.wait *= 2;
        true
    }

    /// Takes a packet, and writes what is to be answered; false where nothing is.
    pub(super) fn handle(
        &mut self,
        now: Instant,
        arrived: Instant,
        from: SocketAddr,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> bool {
        let Some((number, packet)) = Packet::read(bytes).filter(|_| from == self.to) else { return false };
        if number != self.number_of_state() {
            return false;
        }
        match (&mut self.state, packet) {
            (State::Greeting, Packet::Welcome(ticket)) => {
                self.ticket = Some(ticket);
                self.begin(State::Asking(Way::Up), now);
            }
            (State::Asking(_) | State::Sending(_), Packet::Busy) => return self.end(Some(Trouble::Busy)),
            (State::Asking(_), Packet::TooMuch) => return self.end(Some(Trouble::TooMuch)),
            (State::Asking(Way::Up), Packet::Go) => {
                self.begin(State::Sending(Sender::new(number, self.shape, now)), now);
                self.due = now + self.shape.length() + OVER;
            }
            (State::Asking(Way::Down), Packet::Go) => self.receive(now),
            (State::Asking(Way::Down), Packet::Data(count)) => {
                self.receive(now);
                if let State::Receiving(receiver) = &mut self.state {
                    receiver.take(arrived, count);
                }
            }
            (State::Receiving(receiver), Packet::Data(count)) => receiver.take(arrived, count),
            (State::Receiving(receiver), Packet::End(_)) => {
                receiver.result().write(number, out);
                self.take_down();
                return true;
            }
            (State::Sending(sender), Packet::Result { received, span_us }) if sender.has_ended() => {
                let span = Duration::from_micros(span_us.into());
                self.up = Some(Measured::new(self.shape, self.headers, received, span));
                self.begin(State::Asking(Way::Down), now);
            }
            _ => {}
        }
        false
    }

    /// Nobody is at the address, says ICMP.
    pub(super) fn handle_unreachable(&mut self) {
        if matches!(self.state, State::Greeting) {
            self.end(Some(Trouble::NoResponder));
        }
    }

    /// Each burst has a number of its own.
    fn number_of_state(&self) -> u64 {
        let is_down = matches!(self.state, State::Asking(Way::Down) | State::Receiving(_));
        self.number.wrapping_add(is_down.into())
    }

    fn begin(&mut self, state: State, now: Instant) {
        (self.state, self.asked, self.due, self.wait) = (state, 0, now, FIRST_REPEAT);
    }

    fn receive(&mut self, now: Instant) {
        self.begin(State::Receiving(Receiver::new(self.shape)), now);
        self.due = now + self.shape.length() + OVER;
    }

    /// What came down so far is all. Where nothing came, that is a measurement too: the responder had agreed.
    fn take_down(&mut self) -> bool {
        if let State::Receiving(receiver) = &self.state {
            let (received, span) = receiver.counts();
            self.down = Some(Measured::new(self.shape, self.headers, received, span));
        }
        self.end(None)
    }

    fn end(&mut self, trouble: Option<Trouble>) -> bool {
        self.state = State::Over(trouble);
        false
    }
}
