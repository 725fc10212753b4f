//! The spool: results on disk until the server has said 204.
//!
//! A folder of segments, `0000000001.lp`, each some lines of line protocol. A segment is written as `….lp.tmp` and renamed;
//! from then on it survives a kill. After one, the whole lines of a `.tmp` are taken over. A segment is removed when each
//! of its lines was accepted or stands in the dead-letter file `rejected.lp`; a kill in between delivers it again, which
//! changes nothing, as a point with equal series and time overwrites itself.
//!
//! **Syncing**: segments are synced (fdatasync, then their folder) beside the writing, all that gathered at once, so that a
//! disk that takes its time holds up no result. From then on they survive a power cut too, and only then do their records
//! stand in `calls.jsonl`. A segment that a power cut tore is used to its last whole line.
//!
//! **Bound**: a spool takes [`super::Settings::max_bytes`] of disk at most. When it is full, or the disk is, the
//! **oldest stay and the newest are dropped**: they wait in memory for room, up to [`super::Settings::max_waiting`]
//! points, and what finds none there or is left at the end of the run is counted as `dropped`. What was taken is never
//! given up, the start of an outage is what explains it, and `calls.jsonl` still holds the rest. The dead letters have
//! the same bound; beyond it they are only counted, as rejected and dropped.

mod dead_letters;
mod folder;

pub use crate::report::SinkCounts as Counts;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

pub use folder::{Destination, pending_siblings};
pub(in crate::sink) use folder::{replace, spool_of};

use dead_letters::DeadLetters;
use folder::{lines_of, lock, segment_path, sync_segments, write_segment};

/// Smallest room that a file takes on disk, bytes: many small segments must not slip past the bound.
const BLOCK: u64 = 4096;

/// Why the spool could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The folder or a file in it cannot be made, read or written.
    #[error("the spool at {}: {error}", path.display())]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Another process holds the folder.
    #[error("the spool at {} is in use by another ringfleet", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The bound on disk space is reached.
    #[error("the spool at {} is full: it holds {held} bytes of at most {max}", path.display())]
    Full {
        /// The folder.
        path: PathBuf,
        /// Bytes on disk.
        held: u64,
        /// The bound, bytes.
        max: u64,
    },
}

/// A line that the server refuses, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Index of the line in its batch.
    pub line: usize,
    /// The server's words.
    pub reason: String,
}

/// An open spool folder; only one process holds it.
#[derive(Debug)]
pub struct Spool {
    dir: PathBuf,
    /// Held as long as the file is open; the system lets go of it when the process dies.
    _lock: File,
    max_bytes: u64,
    segments: BTreeMap<u64, Segment>,
    next: u64,
    /// Written since the last [`Self::take_unsynced`].
    unsynced: Vec<u64>,
    held: u64,
    dead: DeadLetters,
    counts: Counts,
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    lines: u64,
    bytes: u64,
}

/// Lines that are delivered together: some whole segments.
#[derive(Debug, Default)]
pub struct Batch {
    segments: Vec<u64>,
    text: Vec<u8>,
}

/// Segments that may still be in the system's memory alone.
#[derive(Debug)]
pub struct Unsynced {
    dir: PathBuf,
    segments: Vec<u64>,
}

impl Unsynced {
    /// Brings them to the disk itself. Blocks for as long as the disk takes.
    pub fn sync(&self) -> Result<(), SpoolError> {
        sync_segments(&self.dir, &self.segments)
    }
}

