//! `ringfleet watch` as a process: what it prints, keeps and ends with, and how it takes signals.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;
use ringfleet::record::{Class, Retry};

use crate::cli::{Desk, code, example, records, text};
use crate::watching::Watching;

/// What a line may be waited for.
const PATIENCE: Duration = Duration::from_secs(60);

const CALL: &str = "scenario: call\ntarget: lab\n\
    caller: { account: agents, steps: [register, { dial: { number: internal, media: none } }, { wait: 100ms }, hangup] }\n";
const BUSY: &str = "scenario: busy\ntarget: lab\n\
    caller: { account: agents, steps: [{ dial: { number: busy, media: none } }] }\n";

#[test]
fn the_example_makes_each_of_its_checks_once_and_all_hold() {
    let desk = Desk::new();
    let output = desk.run(&["watch", &example("watch/lab.yaml"), "--once", "--out", "out"]);
    let shown = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(code(&output), Some(0), "{shown}");
    assert!(shown.contains("9 of 9 checks hold"), "{shown}");
    let records = records(&desk.path("out"));
    assert_eq!(records.len(), 10, "both ends of the hotline have one: {shown}");
    assert!(records.iter().all(|record| record.class == Class::Ok && record.site.as_deref() == Some("desk")));
    let of_agents: Vec<_> = records.iter().filter(|record| record.trunk.is_some()).collect();
    assert_eq!(of_agents.len(), 6, "labels stand where the call does not say");
    assert!(of_agents.iter().all(|it| it.unit.as_deref() == Some("support") && it.trunk.as_deref() == Some("trunk_a")));
    assert_eq!(text(&output.stdout).lines().count(), 10, "one line a leg");
}

#[test]
fn a_failure_is_tried_again_with_sockets_of_its_own() {
    let desk = Desk::new();
    desk.write("call.yaml", CALL);
    desk.write("busy.yaml", BUSY);
    desk.write(
        "watch.yaml",
        "watch: w\nchecks:\n  - { scenario: busy.yaml, every: 60s, controls: [call] }\n  \
         - { scenario: call.yaml, cron: '0 0 1 1 *' }\n",
    );
    let output = desk.run(&["watch", "watch.yaml", "--once", "--out", "out"]);
    let shown = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(code(&output), Some(1), "{shown}");
    assert!(shown.contains("1 of 2 checks hold"), "{shown}");
    let records = records(&desk.path("out"));
    let busy: Vec<_> = records.iter().filter(|record| record.scenario == "busy").collect();
    assert_eq!(busy.iter().map(|it| it.retry).collect::<Vec<_>>(), [Retry::Reproduced, Retry::None]);
    assert_eq!((busy[0].account.as_deref(), busy[1].account.as_deref()), (Some("1001"), Some("1001")));
    assert!(busy[1].call_id.ends_with("-busy-again1-000001"), "{}", busy[1].call_id);
    assert_ne!(busy[0].sip_call_ids, busy[1].sip_call_ids);
    assert_eq!(records.iter().filter(|record| record.scenario == "call").count(), 1, "every check is made once");
    let evidence = desk.path("out").join("evidence").join(&busy[0].call_id).join("ladder.txt");
    assert!(fs::read_to_string(evidence).expect("a failure has evidence").contains("486 Busy Here"));
}

#[test]
fn a_failure_makes_the_checks_that_tell_who_is_hit() {
    let desk = Desk::new();
    desk.write("call.yaml", CALL);
    desk.write("busy.yaml", BUSY);
    let text = "watch: w\nchecks:\n  - { scenario: busy.yaml, every: 1s, reproduce: 0, controls: [call] }\n  \
                - { scenario: call.yaml, cron: '0 0 1 1 *' }\n";
    desk.write("watch.yaml", text);
    let watching = Watching::start(&desk, &["watch", "watch.yaml", "--out", "out"], PATIENCE);
    assert!(watching.wait_for("control").contains("-call-000001  1001 -> 2001  ok 200"));
    assert_eq!(watching.end(), Some(0));
}

#[test]
fn a_target_that_nobody_listens_at_ends_a_single_watch_with_4() {
    let desk = Desk::new();
    desk.write("call.yaml", BUSY);
    desk.write(
        "gone.yaml",
        "target: gone\nsip: { server: \"sip:127.0.0.9:9\", domain: gone.example }\n\
         accounts: { agents: { users: \"1001\", password: \"${PROBE_PASSWORD}\" } }\nnumbers: { busy: \"3486\" }\n",
    );
    let watch = "watch: w\nchecks: [{ scenario: call.yaml, target: gone.yaml, every: 60s, reproduce: 0 }]\n";
    desk.write("watch.yaml", watch);
    let output = desk.run(&["watch", "watch.yaml", "--once", "--out", "out"]);
    assert_eq!(code(&output), Some(4), "{}{}", text(&output.stdout), text(&output.stderr));
}

