//! Session keys from master keys (RFC 3711 §4.3, RFC 6188 §3, RFC 7714 §11), with a key derivation rate of 0.

use aes::cipher::{Array, BlockCipherEncrypt, KeyInit};
use aes::{Aes128Enc, Aes256Enc};

/// What a session key is for (RFC 3711 §4.3.2).
#[derive(Clone, Copy, Debug)]
pub(super) enum Label {
    RtpKey = 0,
    RtpAuth = 1,
    RtpSalt = 2,
    RtcpKey = 3,
    RtcpAuth = 4,
    RtcpSalt = 5,
}

/// Fills `out` with the key stream that a master key and salt make for a label. A key of 16 bytes means AES-128, one
/// of 32 AES-256; a salt of 12 bytes is followed by two of 0.
pub(super) fn session_key(key: &[u8], salt: &[u8], label: Label, out: &mut [u8]) {
    let mut block = [0; 16];
    block[..salt.len()].copy_from_slice(salt);
    block[7] ^= label as u8;
    match <&[u8; 16]>::try_from(key) {
        Ok(key) => fill(&Aes128Enc::new(&Array(*key)), block, out),
        Err(_) => {
            let key = <[u8; 32]>::try_from(key).expect("a master key has 16 or 32 bytes");
            fill(&Aes256Enc::new(&Array(key)), block, out);
        }
    }
}

fn fill(aes: &impl BlockCipherEncrypt<BlockSize = aes::cipher::consts::U16>, mut counter: [u8; 16], out: &mut [u8]) {
    for (index, piece) in (0_u16..).zip(out.chunks_mut(16)) {
        counter[14..].copy_from_slice(&index.to_be_bytes());
        let mut block = Array(counter);
        aes.encrypt_block(&mut block);
        piece.copy_from_slice(&block[..piece.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::bytes;
    use super::*;

    fn made(key: &str, salt: &str, label: Label, length: usize) -> Vec<u8> {
        let mut out = vec![0; length];
        session_key(&bytes(key), &bytes(salt), label, &mut out);
        out
    }

    #[test]
    fn vectors_of_rfc_3711_appendix_b_3() {
        let made =
            |label, length| made("E1F97A0D3E018BE0D64FA32C06DE4139", "0EC675AD498AFEEBB6960B3AABE6", label, length);
        assert_eq!(made(Label::RtpKey, 16), bytes("C61E7A93744F39EE10734AFE3FF7A087"));
        assert_eq!(made(Label::RtpSalt, 14), bytes("30CBBC08863D8C85D49DB34A9AE1"));
        let auth = "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA48F0A0ACF3C34E2359E6CDBCEE049646C43D9327AD175578EF7227098\
                    6371C10C9A369AC2F94A8C5FBCDDDC256D6E919A48B610EF17C2041E474035766B68642C59BBFC2F34DB60DBDFB2";
        assert_eq!(made(Label::RtpAuth, 94), bytes(auth));
    }

    #[test]
    fn vectors_of_rfc_6188_section_7_2() {
        let key = "f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6";
        let made = |label, length| made(key, "3b04803de51ee7c96423ab5b78d2", label, length);
        let session = "5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4";
        assert_eq!(made(Label::RtpKey, 32), bytes(session));
        assert_eq!(made(Label::RtpSalt, 14), bytes("fa31791685ca444a9e07c6c64e93"));
        assert_eq!(made(Label::RtpAuth, 20), bytes("fd9c32d39ed5fbb5a9dc96b30818454d1313dc05"));
    }
}
