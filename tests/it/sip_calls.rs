//! Calls between two endpoints: the order of messages, retransmission, and what crosses on the way.

use std::time::Duration;

use ringfleet::sip::endpoint::Event;
use ringfleet::sip::exchange::Cause;
use ringfleet::sip::flow::Transport;
use ringfleet::sip::message::Message;
use ringfleet::sip::session::Response;
use ringfleet::sip::token::Handle;

use crate::pair::{Network, Pair, invite};

const ANSWER: &[u8] = b"v=0\r\nm=audio 5000 RTP/AVP 8\r\n";
const OK: Response<'static> = Response { code: 200, reason: "", contact: "b", headers: &[], sdp: ANSWER };
const RINGING: Response<'static> = Response { code: 180, ..OK };

fn dial(pair: &mut Pair) -> Handle {
    let (now, flow) = (pair.now, pair.flow(0));
    pair.ends[0].invite(now, &invite(flow)).expect("the link is open")
}

/// Answers at once, hangs up once acknowledged.
fn answer_and_hang_up(pair: &mut Pair, end: usize, event: Event) {
    let now = pair.now;
    match event {
        Event::Invited { session } => {
            pair.ends[end].respond(now, session, &RINGING);
            pair.ends[end].respond(now, session, &OK);
        }
        Event::Answered { session } => pair.ends[end].bye(now, session, None),
        _ => {}
    }
}

fn lines(pair: &Pair) -> Vec<&str> {
    pair.wire.iter().map(|(_, _, line)| line.strip_suffix(" SIP/2.0").unwrap_or(line)).collect()
}

#[test]
fn a_call_is_placed_answered_and_ended() {
    let mut pair = Pair::new(Network::default(), Transport::Udp);
    dial(&mut pair);
    pair.run(Duration::from_secs(60), answer_and_hang_up);
    assert_eq!(
        lines(&pair),
        [
            "INVITE sip:b@127.0.0.1:5061",
            "SIP/2.0 180 Ringing",
            "SIP/2.0 200 OK",
            "ACK sip:b@127.0.0.1:5061",
            "BYE sip:b@127.0.0.1:5061",
            "SIP/2.0 200 OK",
        ]
    );
    assert!(pair.ends.iter().all(|end| end.is_empty()), "nothing is left standing");
}

#[test]
fn an_unanswered_invite_is_repeated_and_given_up_after_32_s() {
    let mut pair = Pair::new(Network { loss: 1000, ..Network::default() }, Transport::Udp);
    let session = dial(&mut pair);
    pair.run(Duration::from_secs(40), |_, _, _| {});
    assert_eq!(pair.sent("INVITE"), [0, 500, 1500, 3500, 7500, 15_500, 31_500]);
    let refused = Event::Refused { session, code: 408, cause: Cause::Timeout };
    assert_eq!(pair.told[0], [(Duration::from_secs(32), refused)]);
    assert!(pair.ends[0].is_empty());
}

#[test]
fn a_lost_ack_makes_the_200_come_again_and_be_acknowledged_again() {
    let mut pair = Pair::new(Network::default(), Transport::Udp);
    pair.drop_next.push(("ACK".into(), 2));
    dial(&mut pair);
    pair.run(Duration::from_secs(3), |pair, end, event| {
        if let Event::Invited { session } = event {
            let now = pair.now;
            pair.ends[end].respond(now, session, &OK);
        }
    });
    assert_eq!(pair.sent("SIP/2.0 200"), [10, 510, 1510]);
    assert_eq!(pair.sent("ACK"), [20, 520, 1520]);
    assert!(matches!(pair.told[1].last(), Some((_, Event::Acknowledged { .. }))));
}

#[test]
fn a_refusal_is_acknowledged_again_when_it_comes_again() {
    let mut pair = Pair::new(Network::default(), Transport::Udp);
    pair.drop_next.push(("ACK".into(), 1));
    dial(&mut pair);
    pair.run(Duration::from_secs(60), |pair, end, event| {
        if let Event::Invited { session } = event {
            let now = pair.now;
            pair.ends[end].respond(now, session, &Response { code: 486, ..Response::default() });
        }
    });
    assert_eq!(pair.sent("SIP/2.0 486"), [10, 510]);
    assert_eq!(pair.sent("ACK"), [20, 520]);
    let refusals = pair.told[0].iter().filter(|(_, event)| matches!(event, Event::Refused { code: 486, .. })).count();
    assert_eq!(refusals, 1, "the failure is told once");
    assert!(pair.ends.iter().all(|end| end.is_empty()), "nothing is left standing");
}

