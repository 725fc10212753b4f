//! What a watch shows: kept up to date result by result, made into a [`View`] when one is asked for. No clock, no files.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rustc_hash::FxHashMap;

use super::job::{Outcome, Purpose, is_ours};
use super::sheets::Sheets;
use crate::incident::{self, Change, Sheet};
use crate::record::Retry;
use crate::scenario::watch::{Check, Labels, Watch};
use crate::serve::view::{Failure, Hour, Incident, Last, LeftOut, Line, LineState, Sink, Status, Trouble, View};
use crate::units::masked;

/// Failed calls that are shown.
const FAILURES: usize = 100;
/// Incidents that are over and still shown.
const OVER: usize = 20;
/// Our own machine is no trouble any more once it kept up for so long.
const MACHINE_RESTS: SignedDuration = SignedDuration::from_secs(120);
/// An hour is counted in stretches of so many seconds.
const STRETCH: i64 = 300;
/// And in so many of them.
const STRETCHES: i64 = 12;

/// What is wrong with the watch itself; of each kind there is one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TroubleOf {
    /// The files of the watch cannot be written.
    Disk,
    /// What is known of incidents cannot be written.
    Memory,
    /// Somebody who is to be told takes no messages.
    Alerts,
    /// Its file was changed and could not be read again.
    File,
    /// It fell behind itself, and calls say nothing of their lines.
    Machine,
    /// Where servers are cannot be asked.
    Names,
    /// What places the calls is not heard of.
    Worker,
}

/// What readers see.
#[derive(Debug)]
pub(super) struct Shown {
    status: Status,
    order: Vec<Arc<str>>,
    lines: FxHashMap<Arc<str>, OfLine>,
    failures: VecDeque<Arc<Failure>>,
    incidents: Vec<OfIncident>,
    troubles: BTreeMap<TroubleOf, Trouble>,
    zone: TimeZone,
    /// When our own machine was the limit last.
    machine: Option<Timestamp>,
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
    /// What has happened to it last.
    change: Change,
}

/// Calls of the last hour: in each stretch how many were made and how many held.
#[derive(Clone, Debug, Default)]
struct Stretches(VecDeque<(i64, u64, u64)>);

impl Stretches {
    fn add(&mut self, at: Timestamp, passed: bool) {
        let stretch = self.turn_to(at);
        match self.0.back_mut() {
            Some((last, tested, held)) if *last == stretch => {
                *tested += 1;
                *held += u64::from(passed);
            }
            _ => self.0.push_back((stretch, 1, u64::from(passed))),
        }
    }

    /// Forgets what is older than an hour, and gives the stretch that it is now.
    fn turn_to(&mut self, now: Timestamp) -> i64 {
        let stretch = now.as_second().div_euclid(STRETCH);
        // A clock that was set back must not keep calls until it is as late again: they were before what comes now.
        let ahead = self.0.back().map_or(0, |(last, ..)| *last - stretch);
        if ahead > 0 {
            self.0.iter_mut().for_each(|(of, ..)| *of -= ahead + 1);
        }
        while self.0.front().is_some_and(|(of, ..)| *of <= stretch - STRETCHES) {
            self.0.pop_front();
        }
        stretch
    }

