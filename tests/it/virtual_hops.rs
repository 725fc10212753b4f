//! A server with several places (RFC 3263 §4.3): what the first does not serve goes to the next.

use std::time::Duration;

use ringfleet::record::{CallRecord, Class, Origin};
use ringfleet::scenario::compile::Compiled;
use ringfleet::scenario::plan::Transport;
use ringfleet::station::LinkFault;

use crate::virtual_net::{Fate, Sent, Side, World, caller, compiled, over, reply};

const MINUTE: Duration = Duration::from_secs(60);
const FIRST: &str = "10.0.1.0:5060";
const PBX: &str = "10.0.0.2:5060";

const ONE: &str = "{ calls: 1 }";
const CALL: &str = "[{ dial: { number: internal, media: none, answer_within: 5m } }, hangup]";

fn call(load: &str) -> Compiled {
    let text =
        format!("scenario: test\ntarget: lab.yaml\ncaller: {{ account: agents, steps: {CALL} }}\nload: {load}\n");
    compiled(&text, "lab: open\nchallenge: false\n")
}

fn hop(record: &CallRecord) -> (Option<&str>, Option<u32>) {
    (record.next_hop.as_deref(), record.hops_tried)
}

/// What callers sent that begins so: when, and where to.
fn sent(world: &World, begin: &str) -> Vec<(u128, String)> {
    let of = |sent: &&Sent| sent.by == Side::Callers && sent.line.starts_with(begin);
    world.wire.iter().filter(of).map(|sent| (sent.at.as_millis(), sent.to.to_string())).collect()
}

fn field<'a>(text: &'a str, name: &str) -> &'a str {
    text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {text}"))
}

#[test]
fn an_invite_without_any_response_goes_to_the_next_place_as_the_same_request_in_a_new_transaction() {
    let mut world = World::behind(&[Fate::Silent], call("{ calls: 1 }"));
    world.run(2 * MINUTE);
    let record = world.record();
    assert_eq!((record.class, hop(record)), (Class::Ok, (Some(PBX), Some(2))), "{record:#?}");
    // From the first INVITE: what the caller waited.
    assert_eq!(record.srd_ms, Some(32_020.0));
    let invites: Vec<&Sent> = world.wire.iter().filter(|sent| sent.line.starts_with("INVITE")).collect();
    let (first, last) = (invites[0], invites[invites.len() - 1]);
    assert_eq!((invites.len(), first.to.to_string(), last.at.as_millis()), (8, FIRST.to_owned(), 32_000));
    for same in ["INVITE ", "Call-ID: ", "From: ", "To: ", "CSeq: "] {
        assert_eq!(field(&first.text, same), field(&last.text, same));
    }
    assert_ne!(field(&first.text, "Via: "), field(&last.text, "Via: "));
    assert_ne!(field(&first.text, "Contact: "), field(&last.text, "Contact: "), "there is a socket for each place");
    assert!(sent(&world, "ACK").iter().chain(&sent(&world, "BYE")).all(|(_, to)| to == PBX));
}

#[test]
fn calls_after_the_first_one_that_waited_go_to_the_other_place_at_once() {
    let mut world = World::behind(&[Fate::Silent], call("{ concurrent: 1, calls: 20 }"));
    world.run(3 * MINUTE);
    let direct = world.records.iter().filter(|record| hop(record) == (Some(PBX), Some(1))).count();
    assert_eq!((world.records.len(), direct), (20, 19));
}

#[test]
fn a_load_waits_for_a_dead_place_only_until_the_first_call_knows_and_then_once_a_minute() {
    let mut world = World::behind(&[Fate::Silent], call("{ rate: 10/s, calls: 2000 }"));
    world.run(5 * MINUTE);
    let waited = |record: &&CallRecord| record.srd_ms.is_some_and(|srd| srd > 1000.0);
    let (slow, fast): (Vec<&CallRecord>, Vec<&CallRecord>) = world.records.iter().partition(waited);
    // 200 s: all that began in the first 32 s, then one each minute: at 92 and 184 s.
    assert_eq!((slow.len(), fast.len()), (320 + 2, 1678));
    assert!(world.records.iter().all(|record| record.class == Class::Ok));
    world.fates.clear();
}

