//! The binary itself: exit codes, run folders, what it prints, and how it takes a signal.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use ringfleet::record::{CallRecord, Class, Heard};
use ringfleet::report::Summary;
use serde_json::Value;

use crate::scenarios::root;

/// A folder of its own with the scenarios in it.
struct Desk {
    folder: tempfile::TempDir,
}

/// A process that listens; it ends with the test.
struct Listening {
    child: Child,
    address: SocketAddr,
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Listening {
    fn interrupt(&mut self) -> i32 {
        signal(&self.child);
        self.child.wait().expect("it ends").code().unwrap_or(-1)
    }
}

fn signal(child: &Child) {
    let pid = nix::unistd::Pid::from_raw(child.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).expect("it runs");
}

impl Desk {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("writable") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("it has one")).expect("writable");
        fs::write(&path, text).expect("writable");
        path
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringfleet"));
        command.args(arguments).current_dir(self.folder.path()).env("PROBE_PASSWORD", "ringfleet");
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("it starts")
    }

    /// Starts a command that prints the address it listens on in its first line.
    fn listen(&self, arguments: &[&str]) -> Listening {
        let mut child =
            self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
        let mut line = String::new();
        let mut printed = BufReader::new(child.stdout.take().expect("piped"));
        printed.read_line(&mut line).expect("readable");
        let address = line.split_whitespace().find_map(|word| word.parse().ok());
        // What it prints later must find a reader.
        std::thread::spawn(move || {
            let _ = printed.read_to_string(&mut String::new());
        });
        Listening { child, address: address.unwrap_or_else(|| panic!("no address in {line:?}")) }
    }

    /// A target file for a server of the lab's accounts.
    fn target(&self, server: SocketAddr, transport: &str, media: &str) {
        let text = format!(
            "target: pbx\nsip: {{ server: \"sip:{server}\", transport: {transport}, domain: lab.ringfleet.invalid, \
             pairing_header: X-Ringfleet-Call }}\n\
             media: {{ codecs: [PCMA]{media} }}\n\
             accounts:\n  agents: {{ users: \"1001..1020\", password: \"${{PROBE_PASSWORD}}\" }}\n  \
             one: {{ users: \"1001\", password: \"${{PROBE_PASSWORD}}\" }}\n\
             numbers: {{ echo: \"2000\", ring: \"2100\" }}\nsafety: {{ allow: [\"^[0-9]{{4,}}$\"], emergency: TW }}\n"
        );
        self.write("targets/pbx.yaml", &text);
    }
}