    fn hour(&mut self, now: Timestamp) -> Hour {
        self.turn_to(now);
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
            incidents: Vec::new(),
            troubles: BTreeMap::new(),
            zone,
            machine: None,
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
            for line in check.lines() {
                let name = Arc::clone(&line.recurring.name);
                let fresh = new_line(check, &name, line.account);
                let known = before
                    .remove(&name)
                    .map(|OfLine { line: old, hour }| OfLine { line: kept(old, fresh.clone()), hour });
                self.order.push(Arc::clone(&name));
                self.lines.insert(name, known.unwrap_or_else(|| OfLine { line: fresh, hour: Stretches::default() }));
            }
        }
    }

    /// A call of a line is over, with all that came of it.
    pub(super) fn concluded(&mut self, line: &str, outcomes: &[Outcome]) {
        let own = outcomes.iter().find(|outcome| outcome.purpose != Purpose::Reproduction);
        let Some((of, own)) = self.lines.get_mut(line).zip(own) else { return };
        let record = &own.finished.record;
        let failed = record.is_failed();
        if failed && is_ours(record.class) {
            let why = format!("the call says nothing of the line: {}", record.class.name());
            of.line.left_out = Some(LeftOut { at: record.ended_at, why });
            let what = format!("our own machine was the limit ({}): {}", record.class.name(), record.class.meaning());
            self.machine = Some(record.ended_at);
            self.trouble(TroubleOf::Machine, Some(&what), record.ended_at);
            return;
        }
        let state = match (failed, record.retry) {
            (false, _) => LineState::Ok,
            (true, Retry::Transient) => LineState::Interrupted,
            (true, _) => LineState::Failing,
        };
        // What is asked for where calls fail would make their share look worse than it is.
        if !matches!(own.purpose, Purpose::Answer(_)) {
            of.hour.add(record.ended_at, !failed);
        }
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

    /// A result is kept; one that failed is shown. What repeats a failure at once is none of its own.
    pub(super) fn kept(&mut self, outcome: &Outcome) {
        let record = &outcome.finished.record;
        if !record.is_failed() || outcome.purpose == Purpose::Reproduction {
            return;
        }
        let names: Vec<&str> = outcome.files.iter().flatten().map(|file| file.name).collect();
        let repeats = matches!(outcome.purpose, Purpose::Answer(_));
        self.failures.push_front(Arc::new(Failure { repeats, ..Failure::of(record, &names) }));
        self.failures.truncate(FAILURES);
    }

    /// Lines whose last call failed.
    pub(super) fn failing(&self) -> u64 {
        self.lines.values().filter(|of| of.line.state == LineState::Failing).count() as u64
    }

    /// A start of a line was not made.
    pub(super) fn left_out(&mut self, line: &str, at: Timestamp, why: &str) {
        if let Some(of) = self.lines.get_mut(line) {
            of.line.left_out = Some(LeftOut { at, why: why.to_owned() });
        }
    }

    /// An incident has changed; `sheet` is what is known of it.
    pub(super) fn incident(&mut self, change: Change, incident: &incident::Incident, sheet: Sheet) {
        let place = self.incidents.iter().position(|of| of.incident.id == incident.id);
        let of = OfIncident { incident: Arc::new(Incident::of(change, incident, sheet)), change };
        match place {
            Some(place) => self.incidents[place] = of,
            None => self.incidents.insert(0, of),
        }
        let mut over = 0;
        self.incidents.retain(|of| {
            over += usize::from(!of.incident.open);
            of.incident.open || over <= OVER
        });
    }

    /// These are open, with what is counted of them now.
    pub(super) fn open_incidents<'a>(
        &mut self,
        open: impl Iterator<Item = &'a incident::Incident>,
        sheets: &mut Sheets,
    ) {
        for now in open {
            let known = self.incidents.iter().find(|of| of.incident.id == now.id);
            let counts = |of: &OfIncident| (of.incident.failures, of.incident.tested, of.incident.updated_at);
            if known.map(counts) != Some((now.failures, now.tested, now.updated_at)) {
                let change = known.map_or(Change::Opened, |of| of.change);
                self.incident(change, now, sheets.of(now));
            }
        }
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
        // A clock that was set back must not keep it until it is as late again.
        self.machine = self.machine.map(|last| last.min(now));
        if self.machine.is_some_and(|last| now.duration_since(last) > MACHINE_RESTS) {
            self.machine = None;
            self.troubles.remove(&TroubleOf::Machine);
        }
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
    Line {
        name,
        check: check.name.clone(),
        target,
        agent: user,
        unit,
        hotline,
        trunk,
        carrier,
        gateway,
        ..Line::default()
    }
}