#[test]
fn a_503_is_acknowledged_where_it_came_from_and_the_call_goes_to_the_next_place_at_once() {
    let mut world = World::behind(&[Fate::Unavailable(None)], call("{ concurrent: 1, calls: 2 }"));
    world.run(MINUTE);
    assert_eq!(sent(&world, "ACK").iter().filter(|(_, to)| to == FIRST).count(), 2);
    for record in &world.records {
        assert_eq!((record.class, record.code, hop(record)), (Class::Ok, Some(200), (Some(PBX), Some(2))));
    }
}

#[test]
fn a_place_that_asks_for_time_gets_no_call_until_it_is_over_and_no_start_is_held_back() {
    let mut world = World::behind(&[Fate::Unavailable(Some(10))], call("{ rate: 1/s, calls: 15 }"));
    world.run(MINUTE);
    let asked: Vec<u128> = sent(&world, "INVITE").into_iter().filter(|(_, to)| to == FIRST).map(|(at, _)| at).collect();
    assert_eq!(asked, [0, 11_000]);
    assert_eq!((world.records.len(), world.held_back.len()), (15, 0));
}

#[test]
fn where_the_last_place_asks_for_time_too_starts_are_held_back() {
    let both = [Fate::Unavailable(Some(10)), Fate::Unavailable(Some(5))];
    let mut world = World::behind(&both, call("{ rate: 1/s, calls: 15 }"));
    // The PBX itself is the third.
    world.fates.insert(PBX.parse().expect("valid"), Fate::Unavailable(Some(3)));
    world.run(MINUTE);
    assert!(!world.held_back.is_empty());
    let first = &world.records[0];
    assert_eq!((first.code, first.code_origin, first.hops_tried), (Some(503), Some(Origin::Received), Some(3)));
}

#[test]
fn a_refused_datagram_or_connection_sends_the_call_to_the_next_place_at_once() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut world = World::behind(&[Fate::Refused], over(transport, call("{ concurrent: 1, calls: 2 }")));
        world.run(MINUTE);
        let hops: Vec<_> = world.records.iter().map(|record| (record.class, hop(record))).collect();
        let ok = |tried| (Class::Ok, (Some(PBX), Some(tried)));
        assert_eq!(hops, [ok(2), ok(1)], "{transport}");
        assert!(world.now - world.start < Duration::from_secs(1));
    }
}

#[test]
fn where_no_place_serves_a_call_it_fails_as_the_last_one_failed() {
    let mut world = World::behind(&[Fate::Refused, Fate::Silent], call("{ calls: 1 }"));
    world.fates.insert(PBX.parse().expect("valid"), Fate::Silent);
    world.run(2 * MINUTE);
    let record = world.record();
    assert_eq!((record.class, record.code, record.code_origin), (Class::CallTimeout, Some(408), Some(Origin::Local)));
    assert_eq!((hop(record), world.now - world.start), ((Some(PBX), Some(3)), Duration::from_secs(64)));

    let mut world = World::behind(&[Fate::Silent, Fate::Refused], over(Transport::Tcp, call("{ calls: 1 }")));
    world.fates.insert(PBX.parse().expect("valid"), Fate::Refused);
    world.run(2 * MINUTE);
    let record = world.record();
    assert_eq!((record.class, record.code_origin), (Class::TransportRefused, Some(Origin::Local)), "{record:#?}");
    assert_eq!(record.hops_tried, Some(3));
}

#[test]
fn bug_of_two_addresses_the_one_that_was_come_furthest_to_tells_why_and_both_are_in_the_detail() {
    let both = "10.0.1.0:5060: Tls; 10.0.0.2:5060: refused";
    for steps in ["[register]", "[options]", CALL] {
        let mut world = World::behind(&[Fate::Fails(LinkFault::Tls)], over(Transport::Tls, caller(steps, ONE)));
        world.fates.insert(PBX.parse().expect("valid"), Fate::Refused);
        world.run(MINUTE);
        let record = world.record();
        assert_eq!((record.class, hop(record)), (Class::TransportTls, (Some(FIRST), Some(2))), "{steps}");
        assert_eq!(record.reason.as_deref(), Some(both), "{steps}");
        assert_eq!((record.tcp_ms, record.tls_ms), (Some(1.0), None), "the rungs of the place that is told: {steps}");
    }
}

