//! Callers that do on real sockets what nobody should, to `ringfleet lab` and `ringfleet answer`: what can be answered is,
//! a stream whose next message cannot be found is closed, memory stays bounded, and honest calls go on beside it.

#![expect(clippy::disallowed_methods, reason = "the callers of these tests are not the product's")]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use ringfleet::record::Class;
use ringfleet::sip::framing::{Frame, Framer};

use crate::cli::{Desk, Listening, records, summary, text};
use crate::hostile_servers::{BOUND_KIB, SDP, flood, stray, target};

/// Nothing here takes so long; a read that does is a failure.
const PATIENCE: Duration = Duration::from_secs(120);
const ENDLESS: usize = 256 * 1024 * 1024;

/// A connection of somebody who means no good.
struct Caller {
    stream: TcpStream,
    framer: Framer,
    number: usize,
}

impl Caller {
    fn new(server: SocketAddr) -> Self {
        let stream = TcpStream::connect(server).expect("it listens");
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        Self { stream, framer: Framer::new(), number: 0 }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("it reads");
    }

    /// The next message, `None` where the connection was closed instead.
    fn receive(&mut self) -> Option<String> {
        let mut buffer = [0; 4096];
        loop {
            match self.framer.next_frame().expect("the product frames well") {
                Some(Frame::Message(bytes)) => return Some(String::from_utf8_lossy(bytes).into_owned()),
                Some(Frame::Ping) => continue,
                None => {}
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => self.framer.push(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("no answer and no end: {error}"),
            }
        }
    }

    /// The code of the final response.
    fn final_code(&mut self) -> Option<String> {
        loop {
            let message = self.receive()?;
            match message.strip_prefix("SIP/2.0 ") {
                Some(rest) if rest.starts_with('1') => {}
                Some(rest) => return Some(rest[..3].to_owned()),
                // The far end's own wish.
                None => {}
            }
        }
    }

    /// Sends something again and again; whether the peer closed before all of it was sent.
    fn is_closed_on(&mut self, piece: &[u8]) -> bool {
        let block = piece.repeat(64 * 1024 / piece.len());
        (0..ENDLESS / block.len()).any(|_| self.stream.write_all(&block).is_err())
    }

    fn request(&mut self, method: &str, lines: &str, body: &str) -> String {
        self.number += 1;
        let length =
            if lines.contains("ength:") { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let id = format!("{}x{}", self.stream.local_addr().expect("bound").port(), self.number);
        format!(
            "{method} sip:2000@lab.ringfleet.invalid SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bK{id}\r\n\
             From: <sip:1001@lab.ringfleet.invalid>;tag={id}\r\nTo: <sip:2000@lab.ringfleet.invalid>\r\n\
             Call-ID: {id}\r\nCSeq: 1 {method}\r\nContact: <sip:x@127.0.0.1:9;transport=tcp>\r\nMax-Forwards: 70\r\n\
             {lines}{length}\r\n{body}"
        )
    }

    fn options(&mut self) -> String {
        self.request("OPTIONS", "", "")
    }
}

/// Everything that can go wrong on a stream, each on one of its own. `refused` is what an offer that nobody can take gets.
fn torment(server: SocketAddr, refused: &str) {
    let new = || Caller::new(server);
    // Half a message, then the end.
    let mut caller = new();
    let half = caller.options();
    caller.send(&half.as_bytes()[..half.len() / 2]);
    drop(caller);

    let mut caller = new();
    for byte in caller.options().into_bytes() {
        caller.send(&[byte]);
    }
    assert_eq!(caller.final_code().as_deref(), Some("200"), "a byte at a time");
    let longer = caller.request("OPTIONS", &format!("X: {}\r\n", "x".repeat(60_000)), "");
    caller.send(longer.as_bytes());
    assert_eq!(caller.final_code().as_deref(), Some("200"), "a header field of 60 kB");

    // Ten thousand header fields are no message; the next one is.
    let many = caller.request("OPTIONS", &"X: y\r\n".repeat(10_000), "");
    caller.send(many.as_bytes());
    let next = caller.options();
    caller.send(next.as_bytes());
    assert_eq!(caller.final_code().as_deref(), Some("200"), "after ten thousand header fields");
    assert!(caller.framer.pending() == 0, "and no second answer");

    // More is announced than comes: it waits, and nothing is answered.
    let mut caller = new();
    let short = caller.request("OPTIONS", "Content-Length: 9999\r\n", "");
    caller.send(short.as_bytes());
    drop(caller);
    // Less is announced than comes: what is left over stands before the next message and spoils it, and only that.
    let mut caller = new();
    let long = caller.request("OPTIONS", "Content-Length: 2\r\n", "okrest of a body\r\n\r\n");
    caller.send(long.as_bytes());
    assert_eq!(caller.final_code().as_deref(), Some("200"), "less than comes");
    let next = caller.options();
    caller.send(next.as_bytes());
    assert_eq!(caller.final_code().as_deref(), Some("200"), "after less than came");

    // Without a length there is no body, and the body stands before the next message.
    let mut caller = new();
    let text = caller.request("OPTIONS", "", "").replace("Content-Length: 0\r\n", "");
    caller.send(text.as_bytes());
    assert_eq!(caller.final_code().as_deref(), Some("200"), "no length");

    for lines in ["Content-Length: -1\r\n", "Content-Length: 1\r\nl: 2\r\n", "Content-Length: 99999999\r\n"] {
        let mut caller = new();
        let text = caller.request("OPTIONS", lines, "xx");
        caller.send(text.as_bytes());
        assert_eq!(caller.receive(), None, "{lines}");
    }
    for piece in [&b"x"[..], b"X: y\r\n"] {
        let mut caller = new();
        caller.send(b"OPTIONS sip:a SIP/2.0\r\n");
        assert!(caller.is_closed_on(piece), "{}", piece.escape_ascii());
    }

    let mut caller = new();
    for number in 0..20_000 {
        caller.send(stray(number, "TCP").as_bytes());
    }
    let next = caller.options();
    caller.send(next.as_bytes());
    assert_eq!(caller.final_code().as_deref(), Some("200"), "after responses to nothing");

    let sdp = "Content-Type: application/sdp\r\n";
    for offer in [SDP.replace("40000", "0"), SDP.replace("8 0", "18"), SDP.replace("audio 40000", "audio -1")] {
        let mut caller = new();
        let text = caller.request("INVITE", sdp, &offer);
        caller.send(text.as_bytes());
        assert_eq!(caller.final_code().as_deref(), Some(refused), "{offer}");
    }
    // A hundred of them that say nothing, or half a word, and stay.
    let silent: Vec<Caller> = (0..100).map(|_| new()).collect();
    let stuck: Vec<Caller> = (0..100)
        .map(|_| {
            let mut caller = new();
            caller.send(b"INVITE sip:2000@lab SIP/2.0\r\nContent-Length: 1000000\r\n\r\n");
            caller
        })
        .collect();
    let mut last = new();
    let text = last.options();
    last.send(text.as_bytes());
    assert_eq!(last.final_code().as_deref(), Some("200"), "beside those that stay");
    drop((silent, stuck));
}

/// Honest calls over UDP and TCP while it is tormented; all of them are answered.
fn honest_calls_beside(desk: &Desk, far_end: &Listening, refused: &'static str) {
    let server = far_end.address;
    let tormentor = std::thread::spawn(move || torment(server, refused));
    let flooding = std::thread::spawn(move || {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        flood(&socket, server);
    });
    desk.write(
        "honest.yaml",
        "scenario: honest\ntarget: pbx\ncaller: { account: agents, steps: [{ dial: { number: \"2000\", \
         answer_within: 60s } }, { wait: 200ms }, hangup] }\nload: { concurrent: 5, calls: 30 }\n",
    );
    for transport in ["udp", "tcp"] {
        target(desk, server, transport);
        let output = desk.run(&["run", "honest.yaml", "--out", transport, "--quiet"]);
        let summary = summary(&desk.path(transport));
        let shown = || format!("{transport}: {}{}{summary:#}", text(&output.stdout), text(&output.stderr));
        assert_eq!((&summary["classes"]["ok"], &summary["codes"]["200"]), (&30.into(), &30.into()), "{}", shown());
    }
    tormentor.join().expect("every trick came out as it should");
    flooding.join().expect("it was sent");
    let peak = far_end.peak_memory_kib();
    assert!(peak < BOUND_KIB, "{peak} KiB");
}

#[test]
fn the_lab_outlives_every_hostile_caller_and_serves_the_others() {
    let desk = Desk::new();
    desk.write("open.yaml", "lab: open\nchallenge: false\n");
    let lab = desk.listen(&["lab", "open.yaml", "--listen", "127.0.0.1:0"]);
    honest_calls_beside(&desk, &lab, "488");
}

#[test]
fn ringfleet_answer_outlives_every_hostile_caller_serves_the_others_and_counts_them_right() {
    let desk = Desk::new();
    let mut answer = desk.listen(&["answer", "--listen", "127.0.0.1:0", "--out", "answered"]);
    honest_calls_beside(&desk, &answer, "488");
    answer.interrupt();
    // Sixty that were honest, and three whose offer nobody could take; an INVITE that never ended is none.
    let summary = summary(&desk.path("answered"));
    assert_eq!((&summary["attempted"], &summary["answered"]), (&63.into(), &60.into()), "{summary:#}");
    let refused: Vec<_> = records(&desk.path("answered")).into_iter().filter(|it| it.code == Some(488)).collect();
    assert_eq!(refused.len(), 3);
    assert!(refused.iter().all(|record| record.class == Class::CallBadAnswer), "{refused:#?}");
}
