//! Several stations of callers on one worker, in virtual time: what each does is its own.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringfleet::call::{self, Callers, Group, GroupReport, MemberId, Report, attempt_of};
use ringfleet::media::clock::NtpClock;
use ringfleet::pace::{Load, Schedule, Stop};
use ringfleet::pbx::{self, Pbx};
use ringfleet::record::{Anchor, CallRecord, Class};
use ringfleet::scenario::compile::Compiled;
use ringfleet::scenario::plan::{Policy, Srtp};
use ringfleet::sip::endpoint;
use ringfleet::sip::flow::{Flow, Hop, Link, LinkId, Transport};
use ringfleet::station::{Channel, LinkEvent, MediaPacket, Output, PortId, Station};
use ringfleet::units::Redacted;

use crate::virtual_net::{PBX, compiled, identity};

const LISTENER: LinkId = LinkId(0);
const DELAY: Duration = Duration::from_millis(2);

/// A group and the PBX, with nothing but datagrams between them.
struct World {
    now: Instant,
    start: Instant,
    group: Group,
    pbx: Pbx,
    /// Own addresses of the links of the group.
    links: HashMap<LinkId, SocketAddr>,
    /// To the PBX or to the group, by when they arrive.
    under_way: BTreeMap<(Instant, u64), (bool, SocketAddr, Vec<u8>)>,
    /// Media sockets, the PBX's or not, and what goes from one to another.
    ports: HashMap<SocketAddr, (bool, PortId)>,
    media: BTreeMap<(Instant, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    sequence: u64,
    records: Vec<(MemberId, u64, CallRecord)>,
    left: Vec<MemberId>,
    byes: usize,
    /// Nothing reaches the PBX.
    mute: bool,
    done: bool,
}

fn plan(name: &str, steps: &str) -> Compiled {
    let text = format!("scenario: {name}\ntarget: lab\ncaller: {{ account: agents, steps: {steps} }}\n");
    let mut compiled = compiled(&text, "");
    compiled.plan.load = Load { schedule: Schedule::OnCommand { concurrent: 1 }, stop: Stop::default() };
    compiled
}

impl World {
    fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "any instant will do as the origin of virtual time")]
        let start = Instant::now();
        let clock = NtpClock::from_unix(start, Duration::from_secs(1_800_000_000));
        let config =
            pbx::Config { plan: Default::default(), clock, secret: Redacted([2; 32]), identity: Some(identity()) };
        let mut pbx = Pbx::new(config, endpoint::Config::default(), 2, start);
        pbx.handle_link(start, LISTENER, LinkEvent::Opened(Link::new(Transport::Udp, PBX)));
        Self {
            now: start,
            start,
            group: Group::new(start),
            pbx,
            links: HashMap::new(),
            under_way: BTreeMap::new(),
            ports: HashMap::new(),
            media: BTreeMap::new(),
            sequence: 0,
            records: Vec::new(),
            left: Vec::new(),
            byes: 0,
            mute: false,
            done: false,
        }
    }

    fn anchor(&self) -> Anchor {
        Anchor { instant: self.start, timestamp: jiff::Timestamp::UNIX_EPOCH }
    }

    fn join(&mut self, id: MemberId, compiled: Compiled) {
        let plan = Arc::new(compiled.plan);
        let server = plan.actors[0].target.server.clone();
        let config = call::Config {
            servers: vec![(server, vec![Hop { transport: Transport::Udp, address: PBX }].into())],
            fail_over: true,
            share: (0, 1),
            start: self.now,
            closes: None,
            anchor: self.anchor(),
            clock: NtpClock::from_unix(self.start, Duration::from_secs(1_800_000_000)),
            secret: Redacted([1; 32]),
            identity: Some(identity()),
            run_id: plan.scenario.clone(),
            site: None,
            probe: None,
            watched_legs: 0,
            whole_every: 1,
            plan,
        };
        let callers = Callers::new(config, endpoint::Config::default(), u64::from(id) + 7, self.now);
        self.group.join(self.now, id, callers, vec![id]);
    }

    fn command(&mut self, id: MemberId) -> Option<u64> {
        let anchor = self.anchor();
        self.group.command(self.now, id, (self.now, None), anchor)
    }

    fn pass(&mut self, period: Duration) {
        let end = self.now + period;
        loop {
            self.drain();
            let arrival = self.under_way.keys().chain(self.media.keys()).map(|(at, _)| *at).min();
            let idle = [self.idle_of_group(), self.idle_of_pbx()].into_iter().flatten().min();
            let next = arrival.into_iter().chain(idle).min().filter(|at| *at < end);
            let Some(next) = next else { break };
            self.now = self.now.max(next);
            while let Some(entry) = self.under_way.first_entry().filter(|entry| entry.key().0 <= self.now) {
                let (to_pbx, peer, bytes) = entry.remove();
                self.deliver(to_pbx, peer, &bytes);
            }
            while let Some(entry) = self.media.first_entry().filter(|entry| entry.key().0 <= self.now) {
                let (from, to, bytes) = entry.remove();
                self.deliver_media(from, to, &bytes);
            }
            self.group.handle_timeout(self.now);
            self.pbx.handle_timeout(self.now);
        }
        self.now = end;
        self.group.handle_timeout(self.now);
        self.drain();
    }

    fn deliver(&mut self, to_pbx: bool, peer: SocketAddr, bytes: &[u8]) {
        if to_pbx && self.mute {
            return;
        }
        if to_pbx {
            self.byes += usize::from(bytes.starts_with(b"BYE "));
            self.pbx.handle_sip(self.now, self.now, Flow { link: LISTENER, remote: peer }, bytes);
        } else if let Some((link, _)) = self.links.iter().find(|(_, own)| **own == peer) {
            self.group.handle_sip(self.now, self.now, Flow { link: *link, remote: PBX }, bytes);
        }
        self.drain();
    }

    /// Nobody has anything else to do: handshakes go on at once.
    fn deliver_media(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let Some((is_pbx, port)) = self.ports.get(&to).copied() else { return };
        let packet = MediaPacket { arrived: self.now, port, channel: Channel::Rtp, from, bytes };
        if is_pbx {
            self.pbx.handle_media(self.now, packet);
            while self.pbx.shake(self.now) {}
        } else {
            self.group.handle_media(self.now, packet);
            while self.group.shake(self.now) {}
        }
        self.drain();
    }

    /// Where a media socket is.
    fn address_of(is_pbx: bool, port: PortId) -> SocketAddr {
        let ip = if is_pbx { PBX.ip() } else { [10, 0, 0, 1].into() };
        SocketAddr::new(ip, 20_000 + 2 * port.0 as u16)
    }

    fn open(&mut self, is_pbx: bool, port: PortId) -> SocketAddr {
        let address = Self::address_of(is_pbx, port);
        self.ports.insert(address, (is_pbx, port));
        address
    }

    fn send_media(&mut self, is_pbx: bool, port: PortId, to: SocketAddr, bytes: Vec<u8>) {
        self.sequence += 1;
        self.media.insert((self.now + DELAY, self.sequence), (Self::address_of(is_pbx, port), to, bytes));
    }

    fn idle_of_group(&mut self) -> Option<Instant> {
        match self.group.poll_output(self.now, &mut Vec::new()) {
            Output::Idle(at) => at,
            _ => None,
        }
    }

    fn idle_of_pbx(&mut self) -> Option<Instant> {
        match self.pbx.poll_output(self.now, &mut Vec::new()) {
            Output::Idle(at) => at,
            _ => None,
        }
    }

    fn send(&mut self, to_pbx: bool, peer: SocketAddr, bytes: Vec<u8>) {
        self.sequence += 1;
        self.under_way.insert((self.now + DELAY, self.sequence), (to_pbx, peer, bytes));
    }

    fn drain(&mut self) {
        loop {
            let mut bytes = Vec::new();
            match self.group.poll_output(self.now, &mut bytes) {
                Output::Sip { flow, .. } => {
                    let own = self.links[&flow.link];
                    self.send(true, own, bytes);
                }
                Output::OpenLink { link, server, .. } => {
                    let own = SocketAddr::from(([10, 0, 0, 1], 10_000 + link.0 as u16));
                    assert!(self.links.insert(link, own).is_none(), "a link is opened twice");
                    assert!(server < 100, "the number that the member was given");
                    self.group.handle_link(self.now, link, LinkEvent::Opened(Link::new(Transport::Udp, own)));
                }
                Output::PauseLink { .. } => unreachable!("nobody sleeps"),
                Output::CloseLink(link) => assert!(self.links.remove(&link).is_some(), "it was open"),
                Output::Report(GroupReport::Of(member, Report::Finished(finished))) => {
                    self.records.push((member, attempt_of(finished.owner), finished.record));
                }
                Output::Report(GroupReport::Of(..)) => {}
                Output::Report(GroupReport::Left(member)) => self.left.push(member),
                Output::Idle(_) => break,
                Output::Done => {
                    self.done = true;
                    break;
                }
                Output::Media { port, to, .. } => self.send_media(false, port, to, bytes),
                Output::OpenPort { port, .. } => {
                    let address = self.open(false, port);
                    self.group.handle_port(self.now, port, Ok(address));
                }
                Output::ClosePort(port) => drop(self.ports.remove(&Self::address_of(false, port))),
                Output::Expect { .. } => panic!("no pair is shared"),
            }
        }
        loop {
            let mut bytes = Vec::new();
            match self.pbx.poll_output(self.now, &mut bytes) {
                Output::Sip { flow, .. } => self.send(false, flow.remote, bytes),
                Output::Media { port, to, .. } => self.send_media(true, port, to, bytes),
                Output::OpenPort { port, .. } => {
                    let address = self.open(true, port);
                    self.pbx.handle_port(self.now, port, Ok(address));
                }
                Output::Idle(_) | Output::Done => break,
                _ => {}
            }
        }
    }
}

