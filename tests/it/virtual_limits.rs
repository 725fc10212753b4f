//! The search for a limit against the simulated PBX, whole scenarios in virtual time.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ringfleet::call::Found;
use ringfleet::pace::Schedule;
use ringfleet::pace::search::Scope;
use ringfleet::record::{Class, Finding};
use ringfleet::scenario::plan::Transport;
use ringfleet::units::{Random, Secret};

use crate::virtual_net::{World, compiled, over};

/// Runs an example of the folder to its end.
pub(crate) fn example(name: &str, lab: Option<&str>) -> (Found, World) {
    let read =
        |name: &str| std::fs::read_to_string(crate::scenarios::root().join("scenarios").join(name)).expect("readable");
    run(&read(name), &lab.map(read).unwrap_or_default())
}

pub(crate) fn run(text: &str, lab: &str) -> (Found, World) {
    let mut world = World::new(compiled(text, lab));
    world.run(Duration::from_secs(4 * 3600));
    assert!(world.done, "not over after four hours");
    assert_eq!(world.found.len(), 1);
    (world.found[0].clone(), world)
}

/// A search for calls over `trunk_a`.
const CALLS: &str = "scenario: search\ntarget: lab.yaml\ncaller:\n  account: agents\n  steps: [ { dial: { number: \"9007{{ n | \
                     pad(4) }}\", trunk: trunk_a, media: none } }, hold_open ]\nload: { find_limit: { of: concurrent_calls, \
                     up_to: 40, step_every: 50ms, control: { number: internal } } }\n";

/// A search for registrations.
const REGISTRATIONS: &str = "scenario: search\ntarget: lab.yaml\ncaller: { account: agents, steps: [register, hold_open] }\n\
                             load: { find_limit: { of: registrations, up_to: 45, step_every: 50ms } }\n";

/// A search for calls over `trunk_a` of a lab with these lines.
fn calls(lab: &str) -> Found {
    calls_of(60, lab)
}

/// A search for calls by so many accounts.
fn calls_of(accounts: u64, lab: &str) -> Found {
    calls_from(1, accounts, lab)
}

/// The same, from so many source addresses.
fn calls_from(sources: u8, accounts: u64, lab: &str) -> Found {
    let users = format!("accounts: {{ users: 1001..{} }}", 1000 + accounts);
    search_from(sources, CALLS, &format!("lab: limits\n{users}\n{lab}"))
}

/// A search for registrations of a lab with these lines.
fn registrations(lab: &str) -> Found {
    registrations_from(1, lab)
}

/// The same, from so many source addresses.
fn registrations_from(sources: u8, lab: &str) -> Found {
    search_from(sources, REGISTRATIONS, &format!("lab: limits\naccounts: {{ users: 1001..1060 }}\n{lab}"))
}

/// Runs a search that goes out from so many source addresses; nothing is left of it.
fn search_from(sources: u8, scenario: &str, lab: &str) -> Found {
    let mut compiled = compiled(scenario, lab);
    for actor in &mut compiled.plan.actors {
        Arc::make_mut(&mut actor.target).local_addresses = (1..=sources).map(|n| IpAddr::from([10, 0, 3, n])).collect();
    }
    if let Schedule::Search(search) = &mut compiled.plan.load.schedule {
        search.sources = sources.into();
    }
    let mut world = World::new(compiled);
    world.run(Duration::from_secs(4 * 3600));
    // A call that is refused without a word is given up by the lab after 64·T1.
    world.rest(Duration::from_secs(40));
    let left = (world.pbx.calls_under_way(), world.pbx.bindings(world.now));
    assert_eq!(left, (0, 0), "{lab}{}", world.found[0].outcome.text);
    world.found[0].clone()
}

pub(crate) fn below(random: &mut Random, bound: u64) -> u64 {
    random.next_u64() % bound
}

/// Twenty lines of a kind, their figures by chance.
pub(crate) fn each_of_twenty(mut test: impl FnMut(&mut Random)) {
    (0..20).for_each(|seed| test(&mut Random::new(seed)));
}

