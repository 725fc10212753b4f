//! RTP packets (RFC 3550 §5): the fixed header is read and written; CSRCs, extension and padding are stepped over.

/// Bytes of a header without CSRCs and extension.
pub const HEADER_LEN: usize = 12;

/// The fields of the fixed header that a receiver needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Marker bit: for audio the first packet after a silence (RFC 3551 §4.1).
    pub marker: bool,
    /// Payload type, 0–127.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp in units of the codec's clock.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
}

/// A packet as it lies in the datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The fixed header.
    pub header: Header,
    /// Payload without padding.
    pub payload: &'a [u8],
}

/// Why a datagram is no RTP packet.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ParseError {
    /// The datagram ends before what its header announces.
    #[error("RTP packet needs {need} bytes and has {have}")]
    Truncated {
        /// Bytes needed.
        need: usize,
        /// Bytes there.
        have: usize,
    },
    /// Version other than 2.
    #[error("RTP version is {0}, not 2")]
    Version(u8),
    /// The padding count is 0 or longer than the payload.
    #[error("RTP padding of {0} bytes does not fit")]
    Padding(u8),
}

impl<'a> Packet<'a> {
    /// Reads a datagram.
    ///
    /// # Errors
    /// [`ParseError`] where the datagram is not RTP of version 2 or its lengths do not fit.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, ParseError> {
        let have = datagram.len();
        let fixed = datagram.first_chunk::<HEADER_LEN>().ok_or(ParseError::Truncated { need: HEADER_LEN, have })?;
        let version = fixed[0] >> 6;
        if version != 2 {
            return Err(ParseError::Version(version));
        }
        let mut start = HEADER_LEN + 4 * usize::from(fixed[0] & 0x0F);
        if fixed[0] & 0x10 != 0 {
            let need = start + 4;
            let extension = datagram.get(start..need).ok_or(ParseError::Truncated { need, have })?;
            start = need + 4 * usize::from(u16::from_be_bytes([extension[2], extension[3]]));
        }
        let mut payload = datagram.get(start..).ok_or(ParseError::Truncated { need: start, have })?;
        if fixed[0] & 0x20 != 0 {
            let padding = payload.last().copied().unwrap_or(0);
            let kept = payload.len().checked_sub(usize::from(padding)).filter(|_| padding > 0);
            payload = &payload[..kept.ok_or(ParseError::Padding(padding))?];
        }
        Ok(Self { header: Header::read(fixed), payload })
    }
}

impl Header {
    fn read(fixed: &[u8; HEADER_LEN]) -> Self {
        let word = |at: usize| u32::from_be_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
        Self {
            marker: fixed[1] & 0x80 != 0,
            payload_type: fixed[1] & 0x7F,
            sequence: u16::from_be_bytes([fixed[2], fixed[3]]),
            timestamp: word(4),
            ssrc: word(8),
        }
    }

    /// The header as bytes: version 2, no padding, extension or CSRC.
    pub fn to_bytes(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[0] = 0x80;
        bytes[1] = u8::from(self.marker) << 7 | self.payload_type & 0x7F;
        bytes[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        bytes[8..].copy_from_slice(&self.ssrc.to_be_bytes());
        bytes
    }

    /// Appends the header to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEADER: Header =
        Header { marker: true, payload_type: 8, sequence: 0xFFFE, timestamp: 0x0102_0304, ssrc: 0xDEAD_BEEF };

    #[test]
    fn a_written_packet_reads_back() {
        let mut datagram = Vec::new();
        HEADER.write(&mut datagram);
        datagram.extend_from_slice(b"audio");
        assert_eq!(Packet::parse(&datagram), Ok(Packet { header: HEADER, payload: b"audio" }));
    }

    #[test]
    fn csrcs_extension_and_padding_are_stepped_over() {
        let mut datagram = Vec::new();
        HEADER.write(&mut datagram);
        datagram[0] |= 0x20 | 0x10 | 2;
        datagram.extend_from_slice(&[0xCC; 8]);
        datagram.extend_from_slice(&[0xBE, 0xDE, 0, 1, 9, 9, 9, 9]);
        datagram.extend_from_slice(b"audio");
        datagram.extend_from_slice(&[0, 0, 3]);
        assert_eq!(Packet::parse(&datagram).expect("valid").payload, b"audio");
    }

    #[test]
    fn what_does_not_fit_is_refused_with_its_reason() {
        assert_eq!(Packet::parse(&[0x80; 11]), Err(ParseError::Truncated { need: 12, have: 11 }));
        assert_eq!(Packet::parse(&[0x40; 12]), Err(ParseError::Version(1)));
        assert_eq!(Packet::parse(&[0x8F; 12]), Err(ParseError::Truncated { need: 72, have: 12 }));
        let mut padded = HEADER.to_bytes().to_vec();
        padded[0] |= 0x20;
        assert_eq!(Packet::parse(&padded), Err(ParseError::Padding(0)));
        padded.push(2);
        assert_eq!(Packet::parse(&padded), Err(ParseError::Padding(2)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(packet) = Packet::parse(&bytes) {
                prop_assert!(packet.payload.len() + HEADER_LEN <= bytes.len());
            }
        }
    }
}
