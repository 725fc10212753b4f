//! The workers of a run.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use super::evidence::{Keep, Keeper, MAX_FOLDERS};
use super::host::{self, Beat, StartError, Stop};
use super::names::{LookedUp, Names, Renewal};
use super::preflight;
use super::side::Door;
use crate::call::{Callers, Config, Counted, Finished, Found, NotBegun, Pause, Progress, Report};
use crate::evidence::File;
use crate::media::audio;
use crate::media::clock::NtpClock;
use crate::net::clock;
use crate::net::drops::Drops;
use crate::net::side::Teller;
use crate::net::tls::dtls_identity;
use crate::pace::Schedule;
use crate::pace::search::Of;
use crate::reactor::{Reactor, Security};
use crate::record::{Anchor, MediaSecond};
use crate::scenario::plan::{Plan, Policy, Server};
use crate::sip::endpoint;
use crate::sip::locate::Located;
use crate::station::side::Told as SideTold;
use crate::units::Redacted;
use crate::webrtc::Identity;

/// Results that may wait to be counted. A worker that finds the channel full waits, and its lateness shows.
const WAITING: usize = 65_536;
/// Attempts up to which every one keeps its evidence.
const SMALL_RUN: u64 = 20;

/// How workers are set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What to run.
    pub plan: Arc<Plan>,
    /// Where every server that the plan names is reached.
    pub servers: Vec<(Server, Located)>,
    /// How they are looked up again.
    pub names: Names,
    /// A request that is not served where it went is tried at the server's other places (RFC 3263 §4.3).
    pub fail_over: bool,
    /// How connections are secured, server by server.
    pub security: Security,
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
    /// No attempt starts from then on.
    pub closes: Option<Instant>,
    /// Legs whose seconds of media are told, at the same time at most.
    pub watched_legs: u32,
    /// Of so many legs that did what is wanted, one is told whole.
    pub whole_every: u64,
}

/// What workers tell. A small value, for the channel has a place for each of thousands that may wait.
#[derive(Debug)]
pub enum Told {
    /// A leg has ended; the files are its evidence, where it has some.
    Finished(Box<Finished>, Option<Vec<File>>),
    /// Legs have ended of which the figures are enough.
    Counted(Vec<Counted>),
    /// An attempt was due and not started.
    NotBegun {
        /// Its index, from 1.
        n: u64,
        /// Why.
        why: NotBegun,
    },
    /// The far side wants no calls for a while.
    Paused(Box<Pause>),
    /// No attempt may start any more, although the load is not over.
    Closed,
    /// A second of a leg's media has passed.
    Second(Box<MediaSecond>),
    /// The search for a limit has come to something.
    Limit(Box<Found>),
    /// How a worker is.
    Beat {
        /// Which.
        worker: usize,
        /// How far its attempts are.
        progress: Box<Progress>,
        /// How it is itself.
        beat: Box<Beat>,
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
    /// Servers that were looked up again: the places now, or why nothing was found and the old ones are kept. A channel
    /// of its own: that of the workers ends with them.
    pub looked_up: Receiver<LookedUp>,
    /// Where calls are waited for.
    pub listening: Option<SocketAddr>,
    stops: Vec<Stop>,
    threads: Vec<JoinHandle<()>>,
    drops: Drops,
    renewal: Option<Renewal>,
}

/// Workers that have what they need of the system and have not begun.
pub struct Prepared {
    reactors: Vec<(Reactor<Callers>, Stop, Keeper)>,
    listening: Option<SocketAddr>,
    drops: Drops,
    servers: Vec<(Server, Located)>,
    names: Names,
}

impl Prepared {
    /// Starts the workers; the load begins at once.
    ///
    /// # Errors
    /// [`StartError`]: nothing was dialled.
    pub fn start(self) -> Result<Workers, StartError> {
        let (sender, told) = bounded(WAITING);
        let stops: Vec<Stop> = self.reactors.iter().map(|(_, stop, _)| stop.clone()).collect();
        let mail = Mail::between(&stops);
        let boxes: Vec<Sender<Letter>> = mail.iter().map(|mail| mail.own.clone()).collect();
        let (teller, looked_up) = bounded(LETTERS);
        let alarms = stops.clone();
        let tell = move |looked_up| tell_places(looked_up, (&boxes, &alarms), &teller);
        let renewal = Renewal::start(&self.names, &self.servers, tell).map_err(StartError::Worker)?;
        let (listening, drops) = (self.listening, self.drops);
        let mut workers = Workers { told, looked_up, listening, stops, threads: Vec::new(), drops, renewal };
        for (index, ((mut reactor, stop, keeper), mail)) in self.reactors.into_iter().zip(mail).enumerate() {
            reactor.station.begin(clock::now());
            let (sender, drops) = (sender.clone(), workers.drops.clone());
            let thread = std::thread::Builder::new().name(format!("worker-{index}"));
            let thread = thread.spawn(move || {
                work(index, &mut reactor, keeper, (&stop, &mail), &sender);
                // Once more while the sockets are open.
                drops.read();
            });
            workers.threads.push(thread.map_err(StartError::Worker)?);
        }
        Ok(workers)
    }
}

impl Workers {
    /// Opens what the workers need: a run that cannot have it leaves nothing behind.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn prepare(settings: &Settings) -> Result<Prepared, StartError> {
        preflight::check(settings)?;
        // A far end speaks what it is asked for, and is seldom asked for all.
        if settings.listen.is_none() {
            prepare_audio(&settings.plan);
        }
        let mut prepared = Prepared {
            reactors: Vec::new(),
            listening: None,
            drops: Drops::default(),
            servers: settings.servers.clone(),
            names: settings.names.clone(),
        };
        let count = if settings.listen.is_some() { 1 } else { useful(&settings.plan, settings.workers) };
        let load = &settings.plan.load;
        // The calls of a search are its proof.
        let is_proof = load.search().is_some_and(|search| search.of != Of::CallRate);
        let is_small = is_proof || load.planned().is_some_and(|planned| planned <= SMALL_RUN);
        let keep = Keep { all: is_small, masked: settings.plan.mask_numbers, folders: Some(MAX_FOLDERS) };
        for index in 0..count {
            let mut reactor = reactor_of(settings, index, count)?;
            reactor.count_drops(prepared.drops.clone());
            if let Some(address) = settings.listen {
                let listening = reactor.listen(address).map_err(|source| StartError::Listen { address, source })?;
                prepared.listening = Some(listening);
            }
            let stop = Stop::of(&reactor)?;
            prepared.reactors.push((reactor, stop, Keeper::new(settings.anchor, keep)));
        }
        Ok(prepared)
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

