//! The judge against simulated truth: `judge [RESULTS] [SEED…]`, ten million results over fixed seeds and a fresh one by
//! default. See `tests/bench/judge`.

use std::process::ExitCode;

#[path = "../support/judge_truth/mod.rs"]
mod judge_truth;

use judge_truth::score::{Score, run};

/// Mean time between faults, minutes.
const EVERY: f64 = 20.0;
const SEEDS: [u64; 4] = [1, 2, 3, 4];

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).filter_map(|text| text.replace('_', "").parse::<u64>().ok());
    let results = arguments.next().unwrap_or(10_000_000);
    let mut seeds: Vec<u64> = arguments.collect();
    if seeds.is_empty() {
        seeds = SEEDS.into_iter().chain([u64::from(std::process::id()) << 20 | fresh()]).collect();
    }
    println!("seeds {seeds:?}, the last one fresh unless given; {results} results in all, and as many without a fault");
    let each = results / seeds.len() as u64;
    let (mut all, mut quiet) = (Score::default(), Score::default());
    for seed in seeds {
        all.add(run(seed, each, Some(EVERY)));
        quiet.add(run(seed ^ 0xF00D, each, None));
    }
    println!("\n| with faults | measured | goal |\n|---|---|---|\n{}", all.table());
    println!("| scope | faults | found | scope right |\n|---|---|---|---|\n{}", all.scopes());
    let (pages, rate) = (quiet.false_pages_of_ten_million(), quiet.rate());
    println!("| background only | measured | goal |\n|---|---|---|\n| results | {} | |", quiet.results);
    println!(
        "| false pages in 10 million results | {pages:.2} | ≤ 1 |\n| results judged in a second of CPU time | {rate:.0} | ≥ 200,000 |\n"
    );
    for note in all.notes.iter().chain(&quiet.notes) {
        println!("{note}");
    }
    let held = all.in_time() >= 0.99
        && all.scope_accuracy() >= 0.98
        && all.told_once() >= 0.99
        && all.false_pages_of_ten_million() <= 1.0
        && pages <= 1.0
        && all.widespread_of_one == 0;
    if held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A seed that nobody has chosen.
fn fresh() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(0) >> 44
}
