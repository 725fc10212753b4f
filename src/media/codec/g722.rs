//! G.722 at 64 kbit/s (ITU-T G.722, mode 1): two sub-bands of adaptive differential PCM at 8 kHz each, six bits for the
//! lower and two for the higher one in each octet.
//!
//! The lower sub-band, decoded, is the sound up to 4 kHz at 8 kHz, so it is all that the [`Decoder`] makes. The
//! [`Encoder`] makes both. Names of functions and variables are those of the Recommendation's blocks in lower case. No
//! concealment (Appendices III and IV): what is lost is heard as silence.

/// Scale factors by the logarithmic one (block SCALEL).
const ILB: [i32; 32] = [
    2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834, 2896, 2960, 3025,
    3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
];
/// Multipliers of the logarithmic scale factor (LOGSCL), by [`RL42`].
const WL: [i32; 8] = [-60, -30, 58, 172, 334, 538, 1198, 3042];
const RL42: [usize; 16] = [0, 7, 6, 5, 4, 3, 2, 1, 7, 6, 5, 4, 3, 2, 1, 0];
/// Quantised values of four bits, by which both sides adapt (INVQAL).
const QM4: [i32; 16] =
    [0, -20456, -12896, -8968, -6288, -4240, -2584, -1200, 20456, 12896, 8968, 6288, 4240, 2584, 1200, 0];
/// Quantised values of six bits, which are heard (INVQBL).
const QM6: [i32; 64] = [
    -136, -136, -136, -136, -24808, -21904, -19008, -16704, -14984, -13512, -12280, -11192, -10232, -9360, -8576,
    -7856, -7192, -6576, -6000, -5456, -4944, -4464, -4008, -3576, -3168, -2776, -2400, -2032, -1688, -1360, -1040,
    -728, 24808, 21904, 19008, 16704, 14984, 13512, 12280, 11192, 10232, 9360, 8576, 7856, 7192, 6576, 6000, 5456,
    4944, 4464, 4008, 3576, 3168, 2776, 2400, 2032, 1688, 1360, 1040, 728, 432, 136, -432, -136,
];
/// Decision levels of the lower sub-band (QUANTL), from the second on.
const Q6: [i32; 29] = [
    35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1023, 1121, 1219, 1339,
    1458, 1612, 1765, 1980, 2195, 2557, 2919,
];
/// Codes of the lower sub-band's levels, below and from zero on.
const ILN: [u8; 30] =
    [63, 62, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4];
const ILP: [u8; 30] = [
    61, 60, 59, 58, 57, 56, 55, 54, 53, 52, 51, 50, 49, 48, 47, 46, 45, 44, 43, 42, 41, 40, 39, 38, 37, 36, 35, 34, 33,
    32,
];
/// Quantised values of the higher sub-band (INVQAH), and its multipliers (LOGSCH).
const QM2: [i32; 4] = [-7408, -1616, 7408, 1616];
const WH: [i32; 4] = [798, -214, 798, -214];
/// The quadrature mirror filter, its first half.
const QMF: [i32; 12] = [3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11];
/// Overload of a sub-band: it is at half of the scale of the samples.
const FULL_SCALE: f32 = 16_384.0;

/// Decodes the lower sub-band.
#[derive(Clone, Debug)]
pub struct Decoder {
    low: Band,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { low: Band::low() }
    }
}

impl Decoder {
    /// Decodes into `linear` at 8 kHz, in parts of full scale, up to the shorter of both lengths, which is given.
    pub fn decode(&mut self, coded: &[u8], linear: &mut [f32]) -> usize {
        for (out, octet) in linear.iter_mut().zip(coded) {
            let code = octet & 0x3F;
            let heard = (self.low.det * QM6[usize::from(code)]) >> 15;
            *out = (self.low.s + heard).clamp(-16_384, 16_383) as f32 / FULL_SCALE;
            self.low.adapt_low(code);
        }
        coded.len().min(linear.len())
    }
}

/// Encodes.
#[derive(Clone, Debug)]
pub struct Encoder {
    low: Band,
    high: Band,
    /// The last 24 samples.
    x: [i32; 24],
}

impl Default for Encoder {
    fn default() -> Self {
        Self { low: Band::low(), high: Band::high(), x: [0; 24] }
    }
}

impl Encoder {
    /// The octets of `linear` samples at 16 kHz, one of two; an odd last sample is left out.
    pub fn encode(&mut self, linear: &[i16]) -> Vec<u8> {
        linear.as_chunks::<2>().0.iter().map(|pair| self.octet(*pair)).collect()
    }

    fn octet(&mut self, pair: [i16; 2]) -> u8 {
        let [x_low, x_high] = self.split(pair);
        let low = self.low.quantise_low(x_low);
        self.low.adapt_low(low);
        let high = self.high.quantise_high(x_high);
        self.high.adapt_high(high);
        high << 6 | low
    }

