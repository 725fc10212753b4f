//! SRTP and SRTCP (RFC 3711, 6188, 7714): protects what is sent, and lets nothing in that its key does not prove.
//!
//! [`Outbound`] and [`Inbound`] work in place on a reused buffer and allocate nothing per packet. A new master key
//! keeps the rollover counters of the sources (RFC 3711 §3.3.1); packets of the key before it are let in for a while,
//! since those under way were made before the change. Left out: key derivation rates other than 0, the F8 and null
//! ciphers, and several master keys at a time. Where keys come from is `sip::sdp::crypto`'s.

mod derive;
mod index;
mod transform;

#[cfg(test)]
mod tests;

use crate::sip::sdp::crypto::Key;

use index::{Source, Sources};
use transform::Transform;

/// Packets that one key may protect (RFC 3711 §9.2).
const MAX_RTP: u64 = 1 << 48;
const MAX_RTCP: u64 = 1 << 31;
/// Packets under a new key after which the one before it is forgotten: 2 s of audio.
const GRACE: u32 = 100;

/// Why a packet is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is too short to be what it seems.
    #[error("too short for SRTP")]
    Truncated,
    /// Its tag is not one that the key makes: another key, or damage.
    #[error("not authentic")]
    Authentication,
    /// It came before, or is too old to tell.
    #[error("replayed")]
    Replay,
    /// The key's lifetime is over.
    #[error("the key has expired")]
    Expired,
}

/// The key may protect no more packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key is used up")]
pub struct UsedUp;

/// Protects what one source sends.
#[derive(Clone, Debug)]
pub struct Outbound {
    transform: Box<Transform>,
    /// Index of the last RTP packet.
    last: Option<u64>,
    /// Index of the next RTCP packet.
    next_rtcp: u64,
    limits: (u64, u64),
    used: (u64, u64),
}

/// Lets in what the far end's key proves.
#[derive(Clone, Debug)]
pub struct Inbound {
    transform: Box<Transform>,
    previous: Option<Box<Transform>>,
    /// Packets let in under the key.
    used: (u64, u64),
    limits: (u64, u64),
    grace: u32,
    sources: Sources,
}

impl Outbound {
    /// Sends under `key` from the next packet on.
    pub fn new(key: &Key) -> Self {
        let transform = Box::new(Transform::new(key));
        Self { transform, last: None, next_rtcp: 0, limits: limits(key), used: (0, 0) }
    }

    /// Another key; counters go on.
    pub fn set_key(&mut self, key: &Key) {
        *self.transform = Transform::new(key);
        (self.limits, self.used) = (limits(key), (0, 0));
    }

    /// Encrypts an RTP packet of this side and appends its tag. A packet with a broken header is left as it is.
    ///
    /// # Errors
    /// [`UsedUp`]: the packet must not be sent.
    pub fn protect_rtp(&mut self, packet: &mut Vec<u8>) -> Result<(), UsedUp> {
        let Some(header) = transform::rtp_header(packet) else { return Ok(()) };
        let index = match self.last {
            None => u64::from(header.sequence),
            Some(last) => index::guess(last, header.sequence).unwrap_or_else(|| header.sequence.into()),
        };
        if self.used.0 >= self.limits.0 || index >= MAX_RTP {
            return Err(UsedUp);
        }
        self.used.0 += 1;
        self.last = Some(self.last.map_or(index, |last| last.max(index)));
        self.transform.protect_rtp(&header, index, packet);
        Ok(())
    }

    /// Encrypts an RTCP compound, appends index and tag.
    ///
    /// # Errors
    /// [`UsedUp`]: the packet must not be sent.
    pub fn protect_rtcp(&mut self, packet: &mut Vec<u8>) -> Result<(), UsedUp> {
        if self.used.1 >= self.limits.1 || self.next_rtcp >= MAX_RTCP {
            return Err(UsedUp);
        }
        self.transform.protect_rtcp(self.next_rtcp as u32, packet);
        self.next_rtcp += 1;
        self.used.1 += 1;
        Ok(())
    }
}

impl Inbound {
    /// Lets in what `key` proves.
    pub fn new(key: &Key) -> Self {
        Self {
            transform: Box::new(Transform::new(key)),
            previous: None,
            used: (0, 0),
            limits: limits(key),
            grace: 0,
            sources: Sources::default(),
        }
    }

    /// Another key; counters go on, and packets of the key so far are let in for a while.
    pub fn set_key(&mut self, key: &Key) {
        let fresh = Box::new(Transform::new(key));
        self.previous = Some(std::mem::replace(&mut self.transform, fresh));
        (self.limits, self.used, self.grace) = (limits(key), (0, 0), GRACE);
    }

    /// Proves and decrypts an RTP packet, and takes its tag off.
    ///
    /// # Errors
    /// [`Fault`]; the packet is as it was.
    pub fn unprotect_rtp(&mut self, packet: &mut Vec<u8>) -> Result<(), Fault> {
        let header = transform::rtp_header(packet).ok_or(Fault::Truncated)?;
        let known = self.sources.get(header.ssrc).copied().unwrap_or_default();
        let index = known.rtp.index_of(header.sequence).ok_or(Fault::Replay)?;
        if known.rtp.has(index) {
            return Err(Fault::Replay);
        }
        if self.used.0 >= self.limits.0 {
            return Err(Fault::Expired);
        }
        let proof = self.transform.unprotect_rtp(&header, index, packet);
        let older = |previous: &Transform| previous.unprotect_rtp(&header, index, packet);
        if self.settle(proof, older)? {
            self.used.0 += 1;
        }
        self.sources.note(header.ssrc, |source: &mut Source| source.rtp.add(index));
        Ok(())
    }

    /// Proves and decrypts an RTCP compound, and takes index and tag off.
    ///
    /// # Errors
    /// [`Fault`]; the packet is as it was.
    pub fn unprotect_rtcp(&mut self, packet: &mut Vec<u8>) -> Result<(), Fault> {
        let ssrc = transform::rtcp_ssrc(packet).ok_or(Fault::Truncated)?;
        let known = self.sources.get(ssrc).copied().unwrap_or_default();
        if self.used.1 >= self.limits.1 {
            return Err(Fault::Expired);
        }
        let seen = |index: u32| known.rtcp.has(u64::from(index));
        let mut index = 0;
        let proof = self.transform.unprotect_rtcp(packet, &seen).map(|proved| index = proved);
        let older = |previous: &Transform| previous.unprotect_rtcp(packet, &seen).map(|proved| index = proved);
        if self.settle(proof, older)? {
            self.used.1 += 1;
        }
        self.sources.note(ssrc, |source: &mut Source| source.rtcp.add(u64::from(index)));
        Ok(())
    }

    /// Whether the current key proved the packet; where it did not, the one before it may.
    fn settle(
        &mut self,
        proof: Result<(), Fault>,
        older: impl FnOnce(&Transform) -> Result<(), Fault>,
    ) -> Result<bool, Fault> {
        match (proof, &self.previous) {
            (Ok(()), None) => Ok(true),
            (Ok(()), Some(_)) => {
                self.grace -= 1;
                if self.grace == 0 {
                    self.previous = None;
                }
                Ok(true)
            }
            (Err(_), Some(previous)) => older(previous).map(|()| false),
            (Err(fault), None) => Err(fault),
        }
    }
}

fn limits(key: &Key) -> (u64, u64) {
    let lifetime = key.lifetime.unwrap_or(MAX_RTP);
    (lifetime.min(MAX_RTP), lifetime.min(MAX_RTCP))
}
