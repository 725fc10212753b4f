//! Integration tests: one binary, a file per subject.

mod influx;
mod layers;
mod pair;
mod sip_calls;

#[path = "../support/influx_front/mod.rs"]
mod influx_front;
