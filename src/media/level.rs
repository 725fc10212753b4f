//! Level of received audio: of G.711 from the coded bytes by table, else of the decoded samples.
//!
//! dBov counts from the overload of the codec's 16-bit range: the power of a square wave of full scale is 0 dBov
//! (RFC 6464 §3). The *active* level is the mean power of frames above the silence threshold.

use std::sync::LazyLock;

use super::codec::g711::{self, Law};

/// Frames below this level are silence, dBov.
pub const SILENCE_DBOV: f64 = -60.0;

/// The level of digital silence, and the lowest that is given, dBov.
pub const FLOOR_DBOV: f64 = -127.0;

/// Mean power of samples in parts of full scale; 0 for none.
pub fn power(linear: &[f32]) -> f64 {
    mean(linear, |sample| sample * sample)
}

/// Mean power of samples of G.711 in parts of full scale; 0 for none.
pub fn coded_power(law: Law, coded: &[u8]) -> f64 {
    let squares = squares(law);
    mean(coded, |sample| squares[usize::from(*sample)])
}

fn mean<T>(samples: &[T], square: impl Fn(&T) -> f32) -> f64 {
    // Four sums, so that additions need not wait for each other.
    let mut sums = [0.0_f32; 4];
    let mut chunks = samples.chunks_exact(4);
    for chunk in &mut chunks {
        for (sum, sample) in sums.iter_mut().zip(chunk) {
            *sum += square(sample);
        }
    }
    let rest: f32 = chunks.remainder().iter().map(&square).sum();
    let total = f64::from(sums.iter().sum::<f32>() + rest);
    total / samples.len().max(1) as f64
}

/// dBov of a mean power, at least [`FLOOR_DBOV`].
pub fn dbov(power: f64) -> f64 {
    if power <= 0.0 { FLOOR_DBOV } else { (10.0 * power.log10()).max(FLOOR_DBOV) }
}

/// Whether a mean power is below the silence threshold.
pub fn is_silent(power: f64) -> bool {
    // 10^(SILENCE_DBOV / 10)
    power < 1e-6
}

fn squares(law: Law) -> &'static [f32; 256] {
    static TABLES: LazyLock<[[f32; 256]; 2]> =
        LazyLock::new(|| Law::ALL.map(|law| g711::linear_table(law).map(|sample| sample * sample)));
    &TABLES[law as usize]
}

/// Sums frames of one leg.
#[derive(Clone, Copy, Debug, Default)]
pub struct Meter {
    active: f64,
    active_samples: u64,
    samples: u64,
    all: f64,
}

impl Meter {
    /// Adds a frame of `samples` with this mean power.
    pub fn add(&mut self, power: f64, samples: usize) {
        let weight = samples as f64;
        self.samples += samples as u64;
        self.all += power * weight;
        if !is_silent(power) {
            self.active += power * weight;
            self.active_samples += samples as u64;
        }
    }

    /// Mean level of active frames, of all frames where none was active, dBov; `None` where nothing was decoded.
    pub fn level_dbov(&self) -> Option<f64> {
        match (self.active_samples, self.samples) {
            (_, 0) => None,
            (0, samples) => Some(dbov(self.all / samples as f64)),
            (samples, _) => Some(dbov(self.active / samples as f64)),
        }
    }

    /// Samples measured.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// Samples of frames above the silence threshold.
    pub fn active_samples(&self) -> u64 {
        self.active_samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(law: Law, amplitude: f64) -> Vec<u8> {
        let sample = |i: i32| (amplitude * (f64::from(i) * 0.345_575).sin()) as i16;
        (0..800).map(|i| g711::encode_sample(law, sample(i))).collect()
    }

    #[test]
    fn a_sine_is_measured_three_decibels_below_its_peak() {
        for law in Law::ALL {
            let coded = sine(law, 3_276.8);
            let mut linear = [0.0; 800];
            g711::decode(law, &coded, &mut linear);
            for level in [dbov(coded_power(law, &coded)), dbov(power(&linear))] {
                assert!((level + 23.01).abs() < 0.1, "{law:?} {level}");
            }
        }
    }

    #[test]
    fn silence_of_both_laws_is_silent() {
        for law in Law::ALL {
            assert!(is_silent(coded_power(law, &[g711::silence(law); 160])));
        }
        assert!(is_silent(0.99e-6) && !is_silent(1e-6));
        assert_eq!(dbov(1e-6), SILENCE_DBOV);
    }

    #[test]
    fn pauses_do_not_lower_the_active_level() {
        let mut meter = Meter::default();
        assert_eq!(meter.level_dbov(), None);
        meter.add(0.0, 160);
        assert_eq!(meter.level_dbov(), Some(FLOOR_DBOV));
        meter.add(0.01, 160);
        meter.add(0.0, 160);
        assert_eq!(meter.level_dbov(), Some(-20.0));
        assert_eq!((meter.samples(), meter.active_samples()), (480, 160));
    }
}
