//! WebSocket servers that do what nobody should: each attempt has its class and the words of what happened.

#![expect(clippy::disallowed_methods, reason = "the servers of these tests are not the product's")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use ringfleet::record::Class;
use ringfleet::sip::message::{Message as Sip, Method, Start};
use ringfleet::sip::uri::Uri;
use tungstenite::handshake::server::{Request, Response};
use tungstenite::{Message, WebSocket};

use crate::cli::{Desk, code, records, summary, text};
use crate::hostile::response;
use crate::hostile_servers::SDP;

type Web = WebSocket<TcpStream>;

/// Serves each connection on a thread of its own.
fn listen(serve: fn(TcpStream)) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

#[expect(clippy::result_large_err, reason = "tungstenite says what the callback returns")]
fn upgraded(stream: TcpStream) -> Option<Web> {
    let agree = |request: &Request, mut response: Response| {
        assert_eq!(request.headers()["Sec-WebSocket-Protocol"], "sip");
        assert_eq!(request.headers()["Origin"], "https://cc.example");
        response.headers_mut().insert("Sec-WebSocket-Protocol", "sip".parse().expect("valid"));
        Ok(response)
    };
    tungstenite::accept_hdr(stream, agree).ok()
}

fn target(desk: &Desk, server: SocketAddr) {
    let text = format!(
        "target: pbx\nsip: {{ domain: lab.ringfleet.invalid }}\n\
         websocket: {{ url: \"ws://{server}/ws?token=t0p\", origin: \"https://cc.example\" }}\n\
         accounts:\n  agents: {{ users: \"1001..1099\", password: \"${{PROBE_PASSWORD}}\" }}\n\
         safety: {{ allow: [\"^[0-9]{{4,}}$\"], emergency: TW }}\n"
    );
    desk.write("targets/pbx.yaml", &text);
}

/// Answers what was asked for with this, and closes.
fn say(mut stream: TcpStream, answer: &str) {
    let _ = stream.read(&mut [0; 4096]);
    let _ = stream.write_all(answer.as_bytes());
}

