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
/// How long a sink may take to deliver the last results before they are left in its spool.
const LAST_DELIVERY: Duration = Duration::from_secs(10);
/// How long the last records wait for the spool before they are written all the same.
const LAST_STORE: Duration = Duration::from_secs(1);

/// Where results go.
pub(super) struct Results {
    folder: RunFolder,
    collector: Option<Collector>,
    evidence: VecDeque<String>,
    /// Why the last write failed: it is told once, until one succeeds.
    failing: Option<String>,
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
        Self { folder, collector, evidence: VecDeque::new(), failing: None }
    }

    pub(super) fn outcome(&mut self, outcome: &Outcome) -> Option<String> {
        let finished = &outcome.finished;
        self.record(&finished.record, finished.registration.as_ref(), outcome.files.as_deref())
    }

    /// Keeps a record. Tells what is wrong with the disk, once. A watch goes on without its files: the database has what
    /// they lack.
    pub(super) fn record(
        &mut self,
        record: &CallRecord,
        registration: Option<&RegistrationRecord>,
        files: Option<&[File]>,
    ) -> Option<String> {
        if let Some(collector) = &self.collector {
            collector.offer(Item::Call(record, registration));
        }
        let written = self.write(record, files);
        self.note(written)
    }

    /// An incident has changed: `incidents.jsonl` and the database have each change.
    pub(super) fn incident(&mut self, point: &IncidentPoint<'_>) -> Option<String> {
        if let Some(collector) = &self.collector {
            collector.offer(Item::Incident(point));
        }
        let written = self.folder.incident(&Line { change: point.change, incident: point.incident });
        self.note(written)
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
        self.note(written)
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
        self.failing.as_deref()
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
        self.note(written)
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

    fn write(&mut self, record: &CallRecord, files: Option<&[File]>) -> Result<(), FolderError> {
        self.folder.call(record)?;
        let Some(files) = files else { return Ok(()) };
        for file in files {
            self.folder.evidence(&record.call_id, file.name, &file.bytes)?;
        }
        self.evidence.push_back(record.call_id.clone());
        if self.evidence.len() > EVIDENCE
            && let Some(oldest) = self.evidence.pop_front()
        {
            self.folder.forget_evidence(&oldest)?;
        }
        Ok(())
    }

    fn note(&mut self, written: Result<(), FolderError>) -> Option<String> {
        let failed = written.err().map(|error| error.to_string());
        let news = failed.clone().filter(|_| self.failing.is_none());
        self.failing = failed;
        news
    }
}
