//! Several stations of callers on one worker, each with a plan of its own, that join and leave while others go on.
//!
//! The members know nothing of each other: links, media ports and attempts are numbered by each for itself, and anew here.
//! Only a member that something arrived for, or whose time has come, costs anything.
//!
//! ```text
//! join ─► starts on command ─► leave ─► its calls end, its registrations are removed ─► Left
//! ```

use std::collections::VecDeque;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use rustc_hash::FxHashMap;

use super::callers::Callers;
use super::report::{Progress, Report};
use crate::record::Anchor;
use crate::scenario::plan::Plan;
use crate::sip::flow::{Flow, LinkId};
use crate::sip::locate::Located;
use crate::station::side::Told;
use crate::station::{LinkEvent, LinkFault, MediaPacket, Output, PortId, Station};
use crate::timer::Wheel;

/// Number of a member, below 32,768; not to be given again while it, or its messages in the evidence, are there.
pub type MemberId = u16;

/// What a group reports.
#[derive(Debug)]
pub enum GroupReport {
    /// A member reported something. The owner of a finished attempt is its number in the group.
    Of(MemberId, Report),
    /// A member that was told to leave is gone.
    Left(MemberId),
}

/// Stations of callers on one worker.
#[derive(Debug)]
pub struct Group {
    members: FxHashMap<MemberId, Member>,
    /// Members that may have something to say.
    ready: Vec<MemberId>,
    timers: Wheel<MemberId>,
    links: FxHashMap<LinkId, (MemberId, LinkId)>,
    ports: FxHashMap<PortId, (MemberId, PortId)>,
    next_link: u32,
    next_port: u32,
    /// Whose steps of handshakes were put off, in the order of their arrival.
    shaking: VecDeque<MemberId>,
    stopping: bool,
}

#[derive(Debug)]
struct Member {
    callers: Callers,
    /// The number in the group of each of its servers.
    servers: Vec<u16>,
    links: FxHashMap<LinkId, LinkId>,
    ports: FxHashMap<PortId, PortId>,
    is_ready: bool,
    /// When it has something to do by itself.
    due: Option<Instant>,
    /// When the timer for it goes off.
    armed: Option<Instant>,
}

/// Bits of an owner that are those of the member's own.
const OWNER_BITS: u32 = 48;
/// Below the numbers that a reactor gives to connections of others.
const MAX_LINK: u32 = 1 << 30;

impl Group {
    /// A group without members.
    pub fn new(now: Instant) -> Self {
        Self {
            members: FxHashMap::default(),
            ready: Vec::new(),
            timers: Wheel::new(now),
            links: FxHashMap::default(),
            ports: FxHashMap::default(),
            next_link: 0,
            next_port: 0,
            shaking: VecDeque::new(),
            stopping: false,
        }
    }

    /// A station joins; `servers` are the numbers in the group of those that it was given. A group that was told to stop
    /// takes none.
    pub fn join(&mut self, now: Instant, id: MemberId, mut callers: Callers, servers: Vec<u16>) {
        if self.stopping {
            return;
        }
        callers.begin(now);
        let (links, ports) = (FxHashMap::default(), FxHashMap::default());
        let member = Member { callers, servers, links, ports, is_ready: false, due: None, armed: None };
        self.members.insert(id, member);
        self.wake(id);
    }

    /// A member starts an attempt: of this account of its pool, or the next; its records are dated by `anchor`. Gives the
    /// attempt's index, or `None` where it has left.
    pub fn command(
        &mut self,
        now: Instant,
        id: MemberId,
        (intended, account): (Instant, Option<usize>),
        anchor: Anchor,
    ) -> Option<u64> {
        let n = self.members.get_mut(&id)?.callers.command(now, intended, account, anchor);
        self.wake(id);
        Some(n)
    }

    /// Another plan of a member from now on; its registrations stay ([`Callers::revise`]).
    pub fn revise(&mut self, id: MemberId, plan: Arc<Plan>) {
        if let Some(member) = self.members.get_mut(&id) {
            member.callers.revise(plan);
        }
    }

    /// A member starts nothing more, and is gone once what is under way has ended.
    pub fn leave(&mut self, now: Instant, id: MemberId) {
        if let Some(member) = self.members.get_mut(&id) {
            member.callers.finish(now);
            self.wake(id);
        }
    }

    /// DNS was asked anew where a server of the group is.
    pub fn handle_places(&mut self, server: u16, located: &Located) {
        for member in self.members.values_mut() {
            if let Some(own) = member.servers.iter().position(|number| *number == server) {
                member.callers.handle_places(own, located);
            }
        }
    }

