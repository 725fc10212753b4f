//! Faults made into incidents: one for each place and time, whatever families fail there.

use rustc_hash::FxHashSet;
use serde::{Deserialize, Serialize};

use super::evidence::{Failure, agent_of};
use super::fault::Fault;
use super::values::{Ids, NONE};
use super::{Judge, Output, STALE, State, ms};
use crate::incident::family::{Family, Symptom};
use crate::incident::labels::{LABELS, Label, Scope};
use crate::incident::snapshot::{Call, Change, Incident, MOST_CODES, Place, Undecided};
use crate::record::Finding;

/// Most ended incidents that may come back.
const MOST_ENDED: usize = 256;
/// A class takes over when it is so many times as frequent, and at least so often.
const TAKES_OVER: (u64, u64) = (2, 5);
/// The share of calls that fail when a line is down.
const DOWN: f64 = 0.9;

/// An incident that is open, and what it is made from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Tracked {
    pub(super) number: u64,
    pub(super) shown: Incident,
    /// The labels that all its failures share.
    pub(super) shared: Ids,
    /// Failures of several units were counted.
    several_units: bool,
    /// When it was opened, ms.
    opened: u64,
}

/// An incident that was closed lately.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Ended {
    pub(super) tracked: Tracked,
    pub(super) fault: Fault,
    pub(super) id: u32,
    pub(super) at: u64,
}

impl Tracked {
    fn new(number: u64, first: &Failure, now: u64) -> Self {
        let call = call(first);
        let stamp = first.stamp.strftime("%Y%m%dT%H%M%SZ");
        let shown = Incident {
            id: format!("inc-{stamp}-{number}"),
            scope: Scope::Undetermined,
            value: String::new(),
            candidates: Vec::new(),
            undecided: None,
            symptom: first.symptom,
            finding: None,
            severity: first.family.severity(),
            widespread: false,
            unit: first.unit.clone(),
            since: first.stamp,
            opened_at: first.stamp,
            updated_at: first.stamp,
            closed_at: None,
            failures: 0,
            tested: 0,
            agents_failing: 0,
            agents_tested: 0,
            reproduced: None,
            confidence: 0.0,
            codes: Vec::new(),
            symptoms: Vec::new(),
            shared: Vec::new(),
            first_call: call.clone(),
            last_call: call,
            reopened: 0,
            merged_into: None,
            split_from: None,
        };
        Self { number, shown, shared: first.ids, several_units: false, opened: now }
    }

    /// One more failed call.
    pub(super) fn count(&mut self, failure: &Failure) {
        let shown = &mut self.shown;
        shown.failures += 1;
        shown.tested += 1;
        shown.last_call = call(failure);
        match shown.symptoms.iter_mut().find(|(symptom, _)| *symptom == failure.symptom) {
            Some((_, count)) => *count += 1,
            None => shown.symptoms.push((failure.symptom, 1)),
        }
        shown.symptoms.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        if let Some(code) = failure.code {
            let at = shown.codes.iter().position(|(known, _)| *known == code);
            if let Some(at) = at {
                shown.codes[at].1 += 1;
            } else if shown.codes.len() < MOST_CODES {
                shown.codes.push((code, 1));
            }
        }
        if shown.unit != failure.unit {
            (self.several_units, shown.unit) = (true, None);
        }
        for (shared, id) in self.shared.iter_mut().zip(failure.ids) {
            if *shared != id {
                *shared = NONE;
            }
        }
    }
}

fn call(failure: &Failure) -> Call {
    Call { call_id: failure.call_id.clone(), sip_call_id: failure.sip_call_id.clone(), at: failure.stamp }
}

impl Judge {
    /// A fault is known from now on; it takes the place of those that it absorbs.
    pub(super) fn believe(&mut self, now: u64, mut fault: Fault, absorbed: &[usize]) {
        if let Some(first) = absorbed.first() {
            let numbers: Vec<u64> = absorbed.iter().map(|at| self.state.faults[*at].incident).collect();
            let (label, onset) = (self.state.faults[*first].label, self.state.faults[*first].onset);
            (fault.incident, fault.onset) = (numbers[0], fault.onset.min(onset));
            let change = if fault.label >= label { Change::Widened } else { Change::Narrowed };
            let mut at = 0;
            self.state.faults.retain(|_| {
                at += 1;
                !absorbed.contains(&(at - 1))
            });
            self.adopt(fault);
            self.changed(numbers[0], change, now);
            for number in &numbers[1..] {
                self.merge_if_empty(*number, numbers[0]);
            }
            return;
        }
        if let Some(number) = self.same_place(&fault) {
            // Another family fails at the same place: one incident, told of only if that is worse.
            let worse = self.tracked(number).is_some_and(|it| fault.family.severity() > it.shown.severity);
            fault.incident = number;
            self.adopt(fault);
            if worse {
                self.changed(number, Change::Worsened, now);
            } else {
                self.refresh(number, now);
            }
            return;
        }
        let number = self.reopened(&fault).unwrap_or(self.state.next_incident);
        fault.incident = number;
        if number == self.state.next_incident {
            self.begin(&fault, now);
        }
        self.adopt(fault);
        self.changed(number, Change::Opened, now);
    }

