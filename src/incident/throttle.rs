//! Which changes of incidents become a message: one per key and period, and what is worse or wider at once.
//!
//! A key is (unit, scope, value, class). The period is counted on the calendar, so that it holds over a restart; a calendar
//! that was set back must not keep a key silent for longer than the period, and one that was set forward must not let a
//! message through early, so the time that has really passed (`now`) is asked as well wherever both ends are known.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::family::{Severity, Symptom};
use super::labels::Scope;
use super::snapshot::{Change, Incident};

/// Most keys that are remembered; beyond, the one that was silent longest is forgotten.
const MOST: usize = 4_096;

/// What one message per period is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Key {
    /// The unit of the agents that are hit; `None` for several.
    pub unit: Option<String>,
    /// How far it reaches.
    pub scope: Scope,
    /// Which one.
    pub value: String,
    /// What its calls show.
    pub class: Symptom,
}

impl Key {
    /// The key of an incident as it stands.
    pub fn of(incident: &Incident) -> Self {
        Self {
            unit: incident.unit.clone(),
            scope: incident.scope,
            value: incident.value.clone(),
            class: incident.symptom,
        }
    }
}

/// Why a change is sent, or why it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Send it. All messages with the same dedup key belong together.
    Send,
    /// A message with this key was sent within the period.
    Throttled,
    /// Nobody was told that it is open, so nobody needs to hear that it is over.
    NeverTold,
    /// The change is not worth a message: it is shown on the page.
    Quiet,
}

/// What was last told of a key.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Told {
    key: Key,
    /// The incident that it was told of; its id is the dedup key of every message.
    incident: String,
    at: Timestamp,
    /// When that was on our own clock; unknown after a restart.
    #[serde(skip)]
    instant: Option<Instant>,
    scope: Scope,
    severity: Severity,
    /// It was told and its end was not.
    open: bool,
}

/// Remembers what was told. Its state is to be stored after each message that is sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Throttle {
    #[serde(skip, default = "default_period")]
    period: Duration,
    told: Vec<Told>,
    /// Changes that were held back.
    pub suppressed: u64,
}

fn default_period() -> Duration {
    Duration::from_secs(3600)
}

impl Throttle {
    /// With a period; the usual one is 60 min.
    pub fn new(period: Duration) -> Self {
        Self { period, told: Vec::new(), suppressed: 0 }
    }

    /// One that was stored, with the period that holds now.
    #[must_use]
    pub fn restored(self, period: Duration) -> Self {
        Self { period, ..self }
    }

    /// The key under which messages of an incident are put together by whoever receives them: the same for its whole life,
    /// after it came back within the period, and over a restart.
    pub fn dedup_key(&self, incident: &Incident) -> String {
        let told = self.told.iter().find(|told| told.incident == incident.id || told.key == Key::of(incident));
        told.map_or_else(|| incident.id.clone(), |told| told.incident.clone())
    }

    /// Whether a change is to be sent. `wall` is the calendar, `now` our own clock.
    ///
    /// What is sent is remembered at once: a message is repeated rather than lost only by whoever sends it.
    pub fn decide(&mut self, now: Instant, wall: Timestamp, change: Change, incident: &Incident) -> Decision {
        let decision = match change {
            // One that is part of another from now on is over under its own key, which somebody waits for.
            Change::Closed | Change::Merged => self.close(incident),
            // Who was told that it is one of several wants to know which.
            Change::Narrowed if self.is_found(incident) => self.open(now, wall, incident),
            Change::Narrowed | Change::Reclassified => Decision::Quiet,
            Change::Opened | Change::Split | Change::Widened | Change::Worsened => self.open(now, wall, incident),
        };
        self.suppressed += u64::from(decision == Decision::Throttled);
        decision
    }

