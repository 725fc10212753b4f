//! What is usual at this hour of the day: mean and variance of delays and MOS.

use serde::{Deserialize, Serialize};

/// A figure that has a baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Figure {
    /// Logarithm of the session request delay in ms.
    Srd,
    /// Logarithm of the set-up time in ms.
    Setup,
    /// MOS.
    Mos,
}

/// So many values are remembered (the weight of a value halves after about 350 more).
const MEMORY: f32 = 500.0;
/// With fewer values there is no baseline.
const ENOUGH: f32 = 30.0;
/// Standard deviations that a value may lie from the mean: one in 740 of a normal distribution lies beyond (one side).
const WITHIN: f32 = 3.0;
/// A delay that is longer than usual by less than this, ms, is nothing to tell anybody.
const NOTICED: f32 = 100.0;
/// A value out of range counts this much, so that what has changed for good becomes usual in the end.
const OUT_OF_RANGE: f32 = 0.02;
/// All hours together, for an hour that has seen too little.
const WHOLE_DAY: usize = 24;

/// Mean and variance with exponential forgetting (West 1979).
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Course {
    weight: f32,
    mean: f32,
    variance: f32,
}

impl Course {
    fn add(&mut self, value: f32, weight: f32) {
        self.weight = (self.weight + weight).min(MEMORY);
        let off = value - self.mean;
        self.mean += off * weight / self.weight;
        self.variance += (off * (value - self.mean) - self.variance) * weight / self.weight;
    }
}

/// The baselines of one trunk: three figures, 24 hours and the whole day.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Usual([[Course; 3]; 25]);

/// How a value compares with what is usual.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Compared {
    /// In its range.
    Usual,
    /// Out of it on the bad side, where values so far out come with this probability if nothing is wrong.
    Off(f64),
}

impl Compared {
    /// The probability of a value that is off.
    pub(super) fn chance(self) -> Option<f64> {
        match self {
            Self::Usual => None,
            Self::Off(chance) => Some(chance),
        }
    }
}

impl Usual {
    /// Compares a value with its range and takes it in; `None` without a baseline.
    ///
    /// The range ends `3σ + slack` from the mean, upwards for delays (of their logarithm, and no nearer than 100 ms) and
    /// downwards for MOS. How likely a value beyond it is comes from the tail of the normal distribution.
    pub(super) fn compare(&mut self, figure: Figure, value: f64, hour: usize) -> Option<Compared> {
        let (value, least, slack) = match figure {
            Figure::Srd | Figure::Setup => (value.max(1e-3).ln() as f32, 0.05, 0.1),
            Figure::Mos => (-value as f32, 0.05, 0.2),
        };
        let known = [hour, WHOLE_DAY].map(|at| self.0[at][figure as usize]);
        let range = known.into_iter().find(|course| course.weight >= ENOUGH).map(|course| {
            let deviation = course.variance.max(0.0).sqrt().max(least);
            let end = course.mean + WITHIN * deviation + slack;
            let noticed = match figure {
                Figure::Srd | Figure::Setup => (course.mean.exp() + NOTICED).ln(),
                Figure::Mos => f32::MIN,
            };
            (end.max(noticed), (value - course.mean) / deviation)
        });
        let compared = range.map(|(end, z)| if value > end { Compared::Off(tail(z)) } else { Compared::Usual });
        let weight = if matches!(compared, Some(Compared::Off(_))) { OUT_OF_RANGE } else { 1.0 };
        // A value far out moves the baseline no more than one at the end of the range.
        let value = range.map_or(value, |(end, _)| value.min(end));
        for at in [hour, WHOLE_DAY] {
            self.0[at][figure as usize].add(value, weight);
        }
        compared
    }
}

/// No less than the probability that a normal value lies `z` deviations or more above the mean, for z > 0 (Mills' ratio is less
/// than 1/z: Gordon 1941).
fn tail(z: f32) -> f64 {
    let z = f64::from(z);
    (-z * z / 2.0).exp() / (z * std::f64::consts::TAU.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Usual {
        /// Whether a value is out of its range.
        fn is_off(&mut self, figure: Figure, value: f64, hour: usize) -> Option<bool> {
            self.compare(figure, value, hour).map(|compared| compared != Compared::Usual)
        }
    }

    #[test]
    fn the_tail_of_the_normal_distribution_is_bounded_closely() {
        // 0.00135 beyond 3σ, 3.17e-5 beyond 4σ.
        assert!((tail(3.0) - 0.001_477).abs() < 1e-6, "{}", tail(3.0));
        assert!((tail(4.0) / 3.167e-5 - 1.0).abs() < 0.06, "{}", tail(4.0));
    }

    #[test]
    fn how_likely_a_value_is_that_is_off_falls_with_its_distance() {
        let mut usual = Usual::default();
        for i in 0..200 {
            usual.compare(Figure::Srd, 200.0 + f64::from(i % 40) * 4.0, 0);
        }
        let mut chance = |ms| usual.compare(Figure::Srd, ms, 0).and_then(Compared::chance).expect("off");
        let (near, far) = (chance(800.0), chance(1000.0));
        assert!(near < 1e-3 && far < near / 10.0, "{near} {far}");
    }

    #[test]
    fn a_delay_is_compared_with_its_hour_of_the_day() {
        let mut usual = Usual::default();
        for i in 0..200 {
            usual.is_off(Figure::Srd, 100.0 + f64::from(i % 7), 3);
            usual.is_off(Figure::Srd, 400.0 + f64::from(i % 7), 12);
        }
        assert_eq!(usual.is_off(Figure::Srd, 400.0, 12), Some(false));
        assert_eq!(usual.is_off(Figure::Srd, 400.0, 3), Some(true));
    }

    #[test]
    fn a_delay_of_milliseconds_may_double_and_nobody_is_told() {
        let mut usual = Usual::default();
        (0..200).for_each(|i| assert_ne!(usual.is_off(Figure::Srd, 5.0 + f64::from(i % 3), 0), Some(true)));
        assert_eq!(usual.is_off(Figure::Srd, 100.0, 0), Some(false));
        assert_eq!(usual.is_off(Figure::Srd, 110.0, 0), Some(true));
    }

    #[test]
    fn without_thirty_values_there_is_no_baseline() {
        let mut usual = Usual::default();
        let told: Vec<_> = (0..31).map(|_| usual.is_off(Figure::Setup, 900.0, 5)).collect();
        assert!(told[..30].iter().all(Option::is_none));
        assert_eq!(told[30], Some(false));
        assert_eq!(usual.is_off(Figure::Setup, 2000.0, 6), Some(true), "a new hour is compared with the whole day");
    }

    #[test]
    fn a_lower_mos_is_off_and_a_higher_is_not() {
        let mut usual = Usual::default();
        (0..50).for_each(|_| assert_ne!(usual.is_off(Figure::Mos, 4.3, 0), Some(true)));
        assert_eq!(usual.is_off(Figure::Mos, 4.5, 0), Some(false));
        assert_eq!(usual.is_off(Figure::Mos, 3.8, 0), Some(true));
    }

    #[test]
    fn what_has_changed_for_good_becomes_usual() {
        let mut usual = Usual::default();
        (0..300).for_each(|_| assert_ne!(usual.is_off(Figure::Srd, 100.0, 0), Some(true)));
        let until = (0..20_000).find(|_| usual.is_off(Figure::Srd, 300.0, 0) == Some(false));
        assert!(until.is_some_and(|results| results > 1_000), "{until:?}");
    }
}
