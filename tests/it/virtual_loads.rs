//! Shapes of load against the simulated PBX in virtual time: what starts when, and how long it lasts.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use ringfleet::measure::{Figure, LatencyFrom, Tally, WindowBuilder};
use ringfleet::record::{CallRecord, Class, Role};
use ringfleet::scenario::compile::{self, Compiled, Input};

use crate::virtual_net::{Side, World, caller, compiled};
use crate::virtual_starved::judged_of;

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

/// Failures, the first that `each:` refuses and one in so many of the others are told whole; what is counted is the same.
#[test]
fn legs_told_as_figures_count_as_those_told_whole() {
    let run = |whole_every: u64| {
        let text = "scenario: sampled\ntarget: lab\nactors:\n  \
            out: { weight: 9, account: agents, steps: [{ dial: { number: internal, media: none } }, { wait: 1s }, hangup] }\n  \
            wrong: { weight: 1, account: agents, steps: [{ dial: { number: invalid } }] }\n\
            load: { rate: 2/s, calls: 100 }\nexpect: [each: { class: call.number_invalid }]\n";
        let mut world = World::sampling(compiled(text, ""), whole_every);
        world.run(5 * MINUTE);
        let (mut tally, mut window) = (Tally::new(LatencyFrom::Intended), WindowBuilder::new(LatencyFrom::Intended));
        let whole = world.records.iter().map(CallRecord::outcome);
        for outcome in whole.chain(world.counted.iter().map(|it| it.outcome)) {
            tally.add(&outcome);
            window.end(&outcome);
        }
        let delays = tally.figure(Figure::SetupMs).summary();
        let window = window.close(jiff::Timestamp::UNIX_EPOCH, 1.0, 0);
        let failures = world.records.iter().filter(|record| record.is_failed()).count();
        (world.records.len(), world.counted.len(), failures, (tally.legs(), tally.kpi(), delays, window))
    };
    let (every, sampled, few) = (run(1), run(20), run(1_000));
    assert_eq!((every.0, every.1, every.2), (100, 0, 10));
    // Of 90 successes each 20th from the first on, and all failures.
    assert_eq!((sampled.0, sampled.1, sampled.2), (10 + 5, 85, 10));
    // The first success is refused by `each:` as well, and told once.
    assert_eq!((few.0, few.1, few.2), (10 + 1, 89, 10));
    assert_eq!(every.3, sampled.3);
    assert_eq!(every.3, few.3);
}

/// Calls out, a hotline with its agent, and wrong numbers, 5 to 4 to 1. The agent stands behind the others in the file
/// and belongs to the customer's attempts.
fn mixed(load: &str) -> Compiled {
    let text = "scenario: mixed\ntarget: lab\nactors:\n  \
        out: { weight: 5, account: agents, steps: [{ dial: { number: internal, media: none } }, { wait: 1s }, hangup] }\n  \
        customer: { weight: 4, account: agents, when: agent.registered, \
        steps: [{ dial: { number: \"1001\", media: none } }, { wait: 1s }, hangup] }\n  \
        wrong: { weight: 1, account: agents, steps: [{ dial: { number: invalid, expect: { code: 404 } } }] }\n  \
        agent: { account: agents, registered: standing, steps: [{ answer: { within: 5s, media: none } }, talk] }\n";
    compiled(&format!("{text}load: {load}\n"), "")
}

/// The last word of each call_id, which names the actor, and how often it comes.
fn actors(world: &World) -> BTreeMap<String, usize> {
    let mut actors = BTreeMap::new();
    for record in &world.records {
        let actor = record.call_id.rsplit('-').next().unwrap_or_default();
        *actors.entry(actor.to_owned()).or_default() += 1;
    }
    actors
}

