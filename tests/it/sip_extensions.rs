//! Extensions between two endpoints: PRACK, UPDATE, re-INVITE with glare, session timers; and what crosses on the way.

use std::time::Duration;

use ringfleet::sip::endpoint::Event;
use ringfleet::sip::exchange::Cause;
use ringfleet::sip::flow::Transport;
use ringfleet::sip::session::{Extensions, Invite, Means, Refresher, Reliable, Response, SessionTimer};
use ringfleet::sip::token::Handle;

use crate::pair::{self, Network, OFFER, Pair};
use crate::sip_peer::{field, fields};

const ANSWER: &[u8] = b"v=0\r\nm=audio 5000 RTP/AVP 8\r\n";
const OK: Response<'static> = Response { code: 200, reason: "", contact: "b", headers: &[], sdp: ANSWER };
const RINGING: Response<'static> = Response { code: 180, sdp: b"", ..OK };

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn reliable(reliable: Reliable) -> Extensions {
    Extensions { reliable, ..Extensions::default() }
}

fn timer(expires: Option<u32>, refresher: Option<Refresher>, by: Means) -> Extensions {
    Extensions { timer: SessionTimer { expires, refresher, by, ..SessionTimer::default() }, ..Extensions::default() }
}

fn invite<'a>(pair: &Pair, extensions: Extensions, sdp: &'a [u8]) -> Invite<'a> {
    Invite { extensions, sdp, ..pair::invite(pair.flow(0)) }
}

fn dial_with(pair: &mut Pair, extensions: Extensions, sdp: &[u8]) -> Handle {
    let (now, call) = (pair.now, invite(pair, extensions, sdp));
    pair.ends[0].invite(now, &call).expect("the link is open")
}

fn dial(pair: &mut Pair, extensions: Extensions) -> Handle {
    dial_with(pair, extensions, OFFER)
}

fn quiet() -> Pair {
    Pair::new(Network::default(), Transport::Udp)
}

/// Speaks `extensions`, rings and answers.
fn ring_and_answer(extensions: Extensions) -> impl FnMut(&mut Pair, usize, Event) {
    move |pair, end, event| {
        let now = pair.now;
        if let Event::Invited { session } = event
            && pair.ends[end].speak(now, session, extensions)
        {
            pair.ends[end].respond(now, session, &RINGING);
            pair.ends[end].respond(now, session, &OK);
        }
    }
}

/// A call that is up, with the handle of each side.
fn up(extensions: [Extensions; 2]) -> (Pair, [Handle; 2]) {
    let mut pair = quiet();
    let caller = dial(&mut pair, extensions[0]);
    let mut called = None;
    let mut answer = ring_and_answer(extensions[1]);
    pair.run(secs(1), |pair, end, event| {
        if let Event::Invited { session } = event {
            called = Some(session);
        }
        answer(pair, end, event);
    });
    (pair, [caller, called.expect("the call came in")])
}

fn told(pair: &Pair, end: usize, wanted: impl Fn(&Event) -> bool) -> Vec<u128> {
    pair.told[end].iter().filter(|(_, event)| wanted(event)).map(|(at, _)| at.as_millis()).collect()
}

fn lines(pair: &Pair) -> Vec<&str> {
    let short = |line: &'_ str| line.split(" sip:").next().unwrap_or("").to_owned();
    pair.wire.iter().map(|(_, _, line)| &line[..short(line).len()]).collect()
}

// --- RFC 6026 ---------------------------------------------------------------------------------------------------------

#[test]
fn a_copy_of_an_invite_that_was_answered_is_absorbed_while_the_200_repeats_itself() {
    let mut pair = quiet();
    dial(&mut pair, Extensions::default());
    // No response reaches the caller, so its INVITE comes again and again.
    pair.drop_next.push(("SIP/2.0".into(), usize::MAX));
    pair.run(secs(31), |pair, end, event| {
        if let Event::Invited { session } = event {
            let now = pair.now;
            pair.ends[end].respond(now, session, &OK);
        }
    });
    assert_eq!(pair.sent("INVITE"), [0, 500, 1500, 3500, 7500, 15_500]);
    assert_eq!(pair.sent("SIP/2.0 200"), [10, 510, 1510, 3510, 7510, 11_510, 15_510, 19_510, 23_510, 27_510]);
    let invited = told(&pair, 1, |event| matches!(event, Event::Invited { .. }));
    assert_eq!(invited.len(), 1, "one call");
}

