//! Values that must not reach a log, a file or a screen.

use std::fmt;
use std::sync::Arc;

/// Wraps what a log line may not show: it prints as `***`.
#[derive(Clone, Copy)]
pub struct Redacted<T>(pub T);

impl<T> fmt::Display for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<T> fmt::Debug for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A password or token, shared by its clones. It can be compared and used, but neither printed nor serialised.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Keeps `text` out of sight from here on.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into().into())
    }

    /// The secret itself, for the one place that sends or hashes it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_prints() {
        assert_eq!(format!("{:?} {}", Secret::new("hunter2"), Redacted("hunter2")), "*** ***");
    }
}
