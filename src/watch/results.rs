//! Where results of a watch go: all of them to its folder and its database, bounded, as it runs for ever.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::Serialize;

use super::job::Outcome;
use crate::evidence::File;
use crate::incident::{Change, Incident};
use crate::record::{CallRecord, MediaSecond, RegistrationRecord};
use crate::report::{SinkCounts, SinkReport};
use crate::serve::view::Sink as Shown;
use crate::sink::{Collector, FolderError, IncidentPoint, Item, ProbePoint, RunFolder};

/// `calls.jsonl` is put away once it holds so many bytes: it and the one before hold twice as much at most.
const CALLS_BYTES: u64 = 64 << 20;
/// Failures whose evidence is kept, the latest ones.
const EVIDENCE: usize = 1000;
/// Bytes of records that may wait for a disk that is full; some 8,000 records.
const WAITING: usize = 16 << 20;
/// How long a sink may take to deliver the last results before they are left in its spool.
const LAST_DELIVERY: Duration = Duration::from_secs(10);
/// How long the last records wait for the spool before they are written all the same.
const LAST_STORE: Duration = Duration::from_secs(1);

/// Where results go.
pub(super) struct Results {
    folder: RunFolder,
    collector: Option<Collector>,
    evidence: VecDeque<String>,
    /// Why records are not written, and how many bytes of them were when that began: it is told once, until more are.
    failing: Option<(String, u64)>,
    /// Why the last evidence was not.
    lacking: Option<String>,
    /// Records that found no place to wait in.
    left_out: u64,
    /// `incidents-open.json` as it was written last.
    open: Vec<u8>,
}

/// A line of `incidents.jsonl`.
#[derive(Serialize)]
struct Line<'a> {
    change: Change,
    #[serde(flatten)]
    incident: &'a Incident,
}

impl Results {
    pub(super) fn new(folder: RunFolder, collector: Option<Collector>) -> Self {
        Self {
            folder,
            collector,
            evidence: VecDeque::new(),
            failing: None,
            lacking: None,
            left_out: 0,
            open: Vec::new(),
        }
    }

    pub(super) fn outcome(&mut self, outcome: &Outcome) -> Option<String> {
        let finished = &outcome.finished;
        self.record(&finished.record, finished.registration.as_ref(), outcome.files.as_deref())
    }

    /// Keeps a record. Tells what is wrong with the disk, once, and once that it is well again. A watch goes on without its
    /// files: records wait for room, and the database has what they lack.
    pub(super) fn record(
        &mut self,
        record: &CallRecord,
        registration: Option<&RegistrationRecord>,
        files: Option<&[File]>,
    ) -> Option<String> {
        if let Some(collector) = &self.collector {
            collector.offer(Item::Call(record, registration));
        }
        let written = self.write(record);
        let trouble = self.note_failure(written);
        let Some(files) = files else { return trouble };
        let lacking = self.write_evidence(&record.call_id, files).err().map(|error| error.to_string());
        let before = std::mem::replace(&mut self.lacking, lacking.clone());
        let lacking = lacking.filter(|_| before.is_none() && self.failing.is_none());
        let in_words = |error| format!("{error}: the watch goes on without the evidence of that call");
        trouble.or_else(|| lacking.map(in_words))
    }

    /// An incident has changed: `incidents.jsonl` and the database have each change.
    pub(super) fn incident(&mut self, point: &IncidentPoint<'_>) -> Option<String> {
        if let Some(collector) = &self.collector {
            collector.offer(Item::Incident(point));
        }
        let written = self.folder.incident(&Line { change: point.change, incident: point.incident });
        self.note_failure(written)
    }

    /// These are open, with what is counted of them now: `incidents.jsonl` has how they stood when they changed.
    pub(super) fn open_incidents(&mut self, open: &[&Incident]) -> Option<String> {
        let text = serde_json::to_vec(open).expect("an incident is plain data");
        if text == self.open || (open.is_empty() && self.open.is_empty()) {
            return None;
        }
        let written = self.folder.open_incidents(&text);
        if written.is_ok() {
            self.open = text;
        }
        self.note_failure(written)
    }

    /// How the process itself is.
    pub(super) fn probe(&self, point: &ProbePoint<'_>) {
        if let Some(collector) = &self.collector {
            collector.offer(Item::Probe(point));
        }
    }

    /// What is known of the targets, for incident sheets.
    pub(super) fn targets(&mut self, targets: &BTreeMap<String, BTreeMap<String, String>>) -> Option<String> {
        let written = self.folder.targets(targets);
        self.note_failure(written)
    }

    /// A second of a leg's media has passed.
    pub(super) fn second(&self, second: &MediaSecond) {
        if let Some(collector) = &self.collector {
            collector.offer(Item::Second(second));
        }
    }

    /// How many points went where, with a database.
    pub(super) fn counts(&self) -> Option<SinkCounts> {
        self.collector.as_ref().map(Collector::counts)
    }

