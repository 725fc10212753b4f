use super::*;
use crate::media::grade::Grade;
use crate::media::session::Second;
use crate::record::Class;

fn line(tags: &[(&str, &str)], fields: Vec<(&str, Field)>) -> Option<String> {
    let point = Point::new("m", tags.iter().copied(), fields, 7)?;
    let mut out = Vec::new();
    point.write(point.time(), &mut out);
    Some(String::from_utf8(out).expect("UTF-8"))
}

const REGISTERED: RegistrationRecord =
    RegistrationRecord { class: Class::Ok, code: Some(200), rrd_ms: Some(3.5), expires_s: Some(300) };

fn second() -> MediaSecond {
    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    let end = std::time::Instant::now();
    MediaSecond {
        identity: Identity {
            call_id: "01JG-7-1".into(),
            scenario: "outbound dial".into(),
            target: "lab".into(),
            trunk: Some("cht,main".into()),
            unit: Some(String::new()),
            transport: Some("udp".into()),
            ..Identity::default()
        },
        at: "2026-01-02T03:04:05.25Z".parse().expect("valid"),
        second: Second {
            end,
            loss_pct: Some(0.0),
            jitter_ms: Some(0.125),
            rtt_ms: None,
            level_dbov: Some(-20.5),
            mos_lq: Some(4.41),
            mos_cq: None,
            grade: Some(Grade::Medium),
        },
    }
}

fn record() -> CallRecord {
    serde_json::from_str(include_str!("../../tests/data/influx/record.json")).expect("a complete record")
}

fn lines_of(points: &[Point]) -> String {
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
    let mut points = points_of(&record(), Some(&REGISTERED));
    points.extend(point_of_window(&window));
    points.extend(point_of_second(&second()));
    assert_eq!(lines_of(&points), include_str!("../../tests/data/influx/points.lp"));
}

#[test]
fn each_line_is_read_back_by_a_parser_of_line_protocol() {
    let lines = lines_of(&points_of(&record(), Some(&REGISTERED)));
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
fn a_registration_has_a_class_and_code_of_its_own() {
    let refused = RegistrationRecord { class: Class::RegForbidden, code: Some(403), rrd_ms: None, expires_s: None };
    let lines = lines_of(&points_of(&record(), Some(&refused)));
    let registration = lines.lines().find(|line| line.starts_with("registration,")).expect("one");
    assert!(registration.contains("class=reg.forbidden,"), "{registration}");
    assert!(registration.contains(",code=403i,ira=1i ") && !registration.contains("_ms"), "{registration}");
}

#[test]
fn a_call_that_counts_says_whether_it_was_answered_and_whether_the_network_did_its_part() {
    let lines = |class, code, setup_ms| {
        let record = CallRecord { class, code: Some(code), setup_ms, invited: true, ..record() };
        lines_of(&points_of(&record, None))
    };
    let answered = lines(Class::Ok, 200, Some(1.0));
    assert!(answered.contains(",answered=1i,effective=1i,ser=1i,seer=1i,isa=0i,scr=1i "), "{answered}");
    let busy = lines(Class::CallCalleeBusy, 486, None);
    assert!(busy.contains(",answered=0i,effective=1i,ser=0i,seer=1i,isa=0i,scr=0i "), "{busy}");
    let timed_out = lines(Class::CallTimeout, 408, None);
    assert!(timed_out.contains(",answered=0i,effective=0i,ser=0i,seer=0i,isa=1i,scr=0i "), "{timed_out}");
    let redirected = lines(Class::CallRedirected, 302, None);
    assert!(redirected.contains(",answered=0i,effective=0i,isa=0i,scr=0i "), "{redirected}");
    let warm_up = CallRecord { warm_up: true, invited: true, setup_ms: Some(1.0), ..record() };
    assert!(!lines_of(&points_of(&warm_up, None)).contains("answered="), "it counts in no share");
    assert!(!lines_of(&points_of(&record(), None)).contains("answered="), "nothing was placed");
}

#[test]
fn an_attempt_without_registration_is_one_point() {
    assert_eq!(points_of(&record(), None).len(), 1);
}
