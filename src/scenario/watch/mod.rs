//! What a watch file comes to once everything in it is checked and resolved.

mod alerts;
pub mod form;
mod preview;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;

pub use self::alerts::{Alerts, Chat, Heartbeat, How, LINK_WORDS, Notify, Only, Severity, Template};
use super::compile::accounts_at;
use super::lab::LabPlan;
use super::plan::{Plan, Step};
use super::text::Values;
use crate::pace::calendar::Check as Recurring;
use crate::pace::calendar::{Cadence, CatchUp, Maintenance, Overlap};
use crate::units::Secret;

/// A watch.
#[derive(Clone, Debug)]
pub struct Watch {
    /// Its name.
    pub name: String,
    /// What it is for, for people.
    pub description: String,
    /// `site` of every result.
    pub site: Option<String>,
    /// In which its days and minutes are.
    pub zone: TimeZone,
    /// Name of the zone.
    pub zone_name: String,
    /// What is checked.
    pub checks: Vec<Check>,
    /// When something is an incident, and who is told.
    pub alerts: Alerts,
    /// Where points go.
    pub influx: Option<Influx>,
    /// Where figures are scraped.
    pub metrics: Option<SocketAddr>,
    /// Where the page is.
    pub page: Option<Page>,
}

/// A check: a scenario whose attempts come again and again.
#[derive(Clone, Debug)]
pub struct Check {
    /// Its name, which no other has.
    pub name: String,
    /// One attempt of its scenario.
    pub plan: Arc<Plan>,
    /// The lab that has to be started for it.
    pub lab: Option<Arc<LabPlan>>,
    /// Each account of the pool is a line of its own.
    pub each_agent: bool,
    /// When it starts.
    pub cadence: Cadence,
    /// How much each start is put off at most.
    pub jitter: Duration,
    /// What becomes of a start while the one before is under way.
    pub overlap: Overlap,
    /// What becomes of starts that were missed.
    pub catch_up: CatchUp,
    /// When it does not start.
    pub maintenance: Vec<Maintenance>,
    /// Calls of each of its lines on one day.
    pub per_day: Option<u32>,
    /// Calls to the same number on one day, those of all checks together.
    pub per_number: Option<u32>,
    /// `site` of its results.
    pub site: Option<String>,
    /// Labels of its results where the call does not say them.
    pub labels: Labels,
    /// How often a failure is tried again before it counts.
    pub reproduce: u32,
    /// Indexes of checks that are made at once when this one has failed.
    pub controls: Vec<usize>,
}

/// Labels of results.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in the record")]
pub struct Labels {
    pub unit: Option<String>,
    pub hotline: Option<String>,
    pub trunk: Option<String>,
    pub carrier: Option<String>,
    pub gateway: Option<String>,
}

/// A database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Influx {
    /// With its names, as `--influx` takes it.
    pub url: String,
    /// Its token, where the file names one.
    pub token: Option<Secret>,
}

/// Where the page is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Its address.
    pub listen: SocketAddr,
    /// What a reader has to show.
    pub token: Option<Secret>,
}

/// A check of one agent: what the calendar knows.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Index of the account in the pool, where the line is of one account.
    pub account: Option<usize>,
    /// Its entry in the calendar.
    pub recurring: Recurring,
}

impl Watch {
    /// How often the calls of an agent come, those of all checks together, of the agents whose calls come most often. A day
    /// where every check comes by cron.
    pub fn interval(&self) -> Duration {
        let mut a_second: BTreeMap<_, f64> = BTreeMap::new();
        for check in &self.checks {
            let whose =
                check.plan.actors.first().map(|actor| (&actor.target.name, actor.pool.as_ref().map(|pool| &pool.name)));
            *a_second.entry(whose).or_default() += 1.0 / check.interval().as_secs_f64();
        }
        let most = a_second.into_values().fold(1.0 / DAY.as_secs_f64(), f64::max);
        Duration::from_secs_f64(1.0 / most)
    }

    /// How long it takes until every check has come once: the longest of their intervals, whoever calls. That of the agents
    /// ([`Watch::interval`]) where every check comes by cron.
    pub fn turn(&self) -> Duration {
        let every = self.checks.iter().filter_map(|check| match &check.cadence {
            Cadence::Every(every) => Some(*every),
            Cadence::Cron(_) => None,
        });
        every.max().unwrap_or_else(|| self.interval())
    }
}

