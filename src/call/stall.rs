//! Times in which the worker stood still although it had something to do: a machine that is too busy, or a process
//! that was stopped. Legs under way then may show faults that are ours, so each of them remembers it.

use std::time::{Duration, Instant};

use super::callers::Callers;
use super::leg::Phase;

/// A worker that comes this late to what was due has stood still: as the bound of late starts.
const STOOD_STILL: Duration = Duration::from_millis(100);

impl Callers {
    /// Looks back from `now`: was anything due, or did anything arrive, long ago?
    pub(super) fn look_back(&mut self, now: Instant, arrived: Option<Instant>) {
        let since = [self.idle_until.take(), arrived].into_iter().flatten().min();
        let Some(stood) = since.map(|since| now.saturating_duration_since(since)) else { return };
        // Once a turn is enough: what was read first is the oldest.
        if stood < STOOD_STILL || self.looked_back.replace(now) == Some(now) {
            return;
        }
        let legs = self.places.iter_mut().filter(|place| place.n != 0).flat_map(|place| &mut place.legs);
        for leg in legs.filter(|leg| leg.phase != Phase::Done) {
            leg.facts.stalled = leg.facts.stalled.max(Some(stood));
        }
    }
}
