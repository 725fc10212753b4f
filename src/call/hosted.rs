//! What a worker tells the callers, and what they want of it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::time::Instant;

use super::callers::Callers;
use super::leg::Leg;
use super::links::Purpose;
use super::report::Report;
use crate::record::{TransportFailure, TransportFault};
use crate::sip::flow::{Flow, LinkId, Transport};
use crate::sip::keep_alive::{Action, PING};
use crate::sip::message::{Message, ParseError};
use crate::sip::stun::{self, Binding};
use crate::station::streams::PeerEvent;
use crate::station::{LinkEvent, LinkFault, MediaPacket, Output, PortId, Rungs, Station};

impl Station for Callers {
    type Report = Report;

    fn handle_sip(&mut self, now: Instant, arrived: Instant, flow: Flow, bytes: &[u8]) -> Option<u64> {
        self.look_back(now, Some(arrived));
        if self.streams.handle_bytes(now, arrived, flow.link, bytes) {
            self.tell_streams(now);
            return None;
        }
        if self.is_hushed(flow, bytes) {
            return None;
        }
        self.receive(now, arrived, flow, bytes)
    }

    fn handle_media(&mut self, now: Instant, packet: MediaPacket<'_>) {
        self.look_back(now, Some(packet.arrived));
        self.streams.handle_packet(packet);
        self.tell_streams(now);
    }

    fn shake(&mut self, now: Instant) -> bool {
        let shook = self.streams.shake(now);
        if shook {
            self.tell_streams(now);
        }
        shook
    }

    fn handle_port(&mut self, now: Instant, port: PortId, opened: Result<SocketAddr, String>) {
        let Some(me) = self.streams.owner(port) else { return };
        self.with_leg(now, me, |leg, tools| match opened {
            Ok(local) => leg.handle_port_opened(tools, port, local),
            Err(error) => leg.miss_port(tools, error),
        });
        self.tell_streams(now);
    }

    fn handle_link(&mut self, now: Instant, link: LinkId, event: LinkEvent) {
        if self.streams.handle_link(now, link, &event) {
            return self.tell_streams(now);
        }
        match event {
            LinkEvent::Climbed(rungs) => self.climbed = Some((link, rungs)),
            LinkEvent::Opened(known) => {
                // Calls that come in from elsewhere are those of the first actor.
                let first = self.config.plan.actors.first().map(|actor| actor.target.public_address);
                let opened = self.links.opened(link);
                let public = opened.map(|(purpose, _)| purpose.public).or(first).unwrap_or_default();
                let mut known = known.known_as(public);
                if let Some((purpose, remote)) = opened {
                    (known.sips, known.outbound) = (purpose.sips, purpose.outbound);
                    known.invalid = purpose.transport.is_web().then(|| self.name_of(&purpose));
                    purpose.keep(&mut self.keep_alives, now, Flow { link, remote });
                }
                self.endpoint.add_link(link, known);
                self.take_standing_link(now, link);
                let rungs = self.rungs_of(link);
                for me in self.legs_waiting_for(link) {
                    self.with_leg(now, me, |leg, tools| {
                        leg.facts.rungs = rungs;
                        leg.take_link(tools, link);
                    });
                }
                self.drain_endpoint(now, None, None);
            }
            LinkEvent::Lost(fault, text) => {
                self.links.lost(link);
                self.keep_alives.remove(link);
                self.fault = TransportFailure { fault: fault_of(fault), text: Some(text) };
                if let Some(me) = self.hushed.note_lost(link) {
                    // The agent comes back by itself: its call and its binding are over another link then.
                    self.with_leg(now, me, |leg, tools| leg.lose_way(tools, link));
                    self.drain_endpoint(now, None, None);
                    return;
                }
                let rungs = self.rungs_of(link);
                for me in self.legs_waiting_for(link) {
                    self.with_leg(now, me, |leg, tools| leg.miss_link(tools, link, rungs));
                }
                self.miss_standing_link(now, link);
                self.endpoint.remove_link(now, link);
                self.drain_endpoint(now, None, None);
            }
        }
    }

