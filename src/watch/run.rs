//! The loop of a watch.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::RecvTimeoutError;
use rustc_hash::{FxHashMap, FxHashSet};

use super::incidents::{Incidents, Memory, News};
use super::job::{Job, Next, Outcome, Purpose, complete, is_ours};
use super::notify::{Notifier, Pulse, Senders, Told};
use super::once::Verdicts;
use super::results::Results;
use super::sheets::{Sheets, links};
use super::shown::{Shown, TroubleOf};
use super::stage::{Stage, StageError};
use super::store::Store;
use crate::call::{Finished, MemberId, NotBegun, Pause};
use crate::engine::GroupTold;
use crate::evidence::File;
use crate::incident::Incident;
use crate::net::clock;
use crate::pace::calendar::{Calendar, Event, Moment, Position, Why, WhyNot};
use crate::record::{CallRecord, Retry};
use crate::report::{SinkReport, screen};
use crate::scenario::diagnostic::Diagnostics;
use crate::scenario::plan::Step;
use crate::scenario::watch::{Check, Watch};
use crate::serve::{Board, Spooled};
use crate::sink::alert::{Alert, AlertError};
use crate::sink::{Collector, IncidentPoint, ProbeHealth, ProbePoint, RunFolder};

/// How long it waits for something to happen before it looks at signals.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Between two times that results are brought to disk.
const TICK: Duration = Duration::from_millis(200);
/// Between two times that figures are shown to others; the kernel's count of lost datagrams is a long table.
const SHOW: Duration = Duration::from_secs(1);
/// Between two times that the calendar's position is written, and that the database is told how we are.
const NOTE_POSITION: Duration = Duration::from_secs(10);
/// What the judge knows is written with each change of an incident, and so often: soon where something failed.
const NOTE_MEMORY: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(60));
/// How long messages may be delivered after the end; those that are left are delivered by the next watch.
const LAST_MESSAGES: Duration = Duration::from_secs(5);
/// Checks that `--once` makes at the same time.
const AT_ONCE: usize = 50;
/// And between two of its starts.
const ONCE_EVERY: Duration = Duration::from_millis(20);
/// Lines of a control that are tried for one that is free.
const CONTROLS_TRIED: usize = 3;

/// A 503 with Retry-After is a maintenance that the far side tells of.
const FAR_SIDE_RESTS: &str = "maintenance: the far side wants no calls (503 with Retry-After)";

/// How a watch is run.
pub struct Options {
    /// Beginning of every `call_id`.
    pub run_id: String,
    /// Asked instead of the system's.
    pub nameserver: Option<SocketAddr>,
    /// Each check is made once, then it ends.
    pub once: bool,
    /// Legs whose seconds of media are told, at the same time at most.
    pub watched_legs: u32,
    /// Where results go.
    pub folder: RunFolder,
    /// And the database.
    pub collector: Option<Collector>,
    /// What an earlier watch knew, and where it is kept; `None` for one that keeps nothing and tells nobody.
    pub store: Option<Store>,
    /// Where its figures are written for others.
    pub board: Board,
    /// Whether there is a page that shows its lines.
    pub page: bool,
}

/// What is asked of a watch while it runs.
pub struct Asked<'a> {
    /// It is to end: calls are hung up first.
    pub to_stop: &'a dyn Fn() -> bool,
    /// Its file is to be read again; true once for each time that it was asked.
    pub to_reload: &'a dyn Fn() -> bool,
    /// Reads it.
    pub load: &'a dyn Fn() -> Result<Watch, Diagnostics>,
}

/// What a watch says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A call has ended.
    Call(String),
    /// Something that whoever looks should know.
    Note(String),
}

/// How a watch ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ended {
    /// It was asked to stop.
    pub interrupted: bool,
    /// Checks whose last attempt was judged; those that brief interruptions hit count as their repetition says.
    pub checks: u64,
    /// Of them, those that failed.
    pub failed: u64,
    /// Of them, those that started late for reasons of ours.
    pub late: u64,
    /// Of them, those that nobody could be reached for.
    pub unreachable: u64,
    /// What became of the points.
    pub sink: Option<SinkReport>,
    /// What ended it before its time.
    pub trouble: Option<String>,
}

