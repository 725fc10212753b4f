//! Callers and the simulated PBX in virtual time: what a worker and its sockets are in reality is a map of addresses
//! and a queue of datagrams here, with delay, loss, reorder and duplication.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use ringfleet::call::{self, Callers, NotBegun, Report};
use ringfleet::media::clock::NtpClock;
use ringfleet::net::tls::dtls_identity;
use ringfleet::pbx::{self, Pbx};
use ringfleet::record::{Anchor, CallRecord, MediaSecond, RegistrationRecord, Rungs};
use ringfleet::scenario::compile::{self, Compiled, Input};
use ringfleet::scenario::plan::{Plan, Transport};
use ringfleet::sip::endpoint;
use ringfleet::sip::flow::{Flow, Hop, Link, LinkId};
use ringfleet::sip::{keep_alive, stun};
use ringfleet::station::demux::Demux;
use ringfleet::station::side::{News, Order, Told};
use ringfleet::station::{Channel, LinkEvent, LinkFault, MediaPacket, Output, PortId, Station};
use ringfleet::units::{Random, Redacted};
use ringfleet::webrtc::Identity;

use crate::pair::{Network, assert_strict};
use crate::virtual_relay::Relay;

/// Where the PBX listens.
pub(crate) const PBX: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2)), 5060);
/// Where the callers are.
const CALLERS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
/// Legs whose seconds of media are reported, at the same time at most.
pub(crate) const WATCHED_LEGS: u32 = 2;
/// Where servers of STUN and TURN are: nobody is there, unless a world has one.
pub(crate) const RELAY: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 9)), 3478);
const LISTENER: LinkId = LinkId(0);
/// Connections that the PBX accepted, as in the reactor.
const ACCEPTED: u32 = 1 << 31;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Side {
    Callers,
    Pbx,
}

/// What becomes of requests at an address of the server's besides that of the PBX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The PBX has this address too.
    Served,
    /// They get no answer.
    Silent,
    /// Nobody listens: a connection is refused, a datagram brings back ICMP.
    Refused,
    /// 503, with this Retry-After.
    Unavailable(Option<u32>),
    /// A connection to it comes as far as this, after 1 ms for TCP.
    Fails(LinkFault),
}

/// A peer made of what it answers.
pub(crate) type Script = Box<dyn FnMut(&[u8]) -> Vec<Vec<u8>>>;

/// An application beside the calls, made of what it tells after a while.
pub(crate) type Application = Box<dyn FnMut(&Order) -> Vec<(Duration, News)>>;

enum Packet {
    Sip { side: Side, flow: Flow, bytes: Vec<u8> },
    Media { to: SocketAddr, from: SocketAddr, bytes: Vec<u8> },
}

impl Packet {
    fn is_for(&self, wanted: Side) -> bool {
        match self {
            Self::Sip { side, .. } => *side == wanted,
            // Media of either side has an address in the network of that side.
            Self::Media { to, .. } => (to.ip() == PBX.ip()) == (wanted == Side::Pbx),
        }
    }
}

/// A SIP message that was sent: when, by whom, where to, and its first line.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) at: Duration,
    pub(crate) by: Side,
    pub(crate) to: SocketAddr,
    pub(crate) line: String,
    pub(crate) text: String,
}

