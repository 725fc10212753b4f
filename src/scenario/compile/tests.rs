use std::path::PathBuf;

use super::*;
use crate::scenario::plan::{ActorState, ExpectationKind, Step, When};

fn compile_with(text: &str, files: &[(&str, &str)], set: &[(&str, &str)]) -> Result<Compiled, String> {
    let files: BTreeMap<PathBuf, String> = files.iter().map(|(p, t)| (PathBuf::from(p), (*t).to_owned())).collect();
    let set: Vec<(String, String)> = set.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let input = Input {
        path: Path::new("s/test.yaml"),
        text,
        target: None,
        set: &set,
        env: &|name| (name == "PW").then(|| "hunter2".to_owned()),
        read: &|path| files.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into()),
    };
    scenario(&input).map_err(|diagnostics| diagnostics.to_string())
}

const OUTBOUND: &str = "\
scenario: outbound-dial
target: lab
caller:
  account: agents
  steps:
    - register
    - dial: { number: echo, answer_within: 20s }
    - talk: { for: 10s, send: speech }
    - hangup
load: { calls: 1 }
expect:
  - each: { outcome: answered, audio: two_way }
";

#[test]
fn the_first_scenario_compiles_against_the_lab() {
    let compiled = compile_with(OUTBOUND, &[], &[]).expect("valid");
    let plan = &compiled.plan;
    let caller = &plan.actors[0];
    assert_eq!(caller.pool.as_ref().map(|pool| pool.accounts.len()), Some(20));
    let Step::Dial(dial) = &caller.steps[1] else { panic!("a dial") };
    assert_eq!(dial.number.text.as_constant(), Some("2000"));
    assert_eq!(dial.number.name.as_deref(), Some("echo"));
    assert_eq!(plan.load.planned(), Some(1));
    assert!(matches!(plan.expect[0].kind, ExpectationKind::Each(_)));
    assert_eq!(plan.expect[0].text, "each: { outcome: answered, audio: two_way }");
    assert!(compiled.lab.is_some());
}

