//! Calls between two endpoints: the order of messages, retransmission, and what crosses on the way.

use std::time::Duration;

use ringfleet::sip::endpoint::Event;
use ringfleet::sip::exchange::Cause;
use ringfleet::sip::flow::Transport;
use ringfleet::sip::session::{Invite, Response};
use ringfleet::sip::token::Handle;

use crate::pair::{Network, Pair};

const OK: Response<'static> = Response { code: 200, reason: "", contact: "b", headers: &[], sdp: b"" };
const RINGING: Response<'static> = Response { code: 180, ..OK };

fn dial(pair: &mut Pair) -> Handle {
    let (now, flow) = (pair.now, pair.flow(0));
    let call = Invite {
        flow,
        owner: 7,
        uri: "sip:b@127.0.0.1:5061",
        from: "<sip:a@lab>",
        to: "<sip:b@lab>",
        contact_user: "a",
        route: &[],
        headers: &[],
        sdp: b"",
        credentials: None,
    };
    pair.ends[0].invite(now, &call).expect("the link is open")
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
fn a_180_after_the_200_breaks_nothing() {
    let mut pair = Pair::new(Network::default(), Transport::Udp);
    dial(&mut pair);
    pair.run(Duration::from_secs(5), |pair, end, event| {
        if let Event::Invited { session } = event {
            let now = pair.now;
            pair.ends[end].respond(now, session, &OK);
            pair.ends[end].respond(now, session, &RINGING);
        }
    });
    let answers = pair.told[0].iter().filter(|(_, event)| matches!(event, Event::Answered { .. })).count();
    assert_eq!((answers, pair.sent("ACK").len()), (1, 1));
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
