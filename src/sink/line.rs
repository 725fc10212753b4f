//! Records as InfluxDB line protocol: pure functions, with a golden file in `tests/data/influx`.
//!
//! A [`Point`] that exists is a line that every server accepts: control characters become spaces, a backslash in a
//! tag becomes a slash (1.x has no way to write one at the end of a tag), empty tags and unknown fields are left out,
//! NaN and infinity are unknown, whole numbers are signed. One point is one line, which lets a refused batch be
//! halved by lines.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};

use influxdb_line_protocol::LineProtocolBuilder;
use jiff::Timestamp;
use rustc_hash::FxHasher;
use serde_json::Value;

use crate::measure::Window;
use crate::record::{CallRecord, Class, Role};

/// Names of a record that are tags; everything else is a field. Sorted, as the server stores them.
const TAGS: [&str; 14] = [
    "carrier",
    "class",
    "code",
    "direction",
    "gateway",
    "grade",
    "hotline",
    "probe",
    "scenario",
    "site",
    "target",
    "transport",
    "trunk",
    "unit",
];

/// Longest text of a field, bytes. InfluxDB 1.x refuses a string of 64 KiB.
const MAX_TEXT: usize = 16 * 1024;

/// Longest value of a tag, bytes. Tags are names; the whole series key must stay below 64 KiB.
const MAX_TAG: usize = 256;

/// A value of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Field {
    /// A measured figure. NaN and infinity are unknown and left out.
    Float(f64),
    /// A count or code.
    Integer(i64),
    /// An id or a text.
    Text(String),
    /// Yes or no.
    Bool(bool),
}

/// One point, encoded but for its time, which the spool may move by a nanosecond.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// The line without its time stamp.
    line: Vec<u8>,
    /// Identifies measurement and tags.
    series: u64,
    /// Nanoseconds since 1970.
    time: i64,
}

/// The figures of one window, as many as are known.
#[derive(Clone, Debug)]
pub struct WindowPoint {
    /// End of the window, as in `windows.jsonl`.
    pub time: Timestamp,
    /// The scenario's name.
    pub scenario: String,
    /// The target's name.
    pub target: String,
    /// The probe's site.
    pub site: Option<String>,
    /// The probe's name.
    pub probe: Option<String>,
    /// `started answered failed concurrent cps late_ms`, percentiles as `srd_ms_p99`. A name keeps its type for ever.
    pub fields: Vec<(String, Field)>,
}

impl WindowPoint {
    /// The point of a window of a run.
    pub fn of(window: &Window, scenario: &str, target: &str, site: Option<&str>) -> Self {
        let count =
            |name: &str, value: u64| (name.to_owned(), Field::Integer(i64::try_from(value).unwrap_or(i64::MAX)));
        let mut fields = vec![
            count("started", window.started),
            count("dropped", window.dropped),
            count("answered", window.answered),
            count("failed", window.failed),
            count("concurrent", window.concurrent),
            ("cps".to_owned(), Field::Float(window.cps)),
        ];
        fields.extend(window.late_ms.map(|late| ("late_ms".to_owned(), Field::Float(late))));
        for (name, percentiles) in
            [("srd_ms", &window.srd_ms), ("setup_ms", &window.setup_ms), ("mos_cq", &window.mos_cq)]
        {
            let known = [("p10", percentiles.p10), ("p50", percentiles.p50), ("p99", percentiles.p99)];
            fields
                .extend(known.into_iter().filter_map(|(p, value)| Some((format!("{name}_{p}"), Field::Float(value?)))));
        }
        Self {
            time: window.at,
            scenario: scenario.to_owned(),
            target: target.to_owned(),
            site: site.map(str::to_owned),
            probe: None,
            fields,
        }
    }
}

impl Point {
    /// A point, or `None` where no field is known: a line without a field is refused.
    pub fn new<'a>(
        measurement: &str,
        tags: impl IntoIterator<Item = (&'a str, impl AsRef<str>)>,
        fields: impl IntoIterator<Item = (&'a str, Field)>,
        time: i64,
    ) -> Option<Self> {
        let mut series = FxHasher::default();
        measurement.hash(&mut series);
        let mut builder = LineProtocolBuilder::new().measurement(measurement);
        for (key, value) in tags {
            let value = tag_value(value.as_ref());
            if !value.is_empty() {
                (key, &value).hash(&mut series);
                builder = builder.tag(key, &value);
            }
        }
        let mut fields = fields.into_iter().filter_map(|(key, field)| Some((key, known(field)?)));
        let (key, field) = fields.next()?;
        let mut builder = match field {
            Field::Float(value) => builder.field(key, value),
            Field::Integer(value) => builder.field(key, value),
            Field::Text(value) => builder.field(key, value.as_str()),
            Field::Bool(value) => builder.field(key, value),
        };
        for (key, field) in fields {
            builder = match field {
                Field::Float(value) => builder.field(key, value),
                Field::Integer(value) => builder.field(key, value),
                Field::Text(value) => builder.field(key, value.as_str()),
                Field::Bool(value) => builder.field(key, value),
            };
        }
        let mut line = builder.close_line().build();
        line.pop();
        Some(Self { line, series: series.finish(), time })
    }

    /// Identifies measurement and tags: two points with equal series and time silently become one.
    pub fn series(&self) -> u64 {
        self.series
    }

    /// Nanoseconds since 1970.
    pub fn time(&self) -> i64 {
        self.time
    }

    /// Appends the line, with `time` in nanoseconds and the line feed.
    pub fn write(&self, time: i64, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.line);
        out.push(b' ');
        out.extend_from_slice(time.to_string().as_bytes());
        out.push(b'\n');
    }

