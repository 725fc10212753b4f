//! The geometry of one chart: points and bars in the coordinates of its drawing, ticks at round numbers. The template
//! draws; nothing here is markup.

use serde::Serialize;

/// The drawing's size in its own units; the page scales it.
const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 210.0;
/// The plot inside it.
const LEFT: f64 = 46.0;
const RIGHT: f64 = 548.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 182.0;
/// Fewer known points than this are no course over time.
const FEWEST_POINTS: usize = 3;

/// What is to be drawn.
#[derive(Clone, Debug, Default)]
pub(super) struct Course<'a> {
    pub(super) title: &'a str,
    /// What the vertical axis counts.
    pub(super) unit: &'a str,
    pub(super) note: String,
    /// The least value of the vertical axis.
    pub(super) floor: f64,
    /// Values are whole numbers.
    pub(super) whole: bool,
    /// Values are stacked as bars, not joined by lines.
    pub(super) stacked: bool,
    /// Name and values of each series; `None` is not measured.
    pub(super) series: Vec<(String, Vec<Option<f64>>)>,
}

/// A chart, ready to be drawn.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Chart {
    title: String,
    unit: String,
    note: String,
    size: (f64, f64),
    plot: (f64, f64, f64, f64),
    x: Vec<Tick>,
    y: Vec<Tick>,
    /// The names of the series, in order.
    names: Vec<String>,
    lines: Vec<Line>,
    bars: Vec<Bar>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Tick {
    at: f64,
    label: String,
}

/// A stretch of a series without a gap.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Line {
    series: usize,
    points: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Bar {
    series: usize,
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    says: String,
}

/// The chart of `course` at `times` (seconds from the start, rising), or nothing where it would show nothing.
pub(super) fn chart(course: Course<'_>, times: &[f64]) -> Option<Chart> {
    let known = course.series.iter().map(|(_, values)| values.iter().flatten().count()).max().unwrap_or(0);
    if known < FEWEST_POINTS {
        return None;
    }
    let highest = if course.stacked { highest_stack(&course, times.len()) } else { highest(&course) };
    let y = Scale::nice(course.floor, highest, course.whole, (BOTTOM, TOP));
    let end = times.last().copied().unwrap_or(0.0).max(1.0);
    let x = Scale { from: 0.0, to: end, start: LEFT, end: RIGHT, step: time_step(end) };
    let (lines, bars) = if course.stacked {
        (Vec::new(), bars(&course, times, &x, &y))
    } else {
        (course.series.iter().enumerate().flat_map(|(i, (_, v))| lines(i, v, times, &x, &y)).collect(), Vec::new())
    };
    Some(Chart {
        title: course.title.to_owned(),
        unit: course.unit.to_owned(),
        note: course.note,
        size: (WIDTH, HEIGHT),
        plot: (LEFT, TOP, RIGHT, BOTTOM),
        x: x.ticks(|seconds| moment(seconds, end)),
        y: y.ticks(|value| amount(value, y.step)),
        names: course.series.into_iter().map(|(name, _)| name).collect(),
        lines,
        bars,
    })
}

fn highest(course: &Course<'_>) -> f64 {
    course.series.iter().flat_map(|(_, values)| values.iter().flatten()).copied().fold(course.floor, f64::max)
}

fn highest_stack(course: &Course<'_>, places: usize) -> f64 {
    let at = |place: usize| course.series.iter().filter_map(|(_, values)| values.get(place).copied().flatten()).sum();
    (0..places).map(at).fold(course.floor, f64::max)
}

/// From values to places.
#[derive(Clone, Copy, Debug)]
struct Scale {
    from: f64,
    to: f64,
    start: f64,
    end: f64,
    step: f64,
}

impl Scale {
    /// An axis from `floor` to a round number at or above `highest`, in at most five steps of 1, 2 or 5.
    fn nice(floor: f64, highest: f64, whole: bool, (start, end): (f64, f64)) -> Self {
        let range = if highest > floor { highest - floor } else { 1.0 };
        let power = 10f64.powf((range / 5.0).log10().floor());
        let wanted = range / 5.0 / power;
        // A hair of tolerance: 5 steps of 0.2 are 1.
        let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| wanted <= factor + 1e-9).unwrap_or(10.0);
        let step = if whole { (factor * power).max(1.0) } else { factor * power };
        let steps = (range / step - 1e-9).ceil().max(1.0);
        Self { from: floor, to: floor + steps * step, start, end, step }
    }

    fn place(&self, value: f64) -> f64 {
        let share = (value - self.from) / (self.to - self.from);
        tenth(self.start + share.clamp(0.0, 1.0) * (self.end - self.start))
    }

    fn ticks(&self, label: impl Fn(f64) -> String) -> Vec<Tick> {
        let count = ((self.to - self.from) / self.step + 1e-9).floor() as u32;
        let values = (0..=count).map(|k| self.from + f64::from(k) * self.step);
        values.map(|value| Tick { at: self.place(value), label: label(value) }).collect()
    }
}

/// Stretches without a gap. A point alone is joined with itself: round ends make it a dot.
fn lines(series: usize, values: &[Option<f64>], times: &[f64], x: &Scale, y: &Scale) -> Vec<Line> {
    let places: Vec<Option<String>> = values
        .iter()
        .zip(times)
        .map(|(value, time)| value.map(|value| format!("{},{}", x.place(*time), y.place(value))))
        .collect();
    let stretches = places.split(Option::is_none).filter(|stretch| !stretch.is_empty());
    stretches
        .map(|stretch| {
            let points: Vec<&str> = stretch.iter().flatten().map(String::as_str).collect();
            let points = if let [only] = points[..] { format!("{only} {only}") } else { points.join(" ") };
            Line { series, points }
        })
        .collect()
}

