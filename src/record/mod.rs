//! What one attempt showed: its facts, its class and its record.
//!
//! [`classify()`] is the only place that says why an attempt failed. It looks at [`Facts`] of one
//! attempt; what many attempts show together is a *finding* and is decided elsewhere.

mod beside;
mod build;
mod call_record;
mod class;
mod classify;
mod dictionary;
mod dtmf;
mod explain;
mod facts;
mod field;
mod finding;
mod hearing;
mod outcome;
mod refusal;
mod video;

pub use beside::{MediaSecond, RegistrationRecord};
pub use build::{Anchor, Identity, MediaFigures};
pub use call_record::{CallRecord, Direction, Origin, Retry, Role};
pub use class::{Class, UnknownClass};
pub use classify::classify;
pub use dtmf::KeysTold;
pub use explain::{Explanation, explain};
pub use facts::{
    Ended, Facts, FinalResponse, Heard, LocalFailure, MediaFacts, Moments, Party, PeerFacts, Recovery,
    RegistrationFacts, Rungs, SideFault, SideRequest, TransportFailure, TransportFault, TrickleFault,
};
pub use field::field;
pub use finding::{Finding, UnknownFinding};
pub use outcome::Outcome;
pub use video::VideoOutcome;
