//! Looks for faults that explain the failures, and again at the scope of those that are known.

use serde::{Deserialize, Serialize};

use super::evidence::Failure;
use super::explain::{Failed, HALF_A_PRICE, PRICE, Pick, Q_LEAST, Set, Tally, Window, gain, posterior};
use super::fault::Fault;
use super::values::{Ids, NONE, Values};
use super::{Judge, ms};
use crate::incident::family::{FAMILIES, Family};
use crate::incident::labels::{LABELS, Label};
use crate::incident::snapshot::{Change, Undecided};

/// The score (log of posterior odds) from which a fault is believed: 13,000 to 1, as every result is looked at anew.
const BELIEVED: f64 = 9.5;
/// The same for one agent.
const BELIEVED_OF_AN_AGENT: f64 = 7.0;
/// Moments at which an agent must have failed if a repetition failed, and if none did.
const MOMENTS: (usize, usize) = (2, 4);
/// The probability that a scope must have among all explanations.
const SURE: f64 = 0.98;
/// By how much another explanation must be better before a known fault gets another scope: 150 to 1, beside its price.
const RESCOPED: f64 = 5.0;
/// A fault that began so many windows ago at most may be the first sign of a wider one.
const YOUNG: u64 = 2;
/// A known fault is looked at so often in a window.
const LOOKS: u64 = 10;
/// Faults that are known or likely are looked at no more often than this, ms.
const LEAST_BETWEEN_LOOKS: u64 = 100;
/// Its last results, as a share of the window, are asked by themselves: what has changed shows there first.
const LATELY: u64 = 3;
/// So many failures of a value are looked back at, and so many are put into a window.
const LOOK_BACK: usize = 128;
/// The share of a fault's failures that a wider one has to cover.
const NEARLY_ALL: f64 = 0.9;
const MOST_FAILURES: usize = 256;
/// Labels of so many new failures are looked at; a storm has them all in its last ones.
const NEWEST: usize = 32;
/// Explanations that are e^-4 (1 in 50) as likely as the best one are named as candidates.
const CLOSE: f64 = 4.0;
const MOST_CANDIDATES: usize = 3;
/// So many faults are known at the same time at most.
const MOST_FAULTS: usize = 512;

/// A fault that is likely and whose scope is not sure yet.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Pending {
    /// Since when it is likely, ms.
    first: u64,
    /// Its first failure, ms.
    since: u64,
}

/// What is to be said of a pick.
enum Readiness {
    Sure,
    Wait,
    Unsure(Undecided, Vec<u32>),
}

impl Judge {
    /// Looks at everything that is new.
    pub(super) fn look(&mut self, now: u64) {
        self.take_back();
        let families: Vec<Family> = Family::ALL.iter().copied().filter(|family| self.is_due(*family)).collect();
        for family in families {
            self.look_for_faults(now, family);
        }
        self.state.looked = self.state.log.count;
        self.look_again(now);
        self.show_other_classes(now);
        if self.state.pending.iter().any(Option::is_some) || !self.state.faults.is_empty() {
            let at = now + ms(self.config.settle).max(LEAST_BETWEEN_LOOKS) * 2;
            self.state.look_at = Some(self.state.look_at.map_or(at, |look| look.min(at)));
        }
    }

    /// Takes faults back that were over and whose calls fail again, if no other fault explains that better.
    fn take_back(&mut self) {
        let back = self.state.faults.iter().filter(|fault| fault.may_be_back());
        for (id, family, since) in back.map(|fault| (fault.id, fault.family, fault.top)).collect::<Vec<_>>() {
            let sets = self.window(family, since, |_| false).explanations();
            if posterior(&sets, id) >= SURE {
                self.come_back(id, family);
            }
        }
    }

    fn is_due(&self, family: Family) -> bool {
        let new = self.new_failures(family).next().is_some();
        new || self.state.pending[family.index()].is_some()
    }

    fn new_failures(&self, family: Family) -> impl Iterator<Item = usize> {
        let log = &self.state.log;
        let from = self.state.looked.saturating_sub(log.first()) as usize;
        (from.min(log.failures.len())..log.failures.len()).rev().filter(move |at| log.failures[*at].family == family)
    }

