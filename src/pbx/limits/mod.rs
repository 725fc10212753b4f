//! Who may call. One place where a call asks all limits that concern it, [`Limits::enter`], and one where it gives back
//! what it got, [`Limits::leave`].
//!
//! A gate stands for one limit of the plan and counts by key: a trunk and the PBX as a whole have one count, the others
//! one for each account, source address or callee. The gates are asked in the order in which a call meets them on its
//! way: source, account, PBX, trunk, callee; within one first the ban, then the rate, then the places. The first
//! refusal is the answer, and a call takes a place either everywhere or nowhere. What a rate let pass it has counted,
//! though, as a meter at the edge that does not know what comes behind it.
//!
//! No timers: what time changes (places that come back, other people's calls, bans) is worked out when it is asked for.

mod ban;
mod places;
mod rate;
mod table;

use std::net::IpAddr;
use std::time::Instant;

use ban::Bans;
use places::Taken;
pub(super) use rate::Pace;
use table::Table;

use crate::scenario::lab::{CallLimit, LabPlan, Subject};
use crate::scenario::plan::Reject;
use crate::units::Random;

/// All limits on calls.
#[derive(Debug)]
pub(super) struct Limits {
    gates: Vec<Gate>,
    origin: Instant,
}

/// A call that wants to go on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask<'a> {
    /// Where it came from.
    pub(super) source: IpAddr,
    /// Who calls.
    pub(super) account: &'a str,
    /// Index of the trunk that it takes.
    pub(super) trunk: Option<usize>,
    /// Who is called, without the prefix of a trunk.
    pub(super) callee: &'a str,
}

/// The places that a call holds. They cannot be copied, so that they are given back once.
#[derive(Debug, Default)]
#[must_use = "places that are not given back are lost"]
pub(super) struct Held(Vec<(usize, Key)>);

/// By what a gate counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    One,
    Name(Box<str>),
    Address(IpAddr),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Source,
    Account,
    All,
    Trunk(usize),
    Callee,
}

/// One limit of the plan.
#[derive(Debug)]
struct Gate {
    scope: Scope,
    limit: CallLimit,
    taken: Table<Taken>,
    paces: Table<Pace>,
    bans: Bans,
    /// What other people's calls are drawn from.
    seed: u64,
}

impl Limits {
    pub(super) fn new(plan: &LabPlan, seed: u64, now: Instant) -> Self {
        let calls = &plan.calls;
        let before =
            [(Scope::Source, &calls.per_source), (Scope::Account, &calls.per_account), (Scope::All, &calls.all)];
        let before = before.into_iter().filter_map(|(scope, limit)| Some((scope, limit.as_ref()?)));
        let trunks = plan.trunks.iter().enumerate().map(|(index, trunk)| (Scope::Trunk(index), &trunk.limit));
        let callee = calls.per_callee.iter().map(|limit| (Scope::Callee, limit));
        let mut random = Random::new(seed);
        let gates = before.chain(trunks).chain(callee).map(|(scope, limit)| Gate::new(scope, limit, random.next_u64()));
        Self { gates: gates.collect(), origin: now }
    }

    /// Whether the call comes from an address that gets no response at all for the time being. That is known before
    /// anything else, as a firewall knows it.
    pub(super) fn ignores(&mut self, now: Instant, ask: &Ask<'_>) -> bool {
        self.gates.iter_mut().any(|gate| {
            let silent =
                gate.limit.ban.as_ref().is_some_and(|ban| ban.refuse.is_none() && ban.subject == Subject::Source);
            silent && gate.scope.key(ask).is_some() && gate.bans.hold(now, &Key::Address(ask.source))
        })
    }