/// A line of a check.
struct Line {
    check: Arc<Check>,
    member: MemberId,
    account: Option<usize>,
}

struct Running<'a> {
    watch: Watch,
    stage: Stage,
    calendar: Calendar,
    results: Results,
    incidents: Incidents,
    say: &'a mut dyn FnMut(Said),
    once: bool,
    lines: FxHashMap<Arc<str>, Line>,
    /// Lines of each check, by its index; the next control is the first of them.
    of_check: Vec<VecDeque<Arc<str>>>,
    /// Members that are not gone, with how many attempts were asked of each.
    members: FxHashMap<MemberId, (Arc<Check>, u64)>,
    jobs: FxHashMap<(MemberId, u64), Job>,
    /// Lines of `--once` that wait.
    waiting: VecDeque<Arc<str>>,
    verdicts: Verdicts,
    stopping: bool,
    /// Who tells people, and keeps what is known.
    notifier: Option<Notifier>,
    sheets: Sheets,
    /// When what is known is written next, without a change.
    memory_due: Instant,
    board: Board,
    /// What there is to be seen.
    shown: Option<Shown>,
    /// Whether there is a page that shows it.
    page: bool,
    /// Datagrams that the kernel did not take from us.
    overflows: u64,
}

/// Why a watch cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// Its checks cannot be called.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// Somebody cannot be told.
    #[error("notify: {0}")]
    Alert(#[from] AlertError),
    /// The thread that tells people cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
}

/// Runs a watch until it is asked to stop, or, once, until each check was made.
///
/// # Errors
/// [`WatchError`]: nothing was dialled.
pub fn run(watch: Watch, options: Options, asked: &Asked<'_>, say: &mut dyn FnMut(Said)) -> Result<Ended, WatchError> {
    let senders = Senders::new(&watch.alerts)?;
    let stage = Stage::new(options.nameserver, options.run_id, watch.site.clone(), options.watched_legs)?;
    let now = clock::now();
    let position: Position = options.store.as_ref().and_then(|store| store.get("position")).unwrap_or_default();
    let memory: Option<Memory> = options.store.as_ref().and_then(|store| store.get("memory"));
    let incidents = match memory {
        Some(memory) => Incidents::restored(&watch, memory, now, clock::timestamp()),
        None => Incidents::new(&watch, now),
    };
    let open: Vec<Incident> = incidents.open().cloned().collect();
    let start = |store: Store| {
        let undelivered = store.beside("undelivered.jsonl");
        Notifier::start(store, undelivered, senders, &open).map_err(WatchError::Thread)
    };
    let calendar = Calendar::new(watch.zone.clone(), Vec::new(), position.clone(), moment());
    let mut running = Running {
        stage,
        calendar,
        sheets: Sheets::new(options.folder.path(), &watch),
        results: Results::new(options.folder, options.collector),
        incidents,
        say,
        once: options.once,
        lines: FxHashMap::default(),
        of_check: Vec::new(),
        members: FxHashMap::default(),
        jobs: FxHashMap::default(),
        waiting: VecDeque::new(),
        verdicts: Verdicts::default(),
        stopping: false,
        notifier: options.store.map(start).transpose()?,
        memory_due: now + NOTE_MEMORY.1,
        board: options.board,
        // Once, nobody looks.
        shown: (!options.once).then(|| Shown::new(watch.zone.clone(), clock::timestamp())),
        page: options.page,
        overflows: 0,
        watch,
    };
    for incident in &open {
        running.note(format!("{} is still open: {} since {}", incident.id, incident.place(), incident.since));
    }
    running.set_out()?;
    let checks = running.recurring();
    let zone = running.watch.zone.clone();
    running.calendar = Calendar::new(zone, checks, position, moment());
    if options.once {
        running.waiting = running.of_check.iter().flatten().cloned().collect();
    }
    let ended = running.go_on(asked);
    running.keep_memory();
    let Running { results, stage, verdicts, notifier, say, .. } = running;
    for note in notifier.map(|notifier| notifier.finish(LAST_MESSAGES)).unwrap_or_default() {
        say(Said::Note(note));
    }
    stage.close();
    let sink = results.close();
    let Verdicts { checks, failed, late, unreachable } = verdicts;
    Ok(Ended { checks, failed, late, unreachable, sink, ..ended })
}

