//! Shapes of load against the simulated PBX in virtual time: what starts when, and how long it lasts.

use std::time::Duration;

use crate::virtual_net::{World, caller};

const MINUTE: Duration = Duration::from_secs(60);

/// When attempts were intended to start, ms from the begin of the load, in the order of their index.
fn intended(world: &World) -> Vec<i64> {
    let mut records: Vec<_> = world.primary.iter().collect();
    records.sort_by_key(|record| record.call_id.clone());
    records.iter().map(|record| record.intended_start.as_millisecond()).collect()
}

#[test]
fn calls_last_as_long_as_their_distribution_says_and_the_same_seed_repeats_the_run() {
    let run = |seed: u64| {
        let steps = "[{ dial: { number: internal, media: none } }, { talk: { for: { exponential: 20s } } }, hangup]";
        let load = format!("{{ rate: 2/s, calls: 400, arrivals: poisson, seed: {seed} }}");
        let mut world = World::new(caller(steps, &load));
        world.run(20 * MINUTE);
        let mut durations: Vec<_> = world
            .records
            .iter()
            .map(|record| (record.call_id.clone(), record.duration_ms.expect("answered")))
            .collect();
        durations.sort_by(|one, other| one.0.cmp(&other.0));
        (intended(&world), durations)
    };
    let (starts, durations) = run(1);
    assert_eq!((starts.len(), durations.len()), (400, 400));
    let acd = durations.iter().map(|(_, ms)| ms / 1e3).sum::<f64>() / 400.0;
    // The standard error of an exponential mean of 400 is a twentieth of it.
    assert!((acd - 20.0).abs() < 4.0, "{acd}");
    let length = starts[399] as f64 / 1e3;
    assert!((length - 200.0).abs() < 50.0, "{length}");
    let gaps: Vec<i64> = starts.windows(2).map(|two| two[1] - two[0]).collect();
    assert!(gaps.iter().any(|gap| *gap < 20) && gaps.iter().any(|gap| *gap > 2000), "they come at random");
    assert_eq!(run(1), (starts.clone(), durations.clone()));
    let other = run(2);
    assert!(other.0 != starts && other.1 != durations);
}
