//! The run folder: `calls.jsonl`, `windows.jsonl`, `summary.json`, `report.html`, `junit.xml`, `evidence/`.
//!
//! Callers bring values and texts; names, appending, whole writes and whose folder it is are done here.
//!
//! A record stands in `calls.jsonl` once its points are on disk in the spool, not before: whoever reads a run that was
//! killed finds no call there that the database never gets. The file is not synced: it outlives a kill, the spool a power
//! cut as well.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;

use super::Progress;
use super::spool::replace;

/// Where `calls.jsonl` is put away.
const OLDER_CALLS: &str = "calls.1.jsonl";
/// What a run writes, apart from the spool, which an earlier run may still need.
const OWN_FILES: [&str; 9] = [
    "calls.jsonl",
    OLDER_CALLS,
    "windows.jsonl",
    "incidents.jsonl",
    "incidents-open.json",
    "summary.json",
    "targets.json",
    "report.html",
    "junit.xml",
];

/// Why a run folder cannot be made or written.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The folder holds something that no run wrote.
    #[error("{} is not empty and holds `{found}`, which is not of a ringfleet run: name a new or empty folder with --out", path.display())]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// The first thing in it that is not ours.
        found: String,
    },
    /// A name that must not become a file name.
    #[error("`{0}` cannot be the name of a file: letters, digits, `.`, `_` and `-` can")]
    Name(String),
    /// A file or folder cannot be made or written.
    #[error("cannot write {}: {error}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// The folder of one run.
#[derive(Debug)]
pub struct RunFolder {
    dir: PathBuf,
    calls: Lines,
    windows: Lines,
    /// Changes of incidents that are not in their file yet.
    incidents: Vec<u8>,
}

