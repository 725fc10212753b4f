//! The send grid, sources and holds.

use super::*;

/// RTP packets of a lone session that is woken at the given moments.
fn sent_at(wakes: impl IntoIterator<Item = Duration>) -> Vec<(Duration, u16, u32, bool)> {
    let start = some_moment();
    let mut session = Session::new(config(0, start), 3, start);
    let (mut sent, mut buf) = (Vec::new(), Vec::new());
    for at in wakes {
        session.handle_timeout(start + at);
        loop {
            match session.poll_output(&mut buf) {
                Output::Transmit { channel: Channel::Rtp, .. } => {
                    let header = Packet::parse(&buf).expect("our own packet").header;
                    sent.push((at, header.sequence, header.timestamp, header.marker));
                }
                Output::Timeout(next) => {
                    assert!(next > start + at);
                    break;
                }
                _ => {}
            }
        }
    }
    sent
}

#[test]
fn the_grid_does_not_drift_over_an_hour() {
    let mut pair = Pair::new([losing(|_| true), losing(|_| true)], |side, config| {
        if side == 1 {
            config.send = Source::Nothing;
        }
    });
    pair.keep = true;
    pair.run(SECOND);
    let first = pair.rtp(0).first().map(|(at, packet)| (*at, packet.header)).expect("sent");
    assert_eq!((first.0 - pair.start, first.1.marker), (7 * MS, true));
    pair.keep = false;
    pair.run(3_598 * SECOND);
    pair.keep = true;
    pair.sent[0].clear();
    pair.run(SECOND);
    let last = *pair.rtp(0).last().expect("sent");
    assert_eq!(last.0 - pair.start, 3_600 * SECOND - 13 * MS);
    assert_eq!(pair.ends[0].report(pair.now).tx_packets, 180_000);
    assert_eq!(last.1.header.timestamp.wrapping_sub(first.1.timestamp), 179_999 * 160);
    assert_eq!(last.1.header.sequence.wrapping_sub(first.1.sequence), (179_999_u32 % 65_536) as u16);
}

#[test]
fn a_late_wake_up_sends_every_frame_on_the_grid() {
    let sent = sent_at([7, 95, 107].map(|ms| ms * MS));
    let at: Vec<u128> = sent.iter().map(|(at, ..)| at.as_millis()).collect();
    assert_eq!(at, [7, 95, 95, 95, 95, 107]);
    for two in sent.windows(2) {
        assert_eq!((two[1].1.wrapping_sub(two[0].1), two[1].2.wrapping_sub(two[0].2)), (1, 160));
        assert!(!two[1].3);
    }
}

#[test]
fn a_machine_that_slept_sends_no_burst() {
    let sent = sent_at([7, 5_000, 5_007].map(|ms| ms * MS));
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[1].0, 5_007 * MS);
    assert_eq!((sent[1].1.wrapping_sub(sent[0].1), sent[1].2.wrapping_sub(sent[0].2), sent[1].3), (1, 40_000, true));
}

#[test]
fn the_phase_is_counted_from_the_clock_of_the_worker() {
    let clock_start = some_moment();
    for (opened, first) in [(0, 7), (7, 7), (8, 27), (1_000_007, 1_000_007), (1_000_008, 1_000_027)] {
        let session = Session::new(config(0, clock_start), 3, clock_start + opened * MS);
        assert_eq!(session.outgoing.first_point() - clock_start, first * MS);
    }
}

