//! A watch in virtual time whose calls end after five seconds, with its calendar, its judge and what that asks for.

use super::super::incidents::{Incidents, Noted};
use super::super::job::{Next, Outcome};
use super::*;
use crate::call::Finished;
use crate::record::{CallRecord, Class, Retry};
use crate::scenario::compile::{self, Input};
use crate::scenario::watch::Watch;
use crate::units::Random;

/// Seconds that a call takes.
const TAKES: u64 = 5;
/// And one that nothing is heard of.
const SILENT: u64 = 32;

/// A watch of a line of each of these users.
fn watch_of(users: &str, check: &str, rest: &str) -> Watch {
    let text =
        format!("watch: w\nchecks: [{{ name: call, scenario: call.yaml, every: 60s, agents: each{check} }}]\n{rest}\n");
    let call = "scenario: call\ntarget: pbx.yaml\ncaller: { account: agents, steps: [{ dial: { number: echo } }] }\n";
    let target = format!(
        "target: pbx\nsip: {{ server: \"sip:127.0.0.1\" }}\nnumbers: {{ echo: \"2000\" }}\n\
         accounts: {{ agents: {{ users: \"{users}\", password: \"${{P}}\" }} }}\n\
         safety: {{ max_calls: 100000000 }}\n"
    );
    let input = Input {
        path: std::path::Path::new("w.yaml"),
        text: &text,
        target: None,
        set: &[],
        env: &|_| Some("secret".to_owned()),
        read: &|path| Ok(if path.ends_with("call.yaml") { call.to_owned() } else { target.clone() }),
    };
    compile::watch(&input).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

fn lines_of(watch: &Watch) -> FxHashMap<Arc<str>, Line> {
    let checks = watch.checks.iter().map(|check| Arc::new(check.clone()));
    let of = |check: Arc<Check>| {
        let line = |line: crate::scenario::watch::Line| {
            let own = Line { check: Arc::clone(&check), member: 0, account: line.account };
            (line.recurring.name, own)
        };
        check.lines().into_iter().map(line).collect::<Vec<_>>()
    };
    checks.flat_map(of).collect()
}

/// How a call of a user ends that begins at this second.
type Rule<'a> = dyn Fn(&str, u64) -> Class + 'a;

struct World {
    now: Moment,
    second: u64,
    calendar: Calendar,
    lines: FxHashMap<Arc<str>, Line>,
    incidents: Incidents,
    repetitions: Repetitions,
    /// Calls under way: when they began, when they end and how.
    calls: Vec<(u64, u64, Class, Job)>,
    /// What was opened: when, where, how sure.
    opened: Vec<(u64, String, f64)>,
    placed: Vec<u64>,
    base: CallRecord,
}

impl World {
    fn new(watch: &Watch) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "an Instant to start from; the test never looks at the clock again"
        )]
        let instant = Instant::now();
        let now = Moment { instant, wall: "2026-11-21T12:00:00Z".parse().expect("valid") };
        let recurring = watch.checks.iter().flat_map(Check::lines).map(|line| line.recurring).collect();
        Self {
            now,
            second: 0,
            calendar: Calendar::new(watch.zone.clone(), recurring, Default::default(), now),
            lines: lines_of(watch),
            incidents: Incidents::new(watch, instant),
            repetitions: Repetitions::default(),
            calls: Vec::new(),
            opened: Vec::new(),
            placed: Vec::new(),
            base: serde_json::from_str(include_str!("../../tests/data/influx/record.json")).expect("valid"),
        }
    }

    fn line(&self, name: &str) -> (Arc<str>, Arc<Check>) {
        let (name, line) = self.lines.get_key_value(name).expect("a line");
        (Arc::clone(name), Arc::clone(&line.check))
    }

    fn pass(&mut self, seconds: u64, rule: &Rule<'_>) {
        for _ in 0..seconds {
            self.second += 1;
            self.now.instant += Duration::from_secs(1);
            self.now.wall += Duration::from_secs(1);
            self.calendar.handle_timeout(self.now);
            while let Some(event) = self.calendar.poll_event() {
                if let crate::pace::calendar::Event::Start { check, .. } = event {
                    let (line, check) = self.line(&check);
                    self.begin(Job::new(line, check, Purpose::Scheduled), rule);
                }
            }
            for (began, ends, class, job) in std::mem::take(&mut self.calls) {
                match ends <= self.second {
                    true => self.end(began, class, job, rule),
                    false => self.calls.push((began, ends, class, job)),
                }
            }
            while let Some((job, account)) = self.repetitions.poll(self.now, &mut self.calendar, &self.lines) {
                let pool = job.check.plan.actors[0].pool.as_ref().expect("a pool");
                let user = &pool.accounts[account.expect("its own")].user;
                assert!(job.line.ends_with(&format!("/{user}")), "of the same account");
                self.placed.push(self.second);
                self.begin(job, rule);
            }
            for news in self.incidents.news("w", self.now.instant, self.now.wall) {
                if news.change == crate::incident::Change::Opened {
                    self.opened.push((self.second, news.incident.place(), news.incident.confidence));
                }
            }
        }
    }

    fn begin(&mut self, job: Job, rule: &Rule<'_>) {
        let class = rule(job.line.rsplit('/').next().expect("a user"), self.second);
        let takes = if class == Class::CallTimeout { SILENT } else { TAKES };
        self.calls.push((self.second, self.second + takes, class, job));
    }

    fn record(&self, user: &str, class: Class, began: u64) -> CallRecord {
        let failed = class != Class::Ok;
        let odd = user.as_bytes().last().is_some_and(|digit| digit % 2 == 1);
        CallRecord {
            call_id: format!("w-{user}-{}", self.second),
            agent: Some(user.to_owned()),
            account: Some(user.to_owned()),
            trunk: Some(if odd { "cht" } else { "fet" }.into()),
            gateway: Some(format!("gw-{}", self.second % 3)),
            class,
            code: (!failed).then_some(200),
            retry: Retry::None,
            unmet: None,
            as_expected: None,
            started_at: Some(self.now.wall - Duration::from_secs(self.second - began)),
            ended_at: self.now.wall,
            ..self.base.clone()
        }
    }

    fn end(&mut self, began: u64, class: Class, job: Job, rule: &Rule<'_>) {
        let (line, check) = (Arc::clone(&job.line), Arc::clone(&job.check));
        let record = self.record(line.rsplit('/').next().expect("a user"), class, began);
        let finished = Finished { record, registration: None, primary: true, beside: false, owner: 1, answered: true };
        self.repetitions.ended(job.purpose);
        let (calendar, now) = (&mut self.calendar, self.now);
        match job.end(finished, None, || calendar.may_repeat(&line, now)) {
            Next::Again(job, outcomes) => {
                assert!(outcomes.is_empty(), "one try is all");
                self.begin(*job, rule);
            }
            Next::Over(outcomes) => {
                outcomes.iter().for_each(|outcome| self.judge(outcome, (&line, &check)));
                self.calendar.handle_end(&line, now);
            }
        }
    }

    fn judge(&mut self, outcome: &Outcome, line: (&Arc<str>, &Arc<Check>)) {
        let record = &outcome.finished.record;
        for what in self.incidents.handle_result(self.now.instant, record, outcome.purpose) {
            self.repetitions.ask(self.now.instant, &what, Some(line), outcome);
        }
    }

    /// The judge asks for a call of a line.
    fn ask(&mut self, id: u64, name: &str, after: u64) {
        let (line, check) = self.line(name);
        let user = name.rsplit('/').next().expect("a user");
        let labels = vec![(Label::Agent, user.to_owned()), (Label::Platform, "pbx".to_owned())];
        let what = Reproduce { id, call_id: format!("c-{id}"), after: Duration::from_secs(after), labels };
        let because = self.outcome(user, Class::CallForbidden);
        self.repetitions.ask(self.now.instant, &what, Some((&line, &check)), &because);
    }

    fn outcome(&self, user: &str, class: Class) -> Outcome {
        let record = self.record(user, class, self.second);
        let finished = Finished { record, registration: None, primary: true, beside: false, owner: 1, answered: true };
        Outcome { finished, files: None, purpose: Purpose::Scheduled, tried_again: false }
    }

    fn left_out(&self) -> Vec<(&'static str, u64)> {
        self.repetitions.counts().1.iter().map(|(why, count)| (*why, *count)).collect()
    }
}