#[test]
fn a_200_without_ack_is_given_up_after_32_s_and_the_call_ended() {
    let (mut pair, _) = (quiet(), ());
    dial(&mut pair, Extensions::default());
    pair.drop_next.push(("ACK".into(), usize::MAX));
    pair.run(secs(40), ring_and_answer(Extensions::default()));
    assert_eq!(told(&pair, 1, |event| matches!(event, Event::NotAcknowledged { .. })), [32_010]);
    assert_eq!(pair.sent("BYE"), [32_010]);
}

// --- RFC 3262 ---------------------------------------------------------------------------------------------------------

#[test]
fn a_required_reliable_180_is_acknowledged_with_prack_and_the_200_waits_for_it() {
    let mut pair = quiet();
    dial(&mut pair, reliable(Reliable::Required));
    pair.run(secs(1), ring_and_answer(Extensions::default()));
    assert_eq!(lines(&pair), ["INVITE", "SIP/2.0 180 Ringing", "PRACK", "SIP/2.0 200 OK", "SIP/2.0 200 OK", "ACK"]);
    let ringing = pair.messages_of(1, "SIP/2.0 180")[0];
    assert_eq!((field(ringing, "Require"), field(pair.messages_of(0, "INVITE")[0], "Require")), ("100rel", "100rel"));
    let rack = field(pair.messages_of(0, "PRACK")[0], "RAck");
    assert_eq!(rack, format!("{} 1 INVITE", field(ringing, "RSeq")));
}

#[test]
fn what_is_only_supported_on_both_sides_is_not_used() {
    let mut pair = quiet();
    dial(&mut pair, Extensions::default());
    pair.run(secs(1), ring_and_answer(Extensions::default()));
    assert_eq!(field(pair.messages_of(0, "INVITE")[0], "Supported"), "100rel, timer");
    assert!(pair.sent("PRACK").is_empty());
}

#[test]
fn a_called_party_that_requires_100rel_refuses_a_caller_without_with_421_and_one_without_refuses_with_420() {
    for (caller, called, code, name) in
        [(Reliable::Off, Reliable::Required, 421, "Require"), (Reliable::Required, Reliable::Off, 420, "Unsupported")]
    {
        let mut pair = quiet();
        let session = dial(&mut pair, reliable(caller));
        pair.run(secs(60), ring_and_answer(reliable(called)));
        let refused = Event::Refused { session, code, cause: Cause::Response };
        assert!(pair.told[0].iter().any(|(_, event)| *event == refused), "{:?}", pair.told[0]);
        let refusal = pair.messages_of(1, &format!("SIP/2.0 {code}"))[0];
        assert_eq!(field(refusal, name), "100rel");
        assert!(pair.ends.iter().all(|end| end.is_empty()), "nothing is left standing");
    }
}

#[test]
fn a_reliable_180_is_repeated_doubling_without_end_until_prack_comes() {
    let mut pair = quiet();
    dial(&mut pair, reliable(Reliable::Required));
    pair.drop_next.push(("PRACK".into(), 5));
    pair.run(secs(20), ring_and_answer(Extensions::default()));
    assert_eq!(pair.sent("SIP/2.0 180"), [10, 510, 1510, 3510, 7510]);
    assert_eq!(pair.sent("PRACK"), [20, 520, 1520, 3520, 7520, 11_520], "each its own transaction's repetition");
    let rings = told(&pair, 0, |event| matches!(event, Event::Provisional { code: 180, .. }));
    assert_eq!(rings, [20], "a copy is no second ringing");
    assert_eq!(told(&pair, 0, |event| matches!(event, Event::Answered { .. })), [11_540]);
}

