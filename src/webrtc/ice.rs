//! The agent of ICE: `is`, with our cryptography, our timing and a view of what a peer wants to know.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use is::stun::{StunMessage, StunPacket};
use is::{Candidate, CandidateKind, IceAgent, IceAgentEvent, IceCreds, Protocol, Sha1HmacProvider};
use sha1::Sha1;

use super::Remote;
use super::identity::Credentials;

/// Between two checks, where nothing that arrives asks for one at once: the least that RFC 8445 §14.2 allows.
const PACE: Duration = Duration::from_millis(5);
/// First repetition of a check. RFC 8445 §14.3 has 500 ms for a path of unknown latency; browsers wait 250 ms.
const FIRST_REPEAT: Duration = Duration::from_millis(250);

/// HMAC-SHA1 of STUN (RFC 8489 §14.5).
#[derive(Debug)]
struct Integrity;

impl Sha1HmacProvider for Integrity {
    fn sha1_hmac(&self, key: &[u8], payloads: &[&[u8]]) -> [u8; 20] {
        let mut mac = Hmac::<Sha1>::new_from_slice(key).expect("HMAC takes a key of any length");
        payloads.iter().for_each(|payload| mac.update(payload));
        mac.finalize().into_bytes().into()
    }
}

/// One session of ICE, or several after another.
#[derive(Debug)]
pub(super) struct Ice {
    agent: IceAgent,
    /// The address of our socket.
    local: SocketAddr,
    has_remote: bool,
    /// Candidates that the agent has found by itself before we were told of them, as descriptions write them.
    found: Vec<String>,
    due: Option<Instant>,
}

/// Checks of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Checks {
    pub(super) sent: u64,
    pub(super) answered: u64,
    pub(super) received: u64,
}

impl Ice {
    /// Without candidates.
    pub(super) fn new(
        credentials: &Credentials,
        local: SocketAddr,
        (controlling, lite): (bool, bool),
        tie_breaker: u64,
    ) -> Self {
        let mut agent = IceAgent::with_hmac(creds(credentials), &Integrity);
        agent.set_control_tie_breaker(tie_breaker);
        agent.set_timing_advance(PACE);
        agent.set_initial_stun_rto(FIRST_REPEAT);
        agent.set_controlling(controlling && !lite);
        agent.set_ice_lite(lite);
        Self { agent, local, has_remote: false, found: Vec::new(), due: None }
    }

    /// Our socket is a candidate.
    pub(super) fn add_host(&mut self) {
        self.add(Candidate::host(self.local, Protocol::Udp).ok());
    }

    /// Others see our socket at this address.
    pub(super) fn add_reflexive(&mut self, public: SocketAddr) {
        if public != self.local {
            self.add(Candidate::server_reflexive(public, self.local, Protocol::Udp).ok());
        }
    }

    /// A server relays this address for us.
    pub(super) fn add_relayed(&mut self, relayed: SocketAddr) {
        self.add(Candidate::relayed(relayed, self.local, Protocol::Udp).ok());
    }

    fn add(&mut self, candidate: Option<Candidate>) {
        let Some(mut candidate) = candidate else { return };
        let found = |known: Candidate| known.kind() == CandidateKind::PeerReflexive && known.addr() == candidate.addr();
        if self.agent.local_candidates().any(found) {
            candidate.set_ufrag(&self.agent.local_credentials().ufrag);
            self.found.push(candidate.to_sdp_string());
        }
        self.agent.add_local_candidate(candidate);
    }

    /// Our candidates as descriptions write them.
    pub(super) fn candidates(&self) -> Vec<String> {
        self.agent.local_candidates().map(|candidate| candidate.to_sdp_string()).collect()
    }

    /// The same without what checks alone have shown: the other side has seen it in them too.
    pub(super) fn told_candidates(&self) -> Vec<String> {
        let told = |candidate: &Candidate| candidate.kind() != CandidateKind::PeerReflexive;
        let told = self.agent.local_candidates().filter(told).map(|candidate| candidate.to_sdp_string());
        told.chain(self.found.iter().cloned()).collect()
    }

    /// What the other side says of itself. The checks begin.
    pub(super) fn set_remote(&mut self, remote: &Remote) {
        // RFC 8445 §6.1.1: whoever faces a lite agent controls.
        if remote.lite && !self.agent.ice_lite() {
            self.agent.set_controlling(true);
        }
        self.agent.set_remote_credentials(remote.credentials.clone());
        for candidate in &remote.candidates {
            self.agent.add_remote_candidate(candidate.clone());
        }
        self.has_remote = true;
    }

