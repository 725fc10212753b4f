//! The judge against the truth: who was right, how late, how often it spoke.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use ringfleet::incident::{Change, Config, Incident, Judge, Label, Output, Scope};

use super::world::{Fault, INTERVAL_MS, Spot, World};

/// What one run came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Score {
    pub(crate) results: u64,
    /// CPU time inside the judge: the thread's, by the judge's share of the time that passed.
    pub(crate) judging: Duration,
    /// Faults that could be known, and that were told.
    pub(crate) knowable: u64,
    pub(crate) found: u64,
    /// Faults left out: nobody could know of them, or not which one it is.
    pub(crate) unknowable: u64,
    pub(crate) nested: u64,
    /// Incidents that were opened, and those without a fault.
    pub(crate) opened: u64,
    pub(crate) false_pages: u64,
    /// Of faults found: the scope at the first page, and in the end.
    pub(crate) scope_right: u64,
    pub(crate) scope_right_later: u64,
    pub(crate) ambiguous: u64,
    pub(crate) ambiguous_right: u64,
    /// Delays after a fault could be known, in probe intervals, sorted.
    pub(crate) delays: Vec<f64>,
    /// The same after an oracle with hindsight knew of it.
    pub(crate) after_hindsight: Vec<f64>,
    /// Of faults found: those that were told of exactly once.
    pub(crate) told_once: u64,
    /// Snapshots that say widespread with one agent failing, or of a fault of one agent.
    pub(crate) widespread_of_one: u64,
    pub(crate) repetitions: u64,
    /// Of each scope: faults that could be known, found, with the right scope.
    pub(crate) by_scope: BTreeMap<&'static str, [u64; 3]>,
    /// What went wrong, in words.
    pub(crate) notes: Vec<String>,
}

/// What is known of an incident while it is open.
struct Open {
    fault: Option<usize>,
}

#[derive(Default)]
struct Told {
    pages: u64,
    first: Option<(u64, bool)>,
    right_later: bool,
    /// Every change, for the notes.
    course: Vec<String>,
}

/// Runs a world for so many results.
#[expect(clippy::disallowed_methods, reason = "a bench times what it runs")]
pub(crate) fn run(seed: u64, results: u64, every: Option<f64>) -> Score {
    let mut world = World::new(seed, every);
    let base = Instant::now();
    let mut judge = Judge::new(Config::default(), base);
    let mut score = Score::default();
    let mut told: HashMap<usize, Told> = HashMap::new();
    let mut open: HashMap<String, Open> = HashMap::new();
    let mut timeout = base;
    let mut id = String::new();
    let (mut judging, begun, cpu) = (Duration::ZERO, Instant::now(), cpu_time());
    while world.results < results {
        let next = base + Duration::from_millis(world.next_at());
        let mut outputs = Vec::new();
        let at = timeout.min(next);
        let before = if timeout <= next {
            let before = Instant::now();
            judge.handle_timeout(at);
            before
        } else {
            let result = world.next();
            id.clear();
            std::fmt::Write::write_fmt(&mut id, format_args!("c-{}", world.results)).expect("memory");
            let sample = world.sample(&result, &id);
            let before = Instant::now();
            judge.handle_result(at, &sample);
            before
        };
        loop {
            match judge.poll_output() {
                Output::Timeout(next) => {
                    timeout = next;
                    break;
                }
                output => outputs.push(output),
            }
        }
        judging += before.elapsed();
        let now = (at - base).as_millis() as u64;
        for output in outputs {
            match output {
                Output::Reproduce(again) => {
                    score.repetitions += 1;
                    world.reproduce(again.id, now + again.after.as_millis() as u64, &again.labels);
                }
                Output::Changed(change, incident) => {
                    take(&mut score, &world, &mut told, &mut open, now, change, &incident);
                }
                Output::Timeout(_) => {}
            }
        }
    }
    score.judging = (cpu_time() - cpu).mul_f64(judging.as_secs_f64() / begun.elapsed().as_secs_f64());
    score.results = world.results;
    let end = world.next_at();
    for (at, fault) in world.faults.iter().enumerate() {
        sum_up(&mut score, &world, at, fault, told.get(&at), end);
    }
    score.delays.sort_by(f64::total_cmp);
    score.after_hindsight.sort_by(f64::total_cmp);
    score
}

/// What this thread has used: others may share the machine.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

