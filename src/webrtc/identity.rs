//! Who we are to the other side of a call: our certificate, and the credentials of one session of ICE.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use dimpl::DtlsCertificate;
use sha2::{Digest, Sha256};

use crate::sip::sdp::crypto::Key;

/// The first repetition of a flight of DTLS; each further one waits twice as long. RFC 9147 §5.8.2 suggests the latency
/// of the path, which ICE has just shown to be short.
const FIRST_REPEAT: Duration = Duration::from_millis(100);
/// Repetitions of one flight: about 12 s together.
const REPEATS: usize = 6;

/// Our certificate with its key: one for all calls of a worker, as making one costs more than a call's whole set-up.
pub struct Identity {
    pub(super) certificate: DtlsCertificate,
    pub(super) config: Arc<dimpl::Config>,
    fingerprint: String,
}

/// Why a certificate cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("DTLS cannot be set up: {0}")]
pub struct IdentityError(String);

impl Identity {
    /// From a certificate (DER) of a P-256 or P-384 key and that key (PKCS #8, DER).
    ///
    /// # Errors
    /// [`IdentityError`] where the cryptography of DTLS does not work here.
    pub fn new(certificate: Vec<u8>, private_key: Vec<u8>) -> Result<Self, IdentityError> {
        let config = dimpl::Config::builder()
            // ICE has proved that the client is where it says: a cookie would prove it once more.
            .use_server_cookie(false)
            .flight_start_rto(FIRST_REPEAT)
            .flight_retries(REPEATS)
            .build()
            .map_err(|error| IdentityError(error.to_string()))?;
        let fingerprint = format!("sha-256 {}", hex(&Sha256::digest(&certificate)));
        let certificate = DtlsCertificate { certificate, private_key };
        Ok(Self { certificate, config: Arc::new(config), fingerprint })
    }

    /// What descriptions say of it: `sha-256 AB:CD…` (RFC 8122 §5).
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.fingerprint)
    }
}

/// Bytes as fingerprints write them.
pub(super) fn hex(bytes: &[u8]) -> String {
    let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    bytes.join(":")
}

/// User fragment and password of one session of ICE (RFC 8445 §5.3).
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// User fragment.
    pub ufrag: String,
    /// Password.
    pub pwd: String,
}

impl Credentials {
    /// From key material that is as hard to guess as keys have to be: 128 bits of it become the password.
    pub fn of(key: &Key) -> Self {
        // All characters of base64 but the padding are allowed (RFC 8839 §5.1, ice-char).
        Self { ufrag: STANDARD_NO_PAD.encode(&key.salt()[..6]), pwd: STANDARD_NO_PAD.encode(&key.key()[..16]) }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({} ***)", self.ufrag)
    }
}
