//! What bandwidth there is towards a responder of ours: a bounded burst of UDP each way, and what of it comes through.
//!
//! ```text
//! who measures                        responder
//!   Hello (64 bytes)          ─►
//!                             ◄─      Welcome: a cookie that only who receives it can show
//!   Begin: cookie, rate, time ─►
//!                             ◄─      Go
//!   Data, evenly spread       ─►      counts (the other way round: sends)
//!   End                       ─►
//!                             ◄─      Result
//! ```
//!
//! Nothing but four small packets ever goes to somebody who does not answer as a responder does. A responder sends a burst only
//! to an address that has shown that it receives there, one at a time, of [`MOST_MBPS`] for [`MOST_SECONDS`] at most.

mod burst;
mod client;
mod packet;
mod responder;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token, Waker};

use super::clock::{self, Turn};
use super::udp::{Buffers, Udp, local_address_towards};
use client::Client;
pub use client::{Measured, Trouble, Wanted};

/// The fastest burst that a responder takes part in, Mbit/s.
pub const MOST_MBPS: f64 = 10.0;
/// The longest one, seconds.
pub const MOST_SECONDS: u64 = 5;

const SOCKET: Token = Token(0);
const WAKER: Token = Token(1);

/// Measures up and down, one after the other. Blocks for as long as both bursts take, and four seconds where nobody answers.
///
/// # Errors
/// The system's, where there is no way to the address at all; the inner error says what the responder made of it.
pub fn measure(to: SocketAddr, wanted: Wanted) -> io::Result<Result<[Measured; 2], Trouble>> {
    let (udp, mut poll) = open(SocketAddr::new(local_address_towards(to)?, 0))?;
    let [a, b, c, d, e, f, g, h, ..] = clock::secret();
    let number = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
    let mut client = Client::new(to, wanted, number, clock::now());
    let (mut buffers, mut events) = (Buffers::default(), Events::with_capacity(8));
    let (mut turn, mut out, mut more) = (Turn::begin(clock::now()), Vec::new(), false);
    loop {
        while client.poll(clock::now(), &mut out) {
            udp.send_all(std::iter::once((to, out.as_slice())));
        }
        if let Some(outcome) = client.outcome() {
            return Ok(outcome);
        }
        let due = if more { Some(turn.now) } else { client.due() };
        wait(&mut poll, &mut events, due)?;
        turn = Turn::begin(turn.now);
        if udp.unreachable().iter().any(|(address, _)| *address == to) {
            client.handle_unreachable();
        }
        more = receive(&udp, &mut buffers, turn, |from, arrived, bytes| {
            if client.handle(turn.now, arrived, from, bytes, &mut out) {
                udp.send_all(std::iter::once((from, out.as_slice())));
            }
        });
    }
}

/// A responder on a thread of its own; it ends when this is dropped.
#[derive(Debug)]
pub struct Responder {
    /// Where it listens.
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl Responder {
    /// Starts one at this address; port 0 takes a free one.
    ///
    /// # Errors
    /// The system's, as address in use.
    pub fn start(address: SocketAddr) -> io::Result<Self> {
        let (udp, mut poll) = open(address)?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (address, asked) = (udp.local(), Arc::clone(&stop));
        let thread = std::thread::Builder::new().name("bandwidth".into()).spawn(move || {
            let mut responder = responder::Responder::new(clock::secret(), clock::now());
            let (mut buffers, mut events) = (Buffers::default(), Events::with_capacity(8));
            let (mut turn, mut out, mut more) = (Turn::begin(clock::now()), Vec::new(), false);
            while !asked.load(Ordering::Relaxed) {
                while let Some(to) = responder.poll(clock::now(), &mut out) {
                    udp.send_all(std::iter::once((to, out.as_slice())));
                }
                let due = if more { Some(turn.now) } else { responder.due() };
                if let Err(error) = wait(&mut poll, &mut events, due) {
                    return tracing::error!(%error, "bandwidth is not measured any more");
                }
                turn = Turn::begin(turn.now);
                // What ICMP says of who is gone is of no use here.
                let _ = udp.unreachable();
                more = receive(&udp, &mut buffers, turn, |from, arrived, bytes| {
                    if responder.handle(turn.now, arrived, from, bytes, &mut out) {
                        udp.send_all(std::iter::once((from, out.as_slice())));
                    }
                });
            }
        })?;
        Ok(Self { address, stop, waker, thread: Some(thread) })
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // A thread that has ended needs no waking.
        let _ = self.waker.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn open(local: SocketAddr) -> io::Result<(Udp, Poll)> {
    let poll = Poll::new()?;
    // With large buffers: a burst that waits while this machine pauses is not lost.
    let mut udp = Udp::bind_sip(local)?;
    poll.registry().register(udp.source(), SOCKET, Interest::READABLE)?;
    Ok((udp, poll))
}

fn wait(poll: &mut Poll, events: &mut Events, due: Option<Instant>) -> io::Result<()> {
    let wait = due.map(|at| at.saturating_duration_since(clock::now()));
    match poll.poll(events, wait.map(|wait| wait.max(Duration::from_micros(100)))) {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
        _ => Ok(()),
    }
}

/// Batches that are taken before what is due is sent.
const BATCHES: usize = 8;

/// Takes what has arrived. Whether there may be more.
fn receive(udp: &Udp, buffers: &mut Buffers, turn: Turn, mut each: impl FnMut(SocketAddr, Instant, &[u8])) -> bool {
    let mut batch = || udp.receive(buffers, &turn, |datagram| each(datagram.from, datagram.arrived, datagram.bytes));
    (0..BATCHES).all(|_| batch())
}
