//! What was on the wire: kept in a bounded ring, bundled for the attempts that deserve it.

use crate::call::Finished;
use crate::evidence::{Bundle, File, Ladder, Mask, Message, Ring, Secrets};
use crate::reactor::Wire;
use crate::record::{Anchor, MediaSecond};

/// Folders of evidence that one run keeps at most: past that a load that fails as a whole would fill the disk.
pub(super) const MAX_FOLDERS: u64 = 1000;

/// The evidence of one worker.
pub(super) struct Keeper {
    ring: Ring,
    anchor: Anchor,
    keep: Keep,
    folders: u64,
    pub(super) overwritten: u64,
}

/// What is kept, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keep {
    /// Successes deserve evidence too: a run of a few calls.
    pub(super) all: bool,
    /// Telephone numbers are masked.
    pub(super) masked: bool,
    /// Folders at most; `None` where whoever gets them bounds them.
    pub(super) folders: Option<u64>,
}

impl Keeper {
    pub(super) fn new(anchor: Anchor, keep: Keep) -> Self {
        Self { ring: Ring::new(crate::evidence::DEFAULT_CAPACITY), anchor, keep, folders: 0, overwritten: 0 }
    }

    /// From now on telephone numbers are masked, or not.
    pub(super) fn set_masked(&mut self, masked: bool) {
        self.keep.masked = masked;
    }

    /// The files of an attempt that has ended, where it deserves them; its record is told where they will be. Record and
    /// messages go from here to every output, so this is where numbers are masked.
    pub(super) fn bundle(&mut self, finished: &mut Finished) -> Option<Vec<File>> {
        let mask = self.keep.masked.then(|| {
            let messages: Vec<Message<'_>> = self.ring.messages_of(finished.owner).collect();
            Mask::of(&finished.record, &messages)
        });
        if let Some(mask) = &mask {
            mask.record(&mut finished.record);
        }
        let wanted =
            (finished.record.is_failed() || self.keep.all) && self.keep.folders.is_none_or(|most| self.folders < most);
        // What is nobody's was not kept.
        let files = (wanted && finished.owner != 0).then(|| self.files(finished, mask.as_ref())).flatten();
        self.ring.forget(finished.owner);
        files
    }

    /// An attempt has ended that is told in figures only.
    pub(super) fn forget(&mut self, owner: u64) {
        self.ring.forget(owner);
    }

    /// A second of media goes out before its attempt has ended: whose it is, is masked alike.
    pub(super) fn mask_second(&self, second: &mut MediaSecond) {
        if self.keep.masked {
            Mask::identity(&mut second.identity);
        }
    }

    fn files(&mut self, finished: &mut Finished, mask: Option<&Mask>) -> Option<Vec<File>> {
        let kept: Vec<Message<'_>> = self.ring.messages_of(finished.owner).collect();
        let masked: Vec<Vec<u8>> =
            mask.map(|mask| kept.iter().map(|message| mask.bytes(message.bytes)).collect()).unwrap_or_default();
        let mut messages = kept;
        for (message, bytes) in messages.iter_mut().zip(&masked) {
            message.bytes = bytes;
        }
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
}

impl Wire for Keeper {
    fn see(&mut self, owner: u64, message: &Message<'_>) {
        if owner != 0 {
            self.ring.push(owner, message);
        }
    }
}
