//! The search for a rate against lines made of rules. Whole scenarios are in `tests/it/virtual_rates.rs`.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::*;
use crate::pace::search::{Of, Scope, Search};
use crate::record::Class;

fn settings() -> Settings {
    Settings {
        of: Of::CallRate,
        up_to: 40,
        step_every: Duration::ZERO,
        prove: 2,
        pauses: vec![Duration::from_secs(1), Duration::from_secs(5)],
        control: true,
        accounts: 10,
        sources: 1,
        callees_differ: true,
        exclusive: true,
        trial: Duration::from_secs(10),
        hold: Duration::ZERO,
        licence: None,
        provisioned: 0,
        max_tries: 100_000,
        max_under_way: 100,
    }
}

/// From a request to its answer.
const ANSWERS_IN: Duration = Duration::from_millis(20);

/// Runs a search against what a line accepts: by the time since the start, and who is up. Each turn of ours is as late as
/// `late` says.
fn search(
    settings: Settings,
    mut accepts: impl FnMut(Duration, usize) -> bool,
    late: impl Fn(u64) -> Duration,
) -> (Outcome, u64) {
    #[expect(clippy::disallowed_methods, reason = "any instant will do as the origin of virtual time")]
    let start = Instant::now();
    let (mut now, mut search, mut turns) = (start, Search::new(settings, start), 0);
    let (mut due, mut up): (Vec<(Instant, Try, Event)>, BTreeSet<Try>) = Default::default();
    let mut tries = 0;
    for _ in 0..2_000_000 {
        while let Some(action) = search.poll_action() {
            match action {
                Action::Start { number, how, .. } => {
                    tries += 1;
                    let event = if how == How::Control || accepts(now - start, up.len()) {
                        up.insert(number);
                        Event::Up
                    } else {
                        let class = Class::CallCongestion;
                        Event::Refused(Refusal { code: Some(503), reason: None, class, retry_after: None })
                    };
                    due.push((now + ANSWERS_IN, number, event));
                }
                Action::Release(number) => {
                    assert!(up.remove(&number), "{number} is not up");
                    due.push((now + ANSWERS_IN, number, Event::Ended));
                }
                Action::Confirm(_) | Action::SetAside(_) => panic!("{action:?}"),
            }
        }
        if search.is_done() {
            assert!(up.is_empty(), "still up: {up:?}");
            return (search.outcome().cloned().expect("it says what it found"), tries);
        }
        due.sort_by_key(|(at, ..)| *at);
        let news = due.first().map(|(at, ..)| *at);
        let turn = search.deadline().map(|at| at + late(turns));
        now = now.max(news.into_iter().chain(turn).min().expect("the search waits for nothing"));
        if news.is_some_and(|news| news <= now) {
            let (_, number, event) = due.remove(0);
            search.handle_event(now, number, event);
        } else {
            turns += 1;
            search.handle_timeout(now);
        }
    }
    panic!("no end: {search:?}");
}

/// A line that takes so many calls a second, one at a time.
fn per_second(rate: u32) -> impl FnMut(Duration, usize) -> bool {
    let mut free = Duration::ZERO;
    move |now, _| {
        let accepted = now >= free;
        free = if accepted { now.max(free) + Duration::from_secs(1) / rate - Duration::from_micros(1) } else { free };
        accepted
    }
}

fn on_time(_: u64) -> Duration {
    Duration::ZERO
}

#[test]
fn every_rate_up_to_the_highest_is_found_exactly() {
    for rate in 1..40 {
        let (outcome, _) = search(settings(), per_second(rate), on_time);
        let expected = (Some(Finding::CallRateLimited), Some(u64::from(rate)), Some(Scope::Shown), 2);
        assert_eq!((outcome.finding, outcome.measured, outcome.scope, outcome.proved), expected, "{}", outcome.text);
    }
}

#[test]
fn one_sentence_says_what_was_found() {
    let (outcome, _) = search(settings(), per_second(8), on_time);
    assert_eq!(
        outcome.text,
        "8 calls per second with none that failed; at 9 per second one was refused with 503, proved twice; a pause of \
         1000 ms was enough, and with 1 at the same time none failed that came more slowly"
    );
}

