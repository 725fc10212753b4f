//! Messages that come one by one, as over WebSocket (RFC 7118 §5): is this one, and the whole of it?

use super::framing::{FramingError, content_length};

/// Why what came as one message is none (RFC 7118 §5: a WebSocket message holds one SIP message, and the whole of it).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOneMessage {
    /// Its header section or its body is not all there.
    #[error("a SIP message is not whole in its WebSocket message: {have} bytes of {need}")]
    Split {
        /// How many bytes it would have, at least.
        need: usize,
        /// How many came.
        have: usize,
    },
    /// Something follows its end.
    #[error("{0} bytes follow the SIP message in its WebSocket message")]
    Merged(usize),
    /// Where it ends cannot be told.
    #[error(transparent)]
    Framing(#[from] FramingError),
}

/// Looks whether bytes are line ends (a keep-alive), or one SIP message and the whole of it. Without Content-Length the
/// body is what follows the header section.
///
/// # Errors
/// [`NotOneMessage`].
pub fn check_one_message(bytes: &[u8]) -> Result<(), NotOneMessage> {
    if is_line_ends(bytes) {
        return Ok(());
    }
    let (mut line, mut headers) = (0, None);
    for newline in memchr::memchr_iter(b'\n', bytes) {
        if line > 0 && matches!(&bytes[line..newline], [] | [b'\r']) {
            headers = Some(newline + 1);
            break;
        }
        line = newline + 1;
    }
    let have = bytes.len();
    let Some(headers) = headers else { return Err(NotOneMessage::Split { need: have + 1, have }) };
    let Some(body) = content_length(&bytes[..headers])? else { return Ok(()) };
    match (headers + body, have) {
        (need, have) if need > have => Err(NotOneMessage::Split { need, have }),
        (need, have) if is_line_ends(&bytes[need..]) || need == have => Ok(()),
        (need, have) => Err(NotOneMessage::Merged(have - need)),
    }
}

/// Whether there is nothing but line ends.
pub fn is_line_ends(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: &[u8] = b"OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/TCP h\r\nContent-Length: 0\r\n\r\n";

    #[test]
    fn what_comes_as_one_message_is_one_and_the_whole_of_it() {
        for whole in [OPTIONS, b"", b"\r\n", b"\r\n\r\n", b"MESSAGE sip:a SIP/2.0\r\n\r\nwithout a length", b"A\n\n"] {
            assert_eq!(check_one_message(whole), Ok(()), "{}", whole.escape_ascii());
        }
        assert_eq!(check_one_message(&[OPTIONS, b"\r\n"].concat()), Ok(()), "a line end behind it is none of it");
        assert_eq!(check_one_message(&[OPTIONS, OPTIONS].concat()), Err(NotOneMessage::Merged(OPTIONS.len())));
        let begun = &OPTIONS[..20];
        assert_eq!(check_one_message(begun), Err(NotOneMessage::Split { need: 21, have: 20 }));
        let bodied = b"MESSAGE sip:a SIP/2.0\r\nContent-Length: 5\r\n\r\nhi";
        assert_eq!(check_one_message(bodied), Err(NotOneMessage::Split { need: 49, have: 46 }));
        let odd = b"MESSAGE sip:a SIP/2.0\r\nContent-Length: x\r\n\r\n";
        assert_eq!(check_one_message(odd), Err(NotOneMessage::Framing(FramingError::BadContentLength)));
    }
}