    /// Datagrams that the kernel dropped so far because our own sockets were not read in time.
    pub fn lost_datagrams(&self) -> u64 {
        self.drops.read()
    }

    /// Waits for the end of every worker.
    pub fn join(self) {
        drop(self.told);
        drop(self.renewal);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a worker ended by a bug: its attempts are not counted");
            }
        }
    }
}

/// Codes what calls of the plan send before the first of them, not in the middle of others.
pub(super) fn prepare_audio(plan: &Plan) {
    let speaking = plan.actors.iter().filter(|actor| actor.has_audio());
    speaking.flat_map(|actor| &actor.target.codecs).for_each(|codec| audio::prepare(*codec));
}

/// Workers that the plan can use: each needs an attempt of its own at the same time, and an account of each pool.
fn useful(plan: &Plan, wanted: usize) -> usize {
    let concurrent = match plan.load.schedule {
        Schedule::Closed { concurrent } => concurrent,
        // A search sees the whole line.
        Schedule::Search(_) => 1,
        _ => u32::MAX,
    };
    // One local port is one socket.
    let ports = plan.actors.iter().filter(|actor| !actor.target.server.is_reliable());
    let wanted = if ports.map(|actor| actor.target.local_port).any(|port| port != 0) { 1 } else { wanted };
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
        fail_over: settings.fail_over,
        share: (index as u64, count as u64),
        start: now,
        closes: settings.closes,
        anchor: settings.anchor,
        clock: NtpClock::from_unix(settings.anchor.instant, since_epoch),
        secret: Redacted(clock::secret()),
        identity: identity_for(&settings.plan)?,
        run_id: settings.run_id.clone(),
        site: settings.site.clone(),
        probe: None,
        watched_legs: settings.watched_legs,
        whole_every: settings.whole_every,
    };
    let agent = settings.plan.actors.iter().find_map(|actor| actor.target.user_agent.clone());
    let mut endpoint = endpoint::Config::default();
    endpoint.agent = agent.unwrap_or(endpoint.agent);
    let seed = clock::seed() ^ (index as u64) << 48;
    Reactor::new(Callers::new(config, endpoint, seed, now), settings.security.clone()).map_err(StartError::Worker)
}

/// The certificate of DTLS for a plan in which WebRTC may be spoken.
pub(super) fn identity_for(plan: &Plan) -> Result<Option<Arc<Identity>>, StartError> {
    let spoken = plan.actors.iter().any(|actor| actor.target.srtp.policy != Policy::Off);
    if spoken { dtls_identity().map(Some).map_err(StartError::Tls) } else { Ok(None) }
}

