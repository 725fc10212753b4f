//! The `webrtc` crate as the far end of ringfleet: it answers calls and places them. Media is its own from candidates to SRTP;
//! SIP is the least that carries a description there and back, over UDP on the loopback.

pub mod peer;
pub mod sip;
