//! How long something lasts in an attempt: the same every time, or drawn anew for each.

use std::fmt;
use std::time::Duration;

use crate::units::{Period, Random};

/// A length of time, or the distribution that it is drawn from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Length {
    /// The same every time.
    Fixed(Duration),
    /// Evenly between two lengths.
    Uniform {
        /// The shortest.
        from: Duration,
        /// The longest.
        to: Duration,
    },
    /// Exponential.
    Exponential {
        /// Its mean: of calls, the ACD.
        mean: Duration,
    },
    /// Lognormal.
    Lognormal {
        /// Its mean: of calls, the ACD. It is greater than the median.
        mean: Duration,
        /// Half of the lengths are below it.
        median: Duration,
    },
}

impl Length {
    /// A length for one attempt.
    pub fn draw(&self, random: &mut Random) -> Duration {
        match *self {
            Self::Fixed(length) => length,
            Self::Uniform { from, to } => from + to.saturating_sub(from).mul_f64(random.unit()),
            Self::Exponential { mean } => mean.mul_f64(-random.unit().ln()),
            Self::Lognormal { mean, median } => {
                // The mean of a lognormal distribution is median · exp(σ²/2).
                let sigma = (2.0 * (mean.as_secs_f64() / median.as_secs_f64()).ln()).max(0.0).sqrt();
                median.mul_f64((sigma * random.normal()).exp())
            }
        }
    }

    /// Its mean.
    pub fn mean(&self) -> Duration {
        match *self {
            Self::Fixed(length) => length,
            Self::Uniform { from, to } => (from + to) / 2,
            Self::Exponential { mean } | Self::Lognormal { mean, .. } => mean,
        }
    }

    /// Whether it is the same every time.
    pub fn is_fixed(&self) -> bool {
        matches!(self, Self::Fixed(_))
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Fixed(length) => write!(f, "{}", Period(length)),
            Self::Uniform { from, to } => write!(f, "{} to {}", Period(from), Period(to)),
            Self::Exponential { mean } => write!(f, "{} on average (exponential)", Period(mean)),
            Self::Lognormal { mean, median } => {
                write!(f, "{} on average (lognormal, median {})", Period(mean), Period(median))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn drawn(length: Length) -> Vec<f64> {
        let mut all: Vec<f64> = (0..40_000).map(|n| length.draw(&mut Random::of(1, [n, 0])).as_secs_f64()).collect();
        all.sort_by(f64::total_cmp);
        all
    }

    fn mean(values: &[f64]) -> f64 {
        values.iter().sum::<f64>() / values.len() as f64
    }

    #[test]
    fn a_fixed_length_is_the_same_every_time() {
        let all = drawn(Length::Fixed(SECOND));
        assert_eq!((all[0], all[all.len() - 1]), (1.0, 1.0));
    }

    #[test]
    fn a_uniform_length_stays_between_its_bounds() {
        let all = drawn(Length::Uniform { from: 5 * SECOND, to: 20 * SECOND });
        assert!(all[0] >= 5.0 && all[0] < 5.1 && all[all.len() - 1] <= 20.0 && all[all.len() - 1] > 19.9);
        assert!((mean(&all) - 12.5).abs() < 0.15, "{}", mean(&all));
    }

    #[test]
    fn an_exponential_length_has_the_mean_that_was_asked_for() {
        let all = drawn(Length::Exponential { mean: 180 * SECOND });
        assert!((mean(&all) - 180.0).abs() < 5.0 * 180.0 / 200.0, "{}", mean(&all));
        let median = all[all.len() / 2];
        assert!((median - 180.0 * 2f64.ln()).abs() < 5.0, "{median}");
    }

    #[test]
    fn a_lognormal_length_has_the_mean_and_the_median_that_were_asked_for() {
        let all = drawn(Length::Lognormal { mean: 180 * SECOND, median: 120 * SECOND });
        assert!((mean(&all) - 180.0).abs() < 6.0, "{}", mean(&all));
        let median = all[all.len() / 2];
        assert!((median - 120.0).abs() < 4.0, "{median}");
    }

    #[test]
    fn what_is_drawn_depends_on_seed_and_attempt_and_on_nothing_else() {
        let length = Length::Exponential { mean: SECOND };
        let of = |seed, n| length.draw(&mut Random::of(seed, [n, 3]));
        assert_eq!(of(1, 7), of(1, 7));
        assert_ne!(of(1, 7), of(1, 8));
        assert_ne!(of(1, 7), of(2, 7));
    }
}
