//! Integration tests: one binary, a file per subject.

mod bad_files;
mod check_output;
mod cli;
mod garbage_files;
mod influx;
mod layers;
mod pair;
mod scenarios;
mod sip_calls;
mod virtual_faults;
mod virtual_lab;
mod virtual_net;

#[path = "../support/influx_front/mod.rs"]
mod influx_front;
