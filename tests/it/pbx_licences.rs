//! Limits on registrations at the simulated PBX: licence, eviction, the 2 × rule, contacts of an account, rate.

use std::sync::Arc;
use std::time::Duration;

use ringfleet::record::Class;
use ringfleet::scenario::plan::Transport;
use ringfleet::units::Secret;

use crate::pbx_desk::{Desk, at, field};
use crate::virtual_net::{World, compiled, over};

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The account 1000 + n logs in from its own address.
fn login(desk: &mut Desk, n: u8) -> u16 {
    desk.login(at(n), &user(n))
}

/// Whether each of the accounts finds its contact when it asks.
fn there(desk: &mut Desk, accounts: &[u8]) -> Vec<bool> {
    accounts.iter().map(|n| desk.contacts(at(*n), &user(*n)) == 1).collect()
}

fn user(n: u8) -> String {
    (1000 + u32::from(n)).to_string()
}

#[test]
fn a_refused_registration_says_why_and_when_to_try_again() {
    let refuse = "refuse: { code: 503, reason: license limit exceeded, q850: 47, retry_after: 30 }";
    let mut desk = Desk::new(&format!("licence: {{ devices: 2, {refuse} }}\n"));
    assert_eq!([1, 2, 3].map(|n| login(&mut desk, n)), [200, 200, 503]);
    let (code, reason, text) = desk.register(at(3), "1003", "Contact: <sip:1003@10.0.1.3>\r\n");
    assert_eq!((code, reason.as_str()), (503, "license limit exceeded"));
    assert_eq!((field(&text, "Retry-After"), field(&text, "Reason")), (Some("30"), Some("Q.850;cause=47")));
    assert_eq!([1, 2].map(|n| login(&mut desk, n)), [200, 200], "a refresh is no further device");
    assert_eq!(desk.register(at(1), "1001", "Contact: *\r\nExpires: 0\r\n").0, 200);
    assert_eq!([3, 1].map(|n| login(&mut desk, n)), [200, 503]);
}

#[test]
fn a_register_that_is_refused_for_one_contact_changes_none() {
    // RFC 3261 §10.3: all or nothing.
    let mut desk = Desk::new("licence: { devices: 1 }\n");
    let two = "Contact: <sip:a@10.0.1.1>, <sip:b@10.0.1.1>\r\n";
    assert_eq!(desk.register(at(1), "1001", two).0, 403);
    assert_eq!((desk.contacts(at(1), "1001"), desk.pbx.bindings(desk.now)), (0, 0));
    let brief = "Contact: <sip:a@10.0.1.1>, <sip:b@10.0.1.1>;expires=5\r\n";
    let (code, _, text) = desk.register(at(1), "1001", brief);
    assert_eq!((code, field(&text, "Min-Expires")), (423, Some("10")));
    assert_eq!(desk.contacts(at(1), "1001"), 0);
    // One contact takes the place of another.
    assert_eq!(desk.login(at(1), "1001"), 200);
    let moved = format!("Contact: <sip:1001@{}>;expires=0, <sip:b@10.0.1.1>\r\n", at(1).remote);
    assert_eq!(desk.register(at(1), "1001", &moved).0, 200);
    assert_eq!(desk.contacts(at(1), "1001"), 1);
}

#[test]
fn the_device_that_registered_first_makes_way_without_a_word_and_a_refresh_does_not_save_it() {
    let mut desk = Desk::new("licence: { devices: 3, evict: {} }\n");
    for n in [1, 2, 3, 1] {
        desk.pass(secs(1));
        assert_eq!(login(&mut desk, n), 200);
    }
    let before = desk.got.len();
    assert_eq!(login(&mut desk, 4), 200);
    assert_eq!(desk.got.len(), before + 1, "nobody is told");
    assert_eq!(there(&mut desk, &[1, 2, 3, 4]), [false, true, true, true]);
    assert_eq!(desk.pbx.bindings(desk.now), 3);
    assert_eq!(desk.code(at(9), "1009", "1001"), 480, "nor is it reached");
    // It registers again, and takes the next one's place.
    assert_eq!(login(&mut desk, 1), 200);
    assert_eq!(there(&mut desk, &[1, 2, 3, 4]), [true, false, true, true]);
}

