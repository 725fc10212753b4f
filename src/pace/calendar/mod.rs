//! Recurring checks: which start when, and which are left out and why.
//!
//! ```text
//!              ┌─ maintenance, pause, budget spent ─► NotStarted
//! waiting ─due─┼─ still under way ─► queued (one) or NotStarted
//!              ├─ missed ─► NotStarted, and one start where it is caught up with
//!              └─► Start ─► under way ─ended─► waiting, or the queued start
//! ```
//!
//! Both clocks are told: starts are due by the **wall clock**, so that they keep their places across restarts and on
//! every machine, and are waited for by the **monotonic** one. Where both part (the wall clock was set, the machine
//! slept), every start is planned anew from there: no burst of what lies between, and no silence until the old time comes
//! again. Starts by the minute of a cron that a clock which was set forward has passed count as missed.

mod check;
mod cron;
mod position;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rustc_hash::FxHashMap;

pub use check::{Cadence, CatchUp, Check, Maintenance, Overlap, When};
pub use cron::{Cron, CronError};
pub use position::{Position, Spent};

/// One moment by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Monotonic.
    pub instant: Instant,
    /// Wall clock.
    pub wall: Timestamp,
}

/// What a calendar says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A check starts now.
    Start {
        /// Its name.
        check: Arc<str>,
        /// When it was to start; for a start that was queued or is caught up with, now.
        intended: Instant,
        /// Why it does.
        why: Why,
    },
    /// Starts are left out.
    NotStarted {
        /// Name of the check.
        check: Arc<str>,
        /// How many.
        starts: u64,
        /// Why.
        why: WhyNot,
    },
    /// The wall clock was set by so much against the monotonic one.
    Stepped(SignedDuration),
}

/// Why a check starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its time has come.
    Due,
    /// It had waited for the one before it to end.
    Queued,
    /// For starts that were missed.
    CaughtUp,
}

/// Why a start is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhyNot {
    /// A maintenance of the check is on, for this reason where one was given.
    Maintenance(Option<String>),
    /// The far side wants no calls (503 with Retry-After).
    Paused,
    /// The start before it is still under way.
    UnderWay,
    /// What the day allows the check, or one of its numbers, is spent.
    Budget,
    /// Nobody was there at its time.
    Missed,
}

impl WhyNot {
    /// A word for figures.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Maintenance(_) => "maintenance",
            Self::Paused => "paused",
            Self::UnderWay => "under_way",
            Self::Budget => "budget",
            Self::Missed => "missed",
        }
    }
}

/// Both clocks part by this at least before one of them was set; less is how they are kept in step.
const STEP: SignedDuration = SignedDuration::from_secs(1);
/// A look at the clocks comes no later than this, so that a clock that was set is noticed.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Recurring checks.
#[derive(Debug)]
pub struct Calendar {
    zone: TimeZone,
    entries: FxHashMap<Arc<str>, Entry>,
    /// What is due next, the soonest first; an entry that was planned anew has left an older one behind.
    heap: BinaryHeap<Reverse<(Instant, u64, Arc<str>)>>,
    generation: u64,
    spent: Spent,
    last: Moment,
    events: VecDeque<Event>,
}

#[derive(Debug)]
struct Entry {
    check: Check,
    /// What was due up to then is over.
    over: Timestamp,
    next: Option<Next>,
    generation: u64,
    under_way: bool,
    queued: bool,
    paused: Option<Instant>,
}

/// What an entry waits for.
#[derive(Clone, Copy, Debug)]
struct Next {
    due: Timestamp,
    /// It stands for starts that were missed.
    catches_up: bool,
}

impl Calendar {
    /// A calendar in a time zone, from where an earlier one stood.
    pub fn new(zone: TimeZone, checks: Vec<Check>, position: Position, now: Moment) -> Self {
        let mut calendar = Self {
            zone,
            entries: FxHashMap::default(),
            heap: BinaryHeap::new(),
            generation: 0,
            spent: position.spent,
            last: now,
            events: VecDeque::new(),
        };
        for check in checks {
            let over = position.over.get(&*check.name).copied();
            calendar.add(check, over, now);
        }
        calendar
    }

    /// Other checks from now on, and another time zone. One that stays as it is goes on undisturbed; one that is gone
    /// does not start again, whatever is under way.
    pub fn replace(&mut self, zone: TimeZone, checks: Vec<Check>, now: Moment) {
        let same_zone = self.zone == zone;
        self.zone = zone;
        let mut before = std::mem::take(&mut self.entries);
        for check in checks {
            match before.remove(&check.name) {
                Some(mut entry) if same_zone && entry.check.keeps_time_of(&check) => {
                    entry.check = check;
                    self.entries.insert(Arc::clone(&entry.check.name), entry);
                }
                Some(Entry { under_way, queued, paused, .. }) => {
                    let name = Arc::clone(&check.name);
                    self.add(check, None, now);
                    if let Some(entry) = self.entries.get_mut(&name) {
                        (entry.under_way, entry.queued, entry.paused) = (under_way, queued, paused);
                    }
                }
                None => self.add(check, None, now),
            }
        }
    }

