//! The payload of a telephone event (RFC 4733 §2.3): event, end, volume, duration.

/// Volume has six bits.
const VOLUME: u8 = 0x3F;
/// The end bit; the bit behind it is reserved and ignored.
const END: u8 = 0x80;

/// A report of an event, as it stands in one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its code: 0–15 are keys.
    pub code: u8,
    /// It has ended.
    pub end: bool,
    /// Level of each tone, −dBm0, 0–63.
    pub volume: u8,
    /// From the packet's timestamp on, in units of the clock that was agreed on for events.
    pub duration: u16,
}

impl Event {
    /// Reads a payload: its first event, which is all that packets of keys have. `None` where it is too short.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let [code, flags, high, low] = *payload.first_chunk()?;
        let duration = u16::from_be_bytes([high, low]);
        Some(Self { code, end: flags & END != 0, volume: flags & VOLUME, duration })
    }

    /// The payload.
    pub fn to_bytes(self) -> [u8; 4] {
        let [high, low] = self.duration.to_be_bytes();
        [self.code, if self.end { END } else { 0 } | self.volume & VOLUME, high, low]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_payload_is_laid_out_as_the_standard_draws_it() {
        let event = Event { code: 11, end: true, volume: 10, duration: 800 };
        assert_eq!(event.to_bytes(), [11, 0x8A, 0x03, 0x20]);
        assert_eq!(Event::parse(&[11, 0x8A, 0x03, 0x20]), Some(event));
        assert_eq!(
            Event::parse(&[11, 0xCA, 0x03, 0x20, 9]),
            Some(event),
            "the reserved bit and what follows say nothing"
        );
        assert_eq!(Event::parse(&[11, 0x8A, 0x03]), None);
    }

    proptest! {
        #[test]
        fn any_four_bytes_are_an_event_and_come_back_but_for_the_reserved_bit(bytes in any::<[u8; 4]>()) {
            let event = Event::parse(&bytes).expect("four bytes");
            prop_assert_eq!(event.to_bytes(), [bytes[0], bytes[1] & 0xBF, bytes[2], bytes[3]]);
        }
    }
}