#[test]
fn an_account_never_evicts_itself() {
    let mut desk = Desk::new("licence: { devices: 2, evict: {}, refuse: { code: 403, reason: full } }\n");
    assert_eq!(desk.register(at(1), "1001", "Contact: <sip:a@10.0.1.1>, <sip:b@10.0.1.1>\r\n").0, 200);
    let (code, reason, _) = desk.register(at(1), "1001", "Contact: <sip:c@10.0.1.1>\r\n");
    assert_eq!((code, reason.as_str(), desk.contacts(at(1), "1001")), (403, "full", 2));
    // Two at once make two of them go.
    assert_eq!(desk.register(at(2), "1002", "Contact: <sip:a@10.0.1.2>, <sip:b@10.0.1.2>\r\n").0, 200);
    assert_eq!((desk.contacts(at(1), "1001"), desk.contacts(at(2), "1002")), (0, 2));
    let mut desk = Desk::new("licence: { devices: 0, evict: {} }\n");
    assert_eq!(login(&mut desk, 1), 403);
}

#[test]
fn a_random_device_makes_way_and_the_seed_says_which() {
    let gone = |seed: u64| -> Vec<u8> {
        let mut desk = Desk::seeded("licence: { devices: 8, evict: { which: random } }\n", seed);
        (1..=8).for_each(|n| assert_eq!(login(&mut desk, n), 200));
        let all: Vec<u8> = (1..=10).collect();
        for newcomer in [9, 10] {
            assert_eq!(login(&mut desk, newcomer), 200);
            assert_eq!(desk.pbx.bindings(desk.now), 8);
            assert_eq!(there(&mut desk, &[newcomer]), [true]);
        }
        let there = there(&mut desk, &all);
        all.into_iter().zip(there).filter(|(_, there)| !there).map(|(n, _)| n).collect()
    };
    let by_seed: Vec<Vec<u8>> = (0..20).map(gone).collect();
    assert!(by_seed.iter().all(|gone| gone.len() == 2));
    assert_eq!(by_seed, (0..20).map(gone).collect::<Vec<_>>());
    assert!((1..=8).all(|n| by_seed.iter().any(|gone| gone.contains(&n))), "{by_seed:?}");
}

#[test]
fn the_connection_of_an_evicted_device_is_closed_where_it_is_said_so() {
    for (close, closed) in [("false", 0), ("true", 1)] {
        let mut desk = Desk::new(&format!("licence: {{ devices: 1, evict: {{ close: {close} }} }}\n"));
        let (first, second) = (desk.connect(1, 1), desk.connect(2, 2));
        assert_eq!(desk.login(first, "1001"), 200);
        // A call over it ends with the connection, and gives its places back.
        desk.dial(first, "1001", "9002001");
        desk.pass(secs(1));
        assert_eq!(desk.login(second, "1002"), 200);
        assert_eq!(desk.closed, vec![first.link; closed]);
        assert_eq!(desk.pbx.places_taken(desk.now), 1 - closed);
        assert_eq!(desk.contacts(second, "1002"), 1);
    }
    // Over UDP there is nothing to close, and nobody closes the connection that he stands on.
    let mut desk = Desk::new("licence: { devices: 1, evict: { close: true } }\n");
    assert_eq!((login(&mut desk, 1), login(&mut desk, 2)), (200, 200));
    let shared = desk.connect(3, 3);
    assert_eq!((desk.login(shared, "1003"), desk.login(shared, "1004")), (200, 200));
    assert!(desk.closed.is_empty());
    assert_eq!((desk.contacts(shared, "1003"), desk.contacts(shared, "1004")), (0, 1));
}

#[test]
fn a_closed_connection_tells_an_evicted_device_and_over_udp_nothing_does() {
    let lab = "lab: x\nlicence: { devices: 2, evict: { close: true } }\n";
    let text = "scenario: x\ntarget: lab.yaml\ncaller: { account: agents, steps: [register, { dial: { number: internal } }, \
                { wait: 30s }, { expect: still_up }, hangup] }\nload: { rate: 1/s, calls: 3 }\n";
    for (transport, kept) in [(Transport::Udp, 3), (Transport::Tcp, 2)] {
        let mut world = World::new(over(transport, compiled(text, lab)));
        world.run(secs(120));
        let ok = world.records.iter().filter(|record| record.class == Class::Ok).count();
        assert_eq!((world.records.len(), ok), (3, kept), "{:#?}", world.records);
        if transport == Transport::Tcp {
            let closed = world.records.iter().find(|record| record.class != Class::Ok).expect("one");
            assert_eq!((closed.call_id.as_str(), closed.class), ("run-000001", Class::TransportTcp));
        }
        world.rest(secs(60));
        assert_eq!((world.pbx.calls_under_way(), world.pbx.bindings(world.now)), (0, 0));
    }
}

