//! Bodies from templates. Every value is put as JSON, with its quotes, so that no name of a trunk can break a body.

use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde::Serialize;

use super::{Alert, State};
use crate::incident::Severity;
use crate::units::Secret;

/// Name of the only template of an environment.
const BODY: &str = "body.json";

/// A template of a body.
pub(super) struct Body {
    environment: Environment<'static>,
    routing_key: Option<Secret>,
}

/// What stands in templates beside the alert's own fields.
#[derive(Serialize)]
struct Context<'a> {
    #[serde(flatten)]
    alert: &'a Alert,
    /// `trunk cht`.
    place: String,
    /// `#rrggbb`.
    colour: &'static str,
    /// In PagerDuty's words.
    pagerduty_severity: &'static str,
    routing_key: Option<&'a str>,
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Body")
    }
}

impl Body {
    /// From a text. `Err` says what is wrong with it, tried with an incident that is open and one that is over.
    pub(super) fn new(text: &str, routing_key: Option<Secret>) -> Result<Self, String> {
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::Json);
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.add_template_owned(BODY, text.to_owned()).map_err(|error| in_words(&error))?;
        let body = Self { environment, routing_key };
        for state in [State::Firing, State::Resolved] {
            body.render(&Alert::example(state))?;
        }
        Ok(body)
    }

    /// The body of an alert, which is JSON.
    pub(super) fn render(&self, alert: &Alert) -> Result<Vec<u8>, String> {
        let severity = alert.message.severity;
        let context = Context {
            alert,
            place: alert.message.incident.place(),
            colour: match (alert.state, severity) {
                (State::Resolved, _) => "#2e7d32",
                (_, Severity::Minor) => "#546e7a",
                (_, Severity::Degraded) => "#f9a825",
                (_, Severity::Major | Severity::Critical) => "#c62828",
            },
            pagerduty_severity: match severity {
                Severity::Minor => "info",
                Severity::Degraded => "warning",
                Severity::Major => "error",
                Severity::Critical => "critical",
            },
            routing_key: self.routing_key.as_ref().map(Secret::reveal),
        };
        let template = self.environment.get_template(BODY).expect("it was added");
        let text = template.render(Value::from(Serde(context))).map_err(|error| in_words(&error))?;
        match serde_json::from_str::<serde_json::Value>(&text) {
            Ok(_) => Ok(text.into_bytes()),
            Err(error) => Err(format!("what it renders is no JSON: {error}")),
        }
    }
}

fn in_words(error: &minijinja::Error) -> String {
    let line = error.line().map_or_else(String::new, |line| format!(", line {line}"));
    format!("{}{line}", error.detail().map_or_else(|| error.kind().to_string(), str::to_owned))
}
