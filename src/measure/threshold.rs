//! The small grammar of `run:` expectations.

/// A condition on the totals of a run, as `p(99) of srd_ms < 500`.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {}
