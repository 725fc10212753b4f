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
    /// mDNS names that candidates hide behind, each once.
    pub(super) mdns: Vec<String>,
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
        let mut candidates: Vec<Candidate> = candidates_of(peering).collect();
        // Some that speak ICE offer no candidate but mean the address of the line.
        if candidates.is_empty() && peering.candidates.is_empty() {
            candidates.extend(default_of(media).and_then(|address| Candidate::host(address, "udp").ok()));
        }
        Some(Self {
            credentials: IceCreds { ufrag: ufrag.to_owned(), pass: pass.to_owned() },
            candidates,
            mdns: mdns_names(peering),
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

/// Candidates that can be used.
pub(super) fn candidates_of(peering: &Peering<'_>) -> impl Iterator<Item = Candidate> {
    peering.candidates.iter().filter_map(|text| read(text))
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

/// Names that are kept of a description, and the characters of one: browsers have one for each address of theirs.
pub(super) const MOST_NAMES: usize = 8;
const LONGEST_NAME: usize = 64;

/// RFC 8828: addresses are hidden behind names that only the sender's own network resolves.
pub(super) fn mdns_names(peering: &Peering<'_>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in peering.candidates.iter().filter_map(|text| mdns_name(text)) {
        let name: String = name.chars().filter(|c| c.is_ascii_graphic()).take(LONGEST_NAME).collect();
        if names.len() < MOST_NAMES && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn mdns_name(text: &str) -> Option<&str> {
    let address = text.split_ascii_whitespace().nth(4)?;
    let hidden = address.parse::<IpAddr>().is_err() && address.to_ascii_lowercase().ends_with(".local");
    hidden.then_some(address)
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
