//! The judge against a small piece of simulated truth. `tests/bench/judge` runs the whole of it.

use crate::judge_truth::score::run;

/// Two hundred agents, twice four hours, a fault every eight minutes.
#[test]
fn the_judge_finds_the_faults_of_a_simulated_network_and_nothing_else() {
    let mut score = run(11, 48_000, Some(8.0));
    score.add(run(13, 48_000, Some(8.0)));
    let (table, notes) = (score.table() + &score.scopes(), score.notes.join("\n"));
    assert!(score.knowable >= 15, "{table}");
    assert_eq!((score.false_pages, score.widespread_of_one), (0, 0), "{table}{notes}");
    assert_eq!((score.found, score.ambiguous_right), (score.knowable, score.ambiguous), "{table}{notes}");
    assert!(score.scope_accuracy() >= 0.95 && score.told_once() >= 0.95, "{table}{notes}");
    assert!(score.delay(90.0) <= 2.0, "{table}{notes}");
}

#[test]
fn background_noise_alone_opens_nothing() {
    let score = run(12, 60_000, None);
    assert_eq!((score.opened, score.results), (0, 60_000), "{}", score.notes.join("\n"));
}