    /// One more candidate of the other side.
    pub(super) fn add_remote(&mut self, candidate: Candidate) {
        self.agent.add_remote_candidate(candidate);
    }

    /// Whether the other side has named this candidate.
    pub(super) fn has_remote_candidate(&self, candidate: &Candidate) -> bool {
        let same = |known: Candidate| known.addr() == candidate.addr() && known.kind() == candidate.kind();
        self.agent.remote_candidates().any(same)
    }

    /// Addresses of the other side's candidates.
    pub(super) fn remote_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.agent.remote_candidates().map(|candidate| candidate.addr())
    }

    /// Whether the other side's part of this session has this user fragment.
    pub(super) fn is_with(&self, ufrag: &str) -> bool {
        self.has_remote && self.agent.remote_credentials().is_some_and(|known| known.ufrag == ufrag)
    }

    /// Whether a description has credentials of another session than ours.
    pub(super) fn is_restarted_by(&self, remote: &Remote) -> bool {
        self.agent.remote_credentials().is_some_and(|known| *known != remote.credentials)
    }

    /// Whether the other side's credentials of this session are known.
    pub(super) fn has_remote(&self) -> bool {
        self.has_remote
    }

    /// Begins a new session with new credentials (RFC 8445 §9); what is nominated stays in use until then.
    pub(super) fn restart(&mut self, credentials: &Credentials) {
        self.agent.ice_restart(creds(credentials), true);
        self.found.clear();
        self.has_remote = false;
    }

    /// Begins a new session at another socket: what we were reached at before is gone.
    pub(super) fn relocate(&mut self, credentials: &Credentials, local: SocketAddr) {
        self.agent.ice_restart(creds(credentials), false);
        self.found.clear();
        (self.local, self.has_remote) = (local, false);
    }

    /// Takes a packet that looks like STUN and came to our socket, or to this relayed address; false where it is nothing
    /// of this session.
    pub(super) fn handle_packet(
        &mut self,
        now: Instant,
        source: SocketAddr,
        relayed: Option<SocketAddr>,
        packet: &[u8],
    ) -> bool {
        let Ok(message) = StunMessage::parse(packet) else { return false };
        let destination = relayed.unwrap_or(self.local);
        let packet = StunPacket { proto: Protocol::Udp, source, destination, message };
        let taken = self.agent.handle_packet(now, packet);
        if taken {
            // What has arrived may ask for a check of our own at once: a triggered check or the nomination.
            self.handle_timeout(now);
        }
        taken
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.agent.handle_timeout(now);
        self.due = self.agent.poll_timeout();
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due; `None` before the first one.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due.filter(|_| self.has_remote)
    }

    /// The next packet: from our socket or a relayed address, where to, and its bytes into `buf`.
    pub(super) fn poll_transmit(&mut self, buf: &mut Vec<u8>) -> Option<(SocketAddr, SocketAddr)> {
        let transmit = self.agent.poll_transmit()?;
        buf.extend_from_slice(&transmit.contents);
        Some((transmit.source, transmit.destination))
    }

    /// Both addresses of the pair that was nominated last, ours first, where that is news.
    pub(super) fn poll_nominated(&mut self) -> Option<(SocketAddr, SocketAddr)> {
        let mut nominated = None;
        while let Some(event) = self.agent.poll_event() {
            if let IceAgentEvent::NominatedSend { source, destination, .. } = event {
                nominated = Some((source, destination));
            }
        }
        nominated
    }

    /// Whether the other side relays an address.
    pub(super) fn is_relayed_there(&self, address: SocketAddr) -> bool {
        let is_relayed =
            |candidate: Candidate| candidate.addr() == address && candidate.kind() == CandidateKind::Relayed;
        self.agent.remote_candidates().any(is_relayed)
    }

    /// Whether a pair of ours has worked with an address, or the other side has checked from it.
    pub(super) fn knows(&self, address: SocketAddr) -> bool {
        self.agent.has_viable_remote_candidate(address)
            || self.agent.remote_candidates().any(|candidate| candidate.addr() == address)
    }

    pub(super) fn checks(&self) -> Checks {
        let stats = self.agent.stats();
        Checks { sent: stats.bind_request_sent, answered: stats.bind_success_recv, received: stats.bind_request_recv }
    }
}

fn creds(credentials: &Credentials) -> IceCreds {
    IceCreds { ufrag: credentials.ufrag.clone(), pass: credentials.pwd.clone() }
}
