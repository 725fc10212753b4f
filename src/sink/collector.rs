//! One sink of a run: takes results from the threads that make them, and owns the thread that spools and delivers.
//!
//! ```text
//! offer (any thread) ─► waiting points ─► spooler: unique times, disk, every 25 ms ─► courier ─► server
//! ```

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::time::timeout_at;
use tracing::warn;

use super::courier::{Courier, Signals};
use super::flush::settle_summary;
use super::incident::{IncidentPoint, point_of_incident};
use super::influx::{InfluxClient, InfluxTarget};
use super::line::{self, LimitPoint, WindowPoint};
use super::probe::{ProbePoint, point_of_probe};
use super::spool::{Counts, Destination, Spool, SpoolError, pending_siblings, spool_of};
use super::spooler::{Progress, Shared, Spooler};
use super::{Settings, Sink, SinkError, SinkReport};
use crate::net::clock;
use crate::record::{CallRecord, MediaSecond, RegistrationRecord};

/// A result on its way to a sink.
#[derive(Clone, Copy, Debug)]
pub enum Item<'a> {
    /// An attempt that ended, and how its registration went where it had one.
    Call(&'a CallRecord, Option<&'a RegistrationRecord>),
    /// A second of a leg's media that passed.
    Second(&'a MediaSecond),
    /// A window that ended.
    Window(&'a WindowPoint),
    /// A limit that was found.
    Limit(&'a LimitPoint<'a>),
    /// An incident that changed.
    Incident(&'a IncidentPoint<'a>),
    /// How the process itself is.
    Probe(&'a ProbePoint<'a>),
}

/// The InfluxDB sink of a run.
#[derive(Debug)]
pub struct Collector {
    shared: Arc<Shared>,
    thread: JoinHandle<SinkReport>,
    url: String,
}

impl Collector {
    /// Opens the spool in `run_dir` and starts the thread. Whether the server can be reached shows later, in the
    /// counts: a run does not depend on it.
    pub fn start(target: &InfluxTarget, run_dir: &Path, settings: Settings) -> Result<Self, SinkError> {
        let dir = spool_of(run_dir);
        let spool = Spool::open(&dir, settings.max_bytes)?;
        let destination = target.destination();
        if !spool.is_empty()
            && let Ok(Destination { url, .. }) = Destination::load(&dir)
            && url != destination.url
        {
            return Err(SinkError::Destination { dir, points: spool.counts().spooled, url });
        }
        destination.save(&dir)?;
        let client = InfluxClient::new(target, settings.time_outs)?;
        let shared = Arc::new(Shared::new(settings.max_waiting));
        let url = target.url();
        let siblings = siblings(target, run_dir, &settings);
        let job = Job { shared: Arc::clone(&shared), url: url.clone(), settings };
        let thread = thread::Builder::new()
            .name("sink-influxdb".into())
            .spawn(move || job.run(client, spool, siblings))
            .map_err(SinkError::Thread)?;
        Ok(Self { shared, thread, url })
    }

    /// Takes a result. Never waits for disk or network; on disk within [`Settings::flush_every`] and one write.
    pub fn offer(&self, item: Item<'_>) {
        let points = match item {
            Item::Call(record, registration) => line::points_of(record, registration),
            Item::Second(second) => line::point_of_second(second).into_iter().collect(),
            Item::Probe(probe) => point_of_probe(probe).into_iter().collect(),
            Item::Incident(incident) => point_of_incident(incident).into_iter().collect(),
            Item::Limit(limit) => line::point_of_limit(limit).into_iter().collect(),
            Item::Window(window) => line::point_of_window(window).into_iter().collect(),
        };
        self.shared.add(points);
    }

    /// How many points went where so far; those in memory count as spooled.
    pub fn counts(&self) -> Counts {
        self.shared.counts()
    }

    /// How far the spool is with what was offered.
    pub fn progress(&self) -> Progress {
        self.shared.progress()
    }

    /// Why results wait, as long as they do: the server is away or refuses us, or the disk refuses them.
    pub fn trouble(&self) -> Option<String> {
        self.shared.trouble()
    }

    /// Where it delivers to, without secrets.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Waits until what was offered is on disk, or the disk refuses it, but no longer than `at_most`.
    pub fn wait_until_stored(&self, at_most: Duration) {
        let end = clock::now() + at_most;
        let taken = self.progress().taken;
        while self.progress().stored < taken && clock::now() < end {
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Writes the rest to disk, delivers until everything is delivered or `deadline` has passed, and ends the thread.
    pub fn finish(self, deadline: Duration) -> SinkReport {
        let Self { shared, thread, url } = self;
        shared.end(deadline);
        thread.join().unwrap_or_else(|_| {
            let last_error = Some("the thread of the sink ended by a fault of ours".into());
            SinkReport { name: "influxdb".into(), url, counts: shared.counts(), last_error }
        })
    }
}

/// Spools of earlier runs that can be had.
fn siblings(target: &InfluxTarget, run_dir: &Path, settings: &Settings) -> Vec<(PathBuf, Spool)> {
    let Some(runs_dir) = &settings.runs_dir else { return Vec::new() };
    let own = run_dir.canonicalize().ok();
    pending_siblings(runs_dir, &target.destination())
        .into_iter()
        .filter(|run| run.canonicalize().ok() != own)
        .filter_map(|run| match Spool::open(&spool_of(&run), settings.max_bytes) {
            Ok(spool) => Some((run, spool)),
            // That run is still going on and delivers for itself.
            Err(SpoolError::InUse { .. }) => None,
            Err(error) => {
                warn!(%error, "an earlier run's results cannot be delivered");
                None
            }
        })
        .collect()
}

/// What the thread needs.
struct Job {
    shared: Arc<Shared>,
    url: String,
    settings: Settings,
}

impl Job {
    fn run(self, sink: impl Sink, spool: Spool, siblings: Vec<(PathBuf, Spool)>) -> SinkReport {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        match runtime {
            Ok(runtime) => runtime.block_on(self.deliver(sink, spool, siblings)),
            Err(error) => self.report(spool.counts(), Some(format!("cannot start the sink: {error}"))),
        }
    }

    async fn deliver(self, sink: impl Sink, spool: Spool, siblings: Vec<(PathBuf, Spool)>) -> SinkReport {
        let (runs, others): (Vec<_>, Vec<_>) = siblings.into_iter().unzip();
        // Our own spool first: it is the one that somebody is waiting for.
        let spools: Vec<RefCell<Spool>> = std::iter::once(spool).chain(others).map(RefCell::new).collect();
        let signals = Signals::default();
        let mut courier = Courier::new(sink, self.url.clone(), self.settings.clone());
        let mut spooler = Spooler::new(&self.shared, self.settings.flush_every);
        let mut carry = Box::pin(courier.run(&spools, &signals));
        let end = tokio::select! {
            end = spooler.run(&spools[0], &signals) => end,
            () = &mut carry => unreachable!("it ends only after close()"),
        };
        signals.close();
        let _ = timeout_at(end, &mut carry).await;
        drop(carry);
        for (run, spool) in runs.iter().zip(&spools[1..]) {
            settle_summary(run, &self.url, &spool.borrow(), courier.last_error.as_deref());
        }
        let counts = spools[0].borrow().counts();
        self.report(counts, spooler.error.or(courier.last_error))
    }

    fn report(&self, counts: Counts, last_error: Option<String>) -> SinkReport {
        SinkReport { name: "influxdb".into(), url: self.url.clone(), counts, last_error }
    }
}
