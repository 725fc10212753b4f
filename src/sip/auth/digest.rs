//! The hashes of digest authentication and what is hashed (RFC 7616 §3.4).

use std::fmt;

use sha2::Digest;

use super::Qop;

/// Hash algorithms of digest authentication, weakest first, so that `max` is the strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// RFC 2617; also where a challenge names none.
    Md5,
    /// MD5 with a session key.
    Md5Sess,
    /// RFC 8760.
    Sha256,
    /// SHA-256 with a session key.
    Sha256Sess,
    /// RFC 8760.
    Sha512_256,
    /// SHA-512/256 with a session key.
    Sha512_256Sess,
}

impl Algorithm {
    const ALL: [Self; 6] =
        [Self::Md5, Self::Md5Sess, Self::Sha256, Self::Sha256Sess, Self::Sha512_256, Self::Sha512_256Sess];

    /// As it is written in headers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Md5Sess => "MD5-sess",
            Self::Sha256 => "SHA-256",
            Self::Sha256Sess => "SHA-256-sess",
            Self::Sha512_256 => "SHA-512-256",
            Self::Sha512_256Sess => "SHA-512-256-sess",
        }
    }

    /// Any case; `None` for an algorithm that is not known.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| name.eq_ignore_ascii_case(algorithm.name()))
    }

    /// A1 is hashed with nonce and cnonce.
    pub(super) const fn is_session(self) -> bool {
        matches!(self, Self::Md5Sess | Self::Sha256Sess | Self::Sha512_256Sess)
    }

    /// The hash of `parts` with a colon between each, in lower-case hexadecimal.
    pub(super) fn hash(self, parts: &[&str]) -> Hex {
        self.hash_bytes(parts.iter().map(|part| part.as_bytes()))
    }

    fn hash_bytes<'a>(self, parts: impl Iterator<Item = &'a [u8]>) -> Hex {
        match self {
            Self::Md5 | Self::Md5Sess => Hex::new(&joined::<md5::Md5>(parts)),
            Self::Sha256 | Self::Sha256Sess => Hex::new(&joined::<sha2::Sha256>(parts)),
            Self::Sha512_256 | Self::Sha512_256Sess => Hex::new(&joined::<sha2::Sha512_256>(parts)),
        }
    }
}

/// Everything that a response value is made of.
pub(super) struct Input<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) user: &'a str,
    pub(super) realm: &'a str,
    pub(super) password: &'a str,
    pub(super) nonce: &'a str,
    pub(super) cnonce: &'a str,
    /// As it is written in the header: eight hexadecimal digits.
    pub(super) nc: &'a str,
    /// `None`: the form of RFC 2069, without cnonce and nc.
    pub(super) qop: Option<Qop>,
    pub(super) method: &'a str,
    pub(super) uri: &'a str,
    pub(super) body: &'a [u8],
}

impl Input<'_> {
    /// RFC 7616 §3.4.1.
    pub(super) fn response(&self) -> Hex {
        let algorithm = self.algorithm;
        let mut secret = algorithm.hash(&[self.user, self.realm, self.password]);
        if algorithm.is_session() {
            secret = algorithm.hash(&[secret.as_str(), self.nonce, self.cnonce]);
        }
        let request = match self.qop {
            Some(Qop::AuthInt) => {
                let body = algorithm.hash_bytes([self.body].into_iter());
                algorithm.hash(&[self.method, self.uri, body.as_str()])
            }
            Some(Qop::Auth) | None => algorithm.hash(&[self.method, self.uri]),
        };
        match self.qop {
            Some(qop) => {
                algorithm.hash(&[secret.as_str(), self.nonce, self.nc, self.cnonce, qop.name(), request.as_str()])
            }
            None => algorithm.hash(&[secret.as_str(), self.nonce, request.as_str()]),
        }
    }
}

fn joined<'a, D: Digest>(parts: impl Iterator<Item = &'a [u8]>) -> sha2::digest::Output<D> {
    let mut hasher = D::new();
    for (index, part) in parts.enumerate() {
        if index > 0 {
            hasher.update(b":");
        }
        hasher.update(part);
    }
    hasher.finalize()
}

