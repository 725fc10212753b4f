//! The SIP ladder of one attempt as text: a column per address, a line per message.

use std::fmt::Write;
use std::net::SocketAddr;

use rustc_hash::FxHashMap;

use crate::record::Anchor;
use crate::sip::sdp::peering::FRAGMENT;

use super::redact::{Secrets, printable_line, readable};
use super::ring::Message;

/// What was on the wire in one attempt.
#[derive(Clone, Copy, Debug)]
pub struct Ladder<'a> {
    /// Our id of the attempt.
    pub call_id: &'a str,
    /// The start of the attempt.
    pub start: Anchor,
    /// Its messages.
    pub messages: &'a [Message<'a>],
    /// Whether that is all of them.
    pub complete: bool,
    /// Whether raw messages show secrets.
    pub secrets: Secrets,
}

/// Characters from one column's line to the next, both lines left out: an IPv6 address with
/// its port fits.
const LANE: usize = 48;

/// Characters before the first column's line.
const MARGIN: usize = 11;

/// Types of bodies that labels name.
const BODIES: [(&str, &str); 2] = [("application/sdp", "SDP"), (FRAGMENT, "candidates")];

const NEVER_FAILS: &str = "writing to a String does not fail";

impl Ladder<'_> {
    /// The ladder. Times are seconds from the start, cut to milliseconds.
    pub fn drawing(&self) -> String {
        let mut out = self.heading();
        if self.messages.is_empty() {
            return out + "no messages\n";
        }
        let columns = columns(self.messages);
        draw_heads(&mut out, &columns);
        let mut seen: FxHashMap<(bool, SocketAddr, &[u8]), u32> = FxHashMap::default();
        for message in self.ordered() {
            // The same bytes the same way: that is how a retransmission is defined (RFC 3261 §17.1.1.2).
            let times = seen.entry((message.sent, message.remote, message.bytes)).or_default();
            let summary = Summary::of(message.bytes);
            let line = draw_line(&columns, message, &summary.label());
            write!(out, "{:>9}  {line}  {}", self.time(message), summary.cseq).expect(NEVER_FAILS);
            if *times > 0 {
                write!(out, "  retransmission {times}").expect(NEVER_FAILS);
            }
            *times += 1;
            trim_line(&mut out);
        }
        out
    }

    /// The raw messages, each under a line that says when and where.
    pub fn raw(&self) -> String {
        let mut out = self.heading();
        for (index, message) in self.ordered().into_iter().enumerate() {
            let Message { local, remote, transport, bytes, .. } = message;
            let (way, arrow) = if message.sent { ("sent", "→") } else { ("received", "←") };
            let (number, time) = (index + 1, self.time(message));
            let size = bytes.len();
            writeln!(out, "=== {number} · {time} s · {way} · {transport} {local} {arrow} {remote} · {size} bytes")
                .expect(NEVER_FAILS);
            out.push_str(&readable(bytes, self.secrets));
            out.push('\n');
        }
        out
    }

    /// By time. Messages are pushed in the order in which a worker got to them, and one that arrived during a turn is
    /// read after the turn's own were sent.
    fn ordered(&self) -> Vec<&Message<'_>> {
        let mut messages: Vec<_> = self.messages.iter().collect();
        messages.sort_by_key(|message| message.at);
        messages
    }

    fn heading(&self) -> String {
        let mut out = format!("call {} · started {:.3}\n", self.call_id, self.start.timestamp);
        if !self.complete {
            out.push_str("INCOMPLETE: older messages of this call were overwritten in the ring\n");
        }
        out.push('\n');
        out
    }

    /// `1.234`, or `-0.010` for what came before the start.
    fn time(&self, message: &Message<'_>) -> String {
        let (sign, distance) = match message.at.checked_duration_since(self.start.instant) {
            Some(after) => ("", after),
            None => ("-", self.start.instant.duration_since(message.at)),
        };
        format!("{sign}{}.{:03}", distance.as_secs(), distance.subsec_millis())
    }
}