    /// Lets come what is due. To be called at [`poll_timeout`](Self::poll_timeout).
    pub fn handle_timeout(&mut self, now: Moment) {
        self.look_at_clocks(now);
        while let Some(Reverse((at, ..))) = self.heap.peek()
            && *at <= now.instant
        {
            let Some(Reverse((_, generation, name))) = self.heap.pop() else { break };
            let Some(entry) = self.entries.get(&name).filter(|entry| entry.generation == generation) else { continue };
            match entry.next {
                // The wall clock goes a little slower than the other.
                Some(next) if next.due > now.wall => self.wait(&name, now),
                Some(next) => self.fall_due(&name, next, now),
                None => {}
            }
        }
    }

    /// A start has ended, with all that came of it.
    pub fn handle_end(&mut self, name: &str, now: Moment) {
        self.look_at_clocks(now);
        let Some(entry) = self.entries.get_mut(name) else { return };
        entry.under_way = false;
        let (queued, name) = (std::mem::take(&mut entry.queued), Arc::clone(&entry.check.name));
        if queued {
            self.start(&name, now.instant, Why::Queued, now);
        }
    }

    /// A check starts now, whatever its times are: to tell who is hit, or to see it once.
    ///
    /// # Errors
    /// Why it does not.
    pub fn begin(&mut self, name: &str, now: Moment) -> Result<(), WhyNot> {
        if let Some(why) = self.hindrance(name, now) {
            return Err(why);
        }
        if let Some(entry) = self.entries.get_mut(name) {
            entry.under_way = true;
        }
        Ok(())
    }

    /// Whether a check that is under way may be tried again: it is within the day's budget, which is spent, and neither a
    /// maintenance nor the far side forbids it.
    pub fn may_repeat(&mut self, name: &str, now: Moment) -> bool {
        self.not_wanted(name, now).is_none() && self.spend(name, now)
    }

    /// Nothing of this check starts before then: the far side wants no calls.
    pub fn pause(&mut self, name: &str, until: Instant) {
        if let Some(entry) = self.entries.get_mut(name) {
            entry.paused = entry.paused.max(Some(until));
        }
    }

    /// Whether a call of a check is within the day's budget; where it is, it is spent.
    fn spend(&mut self, name: &str, now: Moment) -> bool {
        self.spent.turn_to(self.zone.to_datetime(now.wall).date());
        let Some(Entry { check, .. }) = self.entries.get(name) else { return false };
        let is_left =
            |spent: Option<&u32>, most: Option<u32>| most.is_none_or(|most| spent.copied().unwrap_or(0) < most);
        let numbers = check.numbers.iter().all(|number| is_left(self.spent.numbers.get(&**number), check.per_number));
        if !numbers || !is_left(self.spent.checks.get(name), check.per_day) {
            return false;
        }
        *self.spent.checks.entry(name.to_owned()).or_default() += 1;
        for number in &check.numbers {
            *self.spent.numbers.entry(number.to_string()).or_default() += 1;
        }
        true
    }

    /// The next thing that it has to say.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next, at the latest.
    pub fn poll_timeout(&self) -> Instant {
        let look = self.last.instant + LOOK_EVERY;
        self.heap.peek().map_or(look, |Reverse((at, ..))| look.min(*at))
    }

    /// When each check starts next, by its name.
    pub fn upcoming(&self) -> impl Iterator<Item = (&str, Timestamp)> {
        self.entries.iter().filter_map(|(name, entry)| Some((&**name, entry.next?.due)))
    }

    /// Where it stands, for the next start of the process.
    pub fn position(&self) -> Position {
        let over = |(name, entry): (&Arc<str>, &Entry)| (name.to_string(), entry.over);
        Position { over: self.entries.iter().map(over).collect(), spent: self.spent.clone() }
    }

    fn add(&mut self, check: Check, over: Option<Timestamp>, now: Moment) {
        let name = Arc::clone(&check.name);
        // A future one is that of a clock that was set back since.
        let over = over.unwrap_or(now.wall).min(now.wall);
        let (next, generation) = (None, 0);
        let entry = Entry { check, over, next, generation, under_way: false, queued: false, paused: None };
        self.entries.insert(Arc::clone(&name), entry);
        self.plan_after(&name, over, now);
    }

