//! Candidates of the other side that its description did not have yet (trickle ICE).

use std::time::Instant;

use super::Peer;
use crate::sip::sdp::peering::Peering;
use crate::webrtc::remote;

/// Candidates that are taken so in the life of a peer: an honest one has a handful.
const MOST: u8 = 64;

impl Peer {
    /// More candidates of the other side, which came after its description (RFC 8838 §11). They name the session of ICE that they
    /// are of by its user fragment (RFC 8840 §4.2). False where that is of none that is known, perhaps as its description is still on
    /// its way.
    pub fn add_candidates(&mut self, now: Instant, theirs: &Peering<'_>) -> bool {
        if self.is_over() {
            return true;
        }
        if !theirs.ufrag.is_some_and(|ufrag| self.ice.is_with(ufrag)) {
            return false;
        }
        self.now = self.now.max(now);
        for name in remote::mdns_names(theirs) {
            if self.mdns.len() < remote::MOST_NAMES && !self.mdns.contains(&name) {
                self.mdns.push(name);
            }
        }
        for candidate in remote::candidates_of(theirs) {
            // Who sends some repeats those before them (RFC 8840 §4.4).
            if self.later == MOST || self.ice.has_remote_candidate(&candidate) {
                continue;
            }
            self.later += 1;
            self.servers.permit(now, candidate.addr().ip());
            self.ice.add_remote(candidate);
        }
        self.advance_ice(now);
        true
    }
}
