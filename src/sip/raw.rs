//! Requests that are wrong on purpose: a finished message is changed on its way out, while the transaction keeps the
//! one that is right. So every copy, and the answer to a challenge, goes out with the same changes.

use super::header::Name;

/// What is changed in a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Raw {
    /// The method of the first line.
    pub method: Option<String>,
    /// The whole first line.
    pub start_line: Option<String>,
    /// Fields by name: all of that name, long or compact, are replaced by these, where the first of them stood or else
    /// at the end. No value takes the field out.
    pub headers: Vec<(String, Vec<String>)>,
    /// The body. Content-Length becomes its length, unless the headers say something else.
    pub body: Option<String>,
}

impl Raw {
    /// A request of ours with the changes.
    pub fn apply(&self, message: &[u8]) -> Vec<u8> {
        let end = message.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap_or(message.len());
        let (head, rest) = message.split_at(end);
        let body = match &self.body {
            Some(body) => body.as_bytes(),
            None => rest.get(4..).unwrap_or(b""),
        };
        let mut out = Vec::with_capacity(message.len() + 200);
        let mut lines = head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        self.write_first_line(lines.next().unwrap_or(b""), &mut out);
        let mut written = vec![false; self.headers.len()];
        for line in lines {
            let name = line.split(|byte| *byte == b':').next().unwrap_or(line);
            match self.headers.iter().position(|(own, _)| same(own.as_bytes(), name)) {
                Some(index) if written[index] => {}
                Some(index) => {
                    written[index] = true;
                    self.write_field(index, &mut out);
                }
                None if self.body.is_some() && Name::from_bytes(name) == Name::ContentLength => {
                    put(&mut out, &[b"Content-Length: ", body.len().to_string().as_bytes()]);
                }
                None => put(&mut out, &[line]),
            }
        }
        for index in (0..written.len()).filter(|index| !written[*index]) {
            self.write_field(index, &mut out);
        }
        put(&mut out, &[]);
        out.extend_from_slice(body);
        out
    }

    fn write_first_line(&self, line: &[u8], out: &mut Vec<u8>) {
        let after_method = line.iter().position(|byte| *byte == b' ').map_or(&b""[..], |at| &line[at..]);
        match (&self.start_line, &self.method) {
            (Some(start_line), _) => put(out, &[start_line.as_bytes()]),
            (None, Some(method)) => put(out, &[method.as_bytes(), after_method]),
            (None, None) => put(out, &[line]),
        }
    }

    fn write_field(&self, index: usize, out: &mut Vec<u8>) {
        let (name, values) = &self.headers[index];
        for value in values {
            put(out, &[name.as_bytes(), b": ", value.as_bytes()]);
        }
    }
}

fn same(one: &[u8], two: &[u8]) -> bool {
    let two = two.trim_ascii_end();
    one.eq_ignore_ascii_case(two)
        || (Name::from_bytes(one) == Name::from_bytes(two) && Name::from_bytes(one) != Name::Other)
}

/// One line. A line end inside it becomes a space: what fills a placeholder cannot add a field.
fn put(out: &mut Vec<u8>, pieces: &[&[u8]]) {
    let bytes = pieces.iter().flat_map(|piece| piece.iter().copied());
    out.extend(bytes.map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }));
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVITE: &[u8] = b"INVITE sip:2000@pbx SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
        Max-Forwards: 70\r\nCSeq: 1 INVITE\r\nContact: <sip:a@192.0.2.1>\r\nContent-Length: 3\r\n\r\nv=0";

    fn applied(raw: &Raw) -> String {
        String::from_utf8(raw.apply(INVITE)).expect("text")
    }

    fn headers(changes: &[(&str, &[&str])]) -> Vec<(String, Vec<String>)> {
        let owned = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
        changes.iter().map(|(name, values)| ((*name).to_owned(), owned(values))).collect()
    }

    #[test]
    fn without_changes_a_request_stays_as_it_is() {
        assert_eq!(Raw::default().apply(INVITE), INVITE);
    }

    #[test]
    fn fields_are_replaced_repeated_removed_and_added() {
        let changes = [
            ("v", &["SIP/2.0/UDP 192.0.2.1;branch=wrong", "SIP/2.0/TCP 192.0.2.9"][..]),
            ("CSEQ", &["4294967296 BYE"]),
            ("Contact", &[]),
            ("Content-Length", &["99"]),
            ("X-Twice", &["1", "2"]),
        ];
        let raw = Raw { headers: headers(&changes), ..Raw::default() };
        assert_eq!(
            applied(&raw),
            "INVITE sip:2000@pbx SIP/2.0\r\nv: SIP/2.0/UDP 192.0.2.1;branch=wrong\r\nv: SIP/2.0/TCP 192.0.2.9\r\n\
             Max-Forwards: 70\r\nCSEQ: 4294967296 BYE\r\nContent-Length: 99\r\nX-Twice: 1\r\nX-Twice: 2\r\n\r\nv=0"
        );
    }

    #[test]
    fn a_line_end_in_a_value_adds_no_field() {
        let raw = Raw { headers: headers(&[("X-A", &["b\r\nX-Evil: c"])]), ..Raw::default() };
        assert!(applied(&raw).contains("\r\nX-A: b  X-Evil: c\r\n\r\n"));
    }

    #[test]
    fn first_line_and_body_are_replaced_and_the_length_follows() {
        let raw = Raw { method: Some("DANCE".into()), body: Some("v=0\r\nx".into()), ..Raw::default() };
        let expected = "DANCE sip:2000@pbx SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
             Max-Forwards: 70\r\nCSeq: 1 INVITE\r\nContact: <sip:a@192.0.2.1>\r\nContent-Length: 6\r\n\r\nv=0\r\nx";
        assert_eq!(applied(&raw), expected);
        let raw = Raw { start_line: Some("INVITE sip:2000@pbx SIP/7.0".into()), ..raw };
        assert!(applied(&raw).starts_with("INVITE sip:2000@pbx SIP/7.0\r\nVia:"));
    }
}
