//! Our side of TLS towards a server.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::verify::Verifier;
use super::{Session, provider};
use crate::scenario::plan::{Roots, TlsSettings, TlsVersion, Verify};

/// Why TLS towards a server cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No certificate to trust.
    #[error("{0} holds no certificate that can be trusted")]
    NoRoots(&'static str),
    /// The client's certificate or key.
    #[error("the client certificate cannot be used: {0}")]
    Identity(String),
    /// The name of the server.
    #[error("`{0}` is no name of a server")]
    Name(String),
    /// rustls says no.
    #[error("TLS cannot be set up: {0}")]
    Config(#[from] rustls::Error),
}

/// How to connect to one server; shared by all workers.
#[derive(Clone, Debug)]
pub struct Client {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Client {
    /// From a target's settings. `lab` is the CA of the built-in lab.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn new(settings: &TlsSettings, lab: Option<&str>) -> Result<Self, TlsError> {
        let config = config(settings, lab)?;
        let name = ServerName::try_from(settings.name.clone()).map_err(|_| TlsError::Name(settings.name.clone()))?;
        Ok(Self { config: Arc::new(config), name })
    }

    /// Begins a handshake.
    ///
    /// # Errors
    /// rustls says no.
    pub fn connect(&self) -> io::Result<Session> {
        let connection = ClientConnection::new(Arc::clone(&self.config), self.name.clone());
        connection.map(|it| Session(it.into())).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
    }

    /// Until when the certificate holds that the server at this address shows, since 1970; all that a call checks is checked.
    /// Blocks, `within` for each step: for the preflight.
    ///
    /// # Errors
    /// No connection, or none that a call would take.
    pub fn certificate_end(&self, address: SocketAddr, within: Duration) -> io::Result<Duration> {
        let mut socket = TcpStream::connect_timeout(&address, within)?;
        socket.set_read_timeout(Some(within))?;
        socket.set_write_timeout(Some(within))?;
        self.connect()?.certificate_end(&mut socket)
    }
}

/// What a target says of TLS, whatever server it is towards. `lab` is the CA of the built-in lab.
pub(in crate::net) fn config(settings: &TlsSettings, lab: Option<&str>) -> Result<ClientConfig, TlsError> {
    let provider = provider();
    let roots = match &settings.roots {
        _ if settings.verify == Verify::Nothing => RootCertStore::empty(),
        Roots::System => system_roots()?,
        Roots::Given(pem) => given_roots(pem, "the file of `ca`")?,
        Roots::Lab => given_roots(lab.unwrap_or(""), "the lab")?,
    };
    let algorithms = provider.signature_verification_algorithms;
    let verifier = Verifier { verify: settings.verify, roots: Arc::new(roots), algorithms };
    let versions: &[_] = match settings.minimum {
        TlsVersion::V1_2 => &[&TLS13, &TLS12],
        TlsVersion::V1_3 => &[&TLS13],
    };
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions)?;
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    Ok(match &settings.identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let wrong = |error: rustls::pki_types::pem::Error| TlsError::Identity(error.to_string());
            let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(identity.chain.as_bytes()).collect();
            let key = PrivateKeyDer::from_pem_slice(identity.key.reveal().as_bytes()).map_err(wrong)?;
            let chain = chain.map_err(wrong)?;
            builder.with_client_auth_cert(chain, key).map_err(|error| TlsError::Identity(error.to_string()))?
        }
    })
}

/// The certificates that this machine trusts: what its administrator adds for the company counts, which a list of
/// Mozilla's compiled in would not.
fn system_roots() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(TlsError::NoRoots("this machine")) } else { Ok(roots) }
}

fn given_roots(pem: &str, source: &'static str) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(pem.as_bytes()).flatten());
    if roots.is_empty() { Err(TlsError::NoRoots(source)) } else { Ok(roots) }
}
