//! Alertmanager, API v2: every incident is an alert as long as it is open, whatever else is told or held back.
//!
//! It keeps alerts in memory and takes one that is not posted again for over. So all are posted each minute with
//! `endsAt` four minutes ahead: should we fall silent, they end by themselves. An alert is known by its labels; where
//! those of an incident change, the old alert ends and a new one begins with the same `startsAt`.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::post::Post;
use super::{Alert, AlertError, Outcome, State};
use crate::record::Finding;
use crate::units::Secret;

/// How often alerts are posted again.
pub const AGAIN: Duration = Duration::from_secs(60);
/// How far ahead an open alert ends: four posts may be lost.
const ENDS_IN: Duration = Duration::from_secs(240);
/// How long the end of an alert is posted: an Alertmanager that was away hears of it.
const ENDED_FOR: Duration = Duration::from_secs(900);
/// Labels that incidents share, by their names there and here.
const SHARED: [(&str, &str); 5] = [
    ("hotline", "hotline"),
    ("trunk", "trunk"),
    ("gateway", "gateway"),
    ("carrier", "carrier"),
    ("platform", "target"),
];

/// One Alertmanager.
#[derive(Debug)]
pub struct Alertmanager(Post);

impl Alertmanager {
    /// The one at this address.
    ///
    /// # Errors
    /// [`AlertError`]: it is no address.
    pub fn new(sink: &str, url: &Secret) -> Result<Self, AlertError> {
        Ok(Self(Post::plain(sink, &Secret::new(format!("{}/api/v2/alerts", url.reveal().trim_end_matches('/'))))?))
    }

    /// One try to post what is open now.
    pub async fn post(&self, body: Vec<u8>) -> Outcome {
        self.0.send(body, None).await
    }
}

/// One alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Fired {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    /// Id of its incident.
    incident: String,
    starts_at: Timestamp,
    /// When it was over.
    ended_at: Option<Timestamp>,
}

/// What an Alertmanager is to know. To be stored after each change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Firing(Vec<Fired>);

impl Firing {
    /// An incident has changed. Every change counts, told or not.
    pub fn handle(&mut self, alert: &Alert) {
        let labels = labels(alert);
        let incident = &alert.message.incident;
        let resolved = alert.state == State::Resolved;
        let of_incident = |fired: &&mut Fired| fired.incident == incident.id && fired.ended_at.is_none();
        for old in self.0.iter_mut().filter(of_incident).filter(|old| resolved || old.labels != labels) {
            old.ended_at = Some(alert.at);
        }
        if resolved {
            return;
        }
        self.0.retain(|fired| fired.labels != labels || fired.ended_at.is_none());
        let annotations = annotations(alert);
        match self.0.iter_mut().find(|fired| fired.labels == labels) {
            Some(fired) => fired.annotations = annotations,
            None => self.0.push(Fired {
                labels,
                annotations,
                incident: incident.id.clone(),
                starts_at: incident.since,
                ended_at: None,
            }),
        }
    }

    /// Only these incidents are open: whatever else is firing was forgotten, and ends.
    pub fn keep_only(&mut self, open: &[String], now: Timestamp) {
        for fired in self.0.iter_mut().filter(|fired| fired.ended_at.is_none() && !open.contains(&fired.incident)) {
            fired.ended_at = Some(now);
        }
    }

    /// What is posted now; `None` where there is nothing to say.
    pub fn body(&self, now: Timestamp) -> Option<Vec<u8>> {
        let alerts: Vec<_> = self
            .0
            .iter()
            .map(|fired| {
                // An end before the beginning, on a clock that was set back, is refused.
                let ends = fired.ended_at.unwrap_or(now + ENDS_IN).max(fired.starts_at);
                json!({
                    "labels": fired.labels,
                    "annotations": fired.annotations,
                    "startsAt": fired.starts_at,
                    "endsAt": ends,
                })
            })
            .collect();
        (!alerts.is_empty()).then(|| serde_json::Value::from(alerts).to_string().into_bytes())
    }

