//! Markers over bad lines.

use super::*;
use crate::media::audio::{FAR_END, Reference, fill_silence};
use crate::media::seed::Seeded;

const ID: u16 = FAR_END | 0x2A51;

/// Reference audio in frames of 20 ms.
fn reference(codec: Codec, seconds: usize) -> Vec<Vec<u8>> {
    let marker = |sequence| Marker { id: ID, sequence, hears: 0 };
    let mut reference = Reference::default();
    let frame = |_| {
        let mut out = Vec::new();
        reference.fill(codec, 160, marker, &mut out);
        out
    };
    (0..seconds * 50).map(frame).collect()
}

fn linear(law: Law, frames: &[Vec<u8>]) -> Vec<f64> {
    frames.iter().flatten().map(|byte| f64::from(g711::decode_sample(law, *byte))).collect()
}

fn coded(law: Law, linear: impl IntoIterator<Item = f64>) -> Vec<Vec<u8>> {
    let code = |sample: f64| g711::encode_sample(law, sample.clamp(-32_768.0, 32_767.0) as i16);
    let bytes: Vec<u8> = linear.into_iter().map(code).collect();
    bytes.chunks(160).map(<[u8]>::to_vec).collect()
}

/// Hears frames of 20 ms without those that `lost` names; gives the sightings with their time in ms.
fn hear(codec: Codec, frames: &[Vec<u8>], mut lost: impl FnMut(usize) -> bool) -> Vec<(Marker, f64)> {
    let start = Instant::now();
    let mut listener = Listener::new(start);
    let mut sightings = Vec::new();
    for (i, frame) in frames.iter().enumerate().filter(|(i, _)| !lost(*i)) {
        let arrived = start + Duration::from_millis(20 * i as u64);
        let timestamp = (160 * codec.units_per_sample()).wrapping_mul(i as u32);
        if let Some(sighting) = listener.hear(arrived, codec, timestamp, frame) {
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

/// The delay of a codec, in which we hear everything later: Opus looks 2.5 ms ahead (RFC 6716 §4.3), and the filter of
/// G.722 that parts the bands is 24 samples long at 16 kHz.
fn delay_ms(codec: Codec) -> f64 {
    match codec {
        Codec::Pcmu | Codec::Pcma => 0.0,
        Codec::G722 => 0.7,
        Codec::Opus => 2.5,
    }
}

#[test]
fn every_marker_is_heard_in_every_codec_at_its_place() {
    for codec in Codec::ALL {
        let sightings = hear(codec, &reference(codec, 8), |_| false);
        assert_eq!(sightings.len(), 8, "{codec:?} {sightings:?}");
        ids_and_times_are_right(&sightings, delay_ms(codec));
    }
}

#[test]
fn a_change_of_the_codec_leaves_later_markers_whole() {
    let start = Instant::now();
    let mut listener = Listener::new(start);
    let heard = [Codec::Opus, Codec::Pcma, Codec::G722, Codec::Opus].into_iter().flat_map(|codec| {
        let frames = reference(codec, 2);
        let hear = |(i, frame): (usize, &Vec<u8>)| {
            listener.hear(start, codec, 160 * codec.units_per_sample() * i as u32, frame).map(|_| codec)
        };
        frames.iter().enumerate().filter_map(hear).collect::<Vec<_>>()
    });
    let expected = [Codec::Opus, Codec::Pcma, Codec::G722, Codec::Opus].map(|codec| [codec; 2]);
    assert_eq!(heard.collect::<Vec<_>>(), expected.concat());
}

#[test]
fn payloads_that_are_no_opus_are_a_gap() {
    let mut frames = reference(Codec::Opus, 3);
    for frame in frames.iter_mut().skip(60).step_by(7) {
        *frame = vec![0xFF; 5];
    }
    let sightings = hear(Codec::Opus, &frames, |_| false);
    assert!(sightings.iter().all(|(marker, _)| marker.id == ID) && sightings.len() <= 3);
    assert_eq!(sightings[0].0.sequence, 0);
}

#[test]
fn markers_survive_transcoding_gain_and_any_alignment() {
    for (from, to) in [(Codec::Pcmu, Codec::Pcma), (Codec::Pcma, Codec::Pcmu)] {
        let (Some(law), Some(other)) = (from.law(), to.law()) else { panic!("both are G.711") };
        for gain in [0.05, 0.3, 2.0, 8.0] {
            for shift in [0, 13, 20, 77, 131] {
                let audio = linear(law, &reference(from, 4)).into_iter().map(|sample| sample * gain);
                let shifted = coded(other, std::iter::repeat_n(0.0, shift).chain(audio));
                let sightings = hear(to, &shifted, |_| false);
                assert_eq!(sightings.len(), 4, "{from:?} gain {gain} shift {shift}: {sightings:?}");
                ids_and_times_are_right(&sightings, shift as f64 / 8.0);
            }
        }
    }
}

#[test]
fn most_markers_survive_five_percent_of_loss() {
    for codec in Codec::ALL {
        let mut seeded = Seeded::new(1);
        let audio = reference(codec, 16);
        for percent in [1.0, 5.0] {
            let sightings = hear(codec, &audio, |_| seeded.between(0.0, 100.0) < percent);
            assert!(sightings.len() >= 13, "{codec:?} {percent} %: {}", sightings.len());
            ids_and_times_are_right(&sightings, delay_ms(codec));
        }
    }
}

#[test]
fn markers_survive_a_far_end_that_repeats_the_last_frame_for_a_lost_one() {
    let mut seeded = Seeded::new(2);
    let mut audio = reference(Codec::Pcmu, 16);
    for frame in 1..audio.len() {
        if seeded.between(0.0, 100.0) < 5.0 {
            audio[frame] = audio[frame - 1].clone();
        }
    }
    let sightings = hear(Codec::Pcmu, &audio, |_| false);
    assert!(sightings.len() >= 14, "{}", sightings.len());
    ids_and_times_are_right(&sightings, 0.0);
}

#[test]
fn markers_are_heard_through_noise_ten_decibels_below() {
    let mut seeded = Seeded::new(3);
    let noisy = linear(Law::A, &reference(Codec::Pcma, 8))
        .into_iter()
        .map(|sample| sample + seeded.between(-1_800.0, 1_800.0))
        .collect::<Vec<_>>();
    let sightings = hear(Codec::Pcma, &coded(Law::A, noisy), |_| false);
    assert_eq!(sightings.len(), 8);
    ids_and_times_are_right(&sightings, 0.0);
}

#[test]
fn noise_tones_and_speech_hold_no_marker() {
    let mut seeded = Seeded::new(4);
    let noise = coded(Law::A, (0..8_000 * 60).map(|_| seeded.between(-8_000.0, 8_000.0)));
    assert_eq!(hear(Codec::Pcma, &noise, |_| false), []);
    let sweep = coded(
        Law::A,
        (0..8_000 * 60).map(|i| {
            let t = f64::from(i) / 8_000.0;
            6_000.0 * (t * (2_000.0 + 900.0 * (t * 3.0).sin())).sin()
        }),
    );
    assert_eq!(hear(Codec::Pcma, &sweep, |_| false), []);
    // Speech of the reference, its markers cut out: of 50 frames of a second the 5th to the 24th.
    for codec in Codec::ALL {
        let mut silence = Vec::new();
        fill_silence(codec, 160, &mut silence);
        let mut speech = reference(codec, 60);
        for (i, frame) in speech.iter_mut().enumerate() {
            if (5..25).contains(&(i % 50)) {
                frame.clone_from(&silence);
            }
        }
        assert_eq!(hear(codec, &speech, |_| false), [], "{codec:?}");
    }
}

#[test]
fn level_of_each_second_is_taken_apart() {
    for codec in Codec::ALL {
        let start = Instant::now();
        let mut listener = Listener::new(start);
        assert_eq!(listener.take_level(), None);
        let units = 160 * codec.units_per_sample();
        for (i, frame) in reference(codec, 1).iter().enumerate() {
            listener.hear(start, codec, units * i as u32, frame);
        }
        assert!((listener.take_level().expect("heard") + 20.0).abs() < 1.0);
        let mut silence = Vec::new();
        fill_silence(codec, 160, &mut silence);
        // Once a decoder has come to rest.
        for i in 50..60 {
            listener.hear(start, codec, units * i, &silence);
        }
        listener.take_level();
        listener.hear(start, codec, units * 60, &silence);
        assert!(listener.take_level().expect("heard") < level::SILENCE_DBOV, "{codec:?}");
        assert!(listener.meter().level_dbov().expect("heard") > -21.0);
    }
}
