//! What the results of a watch come to: who is hit, and which news of it are told. No clock, no files.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::job::Purpose;
use crate::incident::{
    Change, Config, Decision, Incident, Judge, Label, Message, Output, Reproduce, Sample, State, Throttle,
};
use crate::record::{CallRecord, Direction};
use crate::scenario::plan::{Target, Trunk};
use crate::scenario::watch::Watch;

/// The judge of a watch, and what it has told.
pub(super) struct Incidents {
    judge: Judge,
    throttle: Throttle,
    /// Incidents whose message the throttle holds back. Those that are still open when it lets go are told then.
    held: BTreeMap<String, Change>,
    /// What the judge said and was not asked for yet.
    changed: VecDeque<(Change, Box<Incident>)>,
    /// When the judge has something to do by itself.
    due: Instant,
    /// When a message that is held back is looked at again.
    look_at: Instant,
    /// By target and trunk: the digits before a number that choose the trunk.
    prefixes: Prefixes,
}

type Prefixes = FxHashMap<(String, String), String>;

/// What outlives a restart. To be stored with each message that is sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Memory {
    judge: State,
    throttle: Throttle,
    held: BTreeMap<String, Change>,
    /// When it was so.
    at: Timestamp,
}

/// A result that a memory does not have yet.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Noted {
    at: Timestamp,
    control: bool,
    /// The request of the judge that it answers.
    #[serde(default)]
    reproduces: Option<u64>,
    record: CallRecord,
}

impl Noted {
    /// A result that came at this time; `None` for one that is not judged by itself.
    pub(super) fn new(at: Timestamp, record: &CallRecord, purpose: Purpose) -> Option<Self> {
        let (control, reproduces) = (purpose == Purpose::Control, purpose.request());
        (purpose != Purpose::Reproduction).then(|| Self { at, control, reproduces, record: record.clone() })
    }

    pub(super) fn purpose(&self) -> Purpose {
        match self.reproduces {
            Some(id) => Purpose::Answer(id),
            None if self.control => Purpose::Control,
            None => Purpose::Scheduled,
        }
    }
}

/// An incident has changed.
#[derive(Debug)]
pub(super) struct News {
    pub(super) change: Change,
    pub(super) incident: Incident,
    /// How it is told.
    pub(super) message: Message,
    /// Whether it is; not where the throttle holds it back, or it is not worth a message.
    pub(super) is_told: bool,
}

impl Incidents {
    pub(super) fn new(watch: &Watch, now: Instant) -> Self {
        Self {
            judge: Judge::new(config(watch), now),
            throttle: Throttle::new(watch.alerts.throttle),
            held: BTreeMap::new(),
            changed: VecDeque::new(),
            due: now,
            look_at: now,
            prefixes: prefixes(watch),
        }
    }

    /// One that goes on from where another stopped: results that came after its memory was written are judged first, each
    /// at the time at which it came.
    pub(super) fn restored(watch: &Watch, memory: Memory, results: &[Noted], now: Instant, wall: Timestamp) -> Self {
        let Memory { judge, throttle, held, at } = memory;
        let mut throttle = throttle.restored(watch.alerts.throttle);
        throttle.resume(now, wall);
        // A calendar that was set back does not say how long ago something was.
        let since = |at: Timestamp| Duration::try_from(wall.duration_since(at)).unwrap_or(Duration::ZERO);
        // There may be no such instant where the machine itself was started later.
        let (then, away) = now.checked_sub(since(at)).map_or_else(|| (now, since(at)), |then| (then, Duration::ZERO));
        let judge = Judge::restore(config(watch), judge, away, then);
        let changed = VecDeque::new();
        let mut own = Self { judge, throttle, held, changed, due: now, look_at: now, prefixes: prefixes(watch) };
        for noted in results {
            let then = now.checked_sub(since(noted.at)).unwrap_or(now);
            own.judge.handle_timeout(then);
            // What was asked for then is of no use now.
            own.handle_result(then, &noted.record, noted.purpose());
        }
        own.due = now;
        own
    }

    /// All that is known, to be stored.
    pub(super) fn memory(&self, wall: Timestamp) -> Memory {
        let (judge, throttle) = (self.judge.state().clone(), self.throttle.clone());
        Memory { judge, throttle, held: self.held.clone(), at: wall }
    }

    /// Another file holds: what it says of windows, periods and trunks does, from now on.
    pub(super) fn replace(&mut self, watch: &Watch, now: Instant, wall: Timestamp) {
        let suppressed = self.throttle.suppressed;
        let changed = std::mem::take(&mut self.changed);
        *self = Self::restored(watch, self.memory(wall), &[], now, wall);
        self.throttle.suppressed = suppressed;
        self.changed = changed;
    }