#[test]
fn a_file_with_a_mistake_dials_nothing_and_ends_with_2() {
    let desk = Desk::new();
    desk.write("watch.yaml", "watch: w\nchecks: [{ scenario: nowhere.yaml, every: 60s }]\n");
    let output = desk.run(&["watch", "watch.yaml", "--once"]);
    assert_eq!(code(&output), Some(2));
    assert!(text(&output.stderr).starts_with("watch.yaml:2:"), "{}", text(&output.stderr));
    assert!(!desk.path("runs").exists(), "no folder is left");
}

#[test]
fn a_watch_goes_on_over_a_new_file_keeps_the_old_one_where_it_is_bad_and_ends_with_its_calls_hung_up() {
    let desk = Desk::new();
    desk.write("call.yaml", CALL);
    desk.write("long.yaml", &CALL.replace("scenario: call", "scenario: long").replace("100ms", "1h"));
    let one = "watch: w\nchecks:\n  - { scenario: call.yaml, every: 1s }\n";
    desk.write("watch.yaml", one);
    let watching = Watching::start(&desk, &["watch", "watch.yaml", "--out", "runs/out"], PATIENCE);
    watching.wait_for("-call-000001  1001 -> 2001  ok 200");
    desk.write("watch.yaml", "watch: w\nchecks:\n  - { scenario: call.yaml, evry: 1s }\n");
    watching.signal(Signal::SIGHUP);
    watching.wait_for("the watch goes on as it was");
    watching.wait_for("  ok 200");
    desk.write("watch.yaml", &format!("{one}  - {{ name: other, scenario: long.yaml, every: 1s }}\n"));
    watching.signal(Signal::SIGHUP);
    watching.wait_for("the file is read again (checks: 2, lines: 2)");
    watching.wait_for("other: a start is left out: the call before is still under way");
    // Its call goes on while the check is gone from the file.
    desk.write("watch.yaml", one);
    watching.signal(Signal::SIGHUP);
    watching.wait_for("the file is read again (checks: 1, lines: 1)");
    watching.wait_for("  ok 200");
    assert_eq!(watching.end(), Some(0));
    let records = records(&desk.path("runs/out"));
    let long: Vec<_> = records.iter().filter(|record| record.scenario == "long").collect();
    assert_eq!(long.len(), 1, "it was made once and not dropped");
    assert_eq!((long[0].hangup_by.as_deref(), long[0].code), (Some("us"), Some(200)));
    assert!(desk.path("runs/w.redb").exists(), "what it knows outlives it");
}

#[test]
fn a_far_side_that_asks_for_time_is_under_maintenance() {
    let desk = Desk::new();
    desk.write("busy.yaml", BUSY);
    desk.write(
        "lab.yaml",
        "lab: tired\nextensions: { busy: { number: 3486, does: { reject: { code: 503, retry_after: 600 } } } }\n",
    );
    let check = "{ scenario: busy.yaml, target: lab.yaml, every: 1s }";
    desk.write("watch.yaml", &format!("watch: w\nchecks: [{check}]\n"));
    let watching = Watching::start(&desk, &["watch", "watch.yaml", "--out", "out"], PATIENCE);
    watching.wait_for("tired wants no calls for 600 s (503 with Retry-After): maintenance");
    watching.wait_for("busy: a start is left out: maintenance");
    assert_eq!(watching.end(), Some(0));
    assert_eq!(records(&desk.path("out")).len(), 1, "it is neither called nor tried again");
}

#[test]
fn an_agent_whose_failure_was_reproduced_is_called_once_more_as_the_judge_asks() {
    let desk = Desk::new();
    desk.write("busy.yaml", BUSY);
    desk.write("lab.yaml", "lab: one\naccounts: { users: \"1001\", password: \"${X:-x}\" }\n");
    let check = "{ scenario: busy.yaml, target: lab.yaml, every: 1s }";
    let sinks = "sinks: [{ prometheus: { listen: '127.0.0.1:0' } }]";
    desk.write("watch.yaml", &format!("watch: w\nchecks: [{check}]\n{sinks}\n"));
    let watching = Watching::start(&desk, &["watch", "watch.yaml", "--out", "out"], PATIENCE);
    let line = watching.wait_for("figures at http://");
    let address = line.split("http://").nth(1).and_then(|rest| rest.strip_suffix("/metrics")).expect("an address");
    let placed = || {
        let body = get(address, "/metrics").1;
        let figure = body.lines().find_map(|line| line.strip_prefix("ringfleet_watch_repetitions_total{watch=\"w\"} "));
        figure.is_some_and(|count| count != "0")
    };
    // Figures come once a second, and each result is said on a line.
    while !placed() {
        watching.wait_for("486");
    }
    assert_eq!(watching.end(), Some(0));
    let records = records(&desk.path("out"));
    let of_agent = records.iter().filter(|record| record.account.as_deref() == Some("1001")).count();
    let again = records.iter().filter(|record| record.call_id.contains("-again")).count();
    let reproduced = records.iter().filter(|record| record.retry == Retry::Reproduced).count();
    assert_eq!(of_agent, records.len());
    assert!(again > reproduced && reproduced > 0, "{again} calls again for {reproduced} failures that were reproduced");
}

