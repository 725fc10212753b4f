//! Calls over shared media sockets on loopback: either side, both sides, in the clear and encrypted.

use ringfleet::record::Class;

use crate::cli::{Desk, code, records, summary, text};

#[test]
fn calls_over_one_pair_of_ports_are_heard_whichever_side_has_it() {
    const CALLS: u64 = 6;
    let desk = Desk::new();
    desk.write(
        "call.yaml",
        &format!(
            "scenario: call\ntarget: pbx\ncaller: {{ account: agents, steps: [{{ dial: {{ number: echo }} }}, \
             {{ talk: {{ for: 1s }} }}, hangup] }}\nload: {{ concurrent: {CALLS}, calls: {CALLS} }}\n\
             expect: [{{ each: {{ outcome: answered, audio: two_way }} }}]\n"
        ),
    );
    for (called, media) in [
        ("", ", sockets: shared"),
        ("--shared-media", ", sockets: shared"),
        ("--shared-media", ", sockets: shared, srtp: required"),
        ("--shared-media", ""),
    ] {
        let name = format!("{called}{media}");
        let (near, far) = (format!("near {name}"), format!("far {name}"));
        let mut arguments = vec!["answer", "--listen", "127.0.0.1:0", "--out", &far];
        arguments.extend((!called.is_empty()).then_some(called));
        let mut answer = desk.listen(&arguments);
        desk.target(answer.address, "udp", media);
        let output = desk.run(&["run", "call.yaml", "--out", &near]);
        assert_eq!(code(&output), Some(0), "{name}: {}{}", text(&output.stdout), text(&output.stderr));
        assert_eq!(answer.interrupt(), 0);
        for (folder, shared) in [(&near, !media.is_empty()), (&far, !called.is_empty())] {
            let generator = &summary(&desk.path(folder))["generator"];
            let sockets = generator["sockets"].as_u64().expect("counted");
            assert_eq!(sockets < 2 * CALLS, shared, "{folder}: {sockets}");
            let records = records(&desk.path(folder));
            assert_eq!(records.len() as u64, CALLS);
            for record in records {
                assert_eq!((record.class, record.loss_pct), (Class::Ok, Some(0.0)), "{folder}: {record:#?}");
            }
        }
    }
}
