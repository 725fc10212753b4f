//! The evidence folder of one attempt: names and bytes, for others to write.

use std::fmt::Write as _;

use crate::record::CallRecord;

use super::ladder::Ladder;

/// A file of the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its name in the folder.
    pub name: &'static str,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// Everything that is known about one attempt.
#[derive(Clone, Copy, Debug)]
pub struct Bundle<'a> {
    /// What was on the wire.
    pub ladder: Ladder<'a>,
    /// What it came to.
    pub record: &'a CallRecord,
}

impl Bundle<'_> {
    /// `ladder.txt`, `messages.txt` and `record.json`. The folder's name is the record's `call_id`, which is ours and
    /// safe as a file name.
    pub fn files(&self) -> Result<Vec<File>, serde_json::Error> {
        let mut record = serde_json::to_vec_pretty(self.record)?;
        record.push(b'\n');
        Ok(vec![
            File { name: "ladder.txt", bytes: (self.ladder.drawing() + &self.requests()).into_bytes() },
            File { name: "messages.txt", bytes: self.ladder.raw().into_bytes() },
            File { name: "record.json", bytes: record },
        ])
    }

    /// What was asked of the application beside the call.
    fn requests(&self) -> String {
        let mut out = String::new();
        for request in &self.record.requests {
            if out.is_empty() {
                out.push_str("\nbeside the call\n");
            }
            let status = request.status.map_or_else(String::new, |status| format!(" {status}"));
            let fault = request.fault.map_or_else(String::new, |fault| format!("  side.{}", fault.name()));
            writeln!(out, "{:>9.1} ms  {}{status}{fault}", request.took_ms, request.request)
                .expect("writing to a String does not fail");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Secrets;
    use crate::record::Anchor;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an Instant to start from; the test never looks at the clock again")]
    fn the_folder_has_the_ladder_the_messages_and_the_record() {
        let record: CallRecord = serde_json::from_value(serde_json::json!({
            "call_id": "c-1", "scenario": "s", "target": "t", "role": "caller", "direction": "outbound",
            "intended_start": "2026-03-01T10:20:30Z", "ended_at": "2026-03-01T10:20:31Z", "class": "call.timeout",
            "sip_call_ids": [], "retry": "none", "audio_rx": "unknown", "audio_tx": "unknown", "audio": "unknown",
        }))
        .expect("a record");
        let start = Anchor { instant: std::time::Instant::now(), timestamp: record.intended_start };
        let ladder = Ladder { call_id: "c-1", start, messages: &[], complete: true, secrets: Secrets::Hidden };
        let files = Bundle { ladder, record: &record }.files().expect("serialises");
        let names: Vec<&str> = files.iter().map(|file| file.name).collect();
        assert_eq!(names, ["ladder.txt", "messages.txt", "record.json"]);
        assert!(files[0].bytes.starts_with(b"call c-1"));
        let again: CallRecord = serde_json::from_slice(&files[2].bytes).expect("JSON");
        assert_eq!(again.class, record.class);
    }
}
