//! Sessions in virtual time.

mod dtmf;
mod operations;
mod path;
mod rtcp;
mod sending;

use std::time::Duration;

use path::{Pair, Path, address, config, even, some_moment};

use super::*;
use crate::media::clock::NtpClock;
use crate::media::grade::{By, Grade};
use crate::media::{Audio, Event};
use crate::sip::sdp::crypto::{Key, KeySource, Suite};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

fn echo(side: usize, config: &mut Config) {
    if side == 1 {
        config.send = Source::Echo;
    }
}

/// Loses RTP packets by their number.
fn losing(mut lost: impl FnMut(u64) -> bool + 'static) -> Path {
    Box::new(move |number, _| if number != u64::MAX && lost(number) { vec![] } else { vec![20 * MS] })
}

#[test]
fn an_echo_is_heard_and_proves_both_directions() {
    for codec in Codec::ALL {
        let mut pair = Pair::new([even(33), even(44)], |side, config| {
            config.codec = codec;
            // Each side has a number of its own for what has none by standard.
            let other = if codec == Codec::Opus { 96 } else { codec.payload_type() };
            let numbers = [codec.payload_type(), other];
            (config.payload_type, config.received_as) = (numbers[1 - side], numbers[side]);
            echo(side, config);
        });
        pair.run(3 * SECOND);
        let report = pair.ends[0].report(pair.now);
        assert_eq!((report.audio_rx, report.audio_tx, report.audio), (Heard::Heard, Heard::Heard, Audio::TwoWay));
        let loop_ms = report.audio_loop_ms.expect("heard");
        // Opus looks 2.5 ms ahead, and the filter of G.722 has 0.7 ms.
        assert!((loop_ms - 78.0).abs() < 2.6, "{codec:?} {loop_ms}");
        assert_eq!((report.strays, report.codec), (Strays::default(), codec.name()));
        let far = pair.ends[1].report(pair.now);
        assert_eq!((far.audio_rx, far.audio_tx, far.audio.name()), (Heard::Heard, Heard::Heard, "two_way"));
        assert!((report.level_dbov.expect("decoded") + 20.0).abs() < 1.0);
    }
}

#[test]
fn a_leg_that_counts_packets_only_knows_all_of_them_and_nothing_of_what_they_hold() {
    let listen = |side: usize, config: &mut Config| {
        if side == 0 {
            config.listen = Listen::Packets;
        }
    };
    let lost = |number: u64| number % 10 == 3;
    let mut pair = Pair::new([even(20), losing(lost)], listen);
    let mut full = Pair::new([even(20), losing(lost)], |_, _| {});
    pair.run(6 * SECOND);
    full.run(6 * SECOND);
    let (report, heard) = (pair.ends[0].report(pair.now), full.ends[0].report(full.now));
    assert_eq!((report.audio_rx, report.audio_tx, report.audio), (Heard::Unknown, Heard::Unknown, Audio::Unknown));
    assert_eq!((report.level_dbov, report.audio_loop_ms, report.first_audio_ms), (None, None, None));
    assert_eq!((report.markers_heard, report.heard_id), (0, None));
    assert!(heard.level_dbov.is_some() && heard.first_audio_ms.is_some(), "who listens knows them");
    let figures =
        |of: &Report| (of.rx_packets, of.loss_pct, of.jitter_ms, of.rtt_ms, of.mos_lq, of.mos_cq, of.gap_ms_max);
    assert_eq!(figures(&report), figures(&heard));
    assert!(report.loss_pct.is_some_and(|loss| loss > 9.0) && report.mos_cq.is_some(), "{report:?}");
    // That nothing comes at all is known without listening.
    let mut silent = Pair::new([even(20), losing(|_| true)], listen);
    silent.run(3 * SECOND);
    assert_eq!(silent.ends[0].report(silent.now).audio_rx, Heard::None);
}

