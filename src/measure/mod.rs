//! From records to figures: histograms, tallies, windows, thresholds, KPIs.

pub mod threshold;
