//! What is said between who measures bandwidth and the responder, as bytes. Every packet begins with [`MAGIC`], its kind and the
//! number of the measurement; no answer is longer than what it answers, so that nobody can use a responder to send more to
//! others than is sent to it.

/// Bytes of one packet of a burst, without IP and UDP.
pub(super) const DATA: usize = 1200;
/// Length of what asks for something.
pub(super) const ASKING: usize = 64;
/// A packet ends where IP and UDP have begun: bytes of both headers, by family.
pub(super) const HEADERS: [usize; 2] = [28, 48];

const MAGIC: [u8; 4] = *b"RFB1";
const HEAD: usize = 16;

/// Shows that who asks receives what is sent to its address.
pub(super) type Cookie = [u8; 16];

/// Which way a burst goes, seen from who asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// To the responder.
    Up,
    /// From it.
    Down,
}

/// A cookie and the stretch of time that it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) cookie: Cookie,
    pub(super) slot: u32,
}

/// What a packet says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packet {
    /// Is a responder there?
    Hello,
    /// It is, and this proves that the next packet comes from the same address.
    Welcome(Ticket),
    /// A burst that way, of so many kbit/s for so many milliseconds.
    Begin { ticket: Ticket, way: Way, kbps: u32, ms: u32 },
    /// Agreed.
    Go,
    /// Another one is measuring.
    Busy,
    /// More than the responder takes or gives.
    TooMuch,
    /// One packet of a burst, by its number.
    Data(u32),
    /// The burst is over, it had so many packets.
    End(u32),
    /// So many of them came, in so many microseconds from the first to the last.
    Result { received: u32, span_us: u32 },
}

impl Packet {
    /// Writes a packet of this measurement into `out`, whose former content is dropped.
    pub(super) fn write(self, number: u64, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[self.kind(), 0, 0, 0]);
        out.extend_from_slice(&number.to_be_bytes());
        match self {
            Self::Hello | Self::Go | Self::Busy | Self::TooMuch => {}
            Self::Welcome(ticket) => ticket.write(out),
            Self::Begin { ticket, way, kbps, ms } => {
                ticket.write(out);
                out.extend_from_slice(&u32::from(way == Way::Down).to_be_bytes());
                out.extend_from_slice(&kbps.to_be_bytes());
                out.extend_from_slice(&ms.to_be_bytes());
            }
            Self::Data(count) | Self::End(count) => out.extend_from_slice(&count.to_be_bytes()),
            Self::Result { received, span_us } => {
                out.extend_from_slice(&received.to_be_bytes());
                out.extend_from_slice(&span_us.to_be_bytes());
            }
        }
        match self {
            Self::Hello | Self::Begin { .. } => out.resize(ASKING, 0),
            Self::Data(_) => out.resize(DATA, 0),
            _ => {}
        }
    }

    /// Number of the measurement and what is said; `None` where it is no packet of this kind.
    pub(super) fn read(bytes: &[u8]) -> Option<(u64, Self)> {
        let (head, rest) = bytes.split_at_checked(HEAD)?;
        if head[..4] != MAGIC {
            return None;
        }
        let number = u64::from_be_bytes(head[8..].try_into().ok()?);
        let word = |index: usize| Some(u32::from_be_bytes(rest.get(4 * index..4 * index + 4)?.try_into().ok()?));
        let packet = match head[4] {
            // One that is shorter would be answered by more than it is.
            1 if bytes.len() >= ASKING => Self::Hello,
            2 => Self::Welcome(Ticket::read(rest)?),
            3 if bytes.len() >= ASKING => {
                let way = if word(5)? == 0 { Way::Up } else { Way::Down };
                Self::Begin { ticket: Ticket::read(rest)?, way, kbps: word(6)?, ms: word(7)? }
            }
            4 => Self::Go,
            5 => Self::Busy,
            6 => Self::TooMuch,
            7 if bytes.len() == DATA => Self::Data(word(0)?),
            8 => Self::End(word(0)?),
            9 => Self::Result { received: word(0)?, span_us: word(1)? },
            _ => return None,
        };
        Some((number, packet))
    }

    fn kind(self) -> u8 {
        match self {
            Self::Hello => 1,
            Self::Welcome(_) => 2,
            Self::Begin { .. } => 3,
            Self::Go => 4,
            Self::Busy => 5,
            Self::TooMuch => 6,
            Self::Data(_) => 7,
            Self::End(_) => 8,
            Self::Result { .. } => 9,
        }
    }
}

impl Ticket {
    fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.cookie);
        out.extend_from_slice(&self.slot.to_be_bytes());
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (cookie, rest) = bytes.split_first_chunk()?;
        Some(Self { cookie: *cookie, slot: u32::from_be_bytes(*rest.first_chunk()?) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn packets_are_read_as_they_were_written_and_no_answer_is_longer_than_its_question() {
        let ticket = Ticket { cookie: [7; 16], slot: 9 };
        let packets = [
            Packet::Hello,
            Packet::Welcome(ticket),
            Packet::Begin { ticket, way: Way::Down, kbps: 3150, ms: 2000 },
            Packet::Begin { ticket, way: Way::Up, kbps: 1, ms: 2 },
            Packet::Go,
            Packet::Busy,
            Packet::TooMuch,
            Packet::Data(5),
            Packet::End(6),
            Packet::Result { received: 7, span_us: 8 },
        ];
        let mut bytes = Vec::new();
        for packet in packets {
            packet.write(42, &mut bytes);
            assert_eq!(Packet::read(&bytes), Some((42, packet)));
            let asks = matches!(packet, Packet::Hello | Packet::Begin { .. } | Packet::Data(_));
            assert!(asks || bytes.len() <= ASKING, "{packet:?}: {}", bytes.len());
        }
        Packet::Hello.write(42, &mut bytes);
        assert_eq!(Packet::read(&bytes[..ASKING - 1]), None, "it would be answered by more than it is");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(kind in 0..12_u8, rest in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Packet::read(&rest);
            let _ = Packet::read(&[&MAGIC[..], &[kind, 0, 0, 0], &rest].concat());
        }
    }
}
