//! Results against each way in which a server fails: every point is delivered exactly once, waits in the spool, or
//! is a dead letter; and the counts say which.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use ringfleet::media::session::Second;
use ringfleet::record::{CallRecord, Class, Identity, MediaSecond, RegistrationRecord};
use ringfleet::sink::influx::{Credentials, InfluxTarget, TimeOuts};
use ringfleet::sink::{Collector, FlushError, Item, RunFolder, Settings, SinkReport, flush};
use ringfleet::units::Secret;
use serde_json::{Value, json};

use crate::influx_front::{Config, Fault, Front, Store};

/// Long enough for each test, and never waited for when all is well.
const DEADLINE: Duration = Duration::from_secs(20);

fn record(n: usize) -> CallRecord {
    let mut record: CallRecord =
        serde_json::from_str(include_str!("../data/influx/record.json")).expect("a complete record");
    record.call_id = format!("call-{n}");
    // Thirty attempts each end at the very same moment; two runs never do.
    record.ended_at += Duration::from_micros(n as u64 / 30);
    // Every third attempt registered too, and has a second point.
    record.rrd_ms = n.is_multiple_of(3).then_some(3.5);
    record
}

fn offer(collector: &Collector, record: &CallRecord) {
    let rrd_ms = record.rrd_ms;
    let registration = RegistrationRecord { class: Class::Ok, code: Some(200), rrd_ms, expires_s: Some(300) };
    collector.offer(Item::Call(record, rrd_ms.map(|_| &registration)));
}

fn call_ids(count: usize) -> Vec<String> {
    let ids: BTreeSet<String> = (0..count).map(|n| format!("call-{n}")).collect();
    ids.into_iter().collect()
}

fn settings() -> Settings {
    Settings {
        flush_every: Duration::from_millis(5),
        retry_first: Duration::from_millis(5),
        retry_longest: Duration::from_millis(40),
        time_outs: TimeOuts { connect: Duration::from_millis(500), request: Duration::from_secs(5) },
        ..Settings::default()
    }
}

fn target(front: &Front) -> InfluxTarget {
    target_at(&front.addr.to_string(), "t0ken")
}

fn target_at(address: &str, token: &str) -> InfluxTarget {
    let url = format!("http://{address}?org=o&bucket=b");
    InfluxTarget::from_url(&url, Credentials::token(token)).expect("a valid target")
}

/// A run of `count` attempts.
fn run(target: &InfluxTarget, dir: &Path, count: usize, settings: Settings, deadline: Duration) -> SinkReport {
    let collector = Collector::start(target, dir, settings).expect("starts");
    (0..count).for_each(|n| offer(&collector, &record(n)));
    collector.finish(deadline)
}

fn counts(report: &SinkReport) -> [u64; 5] {
    let counts = report.counts;
    assert_eq!(counts.measured, counts.written + counts.spooled + counts.rejected, "{counts:?}");
    [counts.measured, counts.written, counts.spooled, counts.rejected, counts.dropped]
}

fn assert_all_delivered_once(store: &Store, report: &SinkReport, count: usize) {
    let points = (count + count.div_ceil(3)) as u64;
    assert_eq!(counts(report), [points, points, 0, 0, 0]);
    assert_eq!(store.values("call", "call_id"), call_ids(count));
    assert_eq!(store.points.len() as u64, points);
    assert_eq!(store.overwritten, 0);
}

/// Runs 60 attempts against a front with these faults and expects each point once.
fn survives(faults: Vec<Fault>, config: Config) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let front = Front::start(config).expect("starts");
    front.fail_next(faults);
    let report = run(&target(&front), dir.path(), 60, settings(), DEADLINE);
    assert_all_delivered_once(&front.store(), &report, 60);
    let left: Vec<_> = fs::read_dir(dir.path().join("spool/influxdb")).expect("there").flatten().collect();
    let mut names: Vec<_> = left.iter().map(|entry| entry.file_name()).collect();
    names.sort();
    assert_eq!(names, ["lock", "sink.json"], "nothing is left");
}

fn status(status: u16) -> Fault {
    Fault::Status(status, None)
}

#[test]
fn a_good_server_gets_each_point_once_though_all_calls_ended_at_the_same_moment() {
    survives(vec![], Config::default());
}

