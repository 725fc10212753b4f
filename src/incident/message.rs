//! What a person is told of an incident: who, what, since when, how many, whether it was reproduced, which calls, what to do
//! next.

use serde::{Deserialize, Serialize};

use super::labels::Scope;
use super::snapshot::{Change, Incident, Undecided};
use super::{Severity, Symptom};
use crate::record::{Finding, explain};

/// A link beside a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// What it leads to: `evidence`, `dashboard`.
    pub name: String,
    /// Where it leads.
    pub url: String,
}

/// A message, for every sink alike: text to read, fields for templates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// One line.
    pub title: String,
    /// All of it, in lines.
    pub text: String,
    /// Messages with the same key belong to one alert ([`super::Throttle::dedup_key`]).
    pub dedup_key: String,
    /// What has happened.
    pub change: Change,
    /// How bad it is.
    pub severity: Severity,
    /// What to do first.
    pub next_action: String,
    /// Where to look.
    pub links: Vec<Link>,
    /// The incident as it stands.
    pub incident: Incident,
}

impl Message {
    /// The message of a change.
    pub fn new(change: Change, incident: &Incident, dedup_key: String, links: Vec<Link>) -> Self {
        let next_action = next_action(incident);
        let mut lines = vec![
            format!("Who: {}", who(incident)),
            format!("What: {}", what(incident)),
            format!("Since: {}{}", incident.since, over(incident)),
            format!("How many: {}", how_many(incident)),
            format!("Reproduced: {}", reproduced(incident)),
            format!("First call: {}", call(&incident.first_call)),
            format!("Last call: {}", call(&incident.last_call)),
        ];
        let codes = incident.codes_in_words();
        if !codes.is_empty() {
            lines.push(format!("SIP codes: {codes}"));
        }
        lines.extend(links.iter().map(|link| format!("{}: {}", link.name, link.url)));
        if incident.closed_at.is_none() {
            lines.push(format!("Next: {next_action}"));
        }
        lines.push(format!("Incident: {}", incident.id));
        Self {
            title: title(change, incident),
            text: lines.join("\n"),
            dedup_key,
            change,
            severity: incident.severity,
            next_action,
            links,
            incident: incident.clone(),
        }
    }
}

impl Message {
    /// Puts links into it, before what to do next.
    pub fn add_links(&mut self, links: Vec<Link>) {
        *self = Self::new(self.change, &self.incident, self.dedup_key.clone(), links);
    }
}

fn title(change: Change, incident: &Incident) -> String {
    let what = incident.finding.map_or_else(|| incident.symptom.name(), Finding::name);
    let wide = if incident.widespread { "widespread: " } else { "" };
    let change = match (change, incident.reopened) {
        (Change::Opened, 1..) => "is back".to_owned(),
        (change, _) => change.name().to_owned(),
    };
    format!("[{}] {wide}{} {what} {change}", incident.severity.name(), incident.place())
}

fn who(incident: &Incident) -> String {
    let place = match incident.scope {
        Scope::SingleAgent => format!("agent {} alone; others pass", incident.value),
        Scope::ProbeSite => {
            format!("our own site {}: everything fails from there and nothing from elsewhere", incident.value)
        }
        Scope::Platform => format!("the platform {}: no narrower part covers the failures", incident.value),
        Scope::Undetermined => format!("{}, because {}", incident.place(), why(incident.undecided)),
        _ => incident.place(),
    };
    let unit = incident.unit.as_ref().map_or_else(String::new, |unit| format!(", unit {unit}"));
    format!("{place}{unit} ({:.1} % sure)", 100.0 * incident.confidence)
}

fn why(undecided: Option<Undecided>) -> &'static str {
    match undecided {
        Some(Undecided::NoControl) => "nothing else was tested to compare with",
        Some(Undecided::SameCalls) => "the same calls use both",
        Some(Undecided::TooClose) | None => "the results fit each of them about as well",
    }
}

fn what(incident: &Incident) -> String {
    let meaning = incident.finding.map_or_else(|| incident.symptom.meaning(), Finding::meaning);
    let others: Vec<String> = incident
        .symptoms
        .iter()
        .filter(|(symptom, _)| *symptom != incident.symptom)
        .map(|(symptom, times)| format!("{symptom} ({times}×)"))
        .collect();
    let others = if others.is_empty() { String::new() } else { format!(" Also: {}.", others.join(", ")) };
    format!("{}: {meaning}{others}", incident.symptom)
}

fn over(incident: &Incident) -> String {
    match (&incident.merged_into, incident.closed_at) {
        (Some(other), Some(at)) => format!(", part of {other} since {at}"),
        (_, Some(at)) => format!(", passing again, closed {at}"),
        (_, None) => String::new(),
    }
}

