//! Whole calls over WS and WSS, with the binary itself and on real sockets, and what the lab makes of peers who break the
//! rules of WebSocket.

#![expect(clippy::disallowed_methods, reason = "the peers of these tests are not the product's")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use ringfleet::record::{CallRecord, Class, Heard};
use tungstenite::handshake::client::generate_key;
use tungstenite::{Error, Message, WebSocket};

use crate::cli::{Desk, code, example, records, text};

/// A target that is reached by WebSocket alone, with these words in `websocket:`.
fn target(desk: &Desk, websocket: &str) {
    let text = format!(
        "target: pbx\nsip: {{ domain: lab.ringfleet.invalid }}\nwebsocket: {{ {websocket} }}\n\
         accounts:\n  agents: {{ users: \"1001..1020\", password: \"${{PROBE_PASSWORD}}\" }}\n\
         numbers: {{ echo: \"2001\" }}\nsafety: {{ allow: [\"^[0-9]{{4,}}$\"] }}\n"
    );
    desk.write("targets/pbx.yaml", &text);
    desk.write(
        "call.yaml",
        "scenario: call\ntarget: pbx\ncaller: { account: agents, steps: [register, { dial: { number: echo } }, \
         { talk: { for: 1s } }, hangup] }\n",
    );
}

fn messages(desk: &Desk, out: &str, record: &CallRecord) -> String {
    let path = desk.path(out).join("evidence").join(&record.call_id).join("messages.txt");
    fs::read_to_string(path).expect("written")
}