fn well(_: &str, _: u64) -> Class {
    Class::Ok
}

/// When an agent is told half of whose calls are refused from a moment on, as a die says; how sure that is, and what calls it
/// took beside the checks.
fn told(seed: u64, rest: &str) -> (u64, String, f64, usize) {
    const FROM: u64 = 3_600;
    let half = |user: &str, second: u64| {
        let refused = user == "1005" && second >= FROM && Random::new(seed << 32 | second).unit() < 0.5;
        if refused { Class::CallForbidden } else { Class::Ok }
    };
    let mut world = World::new(&watch_of("1001..1020", "", rest));
    while world.opened.is_empty() {
        world.pass(1, &half);
    }
    let (second, place, confidence) = world.opened.remove(0);
    (second - FROM, place, (1000.0 * confidence).floor() / 1000.0, world.placed.len())
}

#[test]
fn an_agent_that_fails_half_its_calls_is_told_sooner_where_the_calls_that_the_judge_asks_for_are_placed() {
    let without = (1..=8).map(|seed| told(seed, "alerts: { reproduce_per_minute: 0 }"));
    let with = (1..=8).map(|seed| told(seed, ""));
    let of = |second, calls| (second, "single_agent 1005".to_owned(), 0.999, calls);
    let expected = [415, 595, 415, 535, 355, 715, 415, 355].map(|second| of(second, 0));
    assert_eq!(without.collect::<Vec<_>>(), expected);
    let expected = [(244, 3), (157, 3), (331, 8), (169, 2), (244, 3), (517, 3), (355, 7), (295, 4)];
    assert_eq!(with.collect::<Vec<_>>(), expected.map(|(second, calls)| of(second, calls)));
}