#[test]
fn seconds_of_media_are_delivered_once_and_counted_with_the_rest() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let front = Front::start(Config::default()).expect("starts");
    front.fail_next([status(503), Fault::StoredThenDrop]);
    let collector = Collector::start(&target(&front), dir.path(), settings()).expect("starts");
    let at = record(0).ended_at;
    for n in 0..40 {
        // Twenty legs, two seconds each: the legs of one line share a series, and end their seconds together.
        let identity = Identity { call_id: format!("call-{}", n % 20), scenario: "s".into(), ..Identity::default() };
        let at = at + Duration::from_secs(n / 20);
        let second = Second {
            end: ringfleet::net::clock::now(),
            loss_pct: Some(n as f64),
            jitter_ms: None,
            rtt_ms: None,
            level_dbov: None,
            mos_lq: None,
            mos_cq: None,
            grade: None,
        };
        collector.offer(Item::Second(&MediaSecond { identity, at, second }));
    }
    offer(&collector, &record(1));
    let report = collector.finish(DEADLINE);
    assert_eq!(counts(&report), [41, 41, 0, 0, 0]);
    let store = front.store();
    let twice: Vec<String> = (0..20).map(|n| format!("call-{n}")).flat_map(|id| [id.clone(), id]).collect();
    let mut stored = store.values("media", "call_id");
    let mut wanted = twice;
    wanted.sort();
    stored.sort();
    assert_eq!(stored, wanted);
    assert_eq!((store.values("media", "loss_pct").len(), store.overwritten), (40, 0));
}

#[test]
fn overload_and_server_errors_are_survived() {
    survives(vec![status(503), status(500), status(502), status(504), status(429)], Config::default());
}

#[test]
fn a_hang_is_survived_by_the_time_out() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let front = Front::start(Config::default()).expect("starts");
    front.fail_next([Fault::Hang]);
    let mut settings = settings();
    // Of the later requests each is answered in time, on a busy machine too.
    settings.time_outs.request = Duration::from_secs(1);
    let report = run(&target(&front), dir.path(), 60, settings, DEADLINE);
    assert_all_delivered_once(&front.store(), &report, 60);
    assert_eq!(report.last_error.as_deref(), Some("the server did not answer in time"));
}

#[test]
fn a_dropped_connection_is_survived() {
    survives(vec![Fault::Drop, Fault::Drop], Config::default());
}

#[test]
fn lines_stored_before_the_connection_was_lost_are_not_doubled() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let front = Front::start(Config::default()).expect("starts");
    front.fail_next([Fault::StoredThenDrop]);
    let report = run(&target(&front), dir.path(), 60, settings(), DEADLINE);
    assert_all_delivered_once(&front.store(), &report, 60);
    assert!(front.store().repeated > 0, "the fault happened");
}

#[test]
fn a_body_that_is_too_large_is_split() {
    survives(vec![], Config { max_body: 4_000, ..Config::default() });
}

#[test]
fn a_token_that_is_refused_for_a_while_loses_nothing() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let front = Front::start(Config::default()).expect("starts");
    front.fail_next([status(401), status(403), status(404)]);
    let collector = Collector::start(&target(&front), dir.path(), settings()).expect("starts");
    (0..60).for_each(|n| offer(&collector, &record(n)));
    wait_until("the token is good again", || collector.counts().written == 80);
    assert_all_delivered_once(&front.store(), &collector.finish(DEADLINE), 60);
}

#[test]
fn retry_after_is_honoured_in_seconds() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let front = Front::start(Config::default()).expect("starts");
    front.fail_next([Fault::Status(429, Some("1".into()))]);
    let collector = Collector::start(&target(&front), dir.path(), settings()).expect("starts");
    offer(&collector, &record(1));
    let report = collector.finish(Duration::from_millis(700));
    assert_eq!(counts(&report), [1, 0, 1, 0, 0], "not before the second has passed");
    assert_eq!(front.store().requests, 1);
    assert_eq!(report.last_error.as_deref(), Some("429 injected 429"));
}

