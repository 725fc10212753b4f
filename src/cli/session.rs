//! What every command that hosts workers shares: the loop that counts what workers tell.

mod sum_up;

use std::path::Path;
use std::time::{Duration, Instant};

use crossbeam_channel::TryRecvError;
use jiff::Timestamp;

use super::results::Results;
use super::screen::Screen;
use super::signals::Interrupt;
use crate::call::{Counted, Finished, Found, NotBegun, Pause, Progress, actor_of};
use crate::engine::{Beat, LookedUp, Told, Workers};
use crate::evidence::File;
use crate::measure::{BackOff, Distribution, LatencyFrom, Scale, Tally, Window, WindowBuilder};
use crate::net::clock;
use crate::pace::Schedule;
use crate::pace::search::Of;
use crate::record::{CallRecord, Outcome};
use crate::report::{Checker, Ending, IceServers, Limit};
use crate::scenario::plan::Plan;
use crate::sink::influx::InfluxTarget;
use crate::sink::line::WindowPoint;

/// Between two times that results are counted.
const COUNT_EVERY: Duration = Duration::from_millis(20);
/// Between two looks at the run as a whole.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Legs whose media has a point for each second, at the same time at most: a leg that opens its media while there is
/// room has them to its end. With fewer legs at a time that is every leg.
const WATCHED_LEGS: u32 = 50;