#[test]
fn a_reliable_180_that_is_never_acknowledged_ends_the_invite_with_504_after_32_s() {
    let mut pair = quiet();
    dial(&mut pair, reliable(Reliable::Required));
    pair.drop_next.push(("PRACK".into(), usize::MAX));
    pair.run(secs(100), ring_and_answer(Extensions::default()));
    assert_eq!(pair.sent("SIP/2.0 180"), [10, 510, 1510, 3510, 7510, 15_510, 31_510]);
    assert_eq!(pair.sent("SIP/2.0 504"), [32_010]);
    let given_up = told(&pair, 1, |event| matches!(event, Event::ProvisionalNotAcknowledged { .. }));
    assert_eq!(given_up, [32_010]);
    assert!(pair.told[0].iter().any(|(_, event)| matches!(event, Event::Refused { code: 504, .. })));
    assert!(pair.ends.iter().all(|end| end.is_empty()), "nothing is left standing");
}

#[test]
fn an_answer_in_a_reliable_183_is_not_repeated_in_the_200_and_known_to_the_caller() {
    let mut pair = quiet();
    let caller = dial(&mut pair, reliable(Reliable::Required));
    pair.run(secs(1), |pair, end, event| {
        if let Event::Invited { session } = event {
            let now = pair.now;
            pair.ends[end].respond(now, session, &Response { code: 183, ..OK });
            pair.ends[end].respond(now, session, &OK);
        }
    });
    let accepted = pair.messages_of(1, "SIP/2.0 200").into_iter().find(|text| text.contains("INVITE")).expect("sent");
    assert_eq!(field(accepted, "Content-Length"), "0");
    assert_eq!(pair.ends[0].early_answer(caller), Some(ANSWER));
}

#[test]
fn two_reliable_provisionals_go_one_after_the_other_with_numbers_in_order() {
    let mut pair = quiet();
    dial(&mut pair, reliable(Reliable::Required));
    pair.run(secs(1), |pair, end, event| {
        if let Event::Invited { session } = event {
            let now = pair.now;
            pair.ends[end].respond(now, session, &RINGING);
            pair.ends[end].respond(now, session, &Response { code: 183, ..OK });
            pair.ends[end].respond(now, session, &OK);
        }
    });
    assert_eq!((pair.sent("SIP/2.0 180"), pair.sent("SIP/2.0 183")), (vec![10], vec![30]));
    let rseq = |line: &str| field(pair.messages_of(1, line)[0], "RSeq").parse::<u32>().expect("a number");
    assert_eq!(rseq("SIP/2.0 183"), rseq("SIP/2.0 180") + 1);
    assert_eq!(told(&pair, 0, |event| matches!(event, Event::Answered { .. })), [60]);
}

#[test]
fn a_cancel_while_a_reliable_180_waits_for_its_prack_ends_with_487() {
    let mut pair = quiet();
    let caller = dial(&mut pair, reliable(Reliable::Required));
    pair.drop_next.push(("PRACK".into(), usize::MAX));
    pair.run(secs(70), |pair, end, event| {
        ring_and_answer(Extensions::default())(pair, end, event);
        if let Event::Provisional { .. } = event {
            let now = pair.now;
            pair.ends[0].cancel(now, caller);
        }
    });
    assert_eq!(pair.sent("SIP/2.0 487").len(), 1);
    assert!(pair.told[0].iter().any(|(_, event)| matches!(event, Event::Refused { code: 487, .. })));
    assert!(pair.ends.iter().all(|end| end.is_empty()), "nothing is left standing");
}

