//! Results for people and for machines: `summary.json`, `junit.xml`, `report.html` and the terminal screen.
//!
//! Strings out: who writes them, and where, is decided elsewhere.

mod called;
mod expectations;
mod generator;
mod headline;
pub mod html;
mod ice_servers;
pub mod junit;
mod limits;
#[cfg(test)]
mod samples;
pub mod screen;
mod summary;
mod verdict;

pub use expectations::{Actual, Checker, ExpectationResult, aborts, all_hold};
pub use generator::{Generator, Health, LATE_IN_SMALL_RUN_MS};
pub use ice_servers::IceServers;
pub use screen::Snapshot;
pub use summary::{Limit, Parts, RecordShare, RunInfo, SinkCounts, SinkReport, Standing, Summary};
pub use verdict::{Ending, Verdict};