/// A refusal by chance: code, text and a wish for a pause.
pub(crate) fn refusal(random: &mut Random) -> String {
    let code = [403, 480, 486, 500, 503, 603][below(random, 6) as usize];
    let reason = ["License exceeded", "All circuits busy", "User channel limit exceeded D1", "Forbidden"];
    let reason = reason[below(random, 4) as usize];
    let wish = if below(random, 3) == 0 { format!(", retry_after: {}", 1 + below(random, 5)) } else { String::new() };
    format!("{{ code: {code}, reason: \"{reason}\"{wish} }}")
}

#[test]
fn the_trunk_of_the_lab_holds_five_calls_and_the_sixth_is_refused() {
    let (found, world) = example("trunk-saturation.yaml", None);
    let outcome = &found.outcome;
    assert_eq!((outcome.finding, outcome.measured), (Some(Finding::CallTrunkSaturated), Some(5)), "{}", outcome.text);
    assert_eq!((outcome.scope, outcome.proved), (Some(Scope::Shown), 2));
    let refusal = outcome.refusal.as_ref().expect("refused");
    assert_eq!(refusal.code, Some(503));
    assert_eq!(refusal.reason.as_deref(), Some("call attempt had over the max concurrent calls"));
    // Every leg was hung up, and the refusals are what the search came for.
    assert!(world.records.iter().all(|record| !record.is_failed()), "{:?}", world.records);
    let refused = world.records.iter().filter(|record| record.class == Class::CallCongestion).count();
    assert_eq!(refused, 1 + 2 + 2, "the climb, two rounds, two pauses");
    assert!(found.proof.iter().all(|id| world.records.iter().any(|record| record.call_id == *id)));
    assert_eq!(world.records.iter().filter(|record| record.call_id.ends_with("-control")).count(), 1);
}

#[test]
fn the_licence_of_a_lab_is_found_and_proved_by_the_account_that_was_refused() {
    let (found, world) = example("registration-over-licence.yaml", Some("labs/licence.yaml"));
    let outcome = &found.outcome;
    assert_eq!((outcome.finding, outcome.measured), (Some(Finding::RegLicenceExceeded), Some(5)), "{}", outcome.text);
    assert_eq!(outcome.scope, Some(Scope::Shown));
    assert_eq!(outcome.refusal.as_ref().and_then(|refusal| refusal.code), Some(403));
    assert!(world.records.iter().all(|record| !record.is_failed()), "{:?}", world.records);
}

#[test]
fn the_limit_of_a_trunk_is_found_whatever_the_refusal_says() {
    each_of_twenty(|random| {
        let places = 1 + below(random, 40);
        let refuse = refusal(random);
        let found = calls(&format!("trunks: {{ trunk_a: {{ prefix: 900, calls: {places}, refuse: {refuse} }} }}\n"));
        let outcome = &found.outcome;
        assert_eq!(outcome.finding, Some(Finding::CallTrunkSaturated), "{refuse}: {}", outcome.text);
        assert_eq!((outcome.measured, outcome.scope), (Some(places), Some(Scope::Shown)), "{}", outcome.text);
    });
}

#[test]
fn a_limit_on_the_rate_of_calls_is_told_from_one_on_their_number() {
    each_of_twenty(|random| {
        let (most, refuse) = (1 + below(random, 10), refusal(random));
        let kind = if below(random, 2) == 0 { "burst: 3" } else { "window: 2s" };
        let lab =
            format!("trunks: {{ trunk_a: {{ prefix: 900, rate: {{ max: {most}/s, {kind}, refuse: {refuse} }} }} }}\n");
        let outcome = calls(&lab).outcome;
        assert_eq!(
            (outcome.finding, outcome.measured),
            (Some(Finding::CallRateLimited), None),
            "{lab}{}",
            outcome.text
        );
    });
}