#[test]
fn figures_of_a_watch_are_scraped_without_agents_and_numbers_and_say_that_it_is_alive() {
    let desk = Desk::new();
    desk.write("call.yaml", CALL);
    let text = "watch: w\nchecks:\n  - { scenario: call.yaml, every: 1s, agents: each, labels: { trunk: cht } }\n\
                sinks: [{ prometheus: { listen: '127.0.0.1:0' } }]\n";
    desk.write("watch.yaml", text);
    let watching = Watching::start(&desk, &["watch", "watch.yaml", "--out", "out"], PATIENCE);
    let line = watching.wait_for("figures at http://");
    let address = line.split("http://").nth(1).and_then(|rest| rest.strip_suffix("/metrics")).expect("an address");
    for _ in 0..20 {
        watching.wait_for("  ok 200");
    }
    let (head, body) = get(address, "/metrics");
    assert!(head.starts_with("HTTP/1.1 200 OK") && head.contains("text/plain; version=0.0.4"), "{head}");
    let calls = "ringfleet_watch_calls_total{watch=\"w\",check=\"call\",target=\"lab\",class=\"ok\",result=\"ok\"} ";
    let count = body.lines().find_map(|line| line.strip_prefix(calls)).unwrap_or_else(|| panic!("{body}"));
    assert!(count.parse::<u64>().expect("a number") >= 20, "{body}");
    assert!(body.contains("ringfleet_watch_lines{watch=\"w\",check=\"call\",target=\"lab\"} 20\n"), "{body}");
    assert!(!body.contains("1001") && !body.contains("2001"), "no agents, no numbers: {body}");
    assert_eq!(get(address, "/healthz").1, "ok\n");
    assert!(get(address, "/").0.starts_with("HTTP/1.1 404"));
    // A second watch cannot have the same address, and dials nothing.
    desk.write("second.yaml", &text.replace("127.0.0.1:0", address));
    assert_eq!(code(&desk.run(&["watch", "second.yaml", "--out", "second"])), Some(4));
    assert_eq!(watching.end(), Some(0));
}

#[test]
fn a_page_and_an_api_show_the_lines_what_failed_and_its_evidence() {
    let desk = Desk::new();
    desk.write("call.yaml", CALL);
    desk.write("busy.yaml", BUSY);
    let text = "watch: w\nchecks:\n  - { scenario: busy.yaml, every: 1s }\n  - { scenario: call.yaml, every: 1s }\n\
                page: { listen: '127.0.0.1:0' }\n";
    desk.write("watch.yaml", text);
    let watching = Watching::start(&desk, &["watch", "watch.yaml", "--out", "out"], PATIENCE);
    let line = watching.wait_for("page at http://");
    let address = line.split("http://").nth(1).and_then(|rest| rest.strip_suffix('/')).expect("an address");
    watching.wait_for("  reproduced");
    watching.wait_for("  ok 200");
    let json = |path: &str| -> serde_json::Value { serde_json::from_str(&get(address, path).1).expect("JSON") };
    let both_known = || {
        json("/api/v1/status")["lines"]
            == serde_json::json!(
        { "total": 2, "ok": 1, "interrupted": 0, "failing": 1, "unknown": 0 })
    };
    // A view comes once a second, and each result is said on a line.
    while !both_known() {
        watching.wait_for(" ");
    }
    let lines = json("/api/v1/lines?state=failing");
    assert_eq!(
        (&lines["lines"][0]["name"], &lines["lines"][0]["last"]["class"]),
        (&"busy".into(), &"call.callee_busy".into())
    );
    let failures = json("/api/v1/failures");
    let evidence = failures["failures"][0]["evidence"][0].as_str().expect("a path");
    assert!(get(address, evidence).1.contains("486 Busy Here"), "{evidence}");
    let (head, page) = get(address, "/");
    assert!(head.starts_with("HTTP/1.1 200 OK") && page.contains("<h1>1 of 2 lines fail"), "{page}");
    // What is wrong with the file is on the page until it is right.
    desk.write("watch.yaml", "watch: w\nchecks: []\n");
    watching.signal(Signal::SIGHUP);
    watching.wait_for("the watch goes on as it was");
    while json("/api/v1/status")["troubles"] == serde_json::json!([]) {
        watching.wait_for(" ");
    }
    assert_eq!(watching.end(), Some(0));
}

/// Head and body of what an address answers.
pub(crate) fn get(address: &str, path: &str) -> (String, String) {
    use std::io::{Read as _, Write as _};
    #[expect(clippy::disallowed_methods, reason = "the readers of this test are not the product's")]
    let mut stream = std::net::TcpStream::connect(address).expect("it listens");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").expect("it is open");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("UTF-8");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP message");
    (head.to_owned(), body.to_owned())
}
