//! Simulated truth for the judge: a world with faults in it, who could know of them, and the score of who looks for them.

mod observer;
pub(crate) mod score;
pub(crate) mod world;
