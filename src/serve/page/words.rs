//! What stands on the page, section by section, as texts ready to be written. What is not known says so and is never 0.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::serve::view::{Failure, Hour, Incident, Last, Line, LineState, Sink, Status, View};

/// Lines that stand under what needs a look.
const FAILING: usize = 50;
/// Failed calls that are shown.
const FAILURES: usize = 25;
/// Starts that are shown.
const UPCOMING: usize = 10;
/// A check of more lines than this is folded up, and its lines come when they are asked for.
const OPEN_UP_TO: usize = 40;
/// What is older than this is written with its day.
const TODAY: SignedDuration = SignedDuration::from_hours(20);

/// Everything that the template writes.
#[derive(Debug, Serialize)]
pub(super) struct Page<'a> {
    title: String,
    status: &'a Status,
    /// The state in one sentence.
    headline: String,
    /// `good`, `bad` or `unsure`: a colour and a mark.
    mood: &'static str,
    mark: &'static str,
    as_of: Moment,
    started: Moment,
    stale: Option<String>,
    troubles: Vec<Trouble<'a>>,
    incidents: Vec<IncidentCard<'a>>,
    past: Vec<IncidentCard<'a>>,
    failing: Vec<Row<'a>>,
    failing_left_out: usize,
    groups: Vec<Group<'a>>,
    failures: Vec<FailureCard<'a>>,
    upcoming: Vec<Start<'a>>,
    sinks: Vec<SinkRow<'a>>,
}

/// A time for people and for machines.
#[derive(Debug, Serialize)]
struct Moment {
    text: String,
    iso: String,
}

#[derive(Debug, Serialize)]
struct Trouble<'a> {
    what: &'a str,
    since: Moment,
}

#[derive(Debug, Serialize)]
struct IncidentCard<'a> {
    of: &'a Incident,
    /// What it is: the finding, else the class.
    name: &'a str,
    since: Moment,
    /// How long it lasts, or lasted.
    lasts: String,
    closed: Option<Moment>,
    sure: String,
    /// Whether its last call is among those on the page.
    listed: bool,
}

/// A line of a table of lines.
#[derive(Debug, Serialize)]
struct Row<'a> {
    state: LineState,
    mark: &'static str,
    word: &'static str,
    name: &'a str,
    labels: String,
    /// Since when it is in this state, where that is worth a word.
    since: Option<String>,
    last: Option<LastCell<'a>>,
    left_out: Option<&'a str>,
    voice: Option<String>,
    grade: Option<&'a str>,
    took: Option<String>,
    hour: String,
    next: Option<Moment>,
}

#[derive(Debug, Serialize)]
struct LastCell<'a> {
    at: Moment,
    class: Option<&'a str>,
    code: Option<u16>,
    unmet: Option<&'a str>,
    call_id: &'a str,
    /// Whether it is among the failed calls below.
    listed: bool,
}

/// A check and its lines.
#[derive(Debug, Serialize)]
struct Group<'a> {
    check: &'a str,
    target: &'a str,
    words: String,
    mood: &'static str,
    mark: &'static str,
    open: bool,
    /// Where it stands with its lines, for who has no script.
    unfold: String,
    lines: String,
    /// Only where it is open: a thousand lines that nobody sees are no part of what is painted first.
    rows: Vec<Row<'a>>,
}

#[derive(Debug, Serialize)]
struct FailureCard<'a> {
    of: &'a Failure,
    at: Moment,
    who: String,
    again: &'static str,
    files: Vec<File<'a>>,
}

#[derive(Debug, Serialize)]
struct File<'a> {
    path: &'a str,
    name: &'a str,
}

#[derive(Debug, Serialize)]
struct Start<'a> {
    at: Moment,
    line: &'a str,
}

#[derive(Debug, Serialize)]
struct SinkRow<'a> {
    of: &'a Sink,
    written: String,
    waiting: String,
    rejected: String,
}