    fn handle_unreachable(&mut self, now: Instant, flow: Flow, fault: LinkFault) {
        self.fault = fault_of(fault).into();
        self.endpoint.fail_towards(now, flow);
        self.drain_endpoint(now, None, None);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.look_back(now, None);
        if self.next_start.is_some_and(|at| at <= now) {
            self.next_start = None;
            self.start_due(now);
        }
        self.retry_standing(now);
        while let Some(me) = self.timers.pop(now) {
            self.wake(now, me);
            self.with_leg(now, me, |leg, tools| {
                leg.armed = None;
                leg.handle_deadline(tools);
            });
        }
        self.keep_flows_alive(now);
        self.endpoint.handle_timeout(now);
        self.drain_endpoint(now, None, None);
        self.streams.handle_timeout(now);
        self.tell_streams(now);
    }

    fn stop(&mut self, now: Instant) {
        self.starts.stop();
        self.preparing = false;
        self.next_start = None;
        self.over = true;
        self.commands.clear();
        for me in self.every_leg() {
            self.with_leg(now, me, Leg::stop);
        }
    }

    fn poll_output(&mut self, now: Instant, buffer: &mut Vec<u8>) -> Output<Report> {
        // What the last input made the endpoint tell of itself.
        self.drain_endpoint(now, None, None);
        self.tell_heard(now);
        if let Some((link, paused)) = self.hushed.poll_order() {
            return Output::PauseLink { link, paused };
        }
        if let Some((link, purpose, remote)) = self.wanted.pop() {
            let Purpose { transport, local, local_port, server, .. } = purpose;
            return Output::OpenLink { link, transport, remote, local, local_port, server };
        }
        while let Some(transmit) = self.endpoint.poll_transmit() {
            if self.hushed.swallows(transmit.flow.link) {
                continue;
            }
            buffer.extend_from_slice(transmit.bytes);
            return Output::Sip { flow: transmit.flow, owner: transmit.owner };
        }
        if let Some((flow, stun)) = self.pings.pop() {
            match stun {
                Some(transaction) => buffer.extend_from_slice(&stun::request(transaction)),
                None => buffer.extend_from_slice(PING),
            }
            return Output::Sip { flow, owner: 0 };
        }
        if let Some(output) = self.streams.poll_output(buffer) {
            return output;
        }
        // Before the attempt that it is told by: whoever hears of that must not try again.
        if let Some(pause) = self.back_off.poll_news() {
            return Output::Report(Report::Paused(pause));
        }
        if let Some(order) = self.sides.poll() {
            return Output::Report(Report::Side(Box::new(order)));
        }
        if let Some(report) = self.reports.pop_front() {
            return Output::Report(report);
        }
        if !self.counted.is_empty() {
            return Output::Report(Report::Counted(std::mem::take(&mut self.counted)));
        }
        if let Some(link) = self.closing.pop() {
            return Output::CloseLink(link);
        }
        if self.over && self.progress.in_progress == 0 {
            if !self.remove_standing(now) {
                return match self.endpoint.poll_transmit() {
                    Some(transmit) => {
                        buffer.extend_from_slice(transmit.bytes);
                        Output::Sip { flow: transmit.flow, owner: transmit.owner }
                    }
                    None => {
                        let deadlines = [self.endpoint.poll_timeout(), self.removal_at(), self.streams.deadline()];
                        Output::Idle(deadlines.into_iter().flatten().min())
                    }
                };
            }
            if let Some(at) = self.streams.farewell(now) {
                return Output::Idle(Some(at));
            }
            if let Some(output) = self.streams.poll_output(buffer) {
                return output;
            }
            self.closing = self.links.drain();
            return self.closing.pop().map_or(Output::Done, Output::CloseLink);
        }
        let deadlines = [
            self.endpoint.poll_timeout(),
            self.streams.deadline(),
            self.timers.next_deadline(),
            self.next_start,
            self.retry_at(),
            self.keep_alives.deadline(),
        ];
        self.idle_until = deadlines.into_iter().flatten().min();
        Output::Idle(self.idle_until)
    }
}

