//! **The** place of sockets and time.

pub mod bandwidth;
pub mod clock;
pub mod dialer;
pub mod drops;
pub mod ice;
pub mod listen;
pub mod resolve;
pub mod side;
pub mod stream;
pub mod timer;
pub mod tls;
pub mod udp;
pub mod websocket;
