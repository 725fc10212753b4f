//! The judge: results in, incidents out.
//!
//! A failure is put into a log with what had passed on each of its labels before it. [`Config::settle`] later the judge asks
//! of each label that new failures carry how well a fault there would explain the log (`decide`), and where one is likely
//! enough, which set of faults explains all failures since then best (`explain`). A fault that is known explains its
//! failures away, is looked at again for its scope every ten seconds, and is over when its calls pass again for
//! [`Config::hold`] (`fault`). `shape` makes incidents of faults.
//!
//! | state of a fault | becomes | when |
//! |---|---|---|
//! | suspected | known | score ≥ 9.5 and probability of its scope ≥ 0.98, or [`Config::patience`] is over (then undetermined) |
//! | known | over | Page's sum of its results ≥ 9.21 |
//! | over | known | its failures come back, and no other fault explains them better |
//! | over | closed | it stayed over for the hold; if it was reopened, longer |

mod again;
mod config;
mod decide;
mod everything;
mod evidence;
mod explain;
mod fault;
mod shape;
mod usual;
mod values;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::family::{FAMILIES, Family, STAGES, Stage, Symptom};
use super::labels::Label;
use super::sample::Sample;
use super::snapshot::{Change, Incident};
use crate::record::{Class, Retry};
use again::Echoes;
pub use config::{Config, INTERRUPTION};
use decide::Pending;
use evidence::{Failure, Log, Seen};
use fault::Fault;
use shape::{Ended, Tracked};
use usual::{Compared, Figure};
use values::{CAUTION, Ids, NONE, Values, hour_of};

/// A call to be placed again on a fresh transport, before its failure is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reproduce {
    /// What [`Sample::reproduces`] has to carry.
    pub id: u64,
    /// The attempt that failed.
    pub call_id: String,
    /// How long to wait first. A second repetition comes after a brief interruption would be over.
    pub after: Duration,
    /// Its labels.
    pub labels: Vec<(Label, String)>,
}

/// What the judge wants.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// An incident has changed, and is now so.
    Changed(Change, Box<Incident>),
    /// Place this call again.
    Reproduce(Reproduce),
    /// Nothing more; call [`Judge::handle_timeout`] then.
    Timeout(Instant),
}

/// All that a judge knows, to be stored and restored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct State {
    /// Its own clock, ms since it first began; time that it was away is added by [`Judge::restore`].
    now: u64,
    /// The stamp of the last result.
    stamp: Timestamp,
    values: Values,
    log: Log,
    faults: Vec<Fault>,
    incidents: Vec<Tracked>,
    ended: VecDeque<Ended>,
    pending: [Option<Pending>; FAMILIES],
    /// Up to which failure the log was looked at.
    looked: u64,
    /// The number of the next incident.
    next_incident: u64,
    /// The number of the next repetition.
    next_again: u64,
    /// The minute in which repetitions are counted, and how many.
    asked: (u64, u32),
    echoes: Echoes,
    look_at: Option<u64>,
    tidy_at: u64,
    renew_at: u64,
}

/// Incidents from results. See the module.
#[derive(Debug)]
pub struct Judge {
    config: Config,
    base: Instant,
    state: State,
    out: VecDeque<Output>,
    /// From the id of a value to its place in a window under construction.
    scratch: Vec<u16>,
}

/// What one result says: stages passed, symptoms.
struct Verdict {
    passed: [bool; STAGES],
    failed: [Option<Shown>; 2],
}

/// A symptom, and how likely it was by what is usual.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Shown {
    symptom: Symptom,
    chance: f64,
}

/// A failure that no fault explains, and that may be asked for again.
struct Unexplained {
    /// It was a repetition at the moment of another.
    echo: bool,
}

impl Shown {
    fn family(self) -> Family {
        self.symptom.family()
    }
}

const MINUTE: u64 = 60_000;
/// Which labels always come together is learnt anew so often.
const GENERATION: u64 = 12 * 60 * MINUTE;
/// A value or a fault without a result for so long is forgotten.
const STALE: u64 = 24 * 60 * MINUTE;

pub(super) fn ms(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}

