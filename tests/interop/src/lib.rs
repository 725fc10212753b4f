//! Libraries of others beside ringfleet: `rsip` as the oracle of its parser, `rsipstack` as its peer, and with the feature of that
//! name `webrtc` as the peer of its media.

pub mod alike;
pub mod peer;
#[cfg(feature = "webrtc")]
pub mod web;

#[path = "../../support/torture_messages.rs"]
pub mod torture_messages;
