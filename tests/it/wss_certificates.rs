//! Certificates of WebSocket servers (WSS): each that is refused has its words, in a record and in `check --live`, and its rung.

#![expect(clippy::disallowed_methods, reason = "the servers of these tests are not the product's")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use ringfleet::record::Class;

use crate::cli::{Desk, code, records, text};
use crate::tls::{Ca, rustls_server, self_signed};

/// A server of TLS that answers what it is asked for with 404; it never speaks SIP.
fn serve((chain, key): (String, String)) -> SocketAddr {
    let config = rustls_server((&chain, &key), &[&rustls::version::TLS13, &rustls::version::TLS12]);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).expect("a connection");
            let mut tls = rustls::StreamOwned::new(connection, socket);
            if matches!(tls.read(&mut [0; 4096]), Ok(1..)) {
                let _ = tls.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
            }
        }
    });
    address
}

fn target(desk: &Desk, server: SocketAddr, trust: &str) {
    let text = format!(
        "target: pbx\nsip: {{ domain: lab.ringfleet.invalid }}\nwebsocket: {{ url: \"wss://{server}/ws\", {trust} }}\n\
         accounts:\n  agents: {{ users: \"1001..1099\", password: \"${{PROBE_PASSWORD}}\" }}\n\
         safety: {{ allow: [\"^[0-9]{{4,}}$\"], emergency: TW }}\n"
    );
    desk.write("targets/pbx.yaml", &text);
}

#[test]
fn each_certificate_that_is_refused_has_its_words_and_ends_at_its_rung() {
    let (ours, theirs, desk) = (Ca::new("ours"), Ca::new("theirs"), Desk::new());
    desk.write("ca.pem", &ours.pem());
    desk.write("ping.yaml", "scenario: ping\ntarget: pbx\ncaller: { account: agents, steps: [options] }\n");
    let here = &["127.0.0.1"][..];
    let expired = ours.sign(here, |params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    let young = ours.sign(here, |params| params.not_before = rcgen::date_time_ymd(4000, 1, 1));
    let alone = "the certificate is self-signed, and no CA that is trusted vouches for it";
    for (name, certificate, words) in [
        ("expired", expired, "the certificate has expired"),
        ("young", young, "the certificate is not valid yet"),
        ("name", ours.sign(&["other.example"], |_| {}), "the certificate is for other.example, not for 127.0.0.1"),
        ("self", self_signed(here, false), alone),
        ("self-ca", self_signed(here, true), alone),
        ("unknown", theirs.sign(here, |_| {}), "the certificate's issuer is not trusted (unknown CA)"),
    ] {
        target(&desk, serve(certificate), "ca: ../ca.pem");
        let output = desk.run(&["run", "ping.yaml", "--out", name, "--quiet"]);
        let record = &records(&desk.path(name))[0];
        assert_eq!((record.class, code(&output)), (Class::TransportTls, Some(4)), "{name}: {}", text(&output.stdout));
        assert_eq!(record.reason.as_deref().map(|it| it.contains(words)), Some(true), "{name}: {:?}", record.reason);
        assert!(record.tcp_ms.is_some() && record.tls_ms.is_none() && record.ws_upgrade_ms.is_none(), "{name}");
        let live = desk.run(&["check", "--live", "targets/pbx.yaml"]);
        let said = text(&live.stdout);
        assert_eq!(code(&live), Some(4), "{name}: {said}");
        assert!(said.contains(&format!("    tls         FAILED: transport.tls: {words}")), "{name}: {said}");
        assert!(said.contains("    tcp         ok"), "{name}: {said}");
    }
}

#[test]
fn a_certificate_that_is_taken_leads_to_the_next_rung_and_insecure_takes_any() {
    let (ours, desk) = (Ca::new("ours"), Desk::new());
    desk.write("ca.pem", &ours.pem());
    desk.write("ping.yaml", "scenario: ping\ntarget: pbx\ncaller: { account: agents, steps: [options] }\n");
    let here = &["127.0.0.1"][..];
    for (name, certificate, trust) in
        [("good", ours.sign(here, |_| {}), "ca: ../ca.pem"), ("any", self_signed(here, true), "insecure: true")]
    {
        target(&desk, serve(certificate), trust);
        desk.run(&["run", "ping.yaml", "--out", name, "--quiet"]);
        let record = &records(&desk.path(name))[0];
        assert_eq!(record.class, Class::TransportWsUpgrade, "{name}: {:?}", record.reason);
        assert!(record.tls_ms.is_some() && record.ws_upgrade_ms.is_none(), "{name}");
        let said = text(&desk.run(&["check", "--live", "targets/pbx.yaml"]).stdout);
        for words in ["    tls         ok", "    certificate ok", "    ws upgrade  FAILED: transport.ws_upgrade: "] {
            assert!(said.contains(words), "{name}: {words}: {said}");
        }
    }
}
