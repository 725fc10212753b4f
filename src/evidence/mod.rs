//! Evidence of single attempts: what was on the wire, for people.
//!
//! Messages come out of a bounded [`Ring`]; a [`Bundle`] turns those of one attempt into named files. Secrets are
//! taken out of everything that is shown, and where a target wants that, telephone numbers are masked. Writing files is left to the sinks.

mod bundle;
mod ladder;
mod mask;
mod redact;
mod ring;

pub use bundle::{Bundle, File};
pub use ladder::Ladder;
pub use mask::Mask;
pub use redact::Secrets;
pub use ring::{DEFAULT_CAPACITY, Message, Ring};
