//! Load as one value: every way of asking for it is lowered to this.
//!
//! An **open** schedule fixes the start of the k-th call in advance (k6's arrival rate): a start that is due happens,
//! or is counted as dropped, and is never quietly delayed. A **closed** load keeps a number of attempts going: the
//! next starts when one ends.

use std::time::Duration;

use super::arrivals::{Arrivals, peak_of};
use super::search;
use crate::units::CallsPerSecond;

/// When attempts start and when no more do.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// When attempts start.
    pub schedule: Schedule,
    /// When no more start.
    pub stop: Stop,
}

/// The shape of the load.
#[derive(Clone, Debug, PartialEq)]
pub enum Schedule {
    /// This many attempts at the same time, the next as one ends.
    Closed {
        /// Attempts at the same time, at least 1.
        concurrent: u32,
    },
    /// An attempt begins when a call comes in: `ringfleet answer`.
    OnDemand,
    /// An attempt starts when the watch says so, at most so many at the same time.
    OnCommand {
        /// How many.
        concurrent: u32,
    },
    /// An attempt begins when the search for a limit wants one.
    Search(Box<search::Settings>),
    /// A rate that changes linearly over each ramp.
    Open {
        /// Ramps in order; the first starts from its own rate where it holds, else from 0.
        ramps: Vec<Ramp>,
        /// How starts are spaced along them.
        arrivals: Arrivals,
    },
}

/// A stretch of an open schedule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ramp {
    /// Rate at its start.
    pub from: CallsPerSecond,
    /// Rate at its end.
    pub to: CallsPerSecond,
    /// Length; `None` only on the last, which then holds until [`Stop`].
    pub over: Option<Duration>,
}

/// When no more attempts start. With both, whichever comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stop {
    /// After this many attempts.
    pub calls: Option<u64>,
    /// After this long.
    pub after: Option<Duration>,
}

impl Load {
    /// Attempts one after another.
    pub fn calls(calls: u64) -> Self {
        Self { schedule: Schedule::Closed { concurrent: 1 }, stop: Stop { calls: Some(calls), after: None } }
    }

    /// When attempt `k` (from 0) is due, counted from the start of the run; `None` where no attempt `k` will start
    /// or, for closed loads, where its start depends on the end of another.
    pub fn start_of(&self, k: u64) -> Option<Duration> {
        if self.stop.calls.is_some_and(|calls| k >= calls) {
            return None;
        }
        let Schedule::Open { ramps, arrivals } = &self.schedule else { return None };
        let due = open_start(ramps, arrivals.position(k))?;
        self.stop.after.is_none_or(|end| due < end).then_some(due)
    }

    /// Attempts that will start, where the load says so by itself.
    pub fn planned(&self) -> Option<u64> {
        let by_time = match (&self.schedule, self.stop.after) {
            (Schedule::Closed { .. } | Schedule::OnDemand | Schedule::OnCommand { .. } | Schedule::Search(_), _) => {
                None
            }
            (Schedule::Open { ramps, arrivals }, after) => {
                open_total(ramps, after).map(|total| arrivals.count_below(total))
            }
        };
        match (self.stop.calls, by_time) {
            (Some(calls), Some(total)) => Some(calls.min(total)),
            (calls, total) => calls.or(total),
        }
    }

    /// The search that decides when attempts start, where one does.
    pub fn search(&self) -> Option<&search::Settings> {
        match &self.schedule {
            Schedule::Search(settings) => Some(settings),
            _ => None,
        }
    }

    /// Starts are drawn at random.
    pub fn is_random(&self) -> bool {
        matches!(self.schedule, Schedule::Open { arrivals: Arrivals::Poisson { .. }, .. })
    }

    /// The same load with evenly spaced starts.
    pub fn evened(&self) -> Self {
        let mut load = self.clone();
        if let Schedule::Open { arrivals, .. } = &mut load.schedule {
            *arrivals = Arrivals::Even;
        }
        load
    }

