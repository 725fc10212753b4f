//! What arrived and what did not (RFC 3550 §6.4.1, A.1, A.3, A.8).
//!
//! [`Reception`] joins the parts over the whole life of a leg, across changes of the source; [`Sequence`] counts one
//! source, [`Jitter`] times it, [`Chain`] tells bursts from random loss. Loss comes from sequence numbers
//! (`loss_source` "seq").

mod burst;
mod jitter;
mod reception;
mod samples;
mod sequence;

pub use burst::Chain;
pub use jitter::Jitter;
pub use reception::{Counts, Interval, Reception};
pub use samples::Samples;
pub use sequence::{Arrival, Sequence};

/// Share of `expected` packets that are not among `received`, percent; never negative, `None` where fewer than two
/// were expected: from one packet alone nothing can be said about others.
pub fn loss_pct(expected: u64, received: u64) -> Option<f64> {
    (expected >= 2).then(|| expected.saturating_sub(received) as f64 / expected as f64 * 100.0)
}
