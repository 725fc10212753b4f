//! What disturbs a watch, as a process: a file that is read again while agents are registered, a check that hangs, a site
//! without DNS.

#![expect(clippy::disallowed_methods, reason = "the far ends of these tests are not the product's")]

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::signal::Signal;
use ringfleet::record::Class;

use crate::cli::{Desk, records};
use crate::watch::get;
use crate::watching::Watching;

const PATIENCE: Duration = Duration::from_secs(90);

/// A registrar that takes every registration and refuses every call. It keeps the Call-IDs of registrations by whether
/// they end one: a refresh has the Call-ID of what it refreshes.
struct Registrar {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    registered: BTreeSet<String>,
    ended: BTreeSet<String>,
}

impl Registrar {
    fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let address = socket.local_addr().expect("bound");
        let seen = Arc::<Mutex<Seen>>::default();
        let own = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok((length, from)) = socket.recv_from(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
                if let Some(answer) = answer(&text, &own) {
                    let _ = socket.send_to(answer.as_bytes(), from);
                }
            }
        });
        Self { address, seen }
    }

    /// How many registrations were made, and how many ended.
    fn counts(&self) -> (usize, usize) {
        let seen = self.seen.lock().expect("not poisoned");
        (seen.registered.len(), seen.ended.len())
    }
}

fn answer(request: &str, seen: &Mutex<Seen>) -> Option<String> {
    let (method, _) = request.split_once(' ')?;
    let lines = || request.lines().take_while(|line| !line.is_empty());
    let header = |name: &str| {
        let value = |line: &str| {
            let (found, value) = line.split_once(':')?;
            found.trim().eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        };
        lines().find_map(value)
    };
    let status = match method {
        "REGISTER" => {
            let ends = header("Expires").as_deref() == Some("0")
                || header("Contact").is_some_and(|contact| contact.contains("expires=0"));
            let mut seen = seen.lock().expect("not poisoned");
            let ids = if ends { &mut seen.ended } else { &mut seen.registered };
            ids.insert(header("Call-ID")?);
            "200 OK"
        }
        "INVITE" => "486 Busy Here",
        "ACK" => return None,
        _ => "200 OK",
    };
    let vias = lines().filter(|line| line.starts_with("Via:")).map(|line| format!("{line}\r\n")).collect::<String>();
    let contact = header("Contact").filter(|_| method == "REGISTER");
    let contact = contact.map_or_else(String::new, |it| format!("Contact: {it}\r\nExpires: 3600\r\n"));
    Some(format!(
        "SIP/2.0 {status}\r\n{vias}From: {}\r\nTo: {};tag=r\r\nCall-ID: {}\r\nCSeq: {}\r\n{contact}Content-Length: 0\r\n\r\n",
        header("From")?,
        header("To")?,
        header("Call-ID")?,
        header("CSeq")?,
    ))
}

#[test]
fn a_file_that_is_read_again_leaves_standing_registrations_as_they_are_unless_they_are_others_now() {
    let (desk, registrar) = (Desk::new(), Registrar::start());
    let pbx = |numbers: &str| {
        format!(
            "target: pbx\nsip: {{ server: \"sip:{}\", domain: pbx.test }}\nnumbers: {{ {numbers} }}\n\
             accounts: {{ agents: {{ users: \"1001..1003\", password: \"${{PROBE_PASSWORD}}\" }} }}\n\
             safety: {{ max_calls: 10000000 }}\n",
            registrar.address
        )
    };
    desk.write("pbx.yaml", &pbx("busy: \"3486\""));
    let standing = "scenario: standing\ntarget: pbx.yaml\ncaller: { account: agents, registered: standing, \
                    expires: 3600, steps: [{ dial: { number: busy, media: none } }] }\n";
    desk.write("standing.yaml", standing);
    let watch = |every: &str, rest: &str| {
        format!(
            "watch: w\nchecks:\n  - {{ scenario: standing.yaml, agents: each, every: {every}, reproduce: 0{rest} }}\n"
        )
    };
    desk.write("watch.yaml", &watch("1s", ""));
    let watching = Watching::start(&desk, &["watch", "watch.yaml", "--out", "out"], PATIENCE);
    for _ in 0..4 {
        watching.wait_for("call.callee_busy 486");
    }
    assert_eq!(registrar.counts(), (3, 0), "each agent is registered once");
    // It comes less often, has a label, and another check beside it.
    let other = "  - { name: other, scenario: standing.yaml, cron: '0 0 1 1 *' }\n";
    desk.write("watch.yaml", &(watch("2s", ", labels: { trunk: cht }") + other));
    watching.signal(Signal::SIGHUP);
    watching.wait_for("the file is read again (checks: 2, lines: 4)");
    for _ in 0..4 {
        watching.wait_for("call.callee_busy 486");
    }
    let (registered, ended) = registrar.counts();
    // The check that came registers the one agent that its attempts need.
    assert!(registered <= 4 && ended == 0, "{registered} registrations, {ended} ended");
    desk.write("watch.yaml", &watch("2s", ""));
    watching.signal(Signal::SIGHUP);
    watching.wait_for("the file is read again (checks: 1, lines: 3)");
    // It dials another number, which the target has now, and expects something: its agents stay registered all the same.
    desk.write("pbx.yaml", &pbx("busy: \"3486\", other: \"4486\""));
    let other = standing.replace("number: busy", "number: other, answer_within: 9s")
        + "expect: [each: { class: call.callee_busy }]\n";
    desk.write("standing.yaml", &other);
    watching.signal(Signal::SIGHUP);
    watching.wait_for("the file is read again (checks: 1, lines: 3)");
    for _ in 0..4 {
        watching.wait_for("4486");
    }
    assert_eq!(registrar.counts(), (registered, registered - 3), "nobody is registered anew");
    // Another registration is: those of before are given back.
    desk.write("standing.yaml", &other.replace("expires: 3600", "expires: 1800"));
    watching.signal(Signal::SIGHUP);
    watching.wait_for("the file is read again (checks: 1, lines: 3)");
    for _ in 0..4 {
        watching.wait_for("4486");
    }
    assert_eq!(registrar.counts().0, registered + 3);
    assert_eq!(watching.end(), Some(0));
    let (registered, ended) = registrar.counts();
    assert_eq!(ended, registered, "all are given back");
    let records = records(&desk.path("out"));
    assert!(records.iter().any(|it| it.trunk.as_deref() == Some("cht")), "labels hold from the reload on");
}