#[test]
fn an_invite_that_requires_what_nobody_knows_is_refused_once_it_is_known_who_calls() {
    let mut pair = quiet();
    let headers = [("Require".to_owned(), "tdialog, timer".to_owned())];
    let call = Invite { headers: &headers, ..invite(&pair, Extensions::default(), OFFER) };
    let now = pair.now;
    pair.ends[0].invite(now, &call).expect("the link is open");
    pair.run(secs(60), ring_and_answer(Extensions::default()));
    assert_eq!(field(pair.messages_of(1, "SIP/2.0 420")[0], "Unsupported"), "tdialog");
    assert!(pair.ends.iter().all(|end| end.is_empty()), "nothing is left standing");
}

// --- offers -----------------------------------------------------------------------------------------------------------

#[test]
fn an_invite_without_offer_is_answered_with_one_and_the_ack_has_the_answer() {
    let mut pair = quiet();
    dial_with(&mut pair, Extensions::default(), b"");
    let mut answer = None;
    pair.run(secs(5), |pair, end, event| {
        let now = pair.now;
        match event {
            Event::Invited { session } => pair.ends[end].respond(now, session, &Response { sdp: OFFER, ..OK }),
            Event::Answered { session } => pair.ends[end].acknowledge(now, session, ANSWER),
            Event::Acknowledged { .. } => answer = pair.at_hand.split("\r\n\r\n").nth(1).map(str::to_owned),
            _ => {}
        }
    });
    assert_eq!(answer.as_deref().map(str::as_bytes), Some(ANSWER));
    assert_eq!(pair.sent("ACK").len(), 1);
}

/// Answers whatever is offered within the call.
fn accept(pair: &mut Pair, end: usize, event: Event) {
    let now = pair.now;
    match event {
        Event::Reinvited { session } => pair.ends[end].respond(now, session, &OK),
        Event::Offered { session } => pair.ends[end].answer_offer(now, session, &OK),
        _ => {}
    }
}

#[test]
fn either_side_changes_the_session_by_re_invite_or_update() {
    for by in [Means::Reinvite, Means::Update] {
        for asker in 0..2 {
            let (mut pair, handles) = up([Extensions::default(); 2]);
            let now = pair.now;
            assert!(pair.ends[asker].change(now, handles[asker], OFFER, by));
            pair.run(secs(3), accept);
            let changed = told(&pair, asker, |event| matches!(event, Event::Changed { code: 200, .. }));
            assert_eq!(changed, [1020], "{by:?} of {asker}");
            let method = if by == Means::Update { "UPDATE" } else { "INVITE" };
            let sent = pair.messages_of(asker, method);
            assert!(sent.last().is_some_and(|text| text.ends_with("m=audio 4000 RTP/AVP 8\r\n")), "{sent:?}");
        }
    }
}

#[test]
fn re_invites_that_cross_are_both_refused_with_491_and_come_again_at_different_times() {
    let (mut pair, handles) = up([Extensions::default(); 2]);
    let now = pair.now;
    for (end, handle) in handles.into_iter().enumerate() {
        pair.ends[end].change(now, handle, OFFER, Means::Reinvite);
    }
    pair.run(secs(10), accept);
    assert_eq!(pair.sent("SIP/2.0 491"), [1010, 1010]);
    let again = |end: usize| pair.wire.iter().filter(move |(_, by, line)| *by == end && line.starts_with("INVITE"));
    let owner = again(0).next_back().expect("sent").0 - now.duration_since(pair.start);
    let other = again(1).next_back().expect("sent").0 - now.duration_since(pair.start);
    // §14.1, counted from the 491 that came after 20 ms.
    assert!((2120..=4020).contains(&owner.as_millis()) && owner.as_millis() % 10 == 0, "{owner:?}");
    assert!((20..=2020).contains(&other.as_millis()) && other.as_millis() % 10 == 0, "{other:?}");
    for end in 0..2 {
        let changed = told(&pair, end, |event| matches!(event, Event::Changed { code: 200, .. }));
        assert_eq!(changed.len(), 1, "{:?}", pair.told[end]);
    }
}

