//! A server of STUN and TURN between the stations of a virtual world.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

#[path = "../../src/webrtc/server/fake.rs"]
mod fake;

use fake::Fake;

/// The server, and the network around it.
pub(crate) struct Relay {
    fake: Fake,
    /// How long it takes to tell somebody an address.
    tells_after: Duration,
    /// Nothing passes straight between the stations, and what comes by the server reaches the PBX only from where that has sent to.
    only_way: bool,
    sent_to: HashSet<SocketAddr>,
    /// It answers TURN only.
    deaf: bool,
}

impl Relay {
    /// A server that takes anybody.
    pub(crate) fn new(address: SocketAddr, tells_after: Duration) -> Self {
        let fake = Fake { password: None, ..Fake::new(address) };
        Self { fake, tells_after, only_way: false, sent_to: HashSet::new(), deaf: false }
    }

    pub(crate) fn only_way(self) -> Self {
        Self { only_way: true, ..self }
    }

    /// It refuses every allocation with this code.
    pub(crate) fn refusing(mut self, code: u16) -> Self {
        self.fake.refuses = Some((ALLOCATE, code));
        self
    }

    /// It answers no request of STUN, as if nobody listened there.
    pub(crate) fn deaf_to_stun(self) -> Self {
        Self { deaf: true, ..self }
    }

    /// What becomes of a packet: after how long what goes where from where. `None` where it is none of the server's business.
    pub(crate) fn pass(
        &mut self,
        (from, to): (SocketAddr, SocketAddr),
        bytes: &[u8],
        is_pbx: impl Fn(SocketAddr) -> bool,
    ) -> Option<Vec<(Duration, fake::Sent)>> {
        if is_pbx(from) {
            self.sent_to.insert(to);
        }
        if to.ip() != self.fake.address.ip() {
            return self.only_way.then(Vec::new);
        }
        let method = bytes.first_chunk().map(|bytes| u16::from_be_bytes(*bytes));
        if self.deaf && method == Some(BINDING) {
            return Some(Vec::new());
        }
        let tells = matches!(method, Some(BINDING | ALLOCATE));
        let after = if tells { self.tells_after } else { Duration::ZERO };
        let sent = self.fake.handle(from, to, bytes).into_iter();
        let passes = |(from, to, _): &fake::Sent| !self.only_way || !is_pbx(*to) || self.sent_to.contains(from);
        Some(sent.filter(passes).map(|sent| (after, sent)).collect())
    }
}

const BINDING: u16 = 1;
const ALLOCATE: u16 = 3;
