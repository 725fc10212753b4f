//! Keys between two sessions: sent, heard, sent back; as events and as tones, through bad networks.

use super::*;
use crate::media::dtmf::{Keys, Press, Way};
use crate::sip::sdp::EventFormat;

fn keys(text: &str) -> Keys {
    text.parse().expect("keys")
}

/// Events at the clock of the codec, with the same number on both sides.
fn with_events(config: &mut Config) {
    let event = EventFormat { payload_type: 101, clock_rate: config.codec.clock_rate() };
    (config.telephone_event, config.events) = (Some(event), [101].into_iter().collect());
}

/// What a side heard, and how.
fn heard(pair: &Pair, side: usize) -> (Option<String>, Option<Way>) {
    let report = pair.ends[side].report(pair.now).dtmf;
    (report.heard.map(|keys| keys.to_string()), report.heard_by)
}

fn sent(pair: &Pair, side: usize) -> (Option<String>, Option<Way>) {
    let report = pair.ends[side].report(pair.now).dtmf;
    (report.sent.map(|keys| keys.to_string()), report.sent_by)
}

fn known(text: &str, way: Way) -> (Option<String>, Option<Way>) {
    (Some(text.to_owned()), Some(way))
}

#[test]
fn packets_of_an_event_take_the_place_of_audio_in_one_source_and_sequence() {
    let mut pair = Pair::new([even(20), even(20)], |_, config| with_events(config));
    pair.keep = true;
    pair.run(50 * MS);
    let now = pair.now;
    assert!(pair.ends[0].press(Press::new(keys("7"), Way::Event), now));
    pair.run(450 * MS);
    let packets: Vec<(Duration, Header, Vec<u8>)> =
        pair.rtp(0).iter().map(|(at, packet)| (*at - pair.start, packet.header, packet.payload.to_vec())).collect();
    for (i, two) in packets.windows(2).enumerate() {
        assert_eq!(two[1].0 - two[0].0, 20 * MS, "{i}: one packet at each point of the grid");
        assert_eq!(two[1].1.sequence.wrapping_sub(two[0].1.sequence), 1);
        assert_eq!(two[1].1.ssrc, two[0].1.ssrc);
    }
    // Points at 7, 27 and 47 ms were audio.
    let first = packets[0].1.timestamp;
    let events: Vec<_> = packets[3..10].iter().map(|(_, header, payload)| (*header, payload.as_slice())).collect();
    assert!(events.iter().all(|(header, _)| (header.payload_type, header.timestamp) == (101, first + 480)));
    let payloads: Vec<&[u8]> = events.iter().map(|(_, payload)| *payload).collect();
    let end: &[u8] = &[7, 0x8A, 3, 32];
    assert_eq!(payloads, [&[7, 10, 0, 160][..], &[7, 10, 1, 64], &[7, 10, 1, 224], &[7, 10, 2, 128], end, end, end]);
    let markers: Vec<usize> =
        packets.iter().enumerate().filter(|(_, packet)| packet.1.marker).map(|(i, _)| i).collect();
    assert_eq!(markers, [0, 3]);
    assert_eq!(
        (packets[10].1.payload_type, packets[10].1.timestamp),
        (8, first + 1_600),
        "audio goes on where it would be"
    );
    assert_eq!((heard(&pair, 1), sent(&pair, 0)), (known("7", Way::Event), known("7", Way::Event)));
    let report = pair.ends[1].report(pair.now);
    assert_eq!((report.loss_pct, report.gap_ms_max, report.strays), (Some(0.0), Some(0.0), Strays::default()));
}

