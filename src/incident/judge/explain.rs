//! Which faults explain a set of failures best: likelihoods of a noisy-OR model, with explaining-away.
//!
//! A result fails unless its background and every fault on its way let it pass: P(pass) = (1 − p)·Π(1 − q) (noisy-OR, Pearl
//! 1988 §4.3). So a pass costs each fault on its way ln(1 − q), and a failure that one fault explains is worth nothing
//! to another: faults that overlap are told apart. Sets of faults are found greedily, started from each of the best
//! single faults, and compared by log-likelihood less a price for each fault (its prior).

use crate::incident::labels::Label;

/// The severest fault that is reckoned with: one pass does not rule it out.
pub(super) const Q_MOST: f64 = 0.98;
/// The share of calls that must fail: less is a matter of the background.
pub(super) const Q_LEAST: f64 = 0.15;
/// The price of a fault: ln(1/prior), with a prior of 1 in 10,000 for each value of a label at any moment.
pub(super) const PRICE: f64 = 9.21;
/// The price where a known fault turns out to be part of a wider one (two faults at once on two parts of one thing are less
/// likely than one on the whole), and of one that was over: it is likelier to come back than another to begin, no more.
pub(super) const HALF_A_PRICE: f64 = PRICE / 2.0;
/// A value is told apart from another at such odds (the logarithm): 49 to 1, or 98 %.
const APART: f64 = 3.89;
/// A set has at most so many faults.
const MOST_PICKS: usize = 6;
/// So many single faults are tried as the first of a set.
const STARTS: usize = 6;

/// A failure: how likely it was without any fault, and who failed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failed {
    pub(super) background: f64,
    pub(super) agent: u32,
}

/// What is known of one value since a moment.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    pub(super) id: u32,
    pub(super) label: Label,
    /// Which of the failures carry it.
    pub(super) failed: Vec<u16>,
    /// Results that carry it and could have failed and did not.
    pub(super) passed: u32,
    /// A fault on it is known.
    pub(super) known: bool,
    /// What a fault on it costs: ln(1/prior).
    pub(super) price: f64,
}

/// Failures of one family since a moment, and every value that they carry.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    pub(super) failures: Vec<Failed>,
    pub(super) tallies: Vec<Tally>,
    /// Passes of all.
    pub(super) passed: u32,
}

/// One fault of a set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pick {
    pub(super) id: u32,
    /// The share of its calls that fail.
    pub(super) q: f64,
    /// What it gains in log-likelihood, less its price.
    pub(super) score: f64,
}

/// An explanation.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Set {
    pub(super) picks: Vec<Pick>,
    pub(super) total: f64,
}

impl Set {
    pub(super) fn has(&self, id: u32) -> bool {
        self.picks.iter().any(|pick| pick.id == id)
    }
}

/// The gain of a fault: `failed` failures that were likely with `mean` on average and `logs` the sum of the logarithms, and
/// `passed` passes. `None` where less than the share `least` fails.
pub(super) fn gain(failed: f64, mean: f64, logs: f64, passed: f64, least: f64) -> Option<(f64, f64)> {
    let share = failed / (failed + passed);
    let q = share.min(Q_MOST);
    (share >= least).then(|| (q, failed * (1.0 - (1.0 - mean) * (1.0 - q)).ln() - logs + passed * (1.0 - q).ln()))
}

