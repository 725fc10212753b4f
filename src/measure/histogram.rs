//! Distributions in constant memory: HDR histograms that keep the precision they promise and no more.
//!
//! Milliseconds are kept as whole microseconds with three significant digits; MOS and percentages as whole
//! thousandths with four, so that a MOS is exact. Least, greatest and mean are exact in both.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// What a distribution counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Milliseconds, resolution 1 µs, three significant digits.
    Millis,
    /// MOS 1–5 and percent 0–100: resolution 0.001, exact up to 20, above it four significant digits.
    Small,
}

impl Scale {
    /// Steps per unit: both keep three decimals.
    const STEPS: f64 = 1000.0;
    /// Greatest value that is counted as itself: eleven days in milliseconds.
    const MOST: f64 = 1e9;

    fn digits(self) -> u8 {
        match self {
            Self::Millis => 3,
            Self::Small => 4,
        }
    }
}

/// A distribution of one figure over many attempts.
#[derive(Clone, Debug)]
pub struct Distribution {
    steps: Histogram<u64>,
    unknown: u64,
    sum: f64,
    min: f64,
    max: f64,
}

impl Distribution {
    /// An empty distribution.
    pub fn new(scale: Scale) -> Self {
        let steps = Histogram::new(scale.digits()).expect("0 to 5 digits are allowed");
        Self { steps, unknown: 0, sum: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY }
    }

    /// Counts a value, or that it is not known. Negative values and NaN count as unknown.
    pub fn add(&mut self, value: Option<f64>) {
        let Some(value) = value.filter(|value| value.is_finite() && *value >= 0.0) else {
            self.unknown += 1;
            return;
        };
        let steps = (value.min(Scale::MOST) * Scale::STEPS).round() as u64;
        self.steps.record(steps).expect("it resizes itself, and the value is capped");
        self.sum += value;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// Adds another distribution of the same scale.
    pub fn merge(&mut self, other: &Self) {
        self.steps.add(&other.steps).expect("both resize themselves");
        self.unknown += other.unknown;
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.steps.reset();
        (self.unknown, self.sum, self.min, self.max) = (0, 0.0, f64::INFINITY, f64::NEG_INFINITY);
    }

    /// Known values.
    pub fn count(&self) -> u64 {
        self.steps.len()
    }

    /// Sum of the known values.
    pub fn sum(&self) -> f64 {
        self.sum
    }

    /// Arithmetic mean; `None` without values.
    pub fn mean(&self) -> Option<f64> {
        (self.count() > 0).then(|| rounded(self.sum / self.count() as f64))
    }

    /// Least value; `None` without values.
    pub fn min(&self) -> Option<f64> {
        (self.count() > 0).then(|| rounded(self.min))
    }

    /// Greatest value; `None` without values.
    pub fn max(&self) -> Option<f64> {
        (self.count() > 0).then(|| rounded(self.max))
    }

    /// The value that `percent` (0–100) of the values do not exceed; `None` without values.
    pub fn percentile(&self, percent: f64) -> Option<f64> {
        if self.count() == 0 {
            return None;
        }
        let bucket = self.steps.value_at_quantile(percent / 100.0);
        let value = significant(self.steps.median_equivalent(bucket) as f64, self.steps.sigfig() + 1) / Scale::STEPS;
        // The middle of a bucket may lie beyond the values that were seen.
        Some(rounded(value.clamp(self.min, self.max)))
    }

    /// Values above `bound`, to the precision of the scale.
    pub fn count_above(&self, bound: f64) -> u64 {
        let steps = (bound.clamp(0.0, Scale::MOST) * Scale::STEPS).round() as u64;
        self.count() - self.steps.count_between(0, steps)
    }

    /// The figures that reports show.
    pub fn summary(&self) -> DistributionSummary {
        DistributionSummary {
            count: self.count(),
            unknown: self.unknown,
            min: self.min(),
            p01: self.percentile(1.0),
            p10: self.percentile(10.0),
            p50: self.percentile(50.0),
            p90: self.percentile(90.0),
            p99: self.percentile(99.0),
            p999: self.percentile(99.9),
            max: self.max(),
        }
    }
}

/// To the three decimals that are kept.
fn rounded(value: f64) -> f64 {
    (value * Scale::STEPS).round() / Scale::STEPS
}

/// To this many significant digits: more would pretend to know where in its bucket a value lies.
fn significant(value: f64, digits: u8) -> f64 {
    if value < 1.0 {
        return value;
    }
    let surplus = (value.log10().floor() as i32 + 1 - i32::from(digits)).max(0);
    let step = 10_f64.powi(surplus);
    (value / step).round() * step
}

/// A distribution in numbers. All figures are `null` while `count` is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DistributionSummary {
    /// Known values.
    pub count: u64,
    /// Attempts that should have a value and have none (a time-out has no answer delay).
    pub unknown: u64,
    /// Least value.
    pub min: Option<f64>,
    /// 1st percentile.
    pub p01: Option<f64>,
    /// 10th percentile.
    pub p10: Option<f64>,
    /// Median.
    pub p50: Option<f64>,
    /// 90th percentile.
    pub p90: Option<f64>,
    /// 99th percentile.
    pub p99: Option<f64>,
    /// 99.9th percentile.
    pub p999: Option<f64>,
    /// Greatest value.
    pub max: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(scale: Scale, values: impl IntoIterator<Item = f64>) -> Distribution {
        let mut distribution = Distribution::new(scale);
        values.into_iter().for_each(|value| distribution.add(Some(value)));
        distribution
    }

