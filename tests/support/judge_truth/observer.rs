//! When a fault can be known: by whoever knows the law of the world and nothing of the fault at hand.
//!
//! The observer sees the results that the judge sees, and does what Bayes' theorem says. It knows how often faults begin, where
//! and of which kind, how long and how severe they are and how many flap; how often calls fail for no reason, and that a tenth
//! of those are interruptions of 20 s. It does not know that this fault is there, when it began, how severe it is, whether it
//! flaps, which class it shows mostly, or the rate of this hour, which it learns. For each place that a failed call carries it
//! keeps the weight of *a fault of this kind lies here* against *none does*, over all of these; the fault is known once
//!
//! * the odds that there is one are 2,499 to 1: in ten million results 2,500 faults begin, and one false page is allowed;
//! * and 98 % of the weight is on its place, as many as have to be named rightly.
//!
//! The derivation is in `docs/judge.md`.

use std::collections::VecDeque;

use super::world::{Call, Fault, Kind, Spot, covers, share_of_faults, spots_of};

/// The probability that there is a fault, from which it is known.
const SURE: f64 = 1.0 - 1.0 / 2500.0;
/// And that it is at its place.
const PLACED: f64 = 0.98;
const MINUTE: u64 = 60_000;
/// A fault may have begun so long ago when its first failure is seen.
const LOOK_BACK: u64 = 10 * MINUTE;
/// So many results of a place are looked back at: before more of them than that no fault of half the calls has begun.
const MOST_BACK: usize = 60;
/// Beginnings that lie closer together are one, ms: that of a flapping fault says when it is up.
const STEP: u64 = 15_000;
/// A hypothesis that weighs less than this part of a minute's new ones is given up.
const NOTHING: f64 = 1e-9;
/// Rates of background failures that an hour may have.
const RATES: usize = 16;

/// A call and what could be seen of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) call: Call,
    pub(super) at: u64,
    /// The kind that it failed of, as far as it shows: a slow call is one that passed.
    pub(super) kind: Option<Kind>,
    pub(super) class: usize,
    /// How much likelier its delay is of a slow call: the logarithm. `None` where it was not set up.
    pub(super) slow: Option<f64>,
    /// How many faults touch it, and one of them.
    pub(super) touched: (usize, Option<usize>),
    /// How likely its agent is interrupted, and how, without any fault.
    suspicion: Suspicion,
    /// The rate of background failures, as far as it is known.
    noise: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Suspicion {
    /// The failure that it would have begun with.
    since: u64,
    kind: Option<Kind>,
    probability: f64,
}

/// What is learnt of background failures, and the last results.
#[derive(Debug)]
pub(super) struct Background {
    suspicions: Vec<Suspicion>,
    /// Faults that begin in a ms.
    faults: f64,
    /// Weights of the rates of this hour.
    rates: [f64; RATES],
    pub(super) last: VecDeque<Seen>,
}

/// The rate of background failures that a weight is of: the middle of its part of 0.5–2 %.
fn rate_at(index: usize) -> f64 {
    0.005 + 0.015 * (index as f64 + 0.5) / RATES as f64
}

impl Background {
    /// Of so many agents; a fault begins every so many ms.
    pub(super) fn new(agents: usize, every: f64) -> Self {
        let suspicions = vec![Suspicion::default(); agents];
        Self { suspicions, faults: 1.0 / every, rates: [1.0; RATES], last: VecDeque::new() }
    }

    /// Another hour has begun.
    pub(super) fn forget_rate(&mut self) {
        self.rates = [1.0; RATES];
    }

    /// A result, which is kept for a while. `on` are the faults that touch it.
    pub(super) fn see(
        &mut self,
        call: Call,
        kind: Option<Kind>,
        class: usize,
        slow: Option<f64>,
        on: &[usize],
    ) -> Seen {
        let at = call.at();
        // A slow call shows no class of failure.
        let kind = kind.filter(|kind| *kind != Kind::Latency);
        let own = &mut self.suspicions[call.agent];
        if at >= own.since + super::world::INTERRUPTION {
            *own = Suspicion::default();
        }
        let total: f64 = self.rates.iter().sum();
        let noise = self.rates.iter().enumerate().map(|(index, weight)| weight * rate_at(index)).sum::<f64>() / total;
        let seen =
            Seen { call, at, kind, class, slow, touched: (on.len(), on.first().copied()), suspicion: *own, noise };
        if on.is_empty() && own.kind.is_none() {
            for (index, weight) in self.rates.iter_mut().enumerate() {
                let likely = if kind.is_some() { rate_at(index) } else { 1.0 - rate_at(index) };
                *weight *= likely / total;
            }
        }
        *own = match kind {
            Some(kind) if own.kind == Some(kind) => {
                let without = (1.0 - own.probability) * noise * kind.share_of_noise();
                Suspicion { probability: own.probability / (own.probability + without), ..*own }
            }
            Some(_) => Suspicion { since: at, kind, probability: super::world::INTERRUPTIONS },
            None => Suspicion::default(),
        };
        while self.last.front().is_some_and(|seen| seen.at + LOOK_BACK < at) {
            self.last.pop_front();
        }
        self.last.push_back(seen);
        seen
    }
}