#[test]
fn two_talking_ends_tell_each_other_what_they_hear() {
    let mut pair = Pair::new([even(20), even(20)], |_, _| {});
    pair.run(4 * SECOND);
    for side in 0..2 {
        let report = pair.ends[side].report(pair.now);
        assert_eq!(report.audio, Audio::TwoWay, "{side}");
        assert_eq!((report.loss_pct, report.jitter_ms, report.gap_ms_max), (Some(0.0), Some(0.0), Some(0.0)));
        assert_eq!((report.grade, report.grade_missing), (Some(Grade::Good), None));
        assert!(pair.events[side].contains(&Event::Hears(Heard::Heard)));
        assert!(pair.events[side].contains(&Event::IsHeard(Heard::Heard)));
    }
    let report = pair.ends[0].report(pair.now);
    assert_eq!((report.heard_id, report.audio_loop_ms), (Some(0x8123), None));
}

#[test]
fn a_caller_that_is_not_heard_learns_it_from_our_far_end() {
    let mut pair = Pair::new([losing(|_| true), even(20)], |_, _| {});
    pair.run(4 * SECOND);
    let report = pair.ends[0].report(pair.now);
    assert_eq!((report.audio_rx, report.audio_tx), (Heard::Heard, Heard::None));
    assert_eq!(report.audio, Audio::OneWayRx);
    let far = pair.ends[1].report(pair.now);
    assert_eq!((far.audio_rx, far.loss_pct, far.mos_lq), (Heard::None, Some(100.0), None));
    assert_eq!((far.first_packet_ms, far.level_dbov, far.poor_s), (None, None, None));
}

#[test]
fn audio_of_another_caller_is_a_wrong_party() {
    let mut pair = Pair::new([even(20), even(20)], |side, config| config.marker_id = [0x0123, 0x0777][side]);
    pair.run(4 * SECOND);
    let report = pair.ends[0].report(pair.now);
    assert_eq!((report.audio_rx, report.heard_id), (Heard::WrongParty, Some(0x0777)));

    let mut pair = Pair::new([even(20), even(20)], |side, config| {
        config.expected_id = (side == 0).then_some(0x8124);
    });
    pair.run(4 * SECOND);
    assert_eq!(pair.ends[0].report(pair.now).audio, Audio::WrongParty);
}

#[test]
fn silence_and_a_tone_are_seen_for_what_they_are() {
    for (source, heard, audio) in
        [(Source::Silence, Heard::Silent, Audio::Silent), (Source::Tone, Heard::Noise, Audio::Noise)]
    {
        let mut pair = Pair::new([even(20), even(20)], |side, config| {
            if side == 1 {
                config.send = source;
            }
        });
        pair.run(Duration::from_millis(1_500));
        let known_at_once = source == Source::Silence;
        assert_eq!(pair.ends[0].report(pair.now).audio_rx != Heard::Unknown, known_at_once);
        pair.run(3 * SECOND);
        let report = pair.ends[0].report(pair.now);
        assert_eq!(report.audio_rx, heard);
        // The silent far end still listens, but has no marker to say what it hears.
        assert_eq!((report.audio, report.audio_tx), (audio, Heard::Unknown));
        assert_eq!((report.loss_pct, report.rx_packets > 200), (Some(0.0), true));
    }
}

#[test]
fn loss_is_exact_and_decides_the_grade() {
    let mut pair = Pair::new([losing(|number| number % 50 == 25), even(20)], |_, _| {});
    pair.run(10 * SECOND);
    let report = pair.ends[1].report(pair.now);
    let counts = report.reception;
    assert_eq!((counts.expected - counts.unique, report.rx_packets), (10, counts.unique));
    assert_eq!(report.loss_pct, Some(10.0 / counts.expected as f64 * 100.0));
    assert_eq!((report.grade, report.grade_by), (Some(Grade::Poor), Some(By::Loss)));
    assert_eq!((report.grade_worst_s, report.poor_s), (Some(Grade::Poor), Some(10)));
    assert_eq!((report.burst_r, report.loss_source), (Some(1.0), Some("seq")));
    assert_eq!((report.audio_rx, report.gap_ms_max), (Heard::Heard, Some(20.0)));
    // One packet of fifty is 2 %: no grade but poor can come of it in a single second.
    let seconds = pair.events[1].iter().filter_map(|event| match event {
        Event::Second(second) => second.loss_pct,
        _ => None,
    });
    assert_eq!(seconds.filter(|loss| *loss == 2.0).count(), 9);
    let sender = pair.ends[0].report(pair.now).far_end.expect("reported");
    assert!((4..=10).contains(&sender.lost), "{sender:?}");
}