/// What a worker is told while it runs.
enum Letter {
    /// Another worker was told that the far side wants no calls for a while.
    Pause(Pause),
    /// The server of this number has these places now.
    Places(usize, Located),
    /// Something has come of what was asked of an application.
    Side(Box<SideTold>),
}

/// What workers tell each other: who wants no calls, and until when.
struct Mail {
    letters: Receiver<Letter>,
    own: Sender<Letter>,
    others: Vec<(Sender<Letter>, Stop)>,
}

/// Letters that may wait to be read; a worker reads them each turn.
const LETTERS: usize = 64;

impl Mail {
    fn between(stops: &[Stop]) -> Vec<Self> {
        let boxes: Vec<_> = stops.iter().map(|_| bounded(LETTERS)).collect();
        let others = |own: usize| {
            let others = boxes.iter().zip(stops).enumerate().filter(move |(index, _)| *index != own);
            others.map(|(_, ((sender, _), stop))| (sender.clone(), stop.clone())).collect()
        };
        boxes
            .iter()
            .enumerate()
            .map(|(own, (sender, letters))| Self { letters: letters.clone(), own: sender.clone(), others: others(own) })
            .collect()
    }

    /// Tells the worker itself what came of its requests beside the calls.
    fn teller(&self, stop: &Stop) -> Teller {
        let (own, stop) = (self.own.clone(), stop.clone());
        Arc::new(move |told| match own.try_send(Letter::Side(Box::new(told))) {
            Err(TrySendError::Full(Letter::Side(told))) => Err(*told),
            // Nobody waits for it where the worker has ended.
            Ok(()) | Err(_) => {
                stop.wake();
                Ok(())
            }
        })
    }

    fn send(&self, pause: &Pause) {
        for (other, stop) in &self.others {
            // A full box holds pauses enough; a worker that has ended reads none.
            let _ = other.try_send(Letter::Pause(pause.clone()));
            stop.wake();
        }
    }
}

/// A name was looked up again: every worker is told.
fn tell_places(looked_up: LookedUp, (boxes, stops): (&[Sender<Letter>], &[Stop]), teller: &Sender<LookedUp>) {
    if let Ok(located) = &looked_up.found {
        for (own, stop) in boxes.iter().zip(stops) {
            // A box that is full is that of a worker which has ended.
            let _ = own.try_send(Letter::Places(looked_up.number, located.clone()));
            stop.wake();
        }
    }
    if looked_up.is_news {
        // Nobody may read it.
        let _ = teller.try_send(looked_up);
    }
}

fn work(
    index: usize,
    reactor: &mut Reactor<Callers>,
    mut keeper: Keeper,
    (stop, mail): (&Stop, &Mail),
    sender: &Sender<Told>,
) {
    let tell = |told| {
        // Nobody counts any more: the run was given up.
        let _ = sender.send(told);
    };
    let tend = |reactor: &mut Reactor<Callers>| {
        let now = reactor.now();
        for letter in mail.letters.try_iter() {
            match letter {
                Letter::Pause(pause) => reactor.station.handle_pause(now, pause),
                Letter::Places(server, located) => reactor.station.handle_places(server, &located),
                Letter::Side(told) => {
                    reactor.station.handle_side(clock::now().max(now), *told);
                    reactor.wake_soon();
                }
            }
        }
    };
    let mut door = Door::new(mail.teller(stop));
    let report = |keeper: &mut Keeper, report| match report {
        Report::Side(order) => door.order(*order),
        Report::Finished(mut finished) => {
            let files = keeper.bundle(&mut finished);
            tell(Told::Finished(finished, files));
        }
        Report::Counted(counted) => {
            counted.iter().for_each(|it| keeper.forget(it.owner));
            tell(Told::Counted(counted));
        }
        Report::Dropped { n, why } => tell(Told::NotBegun { n, why }),
        Report::Paused(pause) => {
            mail.send(&pause);
            tell(Told::Paused(Box::new(pause)));
        }
        Report::Closed => tell(Told::Closed),
        Report::Limit(found) => tell(Told::Limit(found)),
        Report::Second(mut second) => {
            keeper.mask_second(&mut second);
            tell(Told::Second(second));
        }
    };
    let beat = |callers: &Callers, beat| {
        let malformed = callers.counters().malformed;
        let (progress, beat) = (Box::new(callers.progress()), Box::new(beat));
        tell(Told::Beat { worker: index, progress, beat, malformed });
    };
    let ended = host::run(reactor, &mut keeper, stop, tend, report, beat);
    tell(Told::Ended { error: ended.err().map(|error| error.to_string()), overwritten: keeper.overwritten });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_worker_tells_takes_little_room_in_the_channel() {
        let bytes = size_of::<Told>();
        assert!(bytes <= 48, "{bytes} bytes, {WAITING} times");
    }
}
