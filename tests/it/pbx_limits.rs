//! Limits of the simulated PBX, each through SIP messages, with exact numbers and times.

use std::time::Duration;

use ringfleet::sip::flow::Flow;

use crate::pbx_desk::{Desk, Dialled, answer_of, at, field};
use crate::virtual_net::{Side, World, compiled};

const HERE: u8 = 1;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// One trunk `a` behind 901 with this in its braces.
fn trunk(limit: &str) -> Desk {
    Desk::new(&format!("trunks: {{ a: {{ prefix: 901, {limit} }} }}\n"))
}

/// Codes of so many calls over the trunk, one after the other at the same moment, each to a number of its own.
fn burst(desk: &mut Desk, calls: usize) -> Vec<u16> {
    (0..calls).map(|n| desk.code(at(HERE), "1001", &format!("901555{n}"))).collect()
}

/// Calls over the trunk that pass now; the first that is refused says so.
fn fill(desk: &mut Desk) -> Vec<Dialled> {
    let mut held = Vec::new();
    loop {
        let call = desk.dial(at(HERE), "1001", "9015551234");
        if desk.said(&call).0 != 180 {
            return held;
        }
        held.push(call);
        assert!(held.len() < 1000, "no limit");
    }
}

/// How many calls the trunk takes now; they are ended again.
fn free(desk: &mut Desk) -> usize {
    let held = fill(desk);
    held.iter().for_each(|call| desk.end(call));
    held.len()
}

#[test]
fn a_token_bucket_lets_its_burst_pass_at_once_and_then_one_each_interval() {
    let mut desk = trunk("rate: { max: 2/s, burst: 3, refuse: { code: 503, reason: too fast, retry_after: 1 } }");
    assert_eq!(burst(&mut desk, 5), [180, 180, 180, 503, 503]);
    let (code, reason, text) = {
        let call = desk.dial(at(HERE), "1001", "9015551234");
        desk.said(&call)
    };
    assert_eq!((code, reason.as_str(), field(&text, "Retry-After")), (503, "too fast", Some("1")));
    for (at_ms, codes) in [(499, [503, 503]), (500, [180, 503]), (999, [503, 503]), (1000, [180, 503])] {
        desk.pass_until(ms(at_ms));
        assert_eq!(burst(&mut desk, 2), codes, "at {at_ms} ms");
    }
    // However long the pause, no more than the burst.
    desk.pass(secs(60));
    assert_eq!(burst(&mut desk, 4), [180, 180, 180, 503]);
}

#[test]
fn a_bucket_holds_the_calls_of_one_second_where_nothing_else_is_said() {
    let mut desk = trunk("rate: { max: 4/s }");
    assert_eq!(burst(&mut desk, 5), [180, 180, 180, 180, 503]);
    desk.pass_until(ms(250));
    assert_eq!(burst(&mut desk, 2), [180, 503]);
    let mut desk = trunk("rate: { max: 6/m }");
    assert_eq!(burst(&mut desk, 2), [180, 503]);
    desk.pass_until(ms(9_999));
    assert_eq!(burst(&mut desk, 1), [503]);
    desk.pass_until(secs(10));
    assert_eq!(burst(&mut desk, 2), [180, 503]);
}

#[test]
fn a_window_lets_its_number_pass_whenever_they_come_in_it() {
    let mut desk = trunk("rate: { max: 2/s, window: 2s, refuse: { code: 480, q850: 42 } }");
    desk.pass_until(ms(1_900));
    assert_eq!(burst(&mut desk, 5), [180, 180, 180, 180, 480]);
    // The next window begins 100 ms later: eight calls in 100 ms, which a bucket would not let pass.
    desk.pass_until(ms(1_999));
    assert_eq!(burst(&mut desk, 1), [480]);
    desk.pass_until(secs(2));
    assert_eq!(burst(&mut desk, 5), [180, 180, 180, 180, 480]);
    let call = desk.dial(at(HERE), "1001", "9015551234");
    assert_eq!(field(&desk.said(&call).2, "Reason"), Some("Q.850;cause=42"));
}

