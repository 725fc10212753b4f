//! `watch:` files: checks that come again and again, and who is told what they show.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::notify::AlertsFile;
use super::scalar::Digits;
use crate::units::Period;

/// A watch: lines that are called for ever, and who is told when something is wrong with them.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "watch")]
pub struct WatchFile {
    /// Its name: letters, digits, `.`, `_` and `-`.
    #[schemars(regex(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"))]
    pub watch: String,
    /// What it is for, for people.
    pub description: Option<String>,
    /// Name of this site, a tag of every result.
    pub site: Option<String>,
    /// Time zone of crons, maintenance and the days of budgets, as `Asia/Taipei`. Default: UTC.
    pub timezone: Option<String>,
    /// What is checked, and how often.
    pub checks: Vec<CheckFile>,
    /// When no check starts.
    #[serde(default)]
    pub maintenance: Vec<MaintenanceFile>,
    /// What all checks together may call on one day.
    #[serde(default)]
    pub budget: BudgetFile,
    /// Who is told what, and how often.
    #[serde(default)]
    pub alerts: AlertsFile,
    /// Where results go, beside the folder of the watch.
    #[serde(default)]
    pub sinks: Vec<SinkFile>,
    /// The page that shows the lines now. Default: none.
    pub page: Option<PageFile>,
}

/// Something that is checked again and again: one attempt of a scenario each time.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "check")]
pub struct CheckFile {
    /// Its name, which no other check has. Its offset comes from it. Default: the scenario's.
    #[schemars(regex(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"))]
    pub name: Option<String>,
    /// The scenario file, relative to this one. It is one attempt: a scenario with a load of its own needs
    /// `set: { load.calls: 1 }`.
    pub scenario: String,
    /// Target instead of the scenario's own: `lab`, or a path relative to this file.
    pub target: Option<String>,
    /// Values instead of the scenario's, as `--set`: `{ number: "2000" }`.
    #[serde(default)]
    pub set: BTreeMap<String, Digits>,
    /// It comes once in each stretch of this length, 1s to 24h, at an offset of its own in it. Stands alone or `cron` does.
    pub every: Option<Period>,
    /// It comes in these minutes: minute, hour, day, month, weekday, as `*/5 8-18 * * mon-fri`; within the minute at an
    /// offset of its own.
    pub cron: Option<String>,
    /// Whose call it is: of the next account of the pool each time, or of each account, which makes it as many checks.
    /// Default: in_turn.
    #[serde(default)]
    pub agents: AgentsWord,
    /// Each start is put off by up to this, drawn anew; at most half of `every`, or 30s. Default: 0s.
    pub jitter: Option<Period>,
    /// What becomes of a start while the call before is still under way. Default: skip.
    #[serde(default)]
    pub overlap: OverlapWord,
    /// What becomes of starts that were missed: nobody ran, the machine slept, the clock was set. Default: none.
    #[serde(default)]
    pub catch_up: CatchUpWord,
    /// Name of the site that its calls go out from, where one probe stands at several: behind two uplinks, say, each a
    /// target with `local_addresses` of its own. Default: the `site` of the watch.
    pub site: Option<String>,
    /// Labels of its results where the call itself does not say them.
    #[serde(default)]
    pub labels: LabelsFile,
    /// How often a failure is tried again at once, with sockets and a registration of its own, before it counts: 0 to 3.
    /// One that passes then was a brief interruption. With 0 its calls are repeated for nothing else either. Default: 1.
    #[schemars(range(max = 3))]
    pub reproduce: Option<u32>,
    /// Checks that are made at once when this one has failed, so that it can be told who is hit: another agent, trunk,
    /// gateway or site.
    #[serde(default)]
    pub controls: Vec<String>,
    /// When it does not start, beside the maintenance of all.
    #[serde(default)]
    pub maintenance: Vec<MaintenanceFile>,
    /// What it may call on one day.
    #[serde(default)]
    pub budget: BudgetFile,
}

/// Whose call a check is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(title = "agents")]
pub enum AgentsWord {
    /// Of the next account of the pool each time.
    #[default]
    InTurn,
    /// Of each account of the pool: as many checks, each at an offset of its own.
    Each,
}

/// What becomes of a start while the call before is still under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(title = "overlap")]
pub enum OverlapWord {
    /// It is left out.
    #[default]
    Skip,
    /// It comes as soon as the call is over; of several one.
    QueueOne,
}

/// What becomes of starts that were missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(title = "catch_up")]
pub enum CatchUpWord {
    /// They are left out.
    #[default]
    None,
    /// One comes for all of them.
    One,
}

/// Labels of results: few values, names and never telephone numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "labels")]
pub struct LabelsFile {
    /// Organisation unit.
    pub unit: Option<String>,
    /// Hotline that is called.
    pub hotline: Option<String>,
    /// Trunk that the call takes.
    pub trunk: Option<String>,
    /// Carrier behind it.
    pub carrier: Option<String>,
    /// Gateway it goes through.
    pub gateway: Option<String>,
}

/// A time in which nothing starts: `{ cron: "0 2 * * sun", for: 2h }` again and again, or once `{ from: …, to: … }`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "maintenance")]
pub struct MaintenanceFile {
    /// The minutes in which it begins.
    pub cron: Option<String>,
    /// How long it lasts, up to 168h.
    #[serde(rename = "for")]
    pub duration: Option<Period>,
    /// When it begins, once: `2026-12-24T22:00` in the watch's time zone.
    pub from: Option<String>,
    /// When it ends.
    pub to: Option<String>,
    /// Why, for people.
    pub reason: Option<String>,
}

/// Calls on one day, at most; the day is that of the watch's time zone. Calls that reproduce a failure count too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "budget")]
pub struct BudgetFile {
    /// Calls. Default: unlimited.
    #[schemars(range(min = 1))]
    pub per_day: Option<u32>,
    /// Calls to the same number, those of all checks together. Default: unlimited.
    #[schemars(range(min = 1))]
    pub per_number: Option<u32>,
}

/// Where results go.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[schemars(title = "sink")]
pub enum SinkFile {
    /// InfluxDB 1.x, 2 or 3.
    Influxdb(InfluxFile),
    /// Figures to be scraped, at `/metrics`.
    Prometheus(PrometheusFile),
}

/// A database of InfluxDB: `org` and `bucket` for 2, `db` for 1.x and 3.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "influxdb")]
pub struct InfluxFile {
    /// As `http://127.0.0.1:8086`.
    pub url: String,
    /// Organisation (InfluxDB 2).
    pub org: Option<String>,
    /// Bucket (InfluxDB 2).
    pub bucket: Option<String>,
    /// Database (InfluxDB 1.x and 3).
    pub db: Option<String>,
    /// The write API, where the names do not tell it: v1, v2 or v3.
    pub api: Option<String>,
    /// Its token, `${NAME}` or `${file:PATH}`. Default: what INFLUX_TOKEN, or INFLUX_USERNAME and INFLUX_PASSWORD hold.
    pub token: Option<String>,
}

/// Where figures are scraped.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "prometheus")]
pub struct PrometheusFile {
    /// Address and port, as `127.0.0.1:9410`.
    pub listen: String,
}

/// The page that shows the lines now.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "page")]
pub struct PageFile {
    /// Address and port, as `127.0.0.1:8410`.
    pub listen: String,
    /// What a reader has to show, 16 characters or more, `${NAME}` or `${file:PATH}`; needed where the address is not of this
    /// machine alone.
    pub token: Option<String>,
}