#[test]
fn a_mix_has_each_kind_of_attempt_as_often_as_its_weight_says() {
    let mut world = World::new(mixed("{ rate: 0.5/s, calls: 30 }"));
    world.run(5 * MINUTE);
    let expected = [("agent", 12), ("customer", 12), ("out", 15), ("wrong", 3)];
    assert_eq!(actors(&world), expected.map(|(actor, count)| (actor.to_owned(), count)).into());
    assert_eq!(world.primary.len(), 30, "a primary record for each attempt");
    for record in &world.records {
        let wanted = if record.call_id.ends_with("wrong") { Class::CallNumberInvalid } else { Class::Ok };
        assert_eq!((record.class, record.unmet.as_deref()), (wanted, None), "{record:#?}");
        // Who belongs to the same attempt has the same number, and knows of the other.
        let pair = record.call_id.ends_with("agent") || record.call_id.ends_with("customer");
        assert_eq!(record.paired_with.is_some(), pair, "{record:#?}");
    }
    let answered = world.records.iter().filter(|record| record.role == Role::Callee && record.is_answered()).count();
    assert_eq!(answered, 12);
    let again = {
        let mut world = World::new(mixed("{ rate: 0.5/s, calls: 30 }"));
        world.run(5 * MINUTE);
        world.records.iter().map(|record| record.call_id.clone()).collect::<Vec<_>>()
    };
    assert_eq!(again, world.records.iter().map(|record| record.call_id.clone()).collect::<Vec<_>>());
}

#[test]
fn attempts_of_the_warm_up_are_made_and_recorded_as_such() {
    let steps = "[{ dial: { number: internal, media: none } }, hangup]";
    let mut world = World::new(caller(steps, "{ rate: 10/s, calls: 50, warm_up: 2s }"));
    world.run(MINUTE);
    let warm = intended(&world).iter().filter(|at| **at < 2000).count();
    assert_eq!((world.records.len(), warm), (50, 20));
    for record in &world.records {
        assert_eq!(record.warm_up, record.intended_start.as_millisecond() < 2000, "{record:#?}");
    }
    // The warm-up begins with the load, not with the registrations before it.
    let text = "scenario: x\ntarget: lab\ncaller: { account: agents, registered: standing, steps: \
        [{ dial: { number: internal, media: none } }, hangup] }\nload: { rate: 10/s, calls: 30, warm_up: 1s }\n";
    let mut world = World::new(compiled(text, ""));
    world.run(MINUTE);
    assert_eq!(world.records.iter().filter(|record| record.warm_up).count(), 10);
}

/// Loads of every shape that make at least a hundred calls.
fn shapes() -> Vec<(&'static str, Compiled)> {
    let steps = "[{ dial: { number: internal, media: none } }, { wait: 1s }, hangup]";
    let drawn = "[{ dial: { number: internal, media: none } }, { wait: { exponential: 1s } }, hangup]";
    vec![
        ("constant", caller(steps, "{ rate: 20/s, calls: 150 }")),
        ("ramps", caller(steps, "{ rate: [{ to: 20/s, over: 5s }, { for: 3s }, { to: 10/s, over: 2s }] }")),
        ("steps", caller(steps, "{ rate: [{ to: 10/s, for: 3s }, { to: 20/s, for: 5s }, { to: 0/s, for: 2s }] }")),
        ("Poisson", caller(drawn, "{ rate: 20/s, calls: 150, arrivals: poisson }")),
        ("soak", caller(steps, "{ concurrent: 15, for: 20s }")),
        ("drawn soak", caller(drawn, "{ concurrent: 15, for: 20s, warm_up: 1s }")),
        (
            "mix",
            compiled(
                "scenario: mix\ntarget: lab\nactors:\n  \
                 out: { weight: 9, account: agents, steps: [{ dial: { number: internal, media: none } }, { wait: 1s }, hangup] }\n  \
                 wrong: { weight: 1, account: agents, steps: [{ dial: { number: invalid, expect: { code: 404 } } }] }\n\
                 load: { rate: 20/s, calls: 150, arrivals: poisson }\n",
                "",
            ),
        ),
    ]
}

#[test]
fn a_generator_that_keeps_up_is_not_limited_under_any_shape_of_load() {
    for (shape, compiled) in shapes() {
        let (world, generator) = judged_of(compiled, Duration::ZERO);
        assert!(world.records.len() >= 100, "{shape}: {}", world.records.len());
        assert_eq!((generator.limited_by.clone(), generator.dropped_starts), (vec![], 0), "{shape}");
    }
}

#[test]
fn a_generator_that_stands_still_is_limited_under_every_shape_of_load() {
    for (shape, compiled) in shapes() {
        let (world, generator) = judged_of(compiled, Duration::from_millis(1500));
        assert!(generator.is_limited(), "{shape}: {generator:#?}");
        assert!(world.records.iter().all(|record| record.unmet.is_none()), "{shape}: no fault of the far end");
    }
}

