//! Reports, round-trip time and goodbye.

use super::*;
use crate::media::rtcp::{Compound, Packet as Report};

#[test]
fn the_round_trip_is_known_on_both_sides_of_a_two_second_call() {
    for delay in [0, 5, 50, 200] {
        let mut pair = Pair::new([even(delay), even(delay + 10)], |_, _| {});
        pair.run(2 * SECOND);
        for side in 0..2 {
            let report = pair.ends[side].report(pair.now);
            let rtt = report.rtt_ms.expect("known after two seconds");
            assert!((rtt - (2 * delay + 10) as f64).abs() < 1.0, "{delay} ms: {rtt} ms");
            assert_eq!(report.one_way_ms, Some(rtt / 2.0));
            assert!(report.mos_cq.expect("delay known") <= report.mos_lq.expect("loss known"));
        }
    }
}

#[test]
fn the_first_compound_goes_out_with_the_first_frame_and_then_about_every_five_seconds() {
    let mut pair = Pair::new([even(20), even(20)], |_, config| config.send = Source::Silence);
    pair.keep = true;
    pair.run(600 * SECOND);
    let at: Vec<Duration> = pair.sent[0]
        .iter()
        .filter(|(_, channel, _)| *channel == Channel::Rtcp)
        .map(|(at, ..)| *at - pair.start)
        .collect();
    assert_eq!(at[0], 7 * MS);
    let gaps: Vec<Duration> = at.windows(2).map(|two| two[1] - two[0]).collect();
    assert!((500 * MS..=1_000 * MS).contains(&gaps[0]), "{:?}", gaps[0]);
    assert!(gaps[1..].iter().all(|gap| (2_500 * MS..=7_500 * MS).contains(gap)));
    assert!((100..=140).contains(&at.len()), "{}", at.len());
}

#[test]
fn reports_say_what_was_sent_and_received() {
    let mut pair = Pair::new([losing(|number| number == 3), even(20)], |_, _| {});
    pair.keep = true;
    pair.run(2 * SECOND);
    pair.close();
    for (side, lost) in [(0, 0), (1, 1)] {
        let last = &pair.sent[side].last().expect("sent").2;
        let packets: Vec<Report<'_>> = Compound::new(last).map(|packet| packet.expect("ours")).collect();
        let [Report::SenderReport { info, reports, .. }, Report::Sdes { cname, .. }, Report::Bye { .. }] = &packets[..]
        else {
            panic!("{packets:?}")
        };
        let sent = pair.ends[side].report(pair.now).tx_packets as u32;
        assert_eq!((info.packets, info.octets, *cname), (sent, sent * 160, Some(b"ringfleet".as_slice())));
        let block = reports.clone().next().expect("received");
        assert_eq!((block.lost, block.jitter), (lost, 0));
        assert_ne!(block.last_sr, 0);
    }
}

#[test]
fn goodbye_is_said_once_and_nothing_follows() {
    let mut pair = Pair::new([even(20), even(20)], |_, _| {});
    pair.keep = true;
    pair.run(SECOND);
    pair.ends[0].close(pair.now);
    pair.ends[0].close(pair.now);
    let sent = pair.sent[0].len();
    pair.run(10 * SECOND);
    assert_eq!(pair.sent[0].len(), sent + 1);
    assert_eq!(pair.events[1].iter().filter(|event| **event == Event::Bye).count(), 1);
    assert_eq!(pair.ends[0].poll_output(&mut Vec::new()), Output::Idle);
}

#[test]
fn our_own_reports_that_come_back_give_no_round_trip() {
    let start = some_moment();
    let mut session = Session::new(config(0, start), 1, start);
    let (mut now, mut buf) = (start, Vec::new());
    while now < start + 5 * SECOND {
        session.handle_timeout(now);
        loop {
            match session.poll_output(&mut buf) {
                Output::Transmit { channel: Channel::Rtp, to } => session.handle_rtp(now, to, &buf.clone()),
                Output::Transmit { channel: Channel::Rtcp, to } => session.handle_rtcp(now, to, &buf.clone()),
                Output::Event(_) => {}
                Output::Timeout(at) => {
                    now = at;
                    break;
                }
                Output::Idle => panic!("not closed"),
            }
        }
    }
    let report = session.report(now);
    assert_eq!((report.rtt_ms, report.mos_cq, report.grade), (None, None, None));
    assert_eq!(report.grade_missing.as_deref(), Some("delay"));
    assert!(report.strays.reflected >= 2);
    // The audio did come back.
    assert_eq!(report.audio, Audio::TwoWay);
}

#[test]
fn muxed_rtcp_uses_the_rtp_socket() {
    let mut pair = Pair::new([even(20), even(20)], |_, config| config.rtcp_mux = true);
    pair.keep = true;
    pair.run(2 * SECOND);
    assert!(pair.sent[0].iter().all(|(_, channel, _)| *channel == Channel::Rtp));
    assert!(pair.ends[0].report(pair.now).rtt_ms.is_some());
    assert_eq!(pair.ends[0].report(pair.now).strays, Strays::default());
}
