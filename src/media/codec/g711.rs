//! G.711: 8-bit companded samples at 8 kHz. The laws themselves come from `audio-codec-algorithms`.

use std::sync::LazyLock;

use audio_codec_algorithms::{decode_alaw, decode_ulaw, encode_alaw, encode_ulaw};

use super::Codec;

/// Samples per second, and bytes per second.
pub const RATE: u32 = 8_000;

/// One coded sample of `linear` (16 bits).
pub fn encode_sample(codec: Codec, linear: i16) -> u8 {
    match codec {
        Codec::Pcmu => encode_ulaw(linear),
        Codec::Pcma => encode_alaw(linear),
    }
}

/// The linear value (16 bits) of a coded sample.
pub fn decode_sample(codec: Codec, coded: u8) -> i16 {
    match codec {
        Codec::Pcmu => decode_ulaw(coded),
        Codec::Pcma => decode_alaw(coded),
    }
}

/// Encodes into `coded`, up to the shorter of both lengths.
pub fn encode(codec: Codec, linear: &[i16], coded: &mut [u8]) {
    for (out, sample) in coded.iter_mut().zip(linear) {
        *out = encode_sample(codec, *sample);
    }
}

/// Decodes into `linear`, up to the shorter of both lengths.
pub fn decode(codec: Codec, coded: &[u8], linear: &mut [i16]) {
    for (out, sample) in linear.iter_mut().zip(coded) {
        *out = decode_sample(codec, *sample);
    }
}

/// The coded sample of silence.
pub fn silence(codec: Codec) -> u8 {
    encode_sample(codec, 0)
}

/// Linear values of all 256 coded samples, in parts of full scale (32768).
pub fn linear_table(codec: Codec) -> &'static [f32; 256] {
    static TABLES: LazyLock<[[f32; 256]; 2]> =
        LazyLock::new(|| [linear_values(Codec::Pcmu), linear_values(Codec::Pcma)]);
    &TABLES[codec as usize]
}

fn linear_values(codec: Codec) -> [f32; 256] {
    std::array::from_fn(|coded| f32::from(decode_sample(codec, coded as u8)) / 32_768.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_coded_sample_survives_decoding_and_encoding() {
        for codec in Codec::ALL {
            for coded in 0..=255_u8 {
                let again = encode_sample(codec, decode_sample(codec, coded));
                // µ-law has two zeros; the negative one comes back positive.
                let expected = if codec == Codec::Pcmu && coded == 0x7F { 0xFF } else { coded };
                assert_eq!(again, expected, "{codec:?} {coded:#x}");
            }
        }
    }

    #[test]
    fn a_frame_comes_back_within_the_quantisation_step() {
        let linear: Vec<i16> = (0..160).map(|i| ((i * 397) % 20_001 - 10_000) as i16).collect();
        for codec in Codec::ALL {
            let (mut coded, mut back) = ([0; 160], [0; 160]);
            encode(codec, &linear, &mut coded);
            decode(codec, &coded, &mut back);
            for (was, is) in linear.iter().zip(back) {
                assert!((i32::from(*was) - i32::from(is)).abs() <= 16 + i32::from(was.abs()) / 16, "{was} {is}");
            }
        }
    }

    #[test]
    fn the_table_agrees_with_the_decoder() {
        assert_eq!(linear_table(Codec::Pcmu)[0], f32::from(decode_sample(Codec::Pcmu, 0)) / 32_768.0);
        assert_eq!(linear_table(Codec::Pcma)[0x55], f32::from(decode_sample(Codec::Pcma, 0x55)) / 32_768.0);
        assert_eq!(silence(Codec::Pcmu), 0xFF);
        assert_eq!(silence(Codec::Pcma), 0xD5);
    }
}