#[test]
fn agents_at_web_phones_are_registered_and_called_over_the_embedded_lab() {
    for transport in ["ws", "wss"] {
        let desk = Desk::new();
        let set = format!("actors.agent.transport={transport}");
        let output = desk.run(&["run", &example("websocket-agent.yaml"), "--set", &set, "--out", "out"]);
        assert_eq!(code(&output), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
        let records = records(&desk.path("out"));
        let agents: Vec<_> = records.iter().filter(|record| record.agent.as_deref() == Some("agent")).collect();
        for record in &records {
            assert_eq!((record.class, record.audio_rx, record.audio_tx), (Class::Ok, Heard::Heard, Heard::Heard));
        }
        for record in agents {
            let ladder = messages(&desk, "out", record);
            let via = format!("Via: SIP/2.0/{} 127.0.0.1", transport.to_uppercase());
            assert!(ladder.contains(".invalid;transport=ws") && ladder.contains(&via), "{ladder}");
        }
    }
}

#[test]
fn a_lab_of_its_own_is_called_by_its_url_and_each_step_to_it_is_timed() {
    let desk = Desk::new();
    let lab = desk.listen(&["lab", "--listen", "127.0.0.1:0", "--write-ca", "ca.pem"]);
    for (words, secure) in [
        (format!("url: \"ws://{}/ws?token=${{PROBE_PASSWORD}}\"", lab.address), false),
        (format!("url: \"wss://{}/\", ca: ../ca.pem, origin: \"https://cc.example\"", lab.address), true),
        (format!("url: \"wss://{}\", insecure: true, headers: {{ X-Tenant: acme }}", lab.address), true),
    ] {
        target(&desk, &words);
        let out = format!("out-{}", words.len());
        let output = desk.run(&["run", "call.yaml", "--out", &out]);
        assert_eq!(code(&output), Some(0), "{words}: {}{}", text(&output.stdout), text(&output.stderr));
        let record = &records(&desk.path(&out))[0];
        let transport = if secure { "wss" } else { "ws" };
        assert_eq!((record.class, record.transport.as_deref()), (Class::Ok, Some(transport)));
        assert!(record.tcp_ms.is_some() && record.ws_upgrade_ms.is_some(), "{record:#?}");
        assert_eq!(record.tls_ms.is_some(), secure);
        let steps: f64 = [record.tcp_ms, record.tls_ms, record.ws_upgrade_ms].into_iter().flatten().sum();
        assert!(record.connect_ms.is_some_and(|whole| whole + 5.0 >= steps), "{record:#?}");
        let written = messages(&desk, &out, record);
        assert!(!written.contains("token=") && !text(&output.stdout).contains("token="), "{written}");
    }
}

#[test]
fn each_thing_that_is_wrong_with_tls_below_it_is_said_and_nothing_is_started() {
    let desk = Desk::new();
    let lab = desk.listen(&["lab", "--listen", "127.0.0.1:0", "--write-ca", "ca.pem"]);
    let other = desk.listen(&["answer", "--listen", "127.0.0.1:0", "--write-ca", "other.pem", "--out", "answered"]);
    let port = lab.address.port();
    for (name, words, class, reason) in [
        ("ca", format!("url: \"wss://{}\", ca: ../other.pem", lab.address), Class::TransportTls, "unknown CA"),
        ("system", format!("url: \"wss://{}\"", lab.address), Class::TransportTls, "unknown CA"),
        ("name", format!("url: \"wss://127.0.0.2:{port}\", ca: ../ca.pem"), Class::TransportRefused, "refused"),
    ] {
        target(&desk, &words);
        let output = desk.run(&["run", "call.yaml", "--out", name]);
        assert_eq!(code(&output), Some(4), "{name}: {}{}", text(&output.stdout), text(&output.stderr));
        let record = &records(&desk.path(name))[0];
        assert_eq!(record.class, class, "{name}: {record:#?}");
        assert!(record.reason.as_ref().is_some_and(|it| it.contains(reason)), "{name}: {:?}", record.reason);
        assert!(record.ws_upgrade_ms.is_none() && record.tls_ms.is_none());
    }
    drop(other);
}

#[test]
fn check_live_climbs_to_each_server_and_names_the_first_step_that_fails() {
    let desk = Desk::new();
    let rungs = |output: &std::process::Output| -> Vec<String> {
        let text = text(&output.stdout);
        let rung = |line: &str| Some(line.strip_prefix("    ")?.split_whitespace().next()?.to_owned());
        text.lines().filter(|line| line.contains(" ok ") || line.contains(" FAILED")).filter_map(rung).collect()
    };
    let output = desk.run(&["check", "--live", &example("websocket-agent.yaml")]);
    assert_eq!(code(&output), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
    // The agent's server, then the customer's.
    let all = ["dns", "tcp", "tls", "certificate", "ws", "options", "register", "dns", "options", "register"];
    assert_eq!(rungs(&output), all, "{}", text(&output.stdout));

    let lab = desk.listen(&["lab", "--listen", "127.0.0.1:0", "--write-ca", "ca.pem"]);
    let other = desk.listen(&["answer", "--listen", "127.0.0.1:0", "--write-ca", "other.pem", "--out", "answered"]);
    let port = lab.address.port();
    for (words, steps, said) in [
        (
            format!("url: \"wss://{}\", ca: ../ca.pem", lab.address),
            &["dns", "tcp", "tls", "certificate", "ws", "options"][..],
            "200 OK",
        ),
        (
            format!("url: \"wss://{}\", ca: ../other.pem", lab.address),
            &["dns", "tcp", "tls"],
            "FAILED: transport.tls: the certificate's issuer is not trusted (unknown CA)",
        ),
        (format!("url: \"ws://127.0.0.2:{port}\""), &["dns", "connect"], "FAILED: transport.refused: "),
        ("url: \"ws://no-such-host.invalid/\"".to_owned(), &["dns"], "FAILED: transport.dns: "),
    ] {
        target(&desk, &words);
        let output = desk.run(&["check", "--live", "targets/pbx.yaml"]);
        assert_eq!(rungs(&output), steps, "{}{}", text(&output.stdout), text(&output.stderr));
        assert!(text(&output.stdout).contains(said), "{}", text(&output.stdout));
        assert_eq!(code(&output), Some(if said.contains("FAILED") { 4 } else { 0 }));
    }
    drop(other);
}

/// A peer of the lab after its handshake.
fn peer(lab: SocketAddr) -> WebSocket<TcpStream> {
    let socket = TcpStream::connect(lab).expect("it listens");
    socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a time");
    let request = tungstenite::http::Request::get(format!("ws://{lab}/"))
        .header("Host", "lab")
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", generate_key())
        .header("Sec-WebSocket-Protocol", "sip");
    let (peer, answer) = tungstenite::client(request.body(()).expect("valid"), socket).expect("upgraded");
    assert_eq!(answer.headers()["Sec-WebSocket-Protocol"], "sip");
    peer
}

fn options(number: usize) -> String {
    format!(
        "OPTIONS sip:lab SIP/2.0\r\nVia: SIP/2.0/WS df7jal23ls0d.invalid;branch=z9hG4bK{number}\r\nMax-Forwards: 70\r\n\
         From: <sip:a@lab>;tag=1\r\nTo: <sip:lab>\r\nCall-ID: {number}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )
}

/// The code by which the lab closes.
fn closed(peer: &mut WebSocket<TcpStream>) -> Option<u16> {
    loop {
        match peer.read() {
            Ok(Message::Close(frame)) => return frame.map(|frame| frame.code.into()),
            Ok(_) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// A frame with the mask of nothing, as a client may send it.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    assert!(payload.len() < 65_536);
    let length = (payload.len() as u16).to_be_bytes();
    [&[first, 0x80 | 126][..], &length, &[0; 4], payload].concat()
}

#[test]
fn the_lab_answers_over_websocket_pings_and_closes_as_it_should_and_outlives_those_who_do_not() {
    let desk = Desk::new();
    let lab = desk.listen(&["lab", "--listen", "127.0.0.1:0"]);
    let mut honest = peer(lab.address);
    let mut answered = 0;
    let mut still_served = |honest: &mut WebSocket<TcpStream>| {
        answered += 1;
        honest.send(Message::text(options(answered))).expect("sent");
        let answer = honest.read().expect("answered").into_text().expect("text").to_string();
        assert!(answer.starts_with("SIP/2.0 200 ") && answer.contains(&format!("Call-ID: {answered}\r\n")), "{answer}");
    };
    still_served(&mut honest);
    honest.send(Message::Ping("x".into())).expect("sent");
    assert_eq!(honest.read().expect("answered"), Message::Pong("x".into()));
    honest.send(Message::text("\r\n\r\n")).expect("sent");
    assert_eq!(honest.read().expect("answered"), Message::text("\r\n"));

    // In many frames, in binary, and byte by byte.
    let text = options(900).into_bytes();
    let mut slow = peer(lab.address);
    let pieces: Vec<&[u8]> = text.chunks(7).collect();
    let mut bytes = masked(0x02, pieces[0]);
    for piece in &pieces[1..pieces.len() - 1] {
        bytes.extend(masked(0x00, piece));
    }
    bytes.extend(masked(0x80, pieces[pieces.len() - 1]));
    for byte in bytes {
        slow.get_mut().write_all(&[byte]).expect("sent");
    }
    assert!(slow.read().expect("answered").to_text().expect("text").starts_with("SIP/2.0 200 "));
    slow.close(None).expect("sent");
    assert!(matches!(slow.read(), Ok(Message::Close(_)) | Err(Error::ConnectionClosed)));

    let two = [options(1), options(2)].concat();
    for (name, bytes, code) in [
        ("not masked", [&[0x81, 2][..], b"hi"].concat(), 1002),
        ("no UTF-8", masked(0x81, b"\xff\xff"), 1007),
        ("too long", [&[0x82, 0x80 | 127][..], &(1u64 << 40).to_be_bytes(), &[0; 4]].concat(), 1009),
        ("reserved bits", masked(0xf1, b"x"), 1002),
        ("continues nothing", masked(0x80, b"x"), 1002),
        ("two messages", masked(0x81, two.as_bytes()), 1002),
        ("half a message", masked(0x81, &two.as_bytes()[..50]), 1002),
    ] {
        let mut hostile = peer(lab.address);
        hostile.get_mut().write_all(&bytes).expect("sent");
        assert_eq!(closed(&mut hostile), Some(code), "{name}");
        still_served(&mut honest);
    }

    // Requests that are none: refused in words, or closed.
    for (request, words) in [
        ("GET / HTTP/1.1\r\nHost: lab\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"),
        ("GET /\x00\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"),
    ] {
        let mut socket = TcpStream::connect(lab.address).expect("it listens");
        socket.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("closed");
        assert!(answer.starts_with(words) && answer.contains("SIP over WebSocket"), "{answer}");
    }
    let mut endless = TcpStream::connect(lab.address).expect("it listens");
    let line = format!("X: {}\r\n", "y".repeat(1000));
    let _ = endless.write_all(b"GET / HTTP/1.1\r\n");
    while endless.write_all(line.as_bytes()).is_ok() {}
    // A hundred that stay in the middle of the request or of a frame, and one that leaves without a word.
    let begun: Vec<TcpStream> = (0..100)
        .map(|_| {
            let mut socket = TcpStream::connect(lab.address).expect("it listens");
            socket.write_all(b"GET / HTTP/1.1\r\nHost: l").expect("sent");
            socket
        })
        .collect();
    let mut stuck = peer(lab.address);
    stuck.get_mut().write_all(&masked(0x01, b"OPTIONS")).expect("sent");
    drop(peer(lab.address));
    still_served(&mut honest);
    drop((begun, stuck));
}
