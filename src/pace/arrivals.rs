//! How the starts of an open schedule are spaced: evenly, or as calls come in that know nothing of each other.
//!
//! A Poisson process of rate 1 is fixed by its seed: its k-th arrival is the sum of k + 1 exponential gaps, and any of
//! them is found without the ones before it. The gaps are grouped in blocks of 1, 2, 4, 8 … of them; the sum of a block
//! of b gaps has the distribution Γ(b), and the share that its first half has of it the distribution Β(b/2, b/2),
//! whatever the sum (Devroye 1986, Non-Uniform Random Variate Generation, IX.3). So each worker computes the starts of
//! its own attempts, and all of them together are one process.

use crate::units::Random;

/// How the starts of an open schedule are spaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arrivals {
    /// As evenly as the rate says.
    #[default]
    Even,
    /// At random: a Poisson process with the rate as its intensity.
    Poisson {
        /// The same seed gives the same starts.
        seed: u64,
    },
}

impl Arrivals {
    /// Where the integral of the rate stands when attempt `k` (from 0) starts.
    pub(super) fn position(self, k: u64) -> f64 {
        match self {
            Self::Even => k as f64,
            Self::Poisson { seed } => arrival(seed, k),
        }
    }

    /// Attempts whose position is below `end`.
    pub(super) fn count_below(self, end: f64) -> u64 {
        match self {
            // The integral is a sum: tolerate its last bit.
            Self::Even => (end - 1e-9).ceil().max(0.0) as u64,
            Self::Poisson { seed } => {
                let (mut known, mut beyond) = (0, 1);
                while arrival(seed, beyond - 1) < end {
                    (known, beyond) = (beyond, beyond * 2);
                }
                while known < beyond - 1 {
                    let middle = known + (beyond - known) / 2;
                    if arrival(seed, middle - 1) < end { known = middle } else { beyond = middle }
                }
                known
            }
        }
    }
}

/// What a number that is `mean` on average reaches now and then where calls know nothing of each other: five standard
/// deviations of a Poisson distribution above its mean.
pub fn peak_of(mean: f64) -> f64 {
    mean + 5.0 * mean.sqrt()
}

/// The sum of the first `k + 1` gaps.
fn arrival(seed: u64, k: u64) -> f64 {
    let gaps = k + 1;
    let block = (gaps + 1).ilog2();
    let whole: f64 = (0..block).map(|block| sum_of_block(seed, block)).sum();
    whole + beginning_of_block(seed, block, gaps + 1 - (1 << block))
}

fn sum_of_block(seed: u64, block: u32) -> f64 {
    gamma((1u64 << block) as f64, &mut Random::of(seed, [block.into(), 0]))
}

/// The sum of the first `gaps` of a block's: halves are taken until they are used up.
fn beginning_of_block(seed: u64, block: u32, mut gaps: u64) -> f64 {
    let (mut size, mut total, mut node, mut sum) = (1u64 << block, sum_of_block(seed, block), 1, 0.0);
    while gaps > 0 && gaps < size {
        size /= 2;
        let mut random = Random::of(seed, [block.into(), node]);
        let (left, right) = (gamma(size as f64, &mut random), gamma(size as f64, &mut random));
        let first = total * left / (left + right);
        node *= 2;
        if gaps >= size {
            (sum, total) = (sum + first, total - first);
            gaps -= size;
            node += 1;
        } else {
            total = first;
        }
    }
    if gaps > 0 { sum + total } else { sum }
}

/// A value of the distribution Γ(`shape`) with scale 1, for shapes from 1 on (Marsaglia and Tsang 2000).
fn gamma(shape: f64, random: &mut Random) -> f64 {
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = random.normal();
        let v = (1.0 + c * x).powi(3);
        if v > 0.0 && random.unit().ln() < 0.5 * x * x + d * (1.0 - v + v.ln()) {
            return d * v;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gaps(seed: u64, count: u64) -> Vec<f64> {
        let at: Vec<f64> = (0..count).map(|k| arrival(seed, k)).collect();
        std::iter::once(at[0]).chain(at.windows(2).map(|two| two[1] - two[0])).collect()
    }

    #[test]
    fn gaps_are_those_of_a_poisson_process() {
        let gaps = gaps(7, 100_000);
        assert!(gaps.iter().all(|gap| *gap >= 0.0));
        let n = gaps.len() as f64;
        let mean = gaps.iter().sum::<f64>() / n;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / n;
        // Five standard errors: 1/√n of the mean, √(8/n) of the variance of an exponential distribution.
        assert!((mean - 1.0).abs() < 5.0 / n.sqrt(), "{mean}");
        assert!((variance - 1.0).abs() < 5.0 * (8.0 / n).sqrt(), "{variance}");
        // Neither near nor far neighbours know of each other, within a block and over its edges.
        for lag in [1, 2, 3, 64] {
            let pairs = gaps.iter().zip(&gaps[lag..]);
            let covariance = pairs.map(|(one, other)| (one - mean) * (other - mean)).sum::<f64>() / n;
            assert!(covariance.abs() < 5.0 / n.sqrt(), "{lag}: {covariance}");
        }
        for share in [0.1f64, 0.5, 0.9, 0.99] {
            let bound = -(1.0 - share).ln();
            let below = gaps.iter().filter(|gap| **gap < bound).count() as f64 / n;
            assert!((below - share).abs() < 5.0 * (share * (1.0 - share) / n).sqrt(), "{share}: {below}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_arrivals_and_another_seed_others() {
        assert_eq!(arrival(1, 12_345), arrival(1, 12_345));
        assert_ne!(arrival(1, 12_345), arrival(2, 12_345));
        // Far out, the k-th arrival is still near k.
        let far = arrival(3, 1_000_000_000);
        assert!((far - 1e9).abs() < 5.0 * 1e9f64.sqrt(), "{far}");
    }

    #[test]
    fn arrivals_below_a_bound_are_counted_without_walking_to_it() {
        for seed in 0..20 {
            let arrivals = Arrivals::Poisson { seed };
            for end in [0.0, 0.5, 1.0, 17.3, 1000.0] {
                let count = arrivals.count_below(end);
                assert!(count == 0 || arrival(seed, count - 1) < end, "{seed} {end}");
                assert!(arrival(seed, count) >= end, "{seed} {end}");
            }
        }
        assert_eq!(Arrivals::Even.count_below(30.0), 30);
    }
}
