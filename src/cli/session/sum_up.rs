//! What a run came to: so far for the screen, and at its end.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Session;
use crate::call::Progress;
use crate::cli::exit;
use crate::cli::results::share_pct;
use crate::measure::Totals;
use crate::net::clock;
use crate::report::{
    Ending, Generator, Health, Limit, Parts, RecordShare, RunInfo, SinkReport, Snapshot, Standing, Summary, aborts,
    all_hold,
};
use crate::sink::line::LimitPoint;

/// Windows of which the live screen shows a course.
const HISTORY: usize = 40;

impl Session<'_> {
    pub(super) fn snapshot(&self, now: Instant) -> Snapshot {
        let sum = self.sum();
        let load = &self.plan.load;
        let last = load.planned().and_then(|planned| load.start_of(planned.checked_sub(1)?));
        // A run's last window is cut short: a few starts in a few milliseconds are no rate.
        let full = self.windows.iter().rposition(|window| window.seconds > 0.5).map_or(0, |last| last + 1);
        let shown = &self.windows[full.saturating_sub(HISTORY)..full];
        let health = self.health(None);
        let mut snapshot = Snapshot {
            scenario: self.plan.scenario.clone(),
            target: self.plan.actors.first().map(|actor| actor.target.name.clone()).unwrap_or_default(),
            last_start: last.or(load.stop.after),
            started: sum.started,
            concurrent: sum.in_progress,
            cps: shown.last().map_or(0.0, |window| window.cps),
            cps_history: shown.iter().map(|window| window.cps).collect(),
            concurrent_history: shown.iter().map(|window| window.concurrent as f64).collect(),
            cpu_pct: self.cpu_pct,
            turn_ms: health.turn_ms_p99,
            datagrams_lost: health.datagrams_lost,
            hanging_up: self.hanging_up,
            ..Snapshot::default()
        };
        snapshot.count(&self.totals(now));
        snapshot
    }

    pub(super) fn totals(&self, now: Instant) -> Totals {
        Totals {
            tally: self.tally.clone(),
            planned: self.plan.load.planned(),
            warm_up: self.warm_up.legs().attempted + self.dropped_in_warm_up,
            ended_early: self.ended_early(),
            dropped: self.dropped,
            back_off: self.back_off,
            closed: self.closed,
            beside: self.results.counted_beside().clone(),
            peak_concurrent: self.sum().peak,
            peak_cps: self.peak_cps,
            elapsed: now - self.begun,
        }
    }

    /// Why the run was ended before its time.
    fn ended_early(&self) -> Option<String> {
        let hit = self.aborts.iter().position(Option::is_some)?;
        Some(format!("the run was ended: {}", self.plan.abort_when[hit].text))
    }

    /// What incident sheets say of each target.
    fn about(&self) -> BTreeMap<String, BTreeMap<String, String>> {
        let targets = self.plan.actors.iter().map(|actor| &actor.target).filter(|target| !target.labels.is_empty());
        targets.map(|target| (target.name.clone(), target.labels.clone())).collect()
    }

    /// Delivers, judges and writes what the run came to.
    pub(in crate::cli) fn finish(mut self, ending: Ending, lab_cpu: Option<Duration>) -> Summary {
        // Once more: what has come since the last look counts too.
        self.look_for_abort(clock::now());
        let totals = self.totals(clock::now());
        let target = self.plan.actors.first().map(|actor| actor.target.name.clone()).unwrap_or_default();
        let mut expectations = self.checker.finish(&totals, &self.limits);
        expectations.extend(aborts(&self.plan.abort_when, &self.aborts));
        let all_hold = all_hold(&expectations);
        // A search that we bounded ourselves has found nothing.
        let generator = Generator::new(&totals, self.health(lab_cpu), all_hold);
        let limits: Vec<Limit> = self.limits.iter().map(|limit| limit.clone().within(&generator)).collect();
        for limit in &limits {
            let (scenario, site) = (self.plan.scenario.as_str(), self.site.as_deref());
            self.results.limit(&LimitPoint { time: clock::timestamp(), scenario, target: &target, site, limit });
        }
        let sinks: Vec<SinkReport> = self.results.close().into_iter().collect();
        let ending = match self.trouble.take() {
            Some(error) => Ending::NotStarted(error),
            None => ending,
        };
        let Progress { media_legs, media_sampled, standing, most_registered, refreshes, .. } = self.sum();
        let media_sampled_pct = share_pct(media_sampled, media_legs);
        let records = RecordShare { media_legs, media_sampled, media_sampled_pct, ..self.results.share() };
        let info = RunInfo {
            scenario: self.plan.scenario.clone(),
            description: self.plan.description.clone(),
            target,
            about: self.about(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: self.started_at,
            ended_at: clock::timestamp(),
            ending,
            ice_servers: self.ice_servers.clone(),
            standing: (standing > 0).then_some(Standing { accounts: standing, registered: most_registered, refreshes }),
        };
        let mut health = self.health(lab_cpu);
        health.records_lost = self.sum().started.saturating_sub(self.counted);
        let judged = |unwritten: Option<String>| {
            let health = Health { unwritten, ..health.clone() };
            let generator = Generator::new(&totals, health, all_hold);
            let (info, expectations, sinks) = (info.clone(), expectations.clone(), sinks.clone());
            let limits = limits.clone();
            let parts = Parts { info, totals: &totals, expectations, limits, generator, sinks, records };
            Summary::new(parts, exit::code)
        };
        let mut summary = judged(self.results.trouble().map(str::to_owned));
        if let Err(error) = self.results.sum_up(&summary, &self.windows) {
            // What the run came to is on the screen and in the exit code, if nowhere else.
            summary = judged(summary.generator.health.unwritten.or_else(|| Some(error.to_string())));
        }
        self.screen.end(&summary, self.results.path());
        summary
    }

    fn health(&self, lab_cpu: Option<Duration>) -> Health {
        Health {
            workers: self.beats.len() as u32,
            cpu_s: Some(self.beats.iter().map(|beat| beat.cpu.as_secs_f64()).sum()),
            lab_cpu_s: lab_cpu.map(|cpu| cpu.as_secs_f64()),
            sockets: Some(self.beats.iter().map(|beat| beat.health.peak_sockets).sum()),
            datagrams_received: self.beats.iter().map(|beat| beat.health.received).sum(),
            datagrams_lost: self.lost_datagrams + self.beats.iter().map(|beat| beat.health.send_overflows).sum::<u64>(),
            malformed: self.malformed.iter().sum(),
            connections_dismissed: self.beats.iter().map(|beat| beat.health.dismissed).sum(),
            rtp_unattributed: self.beats.iter().map(|beat| beat.health.unattributed).sum(),
            turn_ms_p99: self.turns.iter().filter_map(|turns| turns.percentile(99.0)).reduce(f64::max),
            records_lost: 0,
            unwritten: None,
            evidence_overwritten: self.overwritten,
        }
    }
}
