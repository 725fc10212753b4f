//! SIP, sans-I/O: bytes and time in, bytes, events and deadlines out (RFC 3261).
//!
//! | layer | where |
//! |---|---|
//! | reading a message without copying it | [`message`], [`header`], [`uri`] |
//! | writing one | [`mod@write`] |
//! | retransmission and time-outs (§17) | [`transaction`] |
//! | INVITE sessions and their dialogs (§12–15) | [`session`] |
//! | registrations (§10) | [`registration`] |
//! | keep-alives of flows (RFC 5626) | [`keep_alive`], [`stun`] |
//! | what may be acted on at all | [`validity`] |
//! | which message belongs to whom | [`endpoint`] |

pub mod auth;
pub mod authenticator;
pub mod dialog;
pub mod endpoint;
pub mod exchange;
pub mod flow;
pub mod framing;
pub mod header;
pub mod keep_alive;
pub mod locate;
pub mod message;
pub mod one_message;
pub mod outbox;
pub mod raw;
pub mod registration;
pub mod sdp;
pub mod session;
pub mod stun;
pub mod token;
pub mod transaction;
pub mod uri;
pub mod validity;
pub mod write;
