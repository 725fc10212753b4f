//! Writing RTCP: each function appends one packet, so that a compound is a sequence of calls.

use super::{
    BYE, CNAME, FEEDBACK, FULL_INTRA, PICTURE_LOSS, RECEIVER_REPORT, ReportBlock, SDES, SENDER_REPORT, SenderInfo,
};

/// Appends an SR with at most 31 blocks; further ones are left out.
pub fn sender_report(out: &mut Vec<u8>, ssrc: u32, info: &SenderInfo, blocks: &[ReportBlock]) {
    let start = begin(out, SENDER_REPORT, count(blocks), ssrc);
    out.extend_from_slice(&info.ntp.to_be_bytes());
    for word in [info.rtp_timestamp, info.packets, info.octets] {
        out.extend_from_slice(&word.to_be_bytes());
    }
    write_blocks(out, blocks);
    finish(out, start);
}

/// Appends an RR with at most 31 blocks; further ones are left out.
pub fn receiver_report(out: &mut Vec<u8>, ssrc: u32, blocks: &[ReportBlock]) {
    let start = begin(out, RECEIVER_REPORT, count(blocks), ssrc);
    write_blocks(out, blocks);
    finish(out, start);
}

/// Appends an SDES with a CNAME of at most 255 bytes; a longer one is cut.
pub fn sdes(out: &mut Vec<u8>, ssrc: u32, cname: &str) {
    let start = begin(out, SDES, 1, ssrc);
    let name = &cname.as_bytes()[..cname.len().min(255)];
    out.extend_from_slice(&[CNAME, name.len() as u8]);
    out.extend_from_slice(name);
    // The list ends with at least one zero byte, up to the next word (RFC 3550 §6.5).
    let padding = 4 - (out.len() - start) % 4;
    out.extend_from_slice(&[0; 4][..padding]);
    finish(out, start);
}

/// Appends a BYE without a reason.
pub fn bye(out: &mut Vec<u8>, ssrc: u32) {
    let start = begin(out, BYE, 1, ssrc);
    finish(out, start);
}

/// Appends a PLI (RFC 4585 §6.3.1): another key frame of the source `media` is wanted.
pub fn picture_loss(out: &mut Vec<u8>, ssrc: u32, media: u32) {
    let start = begin(out, FEEDBACK, PICTURE_LOSS, ssrc);
    out.extend_from_slice(&media.to_be_bytes());
    finish(out, start);
}

/// Appends a FIR (RFC 5104 §4.3.1) for one source; `number` is one more in each new request.
pub fn full_intra(out: &mut Vec<u8>, ssrc: u32, media: u32, number: u8) {
    let start = begin(out, FEEDBACK, FULL_INTRA, ssrc);
    // The source stands in the entry only.
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&media.to_be_bytes());
    out.extend_from_slice(&[number, 0, 0, 0]);
    finish(out, start);
}

fn count(blocks: &[ReportBlock]) -> u8 {
    blocks.len().min(31) as u8
}

fn begin(out: &mut Vec<u8>, packet_type: u8, count: u8, ssrc: u32) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0x80 | count, packet_type, 0, 0]);
    out.extend_from_slice(&ssrc.to_be_bytes());
    start
}

fn finish(out: &mut [u8], start: usize) {
    let words = ((out.len() - start) / 4 - 1) as u16;
    out[start + 2..start + 4].copy_from_slice(&words.to_be_bytes());
}

fn write_blocks(out: &mut Vec<u8>, blocks: &[ReportBlock]) {
    for block in blocks.iter().take(31) {
        let lost = block.lost.clamp(-0x80_0000, 0x7F_FFFF).cast_unsigned() & 0xFF_FFFF;
        let words = [
            block.ssrc,
            u32::from(block.fraction_lost) << 24 | lost,
            block.highest_sequence,
            block.jitter,
            block.last_sr,
            block.delay_since_last_sr,
        ];
        for word in words {
            out.extend_from_slice(&word.to_be_bytes());
        }
    }
}
