//! What disturbs a watch itself, in virtual time: a heap of results at once, a file that is read again and a calendar that is
//! set in mid-incident.

use std::time::{Duration, Instant};

use super::tests::{watch, watch_of};
use super::*;
use crate::record::{Class, Retry};

/// Agents, each called once a minute, every second of them over either trunk.
const AGENTS: u64 = 20;

/// A watch in virtual time.
struct Desk {
    begin: Instant,
    second: u64,
    /// By how much the calendar was set, seconds.
    set_by: i64,
    incidents: Incidents,
    base: CallRecord,
    /// What was told: title and dedup key.
    told: Vec<(String, String)>,
    /// What a watch would have on disk.
    noted: Vec<Noted>,
}

impl Desk {
    fn new() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "an Instant to start from; the test never looks at the clock again"
        )]
        let begin = Instant::now();
        let text = include_str!("../../tests/data/influx/record.json");
        let base: CallRecord = serde_json::from_str(text).expect("valid");
        let incidents = Incidents::new(&watch(), begin);
        Self { begin, second: 0, set_by: 0, incidents, base, told: Vec::new(), noted: Vec::new() }
    }

    fn now(&self) -> Instant {
        self.begin + Duration::from_secs(self.second)
    }

    fn wall(&self) -> Timestamp {
        Timestamp::from_second(1_774_744_200 + self.second as i64 + self.set_by).expect("in range")
    }

    /// A call of an agent, with this class.
    fn result(&mut self, agent: u64, class: Class) {
        let failed = class != Class::Ok;
        let user = (1001 + agent).to_string();
        let record = CallRecord {
            call_id: format!("w-{}-{agent}", self.second),
            agent: Some(user.clone()),
            account: Some(user),
            trunk: Some(if agent.is_multiple_of(2) { "cht" } else { "fet" }.into()),
            gateway: Some(format!("gw-{}", agent % 4)),
            class,
            code: (!failed).then_some(200),
            retry: if failed { Retry::Reproduced } else { Retry::None },
            unmet: None,
            as_expected: None,
            started_at: Some(self.wall()),
            ended_at: self.wall(),
            ..self.base.clone()
        };
        self.noted.extend(Noted::new(self.wall(), &record, Purpose::Scheduled));
        self.incidents.handle_result(self.now(), &record, Purpose::Scheduled);
    }

    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.second += 1;
            let (now, wall) = (self.now(), self.wall());
            let told = self.incidents.news("w", now, wall).into_iter().filter(|news| news.is_told);
            self.told.extend(told.map(|news| (news.message.title, news.message.dedup_key)));
        }
    }

    /// Minutes in which each agent is called once; those over `cht` fail where it refuses.
    fn minutes(&mut self, minutes: u64, refuses: bool) {
        self.minutes_of(
            minutes,
            |agent| if refuses && agent.is_multiple_of(2) { Class::CallNetworkFailed } else { Class::Ok },
        );
    }

    /// Minutes in which each agent is called once, with the class that is its own.
    fn minutes_of(&mut self, minutes: u64, class: impl Fn(u64) -> Class) {
        for _ in 0..minutes {
            for agent in 0..AGENTS {
                self.result(agent, class(agent));
                self.pass(60 / AGENTS);
            }
        }
    }

    /// Titles since the last question.
    fn titles(&mut self) -> Vec<String> {
        self.told.drain(..).map(|(title, _)| title).collect()
    }
}

#[test]
fn ten_thousand_results_at_once_after_a_network_return_are_one_incident_and_one_end() {
    let mut desk = Desk::new();
    desk.minutes(10, false);
    desk.minutes_of(5, |_| Class::TransportUnreachable);
    // What was held up in that time ends in the same moment, none of it well.
    for n in 0..10_000 {
        desk.result(n % 200, Class::TransportUnreachable);
    }
    desk.pass(60);
    let opened = desk.titles();
    assert_eq!(opened.len(), 1, "{opened:?}");
    assert!(opened[0].ends_with(" opened"), "{opened:?}");
    // As many that hold, in one moment, and then a line that is well.
    for n in 0..10_000 {
        desk.result(n % 200, Class::Ok);
    }
    desk.minutes(30, false);
    let closed = desk.titles();
    assert_eq!(closed.len(), 1, "{closed:?}");
    assert!(closed[0].ends_with(" closed"), "{closed:?}");
    assert_eq!(desk.incidents.open().count(), 0);
}

#[test]
fn ten_thousand_failures_in_one_moment_with_calls_that_hold_before_and_after_are_a_brief_interruption() {
    let mut desk = Desk::new();
    desk.minutes(10, false);
    for n in 0..10_000 {
        desk.result(n % 200, Class::TransportUnreachable);
    }
    desk.minutes(10, false);
    assert_eq!(desk.titles(), [""; 0]);
    assert_eq!(desk.incidents.open().count(), 0);
}

#[test]
fn ten_thousand_calls_that_hold_at_once_tell_nobody_anything() {
    let mut desk = Desk::new();
    desk.minutes(10, false);
    for n in 0..10_000 {
        desk.result(n % 200, Class::Ok);
    }
    desk.minutes(10, false);
    assert_eq!(desk.titles(), [""; 0]);
}

