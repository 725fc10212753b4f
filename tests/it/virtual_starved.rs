//! A process that gets no CPU, in virtual time: it says so of itself and does not blame a far end that is perfect.

use std::collections::BTreeMap;
use std::time::Duration;

use ringfleet::measure::{BackOff, LatencyFrom, Tally, Totals};
use ringfleet::record::Class;
use ringfleet::report::{Generator, Health};
use ringfleet::scenario::compile::Compiled;

use crate::virtual_net::{World, caller};

const STOPPED: Duration = Duration::from_millis(1500);

/// What the generator says of itself after calls at 10/s whose process was stopped for a while after two seconds.
fn judged(steps: &str, calls: u64, stopped: Duration) -> (World, Generator) {
    judged_of(caller(steps, &format!("{{ rate: 10/s, calls: {calls} }}")), stopped)
}

/// The same of any load.
pub(crate) fn judged_of(compiled: Compiled, stopped: Duration) -> (World, Generator) {
    let planned = compiled.plan.load.planned();
    let mut world = World::new(compiled);
    world.pass(Duration::from_secs(2));
    world.freeze(stopped);
    world.run(Duration::from_secs(600));
    let mut tally = Tally::new(LatencyFrom::Intended);
    world.records.iter().for_each(|record| tally.add(&record.outcome()));
    let elapsed = world.now - world.start;
    let totals = Totals {
        tally,
        planned,
        dropped: world.dropped,
        back_off: BackOff::default(),
        warm_up: 0,
        ended_early: None,
        closed: false,
        beside: BTreeMap::new(),
        peak_concurrent: 0,
        peak_cps: 0.0,
        elapsed,
    };
    let generator = Generator::new(&totals, Health::default(), false);
    (world, generator)
}

#[test]
fn a_stopped_process_blames_itself_for_the_gap_in_the_echo() {
    let (world, generator) = judged("[{ dial: { number: echo } }, { talk: { for: 5s } }, hangup]", 15, STOPPED);
    assert!(generator.is_limited(), "{generator:#?}");
    assert_eq!(generator.stalled_attempts, 15, "all were under way");
    assert!(generator.stalled_ms_max.is_some_and(|stood| (1400.0..=1600.0).contains(&stood)), "{generator:#?}");
    for record in &world.records {
        assert!(matches!(record.class, Class::Ok | Class::ProbeStalled), "{record:#?}");
    }
    assert!(world.records.iter().any(|record| record.class == Class::ProbeStalled), "an echo had a gap");
}

#[test]
fn starts_that_were_due_meanwhile_are_late_or_dropped_and_counted() {
    let (world, generator) = judged("[{ dial: { number: echo, media: none } }, hangup]", 200, STOPPED);
    assert!(generator.is_limited(), "{generator:#?}");
    assert_eq!(world.records.len() as u64 + world.dropped, 200);
    assert_eq!(
        (generator.dropped_starts, generator.late_starts),
        (4, 9),
        "more than a second late, and more than 100 ms"
    );
    assert!(world.records.iter().all(|record| !record.is_failed()), "{:#?}", world.records);
}

#[test]
fn a_response_that_came_in_time_is_believed_although_it_is_read_after_the_timer_was_due() {
    // The INVITE goes out 10 ms before the standstill, which is longer than Timer B.
    let steps = "[{ dial: { number: echo, media: none, answer_within: 5s } }, hangup]";
    let mut world = World::new(caller(steps, "{ calls: 1 }"));
    world.pass(Duration::from_millis(50));
    world.freeze(Duration::from_secs(40));
    world.run(Duration::from_secs(120));
    let record = world.record();
    assert!(record.setup_ms.is_some_and(|setup| setup < 1000.0), "{record:#?}");
    assert_ne!(record.class, Class::CallTimeout);
    assert!(record.stalled_ms.is_some_and(|stood| stood > 39_000.0), "{record:#?}");
}

#[test]
fn a_worker_that_is_never_late_has_no_standstill() {
    let (world, generator) =
        judged("[{ dial: { number: echo } }, { talk: { for: 2s } }, hangup]", 30, Duration::from_millis(50));
    assert!(!generator.is_limited(), "{generator:#?}");
    assert_eq!((generator.stalled_attempts, generator.stalled_ms_max), (0, None));
    assert!(world.records.iter().all(|record| record.class == Class::Ok && record.stalled_ms.is_none()));
}