#[test]
fn a_refused_line_is_found_by_halving_and_becomes_a_dead_letter() {
    for keeps_good_lines in [true, false] {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let refuse = Some("\"call-7\"".to_owned());
        let front = Front::start(Config { refuse, keeps_good_lines, ..Config::default() }).expect("starts");
        let report = run(&target(&front), dir.path(), 20, settings(), DEADLINE);
        assert_eq!(counts(&report), [27, 26, 0, 1, 0]);
        let mut wanted = call_ids(20);
        wanted.retain(|id| id != "call-7");
        assert_eq!(front.store().values("call", "call_id"), wanted);
        assert_eq!(front.store().overwritten, 0);
        let letters = fs::read_to_string(dir.path().join("spool/influxdb/rejected.lp")).expect("there");
        let mut lines = letters.lines();
        assert_eq!(lines.next(), Some("# 400 line 1: `\"call-7\"` is refused"));
        assert!(lines.next().is_some_and(|line| line.starts_with("call,") && line.contains("call-7")));
        assert_eq!(lines.next(), None);
    }
}

/// 1.x, 2, 3, and 3 by its v2 API.
fn targets_of(front: &Front, token: &str, bucket: &str) -> [InfluxTarget; 4] {
    let credentials = Credentials {
        token: Some(Secret::new(token)),
        username: Some("me".into()),
        password: Some(Secret::new(token)),
    };
    let queries = ["db=B", "org=o&bucket=B", "db=B&api=v3", "bucket=B&api=v2"];
    queries.map(|query| query.replace('B', bucket)).map(|query| {
        let url = format!("http://{}?{query}", front.addr);
        InfluxTarget::from_url(&url, credentials.clone()).expect("valid")
    })
}

#[test]
fn the_api_of_each_version_gets_each_point_once_through_every_kind_of_failure() {
    for n in 0..4 {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let refuse = Some("\"call-7\"".to_owned());
        let front = Front::start(Config { refuse, max_body: 20_000, ..Config::default() }).expect("starts");
        front.fail_next([status(503), Fault::StoredThenDrop, Fault::Drop, status(429)]);
        let target = &targets_of(&front, "t0ken", "b")[n];
        let report = run(target, dir.path(), 60, settings(), DEADLINE);
        assert_eq!(counts(&report), [80, 79, 0, 1, 0], "{}", target.url());
        let mut wanted = call_ids(60);
        wanted.retain(|id| id != "call-7");
        assert_eq!(front.store().values("call", "call_id"), wanted);
        assert_eq!(front.store().overwritten, 0);
    }
}

#[test]
fn each_api_says_what_is_wrong_with_token_and_database() {
    let front = Front::start(Config::default()).expect("starts");
    let errors = |token, bucket| {
        targets_of(&front, token, bucket).map(|target| {
            let dir = tempfile::tempdir().expect("a temporary folder");
            let report = run(&target, dir.path(), 1, settings(), DEADLINE);
            assert_eq!(counts(&report), [2, 0, 2, 0, 0], "nothing is given up for a mistake that can be mended");
            report.last_error.expect("there is one")
        })
    };
    assert_eq!(
        errors("wrong", "b"),
        [
            "401 authorization failed (check INFLUX_USERNAME and INFLUX_PASSWORD)",
            "401 unauthorized access (check INFLUX_TOKEN)",
            "401 the request was not authenticated (check INFLUX_TOKEN)",
            "401 unauthorized access (check INFLUX_TOKEN)",
        ]
    );
    for (error, name) in errors("t0ken", "c").iter().zip(["database `c`", "bucket `c`", "database `c`", "bucket `c`"]) {
        assert!(error.starts_with("404 ") && error.contains(&format!("(make the {name}")), "{error}");
    }
}

