//! The tables of times and of voice quality: one row for each figure that a run had.

use serde::Serialize;

use crate::measure::{DistributionSummary, Figure, LatencyFrom};

use super::super::headline::thousands;
use super::super::summary::Summary;
use super::page::or_not_measured;
use super::words;

#[derive(Debug, Serialize)]
pub(super) struct Distributions {
    title: &'static str,
    note: &'static str,
    columns: Vec<&'static str>,
    rows: Vec<Row>,
    /// Figures that no attempt had anything to measure of.
    absent: String,
}

#[derive(Debug, Serialize)]
struct Row {
    name: &'static str,
    meaning: &'static str,
    unit: &'static str,
    count: String,
    unknown: u64,
    /// One for each column; empty where nothing was measured.
    values: Vec<String>,
}

/// A column: its title and the value it takes.
type Column = (&'static str, fn(&DistributionSummary) -> Option<f64>);

const TIMES: [Column; 6] = [
    ("least", |d| d.min),
    ("median", |d| d.p50),
    ("90 %", |d| d.p90),
    ("99 %", |d| d.p99),
    ("99.9 %", |d| d.p999),
    ("greatest", |d| d.max),
];
const QUALITY: [Column; 6] = [
    ("least", |d| d.min),
    ("1 %", |d| d.p01),
    ("10 %", |d| d.p10),
    ("median", |d| d.p50),
    ("99 %", |d| d.p99),
    ("greatest", |d| d.max),
];

pub(super) fn tables(summary: &Summary) -> Vec<Distributions> {
    let latency_note = match summary.latency_from {
        LatencyFrom::Intended => {
            "Response delay, set-up time and registration delay count from the moment the schedule asked for, so a \
             late start of ours is part of them."
        }
        LatencyFrom::Actual => "Counted from the actual start of each attempt.",
    };
    let quality_note = "MOS is calculated from codec, loss and delay (ITU-T G.107), not judged by listeners.";
    let times = Figure::ALL.into_iter().filter(|figure| summary.latency.contains_key(figure));
    let quality = Figure::ALL.into_iter().filter(|figure| summary.quality.contains_key(figure));
    let (video, voice): (Vec<Figure>, Vec<Figure>) = quality.partition(|figure| figure.is_of_video());
    let mut tables = vec![
        table(summary, "Times", latency_note, times.collect(), &TIMES),
        table(summary, "Voice quality", quality_note, voice, &QUALITY),
    ];
    let video_note = "Frames are put together and not decoded: whether they look right is not judged.";
    let video = table(summary, "Video", video_note, video, &QUALITY);
    // Calls without it have nothing to say of it.
    tables.extend(Some(video).filter(|video| !video.rows.is_empty()));
    tables
}

fn table(
    summary: &Summary,
    title: &'static str,
    note: &'static str,
    figures: Vec<Figure>,
    columns: &[Column],
) -> Distributions {
    let known = figures.iter().filter_map(|figure| distribution(summary, *figure));
    // One call has one value of each: percentiles of it would be the same number six times.
    let single: &[Column] = &[("value", |d| d.p50)];
    let columns = if known.map(|values| values.count).max() == Some(1) { single } else { columns };
    let applies = |figure: &Figure| distribution(summary, *figure).is_some_and(|d| d.count + d.unknown > 0);
    let (present, absent): (Vec<Figure>, Vec<Figure>) = figures.iter().partition(|figure| applies(figure));
    let rows = present.iter().filter_map(|figure| Some(row(*figure, distribution(summary, *figure)?, columns)));
    let absent: Vec<&str> = absent.iter().map(|figure| words::figure(*figure).0).collect();
    let columns = columns.iter().map(|(name, _)| *name).collect();
    Distributions { title, note, columns, rows: rows.collect(), absent: absent.join(", ") }
}

fn row(figure: Figure, values: &DistributionSummary, columns: &[Column]) -> Row {
    let (name, meaning, unit) = words::figure(figure);
    let write = |(_, of): &Column| or_not_measured(of(values).map(|value| unit.write(value)));
    let written = if values.count == 0 { Vec::new() } else { columns.iter().map(write).collect() };
    let (count, unknown) = (thousands(values.count), values.unknown);
    Row { name, meaning, unit: unit.sign(), count, unknown, values: written }
}

/// The distribution of a figure.
pub(super) fn distribution(summary: &Summary, figure: Figure) -> Option<&DistributionSummary> {
    summary.latency.get(&figure).or_else(|| summary.quality.get(&figure))
}
