//! Whole loads against the simulated PBX in virtual time, with numbers, network and faults drawn at random: every
//! attempt gets exactly one record, the counts add up, and nothing is left when all is over.

use std::time::Duration;

use proptest::prelude::*;
use ringfleet::scenario::plan::Transport;

use crate::pair::Network;
use crate::virtual_net::{Side, World, caller, over};

const MINUTE: Duration = Duration::from_secs(60);

/// What happens to the world while the load runs.
#[derive(Clone, Debug)]
enum Op {
    Pass(u64),
    BreakLinks,
    Garbage(Vec<u8>),
    LoseNext(&'static str, usize),
    Stop,
}

fn op() -> impl Strategy<Value = Op> {
    let line = prop_oneof![
        Just("INVITE"),
        Just("ACK"),
        Just("BYE"),
        Just("CANCEL"),
        Just("REGISTER"),
        Just("SIP/2.0 200"),
        Just("SIP/2.0 180"),
        Just("SIP/2.0 407"),
        Just("SIP/2.0 4"),
    ];
    prop_oneof![
        8 => prop_oneof![0..50u64, 0..3000u64].prop_map(Op::Pass),
        1 => Just(Op::BreakLinks),
        1 => prop::collection::vec(any::<u8>(), 0..60).prop_map(Op::Garbage),
        3 => (line, 1..8usize).prop_map(|(line, times)| Op::LoseNext(line, times)),
        1 => Just(Op::Stop),
    ]
}

fn steps() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        Just("echo"),
        Just("internal"),
        Just("busy"),
        Just("silence"),
        Just("no_answer"),
        Just("ring_forever"),
        Just("early_media"),
        Just("redirect"),
        Just("no_response"),
    ];
    let dial = prop_oneof![Just("answer_within: 4s"), Just("cancel_after: 1s"), Just("answer_within: 30s")];
    let after = prop_oneof![Just("{ talk: { for: 1s } }, hangup"), Just("{ wait: 1s }, hangup"), Just("hangup")];
    (any::<bool>(), any::<bool>(), number, dial, after).prop_map(|(register, ping, number, dial, after)| {
        let first = [ping.then_some("options, "), register.then_some("register, ")].map(Option::unwrap_or_default);
        format!("[{}{}{{ dial: {{ number: {number}, {dial} }} }}, {after}]", first[0], first[1])
    })
}

fn load() -> impl Strategy<Value = (String, u64)> {
    (1..6u64, 1..8u64, any::<bool>()).prop_map(|(many, calls, closed)| {
        let kind = if closed { format!("concurrent: {many}") } else { format!("rate: {many}/s") };
        (format!("{{ {kind}, calls: {calls} }}"), calls)
    })
}

fn network() -> impl Strategy<Value = Network> {
    (1..200u64, 0..100u64, prop_oneof![Just(0), 0..300u64], prop_oneof![Just(0), 0..300u64]).prop_map(
        |(delay, spread, loss, duplication)| Network {
            delay: Duration::from_millis(delay),
            spread: Duration::from_millis(spread),
            loss,
            duplication,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, max_shrink_iters: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_attempt_has_one_record_and_nothing_is_left(
        network in network(),
        tcp in any::<bool>(),
        steps in steps(),
        (load, calls) in load(),
        ops in prop::collection::vec(op(), 0..10),
    ) {
        let transport = if tcp { Transport::Tcp } else { Transport::Udp };
        let mut world = World::through(network, over(transport, caller(&steps, &load)));
        let (mut stopped, mut broken) = (false, false);
        for op in &ops {
            match op {
                Op::Pass(milliseconds) => {
                    let until = world.now - world.start + Duration::from_millis(*milliseconds);
                    world.pass(until);
                }
                Op::BreakLinks => {
                    broken |= !tcp;
                    world.break_links();
                }
                Op::Garbage(bytes) => world.inject_if_open(bytes),
                // TCP loses nothing.
                Op::LoseNext(..) if tcp => {}
                Op::LoseNext(line, times) => world.drop_next.push(((*line).to_owned(), *times)),
                Op::Stop => {
                    stopped = true;
                    world.stop();
                }
            }
        }
        world.run(20 * MINUTE);
        let progress = world.callers.progress();
        prop_assert_eq!(progress.in_progress, 0);
        prop_assert_eq!(progress.started, progress.finished);
        prop_assert_eq!(world.records.len() as u64, progress.finished, "a record for each attempt");
        prop_assert_eq!(world.dropped, progress.dropped);
        let accounted = progress.started + progress.dropped;
        prop_assert!(if stopped { accounted <= calls } else { accounted == calls }, "{:?}", progress);
        let mut ids: Vec<_> = world.records.iter().map(|record| record.call_id.clone()).collect();
        ids.sort();
        ids.dedup();
        prop_assert_eq!(ids.len(), world.records.len(), "each record is of its own attempt");
        world.rest(15 * MINUTE);
        prop_assert_eq!(world.open_ports_of(Side::Callers), 0);
        // Over UDP nothing tells the PBX that its caller is gone: a call that was up stays up.
        if !broken {
            prop_assert_eq!((world.open_ports(), world.pbx.calls_under_way()), (0, 0));
            prop_assert_eq!(world.next_moment(), None, "no timer is left");
        }
    }
}