#[test]
fn a_server_that_refuses_our_precision_is_no_reason_to_bury_results() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let front = Front::start(Config::default()).expect("starts");
    let target = target(&front);
    front.fail_next(vec![Fault::Words(400, r#"invalid precision "ns" (use n, u, ms, s, m or h)"#.into()); 100]);
    let report = run(&target, dir.path(), 10, settings(), DEADLINE);
    assert_eq!(counts(&report), [14, 0, 14, 0, 0]);
    assert_eq!(report.last_error.as_deref(), Some(r#"400 invalid precision "ns" (use n, u, ms, s, m or h)"#));
}

#[test]
fn a_wrong_token_ends_the_wait_at_once_and_everything_stays_in_the_spool() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let front = Front::start(Config::default()).expect("starts");
    let report = run(&target_at(&front.addr.to_string(), "wrong"), dir.path(), 10, settings(), DEADLINE);
    assert_eq!(counts(&report), [14, 0, 14, 0, 0]);
    assert_eq!(report.last_error.as_deref(), Some("401 unauthorized access (check INFLUX_TOKEN)"));
    assert!(!serde_json::to_string(&report).expect("JSON").contains("wrong"));
}

#[test]
fn a_server_that_stops_and_comes_back_gets_everything() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let front = Front::start(Config::default()).expect("starts");
    let (target, addr) = (target(&front), front.addr);
    let collector = Collector::start(&target, dir.path(), settings()).expect("starts");
    (0..30).for_each(|n| offer(&collector, &record(n)));
    wait_until("the first half is written", || collector.counts().written == 40);
    let store = front.stop();
    (30..60).for_each(|n| offer(&collector, &record(n)));
    wait_until("the second half is on disk", || spooled_lines(dir.path()) == 40);
    let front = Front::start_with(Config { listen: addr, ..Config::default() }, store).expect("starts again");
    let report = collector.finish(DEADLINE);
    assert_all_delivered_once(&front.store(), &report, 60);
}

#[test]
fn what_one_run_leaves_the_next_run_delivers_and_sums_up() {
    let runs = tempfile::tempdir().expect("a temporary folder");
    let (first, second) = (runs.path().join("a"), runs.path().join("b"));
    let front = Front::start(Config::default()).expect("starts");
    let (target, addr) = (target(&front), front.addr);
    drop(front);
    let report = run(&target, &first, 30, settings(), Duration::from_millis(50));
    assert_eq!(counts(&report), [40, 0, 40, 0, 0]);
    assert!(report.last_error.as_deref().is_some_and(|error| error.contains("cannot connect")), "{report:?}");
    write_summary(&first, &report);

    let front = Front::start(Config { listen: addr, ..Config::default() }).expect("starts again");
    let settings = Settings { runs_dir: Some(runs.path().to_owned()), ..settings() };
    let collector = Collector::start(&target, &second, settings).expect("starts");
    (30..60).for_each(|n| offer(&collector, &record(n)));
    let report = collector.finish(DEADLINE);
    assert_eq!(counts(&report), [40, 40, 0, 0, 0]);
    assert_eq!(front.store().values("call", "call_id"), call_ids(60));
    let entry = &read_summary(&first)["sinks"][0];
    assert_eq!([&entry["measured"], &entry["written"], &entry["spooled"]], [&json!(40), &json!(40), &json!(0)]);
}

#[test]
fn what_waits_for_one_database_is_never_delivered_to_another() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let front = Front::start(Config::default()).expect("starts");
    let away = InfluxTarget::from_url("http://127.0.0.1:9?db=mine", Credentials::default()).expect("valid");
    run(&away, dir.path(), 3, settings(), Duration::from_millis(30));
    let error = Collector::start(&target(&front), dir.path(), settings()).expect_err("refused").to_string();
    assert!(error.contains("still holds 4 points for http://127.0.0.1:9/?db=mine"), "{error}");
}

#[test]
fn flush_delivers_one_folder_and_brings_its_summary_up_to_date() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let refuse = Some("\"call-1\"".to_owned());
    let front = Front::start(Config::default()).expect("starts");
    let (target, addr) = (target(&front), front.addr);
    drop(front);
    let report = run(&target, dir.path(), 3, settings(), Duration::from_millis(30));
    write_summary(dir.path(), &report);
    let token = Credentials::token("t0ken");
    let report = flush(dir.path(), &token, &settings(), Duration::from_millis(100)).expect("tried");
    assert_eq!(counts(&report), [4, 0, 4, 0, 0], "still away");

    let front = Front::start(Config { listen: addr, refuse, ..Config::default() }).expect("starts again");
    let report = flush(dir.path(), &token, &settings(), DEADLINE).expect("delivered");
    assert_eq!(counts(&report), [4, 3, 0, 1, 0]);
    let summary = read_summary(dir.path());
    assert_eq!(summary["verdict"], "pass", "the rest of the file is untouched");
    assert_eq!(summary["sinks"][0]["written"], 3);
    assert_eq!(summary["sinks"][0]["rejected"], 1);
    let again = flush(dir.path(), &token, &settings(), DEADLINE).expect("nothing to do");
    assert_eq!(again.counts, report.counts);
    assert_eq!(front.store().points.len(), 3);
}

