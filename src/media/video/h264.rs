//! H.264: frames that are sent (ITU-T H.264, Constrained Baseline), their packets, and what the headers of received packets
//! say (RFC 6184).
//!
//! A key frame of ours predicts every macroblock by DC and adds nothing, so that the picture is grey; a frame after it skips
//! every macroblock. Filler data (NAL unit type 12, §7.3.2.7) brings it up to its length.

use std::collections::VecDeque;

use super::bits::{BitReader, BitWriter};
use super::{LONGEST_PAYLOAD, Look, Size};

/// Types of NAL units (table 7-1), and of packets (RFC 6184 §5.2).
const SLICE: u8 = 1;
const IDR: u8 = 5;
const SPS: u8 = 7;
const PPS: u8 = 8;
const FILLER: u8 = 12;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;
/// nal_ref_idc of what others refer to.
const NEEDED: u8 = 3 << 5;
/// Bits of frame_num in our slices.
const FRAME_NUMBER_BITS: u32 = 4;
/// Macroblocks in a slice that fits into a packet, at a byte each with room for headers.
const SLICE_MACROBLOCKS: u32 = 1_000;
/// Bytes of a sequence parameter set that are looked at.
const LONGEST_SPS: usize = 256;

/// The NAL units of a frame that needs no other; with `single_nal` each fits into a packet.
pub(super) fn key_frame(size: Size, number: u32, single_nal: bool) -> Vec<Vec<u8>> {
    let (across, down) = size.macroblocks();
    let all = across * down;
    let each = if single_nal { SLICE_MACROBLOCKS } else { all };
    let slices = (0..all).step_by(each as usize);
    let slices = slices.map(|first| intra_slice(first, each.min(all - first), number));
    [sequence_parameters(size), picture_parameters()].into_iter().chain(slices).collect()
}

/// The NAL unit of a frame that repeats the one before it; `number` counts from the last key frame, which has 0.
pub(super) fn still_frame(size: Size, number: u32) -> Vec<u8> {
    let (across, down) = size.macroblocks();
    let mut bits = BitWriter::default();
    bits.put_ue(0);
    // slice_type P, and so is every other slice of the picture.
    bits.put_ue(5);
    bits.put_ue(0);
    bits.put(number, FRAME_NUMBER_BITS);
    // One reference picture as usual, in its order; nothing is marked.
    bits.put(0, 3);
    put_delta(&mut bits);
    // mb_skip_run.
    bits.put_ue(across * down);
    unit(NEEDED | SLICE, &bits.finish())
}

fn intra_slice(first: u32, macroblocks: u32, number: u32) -> Vec<u8> {
    let mut bits = BitWriter::default();
    bits.put_ue(first);
    // slice_type I, and so is every other slice of the picture.
    bits.put_ue(7);
    bits.put_ue(0);
    bits.put(0, FRAME_NUMBER_BITS);
    // idr_pic_id differs from that of the key frame before (§7.4.3).
    bits.put_ue(number % 2);
    // Other pictures are let out, and this one is no long-term reference.
    bits.put(0, 2);
    put_delta(&mut bits);
    for _ in 0..macroblocks {
        // mb_type I_16x16_2_0_0: by DC, nothing coded.
        bits.put_ue(3);
        // Chroma by DC; the quantiser stays; no coefficient.
        bits.put(0b111, 3);
    }
    unit(NEEDED | IDR, &bits.finish())
}

/// slice_qp_delta 0.
fn put_delta(bits: &mut BitWriter) {
    bits.put_ue(0);
}

