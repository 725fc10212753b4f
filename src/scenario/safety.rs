//! Guard rails that a production line needs, on by default.

/// Bounds on every dialled number and on the run as a whole.
#[derive(Clone, Debug)]
pub struct Safety {
    /// Attempts at the same time.
    pub max_concurrent: u32,
    /// Attempts per second.
    pub max_cps: f64,
    /// Attempts in all.
    pub max_calls: u64,
    /// Length of the run, minutes.
    pub max_minutes: u32,
}
