//! Simulated truth for the judge: a world with faults in it, and the score of who looks for them.

pub mod score;
pub mod world;
