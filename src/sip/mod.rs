//! sip.

pub mod auth;
pub mod framing;
