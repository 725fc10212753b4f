//! The small grammar of `run:` expectations.

/// A condition on the totals of a run, as `p(99) of srd_ms < 500`.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {}

impl std::str::FromStr for Threshold {
    type Err = String;

    fn from_str(_: &str) -> Result<Self, String> {
        Ok(Self {})
    }
}