/// §7.3.2.1.1.
fn sequence_parameters(size: Size) -> Vec<u8> {
    let (across, down) = size.macroblocks();
    let mut bits = BitWriter::default();
    // profile_idc 66 with the constraints that make it Constrained Baseline.
    bits.put(66, 8);
    bits.put(0xE0, 8);
    bits.put(level(across * down), 8);
    bits.put_ue(0);
    bits.put_ue(FRAME_NUMBER_BITS - 4);
    // Pictures are shown in the order in which they come.
    bits.put_ue(2);
    bits.put_ue(1);
    bits.put(0, 1);
    bits.put_ue(across - 1);
    bits.put_ue(down - 1);
    // Frames only, direct_8x8_inference.
    bits.put(0b11, 2);
    // What the last macroblocks have too much is cut off, in units of two pixels.
    let (right, bottom) = (across * 16 - u32::from(size.width), down * 16 - u32::from(size.height));
    let cut = right + bottom > 0;
    bits.put(cut.into(), 1);
    if cut {
        for side in [0, right / 2, 0, bottom / 2] {
            bits.put_ue(side);
        }
    }
    // No VUI.
    bits.put(0, 1);
    unit(NEEDED | SPS, &bits.finish())
}

/// The least level of table A-1 that has room for so many macroblocks in a frame, 3.1 at the least.
fn level(macroblocks: u32) -> u32 {
    match macroblocks {
        0..=3_600 => 31,
        3_601..=8_192 => 40,
        8_193..=22_080 => 50,
        _ => 51,
    }
}

/// §7.3.2.2: CAVLC, one slice group, one reference, quantiser 26, nothing else.
fn picture_parameters() -> Vec<u8> {
    let mut bits = BitWriter::default();
    bits.put_ue(0);
    bits.put_ue(0);
    bits.put(0, 2);
    for _ in 0..3 {
        bits.put_ue(0);
    }
    bits.put(0, 3);
    for _ in 0..3 {
        bits.put_ue(0);
    }
    bits.put(0, 3);
    unit(NEEDED | PPS, &bits.finish())
}

/// A NAL unit: §7.4.1 forbids three zeros in a row, or two and a number below four, inside.
fn unit(header: u8, payload: &[u8]) -> Vec<u8> {
    let mut unit = vec![header];
    let mut zeros = 0;
    for byte in payload {
        if zeros == 2 && *byte < 4 {
            unit.push(3);
            zeros = 0;
        }
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        unit.push(*byte);
    }
    unit
}

/// The payloads of a frame that is filled up to `wanted` bytes: one for each unit, or fragments of it (RFC 6184 §5.6, §5.8).
pub(super) fn packetise(units: Vec<Vec<u8>>, wanted: usize, single_nal: bool, payloads: &mut VecDeque<Vec<u8>>) {
    let have: usize = units.iter().map(Vec::len).sum();
    let mut missing = wanted.saturating_sub(have);
    let longest = if single_nal { LONGEST_PAYLOAD } else { missing };
    let mut fillers = Vec::new();
    // Less than a few bytes are not worth a unit.
    while missing > 8 {
        let length = missing.min(longest);
        let mut filler = vec![0xFF; length];
        (filler[0], filler[length - 1]) = (FILLER, 0x80);
        fillers.push(filler);
        missing -= length;
    }
    for unit in units.into_iter().chain(fillers) {
        if unit.len() <= LONGEST_PAYLOAD {
            payloads.push_back(unit);
        } else {
            fragment(&unit, payloads);
        }
    }
}

/// FU-A (RFC 6184 §5.8).
fn fragment(unit: &[u8], payloads: &mut VecDeque<Vec<u8>>) {
    let Some((header, body)) = unit.split_first() else { return };
    let pieces = body.chunks(LONGEST_PAYLOAD - 2);
    let last = pieces.len() - 1;
    for (index, piece) in pieces.enumerate() {
        let (start, end) = (u8::from(index == 0) << 7, u8::from(index == last) << 6);
        let mut payload = vec![header & 0xE0 | FU_A, start | end | header & 0x1F];
        payload.extend_from_slice(piece);
        payloads.push_back(payload);
    }
}

