//! Whole loads against the simulated PBX in virtual time, with numbers, network and faults drawn at random: every
//! attempt gets exactly one record, the counts add up, and nothing is left when all is over.

use std::time::Duration;

use proptest::prelude::*;
use ringfleet::scenario::plan::Transport;

use crate::pair::Network;
use crate::virtual_net::{Side, World, caller, compiled, over};

const MINUTE: Duration = Duration::from_secs(60);

/// What happens to the world while the load runs.
#[derive(Clone, Debug)]
enum Op {
    Pass(u64),
    BreakLinks,
    Garbage(Vec<u8>),
    LoseNext(&'static str, usize),
    Fork,
    Stop,
}

fn op() -> impl Strategy<Value = Op> {
    let line = prop_oneof![
        Just("INVITE"),
        Just("ACK"),
        Just("BYE"),
        Just("CANCEL"),
        Just("REGISTER"),
        Just("UPDATE"),
        Just("PRACK"),
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
        2 => Just(Op::Fork),
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
    let dial = prop_oneof![
        Just("answer_within: 4s".to_owned()),
        Just("answer_within: 30s".to_owned()),
        (0..3000u32).prop_map(|at| format!("cancel_after: {at}ms")),
    ];
    let speaks = prop_oneof![
        3 => Just(""),
        1 => Just(", 100rel: required"),
        1 => Just(", session_timer: { expires: 90s, refresher: uac, by: update }"),
        1 => Just(", session_timer: { expires: 90s, refresher: uas }"),
    ];
    let after = prop_oneof![
        Just("{ talk: { for: 1s } }, hangup"),
        Just("{ wait: 1s }, hangup"),
        Just("hangup"),
        Just("{ talk: { for: 1s } }, hold, { wait: 2s }, { resume: { by: update } }, { talk: { for: 1s } }, hangup"),
        Just("{ hold: { by: update } }, hangup"),
        Just("{ wait: 100s }, hangup"),
    ];
    (any::<bool>(), any::<bool>(), number, (dial, speaks), after).prop_map(
        |(register, ping, number, (dial, speaks), after)| {
            let first = [ping.then_some("options, "), register.then_some("register, ")].map(Option::unwrap_or_default);
            format!("[{}{}{{ dial: {{ number: {number}, {dial}{speaks} }} }}, {after}]", first[0], first[1])
        },
    )
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
        let mut stopped = false;
        for op in &ops {
            match op {
                Op::Pass(milliseconds) => {
                    let until = world.now - world.start + Duration::from_millis(*milliseconds);
                    world.pass(until);
                }
                Op::BreakLinks => world.break_links(),
                Op::Garbage(bytes) => world.inject_if_open(bytes),
                // TCP loses nothing.
                Op::LoseNext(..) if tcp => {}
                Op::Fork => world.fork_answers(),
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
        // Over UDP only the session timer of the PBX, half an hour, tells that its caller is gone.
        world.rest(20 * MINUTE);
        prop_assert_eq!((world.open_ports(), world.pbx.calls_under_way()), (0, 0));
        prop_assert_eq!(world.next_moment(), None, "no timer is left");
    }
}

/// A customer who calls an agent through the PBX, with what either may do while they talk.
fn two_parties() -> impl Strategy<Value = String> {
    let middle = || {
        prop_oneof![
            2 => Just(""),
            1 => Just("hold, { wait: 500ms }, resume, "),
            1 => Just("{ hold: { by: update } }, { wait: 1s }, { resume: { by: update } }, "),
        ]
    };
    let agent_ends = prop_oneof![Just("hangup"), Just("{ wait: 60s }")];
    (middle(), middle(), agent_ends, 0..3000u32, prop::option::weighted(0.2, 0..4000u32)).prop_map(
        |(of_agent, of_customer, agent_ends, after, cancel)| {
            let cancel = cancel.map(|at| format!(", cancel_after: {at}ms")).unwrap_or_default();
            format!(
                "scenario: inbound\ntarget: lab\nactors:\n  agent: {{ account: agents, registered: standing, steps: \
                 [{{ answer: {{ after: {after}ms, within: 20s }} }}, {{ talk: {{ for: 1s }} }}, {of_agent}{agent_ends}] }}\n  \
                 customer: {{ account: agents, when: agent.registered, steps: [{{ dial: {{ number: \"1001\", \
                 answer_within: 20s{cancel} }} }}, {{ talk: {{ for: 1s }} }}, {of_customer}{{ wait: 2s }}, hangup] }}\n"
            )
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, max_shrink_iters: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn two_parties_of_a_call_through_the_pbx_have_a_record_each_and_know_the_same_of_it(
        network in network(),
        tcp in any::<bool>(),
        text in two_parties(),
        calls in 1..4u64,
        forks in any::<bool>(),
    ) {
        let transport = if tcp { Transport::Tcp } else { Transport::Udp };
        let compiled = compiled(&format!("{text}load: {{ calls: {calls} }}\n"), "");
        let mut world = World::through(network, over(transport, compiled));
        if forks {
            world.pass(Duration::from_secs(3));
            world.fork_answers();
        }
        world.run(30 * MINUTE);
        prop_assert_eq!(world.records.len() as u64, 2 * calls, "{:#?}", world.records);
        prop_assert_eq!(world.primary.len() as u64, calls);
        let mut ids: Vec<_> = world.records.iter().map(|record| record.call_id.clone()).collect();
        ids.sort();
        ids.dedup();
        prop_assert_eq!(ids.len() as u64, 2 * calls, "each record is of its own leg");
        for n in 1..=calls {
            let of = |actor: &str| {
                let id = format!("run-{n:06}-{actor}");
                world.records.iter().find(|record| record.call_id == id).expect("it has a record")
            };
            let (agent, customer) = (of("agent"), of("customer"));
            // Who was answered was answered by somebody, and who says that the other hung up is right.
            prop_assert!(!customer.is_answered() || agent.is_answered(), "{customer:#?}\n{agent:#?}");
            if customer.is_answered() && customer.hangup_by.as_deref() == Some("far_end") {
                prop_assert_eq!(agent.hangup_by.as_deref(), Some("us"), "{:#?}\n{:#?}", customer, agent);
            }
        }
        world.rest(35 * MINUTE);
        prop_assert_eq!((world.open_ports(), world.pbx.calls_under_way()), (0, 0));
        prop_assert_eq!(world.next_moment(), None, "no timer is left");
    }
}

#[test]
fn a_day_of_load_is_counted_to_the_call_and_leaves_nothing() {
    // Every twenty seconds a call of two minutes that is refreshed twice, so that six stand at any time.
    let steps = "[{ dial: { number: internal, media: none, session_timer: { expires: 90s, refresher: uac, by: update } } }, \
        { wait: 2m }, hangup]";
    let mut compiled = caller(steps, "{ rate: 0.05/s, calls: 10 }");
    compiled.plan.load.stop.calls = Some(4320);
    compiled.plan.safety.max_calls = u64::MAX;
    let mut world = World::through(Network { loss: 5, ..Network::default() }, compiled);
    for hour in 1..24 {
        world.pass(hour * 60 * MINUTE);
        world.wire.clear();
    }
    world.run(25 * 60 * MINUTE);
    let progress = world.callers.progress();
    assert_eq!((progress.started, progress.finished, progress.dropped), (4320, 4320, 0));
    assert_eq!(world.records.len(), 4320);
    assert!((6..=7).contains(&progress.peak), "{}", progress.peak);
    assert!(world.records.iter().all(|record| record.code == Some(200)));
    world.rest(35 * MINUTE);
    assert_eq!((world.open_ports(), world.pbx.calls_under_way(), world.next_moment()), (0, 0, None));
}
