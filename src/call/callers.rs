//! The station that runs a plan: attempts start by the schedule, their legs do their steps, their records come out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use rustc_hash::FxHashMap;

use super::accounts::Accounts;
use super::leg::{Leg, LegRef, Phase, Tools};
use super::links::{Access, Links, Purpose, Wanted};
use super::standing::{self, Failure, Standing};
use super::start::{Next, Starts, share_of};
use super::step::binding_of;
use crate::media::clock::NtpClock;
use crate::record::{Anchor, CallRecord, Identity, LocalFailure, Role, TransportFault};
use crate::scenario::plan::{Plan, Registered, Server, Step};
use crate::sip::endpoint::{self, Endpoint, Event};
use crate::sip::flow::{Flow, LinkId};
use crate::sip::header;
use crate::sip::message::{Message, ParseError, Start};
use crate::sip::session::Response;
use crate::sip::token::Handle;
use crate::sip::uri::Uri;
use crate::station::streams::Streams;
use crate::station::{Channel, LinkEvent, LinkFault, Output, PortId, Station};
use crate::timer::Wheel;

/// How a station of callers is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// What to run.
    pub plan: Arc<Plan>,
    /// Addresses of every server that the plan names.
    pub servers: Vec<(Server, SocketAddr)>,
    /// This worker's share of the attempts: number `.0` of `.1`.
    pub share: (u64, u64),
    /// When the load begins.
    pub start: Instant,
    /// Reads the calendar off the worker's clock.
    pub anchor: Anchor,
    /// The wall clock of RTCP.
    pub clock: NtpClock,
    /// Name of the run: the beginning of every `call_id`.
    pub run_id: String,
    /// `site` of every record.
    pub site: Option<String>,
    /// `probe` of every record.
    pub probe: Option<String>,
}

/// What callers report.
#[derive(Debug)]
pub enum Report {
    /// A leg has ended.
    Finished(Box<Finished>),
    /// An attempt was due and not started.
    Dropped {
        /// Its index, from 1.
        n: u64,
    },
}

/// A leg that has ended.
#[derive(Debug)]
pub struct Finished {
    /// What it showed.
    pub record: CallRecord,
    /// It counts as the attempt: other legs of the same attempt are recorded beside it.
    pub primary: bool,
    /// Under which the evidence keeps its messages.
    pub owner: u64,
}

/// How far a worker is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Attempts started.
    pub started: u64,
    /// Attempts ended.
    pub finished: u64,
    /// Attempts due and not started.
    pub dropped: u64,
    /// Attempts under way.
    pub in_progress: u64,
    /// Most attempts under way at the same time so far.
    pub peak: u64,
}

/// The station that runs a plan.
#[derive(Debug)]
pub struct Callers {
    config: Config,
    starts: Starts,
    /// Pools, each once: actors that share one draw different accounts.
    accounts: Vec<Accounts>,
    /// Index of each actor's pool.
    pools: Vec<Option<usize>>,
    /// Accounts that stay registered, by actor.
    standing: Vec<Option<Standing>>,
    /// The load waits for standing registrations.
    preparing: bool,
    endpoint: Endpoint,
    streams: Streams,
    links: Links,
    wanted: Vec<Wanted>,
    closing: Vec<LinkId>,
    places: Vec<Place>,
    free: Vec<u32>,
    routes: FxHashMap<Handle, LegRef>,
    ports: FxHashMap<PortId, LegRef>,
    timers: Wheel<LegRef>,
    next_start: Option<Instant>,
    /// When the message at hand arrived.
    arrived: Option<Instant>,
    /// How a transport failed last.
    fault: TransportFault,
    /// The scenario expects to hear its own audio.
    reference_expected: bool,
    reports: std::collections::VecDeque<Report>,
    progress: Progress,
    /// No more attempts will start.
    over: bool,
    /// Legs that hold their call open may end it.
    letting_go: bool,
    /// Legs that wait for a call; some have gone on since.
    awaiting: Vec<LegRef>,
    /// Legs that wait for a link; some have gone on since.
    opening: FxHashMap<LinkId, Vec<LegRef>>,
}

