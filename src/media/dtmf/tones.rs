//! The two tones of a key (ITU-T Q.23), made and coded: one of a low group for its row, one of a high group for its column.

use std::f64::consts::TAU;

use crate::media::codec::{Codec, LISTENING_RATE, g711, g722, opus};

use super::Key;

/// Hz, by row and by column.
pub(super) const LOW: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
pub(super) const HIGH: [f64; 4] = [1_209.0, 1_336.0, 1_477.0, 1_633.0];

/// Keys by row and column.
const PAD: [[char; 4]; 4] = [['1', '2', '3', 'A'], ['4', '5', '6', 'B'], ['7', '8', '9', 'C'], ['*', '0', '#', 'D']];

/// A sine of full scale, dBm0: the theoretical load capacity of µ-law (ITU-T G.711 §2); that of A-law is 0.03 dB less.
const FULL_SCALE_DBM0: f64 = 3.17;

/// The key at a row and a column, 0–3.
pub(super) fn key_at(row: usize, column: usize) -> Option<Key> {
    Key::of_name(*PAD.get(row)?.get(column)?)
}

/// Both frequencies of a key.
fn frequencies(key: Key) -> [f64; 2] {
    let place = PAD.iter().flatten().position(|name| *name == key.name()).unwrap_or(0);
    [LOW[place / 4], HIGH[place % 4]]
}

/// Amplitude of a sine of this level, in parts of full scale.
pub(super) fn amplitude(dbm0: f64) -> f64 {
    10_f64.powf((dbm0 - FULL_SCALE_DBM0) / 20.0)
}

/// Codes the tones of keys for one leg. What a codec keeps from frame to frame is made with its first frame.
#[derive(Debug, Default)]
pub struct Generator {
    g722: Option<Box<g722::Encoder>>,
    opus: Option<opus::Encoder>,
}

impl Generator {
    /// Appends `samples` (at the listening rate) of a key, coded; of codecs other than G.711 a whole frame of 160. `from` is how
    /// many went before.
    pub fn fill(&mut self, codec: Codec, (key, level): (Key, i8), (from, samples): (usize, usize), out: &mut Vec<u8>) {
        let times = if codec == Codec::G722 { 2 } else { 1 };
        let linear: Vec<i16> = wave(key, level, times, from, samples).collect();
        self.code(codec, &linear, out);
    }

    /// Appends `samples` of the silence between keys in the same way.
    pub fn fill_silence(&mut self, codec: Codec, samples: usize, out: &mut Vec<u8>) {
        let times = if codec == Codec::G722 { 2 } else { 1 };
        self.code(codec, &vec![0; samples * times], out);
    }

    fn code(&mut self, codec: Codec, linear: &[i16], out: &mut Vec<u8>) {
        if let Some(law) = codec.law() {
            out.extend(linear.iter().map(|sample| g711::encode_sample(law, *sample)));
        } else if codec == Codec::G722 {
            out.extend(self.g722.get_or_insert_default().encode(linear));
        } else {
            if self.opus.is_none() {
                self.opus = opus::Encoder::new().ok();
            }
            let coded = self.opus.as_mut().and_then(|opus| opus.encode(linear).ok());
            out.extend(coded.unwrap_or_default());
        }
    }
}

/// Samples of a key at `times` the listening rate, of which `from` and `samples` are counted.
fn wave(key: Key, level: i8, times: usize, from: usize, samples: usize) -> impl Iterator<Item = i16> {
    let rate = f64::from(LISTENING_RATE) * times as f64;
    let amplitude = 32_767.0 * amplitude(level.into());
    let frequencies = frequencies(key);
    (from * times..(from + samples) * times).map(move |i| {
        let sum: f64 = frequencies.iter().map(|frequency| (TAU * frequency * i as f64 / rate).sin()).sum();
        (amplitude * sum).round() as i16
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::media::codec::{Decoder, LONGEST};
    use crate::media::level;

    /// What a codec makes of a key that is held for so many frames of 20 ms.
    pub(in super::super) fn coded(codec: Codec, key: Key, level: i8, frames: usize) -> Vec<f32> {
        let (mut generator, mut decoder) = (Generator::default(), Decoder::default());
        let (mut linear, mut heard) = ([0.0; LONGEST], Vec::new());
        for frame in 0..frames {
            let mut payload = Vec::new();
            generator.fill(codec, (key, level), (160 * frame, 160), &mut payload);
            let samples = decoder.decode(codec, &payload, &mut linear);
            assert_eq!(samples, 160, "{codec:?}");
            heard.extend_from_slice(&linear[..samples]);
        }
        heard
    }

    #[test]
    fn every_key_has_a_place_and_two_frequencies_of_its_own() {
        let all = (0..16).map(|code| frequencies(Key::of_event(code).expect("a key")));
        let mut places: Vec<[f64; 2]> = all.collect();
        places.sort_by(|a, b| a.partial_cmp(b).expect("numbers"));
        places.dedup();
        assert_eq!(places.len(), 16);
        let names: String = (0..16).filter_map(|i| key_at(i / 4, i % 4)).map(Key::name).collect();
        assert_eq!(names, "123A456B789C*0#D");
        assert_eq!(frequencies(Key::of_name('#').expect("a key")), [941.0, 1_477.0]);
    }

    #[test]
    fn both_tones_together_are_3_db_above_the_level_of_each_in_every_codec() {
        // 0 dBm0 are −6.18 dBov, as a sine of full scale has −3.01 (ITU-T G.100.1).
        for codec in Codec::ALL {
            let heard = coded(codec, Key::of_name('5').expect("a key"), -10, 20);
            let measured = level::dbov(level::power(&heard[480..]));
            assert!((measured - (-10.0 + 3.01 - 6.18)).abs() < 0.2, "{codec:?} {measured}");
        }
    }

    #[test]
    fn the_loudest_keys_are_not_cut_off() {
        let key = Key::of_name('1').expect("a key");
        let loudest = wave(key, -3, 1, 0, 8_000).map(i16::unsigned_abs).max();
        assert!(loudest.is_some_and(|peak| (31_500..32_767).contains(&peak)), "{loudest:?}");
    }
}