#[test]
fn cancel_waits_for_a_provisional_response_and_ends_with_487() {
    let mut pair = Pair::new(Network::default(), Transport::Udp);
    let session = dial(&mut pair);
    let now = pair.now;
    pair.ends[0].cancel(now, session);
    pair.run(Duration::from_secs(60), |pair, end, event| {
        if let Event::Invited { session } = event {
            let now = pair.now;
            pair.ends[end].respond(now, session, &RINGING);
        }
    });
    assert_eq!(
        lines(&pair),
        [
            "INVITE sip:b@127.0.0.1:5061",
            "SIP/2.0 180 Ringing",
            "CANCEL sip:b@127.0.0.1:5061",
            "SIP/2.0 200 OK",
            "SIP/2.0 487 Request Terminated",
            "ACK sip:b@127.0.0.1:5061",
        ]
    );
    assert!(pair.told[0].iter().any(|(_, event)| matches!(event, Event::Refused { code: 487, .. })));
    assert!(pair.told[1].iter().any(|(_, event)| matches!(event, Event::Cancelled { .. })));
    assert!(pair.ends.iter().all(|end| end.is_empty()), "nothing is left standing");
}

#[test]
fn a_200_that_crosses_our_cancel_is_acknowledged_and_ended() {
    let mut pair = Pair::new(Network::default(), Transport::Udp);
    let caller = dial(&mut pair);
    pair.run(Duration::from_secs(60), |pair, end, event| {
        let now = pair.now;
        match event {
            Event::Invited { session } => {
                pair.ends[end].respond(now, session, &RINGING);
                pair.ends[end].respond(now, session, &OK);
            }
            // The caller gives up at the 180; the 200 is already under way.
            Event::Provisional { .. } => pair.ends[0].cancel(now, caller),
            _ => {}
        }
    });
    assert_eq!(pair.sent("ACK").len(), 1);
    assert_eq!(pair.sent("BYE").len(), 1);
    assert!(pair.told[0].iter().any(|(_, event)| matches!(event, Event::AnsweredAfterCancel { .. })));
    assert!(pair.told[1].iter().any(|(_, event)| matches!(event, Event::ByeReceived { .. })));
    assert!(pair.ends.iter().all(|end| end.is_empty()), "nothing is left standing");
}

#[test]
fn byes_that_cross_end_the_call_once_on_both_sides() {
    let mut pair = Pair::new(Network::default(), Transport::Udp);
    let caller = dial(&mut pair);
    pair.run(Duration::from_secs(60), |pair, end, event| {
        let now = pair.now;
        match event {
            Event::Invited { session } => pair.ends[end].respond(now, session, &OK),
            Event::Acknowledged { session } => {
                pair.ends[end].bye(now, session, None);
                pair.ends[0].bye(now, caller, None);
            }
            _ => {}
        }
    });
    for told in &pair.told {
        let ends = told.iter().filter(|(_, event)| matches!(event, Event::ByeAnswered { code: 200, .. })).count();
        assert_eq!(ends, 1, "{told:?}");
    }
    assert!(pair.ends.iter().all(|end| end.is_empty()), "nothing is left standing");
}

#[test]
fn a_thousand_calls_through_loss_reorder_and_duplication_all_end_on_both_sides() {
    let network = Network { spread: Duration::from_millis(30), loss: 100, duplication: 100, ..Network::default() };
    let mut pair = Pair::new(network, Transport::Udp);
    for _ in 0..1000 {
        dial(&mut pair);
    }
    pair.run(Duration::from_secs(300), answer_and_hang_up);
    let answered = pair.told[0].iter().filter(|(_, event)| matches!(event, Event::Answered { .. })).count();
    let invited = pair.told[1].iter().filter(|(_, event)| matches!(event, Event::Invited { .. })).count();
    assert_eq!((answered, invited), (1000, 1000));
    assert_eq!((pair.ends[0].len(), pair.ends[1].len()), (0, 0), "nothing is left standing");
}

#[test]
fn over_tcp_nothing_is_repeated_but_the_200() {
    let mut pair = Pair::new(Network { delay: Duration::from_millis(700), ..Network::default() }, Transport::Tcp);
    dial(&mut pair);
    pair.run(Duration::from_secs(60), answer_and_hang_up);
    assert_eq!((pair.sent("INVITE").len(), pair.sent("BYE").len()), (1, 1));
    assert_eq!(pair.sent("SIP/2.0 200").len(), 3, "700, 1200 ms, and the one to BYE: {:?}", pair.wire);
}

/// Everything that an end wants sent.
fn drain(pair: &mut Pair, end: usize) -> usize {
    std::iter::from_fn(|| pair.ends[end].poll_transmit().map(|_| ())).count()
}