#[test]
fn a_rate_does_not_care_how_many_calls_are_up() {
    let mut desk = trunk("rate: { max: 1/s }");
    for second in 0..100 {
        desk.pass_until(secs(second));
        // It rings and rings.
        let codes = [0; 2].map(|_| desk.code(at(HERE), "1001", "9012100"));
        assert_eq!(codes, [180, 503], "in second {second}");
    }
    assert_eq!(desk.pbx.calls_under_way(), 100);
}

const GUARDED: &str = "calls: 2, refuse: { code: 486, reason: all circuits busy }, ban: { after: 3, within: 10s, \
                       for: 1m, refuse: { code: 403, reason: temporarily blocked } }";

#[test]
fn a_ban_comes_with_the_last_refusal_and_holds_although_places_are_free() {
    let mut desk = trunk(GUARDED);
    let held: Vec<Dialled> = (0..2).map(|_| desk.dial(at(HERE), "1001", "9015551234")).collect();
    // The third refusal is the last by the limit itself.
    assert_eq!(burst(&mut desk, 5), [486, 486, 486, 403, 403]);
    held.iter().for_each(|call| desk.end(call));
    assert_eq!(desk.left().0, 0);
    let call = desk.dial(at(HERE), "1001", "9015551234");
    assert_eq!((desk.said(&call).0, desk.said(&call).1.as_str()), (403, "temporarily blocked"));
    // Another account of the same address is banned with it, another address is not, nor is another way.
    assert_eq!(desk.code(at(HERE), "1002", "9015551234"), 403);
    assert_eq!(desk.code(at(HERE), "1001", "2001"), 180);
    let elsewhere = desk.dial(at(2), "1001", "9015551234");
    assert_eq!(desk.said(&elsewhere).0, 180);
    desk.end(&elsewhere);
    desk.pass_until(ms(59_999));
    assert_eq!(burst(&mut desk, 1), [403]);
    desk.pass_until(secs(60));
    assert_eq!(burst(&mut desk, 3), [180, 180, 486]);
}

#[test]
fn refusals_that_are_too_far_apart_bring_no_ban() {
    let mut desk = trunk(GUARDED);
    let _held = fill(&mut desk);
    for second in [5, 10, 15, 20, 25] {
        desk.pass_until(secs(second));
        assert_eq!(burst(&mut desk, 1), [486], "at {second} s");
    }
    // 20 s, 25 s and this one are within ten seconds.
    desk.pass_until(ms(29_999));
    assert_eq!(burst(&mut desk, 2), [486, 403]);
}

#[test]
fn a_ban_of_an_account_is_none_of_its_address() {
    let mut desk = trunk("calls: 1, ban: { after: 1, within: 1s, for: 5s, of: account }");
    let held = fill(&mut desk);
    held.iter().for_each(|call| desk.end(call));
    assert_eq!(desk.code(at(HERE), "1001", "9015551234"), 403);
    assert_eq!(desk.code(at(2), "1001", "9015551234"), 403);
    assert_eq!(desk.code(at(HERE), "1002", "9015551234"), 180);
}

#[test]
fn a_silent_ban_gives_no_response_at_all() {
    let mut desk = trunk("calls: 1, ban: { after: 1, within: 1s, for: 60s, silent: true }");
    let held = fill(&mut desk);
    held.iter().for_each(|call| desk.end(call));
    let call = desk.dial(at(HERE), "1001", "9015551234");
    desk.pass(secs(30));
    assert!(!desk.is_answered(&call), "not even by 100");
    assert_eq!(desk.pbx.places_taken(desk.now), 0);
    assert_eq!(desk.code(at(2), "1001", "9015551234"), 180);
    desk.pass_until(secs(60));
    assert_eq!(desk.pbx.calls_under_way(), 1, "what was ignored is forgotten");
    assert_eq!(burst(&mut desk, 1), [503], "the other address has the place");
}

