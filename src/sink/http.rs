//! HTTP of sinks: the client, what went wrong in words, and how long a server asks to wait.

use std::error::Error as _;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::RETRY_AFTER;
use reqwest::{Client, ClientBuilder, Response, Url};

/// Most of an error body that is read, bytes.
const MAX_WORDS: usize = 2048;
/// Longest wait that a Retry-After can ask for.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// How long a request may take.
#[derive(Clone, Copy, Debug)]
pub struct TimeOuts {
    /// Until the connection stands, default 5 s.
    pub connect: Duration,
    /// From the start to the end of the answer, default 10 s. InfluxDB 3 Core answers after about 1 s.
    pub request: Duration,
}

impl Default for TimeOuts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), request: Duration::from_secs(10) }
    }
}

/// A client for requests to one server.
pub(super) fn client(url: &Url, time_outs: TimeOuts) -> ClientBuilder {
    let builder = Client::builder()
        .user_agent(concat!("ringfleet/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(time_outs.connect)
        .timeout(time_outs.request)
        // A redirected POST loses its body or its token.
        .redirect(reqwest::redirect::Policy::none());
    if is_local(url) { builder.no_proxy() } else { builder }
}

/// Whether a server is this machine, where no proxy stands in between.
pub(super) fn is_local(url: &Url) -> bool {
    url.host_str().is_some_and(|host| host == "localhost" || host.starts_with("127.") || host == "[::1]")
}

/// The beginning of a body. What came of it decides, so a body that breaks off is no error.
pub(super) async fn words_of(mut response: Response) -> String {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_WORDS {
            body.truncate(MAX_WORDS);
            break;
        }
    }
    String::from_utf8_lossy(&body).into_owned()
}

/// How long a server asks to wait.
pub(super) fn retry_after(response: &Response) -> Option<String> {
    response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// RFC 9110 §10.2.3: seconds, or a date.
pub(super) fn wait_of(value: &str, now: Timestamp) -> Option<Duration> {
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

/// The innermost cause says it best: "Connection refused". The address, which may be a secret, is no part of it.
pub(super) fn reason_of(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "the server did not answer in time".into();
    }
    let what = if error.is_connect() { "cannot connect" } else { "the connection broke" };
    let mut cause = error.source();
    while let Some(deeper) = cause.and_then(|cause| cause.source()) {
        cause = Some(deeper);
    }
    cause.map_or_else(|| what.to_owned(), |cause| format!("{what}: {cause}"))
}
