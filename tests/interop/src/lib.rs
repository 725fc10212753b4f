//! Libraries of others beside ringfleet: `rsip` as the oracle of its parser, `rsipstack` as its peer.

pub mod alike;
pub mod peer;

#[path = "../../support/torture_messages.rs"]
pub mod torture_messages;
