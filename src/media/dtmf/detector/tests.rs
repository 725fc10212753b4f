//! Keys that have to be recognised, and sounds that must not be taken for one.

use super::super::tones::tests::coded;
use super::*;
use crate::media::Source;
use crate::media::audio::{Marker, Reference, Tone};
use crate::media::codec::{Codec, Decoder, LONGEST};
use crate::media::seed::Seeded;

/// Two sines, from a sample on.
fn pair([low, high]: [f64; 2], dbm0: [f64; 2], samples: usize) -> Vec<f32> {
    let sine = |frequency: f64, dbm0: f64, i: usize| amplitude(dbm0) * (TAU * frequency * i as f64 / 8_000.0).sin();
    (0..samples).map(|i| (sine(low, dbm0[0], i) + sine(high, dbm0[1], i)) as f32).collect()
}

/// Keys in audio, fed in frames of 20 ms.
fn heard(audio: &[f32]) -> String {
    let mut detector = Detector::default();
    audio.chunks(160).for_each(|frame| detector.feed(frame));
    detector.take().to_string()
}

fn silence(samples: usize) -> Vec<f32> {
    vec![0.0; samples]
}

const FIVE: [f64; 2] = [770.0, 1_336.0];

#[test]
fn every_key_is_recognised_in_every_codec_from_the_loudest_to_the_weakest() {
    for codec in Codec::ALL {
        for level in [-3, -10, -25, -36] {
            for code in 0..16 {
                let key = Key::of_event(code).expect("a key");
                let audio = [silence(333), coded(codec, key, level, 5), silence(800)].concat();
                assert_eq!(heard(&audio), key.name().to_string(), "{codec:?} {level} dBm0");
            }
        }
    }
}

#[test]
fn forty_milliseconds_are_a_key_and_a_pause_wherever_blocks_begin() {
    for offset in 0..BLOCK {
        let tone = pair(FIVE, [-10.0; 2], 320);
        let audio = [silence(offset), tone.clone(), silence(320), tone, silence(800)].concat();
        assert_eq!(heard(&audio), "55", "{offset}");
    }
}

#[test]
fn seventeen_milliseconds_are_no_key_and_ten_no_interruption() {
    for offset in 0..BLOCK {
        let short = [silence(offset), pair(FIVE, [-10.0; 2], 140), silence(800)].concat();
        assert_eq!(heard(&short), "", "{offset}");
        let mut broken = [silence(offset), pair(FIVE, [-10.0; 2], 800), silence(800)].concat();
        broken[offset + 400..offset + 480].fill(0.0);
        assert_eq!(heard(&broken), "5", "{offset}");
    }
}

#[test]
fn a_frequency_may_be_1_5_percent_off_and_not_3_5() {
    for code in 0..16_u8 {
        let (row, column) = (usize::from(code / 4), usize::from(code % 4));
        let key = key_at(row, column).expect("a key");
        for (off, known) in [(1.015, true), (0.985, true), (1.035, false), (0.965, false)] {
            let audio = pair([LOW[row] * off, HIGH[column] * off], [-10.0; 2], 1_600);
            assert_eq!(heard(&audio) == key.name().to_string(), known, "{} {off}", key.name());
            assert!(known || heard(&audio).is_empty());
        }
    }
}

#[test]
fn the_low_tone_may_be_7_db_stronger_and_the_high_one_3_and_not_10_or_6() {
    for (levels, known) in [([-10.0, -17.0], "5"), ([-13.0, -10.0], "5"), ([-10.0, -20.0], ""), ([-16.0, -10.0], "")] {
        assert_eq!(heard(&pair(FIVE, levels, 1_600)), known, "{levels:?}");
    }
}

#[test]
fn a_key_is_recognised_in_noise_20_db_below_it() {
    let mut seeded = Seeded::new(3);
    // Both tones have 2 · a² / 2, and noise between −x and x has x² / 3.
    let most = (3.0 * amplitude(-10.0).powi(2) / 100.0).sqrt();
    let tone = pair(FIVE, [-10.0; 2], 800);
    let audio = [tone, silence(800)].concat();
    let noisy: Vec<f32> = audio.iter().map(|sample| sample + seeded.between(-most, most) as f32).collect();
    assert_eq!(heard(&noisy), "5");
}

