//! Time stamps that are unique in their series: two points with equal tags and time silently become one.
//!
//! A point is moved by single nanoseconds, once, before it reaches the disk; each delivery then repeats the same
//! bytes, so sending twice changes nothing.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

/// Times remembered per series. Calls end nearly in order, so a few seconds of the busiest series are enough.
const REMEMBERED: usize = 65_536;

/// Hands out each time of a series once.
#[derive(Debug, Default)]
pub(super) struct UniqueTimes {
    series: FxHashMap<u64, Taken>,
}

#[derive(Debug)]
struct Taken {
    times: BTreeSet<i64>,
    /// Times up to here are forgotten and count as taken.
    forgotten: i64,
    /// The last request and what it got: many calls end in the same turn of a worker, at the very same time.
    last: (i64, i64),
}

impl UniqueTimes {
    /// The first free time of `series` from `wanted` on, in nanoseconds.
    pub(super) fn take(&mut self, series: u64, wanted: i64) -> i64 {
        self.series.entry(series).or_insert_with(Taken::new).take(wanted)
    }
}

impl Taken {
    fn new() -> Self {
        Self { times: BTreeSet::new(), forgotten: i64::MIN, last: (i64::MIN, i64::MIN) }
    }

    fn take(&mut self, wanted: i64) -> i64 {
        let mut time = wanted.max(self.forgotten.saturating_add(1));
        if self.last.0 == wanted {
            time = time.max(self.last.1 + 1);
        }
        while !self.times.insert(time) {
            time += 1;
        }
        self.last = (wanted, time);
        if self.times.len() > REMEMBERED {
            self.forget_half();
        }
        time
    }

    fn forget_half(&mut self) {
        for _ in 0..REMEMBERED / 2 {
            self.forgotten = self.times.pop_first().unwrap_or(self.forgotten);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_times_of_a_series_move_by_single_nanoseconds() {
        let mut times = UniqueTimes::default();
        assert_eq!([5, 5, 5, 6, 4, 5].map(|wanted| times.take(1, wanted)), [5, 6, 7, 8, 4, 9]);
        assert_eq!(times.take(2, 5), 5, "another series");
    }

    #[test]
    fn a_burst_at_one_moment_stays_unique_after_old_times_are_forgotten() {
        let mut times = UniqueTimes::default();
        let taken: BTreeSet<i64> = (0..200_000).map(|_| times.take(1, 1_000)).collect();
        assert_eq!(taken.len(), 200_000);
        assert_eq!(taken.last(), Some(&200_999));
        assert!(!taken.contains(&times.take(1, 1_001)));
    }
}