    /// Messages that the throttle held back.
    pub(super) fn throttled(&self) -> u64 {
        self.throttle.suppressed
    }

    /// A result, and what calls the judge asks for because of it. What repeats a failure at once is no result of its own: the
    /// `retry` of the failure says what it showed.
    pub(super) fn handle_result(&mut self, now: Instant, record: &CallRecord, purpose: Purpose) -> Vec<Reproduce> {
        if purpose == Purpose::Reproduction {
            return Vec::new();
        }
        let control = purpose == Purpose::Control;
        let mut sample = Sample { control, reproduces: purpose.request(), ..Sample::of(record) };
        // The same number over another trunk is the same destination.
        if let Some(number) = self.number_of(record) {
            sample.labels = sample.labels.with(Label::Destination, Some(number));
        }
        self.judge.handle_result(now, &sample);
        self.due = now;
        let mut asked = Vec::new();
        loop {
            match self.judge.poll_output() {
                Output::Changed(change, incident) => self.changed.push_back((change, incident)),
                Output::Reproduce(what) => asked.push(what),
                Output::Timeout(_) => return asked,
            }
        }
    }

    /// The number that was called over a trunk, without the trunk's digits.
    fn number_of<'r>(&self, record: &'r CallRecord) -> Option<&'r str> {
        let trunk = record.trunk.as_ref().filter(|_| record.direction == Direction::Outbound)?;
        let prefix = self.prefixes.get(&(record.target.clone(), trunk.clone()))?;
        record.to.as_deref()?.strip_prefix(prefix.as_str())
    }

    /// Those that are open, with what is counted of them now.
    pub(super) fn open(&self) -> impl Iterator<Item = &Incident> {
        self.judge.incidents()
    }

    /// When to ask for news next, without a result.
    pub(super) fn deadline(&self) -> Instant {
        self.due
    }

    /// What has changed. `wall` is the calendar, `watch` goes before every dedup key: it is no watch's alone that two of
    /// them tell the same people.
    pub(super) fn news(&mut self, watch: &str, now: Instant, wall: Timestamp) -> Vec<News> {
        let mut news = Vec::new();
        if self.due > now {
            return news;
        }
        self.judge.handle_timeout(now);
        let due = loop {
            match self.judge.poll_output() {
                Output::Changed(change, incident) => self.changed.push_back((change, incident)),
                // It asks only where a result comes.
                Output::Reproduce(_) => {}
                Output::Timeout(at) => break at,
            }
        };
        while let Some((change, incident)) = self.changed.pop_front() {
            let decision = self.throttle.decide(now, wall, change, &incident);
            match decision {
                Decision::Throttled => drop(self.held.insert(incident.id.clone(), change)),
                Decision::Send | Decision::NeverTold => drop(self.held.remove(&incident.id)),
                Decision::Quiet => {}
            }
            news.push(self.news_of(watch, change, *incident, decision == Decision::Send));
        }
        news.extend(self.let_go(watch, now, wall));
        self.due = due.max(now + LEAST);
        if !self.held.is_empty() {
            self.due = self.due.min(self.look_at);
        }
        news
    }

    /// Incidents that are still open, and whose message is not held back any more.
    fn let_go(&mut self, watch: &str, now: Instant, wall: Timestamp) -> Vec<News> {
        if self.held.is_empty() || now < self.look_at {
            return Vec::new();
        }
        self.look_at = now + LOOK_AT_HELD;
        let open: Vec<Incident> =
            self.open().filter(|incident| self.held.contains_key(&incident.id)).cloned().collect();
        self.held.retain(|id, _| open.iter().any(|incident| incident.id == *id));
        let free: Vec<Incident> =
            open.into_iter().filter(|incident| !self.throttle.is_held(now, wall, incident)).collect();
        let tell = |incident: Incident| {
            let change = self.held.remove(&incident.id).unwrap_or(Change::Opened);
            let decision = self.throttle.decide(now, wall, change, &incident);
            self.news_of(watch, change, incident, decision == Decision::Send)
        };
        free.into_iter().map(tell).collect()
    }

    fn news_of(&self, watch: &str, change: Change, incident: Incident, is_told: bool) -> News {
        let key = format!("{watch}/{}", self.throttle.dedup_key(&incident));
        let message = Message::new(change, &incident, key, Vec::new());
        News { change, incident, message, is_told }
    }
}

/// Between two looks at messages that are held back.
const LOOK_AT_HELD: Duration = Duration::from_secs(1);
/// Between two looks at least.
const LEAST: Duration = Duration::from_millis(100);