#[test]
fn points_wait_in_memory_while_the_disk_refuses_them_and_are_delivered_when_it_takes_them_again() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let front = Front::start(Config::default()).expect("starts");
    let collector = Collector::start(&target(&front), dir.path(), settings()).expect("starts");
    let spool = dir.path().join("spool/influxdb");
    fs::rename(&spool, dir.path().join("away")).expect("moved");
    (0..30).for_each(|n| offer(&collector, &record(n)));
    wait_until("the disk has refused", || collector.progress().stored == 40);
    assert_eq!((collector.counts().spooled, front.store().requests), (40, 0));
    fs::rename(dir.path().join("away"), &spool).expect("moved back");
    (30..60).for_each(|n| offer(&collector, &record(n)));
    let report = collector.finish(DEADLINE);
    assert_all_delivered_once(&front.store(), &report, 60);
    assert!(report.last_error.is_some_and(|error| error.contains("spool/influxdb")), "it is said all the same");
}

#[test]
fn what_no_disk_takes_to_the_end_is_counted_as_dropped() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let front = Front::start(Config::default()).expect("starts");
    let collector = Collector::start(&target(&front), dir.path(), settings()).expect("starts");
    fs::remove_dir_all(dir.path().join("spool")).expect("removed");
    (0..30).for_each(|n| offer(&collector, &record(n)));
    assert_eq!(counts(&collector.finish(DEADLINE)), [40, 0, 0, 40, 40]);
    assert_eq!(front.store().requests, 0);
}

#[test]
fn a_spool_at_its_bound_keeps_the_oldest_and_counts_the_rest() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let front = Front::start(Config::default()).expect("starts");
    let target = target(&front);
    drop(front);
    let settings = Settings { max_bytes: 40_000, ..settings() };
    let collector = Collector::start(&target, dir.path(), settings).expect("starts");
    for n in 0..60 {
        offer(&collector, &record(n));
        collector.wait_until_stored(DEADLINE);
    }
    let report = collector.finish(Duration::from_millis(50));
    let [measured, written, spooled, rejected, dropped] = counts(&report);
    assert_eq!((measured, written, rejected), (80, 0, dropped));
    assert!(spooled > 0 && dropped > 0 && spooled == spooled_lines(dir.path()) as u64, "{report:?}");
    let letter = fs::read_to_string(dir.path().join("spool/influxdb/0000000001.lp")).expect("the oldest is there");
    assert!(letter.contains("\"call-0\""), "{letter}");
}

#[test]
fn a_folder_without_a_spool_says_so() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    assert!(matches!(flush(dir.path(), &Credentials::default(), &settings(), DEADLINE), Err(FlushError::NoSpool(_))));
}

#[test]
fn a_run_killed_at_any_moment_has_each_reported_call_in_its_spool_or_at_the_server() {
    let front = Front::start(Config::default()).expect("starts");
    for millis in [30, 110] {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "influx::child_that_is_killed", "--ignored", "--nocapture"])
            .env("RINGFLEET_TEST_SPOOL", dir.path())
            .env("RINGFLEET_TEST_FRONT", front.addr.to_string())
            .stdout(Stdio::null())
            .spawn()
            .expect("runs");
        wait_until("the child makes calls", || dir.path().join("reported").exists());
        std::thread::sleep(Duration::from_millis(millis));
        child.kill().expect("killed");
        child.wait().expect("ended");

        let reported = fs::read_to_string(dir.path().join("reported")).expect("there");
        flush(dir.path(), &Credentials::token("t0ken"), &settings(), DEADLINE).expect("delivered");
        let stored: BTreeSet<String> = front.store().values("call", "call_id").into_iter().collect();
        let reported: Vec<&str> = reported.split_inclusive('\n').filter_map(|id| id.strip_suffix('\n')).collect();
        assert!(!reported.is_empty());
        let lost: Vec<_> = reported.iter().filter(|id| !stored.contains(**id)).collect();
        assert!(lost.is_empty(), "{} of {} are lost: {lost:?}", lost.len(), reported.len());
        let ids = front.store().values("call", "call_id").len();
        assert_eq!(ids, stored.len(), "none is at two times");
    }
}

