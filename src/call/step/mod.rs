//! The steps, one file each: how a step begins, and what it makes of what comes in.

mod answer;
mod dial;
mod expect;
mod media;
mod options;
mod register;
mod talk;

pub(super) use register::binding_of;