#[test]
fn a_failure_whose_repetition_failed_is_asked_for_once_more_and_not_at_once() {
    let mut world = World::new(&watch_of("1001..1020", "", ""));
    world.pass(600, &well);
    let mut asked = |user: &str, retry: Retry| {
        let record = CallRecord { retry, ..world.record(user, Class::CallForbidden, world.second) };
        let asked = world.incidents.handle_result(world.now.instant, &record, Purpose::Scheduled);
        asked.iter().map(|what| what.after).collect::<Vec<_>>()
    };
    assert_eq!(asked("1001", Retry::Reproduced), [Duration::from_secs(22)]);
    assert_eq!(asked("1002", Retry::Transient), [Duration::ZERO; 0]);
    assert_eq!(asked("1003", Retry::None), [Duration::ZERO], "one that was not tried again");
}

#[test]
fn a_failure_that_was_tried_again_and_failed_in_another_way_is_not_tried_a_third_time_at_once() {
    let mut world = World::new(&watch_of("1001..1020", "", ""));
    // Every call of the agent fails, each in another way than the one before.
    let turns = std::cell::Cell::new(0);
    let rule = |user: &str, second: u64| {
        if user != "1005" || second < 600 {
            return Class::Ok;
        }
        turns.set(turns.get() + 1);
        if turns.get() % 2 == 1 { Class::CallForbidden } else { Class::CallNetworkFailed }
    };
    world.pass(660, &rule);
    assert_eq!((turns.get(), &world.placed[..]), (2, &[][..]));
    assert_eq!(world.left_out(), [("tried_again", 1)]);
}

#[test]
fn an_answer_is_judged_again_after_a_kill_as_the_answer_that_it_was() {
    let world = World::new(&watch_of("1001..1002", "", ""));
    let record = world.record("1001", Class::CallForbidden, 0);
    let noted = Noted::new(world.now.wall, &record, Purpose::Answer(7)).expect("a result");
    let mut json = serde_json::to_value(&noted).expect("serialises");
    let purpose =
        |json: &serde_json::Value| serde_json::from_value::<Noted>(json.clone()).expect("reads back").purpose();
    assert_eq!(purpose(&json), Purpose::Answer(7));
    // As an earlier version wrote it.
    json.as_object_mut().expect("an object").remove("reproduces");
    assert_eq!(purpose(&json), Purpose::Scheduled);
}

#[test]
fn a_call_is_placed_when_it_is_due_and_holds_its_line_until_it_has_ended() {
    let mut world = World::new(&watch_of("1001..1002", "", ""));
    world.ask(1, "call/1001", 0);
    let (job, account) = world.repetitions.poll(world.now, &mut world.calendar, &world.lines).expect("it is due");
    assert_eq!((&*job.line, job.purpose, account), ("call/1001", Purpose::Answer(1), Some(0)));
    assert_eq!(world.calendar.begin("call/1001", world.now), Err(crate::pace::calendar::WhyNot::UnderWay));
    // One of an agent and request at a time.
    world.ask(2, "call/1001", 0);
    assert_eq!(world.left_out(), [("outstanding", 1)]);
    world.repetitions.ended(job.purpose);
    world.calendar.handle_end("call/1001", world.now);
    world.ask(3, "call/1001", 10);
    assert!(world.repetitions.poll(world.now, &mut world.calendar, &world.lines).is_none(), "not due");
    world.now.instant += Duration::from_secs(10);
    assert!(world.repetitions.poll(world.now, &mut world.calendar, &world.lines).is_some());
    assert_eq!(world.repetitions.counts().0, 2);
}