#[test]
fn updates_that_cross_are_both_refused_with_491_and_both_succeed_later() {
    let (mut pair, handles) = up([Extensions::default(); 2]);
    let now = pair.now;
    for (end, handle) in handles.into_iter().enumerate() {
        pair.ends[end].change(now, handle, OFFER, Means::Update);
    }
    pair.run(secs(10), accept);
    assert_eq!(pair.sent("SIP/2.0 491").len(), 2);
    for end in 0..2 {
        assert_eq!(told(&pair, end, |event| matches!(event, Event::Changed { code: 200, .. })).len(), 1);
    }
}

#[test]
fn a_second_offer_before_the_first_is_answered_is_refused_with_500_and_retry_after() {
    let (mut pair, handles) = up([Extensions::default(); 2]);
    let now = pair.now;
    pair.ends[0].change(now, handles[0], OFFER, Means::Reinvite);
    // The called side takes its time to answer.
    pair.run(Duration::from_millis(1500), |_, _, _| {});
    let invite = pair.messages_of(0, "INVITE")[1].to_owned();
    let update = invite.replace("INVITE", "UPDATE").replace("CSeq: 2", "CSeq: 3").replace(".3;rport", ".9;rport");
    pair.inject(1, &update, |_, _, _| {});
    pair.run(secs(2), |_, _, _| {});
    let refusal = pair.messages_of(1, "SIP/2.0 500")[0];
    assert!(field(refusal, "Retry-After").parse::<u32>().is_ok_and(|seconds| seconds <= 10), "{refusal}");
}

#[test]
fn a_change_towards_an_end_that_has_lost_the_call_ends_it_with_bye() {
    let (mut pair, handles) = up([Extensions::default(); 2]);
    let now = pair.now;
    pair.lose_link(1, Transport::Udp);
    pair.ends[0].change(now, handles[0], OFFER, Means::Reinvite);
    pair.run(secs(3), accept);
    assert_eq!(told(&pair, 0, |event| matches!(event, Event::Changed { code: 481, .. })), [1020]);
    assert_eq!((pair.sent("ACK").last(), pair.sent("BYE")), (Some(&1020), vec![1020]));
}

// --- RFC 4028 ---------------------------------------------------------------------------------------------------------

#[test]
fn the_caller_refreshes_half_way_by_re_invite_and_the_call_goes_on() {
    let asks = timer(Some(90), Some(Refresher::Uac), Means::Reinvite);
    let (mut pair, _) = up([asks, Extensions::default()]);
    assert_eq!(field(pair.messages_of(0, "INVITE")[0], "Session-Expires"), "90;refresher=uac");
    let accepted = pair.messages_of(1, "SIP/2.0 200")[0];
    assert_eq!((field(accepted, "Session-Expires"), field(accepted, "Require")), ("90;refresher=uac", "timer"));
    pair.run(secs(200), accept);
    assert_eq!(pair.sent("INVITE"), [0, 45_020, 90_040, 135_060, 180_080]);
    assert!(pair.sent("BYE").is_empty());
}

#[test]
fn the_called_party_refreshes_half_way_by_update() {
    let asks = timer(Some(90), Some(Refresher::Uas), Means::Update);
    let (mut pair, _) = up([asks, asks]);
    pair.run(secs(100), accept);
    let updates: Vec<usize> =
        pair.wire.iter().filter(|(_, _, line)| line.starts_with("UPDATE")).map(|it| it.1).collect();
    assert_eq!((updates, pair.sent("UPDATE")), (vec![1, 1], vec![45_010, 90_030]));
    let update = pair.messages_of(1, "UPDATE")[0];
    assert_eq!((field(update, "Session-Expires"), field(update, "Content-Length")), ("90;refresher=uac", "0"));
    assert!(pair.sent("BYE").is_empty());
}