fn prefixes(watch: &Watch) -> Prefixes {
    let targets = watch.checks.iter().flat_map(|check| check.plan.actors.iter().map(|actor| &actor.target));
    let trunks = targets.flat_map(|target| target.trunks.values().map(move |trunk| (target, trunk)));
    let of = |(target, trunk): (&Arc<Target>, &Trunk)| {
        Some(((target.name.clone(), trunk.name.clone()), trunk.prefix.clone()?))
    };
    trunks.filter_map(of).collect()
}

fn config(watch: &Watch) -> Config {
    let alerts = &watch.alerts;
    Config {
        window: alerts.window,
        widespread_agents: alerts.widespread_agents,
        widespread_share: alerts.widespread_share,
        // Which scope it is shows once every check has come: an agent is called more often where several checks call it.
        patience: Config::for_interval(watch.turn()).patience,
        reproduce_per_minute: alerts.reproduce_per_minute,
        ..Config::for_interval(watch.interval())
    }
}

#[cfg(test)]
#[path = "incidents_faults.rs"]
mod faults;

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;

    use super::*;
    use crate::record::{Class, Retry};
    use crate::scenario::compile::{self, Input};

    /// A watch of a target with trunks behind 91 and 92.
    pub(in crate::watch) fn watch() -> Watch {
        watch_of("{ scenario: call.yaml, every: 60s, agents: each, budget: { per_day: 10 } }")
    }

    /// The same with other checks.
    pub(in crate::watch) fn watch_of(checks: &str) -> Watch {
        let text = format!("watch: w\nchecks: [{checks}]\n");
        let call =
            "scenario: call\ntarget: pbx.yaml\ncaller: { account: agents, steps: [{ dial: { number: echo } }] }\n";
        let target = "target: pbx\nsip: { server: \"sip:127.0.0.1\" }\nnumbers: { echo: \"2000\" }\n\
                      accounts: { agents: { users: \"1001..1004\", password: \"${P}\" } }\n\
                      trunks: { cht: { select: { prefix: 91 } }, fet: { select: { prefix: 92 } } }\n\
                      safety: { max_calls: 10000000 }\n";
        let input = Input {
            path: Path::new("w.yaml"),
            text: &text,
            target: None,
            set: &[],
            env: &|_| Some("secret".to_owned()),
            read: &|path| Ok(if path.ends_with("call.yaml") { call } else { target }.to_owned()),
        };
        compile::watch(&input).unwrap_or_else(|mistakes| panic!("{mistakes}"))
    }

    /// A minute of a line of four agents over two trunks, of which one refuses.
    fn minute(incidents: &mut Incidents, begin: Instant, minute: u64, refuses: bool) -> Vec<News> {
        let text = include_str!("../../tests/data/influx/record.json");
        let base: CallRecord = serde_json::from_str(text).expect("valid");
        let mut news = Vec::new();
        for agent in 0..4_u64 {
            let seconds = 60 * minute + 15 * agent;
            let now = begin + Duration::from_secs(seconds);
            let trunk = if agent % 2 == 0 { "cht" } else { "fet" };
            let failed = refuses && trunk == "cht";
            let user = format!("{}", 1001 + agent);
            let record = CallRecord {
                call_id: format!("w-{seconds}"),
                agent: Some(user.clone()),
                account: Some(user),
                trunk: Some(trunk.into()),
                gateway: Some(format!("gw-{agent}")),
                class: if failed { Class::CallNetworkFailed } else { Class::Ok },
                code: Some(if failed { 503 } else { 200 }),
                retry: if failed { Retry::Reproduced } else { Retry::None },
                unmet: None,
                as_expected: None,
                started_at: Some(wall(seconds)),
                ended_at: wall(seconds),
                ..base.clone()
            };
            incidents.handle_result(now, &record, Purpose::Scheduled);
            for step in 0..15 {
                news.extend(incidents.news("w", now + Duration::from_secs(step), wall(seconds + step)));
            }
        }
        news
    }

    fn wall(seconds: u64) -> Timestamp {
        Timestamp::from_second(1_774_744_200 + seconds as i64).expect("in range")
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an Instant to start from; the test never looks at the clock again")]
    fn a_trunk_that_refuses_is_one_message_and_its_end_another() {
        let begin = Instant::now();
        let mut incidents = Incidents::new(&watch(), begin);
        assert_eq!(told(&mut incidents, begin, 0..10, false), [""; 0]);
        let opened = told(&mut incidents, begin, 10..20, true);
        assert_eq!(opened, ["[critical] widespread: trunk cht line.down opened"]);
        let closed = told(&mut incidents, begin, 20..40, false);
        assert_eq!(closed, ["[critical] widespread: trunk cht line.down closed"]);
    }

    /// What is told in some minutes, as titles.
    fn told(incidents: &mut Incidents, begin: Instant, minutes: std::ops::Range<u64>, refuses: bool) -> Vec<String> {
        let news = minutes.flat_map(|it| minute(incidents, begin, it, refuses)).collect::<Vec<_>>();
        news.into_iter().filter(|news| news.is_told).map(|news| news.message.title).collect()
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an Instant to start from; the test never looks at the clock again")]
    fn what_is_back_within_the_hour_is_told_once_the_hour_is_over_if_it_still_is() {
        let begin = Instant::now();
        let mut incidents = Incidents::new(&watch(), begin);
        assert_eq!(told(&mut incidents, begin, 0..10, false), [""; 0]);
        assert_eq!(told(&mut incidents, begin, 10..15, true).len(), 1);
        assert_eq!(told(&mut incidents, begin, 15..30, false), ["[critical] widespread: trunk cht line.down closed"]);
        assert_eq!(told(&mut incidents, begin, 30..65, true), [""; 0], "the hour is not over");
        assert_eq!(incidents.throttled(), 1);
        assert_eq!(told(&mut incidents, begin, 65..75, true), ["[critical] widespread: trunk cht line.down is back"]);
        assert_eq!(told(&mut incidents, begin, 75..200, true), [""; 0], "once");
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an Instant to start from; the test never looks at the clock again")]
    fn over_a_restart_nothing_is_told_twice_and_the_end_has_the_key_of_the_beginning() {
        let begin = Instant::now();
        let mut incidents = Incidents::new(&watch(), begin);
        told(&mut incidents, begin, 0..10, false);
        let news: Vec<News> = (10..15).flat_map(|it| minute(&mut incidents, begin, it, true)).collect();
        let opened: Vec<_> = news.iter().filter(|it| it.is_told).map(|it| it.message.dedup_key.clone()).collect();
        let text = serde_json::to_string(&incidents.memory(wall(15 * 60))).expect("serialises");
        let memory: Memory = serde_json::from_str(&text).expect("reads back");
        // Two minutes nobody was there.
        let now = begin + Duration::from_secs(17 * 60);
        let mut incidents = Incidents::restored(&watch(), memory, &[], now, wall(17 * 60));
        assert_eq!(incidents.open().count(), 1);
        assert_eq!(told(&mut incidents, begin, 17..25, true), [""; 0]);
        let news: Vec<News> = (25..45).flat_map(|it| minute(&mut incidents, begin, it, false)).collect();
        let closed: Vec<_> = news.iter().filter(|it| it.is_told).map(|it| it.message.dedup_key.clone()).collect();
        assert_eq!((opened.len(), &closed), (1, &opened));
        assert!(opened[0].starts_with("w/inc-2026"), "{opened:?}");
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an Instant to start from; the test never looks at the clock again")]
    fn what_repeats_a_failure_is_no_result_of_its_own() {
        let now = Instant::now();
        let mut incidents = Incidents::new(&watch(), now);
        let text = include_str!("../../tests/data/influx/record.json");
        let record: CallRecord = serde_json::from_str(text).expect("valid");
        incidents.handle_result(now, &record, Purpose::Reproduction);
        assert_eq!(incidents.judge.held().1, 0);
        incidents.handle_result(now, &record, Purpose::Scheduled);
        assert_eq!(incidents.judge.held().1, 1);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an Instant to start from; the test never looks at the clock again")]
    fn the_same_number_over_another_trunk_is_the_same_destination() {
        let incidents = Incidents::new(&watch(), Instant::now());
        let text = include_str!("../../tests/data/influx/record.json");
        let record: CallRecord = serde_json::from_str(text).expect("valid");
        let number = |trunk: Option<&str>, direction, to: &str| {
            let (target, trunk, to) = ("pbx".to_owned(), trunk.map(str::to_owned), Some(to.to_owned()));
            let record = CallRecord { target, trunk, direction, to, ..record.clone() };
            incidents.number_of(&record).map(str::to_owned)
        };
        let out = Direction::Outbound;
        assert_eq!(number(Some("cht"), out, "912000").as_deref(), Some("2000"));
        assert_eq!(number(Some("fet"), out, "922000").as_deref(), Some("2000"));
        assert_eq!(number(Some("fet"), out, "2000"), None, "it is called without the trunk's digits");
        assert_eq!(number(None, out, "912000"), None);
        assert_eq!(number(Some("cht"), Direction::Inbound, "912000"), None);
    }
}
