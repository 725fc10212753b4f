//! What is left in the spool of an earlier run: delivered, and its `summary.json` brought up to date.

use std::cell::RefCell;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;
use tracing::warn;

use super::courier::{Courier, Signals};
use super::influx::{Credentials, InfluxClient, InfluxTarget, TargetError};
use super::spool::{Destination, Spool, SpoolError, replace, spool_of};
use super::{Settings, SinkError, SinkReport};

/// Why the spool of a run folder cannot be delivered.
#[derive(Debug, thiserror::Error)]
pub enum FlushError {
    /// The run had no sink.
    #[error("{} has no spool: that run wrote to no database", .0.display())]
    NoSpool(PathBuf),
    /// Its `sink.json` names no usable target.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The spool or the client cannot be had.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The thread's runtime cannot be made.
    #[error("cannot start delivering: {0}")]
    Runtime(io::Error),
}

impl From<SpoolError> for FlushError {
    fn from(error: SpoolError) -> Self {
        Self::Sink(error.into())
    }
}

/// Delivers what the spool of `run_dir` holds, for at most `deadline`, and updates `sinks` in its `summary.json`.
/// Blocks. Where to is in the spool's `sink.json`; what opens it is not, so it is given.
pub fn flush(
    run_dir: &Path,
    credentials: &Credentials,
    settings: &Settings,
    deadline: Duration,
) -> Result<SinkReport, FlushError> {
    let dir = spool_of(run_dir);
    if !dir.join("sink.json").exists() {
        return Err(FlushError::NoSpool(run_dir.to_owned()));
    }
    let target = InfluxTarget::from_destination(&Destination::load(&dir)?, credentials.clone())?;
    let client = InfluxClient::new(&target, settings.time_outs)?;
    let spools = [RefCell::new(Spool::open(&dir, settings.max_bytes)?)];
    let signals = Signals::default();
    signals.close();
    let mut courier = Courier::new(client, target.url(), settings.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(FlushError::Runtime)?;
    // Late is no error: what is left stays in the spool, and the counts say so.
    let _ = runtime.block_on(async { timeout(deadline, courier.run(&spools, &signals)).await });
    let spool = spools[0].borrow();
    Ok(settle_summary(run_dir, &target.url(), &spool, courier.last_error.as_deref()))
}

/// Brings `sinks` of a run's `summary.json` up to date with its spool. What is neither on disk nor dropped was
/// written, so a kill between a delivery and this leaves nothing wrong for ever.
pub(super) fn settle_summary(run_dir: &Path, url: &str, spool: &Spool, error: Option<&str>) -> SinkReport {
    let mut report =
        SinkReport { name: "influxdb".into(), url: url.to_owned(), counts: spool.counts(), last_error: None };
    report.last_error = error.map(str::to_owned);
    let path = run_dir.join("summary.json");
    let Ok(text) = fs::read(&path) else {
        // The run was killed before it could sum up.
        return report;
    };
    let Ok(mut summary) = serde_json::from_slice::<Value>(&text) else {
        warn!(path = %path.display(), "summary.json is no JSON and stays as it is");
        return report;
    };
    let entry = summary.get_mut("sinks").and_then(Value::as_array_mut).and_then(|sinks| entry_of(sinks, url));
    if let Some(entry) = entry {
        settle_entry(entry, &mut report);
        let text = serde_json::to_vec_pretty(&summary).unwrap_or(text);
        if let Err(error) = replace(&path, &text) {
            warn!(path = %path.display(), %error, "summary.json cannot be brought up to date");
        }
    }
    report
}

fn entry_of<'a>(sinks: &'a mut [Value], url: &str) -> Option<&'a mut Value> {
    sinks.iter_mut().find(|sink| sink["name"] == "influxdb" && sink["url"] == url)
}

fn settle_entry(entry: &mut Value, report: &mut SinkReport) {
    let count = |name: &str| entry[name].as_u64().unwrap_or(0);
    let found = report.counts;
    let counts = &mut report.counts;
    counts.measured = count("measured");
    counts.dropped = count("dropped") + found.dropped;
    counts.rejected = found.rejected - found.dropped + counts.dropped;
    counts.written = counts.measured.saturating_sub(counts.spooled + counts.rejected);
    entry["written"] = json!(counts.written);
    entry["spooled"] = json!(counts.spooled);
    entry["rejected"] = json!(counts.rejected);
    entry["dropped"] = json!(counts.dropped);
    entry["last_error"] = json!(report.last_error);
}