#[derive(Debug, Default)]
struct Place {
    generation: u32,
    /// Index of the attempt, from 1; 0 where the place is free.
    n: u64,
    legs: Vec<Leg>,
    accounts_held: Vec<Option<usize>>,
}

impl Callers {
    /// A station whose load begins at [`Config::start`].
    pub fn new(config: Config, endpoint: endpoint::Config, seed: u64, now: Instant) -> Self {
        let (first, step) = (config.share.0 as usize, config.share.1 as usize);
        let (accounts, pools) = Accounts::of_plan(&config.plan, first, step);
        Self {
            starts: Starts::new(config.plan.load.clone(), config.start, config.share),
            accounts,
            pools,
            standing: Vec::new(),
            preparing: false,
            endpoint: Endpoint::new(endpoint, seed, now),
            streams: Streams::new(seed ^ 0x5eed, now),
            links: Links::default(),
            wanted: Vec::new(),
            closing: Vec::new(),
            places: Vec::new(),
            free: Vec::new(),
            routes: FxHashMap::default(),
            ports: FxHashMap::default(),
            timers: Wheel::new(now),
            next_start: None,
            arrived: None,
            fault: TransportFault::Unreachable,
            reference_expected: config.plan.expects_reference(),
            reports: std::collections::VecDeque::new(),
            progress: Progress::default(),
            over: false,
            letting_go: false,
            awaiting: Vec::new(),
            opening: FxHashMap::default(),
            config,
        }
        .prepared(now)
    }

    /// Standing registrations are asked for; without any the load begins at once.
    fn prepared(mut self, now: Instant) -> Self {
        let plan = Arc::clone(&self.config.plan);
        for (actor, pool) in plan.actors.iter().zip(self.pools.clone()) {
            let standing = pool.filter(|_| actor.registered == Registered::Standing).map(|pool| {
                let wanted = standing_accounts(&plan, self.config.share);
                Standing::new(std::iter::from_fn(|| self.accounts[pool].acquire(true)).take(wanted))
            });
            self.standing.push(standing);
        }
        self.preparing = self.standing.iter().any(Option::is_some);
        if self.preparing {
            self.register_standing(now);
        } else {
            self.next_start = Some(self.config.start);
        }
        self
    }

    /// Sends REGISTER for every standing account whose link is open.
    fn register_standing(&mut self, now: Instant) {
        let plan = Arc::clone(&self.config.plan);
        for (index, actor) in plan.actors.iter().enumerate() {
            let (Some(standing), Some(pool)) = (&mut self.standing[index], self.pools[index]) else { continue };
            for entry in standing.entries.iter_mut().filter(|entry| entry.state == standing::State::Opening) {
                let server = self.config.servers.iter().find(|(known, _)| *known == actor.target.server);
                let Some((_, remote)) = server else {
                    standing.failure = Some(Failure::Local(LocalFailure::Transport(TransportFault::Dns)));
                    entry.state = standing::State::Failed;
                    continue;
                };
                let transport = actor.target.server.transport;
                let account = transport.is_reliable().then_some((pool, entry.account));
                let purpose = Purpose { transport, remote: *remote, local_port: actor.target.local_port, account };
                match self.links.access(purpose) {
                    Access::Open(flow) if entry.registration.is_none() => {
                        let account = self.accounts[pool].get(entry.account);
                        let login = self.accounts[pool].login(entry.account);
                        let binding = binding_of(actor, account, login, flow, DEFAULT_EXPIRES, STANDING_OWNER);
                        entry.registration = self.endpoint.register(now, binding);
                        entry.asked = Some(now);
                    }
                    Access::Ask(link) => {
                        entry.link = Some(link);
                        self.wanted.push((link, purpose));
                    }
                    Access::Opening(link) => entry.link = Some(link),
                    Access::Open(_) => {}
                }
            }
        }
        self.begin_if_settled(now);
    }

    /// The load begins once the registrar has answered for every standing account, whatever it said.
    fn begin_if_settled(&mut self, now: Instant) {
        if self.preparing && self.standing.iter().flatten().all(Standing::is_settled) {
            self.preparing = false;
            self.starts.begin(now);
            self.next_start = Some(now);
        }
    }

