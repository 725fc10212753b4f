//! The loop of a watch.

mod ended;
mod reload;
mod starts;
mod tell;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::RecvTimeoutError;
use rustc_hash::FxHashMap;

use super::incidents::{Incidents, Memory, Noted};
use super::job::{Job, Line};
use super::notify::{Notifier, Senders};
use super::once::Verdicts;
use super::repetitions::Repetitions;
use super::results::Results;
use super::sheets::Sheets;
use super::shown::Shown;
use super::stage::{Stage, StageError};
use super::store::Store;
use crate::call::MemberId;
use crate::engine::GroupTold;
use crate::incident::Incident;
use crate::net::clock;
use crate::pace::calendar::{Calendar, Moment, Position};
use crate::report::SinkReport;
use crate::scenario::diagnostic::Diagnostics;
use crate::scenario::watch::{Check, Watch};
use crate::serve::Board;
use crate::sink::alert::AlertError;
use crate::sink::{Collector, RunFolder};

/// How long it waits for something to happen before it looks at signals.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Between two times that results are brought to disk.
const TICK: Duration = Duration::from_millis(200);
/// Between two times that figures are shown to others; the kernel's count of lost datagrams is a long table.
const SHOW: Duration = Duration::from_secs(1);
/// Between two times that the calendar's position and the incidents that are open are written, and that the database is told
/// how we are.
const NOTE_POSITION: Duration = Duration::from_secs(10);
/// What the judge knows is written with each change of an incident, and so often, or after so many results.
const NOTE_MEMORY: (Duration, usize) = (Duration::from_secs(60), 5_000);
/// The results that came since are written so long after the first of them, and sooner where something failed: that much of
/// them a kill forgets.
const NOTE_RESULTS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(1));
/// How long messages may be delivered after the end; those that are left are delivered by the next watch.
const LAST_MESSAGES: Duration = Duration::from_secs(5);
/// What places calls is heard of ten times a second. After so long without a word it hangs: nothing is called any more.
const HANGS: Duration = Duration::from_secs(10);
/// And between two of its starts.
const ONCE_EVERY: Duration = Duration::from_millis(20);

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
    /// Calls that the judge asks for.
    repetitions: Repetitions,
    /// Lines of `--once` that wait.
    waiting: VecDeque<Arc<str>>,
    verdicts: Verdicts,
    stopping: bool,
    /// Who tells people, and keeps what is known.
    notifier: Option<Notifier>,
    sheets: Sheets,
    /// When what is known is written next, without a change.
    memory_due: Instant,
    /// Results since it was written that are to be written themselves, how many there were, and when that is due.
    noted: Vec<Noted>,
    noted_count: usize,
    noted_due: Option<Instant>,
    board: Board,
    /// What there is to be seen.
    shown: Option<Shown>,
    /// Whether there is a page that shows it.
    page: bool,
    /// Datagrams that the kernel did not take from us.
    overflows: u64,
    /// When what places the calls was heard of last.
    heard: Instant,
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
    let stage = Stage::new(options.nameserver, options.run_id, options.watched_legs)?;
    let now = clock::now();
    let position: Position = options.store.as_ref().and_then(|store| store.get("position")).unwrap_or_default();
    let memory: Option<(Memory, Vec<Noted>)> = options.store.as_ref().and_then(Store::memory);
    let incidents = match memory {
        Some((memory, results)) => Incidents::restored(&watch, memory, &results, now, clock::timestamp()),
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
        repetitions: Repetitions::default(),
        waiting: VecDeque::new(),
        verdicts: Verdicts::default(),
        stopping: false,
        notifier: options.store.map(start).transpose()?,
        memory_due: now + NOTE_MEMORY.0,
        noted: Vec::new(),
        noted_count: 0,
        noted_due: None,
        board: options.board,
        // Once, nobody looks.
        shown: (!options.once).then(|| Shown::new(watch.zone.clone(), clock::timestamp())),
        page: options.page,
        overflows: 0,
        heard: now,
        watch,
    };
    for incident in &open {
        running.note(format!("{} is still open: {} since {}", incident.id, incident.place(), incident.since));
    }
    running.set_out(&[])?;
    // What is noted from now on is added to this.
    running.keep_memory();
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
                self.start_repetitions();
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
                self.keep_open();
                if !self.once {
                    self.tell_health();
                }
            }
            if now >= self.memory_due {
                self.keep_memory();
            } else if self.noted_due.is_some_and(|due| now >= due) {
                self.keep_results();
            }
        }
        self.keep_position();
        // Nobody will hear of these any more; what was held is a result as it is.
        let left: Vec<Job> = self.jobs.drain().map(|(_, job)| job).collect();
        for original in left.into_iter().filter_map(Job::give_up) {
            self.keep(&original, None);
        }
        self.keep_open();
        ended
    }

    /// Lets every check join, with its lines; one of `standing` that calls as before, or whose agents are registered as
    /// before, stays the member that it is, with its registrations and the calls that it has under way.
    fn set_out(&mut self, standing: &[(Arc<Check>, MemberId)]) -> Result<(), StageError> {
        self.lines.clear();
        self.of_check.clear();
        let checks: Vec<Arc<Check>> = self.watch.checks.iter().cloned().map(Arc::new).collect();
        for check in checks {
            let say = &mut *self.say;
            let like = |same: fn(&Check, &Check) -> bool| standing.iter().find(|(before, _)| same(before, &check));
            let member = if let Some((_, member)) = like(Check::calls_as) {
                *member
            } else if let Some((_, member)) = like(Check::registers_as) {
                self.stage.revise(*member, &check)?;
                *member
            } else {
                self.stage.join(&check, &mut |text| say(Said::Note(text)))?
            };
            self.members.entry(member).or_insert_with(|| (Arc::clone(&check), 0)).0 = Arc::clone(&check);
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
            Ok(_) if !looked_up.is_news => {}
            Ok(_) => tracing::info!(server = %looked_up.server, "DNS gives its places"),
            Err(error) => tracing::warn!(server = %looked_up.server, %error, "the places that are known are kept"),
        })
    }

    fn stop(&mut self) {
        self.stopping = true;
        self.waiting.clear();
        self.repetitions.close();
        self.stage.worker.stop();
    }

    fn note_trouble(&mut self, trouble: Option<String>) {
        if let Some(trouble) = trouble {
            self.note(trouble);
        }
    }

    fn note(&mut self, text: String) {
        (self.say)(Said::Note(text));
    }
}

/// Now, by both clocks.
fn moment() -> Moment {
    Moment { instant: clock::now(), wall: clock::timestamp() }
}
