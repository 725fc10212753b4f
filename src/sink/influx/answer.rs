//! What an answer to a write means. The write's own answer decides; health pages differ by product.

use std::time::Duration;

use jiff::Timestamp;

use crate::sink::{Kept, KeptBecause};

/// Longest wait that a Retry-After can ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// What the server did with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Each line is stored.
    Accepted,
    /// At least one line is refused for good.
    Refused(String),
    /// The request is too large.
    TooLarge(String),
    /// Nothing is known to be stored; try again.
    Kept(Kept),
}

/// Reads a status with the Retry-After header and the server's words.
pub(super) fn read(status: u16, retry_after: Option<&str>, words: &str, now: Timestamp) -> Answer {
    let reason = match words {
        "" => format!("{status}"),
        words => format!("{status} {words}"),
    };
    let kept = |because| {
        let wait = retry_after.and_then(|value| wait_of(value, now));
        Answer::Kept(Kept { because, reason: reason.clone(), wait })
    };
    match status {
        200..=299 => Answer::Accepted,
        400 | 422 => Answer::Refused(reason),
        413 => Answer::TooLarge(reason),
        408 | 425 | 429 | 500..=599 => kept(KeptBecause::Unavailable),
        // 401, 403, 404: token, rights, bucket. A redirection or another 4xx: this is not the server that was meant.
        _ => kept(KeptBecause::Configuration),
    }
}

/// The server's words in an error body: `message` in v2, `error` in v1 and v3, else the text itself.
pub(super) fn words_of(body: &str) -> String {
    let json: Option<serde_json::Value> = serde_json::from_str(body).ok();
    let field = |name| json.as_ref()?.get(name)?.as_str();
    field("message").or_else(|| field("error")).unwrap_or(body).trim().to_owned()
}

/// RFC 9110 §10.2.3: seconds, or a date.
fn wait_of(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    let wait = match value.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let until = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
            until.duration_since(now).try_into().unwrap_or(Duration::ZERO)
        }
    };
    Some(wait.min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "1994-11-06T08:49:27Z".parse().expect("valid")
    }

    #[test]
    fn each_status_has_its_outcome() {
        let of = |status| match read(status, None, "", now()) {
            Answer::Accepted => "accepted",
            Answer::Refused(_) => "split",
            Answer::TooLarge(_) => "too large",
            Answer::Kept(Kept { because: KeptBecause::Configuration, .. }) => "configuration",
            Answer::Kept(_) => "again",
        };
        for (outcome, statuses) in [
            ("accepted", &[204, 200][..]),
            ("split", &[400, 422]),
            ("too large", &[413]),
            ("configuration", &[401, 403, 404, 301, 405, 415]),
            ("again", &[429, 500, 502, 503, 504, 408]),
        ] {
            statuses.iter().for_each(|status| assert_eq!(of(*status), outcome, "{status}"));
        }
    }

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        let of = |value| match read(429, Some(value), "", now()) {
            Answer::Kept(kept) => kept.wait,
            _ => None,
        };
        assert_eq!(of("7"), Some(Duration::from_secs(7)));
        assert_eq!(of("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(10)));
        assert_eq!(of("Sun, 06 Nov 1994 08:49:17 GMT"), Some(Duration::ZERO), "already past");
        assert_eq!(of("99999999"), Some(LONGEST_WAIT));
        assert_eq!(of("soon"), None);
    }

    #[test]
    fn the_words_of_each_version_are_found() {
        assert_eq!(words_of(r#"{"code":"unauthorized","message":"unauthorized access"}"#), "unauthorized access");
        assert_eq!(words_of(r#"{"error":"partial write"}"#), "partial write");
        assert_eq!(words_of("<html>\n"), "<html>");
    }
}
