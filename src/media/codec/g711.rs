//! G.711: 8-bit companded samples at 8 kHz. The laws themselves come from `audio-codec-algorithms`.

use std::sync::LazyLock;

use audio_codec_algorithms::{decode_alaw, decode_ulaw, encode_alaw, encode_ulaw};

/// How samples are companded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    /// µ-law: PCMU.
    Mu,
    /// A-law: PCMA.
    A,
}

impl Law {
    /// Both laws.
    pub const ALL: [Self; 2] = [Self::Mu, Self::A];
}

/// One coded sample of `linear` (16 bits).
pub fn encode_sample(law: Law, linear: i16) -> u8 {
    match law {
        Law::Mu => encode_ulaw(linear),
        Law::A => encode_alaw(linear),
    }
}

/// The linear value (16 bits) of a coded sample.
pub fn decode_sample(law: Law, coded: u8) -> i16 {
    match law {
        Law::Mu => decode_ulaw(coded),
        Law::A => decode_alaw(coded),
    }
}

/// Decodes into `linear`, in parts of full scale, up to the shorter of both lengths, which is given.
pub fn decode(law: Law, coded: &[u8], linear: &mut [f32]) -> usize {
    let table = linear_table(law);
    for (out, sample) in linear.iter_mut().zip(coded) {
        *out = table[usize::from(*sample)];
    }
    coded.len().min(linear.len())
}

/// The coded sample of silence.
pub fn silence(law: Law) -> u8 {
    encode_sample(law, 0)
}

/// Linear values of all 256 coded samples, in parts of full scale (32768).
pub fn linear_table(law: Law) -> &'static [f32; 256] {
    static TABLES: LazyLock<[[f32; 256]; 2]> = LazyLock::new(|| Law::ALL.map(linear_values));
    &TABLES[law as usize]
}

fn linear_values(law: Law) -> [f32; 256] {
    std::array::from_fn(|coded| f32::from(decode_sample(law, coded as u8)) / 32_768.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_coded_sample_survives_decoding_and_encoding() {
        for law in Law::ALL {
            for coded in 0..=255_u8 {
                let again = encode_sample(law, decode_sample(law, coded));
                // µ-law has two zeros; the negative one comes back positive.
                let expected = if law == Law::Mu && coded == 0x7F { 0xFF } else { coded };
                assert_eq!(again, expected, "{law:?} {coded:#x}");
            }
        }
    }

    #[test]
    fn a_frame_comes_back_within_the_quantisation_step() {
        let linear: Vec<i16> = (0..160).map(|i| ((i * 397) % 20_001 - 10_000) as i16).collect();
        for law in Law::ALL {
            let coded: Vec<u8> = linear.iter().map(|sample| encode_sample(law, *sample)).collect();
            let mut back = [0.0; 200];
            assert_eq!(decode(law, &coded, &mut back), 160);
            for (was, is) in linear.iter().zip(back) {
                let is = (is * 32_768.0) as i32;
                assert!((i32::from(*was) - is).abs() <= 16 + i32::from(was.abs()) / 16, "{was} {is}");
            }
        }
    }

    #[test]
    fn the_table_agrees_with_the_decoder() {
        assert_eq!(linear_table(Law::Mu)[0], f32::from(decode_sample(Law::Mu, 0)) / 32_768.0);
        assert_eq!(linear_table(Law::A)[0x55], f32::from(decode_sample(Law::A, 0x55)) / 32_768.0);
        assert_eq!((silence(Law::Mu), silence(Law::A)), (0xFF, 0xD5));
    }
}
