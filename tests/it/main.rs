//! Integration tests: one binary, a file per subject.

mod influx;
mod layers;

#[path = "../support/influx_front/mod.rs"]
mod influx_front;