#[test]
fn each_answer_that_is_no_upgrade_has_its_words_and_nothing_is_started() {
    type Trick = (&'static str, fn(TcpStream), Class, &'static str);
    let tricks: [Trick; 5] = [
        (
            "403",
            |stream| say(stream, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"),
            Class::TransportWsUpgrade,
            "the server answers the WebSocket upgrade with 403 Forbidden: it may want an Origin, a token or a header",
        ),
        (
            "no subprotocol",
            |stream| drop(tungstenite::accept(stream)),
            Class::TransportWsUpgrade,
            "not to the subprotocol `sip` (RFC 7118 §4)",
        ),
        (
            "SIP",
            |stream| say(stream, "SIP/2.0 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
            Class::TransportWsUpgrade,
            "is not HTTP",
        ),
        ("nothing", drop, Class::TransportWsUpgrade, "closed the connection during the WebSocket upgrade"),
        ("garbage", |stream| say(stream, "HTTP/1.1 banana\r\n\r\n"), Class::TransportWsUpgrade, "is not HTTP"),
    ];
    let desk = Desk::new();
    desk.write("ping.yaml", "scenario: ping\ntarget: pbx\ncaller: { account: agents, steps: [options] }\n");
    for (name, serve, class, words) in tricks {
        target(&desk, listen(serve));
        let output = desk.run(&["run", "ping.yaml", "--out", name, "--quiet"]);
        let record = &records(&desk.path(name))[0];
        assert_eq!((record.class, code(&output)), (class, Some(4)), "{name}: {}", text(&output.stdout));
        assert!(record.reason.as_ref().is_some_and(|it| it.contains(words)), "{name}: {:?}", record.reason);
        assert!(record.tcp_ms.is_some() && record.ws_upgrade_ms.is_none(), "{name}");
        assert!(!record.reason.as_ref().is_some_and(|it| it.contains("t0p")));
    }
}

/// What a server does about an INVITE.
struct Trick {
    name: &'static str,
    act: fn(&mut Web, &Sip<'_>) -> tungstenite::Result<()>,
    class: Class,
    /// Part of `reason`.
    words: &'static str,
}

fn ok(invite: &Sip<'_>) -> Vec<u8> {
    response(invite, 200, "", SDP)
}

fn send(web: &mut Web, bytes: Vec<u8>) -> tungstenite::Result<()> {
    web.send(Message::text(String::from_utf8(bytes).expect("ASCII")))
}

/// A frame of a server.
fn frame(web: &mut Web, first: u8, payload: &[u8]) -> tungstenite::Result<()> {
    let length = (payload.len() as u16).to_be_bytes();
    web.get_mut().write_all(&[&[first, 126][..], &length, payload].concat())?;
    Ok(())
}

fn close(web: &mut Web, code: u16, reason: &'static str) -> tungstenite::Result<()> {
    web.close(Some(tungstenite::protocol::CloseFrame { code: code.into(), reason: reason.into() }))?;
    loop {
        web.read()?;
    }
}

const TRICKS: [Trick; 13] = [
    Trick {
        name: "closed at once",
        act: |web, _| close(web, 1011, "out of memory"),
        class: Class::TransportWsClosed,
        words: "the peer closed the WebSocket: 1011 (internal error): out of memory",
    },
    Trick {
        name: "closed while it rings",
        act: |web, invite| {
            send(web, response(invite, 180, "", ""))?;
            close(web, 1001, "")
        },
        class: Class::TransportWsClosed,
        words: "the peer closed the WebSocket: 1001 (going away)",
    },
    Trick {
        name: "closed in the call",
        act: |web, invite| {
            send(web, ok(invite))?;
            web.read()?;
            std::thread::sleep(Duration::from_millis(100));
            close(web, 4000, "")
        },
        class: Class::TransportWsClosed,
        words: "the peer closed the WebSocket: 4000",
    },
    Trick {
        name: "cut without a word",
        act: |web, invite| {
            send(web, response(invite, 180, "", ""))?;
            Ok(web.get_mut().shutdown(std::net::Shutdown::Both)?)
        },
        class: Class::TransportWsClosed,
        words: "without a word of WebSocket (1006)",
    },
    Trick {
        name: "split over two messages",
        act: |web, invite| {
            let mut bytes = ok(invite);
            let rest = bytes.split_off(100);
            send(web, bytes)?;
            send(web, rest)
        },
        class: Class::TransportWsProtocol,
        words: "a SIP message is not whole in its WebSocket message",
    },
    Trick {
        name: "two in one message",
        act: |web, invite| send(web, [response(invite, 180, "", ""), ok(invite)].concat()),
        class: Class::TransportWsProtocol,
        words: "follow the SIP message in its WebSocket message",
    },
    Trick {
        name: "no UTF-8",
        act: |web, _| frame(web, 0x81, b"SIP/2.0 200 \xff\r\n\r\n"),
        class: Class::TransportWsProtocol,
        words: "is not UTF-8",
    },
    Trick {
        name: "masked",
        act: |web, _| Ok(web.get_mut().write_all(&[0x81, 0x81, 1, 2, 3, 4, 5])?),
        class: Class::TransportWsProtocol,
        words: "masked frame from server",
    },
    Trick {
        name: "longer than anybody takes",
        act: |web, _| Ok(web.get_mut().write_all(&[0x82, 127, 0, 0, 1, 0, 0, 0, 0, 0])?),
        class: Class::TransportWsProtocol,
        words: "a WebSocket message is longer than 262144 bytes",
    },
    Trick {
        name: "in many frames, with pings between them",
        act: |web, invite| {
            let bytes = ok(invite);
            frame(web, 0x01, &bytes[..50])?;
            for byte in &bytes[50..] {
                frame(web, 0x00, &[*byte])?;
                web.get_mut().write_all(&[0x89, 0])?;
            }
            frame(web, 0x80, b"")
        },
        class: Class::Ok,
        words: "",
    },
    Trick { name: "in binary", act: |web, invite| web.send(Message::binary(ok(invite))), class: Class::Ok, words: "" },
    Trick {
        name: "without Content-Length",
        act: |web, invite| {
            let text = String::from_utf8(ok(invite)).expect("ASCII");
            send(web, text.replace(&format!("Content-Length: {}\r\n", SDP.len()), "").into_bytes())
        },
        class: Class::Ok,
        words: "",
    },
    Trick {
        name: "a keep-alive of its own",
        act: |web, invite| {
            web.send(Message::text("\r\n\r\n"))?;
            assert_eq!(web.read()?, Message::text("\r\n"), "it is answered");
            send(web, ok(invite))
        },
        class: Class::Ok,
        words: "",
    },
];

/// The trick of a dialled number, `None` for those that are answered as they should be: every second one.
fn trick_of(number: usize) -> Option<&'static Trick> {
    number.is_multiple_of(2).then(|| &TRICKS[(number / 2 - 1) % TRICKS.len()])
}

fn number_of(invite: &Sip<'_>) -> usize {
    let Start::Request { uri, .. } = invite.start() else { panic!("a request") };
    let user = String::from_utf8_lossy(Uri::parse(uri).expect("ours").user).into_owned();
    user.trim_start_matches('9').trim_start_matches('0').parse().expect("a number")
}

fn serve(stream: TcpStream) {
    let Some(mut web) = upgraded(stream) else { return };
    // Each ends with its connection; what it could not send is what the test is about.
    let _ = converse(&mut web);
}

fn converse(web: &mut Web) -> tungstenite::Result<()> {
    loop {
        let Message::Text(request) = web.read()? else { continue };
        let request = Sip::parse(request.as_bytes()).expect("we send what can be read");
        match request.method() {
            Some(Method::Invite) => match trick_of(number_of(&request)) {
                Some(trick) => (trick.act)(web, &request)?,
                None => send(web, ok(&request))?,
            },
            Some(Method::Ack) | None => {}
            Some(_) => send(web, response(&request, 200, "", ""))?,
        }
    }
}

#[test]
fn each_trick_on_a_websocket_has_its_class_and_the_calls_beside_it_are_unharmed() {
    let desk = Desk::new();
    target(&desk, listen(serve));
    let calls = 2 * TRICKS.len() + 1;
    let scenario = format!(
        "scenario: hostile\ntarget: pbx\ncaller: {{ account: agents, steps: [{{ dial: {{ number: \"9{{{{ n | pad(3) }}}}\", \
         answer_within: 8s }} }}, {{ wait: 300ms }}, hangup] }}\nload: {{ concurrent: 12, calls: {calls} }}\n"
    );
    desk.write("hostile.yaml", &scenario);
    let output = desk.run(&["run", "hostile.yaml", "--out", "out", "--quiet", "--records", "all"]);
    let shown = || format!("{}{}", text(&output.stdout), text(&output.stderr));
    let (summary, records) = (summary(&desk.path("out")), records(&desk.path("out")));
    assert_eq!((&summary["attempted"], records.len()), (&calls.into(), calls), "{}{}", shown(), summary["headline"]);
    for record in records {
        let number = record.call_id.rsplit('-').next().and_then(|digits| digits.parse().ok()).expect("a number");
        let (name, class, words) = trick_of(number).map_or(("none", Class::Ok, ""), |it| (it.name, it.class, it.words));
        assert_eq!(record.class, class, "{name}: {record:#?}");
        let reason = record.reason.as_deref().unwrap_or_default();
        assert!(reason.contains(words), "{name}: {reason}");
    }
}
