//! What `ringfleet check` and `ringfleet schema` print.

use std::path::PathBuf;

use ringfleet::cli::load::Overrides;
use ringfleet::cli::{check, schema};

fn checked(files: &[&str], overrides: &Overrides, live: bool) -> (u8, String) {
    // Paths as a user in the repository's folder types them: cargo runs tests there.
    let files: Vec<PathBuf> = files.iter().map(PathBuf::from).collect();
    let mut out = Vec::new();
    let code = check::run(&files, overrides, live, &mut out).expect("a Vec takes every write");
    (code, String::from_utf8(out).expect("UTF-8"))
}

#[test]
fn a_valid_scenario_shows_what_would_be_done() {
    let (code, shown) = checked(&["scenarios/outbound-dial.yaml"], &Overrides::default(), false);
    let expected = "\
scenarios/outbound-dial.yaml: valid
  actor             caller on lab (started for the run), 20 accounts of `agents`
  calls             1, one after another
  peak rate         as attempts end
  at the same time  1
  RTP ports         2
  numbers           1: 2000 (echo)
  expects           each: { outcome: answered, audio: two_way }
  expects           p(10) of mos_cq >= 4.0
";
    assert_eq!((code, shown.as_str()), (0, expected));
}

#[test]
fn an_open_load_shows_its_peak_and_what_it_needs_at_least() {
    let set = vec![("load".to_owned(), "{ rate: 20/s, for: 10s }".to_owned()), ("dest".to_owned(), "2001".to_owned())];
    let (code, shown) = checked(&["scenarios/ramp.yaml"], &Overrides { target: None, set }, false);
    let expected = "\
scenarios/ramp.yaml: valid
  actor             caller on lab (started for the run), 20 accounts of `agents`
  calls             200, at 20/s for 10s
  peak rate         20/s
  at the same time  at least 20
  RTP ports         at least 40
  numbers           1: 2001
  expects           each: { outcome: answered }
";
    assert_eq!((code, shown.as_str()), (0, expected));
}

#[test]
fn each_kind_of_file_is_known_by_its_keys() {
    let (code, shown) =
        checked(&["scenarios/targets/carrier.yaml", "scenarios/labs/small.yaml"], &Overrides::default(), false);
    let expected = "\
scenarios/targets/carrier.yaml: valid
  target            carrier: 1 numbers, 1 trunks
scenarios/labs/small.yaml: valid
  lab               lab.ringfleet.invalid: 4 accounts, 4 numbers
";
    assert_eq!((code, shown.as_str()), (0, expected));
}

#[test]
fn a_file_that_is_not_there_ends_with_2_and_no_server_is_reached_for_it() {
    let (code, shown) = checked(&["scenarios/none.yaml", "scenarios"], &Overrides::default(), false);
    assert_eq!(code, 2);
    assert!(shown.starts_with("scenarios/none.yaml: cannot be read: "), "{shown}");
    assert!(
        shown.ends_with("scenarios: cannot be read: it is a folder\n\n2 mistakes; nothing would be dialled\n"),
        "{shown}"
    );
    let (code, shown) = checked(&["scenarios/none.yaml"], &Overrides::default(), true);
    assert!(code == 2 && !shown.contains("dns"), "{shown}");
}

#[test]
fn schemas_are_printed_by_name() {
    let printed = |kind: &str| {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = schema::run(kind, &mut out, &mut err).expect("a Vec takes every write");
        (code, String::from_utf8(out).expect("UTF-8"), String::from_utf8(err).expect("UTF-8"))
    };
    let (code, out, _) = printed("lab");
    assert!(
        code == 0 && out.starts_with("{\n  \"$schema\": \"https://json-schema.org/draft/2020-12/schema\""),
        "{out}"
    );
    assert!(printed("watch").1.contains("\"title\": \"watch\""));
    assert!(printed("senario").2.contains("did you mean `scenario`?"));
}

#[test]
fn the_plan_of_a_watch_says_how_often_whom_it_calls() {
    let (code, shown) = checked(&["scenarios/watch/lab.yaml"], &Overrides::default(), false);
    let expected = "\
scenarios/watch/lab.yaml: valid
  watch             lab at desk, days and hours of Asia/Taipei
  check             outbound: watched-call every 10s, 8640 a day; caller on watched (started for the run), 6 accounts of `agents`
  check             agents: watched-call every 1m, 6 lines, 8640 a day; caller on watched (started for the run), 6 accounts of `agents`
  check             hotline: inbound-hotline every 5m, 288 a day; agent on lab (started for the run), 20 accounts of `agents`; customer on lab (started for the run), 20 accounts of `agents`
  check             office: registration by cron, 132 on each of its days, 132 a day; caller on watched (started for the run), 6 accounts of `agents`
  lines             9
  calls             744 an hour and 17700 a day at most, beside those that reproduce a failure
  numbers           2: 1001, 2000
";
    assert_eq!((code, shown.as_str()), (0, expected));
}