    /// What became of a standing registration. False where the handle is none.
    fn tell_standing(&mut self, now: Instant, event: Event, message: Option<&Message<'_>>) -> bool {
        let known = self.standing.iter_mut().flatten().any(|standing| standing.tell(now, event, message));
        if known {
            self.begin_if_settled(now);
        }
        known
    }

    /// After the last attempt the standing bindings are removed. True once none is left.
    fn remove_standing(&mut self, now: Instant) -> bool {
        for entry in self.standing.iter_mut().flatten().flat_map(|standing| &mut standing.entries) {
            match (entry.state, entry.registration) {
                (standing::State::Registered, Some(registration)) => {
                    entry.state = standing::State::Removing;
                    self.endpoint.unregister(now, registration);
                }
                // One whose REGISTER is under way is removed when its answer has come.
                (standing::State::Opening, None) => entry.state = standing::State::Gone,
                _ => {}
            }
        }
        self.standing.iter().flatten().all(Standing::is_gone)
    }

    /// How far the station is.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// What belonged to nobody.
    pub fn counters(&self) -> endpoint::Counters {
        self.endpoint.counters()
    }

    /// Makes a link known that was open before the station began (a listening socket).
    pub fn add_link(&mut self, link: LinkId, known: crate::sip::flow::Link) {
        self.endpoint.add_link(link, known);
    }

    // --- attempts -------------------------------------------------------------------------------------------------

    fn start_due(&mut self, now: Instant) {
        for _ in 0..STARTS_A_TURN {
            match self.starts.next(now, self.progress.in_progress) {
                Next::Start(k, intended) => {
                    let ceiling = share_of(self.config.plan.safety.max_concurrent.into(), self.config.share);
                    if self.progress.in_progress >= ceiling {
                        self.drop_start(k);
                    } else {
                        let place = self.open_place(k + 1, intended, now);
                        self.begin_legs(now, place);
                    }
                }
                Next::Drop(k) => self.drop_start(k),
                Next::At(at) => {
                    self.next_start = Some(at);
                    return;
                }
                Next::Later => {
                    self.next_start = self.starts.end();
                    return;
                }
                Next::Over => {
                    self.over = true;
                    // Calls that are held open are held to the end of the load's time, where it has one.
                    self.next_start = self.starts.end().filter(|end| *end > now);
                    if self.next_start.is_none() && !self.letting_go {
                        self.letting_go = true;
                        self.let_go(now);
                    }
                    return;
                }
            }
        }
        // The rest in the next turn: attempts that fail at once must not keep the worker from its other work.
        self.next_start = Some(now);
    }

    fn drop_start(&mut self, k: u64) {
        self.progress.dropped += 1;
        self.reports.push_back(Report::Dropped { n: k + 1 });
    }