#[test]
fn reordered_and_doubled_packets_are_no_loss() {
    let path: Path = Box::new(|number, _| match number % 25 {
        _ if number == u64::MAX => vec![20 * MS],
        10 => vec![45 * MS],
        20 => vec![20 * MS, 30 * MS],
        _ => vec![20 * MS],
    });
    let mut pair = Pair::new([path, even(20)], |_, _| {});
    pair.run(5 * SECOND);
    let report = pair.ends[1].report(pair.now);
    assert_eq!((report.loss_pct, report.reception.reordered, report.reception.duplicates), (Some(0.0), 10, 10));
    assert_eq!(report.audio_rx, Heard::Heard);
}

#[test]
fn jitter_is_that_of_arrivals() {
    // Every second packet is 6 ms late: |D| is 6 ms between any two.
    let path: Path = Box::new(|number, _| vec![if number % 2 == 0 { 20 * MS } else { 26 * MS }]);
    let mut pair = Pair::new([path, even(20)], |_, _| {});
    pair.run(20 * SECOND);
    let report = pair.ends[1].report(pair.now);
    assert!((report.jitter_ms.expect("received") - 6.0).abs() < 1e-3, "{:?}", report.jitter_ms);
    assert_eq!((report.grade, report.grade_by), (Some(Grade::Good), None));
}

#[test]
fn markers_are_heard_through_five_percent_of_loss() {
    let mut seeded = Seeded::new(11);
    let mut pair = Pair::new([losing(move |_| seeded.between(0.0, 1.0) < 0.05), even(20)], |_, _| {});
    pair.run(10 * SECOND);
    assert_eq!(pair.ends[1].report(pair.now).audio_rx, Heard::Heard);
    assert_eq!(pair.ends[0].report(pair.now).audio, Audio::TwoWay);
}

#[test]
fn rtp_that_stops_before_the_end_has_stopped() {
    let mut pair = Pair::new([losing(|number| number >= 100), even(20)], |_, _| {});
    pair.run(6 * SECOND);
    let stopped = pair.ends[1].report(pair.now).stopped_for.expect("stopped");
    assert!(stopped > Duration::from_millis(3_900) && stopped < Duration::from_millis(4_100), "{stopped:?}");
    assert_eq!(pair.ends[0].report(pair.now).stopped_for, None);
}

#[test]
fn garbage_and_strangers_are_counted_and_change_nothing() {
    let mut pair = Pair::new([even(20), even(20)], |_, _| {});
    pair.run(SECOND);
    let before = pair.ends[0].report(pair.now);
    let stranger = SocketAddr::from(([192, 0, 2, 1], 9));
    let packet = |payload_type, ssrc| {
        let header = Header { marker: false, payload_type, sequence: 1, timestamp: 1, ssrc };
        [header.to_bytes().as_slice(), &[0x55; 160]].concat()
    };
    pair.ends[0].handle_rtp(pair.now, stranger, b"SIP/2.0 200 OK");
    pair.ends[0].handle_rtp(pair.now, stranger, &[]);
    pair.ends[0].handle_rtp(pair.now, stranger, &packet(8, 99));
    pair.ends[0].handle_rtp(pair.now, address(1, Channel::Rtp), &packet(96, 99));
    pair.ends[0].handle_rtcp(pair.now, stranger, &[0x80, 201, 0, 9]);
    let after = pair.ends[0].report(pair.now);
    assert_eq!(after.strays, Strays { garbage: 3, payload_type: 1, address: 1, ..Strays::default() });
    assert_eq!((after.rx_packets, after.address_changes), (before.rx_packets, 0));
}

#[test]
fn rtp_goes_to_where_it_comes_from() {
    let start = some_moment();
    let mut session = Session::new(config(0, start), 1, start);
    let nat = SocketAddr::from(([198, 51, 100, 7], 30_000));
    let header = Header { marker: true, payload_type: 8, sequence: 1, timestamp: 1, ssrc: 5 };
    session.handle_rtp(start + MS, nat, &[header.to_bytes().as_slice(), &[0x55; 160]].concat());
    session.handle_timeout(start + 10 * MS);
    let mut buf = Vec::new();
    assert_eq!(session.poll_output(&mut buf), Output::Event(Event::AddressChanged(nat)));
    assert_eq!(session.poll_output(&mut buf), Output::Event(Event::FirstPacket));
    assert_eq!(session.poll_output(&mut buf), Output::Transmit { channel: Channel::Rtp, to: nat });
    assert_eq!((buf.len(), session.report(start).address_changes), (172, 1));
    // A re-INVITE says better.
    session.set_remote(address(1, Channel::Rtp), address(1, Channel::Rtcp), start + 30 * MS);
    session.set_remote(nat, nat, start + 30 * MS);
    session.set_remote(address(1, Channel::Rtp), address(1, Channel::Rtcp), start + 30 * MS);
    assert_eq!(session.poll_output(&mut buf), Output::Transmit { channel: Channel::Rtp, to: address(1, Channel::Rtp) });
}