#[test]
fn a_temporary_ban_is_told_from_a_limit() {
    each_of_twenty(|random| {
        let (places, of) = (2 + below(random, 20), "source");
        let (refuse, banned) = (refusal(random), refusal(random));
        let lab = format!(
            "trunks: {{ trunk_a: {{ prefix: 900, calls: {places}, refuse: {refuse}, ban: {{ after: 1, within: 10s, for: \
             1h, of: {of}, refuse: {banned} }} }} }}\n"
        );
        let outcome = calls(&lab).outcome;
        assert_eq!((outcome.finding, outcome.measured), (Some(Finding::CallBlocked), None), "{lab}{}", outcome.text);
    });
}

#[test]
fn a_ban_without_a_word_is_told_from_a_limit() {
    each_of_twenty(|random| {
        let (places, refuse) = (2 + below(random, 20), refusal(random));
        let lab = format!(
            "trunks: {{ trunk_a: {{ prefix: 900, calls: {places}, refuse: {refuse}, ban: {{ after: 1, within: 10s, for: \
             1h, of: source, silent: true }} }} }}\n"
        );
        let outcome = calls(&lab).outcome;
        assert_eq!((outcome.finding, outcome.measured), (Some(Finding::CallBlocked), None), "{lab}{}", outcome.text);
    });
}

#[test]
fn other_peoples_calls_are_not_named_the_limit_of_the_trunk() {
    each_of_twenty(|random| {
        let (places, refuse) = (6 + below(random, 30), refusal(random));
        let (most, every) = (1 + below(random, 6), [1, 3, 10, 30][below(random, 4) as usize]);
        let lab = format!(
            "lab: limits\naccounts: {{ users: 1001..1060 }}\ntrunks: {{ trunk_a: {{ prefix: 900, calls: {places}, refuse: \
             {refuse}, others: {{ calls: 0..{most}, change_every: {every}s }} }} }}\n"
        );
        // The target does not say that the line is ours alone.
        let mut compiled = compiled(CALLS, &lab);
        if let Schedule::Search(search) = &mut compiled.plan.load.schedule {
            search.exclusive = false;
        }
        let mut world = World::new(compiled);
        world.run(Duration::from_secs(4 * 3600));
        let outcome = &world.found[0].outcome;
        let said = [Finding::CallPlacesFree, Finding::CallLimitVaries, Finding::CallRateLimited];
        assert!(outcome.finding.is_some_and(|finding| said.contains(&finding)), "{lab}{}", outcome.text);
        // What was free is no more than there is, and no less than others ever leave.
        let free = outcome.measured.map(|free| (places.saturating_sub(most)..=places).contains(&free));
        assert_ne!(free, Some(false), "{lab}{}", outcome.text);
    });
}

#[test]
fn wrong_passwords_in_a_search_for_registrations_are_never_named_a_licence() {
    each_of_twenty(|random| {
        let (places, refuse) = (3 + below(random, 15), refusal(random));
        let broken: Vec<usize> =
            (0..1 + below(random, 4)).map(|index| (index * 3 + below(random, 2)) as usize).collect();
        let search = |lab: &str| {
            let mut compiled =
                compiled(REGISTRATIONS, &format!("lab: limits\naccounts: {{ users: 1001..1060 }}\n{lab}"));
            let mut pool = (**compiled.plan.actors[0].pool.as_ref().expect("a pool")).clone();
            for index in &broken {
                pool.accounts[*index].password = Some(Secret::new("not this one"));
            }
            compiled.plan.actors[0].pool = Some(Arc::new(pool));
            let mut world = World::new(compiled);
            world.run(Duration::from_secs(4 * 3600));
            world.found[0].clone()
        };
        // Without any limit, and beside one.
        let found = search("licence: { devices: 100 }\n");
        let outcome = &found.outcome;
        assert_eq!((outcome.finding, outcome.measured), (Some(Finding::RegSubsetRefused), None), "{}", outcome.text);
        let users: Vec<String> = broken.iter().map(|index| (1001 + index).to_string()).collect();
        assert!(
            !found.aside.is_empty() && found.aside.iter().all(|user| users.contains(user)),
            "{users:?}: {:?}",
            found.aside
        );
        let lab = format!("licence: {{ devices: {places}, refuse: {refuse} }}\n");
        let outcome = search(&lab).outcome;
        match outcome.finding {
            Some(Finding::RegLicenceExceeded) => assert_eq!(outcome.measured, Some(places), "{lab}{}", outcome.text),
            // Several of them in a row may leave it open.
            Some(Finding::RegLimitVaries) => assert_eq!(outcome.measured, None, "{lab}{}", outcome.text),
            _ => panic!("{broken:?} {lab}{}", outcome.text),
        }
    });
}

