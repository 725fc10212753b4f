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

use crate::measure::{Seizure, Window, ineffective_registration};
use crate::record::{CallRecord, Direction, Identity, MediaSecond, RegistrationRecord};
use crate::report::Limit;

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
        let distributions = [
            ("srd_ms", &window.srd_ms),
            ("setup_ms", &window.setup_ms),
            ("mos_cq", &window.mos_cq),
            ("turn_ms", &window.turn_ms),
        ];
        for (name, percentiles) in distributions {
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
pub fn points_of(record: &CallRecord, registration: Option<&RegistrationRecord>) -> Vec<Point> {
    let Ok(Value::Object(values)) = serde_json::to_value(record) else { return Vec::new() };
    let video = values.get("video").and_then(Value::as_object).into_iter().flatten();
    let video: Vec<(String, &Value)> = video.map(|(name, value)| (format!("video_{name}"), value)).collect();
    let values = values.iter().map(|(name, value)| (name.as_str(), value));
    let values: Vec<(&str, &Value)> = values.chain(video.iter().map(|(name, value)| (name.as_str(), *value))).collect();
    let time = nanoseconds(record.ended_at);
    let fields = fields_of(&values).chain(seizure_of(record));
    let call = Point::new("call", tags_of(&values), fields, time);
    let registration = registration.and_then(|registration| point_of_registration(record, registration, &values));
    call.into_iter().chain(registration).collect()
}

/// 1 or 0 for each call that counts, so that `100 * mean("answered")` is its ASR, `100 * mean("effective")` its NER and
/// `100 * mean("ser")` its SER: InfluxQL cannot divide counts of different conditions. SER and SEER leave redirected calls
/// out.
fn seizure_of<'a>(record: &CallRecord) -> impl Iterator<Item = (&'a str, Field)> + use<'a> {
    // Calls of the warm-up are no part of any share.
    let fields = Seizure::of(&record.outcome()).filter(|_| !record.warm_up).map(|seizure| {
        let established = (!seizure.redirected).then_some(seizure.answered);
        [
            ("answered", Some(seizure.answered)),
            ("effective", Some(seizure.effective)),
            ("ser", established),
            ("seer", established.map(|answered| answered || seizure.callee_side)),
            ("isa", Some(seizure.ineffective)),
            ("scr", Some(seizure.completed)),
        ]
    });
    fields.into_iter().flatten().filter_map(|(name, counts)| Some((name, Field::Integer(counts?.into()))))
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

/// A limit that was found, and whose it is.
#[derive(Clone, Copy, Debug)]
pub struct LimitPoint<'a> {
    /// The end of the search.
    pub time: Timestamp,
    /// The scenario's name.
    pub scenario: &'a str,
    /// The target's name.
    pub target: &'a str,
    /// The probe's site.
    pub site: Option<&'a str>,
    /// The limit.
    pub limit: &'a Limit,
}

/// The `limit` point.
pub fn point_of_limit(LimitPoint { time, scenario, target, site, limit }: &LimitPoint<'_>) -> Option<Point> {
    let tags = [
        ("scenario", *scenario),
        ("site", site.unwrap_or("")),
        ("target", *target),
        ("trunk", limit.trunk.as_deref().unwrap_or("")),
    ];
    let count = |value: u64| Field::Integer(i64::try_from(value).unwrap_or(i64::MAX));
    let text = |value: &str| Field::Text(value.to_owned());
    let fields = [
        ("of", Some(text(&limit.of))),
        ("measured", limit.measured.map(count)),
        ("least", limit.range.map(|(least, _)| count(least))),
        ("greatest", limit.range.map(|(_, greatest)| count(greatest))),
        ("contracted", limit.contracted.map(count)),
        ("proved", Some(Field::Integer(limit.proved.into()))),
        ("finding", limit.finding.map(|finding| text(finding.name()))),
        ("scope", limit.scope.as_deref().map(text)),
        ("code", limit.code.map(|code| Field::Integer(code.into()))),
        ("reason", limit.reason.as_deref().map(text)),
        ("freed_after_ms", limit.freed_after_ms.map(Field::Float)),
        ("text", Some(text(&limit.text))),
    ];
    let known = fields.into_iter().filter_map(|(name, field)| Some((name, field?)));
    Point::new("limit", tags, known, nanoseconds(*time))
}

/// The `media` point of one second of a leg. Without class and code: they are not known before the end.
pub fn point_of_second(MediaSecond { identity, at, second }: &MediaSecond) -> Option<Point> {
    let fields = [
        ("call_id", Some(Field::Text(identity.call_id.clone()))),
        ("loss_pct", second.loss_pct.map(Field::Float)),
        ("jitter_ms", second.jitter_ms.map(Field::Float)),
        ("rtt_ms", second.rtt_ms.map(Field::Float)),
        ("mos_lq", second.mos_lq.map(Field::Float)),
        ("mos_cq", second.mos_cq.map(Field::Float)),
        ("level_dbov", second.level_dbov.map(Field::Float)),
        ("grade", second.grade.map(|grade| Field::Text(grade.name().to_owned()))),
    ];
    let fields = fields.into_iter().filter_map(|(key, field)| Some((key, field?)));
    Point::new("media", tags_of_leg(identity), fields, nanoseconds(*at))
}

fn tags_of_leg(identity: &Identity) -> [(&'static str, &str); 11] {
    let direction = match identity.direction {
        Direction::Outbound => "outbound",
        Direction::Inbound => "inbound",
    };
    [
        ("carrier", text(&identity.carrier)),
        ("direction", direction),
        ("gateway", text(&identity.gateway)),
        ("hotline", text(&identity.hotline)),
        ("probe", text(&identity.probe)),
        ("scenario", &identity.scenario),
        ("site", text(&identity.site)),
        ("target", &identity.target),
        ("transport", text(&identity.transport)),
        ("trunk", text(&identity.trunk)),
        ("unit", text(&identity.unit)),
    ]
}

/// A tag that is empty is left out.
fn text(value: &Option<String>) -> &str {
    value.as_deref().unwrap_or("")
}

fn point_of_registration(
    record: &CallRecord,
    registration: &RegistrationRecord,
    values: &[(&str, &Value)],
) -> Option<Point> {
    let class = registration.class.name();
    let ineffective = ineffective_registration(registration.class, registration.code, registration.rrd_ms);
    let tags = tags_of(values)
        // Here the code is a field: a name that is both makes InfluxQL rename one of them.
        .filter(|(key, _)| !matches!(*key, "code" | "grade"))
        .map(|(key, value)| if key == "class" { (key, Cow::Borrowed(class)) } else { (key, value) });
    let fields = [
        ("call_id", Some(Field::Text(record.call_id.clone()))),
        ("agent", record.agent.clone().map(Field::Text)),
        ("account", record.account.clone().map(Field::Text)),
        ("rrd_ms", registration.rrd_ms.map(Field::Float)),
        ("code", registration.code.map(|code| Field::Integer(code.into()))),
        ("ira", ineffective.filter(|_| !record.warm_up).map(|it| Field::Integer(it.into()))),
        ("expires_s", registration.expires_s.map(|expires| Field::Integer(expires.into()))),
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

pub(super) fn nanoseconds(time: Timestamp) -> i64 {
    // Years 1677 to 2262 fit; InfluxDB refuses times outside them.
    i64::try_from(time.as_nanosecond()).unwrap_or(0)
}

#[cfg(test)]
#[path = "line_tests.rs"]
mod tests;
