//! Reading RTCP: an iterator over the packets of a datagram, borrowing from it.

use super::{
    BYE, CNAME, FEEDBACK, FULL_INTRA, PICTURE_LOSS, RECEIVER_REPORT, ReportBlock, SDES, SENDER_REPORT, SenderInfo,
};

const REPORT_LEN: usize = 24;

/// One packet of a compound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// Type 200.
    SenderReport {
        /// Who reports.
        ssrc: u32,
        /// What it has sent.
        info: SenderInfo,
        /// What it receives.
        reports: Reports<'a>,
    },
    /// Type 201.
    ReceiverReport {
        /// Who reports.
        ssrc: u32,
        /// What it receives.
        reports: Reports<'a>,
    },
    /// Type 202; only its first chunk is looked at.
    Sdes {
        /// Who describes itself.
        ssrc: Option<u32>,
        /// Canonical name, as received.
        cname: Option<&'a [u8]>,
    },
    /// Type 203; only its first source is looked at.
    Bye {
        /// Who leaves.
        ssrc: Option<u32>,
    },
    /// Type 206, format 1: a picture was lost, so another key frame is wanted (RFC 4585 §6.3.1).
    PictureLoss {
        /// Of this source.
        media: u32,
    },
    /// Type 206, format 4: key frames are wanted (RFC 5104 §4.3.1).
    FullIntra {
        /// Who wants them.
        from: u32,
        /// Of which sources.
        requests: FullIntra<'a>,
    },
    /// Another type.
    Other {
        /// Its number.
        packet_type: u8,
    },
}

/// Why a datagram, or the rest of it, is no RTCP.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ParseError {
    /// The datagram ends before what a header announces.
    #[error("RTCP packet needs {need} bytes and has {have}")]
    Truncated {
        /// Bytes needed.
        need: usize,
        /// Bytes there.
        have: usize,
    },
    /// Version other than 2.
    #[error("RTCP version is {0}, not 2")]
    Version(u8),
    /// The packet is too short for its fixed part and its report blocks.
    #[error("RTCP packet is too short for {announced} report blocks")]
    Reports {
        /// Report blocks announced.
        announced: u8,
    },
}

/// Iterates over the packets of a datagram; after an error it ends.
#[derive(Clone, Debug)]
pub struct Compound<'a> {
    rest: &'a [u8],
}

/// Iterates over the report blocks of an SR or RR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reports<'a> {
    rest: &'a [u8],
}

/// Iterates over the entries of a FIR: the source, and the number of the request, which is the same in its repetitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FullIntra<'a> {
    rest: &'a [u8],
}

impl Iterator for FullIntra<'_> {
    type Item = (u32, u8);

    fn next(&mut self) -> Option<(u32, u8)> {
        let (entry, rest) = self.rest.split_first_chunk::<8>()?;
        self.rest = rest;
        Some((word(entry, 0)?, entry[4]))
    }
}

impl<'a> Compound<'a> {
    /// The packets of `datagram`.
    pub fn new(datagram: &'a [u8]) -> Self {
        Self { rest: datagram }
    }

    fn read(&mut self) -> Result<Packet<'a>, ParseError> {
        let have = self.rest.len();
        let header = self.rest.first_chunk::<4>().ok_or(ParseError::Truncated { need: 4, have })?;
        if header[0] >> 6 != 2 {
            return Err(ParseError::Version(header[0] >> 6));
        }
        let need = 4 + 4 * usize::from(u16::from_be_bytes([header[2], header[3]]));
        let body = self.rest.get(4..need).ok_or(ParseError::Truncated { need, have })?;
        self.rest = &self.rest[need..];
        let count = header[0] & 0x1F;
        match header[1] {
            SENDER_REPORT => sender_report(body, count),
            RECEIVER_REPORT => receiver_report(body, count),
            SDES => Ok(Packet::Sdes { ssrc: word(body, 0), cname: cname(body) }),
            BYE => Ok(Packet::Bye { ssrc: word(body, 0).filter(|_| count > 0) }),
            packet_type => Ok(feedback(packet_type, count, body).unwrap_or(Packet::Other { packet_type })),
        }
    }
}

impl<'a> Iterator for Compound<'a> {
    type Item = Result<Packet<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let packet = self.read();
        if packet.is_err() {
            self.rest = &[];
        }
        Some(packet)
    }
}

impl Iterator for Reports<'_> {
    type Item = ReportBlock;

    fn next(&mut self) -> Option<ReportBlock> {
        let (block, rest) = self.rest.split_first_chunk::<REPORT_LEN>()?;
        self.rest = rest;
        let lost = word(block, 4)?;
        Some(ReportBlock {
            ssrc: word(block, 0)?,
            fraction_lost: block[4],
            // Signed 24 bits: up to the top of the word and back again.
            lost: (lost << 8).cast_signed() >> 8,
            highest_sequence: word(block, 8)?,
            jitter: word(block, 12)?,
            last_sr: word(block, 16)?,
            delay_since_last_sr: word(block, 20)?,
        })
    }
}

/// A request for a key frame, where it is one.
fn feedback(packet_type: u8, format: u8, body: &[u8]) -> Option<Packet<'_>> {
    match (packet_type, format) {
        (FEEDBACK, PICTURE_LOSS) => Some(Packet::PictureLoss { media: word(body, 4)? }),
        (FEEDBACK, FULL_INTRA) => {
            Some(Packet::FullIntra { from: word(body, 0)?, requests: FullIntra { rest: body.get(8..)? } })
        }
        _ => None,
    }
}

fn sender_report(body: &[u8], count: u8) -> Result<Packet<'_>, ParseError> {
    const INFO_LEN: usize = 24;
    let short = ParseError::Reports { announced: count };
    let fixed = body.first_chunk::<INFO_LEN>().ok_or(short)?;
    let field = |at| word(fixed, at).ok_or(short);
    let info = SenderInfo {
        ntp: u64::from(field(4)?) << 32 | u64::from(field(8)?),
        rtp_timestamp: field(12)?,
        packets: field(16)?,
        octets: field(20)?,
    };
    Ok(Packet::SenderReport { ssrc: field(0)?, info, reports: reports(&body[INFO_LEN..], count)? })
}

fn receiver_report(body: &[u8], count: u8) -> Result<Packet<'_>, ParseError> {
    let ssrc = word(body, 0).ok_or(ParseError::Reports { announced: count })?;
    Ok(Packet::ReceiverReport { ssrc, reports: reports(&body[4..], count)? })
}

fn reports(body: &[u8], count: u8) -> Result<Reports<'_>, ParseError> {
    let rest = body.get(..REPORT_LEN * usize::from(count)).ok_or(ParseError::Reports { announced: count })?;
    Ok(Reports { rest })
}

fn cname(chunk: &[u8]) -> Option<&[u8]> {
    let mut items = chunk.get(4..)?;
    loop {
        let [kind, length, rest @ ..] = items else { return None };
        let value = rest.get(..usize::from(*length))?;
        match *kind {
            0 => return None,
            CNAME => return Some(value),
            _ => items = &rest[value.len()..],
        }
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk::<4>().map(|word| u32::from_be_bytes(*word))
}
