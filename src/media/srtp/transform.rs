//! The cryptographic transforms: AES in counter mode with HMAC-SHA1 (RFC 3711 §4, RFC 6188) and AES-GCM (RFC 7714).
//!
//! ```text
//! RTP    CM    header │ payload… │ MKI │ tag         GCM   header │ payload… │ tag │ MKI
//! RTCP   CM    8 bytes │ rest… │ E+index │ MKI │ tag  GCM   8 bytes │ rest… │ tag │ E+index │ MKI
//! ```

use aes::cipher::consts::U12;
use aes::cipher::{Array, InnerIvInit, StreamCipher};
use aes::{Aes128Enc, Aes256Enc};
use aes_gcm::AesGcm;
use aes_gcm::aead::AeadInOut;
use ctr::{Ctr128BE, CtrCore};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use super::Fault;
use super::derive::{Label, session_key};
use crate::sip::sdp::crypto::{Key, Mki, Suite};

/// Bytes of a GCM tag.
const GCM_TAG: usize = 16;
/// Fixed part of an SRTCP packet that is not encrypted.
const RTCP_HEAD: usize = 8;
/// The flag beside the SRTCP index that says the packet is encrypted.
const ENCRYPTED: u32 = 1 << 31;

type Gcm<A> = AesGcm<A, U12>;

/// Session keys of one direction.
#[derive(Clone)]
pub(super) struct Transform {
    rtp: Half,
    rtcp: Half,
    mki: Option<Mki>,
}

/// Session keys of RTP or RTCP.
#[derive(Clone)]
struct Half {
    cipher: Cipher,
    salt: [u8; 14],
    tag_len: usize,
}

#[derive(Clone)]
enum Cipher {
    Cm128(Aes128Enc, Hmac<Sha1>),
    Cm256(Aes256Enc, Hmac<Sha1>),
    Gcm128(Gcm<Aes128Enc>),
    Gcm256(Gcm<Aes256Enc>),
}

/// What the transform needs of an RTP header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) sequence: u16,
    pub(super) ssrc: u32,
    /// With CSRCs and extension, bytes.
    len: usize,
}

/// The header of an RTP packet, which SRTP leaves as it is; `None` where the packet ends before it.
pub(super) fn rtp_header(packet: &[u8]) -> Option<Header> {
    let fixed = packet.first_chunk::<12>()?;
    let mut len = 12 + 4 * usize::from(fixed[0] & 0x0F);
    if fixed[0] & 0x10 != 0 {
        let extension = packet.get(len..len + 4)?;
        len += 4 + 4 * usize::from(u16::from_be_bytes([extension[2], extension[3]]));
    }
    let sequence = u16::from_be_bytes([fixed[2], fixed[3]]);
    let ssrc = u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]);
    (len <= packet.len()).then_some(Header { sequence, ssrc, len })
}

/// The source of an RTCP compound.
pub(super) fn rtcp_ssrc(packet: &[u8]) -> Option<u32> {
    packet.get(4..RTCP_HEAD)?.try_into().ok().map(u32::from_be_bytes)
}

impl std::fmt::Debug for Transform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Transform(***)")
    }
}

impl Transform {
    pub(super) fn new(key: &Key) -> Self {
        // RFC 4568 §6.2.2: the short tag is for RTP only.
        let rtp_tag = match key.suite {
            Suite::AesCm128Sha1_32 | Suite::AesCm256Sha1_32 => 4,
            _ => 10,
        };
        Self {
            rtp: Half::new(key, (Label::RtpKey, Label::RtpAuth, Label::RtpSalt), rtp_tag),
            rtcp: Half::new(key, (Label::RtcpKey, Label::RtcpAuth, Label::RtcpSalt), 10),
            mki: key.mki,
        }
    }

    pub(super) fn protect_rtp(&self, header: &Header, index: u64, packet: &mut Vec<u8>) {
        let Half { cipher, salt, tag_len } = &self.rtp;
        if cipher.is_aead() {
            let nonce = rtp_nonce(salt, header.ssrc, index);
            let (aad, body) = packet.split_at_mut(header.len);
            let tag = cipher.seal(&nonce, aad, body);
            packet.extend_from_slice(&tag);
        } else {
            cipher.apply(&counter(salt, header.ssrc, index), &mut packet[header.len..]);
            let tag = cipher.digest(&[packet, &roc(index)]);
            packet.extend_from_slice(&tag[..*tag_len]);
        }
    }

