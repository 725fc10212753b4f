//! What was on the wire: kept in a bounded ring, bundled for the attempts that deserve it.

use std::net::SocketAddr;
use std::time::Instant;

use crate::call::Finished;
use crate::evidence::{Bundle, File, Ladder, Message, Ring, Secrets};
use crate::reactor::Wire;
use crate::record::Anchor;

/// Folders of evidence that one run keeps at most: past that a load that fails as a whole would fill the disk.
const MAX_FOLDERS: u64 = 1000;

/// The evidence of one worker.
pub(super) struct Keeper {
    ring: Ring,
    anchor: Anchor,
    /// Successes deserve evidence too: a run of a few calls.
    keep_all: bool,
    folders: u64,
    pub(super) overwritten: u64,
}

impl Keeper {
    pub(super) fn new(anchor: Anchor, keep_all: bool) -> Self {
        Self { ring: Ring::new(crate::evidence::DEFAULT_CAPACITY), anchor, keep_all, folders: 0, overwritten: 0 }
    }

    /// The files of an attempt that has ended, where it deserves them; its record is told where they will be.
    pub(super) fn bundle(&mut self, finished: &mut Finished) -> Option<Vec<File>> {
        let wanted = (finished.record.is_failed() || self.keep_all) && self.folders < MAX_FOLDERS;
        let files = wanted.then(|| self.files(finished)).flatten();
        self.ring.forget(finished.owner);
        files
    }

    fn files(&mut self, finished: &mut Finished) -> Option<Vec<File>> {
        let messages: Vec<Message<'_>> = self.ring.messages_of(finished.owner).collect();
        let complete = self.ring.complete(finished.owner);
        self.folders += 1;
        self.overwritten += u64::from(!complete);
        finished.record.evidence = Some(format!("evidence/{}", finished.record.call_id));
        let instant = messages.first().map_or(self.anchor.instant, |message| message.at);
        let start = Anchor { instant, timestamp: self.anchor.timestamp_of(instant) };
        let record = &finished.record;
        let ladder =
            Ladder { call_id: &record.call_id, start, messages: &messages, complete, secrets: Secrets::Hidden };
        Bundle { ladder, record }.files().ok()
    }

    fn keep(&mut self, owner: u64, message: &Message<'_>) {
        if owner != 0 {
            self.ring.push(owner, message);
        }
    }
}

impl Wire for Keeper {
    fn sent(
        &mut self,
        owner: u64,
        at: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        transport: &'static str,
        bytes: &[u8],
    ) {
        self.keep(owner, &Message { at, sent: true, local, remote, transport, bytes });
    }

    fn received(
        &mut self,
        owner: u64,
        at: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        transport: &'static str,
        bytes: &[u8],
    ) {
        self.keep(owner, &Message { at, sent: false, local, remote, transport, bytes });
    }
}
