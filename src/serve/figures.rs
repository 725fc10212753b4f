//! Figures of a watch in the text format of Prometheus.
//!
//! Labels have few values: names of checks and targets, classes and reasons. Agents, numbers and Call-IDs are in none of
//! them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use crate::incident::{Incident, Severity};
use crate::record::Class;

/// Figures of a watch since its start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Its name.
    pub watch: String,
    /// Checks, by name.
    pub checks: BTreeMap<String, CheckFigures>,
    /// Calls under way.
    pub in_progress: u64,
    /// CPU time of the worker, seconds.
    pub cpu_s: f64,
    /// Datagrams that were lost in our own sockets.
    pub datagrams_lost: u64,
    /// Times that the file was read again, and times that it could not be.
    pub reloads: (u64, u64),
    /// Where points are, with a database.
    pub spooled: Option<Spooled>,
    /// Incidents that are open, the oldest first.
    pub incidents: Arc<[Incident]>,
    /// Messages about incidents that the throttle held back.
    pub throttled: u64,
    /// Messages on their way, by who is told.
    pub alerts: BTreeMap<String, Deliveries>,
    /// What the watch knows could not be written to disk, and is kept in memory.
    pub unsaved: bool,
    /// Its folder takes no results.
    pub disk_failing: bool,
    /// Results that it lacks for good.
    pub results_left_out: u64,
    /// Servers whose places could not be asked for last.
    pub names_unknown: u64,
    /// Calls that the judge asked for.
    pub repetitions: Repetitions,
}

/// Calls that the judge asked for, of agents that may fail or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repetitions {
    /// Placed.
    pub placed: u64,
    /// Those that were not, by why.
    pub left_out: BTreeMap<&'static str, u64>,
}

/// Messages on their way to one who is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deliveries {
    /// Delivered.
    pub sent: u64,
    /// Refused for good.
    pub refused: u64,
    /// Tries that failed and are made again.
    pub failed: u64,
    /// Still to be delivered.
    pub waiting: u64,
    /// When the oldest of those was made.
    pub oldest: Option<Timestamp>,
}

impl Figures {
    /// Attempts that ended.
    pub fn calls(&self) -> u64 {
        self.checks.values().flat_map(|check| check.calls.values()).sum()
    }

    /// Starts that were left out.
    pub fn left_out(&self) -> u64 {
        self.checks.values().flat_map(|check| check.left_out.values()).sum()
    }

    /// How late the last attempts started, the latest of all checks, seconds.
    pub fn late_s(&self) -> Option<f64> {
        self.checks.values().filter_map(|check| check.late_s).reduce(f64::max)
    }
}

/// Figures of one check.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CheckFigures {
    /// Name of its target.
    pub target: String,
    /// Its lines.
    pub lines: u64,
    /// Attempts that ended, by class and whether they failed.
    pub calls: BTreeMap<(Class, bool), u64>,
    /// Starts that were left out, by why.
    pub left_out: BTreeMap<&'static str, u64>,
    /// When an attempt held last, seconds since the epoch.
    pub last_success: Option<f64>,
    /// How late its last attempt started, seconds.
    pub late_s: Option<f64>,
}

/// Points on their way to a database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spooled {
    /// Stored by the server.
    pub written: u64,
    /// On disk, still to be delivered.
    pub waiting: u64,
    /// Refused for good.
    pub rejected: u64,
    /// Whether the database takes them.
    pub up: bool,
}

/// One metric: its name, type and help, then its samples.
fn metric(
    f: &mut fmt::Formatter<'_>,
    (name, kind, help): (&str, &str, &str),
    samples: impl IntoIterator<Item = (String, f64)>,
) -> fmt::Result {
    let mut samples = samples.into_iter().peekable();
    if samples.peek().is_none() {
        return Ok(());
    }
    writeln!(f, "# HELP ringfleet_watch_{name} {help}\n# TYPE ringfleet_watch_{name} {kind}")?;
    for (labels, value) in samples {
        writeln!(f, "ringfleet_watch_{name}{{{labels}}} {value}")?;
    }
    Ok(())
}