#[test]
fn silence_that_is_not_fed_sample_by_sample_is_the_same_pause() {
    let tone = pair(FIVE, [-10.0; 2], 400);
    for pause in [320, 500, 8_000, 100_000] {
        let mut detector = Detector::default();
        detector.feed(&tone);
        assert_eq!(detector.take().to_string(), "5");
        detector.feed_silence(pause);
        detector.feed(&tone);
        assert_eq!(detector.take().to_string(), "5", "{pause}");
    }
    let mut detector = Detector::default();
    detector.feed(&tone);
    (0..80).for_each(|_| detector.feed_silence(1));
    detector.feed(&tone);
    assert_eq!(detector.take().to_string(), "5", "10 ms are no pause");
}

#[test]
fn a_packet_that_is_lost_within_a_key_makes_no_second_one() {
    let mut detector = Detector::default();
    for (i, frame) in pair(FIVE, [-10.0; 2], 1_600).chunks(160).enumerate() {
        if i == 4 {
            detector.skip();
        } else {
            detector.feed(frame);
        }
    }
    assert_eq!(detector.take().to_string(), "5");
}

/// A minute of what a leg sends, as a decoder hears it.
fn sent(codec: Codec, source: Source) -> Vec<f32> {
    let (mut reference, mut tone, mut decoder) = (Reference::default(), Tone::default(), Decoder::default());
    let (mut linear, mut audio, mut payload) = ([0.0; LONGEST], Vec::new(), Vec::new());
    for frame in 0..3_000_u16 {
        payload.clear();
        // Another id in each second, so that all pairs of its tones come.
        let marker = |sequence| Marker { id: frame.wrapping_mul(0x9E37), sequence, hears: sequence };
        match source {
            Source::Tone => tone.fill(codec, 160, &mut payload),
            _ => drop(reference.fill(codec, 160, marker, &mut payload)),
        }
        let samples = decoder.decode(codec, &payload, &mut linear);
        audio.extend_from_slice(&linear[..samples]);
    }
    audio
}

#[test]
fn a_minute_of_our_reference_audio_and_of_the_tone_has_no_key_in_any_codec() {
    for codec in Codec::ALL {
        for source in [Source::Speech, Source::Tone] {
            assert_eq!(heard(&sent(codec, source)), "", "{codec:?} {source:?}");
        }
    }
}

#[test]
fn ten_minutes_of_noise_that_changes_like_speech_have_no_key() {
    let mut seeded = Seeded::new(7);
    let mut audio = Vec::new();
    let mut detector = Detector::default();
    for _syllable in 0..2_400 {
        // A pitch that glides, harmonics that fall off, two of which formants lift, and breath.
        let (pitch, glide) = (seeded.between(90.0, 280.0), seeded.between(-0.2, 0.2));
        let (first, second) = (seeded.between(300.0, 900.0), seeded.between(900.0, 2_400.0));
        let loud = seeded.between(0.05, 0.3);
        let lift = |hz: f64, formant: f64| 1.0 / (1.0 + ((hz - formant) / 80.0).powi(2));
        let harmonics: Vec<(f64, f64)> = (1..13)
            .map(|n| (f64::from(n), f64::from(n) * pitch))
            .map(|(n, hz)| (n, loud / n * (1.0 + 4.0 * lift(hz, first) + 3.0 * lift(hz, second))))
            .collect();
        audio.clear();
        audio.extend((0..2_000).map(|i| {
            let time = f64::from(i) / 8_000.0;
            let turns = pitch * time * (1.0 + glide * time);
            let voiced: f64 = harmonics.iter().map(|(n, a)| a * (TAU * n * turns).sin()).sum();
            (voiced + seeded.between(-0.02, 0.02)) as f32
        }));
        detector.feed(&audio);
    }
    assert_eq!(detector.take().to_string(), "");
}

#[test]
fn chords_of_music_have_no_key() {
    // Two notes of the equal-tempered scale with their octaves, every pair of the three octaves from A4 on.
    let note = |n: i32| 440.0 * 2_f64.powf(f64::from(n) / 12.0);
    for low in 0..36 {
        for high in low + 1..36 {
            let mut audio = pair([note(low), note(high)], [-12.0; 2], 1_600);
            let octaves = pair([2.0 * note(low), 2.0 * note(high)], [-14.0; 2], 1_600);
            audio.iter_mut().zip(octaves).for_each(|(sample, octave)| *sample += octave);
            assert_eq!(heard(&audio), "", "{low} {high}");
        }
    }
}

#[test]
fn single_tones_have_no_key() {
    for hz in (300..3_400).step_by(10) {
        assert_eq!(heard(&pair([f64::from(hz), 0.0], [-10.0, -90.0], 1_600)), "", "{hz} Hz");
    }
}
