//! Many phones at the simulated PBX in virtual time, message by message: whoever sits here says from which address,
//! as whom and when each request comes.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use ringfleet::media::clock::NtpClock;
use ringfleet::pbx::{self, Pbx};
use ringfleet::scenario::compile::{self, Input};
use ringfleet::scenario::diagnostic::Diagnostics;
use ringfleet::scenario::lab::LabPlan;
use ringfleet::sip::endpoint;
use ringfleet::sip::flow::{Flow, Link, LinkId, Transport};
use ringfleet::station::{LinkEvent, LinkFault, Output, Station};
use ringfleet::units::Redacted;

use crate::virtual_net::PBX;

const LISTENER: LinkId = LinkId(0);

/// The phones and the PBX.
pub(crate) struct Desk {
    pub(crate) pbx: Pbx,
    pub(crate) start: Instant,
    pub(crate) now: Instant,
    /// What the PBX has sent, in order.
    pub(crate) got: Vec<Got>,
    /// Connections that the PBX has closed.
    pub(crate) closed: Vec<LinkId>,
    open_ports: usize,
    requests: u32,
    deadline: Option<Instant>,
}

/// A message of the PBX.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) flow: Flow,
    pub(crate) text: String,
}

/// A call that was dialled.
#[derive(Clone, Debug)]
pub(crate) struct Dialled {
    id: u32,
    flow: Flow,
    user: String,
    number: String,
}

/// Somebody at an address, over UDP.
pub(crate) fn at(host: u8) -> Flow {
    Flow { link: LISTENER, remote: SocketAddr::from(([10, 0, 1, host], 5060)) }
}