    fn look_for_faults(&mut self, now: u64, family: Family) {
        // How likely each failure of the family is, with the faults that are known.
        let failures = self.state.log.failures.iter().enumerate();
        let open = failures.filter(|(_, failure)| failure.family == family && !failure.done);
        let likely = open.map(|(at, _)| (at, self.likely(at))).filter(|(_, p)| *p < 0.5);
        let likely: Vec<(usize, f64, f64)> = likely.map(|(at, p)| (at, p, p.ln())).collect();
        let unexplained = |at: &usize| likely.binary_search_by_key(at, |(at, ..)| *at).is_ok();
        let mut candidates: Vec<(Label, u32)> = Vec::new();
        for at in self.new_failures(family).filter(unexplained).take(NEWEST) {
            let ids = self.state.log.failures[at].ids;
            for (label, id) in Label::ALL.iter().zip(ids).filter(|(_, id)| *id != NONE) {
                if !candidates.contains(&(*label, id)) && may_lie(&self.state.values, family, *label, id) {
                    candidates.push((*label, id));
                }
            }
        }
        let scored = candidates.into_iter().filter_map(|(label, id)| {
            self.profile(label, id, family, &likely).filter(|(score, _)| *score >= believed(label))
        });
        let best = scored.max_by(|a, b| a.0.total_cmp(&b.0));
        let pending = &mut self.state.pending[family.index()];
        let since = match (best, *pending) {
            (Some((_, since)), _) => since,
            (None, Some(pending)) => pending.since,
            (None, None) => return,
        };
        let first = pending.map_or(now, |pending| pending.first);
        *pending = Some(Pending { first, since });
        if self.decide(now, family, since, self.is_patience_over(now, first)) {
            self.state.pending[family.index()] = None;
        }
    }

    /// Whether it was waited long enough for what is likely since a moment. Calls that were under way then tell nothing.
    fn is_patience_over(&self, now: u64, first: u64) -> bool {
        let patience = ms(self.config.patience);
        let waited = now.saturating_sub(first);
        waited >= patience && waited >= patience + self.state.log.longest_since(first).min(patience)
    }

    /// How likely a failure is, given the faults that are known.
    pub(super) fn likely(&self, at: usize) -> f64 {
        let failure = &self.state.log.failures[at];
        let known = self.state.faults.iter().filter(|fault| fault.explains(failure));
        1.0 - known.fold(1.0 - failure.background, |passes, fault| passes * (1.0 - fault.q))
    }

    /// The best score that a fault on a value could have, over all moments at which it may have begun, and the failure that
    /// it then began with.
    pub(super) fn profile(
        &self,
        label: Label,
        id: u32,
        family: Family,
        likely: &[(usize, f64, f64)],
    ) -> Option<(f64, u64)> {
        let passed_now = self.state.values.of(id).passed(family);
        let (mut count, mut sum, mut logs) = (0.0, 0.0, 0.0);
        let (mut agent, mut several) = (None, label == Label::Agent);
        let mut best: Option<(f64, u64)> = None;
        let failures = likely.iter().rev().map(|(at, p, log)| (&self.state.log.failures[*at], *p, *log));
        for (failure, p, log) in failures.filter(|(failure, ..)| failure.on(label, id)).take(LOOK_BACK) {
            (count, sum, logs) = (count + 1.0, sum + p, logs + log);
            several |= agent.is_some_and(|agent| agent != failure.agent());
            agent = Some(failure.agent());
            let passed = (passed_now - failure.passed[label.index()]) as f64;
            if let Some((_, gain)) = gain(count, sum / count, logs, passed, Q_LEAST).filter(|_| several)
                && best.is_none_or(|(score, _)| gain - PRICE > score)
            {
                best = Some((gain - PRICE, failure.at));
            }
        }
        best
    }