#[test]
fn an_address_that_is_banned_silently_is_not_even_challenged() {
    let lab = "lab: walled\ntrunks: { a: { prefix: 901, calls: 1, ban: { after: 1, within: 1s, for: 1h, OF silent: true } } }\n";
    let text = "scenario: x\ntarget: lab.yaml\ncaller: { account: agents, steps: [{ dial: { number: \"9015551234\", \
                trunk: a, answer_within: 60s } }, { wait: 3s }, hangup] }\nload: { rate: 1/s, calls: 3 }\n";
    // The first call is up, the second is refused, the third hears nothing.
    for (of, challenges) in [("", 2), ("of: account,", 3)] {
        let mut world = World::new(compiled(text, &lab.replace("OF", of)));
        world.run(secs(120));
        world.records.sort_by(|a, b| a.call_id.cmp(&b.call_id));
        let codes: Vec<_> = world.records.iter().map(|record| record.code).collect();
        // Accounts take turns, so the third is no account that was refused.
        let third = if of.is_empty() { 408 } else { 503 };
        assert_eq!(codes, [200, 503, third].map(Some));
        assert_eq!(world.sent(Side::Pbx, "SIP/2.0 407").len(), challenges);
    }
}

#[test]
fn a_rate_can_ban_as_well() {
    let mut desk =
        trunk("rate: { max: 1/s }, ban: { after: 2, within: 1s, for: 30s, refuse: { code: 503, retry_after: 30 } }");
    assert_eq!(burst(&mut desk, 4), [180, 503, 503, 503]);
    desk.pass_until(secs(29));
    let call = desk.dial(at(HERE), "1001", "9015551234");
    assert_eq!(field(&desk.said(&call).2, "Retry-After"), Some("30"));
    desk.pass_until(secs(30));
    assert_eq!(burst(&mut desk, 2), [180, 503]);
}

#[test]
fn other_peoples_calls_take_a_number_of_places_that_changes_at_its_steps_only() {
    let seen = |seed: u64| -> Vec<usize> {
        let lab = "trunks: { a: { prefix: 901, calls: 5, others: { calls: 0..3, change_every: 2s } } }\n";
        let mut desk = Desk::seeded(lab, seed);
        let mut seen = Vec::new();
        for step in 0..60 {
            desk.pass_until(secs(2 * step));
            let first = free(&mut desk);
            desk.pass_until(ms(2000 * step + 1999));
            assert_eq!(free(&mut desk), first, "within step {step}");
            seen.push(first);
        }
        seen
    };
    let places = seen(2);
    for free in 2..=5 {
        // A quarter of 60 each.
        let count = places.iter().filter(|seen| **seen == free).count();
        assert!((5..=25).contains(&count), "{free} places {count} times: {places:?}");
    }
    assert_eq!(places, seen(2), "the same seed, the same calls");
    assert_ne!(places, seen(3));
}

#[test]
fn other_peoples_calls_never_take_a_place_that_is_taken_and_keep_theirs_until_the_next_draw() {
    let mut desk = trunk("calls: 5, others: { calls: 3, change_every: 10s }");
    let mut held = fill(&mut desk);
    assert_eq!(held.len(), 2, "three of five are theirs");
    // The limit grows, and so does what we have: at the next draw they find what is left.
    assert!(desk.pbx.set_trunk_places(desk.now, "a", 7));
    held.extend(fill(&mut desk));
    assert_eq!(held.len(), 4);
    assert!(desk.pbx.set_trunk_places(desk.now, "a", 5));
    desk.pass_until(secs(10));
    // One of five is left to them. A place that we free is ours again before the next draw.
    for _ in 0..3 {
        assert_eq!(burst(&mut desk, 1), [503]);
        desk.end(&held.pop().expect("one is held"));
        held.extend(fill(&mut desk));
        assert_eq!(held.len(), 4);
    }
    desk.end(&held.pop().expect("one is held"));
    desk.pass_until(secs(20));
    assert_eq!(burst(&mut desk, 1), [503], "with the draw it was theirs");
}

#[test]
fn a_place_comes_back_only_after_a_while_where_it_is_said_so() {
    let mut desk = trunk("calls: 2, frees_after: 3s");
    let held = fill(&mut desk);
    assert_eq!(held.len(), 2);
    desk.end(&held[0]);
    desk.pass_until(secs(1));
    desk.end(&held[1]);
    assert_eq!((desk.pbx.places_taken(desk.now), desk.pbx.calls_under_way()), (2, 0));
    for (at_ms, codes) in [(2_999, [503, 503]), (3_000, [180, 503]), (3_999, [503, 503]), (4_000, [180, 503])] {
        desk.pass_until(ms(at_ms));
        assert_eq!(burst(&mut desk, 2), codes, "at {at_ms} ms");
    }
}

