//! The search for a limit against the simulated PBX, whole scenarios in virtual time.

use std::time::Duration;

use ringfleet::call::Found;
use ringfleet::record::{Class, Finding};

use crate::virtual_net::{World, compiled};

/// Runs a scenario of the folder to its end.
fn found(name: &str, change: &[(&str, &str)]) -> (Found, World) {
    let path = crate::scenarios::root().join("scenarios").join(name);
    let mut text = std::fs::read_to_string(path).expect("readable");
    for (from, to) in change {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    run(&text, "")
}

fn run(text: &str, lab: &str) -> (Found, World) {
    let mut world = World::new(compiled(text, lab));
    world.run(Duration::from_secs(3600));
    assert!(world.done, "not over after an hour");
    assert_eq!(world.found.len(), 1);
    (world.found[0].clone(), world)
}

#[test]
fn the_trunk_of_the_lab_holds_five_calls_and_the_sixth_is_refused() {
    let (found, world) = found("trunk-saturation.yaml", &[]);
    let outcome = &found.outcome;
    assert_eq!((outcome.finding, outcome.measured), (Some(Finding::CallTrunkSaturated), Some(5)), "{}", outcome.text);
    let refusal = outcome.refusal.as_ref().expect("refused");
    assert_eq!(refusal.code, Some(503));
    assert_eq!(refusal.reason.as_deref(), Some("call attempt had over the max concurrent calls"));
    assert_eq!(outcome.proved, 2);
    // Every leg was hung up, and the refusals are what the search came for.
    assert!(world.records.iter().all(|record| !record.is_failed()), "{:?}", world.records);
    let refused = world.records.iter().filter(|record| record.class == Class::CallCongestion).count();
    assert_eq!(refused, 1 + 2 + 2, "the climb, two rounds, two pauses");
    assert!(found.proof.iter().all(|id| world.records.iter().any(|record| record.call_id == *id)));
}

#[test]
fn the_licence_of_a_lab_is_found_and_proved_by_the_account_that_was_refused() {
    let lab = std::fs::read_to_string(crate::scenarios::root().join("scenarios/labs/licence.yaml")).expect("readable");
    let text = std::fs::read_to_string(crate::scenarios::root().join("scenarios/registration-over-licence.yaml"));
    let (found, world) = run(&text.expect("readable"), &lab);
    let outcome = &found.outcome;
    assert_eq!((outcome.finding, outcome.measured), (Some(Finding::RegLicenceExceeded), Some(5)), "{}", outcome.text);
    assert_eq!(outcome.refusal.as_ref().and_then(|refusal| refusal.code), Some(403));
    assert!(world.records.iter().all(|record| !record.is_failed()), "{:?}", world.records);
}
