//! What a watch shows: kept up to date result by result, made into a [`View`] when one is asked for. No clock, no files.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rustc_hash::FxHashMap;

use super::job::{Outcome, Purpose};
use crate::incident::{self, About, Change, Numbers, Sheet};
use crate::record::{CallRecord, Retry};
use crate::scenario::watch::{Check, Labels, Watch};
use crate::serve::view::{Failure, Hour, Incident, Last, LeftOut, Line, LineState, Sink, Status, Trouble, View};
use crate::units::masked;

/// Failed calls that are shown.
const FAILURES: usize = 100;
/// Records of failed calls that are kept for the sheets of incidents.
const RECORDS: usize = 500;
/// Incidents that are over and still shown.
const OVER: usize = 20;
/// An hour is counted in stretches of so many seconds.
const STRETCH: i64 = 300;
/// And in so many of them.
const STRETCHES: i64 = 12;

/// What is wrong with the watch itself; of each kind there is one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TroubleOf {
    /// The files of the watch cannot be written.
    Disk,
    /// Its file was changed and could not be read again.
    File,
}

/// What readers see.
#[derive(Debug)]
pub(super) struct Shown {
    status: Status,
    order: Vec<Arc<str>>,
    lines: FxHashMap<Arc<str>, OfLine>,
    failures: VecDeque<Arc<Failure>>,
    records: VecDeque<Arc<CallRecord>>,
    incidents: Vec<OfIncident>,
    troubles: BTreeMap<TroubleOf, Trouble>,
    about: BTreeMap<String, About>,
    zone: TimeZone,
    pub(super) in_progress: u64,
}

#[derive(Debug)]
struct OfLine {
    line: Line,
    hour: Stretches,
}

#[derive(Debug)]
struct OfIncident {
    incident: Arc<Incident>,
    /// The record of one of its calls, as the sheet wants more than the incident knows.
    call: Option<Arc<CallRecord>>,
}

/// Calls of the last hour: in each stretch how many were made and how many held.
#[derive(Clone, Debug, Default)]
struct Stretches(VecDeque<(i64, u64, u64)>);

impl Stretches {
    fn add(&mut self, at: Timestamp, passed: bool) {
        let stretch = at.as_second().div_euclid(STRETCH);
        match self.0.back_mut() {
            // A clock that was set back counts in the stretch that was the last.
            Some((last, tested, held)) if *last >= stretch => {
                *tested += 1;
                *held += u64::from(passed);
            }
            _ => self.0.push_back((stretch, 1, u64::from(passed))),
        }
        self.forget(at);
    }

    fn forget(&mut self, now: Timestamp) {
        let oldest = now.as_second().div_euclid(STRETCH) - STRETCHES;
        while self.0.front().is_some_and(|(stretch, ..)| *stretch <= oldest) {
            self.0.pop_front();
        }
    }

    fn hour(&mut self, now: Timestamp) -> Hour {
        self.forget(now);
        let (tested, passed) = self.0.iter().fold((0, 0), |(tested, passed), of| (tested + of.1, passed + of.2));
        Hour::new(tested, passed)
    }
}

impl Shown {
    /// Nothing is known yet, not even the lines.
    pub(super) fn new(zone: TimeZone, now: Timestamp) -> Self {
        let status = Status { started_at: now, version: env!("CARGO_PKG_VERSION").to_owned(), ..Status::default() };
        Self {
            status,
            order: Vec::new(),
            lines: FxHashMap::default(),
            failures: VecDeque::new(),
            records: VecDeque::new(),
            incidents: Vec::new(),
            troubles: BTreeMap::new(),
            about: BTreeMap::new(),
            zone,
            in_progress: 0,
        }
    }

    /// These are its lines from now on. One that was there before keeps what is known of it.
    pub(super) fn set_watch(&mut self, watch: &Watch) {
        self.status.watch.clone_from(&watch.name);
        self.status.description.clone_from(&watch.description);
        self.status.site.clone_from(&watch.site);
        self.status.time_zone.clone_from(&watch.zone_name);
        self.zone = watch.zone.clone();
        let mut before = std::mem::take(&mut self.lines);
        self.order.clear();
        for check in &watch.checks {
            for actor in &check.plan.actors {
                self.about.insert(actor.target.name.clone(), About::of(&actor.target.labels));
            }
            for line in check.lines() {
                let name = Arc::clone(&line.recurring.name);
                let fresh = new_line(check, &name, line.account);
                let known = before.remove(&name).map(|OfLine { line: old, hour }| OfLine { line: kept(old, fresh.clone()), hour });
                self.order.push(Arc::clone(&name));
                self.lines.insert(name, known.unwrap_or(OfLine { line: fresh, hour: Stretches::default() }));
            }
        }
    }

    /// A call of a line is over, with all that came of it.
    pub(super) fn concluded(&mut self, line: &str, outcomes: &[Outcome]) {
        let own = outcomes.iter().find(|outcome| outcome.purpose != Purpose::Reproduction);
        let Some((of, own)) = self.lines.get_mut(line).zip(own) else { return };
        let record = &own.finished.record;
        let failed = record.is_failed();
        let state = match (failed, record.retry) {
            (false, _) => LineState::Ok,
            (true, Retry::Transient) => LineState::Interrupted,
            (true, _) => LineState::Failing,
        };
        of.hour.add(record.ended_at, !failed);
        let line = &mut of.line;
        if line.state != state || line.since.is_none() {
            (line.state, line.since) = (state, Some(record.ended_at));
        }
        let learn = |known: &mut Option<String>, told: &Option<String>| {
            if told.is_some() {
                known.clone_from(told);
            }
        };
        learn(&mut line.agent, &record.agent);
        learn(&mut line.unit, &record.unit);
        learn(&mut line.hotline, &record.hotline);
        learn(&mut line.trunk, &record.trunk);
        learn(&mut line.carrier, &record.carrier);
        learn(&mut line.gateway, &record.gateway);
        (line.last, line.left_out) = (Some(Arc::new(Last::of(record))), None);
    }