    #[test]
    fn an_empty_distribution_is_null_throughout() {
        let mut empty = Distribution::new(Scale::Millis);
        empty.add(None);
        empty.add(Some(f64::NAN));
        assert_eq!(empty.summary(), DistributionSummary { unknown: 2, ..DistributionSummary::default() });
        assert_eq!(empty.mean(), None);
    }

    #[test]
    fn mos_and_percent_come_back_exactly() {
        let mos = filled(Scale::Small, [4.409, 4.41, 3.9, 1.0]);
        assert_eq!((mos.min(), mos.max(), mos.percentile(50.0)), (Some(1.0), Some(4.41), Some(3.9)));
        assert_eq!(mos.percentile(75.0), Some(4.409));
        assert_eq!(filled(Scale::Small, [45.678, 99.999]).percentile(50.0), Some(45.679));
        assert_eq!(filled(Scale::Small, [0.0, 0.0]).summary().p99, Some(0.0));
    }

    #[test]
    fn percentiles_of_milliseconds_are_within_a_thousandth() {
        let delays = filled(Scale::Millis, (1..=10_000).map(|i| f64::from(i) / 10.0));
        for (percent, exact) in [(1.0, 10.0), (50.0, 500.0), (90.0, 900.0), (99.0, 990.0), (99.9, 999.0)] {
            let value = delays.percentile(percent).expect("has values");
            assert!((value - exact).abs() <= exact / 1000.0, "p{percent} is {value}");
        }
        assert_eq!(delays.count_above(900.0), 1000);
        assert_eq!((delays.min(), delays.max(), delays.mean()), (Some(0.1), Some(1000.0), Some(500.05)));
    }

    #[test]
    fn a_percentile_shows_no_more_digits_than_it_has() {
        let delays = filled(Scale::Millis, [100.0, 400.0, 1234.5, 1234.5, 9999.0]);
        assert_eq!((delays.percentile(40.0), delays.percentile(80.0)), (Some(400.0), Some(1234.0)));
    }

    #[test]
    fn a_percentile_never_exceeds_the_greatest_value() {
        let one = filled(Scale::Millis, [12_345.678]);
        assert_eq!(one.percentile(99.9), Some(12_345.678));
        assert_eq!(one.percentile(1.0), Some(12_345.678));
    }

    #[test]
    fn merging_equals_counting_together() {
        let mut left = filled(Scale::Millis, [1.0, 2.0]);
        left.merge(&filled(Scale::Millis, [3000.0]));
        left.merge(&Distribution::new(Scale::Millis));
        assert_eq!(left.summary(), filled(Scale::Millis, [1.0, 2.0, 3000.0]).summary());
        left.clear();
        assert_eq!(left.summary(), DistributionSummary::default());
    }
}
