//! The run over time: windows put together until a chart can show them, and the charts made of them.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::measure::Window;
use crate::record::Class;

use super::chart::{Chart, Course, chart};
use super::words::short;

/// Points that a chart shows at most.
const MOST_POINTS: usize = 240;
/// Classes that have a colour of their own.
const CLASSES_SHOWN: usize = 5;

/// Some windows put together.
#[derive(Clone, Debug, Default)]
struct Stretch {
    /// Its end, seconds from the start of the run.
    end_s: f64,
    seconds: f64,
    started: u64,
    /// Highest.
    concurrent: u64,
    faults: BTreeMap<Class, u64>,
    /// Highest of the medians, and of the 99th percentiles.
    setup_ms: (Option<f64>, Option<f64>),
    /// Least of the 10th percentiles, and of the medians.
    mos_cq: (Option<f64>, Option<f64>),
}

/// The charts that have something to show.
/// Attempts are named calls where `calls` says that they are.
pub(super) fn charts(windows: &[Window], started_at: Timestamp, failed: u64, calls: bool) -> Vec<Chart> {
    let group = windows.len().div_ceil(MOST_POINTS).max(1);
    let stretches = stretches(windows, started_at, group);
    let times: Vec<f64> = stretches.iter().map(|stretch| stretch.end_s).collect();
    let note = |words: &str| match group {
        1 => String::new(),
        _ => format!("Each point stands for {} s{words}.", short(stretches[0].seconds)),
    };
    let courses = [
        Some(Course {
            title: if calls { "Calls started" } else { "Attempts started" },
            unit: "per second",
            note: note(""),
            series: vec![series("started", &stretches, |s| (s.seconds > 0.0).then(|| s.started as f64 / s.seconds))],
            ..Course::default()
        }),
        Some(Course {
            title: if calls { "Calls at the same time" } else { "Attempts at the same time" },
            unit: if calls { "calls" } else { "attempts" },
            note: note(", the highest in it"),
            whole: true,
            series: vec![series("going on", &stretches, |s| Some(s.concurrent as f64))],
            ..Course::default()
        }),
        faults(&stretches, failed, note("")),
        Some(Course {
            title: "Set-up time",
            unit: "ms",
            note: note(", the worst in it"),
            series: vec![
                series("median", &stretches, |s| s.setup_ms.0),
                series("99 of 100 calls are below", &stretches, |s| s.setup_ms.1),
            ],
            ..Course::default()
        }),
        Some(Course {
            title: "Conversation quality",
            unit: "MOS-CQ, 1 bad to 4.5 best",
            note: note(", the worst in it"),
            floor: 1.0,
            series: vec![
                series("median", &stretches, |s| s.mos_cq.1),
                series("90 of 100 calls are above", &stretches, |s| s.mos_cq.0),
            ],
            ..Course::default()
        }),
    ];
    courses.into_iter().flatten().filter_map(|course| chart(course, &times)).collect()
}

fn series(name: &str, stretches: &[Stretch], value: impl Fn(&Stretch) -> Option<f64>) -> (String, Vec<Option<f64>>) {
    (name.to_owned(), stretches.iter().map(value).collect())
}

/// Ends by class over time, `ok` left out; nothing where there are none.
fn faults(stretches: &[Stretch], failed: u64, note: String) -> Option<Course<'static>> {
    let mut totals: BTreeMap<Class, u64> = BTreeMap::new();
    for (class, count) in stretches.iter().flat_map(|stretch| &stretch.faults) {
        *totals.entry(*class).or_default() += count;
    }
    let mut classes: Vec<Class> = totals.keys().copied().collect();
    classes.sort_by_key(|class| (std::cmp::Reverse(totals[class]), *class));
    if classes.is_empty() {
        return None;
    }
    let rest = classes.split_off(classes.len().min(CLASSES_SHOWN));
    let count = |stretch: &Stretch, class: &Class| stretch.faults.get(class).copied().unwrap_or(0) as f64;
    let of_class = |class: &Class| series(class.name(), stretches, |stretch| Some(count(stretch, class)));
    let mut all: Vec<_> = classes.iter().map(of_class).collect();
    if !rest.is_empty() {
        let sum = |stretch: &Stretch| Some(rest.iter().map(|class| count(stretch, class)).sum());
        all.push(series("other classes", stretches, sum));
    }
    let title = if failed > 0 { "Failures by class" } else { "Refusals by class, as expected" };
    Some(Course { title, unit: "ended attempts", note, whole: true, stacked: true, series: all, ..Course::default() })
}

