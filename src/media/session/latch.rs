//! Which address of the far end is heard and sent to: symmetric RTP (RFC 4961).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::media::stats::Reception;

/// Another address may take over when nothing came from the current one for this long.
const QUIET_BEFORE_CHANGE: Duration = Duration::from_millis(500);

/// Where RTP really comes from, once it has come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Latch(Option<SocketAddr>);

impl Latch {
    /// Whether a packet from here counts: the first one shows where the far end is. Give it before `reception` has it.
    pub(super) fn takes(&mut self, arrived: Instant, from: SocketAddr, ssrc: u32, reception: &Reception) -> bool {
        if self.0 == Some(from) {
            return true;
        }
        // The same source from another address is a NAT that changed its mind.
        let same_source = reception.ssrc() == Some(ssrc);
        let quiet = reception.last().is_none_or(|last| arrived >= last + QUIET_BEFORE_CHANGE);
        let takes = self.0.is_none() || same_source || quiet;
        if takes {
            self.0 = Some(from);
        }
        takes
    }

    /// The far end has moved: its address is learned anew.
    pub(super) fn forget(&mut self) {
        self.0 = None;
    }

    /// Where to send to: what was learned, else what was signalled; `None` where nothing is to be sent there.
    pub(super) fn remote(self, signalled: SocketAddr) -> Option<SocketAddr> {
        reachable(self.0.unwrap_or(signalled))
    }
}

/// An address of all zeros is the old way to hold a call (RFC 3264 §8.4); a port of 0 takes nothing.
pub(super) fn reachable(to: SocketAddr) -> Option<SocketAddr> {
    (to.port() != 0 && !to.ip().is_unspecified()).then_some(to)
}
