//! Where results go: the run folder, and InfluxDB by way of a spool on disk.
//!
//! ```text
//! CallRecord ─► line (points) ─► Collector ─► spool (disk) ─► courier ─► InfluxClient ─► 204: leaves the spool
//!           └─► files (calls.jsonl …)                             ▲  400: halves, dead letters
//!                                                                 └─ 429, 5xx, time-out: back-off, again
//! ```
//!
//! A result is on disk before it is offered to a server, and a run never waits for one. What is still in the spool
//! at the end is delivered by the next run with the same destination, or by [`flush`]. Waiting and counting belong here,
//! whether the run passed does not.

pub mod alert;
mod back_off;
mod collector;
mod courier;
mod files;
mod flush;
mod http;
mod incident;
pub mod influx;
pub mod line;
mod probe;
pub mod spool;
mod spooler;
mod unique;

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

pub use crate::report::SinkReport;
pub(crate) use back_off::BackOff;
pub use collector::{Collector, Item};
pub use files::{FolderError, RunFolder};
pub use flush::{FlushError, flush};
pub use incident::{IncidentPoint, point_of_incident};
pub use probe::{ProbeHealth, ProbePoint, point_of_probe};
pub use spooler::Progress;

use http::TimeOuts;
use spool::{Rejected, SpoolError};

/// Takes batches of lines. One request after another; waiting, trying again and disk are the courier's and the spool's.
pub trait Sink {
    /// Delivers lines in order and says what became of each.
    fn deliver(&mut self, lines: &[&[u8]]) -> impl Future<Output = Delivery>;
}

/// What became of a batch: its first lines, `accepted` and `rejected` together, are answered for; the rest is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Lines that are stored.
    pub accepted: usize,
    /// Lines that are refused for good.
    pub rejected: Vec<Rejected>,
    /// Why the rest is kept; `None` where nothing is left.
    pub kept: Option<Kept>,
}

/// Why lines are kept for another try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Whether time or a person mends it.
    pub because: KeptBecause,
    /// The server's or the system's words.
    pub reason: String,
    /// How long the server asked to wait (Retry-After).
    pub wait: Option<Duration>,
}

/// Whether time or a person mends a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeptBecause {
    /// Overload, a time-out, a broken connection: it passes.
    Unavailable,
    /// Token, password, database or address are wrong: somebody must look.
    Configuration,
}

/// Why a sink cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The spool cannot be opened.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The folder's spool holds points for another database.
    #[error(
        "the spool at {} still holds {points} points for {url}: deliver them by ringfleet report --flush, or name another \
         run folder",
        dir.display()
    )]
    Destination {
        /// The spool.
        dir: PathBuf,
        /// Points in it.
        points: u64,
        /// Where they go.
        url: String,
    },
    /// The HTTP client cannot be made.
    #[error("cannot start an HTTP client: {0}")]
    Http(String),
    /// The thread cannot be started.
    #[error("cannot start the thread of the sink: {0}")]
    Thread(std::io::Error),
}

/// How a sink spools and delivers.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Longest time a result waits in memory for others before it is written to disk, default 25 ms: with the write and
    /// the sync it is in the spool 100 ms after its call ended, also where the disk is slow.
    pub flush_every: Duration,
    /// Most bytes on disk, default 1 GiB.
    pub max_bytes: u64,
    /// Most points that wait in memory, default 50,000; so many only gather when the disk is full or stalls.
    pub max_waiting: usize,
    /// Most lines of a request, default 5,000.
    pub batch_lines: u64,
    /// Most bytes of a request before compression, default 1 MiB.
    pub batch_bytes: u64,
    /// First wait after a failed delivery, default 250 ms; it doubles each time, and half of it is random.
    pub retry_first: Duration,
    /// Longest wait between deliveries, default 30 s.
    pub retry_longest: Duration,
    /// Time-outs of a request.
    pub time_outs: TimeOuts,
    /// Where run folders stand whose undelivered points are delivered along with ours.
    pub runs_dir: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            flush_every: Duration::from_millis(25),
            max_bytes: 1 << 30,
            max_waiting: 50_000,
            batch_lines: 5_000,
            batch_bytes: 1 << 20,
            retry_first: Duration::from_millis(250),
            retry_longest: Duration::from_secs(30),
            time_outs: TimeOuts::default(),
            runs_dir: None,
        }
    }
}
