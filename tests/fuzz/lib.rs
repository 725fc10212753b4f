//! What the targets share with the test that replays their corpus.

#[path = "../support/fuzz_entries/mod.rs"]
pub mod entries;
