//! By which transport a target is reached: the server of `sip:`, or that of `websocket:`.

use std::sync::Arc;

use super::doc::{At, Report};
use super::server;
use super::site::Site;
use crate::scenario::file::TargetFile;
use crate::scenario::file::target::TransportWord;
use crate::scenario::plan::{Server, Target, Transport};

/// How the address of a server is written.
pub(super) const SERVER_FORM: &str = "write sip:HOST, sips:HOST, sip:HOST:PORT, HOST:PORT or HOST";

/// The transport of a word that names one of `sip:`.
pub(super) fn transport(word: Option<TransportWord>) -> Option<Transport> {
    match word? {
        TransportWord::Udp => Some(Transport::Udp),
        TransportWord::Tcp => Some(Transport::Tcp),
        TransportWord::Tls => Some(Transport::Tls),
        // That of the URL.
        TransportWord::Ws | TransportWord::Wss => None,
    }
}

/// The transport that a word of `websocket:`'s names has to be that of its URL.
pub(super) fn check_scheme(word: TransportWord, web: &Server, at: At<'_>, report: &mut Report) -> bool {
    let wanted = if word == TransportWord::Wss { Transport::Wss } else { Transport::Ws };
    let agrees = web.transport == Some(wanted);
    if !agrees {
        let message = format!("the target's `websocket:` has no URL that begins with {wanted}:");
        report.add(at, message, "write the transport of its URL, or leave it out");
    }
    agrees
}

impl Site {
    /// The target as an actor reaches it that says by which transport.
    pub(super) fn over(&self, word: Option<TransportWord>, at: At<'_>, report: &mut Report) -> Arc<Target> {
        let Some(word) = word else { return Arc::clone(&self.target) };
        let server = match (transport(Some(word)), &self.sip, &self.web) {
            (Some(transport), Some(sip), _) if sip.sips && transport != Transport::Tls => {
                let help = "write tls, or a server with sip:";
                report.add(at, format!("the target's server is written as sips:, and {transport} is no TLS"), help);
                None
            }
            (Some(transport), Some(sip), _) => Some(Server { transport: Some(transport), ..sip.clone() }),
            (Some(_), None, _) if !self.lossy => {
                report.add(at, "the target has no `sip: { server: … }`", "write ws or wss, or leave it out");
                None
            }
            // The lab takes both at its port.
            (None, _, Some(web)) if self.lab.is_some() => {
                let transport = if word == TransportWord::Wss { Transport::Wss } else { Transport::Ws };
                Some(Server { transport: Some(transport), ..web.clone() })
            }
            (None, _, Some(web)) => check_scheme(word, web, at, report).then(|| web.clone()),
            (None, _, None) if !self.lossy => {
                report.add(at, "the target has no `websocket:`", "add `websocket: { url: … }` to it");
                None
            }
            _ => None,
        };
        let Some(server) = server.filter(|server| *server != self.target.server) else {
            return Arc::clone(&self.target);
        };
        Arc::new(Target { server, ..(*self.target).clone() })
    }
}

/// Where requests go, and the host of the server itself.
pub(super) fn servers(file: &TargetFile, at: At<'_>, report: &mut Report) -> (Option<Server>, Option<String>) {
    let sip = &file.sip;
    let wants_web = matches!(sip.transport, Some(TransportWord::Ws | TransportWord::Wss));
    if wants_web && file.websocket.is_none() {
        report.add(at.key("transport"), "the target has no `websocket:`", "add `websocket: { url: … }`");
    }
    let transport = transport(sip.transport);
    let mut parse = |text: &str, key: &str| {
        server::parse(text, transport).unwrap_or_else(|error| {
            report.add(at.key(key), error.to_string(), SERVER_FORM);
            Server::default()
        })
    };
    let server = sip.server.as_ref().map(|server| parse(server, "server"));
    let host = server.as_ref().map(|server| server.host.clone());
    (sip.outbound_proxy.as_ref().map(|proxy| parse(proxy, "outbound_proxy")).or(server), host)
}
