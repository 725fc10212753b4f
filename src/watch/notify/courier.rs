//! Carries messages to those who are told: one task for each, so that one who is away holds up nobody else.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use super::Shared;
use super::desk::Desk;
use crate::net::clock;
use crate::sink::BackOff;
use crate::sink::alert::{AGAIN, Alert, Beat, Outcome};

/// The first wait after a failure, and the longest.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// A watch that has not been heard of for so long makes no checks: its heart does not beat.
const ALIVE_WITHIN: Duration = Duration::from_secs(10);

/// What a task needs beside what it carries.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) desk: Rc<RefCell<Desk>>,
    pub(super) name: String,
    /// There is something new.
    pub(super) more: Rc<Notify>,
    /// To end: once more what waits, but for what fails.
    pub(super) stop: watch::Receiver<bool>,
}

impl Way {
    fn stops(&self) -> bool {
        *self.stop.borrow()
    }

    /// Messages, the oldest first; `deliver` is one try.
    pub(super) async fn carry(mut self, deliver: impl AsyncFn(&Alert) -> Outcome) {
        let mut back_off = BackOff::new(WAITS.0, WAITS.1);
        loop {
            let next = self.desk.borrow_mut().next(&self.name);
            let Some((number, alert)) = next else {
                if self.stops() {
                    return;
                }
                tokio::select! { () = self.more.notified() => {}, _ = self.stop.changed() => {} }
                continue;
            };
            let outcome = deliver(&alert).await;
            let kept = self.desk.borrow_mut().settle(clock::timestamp(), &self.name, number, outcome);
            let Some(kept) = kept else {
                back_off.succeeded();
                continue;
            };
            if self.stops() {
                return;
            }
            back_off.failed();
            let asked = kept.wait;
            tokio::select! {
                () = sleep(back_off.wait(asked)) => {}
                // The end allows one more try, but for a server that asked for time.
                _ = self.stop.changed() => if asked.is_some() { return },
            }
        }
    }

    /// What is open, each minute and after each change; `post` is one try.
    pub(super) async fn post(mut self, post: impl AsyncFn(Vec<u8>) -> Outcome) {
        let mut back_off = BackOff::new(WAITS.0, WAITS.1);
        loop {
            let body = self.desk.borrow_mut().body(clock::timestamp(), &self.name);
            let mut failed = None;
            if let Some((version, body)) = body {
                let outcome = post(body).await;
                failed = self.desk.borrow_mut().posted(&self.name, version, outcome);
            }
            if self.stops() {
                return;
            }
            match failed {
                None => {
                    back_off.succeeded();
                    tokio::select! {
                        () = sleep(AGAIN) => {}
                        () = self.more.notified() => {}
                        _ = self.stop.changed() => {}
                    }
                }
                Some(kept) => {
                    back_off.failed();
                    tokio::select! { () = sleep(back_off.wait(kept.wait)) => {}, _ = self.stop.changed() => {} }
                }
            }
        }
    }

    /// That the watch is alive, as long as it is.
    pub(super) async fn beat(mut self, beat: Beat, every: Duration, shared: Arc<Shared>) {
        let mut next = tokio::time::interval(every);
        next.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! { _ = next.tick() => {}, _ = self.stop.changed() => return }
            if let Some(body) = shared.pulse(clock::now(), ALIVE_WITHIN, every) {
                let outcome = beat.send(&body).await;
                self.desk.borrow_mut().beaten(&outcome);
            }
        }
    }
}

#[cfg(test)]
#[path = "courier_tests.rs"]
mod tests;
