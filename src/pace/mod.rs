//! When the k-th call starts, and where a line stops.

mod schedule;
pub mod search;

pub use schedule::{Load, Ramp, Schedule, Stop};
