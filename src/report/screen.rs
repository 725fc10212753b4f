//! The live screen of a run, and its one-line form where there is no terminal. Lines of text out: who owns the
//! terminal writes them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::measure::{Figure, Totals};
use crate::record::{CallRecord, Class};
use crate::units::is_steering;

use unicode_width::UnicodeWidthChar as _;

use super::headline::thousands;
use super::html::short;

/// What the screen shows: the run at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Name of the scenario.
    pub scenario: String,
    /// Name of the target.
    pub target: String,
    /// Since the start of the run.
    pub elapsed: Duration,
    /// When the last attempt starts, where the load says so.
    pub last_start: Option<Duration>,
    /// Attempts planned, where the load says so.
    pub planned: Option<u64>,
    /// Attempts that started.
    pub started: u64,
    /// Attempts that ended after an answer.
    pub answered: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Legs that ended, by class.
    pub classes: BTreeMap<Class, u64>,
    /// Attempts going on.
    pub concurrent: u64,
    /// Starts per second, over the last second.
    pub cps: f64,
    /// Starts per second of the last windows, oldest first.
    pub cps_history: Vec<f64>,
    /// Attempts going on at the end of the last windows, oldest first.
    pub concurrent_history: Vec<f64>,
    /// Response delay: median and 99th percentile.
    pub srd_ms: (Option<f64>, Option<f64>),
    /// Answer delay: median and 99th percentile.
    pub setup_ms: (Option<f64>, Option<f64>),
    /// Conversational quality: 10th percentile and median.
    pub mos_cq: (Option<f64>, Option<f64>),
    /// 99th percentile of late starts.
    pub late_ms: Option<f64>,
    /// Starts that were due and did not happen.
    pub dropped: u64,
    /// Starts that fell into a pause that the far side had asked for.
    pub held_back: u64,
    /// CPU of our workers over the last second, percent of one core.
    pub cpu_pct: Option<f64>,
    /// Datagrams lost in our own sockets.
    pub datagrams_lost: u64,
    /// 99th percentile of a worker's turn, ms.
    pub turn_ms: Option<f64>,
    /// The run was interrupted and hangs up what is still going on.
    pub hanging_up: bool,
}

impl Snapshot {
    /// Takes over what the totals know.
    pub fn count(&mut self, totals: &Totals) {
        let tally = &totals.tally;
        let pair = |figure, low, high| {
            let values = tally.figure(figure);
            (values.percentile(low), values.percentile(high))
        };
        self.planned = totals.planned;
        self.elapsed = totals.elapsed;
        self.dropped = totals.dropped;
        self.held_back = totals.back_off.held_back;
        self.answered = tally.legs().answered;
        self.failed = tally.legs().failed;
        self.classes.clone_from(tally.classes());
        self.srd_ms = pair(Figure::SrdMs, 50.0, 99.0);
        self.setup_ms = pair(Figure::SetupMs, 50.0, 99.0);
        self.mos_cq = pair(Figure::MosCq, 10.0, 50.0);
        self.late_ms = tally.figure(Figure::LateMs).percentile(99.0);
    }

    /// Share of the run that is behind us, 0–1: of the attempts, else of the time.
    fn progress(&self) -> Option<f64> {
        let ended = self.started.saturating_sub(self.concurrent) as f64;
        let attempts = self.planned.filter(|planned| *planned > 0).map(|planned| ended / planned as f64);
        let until = self.last_start.filter(|until| !until.is_zero());
        let time = until.map(|until| self.elapsed.as_secs_f64() / until.as_secs_f64());
        attempts.or(time).map(|share| share.clamp(0.0, 1.0))
    }

    fn faults(&self) -> Vec<(Class, u64)> {
        let mut faults: Vec<_> = self.classes.iter().map(|(class, n)| (*class, *n)).collect();
        faults.retain(|(class, _)| *class != Class::Ok);
        faults.sort_by_key(|(class, count)| (std::cmp::Reverse(*count), *class));
        faults
    }
}

/// The screen: at most `height` lines of at most `width` columns. What matters least is left out first.
pub fn render(snapshot: &Snapshot, width: usize, height: usize) -> Vec<String> {
    let mut lines = vec![title(snapshot, width), progress_line(snapshot, width), String::new()];
    lines.extend(rates(snapshot, width));
    lines.extend(delays(snapshot));
    lines.push(health(snapshot));
    let faults = snapshot.faults();
    if !faults.is_empty() {
        lines.push(String::new());
        let room = height.saturating_sub(lines.len()).max(1);
        lines.extend(fault_lines(&faults, room));
    }
    if height < lines.len() {
        lines.retain(|line| !line.is_empty());
    }
    lines.truncate(height);
    lines.into_iter().map(|line| cut(&line, width)).collect()
}

