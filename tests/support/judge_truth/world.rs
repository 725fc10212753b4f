//! The truth: a network of agents, trunks, gateways, carriers and sites, its calls, its background noise and the faults
//! that are put into it. It shares no code with the judge and knows only the type of a sample.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use jiff::Timestamp;
use ringfleet::incident::{Label, Labels, Sample};
use ringfleet::record::{Class, Retry};

use super::observer::{Background, Observer};

pub(crate) const AGENTS: usize = 200;
pub(crate) const INTERVAL_MS: u64 = 60_000;
const MINUTE: u64 = 60_000;
const TRUNKS: usize = 12;
/// Gateway and carrier of each trunk. gw-5 and c-4 have the same trunks, and gw-6 has one trunk only: such truths are
/// ambiguous.
const GATEWAYS: [usize; TRUNKS] = [0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5];
const CARRIERS: [usize; TRUNKS] = [0, 1, 2, 0, 1, 0, 2, 0, 1, 3, 3, 2];
/// Agents of each site; the last site has one only.
const SITES: [usize; 5] = [60, 50, 49, 40, 1];
const DESTINATIONS: usize = 10;
/// The last two hotlines have one number each.
const HOTLINES: [usize; DESTINATIONS] = [0, 0, 1, 1, 2, 2, 3, 3, 4, 5];
const CODECS: [&str; 3] = ["PCMA", "PCMU", "opus"];
const TRANSPORTS: [&str; 3] = ["udp", "tcp", "tls"];
/// No faults so long, and none of latency in the first day: there is no baseline yet.
const QUIET: u64 = 60 * MINUTE;
const DAY: u64 = 24 * 60 * MINUTE;
/// The same place fails again only so long after: sooner it would be the same incident.
const APART: u64 = 60 * MINUTE;
/// The oracle with hindsight is sure at 10^7 to 1: 0.999 against a prior of 1 in 10,000.
const SURE: f64 = 16.1;
/// How long an interruption lasts, ms, and which share of the background failures begins one.
pub(super) const INTERRUPTION: u64 = 20_000;
pub(super) const INTERRUPTIONS: f64 = 0.1;
/// What background failures are of.
const MIX: [Kind; 10] = [
    Kind::Line,
    Kind::Line,
    Kind::Line,
    Kind::Line,
    Kind::Capacity,
    Kind::Number,
    Kind::Audio,
    Kind::Quality,
    Kind::Quality,
    Kind::Identity,
];
/// Severities of faults that are not total, and the share of those that are.
const PARTIAL: (f64, f64) = (0.5, 0.85);
const TOTAL: f64 = 0.7;
/// Delays are log-normal, with this standard deviation of the logarithm; slow calls take so many times as long.
const SPREAD: f64 = 0.2;
const SLOW: f64 = 5.0;

/// A generator of its own (xorshift64*, Vigna 2016).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    fn below(&mut self, end: usize) -> usize {
        (self.unit() * end as f64) as usize
    }

    fn between(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * self.unit()
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }
}

/// What a fault does to calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Line,
    Identity,
    Capacity,
    Number,
    Audio,
    Quality,
    Latency,
}

impl Kind {
    pub(super) const ALL: [Self; 7] =
        [Self::Line, Self::Identity, Self::Capacity, Self::Number, Self::Audio, Self::Quality, Self::Latency];

