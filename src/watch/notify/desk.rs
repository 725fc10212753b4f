//! Where messages, memory and disk come together: nothing is offered to anybody before it is written, and what is done
//! with is written off at once.
//!
//! Where the disk refuses, messages go out all the same: to be told twice after a restart is better than not at all.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::Serialize;

use super::Told;
use super::outbox::{Entry, Known, Outbox, Receiver, Refused, Written};
use crate::incident::Incident;
use crate::pace::calendar::Position;
use crate::scenario::watch::Only;
use crate::serve::Deliveries;
use crate::sink::Kept;
use crate::sink::alert::{Alert, Firing, Outcome, State, is_wanted};
use crate::watch::incidents::{Memory, Noted};
use crate::watch::store::{Batch, Store};

/// Most bytes of the file with messages that nobody took.
const MOST_UNDELIVERED: u64 = 10 << 20;

/// What one Alertmanager is to know, and how posting it goes.
#[derive(Default)]
struct Manager {
    only: Only,
    firing: Firing,
    /// Counts changes, so that one during a post is not taken for posted.
    version: u64,
    posted: u64,
    counts: Deliveries,
}

/// See the module.
pub(super) struct Desk {
    store: Store,
    outbox: Outbox,
    managers: BTreeMap<String, Manager>,
    /// Refused messages are kept there.
    undelivered: PathBuf,
    heartbeat: Option<Deliveries>,
    /// Receivers that take nothing at the moment, and why.
    away: BTreeMap<String, String>,
    /// What is wrong with the disk.
    unsaved: Option<String>,
    notes: Vec<String>,
}

/// A line of the file with messages that nobody took.
#[derive(Serialize)]
struct Line<'a> {
    at: Timestamp,
    receiver: &'a str,
    reason: &'a str,
    alert: &'a Alert,
}

/// Who is told, as the desk has it: receivers of messages, and Alertmanagers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Receivers {
    pub(super) of_messages: Vec<Receiver>,
    pub(super) managers: Vec<Receiver>,
    pub(super) heartbeat: bool,
}

impl Desk {
    /// With what was stored. `open` are the incidents that are open.
    pub(super) fn new(
        store: Store,
        undelivered: PathBuf,
        receivers: Receivers,
        open: &[Incident],
        now: Timestamp,
    ) -> Self {
        let known: Known = store.get("known").unwrap_or_default();
        let firing: BTreeMap<String, Firing> = store.get("firing").unwrap_or_default();
        let (outbox, gone) = Outbox::new(receivers.of_messages, known, store.messages::<Entry>());
        let mut desk = Self {
            store,
            outbox,
            managers: BTreeMap::new(),
            undelivered,
            heartbeat: receivers.heartbeat.then(Deliveries::default),
            away: BTreeMap::new(),
            unsaved: None,
            notes: Vec::new(),
        };
        let ids: Vec<String> = open.iter().map(|incident| incident.id.clone()).collect();
        for Receiver { name, only } in receivers.managers {
            let mut firing = firing.get(&name).cloned().unwrap_or_default();
            firing.keep_only(&ids, now);
            desk.managers.insert(name, Manager { only, firing, version: 1, ..Manager::default() });
        }
        desk.write_off(gone);
        desk
    }

    /// Others are told from now on.
    pub(super) fn replace(&mut self, receivers: Receivers) {
        self.outbox.break_off();
        let gone = self.outbox.replace(receivers.of_messages);
        self.write_off(gone);
        let mut before = std::mem::take(&mut self.managers);
        for Receiver { name, only } in receivers.managers {
            let manager = before.remove(&name).unwrap_or_default();
            self.managers.insert(name, Manager { only, version: manager.version + 1, ..manager });
        }
        self.heartbeat = receivers.heartbeat.then(|| self.heartbeat.unwrap_or_default());
        self.away.clear();
    }

    fn write_off(&mut self, gone: Vec<Written>) {
        if !gone.is_empty() {
            self.notes.push(format!("{} messages are for nobody who is told any more: they are dropped", gone.len()));
            self.save(gone, Batch::default());
        }
    }

    /// Takes what has happened. All of it is written together.
    pub(super) fn take(
        &mut self,
        now: Timestamp,
        told: Vec<Told>,
        memory: Option<&Memory>,
        position: Option<&Position>,
    ) {
        let mut batch = Batch::default();
        let (mut written, mut refused) = (Vec::new(), Vec::new());
        for Told { alert, is_message } in &told {
            for manager in self.managers.values_mut() {
                if alert.state == State::Resolved || is_wanted(&manager.only, alert) {
                    manager.firing.handle(alert);
                    if manager.posted == manager.version {
                        manager.counts.oldest = Some(now);
                    }
                    manager.version += 1;
                }
            }
            if *is_message {
                let (more, gone) = self.outbox.add(now, alert);
                written.extend(more);
                refused.extend(gone);
            }
        }
        if !told.is_empty() {
            batch.put("known", &self.outbox.known());
            batch.put("firing", &self.firing());
        }
        if let Some(memory) = memory {
            batch.memory(memory);
        }
        if let Some(position) = position {
            batch.put("position", position);
        }
        self.save(written, batch);
        refused.into_iter().for_each(|refused| self.refuse(now, refused));
    }

    /// Takes results that what is known does not have yet.
    pub(super) fn note(&mut self, results: &[Noted]) {
        let mut batch = Batch::default();
        results.iter().for_each(|result| batch.result(result));
        self.save(Vec::new(), batch);
    }

    fn firing(&self) -> BTreeMap<&String, &Firing> {
        self.managers.iter().map(|(name, manager)| (name, &manager.firing)).collect()
    }