/// The run in one line, for logs and pipes.
pub fn line(snapshot: &Snapshot) -> String {
    let mut parts = vec![
        format!("{} {} started", clock(snapshot.elapsed), of_planned(snapshot.started, snapshot.planned)),
        format!("{:.1}/s", snapshot.cps),
        format!("{} up", thousands(snapshot.concurrent)),
        format!("{} answered", thousands(snapshot.answered)),
        format!("{} failed", thousands(snapshot.failed)),
    ];
    if let Some((class, count)) = snapshot.faults().first() {
        parts.push(format!("most {class} {}", thousands(*count)));
    }
    parts.push(format!("set-up p50 {} p99 {} ms", figure(snapshot.setup_ms.0), figure(snapshot.setup_ms.1)));
    parts.push(format!("late p99 {} ms", figure(snapshot.late_ms)));
    if snapshot.dropped > 0 {
        parts.push(format!("{} dropped", thousands(snapshot.dropped)));
    }
    if snapshot.held_back > 0 {
        parts.push(format!("{} held back", thousands(snapshot.held_back)));
    }
    if snapshot.hanging_up {
        parts.push("hanging up".to_owned());
    }
    parts.join("  ")
}

/// One attempt in one line, for screens and logs.
pub fn call_line(record: &CallRecord) -> String {
    let of = if record.is_code_of_registration() { " to REGISTER" } else { "" };
    let code = record.code.map_or_else(String::new, |code| format!(" {code}{of}"));
    let (from, to) = record.ends();
    let figure = |name: &str, value: Option<f64>, unit: &str| {
        value.map_or_else(String::new, |value| format!("  {name} {value:.1}{unit}"))
    };
    let mos = record.mos_cq.map_or_else(String::new, |mos| format!("  MOS-CQ {mos:.2}"));
    let recovery = record
        .recovery_from
        .as_ref()
        .map_or_else(String::new, |from| figure("back", record.recovery_ms, &format!(" ms after {from}")));
    format!(
        "{}  {} -> {}  {}{code}{}{}  audio {}{mos}{recovery}",
        record.call_id,
        from.unwrap_or("-"),
        to.unwrap_or("-"),
        record.class,
        figure("SRD", record.srd_ms, " ms"),
        figure("set-up", record.setup_ms, " ms"),
        record.audio,
    )
}

fn title(snapshot: &Snapshot, width: usize) -> String {
    let left = format!("ringfleet  {} → {}", snapshot.scenario, snapshot.target);
    let elapsed = clock(snapshot.elapsed);
    let right = match snapshot.last_start {
        _ if snapshot.hanging_up => format!("hanging up {} calls  {elapsed}", thousands(snapshot.concurrent)),
        Some(until) if until > snapshot.elapsed => format!("{elapsed}, last start at {}", clock(until)),
        _ => elapsed,
    };
    let gap = width.saturating_sub(length(&left) + length(&right)).max(2);
    format!("{left}{}{right}", " ".repeat(gap))
}

fn progress_line(snapshot: &Snapshot, width: usize) -> String {
    let counted = format!("{} started", of_planned(snapshot.started, snapshot.planned));
    let Some(progress) = snapshot.progress() else { return counted };
    let right = format!(" {:3.0} %  {counted}", progress * 100.0);
    let room = width.saturating_sub(length(&right)).min(60);
    format!("{}{right}", bar(progress, room))
}

/// A bar with eighths of a character.
fn bar(share: f64, width: usize) -> String {
    const PARTS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    let eighths = (share * (width * 8) as f64).round() as usize;
    let (full, part) = (eighths / 8, eighths % 8);
    let mut bar = "█".repeat(full);
    if full < width {
        bar.push(if part == 0 { '░' } else { PARTS[part] });
        bar.push_str(&"░".repeat(width - full - 1));
    }
    bar
}

fn rates(snapshot: &Snapshot, width: usize) -> Vec<String> {
    let room = width.saturating_sub(29).min(40);
    let calls = format!("{:.1}/s", snapshot.cps);
    let up = thousands(snapshot.concurrent);
    vec![
        format!("{:<14}{calls:<14}{}", "starts", spark(&snapshot.cps_history, room)),
        format!("{:<14}{up:<14}{}", "going on", spark(&snapshot.concurrent_history, room)),
        format!("{:<14}{:<14}failed {}", "answered", thousands(snapshot.answered), thousands(snapshot.failed)),
    ]
}