    /// No name server answered when the places of a server were asked for.
    pub fn handle_unanswered(&mut self, server: u16) {
        for member in self.members.values_mut() {
            if let Some(own) = member.servers.iter().position(|number| *number == server) {
                member.callers.handle_unanswered(own);
            }
        }
    }

    /// Something has come of what a member asked of an application.
    pub fn handle_side(&mut self, now: Instant, told: Told) {
        let id = (told.seat >> OWNER_BITS) as MemberId;
        let seat = told.seat & ((1 << OWNER_BITS) - 1);
        if let Some(member) = self.members.get_mut(&id) {
            member.callers.handle_side(now, Told { seat, ..told });
            self.wake(id);
        }
    }

    /// How far all members are together; peaks are the sums of theirs.
    pub fn progress(&self) -> Progress {
        self.members.values().map(|member| member.callers.progress()).sum()
    }

    /// Messages that were no SIP.
    pub fn malformed(&self) -> u64 {
        self.members.values().map(|member| member.callers.counters().malformed).sum()
    }

    /// Members that have not left.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// A member has something to say, perhaps.
    fn wake(&mut self, id: MemberId) {
        if let Some(member) = self.members.get_mut(&id)
            && !std::mem::replace(&mut member.is_ready, true)
        {
            self.ready.push(id);
        }
    }

    /// Gives what arrived over a link to its member.
    fn over<T>(&mut self, link: LinkId, tell: impl FnOnce(&mut Callers, LinkId) -> T) -> Option<(MemberId, T)> {
        let (id, own) = *self.links.get(&link)?;
        let told = tell(&mut self.members.get_mut(&id)?.callers, own);
        self.wake(id);
        Some((id, told))
    }

    /// Number in the group of a link that a member opens.
    fn new_link(&mut self, id: MemberId, own: LinkId) -> LinkId {
        loop {
            self.next_link = self.next_link % MAX_LINK + 1;
            let link = LinkId(self.next_link);
            if let Entry::Vacant(place) = self.links.entry(link) {
                place.insert((id, own));
                return link;
            }
        }
    }

    fn new_port(&mut self, id: MemberId, own: PortId) -> PortId {
        loop {
            self.next_port = self.next_port.wrapping_add(1);
            let port = PortId(self.next_port);
            if let Entry::Vacant(place) = self.ports.entry(port) {
                place.insert((id, own));
                return port;
            }
        }
    }

    fn forget(&mut self, id: MemberId) {
        let Some(member) = self.members.remove(&id) else { return };
        for link in member.links.values() {
            self.links.remove(link);
        }
        for port in member.ports.values() {
            self.ports.remove(port);
        }
    }

    /// What the member wants next, by the numbers of the group; `None` where it wants nothing that can be done.
    fn poll_member(&mut self, now: Instant, id: MemberId, buffer: &mut Vec<u8>) -> Option<Output<GroupReport>> {
        let start = buffer.len();
        let member = self.members.get_mut(&id)?;
        let output = match member.callers.poll_output(now, buffer) {
            Output::Sip { flow, owner } => member
                .links
                .get(&flow.link)
                .map(|link| Output::Sip { flow: Flow { link: *link, ..flow }, owner: owner_in_group(id, owner) }),
            Output::Media { port, channel, to } => {
                member.ports.get(&port).map(|port| Output::Media { port: *port, channel, to })
            }
            Output::OpenPort { port: own, sockets } => {
                let port = self.new_port(id, own);
                self.members.get_mut(&id)?.ports.insert(own, port);
                Some(Output::OpenPort { port, sockets })
            }
            Output::Expect { port, remote } => {
                member.ports.get(&port).map(|port| Output::Expect { port: *port, remote })
            }
            Output::ClosePort(own) => member.ports.remove(&own).map(|port| {
                self.ports.remove(&port);
                Output::ClosePort(port)
            }),
            Output::OpenLink { link: own, transport, remote, local, local_port, server } => {
                // One that is not known is nobody's: it is refused where TLS is asked for.
                let server = member.servers.get(usize::from(server)).copied().unwrap_or(u16::MAX);
                let link = self.new_link(id, own);
                self.members.get_mut(&id)?.links.insert(own, link);
                Some(Output::OpenLink { link, transport, remote, local, local_port, server })
            }
            Output::CloseLink(own) => member.links.remove(&own).map(|link| {
                self.links.remove(&link);
                Output::CloseLink(link)
            }),
            Output::PauseLink { link: own, paused } => {
                member.links.get(&own).map(|link| Output::PauseLink { link: *link, paused })
            }
            Output::Report(mut report) => {
                match &mut report {
                    Report::Finished(finished) => finished.owner = owner_in_group(id, finished.owner),
                    Report::Side(order) => order.seat = owner_in_group(id, order.seat),
                    _ => {}
                }
                Some(Output::Report(GroupReport::Of(id, report)))
            }
            Output::Idle(due) => {
                member.due = due;
                member.is_ready = false;
                if let Some(due) = due.filter(|due| member.armed.is_none_or(|armed| *due < armed)) {
                    member.armed = Some(due);
                    self.timers.insert(due, id);
                }
                self.ready.pop();
                None
            }
            Output::Done => {
                self.ready.pop();
                self.forget(id);
                Some(Output::Report(GroupReport::Left(id)))
            }
        };
        if output.is_none() {
            buffer.truncate(start);
        }
        output
    }
}