    /// Highest rate that the schedule asks for; `None` for closed loads. Where starts are drawn at random, single seconds
    /// have more: see [`Load::peak_second`].
    pub fn peak_rate(&self) -> Option<CallsPerSecond> {
        let Schedule::Open { ramps, .. } = &self.schedule else { return None };
        let peak = ramps.iter().flat_map(|ramp| [ramp.from.get(), ramp.to.get()]).fold(0.0, f64::max);
        CallsPerSecond::new(peak)
    }

    /// Starts that the fullest second may have; `None` for closed loads.
    pub fn peak_second(&self) -> Option<f64> {
        let peak = self.peak_rate()?.get();
        Some(if self.is_random() { peak_of(peak) } else { peak })
    }
}

/// The moment at which the integral of the rate reaches `k`.
fn open_start(ramps: &[Ramp], mut k: f64) -> Option<Duration> {
    let mut elapsed = 0.0;
    for ramp in ramps {
        let (from, to) = (ramp.from.get(), ramp.to.get());
        let Some(over) = ramp.over.map(|over| over.as_secs_f64()) else {
            return (to > 0.0).then(|| Duration::from_secs_f64(elapsed + k / to));
        };
        let starts = (from + to) / 2.0 * over;
        if k < starts {
            return Some(Duration::from_secs_f64(elapsed + time_of(k, from, to, over)));
        }
        k -= starts;
        elapsed += over;
    }
    None
}

/// Solves `from·t + (to − from)/(2·over)·t² = k` for t in 0..=over.
fn time_of(k: f64, from: f64, to: f64, over: f64) -> f64 {
    if k <= 0.0 {
        return 0.0;
    }
    let slope = (to - from) / over;
    if slope.abs() < 1e-12 {
        return k / from;
    }
    // The form without cancellation: both signs of the slope, and from = 0, stay exact.
    2.0 * k / (from + (from * from + 2.0 * slope * k).max(0.0).sqrt())
}

