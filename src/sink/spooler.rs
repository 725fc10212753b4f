//! From memory to disk: points wait a few milliseconds for others, get their final times, and are written together.

use std::cell::RefCell;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use super::courier::Signals;
use super::line::Point;
use super::spool::{Counts, Spool, SpoolError};
use super::unique::UniqueTimes;

/// How often counts are published while nothing new comes.
const PUBLISH_EVERY: Duration = Duration::from_millis(250);

/// Between the threads that have results and the one that writes them.
#[derive(Debug)]
pub(super) struct Shared {
    waiting: Mutex<Waiting>,
    /// Something is waiting, or the end has come.
    wake: Notify,
    max_waiting: usize,
}

/// How far the spool is with what it was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Points that were taken.
    pub taken: u64,
    /// Of them, in their order, those that are on disk and synced; all where the disk refuses them, as then none is
    /// waited for.
    pub stored: u64,
}

#[derive(Debug, Default)]
struct Waiting {
    points: Vec<Point>,
    progress: Progress,
    /// Whether the disk refused the last write.
    refused: bool,
    /// Points that found no room.
    overflow: u64,
    /// How long the rest may be delivered, once the run is over.
    end: Option<Duration>,
    /// Of the spool, as last published.
    counts: Counts,
    /// Why results wait, as last published.
    trouble: Option<String>,
}

impl Shared {
    pub(super) fn new(max_waiting: usize) -> Self {
        Self { waiting: Mutex::default(), wake: Notify::new(), max_waiting }
    }

    /// Leaves points to be written. Those that find no room are counted.
    pub(super) fn add(&self, points: Vec<Point>) {
        let mut waiting = self.lock();
        for point in points {
            if waiting.points.len() < self.max_waiting {
                waiting.points.push(point);
                waiting.progress.taken += 1;
            } else {
                waiting.overflow += 1;
            }
        }
        drop(waiting);
        self.wake.notify_one();
    }

    /// Nothing more comes; the rest may be delivered for this long.
    pub(super) fn end(&self, deadline: Duration) {
        self.lock().end = Some(deadline);
        self.wake.notify_one();
    }

    pub(super) fn progress(&self) -> Progress {
        let waiting = self.lock();
        let Progress { taken, stored } = waiting.progress;
        Progress { taken, stored: if waiting.refused { taken } else { stored } }
    }

    pub(super) fn counts(&self) -> Counts {
        let waiting = self.lock();
        let mut counts = waiting.counts;
        let in_memory = waiting.points.len() as u64;
        counts.spooled += in_memory;
        counts.rejected += waiting.overflow;
        counts.dropped += waiting.overflow;
        counts.measured += in_memory + waiting.overflow;
        counts
    }

    pub(super) fn trouble(&self) -> Option<String> {
        self.lock().trouble.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing in here is left half done by a panic.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes waiting points to disk.
pub(super) struct Spooler<'a> {
    shared: &'a Shared,
    flush_every: Duration,
    times: UniqueTimes,
    /// Lines that are to be written next. They stay when the disk refuses them: their times are given for good.
    text: Vec<u8>,
    lines: u64,
    /// Lines that are written and not synced yet, and those that are being synced.
    unsynced: u64,
    syncing: Option<(u64, JoinHandle<Result<(), SpoolError>>)>,
    /// The last thing that went wrong with the disk.
    pub(super) error: Option<String>,
}

impl<'a> Spooler<'a> {
    pub(super) fn new(shared: &'a Shared, flush_every: Duration) -> Self {
        Self {
            shared,
            flush_every,
            times: UniqueTimes::default(),
            text: Vec::new(),
            lines: 0,
            unsynced: 0,
            syncing: None,
            error: None,
        }
    }

