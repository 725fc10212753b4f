//! Telephone numbers of one attempt, hidden in its record and in its messages (`mask_numbers` of a target).
//!
//! Which texts are numbers is read off the attempt itself: who called whom by its record, the user parts of `sip:`,
//! `sips:` and `tel:` URIs, user names of credentials, and long runs of digits in `X-` and `P-` headers. Wherever one of
//! them stands, in a body or a reason phrase too, all of its digits but the last two become `*`, so that no length
//! changes.

use std::collections::BTreeSet;

use memchr::memmem;

use crate::record::{CallRecord, Identity};
use crate::units::masked;

use super::ring::Message;

/// Fewer digits are no number that needs hiding.
const SHORTEST: usize = 3;
/// From so many digits on a number is hidden even where it stands amid other letters and digits.
const LONG: usize = 7;

/// The numbers of one attempt.
#[derive(Clone, Debug)]
pub struct Mask {
    /// The longest first: a number may be the end of another.
    numbers: Vec<String>,
}

impl Mask {
    /// The numbers that an attempt's record and messages name.
    pub fn of(record: &CallRecord, messages: &[Message<'_>]) -> Self {
        let mut numbers = BTreeSet::new();
        for text in [&record.from, &record.to, &record.agent, &record.account].into_iter().flatten() {
            add(&mut numbers, text);
        }
        for message in messages {
            collect(&mut numbers, &String::from_utf8_lossy(message.bytes));
        }
        let mut numbers: Vec<String> = numbers.into_iter().collect();
        numbers.sort_by_key(|number| std::cmp::Reverse(number.len()));
        Self { numbers }
    }

    /// Masks who an attempt under way is of.
    pub fn identity(identity: &mut Identity) {
        let texts = [&mut identity.agent, &mut identity.account, &mut identity.from, &mut identity.to];
        for text in texts.into_iter().flatten() {
            let mut numbers = BTreeSet::new();
            add(&mut numbers, text);
            if !numbers.is_empty() {
                *text = masked(text);
            }
        }
    }

    /// Masks every text of a record that may hold a number.
    pub fn record(&self, record: &mut CallRecord) {
        let texts = [
            &mut record.agent,
            &mut record.account,
            &mut record.from,
            &mut record.to,
            &mut record.reason,
            &mut record.warning,
            &mut record.app_code,
            &mut record.platform_call_id,
            &mut record.unmet,
            &mut record.paired_with,
        ];
        // What was pressed may be a number to be called.
        for keys in [&mut record.dtmf_sent, &mut record.dtmf_heard].into_iter().flatten() {
            keys.hide();
        }
        for text in texts.into_iter().flatten().chain(&mut record.sip_call_ids) {
            *text = self.text(text);
        }
    }

    /// A text with its numbers masked.
    pub fn text(&self, text: &str) -> String {
        // Only ASCII is replaced by ASCII.
        String::from_utf8(self.bytes(text.as_bytes())).unwrap_or_else(|_| "*".repeat(text.len()))
    }

    /// A message with its numbers masked.
    pub fn bytes(&self, bytes: &[u8]) -> Vec<u8> {
        let mut out = bytes.to_vec();
        for number in &self.numbers {
            let hidden = masked(number);
            let mut from = 0;
            while let Some(at) = memmem::find(&out[from..], number.as_bytes()).map(|at| from + at) {
                from = at + number.len();
                if digits(number) >= LONG || stands_alone(&out, at, from) {
                    out[at..from].copy_from_slice(hidden.as_bytes());
                }
            }
        }
        out
    }
}

fn digits(text: &str) -> usize {
    text.bytes().filter(u8::is_ascii_digit).count()
}

fn stands_alone(text: &[u8], start: usize, end: usize) -> bool {
    let joins = |at: Option<usize>| at.and_then(|at| text.get(at)).is_some_and(u8::is_ascii_alphanumeric);
    !joins(start.checked_sub(1)) && !joins(Some(end))
}

/// Adds a text where it is a number; without separators too, for that is how it may be repeated elsewhere.
fn add(numbers: &mut BTreeSet<String>, text: &str) {
    // RFC 3261 §25.1 has `#` escaped in a user part, and nowhere else.
    let plain = text.trim().replace("%23", "#");
    if plain.bytes().all(is_dialled) && digits(&plain) >= SHORTEST {
        let bare = plain.chars().filter(char::is_ascii_digit).collect();
        numbers.extend([plain.replace('#', "%23"), plain, bare]);
    }
}

fn is_dialled(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'+' | b'*' | b'#' | b'-' | b'.' | b'(' | b')')
}