impl Judge {
    /// A judge that knows nothing.
    pub fn new(config: Config, now: Instant) -> Self {
        let state = State {
            now: 0,
            stamp: Timestamp::UNIX_EPOCH,
            values: Values::default(),
            log: Log::default(),
            faults: Vec::new(),
            incidents: Vec::new(),
            ended: VecDeque::new(),
            pending: [None; FAMILIES],
            looked: 0,
            next_incident: 1,
            next_again: 1,
            asked: (0, 0),
            echoes: Echoes::default(),
            look_at: None,
            tidy_at: MINUTE,
            renew_at: GENERATION,
        };
        Self { config, base: now, state, out: VecDeque::new(), scratch: Vec::new() }
    }

    /// A judge that goes on where another one stopped. `away` is how long nobody judged, 0 where the calendar does not say.
    pub fn restore(config: Config, mut state: State, away: Duration, now: Instant) -> Self {
        state.values.rebuild();
        let clock = Duration::from_millis(state.now).saturating_add(away);
        // An instant cannot lie before the clock's own beginning: then the clock of the state begins anew.
        let base = now.checked_sub(clock).unwrap_or(now);
        let mut judge = Self { config, base, state, out: VecDeque::new(), scratch: Vec::new() };
        judge.advance(now);
        judge
    }

    /// All that it knows.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Incidents that are open.
    pub fn incidents(&self) -> impl Iterator<Item = &Incident> {
        self.state.incidents.iter().map(|tracked| &tracked.shown)
    }

    /// Values of labels that found no place ([`Config::max_values`]).
    pub fn values_refused(&self) -> u64 {
        self.state.values.refused
    }

    /// Values, results and failures held: never more than [`Config`] says.
    pub fn held(&self) -> (usize, usize, usize) {
        (self.state.values.len(), self.state.log.seen.len(), self.state.log.failures.len())
    }

    /// A result.
    pub fn handle_result(&mut self, now: Instant, sample: &Sample<'_>) {
        let now = self.advance(now);
        let ids = self.state.values.enter(&sample.labels, now, self.config.max_values);
        let verdict = self.verdict(sample, &ids);
        if verdict.passed == [false; STAGES] && verdict.failed == [None; 2] {
            return;
        }
        self.state.stamp = sample.at;
        let families = verdict.failed.iter().flatten().map(|shown| shown.family());
        let seen = Seen::new(now, now.saturating_sub(ms(sample.took)), ids, verdict.passed, families);
        self.state.log.put_before_failures(&seen);
        self.state.log.seen.push_back(seen);
        if self.state.log.seen.len() > self.config.max_results {
            self.state.log.seen.pop_front();
        }
        self.passed(now, &seen, &verdict, sample);
        for shown in verdict.failed.into_iter().flatten() {
            let mut unexplained = self.failed(now, &ids, shown, sample, sample.reproduces.is_some());
            if sample.retry == Retry::Reproduced {
                unexplained = self.failed(now, &ids, shown, sample, true);
            }
            // What passed when it was repeated is asked for with its pass.
            if let Some(Unexplained { echo }) = unexplained.filter(|_| sample.retry != Retry::Transient) {
                self.ask_again(now, &ids, sample, shown.family(), echo);
            }
        }
        self.end_moment(now, &seen, sample);
    }

