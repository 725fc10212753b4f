//! The certificate of DTLS, made for this process: its fingerprint in SDP is all that vouches for it (RFC 5763).

use std::sync::Arc;

use rcgen::{CertificateParams, DnType, KeyPair};

use super::TlsError;
use crate::webrtc::Identity;

/// A certificate of a P-256 key, which every browser takes.
///
/// # Errors
/// [`TlsError`]: the cryptography does not work here.
pub fn dtls_identity() -> Result<Arc<Identity>, TlsError> {
    let wrong = |error: rcgen::Error| TlsError::Identity(error.to_string());
    let key = KeyPair::generate().map_err(wrong)?;
    let mut params = CertificateParams::new(Vec::new()).map_err(wrong)?;
    params.distinguished_name.push(DnType::CommonName, "ringfleet");
    let certificate = params.self_signed(&key).map_err(wrong)?;
    let identity = Identity::new(certificate.der().to_vec(), key.serialize_der());
    identity.map(Arc::new).map_err(|error| TlsError::Identity(error.to_string()))
}
