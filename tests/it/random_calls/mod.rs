//! Random lists of operations on two endpoints in virtual time, through delay, loss, reorder and duplication: whatever
//! is done in whatever order, every session ends, tells its end once, both sides know the same of how, and nothing is
//! left behind or sent for ever.

mod play;

use std::time::Duration;

use proptest::prelude::*;
use ringfleet::sip::endpoint::Event;
use ringfleet::sip::flow::Transport;
use ringfleet::sip::registration::Binding;
use ringfleet::sip::session::{Means, Refresher, Reliable};

use crate::pair::{Network, invite};
use play::{Kind, OK, Op, Play, binding};

fn means() -> impl Strategy<Value = Means> {
    prop_oneof![Just(Means::Reinvite), Just(Means::Update)]
}

fn kind() -> impl Strategy<Value = Kind> {
    let reliable = prop_oneof![
        3 => Just(Reliable::Supported),
        1 => Just(Reliable::Off),
        2 => Just(Reliable::Required),
    ];
    let refresher = prop_oneof![Just(Refresher::Uac), Just(Refresher::Uas)];
    (reliable, prop::option::of((refresher, means())), prop::bool::weighted(0.8))
        .prop_map(|(reliable, timer, offers)| Kind { reliable, timer, offers })
}

/// What an application does by itself, and what a network does to it.
fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => prop_oneof![Just(Kind::plain()), kind()].prop_map(Op::Dial),
        4 => prop_oneof![Just(Kind::plain()), kind()].prop_map(Op::Ring),
        1 => Just(Op::Progress),
        6 => Just(Op::Answer),
        2 => prop_oneof![Just(302), Just(404), Just(486), Just(503), Just(603)].prop_map(Op::Refuse),
        3 => Just(Op::Cancel),
        5 => Just(Op::HangUp),
        5 => means().prop_map(Op::Change),
        2 => Just(Op::Register),
        2 => Just(Op::Unregister),
        1 => Just(Op::Ping),
        14 => prop_oneof![0..30u64, 0..1000u64, 0..40_000u64, 40_000..100_000u64].prop_map(Op::Pass),
    ]
}

/// And what tears the two sides apart, or what a third party does.
fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        50 => op(),
        1 => Just(Op::Abandon),
        1 => Just(Op::LoseLink),
        1 => Just(Op::Unreachable),
        2 => prop_oneof![Just("INFO"), Just("MESSAGE"), Just("OPTIONS"), Just("NOTIFY"), Just("BYE")].prop_map(Op::Within),
        3 => prop_oneof![Just("SIP/2.0 200"), Just("SIP/2.0 18")].prop_map(Op::Fork),
        4 => (0..60usize).prop_map(Op::Replay),
    ]
}

fn network() -> impl Strategy<Value = Network> {
    (0..300u64, 0..400u64, prop_oneof![Just(0), 0..400u64], prop_oneof![Just(0), 0..400u64]).prop_map(
        |(delay, spread, loss, duplication)| Network {
            delay: Duration::from_millis(delay),
            spread: Duration::from_millis(spread),
            loss,
            duplication,
        },
    )
}

fn transport() -> impl Strategy<Value = Transport> {
    prop_oneof![3 => Just(Transport::Udp), 1 => Just(Transport::Tcp)]
}