    /// What is wrong with the disk, as long as it is.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.failing.as_ref().map(|(error, _)| error.as_str()).or(self.lacking.as_deref())
    }

    /// Records that are not in the folder, as it took none for too long.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// What is wrong with the database, as long as it is.
    pub(super) fn sink_trouble(&self) -> Option<String> {
        self.collector.as_ref()?.trouble()
    }

    /// Where results go beside the folder, for readers.
    pub(super) fn sinks(&self) -> Vec<Shown> {
        let of = |collector: &Collector| {
            let (counts, error) = (collector.counts(), collector.trouble());
            Shown {
                name: "influxdb".to_owned(),
                url: collector.url().to_owned(),
                up: error.is_none(),
                error,
                written: counts.written,
                waiting: counts.spooled,
                rejected: counts.rejected,
            }
        };
        self.collector.iter().map(of).collect()
    }

    /// Brings to disk what gathered. To be called a few times a second.
    pub(super) fn tick(&mut self) -> Option<String> {
        let progress = self.collector.as_ref().map(Collector::progress);
        let written = self.folder.tick(progress).and_then(|()| self.folder.roll_calls(CALLS_BYTES));
        let well = written.is_ok();
        let trouble = self.note_failure(written);
        // That nothing was to be written shows nothing.
        let more = |before: u64| self.folder.records().1 != before;
        if well && self.failing.as_ref().is_some_and(|(_, before)| more(*before)) {
            self.failing = None;
            return Some(format!("the folder takes results again; records that it lacks: {}", self.left_out));
        }
        trouble
    }

    /// Nothing more comes: writes the rest, and delivers it while there is time.
    pub(super) fn close(mut self) -> Option<SinkReport> {
        let collector = self.collector.take();
        if let Some(collector) = &collector {
            collector.wait_until_stored(LAST_STORE);
        }
        if let Err(error) = self.folder.flush() {
            tracing::error!(%error, "the last records are not in the folder");
        }
        collector.map(|collector| collector.finish(LAST_DELIVERY))
    }

    fn write(&mut self, record: &CallRecord) -> Result<(), FolderError> {
        if self.folder.records().0 < WAITING {
            self.folder.call(record)
        } else {
            self.left_out += 1;
            Ok(())
        }
    }

    fn write_evidence(&mut self, call_id: &str, files: &[File]) -> Result<(), FolderError> {
        // Before it is written: what a full disk takes a part of is forgotten like the rest.
        self.evidence.push_back(call_id.to_owned());
        if self.evidence.len() > EVIDENCE
            && let Some(oldest) = self.evidence.pop_front()
        {
            self.folder.forget_evidence(&oldest)?;
        }
        files.iter().try_for_each(|file| self.folder.evidence(call_id, file.name, &file.bytes))
    }

    /// What is wrong with the records, told once.
    fn note_failure(&mut self, written: Result<(), FolderError>) -> Option<String> {
        let error = written.err()?.to_string();
        if let Some((known, _)) = &mut self.failing {
            *known = error;
            return None;
        }
        self.failing = Some((error.clone(), self.folder.records().1));
        Some(format!("{error}: the watch goes on; records wait for room, and the database gets its results"))
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn incidents_that_are_open_are_written_as_they_stand_and_only_where_that_changed() {
        let runs = tempfile::tempdir().expect("a temporary folder");
        let folder = RunFolder::create(None, runs.path(), "w", Timestamp::UNIX_EPOCH).expect("made");
        let path = folder.path().join("incidents-open.json");
        let mut results = Results::new(folder, None);
        assert_eq!((results.open_incidents(&[]), path.exists()), (None, false));
        let tested = || {
            let text = std::fs::read_to_string(&path).expect("there");
            let open: Vec<Incident> = serde_json::from_str(&text).expect("JSON");
            open.iter().map(|incident| incident.tested).collect::<Vec<_>>()
        };
        let opened = crate::incident::sample_incident();
        assert_eq!((results.open_incidents(&[&opened]), tested()), (None, vec![opened.tested]));
        std::fs::remove_file(&path).expect("there");
        assert_eq!((results.open_incidents(&[&opened]), path.exists()), (None, false), "it stands as it was written");
        let grown = Incident { tested: 795, ..opened };
        assert_eq!((results.open_incidents(&[&grown]), tested()), (None, vec![795]));
        assert_eq!((results.open_incidents(&[]), tested()), (None, Vec::new()));
    }

    /// A folder on a disk that is full until it is not: its file is one that takes nothing.
    #[test]
    fn records_wait_for_a_full_disk_in_bounded_memory_and_it_is_told_once_and_once_that_it_is_over() {
        let runs = tempfile::tempdir().expect("a temporary folder");
        let folder = RunFolder::create(None, runs.path(), "w", Timestamp::UNIX_EPOCH).expect("made");
        let path = folder.path().to_owned();
        let mut results = Results::new(folder, None);
        let text = include_str!("../../tests/data/influx/record.json");
        let record: CallRecord = serde_json::from_str(text).expect("valid");
        assert_eq!((results.record(&record, None, None), results.tick()), (None, None));
        results.folder.point_calls_at("/dev/full");
        results.record(&record, None, None);
        let told = results.tick().expect("it is told");
        assert!(told.contains("No space left on device") && told.contains("records wait for room"), "{told}");
        for _ in 0..30_000 {
            assert_eq!(results.record(&record, None, None), None);
        }
        assert_eq!(results.tick(), None, "told once");
        let (waiting, _) = results.folder.records();
        assert!((WAITING..WAITING + 10_000).contains(&waiting) && results.left_out() > 10_000, "{waiting}");
        assert!(results.trouble().is_some_and(|trouble| trouble.contains("No space left")));
        results.folder.point_calls_at(path.join("calls.jsonl"));
        let told = results.tick().expect("it is told");
        assert_eq!(told, format!("the folder takes results again; records that it lacks: {}", results.left_out()));
        assert_eq!((results.tick(), results.trouble()), (None, None));
        let kept = std::fs::read_to_string(path.join("calls.jsonl")).expect("there").lines().count() as u64;
        assert_eq!(kept + results.left_out(), 30_002);
    }
}