    /// The name that the judge's families have in JSON.
    pub(crate) fn name(self) -> &'static str {
        ["line", "identity", "capacity", "number", "audio", "quality", "latency"][self as usize]
    }

    fn classes(self) -> &'static [(Class, u16)] {
        match self {
            Self::Line => &[(Class::CallNetworkFailed, 503), (Class::CallTimeout, 408), (Class::CallServerError, 500)],
            Self::Identity => &[(Class::CallForbidden, 403), (Class::RegCredentials, 403)],
            Self::Capacity => &[(Class::CallCongestion, 503)],
            Self::Number => &[(Class::CallNumberInvalid, 404), (Class::CallCalleeUnreachable, 480)],
            Self::Audio => &[(Class::MediaOneWay, 200), (Class::MediaNoRtp, 200)],
            // Half of the bad calls have a class, half a low MOS only.
            Self::Quality => &[(Class::MediaPoorNetwork, 200), (Class::Ok, 200)],
            Self::Latency => &[(Class::Ok, 200)],
        }
    }

    pub(super) fn class_count(self) -> usize {
        self.classes().len()
    }

    /// The share of the background failures that are of it.
    pub(super) fn share_of_noise(self) -> f64 {
        MIX.iter().filter(|kind| **kind == self).count() as f64 / MIX.len() as f64
    }

    /// How severe faults of it are, in six steps, each with its probability.
    pub(super) fn severities(self) -> [(f64, f64); 6] {
        let total = if self == Self::Latency { 0.0 } else { TOTAL };
        let partial = |step: f64| PARTIAL.0 + (PARTIAL.1 - PARTIAL.0) * (step + 0.5) / 5.0;
        let of = |step| (partial(step), (1.0 - total) / 5.0);
        [(1.0, total), of(0.0), of(1.0), of(2.0), of(3.0), of(4.0)]
    }

    /// Whether the call is set up all the same.
    fn sets_up(self) -> bool {
        matches!(self, Self::Audio | Self::Quality | Self::Latency)
    }
}

/// A place of the network: a label and which of its values.
pub(crate) type Spot = (Label, usize);

type Set = Vec<u64>;

const TYPICAL: usize = 20_032;

/// One call as it is placed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Call {
    at: u64,
    pub(crate) agent: usize,
    trunk: usize,
    destination: usize,
    codec: usize,
    /// The repetition that it is, and whether it goes on in the agent's round.
    reproduces: Option<u64>,
}

impl Call {
    pub(super) fn at(&self) -> u64 {
        self.at
    }
}

/// A fault that was put in.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) spot: Spot,
    pub(crate) kind: Kind,
    pub(crate) severity: f64,
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// Up and down in turns of so many ms.
    pub(crate) flaps: Option<u64>,
    /// Its calls are among those of another fault that is on at the same time (or the other way round), or both together
    /// look like a third one: which of them it is cannot be known.
    pub(crate) nested: bool,
    class: usize,
    /// The places that the very same calls have, its own included.
    pub(super) same: Vec<Spot>,
    /// What an oracle has seen that knows everything but whether the fault is there.
    evidence: f64,
    agents: Vec<usize>,
    observer: Observer,
    /// When that oracle knew, with hindsight.
    pub(crate) by_hindsight: Option<u64>,
    /// When it could be known.
    pub(crate) knowable: Option<u64>,
}

impl Fault {
    fn is_on(&self, at: u64) -> bool {
        let up = |turn: u64| (at - self.start) / turn % 2 == 1;
        (self.start..self.end).contains(&at) && !self.flaps.is_some_and(up)
    }
}

/// What came out of a call.
pub(crate) struct Result {
    pub(crate) at: u64,
    pub(crate) call: Call,
    class: Class,
    code: u16,
    mos: Option<f64>,
    srd: Option<f64>,
}

pub(crate) struct World {
    dice: Dice,
    noise: f64,
    noise_until: u64,
    queue: BinaryHeap<Reverse<Call>>,
    round: Vec<u64>,
    /// Brief interruptions: each agent's calls fail until then, and how.
    interrupted: Vec<(u64, Kind)>,
    /// What can be known of the background.
    background: Background,
    next_fault: u64,
    every: f64,
    pub(crate) faults: Vec<Fault>,
    active: Vec<usize>,
    names: Vec<Vec<String>>,
    /// Of each place, which of some typical calls go there, a bit for each.
    sets: Vec<Vec<Set>>,
    pub(crate) results: u64,
    /// Whether faults are put in at all.
    quiet: bool,
}

