//! A server's address as written, and how TLS towards it is done.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::sip::flow::Transport;
use crate::sip::locate::Wanted;
use crate::sip::uri::bracketed;
use crate::units::Secret;

/// A server's address as written; names are resolved by the shell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Server {
    /// Host name or address.
    pub host: String,
    /// Port; the transport's default where left out.
    pub port: Option<u16>,
    /// Transport; `None` where DNS decides (RFC 3263 §4.1).
    pub transport: Option<Transport>,
    /// It was written as `sips:`, and so is everything that is sent there.
    pub sips: bool,
    /// How TLS is done, where it is.
    pub tls: Arc<TlsSettings>,
    /// How WebSocket is asked for, where it is reached so.
    pub web: Option<Arc<WebSettings>>,
    /// It is a server of STUN or TURN, and no SIP is spoken there.
    pub turn: bool,
}

/// How an agent of WebRTC gathers its candidates (RFC 8445 §5.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ice {
    /// Servers that are asked.
    pub servers: Vec<IceServer>,
    /// Nothing goes but by a relay.
    pub relay_only: bool,
    /// How long the servers may take together.
    pub within: Duration,
    /// Whether descriptions wait for them.
    pub trickle: Trickle,
}

/// Whether candidates follow descriptions in INFO requests (RFC 8838, RFC 8840).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trickle {
    /// None do: descriptions are complete.
    #[default]
    Off,
    /// Those of answers do, to an INVITE that says that they may; offers are complete, for whoever cannot take any later.
    Half,
    /// Those of offers do too: the far end is known to take them.
    Full,
}

impl Default for Ice {
    fn default() -> Self {
        Self { servers: Vec::new(), relay_only: false, within: Duration::from_secs(3), trickle: Trickle::Off }
    }
}

/// A server of STUN or TURN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IceServer {
    /// Its URI (RFC 7064, RFC 7065), for messages.
    pub uri: String,
    /// Where it is, and how TLS is done there.
    pub server: Server,
    /// User name and password of TURN; `None` for STUN.
    pub login: Option<(String, Secret)>,
}

/// SIP over WebSocket towards one server (RFC 7118): the request that a connection begins with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebSettings {
    /// Host and port as the URL has them, for the header Host.
    pub authority: String,
    /// Path and query; the query may hold a token.
    pub path: Secret,
    /// Where the page comes from that a browser would have loaded.
    pub origin: Option<String>,
    /// Further header fields; a value may be a token.
    pub headers: Vec<(String, Secret)>,
    /// Connections are kept alive by ping frames; else by two CRLFs (RFC 5626 §4.4.1).
    pub pings: bool,
    /// An account whose connection was lost waits between this and twice as long, doubling with each failure.
    pub reconnect: Duration,
}

/// TLS towards one server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// Name asked for (SNI) and looked for in the certificate.
    pub name: String,
    /// Whose certificates are trusted.
    pub roots: Roots,
    /// What we show where the server asks for it.
    pub identity: Option<Identity>,
    /// Oldest version that is spoken.
    pub minimum: TlsVersion,
    /// What the server's certificate has to be.
    pub verify: Verify,
}

/// What a server's certificate has to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// One of the SIP domain (RFC 5922 §7): no wildcard.
    #[default]
    SipDomain,
    /// One of the host, as in HTTPS (RFC 9110 §4.3.4): a wildcard counts.
    Host,
    /// Any: the server may be anybody.
    Nothing,
}

/// Whose certificates are trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Roots {
    /// Those of the system.
    #[default]
    System,
    /// These alone, PEM.
    Given(String),
    /// The built-in lab's.
    Lab,
}

/// A client's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The certificate and those between it and a CA, PEM.
    pub chain: String,
    /// Its key, PEM.
    pub key: Secret,
}

/// Versions of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// RFC 5246.
    #[default]
    V1_2,
    /// RFC 8446.
    V1_3,
}

impl Server {
    /// A server by host, port and transport.
    pub fn new(host: impl Into<String>, port: Option<u16>, transport: Transport) -> Self {
        Self { host: host.into(), port, transport: Some(transport), ..Self::default() }
    }

    /// Whether it is reached over WebSocket.
    pub fn is_web(&self) -> bool {
        self.web.is_some()
    }

    /// Whether connections are made to it; false where DNS decides.
    pub fn is_reliable(&self) -> bool {
        self.transport.is_some_and(Transport::is_reliable)
    }

    /// What DNS is asked for.
    pub fn wanted(&self) -> Wanted {
        Wanted { host: self.host.clone(), port: self.port, transport: self.transport, sips: self.sips }
    }

    /// `sips` or `sip`.
    pub const fn scheme(&self) -> &'static str {
        if self.sips { "sips" } else { "sip" }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", bracketed(&self.host))?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        match self.transport {
            Some(transport) => write!(f, " over {transport}"),
            None => Ok(()),
        }
    }
}
