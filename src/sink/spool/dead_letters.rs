//! `rejected.lp`: lines that the server refuses for good, each below a comment that says why.
//!
//! The file is line protocol itself: once the cause is mended it can be posted as it is.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use super::folder::lines_of;
use super::{Rejected, SpoolError, io_error};

/// The dead letters of a spool.
#[derive(Debug)]
pub(super) struct DeadLetters {
    path: PathBuf,
    bytes: u64,
    /// A line is written once, however often a kill makes its segment travel.
    known: HashSet<Vec<u8>>,
}

impl DeadLetters {
    /// Reads what an earlier process left.
    pub(super) fn open(dir: &Path) -> Result<Self, SpoolError> {
        let path = dir.join("rejected.lp");
        let text = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            other => other.map_err(|error| io_error(&path, error))?,
        };
        let known = lines_of(&text).filter(|line| !line.starts_with(b"#")).map(<[u8]>::to_vec).collect();
        Ok(Self { path, bytes: text.len() as u64, known })
    }

    /// Lines in the file.
    pub(super) fn lines(&self) -> u64 {
        self.known.len() as u64
    }

    /// Appends the rejected ones of `lines`, and says how many of them were there already, from before a kill.
    /// Beyond `max_bytes` they are only counted by the caller.
    pub(super) fn add(&mut self, lines: &[&[u8]], rejected: &[&Rejected], max_bytes: u64) -> Result<u64, SpoolError> {
        let mut text = Vec::new();
        let mut new = Vec::new();
        let mut again = 0;
        for letter in rejected {
            let line = lines[letter.line];
            if self.known.contains(line) {
                again += 1;
            } else if self.bytes + (text.len() as u64) < max_bytes {
                let reason: String = letter.reason.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
                text.extend_from_slice(format!("# {reason}\n").as_bytes());
                text.extend_from_slice(line);
                text.push(b'\n');
                new.push(line.to_vec());
            }
        }
        if !text.is_empty() {
            self.append(&text).map_err(|error| io_error(&self.path, error))?;
            self.bytes += text.len() as u64;
            self.known.extend(new);
        }
        Ok(again)
    }

    fn append(&self, text: &[u8]) -> io::Result<()> {
        let mut file = File::options().create(true).append(true).open(&self.path)?;
        file.write_all(text)?;
        file.sync_data()
    }
}