    /// Plans the next start. What was due since `over` was missed.
    fn plan_after(&mut self, name: &Arc<str>, over: Timestamp, now: Moment) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        entry.over = now.wall;
        let missed = entry.check.count_due((over, now.wall), &self.zone);
        let catches_up = missed > 0 && entry.check.catch_up == CatchUp::One;
        let next = if catches_up {
            Some(Next { due: plus(now.wall, signed(entry.check.wait_to_catch_up())), catches_up })
        } else {
            let due = entry.check.next_due(now.wall, &self.zone);
            due.map(|due| Next { due, catches_up })
        };
        let starts = missed - u64::from(catches_up);
        if starts > 0 {
            self.events.push_back(Event::NotStarted { check: Arc::clone(name), starts, why: WhyNot::Missed });
        }
        self.plan(name, next, now);
    }

    fn plan(&mut self, name: &Arc<str>, next: Option<Next>, now: Moment) {
        if let Some(entry) = self.entries.get_mut(name) {
            self.generation += 1;
            (entry.next, entry.generation) = (next, self.generation);
            self.wait(name, now);
        }
    }

    fn wait(&mut self, name: &Arc<str>, now: Moment) {
        let Some(Entry { next: Some(next), generation, .. }) = self.entries.get(name) else { return };
        let ahead = Duration::try_from(next.due.duration_since(now.wall)).unwrap_or_default();
        // Far ahead both clocks may have parted a little by then: it is looked at again on the way.
        let at = now.instant + ahead.min(Duration::from_secs(3600));
        self.heap.push(Reverse((at, *generation, Arc::clone(name))));
    }

    fn fall_due(&mut self, name: &Arc<str>, next: Next, now: Moment) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        let late = now.wall.duration_since(next.due);
        if !next.catches_up && late > signed(entry.check.grace()) {
            let over = entry.over.min(plus(next.due, SignedDuration::from_nanos(-1)));
            return self.plan_after(name, over, now);
        }
        // Of several that are due by now, this one stands for all: they are too near to each other.
        entry.over = now.wall;
        let due = entry.check.next_due(now.wall, &self.zone);
        let ago = Duration::try_from(late).unwrap_or_default();
        let (intended, why) = match next.catches_up {
            true => (now.instant, Why::CaughtUp),
            false => (now.instant.checked_sub(ago).unwrap_or(now.instant), Why::Due),
        };
        self.plan(name, due.map(|due| Next { due, catches_up: false }), now);
        self.start(name, intended, why, now);
    }

    fn start(&mut self, name: &Arc<str>, intended: Instant, why: Why, now: Moment) {
        let begun = self.begin(name, now);
        let Some(entry) = self.entries.get_mut(name) else { return };
        let check = Arc::clone(name);
        match begun {
            Ok(()) => self.events.push_back(Event::Start { check, intended, why }),
            Err(WhyNot::UnderWay) if entry.check.overlap == Overlap::QueueOne && !entry.queued => entry.queued = true,
            Err(why) => self.events.push_back(Event::NotStarted { check, starts: 1, why }),
        }
    }

    /// What keeps a check from starting; where nothing does, its call is spent.
    fn hindrance(&mut self, name: &str, now: Moment) -> Option<WhyNot> {
        if let Some(why) = self.not_wanted(name, now) {
            return Some(why);
        }
        if self.entries.get(name).is_some_and(|entry| entry.under_way) {
            return Some(WhyNot::UnderWay);
        }
        (!self.spend(name, now)).then_some(WhyNot::Budget)
    }

    /// Whether somebody wants no calls now.
    fn not_wanted(&self, name: &str, now: Moment) -> Option<WhyNot> {
        let entry = self.entries.get(name)?;
        let maintenance = entry.check.maintenance.iter().find(|it| it.covers(now.wall, &self.zone));
        let paused = entry.paused.is_some_and(|until| now.instant < until);
        let reason = maintenance.map(|maintenance| WhyNot::Maintenance(maintenance.reason.clone()));
        reason.or_else(|| paused.then_some(WhyNot::Paused))
    }

    /// Notices a wall clock that was set, and plans everything anew by it.
    fn look_at_clocks(&mut self, now: Moment) {
        let passed = now.instant.saturating_duration_since(self.last.instant);
        let expected = plus(self.last.wall, signed(passed));
        self.last = now;
        let step = now.wall.duration_since(expected);
        if step.abs() < STEP {
            return;
        }
        self.events.push_back(Event::Stepped(step));
        self.heap.clear();
        let mut names: Vec<Arc<str>> = self.entries.keys().cloned().collect();
        names.sort_unstable();
        for name in names {
            // A stretch of time has not passed because a clock says so; minutes of civil time have.
            let minutes = matches!(self.entries[&name].check.cadence, Cadence::Cron(_));
            let waits_to_catch_up = self.entries[&name].next.is_some_and(|next| next.catches_up);
            if waits_to_catch_up {
                let due = plus(now.wall, signed(self.entries[&name].check.wait_to_catch_up()));
                self.plan(&name, Some(Next { due, catches_up: true }), now);
            } else {
                self.plan_after(&name, if minutes { expected.min(now.wall) } else { now.wall }, now);
            }
        }
    }
}

/// So much later; the same moment at the end of time.
fn plus(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(at)
}

/// A length of time; the longest there is where it is longer.
fn signed(length: Duration) -> SignedDuration {
    SignedDuration::try_from(length).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests;