/// Our addresses in the order in which they appear, then the others'.
fn columns(messages: &[Message<'_>]) -> Vec<SocketAddr> {
    let mut columns = Vec::new();
    for address in messages.iter().map(|message| message.local).chain(messages.iter().map(|message| message.remote)) {
        if !columns.contains(&address) {
            columns.push(address);
        }
    }
    columns
}

fn draw_heads(out: &mut String, columns: &[SocketAddr]) {
    out.push_str(&" ".repeat(MARGIN));
    for column in columns {
        write!(out, "{:<width$}", column.to_string(), width = LANE + 1).expect(NEVER_FAILS);
    }
    trim_line(out);
}

/// The columns' lines with an arrow from sender to receiver and the label on its shaft.
fn draw_line(columns: &[SocketAddr], message: &Message<'_>, label: &str) -> String {
    let place = |address| columns.iter().position(|column| *column == address).unwrap_or(0);
    let (local, remote) = (place(message.local), place(message.remote));
    // To itself: there is no shaft to draw.
    let (left, right) = if local == remote { (local, local + 1) } else { (local.min(remote), local.max(remote)) };
    let to_the_right = message.sent == (local <= remote);
    let mut line = String::new();
    let mut column = 0;
    while column < columns.len().max(right + 1) {
        line.push(if column < columns.len() { '│' } else { ' ' });
        if column == left {
            push_arrow(&mut line, (right - left) * (LANE + 1) - 1, to_the_right, label);
            column = right;
        } else {
            if column + 1 < columns.len() {
                line.push_str(&" ".repeat(LANE));
            }
            column += 1;
        }
    }
    line
}

/// `── label ────►` or `◄── label ─────` of the given width.
fn push_arrow(line: &mut String, width: usize, to_the_right: bool, label: &str) {
    let room = width - 6;
    let length = label.chars().count();
    let label: String =
        if length > room { label.chars().take(room - 1).chain(['…']).collect() } else { label.to_owned() };
    let shaft = "─".repeat(room.saturating_sub(length) + 1);
    if to_the_right {
        write!(line, "── {label} {shaft}►").expect(NEVER_FAILS);
    } else {
        write!(line, "◄─ {label} {shaft}─").expect(NEVER_FAILS);
    }
}

/// Takes spaces off the end and starts the next line.
fn trim_line(out: &mut String) {
    out.truncate(out.trim_end_matches(' ').len());
    out.push('\n');
}

/// What a line of the ladder says about a message.
struct Summary {
    /// `INVITE sip:2000@example` or `180 Ringing`.
    title: String,
    cseq: String,
    /// What its body is, where that is shown.
    body: Option<&'static str>,
}

impl Summary {
    /// Reads as little as possible, so that broken messages appear too.
    fn of(message: &[u8]) -> Self {
        let mut lines = message.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        let mut summary = Self { title: title(lines.next().unwrap_or_default()), cseq: String::new(), body: None };
        for line in lines.by_ref().take_while(|line| !line.is_empty()) {
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            let (name, value) = (line[..colon].trim_ascii(), line[colon + 1..].trim_ascii());
            if name.eq_ignore_ascii_case(b"cseq") {
                summary.cseq = printable_line(&value[..value.len().min(40)]);
            } else if name.eq_ignore_ascii_case(b"content-type") || name.eq_ignore_ascii_case(b"c") {
                let kind = value.to_ascii_lowercase();
                let shown = BODIES.into_iter().find(|(begin, _)| kind.starts_with(begin.as_bytes()));
                summary.body = shown.map(|(_, name)| name);
            }
        }
        // A type without a body announces nothing.
        summary.body = summary.body.filter(|_| lines.any(|line| !line.is_empty()));
        summary
    }

    fn label(&self) -> String {
        self.body.map_or_else(|| self.title.clone(), |body| format!("{} ({body})", self.title))
    }
}

/// A start line without its SIP version.
fn title(start_line: &[u8]) -> String {
    let text = printable_line(start_line);
    let short = text.strip_prefix("SIP/2.0 ").or_else(|| text.strip_suffix(" SIP/2.0")).unwrap_or(&text).trim();
    if short.is_empty() { "(empty)".to_owned() } else { short.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use std::time::Duration;

    #[expect(clippy::disallowed_methods, reason = "an Instant to start from; the tests never look at the clock again")]
    fn clock() -> Anchor {
        let timestamp = "2026-03-01T10:20:30.5Z".parse().expect("valid");
        Anchor { instant: Instant::now(), timestamp }
    }

    const US: ([u8; 4], u16) = ([192, 0, 2, 7], 5060);
    const PROXY: ([u8; 4], u16) = ([198, 51, 100, 2], 5060);
    const CALLEE: ([u8; 4], u16) = ([198, 51, 100, 9], 5070);

    fn message(clock: Anchor, ms: u64, sent: bool, remote: ([u8; 4], u16), text: &'static str) -> Message<'static> {
        let at = clock.instant + Duration::from_millis(ms);
        Message { at, sent, local: US.into(), remote: remote.into(), transport: "UDP", bytes: text.as_bytes() }
    }

    const INVITE: &str = "INVITE sip:2000@lab.invalid SIP/2.0\r\nCSeq: 1 INVITE\r\n\
        Proxy-Authorization: Digest username=\"1001\", response=\"abc\"\r\nc: application/sdp\r\n\r\nv=0\r\n";
    const RINGING: &str = "SIP/2.0 180 Ringing\r\nCSEQ : 1 INVITE\r\nContent-Type: application/sdp\r\n\r\n";
    const LONG: &str = "MESSAGE sip:someone-with-a-very-long-name@a-very-long-domain.example.com SIP/2.0\r\n\r\n";

    fn ladder<'a>(start: Anchor, messages: &'a [Message<'a>], complete: bool) -> Ladder<'a> {
        Ladder { call_id: "c-1", start, messages, complete, secrets: Secrets::Hidden }
    }

    #[test]
    fn a_ladder_shows_who_said_what_to_whom_and_when() {
        let start = clock();
        let messages = [
            message(start, 0, true, PROXY, INVITE),
            message(start, 500, true, PROXY, INVITE),
            message(start, 1503, false, PROXY, RINGING),
            message(start, 61_999, true, CALLEE, "BYE sip:2000@lab.invalid SIP/2.0\r\nCSeq: 2 BYE\r\n\r\n"),
            message(start, 62_000, false, CALLEE, LONG),
        ];
        let expected = "\
call c-1 · started 2026-03-01T10:20:30.500Z

           192.0.2.7:5060                                   198.51.100.2:5060                                198.51.100.9:5070
    0.000  │── INVITE sip:2000@lab.invalid (SDP) ──────────►│                                                │  1 INVITE
    0.500  │── INVITE sip:2000@lab.invalid (SDP) ──────────►│                                                │  1 INVITE  retransmission 1
    1.503  │◄─ 180 Ringing ─────────────────────────────────│                                                │  1 INVITE
   61.999  │── BYE sip:2000@lab.invalid ────────────────────────────────────────────────────────────────────►│  2 BYE
   62.000  │◄─ MESSAGE sip:someone-with-a-very-long-name@a-very-long-domain.example.com ─────────────────────│
";
        assert_eq!(ladder(start, &messages, true).drawing(), expected);
    }

    #[test]
    fn a_label_that_is_too_long_is_cut_and_columns_keep_their_place() {
        let start = clock();
        let bytes = b"\x1b[2J\r\n";
        let messages =
            [message(start, 0, false, PROXY, LONG), Message { bytes, ..message(start, 7, true, CALLEE, "") }];
        let expected = "\
call c-1 · started 2026-03-01T10:20:30.500Z
INCOMPLETE: older messages of this call were overwritten in the ring

           192.0.2.7:5060                                   198.51.100.2:5060                                198.51.100.9:5070
    0.000  │◄─ MESSAGE sip:someone-with-a-very-long-name… ──│                                                │
    0.007  │── \\x1b[2J ─────────────────────────────────────────────────────────────────────────────────────►│
";
        assert_eq!(ladder(start, &messages, false).drawing(), expected);
    }

    #[test]
    fn what_a_body_is_stands_beside_the_request() {
        let label = |kind: &str, body: &str| {
            Summary::of(format!("INFO sip:b@x SIP/2.0\r\nContent-Type: {kind}\r\n\r\n{body}").as_bytes()).label()
        };
        assert_eq!(label("application/sdp", "v=0"), "INFO sip:b@x (SDP)");
        assert_eq!(label("application/trickle-ice-sdpfrag", "a=mid:0"), "INFO sip:b@x (candidates)");
        assert_eq!(label("application/trickle-ice-sdpfrag", ""), "INFO sip:b@x");
        assert_eq!(label("application/dtmf-relay", "Signal=1"), "INFO sip:b@x");
    }

    #[test]
    fn two_addresses_of_ours_are_two_columns() {
        let start = clock();
        let second = Message { local: CALLEE.into(), ..message(start, 1, false, PROXY, RINGING) };
        let drawing = ladder(start, &[message(start, 0, true, PROXY, INVITE), second], true).drawing();
        let lines: Vec<&str> = drawing.lines().skip(2).collect();
        assert!(lines[0].ends_with("192.0.2.7:5060                                   198.51.100.9:5070                                198.51.100.2:5060"), "{drawing}");
        assert!(lines[2].contains("│                                                │◄─ 180 Ringing ──"), "{drawing}");
    }

    #[test]
    fn raw_messages_stand_under_their_time_and_show_no_secret() {
        let start = clock();
        let early = Anchor { instant: start.instant + Duration::from_millis(10), ..start };
        let messages = [message(start, 0, true, PROXY, INVITE), message(start, 1510, false, PROXY, RINGING)];
        let expected = "\
call c-1 · started 2026-03-01T10:20:30.500Z

=== 1 · -0.010 s · sent · UDP 192.0.2.7:5060 → 198.51.100.2:5060 · 141 bytes
INVITE sip:2000@lab.invalid SIP/2.0
CSeq: 1 INVITE
Proxy-Authorization: Digest username=\"1001\", response=\"***\"
c: application/sdp

v=0

=== 2 · 1.500 s · received · UDP 192.0.2.7:5060 ← 198.51.100.2:5060 · 71 bytes
SIP/2.0 180 Ringing
CSEQ : 1 INVITE
Content-Type: application/sdp


";
        assert_eq!(ladder(early, &messages, true).raw(), expected);
    }

    #[test]
    fn a_message_that_was_read_late_stands_where_it_arrived() {
        let start = clock();
        let messages = [message(start, 9, true, PROXY, INVITE), message(start, 8, false, PROXY, RINGING)];
        let drawing = ladder(start, &messages, true).drawing();
        let at = |text: &str| drawing.find(text).expect("drawn");
        assert!(at("180 Ringing") < at("INVITE sip:"), "{drawing}");
    }

    #[test]
    fn an_attempt_without_messages_says_so() {
        let drawing = ladder(clock(), &[], true).drawing();
        assert_eq!(drawing, "call c-1 · started 2026-03-01T10:20:30.500Z\n\nno messages\n");
    }
}
