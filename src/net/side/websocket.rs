//! A WebSocket that stays open for a leg: JSON messages both ways.

use std::sync::Arc;

use futures_util::{SinkExt as _, StreamExt as _};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tungstenite::client::IntoClientRequest as _;
use tungstenite::http::Uri;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Error, Message};

use super::{Failure, Voice, cause_of, http, places, unreachable};
use crate::record::SideFault;
use crate::station::side::{LARGEST_MESSAGE, News, Request};

/// Bytes that are read at a time: one for each agent.
const READ: usize = 4096;

/// Either kind of connection.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

type Socket = WebSocketStream<Box<dyn Stream>>;

/// The URL with the scheme of a WebSocket.
pub(super) fn url_of(url: &str) -> String {
    match url.split_once("://") {
        Some(("http", rest)) => format!("ws://{rest}"),
        Some(("https", rest)) => format!("wss://{rest}"),
        _ => url.to_owned(),
    }
}

/// Opens the WebSocket with the first request, sends what comes, and tells of every message, until it ends or nobody can
/// say anything any more.
pub(super) async fn keep(
    seat: u64,
    url: String,
    config: Arc<ClientConfig>,
    mut said: mpsc::Receiver<Box<Request>>,
    voice: Voice,
) {
    let Some(first) = said.recv().await else { return };
    let (number, within) = (first.number, first.within);
    let opened = match timeout(within, open(&url, &first, config)).await {
        Ok(opened) => opened,
        Err(_) => Err((SideFault::Timeout, format!("no connection within {within:?}"))),
    };
    let mut socket = match opened {
        Ok(socket) => socket,
        Err((fault, text)) => {
            // The next one who says something opens it anew.
            drop(said);
            return voice.tell(seat, News::Failed { number, fault, text }).await;
        }
    };
    let ended = converse(seat, &mut socket, first, &mut said, &voice).await;
    drop(said);
    let _ = socket.close(None).await;
    if let Some(text) = ended {
        voice.tell(seat, News::Closed(text)).await;
    }
}

/// How the conversation ended; `None` where the leg was done.
async fn converse(
    seat: u64,
    socket: &mut Socket,
    first: Box<Request>,
    said: &mut mpsc::Receiver<Box<Request>>,
    voice: &Voice,
) -> Option<String> {
    let mut next = Some(first);
    loop {
        if let Some(request) = next.take() {
            if let Some(body) = &request.body
                && let Err(error) = socket.send(Message::text(body.reveal())).await
            {
                return Some(end_of(&error));
            }
            voice.tell(seat, News::Said { number: request.number }).await;
        }
        tokio::select! {
            request = said.recv() => next = Some(request?),
            came = socket.next() => match came {
                Some(Ok(Message::Text(text))) => voice.tell(seat, News::Message(text.as_str().to_owned())).await,
                Some(Ok(Message::Binary(bytes))) => {
                    voice.tell(seat, News::Message(String::from_utf8_lossy(&bytes).into_owned())).await;
                }
                Some(Ok(Message::Close(frame))) => {
                    let said = frame.map_or_else(String::new, |frame| format!(" ({} {})", frame.code, frame.reason));
                    return Some(format!("the application closed the WebSocket{said}"));
                }
                // Pings are answered by the protocol itself.
                Some(Ok(_)) => {}
                Some(Err(error)) => return Some(end_of(&error)),
                None => return Some("the application closed the WebSocket".to_owned()),
            },
        }
    }
}

fn end_of(error: &Error) -> String {
    format!("the WebSocket broke: {}", cause_of(error))
}

async fn open(url: &str, request: &Request, config: Arc<ClientConfig>) -> Result<Socket, Failure> {
    let wrong = |_| unreachable("this is no URL of a WebSocket");
    let mut upgrade = url.into_client_request().map_err(|_| unreachable("this is no URL of a WebSocket"))?;
    for (name, value) in http::headers(request)? {
        let Some(name) = name else { continue };
        upgrade.headers_mut().insert(name, value);
    }
    let uri: Uri = url.parse().map_err(wrong)?;
    let secure = uri.scheme_str() == Some("wss");
    let host = uri.host().unwrap_or_default().to_owned();
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let tcp = connect(&host, port).await?;
    let stream: Box<dyn Stream> = if secure {
        let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(name).map_err(|_| unreachable(format!("`{host}` is no name of a server")))?;
        let secured = TlsConnector::from(config).connect(name, tcp).await;
        Box::new(secured.map_err(|error| unreachable(cause_of(&error)))?)
    } else {
        Box::new(tcp)
    };
    let bounds = WebSocketConfig::default()
        .read_buffer_size(READ)
        .max_message_size(Some(LARGEST_MESSAGE))
        .max_frame_size(Some(LARGEST_MESSAGE));
    match tokio_tungstenite::client_async_with_config(upgrade, stream, Some(bounds)).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(answer)) => {
            Err((SideFault::Refused, format!("the upgrade to WebSocket was answered with {}", answer.status())))
        }
        Err(error) => Err(unreachable(format!("no upgrade to WebSocket: {}", cause_of(&error)))),
    }
}

async fn connect(host: &str, port: u16) -> Result<TcpStream, Failure> {
    let mut last = unreachable(format!("the name {host} has no address"));
    for place in places(host, port).await? {
        match TcpStream::connect(place).await {
            Ok(stream) => {
                // Messages are small and waited for.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => last = unreachable(format!("cannot connect to {place}: {error}")),
        }
    }
    Err(last)
}
