//! One HTTP request and its answer.

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Response};
use rustls::ClientConfig;

use super::{Failure, Voice, cause_of, unreachable};
use crate::record::SideFault;
use crate::scenario::plan;
use crate::station::side::{LARGEST_ANSWER, News, Request};

/// Connections to a host that are kept for the next request.
const KEPT_CONNECTIONS: usize = 64;

/// A client for one application.
pub(super) fn client(tls: ClientConfig) -> reqwest::Result<Client> {
    Client::builder()
        .user_agent(concat!("ringfleet/", env!("CARGO_PKG_VERSION")))
        .tls_backend_preconfigured(tls)
        .pool_max_idle_per_host(KEPT_CONNECTIONS)
        // What is tested is the application itself; and a redirection may lead where nobody meant to go.
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
}

pub(super) async fn ask(seat: u64, request: Request, url: String, client: Client, voice: Voice) {
    let number = request.number;
    let answered = tokio::time::timeout(request.within, exchange(&request, &url, &client)).await;
    let news = match answered {
        Ok(Ok((status, body))) => News::Answered { number, status, body },
        Ok(Err((fault, text))) => News::Failed { number, fault, text },
        Err(_) => {
            News::Failed { number, fault: SideFault::Timeout, text: format!("no answer within {:?}", request.within) }
        }
    };
    voice.tell(seat, news).await;
}

async fn exchange(request: &Request, url: &str, client: &Client) -> Result<(u16, Vec<u8>), Failure> {
    let mut asked = client.request(method(request.method), url).headers(headers(request)?);
    if let Some(body) = &request.body {
        asked = asked.header(CONTENT_TYPE, "application/json").body(body.reveal().to_owned());
    }
    let response = asked.send().await.map_err(|error| {
        let what = if error.is_connect() { "cannot connect: " } else { "" };
        unreachable(format!("{what}{}", cause_of(&error.without_url())))
    })?;
    let status = response.status().as_u16();
    Ok((status, body(response).await?))
}

fn method(method: plan::Method) -> Method {
    match method {
        plan::Method::Get => Method::GET,
        plan::Method::Post => Method::POST,
        plan::Method::Put => Method::PUT,
        plan::Method::Patch => Method::PATCH,
        plan::Method::Delete => Method::DELETE,
    }
}

/// Those of the application, and those of the request in their place where both have one.
pub(super) fn headers(request: &Request) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    for (name, value) in request.access.headers.iter().chain(&request.headers) {
        // The value is left out: it may be a token.
        let wrong = || unreachable(format!("the header {name} cannot be sent: its value is no line of text"));
        let known = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
        let mut value = HeaderValue::from_str(value.reveal()).map_err(|_| wrong())?;
        value.set_sensitive(true);
        headers.insert(known, value);
    }
    Ok(headers)
}

async fn body(mut response: Response) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > LARGEST_ANSWER => {
                return Err((SideFault::Unexpected, format!("the answer is larger than {LARGEST_ANSWER} bytes")));
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body),
            Err(error) => {
                return Err(unreachable(format!("the answer broke off: {}", cause_of(&error.without_url()))));
            }
        }
    }
}
