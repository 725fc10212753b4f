//! The simulated PBX as the peer of single messages, in virtual time.

use std::time::{Duration, Instant};

use ringfleet::media::clock::NtpClock;
use ringfleet::pbx::{Config, Pbx};
use ringfleet::scenario::lab::LabPlan;
use ringfleet::sip::endpoint;
use ringfleet::sip::flow::{Flow, Link, LinkId, Transport};
use ringfleet::station::{LinkEvent, Output, Station};
use ringfleet::units::Redacted;

const LINK: LinkId = LinkId(0);

/// A PBX that one peer at 192.0.2.200:5060 speaks to over UDP.
pub(crate) struct Registrar {
    pbx: Pbx,
    now: Instant,
}

impl Registrar {
    pub(crate) fn new(plan: LabPlan) -> Self {
        #[expect(clippy::disallowed_methods, reason = "any instant will do as the origin of virtual time")]
        let now = Instant::now();
        let clock = NtpClock::from_unix(now, Duration::from_secs(1_800_000_000));
        let mut pbx = Pbx::new(
            Config { plan, clock, secret: Redacted([3; 32]), identity: None },
            endpoint::Config::default(),
            3,
            now,
        );
        let advertised = "192.0.2.100:5060".parse().expect("valid");
        pbx.handle_link(now, LINK, LinkEvent::Opened(Link::new(Transport::Udp, advertised)));
        Self { pbx, now }
    }

    /// First line and whole text of what is answered to a message.
    pub(crate) fn answer(&mut self, bytes: &[u8]) -> (String, String) {
        let flow = Flow { link: LINK, remote: "192.0.2.200:5060".parse().expect("valid") };
        self.pbx.handle_sip(self.now, self.now, flow, bytes);
        let mut buffer = Vec::new();
        match self.pbx.poll_output(self.now, &mut buffer) {
            Output::Sip { .. } => {
                let text = String::from_utf8_lossy(&buffer).into_owned();
                (text.lines().next().unwrap_or_default().to_owned(), text)
            }
            _ => Default::default(),
        }
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, period: Duration) {
        self.now += period;
        self.pbx.handle_timeout(self.now);
    }
}
