//! How calls end, in virtual time: a BYE that is challenged, and a far end that hangs up during each step.

use std::time::Duration;

use ringfleet::record::{CallRecord, Class};

use crate::virtual_net::{Side, World, compiled};

const MINUTE: Duration = Duration::from_secs(60);

/// A call to a far end that hangs up three seconds after the answer.
fn with_far_end_bye(steps: &str, load: &str) -> World {
    let lab = "lab: ends\nextensions:\n  leaving: { number: 2020, does: { far_end_bye: { after: 3s, q850: 16 } } }\n  \
        echo: { number: 2000, does: echo }\n";
    let text = format!("scenario: x\ntarget: lab.yaml\ncaller: {{ account: agents, steps: {steps} }}\nload: {load}\n");
    World::new(compiled(&text, lab))
}

fn ended(steps: &str, load: &str) -> CallRecord {
    let mut world = with_far_end_bye(steps, load);
    world.run(2 * MINUTE);
    world.rest(MINUTE);
    assert_eq!((world.open_ports(), world.pbx.calls_under_way()), (0, 0), "{steps}");
    world.record().clone()
}

#[test]
fn a_bye_that_is_challenged_is_sent_again_with_credentials() {
    for (code, asked, given) in [
        (401, "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"", "\r\nAuthorization: Digest "),
        (407, "Proxy-Authenticate: Digest realm=\"r\", nonce=\"n\"", "\r\nProxy-Authorization: Digest "),
    ] {
        let mut world = with_far_end_bye("[{ dial: { number: echo } }, { talk: { for: 1s } }, hangup]", "{ calls: 1 }");
        world.challenge_bye = Some((code, asked));
        world.run(MINUTE);
        world.rest(MINUTE);
        assert_eq!(world.byes.len(), 2, "{code}: {:#?}", world.byes);
        assert!(world.byes[1].contains(given), "{}", world.byes[1]);
        let number =
            |bye: &str| bye.lines().find_map(|line| line.strip_prefix("CSeq: ")?.split(' ').next()?.parse().ok());
        let numbers: Vec<Option<u32>> = world.byes.iter().map(|bye| number(bye)).collect();
        assert_eq!(numbers[1], numbers[0].map(|first| first + 1), "RFC 3261 §22.2: a number higher");
        let record = world.record();
        assert_eq!((record.class, record.hangup_by.as_deref(), record.sdd_ms), (Class::Ok, Some("us"), Some(30.0)));
        assert_eq!(world.pbx.calls_under_way(), 0);
    }
}

#[test]
fn a_bye_whose_credentials_are_refused_ends_the_call_all_the_same() {
    let mut world = with_far_end_bye("[{ dial: { number: echo } }, { talk: { for: 1s } }, hangup]", "{ calls: 1 }");
    world.challenge_bye = Some((403, "X: y"));
    world.run(MINUTE);
    assert_eq!((world.record().class, world.byes.len()), (Class::Ok, 1));
}

#[test]
fn the_far_end_hangs_up_during_each_step() {
    let once = "{ calls: 1 }";
    let dropped = (Class::CallDroppedMidway, "far_end", None);
    let fine = (Class::Ok, "far_end", None);
    let table = [
        ("[{ dial: { number: leaving } }, { talk: { for: 10s } }, hangup]", once, dropped),
        ("[{ dial: { number: leaving } }, talk, hangup]", once, fine),
        ("[{ dial: { number: leaving } }, hold_open, hangup]", "{ calls: 1, for: 20s }", dropped),
        // A pause asks nothing of the call; the step after it does.
        ("[{ dial: { number: leaving } }, { wait: 10s }, hangup]", once, dropped),
        ("[{ dial: { number: leaving } }, { wait: 10s }]", once, fine),
        ("[{ dial: { number: leaving } }, { expect: { ended_by: { party: far_end, within: 5s } } }]", once, fine),
        (
            "[{ dial: { number: leaving } }, { expect: { ended_by: { party: far_end, within: 1s } } }]",
            once,
            (Class::Ok, "us", Some("expect: the call was not ended by the far end within 1s")),
        ),
        (
            "[{ dial: { number: leaving } }, { wait: 10s }, { expect: still_up }]",
            once,
            (Class::CallDroppedMidway, "far_end", Some("expect: the call is not up any more")),
        ),
        // While OPTIONS is under way, which has nothing to do with the call.
        ("[{ dial: { number: leaving } }, { wait: 3010ms }, options]", once, fine),
    ];
    for (steps, load, (class, by, unmet)) in table {
        let record = ended(steps, load);
        let shown = (record.class, record.hangup_by.as_deref(), record.unmet.as_deref());
        assert_eq!(shown, (class, Some(by), unmet), "{steps}");
        assert_eq!(record.q850, (by == "far_end").then_some(16), "{steps}");
    }
}

#[test]
fn both_sides_hang_up_at_the_same_time() {
    // Our ACK reaches the far end 30 ms after its answer left; its BYE 3 s later crosses ours.
    let mut world =
        with_far_end_bye("[{ dial: { number: leaving } }, { talk: { for: 3015ms } }, hangup]", "{ calls: 1 }");
    world.run(MINUTE);
    world.rest(MINUTE);
    assert_eq!((world.sent(Side::Callers, "BYE").len(), world.sent(Side::Pbx, "BYE").len()), (1, 1));
    let record = world.record();
    assert_eq!((record.class, record.hangup_by.as_deref()), (Class::Ok, Some("us")));
    assert_eq!((world.open_ports(), world.pbx.calls_under_way()), (0, 0));
}