#[test]
fn a_limit_on_the_rate_of_registrations_is_never_named_a_licence() {
    each_of_twenty(|random| {
        let (most, refuse) = (1 + below(random, 10), refusal(random));
        let kind = if below(random, 2) == 0 { "burst: 3" } else { "window: 2s" };
        let lab = format!(
            "registrations: {{ rate: {{ max: {most}/s, {kind}, refuse: {refuse} }} }}\nlicence: {{ devices: 100 }}\n"
        );
        let lab = format!("lab: limits\naccounts: {{ users: 1001..1060 }}\n{lab}");
        let mut world = World::new(compiled(REGISTRATIONS, &lab));
        world.run(Duration::from_secs(4 * 3600));
        let outcome = world.found[0].outcome.clone();
        // The search's own questions and removals count as well: often it stays open what is limited.
        let said = [None, Some(Finding::RegRateLimited), Some(Finding::RegLimitVaries), Some(Finding::RegBlocked)];
        assert!(said.contains(&outcome.finding), "{lab}{}", outcome.text);
        assert_eq!(outcome.measured, None, "{lab}{}", outcome.text);
        // What could not be removed has run out by then.
        world.rest(Duration::from_secs(310));
        assert_eq!(world.pbx.bindings(world.now), 0, "{lab}{}", outcome.text);
    });
}

#[test]
fn caps_of_accounts_and_of_the_whole_system_are_not_named_the_limit_of_the_trunk() {
    each_of_twenty(|random| {
        let (each, refuse) = (1 + below(random, 3), refusal(random));
        let accounts = 2 + below(random, 10);
        let lab = format!(
            "calls: {{ per_account: {{ calls: {each}, refuse: {refuse} }} }}\ntrunks: {{ trunk_a: {{ prefix: 900, calls: \
             100 }} }}\n"
        );
        let outcome = calls_of(accounts, &lab).outcome;
        assert_eq!(
            (outcome.finding, outcome.measured),
            (Some(Finding::CallAccountLimit), None),
            "{lab}{}",
            outcome.text
        );
        for (cap, finding) in [("all", Finding::CallSystemLimit), ("per_source", Finding::CallSourceLimit)] {
            let places = 1 + below(random, 39);
            let lab = format!(
                "calls: {{ {cap}: {{ calls: {places}, refuse: {refuse} }} }}\ntrunks: {{ trunk_a: {{ prefix: 900, calls: \
                 100 }} }}\n"
            );
            // With one address it stays open which of the two it is.
            let outcome = calls(&lab).outcome;
            let expected = (Some(Finding::CallSharedLimit), None);
            assert_eq!((outcome.finding, outcome.measured), expected, "{lab}{}", outcome.text);
            let outcome = calls_from(2, 60, &lab).outcome;
            assert_eq!((outcome.finding, outcome.measured), (Some(finding), None), "{lab}{}", outcome.text);
        }
        let places = 1 + below(random, 39);
        let lab = format!("trunks: {{ trunk_a: {{ prefix: 900, calls: {places}, refuse: {refuse} }} }}\n");
        let outcome = calls_from(3, 60, &lab).outcome;
        let expected = (Some(Finding::CallTrunkSaturated), Some(places));
        assert_eq!((outcome.finding, outcome.measured), expected, "{lab}{}", outcome.text);
    });
}