/// Makes calls until it is killed, and reports each once it had time to reach the disk: 250 ms rather than the 100 ms
/// that are promised, as the disk of a machine full of tests is slow.
#[test]
#[ignore = "a part of another test"]
fn child_that_is_killed() {
    let Ok(dir) = std::env::var("RINGFLEET_TEST_SPOOL") else { return };
    let front = std::env::var("RINGFLEET_TEST_FRONT").expect("set with the other");
    let dir = Path::new(&dir);
    let collector = Collector::start(&target_at(&front, "t0ken"), dir, settings()).expect("starts");
    let mut reported = fs::File::create(dir.join("reported.tmp")).expect("made");
    let mut waiting = std::collections::VecDeque::new();
    for n in 0.. {
        let mut record = record(n);
        record.call_id = format!("{}-{n}", std::process::id());
        record.class = if n % 2 == 0 { Class::Ok } else { Class::CallNoAnswer };
        offer(&collector, &record);
        waiting.push_back(record.call_id);
        std::thread::sleep(Duration::from_millis(1));
        if waiting.len() > 250 {
            let id = waiting.pop_front().expect("it is not empty");
            std::io::Write::write_all(&mut reported, format!("{id}\n").as_bytes()).expect("written");
            if n == 251 {
                fs::rename(dir.join("reported.tmp"), dir.join("reported")).expect("renamed");
            }
        }
    }
}

/// 3,000 attempts with awkward texts for `tests/real/influx_sink`, over some seconds in which its server is killed.
#[test]
#[ignore = "needs a real InfluxDB: tests/real/influx_sink"]
fn records_for_a_real_influxdb() {
    let Ok(url) = std::env::var("RINGFLEET_TEST_INFLUX") else { return };
    let out = std::env::var("RINGFLEET_TEST_OUT").expect("set with the other");
    let credentials = Credentials::from_environment(|name| std::env::var(name).ok());
    let target = InfluxTarget::from_url(&url, credentials).expect("valid");
    let now = || ringfleet::net::clock::timestamp();
    let mut folder = RunFolder::create(Some(Path::new(&out)), Path::new("runs"), "s", now()).expect("made");
    let mut settings = settings();
    settings.time_outs.request = Duration::from_millis(300);
    let collector = Collector::start(&target, folder.path(), settings).expect("starts");
    for n in 0..3_000 {
        let mut record = record(n);
        record.ended_at = now();
        record.scenario =
            ["plain", "with space", "a,b=c", "back\\slash\\", "line\nfeed", "\"quoted\"", "é台北"][n % 7].into();
        record.reason = ["\\", "\"", "\\\"", "a\nb\tc", "", "é台北 = ,", "x\\\\"][n % 7].to_owned().into();
        record.class = Class::ALL[n % Class::ALL.len()];
        record.srd_ms = [Some(0.1 + 0.2), Some(0.0), None, Some(1e-9), Some(123_456_789.125)][n % 5];
        folder.call(&record).expect("written");
        offer(&collector, &record);
        std::thread::sleep(Duration::from_millis(1));
    }
    let report = collector.finish(DEADLINE);
    folder.flush().expect("written");
    folder.summary(&json!({ "verdict": "pass", "sinks": [report] })).expect("written");
    assert_eq!(report.counts.written, report.counts.measured);
    println!("{}", serde_json::to_string(&report).expect("JSON"));
}

fn write_summary(dir: &Path, report: &SinkReport) {
    let summary = json!({ "verdict": "pass", "sinks": [report] });
    fs::write(dir.join("summary.json"), summary.to_string()).expect("written");
}

fn read_summary(dir: &Path) -> Value {
    serde_json::from_slice(&fs::read(dir.join("summary.json")).expect("there")).expect("JSON")
}

fn spooled_lines(dir: &Path) -> usize {
    let files = fs::read_dir(dir.join("spool/influxdb")).expect("there").flatten().map(|entry| entry.path());
    files
        .filter(|path| path.extension().is_some_and(|extension| extension == "lp"))
        .map(|path| fs::read_to_string(path).unwrap_or_default().lines().count())
        .sum()
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..4_000 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("{what}: not within 20 s");
}
