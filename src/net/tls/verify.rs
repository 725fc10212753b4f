//! Is the certificate that of the server? Of a WebSocket server it has to be that of its host, as in HTTPS, unless any
//! will do. Else: is it that of the SIP domain? RFC 5922 §7: a `sip:` URI or a DNS name in subjectAltName, compared as a
//! whole. A wildcard does not count, and neither does the common name.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme};
use webpki::EndEntityCert;

use super::fault::SelfSigned;
use crate::scenario::plan::Verify;

/// Verifies servers.
#[derive(Debug)]
pub(super) struct Verifier {
    pub(super) verify: Verify,
    pub(super) roots: Arc<RootCertStore>,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.verify == Verify::Nothing {
            return Ok(ServerCertVerified::assertion());
        }
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, &self.roots, intermediates, now, algorithms)
            .map_err(|error| if is_self_signed(&error, end_entity) { SelfSigned.into() } else { error })?;
        match server_name {
            ServerName::DnsName(domain) if self.verify == Verify::SipDomain => {
                verify_domain(end_entity, domain.as_ref(), server_name)?;
            }
            // RFC 5922 is about domains; an address is compared as RFC 9525 does.
            _ => verify_server_name(&certificate, server_name)?,
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Whether this error comes of nobody else having signed the certificate: of one that is a CA's as well, as OpenSSL makes them,
/// nothing but that is looked at.
fn is_self_signed(error: &Error, end_entity: &CertificateDer<'_>) -> bool {
    let Error::InvalidCertificate(error) = error else { return false };
    let unvouched = match error {
        CertificateError::UnknownIssuer => true,
        CertificateError::Other(OtherError(inner)) => {
            inner.downcast_ref::<webpki::Error>() == Some(&webpki::Error::CaUsedAsEndEntity)
        }
        _ => false,
    };
    unvouched && EndEntityCert::try_from(end_entity).is_ok_and(|it| it.issuer() == it.subject())
}

fn verify_domain(end_entity: &CertificateDer<'_>, domain: &str, expected: &ServerName<'_>) -> Result<(), Error> {
    let certificate = EndEntityCert::try_from(end_entity).map_err(|_| CertificateError::BadEncoding)?;
    let dns = certificate.valid_dns_names();
    let identities: Vec<&str> = certificate.valid_uri_names().filter_map(sip_domain).chain(dns).collect();
    if identities.iter().any(|identity| is_same(identity, domain)) {
        return Ok(());
    }
    let presented = identities.into_iter().map(ToOwned::to_owned).collect();
    Err(CertificateError::NotValidForNameContext { expected: expected.to_owned(), presented }.into())
}

/// The domain of a `sip:` URI without user part (§7.1).
fn sip_domain(uri: &str) -> Option<&str> {
    let (scheme, rest) = uri.split_once(':')?;
    let host = rest.split([';', '?', ':']).next()?;
    (scheme.eq_ignore_ascii_case("sip") && !rest.contains('@') && !host.is_empty()).then_some(host)
}

fn is_same(identity: &str, domain: &str) -> bool {
    identity.trim_end_matches('.').eq_ignore_ascii_case(domain.trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sip_uri_without_user_names_a_domain() {
        for (uri, domain) in [
            ("sip:Pbx.example", Some("Pbx.example")),
            ("SIP:pbx.example:5061;transport=tls", Some("pbx.example")),
            ("sip:alice@pbx.example", None),
            ("sips:pbx.example", None),
            ("https://pbx.example", None),
            ("sip:", None),
        ] {
            assert_eq!(sip_domain(uri), domain, "{uri}");
        }
        assert!(is_same("PBX.example", "pbx.example.") && !is_same("*.example", "pbx.example"));
    }
}
