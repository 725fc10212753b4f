//! What a watch knows, on disk: one file with transactions, so that a kill or a power cut at any moment leaves all of a
//! change or nothing of it.
//!
//! | table | holds |
//! |---|---|
//! | `state` | by name: the judge with its incidents and baselines, the throttle, the calendar's position, what Alertmanager is to know |
//! | `outbox` | by number: messages on their way |
//! | `results` | by number: results since what the judge knows was written |
//!
//! What cannot be written is kept in memory and written with what comes next.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use redb::{Database, DatabaseError, ReadableDatabase as _, ReadableTable as _, StorageError, TableDefinition};
use serde::Serialize;
use serde::de::DeserializeOwned;

const STATE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("state");
const OUTBOX: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("outbox");
const RESULTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("results");
/// Under this name in `state`.
const MEMORY: &str = "memory";
/// Memory for pages of the file, bytes.
const CACHE: usize = 4 << 20;

/// Why the file cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another watch has it.
    #[error("{} is in use: another watch of this name runs with these folders", .0.display())]
    InUse(PathBuf),
    /// It cannot be read or written.
    #[error("{}: {what}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

/// The file.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    /// `None` after a write failed: it is opened anew with the next one.
    database: Option<Database>,
    waiting: Batch,
}

/// What is written together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    state: BTreeMap<String, Vec<u8>>,
    outbox: BTreeMap<u64, Option<Vec<u8>>>,
    /// Those of before are in what is known now.
    known: bool,
    /// And those that came since.
    results: Vec<Vec<u8>>,
}

impl Batch {
    /// All that is known, with every result so far.
    pub(super) fn memory(&mut self, memory: &impl Serialize) {
        self.put(MEMORY, memory);
        self.known = true;
        self.results.clear();
    }

    /// A result that what is known does not have yet.
    pub(super) fn result(&mut self, result: &impl Serialize) {
        self.results.push(packed(result));
    }

    /// A value under a name.
    pub(super) fn put(&mut self, name: &str, value: &impl Serialize) {
        self.state.insert(name.to_owned(), packed(value));
    }

    /// A message, or that it is gone.
    pub(super) fn message(&mut self, number: u64, message: Option<&impl Serialize>) {
        self.outbox.insert(number, message.map(packed));
    }

    fn is_empty(&self) -> bool {
        self.state.is_empty() && self.outbox.is_empty() && self.results.is_empty()
    }
}

impl Store {
    /// Opens the file, or makes it. One that cannot be read is put aside, and begun anew; then the second value says so.
    ///
    /// # Errors
    /// [`StoreError`]: another process has it, or there is no place for it.
    pub fn open(path: &Path) -> Result<(Self, Option<String>), StoreError> {
        let of = |database| Self { path: path.to_owned(), database: Some(database), waiting: Batch::default() };
        let first = match open(path) {
            Ok(database) => return Ok((of(database), None)),
            Err(StoreError::InUse(path)) => return Err(StoreError::InUse(path)),
            Err(error) => error,
        };
        if !path.exists() {
            return Err(first);
        }
        let aside = path.with_extension("broken");
        std::fs::rename(path, &aside).map_err(|_| first.to_string()).map_err(|what| broken(path, what))?;
        let database = open(path)?;
        let told = format!("{first}: it is put aside as {}, and incidents are begun anew", aside.display());
        Ok((of(database), Some(told)))
    }

    /// A file beside it, of the same name but for its end.
    pub(super) fn beside(&self, end: &str) -> PathBuf {
        self.path.with_extension(end)
    }

