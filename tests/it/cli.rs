//! The binary itself: exit codes, run folders, what it prints, and how it takes a signal.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use ringfleet::record::{CallRecord, Class, Heard};
use ringfleet::report::Summary;
use serde_json::Value;

use crate::influx_front::{Config, Front};
use crate::scenarios::root;

/// A folder of its own with the scenarios in it.
pub(crate) struct Desk {
    folder: tempfile::TempDir,
}

/// A process that listens; it ends with the test.
pub(crate) struct Listening {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Listening {
    /// Most memory that it had so far, KiB.
    pub(crate) fn peak_memory_kib(&self) -> u64 {
        peak_memory_kib(self.child.id()).expect("it runs")
    }

    pub(crate) fn hang_up(&self) {
        signal(&self.child, Signal::SIGHUP);
    }

    pub(crate) fn interrupt(&mut self) -> i32 {
        signal(&self.child, Signal::SIGINT);
        self.child.wait().expect("it ends").code().unwrap_or(-1)
    }
}

/// Most memory that a process had resident so far, KiB; `None` once it is over.
fn peak_memory_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn signal(child: &Child, which: Signal) {
    let pid = nix::unistd::Pid::from_raw(child.id() as i32);
    nix::sys::signal::kill(pid, which).expect("it runs");
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("writable") }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("it has one")).expect("writable");
        fs::write(&path, text).expect("writable");
        path
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringfleet"));
        command.args(arguments).current_dir(self.folder.path()).env("PROBE_PASSWORD", "ringfleet");
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("it starts")
    }

    /// Runs a command to its end; with it, the most memory that it had resident, KiB.
    pub(crate) fn run_and_watch(&self, arguments: &[&str]) -> (Output, u64) {
        let child = self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let pid = child.id();
        let watch = std::thread::spawn(move || {
            let mut peak = 0;
            // The figure never falls, and is gone with the process.
            while let Some(now) = peak_memory_kib(pid) {
                peak = now;
                std::thread::sleep(Duration::from_millis(5));
            }
            peak
        });
        let output = child.wait_with_output().expect("it runs");
        (output, watch.join().expect("it counts"))
    }

    /// Starts a command that prints the address it listens on in its first line.
    pub(crate) fn listen(&self, arguments: &[&str]) -> Listening {
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
    pub(crate) fn target(&self, server: SocketAddr, transport: &str, media: &str) {
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

pub(crate) fn example(name: &str) -> String {
    root().join("scenarios").join(name).display().to_string()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn summary(folder: &Path) -> Value {
    let path = folder.join("summary.json");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let _: Summary = serde_json::from_str(&text).expect("it is a summary");
    serde_json::from_str(&text).expect("it is JSON")
}

pub(crate) fn records(folder: &Path) -> Vec<CallRecord> {
    let text = fs::read_to_string(folder.join("calls.jsonl")).expect("written");
    text.lines().map(|line| serde_json::from_str(line).expect("a record")).collect()
}

pub(crate) fn code(output: &Output) -> Option<i32> {
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

    let sheet = desk.run(&["sheet", "out", &records[0].call_id]);
    assert_eq!(code(&sheet), Some(0));
    let sheet = text(&sheet.stdout);
    for line in
        ["Company              (missing)\n", "SIP code             486\n", "What it showed       call.callee_busy\n"]
    {
        assert!(sheet.contains(line), "{line} in {sheet}");
    }
    let evidence = format!("out/evidence/{}/ladder.txt", records[0].call_id);
    assert!(sheet.contains(&evidence) && sheet.contains(&records[0].sip_call_ids[0]), "{sheet}");
    assert_eq!(code(&desk.run(&["sheet", "out", "no-such-call"])), Some(2));

    fs::remove_file(out.join("report.html")).expect("it is there");
    assert_eq!(code(&desk.run(&["report", "out"])), Some(0));
    assert!(out.join("report.html").exists());
}

#[test]
fn a_sheet_names_the_company_of_the_target_and_masks_numbers_where_asked() {
    let desk = Desk::new();
    assert_eq!(code(&desk.run(&["run", &example("busy.yaml"), "--out", "out"])), Some(0));
    let (out, record) = (desk.path("out"), records(&desk.path("out")).remove(0));
    let mut summary = summary(&out);
    summary["about"][&record.target] = serde_json::json!({ "company": "Example Ltd", "tax_id": "00000000" });
    fs::write(out.join("summary.json"), summary.to_string()).expect("writable");
    let shown = desk.run(&["sheet", "out", &record.call_id, "--json", "--mask-numbers"]);
    let sheet: Value = serde_json::from_slice(&shown.stdout).expect("JSON alone");
    assert_eq!((&sheet["company"], &sheet["tax_id"]), (&Value::from("Example Ltd"), &Value::from("00000000")));
    assert_eq!(sheet["missing"], serde_json::json!(["environment", "login_url", "trunk"]));
    assert_eq!(sheet["to"], Value::from(ringfleet::units::masked(record.to.as_deref().expect("called"))));
}

#[test]
fn a_run_with_a_database_writes_calls_windows_registrations_and_the_seconds_of_their_media() {
    let front = Front::start(Config::default()).expect("starts");
    let desk = Desk::new();
    desk.write(
        "talk.yaml",
        "scenario: talk\ntarget: lab\ncaller: { account: agents, steps: [register, { dial: { number: internal } }, \
         { talk: { for: 2200ms } }, hangup] }\nload: { concurrent: 2, calls: 2 }\n",
    );
    let url = format!("http://{}?org=o&bucket=b", front.addr);
    let mut run = desk.command(&["run", "talk.yaml", "--out", "out", "--influx", &url]);
    let output = run.env("INFLUX_TOKEN", "t0ken").output().expect("it starts");
    assert_eq!(code(&output), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
    let summary = summary(&desk.path("out"));
    let sink = &summary["sinks"][0];
    assert_eq!((&sink["measured"], &sink["spooled"]), (&sink["written"], &Value::from(0)));
    let store = front.store();
    assert_eq!(sink["written"], store.points.len());
    let records = &summary["records"];
    assert_eq!((&records["media_legs"], &records["media_sampled"]), (&Value::from(2), &Value::from(2)));
    assert_eq!(records["media_sampled_pct"], 100.0);
    let calls = store.values("call", "call_id");
    assert_eq!(calls.len(), 2);
    // Two whole seconds of each call.
    assert_eq!(store.values("media", "call_id"), [&calls[0], &calls[0], &calls[1], &calls[1]].map(Clone::clone));
    assert_eq!(store.values("registration", "expires_s"), ["300i", "300i"]);
    assert!(!store.values("window", "concurrent").is_empty());
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
fn a_process_that_is_stopped_in_mid_run_is_exit_3_and_never_blames_a_perfect_far_end() {
    use nix::sys::signal::{Signal, kill};
    let desk = Desk::new();
    let lab = desk.listen(&["lab", "--listen", "127.0.0.1:0"]);
    desk.target(lab.address, "udp", "");
    desk.write(
        "echo.yaml",
        "scenario: echo\ntarget: pbx\ncaller: { account: agents, steps: [{ dial: { number: echo } }, \
         { talk: { for: 4s } }, hangup] }\nload: { rate: 10/s, calls: 10 }\n\
         expect: [{ each: { outcome: answered, audio: two_way } }, { run: \"p(95) of setup_ms < 500\" }]\n",
    );
    let mut child = desk.command(&["run", "echo.yaml", "--out", "out", "--quiet"]).spawn().expect("it starts");
    let pid = nix::unistd::Pid::from_raw(child.id() as i32);
    // Real time, as this is about a real process: every call is up after two seconds and none has ended.
    std::thread::sleep(Duration::from_millis(2500));
    kill(pid, Signal::SIGSTOP).expect("it runs");
    std::thread::sleep(Duration::from_millis(1500));
    kill(pid, Signal::SIGCONT).expect("it is stopped");
    let code = child.wait().expect("it ends").code();
    let summary = summary(&desk.path("out"));
    assert_eq!((code, &summary["verdict"]), (Some(3), &Value::from("generator_limited")), "{summary:#}");
    let generator = &summary["generator"];
    assert!(generator["stalled_ms_max"].as_f64().is_some_and(|stood| stood > 1400.0), "{generator:#}");
    for record in records(&desk.path("out")) {
        assert!(matches!(record.class, Class::Ok | Class::ProbeStalled), "{record:#?}");
    }
}

#[test]
fn a_run_that_needs_more_descriptors_than_there_are_is_exit_4_with_both_numbers_and_dials_nothing() {
    let desk = Desk::new();
    desk.target("127.0.0.1:5060".parse().expect("valid"), "udp", "");
    desk.write(
        "many.yaml",
        "scenario: many\ntarget: pbx\ncaller: { account: agents, steps: [{ dial: { number: echo } }, \
         { talk: { for: 10s } }, hangup] }\nload: { rate: 2/s, calls: 100 }\n",
    );
    let mut shell = Command::new("sh");
    let run = format!("ulimit -n 64 && exec {} run many.yaml --out out", env!("CARGO_BIN_EXE_ringfleet"));
    shell.args(["-c", &run]).current_dir(desk.folder.path()).env("PROBE_PASSWORD", "ringfleet");
    let output = shell.output().expect("it starts");
    let said = text(&output.stderr);
    assert_eq!(code(&output), Some(4), "{said}");
    assert!(said.contains("file descriptors (ulimit -n), and there are 64"), "{said}");
    // Twenty calls at the same time, two sockets each, and what every run has.
    let needed = said.split_whitespace().skip_while(|word| *word != "needs").nth(1).and_then(|word| word.parse().ok());
    assert!(needed.is_some_and(|needed: u64| (89..120).contains(&needed)), "{said}");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "another program's socket")]
fn a_run_that_needs_more_rtp_ports_than_are_free_is_exit_4_with_both_numbers_and_dials_nothing() {
    let desk = Desk::new();
    let _taken = UdpSocket::bind("127.0.0.1:30010").expect("below the ephemeral ports");
    desk.target("127.0.0.1:5060".parse().expect("valid"), "udp", ", rtp_ports: 30000-30039");
    desk.write(
        "many.yaml",
        "scenario: many\ntarget: pbx\ncaller: { account: agents, steps: [{ dial: { number: echo } }, \
         { talk: { for: 10s } }, hangup] }\nload: { rate: 2/s, calls: 100 }\n",
    );
    let output = desk.run(&["run", "many.yaml", "--out", "out"]);
    assert_eq!(code(&output), Some(4), "{}", text(&output.stderr));
    let said = text(&output.stderr);
    assert!(said.contains("needs 20 pairs of RTP ports in 30000-30039 (rtp_ports), and there are 19"), "{said}");
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
    // Where no name server answers at all, it is `probe.no_dns`.
    let said = text(&output.stderr);
    let names_it = |class: &str| said.contains(&format!("target pbx: {class}: no-such-host.invalid "));
    assert!(names_it("transport.dns") || names_it("probe.no_dns"), "{said}");
}

#[test]
fn a_target_where_nobody_listens_is_exit_4_and_named_even_to_who_wants_to_hear_mistakes_only() {
    #[expect(clippy::disallowed_methods, reason = "a port that is free again")]
    let free = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("free");
    let desk = Desk::new();
    desk.target(free, "tcp", "");
    desk.write(
        "call.yaml",
        "scenario: call\ntarget: pbx\ncaller: { account: agents, steps: [{ dial: { number: echo } }] }\n",
    );
    let output = desk.run(&["run", "call.yaml", "--out", "out", "--quiet"]);
    let said = text(&output.stderr);
    assert_eq!((code(&output), text(&output.stdout)), (Some(4), String::new()), "{said}");
    let target = format!("ringfleet: Nothing was tested: target pbx, {free} over tcp cannot be reached: ");
    assert!(said.starts_with(&target) && said.lines().count() == 1, "{said}");
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
        assert!(!desk.path("runs").exists(), "nothing is left behind");
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
    signal(&child, Signal::SIGINT);
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
fn a_lab_that_listens_at_every_address_is_known_by_one_that_audio_reaches() {
    let desk = Desk::new();
    let mut lab = desk.listen(&["lab", "--listen", "0.0.0.0:0"]);
    let reached = SocketAddr::new("127.0.0.1".parse().expect("valid"), lab.address.port());
    desk.target(reached, "udp", "");
    desk.write(
        "call.yaml",
        "scenario: call\ntarget: pbx\ncaller: { account: one, steps: [register, { dial: { number: echo } }, \
         { talk: { for: 1s } }, hangup] }\nload: { calls: 1 }\nexpect: [{ each: { outcome: answered, audio: two_way } }]\n",
    );
    let output = desk.run(&["run", "call.yaml", "--out", "out"]);
    assert_eq!(code(&output), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(lab.interrupt(), 0);
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
fn an_answer_without_an_end_of_its_own_ends_well_when_it_is_interrupted() {
    let desk = Desk::new();
    let mut answer = desk.listen(&["answer", "--listen", "127.0.0.1:0", "--out", "far"]);
    assert_eq!(answer.interrupt(), 0, "nobody called, and nothing failed");
    let summary = summary(&desk.path("far"));
    assert_eq!((&summary["attempted"], &summary["verdict"]), (&Value::from(0), &Value::from("pass")));
    assert_eq!(summary["headline"], "No call was made or taken; nothing failed.");
}

#[test]
fn an_answer_that_is_interrupted_before_the_end_it_was_given_is_exit_130() {
    let desk = Desk::new();
    let mut answer = desk.listen(&["answer", "--listen", "127.0.0.1:0", "--out", "far", "--calls", "1"]);
    assert_eq!(answer.interrupt(), 130);
    assert_eq!(summary(&desk.path("far"))["verdict"], "interrupted");
}

#[test]
fn an_answer_whose_time_is_over_before_its_calls_have_come_is_exit_1() {
    let desk = Desk::new();
    let arguments = ["answer", "--listen", "127.0.0.1:0", "--out", "far", "--quiet", "--for", "200ms"];
    assert_eq!(code(&desk.run(&arguments)), Some(0));
    let output = desk.run(&[&arguments[..], &["--calls", "1"]].concat());
    assert_eq!(code(&output), Some(1));
    let summary = summary(&desk.path("far"));
    assert_eq!(summary["expectations"][0]["text"], "every planned attempt is made");
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("readable").map(|entry| entry.expect("readable").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn numbers_are_masked_in_every_file_of_a_run_and_on_the_screen() {
    let desk = Desk::new();
    desk.write(
        "lab.yaml",
        "lab: town\naccounts: { users: \"0912345601..0912345603\" }\nextensions:\n  \
         echo: { number: \"0223456789\", does: echo }\n  \
         busy: { number: \"0223450007\", does: { reject: { code: 486, reason: \"0223450007 is busy\" } } }\n",
    );
    let lab = desk.listen(&["lab", "lab.yaml", "--listen", "127.0.0.1:0"]);
    desk.write(
        "targets/pbx.yaml",
        &format!(
            "target: pbx\nsip: {{ server: \"sip:{}\", domain: lab.ringfleet.invalid, headers: {{ X-Desk: \"0800555123\" }} }}\n\
             accounts: {{ agents: {{ users: \"0912345601..0912345603\", password: \"${{PROBE_PASSWORD}}\" }} }}\n\
             numbers: {{ echo: \"0223456789\", busy: \"0223450007\" }}\nsafety: {{ emergency: TW }}\nmask_numbers: true\n",
            lab.address
        ),
    );
    for (name, number) in [("echo", "echo"), ("busy", "busy")] {
        let steps = format!("[register, {{ dial: {{ number: {number} }} }}, {{ talk: {{ for: 300ms }} }}, hangup]");
        let scenario = format!("scenario: {name}\ntarget: pbx\ncaller: {{ account: agents, steps: {steps} }}\n");
        desk.write(&format!("{name}.yaml"), &scenario);
        // Nobody listens at port 9: what is for InfluxDB stays in the spool.
        let sink = "http://127.0.0.1:9?org=o&bucket=b";
        let mut command = desk.command(&["run", &format!("{name}.yaml"), "--out", name, "--influx", sink]);
        let output = command.env("INFLUX_TOKEN", "t").env("RUST_LOG", "trace").output().expect("it starts");
        let printed = text(&output.stdout) + &text(&output.stderr);
        let shown = desk.run(&["evidence", name, &records(&desk.path(name))[0].call_id]);
        let mut outputs = vec![("the screen".to_owned(), printed), ("evidence".to_owned(), text(&shown.stdout))];
        let read = |path: &PathBuf| (path.display().to_string(), text(&fs::read(path).expect("readable")));
        outputs.extend(files(&desk.path(name)).iter().map(read));
        for kind in ["calls.jsonl", "ladder.txt", "messages.txt", "record.json", "report.html", "junit.xml", "spool"] {
            assert!(outputs.iter().any(|(path, _)| path.contains(kind)), "{kind} is among {}", outputs.len());
        }
        for (path, text) in &outputs {
            for digits in ["09123456", "02234567", "02234500", "08005551"] {
                assert!(!text.contains(digits), "{digits} in {path}:\n{text}");
            }
        }
        let record = &records(&desk.path(name))[0];
        assert_eq!(record.from.as_deref(), Some("********01"));
        assert_eq!(record.to.as_deref(), Some(if name == "echo" { "********89" } else { "********07" }));
        assert_eq!(record.code, Some(if name == "echo" { 200 } else { 486 }), "masked on paper, not on the wire");
    }
}

#[test]
fn a_line_whose_window_is_closed_is_not_filled() {
    let desk = Desk::new();
    let from = jiff::Zoned::now().time().hour() + 2;
    let window = format!("{:02}:00-{:02}:00", from.rem_euclid(24), (from + 1).rem_euclid(24));
    desk.write(
        "targets/pbx.yaml",
        &format!(
            "target: pbx\nsip: {{ server: \"sip:127.0.0.1:9\" }}\n\
             accounts: {{ agents: {{ users: \"1001..1020\", password: \"${{PROBE_PASSWORD}}\" }} }}\n\
             trunks: {{ main: {{ contracted_calls: 2 }} }}\nnumbers: {{ echo: \"2000\" }}\n\
             saturate: {{ allowed: true, window: \"{window}\" }}\n",
        ),
    );
    desk.write(
        "fill.yaml",
        "scenario: fill\ntarget: pbx\ncaller: { account: agents, steps: [{ dial: { number: echo, trunk: main } }, \
         { talk: { for: 1s } }] }\nload: { concurrent: 3, calls: 3 }\n",
    );
    let output = desk.run(&["run", "fill.yaml", "--out", "out"]);
    assert_eq!(code(&output), Some(2), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("the load fills trunk `main` of `pbx` (3 calls, it has 2)"));
    assert!(text(&output.stderr).trim_end().ends_with("nothing was dialled") && !desk.path("out").exists());
    let checked = desk.run(&["check", "fill.yaml"]);
    assert!(text(&checked.stdout).contains("fills             trunk `main` of `pbx`"), "{}", text(&checked.stdout));
    // The time of day is that of the machine's zone: it was UTC once, whatever the machine's was.
    let minutes = |zone: &str| -> i32 {
        let output = desk.command(&["run", "fill.yaml", "--out", "out"]).env("TZ", zone).output().expect("it starts");
        let said = text(&output.stderr);
        let time = said.split("it is ").nth(1).and_then(|rest| rest.get(..5)).unwrap_or_else(|| panic!("{said}"));
        let (hours, minutes) = time.split_once(':').expect("as 12:30");
        hours.parse::<i32>().expect("a number") * 60 + minutes.parse::<i32>().expect("a number")
    };
    let (utc, east) = (minutes("UTC0"), minutes("<+05>-5"));
    assert!([300, 301].contains(&(east - utc).rem_euclid(1440)), "{utc} {east}");
}

#[test]
fn a_pause_that_the_far_side_asks_for_is_kept_by_every_worker_and_is_no_lateness_of_ours() {
    let desk = Desk::new();
    desk.write(
        "overloaded.yaml",
        "lab: overloaded\nextensions: { full: { number: 3503, does: { reject: { code: 503, retry_after: 60 } } } }\n",
    );
    desk.write(
        "call.yaml",
        "scenario: call\ntarget: ./overloaded.yaml\ncaller: { account: agents, steps: [{ dial: { number: full } }] }\n\
         load: { rate: 4/s, calls: 6 }\n",
    );
    let output = desk.run(&["run", "call.yaml", "--out", "out", "--workers", "2"]);
    assert_eq!(code(&output), Some(1), "{}", text(&output.stderr));
    let summary = summary(&desk.path("out"));
    assert_eq!((&summary["verdict"], &summary["attempted"]), (&Value::from("fail"), &Value::from(1)));
    assert_eq!((&summary["back_off"]["pauses"], &summary["back_off"]["held_back"]), (&Value::from(1), &Value::from(5)));
    assert_eq!(summary["generator"]["dropped_starts"], 0);
    let note = "5 fell into pauses that the far side had asked for (503 with Retry-After)";
    assert!(summary["expectations"].as_array().expect("a list").iter().any(|it| it["note"] == note), "{summary:#}");
    let said = "overloaded wants no calls for 60 s (503 with Retry-After)";
    assert!(text(&output.stderr).contains(said), "{}", text(&output.stderr));
}

/// What the run shows is gone, and what it came to is not: the exit code, the folder.
#[test]
fn output_that_nobody_reads_ends_no_command_before_its_time() {
    let desk = Desk::new();
    let unread = |words: &[&str]| {
        let closed = || std::io::pipe().expect("a pipe").1;
        let mut command = desk.command(words);
        command.stdout(closed()).stderr(closed()).status().expect("it runs").code()
    };
    let scenario = example("outbound-dial.yaml");
    assert_eq!(unread(&["run", &scenario, "--set", "load.calls=1", "--records", "all", "--out", "unread"]), Some(0));
    let call = records(&desk.path("unread")).remove(0).call_id;
    for words in [
        &["evidence", "unread", &call][..],
        &["sheet", "unread", &call],
        &["report", "unread"],
        &["explain", "call.congestion"],
        &["schema", "target"],
        &["check", &scenario],
        &["--help"],
    ] {
        assert_eq!(unread(words), Some(0), "{words:?}");
    }
    assert_eq!(unread(&["explain", "banana"]), Some(2));
    assert_eq!(unread(&["evidence", "nowhere", &call]), Some(2));
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