fn sum_up(score: &mut Score, world: &World, at: usize, fault: &Fault, told: Option<&Told>, end: u64) {
    if fault.nested {
        score.nested += 1;
        return;
    }
    let Some(knowable) = fault.knowable else {
        score.unknowable += 1;
        return;
    };
    // The run may end before the judge had its two intervals.
    if told.is_none() && knowable + 3 * INTERVAL_MS > end {
        score.unknowable += 1;
        return;
    }
    score.knowable += 1;
    let row = score.by_scope.entry(Scope::name(scope_of(fault.spot.0))).or_default();
    row[0] += 1;
    let what = || {
        let near =
            |other: &&Fault| other.start < fault.end + 6 * INTERVAL_MS && fault.start < other.end + 6 * INTERVAL_MS;
        let near: Vec<String> = world.faults.iter().filter(near).map(|other| in_words(world, other)).collect();
        format!("fault {at}, knowable at {} s, of {}", knowable / 1000, near.join("; "))
    };
    let Some((told, (first, right))) = told.and_then(|told| Some((told, told.first?))) else {
        score.notes.push(format!("missed: {}", what()));
        return;
    };
    score.found += 1;
    row[1] += 1;
    row[2] += u64::from(right);
    score.scope_right += u64::from(right);
    score.scope_right_later += u64::from(right || told.right_later);
    if expected(world, fault).len() > 1 {
        score.ambiguous += 1;
        score.ambiguous_right += u64::from(right);
    }
    let delay = first.saturating_sub(knowable) as f64 / INTERVAL_MS as f64;
    score.delays.push(delay);
    let hindsight = fault.by_hindsight.map(|at| first.saturating_sub(at) as f64 / INTERVAL_MS as f64);
    score.after_hindsight.extend(hindsight);
    if delay > 2.0 {
        score.notes.push(format!("late by {delay:.1} intervals: {}", what()));
    }
    score.told_once += u64::from(told.pages == 1);
    if told.pages != 1 {
        score.notes.push(format!("told {} times: {}\n    {}", told.pages, what(), told.course.join("\n    ")));
    }
}

fn in_words(world: &World, fault: &Fault) -> String {
    let scope = scope_of(fault.spot.0);
    let nested = if fault.nested { " nested" } else { "" };
    let (name, severity, flaps) = (world.name(fault.spot), fault.severity, fault.flaps.unwrap_or(0) / 1000);
    let (start, end) = (fault.start / 1000, fault.end / 1000);
    format!("{:?} {scope} {name} {severity:.2} flaps {flaps} {start}–{end} s{nested}", fault.kind)
}

fn take(
    score: &mut Score,
    world: &World,
    told: &mut HashMap<usize, Told>,
    open: &mut HashMap<String, Open>,
    now: u64,
    change: Change,
    incident: &Incident,
) {
    let family = incident.symptom.family();
    let family = serde_json::to_value(family).expect("a name");
    let opens = matches!(change, Change::Opened | Change::Split);
    if opens && !open.contains_key(&incident.id) || incident.reopened > 0 && change == Change::Opened {
        let fault = fault_of(world, incident, &family, now);
        score.opened += u64::from(incident.reopened == 0);
        if fault.is_none() {
            score.false_pages += 1;
            let confidence = incident.confidence;
            score.notes.push(format!(
                "false page at {} s: {} {}, {} failures of {}, confidence {confidence:.4}",
                now / 1000,
                incident.place(),
                incident.symptom,
                incident.failures,
                incident.tested
            ));
        }
        open.insert(incident.id.clone(), Open { fault });
    }
    let Some(Open { fault }) = open.get(&incident.id) else { return };
    if incident.widespread {
        let of_one =
            fault.is_some_and(|fault| world.faults[fault].spot.0 == Label::Agent && !world.faults[fault].nested);
        if incident.agents_failing < 2 || of_one {
            score.widespread_of_one += 1;
            score.notes.push(format!("widespread: {} {}", incident.place(), incident.agents_failing));
        }
    }
    let Some(fault) = fault else { return };
    let right = is_right(world, &world.faults[*fault], incident);
    let entry = told.entry(*fault).or_default();
    if matches!(change, Change::Opened | Change::Split | Change::Widened | Change::Worsened) {
        entry.pages += 1;
    }
    if entry.first.is_none() && opens {
        entry.first = Some((now, right));
        let truth = &world.faults[*fault];
        if !right && !truth.nested {
            score.notes.push(format!(
                "scope: {} {} severity {:.2} was told as {} {:?} (at {} s, {} of {}, confidence {:.3})",
                scope_of(truth.spot.0),
                world.name(truth.spot),
                truth.severity,
                incident.place(),
                incident.undecided,
                now / 1000,
                incident.failures,
                incident.tested,
                incident.confidence
            ));
        }
    }
    entry.right_later |= right;
    entry.course.push(format!("{} s {} {} {}", now / 1000, incident.id, change.name(), incident.place()));
}

