//! Texts of others on a terminal.

use std::borrow::Cow;

/// Whether a character could steer a terminal, or turn the direction of writing so that one line looks like another.
pub fn is_steering(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text with U+FFFD for each such character; line ends and tabs stay.
pub fn printable(text: &str) -> Cow<'_, str> {
    let is_bad = |c: char| is_steering(c) && !matches!(c, '\n' | '\t');
    if text.contains(is_bad) { text.replace(is_bad, "\u{fffd}").into() } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_marked_and_the_rest_stays() {
        assert_eq!(printable("a\x1b[2Jb\u{9b}c\u{202e}d\r\n\te"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d\u{fffd}\n\te");
        assert!(matches!(printable("Besetzt: är"), Cow::Borrowed(_)));
    }
}