impl Callers {
    /// Steps of handshakes that wait to be [taken](Station::shake).
    pub(super) fn put_off(&self) -> usize {
        self.streams.put_off()
    }

    /// Tells legs what their streams came to.
    fn tell_streams(&mut self, now: Instant) {
        self.tell_seconds();
        while let Some((me, event)) = self.streams.poll_peer_event() {
            self.with_leg(now, me, |leg, tools| match event {
                PeerEvent::Candidates => leg.send_candidates(tools),
                PeerEvent::Gathered => leg.handle_gathered(tools),
                PeerEvent::Failed => leg.handle_peer_failed(tools),
            });
        }
        while let Some(me) = self.streams.poll_keyed() {
            self.with_leg(now, me, Leg::handle_key);
        }
    }

    /// Treats what arrived over a link.
    pub(super) fn receive(&mut self, now: Instant, arrived: Instant, flow: Flow, bytes: &[u8]) -> Option<u64> {
        if stun::is_stun(bytes) {
            self.take_stun(now, flow, bytes);
            return None;
        }
        let message = match Message::parse(bytes) {
            Ok(message) => message,
            Err(ParseError::KeepAlive) => {
                self.keep_alives.note_heard(flow.link, true);
                return None;
            }
            Err(_) => {
                self.endpoint.note_malformed();
                return None;
            }
        };
        self.keep_alives.note_heard(flow.link, false);
        let owner = self.endpoint.handle_message(now, flow, &message).filter(|owner| *owner != 0);
        self.arrived = Some(arrived);
        let begun = self.drain_endpoint(now, Some(flow), Some(&message));
        self.arrived = None;
        begun.or(owner)
    }

    /// How far a link has come that is open or lost now.
    fn rungs_of(&mut self, link: LinkId) -> Rungs {
        self.climbed.take().filter(|(climbed, _)| *climbed == link).map(|(_, rungs)| rungs).unwrap_or_default()
    }

    /// The name that stands in Via and Contact of an account whose server cannot connect to us. It is the same on every
    /// connection of a run, so that a binding that is made again takes the place of the one that was lost.
    fn name_of(&self, purpose: &Purpose) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.config.run_id, purpose.server, purpose.account).hash(&mut hasher);
        hasher.finish() >> 16
    }

    /// Nobody has to ask us where a datagram comes from; who does is a stray.
    fn take_stun(&mut self, now: Instant, flow: Flow, bytes: &[u8]) {
        match stun::read(bytes) {
            Some(Binding::Response { transaction, mapped }) => {
                self.keep_alives.note_bound(now, flow.link, transaction, mapped);
            }
            Some(Binding::Request) | None => self.endpoint.note_malformed(),
        }
    }

    /// Sends the pings that are due, and gives up flows whose server does not answer them any more.
    fn keep_flows_alive(&mut self, now: Instant) {
        while let Some(action) = self.keep_alives.poll(now) {
            match action {
                Action::Ping(flow) => self.pings.push((flow, None)),
                Action::Bind(flow, transaction) => self.pings.push((flow, Some(transaction))),
                Action::Failed(link, failure) => {
                    let fault = match self.endpoint.transport(link) {
                        Some(Transport::Ws | Transport::Wss) => LinkFault::WebSilent,
                        Some(Transport::Tcp | Transport::Tls) => LinkFault::Broken,
                        Some(Transport::Udp) | None => LinkFault::Unreachable,
                    };
                    self.closing.push(link);
                    self.handle_link(now, link, LinkEvent::Lost(fault, failure.to_string()));
                }
            }
        }
    }
}

fn fault_of(fault: LinkFault) -> TransportFault {
    match fault {
        LinkFault::Refused => TransportFault::Refused,
        LinkFault::Unreachable => TransportFault::Unreachable,
        LinkFault::Broken => TransportFault::Tcp,
        LinkFault::Tls => TransportFault::Tls,
        LinkFault::Upgrade => TransportFault::Upgrade,
        LinkFault::WebClosed => TransportFault::WebClosed,
        LinkFault::WebProtocol => TransportFault::WebProtocol,
        LinkFault::WebSilent => TransportFault::WebSilent,
    }
}