    pub(super) fn unprotect_rtp(&self, header: &Header, index: u64, packet: &mut Vec<u8>) -> Result<(), Fault> {
        let Half { cipher, salt, tag_len } = &self.rtp;
        let end = packet.len().checked_sub(tag_len + self.mki_len()).filter(|end| *end >= header.len);
        let end = end.ok_or(Fault::Truncated)?;
        if cipher.is_aead() {
            self.check_mki(&packet[end + GCM_TAG..])?;
            let nonce = rtp_nonce(salt, header.ssrc, index);
            let (aad, rest) = packet.split_at_mut(header.len);
            let (body, tag) = rest.split_at_mut(end - header.len);
            cipher.open(&nonce, aad, body, &tag[..GCM_TAG])?;
        } else {
            let mki = end + self.mki_len();
            self.check_mki(&packet[end..mki])?;
            cipher.verify(&[&packet[..end], &roc(index)], &packet[mki..])?;
            cipher.apply(&counter(salt, header.ssrc, index), &mut packet[header.len..end]);
        }
        packet.truncate(end);
        Ok(())
    }

    /// A packet shorter than the fixed part is left as it is: nobody writes one.
    pub(super) fn protect_rtcp(&self, index: u32, packet: &mut Vec<u8>) {
        let Some(ssrc) = rtcp_ssrc(packet) else { return };
        let Half { cipher, salt, tag_len } = &self.rtcp;
        let word = (ENCRYPTED | index).to_be_bytes();
        if cipher.is_aead() {
            let (head, body) = packet.split_at_mut(RTCP_HEAD);
            let tag = cipher.seal(&rtcp_nonce(salt, ssrc, index), &joined(head, word), body);
            packet.extend_from_slice(&tag);
            packet.extend_from_slice(&word);
        } else {
            cipher.apply(&counter(salt, ssrc, u64::from(index)), &mut packet[RTCP_HEAD..]);
            packet.extend_from_slice(&word);
            let tag = cipher.digest(&[packet]);
            packet.extend_from_slice(&tag[..*tag_len]);
        }
    }

    /// Gives the index. `seen` says which came before.
    pub(super) fn unprotect_rtcp(&self, packet: &mut Vec<u8>, seen: &impl Fn(u32) -> bool) -> Result<u32, Fault> {
        let Half { cipher, salt, tag_len } = &self.rtcp;
        let ssrc = rtcp_ssrc(packet).ok_or(Fault::Truncated)?;
        let end = packet.len().checked_sub(tag_len + 4 + self.mki_len()).filter(|end| *end >= RTCP_HEAD);
        let end = end.ok_or(Fault::Truncated)?;
        let word_at = if cipher.is_aead() { end + GCM_TAG } else { end };
        let mki = word_at + 4..word_at + 4 + self.mki_len();
        self.check_mki(&packet[mki.clone()])?;
        let word: [u8; 4] = packet[word_at..word_at + 4].try_into().expect("four bytes");
        let (index, encrypted) = (u32::from_be_bytes(word) & !ENCRYPTED, u32::from_be_bytes(word) & ENCRYPTED != 0);
        if seen(index) {
            return Err(Fault::Replay);
        }
        if cipher.is_aead() {
            let nonce = rtcp_nonce(salt, ssrc, index);
            let (text, rest) = packet.split_at_mut(end);
            let tag = &rest[..GCM_TAG];
            if encrypted {
                let (head, body) = text.split_at_mut(RTCP_HEAD);
                cipher.open(&nonce, &joined(head, word), body, tag)?;
            } else {
                // RFC 7714 §9.2: all of it is associated data, and the index behind it, where the tag stands.
                packet[end..word_at + 4].rotate_right(4);
                let (aad, tag) = packet[..word_at + 4].split_at(end + 4);
                let proof = cipher.open(&nonce, aad, &mut [], tag);
                packet[end..word_at + 4].rotate_left(4);
                proof?;
            }
        } else {
            cipher.verify(&[&packet[..word_at + 4]], &packet[mki.end..])?;
            if encrypted {
                cipher.apply(&counter(salt, ssrc, u64::from(index)), &mut packet[RTCP_HEAD..end]);
            }
        }
        packet.truncate(end);
        Ok(index)
    }

