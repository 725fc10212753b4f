//! Integration tests: one binary, a file per subject.

mod layers;
