//! Sequence numbers of one source (RFC 3550 A.1): extended, with losses, late packets and duplicates told apart.
//!
//! Unlike A.1 the first packet counts at once: a probe wants to know about every packet, and a stray one shows as a
//! restart.

use super::burst::Chain;

/// A jump ahead by this many or more is not loss but, after a second packet there, a restart.
const MAX_DROPOUT: u16 = 3_000;
/// A packet this many or fewer behind the highest is late; further behind it counts as a jump.
const MAX_MISORDER: u16 = 100;
/// Packets whose arrival is remembered, to know duplicates; more than [`MAX_MISORDER`].
const WINDOW: u64 = 128;
/// Extended numbers start in the second cycle, so that packets before the first one have numbers too.
const FIRST_CYCLE: u64 = 1 << 16;

/// What a packet was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It moved the highest sequence number by this many (1 is in order).
    Ahead(u16),
    /// It came after a later one.
    Late,
    /// It had come before.
    Duplicate,
    /// It is far off and not counted; a second one there is a restart.
    Jump,
    /// It confirmed a jump: counting began anew.
    Restart,
}

/// Counts one source.
#[derive(Clone, Debug)]
pub struct Sequence {
    base: u64,
    highest: u64,
    /// Bit i: the packet `highest − i` arrived.
    window: u128,
    chain: Chain,
    /// The number after the last jump.
    jumped_to: Option<u16>,
    expected_before: u64,
    unique: u64,
    duplicates: u64,
    late: u64,
    restarts: u32,
    epoch_received: u64,
}

impl Sequence {
    /// Starts with the first packet of a source.
    pub fn new(first: u16) -> Self {
        let start = FIRST_CYCLE + u64::from(first);
        Self {
            base: start,
            highest: start,
            window: 1,
            chain: Chain::default(),
            jumped_to: None,
            expected_before: 0,
            unique: 1,
            duplicates: 0,
            late: 0,
            restarts: 0,
            epoch_received: 1,
        }
    }

    /// Counts a packet.
    pub fn add(&mut self, sequence: u16) -> Arrival {
        let ahead = sequence.wrapping_sub(self.highest as u16);
        let behind = ahead.wrapping_neg();
        if ahead == 0 {
            return self.repeated();
        }
        if ahead < MAX_DROPOUT {
            self.advance(ahead);
            return Arrival::Ahead(ahead);
        }
        if behind <= MAX_MISORDER {
            return self.behind(u64::from(behind));
        }
        if self.jumped_to == Some(sequence) {
            self.restart(sequence);
            return Arrival::Restart;
        }
        self.jumped_to = Some(sequence.wrapping_add(1));
        Arrival::Jump
    }

    /// Counts the first packet after an agreed pause: numbers that its sender has skipped meanwhile were never sent.
    pub fn add_after_pause(&mut self, sequence: u16) -> Arrival {
        let ahead = sequence.wrapping_sub(self.highest as u16);
        if !(2..MAX_DROPOUT).contains(&ahead) {
            return self.add(sequence);
        }
        let restarts = self.restarts;
        self.restart(sequence);
        self.restarts = restarts;
        Arrival::Ahead(ahead)
    }

    /// Packets that must have been sent, from the first to the highest number.
    pub fn expected(&self) -> u64 {
        self.expected_before + self.epoch_expected()
    }

    /// Different packets that arrived.
    pub fn unique(&self) -> u64 {
        self.unique
    }

    /// Packets that had come before.
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// Packets that came after a later one.
    pub fn late(&self) -> u64 {
        self.late
    }

    /// Restarts within the source.
    pub fn restarts(&self) -> u32 {
        self.restarts
    }

    /// The extended highest sequence number of report blocks: cycles in the upper half.
    pub fn extended_highest(&self) -> u32 {
        (self.highest - FIRST_CYCLE) as u32
    }

    /// Expected and received since the last restart, duplicates included, as RFC 3550 A.3 counts.
    pub fn reported(&self) -> (u64, u64) {
        (self.epoch_expected(), self.epoch_received)
    }

