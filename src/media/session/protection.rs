//! SRTP of one leg: what is sent is protected, what arrives is proved before anything else looks at it.

use std::borrow::Cow;

use crate::media::rtcp;
use crate::media::srtp::{Fault, Inbound, Outbound};
use crate::sip::sdp::crypto::{Keys, Suite};

use super::{Channel, Strays};

/// Packets of a leg's SRTP that were not let in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rejected {
    /// Packets that the far end's key does not prove, broken ones included.
    pub unauthenticated: u64,
    /// Packets that came before or too late to tell.
    pub replayed: u64,
    /// Packets that came after the lifetime of the key.
    pub expired: u64,
}

/// SRTP of one leg; without keys everything passes as it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Protection {
    running: Option<Box<Running>>,
    rejected: Rejected,
    /// The packet at hand, decrypted.
    clear: Vec<u8>,
}

#[derive(Clone, Debug)]
struct Running {
    keys: Keys,
    outbound: Outbound,
    inbound: Inbound,
}

impl Protection {
    pub(super) fn new(keys: Option<Keys>) -> Self {
        let mut protection = Self::default();
        protection.set_keys(keys);
        protection
    }

    /// A re-INVITE brought keys, perhaps the same ones again.
    pub(super) fn set_keys(&mut self, keys: Option<Keys>) {
        let Some(keys) = keys else {
            self.running = None;
            return;
        };
        match &mut self.running {
            Some(running) => {
                if running.keys.ours != keys.ours {
                    running.outbound.set_key(&keys.ours);
                }
                if running.keys.theirs != keys.theirs {
                    running.inbound.set_key(&keys.theirs);
                }
                running.keys = keys;
            }
            None => {
                let (outbound, inbound) = (Outbound::new(&keys.ours), Inbound::new(&keys.theirs));
                self.running = Some(Box::new(Running { keys, outbound, inbound }));
            }
        }
    }

    /// The suite spoken.
    pub(super) fn suite(&self) -> Option<Suite> {
        self.running.as_ref().map(|running| running.keys.ours.suite)
    }

    pub(super) fn rejected(&self) -> Rejected {
        self.rejected
    }

    /// Protects a packet of ours; false where it must not be sent.
    pub(super) fn protect(&mut self, packet: &mut Vec<u8>) -> bool {
        let Some(running) = &mut self.running else { return true };
        let protected = if rtcp::is_rtcp(packet) {
            running.outbound.protect_rtcp(packet)
        } else {
            running.outbound.protect_rtp(packet)
        };
        protected.is_ok()
    }

    /// The packet as its sender made it; `None` where it is not let in, as before the keys that DTLS is to bring. Give it
    /// back with [`put_back`](Self::put_back).
    pub(super) fn open<'p>(
        &mut self,
        channel: Channel,
        packet: &'p [u8],
        by_dtls: bool,
        strays: &mut Strays,
    ) -> Option<Cow<'p, [u8]>> {
        let Some(running) = &mut self.running else {
            strays.early += u64::from(by_dtls);
            return (!by_dtls).then_some(Cow::Borrowed(packet));
        };
        let mut clear = std::mem::take(&mut self.clear);
        clear.clear();
        clear.extend_from_slice(packet);
        let proof = if channel == Channel::Rtcp || rtcp::is_rtcp(packet) {
            running.inbound.unprotect_rtcp(&mut clear)
        } else {
            running.inbound.unprotect_rtp(&mut clear)
        };
        let count = match proof {
            Ok(()) => return Some(Cow::Owned(clear)),
            Err(Fault::Truncated | Fault::Authentication) => &mut self.rejected.unauthenticated,
            Err(Fault::Replay) => &mut self.rejected.replayed,
            Err(Fault::Expired) => &mut self.rejected.expired,
        };
        *count += 1;
        self.clear = clear;
        None
    }

    /// Keeps the buffer for the next packet.
    pub(super) fn put_back(&mut self, opened: Cow<'_, [u8]>) {
        if let Cow::Owned(clear) = opened {
            self.clear = clear;
        }
    }
}
