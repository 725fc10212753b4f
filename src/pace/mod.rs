//! When the k-th call starts, and where a line stops.

mod arrivals;
mod length;
mod mix;
mod schedule;
pub mod search;

pub use arrivals::{Arrivals, peak_of};
pub use length::Length;
pub use mix::Mix;
pub use schedule::{Load, Ramp, Schedule, Stop};
