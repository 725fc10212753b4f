//! Files of a spool folder: names, whole writes, recovery, whose spool it is.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Segment, SpoolError, io_error};

/// Where the points of a spool go. What opens it is never here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// Kind of sink; `influxdb`.
    pub name: String,
    /// Address and database, as people write it.
    pub url: String,
}

impl Destination {
    /// Writes `sink.json` into a spool folder, so that later runs know where its points belong.
    pub fn save(&self, dir: &Path) -> Result<(), SpoolError> {
        let path = dir.join("sink.json");
        let text = serde_json::to_vec_pretty(self).map_err(|error| io_error(&path, error.into()))?;
        replace(&path, &text).map_err(|error| io_error(&path, error))
    }

    /// Reads `sink.json` of a spool folder.
    pub fn load(dir: &Path) -> Result<Self, SpoolError> {
        let path = dir.join("sink.json");
        let text = fs::read(&path).map_err(|error| io_error(&path, error))?;
        serde_json::from_slice(&text).map_err(|error| io_error(&path, error.into()))
    }
}

/// Where the spool of a run folder is.
pub(in crate::sink) fn spool_of(run_dir: &Path) -> PathBuf {
    run_dir.join("spool").join("influxdb")
}

/// Run folders in `runs_dir` whose spools still hold points for `destination`, oldest name first.
pub fn pending_siblings(runs_dir: &Path, destination: &Destination) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(runs_dir) else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|run| {
            let spool = spool_of(run);
            holds_points(&spool) && Destination::load(&spool).is_ok_and(|of| of == *destination)
        })
        .collect();
    found.sort();
    found
}

fn holds_points(spool: &Path) -> bool {
    numbered_files(spool).is_ok_and(|files| !files.is_empty())
}

/// Takes the folder for this process.
pub(super) fn lock(dir: &Path) -> Result<File, SpoolError> {
    let path = dir.join("lock");
    let file = File::options().create(true).append(true).open(&path).map_err(|error| io_error(&path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(SpoolError::InUse { path: dir.to_owned() }),
        Err(TryLockError::Error(error)) => Err(io_error(&path, error)),
    }
}

/// The segments on disk. What a kill or a power cut left in mid-line is made whole.
pub(super) fn recover(dir: &Path) -> Result<BTreeMap<u64, Segment>, SpoolError> {
    let mut segments = BTreeMap::new();
    for (number, path) in numbered_files(dir).map_err(|error| io_error(dir, error))? {
        let mut text = fs::read(&path).map_err(|error| io_error(&path, error))?;
        let unfinished = path.extension().is_some_and(|extension| extension == "tmp");
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        // A finished segment of this number means that its rename happened: the rest is nothing.
        if whole == 0 || (unfinished && segment_path(dir, number).exists()) {
            fs::remove_file(&path).map_err(|error| io_error(&path, error))?;
            continue;
        }
        if unfinished || whole < text.len() {
            finish_segment(dir, number, &path, whole).map_err(|error| io_error(&path, error))?;
            text.truncate(whole);
        }
        let lines = lines_of(&text).count() as u64;
        segments.insert(number, Segment { lines, bytes: text.len() as u64 });
    }
    Ok(segments)
}

/// Cuts off a half line and gives the segment its name. Nothing is written anew: a second kill, or a disk without room,
/// finds the lines where they were.
fn finish_segment(dir: &Path, number: u64, unfinished: &Path, whole: usize) -> io::Result<()> {
    let file = File::options().write(true).open(unfinished)?;
    file.set_len(whole as u64)?;
    file.sync_data()?;
    fs::rename(unfinished, segment_path(dir, number))?;
    File::open(dir)?.sync_all()
}

/// `.lp` and `.lp.tmp` files with their numbers.
fn numbered_files(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
        let stem = name.strip_suffix(".tmp").unwrap_or(name).strip_suffix(".lp");
        if let Some(number) = stem.and_then(|stem| stem.parse().ok()) {
            found.push((number, path));
        }
    }
    // A finished segment comes before an unfinished one of the same number.
    found.sort();
    Ok(found)
}

pub(super) fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:010}.lp"))
}

/// A segment appears as a whole or not at all, as far as a kill is concerned; [`sync_segments`] is for power cuts.
pub(super) fn write_segment(dir: &Path, number: u64, text: &[u8]) -> Result<(), SpoolError> {
    let path = segment_path(dir, number);
    let unfinished = path.with_extension("lp.tmp");
    let written = fs::write(&unfinished, text).and_then(|()| fs::rename(&unfinished, &path));
    written.map_err(|error| {
        // Half a file on a full disk would be taken for a leftover of a kill, and its lines delivered twice.
        let _ = fs::remove_file(&unfinished);
        io_error(&path, error)
    })
}

/// Brings segments and their names to the disk itself. Those that were delivered meanwhile need it no more.
pub(super) fn sync_segments(dir: &Path, numbers: &[u64]) -> Result<(), SpoolError> {
    for number in numbers {
        let path = segment_path(dir, *number);
        match File::open(&path).and_then(|file| file.sync_data()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_error(&path, error)),
            _ => {}
        }
    }
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|error| io_error(dir, error))
}

/// Writes beside `path`, syncs, renames, syncs the folder.
pub(in crate::sink) fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    let unfinished = PathBuf::from(name);
    let written = File::create(&unfinished).and_then(|mut file| {
        file.write_all(text)?;
        file.sync_data()
    });
    let renamed = written.and_then(|()| fs::rename(&unfinished, path));
    if renamed.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    renamed?;
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

/// Lines without their line feeds; an unfinished last line counts too.
pub(super) fn lines_of(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}
