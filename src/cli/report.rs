//! `ringfleet report`: report.html again from a run's files, and delivery of what is spooled.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use super::exit;
use super::out::{self, note};
use super::run::credentials;
use super::screen;
use crate::measure::Window;
use crate::record::CallRecord;
use crate::report::{Summary, html};
use crate::sink;

/// How long a flush may take.
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) fn run(run_dir: &Path, flush: bool) -> anyhow::Result<u8> {
    let mut code = exit::PASS;
    if flush {
        match sink::flush(run_dir, &credentials(), &sink::Settings::default(), PATIENCE) {
            Ok(report) => {
                writeln!(out::stdout(), "{}", screen::counted(&report))?;
                if let Some(trouble) = screen::trouble_of(&report, run_dir) {
                    note!("ringfleet: {trouble}");
                }
                if report.counts.spooled > 0 {
                    code = exit::FAIL;
                }
            }
            Err(error) => {
                note!("ringfleet: {error}");
                return Ok(exit::USAGE);
            }
        }
    }
    let path = run_dir.join("summary.json");
    if flush && !path.exists() {
        writeln!(
            out::stdout(),
            "{} has no summary.json: that run did not come to its end, so there is no report",
            run_dir.display()
        )?;
        return Ok(code);
    }
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let summary: Summary =
        serde_json::from_str(&text).with_context(|| format!("{} is not a run's summary", path.display()))?;
    let windows: Vec<Window> = lines(&run_dir.join("windows.jsonl"))?.collect();
    // One after the other: a run may have millions.
    let failures = lines(&run_dir.join("calls.jsonl"))?.filter(CallRecord::is_failed);
    let failures: Vec<CallRecord> = failures.take(html::FAILURES_SHOWN).collect();
    let report = run_dir.join("report.html");
    fs::write(&report, html::render(&summary, &windows, &failures))
        .with_context(|| format!("cannot write {}", report.display()))?;
    writeln!(out::stdout(), "{}", report.display())?;
    Ok(code)
}

/// The values of a file with one JSON value in each line; a line that was cut off is left out.
fn lines<T: serde::de::DeserializeOwned>(path: &Path) -> anyhow::Result<impl Iterator<Item = T> + use<T>> {
    let file = fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let lines = BufReader::new(file).lines().map_while(Result::ok);
    Ok(lines.filter_map(|line| serde_json::from_str(&line).ok()))
}
