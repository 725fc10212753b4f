//! The place of sockets and time.

pub mod clock;