    /// A place for an attempt, with its legs and their accounts.
    fn open_place(&mut self, n: u64, intended: Instant, now: Instant) -> u32 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place::default());
            self.places.len() as u32 - 1
        });
        let plan = Arc::clone(&self.config.plan);
        let many = plan.actors.len() > 1;
        let place = &mut self.places[index as usize];
        place.generation += 1;
        place.n = n;
        for ((actor, pool), standing) in plan.actors.iter().zip(&self.pools).zip(&mut self.standing) {
            let owned = actor.steps.iter().any(|step| matches!(step, Step::Register(_)));
            let account = match standing {
                Some(standing) => standing.take(),
                None => pool.and_then(|pool| self.accounts[pool].acquire(owned)),
            };
            let mut leg = Leg { account, registered: standing.is_some() && account.is_some(), ..Leg::default() };
            leg.facts.moments.intended = Some(intended);
            if actor.pool.is_some() && account.is_none() {
                match standing.as_ref().and_then(|standing| standing.failure.clone()) {
                    Some(Failure::Registrar(facts)) => leg.facts.registration = Some(facts),
                    Some(Failure::Local(fault)) => leg.facts.local_failure = Some(fault),
                    None => leg.facts.local_failure = Some(LocalFailure::NoAccount),
                }
            }
            let held = account.zip(*pool).map(|(index, pool)| self.accounts[pool].get(index));
            let suffix = if many { format!("-{}", actor.name) } else { String::new() };
            (leg.identity.role, leg.identity.direction) = leg.role(actor);
            leg.identity = Identity {
                call_id: format!("{}-{n:06}{suffix}", self.config.run_id),
                scenario: plan.scenario.clone(),
                target: actor.target.name.clone(),
                site: self.config.site.clone(),
                probe: self.config.probe.clone(),
                agent: Some(held.map_or_else(|| actor.name.clone(), |account| account.user.clone())),
                account: held.map(|account| account.user.clone()),
                unit: held.and_then(|account| account.unit.clone()),
                transport: Some(actor.target.server.transport.to_string()),
                ..leg.identity
            };
            place.legs.push(leg);
            place.accounts_held.push(account);
        }
        self.progress.started += 1;
        self.progress.in_progress += 1;
        self.progress.peak = self.progress.peak.max(self.progress.in_progress);
        let _ = now;
        index
    }

    fn begin_legs(&mut self, now: Instant, place: u32) {
        let generation = self.places[place as usize].generation;
        for actor in 0..self.config.plan.actors.len() {
            let leg = LegRef { place, generation, actor: actor as u8 };
            let waits = self.config.plan.actors[actor].when.is_some();
            self.with_leg(now, leg, |leg, tools| {
                // No account, or none whose standing registration was accepted.
                let hopeless = leg.facts.local_failure.is_some() || leg.facts.registration.is_some();
                match (hopeless, waits) {
                    (true, _) => leg.wind_down(tools),
                    (false, true) => leg.phase = Phase::Waiting,
                    (false, false) => leg.advance(tools),
                }
            });
        }
    }

    /// Lets a leg act, then sees to its timer and its end. False where the leg is gone.
    fn with_leg(&mut self, now: Instant, me: LegRef, act: impl FnOnce(&mut Leg, &mut Tools<'_>)) -> bool {
        let Some(place) = self.places.get_mut(me.place as usize).filter(|place| place.generation == me.generation)
        else {
            return false;
        };
        let Some(slot) = place.legs.get_mut(usize::from(me.actor)).filter(|leg| leg.phase != Phase::Done) else {
            return false;
        };
        let mut leg = std::mem::take(slot);
        let held = leg.account.zip(self.pools[usize::from(me.actor)].map(|pool| &self.accounts[pool]));
        let mut tools = Tools {
            now,
            at: self.arrived.unwrap_or(now),
            fault: self.fault,
            reference_expected: self.reference_expected,
            actor: &self.config.plan.actors[usize::from(me.actor)],
            endpoint: &mut self.endpoint,
            streams: &mut self.streams,
            links: &mut self.links,
            wanted: &mut self.wanted,
            routes: &mut self.routes,
            ports: &mut self.ports,
            servers: &self.config.servers,
            account: held.map(|(index, accounts)| accounts.get(index)),
            login: held.and_then(|(index, accounts)| accounts.login(index)),
            clock: self.config.clock,
            me,
            pool: self.pools[usize::from(me.actor)].unwrap_or(0),
            n: place.n,
            letting_go: self.letting_go,
            owner: owner_of(place.n, me.actor),
        };
        let before = (leg.phase, leg.link);
        act(&mut leg, &mut tools);
        if let Some(deadline) = leg.next_deadline().filter(|at| leg.armed.is_none_or(|armed| *at < armed)) {
            leg.armed = Some(deadline);
            self.timers.insert(deadline, me);
        }
        let (phase, link) = (leg.phase, leg.link);
        match (phase, link) {
            _ if before == (phase, link) => {}
            (Phase::AwaitingCall, _) => self.awaiting.push(me),
            (Phase::OpeningLink, Some(link)) => self.opening.entry(link).or_default().push(me),
            _ => {}
        }
        self.places[me.place as usize].legs[usize::from(me.actor)] = leg;
        self.wake_waiting(now, me.place);
        if phase == Phase::Done {
            self.end_attempt_if_over(now, me.place);
        }
        true
    }

    /// Actors that wait for another one's state begin when it is reached, or never.
    fn wake_waiting(&mut self, now: Instant, place: u32) {
        use crate::scenario::plan::ActorState;
        let plan = Arc::clone(&self.config.plan);
        if plan.actors.len() < 2 {
            return;
        }
        let generation = self.places[place as usize].generation;
        for (index, actor) in plan.actors.iter().enumerate() {
            let Some(when) = &actor.when else { continue };
            let legs = &self.places[place as usize].legs;
            if legs.get(index).is_none_or(|leg| leg.phase != Phase::Waiting) {
                continue;
            }
            let Some(other) = legs.get(when.actor) else { continue };
            let reached = match when.state {
                ActorState::Registered => other.registered,
                ActorState::Answered => other.facts.moments.answered.is_some(),
                ActorState::Ended => other.phase == Phase::Done,
            };
            let me = LegRef { place, generation, actor: index as u8 };
            if reached {
                self.with_leg(now, me, |leg, tools| {
                    leg.phase = Phase::New;
                    leg.advance(tools);
                });
            } else if other.phase == Phase::Done {
                let (other, name) = (other.facts.clone(), &plan.actors[when.actor].name);
                self.with_leg(now, me, |leg, tools| leg.never_begin(tools, &other, name, when.state));
            }
        }
    }

    fn end_attempt_if_over(&mut self, now: Instant, index: u32) {
        let place = &mut self.places[index as usize];
        if place.n == 0 || place.legs.iter().any(|leg| leg.phase != Phase::Done) {
            return;
        }
        let n = std::mem::take(&mut place.n);
        let legs = std::mem::take(&mut place.legs);
        let held = std::mem::take(&mut place.accounts_held);
        for ((pool, standing), account) in self.pools.iter().zip(&mut self.standing).zip(held) {
            match (standing, pool, account) {
                (Some(standing), _, Some(account)) => standing.give_back(account),
                (None, Some(pool), Some(account)) => self.accounts[*pool].release(account),
                _ => {}
            }
        }
        self.free.push(index);
        self.progress.in_progress -= 1;
        self.progress.finished += 1;
        self.report(n, legs);
        if !self.over {
            // Not from here: an attempt that fails at once would begin the next one, and so on without end.
            self.next_start = Some(now);
        }
    }

    fn report(&mut self, n: u64, mut legs: Vec<Leg>) {
        share_facts(&mut legs);
        let primary = legs.iter().position(|leg| leg.identity.role == Role::Caller).unwrap_or(0);
        for (index, leg) in legs.into_iter().enumerate() {
            let mut record = CallRecord::new(leg.identity, &leg.facts, leg.figures, &self.config.anchor);
            record.unmet = leg.unmet;
            record.as_expected = leg.as_expected;
            let owner = owner_of(n, index as u8);
            let finished = Finished { record, primary: index == primary, owner };
            self.reports.push_back(Report::Finished(Box::new(finished)));
        }
    }

    /// No more attempts will start: legs that hold their call open may end it.
    fn let_go(&mut self, now: Instant) {
        for me in self.every_leg() {
            self.with_leg(now, me, |leg, tools| {
                if leg.phase == Phase::HoldingOpen {
                    leg.step_done(tools);
                }
            });
        }
    }

    fn every_leg(&self) -> Vec<LegRef> {
        let places = (0u32..).zip(&self.places).filter(|(_, place)| place.n != 0);
        places
            .flat_map(|(index, place)| {
                (0..place.legs.len() as u8).map(move |actor| LegRef {
                    place: index,
                    generation: place.generation,
                    actor,
                })
            })
            .collect()
    }

    // --- SIP ------------------------------------------------------------------------------------------------------

    fn drain_endpoint(&mut self, now: Instant, flow: Option<Flow>, message: Option<&Message<'_>>) -> Option<u64> {
        let mut owner = None;
        while let Some(event) = self.endpoint.poll_event() {
            match event {
                Event::Invited { session } => owner = self.place_inbound(now, session, flow, message).or(owner),
                Event::RegisterReceived => {
                    if let (Some(flow), Some(message)) = (flow, message) {
                        self.endpoint.reply(flow, message, 405, "", &[]);
                    }
                }
                event => self.tell_leg(now, event, message),
            }
        }
        owner
    }

    fn tell_leg(&mut self, now: Instant, event: Event, message: Option<&Message<'_>>) {
        let Some((handle, over)) = subject(event) else { return };
        if self.tell_standing(now, event, message) {
            return;
        }
        let route = if over { self.routes.remove(&handle) } else { self.routes.get(&handle).copied() };
        let Some(me) = route else { return };
        self.with_leg(now, me, |leg, tools| match event {
            Event::Provisional { code, .. } => leg.handle_provisional(tools, code, message),
            Event::Answered { .. } => leg.handle_answered(tools, message),
            Event::AnsweredAfterCancel { .. } => leg.handle_answered_after_cancel(tools, message),
            Event::Refused { code, cause, .. } => leg.handle_refused(tools, code, cause, message),
            Event::Cancelled { .. } => leg.handle_cancelled(tools),
            Event::Acknowledged { .. } => leg.handle_acknowledged(tools),
            Event::NotAcknowledged { .. } => leg.handle_not_acknowledged(tools),
            Event::Reinvited { .. } => leg.handle_reinvite(tools, message),
            Event::ByeReceived { .. } => leg.handle_bye(tools, message),
            Event::ByeAnswered { cause, .. } => leg.handle_bye_answered(tools, cause),
            Event::LinkLost { .. } => leg.handle_link_lost(tools),
            Event::Registered { expires, .. } => leg.handle_registered(tools, expires, message),
            Event::RegistrationFailed { code, cause, refresh, .. } => {
                leg.handle_registration_failed(tools, (code, cause, refresh), message);
            }
            Event::Unregistered { .. } => leg.handle_unregistered(tools),
            Event::OptionsAnswered { code, cause, .. } => leg.handle_options_answered(tools, code, cause, message),
            Event::Invited { .. } | Event::RegisterReceived => {}
        });
    }

    /// A call came in: the leg that waits for it, a new attempt where calls begin attempts, or a refusal.
    fn place_inbound(
        &mut self,
        now: Instant,
        session: Handle,
        flow: Option<Flow>,
        message: Option<&Message<'_>>,
    ) -> Option<u64> {
        let (flow, invite) = (flow?, message?);
        let waiting = self.find_waiting(invite);
        let on_demand = matches!(self.config.plan.load.schedule, crate::pace::Schedule::OnDemand);
        let me = match waiting {
            Some(me) => me,
            None if on_demand && !self.over => {
                let n = self.starts.on_demand() + 1;
                let place = self.open_place(n, now, now);
                self.start_due(now);
                LegRef { place, generation: self.places[place as usize].generation, actor: 0 }
            }
            None => {
                let refusal = Response { code: 480, ..Response::default() };
                self.endpoint.respond(now, session, &refusal);
                return None;
            }
        };
        self.with_leg(now, me, |leg, tools| {
            leg.take_call(tools, session, flow, invite);
            if leg.phase == Phase::New {
                leg.advance(tools);
            }
        });
        let n = self.places[me.place as usize].n;
        (n != 0).then(|| owner_of(n, me.actor))
    }

    /// The leg that waits for this call: by the header that pairs both legs, else by the account that was called.
    fn find_waiting(&mut self, invite: &Message<'_>) -> Option<LegRef> {
        let called = match invite.start() {
            Start::Request { uri, .. } => Uri::parse(uri).map(|uri| header::text(uri.user)),
            Start::Response { .. } => None,
        };
        let mut awaiting = std::mem::take(&mut self.awaiting);
        awaiting.retain(|me| self.leg(*me).is_some_and(|leg| leg.phase == Phase::AwaitingCall));
        let candidates = awaiting.iter().filter_map(|me| {
            let leg = self.leg(*me)?;
            let target = &self.config.plan.actors[usize::from(me.actor)].target;
            let name = target.pairing_header.as_deref();
            let score = match (name.and_then(|name| invite.header_by_name(name)), &leg.identity.account) {
                (Some(paired), _) if self.attempt_of(paired) == Some(self.places[me.place as usize].n) => 2,
                (Some(_), _) => 0,
                (None, Some(account)) => u8::from(called.as_ref() == Some(account)),
                (None, None) => 1,
            };
            (score > 0).then_some((score, *me))
        });
        let found = candidates.max_by_key(|(score, me)| (*score, std::cmp::Reverse(me.place))).map(|(_, me)| me);
        self.awaiting = awaiting;
        found
    }

    /// The attempt of this run that a `call_id` is of.
    fn attempt_of(&self, call_id: &[u8]) -> Option<u64> {
        let rest = call_id.strip_prefix(self.config.run_id.as_bytes())?.strip_prefix(b"-")?;
        let digits = rest.split(|byte| *byte == b'-').next()?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }

    fn leg(&self, me: LegRef) -> Option<&Leg> {
        let place = self.places.get(me.place as usize).filter(|place| place.generation == me.generation)?;
        place.legs.get(usize::from(me.actor))
    }

    fn legs_waiting_for(&mut self, link: LinkId) -> Vec<LegRef> {
        let mut waiting = self.opening.remove(&link).unwrap_or_default();
        waiting.retain(|me| self.leg(*me).is_some_and(|leg| leg.phase == Phase::OpeningLink && leg.link == Some(link)));
        waiting
    }
}

