//! Accounts that stay registered, many of them, against the simulated PBX in virtual time.

use std::collections::HashMap;
use std::time::Duration;

use crate::virtual_net::{Side, World, compiled};

const MINUTE: Duration = Duration::from_secs(60);

/// So many accounts that all stay registered, while nothing else happens for so long.
fn standing(accounts: u64, more: &str, minutes: u64) -> World {
    let text = format!(
        "scenario: x\ntarget: lab.yaml\ncaller: {{ account: agents, registered: all, {more} steps: [{{ wait: 30s }}] }}\n\
         load: {{ concurrent: 1, for: {minutes}m }}\n"
    );
    let lab =
        format!("lab: many\naccounts: {{ users: \"10001..{}\" }}\nlicence: {{ devices: 100000 }}\n", 10_000 + accounts);
    let mut compiled = compiled(&text, &lab);
    compiled.plan.safety.max_cps = 10_000.0;
    World::new(compiled)
}

/// When each account was registered or refreshed: the moments of the requests that were not mere answers to a challenge.
fn asked(world: &World) -> HashMap<String, Vec<u64>> {
    let mut asked: HashMap<String, Vec<u64>> = HashMap::new();
    for sent in world.wire.iter().filter(|sent| sent.by == Side::Callers && sent.line.starts_with("REGISTER")) {
        let from = sent.text.lines().find(|line| line.starts_with("To:")).expect("a To").to_owned();
        let at = sent.at.as_millis() as u64;
        let moments = asked.entry(from).or_default();
        if moments.last().is_none_or(|last| at > last + 1000) {
            moments.push(at);
        }
    }
    asked
}

#[test]
fn accounts_that_registered_together_are_refreshed_evenly_and_never_late() {
    let mut world = standing(500, "", 30);
    world.pass(29 * MINUTE);
    assert_eq!(world.pbx.bindings(world.now), 500);
    let asked = asked(&world);
    assert_eq!(asked.len(), 500);
    let began = asked.values().map(|moments| moments[0]).max().expect("some");
    assert!(began < 200, "all of them within {began} ms");
    let mut minutes = vec![0u64; 29];
    for moments in asked.values() {
        // 300 s are granted. First between 30 and 270 s, then between 240 and 270 s after the last time.
        assert!((29_000..271_000).contains(&(moments[1] - moments[0])), "{moments:?}");
        for two in moments[1..].windows(2) {
            assert!((239_000..271_000).contains(&(two[1] - two[0])), "{moments:?}");
        }
        moments[1..].iter().for_each(|at| minutes[(*at / 60_000) as usize] += 1);
    }
    // 500 every 255 s are 118 a minute; a herd would be 500 in one of them and none in the next four.
    assert!(minutes[1..].iter().all(|count| (60..190).contains(count)), "{minutes:?}");
    assert!(world.beside.is_empty(), "none was ever lost: {:?}", world.beside.len());
    let progress = world.callers.progress();
    assert_eq!((progress.standing, progress.most_registered), (500, 500));
    assert_eq!(progress.refreshes, minutes.iter().sum::<u64>());
    world.run(40 * MINUTE);
    world.rest(Duration::from_secs(1));
    assert_eq!(world.pbx.bindings(world.now), 0, "each was removed at the end");
}

#[test]
fn the_expiry_that_an_actor_asks_for_is_that_of_its_standing_registrations() {
    let mut world = standing(10, "expires: 60,", 5);
    world.pass(4 * MINUTE);
    for moments in asked(&world).values() {
        assert!(moments[1..].windows(2).all(|two| (47_000..55_000).contains(&(two[1] - two[0]))), "{moments:?}");
    }
}

#[test]
fn standing_registrations_are_removed_no_faster_than_they_were_made() {
    let text = "scenario: x\ntarget: lab\ncaller: { account: agents, registered: all, steps: [{ wait: 1s }] }\n\
                load: { calls: 1 }\n";
    let mut slow = compiled(text, "");
    slow.plan.safety.max_cps = 5.0;
    let mut world = World::new(slow);
    world.run(MINUTE);
    world.rest(Duration::from_secs(1));
    let gone = |sent: &&crate::virtual_net::Sent| sent.line.starts_with("REGISTER") && sent.text.contains(";expires=0");
    let removed: Vec<u64> = world.wire.iter().filter(gone).map(|sent| sent.at.as_millis() as u64).collect();
    assert_eq!((removed.len(), world.pbx.bindings(world.now)), (20, 0));
    assert!(removed.windows(2).all(|two| (180..=220).contains(&(two[1] - two[0]))), "{removed:?}");
}

#[test]
fn calls_go_round_the_accounts_that_stay_registered() {
    let text = "scenario: x\ntarget: lab\ncaller: { account: agents, registered: all, steps: [{ dial: { number: internal, \
                media: none } }, hangup] }\nload: { calls: 40 }\n";
    let mut world = World::new(compiled(text, ""));
    world.run(MINUTE);
    let mut calls: HashMap<&str, u32> = HashMap::new();
    world.records.iter().for_each(|record| *calls.entry(record.account.as_deref().expect("known")).or_default() += 1);
    assert!(calls.len() == 20 && calls.values().all(|count| *count == 2), "{calls:?}");
}

#[test]
fn each_account_has_a_socket_of_its_own_where_the_target_says_so() {
    let text = "scenario: x\ntarget: lab\ncaller: { account: agents, registered: all, steps: [{ wait: 1s }] }\n\
                load: { calls: 1 }\n";
    for (each, sockets) in [(false, 1), (true, 20)] {
        let mut compiled = compiled(text, "");
        std::sync::Arc::make_mut(&mut compiled.plan.actors[0].target).socket_each = each;
        let mut world = World::new(compiled);
        world.run(MINUTE);
        assert_eq!((world.asked.len(), world.callers.progress().most_registered), (sockets, 20));
    }
}