    /// The transmit filter: a sample of each sub-band of two more samples.
    fn split(&mut self, pair: [i16; 2]) -> [i32; 2] {
        self.x.copy_within(2.., 0);
        [self.x[22], self.x[23]] = pair.map(i32::from);
        let (mut odd, mut even) = (0, 0);
        for (i, coefficient) in QMF.iter().enumerate() {
            odd += self.x[2 * i] * coefficient;
            even += self.x[2 * i + 1] * QMF[11 - i];
        }
        [(even + odd) >> 14, (even - odd) >> 14]
    }
}

/// What both sides of a sub-band keep: its scale factor and its predictor.
#[derive(Clone, Debug, Default)]
struct Band {
    /// Signal estimate, and its part by the zeros.
    s: i32,
    sz: i32,
    /// Reconstructed signal, and partly reconstructed one, latest first.
    r: [i32; 2],
    p: [i32; 2],
    /// Poles.
    a: [i32; 2],
    /// Quantised differences and zeros, latest first.
    d: [i32; 6],
    b: [i32; 6],
    /// Logarithmic scale factor, and the linear one.
    nb: i32,
    det: i32,
}

impl Band {
    fn low() -> Self {
        Self { det: 32, ..Self::default() }
    }

    fn high() -> Self {
        Self { det: 8, ..Self::default() }
    }

    /// SUBTRA and QUANTL.
    fn quantise_low(&self, x: i32) -> u8 {
        let e = saturated(x - self.s);
        let magnitude = if e >= 0 { e } else { -(e + 1) };
        let level = Q6.iter().take_while(|level| magnitude >= (**level * self.det) >> 12).count();
        if e < 0 { ILN[level] } else { ILP[level] }
    }

    /// SUBTRA and QUANTH.
    fn quantise_high(&self, x: i32) -> u8 {
        let e = saturated(x - self.s);
        let magnitude = if e >= 0 { e } else { -(e + 1) };
        let outer = magnitude >= (564 * self.det) >> 12;
        match (e < 0, outer) {
            (true, true) => 0,
            (true, false) => 1,
            (false, true) => 2,
            (false, false) => 3,
        }
    }

    fn adapt_low(&mut self, code: u8) {
        let code = usize::from(code >> 2);
        let d = (self.det * QM4[code]) >> 15;
        self.nb = (((self.nb * 127) >> 7) + WL[RL42[code]]).clamp(0, 18_432);
        self.det = scale(self.nb, 8);
        self.predict(d);
    }

    fn adapt_high(&mut self, code: u8) {
        let code = usize::from(code & 3);
        let d = (self.det * QM2[code]) >> 15;
        self.nb = (((self.nb * 127) >> 7) + WH[code]).clamp(0, 22_528);
        self.det = scale(self.nb, 10);
        self.predict(d);
    }

    /// The adaptive predictor (block 4): RECONS, PARREC, UPPOL2, UPPOL1, UPZERO, FILTEP, FILTEZ, PREDIC.
    fn predict(&mut self, d: i32) {
        let (r, p) = (saturated(self.s + d), saturated(self.sz + d));
        let agrees = [self.p[0], self.p[1]].map(|earlier| (earlier < 0) == (p < 0));

        let first = saturated(self.a[0] << 2);
        let first = if agrees[0] { -first } else { first }.min(32_767);
        let kept = (self.a[1] * 32_512) >> 15;
        let a2 = (if agrees[1] { 128 } else { -128 } + (first >> 7) + kept).clamp(-12_288, 12_288);
        let a1 = saturated(if agrees[0] { 192 } else { -192 } + ((self.a[0] * 32_640) >> 15));
        let limit = saturated(15_360 - a2);
        self.a = [a1.clamp(-limit, limit), a2];

        let gain = if d == 0 { 0 } else { 128 };
        for (b, earlier) in self.b.iter_mut().zip(self.d) {
            let step = if (earlier < 0) == (d < 0) { gain } else { -gain };
            *b = saturated(step + ((*b * 32_640) >> 15));
        }

        self.d.rotate_right(1);
        self.d[0] = d;
        (self.r, self.p) = ([r, self.r[0]], [p, self.p[0]]);

        let pole = |a: i32, r: i32| (a * saturated(2 * r)) >> 15;
        let sp = saturated(pole(self.a[0], self.r[0]) + pole(self.a[1], self.r[1]));
        self.sz = saturated(self.b.iter().zip(self.d).map(|(b, d)| (b * saturated(2 * d)) >> 15).sum());
        self.s = saturated(sp + self.sz);
    }
}

/// SCALEL and SCALEH.
fn scale(nb: i32, most: i32) -> i32 {
    let mantissa = ILB[(nb >> 6) as usize & 31];
    let shift = most - (nb >> 11);
    (if shift < 0 { mantissa << -shift } else { mantissa >> shift }) << 2
}