fn delays(snapshot: &Snapshot) -> Vec<String> {
    let millis = |name: &str, (p50, p99): (Option<f64>, Option<f64>)| {
        format!("{name:<14}{:<14}p99 {} ms", format!("p50 {} ms", figure(p50)), figure(p99))
    };
    let (p10, p50) = snapshot.mos_cq;
    vec![
        millis("response", snapshot.srd_ms),
        millis("set-up", snapshot.setup_ms),
        format!("{:<14}{:<14}p10 {}", "MOS-CQ", format!("p50 {}", mos(p50)), mos(p10)),
    ]
}

/// Our own machine at a glance.
fn health(snapshot: &Snapshot) -> String {
    let behind = snapshot.dropped > 0
        || snapshot.datagrams_lost > 0
        || snapshot.late_ms.is_some_and(|ms| ms > 100.0)
        || snapshot.turn_ms.is_some_and(|ms| ms > 20.0);
    let mut parts = vec![
        if behind { "BEHIND" } else { "ok" }.to_owned(),
        format!("late p99 {} ms", figure(snapshot.late_ms)),
        format!("dropped {}", thousands(snapshot.dropped)),
        format!("turn p99 {} ms", figure(snapshot.turn_ms)),
    ];
    parts.extend(snapshot.cpu_pct.map(|cpu| format!("cpu {cpu:.0} %")));
    if snapshot.datagrams_lost > 0 {
        parts.push(format!("sockets lost {}", thousands(snapshot.datagrams_lost)));
    }
    format!("{:<14}{}", "generator", parts.join("  "))
}

/// The most frequent faults in at most `room` lines; the last says how many are left out.
fn fault_lines(faults: &[(Class, u64)], room: usize) -> Vec<String> {
    let shown = if faults.len() > room { room.saturating_sub(1) } else { faults.len() };
    let mut lines: Vec<String> = faults[..shown]
        .iter()
        .map(|(class, count)| format!("{:>7}  {:<26}  {}", thousands(*count), class.name(), class.meaning()))
        .collect();
    let rest = &faults[shown..];
    if !rest.is_empty() {
        let count: u64 = rest.iter().map(|(_, count)| count).sum();
        lines.push(format!("{:>7}  in {} further classes", thousands(count), rest.len()));
    }
    lines
}

/// The last values as a line of blocks, scaled to the greatest of them.
fn spark(values: &[f64], width: usize) -> String {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let shown = &values[values.len().saturating_sub(width)..];
    let top = shown.iter().copied().fold(0.0, f64::max);
    let level = |value: f64| if top > 0.0 { ((value / top) * 7.0).round().clamp(0.0, 7.0) as usize } else { 0 };
    shown.iter().map(|value| LEVELS[level(*value)]).collect()
}

fn of_planned(started: u64, planned: Option<u64>) -> String {
    match planned {
        Some(planned) => format!("{} of {}", thousands(started), thousands(planned)),
        None => thousands(started),
    }
}

/// A figure with as many decimals as its size needs, or a dash where it is not known.
fn figure(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), short)
}

fn mos(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"))
}