impl<'a> Page<'a> {
    /// `unfolded` are checks of many lines whose lines are asked for.
    pub(super) fn new(view: &'a View, silent: Option<Duration>, unfolded: &[String]) -> Self {
        let View { status, lines, failures, incidents, zone } = view;
        let write = Writer { now: status.at, zone: zone.clone().unwrap_or(TimeZone::UTC) };
        let shown = &failures[..failures.len().min(FAILURES)];
        let is_listed = |call_id: &str| shown.iter().any(|failure| failure.call_id == call_id);
        let cards = |open: bool| {
            let of = incidents.iter().filter(move |incident| incident.open == open);
            of.map(|incident| write.incident(incident, is_listed(&incident.last_call_id))).collect()
        };
        let row = |line: &'a Line| write.row(line, &is_listed);
        let wanting = |line: &&Line| matches!(line.state, LineState::Failing | LineState::Interrupted);
        let mut failing: Vec<&Line> = lines.iter().filter(wanting).collect();
        failing.sort_by_key(|line| line.state);
        let mood = mood(status);
        Self {
            title: title(status),
            status,
            headline: headline(status),
            mood,
            mark: mark(mood),
            as_of: write.moment(status.at),
            started: write.moment(status.started_at),
            stale: silent.map(|silent| {
                format!("The watch stands still, for {}: all of this is old.", lasting(silent.as_secs()))
            }),
            troubles: status
                .troubles
                .iter()
                .map(|trouble| Trouble { what: &trouble.what, since: write.moment(trouble.since) })
                .collect(),
            incidents: cards(true),
            past: cards(false),
            failing_left_out: failing.len().saturating_sub(FAILING),
            failing: failing.into_iter().take(FAILING).map(row).collect(),
            groups: groups(lines, row, unfolded),
            failures: shown.iter().map(|failure| write.failure(failure)).collect(),
            upcoming: view
                .upcoming(UPCOMING)
                .into_iter()
                .map(|(line, start)| Start { at: write.moment(start), line: &line.name })
                .collect(),
            sinks: status.sinks.iter().map(sink).collect(),
        }
    }
}

/// Writes times as they are read at this moment in this place.
struct Writer {
    now: Timestamp,
    zone: TimeZone,
}

impl Writer {
    fn moment(&self, at: Timestamp) -> Moment {
        let near = at.duration_since(self.now).abs() < TODAY;
        let civil = at.to_zoned(self.zone.clone());
        let text = civil.strftime(if near { "%H:%M:%S" } else { "%Y-%m-%d %H:%M" }).to_string();
        Moment { text, iso: at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string() }
    }

    fn lasting(&self, from: Timestamp, to: Option<Timestamp>) -> String {
        let to = to.unwrap_or(self.now);
        lasting(to.duration_since(from).as_secs().max(0).unsigned_abs())
    }

    fn row<'a>(&self, line: &'a Line, is_listed: &impl Fn(&str) -> bool) -> Row<'a> {
        let (mark, word) = match line.state {
            LineState::Failing => ("✗", "fails"),
            LineState::Interrupted => ("~", "was interrupted"),
            LineState::Unknown => ("?", "no result yet"),
            LineState::Ok => ("✓", "works"),
        };
        let wanted = matches!(line.state, LineState::Failing);
        let last = line.last.as_deref();
        Row {
            state: line.state,
            mark,
            word,
            name: &line.name,
            labels: labels(line),
            since: line
                .since
                .filter(|_| wanted)
                .map(|since| format!("since {} ({})", self.moment(since).text, self.lasting(since, None))),
            last: last.map(|last| LastCell {
                at: self.moment(last.ended_at),
                class: Some(last.class.as_str()).filter(|class| *class != "ok"),
                code: last.code.filter(|_| !last.code_is_local),
                unmet: last.unmet.as_deref(),
                call_id: &last.call_id,
                listed: is_listed(&last.call_id),
            }),
            left_out: line.left_out.as_ref().map(|left_out| left_out.why.as_str()),
            voice: last.and_then(|last| last.mos_cq.or(last.mos_lq)).map(|mos| format!("{mos:.2}")),
            grade: last.and_then(|last| last.grade.as_deref()),
            took: last.and_then(took),
            hour: hour(line.hour),
            next: line.next_start.map(|next| self.moment(next)),
        }
    }

    fn incident<'a>(&self, of: &'a Incident, listed: bool) -> IncidentCard<'a> {
        IncidentCard {
            name: of.finding.as_deref().unwrap_or(&of.class),
            since: self.moment(of.since),
            lasts: self.lasting(of.since, of.closed_at),
            closed: of.closed_at.map(|at| self.moment(at)),
            sure: format!("to {:.0} %", (100.0 * of.confidence).floor()),
            listed,
            of,
        }
    }

    fn failure<'a>(&self, of: &'a Failure) -> FailureCard<'a> {
        let ends = of.from.as_deref().or(of.agent.as_deref()).into_iter().chain(of.to.as_deref());
        let files = of.evidence.iter().map(|path| File { path, name: path.rsplit('/').next().unwrap_or(path) });
        FailureCard {
            at: self.moment(of.ended_at),
            who: ends.collect::<Vec<_>>().join(" → "),
            again: match of.reproduced {
                Some(true) => "failed again when it was repeated",
                Some(false) => "passed when it was repeated: a brief interruption",
                None if of.repeats => "called again, as calls of this agent had failed",
                None => "",
            },
            files: files.collect(),
            of,
        }
    }
}

fn title(status: &Status) -> String {
    let mark = mark(mood(status));
    match (status.incidents_open, status.lines.failing) {
        (0, 0) => format!("{mark} {}", status.watch),
        (0, failing) => format!("{mark} {failing} failing · {}", status.watch),
        (incidents, _) => format!("{mark} {} · {}", counted(incidents, "incident"), status.watch),
    }
}

