//! One JSON body by HTTP: webhooks, chats, PagerDuty.

use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Url};
use sha2::Sha256;

use super::template::Body;
use super::{Alert, AlertError, Outcome, words};
use crate::net::clock;
use crate::scenario::watch::form::Mistake;
use crate::scenario::watch::{Chat, How};
use crate::sink::http::{self, TimeOuts};
use crate::sink::{Kept, KeptBecause};
use crate::units::Secret;

/// Where PagerDuty takes events.
const PAGERDUTY: &str = "https://events.pagerduty.com/v2/enqueue";

/// Who is told by HTTP.
pub struct Post {
    http: Client,
    url: Url,
    /// `None` for the alert as it is.
    body: Option<Body>,
    /// Signs bodies.
    secret: Option<Secret>,
    /// What must not be repeated.
    secrets: Vec<String>,
}

impl std::fmt::Debug for Post {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Post").finish_non_exhaustive()
    }
}

impl Post {
    /// As `how` says, which is one by HTTP.
    pub(super) fn new(sink: &str, how: &How) -> Result<Self, AlertError> {
        let template = |text: &str, path: String, key: Option<Secret>| {
            let wrong = |what: Mistake| AlertError::Template { sink: sink.to_owned(), path, what: what.to_string() };
            Body::new(text, key).map(Some).map_err(wrong)
        };
        match how {
            How::Webhook { url, secret, headers, template: own } => {
                let body = own.as_ref().map(|own| template(&own.text, own.path.display().to_string(), None));
                Self::with(sink, url, headers, body.transpose()?.flatten(), secret.clone())
            }
            How::Chat { chat, url, template: own } => {
                let ours = match chat {
                    Chat::Slack => include_str!("slack.json.j2"),
                    Chat::Teams => include_str!("teams.json.j2"),
                };
                let body = match own {
                    Some(own) => template(&own.text, own.path.display().to_string(), None)?,
                    None => template(ours, format!("{}.json.j2", how.word()), None)?,
                };
                Self::with(sink, url, &[], body, None)
            }
            How::Pagerduty { routing_key, url } => {
                let usual = Secret::new(PAGERDUTY);
                let body = template(
                    include_str!("pagerduty.json.j2"),
                    "pagerduty.json.j2".to_owned(),
                    Some(routing_key.clone()),
                )?;
                let mut post = Self::with(sink, url.as_ref().unwrap_or(&usual), &[], body, None)?;
                post.secrets.push(routing_key.reveal().to_owned());
                Ok(post)
            }
            How::Alertmanager(_) | How::Email { .. } | How::Command { .. } => {
                Err(AlertError::Setting { sink: sink.to_owned(), what: "it is not told by HTTP".to_owned() })
            }
        }
    }

    /// Bodies as they are, to this address.
    pub(super) fn plain(sink: &str, url: &Secret) -> Result<Self, AlertError> {
        Self::with(sink, url, &[], None, None)
    }

    fn with(
        sink: &str,
        url: &Secret,
        headers: &[(String, Secret)],
        body: Option<Body>,
        secret: Option<Secret>,
    ) -> Result<Self, AlertError> {
        let wrong = |what: String| AlertError::Setting { sink: sink.to_owned(), what };
        let address =
            Url::parse(url.reveal()).map_err(|error| wrong(format!("the address cannot be read: {error}")))?;
        let mut map = HeaderMap::new();
        map.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in headers {
            let header =
                HeaderName::try_from(name.as_str()).map_err(|_| wrong(format!("`{name}` is no name of a header")))?;
            let mut value = HeaderValue::from_str(value.reveal())
                .map_err(|_| wrong(format!("the header {name} cannot hold its value")))?;
            value.set_sensitive(true);
            map.insert(header, value);
        }
        let http = http::client(&address, TimeOuts::default()).default_headers(map).build();
        let http = http.map_err(|error| wrong(format!("cannot start an HTTP client: {}", error.without_url())))?;
        let mut secrets: Vec<String> = headers.iter().map(|(_, value)| value.reveal().to_owned()).collect();
        // A path or a query may be what lets us in; the host is none.
        let path = address.path().trim_matches('/');
        secrets.extend(
            [path, address.query().unwrap_or_default(), address.password().unwrap_or_default()].map(str::to_owned),
        );
        secrets.extend(secret.as_ref().map(|secret| secret.reveal().to_owned()));
        Ok(Self { http, url: address, body, secret, secrets })
    }

