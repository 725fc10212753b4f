//! What one attempt showed: its facts, its class and its record.
//!
//! [`classify()`](classify::classify) is the only place that says why an attempt failed. It looks at [`Facts`] of one
//! attempt; what many attempts show together is a *finding* and is decided elsewhere.

mod call_record;
mod class;
mod facts;

pub use call_record::{CallRecord, Direction, Origin, Retry, Role};
pub use class::Class;
pub use facts::{
    Ended, Facts, FinalResponse, Heard, LocalFailure, MediaFacts, Moments, Party, RegistrationFacts, TransportFault,
};
