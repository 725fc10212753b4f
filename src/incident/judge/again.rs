//! Repetitions: of a failure, before it is believed, and of an agent's calls for as long as it is likely that they fail and
//! not sure.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::evidence::{Seen, agent_of};
use super::explain::PRICE;
use super::values::{CAUTION, Ids, NONE};
use super::{Judge, MINUTE, Output, Reproduce, ms};
use crate::incident::family::Family;
use crate::incident::labels::Label;
use crate::incident::sample::Sample;
use crate::record::Retry;

/// An agent that failed for no lasting reason fails again at that moment: so many of so many times before anything is known.
const ECHOES: (f32, f32) = (30.0, 100.0);
/// Counts of repetitions are halved here.
const HALVED_AT: f32 = 10_000.0;
/// The range of what is learnt of them.
const LEAST_AND_MOST: (f64, f64) = (0.05, 0.5);
/// A repetition that follows a failure at its moment is placed so many interruptions later; one that follows a pass sooner.
const LATER: f64 = 1.1;
const AFTER_A_PASS: f64 = 0.5;
/// An agent's calls are repeated once in so many interruptions, but while they are under test.
const BETWEEN_REPETITIONS: f64 = 2.5;
/// An agent is under test when its failures are so many times as likely with a fault (the logarithm): 150 to 1.
const IN_THE_BALANCE: f64 = 5.0;

/// Failures of an agent that one brief interruption may have made.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Moment {
    /// When the first of them came, ms.
    pub(super) since: u64,
    pub(super) family: Family,
    failures: u32,
}

/// How often an agent that failed for no lasting reason failed again at that moment.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Echoes {
    failed: f32,
    tested: f32,
}

impl Default for Echoes {
    fn default() -> Self {
        Self { failed: ECHOES.0, tested: ECHOES.1 }
    }
}

impl Echoes {
    /// A repetition at the moment of a failure that no incident explains.
    pub(super) fn learn(&mut self, failed: bool) {
        self.failed += f32::from(u8::from(failed));
        self.tested += 1.0;
        if self.tested > HALVED_AT {
            (self.failed, self.tested) = (self.failed / 2.0, self.tested / 2.0);
        }
    }

    /// How likely a failure is that follows `before` others at the same moment, where it is `background` at any other: the
    /// first of them was a brief interruption or chance, and those that follow show which (Bayes' theorem).
    fn likely(&self, before: u32, background: f64) -> f64 {
        let interrupted = (CAUTION * f64::from(self.failed / self.tested)).clamp(LEAST_AND_MOST.0, LEAST_AND_MOST.1);
        let chance = background.powi(before as i32 - 1);
        let interrupted = interrupted / (interrupted + (1.0 - interrupted) * chance);
        interrupted + (1.0 - interrupted) * background
    }
}

impl Judge {
    /// Puts a failure into a moment of its agent: how likely it is, and whether it is not the first there.
    pub(super) fn at_a_moment(&mut self, now: u64, ids: &Ids, family: Family, background: f64) -> (f64, bool) {
        let agent = agent_of(ids);
        if agent == NONE {
            return (background, false);
        }
        let lasts = ms(self.config.interruption);
        let moment = &mut self.state.values.of_mut(agent).moment;
        let goes_on = |it: &&mut Moment| it.failures > 0 && it.family == family && now < it.since + lasts;
        match moment.as_mut().filter(goes_on) {
            Some(moment) => {
                let before = moment.failures;
                moment.failures += 1;
                (self.state.echoes.likely(before, background).max(background), true)
            }
            None => {
                *moment = Some(Moment { since: now, family, failures: 1 });
                (background, false)
            }
        }
    }

    /// Takes what interrupted an agent as over if its call passed, or the attempt's own retry did.
    pub(super) fn end_moment(&mut self, now: u64, seen: &Seen, sample: &Sample<'_>) {
        let agent = agent_of(&seen.ids);
        if agent == NONE {
            return;
        }
        let retried = sample.retry == Retry::Transient;
        let moment = self.state.values.of_mut(agent).moment.as_mut();
        let Some(moment) = moment.filter(|moment| retried || seen.passed(moment.family)) else { return };
        let (family, failures) = (moment.family, std::mem::take(&mut moment.failures));
        let was_repeated = retried || sample.reproduces.is_some();
        if was_repeated && failures > 0 && now < moment.since + ms(self.config.interruption) {
            self.state.echoes.learn(false);
        }
        if was_repeated && self.is_in_the_balance(agent, family) {
            self.ask(now, agent, sample, self.config.interruption.mul_f64(AFTER_A_PASS));
        }
    }

    /// A failure that nothing explains. `echo`: it was a repetition at the moment of another.
    pub(super) fn ask_again(&mut self, now: u64, ids: &Ids, sample: &Sample<'_>, family: Family, echo: bool) {
        let agent = agent_of(ids);
        if agent == NONE {
            return;
        }
        let later = self.config.interruption.mul_f64(LATER);
        let was_repeated = sample.reproduces.is_some() || sample.retry != Retry::None;
        if echo || (was_repeated && self.is_in_the_balance(agent, family)) {
            self.ask(now, agent, sample, later);
        } else if !was_repeated {
            let between = ms(self.config.interruption.mul_f64(BETWEEN_REPETITIONS));
            let last = self.state.values.of(agent).asked;
            if last.is_none_or(|at| now >= at + between) {
                self.ask(now, agent, sample, Duration::ZERO);
            }
        }
    }

    fn ask(&mut self, now: u64, agent: u32, sample: &Sample<'_>, after: Duration) {
        let (minute, asked) = self.state.asked;
        let asked = if minute == now / MINUTE { asked } else { 0 };
        if asked >= self.config.reproduce_per_minute {
            return;
        }
        self.state.values.of_mut(agent).asked = Some(now);
        self.state.asked = (now / MINUTE, asked + 1);
        let id = self.state.next_again;
        self.state.next_again += 1;
        let labels = Label::ALL.iter().filter_map(|label| Some((*label, sample.labels.get(*label)?.to_owned())));
        let what = Reproduce { id, call_id: sample.call_id.to_owned(), after, labels: labels.collect() };
        self.out.push_back(Output::Reproduce(what));
    }

    /// Whether it is likely that an agent has a fault, and not sure.
    fn is_in_the_balance(&self, agent: u32, family: Family) -> bool {
        let failures = self.state.log.failures.iter().enumerate();
        let own = failures.filter(|(_, it)| it.family == family && !it.done && it.agent() == agent);
        let likely = own.map(|(at, _)| (at, self.likely(at))).filter(|(_, p)| *p < 0.5);
        let likely: Vec<(usize, f64, f64)> = likely.map(|(at, p)| (at, p, p.ln())).collect();
        let label = self.state.values.of(agent).label;
        let known = self.state.faults.iter().any(|fault| fault.id == agent && fault.family == family);
        let gain = self.profile(label, agent, family, &likely).map_or(0.0, |(score, _)| score + PRICE);
        !known && gain >= IN_THE_BALANCE
    }
}
