//! Percentiles of a figure taken now and then, in bounded memory.

/// Samples kept at most; an hour of one per second is thinned twice.
const KEPT: usize = 1_024;

/// Keeps every n-th sample, n doubling whenever the room is used up. Exact for the first 1,024 samples.
#[derive(Clone, Debug)]
pub struct Samples {
    kept: Vec<f32>,
    every: u32,
    skipped: u32,
}

impl Default for Samples {
    fn default() -> Self {
        Self { kept: Vec::new(), every: 1, skipped: 0 }
    }
}

impl Samples {
    /// Adds a sample.
    pub fn add(&mut self, sample: f64) {
        self.skipped += 1;
        if self.skipped < self.every {
            return;
        }
        self.skipped = 0;
        if self.kept.len() == KEPT {
            let mut odd = false;
            self.kept.retain(|_| {
                odd = !odd;
                odd
            });
            self.every *= 2;
        }
        self.kept.push(sample as f32);
    }

    /// The smallest sample that `percent` of all do not exceed (nearest rank); `None` without samples.
    pub fn percentile(&self, percent: f64) -> Option<f64> {
        let mut sorted = self.kept.clone();
        sorted.sort_unstable_by(f32::total_cmp);
        let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).map(|sample| f64::from(*sample))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_nearest_rank() {
        let mut samples = Samples::default();
        assert_eq!(samples.percentile(50.0), None);
        (1..=20).rev().for_each(|i| samples.add(f64::from(i)));
        assert_eq!((samples.percentile(50.0), samples.percentile(95.0)), (Some(10.0), Some(19.0)));
    }

    #[test]
    fn a_long_series_keeps_its_shape_in_bounded_room() {
        let mut samples = Samples::default();
        (0..100_000).for_each(|i| samples.add(f64::from(i)));
        assert!(samples.kept.len() <= KEPT);
        let median = samples.percentile(50.0).expect("samples");
        assert!((median - 50_000.0).abs() < 1_000.0, "{median}");
    }
}
