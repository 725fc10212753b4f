//! What the other side's description says, ready for use.

use std::net::{IpAddr, SocketAddr};

use is::{Candidate, IceCreds};

use crate::sip::sdp::peering::{Peering, Role};
use crate::sip::sdp::{Connection, Media};

/// The other side of a peer, by its description.
#[derive(Clone, Debug)]
pub struct Remote {
    pub(super) credentials: IceCreds,
    pub(super) candidates: Vec<Candidate>,
    /// Candidates that hide behind mDNS names.
    pub(super) mdns: u32,
    pub(super) lite: bool,
    pub(super) fingerprints: Vec<Fingerprint>,
    /// What we are in DTLS.
    pub(super) role: Role,
}

/// A hash of a certificate, as a description tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint {
    /// Name of the hash, in lower case.
    pub(super) hash: String,
    /// Its value, in upper case.
    pub(super) value: String,
}

impl Remote {
    /// From the media line that was agreed on; `None` where it lacks credentials of ICE.
    pub fn of(media: &Media<'_>, role: Role) -> Option<Self> {
        let peering = media.peering.as_deref()?;
        let (ufrag, pass) = peering.credentials()?;
        let mut candidates: Vec<Candidate> = peering.candidates.iter().filter_map(|text| read(text)).collect();
        // Some that speak ICE offer no candidate but mean the address of the line.
        if candidates.is_empty() && peering.candidates.is_empty() {
            candidates.extend(default_of(media).and_then(|address| Candidate::host(address, "udp").ok()));
        }
        Some(Self {
            credentials: IceCreds { ufrag: ufrag.to_owned(), pass: pass.to_owned() },
            candidates,
            mdns: peering.candidates.iter().filter(|text| is_mdns(text)).count() as u32,
            lite: peering.lite,
            fingerprints: fingerprints(peering),
            role,
        })
    }

    /// Addresses of its candidates.
    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.candidates.iter().map(Candidate::addr)
    }
}

/// A candidate that can be used: of UDP, with an address.
fn read(text: &str) -> Option<Candidate> {
    let candidate = Candidate::from_sdp_string(text).ok()?;
    (candidate.proto() == is::Protocol::Udp && is_usable(candidate.addr())).then_some(candidate)
}

fn is_usable(address: SocketAddr) -> bool {
    // Port 9 is that of a line without an address (RFC 8840 §4.1.1).
    !matches!(address.port(), 0 | 9) && !address.ip().is_unspecified() && !address.ip().is_multicast()
}

/// RFC 8828: the address is hidden behind a name that only the sender's own network resolves.
fn is_mdns(text: &str) -> bool {
    text.split_ascii_whitespace()
        .nth(4)
        .is_some_and(|address| address.parse::<IpAddr>().is_err() && address.to_ascii_lowercase().ends_with(".local"))
}

fn default_of(media: &Media<'_>) -> Option<SocketAddr> {
    let Some(Connection::Address(ip)) = media.connection else { return None };
    Some(SocketAddr::new(ip, media.port)).filter(|address| is_usable(*address))
}

fn fingerprints(peering: &Peering<'_>) -> Vec<Fingerprint> {
    let read = |text: &&str| {
        let (hash, value) = text.split_once(' ')?;
        Some(Fingerprint { hash: hash.to_ascii_lowercase(), value: value.trim().to_ascii_uppercase() })
    };
    peering.fingerprints.iter().filter_map(read).collect()
}