    /// Everything that is known of a family since a moment. Faults that `asked` names are to be explained anew; what the
    /// others explain is taken as explained.
    fn window(&mut self, family: Family, since: u64, asked: impl Fn(&Fault) -> bool) -> Window {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        scratch.resize(self.state.values.ids(), u16::MAX);
        let state = &self.state;
        let own: Vec<&Fault> = state.faults.iter().filter(|fault| fault.family == family).collect();
        let (anew, fixed): (Vec<&Fault>, Vec<&Fault>) =
            own.iter().partition(|fault| fault.over.is_some() || asked(fault));
        let gone = |failure: &Failure| anew.iter().any(|fault| fault.over.is_some() && fault.explains(failure));
        let of_family = |failure: &&Failure| failure.family == family && !failure.done && !gone(failure);
        let recent = state.log.failures.iter().rev().take_while(|failure| failure.at >= since).filter(of_family);
        let failures: Vec<&Failure> = recent.take(MOST_FAILURES).collect();
        // Many failures need no long look back.
        let since = if failures.len() == MOST_FAILURES { failures[MOST_FAILURES - 1].at } else { since };
        let mut window = Window::default();
        let mut begun = Vec::new();
        for failure in failures {
            let index = window.failures.len() as u16;
            let explained = fixed.iter().filter(|fault| fault.explains(failure));
            let background = 1.0 - explained.fold(1.0 - failure.background, |passes, fault| passes * (1.0 - fault.q));
            window.failures.push(Failed { background, agent: failure.agent() });
            for (label, id) in Label::ALL.iter().zip(failure.ids).filter(|(_, id)| *id != NONE) {
                let place = &mut scratch[id as usize];
                if *place == u16::MAX {
                    let known = anew.iter().find(|fault| fault.id == id);
                    let taken = fixed.iter().any(|fault| fault.id == id);
                    if taken || (known.is_none() && !may_lie(&state.values, family, *label, id)) {
                        *place = u16::MAX - 1;
                    } else {
                        *place = window.tallies.len() as u16;
                        begun.push(known.map_or(0, |fault| fault.onset.max(fault.top)));
                        let price = match known {
                            None => PRICE,
                            Some(fault) if fault.over.is_some() => HALF_A_PRICE,
                            Some(_) => 0.0,
                        };
                        let (failed, known) = (Vec::new(), known.is_some());
                        window.tallies.push(Tally { id, label: *label, failed, passed: 0, known, price });
                    }
                }
                // What came before a fault could be back is none of its own, like the passes before.
                if *place < u16::MAX - 1 && failure.at >= begun[usize::from(*place)] {
                    window.tallies[usize::from(*place)].failed.push(index);
                }
            }
        }
        for fault in anew.iter().filter(|fault| fault.over.is_none()) {
            let wider = self.wholes(fault);
            let whole = |tally: &&mut Tally| tally.id != fault.id && wider[tally.label.index()] == tally.id;
            window.tallies.iter_mut().filter(whole).for_each(|tally| tally.price = tally.price.min(HALF_A_PRICE));
        }
        for seen in state.log.begun_since(since).filter(|seen| seen.passed(family)) {
            window.passed += 1;
            for id in seen.ids.into_iter().filter(|id| *id != NONE) {
                let place = usize::from(scratch[id as usize]);
                if let Some(tally) = window.tallies.get_mut(place)
                    && seen.began >= begun[place]
                {
                    tally.passed += 1;
                }
            }
        }
        self.scratch = scratch;
        window
    }

    /// Of each kind the value that a fault may have been the first of: nearly all of its failures carry it.
    fn wholes(&self, fault: &Fault) -> Ids {
        let own = self.state.log.failures.iter().rev().take_while(|failure| failure.at >= fault.onset);
        let own: Vec<&Failure> = own.filter(|it| !it.done && fault.explains(it)).take(LOOK_BACK).collect();
        let mut wholes = [NONE; LABELS];
        // What nearly all carry, one of the first two does.
        for failure in own.iter().take(2) {
            for (whole, id) in wholes.iter_mut().zip(failure.ids).filter(|(whole, _)| **whole == NONE) {
                let carry = own.iter().filter(|other| other.ids.contains(&id)).count();
                if id != NONE && carry as f64 >= NEARLY_ALL * own.len() as f64 {
                    *whole = id;
                }
            }
        }
        wholes
    }

    /// Whether a fault is so young that it may be the first sign of a wider one.
    fn is_young(&self, fault: &Fault, now: u64) -> bool {
        fault.over.is_none() && fault.onset >= now.saturating_sub(YOUNG * ms(self.config.window))
    }

    /// Opens, widens and merges what the best explanation says; whether nothing is left to wait for.
    fn decide(&mut self, now: u64, family: Family, since: u64, patient: bool) -> bool {
        let young = now.saturating_sub(YOUNG * ms(self.config.window));
        let window = self.window(family, since, |fault| fault.onset >= young);
        let sets = window.explanations();
        let Some(best) = sets.first() else { return true };
        let is_new = |pick: &&Pick| {
            pick.score >= believed(self.state.values.of(pick.id).label) && !self.is_known(pick.id, family)
        };
        let picks: Vec<Pick> = best.picks.iter().filter(is_new).copied().collect();
        let mut settled = true;
        for pick in picks {
            let tally = window.tallies.iter().find(|tally| tally.id == pick.id).expect("a pick is one of the tallies");
            let undecided = match self.readiness(family, since, &window, &sets, tally, patient) {
                Readiness::Sure => None,
                Readiness::Unsure(why, candidates) => Some((why, candidates)),
                Readiness::Wait => {
                    settled = false;
                    continue;
                }
            };
            let confidence = posterior(&sets, pick.id) / (1.0 + (-pick.score).exp());
            let onset = self.onset(now, tally, family, since);
            let absorbed = self.absorbed(now, family, best, tally);
            let least = if tally.label == Label::Agent { 3 } else { 5 };
            let full = absorbed.is_empty() && self.state.faults.len() >= MOST_FAULTS;
            // Else it would explain what is explained by now, or be a wider one for a failure or two.
            if full || (absorbed.len() < 2 && self.unexplained(family, tally, since) < least) {
                continue;
            }
            let mut fault = Fault::new(tally.label, pick.id, family, 0, onset, now);
            fault.begin(tally.failed.len() as f64, f64::from(tally.passed));
            fault.everything = self.is_everything(tally, &fault);
            (fault.confidence, fault.undecided) = (confidence, undecided);
            self.believe(now, fault, &absorbed);
        }
        settled
    }

