//! What a run shows while it runs, and at its end: the live screen on a terminal, plain lines elsewhere.
//!
//! What stands on the screen is decided by `report::screen`; here it is put on stderr, in place, so that stdout keeps
//! the result alone.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use crossterm::cursor::MoveToPreviousLine;
use crossterm::queue;
use crossterm::style::Print;
use crossterm::terminal::{self, BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate};

use super::out::{note, say};
use crate::net::clock;
use crate::record::CallRecord;
use crate::report::{SinkCounts, SinkReport, Snapshot, Summary, Verdict, screen};
use crate::scenario::plan::Plan;

/// Time between two drawings on a terminal.
const DRAW_EVERY: Duration = Duration::from_millis(250);
/// Time between two progress lines where nobody looks at a terminal.
const PLAIN_EVERY: Duration = Duration::from_secs(10);
/// Runs of this many attempts or fewer show each of them.
const FEW: u64 = 20;

/// The terminal, or what stands for it.
pub(super) struct Screen {
    quiet: bool,
    terminal: bool,
    few: bool,
    last: Option<Instant>,
    /// What the last plain line said: started, going on, dropped, held back.
    told: Option<(u64, u64, u64, u64)>,
    /// Columns of each line that is drawn now, above the cursor.
    drawn: Vec<usize>,
}

impl Screen {
    pub(super) fn new(plan: &Plan, quiet: bool) -> Self {
        let few = plan.load.planned().is_some_and(|planned| planned <= FEW);
        let screen =
            Self { quiet, terminal: std::io::stderr().is_terminal(), few, last: None, told: None, drawn: Vec::new() };
        if !quiet && !screen.terminal {
            let target = plan.actors.first().map(|actor| actor.target.name.as_str()).unwrap_or_default();
            let planned = match plan.load.planned() {
                Some(planned) => format!("{planned} planned"),
                None if plan.load.search().is_some() => "until the limit is found and proved".to_owned(),
                None => "until stopped".to_owned(),
            };
            note!("{} on {target}: {planned}", plan.scenario);
        }
        screen
    }

    /// A leg has ended: runs of a few calls show each.
    pub(super) fn finished(&mut self, record: &CallRecord) {
        if self.quiet || !self.few {
            return;
        }
        self.wipe();
        note!("  {}", screen::call_line(record));
    }

    /// Something that happens once and whoever looks should know.
    pub(super) fn say(&mut self, text: &str) {
        if !self.quiet {
            self.wipe();
            note!("  {text}");
        }
    }

    /// Whether it is time to [`Screen::draw`]; a snapshot costs more than asking.
    pub(super) fn is_due(&mut self, now: Instant, elapsed: Duration) -> bool {
        let due = match (self.last, self.terminal) {
            (None, true) => true,
            (None, false) => elapsed >= PLAIN_EVERY,
            (Some(last), terminal) => now - last >= if terminal { DRAW_EVERY } else { PLAIN_EVERY },
        };
        due && !self.quiet
    }

    /// How far the run is.
    pub(super) fn draw(&mut self, snapshot: &Snapshot) {
        self.last = Some(clock::now());
        if !self.terminal {
            // Ten seconds in which nothing happened are no news: an idle far end must not fill a log.
            let state = (snapshot.started, snapshot.concurrent, snapshot.dropped, snapshot.held_back);
            if self.told != Some(state) || snapshot.concurrent > 0 {
                note!("{}", screen::line(snapshot));
                self.told = Some(state);
            }
            return;
        }
        let (width, height) = size();
        // A line as wide as the terminal would leave the cursor on its last character, and the last line of the
        // terminal is the cursor's: without it the screen would scroll.
        let lines = screen::render(snapshot, width.saturating_sub(1), height.saturating_sub(1));
        self.replace(&lines);
    }

    /// How the run stood at its end; on a terminal it stays above the result.
    pub(super) fn draw_last(&mut self, snapshot: &Snapshot) {
        if self.terminal && !self.quiet && !self.few {
            self.draw(snapshot);
        }
    }

    /// Draws `lines` over what is drawn, in one write between two marks that keep terminals from showing half of it.
    fn replace(&mut self, lines: &[String]) {
        let (width, height) = size();
        // After a resize a long line stands on several rows.
        let rows: usize = self.drawn.iter().map(|columns| columns.div_ceil(width.max(1)).max(1)).sum();
        let rows = rows.min(height.saturating_sub(1));
        let mut bytes = Vec::new();
        let done = frame(&mut bytes, rows as u16, lines).and_then(|()| std::io::stderr().write_all(&bytes));
        if done.is_err() {
            // Nobody can see it any more.
            self.quiet = true;
        }
        self.drawn = lines.iter().map(|line| screen::length(line)).collect();
    }