#[test]
fn an_interval_that_is_too_small_is_refused_with_422_and_asked_for_again_as_wanted() {
    let asks = timer(Some(30), None, Means::Update);
    let wants = Extensions { timer: SessionTimer { min_se: 120, ..SessionTimer::default() }, ..Extensions::default() };
    let mut pair = quiet();
    dial(&mut pair, asks);
    pair.run(secs(2), ring_and_answer(wants));
    assert_eq!(field(pair.messages_of(1, "SIP/2.0 422")[0], "Min-SE"), "120");
    let again = pair.messages_of(0, "INVITE")[1];
    assert_eq!((field(again, "Session-Expires"), field(again, "Min-SE")), ("120", "120"));
    assert_eq!(field(again, "CSeq"), "2 INVITE");
    assert_eq!(told(&pair, 0, |event| matches!(event, Event::Answered { .. })).len(), 1);
}

#[test]
fn a_session_that_nobody_refreshes_is_ended_a_third_before_its_end_by_the_side_that_waits() {
    let asks = timer(Some(90), Some(Refresher::Uac), Means::Update);
    let (mut pair, _) = up([asks, Extensions::default()]);
    pair.drop_next.push(("UPDATE".into(), usize::MAX));
    pair.run(secs(70), accept);
    // Counted from the 200 on the called side; the caller's UPDATE would have timed out later.
    assert_eq!(told(&pair, 1, |event| matches!(event, Event::SessionExpired { .. })), [60_010]);
    assert_eq!(pair.sent("BYE"), [60_010]);
    let bye = pair.messages_of(1, "BYE")[0];
    assert!(field(bye, "Reason").contains("Session expired"), "{bye}");
}

#[test]
fn a_refresh_that_is_answered_with_481_ends_the_call_at_once() {
    let asks = timer(Some(90), Some(Refresher::Uac), Means::Reinvite);
    let (mut pair, _) = up([asks, Extensions::default()]);
    pair.lose_link(1, Transport::Udp);
    pair.run(secs(60), accept);
    assert_eq!(told(&pair, 0, |event| matches!(event, Event::SessionExpired { .. })), [45_040]);
    assert_eq!(pair.sent("BYE"), [45_040]);
}

#[test]
fn a_far_end_without_session_timers_is_never_refreshed() {
    let mut pair = quiet();
    let caller = dial(&mut pair, timer(Some(90), None, Means::Reinvite));
    pair.run(secs(1), |_, _, _| {});
    let _ = caller;
    let invite = pair.messages_of(0, "INVITE")[0];
    assert_eq!(fields(invite, "Session-Expires"), ["90"]);
    let plain = crate::sip_peer::response(invite, "200 OK", "x", "Contact: <sip:b@127.0.0.1:5061>\r\n", "v=0\r\n");
    pair.inject(0, &plain, |_, _, _| {});
    pair.run(secs(300), |_, _, _| {});
    assert_eq!((pair.sent("UPDATE").len(), pair.sent("BYE").len()), (0, 0));
}

// --- crossings --------------------------------------------------------------------------------------------------------

#[test]
fn a_called_party_that_hangs_up_before_the_ack_waits_for_it() {
    let mut pair = quiet();
    dial(&mut pair, Extensions::default());
    pair.drop_next.push(("ACK".into(), 1));
    pair.run(secs(5), |pair, end, event| {
        if let Event::Invited { session } = event {
            let now = pair.now;
            pair.ends[end].respond(now, session, &OK);
            pair.ends[end].bye(now, session, None);
        }
    });
    assert_eq!((pair.sent("ACK"), pair.sent("BYE")), (vec![20, 520], vec![530]));
}

#[test]
fn a_bye_that_overtakes_the_ack_ends_the_call_and_the_200_is_repeated_no_more() {
    let mut pair = quiet();
    dial(&mut pair, Extensions::default());
    pair.drop_next.push(("ACK".into(), usize::MAX));
    pair.run(secs(100), |pair, end, event| {
        let now = pair.now;
        match event {
            Event::Invited { session } => pair.ends[end].respond(now, session, &OK),
            Event::Answered { session } => pair.ends[end].bye(now, session, None),
            _ => {}
        }
    });
    assert_eq!(pair.sent("SIP/2.0 200"), [10, 30], "to INVITE and to BYE");
    assert_eq!(told(&pair, 1, |event| matches!(event, Event::ByeReceived { .. })), [30]);
    assert!(pair.ends.iter().all(|end| end.is_empty()), "nothing is left standing");
}

