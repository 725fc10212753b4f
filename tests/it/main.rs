//! Integration tests: one binary, a file per subject.

mod bad_files;
mod garbage_files;
mod layers;
mod scenarios;