#[test]
fn what_befalls_a_connection_that_was_open_is_told_and_not_what_failed_before_it() {
    let steps = "[{ dial: { number: ring_forever, media: none, answer_within: 50s } }, hangup]";
    let mut world = World::behind(&[Fate::Fails(LinkFault::Upgrade)], over(Transport::Tls, caller(steps, ONE)));
    world.pass(Duration::from_secs(2));
    world.break_links();
    world.run(MINUTE);
    let record = world.record();
    assert_eq!(
        (record.class, record.reason.as_deref()),
        (Class::TransportTcp, Some("transport failed; reset")),
        "{record:#?}"
    );
}

#[test]
fn a_standing_registration_tells_the_furthest_place_too() {
    let mut world = World::behind(&[Fate::Fails(LinkFault::Tls)], over(Transport::Tls, standing()));
    world.fates.insert(PBX.parse().expect("valid"), Fate::Refused);
    world.run(15 * MINUTE);
    let classes: Vec<Class> = world.records.iter().map(|record| record.class).collect();
    assert!(classes.contains(&Class::TransportTls), "{classes:?}");
}

#[test]
fn a_caller_who_gives_up_before_the_next_place_is_tried_sends_later_calls_there() {
    let steps = "[{ dial: { number: internal, media: none, answer_within: 10s } }, hangup]";
    let mut world = World::behind(&[Fate::Silent], caller(steps, "{ concurrent: 1, calls: 2 }"));
    world.run(2 * MINUTE);
    let classes: Vec<_> = world.records.iter().map(|record| (record.class, record.next_hop.as_deref())).collect();
    assert_eq!(classes, [(Class::CallTimeout, Some(FIRST)), (Class::Ok, Some(PBX))]);
}

#[test]
fn a_run_that_forbids_it_stays_at_the_first_place() {
    let mut world = World::bound_to_first(Fate::Unavailable(None), call("{ calls: 1 }"));
    world.run(MINUTE);
    let record = world.record();
    assert_eq!((record.code, hop(record)), (Some(503), (Some(FIRST), Some(1))));
    let mut world = World::bound_to_first(Fate::Refused, over(Transport::Tcp, call("{ calls: 2 }")));
    world.run(MINUTE);
    assert!(world.records.iter().all(|record| record.class == Class::TransportRefused && record.hops_tried == Some(1)));
}

#[test]
fn what_is_wrong_on_purpose_is_not_tried_elsewhere() {
    let steps =
        "[{ dial: { number: internal, media: none, answer_within: 60s, raw: { headers: { Max-Forwards: x } } } }]";
    let mut world = World::behind(&[Fate::Silent], caller(steps, "{ calls: 1 }"));
    world.strict = false;
    world.run(2 * MINUTE);
    assert_eq!((world.record().class, hop(world.record())), (Class::CallTimeout, (Some(FIRST), Some(1))));
}

#[test]
fn registrations_and_options_go_to_the_next_place_too() {
    for steps in ["[register]", "[options]"] {
        for (fate, transport, seconds) in [
            (Fate::Silent, Transport::Udp, 32),
            (Fate::Refused, Transport::Udp, 0),
            (Fate::Refused, Transport::Tcp, 0),
            (Fate::Unavailable(None), Transport::Udp, 0),
            (Fate::Unavailable(Some(9)), Transport::Tcp, 0),
        ] {
            let mut world = World::behind(&[fate, fate], over(transport, caller(steps, "{ calls: 1 }")));
            world.run(2 * MINUTE);
            let record = world.record();
            assert_eq!((record.class, hop(record)), (Class::Ok, (Some(PBX), Some(3))), "{steps} {fate:?} {transport}");
            assert_eq!((world.now - world.start).as_secs(), 2 * seconds, "{steps} {fate:?} {transport}");
        }
    }
}

