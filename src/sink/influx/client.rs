//! One batch to the server: requests, halves, and the outcome of each line.

use std::error::Error as _;
use std::io::Write as _;
use std::ops::Range;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url};

use super::InfluxTarget;
use super::answer::{self, Answer};
use crate::net::clock;
use crate::sink::spool::Rejected;
use crate::sink::{Delivery, Kept, KeptBecause, Sink, SinkError};

/// Most of an error body that is read, bytes.
const MAX_WORDS: usize = 2048;

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

/// A connection to one database.
#[derive(Debug)]
pub struct InfluxClient {
    http: Client,
    url: Url,
    target: InfluxTarget,
    /// Largest body that is tried, bytes before compression; a 413 lowers it.
    largest: usize,
}

impl InfluxClient {
    /// A client; nothing is connected yet.
    pub fn new(target: &InfluxTarget, time_outs: TimeOuts) -> Result<Self, SinkError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        if let Some(authorization) = target.authorization() {
            let mut value = HeaderValue::from_str(authorization.reveal())
                .expect("a target checks that its token fits into a header");
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let builder = Client::builder()
            .user_agent(concat!("ringfleet/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .connect_timeout(time_outs.connect)
            .timeout(time_outs.request)
            // A redirected POST loses its body or its token.
            .redirect(reqwest::redirect::Policy::none());
        let builder = if target.is_local() { builder.no_proxy() } else { builder };
        let http = builder.build().map_err(|error| SinkError::Http(error.to_string()))?;
        Ok(Self { http, url: target.write_url(), target: target.clone(), largest: usize::MAX })
    }

    async fn post(&self, lines: &[&[u8]]) -> Answer {
        let request = self.http.post(self.url.clone()).body(compressed(lines));
        match request.send().await {
            Ok(response) => read(response, &self.target).await,
            Err(error) => {
                Answer::Kept(Kept { because: KeptBecause::Unavailable, reason: reason_of(error), wait: None })
            }
        }
    }

    /// Where a range is cut because the server would not take it as a whole.
    fn cut(&self, lines: &[&[u8]], range: &Range<usize>) -> Option<usize> {
        let too_large = bytes_of(&lines[range.clone()]) > self.largest;
        (too_large && range.len() > 1).then(|| middle(range))
    }
}

impl Sink for InfluxClient {
    async fn deliver(&mut self, lines: &[&[u8]]) -> Delivery {
        let mut delivery = Delivery::default();
        // Ranges still to be sent, the first on top. Each is halved down to the line that is refused.
        let whole = 0..lines.len();
        let mut waiting = vec![whole];
        while let Some(range) = waiting.pop() {
            if let Some(middle) = self.cut(lines, &range) {
                waiting.extend([middle..range.end, range.start..middle]);
                continue;
            }
            match self.post(&lines[range.clone()]).await {
                Answer::Accepted => delivery.accepted += range.len(),
                Answer::Refused(reason) | Answer::TooLarge(reason) if range.len() == 1 => {
                    delivery.rejected.push(Rejected { line: range.start, reason });
                }
                answer @ (Answer::Refused(_) | Answer::TooLarge(_)) => {
                    if matches!(answer, Answer::TooLarge(_)) {
                        self.largest = bytes_of(&lines[range.clone()]) / 2;
                    }
                    let middle = middle(&range);
                    waiting.extend([middle..range.end, range.start..middle]);
                }
                Answer::Kept(kept) => {
                    delivery.kept = Some(kept);
                    break;
                }
            }
        }
        delivery
    }
}

async fn read(mut response: Response, target: &InfluxTarget) -> Answer {
    let status = response.status();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut body = Vec::new();
    if status != StatusCode::NO_CONTENT {
        // What came of it decides, so a body that breaks off is no error.
        while let Ok(Some(chunk)) = response.chunk().await {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_WORDS {
                body.truncate(MAX_WORDS);
                break;
            }
        }
    }
    let words = answer::words_of(&String::from_utf8_lossy(&body));
    answer::read(status.as_u16(), retry_after.as_deref(), &words, clock::timestamp(), |status| target.hint(status))
}

fn compressed(lines: &[&[u8]]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for line in lines {
        encoder.write_all(line).and_then(|()| encoder.write_all(b"\n")).expect("a Vec takes everything");
    }
    encoder.finish().expect("a Vec takes everything")
}

fn bytes_of(lines: &[&[u8]]) -> usize {
    lines.iter().map(|line| line.len() + 1).sum()
}

fn middle(range: &Range<usize>) -> usize {
    range.start + range.len() / 2
}

/// The innermost cause says it best: "Connection refused".
fn reason_of(error: reqwest::Error) -> String {
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
