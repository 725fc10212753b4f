//! `ringfleet lab` as a process: its file read again, and limits that it has on addresses of this machine.

use serde_json::Value;

use crate::cli::{Desk, code, records, summary, text};

const CALL: &str = "scenario: call\ntarget: pbx\ncaller: { account: agents, steps: [{ dial: { number: echo, media: none } }, \
                    hangup] }\nload: { calls: 1 }\n";

/// A target file for a lab of the accounts 1001 to 1020.
fn target(desk: &Desk, lab: std::net::SocketAddr, sip: &str, rest: &str) {
    desk.write(
        "targets/pbx.yaml",
        &format!(
            "target: pbx\nsip: {{ server: \"sip:{lab}\", domain: lab.ringfleet.invalid{sip} }}\n\
             accounts: {{ agents: {{ users: \"1001..1020\", password: \"${{PROBE_PASSWORD}}\" }} }}\n\
             numbers: {{ echo: \"2000\", internal: \"2001\" }}\nsafety: {{ allow: [\"^[0-9]{{4,}}$\"], emergency: TW }}\n{rest}"
        ),
    );
}

#[test]
fn a_lab_reads_its_file_again_when_it_is_asked_to_and_keeps_what_it_had_with_a_mistake_in_it() {
    let desk = Desk::new();
    let faults = |does: &str| desk.write("lab.yaml", &format!("lab: town\nfaults: [{does}]\n"));
    faults("");
    let mut lab = desk.listen(&["lab", "lab.yaml", "--listen", "127.0.0.1:0"]);
    target(&desk, lab.address, "", "");
    desk.write("call.yaml", CALL);
    let mut runs = 0;
    // A signal takes a while to be heeded: so many calls are made until one is answered so.
    let mut meets = |wanted: u16| {
        let met = (0..40).any(|_| {
            runs += 1;
            let out = format!("run-{runs}");
            let output = desk.run(&["run", "call.yaml", "--out", &out]);
            assert!(code(&output).is_some(), "{}", text(&output.stderr));
            records(&desk.path(&out))[0].code == Some(wanted)
        });
        assert!(met, "no call was answered with {wanted}");
    };
    meets(200);
    faults("{ accounts: 1001, does: { reject: { code: 480 } } }");
    lab.hang_up();
    meets(480);
    faults("{ trunks: [nowhere], does: silence }");
    lab.hang_up();
    meets(480);
    faults("");
    lab.hang_up();
    meets(200);
    assert_eq!(lab.interrupt(), 0);
}

#[test]
fn a_limit_of_each_source_address_is_told_from_the_trunks_by_other_addresses_of_this_machine() {
    let desk = Desk::new();
    desk.write(
        "lab.yaml",
        "lab: town\ncalls: { per_source: { calls: 4 } }\ntrunks: { main: { prefix: 900, calls: 6 } }\n",
    );
    let mut lab = desk.listen(&["lab", "lab.yaml", "--listen", "127.0.0.1:0"]);
    desk.write(
        "full.yaml",
        "scenario: full\ntarget: pbx\ncaller: { account: agents, steps: [{ dial: { number: \"900{{ n | pad(4) }}\", trunk: main, \
         media: none } }, hold_open] }\n\
         load: { find_limit: { of: concurrent_calls, up_to: 12, step_every: 50ms, pauses: [200ms, 1s], control: { number: \
         internal } } }\n",
    );
    let trunk = "trunks: { main: { contracted_calls: 6, select: { prefix: 900 } } }\nsaturate: { allowed: true, exclusive: true }\n";
    for (addresses, finding, measured) in [
        ("", "call.shared_limit", Value::Null),
        (", local_addresses: [127.0.0.1, 127.0.0.2]", "call.source_limit", Value::Null),
        (", local_addresses: [127.0.0.1, 127.0.0.2, 127.0.0.3]", "call.source_limit", Value::Null),
    ] {
        target(&desk, lab.address, addresses, trunk);
        let out = format!("out-{}", addresses.len());
        let output = desk.run(&["run", "full.yaml", "--out", &out]);
        let printed = text(&output.stdout) + &text(&output.stderr);
        let limit = &summary(&desk.path(&out))["limits"][0];
        assert_eq!((&limit["finding"], &limit["measured"]), (&Value::from(finding), &measured), "{limit}\n{printed}");
    }
    assert_eq!(lab.interrupt(), 0);
}

#[test]
fn calls_of_a_load_go_out_from_every_local_address_of_the_target() {
    let desk = Desk::new();
    desk.write("lab.yaml", "lab: town\ncalls: { per_source: { calls: 4 } }\n");
    let lab = desk.listen(&["lab", "lab.yaml", "--listen", "127.0.0.1:0"]);
    desk.write(
        "load.yaml",
        "scenario: load\ntarget: pbx\ncaller: { account: agents, steps: [{ dial: { number: internal } }, { talk: { for: 1s } }, \
         hangup] }\nload: { concurrent: 8, calls: 8 }\n",
    );
    for (addresses, answered) in [("", 4), (", local_addresses: [127.0.0.1, 127.0.0.2]", 8)] {
        target(&desk, lab.address, addresses, "");
        let out = format!("out-{answered}");
        let output = desk.run(&["run", "load.yaml", "--out", &out]);
        let summary = summary(&desk.path(&out));
        assert_eq!(summary["answered"], answered, "{}{}", text(&output.stdout), text(&output.stderr));
    }
}

#[test]
fn local_addresses_that_cannot_reach_the_server_are_said_before_the_first_call() {
    let desk = Desk::new();
    target(&desk, ([127, 0, 0, 1], 5060).into(), ", local_addresses: [\"::1\"]", "");
    desk.write("call.yaml", CALL);
    let output = desk.run(&["run", "call.yaml", "--out", "out"]);
    let said = text(&output.stderr);
    assert_eq!(code(&output), Some(4), "{said}");
    let wanted = "no address of `local_addresses` is of the same family as 127.0.0.1, where 127.0.0.1 is";
    assert!(said.contains(wanted), "{said}");
}
