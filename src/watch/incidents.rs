//! What the results of a watch come to: who is hit, and which news of it are told. No clock, no files.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::job::Purpose;
use crate::incident::{Change, Config, Decision, Incident, Judge, Message, Output, Sample, Throttle};
use crate::record::CallRecord;
use crate::scenario::watch::Alerts;

/// The judge of a watch, and what it has told.
pub(super) struct Incidents {
    judge: Judge,
    throttle: Throttle,
    /// When the judge has something to do by itself.
    due: Instant,
}

/// An incident has changed.
#[derive(Debug)]
pub(super) struct News {
    pub(super) change: Change,
    pub(super) incident: Incident,
    /// What is to be told; `None` where the throttle holds it back, or it is not worth a message.
    pub(super) message: Option<Message>,
}

impl Incidents {
    /// `interval`: an agent's calls come so often.
    pub(super) fn new(alerts: &Alerts, interval: Duration, now: Instant) -> Self {
        Self { judge: Judge::new(config(alerts, interval), now), throttle: Throttle::new(alerts.throttle), due: now }
    }

    /// A result. What repeats a failure is none of its own: the `retry` of the failure says what it showed.
    pub(super) fn handle_result(&mut self, now: Instant, record: &CallRecord, purpose: Purpose) {
        if purpose != Purpose::Reproduction {
            let control = purpose == Purpose::Control;
            self.judge.handle_result(now, &Sample { control, ..Sample::of(record) });
            self.due = now;
        }
    }

    /// Those that are open, with what is counted of them now.
    pub(super) fn open(&self) -> impl Iterator<Item = &Incident> {
        self.judge.incidents()
    }

    /// When to ask for news next, without a result.
    pub(super) fn deadline(&self) -> Instant {
        self.due
    }

    /// What has changed. `wall` is the calendar.
    pub(super) fn news(&mut self, now: Instant, wall: Timestamp) -> Vec<News> {
        let mut news = Vec::new();
        if self.due > now {
            return news;
        }
        self.judge.handle_timeout(now);
        loop {
            match self.judge.poll_output() {
                Output::Changed(change, incident) => {
                    let decision = self.throttle.decide(now, wall, change, &incident);
                    let told = (decision == Decision::Send).then(|| {
                        let key = self.throttle.dedup_key(&incident);
                        Message::new(change, &incident, key, Vec::new())
                    });
                    news.push(News { change, incident: *incident, message: told });
                }
                // Every failure is tried again before it comes here.
                Output::Reproduce(_) => {}
                Output::Timeout(at) => {
                    self.due = at.max(now + LEAST);
                    return news;
                }
            }
        }
    }
}

/// Between two looks at least.
const LEAST: Duration = Duration::from_millis(100);

fn config(alerts: &Alerts, interval: Duration) -> Config {
    Config {
        window: alerts.window,
        widespread_agents: alerts.widespread_agents,
        widespread_share: alerts.widespread_share,
        ..Config::for_interval(interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Class, Retry};

    const MINUTE: Duration = Duration::from_secs(60);

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
                ended_at: wall(seconds),
                ..base.clone()
            };
            incidents.handle_result(now, &record, Purpose::Scheduled);
            for step in 0..15 {
                news.extend(incidents.news(now + Duration::from_secs(step), wall(seconds + step)));
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
        let mut incidents = Incidents::new(&Alerts::default(), MINUTE, begin);
        let told = |incidents: &mut Incidents, minutes: std::ops::Range<u64>, refuses: bool| -> Vec<String> {
            let news = minutes.flat_map(|it| minute(incidents, begin, it, refuses)).collect::<Vec<_>>();
            news.into_iter().filter_map(|news| news.message).map(|message| message.title).collect()
        };
        assert_eq!(told(&mut incidents, 0..10, false), [""; 0]);
        let opened = told(&mut incidents, 10..20, true);
        assert_eq!(opened, ["[critical] widespread: trunk cht line.down opened"]);
        let closed = told(&mut incidents, 20..40, false);
        assert_eq!(closed, ["[critical] widespread: trunk cht line.down closed"]);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an Instant to start from; the test never looks at the clock again")]
    fn what_repeats_a_failure_is_no_result_of_its_own() {
        let now = Instant::now();
        let mut incidents = Incidents::new(&Alerts::default(), MINUTE, now);
        let text = include_str!("../../tests/data/influx/record.json");
        let record: CallRecord = serde_json::from_str(text).expect("valid");
        incidents.handle_result(now, &record, Purpose::Reproduction);
        assert_eq!(incidents.judge.held().1, 0);
        incidents.handle_result(now, &record, Purpose::Scheduled);
        assert_eq!(incidents.judge.held().1, 1);
    }
}
