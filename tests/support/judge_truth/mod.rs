//! Simulated truth for the judge: a world with faults in it, and the score of who looks for them.

pub(crate) mod score;
pub(crate) mod world;