    /// A new incident, with the first failure of its fault.
    fn begin(&mut self, fault: &Fault, now: u64) {
        let first = self.state.log.failures.iter().find(|failure| !failure.done && fault.explains(failure));
        let Some(first) = first else { return };
        let tracked = Tracked::new(fault.incident, first, now);
        self.state.incidents.push(tracked);
        self.state.next_incident += 1;
    }

    /// Puts a fault in that was not known.
    fn adopt(&mut self, mut fault: Fault) {
        let others = self.state.log.failures.iter().filter(|failure| failure.explained && !failure.done);
        let again = others.filter(|failure| failure.again && fault.explains(failure));
        fault.failed_again += again.count() as u32;
        self.put_in(fault);
    }

    /// Puts a fault in, and counts the failures that it explains and that no incident had.
    fn put_in(&mut self, mut fault: Fault) {
        let State { log, incidents, faults, .. } = &mut self.state;
        let mut tracked = incidents.iter_mut().find(|tracked| tracked.number == fault.incident);
        let new = |failure: &&mut Failure| !failure.done && !failure.explained && fault.explains(failure);
        let mut again = 0;
        for failure in log.failures.iter_mut().filter(new) {
            failure.explained = true;
            again += u32::from(failure.again);
            if let Some(tracked) = &mut tracked {
                tracked.count(failure);
            }
        }
        fault.failed_again += again;
        faults.push(fault);
    }

    /// A fault that was over is not, and has the failures since.
    pub(super) fn come_back(&mut self, id: u32, family: Family) {
        if let Some(at) = self.state.faults.iter().position(|fault| fault.id == id && fault.family == family) {
            let mut fault = self.state.faults.remove(at);
            fault.come_back();
            self.put_in(fault);
        }
    }

    fn tracked(&self, number: u64) -> Option<&Tracked> {
        self.state.incidents.iter().find(|tracked| tracked.number == number)
    }

    /// The incident of another family at the same place, begun at about the same time.
    fn same_place(&self, fault: &Fault) -> Option<u64> {
        let near = 2 * ms(self.config.window);
        let same = |other: &&Fault| {
            other.id == fault.id && other.family != fault.family && other.onset.abs_diff(fault.onset) <= near
        };
        self.state.faults.iter().find(same).map(|other| other.incident)
    }

    /// The incident that the fault was before, if that ended lately: it is open again.
    fn reopened(&mut self, fault: &Fault) -> Option<u64> {
        let same = |ended: &Ended| ended.id == fault.id && ended.fault.family == fault.family;
        let at = self.state.ended.iter().rposition(same)?;
        let mut tracked = self.state.ended.remove(at)?.tracked;
        tracked.shown.reopened += 1;
        tracked.shown.closed_at = None;
        let number = tracked.number;
        self.state.incidents.push(tracked);
        Some(number)
    }

    /// Another scope for a known fault: the part that explains most keeps its incident, further ones are split from it.
    pub(super) fn replace(&mut self, now: u64, at: usize, parts: Vec<Fault>) {
        let old = self.state.faults.remove(at);
        let wider = |part: &Fault| part.label > old.label;
        let mut kept = false;
        for mut part in parts {
            if kept {
                part.incident = self.state.next_incident;
                self.begin(&part, now);
                let from = self.tracked(old.incident).map(|tracked| tracked.shown.id.clone());
                if let Some(tracked) = self.state.incidents.iter_mut().find(|it| it.number == part.incident) {
                    tracked.shown.split_from = from;
                }
                let number = part.incident;
                self.adopt(part);
                self.changed(number, Change::Split, now);
            } else {
                kept = true;
                let change = if wider(&part) { Change::Widened } else { Change::Narrowed };
                (part.incident, part.onset) = (old.incident, old.onset);
                (part.failed_again, part.passed_again) = (old.failed_again, old.passed_again);
                self.state.faults.push(part);
                self.changed(old.incident, change, now);
            }
        }
    }

