//! Files that others may have written, and what is written of others.

use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use ringfleet::evidence::{Ladder, Mask, Message, Ring, Secrets};
use ringfleet::incident::{About, Numbers, Sheet};
use ringfleet::net::clock;
use ringfleet::record::{Anchor, CallRecord};
use ringfleet::scenario::compile::{self, Input, kind_of};
use ringfleet::sink::line::points_of;

use super::{CUT, address};

const RECORD: &str = include_str!("../../data/influx/record.json");

/// A file of each kind: a plan, or mistakes that can be shown.
pub fn scenario(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let read = |path: &Path| {
        Ok(match path.to_string_lossy().contains("lab") {
            true => "lab: open\nchallenge: false\n",
            false => "scenario: s\ntarget: lab\ncaller: { account: agents, steps: [ register ] }\n",
        }
        .to_owned())
    };
    let input = Input {
        path: Path::new("scenario.yaml"),
        text,
        target: None,
        set: &[],
        env: &|_| Some("x".into()),
        read: &read,
    };
    let shown = |found: ringfleet::scenario::diagnostic::Diagnostics| assert!(!found.to_string().is_empty());
    kind_of(text);
    compile::scenario(&input).map_or_else(shown, drop);
    compile::target(&input).map_or_else(shown, drop);
    compile::lab(&input).map_or_else(shown, drop);
    compile::watch(&input).map_or_else(shown, drop);
}

/// A line of `calls.jsonl`: what is read is the same when it is written again, its points are a line each, and its sheet can be
/// shown.
pub fn record(bytes: &[u8]) {
    let Ok(record) = serde_json::from_slice::<CallRecord>(bytes) else { return };
    let written = serde_json::to_string(&record).expect("a record can be written");
    let again: CallRecord = serde_json::from_str(&written).expect("what is written can be read");
    assert_eq!(serde_json::to_string(&again).expect("it can be written"), written);
    for point in points_of(&record, None) {
        let mut line = Vec::new();
        point.write(point.time(), &mut line);
        assert!(line.len() <= point.size());
        let ends = line.iter().filter(|byte| byte.is_ascii_control()).count();
        assert!(ends == 1 && line.ends_with(b"\n"), "{}", String::from_utf8_lossy(&line));
    }
    for numbers in [Numbers::Shown, Numbers::Masked] {
        let sheet = Sheet::of_call(&record, &About::default(), Vec::new(), numbers);
        assert!(!sheet.to_string().is_empty());
    }
}

/// Messages of an attempt, cut out of the input: what is shown of them is safe on a terminal, hides what proves who somebody is, and
/// masks numbers without changing a length.
pub fn evidence(bytes: &[u8]) {
    const PROOF: &str = "0123proof4567";
    static OF: LazyLock<CallRecord> = LazyLock::new(|| serde_json::from_str(RECORD).expect("a record"));
    let now = clock::now();
    let (local, remote) = (address("192.0.2.1:5060"), address("192.0.2.2:5060"));
    let mut ring = Ring::new(0);
    let mut pushed = 0;
    for (index, piece) in (0..).zip(bytes.split(|byte| *byte == CUT)) {
        let at = now + Duration::from_millis(index);
        let hostile: Vec<u8> = piece.iter().copied().filter(|byte| *byte != b'\n').collect();
        let proof =
            [b"A: b\nAuthorization: Digest ", &hostile[..], b", response=\"", PROOF.as_bytes(), b"\"\n"].concat();
        let key = [b"a=crypto:1 ", &hostile[..], b" inline:", PROOF.as_bytes(), b"\n"].concat();
        let known = piece.windows(PROOF.len()).any(|part| part == PROOF.as_bytes());
        for (sent, bytes) in [(true, piece), (false, &proof), (false, &key)] {
            if bytes.is_empty() || known {
                continue;
            }
            ring.push(1, &Message { at, sent, local, remote, transport: "UDP", bytes });
            pushed += 1;
        }
    }
    let messages: Vec<Message<'_>> = ring.messages_of(1).collect();
    assert!(messages.len() == pushed || !ring.complete(1));
    let start = Anchor { instant: now, timestamp: OF.intended_start };
    let ladder =
        Ladder { call_id: "c", start, messages: &messages, complete: ring.complete(1), secrets: Secrets::Hidden };
    let (drawing, raw) = (ladder.drawing(), ladder.raw());
    for text in [&drawing, &raw] {
        assert!(!text.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t')), "{text}");
    }
    assert!(!raw.contains(PROOF), "{raw}");
    assert!(drawing.lines().count() > messages.len());
    let mask = Mask::of(&OF, &messages);
    for message in &messages {
        let masked = mask.bytes(message.bytes);
        assert_eq!(masked.len(), message.bytes.len());
    }
}