/// `name="value"`, with what the format says about characters of values.
fn label(name: &str, value: &str) -> String {
    format!("{name}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let watch = label("watch", &self.watch);
        let of = |name: &str, check: &CheckFigures| {
            format!("{watch},{},{}", label("check", name), label("target", &check.target))
        };
        let one = |value: f64| [(watch.clone(), value)];
        let version = label("version", env!("CARGO_PKG_VERSION"));
        metric(f, ("info", "gauge", "The version that runs."), [(format!("{watch},{version}"), 1.0)])?;
        let lines = self.checks.iter().map(|(name, check)| (of(name, check), check.lines as f64));
        metric(f, ("lines", "gauge", "Lines of each check."), lines)?;
        let calls = self.checks.iter().flat_map(|(name, check)| {
            let labels = of(name, check);
            check.calls.iter().map(move |((class, failed), count)| {
                let result = if *failed { "failed" } else { "ok" };
                (format!("{labels},{},{}", label("class", class.name()), label("result", result)), *count as f64)
            })
        });
        metric(f, ("calls_total", "counter", "Attempts that ended."), calls)?;
        let left_out = self.checks.iter().flat_map(|(name, check)| {
            let labels = of(name, check);
            check.left_out.iter().map(move |(why, count)| (format!("{labels},{}", label("why", why)), *count as f64))
        });
        metric(f, ("starts_left_out_total", "counter", "Starts that were not made."), left_out)?;
        let success = self.checks.iter().filter_map(|(name, check)| Some((of(name, check), check.last_success?)));
        metric(f, ("last_success_timestamp_seconds", "gauge", "When an attempt held last."), success)?;
        let late = self.checks.iter().filter_map(|(name, check)| Some((of(name, check), check.late_s?)));
        metric(f, ("late_seconds", "gauge", "How late the last attempt started."), late)?;
        metric(f, ("calls_in_progress", "gauge", "Attempts under way."), one(self.in_progress as f64))?;
        metric(f, ("worker_cpu_seconds_total", "counter", "CPU time of the worker."), one(self.cpu_s))?;
        let lost = one(self.datagrams_lost as f64);
        metric(f, ("datagrams_lost_total", "counter", "Datagrams lost in our own sockets."), lost)?;
        let reloads = [("ok", self.reloads.0), ("refused", self.reloads.1)];
        let reloads = reloads.map(|(result, count)| (format!("{watch},{}", label("result", result)), count as f64));
        metric(f, ("reloads_total", "counter", "Times that the file was read again."), reloads)?;
        if let Some(Spooled { written, waiting, rejected, up }) = self.spooled {
            metric(f, ("database_up", "gauge", "Whether the database takes points."), one(f64::from(u8::from(up))))?;
            metric(f, ("points_written_total", "counter", "Points that the database has."), one(written as f64))?;
            metric(f, ("points_waiting", "gauge", "Points on disk, still to be delivered."), one(waiting as f64))?;
            metric(f, ("points_rejected_total", "counter", "Points refused for good."), one(rejected as f64))?;
        }
        let open = [Severity::Minor, Severity::Degraded, Severity::Major, Severity::Critical].map(|severity| {
            let count = self.incidents.iter().filter(|incident| incident.severity == severity).count();
            (format!("{watch},{}", label("severity", severity.name())), count as f64)
        });
        metric(f, ("incidents_open", "gauge", "Incidents that are open."), open)?;
        let throttled = one(self.throttled as f64);
        metric(f, ("alerts_throttled_total", "counter", "Messages that the throttle held back."), throttled)?;
        let alerts = |figure: fn(&Deliveries) -> u64| {
            self.alerts.iter().map(move |(name, it)| (name, figure(it) as f64)).collect::<Vec<_>>()
        };
        let named = |(name, value): (&String, f64)| (format!("{watch},{}", label("sink", name)), value);
        for (name, kind, help, figure) in [
            ("alerts_sent_total", "counter", "Messages that were delivered.", (|it| it.sent) as fn(&Deliveries) -> u64),
            ("alerts_refused_total", "counter", "Messages refused for good.", |it| it.refused),
            ("alert_tries_failed_total", "counter", "Tries to deliver that failed.", |it| it.failed),
            ("alerts_waiting", "gauge", "Messages still to be delivered.", |it| it.waiting),
        ] {
            metric(f, (name, kind, help), alerts(figure).into_iter().map(named))?;
        }
        let oldest = self.alerts.iter().filter_map(|(name, it)| Some((name, it.oldest?.as_duration().as_secs_f64())));
        let help = "When the oldest message still to be delivered was made.";
        metric(f, ("alerts_oldest_timestamp_seconds", "gauge", help), oldest.map(named))?;
        let unsaved = one(f64::from(u8::from(self.unsaved)));
        metric(f, ("state_unsaved", "gauge", "1 while what is known cannot be written to disk."), unsaved)?;
        let failing = one(f64::from(u8::from(self.disk_failing)));
        metric(f, ("results_unsaved", "gauge", "1 while results cannot be written to the folder."), failing)?;
        let left_out = one(self.results_left_out as f64);
        metric(f, ("results_left_out_total", "counter", "Results that the folder lacks for good."), left_out)?;
        let unknown = one(self.names_unknown as f64);
        metric(f, ("names_unknown", "gauge", "Servers that DNS gave no places for last."), unknown)?;
        let placed = one(self.repetitions.placed as f64);
        metric(f, ("repetitions_total", "counter", "Calls that the judge asked for and that were placed."), placed)?;
        let of = |(why, count): (&&str, &u64)| (format!("{watch},{}", label("why", why)), *count as f64);
        let left_out = self.repetitions.left_out.iter().map(of);
        let help = "Calls that the judge asked for and that were not placed.";
        metric(f, ("repetitions_left_out_total", "counter", help), left_out)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_in_the_text_format_and_what_is_not_known_is_left_out() {
        let mut figures = Figures { watch: "a\"b".into(), reloads: (2, 1), ..Figures::default() };
        let check = figures.checks.entry("out".into()).or_default();
        (check.target, check.lines) = ("lab".into(), 6);
        check.calls = BTreeMap::from([((Class::Ok, false), 3), ((Class::CallCalleeBusy, true), 1)]);
        check.left_out.insert("maintenance", 2);
        let oldest = Timestamp::from_second(1_774_744_200).ok();
        let alerts = Deliveries { sent: 4, failed: 9, waiting: 1, oldest, ..Deliveries::default() };
        figures.alerts.insert("webhook".into(), alerts);
        figures.repetitions = Repetitions { placed: 7, left_out: BTreeMap::from([("budget", 3)]) };
        let expected = "\
# HELP ringfleet_watch_info The version that runs.
# TYPE ringfleet_watch_info gauge
ringfleet_watch_info{watch=\"a\\\"b\",version=\"VERSION\"} 1
# HELP ringfleet_watch_lines Lines of each check.
# TYPE ringfleet_watch_lines gauge
ringfleet_watch_lines{watch=\"a\\\"b\",check=\"out\",target=\"lab\"} 6
# HELP ringfleet_watch_calls_total Attempts that ended.
# TYPE ringfleet_watch_calls_total counter
ringfleet_watch_calls_total{watch=\"a\\\"b\",check=\"out\",target=\"lab\",class=\"ok\",result=\"ok\"} 3
ringfleet_watch_calls_total{watch=\"a\\\"b\",check=\"out\",target=\"lab\",class=\"call.callee_busy\",result=\"failed\"} 1
# HELP ringfleet_watch_starts_left_out_total Starts that were not made.
# TYPE ringfleet_watch_starts_left_out_total counter
ringfleet_watch_starts_left_out_total{watch=\"a\\\"b\",check=\"out\",target=\"lab\",why=\"maintenance\"} 2
# HELP ringfleet_watch_calls_in_progress Attempts under way.
# TYPE ringfleet_watch_calls_in_progress gauge
ringfleet_watch_calls_in_progress{watch=\"a\\\"b\"} 0
# HELP ringfleet_watch_worker_cpu_seconds_total CPU time of the worker.
# TYPE ringfleet_watch_worker_cpu_seconds_total counter
ringfleet_watch_worker_cpu_seconds_total{watch=\"a\\\"b\"} 0
# HELP ringfleet_watch_datagrams_lost_total Datagrams lost in our own sockets.
# TYPE ringfleet_watch_datagrams_lost_total counter
ringfleet_watch_datagrams_lost_total{watch=\"a\\\"b\"} 0
# HELP ringfleet_watch_reloads_total Times that the file was read again.
# TYPE ringfleet_watch_reloads_total counter
ringfleet_watch_reloads_total{watch=\"a\\\"b\",result=\"ok\"} 2
ringfleet_watch_reloads_total{watch=\"a\\\"b\",result=\"refused\"} 1
# HELP ringfleet_watch_incidents_open Incidents that are open.
# TYPE ringfleet_watch_incidents_open gauge
ringfleet_watch_incidents_open{watch=\"a\\\"b\",severity=\"minor\"} 0
ringfleet_watch_incidents_open{watch=\"a\\\"b\",severity=\"degraded\"} 0
ringfleet_watch_incidents_open{watch=\"a\\\"b\",severity=\"major\"} 0
ringfleet_watch_incidents_open{watch=\"a\\\"b\",severity=\"critical\"} 0
# HELP ringfleet_watch_alerts_throttled_total Messages that the throttle held back.
# TYPE ringfleet_watch_alerts_throttled_total counter
ringfleet_watch_alerts_throttled_total{watch=\"a\\\"b\"} 0
# HELP ringfleet_watch_alerts_sent_total Messages that were delivered.
# TYPE ringfleet_watch_alerts_sent_total counter
ringfleet_watch_alerts_sent_total{watch=\"a\\\"b\",sink=\"webhook\"} 4
# HELP ringfleet_watch_alerts_refused_total Messages refused for good.
# TYPE ringfleet_watch_alerts_refused_total counter
ringfleet_watch_alerts_refused_total{watch=\"a\\\"b\",sink=\"webhook\"} 0
# HELP ringfleet_watch_alert_tries_failed_total Tries to deliver that failed.
# TYPE ringfleet_watch_alert_tries_failed_total counter
ringfleet_watch_alert_tries_failed_total{watch=\"a\\\"b\",sink=\"webhook\"} 9
# HELP ringfleet_watch_alerts_waiting Messages still to be delivered.
# TYPE ringfleet_watch_alerts_waiting gauge
ringfleet_watch_alerts_waiting{watch=\"a\\\"b\",sink=\"webhook\"} 1
# HELP ringfleet_watch_alerts_oldest_timestamp_seconds When the oldest message still to be delivered was made.
# TYPE ringfleet_watch_alerts_oldest_timestamp_seconds gauge
ringfleet_watch_alerts_oldest_timestamp_seconds{watch=\"a\\\"b\",sink=\"webhook\"} 1774744200
# HELP ringfleet_watch_state_unsaved 1 while what is known cannot be written to disk.
# TYPE ringfleet_watch_state_unsaved gauge
ringfleet_watch_state_unsaved{watch=\"a\\\"b\"} 0
# HELP ringfleet_watch_results_unsaved 1 while results cannot be written to the folder.
# TYPE ringfleet_watch_results_unsaved gauge
ringfleet_watch_results_unsaved{watch=\"a\\\"b\"} 0
# HELP ringfleet_watch_results_left_out_total Results that the folder lacks for good.
# TYPE ringfleet_watch_results_left_out_total counter
ringfleet_watch_results_left_out_total{watch=\"a\\\"b\"} 0
# HELP ringfleet_watch_names_unknown Servers that DNS gave no places for last.
# TYPE ringfleet_watch_names_unknown gauge
ringfleet_watch_names_unknown{watch=\"a\\\"b\"} 0
# HELP ringfleet_watch_repetitions_total Calls that the judge asked for and that were placed.
# TYPE ringfleet_watch_repetitions_total counter
ringfleet_watch_repetitions_total{watch=\"a\\\"b\"} 7
# HELP ringfleet_watch_repetitions_left_out_total Calls that the judge asked for and that were not placed.
# TYPE ringfleet_watch_repetitions_left_out_total counter
ringfleet_watch_repetitions_left_out_total{watch=\"a\\\"b\",why=\"budget\"} 3
";
        assert_eq!(figures.to_string(), expected.replace("VERSION", env!("CARGO_PKG_VERSION")));
    }
}