/// Both stations and what is between them.
pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) start: Instant,
    pub(crate) callers: Callers,
    pub(crate) pbx: Pbx,
    pub(crate) network: Network,
    /// A NAT before the callers: the address that it shows, and what it adds to their SIP ports.
    pub(crate) nat: Option<(IpAddr, u16)>,
    /// The PBX takes no connections.
    pub(crate) no_tcp: bool,
    /// Transports of the links that callers asked for.
    pub(crate) asked: Vec<Transport>,
    /// The PBX's machine is gone without a word: nothing passes either way.
    pub(crate) mute: bool,
    /// No media packet passes.
    pub(crate) firewall: bool,
    /// A server of STUN and TURN.
    pub(crate) relay: Option<Relay>,
    /// The address that media of the PBX comes from, where that is not its own: of a NAT, which leads back to it.
    pub(crate) media_nat: Option<IpAddr>,
    /// When callers sent keep-alives, and where to.
    pub(crate) pings: Vec<(Duration, SocketAddr)>,
    /// Addresses besides that of the PBX.
    pub(crate) fates: HashMap<SocketAddr, Fate>,
    /// Of each record: whether a server had answered anything by then.
    pub(crate) answered: Vec<bool>,
    /// Links that callers ask for are lost at once.
    pub(crate) refuse_links: Option<LinkFault>,
    /// Pairs of media sockets that callers may have open at the same time.
    pub(crate) max_ports: usize,
    /// Stands in the PBX's place and gives the datagrams that answer one of the callers'.
    pub(crate) script: Option<Script>,
    /// Answers what callers ask beside their calls.
    pub(crate) application: Option<Application>,
    /// What it will have told.
    tells: BTreeMap<(Instant, u64), Told>,
    /// SIP messages whose first line begins so are lost, this many times.
    pub(crate) drop_next: Vec<(String, usize)>,
    /// Callers send nothing that is wrong.
    pub(crate) strict: bool,
    /// What becomes of the descriptions in messages of the PBX on their way.
    pub(crate) rewrite_answers: Option<fn(&str) -> String>,
    /// The reason phrase that responses of the PBX with this code have on their way.
    pub(crate) rewrite_reason: Option<(u16, &'static str)>,
    /// What becomes of the header fields of messages of the PBX on their way.
    pub(crate) rewrite_heads: Option<fn(&str) -> String>,
    /// INFO requests of the callers get this code instead of reaching the PBX.
    pub(crate) refuse_infos: Option<u16>,
    /// The next BYE of the callers gets this challenge instead of reaching the PBX: a code and a header field.
    pub(crate) challenge_bye: Option<(u16, &'static str)>,
    /// BYE requests of the callers as they were sent.
    pub(crate) byes: Vec<String>,
    /// Where audio of the callers went, one after the other.
    pub(crate) audio_to: Vec<SocketAddr>,
    /// SIP messages in the order in which they were sent.
    pub(crate) wire: Vec<Sent>,
    pub(crate) records: Vec<CallRecord>,
    pub(crate) primary: Vec<CallRecord>,
    /// Legs that were told as figures only.
    pub(crate) counted: Vec<call::Counted>,
    pub(crate) dropped: u64,
    /// When starts were held back because the far side wanted no calls.
    pub(crate) held_back: Vec<Duration>,
    /// When the load was ended because lines may not be filled any more.
    pub(crate) closed: Option<Duration>,
    /// What a search for a limit came to.
    pub(crate) found: Vec<call::Found>,
    /// Records of no attempt.
    pub(crate) beside: Vec<CallRecord>,
    /// Seconds of media that were reported.
    pub(crate) seconds: Vec<MediaSecond>,
    pub(crate) registrations: Vec<RegistrationRecord>,
    pub(crate) done: bool,
    /// Until when the callers' process does not run, and what has arrived for it meanwhile.
    frozen: Option<(Instant, Vec<(Instant, Packet)>)>,
    /// What has arrived over links that the callers do not read; `None` for the end of the link.
    unread: HashMap<LinkId, Vec<Option<Packet>>>,
    /// Transport, own address and the address at the other end.
    links: HashMap<LinkId, (Transport, SocketAddr, SocketAddr)>,
    ports: HashMap<SocketAddr, (Side, PortId, Channel)>,
    own: HashMap<(Side, PortId), SocketAddr>,
    /// The pair of media sockets that calls of the callers share, once it is open, and how it gives them their packets.
    pub(crate) shared: Option<(SocketAddr, Demux)>,
    next_port: u16,
    idle: [Option<Instant>; 2],
    random: Random,
    under_way: BTreeMap<(Instant, u64), Packet>,
    sequence: u64,
    buffer: Vec<u8>,
}

/// Compiles a scenario; `lab.yaml` beside it has the text `lab`.
pub(crate) fn compiled(text: &str, lab: &str) -> Compiled {
    let input = Input {
        path: Path::new("scenario.yaml"),
        text,
        target: None,
        set: &[],
        env: &|name| (name == "P").then(|| "secret".to_owned()),
        read: &|_| Ok(lab.to_owned()),
    };
    compile::scenario(&input).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

/// A scenario of one caller against the built-in lab.
pub(crate) fn caller(steps: &str, load: &str) -> Compiled {
    compiled(&format!("scenario: test\ntarget: lab\ncaller: {{ account: agents, steps: {steps} }}\nload: {load}\n"), "")
}

/// One certificate of DTLS for all worlds.
pub(crate) fn identity() -> Arc<Identity> {
    static IDENTITY: LazyLock<Arc<Identity>> = LazyLock::new(|| dtls_identity().expect("a certificate"));
    Arc::clone(&IDENTITY)
}

/// Lets every actor use this transport.
pub(crate) fn over(transport: Transport, mut compiled: Compiled) -> Compiled {
    for actor in &mut compiled.plan.actors {
        Arc::make_mut(&mut actor.target).server.transport = Some(transport);
    }
    compiled
}

/// What a run is told beside its plan.
struct Terms {
    fail_over: bool,
    closes: Option<Duration>,
    whole_every: u64,
}

impl Default for Terms {
    fn default() -> Self {
        Self { fail_over: true, closes: None, whole_every: 1 }
    }
}

impl World {
    pub(crate) fn new(compiled: Compiled) -> Self {
        Self::through(Network::default(), compiled)
    }

    /// Nobody resolved the servers of the scenario.
    pub(crate) fn unresolved(compiled: Compiled) -> Self {
        Self::with_servers(Network::default(), compiled, &[], Terms::default())
    }

    pub(crate) fn through(network: Network, compiled: Compiled) -> Self {
        Self::with_servers(network, compiled, &[PBX], Terms::default())
    }

    /// No attempt may start after this time.
    pub(crate) fn closing(compiled: Compiled, after: Duration) -> Self {
        let terms = Terms { closes: Some(after), ..Terms::default() };
        Self::with_servers(Network::default(), compiled, &[PBX], terms)
    }

    /// Of so many legs that did what is wanted, one is told whole.
    pub(crate) fn sampling(compiled: Compiled, whole_every: u64) -> Self {
        let terms = Terms { whole_every, ..Terms::default() };
        Self::with_servers(Network::default(), compiled, &[PBX], terms)
    }

    /// The server has several places: those of the fates first, and the PBX last.
    pub(crate) fn behind(fates: &[Fate], compiled: Compiled) -> Self {
        let places = (0..).zip(fates).map(|(n, fate)| (SocketAddr::from(([10, 0, 1, n], 5060)), *fate));
        let addresses: Vec<SocketAddr> = places.clone().map(|(address, _)| address).chain([PBX]).collect();
        let mut world = Self::with_servers(Network::default(), compiled, &addresses, Terms::default());
        world.fates = places.collect();
        world
    }

    /// The same, where requests may go to the first place only.
    pub(crate) fn bound_to_first(fate: Fate, compiled: Compiled) -> Self {
        let first = SocketAddr::from(([10, 0, 1, 0], 5060));
        let terms = Terms { fail_over: false, ..Terms::default() };
        let mut world = Self::with_servers(Network::default(), compiled, &[first, PBX], terms);
        world.fates.insert(first, fate);
        world
    }

    fn with_servers(network: Network, compiled: Compiled, addresses: &[SocketAddr], terms: Terms) -> Self {
        let Terms { fail_over, closes, whole_every } = terms;
        #[expect(clippy::disallowed_methods, reason = "any instant will do as the origin of virtual time")]
        let start = Instant::now();
        let clock = NtpClock::from_unix(start, Duration::from_secs(1_800_000_000));
        let lab = compiled.lab.map(|lab| (*lab).clone()).unwrap_or_default();
        let config = pbx::Config { plan: lab, clock, secret: Redacted([2; 32]), identity: Some(identity()) };
        let mut pbx = Pbx::new(config, endpoint::Config::default(), 2, start);
        pbx.handle_link(start, LISTENER, LinkEvent::Opened(Link::new(Transport::Udp, PBX)));
        let plan: Arc<Plan> = Arc::new(compiled.plan);
        let servers = plan.actors.iter().map(|actor| actor.target.server.clone());
        let servers = servers.map(|server| {
            let transport = server.transport.unwrap_or_default();
            let hops: Vec<Hop> = addresses.iter().map(|at| Hop { transport, address: *at }).collect();
            (server, hops.into())
        });
        let ice = plan.actors.iter().flat_map(|actor| &actor.target.ice.servers).map(|ice| {
            let transport = ice.server.transport.unwrap_or_default();
            (ice.server.clone(), vec![Hop { transport, address: RELAY }].into())
        });
        let servers = servers.chain(ice).collect();
        let config = call::Config {
            plan,
            servers,
            fail_over,
            share: (0, 1),
            start,
            closes: closes.map(|after| start + after),
            anchor: Anchor { instant: start, timestamp: jiff::Timestamp::UNIX_EPOCH },
            clock,
            secret: Redacted([1; 32]),
            identity: Some(identity()),
            run_id: "run".into(),
            site: None,
            probe: None,
            watched_legs: WATCHED_LEGS,
            whole_every,
        };
        Self {
            now: start,
            start,
            callers: Callers::new(config, endpoint::Config::default(), 1, start),
            pbx,
            network,
            nat: None,
            no_tcp: false,
            asked: Vec::new(),
            mute: false,
            firewall: false,
            relay: None,
            media_nat: None,
            pings: Vec::new(),
            fates: HashMap::new(),
            answered: Vec::new(),
            refuse_links: None,
            max_ports: usize::MAX,
            script: None,
            application: None,
            tells: BTreeMap::new(),
            drop_next: Vec::new(),
            strict: true,
            rewrite_answers: None,
            rewrite_reason: None,
            rewrite_heads: None,
            refuse_infos: None,
            challenge_bye: None,
            byes: Vec::new(),
            audio_to: Vec::new(),
            wire: Vec::new(),
            records: Vec::new(),
            primary: Vec::new(),
            counted: Vec::new(),
            dropped: 0,
            held_back: Vec::new(),
            closed: None,
            found: Vec::new(),
            beside: Vec::new(),
            seconds: Vec::new(),
            registrations: Vec::new(),
            done: false,
            frozen: None,
            unread: HashMap::new(),
            links: HashMap::new(),
            ports: HashMap::new(),
            own: HashMap::new(),
            shared: None,
            next_port: 16_384,
            idle: [None; 2],
            random: Random::new(7),
            under_way: BTreeMap::new(),
            sequence: 0,
            buffer: Vec::new(),
        }
    }

    /// Lets time pass until the callers are done; they must be before `limit`.
    pub(crate) fn run(&mut self, limit: Duration) {
        self.pass(limit);
        assert!(self.done, "not done after {limit:?}: {:?}\n{:#?}", self.callers.progress(), self.wire);
    }

    /// Lets time pass until `until`, or until the callers are done.
    pub(crate) fn pass(&mut self, until: Duration) {
        let until = self.start + until;
        self.drain_both();
        while !self.done {
            let Some(next) = self.next_moment().filter(|at| *at <= until) else {
                self.now = until;
                return;
            };
            self.now = self.now.max(next);
            self.turn();
        }
    }

    /// Lets so many turns pass, however little time.
    pub(crate) fn pass_turns(&mut self, turns: usize) {
        self.drain_both();
        for _ in 0..turns {
            self.now = self.now.max(self.next_moment().expect("something is due"));
            self.turn();
        }
    }

    /// The callers read a link again.
    fn read_again(&mut self, link: LinkId) {
        for packet in self.unread.remove(&link).unwrap_or_default() {
            match packet {
                Some(packet) => self.carry_now(packet),
                None => {
                    self.links.remove(&link);
                    let event = LinkEvent::Lost(LinkFault::WebClosed, "closed by the far end".into());
                    self.callers.handle_link(self.now, link, event);
                }
            }
        }
    }

    fn carry_now(&mut self, packet: Packet) {
        self.sequence += 1;
        self.under_way.insert((self.now, self.sequence), packet);
    }

    /// Runs to its end, which comes within this time, and rests; every media socket is given back by then.
    pub(crate) fn run_and_rest(&mut self, most: Duration) {
        self.run(most);
        self.rest(Duration::from_secs(60));
        assert_eq!(self.open_ports(), 0, "every socket is given back");
    }

    /// Lets what is under way arrive and the PBX come to rest after the callers are done.
    pub(crate) fn rest(&mut self, period: Duration) {
        let until = self.now + period;
        while let Some(next) = self.next_moment().filter(|at| *at <= until) {
            self.now = self.now.max(next);
            self.turn();
        }
        self.now = until;
    }

    /// Stops the callers' process for a while, as SIGSTOP and SIGCONT do: their sockets go on receiving.
    pub(crate) fn freeze(&mut self, period: Duration) {
        self.frozen = Some((self.now + period, Vec::new()));
    }

    /// The callers' process runs again: it reads its sockets first, as the reactor does.
    fn thaw(&mut self) {
        let Some((_, held)) = self.frozen.take() else { return };
        for (arrived, packet) in held {
            self.deliver(packet, arrived);
        }
        self.callers.handle_timeout(self.now);
    }

    /// Interrupts the callers.
    pub(crate) fn stop(&mut self) {
        self.callers.stop(self.now);
        self.drain_both();
    }

    /// A datagram of somebody at the address of the callers' first link reaches the PBX.
    pub(crate) fn inject(&mut self, bytes: &[u8]) {
        let remote = self.links.values().next().map(|(_, address, _)| *address).expect("a link is open");
        self.pbx.handle_sip(self.now, self.now, Flow { link: LISTENER, remote }, bytes);
        self.drain_both();
    }

    /// The same, where a link is open.
    pub(crate) fn inject_if_open(&mut self, bytes: &[u8]) {
        if !self.links.is_empty() {
            self.inject(bytes);
        }
    }

    /// The PBX's last answer to an INVITE reaches the callers once more, as if it were that of another fork.
    pub(crate) fn fork_answers(&mut self) {
        let answer = |sent: &&Sent| {
            sent.by == Side::Pbx && sent.line.starts_with("SIP/2.0 200") && sent.text.contains(" INVITE\r\n")
        };
        let Some(sent) = self.wire.iter().rev().find(answer) else { return };
        let link = self.links.iter().find(|(_, (_, address, _))| self.outside(*address) == sent.to);
        let to = sent.text.lines().find(|line| line.starts_with("To:")).unwrap_or_default();
        let (Some((link, (.., remote))), Some((party, _))) = (link, to.split_once(";tag=")) else { return };
        let flow = Flow { link: *link, remote: *remote };
        let text = sent.text.replace(to, &format!("{party};tag=fork"));
        self.callers.handle_sip(self.now, self.now, flow, text.as_bytes());
        self.drain_both();
    }

    /// A datagram from one of the server's addresses reaches the callers' link towards it.
    pub(crate) fn inject_from(&mut self, from: SocketAddr, bytes: &[u8]) {
        let link = self.links.iter().find(|(_, (.., remote))| *remote == from);
        let flow = Flow { link: *link.expect("a link leads there").0, remote: from };
        self.callers.handle_sip(self.now, self.now, flow, bytes);
        self.drain_both();
    }

    /// A connection of the callers breaks.
    pub(crate) fn break_links(&mut self) {
        self.break_links_by(LinkFault::Broken, "reset");
    }

    /// A connection of the callers breaks in a way of its own.
    pub(crate) fn break_links_by(&mut self, fault: LinkFault, text: &str) {
        let open: Vec<LinkId> = self.links.keys().copied().collect();
        for link in open {
            self.links.remove(&link);
            self.under_way.retain(|_, packet| !matches!(packet, Packet::Sip { .. }));
            self.callers.handle_link(self.now, link, LinkEvent::Lost(fault, text.into()));
            let theirs = LinkId(ACCEPTED + link.0);
            self.pbx.handle_link(self.now, theirs, LinkEvent::Lost(LinkFault::Broken, "reset".into()));
        }
        self.drain_both();
    }

    /// Whole milliseconds at which each SIP message whose first line begins so was sent by a side.
    pub(crate) fn sent(&self, by: Side, line: &str) -> Vec<u128> {
        let sent = self.wire.iter().filter(|sent| sent.by == by && sent.line.starts_with(line));
        sent.map(|sent| sent.at.as_millis()).collect()
    }

    /// The only record.
    pub(crate) fn record(&self) -> &CallRecord {
        assert_eq!(self.records.len(), 1, "{:#?}", self.records);
        &self.records[0]
    }

    /// Pairs of media sockets open now.
    pub(crate) fn open_ports(&self) -> usize {
        self.own.len()
    }

    /// Pairs of media sockets that a side has open now.
    pub(crate) fn open_ports_of(&self, side: Side) -> usize {
        self.own.keys().filter(|(owner, _)| *owner == side).count()
    }

    /// When something is due next.
    pub(crate) fn next_moment(&self) -> Option<Instant> {
        let datagram = self.under_way.keys().next().map(|(at, _)| *at);
        let callers = match &self.frozen {
            Some((until, _)) => Some(*until),
            None => self.idle[Side::Callers as usize],
        };
        let told = self.tells.keys().next().map(|(at, _)| *at);
        callers.into_iter().chain(self.idle[Side::Pbx as usize]).chain(datagram).chain(told).min()
    }

    fn turn(&mut self) {
        let due = self.under_way.keys().next().is_some_and(|(at, _)| *at <= self.now);
        if self.frozen.as_ref().is_some_and(|(until, _)| *until <= self.now) {
            self.thaw();
        } else if self.tells.keys().next().is_some_and(|(at, _)| *at <= self.now) {
            let (_, told) = self.tells.pop_first().expect("one is due");
            self.callers.handle_side(self.now, told);
        } else if due {
            let (_, packet) = self.under_way.pop_first().expect("one is due");
            match &mut self.frozen {
                Some((_, held)) if packet.is_for(Side::Callers) => held.push((self.now, packet)),
                _ => self.deliver(packet, self.now),
            }
        } else {
            if self.frozen.is_none() {
                self.callers.handle_timeout(self.now);
            }
            self.pbx.handle_timeout(self.now);
        }
        self.drain_both();
    }

    fn deliver(&mut self, packet: Packet, arrived: Instant) {
        let now = self.now;
        match packet {
            Packet::Sip { side: Side::Callers, flow, bytes } if self.unread.contains_key(&flow.link) => {
                let held = self.unread.get_mut(&flow.link).expect("it is there");
                held.push(Some(Packet::Sip { side: Side::Callers, flow, bytes }));
            }
            Packet::Sip { side: Side::Callers, flow, bytes } => {
                self.callers.handle_sip(now, arrived, flow, &bytes);
            }
            Packet::Sip { side: Side::Pbx, flow, bytes } => drop(self.pbx.handle_sip(now, now, flow, &bytes)),
            Packet::Media { to, from, bytes } => {
                let own = self.ports.get(&to).copied();
                let shared = || {
                    let (address, demux) = self.shared.as_mut()?;
                    let channel = if to == *address { Channel::Rtp } else { Channel::Rtcp };
                    let is_its = to.ip() == address.ip() && to.port() & !1 == address.port();
                    let whose = is_its.then(|| demux.find(arrived, channel, from, &bytes))??;
                    Some((Side::Callers, whose, channel))
                };
                let Some((side, port, channel)) = own.or_else(shared) else { return };
                let packet = MediaPacket { arrived, port, channel, from, bytes: &bytes };
                match side {
                    Side::Callers => self.callers.handle_media(now, packet),
                    Side::Pbx => self.pbx.handle_media(now, packet),
                }
            }
        }
    }

    fn drain_both(&mut self) {
        loop {
            while (self.frozen.is_none() && self.drain(Side::Callers)) | self.drain(Side::Pbx) {}
            let callers = self.frozen.is_none() && self.callers.shake(self.now);
            if !(callers | self.pbx.shake(self.now)) {
                break;
            }
        }
    }

    /// Does what a station wants; false where it wanted nothing.
    fn drain(&mut self, side: Side) -> bool {
        let mut wanted = false;
        for turn in 0.. {
            assert!(turn < 1_000_000, "{side:?} does not come to rest");
            self.buffer.clear();
            let mut buffer = std::mem::take(&mut self.buffer);
            let output = match side {
                Side::Callers => self.callers.poll_output(self.now, &mut buffer),
                Side::Pbx => self.pbx.poll_output(self.now, &mut buffer).map_report(),
            };
            let more = self.act(side, output, &buffer);
            self.buffer = buffer;
            if !more {
                break;
            }
            wanted = true;
        }
        wanted
    }

    fn act(&mut self, side: Side, output: Output<Report>, bytes: &[u8]) -> bool {
        let now = self.now;
        match output {
            Output::Sip { flow, .. } => self.send_sip(side, flow, bytes),
            Output::Media { port, channel, to } => self.send_media(side, port, channel, to, bytes),
            Output::OpenPort { port, sockets } => {
                let local = sockets.local;
                assert!(side == Side::Pbx || local == CALLERS, "the callers have no address {local}");
                let taken = self.own.keys().filter(|(owner, _)| *owner == side).count();
                let opened = if side == Side::Callers && taken >= self.max_ports {
                    Err("every port pair is in use".to_owned())
                } else if sockets.shared {
                    Ok(self.join_shared(side, port))
                } else {
                    Ok(self.open_port(side, port))
                };
                match side {
                    Side::Callers => self.callers.handle_port(now, port, opened),
                    Side::Pbx => self.pbx.handle_port(now, port, opened),
                }
            }
            Output::Expect { port, remote } => {
                let (_, demux) = self.shared.as_mut().expect("a pair is shared");
                for port in demux.expect(now, port, remote) {
                    self.callers.handle_port(now, port, Err("several calls at one address".to_owned()));
                }
            }
            Output::ClosePort(port) => {
                if let Some((_, demux)) = self.shared.as_mut().filter(|_| side == Side::Callers) {
                    demux.forget(now, port);
                }
                if let Some(address) = self.own.remove(&(side, port)) {
                    self.ports.remove(&address);
                    self.ports.remove(&SocketAddr::new(address.ip(), address.port() + 1));
                }
            }
            Output::OpenLink { link, transport, remote, local, .. } => {
                self.open_link(link, transport, remote, local.unwrap_or(CALLERS));
            }
            Output::CloseLink(LinkId(accepted)) if side == Side::Pbx => {
                let link = LinkId(accepted - ACCEPTED);
                if let Some(held) = self.unread.get_mut(&link) {
                    held.push(None);
                } else if self.links.remove(&link).is_some() {
                    let event = LinkEvent::Lost(LinkFault::Broken, "closed by the far end".into());
                    self.callers.handle_link(now, link, event);
                }
            }
            Output::CloseLink(link) => self.close_link(link),
            Output::PauseLink { link, paused: true } => drop(self.unread.insert(link, Vec::new())),
            Output::PauseLink { link, paused: false } => self.read_again(link),
            Output::Report(Report::Finished(finished)) if finished.beside => self.beside.push(finished.record),
            Output::Report(Report::Finished(finished)) => {
                self.answered.push(finished.answered);
                if finished.primary {
                    self.primary.push(finished.record.clone());
                }
                self.registrations.extend(finished.registration);
                self.records.push(finished.record);
            }
            Output::Report(Report::Counted(counted)) => self.counted.extend(counted),
            Output::Report(Report::Dropped { why: NotBegun::Late, .. }) => self.dropped += 1,
            Output::Report(Report::Dropped { why: NotBegun::HeldBack, .. }) => self.held_back.push(now - self.start),
            Output::Report(Report::Closed) => self.closed = Some(now - self.start),
            Output::Report(Report::Paused(_)) => {}
            Output::Report(Report::Side(order)) => {
                let application = self.application.as_mut().expect("the scenario has an application");
                for (after, news) in application(&order) {
                    self.sequence += 1;
                    let at = now + after;
                    self.tells.insert((at, self.sequence), Told { seat: order.seat, at, news });
                }
            }
            Output::Report(Report::Limit(found)) => self.found.push(*found),
            Output::Report(Report::Second(second)) => self.seconds.push(*second),
            Output::Idle(at) => {
                self.idle[side as usize] = at;
                return false;
            }
            Output::Done => {
                self.idle[side as usize] = None;
                self.done |= side == Side::Callers;
                return false;
            }
        }
        true
    }

    fn join_shared(&mut self, side: Side, port: PortId) -> SocketAddr {
        assert_eq!(side, Side::Callers, "sockets of the lab are its calls' own");
        let address = SocketAddr::new(CALLERS, 16_000);
        self.shared.get_or_insert_with(|| (address, Demux::default()));
        self.own.insert((side, port), address);
        address
    }

    fn open_port(&mut self, side: Side, port: PortId) -> SocketAddr {
        let ip = [10, 0, 0, if side == Side::Callers { 1 } else { 2 }];
        let address = SocketAddr::from((ip, self.next_port));
        self.next_port = if self.next_port > 65_000 { 16_384 } else { self.next_port + 2 };
        let before = self.own.insert((side, port), address);
        assert_eq!(before, None, "{port:?} of {side:?} is open already");
        self.ports.insert(address, (side, port, Channel::Rtp));
        self.ports.insert(SocketAddr::new(address.ip(), address.port() + 1), (side, port, Channel::Rtcp));
        address
    }

    fn open_link(&mut self, link: LinkId, transport: Transport, remote: SocketAddr, local: IpAddr) {
        let now = self.now;
        let fate = self.fates.get(&remote).copied();
        assert!(remote == PBX || fate.is_some(), "nobody gave the address {remote}");
        self.asked.push(transport);
        if let Some(Fate::Fails(fault)) = fate {
            let rungs = Rungs { tcp: Some(Duration::from_millis(1)), ..Rungs::default() };
            self.callers.handle_link(now, link, LinkEvent::Climbed(rungs));
            return self.callers.handle_link(now, link, LinkEvent::Lost(fault, format!("{fault:?}")));
        }
        let refused = fate == Some(Fate::Refused) || self.no_tcp;
        let refused = (refused && transport.is_reliable()).then_some(LinkFault::Refused);
        if let Some(fault) = self.refuse_links.or(refused) {
            return self.callers.handle_link(now, link, LinkEvent::Lost(fault, "refused".into()));
        }
        let address = SocketAddr::new(local, 20_000 + link.0 as u16);
        self.links.insert(link, (transport, address, remote));
        if transport.is_reliable() {
            let theirs = Link::new(transport, PBX);
            self.pbx.handle_link(now, LinkId(ACCEPTED + link.0), LinkEvent::Opened(theirs));
        }
        self.callers.handle_link(now, link, LinkEvent::Opened(Link::new(transport, address)));
    }

    /// The machine of the PBX sees the end of a connection, unless it is gone.
    fn close_link(&mut self, link: LinkId) {
        let closed = self.links.remove(&link);
        if closed.is_some_and(|(transport, ..)| transport.is_reliable()) && !self.mute {
            let lost = LinkEvent::Lost(LinkFault::Broken, "closed".into());
            self.pbx.handle_link(self.now, LinkId(ACCEPTED + link.0), lost);
        }
    }

    fn send_sip(&mut self, by: Side, flow: Flow, bytes: &[u8]) {
        if bytes == keep_alive::PING {
            return self.send_ping(by, flow);
        }
        if stun::is_stun(bytes) {
            return self.send_stun(by, flow, bytes);
        }
        if self.strict || by == Side::Pbx {
            assert_strict(bytes);
        }
        let text = String::from_utf8_lossy(bytes).into_owned();
        let line = text.lines().next().unwrap_or("").to_owned();
        self.wire.push(Sent { at: self.now - self.start, by, to: flow.remote, line: line.clone(), text });
        if self.mute {
            return;
        }
        let forced = self.drop_next.iter_mut().find(|(begin, left)| *left > 0 && line.starts_with(begin.as_str()));
        if let Some((_, left)) = forced {
            *left -= 1;
            return;
        }
        if let Some(mut script) = self.script.take_if(|_| by == Side::Callers) {
            let flow = Flow { link: flow.link, remote: PBX };
            for bytes in script(bytes) {
                self.carry(false, || Packet::Sip { side: Side::Callers, flow, bytes: bytes.clone() });
            }
            self.script = Some(script);
            return;
        }
        let fate = self.fates.get(&flow.remote).copied().filter(|_| by == Side::Callers);
        if let Some(fate) = fate.filter(|fate| *fate != Fate::Served) {
            return self.meet(fate, flow, bytes);
        }
        if by == Side::Callers && line.starts_with("BYE ") {
            self.byes.push(String::from_utf8_lossy(bytes).into_owned());
            if let Some((code, field)) = self.challenge_bye.take() {
                let challenge = reply(bytes, code, field);
                return self.carry(true, || Packet::Sip { side: Side::Callers, flow, bytes: challenge.clone() });
            }
        }
        if let Some(code) = self.refuse_infos.filter(|_| by == Side::Callers && line.starts_with("INFO ")) {
            let refusal = reply(bytes, code, "Server: x");
            return self.carry(true, || Packet::Sip { side: Side::Callers, flow, bytes: refusal.clone() });
        }
        let (side, flow, reliable) = match by {
            Side::Callers => {
                let Some((transport, from, _)) = self.links.get(&flow.link).copied() else { return };
                if flow.remote != PBX && fate.is_none() {
                    return;
                }
                let link = if transport.is_reliable() { LinkId(ACCEPTED + flow.link.0) } else { LISTENER };
                (Side::Pbx, Flow { link, remote: self.outside(from) }, transport.is_reliable())
            }
            Side::Pbx if flow.link == LISTENER => {
                let found = self.links.iter().find(|(_, (_, address, _))| self.outside(*address) == flow.remote);
                let Some((link, (.., remote))) = found else { return };
                (Side::Callers, Flow { link: *link, remote: *remote }, false)
            }
            Side::Pbx => {
                let link = LinkId(flow.link.0 - ACCEPTED);
                let remote = self.links.get(&link).map_or(PBX, |(.., remote)| *remote);
                (Side::Callers, Flow { link, remote }, true)
            }
        };
        let rewritten = self.rewrite_answers.filter(|_| by == Side::Pbx).and_then(|rewrite| rewritten(bytes, rewrite));
        let bytes = rewritten.as_deref().unwrap_or(bytes);
        let other_head = self.rewrite_heads.filter(|_| by == Side::Pbx).map(|rewrite| reheaded(bytes, rewrite));
        let bytes = other_head.as_deref().unwrap_or(bytes);
        let other_reason = self.rewrite_reason.filter(|_| by == Side::Pbx).and_then(|reason| reworded(bytes, reason));
        let bytes = other_reason.as_deref().unwrap_or(bytes);
        self.carry(reliable, || Packet::Sip { side, flow, bytes: bytes.to_vec() });
    }

    /// A keep-alive of the callers; the machine of the PBX answers it on a connection.
    fn send_ping(&mut self, by: Side, flow: Flow) {
        if by == Side::Pbx {
            // The browser answers by itself, unless it sleeps.
            let link = LinkId(flow.link.0 - ACCEPTED);
            if !self.unread.contains_key(&link) && self.links.contains_key(&link) {
                self.carry(true, || Packet::Sip { side: Side::Pbx, flow, bytes: b"\r\n".to_vec() });
            }
            return;
        }
        self.pings.push((self.now - self.start, flow.remote));
        let reliable = self.links.get(&flow.link).is_some_and(|(transport, ..)| transport.is_reliable());
        if reliable && !self.mute {
            self.carry(true, || Packet::Sip { side: Side::Callers, flow, bytes: b"\r\n".to_vec() });
        }
    }

    /// A keep-alive over UDP, or its answer.
    fn send_stun(&mut self, by: Side, flow: Flow, bytes: &[u8]) {
        if by == Side::Callers {
            self.pings.push((self.now - self.start, flow.remote));
        }
        let found = match by {
            Side::Callers => self
                .links
                .get(&flow.link)
                .map(|(_, from, _)| (Side::Pbx, Flow { link: LISTENER, remote: self.outside(*from) })),
            Side::Pbx => self
                .links
                .iter()
                .find(|(_, (_, address, _))| self.outside(*address) == flow.remote)
                .map(|(link, (.., remote))| (Side::Callers, Flow { link: *link, remote: *remote })),
        };
        if let Some((side, flow)) = found.filter(|_| !self.mute) {
            self.carry(false, || Packet::Sip { side, flow, bytes: bytes.to_vec() });
        }
    }

    /// A request of the callers reaches an address where no PBX is.
    fn meet(&mut self, fate: Fate, flow: Flow, bytes: &[u8]) {
        match fate {
            Fate::Served | Fate::Silent | Fate::Fails(_) => {}
            Fate::Refused => self.callers.handle_unreachable(self.now, flow, LinkFault::Refused),
            Fate::Unavailable(_) if bytes.starts_with(b"ACK ") => {}
            Fate::Unavailable(retry_after) => {
                let field = retry_after.map_or_else(|| "Server: x".to_owned(), |after| format!("Retry-After: {after}"));
                let refusal = reply(bytes, 503, &field);
                self.carry(true, || Packet::Sip { side: Side::Callers, flow, bytes: refusal.clone() });
            }
        }
    }

    /// What an address of the callers looks like from outside.
    fn outside(&self, address: SocketAddr) -> SocketAddr {
        self.nat.map_or(address, |(ip, more)| SocketAddr::new(ip, address.port() + more))
    }

    fn send_media(&mut self, by: Side, port: PortId, channel: Channel, to: SocketAddr, bytes: &[u8]) {
        let Some(own) = self.own.get(&(by, port)).copied().filter(|_| !self.firewall) else { return };
        let mut from = SocketAddr::new(own.ip(), own.port() + u16::from(channel == Channel::Rtcp));
        let mut to = to;
        if by == Side::Callers && channel == Channel::Rtp && self.audio_to.last() != Some(&to) {
            self.audio_to.push(to);
        }
        match self.media_nat {
            Some(ip) if by == Side::Pbx => from.set_ip(ip),
            Some(ip) if to.ip() == ip => to.set_ip(PBX.ip()),
            _ => {}
        }
        match self.nat {
            // Ports of media stay as they are. A private address leads nowhere from outside.
            Some((ip, _)) if by == Side::Callers => from.set_ip(ip),
            Some((ip, _)) if to.ip() == ip => to.set_ip(CALLERS),
            Some(_) if to.ip() == CALLERS => return,
            _ => {}
        }
        let is_pbx = |address: SocketAddr| address.ip() == PBX.ip();
        let Some(sent) = self.relay.as_mut().and_then(|relay| relay.pass((from, to), bytes, is_pbx)) else {
            return self.carry(false, || Packet::Media { to, from, bytes: bytes.to_vec() });
        };
        for (after, (from, to, bytes)) in sent {
            let behind = self.nat.is_some_and(|(ip, _)| ip == to.ip());
            let to = if behind { SocketAddr::new(CALLERS, to.port()) } else { to };
            self.sequence += 1;
            let at = self.now + self.network.delay + after;
            self.under_way.insert((at, self.sequence), Packet::Media { to, from, bytes });
        }
    }

    fn carry(&mut self, reliable: bool, packet: impl Fn() -> Packet) {
        let mut draw = |bound: u64| if bound == 0 { 0 } else { self.random.next_u64() % bound };
        let network = self.network;
        if !reliable && draw(1000) < network.loss {
            return;
        }
        let copies = 1 + u64::from(!reliable && draw(1000) < network.duplication);
        for _ in 0..copies {
            let spread = if reliable { 0 } else { draw(network.spread.as_micros() as u64) };
            let at = self.now + network.delay + Duration::from_micros(spread);
            self.sequence += 1;
            self.under_way.insert((at, self.sequence), packet());
        }
    }
}

/// A message with another body and the Content-Length of that; `None` where it has no body.
fn rewritten(message: &[u8], rewrite: fn(&str) -> String) -> Option<Vec<u8>> {
    let (head, body) = std::str::from_utf8(message).expect("text").split_once("\r\n\r\n")?;
    let body = Some(body).filter(|body| !body.is_empty()).map(rewrite)?;
    let (before, _) = head.split_once("Content-Length:").expect("the last field");
    Some(format!("{before}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes())
}

/// A message with other header fields.
fn reheaded(message: &[u8], rewrite: fn(&str) -> String) -> Vec<u8> {
    let (head, body) = std::str::from_utf8(message).expect("text").split_once("\r\n\r\n").expect("an end");
    format!("{}\r\n\r\n{body}", rewrite(head)).into_bytes()
}

/// A response: what it repeats of the request (RFC 3261 §8.2.6.2), and a header field.
pub(crate) fn reply(request: &[u8], code: u16, field: &str) -> Vec<u8> {
    let request = String::from_utf8_lossy(request);
    let repeated = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"];
    let lines = request.lines().filter(|line| repeated.iter().any(|name| line.starts_with(name)));
    let lines: Vec<&str> = lines.collect();
    format!("SIP/2.0 {code} X\r\n{}\r\n{field}\r\nContent-Length: 0\r\n\r\n", lines.join("\r\n")).into_bytes()
}

/// A response with this code, and another reason phrase.
fn reworded(bytes: &[u8], (code, reason): (u16, &str)) -> Option<Vec<u8>> {
    let rest = bytes.strip_prefix(format!("SIP/2.0 {code} ").as_bytes())?;
    let fields = rest.iter().position(|byte| *byte == b'\r')?;
    Some([format!("SIP/2.0 {code} {reason}").as_bytes(), &rest[fields..]].concat())
}

/// The PBX reports nothing; its outputs are those of callers otherwise.
trait MapReport {
    fn map_report(self) -> Output<Report>;
}

impl MapReport for Output<()> {
    fn map_report(self) -> Output<Report> {
        match self {
            Self::Sip { flow, owner } => Output::Sip { flow, owner },
            Self::Media { port, channel, to } => Output::Media { port, channel, to },
            Self::OpenPort { port, sockets } => Output::OpenPort { port, sockets },
            Self::Expect { port, remote } => Output::Expect { port, remote },
            Self::ClosePort(port) => Output::ClosePort(port),
            Self::OpenLink { link, transport, remote, local, local_port, server } => {
                Output::OpenLink { link, transport, remote, local, local_port, server }
            }
            Self::CloseLink(link) => Output::CloseLink(link),
            Self::PauseLink { link, paused } => Output::PauseLink { link, paused },
            Self::Report(()) => unreachable!("the PBX reports nothing"),
            Self::Idle(at) => Output::Idle(at),
            Self::Done => Output::Done,
        }
    }
}