    fn is_known(&self, id: u32, family: Family) -> bool {
        self.state.faults.iter().any(|fault| fault.id == id && fault.family == family)
    }

    fn readiness(
        &self,
        family: Family,
        since: u64,
        window: &Window,
        sets: &[Set],
        tally: &Tally,
        patient: bool,
    ) -> Readiness {
        let wait_or = |why, candidates| if patient { Readiness::Unsure(why, candidates) } else { Readiness::Wait };
        if posterior(sets, tally.id) < SURE {
            return wait_or(Undecided::TooClose, candidates(sets, window, tally));
        }
        if family == Family::Probe {
            return Readiness::Sure;
        }
        let log = self.state.log.failures.iter().rev().take_while(|failure| failure.at >= since);
        let own = log.filter(|failure| failure.family == family && failure.on(tally.label, tally.id));
        let own: Vec<&Failure> = own.collect();
        if tally.label == Label::Agent {
            // Reproduce first: a brief interruption hits a call and its repetition alike.
            let moments = own.iter().filter(|failure| !failure.echo).count();
            let shown = moments >= MOMENTS.1 || (moments >= MOMENTS.0 && own.iter().any(|failure| failure.again));
            if !shown || !(patient || window.is_apart(tally)) {
                return Readiness::Wait;
            }
        }
        let times: Vec<u64> = own.iter().rev().map(|failure| failure.at).collect();
        if tally.label == Label::Site && !patient && self.may_be_everything(tally.id, &times) {
            return Readiness::Wait;
        }
        let twins = self.state.values.twins(tally.id);
        let whole = |id: &u32| self.state.values.of(*id).label == Label::Platform;
        let elsewhere = window.passed.saturating_sub(tally.passed);
        if elsewhere == 0 && !twins.iter().any(whole) {
            let platform = own.last().map(|failure| failure.ids[Label::Platform.index()]);
            let candidates = [Some(tally.id), platform.filter(|id| *id != NONE)];
            return wait_or(Undecided::NoControl, candidates.into_iter().flatten().collect());
        }
        Readiness::Sure
    }

    /// Known faults that a wider one explains as well, and that began not long before it: older ones are something else.
    fn absorbed(&self, now: u64, family: Family, best: &Set, wider: &Tally) -> Vec<usize> {
        let is_absorbed = |at: &usize| {
            let fault = &self.state.faults[*at];
            let young = fault.family == family && self.is_young(fault, now);
            young && !best.has(fault.id) && self.wholes(fault)[wider.label.index()] == wider.id
        };
        (0..self.state.faults.len()).filter(is_absorbed).collect()
    }

    /// How many failures of a value no incident has.
    fn unexplained(&self, family: Family, tally: &Tally, since: u64) -> usize {
        let log = self.state.log.failures.iter().rev().take_while(|failure| failure.at >= since);
        let own = log.filter(|failure| failure.family == family && failure.on(tally.label, tally.id));
        own.filter(|failure| !failure.explained && !failure.done).count()
    }

    fn onset(&self, now: u64, tally: &Tally, family: Family, since: u64) -> u64 {
        let own = |failure: &&Failure| {
            failure.at >= since && failure.family == family && !failure.done && failure.on(tally.label, tally.id)
        };
        self.state.log.failures.iter().find(own).map_or(now, |failure| failure.at)
    }