fn collect(numbers: &mut BTreeSet<String>, message: &str) {
    for scheme in ["sip:", "sips:", "tel:"] {
        for (at, found) in found(message, scheme) {
            let rest = &message[at + found..];
            let user = rest.split(['@', '>', '<', ' ', ',', '"', '\r', '\n']).next().unwrap_or("");
            // `sip:HOST` has no user; a `tel:` number needs none.
            if scheme == "tel:" || rest[user.len()..].starts_with('@') {
                add(numbers, user.split([';', ':', '?']).next().unwrap_or(""));
            }
        }
    }
    for (at, found) in found(message, "username=\"") {
        add(numbers, message[at + found..].split('"').next().unwrap_or(""));
    }
    let own = |line: &&str| ["x-", "p-"].iter().any(|start| line.to_ascii_lowercase().starts_with(start));
    for line in message.lines().filter(own) {
        let value = line.split_once(':').map_or("", |(_, value)| value);
        let runs = value.split(|c: char| !c.is_ascii_alphanumeric());
        runs.filter(|run| digits(run) >= LONG).for_each(|run| add(numbers, run));
    }
}

/// Places at which a text stands, whatever its case, and its length.
fn found<'t>(text: &'t str, wanted: &'t str) -> impl Iterator<Item = (usize, usize)> + 't {
    let bytes = text.as_bytes().windows(wanted.len()).enumerate();
    bytes.filter(|(_, part)| part.eq_ignore_ascii_case(wanted.as_bytes())).map(|(at, part)| (at, part.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(message: &str) -> Mask {
        let mut numbers = BTreeSet::new();
        collect(&mut numbers, message);
        let mut numbers: Vec<String> = numbers.into_iter().collect();
        numbers.sort_by_key(|number| std::cmp::Reverse(number.len()));
        Mask { numbers }
    }

    fn hidden(message: &str) -> String {
        mask(message).text(message)
    }

    #[test]
    fn numbers_are_hidden_in_every_header_and_in_the_body() {
        let message = "INVITE sip:0912345678@pbx SIP/2.0\r\nFrom: \"0912345678\" <SIP:1001@pbx>;tag=a1001b\r\n\
            P-Asserted-Identity: <tel:+886-2-1234567;phone-context=x>\r\nX-Caller: 0987654321\r\n\
            Proxy-Authorization: Digest username=\"20334\"\r\nCall-ID: 5f1001c@h\r\n\r\no=1001 1 1 IN IP4 10.0.0.1\r\n\
            i=0912345678 calls +88621234567\r\nm=audio 20334 RTP/AVP 8\r\n";
        let shown = hidden(message);
        for number in ["0912345678", "+886-2-1234567", "88621234567", "0987654321"] {
            assert!(!shown.contains(number), "{number} in {shown}");
        }
        assert!(shown.contains("<SIP:**01@pbx>;tag=a1001b") && shown.contains("o=**01 1 1"), "{shown}");
        assert!(shown.contains("Call-ID: 5f1001c@h"), "amid letters a short number is part of something else: {shown}");
        assert!(shown.contains("username=\"***34\""), "{shown}");
        assert_eq!(shown.len(), message.len());
    }

    #[test]
    fn hosts_names_and_short_codes_are_no_numbers() {
        let message = "OPTIONS sip:10.0.0.1:5060 SIP/2.0\r\nFrom: <sip:alice@10.0.0.1>\r\nTo: <sip:99@h>\r\n";
        assert_eq!(hidden(message), message);
    }

    #[test]
    fn escapes_and_bytes_that_are_no_text_stay() {
        let mask = mask("INVITE sip:0800*1%23@pbx SIP/2.0");
        assert_eq!(mask.bytes(b"\xff 0800*1# \xfe"), b"\xff *****1# \xfe");
        assert_eq!(mask.text("sip:0800*1%23@pbx"), "sip:******%23@pbx");
    }
}