#[test]
fn what_came_after_the_memory_was_written_is_judged_again_after_a_kill() {
    let mut desk = Desk::new();
    desk.minutes(10, false);
    let text = serde_json::to_string(&desk.incidents.memory(desk.wall())).expect("serialises");
    desk.noted.clear();
    // A minute of it, of which a trunk refuses half: too little to tell anybody.
    desk.minutes_of(1, |agent| if agent < 4 && agent.is_multiple_of(2) { Class::CallNetworkFailed } else { Class::Ok });
    assert_eq!(desk.titles(), [""; 0]);
    // Killed here; back after 20 s.
    let noted = serde_json::to_string(&desk.noted).expect("serialises");
    let before = desk.incidents.memory(desk.wall());
    let memory: Memory = serde_json::from_str(&text).expect("reads back");
    let noted: Vec<Noted> = serde_json::from_str(&noted).expect("reads back");
    assert_eq!(noted.len(), 20);
    desk.second += 20;
    let (now, wall) = (desk.now(), desk.wall());
    desk.incidents = Incidents::restored(&watch(), memory, &noted, now, wall);
    let learnt = |memory: &Memory| {
        let judge = serde_json::to_value(&memory.judge).expect("serialises");
        let failures = judge["log"]["failures"].as_array().expect("a list").clone();
        (judge["values"].clone(), failures)
    };
    let after = desk.incidents.memory(wall);
    assert_eq!(learnt(&before), learnt(&after), "baselines, counts and suspicions are those of before the kill");
    assert_eq!(learnt(&after).1.len(), 4, "two that failed, and the repetition of each");
    desk.minutes(5, true);
    assert_eq!(desk.titles(), ["[critical] widespread: trunk cht line.down opened"]);
}

#[test]
fn a_file_that_is_read_again_in_mid_incident_tells_it_neither_twice_nor_never() {
    let mut desk = Desk::new();
    desk.minutes(10, false);
    desk.minutes(5, true);
    assert_eq!(desk.titles(), ["[critical] widespread: trunk cht line.down opened"]);
    let mut other = watch();
    other.alerts.window = Duration::from_secs(240);
    other.alerts.widespread_agents = 3;
    let (now, wall) = (desk.now(), desk.wall());
    desk.incidents.replace(&other, now, wall);
    assert_eq!(desk.incidents.open().count(), 1);
    desk.minutes(10, true);
    assert_eq!(desk.titles(), [""; 0], "it is known");
    desk.minutes(20, false);
    assert_eq!(desk.titles(), ["[critical] widespread: trunk cht line.down closed"]);
}

#[test]
fn a_calendar_that_is_set_by_an_hour_either_way_in_mid_incident_tells_nothing_twice_and_loses_nothing() {
    for set_by in [3600, -3600] {
        let mut desk = Desk::new();
        desk.minutes(10, false);
        desk.minutes(5, true);
        let opened: Vec<(String, String)> = desk.told.drain(..).collect();
        assert_eq!(opened.len(), 1, "{set_by}: {opened:?}");
        desk.set_by = set_by;
        desk.minutes(5, true);
        // It is over, and back within the hour of the throttle: an hour on the clock on the wall is none.
        desk.minutes(10, false);
        let closed: Vec<(String, String)> = desk.told.drain(..).collect();
        assert_eq!(closed.len(), 1, "{set_by}: {closed:?}");
        assert_eq!(closed[0].1, opened[0].1, "{set_by}: the same key at both ends");
        desk.minutes(10, true);
        assert_eq!(desk.titles(), [""; 0], "{set_by}: the hour of the throttle is not over");
    }
}

/// Six agents, each calling one number over `fet` and two over `cht` every two seconds, at offsets of their own.
#[test]
fn two_numbers_of_a_trunk_that_are_called_every_two_seconds_are_told_as_the_trunk() {
    let checks = ["fine", "dead", "gone"]
        .map(|name| format!("{{ name: {name}, scenario: call.yaml, every: 2s, agents: each }}"));
    let watch = watch_of(&checks.join(", "));
    for seed in 0..20_u64 {
        let mut desk = Desk::new();
        desk.incidents = Incidents::new(&watch, desk.begin);
        let mut told = Vec::new();
        for tenth in 0..1_200_u64 {
            let now = desk.begin + Duration::from_millis(100 * tenth);
            desk.second = tenth / 10;
            for (check, agent) in (0..3).flat_map(|check| (0..6).map(move |agent| (check, agent))) {
                let offset = (seed * 31 + agent * 7 + check * 13 + agent * check * seed) % 20;
                if tenth % 20 != offset {
                    continue;
                }
                let (to, trunk) = [("2000", "fet"), ("3501", "cht"), ("3502", "cht")][check as usize];
                let failed = check > 0 && tenth >= 600;
                let user = (1001 + agent).to_string();
                let record = CallRecord {
                    call_id: format!("w-{tenth}-{agent}-{check}"),
                    agent: Some(user.clone()),
                    account: Some(user),
                    to: Some(to.into()),
                    hotline: None,
                    gateway: None,
                    carrier: None,
                    trunk: Some(trunk.into()),
                    class: if failed { Class::CallNetworkFailed } else { Class::Ok },
                    code: Some(if failed { 503 } else { 200 }),
                    retry: if failed { Retry::Reproduced } else { Retry::None },
                    unmet: None,
                    as_expected: None,
                    started_at: Some(desk.wall()),
                    ended_at: desk.wall(),
                    ..desk.base.clone()
                };
                desk.incidents.handle_result(now, &record, Purpose::Scheduled);
            }
            let news = desk.incidents.news("w", now, desk.wall());
            told.extend(news.into_iter().filter(|news| news.is_told).map(|news| news.message.title));
        }
        assert_eq!(told, ["[critical] widespread: trunk cht line.down opened"], "offsets of {seed}");
    }
}