/// What is known of one fault.
#[derive(Clone, Debug, Default)]
pub(super) struct Observer {
    rivals: Vec<Rival>,
}

/// A place where it may lie.
#[derive(Clone, Debug)]
struct Rival {
    spot: Spot,
    /// Faults of the kind that begin there in a ms.
    begin: f64,
    /// Until when it was looked at.
    until: u64,
    hypotheses: Vec<Hypothesis>,
}

/// How a fault may be, with the weight of *it is so* against *there is none*.
#[derive(Clone, Debug)]
struct Hypothesis {
    begin: u64,
    severity: f64,
    turn: Option<u64>,
    /// By the class that it shows mostly, while it lasts.
    lasts: [f64; 3],
    /// After its end.
    over: f64,
    /// When it was looked at last.
    at: u64,
}

impl Observer {
    /// A result that no other fault touches than number `own`, of a fault; whether the fault is known now.
    pub(super) fn see(&mut self, own: usize, fault: &Fault, seen: &Seen, background: &Background) -> bool {
        let kind = fault.kind;
        let mut news = false;
        for rival in self.rivals.iter_mut().filter(|rival| covers(rival.spot, &seen.call)) {
            rival.see(kind, seen);
            news = true;
        }
        let shows = if kind == Kind::Latency { seen.slow > Some(0.0) } else { seen.kind == Some(kind) };
        if shows && covers(fault.spot, &seen.call) {
            for spot in spots_of(&seen.call) {
                if self.rivals.iter().all(|rival| rival.spot != spot) && share_of_faults(spot, kind) > 0.0 {
                    self.rivals.push(Rival::new(spot, own, kind, background));
                    news = true;
                }
            }
        }
        news && self.knows(&fault.same)
    }

    fn knows(&self, same: &[Spot]) -> bool {
        let weights = |wanted: &dyn Fn(&Rival) -> bool| -> f64 {
            let all = self.rivals.iter().filter(|rival| wanted(rival)).flat_map(|rival| &rival.hypotheses);
            all.map(Hypothesis::weight).sum()
        };
        let (any, here) = (weights(&|_| true), weights(&|rival| same.contains(&rival.spot)));
        any / (1.0 + any) >= SURE && here / any >= PLACED
    }
}

impl Rival {
    /// With what was seen of the place lately: results that no other fault than number `own` touched.
    fn new(spot: Spot, own: usize, kind: Kind, background: &Background) -> Self {
        let apart = |seen: &&Seen| seen.touched.0 == 0 || seen.touched == (1, Some(own));
        let of_it = background.last.iter().rev().filter(|seen| covers(spot, &seen.call)).filter(apart);
        let last: Vec<&Seen> = of_it.take(MOST_BACK).collect();
        let until = last.last().map_or(0, |seen| seen.at.saturating_sub(MINUTE));
        let begin = background.faults * share_of_faults(spot, kind);
        let mut rival = Self { spot, begin, until, hypotheses: Vec::new() };
        last.into_iter().rev().for_each(|seen| rival.see(kind, seen));
        rival
    }

    fn see(&mut self, kind: Kind, seen: &Seen) {
        // It may have begun since the last result.
        let gap = seen.at.saturating_sub(self.until);
        let parts = (gap / STEP + 1).min(8);
        for (severity, of_severity) in kind.severities() {
            let weight = self.begin * gap as f64 * of_severity;
            self.hypotheses.push(Hypothesis::new(self.until + gap / 2, severity, None, weight * 0.95, kind));
            for turn in 0..5 {
                let turn = MINUTE * 3 / 2 + MINUTE * (2 * turn + 1) / 10;
                let weight = weight * 0.05 / 5.0 / parts as f64;
                for part in 0..parts {
                    let begin = self.until + gap * (2 * part + 1) / (2 * parts);
                    self.hypotheses.push(Hypothesis::new(begin, severity, Some(turn), weight, kind));
                }
            }
        }
        self.until = seen.at;
        let least = NOTHING * self.begin * MINUTE as f64;
        self.hypotheses.retain_mut(|hypothesis| {
            hypothesis.see(kind, seen);
            hypothesis.weight() > least
        });
    }
}

impl Hypothesis {
    fn new(begin: u64, severity: f64, turn: Option<u64>, weight: f64, kind: Kind) -> Self {
        let mut lasts = [0.0; 3];
        lasts[..kind.class_count()].fill(weight / kind.class_count() as f64);
        Self { begin, severity, turn, lasts, over: 0.0, at: begin }
    }