impl Window {
    /// Explanations, the best first, each set of faults once.
    pub(super) fn explanations(&self) -> Vec<Set> {
        let likely = self.likely();
        let single = |at: usize| Some((at, self.score(at, &likely)?.score));
        let mut starts: Vec<(usize, f64)> = (0..self.tallies.len()).filter_map(single).collect();
        starts.sort_by(|a, b| b.1.total_cmp(&a.1));
        let known = |at: usize| self.tallies[at].known;
        let (first, rest) = starts.split_at(starts.len().min(STARTS));
        let starts = first.iter().chain(rest.iter().filter(|(at, _)| known(*at)));
        let mut sets: Vec<Set> = Vec::new();
        for (start, _) in starts {
            let set = self.grow(*start);
            let same =
                |other: &Set| other.picks.len() == set.picks.len() && set.picks.iter().all(|pick| other.has(pick.id));
            match sets.iter_mut().find(|other| same(other)) {
                // The same faults in another order: the order that explains most.
                Some(other) if other.total < set.total => *other = set,
                Some(_) => {}
                None => sets.push(set),
            }
        }
        sets.sort_by(|a, b| b.total.total_cmp(&a.total));
        sets
    }

    fn likely(&self) -> Vec<(f64, f64)> {
        self.failures.iter().map(|failure| (failure.background, failure.background.ln())).collect()
    }

    fn grow(&self, start: usize) -> Set {
        let mut likely = self.likely();
        let mut set = Set { picks: Vec::new(), total: 0.0 };
        let mut next = self.score(start, &likely).map(|pick| (start, pick));
        while let Some((at, pick)) = next {
            set.total += pick.score;
            set.picks.push(pick);
            for failure in &self.tallies[at].failed {
                let likely = &mut likely[usize::from(*failure)];
                likely.0 = 1.0 - (1.0 - likely.0) * (1.0 - pick.q);
                likely.1 = likely.0.ln();
            }
            if set.picks.len() == MOST_PICKS {
                break;
            }
            let others = (0..self.tallies.len()).filter(|at| !set.has(self.tallies[*at].id));
            let scored = others.filter_map(|at| Some((at, self.score(at, &likely)?)));
            next = scored.filter(|(_, pick)| pick.score > 0.0).max_by(|a, b| a.1.score.total_cmp(&b.1.score));
        }
        set
    }

    /// What a fault on a value would explain, given how likely each failure already is (and the logarithm of that).
    fn score(&self, at: usize, likely: &[(f64, f64)]) -> Option<Pick> {
        let tally = &self.tallies[at];
        let (pick, several) = self.score_of_any(tally, likely)?;
        // One agent never shows more than itself.
        (several || tally.known || tally.label == Label::Agent).then_some(pick)
    }

    /// The same, and whether several agents failed.
    fn score_of_any(&self, tally: &Tally, likely: &[(f64, f64)]) -> Option<(Pick, bool)> {
        let (mut count, mut sum, mut logs) = (0.0, 0.0, 0.0);
        let (mut agent, mut several) = (None, false);
        let counts = |at: &usize| likely[*at].0 < 0.5;
        for failure in tally.failed.iter().map(|at| usize::from(*at)).filter(counts) {
            count += 1.0;
            sum += likely[failure].0;
            logs += likely[failure].1;
            let who = self.failures[failure].agent;
            several |= agent.is_some_and(|agent| agent != who);
            agent = Some(who);
        }
        if count == 0.0 {
            return None;
        }
        let least = if tally.known { 0.0 } else { Q_LEAST };
        let (q, gain) = gain(count, sum / count, logs, f64::from(tally.passed), least)?;
        Some((Pick { id: tally.id, q, score: gain - tally.price }, several))
    }

    /// Whether passes tell an agent apart from all else that each of its failures carries.
    pub(super) fn is_apart(&self, agent: &Tally) -> bool {
        let likely = self.likely();
        let score = |tally: &Tally| self.score_of_any(tally, &likely).map_or(f64::MIN, |(pick, _)| pick.score);
        let carry = |other: &&Tally| agent.failed.iter().all(|failure| other.failed.contains(failure));
        let mut others = self.tallies.iter().filter(|other| other.id != agent.id).filter(carry);
        let own = score(agent);
        others.all(|other| score(other) <= own - APART)
    }
}