fn saturated(value: i32) -> i32 {
    value.clamp(-32_768, 32_767)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A second of a sine at 16 kHz.
    fn sine(frequency: f64, amplitude: f64) -> Vec<i16> {
        let sample = |i: i32| amplitude * (std::f64::consts::TAU * frequency * f64::from(i) / 16_000.0).sin();
        (0..16_000).map(|i| sample(i).round() as i16).collect()
    }

    fn decoded(coded: &[u8]) -> Vec<f32> {
        let mut linear = vec![0.0; coded.len()];
        Decoder::default().decode(coded, &mut linear);
        linear
    }

    fn power(samples: &[f32]) -> f32 {
        samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32
    }

    #[test]
    fn a_sine_below_4_khz_comes_back_at_its_level_without_much_noise() {
        for frequency in [300.0, 550.0, 1_000.0, 2_050.0, 3_000.0] {
            let linear = decoded(&Encoder::default().encode(&sine(frequency, 8_192.0)));
            let heard = &linear[800..];
            let level = power(heard);
            assert!((level / (0.25 * 0.25 / 2.0) - 1.0).abs() < 0.05, "{frequency} Hz: {level}");
            // What is left when the sine is taken out, at any phase.
            let angle = |i: usize| std::f64::consts::TAU * frequency * i as f64 / 8_000.0;
            let part = |wave: fn(f64) -> f64| {
                let sum: f64 = heard.iter().enumerate().map(|(i, sample)| f64::from(*sample) * wave(angle(i))).sum();
                2.0 * sum / heard.len() as f64
            };
            let (cosine, sine) = (part(f64::cos), part(f64::sin));
            let rest: f64 = heard
                .iter()
                .enumerate()
                .map(|(i, sample)| (f64::from(*sample) - cosine * angle(i).cos() - sine * angle(i).sin()).powi(2))
                .sum();
            let noise = 10.0 * (rest / heard.len() as f64 / f64::from(level)).log10();
            assert!(noise < -30.0, "{frequency} Hz: noise at {noise} dB");
        }
    }

    #[test]
    fn a_sine_above_4_khz_is_left_to_the_higher_sub_band() {
        let coded = Encoder::default().encode(&sine(6_000.0, 8_192.0));
        assert!(power(&decoded(&coded)[800..]) < 1e-5);
        let outer = coded.iter().filter(|octet| matches!(**octet >> 6, 0 | 2)).count();
        assert!(outer > 1_000, "{outer}");
    }

    /// As another implementation of the Recommendation codes it, with which a minute of noise, tones and silence agrees bit by
    /// bit both ways.
    #[test]
    fn a_440_hz_tone_is_coded_as_elsewhere() {
        let sample = |i: i32| (8_000.0 * (std::f64::consts::TAU * 440.0 * f64::from(i) / 16_000.0).sin()) as i16;
        let tone: Vec<i16> = (0..64).map(sample).collect();
        let coded = Encoder::default().encode(&tone);
        assert_eq!(
            coded,
            [
                0xFA, 0x98, 0x2E, 0x90, 0x23, 0x93, 0xA0, 0xA0, 0xE0, 0xE0, 0xE2, 0xEC, 0x71, 0xF6, 0xFE, 0xD8, 0xD3,
                0xD1, 0xD1, 0xD1, 0xD3, 0xD7, 0xDD, 0xFB, 0xF6, 0xF2, 0xEF, 0xEE, 0xF0, 0x71, 0xB4, 0xB9,
            ]
        );
    }

    #[test]
    fn silence_is_silent_and_stays_so() {
        let coded = Encoder::default().encode(&[0; 16_000]);
        assert_eq!(coded.len(), 8_000);
        assert!(power(&decoded(&coded)[800..]) < 1e-7);
    }

    #[test]
    fn full_scale_and_square_waves_stay_within_the_scale() {
        let square: Vec<i16> = (0..16_000).map(|i| if i / 40 % 2 == 0 { 32_767 } else { -32_768 }).collect();
        for signal in [square, sine(1_000.0, 32_767.0), vec![-32_768; 16_000]] {
            let linear = decoded(&Encoder::default().encode(&signal));
            assert!(linear.iter().all(|sample| (-1.0..=1.0).contains(sample)));
        }
    }

    #[test]
    fn a_decoder_that_missed_a_second_finds_back() {
        let coded = Encoder::default().encode(&sine(1_000.0, 8_192.0));
        let whole = decoded(&coded);
        let late = decoded(&coded[4_000..]);
        let error: Vec<f32> = whole[6_000..].iter().zip(&late[2_000..]).map(|(a, b)| a - b).collect();
        assert!(power(&error) < 1e-6, "{}", power(&error));
    }

    #[test]
    fn every_octet_keeps_every_state_within_its_bounds() {
        let mut decoder = Decoder::default();
        let mut linear = [0.0; 1];
        for i in 0..200_000_u32 {
            // Runs of one octet drive the scale factor to both ends.
            let octet =
                if i / 4_096 % 2 == 0 { (i.wrapping_mul(2_654_435_761) >> 24) as u8 } else { (i / 4_096) as u8 };
            decoder.decode(&[octet], &mut linear);
            let Band { s, nb, det, a, .. } = decoder.low;
            assert!((-32_768..=32_767).contains(&s) && (0..=18_432).contains(&nb) && (32..=32_767).contains(&det));
            assert!(a[1].abs() <= 12_288 && a[0].abs() <= 15_360 - a[1] && linear[0].abs() <= 1.0);
        }
    }
}