    /// The moment of the last [`Output::Timeout`] has come, or any other.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.advance(now);
        if self.state.look_at.is_some_and(|at| at <= now) {
            self.state.look_at = None;
            self.look(now);
        }
        self.close_those_that_are_over(now);
        if self.state.tidy_at <= now {
            self.state.tidy_at = now + MINUTE;
            self.tidy(now);
        }
    }

    /// What it wants, until it is a time-out.
    pub fn poll_output(&mut self) -> Output {
        if let Some(output) = self.out.pop_front() {
            return output;
        }
        let closing = self.state.faults.iter().map(|fault| self.closes_at(fault)).min();
        let next = [self.state.look_at, closing, Some(self.state.tidy_at)].into_iter().flatten().min();
        Output::Timeout(self.base + Duration::from_millis(next.unwrap_or(self.state.tidy_at)))
    }

    fn advance(&mut self, now: Instant) -> u64 {
        self.state.now = self.state.now.max(ms(now.saturating_duration_since(self.base)));
        self.state.now
    }

    fn verdict(&mut self, sample: &Sample<'_>, ids: &Ids) -> Verdict {
        let mut verdict = Verdict { passed: [false; STAGES], failed: [None; 2] };
        if sample.failed {
            let symptom = Symptom::Class(if sample.class == Class::Ok { Class::Unknown } else { sample.class });
            if Family::of(sample.class).is_none() && sample.class != Class::Ok {
                return verdict;
            }
            verdict.failed[0] = Some(Shown { symptom, chance: 0.0 });
            // A call that is heard badly was set up well.
            verdict.passed[Stage::Call as usize] = symptom.family().stage() != Stage::Call;
            return verdict;
        }
        if Family::of(sample.class).is_none() && sample.class != Class::Ok {
            return verdict;
        }
        verdict.passed[Stage::Call as usize] = true;
        let hour = hour_of(sample.at);
        let usual = self.state.values.usual(ids);
        let mut compared = [None; 3];
        if let Some(usual) = usual {
            let figures = [(Figure::Srd, sample.srd_ms), (Figure::Setup, sample.setup_ms), (Figure::Mos, sample.mos)];
            for (figure, value) in figures {
                compared[figure as usize] = value.and_then(|value| usual.compare(figure, value, hour));
            }
        }
        let [srd, setup, mos] = compared;
        let poor = sample.poor == Some(true) || sample.mos.is_some_and(|mos| mos < self.config.mos_least);
        let low = if poor { Some(0.0) } else { mos.and_then(Compared::chance) };
        if let Some(chance) = low {
            verdict.failed[0] = Some(Shown { symptom: Symptom::LowQuality, chance });
        } else {
            verdict.passed[Stage::Media as usize] = sample.heard || sample.poor.is_some() || sample.mos.is_some();
        }
        // One delay is part of the other: the one that is further out says it.
        let slow = [srd, setup].into_iter().flatten().filter_map(Compared::chance).reduce(f64::min);
        verdict.failed[1] = slow.map(|chance| Shown { symptom: Symptom::Slow, chance });
        verdict.passed[Stage::Pace as usize] = slow.is_none() && (srd.is_some() || setup.is_some());
        verdict
    }

    fn passed(&mut self, now: u64, seen: &Seen, verdict: &Verdict, sample: &Sample<'_>) {
        let ids = &seen.ids;
        let hour = hour_of(sample.at);
        // The attempt's own retry passed: that is a result, too.
        let retried =
            sample.retry == Retry::Transient && verdict.failed[0].is_some_and(|it| it.family().stage() == Stage::Call);
        for stage in [Stage::Call, Stage::Media, Stage::Pace] {
            let passed = verdict.passed[stage as usize] || (retried && stage == Stage::Call);
            if !passed {
                continue;
            }
            self.state.values.pass(ids, stage, hour);
            let faults = self.state.faults.iter_mut().filter(|fault| fault.stage() == stage && fault.covers(ids));
            // A call that was under way when the fault began says nothing of it.
            for fault in faults.filter(|fault| seen.began >= fault.onset) {
                let failed = verdict.failed.iter().flatten().any(|shown| shown.family() == fault.family);
                if !failed {
                    fault.pass(now);
                    fault.passed_again += u32::from(sample.reproduces.is_some());
                    let incident = fault.incident;
                    if let Some(tracked) = self.state.incidents.iter_mut().find(|it| it.number == incident) {
                        tracked.shown.tested += 1;
                    }
                }
            }
        }
    }

    fn failed(&mut self, now: u64, ids: &Ids, shown: Shown, sample: &Sample<'_>, again: bool) -> Option<Unexplained> {
        let Shown { symptom, chance } = shown;
        let family = symptom.family();
        let background = (chance + self.state.values.background(ids, family, hour_of(sample.at))).min(0.5);
        let (background, echo) = self.at_a_moment(now, ids, family, background);
        let values = &self.state.values;
        let failure = Failure {
            at: now,
            stamp: sample.at,
            family,
            symptom,
            ids: *ids,
            passed: ids.map(|id| if id == NONE { 0 } else { values.of(id).passed(family) }),
            background,
            chance,
            again,
            echo,
            explained: false,
            done: false,
            code: sample.code,
            unit: sample.unit.map(str::to_owned),
            call_id: sample.call_id.to_owned(),
            sip_call_id: sample.sip_call_id.map(str::to_owned),
        };
        let explained = self.attribute(now, &failure);
        self.state.log.failures.push_back(Failure { explained, ..failure });
        self.state.log.count += 1;
        while self.state.log.failures.len() > self.config.max_failures {
            self.drop_oldest_failure();
        }
        let at = now + ms(self.config.settle);
        self.state.look_at = Some(self.state.look_at.map_or(at, |look| look.min(at)));
        let unexplained = !explained && !sample.control && family != Family::Probe;
        unexplained.then_some(Unexplained { echo: again && echo })
    }

    /// Counts a failure for the faults that explain it.
    fn attribute(&mut self, now: u64, failure: &Failure) -> bool {
        let covers = |fault: &Fault| fault.family == failure.family && fault.covers(&failure.ids);
        let mut explained = false;
        for at in 0..self.state.faults.len() {
            if !covers(&self.state.faults[at]) {
                continue;
            }
            let others = self
                .state
                .faults
                .iter()
                .enumerate()
                .filter(|(other, fault)| *other != at && fault.over.is_none() && covers(fault));
            let otherwise = 1.0 - others.fold(1.0 - failure.background, |passes, (_, fault)| passes * (1.0 - fault.q));
            let fault = &mut self.state.faults[at];
            fault.fail(now, otherwise);
            if fault.over.is_some() {
                continue;
            }
            explained = true;
            fault.failed_again += u32::from(failure.again);
            let incident = fault.incident;
            if let Some(tracked) = self.state.incidents.iter_mut().find(|it| it.number == incident) {
                tracked.count(failure);
            }
        }
        explained
    }

    /// What no incident has explained by now was background.
    fn drop_oldest_failure(&mut self) {
        if let Some(failure) = self.state.log.failures.pop_front()
            && !failure.explained
        {
            // What the tail of the usual values makes is no background beside it.
            let rate = (failure.background - failure.chance) / CAUTION;
            let weight = rate / (rate + failure.chance);
            self.state.values.learn(&failure.ids, failure.family, hour_of(failure.stamp), weight as f32);
            if failure.again && failure.echo {
                self.state.echoes.learn(true);
            }
        }
    }

    /// How long failures are remembered, ms.
    fn horizon(&self) -> u64 {
        6 * ms(self.config.window)
    }

    fn tidy(&mut self, now: u64) {
        let oldest = now.saturating_sub(self.horizon());
        while self.state.log.failures.front().is_some_and(|failure| failure.at < oldest) {
            self.drop_oldest_failure();
        }
        while self.state.log.seen.front().is_some_and(|seen| seen.at < oldest) {
            self.state.log.seen.pop_front();
        }
        let gone = now.saturating_sub(ms(self.config.comes_back));
        while self.state.ended.front().is_some_and(|ended| ended.at < gone) {
            self.state.ended.pop_front();
        }
        if self.state.renew_at <= now {
            self.state.renew_at = now + GENERATION;
            self.state.values.renew();
        }
        // Only when they are short of places: a value that comes once a day keeps its background.
        if self.state.values.len() >= self.config.max_values {
            let State { values, faults, incidents, ended, .. } = &mut self.state;
            let of_fault = |fault: &Fault, id| {
                fault.id == id || fault.undecided.as_ref().is_some_and(|(_, ids)| ids.contains(&id))
            };
            // What the logs hold was seen later than `oldest`.
            let held = |id: u32| {
                faults.iter().any(|fault| of_fault(fault, id))
                    || incidents.iter().any(|tracked| tracked.shared.contains(&id))
                    || ended.iter().any(|ended| of_fault(&ended.fault, id) || ended.tracked.shared.contains(&id))
            };
            values.forget(oldest, held);
        }
    }
}

#[cfg(test)]
mod tests;
