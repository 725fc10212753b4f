//! How long to wait after a failed delivery.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Waits that double with each failure, half of each random: many probes must not come back at the same moment.
#[derive(Clone, Debug)]
pub(crate) struct BackOff {
    first: Duration,
    longest: Duration,
    failures: u32,
    random: u64,
}

impl BackOff {
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, failures: 0, random: RandomState::new().hash_one(0) }
    }

    /// Failures since the last success.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// One more failure.
    pub(crate) fn failed(&mut self) {
        self.failures += 1;
    }

    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// How long to wait now. `asked` is what the server wants: `Retry-After: 0` is no leave to hammer.
    pub(crate) fn wait(&mut self, asked: Option<Duration>) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(16);
        let longest = (self.first * 2_u32.pow(doublings)).min(self.longest);
        // Numerical Recipes' linear congruential generator: spreading needs no more.
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let share = (self.random >> 11) as f64 / (1_u64 << 53) as f64;
        let pause = longest.mul_f64(0.5 + share / 2.0);
        asked.map_or(pause, |asked| asked.max(pause))
    }
}
