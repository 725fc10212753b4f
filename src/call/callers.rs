//! The station that runs a plan: attempts start by the schedule, their legs do their steps, their records come out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

use super::accounts::{Accounts, Cast, Pick};
use super::back_off::{BackOff, Pause};
use super::command::Commanded;
use super::ended::Sample;
use super::hops::Hops;
use super::hushed::Hushed;
use super::leg::{Leg, LegRef, Phase, Tools};
use super::limit::LimitSearch;
use super::links::{Links, Wanted};
use super::report::{Counted, NotBegun, Progress, Report};
use super::side::Sides;
use super::standing::{Failure, Seats, Standing};
use super::start::{Next, Starts, share_of};
use super::step::registrar_of;
use crate::media::clock::NtpClock;
use crate::record::{Anchor, LocalFailure, TransportFailure, TransportFault};
use crate::scenario::plan::{Plan, Server, Step};
use crate::sip::endpoint::{self, Endpoint};
use crate::sip::flow::{Flow, LinkId};
use crate::sip::keep_alive::KeepAlives;
use crate::sip::locate::Located;
use crate::sip::registration::Registrar;
use crate::sip::sdp::crypto::KeySource;
use crate::sip::stun;
use crate::sip::token::Handle;
use crate::station::Rungs;
use crate::station::streams::Streams;
use crate::timer::Wheel;
use crate::units::{Random, Redacted};

/// How a station of callers is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// What to run.
    pub plan: Arc<Plan>,
    /// Where every server that the plan names is reached, the place to be tried first in front.
    pub servers: Vec<(Server, Located)>,
    /// A request that is not served where it went is tried at the server's other places (RFC 3263 §4.3).
    pub fail_over: bool,
    /// This worker's share of the attempts: number `.0` of `.1`.
    pub share: (u64, u64),
    /// When the load begins.
    pub start: Instant,
    /// No attempt may start from then on, where that is so: a line may be filled until then only.
    pub closes: Option<Instant>,
    /// Reads the calendar off the worker's clock.
    pub anchor: Anchor,
    /// The wall clock of RTCP.
    pub clock: NtpClock,
    /// What keys of SRTP are made from: of this worker alone, and unpredictable.
    pub secret: Redacted<[u8; 32]>,
    /// Our certificate of DTLS, where WebRTC is spoken.
    pub identity: Option<Arc<crate::webrtc::Identity>>,
    /// Name of the run: the beginning of every `call_id`.
    pub run_id: String,
    /// `site` of every record.
    pub site: Option<String>,
    /// `probe` of every record.
    pub probe: Option<String>,
    /// Legs of all workers whose seconds of media are reported, at the same time at most.
    pub watched_legs: u32,
    /// Of so many legs that did what is wanted, one is told whole; 1 or more. So is every failure, and the first that
    /// `each:` of the plan refuses.
    pub whole_every: u64,
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
    pub(super) seats: Seats,
    /// The registrar of each actor.
    pub(super) registrars: Vec<Arc<Registrar>>,
    /// The load waits for standing registrations.
    pub(super) preparing: bool,
    pub(super) back_off: BackOff,
    pub(super) random: Random,
    /// Records so far of what is of no attempt.
    pub(super) beside: u64,
    pub(super) endpoint: Endpoint,
    pub(super) key_source: KeySource,
    pub(super) streams: Streams<LegRef>,
    pub(super) links: Links,
    pub(super) hushed: Hushed,
    pub(super) sides: Sides,
    pub(super) hops: Hops,
    pub(super) keep_alives: KeepAlives,
    /// Flows that a ping goes out over, with the STUN transaction that it is.
    pub(super) pings: Vec<(Flow, Option<stun::Transaction>)>,
    pub(super) wanted: Vec<Wanted>,
    /// What was dialled and permitted, by actor: the same numbers come again and again.
    pub(super) permitted: Vec<FxHashSet<String>>,
    pub(super) closing: Vec<LinkId>,
    pub(super) places: Vec<Place>,
    pub(super) free: Vec<u32>,
    pub(super) routes: FxHashMap<Handle, LegRef>,
    pub(super) timers: Wheel<LegRef>,
    pub(super) next_start: Option<Instant>,
    /// When the message at hand arrived.
    pub(super) arrived: Option<Instant>,
    /// When there was something to do again, as last told.
    pub(super) idle_until: Option<Instant>,
    /// The turn in which the last standstill was noted.
    pub(super) looked_back: Option<Instant>,
    /// How a transport failed last.
    pub(super) fault: TransportFailure,
    /// How far the link has come that is told to be open or lost next.
    pub(super) climbed: Option<(LinkId, Rungs)>,
    /// The scenario expects to hear its own audio.
    pub(super) reference_expected: bool,
    pub(super) reports: std::collections::VecDeque<Report>,
    pub(super) sample: Sample,
    /// Legs that have ended since the last report, of which the figures are enough.
    pub(super) counted: Vec<Counted>,
    pub(super) progress: Progress,
    /// No more attempts will start.
    pub(super) over: bool,
    /// Legs that hold their call open may end it.
    pub(super) letting_go: bool,
    /// Legs that wait for a call; some have gone on since.
    pub(super) awaiting: Vec<LegRef>,
    /// Legs that wait for a link; some have gone on since.
    pub(super) opening: FxHashMap<LinkId, Vec<LegRef>>,
    /// The search for a limit, once the load has begun, where it is one.
    pub(super) limit: Option<Box<LimitSearch>>,
    /// Attempts that were asked for and have not started.
    pub(super) commands: std::collections::VecDeque<Commanded>,
    /// No more of them will come.
    pub(super) leaving: bool,
}