#[test]
fn a_place_that_never_comes_back_is_lost() {
    let mut desk = trunk("calls: 3, frees_after: never");
    for left in [3, 2, 1] {
        let call = desk.dial(at(HERE), "1001", "9015551234");
        assert_eq!(desk.said(&call).0, 180, "{left} left");
        desk.end(&call);
    }
    desk.pass(secs(3600));
    assert_eq!(burst(&mut desk, 1), [503]);
    assert_eq!((desk.pbx.places_taken(desk.now), desk.pbx.calls_under_way()), (3, 0));
}

#[test]
fn the_limit_of_a_trunk_can_be_changed_while_calls_are_up() {
    let mut desk = Desk::new("");
    let mut held: Vec<Dialled> = (0..5).map(|_| desk.dial(at(HERE), "1001", "9002001")).collect();
    let refused = desk.dial(at(HERE), "1001", "9002001");
    let (code, reason, _) = desk.said(&refused);
    assert_eq!((code, reason.as_str()), (503, "call attempt had over the max concurrent calls"));
    assert!(desk.pbx.set_trunk_places(desk.now, "trunk_a", 3));
    for up in [5, 4, 3] {
        assert_eq!(desk.code(at(HERE), "1001", "9002001"), 503, "with {up} up");
        desk.end(&held.pop().expect("one is up"));
    }
    assert_eq!(desk.code(at(HERE), "1001", "9002001"), 180, "with two up");
    assert!(desk.pbx.set_trunk_places(desk.now, "trunk_a", 12));
    let more = (0..20).filter(|_| desk.code(at(HERE), "1001", "9002001") == 180).count();
    assert_eq!(more, 9);
    assert!(!desk.pbx.set_trunk_places(desk.now, "trunk_b", 1), "there is none");
}

#[test]
fn an_account_has_its_own_number_of_calls_internal_ones_and_those_over_trunks() {
    let refuse = "refuse: { code: 403, reason: User channel limit exceeded D1 }";
    let mut desk = Desk::new(&format!("calls: {{ per_account: {{ calls: 2, {refuse} }} }}\n"));
    assert_eq!(desk.code(at(1), "1001", "2001"), 180);
    assert_eq!(desk.code(at(2), "1001", "9002001"), 180);
    let third = desk.dial(at(3), "1001", "2001");
    assert_eq!((desk.said(&third).0, desk.said(&third).1.as_str()), (403, "User channel limit exceeded D1"));
    assert_eq!(desk.code(at(1), "1002", "2001"), 180);
}

#[test]
fn a_source_address_has_its_own_number_of_calls_whatever_its_port() {
    let mut desk = Desk::new("calls: { per_source: { calls: 2, refuse: { code: 403, q850: 34 } } }\n");
    let port = |port: u16| Flow { remote: (at(1).remote.ip(), port).into(), ..at(1) };
    assert_eq!(desk.code(port(5060), "1001", "2001"), 180);
    assert_eq!(desk.code(port(5062), "1002", "2001"), 180);
    assert_eq!(desk.code(port(5064), "1003", "2001"), 403);
    assert_eq!(desk.code(at(2), "1001", "2001"), 180);
}

#[test]
fn the_whole_pbx_counts_internal_calls_too() {
    let mut desk = Desk::new("calls: { all: { calls: 3 } }\n");
    let calls = [("1001", "9002001"), ("1002", "2001"), ("1003", "9005551234")];
    let up: Vec<Dialled> = calls.iter().map(|(user, number)| desk.dial(at(HERE), user, number)).collect();
    for number in ["2001", "9002001"] {
        assert_eq!(desk.code(at(2), "1004", number), 503, "{number}");
    }
    desk.end(&up[1]);
    assert_eq!(desk.code(at(2), "1004", "9002001"), 180);
}

#[test]
fn a_callee_has_its_own_number_of_calls_whichever_way_they_come() {
    let mut desk = Desk::new("calls: { per_callee: { calls: 2, refuse: { code: 486, q850: 17 } } }\n");
    assert_eq!(desk.code(at(1), "1001", "2001"), 180);
    assert_eq!(desk.code(at(2), "1002", "9002001"), 180);
    let third = desk.dial(at(3), "1003", "9002001");
    assert_eq!((desk.said(&third).0, field(&desk.said(&third).2, "Reason")), (486, Some("Q.850;cause=17")));
    assert_eq!(desk.code(at(1), "1001", "2000"), 180);
}

