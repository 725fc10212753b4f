//! Bodies from templates, with everything that they may put.

use serde::Serialize;

use super::{Alert, State};
use crate::incident::Severity;
use crate::scenario::watch::form::{Form, Mistake};
use crate::units::Secret;

/// A template of a body.
#[derive(Debug)]
pub(super) struct Body {
    form: Form,
    routing_key: Option<Secret>,
}

/// What stands in templates: the alert's own fields, and what is made of them.
#[derive(Serialize)]
pub(super) struct Context<'a> {
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

impl<'a> Context<'a> {
    pub(super) fn of(alert: &'a Alert, routing_key: Option<&'a Secret>) -> Self {
        let severity = alert.message.severity;
        Self {
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
            routing_key: routing_key.map(Secret::reveal),
        }
    }
}

impl Body {
    /// From a text, which was tried when the file was read.
    pub(super) fn new(text: &str, routing_key: Option<Secret>) -> Result<Self, Mistake> {
        Ok(Self { form: Form::json(text)?, routing_key })
    }

    /// The body of an alert, which is JSON.
    pub(super) fn render(&self, alert: &Alert) -> Result<Vec<u8>, Mistake> {
        self.form.render(&Context::of(alert, self.routing_key.as_ref())).map(String::into_bytes)
    }
}