#[test]
fn a_short_call_concludes_nothing_from_nothing() {
    let mut pair = Pair::new([losing(|_| true), losing(|_| true)], |_, _| {});
    pair.run(500 * MS);
    let report = pair.ends[0].report(pair.now);
    assert_eq!((report.audio, report.loss_pct, report.mos_model), (Audio::Unknown, None, None));
    assert_eq!((report.grade, report.grade_missing.as_deref()), (None, Some("loss,jitter,delay")));
}

#[test]
fn encrypted_audio_is_heard_and_goes_on_under_new_keys() {
    let mut source = KeySource::new([5; 32]);
    let mut keys = |suite| [source.next(suite), source.next(suite)];
    let of = |[ours, theirs]: [Key; 2], side| {
        if side == 0 { Keys { ours, theirs } } else { Keys { ours: theirs, theirs: ours } }
    };
    let (first, second) = (keys(Suite::AesCm128Sha1_80), keys(Suite::AeadAes128Gcm));
    let mut pair = Pair::new([even(20), even(20)], |side, config| {
        config.srtp = Some(of(first, side));
        echo(side, config);
    });
    pair.keep = true;
    pair.run(3 * SECOND);
    // The answerer changes first, as in a re-INVITE; packets under way are those of the keys before.
    for side in [1, 0] {
        let now = pair.now;
        pair.ends[side].set_srtp(Some(of(second, side)), now);
        pair.run(15 * MS);
    }
    pair.run(3 * SECOND);
    for side in 0..2 {
        let report = pair.ends[side].report(pair.now);
        assert_eq!((report.audio, report.srtp), (Audio::TwoWay, Some("AEAD_AES_128_GCM")));
        assert_eq!(report.srtp_rejected.replayed, 0);
    }
    // What the caller sent under its old key after the answerer had changed is let in; the answerer's first packet
    // under the new key came to a caller that did not know it yet.
    assert_eq!(pair.ends[1].report(pair.now).srtp_rejected.unauthenticated, 0);
    assert!(pair.ends[0].report(pair.now).srtp_rejected.unauthenticated <= 1);
    assert!(pair.sent[0].iter().all(|(_, channel, bytes)| *channel == Channel::Rtcp || bytes.len() >= 12 + 160 + 10));
}

#[test]
fn plain_rtp_is_not_let_in_where_keys_were_agreed() {
    let mut source = KeySource::new([5; 32]);
    let keys = Keys { ours: source.next(Suite::AesCm128Sha1_80), theirs: source.next(Suite::AesCm128Sha1_80) };
    let mut pair = Pair::new([even(20), even(20)], |side, config| config.srtp = (side == 0).then_some(keys));
    pair.run(3 * SECOND);
    let report = pair.ends[0].report(pair.now);
    assert_eq!((report.rx_packets, report.audio_rx, report.rtt_ms), (0, Heard::None, None));
    assert!(report.srtp_rejected.unauthenticated > 140);
}

#[test]
fn an_echo_sends_no_copy_back() {
    let twice: Path = Box::new(|_, _| vec![20 * MS, 23 * MS]);
    let mut pair = Pair::new([twice, even(20)], echo);
    pair.run(3 * SECOND);
    let (caller, far) = (pair.ends[0].report(pair.now), pair.ends[1].report(pair.now));
    assert!(far.reception.duplicates > 140 && far.rx_packets > 290, "{:?}", far.reception);
    assert_eq!(far.tx_packets, far.reception.unique, "each packet once");
    assert_eq!((caller.audio, caller.loss_pct, caller.reception.duplicates), (Audio::TwoWay, Some(0.0), 0));
}