fn play(network: Network, transport: Transport, ops: &[(usize, usize, Op)]) {
    let mut play = Play::new(network, transport);
    for (end, which, op) in ops {
        play.act(*end, *which, op);
    }
    play.end();
    play.check();
    if !ops.iter().any(|(_, _, op)| op.parts_the_sides()) {
        play.check_that_both_sides_agree();
    }
    // Eleven INVITEs, ACKs, 200s … of one transaction at the most, each perhaps answered and perhaps doubled.
    assert!(play.pair.wire.len() <= 150 * ops.len(), "{} messages", play.pair.wire.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_order_of_operations_ends_every_session_once_and_leaves_nothing(
        network in network(),
        transport in transport(),
        ops in prop::collection::vec((0..2usize, 0..6usize, any_op()), 1..40),
    ) {
        play(network, transport, &ops);
    }

    #[test]
    fn any_order_of_what_two_applications_do_ends_every_call_alike_on_both_sides(
        network in network(),
        transport in transport(),
        ops in prop::collection::vec((0..2usize, 0..6usize, op()), 1..60),
    ) {
        play(network, transport, &ops);
    }

    #[test]
    fn a_cancel_at_any_instant_of_a_call_ends_it_alike_on_both_sides(
        network in network(),
        kind in kind(),
        rings in 0..800u64,
        answers in prop::option::of(0..3000u64),
        cancels in 0..4000u64,
    ) {
        let mut ops = vec![(0, 0, Op::Dial(kind)), (0, 0, Op::Pass(rings)), (1, 0, Op::Ring(Kind::plain()))];
        let answers = answers.unwrap_or(5000);
        let (first, second) = if answers < cancels { (answers, cancels) } else { (cancels, answers) };
        let act = |at| if at == answers { (1, 0, Op::Answer) } else { (0, 0, Op::Cancel) };
        ops.extend([(0, 0, Op::Pass(first)), act(first), (0, 0, Op::Pass(second - first)), act(second)]);
        play(network, Transport::Udp, &ops);
    }

    #[test]
    fn calls_with_session_timers_and_changes_of_both_sides_end_alike_on_both_sides(
        network in (0..100u64, prop_oneof![Just(0), 0..150u64]).prop_map(|(delay, loss)| Network {
            delay: Duration::from_millis(delay), loss, ..Network::default()
        }),
        refresher in prop_oneof![Just(Refresher::Uac), Just(Refresher::Uas)],
        by in means(),
        changes in prop::collection::vec((0..2usize, means(), 0..60_000u64), 0..12),
    ) {
        let timed = Kind { timer: Some((refresher, by)), ..Kind::plain() };
        let mut ops = vec![(0, 0, Op::Dial(timed)), (0, 0, Op::Pass(2000)), (1, 0, Op::Ring(Kind::plain())), (1, 0, Op::Answer)];
        for (end, means, pass) in changes {
            // Both at the same moment, so that they cross.
            ops.extend([(end, end, Op::Change(means)), (1 - end, 1 - end, Op::Change(means)), (0, 0, Op::Pass(pass))]);
        }
        play(network, Transport::Udp, &ops);
    }
}

#[test]
fn a_bye_to_an_invite_that_we_refused_for_want_of_a_prack_is_no_second_end() {
    let reliable = |reliable| Kind { reliable, ..Kind::plain() };
    let ops = [
        (0, 0, Op::Dial(reliable(Reliable::Required))),
        (0, 0, Op::Pass(40_000)),
        (1, 0, Op::Ring(reliable(Reliable::Supported))),
        (0, 0, Op::Pass(32_000)),
        (1, 0, Op::Within("BYE")),
    ];
    play(Network::default(), Transport::Udp, &ops);
}

#[test]
fn a_day_of_registration_and_a_call_every_minute_is_counted_exactly() {
    let mut play = Play::new(Network::default(), Transport::Udp);
    let (now, flow) = (play.pair.now, play.pair.flow(0));
    let registration = play.pair.ends[0].register(now, Binding { expires: 600, ..binding(flow, 0) });
    for minute in 0..24 * 60 {
        let now = play.pair.now;
        play.pair.ends[0].invite(now, &invite(flow)).expect("the link is open");
        let until = Duration::from_secs(60 * (minute + 1));
        play.pair.run(until, |pair, end, event| {
            let now = pair.now;
            match event {
                Event::Invited { session } => pair.ends[end].respond(now, session, &OK),
                Event::Answered { session } => pair.ends[end].bye(now, session, None),
                _ => {}
            }
        });
        // Neither end remembers more than its registration and the last call's transaction.
        assert!(play.pair.ends[0].len() <= 2 && play.pair.ends[1].len() <= 1);
    }
    let told = |end: usize, wanted: fn(&Event) -> bool| play.pair.told[end].iter().filter(|(_, it)| wanted(it)).count();
    assert_eq!(told(0, |event| matches!(event, Event::Answered { .. })), 1440);
    assert_eq!(told(0, |event| matches!(event, Event::ByeAnswered { code: 200, .. })), 1440);
    assert_eq!(told(1, |event| matches!(event, Event::ByeReceived { .. })), 1440);
    // 600 s are refreshed between 480 and 540 s after the last time, 510 on average, and earlier the first time.
    let refreshed = told(0, |event| matches!(event, Event::Registered { refreshed: true, .. }));
    assert!((160..=180).contains(&refreshed), "{refreshed}");
    assert_eq!(play.pair.sent("REGISTER").len(), refreshed + 1);
    let now = play.pair.now;
    play.pair.ends[0].unregister(now, registration.expect("it was made"));
    play.pass(Duration::from_secs(600));
    assert!(play.pair.ends.iter().all(|end| end.is_empty() && end.poll_timeout().is_none()));
    let sent = play.pair.wire.len();
    // INVITE, 200, ACK, BYE, 200 of each call; REGISTER and 200; nothing was sent twice.
    assert_eq!(sent, 1440 * 5 + 2 * (refreshed + 2));
}
