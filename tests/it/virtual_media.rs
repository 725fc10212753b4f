//! What is told of a leg's media while it goes on, and of its registration, in virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ringfleet::media::grade::Grade;
use ringfleet::record::{Class, RegistrationRecord};

use crate::virtual_net::{WATCHED_LEGS, World, caller};

fn talk(load: &str) -> World {
    let steps = "[register, { dial: { number: internal } }, { talk: { for: 5s } }, hangup]";
    let mut world = World::new(caller(steps, load));
    world.run(Duration::from_secs(120));
    world
}

/// Seconds that were told of each leg.
fn seconds(world: &World) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for second in &world.seconds {
        *counts.entry(second.identity.call_id.as_str()).or_default() += 1;
    }
    counts
}

#[test]
fn each_whole_second_of_a_leg_is_told_with_its_figures_and_its_place_on_the_calendar() {
    let world = talk("{ calls: 1 }");
    let record = world.record();
    assert_eq!(seconds(&world), BTreeMap::from([(record.call_id.as_str(), 5)]));
    let [first, .., last] = world.seconds.as_slice() else { panic!("five") };
    let step = last.at.duration_since(first.at);
    assert_eq!(step, jiff::SignedDuration::from_secs(4), "a second apart each");
    assert!(last.at > record.started_at.expect("it started") && last.at < record.ended_at);
    assert_eq!((last.identity.scenario.as_str(), last.identity.target.as_str()), ("test", "lab"));
    let second = &last.second;
    assert_eq!((second.loss_pct, second.grade), (Some(0.0), Some(Grade::Good)));
    assert!(second.rtt_ms.is_some_and(|rtt| (20.0..21.0).contains(&rtt)), "10 ms each way: {second:?}");
    assert!(second.mos_cq.is_some_and(|mos| mos > 4.3) && second.level_dbov.is_some(), "{second:?}");
}

#[test]
fn the_jitter_of_the_record_is_the_95th_percentile_of_the_seconds_that_were_told() {
    let world = talk("{ calls: 1 }");
    let mut jitters: Vec<f64> = world.seconds.iter().filter_map(|second| second.second.jitter_ms).collect();
    jitters.sort_by(f64::total_cmp);
    let jitter = world.record().jitter_ms.expect("measured");
    assert!((jitters.last().expect("five") - jitter).abs() < 1e-6, "{jitters:?} {jitter}");
}

#[test]
fn of_more_legs_than_may_be_watched_a_counted_sample_is_told_each_to_its_end() {
    let world = talk("{ concurrent: 6, calls: 12 }");
    let told = seconds(&world);
    let progress = world.callers.progress();
    assert_eq!((progress.media_legs, progress.media_sampled), (12, told.len() as u64));
    // Each that ends leaves its place to the next that begins.
    assert_eq!(told.len() as u32, 2 * WATCHED_LEGS);
    assert!(told.values().all(|seconds| *seconds == 5), "{told:?}");
    let known: BTreeSet<&str> = world.records.iter().map(|record| record.call_id.as_str()).collect();
    assert!(told.keys().all(|call_id| known.contains(call_id)));
}

#[test]
fn a_registration_is_told_with_the_expiry_that_the_registrar_granted() {
    let world = talk("{ calls: 1 }");
    let [RegistrationRecord { class: Class::Ok, code: Some(200), rrd_ms, expires_s: Some(300) }] =
        world.registrations.as_slice()
    else {
        panic!("{:?}", world.registrations)
    };
    assert_eq!(*rrd_ms, world.record().rrd_ms);
    let steps = "[{ dial: { number: internal } }, { talk: { for: 1s } }, hangup]";
    let mut world = World::new(caller(steps, "{ calls: 1 }"));
    world.run(Duration::from_secs(20));
    assert_eq!(world.registrations, []);
}