#[test]
fn a_cap_of_each_source_address_on_registrations_is_told_from_a_licence_by_another_address() {
    each_of_twenty(|random| {
        let (places, refuse) = (1 + below(random, 40), refusal(random));
        let lab = format!(
            "registrations: {{ per_source: {{ contacts: {places}, refuse: {refuse} }} }}\nlicence: {{ devices: 60 }}\n"
        );
        let outcome = registrations_from(2, &lab).outcome;
        let expected = (Some(Finding::RegSourceLimit), None);
        assert_eq!((outcome.finding, outcome.measured), expected, "{lab}{}", outcome.text);
        let lab = format!("licence: {{ devices: {places}, refuse: {refuse} }}\n");
        let outcome = registrations_from(2, &lab).outcome;
        let expected = (Some(Finding::RegLicenceExceeded), Some(places));
        assert_eq!((outcome.finding, outcome.measured), expected, "{lab}{}", outcome.text);
    });
}

/// A search for registrations whose devices call each other.
fn devices_that_call_each_other(tcp: bool, lab: &str) -> (Found, World) {
    let scenario = "scenario: search\ntarget: lab.yaml\ncaller: { account: agents, steps: [register, hold_open] }\nload: { \
                    find_limit: { of: registrations, up_to: 25, step_every: 50ms, test_call: { number: \"{{ account.user \
                    }}\" } } }\n";
    let mut compiled = compiled(scenario, &format!("lab: limits\naccounts: {{ users: 1001..1060 }}\n{lab}"));
    if tcp {
        compiled = over(Transport::Tcp, compiled);
    }
    let mut world = World::new(compiled);
    world.run(Duration::from_secs(4 * 3600));
    world.rest(Duration::from_secs(5));
    assert!(world.beside.is_empty(), "a test call is no stray: {:?}", world.beside);
    assert_eq!((world.pbx.calls_under_way(), world.pbx.bindings(world.now)), (0, 0), "{lab}");
    (world.found[0].clone(), world)
}

#[test]
fn a_device_that_the_registrar_lists_and_no_call_reaches_is_evicted() {
    each_of_twenty(|random| {
        let devices = 2 + below(random, 20);
        let which = ["oldest", "random"][below(random, 2) as usize];
        let lab = format!("licence: {{ devices: {devices}, evict: {{ which: {which}, hidden: true }} }}\n");
        let (found, world) = devices_that_call_each_other(false, &lab);
        let (outcome, expected) = (&found.outcome, (Some(Finding::RegLicenceEvicted), Some(devices)));
        assert_eq!((outcome.finding, outcome.measured), expected, "{lab}{}", outcome.text);
        assert!(world.wire.iter().any(|sent| sent.line.starts_with("INVITE")));
        // Its own bindings are all in order, as the registrar says: by them alone it is not seen.
        let outcome = registrations(&lab).outcome;
        assert_eq!((outcome.finding, outcome.measured), (None, None), "{lab}{}", outcome.text);
    });
}

#[test]
fn a_licence_that_refuses_is_found_as_well_where_devices_call_each_other() {
    for devices in [1, 2, 17] {
        let lab = format!("licence: {{ devices: {devices} }}\n");
        let outcome = devices_that_call_each_other(false, &lab).0.outcome;
        let expected = (Some(Finding::RegLicenceExceeded), Some(devices));
        assert_eq!((outcome.finding, outcome.measured), expected, "{lab}{}", outcome.text);
    }
}

#[test]
fn a_connection_that_the_pbx_closes_when_one_more_registers_counts_as_an_eviction() {
    each_of_twenty(|random| {
        let devices = 1 + below(random, 20);
        let which = ["oldest", "random"][below(random, 2) as usize];
        let lab = format!("licence: {{ devices: {devices}, evict: {{ which: {which}, close: true }} }}\n");
        let (found, mut world) = devices_that_call_each_other(true, &lab);
        let (outcome, expected) = (&found.outcome, (Some(Finding::RegLicenceEvicted), Some(devices)));
        assert_eq!((outcome.finding, outcome.measured), expected, "{lab}{}", outcome.text);
        world.rest(Duration::from_secs(60));
        assert_eq!(world.pbx.bindings(world.now), 0);
    });
}