#[test]
fn keys_are_heard_in_every_codec_both_ways_and_audio_stays_two_way() {
    for codec in Codec::ALL {
        for way in [Way::Event, Way::Inband] {
            let mut pair = Pair::new([even(33), even(44)], |_, config| {
                config.codec = codec;
                (config.payload_type, config.received_as) = (codec.payload_type(), codec.payload_type());
                config.listen = Listen::Tones;
                with_events(config);
            });
            pair.run(SECOND);
            let now = pair.now;
            assert!(pair.ends[0].press(Press::new(keys("0123456789*#ABCD"), way), now));
            assert!(pair.ends[1].press(Press::new(keys("42"), way), now));
            pair.run(4 * SECOND);
            assert_eq!(heard(&pair, 1), known("0123456789*#ABCD", way), "{codec:?}");
            assert_eq!((heard(&pair, 0), sent(&pair, 1)), (known("42", way), known("42", way)), "{codec:?}");
            pair.run(2 * SECOND);
            for side in 0..2 {
                let report = pair.ends[side].report(pair.now);
                assert_eq!((report.audio, report.loss_pct), (Audio::TwoWay, Some(0.0)), "{codec:?} {way:?}");
            }
        }
    }
}

#[test]
fn keys_of_both_ways_stand_in_one_order_and_one_that_comes_both_ways_is_one() {
    let mut pair = Pair::new([even(20), even(20)], |_, config| {
        with_events(config);
        config.listen = Listen::Tones;
    });
    for (text, way) in [("1", Way::Event), ("2", Way::Inband), ("2", Way::Event), ("3", Way::Inband)] {
        let now = pair.now;
        assert!(pair.ends[0].press(Press::new(keys(text), way), now));
    }
    pair.run(2 * SECOND);
    assert_eq!(heard(&pair, 1), known("1223", Way::Inband));
    // The beginning of a tone comes through, and then the event.
    let now = pair.now;
    let tone = Press { duration: 40 * MS, pause: 40 * MS, ..Press::new(keys("9"), Way::Inband) };
    assert!(pair.ends[0].press(tone, now) && pair.ends[0].press(Press::new(keys("9"), Way::Event), now));
    pair.run(SECOND);
    assert_eq!(heard(&pair, 1), known("12239", Way::Event));
}

#[test]
fn a_far_end_that_sends_keys_back_does_so_the_way_that_they_came() {
    for way in [Way::Event, Way::Inband] {
        let mut pair = Pair::new([even(20), even(20)], |side, config| {
            with_events(config);
            config.listen = if side == 0 { Listen::Tones } else { Listen::Full };
            if side == 1 {
                config.send = Source::Keys;
            }
        });
        let now = pair.now;
        assert!(pair.ends[0].press(Press::new(keys("1#1"), way), now));
        pair.run(6 * SECOND);
        assert_eq!((heard(&pair, 1), sent(&pair, 1)), (known("1#1", way), known("1#1", way)));
        assert_eq!(heard(&pair, 0), known("1#1", way));
        assert_eq!(pair.ends[0].report(pair.now).audio, Audio::TwoWay, "{way:?}");
        let told = pair.events[0].iter().filter(|event| **event == Event::Key).count();
        assert_eq!(told, 3, "each key is told once");
    }
}

#[test]
fn keys_come_whole_through_loss_and_reordering() {
    let mut seeded = Seeded::new(5);
    let path: Path = Box::new(move |number, _| match seeded.between(0.0, 1.0) {
        _ if number == u64::MAX => vec![20 * MS],
        fate if fate < 0.3 => vec![],
        fate if fate < 0.5 => vec![75 * MS],
        fate if fate < 0.6 => vec![20 * MS, 30 * MS],
        _ => vec![20 * MS],
    });
    let mut pair = Pair::new([path, even(20)], |_, config| with_events(config));
    let now = pair.now;
    let pressed = keys("00112233445566778899**##AABBCCDD");
    assert!(pair.ends[0].press(Press::new(pressed, Way::Event), now));
    pair.run(8 * SECOND);
    assert_eq!(heard(&pair, 1), known(&pressed.to_string(), Way::Event));
}