    /// Bytes that [`Self::write`] appends, at most.
    pub fn size(&self) -> usize {
        self.line.len() + 22
    }
}

/// The `call` point of an attempt, at the attempt's end; and a `registration` point where it registered.
pub fn points_of(record: &CallRecord) -> Vec<Point> {
    let Ok(Value::Object(values)) = serde_json::to_value(record) else { return Vec::new() };
    let values: Vec<(&str, &Value)> = values.iter().map(|(name, value)| (name.as_str(), value)).collect();
    let time = nanoseconds(record.ended_at);
    let call = Point::new("call", tags_of(&values), fields_of(&values), time);
    call.into_iter().chain(registration_of(record, &values)).collect()
}

/// The `window` point.
pub fn point_of_window(window: &WindowPoint) -> Option<Point> {
    let tags = [
        ("probe", window.probe.as_deref().unwrap_or("")),
        ("scenario", &window.scenario),
        ("site", window.site.as_deref().unwrap_or("")),
        ("target", &window.target),
    ];
    let fields = window.fields.iter().map(|(name, field)| (name.as_str(), field.clone()));
    Point::new("window", tags, fields, nanoseconds(window.time))
}

/// An attempt registered when it only did that, when it knows how long that took, or when that is why it failed.
fn registration_of(record: &CallRecord, values: &[(&str, &Value)]) -> Option<Point> {
    let refused = record.class.name().starts_with("reg.");
    if record.role != Role::Registration && record.rrd_ms.is_none() && !refused {
        return None;
    }
    // A call that went wrong later than its registration must not count as a failed registration.
    let own = record.role == Role::Registration || refused;
    let class = if own { record.class } else { Class::Ok };
    let code = if own { record.code } else { Some(200) };
    let tags = tags_of(values)
        // Here the code is a field: a name that is both makes InfluxQL rename one of them.
        .filter(|(key, _)| !matches!(*key, "code" | "grade"))
        .map(|(key, value)| if key == "class" { (key, Cow::Borrowed(class.name())) } else { (key, value) });
    let fields = [
        ("call_id", Some(Field::Text(record.call_id.clone()))),
        ("agent", record.agent.clone().map(Field::Text)),
        ("account", record.account.clone().map(Field::Text)),
        ("rrd_ms", record.rrd_ms.map(Field::Float)),
        ("code", code.map(|code| Field::Integer(code.into()))),
    ];
    let fields = fields.into_iter().filter_map(|(key, field)| Some((key, field?)));
    Point::new("registration", tags, fields, nanoseconds(record.ended_at))
}

fn tags_of<'a>(values: &[(&'a str, &'a Value)]) -> impl Iterator<Item = (&'a str, Cow<'a, str>)> {
    TAGS.into_iter().filter_map(|tag| {
        let (_, value) = values.iter().find(|(name, _)| *name == tag)?;
        match value {
            Value::String(text) => Some((tag, Cow::Borrowed(text.as_str()))),
            Value::Number(number) => Some((tag, Cow::Owned(number.to_string()))),
            _ => None,
        }
    })
}

fn fields_of<'a>(values: &[(&'a str, &'a Value)]) -> impl Iterator<Item = (&'a str, Field)> {
    values.iter().filter(|(name, _)| !TAGS.contains(name)).filter_map(|(name, value)| Some((*name, field_of(value)?)))
}

/// JSON keeps apart `3` and `3.0`, so each name keeps the type it has in the record.
fn field_of(value: &Value) -> Option<Field> {
    match value {
        Value::Null | Value::Object(_) => None,
        Value::Bool(value) => Some(Field::Bool(*value)),
        Value::Number(number) if number.is_f64() => number.as_f64().map(Field::Float),
        // Unsigned numbers are refused by 1.x; a count above 2⁶³ does not happen.
        Value::Number(number) => number.as_i64().map(Field::Integer),
        Value::String(text) => Some(Field::Text(text.clone())),
        Value::Array(items) => {
            let items: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            (!items.is_empty()).then(|| Field::Text(items.join(" ")))
        }
    }
}

fn known(field: Field) -> Option<Field> {
    match field {
        Field::Float(value) => value.is_finite().then_some(Field::Float(value)),
        Field::Text(text) => Some(Field::Text(without_controls(&text, MAX_TEXT))),
        other => Some(other),
    }
}

fn tag_value(value: &str) -> String {
    without_controls(value, MAX_TAG).replace('\\', "/").trim().to_owned()
}

