//! Servers that do on a real TCP connection what nobody should: each attempt gets the right class and the words of what
//! happened, memory stays bounded, and the calls on other connections of the same run go on as if nothing were.

#![expect(clippy::disallowed_methods, reason = "the servers of these tests are not the product's")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use ringfleet::record::{CallRecord, Class};
use ringfleet::sip::framing::{Frame, Framer};
use ringfleet::sip::message::{Message, Method, Start};
use ringfleet::sip::uri::Uri;

use crate::cli::{Desk, records, summary, text};
use crate::hostile::response;

pub(crate) const SDP: &str =
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8 0\r\n";
const PORT_0: &str =
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 0 RTP/AVP 8 0\r\n";
const G_729: &str =
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 18\r\n";

/// Most memory that a process may ever have resident here, KiB. The messages that are kept for evidence have 32 MiB, and
/// each of the endless things is larger than all of it.
pub(crate) const BOUND_KIB: u64 = 160 * 1024;
/// Bytes of what never ends.
const ENDLESS: usize = 256 * 1024 * 1024;
/// Responses to nothing: a second of the worst.
const STRAYS: usize = 50_000;

/// What a server does about an INVITE.
#[derive(Clone)]
enum Act {
    Send(Vec<u8>),
    /// One byte a segment.
    Slowly(Vec<u8>),
    /// This again and again, until the peer has had enough.
    Endlessly(&'static [u8]),
    /// So many responses to nothing.
    Strays(usize),
    Close,
    /// BYE is answered by closing.
    CloseOnBye,
}

struct Trick {
    name: &'static str,
    acts: fn(&Message<'_>) -> Vec<Act>,
    class: Class,
    /// Part of `reason`.
    words: &'static str,
}

/// A 200. Without a Contact, requests within the dialog come the way of the INVITE.
fn ok(invite: &Message<'_>, lines: &str, body: &str) -> Vec<u8> {
    response(invite, 200, lines, body)
}

fn send(bytes: Vec<u8>) -> Vec<Act> {
    vec![Act::Send(bytes)]
}

/// A 200 without its Content-Length.
fn without_length(invite: &Message<'_>) -> Vec<u8> {
    let text = String::from_utf8(ok(invite, "", SDP)).expect("ASCII");
    text.replace(&format!("Content-Length: {}\r\n", SDP.len()), "").into_bytes()
}

const CUT_OFF: &str = "in the middle of a message";
const NO_LENGTH: &str = "Content-Length cannot be read";
const NO_END: &str = "no end of the header section within 65536 bytes";

const TRICKS: [Trick; 18] = [
    Trick {
        name: "half a message, then the end",
        acts: |invite| {
            let whole = ok(invite, "", SDP);
            vec![Act::Send(whole[..whole.len() / 2].to_vec()), Act::Close]
        },
        class: Class::TransportTcp,
        words: CUT_OFF,
    },
    Trick {
        name: "a byte at a time",
        acts: |invite| vec![Act::Slowly(ok(invite, "", SDP))],
        class: Class::Ok,
        words: "",
    },
    Trick {
        name: "a length that is too large",
        acts: |invite| vec![Act::Send(ok(invite, "Content-Length: 9999\r\n", SDP)), Act::Close],
        class: Class::TransportTcp,
        words: CUT_OFF,
    },
    Trick {
        name: "a length that is too small",
        acts: |invite| vec![Act::Send(ok(invite, "Content-Length: 20\r\n", SDP)), Act::CloseOnBye],
        class: Class::CallBadAnswer,
        words: "",
    },
    Trick {
        name: "a length below zero",
        acts: |invite| send(ok(invite, "Content-Length: -5\r\n", SDP)),
        class: Class::TransportTcp,
        words: NO_LENGTH,
    },
    Trick {
        name: "two lengths",
        acts: |invite| send(ok(invite, "Content-Length: 10\r\nl: 20\r\n", SDP)),
        class: Class::TransportTcp,
        words: NO_LENGTH,
    },
    Trick {
        name: "a body larger than anybody takes",
        acts: |invite| vec![Act::Send(ok(invite, "Content-Length: 99999999\r\n", "")), Act::Endlessly(b"x")],
        class: Class::TransportTcp,
        words: "Content-Length is above 1048576 bytes",
    },
    Trick {
        name: "no length",
        acts: |invite| vec![Act::Send(without_length(invite)), Act::CloseOnBye],
        class: Class::CallBadAnswer,
        words: "",
    },
    Trick {
        name: "a header field of 60 kB",
        acts: |invite| send(ok(invite, &format!("X: {}\r\n", "x".repeat(60_000)), SDP)),
        class: Class::Ok,
        words: "",
    },
    Trick {
        name: "a header field of 70 kB",
        acts: |invite| send(ok(invite, &format!("X: {}\r\n", "x".repeat(70_000)), SDP)),
        class: Class::TransportTcp,
        words: NO_END,
    },
    Trick {
        name: "ten thousand header fields",
        acts: |invite| send(ok(invite, &"X: y\r\n".repeat(10_000), SDP)),
        // Nobody reads that 200, so that the caller gives up and hears 487.
        class: Class::CallCancelled,
        words: "",
    },
    Trick {
        name: "a header field that never ends",
        acts: |_| vec![Act::Send(b"SIP/2.0 200 OK\r\nX: ".to_vec()), Act::Endlessly(b"x")],
        class: Class::TransportTcp,
        words: NO_END,
    },
    Trick {
        name: "header fields that never end",
        acts: |_| vec![Act::Send(b"SIP/2.0 200 OK\r\n".to_vec()), Act::Endlessly(b"X: y\r\n")],
        class: Class::TransportTcp,
        words: NO_END,
    },
    Trick {
        name: "responses to nothing",
        acts: |invite| vec![Act::Strays(STRAYS), Act::Send(ok(invite, "", SDP))],
        class: Class::Ok,
        words: "",
    },
    Trick { name: "no description", acts: |invite| send(ok(invite, "", "")), class: Class::CallBadAnswer, words: "" },
    Trick { name: "port 0", acts: |invite| send(ok(invite, "", PORT_0)), class: Class::CallBadAnswer, words: "" },
    Trick { name: "another codec", acts: |invite| send(ok(invite, "", G_729)), class: Class::CallBadAnswer, words: "" },
    Trick {
        name: "an unknown algorithm",
        acts: |invite| {
            let challenge = "Proxy-Authenticate: Digest realm=\"x\", nonce=\"n\", algorithm=ROT-13\r\n";
            send(response(invite, 407, challenge, ""))
        },
        class: Class::CallAuthFailed,
        words: "its challenge wants algorithm \"ROT-13\", which is not spoken here",
    },
];

/// The trick of a dialled number, `None` for those that are answered as they should be: every second one.
fn trick_of(number: usize) -> Option<&'static Trick> {
    (number.is_multiple_of(2)).then(|| &TRICKS[(number / 2 - 1) % TRICKS.len()])
}

/// A response that belongs to nothing.
pub(crate) fn stray(number: usize, transport: &str) -> String {
    format!(
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/{transport} 127.0.0.1:5060;branch=z9hG4bKstray{number}\r\n\
         From: <sip:a@h>;tag=1\r\nTo: <sip:b@h>;tag=2\r\nCall-ID: stray{number}\r\nCSeq: 1 INVITE\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

/// A server that plays its tricks on every second call.
fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                // Each ends with its connection; what it could not send is what the test is about.
                let _ = serve(stream);
            });
        }
    });
    address
}

fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut framer, mut buffer) = (Framer::new(), [0; 4096]);
    let (mut close_on_bye, mut invited) = (false, Vec::new());
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        framer.push(&buffer[..count]);
        while let Ok(Some(frame)) = framer.next_frame() {
            let Frame::Message(bytes) = frame else { continue };
            let request = Message::parse(bytes).expect("we send what can be read");
            match request.method() {
                Some(Method::Invite) => {
                    invited = bytes.to_vec();
                    stream.write_all(&response(&request, 100, "", ""))?;
                    let number = number_of(&request);
                    let acts = trick_of(number).map_or_else(|| send(ok(&request, "", SDP)), |it| (it.acts)(&request));
                    close_on_bye = acts.iter().any(|act| matches!(act, Act::CloseOnBye));
                    for act in acts {
                        perform(&mut stream, act)?;
                    }
                }
                Some(Method::Ack) | None => {}
                Some(Method::Bye) if close_on_bye => return Ok(()),
                Some(Method::Cancel) => {
                    stream.write_all(&response(&request, 200, "", ""))?;
                    let invite = Message::parse(&invited).expect("it came before");
                    stream.write_all(&response(&invite, 487, "", ""))?;
                }
                Some(_) => stream.write_all(&response(&request, 200, "", ""))?,
            }
        }
    }
}

fn perform(stream: &mut TcpStream, act: Act) -> std::io::Result<()> {
    match act {
        Act::Send(bytes) => stream.write_all(&bytes),
        Act::Slowly(bytes) => bytes.iter().try_for_each(|byte| stream.write_all(&[*byte])),
        Act::Endlessly(piece) => {
            let block = piece.repeat(64 * 1024 / piece.len());
            for _ in 0..ENDLESS / block.len() {
                stream.write_all(&block)?;
            }
            panic!("{ENDLESS} bytes were taken");
        }
        Act::Strays(many) => (0..many).try_for_each(|number| stream.write_all(stray(number, "TCP").as_bytes())),
        Act::Close => stream.shutdown(std::net::Shutdown::Both),
        Act::CloseOnBye => Ok(()),
    }
}