/// The fault that an incident is of: one of its family that is or was lately on and has its place, else calls in common.
fn fault_of(world: &World, incident: &Incident, family: &serde_json::Value, now: u64) -> Option<usize> {
    let on = |fault: &Fault| {
        fault.start <= now && now < fault.end + 5 * INTERVAL_MS && *family == serde_json::json!(fault.kind.name())
    };
    let faults = || world.faults.iter().enumerate().rev().take(60).filter(|(_, fault)| on(fault));
    let exact = faults().find(|(_, fault)| is_right(world, fault, incident));
    let places = places(incident);
    let touches = |fault: &Fault| {
        places.iter().any(|(scope, value)| {
            let label = Label::ALL.iter().find(|label| scope_of(**label) == unprobed(*scope));
            label.is_some_and(|label| world.meet(fault.spot, *label, value))
        })
    };
    exact.or_else(|| faults().find(|(_, fault)| touches(fault))).map(|(at, _)| at)
}

fn places(incident: &Incident) -> Vec<(Scope, String)> {
    if incident.scope != Scope::Undetermined {
        return vec![(incident.scope, incident.value.clone())];
    }
    incident.candidates.iter().map(|place| (place.scope, place.value.clone())).collect()
}

/// What has to be told: the place, or the pair where two have the same calls. An agent stands for its account and a
/// hotline for its only number (documented).
fn expected(world: &World, fault: &Fault) -> Vec<Spot> {
    let same = world.same_as(fault.spot);
    let has = |label: Label| same.iter().any(|(of, _)| *of == label);
    let counts = |(label, _): &Spot| match label {
        Label::Account => !has(Label::Agent),
        Label::Destination => !has(Label::Hotline),
        _ => true,
    };
    same.iter().filter(|spot| counts(spot)).copied().collect()
}

fn is_right(world: &World, fault: &Fault, incident: &Incident) -> bool {
    let expected = expected(world, fault);
    let mut wanted: Vec<(Scope, String)> =
        expected.iter().map(|spot| (scope_of(spot.0), world.name(*spot).to_owned())).collect();
    let places = places(incident);
    // Whether a site's fault is the probe's own: when all of its calls fail.
    let own = fault.severity >= 1.0 && !matches!(fault.kind.name(), "quality" | "latency");
    if expected.len() == 1 && expected[0].0 == Label::Site && own != (incident.scope == Scope::ProbeSite) {
        return false;
    }
    let mut told: Vec<(Scope, String)> = places.into_iter().map(|(scope, value)| (unprobed(scope), value)).collect();
    wanted.sort();
    told.sort();
    wanted == told
}

fn unprobed(scope: Scope) -> Scope {
    if scope == Scope::ProbeSite { Scope::Site } else { scope }
}

fn scope_of(label: Label) -> Scope {
    match label {
        Label::Agent => Scope::SingleAgent,
        Label::Account => Scope::Account,
        Label::Hotline => Scope::Hotline,
        Label::Destination => Scope::Destination,
        Label::Trunk => Scope::Trunk,
        Label::Gateway => Scope::Gateway,
        Label::Carrier => Scope::Carrier,
        Label::Codec => Scope::Codec,
        Label::Transport => Scope::Transport,
        Label::Site => Scope::Site,
        Label::Platform => Scope::Platform,
    }
}

impl Score {
    /// Adds the score of another run.
    pub(crate) fn add(&mut self, other: Self) {
        self.results += other.results;
        self.judging += other.judging;
        self.knowable += other.knowable;
        self.found += other.found;
        self.unknowable += other.unknowable;
        self.nested += other.nested;
        self.opened += other.opened;
        self.false_pages += other.false_pages;
        self.scope_right += other.scope_right;
        self.scope_right_later += other.scope_right_later;
        self.ambiguous += other.ambiguous;
        self.ambiguous_right += other.ambiguous_right;
        self.told_once += other.told_once;
        self.widespread_of_one += other.widespread_of_one;
        self.repetitions += other.repetitions;
        self.delays.extend(other.delays);
        self.delays.sort_by(f64::total_cmp);
        self.after_hindsight.extend(other.after_hindsight);
        self.after_hindsight.sort_by(f64::total_cmp);
        for (scope, row) in other.by_scope {
            let own = self.by_scope.entry(scope).or_default();
            own.iter_mut().zip(row).for_each(|(own, other)| *own += other);
        }
        self.notes.extend(other.notes);
    }

