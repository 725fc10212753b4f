//! InfluxDB by the write API of 1.x, 2 or 3: where to, one request, and what its answer means for each line.
//!
//! Waiting and trying again are the courier's; the lines themselves are [`super::line`]'s.

mod answer;
mod client;
mod credentials;
mod target;

pub use client::InfluxClient;
pub use credentials::Credentials;
pub use target::{InfluxTarget, TargetError};

pub use super::http::TimeOuts;