impl Station for Group {
    type Report = GroupReport;

    fn handle_sip(&mut self, now: Instant, arrived: Instant, flow: Flow, bytes: &[u8]) -> Option<u64> {
        let told = self.over(flow.link, |callers, link| callers.handle_sip(now, arrived, Flow { link, ..flow }, bytes));
        let (id, owner) = told?;
        owner.map(|owner| owner_in_group(id, owner))
    }

    fn handle_media(&mut self, now: Instant, packet: MediaPacket<'_>) {
        let Some((id, port)) = self.ports.get(&packet.port).copied() else { return };
        if let Some(member) = self.members.get_mut(&id) {
            let before = member.callers.put_off();
            member.callers.handle_media(now, MediaPacket { port, ..packet });
            if member.callers.put_off() > before {
                self.shaking.push_back(id);
            }
            self.wake(id);
        }
    }

    fn shake(&mut self, now: Instant) -> bool {
        while let Some(id) = self.shaking.pop_front() {
            if let Some(member) = self.members.get_mut(&id) {
                let shook = member.callers.shake(now);
                self.wake(id);
                if shook {
                    return true;
                }
            }
        }
        false
    }

    fn handle_port(&mut self, now: Instant, port: PortId, opened: Result<SocketAddr, String>) {
        let Some((id, own)) = self.ports.get(&port).copied() else { return };
        if let Some(member) = self.members.get_mut(&id) {
            member.callers.handle_port(now, own, opened);
            self.wake(id);
        }
    }

    fn handle_link(&mut self, now: Instant, link: LinkId, event: LinkEvent) {
        let is_lost = matches!(event, LinkEvent::Lost(..));
        let told = self.over(link, |callers, link| callers.handle_link(now, link, event));
        if let (Some((id, ())), true) = (told, is_lost) {
            let own = self.links.remove(&link).map(|(_, own)| own);
            if let (Some(own), Some(member)) = (own, self.members.get_mut(&id)) {
                member.links.remove(&own);
            }
        }
    }

    fn handle_unreachable(&mut self, now: Instant, flow: Flow, fault: LinkFault) {
        self.over(flow.link, |callers, link| callers.handle_unreachable(now, Flow { link, ..flow }, fault));
    }

    fn handle_timeout(&mut self, now: Instant) {
        while let Some(id) = self.timers.pop(now) {
            let Some(member) = self.members.get_mut(&id) else { continue };
            // A timer is not cancelled: this one may be of an earlier wish.
            member.armed = None;
            match member.due {
                Some(due) if due <= now => {
                    member.callers.handle_timeout(now);
                    self.wake(id);
                }
                Some(due) => {
                    member.armed = Some(due);
                    self.timers.insert(due, id);
                }
                None => {}
            }
        }
    }

    fn stop(&mut self, now: Instant) {
        self.stopping = true;
        let ids: Vec<MemberId> = self.members.keys().copied().collect();
        for id in ids {
            if let Some(member) = self.members.get_mut(&id) {
                member.callers.stop(now);
            }
            self.wake(id);
        }
    }

    fn poll_output(&mut self, now: Instant, buffer: &mut Vec<u8>) -> Output<GroupReport> {
        while let Some(id) = self.ready.last().copied() {
            if !self.members.contains_key(&id) {
                self.ready.pop();
            } else if let Some(output) = self.poll_member(now, id, buffer) {
                return output;
            }
        }
        if self.stopping && self.members.is_empty() {
            return Output::Done;
        }
        Output::Idle(self.timers.next_deadline())
    }
}

fn owner_in_group(id: MemberId, owner: u64) -> u64 {
    // What is nobody's stays so.
    if owner == 0 { 0 } else { u64::from(id) << OWNER_BITS | owner }
}

/// The number of the actor in its plan whose leg an owner stands for.
pub fn actor_of(owner: u64) -> usize {
    (owner & 0xff) as usize
}

/// The attempt that an owner in a group stands for: its index, from 1.
pub fn attempt_of(owner: u64) -> u64 {
    (owner & ((1 << OWNER_BITS) - 1)) >> 8
}