impl World {
    /// `every` is the mean time between faults in minutes; `None`: noise only.
    pub(crate) fn new(seed: u64, every: Option<f64>) -> Self {
        let mut dice = Dice::new(seed);
        let mut queue = BinaryHeap::new();
        for agent in 0..AGENTS {
            let at = dice.below(INTERVAL_MS as usize) as u64;
            queue.push(Reverse(Call { at, agent, trunk: 0, destination: 0, codec: 0, reproduces: None }));
        }
        let names = Label::ALL.iter().map(|label| (0..values(*label)).map(|at| name((*label, at))).collect()).collect();
        let mut world = Self {
            dice,
            noise: 0.01,
            noise_until: 0,
            queue,
            round: vec![0; AGENTS],
            interrupted: vec![(0, Kind::Line); AGENTS],
            background: Background::new(AGENTS, every.unwrap_or(60.0) * MINUTE as f64),
            next_fault: QUIET,
            every: every.unwrap_or(60.0) * MINUTE as f64,
            faults: Vec::new(),
            active: Vec::new(),
            names,
            sets: Vec::new(),
            results: 0,
            quiet: every.is_none(),
        };
        let calls: Vec<Call> = (0..TYPICAL).map(|at| world.place_call(at % AGENTS, 0)).collect();
        let word = |spot: Spot, calls: &[Call]| {
            calls.iter().enumerate().fold(0, |word, (bit, call)| word | u64::from(covers(spot, call)) << bit)
        };
        let set = |spot: Spot| calls.chunks(64).map(|calls| word(spot, calls)).collect();
        world.sets = Label::ALL.iter().map(|label| (0..values(*label)).map(|at| set((*label, at))).collect()).collect();
        world
    }

    /// When the next call ends.
    pub(crate) fn next_at(&self) -> u64 {
        self.queue.peek().expect("agents call for ever").0.at
    }

    /// The next result.
    pub(crate) fn next(&mut self) -> Result {
        let Reverse(mut call) = self.queue.pop().expect("agents call for ever");
        self.results += 1;
        self.turn(call.at);
        if call.reproduces.is_none() {
            let again = Call { at: call.at + INTERVAL_MS - 500 + self.dice.below(1000) as u64, ..call };
            self.queue.push(Reverse(again));
            let (at, agent) = (call.at, call.agent);
            call = self.place_call(agent, at);
        }
        self.result_of(call)
    }

    /// The judge asks for a call again.
    pub(crate) fn reproduce(&mut self, id: u64, at: u64, labels: &[(Label, String)]) {
        let index = |label: Label| {
            let wanted = labels.iter().find(|(of, _)| *of == label).map(|(_, value)| value.as_str());
            self.names[label as usize].iter().position(|name| Some(name.as_str()) == wanted).unwrap_or(0)
        };
        let [agent, trunk, destination] = [Label::Agent, Label::Trunk, Label::Destination].map(index);
        let codec = self.dice.below(CODECS.len());
        let at = at + 4_000 + self.dice.below(2_000) as u64;
        self.queue.push(Reverse(Call { at, agent, trunk, destination, codec, reproduces: Some(id) }));
    }