#[test]
fn no_call_is_placed_in_a_maintenance_over_a_budget_or_of_a_check_that_wants_none() {
    let maintained = ", maintenance: [{ cron: \"0 12 * * *\", for: 2m }]";
    for (check, why) in [
        (maintained, "maintenance"),
        (", budget: { per_day: 1 }", "budget"),
        (", budget: { per_number: 1 }", "budget"),
        (", reproduce: 0", "reproduce_0"),
    ] {
        let mut world = World::new(&watch_of("1001..1002", check, ""));
        if why == "budget" {
            world.calendar.begin("call/1001", world.now).expect("the first of the day");
            world.calendar.handle_end("call/1001", world.now);
        }
        world.ask(1, "call/1001", 0);
        assert!(world.repetitions.poll(world.now, &mut world.calendar, &world.lines).is_none(), "{check}");
        assert_eq!(world.left_out(), [(why, 1)], "{check}");
        world.ask(2, "call/1001", 0);
        assert_eq!(world.left_out(), [(why, 1)], "{check}: it may be asked for again");
    }
}

#[test]
fn a_call_whose_check_is_gone_or_another_since_it_was_asked_for_is_not_placed() {
    let other = watch_of("1001..1003", "", "");
    for lines in [FxHashMap::default(), lines_of(&other)] {
        let mut world = World::new(&watch_of("1001..1002", "", ""));
        world.ask(1, "call/1001", 0);
        assert!(world.repetitions.poll(world.now, &mut world.calendar, &lines).is_none());
        assert_eq!(world.left_out(), [("gone", 1)]);
    }
    // A check that calls as before, and comes at other times, is the same one.
    let mut world = World::new(&watch_of("1001..1002", "", ""));
    let same = lines_of(&watch_of("1001..1002", ", jitter: 5s", ""));
    world.ask(1, "call/1001", 0);
    assert!(world.repetitions.poll(world.now, &mut world.calendar, &same).is_some());
}

#[test]
fn ten_thousand_requests_at_once_are_a_few_calls_at_a_time() {
    let mut world = World::new(&watch_of("10001..20000", ", budget: { per_day: 1 }", ""));
    for n in 0..10_000 {
        world.ask(n, &format!("call/{}", 10_001 + n), 22);
    }
    assert_eq!(world.left_out(), [("too_many", 10_000 - WAITING as u64)]);
    // Nothing but these calls.
    let none = Moment { wall: world.now.wall, ..world.now };
    let (mut now, mut ends, mut placed) = (none, Vec::new(), Vec::new());
    for second in 0..60_u64 {
        ends.retain(|(at, purpose)| {
            if *at == second {
                world.repetitions.ended(*purpose);
            }
            *at > second
        });
        while let Some((job, _)) = world.repetitions.poll(now, &mut world.calendar, &world.lines) {
            ends.push((second + TAKES, job.purpose));
            placed.push(second);
        }
        now.instant += Duration::from_secs(1);
    }
    assert_eq!(placed, [[22; AT_ONCE], [27; AT_ONCE], [32; AT_ONCE]].concat());
    let left_out = [("late", WAITING as u64 - 15), ("too_many", 10_000 - WAITING as u64)];
    assert_eq!(world.left_out(), left_out);
}

#[test]
fn ten_thousand_failures_at_once_after_a_network_return_ask_for_no_storm_of_calls() {
    let mut world = World::new(&watch_of("1001..1020", "", ""));
    world.pass(600, &well);
    let mut asked = 0;
    for n in 0..10_000 {
        let user = (1001 + n % 20).to_string();
        let record = world.record(&user, Class::TransportUnreachable, world.second);
        let record = CallRecord { retry: Retry::Reproduced, ..record };
        asked += world.incidents.handle_result(world.now.instant, &record, Purpose::Scheduled).len();
    }
    assert_eq!(asked, 20);
}

#[test]
fn nothing_is_placed_once_the_watch_ends() {
    let mut world = World::new(&watch_of("1001..1002", "", ""));
    world.ask(1, "call/1001", 0);
    world.repetitions.close();
    world.ask(2, "call/1002", 0);
    assert!(world.repetitions.poll(world.now, &mut world.calendar, &world.lines).is_none());
    assert_eq!((world.left_out(), world.repetitions.counts().0), (vec![("stopping", 2)], 0));
}

#[test]
fn a_site_that_is_silent_is_told_once_the_first_calls_have_waited_their_32_seconds() {
    let mut world = World::new(&watch_of("1001..1020", "", ""));
    world.pass(1800, &well);
    world.pass(120, &|_, _| Class::CallTimeout);
    let (second, place, _) = world.opened.remove(0);
    // 79 s where they were held until they had been tried again.
    assert_eq!(second - 1800, 47);
    assert!(place.contains("probe_site tpe-1"), "{place}");
}