#[test]
fn a_licence_that_throws_out_earlier_devices_is_told_from_one_that_refuses() {
    each_of_twenty(|random| {
        let (devices, refuse) = (1 + below(random, 40), refusal(random));
        let which = ["oldest", "random"][below(random, 2) as usize];
        let lab = format!("licence: {{ devices: {devices}, evict: {{ which: {which} }} }}\n");
        let outcome = registrations(&lab).outcome;
        let expected = (Some(Finding::RegLicenceEvicted), Some(devices));
        assert_eq!((outcome.finding, outcome.measured), expected, "{lab}{}", outcome.text);
        let lab = format!("licence: {{ devices: {devices}, refuse: {refuse} }}\n");
        let outcome = registrations(&lab).outcome;
        let expected = (Some(Finding::RegLicenceExceeded), Some(devices));
        assert_eq!((outcome.finding, outcome.measured), expected, "{lab}{}", outcome.text);
    });
}

/// A search for accounts that are refused alone, in a lab with these lines; `broken` of the accounts have wrong passwords.
fn provisioned(lab: &str, broken: &[usize]) -> (Found, World) {
    let scenario = "scenario: search\ntarget: lab.yaml\ncaller: { account: agents, steps: [register, hold_open] }\nload: { \
                    find_limit: { of: provisioned_extensions, up_to: 40, step_every: 50ms, pauses: [1s, 5s] } }\n";
    let mut compiled = compiled(scenario, &format!("lab: limits\naccounts: {{ users: 1001..1030 }}\n{lab}"));
    let mut pool = (**compiled.plan.actors[0].pool.as_ref().expect("a pool")).clone();
    for index in broken {
        pool.accounts[*index].password = Some(Secret::new("not this one".to_owned()));
    }
    compiled.plan.actors[0].pool = Some(Arc::new(pool));
    let mut world = World::new(compiled);
    world.run(Duration::from_secs(3600));
    (world.found[0].clone(), world)
}

#[test]
fn accounts_that_too_many_others_shut_out_are_told_from_wrong_passwords() {
    each_of_twenty(|random| {
        let (devices, count, refuse) = (1 + below(random, 15), 1 + below(random, 12), refusal(random));
        let seed = below(random, 100);
        let lab = format!(
            "licence: {{ devices: {devices}, over_provisioned: {{ count: {count}, seed: {seed}, refuse: {refuse} }} }}\n"
        );
        let (found, mut world) = provisioned(&lab, &[]);
        let outcome = &found.outcome;
        let expected = (Some(Finding::RegProvisionedOver2x), Some(30 - count), Some(Scope::Shown), 2);
        let got = (outcome.finding, outcome.measured, outcome.scope, outcome.proved);
        assert_eq!(got, expected, "{lab}{}", outcome.text);
        assert_eq!(found.aside.len() as u64, count, "{:?}", found.aside);
        // Nobody was registered beside another, and nobody is left.
        assert_eq!(world.callers.progress().peak, 1);
        world.rest(Duration::from_secs(1));
        assert_eq!(world.pbx.bindings(world.now), 0);
        // The decoys: wrong passwords, and a licence that is large enough.
        let broken: Vec<usize> = (0..count as usize).map(|index| index * 2 + 1).collect();
        let (found, _) = provisioned(&format!("licence: {{ devices: {devices} }}\n"), &broken);
        let outcome = &found.outcome;
        assert_eq!((outcome.finding, outcome.measured), (Some(Finding::RegSubsetRefused), None), "{}", outcome.text);
        assert_eq!(found.aside.len() as u64, count, "{:?}", found.aside);
    });
}