fn headline(status: &Status) -> String {
    let lines = status.lines;
    let known = lines.total - lines.unknown;
    let mut parts = Vec::new();
    parts.push(match (lines.total, known, lines.failing) {
        (0, ..) => "There is no line".to_owned(),
        (total, 0, _) => format!("No result yet of {}", counted(total, "line")),
        (1, _, 0) => "The line works".to_owned(),
        (1, ..) => "The line fails".to_owned(),
        (_, known, 0) if lines.unknown == 0 => format!("All {known} lines work"),
        (total, known, 0) => format!("{known} of {total} lines work, the others have no result yet"),
        (total, _, failing) => format!("{failing} of {total} lines fail"),
    });
    if lines.interrupted > 0 {
        parts.push(format!("{} briefly interrupted", lines.interrupted));
    }
    if status.incidents_open > 0 {
        let wide = match status.incidents_widespread {
            0 => "",
            wide if wide == status.incidents_open => ", widespread",
            _ => ", some widespread",
        };
        parts.push(format!("{} open{wide}", counted(status.incidents_open, "incident")));
    }
    let away: Vec<&str> = status.sinks.iter().filter(|sink| !sink.up).map(|sink| sink.name.as_str()).collect();
    if !away.is_empty() {
        parts.push(format!("{} is away, its results wait on disk", away.join(" and ")));
    }
    parts.join("; ") + "."
}

fn mood(status: &Status) -> &'static str {
    let lines = status.lines;
    if lines.failing > 0 || status.incidents_open > 0 {
        "bad"
    } else if lines.interrupted + lines.unknown > 0
        || !status.troubles.is_empty()
        || status.sinks.iter().any(|sink| !sink.up)
        || lines.total == 0
    {
        "unsure"
    } else {
        "good"
    }
}

fn mark(mood: &str) -> &'static str {
    match mood {
        "good" => "✓",
        "bad" => "✗",
        _ => "!",
    }
}

/// Lines by their check, in the order of the file.
fn groups<'a>(lines: &'a [Line], row: impl Fn(&'a Line) -> Row<'a>, unfolded: &[String]) -> Vec<Group<'a>> {
    let of_check = lines.chunk_by(|one, other| one.check == other.check);
    of_check
        .map(|lines| {
            let count = |state| lines.iter().filter(|line| line.state == state).count();
            let all = [
                (count(LineState::Failing), "failing"),
                (count(LineState::Interrupted), "interrupted"),
                (count(LineState::Unknown), "without a result"),
                (count(LineState::Ok), "working"),
            ];
            let mood = match all {
                [(1.., _), ..] => "bad",
                [_, (0, _), (0, _), _] => "good",
                _ => "unsure",
            };
            let words: Vec<String> =
                all.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
            let check = &lines[0].check;
            let open = lines.len() <= OPEN_UP_TO || unfolded.contains(check);
            let query: String = form_urlencoded::byte_serialize(check.as_bytes()).collect();
            Group {
                check,
                target: &lines[0].target,
                words: words.join(", "),
                mood,
                mark: mark(mood),
                open,
                unfold: format!("/?unfold={query}"),
                lines: grouped(lines.len() as u64),
                rows: lines.iter().filter(|_| open).map(&row).collect(),
            }
        })
        .collect()
}

fn labels(line: &Line) -> String {
    let agent = line.agent.as_deref().filter(|agent| !line.name.ends_with(agent));
    let labels = [
        ("agent", agent),
        ("unit", line.unit.as_deref()),
        ("hotline", line.hotline.as_deref()),
        ("trunk", line.trunk.as_deref()),
        ("gateway", line.gateway.as_deref()),
        ("carrier", line.carrier.as_deref()),
    ];
    let known = labels.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", value?)));
    known.collect::<Vec<_>>().join(" · ")
}

/// How long it took to be set up, or to be registered where that was all.
fn took(last: &Last) -> Option<String> {
    let millis = last.setup_ms.or(last.srd_ms).or(last.rrd_ms)?;
    Some(match millis {
        ..10.0 => format!("{millis:.1} ms"),
        ..10_000.0 => format!("{millis:.0} ms"),
        _ => format!("{:.1} s", millis / 1000.0),
    })
}

fn hour(hour: Hour) -> String {
    match hour.success_pct {
        None => "none".to_owned(),
        Some(_) if hour.passed == hour.tested => format!("{} of {}", hour.passed, hour.tested),
        // Never rounded up to 100.
        Some(share) => format!("{} of {} ({:.1} %)", hour.passed, hour.tested, (10.0 * share).floor() / 10.0),
    }
}

fn sink(of: &Sink) -> SinkRow<'_> {
    let [written, waiting, rejected] = [of.written, of.waiting, of.rejected].map(grouped);
    SinkRow { of, written, waiting, rejected }
}

/// `12 345`, in groups that no line ends within.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join("\u{202f}")
}

fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// The two largest units would be too much: one is enough at a glance.
fn lasting(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} days", seconds / 86_400),
    }
}