const CALL: &str = "scenario: call\ntarget: lab\n\
    caller: { account: agents, steps: [{ dial: { number: internal, media: none } }, { wait: 100ms }, hangup] }\n";

#[test]
fn a_check_that_hangs_ends_in_time_is_told_as_what_it_is_and_holds_up_no_other() {
    let desk = Desk::new();
    desk.write("call.yaml", CALL);
    desk.write(
        "hangs.yaml",
        "scenario: hangs\ntarget: lab\ncaller: { account: agents, steps: [{ dial: { number: no_response, media: none, \
         answer_within: 3s } }] }\n",
    );
    desk.write(
        "watch.yaml",
        "watch: w\nchecks:\n  - { scenario: hangs.yaml, every: 1s, reproduce: 0 }\n  - { scenario: call.yaml, every: 1s }\n\
         sinks: [{ prometheus: { listen: '127.0.0.1:0' } }]\npage: { listen: '127.0.0.1:0' }\n",
    );
    let watching = Watching::start(&desk, &["watch", "watch.yaml", "--out", "out"], PATIENCE);
    let address = |line: String| line.split("http://").nth(1).expect("an address").split('/').next().map(str::to_owned);
    let figures = address(watching.wait_for("figures at http://")).expect("an address");
    let page = address(watching.wait_for("page at http://")).expect("an address");
    watching.wait_for("hangs: a start is left out: the call before is still under way");
    let over = watching.wait_for("-hangs-000001");
    assert!(over.contains("call.timeout"), "{over}");
    for _ in 0..3 {
        watching.wait_for("  ok 200");
    }
    watching.wait_for("hangs: a start is left out: the call before is still under way");
    let left_out =
        "ringfleet_watch_starts_left_out_total{watch=\"w\",check=\"hangs\",target=\"lab\",why=\"under_way\"} ";
    assert!(get(&figures, "/metrics").1.contains(left_out));
    let shown = || -> serde_json::Value {
        let body = get(&page, "/api/v1/lines").1;
        serde_json::from_str(&body).expect("JSON")
    };
    let line = |shown: &serde_json::Value| shown["lines"][0].clone();
    while line(&shown())["left_out"]["why"] != "the call before is still under way" {
        watching.wait_for(" ");
    }
    assert_eq!(line(&shown())["last"]["class"], "call.timeout");
    // The one that hangs would hold up its end by half a minute.
    watching.kill();
    let records = records(&desk.path("out"));
    let of = |scenario: &str| records.iter().filter(|it| it.scenario == scenario).count();
    assert!(of("call") > of("hangs"), "the other goes on: {} and {}", of("call"), of("hangs"));
}

