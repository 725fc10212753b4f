//! Bits in and out: fixed lengths and the codes of Exponential-Golomb (ITU-T H.264 §9.1).

/// Writes bits, the first in the highest place.
#[derive(Debug, Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    /// Bits of the last byte that are taken, 0 where it is full.
    taken: u32,
}

impl BitWriter {
    /// The lowest `count` bits of `value`.
    pub(super) fn put(&mut self, value: u32, count: u32) {
        for place in (0..count).rev() {
            if self.taken == 0 {
                self.bytes.push(0);
            }
            let bit = (value >> place & 1) as u8;
            if let Some(last) = self.bytes.last_mut() {
                *last |= bit << (7 - self.taken);
            }
            self.taken = (self.taken + 1) % 8;
        }
    }

    /// ue(v).
    pub(super) fn put_ue(&mut self, value: u32) {
        let code = value + 1;
        let length = 32 - code.leading_zeros();
        self.put(0, length - 1);
        self.put(code, length);
    }

    /// The stop bit and zeros up to the next byte (§7.3.2.11); gives all of it.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.put(1, 1);
        self.bytes
    }
}

/// Reads bits; `None` where they have come to an end.
#[derive(Debug)]
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn bit(&mut self) -> Option<u32> {
        let byte = self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(u32::from(bit))
    }

    pub(super) fn take(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0u32, |value, _| Some(value << 1 | self.bit()?))
    }

    /// ue(v) of at most 32 bits.
    pub(super) fn take_ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.bit()? == 0 {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some((1 << zeros) - 1 + self.take(zeros)?)
    }

    /// se(v).
    pub(super) fn take_se(&mut self) -> Option<i32> {
        let code = self.take_ue()?;
        let half = code.div_ceil(2).cast_signed();
        Some(if code % 2 == 1 { half } else { half.wrapping_neg() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_table_and_read_back() {
        let mut writer = BitWriter::default();
        // §9.1: 0 → 1, 1 → 010, 2 → 011, 3 → 00100.
        for value in 0..4 {
            writer.put_ue(value);
        }
        let bytes = writer.finish();
        assert_eq!(bytes, [0b1010_0110, 0b0100_1000]);
        let mut reader = BitReader::new(&bytes);
        let read: Vec<u32> = (0..4).filter_map(|_| reader.take_ue()).collect();
        assert_eq!(read, [0, 1, 2, 3]);
        let mut reader = BitReader::new(&bytes);
        let read: Vec<i32> = (0..4).filter_map(|_| reader.take_se()).collect();
        assert_eq!(read, [0, 1, -1, 2]);
        assert_eq!(BitReader::new(&[0; 8]).take_ue(), None, "a code without end");
    }
}