const CALL: &str = "[register, { dial: { number: echo, media: none } }, { wait: 3s }, hangup]";
const BUSY: &str = "[{ dial: { number: busy, media: none } }]";

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn members_number_links_and_attempts_for_themselves_and_get_their_own_answers() {
    let mut world = World::new();
    world.join(0, plan("a", CALL));
    world.join(1, plan("b", BUSY));
    world.join(2, plan("c", CALL));
    world.pass(seconds(1));
    assert!(world.links.is_empty() && world.records.is_empty(), "nothing starts by itself");
    assert_eq!([0, 1, 0].map(|member| world.command(member)), [Some(1), Some(1), Some(2)]);
    world.pass(seconds(1));
    assert_eq!(world.links.len(), 2, "each that calls has a socket of its own");
    assert_eq!(world.group.progress().in_progress, 2);
    world.pass(seconds(5));
    let mut seen: Vec<(MemberId, u64, &str, Class, Option<u16>)> = world
        .records
        .iter()
        .map(|(member, n, record)| (*member, *n, record.call_id.as_str(), record.class, record.code))
        .collect();
    seen.sort_unstable_by_key(|record| (record.0, record.1));
    assert_eq!(
        seen,
        [
            (0, 1, "a-000001", Class::Ok, Some(200)),
            (0, 2, "a-000002", Class::Ok, Some(200)),
            (1, 1, "b-000001", Class::CallCalleeBusy, Some(486)),
        ]
    );
    let accounts: Vec<Option<&str>> = world.records.iter().map(|it| it.2.account.as_deref()).collect();
    assert!(accounts.contains(&Some("1001")) && accounts.contains(&Some("1002")), "{accounts:?}");
}

