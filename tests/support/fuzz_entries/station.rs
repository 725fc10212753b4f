//! Whole machines between their sockets. The input is cut into pieces: messages, packets, and time that passes.

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use ringfleet::call::{self, Callers, Report};
use ringfleet::media::clock::NtpClock;
use ringfleet::net::clock;
use ringfleet::pbx::{self, Pbx};
use ringfleet::record::{Anchor, CallRecord};
use ringfleet::scenario::compile::{self, Compiled, Input};
use ringfleet::scenario::lab::LabPlan;
use ringfleet::sip::flow::{Flow, Hop, Link, LinkId, Transport};
use ringfleet::sip::header::{self, Name};
use ringfleet::sip::keep_alive::PING;
use ringfleet::sip::message::{Message, Method, Start};
use ringfleet::sip::{endpoint, stun, validity};
use ringfleet::station::{Channel, LinkEvent, MediaPacket, Output, PortId, Station};
use ringfleet::units::{Redacted, is_steering};

use super::{CUT, address};

/// Where the machine is, and who sends to it.
const OURS: &str = "192.0.2.1:5060";
const THEIRS: &str = "192.0.2.2:5060";

fn input<'a>(text: &'a str, read: &'a dyn Fn(&Path) -> std::io::Result<String>) -> Input<'a> {
    Input { path: Path::new("file.yaml"), text, target: None, set: &[], env: &|_| None, read }
}

/// Callers whose server answers as the pieces say; the first byte chooses what they do.
pub fn caller(bytes: &[u8]) {
    const STEPS: [&str; 4] = [
        "[ register, { wait: 30s } ]",
        "[ { dial: { number: echo, media: none } }, { wait: 1s }, hangup ]",
        "[ { dial: { number: echo } }, hold, { wait: 1s }, { resume: { by: update } }, { talk: { for: 1s } }, hangup ]",
        "[ register, { dial: { number: echo, media: none, session_timer: { expires: 90s } } }, { wait: 60s }, hangup ]",
    ];
    static PLANS: LazyLock<[Compiled; 4]> = LazyLock::new(|| {
        STEPS.map(|steps| {
            let text = format!(
                "scenario: s\ntarget: lab.yaml\ncaller: {{ account: agents, steps: {steps} }}\nload: {{ calls: 1 }}\n"
            );
            let read = |_: &Path| Ok("lab: open\n".to_owned());
            compile::scenario(&input(&text, &read)).unwrap_or_else(|mistakes| panic!("{mistakes}"))
        })
    });
    let Some((how, pieces)) = bytes.split_first() else { return };
    let plan = Arc::new(PLANS[usize::from(how & 3)].plan.clone());
    let now = clock::now();
    let transport = if how & 4 == 0 { Transport::Udp } else { Transport::Tcp };
    let hops = vec![Hop { transport, address: address(THEIRS) }];
    let config = call::Config {
        servers: plan.actors.iter().map(|actor| (actor.target.server.clone(), hops.clone().into())).collect(),
        plan,
        fail_over: true,
        share: (0, 1),
        start: now,
        closes: None,
        anchor: Anchor { instant: now, timestamp: jiff::Timestamp::UNIX_EPOCH },
        clock: NtpClock::from_unix(now, Duration::from_secs(1_800_000_000)),
        secret: Redacted([1; 32]),
        identity: None,
        run_id: "run".into(),
        site: None,
        probe: None,
        watched_legs: 1,
        whole_every: 1,
    };
    let told = Host::new(Callers::new(config, endpoint::Config::default(), 1, now), now).play(pieces);
    let records =
        told.iter().filter_map(|report| if let Report::Finished(leg) = report { Some(&leg.record) } else { None });
    for record in records.clone() {
        let texts =
            [&record.reason, &record.warning, &record.from, &record.to, &record.app_code, &record.platform_call_id];
        assert!(!texts.into_iter().flatten().any(|text| text.contains(is_steering)), "{record:?}");
        let written = serde_json::to_string(record).expect("a record can be written");
        serde_json::from_str::<CallRecord>(&written).expect("what is written can be read");
    }
    assert!(records.count() > 0, "the attempt is told");
}