    /// Ends that were posted for long enough are forgotten.
    pub fn forget(&mut self, now: Timestamp) {
        self.0.retain(|fired| fired.ended_at.is_none_or(|at| now < at + ENDED_FOR));
    }

    /// Alerts that are not over.
    pub fn open(&self) -> usize {
        self.0.iter().filter(|fired| fired.ended_at.is_none()).count()
    }
}

/// What an alert is known by, and what routes and inhibitions ask for.
fn labels(alert: &Alert) -> BTreeMap<String, String> {
    let incident = &alert.message.incident;
    let mut labels = BTreeMap::from([
        ("alertname", "RingfleetIncident"),
        ("watch", &alert.watch),
        ("incident", &alert.message.dedup_key),
        ("scope", incident.scope.name()),
        ("value", &incident.value),
        ("severity", incident.severity.name()),
        ("widespread", if incident.widespread { "true" } else { "false" }),
        ("class", incident.finding.map_or_else(|| incident.symptom.name(), Finding::name)),
        ("site", alert.site.as_deref().unwrap_or_default()),
        ("unit", incident.unit.as_deref().unwrap_or_default()),
    ]);
    for shared in &incident.shared {
        let Some((kind, value)) = shared.split_once('=') else { continue };
        if let Some((_, name)) = SHARED.iter().find(|(known, _)| *known == kind) {
            labels.insert(name, value);
        }
    }
    // An empty label is none to Alertmanager.
    let known = labels.into_iter().filter(|(_, value)| !value.is_empty());
    known.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn annotations(alert: &Alert) -> BTreeMap<String, String> {
    let message = &alert.message;
    let mut annotations = BTreeMap::from([
        ("summary".to_owned(), message.title.clone()),
        ("description".to_owned(), message.text.clone()),
        ("next_action".to_owned(), message.next_action.clone()),
        ("first_call_id".to_owned(), message.incident.first_call.call_id.clone()),
        ("last_call_id".to_owned(), message.incident.last_call.call_id.clone()),
        ("sheet".to_owned(), alert.sheet_text.clone()),
    ]);
    annotations.extend(message.links.iter().map(|link| (link.name.clone(), link.url.clone())));
    annotations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::{Change, Message, Scope, Sheet, sample_incident};

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time stamp")
    }

    fn alert(change: Change, scope: Scope, value: &str, when: &str) -> Alert {
        let mut incident = sample_incident();
        (incident.scope, incident.value) = (scope, value.to_owned());
        incident.shared = vec!["trunk=cht".into(), "platform=prod".into(), "destination=0800123456".into()];
        let message = Message::new(change, &incident, "w/inc-1".into(), Vec::new());
        Alert::new("w", Some("tpe-1"), at(when), message, Sheet::default())
    }

    fn posted(firing: &Firing, now: &str) -> Vec<(String, String, String)> {
        let body = firing.body(at(now)).unwrap_or_else(|| b"[]".to_vec());
        let alerts: Vec<serde_json::Value> = serde_json::from_slice(&body).expect("JSON");
        let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
        alerts.iter().map(|it| (text(&it["labels"]["value"]), text(&it["startsAt"]), text(&it["endsAt"]))).collect()
    }

    #[test]
    fn an_open_incident_ends_four_minutes_ahead_and_keeps_its_beginning() {
        let mut firing = Firing::default();
        firing.handle(&alert(Change::Opened, Scope::Trunk, "cht", "2026-03-01T10:21:00Z"));
        let since = "2026-03-01T10:20:30Z";
        assert_eq!(
            posted(&firing, "2026-03-01T10:21:00Z"),
            [("cht".into(), since.into(), "2026-03-01T10:25:00Z".into())]
        );
        assert_eq!(
            posted(&firing, "2026-03-01T10:22:00Z"),
            [("cht".into(), since.into(), "2026-03-01T10:26:00Z".into())]
        );
        firing.handle(&alert(Change::Reclassified, Scope::Trunk, "cht", "2026-03-01T10:23:00Z"));
        assert_eq!(firing.open(), 1, "its labels are those of before");
    }

    #[test]
    fn an_incident_that_widens_ends_one_alert_and_begins_another_as_long_ago() {
        let mut firing = Firing::default();
        firing.handle(&alert(Change::Opened, Scope::Trunk, "cht", "2026-03-01T10:21:00Z"));
        firing.handle(&alert(Change::Widened, Scope::Gateway, "gw-1", "2026-03-01T10:24:00Z"));
        let since = "2026-03-01T10:20:30Z";
        let expected = [("cht", since, "2026-03-01T10:24:00Z"), ("gw-1", since, "2026-03-01T10:29:00Z")];
        let expected = expected.map(|(value, from, to)| (value.to_owned(), from.to_owned(), to.to_owned()));
        assert_eq!(posted(&firing, "2026-03-01T10:25:00Z"), expected);
    }

    #[test]
    fn an_end_is_posted_for_a_quarter_of_an_hour_and_then_forgotten() {
        let mut firing = Firing::default();
        firing.handle(&alert(Change::Opened, Scope::Trunk, "cht", "2026-03-01T10:21:00Z"));
        firing.handle(&alert(Change::Closed, Scope::Trunk, "cht", "2026-03-01T10:30:00Z"));
        firing.forget(at("2026-03-01T10:44:59Z"));
        assert_eq!(posted(&firing, "2026-03-01T10:44:59Z")[0].2, "2026-03-01T10:30:00Z");
        firing.forget(at("2026-03-01T10:45:00Z"));
        assert_eq!(firing.body(at("2026-03-01T10:45:00Z")), None);
    }

    #[test]
    fn a_clock_that_was_set_back_gives_no_end_before_the_beginning() {
        let mut firing = Firing::default();
        firing.handle(&alert(Change::Opened, Scope::Trunk, "cht", "2026-03-01T10:21:00Z"));
        firing.handle(&alert(Change::Closed, Scope::Trunk, "cht", "2026-03-01T09:25:00Z"));
        assert_eq!(posted(&firing, "2026-03-01T09:25:00Z")[0].2, "2026-03-01T10:20:30Z");
    }

    #[test]
    fn what_came_back_fires_again_and_what_was_forgotten_ends() {
        let mut firing = Firing::default();
        firing.handle(&alert(Change::Opened, Scope::Trunk, "cht", "2026-03-01T10:21:00Z"));
        firing.handle(&alert(Change::Closed, Scope::Trunk, "cht", "2026-03-01T10:30:00Z"));
        firing.handle(&alert(Change::Opened, Scope::Trunk, "cht", "2026-03-01T10:31:00Z"));
        assert_eq!((firing.open(), firing.0.len()), (1, 1));
        firing.keep_only(&["inc-1".to_owned()], at("2026-03-01T10:32:00Z"));
        assert_eq!(firing.open(), 1);
        firing.keep_only(&[], at("2026-03-01T10:33:00Z"));
        assert_eq!(firing.open(), 0);
    }

    #[test]
    fn labels_hold_what_failures_share_and_no_number_but_that_of_the_incident() {
        let labels = labels(&alert(Change::Opened, Scope::Trunk, "cht", "2026-03-01T10:21:00Z"));
        let of = |name: &str| labels.get(name).map(String::as_str);
        assert_eq!((of("trunk"), of("target"), of("incident")), (Some("cht"), Some("prod"), Some("w/inc-1")));
        assert_eq!(
            (of("widespread"), of("class"), of("severity")),
            (Some("true"), Some("line.down"), Some("critical"))
        );
        assert!(!labels.values().any(|value| value.contains("0800123456")), "{labels:?}");
    }
}