#[test]
fn a_registration_that_no_place_serves_says_how_the_last_one_failed() {
    let mut world = World::behind(&[Fate::Refused], caller("[register]", "{ calls: 1 }"));
    world.fates.insert(PBX.parse().expect("valid"), Fate::Silent);
    world.run(MINUTE);
    assert_eq!((world.record().class, world.record().hops_tried), (Class::RegTimeout, Some(2)));
}

#[test]
fn a_refresh_that_is_not_served_while_a_call_is_placed_is_made_at_the_next_place_and_moves_the_call_nowhere() {
    let steps = "[{ register: { expires: 60 } }, { dial: { number: ring_forever, answer_within: 100s } }]";
    let mut world = World::behind(&[Fate::Served], caller(steps, "{ calls: 1 }"));
    world.pass(Duration::from_secs(10));
    world.fates.insert(FIRST.parse().expect("valid"), Fate::Refused);
    world.run(5 * MINUTE);
    let record = world.record();
    assert_eq!((hop(record), record.rang), ((Some(FIRST), Some(1)), true));
    // With the challenge; refreshes; the one that removes it.
    let registers: Vec<_> = sent(&world, "REGISTER").into_iter().map(|(at, to)| (at / 1000, to)).collect();
    let (at, to): (Vec<_>, Vec<_>) = registers.into_iter().unzip();
    assert_eq!(to, [FIRST, FIRST, FIRST, PBX, PBX, PBX]);
    assert!(at.windows(2).all(|two| two[1] - two[0] <= 54) && at[2] == at[3], "it never lapsed: {at:?}");
    assert!(sent(&world, "CANCEL").iter().all(|(at, to)| *at >= 100_000 && to == FIRST));
}

#[test]
fn a_refresh_that_no_place_serves_loses_the_binding_and_the_next_step_is_another_matter() {
    let steps = "[{ register: { expires: 60 } }, { wait: 90s }, { dial: { number: internal, media: none } }, hangup]";
    let mut world = World::behind(&[Fate::Served], caller(steps, "{ calls: 1 }"));
    world.pass(Duration::from_secs(10));
    for place in [FIRST, PBX] {
        world.fates.insert(place.parse().expect("valid"), Fate::Refused);
    }
    world.pass(Duration::from_secs(70));
    for place in [FIRST, PBX] {
        world.fates.insert(place.parse().expect("valid"), Fate::Served);
    }
    world.run(5 * MINUTE);
    let record = world.record();
    assert_eq!((record.class, record.code), (Class::TransportRefused, Some(200)), "{record:#?}");
    assert_eq!(sent(&world, "REGISTER").len(), 4, "with the challenge, and once at each place");
}

#[test]
fn a_late_200_of_a_place_that_was_left_is_acknowledged_and_ended_there_and_the_call_goes_on() {
    let steps = "[{ dial: { number: internal, media: none, answer_within: 5m } }, { wait: 20s }, hangup]";
    let text = format!(
        "scenario: test\ntarget: lab.yaml\ncaller: {{ account: agents, steps: {steps} }}\nload: {{ calls: 1 }}\n"
    );
    let mut world = World::behind(&[Fate::Silent], compiled(&text, "lab: open\nchallenge: false\n"));
    world.pass(Duration::from_secs(40));
    let invite = world.wire.iter().find(|sent| sent.line.starts_with("INVITE")).expect("sent").text.clone();
    let late = String::from_utf8(reply(invite.as_bytes(), 200, &format!("Contact: <sip:late@{FIRST}>"))).expect("text");
    let to = field(&late, "To: ").to_owned();
    let late = late.replace(&to, &format!("{to};tag=late"));
    for _ in 0..2 {
        world.inject_from(FIRST.parse().expect("valid"), late.as_bytes());
    }
    world.run(3 * MINUTE);
    let record = world.record();
    assert_eq!((record.class, hop(record), record.forks), (Class::Ok, (Some(PBX), Some(2)), Some(2)), "{record:#?}");
    let there: Vec<&Sent> = world.wire.iter().filter(|sent| sent.text.contains(";tag=late")).collect();
    let count = |method: &str| there.iter().filter(|sent| sent.line.starts_with(method)).count();
    assert!(there.iter().all(|sent| sent.to.to_string() == FIRST), "{there:#?}");
    assert_eq!(count("ACK"), 2, "one for each copy");
    assert!(count("BYE") >= 1 && there.iter().all(|sent| sent.line.contains("sip:late@")), "{there:#?}");
    assert_eq!(sent(&world, "BYE").iter().filter(|(_, to)| to == PBX).count(), 1);
}

