//! One batch to the server: requests, halves, and the outcome of each line.

use std::io::Write as _;
use std::ops::Range;

use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, Response, StatusCode, Url};

use super::InfluxTarget;
use super::answer::{self, Answer};
use crate::net::clock;
use crate::sink::http::{self, TimeOuts};
use crate::sink::spool::Rejected;
use crate::sink::{Delivery, Kept, KeptBecause, Sink, SinkError};

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
        let builder = http::client(&target.write_url(), time_outs).default_headers(headers);
        let http = builder.build().map_err(|error| SinkError::Http(error.to_string()))?;
        Ok(Self { http, url: target.write_url(), target: target.clone(), largest: usize::MAX })
    }

    async fn post(&self, lines: &[&[u8]]) -> Answer {
        let request = self.http.post(self.url.clone()).body(compressed(lines));
        match request.send().await {
            Ok(response) => read(response, &self.target).await,
            Err(error) => {
                Answer::Kept(Kept { because: KeptBecause::Unavailable, reason: http::reason_of(&error), wait: None })
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

async fn read(response: Response, target: &InfluxTarget) -> Answer {
    let status = response.status();
    let retry_after = http::retry_after(&response);
    let body = if status == StatusCode::NO_CONTENT { String::new() } else { http::words_of(response).await };
    let words = answer::words_of(&body);
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
