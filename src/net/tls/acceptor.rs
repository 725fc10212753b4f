//! Our side of TLS towards those who connect to us, with a certificate that is made at start.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection};

use super::{Session, TlsError, provider};
use crate::net::udp::own_address;

/// How to take in those who connect.
#[derive(Clone, Debug)]
pub struct Acceptor(Arc<ServerConfig>);

/// A certificate for a domain and the CA that vouches for it, both made for this process.
#[derive(Debug)]
pub struct SelfSigned {
    /// Takes in those who connect.
    pub acceptor: Acceptor,
    /// The CA, PEM: whom clients have to trust.
    pub ca: String,
}

impl Acceptor {
    /// With a certificate chain and its key, PEM. Clients have to show a certificate of `client_ca` where it is given.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn new(chain: &str, key: &str, client_ca: Option<&str>) -> Result<Self, TlsError> {
        let wrong = |error: rustls::pki_types::pem::Error| TlsError::Identity(error.to_string());
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain.as_bytes()).collect();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(wrong)?;
        Self::of(chain.map_err(wrong)?, key, client_ca)
    }

    fn of(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        client_ca: Option<&str>,
    ) -> Result<Self, TlsError> {
        let provider = provider();
        let builder =
            ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
        let builder = match client_ca {
            None => builder.with_no_client_auth(),
            Some(ca) => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(CertificateDer::pem_slice_iter(ca.as_bytes()).flatten());
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(verifier.map_err(|error| TlsError::Identity(error.to_string()))?)
            }
        };
        Ok(Self(Arc::new(builder.with_single_cert(chain, key)?)))
    }

    /// Begins a handshake.
    ///
    /// # Errors
    /// rustls says no.
    pub fn accept(&self) -> io::Result<Session> {
        let connection = ServerConnection::new(Arc::clone(&self.0));
        connection.map(|it| Session(it.into())).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
    }
}

impl SelfSigned {
    /// A certificate for `domain`, the loopback addresses and the address listened at, or known by where that is every.
    ///
    /// # Errors
    /// [`TlsError`]: a domain that no certificate can hold.
    pub fn new(domain: &str, listening: IpAddr) -> Result<Self, TlsError> {
        let wrong = |error: rcgen::Error| TlsError::Identity(error.to_string());
        let ca_key = KeyPair::generate().map_err(wrong)?;
        let mut ca = CertificateParams::new(Vec::new()).map_err(wrong)?;
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        ca.distinguished_name.push(DnType::CommonName, format!("Ringfleet CA of {domain}"));
        let ca_certificate = ca.self_signed(&ca_key).map_err(wrong)?;
        let mut names = vec![SanType::DnsName("localhost".try_into().map_err(wrong)?)];
        match domain.parse() {
            Ok(address) => names.push(SanType::IpAddress(address)),
            Err(_) => names.push(SanType::DnsName(domain.try_into().map_err(wrong)?)),
        }
        for address in [IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]), own_address(listening)] {
            names.push(SanType::IpAddress(address));
        }
        let mut params = CertificateParams::new(Vec::new()).map_err(wrong)?;
        params.distinguished_name.push(DnType::CommonName, domain);
        params.subject_alt_names = names;
        let key = KeyPair::generate().map_err(wrong)?;
        let certificate = params.signed_by(&key, &Issuer::new(ca, &ca_key)).map_err(wrong)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let acceptor = Acceptor::of(vec![certificate.der().clone()], key, None)?;
        Ok(Self { acceptor, ca: ca_certificate.pem() })
    }
}