    /// Ends an incident that has no fault left as part of another one.
    fn merge_if_empty(&mut self, number: u64, into: u64) {
        if self.state.faults.iter().any(|fault| fault.incident == number) {
            return;
        }
        let name = self.tracked(into).map(|tracked| tracked.shown.id.clone());
        if let Some(mut tracked) = self.take(number) {
            tracked.shown.merged_into = name;
            self.out.push_back(Output::Changed(Change::Merged, Box::new(tracked.shown)));
        }
    }

    /// Takes an incident out of those that are open.
    fn take(&mut self, number: u64) -> Option<Tracked> {
        let at = self.state.incidents.iter().position(|tracked| tracked.number == number)?;
        let mut tracked = self.state.incidents.remove(at);
        tracked.shown.closed_at = Some(self.state.stamp);
        tracked.shown.updated_at = self.state.stamp;
        Some(tracked)
    }

    /// When a fault whose calls pass again is closed, or one that has no results any more.
    pub(super) fn closes_at(&self, fault: &Fault) -> u64 {
        let times = self.tracked(fault.incident).map_or(1, |tracked| 1 + tracked.shown.reopened.min(3));
        let stale = fault.last + STALE;
        fault.over.map_or(stale, |over| stale.min(over + ms(self.config.hold) * u64::from(times)))
    }

    pub(super) fn close_those_that_are_over(&mut self, now: u64) {
        while let Some(at) = self.state.faults.iter().position(|fault| self.closes_at(fault) <= now) {
            let fault = self.state.faults.remove(at);
            for failure in self.state.log.failures.iter_mut().filter(|failure| fault.explains(failure)) {
                failure.done = true;
            }
            let number = fault.incident;
            if self.state.faults.iter().any(|fault| fault.incident == number) {
                self.refresh(number, now);
                continue;
            }
            if let Some(tracked) = self.take(number) {
                self.out.push_back(Output::Changed(Change::Closed, Box::new(tracked.shown.clone())));
                self.state.ended.push_back(Ended { tracked, id: fault.id, fault, at: now });
                if self.state.ended.len() > MOST_ENDED {
                    self.state.ended.pop_front();
                }
            }
        }
    }

    /// Says that an incident has changed.
    pub(super) fn changed(&mut self, number: u64, change: Change, now: u64) {
        self.refresh(number, now);
        let stamp = self.state.stamp;
        let family = self.main(number).map(|fault| fault.family);
        if let Some(tracked) = self.state.incidents.iter_mut().find(|tracked| tracked.number == number) {
            let shown = &mut tracked.shown;
            let most = shown.symptoms.iter().find(|(symptom, _)| Some(symptom.family()) == family);
            shown.symptom = most.map_or(shown.symptom, |(symptom, _)| *symptom);
            tracked.shown.updated_at = stamp;
            if change == Change::Opened || change == Change::Split {
                tracked.shown.opened_at = stamp;
            }
            self.out.push_back(Output::Changed(change, Box::new(tracked.shown.clone())));
        }
    }

    /// Incidents whose calls fail in another class than they did.
    pub(super) fn show_other_classes(&mut self, now: u64) {
        for number in self.state.incidents.iter().map(|tracked| tracked.number).collect::<Vec<_>>() {
            let Some(fault) = self.main(number) else { continue };
            let Some(tracked) = self.tracked(number) else { continue };
            let shown = &tracked.shown;
            let count = |symptom: Symptom| shown.symptoms.iter().find(|it| it.0 == symptom).map_or(0, |it| it.1);
            let most = shown.symptoms.iter().find(|(symptom, _)| symptom.family() == fault.family);
            let Some((symptom, times)) = most.copied() else { continue };
            if symptom != shown.symptom && times >= TAKES_OVER.1 && times >= TAKES_OVER.0 * count(shown.symptom) {
                self.changed(number, Change::Reclassified, now);
            }
        }
    }

    /// The worst fault of an incident, the first of them.
    fn main(&self, number: u64) -> Option<&Fault> {
        let own = self.state.faults.iter().filter(|fault| fault.incident == number);
        own.max_by_key(|fault| (fault.family.severity(), std::cmp::Reverse(fault.onset)))
    }

