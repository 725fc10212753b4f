//! What a plan would do, in words and figures, before anything is dialled: `ringfleet check`.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use super::compile::{accounts_at, concurrency};
use super::filled::Filled;
use super::plan::{Account, Actor, Dial, MediaMode, Plan, Step};
use super::text::Values;
use crate::pace::Schedule;
use crate::pace::search::Of;
use crate::units::masked;

/// What a plan would do.
#[derive(Clone, Debug, PartialEq)]
pub struct Preview {
    /// Attempts, where known.
    pub calls: Option<u64>,
    /// How they are started, in words.
    pub load: String,
    /// Highest rate, attempts per second, where the load fixes one.
    pub peak_rate: Option<f64>,
    /// Attempts at the same time that are needed at least, where known.
    pub concurrent: Option<u64>,
    /// RTP ports that this takes, two a leg with audio, or two a worker where its legs share them.
    pub rtp_ports: Option<u64>,
    /// Each actor's name, target and accounts.
    pub actors: Vec<String>,
    /// Numbers as they are sent, with their names, the first few.
    pub numbers: Vec<String>,
    /// How many different numbers there are among the attempts looked at.
    pub number_count: usize,
    /// Not every attempt was looked at.
    pub number_count_open: bool,
    /// Lines that the load fills, and when that is allowed.
    pub fills: Vec<String>,
    /// How long attempts are warm-up, where they are.
    pub warm_up: Option<String>,
    /// What has to hold.
    pub expectations: Vec<String>,
    /// What ends the run before its time.
    pub aborts: Vec<String>,
}

/// Attempts whose numbers are listed.
const LOOKED_AT: u64 = 100_000;
/// Numbers that are shown.
const SHOWN: usize = 8;

impl Preview {
    /// Looks at a plan.
    pub fn new(plan: &Plan) -> Self {
        let concurrent = concurrency(plan);
        let with_audio = |shared: bool| {
            let counts = move |actor: &&Actor| has_audio(actor) && actor.target.shared_media == shared;
            let legs = |cast: Range<usize>| plan.actors[cast].iter().filter(counts).count() as u64;
            plan.casts().into_iter().map(legs).max().unwrap_or_default()
        };
        let (legs, shared) = (with_audio(false), with_audio(true).min(1));
        let mut numbers = BTreeMap::new();
        let mut open = false;
        for actor in &plan.actors {
            for step in &actor.steps {
                if let Step::Dial(dial) = step {
                    open |= collect(plan, actor, dial, &mut numbers);
                }
            }
        }
        let show = |(number, name): (&String, &Option<String>)| {
            let number = if plan.mask_numbers { masked(number) } else { number.clone() };
            name.as_ref().map_or_else(|| number.clone(), |name| format!("{number} ({name})"))
        };
        Self {
            calls: plan.load.planned(),
            load: load(plan),
            peak_rate: plan.load.peak_rate().map(|rate| rate.get()),
            concurrent,
            rtp_ports: concurrent.map(|concurrent| (concurrent * legs + shared) * 2),
            actors: (0..plan.actors.len()).map(|actor| actor_line(plan, actor)).collect(),
            number_count: numbers.len(),
            number_count_open: open,
            numbers: numbers.iter().take(SHOWN).map(show).collect(),
            fills: plan.filled.iter().map(fills).collect(),
            warm_up: (!plan.warm_up.is_zero()).then(|| crate::units::Period(plan.warm_up).to_string()),
            aborts: plan.abort_when.iter().map(|abort| abort.text.clone()).collect(),
            expectations: plan.expect.iter().map(|expectation| expectation.text.clone()).collect(),
        }
    }
}

fn fills(filled: &Filled) -> String {
    filled.window().map_or_else(|| filled.what.clone(), |window| format!("{}, {window} only", filled.what))
}

fn has_audio(actor: &Actor) -> bool {
    actor.steps.iter().any(|step| match step {
        Step::Dial(dial) => dial.media == MediaMode::Audio,
        Step::Answer(answer) => answer.media == MediaMode::Audio,
        _ => false,
    })
}

/// Adds what a dial would send; tells whether there is more than was looked at.
fn collect(plan: &Plan, actor: &Actor, dial: &Dial, numbers: &mut BTreeMap<String, Option<String>>) -> bool {
    let one = [Account::default()];
    let accounts = actor.pool.as_ref().map_or(&one[..], |pool| &pool.accounts);
    let text = &dial.number.text;
    if text.uses_captured() {
        numbers.entry(text.to_string()).or_insert_with(|| dial.number.name.clone());
        return true;
    }
    let varies = text.as_constant().is_none();
    let planned = plan.load.planned().unwrap_or(accounts.len() as u64).max(1);
    let looked_at = if varies { planned.min(LOOKED_AT) } else { 1 };
    for (n, account) in (1..=looked_at).zip(accounts.iter().cycle()) {
        let others = accounts_at(plan, n as usize - 1);
        let number = text.render(&Values { n, account: Some(account), others: &others, ..Values::default() });
        let sent = actor.target.final_number(&number, dial.trunk.as_deref());
        numbers.entry(sent).or_insert_with(|| dial.number.name.clone());
    }
    varies && (plan.load.planned().is_none() || planned > looked_at)
}

