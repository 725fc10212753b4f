//! Whole calls over TLS and IPv6, with the binary itself and on real sockets.

use std::fs;

use ringfleet::record::{Class, Heard, Origin};

use crate::cli::{Desk, code, example, records, text};

const CALL: &str = "scenario: call\ntarget: pbx\ncaller: { account: agents, steps: [register, { dial: { number: echo } }, \
    { talk: { for: 1s } }, hangup] }\n";

/// A target for a server of the lab's accounts, with these words in `sip:`.
fn target(desk: &Desk, sip: &str) {
    let text = format!(
        "target: pbx\nsip: {{ {sip}, domain: lab.ringfleet.invalid }}\n\
         accounts:\n  agents: {{ users: \"1001..1020\", password: \"${{PROBE_PASSWORD}}\" }}\n\
         numbers: {{ echo: \"2001\" }}\nsafety: {{ allow: [\"^[0-9]{{4,}}$\"] }}\n"
    );
    desk.write("targets/pbx.yaml", &text);
    desk.write("call.yaml", CALL);
}

#[test]
fn the_embedded_lab_is_called_over_tls_and_its_messages_are_kept_in_clear() {
    let desk = Desk::new();
    let output = desk.run(&["run", &example("tls.yaml"), "--out", "out"]);
    assert_eq!(code(&output), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
    for record in records(&desk.path("out")) {
        assert_eq!((record.class, record.transport.as_deref()), (Class::Ok, Some("tls")));
        assert_eq!((record.audio_rx, record.audio_tx), (Heard::Heard, Heard::Heard));
        let ladder = fs::read_to_string(desk.path("out").join("evidence").join(&record.call_id).join("messages.txt"));
        let ladder = ladder.expect("written");
        assert!(ladder.contains("INVITE sip:2000@lab.ringfleet.invalid") && ladder.contains("TLS"), "{ladder}");
    }
}

#[test]
fn a_lab_of_its_own_is_trusted_by_the_ca_that_it_writes_and_by_no_other() {
    let desk = Desk::new();
    let lab = desk.listen(&["lab", "--listen", "127.0.0.1:0", "--write-ca", "ca.pem"]);
    let other = desk.listen(&["answer", "--listen", "127.0.0.1:0", "--write-ca", "other.pem", "--out", "answered"]);
    for scheme in ["sip", "sips"] {
        target(&desk, &format!("server: \"{scheme}:{}\", transport: tls, ca: ../ca.pem", lab.address));
        let output = desk.run(&["run", "call.yaml", "--out", scheme]);
        assert_eq!(code(&output), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
        assert_eq!(records(&desk.path(scheme))[0].transport.as_deref(), Some("tls"));
    }

    target(&desk, &format!("server: \"sips:{}\", ca: ../other.pem", lab.address));
    let output = desk.run(&["run", "call.yaml", "--out", "wrong"]);
    assert_eq!(code(&output), Some(4), "{}{}", text(&output.stdout), text(&output.stderr));
    let records = records(&desk.path("wrong"));
    assert_eq!((records[0].class, records[0].code_origin), (Class::TransportTls, None::<Origin>));
    let words = "the certificate's issuer is not trusted (unknown CA)";
    assert_eq!(records[0].reason.as_deref(), Some(words));
    assert!(text(&output.stdout).contains(words), "{}", text(&output.stdout));
    drop(other);
}

#[test]
fn calls_over_ipv6_take_every_transport() {
    let desk = Desk::new();
    let lab = desk.listen(&["lab", "--listen", "[::1]:0", "--write-ca", "ca.pem"]);
    for transport in ["udp", "tcp", "tls"] {
        target(&desk, &format!("server: \"sip:{}\", transport: {transport}, ca: ../ca.pem", lab.address));
        let output = desk.run(&["run", "call.yaml", "--out", transport]);
        assert_eq!(code(&output), Some(0), "{transport}: {}{}", text(&output.stdout), text(&output.stderr));
        let records = records(&desk.path(transport));
        assert_eq!((records[0].class, records[0].audio_rx), (Class::Ok, Heard::Heard));
        let ladder = desk.path(transport).join("evidence").join(&records[0].call_id).join("messages.txt");
        let ladder = fs::read_to_string(ladder).expect("written");
        assert!(ladder.contains("c=IN IP6 ::1") && ladder.contains("@[::1]:"), "{ladder}");
    }
}