impl Running<'_> {
    fn go_on(&mut self, asked: &Asked<'_>) -> Ended {
        let mut ended = Ended::default();
        let begun = clock::now();
        let (mut next_tick, mut next_show, mut next_note, mut next_once) = (begun, begun, begun + NOTE_POSITION, begun);
        loop {
            let now = clock::now();
            let wake = [self.calendar.poll_timeout(), now + LOOK_EVERY, self.incidents.deadline()]
                .into_iter()
                .min()
                .unwrap_or(now);
            match self.stage.worker.told.recv_timeout(wake.saturating_duration_since(now)) {
                Ok(GroupTold::Ended(error)) => {
                    ended.trouble = error;
                    break;
                }
                Ok(told) => self.take(told),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    ended.trouble = Some("the worker ended by a bug of ours".to_owned());
                    break;
                }
            }
            let now = clock::now();
            if !self.stopping && (asked.to_stop)() {
                ended.interrupted = true;
                self.stop();
            }
            if !self.stopping && (asked.to_reload)() {
                self.reload((asked.load)());
            }
            if self.once {
                if now >= next_once && self.start_once() {
                    next_once = now + ONCE_EVERY;
                }
                if self.waiting.is_empty() && self.jobs.is_empty() && !self.stopping {
                    self.stop();
                }
            } else if !self.stopping {
                self.calendar.handle_timeout(moment());
                self.heed_calendar();
            }
            if now >= next_tick {
                next_tick = now + TICK;
                let trouble = self.results.tick();
                self.note_trouble(trouble);
            }
            self.tell_incidents();
            if now >= next_show {
                next_show = now + SHOW;
                self.show();
            }
            if now >= next_note {
                next_note = now + NOTE_POSITION;
                self.keep_position();
                if !self.once {
                    self.tell_health();
                }
            }
            if now >= self.memory_due {
                self.keep_memory();
            }
        }
        self.keep_position();
        // Nobody will hear of these any more; what was held is a result as it is.
        let left: Vec<Job> = self.jobs.drain().map(|(_, job)| job).collect();
        for original in left.into_iter().filter_map(Job::give_up) {
            self.keep(&original);
        }
        ended
    }

    /// Lets every check join, with its lines.
    fn set_out(&mut self) -> Result<(), StageError> {
        self.lines.clear();
        self.of_check.clear();
        let checks: Vec<Arc<Check>> = self.watch.checks.iter().cloned().map(Arc::new).collect();
        for check in checks {
            let say = &mut *self.say;
            let member = self.stage.join(&check, &mut |text| say(Said::Note(text)))?;
            self.members.insert(member, (Arc::clone(&check), 0));
            let mut names = VecDeque::new();
            for line in check.lines() {
                names.push_back(Arc::clone(&line.recurring.name));
                let own = Line { check: Arc::clone(&check), member, account: line.account };
                self.lines.insert(line.recurring.name, own);
            }
            self.of_check.push(names);
        }
        let actors = self.watch.checks.iter().flat_map(|check| &check.plan.actors);
        let targets = actors.map(|actor| (actor.target.name.clone(), actor.target.labels.clone())).collect();
        let trouble = self.results.targets(&targets);
        self.note_trouble(trouble);
        if let Some(shown) = &mut self.shown {
            shown.set_watch(&self.watch);
        }
        // Checks that are gone keep their counts for nobody.
        self.board.write(|figures| {
            figures.watch.clone_from(&self.watch.name);
            figures.checks.retain(|name, _| self.watch.checks.iter().any(|check| check.name == *name));
            for check in &self.watch.checks {
                let shown = figures.checks.entry(check.name.clone()).or_default();
                shown.target = check.plan.actors.first().map(|actor| actor.target.name.clone()).unwrap_or_default();
                shown.lines = check.lines().len() as u64;
            }
        });
        self.stage.keep_names(|looked_up| match &looked_up.found {
            Ok(_) => tracing::info!(server = %looked_up.server, "DNS gives other places now"),
            Err(error) => tracing::warn!(server = %looked_up.server, %error, "the places that are known are kept"),
        })
    }

    fn recurring(&self) -> Vec<crate::pace::calendar::Check> {
        self.watch.checks.iter().flat_map(Check::lines).map(|line| line.recurring).collect()
    }

    /// Other checks from now on; with a mistake in the file those of before go on.
    fn reload(&mut self, loaded: Result<Watch, Diagnostics>) {
        let watch = match loaded {
            Ok(watch) => watch,
            Err(mistakes) => {
                self.not_reloaded(format!("{mistakes}\nthe file is not read again: the watch goes on as it was"));
                return;
            }
        };
        let senders = match Senders::new(&watch.alerts) {
            Ok(senders) => senders,
            Err(error) => {
                self.not_reloaded(format!("notify: {error}: the watch goes on as it was"));
                return;
            }
        };
        if (&watch.influx, watch.metrics, &watch.page, &watch.site)
            != (&self.watch.influx, self.watch.metrics, &self.watch.page, &self.watch.site)
        {
            self.note("site, sinks and page are those of before until the watch is started again".to_owned());
        }
        let before: Vec<MemberId> = self.lines.values().map(|line| line.member).collect();
        let old = std::mem::replace(&mut self.watch, watch);
        let (lines, of_check) = (std::mem::take(&mut self.lines), std::mem::take(&mut self.of_check));
        if let Err(error) = self.set_out() {
            // Those that have joined leave; nothing was started yet.
            let joined: FxHashSet<MemberId> = self.lines.values().map(|line| line.member).collect();
            joined.into_iter().for_each(|member| self.stage.worker.leave(member));
            (self.watch, self.lines, self.of_check) = (old, lines, of_check);
            if let Some(shown) = &mut self.shown {
                shown.set_watch(&self.watch);
            }
            self.not_reloaded(format!("{error}: the watch goes on as it was"));
            return;
        }
        self.sheets.replace(&self.watch);
        self.incidents.replace(&self.watch, clock::now(), clock::timestamp());
        if let Some(notifier) = &self.notifier {
            notifier.replace(senders);
        }
        let before: FxHashSet<MemberId> = before.into_iter().collect();
        before.into_iter().for_each(|member| self.stage.worker.leave(member));
        let checks = self.recurring();
        self.calendar.replace(self.watch.zone.clone(), checks, moment());
        self.board.write(|figures| figures.reloads.0 += 1);
        self.show_trouble(TroubleOf::File, None);
        let (checks, lines) = (self.watch.checks.len(), self.lines.len());
        self.note(format!("the file is read again (checks: {checks}, lines: {lines})"));
    }

    fn not_reloaded(&mut self, why: String) {
        self.board.write(|figures| figures.reloads.1 += 1);
        self.show_trouble(TroubleOf::File, Some(&why));
        self.note(why);
    }

    fn stop(&mut self) {
        self.stopping = true;
        self.waiting.clear();
        self.stage.worker.stop();
    }

    // --- starts ---------------------------------------------------------------------------------------------------

    fn heed_calendar(&mut self) {
        while let Some(event) = self.calendar.poll_event() {
            match event {
                Event::Start { check, intended, why } => {
                    if why == Why::CaughtUp {
                        self.note(format!("{check}: for starts that were missed"));
                    }
                    self.start(&check, intended, Purpose::Scheduled);
                }
                Event::NotStarted { check, starts, why } => self.left_out(&check, starts, why),
                Event::Stepped(by) => {
                    let by = by.as_secs_f64();
                    self.note(format!("the clock was set by {by:+.0} s: every start is planned anew"));
                }
            }
        }
    }

    fn left_out(&mut self, line: &str, starts: u64, why: WhyNot) {
        let word = match why {
            WhyNot::Maintenance(_) => "maintenance",
            WhyNot::Paused => "paused",
            WhyNot::UnderWay => "under_way",
            WhyNot::Budget => "budget",
            WhyNot::Missed => "missed",
        };
        if let Some(line) = self.lines.get(line) {
            let check = &line.check.name;
            self.board.write(|figures| {
                if let Some(shown) = figures.checks.get_mut(check) {
                    *shown.left_out.entry(word).or_default() += starts;
                }
            });
        }
        let why = match why {
            WhyNot::Maintenance(None) => "maintenance".to_owned(),
            WhyNot::Maintenance(Some(reason)) => format!("maintenance ({reason})"),
            WhyNot::Paused => FAR_SIDE_RESTS.to_owned(),
            WhyNot::UnderWay => "the call before is still under way".to_owned(),
            WhyNot::Budget => "the budget of the day is spent".to_owned(),
            WhyNot::Missed => "nobody was there at the time".to_owned(),
        };
        if let Some(shown) = &mut self.shown {
            shown.left_out(line, clock::timestamp(), &why);
        }
        let starts = if starts == 1 { "a start is".to_owned() } else { format!("{starts} starts are") };
        self.note(format!("{line}: {starts} left out: {why}"));
    }

    /// Starts a call of a line that the calendar says is free.
    fn start(&mut self, name: &Arc<str>, intended: Instant, purpose: Purpose) {
        let Some(line) = self.lines.get(name) else { return };
        let Some((_, asked)) = self.members.get_mut(&line.member) else { return };
        *asked += 1;
        let key = (line.member, *asked);
        self.stage.worker.begin(line.member, intended, line.account);
        self.jobs.insert(key, Job::new(Arc::clone(name), Arc::clone(&line.check), purpose));
    }

    /// Starts the next line of `--once`, where there is room. True where one was.
    fn start_once(&mut self) -> bool {
        if self.jobs.len() >= AT_ONCE {
            return false;
        }
        let Some(name) = self.waiting.pop_front() else { return false };
        let begun = self.calendar.begin(&name, moment());
        if let Err(why) = begun {
            self.left_out(&name, 1, why);
            return true;
        }
        self.start(&name, clock::now(), Purpose::Scheduled);
        true
    }

    /// Makes the checks that tell who is hit, each by a line that is free and not of the same agent.
    fn start_controls(&mut self, check: &Check, agent: Option<&str>) {
        for control in check.controls.clone() {
            let Some(names) = self.of_check.get_mut(control) else { continue };
            let mut found = None;
            for _ in 0..names.len().min(CONTROLS_TRIED) {
                names.rotate_left(1);
                let Some(name) = names.back() else { break };
                let same = agent.is_some_and(|agent| name.rsplit('/').next() == Some(agent));
                if !same && self.calendar.begin(name, moment()).is_ok() {
                    found = Some(Arc::clone(name));
                    break;
                }
            }
            if let Some(name) = found {
                self.start(&name, clock::now(), Purpose::Control);
            }
        }
    }

    // --- results --------------------------------------------------------------------------------------------------

    fn take(&mut self, told: GroupTold) {
        match told {
            GroupTold::Finished { member, n, finished, files } => self.finish(member, n, *finished, files),
            GroupTold::NotBegun { member, n, why } => self.not_begun(member, n, why),
            GroupTold::Paused(member, pause) => self.pause(member, &pause),
            GroupTold::Second(second) => self.results.second(&second),
            GroupTold::Left(member) => {
                self.stage.worker.forget(member);
                self.members.remove(&member);
                let left: Vec<(MemberId, u64)> = self.jobs.keys().filter(|key| key.0 == member).copied().collect();
                for (member, n) in left {
                    self.end_without_call(member, n);
                }
            }
            GroupTold::Beat { progress, beat, .. } => {
                self.overflows = beat.health.send_overflows;
                if let Some(shown) = &mut self.shown {
                    shown.in_progress = progress.in_progress;
                }
                self.board.write(|figures| {
                    (figures.in_progress, figures.cpu_s) = (progress.in_progress, beat.cpu.as_secs_f64());
                });
            }
            GroupTold::Ended(_) => {}
        }
    }

    /// A leg has ended. The one that counts as the attempt ends its job; others are recorded beside it.
    fn finish(&mut self, member: MemberId, n: u64, mut finished: Finished, files: Option<Vec<File>>) {
        if let Some((check, _)) = self.members.get(&member) {
            complete(&mut finished.record, check);
        }
        let job = if finished.primary && !finished.beside { self.jobs.remove(&(member, n)) } else { None };
        let Some(job) = job else {
            return self.keep(&Outcome { finished, files, purpose: Purpose::Scheduled });
        };
        let (line, check, purpose) = (Arc::clone(&job.line), Arc::clone(&job.check), job.purpose);
        self.count(&check, &finished.record);
        let asks = purpose == Purpose::Scheduled && finished.record.is_failed() && !is_ours(finished.record.class);
        // Once, every check is made anyway.
        if asks && !self.stopping && !self.once {
            self.start_controls(&check, finished.record.agent.as_deref());
        }
        let account = self.account_of(&line, &check, finished.record.account.as_deref());
        let (calendar, stopping) = (&mut self.calendar, self.stopping);
        match job.end(finished, files, || !stopping && calendar.may_repeat(&line, moment())) {
            Next::Over(outcomes) => self.conclude(&line, &check, outcomes),
            Next::Again(job, outcomes) => {
                outcomes.iter().for_each(|outcome| self.keep(outcome));
                self.reproduce(*job, account);
            }
        }
    }

    /// Tries a failure again: with sockets and a registration of its own, but for a line whose registration stands.
    fn reproduce(&mut self, job: Job, account: Option<usize>) {
        let (line, check) = (Arc::clone(&job.line), Arc::clone(&job.check));
        let stands = check.plan.actors.iter().any(|actor| actor.registered.stands());
        let own = self.lines.get(&line).map(|line| line.member).filter(|_| stands);
        if let Some((member, (_, asked))) = own.and_then(|own| Some((own, self.members.get_mut(&own)?))) {
            *asked += 1;
            self.stage.worker.begin(member, clock::now(), account);
            self.jobs.insert((member, *asked), job);
            return;
        }
        match self.stage.reproduce(&check, account) {
            Ok(member) => {
                self.members.insert(member, (check, 1));
                self.jobs.insert((member, 1), job);
            }
            Err(error) => {
                self.note(format!("{line}: the failure cannot be reproduced: {error}"));
                let held = job.give_up().into_iter().collect();
                self.conclude(&line, &check, held);
            }
        }
    }

    fn conclude(&mut self, line: &Arc<str>, check: &Check, outcomes: Vec<Outcome>) {
        outcomes.iter().for_each(|outcome| self.keep(outcome));
        if let Some(shown) = &mut self.shown {
            shown.concluded(line, &outcomes);
        }
        let judged = outcomes.last().filter(|outcome| outcome.purpose != Purpose::Control);
        if let Some(last) = judged.filter(|_| self.once) {
            for broken in self.verdicts.add(check, &last.finished.record) {
                (self.say)(Said::Note(format!("{line}: {broken}")));
            }
        }
        self.calendar.handle_end(line, moment());
    }

    /// The index of the account that a call was of.
    fn account_of(&self, line: &str, check: &Check, user: Option<&str>) -> Option<usize> {
        let of_line = self.lines.get(line).and_then(|line| line.account);
        of_line.or_else(|| {
            let pool = check.plan.actors.first()?.pool.as_ref()?;
            pool.accounts.iter().position(|account| Some(account.user.as_str()) == user)
        })
    }

    fn not_begun(&mut self, member: MemberId, n: u64, why: NotBegun) {
        if let Some(job) = self.jobs.get(&(member, n)).filter(|_| !self.stopping) {
            let why = match why {
                NotBegun::Late => "as many calls are under way as the target allows",
                NotBegun::HeldBack => FAR_SIDE_RESTS,
            };
            let text = format!("{}: a start is left out: {why}", job.line);
            self.note(text);
        }
        self.end_without_call(member, n);
    }

    fn end_without_call(&mut self, member: MemberId, n: u64) {
        let Some(job) = self.jobs.remove(&(member, n)) else { return };
        let (line, check) = (Arc::clone(&job.line), Arc::clone(&job.check));
        let held = job.give_up().into_iter().collect();
        self.conclude(&line, &check, held);
    }

    /// The far side wants no calls for a while: to every line that would call it that is a maintenance.
    fn pause(&mut self, member: MemberId, pause: &Pause) {
        let Some((check, _)) = self.members.get(&member) else { return };
        let Some(target) = check.plan.actors.get(pause.actor).map(|actor| actor.target.name.clone()) else { return };
        for (name, line) in &self.lines {
            if calls(&line.check, &target, pause.trunk.as_deref()) {
                self.calendar.pause(name, pause.until);
            }
        }
        let trunk = pause.trunk.as_ref().map_or_else(String::new, |trunk| format!(" over {trunk}"));
        let left = pause.until.saturating_duration_since(clock::now()).as_secs_f64();
        self.note(format!("{target} wants no calls{trunk} for {left:.0} s (503 with Retry-After): maintenance"));
    }

    fn keep(&mut self, outcome: &Outcome) {
        let record = &outcome.finished.record;
        let what = match (record.retry, outcome.purpose) {
            (Retry::Transient, _) => "  a brief interruption: it passed when tried again",
            (Retry::Reproduced, _) => "  reproduced",
            (_, Purpose::Reproduction) => "  tried again",
            (_, Purpose::Control) => "  control",
            _ => "",
        };
        let unmet = record.unmet.as_ref().map_or_else(String::new, |unmet| format!("  {unmet}"));
        (self.say)(Said::Call(format!("{}{unmet}{what}", screen::call_line(record))));
        let trouble = self.results.outcome(outcome);
        self.note_trouble(trouble);
        if let Some(shown) = &mut self.shown {
            shown.kept(outcome);
        }
        // Once, there is nothing to compare with.
        if !self.once {
            self.incidents.handle_result(clock::now(), &outcome.finished.record, outcome.purpose);
            self.sheets.handle_result(&outcome.finished.record);
            if outcome.finished.record.is_failed() {
                self.memory_due = self.memory_due.min(clock::now() + NOTE_MEMORY.0);
            }
        }
    }

    /// What the results come to: every change is kept, and those that are worth it are told.
    fn tell_incidents(&mut self) {
        let time = clock::timestamp();
        let mut told = Vec::new();
        for News { change, incident, mut message, is_told } in self.incidents.news(&self.watch.name, clock::now(), time)
        {
            let site = self.watch.site.as_deref();
            let point = IncidentPoint { time, site, change, incident: &incident };
            let trouble = self.results.incident(&point);
            message.add_links(links(&self.watch, &incident));
            if let Some(shown) = &mut self.shown {
                shown.incident(change, &incident);
            }
            if is_told {
                (self.say)(Said::Note(format!("{}\n{}", message.title, message.text)));
            }
            let alert = Alert::new(&self.watch.name, site, time, message, self.sheets.of(&incident));
            told.push(Told { alert, is_message: is_told });
            self.note_trouble(trouble);
        }
        if let Some(notifier) = self.notifier.as_ref().filter(|_| !told.is_empty()) {
            notifier.hand_over(told, self.incidents.memory(time));
        }
    }

    /// Counts an attempt that has ended.
    fn count(&self, check: &Check, record: &CallRecord) {
        self.board.write(|figures| {
            let Some(shown) = figures.checks.get_mut(&check.name) else { return };
            let failed = record.is_failed();
            *shown.calls.entry((record.class, failed)).or_default() += 1;
            shown.late_s = record.late_ms.map(|late| late / 1000.0);
            if !failed {
                shown.last_success = Some(record.ended_at.as_duration().as_secs_f64());
            }
        });
    }

    /// Tells readers that the watch is alive, how its lines are, and where its points are.
    fn show(&mut self) {
        let spooled = self.results.counts().map(|counts| Spooled {
            written: counts.written,
            waiting: counts.spooled,
            rejected: counts.rejected,
            up: self.results.sink_trouble().is_none(),
        });
        let lost = self.stage.worker.lost_datagrams() + self.overflows;
        let incidents: Arc<[Incident]> = self.incidents.open().cloned().collect();
        let (lines, incidents_open) = (self.lines.len(), incidents.len());
        let told = self.notifier.as_ref().map(Notifier::shown).unwrap_or_default();
        if let Some(shown) = self.shown.as_mut().filter(|_| self.page) {
            let now = clock::timestamp();
            shown.trouble(TroubleOf::Disk, self.results.trouble(), now);
            shown.trouble(TroubleOf::Memory, told.unsaved.as_deref(), now);
            shown.trouble(TroubleOf::Alerts, told.away.as_deref(), now);
            shown.open_incidents(self.incidents.open());
            self.board.publish(shown.view(now, self.calendar.upcoming(), self.results.sinks()));
        }
        self.board.write(|figures| {
            (figures.spooled, figures.datagrams_lost) = (spooled, lost);
            (figures.incidents, figures.throttled) = (incidents, self.incidents.throttled());
            (figures.alerts, figures.unsaved) = (told.deliveries, told.unsaved.is_some());
        });
        if let Some(notifier) = &self.notifier {
            let (watch, site) = (self.watch.name.clone(), self.watch.site.clone());
            notifier.pulse(Pulse { at: clock::now(), watch, site, lines, incidents_open });
            notifier.take_notes().into_iter().for_each(|note| self.note(note));
        }
    }

    /// Tells the database how the process itself is.
    fn tell_health(&self) {
        let health = self.board.read(|figures| ProbeHealth {
            lines: self.lines.len() as u64,
            failing: self.shown.as_ref().map_or(0, Shown::failing),
            in_progress: figures.in_progress,
            calls: figures.calls(),
            left_out: figures.left_out(),
            late_ms: figures.late_s().map(|late| 1000.0 * late),
            cpu_s: figures.cpu_s,
            datagrams_lost: figures.datagrams_lost,
            sink: self.results.counts().map(|counts| (counts, self.results.sink_trouble().is_none())),
        });
        let site = self.watch.site.as_deref();
        self.results.probe(&ProbePoint { time: clock::timestamp(), site, probe: &self.watch.name, health });
    }

    fn show_trouble(&mut self, of: TroubleOf, what: Option<&str>) {
        if let Some(shown) = &mut self.shown {
            shown.trouble(of, what, clock::timestamp());
        }
    }

    fn keep_position(&self) {
        if let Some(notifier) = &self.notifier {
            notifier.position(self.calendar.position());
        }
    }

    /// What is known is written without a change: baselines, suspicions, counts.
    fn keep_memory(&mut self) {
        self.memory_due = clock::now() + NOTE_MEMORY.1;
        if let Some(notifier) = &self.notifier {
            notifier.hand_over(Vec::new(), self.incidents.memory(clock::timestamp()));
        }
    }

    fn note_trouble(&mut self, trouble: Option<String>) {
        if let Some(trouble) = trouble {
            self.note(format!("{trouble}; the watch goes on, and the database gets its results"));
        }
    }

    fn note(&mut self, text: String) {
        (self.say)(Said::Note(text));
    }
}

/// Whether a check calls a target over a trunk; without one, over any.
fn calls(check: &Check, target: &str, trunk: Option<&str>) -> bool {
    let takes = |step: &Step| match step {
        Step::Dial(dial) => trunk.is_none() || dial.trunk.as_deref() == trunk,
        Step::Register(_) | Step::Options(_) => trunk.is_none(),
        _ => false,
    };
    check.plan.actors.iter().any(|actor| actor.target.name == target && actor.steps.iter().any(takes))
}

/// Now, by both clocks.
fn moment() -> Moment {
    Moment { instant: clock::now(), wall: clock::timestamp() }
}
