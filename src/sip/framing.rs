//! Messages out of a byte stream (TCP, TLS): RFC 3261 §18.3 and §7.5, keep-alives of RFC 5626 §3.5.1.
//!
//! Bytes go in as they arrive, whole messages come out. What a message says is left to the parser; only its header
//! end and its Content-Length are looked at. A peer that sends one byte at a time costs no more than one that sends
//! all at once, because the search goes on where it stopped. After an error the place of the next message is
//! unknown, so the connection has to be closed; the error stays.
//!
//! A message without Content-Length has no body here: RFC 3261 §20.14 demands the header on streams, and waiting for
//! the end of the connection would hold back every later message.

use super::header;
use super::message::{take_folded_line, take_line};

/// Longest header section, bytes, the empty line included.
pub const MAX_HEADER: usize = 64 * 1024;

/// Longest body, bytes.
pub const MAX_BODY: usize = 1024 * 1024;

/// Buffer that an idle connection keeps, bytes.
const IDLE_BUFFER: usize = 16 * 1024;

/// Cuts a byte stream into SIP messages.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: Vec<u8>,
    /// Start of the first message that was not given out yet.
    start: usize,
    /// Everything before this was searched for the end of the header section.
    scanned: usize,
    /// Start of the line that the search stopped in.
    line: usize,
    /// End of the message at `start`, once its header section is complete.
    end: Option<usize>,
    /// CRLFs seen in a row between messages.
    crlfs: u8,
    failed: Option<FramingError>,
}

/// What the stream holds next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A whole message: start line, headers, empty line and body.
    Message(&'a [u8]),
    /// A double CRLF between messages: answer it with one CRLF (RFC 5626 §4.4.1).
    Ping,
}

/// Why the rest of a stream cannot be read. The connection must be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// The header section does not end in time.
    #[error("no end of the header section within {MAX_HEADER} bytes; the connection must be closed")]
    HeaderTooLong,
    /// Content-Length is larger than we accept.
    #[error("Content-Length is above {MAX_BODY} bytes; the connection must be closed")]
    BodyTooLong,
    /// Content-Length is no number, or two of them differ.
    #[error("Content-Length cannot be read, so the end of the message is unknown; the connection must be closed")]
    BadContentLength,
}

impl Framer {
    /// An empty stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes in the order in which they arrived. Drain [`Framer::next_frame`] after each call: then the buffer
    /// never holds more than one unfinished message and these bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.failed.is_none() {
            self.compact();
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next whole message or ping, `None` until more bytes arrive.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, FramingError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if self.end.is_none() && self.skip_line_ends() {
            return Ok(Some(Frame::Ping));
        }
        if let Err(error) = self.find_end() {
            self.failed = Some(error);
            self.buffer = Vec::new();
            return Err(error);
        }
        let Some(end) = self.end.filter(|end| *end <= self.buffer.len()) else { return Ok(None) };
        let message = self.start..end;
        self.restart_at(end);
        Ok(Some(Frame::Message(&self.buffer[message])))
    }

    /// Bytes of an unfinished message: above 0 when a connection closes, the last message was cut off.
    pub fn pending(&self) -> usize {
        self.buffer.len() - self.start.min(self.buffer.len())
    }

    /// What was taken in and not given out.
    pub fn unread(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// Skips line ends between messages (RFC 3261 §7.5); true when two CRLFs in a row were skipped.
    fn skip_line_ends(&mut self) -> bool {
        // Inside a header section `scanned` has moved on.
        while self.scanned == self.start {
            let step = match self.buffer.get(self.start..).unwrap_or_default() {
                [b'\r', b'\n', ..] => 2,
                [b'\n', ..] => 1,
                [b'\r', _, ..] => 1,
                [b'\r'] | [] => return false,
                _ => {
                    self.crlfs = 0;
                    return false;
                }
            };
            self.crlfs = if step == 2 { self.crlfs + 1 } else { 0 };
            self.restart_at(self.start + step);
            if self.crlfs == 2 {
                self.crlfs = 0;
                return true;
            }
        }
        false
    }

    /// Goes on searching for the empty line; sets `end` when it is there.
    fn find_end(&mut self) -> Result<(), FramingError> {
        if self.end.is_some() || self.buffer.get(self.start..).is_none_or(|rest| matches!(rest, [] | [b'\r'])) {
            return Ok(());
        }
        let limit = self.buffer.len().min(self.start + MAX_HEADER);
        while let Some(found) = self.buffer[self.scanned..limit].iter().position(|byte| *byte == b'\n') {
            let newline = self.scanned + found;
            let empty = matches!(&self.buffer[self.line..newline], [] | [b'\r']);
            self.scanned = newline + 1;
            self.line = self.scanned;
            if empty {
                let body = content_length(&self.buffer[self.start..self.scanned])?.unwrap_or(0);
                self.end = Some(self.scanned + body);
                return Ok(());
            }
        }
        self.scanned = limit;
        if limit == self.start + MAX_HEADER { Err(FramingError::HeaderTooLong) } else { Ok(()) }
    }

    fn restart_at(&mut self, start: usize) {
        self.start = start;
        self.scanned = start;
        self.line = start;
        self.end = None;
    }

    /// Gives used space back. Bytes move only when at least as many were used up, so each moves about once.
    fn compact(&mut self) {
        if self.start < self.buffer.len() - self.start {
            return;
        }
        let used = self.start;
        self.buffer.drain(..used);
        self.buffer.shrink_to(IDLE_BUFFER);
        self.start = 0;
        self.scanned -= used;
        self.line -= used;
        self.end = self.end.map(|end| end - used);
    }
}

