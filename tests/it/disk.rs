//! A disk that takes no more: the run ends, and its exit code and what it prints say so.

use std::fs;
use std::process::Command;

use crate::cli::Desk;

#[test]
fn a_run_whose_results_cannot_be_kept_ends_with_code_3_and_says_why() {
    let desk = Desk::new();
    desk.write(
        "many.yaml",
        "scenario: many\ntarget: lab\ncaller: { account: agents, steps: [{ dial: { number: echo, media: none } }, \
         hangup] }\nload: { rate: 100/s, calls: 1000 }\n",
    );
    // The system refuses what makes a file longer than a few kilobytes, as a full disk refuses it.
    let program = env!("CARGO_BIN_EXE_ringfleet");
    let script = format!("trap '' XFSZ; ulimit -f 8; exec {program} run many.yaml --out out --quiet");
    let output = Command::new("sh").args(["-c", &script]).current_dir(desk.path("")).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    let wanted = "results could not be kept, so the run was ended: cannot write out/calls.jsonl: File too large";
    assert!(said.contains(wanted), "{said}");
    let kept = fs::read_to_string(desk.path("out/calls.jsonl")).expect("there").lines().count();
    assert!((1..20).contains(&kept), "{kept} records");
    assert!(!desk.path("out/summary.json.tmp").exists(), "no half file is left");
}