#[test]
fn accounts_that_are_refused_for_coming_too_fast_or_all_of_them_are_no_subset() {
    let rate = "registrations: { rate: { max: 5/s, burst: 5, refuse: { code: 503, retry_after: 2 } } }\n";
    let outcome = provisioned(rate, &[]).0.outcome;
    assert_eq!((outcome.finding, outcome.measured), (Some(Finding::RegRateLimited), None), "{}", outcome.text);
    let all: Vec<usize> = (0..30).collect();
    let outcome = provisioned("", &all).0.outcome;
    assert_eq!((outcome.finding, outcome.measured), (Some(Finding::LineDown), Some(0)), "{}", outcome.text);
    let outcome = provisioned("", &[]).0.outcome;
    assert_eq!((outcome.finding, outcome.measured), (None, None), "{}", outcome.text);
    assert_eq!(outcome.text, "each of the 30 accounts can be registered alone");
}

#[test]
fn the_examples_of_extensions_and_of_eviction_find_what_their_labs_do() {
    let (found, _) = example("provisioned-over-2x.yaml", Some("labs/over-2x.yaml"));
    let outcome = found.outcome;
    assert_eq!((outcome.finding, outcome.measured), (Some(Finding::RegProvisionedOver2x), Some(9)), "{}", outcome.text);
    let (found, _) = example("registration-eviction.yaml", Some("labs/eviction.yaml"));
    let outcome = found.outcome;
    assert_eq!((outcome.finding, outcome.measured), (Some(Finding::RegLicenceEvicted), Some(5)), "{}", outcome.text);
}

#[test]
fn a_registration_that_is_not_removed_ends_a_search_that_wants_each_alone() {
    let scenario = "scenario: search\ntarget: lab.yaml\ncaller: { account: agents, steps: [register, hold_open] }\nload: { \
                    find_limit: { of: provisioned_extensions, up_to: 5, step_every: 50ms, pauses: [1s] } }\n";
    let mut world = World::new(compiled(scenario, "lab: limits\naccounts: { users: 1001..1005 }\n"));
    world.pass(Duration::from_millis(30));
    world.mute = true;
    world.run(Duration::from_secs(600));
    let outcome = &world.found[0].outcome;
    assert_eq!((outcome.finding, outcome.measured), (None, None), "{}", outcome.text);
}

#[test]
fn a_place_that_the_trunk_gives_back_late_or_never_is_said() {
    let late = calls("trunks: { trunk_a: { prefix: 900, calls: 5, frees_after: 3s } }\n").outcome;
    assert_eq!((late.finding, late.measured), (Some(Finding::CallTrunkSaturated), Some(5)), "{}", late.text);
    assert!(late.freed_after >= Some(Duration::from_secs(3)), "{:?}", late.freed_after);
    let never = calls("trunks: { trunk_a: { prefix: 900, calls: 5, frees_after: never } }\n").outcome;
    assert_eq!((never.finding, never.measured), (Some(Finding::CallBlocked), None), "{}", never.text);
}

#[test]
fn a_trunk_that_accepts_nothing_is_down() {
    let outcome = calls("trunks: { trunk_a: { prefix: 900, calls: 0 } }\n").outcome;
    assert_eq!((outcome.finding, outcome.measured), (Some(Finding::LineDown), Some(0)), "{}", outcome.text);
}

#[test]
fn accounts_of_a_load_go_out_from_every_local_address_in_turn() {
    let text = "scenario: test\ntarget: lab\ncaller: { account: agents, steps: [register, { dial: { number: echo, media: none } \
                }, hangup] }\nload: { concurrent: 6, calls: 12 }\n";
    let mut compiled = compiled(text, "");
    Arc::make_mut(&mut compiled.plan.actors[0].target).local_addresses =
        (1..=3).map(|n| IpAddr::from([10, 0, 3, n])).collect();
    let mut world = World::new(compiled);
    world.run(Duration::from_secs(60));
    assert!(world.records.iter().all(|record| !record.is_failed()), "{:?}", world.records);
    for n in 1..=3 {
        let own = format!("@10.0.3.{n}:");
        let from = |what: &str| {
            let sent = |sent: &&crate::virtual_net::Sent| sent.line.starts_with(what) && sent.text.contains(&own);
            world.wire.iter().filter(sent).count()
        };
        assert_eq!(from("INVITE "), 4 * 2, "each with its challenge, from 10.0.3.{n}");
    }
}