    /// A result is kept; one that failed is shown. What repeats a failure is none of its own.
    pub(super) fn kept(&mut self, outcome: &Outcome) {
        let record = &outcome.finished.record;
        if !record.is_failed() || outcome.purpose == Purpose::Reproduction {
            return;
        }
        let names: Vec<&str> = outcome.files.iter().flatten().map(|file| file.name).collect();
        self.failures.push_front(Arc::new(Failure::of(record, &names)));
        self.failures.truncate(FAILURES);
        self.records.push_front(Arc::new(record.clone()));
        self.records.truncate(RECORDS);
    }

    /// A start of a line was not made.
    pub(super) fn left_out(&mut self, line: &str, at: Timestamp, why: &str) {
        if let Some(of) = self.lines.get_mut(line) {
            of.line.left_out = Some(LeftOut { at, why: why.to_owned() });
        }
    }

    /// An incident has changed.
    pub(super) fn incident(&mut self, change: Change, incident: &incident::Incident) {
        let before = self.incidents.iter().position(|of| of.incident.id == incident.id);
        let before = before.map(|index| self.incidents.remove(index));
        let find = |call_id: &str| self.records.iter().find(|record| record.call_id == call_id).cloned();
        let call = find(&incident.last_call.call_id)
            .or_else(|| before.and_then(|of| of.call))
            .or_else(|| find(&incident.first_call.call_id));
        let about = call.as_ref().and_then(|record| self.about.get(&record.target));
        let about = about.cloned().unwrap_or_default();
        let files = |record: &CallRecord| {
            let of = self.failures.iter().find(|failure| failure.call_id == record.call_id);
            of.map(|failure| failure.evidence.iter().map(|path| path.trim_start_matches('/').to_owned()).collect())
        };
        let evidence = call.as_deref().and_then(files).unwrap_or_default();
        // Where numbers are to be hidden, they are hidden in the record already.
        let sheet = Sheet::of_incident(incident, call.as_deref(), &about, evidence, Numbers::Shown);
        let incident = Arc::new(Incident::of(change, incident, sheet));
        self.incidents.insert(0, OfIncident { incident, call });
        let mut over = 0;
        self.incidents.retain(|of| {
            over += usize::from(!of.incident.open);
            of.incident.open || over <= OVER
        });
    }

    /// Something is wrong with the watch itself, or no longer.
    pub(super) fn trouble(&mut self, of: TroubleOf, what: Option<&str>, now: Timestamp) {
        match what {
            None => {
                self.troubles.remove(&of);
            }
            Some(what) => {
                let since = self.troubles.get(&of).map_or(now, |known| known.since);
                self.troubles.insert(of, Trouble { what: what.to_owned(), since });
            }
        }
    }

    /// All of it, as it is now.
    pub(super) fn view<'a>(
        &mut self,
        now: Timestamp,
        upcoming: impl Iterator<Item = (&'a str, Timestamp)>,
        sinks: Vec<Sink>,
    ) -> View {
        let mut next: FxHashMap<&str, Timestamp> = upcoming.collect();
        let lines = &mut self.lines;
        let shown = self.order.iter().filter_map(|name| {
            let of = lines.get_mut(name)?;
            of.line.hour = of.hour.hour(now);
            of.line.next_start = next.remove(&**name);
            Some(of.line.clone())
        });
        let (open, over): (Vec<_>, Vec<_>) =
            self.incidents.iter().map(|of| Arc::clone(&of.incident)).partition(|incident| incident.open);
        let mut view = View {
            status: Status {
                at: now,
                calls_in_progress: self.in_progress,
                troubles: self.troubles.values().cloned().collect(),
                sinks,
                ..self.status.clone()
            },
            lines: shown.collect(),
            failures: self.failures.iter().cloned().collect(),
            incidents: open.into_iter().chain(over).collect(),
            zone: Some(self.zone.clone()),
        };
        view.count();
        view
    }
}

/// A line of which nothing is known but what the file says.
fn new_line(check: &Check, name: &str, account: Option<usize>) -> Line {
    let Labels { unit, hotline, trunk, carrier, gateway } = check.labels.clone();
    let user = account.and_then(|_| name.strip_prefix(&check.name)).and_then(|rest| rest.strip_prefix('/'));
    let user = user.map(|user| if check.plan.mask_numbers { masked(user) } else { user.to_owned() });
    let name = match (account, &user) {
        // Several numbers end alike.
        (Some(index), Some(user)) if check.plan.mask_numbers => format!("{}/{user} ({})", check.name, index + 1),
        _ => name.to_owned(),
    };
    let target = check.plan.actors.first().map(|actor| actor.target.name.clone()).unwrap_or_default();
    Line { name, check: check.name.clone(), target, agent: user, unit, hotline, trunk, carrier, gateway, ..Line::default() }
}

/// What is known of a line, under what the file says of it now.
fn kept(old: Line, fresh: Line) -> Line {
    let Line { state, since, last, left_out, .. } = old;
    Line { state, since, last, left_out, ..fresh }
}
