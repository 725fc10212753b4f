//! Any order of inputs, and what the hot path costs.

use proptest::prelude::*;

use super::*;
use crate::media::dtmf::{Key, Press, Way};
use crate::sip::sdp::EventFormat;

#[derive(Clone, Debug)]
enum Operation {
    Wait(u64),
    Rtp { sequence: u16, timestamp: u32, ssrc: u32, payload_type: u8, length: usize },
    Bytes(Vec<u8>),
    Rtcp(Vec<u8>),
    Source(Source),
    Press(Press),
    Direction(Direction),
    Close,
}

fn operation() -> impl Strategy<Value = Operation> {
    let rtp =
        (any::<u16>(), any::<u32>(), 0..3_u32, proptest::sample::select(vec![0, 8, 9, 13, 101, 111]), 0..500_usize);
    let sources = [Source::Speech, Source::Keys, Source::Tone, Source::Silence, Source::Echo, Source::Nothing];
    let directions = [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive];
    prop_oneof![
        6 => (0..3_000_u64).prop_map(Operation::Wait),
        6 => rtp.prop_map(|(sequence, timestamp, ssrc, payload_type, length)| {
            Operation::Rtp { sequence, timestamp, ssrc, payload_type, length }
        }),
        1 => proptest::collection::vec(any::<u8>(), 0..64).prop_map(Operation::Bytes),
        2 => (200..204_u8, proptest::collection::vec(any::<u8>(), 28)).prop_map(|(packet_type, body)| {
            Operation::Rtcp([&[0x81, packet_type, 0, 7], body.as_slice()].concat())
        }),
        1 => proptest::sample::select(sources.to_vec()).prop_map(Operation::Source),
        1 => (0..16_u8, any::<bool>()).prop_map(|(code, event)| {
            let way = if event { Way::Event } else { Way::Inband };
            Operation::Press(Press::new(Key::of_event(code).into_iter().collect(), way))
        }),
        1 => proptest::sample::select(directions.to_vec()).prop_map(Operation::Direction),
        1 => Just(Operation::Close),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_order_of_inputs_leaves_deadlines_ahead_and_output_bounded(
        operations in proptest::collection::vec(operation(), 1..80)
    ) {
        let start = some_moment();
        let event = EventFormat { payload_type: 101, clock_rate: 8_000 };
        let events = [101].into_iter().collect();
        let config = Config { telephone_event: Some(event), events, ..config(0, start) };
        let mut session = Session::new(config, 1, start);
        let (mut now, mut buf) = (start, Vec::new());
        let from = address(1, Channel::Rtp);
        for operation in operations {
            match operation {
                Operation::Wait(ms) => {
                    now += ms as u32 * MS;
                    session.handle_timeout(now);
                }
                Operation::Rtp { sequence, timestamp, ssrc, payload_type, length } => {
                    let header = Header { marker: false, payload_type, sequence, timestamp, ssrc };
                    session.handle_rtp(now, from, &[header.to_bytes().to_vec(), vec![0x12; length]].concat());
                }
                Operation::Bytes(bytes) => session.handle_rtp(now, from, &bytes),
                Operation::Rtcp(bytes) => session.handle_rtcp(now, from, &bytes),
                Operation::Source(source) => session.set_source(source, now),
                Operation::Press(press) => drop(session.press(press, now)),
                Operation::Direction(direction) => session.set_direction(direction, now),
                Operation::Close => session.close(now),
            }
            let mut outputs = 0;
            loop {
                outputs += 1;
                prop_assert!(outputs < 100);
                match session.poll_output(&mut buf) {
                    Output::Timeout(at) => {
                        prop_assert!(at > now);
                        break;
                    }
                    Output::Idle => break,
                    Output::Transmit { .. } => prop_assert!(buf.len() <= 512),
                    Output::Event(_) => {}
                }
            }
            let report = session.report(now);
            prop_assert!(report.loss_pct.is_none_or(|loss| (0.0..=100.0).contains(&loss)));
            prop_assert!(report.mos_lq.is_none_or(|mos| (1.0..=4.5).contains(&mos)));
        }
    }
}

#[test]
fn packets_are_sent_received_and_heard_without_an_allocation() {
    for source in [Source::Speech, Source::Echo] {
        let start = some_moment();
        let mut session = Session::new(Config { send: source, ..config(0, start) }, 1, start);
        let mut buf = Vec::with_capacity(512);
        let mut half_a_second = |from: u16| {
            for i in from..from + 25 {
                let at = start + u32::from(i) * 20 * MS + 9 * MS;
                let timestamp = u32::from(i) * 160;
                let header = Header { marker: false, payload_type: 8, sequence: i, timestamp, ssrc: 1 };
                let mut packet = [0x12; 172];
                packet[..12].copy_from_slice(&header.to_bytes());
                session.handle_rtp(at, address(1, Channel::Rtp), &packet);
                while !matches!(session.poll_output(&mut buf), Output::Timeout(_)) {}
            }
        };
        // Tables, buffers and the second's event have their room after the first turns.
        half_a_second(0);
        half_a_second(25);
        half_a_second(50);
        let counted = allocation_counter::measure(|| half_a_second(75));
        assert_eq!(counted.count_total, 0, "{source:?}");
    }
}
