//! VP8: frames that are sent (RFC 6386), their packets, and what the headers of received packets say (RFC 7741).
//!
//! A key frame of ours predicts every macroblock by DC and leaves out what prediction does not give, so that the picture is
//! grey; a frame after it repeats the last one. What follows the last partition is not read by decoders, so a frame can be
//! filled up to any length with zeros.

use std::collections::VecDeque;

use super::{LONGEST_PAYLOAD, Look, Size};

/// Begins the header of a key frame, behind the frame tag (RFC 6386 §9.1).
const START_CODE: [u8; 3] = [0x9D, 0x01, 0x2A];
/// Bytes of the descriptor that we send: with a picture number of 15 bits (RFC 7741 §4.2).
const DESCRIPTOR: usize = 4;

/// How likely it is that no probability of tokens is changed, out of 256 (RFC 6386 §13.4); what is left out of a row is 255.
/// By type of block, band and context.
const UNCHANGED_TOKENS: [&[u8]; 96] = [
    &[],
    &[],
    &[],
    &[176, 246],
    &[223, 241, 252],
    &[249, 253, 253],
    &[255, 244, 252],
    &[234, 254, 254],
    &[253],
    &[255, 246, 254],
    &[239, 253, 254],
    &[254, 255, 254],
    &[255, 248, 254],
    &[251, 255, 254],
    &[],
    &[255, 253, 254],
    &[251, 254, 254],
    &[254, 255, 254],
    &[255, 254, 253, 255, 254],
    &[250, 255, 254, 255, 254],
    &[254],
    &[],
    &[],
    &[],
    &[217],
    &[225, 252, 241, 253, 255, 255, 254],
    &[234, 250, 241, 250, 253, 255, 253, 254],
    &[255, 254],
    &[223, 254, 254],
    &[238, 253, 254, 254],
    &[255, 248, 254],
    &[249, 254],
    &[],
    &[255, 253],
    &[247, 254],
    &[],
    &[255, 253, 254],
    &[252],
    &[],
    &[255, 254, 254],
    &[253],
    &[],
    &[255, 254, 253],
    &[250],
    &[254],
    &[],
    &[],
    &[],
    &[186, 251, 250],
    &[234, 251, 244, 254],
    &[251, 251, 243, 253, 254, 255, 254],
    &[255, 253, 254],
    &[236, 253, 254],
    &[251, 253, 253, 254, 254],
    &[255, 254, 254],
    &[254, 254, 254],
    &[],
    &[255, 254],
    &[254, 254],
    &[254],
    &[],
    &[254],
    &[],
    &[],
    &[],
    &[],
    &[],
    &[],
    &[],
    &[],
    &[],
    &[],
    &[248],
    &[250, 254, 252, 254],
    &[248, 254, 249, 253],
    &[255, 253, 253],
    &[246, 253, 253],
    &[252, 254, 251, 254, 254],
    &[255, 254, 252],
    &[248, 254, 253],
    &[253, 255, 254, 254],
    &[255, 251, 254],
    &[245, 251, 254],
    &[253, 253, 254],
    &[255, 251, 253],
    &[252, 253, 254],
    &[255, 254],
    &[255, 252],
    &[249, 255, 254],
    &[255, 255, 254],
    &[255, 255, 253],
    &[250],
    &[],
    &[],
    &[254],
    &[],
];
/// Probabilities of a row.
const TOKENS: usize = 11;
/// The same of motion vectors (RFC 6386 §17.2).
const UNCHANGED_VECTORS: [[u8; 19]; 2] = [
    [237, 246, 253, 253, 254, 254, 254, 254, 254, 254, 254, 254, 254, 254, 250, 250, 252, 254, 254],
    [231, 243, 245, 253, 254, 254, 254, 254, 254, 254, 254, 254, 254, 254, 251, 251, 254, 254, 254],
];