    /// A value by its name; `None` where there is none, or none that can be read.
    pub(super) fn get<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let read = self.database.as_ref()?.begin_read().ok()?;
        let table = read.open_table(STATE).ok()?;
        let value = table.get(name).ok()??;
        unpacked(value.value())
    }

    /// What was known, and the results that came after it was written.
    pub(super) fn memory<M: DeserializeOwned, R: DeserializeOwned>(&self) -> Option<(M, Vec<R>)> {
        let results = self.numbered(RESULTS).into_iter().map(|(_, result)| result);
        Some((self.get(MEMORY)?, results.collect()))
    }

    /// Messages on their way, in the order in which they came.
    pub(super) fn messages<T: DeserializeOwned>(&self) -> Vec<(u64, T)> {
        self.numbered(OUTBOX)
    }

    fn numbered<T: DeserializeOwned>(&self, table: TableDefinition<'_, u64, &'static [u8]>) -> Vec<(u64, T)> {
        let read = || -> Option<Vec<(u64, T)>> {
            let read = self.database.as_ref()?.begin_read().ok()?;
            let table = read.open_table(table).ok()?;
            let entries = table.iter().ok()?.filter_map(Result::ok);
            Some(entries.filter_map(|(number, value)| Some((number.value(), unpacked(value.value())?))).collect())
        };
        read().unwrap_or_default()
    }

    /// Writes all of it, with what could not be written before, or nothing.
    ///
    /// # Errors
    /// [`StoreError`]: it is written with what comes next.
    pub(super) fn write(&mut self, batch: Batch) -> Result<(), StoreError> {
        let Batch { state, outbox, known, results } = batch;
        self.waiting.state.extend(state);
        self.waiting.outbox.extend(outbox);
        if known {
            self.waiting.known = true;
            self.waiting.results.clear();
        }
        self.waiting.results.extend(results);
        if self.waiting.is_empty() {
            return Ok(());
        }
        let database = match self.database.take() {
            Some(database) => database,
            None => open(&self.path)?,
        };
        // After a failure the library wants the file opened anew.
        write(&database, &self.waiting).map_err(|error| broken(&self.path, error.to_string()))?;
        self.database = Some(database);
        self.waiting = Batch::default();
        Ok(())
    }

    /// As after a write that failed.
    #[cfg(test)]
    pub(super) fn fail(&mut self) {
        self.database = None;
    }

    /// Whether something waits to be written.
    pub(super) fn is_behind(&self) -> bool {
        !self.waiting.is_empty()
    }
}

fn open(path: &Path) -> Result<Database, StoreError> {
    Database::builder().set_cache_size(CACHE).create(path).map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => StoreError::InUse(path.to_owned()),
        DatabaseError::Storage(StorageError::Io(error)) => broken(path, error.to_string()),
        error => broken(path, error.to_string()),
    })
}

fn broken(path: &Path, what: String) -> StoreError {
    StoreError::Broken { path: path.to_owned(), what }
}

fn write(database: &Database, batch: &Batch) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut state = transaction.open_table(STATE)?;
        for (name, value) in &batch.state {
            state.insert(name.as_str(), value.as_slice())?;
        }
        let mut outbox = transaction.open_table(OUTBOX)?;
        for (number, message) in &batch.outbox {
            match message {
                Some(message) => drop(outbox.insert(number, message.as_slice())?),
                None => drop(outbox.remove(number)?),
            }
        }
        let mut results = transaction.open_table(RESULTS)?;
        if batch.known {
            results.retain(|_, _| false)?;
        }
        let next = results.last()?.map_or(0, |(number, _)| number.value() + 1);
        for (number, result) in (next..).zip(&batch.results) {
            results.insert(number, result.as_slice())?;
        }
    }
    transaction.commit()?;
    Ok(())
}

/// JSON, which tolerates fields that come and go, in a tenth of its room.
fn packed(value: &impl Serialize) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    serde_json::to_writer(&mut encoder, value).expect("plain data, and a Vec takes everything");
    encoder.flush().and_then(|()| encoder.finish()).expect("a Vec takes everything")
}

