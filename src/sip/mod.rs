//! sip.

pub mod auth;
pub mod framing;
pub mod sdp;