/// The integral of the rate over the whole schedule.
fn open_total(ramps: &[Ramp], after: Option<Duration>) -> Option<f64> {
    let mut left = after.map_or(f64::INFINITY, |after| after.as_secs_f64());
    let mut total = 0.0;
    for ramp in ramps {
        let (from, to) = (ramp.from.get(), ramp.to.get());
        let over = ramp.over.map_or(f64::INFINITY, |over| over.as_secs_f64());
        let taken = over.min(left);
        if taken.is_infinite() {
            return None;
        }
        let end = if over.is_finite() { from + (to - from) * taken / over } else { to };
        total += (from + end) / 2.0 * taken;
        left -= taken;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(rate: f64) -> CallsPerSecond {
        CallsPerSecond::new(rate).expect("valid")
    }

    fn constant(per_second: f64, stop: Stop) -> Load {
        let ramp = Ramp { from: rate(per_second), to: rate(per_second), over: None };
        Load { schedule: Schedule::Open { ramps: vec![ramp], arrivals: Arrivals::Even }, stop }
    }

    #[test]
    fn a_constant_rate_starts_at_exact_multiples_without_drift() {
        let load = constant(100.0, Stop { calls: Some(1_000_000), after: None });
        assert_eq!(load.start_of(0), Some(Duration::ZERO));
        assert_eq!(load.start_of(250), Some(Duration::from_millis(2500)));
        assert_eq!(load.start_of(999_999), Some(Duration::from_micros(9_999_990_000)));
        assert_eq!(load.start_of(1_000_000), None);
        assert_eq!(load.planned(), Some(1_000_000));
    }

    #[test]
    fn a_ramp_from_zero_follows_the_square_root() {
        let ramps = vec![
            Ramp { from: rate(0.0), to: rate(50.0), over: Some(Duration::from_secs(30)) },
            Ramp { from: rate(50.0), to: rate(50.0), over: Some(Duration::from_secs(300)) },
        ];
        let load = Load { schedule: Schedule::Open { ramps, arrivals: Arrivals::Even }, stop: Stop::default() };
        assert_eq!(load.planned(), Some(750 + 15_000));
        assert_eq!(load.start_of(0), Some(Duration::ZERO));
        // Half the time of a ramp from zero sees a quarter of its calls.
        let quarter = load.start_of(187).expect("due");
        assert!((quarter.as_secs_f64() - 14.98).abs() < 0.01, "{quarter:?}");
        assert_eq!(load.start_of(750), Some(Duration::from_secs(30)));
        assert_eq!(load.start_of(15_750), None);
        assert_eq!(load.peak_rate(), Some(rate(50.0)));
    }

    #[test]
    fn a_ramp_down_never_goes_back_in_time() {
        let ramps = vec![Ramp { from: rate(50.0), to: rate(0.0), over: Some(Duration::from_secs(10)) }];
        let load = Load { schedule: Schedule::Open { ramps, arrivals: Arrivals::Even }, stop: Stop::default() };
        let starts: Vec<Duration> = (0..250).map(|k| load.start_of(k).expect("due")).collect();
        assert!(starts.is_sorted());
        assert_eq!(load.start_of(250), None);
    }

    #[test]
    fn the_time_limit_ends_an_open_schedule() {
        let load = constant(10.0, Stop { calls: None, after: Some(Duration::from_secs(3)) });
        assert_eq!(load.planned(), Some(30));
        assert_eq!(load.start_of(29), Some(Duration::from_millis(2900)));
        assert_eq!(load.start_of(30), None);
    }

    #[test]
    fn a_closed_load_plans_its_calls_and_leaves_their_starts_open() {
        let load = Load::calls(3);
        assert_eq!(load.planned(), Some(3));
        assert_eq!(load.start_of(0), None);
        assert_eq!(load.peak_rate(), None);
    }

    #[test]
    fn poisson_starts_follow_the_rate_and_end_with_the_time() {
        let arrivals = Arrivals::Poisson { seed: 11 };
        let ramps = vec![
            Ramp { from: rate(0.0), to: rate(50.0), over: Some(Duration::from_secs(40)) },
            Ramp { from: rate(50.0), to: rate(50.0), over: Some(Duration::from_secs(100)) },
        ];
        let load = Load { schedule: Schedule::Open { ramps, arrivals }, stop: Stop::default() };
        let planned = load.planned().expect("known");
        assert!((planned as f64 - 6000.0).abs() < 5.0 * 6000f64.sqrt(), "{planned}");
        let starts: Vec<Duration> = (0..planned).map(|k| load.start_of(k).expect("due")).collect();
        assert!(starts.is_sorted() && *starts.last().expect("some") < Duration::from_secs(140));
        assert_eq!(load.start_of(planned), None);
        // The ramp has a sixth of them, and half of its time a quarter of these.
        let before = |seconds| starts.partition_point(|start| *start < Duration::from_secs(seconds)) as f64;
        assert!((before(40) - 1000.0).abs() < 5.0 * 1000f64.sqrt(), "{}", before(40));
        assert!((before(20) - 250.0).abs() < 5.0 * 250f64.sqrt(), "{}", before(20));
    }

    #[test]
    fn nothing_starts_in_a_pause_and_the_first_attempt_after_it_starts_at_its_end() {
        let hold = |per_second, seconds| {
            let rate = rate(per_second);
            Ramp { from: rate, to: rate, over: Some(Duration::from_secs(seconds)) }
        };
        let ramps = vec![hold(0.0, 5), hold(10.0, 2), hold(0.0, 60), hold(20.0, 1)];
        let load = Load { schedule: Schedule::Open { ramps, arrivals: Arrivals::Even }, stop: Stop::default() };
        assert_eq!(load.planned(), Some(40));
        let starts = [0, 19, 20, 39].map(|k| load.start_of(k).expect("due").as_millis());
        assert_eq!(starts, [5_000, 6_900, 67_000, 67_950]);
    }
}
