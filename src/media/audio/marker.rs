//! The correlation marker: ten symbols of 40 ms, each one of sixteen tones.
//!
//! | symbols | 0–1 | 2–5 | 6 | 7 | 8–9 |
//! |---|---|---|---|---|---|
//! | | sync 15, 0 | id | sequence | what the sender hears | CRC-8 |
//!
//! The tones are 550, 650 … 2050 Hz: one at a time, so no pair of DTMF, away from the tones of fax and call progress,
//! and all with whole cycles in 20 ms, so that each is one shared frame.

use crate::media::Heard;

/// Set in the id of a leg that answers: a caller that hears it knows a far end of ours, not another caller.
pub const FAR_END: u16 = 0x8000;

/// Samples of a symbol.
pub(super) const SYMBOL: usize = 320;
/// Symbols of a marker.
pub(super) const SYMBOLS: usize = 10;
/// Where the marker begins in each period of the reference, samples.
pub(super) const START: usize = 800;
/// Samples of a marker.
pub(super) const LENGTH: usize = SYMBOL * SYMBOLS;
/// Samples after which each tone repeats.
pub(super) const FRAME: usize = 160;
/// Tones.
pub(super) const TONES: usize = 16;
/// The first two symbols.
pub(super) const SYNC: [u8; 2] = [15, 0];
/// The code of the hearing symbol for an echo of the sender's own marker.
const ECHO_CODE: u8 = 5;
/// Ids that are heard are told from each other by the codes from here on.
const FIRST_ID_CODE: u8 = 6;
const ID_CODES: u16 = 10;

/// What a marker says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    /// Id of the leg that sends it; [`FAR_END`] is set where it answered the call.
    pub id: u16,
    /// Counts markers of the leg, modulo 16.
    pub sequence: u8,
    /// What the sender hears, as a code.
    pub hears: u8,
}

impl Marker {
    /// The code for what the leg `own` hears; `id` is the marker it heard last.
    pub fn hearing_code(heard: Heard, own: u16, id: u16) -> u8 {
        match heard {
            Heard::Unknown => 0,
            Heard::None => 1,
            Heard::Silent => 2,
            Heard::Noise => 3,
            Heard::WrongParty => 4,
            Heard::Heard if id == own => ECHO_CODE,
            Heard::Heard => id_code(id),
        }
    }

    /// What the sender of this marker hears of the leg `own`, which sends echoes or audio of its own.
    pub fn hears(&self, own: u16, own_sends_echoes: bool) -> Heard {
        match self.hears {
            0 => Heard::Unknown,
            1 => Heard::None,
            2 => Heard::Silent,
            3 => Heard::Noise,
            ECHO_CODE if own_sends_echoes => Heard::Heard,
            // An echo that is not ours: something on the way sends their audio back, and ours does not arrive.
            ECHO_CODE => Heard::Noise,
            code if code == id_code(own) => Heard::Heard,
            _ => Heard::WrongParty,
        }
    }

    /// Frequency of a tone, Hz.
    pub(super) fn frequency(tone: usize) -> f64 {
        550.0 + 100.0 * tone as f64
    }

    /// The tones of the marker.
    pub(super) fn symbols(&self) -> [u8; SYMBOLS] {
        let [high, low, flags] = self.bytes();
        let crc = crc8([high, low, flags]);
        let nibbles = [high, low, flags, crc].map(|byte| [byte >> 4, byte & 0x0F]);
        let mut symbols = [0; SYMBOLS];
        symbols[..2].copy_from_slice(&SYNC);
        for (pair, nibbles) in symbols[2..].chunks_exact_mut(2).zip(nibbles) {
            pair.copy_from_slice(&nibbles);
        }
        symbols
    }

    /// The marker whose symbols after the sync these are; `None` where the CRC does not agree.
    pub(super) fn from_symbols(data: &[u8; SYMBOLS - 2]) -> Option<Self> {
        let byte = |i: usize| data[2 * i] << 4 | data[2 * i + 1];
        let [high, low, flags, crc] = [0, 1, 2, 3].map(byte);
        (crc8([high, low, flags]) == crc).then(|| Self {
            id: u16::from_be_bytes([high, low]),
            sequence: flags >> 4,
            hears: flags & 0x0F,
        })
    }

    fn bytes(&self) -> [u8; 3] {
        let [high, low] = self.id.to_be_bytes();
        [high, low, (self.sequence & 0x0F) << 4 | self.hears & 0x0F]
    }
}

fn id_code(id: u16) -> u8 {
    FIRST_ID_CODE + (id % ID_CODES) as u8
}

/// CRC-8 with the polynomial x⁸ + x⁵ + x³ + x² + x + 1 (0x2F, AUTOSAR), which finds up to three wrong bits here.
fn crc8(bytes: [u8; 3]) -> u8 {
    let mut crc = 0xFF_u8;
    for byte in bytes {
        crc ^= byte;
        for _ in 0..8 {
            crc = if crc & 0x80 != 0 { crc << 1 ^ 0x2F } else { crc << 1 };
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_lead_back_to_the_marker() {
        for id in [0, 1, 0x1234, 0x8000, 0xFFFF] {
            let marker = Marker { id, sequence: 13, hears: 6 };
            let symbols = marker.symbols();
            assert_eq!(symbols[..2], SYNC);
            let mut data: [u8; 8] = symbols[2..].try_into().expect("eight");
            assert_eq!(Marker::from_symbols(&data), Some(marker));
            data[3] ^= 4;
            assert_eq!(Marker::from_symbols(&data), None);
        }
    }

    #[test]
    fn a_far_end_that_hears_another_caller_says_so() {
        let hearing = |heard, id| Marker { id: FAR_END, sequence: 0, hears: Marker::hearing_code(heard, FAR_END, id) };
        assert_eq!(hearing(Heard::Heard, 7).hears(7, false), Heard::Heard);
        assert_eq!(hearing(Heard::Heard, 7).hears(8, false), Heard::WrongParty);
        for heard in [Heard::Unknown, Heard::None, Heard::Silent, Heard::Noise, Heard::WrongParty] {
            assert_eq!(hearing(heard, 7).hears(7, false), heard);
        }
    }

    #[test]
    fn a_caller_that_hears_its_echo_hears_the_leg_that_echoes() {
        let marker = Marker { id: 7, sequence: 0, hears: Marker::hearing_code(Heard::Heard, 7, 7) };
        assert_eq!(marker.hears(FAR_END | 7, true), Heard::Heard);
        assert_eq!(marker.hears(FAR_END | 7, false), Heard::Noise);
    }
}
