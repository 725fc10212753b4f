//! When the k-th call starts.

mod schedule;

pub use schedule::{Load, Ramp, Schedule, Stop};