/// The probability of a fault among the explanations: the share of e^total of those that hold it, *nothing at all* being
/// one more explanation with a total of 0.
pub(super) fn posterior(sets: &[Set], id: u32) -> f64 {
    let most = sets.iter().map(|set| set.total).fold(0.0, f64::max);
    let weight = |set: &Set| (set.total - most).exp();
    let all: f64 = sets.iter().map(weight).sum::<f64>() + (-most).exp();
    sets.iter().filter(|set| set.has(id)).map(weight).sum::<f64>() / all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values as (id, label, failures that carry it, passes).
    fn window(failures: usize, agents: &[u32], values: &[(u32, Label, &[u16], u32)]) -> Window {
        let failed = |at: usize| Failed { background: 0.02, agent: agents[at % agents.len()] };
        let tally = |(id, label, failed, passed): &(u32, Label, &[u16], u32)| Tally {
            id: *id,
            label: *label,
            failed: failed.to_vec(),
            passed: *passed,
            known: false,
            price: PRICE,
        };
        Window {
            failures: (0..failures).map(failed).collect(),
            tallies: values.iter().map(tally).collect(),
            passed: 50,
        }
    }

    #[test]
    fn five_failures_without_a_pass_gain_what_the_formula_says() {
        let (q, gained) = gain(5.0, 0.02, 5.0 * 0.02f64.ln(), 0.0, Q_LEAST).expect("all fail");
        assert_eq!(q, 0.98);
        assert!((gained - 5.0 * ((1.0 - 0.98 * 0.02f64) / 0.02).ln()).abs() < 1e-9, "{gained}");
        assert_eq!(gain(1.0, 0.02, 0.02f64.ln(), 9.0, Q_LEAST), None, "one in ten is background");
    }

    #[test]
    fn the_trunk_that_leaves_the_passes_out_beats_its_gateway() {
        let all: Vec<u16> = (0..6).collect();
        let sets = window(6, &[1, 2, 3], &[(7, Label::Trunk, &all, 0), (8, Label::Gateway, &all, 6)]).explanations();
        assert_eq!(sets[0].picks.iter().map(|pick| pick.id).collect::<Vec<_>>(), [7]);
        assert!(posterior(&sets, 7) > 0.99, "{}", posterior(&sets, 7));
    }

    #[test]
    fn a_gateway_that_fails_whole_beats_both_of_its_trunks() {
        let all: Vec<u16> = (0..8).collect();
        let values: [(u32, Label, &[u16], u32); 3] =
            [(1, Label::Trunk, &all[..4], 0), (2, Label::Trunk, &all[4..], 0), (3, Label::Gateway, &all, 0)];
        let sets = window(8, &[1, 2, 3], &values).explanations();
        assert_eq!(sets[0].picks.iter().map(|pick| pick.id).collect::<Vec<_>>(), [3]);
        assert!(posterior(&sets, 3) > 0.99);
    }

    #[test]
    fn two_faults_that_cross_are_both_found() {
        // Ten failures of a trunk, ten of a site, two of both.
        let (trunk, site): (Vec<u16>, Vec<u16>) = ((0..12).collect(), (10..22).collect());
        let values: [(u32, Label, &[u16], u32); 3] = [
            (1, Label::Trunk, &trunk, 0),
            (2, Label::Site, &site, 0),
            (3, Label::Platform, &(0..22).collect::<Vec<_>>(), 50),
        ];
        let sets = window(22, &[1, 2, 3], &values).explanations();
        let mut ids: Vec<u32> = sets[0].picks.iter().map(|pick| pick.id).collect();
        ids.sort_unstable();
        assert_eq!(ids, [1, 2]);
    }

    #[test]
    fn one_agent_never_shows_more_than_itself() {
        let all: Vec<u16> = (0..9).collect();
        let values: [(u32, Label, &[u16], u32); 2] = [(1, Label::Agent, &all, 3), (2, Label::Trunk, &all, 0)];
        let sets = window(9, &[1], &values).explanations();
        assert!(sets.iter().all(|set| !set.has(2)), "{sets:?}");
    }
}
