//! Dashboards ask only for what is written: measurements, tags and fields are taken from lines that the sink makes of
//! results in which everything is known.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use influxdb_line_protocol::parse_lines;
use ringfleet::incident::{Change, Incident};
use ringfleet::measure::Window;
use ringfleet::media::grade::Grade;
use ringfleet::media::session::Second;
use ringfleet::record::{CallRecord, Class, Identity, MediaSecond, RegistrationRecord};
use ringfleet::report::{Limit, SinkCounts};
use ringfleet::sink::line::{self, LimitPoint, Point, WindowPoint};
use ringfleet::sink::{IncidentPoint, ProbeHealth, ProbePoint, point_of_incident, point_of_probe};
use serde_json::{Value, json};

use crate::scenarios::root;

/// Words of InfluxQL that the dashboards use, upper case; everything else stands in quotes.
const WORDS: [&str; 29] = [
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP",
    "BY",
    "ORDER",
    "DESC",
    "LIMIT",
    "AND",
    "OR",
    "AS",
    "SHOW",
    "TAG",
    "VALUES",
    "WITH",
    "KEY",
    "TIME",
    "FILL",
    "NONE",
    "COUNT",
    "SUM",
    "MEAN",
    "MIN",
    "MAX",
    "LAST",
    "BOTTOM",
    "MEDIAN",
    "TRUE",
    "NON_NEGATIVE_DERIVATIVE",
];

/// Tags and fields by measurement.
type Names = BTreeMap<String, BTreeSet<String>>;

/// A record in which each name has a value: what is `null` gets one of the type that its name takes.
fn complete_record() -> CallRecord {
    let record: CallRecord =
        serde_json::from_str(include_str!("../data/influx/record.json")).expect("a complete record");
    let mut value = serde_json::to_value(record).expect("JSON");
    let unknown: Vec<String> =
        value.as_object().expect("an object").iter().filter(|(_, v)| v.is_null()).map(|(k, _)| k.clone()).collect();
    for name in unknown {
        let takes = |with: &Value| {
            let mut value = value.clone();
            value[&name] = with.clone();
            serde_json::from_value::<CallRecord>(value).is_ok()
        };
        let with = [json!(1.5), json!(1), json!(true), json!("x")].into_iter().find(takes);
        value[&name] = with.unwrap_or_else(|| panic!("{name}: no value fits"));
    }
    (value["invited"], value["carrier"]) = (json!(true), json!("x"));
    serde_json::from_value(value).expect("a record")
}

fn everything() -> Vec<Point> {
    let record = complete_record();
    let registration = RegistrationRecord { class: Class::Ok, code: Some(200), rrd_ms: Some(1.0), expires_s: Some(60) };
    let x = || Some("x".to_owned());
    let identity = Identity {
        call_id: "x".into(),
        scenario: "x".into(),
        target: "x".into(),
        site: x(),
        probe: x(),
        unit: x(),
        transport: x(),
        hotline: x(),
        trunk: x(),
        carrier: x(),
        gateway: x(),
        ..Identity::default()
    };
    let second = Second {
        end: ringfleet::net::clock::now(),
        loss_pct: Some(0.0),
        jitter_ms: Some(0.0),
        rtt_ms: Some(0.0),
        level_dbov: Some(0.0),
        mos_lq: Some(1.0),
        mos_cq: Some(1.0),
        grade: Some(Grade::Good),
    };
    let known = json!({ "p10": 1.0, "p50": 1.0, "p99": 1.0 });
    let window: Window = serde_json::from_value(json!({
        "at": record.ended_at, "seconds": 1.0, "started": 1, "dropped": 0, "answered": 1, "failed": 0, "classes": {},
        "concurrent": 1, "cps": 1.0, "srd_ms": known, "setup_ms": known, "mos_cq": known, "late_ms": 0.0,
        "turn_ms": known,
    }))
    .expect("a window");
    let mut points = line::points_of(&record, Some(&registration));
    points.extend(line::point_of_second(&MediaSecond { identity, at: record.ended_at, second }));
    points.extend(line::point_of_window(&WindowPoint::of(&window, "x", "x", Some("x"))));
    let limit: Limit = serde_json::from_value(json!({
        "of": "concurrent_calls", "trunk": "x", "measured": 5, "range": [5, 6], "contracted": 5,
        "finding": "call.trunk_saturated", "scope": "shown", "code": 503, "reason": "x", "proved": 2,
        "freed_after_ms": 1.0, "call_ids": [], "text": "x",
    }))
    .expect("a limit");
    let time = record.ended_at;
    points.extend(line::point_of_limit(&LimitPoint {
        time,
        scenario: "x",
        target: "x",
        site: Some("x"),
        limit: &limit,
    }));
    let incident = incident();
    let change = Change::Opened;
    points.extend(point_of_incident(&IncidentPoint { time, site: Some("x"), change, incident: &incident }));
    let sink = Some((SinkCounts::default(), true));
    let health = ProbeHealth { late_ms: Some(1.0), sink, ..ProbeHealth::default() };
    points.extend(point_of_probe(&ProbePoint { time, site: Some("x"), probe: "x", health }));
    points
}

