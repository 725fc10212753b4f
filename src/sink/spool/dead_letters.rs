//! `rejected.lp`: lines that the server refuses for good, each below a comment that says why.
//!
//! The file is line protocol itself: once the cause is mended it can be posted as it is.

use std::collections::HashSet;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use super::folder::lines_of;
use super::{Rejected, SpoolError, io_error};

/// The dead letters of a spool.
#[derive(Debug)]
pub(super) struct DeadLetters {
    path: PathBuf,
    bytes: u64,
    /// Hashes of the lines in the file: a line is written once, however often a kill makes its segment travel.
    known: HashSet<u64>,
}

/// What became of rejected lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Buried {
    /// Lines that were in the file already, from before a kill.
    pub(super) again: u64,
    /// Lines that found no room in it.
    pub(super) left_out: u64,
}

impl DeadLetters {
    /// Reads what an earlier process left. A letter that a kill cut short is taken out: its segment is still there, and
    /// will be refused once more.
    pub(super) fn open(dir: &Path) -> Result<Self, SpoolError> {
        let path = dir.join("rejected.lp");
        let mut text = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            other => other.map_err(|error| io_error(&path, error))?,
        };
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        if whole < text.len() {
            let cut = File::options().write(true).open(&path).and_then(|file| file.set_len(whole as u64));
            cut.map_err(|error| io_error(&path, error))?;
            text.truncate(whole);
        }
        let known = lines_of(&text).filter(|line| !line.starts_with(b"#")).map(hash_of).collect();
        Ok(Self { path, bytes: text.len() as u64, known })
    }

    /// Lines in the file.
    pub(super) fn lines(&self) -> u64 {
        self.known.len() as u64
    }

    /// Appends the rejected ones of `lines`, as long as the file stays below `max_bytes`.
    pub(super) fn add(
        &mut self,
        lines: &[&[u8]],
        rejected: &[&Rejected],
        max_bytes: u64,
    ) -> Result<Buried, SpoolError> {
        let mut text = Vec::new();
        let mut new = Vec::new();
        let mut buried = Buried::default();
        for letter in rejected {
            let line = lines[letter.line];
            if self.known.contains(&hash_of(line)) {
                buried.again += 1;
                continue;
            }
            let reason: String = letter.reason.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            let size = reason.len() + line.len() + 4;
            if self.bytes + (text.len() + size) as u64 > max_bytes {
                buried.left_out += 1;
                continue;
            }
            text.extend_from_slice(format!("# {reason}\n").as_bytes());
            text.extend_from_slice(line);
            text.push(b'\n');
            new.push(hash_of(line));
        }
        if !text.is_empty() {
            self.append(&text).map_err(|error| io_error(&self.path, error))?;
            self.bytes += text.len() as u64;
            self.known.extend(new);
        }
        Ok(buried)
    }

    fn append(&self, text: &[u8]) -> io::Result<()> {
        let mut file = File::options().create(true).append(true).open(&self.path)?;
        let written = file.write_all(text).and_then(|()| file.sync_data());
        if written.is_err() {
            // Half a letter on a full disk would run into the next one; it comes again with its segment.
            file.set_len(self.bytes)?;
        }
        written
    }
}

fn hash_of(line: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    line.hash(&mut hasher);
    hasher.finish()
}