    fn mki_len(&self) -> usize {
        self.mki.map_or(0, |mki| mki.len)
    }

    fn check_mki(&self, found: &[u8]) -> Result<(), Fault> {
        let Some(mki) = self.mki else { return Ok(()) };
        let same = mki.value.to_be_bytes()[8 - mki.len..] == *found;
        if same { Ok(()) } else { Err(Fault::Authentication) }
    }
}

impl Half {
    fn new(key: &Key, (for_key, for_auth, for_salt): (Label, Label, Label), tag_len: usize) -> Self {
        let derive = |label, out: &mut [u8]| session_key(key.key(), key.salt(), label, out);
        let (mut session, mut auth, mut salt) = ([0; 32], [0; 20], [0; 14]);
        let session = &mut session[..key.suite.key_len()];
        derive(for_key, session);
        derive(for_auth, &mut auth);
        derive(for_salt, &mut salt[..key.suite.salt_len()]);
        Self::of(key.suite, session, &auth, salt, tag_len)
    }

    fn of(suite: Suite, session: &[u8], auth: &[u8; 20], salt: [u8; 14], tag_len: usize) -> Self {
        let mac = || Hmac::new_from_slice(auth).expect("HMAC takes a key of any length");
        let cipher = match suite {
            Suite::AesCm128Sha1_80 | Suite::AesCm128Sha1_32 => Cipher::Cm128(block(session), mac()),
            Suite::AesCm256Sha1_80 | Suite::AesCm256Sha1_32 => Cipher::Cm256(block(session), mac()),
            Suite::AeadAes128Gcm => Cipher::Gcm128(Gcm::from(block::<Aes128Enc>(session))),
            Suite::AeadAes256Gcm => Cipher::Gcm256(Gcm::from(block::<Aes256Enc>(session))),
        };
        let tag_len = if cipher.is_aead() { GCM_TAG } else { tag_len };
        Self { cipher, salt, tag_len }
    }
}

fn block<A: KeyInit>(session: &[u8]) -> A {
    A::new_from_slice(session).expect("a key of the suite's length")
}

impl Cipher {
    fn is_aead(&self) -> bool {
        matches!(self, Self::Gcm128(_) | Self::Gcm256(_))
    }

    /// Encrypts or decrypts in counter mode.
    fn apply(&self, counter: &[u8; 16], data: &mut [u8]) {
        let counter = &Array(*counter);
        match self {
            Self::Cm128(aes, _) => Ctr128BE::from_core(CtrCore::inner_iv_init(aes, counter)).apply_keystream(data),
            Self::Cm256(aes, _) => Ctr128BE::from_core(CtrCore::inner_iv_init(aes, counter)).apply_keystream(data),
            Self::Gcm128(_) | Self::Gcm256(_) => {}
        }
    }

    fn mac(&self, pieces: &[&[u8]]) -> Hmac<Sha1> {
        let mut mac = match self {
            Self::Cm128(_, mac) | Self::Cm256(_, mac) => mac.clone(),
            Self::Gcm128(_) | Self::Gcm256(_) => unreachable!("GCM has a tag of its own"),
        };
        pieces.iter().for_each(|piece| mac.update(piece));
        mac
    }

    fn digest(&self, pieces: &[&[u8]]) -> [u8; 20] {
        self.mac(pieces).finalize().into_bytes().into()
    }

    /// In constant time.
    fn verify(&self, pieces: &[&[u8]], tag: &[u8]) -> Result<(), Fault> {
        self.mac(pieces).verify_truncated_left(tag).map_err(|_| Fault::Authentication)
    }