fn unpacked<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let mut text = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path) -> Store {
        Store::open(path).expect("opens").0
    }

    fn write(store: &mut Store, name: &str, value: u64, message: Option<(u64, &str)>) {
        let mut batch = Batch::default();
        batch.put(name, &value);
        if let Some((number, text)) = message {
            batch.message(number, Some(&text));
        }
        store.write(batch).expect("written");
    }

    #[test]
    fn what_was_written_is_there_after_a_kill_and_what_was_not_is_not() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (path, copy) = (dir.path().join("w.redb"), dir.path().join("copy.redb"));
        let mut store = open(&path);
        for n in 1..=20 {
            write(&mut store, "count", n, Some((n, "told")));
            // What a kill leaves: the file as it is now.
            std::fs::copy(&path, &copy).expect("copied");
            let left = open(&copy);
            assert_eq!((left.get("count"), left.messages::<String>().len()), (Some(n), n as usize));
        }
    }

    #[test]
    fn results_are_there_after_a_kill_until_what_is_known_has_them() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (path, copy) = (dir.path().join("w.redb"), dir.path().join("copy.redb"));
        let mut store = open(&path);
        let mut after_a_kill = |batch: Batch| {
            store.write(batch).expect("written");
            std::fs::copy(&path, &copy).expect("copied");
            open(&copy).memory::<u64, u64>()
        };
        let noted = |memory: Option<u64>, results: &[u64]| {
            let mut batch = Batch::default();
            memory.iter().for_each(|memory| batch.memory(memory));
            results.iter().for_each(|result| batch.result(result));
            batch
        };
        assert_eq!(after_a_kill(noted(None, &[1, 2])), None, "nothing is known that they would be added to");
        assert_eq!(after_a_kill(noted(Some(2), &[])), Some((2, vec![])));
        assert_eq!(after_a_kill(noted(None, &[3, 4])), Some((2, vec![3, 4])));
        assert_eq!(after_a_kill(noted(None, &[5])), Some((2, vec![3, 4, 5])));
        assert_eq!(after_a_kill(noted(Some(5), &[6])), Some((5, vec![6])));
        // What waits for a disk is put together in the same way.
        store.waiting = noted(None, &[7]);
        assert_eq!(
            {
                store.write(noted(Some(7), &[8])).expect("written");
                store.memory::<u64, u64>()
            },
            Some((7, vec![8]))
        );
    }

    #[test]
    fn a_message_that_is_gone_is_gone() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("w.redb");
        let mut store = open(&path);
        write(&mut store, "a", 1, Some((7, "seven")));
        write(&mut store, "a", 2, Some((9, "nine")));
        let mut batch = Batch::default();
        batch.message(7, None::<&u64>);
        store.write(batch).expect("written");
        drop(store);
        assert_eq!(open(&path).messages::<String>(), [(9, "nine".to_owned())]);
    }

    #[test]
    fn a_file_has_one_owner() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("w.redb");
        let store = open(&path);
        assert!(matches!(Store::open(&path), Err(StoreError::InUse(_))));
        drop(store);
        open(&path);
    }

    #[test]
    fn a_file_that_is_no_store_is_put_aside_and_told() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("w.redb");
        std::fs::write(&path, vec![b'x'; 10_000]).expect("written");
        let (store, told) = Store::open(&path).expect("begun anew");
        assert!(told.is_some_and(|told| told.contains("put aside as")), "it is said");
        assert_eq!(store.get::<u64>("a"), None);
        assert_eq!(std::fs::read(dir.path().join("w.broken")).expect("kept").len(), 10_000);
    }

    #[test]
    fn a_torn_tail_of_a_write_is_no_part_of_what_is_read() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (path, copy) = (dir.path().join("w.redb"), dir.path().join("copy.redb"));
        let mut store = open(&path);
        write(&mut store, "count", 1, None);
        write(&mut store, "count", 2, Some((1, "one")));
        let mut bytes = std::fs::read(&path).expect("there");
        let end = bytes.len();
        bytes.extend(vec![0xa5; 4096]);
        std::fs::write(&copy, &bytes).expect("written");
        assert!(end < bytes.len());
        let (left, told) = Store::open(&copy).expect("opens");
        assert_eq!((left.get("count"), told), (Some(2_u64), None));
    }
}
