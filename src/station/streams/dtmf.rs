//! Keys of a stream (DTMF): what is known of them, and who waits for one.

use super::Streams;
use crate::media::session::DtmfReport;
use crate::station::PortId;

impl<O: Copy> Streams<O> {
    /// What is known of keys of a stream; `None` where it does not run.
    pub fn dtmf(&self, port: PortId) -> Option<DtmfReport> {
        Some(self.places.get(port.0 as usize)?.session.as_ref()?.dtmf())
    }

    /// The next key that is heard at a stream is told by [`poll_keyed`](Self::poll_keyed).
    pub fn await_key(&mut self, port: PortId) {
        if let Some(place) = self.places.get_mut(port.0 as usize) {
            place.awaits_key = true;
        }
    }

    /// The next stream at which an awaited key was heard.
    pub fn poll_keyed(&mut self) -> Option<O> {
        self.keyed.pop_front()
    }
}