    /// Transitions so far, the packets still in the window included.
    pub fn chain(&self) -> Chain {
        let mut chain = self.chain;
        for age in (0..WINDOW.min(self.epoch_expected())).rev() {
            chain.push(self.window >> age & 1 == 1);
        }
        chain
    }

    fn epoch_expected(&self) -> u64 {
        self.highest - self.base + 1
    }

    fn advance(&mut self, by: u16) {
        for _ in 0..by {
            // The oldest packet of the window is settled: a later arrival would be a jump.
            if self.highest - self.base >= WINDOW - 1 {
                self.chain.push(self.window >> (WINDOW - 1) & 1 == 1);
            }
            self.window <<= 1;
            self.highest += 1;
        }
        self.window |= 1;
        self.count_new();
    }

    fn behind(&mut self, behind: u64) -> Arrival {
        if self.window >> behind & 1 == 1 {
            return self.repeated();
        }
        self.window |= 1 << behind;
        self.base = self.base.min(self.highest - behind);
        self.late += 1;
        self.count_new();
        Arrival::Late
    }

    fn count_new(&mut self) {
        self.jumped_to = None;
        self.unique += 1;
        self.epoch_received += 1;
    }

    fn repeated(&mut self) -> Arrival {
        self.duplicates += 1;
        self.epoch_received += 1;
        Arrival::Duplicate
    }

    fn restart(&mut self, sequence: u16) {
        let mut chain = self.chain();
        chain.cut();
        *self = Self {
            chain,
            expected_before: self.expected(),
            unique: self.unique + 1,
            duplicates: self.duplicates,
            late: self.late,
            restarts: self.restarts + 1,
            ..Self::new(sequence)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(sequences: impl IntoIterator<Item = u16>) -> Sequence {
        let mut sequences = sequences.into_iter();
        let mut counted = Sequence::new(sequences.next().expect("one"));
        sequences.for_each(|sequence| {
            counted.add(sequence);
        });
        counted
    }

    fn counts(s: &Sequence) -> (u64, u64, u64, u64) {
        (s.expected(), s.unique(), s.late(), s.duplicates())
    }

    #[test]
    fn numbers_run_over_the_end_of_a_cycle() {
        let s = after((0..200_u16).map(|i| 65_500_u16.wrapping_add(i)));
        assert_eq!(counts(&s), (200, 200, 0, 0));
        assert_eq!(s.extended_highest(), 65_500 + 199);
    }

    #[test]
    fn lost_late_and_repeated_packets_are_told_apart() {
        assert_eq!(counts(&after([1, 2, 4, 3, 3, 4, 7])), (7, 5, 1, 2));
        assert_eq!(after([1, 2, 4, 3, 3]).reported(), (4, 5));
    }

    #[test]
    fn packets_before_the_first_one_extend_the_start() {
        assert_eq!(counts(&after([5, 4, 6])), (3, 3, 1, 0));
        assert_eq!(counts(&after([0, 65_535, 1])), (3, 3, 1, 0));
    }

    #[test]
    fn a_jump_is_a_restart_only_after_a_second_packet() {
        let mut s = after([1, 2, 3]);
        assert_eq!(s.add(30_000), Arrival::Jump);
        assert_eq!(s.add(4), Arrival::Ahead(1));
        assert_eq!(s.add(30_000), Arrival::Jump);
        assert_eq!(s.add(30_001), Arrival::Restart);
        assert_eq!(s.add(30_002), Arrival::Ahead(1));
        assert_eq!((counts(&s), s.restarts(), s.reported()), ((6, 6, 0, 0), 1, (2, 2)));
    }

    #[test]
    fn the_chain_sees_losses_inside_and_outside_the_window() {
        let mut direct = Chain::default();
        (0..1_000).for_each(|i| direct.push(i % 10 != 3 && i % 10 != 4));
        let s = after((0..1_000_u16).filter(|i| i % 10 != 3 && i % 10 != 4));
        assert_eq!(s.chain(), direct);
        assert_eq!((s.expected(), s.unique()), (1_000, 800));
    }
}
