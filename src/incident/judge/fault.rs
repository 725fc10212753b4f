//! A fault that is known: on which value, how severe, and whether its calls pass again.

use serde::{Deserialize, Serialize};

use super::evidence::Failure;
use super::explain::Q_MOST;
use super::values::Ids;
use crate::incident::family::{Family, Stage};
use crate::incident::labels::Label;
use crate::incident::snapshot::Undecided;

/// Log-likelihood ratio at which its calls pass again: 10,000 to 1.
const RECOVERED: f64 = 9.21;
/// The least severity that the way back is reckoned with.
const Q_FLOOR: f64 = 0.1;
/// Results of which the severity is the mean; older ones are forgotten by halves.
const MEMORY: f64 = 64.0;

/// A fault of one family on one value.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Fault {
    pub(super) label: Label,
    pub(super) id: u32,
    pub(super) family: Family,
    /// The number of its incident.
    pub(super) incident: u64,
    /// Its first failure, ms.
    pub(super) onset: u64,
    /// When its scope was last looked at, ms.
    pub(super) checked: u64,
    /// Its last result, ms.
    pub(super) last: u64,
    /// The share of its calls that fail.
    pub(super) q: f64,
    failed: f64,
    tested: f64,
    /// Passes since the last failure: they count for the severity only if it fails again before it is over.
    held: f64,
    /// Page's sum (CUSUM, Page 1954) of ln(P(result | over) / P(result | goes on)).
    walk: f64,
    /// When the sum was last as high as it can be: what came since may be the fault again.
    pub(super) top: u64,
    /// Since when the sum stands above its bound.
    pub(super) over: Option<u64>,
    pub(super) failed_again: u32,
    pub(super) passed_again: u32,
    pub(super) confidence: f64,
    pub(super) undecided: Option<(Undecided, Vec<u32>)>,
    /// Everything fails from this site.
    pub(super) everything: bool,
    /// The value that its last check would rather have had it on.
    pub(super) doubt: Option<u32>,
}

impl Fault {
    pub(super) fn new(label: Label, id: u32, family: Family, incident: u64, onset: u64, now: u64) -> Self {
        Self {
            label,
            id,
            family,
            incident,
            onset,
            checked: now,
            last: now,
            q: Q_MOST,
            failed: 0.0,
            tested: 0.0,
            held: 0.0,
            walk: 0.0,
            top: onset,
            over: None,
            failed_again: 0,
            passed_again: 0,
            confidence: 0.0,
            undecided: None,
            everything: false,
            doubt: None,
        }
    }

    pub(super) fn stage(&self) -> Stage {
        self.family.stage()
    }

    pub(super) fn covers(&self, ids: &Ids) -> bool {
        ids[self.label.index()] == self.id
    }

    /// Whether a failure is one of its own, as far as it can be: not before it began and not after it was
    /// over.
    pub(super) fn explains(&self, failure: &Failure) -> bool {
        failure.family == self.family
            && failure.at >= self.onset
            && self.covers(&failure.ids)
            && self.over.is_none_or(|over| failure.at <= over)
    }

    /// What was counted before it was known.
    pub(super) fn begin(&mut self, failed: f64, passed: f64) {
        (self.failed, self.tested) = (failed, failed + passed);
        self.q = share(self.failed, self.tested);
        (self.walk, self.over) = (0.0, None);
    }

    /// A failure on it, that would have been as likely as `otherwise` without it: one that another fault explains says
    /// nothing of this one.
    pub(super) fn fail(&mut self, now: u64, otherwise: f64) {
        self.last = now;
        if self.over.is_none() && otherwise < 0.5 {
            self.failed += 1.0;
            self.tested += 1.0 + std::mem::take(&mut self.held);
            if self.tested > MEMORY {
                (self.failed, self.tested) = (self.failed / 2.0, self.tested / 2.0);
            }
            self.q = share(self.failed, self.tested);
        }
        self.step((otherwise / (1.0 - (1.0 - otherwise) * (1.0 - self.q))).ln(), now);
    }

    /// A pass on it: with the fault it would have been less likely by 1 − q, whatever else is there.
    pub(super) fn pass(&mut self, now: u64) {
        self.last = now;
        self.held += 1.0;
        self.step(-(1.0 - self.q).ln(), now);
    }

    fn step(&mut self, step: f64, now: u64) {
        // Bounded above, so that a fault that comes back is soon believed.
        self.walk = (self.walk + step).clamp(0.0, 2.0 * RECOVERED);
        if self.walk == 2.0 * RECOVERED {
            self.top = now;
        }
        if self.walk >= RECOVERED {
            self.over = self.over.or(Some(now));
        }
    }

    /// Whether it was over and its calls fail again: it may be back, or another fault that touches them has begun.
    pub(super) fn may_be_back(&self) -> bool {
        self.over.is_some() && self.walk < RECOVERED
    }

    /// It was not over.
    pub(super) fn come_back(&mut self) {
        self.over = None;
    }
}

/// The share that fails, with half a call of each kind more than was seen (Jeffreys' prior).
fn share(failed: f64, tested: f64) -> f64 {
    ((failed + 0.5) / (tested + 1.0)).clamp(Q_FLOOR, Q_MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKGROUND: f64 = 0.01;

    fn fault() -> Fault {
        let mut fault = Fault::new(Label::Trunk, 1, Family::Line, 0, 0, 100);
        fault.begin(50.0, 0.0);
        fault
    }

    #[test]
    fn three_passes_show_that_a_total_fault_is_over() {
        // −ln(1 − 0.98) = 3.91 each, against 9.21.
        let mut fault = fault();
        fault.pass(200);
        fault.pass(300);
        assert_eq!(fault.over, None);
        fault.pass(400);
        assert_eq!(fault.over, Some(400));
    }

    #[test]
    fn one_failure_among_many_passes_does_not_undo_it_and_several_do() {
        let mut fault = fault();
        (2..9).for_each(|at| fault.pass(at * 100));
        fault.fail(900, BACKGROUND);
        assert_eq!(fault.over, Some(400));
        assert!(!fault.may_be_back());
        (10..14).for_each(|at| fault.fail(at * 100, BACKGROUND));
        assert!(fault.may_be_back());
        fault.come_back();
        assert_eq!(fault.over, None);
    }

    #[test]
    fn failures_that_another_fault_explains_do_not_bring_it_back() {
        let mut fault = fault();
        (2..9).for_each(|at| fault.pass(at * 100));
        (9..200).for_each(|at| fault.fail(at * 100, 0.98));
        assert!(!fault.may_be_back());
    }
}