/// The simulated PBX, whose phones send the pieces.
pub fn pbx(bytes: &[u8]) {
    static PLANS: LazyLock<[LabPlan; 2]> = LazyLock::new(|| {
        ["lab: open\nchallenge: false\n", "lab: strict\nlicence: { devices: 2 }\n"].map(|text| {
            let read = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
            compile::lab(&input(text, &read)).unwrap_or_else(|mistakes| panic!("{mistakes}"))
        })
    });
    let Some((how, pieces)) = bytes.split_first() else { return };
    let now = clock::now();
    let config = pbx::Config {
        plan: PLANS[usize::from(how & 1)].clone(),
        clock: NtpClock::from_unix(now, Duration::from_secs(1_800_000_000)),
        secret: Redacted([2; 32]),
        identity: None,
    };
    let mut host = Host::new(Pbx::new(config, endpoint::Config::default(), 2, now), now);
    host.station.handle_link(now, host.link, LinkEvent::Opened(Link::new(Transport::Udp, address(OURS))));
    host.play(pieces);
}

/// What a worker and its sockets are in reality.
struct Host<S: Station> {
    station: S,
    now: Instant,
    due: Option<Instant>,
    link: LinkId,
    port: Option<PortId>,
    /// The last messages that were sent, the last one at the end.
    sent: Vec<Vec<u8>>,
    /// Messages made up so far.
    made: u32,
    outputs: u32,
    reports: Vec<S::Report>,
    done: bool,
}

impl<S: Station> Host<S> {
    fn new(station: S, now: Instant) -> Self {
        let (sent, reports, link) = (Vec::new(), Vec::new(), LinkId(0));
        Self { station, now, due: None, link, port: None, sent, made: 0, outputs: 0, reports, done: false }
    }

    /// Gives the pieces one after the other, then ends it; what it has reported.
    fn play(mut self, pieces: &[u8]) -> Vec<S::Report> {
        self.drain();
        // What is due at once begins.
        self.pass(Duration::from_millis(1));
        // Longer lists show nothing that shorter ones don't.
        for piece in pieces.split(|byte| *byte == CUT).take(40) {
            match piece {
                [] => {}
                [b'+', tenths, ..] => self.pass(Duration::from_millis(100) * u32::from(*tenths)),
                [b'$', bytes @ ..] => self.media(Channel::Rtp, bytes),
                [b'%', bytes @ ..] => self.media(Channel::Rtcp, bytes),
                message => self.sip(message),
            }
        }
        self.station.stop(self.now);
        self.drain();
        self.pass(Duration::from_secs(300));
        assert!(self.done, "it never ends: {:?}", self.due);
        self.reports
    }

    fn pass(&mut self, period: Duration) {
        let until = self.now + period;
        let mut turns = 0;
        while let Some(due) = self.due.filter(|due| *due <= until && !self.done) {
            self.now = self.now.max(due);
            self.station.handle_timeout(self.now);
            self.drain();
            turns += 1;
            assert!(turns < 100_000, "its time does not pass");
        }
        self.now = until;
    }

    fn media(&mut self, channel: Channel, bytes: &[u8]) {
        let Some(port) = self.port else { return };
        let packet = MediaPacket { arrived: self.now, port, channel, from: address("192.0.2.2:40000"), bytes };
        self.station.handle_media(self.now, packet);
        self.drain();
    }

    /// `<` answers the last request, `{` the one before it, `>` asks within the dialog of the last message; the rest comes as it is.
    fn sip(&mut self, piece: &[u8]) {
        let message = match piece {
            [b'<', rest @ ..] => self.answer(0, rest),
            [b'{', rest @ ..] => self.answer(1, rest),
            [b'>', rest @ ..] => self.request(rest),
            _ => Some(piece.to_vec()),
        };
        let Some(message) = message else { return };
        let flow = Flow { link: self.link, remote: address(THEIRS) };
        self.station.handle_sip(self.now, self.now, flow, &message);
        self.drain();
    }