    /// Takes a place for a call in every limit that concerns it, or says how it is refused: `None` without a response.
    pub(super) fn enter(&mut self, now: Instant, ask: &Ask<'_>) -> Result<Held, Option<Reject>> {
        for gate in &mut self.gates {
            if let Some(key) = gate.scope.key(ask) {
                gate.check(now, self.origin, key, ask)?;
            }
        }
        let held = self.gates.iter_mut().enumerate().filter_map(|(index, gate)| {
            let key = gate.scope.key(ask).filter(|_| gate.limit.places.is_some())?;
            gate.taken.entry(key.clone(), |_| false).take();
            Some((index, key))
        });
        Ok(Held(held.collect()))
    }

    /// A call has ended, in whatever way: its places come back.
    pub(super) fn leave(&mut self, now: Instant, held: Held) {
        for (index, key) in held.0 {
            let gate = &mut self.gates[index];
            if let (Some(places), Some(taken)) = (&gate.limit.places, gate.taken.get(&key)) {
                taken.advance(now, self.origin, gate.seed, places);
                taken.give_back(now, places.freed);
            }
        }
    }

    /// Another number of places for a trunk, from now on. False where the trunk does not limit calls.
    pub(super) fn set_trunk(&mut self, now: Instant, trunk: usize, limit: u32) -> bool {
        let gate = self.gates.iter_mut().find(|gate| gate.scope == Scope::Trunk(trunk));
        let Some(Gate { limit: CallLimit { places: Some(places), .. }, taken, seed, .. }) = gate else { return false };
        // What others took until now they took of the old number.
        for taken in taken.values_mut() {
            taken.advance(now, self.origin, *seed, places);
        }
        places.limit = limit;
        true
    }

    /// Places of all limits together that calls hold, or held and have not come back.
    pub(super) fn taken(&self, now: Instant) -> usize {
        self.gates.iter().flat_map(|gate| gate.taken.values()).map(|taken| taken.by_calls(now)).sum()
    }
}

impl Scope {
    /// By what the limit counts this call; `None` where the limit does not concern it.
    fn key(self, ask: &Ask<'_>) -> Option<Key> {
        match self {
            Self::Source => Some(Key::Address(ask.source)),
            Self::Account => Some(Key::Name(ask.account.into())),
            Self::All => Some(Key::One),
            Self::Trunk(index) => (ask.trunk == Some(index)).then_some(Key::One),
            Self::Callee => Some(Key::Name(ask.callee.into())),
        }
    }
}

impl Gate {
    fn new(scope: Scope, limit: &CallLimit, seed: u64) -> Self {
        let (taken, paces, bans) = Default::default();
        Self { scope, limit: limit.clone(), taken, paces, bans, seed }
    }

    /// Whether the gate lets a call pass; its rate counts the call if so.
    fn check(&mut self, now: Instant, origin: Instant, key: Key, ask: &Ask<'_>) -> Result<(), Option<Reject>> {
        let subject = self.limit.ban.as_ref().map(|ban| match ban.subject {
            Subject::Source => Key::Address(ask.source),
            Subject::Account => Key::Name(ask.account.into()),
        });
        if let (Some(ban), Some(subject)) = (&self.limit.ban, &subject)
            && self.bans.hold(now, subject)
        {
            return Err(ban.refuse.clone());
        }
        let passed = self.pass(now, origin, key);
        if let (Some(ban), Some(subject), Err(_)) = (&self.limit.ban, subject, &passed) {
            self.bans.strike(now, subject, ban);
        }
        passed.map_err(Some)
    }

    fn pass(&mut self, now: Instant, origin: Instant, key: Key) -> Result<(), Reject> {
        if let Some(rate) = &self.limit.rate {
            let pace = self.paces.entry(key.clone(), |pace| pace.is_idle(now, origin, rate.meter));
            if !pace.take(now, origin, rate.meter) {
                return Err(rate.refuse.clone());
            }
        }
        if let Some(places) = &self.limit.places {
            let taken = self.taken.entry(key, |taken| taken.is_idle(now));
            taken.advance(now, origin, self.seed, places);
            if taken.all() >= places.limit {
                return Err(places.refuse.clone());
            }
        }
        Ok(())
    }
}