impl Station for Callers {
    type Report = Report;

    fn handle_sip(&mut self, now: Instant, arrived: Instant, flow: Flow, bytes: &[u8]) -> Option<u64> {
        let message = match Message::parse(bytes) {
            Ok(message) => message,
            Err(ParseError::KeepAlive) => return None,
            Err(_) => {
                self.endpoint.note_malformed();
                return None;
            }
        };
        let owner = self.endpoint.handle_message(now, flow, &message).filter(|owner| *owner != 0);
        self.arrived = Some(arrived);
        let begun = self.drain_endpoint(now, Some(flow), Some(&message));
        self.arrived = None;
        begun.or(owner)
    }

    fn handle_media(
        &mut self,
        _: Instant,
        arrived: Instant,
        port: PortId,
        channel: Channel,
        from: SocketAddr,
        bytes: &[u8],
    ) {
        self.streams.handle_packet(arrived, port, channel, from, bytes);
        while self.streams.poll_event().is_some() {}
    }

    fn handle_port(&mut self, now: Instant, port: PortId, opened: Result<SocketAddr, String>) {
        let Some(me) = self.ports.get(&port).copied() else { return };
        self.with_leg(now, me, |leg, tools| match opened {
            Ok(local) => {
                leg.local_rtp = Some(local);
                match leg.phase {
                    Phase::OpeningPort => leg.handle_port_for_call(tools),
                    Phase::OpeningAnswerPort => leg.accept(tools),
                    _ => {}
                }
            }
            Err(error) => {
                leg.facts.local_failure = Some(LocalFailure::NoMediaPort(error));
                match leg.phase {
                    Phase::OpeningAnswerPort => leg.refuse_call(tools, 500),
                    _ => leg.wind_down(tools),
                }
            }
        });
    }