const TWICE: &str = "accounts: { users: 1001..1004 }\nlicence: { devices: 2, over_provisioned: { users: 1002..1003, \
                     refuse: { code: 480, reason: extension not licensed, retry_after: 60 } } }\n";

#[test]
fn where_accounts_are_twice_the_licence_some_cannot_register_even_alone() {
    let mut desk = Desk::new(TWICE);
    for n in 1..=4 {
        let barred = matches!(n, 2 | 3);
        assert_eq!(login(&mut desk, n), if barred { 480 } else { 200 }, "{n}");
        assert_eq!(desk.register(at(n), &user(n), "Contact: *\r\nExpires: 0\r\n").0, 200, "{n}");
        assert_eq!(desk.pbx.bindings(desk.now), 0, "each is alone");
    }
    let (_, reason, text) = desk.register(at(2), "1002", "Contact: <sip:1002@10.0.1.2>\r\n");
    assert_eq!((reason.as_str(), field(&text, "Retry-After")), ("extension not licensed", Some("60")));
    // A licence for three devices is more than half of four accounts.
    assert!(desk.pbx.set_licence_places(3));
    assert_eq!([1, 2, 3, 4].map(|n| login(&mut desk, n)), [200, 200, 200, 403]);
}

#[test]
fn those_who_cannot_register_are_drawn_by_the_seed_of_the_file_and_always_the_same() {
    let barred = |rule: &str| -> Vec<u8> {
        let lab = format!("accounts: {{ users: 1001..1012 }}\nlicence: {{ devices: 6, over_provisioned: {rule} }}\n");
        // Another seed of the lab changes nothing.
        let of =
            |seed: u64| -> Vec<u8> { (1..=12).filter(|n| login(&mut Desk::seeded(&lab, seed), *n) == 403).collect() };
        assert_eq!(of(1), of(2));
        of(1)
    };
    assert_eq!(barred("{}").len(), 6, "those more than the licence");
    assert_eq!((barred("{ count: 1 }").len(), barred("{ count: 12 }").len()), (1, 12));
    assert_ne!(barred("{ seed: 1 }"), barred("{ seed: 2 }"));
}

#[test]
fn who_cannot_register_is_refused_otherwise_than_who_has_a_wrong_password() {
    let text = "scenario: x\ntarget: lab.yaml\ncaller: { account: agents, steps: [register] }\nload: { calls: 4 }\n";
    let lab = format!("lab: twice\n{TWICE}");
    let codes = |password: Option<&str>| -> Vec<(Class, Option<u16>, Option<String>)> {
        let mut compiled = compiled(text, &lab);
        for actor in &mut compiled.plan.actors {
            let mut pool = (**actor.pool.as_ref().expect("it has one")).clone();
            if let Some(password) = password {
                pool.accounts.iter_mut().for_each(|account| account.password = Some(Secret::new(password)));
            }
            actor.pool = Some(Arc::new(pool));
        }
        let mut world = World::new(compiled);
        world.run(secs(60));
        world.records.sort_by(|a, b| a.account.cmp(&b.account));
        world.records.iter().map(|record| (record.class, record.code, record.reason.clone())).collect()
    };
    let refused = || (Class::RegRefused, Some(480), Some("extension not licensed".to_owned()));
    let right = codes(None);
    assert_eq!(right.iter().map(|(_, code, _)| *code).collect::<Vec<_>>(), [200, 480, 480, 200].map(Some));
    assert_eq!((right[1].clone(), right[2].clone()), (refused(), refused()));
    let wrong = codes(Some("wrong"));
    assert!(wrong.iter().all(|(class, code, _)| (*class, *code) == (Class::RegCredentials, Some(401))), "{wrong:?}");
}