/// A frame that needs no other.
pub(super) fn key_frame(size: Size) -> Vec<u8> {
    let mut coder = BoolCoder::default();
    // Colour space and clamping as usual (§9.2).
    coder.put_literal(0, 2);
    begin(&mut coder);
    // refresh_entropy_probs (§9.11).
    coder.put_literal(1, 1);
    change_no_tokens(&mut coder);
    let (across, down) = size.macroblocks();
    for _ in 0..across * down {
        // Nothing beyond the prediction.
        coder.put(1, true);
        // Luma by DC_PRED, the path 1-0-0 of the tree with the probabilities of key frames (§11.2).
        coder.put(145, true);
        coder.put(156, false);
        coder.put(163, false);
        // Chroma by DC_PRED.
        coder.put(142, false);
    }
    let header = |value: u16| (value & 0x3FFF).to_le_bytes();
    let mut frame = tagged(true, &coder.finish(), |frame| {
        frame.extend_from_slice(&START_CODE);
        frame.extend_from_slice(&header(size.width));
        frame.extend_from_slice(&header(size.height));
    });
    end(&mut frame);
    frame
}

/// A frame that repeats the one before it.
pub(super) fn still_frame(size: Size) -> Vec<u8> {
    let mut coder = BoolCoder::default();
    begin(&mut coder);
    // Golden and alternate frames stay, nothing is copied to them, no sign is turned (§9.7).
    coder.put_literal(0, 2 + 2 + 2 + 2);
    // refresh_entropy_probs, refresh_last.
    coder.put_literal(0b11, 2);
    change_no_tokens(&mut coder);
    // No macroblock is intra, all refer to the last frame (§9.10): probabilities of the other case.
    coder.put_literal(1, 8);
    coder.put_literal(255, 8);
    coder.put_literal(128, 8);
    // Probabilities of intra modes stay, and those of vectors.
    coder.put_literal(0, 2);
    for probability in UNCHANGED_VECTORS.as_flattened() {
        coder.put(*probability, false);
    }
    let (across, down) = size.macroblocks();
    for row in 0..down {
        for column in 0..across {
            coder.put(1, true);
            coder.put(1, true);
            coder.put(255, false);
            // No motion; how likely that is follows from the neighbours, which have none either (§5.9, §18.3).
            coder.put(still_probability(row > 0, column > 0), false);
        }
    }
    let mut frame = tagged(false, &coder.finish(), |_| {});
    end(&mut frame);
    frame
}

/// vp8_mode_contexts[c][0], where neighbours above and to the left count two each, and that between them one.
fn still_probability(above: bool, left: bool) -> u8 {
    match (above, left) {
        (false, false) => 7,
        (true, true) => 234,
        _ => 135,
    }
}

/// Fields that are the same in every frame (§9.3–§9.6).
fn begin(coder: &mut BoolCoder) {
    // No segments, the normal loop filter at level 0, no adjustments, one partition.
    coder.put_literal(0, 1 + 1 + 6 + 3 + 1 + 2);
    // Any quantiser will do: there is nothing to quantise. No deltas.
    coder.put_literal(32, 7);
    coder.put_literal(0, 5);
}

/// No probability of tokens changes; then macroblocks may say that they have none: nearly all do (§9.10).
fn change_no_tokens(coder: &mut BoolCoder) {
    for row in UNCHANGED_TOKENS {
        for index in 0..TOKENS {
            coder.put(row.get(index).copied().unwrap_or(255), false);
        }
    }
    coder.put_literal(1, 1);
    coder.put_literal(1, 8);
}

/// The tag, what `between` adds, and the first partition (§9.1).
fn tagged(key: bool, partition: &[u8], between: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut frame = Vec::with_capacity(partition.len() + 12);
    let tag = u32::from(!key) | 1 << 4 | (partition.len() as u32) << 5;
    frame.extend_from_slice(&tag.to_le_bytes()[..3]);
    between(&mut frame);
    frame.extend_from_slice(partition);
    frame
}