    fn seal(&self, nonce: &[u8; 12], aad: &[u8], body: &mut [u8]) -> [u8; GCM_TAG] {
        let nonce = &Array(*nonce);
        let sealed = match self {
            Self::Gcm128(gcm) => gcm.encrypt_inout_detached(nonce, aad, body.into()),
            Self::Gcm256(gcm) => gcm.encrypt_inout_detached(nonce, aad, body.into()),
            Self::Cm128(..) | Self::Cm256(..) => unreachable!("counter mode seals nothing"),
        };
        sealed.expect("a datagram is shorter than GCM's limit").into()
    }

    /// Nothing is decrypted unless the tag is right.
    fn open(&self, nonce: &[u8; 12], aad: &[u8], body: &mut [u8], tag: &[u8]) -> Result<(), Fault> {
        let nonce = &Array(*nonce);
        let tag = &Array(<[u8; GCM_TAG]>::try_from(tag).map_err(|_| Fault::Truncated)?);
        let opened = match self {
            Self::Gcm128(gcm) => gcm.decrypt_inout_detached(nonce, aad, body.into(), tag),
            Self::Gcm256(gcm) => gcm.decrypt_inout_detached(nonce, aad, body.into(), tag),
            Self::Cm128(..) | Self::Cm256(..) => unreachable!("counter mode opens nothing"),
        };
        opened.map_err(|_| Fault::Authentication)
    }
}

/// The rollover counter, which is authenticated with each RTP packet (RFC 3711 §4.2).
fn roc(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}

/// RFC 3711 §4.1.1.
fn counter(salt: &[u8; 14], ssrc: u32, index: u64) -> [u8; 16] {
    let mut counter = [0; 16];
    counter[4..8].copy_from_slice(&ssrc.to_be_bytes());
    counter[8..14].copy_from_slice(&index.to_be_bytes()[2..]);
    counter.iter_mut().zip(salt).for_each(|(byte, salt)| *byte ^= salt);
    counter
}

/// RFC 7714 §8.1.
fn rtp_nonce(salt: &[u8; 14], ssrc: u32, index: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[2..6].copy_from_slice(&ssrc.to_be_bytes());
    nonce[6..].copy_from_slice(&index.to_be_bytes()[2..]);
    nonce.iter_mut().zip(salt).for_each(|(byte, salt)| *byte ^= salt);
    nonce
}

/// RFC 7714 §9.1.
fn rtcp_nonce(salt: &[u8; 14], ssrc: u32, index: u32) -> [u8; 12] {
    rtp_nonce(salt, ssrc, u64::from(index))
}

/// The associated data of an encrypted SRTCP packet (RFC 7714 §9.2).
fn joined(head: &[u8], word: [u8; 4]) -> [u8; RTCP_HEAD + 4] {
    let mut aad = [0; RTCP_HEAD + 4];
    aad[..RTCP_HEAD].copy_from_slice(head);
    aad[RTCP_HEAD..].copy_from_slice(&word);
    aad
}

#[cfg(test)]
mod tests {
    use super::super::tests::bytes;
    use super::*;

    fn transform(suite: Suite, session: &str, salt: &str) -> Transform {
        let mut padded = [0; 14];
        padded[..salt.len() / 2].copy_from_slice(&bytes(salt));
        let half = Half::of(suite, &bytes(session), &[0; 20], padded, 10);
        Transform { rtp: half.clone(), rtcp: half, mki: None }
    }

    /// Blocks of the key stream by their number.
    fn stream(suite: Suite, session: &str, blocks: [usize; 6]) -> Vec<Vec<u8>> {
        let transform = transform(suite, session, "F0F1F2F3F4F5F6F7F8F9FAFBFCFD");
        let mut data = vec![0; 0xFF02 * 16];
        transform.rtp.cipher.apply(&counter(&transform.rtp.salt, 0, 0), &mut data);
        blocks.iter().map(|block| data[block * 16..][..16].to_vec()).collect()
    }

    const BLOCKS: [usize; 6] = [0, 1, 2, 0xFEFF, 0xFF00, 0xFF01];