#[test]
fn a_call_that_one_limit_refuses_takes_no_place_of_another() {
    let mut desk = Desk::new("calls: { all: { calls: 9 }, per_callee: { calls: 1 }, per_account: { calls: 9 } }\n");
    let first = desk.dial(at(HERE), "1001", "9002001");
    for _ in 0..20 {
        assert_eq!(desk.code(at(HERE), "1001", "9002001"), 486);
    }
    // PBX, account, trunk and callee.
    assert_eq!(desk.pbx.places_taken(desk.now), 4);
    desk.end(&first);
    assert_eq!(desk.pbx.places_taken(desk.now), 0);
}

/// What a caller at this flow does.
type Doing = fn(&mut Desk, Flow);

/// Places, calls and media ports that are left after it.
fn left_after(what: Doing) -> (usize, usize, usize) {
    let lab = "calls: { all: { calls: 1 }, per_source: { calls: 1 } }\nlicence: { devices: 9 }\n";
    let mut desk = Desk::new(lab);
    let flow = desk.connect(HERE, 1);
    what(&mut desk, flow);
    desk.left()
}

#[test]
fn places_come_back_however_a_call_ends() {
    let table: [(&str, Doing); 10] = [
        ("cancelled while it rings", |desk, flow| {
            let call = desk.dial(flow, "1001", "9002100");
            desk.end(&call);
        }),
        ("hung up by the caller", |desk, flow| {
            let call = desk.dial(flow, "1001", "9002001");
            desk.pass(secs(1));
            desk.end(&call);
        }),
        ("refused by the callee", |desk, flow| {
            let call = desk.dial(flow, "1001", "9003404");
            desk.pass(ms(1));
            assert_eq!(desk.said(&call).0, 404);
        }),
        ("refused after ringing", |desk, flow| {
            desk.dial(flow, "1001", "9003481");
            desk.pass(ms(2001));
        }),
        ("redirected", |desk, flow| assert_eq!(desk.code(flow, "1001", "9003302"), 302)),
        ("no such number", |desk, flow| assert_eq!(desk.code(flow, "1001", "4711"), 404)),
        ("nobody there", |desk, flow| assert_eq!(desk.code(flow, "1001", "1002"), 480)),
        ("answered, never acknowledged", |desk, flow| {
            desk.dial(flow, "1001", "9002001");
            desk.pass(secs(33));
        }),
        ("the connection is lost", |desk, flow| {
            desk.dial(flow, "1001", "9002001");
            desk.pass(secs(1));
            assert_eq!(desk.pbx.places_taken(desk.now), 3);
            desk.lose(flow);
        }),
        ("an account that rings and never answers", |desk, flow| {
            let agent = at(7);
            assert_eq!(desk.login(agent, "1002"), 200);
            desk.dial(flow, "1001", "1002");
            let ringing = answer_of(desk, agent, "180 Ringing");
            desk.send(agent, &ringing);
            desk.pass(secs(599));
            assert_eq!(desk.pbx.places_taken(desk.now), 2);
            desk.pass(secs(2));
            assert!(desk.got.iter().any(|got| got.flow == agent && got.text.starts_with("CANCEL ")));
        }),
    ];
    for (what, how) in table {
        assert_eq!(left_after(how), (0, 0, 0), "{what}");
    }
}

#[test]
fn a_lab_that_ends_hangs_up_both_sides_of_a_call_between_accounts() {
    let (caller, agent) = (at(1), at(2));
    for (state, farewells) in [("180 Ringing", ["SIP/2.0 480", "CANCEL "]), ("200 OK", ["BYE ", "BYE "])] {
        let mut desk = Desk::new("");
        assert_eq!(desk.login(agent, "1002"), 200);
        let call = desk.dial(caller, "1001", "1002");
        let answer = answer_of(&desk, agent, state);
        desk.send(agent, &answer);
        desk.acknowledge(&call);
        desk.stop();
        for (flow, farewell) in [caller, agent].into_iter().zip(farewells) {
            let heard = desk.got.iter().filter(|got| got.flow == flow && got.text.starts_with(farewell)).count();
            assert_eq!(heard, 1, "{farewell} after {state}");
        }
    }
}
