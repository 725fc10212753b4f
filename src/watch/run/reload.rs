//! The file of a watch is read again while it runs.

use std::sync::Arc;

use rustc_hash::FxHashSet;

use super::{Running, moment};
use crate::call::MemberId;
use crate::net::clock;
use crate::scenario::diagnostic::Diagnostics;
use crate::scenario::watch::{Check, Watch};
use crate::watch::notify::Senders;
use crate::watch::shown::TroubleOf;

impl Running<'_> {
    pub(super) fn recurring(&self) -> Vec<crate::pace::calendar::Check> {
        self.watch.checks.iter().flat_map(Check::lines).map(|line| line.recurring).collect()
    }

    /// Other checks from now on; with a mistake in the file those of before go on.
    pub(super) fn reload(&mut self, loaded: Result<Watch, Diagnostics>) {
        let watch = match loaded {
            Ok(watch) => watch,
            Err(mistakes) => {
                self.not_reloaded(format!("{mistakes}\nthe file is not read again: the watch goes on as it was"));
                return;
            }
        };
        let senders = match Senders::new(&watch.alerts) {
            Ok(senders) => senders,
            Err(error) => {
                self.not_reloaded(format!("notify: {error}: the watch goes on as it was"));
                return;
            }
        };
        if (&watch.influx, watch.metrics, &watch.page) != (&self.watch.influx, self.watch.metrics, &self.watch.page) {
            self.note("sinks and page are those of before until the watch is started again".to_owned());
        }
        let mut before: Vec<(Arc<Check>, MemberId)> =
            self.lines.values().map(|line| (Arc::clone(&line.check), line.member)).collect();
        before.sort_unstable_by_key(|(_, member)| *member);
        before.dedup_by_key(|(_, member)| *member);
        let old = std::mem::replace(&mut self.watch, watch);
        let (lines, of_check) = (std::mem::take(&mut self.lines), std::mem::take(&mut self.of_check));
        if let Err(error) = self.set_out(&before) {
            // Those that have joined leave; nothing was started yet.
            let joined = self.own_members();
            let new = joined.into_iter().filter(|it| before.iter().all(|(_, member)| member != it));
            new.for_each(|member| self.stage.worker.leave(member));
            (self.watch, self.lines, self.of_check) = (old, lines, of_check);
            for (check, member) in before {
                // Some may call by the new file already; their labs stand, as they did before.
                let _ = self.stage.revise(member, &check);
                self.members.entry(member).and_modify(|(of, _)| *of = check);
            }
            if let Some(shown) = &mut self.shown {
                shown.set_watch(&self.watch);
            }
            self.not_reloaded(format!("{error}: the watch goes on as it was"));
            return;
        }
        self.sheets.replace(&self.watch);
        self.incidents.replace(&self.watch, clock::now(), clock::timestamp());
        if let Some(notifier) = &self.notifier {
            notifier.replace(senders);
        }
        let stay = self.own_members();
        before.iter().filter(|(_, member)| !stay.contains(member)).for_each(|(_, it)| self.stage.worker.leave(*it));
        let checks = self.recurring();
        self.calendar.replace(self.watch.zone.clone(), checks, moment());
        self.board.write(|figures| figures.reloads.0 += 1);
        self.show_trouble(TroubleOf::File, None);
        let (checks, lines) = (self.watch.checks.len(), self.lines.len());
        self.note(format!("the file is read again (checks: {checks}, lines: {lines})"));
    }

    /// Members that lines call from.
    fn own_members(&self) -> FxHashSet<MemberId> {
        self.lines.values().map(|line| line.member).collect()
    }

    pub(super) fn not_reloaded(&mut self, why: String) {
        self.board.write(|figures| figures.reloads.1 += 1);
        self.show_trouble(TroubleOf::File, Some(&why));
        self.note(why);
    }
}
