//! Units as types inside, suffixes (`_ms`, `_pct`) at the edge.

mod masked;
mod period;
mod printable;
mod random;
mod redacted;

pub use masked::masked;
pub use period::{Period, PeriodError};
pub use printable::{is_steering, printable};
pub use random::Random;
pub use redacted::{Redacted, Secret};

use std::fmt;
use std::time::Duration;

/// Call attempts per second; finite and not negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct CallsPerSecond(f64);

impl CallsPerSecond {
    /// A rate, or `None` where it is negative, infinite or not a number.
    pub fn new(rate: f64) -> Option<Self> {
        (rate.is_finite() && rate >= 0.0).then_some(Self(rate))
    }

    /// Calls per second as a number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl fmt::Display for CallsPerSecond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", self.0)
    }
}

/// Milliseconds with a fraction, the unit of every `_ms` field.
pub fn millis(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1e6
}
