//! Markers over bad lines.

use super::*;
use crate::media::audio::{FAR_END, Reference};
use crate::media::seed::Seeded;

const ID: u16 = FAR_END | 0x2A51;

fn reference(codec: Codec, seconds: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let marker = |sequence| Marker { id: ID, sequence, hears: 0 };
    let mut reference = Reference::default();
    for _ in 0..seconds * 50 {
        reference.fill(codec, 160, marker, &mut out);
    }
    out
}

fn linear(codec: Codec, coded: &[u8]) -> Vec<f64> {
    coded.iter().map(|byte| f64::from(g711::decode_sample(codec, *byte))).collect()
}

fn coded(codec: Codec, linear: impl IntoIterator<Item = f64>) -> Vec<u8> {
    linear.into_iter().map(|sample| g711::encode_sample(codec, sample.clamp(-32_768.0, 32_767.0) as i16)).collect()
}

/// Hears the audio in frames of 20 ms, without those that `lost` names; gives the sightings with their time in ms.
fn hear(codec: Codec, audio: &[u8], mut lost: impl FnMut(usize) -> bool) -> Vec<(Marker, f64)> {
    let start = Instant::now();
    let mut listener = Listener::new(start);
    let mut sightings = Vec::new();
    for (i, frame) in audio.chunks(160).enumerate().filter(|(i, _)| !lost(*i)) {
        let arrived = start + Duration::from_millis(20 * i as u64);
        if let Some(sighting) = listener.hear(arrived, codec, 160 * i as u32, frame) {
            sightings.push((sighting.marker, (sighting.at - start).as_secs_f64() * 1_000.0));
        }
    }
    sightings
}

fn ids_and_times_are_right(sightings: &[(Marker, f64)], shift_ms: f64) {
    for (marker, at) in sightings {
        assert_eq!(marker.id, ID);
        let expected = 100.0 + 1_000.0 * f64::from(marker.sequence) + shift_ms;
        assert!((at - expected).abs() < 1.5, "{at} ms, expected {expected} ms");
    }
}

#[test]
fn every_marker_is_heard_in_both_laws_at_its_place() {
    for codec in Codec::ALL {
        let sightings = hear(codec, &reference(codec, 8), |_| false);
        assert_eq!(sightings.len(), 8, "{codec:?} {sightings:?}");
        ids_and_times_are_right(&sightings, 0.0);
    }
}

#[test]
fn markers_survive_transcoding_gain_and_any_alignment() {
    for (from, to) in [(Codec::Pcmu, Codec::Pcma), (Codec::Pcma, Codec::Pcmu)] {
        for gain in [0.05, 0.3, 2.0, 8.0] {
            for shift in [0, 13, 20, 77, 131] {
                let audio = linear(from, &reference(from, 4)).into_iter().map(|sample| sample * gain);
                let shifted = coded(to, std::iter::repeat_n(0.0, shift).chain(audio));
                let sightings = hear(to, &shifted, |_| false);
                assert_eq!(sightings.len(), 4, "{from:?} gain {gain} shift {shift}: {sightings:?}");
                ids_and_times_are_right(&sightings, shift as f64 / 8.0);
            }
        }
    }
}

#[test]
fn most_markers_survive_five_percent_of_loss() {
    let mut seeded = Seeded::new(1);
    let audio = reference(Codec::Pcma, 16);
    for percent in [1.0, 5.0] {
        let sightings = hear(Codec::Pcma, &audio, |_| seeded.between(0.0, 100.0) < percent);
        assert!(sightings.len() >= 14, "{percent} %: {}", sightings.len());
        ids_and_times_are_right(&sightings, 0.0);
    }
}

#[test]
fn markers_survive_a_far_end_that_repeats_the_last_frame_for_a_lost_one() {
    let mut seeded = Seeded::new(2);
    let mut audio = reference(Codec::Pcmu, 16);
    for frame in 1..audio.len() / 160 {
        if seeded.between(0.0, 100.0) < 5.0 {
            audio.copy_within((frame - 1) * 160..frame * 160, frame * 160);
        }
    }
    let sightings = hear(Codec::Pcmu, &audio, |_| false);
    assert!(sightings.len() >= 14, "{}", sightings.len());
    ids_and_times_are_right(&sightings, 0.0);
}

#[test]
fn markers_are_heard_through_noise_ten_decibels_below() {
    let mut seeded = Seeded::new(3);
    let noisy = linear(Codec::Pcma, &reference(Codec::Pcma, 8))
        .into_iter()
        .map(|sample| sample + seeded.between(-1_800.0, 1_800.0))
        .collect::<Vec<_>>();
    let sightings = hear(Codec::Pcma, &coded(Codec::Pcma, noisy), |_| false);
    assert_eq!(sightings.len(), 8);
    ids_and_times_are_right(&sightings, 0.0);
}

#[test]
fn noise_tones_and_speech_hold_no_marker() {
    let mut seeded = Seeded::new(4);
    let noise = coded(Codec::Pcma, (0..8_000 * 60).map(|_| seeded.between(-8_000.0, 8_000.0)));
    assert_eq!(hear(Codec::Pcma, &noise, |_| false), []);
    let sweep = coded(
        Codec::Pcma,
        (0..8_000 * 60).map(|i| {
            let t = f64::from(i) / 8_000.0;
            6_000.0 * (t * (2_000.0 + 900.0 * (t * 3.0).sin())).sin()
        }),
    );
    assert_eq!(hear(Codec::Pcma, &sweep, |_| false), []);
    // Speech of the reference, its markers cut out.
    let mut speech = reference(Codec::Pcma, 60);
    for (i, byte) in speech.iter_mut().enumerate() {
        if (800..4_000).contains(&(i % 8_000)) {
            *byte = g711::silence(Codec::Pcma);
        }
    }
    assert_eq!(hear(Codec::Pcma, &speech, |_| false), []);
}

#[test]
fn level_of_each_second_is_taken_apart() {
    let start = Instant::now();
    let mut listener = Listener::new(start);
    assert_eq!(listener.take_level(), None);
    for (i, frame) in reference(Codec::Pcma, 1).chunks(160).enumerate() {
        listener.hear(start, Codec::Pcma, 160 * i as u32, frame);
    }
    assert!((listener.take_level().expect("heard") + 20.0).abs() < 1.0);
    listener.hear(start, Codec::Pcma, 8_000, &[g711::silence(Codec::Pcma); 160]);
    assert!(listener.take_level().expect("heard") < level::SILENCE_DBOV);
    assert!(listener.meter().level_dbov().expect("heard") > -21.0);
}
