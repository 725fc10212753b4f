//! Encryption of audio: the policy and its suites.

use super::doc::{At, Report};
use crate::scenario::file::target::{SrtpWord, SuiteWord};
use crate::scenario::plan::{Policy, Srtp, Suite};

/// `srtp` and `crypto` under `media`; `None` where nothing is said.
pub(super) fn compile(
    srtp: Option<SrtpWord>,
    crypto: Option<&[SuiteWord]>,
    at: At<'_>,
    report: &mut Report,
) -> Option<Srtp> {
    let policy = match srtp {
        Some(SrtpWord::Required) => Policy::Required,
        Some(SrtpWord::Offered) => Policy::Offered,
        Some(SrtpWord::Dtls) => Policy::Dtls,
        Some(SrtpWord::Off) | None => Policy::Off,
    };
    let Some(words) = crypto else { return srtp.map(|_| Srtp::new(policy)) };
    let at = at.key("crypto");
    if policy == Policy::Off {
        report.add(
            at,
            "crypto suites are named, but audio is not encrypted",
            "add `srtp: required` or `srtp: offered`",
        );
    }
    if policy == Policy::Dtls {
        report.add(
            at,
            "crypto suites are named, but DTLS agrees on one by itself",
            "leave `crypto` out, or write `srtp: required` for keys in SDP",
        );
    }
    if words.is_empty() && !at.doc().lossy {
        report.add(at, "no crypto suite is named", "write [AES_CM_128_HMAC_SHA1_80], or leave `crypto` out");
    }
    let mut suites = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let suite = suite(*word);
        if suites.contains(&suite) {
            report.add(at.index(index), "this crypto suite is named twice", "write it once");
        }
        suites.push(suite);
    }
    Some(Srtp { policy, offers: suites.clone(), accepts: suites })
}

fn suite(word: SuiteWord) -> Suite {
    match word {
        SuiteWord::AES_CM_128_HMAC_SHA1_80 => Suite::AesCm128Sha1_80,
        SuiteWord::AES_CM_128_HMAC_SHA1_32 => Suite::AesCm128Sha1_32,
        SuiteWord::AES_256_CM_HMAC_SHA1_80 => Suite::AesCm256Sha1_80,
        SuiteWord::AES_256_CM_HMAC_SHA1_32 => Suite::AesCm256Sha1_32,
        SuiteWord::AEAD_AES_128_GCM => Suite::AeadAes128Gcm,
        SuiteWord::AEAD_AES_256_GCM => Suite::AeadAes256Gcm,
    }
}
