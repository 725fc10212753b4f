//! Tells people: a thread of its own has the disk and the network, so that no call waits for either.
//!
//! ```text
//! watch loop ─ what happened, memory, position ─► Shared ─► Desk ─ one transaction ─► Store (disk)
//!                                                            │
//!                                                            └─► Outbox ─► a courier for each who is told ─► Sender
//! ```
//!
//! What has happened and what the judge and the throttle knew then are written together, before anybody is told. So a
//! kill at any moment leaves either both or none: what was not written is found again, what was is told, and a message
//! whose answer the kill cut off is sent once more with the same id. Results that came since are written every few seconds,
//! and judged again after a kill.

mod courier;
mod desk;
mod outbox;

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{sleep, timeout};

use self::courier::Way;
use self::desk::{Desk, Receivers};
use self::outbox::Receiver;
use super::incidents::{Memory, Noted};
use super::store::Store;
use crate::incident::Incident;
use crate::net::clock;
use crate::pace::calendar::Position;
use crate::scenario::watch::{Alerts, How};
use crate::serve::Deliveries;
use crate::sink::alert::{Alert, AlertError, Alertmanager, Beat, Sender};

/// How often figures are published, and the disk is tried again.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long deliveries that are under way may take when others are told from now on.
const CHANGE_OVER: Duration = Duration::from_secs(35);
/// Most changes of incidents that wait for the thread.
const MOST: usize = 10_000;

/// What has happened to an incident.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) alert: Alert,
    /// Whether it is sent as a message; Alertmanager hears of all.
    pub(super) is_message: bool,
}

/// That the watch is alive.
#[derive(Clone, Debug)]
pub(super) struct Pulse {
    pub(super) at: Instant,
    pub(super) watch: String,
    pub(super) site: Option<String>,
    pub(super) lines: usize,
    pub(super) incidents_open: usize,
}

/// Everybody who is told, ready to be.
pub(super) struct Senders {
    receivers: Receivers,
    messages: Vec<(String, Sender)>,
    managers: Vec<(String, Alertmanager)>,
    beat: Option<(Beat, Duration)>,
}

impl Senders {
    /// As a watch file says.
    ///
    /// # Errors
    /// [`AlertError`]: the file compiles, and somebody cannot be told all the same.
    pub(super) fn new(alerts: &Alerts) -> Result<Self, AlertError> {
        let mut senders =
            Self { receivers: Receivers::default(), messages: Vec::new(), managers: Vec::new(), beat: None };
        for notify in &alerts.notify {
            let name = notify.name.clone();
            let receiver = Receiver { name: name.clone(), only: notify.only.clone() };
            if let How::Alertmanager(url) = &notify.how {
                senders.managers.push((name.clone(), Alertmanager::new(&name, url)?));
                senders.receivers.managers.push(receiver);
            } else if let Some(sender) = Sender::new(&name, &notify.how)? {
                senders.messages.push((name, sender));
                senders.receivers.of_messages.push(receiver);
            }
        }
        if let Some(heartbeat) = &alerts.heartbeat {
            senders.beat = Some((Beat::new(&heartbeat.url)?, heartbeat.every));
            senders.receivers.heartbeat = true;
        }
        Ok(senders)
    }
}

/// Between the watch and the thread.
#[derive(Default)]
pub(super) struct Shared {
    inbox: Mutex<Inbox>,
    wake: Notify,
    shown: Mutex<Shown>,
}

#[derive(Default)]
struct Inbox {
    told: Vec<Told>,
    memory: Option<Memory>,
    /// Results since.
    results: Vec<Noted>,
    position: Option<Position>,
    senders: Option<Senders>,
    pulse: Option<Pulse>,
    /// The end: how long the rest may be delivered.
    end: Option<Duration>,
    /// Changes that found no room.
    overflow: u64,
}

/// What the thread shows.
#[derive(Clone, Debug, Default)]
pub(super) struct Shown {
    pub(super) deliveries: std::collections::BTreeMap<String, Deliveries>,
    /// Why what is known is not on disk.
    pub(super) unsaved: Option<String>,
    /// Who takes no messages, and why.
    pub(super) away: Option<String>,
    notes: Vec<String>,
}

impl Shared {
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a heartbeat says; `None` where the watch was not heard of for too long.
    fn pulse(&self, now: Instant, within: Duration, every: Duration) -> Option<Value> {
        let inbox = self.inbox();
        let pulse = inbox.pulse.as_ref().filter(|pulse| now.saturating_duration_since(pulse.at) <= within)?;
        Some(json!({
            "watch": pulse.watch,
            "site": pulse.site,
            "at": clock::timestamp(),
            "state": "alive",
            "every_s": every.as_secs_f64(),
            "lines": pulse.lines,
            "incidents_open": pulse.incidents_open,
        }))
    }
}

/// The thread that tells.
pub(super) struct Notifier {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

impl Notifier {
    /// Starts it. `open` are the incidents that were open when the watch ended before.
    ///
    /// # Errors
    /// The system's: no thread can be started.
    pub(super) fn start(
        store: Store,
        undelivered: PathBuf,
        senders: Senders,
        open: &[Incident],
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        let open = open.to_vec();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = thread::Builder::new().name("notify".into()).spawn(move || {
            let desk = Desk::new(store, undelivered, senders.receivers.clone(), &open, clock::timestamp());
            LocalSet::new().block_on(&runtime, work(own, desk, senders));
        })?;
        Ok(Self { shared, thread })
    }

