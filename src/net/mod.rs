//! **The** place of sockets and time.

pub mod clock;
pub mod resolve;
pub mod stream;
pub mod timer;
pub mod udp;