    pub(super) async fn deliver(&self, alert: &Alert) -> Outcome {
        let body = match &self.body {
            None => Ok(serde_json::to_vec(alert).expect("an alert is plain data")),
            Some(body) => body.render(alert).map_err(|what| format!("the template: {what}")),
        };
        match body {
            Ok(body) => self.send(body, Some(&alert.id)).await,
            Err(what) => Outcome::Refused(words(&what, &self.secrets)),
        }
    }

    /// Posts a body. `id` is the same each time that it is sent.
    pub(super) async fn send(&self, body: Vec<u8>, id: Option<&str>) -> Outcome {
        let mut request = self.http.post(self.url.clone());
        if let Some(id) = id.and_then(|id| HeaderValue::from_str(id).ok()) {
            request = request.header("Idempotency-Key", id);
        }
        if let Some(secret) = &self.secret {
            let at = clock::timestamp().as_second();
            request = request.header("Ringfleet-Signature", signature(secret.reveal().as_bytes(), at, &body));
        }
        match request.body(body).send().await {
            Ok(response) => {
                let (status, asked) = (response.status().as_u16(), http::retry_after(&response));
                let said = if response.status().is_success() { String::new() } else { http::words_of(response).await };
                outcome(status, asked.as_deref(), &words(&said, &self.secrets))
            }
            Err(error) => Outcome::unavailable(words(&http::reason_of(&error), &self.secrets)),
        }
    }
}

/// `t=SECONDS,v1=HEX`: HMAC-SHA256 over the time, a full stop and the body. Who checks that the time is near knows that
/// nobody sends again what was heard once.
fn signature(secret: &[u8], at: i64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
    mac.update(format!("{at}.").as_bytes());
    mac.update(body);
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={at},v1={hex}")
}

/// What a status means.
fn outcome(status: u16, asked: Option<&str>, said: &str) -> Outcome {
    let reason = if said.is_empty() { status.to_string() } else { format!("{status} {said}") };
    let wait = || asked.and_then(|asked| http::wait_of(asked, clock::timestamp()));
    match status {
        200..=299 => Outcome::Accepted,
        408 | 425 | 429 | 500..=599 => Outcome::Kept(Kept { because: KeptBecause::Unavailable, reason, wait: wait() }),
        // Token, rights, address: somebody mends it, and the message is still true.
        300..=399 | 401..=405 | 407 | 410 => {
            Outcome::Kept(Kept { because: KeptBecause::Configuration, reason, wait: wait() })
        }
        _ => Outcome::Refused(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_hmac_sha256_of_time_and_body() {
        // printf '1774744200.{"a":1}' | openssl dgst -sha256 -hmac key
        let expected = "t=1774744200,v1=ac969a641f5cb336d162d97c8984242070b5bbb2fb1528006301d4afc45862d4";
        assert_eq!(signature(b"key", 1_774_744_200, b"{\"a\":1}"), expected);
    }

    #[test]
    fn each_status_has_its_outcome() {
        let of = |status| match outcome(status, Some("7"), "") {
            Outcome::Accepted => "accepted",
            Outcome::Refused(_) => "refused",
            Outcome::Kept(Kept { because: KeptBecause::Configuration, .. }) => "configuration",
            Outcome::Kept(_) => "again",
        };
        for (outcome, statuses) in [
            ("accepted", &[200, 201, 202, 204][..]),
            ("refused", &[400, 406, 409, 413, 415, 422]),
            ("configuration", &[301, 401, 403, 404, 405, 410]),
            ("again", &[408, 425, 429, 500, 502, 503, 504]),
        ] {
            statuses.iter().for_each(|status| assert_eq!(of(*status), outcome, "{status}"));
        }
        let Outcome::Kept(kept) = outcome(503, Some("7"), "busy") else { panic!("it is kept") };
        assert_eq!((kept.wait, kept.reason.as_str()), (Some(std::time::Duration::from_secs(7)), "503 busy"));
    }
}