#[test]
fn no_shape_of_load_has_more_attempts_at_the_same_time_than_its_target_allows() {
    for (shape, mut compiled) in shapes() {
        compiled.plan.safety.max_concurrent = 7;
        let mut world = World::new(compiled);
        world.run(10 * MINUTE);
        assert_eq!(world.callers.progress().peak, 7, "{shape}");
    }
}

#[test]
fn a_closed_load_that_is_refused_at_once_keeps_to_the_rate_that_its_target_allows() {
    let mut refused = caller("[{ dial: { number: busy } }]", "{ concurrent: 50, for: 10s }");
    refused.plan.safety.max_cps = 20.0;
    let mut world = World::new(refused);
    world.run(MINUTE);
    let starts = intended(&world);
    let fullest =
        starts.iter().map(|from| starts.iter().filter(|at| **at >= *from && **at < *from + 1000).count()).max();
    assert!((199..=201).contains(&starts.len()), "{}", starts.len());
    assert!(fullest <= Some(21), "{fullest:?}");
}

/// What `check` says of a load at a target that allows little.
fn mistakes(actors: &str, load: &str) -> String {
    let text = format!("scenario: x\ntarget: t.yaml\n{actors}\nload: {load}\n");
    let target = "target: t\nsip: { server: pbx.example }\naccounts: { agents: { users: \"1001..1030\", password: \"${P}\" } }\n\
        numbers: { echo: \"2000\" }\ntrunks: { main: { contracted_calls: 3, select: { prefix: 9 } } }\n\
        safety: { allow: [\"^9?2[0-9]{3}$\"], emergency: TW, max_concurrent: 20, max_cps: 20, max_calls: 500, max_minutes: 10 }\n";
    let input = Input {
        path: Path::new("scenario.yaml"),
        text: &text,
        target: None,
        set: &[],
        env: &|_| Some("secret".into()),
        read: &|_| Ok(target.to_owned()),
    };
    compile::scenario(&input).map_or_else(|mistakes| mistakes.to_string(), |_| "accepted".to_owned())
}

#[test]
fn the_caps_of_a_target_hold_for_every_shape_of_load() {
    let caller = |steps: &str| format!("caller: {{ account: agents, steps: {steps} }}");
    let call = caller("[{ dial: { number: echo } }, { talk: { for: 500ms } }, hangup]");
    let long = caller("[{ dial: { number: echo } }, { talk: { for: { exponential: 5s } } }, hangup]");
    let table: [(&str, &str, &str); 12] = [
        (&call, "{ rate: 20/s, calls: 500 }", "accepted"),
        (&call, "{ rate: 21/s, calls: 500 }", "a rate of 21/s is more"),
        (&call, "{ rate: [{ to: 5/s, for: 5s }, { to: 30/s, over: 5s }] }", "a rate of 30/s is more"),
        (&call, "{ rate: [{ to: 5/s, for: 5s }, { to: 21/s, for: 1s }] }", "a rate of 21/s is more"),
        (&call, "{ rate: 10/s, calls: 500, arrivals: poisson }", "about 26 starts in the fullest second"),
        (&call, "{ rate: 5/s, for: 2m, arrivals: poisson }", "attempts is more"),
        (
            &call,
            "{ rate: [{ to: 1/s, for: 2m }, { to: 0/s, for: 2m }, { to: 1/s, for: 7m }] }",
            "a run of 659s is more",
        ),
        (&call, "{ concurrent: 21, calls: 100 }", "21 at the same time is more"),
        (&call, "{ concurrent: 5, for: 11m }", "a run of 11m is more"),
        (&call, "{ concurrent: 5, calls: 501 }", "501 attempts is more"),
        (&long, "{ rate: 1/s, calls: 100 }", "accepted"),
        (&long, "{ rate: 3/s, calls: 100 }", "about 35 at the same time is more"),
    ];
    for (actors, load, expected) in table {
        let shown = mistakes(actors, load);
        assert!(shown.contains(expected), "{load}: {shown}");
    }
}

