//! The two stations that can be called, the simulated PBX and `ringfleet answer`, as the far end of single messages
//! that arrive from 192.0.2.200:5060 over UDP, in virtual time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ringfleet::call::{self, Callers};
use ringfleet::media::clock::NtpClock;
use ringfleet::pace::{Load, Schedule, Stop};
use ringfleet::pbx::{self, Pbx};
use ringfleet::record::Anchor;
use ringfleet::scenario::lab::LabPlan;
use ringfleet::scenario::plan::Registered;
use ringfleet::sip::endpoint;
use ringfleet::sip::flow::{Flow, Link, LinkId, Transport};
use ringfleet::sip::message::Message;
use ringfleet::station::{LinkEvent, Output, Station};
use ringfleet::units::Redacted;

use crate::virtual_net::compiled;

const LINK: LinkId = LinkId(0);
/// Answers after a second; nobody has to pair.
const ANSWERING: &str = "scenario: answer\ntarget: lab.yaml\ncaller: { account: agents, steps: \
    [{ answer: { after: 1s, within: 60s } }, talk] }\nload: { calls: 1 }\n";

/// A station that is called.
pub(crate) struct FarEnd<S: Station> {
    pub(crate) station: S,
    now: Instant,
    next_port: u16,
}

impl FarEnd<Pbx> {
    /// The simulated PBX; it challenges nobody.
    pub(crate) fn pbx() -> Self {
        let plan = LabPlan { challenge: false, ..LabPlan::default() };
        let (now, clock) = origin();
        let config = pbx::Config { plan, clock, secret: Redacted([3; 32]), identity: None };
        Self::of(Pbx::new(config, endpoint::Config::default(), 3, now), now)
    }
}

impl FarEnd<Callers> {
    /// `ringfleet answer`.
    pub(crate) fn answering() -> Self {
        let mut plan = compiled(ANSWERING, "lab: any\n").plan;
        plan.load = Load { schedule: Schedule::OnDemand, stop: Stop { calls: None, after: None } };
        for actor in &mut plan.actors {
            (actor.registered, actor.pool) = (Registered::BySteps, None);
        }
        let (now, clock) = origin();
        let config = call::Config {
            plan: Arc::new(plan),
            servers: Vec::new(),
            share: (0, 1),
            start: now,
            closes: None,
            anchor: Anchor { instant: now, timestamp: jiff::Timestamp::UNIX_EPOCH },
            clock,
            fail_over: false,
            secret: Redacted([1; 32]),
            identity: None,
            run_id: "run".into(),
            site: None,
            probe: None,
            watched_legs: 0,
            whole_every: 1,
        };
        Self::of(Callers::new(config, endpoint::Config::default(), 1, now), now)
    }
}

fn origin() -> (Instant, NtpClock) {
    #[expect(clippy::disallowed_methods, reason = "any instant will do as the origin of virtual time")]
    let now = Instant::now();
    (now, NtpClock::from_unix(now, Duration::from_secs(1_800_000_000)))
}

impl<S: Station> FarEnd<S> {
    fn of(mut station: S, now: Instant) -> Self {
        let advertised = "192.0.2.100:5060".parse().expect("valid");
        station.handle_link(now, LINK, LinkEvent::Opened(Link::new(Transport::Udp, advertised)));
        let mut far_end = Self { station, now, next_port: 30_000 };
        far_end.drain();
        far_end
    }

    /// The messages that are sent at once when this one arrives.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Vec<String> {
        let flow = Flow { link: LINK, remote: "192.0.2.200:5060".parse().expect("valid") };
        self.station.handle_sip(self.now, self.now, flow, bytes);
        self.drain()
    }

    /// The first line of the final answer, if one is sent at once.
    pub(crate) fn final_line(&mut self, bytes: &[u8]) -> Option<String> {
        let sent = self.take(bytes);
        let lines = sent.iter().filter_map(|text| text.lines().next());
        lines.filter(|line| !line.starts_with("SIP/2.0 1")).map(str::to_owned).next()
    }

    /// Lets time pass; the messages that are sent meanwhile.
    pub(crate) fn pass(&mut self, period: Duration) -> Vec<String> {
        let until = self.now + period;
        let mut sent = Vec::new();
        // A step of 10 ms is as good as any: nothing arrives.
        while self.now < until {
            self.now += Duration::from_millis(10);
            self.station.handle_timeout(self.now);
            sent.extend(self.drain());
        }
        sent
    }

    fn drain(&mut self) -> Vec<String> {
        let mut sent = Vec::new();
        let mut buffer = Vec::new();
        loop {
            buffer.clear();
            match self.station.poll_output(self.now, &mut buffer) {
                Output::Sip { .. } => {
                    Message::parse(&buffer).expect("what is sent can be read");
                    sent.push(String::from_utf8_lossy(&buffer).into_owned());
                }
                Output::OpenPort { port, .. } => {
                    self.next_port += 2;
                    let local = (std::net::Ipv4Addr::new(192, 0, 2, 100), self.next_port).into();
                    self.station.handle_port(self.now, port, Ok(local));
                }
                Output::Idle(_) | Output::Done => return sent,
                _ => {}
            }
        }
    }
}
