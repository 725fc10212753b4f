//! What an answer to a write means. The write's own answer decides; health pages differ by product.

use jiff::Timestamp;

use crate::sink::http::wait_of;
use crate::sink::{Kept, KeptBecause};

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

/// Reads a status with the Retry-After header and the server's words. `hint` is what a person can do about a status.
pub(super) fn read(
    status: u16,
    retry_after: Option<&str>,
    words: &str,
    now: Timestamp,
    hint: impl FnOnce(u16) -> Option<String>,
) -> Answer {
    let reason = match words {
        "" => format!("{status}"),
        words => format!("{status} {words}"),
    };
    let wait = || retry_after.and_then(|value| wait_of(value, now));
    match status {
        204 => Answer::Accepted,
        // Early builds of InfluxDB 3 say it so. A page of a proxy that wants a login is a 200 as well, with a body.
        200 if words.is_empty() => Answer::Accepted,
        400 if is_about_the_request(words) => {
            Answer::Kept(Kept { because: KeptBecause::Configuration, reason, wait: wait() })
        }
        400 | 422 => Answer::Refused(reason),
        413 => Answer::TooLarge(reason),
        408 | 425 | 429 | 500..=599 => Answer::Kept(Kept { because: KeptBecause::Unavailable, reason, wait: wait() }),
        // 401, 403, 404: token, rights, database. Another 2xx, a redirection: this is not the server that was meant.
        _ => {
            let reason = hint(status).map_or_else(|| reason.clone(), |hint| format!("{reason} ({hint})"));
            Answer::Kept(Kept { because: KeptBecause::Configuration, reason, wait: wait() })
        }
    }
}

/// Whether a 400 is about the parameters of the request and not about a line: to halve it would bury every result.
fn is_about_the_request(words: &str) -> bool {
    let words = words.to_ascii_lowercase();
    let about_a_line = ["parse", "line", "partial write", "field type"].iter().any(|word| words.contains(word));
    words.contains("precision") && !about_a_line
}

/// The server's words in an error body: `message` in v2, `error` in v1, `error` and in `data` its cause in v3, else the
/// text itself.
pub(super) fn words_of(body: &str) -> String {
    let Ok(json) = serde_json::from_str::<serde_json::Value>(body) else { return body.trim().to_owned() };
    let field = |name| json.get(name)?.as_str();
    let words = field("message").or_else(|| field("error")).unwrap_or(body).trim();
    let data = json.get("data");
    let first = data.and_then(|data| data.get(0)).or(data);
    match first.and_then(|first| first.get("error_message")?.as_str()) {
        Some(cause) => format!("{words}: {}", cause.trim()),
        None => words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sink::http::LONGEST_WAIT;

    fn now() -> Timestamp {
        "1994-11-06T08:49:27Z".parse().expect("valid")
    }

    #[test]
    fn each_status_has_its_outcome() {
        let of = |status| match read(status, None, "", now(), |_| None) {
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
    fn the_page_of_a_proxy_is_no_confirmation() {
        let of = |status, words| read(status, None, words, now(), |_| None);
        assert!(matches!(of(200, "<html>Please log in"), Answer::Kept(_)));
        assert!(matches!(of(202, ""), Answer::Kept(_)));
    }

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        let of = |value| match read(429, Some(value), "", now(), |_| None) {
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
        let v3 = r#"{"error":"partial write of line protocol occurred","data":[{"original_line":"m f=","line_number":2,
            "error_message":"No fields were provided"}]}"#;
        assert_eq!(words_of(v3), "partial write of line protocol occurred: No fields were provided");
        let v3 = r#"{"error":"parsing failed for write_lp endpoint","data":{"error_message":"No fields"}}"#;
        assert_eq!(words_of(v3), "parsing failed for write_lp endpoint: No fields");
    }

    #[test]
    fn a_wrong_precision_is_a_mistake_of_the_request_and_not_of_its_lines() {
        let is_kept = |words| matches!(read(400, None, words, now(), |_| None), Answer::Kept(_));
        assert!(is_kept(r#"invalid precision "ns" (use n, u, ms, s, m or h)"#));
        assert!(!is_kept("unable to parse 'call,scenario=precision': missing fields"));
        assert!(!is_kept("partial write: precision is float, not string"));
    }

    #[test]
    fn what_a_person_must_mend_comes_with_what_to_do() {
        let of = |status| match read(status, None, "no", now(), |_| Some("check it".into())) {
            Answer::Kept(kept) => kept.reason,
            other => format!("{other:?}"),
        };
        assert_eq!([of(401), of(503)], ["401 no (check it)", "503 no"]);
    }
}