#[test]
fn contacts_of_one_account_are_limited_and_those_of_others_are_not_counted() {
    let mut desk =
        Desk::new("registrations: { per_aor: { contacts: 2, refuse: { code: 403, reason: contacts per AoR } } }\n");
    let contact = |name: &str| format!("Contact: <sip:{name}@10.0.1.1>\r\n");
    let mut code = |user: &str, name: &str| desk.register(at(1), user, &contact(name)).0;
    assert_eq!([code("1001", "a"), code("1001", "b"), code("1001", "c")], [200, 200, 403]);
    assert_eq!([code("1001", "a"), code("1002", "a"), code("1002", "b")], [200, 200, 200]);
    assert_eq!(desk.register(at(1), "1001", &contact("a").replace('>', ">;expires=0")).0, 200);
    let (code, reason, _) = desk.register(at(1), "1001", &contact("c"));
    assert_eq!((code, reason.as_str()), (200, "OK"));
    assert_eq!(desk.register(at(1), "1001", &contact("d")).1, "contacts per AoR");
}

#[test]
fn contacts_from_one_address_are_limited_whoever_they_are_of() {
    let mut desk = Desk::new(
        "registrations: { per_source: { contacts: 2, refuse: { code: 403, reason: too many from here } } }\n",
    );
    let mut code =
        |from: u8, user: &str| desk.register(at(from), user, &format!("Contact: <sip:{user}@10.0.1.{from}>\r\n")).0;
    assert_eq!([code(1, "1001"), code(1, "1002"), code(1, "1003")], [200, 200, 403]);
    assert_eq!([code(2, "1003"), code(1, "1001"), code(1, "1004")], [200, 200, 403]);
    assert_eq!(desk.register(at(1), "1001", "Contact: *\r\nExpires: 0\r\n").0, 200);
    assert_eq!(desk.register(at(1), "1004", "Contact: <sip:1004@10.0.1.1>\r\n").0, 200);
}

#[test]
fn the_place_of_a_device_that_logged_out_comes_back_late_or_never_where_the_licence_says_so() {
    let gone = "Contact: *\r\nExpires: 0\r\n";
    let mut desk = Desk::new("licence: { devices: 2, frees_after: 3s }\n");
    assert_eq!([1, 2, 3].map(|n| login(&mut desk, n)), [200, 200, 403]);
    assert_eq!(desk.register(at(1), "1001", gone).0, 200);
    desk.pass_until(Duration::from_millis(2999));
    assert_eq!(login(&mut desk, 3), 403);
    desk.pass_until(Duration::from_millis(3000));
    assert_eq!(login(&mut desk, 3), 200);
    let mut desk = Desk::new("licence: { devices: 2, frees_after: never }\n");
    assert_eq!([1, 2].map(|n| login(&mut desk, n)), [200, 200]);
    assert_eq!(desk.register(at(1), "1001", gone).0, 200);
    desk.pass_until(Duration::from_secs(250));
    assert_eq!((login(&mut desk, 3), login(&mut desk, 2)), (403, 200));
}

#[test]
fn registers_that_come_too_fast_are_told_when_to_come_again() {
    let mut desk =
        Desk::new("registrations: { rate: { max: 2/s, burst: 2, refuse: { code: 503, retry_after: 7 } } }\n");
    assert_eq!([1, 2, 3].map(|n| login(&mut desk, n)), [200, 200, 503]);
    // Whatever they ask for.
    let (code, _, text) = desk.register(at(1), "1001", "");
    assert_eq!((code, field(&text, "Retry-After")), (503, Some("7")));
    assert_eq!(desk.register(at(1), "1001", "Contact: *\r\nExpires: 0\r\n").0, 503);
    desk.pass_until(Duration::from_millis(499));
    assert_eq!(login(&mut desk, 3), 503);
    desk.pass_until(Duration::from_millis(500));
    assert_eq!([3, 4].map(|n| login(&mut desk, n)), [200, 503]);
    assert_eq!(desk.pbx.bindings(desk.now), 3);
}

#[test]
fn a_challenge_is_not_counted_as_a_registration() {
    let lab = "lab: paced\nregistrations: { rate: { max: 5/s, burst: 5 } }\n";
    let text = "scenario: x\ntarget: lab.yaml\ncaller: { account: agents, steps: [register, { wait: 30s }] }\n\
                load: { concurrent: 8, calls: 8 }\n";
    let mut world = World::new(compiled(text, lab));
    world.run(secs(120));
    let ok = world.records.iter().filter(|record| record.class == Class::Ok).count();
    let refused = world.records.iter().filter(|record| record.code == Some(503)).count();
    assert_eq!((ok, refused), (5, 3), "{:#?}", world.records);
}
