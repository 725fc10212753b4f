//! Integration tests: one binary, a file per subject.

mod bad_files;
mod check_output;
mod garbage_files;
mod layers;
mod scenarios;