#[test]
fn who_sends_nothing_and_who_sends_echoes_can_press_keys_all_the_same() {
    for source in [Source::Nothing, Source::Echo] {
        for way in [Way::Event, Way::Inband] {
            let mut pair = Pair::new([even(20), even(20)], |side, config| {
                with_events(config);
                config.listen = Listen::Tones;
                if side == 0 {
                    config.send = source;
                }
            });
            pair.run(3 * SECOND);
            let now = pair.now;
            assert!(pair.ends[0].press(Press::new(keys("56"), way), now));
            pair.run(2 * SECOND);
            assert_eq!(heard(&pair, 1), known("56", way), "{source:?}");
            let report = pair.ends[0].report(pair.now);
            assert_eq!((report.tx_skipped, report.strays), (0, Strays::default()), "{source:?}");
            let before = report.tx_packets;
            pair.run(SECOND);
            let after = pair.ends[0].report(pair.now).tx_packets - before;
            assert_eq!(after, if source == Source::Echo { 50 } else { 0 }, "{source:?}: it goes on as before");
        }
    }
}

#[test]
fn what_nobody_could_hear_is_unknown_and_what_did_not_come_is_none() {
    let mut pair = Pair::new([even(20), even(20)], |side, config| {
        if side == 0 {
            with_events(config);
        }
    });
    pair.run(SECOND);
    assert_eq!((heard(&pair, 0), heard(&pair, 1)), ((Some(String::new()), None), (None, None)));
    assert_eq!((sent(&pair, 0), sent(&pair, 1)), ((None, None), (None, None)));
    let now = pair.now;
    assert!(!pair.ends[1].press(Press::new(keys("1"), Way::Event), now), "events were not agreed on");
    assert!(pair.ends[1].press(Press::new(keys("1"), Way::Inband), now));
    pair.run(SECOND);
    assert_eq!((heard(&pair, 0), sent(&pair, 1)), ((Some(String::new()), None), known("1", Way::Inband)));
}

#[test]
fn on_hold_keys_wait_and_a_key_that_is_not_out_is_not_sent() {
    let mut pair = Pair::new([even(20), even(20)], |_, config| with_events(config));
    pair.run(100 * MS);
    let now = pair.now;
    pair.ends[0].set_direction(Direction::RecvOnly, now);
    assert!(pair.ends[0].press(Press::new(keys("12"), Way::Event), now));
    pair.run(SECOND);
    assert_eq!((pair.ends[0].unsent_keys(), sent(&pair, 0).0), (2, Some(String::new())));
    let now = pair.now;
    pair.ends[0].set_direction(Direction::SendRecv, now);
    pair.run(250 * MS);
    assert_eq!((pair.ends[0].unsent_keys(), sent(&pair, 0).0), (1, Some("1".to_owned())));
    pair.run(SECOND);
    assert_eq!((pair.ends[0].unsent_keys(), heard(&pair, 1)), (0, known("12", Way::Event)));
}

#[test]
fn events_of_8000_hz_beside_opus_have_durations_of_that_clock() {
    let mut pair = Pair::new([even(20), even(20)], |_, config| {
        config.codec = Codec::Opus;
        (config.payload_type, config.received_as) = (111, 111);
        with_events(config);
        config.telephone_event = Some(EventFormat { payload_type: 101, clock_rate: 8_000 });
    });
    pair.keep = true;
    let now = pair.now;
    pair.ends[0].press(Press::new(keys("3"), Way::Event), now);
    pair.run(SECOND);
    let events: Vec<_> = pair.rtp(0).into_iter().filter(|(_, packet)| packet.header.payload_type == 101).collect();
    assert_eq!((events.len(), events[6].1.payload), (7, &[3, 0x8A, 3, 32][..]));
    let audio = pair.rtp(0)[7].1.header;
    assert_eq!(
        audio.timestamp.wrapping_sub(events[0].1.header.timestamp),
        7 * 960,
        "timestamps stay those of the audio"
    );
}