    #[test]
    fn key_stream_of_rfc_3711_appendix_b_2() {
        let expected = [
            "E03EAD0935C95E80E166B16DD92B4EB4",
            "D23513162B02D0F72A43A2FE4A5F97AB",
            "41E95B3BB0A2E8DD477901E4FCA894C0",
            "EC8CDF7398607CB0F2D21675EA9EA1E4",
            "362B7C3C6773516318A077D7FC5073AE",
            "6A2CC3787889374FBEB4C81B17BA6C44",
        ];
        let stream = stream(Suite::AesCm128Sha1_80, "2B7E151628AED2A6ABF7158809CF4F3C", BLOCKS);
        assert_eq!(stream, expected.map(bytes));
    }

    #[test]
    fn key_stream_of_rfc_6188_section_7_1() {
        let expected = [
            "92bdd28a93c3f52511c677d08b5515a4",
            "9da71b2378a854f67050756ded165bac",
            "63c4868b7096d88421b563b8c94c9a31",
            "cea518c90fd91ced9cbb18c078a54711",
            "3dbc4814f4da5f00a08772b63c6a046d",
            "6eb246913062a16891433e97dd01a57f",
        ];
        let key = "57f82fe3613fd170a85ec93c40b1f0922ec4cb0dc025b58272147cc438944a98";
        assert_eq!(stream(Suite::AesCm256Sha1_80, key, BLOCKS), expected.map(bytes));
    }

    const KEY_128: &str = "000102030405060708090a0b0c0d0e0f";
    const KEY_256: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const SALT: &str = "517569642070726f2071756f";

    #[test]
    fn packets_of_rfc_7714_section_16() {
        let clear =
            "8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573";
        for (suite, key, secured) in [
            (
                Suite::AeadAes128Gcm,
                KEY_128,
                "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833\
                 899d7f27beb16a9152cf765ee4390cce",
            ),
            (
                Suite::AeadAes256Gcm,
                KEY_256,
                "8040f17b8041f8d35501a0b232b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b\
                 7aa3db36dfffd6b0f9bb7878d7a76c13",
            ),
        ] {
            let transform = transform(suite, key, SALT);
            let mut packet = bytes(clear);
            let header = rtp_header(&packet).expect("a header");
            transform.protect_rtp(&header, 0xF17B, &mut packet);
            assert_eq!(packet, bytes(secured), "{suite}");
            transform.unprotect_rtp(&header, 0xF17B, &mut packet).expect("authentic");
            assert_eq!(packet, bytes(clear), "{suite}");
        }
    }

    #[test]
    fn packets_of_rfc_7714_section_17() {
        let clear =
            "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefdeadbeefdeadbeef";
        for (suite, key, secured) in [
            (
                Suite::AeadAes128Gcm,
                KEY_128,
                "81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded0bb9\
                 275bc84aa45896cf4d2fc5abf87245d9eade800005d4",
            ),
            (
                Suite::AeadAes256Gcm,
                KEY_256,
                "81c8000d4d617273d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be8415f658c61de0476f1b\
                 6fad1d1eb30c4446839f57ff6f6cb26ac3be800005d4",
            ),
        ] {
            let transform = transform(suite, key, SALT);
            let mut packet = bytes(clear);
            transform.protect_rtcp(0x5D4, &mut packet);
            assert_eq!(packet, bytes(secured), "{suite}");
            assert_eq!(transform.unprotect_rtcp(&mut packet, &|_| false), Ok(0x5D4));
            assert_eq!(packet, bytes(clear), "{suite}");
        }
        // §17.3: authenticated only.
        let tagged = bytes(&format!("{clear}841dd9683dd78ec92ae58790125f62b3000005d4"));
        let transform = transform(Suite::AeadAes128Gcm, KEY_128, SALT);
        let mut packet = tagged.clone();
        assert_eq!(transform.unprotect_rtcp(&mut packet, &|_| false), Ok(0x5D4));
        assert_eq!(packet, bytes(clear));
        let mut damaged = tagged;
        damaged[9] ^= 1;
        let before = damaged.clone();
        assert_eq!(transform.unprotect_rtcp(&mut damaged, &|_| false), Err(Fault::Authentication));
        assert_eq!(damaged, before, "left as it was");
    }
}
