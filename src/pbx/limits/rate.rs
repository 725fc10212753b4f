//! How often something may happen.

use std::time::Instant;

use crate::scenario::lab::Meter;

/// How far a rate is used up.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::pbx) struct Pace {
    /// When the bucket is full again: the theoretical arrival time of ITU-T I.371 annex A.
    full_at: Option<Instant>,
    /// The window that was counted in last, and how many passed in it.
    window: (u128, u32),
}

impl Pace {
    /// True where one more may pass now; it is counted then.
    pub(in crate::pbx) fn take(&mut self, now: Instant, origin: Instant, meter: Meter) -> bool {
        match meter {
            Meter::Bucket { interval, burst } => {
                let full_at = self.full_at.map_or(now, |at| at.max(now));
                let conforms = full_at <= now + interval * burst.saturating_sub(1);
                if conforms {
                    self.full_at = Some(full_at + interval);
                }
                conforms
            }
            Meter::Window { count, .. } => {
                let window = window(now, origin, meter);
                if self.window.0 != window {
                    self.window = (window, 0);
                }
                let passes = self.window.1 < count;
                self.window.1 += u32::from(passes);
                passes
            }
        }
    }

    /// Nothing has to be remembered.
    pub(super) fn is_idle(&self, now: Instant, origin: Instant, meter: Meter) -> bool {
        self.full_at.is_none_or(|at| at <= now) && self.window.0 != window(now, origin, meter)
    }
}

/// Number of the window that `now` is in.
fn window(now: Instant, origin: Instant, meter: Meter) -> u128 {
    match meter {
        Meter::Bucket { .. } => u128::MAX,
        Meter::Window { length, .. } => now.saturating_duration_since(origin).as_nanos() / length.as_nanos().max(1),
    }
}