/// `group` windows put together. A run's last window is cut short: a start in its few milliseconds is no rate, so it
/// belongs to the stretch before it.
fn stretches(windows: &[Window], started_at: Timestamp, group: usize) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    let mut taken = group;
    for window in windows {
        let full = taken >= group && (stretches.is_empty() || window.seconds >= 0.5);
        if full {
            stretches.push(Stretch::default());
            taken = 0;
        }
        taken += 1;
        if let Some(stretch) = stretches.last_mut() {
            stretch.add(window, started_at);
        }
    }
    stretches
}

impl Stretch {
    fn add(&mut self, window: &Window, started_at: Timestamp) {
        self.end_s = window.at.duration_since(started_at).as_secs_f64().max(self.end_s);
        self.seconds += window.seconds;
        self.started += window.started;
        self.concurrent = self.concurrent.max(window.concurrent);
        for (class, count) in window.classes.iter().filter(|(class, _)| **class != Class::Ok) {
            *self.faults.entry(*class).or_default() += count;
        }
        let (setup, mos) = (&window.setup_ms, &window.mos_cq);
        self.setup_ms = (pick(self.setup_ms.0, setup.p50, f64::max), pick(self.setup_ms.1, setup.p99, f64::max));
        self.mos_cq = (pick(self.mos_cq.0, mos.p10, f64::min), pick(self.mos_cq.1, mos.p50, f64::min));
    }
}

fn pick(one: Option<f64>, other: Option<f64>, choose: impl Fn(f64, f64) -> f64) -> Option<f64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(choose(one, other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::samples::windows;
    use super::*;

    fn start() -> Timestamp {
        "2026-01-02T03:04:05Z".parse().expect("valid")
    }

    fn titles(charts: &[Chart]) -> Vec<String> {
        let title = |chart| serde_json::to_value(chart).expect("JSON")["title"].as_str().expect("text").to_owned();
        charts.iter().map(title).collect()
    }

    #[test]
    fn a_run_of_seconds_has_every_chart_and_a_single_call_none() {
        let expected =
            ["Calls started", "Calls at the same time", "Failures by class", "Set-up time", "Conversation quality"];
        assert_eq!(titles(&charts(&windows(10), start(), 3, true)), expected);
        assert!(charts(&windows(2), start(), 3, true).is_empty());
        assert!(charts(&[], start(), 0, true).is_empty());
    }

    #[test]
    fn what_was_not_measured_has_no_chart() {
        let mut windows = windows(10);
        windows.iter_mut().for_each(|window| {
            window.mos_cq = Default::default();
            window.classes.retain(|class, _| *class == Class::Ok);
        });
        assert_eq!(
            titles(&charts(&windows, start(), 0, true)),
            ["Calls started", "Calls at the same time", "Set-up time"]
        );
    }

    #[test]
    fn hours_are_put_together_without_losing_a_start_or_a_fault() {
        let windows = windows(3600);
        let stretches = stretches(&windows, start(), 15);
        assert_eq!(stretches.len(), 240);
        let sum = |of: fn(&Stretch) -> u64| stretches.iter().map(of).sum::<u64>();
        assert_eq!(sum(|s| s.started), windows.iter().map(|w| w.started).sum::<u64>());
        let busy = |s: &Stretch| s.faults.get(&Class::CallCalleeBusy).copied().unwrap_or(0);
        assert_eq!(sum(busy), 3600);
    }

    #[test]
    fn the_rest_of_a_second_at_the_end_is_no_rate_of_its_own() {
        let mut windows = windows(4);
        windows[3].seconds = 0.005;
        let stretches = stretches(&windows, start(), 1);
        assert_eq!(stretches.len(), 3);
        assert_eq!((stretches[2].started, stretches[2].seconds), (40, 1.005));
    }
}
