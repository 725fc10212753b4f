//! Tags and branches that say which entry of the endpoint they belong to.
//!
//! A response is routed by the branch that we made and an in-dialog request by the tag that we made, so both carry the
//! place and generation of their entry, mixed with a secret of the endpoint: no table, no look-up, and a peer can
//! neither guess one nor hit another's by accident.

use std::fmt;

/// A place in the endpoint and the generation of what stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle {
    /// Place.
    pub index: u32,
    /// Counts how often the place was given away.
    pub generation: u32,
}

/// The endpoint's secret.
#[derive(Clone, Copy, Debug)]
pub struct Salt(pub u64);

/// A token as it stands in a tag.
#[derive(Clone, Copy, Debug)]
pub struct Tag(u64);

/// A token as it stands in a branch, behind the magic cookie: entry and number of the transaction.
#[derive(Clone, Copy, Debug)]
pub struct Branch(u64, u32);

impl Salt {
    /// The tag of an entry.
    pub fn tag(self, handle: Handle) -> Tag {
        Tag(self.mix(handle))
    }

    /// The branch of an entry's `transaction`-th transaction.
    pub fn branch(self, handle: Handle, transaction: u32) -> Branch {
        Branch(self.mix(handle), transaction)
    }

    /// The Call-ID of an entry that needs none of its own: nothing has to be kept for it.
    pub fn call_id(self, handle: Handle) -> String {
        let first = (self.mix(handle) ^ self.0.rotate_left(32)).wrapping_mul(SPREAD);
        let second = (first.rotate_left(29) ^ self.0).wrapping_mul(SPREAD) >> 32;
        format!("{first:016x}{second:08x}@ringfleet")
    }

    /// The entry that a tag of ours names. Any 16 hexadecimal digits give one: its generation tells whether it is ours.
    pub fn read_tag(self, tag: &[u8]) -> Option<Handle> {
        (tag.len() == 16).then(|| read_hex(tag)).flatten().map(|mixed| self.unmix(mixed))
    }

    /// The entry and transaction that a branch of ours names.
    pub fn read_branch(self, branch: &[u8]) -> Option<(Handle, u32)> {
        let token = branch.strip_prefix(b"z9hG4bK")?;
        let (mixed, number) = (token.get(..16)?, token.get(16..)?.strip_prefix(b".")?);
        let number = std::str::from_utf8(number).ok()?.parse().ok()?;
        Some((self.unmix(read_hex(mixed)?), number))
    }

    fn mix(self, handle: Handle) -> u64 {
        // An odd multiplier is invertible modulo 2^64 and spreads neighbours apart.
        ((u64::from(handle.index) << 32 | u64::from(handle.generation)) ^ self.0).wrapping_mul(SPREAD)
    }

    fn unmix(self, mixed: u64) -> Handle {
        let plain = mixed.wrapping_mul(SPREAD_INVERSE) ^ self.0;
        Handle { index: (plain >> 32) as u32, generation: plain as u32 }
    }
}

const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
const SPREAD_INVERSE: u64 = inverse(SPREAD);

/// Inverse of an odd number modulo 2^64 (Newton's iteration doubles the correct bits each round).
const fn inverse(odd: u64) -> u64 {
    let mut inverse = odd;
    let mut round = 0;
    while round < 6 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(inverse)));
        round += 1;
    }
    inverse
}

fn read_hex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |sum, digit| Some(sum << 4 | u64::from(char::from(*digit).to_digit(16)?)))
}

/// Sixteen hexadecimal digits. Every message of ours carries some: the standard library's formatter costs more than the
/// rest of a header field.
pub fn hex(number: u64) -> [u8; 16] {
    std::array::from_fn(|place| b"0123456789abcdef"[(number >> (60 - 4 * place)) as usize & 15])
}

impl Branch {
    /// Its two parts: what names the entry, and the number of the transaction.
    pub fn parts(self) -> ([u8; 16], u32) {
        (hex(self.0), self.1)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&hex(self.0)).expect("ASCII"))
    }
}

impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", Tag(self.0), self.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_entry_and_no_other_endpoint_reads_it() {
        let (ours, theirs) = (Salt(0x0123_4567_89ab_cdef), Salt(0xfedc));
        for handle in [Handle { index: 0, generation: 1 }, Handle { index: 49_999, generation: u32::MAX }] {
            let tag = ours.tag(handle).to_string();
            assert_eq!(ours.read_tag(tag.as_bytes()), Some(handle));
            assert_ne!(theirs.read_tag(tag.as_bytes()), Some(handle));
            let branch = format!("z9hG4bK{}", ours.branch(handle, 3));
            assert_eq!(ours.read_branch(branch.as_bytes()), Some((handle, 3)));
        }
    }

    #[test]
    fn foreign_tokens_are_not_read() {
        let salt = Salt(7);
        assert_eq!(salt.read_tag(b"as58f4201b"), None);
        assert_eq!(salt.read_tag(b"zzzzzzzzzzzzzzzz"), None);
        assert_eq!(salt.read_branch(b"z9hG4bK-524287-1---"), None);
        assert_eq!(salt.read_branch(b"1234"), None);
    }
}