#[test]
fn a_request_that_is_sent_again_allocates_nothing() {
    let mut pair = Pair::new(Network::default(), Transport::Udp);
    let turn = |pair: &mut Pair| {
        pair.ends[0].handle_timeout(pair.now);
        while pair.ends[0].poll_event().is_some() {}
        drain(pair, 0)
    };
    // Many calls until each has timed out: by then every slot of the timers has been used.
    for tick in 0..4_250 {
        pair.now = pair.start + Duration::from_millis(8) * tick;
        dial(&mut pair);
        turn(&mut pair);
    }
    for _ in 0..9_000 {
        pair.now += Duration::from_millis(4);
        turn(&mut pair);
    }
    dial(&mut pair);
    assert_eq!(turn(&mut pair), 1);
    let mut copies = 0;
    let counted = allocation_counter::measure(|| {
        for _ in 0..4_000 {
            pair.now += Duration::from_millis(4);
            copies += turn(&mut pair);
        }
    });
    assert_eq!((copies, counted.count_total), (5, 0), "after 0.5, 1.5, 3.5, 7.5 and 15.5 s: {counted:?}");
}

#[test]
fn a_response_that_comes_again_allocates_nothing() {
    let mut pair = Pair::new(Network::default(), Transport::Udp);
    dial(&mut pair);
    let mut ringing = Vec::new();
    let (now, flow) = (pair.now, pair.flow(0));
    if let Some(invite) = pair.ends[0].poll_transmit() {
        let text = String::from_utf8_lossy(invite.bytes).into_owned();
        let head = text.lines().filter(|line| ["Via", "From", "Call-ID", "CSeq"].iter().any(|it| line.starts_with(it)));
        let head: Vec<&str> = head.collect();
        ringing = format!("SIP/2.0 180 Ringing\r\n{}\r\nTo: <sip:b@lab>;tag=b\r\n\r\n", head.join("\r\n")).into_bytes();
    }
    let mut receive = || {
        let message = Message::parse(&ringing).expect("a response");
        assert_eq!(pair.ends[0].handle_message(now, flow, &message), Some(7));
        while pair.ends[0].poll_event().is_some() {}
    };
    receive();
    receive();
    let counted = allocation_counter::measure(|| (0..100).for_each(|_| receive()));
    assert_eq!(counted.count_total, 0, "{counted:?}");
}

#[test]
fn a_call_that_is_over_is_kept_in_700_bytes_while_its_answer_may_come_again() {
    let mut pair = Pair::new(Network::default(), Transport::Udp);
    (0..100).for_each(|_| {
        dial(&mut pair);
    });
    pair.run(Duration::from_secs(10), answer_and_hang_up);
    assert_eq!(pair.ends[0].len(), 100, "Timer M runs for 32 s");
    pair.now += Duration::from_secs(32);
    let freed = allocation_counter::measure(|| pair.ends[0].handle_timeout(pair.now));
    assert!(pair.ends[0].is_empty());
    assert!((10_000..70_000).contains(&-freed.bytes_current), "{freed:?}");
}

#[test]
fn a_call_that_is_held_keeps_its_ack_for_32_s_and_leaves_nothing_once_it_is_over() {
    let mut pair = Pair::new(Network::default(), Transport::Udp);
    let calls: Vec<Handle> = (0..100).map(|_| dial(&mut pair)).collect();
    let answer = |pair: &mut Pair, end: usize, event: Event| {
        if let Event::Invited { session } = event {
            pair.ends[end].respond(pair.now, session, &OK);
        }
    };
    pair.run(Duration::from_secs(30), answer);
    let mut after = |seconds| {
        pair.now += Duration::from_secs(seconds);
        allocation_counter::measure(|| pair.ends[0].handle_timeout(pair.now)).bytes_current
    };
    assert_eq!(after(1), 0, "Timer M runs for 32 s");
    let freed = -after(2);
    assert!((30_000..60_000).contains(&freed), "an ACK and what it goes over are some 400 bytes: {freed}");
    assert_eq!(pair.ends[0].poll_timeout(), None);
    let now = pair.now;
    calls.into_iter().for_each(|session| pair.ends[0].bye(now, session, None));
    pair.run(Duration::from_secs(34), answer);
    assert!(pair.ends[0].is_empty());
}

#[test]
fn an_answer_to_what_is_acknowledged_already_is_not_sent() {
    let mut pair = Pair::new(Network::default(), Transport::Udp);
    dial(&mut pair);
    pair.run(Duration::from_secs(5), |pair, end, event| {
        let now = pair.now;
        match event {
            Event::Invited { session } => pair.ends[end].respond(now, session, &OK),
            Event::Acknowledged { session } => {
                pair.ends[end].respond(now, session, &OK);
                pair.ends[end].respond(now, session, &RINGING);
            }
            _ => {}
        }
    });
    assert_eq!(lines(&pair)[1..], ["SIP/2.0 200 OK", "ACK sip:b@127.0.0.1:5061"]);
}