    /// Hands over what has happened, with what is known after it. Waits for nothing.
    pub(super) fn hand_over(&self, told: Vec<Told>, memory: Memory) {
        let mut inbox = self.shared.inbox();
        for told in told {
            if inbox.told.len() < MOST {
                inbox.told.push(told);
            } else {
                inbox.overflow += 1;
            }
        }
        inbox.memory = Some(memory);
        inbox.results.clear();
        drop(inbox);
        self.shared.wake.notify_one();
    }

    /// Hands over results that came since.
    pub(super) fn note(&self, results: Vec<Noted>) {
        self.shared.inbox().results.extend(results);
        self.shared.wake.notify_one();
    }

    /// Where the calendar stands.
    pub(super) fn position(&self, position: Position) {
        self.shared.inbox().position = Some(position);
        self.shared.wake.notify_one();
    }

    /// Others are told from now on; what waits for those who stay goes on.
    pub(super) fn replace(&self, senders: Senders) {
        self.shared.inbox().senders = Some(senders);
        self.shared.wake.notify_one();
    }

    /// The watch is alive.
    pub(super) fn pulse(&self, pulse: Pulse) {
        self.shared.inbox().pulse = Some(pulse);
    }

    /// How deliveries go.
    pub(super) fn shown(&self) -> Shown {
        self.shared.shown().clone()
    }

    /// What whoever looks should know.
    pub(super) fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.shown().notes)
    }

    /// Writes the rest, delivers what it can in so long, and ends the thread. Gives what is left to be said.
    pub(super) fn finish(self, within: Duration) -> Vec<String> {
        self.shared.inbox().end = Some(within);
        self.shared.wake.notify_one();
        if self.thread.join().is_err() {
            return vec!["the thread that tells people ended by a fault of ours".to_owned()];
        }
        std::mem::take(&mut self.shared.shown().notes)
    }
}

/// Couriers that are under way.
struct Tasks {
    tasks: JoinSet<()>,
    more: Vec<Rc<Notify>>,
    stop: watch::Sender<bool>,
}

impl Tasks {
    fn start(desk: &Rc<RefCell<Desk>>, shared: &Arc<Shared>, senders: Senders) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (mut tasks, mut more) = (JoinSet::new(), Vec::new());
        let mut way = |name: &str| {
            let own = Rc::new(Notify::new());
            more.push(Rc::clone(&own));
            Way { desk: Rc::clone(desk), name: name.to_owned(), more: own, stop: stopped.clone() }
        };
        for (name, sender) in senders.messages {
            tasks.spawn_local(way(&name).carry(async move |alert: &Alert| sender.deliver(alert).await));
        }
        for (name, manager) in senders.managers {
            tasks.spawn_local(way(&name).post(async move |body| manager.post(body).await));
        }
        if let Some((beat, every)) = senders.beat {
            tasks.spawn_local(way("heartbeat").beat(beat, every, Arc::clone(shared)));
        }
        Self { tasks, more, stop }
    }

    fn wake(&self) {
        self.more.iter().for_each(|more| more.notify_one());
    }

    /// Lets what is under way end, in so long at most.
    async fn close(mut self, within: Duration) {
        let _ = self.stop.send(true);
        let _ = timeout(within, async { while self.tasks.join_next().await.is_some() {} }).await;
    }
}

async fn work(shared: Arc<Shared>, desk: Desk, senders: Senders) {
    let desk = Rc::new(RefCell::new(desk));
    let mut tasks = Tasks::start(&desk, &shared, senders);
    loop {
        tokio::select! { () = shared.wake.notified() => {}, () = sleep(LOOK_EVERY) => {} }
        let inbox = {
            let mut inbox = shared.inbox();
            // The pulse stays: it is the courier's that beats.
            let pulse = inbox.pulse.take();
            std::mem::replace(&mut *inbox, Inbox { pulse, ..Inbox::default() })
        };
        let now = clock::timestamp();
        take(&desk, now, inbox.told, inbox.memory.as_ref(), inbox.position.as_ref());
        if !inbox.results.is_empty() {
            desk.borrow_mut().note(&inbox.results);
        }
        if inbox.overflow > 0 {
            tracing::error!(changes = inbox.overflow, "changes of incidents found no room and are told to nobody");
        }
        tasks.wake();
        if let Some(within) = inbox.end {
            tasks.close(within).await;
            desk.borrow_mut().catch_up();
            publish(&desk, &shared);
            return;
        }
        if let Some(senders) = inbox.senders {
            tasks.close(CHANGE_OVER).await;
            desk.borrow_mut().replace(senders.receivers.clone());
            tasks = Tasks::start(&desk, &shared, senders);
        }
        publish(&desk, &shared);
    }
}

fn take(desk: &RefCell<Desk>, now: Timestamp, told: Vec<Told>, memory: Option<&Memory>, position: Option<&Position>) {
    let mut desk = desk.borrow_mut();
    if told.is_empty() && memory.is_none() && position.is_none() {
        desk.catch_up();
    } else {
        desk.take(now, told, memory, position);
    }
}

fn publish(desk: &RefCell<Desk>, shared: &Shared) {
    let mut desk = desk.borrow_mut();
    let (unsaved, away, notes) = (desk.unsaved(), desk.away(), desk.take_notes());
    let mut shown = shared.shown();
    (shown.deliveries, shown.unsaved, shown.away) = (desk.deliveries(), unsaved, away);
    shown.notes.extend(notes);
}

#[cfg(test)]
mod tests;
