//! Integration tests: one binary, a file per subject.

mod layers;
mod pair;
mod sip_calls;