fn load(plan: &Plan) -> String {
    let after = plan.load.stop.after.map(|after| format!(" for {}", crate::units::Period(after))).unwrap_or_default();
    match &plan.load.schedule {
        Schedule::OnDemand => "as calls come in".to_owned(),
        Schedule::OnCommand { .. } => "one whenever the watch says so".to_owned(),
        Schedule::Search(search) => {
            let (every, up_to) = (crate::units::Period(search.step_every), search.up_to);
            match search.of {
                Of::CallRate => {
                    let trial = crate::units::Period(search.trial);
                    format!("rates of up to {up_to}/s, each for {trial}, until one call fails; then the proof")
                }
                Of::ProvisionedExtensions => {
                    format!("one account every {every}, each alone, {up_to} at most; those refused again")
                }
                Of::ConcurrentCalls | Of::Registrations => {
                    format!("one more every {every} until one is refused, {up_to} at most; then the proof")
                }
            }
        }
        Schedule::Closed { concurrent: 1 } => format!("one after another{after}"),
        Schedule::Closed { concurrent } => format!("{concurrent} at the same time{after}"),
        Schedule::Open { ramps, .. } => {
            let drawn = if plan.load.is_random() { ", at random (Poisson)" } else { "" };
            match ramps.as_slice() {
                [only] if only.from == only.to => format!("at {}{after}{drawn}", only.to),
                ramps => {
                    let steps: Vec<String> = ramps.iter().map(ramp_text).collect();
                    format!("{}{after}{drawn}", steps.join(", then "))
                }
            }
        }
    }
}

fn ramp_text(ramp: &crate::pace::Ramp) -> String {
    let over = ramp.over.map(|over| crate::units::Period(over).to_string()).unwrap_or_default();
    if ramp.from == ramp.to {
        format!("{} for {over}", ramp.to)
    } else {
        format!("{} to {} over {over}", ramp.from, ramp.to)
    }
}

fn actor_line(plan: &Plan, index: usize) -> String {
    let actor = &plan.actors[index];
    let server = &actor.target.server;
    let at = match (actor.target.lab, server.port) {
        (true, _) => "started for the run".to_owned(),
        (false, Some(port)) => format!("{}:{port}", server.host),
        (false, None) => server.host.clone(),
    };
    let accounts = actor
        .pool
        .as_ref()
        .map_or_else(|| "no account".to_owned(), |pool| format!("{} accounts of `{}`", pool.accounts.len(), pool.name));
    let share = plan
        .kinds
        .as_ref()
        .map_or_else(String::new, |_| format!(", in {:.0} % of the attempts", 100.0 * plan.share_of(index)));
    format!("{} on {} ({at}), {accounts}{share}", actor.name, actor.target.name)
}

impl fmt::Display for Preview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = |figure: Option<u64>| figure.map_or_else(|| "not known beforehand".to_owned(), |n| n.to_string());
        for actor in &self.actors {
            writeln!(f, "  actor             {actor}")?;
        }
        writeln!(f, "  calls             {}, {}", known(self.calls), self.load)?;
        match self.peak_rate {
            Some(rate) => writeln!(f, "  peak rate         {rate}/s")?,
            None => writeln!(f, "  peak rate         as attempts end")?,
        }
        let least = if self.peak_rate.is_some() { "at least " } else { "" };
        writeln!(f, "  at the same time  {least}{}", known(self.concurrent))?;
        writeln!(f, "  RTP ports         {least}{}", known(self.rtp_ports))?;
        let more = if self.number_count > self.numbers.len() { ", …" } else { "" };
        let open = if self.number_count_open { " or more" } else { "" };
        match self.number_count {
            0 => writeln!(f, "  numbers           none are dialled")?,
            count => writeln!(f, "  numbers           {count}{open}: {}{more}", self.numbers.join(", "))?,
        }
        if let Some(warm_up) = &self.warm_up {
            writeln!(f, "  warm-up           {warm_up}: recorded, not judged")?;
        }
        for filled in &self.fills {
            writeln!(f, "  fills             {filled}")?;
        }
        for expectation in &self.expectations {
            writeln!(f, "  expects           {expectation}")?;
        }
        for abort in &self.aborts {
            writeln!(f, "  ends early when   {abort}")?;
        }
        Ok(())
    }
}
