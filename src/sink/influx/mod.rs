//! InfluxDB through `/api/v2/write`: where to, one request, and what its answer means for each line.
//!
//! Waiting and trying again are the courier's; the lines themselves are [`super::line`]'s.

mod answer;
mod client;
mod target;

pub use client::{InfluxClient, TimeOuts};
pub use target::{InfluxTarget, TargetError};