fn incident() -> Incident {
    let call = json!({ "call_id": "x", "sip_call_id": "x", "at": "2026-03-01T10:20:30Z" });
    serde_json::from_value(json!({
        "id": "x", "scope": "trunk", "value": "x", "candidates": [], "undecided": null, "symptom": "call.network_failed",
        "finding": "line.down", "severity": "critical", "widespread": true, "unit": "x", "since": "2026-03-01T10:20:30Z",
        "opened_at": "2026-03-01T10:20:30Z", "updated_at": "2026-03-01T10:20:30Z", "closed_at": null, "failures": 1,
        "tested": 1, "agents_failing": 1, "agents_tested": 1, "reproduced": true, "confidence": 1.0, "codes": [],
        "symptoms": [], "shared": [], "first_call": call, "last_call": call, "reopened": 0, "merged_into": null,
        "split_from": null,
    }))
    .expect("an incident")
}

fn written() -> Names {
    let mut text = Vec::new();
    everything().iter().for_each(|point| point.write(point.time(), &mut text));
    let mut names = Names::new();
    for line in parse_lines(std::str::from_utf8(&text).expect("UTF-8")) {
        let line = line.expect("valid");
        let of = names.entry(line.series.measurement.to_string()).or_default();
        of.extend(line.series.tag_set.iter().flatten().map(|(name, _)| name.to_string()));
        of.extend(line.field_set.iter().map(|(name, _)| name.to_string()));
    }
    names
}

fn dashboards() -> Vec<(String, Value)> {
    let files = fs::read_dir(root().join("dashboards")).expect("there").flatten().map(|entry| entry.path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    files
        .map(|path| {
            let text = fs::read_to_string(&path).expect("readable");
            let name = path.file_name().expect("a file").to_string_lossy().into_owned();
            (name, serde_json::from_str(&text).expect("JSON"))
        })
        .collect()
}

/// Every query of a dashboard and where it stands.
fn queries(dashboard: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut found = Vec::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        let title = text(&panel["title"]);
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        assert!(panel["type"] == "row" || !targets.is_empty(), "{title} asks for nothing");
        found.extend(targets.iter().map(|target| (title.clone(), text(&target["query"]))));
    }
    let variables = dashboard["templating"]["list"].as_array().expect("variables");
    let asking = variables.iter().filter(|variable| variable["type"] == "query");
    found.extend(asking.map(|variable| (text(&variable["name"]), text(&variable["query"]))));
    found
}