    /// Writes what could not be written before.
    pub(super) fn catch_up(&mut self) {
        if self.store.is_behind() {
            self.save(Vec::new(), Batch::default());
        }
    }

    fn save(&mut self, written: Vec<Written>, mut batch: Batch) {
        for (number, entry) in written {
            batch.message(number, entry.as_ref());
        }
        let failed = self.store.write(batch).err().map(|error| error.to_string());
        let before = std::mem::replace(&mut self.unsaved, failed.clone());
        match failed {
            Some(error) if before.is_none() => {
                self.notes.push(format!("{error}: incidents and messages are kept in memory, and told all the same"));
            }
            None if before.is_some() => self.notes.push("incidents and messages are on disk again".to_owned()),
            _ => {}
        }
    }

    /// The next message for one.
    pub(super) fn next(&mut self, name: &str) -> Option<(u64, Alert)> {
        self.outbox.next(name)
    }

    /// What became of it; gives why it is tried again.
    pub(super) fn settle(&mut self, now: Timestamp, name: &str, number: u64, outcome: Outcome) -> Option<Kept> {
        let settled = self.outbox.settle(now, name, number, outcome);
        self.save(settled.written.into_iter().collect(), Batch::default());
        self.note_answer(name, settled.kept.as_ref());
        if let Some(refused) = settled.refused {
            self.refuse(now, refused);
        }
        settled.kept
    }

    /// What an Alertmanager is to be posted now, with the version of it.
    pub(super) fn body(&mut self, now: Timestamp, name: &str) -> Option<(u64, Vec<u8>)> {
        let manager = self.managers.get_mut(name)?;
        manager.firing.forget(now);
        let version = manager.version;
        let body = manager.firing.body(now);
        if body.is_none() {
            (manager.posted, manager.counts.oldest) = (version, None);
        }
        Some((version, body?))
    }

    /// What became of a post; gives why it is tried again.
    pub(super) fn posted(&mut self, name: &str, version: u64, outcome: Outcome) -> Option<Kept> {
        let manager = self.managers.get_mut(name)?;
        let kept = match outcome {
            Outcome::Accepted => {
                manager.counts.sent += 1;
                manager.posted = version;
                if manager.version == version {
                    manager.counts.oldest = None;
                }
                None
            }
            Outcome::Refused(reason) => {
                manager.counts.refused += 1;
                Some(Kept { because: crate::sink::KeptBecause::Configuration, reason, wait: None })
            }
            Outcome::Kept(kept) => {
                manager.counts.failed += 1;
                Some(kept)
            }
        };
        self.note_answer(name, kept.as_ref());
        kept
    }

    /// What became of a heartbeat.
    pub(super) fn beaten(&mut self, outcome: &Outcome) {
        let kept = match outcome {
            Outcome::Accepted => None,
            Outcome::Refused(reason) => {
                Some(Kept { because: crate::sink::KeptBecause::Configuration, reason: reason.clone(), wait: None })
            }
            Outcome::Kept(kept) => Some(kept.clone()),
        };
        if let Some(counts) = &mut self.heartbeat {
            counts.sent += u64::from(kept.is_none());
            counts.failed += u64::from(kept.is_some());
        }
        self.note_answer("heartbeat", kept.as_ref());
    }

    /// Says once that somebody takes nothing, and once that it does again: an hour away is not an hour of lines.
    fn note_answer(&mut self, name: &str, kept: Option<&Kept>) {
        let Some(kept) = kept else {
            if self.away.remove(name).is_some() {
                self.notes.push(format!("{name} takes messages again"));
            }
            return;
        };
        if self.away.insert(name.to_owned(), kept.reason.clone()).is_none() {
            self.notes.push(format!("{name} takes no messages: {}; they wait", kept.reason));
        }
    }

    fn refuse(&mut self, now: Timestamp, Refused { receiver, reason, alert }: Refused) {
        let line = Line { at: now, receiver: &receiver, reason: &reason, alert: &alert };
        let mut line = serde_json::to_vec(&line).expect("plain data");
        line.push(b'\n');
        let file = &self.undelivered;
        let is_full = fs::metadata(file).is_ok_and(|meta| meta.len() > MOST_UNDELIVERED);
        let kept = !is_full
            && fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(file)
                .and_then(|mut it| it.write_all(&line))
                .is_ok();
        let where_to = if kept { format!(", and is kept in {}", file.display()) } else { String::new() };
        let title = &alert.message.title;
        self.notes.push(format!("{receiver} refuses a message for good: {reason}: {title}{where_to}"));
    }

    /// How everybody does.
    pub(super) fn deliveries(&self) -> BTreeMap<String, Deliveries> {
        let managers = self.managers.iter().map(|(name, manager)| {
            let waiting = u64::from(manager.posted != manager.version);
            (name.clone(), Deliveries { waiting, ..manager.counts })
        });
        let heartbeat = self.heartbeat.map(|counts| ("heartbeat".to_owned(), counts));
        self.outbox.counts().chain(managers).chain(heartbeat).collect()
    }

    /// Why what is known is not on disk.
    pub(super) fn unsaved(&self) -> Option<String> {
        self.unsaved.clone()
    }

    /// Who takes no messages, and why; `None` where all do.
    pub(super) fn away(&self) -> Option<String> {
        let away = self.away.iter().map(|(name, why)| format!("{name} takes no messages: {why}"));
        Some(away.collect::<Vec<_>>().join("; ")).filter(|text| !text.is_empty())
    }

    /// What whoever looks should know.
    pub(super) fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }
}

#[cfg(test)]
#[path = "desk_tests.rs"]
mod tests;
