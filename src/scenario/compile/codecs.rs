//! `codecs:` and `opus:` of targets and labs.

use super::doc::{At, Report};
use crate::scenario::file::target::{CodecWord, OpusFile};
use crate::scenario::plan::{Codec, Wishes};

/// Codecs in the order they are offered; `at` is where `codecs` stands.
pub(super) fn compile(words: Option<&[CodecWord]>, at: At<'_>, report: &mut Report) -> Vec<Codec> {
    let Some(words) = words else { return vec![Codec::Pcma, Codec::Pcmu] };
    let at = at.key("codecs");
    if words.is_empty() && !at.doc().lossy {
        report.add(at, "no codec is offered", "write [PCMA, PCMU]");
    }
    let mut codecs = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let codec = match word {
            CodecWord::Pcmu => Codec::Pcmu,
            CodecWord::Pcma => Codec::Pcma,
            CodecWord::G722 => Codec::G722,
            CodecWord::Opus => Codec::Opus,
        };
        if codecs.contains(&codec) {
            report.add(at.index(index), "this codec is offered twice", "write it once");
        }
        codecs.push(codec);
    }
    codecs
}

/// What we would like to receive of Opus, which has to be among the codecs.
pub(super) fn opus(words: Option<&[CodecWord]>, file: Option<OpusFile>, at: At<'_>, report: &mut Report) -> Wishes {
    let Some(OpusFile { fec, dtx, stereo }) = file else { return Wishes::default() };
    if !words.is_some_and(|words| words.contains(&CodecWord::Opus)) {
        report.add(at.key("opus"), "Opus is not offered", "write opus among the codecs, or leave this out");
    }
    Wishes { fec, dtx, stereo }
}