#[test]
fn members_with_webrtc_media_come_to_keys_of_their_own() {
    let mut world = World::new();
    for id in 0..3 {
        let mut compiled = plan("web", "[{ dial: { number: echo } }, { talk: { for: 5s } }, hangup]");
        Arc::make_mut(&mut compiled.plan.actors[0].target).srtp = Srtp::new(Policy::Dtls);
        world.join(id, compiled);
    }
    (0..3).for_each(|id| assert_eq!(world.command(id), Some(1)));
    world.pass(seconds(10));
    let seen: Vec<_> = world.records.iter().map(|it| (it.2.class, it.2.audio.as_str(), it.2.loss_pct)).collect();
    assert_eq!(seen, [(Class::Ok, "two_way", Some(0.0)); 3]);
    let keyed = |record: &CallRecord| record.dtls_done_ms.is_some() && record.srtp_unauthenticated == Some(0);
    assert!(world.records.iter().all(|it| keyed(&it.2)));
}

#[test]
fn a_member_that_leaves_ends_what_it_was_asked_for_and_takes_nothing_more() {
    let mut world = World::new();
    world.join(0, plan("a", CALL));
    world.join(1, plan("b", CALL));
    world.command(0);
    // Before it has begun, even.
    world.group.leave(world.now, 0);
    world.command(1);
    world.pass(seconds(1));
    world.group.leave(world.now, 1);
    assert_eq!(world.left, Vec::<MemberId>::new(), "both are talking");
    world.pass(seconds(40));
    assert_eq!(world.records.iter().map(|it| it.2.class).collect::<Vec<_>>(), [Class::Ok, Class::Ok]);
    world.left.sort_unstable();
    assert_eq!((world.left.as_slice(), world.group.len(), world.links.len()), (&[0, 1][..], 0, 0));
    assert_eq!(world.command(0), None);
    assert!(!world.done, "a group without members waits for others");
}

#[test]
fn a_group_that_stops_hangs_up_every_call_and_is_done() {
    let mut world = World::new();
    for id in 0..5 {
        world.join(id, plan("a", CALL));
        world.command(id);
    }
    world.pass(seconds(1));
    world.group.stop(world.now);
    world.pass(seconds(1));
    assert_eq!((world.byes, world.records.len(), world.left.len()), (5, 5, 5));
    assert!(world.done);
    world.join(9, plan("a", CALL));
    assert_eq!(world.command(9), None, "it takes nobody any more");
}

#[test]
fn a_standing_registration_that_was_never_answered_is_asked_for_again_and_both_are_told() {
    let mut world = World::new();
    world.mute = true;
    let text = "scenario: desk\ntarget: lab\ncaller: { account: agents, registered: standing, steps: \
                [{ dial: { number: busy, media: none } }] }\n";
    let mut desk = compiled(text, "");
    desk.plan.load = Load { schedule: Schedule::OnCommand { concurrent: 1 }, stop: Stop::default() };
    world.join(0, desk);
    // Timer F: 32 s.
    world.pass(seconds(40));
    let told: Vec<(u64, Class)> = world.records.iter().map(|it| (it.1, it.2.class)).collect();
    assert_eq!(told, [(0, Class::RegTimeout)]);
    world.mute = false;
    // RFC 5626 §4.5: 30 to 60 s after the first failure.
    world.pass(seconds(60));
    assert_eq!(world.records.len(), 2);
    let back = &world.records[1].2;
    assert_eq!((back.class, back.account.as_deref()), (Class::Ok, Some("1001")));
    world.command(0);
    world.pass(seconds(5));
    assert_eq!(world.records[2].2.code, Some(486), "its account is registered, and calls");
}