/// The second partition, of which nothing is read.
fn end(frame: &mut Vec<u8>) {
    frame.extend_from_slice(&[0; 4]);
}

/// The payloads of a frame that is filled up to `wanted` bytes.
pub(super) fn packetise(mut frame: Vec<u8>, wanted: usize, number: u16, payloads: &mut VecDeque<Vec<u8>>) {
    frame.resize(frame.len().max(wanted), 0);
    for (index, piece) in frame.chunks(LONGEST_PAYLOAD - DESCRIPTOR).enumerate() {
        let mut payload = Vec::with_capacity(DESCRIPTOR + piece.len());
        // X, and S where the partition begins; I; the number with M.
        let [high, low] = (number & 0x7FFF | 0x8000).to_be_bytes();
        payload.extend_from_slice(&[0x80 | u8::from(index == 0) << 4, 0x80, high, low]);
        payload.extend_from_slice(piece);
        payloads.push_back(payload);
    }
}

/// What the descriptor and, at the beginning of a frame, its header say.
pub(super) fn look(payload: &[u8]) -> Option<Look> {
    let first = *payload.first()?;
    let mut at = 1;
    if first & 0x80 != 0 {
        let extension = *payload.get(at)?;
        at += 1;
        if extension & 0x80 != 0 {
            at += if payload.get(at)? & 0x80 != 0 { 2 } else { 1 };
        }
        at += usize::from(extension & 0x40 != 0);
        at += usize::from(extension & 0x30 != 0);
    }
    let frame = payload.get(at..)?;
    let starts = first & 0x10 != 0 && first & 0x07 == 0;
    let key = starts && frame.first()? & 1 == 0;
    let size = if key { size_of(frame) } else { None };
    Some(Look { starts: Some(starts), key, size })
}

/// The size in the header of a key frame.
fn size_of(frame: &[u8]) -> Option<Size> {
    let header = frame.get(3..)?.first_chunk::<7>()?;
    let side = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]) & 0x3FFF;
    header.starts_with(&START_CODE).then(|| Size { width: side(3), height: side(5) })
}

/// The arithmetic coder of RFC 6386 §7: what is written is the lower end of an interval that each bit narrows.
#[derive(Debug)]
struct BoolCoder {
    bytes: Vec<u8>,
    /// The lower end, as far as it does not stand in `bytes` yet: a byte, and what is still to come below it.
    low: u64,
    range: u32,
    /// Places that `low` can still be moved before a byte of it is whole.
    free: u32,
}

impl Default for BoolCoder {
    fn default() -> Self {
        Self { bytes: Vec::new(), low: 0, range: 255, free: 24 }
    }
}

impl BoolCoder {
    /// One bit, which is false with a probability of so many out of 256.
    fn put(&mut self, probability: u8, bit: bool) {
        let split = 1 + (((self.range - 1) * u32::from(probability)) >> 8);
        if bit {
            self.low += u64::from(split);
            self.range -= split;
        } else {
            self.range = split;
        }
        while self.range < 128 {
            self.range <<= 1;
            self.shift();
        }
    }

    /// The lowest `count` bits of `value`, the highest of them first, each as likely as not.
    fn put_literal(&mut self, value: u32, count: u32) {
        for place in (0..count).rev() {
            self.put(128, value >> place & 1 == 1);
        }
    }

    fn shift(&mut self) {
        self.low <<= 1;
        self.free -= 1;
        if self.free == 0 {
            if self.low >> 32 != 0 {
                self.carry();
            }
            self.bytes.push((self.low >> 24) as u8);
            self.low &= 0xFF_FFFF;
            self.free = 8;
        }
    }

    /// Adds one to what is written already.
    fn carry(&mut self) {
        for byte in self.bytes.iter_mut().rev() {
            *byte = byte.wrapping_add(1);
            if *byte != 0 {
                return;
            }
        }
    }

    fn finish(mut self) -> Vec<u8> {
        for _ in 0..32 {
            self.shift();
        }
        self.bytes
    }
}
