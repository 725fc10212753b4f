//! Keys of SRTP in session descriptions (SDES, RFC 4568): `a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:…`.
//!
//! Read and written are one key per line with its lifetime and MKI. Several keys in one line, a key derivation rate,
//! parts left unencrypted or unauthenticated and FEC are understood by hardly anybody and not taken; a window size
//! hint says nothing to us. What is done with a key belongs to `media::srtp`.

use std::fmt;
use std::io::Write;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sha2::{Digest, Sha256};

use super::peering::LocalPeering;

/// Longest key and salt together, bytes.
pub const MAX_MATERIAL: usize = 46;

/// Some senders leave out the padding that RFC 4568 §6.1 asks for.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A crypto suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Suite {
    /// AES-128 in counter mode, HMAC-SHA1 cut to 80 bits (RFC 4568 §6.2.1): what everybody speaks.
    AesCm128Sha1_80,
    /// The same with 32 bits for RTP (RFC 4568 §6.2.2).
    AesCm128Sha1_32,
    /// AES-256 in counter mode, HMAC-SHA1 cut to 80 bits (RFC 6188).
    AesCm256Sha1_80,
    /// The same with 32 bits for RTP (RFC 6188).
    AesCm256Sha1_32,
    /// AES-128 in Galois/counter mode (RFC 7714).
    AeadAes128Gcm,
    /// AES-256 in Galois/counter mode (RFC 7714).
    AeadAes256Gcm,
}

impl Suite {
    /// All that are spoken here.
    pub const ALL: [Self; 6] = [
        Self::AesCm128Sha1_80,
        Self::AesCm128Sha1_32,
        Self::AesCm256Sha1_80,
        Self::AesCm256Sha1_32,
        Self::AeadAes128Gcm,
        Self::AeadAes256Gcm,
    ];

    /// Its registered name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AesCm128Sha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AesCm128Sha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Self::AesCm256Sha1_80 => "AES_256_CM_HMAC_SHA1_80",
            Self::AesCm256Sha1_32 => "AES_256_CM_HMAC_SHA1_32",
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "AEAD_AES_256_GCM",
        }
    }

    /// Bytes of a master key.
    pub const fn key_len(self) -> usize {
        match self {
            Self::AesCm128Sha1_80 | Self::AesCm128Sha1_32 | Self::AeadAes128Gcm => 16,
            Self::AesCm256Sha1_80 | Self::AesCm256Sha1_32 | Self::AeadAes256Gcm => 32,
        }
    }

    /// Bytes of a master salt.
    pub const fn salt_len(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 12,
            _ => 14,
        }
    }

    /// The suite of a name. Drafts of RFC 6188 had the key length elsewhere, and some equipment still does.
    fn parse(name: &str) -> Option<Self> {
        match name {
            "AES_CM_256_HMAC_SHA1_80" => Some(Self::AesCm256Sha1_80),
            "AES_CM_256_HMAC_SHA1_32" => Some(Self::AesCm256Sha1_32),
            _ => Self::ALL.into_iter().find(|suite| name.eq_ignore_ascii_case(suite.name())),
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A master key with its salt. It does not print.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// What it is for.
    pub suite: Suite,
    material: [u8; MAX_MATERIAL],
    /// Packets that may be protected with it; `None` is the most that the suite allows.
    pub lifetime: Option<u64>,
    /// What its packets carry to name it.
    pub mki: Option<Mki>,
}

/// A master key identifier (RFC 3711 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mki {
    /// Its value.
    pub value: u64,
    /// Bytes that it takes in a packet, 1–8.
    pub len: usize,
}

impl Key {
    /// A key of exactly the suite's length: master key, then salt.
    ///
    /// # Errors
    /// [`CryptoError::Length`].
    pub fn new(suite: Suite, material: &[u8]) -> Result<Self, CryptoError> {
        let need = suite.key_len() + suite.salt_len();
        if material.len() != need {
            return Err(CryptoError::Length { need, have: material.len() });
        }
        let mut key = Self { suite, material: [0; MAX_MATERIAL], lifetime: None, mki: None };
        key.material[..need].copy_from_slice(material);
        Ok(key)
    }

    /// The master key.
    pub fn key(&self) -> &[u8] {
        &self.material[..self.suite.key_len()]
    }

    /// The master salt.
    pub fn salt(&self) -> &[u8] {
        &self.material[self.suite.key_len()..][..self.suite.salt_len()]
    }

    /// `inline:BASE64[|lifetime][|MKI:length]`
    fn parse(suite: Suite, text: &str) -> Result<Self, CryptoError> {
        if text.contains(';') {
            return Err(CryptoError::SeveralKeys);
        }
        let inline = text.get(..7).filter(|method| method.eq_ignore_ascii_case("inline:"));
        let mut parts = text[inline.ok_or(CryptoError::Form)?.len()..].split('|');
        let material = BASE64.decode(parts.next().unwrap_or("")).map_err(|_| CryptoError::Form)?;
        let mut key = Self::new(suite, &material)?;
        for part in parts {
            match part.split_once(':') {
                Some((value, len)) => key.mki = Some(Mki::parse(value, len).ok_or(CryptoError::Form)?),
                None => key.lifetime = Some(lifetime(part).ok_or(CryptoError::Form)?),
            }
        }
        Ok(key)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({} ***)", self.suite)
    }
}