#[test]
fn a_trial_ends_with_the_first_call_that_fails() {
    let (outcome, tries) = search(Settings { up_to: 1000, max_under_way: 1000, ..settings() }, per_second(1), on_time);
    assert_eq!(outcome.measured, Some(1), "{}", outcome.text);
    assert!(tries < 100, "{tries}");
}

#[test]
fn less_than_one_call_a_second_is_said() {
    let mut free = Duration::ZERO;
    let line = move |now: Duration, _: usize| {
        let accepted = now >= free;
        free = if accepted { now + Duration::from_secs(4) } else { free };
        accepted
    };
    let (outcome, _) = search(settings(), line, on_time);
    assert_eq!((outcome.finding, outcome.measured), (Some(Finding::CallRateLimited), Some(0)), "{}", outcome.text);
}

#[test]
fn places_that_run_out_at_some_rate_are_no_limit_on_the_rate() {
    for places in 1..12 {
        let hold = Duration::from_millis(700);
        let (outcome, _) = search(Settings { hold, ..settings() }, |_, up| up < places, on_time);
        let expected = (Some(Finding::CallConcurrencyLimited), None);
        assert_eq!((outcome.finding, outcome.measured), expected, "{places}: {}", outcome.text);
    }
}

#[test]
fn a_line_that_accepts_nothing_more_is_blocked_and_one_that_never_did_is_down() {
    let mut banned = false;
    let mut line = per_second(8);
    let bans = move |now: Duration, up: usize| {
        banned |= !line(now, up);
        !banned
    };
    let (outcome, _) = search(settings(), bans, on_time);
    assert_eq!((outcome.finding, outcome.measured), (Some(Finding::CallBlocked), None), "{}", outcome.text);
    let (outcome, tries) = search(settings(), |_, _| false, on_time);
    assert_eq!((outcome.finding, outcome.measured), (Some(Finding::LineDown), Some(0)), "{}", outcome.text);
    assert_eq!(tries, 1 + 2, "the first, one each pause");
}

#[test]
fn no_limit_up_to_the_highest_rate_is_no_finding() {
    let (outcome, _) = search(settings(), |_, _| true, on_time);
    assert_eq!((outcome.finding, outcome.measured), (None, None));
    assert_eq!(outcome.text, "no limit within 40 calls per second: none failed, each time for 10 s");
}

#[test]
fn a_rate_that_we_could_not_keep_is_no_limit_of_the_line() {
    // Each turn is late, by more than the line bears: what is refused then is refused for our own bunches.
    let late = |turn: u64| if turn.is_multiple_of(7) { Duration::from_millis(90) } else { Duration::ZERO };
    let (outcome, _) = search(settings(), per_second(20), late);
    assert_eq!((outcome.finding, outcome.measured, outcome.scope), (None, None, None), "{}", outcome.text);
    assert!(outcome.text.starts_with("the search was stopped by our own side: at "), "{}", outcome.text);
    // And so is one at which starts were late although nothing was refused.
    let late = |turn: u64| if turn == 60 { Duration::from_secs(2) } else { Duration::ZERO };
    let (outcome, tries) = search(settings(), |_, _| true, late);
    assert_eq!(outcome.text, "no limit within 40 calls per second: none failed, each time for 10 s");
    let (_, without) = search(settings(), |_, _| true, on_time);
    assert!(tries > without, "the trial was made again: {tries} of {without}");
}

#[test]
fn guard_rails_end_the_search_and_say_so() {
    let (outcome, tries) = search(Settings { max_tries: 300, ..settings() }, |_, _| true, on_time);
    assert_eq!((outcome.finding, tries), (None, 50 + 100), "{}", outcome.text);
    assert_eq!(
        outcome.text,
        "the search was stopped by our own guard rails: it would place more than 300 calls (`safety.max_calls`); 10 \
         calls per second had passed"
    );
    let hold = Duration::from_secs(30);
    let (outcome, _) = search(Settings { max_under_way: 20, hold, ..settings() }, |_, _| true, on_time);
    assert!(outcome.text.contains("(`safety.max_concurrent`)"), "{}", outcome.text);
}