#[test]
fn an_echo_keeps_payload_and_spacing_but_has_its_own_numbers() {
    let mut pair = Pair::new([losing(|number| number == 10), even(20)], echo);
    pair.keep = true;
    pair.run(SECOND);
    let (sent, echoed) = (pair.rtp(0), pair.rtp(1));
    let kept: Vec<_> = sent.iter().enumerate().filter(|(i, _)| *i != 10).map(|(_, packet)| packet).collect();
    assert!(echoed.len() >= 48);
    for (i, (at, packet)) in echoed.iter().enumerate() {
        assert_eq!((packet.payload, *at), (kept[i].1.payload, kept[i].0 + 20 * MS));
        assert_ne!(packet.header.ssrc, kept[i].1.header.ssrc);
        assert_eq!(packet.header.sequence, echoed[0].1.header.sequence.wrapping_add(i as u16));
        let spacing = |packets: &[u32]| packets[1].wrapping_sub(packets[0]);
        let ours = spacing(&[echoed[0].1.header.timestamp, packet.header.timestamp]);
        assert_eq!(ours, spacing(&[kept[0].1.header.timestamp, kept[i].1.header.timestamp]));
    }
}

#[test]
fn nothing_sends_no_rtp_but_reports_what_it_receives() {
    let mut pair = Pair::new([even(20), even(20)], |side, config| {
        if side == 1 {
            config.send = Source::Nothing;
        }
    });
    pair.run(3 * SECOND);
    let (caller, far) = (pair.ends[0].report(pair.now), pair.ends[1].report(pair.now));
    assert_eq!((far.tx_packets, far.audio_rx, caller.audio_rx), (0, Heard::Heard, Heard::None));
    assert!(caller.rtt_ms.is_some(), "receiver reports give a round trip too");
}

#[test]
fn hold_stops_sending_and_resume_goes_on_with_the_clock() {
    let mut pair = Pair::new([even(20), even(20)], |_, _| {});
    pair.keep = true;
    pair.run(SECOND);
    let held = pair.ends[0].report(pair.now).tx_packets;
    for session in &mut pair.ends {
        session.set_direction(Direction::Inactive, pair.now);
    }
    pair.run(2 * SECOND);
    assert_eq!(pair.ends[0].report(pair.now).tx_packets, held);
    for session in &mut pair.ends {
        session.set_direction(Direction::SendRecv, pair.now);
    }
    pair.run(SECOND);
    let sent = pair.rtp(0);
    let [before, after] = [sent[held as usize - 1].1.header, sent[held as usize].1.header];
    assert_eq!((after.sequence.wrapping_sub(before.sequence), after.marker), (1, true));
    assert_eq!(after.timestamp.wrapping_sub(before.timestamp), 101 * 160);
    let report = pair.ends[0].report(pair.now);
    assert!(report.gap_ms_max.expect("received") < 20.0, "{:?}", report.gap_ms_max);
    assert_eq!((report.loss_pct, report.stopped_for), (Some(0.0), None));
}

#[test]
fn an_address_of_zeros_is_not_sent_to() {
    let start = some_moment();
    let mut held = config(0, start);
    held.remote_rtp = SocketAddr::from(([0, 0, 0, 0], 4_000));
    held.remote_rtcp = SocketAddr::from(([127, 0, 0, 1], 0));
    let (mut session, mut buf, mut now) = (Session::new(held, 1, start), Vec::new(), start);
    for _ in 0..20 {
        session.handle_timeout(now);
        loop {
            match session.poll_output(&mut buf) {
                Output::Timeout(at) => {
                    assert!(at > now, "a deadline must be ahead");
                    now = at;
                    break;
                }
                output => assert!(matches!(output, Output::Event(_)), "{output:?}"),
            }
        }
    }
    assert_eq!((session.report(now).tx_packets, session.report(now).rtcp_sent), (0, 0));
}

#[test]
fn changing_the_source_marks_the_next_packet() {
    let mut pair = Pair::new([even(20), even(20)], |_, _| {});
    pair.keep = true;
    pair.run(100 * MS);
    pair.ends[0].set_source(Source::Silence, pair.now);
    pair.run(100 * MS);
    let marked: Vec<usize> =
        pair.rtp(0).iter().enumerate().filter(|(_, (_, packet))| packet.header.marker).map(|(i, _)| i).collect();
    assert_eq!(marked, [0, 5]);
    assert_eq!(pair.rtp(0)[9].1.payload, [0xD5; 160]);
}