/// What is known of a line, under what the file says of it now.
fn kept(old: Line, fresh: Line) -> Line {
    let Line { state, since, last, left_out, .. } = old;
    Line { state, since, last, left_out, ..fresh }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::call::Finished;
    use crate::incident::sample_incident;
    use crate::record::{CallRecord, Class};
    use crate::scenario::compile::{self, Input};

    fn watch(mask: bool, rest: &str) -> Watch {
        let call =
            "scenario: call\ntarget: pbx.yaml\ncaller: { account: agents, steps: [{ dial: { number: echo } }] }\n";
        let target = format!(
            "target: pbx\ncompany: {{ name: Example Ltd }}\nsip: {{ server: \"sip:127.0.0.1:5060\" }}\nmask_numbers: {mask}\n\
             accounts: {{ agents: {{ users: \"1001..1003\", password: \"${{X}}\" }} }}\nnumbers: {{ echo: \"2000\" }}\n\
             safety: {{ allow: [\"^[0-9]{{4,}}$\"], emergency: TW }}\n"
        );
        let text = format!("watch: w\nchecks: [{{ scenario: call.yaml, every: 60s, agents: each{rest} }}]\n");
        let input = Input {
            path: Path::new("w.yaml"),
            text: &text,
            target: None,
            set: &[],
            env: &|_| Some("x".to_owned()),
            read: &|path| Ok(if path.ends_with("call.yaml") { call.to_owned() } else { target.clone() }),
        };
        compile::watch(&input).unwrap_or_else(|mistakes| panic!("{mistakes}"))
    }

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_774_744_200 + 60 * minute).expect("in range")
    }

    fn outcome(class: Class, retry: Retry, purpose: Purpose, minute: i64) -> Outcome {
        let text = include_str!("../../tests/data/influx/record.json");
        let mut record: CallRecord = serde_json::from_str(text).expect("valid");
        (record.class, record.retry, record.ended_at) = (class, retry, at(minute));
        (record.call_id, record.target) = (format!("c-{minute}"), "pbx".into());
        let files = vec![crate::evidence::File { name: "ladder.txt", bytes: Vec::new() }];
        let finished = Finished { record, registration: None, primary: true, beside: false, owner: 1, answered: true };
        let files = (class != Class::Ok).then_some(files);
        Outcome { finished, files, purpose, tried_again: false }
    }

    fn shown(watch: &Watch) -> Shown {
        let mut shown = Shown::new(watch.zone.clone(), at(0));
        shown.set_watch(watch);
        shown
    }

    fn view(shown: &mut Shown, minute: i64) -> View {
        shown.view(at(minute), [("call/1002", at(minute + 1))].into_iter(), Vec::new())
    }

    #[test]
    fn a_line_is_as_its_last_call_and_an_hour_is_counted() {
        let mut shown = shown(&watch(false, ""));
        let before = view(&mut shown, 0);
        assert_eq!((before.lines.len(), before.status.lines.unknown), (3, 3));
        for minute in 0..90 {
            shown.concluded("call/1002", &[outcome(Class::Ok, Retry::None, Purpose::Scheduled, minute)]);
        }
        let failed = outcome(Class::CallCalleeBusy, Retry::Transient, Purpose::Scheduled, 90);
        let again = outcome(Class::Ok, Retry::None, Purpose::Reproduction, 90);
        shown.concluded("call/1002", &[failed, again]);
        let line = &view(&mut shown, 91).lines[1];
        assert_eq!((line.state, line.since), (LineState::Interrupted, Some(at(90))));
        assert_eq!((line.hour.tested, line.hour.passed), (56, 55), "eleven whole stretches and the one that goes on");
        assert_eq!(line.next_start, Some(at(92)));
        assert_eq!(view(&mut shown, 91 + 70).lines[1].hour, Hour::default());
        shown.concluded("call/1002", &[outcome(Class::Ok, Retry::None, Purpose::Answer(1), 94)]);
        let line = &view(&mut shown, 94).lines[1];
        assert_eq!((line.state, line.hour.tested), (LineState::Ok, 0), "its last call, and none of the hour's share");
        shown.left_out("call/1002", at(95), "maintenance");
        assert!(view(&mut shown, 96).lines[1].left_out.is_some());
        shown.concluded("call/1002", &[outcome(Class::CallForbidden, Retry::Reproduced, Purpose::Scheduled, 97)]);
        let line = &view(&mut shown, 97).lines[1];
        assert_eq!((line.state, line.since, &line.left_out), (LineState::Failing, Some(at(97)), &None));
    }

    #[test]
    fn a_call_that_our_own_machine_spoilt_is_told_as_such_and_leaves_the_line_as_it_was() {
        let mut shown = shown(&watch(false, ""));
        shown.concluded("call/1001", &[outcome(Class::Ok, Retry::None, Purpose::Scheduled, 1)]);
        shown.concluded("call/1001", &[outcome(Class::ProbeStalled, Retry::None, Purpose::Scheduled, 2)]);
        let then = view(&mut shown, 3);
        assert_eq!((then.lines[0].state, then.lines[0].hour.tested), (LineState::Ok, 1));
        let why = then.lines[0].left_out.as_ref().map(|left_out| left_out.why.as_str());
        assert_eq!(why, Some("the call says nothing of the line: probe.stalled"));
        assert!(then.status.troubles[0].what.starts_with("our own machine was the limit (probe.stalled)"));
        assert_eq!(view(&mut shown, 5).status.troubles, [], "it kept up for two minutes");
    }

    #[test]
    fn a_clock_that_is_set_by_an_hour_keeps_no_trouble_of_our_own_machine_and_no_line() {
        for set_by in [-60, 60] {
            let mut shown = shown(&watch(false, ""));
            shown.concluded("call/1001", &[outcome(Class::Ok, Retry::None, Purpose::Scheduled, 100)]);
            shown.concluded("call/1001", &[outcome(Class::ProbeStalled, Retry::None, Purpose::Scheduled, 101)]);
            assert_eq!(view(&mut shown, 101).status.troubles.len(), 1);
            view(&mut shown, 102 + set_by);
            assert_eq!(view(&mut shown, 105 + set_by).status.troubles, [], "it kept up for two minutes: {set_by}");
            shown.concluded("call/1001", &[outcome(Class::Ok, Retry::None, Purpose::Scheduled, 106 + set_by)]);
            let line = &view(&mut shown, 107 + set_by).lines[0];
            assert_eq!((line.state, &line.left_out), (LineState::Ok, &None), "{set_by}");
            assert_eq!((line.hour.success_pct, line.hour.passed), (Some(100.0), line.hour.tested), "{set_by}");
        }
    }

    #[test]
    fn an_hour_is_an_hour_after_the_clock_was_set_back() {
        for set_by in [-10, -60, -600] {
            let mut shown = shown(&watch(false, ""));
            for minute in 0..90 {
                shown.concluded("call/1001", &[outcome(Class::CallForbidden, Retry::None, Purpose::Scheduled, minute)]);
            }
            let mut counted = Vec::new();
            for minute in 90 + set_by..170 + set_by {
                shown.concluded("call/1001", &[outcome(Class::Ok, Retry::None, Purpose::Scheduled, minute)]);
                let hour = view(&mut shown, minute).lines[0].hour;
                counted.push((hour.tested, hour.passed));
            }
            assert!(counted.iter().all(|(tested, _)| (50..=60).contains(tested)), "{set_by}: {counted:?}");
            assert_eq!(counted[79], (60, 60), "{set_by}: nothing is left of before");
        }
    }

    #[test]
    fn an_incident_is_shown_with_what_is_counted_of_it_now() {
        let mut shown = shown(&watch(false, ""));
        let open = sample_incident();
        shown.incident(Change::Widened, &open, Sheet::default());
        let later = incident::Incident { failures: 20, tested: 25, ..open };
        let mut sheets = Sheets::new(Path::new("w"), &watch(false, ""));
        shown.open_incidents([&later].into_iter(), &mut sheets);
        let incident = &view(&mut shown, 1).incidents[0];
        assert_eq!(incident.sheet.company.as_deref(), Some("Example Ltd"), "of the only target there is");
        assert_eq!((incident.failures, incident.tested, incident.change.as_str()), (20, 25, "widened"));
        // One of an earlier process.
        let other = incident::Incident { id: "inc-2".into(), ..later };
        shown.open_incidents([&other].into_iter(), &mut sheets);
        assert_eq!(view(&mut shown, 1).status.incidents_open, 2);
    }

    #[test]
    fn a_line_that_stays_in_the_file_keeps_what_is_known_of_it() {
        let mut shown = shown(&watch(false, ""));
        shown.concluded("call/1001", &[outcome(Class::CallCalleeBusy, Retry::None, Purpose::Scheduled, 1)]);
        shown.set_watch(&watch(false, ", labels: { gateway: gw-9 }"));
        let view = view(&mut shown, 2);
        assert_eq!(view.lines[0].state, LineState::Failing);
        assert_eq!((view.lines[0].hour.tested, view.lines[0].gateway.as_deref()), (1, Some("gw-9")));
    }

    #[test]
    fn failures_are_shown_with_their_evidence_and_what_repeats_them_is_none_of_its_own() {
        let mut shown = shown(&watch(false, ""));
        shown.kept(&outcome(Class::CallCalleeBusy, Retry::Reproduced, Purpose::Reproduction, 1));
        shown.kept(&outcome(Class::Ok, Retry::None, Purpose::Scheduled, 2));
        for minute in 3..FAILURES as i64 + 10 {
            shown.kept(&outcome(Class::CallCalleeBusy, Retry::Reproduced, Purpose::Scheduled, minute));
        }
        shown.kept(&outcome(Class::CallCalleeBusy, Retry::None, Purpose::Answer(1), 200));
        let answer = Arc::clone(&shown.failures[0]);
        assert_eq!((answer.call_id.as_str(), answer.repeats, answer.reproduced), ("c-200", true, None));
        shown.failures.pop_front();
        shown.kept(&outcome(Class::CallCalleeBusy, Retry::Reproduced, Purpose::Scheduled, FAILURES as i64 + 9));
        let view = view(&mut shown, 200);
        assert_eq!(view.failures.len(), FAILURES);
        assert_eq!(view.failures[0].call_id, format!("c-{}", FAILURES + 9));
        assert_eq!(view.failures[0].evidence, [format!("/evidence/c-{}/ladder.txt", FAILURES + 9)]);
        assert_eq!(view.failures[0].reproduced, Some(true));
    }

    #[test]
    fn incidents_that_are_over_make_room_and_open_ones_come_first() {
        let mut shown = shown(&watch(false, ""));
        for n in 0..OVER + 5 {
            let of = incident::Incident { id: format!("over-{n}"), closed_at: Some(at(1)), ..sample_incident() };
            shown.incident(Change::Opened, &incident::Incident { closed_at: None, ..of.clone() }, Sheet::default());
            shown.incident(Change::Closed, &of, Sheet::default());
            if n == 3 {
                shown.incident(Change::Opened, &sample_incident(), Sheet::default());
            }
        }
        let view = view(&mut shown, 1);
        assert_eq!((view.incidents.len(), view.status.incidents_open), (OVER + 1, 1));
        assert_eq!((view.incidents[0].id.as_str(), view.incidents[1].id.as_str()), ("inc-1", "over-24"));
    }

    #[test]
    fn numbers_of_a_target_that_wants_them_hidden_are_on_no_line() {
        let mut shown = shown(&watch(true, ""));
        let names: Vec<String> = view(&mut shown, 0).lines.into_iter().map(|line| line.name).collect();
        assert_eq!(names, ["call/**01 (1)", "call/**02 (2)", "call/**03 (3)"]);
    }

    #[test]
    fn a_trouble_keeps_its_beginning_until_it_is_over() {
        let mut shown = shown(&watch(false, ""));
        shown.trouble(TroubleOf::Disk, Some("full"), at(1));
        shown.trouble(TroubleOf::Disk, Some("still full"), at(2));
        let troubles = view(&mut shown, 3).status.troubles;
        assert_eq!(troubles, [Trouble { what: "still full".into(), since: at(1) }]);
        shown.trouble(TroubleOf::Disk, None, at(4));
        assert_eq!(view(&mut shown, 5).status.troubles, []);
    }
}
