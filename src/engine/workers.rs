//! The workers of a run.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::evidence::Keeper;
use super::host::{self, Beat, StartError, Stop};
use crate::call::{Callers, Config, Finished, Progress, Report};
use crate::evidence::File;
use crate::media::clock::NtpClock;
use crate::net::clock;
use crate::pace::Schedule;
use crate::reactor::Reactor;
use crate::record::Anchor;
use crate::scenario::plan::{Plan, Server};
use crate::sip::endpoint;

/// Results that may wait to be counted. A worker that finds the channel full waits, and its lateness shows.
const WAITING: usize = 65_536;
/// Attempts up to which every one keeps its evidence.
const SMALL_RUN: u64 = 20;

/// How workers are set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What to run.
    pub plan: Arc<Plan>,
    /// Addresses of every server that the plan names.
    pub servers: Vec<(Server, SocketAddr)>,
    /// Threads.
    pub workers: usize,
    /// Where calls are waited for, by one worker (`ringfleet answer`).
    pub listen: Option<SocketAddr>,
    /// Beginning of every `call_id`.
    pub run_id: String,
    /// Reads the calendar off the monotonic clock.
    pub anchor: Anchor,
    /// `site` of every record.
    pub site: Option<String>,
}

/// What workers tell.
#[derive(Debug)]
pub enum Told {
    /// A leg has ended; the files are its evidence, where it has some.
    Finished(Box<Finished>, Option<Vec<File>>),
    /// An attempt was due and not started.
    Dropped,
    /// How a worker is.
    Beat {
        /// Which.
        worker: usize,
        /// How far its attempts are.
        progress: Progress,
        /// How it is itself.
        beat: Beat,
        /// Messages that are no SIP.
        malformed: u64,
    },
    /// A worker has ended, by itself or by an error.
    Ended {
        /// The error.
        error: Option<String>,
        /// Attempts whose evidence was overwritten.
        overwritten: u64,
    },
}

/// The workers of a run.
pub struct Workers {
    /// What they tell.
    pub told: Receiver<Told>,
    /// Where calls are waited for.
    pub listening: Option<SocketAddr>,
    stops: Vec<Stop>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts the workers; the load begins at once.
    ///
    /// # Errors
    /// [`StartError`]: nothing was dialled.
    pub fn start(settings: &Settings) -> Result<Self, StartError> {
        let (sender, told) = bounded(WAITING);
        let mut workers = Self { told, listening: None, stops: Vec::new(), threads: Vec::new() };
        let count = if settings.listen.is_some() { 1 } else { useful(&settings.plan, settings.workers) };
        let mut reactors = Vec::new();
        for index in 0..count {
            let mut reactor = reactor_of(settings, index, count)?;
            if let Some(address) = settings.listen {
                let listening = reactor.listen(address).map_err(|source| StartError::Listen { address, source })?;
                workers.listening = Some(listening);
            }
            workers.stops.push(Stop::of(&reactor)?);
            reactors.push(reactor);
        }
        for (index, reactor) in reactors.into_iter().enumerate() {
            let planned = settings.plan.load.planned();
            let keeper = Keeper::new(settings.anchor, planned.is_some_and(|planned| planned <= SMALL_RUN));
            let (stop, sender) = (workers.stops[index].clone(), sender.clone());
            let thread = std::thread::Builder::new().name(format!("worker-{index}"));
            let thread = thread.spawn(move || work(index, reactor, keeper, &stop, &sender));
            workers.threads.push(thread.map_err(StartError::Worker)?);
        }
        Ok(workers)
    }

    /// Hangs up every leg; the workers then end.
    pub fn stop(&self) {
        for stop in &self.stops {
            stop.ask();
        }
    }

    /// Workers that were started.
    pub fn count(&self) -> usize {
        self.threads.len()
    }

    /// Waits for the end of every worker.
    pub fn join(self) {
        drop(self.told);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a worker ended by a bug: its attempts are not counted");
            }
        }
    }
}

/// Workers that the plan can use: each needs an attempt of its own at the same time, and an account of each pool.
fn useful(plan: &Plan, wanted: usize) -> usize {
    let concurrent = match plan.load.schedule {
        Schedule::Closed { concurrent } => concurrent,
        _ => u32::MAX,
    };
    let concurrent = concurrent.min(plan.safety.max_concurrent) as usize;
    let pools = plan.actors.iter().filter_map(|actor| actor.pool.as_ref());
    pools.map(|pool| pool.accounts.len()).fold(wanted.min(concurrent), usize::min).max(1)
}

fn reactor_of(settings: &Settings, index: usize, count: usize) -> Result<Reactor<Callers>, StartError> {
    let now = clock::now();
    let since_epoch = settings.anchor.timestamp.as_duration().try_into().unwrap_or_default();
    let config = Config {
        plan: Arc::clone(&settings.plan),
        servers: settings.servers.clone(),
        share: (index as u64, count as u64),
        start: now,
        anchor: settings.anchor,
        clock: NtpClock::from_unix(settings.anchor.instant, since_epoch),
        run_id: settings.run_id.clone(),
        site: settings.site.clone(),
        probe: None,
    };
    let agent = settings.plan.actors.iter().find_map(|actor| actor.target.user_agent.clone());
    let mut endpoint = endpoint::Config::default();
    endpoint.agent = agent.unwrap_or(endpoint.agent);
    let seed = clock::seed() ^ (index as u64) << 48;
    let public: Option<IpAddr> = settings.plan.actors.iter().find_map(|actor| actor.target.public_address);
    Reactor::new(Callers::new(config, endpoint, seed, now), public).map_err(StartError::Worker)
}

fn work(index: usize, mut reactor: Reactor<Callers>, mut keeper: Keeper, stop: &Stop, sender: &Sender<Told>) {
    let tell = |told| {
        // Nobody counts any more: the run was given up.
        let _ = sender.send(told);
    };
    let report = |keeper: &mut Keeper, report| match report {
        Report::Finished(mut finished) => {
            let files = keeper.bundle(&mut finished);
            tell(Told::Finished(finished, files));
        }
        Report::Dropped { .. } => tell(Told::Dropped),
    };
    let beat = |callers: &Callers, beat| {
        let malformed = callers.counters().malformed;
        tell(Told::Beat { worker: index, progress: callers.progress(), beat, malformed });
    };
    let ended = host::run(&mut reactor, &mut keeper, stop, report, beat);
    tell(Told::Ended { error: ended.err().map(|error| error.to_string()), overwritten: keeper.overwritten });
}