    /// The sample of a result.
    pub(crate) fn sample<'a>(&'a self, result: &'a Result, id: &'a str) -> Sample<'a> {
        let mut labels = Labels::default();
        for label in Label::ALL {
            // A call that is not set up has no codec.
            if *label != Label::Codec || result.mos.is_some() {
                let value = self.names[*label as usize][value_of(&result.call, *label)].as_str();
                labels = labels.with(*label, value);
            }
        }
        let up = result.mos.is_some();
        Sample {
            at: Timestamp::from_millisecond(1_700_000_000_000 + result.at as i64).expect("in range"),
            took: std::time::Duration::ZERO,
            labels,
            unit: Some(["sales", "support"][result.call.agent % 2]),
            class: result.class,
            failed: result.class != Class::Ok,
            code: Some(result.code),
            q850: None,
            poor: up.then_some(result.class == Class::MediaPoorNetwork),
            mos: result.mos,
            heard: up,
            srd_ms: result.srd,
            setup_ms: result.srd.map(|srd| 3.0 * srd),
            retry: Retry::None,
            reproduces: result.call.reproduces,
            control: false,
            call_id: id,
            sip_call_id: None,
        }
    }

    /// The places whose calls are the same as those of this one, itself included.
    pub(crate) fn same_as(&self, spot: Spot) -> Vec<Spot> {
        spots().filter(|other| self.set(*other) == self.set(spot)).collect()
    }

    pub(crate) fn name(&self, spot: Spot) -> &str {
        &self.names[spot.0 as usize][spot.1]
    }

    /// Whether a place has calls in common with the one of that name.
    pub(crate) fn meet(&self, one: Spot, label: Label, value: &str) -> bool {
        let at = self.names[label as usize].iter().position(|name| name == value);
        at.is_some_and(|at| self.set(one).iter().zip(self.set((label, at))).any(|(a, b)| a & b != 0))
    }

    fn set(&self, spot: Spot) -> &Set {
        &self.sets[spot.0 as usize][spot.1]
    }

    fn place_call(&mut self, agent: usize, at: u64) -> Call {
        self.round[agent] += 1;
        let trunk = (agent * 7 + self.round[agent] as usize * 5 + self.dice.below(3)) % TRUNKS;
        let (destination, codec) = (self.dice.below(DESTINATIONS), self.dice.below(CODECS.len()));
        Call { at, agent, trunk, destination, codec, reproduces: None }
    }

    /// Lets noise change, faults end and new ones begin.
    fn turn(&mut self, at: u64) {
        if at >= self.noise_until {
            self.noise = self.dice.between(0.005, 0.02);
            self.noise_until = at + 60 * MINUTE;
            self.background.forget_rate();
        }
        self.active.retain(|fault| at < self.faults[*fault].end);
        if !self.quiet && at >= self.next_fault {
            self.next_fault = at + (-self.dice.unit().ln() * self.every) as u64;
            self.begin_fault(at);
        }
    }

    fn begin_fault(&mut self, at: u64) {
        let label = Label::ALL[self.dice.below(Label::ALL.len())];
        let spot = (label, self.dice.below(values(label)));
        let kind = match self.dice.below(10) {
            0..4 => Kind::Line,
            other => Kind::ALL[1 + (other - 4) % 6],
        };
        let kind = if kind == Kind::Latency && at < DAY { Kind::Line } else { kind };
        // A codec is not known before the call is set up.
        let kind = if label == Label::Codec && !kind.sets_up() { Kind::Audio } else { kind };
        let same = self.same_as(spot);
        let recent = self.faults.iter().rev().take(40);
        if recent.clone().any(|fault| same.contains(&fault.spot) && fault.end + APART > at) {
            return;
        }
        let total = kind != Kind::Latency && self.dice.unit() < TOTAL;
        let severity = if total { 1.0 } else { self.dice.between(PARTIAL.0, PARTIAL.1) };
        let flaps = (self.dice.unit() < 0.05).then(|| (self.dice.between(1.5, 2.5) * INTERVAL_MS as f64) as u64);
        let end = at + (self.dice.between(10.0, 30.0) * INTERVAL_MS as f64) as u64;
        let nested = self.nests(spot, kind);
        for other in nested.iter().flatten() {
            self.faults[*other].nested = true;
        }
        let class = self.dice.below(kind.classes().len());
        self.active.push(self.faults.len());
        self.faults.push(Fault {
            spot,
            kind,
            severity,
            start: at,
            end,
            flaps,
            nested: nested.is_some(),
            class,
            same,
            evidence: 0.0,
            agents: Vec::new(),
            observer: Observer::default(),
            by_hindsight: None,
            knowable: None,
        });
    }

    /// Active faults that this one cannot be told apart from.
    fn nests(&self, spot: Spot, kind: Kind) -> Option<Vec<usize>> {
        let own = self.set(spot);
        let mut found = Vec::new();
        for at in &self.active {
            let other = &self.faults[*at];
            let both = || own.iter().zip(self.set(other.spot));
            let inside = both().all(|(a, b)| a & !b == 0) || both().all(|(a, b)| b & !a == 0);
            let union: Set = both().map(|(a, b)| a | b).collect();
            if inside || (other.kind == kind && spots().any(|third| *self.set(third) == union)) {
                found.push(*at);
            }
        }
        (!found.is_empty()).then_some(found)
    }

    fn result_of(&mut self, call: Call) -> Result {
        let at = call.at;
        let on: Vec<usize> =
            self.active.iter().copied().filter(|fault| covers(self.faults[*fault].spot, &call)).collect();
        let mut hit: Option<(Kind, usize)> = None;
        let mut order = on.clone();
        order.sort_by_key(|fault| self.faults[*fault].kind);
        for fault in order {
            let (kind, severity, class) =
                (self.faults[fault].kind, self.faults[fault].severity, self.faults[fault].class);
            if hit.is_none() && self.faults[fault].is_on(at) && self.dice.unit() < severity {
                // A fault shows itself in its main class, now and then in another.
                let classes = kind.classes().len();
                let other = self.dice.unit() < 0.2 || kind == Kind::Quality;
                hit = Some((kind, if other { self.dice.below(classes) } else { class }));
            }
        }
        if hit.is_none() {
            hit = self.noise_of(&call).map(|kind| (kind, self.dice.below(kind.classes().len())));
        }
        self.learn(&call, &on, hit.map(|(kind, _)| kind));
        let kind = hit.map(|(kind, _)| kind);
        let (class, code) = hit.map_or((Class::Ok, 200), |(kind, class)| kind.classes()[class]);
        let up = kind.is_none_or(Kind::sets_up);
        let bad = kind == Some(Kind::Quality);
        let mos = if bad { self.dice.between(1.5, 2.9) } else { 4.35 - (0.05 * self.dice.normal()).abs() };
        let hour = (at / (60 * MINUTE) % 24) as f64;
        let busy = 1.0 + 0.4 * (std::f64::consts::TAU * hour / 24.0).sin();
        let slow = if kind == Some(Kind::Latency) { SLOW } else { 1.0 };
        let srd = 200.0 * busy * slow * (SPREAD * self.dice.normal()).exp();
        if !self.quiet {
            let off = (srd / (200.0 * busy)).ln();
            let slow = (off * SLOW.ln() - SLOW.ln().powi(2) / 2.0) / SPREAD.powi(2);
            self.observe(call, hit, up.then_some(slow), &on);
        }
        Result { at, call, class, code, mos: up.then_some(mos), srd: up.then_some(srd) }
    }

    /// Transient failures, a tenth of them an interruption that hits the repetition as well.
    fn noise_of(&mut self, call: &Call) -> Option<Kind> {
        let (until, kind) = self.interrupted[call.agent];
        if call.at < until {
            return Some(kind);
        }
        let kind = MIX[self.dice.below(MIX.len())];
        let fails = self.dice.unit() < self.noise;
        if fails && self.dice.unit() < INTERRUPTIONS {
            self.interrupted[call.agent] = (call.at + INTERRUPTION, kind);
        }
        fails.then_some(kind)
    }

    /// What whoever knows the law of this world can learn of its faults.
    fn observe(&mut self, call: Call, shown: Option<(Kind, usize)>, slow: Option<f64>, on: &[usize]) {
        let (kind, class) = shown.map_or((None, 0), |(kind, class)| (Some(kind), class));
        let seen = self.background.see(call, kind, class, slow, on);
        for at in &self.active {
            let fault = &mut self.faults[*at];
            // Calls that another fault touches say nothing.
            if fault.nested || fault.knowable.is_some() || on.iter().any(|other| other != at) {
                continue;
            }
            let mut observer = std::mem::take(&mut fault.observer);
            if observer.see(*at, fault, &seen, &self.background) {
                fault.knowable = Some(call.at);
            } else {
                fault.observer = observer;
            }
        }
    }

    /// What an oracle learns that knows places, severities and the noise: the likelihood ratio of *it is there* against *only
    /// noise*, from calls that no other fault touches (Wald's sequential test).
    fn learn(&mut self, call: &Call, on: &[usize], hit: Option<Kind>) {
        let [fault] = on else { return };
        let fault = &mut self.faults[*fault];
        if fault.by_hindsight.is_some() {
            return;
        }
        let severity = fault.severity.min(0.99);
        match hit {
            Some(kind) if kind == fault.kind => {
                fault.evidence += ((severity + (1.0 - severity) * self.noise) / self.noise).ln();
                if !fault.agents.contains(&call.agent) {
                    fault.agents.push(call.agent);
                }
            }
            // A call that was not set up says nothing of its audio.
            Some(kind) if !kind.sets_up() => {}
            _ => fault.evidence = (fault.evidence + (1.0 - severity).ln()).max(0.0),
        }
        let several = fault.agents.len() >= 2 || fault.spot.0 == Label::Agent || values_of_agents(fault.spot) == 1;
        if fault.evidence >= SURE && several {
            fault.by_hindsight = Some(call.at);
        }
    }
}

