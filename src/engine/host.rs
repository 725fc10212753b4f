//! The loop of one thread: turn the reactor until the station is done or told to stop.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::measure::{Distribution, Scale};
use crate::net::clock;
use crate::net::tls::TlsError;
use crate::reactor::{Health, Reactor, Turned, Wire};
use crate::station::{FAREWELL, Station};

/// Between two beats.
const BEAT: Duration = Duration::from_millis(100);
/// How long a station that was told to stop may take to hang up.
const PATIENCE: Duration = Duration::from_secs(34);

/// Why a run could not start (exit code 4).
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The system gives no more file descriptors or memory.
    #[error("cannot start a worker: {0}")]
    Worker(#[source] io::Error),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(TlsError),
    /// The machine has too little of something.
    #[error("the run needs {needed} {what}, and there are {had}")]
    Short {
        /// Of what.
        what: String,
        /// How many are needed at least.
        needed: u64,
        /// How many there are.
        had: u64,
    },
    /// There is no local address towards a server, or its port is taken.
    #[error("no local address towards {server} (local port {port}): {source}")]
    Address {
        /// The server.
        server: String,
        /// The local port asked for, 0 for any.
        port: u16,
        /// Why.
        source: io::Error,
    },
    /// None of the local addresses that the target names can reach its server.
    #[error("no address of `local_addresses` is of the same family as {address}, where {server} is")]
    Family {
        /// The server.
        server: String,
        /// Its address.
        address: IpAddr,
    },
    /// The listening address cannot be had.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// What a thread has seen of itself.
#[derive(Clone, Debug)]
pub struct Beat {
    /// Sockets and turns.
    pub health: Health,
    /// CPU time of the thread.
    pub cpu: Duration,
    /// Its turns while media ran, since the last beat: each from the moment it was due to its end, milliseconds.
    pub turns: Distribution,
}

impl Default for Beat {
    fn default() -> Self {
        let (health, cpu, turns) = (Health::default(), Duration::ZERO, Distribution::new(Scale::Millis));
        Self { health, cpu, turns }
    }
}

/// Asks a thread to stop, from any other.
#[derive(Clone, Debug)]
pub(super) struct Stop {
    flag: Arc<AtomicBool>,
    waker: Arc<mio::Waker>,
}

impl Stop {
    pub(super) fn of<S: Station>(reactor: &Reactor<S>) -> Result<Self, StartError> {
        let waker = reactor.waker().map_err(StartError::Worker)?;
        Ok(Self { flag: Arc::new(AtomicBool::new(false)), waker: Arc::new(waker) })
    }

    /// Every leg is hung up, then the thread ends.
    pub(super) fn ask(&self) {
        self.flag.store(true, Ordering::Relaxed);
        self.wake();
    }

    /// The thread takes another turn.
    pub(super) fn wake(&self) {
        // A thread that has ended needs no waking.
        let _ = self.waker.wake();
    }

    fn is_asked(&self) -> bool {
        self.flag.load(Ordering::Relaxed)
    }
}

/// Turns `reactor` until its station is done. `tend` may tell them something before each turn, `report` takes what it
/// reports, `beat` is told how it is ten times a second.
pub(super) fn run<S: Station, W: Wire>(
    reactor: &mut Reactor<S>,
    wire: &mut W,
    stop: &Stop,
    mut tend: impl FnMut(&mut Reactor<S>),
    mut report: impl FnMut(&mut W, S::Report),
    mut beat: impl FnMut(&S, Beat),
) -> io::Result<()> {
    let (mut done, mut stopping) = (false, None::<Instant>);
    let mut next_beat = clock::now();
    let mut reports = Vec::new();
    while !done {
        tend(reactor);
        reactor.turn(wire, |_, turned| match turned {
            Turned::Report(it) => reports.push(it),
            Turned::Done => done = true,
        })?;
        for it in reports.drain(..) {
            report(wire, it);
        }
        let now = clock::now();
        if now >= next_beat {
            next_beat = now + BEAT;
            let now = beat_of(reactor);
            beat(&reactor.station, now);
        }
        match stopping {
            None if stop.is_asked() => {
                stopping = Some(now);
                let now = reactor.now();
                reactor.station.stop(now);
                reactor.wake_soon();
            }
            // Legs that do not end in the time that RFC 3261 gives them are left behind.
            Some(since) if now.saturating_duration_since(since) > PATIENCE => done = true,
            _ => {}
        }
    }
    reactor.see_off(FAREWELL)?;
    let last = beat_of(reactor);
    beat(&reactor.station, last);
    Ok(())
}

fn beat_of<S: Station>(reactor: &mut Reactor<S>) -> Beat {
    let spent = clock_gettime(ClockId::ThreadCPUTime);
    let cpu = Duration::new(spent.tv_sec as u64, spent.tv_nsec as u32);
    Beat { health: reactor.health(), cpu, turns: reactor.take_turns() }
}