const CARRIER: &str = "\
target: carrier-b
sip: { server: \"sip:203.0.113.9:5080;transport=tcp\", domain: b.example, outbound_proxy: 10.0.0.1 }
accounts: { mobile: { csv: people.csv, password: \"${PW}\", calls_each: 2 } }
trunks: { out: { peer: 203.0.113.7, select: { prefix: 9, from: own } } }
numbers: { own: 0212345678 }
safety: { allow: [\"[0-9]+\"], emergency: TW }
mask_numbers: true
";

const MAIN: &str = "\
target: main
sip: { server: pbx.example, headers: { X-Tenant: 07 } }
accounts: { agents: { users: \"0998..1001, bob\", password: \"${PW}\" } }
hotlines: { sales: { number: 0800000123, trunk: cht } }
safety: { emergency: TW, max_calls: 5 }
";

const PEOPLE: &str = "user,password_env,did,unit,city\n5001,PW,0911,support,taipei\n5002,,,,\n";

const HOTLINE: &str = "\
scenario: inbound-hotline
actors:
  zoe:      { account: agents, registered: standing, steps: [ { answer: { after: 2s } }, { talk: { for: 10s } } ] }
  customer: { target: carrier-b, account: mobile, when: zoe.registered,
              steps: [ { dial: { number: sales, headers: { X-City: \"{{ account.city }}\" } } }, { talk: { for: 10s } }, hangup ] }
target: main
load: { calls: 3 }
";

fn hotline(set: &[(&str, &str)]) -> Result<Compiled, String> {
    let files =
        [("s/targets/carrier-b.yaml", CARRIER), ("s/targets/main.yaml", MAIN), ("s/targets/people.csv", PEOPLE)];
    compile_with(HOTLINE, &files, set)
}

#[test]
fn actors_keep_their_order_and_may_have_different_targets() {
    let plan = hotline(&[]).expect("valid").plan;
    let [zoe, customer] = plan.actors.as_slice() else { panic!("two actors") };
    assert_eq!((zoe.name.as_str(), zoe.target.name.as_str()), ("zoe", "main"));
    assert_eq!(customer.when, Some(When { actor: 0, state: ActorState::Registered }));
    let Step::Dial(dial) = &customer.steps[0] else { panic!("a dial") };
    // The hotline belongs to the other target: it is dialled by name all the same, and its trunk is the label.
    assert_eq!((dial.number.text.as_constant(), dial.number.hotline), (Some("0800000123"), true));
    assert_eq!(dial.trunk.as_deref(), Some("cht"));
    assert_eq!((plan.safety.max_calls, plan.mask_numbers), (5, true));
}

#[test]
fn servers_trunks_and_numbers_are_resolved() {
    let plan = hotline(&[]).expect("valid").plan;
    let target = &plan.actors[1].target;
    assert_eq!((target.server.host.as_str(), target.domain.as_str()), ("10.0.0.1", "b.example"));
    let trunk = &target.trunks["out"];
    assert_eq!((trunk.prefix.as_deref(), trunk.from.as_deref()), (Some("9"), Some("0212345678")));
    assert_eq!(trunk.peer.as_ref().map(|peer| peer.host.as_str()), Some("203.0.113.7"));
    assert_eq!(target.final_number("2000", Some("out")), "92000");
    assert_eq!(target.final_number("tel:+886", Some("out")), "tel:+886");
    assert_eq!(plan.actors[0].target.headers, [("X-Tenant".to_owned(), "07".to_owned())]);
}

#[test]
fn accounts_come_from_ranges_and_csv_files() {
    let plan = hotline(&[]).expect("valid").plan;
    let agents = &plan.actors[0].pool.as_ref().expect("a pool").accounts;
    let users: Vec<&str> = agents.iter().map(|account| account.user.as_str()).collect();
    assert_eq!(users, ["0998", "0999", "1000", "1001", "bob"]);
    let mobile = plan.actors[1].pool.as_ref().expect("a pool");
    assert_eq!((mobile.accounts.len(), mobile.calls_each), (2, Some(2)));
    let first = &mobile.accounts[0];
    assert_eq!((first.field("city"), first.unit.as_deref()), (Some("taipei"), Some("support")));
    // The second has no password of its own and takes the pool's.
    assert_eq!(mobile.accounts[1].password.as_ref().map(crate::units::Secret::reveal), Some("hunter2"));
    assert!(!format!("{plan:?}").contains("hunter2"));
}

#[test]
fn a_user_of_the_command_line_replaces_the_pool() {
    let set = [("user", "7001"), ("password", "${PW}"), ("load.calls", "4")];
    let plan = compile_with(OUTBOUND, &[], &set).expect("valid").plan;
    let pool = plan.actors[0].pool.as_ref().expect("a pool");
    assert_eq!((pool.accounts.len(), pool.accounts[0].user.as_str()), (1, "7001"));
    assert_eq!(pool.accounts[0].password.as_ref().map(crate::units::Secret::reveal), Some("hunter2"));
    assert_eq!(plan.load.planned(), Some(4));
    assert!(hotline(&[("user", "7001")]).expect_err("two actors").contains("this scenario has `actors`"));
}

#[test]
fn a_lab_file_is_a_target() {
    let text = OUTBOUND.replace("target: lab", "target: ../labs/own.yaml");
    let own = "lab: own\naccounts: { users: 1..2 }\nextensions: { echo: { number: 0042, does: echo } }\n";
    let compiled = compile_with(&text, &[("s/../labs/own.yaml", own)], &[]).expect("valid");
    let target = &compiled.plan.actors[0].target;
    assert_eq!((target.name.as_str(), target.lab, target.numbers["echo"].as_str()), ("own", true, "0042"));
    let lab = compiled.lab.expect("a lab to start");
    assert_eq!(lab.accounts[1].password.as_ref().map(crate::units::Secret::reveal), Some("ringfleet"));
}

#[test]
fn ramps_begin_at_zero_and_hold_what_they_reached() {
    let ramps = "load: { rate: [{ to: 10/s, over: 10s }, { for: 5s }, { to: 2/s, for: 5s }] }";
    let text = OUTBOUND.replace("load: { calls: 1 }", ramps).replace("    - register\n", "");
    let load = compile_with(&text, &[], &[]).expect("valid").plan.load;
    assert_eq!(load.planned(), Some(50 + 50 + 10));
    assert_eq!(load.peak_rate().map(|rate| rate.get()), Some(10.0));
}

#[test]
fn a_broken_target_is_reported_with_the_scenario_that_names_it() {
    let text = OUTBOUND.replace("target: lab", "target: main").replace("- hangup", "- hang_up");
    let shown = compile_with(&text, &[("s/targets/main.yaml", "target: main\nsipp: {}\nlicence: {}\n")], &[])
        .expect_err("two files");
    assert!(shown.contains("s/test.yaml:9:7: unknown step `hang_up`"), "{shown}");
    assert!(shown.contains("s/targets/main.yaml:2:1: unknown key `sipp`"), "{shown}");
    assert!(shown.contains("did you mean `sip`?"), "{shown}");
    assert!(shown.contains("`extensions` is missing"), "{shown}");
}

#[test]
fn the_target_of_the_command_line_replaces_the_scenarios_own() {
    let read = |path: &Path| match path.to_str() {
        Some("here/own.yaml") => Ok("lab: own\n".to_owned()),
        Some("s/targets/own.yaml") => Ok("lab: beside\n".to_owned()),
        _ => Err(io::ErrorKind::NotFound.into()),
    };
    for (wanted, name) in [("here/own.yaml", "own"), ("own", "beside"), ("lab", "lab")] {
        let path = Path::new("s/test.yaml");
        let input = Input { path, text: OUTBOUND, target: Some(wanted), set: &[], env: &|_| None, read: &read };
        assert_eq!(scenario(&input).expect("valid").plan.actors[0].target.name, name);
    }
}

const CALL: &str = "\
scenario: call
target: lab
caller: { account: agents, steps: [register, { dial: { number: echo } }, { talk: { for: 1s } }, hangup] }
";

fn watch_with(text: &str, files: &[(&str, &str)]) -> Result<Watch, String> {
    let files: BTreeMap<PathBuf, String> = files.iter().map(|(p, t)| (PathBuf::from(p), (*t).to_owned())).collect();
    let input = Input {
        path: Path::new("w/watch.yaml"),
        text,
        target: None,
        set: &[],
        env: &|name| (name == "PW").then(|| "hunter2".to_owned()),
        read: &|path| files.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into()),
    };
    watch(&input).map_err(|diagnostics| diagnostics.to_string())
}

#[test]
fn a_watch_file_says_what_is_checked_and_who_is_told() {
    let text = "\
watch: taipei
site: tpe-1
timezone: Asia/Taipei
checks:
  - { scenario: call.yaml, every: 60s, labels: { trunk: cht, unit: support }, controls: [each] }
  - { name: each, scenario: call.yaml, target: lab, cron: '*/30 8-9 * * *', agents: each, budget: { per_day: 3 } }
budget: { per_number: 100 }
alerts:
  window: 5m
  widespread: { agents: 3, share: 25% }
  throttle: 60m
  notify:
    - webhook: { url: 'https://hooks.example/${PW}', secret: '${PW}' }
    - alertmanager: { url: 'http://127.0.0.1:9093' }
sinks:
  - influxdb: { url: 'http://127.0.0.1:8086', org: o, bucket: b, token: '${PW}' }
  - prometheus: { listen: '127.0.0.1:9410' }
page: { listen: '127.0.0.1:8410' }
";
    let watch = watch_with(text, &[("w/call.yaml", CALL)]).expect("valid");
    assert_eq!((watch.name.as_str(), watch.site.as_deref()), ("taipei", Some("tpe-1")));
    let [call, each] = &watch.checks[..] else { panic!("two checks") };
    assert_eq!((call.name.as_str(), call.controls.as_slice(), call.reproduce), ("call", &[1][..], 1));
    assert_eq!(call.labels.trunk.as_deref(), Some("cht"));
    assert_eq!((call.per_hour(), call.per_day()), (60, 1440));
    // Four starts a day, of which three are paid for, on each of twenty accounts.
    assert_eq!((each.per_hour(), each.per_day()), (40, 60));
    let lines = each.lines();
    assert_eq!((&*lines[19].recurring.name, lines[19].account), ("each/1020", Some(19)));
    assert_eq!(lines[0].recurring.numbers, [Arc::from("2000")]);
    assert_eq!(lines[0].recurring.per_number, Some(100));
    assert_eq!((watch.alerts.widespread_agents, watch.alerts.widespread_share), (3, 0.25));
    assert_eq!(watch.influx.as_ref().map(|it| it.url.as_str()), Some("http://127.0.0.1:8086?org=o&bucket=b"));
    assert!(!format!("{watch:?}").contains("hunter2"), "secrets are not printed");
    let shown = watch.to_string();
    assert!(shown.contains("  calls             100 an hour and 1500 a day at most"), "{shown}");
    assert!(shown.contains("  tells             webhook, alertmanager, at most once in 1h"), "{shown}");
}

#[test]
fn a_setting_of_a_check_that_is_wrong_is_shown_where_it_stands() {
    let text = "watch: w\nchecks:\n  - { scenario: call.yaml, every: 60s, set: { caler: 1 } }\n";
    let shown = watch_with(text, &[("w/call.yaml", CALL)]).expect_err("refused");
    assert!(shown.starts_with("w/watch.yaml:3:47: `caler` is no variable of the scenario"), "{shown}");
    assert!(shown.ends_with("1 mistake"), "{shown}");
}