/// One run while it is counted.
pub(super) struct Session<'a> {
    pub(super) plan: &'a Plan,
    results: Results,
    pub(super) screen: Screen,
    pub(super) started_at: Timestamp,
    site: Option<String>,
    begun: Instant,
    tally: Tally,
    checker: Checker,
    limits: Vec<Limit>,
    window: WindowBuilder,
    windows: Vec<Window>,
    window_began: Instant,
    progress: Vec<Progress>,
    beats: Vec<Beat>,
    /// Turns of each worker.
    turns: Vec<Distribution>,
    malformed: Vec<u64>,
    dropped: u64,
    /// Attempts of the warm-up: they are judged by nothing.
    warm_up: Tally,
    dropped_in_warm_up: u64,
    /// For each `abort_when` that has come true: what was measured, and after how many seconds.
    aborts: Vec<Option<(f64, f64)>>,
    back_off: BackOff,
    ice_servers: IceServers,
    closed: bool,
    /// Attempts of which the result has come.
    counted: u64,
    /// Datagrams that the kernel dropped of our sockets.
    lost_datagrams: u64,
    started_in_windows: u64,
    dropped_in_windows: u64,
    peak_cps: f64,
    /// CPU time of the workers until the last window, and their share of a core in it, percent.
    cpu_in_windows: Duration,
    cpu_pct: Option<f64>,
    hanging_up: bool,
    overwritten: u64,
    trouble: Option<String>,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        results: Results,
        screen: Screen,
        started_at: Timestamp,
        site: Option<String>,
        workers: usize,
    ) -> Self {
        let latency_from = match &plan.load.schedule {
            Schedule::Open { .. } => LatencyFrom::Intended,
            Schedule::Search(search) if search.of == Of::CallRate => LatencyFrom::Intended,
            Schedule::Closed { .. } | Schedule::OnDemand | Schedule::OnCommand { .. } | Schedule::Search(_) => {
                LatencyFrom::Actual
            }
        };
        let begun = clock::now();
        let serving = plan.load.schedule == Schedule::OnDemand && plan.load.stop.calls.is_none();
        Self {
            plan,
            results,
            screen,
            started_at,
            site,
            begun,
            tally: Tally::new(latency_from),
            checker: match plan.load.search() {
                Some(_) => Checker::new(&plan.expect).searching(),
                None if serving => Checker::new(&plan.expect).serving(),
                None => Checker::new(&plan.expect),
            },
            limits: Vec::new(),
            window: WindowBuilder::new(latency_from),
            windows: Vec::new(),
            window_began: begun,
            progress: vec![Progress::default(); workers],
            beats: vec![Beat::default(); workers],
            turns: vec![Distribution::new(Scale::Millis); workers],
            malformed: vec![0; workers],
            dropped: 0,
            warm_up: Tally::new(latency_from),
            dropped_in_warm_up: 0,
            aborts: vec![None; plan.abort_when.len()],
            back_off: BackOff::default(),
            ice_servers: IceServers::default(),
            closed: false,
            counted: 0,
            lost_datagrams: 0,
            started_in_windows: 0,
            dropped_in_windows: 0,
            peak_cps: 0.0,
            cpu_in_windows: Duration::ZERO,
            cpu_pct: None,
            hanging_up: false,
            overwritten: 0,
            trouble: None,
        }
    }

    /// Counts what the workers tell until the last has ended.
    pub(super) fn count(&mut self, workers: &Workers, interrupt: &Interrupt) -> anyhow::Result<Ending> {
        let mut left = workers.count();
        let (mut interrupted, mut stopped) = (false, false);
        let mut next_look = self.begun;
        let limit = Duration::from_secs(u64::from(self.plan.safety.max_minutes) * 60);
        while left > 0 {
            // Results wait for a while: to be woken for each would cost more than to count it.
            std::thread::sleep(COUNT_EVERY);
            let gone = loop {
                match workers.told.try_recv() {
                    Ok(told) => left -= usize::from(self.take(told)),
                    Err(TryRecvError::Empty) => break false,
                    Err(TryRecvError::Disconnected) => break left > 0,
                }
            };
            if gone {
                self.trouble.get_or_insert_with(|| "a worker ended by a bug of ours".to_owned());
                break;
            }
            let now = clock::now();
            // A result costs a microsecond, a look at the whole run much more.
            if now < next_look {
                continue;
            }
            next_look = now + LOOK_EVERY;
            let aborted = self.aborts.iter().any(Option::is_some);
            let trouble = self.trouble.is_some() || self.results.trouble().is_some() || aborted;
            if !stopped && (interrupt.came() || trouble || now - self.begun > limit) {
                (stopped, interrupted) = (true, interrupt.came());
                workers.stop();
                self.hanging_up = true;
            }
            self.tick(now, workers);
        }
        self.lost_datagrams = workers.lost_datagrams();
        let now = clock::now();
        self.close_window(now);
        let snapshot = self.snapshot(now);
        self.screen.draw_last(&snapshot);
        Ok(if interrupted { Ending::Interrupted } else { Ending::Complete })
    }

    /// True where a worker has ended.
    fn take(&mut self, told: Told) -> bool {
        match told {
            Told::Finished(finished, files) => self.finish_attempt(*finished, files.as_deref()),
            Told::Counted(counted) => counted.iter().for_each(|it| self.count_attempt(it)),
            Told::NotBegun { n, why: NotBegun::Late } => self.note_drop(n),
            Told::NotBegun { why: NotBegun::HeldBack, .. } => self.back_off.held_back += 1,
            Told::Paused(pause) => self.note_pause(&pause),
            Told::Closed => self.note_end_of_window(),
            Told::Second(second) => self.results.second(&second),
            Told::Limit(found) => self.note_limit(&found),
            Told::Beat { worker, progress, beat, malformed } => {
                self.turns[worker].merge(&beat.turns);
                self.window.add_turns(&beat.turns);
                (self.progress[worker], self.beats[worker], self.malformed[worker]) = (*progress, *beat, malformed);
            }
            Told::Ended { error, overwritten } => {
                self.overwritten += overwritten;
                if let Some(error) = error {
                    tracing::error!(%error, "a worker ended before its time");
                    self.trouble.get_or_insert(error);
                }
                return true;
            }
        }
        false
    }

    /// Attempt `n` was due and not started.
    fn note_drop(&mut self, n: u64) {
        let due = self.plan.load.start_of(n - 1);
        if due.is_some_and(|due| due < self.plan.warm_up) {
            self.dropped_in_warm_up += 1;
        } else {
            self.dropped += 1;
        }
    }

    /// Whether something has come that ends the run before its time.
    fn look_for_abort(&mut self, now: Instant) {
        if self.plan.abort_when.is_empty() || self.aborts.iter().any(Option::is_some) {
            return;
        }
        let elapsed = now - self.begun;
        let totals = self.totals(now);
        for (abort, hit) in self.plan.abort_when.iter().zip(&mut self.aborts) {
            let evaluation = abort.when.evaluate(&totals);
            if let (Some(actual), true) = (evaluation.actual, evaluation.pass && elapsed >= abort.after) {
                *hit = Some((actual, elapsed.as_secs_f64()));
            }
        }
        if let Some(hit) = self.aborts.iter().position(Option::is_some) {
            self.screen.say(&format!("{}: the run is ended", self.plan.abort_when[hit].text));
        }
    }

    /// The far side wants no calls for a while.
    fn note_pause(&mut self, pause: &Pause) {
        self.back_off.pauses += 1;
        let target = self.plan.actors.get(pause.actor).map_or("", |actor| actor.target.name.as_str());
        let trunk = pause.trunk.as_ref().map_or_else(String::new, |trunk| format!(" over {trunk}"));
        let left = pause.until.saturating_duration_since(clock::now()).as_secs_f64();
        self.screen.say(&format!("{target} wants no calls{trunk} for {left:.0} s (503 with Retry-After)"));
    }

    fn note_limit(&mut self, found: &Found) {
        let limit = Limit::of(found, self.plan);
        self.screen.say(&limit.text);
        if !found.aside.is_empty() {
            self.screen.say(&format!("refused whenever they are tried: {}", found.aside.join(", ")));
        }
        self.limits.push(limit);
    }

    /// A name was looked up again.
    fn note_look_up(&mut self, looked_up: LookedUp) {
        let LookedUp { server, found, .. } = looked_up;
        match found {
            Ok(located) => {
                let places = located.hops.iter().map(|hop| format!("{} {}", hop.transport, hop.address));
                let places: Vec<String> = places.collect();
                self.screen.say(&format!("DNS gives places for {server} now: {}", places.join(", ")));
            }
            Err(error) => self.screen.say(&format!("{error}: the places of {server} that are known are kept")),
        }
    }

    /// Lines may not be filled any more.
    fn note_end_of_window(&mut self) {
        if !std::mem::replace(&mut self.closed, true) {
            self.screen.say("the time in which lines may be filled is over: no more calls are started");
        }
    }

    fn finish_attempt(&mut self, finished: Finished, files: Option<&[File]>) {
        let Finished { record, registration, primary, beside, answered, owner } = finished;
        self.screen.finished(&record);
        if beside {
            return self.results.beside(record, registration.as_ref(), files);
        }
        self.look_for_dead_target(&record, answered);
        self.add(&record.outcome(), primary);
        if !record.warm_up {
            self.ice_servers.note(record.ice_server_fault.as_deref());
            self.checker.add(&record);
            self.checker.note_called(actor_of(owner), &record.outcome());
        }
        self.results.attempt(record, registration.as_ref(), files);
    }

    /// An attempt of which the figures are enough.
    fn count_attempt(&mut self, counted: &Counted) {
        let Counted { outcome, ice_server_fault, primary, owner } = counted;
        self.add(outcome, *primary);
        if !outcome.warm_up {
            self.ice_servers.note(ice_server_fault.as_deref());
            self.checker.count(outcome);
            self.checker.note_called(actor_of(*owner), outcome);
        }
        self.results.count_unwritten();
    }

    fn add(&mut self, outcome: &Outcome, primary: bool) {
        self.counted += u64::from(primary);
        if outcome.warm_up { &mut self.warm_up } else { &mut self.tally }.add(outcome);
        self.window.end(outcome);
    }

    /// The first attempt tells that nobody is there: the run has not started, and goes no further (exit code 4).
    fn look_for_dead_target(&mut self, record: &CallRecord, answered: bool) {
        // The first to end may be one that failed while those before it are in their calls.
        let answered = answered || self.sum().answered;
        let first = !answered && self.tally.legs().attempted + self.warm_up.legs().attempted == 0;
        // A connection that breaks after its INVITE was one: somebody is there, and the next call may fare better.
        let connected = record.invited && record.transport.as_deref().is_some_and(|transport| transport != "udp");
        if first && !connected && record.is_unreachable() {
            let target = self.plan.actors.first().map(|actor| &actor.target);
            let server = target.map(|target| format!("{}, {}", target.name, target.server));
            let meaning = record.class.meaning().trim_end_matches('.');
            let reason = record.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
            self.trouble = Some(format!("target {} cannot be reached: {meaning}{reason}", server.unwrap_or_default()));
        }
    }

    fn tick(&mut self, now: Instant, workers: &Workers) {
        self.results.tick();
        for looked_up in workers.looked_up.try_iter() {
            self.note_look_up(looked_up);
        }
        if now - self.window_began >= Duration::from_secs(1) {
            self.lost_datagrams = workers.lost_datagrams();
            self.close_window(now);
            self.look_for_abort(now);
        }
        let elapsed = now - self.begun;
        if self.screen.is_due(now, elapsed) {
            let snapshot = self.snapshot(now);
            self.screen.draw(&snapshot);
        }
    }

    fn close_window(&mut self, now: Instant) {
        let sum = self.sum();
        self.window.start(sum.started - self.started_in_windows);
        let dropped = self.dropped + self.dropped_in_warm_up;
        self.window.drop_starts(dropped - self.dropped_in_windows);
        (self.started_in_windows, self.dropped_in_windows) = (sum.started, dropped);
        let seconds = (now - self.window_began).as_secs_f64();
        let window = self.window.close(clock::timestamp(), seconds, sum.in_progress);
        // The last window is cut short: a few starts in a few milliseconds are no rate.
        if seconds > 0.5 {
            self.peak_cps = self.peak_cps.max(window.cps);
            let cpu = self.beats.iter().map(|beat| beat.cpu).sum::<Duration>();
            self.cpu_pct = Some(100.0 * cpu.saturating_sub(self.cpu_in_windows).as_secs_f64() / seconds);
            self.cpu_in_windows = cpu;
        }
        self.window_began = now;
        let target = self.plan.actors.first().map_or("", |actor| &actor.target.name);
        let point = WindowPoint::of(&window, &self.plan.scenario, target, self.site.as_deref());
        self.results.window(&window, &point);
        self.windows.push(window);
    }

    fn sum(&self) -> Progress {
        self.progress.iter().copied().sum()
    }
}

/// Legs whose seconds of media a run needs: none where nobody takes them.
pub(super) fn watched_legs(sink: Option<&InfluxTarget>) -> u32 {
    sink.map_or(0, |_| WATCHED_LEGS)
}

/// A name for the run that begins every `call_id`: its time and a few characters that differ from run to run.
pub(super) fn run_id(started: Timestamp) -> String {
    format!("{}-{:04x}", started.strftime("%y%m%dT%H%M%S"), clock::seed() as u16)
}

/// The folder in which run folders stand.
pub(super) fn runs_dir(out: Option<&Path>) -> std::path::PathBuf {
    let parent = out.and_then(Path::parent).filter(|parent| !parent.as_os_str().is_empty());
    parent.map_or_else(|| std::path::PathBuf::from(if out.is_some() { "." } else { "runs" }), Path::to_path_buf)
}