fn without_controls(text: &str, longest: usize) -> String {
    let fits = text.char_indices().take_while(|(at, c)| at + c.len_utf8() <= longest);
    fits.map(|(_, c)| if c.is_control() { ' ' } else { c }).collect()
}

fn nanoseconds(time: Timestamp) -> i64 {
    // Years 1677 to 2262 fit; InfluxDB refuses times outside them.
    i64::try_from(time.as_nanosecond()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(tags: &[(&str, &str)], fields: Vec<(&str, Field)>) -> Option<String> {
        let point = Point::new("m", tags.iter().copied(), fields, 7)?;
        let mut out = Vec::new();
        point.write(point.time(), &mut out);
        Some(String::from_utf8(out).expect("UTF-8"))
    }

    fn record() -> CallRecord {
        serde_json::from_str(include_str!("../../tests/data/influx/record.json")).expect("a complete record")
    }

    fn text(points: &[Point]) -> String {
        let mut out = Vec::new();
        points.iter().for_each(|point| point.write(point.time(), &mut out));
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn a_record_becomes_the_lines_of_the_golden_file() {
        let window = WindowPoint {
            time: "2026-01-02T03:04:05Z".parse().expect("valid"),
            scenario: "outbound dial".into(),
            target: "lab".into(),
            site: None,
            probe: None,
            fields: vec![
                ("started".into(), Field::Integer(100)),
                ("cps".into(), Field::Float(100.0)),
                ("srd_ms_p99".into(), Field::Float(f64::NAN)),
                ("srd_ms_p50".into(), Field::Float(12.25)),
            ],
        };
        let mut points = points_of(&record());
        points.extend(point_of_window(&window));
        assert_eq!(text(&points), include_str!("../../tests/data/influx/points.lp"));
    }

    #[test]
    fn each_line_is_read_back_by_a_parser_of_line_protocol() {
        let lines = text(&points_of(&record()));
        for line in influxdb_line_protocol::parse_lines(&lines) {
            let line = line.expect("valid");
            assert_eq!(line.timestamp, Some(1_767_323_045_123_456_789));
        }
    }

    #[test]
    fn a_trailing_backslash_of_a_tag_becomes_a_slash() {
        let fields = || vec![("f", Field::Integer(1))];
        assert_eq!(line(&[("t", "a\\")], fields()).as_deref(), Some("m,t=a/ f=1i 7\n"));
    }

    #[test]
    fn a_trailing_backslash_of_a_text_is_doubled() {
        assert_eq!(line(&[], vec![("f", Field::Text("a\\".into()))]).as_deref(), Some("m f=\"a\\\\\" 7\n"));
    }

    #[test]
    fn a_newline_in_a_tag_or_text_becomes_a_space() {
        let fields = vec![("f", Field::Text("x\r\ny".into()))];
        assert_eq!(line(&[("t", "a\nb")], fields).as_deref(), Some("m,t=a\\ b f=\"x  y\" 7\n"));
    }

    #[test]
    fn nan_and_infinity_are_left_out_and_a_point_without_fields_is_none() {
        let fields = vec![("a", Field::Float(f64::INFINITY)), ("b", Field::Float(0.5)), ("c", Field::Float(f64::NAN))];
        assert_eq!(line(&[], fields).as_deref(), Some("m b=0.5 7\n"));
        assert_eq!(line(&[], vec![("a", Field::Float(f64::NAN))]), None);
    }

    #[test]
    fn a_tag_that_is_empty_or_only_white_is_left_out() {
        let fields = vec![("f", Field::Bool(true))];
        assert_eq!(line(&[("a", ""), ("b", "\n"), ("c", "x")], fields).as_deref(), Some("m,c=x f=true 7\n"));
    }

    #[test]
    fn numbers_are_signed_or_floats_never_unsigned() {
        assert_eq!(field_of(&serde_json::json!(1_u64)), Some(Field::Integer(1)));
        assert_eq!(field_of(&serde_json::json!(1.0)), Some(Field::Float(1.0)));
        assert_eq!(field_of(&serde_json::json!(u64::MAX)), None);
    }

    #[test]
    fn an_over_long_text_is_cut_between_characters() {
        let cut = without_controls(&"é".repeat(MAX_TEXT), 5);
        assert_eq!(cut, "éé");
    }

    #[test]
    fn a_call_that_failed_after_its_registration_counts_as_registered() {
        let mut record = record();
        record.class = Class::CallCalleeBusy;
        record.code = Some(486);
        let lines = text(&points_of(&record));
        let registration = lines.lines().find(|line| line.starts_with("registration,")).expect("one");
        assert!(registration.contains("class=ok,") && registration.contains(",code=200i "), "{registration}");
    }

    #[test]
    fn a_refused_registration_has_a_point_with_its_own_class_and_code() {
        let mut record = record();
        (record.rrd_ms, record.class, record.code) = (None, Class::RegForbidden, Some(403));
        let lines = text(&points_of(&record));
        let registration = lines.lines().find(|line| line.starts_with("registration,")).expect("one");
        assert!(registration.contains("class=reg.forbidden,"), "{registration}");
        assert!(registration.contains(",code=403i ") && !registration.contains("rrd_ms"), "{registration}");
    }
}