    /// Asks the last results of each known fault whether its scope is still the best.
    fn look_again(&mut self, now: u64) {
        let window = ms(self.config.window);
        for id in self.state.faults.iter().map(|fault| (fault.id, fault.family)).collect::<Vec<_>>() {
            for span in [window / LATELY, window] {
                let Some(at) = self.state.faults.iter().position(|fault| (fault.id, fault.family) == id) else { break };
                let fault = &self.state.faults[at];
                if fault.over.is_some() || now < fault.checked + window / LOOKS {
                    break;
                }
                let since = fault.onset.max(fault.top).max(now.saturating_sub(span));
                if self.rescope(now, at, since) {
                    break;
                }
            }
            let checked = self.state.faults.iter_mut().find(|fault| (fault.id, fault.family) == id);
            if let Some(fault) = checked.filter(|fault| now >= fault.checked + window / LOOKS) {
                fault.checked = now;
                let number = fault.incident;
                self.refresh(number, now);
            }
        }
    }

    /// Gives a known fault the scope that its results since a moment show, if they show another; whether they did.
    fn rescope(&mut self, now: u64, at: usize, since: u64) -> bool {
        let (id, family) = (self.state.faults[at].id, self.state.faults[at].family);
        let window = self.window(family, since, |fault| fault.id == id);
        let sets = window.explanations();
        let Some(own) = window.tallies.iter().find(|tally| tally.id == id) else { return false };
        let total = |set: Option<&Set>| set.map(|set| set.total);
        let with = total(sets.iter().find(|set| set.has(id))).unwrap_or(0.0);
        let Some(best) = sets.first() else { return false };
        let unsure = self.state.faults[at].undecided.as_ref().is_some_and(|(why, _)| *why != Undecided::SameCalls);
        if best.has(id) {
            let sure = posterior(&sets, id) >= SURE && window.passed > own.passed;
            if unsure && sure {
                let fault = &mut self.state.faults[at];
                (fault.undecided, fault.confidence) = (None, posterior(&sets, id));
                let number = fault.incident;
                self.changed(number, Change::Narrowed, now);
            }
            return unsure && sure;
        }
        let needed = if unsure { 0.0 } else { RESCOPED };
        let shares = |pick: &&Pick| {
            let tally = window.tallies.iter().find(|tally| tally.id == pick.id);
            tally.is_some_and(|tally| tally.failed.iter().any(|at| own.failed.contains(at)))
        };
        let mut picks: Vec<Pick> = best.picks.iter().filter(shares).copied().collect();
        // Where faults that are known explain it all, this one is over.
        picks.retain(|pick| pick.score > 0.0 && !self.is_known(pick.id, family) && posterior(&sets, pick.id) >= SURE);
        // Twice in a row: a fault that ends or comes back looks like another one for a moment.
        let rather = picks.first().filter(|_| best.total - with >= needed).map(|pick| pick.id);
        if std::mem::replace(&mut self.state.faults[at].doubt, rather) != rather || rather.is_none() {
            return false;
        }
        let fault_on = |pick: &Pick| {
            let tally = window.tallies.iter().find(|tally| tally.id == pick.id).expect("a pick is one of the tallies");
            let mut fault = Fault::new(tally.label, pick.id, family, 0, since, now);
            fault.begin(tally.failed.len() as f64, f64::from(tally.passed));
            fault.everything = self.is_everything(tally, &fault);
            fault.confidence = posterior(&sets, pick.id) / (1.0 + (-pick.score).exp());
            fault
        };
        let parts: Vec<Fault> = picks.iter().map(fault_on).collect();
        self.replace(now, at, parts);
        true
    }
}

fn believed(label: Label) -> f64 {
    if label == Label::Agent { BELIEVED_OF_AN_AGENT } else { BELIEVED }
}

/// Values that explain the failures of a tally about as well.
fn candidates(sets: &[Set], window: &Window, own: &Tally) -> Vec<u32> {
    let mut ids = vec![own.id];
    let shares = |id: u32| {
        let tally = window.tallies.iter().find(|tally| tally.id == id);
        tally.is_some_and(|tally| tally.failed.iter().any(|at| own.failed.contains(at)))
    };
    let best = sets.first().map_or(0.0, |set| set.total);
    for set in sets.iter().filter(|set| !set.has(own.id) && set.total >= best - CLOSE) {
        for pick in set.picks.iter().filter(|pick| shares(pick.id)) {
            if !ids.contains(&pick.id) && ids.len() < MOST_CANDIDATES {
                ids.push(pick.id);
            }
        }
    }
    ids
}

const _: () = assert!(FAMILIES <= 16, "Seen holds a bit for each");

/// Whether a fault may be looked for at a value. What the probe itself lacked lies at its own site, whatever the calls were that
/// it spoilt.
fn may_lie(values: &Values, family: Family, label: Label, id: u32) -> bool {
    if family == Family::Probe { label == Label::Site } else { values.is_a_place(id) }
}