/// What a query holds: words, "names", and nothing of 'texts', /patterns/, numbers and $variables.
fn tokens(query: &str) -> Vec<(bool, String)> {
    let mut tokens = Vec::new();
    let mut rest = query;
    while let Some(first) = rest.chars().next() {
        let quoted = |rest: &str| rest[1..].find(first).map(|end| end + 1).unwrap_or_else(|| panic!("open: {rest}"));
        let end = match first {
            '"' => {
                let end = quoted(rest);
                tokens.push((true, rest[1..end].to_owned()));
                end + 1
            }
            '\'' | '/' => quoted(rest) + 1,
            // `5` and `5m` alike.
            first if first.is_ascii_digit() => rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len()),
            first if first.is_ascii_alphabetic() || first == '$' => {
                let end =
                    rest[1..].find(|c: char| !c.is_ascii_alphanumeric() && c != '_').map_or(rest.len(), |end| end + 1);
                if first != '$' {
                    tokens.push((false, rest[..end].to_owned()));
                }
                end
            }
            first => first.len_utf8(),
        };
        rest = &rest[end..];
    }
    tokens
}

/// What is wrong with a query.
fn mistakes(query: &str, written: &Names) -> Vec<String> {
    let tokens = tokens(query);
    let after = |word: &str| {
        let pairs = tokens.windows(2).filter(move |pair| !pair[0].0 && pair[0].1.eq_ignore_ascii_case(word));
        pairs.filter(|pair| pair[1].0).map(|pair| pair[1].1.clone()).collect::<BTreeSet<_>>()
    };
    let (measurements, aliases) = (after("FROM"), after("AS"));
    let mut mistakes = Vec::new();
    if measurements.is_empty() {
        mistakes.push("asks of no measurement".to_owned());
    }
    for (name, text) in &tokens {
        let known = match name {
            false => {
                WORDS.iter().any(|word| text.eq_ignore_ascii_case(word)) || text.eq_ignore_ascii_case("percentile")
            }
            true if measurements.contains(text) => written.contains_key(text),
            true if aliases.contains(text) => true,
            true => measurements.iter().all(|of| written.get(of).is_some_and(|names| names.contains(text))),
        };
        if !known {
            mistakes.push(format!("`{text}` is not written"));
        }
    }
    mistakes
}

#[test]
fn every_query_names_only_what_is_written() {
    let (written, mut asked) = (written(), 0);
    for (file, dashboard) in dashboards() {
        for (place, query) in queries(&dashboard) {
            assert_eq!(mistakes(&query, &written), [""; 0], "{file}, {place}: {query}");
            asked += 1;
        }
    }
    assert!(asked >= 100, "{asked} queries");
    let rules = fs::read_to_string(root().join("dashboards/provisioning/alerting/ringfleet.yaml")).expect("there");
    let asked: Vec<String> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("query: '")?.strip_suffix('\''))
        .map(|query| query.replace("''", "'"))
        .collect();
    for query in &asked {
        assert_eq!(mistakes(query, &written), [""; 0], "alert rule: {query}");
    }
    assert_eq!(asked.len(), 5);
}