    /// Brings what is shown of an incident up to date.
    pub(super) fn refresh(&mut self, number: u64, now: u64) {
        let Some(fault) = self.main(number) else { return };
        let (failing, tested) = self.agents(fault, now);
        let (scope, value, candidates, undecided) = self.name(fault);
        let again = self.state.faults.iter().filter(|fault| fault.incident == number);
        let (failed_again, passed_again) =
            again.fold((0, 0), |sum, fault| (sum.0 + fault.failed_again, sum.1 + fault.passed_again));
        let (family, q, confidence) = (fault.family, fault.q, fault.confidence);
        let share = f64::from(failing) / f64::from(tested.max(1));
        let enough = failing >= self.config.widespread_agents.max(2) && share >= self.config.widespread_share;
        let widespread = enough && scope != Scope::SingleAgent;
        let down = match scope {
            Scope::Trunk => Some(Finding::LineDown),
            Scope::Gateway => Some(Finding::GatewayDown),
            _ => None,
        };
        let Some(at) = self.state.incidents.iter().position(|tracked| tracked.number == number) else { return };
        let shared = self.shared(&self.state.incidents[at].shared);
        let shown = &mut self.state.incidents[at].shown;
        // The window forgets how far one reached that is nearly over: it is shown as it was.
        let was = shown.widespread && (shown.scope, &shown.value) == (scope, &value);
        (shown.scope, shown.value, shown.candidates, shown.undecided) = (scope, value, candidates, undecided);
        shown.severity = family.severity();
        shown.finding = down.filter(|_| family == Family::Line && q >= DOWN);
        if widespread || !was {
            (shown.agents_failing, shown.agents_tested, shown.widespread) = (failing, tested, widespread);
        }
        shown.reproduced = (failed_again + passed_again > 0).then_some(failed_again > 0);
        shown.confidence = confidence;
        shown.shared = shared;
    }

    /// Distinct agents that failed of a fault, and that were tested on it, in the window.
    fn agents(&self, fault: &Fault, now: u64) -> (u32, u32) {
        let since = fault.onset.max(now.saturating_sub(ms(self.config.window)));
        let (mut failing, mut tested) = (FxHashSet::default(), FxHashSet::default());
        for seen in self.state.log.seen_since(since).filter(|seen| fault.covers(&seen.ids)) {
            let agent = agent_of(&seen.ids);
            if agent == NONE {
                continue;
            }
            if seen.failed(fault.family) {
                failing.insert(agent);
                tested.insert(agent);
            } else if seen.began >= since && seen.passed(fault.family) {
                tested.insert(agent);
            }
        }
        (failing.len() as u32, tested.len() as u32)
    }

    /// What the scope of a fault is called, with its candidates where several values come with the very same calls.
    fn name(&self, fault: &Fault) -> (Scope, String, Vec<Place>, Option<Undecided>) {
        let place = |id: u32, site: Scope| {
            let value = self.state.values.of(id);
            let scope = if value.label == Label::Site { site } else { Scope::of(value.label) };
            Place { scope, value: value.name.clone() }
        };
        let site = if fault.everything { Scope::ProbeSite } else { Scope::Site };
        if fault.family == Family::Probe {
            let own = place(fault.id, Scope::ProbeSite);
            return (own.scope, own.value, Vec::new(), None);
        }
        if let Some((why, ids)) = &fault.undecided {
            let places: Vec<Place> = ids.iter().map(|id| place(*id, site)).collect();
            return (Scope::Undetermined, joined(&places), places, Some(*why));
        }
        let twins = self.state.values.twins(fault.id);
        let labels: Vec<Label> = twins.iter().map(|id| self.state.values.of(*id).label).collect();
        let has = |label: Label| labels.contains(&label);
        let counts = |label: Label| match label {
            // An agent is its account and a service number its number, until one is seen without the other.
            Label::Account => !has(Label::Agent),
            Label::Destination => !has(Label::Hotline),
            _ if !has(Label::Platform) => true,
            // What every call carries is the platform; only our own site and a single agent are something else.
            label => matches!(label, Label::Agent | Label::Site | Label::Platform),
        };
        let site = if has(Label::Platform) { Scope::ProbeSite } else { site };
        let ids = twins.iter().zip(&labels).filter(|(_, label)| counts(**label));
        let places: Vec<Place> = ids.map(|(id, _)| place(*id, site)).collect();
        match <[Place; 1]>::try_from(places) {
            Ok([only]) => (only.scope, only.value, Vec::new(), None),
            Err(places) => {
                let alone = has(Label::Platform) && has(Label::Agent);
                let why = if alone { Undecided::NoControl } else { Undecided::SameCalls };
                (Scope::Undetermined, joined(&places), places, Some(why))
            }
        }
    }

    fn shared(&self, ids: &[u32; LABELS]) -> Vec<String> {
        let shared = ids.iter().filter(|id| **id != NONE).map(|id| self.state.values.of(*id));
        shared.map(|value| format!("{}={}", Scope::of(value.label), value.name)).collect()
    }
}

fn joined(places: &[Place]) -> String {
    places.iter().map(|place| place.value.as_str()).collect::<Vec<_>>().join(" or ")
}