/// The share of all faults that are of a kind and at a place.
pub(super) fn share_of_faults((label, _): Spot, kind: Kind) -> f64 {
    let of = |kind: Kind| if kind == Kind::Line { 0.4 } else { 0.1 };
    let share = match (label, kind) {
        // A codec is not known before the call is set up.
        (Label::Codec, Kind::Audio) => Kind::ALL.into_iter().filter(|kind| !kind.sets_up()).map(of).sum::<f64>() + 0.1,
        (Label::Codec, kind) if !kind.sets_up() => 0.0,
        (_, kind) => of(kind),
    };
    share / Label::ALL.len() as f64 / values(label) as f64
}

/// The places that a call has.
pub(super) fn spots_of(call: &Call) -> impl Iterator<Item = Spot> + use<> {
    let call = *call;
    Label::ALL.iter().map(move |label| (*label, value_of(&call, *label)))
}

/// How many agents a place has.
fn values_of_agents(spot: Spot) -> usize {
    (0..AGENTS)
        .filter(|agent| !matches!(spot.0, Label::Account | Label::Site) || agent_at(*agent, spot.0) == spot.1)
        .count()
}

pub(super) fn spots() -> impl Iterator<Item = Spot> {
    Label::ALL.iter().flat_map(|label| (0..values(*label)).map(|at| (*label, at)))
}