impl Mki {
    fn parse(value: &str, len: &str) -> Option<Self> {
        let (value, len) = (value.parse().ok()?, len.parse().ok()?);
        // RFC 4568 allows 128 bytes, of which a value of ten digits leaves all but five at 0.
        (1..=8).contains(&len).then_some(Self { value, len })
    }
}

/// `2^20` or `1048576`
fn lifetime(text: &str) -> Option<u64> {
    let packets = match text.strip_prefix("2^") {
        Some(power) => 1_u64.checked_shl(power.parse().ok()?)?,
        None => text.parse().ok()?,
    };
    (packets > 0).then_some(packets)
}

/// Why a line cannot be used. No variant holds a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CryptoError {
    /// It does not have the form of RFC 4568 §9.1.
    #[error("an a=crypto line cannot be read")]
    Form,
    /// The suite is not spoken here.
    #[error("the crypto suite {0} is not spoken here")]
    Suite(String),
    /// The key is too long or too short for its suite.
    #[error("key and salt of an a=crypto line have {have} bytes instead of {need}")]
    Length {
        /// Bytes that the suite takes.
        need: usize,
        /// Bytes there.
        have: usize,
    },
    /// More than one key in the line.
    #[error("an a=crypto line with several keys is not understood here")]
    SeveralKeys,
    /// A session parameter that would have to be understood.
    #[error("the session parameter {0} of an a=crypto line is not understood here")]
    Parameter(String),
}

/// An `a=crypto` line that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crypto<'a> {
    /// Its tag.
    pub tag: u32,
    /// The suite's name as it was written.
    pub name: &'a str,
    /// The key of what its writer sends.
    pub key: Key,
}

impl<'a> Crypto<'a> {
    /// Reads what stands after `a=crypto:`.
    ///
    /// # Errors
    /// [`CryptoError`] says why it cannot be used.
    pub fn parse(text: &'a str) -> Result<Self, CryptoError> {
        let mut words = text.split_ascii_whitespace();
        let tag = words.next().and_then(|tag| tag.parse().ok()).ok_or(CryptoError::Form)?;
        let name = words.next().ok_or(CryptoError::Form)?;
        let suite = Suite::parse(name).ok_or_else(|| CryptoError::Suite(super::answer::shown(name)))?;
        let key = Key::parse(suite, words.next().ok_or(CryptoError::Form)?)?;
        // RFC 4568 §6.3.7 and §9.1: with a hyphen before it, a parameter may be passed over.
        match words.find(|word| !word.starts_with('-') && !word.starts_with("WSH=")) {
            Some(parameter) => Err(CryptoError::Parameter(super::answer::shown(parameter))),
            None => Ok(Self { tag, name, key }),
        }
    }

    /// Appends the line.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let material = &self.key.material[..self.key.suite.key_len() + self.key.suite.salt_len()];
        write!(out, "a=crypto:{} {} inline:", self.tag, self.name).expect("writing to a Vec does not fail");
        let mut text = [0; MAX_MATERIAL.div_ceil(3) * 4];
        let length = BASE64.encode_slice(material, &mut text).expect("room for the longest key");
        out.extend_from_slice(&text[..length]);
        out.extend_from_slice(b"\r\n");
    }
}

/// Whether audio is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Policy {
    /// It is not: no key is offered or taken.
    #[default]
    Off,
    /// It is where the other side does so too: keys are offered beside plain RTP (`RTP/AVP`).
    Offered,
    /// It is, or there is no call: `RTP/SAVP`.
    Required,
    /// It is, with keys by DTLS over a path that ICE finds, or there is no call: `UDP/TLS/RTP/SAVPF`, as browsers do.
    Dtls,
}

/// How our side protects audio.
#[derive(Clone, Copy, Debug, Default)]
pub struct Protection<'a> {
    /// Whether.
    pub policy: Policy,
    /// A key of ours for each suite, best first.
    pub keys: &'a [Key],
    /// Our lines on ICE and DTLS: offered by [`Policy::Dtls`], and what an offer of them is answered with unless the
    /// policy is [`Policy::Off`]. Without them such an offer is refused.
    pub peering: Option<&'a LocalPeering>,
}

/// The keys of both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    /// Of what we send.
    pub ours: Key,
    /// Of what the other side sends; the suite is the same.
    pub theirs: Key,
}

/// Makes keys from a secret: the same secret gives the same keys in the same order.
#[derive(Clone)]
pub struct KeySource {
    secret: [u8; 32],
    made: u64,
}