    fn weight(&self) -> f64 {
        self.lasts.iter().sum::<f64>() + self.over
    }

    fn is_up(&self, at: u64) -> bool {
        at >= self.begin && self.turn.is_none_or(|turn| ((at - self.begin) / turn).is_multiple_of(2))
    }

    /// Bayes: times P(seen | fault) / P(seen | none).
    fn see(&mut self, kind: Kind, seen: &Seen) {
        // It lasts 10 to 30 min, each as likely.
        let lasting = |at: u64| ((30.0 - at.saturating_sub(self.begin) as f64 / MINUTE as f64) / 20.0).clamp(0.0, 1.0);
        let (before, now) = (lasting(self.at), lasting(seen.at));
        if now < before {
            let stays = now / before;
            self.over += (1.0 - stays) * self.lasts.iter().sum::<f64>();
            self.lasts.iter_mut().for_each(|weight| *weight *= stays);
        }
        self.at = seen.at;
        let severity = if self.is_up(seen.at) { self.severity } else { 0.0 };
        // A failure that the fault made was none of an interruption.
        let suspected = seen.suspicion.kind == Some(kind);
        let none = if suspected { seen.suspicion.probability } else { 0.0 };
        let own = if self.is_up(seen.suspicion.since) { 0.0 } else { none };
        // One of another kind leaves less to chance.
        let elsewhere = if suspected { 0.0 } else { seen.suspicion.probability };
        if seen.kind == Some(kind) {
            let classes = kind.class_count() as f64;
            let chance = (1.0 - elsewhere) * seen.noise * kind.share_of_noise();
            let background = |interrupted: f64| interrupted + (1.0 - interrupted) * chance;
            for (class, weight) in self.lasts.iter_mut().enumerate() {
                let main = if class == seen.class { 1.0 } else { 0.0 };
                let shows = if kind == Kind::Quality { 1.0 } else { 0.8 * classes * main + 0.2 };
                *weight *= (severity * shows + (1.0 - severity) * background(own)) / background(none);
            }
            self.over *= background(own) / background(none);
        } else {
            let passes = (1.0 - own) / (1.0 - none);
            let slow = seen.slow.filter(|_| kind == Kind::Latency).map_or(0.0, |slow| severity * slow.exp());
            self.lasts.iter_mut().for_each(|weight| *weight *= ((1.0 - severity) + slow) * passes);
            self.over *= passes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::world::INTERRUPTIONS;
    use super::*;

    /// What a likelihood ratio has to be: over all that can be seen, each as likely as without a fault, its mean is 1.
    #[test]
    fn what_the_observer_makes_of_a_result_is_a_ratio_of_probabilities() {
        let kinds = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Latency);
        let suspicions = [None, Some(Kind::Line), Some(Kind::Audio)];
        for (kind, suspected) in kinds.clone().flat_map(|kind| suspicions.map(|suspected| (kind, suspected))) {
            let probability = suspected.map_or(0.0, |_| INTERRUPTIONS);
            for (begin, severity) in [(0, 0.6), (0, 1.0), (50_000, 0.7), (200_000, 0.8)] {
                let suspicion = Suspicion { since: 40_000, kind: suspected, probability };
                let seen = |shown: Option<Kind>, class| Seen {
                    call: Call::default(),
                    at: 60_000,
                    kind: shown,
                    class,
                    slow: None,
                    touched: (0, None),
                    suspicion,
                    noise: 0.0125,
                };
                let ratio = |shown, class| {
                    let mut hypothesis = Hypothesis::new(begin, severity, None, 0.0, kind);
                    hypothesis.lasts[0] = 1.0;
                    hypothesis.see(kind, &seen(shown, class));
                    hypothesis.weight()
                };
                let mut mean = (1.0 - probability) * (1.0 - 0.0125) * ratio(None, 0);
                for shown in Kind::ALL {
                    let interrupted = if suspected == Some(shown) { probability } else { 0.0 };
                    let likely = interrupted + (1.0 - probability) * 0.0125 * shown.share_of_noise();
                    let classes = shown.class_count();
                    mean += (0..classes).map(|class| likely / classes as f64 * ratio(Some(shown), class)).sum::<f64>();
                }
                assert!((mean - 1.0).abs() < 1e-9, "{kind:?} {suspected:?} {begin} {severity}: {mean}");
            }
        }
    }

    #[test]
    fn the_places_and_kinds_of_faults_have_all_of_their_probability() {
        let all = super::super::world::spots().flat_map(|spot| Kind::ALL.map(|kind| share_of_faults(spot, kind)));
        assert!((all.sum::<f64>() - 1.0).abs() < 1e-9);
        for kind in Kind::ALL {
            assert!((kind.severities().iter().map(|(_, share)| share).sum::<f64>() - 1.0).abs() < 1e-9);
        }
    }
}
