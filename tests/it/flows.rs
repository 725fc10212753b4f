//! Flows with real packets: large datagrams, and pings of connections (RFC 5626 §4.4.1).

#![expect(clippy::disallowed_methods, reason = "the peers of these tests are not the product's")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use ringfleet::net::clock::{self, Turn};
use ringfleet::net::udp::{Buffers, Udp};
use ringfleet::record::Class;

use crate::cli::{Desk, code, records, text};

#[test]
fn datagrams_of_sip_of_up_to_64_kb_go_both_ways() {
    let bind = || Udp::bind_sip(([127, 0, 0, 1], 0).into()).expect("loopback");
    let (one, other) = (bind(), bind());
    let (mut buffers, turn) = (Buffers::default(), Turn::begin(clock::now()));
    // 65,535 less the headers of IPv4 and UDP.
    for size in [1301, 9_000, 65_507] {
        let bytes: Vec<u8> = (0..size).map(|n| n as u8).collect();
        for (from, to) in [(&one, &other), (&other, &one)] {
            assert_eq!(from.send_all(std::iter::once((to.local(), &bytes[..]))), 1, "{size}");
            let mut received = Vec::new();
            to.receive(&mut buffers, &turn, |datagram| received.push(datagram.bytes == bytes));
            assert_eq!(received, [true], "{size}");
        }
    }
}

#[test]
fn a_lab_and_a_far_end_answer_a_ping_with_one_crlf() {
    let desk = Desk::new();
    for arguments in [["lab", "--listen", "127.0.0.1:0"], ["answer", "--listen", "127.0.0.1:0"]] {
        let server = desk.listen(&arguments);
        let mut stream = TcpStream::connect(server.address).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time");
        for _ in 0..2 {
            stream.write_all(b"\r\n\r\n").expect("sent");
            let mut pong = [0; 2];
            stream.read_exact(&mut pong).expect("answered");
            assert_eq!(&pong, b"\r\n", "{arguments:?}");
        }
    }
}

#[test]
fn an_invite_of_50_kb_goes_by_udp_or_as_the_target_says_by_tcp() {
    let desk = Desk::new();
    let lab = desk.listen(&["lab", "--listen", "127.0.0.1:0"]);
    let filler = "x".repeat(50_000);
    let call = format!(
        "scenario: call\ntarget: pbx\ncaller: {{ account: agents, steps: [{{ dial: {{ number: busy, headers: {{ X-Filler: \
         {filler} }}, expect: {{ code: [486] }} }} }}] }}\n"
    );
    desk.write("call.yaml", &call);
    for (large, transport) in [("fragment", "udp"), ("tcp", "tcp")] {
        let target = format!(
            "target: pbx\nsip: {{ server: \"sip:{}\", domain: lab.ringfleet.invalid, large_requests: {large} }}\n\
             accounts:\n  agents: {{ users: \"1001..1020\", password: \"${{PROBE_PASSWORD}}\" }}\n\
             numbers: {{ busy: \"3486\" }}\nsafety: {{ allow: [\"^[0-9]{{4,}}$\"] }}\n",
            lab.address
        );
        desk.write("targets/pbx.yaml", &target);
        let output = desk.run(&["run", "call.yaml", "--out", large]);
        assert_eq!(code(&output), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
        let record = &records(&desk.path(large))[0];
        assert_eq!((record.class, record.transport.as_deref()), (Class::CallCalleeBusy, Some(transport)));
        assert_eq!((record.connect_ms.is_some(), record.hops_tried), (transport == "tcp", Some(1)));
    }
}
