//! `request` steps over real sockets: the shipped example, and what applications do that do not answer as they should.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use ringfleet::record::Class;

use crate::cli::{Desk, code, example, records, summary, text};

/// Answers every connection with these bytes, and keeps it open; gives what was asked first.
fn application(answer: &'static str) -> (SocketAddr, std::thread::JoinHandle<String>) {
    #[expect(clippy::disallowed_methods, reason = "the peer of this test is not the product's")]
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut asked = Vec::new();
        let mut buffer = [0; 4096];
        while !asked.windows(4).any(|end| end == b"\r\n\r\n") {
            match stream.read(&mut buffer).expect("it asks") {
                0 => break,
                count => asked.extend_from_slice(&buffer[..count]),
            }
        }
        stream.write_all(answer.as_bytes()).expect("it listens");
        // Until the client has gone.
        while stream.read(&mut buffer).is_ok_and(|count| count > 0) {}
        String::from_utf8_lossy(&asked).into_owned()
    });
    (address, thread)
}

fn asks(desk: &Desk, url: &str, more: &str) -> ringfleet::record::CallRecord {
    let request = format!("{{ request: {{ url: \"{url}\"{more} }} }}");
    desk.write(
        "ask.yaml",
        &format!(
            "scenario: ask\ntarget: lab\ncaller: {{ account: agents, steps: [{request}] }}\nload: {{ calls: 1 }}\n"
        ),
    );
    let _ = fs::remove_dir_all(desk.path("out"));
    let output =
        desk.command(&["run", "ask.yaml", "--out", "out"]).env("APP_TOKEN", "hunter2").output().expect("starts");
    assert!(code(&output).is_some(), "{}", text(&output.stderr));
    assert_no_secret(&desk.path("out"));
    records(&desk.path("out")).remove(0)
}

fn assert_no_secret(folder: &Path) {
    for entry in fs::read_dir(folder).expect("readable").flatten() {
        let path = entry.path();
        if path.is_dir() {
            assert_no_secret(&path);
        } else {
            let bytes = fs::read(&path).expect("readable");
            assert!(!bytes.windows(7).any(|part| part == b"hunter2"), "{} shows a secret", path.display());
        }
    }
}

#[test]
fn an_agent_signs_in_is_told_that_it_is_ready_takes_a_call_and_signs_out_on_a_bare_machine() {
    let desk = Desk::new();
    let output = desk.run(&["run", &example("agent-sign-in.yaml"), "--out", "out"]);
    assert_eq!(code(&output), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(summary(&desk.path("out"))["verdict"], "pass");
    let records = records(&desk.path("out"));
    let agent = records.iter().find(|record| record.call_id.ends_with("-agent")).expect("it has a record");
    let asked: Vec<(&str, Option<u16>)> = agent.requests.iter().map(|it| (it.request.as_str(), it.status)).collect();
    assert_eq!(
        asked,
        [
            ("POST /sign-in", Some(200)),
            ("WS /events", None),
            ("PUT /state", Some(200)),
            ("WS /events", None),
            ("POST /sign-out", Some(200))
        ]
    );
    // It asked to be ready, and was told 300 ms later that it is.
    assert!(agent.requests[3].took_ms > 250.0, "{:?}", agent.requests);
    let ladder = fs::read_to_string(desk.path("out/evidence").join(&agent.call_id).join("ladder.txt")).expect("kept");
    assert!(ladder.contains("\nbeside the call\n") && ladder.contains("ms  POST /sign-in 200\n"), "{ladder}");
}

#[test]
fn an_application_that_refuses_is_silent_or_gone_has_its_own_class_and_secrets_go_nowhere_else() {
    let desk = Desk::new();
    let token = ", headers: { Authorization: \"Bearer ${APP_TOKEN}\" }, json: { a: 1 }";
    let (address, heard) = application("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
    let record = asks(&desk, &format!("http://{address}/sign-in?key=${{APP_TOKEN}}"), token);
    assert_eq!((record.class, record.requests[0].status), (Class::SideRefused, Some(401)));
    assert_eq!(record.requests[0].request, format!("POST http://{address}/sign-in"));
    let heard = heard.join().expect("it ends");
    assert!(heard.starts_with("POST /sign-in?key=hunter2 HTTP/1.1\r\n"), "{heard}");
    assert!(heard.to_ascii_lowercase().contains("\r\nauthorization: bearer hunter2\r\n"), "{heard}");

    let (address, heard) = application("");
    let record = asks(&desk, &format!("http://{address}/"), ", expect: { within: 200ms }");
    assert_eq!(record.class, Class::SideTimeout);
    assert_eq!(record.unmet, Some(format!("request: GET http://{address}/: no answer within 200ms")));
    heard.join().expect("it ends");

    let (address, heard) = application("HTTP/1.1 200 OK\r\nContent-Length: 400000\r\n\r\n{");
    let record = asks(&desk, &format!("ws://{address}/events"), "");
    assert_eq!(record.class, Class::SideRefused, "{record:#?}");
    assert!(record.unmet.is_some_and(|why| why.ends_with("the upgrade to WebSocket was answered with 200 OK")));
    let heard = heard.join().expect("it ends");
    assert!(heard.starts_with("GET /events HTTP/1.1\r\n"), "{heard}");

    // Nobody listens there any more.
    let record = asks(&desk, &format!("http://{address}/"), "");
    assert_eq!(record.class, Class::SideUnreachable);
    assert!(record.unmet.is_some_and(|why| why.contains("cannot connect: Connection refused")));
}
