//! The `probe` point: how a process of ours is itself. A fleet that is silent shows no fault of any line.

use super::line::{Field, Point, nanoseconds};
use crate::report::SinkCounts;

/// How a process is, for the database.
#[derive(Clone, Copy, Debug)]
pub struct ProbePoint<'a> {
    /// When.
    pub time: jiff::Timestamp,
    /// Where it stands.
    pub site: Option<&'a str>,
    /// Its name: that of its watch.
    pub probe: &'a str,
    /// How it is.
    pub health: ProbeHealth,
}

/// How a process is; counts are since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProbeHealth {
    /// Lines that it watches.
    pub lines: u64,
    /// Of them, those whose last call failed.
    pub failing: u64,
    /// Calls under way.
    pub in_progress: u64,
    /// Attempts that ended.
    pub calls: u64,
    /// Starts that were not made.
    pub left_out: u64,
    /// How late the last attempts started, the latest of all checks, milliseconds.
    pub late_ms: Option<f64>,
    /// CPU time of the worker, seconds.
    pub cpu_s: f64,
    /// Datagrams that were lost in our own sockets.
    pub datagrams_lost: u64,
    /// Points, and whether the database takes them.
    pub sink: Option<(SinkCounts, bool)>,
}

/// Its point.
pub fn point_of_probe(point: &ProbePoint<'_>) -> Option<Point> {
    let ProbePoint { time, site, probe, health } = *point;
    let count = |value: u64| Some(Field::Integer(i64::try_from(value).unwrap_or(i64::MAX)));
    let counts = |of: fn(&SinkCounts) -> u64| health.sink.and_then(|(counts, _)| count(of(&counts)));
    let fields = [
        ("lines", count(health.lines)),
        ("failing", count(health.failing)),
        ("in_progress", count(health.in_progress)),
        ("calls", count(health.calls)),
        ("left_out", count(health.left_out)),
        ("late_ms", health.late_ms.map(Field::Float)),
        ("cpu_s", Some(Field::Float(health.cpu_s))),
        ("datagrams_lost", count(health.datagrams_lost)),
        ("spooled", counts(|counts| counts.spooled)),
        ("written", counts(|counts| counts.written)),
        ("rejected", counts(|counts| counts.rejected)),
        ("sink_up", health.sink.map(|(_, up)| Field::Integer(up.into()))),
    ];
    let known = fields.into_iter().filter_map(|(name, field)| Some((name, field?)));
    Point::new("probe", [("probe", probe), ("site", site.unwrap_or(""))], known, nanoseconds(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_a_point_in_which_what_is_not_known_is_left_out() {
        let counts = SinkCounts { written: 7, spooled: 3, ..SinkCounts::default() };
        let health = ProbeHealth { lines: 12, cpu_s: 1.5, sink: Some((counts, false)), ..ProbeHealth::default() };
        let time = jiff::Timestamp::from_second(1).expect("in range");
        let point = point_of_probe(&ProbePoint { time, site: None, probe: "taipei", health }).expect("a point");
        let mut line = Vec::new();
        point.write(point.time(), &mut line);
        let expected = "probe,probe=taipei lines=12i,failing=0i,in_progress=0i,calls=0i,left_out=0i,cpu_s=1.5,\
                        datagrams_lost=0i,spooled=3i,written=7i,rejected=0i,sink_up=0i 1000000000\n";
        assert_eq!(String::from_utf8(line).expect("UTF-8"), expected);
    }
}
