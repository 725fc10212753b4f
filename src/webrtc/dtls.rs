//! DTLS 1.2 (RFC 6347) for the keys of SRTP (RFC 5764): `dimpl`, with the proof of the other side's certificate.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use dimpl::{KeyingMaterial, Output, SrtpProfile};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};

use super::Identity;
use super::fault::Fault;
use super::identity::hex;
use super::remote::Fingerprint;
use crate::sip::sdp::crypto::{Key, Keys, Suite};
use crate::sip::sdp::peering::Role;

/// Room for what one call of `poll_output` gives: a datagram, or a certificate, for which it grows.
const ROOM: usize = 1_500;

/// One association.
pub(super) struct Dtls {
    inner: dimpl::Dtls,
    role: Role,
    fingerprints: Vec<Fingerprint>,
    due: Option<Instant>,
    /// Something arrived.
    pub(super) heard: bool,
    proved: bool,
    keys: Option<Keys>,
    connected: bool,
}

impl Dtls {
    pub(super) fn new(identity: &Identity, role: Role, fingerprints: Vec<Fingerprint>, now: Instant) -> Self {
        let mut inner = dimpl::Dtls::new_12(Arc::clone(&identity.config), identity.certificate.clone(), now);
        inner.set_active(role == Role::Client);
        let (due, heard, proved, keys, connected) = (None, false, false, None, false);
        Self { inner, role, fingerprints, due, heard, proved, keys, connected }
    }

    pub(super) fn handle_packet(&mut self, now: Instant, packet: &[u8]) -> Result<(), Fault> {
        self.heard = true;
        // It takes the time from here only.
        self.inner.handle_timeout(now).and_then(|()| self.inner.handle_packet(packet)).map_err(failed)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<(), Fault> {
        self.inner.handle_timeout(now).map_err(|error| match error {
            dimpl::Error::Timeout(_) if self.heard => Fault::DtlsTimeout,
            dimpl::Error::Timeout(_) => Fault::DtlsSilent,
            error => failed(error),
        })
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Gives every packet to `send`; the keys once the handshake is done.
    pub(super) fn drain(&mut self, mut send: impl FnMut(&[u8])) -> Result<Option<Keys>, Fault> {
        let mut room = vec![0; ROOM];
        let mut just_done = false;
        loop {
            match self.inner.poll_output(&mut room) {
                Output::Packet(packet) => send(packet),
                Output::BufferTooSmall { needed } => room.resize(needed, 0),
                Output::Timeout(at) => {
                    self.due = Some(at);
                    break;
                }
                Output::PeerCert(certificate) => {
                    prove(certificate, &self.fingerprints)?;
                    self.proved = true;
                }
                Output::KeyingMaterial(material, profile) => self.keys = Some(keys(&material, profile, self.role)),
                Output::Connected => (self.connected, just_done) = (true, true),
                // No data channel was offered, and the end of the call is told by SIP.
                _ => {}
            }
        }
        if !just_done {
            return Ok(None);
        }
        if !self.proved {
            return Err(Fault::Dtls("the other side showed no certificate".to_owned()));
        }
        self.keys.ok_or(Fault::NoSrtp).map(Some)
    }

    /// Tells the other side that nothing more will come.
    pub(super) fn close(&mut self) {
        if self.connected {
            // It fails where the other side has closed already.
            let _ = self.inner.close();
        }
    }
}

impl fmt::Debug for Dtls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dtls").field("role", &self.role).field("connected", &self.connected).finish_non_exhaustive()
    }
}

fn failed(error: dimpl::Error) -> Fault {
    Fault::Dtls(error.to_string())
}

/// RFC 8122 §5: the certificate must have one of the fingerprints of the description.
fn prove(certificate: &[u8], told: &[Fingerprint]) -> Result<(), Fault> {
    let matches = |one: &Fingerprint| {
        let shown = match one.hash.as_str() {
            "sha-1" => hex(&Sha1::digest(certificate)),
            "sha-256" => hex(&Sha256::digest(certificate)),
            "sha-384" => hex(&Sha384::digest(certificate)),
            "sha-512" => hex(&Sha512::digest(certificate)),
            _ => return false,
        };
        shown == one.value
    };
    if told.iter().any(matches) {
        return Ok(());
    }
    let told: Vec<String> = told.iter().map(|one| format!("{} {}", one.hash, one.value)).collect();
    Err(Fault::Fingerprint {
        shown: format!("sha-256 {}", hex(&Sha256::digest(certificate))),
        told: if told.is_empty() { "none that can be read".to_owned() } else { told.join(" and ") },
    })
}

/// RFC 5764 §4.2: client key, server key, client salt, server salt.
fn keys(material: &KeyingMaterial, profile: SrtpProfile, role: Role) -> Keys {
    let suite = match profile {
        SrtpProfile::AEAD_AES_128_GCM => Suite::AeadAes128Gcm,
        SrtpProfile::AEAD_AES_256_GCM => Suite::AeadAes256Gcm,
        _ => Suite::AesCm128Sha1_80,
    };
    let (key, salt) = (suite.key_len(), suite.salt_len());
    let of = |side: usize| {
        let both = [&material[side * key..][..key], &material[2 * key + side * salt..][..salt]].concat();
        Key::new(suite, &both).expect("both parts have the suite's length")
    };
    let (client, server) = (of(0), of(1));
    match role {
        Role::Client => Keys { ours: client, theirs: server },
        Role::Server => Keys { ours: server, theirs: client },
    }
}