    /// Share of the faults that could be known that were told.
    pub(crate) fn recall(&self) -> f64 {
        share(self.found, self.knowable)
    }

    /// Share of the incidents that had a fault.
    pub(crate) fn precision(&self) -> f64 {
        1.0 - share(self.false_pages, self.opened)
    }

    /// Share of the faults found whose scope was right at once.
    pub(crate) fn scope_accuracy(&self) -> f64 {
        share(self.scope_right, self.found)
    }

    /// Share of the faults found that were told of exactly once.
    pub(crate) fn told_once(&self) -> f64 {
        share(self.told_once, self.found)
    }

    /// A percentile of the delays after a fault could be known, in probe intervals.
    pub(crate) fn delay(&self, percent: f64) -> f64 {
        percentile(&self.delays, percent)
    }

    /// Share of the faults that could be known that were told within two intervals; one that was missed was not.
    pub(crate) fn in_time(&self) -> f64 {
        share(in_time(&self.delays), self.knowable)
    }

    /// Results judged in a second.
    pub(crate) fn rate(&self) -> f64 {
        self.results as f64 / self.judging.as_secs_f64()
    }

    /// False pages in ten million results.
    pub(crate) fn false_pages_of_ten_million(&self) -> f64 {
        self.false_pages as f64 * 1e7 / self.results as f64
    }

    /// The score as the rows of a table.
    pub(crate) fn table(&self) -> String {
        let pct = |share: f64| format!("{:.2} %", 100.0 * share);
        let delays = |of: &dyn Fn(f64) -> f64| {
            [50.0, 90.0, 99.0, 100.0].map(|percent| format!("{:.2}", of(percent))).join(" / ")
        };
        let hindsight = share(in_time(&self.after_hindsight), self.after_hindsight.len() as u64);
        let rows = [
            ("results", self.results.to_string(), String::new()),
            ("faults that could be known", self.knowable.to_string(), "≥ 1,000".to_owned()),
            ("left out: nested / never knowable", format!("{} / {}", self.nested, self.unknowable), String::new()),
            ("recall", pct(self.recall()), String::new()),
            ("precision", pct(self.precision()), String::new()),
            ("detected ≤ 2 intervals after it can be known", pct(self.in_time()), "≥ 99 %".to_owned()),
            ("delay p50 / p90 / p99 / max, intervals", delays(&|percent| self.delay(percent)), "p99 ≤ 2".to_owned()),
            ("detected ≤ 2 intervals after an oracle with hindsight knows", pct(hindsight), String::new()),
            (
                "that delay p50 / p90 / p99 / max, intervals",
                delays(&|percent| percentile(&self.after_hindsight, percent)),
                String::new(),
            ),
            ("scope right at the first page", pct(self.scope_accuracy()), "≥ 98 %".to_owned()),
            ("scope right then or later", pct(share(self.scope_right_later, self.found)), String::new()),
            (
                "ambiguous truths told as the pair",
                format!("{} of {}", self.ambiguous_right, self.ambiguous),
                "all".to_owned(),
            ),
            (
                "false pages in 10 million results",
                format!("{:.2}", self.false_pages_of_ten_million()),
                "≤ 1".to_owned(),
            ),
            ("told exactly once", pct(self.told_once()), "≥ 99 %".to_owned()),
            ("widespread from one agent", self.widespread_of_one.to_string(), "0".to_owned()),
            ("repetitions asked for", self.repetitions.to_string(), String::new()),
            ("results judged in a second of CPU time", format!("{:.0}", self.rate()), "≥ 200,000".to_owned()),
        ];
        rows.iter().map(|(name, value, goal)| format!("| {name} | {value} | {goal} |\n")).collect()
    }

    /// Of each scope: faults that could be known, found, with the right scope at once.
    pub(crate) fn scopes(&self) -> String {
        let row =
            |(scope, [all, found, right]): (&&str, &[u64; 3])| format!("| {scope} | {all} | {found} | {right} |\n");
        self.by_scope.iter().map(row).collect()
    }
}

fn in_time(delays: &[f64]) -> u64 {
    delays.iter().filter(|delay| **delay <= 2.0).count() as u64
}

/// A percentile of delays that are sorted.
fn percentile(delays: &[f64], percent: f64) -> f64 {
    let at = ((delays.len() as f64 * percent / 100.0).ceil() as usize).max(1) - 1;
    delays.get(at).copied().unwrap_or(0.0)
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}