/// A lab file's plan, without challenges.
pub(crate) fn lab(rest: &str) -> LabPlan {
    read(rest).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

/// The same, or what is wrong with it.
pub(crate) fn read(rest: &str) -> Result<LabPlan, Diagnostics> {
    let text = format!("lab: desk\nchallenge: false\n{rest}");
    let input = Input {
        path: Path::new("lab.yaml"),
        text: &text,
        target: None,
        set: &[],
        env: &|_| None,
        read: &|_| Err(std::io::ErrorKind::NotFound.into()),
    };
    compile::lab(&input)
}

impl Desk {
    /// A PBX as the lab file says, without challenges.
    pub(crate) fn new(rest: &str) -> Self {
        Self::seeded(rest, 2)
    }

    pub(crate) fn seeded(rest: &str, seed: u64) -> Self {
        #[expect(clippy::disallowed_methods, reason = "any instant will do as the origin of virtual time")]
        let start = Instant::now();
        let clock = NtpClock::from_unix(start, Duration::from_secs(1_800_000_000));
        let config = pbx::Config { plan: lab(rest), clock, secret: Redacted([2; 32]), identity: None };
        let mut pbx = Pbx::new(config, endpoint::Config::default(), seed, start);
        pbx.handle_link(start, LISTENER, LinkEvent::Opened(Link::new(Transport::Udp, PBX)));
        let (got, closed) = (Vec::new(), Vec::new());
        Self { pbx, start, now: start, got, closed, open_ports: 0, requests: 0, deadline: None }
    }

    /// Somebody at an address, over a TCP connection of that number.
    pub(crate) fn connect(&mut self, host: u8, connection: u32) -> Flow {
        let link = LinkId((1 << 31) + connection);
        self.pbx.handle_link(self.now, link, LinkEvent::Opened(Link::new(Transport::Tcp, PBX)));
        Flow { link, remote: SocketAddr::from(([10, 0, 1, host], 40_000 + connection as u16)) }
    }

    /// The connection breaks.
    pub(crate) fn lose(&mut self, flow: Flow) {
        self.pbx.handle_link(self.now, flow.link, LinkEvent::Lost(LinkFault::Broken, "reset".into()));
        self.drain();
    }

    /// ICMP says that nobody is there.
    pub(crate) fn vanish(&mut self, flow: Flow) {
        self.pbx.handle_unreachable(self.now, flow, LinkFault::Refused);
        self.drain();
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, period: Duration) {
        let until = self.now + period;
        self.drain();
        while let Some(next) = self.deadline.filter(|at| *at <= until) {
            self.now = self.now.max(next);
            self.pbx.handle_timeout(self.now);
            self.drain();
        }
        self.now = until;
    }

    /// Lets time pass until this long after the start.
    pub(crate) fn pass_until(&mut self, since_start: Duration) {
        self.pass((self.start + since_start).saturating_duration_since(self.now));
    }

    /// Dials; what the PBX says at once is [`said`](Self::said).
    pub(crate) fn dial(&mut self, flow: Flow, user: &str, number: &str) -> Dialled {
        self.requests += 1;
        let call = Dialled { id: self.requests, flow, user: user.into(), number: number.into() };
        self.send(flow, &request(&call, "INVITE", "", &format!("Contact: <sip:{user}@{}>\r\n", flow.remote)));
        call
    }

    /// Dials; the code that comes at once: 180 for a call that passes.
    pub(crate) fn code(&mut self, flow: Flow, user: &str, number: &str) -> u16 {
        let call = self.dial(flow, user, number);
        self.said(&call).0
    }

    /// Code, reason phrase and text of what the PBX has said last about a call.
    pub(crate) fn said(&self, call: &Dialled) -> (u16, String, String) {
        self.response(call).expect("it is answered")
    }

    /// Whether the PBX has said anything about a call.
    pub(crate) fn is_answered(&self, call: &Dialled) -> bool {
        self.response(call).is_some()
    }

    fn response(&self, call: &Dialled) -> Option<(u16, String, String)> {
        let id = format!("Call-ID: {}@desk\r\n", call.id);
        let last = self.got.iter().rev().find(|got| got.text.starts_with("SIP/2.0") && got.text.contains(&id));
        last.map(|got| parts(&got.text))
    }

    /// Ends a call: CANCEL for one that rings, ACK and BYE for one that is up.
    pub(crate) fn end(&mut self, call: &Dialled) {
        let Some((code, _, text)) = self.response(call) else { return };
        match code {
            100..200 => self.send(call.flow, &request(call, "CANCEL", "", "")),
            200..300 if text.contains("CSeq: 1 INVITE\r\n") => {
                self.acknowledge(call);
                self.send(call.flow, &request(call, "BYE", tag_of(&text), ""));
            }
            _ => {}
        }
    }

    /// Sends the ACK of a call that is answered.
    pub(crate) fn acknowledge(&mut self, call: &Dialled) {
        if let Some((200, _, text)) = self.response(call) {
            self.send(call.flow, &request(call, "ACK", tag_of(&text), ""));
        }
    }

    /// The PBX ends.
    pub(crate) fn stop(&mut self) {
        self.pbx.stop(self.now);
        self.drain();
    }

    /// Registers a contact (`expires=0` removes it, without a contact the bindings are asked for).
    pub(crate) fn register(&mut self, flow: Flow, user: &str, contacts: &str) -> (u16, String, String) {
        self.requests += 1;
        let call = Dialled { id: self.requests, flow, user: user.into(), number: user.into() };
        self.send(flow, &request(&call, "REGISTER", "", contacts));
        self.said(&call)
    }

    /// Registers the one contact that an account has at this address; the code.
    pub(crate) fn login(&mut self, flow: Flow, user: &str) -> u16 {
        self.register(flow, user, &format!("Contact: <sip:{user}@{}>\r\n", flow.remote)).0
    }

    /// The contacts that an account finds when it asks.
    pub(crate) fn contacts(&mut self, flow: Flow, user: &str) -> usize {
        let (code, _, text) = self.register(flow, user, "");
        assert_eq!(code, 200, "{text}");
        text.matches("\r\nContact:").count()
    }

    pub(crate) fn send(&mut self, flow: Flow, text: &str) {
        self.pbx.handle_sip(self.now, self.now, flow, text.as_bytes());
        self.drain();
    }

    /// Places of calls, calls and media ports that are left.
    pub(crate) fn left(&self) -> (usize, usize, usize) {
        (self.pbx.places_taken(self.now), self.pbx.calls_under_way(), self.open_ports)
    }

    fn drain(&mut self) {
        let mut buffer = Vec::new();
        for turn in 0.. {
            assert!(turn < 100_000, "the PBX does not come to rest");
            buffer.clear();
            match self.pbx.poll_output(self.now, &mut buffer) {
                Output::Sip { flow, .. } => {
                    let text = String::from_utf8_lossy(&buffer).into_owned();
                    self.got.push(Got { flow, text });
                }
                Output::OpenPort { port, .. } => {
                    self.open_ports += 1;
                    let address = SocketAddr::new(IpAddr::from([10, 0, 0, 2]), 16_384);
                    self.pbx.handle_port(self.now, port, Ok(address));
                }
                Output::ClosePort(_) => self.open_ports -= 1,
                Output::CloseLink(link) => self.closed.push(link),
                Output::Media { .. } => {}
                Output::OpenLink { .. } | Output::PauseLink { .. } | Output::Expect { .. } | Output::Report(()) => {
                    unreachable!("the PBX waits for calls")
                }
                Output::Idle(at) => {
                    self.deadline = at;
                    return;
                }
                Output::Done => return,
            }
        }
    }
}

/// Code, reason phrase and text of a response.
fn parts(text: &str) -> (u16, String, String) {
    let line = text.lines().next().expect("a first line");
    let mut words = line.splitn(3, ' ').skip(1);
    let code = words.next().and_then(|code| code.parse().ok()).expect("a code");
    (code, words.next().unwrap_or("").to_owned(), text.to_owned())
}

fn tag_of(text: &str) -> &str {
    let to = field(text, "To").expect("it has one");
    to.split_once(";tag=").expect("a tag").1
}

/// What somebody who was called answers to the last INVITE.
pub(crate) fn answer_of(desk: &Desk, callee: Flow, status: &str) -> String {
    let invite = desk.got.iter().rev().find(|got| got.flow == callee && got.text.starts_with("INVITE "));
    let invite = &invite.expect("somebody is called").text;
    let repeated = ["Via", "From", "Call-ID", "CSeq"];
    let lines = invite.lines().filter(|line| repeated.iter().any(|name| line.starts_with(name)));
    let lines: Vec<&str> = lines.collect();
    let (lines, to) = (lines.join("\r\n"), field(invite, "To").expect("it has one"));
    let contact = format!("Contact: <sip:callee@{}>", callee.remote);
    format!("SIP/2.0 {status}\r\n{lines}\r\nTo: {to};tag=callee\r\n{contact}\r\nContent-Length: 0\r\n\r\n")
}

/// The value of a header field.
pub(crate) fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn request(call: &Dialled, method: &str, to_tag: &str, fields: &str) -> String {
    let Dialled { id, flow, user, number } = call;
    let transport = if flow.link == LISTENER { "UDP" } else { "TCP" };
    let uri = if method == "REGISTER" { "sip:lab".to_owned() } else { format!("sip:{number}@lab") };
    // CANCEL has the branch of the INVITE (RFC 3261 §9.1), the other requests have their own.
    let branch = if matches!(method, "INVITE" | "CANCEL") { "a" } else { method };
    let sequence = match method {
        "BYE" => "2 BYE".to_owned(),
        _ => format!("1 {method}"),
    };
    let to_tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/{transport} {};branch=z9hG4bK{id}{branch}\r\nMax-Forwards: 70\r\n\
         From: <sip:{user}@lab>;tag={id}\r\nTo: <sip:{number}@lab>{to_tag}\r\nCall-ID: {id}@desk\r\n\
         CSeq: {sequence}\r\n{fields}Content-Length: 0\r\n\r\n",
        flow.remote
    )
}
