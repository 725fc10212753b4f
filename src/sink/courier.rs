//! Carries batches from spools to a sink: one at a time, the oldest first, with a growing wait after each failure.

use std::cell::{Cell, RefCell};
use tokio::sync::Notify;
use tokio::time::sleep;
use tracing::{info, warn};

use super::back_off::BackOff;
use super::spool::Spool;
use super::{Delivery, Kept, KeptBecause, Settings, Sink};

/// Delivers what spools hold. It only ends when [`Signals::close`] was called.
pub(super) struct Courier<S> {
    sink: S,
    settings: Settings,
    url: String,
    back_off: BackOff,
    /// The last thing that went wrong, and whether it stands.
    pub(super) last_error: Option<String>,
}

/// How the thread's two tasks tell each other things.
#[derive(Debug, Default)]
pub(super) struct Signals {
    more: Notify,
    closing: Cell<bool>,
    /// Why the last delivery failed; none where it did not.
    trouble: RefCell<Option<String>>,
}

enum Step {
    Delivered,
    Nothing,
    Wait(Kept),
}

impl Signals {
    /// There is something new in a spool.
    pub(super) fn wake(&self) {
        self.more.notify_one();
    }

    /// Why results wait, as long as they do.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.borrow().clone()
    }

    /// Nothing more comes: deliver the rest without a wait, then end.
    pub(super) fn close(&self) {
        self.closing.set(true);
        self.more.notify_one();
    }
}

impl<S: Sink> Courier<S> {
    pub(super) fn new(sink: S, url: String, settings: Settings) -> Self {
        let back_off = BackOff::new(settings.retry_first, settings.retry_longest);
        Self { sink, settings, url, back_off, last_error: None }
    }

    /// Delivers from `spools`, the first that holds something first. Returns when closing and all are empty, or when
    /// closing and only a person can mend what is wrong. Dropping the future at any await loses nothing.
    pub(super) async fn run(&mut self, spools: &[RefCell<Spool>], signals: &Signals) {
        loop {
            match self.step(spools).await {
                Step::Delivered => drop(signals.trouble.take()),
                Step::Nothing if signals.closing.get() => return,
                Step::Nothing => signals.more.notified().await,
                Step::Wait(kept) => {
                    signals.trouble.replace(Some(kept.reason.clone()));
                    let closing = signals.closing.get();
                    if closing && kept.because == KeptBecause::Configuration {
                        return;
                    }
                    self.wait(&kept, closing, signals).await;
                }
            }
        }
    }

    async fn step(&mut self, spools: &[RefCell<Spool>]) -> Step {
        let Some(spool) = spools.iter().find(|spool| !spool.borrow().is_empty()) else { return Step::Nothing };
        let batch = spool.borrow().next_batch(self.settings.batch_lines, self.settings.batch_bytes);
        let batch = match batch {
            Ok(Some(batch)) => batch,
            Ok(None) => return Step::Nothing,
            Err(error) => {
                warn!(%error, "a segment of the spool cannot be read; its points are given up");
                self.last_error = Some(error.to_string());
                spool.borrow_mut().give_up_oldest();
                return Step::Delivered;
            }
        };
        let lines: Vec<&[u8]> = batch.lines().collect();
        let Delivery { accepted, rejected, kept } = self.sink.deliver(&lines).await;
        if let Some(first) = rejected.first() {
            warn!(url = self.url, count = rejected.len(), reason = first.reason, "InfluxDB refused points for good");
            self.last_error = Some(first.reason.clone());
        }
        let settled = spool.borrow_mut().settle(&batch, accepted + rejected.len(), &rejected);
        match (settled, kept) {
            (Err(error), _) => {
                self.failed(Kept { because: KeptBecause::Unavailable, reason: error.to_string(), wait: None })
            }
            (Ok(()), Some(kept)) => self.failed(kept),
            (Ok(()), None) => self.succeeded(),
        }
    }

    fn failed(&mut self, kept: Kept) -> Step {
        // Once per outage: an hour without a server must not be an hour of lines.
        if self.back_off.failures() == 0 {
            match kept.because {
                KeptBecause::Unavailable => {
                    warn!(url = self.url, reason = kept.reason, "results wait in the spool");
                }
                KeptBecause::Configuration => {
                    warn!(url = self.url, reason = kept.reason, "InfluxDB is not set up; results wait in the spool");
                }
            }
        }
        self.back_off.failed();
        self.last_error = Some(kept.reason.clone());
        Step::Wait(kept)
    }

    fn succeeded(&mut self) -> Step {
        let failures = self.back_off.failures();
        if failures > 0 {
            info!(url = self.url, failures, "results are delivered again");
        }
        self.back_off.succeeded();
        Step::Delivered
    }

