//! The search for a rate of calls against the simulated PBX, whole scenarios in virtual time.

use ringfleet::call::Found;
use ringfleet::pace::search::Scope;
use ringfleet::record::{Class, Finding};

use crate::virtual_limits::{below, each_of_twenty, example, refusal, run};
use crate::virtual_net::World;

/// A search over `trunk_a` of a lab with these lines.
fn rates(dial: &str, search: &str, lab: &str) -> (Found, World) {
    let scenario = format!(
        "scenario: search\ntarget: lab.yaml\ncaller:\n  account: agents\n  steps: [ {{ dial: {{ number: \"9007{{{{ n | \
         pad(4) }}}}\", trunk: trunk_a{dial} }} }}, hold_open ]\nload: {{ find_limit: {{ of: call_rate, up_to: 12, trial: \
         3s, pauses: [1s, 5s], control: {{ number: internal }}{search} }} }}\n"
    );
    run(&scenario, &format!("lab: limits\naccounts: {{ users: 1001..1020 }}\n{lab}"))
}

#[test]
fn the_rate_of_the_example_is_found_and_every_call_hung_up() {
    let (found, mut world) = example("trunk-call-rate.yaml", Some("labs/call-rate.yaml"));
    let outcome = &found.outcome;
    assert_eq!((outcome.finding, outcome.measured), (Some(Finding::CallRateLimited), Some(8)), "{}", outcome.text);
    assert_eq!((outcome.scope, outcome.proved), (Some(Scope::Shown), 2), "{}", outcome.text);
    assert!(world.records.iter().all(|record| !record.is_failed()), "{:?}", world.records);
    assert!(world.records.iter().any(|record| record.class == Class::CallCongestion));
    world.rest(std::time::Duration::from_secs(1));
    assert_eq!(world.pbx.calls_under_way(), 0);
}

#[test]
fn the_rate_of_a_trunk_is_found_whatever_the_refusal_says() {
    each_of_twenty(|random| {
        let (most, refuse) = (1 + below(random, 11), refusal(random));
        let kind = ["burst: 1", "burst: 2", "window: 1s"][below(random, 3) as usize];
        let lab =
            format!("trunks: {{ trunk_a: {{ prefix: 900, rate: {{ max: {most}/s, {kind}, refuse: {refuse} }} }} }}\n");
        let media = if below(random, 2) == 0 { "" } else { ", media: none" };
        let (found, mut world) = rates(media, "", &lab);
        let (outcome, expected) = (&found.outcome, (Some(Finding::CallRateLimited), Some(most), Some(Scope::Shown)));
        assert_eq!((outcome.finding, outcome.measured, outcome.scope), expected, "{lab}{}", outcome.text);
        world.rest(std::time::Duration::from_secs(1));
        assert_eq!(world.pbx.calls_under_way(), 0, "{lab}");
    });
}

#[test]
fn a_limit_on_calls_at_the_same_time_is_told_from_one_on_their_rate() {
    each_of_twenty(|random| {
        let (places, refuse) = (1 + below(random, 7), refusal(random));
        let lab = format!("trunks: {{ trunk_a: {{ prefix: 900, calls: {places}, refuse: {refuse} }} }}\n");
        let outcome = rates(", media: none", ", hold: 1s", &lab).0.outcome;
        let expected = (Some(Finding::CallConcurrencyLimited), None);
        assert_eq!((outcome.finding, outcome.measured), expected, "{lab}{}", outcome.text);
    });
}

#[test]
fn a_ban_is_not_named_a_rate() {
    each_of_twenty(|random| {
        let (most, refuse, banned) = (1 + below(random, 10), refusal(random), refusal(random));
        let lab = format!(
            "trunks: {{ trunk_a: {{ prefix: 900, rate: {{ max: {most}/s, burst: 2, refuse: {refuse} }}, ban: {{ after: 1, \
             within: 10s, for: 1h, of: source, refuse: {banned} }} }} }}\n"
        );
        let outcome = rates(", media: none", "", &lab).0.outcome;
        assert_eq!((outcome.finding, outcome.measured), (Some(Finding::CallBlocked), None), "{lab}{}", outcome.text);
    });
}

#[test]
fn a_rate_of_the_whole_system_is_not_named_that_of_the_trunk() {
    each_of_twenty(|random| {
        let (most, refuse) = (1 + below(random, 10), refusal(random));
        let lab = format!(
            "calls: {{ all: {{ rate: {{ max: {most}/s, burst: 1, refuse: {refuse} }} }} }}\ntrunks: {{ trunk_a: {{ prefix: \
             900, calls: 100 }} }}\n"
        );
        let outcome = rates(", media: none", "", &lab).0.outcome;
        assert_eq!(
            (outcome.finding, outcome.measured),
            (Some(Finding::CallSharedLimit), None),
            "{lab}{}",
            outcome.text
        );
    });
}

#[test]
fn a_trunk_that_takes_every_rate_or_nothing_is_said() {
    let none = rates(", media: none", "", "trunks: { trunk_a: { prefix: 900, calls: 100 } }\n").0.outcome;
    assert_eq!((none.finding, none.measured, none.refusal), (None, None, None), "{}", none.text);
    let down = rates(", media: none", "", "trunks: { trunk_a: { prefix: 900, calls: 0 } }\n").0.outcome;
    assert_eq!((down.finding, down.measured), (Some(Finding::LineDown), Some(0)), "{}", down.text);
}
