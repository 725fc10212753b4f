//! Speech-like sound: voiced syllables of 200 ms with a gliding pitch and changing formants, up to 3400 Hz.

use std::f64::consts::TAU;

use crate::media::seed::Seeded;

use super::marker::{LENGTH, START};
use super::{LEVEL_DBOV, PERIOD};

/// Length of the loop, periods of the reference.
pub(super) const PERIODS: usize = 4;
const RATE: f64 = 8_000.0;
const SYLLABLE: usize = 1_600;
const SYLLABLES: usize = (PERIOD as usize - LENGTH) / SYLLABLE;
const HIGHEST_HZ: f64 = 3_400.0;

/// The loop of 16-bit samples at `times` the listening rate, silent where the marker goes.
pub(super) fn speech(times: usize) -> Vec<i16> {
    let length = PERIODS * PERIOD as usize * times;
    let mut sound = vec![0.0; length];
    let mut seeded = Seeded::new(0x5EED);
    for period in 0..PERIODS {
        for syllable in 0..SYLLABLES {
            let start = (period * PERIOD as usize + START + LENGTH + syllable * SYLLABLE) * times;
            for (i, sample) in voice(&mut seeded, times).into_iter().enumerate() {
                sound[(start + i) % length] = sample;
            }
        }
    }
    let spoken = (PERIODS * SYLLABLES * SYLLABLE * times) as f64;
    let power = sound.iter().map(|sample| sample * sample).sum::<f64>() / spoken;
    let gain = 32_768.0 * 10_f64.powf(LEVEL_DBOV / 20.0) / power.sqrt();
    sound.into_iter().map(|sample| (sample * gain) as i16).collect()
}

/// One syllable at any level.
fn voice(seeded: &mut Seeded, times: usize) -> Vec<f64> {
    let pitch = seeded.between(100.0, 190.0);
    let glide = seeded.between(-0.25, 0.1);
    let formants = [seeded.between(300.0, 800.0), seeded.between(900.0, 2_200.0), seeded.between(2_400.0, 3_000.0)];
    let harmonics = (HIGHEST_HZ / (pitch * 1.1)) as usize;
    let strengths: Vec<f64> = (1..=harmonics).map(|h| strength(pitch * h as f64, &formants)).collect();
    let mut phase = 0.0;
    let length = SYLLABLE * times;
    let sample = |i: usize| {
        let place = i as f64 / length as f64;
        phase += TAU * pitch * (1.0 + glide * place) / (RATE * times as f64);
        let envelope = (std::f64::consts::PI * place).sin().powi(2);
        // Phases that grow with the square of the number keep the peaks low.
        let harmonic = |(k, strength): (usize, &f64)| {
            let h = (k + 1) as f64;
            strength * (h * phase + 0.3 * h * h).sin()
        };
        envelope * strengths.iter().enumerate().map(harmonic).sum::<f64>()
    };
    (0..length).map(sample).collect()
}

/// How strongly three resonances of 120 Hz let a frequency through, the higher ones weaker.
fn strength(frequency: f64, formants: &[f64; 3]) -> f64 {
    let resonance = |(k, formant): (usize, &f64)| {
        let distance = (frequency - formant) / 120.0;
        0.6_f64.powi(k as i32) / (1.0 + distance * distance)
    };
    0.02 + formants.iter().enumerate().map(resonance).sum::<f64>()
}
