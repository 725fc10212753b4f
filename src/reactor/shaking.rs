//! Handshakes: of TLS on connections, and of ICE and DTLS, which the station keeps until it is asked to go on. A step of one
//! costs as much as a hundred packets of media, so a turn takes few, and what is due goes out before them.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use super::{Reactor, Wire};
use crate::net::clock;
use crate::net::stream::{Advance, Stream};
use crate::station::Station;

/// Time that handshakes may take in one turn; the last step may go beyond, as it cannot be divided.
const SHAKING: Duration = Duration::from_micros(200);

/// Handshakes that wait for the end of a turn.
#[derive(Debug, Default)]
pub(super) struct Shaking {
    /// Sockets of connections, in the order in which they had something to do.
    connections: VecDeque<usize>,
    /// Steps of TLS that may be taken now.
    steps: u32,
    /// The next step is a connection's, if one waits.
    connection_next: bool,
    /// The time was over, and more may wait.
    cut_short: bool,
}

impl Shaking {
    /// Takes steps towards an open connection. [`Advance::Again`] where the next one is to be put off.
    pub(super) fn open(&mut self, stream: &mut Stream) -> io::Result<Advance> {
        if stream.is_open() {
            return Ok(Advance::Open);
        }
        loop {
            if stream.is_shaking() {
                match self.steps.checked_sub(1) {
                    Some(left) => self.steps = left,
                    None => return Ok(Advance::Again),
                }
            }
            let advanced = stream.advance()?;
            if advanced != Advance::Again {
                return Ok(advanced);
            }
        }
    }

    /// The handshake of the connection at this socket goes on when there is time for it.
    pub(super) fn put_off(&mut self, socket: usize) {
        self.connections.push_back(socket);
    }

    /// Whether the next turn is to come at once.
    pub(super) fn is_put_off(&self) -> bool {
        self.cut_short || !self.connections.is_empty()
    }
}

impl<S: Station> Reactor<S> {
    /// Takes steps of handshakes until their time in this turn is over. Connections and the station take turns, so that
    /// neither keeps the other from coming to an end.
    pub(super) fn shake(&mut self, wire: &mut impl Wire) {
        let begun = clock::now();
        loop {
            self.shaking.connection_next = !self.shaking.connection_next;
            let connection_first = self.shaking.connection_next;
            let shook = connection_first && self.shake_connection(wire)
                || self.station.shake(self.turn.now)
                || !connection_first && self.shake_connection(wire);
            self.shaking.cut_short = shook && clock::now().saturating_duration_since(begun) >= SHAKING;
            if !shook || self.shaking.cut_short {
                break;
            }
        }
    }

    /// One step of the connection that has waited for longest; false where none waits.
    fn shake_connection(&mut self, wire: &mut impl Wire) -> bool {
        let Some(index) = self.shaking.connections.pop_front() else { return false };
        self.shaking.steps = 1;
        self.take(index, wire);
        self.shaking.steps = 0;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Instant;

    use super::*;
    use crate::reactor::Security;
    use crate::sip::flow::{Flow, LinkId};
    use crate::station::{Channel, LinkEvent, LinkFault, MediaPacket, Output, PortId};

    /// Has handshakes to do, each step of which takes longer than a turn has time for, and packets that are due.
    struct Busy {
        steps: u32,
        due: bool,
        did: String,
    }

    impl Station for Busy {
        type Report = ();

        fn handle_sip(&mut self, _: Instant, _: Instant, _: Flow, _: &[u8]) -> Option<u64> {
            None
        }
        fn handle_media(&mut self, _: Instant, _: MediaPacket<'_>) {}
        fn shake(&mut self, _: Instant) -> bool {
            let Some(left) = self.steps.checked_sub(1) else { return false };
            let begun = clock::now();
            while clock::now() - begun < SHAKING {}
            self.steps = left;
            self.did.push('s');
            true
        }
        fn handle_port(&mut self, _: Instant, _: PortId, _: Result<SocketAddr, String>) {}
        fn handle_link(&mut self, _: Instant, _: LinkId, _: LinkEvent) {}
        fn handle_unreachable(&mut self, _: Instant, _: Flow, _: LinkFault) {}
        fn handle_timeout(&mut self, _: Instant) {
            self.due = true;
        }
        fn stop(&mut self, _: Instant) {}
        fn poll_output(&mut self, _: Instant, _: &mut Vec<u8>) -> Output<()> {
            if std::mem::take(&mut self.due) {
                self.did.push('m');
                return Output::Media { port: PortId(0), channel: Channel::Rtp, to: ([127, 0, 0, 1], 9).into() };
            }
            Output::Idle(None)
        }
    }

    #[test]
    fn a_turn_takes_a_step_that_uses_its_time_up_after_what_is_due_and_the_next_turn_comes_at_once() {
        let busy = Busy { steps: 20, due: false, did: String::new() };
        let mut reactor = Reactor::new(busy, Security::default()).expect("a reactor");
        reactor.wake_soon();
        // Nothing arrives and nothing is timed: a turn that waited would never end.
        for _ in 0..21 {
            reactor.turn(&mut (), |_, _| {}).expect("a turn");
        }
        assert_eq!(reactor.station.did, "ms".repeat(20) + "m");
        assert!(!reactor.shaking.is_put_off());
    }
}