    /// What the run came to. That results are lost or wait, and that nothing can be said of the target, is said to whoever
    /// wants to hear nothing else, too.
    pub(super) fn end(&mut self, summary: &Summary, folder: &Path) {
        for sink in &summary.sinks {
            if let Some(trouble) = trouble_of(sink, folder) {
                self.wipe();
                note!("ringfleet: {trouble}");
            }
        }
        if self.quiet {
            match (&summary.generator.health.unwritten, summary.verdict) {
                (Some(error), _) => note!("ringfleet: results could not be kept, so the run was ended: {error}"),
                (None, Verdict::NotStarted | Verdict::GeneratorLimited) => note!("ringfleet: {}", summary.headline),
                _ => {}
            }
            return;
        }
        // The last picture of a long run stays above its result; of a few calls each has a line of its own.
        if self.few {
            self.wipe();
        }
        say!("{}", summary.headline);
        for expectation in &summary.expectations {
            let sign = if expectation.pass { "ok  " } else { "FAIL" };
            let actual = expectation.actual.as_ref().map_or_else(|| "not measured".to_owned(), ToString::to_string);
            say!("  {sign}  {}  ({actual})", expectation.text);
        }
        for line in summary.ice_servers.lines() {
            say!("  WARN  {line}");
        }
        for sink in &summary.sinks {
            say!("  {}", counted(sink));
        }
        say!("  {}", folder.join("report.html").display());
    }

    fn wipe(&mut self) {
        if !self.drawn.is_empty() {
            self.replace(&[]);
            // The next tick draws again.
            self.last = None;
        }
    }
}

/// Where the points of a sink are, in one line.
pub(super) fn counted(sink: &SinkReport) -> String {
    let SinkCounts { measured, written, spooled, rejected, dropped } = sink.counts;
    let dropped = if dropped > 0 { format!(" (of them {dropped} dropped)") } else { String::new() };
    format!("{}: {measured} measured, {written} written, {spooled} spooled, {rejected} rejected{dropped}", sink.name)
}

/// What somebody must do or know about a sink, if anything.
pub(super) fn trouble_of(sink: &SinkReport, folder: &Path) -> Option<String> {
    let SinkCounts { spooled, rejected, dropped, .. } = sink.counts;
    let folder = folder.display();
    let mut told = Vec::new();
    if dropped > 0 {
        told.push(format!("{dropped} points were dropped, as no disk took them"));
    }
    if rejected > dropped {
        let refused = rejected - dropped;
        told.push(format!("{refused} points were refused and stand in {folder}/spool/influxdb/rejected.lp"));
    }
    if spooled > 0 {
        told.push(format!("{spooled} points wait on disk: ringfleet report {folder} --flush delivers them"));
    }
    let error = sink.last_error.as_ref().map_or_else(String::new, |error| format!(" ({error})"));
    (!told.is_empty()).then(|| format!("{}: {}{error}", sink.name, told.join("; ")))
}

/// The bytes that put `lines` in the place of the `rows` above the cursor.
fn frame(bytes: &mut Vec<u8>, rows: u16, lines: &[String]) -> std::io::Result<()> {
    queue!(bytes, BeginSynchronizedUpdate)?;
    if rows > 0 {
        queue!(bytes, MoveToPreviousLine(rows))?;
    }
    for line in lines {
        queue!(bytes, Print(line), Clear(ClearType::UntilNewLine), Print("\r\n"))?;
    }
    queue!(bytes, Clear(ClearType::FromCursorDown), EndSynchronizedUpdate)
}

/// Columns and rows of the terminal.
fn size() -> (usize, usize) {
    let (width, height) = terminal::size().unwrap_or((80, 24));
    // Some terminals say 0 when they do not know.
    (usize::from(if width == 0 { 80 } else { width }), usize::from(if height == 0 { 24 } else { height }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(rows: u16, lines: &[&str]) -> String {
        let mut bytes = Vec::new();
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        frame(&mut bytes, rows, &lines).expect("memory takes every write");
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn what_is_lost_or_waits_in_a_sink_is_told_and_nothing_else() {
        let told = |counts, error: Option<&str>| {
            let report = SinkReport {
                name: "influxdb".into(),
                counts,
                last_error: error.map(str::to_owned),
                ..SinkReport::default()
            };
            trouble_of(&report, Path::new("run"))
        };
        let all = SinkCounts { measured: 9, written: 9, ..SinkCounts::default() };
        assert_eq!(told(all, Some("503")), None, "an outage that is over");
        let counts = SinkCounts { measured: 9, written: 1, spooled: 3, rejected: 5, dropped: 1 };
        assert_eq!(
            told(counts, Some("cannot connect")).as_deref(),
            Some(
                "influxdb: 1 points were dropped, as no disk took them; 4 points were refused and stand in \
                 run/spool/influxdb/rejected.lp; 3 points wait on disk: ringfleet report run --flush delivers them \
                 (cannot connect)"
            )
        );
    }

    #[test]
    fn a_frame_overwrites_the_last_line_by_line_and_clears_the_rest() {
        assert_eq!(text(0, &["a", "b"]), "\u{1b}[?2026ha\u{1b}[K\r\nb\u{1b}[K\r\n\u{1b}[J\u{1b}[?2026l");
        assert_eq!(text(2, &["c"]), "\u{1b}[?2026h\u{1b}[2Fc\u{1b}[K\r\n\u{1b}[J\u{1b}[?2026l");
        assert_eq!(text(1, &[]), "\u{1b}[?2026h\u{1b}[1F\u{1b}[J\u{1b}[?2026l");
    }
}