#[test]
fn a_site_whose_dns_is_gone_says_so_of_itself_and_nothing_of_its_targets() {
    let desk = Desk::new();
    // It takes every question and answers none.
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a port");
    for name in ["a", "b"] {
        desk.write(
            &format!("{name}.yaml"),
            &format!(
                "target: {name}\nsip: {{ server: \"sip:{name}.test:5060\" }}\nnumbers: {{ busy: \"3486\" }}\n\
                 accounts: {{ agents: {{ users: \"1001..1003\", password: \"${{PROBE_PASSWORD}}\" }} }}\n\
                 safety: {{ max_calls: 10000000 }}\n"
            ),
        );
    }
    desk.write(
        "call.yaml",
        "scenario: call\ntarget: a.yaml\ncaller: { account: agents, steps: [{ dial: { number: busy, media: none } }] }\n",
    );
    let check = |name: &str| {
        format!("  - {{ name: {name}, scenario: call.yaml, target: {name}.yaml, agents: each, every: 2s }}\n")
    };
    desk.write(
        "watch.yaml",
        &format!(
            "watch: w\nsite: desk\nchecks:\n{}{}sinks: [{{ prometheus: {{ listen: '127.0.0.1:0' }} }}]\n\
             page: {{ listen: '127.0.0.1:0' }}\n",
            check("a"),
            check("b")
        ),
    );
    let nameserver = silent.local_addr().expect("bound").to_string();
    let arguments = ["watch", "watch.yaml", "--out", "out", "--nameserver", &nameserver];
    let watching = Watching::start(&desk, &arguments, PATIENCE);
    let address = |line: String| line.split("http://").nth(1).expect("an address").split('/').next().map(str::to_owned);
    let figures = address(watching.wait_for("figures at http://")).expect("an address");
    let page = address(watching.wait_for("page at http://")).expect("an address");
    let said = watching.wait_for("cannot be resolved");
    assert!(said.contains("a.test cannot be resolved, as no name server answers"), "{said}");
    let told = watching.wait_for("Who: our own site desk");
    assert!(!told.contains("platform"), "{told}");
    let (_, body) = get(&figures, "/metrics");
    assert!(body.contains("ringfleet_watch_names_unknown{watch=\"w\"} 2\n"), "{body}");
    let status: serde_json::Value = serde_json::from_str(&get(&page, "/api/v1/status").1).expect("JSON");
    let troubles = status["troubles"].to_string();
    assert!(troubles.contains("no name server answers") && troubles.contains("probe.no_dns"), "{troubles}");
    assert_eq!(status["lines"]["failing"], 0, "no line is said to fail: {status}");
    assert_eq!(watching.end(), Some(0));
    let records = records(&desk.path("out"));
    assert!(!records.is_empty());
    assert!(records.iter().all(|it| it.class == Class::ProbeNoDns), "{:?}", records[0].class);
    let incidents = std::fs::read_to_string(desk.path("out/incidents.jsonl")).expect("there");
    let scopes: BTreeSet<String> = incidents
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["scope"].to_string())
        .collect();
    assert_eq!(scopes, BTreeSet::from(["\"probe_site\"".to_owned()]));
}

#[test]
fn a_kill_after_the_results_are_written_and_before_what_the_judge_knows_is_forgets_no_failure() {
    let desk = Desk::new();
    desk.write(
        "lab.yaml",
        "lab: lines\naccounts: { users: \"1001..1004\", password: secret }\nextensions:\n  \
         fine: { number: 2000, does: { echo: { answer_after: 10ms } } }\n  gone: { number: 3404, does: { reject: { code: 503 } } }\n",
    );
    for name in ["fine", "gone"] {
        let steps = format!("[{{ dial: {{ number: {name}, media: none }} }}, hangup]");
        let text = format!("scenario: {name}\ntarget: lab.yaml\ncaller: {{ account: agents, steps: {steps} }}\n");
        desk.write(&format!("{name}.yaml"), &text);
    }
    desk.write(
        "watch.yaml",
        "watch: w\nchecks:\n  - { scenario: fine.yaml, target: lab.yaml, every: 1s }\n  \
         - { scenario: gone.yaml, target: lab.yaml, every: 5s, reproduce: 0 }\n",
    );
    let watching = Watching::start(&desk, &["watch", "watch.yaml", "--out", "out"], PATIENCE);
    let first = watching.wait_for("-gone-000001");
    assert!(first.contains(" 503"), "{first}");
    let first = first.split_whitespace().find(|word| word.ends_with("-gone-000001")).expect("its id").to_owned();
    // The results are written a second after a failure, what the judge knows within a minute.
    for _ in 0..3 {
        watching.wait_for("  ok 200");
    }
    watching.kill();
    let told = std::fs::read_to_string(desk.path("out/incidents.jsonl")).unwrap_or_default();
    assert_eq!(told, "", "nothing was told yet");
    let watching = Watching::start(&desk, &["watch", "watch.yaml", "--out", "out"], PATIENCE);
    watching.wait_for(" opened");
    assert_eq!(watching.end(), Some(0));
    let changes = std::fs::read_to_string(desk.path("out/incidents.jsonl")).expect("there");
    let opened: serde_json::Value = serde_json::from_str(changes.lines().next().expect("a change")).expect("JSON");
    assert_eq!((&opened["change"], &opened["first_call"]["call_id"]), (&"opened".into(), &first.into()), "{opened}");
}