/// An attempt to begin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening {
    /// Its index, from 1.
    pub(super) n: u64,
    pub(super) intended: Instant,
    /// Whose account its first actor uses.
    pub(super) pick: Pick,
    /// It is a control call of the search for a limit.
    pub(super) control: bool,
}

impl Opening {
    /// One of the load.
    pub(super) fn of_load(n: u64, intended: Instant) -> Self {
        Self { n, intended, pick: Pick::Next, control: false }
    }
}

#[derive(Debug)]
pub(super) struct Place {
    pub(super) generation: u32,
    /// Index of the attempt, from 1; 0 where the place is free.
    pub(super) n: u64,
    /// The plan that the attempt began with, to its end; where the place is free, the newest as it became so.
    pub(super) plan: Arc<Plan>,
    /// The actor of the first leg.
    pub(super) first: u8,
    pub(super) legs: Vec<Leg>,
    pub(super) accounts_held: SmallVec<[Option<u32>; 2]>,
}

impl Place {
    fn free(plan: Arc<Plan>) -> Self {
        Self { generation: 0, n: 0, plan, first: 0, legs: Vec::new(), accounts_held: SmallVec::new() }
    }

    /// The leg of an actor.
    pub(super) fn index_of(&self, actor: u8) -> Option<usize> {
        actor.checked_sub(self.first).map(usize::from)
    }
}