impl RunFolder {
    /// Makes `out`, or `<scenario>-<started>` in `runs_dir`. A folder of an earlier run is used again: its files
    /// are removed, but not its spool, which may hold what is not delivered yet.
    pub fn create(
        out: Option<&Path>,
        runs_dir: &Path,
        scenario: &str,
        started: Timestamp,
    ) -> Result<Self, FolderError> {
        let dir = match out {
            Some(out) => {
                make_room(out)?;
                out.to_owned()
            }
            None => make_named(runs_dir, scenario, started)?,
        };
        let calls = Lines::create(dir.join("calls.jsonl"))?;
        let windows = Lines::create(dir.join("windows.jsonl"))?;
        Ok(Self { dir, calls, windows, incidents: Vec::new() })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Appends a record to `calls.jsonl`.
    pub fn call(&mut self, record: &impl Serialize) -> Result<(), FolderError> {
        self.calls.append(record)
    }

    /// What waits goes to another file from now on.
    #[cfg(test)]
    pub(crate) fn point_calls_at(&mut self, path: impl Into<PathBuf>) {
        let path = path.into();
        self.calls.file = fs::OpenOptions::new().append(true).open(&path).expect("opens");
        self.calls.path = path;
    }

    /// Appends a window to `windows.jsonl`.
    pub fn window(&mut self, window: &impl Serialize) -> Result<(), FolderError> {
        self.windows.append(window)
    }

    /// Appends a change of an incident to `incidents.jsonl`, at once: there are few, and each counts. One that the disk does
    /// not take waits for the next [`RunFolder::tick`].
    pub fn incident(&mut self, change: &impl Serialize) -> Result<(), FolderError> {
        serde_json::to_writer(&mut self.incidents, change).expect("an incident is plain data");
        self.incidents.push(b'\n');
        self.write_incidents()
    }

    fn write_incidents(&mut self) -> Result<(), FolderError> {
        if self.incidents.is_empty() {
            return Ok(());
        }
        let path = self.dir.join("incidents.jsonl");
        let opened = fs::OpenOptions::new().create(true).append(true).open(&path);
        let mut file = opened.map_err(|error| io_error(&path, error))?;
        let (done, written) = write_some(&mut file, &self.incidents);
        self.incidents.drain(..done);
        written.map_err(|error| io_error(&path, error))
    }

    /// Bytes of records that wait for the disk or the spool, and that are in the file.
    pub fn records(&self) -> (usize, u64) {
        (self.calls.waiting.len(), self.calls.written)
    }

    /// Writes what was appended, of `calls.jsonl` only what the spool was done with at the last look or is now. To be
    /// called a few times a second.
    pub fn tick(&mut self, spool: Option<Progress>) -> Result<(), FolderError> {
        match spool {
            None => self.calls.flush()?,
            Some(progress) => self.calls.release(progress)?,
        }
        self.write_incidents()?;
        self.windows.flush()
    }

    /// Writes all that was appended.
    pub fn flush(&mut self) -> Result<(), FolderError> {
        self.calls.flush()?;
        self.write_incidents()?;
        self.windows.flush()
    }

    /// Writes `summary.json`, as a whole or not at all.
    pub fn summary(&self, summary: &impl Serialize) -> Result<(), FolderError> {
        let path = self.dir.join("summary.json");
        let mut text = serde_json::to_vec_pretty(summary).map_err(|error| io_error(&path, error.into()))?;
        text.push(b'\n');
        self.whole("summary.json", &text)
    }

    /// Writes `targets.json`, what a watch knows of each target by its name, as a whole or not at all.
    pub fn targets(&self, targets: &impl Serialize) -> Result<(), FolderError> {
        let text = serde_json::to_vec_pretty(targets).expect("labels are plain data");
        self.whole("targets.json", &text)
    }

    /// Writes `incidents-open.json`, as a whole or not at all.
    pub fn open_incidents(&self, incidents: &[u8]) -> Result<(), FolderError> {
        self.whole("incidents-open.json", incidents)
    }

    /// Writes `report.html`, as a whole or not at all.
    pub fn report(&self, html: &str) -> Result<(), FolderError> {
        self.whole("report.html", html.as_bytes())
    }

    /// Writes `junit.xml`, as a whole or not at all.
    pub fn junit(&self, xml: &str) -> Result<(), FolderError> {
        self.whole("junit.xml", xml.as_bytes())
    }

    fn whole(&self, name: &str, bytes: &[u8]) -> Result<(), FolderError> {
        let path = self.dir.join(name);
        replace(&path, bytes).map_err(|error| io_error(&path, error))
    }

    /// Puts `calls.jsonl` away as `calls.1.jsonl`, in place of the one before, once it holds so many bytes, and begins
    /// anew: what runs for ever keeps at most twice as much.
    pub fn roll_calls(&mut self, most: u64) -> Result<(), FolderError> {
        if self.calls.written < most {
            return Ok(());
        }
        self.calls.flush()?;
        let path = self.dir.join("calls.jsonl");
        fs::rename(&path, self.dir.join(OLDER_CALLS)).map_err(|error| io_error(&path, error))?;
        self.calls = Lines::create(path)?;
        Ok(())
    }

    /// Removes the evidence of a call.
    pub fn forget_evidence(&self, call_id: &str) -> Result<(), FolderError> {
        let folder = self.dir.join("evidence").join(file_name(call_id)?);
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(&folder, error)),
            _ => Ok(()),
        }
    }

    /// Writes `evidence/<call_id>/<name>`.
    pub fn evidence(&self, call_id: &str, name: &str, bytes: &[u8]) -> Result<(), FolderError> {
        let folder = self.dir.join("evidence").join(file_name(call_id)?);
        fs::create_dir_all(&folder).map_err(|error| io_error(&folder, error))?;
        write(folder.join(file_name(name)?), bytes)
    }
}

/// A file of JSON lines.
#[derive(Debug)]
struct Lines {
    path: PathBuf,
    file: File,
    /// Lines that are not written yet.
    waiting: Vec<u8>,
    /// The bytes of `waiting` that may be written once so many points are stored.
    held: Option<(u64, usize)>,
    /// Bytes in the file.
    written: u64,
}

impl Lines {
    fn create(path: PathBuf) -> Result<Self, FolderError> {
        let file = File::create(&path).map_err(|error| io_error(&path, error))?;
        Ok(Self { path, file, waiting: Vec::new(), held: None, written: 0 })
    }

    fn append(&mut self, value: &impl Serialize) -> Result<(), FolderError> {
        let before = self.waiting.len();
        if let Err(error) = serde_json::to_writer(&mut self.waiting, value) {
            // A value that cannot be written leaves no half line.
            self.waiting.truncate(before);
            return Err(io_error(&self.path, error.into()));
        }
        self.waiting.push(b'\n');
        Ok(())
    }