    /// Whether a message about an incident that is open would be held back.
    pub fn is_held(&self, now: Instant, wall: Timestamp, incident: &Incident) -> bool {
        let key = Key::of(incident);
        let before = self.told.iter().filter(|told| told.key == key || told.incident == incident.id);
        let mut within = before.filter(|told| self.is_within(told, now, wall)).peekable();
        let found = |told: &Told| told.scope == Scope::Undetermined && incident.scope != Scope::Undetermined;
        let new = |told: &Told| incident.severity > told.severity || incident.scope > told.scope || found(told);
        within.peek().is_some() && !within.all(new)
    }

    /// Whether its scope is known, and was not when it was told.
    fn is_found(&self, incident: &Incident) -> bool {
        let told = || self.told.iter().filter(|told| told.incident == incident.id && told.open);
        let all = told().all(|told| told.scope == Scope::Undetermined);
        all && told().next().is_some() && incident.scope != Scope::Undetermined
    }

    fn open(&mut self, now: Instant, wall: Timestamp, incident: &Incident) -> Decision {
        let key = Key::of(incident);
        let dedup = self.dedup_key(incident);
        if self.is_held(now, wall, incident) {
            let same = self.told.iter_mut().find(|told| told.key == key);
            if let Some(told) = same {
                // It is open again under the key that was told: its end will be news.
                told.open = true;
            }
            return Decision::Throttled;
        }
        self.told.retain(|told| told.key != key);
        if self.told.len() == MOST {
            let oldest = (0..MOST).min_by_key(|at| self.told[*at].at).unwrap_or(0);
            self.told.swap_remove(oldest);
        }
        self.told.push(Told {
            key,
            incident: dedup,
            at: wall,
            instant: Some(now),
            scope: incident.scope,
            severity: incident.severity,
            open: true,
        });
        Decision::Send
    }

    /// The end of what was told is told once, whatever the period.
    fn close(&mut self, incident: &Incident) -> Decision {
        let (key, dedup) = (Key::of(incident), self.dedup_key(incident));
        let mut decision = Decision::NeverTold;
        for told in &mut self.told {
            if (told.incident == dedup || told.key == key) && std::mem::replace(&mut told.open, false) {
                decision = Decision::Send;
            }
        }
        decision
    }

    /// Whether a message was sent less than a period ago.
    fn is_within(&self, told: &Told, now: Instant, wall: Timestamp) -> bool {
        if let Some(instant) = told.instant {
            // The clock that nobody sets.
            return now.saturating_duration_since(instant) < self.period;
        }
        let period = SignedDuration::try_from(self.period).unwrap_or(SignedDuration::MAX);
        // A stamp of the future: the calendar was set back since. Silence would last longer than the period.
        let passed = wall.duration_since(told.at);
        passed < period && passed > -period
    }