impl Callers {
    /// A station whose load begins at [`Config::start`].
    pub fn new(mut config: Config, endpoint: endpoint::Config, seed: u64, now: Instant) -> Self {
        let endpoint = endpoint::Config { fails_over: config.fail_over, ..endpoint };
        let (first, step) = (config.share.0 as usize, config.share.1 as usize);
        let (accounts, pools) = Accounts::of_plan(&config.plan, first, step);
        let spacing = spacing_of(&config.plan, config.share);
        let registrars = config.plan.actors.iter().map(|actor| Arc::new(registrar_of(&actor.target))).collect();
        let watched = share_of(config.watched_legs.into(), config.share) as u32;
        Self {
            key_source: KeySource::new(config.secret.0),
            starts: Starts::of_plan(&config.plan, config.start, config.share, config.closes),
            accounts,
            pools,
            standing: Vec::new(),
            seats: Seats::new(spacing, now),
            registrars,
            preparing: false,
            back_off: BackOff::new(config.plan.honour_retry_after),
            random: Random::new(seed ^ 0xbac0),
            beside: 0,
            endpoint: Endpoint::new(endpoint, seed, now),
            streams: Streams::new(seed ^ 0x5eed, watched, config.identity.clone(), now),
            links: Links::default(),
            hushed: Hushed::default(),
            sides: Sides::default(),
            hops: Hops::new(std::mem::take(&mut config.servers), config.fail_over, config.plan.honour_retry_after),
            keep_alives: KeepAlives::new(seed ^ 0x5626, now),
            pings: Vec::new(),
            wanted: Vec::new(),
            permitted: vec![FxHashSet::default(); config.plan.actors.len()],
            closing: Vec::new(),
            places: Vec::new(),
            free: Vec::new(),
            routes: FxHashMap::default(),
            timers: Wheel::new(now),
            next_start: None,
            arrived: None,
            idle_until: None,
            looked_back: None,
            fault: TransportFault::Unreachable.into(),
            climbed: None,
            reference_expected: config.plan.expects_reference(),
            reports: std::collections::VecDeque::new(),
            sample: Sample::new(config.whole_every),
            counted: Vec::new(),
            progress: Progress::default(),
            over: false,
            letting_go: false,
            awaiting: Vec::new(),
            opening: FxHashMap::default(),
            limit: None,
            commands: std::collections::VecDeque::new(),
            leaving: false,
            config,
        }
        .prepared(now)
    }

    /// The load begins now, or once what it waits for has come.
    pub fn begin(&mut self, now: Instant) {
        if !self.preparing {
            self.starts.begin(now);
            self.next_start = Some(now);
        }
    }

    /// How far the station is.
    pub fn progress(&self) -> Progress {
        let media = self.streams.counts();
        let answered = self.hops.any_answered();
        Progress { media_legs: media.started, media_sampled: media.watched, answered, ..self.progress }
    }

    /// What belonged to nobody.
    pub fn counters(&self) -> endpoint::Counters {
        self.endpoint.counters()
    }

    // --- attempts -------------------------------------------------------------------------------------------------