/// HMAC-SHA-256 (RFC 2104) of `text`, in hexadecimal.
pub(super) fn hmac(key: &[u8; 32], text: &str) -> Hex {
    let mut inner = [0x36_u8; 64];
    let mut outer = [0x5c_u8; 64];
    for (index, byte) in key.iter().enumerate() {
        inner[index] ^= byte;
        outer[index] ^= byte;
    }
    let inner = sha2::Sha256::new().chain_update(inner).chain_update(text).finalize();
    Hex::new(&sha2::Sha256::new().chain_update(outer).chain_update(inner).finalize())
}

/// A hash in lower-case hexadecimal, kept on the stack.
pub(super) struct Hex {
    digits: [u8; 64],
    length: usize,
}

impl Hex {
    /// Of at most 32 bytes: the longest hash above.
    fn new(hash: &[u8]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut hex = Self { digits: [b'0'; 64], length: hash.len() * 2 };
        for (pair, byte) in hex.digits.chunks_exact_mut(2).zip(hash) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        hex
    }

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.digits[..self.length]).expect("hexadecimal digits are ASCII")
    }

    /// Compares in a time that does not depend on where the first difference is.
    pub(super) fn is(&self, other: &str) -> bool {
        let (own, other) = (self.as_str().as_bytes(), other.as_bytes());
        own.len() == other.len()
            && own.iter().zip(other).fold(0, |differences, (a, b)| differences | (a ^ b.to_ascii_lowercase())) == 0
    }
}

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_standards() {
        let empty = |algorithm: Algorithm| algorithm.hash(&[""]).to_string();
        assert_eq!(empty(Algorithm::Md5), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(empty(Algorithm::Sha256), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(empty(Algorithm::Sha512_256), "c672b8d1ef56ed28ab87c3622c5114069bdd3ad7b8f9737498d0c01ecef0967a");
    }

    #[test]
    fn hmac_is_that_of_rfc_4231() {
        // Test case 2 has the key `Jefe`; a shorter key is filled up with zeros, so this is the same.
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        assert_eq!(
            hmac(&key, "what do ya want for nothing?").as_str(),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    /// RFC 7616 §3.9.2, whose name is not ASCII, with the value of erratum 4897.
    #[test]
    fn sha_512_256_of_a_name_beyond_ascii_is_that_of_the_erratum() {
        let input = Input {
            algorithm: Algorithm::Sha512_256,
            user: "J\u{e4}s\u{f8}n Doe",
            realm: "api@example.org",
            password: "Secret, or not?",
            nonce: "5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK",
            cnonce: "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
            nc: "00000001",
            qop: Some(Qop::Auth),
            method: "GET",
            uri: "/doe.json",
            body: b"",
        };
        assert_eq!(input.response().as_str(), "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5");
    }

    /// The RFCs have no example; the values were computed with another implementation of the hashes.
    #[test]
    fn session_keys_and_bodies_enter_the_hash() {
        let response = |algorithm| {
            let input = Input {
                algorithm,
                user: "1001",
                realm: "lab",
                password: "secret",
                nonce: "n0",
                cnonce: "c0",
                nc: "0000000a",
                qop: Some(Qop::AuthInt),
                method: "INVITE",
                uri: "sip:2000@lab",
                body: b"v=0\r\n",
            };
            input.response().to_string()
        };
        assert_eq!(response(Algorithm::Md5Sess), "0537a794f827e74041b69bd7a5a15dfc");
        assert_eq!(response(Algorithm::Sha256Sess), "982aa32a149bdf1efa5489a73b4bb218cd5889923d110fabc48f547040992b56");
    }

    #[test]
    fn names_are_read_in_any_case() {
        assert_eq!(Algorithm::parse("md5"), Some(Algorithm::Md5));
        assert_eq!(Algorithm::parse("sha-512-256-SESS"), Some(Algorithm::Sha512_256Sess));
        assert_eq!(Algorithm::parse("AKAv1-MD5"), None);
    }
}