    fn answer(&self, before: usize, rest: &[u8]) -> Option<Vec<u8>> {
        let requests = self.sent.iter().rev().filter_map(|bytes| Message::parse(bytes).ok());
        let mut requests = requests.filter(|message| message.code().is_none() && message.method() != Some(Method::Ack));
        let request = requests.nth(before)?;
        let mut fields = String::new();
        let names = [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq];
        for (name, word) in names.into_iter().zip(["Via", "From", "To", "Call-ID", "CSeq"]) {
            for value in request.headers(name) {
                let tag = if name == Name::To && request.to()?.tag().is_none() { ";tag=far" } else { "" };
                fields += &format!("{word}: {}{tag}\r\n", header::text(value));
            }
        }
        Some(with_fields(b"SIP/2.0 ", rest, b"", &fields))
    }

    fn request(&mut self, rest: &[u8]) -> Option<Vec<u8>> {
        self.made += 1;
        let last = self.sent.iter().rev().find_map(|bytes| Message::parse(bytes).ok())?;
        let (from, to) = (header::text(last.header(Name::From)?), header::text(last.header(Name::To)?));
        let call_id = header::text(last.call_id()?);
        let (from, to) = match last.start() {
            Start::Request { .. } if last.to()?.tag().is_none() => (to + ";tag=far", from),
            Start::Request { .. } => (to, from),
            Start::Response { .. } => (from, to),
        };
        let method = rest.split(|byte| !byte.is_ascii_uppercase()).next().map(header::text)?;
        // An ACK has the number of what it acknowledges.
        let number = if method == "ACK" { last.cseq()?.0 } else { 10 + self.made };
        let made = self.made;
        let fields = format!(
            "Via: SIP/2.0/UDP {THEIRS};branch=z9hG4bK{made}\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\n\
             CSeq: {number} {method}\r\nMax-Forwards: 70\r\n"
        );
        Some(with_fields(b"", rest, b" sip:us@192.0.2.1 SIP/2.0", &fields))
    }

    fn drain(&mut self) {
        let mut buffer = Vec::new();
        while !self.done {
            self.outputs += 1;
            assert!(self.outputs < 500_000, "it goes on for ever");
            buffer.clear();
            match self.station.poll_output(self.now, &mut buffer) {
                Output::Sip { .. } => self.look_at(&buffer),
                Output::Media { .. } => assert!(buffer.len() <= 1_500),
                Output::OpenPort { port, .. } => {
                    self.port = Some(port);
                    self.station.handle_port(self.now, port, Ok(address("192.0.2.1:4000")));
                }
                Output::OpenLink { link, transport, .. } => {
                    self.link = link;
                    let opened = LinkEvent::Opened(Link::new(transport, address(OURS)));
                    self.station.handle_link(self.now, link, opened);
                }
                Output::Report(report) => self.reports.push(report),
                Output::Idle(due) => {
                    self.due = due;
                    return;
                }
                Output::Done => self.done = true,
                _ => {}
            }
        }
    }

    /// What is sent can be read, and is whole where it is ours alone.
    fn look_at(&mut self, bytes: &[u8]) {
        if stun::is_stun(bytes) || bytes == PING || bytes == b"\r\n" {
            return;
        }
        let message = Message::parse(bytes).unwrap_or_else(|error| panic!("{error}: {}", header::text(bytes)));
        assert_eq!(message.fault(), None, "{}", header::text(bytes));
        assert!(message.code().is_some() || validity::flaw(&message).is_none(), "{}", header::text(bytes));
        if self.sent.len() == 8 {
            self.sent.remove(0);
        }
        self.sent.push(bytes.to_vec());
    }
}

/// A piece whose first line gets something before and behind it, and header fields after it.
fn with_fields(before: &[u8], piece: &[u8], behind: &[u8], fields: &str) -> Vec<u8> {
    let end = piece.iter().position(|byte| *byte == b'\n').unwrap_or(piece.len());
    let (line, rest) = piece.split_at(end);
    let rest = rest.strip_prefix(b"\n").unwrap_or(b"\r\n");
    [before, line.trim_ascii_end(), behind, b"\r\n", fields.as_bytes(), rest].concat()
}
