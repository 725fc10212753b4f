//! The path of a WebRTC call: ICE finds it (RFC 8445), DTLS agrees on the keys of SRTP over it (RFC 5764).
//!
//! [`Peer`] is one side of one call. It takes what the other side's description says ([`Remote`]), STUN and DTLS
//! packets and the time, and gives packets, the address and keys to speak SRTP with, or the [`Fault`] that kept it from
//! them; how far it came and when are its [`Rungs`]. STUN and TURN servers that it may use are [`Server`]s. RTP and RTCP are those of any other call: `media::Session` sends,
//! receives and measures them with the keys from here. Sockets and session descriptions belong to others.
//!
//! The agent of ICE is `is`, the state machine of DTLS `dimpl`: the two parts of `str0m` that a machine with a clock,
//! timestamps and SRTP of its own needs. Both draw transaction ids, nonces and ephemeral keys themselves; nothing that
//! happens depends on what is drawn.

mod dtls;
mod fault;
mod gather;
mod ice;
mod identity;
mod peer;
#[cfg(test)]
mod relay_tests;
mod remote;
mod server;
#[cfg(test)]
mod tests;

pub use fault::{Fault, Rung};
pub use gather::Via;
pub use identity::{Credentials, Identity, IdentityError};
pub use peer::{Config, Event, Handled, Output, Peer, Relocation, Rungs};
pub use remote::Remote;
#[cfg(test)]
pub(crate) use server::fake::Fake as FakeServer;
pub use server::{Login, Server, ServerFault, Trouble};

/// Whether a datagram is STUN (RFC 7983 §7): bytes 0–3 come first.
pub fn is_stun(packet: &[u8]) -> bool {
    matches!(packet.first(), Some(0..=3))
}

/// Whether a datagram is DTLS (RFC 7983 §7): bytes 20–63 come first.
pub fn is_dtls(packet: &[u8]) -> bool {
    matches!(packet.first(), Some(20..=63))
}
