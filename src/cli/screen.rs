//! What a run shows while it runs, and at its end.

use std::io::IsTerminal as _;
use std::path::Path;
use std::time::{Duration, Instant};

use super::run::DRAW_EVERY;
use crate::measure::{Figure, Totals};
use crate::net::clock;
use crate::record::CallRecord;
use crate::report::Summary;
use crate::scenario::plan::Plan;

/// Lines between two progress lines where nobody looks at a terminal.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// The terminal, or what stands for it.
pub(super) struct Screen {
    quiet: bool,
    terminal: bool,
    few: bool,
    last: Option<Instant>,
    drawn: bool,
}

impl Screen {
    pub(super) fn new(plan: &Plan, quiet: bool) -> Self {
        let few = plan.load.planned().is_some_and(|planned| planned <= 20);
        let screen = Self { quiet, terminal: std::io::stderr().is_terminal(), few, last: None, drawn: false };
        if !quiet {
            let target = plan.actors.first().map(|actor| actor.target.name.as_str()).unwrap_or_default();
            let planned =
                plan.load.planned().map_or_else(|| "until stopped".to_owned(), |planned| format!("{planned} planned"));
            eprintln!("{} on {target}: {planned}", plan.scenario);
        }
        screen
    }

    /// A leg has ended: runs of a few calls show each.
    pub(super) fn finished(&mut self, record: &CallRecord) {
        if self.quiet || !self.few {
            return;
        }
        self.wipe();
        let code = record.code.map_or_else(String::new, |code| format!(" {code}"));
        let figure = |name: &str, value: Option<f64>, unit: &str| {
            value.map_or_else(String::new, |value| format!("  {name} {value:.1}{unit}"))
        };
        let mos = record.mos_cq.map_or_else(String::new, |mos| format!("  MOS-CQ {mos:.2}"));
        eprintln!(
            "  {}  {} -> {}  {}{code}{}{}  audio {}{mos}",
            record.call_id,
            record.from.as_deref().unwrap_or("-"),
            record.to.as_deref().unwrap_or("-"),
            record.class,
            figure("SRD", record.srd_ms, " ms"),
            figure("set-up", record.setup_ms, " ms"),
            record.audio,
        );
    }

    /// Whether it is time to show how far the run is.
    pub(super) fn is_due(&self, now: Instant, elapsed: Duration) -> bool {
        let every = if self.terminal { DRAW_EVERY } else { PLAIN_EVERY };
        let due = match self.last {
            None => self.terminal || elapsed >= every,
            Some(last) => now - last >= every,
        };
        due && !self.quiet
    }

    /// How far the run is.
    pub(super) fn draw(&mut self, elapsed: Duration, totals: &Totals, in_progress: u64, generator: (f64, u64)) {
        self.last = Some(clock::now());
        let legs = totals.tally.legs();
        let setup = totals.tally.figure(Figure::SetupMs).summary();
        let ms = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.0}"));
        let planned = totals.planned.map_or_else(String::new, |planned| format!("/{planned}"));
        let line = format!(
            "{:>5.0} s  done {}{planned}  in progress {in_progress}  answered {}  failed {}  set-up p50 {} p99 {} ms  \
             turn p99 {:.1} ms  dropped {}",
            elapsed.as_secs_f64(),
            legs.attempted,
            legs.answered,
            legs.failed,
            ms(setup.p50),
            ms(setup.p99),
            generator.0,
            generator.1,
        );
        if self.terminal {
            eprint!("\r\x1b[2K{line}");
            self.drawn = true;
        } else {
            eprintln!("{line}");
        }
    }

    /// What the run came to.
    pub(super) fn end(&mut self, summary: &Summary, folder: &Path) {
        if self.quiet {
            return;
        }
        self.wipe();
        println!("{}", summary.headline);
        for expectation in &summary.expectations {
            let sign = if expectation.pass { "ok  " } else { "FAIL" };
            let actual = expectation.actual.as_ref().map_or_else(|| "not measured".to_owned(), ToString::to_string);
            println!("  {sign}  {}  ({actual})", expectation.text);
        }
        for sink in &summary.sinks {
            println!(
                "  {}: {} measured, {} written, {} spooled, {} rejected",
                sink.name, sink.counts.measured, sink.counts.written, sink.counts.spooled, sink.counts.rejected
            );
        }
        println!("  {}", folder.join("report.html").display());
    }

    fn wipe(&mut self) {
        if std::mem::take(&mut self.drawn) {
            eprint!("\r\x1b[2K");
        }
    }
}