fn standing() -> Compiled {
    let text = "scenario: inbound\ntarget: lab\nactors:\n  agent: { account: agents, registered: standing, steps: \
         [{ answer: { within: 20s } }, talk] }\n  customer: { account: agents, when: agent.registered, steps: \
         [{ dial: { number: \"1001\", answer_within: 20s } }, { talk: { for: 2s } }, hangup] }\n\
         load: { rate: 1/10s, calls: 60 }\n";
    compiled(&text.replace("1/10s", "0.1/s"), "")
}

#[test]
fn a_standing_registration_is_made_at_the_place_that_answers() {
    for (fates, transport) in [
        (vec![Fate::Silent], Transport::Udp),
        (vec![Fate::Refused, Fate::Unavailable(Some(600))], Transport::Tcp),
        (vec![Fate::Refused], Transport::Udp),
    ] {
        let mut compiled = over(transport, standing());
        compiled.plan.load.stop.calls = Some(1);
        let mut world = World::behind(&fates, compiled);
        world.run(2 * MINUTE);
        assert!(world.records.iter().all(|record| record.class == Class::Ok), "{transport} {:#?}", world.records);
        assert!(world.beside.is_empty(), "{:#?}", world.beside);
    }
}

#[test]
fn a_standing_registration_whose_place_dies_is_refreshed_at_the_next_and_was_never_lost() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut world = World::behind(&[Fate::Served], over(transport, standing()));
        world.pass(MINUTE);
        assert!(sent(&world, "REGISTER").iter().all(|(_, to)| to == FIRST));
        world.fates.insert(FIRST.parse().expect("valid"), Fate::Refused);
        if transport == Transport::Tcp {
            world.break_links();
        }
        world.run(15 * MINUTE);
        let last = sent(&world, "REGISTER").pop().expect("it is removed in the end");
        assert_eq!(last.1, PBX);
        assert!(world.beside.is_empty(), "{transport} {:#?}", world.beside);
        // From the refresh at 270 s on; a connection that breaks tells at once.
        let since = world.records.len() - 2 * 30;
        let failed: Vec<_> = world.records[since..].iter().filter(|record| record.class != Class::Ok).collect();
        assert!(failed.is_empty(), "{transport} {failed:#?}");
    }
}

#[test]
fn bug_a_call_that_reaches_nobody_while_others_stand_tells_that_somebody_had_answered() {
    let steps = "[{ dial: { number: internal, media: none } }, { wait: 30s }, hangup]";
    let mut world = World::new(over(Transport::Tcp, caller(steps, "{ rate: 1/s, calls: 2 }")));
    world.pass(Duration::from_millis(800));
    world.fates.insert(PBX.parse().expect("valid"), Fate::Refused);
    world.run(MINUTE);
    let ends: Vec<_> = world.records.iter().map(|record| (record.class, record.is_unreachable())).collect();
    assert_eq!(ends[0], (Class::TransportRefused, true), "the second call ended first");
    assert_eq!(world.answered, [true, true]);
    let mut world = World::behind(&[], over(Transport::Tcp, caller(steps, "{ calls: 1 }")));
    world.fates.insert(PBX.parse().expect("valid"), Fate::Refused);
    world.run(MINUTE);
    assert_eq!((world.record().class, &world.answered[..]), (Class::TransportRefused, &[false][..]));
}