    /// Writes the lines whose points are stored. Which those are is asked once for all that gathered between two calls.
    fn release(&mut self, Progress { taken, stored }: Progress) -> Result<(), FolderError> {
        if let Some((points, bytes)) = self.held
            && points <= stored
        {
            self.held = None;
            self.write(bytes)?;
        }
        if self.held.is_none() && !self.waiting.is_empty() {
            self.held = Some((taken, self.waiting.len()));
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), FolderError> {
        self.held = None;
        self.write(self.waiting.len())
    }

    /// Writes the first bytes of what waits; what could be written does not wait any more, even where the rest fails.
    fn write(&mut self, bytes: usize) -> Result<(), FolderError> {
        let (done, written) = write_some(&mut self.file, &self.waiting[..bytes]);
        self.waiting.drain(..done);
        self.written += done as u64;
        written.map_err(|error| io_error(&self.path, error))
    }
}

/// Writes as much as the disk takes: how many bytes, and why not all.
fn write_some(file: &mut File, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut done = 0;
    while done < bytes.len() {
        match file.write(&bytes[done..]) {
            Ok(0) => return (done, Err(io::ErrorKind::WriteZero.into())),
            Ok(more) => done += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (done, Err(error)),
        }
    }
    (done, Ok(()))
}

/// Makes the folder that somebody named, or clears it of an earlier run.
fn make_room(dir: &Path) -> Result<(), FolderError> {
    fs::create_dir_all(dir).map_err(|error| io_error(dir, error))?;
    let names = names_in(dir).map_err(|error| io_error(dir, error))?;
    let is_run = names.iter().any(|name| name == "calls.jsonl");
    let foreign = names.iter().find(|name| {
        let ours =
            OWN_FILES.contains(&name.as_str()) || matches!(name.as_str(), "evidence" | "spool") || is_unfinished(name);
        !(is_run && ours)
    });
    if let Some(found) = foreign {
        return Err(FolderError::Foreign { path: dir.to_owned(), found: found.clone() });
    }
    for name in &names {
        let path = dir.join(name);
        match name.as_str() {
            "spool" => Ok(()),
            "evidence" => fs::remove_dir_all(&path),
            _ => fs::remove_file(&path),
        }
        .map_err(|error| io_error(&path, error))?;
    }
    Ok(())
}

/// What a kill left of a file that appears as a whole.
fn is_unfinished(name: &str) -> bool {
    name.strip_suffix(".tmp").is_some_and(|name| OWN_FILES.contains(&name))
}

fn names_in(dir: &Path) -> io::Result<Vec<String>> {
    let mut names: Vec<String> = fs::read_dir(dir)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<_>>()?;
    names.sort();
    Ok(names)
}

/// `runs/<scenario>-<time>`, with a number behind it where two runs start in the same second.
fn make_named(runs_dir: &Path, scenario: &str, started: Timestamp) -> Result<PathBuf, FolderError> {
    fs::create_dir_all(runs_dir).map_err(|error| io_error(runs_dir, error))?;
    let name: String = scenario.chars().map(|c| if is_plain(c) { c } else { '-' }).take(80).collect();
    let base = format!("{}-{}", name.trim_start_matches('.'), started.strftime("%Y%m%dT%H%M%SZ"));
    for n in 1.. {
        let dir = runs_dir.join(if n == 1 { base.clone() } else { format!("{base}-{n}") });
        match fs::create_dir(&dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => return other.map(|()| dir.clone()).map_err(|error| io_error(&dir, error)),
        }
    }
    unreachable!("some number is free")
}

/// A name that stays in its folder on every file system.
fn file_name(name: &str) -> Result<&str, FolderError> {
    let safe = !name.is_empty() && name.len() <= 128 && !name.starts_with('.') && name.chars().all(is_plain);
    safe.then_some(name).ok_or_else(|| FolderError::Name(name.to_owned()))
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

fn write(path: PathBuf, bytes: &[u8]) -> Result<(), FolderError> {
    fs::write(&path, bytes).map_err(|error| FolderError::Io { path, error })
}

fn io_error(path: &Path, error: io::Error) -> FolderError {
    FolderError::Io { path: path.to_owned(), error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn started() -> Timestamp {
        "2026-01-02T03:04:05.678Z".parse().expect("valid")
    }

    fn create(out: Option<&Path>, runs: &Path) -> Result<RunFolder, FolderError> {
        RunFolder::create(out, runs, "outbound dial", started())
    }

    fn read(folder: &RunFolder, name: &str) -> String {
        fs::read_to_string(folder.path().join(name)).expect(name)
    }

    #[test]
    fn a_run_without_a_named_folder_gets_one_of_scenario_and_time() {
        let runs = tempfile::tempdir().expect("a temporary folder");
        let first = create(None, runs.path()).expect("made");
        let second = create(None, runs.path()).expect("made");
        assert_eq!(first.path(), runs.path().join("outbound-dial-20260102T030405Z"));
        assert_eq!(second.path(), runs.path().join("outbound-dial-20260102T030405Z-2"));
    }

    #[test]
    fn without_a_sink_appended_lines_are_written_at_the_next_look() {
        let runs = tempfile::tempdir().expect("a temporary folder");
        let mut folder = create(None, runs.path()).expect("made");
        folder.call(&json!({ "call_id": "1" })).expect("appended");
        assert_eq!(read(&folder, "calls.jsonl"), "");
        folder.tick(None).expect("written");
        assert_eq!(read(&folder, "calls.jsonl"), "{\"call_id\":\"1\"}\n");
    }

    #[test]
    fn a_record_is_written_once_its_points_are_in_the_spool_and_not_before() {
        let runs = tempfile::tempdir().expect("a temporary folder");
        let mut folder = create(None, runs.path()).expect("made");
        let mut look = |taken, stored| {
            folder.call(&taken).expect("appended");
            folder.tick(Some(Progress { taken, stored })).expect("looked");
            read(&folder, "calls.jsonl").replace('\n', " ")
        };
        assert_eq!(look(2, 0), "", "its two points are on their way");
        assert_eq!(look(4, 1), "");
        assert_eq!(look(6, 2), "2 ", "the first record's points are stored");
        assert_eq!(look(8, 7), "2 4 6 ", "those of the second and third too");
        assert_eq!(look(10, 10), "2 4 6 8 ");
        folder.flush().expect("written");
        assert_eq!(read(&folder, "calls.jsonl"), "2\n4\n6\n8\n10\n");
    }

    #[test]
    fn a_foreign_folder_is_refused_and_stays_as_it_is() {
        let out = tempfile::tempdir().expect("a temporary folder");
        fs::write(out.path().join("junit.xml"), "theirs").expect("written");
        let error = create(Some(out.path()), out.path()).expect_err("refused");
        assert!(error.to_string().contains("holds `junit.xml`"), "{error}");
        fs::write(out.path().join("calls.jsonl"), "").expect("written");
        fs::write(out.path().join("thesis.doc"), "theirs").expect("written");
        let error = create(Some(out.path()), out.path()).expect_err("refused");
        assert!(error.to_string().contains("holds `thesis.doc`"), "{error}");
        assert!(out.path().join("thesis.doc").exists() && out.path().join("junit.xml").exists());
    }

    #[test]
    fn the_folder_of_an_earlier_run_is_used_again_and_keeps_its_spool() {
        let out = tempfile::tempdir().expect("a temporary folder");
        let mut folder = create(Some(out.path()), out.path()).expect("made");
        folder.call(&1).expect("appended");
        folder.flush().expect("flushed");
        folder.evidence("7", "ladder.txt", b"old").expect("written");
        folder.summary(&json!({})).expect("written");
        fs::create_dir_all(out.path().join("spool/influxdb")).expect("made");
        let folder = create(Some(out.path()), out.path()).expect("made");
        assert_eq!(read(&folder, "calls.jsonl"), "");
        assert_eq!(names_in(out.path()).expect("readable"), ["calls.jsonl", "spool", "windows.jsonl"]);
    }

    #[test]
    fn evidence_stays_in_its_folder() {
        let runs = tempfile::tempdir().expect("a temporary folder");
        let folder = create(None, runs.path()).expect("made");
        folder.evidence("a-1_2.3", "ladder.txt", b"INVITE").expect("written");
        assert_eq!(read(&folder, "evidence/a-1_2.3/ladder.txt"), "INVITE");
        for name in ["../x", "a/b", "", ".hidden", "a\0b", "Ümlaut"] {
            assert!(matches!(folder.evidence(name, "x", b""), Err(FolderError::Name(_))), "{name}");
            assert!(matches!(folder.evidence("x", name, b""), Err(FolderError::Name(_))), "{name}");
        }
    }

    #[test]
    fn an_unwritable_place_is_an_error_value() {
        let runs = tempfile::tempdir().expect("a temporary folder");
        let file = runs.path().join("file");
        fs::write(&file, "").expect("written");
        assert!(matches!(create(Some(&file), runs.path()), Err(FolderError::Io { .. })));
        assert!(matches!(create(None, &file), Err(FolderError::Io { .. })));
    }

    #[test]
    fn a_full_disk_is_an_error_value() {
        let mut lines = Lines::create("/dev/full".into()).expect("opens");
        lines.append(&"x").expect("buffered");
        assert!(matches!(lines.flush(), Err(FolderError::Io { .. })));
    }
}
