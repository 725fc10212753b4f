//! What a run's attempts came to, on its way to the run folder and to the sink.
//!
//! Results that cannot be kept end a run: the first write that fails is remembered, nothing more is written to the
//! folder, and the session sees it by [`Results::trouble`]. The sink goes on for itself, and counts what it must drop.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::evidence::File;
use crate::measure::Window;
use crate::record::{CallRecord, Class, MediaSecond, RegistrationRecord};
use crate::report::{RecordShare, SinkReport, Summary, html, junit};
use crate::sink::line::{LimitPoint, WindowPoint};
use crate::sink::{Collector, FolderError, Item, RunFolder};

/// Records of each class beside the attempts that are written; all are counted.
const WRITTEN_BESIDE: u64 = 1_000;
/// How long a sink may take to deliver the last results before they are left in its spool.
const LAST_DELIVERY: Duration = Duration::from_secs(10);
/// How long the last records wait for the spool before they are written all the same.
const LAST_STORE: Duration = Duration::from_secs(1);

/// Where results go.
pub(super) struct Results {
    folder: RunFolder,
    collector: Option<Collector>,
    successes: u64,
    written: RecordShare,
    beside: BTreeMap<Class, u64>,
    failures_shown: Vec<CallRecord>,
    trouble: Option<String>,
}

impl Results {
    pub(super) fn new(folder: RunFolder, collector: Option<Collector>) -> Self {
        Self {
            folder,
            collector,
            successes: 0,
            written: RecordShare::default(),
            beside: BTreeMap::new(),
            failures_shown: Vec::new(),
            trouble: None,
        }
    }

    /// Why results cannot be kept any more.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Results that belong to no attempt, by their class.
    pub(super) fn counted_beside(&self) -> &BTreeMap<Class, u64> {
        &self.beside
    }

    /// An attempt has ended, and is written.
    pub(super) fn attempt(
        &mut self,
        record: CallRecord,
        registration: Option<&RegistrationRecord>,
        files: Option<&[File]>,
    ) {
        self.successes += u64::from(!record.is_failed());
        self.evidence(&record, files);
        self.record(&record, registration);
        self.show(record);
    }

    /// An attempt has ended as it should, and is not written.
    pub(super) fn count_unwritten(&mut self) {
        self.successes += 1;
    }

    /// What is of no attempt is recorded and counted, and judged by thresholds alone.
    pub(super) fn beside(
        &mut self,
        record: CallRecord,
        registration: Option<&RegistrationRecord>,
        files: Option<&[File]>,
    ) {
        let count = self.beside.entry(record.class).or_default();
        *count += 1;
        // Anybody may call a port that is open to the world.
        if *count <= WRITTEN_BESIDE {
            self.evidence(&record, files);
            self.record(&record, registration);
        }
        self.show(record);
    }

    /// A second of a leg's media has passed.
    pub(super) fn second(&self, second: &MediaSecond) {
        self.offer(Item::Second(second));
    }

    /// A window has ended; `point` is what the sink gets of it.
    pub(super) fn window(&mut self, window: &Window, point: &WindowPoint) {
        self.keep(|folder| folder.window(window));
        self.offer(Item::Window(point));
    }

    /// A search for a limit has come to something.
    pub(super) fn limit(&self, point: &LimitPoint<'_>) {
        self.offer(Item::Limit(point));
    }

    /// Brings to disk what gathered. To be called a few times a second.
    pub(super) fn tick(&mut self) {
        let progress = self.collector.as_ref().map(Collector::progress);
        self.keep(|folder| folder.tick(progress));
    }

    /// Nothing more comes: writes the rest, and delivers it while there is time.
    pub(super) fn close(&mut self) -> Option<SinkReport> {
        let collector = self.collector.take();
        if let Some(collector) = &collector {
            collector.wait_until_stored(LAST_STORE);
        }
        self.keep(RunFolder::flush);
        collector.map(|collector| collector.finish(LAST_DELIVERY))
    }

    /// How much of the run `calls.jsonl` holds.
    pub(super) fn share(&self) -> RecordShare {
        let successes_pct = share_pct(self.written.successes, self.successes);
        RecordShare { successes_pct, ..self.written }
    }

    /// Writes what the run came to.
    pub(super) fn sum_up(&self, summary: &Summary, windows: &[Window]) -> Result<(), FolderError> {
        self.folder.summary(summary)?;
        self.folder.junit(&junit::render(summary))?;
        self.folder.report(&html::render(summary, windows, &self.failures_shown))
    }

    /// The run folder.
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    fn record(&mut self, record: &CallRecord, registration: Option<&RegistrationRecord>) {
        self.keep(|folder| folder.call(record));
        self.offer(Item::Call(record, registration));
        *if record.is_failed() { &mut self.written.failures } else { &mut self.written.successes } += 1;
    }

    fn evidence(&mut self, record: &CallRecord, files: Option<&[File]>) {
        for file in files.into_iter().flatten() {
            self.keep(|folder| folder.evidence(&record.call_id, file.name, &file.bytes));
        }
    }

    fn show(&mut self, record: CallRecord) {
        if record.is_failed() && self.failures_shown.len() < html::FAILURES_SHOWN {
            self.failures_shown.push(record);
        }
    }

    fn offer(&self, item: Item<'_>) {
        if let Some(collector) = &self.collector {
            collector.offer(item);
        }
    }

    fn keep(&mut self, write: impl FnOnce(&mut RunFolder) -> Result<(), FolderError>) {
        if self.trouble.is_none()
            && let Err(error) = write(&mut self.folder)
        {
            self.trouble = Some(error.to_string());
        }
    }
}

/// A share in percent; `None` of nothing.
pub(super) fn share_pct(part: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| 100.0 * part as f64 / all as f64)
}