    fn handle_link(&mut self, now: Instant, link: LinkId, event: LinkEvent) {
        match event {
            LinkEvent::Opened(known) => {
                self.endpoint.add_link(link, known);
                self.links.opened(link);
                self.register_standing(now);
                for me in self.legs_waiting_for(link) {
                    self.with_leg(now, me, Leg::advance);
                }
            }
            LinkEvent::Lost(fault, _) => {
                self.links.lost(link);
                let fault = fault_of(fault);
                self.fault = fault;
                for me in self.legs_waiting_for(link) {
                    self.with_leg(now, me, |leg, tools| {
                        leg.lose_link(fault);
                        leg.wind_down(tools);
                    });
                }
                for standing in self.standing.iter_mut().flatten() {
                    standing.lose_link(link, fault);
                }
                self.begin_if_settled(now);
                self.endpoint.remove_link(now, link);
                self.drain_endpoint(now, None, None);
            }
        }
    }

    fn handle_unreachable(&mut self, now: Instant, flow: Flow, fault: LinkFault) {
        self.fault = fault_of(fault);
        self.endpoint.fail_towards(now, flow);
        self.drain_endpoint(now, None, None);
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.next_start.is_some_and(|at| at <= now) {
            self.next_start = None;
            self.start_due(now);
        }
        while let Some(me) = self.timers.pop(now) {
            self.with_leg(now, me, |leg, tools| {
                leg.armed = None;
                leg.handle_deadline(tools);
            });
        }
        self.endpoint.handle_timeout(now);
        self.drain_endpoint(now, None, None);
        self.streams.handle_timeout(now);
        while self.streams.poll_event().is_some() {}
    }

