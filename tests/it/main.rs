//! Integration tests: one binary, a file per subject.

mod bad_files;
mod check_output;
mod garbage_files;
mod influx;
mod layers;
mod pair;
mod scenarios;
mod sip_calls;

#[path = "../support/influx_front/mod.rs"]
mod influx_front;