#[test]
fn where_nothing_arrives_the_far_ends_report_says_what_was_lost() {
    let mut pair = Pair::new([even(20), losing(|_| true)], |_, _| {});
    pair.run(3 * SECOND);
    let report = pair.ends[0].report(pair.now);
    assert_eq!((report.rx_packets, report.loss_pct, report.loss_source), (0, Some(100.0), Some("sr")));
    assert_eq!(pair.ends[1].report(pair.now).loss_source, Some("seq"));
}

#[test]
fn bug_a_payload_type_that_was_not_agreed_on_is_counted_and_not_heard() {
    // G.711 of the A law was agreed on; of our offer the answer has the other law as well, but not Opus.
    let mut pair = Pair::new([even(20), even(20)], |_, config| config.others = [0].into_iter().collect());
    pair.run(SECOND);
    let before = pair.ends[0].report(pair.now).rx_packets;
    for (sequence, payload_type) in [(1, 111), (2, 9), (3, 0)] {
        let header = Header { marker: false, payload_type, sequence, timestamp: 1, ssrc: 99 };
        let packet = [header.to_bytes().as_slice(), &[0x55; 160]].concat();
        pair.ends[0].handle_rtp(pair.now, address(1, Channel::Rtp), &packet);
    }
    let after = pair.ends[0].report(pair.now);
    assert_eq!((after.strays.payload_type, after.rx_packets - before), (2, 1));
}

#[test]
fn opus_is_stamped_and_reported_at_48_khz() {
    let mut pair = Pair::new([even(20), even(20)], |_, config| {
        (config.codec, config.payload_type, config.received_as) = (Codec::Opus, 111, 111);
        // Frames of 20 ms are all that there is.
        config.ptime = 60 * MS;
    });
    pair.keep = true;
    pair.run(4 * SECOND);
    let sent = pair.rtp(0);
    for two in sent.windows(2) {
        assert_eq!(two[1].0 - two[0].0, 20 * MS);
        assert_eq!(two[1].1.header.timestamp.wrapping_sub(two[0].1.header.timestamp), 960);
    }
    assert!(sent.iter().all(|(_, packet)| (packet.header.payload_type, packet.payload.len()) == (111, 80)));
    let report = pair.ends[0].report(pair.now);
    assert_eq!((report.audio, report.codec, report.jitter_ms), (Audio::TwoWay, "opus", Some(0.0)));
    assert_eq!(report.mos_model.as_deref(), Some("G.107(2015) ie=0 bpl=10 burst_r=1.00 ta=rtt/2 assumed=ie,bpl"));
}

#[test]
fn a_change_of_the_codec_goes_on_in_time_and_is_heard() {
    let mut pair = Pair::new([even(20), even(20)], |_, _| {});
    pair.keep = true;
    pair.run(2 * SECOND);
    for session in &mut pair.ends {
        let (numbers, address) = ((111, 111), SocketAddr::from(([0; 4], 0)));
        let clock = NtpClock::from_unix(pair.now, Duration::ZERO);
        let mut agreed = Config::new(Codec::Opus, address, address, clock);
        (agreed.payload_type, agreed.received_as) = numbers;
        session.set_codec(&agreed, pair.now);
    }
    pair.run(3 * SECOND);
    let sent = pair.rtp(0);
    let change = sent.iter().position(|(_, packet)| packet.header.payload_type == 111).expect("changed");
    let steps = |packets: &[(Instant, Packet<'_>)]| -> Vec<u32> {
        let step = |two: &[(Instant, Packet<'_>)]| two[1].1.header.timestamp.wrapping_sub(two[0].1.header.timestamp);
        let mut steps: Vec<u32> = packets.windows(2).map(step).collect();
        steps.dedup();
        steps
    };
    // RFC 7160 §4: what was sent before the change lasted 20 ms of its own clock.
    assert_eq!((steps(&sent[..=change]), steps(&sent[change..])), (vec![160], vec![960]));
    assert!(sent[change].1.header.marker);
    let report = pair.ends[1].report(pair.now);
    assert_eq!((report.loss_pct, report.jitter_ms, report.codec), (Some(0.0), Some(0.0), "opus"));
    assert_eq!((report.markers_heard >= 4, report.audio), (true, Audio::TwoWay));
}