    fn stop(&mut self, now: Instant) {
        self.starts.stop();
        self.preparing = false;
        self.next_start = None;
        self.over = true;
        for me in self.every_leg() {
            self.with_leg(now, me, Leg::stop);
        }
    }

    fn poll_output(&mut self, now: Instant, buffer: &mut Vec<u8>) -> Output<Report> {
        if let Some((link, purpose)) = self.wanted.pop() {
            let (transport, remote, local_port) = (purpose.transport, purpose.remote, purpose.local_port);
            return Output::OpenLink { link, transport, remote, local_port };
        }
        if let Some(transmit) = self.endpoint.poll_transmit() {
            buffer.extend_from_slice(transmit.bytes);
            return Output::Sip { flow: transmit.flow, owner: transmit.owner };
        }
        if let Some(output) = self.streams.poll_output(buffer) {
            return output;
        }
        if let Some(report) = self.reports.pop_front() {
            return Output::Report(report);
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
                    None => Output::Idle(self.endpoint.poll_timeout()),
                };
            }
            self.closing = self.links.drain();
            return self.closing.pop().map_or(Output::Done, Output::CloseLink);
        }
        let deadlines =
            [self.endpoint.poll_timeout(), self.streams.deadline(), self.timers.next_deadline(), self.next_start];
        Output::Idle(deadlines.into_iter().flatten().min())
    }
}