/// What a line writes in a day on which it shows every grade and fails in fourteen ways, twice as many as any that was seen.
#[test]
fn a_line_has_no_more_than_thirty_series() {
    let base: CallRecord = serde_json::from_str(include_str!("../data/influx/record.json")).expect("a record");
    let answered = |class| {
        let grades = ["good", "medium", "poor", "unusable"];
        grades.map(|grade| CallRecord { class, code: Some(200), grade: Some(grade.into()), ..base.clone() })
    };
    let refused = [
        (Class::CallNetworkFailed, 503),
        (Class::CallNetworkFailed, 502),
        (Class::CallServerError, 500),
        (Class::CallTimeout, 408),
        (Class::CallCalleeBusy, 486),
        (Class::CallCalleeUnreachable, 480),
        (Class::CallNoAnswer, 480),
        (Class::CallCongestion, 503),
        (Class::CallForbidden, 403),
        (Class::CallNumberInvalid, 404),
        (Class::RegTimeout, 408),
        (Class::RegForbidden, 403),
    ];
    let refused = refused.map(|(class, code)| CallRecord { class, code: Some(code), grade: None, ..base.clone() });
    let mut series = BTreeSet::new();
    for record in answered(Class::Ok).into_iter().chain(answered(Class::MediaOneWay)).chain(refused) {
        let registered = if record.class.is_of_registration() { record.class } else { Class::Ok };
        let registration = RegistrationRecord { class: registered, code: None, rrd_ms: Some(1.0), expires_s: None };
        series.extend(line::points_of(&record, Some(&registration)).iter().map(Point::series));
    }
    let of_calls = series.len();
    assert_eq!(of_calls, 4 + 4 + 12 + 3, "calls, and how registrations ended");
    let second = everything().into_iter().filter(|point| !series.contains(&point.series())).count();
    assert!(of_calls + second <= 30, "with media, window, limit, incident and probe: {}", of_calls + second);
}

/// InfluxQL's percentile takes the value at rank ⌊n·p/100 + ½⌋: for p = 10 there is none among one to four values, and a
/// line that is called once a minute showed nothing. Of the values below zero, 90 % gives the same figure and the lowest of few.
#[test]
fn bug_no_query_asks_for_a_percentile_that_few_calls_do_not_have() {
    let rules = fs::read_to_string(root().join("dashboards/provisioning/alerting/ringfleet.yaml")).expect("there");
    let of_boards = dashboards().into_iter().flat_map(|(_, dashboard)| queries(&dashboard)).map(|(_, query)| query);
    let (mut asked, mut lowest) = (0, 100);
    for query in of_boards.chain([rules]) {
        for asked_for in query.split("percentile(").skip(1) {
            let percent = asked_for.split([',', ')']).nth(1).and_then(|percent| percent.trim().parse().ok());
            lowest = lowest.min(percent.unwrap_or_else(|| panic!("a percentile without a number: {query}")));
            asked += 1;
        }
    }
    assert!(asked >= 30 && lowest >= 50, "{asked} percentiles, the lowest {lowest}");
}

#[test]
fn a_query_that_names_what_is_not_written_is_found() {
    let written = written();
    for (query, wrong) in [
        (r#"SELECT mean("setup_msec") FROM "call""#, "setup_msec"),
        (r#"SELECT mean("setup_ms") FROM "calls""#, "calls"),
        (r#"SELECT mean("loss_pct") FROM "media" WHERE "class" = 'ok'"#, "class"),
        (r#"SELECT mean(setup_ms) FROM "call""#, "setup_ms"),
        (r#"SHOW TAG VALUES FROM "window" WITH KEY = "trunk""#, "trunk"),
    ] {
        let mistakes = mistakes(query, &written);
        assert!(mistakes.iter().any(|mistake| mistake.contains(&format!("`{wrong}`"))), "{query}: {mistakes:?}");
    }
}

#[test]
fn dashboards_ask_the_provisioned_datasource_and_have_names_of_their_own() {
    let provisioned =
        fs::read_to_string(root().join("dashboards/provisioning/datasources/influxdb.yaml")).expect("there");
    let mut uids = BTreeSet::new();
    for (file, dashboard) in dashboards() {
        assert!(uids.insert(dashboard["uid"].to_string()), "{file}: its uid is another's");
        let mut ids = BTreeSet::new();
        for panel in dashboard["panels"].as_array().expect("panels") {
            assert!(ids.insert(panel["id"].as_u64()), "{file}: two panels have the id {}", panel["id"]);
            for target in panel["targets"].as_array().into_iter().flatten() {
                let uid = target["datasource"]["uid"].as_str().expect("a uid");
                assert!(provisioned.contains(&format!("uid: {uid}\n")), "{file}: {uid} is not provisioned");
            }
        }
    }
    assert_eq!(uids.len(), 5);
}