fn example(name: &str) -> String {
    root().join("scenarios").join(name).display().to_string()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn summary(folder: &Path) -> Value {
    let path = folder.join("summary.json");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let _: Summary = serde_json::from_str(&text).expect("it is a summary");
    serde_json::from_str(&text).expect("it is JSON")
}

fn records(folder: &Path) -> Vec<CallRecord> {
    let text = fs::read_to_string(folder.join("calls.jsonl")).expect("written");
    text.lines().map(|line| serde_json::from_str(line).expect("a record")).collect()
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

#[test]
fn a_run_that_passes_leaves_every_file_of_its_folder_and_its_commands_read_them() {
    let desk = Desk::new();
    let output = desk.run(&["run", &example("busy.yaml"), "--out", "out"]);
    assert_eq!(code(&output), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
    let out = desk.path("out");
    let summary = summary(&out);
    assert_eq!((&summary["verdict"], &summary["exit_code"]), (&Value::from("pass"), &Value::from(0)));
    assert_eq!(summary["codes"]["486"], 1);
    let records = records(&out);
    assert_eq!((records.len(), records[0].code), (1, Some(486)));
    let windows = fs::read_to_string(out.join("windows.jsonl")).expect("written");
    assert!(windows.lines().count() >= 1);
    assert!(windows.lines().all(|line| serde_json::from_str::<ringfleet::measure::Window>(line).is_ok()));
    assert!(out.join("report.html").exists());
    assert!(out.join("junit.xml").exists());
    let evidence = out.join("evidence").join(&records[0].call_id);
    let ladder = fs::read_to_string(evidence.join("ladder.txt")).expect("written");
    assert!(ladder.contains("486 Busy Here"), "{ladder}");
    assert!(!ladder.contains("response=\""), "credentials are not shown: {ladder}");
    let kept: CallRecord =
        serde_json::from_str(&fs::read_to_string(evidence.join("record.json")).expect("written")).expect("a record");
    assert_eq!(kept, records[0]);

    let shown = desk.run(&["evidence", "out", &records[0].call_id]);
    assert_eq!(code(&shown), Some(0));
    assert!(text(&shown.stdout).contains("call.callee_busy") && text(&shown.stdout).contains("486 Busy Here"));
    assert_eq!(code(&desk.run(&["evidence", "out", "no-such-call"])), Some(2));

    fs::remove_file(out.join("report.html")).expect("it is there");
    assert_eq!(code(&desk.run(&["report", "out"])), Some(0));
    assert!(out.join("report.html").exists());
}

#[test]
fn an_expectation_that_fails_is_exit_1_and_says_which() {
    let desk = Desk::new();
    let path = desk.write(
        "wrong.yaml",
        "scenario: wrong\ntarget: lab\ncaller: { account: agents, steps: [{ dial: { number: busy } }] }\n\
         load: { calls: 1 }\nexpect: [{ each: { outcome: answered } }]\n",
    );
    let output = desk.run(&["run", &path.display().to_string(), "--out", "out"]);
    assert_eq!(code(&output), Some(1), "{}", text(&output.stderr));
    let summary = summary(&desk.path("out"));
    assert_eq!(summary["verdict"], "fail");
    assert_eq!(summary["expectations"][0]["pass"], false);
}

#[test]
fn a_bad_file_is_exit_2_and_leaves_no_folder() {
    let desk = Desk::new();
    desk.write("bad.yaml", "scenario: bad\ntarget: lab\ncaller: { account: agents, steps: [{ dail: {} }] }\n");
    let output = desk.run(&["run", "bad.yaml", "--out", "out"]);
    assert_eq!(code(&output), Some(2));
    assert!(text(&output.stderr).contains("did you mean `dial`"), "{}", text(&output.stderr));
    assert!(!desk.path("out").exists() && !desk.path("runs").exists());
    assert_eq!(code(&desk.run(&["run", "missing.yaml"])), Some(2));
    assert_eq!(code(&desk.run(&["run"])), Some(2));
}

#[test]
fn a_server_whose_name_has_no_address_is_exit_4() {
    let desk = Desk::new();
    desk.target("127.0.0.1:5060".parse().expect("valid"), "udp", "");
    let target = fs::read_to_string(desk.path("targets/pbx.yaml")).expect("written");
    desk.write("targets/pbx.yaml", &target.replace("127.0.0.1:5060", "no-such-host.invalid"));
    desk.write(
        "call.yaml",
        "scenario: call\ntarget: pbx\ncaller: { account: agents, steps: [{ dial: { number: echo } }] }\n",
    );
    let output = desk.run(&["run", "call.yaml", "--out", "out"]);
    assert_eq!(code(&output), Some(4), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("cannot resolve no-such-host.invalid"), "{}", text(&output.stderr));
}

#[test]
fn a_port_in_use_is_exit_4_and_named() {
    #[expect(clippy::disallowed_methods, reason = "a port that is taken")]
    let taken = UdpSocket::bind("127.0.0.1:0").expect("free");
    let address = taken.local_addr().expect("bound").to_string();
    let desk = Desk::new();
    for command in ["lab", "answer"] {
        let output = desk.run(&[command, "--listen", &address]);
        assert_eq!(code(&output), Some(4), "{command}");
        let expected = format!("cannot listen on {address}");
        assert!(text(&output.stderr).contains(&expected), "{command}: {}", text(&output.stderr));
    }
}

#[test]
fn an_interrupted_run_hangs_up_and_is_exit_130() {
    let desk = Desk::new();
    desk.write(
        "long.yaml",
        "scenario: long\ntarget: lab\ncaller: { account: agents, steps: [{ dial: { number: internal } }, \
         { talk: { for: 10m } }, hangup] }\nload: { calls: 1 }\n",
    );
    let child = desk.command(&["run", "long.yaml", "--out", "out", "--quiet"]).spawn().expect("it starts");
    let out = desk.path("out");
    // The call is up long before the first window is written.
    wait_for(|| fs::read_to_string(out.join("windows.jsonl")).is_ok_and(|text| !text.is_empty()));
    signal(&child);
    let ended = child.wait_with_output().expect("it ends");
    assert_eq!(code(&ended), Some(130));
    let summary = summary(&out);
    assert_eq!((&summary["verdict"], &summary["answered"]), (&Value::from("interrupted"), &Value::from(1)));
    let record = &records(&out)[0];
    assert_eq!(record.hangup_by.as_deref(), Some("us"));
    let ladder = fs::read_to_string(out.join("evidence").join(&record.call_id).join("ladder.txt")).expect("written");
    assert!(ladder.contains("BYE sip:"), "{ladder}");
}

/// Waits for something that must come, in steps of 20 ms.
fn wait_for(mut done: impl FnMut() -> bool) {
    for _ in 0..500 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("it did not come within ten seconds");
}

#[test]
fn a_value_can_be_set_and_json_prints_the_summary_alone() {
    let desk = Desk::new();
    let output =
        desk.run(&["run", &example("busy.yaml"), "--set", "load.calls=3", "--json", "--out", "out", "--workers", "2"]);
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
    let printed: Value = serde_json::from_slice(&output.stdout).expect("nothing but JSON");
    assert_eq!(printed["attempted"], 3);
    assert_eq!(printed, summary(&desk.path("out")));
}

#[test]
fn more_workers_than_calls_at_a_time_leave_no_call_out() {
    let desk = Desk::new();
    let output = desk.run(&["run", &example("busy.yaml"), "--set", "load.calls=6", "--out", "out", "--workers", "8"]);
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
    assert_eq!(summary(&desk.path("out"))["attempted"], 6);
}

#[test]
fn rtp_ports_that_do_not_suffice_are_named_before_the_first_call() {
    let desk = Desk::new();
    desk.target("127.0.0.1:5060".parse().expect("valid"), "udp", ", rtp_ports: 20000-20001");
    desk.write(
        "two.yaml",
        "scenario: two\ntarget: pbx\ncaller: { account: agents, steps: [{ dial: { number: echo } }] }\n\
         load: { concurrent: 2, calls: 2 }\n",
    );
    let output = desk.run(&["run", "two.yaml", "--out", "out"]);
    assert_eq!(code(&output), Some(2));
    let expected = "2 calls need 4 RTP ports, 20000-20001 has 2";
    assert!(text(&output.stderr).contains(expected), "{}", text(&output.stderr));
    assert!(!desk.path("out").exists());
}

#[test]
fn a_lab_of_its_own_process_is_called_over_udp_and_tcp() {
    let desk = Desk::new();
    let mut lab = desk.listen(&["lab", "--listen", "127.0.0.1:0"]);
    assert_ne!(lab.address.port(), 0, "the port that it was given");
    desk.write(
        "call.yaml",
        "scenario: call\ntarget: pbx\ncaller: { account: one, steps: [register, { dial: { number: echo } }, \
         { talk: { for: 1s } }, hangup] }\nload: { calls: 1 }\nexpect: [{ each: { outcome: answered, audio: two_way } }]\n",
    );
    for transport in ["udp", "tcp"] {
        desk.target(lab.address, transport, "");
        let output = desk.run(&["run", "call.yaml", "--out", transport]);
        assert_eq!(code(&output), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
        assert_eq!(records(&desk.path(transport))[0].transport.as_deref(), Some(transport));
    }
    assert_eq!(lab.interrupt(), 0);
}

#[test]
fn a_call_to_a_running_answer_is_recorded_on_both_sides_and_garbage_harms_nothing() {
    let desk = Desk::new();
    let mut answer = desk.listen(&["answer", "--listen", "127.0.0.1:0", "--calls", "2", "--out", "far"]);
    #[expect(clippy::disallowed_methods, reason = "somebody else's socket")]
    let stranger = UdpSocket::bind("127.0.0.1:0").expect("free");
    let garbage: [&[u8]; 5] =
        [b"", b"\0\xff\xfe", b"GET / HTTP/1.1\r\n\r\n", b"INVITE sip:x SIP/2.0\r\n\r\n", &[0x80; 1400]];
    for bytes in garbage {
        stranger.send_to(bytes, answer.address).expect("sent");
    }
    desk.write(
        "call.yaml",
        "scenario: call\ntarget: pbx\ncaller: { account: one, steps: [{ dial: { number: echo } }, \
         { talk: { for: 1s } }, hangup] }\nload: { calls: 1 }\nexpect: [{ each: { outcome: answered, audio: two_way } }]\n",
    );
    for transport in ["udp", "tcp"] {
        desk.target(answer.address, transport, "");
        let output = desk.run(&["run", "call.yaml", "--out", transport]);
        assert_eq!(code(&output), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
    }
    assert_eq!(answer.child.wait().expect("it ends after its calls").code(), Some(0));
    let far = records(&desk.path("far"));
    assert_eq!(far.len(), 2);
    for (far, transport) in far.iter().zip(["udp", "tcp"]) {
        let near = &records(&desk.path(transport))[0];
        assert_eq!(far.paired_with.as_ref(), Some(&near.call_id));
        assert_eq!(far.transport.as_deref(), Some(transport));
        // Who echoes hears the other, and cannot know what the other hears.
        assert_eq!((far.class, far.audio_rx), (Class::Ok, Heard::Heard), "{far:#?}");
    }
    assert!(summary(&desk.path("far"))["generator"]["malformed"].as_u64() >= Some(3));
}

#[test]
fn an_answer_that_is_interrupted_ends_well() {
    let desk = Desk::new();
    let mut answer = desk.listen(&["answer", "--listen", "127.0.0.1:0", "--out", "far"]);
    // The interruption is its end, not the verdict.
    let code = answer.interrupt();
    let summary = summary(&desk.path("far"));
    assert_eq!((&summary["attempted"], &summary["exit_code"]), (&Value::from(0), &Value::from(code)));
    assert_ne!(code, 130);
}

#[test]
fn classes_and_schemas_are_explained() {
    let desk = Desk::new();
    let output = desk.run(&["explain", "call.congestion"]);
    assert_eq!(code(&output), Some(0));
    assert!(text(&output.stdout).starts_with("call.congestion"));
    assert_eq!(code(&desk.run(&["explain", "banana"])), Some(2));
    for kind in ["scenario", "target", "lab"] {
        let output = desk.run(&["schema", kind]);
        assert_eq!(code(&output), Some(0));
        assert!(serde_json::from_slice::<Value>(&output.stdout).is_ok_and(|schema| schema.is_object()), "{kind}");
    }
    assert_eq!(code(&desk.run(&["schema", "banana"])), Some(2));
    let version = desk.run(&["--version"]);
    assert_eq!(text(&version.stdout).trim(), concat!("ringfleet ", env!("CARGO_PKG_VERSION")));
}