#[test]
fn a_487_that_is_lost_comes_again() {
    let mut pair = quiet();
    let caller = dial(&mut pair, Extensions::default());
    pair.drop_next.push(("SIP/2.0 487".into(), 2));
    pair.run(secs(100), |pair, end, event| {
        let now = pair.now;
        match event {
            Event::Invited { session } => pair.ends[end].respond(now, session, &RINGING),
            Event::Provisional { .. } => pair.ends[0].cancel(now, caller),
            _ => {}
        }
    });
    assert_eq!(pair.sent("SIP/2.0 487"), [30, 530, 1530]);
    assert_eq!(told(&pair, 0, |event| matches!(event, Event::Refused { code: 487, .. })), [1540]);
    assert!(pair.ends.iter().all(|end| end.is_empty()), "nothing is left standing");
}

#[test]
fn an_early_call_that_its_caller_ends_with_bye_is_cancelled_with_487() {
    let mut pair = quiet();
    dial(&mut pair, Extensions::default());
    pair.run(secs(1), |pair, end, event| {
        if let Event::Invited { session } = event {
            let now = pair.now;
            pair.ends[end].respond(now, session, &RINGING);
        }
    });
    let ringing = pair.messages_of(1, "SIP/2.0 180")[0];
    let bye = format!(
        "BYE sip:b@127.0.0.1:5061 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKbye\r\nFrom: {}\r\n\
         To: {}\r\nCall-ID: {}\r\nCSeq: 2 BYE\r\nContent-Length: 0\r\n\r\n",
        field(ringing, "From"),
        field(ringing, "To"),
        field(ringing, "Call-ID")
    );
    pair.inject(1, &bye, |_, _, _| {});
    pair.run(secs(60), |_, _, _| {});
    assert_eq!((pair.sent("SIP/2.0 200").len(), pair.sent("SIP/2.0 487").len()), (1, 1));
    assert_eq!(told(&pair, 1, |event| matches!(event, Event::Cancelled { .. })).len(), 1);
    assert!(pair.ends.iter().all(|end| end.is_empty()), "nothing is left standing");
}

#[test]
fn five_hundred_calls_with_prack_and_a_change_through_loss_reorder_and_duplication_all_end_on_both_sides() {
    let network = Network { spread: Duration::from_millis(30), loss: 100, duplication: 100, ..Network::default() };
    let mut pair = Pair::new(network, Transport::Udp);
    for _ in 0..500 {
        dial(&mut pair, reliable(Reliable::Required));
    }
    pair.run(secs(600), |pair, end, event| {
        let now = pair.now;
        ring_and_answer(Extensions::default())(pair, end, event);
        accept(pair, end, event);
        match event {
            Event::Answered { session } => drop(pair.ends[end].change(now, session, OFFER, Means::Update)),
            Event::Changed { session, .. } => pair.ends[end].bye(now, session, None),
            _ => {}
        }
    });
    assert_eq!(told(&pair, 0, |event| matches!(event, Event::Answered { .. })).len(), 500);
    assert_eq!((pair.ends[0].len(), pair.ends[1].len()), (0, 0), "nothing is left standing");
}

#[test]
fn a_link_that_breaks_after_a_refusal_ends_no_call_a_second_time() {
    let mut pair = quiet();
    dial(&mut pair, Extensions::default());
    pair.drop_next.push(("ACK".into(), usize::MAX));
    pair.run(secs(1), |pair, end, event| {
        if let Event::Invited { session } = event {
            let now = pair.now;
            pair.ends[end].respond(now, session, &Response { code: 486, ..Response::default() });
        }
    });
    pair.lose_link(1, Transport::Udp);
    pair.run(secs(2), |_, _, _| {});
    assert!(told(&pair, 1, |event| matches!(event, Event::LinkLost { .. })).is_empty());
    assert!(pair.ends[1].is_empty(), "nothing is left standing");
}