/// What the units in a payload say. Where a frame begins, only the packets before it tell: not in the middle of a unit.
pub(super) fn look(payload: &[u8]) -> Option<Look> {
    let mut look = Look::default();
    match payload.first()? & 0x1F {
        STAP_A => {
            let mut rest = &payload[1..];
            while let Some((length, units)) = rest.split_first_chunk::<2>() {
                let (unit, after) = units.split_at_checked(u16::from_be_bytes(*length).into())?;
                see(unit, &mut look);
                rest = after;
            }
        }
        // The unit's own header is lost; what of it is needed stands in the second byte.
        FU_A => {
            let header = payload.get(1)?;
            if header & 0x80 != 0 {
                look.key = matches!(header & 0x1F, IDR | SPS);
            } else {
                look.starts = Some(false);
            }
        }
        1..24 => see(payload, &mut look),
        // Units that are sent out of order (RFC 6184 §5.7.2) are for packetization mode 2, which is not agreed on.
        _ => return None,
    }
    Some(look)
}

fn see(unit: &[u8], look: &mut Look) {
    match unit.first().map(|header| header & 0x1F) {
        Some(IDR) => look.key = true,
        Some(SPS) => {
            look.key = true;
            look.size = size_of(&unit[1..unit.len().min(LONGEST_SPS)]);
        }
        _ => {}
    }
}

/// The size in a sequence parameter set (§7.3.2.1.1).
fn size_of(parameters: &[u8]) -> Option<Size> {
    let bytes = without_stuffing(parameters);
    let mut bits = BitReader::new(&bytes);
    let profile = bits.take(8)?;
    bits.take(16)?;
    bits.take_ue()?;
    let mut chroma = 1;
    if matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135) {
        chroma = bits.take_ue()?;
        if chroma == 3 {
            bits.bit()?;
        }
        bits.take_ue()?;
        bits.take_ue()?;
        bits.bit()?;
        if bits.bit()? == 1 {
            skip_scaling(&mut bits, if chroma == 3 { 12 } else { 8 })?;
        }
    }
    bits.take_ue()?;
    match bits.take_ue()? {
        0 => drop(bits.take_ue()?),
        1 => {
            bits.bit()?;
            bits.take_se()?;
            bits.take_se()?;
            for _ in 0..bits.take_ue()?.min(255) {
                bits.take_se()?;
            }
        }
        _ => {}
    }
    bits.take_ue()?;
    bits.bit()?;
    let (across, down) = (bits.take_ue()?.checked_add(1)?, bits.take_ue()?.checked_add(1)?);
    // Of fields, a map unit has two rows.
    let rows = 2 - bits.bit()?;
    if rows == 2 {
        bits.bit()?;
    }
    bits.bit()?;
    let mut cut = [0; 4];
    if bits.bit()? == 1 {
        for side in &mut cut {
            *side = bits.take_ue()?;
        }
    }
    // Table 6-1: what one unit of the cut is.
    let (wide, high) = match chroma {
        1 => (2, 2 * rows),
        2 => (2, rows),
        _ => (1, rows),
    };
    let side = |blocks: u32, unit: u32, cut: [u32; 2]| {
        let cut = cut[0].checked_add(cut[1])?.checked_mul(unit)?;
        u16::try_from(blocks.checked_mul(16)?.checked_sub(cut)?).ok()
    };
    let width = side(across, wide, [cut[0], cut[1]])?;
    Some(Size { width, height: side(down.checked_mul(rows)?, high, [cut[2], cut[3]])? })
}

/// §7.3.2.1.1.1.
fn skip_scaling(bits: &mut BitReader<'_>, lists: u32) -> Option<()> {
    for list in 0..lists {
        if bits.bit()? == 0 {
            continue;
        }
        let (mut last, mut next) = (8, 8);
        for _ in 0..if list < 6 { 16 } else { 64 } {
            if next != 0 {
                next = bits.take_se()?.wrapping_add(last).rem_euclid(256);
            }
            last = if next == 0 { last } else { next };
        }
    }
    Some(())
}

/// The bytes without those that were put in to keep zeros apart.
fn without_stuffing(bytes: &[u8]) -> Vec<u8> {
    let mut clear = Vec::with_capacity(bytes.len());
    let mut zeros = 0;
    for byte in bytes {
        if zeros >= 2 && *byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        clear.push(*byte);
    }
    clear
}
