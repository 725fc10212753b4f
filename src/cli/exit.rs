//! Exit codes: the one place that says what they are.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | verdict pass |
//! | 1 | an expectation or threshold failed |
//! | 2 | bad usage or a bad file; nothing was dialled |
//! | 3 | generator limited: *we* fell behind, or could not keep the results; they say nothing about the target |
//! | 4 | not started: port, file descriptor, address, or the target unreachable before the first call |
//! | 130 | interrupted; every leg was hung up first |
//!
//! When several hold, 130 comes before 3 and 3 before 1 ([`Verdict::decide`] keeps that order).

use crate::report::Verdict;

/// Everything that was expected holds.
pub const PASS: u8 = 0;
/// An expectation or threshold failed.
pub const FAIL: u8 = 1;
/// Bad usage or a bad file.
pub const USAGE: u8 = 2;
/// The generator was the limit.
pub const GENERATOR_LIMITED: u8 = 3;
/// Nothing could be started.
pub const NOT_STARTED: u8 = 4;
/// Interrupted by a signal: 128 + SIGINT, as shells say it.
pub const INTERRUPTED: u8 = 130;

/// The exit code of a run with this verdict.
pub const fn code(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Pass => PASS,
        Verdict::Fail => FAIL,
        Verdict::GeneratorLimited => GENERATOR_LIMITED,
        Verdict::NotStarted => NOT_STARTED,
        Verdict::Interrupted => INTERRUPTED,
    }
}

/// The code of several runs together: 130, then 4, 3, 2 and 1, by how little the result says.
pub fn worst(codes: &[u8]) -> u8 {
    [INTERRUPTED, NOT_STARTED, USAGE, GENERATOR_LIMITED, FAIL]
        .into_iter()
        .find(|code| codes.contains(code))
        .unwrap_or(PASS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_verdict_has_the_code_of_the_contract() {
        let codes = Verdict::ALL.map(code);
        assert_eq!(codes, [0, 1, 3, 4, 130]);
    }
}
