//! Incidents: from many results to who is hit, since when, by what, and how sure that is.
//!
//! [`Judge`] takes results of calls and says which faults they show; [`Throttle`] decides which of its changes become a
//! [`Message`]; a [`Sheet`] is what support asks for. How a scope is found, each formula with its source, the bound on memory
//! and figures against simulated truth are in `docs/judge.md`.
//!
//! Nothing here reads a clock or draws a random number: moments are arguments, and the calendar is read off the results.
//! All state is serialisable.

mod family;
mod judge;
mod labels;
mod message;
mod sample;
mod sheet;
mod snapshot;
mod throttle;

pub use family::{Family, Severity, Symptom};
pub use judge::{Config, INTERRUPTION, Judge, Output, Reproduce, State};
pub use labels::{Label, Labels, Scope};
pub use message::{Link, Message};
pub use sample::Sample;
pub use sheet::{About, Numbers, Sheet};
pub use snapshot::{Call, Change, Incident, Place, Undecided};
pub use throttle::{Decision, Key, Throttle};

/// A trunk's incident, to try templates with.
pub(crate) fn sample_incident() -> Incident {
    use crate::record::{Class, Finding};
    let stamp = |text: &str| text.parse().expect("a time stamp");
    let call = |id: &str, sip: Option<&str>, at: &str| Call {
        call_id: id.to_owned(),
        sip_call_id: sip.map(str::to_owned),
        at: stamp(at),
    };
    Incident {
        id: "inc-1".into(),
        scope: Scope::Trunk,
        value: "cht".into(),
        candidates: Vec::new(),
        undecided: None,
        symptom: Symptom::Class(Class::CallNetworkFailed),
        finding: Some(Finding::LineDown),
        severity: Severity::Critical,
        widespread: true,
        unit: Some("support".into()),
        since: stamp("2026-03-01T10:20:30Z"),
        opened_at: stamp("2026-03-01T10:21:00Z"),
        updated_at: stamp("2026-03-01T10:24:00Z"),
        closed_at: None,
        failures: 12,
        tested: 13,
        agents_failing: 5,
        agents_tested: 6,
        reproduced: Some(true),
        confidence: 0.998,
        codes: vec![(503, 10), (408, 2)],
        symptoms: vec![(Symptom::Class(Class::CallNetworkFailed), 10), (Symptom::Class(Class::CallTimeout), 2)],
        shared: vec!["trunk=cht".into()],
        first_call: call("c-7", Some("7@probe"), "2026-03-01T10:20:30Z"),
        last_call: call("c-99", None, "2026-03-01T10:24:00Z"),
        reopened: 0,
        merged_into: None,
        split_from: None,
    }
}