    async fn wait(&mut self, kept: &Kept, closing: bool, signals: &Signals) {
        let pause = self.back_off.wait(kept.wait);
        if kept.wait.is_some() {
            return sleep(pause).await;
        }
        let pause = sleep(pause);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => return,
                // New points do not hurry a server that is in trouble, but the end of the run allows one more try.
                () = signals.more.notified() => if signals.closing.get() && !closing { return },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::time::Duration;

    use tokio::time::{Instant, timeout};

    use super::*;

    /// Answers as it is told, then accepts everything; remembers when it was asked, in milliseconds.
    #[derive(Default)]
    struct Scripted {
        kept: VecDeque<Kept>,
        asked: Vec<u128>,
        started: Option<Instant>,
    }

    impl Sink for Scripted {
        async fn deliver(&mut self, lines: &[&[u8]]) -> Delivery {
            let started = *self.started.get_or_insert_with(Instant::now);
            self.asked.push(started.elapsed().as_millis());
            match self.kept.pop_front() {
                Some(kept) => Delivery { kept: Some(kept), ..Delivery::default() },
                None => Delivery { accepted: lines.len(), ..Delivery::default() },
            }
        }
    }

    fn kept(because: KeptBecause, wait: Option<u64>) -> Kept {
        Kept { because, reason: "no".into(), wait: wait.map(Duration::from_secs) }
    }

    fn courier(kept: Vec<Kept>) -> Courier<Scripted> {
        let sink = Scripted { kept: kept.into(), ..Scripted::default() };
        Courier::new(sink, "http://db".into(), Settings::default())
    }

    fn spool(dir: &tempfile::TempDir) -> [RefCell<Spool>; 1] {
        let mut spool = Spool::open(dir.path(), 1 << 20).expect("opens");
        spool.store(b"a f=1 1\n", 1).expect("stored");
        [RefCell::new(spool)]
    }

    #[tokio::test(start_paused = true)]
    async fn waits_double_from_a_quarter_second_to_thirty_seconds_with_half_of_each_random() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let spools = spool(&dir);
        let mut courier = courier(vec![kept(KeptBecause::Unavailable, None); 10]);
        let signals = Signals::default();
        let _ = timeout(Duration::from_secs(600), courier.run(&spools, &signals)).await;
        assert!(spools[0].borrow().is_empty());
        let waits: Vec<u128> = courier.sink.asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let longest = [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000];
        assert_eq!(waits.len(), longest.len());
        for (wait, longest) in waits.iter().zip(longest) {
            // Tokio's timers have a granularity of 1 ms.
            assert!((longest / 2..=longest + 1).contains(wait), "{waits:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_away_for_an_hour_is_not_stormed_and_gets_each_point_once_when_it_is_back() {
        /// Away for an hour; what it took then, and how often it was asked before.
        struct Away {
            until: Instant,
            asked: u32,
            took: Vec<String>,
        }
        impl Sink for Away {
            async fn deliver(&mut self, lines: &[&[u8]]) -> Delivery {
                if Instant::now() < self.until {
                    self.asked += 1;
                    return Delivery { kept: Some(kept(KeptBecause::Unavailable, None)), ..Delivery::default() };
                }
                self.took.extend(lines.iter().map(|line| String::from_utf8_lossy(line).trim_end().to_owned()));
                Delivery { accepted: lines.len(), ..Delivery::default() }
            }
        }
        const HOUR: u64 = 3600;
        let dir = tempfile::tempdir().expect("a temporary folder");
        let spools = [RefCell::new(Spool::open(dir.path(), 1 << 24).expect("opens"))];
        let begun = Instant::now();
        let sink = Away { until: begun + Duration::from_secs(HOUR), asked: 0, took: Vec::new() };
        let mut courier = Courier::new(sink, "http://db".into(), Settings::default());
        let signals = Signals::default();
        let write = async {
            for second in 0..HOUR + 60 {
                let line = format!("call f=1 {second}\n");
                spools[0].borrow_mut().store(line.as_bytes(), 1).expect("stored");
                signals.wake();
                sleep(Duration::from_secs(1)).await;
                if second == HOUR / 2 {
                    assert_eq!(signals.trouble().as_deref(), Some("no"), "it is said as long as it lasts");
                }
            }
            assert_eq!(signals.trouble(), None, "and no longer: the longest wait is half a minute");
            signals.close();
        };
        tokio::join!(write, courier.run(&spools, &signals));
        let wanted: Vec<String> = (0..HOUR + 60).map(|second| format!("call f=1 {second}")).collect();
        assert_eq!(courier.sink.took, wanted, "each once, the oldest first");
        // Waits of 15 to 30 s each, after the first few.
        assert!((HOUR / 30..=HOUR / 15 + 8).contains(&u64::from(courier.sink.asked)), "{}", courier.sink.asked);
        assert!(spools[0].borrow().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_that_the_server_asks_for_is_kept_even_at_the_end() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let spools = spool(&dir);
        let mut courier = courier(vec![kept(KeptBecause::Unavailable, Some(7))]);
        let signals = Signals::default();
        signals.close();
        courier.run(&spools, &signals).await;
        assert_eq!(courier.sink.asked, [0, 7_000]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_asks_for_no_wait_is_not_hammered() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let spools = spool(&dir);
        let mut courier = courier(vec![kept(KeptBecause::Unavailable, Some(0)); 4]);
        let signals = Signals::default();
        signals.close();
        courier.run(&spools, &signals).await;
        let waits: Vec<u128> = courier.sink.asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
        for (wait, longest) in waits.iter().zip([250, 500, 1_000, 2_000]) {
            assert!((longest / 2..=longest + 1).contains(wait), "{waits:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_end_a_configuration_error_is_not_tried_again() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let spools = spool(&dir);
        let mut courier = courier(vec![kept(KeptBecause::Configuration, None); 5]);
        let signals = Signals::default();
        signals.close();
        courier.run(&spools, &signals).await;
        assert_eq!(courier.sink.asked, [0]);
        assert_eq!(spools[0].borrow().counts().spooled, 1);
        assert_eq!(courier.last_error.as_deref(), Some("no"));
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_the_run_cuts_a_back_off_short_once() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let spools = spool(&dir);
        let mut courier = courier(vec![kept(KeptBecause::Unavailable, None)]);
        courier.back_off = BackOff::new(Duration::from_secs(100), Duration::from_secs(100));
        let signals = Signals::default();
        let closing = async {
            sleep(Duration::from_secs(10)).await;
            signals.wake();
            sleep(Duration::from_secs(10)).await;
            signals.close();
        };
        tokio::join!(closing, courier.run(&spools, &signals));
        assert_eq!(courier.sink.asked, [0, 20_000], "new points alone do not hurry it");
        assert!(spools[0].borrow().is_empty());
    }
}