fn bars(course: &Course<'_>, times: &[f64], x: &Scale, y: &Scale) -> Vec<Bar> {
    let mut bars = Vec::new();
    for (place, time) in times.iter().enumerate() {
        let before = if place == 0 { 0.0 } else { times[place - 1] };
        let (left, right) = (x.place(before), x.place(*time));
        let mut base = 0.0;
        for (series, (name, values)) in course.series.iter().enumerate() {
            let Some(value) = values.get(place).copied().flatten().filter(|value| *value > 0.0) else { continue };
            let (low, high) = (y.place(base), y.place(base + value));
            let gap = if right - left > 4.0 { 1.0 } else { 0.0 };
            bars.push(Bar {
                series,
                x: left,
                y: high,
                width: tenth((right - left - gap).max(0.8)),
                height: tenth(low - high),
                says: format!("{name}: {value}"),
            });
            base += value;
        }
    }
    bars
}

fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// Seconds between two ticks, at most seven of them.
fn time_step(end: f64) -> f64 {
    const STEPS: [f64; 16] =
        [0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 21600.0];
    let whole_days = (end / 7.0 / 86_400.0).ceil() * 86_400.0;
    STEPS.into_iter().find(|step| end / step <= 7.0).unwrap_or(whole_days)
}

/// `20 s` in short runs, else `1:30` or `2:00 h`.
fn moment(seconds: f64, end: f64) -> String {
    let whole = seconds.round() as u64;
    if end <= 180.0 {
        let text = format!("{seconds:.1}");
        return format!("{} s", text.strip_suffix(".0").unwrap_or(&text));
    }
    let (hours, minutes, rest) = (whole / 3600, whole / 60 % 60, whole % 60);
    if end <= 7200.0 { format!("{}:{rest:02}", hours * 60 + minutes) } else { format!("{hours}:{minutes:02} h") }
}

/// A value of the vertical axis with as many places as its step needs.
fn amount(value: f64, step: f64) -> String {
    let places = if step >= 1.0 { 0 } else { (-step.log10()).ceil().clamp(0.0, 3.0) as usize };
    if places == 0 { super::words::short(value.round()) } else { format!("{value:.places$}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(values: &[Option<f64>]) -> Course<'static> {
        Course { title: "t", series: vec![("s".into(), values.to_vec())], ..Course::default() }
    }

    fn labels(ticks: &[Tick]) -> Vec<&str> {
        ticks.iter().map(|tick| tick.label.as_str()).collect()
    }

    #[test]
    fn fewer_than_three_known_points_are_no_chart() {
        let times = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(chart(course(&[Some(1.0), None, Some(2.0), None]), &times), None);
        assert_eq!(chart(course(&[]), &[]), None);
        assert!(chart(course(&[Some(1.0), None, Some(2.0), Some(0.0)]), &times).is_some());
    }

    #[test]
    fn axes_end_at_round_numbers() {
        let chart = chart(course(&[Some(0.0), Some(210.0), Some(180.0)]), &[1.0, 2.0, 12.0]).expect("a chart");
        assert_eq!(labels(&chart.y), ["0", "50", "100", "150", "200", "250"]);
        assert_eq!(labels(&chart.x), ["0 s", "2 s", "4 s", "6 s", "8 s", "10 s", "12 s"]);
        assert_eq!((chart.y[0].at, chart.y[5].at), (BOTTOM, TOP));
        let small = Scale::nice(0.0, 0.3, false, (BOTTOM, TOP));
        assert_eq!(labels(&small.ticks(|value| amount(value, small.step))), ["0.0", "0.1", "0.2", "0.3"]);
        let whole = Scale::nice(0.0, 2.0, true, (BOTTOM, TOP));
        assert_eq!(labels(&whole.ticks(|value| amount(value, whole.step))), ["0", "1", "2"]);
        let flat = Scale::nice(0.0, 0.0, true, (BOTTOM, TOP));
        assert_eq!((flat.from, flat.to), (0.0, 1.0));
    }

    #[test]
    fn a_gap_splits_the_line_and_a_lone_point_is_a_dot() {
        let values = [Some(0.0), Some(10.0), None, Some(10.0)];
        let chart = chart(course(&values), &[0.0, 5.0, 7.0, 10.0]).expect("a chart");
        let points: Vec<&str> = chart.lines.iter().map(|line| line.points.as_str()).collect();
        assert_eq!(points, ["46,182 297,10", "548,10 548,10"]);
    }

    #[test]
    fn bars_stand_on_each_other() {
        let series = vec![
            ("busy".into(), vec![Some(1.0), Some(0.0), Some(2.0)]),
            ("lost".into(), vec![Some(3.0), Some(0.0), Some(0.0)]),
        ];
        let stacked = Course { stacked: true, whole: true, series, ..Course::default() };
        let chart = chart(stacked, &[1.0, 2.0, 3.0]).expect("a chart");
        let bars: Vec<(&str, f64, f64)> =
            chart.bars.iter().map(|bar| (bar.says.as_str(), bar.y, bar.y + bar.height)).collect();
        assert_eq!(bars, [("busy: 1", 139.0, 182.0), ("lost: 3", 10.0, 139.0), ("busy: 2", 96.0, 182.0)]);
    }

    #[test]
    fn moments_fit_the_length_of_the_run() {
        assert_eq!((time_step(12.0), time_step(600.0), time_step(86_400.0 * 30.0)), (2.0, 120.0, 86_400.0 * 5.0));
        assert_eq!((moment(90.0, 120.0), moment(90.0, 600.0)), ("90 s".into(), "1:30".into()));
        assert_eq!(moment(5400.0, 9000.0), "1:30 h");
    }
}