const DAY: Duration = Duration::from_secs(24 * 3600);

impl Check {
    /// How often it comes for one agent.
    fn interval(&self) -> Duration {
        let turns = self.plan.actors.first().and_then(|actor| actor.pool.as_ref()).filter(|_| !self.each_agent);
        let turns = turns.map_or(1, |pool| u32::try_from(pool.accounts.len()).unwrap_or(u32::MAX));
        match &self.cadence {
            Cadence::Every(every) => every.saturating_mul(turns).min(DAY),
            Cadence::Cron(_) => DAY,
        }
    }

    /// Whether what it calls with is that of another: the same name, site, scenario, target and accounts. How often it comes, its
    /// labels and its controls may be others.
    pub fn calls_as(&self, other: &Self) -> bool {
        (&self.name, &self.site, &self.plan, &self.lab) == (&other.name, &other.site, &other.plan, &other.lab)
    }

    /// Whether its agents stay registered as those of another are: then what differs is what they do.
    pub fn registers_as(&self, other: &Self) -> bool {
        let stands = self.plan.actors.iter().any(|actor| actor.registered.stands());
        let of = |check: &Self| (check.name.clone(), check.site.clone(), check.lab.clone());
        stands && of(self) == of(other) && self.plan.registers_as(&other.plan)
    }

    /// Its lines: one, or one for each account.
    pub fn lines(&self) -> Vec<Line> {
        let pool = self.plan.actors.first().and_then(|actor| actor.pool.as_ref()).filter(|_| self.each_agent);
        match pool {
            None => vec![self.line(None, self.name.clone(), String::new())],
            Some(pool) => {
                let of = |(index, account): (usize, &super::plan::Account)| {
                    self.line(Some(index), format!("{}/{}", self.name, account.user), account.user.clone())
                };
                pool.accounts.iter().enumerate().map(of).collect()
            }
        }
    }

    /// Starts of all its lines on a day, at most.
    pub fn per_day(&self) -> u64 {
        let lines = self.lines().len() as u64;
        let of_line = match &self.cadence {
            Cadence::Every(every) => (86_400_000 / every.as_millis().max(1)) as u64,
            Cadence::Cron(cron) => cron.per_day().into(),
        };
        lines * self.per_day.map_or(of_line, |most| of_line.min(most.into()))
    }

    /// Starts of all its lines in an hour, at most.
    pub fn per_hour(&self) -> u64 {
        let lines = self.lines().len() as u64;
        let of_line = match &self.cadence {
            // A check that comes less often than hourly comes once in the hour that it comes in.
            Cadence::Every(every) => (3_600_000 / every.as_millis().max(1)).max(1) as u64,
            Cadence::Cron(cron) => cron.per_hour().into(),
        };
        lines * of_line
    }

    fn line(&self, account: Option<usize>, name: String, agent: String) -> Line {
        let recurring = Recurring {
            name: name.into(),
            agent,
            cadence: self.cadence.clone(),
            jitter: self.jitter,
            overlap: self.overlap,
            catch_up: self.catch_up,
            maintenance: self.maintenance.clone(),
            per_day: self.per_day,
            numbers: self.numbers(account),
            per_number: self.per_number,
        };
        Line { account, recurring }
    }

    /// Numbers that each of its attempts dials, as they are sent; those that differ from attempt to attempt are left out.
    pub fn numbers(&self, account: Option<usize>) -> Vec<Arc<str>> {
        let mut numbers = Vec::new();
        for (index, actor) in self.plan.actors.iter().enumerate() {
            let pool = actor.pool.as_ref().filter(|_| index == 0);
            let account = account.zip(pool).and_then(|(account, pool)| pool.accounts.get(account));
            for step in &actor.steps {
                let Step::Dial(dial) = step else { continue };
                if dial.number.text.uses_captured() {
                    continue;
                }
                let number = match account {
                    Some(account) => {
                        let render = |n: u8| {
                            let others = accounts_at(&self.plan, n.into());
                            let values =
                                Values { n: n.into(), account: Some(account), others: &others, ..Values::default() };
                            dial.number.text.render(&values)
                        };
                        Some(render(1)).filter(|number| *number == render(2))
                    }
                    None => dial.number.text.as_constant().map(str::to_owned),
                };
                let sent = number.map(|number| actor.target.final_number(&number, dial.trunk.as_deref()));
                numbers.extend(sent.map(Arc::from));
            }
        }
        numbers
    }
}