#[test]
fn numbers_and_lines_of_a_rare_kind_of_attempt_are_guarded_as_any() {
    let mix = |rare: &str| {
        format!(
            "actors:\n  often: {{ weight: 99, account: agents, steps: [{{ dial: {{ number: echo }} }}, hangup] }}\n  \
             rare: {{ weight: 1, account: agents, steps: {rare} }}"
        )
    };
    let shown = |rare: &str, load: &str| mistakes(&mix(rare), load);
    assert!(shown("[{ dial: { number: \"110\" } }]", "{ calls: 2 }").contains("emergency number 110"));
    assert!(shown("[{ dial: { number: \"9110\" } }]", "{ calls: 2 }").contains("emergency number 110"));
    assert!(shown("[{ dial: { number: \"0800123\" } }]", "{ calls: 2 }").contains("`safety.allow`"));
    let trunk = "[{ dial: { number: \"2001\", trunk: main } }, { talk: { for: 10s } }]";
    // One in a hundred of two calls a second, each of ten seconds: now and then three of them at the same time.
    assert_eq!(shown(trunk, "{ rate: 2/s, calls: 300 }"), "accepted");
    let filled = shown(trunk, "{ concurrent: 20, calls: 500 }");
    assert!(filled.contains("5 calls would fill trunk `main`, which has 3"), "{filled}");
}

#[test]
fn registrations_before_the_load_are_no_starts_and_a_pause_between_steps_has_none() {
    let mut world = World::new(caller(
        "[{ dial: { number: internal, media: none } }, hangup]",
        "{ rate: [{ to: 5/s, for: 2s }, { to: 0/s, for: 10s }, { to: 5/s, for: 2s }] }",
    ));
    world.run(MINUTE);
    let starts = intended(&world);
    assert_eq!(starts.len(), 20);
    assert!(starts.iter().all(|at| *at < 2000 || *at >= 12_000), "{starts:?}");
    assert_eq!(world.sent(Side::Callers, "REGISTER"), [0u128; 0]);
}

#[test]
fn an_actor_that_waited_for_another_is_not_late() {
    let text = "scenario: x\ntarget: lab\nactors:\n  \
        first: { account: agents, steps: [register, { wait: 5s }] }\n  \
        second: { account: agents, when: first.ended, steps: [{ dial: { number: internal, media: none } }, hangup] }\n\
        load: { rate: 1/s, calls: 3, warm_up: 1s }\n";
    let mut world = World::new(compiled(text, ""));
    world.run(MINUTE);
    let second: Vec<_> = world.records.iter().filter(|record| record.call_id.ends_with("second")).collect();
    assert_eq!(second.len(), 3);
    assert!(second.iter().all(|record| record.late_ms == Some(0.0)), "{second:#?}");
    // Its attempt was to start when the other did.
    let warm: Vec<&str> = world.records.iter().filter(|it| it.warm_up).map(|it| it.call_id.as_str()).collect();
    assert_eq!(warm, ["run-000001-first", "run-000001-second"]);
}

#[test]
fn standing_registrations_are_asked_for_no_faster_than_calls_may_start() {
    let text = "scenario: x\ntarget: lab\ncaller: { account: agents, registered: standing, steps: \
        [{ dial: { number: internal, media: none } }, { wait: 5s }, hangup] }\nload: { rate: 4/s, calls: 20 }\n";
    let mut slow = compiled(text, "");
    slow.plan.safety.max_cps = 5.0;
    let mut world = World::new(slow);
    world.run(MINUTE);
    let sent = world.sent(Side::Callers, "REGISTER");
    // Twenty, each challenged once, one every 200 ms; then the load begins, and after it they are removed.
    let first: Vec<u128> = sent.iter().copied().filter(|at| *at < 4000).step_by(2).collect();
    assert_eq!(first.len(), 20, "{sent:?}");
    assert!(first.windows(2).all(|two| (190..=210).contains(&(two[1] - two[0]))), "{first:?}");
    let load = world.sent(Side::Callers, "INVITE")[0];
    assert!((3800..4000).contains(&load), "{load}");
    assert_eq!(world.records.len(), 20);
    // Stopped while it still registers, it asks for no more of them.
    let mut slow = compiled(text, "");
    slow.plan.safety.max_cps = 5.0;
    let mut world = World::new(slow);
    world.pass(Duration::from_millis(1050));
    world.stop();
    world.run(MINUTE);
    let asked = world.sent(Side::Callers, "REGISTER").len();
    assert_eq!(asked, 6 * 2 + 6, "six were asked for, challenged, and removed");
}