impl KeySource {
    /// `secret` has to be unpredictable for the keys to be.
    pub fn new(secret: [u8; 32]) -> Self {
        Self { secret, made: 0 }
    }

    /// The next key.
    pub fn next(&mut self, suite: Suite) -> Key {
        let mut material = [0; 64];
        for half in material.chunks_mut(32) {
            self.made += 1;
            let digest = Sha256::new().chain_update(self.secret).chain_update(self.made.to_be_bytes());
            half.copy_from_slice(&digest.finalize());
        }
        let need = suite.key_len() + suite.salt_len();
        Key::new(suite, &material[..need]).expect("cut to the suite's length")
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeySource(*** {})", self.made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4568 §6.1 and its examples.
    const INLINE: &str = "inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";

    fn line(text: &str) -> Result<Crypto<'_>, CryptoError> {
        Crypto::parse(text)
    }

    #[test]
    fn the_example_of_the_standard_is_read_and_written() {
        let text = format!("1 AES_CM_128_HMAC_SHA1_80 {INLINE}|2^20|1:32");
        // An MKI of 32 bytes is more than the ten digits of its value need.
        assert_eq!(line(&text), Err(CryptoError::Form));
        let text = format!("1 AES_CM_128_HMAC_SHA1_80 {INLINE}|2^20|1:4 WSH=128 -X=1");
        let crypto = line(&text).expect("usable");
        assert_eq!((crypto.tag, crypto.key.lifetime), (1, Some(1 << 20)));
        assert_eq!(crypto.key.mki, Some(Mki { value: 1, len: 4 }));
        assert_eq!((crypto.key.key(), crypto.key.salt()), (&b"wDfvg&T+)xG7@fb5"[..], &b"jU,RaA}\\|p0%*#"[..]));
        let mut out = Vec::new();
        crypto.write(&mut out);
        assert_eq!(String::from_utf8(out).expect("text"), format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 {INLINE}\r\n"));
    }

    #[test]
    fn every_suite_is_read_as_it_is_written() {
        let mut source = KeySource::new([7; 32]);
        for suite in Suite::ALL {
            let key = source.next(suite);
            let mut out = Vec::new();
            Crypto { tag: 9, name: suite.name(), key }.write(&mut out);
            let text = String::from_utf8(out).expect("text");
            let text = text.strip_prefix("a=crypto:").expect("the attribute").trim_end();
            assert_eq!(line(text), Ok(Crypto { tag: 9, name: suite.name(), key }));
            assert_eq!(line(text.trim_end_matches('=')).map(|crypto| crypto.key), Ok(key), "without padding");
        }
        assert_ne!(source.next(Suite::AesCm128Sha1_80), source.next(Suite::AesCm128Sha1_80));
    }

    #[test]
    fn what_cannot_be_used_is_named_without_its_key() {
        let told = |text: &str| line(text).expect_err(text).to_string();
        assert_eq!(
            told(&format!("1 F8_128_HMAC_SHA1_80 {INLINE}")),
            "the crypto suite F8_128_HMAC_SHA1_80 is not spoken here"
        );
        assert_eq!(
            told(&format!("1 AEAD_AES_256_GCM {INLINE}")),
            "key and salt of an a=crypto line have 30 bytes instead of 44"
        );
        assert_eq!(
            told(&format!("1 AES_CM_128_HMAC_SHA1_80 {INLINE} UNENCRYPTED_SRTP")),
            "the session parameter UNENCRYPTED_SRTP of an a=crypto line is not understood here"
        );
        for text in [
            "",
            "x",
            "1",
            "1 AES_CM_128_HMAC_SHA1_80",
            "1 AES_CM_128_HMAC_SHA1_80 inlin",
            "1 AES_CM_128_HMAC_SHA1_80 inline:*",
        ] {
            assert_eq!(line(text), Err(CryptoError::Form), "{text}");
        }
        let twice = format!("1 AES_CM_128_HMAC_SHA1_80 {INLINE};{INLINE}");
        assert_eq!(line(&twice), Err(CryptoError::SeveralKeys));
        let endless = format!("1 AES_CM_128_HMAC_SHA1_80 {INLINE}|2^99");
        assert_eq!(line(&endless), Err(CryptoError::Form));
        assert_eq!(format!("{:?}", KeySource::new([1; 32]).next(Suite::AeadAes128Gcm)), "Key(AEAD_AES_128_GCM ***)");
    }

    #[test]
    fn the_older_name_of_a_suite_is_understood() {
        let key = KeySource::new([0; 32]).next(Suite::AesCm256Sha1_80);
        let mut out = Vec::new();
        Crypto { tag: 1, name: "AES_CM_256_HMAC_SHA1_80", key }.write(&mut out);
        let text = String::from_utf8(out).expect("text");
        let read = line(text["a=crypto:".len()..].trim_end()).expect("usable");
        assert_eq!((read.key, read.name), (key, "AES_CM_256_HMAC_SHA1_80"));
    }
}