/// Length of the body that a header section announces; `None` where it says nothing. Lines are those that
/// [`Message::parse`](super::message::Message::parse) sees: with two readings of a length one side's body is the other's
/// next message.
pub(super) fn content_length(headers: &[u8]) -> Result<Option<usize>, FramingError> {
    let mut found = None;
    // The start line is no header, however it looks.
    let begin = headers.iter().position(|byte| !header::is_space(*byte)).unwrap_or(headers.len());
    let mut rest = take_line(&headers[begin..]).map_or(&[][..], |(_, rest)| rest);
    while let Some((line, after)) = take_folded_line(rest) {
        rest = after;
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = header::trim(&line[..colon]);
        if !name.eq_ignore_ascii_case(b"content-length") && !name.eq_ignore_ascii_case(b"l") {
            continue;
        }
        let length = number(header::trim(&line[colon + 1..]))?;
        if found.is_some_and(|earlier| earlier != length) {
            return Err(FramingError::BadContentLength);
        }
        found = Some(length);
    }
    Ok(found)
}

fn number(digits: &[u8]) -> Result<usize, FramingError> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(FramingError::BadContentLength);
    }
    let length = digits.iter().fold(0_usize, |sum, digit| {
        // Saturating: a number with a hundred digits is too long, not small.
        sum.saturating_mul(10).saturating_add(usize::from(digit - b'0'))
    });
    if length > MAX_BODY { Err(FramingError::BodyTooLong) } else { Ok(length) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OPTIONS: &[u8] = b"OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/TCP h\r\nContent-Length: 0\r\n\r\n";
    const MESSAGE: &[u8] = b"MESSAGE sip:a SIP/2.0\r\nl : 5\r\nSubject: \r\n l: 9\r\n\r\nhi\r\n\r";

    /// What a stream gives when it arrives in the given pieces, `ping` for a ping.
    fn frames<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Vec<u8>>, Option<FramingError>) {
        let mut framer = Framer::new();
        let mut found = Vec::new();
        for piece in pieces {
            framer.push(piece);
            loop {
                match framer.next_frame() {
                    Ok(Some(Frame::Message(message))) => found.push(message.to_vec()),
                    Ok(Some(Frame::Ping)) => found.push(b"ping".to_vec()),
                    Ok(None) => break,
                    Err(error) => return (found, Some(error)),
                }
            }
        }
        (found, None)
    }

    fn whole(stream: &[u8]) -> (Vec<Vec<u8>>, Option<FramingError>) {
        frames([stream])
    }

    #[test]
    fn two_messages_in_one_segment_come_out_one_by_one() {
        let (found, error) = whole(&[OPTIONS, MESSAGE, OPTIONS].concat());
        assert_eq!(found, [OPTIONS, MESSAGE, OPTIONS]);
        assert_eq!(error, None);
    }

    #[test]
    fn bare_line_feeds_end_a_header_section() {
        let message = b"OPTIONS sip:a SIP/2.0\nCONTENT-LENGTH:2\n\nok";
        assert_eq!(whole(message).0, [message]);
    }

    #[test]
    fn a_folded_content_length_is_read() {
        let message = b"OPTIONS sip:a SIP/2.0\r\nContent-Length:\r\n\t 3\r\nX: y\r\n\r\nabc";
        assert_eq!(whole(message).0, [message]);
    }

    #[test]
    fn a_length_is_read_as_who_reads_the_message_reads_it() {
        // A form feed is no white space of SIP.
        assert_eq!(whole(b"A b SIP/2.0\nL:0\x0c\n\n").1, Some(FramingError::BadContentLength));
        // There is nothing that the first header line could go on with.
        let message = b"A b SIP/2.0\n L: 2\n\nok";
        assert_eq!(whole(message).0, [message]);
    }

    #[test]
    fn a_message_without_content_length_has_no_body() {
        let first = b"SIP/2.0 200 OK\r\nVia: x\r\n\r\n";
        assert_eq!(whole(&[first, OPTIONS].concat()).0, [first.as_slice(), OPTIONS]);
    }

    #[test]
    fn keep_alives_between_messages_are_skipped_and_a_double_crlf_is_a_ping() {
        let stream = [b"\r\n".as_slice(), OPTIONS, b"\r\n\r\n", OPTIONS, b"\r\n\r\n\r\n\n\r\n", OPTIONS].concat();
        assert_eq!(whole(&stream).0, [OPTIONS, b"ping", OPTIONS, b"ping", OPTIONS]);
    }

    #[test]
    fn limits_end_the_stream_for_good() {
        let endless = vec![b'a'; MAX_HEADER];
        assert_eq!(whole(&endless), (vec![], Some(FramingError::HeaderTooLong)));
        let cases: [(&[u8], FramingError); 5] = [
            (b"A\r\nContent-Length: 1048577\r\n\r\n", FramingError::BodyTooLong),
            (b"A\r\nl: 99999999999999999999999999999\r\n\r\n", FramingError::BodyTooLong),
            (b"A\r\nl: -1\r\n\r\n", FramingError::BadContentLength),
            (b"A\r\nl: 3\r\n 4\r\n\r\n", FramingError::BadContentLength),
            (b"A\r\nl: 3\r\nContent-Length: 4\r\n\r\n", FramingError::BadContentLength),
        ];
        for (stream, expected) in cases {
            let mut framer = Framer::new();
            framer.push(stream);
            assert_eq!(framer.next_frame(), Err(expected));
            framer.push(OPTIONS);
            assert_eq!(framer.next_frame(), Err(expected), "the error stays");
        }
    }

    #[test]
    fn a_header_section_of_exactly_the_limit_passes() {
        let mut message = b"A\r\nX: ".to_vec();
        message.resize(MAX_HEADER - 4, b'x');
        message.extend_from_slice(b"\r\n\r\n");
        assert_eq!(whole(&message).0, [message.clone()]);
        message.insert(5, b'x');
        assert_eq!(whole(&message).1, Some(FramingError::HeaderTooLong));
    }

    #[test]
    fn a_cut_off_message_is_pending() {
        let mut framer = Framer::new();
        framer.push(&OPTIONS[..20]);
        assert_eq!(framer.next_frame(), Ok(None));
        assert_eq!(framer.pending(), 20);
    }

    #[test]
    fn a_large_header_byte_by_byte_is_searched_once() {
        let mut message = b"A\r\n".to_vec();
        while message.len() < MAX_HEADER - 100 {
            message.extend_from_slice(b"X: y\r\n");
        }
        message.extend_from_slice(b"\r\n");
        // Quadratic search would look at 2 G bytes here and make this test the slowest of all.
        assert_eq!(frames(message.chunks(1)).0, [message.clone()]);
    }

    fn piece() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            Just(OPTIONS.to_vec()),
            Just(MESSAGE.to_vec()),
            Just(b"\r\n".to_vec()),
            Just(b"\r\n\r\n".to_vec()),
            Just(b"\n".to_vec()),
            Just(b"\r".to_vec()),
            Just(b"l:2\n\n".to_vec()),
            prop::collection::vec(any::<u8>(), 0..40),
        ]
    }

    proptest! {
        #[test]
        fn any_split_of_a_stream_yields_the_same_frames(
            pieces in prop::collection::vec(piece(), 0..12),
            cuts in prop::collection::vec(1_usize..50, 1..40),
        ) {
            let stream = pieces.concat();
            let mut rest = stream.as_slice();
            let mut split = Vec::new();
            for cut in cuts {
                let (head, tail) = rest.split_at(cut.min(rest.len()));
                split.push(head);
                rest = tail;
            }
            split.push(rest);
            let expected = whole(&stream);
            prop_assert_eq!(&frames(split), &expected);
            prop_assert_eq!(&frames(stream.chunks(1)), &expected);
        }
    }
}
