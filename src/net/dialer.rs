//! How connections to one server are made: what comes above TCP.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::stream::Above;
use super::tls::{Client, TlsError};
use super::websocket::WebSocket;
use crate::scenario::plan::{Server, WebSettings};
use crate::sip::flow::{Hop, Transport};

/// How connections to one server are made; shared by all workers.
#[derive(Clone, Debug, Default)]
pub struct Dialer {
    tls: Option<Client>,
    web: Option<Arc<WebSettings>>,
    /// What comes over it is not cut into messages.
    raw: bool,
}

impl Dialer {
    /// For a server that is reached at these places, or at none that are known yet. `lab` is the CA of the built-in lab.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn new(server: &Server, hops: &[Hop], lab: Option<&str>) -> Result<Self, TlsError> {
        let secure = |transport: Transport| transport.is_secure();
        let wanted = hops.iter().any(|hop| secure(hop.transport))
            || hops.is_empty() && (server.sips || server.transport.is_some_and(secure));
        let tls = wanted.then(|| Client::new(&server.tls, lab)).transpose()?;
        Ok(Self { tls, web: server.web.clone(), raw: server.turn })
    }

    /// Until when the certificate holds that the server shows there; `None` where that is without TLS. Blocks, `within` for each
    /// step.
    pub fn certificate_end(&self, hop: &Hop, within: Duration) -> Option<io::Result<Timestamp>> {
        let client = self.tls.as_ref().filter(|_| hop.transport.is_secure())?;
        let end = client.certificate_end(hop.address, within);
        let timestamp = |end: Duration| {
            let seconds = i64::try_from(end.as_secs()).unwrap_or(i64::MAX);
            Timestamp::from_second(seconds).map_err(io::Error::other)
        };
        Some(end.and_then(timestamp))
    }

    /// Begins what comes above TCP.
    ///
    /// # Errors
    /// The transport is not set up for this server, or its settings cannot be used.
    pub fn above(&self, transport: Transport) -> io::Result<Above> {
        let missing = |what: &str| io::Error::other(format!("{what} is not set up for this server"));
        let tls = match &self.tls {
            _ if !transport.is_secure() => None,
            Some(client) => Some(client.connect()?),
            None => return Err(missing("TLS")),
        };
        let web = match &self.web {
            _ if !transport.is_web() => None,
            Some(settings) => Some(WebSocket::client(settings)?),
            None => return Err(missing("WebSocket")),
        };
        Ok(Above { tls, web, raw: self.raw })
    }
}