    /// After a restart: keys whose message lies in the future, because the calendar was set back while nobody looked, count
    /// from now on.
    pub fn resume(&mut self, now: Instant, wall: Timestamp) {
        for told in self.told.iter_mut().filter(|told| told.instant.is_none()) {
            let passed = Duration::try_from(wall.duration_since(told.at)).unwrap_or(Duration::ZERO);
            told.instant = now.checked_sub(passed);
            if told.at > wall {
                told.at = wall;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::sample_incident;
    use crate::record::Class;

    const MINUTE: u64 = 60;

    /// A throttle of an hour, its clock and the calendar.
    struct Desk {
        throttle: Throttle,
        base: Instant,
        seconds: u64,
        /// By how many seconds the calendar was set.
        set: i64,
    }

    impl Desk {
        #[expect(
            clippy::disallowed_methods,
            reason = "an Instant to start from; the test never looks at the clock again"
        )]
        fn new() -> Self {
            let base = Instant::now() + Duration::from_secs(1_000_000);
            Self { throttle: Throttle::new(Duration::from_secs(3600)), base, seconds: 0, set: 0 }
        }

        fn now(&self) -> Instant {
            self.base + Duration::from_secs(self.seconds)
        }

        fn wall(&self) -> Timestamp {
            // 2026-03-29 00:30 UTC: half an hour before clocks in Europe go forward.
            Timestamp::from_second(1_774_744_200 + self.seconds as i64 + self.set).expect("in range")
        }

        fn after(&mut self, minutes: u64, change: Change, incident: &Incident) -> Decision {
            self.seconds += minutes * MINUTE;
            self.throttle.decide(self.now(), self.wall(), change, incident)
        }

        /// The process ends; another one reads what was stored.
        fn restart(&mut self) {
            let text = serde_json::to_string(&self.throttle).expect("serialises");
            let stored: Throttle = serde_json::from_str(&text).expect("reads back");
            self.base += Duration::from_secs(77_777);
            self.throttle = stored.restored(Duration::from_secs(3600));
            self.throttle.resume(self.now(), self.wall());
        }
    }

    fn trunk() -> Incident {
        Incident { scope: Scope::Trunk, value: "cht".into(), ..sample_incident() }
    }

    #[test]
    fn one_message_per_key_in_sixty_minutes() {
        let mut desk = Desk::new();
        assert_eq!(desk.after(0, Change::Opened, &trunk()), Decision::Send);
        assert_eq!(desk.after(59, Change::Opened, &trunk()), Decision::Throttled);
        assert_eq!(desk.after(1, Change::Opened, &trunk()), Decision::Send);
        assert_eq!(desk.throttle.suppressed, 1);
    }

    #[test]
    fn another_unit_place_or_class_has_a_key_of_its_own() {
        let mut desk = Desk::new();
        desk.after(0, Change::Opened, &trunk());
        for other in [
            Incident { id: "i-2".into(), unit: Some("sales".into()), ..trunk() },
            Incident { id: "i-3".into(), value: "fet".into(), ..trunk() },
            Incident { id: "i-4".into(), symptom: Symptom::Class(Class::CallForbidden), ..trunk() },
        ] {
            assert_eq!(desk.after(0, Change::Opened, &other), Decision::Send, "{other:?}");
        }
    }

    #[test]
    fn a_worse_class_and_a_wider_scope_pass_at_once() {
        let mut desk = Desk::new();
        let minor = Incident { severity: Severity::Degraded, symptom: Symptom::LowQuality, ..trunk() };
        assert_eq!(desk.after(0, Change::Opened, &minor), Decision::Send);
        assert_eq!(desk.after(1, Change::Worsened, &trunk()), Decision::Send);
        let gateway = Incident { scope: Scope::Gateway, value: "gw-1".into(), ..trunk() };
        assert_eq!(desk.after(1, Change::Widened, &gateway), Decision::Send);
        assert_eq!(desk.after(1, Change::Narrowed, &trunk()), Decision::Quiet);
        assert_eq!(desk.after(1, Change::Widened, &gateway), Decision::Throttled);
    }

    #[test]
    fn the_resolve_passes_once_and_only_where_the_opening_was_told() {
        let mut desk = Desk::new();
        desk.after(0, Change::Opened, &trunk());
        assert_eq!(desk.after(5, Change::Closed, &trunk()), Decision::Send);
        assert_eq!(desk.after(1, Change::Closed, &trunk()), Decision::NeverTold);
        let other = Incident { id: "i-9".into(), value: "fet".into(), ..trunk() };
        assert_eq!(desk.after(0, Change::Closed, &other), Decision::NeverTold);
    }

    #[test]
    fn what_comes_back_within_the_period_keeps_its_key_and_is_not_told_again() {
        let mut desk = Desk::new();
        desk.after(0, Change::Opened, &trunk());
        desk.after(5, Change::Closed, &trunk());
        let again = Incident { id: "i-2".into(), ..trunk() };
        assert_eq!(desk.after(20, Change::Opened, &again), Decision::Throttled);
        assert_eq!(desk.throttle.dedup_key(&again), trunk().id);
        assert_eq!(desk.after(5, Change::Closed, &again), Decision::Send, "it is over again");
    }

    #[test]
    fn a_scope_that_is_found_is_told_once_and_another_narrowing_is_not() {
        let mut desk = Desk::new();
        let open = Incident { scope: Scope::Undetermined, value: "cht or gw-1".into(), ..trunk() };
        assert_eq!(desk.after(0, Change::Opened, &open), Decision::Send);
        let gateway = Incident { scope: Scope::Gateway, value: "gw-1".into(), ..trunk() };
        assert_eq!(desk.after(2, Change::Narrowed, &gateway), Decision::Send);
        assert_eq!(desk.throttle.dedup_key(&gateway), open.id, "one alert to whoever gets both");
        assert_eq!(desk.after(2, Change::Narrowed, &trunk()), Decision::Quiet);
        assert_eq!(desk.after(2, Change::Closed, &trunk()), Decision::Send);
    }

    #[test]
    fn an_incident_that_became_part_of_another_is_over_for_those_who_were_told() {
        let mut desk = Desk::new();
        desk.after(0, Change::Opened, &trunk());
        assert_eq!(desk.after(2, Change::Merged, &trunk()), Decision::Send);
        assert_eq!(desk.after(1, Change::Merged, &trunk()), Decision::NeverTold);
    }

    #[test]
    fn what_is_held_back_may_be_told_once_the_period_is_over() {
        let mut desk = Desk::new();
        desk.after(0, Change::Opened, &trunk());
        desk.after(5, Change::Closed, &trunk());
        let again = Incident { id: "i-2".into(), ..trunk() };
        assert_eq!(desk.after(20, Change::Opened, &again), Decision::Throttled);
        assert!(desk.throttle.is_held(desk.now(), desk.wall(), &again));
        desk.seconds += 35 * MINUTE;
        assert!(!desk.throttle.is_held(desk.now(), desk.wall(), &again));
    }

    #[test]
    fn a_calendar_that_is_set_an_hour_changes_nothing() {
        for set in [3600, -3600] {
            let mut desk = Desk::new();
            desk.after(0, Change::Opened, &trunk());
            desk.set = set;
            assert_eq!(desk.after(30, Change::Opened, &trunk()), Decision::Throttled, "{set}");
            assert_eq!(desk.after(30, Change::Opened, &trunk()), Decision::Send, "{set}");
        }
    }

    #[test]
    fn daylight_saving_changes_nothing() {
        let mut desk = Desk::new();
        desk.after(0, Change::Opened, &trunk());
        assert_eq!(
            desk.after(59, Change::Opened, &trunk()),
            Decision::Throttled,
            "01:29 UTC, an hour later on the wall"
        );
        assert_eq!(desk.after(1, Change::Opened, &trunk()), Decision::Send);
    }

    #[test]
    fn the_period_and_the_dedup_key_hold_over_a_restart() {
        let mut desk = Desk::new();
        desk.after(0, Change::Opened, &trunk());
        desk.seconds += 20 * MINUTE;
        desk.restart();
        assert_eq!(desk.after(39, Change::Opened, &trunk()), Decision::Throttled);
        assert_eq!(desk.throttle.dedup_key(&trunk()), trunk().id);
        assert_eq!(desk.after(1, Change::Opened, &trunk()), Decision::Send);
        desk.restart();
        assert_eq!(desk.after(1, Change::Closed, &trunk()), Decision::Send);
    }

    #[test]
    fn a_calendar_set_back_during_a_restart_keeps_silent_for_one_period_at_most() {
        let mut desk = Desk::new();
        desk.after(0, Change::Opened, &trunk());
        desk.set = -7200;
        desk.restart();
        assert_eq!(desk.after(59, Change::Opened, &trunk()), Decision::Throttled);
        assert_eq!(desk.after(1, Change::Opened, &trunk()), Decision::Send);
    }

    #[test]
    fn keys_are_bounded() {
        let mut desk = Desk::new();
        for i in 0..MOST + 10 {
            desk.seconds += 1;
            desk.after(0, Change::Opened, &Incident { id: format!("i-{i}"), value: format!("t-{i}"), ..trunk() });
        }
        assert_eq!(desk.throttle.told.len(), MOST);
    }
}
