//! Incidents: from many results to who is hit, since when, by what, and how sure that is.
//!
//! [`Judge`] takes results of calls and says which faults they show; [`Throttle`] decides which of its changes become a
//! message; [`message`] and [`sheet`] are the texts. How a scope is found, each formula with its source, the bound on memory and
//! figures against simulated truth are in `docs/judge.md`.
//!
//! Nothing here reads a clock or draws a random number: moments are arguments, and the calendar is read off the results.
//! All state is serialisable.

mod family;
mod judge;
mod labels;
mod sample;
mod snapshot;

pub use family::{Family, Severity, Symptom};
pub use judge::{Config, Judge, Output, Reproduce, State};
pub use labels::{Label, Labels, Scope};
pub use sample::Sample;
pub use snapshot::{Call, Change, Incident, Place, Undecided};