/// The attempt that an INVITE is of: its number without the 9 before it.
fn number_of(invite: &Message<'_>) -> usize {
    let Start::Request { uri, .. } = invite.start() else { panic!("a request") };
    let user = String::from_utf8_lossy(Uri::parse(uri).expect("ours").user).into_owned();
    user.trim_start_matches('9').trim_start_matches('0').parse().expect("a number")
}

/// Calls of accounts without number, each over a connection of its own where there are connections.
pub(crate) fn target(desk: &Desk, server: SocketAddr, transport: &str) {
    let text = format!(
        "target: pbx\nsip: {{ server: \"sip:{server}\", transport: {transport}, domain: lab.ringfleet.invalid }}\n\
         accounts:\n  agents: {{ users: \"1001..1099\", password: \"${{PROBE_PASSWORD}}\" }}\n\
         safety: {{ allow: [\"^[0-9]{{4,}}$\"], emergency: TW }}\n"
    );
    desk.write("targets/pbx.yaml", &text);
}

fn scenario(desk: &Desk, calls: usize) {
    let text = format!(
        "scenario: hostile\ntarget: pbx\ncaller: {{ account: agents, steps: [{{ dial: {{ number: \"9{{{{ n | pad(3) }}}}\", \
         answer_within: 8s }} }}, {{ wait: 300ms }}, hangup] }}\nload: {{ concurrent: 12, calls: {calls} }}\n"
    );
    desk.write("hostile.yaml", &text);
}

/// The attempt of a record.
fn number_in(record: &CallRecord) -> usize {
    record.call_id.rsplit('-').next().and_then(|digits| digits.parse().ok()).expect("a number")
}

#[test]
fn each_trick_on_a_connection_has_its_class_and_the_calls_beside_it_are_unharmed() {
    let desk = Desk::new();
    target(&desk, server(), "tcp");
    let calls = 2 * TRICKS.len() + 1;
    scenario(&desk, calls);
    let (output, peak) = desk.run_and_watch(&["run", "hostile.yaml", "--out", "out", "--quiet"]);
    let shown = || format!("{}{}", text(&output.stdout), text(&output.stderr));
    // Every failure has its record, of the successes a sample has one.
    let (summary, records) = (summary(&desk.path("out")), records(&desk.path("out")));
    assert_eq!(summary["attempted"], calls, "{}{}", shown(), summary["headline"]);
    for number in 1..=calls {
        let record = records.iter().find(|record| number_in(record) == number);
        let expected = trick_of(number).filter(|trick| trick.class != Class::Ok);
        let (Some(record), Some(trick)) = (record, expected) else {
            let class = record.map_or(Class::Ok, |record| record.class);
            let name = trick_of(number).map_or("none", |trick| trick.name);
            assert!(class == Class::Ok && expected.is_none(), "{name}: {class} {record:#?}");
            continue;
        };
        assert_eq!(record.class, trick.class, "{}: {record:#?}", trick.name);
        let reason = record.reason.as_deref().unwrap_or_default();
        assert!(reason.contains(trick.words), "{}: {reason}", trick.name);
    }
    let right = TRICKS.iter().filter(|trick| trick.class == Class::Ok).count() + TRICKS.len() + 1;
    assert_eq!(summary["classes"]["ok"], right, "{}", shown());
    assert!(peak < BOUND_KIB, "{peak} KiB");
}

#[test]
fn fifty_thousand_datagrams_that_answer_nothing_harm_no_call() {
    let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").expect("a port"));
    let address = socket.local_addr().expect("bound");
    let serving = Arc::clone(&socket);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        let mut flooded = false;
        while let Ok((count, from)) = serving.recv_from(&mut buffer) {
            let Ok(request) = Message::parse(&buffer[..count]) else { continue };
            match request.method() {
                Some(Method::Invite) => {
                    // The first call brings the flood on, all of it within a second or as fast as this machine can.
                    if !std::mem::replace(&mut flooded, true) {
                        let flooding = Arc::clone(&serving);
                        std::thread::spawn(move || flood(&flooding, from));
                    }
                    let _ = serving.send_to(&ok(&request, "", SDP), from);
                }
                Some(Method::Ack) | None => {}
                Some(_) => drop(serving.send_to(&response(&request, 200, "", ""), from)),
            }
        }
    });
    let desk = Desk::new();
    target(&desk, address, "udp");
    scenario(&desk, 60);
    let (output, peak) = desk.run_and_watch(&["run", "hostile.yaml", "--out", "out", "--quiet"]);
    let summary = summary(&desk.path("out"));
    assert_eq!(summary["classes"]["ok"], 60, "{}{}{summary:#}", text(&output.stdout), text(&output.stderr));
    assert!(peak < BOUND_KIB, "{peak} KiB");
}

/// Sends responses to nothing, 50 each millisecond.
pub(crate) fn flood(socket: &UdpSocket, to: SocketAddr) {
    for number in 0..STRAYS {
        let _ = socket.send_to(stray(number, "UDP").as_bytes(), to);
        if number % 50 == 49 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