    /// Writes until the run ends and everything is on disk or dropped; returns when delivery must end.
    pub(super) async fn run(&mut self, spool: &RefCell<Spool>, signals: &Signals) -> Instant {
        loop {
            if self.lines == 0 {
                self.wait().await;
            }
            if self.shared.lock().end.is_none() {
                sleep(self.flush_every).await;
            }
            // Read before the points are taken: what is offered before the end is then among them.
            let end = self.shared.lock().end;
            self.write(&mut spool.borrow_mut(), end.is_some());
            self.publish_trouble(signals);
            signals.wake();
            self.start_sync(spool).await;
            if let Some(deadline) = end {
                let end = Instant::now() + deadline;
                while self.syncing.is_some() {
                    self.end_sync().await;
                    self.start_sync(spool).await;
                }
                return end;
            }
        }
    }

    fn publish_trouble(&self, signals: &Signals) {
        let mut waiting = self.shared.lock();
        waiting.trouble = if waiting.refused { self.error.clone() } else { signals.trouble() };
    }

    /// Until there is something to do, or counts have to be published.
    async fn wait(&mut self) {
        let shared = self.shared;
        let more = timeout(PUBLISH_EVERY, shared.wake.notified());
        tokio::select! {
            _ = more => {}
            () = self.end_sync(), if self.syncing.is_some() => {}
        }
    }

    /// Syncs what was written, beside this loop. One sync after another: the next takes all that gathered.
    async fn start_sync(&mut self, spool: &RefCell<Spool>) {
        if self.syncing.as_ref().is_some_and(|(_, running)| running.is_finished()) {
            self.end_sync().await;
        }
        if self.syncing.is_none()
            && let Some(unsynced) = spool.borrow_mut().take_unsynced()
        {
            let lines = std::mem::take(&mut self.unsynced);
            self.syncing = Some((lines, spawn_blocking(move || unsynced.sync())));
        }
    }

    /// Waits for the sync that is going on. May be dropped at its await and called again.
    async fn end_sync(&mut self) {
        let Some((lines, running)) = &mut self.syncing else { return };
        let (lines, synced) = (*lines, running.await);
        self.syncing = None;
        // There is no second try: the system forgets what it could not write. What is read again may be whole.
        if let Ok(Err(error)) = synced {
            self.note(&error);
        }
        self.shared.lock().progress.stored += lines;
    }

    fn write(&mut self, spool: &mut Spool, last_try: bool) {
        // At most twice: what an earlier failure left, then what is new.
        while self.fill(spool) {
            match spool.store(&self.text, self.lines) {
                Ok(()) => self.stored(),
                Err(error) => {
                    self.failed(&error);
                    if !last_try {
                        break;
                    }
                    spool.drop_points(self.lines);
                    self.clear();
                }
            }
        }
        let mut counts = spool.counts();
        counts.measured += self.lines;
        counts.spooled += self.lines;
        self.shared.lock().counts = counts;
    }

    /// Whether there is something to write.
    fn fill(&mut self, spool: &mut Spool) -> bool {
        if self.lines == 0 {
            let mut waiting = self.shared.lock();
            let points = std::mem::take(&mut waiting.points);
            let overflow = std::mem::take(&mut waiting.overflow);
            drop(waiting);
            spool.drop_points(overflow);
            for point in &points {
                point.write(self.times.take(point.series(), point.time()), &mut self.text);
            }
            self.lines = points.len() as u64;
        }
        self.lines > 0
    }

    fn stored(&mut self) {
        self.shared.lock().refused = false;
        self.unsynced += self.lines;
        self.clear();
    }

    fn clear(&mut self) {
        self.text.clear();
        self.lines = 0;
    }

    fn failed(&mut self, error: &SpoolError) {
        self.shared.lock().refused = true;
        self.note(error);
    }

    fn note(&mut self, error: &SpoolError) {
        let error = error.to_string();
        if self.error.as_ref() != Some(&error) {
            warn!(error, "the disk refuses results; what it does not take waits in memory");
        }
        self.error = Some(error);
    }
}