/// Attempts that start in one turn at most.
const STARTS_A_TURN: usize = 1000;
/// Expiry asked for by standing registrations, seconds.
const DEFAULT_EXPIRES: u32 = 300;
/// Number of standing registrations for the evidence: nobody's.
const STANDING_OWNER: u64 = 0;

/// Accounts that stay registered on one worker: as many as attempts may need at the same time.
fn standing_accounts(plan: &Plan, (index, workers): (u64, u64)) -> usize {
    let needed = crate::scenario::compile::concurrency(plan).unwrap_or_else(|| plan.safety.max_concurrent.into());
    (needed / workers + u64::from(index < needed % workers)).max(1) as usize
}

fn fault_of(fault: LinkFault) -> TransportFault {
    match fault {
        LinkFault::Refused => TransportFault::Refused,
        LinkFault::Unreachable => TransportFault::Unreachable,
        LinkFault::Broken => TransportFault::Tcp,
    }
}

/// Number of a leg for the endpoint and the evidence; never 0.
fn owner_of(n: u64, actor: u8) -> u64 {
    n << 8 | u64::from(actor)
}

/// Whom an event is about, and whether nothing more will come of it.
fn subject(event: Event) -> Option<(Handle, bool)> {
    Some(match event {
        Event::Provisional { session, .. }
        | Event::Answered { session }
        | Event::AnsweredAfterCancel { session }
        | Event::Acknowledged { session }
        | Event::NotAcknowledged { session }
        | Event::Reinvited { session } => (session, false),
        Event::Refused { session, .. }
        | Event::Cancelled { session }
        | Event::ByeReceived { session }
        | Event::ByeAnswered { session, .. }
        | Event::LinkLost { session } => (session, true),
        Event::Registered { registration, .. } => (registration, false),
        Event::RegistrationFailed { registration, .. } | Event::Unregistered { registration, .. } => {
            (registration, true)
        }
        Event::OptionsAnswered { request, .. } => (request, true),
        Event::Invited { .. } | Event::RegisterReceived => return None,
    })
}

/// Legs of one attempt know of each other: which record is the other end, and whether an INVITE reached it.
fn share_facts(legs: &mut [Leg]) {
    let caller = legs.iter().position(|leg| leg.identity.role == Role::Caller);
    let callee = legs.iter().position(|leg| leg.identity.role == Role::Callee);
    let (Some(caller), Some(callee)) = (caller, callee) else { return };
    let invited = legs[callee].facts.moments.invite.is_some();
    if legs[caller].facts.moments.invite.is_some() {
        legs[caller].facts.far_leg_invited = Some(invited);
        legs[callee].facts.far_leg_invited = Some(invited);
    }
    if invited {
        legs[caller].identity.paired_with = Some(legs[callee].identity.call_id.clone());
        legs[callee].identity.paired_with = Some(legs[caller].identity.call_id.clone());
    }
}
