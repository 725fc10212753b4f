//! From records to figures: histograms, tallies, windows, thresholds, KPIs.

pub mod definition;
pub mod figure;
pub mod histogram;
pub mod kpi;
#[cfg(test)]
pub(crate) mod samples;
pub mod tally;
pub mod threshold;
pub mod total;
pub mod window;

pub use figure::Figure;
pub use histogram::{Distribution, DistributionSummary, Scale};
pub use kpi::{Kpi, Seizure, ineffective_registration};
pub use tally::{BackOff, LatencyFrom, Legs, Tally, Totals};
pub use threshold::{Evaluation, Threshold, ThresholdError};
pub use total::Total;
pub use window::{Window, WindowBuilder};