/// `4:05`, `1:04:05`.
fn clock(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// Columns that a character takes on a terminal.
fn columns(c: char) -> usize {
    c.width().unwrap_or(0)
}

/// Columns that a text takes on a terminal.
pub fn length(text: &str) -> usize {
    text.chars().map(columns).sum()
}

/// What fits into `width` columns, with a mark where something is missing. Control characters of a name must not reach
/// the terminal.
fn cut(line: &str, width: usize) -> String {
    let clean: String = line.chars().map(|c| if is_steering(c) { '·' } else { c }).collect();
    if length(&clean) <= width {
        return clean;
    }
    let mut room = width.saturating_sub(1);
    let fits = |c: &char| {
        let fits = columns(*c) <= room;
        room = room.saturating_sub(columns(*c));
        fits
    };
    clean.chars().take_while(fits).chain((width > 0).then_some('…')).collect()
}

#[cfg(test)]
mod tests {
    use super::super::samples::{records, totals};
    use super::*;
    use crate::record::{Class, Direction};

    fn snapshot() -> Snapshot {
        let mut snapshot = Snapshot {
            scenario: "outbound-dial".into(),
            target: "lab".into(),
            started: 1_300,
            concurrent: 50,
            cps: 99.6,
            last_start: Some(Duration::from_secs(25)),
            turn_ms: Some(0.51),
            cps_history: vec![10.0, 50.0, 100.0],
            concurrent_history: vec![5.0, 25.0, 50.0],
            cpu_pct: Some(12.3),
            ..Snapshot::default()
        };
        snapshot.count(&Totals { planned: Some(2_500), ..totals(&records(10)) });
        snapshot
    }

    #[test]
    fn a_call_that_was_never_dialled_is_told_by_its_agent_and_has_no_code_of_its_own() {
        let mut record = records(1)[0].clone();
        (record.call_id, record.agent, record.class) = ("c-1".into(), Some("1026".into()), Class::TransportRefused);
        (record.from, record.to, record.code, record.invited) = (None, None, None, false);
        (record.srd_ms, record.setup_ms, record.mos_cq, record.audio) = (None, None, None, "unknown".into());
        assert_eq!(call_line(&record), "c-1  1026 -> -  transport.refused  audio unknown");
        (record.class, record.code) = (Class::MediaNoRelay, Some(200));
        assert_eq!(call_line(&record), "c-1  1026 -> -  media.no_relay 200 to REGISTER  audio unknown");
        (record.direction, record.from) = (Direction::Inbound, Some("0800".into()));
        assert_eq!(call_line(&record), "c-1  0800 -> 1026  media.no_relay 200 to REGISTER  audio unknown");
    }

    #[test]
    fn the_screen_shows_progress_rates_delays_health_and_faults() {
        let expected = "\
ringfleet  outbound-dial → lab                          0:10, last start at 0:25
█████████████████████████░░░░░░░░░░░░░░░░░░░░░░░░░  50 %  1,300 of 2,500 started

starts        99.6/s        ▂▅█
going on      50            ▂▅█
answered      10            failed 3
response      p50 24 ms     p99 30 ms
set-up        p50 205 ms    p99 210 ms
MOS-CQ        p50 4.25      p10 4.21
generator     ok  late p99 0 ms  dropped 0  turn p99 0.51 ms  cpu 12 %

      2  call.callee_busy            The called party is busy.
      1  call.timeout                No final response came in time.";
        assert_eq!(render(&snapshot(), 80, 24).join("\n"), expected);
    }

    #[test]
    fn the_screen_fits_any_terminal() {
        for (width, height) in [(80, 24), (40, 10), (20, 3), (1, 1), (0, 0), (300, 100)] {
            let lines = render(&snapshot(), width, height);
            assert!(lines.len() <= height, "{width}x{height}");
            assert!(lines.iter().all(|line| length(line) <= width), "{width}x{height}: {lines:#?}");
        }
    }

    #[test]
    fn wide_characters_count_as_two_columns() {
        assert_eq!(cut("台北線路", 8), "台北線路");
        assert_eq!(cut("台北線路", 6), "台北…");
        assert_eq!(cut("ab\u{1b}c", 4), "ab·c");
    }

    #[test]
    fn a_run_without_a_plan_shows_no_bar() {
        let endless = Snapshot { planned: None, last_start: None, ..snapshot() };
        assert_eq!(render(&endless, 80, 24)[1], "1,300 started");
    }

    #[test]
    fn a_generator_that_falls_behind_says_so() {
        let behind = Snapshot { dropped: 3, ..snapshot() };
        assert!(render(&behind, 80, 24).iter().any(|line| line.starts_with("generator     BEHIND")));
        assert!(line(&behind).ends_with("3 dropped"));
    }

    #[test]
    fn one_line_holds_the_run_for_a_log() {
        assert_eq!(
            line(&snapshot()),
            "0:10 1,300 of 2,500 started  99.6/s  50 up  10 answered  3 failed  most call.callee_busy 2  \
             set-up p50 205 p99 210 ms  late p99 0 ms"
        );
        assert!(line(&Snapshot::default()).contains("set-up p50 – p99 – ms"), "nothing is measured yet");
    }

    #[test]
    fn faults_that_find_no_room_are_summed_up() {
        let faults = [(Class::CallTimeout, 9), (Class::CallForbidden, 2), (Class::MediaNoise, 1)];
        let lines = fault_lines(&faults, 2);
        assert_eq!(lines[1], "      3  in 2 further classes");
        assert_eq!(fault_lines(&faults, 3).len(), 3);
    }

    #[test]
    fn names_cannot_send_escape_sequences_to_the_terminal() {
        let hostile = Snapshot { target: "\u{1b}[2Jlab".into(), ..snapshot() };
        assert!(render(&hostile, 80, 24).iter().all(|line| !line.contains('\u{1b}')));
    }
}
