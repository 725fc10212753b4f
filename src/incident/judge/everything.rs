//! Whether everything fails from a site: then it is the probe's own.

use super::Judge;
use super::evidence::Seen;
use super::explain::Tally;
use super::fault::Fault;
use crate::incident::family::Family;
use crate::incident::labels::Label;

/// Calls of a site that must have failed before one says that everything fails from there, which part of them is left out (the
/// first may have been background), and how many must have passed before one says that not everything does.
const EVERYTHING: (usize, usize, usize) = (32, 4, 3);

impl Judge {
    /// Whether everything fails from a site: no call that began after the first failures has passed.
    pub(super) fn is_everything(&self, tally: &Tally, fault: &Fault) -> bool {
        let heard_badly = matches!(fault.family, Family::Quality | Family::Latency);
        let own = self.state.log.failures.iter().filter(|it| it.at >= fault.onset && !it.done && fault.explains(it));
        let own: Vec<u64> = own.map(|failure| failure.at).collect();
        tally.label == Label::Site && !heard_badly && self.passed_all_the_same(fault.id, &own).next().is_none()
    }

    /// Whether it does not show yet if everything fails from a site: few of its calls failed, or those that began since may
    /// be under way, and hardly any of them passed.
    pub(super) fn may_be_everything(&self, site: u32, failures: &[u64]) -> bool {
        let since = everything_since(failures);
        let under_way = || self.state.now < since + self.state.log.longest_since(since);
        let early = failures.len() < EVERYTHING.0 || under_way();
        early && self.passed_all_the_same(site, failures).nth(EVERYTHING.2 - 1).is_none()
    }

    /// Calls of a site that passed though they began after the first failures.
    fn passed_all_the_same(&self, site: u32, failures: &[u64]) -> impl Iterator<Item = &Seen> {
        let begun = self.state.log.begun_since(everything_since(failures));
        begun.filter(move |seen| seen.ids[Label::Site.index()] == site && seen.is_well())
    }
}

/// Since when everything may have failed.
fn everything_since(failures: &[u64]) -> u64 {
    failures.get(failures.len() / EVERYTHING.1).copied().unwrap_or(0)
}
