//! `ringfleet sheet`: the incident sheet of one call of a run.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use super::{evidence, exit};
use crate::incident::{About, Numbers, Sheet};
use crate::report::Summary;

pub(super) fn run(run_dir: &Path, call_id: &str, json: bool, numbers: Numbers) -> anyhow::Result<u8> {
    let Some(record) = evidence::find(run_dir, call_id)? else {
        eprintln!("ringfleet: {} holds no record of a call `{call_id}`", run_dir.join("calls.jsonl").display());
        return Ok(exit::USAGE);
    };
    let about = about(run_dir, &record.target)?;
    let sheet = Sheet::of_call(&record, &about, evidence::files(run_dir, &record), numbers);
    if !json {
        println!("{sheet}");
    }
    println!("{}", serde_json::to_string_pretty(&sheet)?);
    Ok(exit::PASS)
}

/// What the run knows of a target. A run that was cut short has no summary: then it is missing on the sheet.
fn about(run_dir: &Path, target: &str) -> anyhow::Result<About> {
    let path = run_dir.join("summary.json");
    let Ok(text) = fs::read_to_string(&path) else { return Ok(About::default()) };
    let summary: Summary = serde_json::from_str(&text).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(summary.about.get(target).map(About::of).unwrap_or_default())
}