fn values(label: Label) -> usize {
    match label {
        Label::Agent => AGENTS,
        Label::Account => AGENTS - 20,
        Label::Hotline => 6,
        Label::Destination => DESTINATIONS,
        Label::Trunk => TRUNKS,
        Label::Gateway => 6,
        Label::Carrier => 4,
        Label::Codec => CODECS.len(),
        Label::Transport => TRANSPORTS.len(),
        Label::Site => SITES.len(),
        Label::Platform => 1,
    }
}

/// Forty agents share twenty accounts; the others have one each.
fn agent_at(agent: usize, label: Label) -> usize {
    match label {
        Label::Account => {
            if agent < 40 {
                agent / 2
            } else {
                agent - 20
            }
        }
        Label::Site => {
            let mut rest = agent * 67 % AGENTS;
            let site = SITES.iter().position(|size| {
                let here = rest < *size;
                rest = rest.saturating_sub(*size);
                here
            });
            site.expect("sites have all agents")
        }
        Label::Transport => agent * 13 % 7 % TRANSPORTS.len(),
        _ => agent,
    }
}

fn value_of(call: &Call, label: Label) -> usize {
    match label {
        Label::Agent | Label::Account | Label::Site | Label::Transport => agent_at(call.agent, label),
        Label::Hotline => HOTLINES[call.destination],
        Label::Destination => call.destination,
        Label::Trunk => call.trunk,
        Label::Gateway => GATEWAYS[call.trunk],
        Label::Carrier => CARRIERS[call.trunk],
        Label::Codec => call.codec,
        Label::Platform => 0,
    }
}

pub(super) fn covers(spot: Spot, call: &Call) -> bool {
    value_of(call, spot.0) == spot.1
}

fn name((label, at): Spot) -> String {
    match label {
        Label::Agent => format!("agent-{at}"),
        Label::Account => format!("account-{at}"),
        Label::Hotline => format!("hotline-{}", at + 1),
        Label::Destination => format!("0800{at:06}"),
        Label::Trunk => format!("t-{}", at + 1),
        Label::Gateway => format!("gw-{}", at + 1),
        Label::Carrier => format!("c-{}", at + 1),
        Label::Codec => CODECS[at].to_owned(),
        Label::Transport => TRANSPORTS[at].to_owned(),
        Label::Site => format!("site-{}", at + 1),
        Label::Platform => "prod".to_owned(),
    }
}