    pub(super) fn start_due(&mut self, now: Instant) {
        if self.config.plan.load.search().is_some() {
            return self.search_on(now);
        }
        if self.waits_for_commands() {
            return self.start_commanded(now);
        }
        for _ in 0..STARTS_A_TURN {
            let paused = self.back_off.holds_attempts(now, &self.config.plan, self.starts.next_n());
            match self.starts.next(now, self.progress.in_progress, paused) {
                Next::Start(k, intended) => {
                    let ceiling = share_of(self.config.plan.safety.max_concurrent.into(), self.config.share);
                    if self.progress.in_progress >= ceiling {
                        self.drop_start(k, NotBegun::Late);
                    } else {
                        let place = self.open_place(&Opening::of_load(k + 1, intended));
                        self.begin_legs(now, place);
                    }
                }
                Next::Drop(k) => self.drop_start(k, NotBegun::Late),
                Next::HoldBack(k) => self.drop_start(k, NotBegun::HeldBack),
                Next::At(at) => {
                    self.next_start = Some(at);
                    return;
                }
                Next::Later => {
                    self.next_start = self.starts.end();
                    return;
                }
                over @ (Next::Over | Next::Closed) => {
                    if over == Next::Closed && !self.over {
                        self.reports.push_back(Report::Closed);
                    }
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

    pub(super) fn drop_start(&mut self, k: u64, why: NotBegun) {
        self.progress.dropped += u64::from(why == NotBegun::Late);
        self.reports.push_back(Report::Dropped { n: k + 1, why });
    }

    /// Another worker was told that the far side wants no calls for a while.
    pub fn handle_pause(&mut self, now: Instant, pause: Pause) {
        self.back_off.add(now, pause);
    }

    /// DNS was asked anew where a server (its index in [`Config::servers`]) is: new requests go there.
    pub fn handle_places(&mut self, server: usize, located: &Located) {
        self.hops.replace(server, located);
    }

    /// No name server answered when the places of a server, by its index, were asked for.
    pub fn handle_unanswered(&mut self, server: usize) {
        self.hops.handle_unanswered(server);
    }

    /// A place for an attempt, with its legs and their accounts.
    pub(super) fn open_place(&mut self, opening: &Opening) -> u32 {
        let Opening { n, intended, pick, control } = *opening;
        let plan = Arc::clone(&self.config.plan);
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place::free(Arc::clone(&plan)));
            self.places.len() as u32 - 1
        });
        let cast = if control { plan.control() } else { plan.cast(n) };
        let place = &mut self.places[index as usize];
        place.generation += 1;
        (place.n, place.first) = (n, cast.start as u8);
        place.legs.reserve_exact(cast.len());
        for index in cast {
            let (actor, pool, standing) = (&plan.actors[index], &self.pools[index], &mut self.standing[index]);
            let owned = actor.steps.iter().any(|step| matches!(step, Step::Register(_)));
            let other = actor.account_of.and_then(|other| place.legs.get(other.checked_sub(place.first.into())?));
            let account = match standing {
                _ if actor.account_of.is_some() => other.and_then(Leg::account),
                Some(standing) => standing.take(pick),
                None => pool.and_then(|pool| self.accounts[pool].acquire_as(owned, pick)),
            };
            // Each account has its address; a search goes out from the first.
            let source = if plan.load.search().is_some() { 0 } else { account.unwrap_or(n as usize) as u32 };
            let mut leg = Leg {
                account: account.map(|index| index as u32),
                source,
                registered: standing.is_some() && account.is_some(),
                ..Leg::default()
            };
            leg.facts.moments.intended = Some(intended);
            if actor.pool.is_some() && account.is_none() {
                match standing.as_ref().and_then(|standing| standing.failure.clone()) {
                    Some(Failure::Registrar(facts)) => leg.facts.registration = Some(Box::new(facts)),
                    Some(Failure::Local(fault)) => leg.facts.local_failure = Some(Box::new(fault)),
                    None => leg.facts.local_failure = Some(Box::new(LocalFailure::NoAccount)),
                }
            }
            place.legs.push(leg);
            // It is given back once, by whom it was drawn for.
            let drawn = account.filter(|_| actor.account_of.is_none());
            place.accounts_held.push(drawn.map(|account| account as u32));
        }
        place.plan = plan;
        self.progress.started += 1;
        self.progress.in_progress += 1;
        self.progress.peak = self.progress.peak.max(self.progress.in_progress);
        index
    }

    pub(super) fn begin_legs(&mut self, now: Instant, place: u32) {
        let Place { generation, first, ref legs, ref plan, .. } = self.places[place as usize];
        let plan = Arc::clone(plan);
        for actor in usize::from(first)..usize::from(first) + legs.len() {
            let leg = LegRef { place, generation, actor: actor as u8 };
            let waits = plan.actors[actor].when.is_some();
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
        let index = place.index_of(me.actor);
        let slot = index.and_then(|index| place.legs.get_mut(index));
        let Some(slot) = slot.filter(|leg| leg.phase != Phase::Done) else { return false };
        let leg = slot;
        let plan = &*place.plan;
        let held = leg.account().zip(self.pools[usize::from(me.actor)].map(|pool| &self.accounts[pool]));
        let login = leg.login.clone();
        let mut tools = Tools {
            now,
            config: &self.config,
            plan,
            at: self.arrived.unwrap_or(now),
            fault: &self.fault,
            reference_expected: self.reference_expected,
            actor: &plan.actors[usize::from(me.actor)],
            registrar: &self.registrars[usize::from(me.actor)],
            back_off: &mut self.back_off,
            endpoint: &mut self.endpoint,
            streams: &mut self.streams,
            links: &mut self.links,
            keep_alives: &mut self.keep_alives,
            hushed: &mut self.hushed,
            sides: &mut self.sides,
            closing: &mut self.closing,
            wanted: &mut self.wanted,
            permitted: &mut self.permitted,
            routes: &mut self.routes,
            hops: &mut self.hops,
            account: held.map(|(index, accounts)| accounts.get(index)),
            cast: Cast {
                first: place.first.into(),
                held: &place.accounts_held,
                pools: &self.pools,
                accounts: &self.accounts,
            },
            login: login.as_ref().or_else(|| held.and_then(|(index, accounts)| accounts.login(index))),
            clock: self.config.clock,
            key_source: &mut self.key_source,
            me,
            pool: self.pools[usize::from(me.actor)].unwrap_or(0),
            tab: tab_of(plan, me.actor),
            n: place.n,
            seed: plan.seed,
            letting_go: self.letting_go,
            owner: owner_of(place.n, me.actor),
        };
        let (before, refresh_before) = ((leg.phase, leg.link), leg.registrar_link());
        act(leg, &mut tools);
        if let Some(deadline) = leg.next_deadline().filter(|at| leg.armed.is_none_or(|armed| *at < armed)) {
            leg.armed = Some(deadline);
            self.timers.insert(deadline, me);
        }
        let (phase, link, refresh) = (leg.phase, leg.link, leg.registrar_link());
        if let Some(limit) = &mut self.limit
            && (before.0 != phase || leg.alive.is_some())
        {
            limit.note_leg(place.n, leg);
            self.next_start = Some(now);
        }
        match (phase, link) {
            _ if before == (phase, link) => {}
            (Phase::AwaitingCall, _) => self.awaiting.push(me),
            (Phase::OpeningLink, Some(link)) => self.opening.entry(link).or_default().push(me),
            _ => {}
        }
        if let Some(link) = refresh.filter(|link| refresh_before != Some(*link)) {
            self.opening.entry(link).or_default().push(me);
        }
        self.tell_seconds();
        self.wake_waiting(now, me.place);
        if phase == Phase::Done {
            self.end_attempt_if_over(now, me.place);
        }
        true
    }

    /// Actors that wait for another one's state begin when it is reached, or never.
    pub(super) fn wake_waiting(&mut self, now: Instant, place: u32) {
        use crate::scenario::plan::ActorState;
        let Place { generation, first, ref legs, ref plan, .. } = self.places[place as usize];
        let (first, parties) = (usize::from(first), legs.len());
        if parties < 2 {
            return;
        }
        let plan = Arc::clone(plan);
        for (index, actor) in plan.actors.iter().enumerate().skip(first).take(parties) {
            let Some(when) = &actor.when else { continue };
            let legs = &self.places[place as usize].legs;
            if legs.get(index - first).is_none_or(|leg| leg.phase != Phase::Waiting) {
                continue;
            }
            let Some(other) = when.actor.checked_sub(first).and_then(|other| legs.get(other)) else { continue };
            let reached = match when.state {
                ActorState::Registered => other.registered,
                ActorState::Answered => other.facts.moments.answered.is_some(),
                ActorState::Ended => other.phase == Phase::Done,
            };
            let me = LegRef { place, generation, actor: index as u8 };
            if reached {
                self.with_leg(now, me, |leg, tools| {
                    // It could not start before: only from now on is it late.
                    leg.facts.moments.intended = Some(now);
                    leg.phase = Phase::New;
                    leg.advance(tools);
                });
            } else if other.phase == Phase::Done {
                let (other, name) = (other.facts.clone(), &plan.actors[when.actor].name);
                self.with_leg(now, me, |leg, tools| leg.never_begin(tools, &other, name, when.state));
            }
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
                (0..place.legs.len() as u8).map(move |leg| LegRef {
                    place: index,
                    generation: place.generation,
                    actor: place.first + leg,
                })
            })
            .collect()
    }
}

/// Between two registrations of a worker's share, no faster than calls may start.
pub(super) fn spacing_of(plan: &Plan, share: (u64, u64)) -> Duration {
    Duration::from_secs_f64(share.1 as f64 / plan.safety.max_cps.max(1e-3))
}

/// Attempts that start in one turn at most.
const STARTS_A_TURN: usize = 1000;

/// Which of several connections of one account is that of an actor's legs: 0 for the first.
fn tab_of(plan: &Plan, actor: u8) -> u8 {
    if plan.actors[usize::from(actor)].account_of.is_some() { actor + 1 } else { 0 }
}

/// Number of a leg for the endpoint and the evidence; never 0.
pub(super) fn owner_of(n: u64, actor: u8) -> u64 {
    n << 8 | u64::from(actor)
}
