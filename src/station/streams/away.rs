//! Streams of agents that are away for a while or come back by another way: another socket, silence, and the first packet
//! after it.

use std::net::SocketAddr;
use std::time::Instant;

use super::{Pending, Place, RelayLink, Streams};
use crate::station::{MediaSockets, PortId};
use crate::webrtc::Relocation;

impl<O: Copy> Streams<O> {
    /// Gives a stream another pair of sockets, one of its own, as after a change of the network: the old pair is closed, and what comes in
    /// between is lost. The new one is told to the station as that of any stream, which goes on with
    /// [`relocated`](Self::relocated).
    pub fn relocate(&mut self, port: PortId, sockets: MediaSockets) {
        if let Some(place) = self.places.get_mut(port.0 as usize) {
            (place.source, place.expected) = (None, None);
        }
        self.out.push_back(Pending::Close(port));
        self.out.push_back(Pending::Open { port, sockets: MediaSockets { shared: false, ..sockets } });
    }

    /// A stream has its other pair of sockets: where it is one of WebRTC, ICE begins anew there, and its servers are asked from
    /// there, over other connections.
    pub fn relocated(&mut self, now: Instant, port: PortId, there: impl FnOnce() -> (Relocation, Vec<RelayLink>)) {
        let seed = self.random.next_u64();
        let place = self.places.get_mut(port.0 as usize);
        let Some(Place { peer: Some(peer), session, video, relays, generation, .. }) = place else { return };
        let (there, links) = there();
        peer.relocate(now, there, seed);
        // Connections to servers were of the old network too.
        for (_, link, _) in std::mem::take(relays) {
            if self.relays.remove(&link).is_some() {
                self.out.push_back(Pending::CloseLink(link));
            }
        }
        for link in links {
            relays.push((link.by, link.link, link.remote));
            self.relays.insert(link.link, (port.0, *generation, link.by));
            self.out.push_back(Pending::OpenLink(link));
        }
        if let Some(session) = session {
            let nowhere = SocketAddr::from(([0; 4], 0));
            session.set_remote(nowhere, nowhere, now);
            session.pause(now);
        }
        if let Some(video) = video {
            video.set_remote(SocketAddr::from(([0; 4], 0)), now);
            video.pause(now);
        }
        self.drain(port);
    }

    /// Nothing of a stream goes out and nothing is taken in from now on, or it does again. Its clock stands still
    /// meanwhile: what would have been sent is not made up for.
    pub fn set_mute(&mut self, now: Instant, port: PortId, mute: bool) {
        let Some(place) = self.places.get_mut(port.0 as usize).filter(|place| place.mute != mute) else { return };
        place.mute = mute;
        if !mute {
            if let Some(peer) = &mut place.peer {
                peer.handle_timeout(now);
            }
            if let Some(session) = &mut place.session {
                session.handle_timeout(now);
                session.pause(now);
            }
            if let Some(video) = &mut place.video {
                video.handle_timeout(now);
                video.pause(now);
            }
            self.drain(port);
        }
    }

    /// The first RTP of a stream that arrives later than this is told by [`poll_heard`](Self::poll_heard).
    pub fn await_packet(&mut self, port: PortId, after: Instant) {
        if let Some(place) = self.places.get_mut(port.0 as usize) {
            place.awaited = Some(after);
            self.tell_awaited(port);
        }
    }

    /// The next stream whose awaited packet has come, and when that arrived.
    pub fn poll_heard(&mut self) -> Option<(O, Instant)> {
        self.heard.pop_front()
    }

    pub(super) fn tell_awaited(&mut self, port: PortId) {
        let Some(place) = self.places.get_mut(port.0 as usize) else { return };
        let Some(after) = place.awaited else { return };
        if let (Some(at), Some(owner)) = (place.last.filter(|at| *at > after), place.owner) {
            place.awaited = None;
            self.heard.push_back((owner, at));
        }
    }
}
