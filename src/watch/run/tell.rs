//! What a watch says of itself: incidents to people, figures to readers, its health to the database, what it knows to the store.

use std::sync::Arc;

use super::{HANGS, NOTE_MEMORY, NOTE_RESULTS, Running, Said};
use crate::incident::Incident;
use crate::net::clock;
use crate::record::CallRecord;
use crate::serve::Spooled;
use crate::sink::alert::Alert;
use crate::sink::{IncidentPoint, ProbeHealth, ProbePoint};
use crate::watch::incidents::{News, Noted};
use crate::watch::job::Purpose;
use crate::watch::notify::{Notifier, Pulse, Told};
use crate::watch::sheets::links;
use crate::watch::shown::{Shown, TroubleOf};

impl Running<'_> {
    /// What the results come to: every change is kept, and those that are worth it are told.
    pub(super) fn tell_incidents(&mut self) {
        let time = clock::timestamp();
        let mut told = Vec::new();
        for News { change, incident, mut message, is_told } in self.incidents.news(&self.watch.name, clock::now(), time)
        {
            let site = self.watch.site.as_deref();
            let point = IncidentPoint { time, site, change, incident: &incident };
            let trouble = self.results.incident(&point);
            message.add_links(links(&self.watch, &incident));
            let sheet = self.sheets.of(&incident);
            if let Some(shown) = &mut self.shown {
                shown.incident(change, &incident, sheet.clone());
            }
            if is_told {
                (self.say)(Said::Note(format!("{}\n{}", message.title, message.text)));
            }
            let alert = Alert::new(&self.watch.name, site, time, message, self.sheets.with_folder(sheet));
            told.push(Told { alert, is_message: is_told });
            self.note_trouble(trouble);
        }
        if !told.is_empty() {
            self.hand_over(told);
        }
    }

    /// What has happened, and all that is known after it, are written together.
    fn hand_over(&mut self, told: Vec<Told>) {
        self.memory_due = clock::now() + NOTE_MEMORY.0;
        (self.noted, self.noted_count, self.noted_due) = (Vec::new(), 0, None);
        if let Some(notifier) = &self.notifier {
            notifier.hand_over(told, self.incidents.memory(clock::timestamp()));
        }
    }

    /// Tells readers that the watch is alive, how its lines are, and where its points are.
    pub(super) fn show(&mut self) {
        let silent = clock::now().saturating_duration_since(self.heard);
        let hangs = silent > HANGS;
        let unknown = self.stage.unknown();
        let spooled = self.results.counts().map(|counts| Spooled {
            written: counts.written,
            waiting: counts.spooled,
            rejected: counts.rejected,
            up: self.results.sink_trouble().is_none(),
        });
        let lost = self.stage.worker.lost_datagrams() + self.overflows;
        let incidents: Arc<[Incident]> = self.incidents.open().cloned().collect();
        let (lines, incidents_open) = (self.lines.len(), incidents.len());
        let told = self.notifier.as_ref().map(Notifier::shown).unwrap_or_default();
        if let Some(shown) = self.shown.as_mut().filter(|_| self.page) {
            let now = clock::timestamp();
            shown.trouble(TroubleOf::Disk, self.results.trouble(), now);
            shown.trouble(TroubleOf::Memory, told.unsaved.as_deref(), now);
            shown.trouble(TroubleOf::Alerts, told.away.as_deref(), now);
            let names = unknown.join("; ");
            shown.trouble(TroubleOf::Names, Some(names.as_str()).filter(|names| !names.is_empty()), now);
            let worker = format!(
                "what places the calls hangs: not a word of it for {} s, and nothing is called",
                silent.as_secs()
            );
            shown.trouble(TroubleOf::Worker, Some(worker.as_str()).filter(|_| hangs), now);
            shown.open_incidents(self.incidents.open(), &mut self.sheets);
            self.board.publish(shown.view(now, self.calendar.upcoming(), self.results.sinks()));
        }
        let (names_unknown, disk_failing) = (unknown.len() as u64, self.results.trouble().is_some());
        let left_out = self.results.left_out();
        self.board.write(|figures| {
            (figures.spooled, figures.datagrams_lost) = (spooled, lost);
            (figures.incidents, figures.throttled) = (incidents, self.incidents.throttled());
            (figures.alerts, figures.unsaved) = (told.deliveries, told.unsaved.is_some());
            (figures.names_unknown, figures.disk_failing) = (names_unknown, disk_failing);
            figures.results_left_out = left_out;
            let (placed, not_placed) = self.repetitions.counts();
            (figures.repetitions.placed, figures.repetitions.left_out) = (placed, not_placed.clone());
        });
        // A watch whose calls are placed by nobody is not alive, whatever else it does.
        if !hangs {
            self.board.alive();
        }
        if let Some(notifier) = &self.notifier {
            let (watch, site) = (self.watch.name.clone(), self.watch.site.clone());
            if !hangs {
                notifier.pulse(Pulse { at: clock::now(), watch, site, lines, incidents_open });
            }
            notifier.take_notes().into_iter().for_each(|note| self.note(note));
        }
    }

    /// Tells the database how the process itself is.
    pub(super) fn tell_health(&self) {
        let health = self.board.read(|figures| ProbeHealth {
            lines: self.lines.len() as u64,
            failing: self.shown.as_ref().map_or(0, Shown::failing),
            in_progress: figures.in_progress,
            calls: figures.calls(),
            left_out: figures.left_out(),
            late_ms: figures.late_s().map(|late| 1000.0 * late),
            cpu_s: figures.cpu_s,
            datagrams_lost: figures.datagrams_lost,
            sink: self.results.counts().map(|counts| (counts, self.results.sink_trouble().is_none())),
        });
        let site = self.watch.site.as_deref();
        self.results.probe(&ProbePoint { time: clock::timestamp(), site, probe: &self.watch.name, health });
    }

    pub(super) fn show_trouble(&mut self, of: TroubleOf, what: Option<&str>) {
        if let Some(shown) = &mut self.shown {
            shown.trouble(of, what, clock::timestamp());
        }
    }

    /// Incidents that are open are written as they stand, for whoever reads the folder.
    pub(super) fn keep_open(&mut self) {
        let trouble = self.results.open_incidents(&self.incidents.open().collect::<Vec<_>>());
        self.note_trouble(trouble);
    }

    pub(super) fn keep_position(&self) {
        if let Some(notifier) = &self.notifier {
            notifier.position(self.calendar.position());
        }
    }

    /// What is known is written without a change: baselines, suspicions, counts.
    pub(super) fn keep_memory(&mut self) {
        self.hand_over(Vec::new());
    }

    /// A result was judged: after a kill it is judged again.
    pub(super) fn note_result(&mut self, record: &CallRecord, purpose: Purpose) {
        if self.notifier.is_none() {
            return;
        }
        let Some(noted) = Noted::new(clock::timestamp(), record, purpose) else { return };
        self.noted.push(noted);
        self.noted_count += 1;
        let now = clock::now();
        let due = now + if record.is_failed() { NOTE_RESULTS.1 } else { NOTE_RESULTS.0 };
        self.noted_due = Some(self.noted_due.map_or(due, |before| before.min(due)));
        if self.noted_count >= NOTE_MEMORY.1 {
            self.memory_due = now;
        }
    }

    /// Results are written that what is known does not have yet.
    pub(super) fn keep_results(&mut self) {
        self.noted_due = None;
        if let Some(notifier) = &self.notifier {
            notifier.note(std::mem::take(&mut self.noted));
        }
    }
}
