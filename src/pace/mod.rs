//! When the k-th call starts, when a check comes again, and where a line stops.

mod arrivals;
pub mod calendar;
mod length;
mod mix;
mod schedule;
pub mod search;

pub use arrivals::{Arrivals, peak_of};
pub use length::Length;
pub use mix::Mix;
pub use schedule::{Load, Ramp, Schedule, Stop};
