//! The station that runs a plan: attempts start by the schedule, their legs do their steps, their records come out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use rustc_hash::FxHashMap;

use super::accounts::Accounts;
use super::leg::{Leg, LegRef, Phase, Tools};
use super::links::{Links, Wanted};
use super::standing::{Failure, Standing};
use super::start::{Next, Starts, share_of};
use crate::media::clock::NtpClock;
use crate::record::{Anchor, CallRecord, Identity, LocalFailure, Role, TransportFault};
use crate::scenario::plan::{Plan, Server, Step};
use crate::sip::endpoint::{self, Endpoint};
use crate::sip::flow::LinkId;
use crate::sip::token::Handle;
use crate::station::PortId;
use crate::station::streams::Streams;
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
    pub(super) config: Config,
    pub(super) starts: Starts,
    /// Pools, each once: actors that share one draw different accounts.
    pub(super) accounts: Vec<Accounts>,
    /// Index of each actor's pool.
    pub(super) pools: Vec<Option<usize>>,
    /// Accounts that stay registered, by actor.
    pub(super) standing: Vec<Option<Standing>>,
    /// The load waits for standing registrations.
    pub(super) preparing: bool,
    pub(super) endpoint: Endpoint,
    pub(super) streams: Streams,
    pub(super) links: Links,
    pub(super) wanted: Vec<Wanted>,
    pub(super) closing: Vec<LinkId>,
    pub(super) places: Vec<Place>,
    pub(super) free: Vec<u32>,
    pub(super) routes: FxHashMap<Handle, LegRef>,
    pub(super) ports: FxHashMap<PortId, LegRef>,
    pub(super) timers: Wheel<LegRef>,
    pub(super) next_start: Option<Instant>,
    /// When the message at hand arrived.
    pub(super) arrived: Option<Instant>,
    /// How a transport failed last.
    pub(super) fault: TransportFault,
    /// The scenario expects to hear its own audio.
    pub(super) reference_expected: bool,
    pub(super) reports: std::collections::VecDeque<Report>,
    pub(super) progress: Progress,
    /// No more attempts will start.
    pub(super) over: bool,
    /// Legs that hold their call open may end it.
    pub(super) letting_go: bool,
    /// Legs that wait for a call; some have gone on since.
    pub(super) awaiting: Vec<LegRef>,
    /// Legs that wait for a link; some have gone on since.
    pub(super) opening: FxHashMap<LinkId, Vec<LegRef>>,
}

#[derive(Debug, Default)]
pub(super) struct Place {
    pub(super) generation: u32,
    /// Index of the attempt, from 1; 0 where the place is free.
    pub(super) n: u64,
    pub(super) legs: Vec<Leg>,
    pub(super) accounts_held: Vec<Option<usize>>,
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

    pub(super) fn start_due(&mut self, now: Instant) {
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

    pub(super) fn drop_start(&mut self, k: u64) {
        self.progress.dropped += 1;
        self.reports.push_back(Report::Dropped { n: k + 1 });
    }

    /// A place for an attempt, with its legs and their accounts.
    pub(super) fn open_place(&mut self, n: u64, intended: Instant, now: Instant) -> u32 {
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

    pub(super) fn begin_legs(&mut self, now: Instant, place: u32) {
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
    pub(super) fn with_leg(&mut self, now: Instant, me: LegRef, act: impl FnOnce(&mut Leg, &mut Tools<'_>)) -> bool {
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
    pub(super) fn wake_waiting(&mut self, now: Instant, place: u32) {
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

    pub(super) fn end_attempt_if_over(&mut self, now: Instant, index: u32) {
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

    pub(super) fn report(&mut self, n: u64, mut legs: Vec<Leg>) {
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
    pub(super) fn let_go(&mut self, now: Instant) {
        for me in self.every_leg() {
            self.with_leg(now, me, |leg, tools| {
                if leg.phase == Phase::HoldingOpen {
                    leg.step_done(tools);
                }
            });
        }
    }

    pub(super) fn every_leg(&self) -> Vec<LegRef> {
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
}

/// Attempts that start in one turn at most.
const STARTS_A_TURN: usize = 1000;
/// Number of a leg for the endpoint and the evidence; never 0.
pub(super) fn owner_of(n: u64, actor: u8) -> u64 {
    n << 8 | u64::from(actor)
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