impl Spool {
    /// Opens or makes the folder, and takes over what an earlier process left. Those points count as measured.
    pub fn open(dir: &Path, max_bytes: u64) -> Result<Self, SpoolError> {
        fs::create_dir_all(dir).map_err(|error| io_error(dir, error))?;
        let lock = lock(dir)?;
        let dead = DeadLetters::open(dir)?;
        let found = folder::recover(dir)?;
        let next = found.keys().last().map_or(1, |last| last + 1);
        let mut spool = Self {
            dir: dir.to_owned(),
            _lock: lock,
            max_bytes,
            held: found.values().map(|segment| room(segment.bytes)).sum(),
            segments: found,
            next,
            unsynced: Vec::new(),
            counts: Counts::default(),
            dead,
        };
        spool.counts.spooled = spool.segments.values().map(|segment| segment.lines).sum();
        spool.counts.rejected = spool.dead.lines();
        spool.counts.measured = spool.counts.spooled + spool.counts.rejected;
        Ok(spool)
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// How many points went where.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Puts `lines` whole lines into a segment: they survive a kill from here on, and a power cut once they are synced.
    /// On an error nothing of them is in the spool, and the caller decides between trying again and
    /// [`Self::drop_points`].
    pub fn store(&mut self, text: &[u8], lines: u64) -> Result<(), SpoolError> {
        if lines == 0 {
            return Ok(());
        }
        let bytes = text.len() as u64;
        if self.held + room(bytes) > self.max_bytes {
            return Err(SpoolError::Full { path: self.dir.clone(), held: self.held, max: self.max_bytes });
        }
        write_segment(&self.dir, self.next, text)?;
        self.segments.insert(self.next, Segment { lines, bytes });
        self.unsynced.push(self.next);
        self.next += 1;
        self.held += room(bytes);
        self.counts.measured += lines;
        self.counts.spooled += lines;
        Ok(())
    }

    /// What was stored since the last call, for [`Unsynced::sync`] on another thread; `None` where that is nothing.
    pub fn take_unsynced(&mut self) -> Option<Unsynced> {
        let segments = std::mem::take(&mut self.unsynced);
        (!segments.is_empty()).then(|| Unsynced { dir: self.dir.clone(), segments })
    }

    /// Counts points that could not be stored.
    pub fn drop_points(&mut self, points: u64) {
        self.counts.measured += points;
        self.counts.rejected += points;
        self.counts.dropped += points;
    }

    /// The oldest segments, together at most `max_lines` and `max_bytes`, but at least one; `None` when none waits.
    /// An error means that the oldest cannot be read.
    pub fn next_batch(&self, max_lines: u64, max_bytes: u64) -> Result<Option<Batch>, SpoolError> {
        let mut batch = Batch::default();
        let (mut lines, mut bytes) = (0, 0);
        for (number, segment) in &self.segments {
            lines += segment.lines;
            bytes += segment.bytes;
            if !batch.segments.is_empty() && (lines > max_lines || bytes > max_bytes) {
                break;
            }
            let path = segment_path(&self.dir, *number);
            match fs::read(&path) {
                Ok(text) => batch.text.extend_from_slice(&text),
                Err(error) if batch.segments.is_empty() => return Err(io_error(&path, error)),
                // The good ones before it go first; then it is the oldest, and the error is its own.
                Err(_) => break,
            }
            batch.segments.push(*number);
        }
        Ok((!batch.segments.is_empty()).then_some(batch))
    }

    /// Lets go of the segments among the first `answered` lines of a batch, which are accepted or in `rejected`. The
    /// rejected go to the dead-letter file first, so that a kill at any place leaves each line in the spool, at the
    /// server or among the dead letters.
    pub fn settle(&mut self, batch: &Batch, answered: usize, rejected: &[Rejected]) -> Result<(), SpoolError> {
        let (segments, lines) = self.whole_segments(batch, answered);
        let lines: Vec<&[u8]> = batch.lines().take(lines).collect();
        let rejected: Vec<&Rejected> = rejected.iter().filter(|rejected| rejected.line < lines.len()).collect();
        let buried = self.dead.add(&lines, &rejected, self.max_bytes)?;
        let mut failed = None;
        for number in segments {
            let path = segment_path(&self.dir, *number);
            if let Err(error) = fs::remove_file(&path) {
                // It will be delivered once more by a later run, which changes nothing at the server.
                failed = Some(io_error(&path, error));
            }
            let Some(segment) = self.segments.remove(number) else { continue };
            self.held -= room(segment.bytes);
            self.counts.spooled -= segment.lines;
            self.counts.written += segment.lines;
        }
        self.counts.written -= rejected.len() as u64;
        self.counts.rejected += rejected.len() as u64 - buried.again;
        self.counts.measured -= buried.again;
        self.counts.dropped += buried.left_out;
        failed.map_or(Ok(()), Err)
    }

    /// The segments of a batch that lie within its first `answered` lines, and how many lines they are.
    fn whole_segments<'a>(&self, batch: &'a Batch, answered: usize) -> (&'a [u64], usize) {
        let (mut count, mut lines) = (0, 0);
        for segment in batch.segments.iter().map_while(|number| self.segments.get(number)) {
            if lines + segment.lines as usize > answered {
                break;
            }
            lines += segment.lines as usize;
            count += 1;
        }
        (&batch.segments[..count], lines)
    }

    /// Gives up the oldest segment because it cannot be read; its points count as dropped, its file stays.
    pub fn give_up_oldest(&mut self) {
        let Some((_, segment)) = self.segments.pop_first() else { return };
        self.held -= room(segment.bytes);
        self.counts.spooled -= segment.lines;
        self.counts.rejected += segment.lines;
        self.counts.dropped += segment.lines;
    }
}

impl Batch {
    /// The lines in order, without their line feeds.
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        lines_of(&self.text)
    }
}

fn room(bytes: u64) -> u64 {
    bytes.next_multiple_of(BLOCK)
}

fn io_error(path: &Path, error: io::Error) -> SpoolError {
    SpoolError::Io { path: path.to_owned(), error }
}

#[cfg(test)]
mod tests;
