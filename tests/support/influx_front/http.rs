//! As much of HTTP/1.1 as a front for writes needs.

use std::io::{self, Read as _};

use flate2::read::GzDecoder;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A request with its whole body.
pub(super) struct Request {
    pub(super) path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// An answer.
pub(super) struct Response {
    status: u16,
    body: String,
    pub(super) retry_after: Option<String>,
}

impl Response {
    pub(super) fn new(status: u16, body: &str) -> Self {
        Self { status, body: body.to_owned(), retry_after: None }
    }
}

impl Request {
    /// A header by its lower-case name.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// A parameter of the query, decoded.
    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        let pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find(|(given, _)| *given == name).map(|(_, value)| decoded(value))
    }

    /// The body as it was before compression.
    pub(super) fn decompressed(&self) -> Option<Vec<u8>> {
        if self.header("content-encoding") != Some("gzip") {
            return Some(self.body.clone());
        }
        let mut body = Vec::new();
        GzDecoder::new(self.body.as_slice()).read_to_end(&mut body).ok().map(|_| body)
    }
}

/// Reads the next request; `None` when the client has gone or speaks something else.
pub(super) async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Request> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        more(stream, buffer).await?;
    };
    let head = String::from_utf8(buffer.drain(..end).collect()).ok()?;
    let mut lines = head.lines();
    let target = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let mut request = Request { path: path.to_owned(), query: query.to_owned(), headers, body: Vec::new() };
    let length = request.header("content-length").map_or(Some(0), |length| length.parse().ok())?;
    while buffer.len() < length {
        more(stream, buffer).await?;
    }
    request.body = buffer.drain(..length).collect();
    Some(request)
}

async fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    let read = stream.read_buf(buffer).await.ok()?;
    (read > 0).then_some(())
}

pub(super) async fn write(stream: &mut TcpStream, response: &Response) -> io::Result<()> {
    let Response { status, body, retry_after } = response;
    let retry_after = retry_after.as_ref().map_or(String::new(), |value| format!("Retry-After: {value}\r\n"));
    // 204 has neither a body nor a length (RFC 9110 §8.6).
    let length = if *status == 204 { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let text =
        format!("HTTP/1.1 {status} Status\r\n{retry_after}{length}\r\n{}", if *status == 204 { "" } else { body });
    stream.write_all(text.as_bytes()).await
}

/// Posts lines to `/write` of InfluxDB 1.x and gives back its answer.
pub(super) async fn forward(server: &str, database: &str, lines: &[u8]) -> Response {
    match exchange(server, database, lines).await {
        Ok(response) => response,
        Err(error) => Response::new(503, &format!(r#"{{"message":"no InfluxDB behind this front: {error}"}}"#)),
    }
}

async fn exchange(server: &str, database: &str, lines: &[u8]) -> io::Result<Response> {
    let mut stream = TcpStream::connect(server).await?;
    let head = format!(
        "POST /write?db={database}&precision=ns HTTP/1.1\r\nHost: {server}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        lines.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(lines).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    // A server killed in mid-answer has promised nothing.
    let status = status.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
    Ok(Response::new(status, body))
}

fn decoded(value: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next().unwrap_or(b'0'), rest.next().unwrap_or(b'0')];
                let digits = std::str::from_utf8(&digits).unwrap_or("3F");
                u8::from_str_radix(digits, 16).unwrap_or(b'?')
            }
            byte => byte,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