fn how_many(incident: &Incident) -> String {
    let wide = if incident.widespread { "widespread" } else { "not widespread" };
    format!(
        "{} of {} calls failed; {} of {} agents in the window ({wide})",
        incident.failures, incident.tested, incident.agents_failing, incident.agents_tested
    )
}

fn reproduced(incident: &Incident) -> &'static str {
    match incident.reproduced {
        Some(true) => "yes, on a fresh connection",
        Some(false) => "no, the repetition passed: it comes and goes",
        None => "not tried",
    }
}

fn call(call: &super::Call) -> String {
    let sip = call.sip_call_id.as_ref().map_or_else(String::new, |id| format!(", Call-ID {id}"));
    format!("{} at {}{sip}", call.call_id, call.at)
}

/// What to do first.
fn next_action(incident: &Incident) -> String {
    match (incident.scope, incident.finding, incident.symptom) {
        (Scope::ProbeSite, ..) => "Look at the probe's own machine and its network before anything else.".to_owned(),
        (_, Some(finding), _) => finding.next().first().copied().unwrap_or_default().to_owned(),
        (_, _, Symptom::Class(class)) => explain(class).next_action().to_owned(),
        (_, _, Symptom::LowQuality) => {
            "Compare loss, jitter and delay of the calls named, and test the same way from another site.".to_owned()
        }
        (_, _, Symptom::Slow) => {
            "Compare SRD and set-up of the calls named with the same hour of other days, then ask who serves that part."
                .to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::sample_incident;

    #[test]
    fn a_message_says_who_what_since_how_many_and_what_to_do_next() {
        let incident = sample_incident();
        let link = Link { name: "Evidence".into(), url: "http://127.0.0.1/e/c-7".into() };
        let message = Message::new(Change::Opened, &incident, "key".into(), vec![link]);
        assert_eq!(message.title, "[critical] widespread: trunk cht line.down opened");
        let expected = "Who: trunk cht, unit support (99.8 % sure)\n\
            What: call.network_failed: Nothing is accepted, or all that was up is gone at once. Also: call.timeout (2×).\n\
            Since: 2026-03-01T10:20:30Z\n\
            How many: 12 of 13 calls failed; 5 of 6 agents in the window (widespread)\n\
            Reproduced: yes, on a fresh connection\n\
            First call: c-7 at 2026-03-01T10:20:30Z, Call-ID 7@probe\n\
            Last call: c-99 at 2026-03-01T10:24:00Z\n\
            SIP codes: 503 (10×), 408 (2×)\n\
            Evidence: http://127.0.0.1/e/c-7\n\
            Next: Place one call by hand; then look at the trunk's registration and at the gateway.\n\
            Incident: inc-1";
        assert_eq!(message.text, expected);
        assert_eq!(message.dedup_key, "key");
    }

    #[test]
    fn a_resolve_says_when_and_asks_for_nothing() {
        let incident = Incident { closed_at: Some(sample_incident().last_call.at), ..sample_incident() };
        let message = Message::new(Change::Closed, &incident, "key".into(), Vec::new());
        assert!(message.text.contains("Since: 2026-03-01T10:20:30Z, passing again, closed 2026-03-01T10:24:00Z\n"));
        assert!(!message.text.contains("Next:"), "{}", message.text);
    }

    #[test]
    fn an_undetermined_scope_is_said_with_its_reason() {
        let place = |scope, value: &str| crate::incident::Place { scope, value: value.into() };
        let incident = Incident {
            scope: Scope::Undetermined,
            value: "a or g".into(),
            candidates: vec![place(Scope::Trunk, "a"), place(Scope::Gateway, "g")],
            undecided: Some(Undecided::SameCalls),
            unit: None,
            reproduced: Some(false),
            ..sample_incident()
        };
        let message = Message::new(Change::Opened, &incident, "key".into(), Vec::new());
        assert!(
            message.text.starts_with(
                "Who: undetermined (trunk a or gateway g), because the same calls use both (99.8 % sure)\n"
            )
        );
        assert!(message.text.contains("Reproduced: no, the repetition passed"));
    }

    #[test]
    fn one_agent_is_told_by_name_and_our_own_site_as_ours() {
        let agent =
            Incident { scope: Scope::SingleAgent, value: "1001".into(), widespread: false, ..sample_incident() };
        let text = Message::new(Change::Opened, &agent, "key".into(), Vec::new()).text;
        assert!(text.starts_with("Who: agent 1001 alone; others pass, unit support"), "{text}");
        let site = Incident { scope: Scope::ProbeSite, value: "tpe-1".into(), ..sample_incident() };
        let message = Message::new(Change::Opened, &site, "key".into(), Vec::new());
        assert_eq!(message.next_action, "Look at the probe's own machine and its network before anything else.");
    }
}
