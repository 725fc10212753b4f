//! Which kind of attempt the k-th one is, where a load mixes several by weight.
//!
//! As many attempts as the weights sum up to are a block: each block holds every kind exactly as often as its weight
//! says, in an order of its own. So shares are right to the attempt, no two kinds march in step, and every worker knows
//! the kind of each attempt from its index alone.

use crate::units::Random;

/// Kinds of attempts and how often each comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mix {
    /// As small as whole numbers can be.
    weights: Vec<u32>,
    seed: u64,
}

impl Mix {
    /// A mix of as many kinds as there are weights, each at least 1.
    pub fn new(weights: &[u32], seed: u64) -> Self {
        let divisor = weights.iter().fold(0, |divisor, weight| common_divisor(*weight, divisor)).max(1);
        Self { weights: weights.iter().map(|weight| weight / divisor).collect(), seed }
    }

    /// The kind of attempt `k` (from 0).
    pub fn kind_of(&self, k: u64) -> usize {
        let total = self.total();
        let mut place = unshuffled(total, k % total, &mut Random::of(self.seed, [k / total, MIX]));
        for (kind, weight) in self.weights.iter().enumerate() {
            match place.checked_sub(u64::from(*weight)) {
                Some(beyond) => place = beyond,
                None => return kind,
            }
        }
        0
    }

    /// Share of a kind, 0 to 1.
    pub fn share(&self, kind: usize) -> f64 {
        f64::from(self.weights[kind]) / self.total() as f64
    }

    /// Attempts of a kind among the first `calls`, at most.
    pub fn most(&self, kind: usize, calls: u64) -> u64 {
        let weight = u64::from(self.weights[kind]);
        calls / self.total() * weight + weight.min(calls % self.total())
    }

    fn total(&self) -> u64 {
        self.weights.iter().copied().map(u64::from).sum::<u64>().max(1)
    }
}

/// Keeps the order of a mix apart from what else is drawn of the same seed.
const MIX: u64 = 0x006d_6978;

/// Where the entry that a shuffle (Fisher and Yates) of `total` entries puts at `place` was before it: its exchanges are
/// undone from the last to the first, and only that entry is followed.
fn unshuffled(total: u64, place: u64, random: &mut Random) -> u64 {
    let mut place = place;
    for last in 1..total {
        let other = random.next_u64() % (last + 1);
        if place == last {
            place = other;
        } else if place == other {
            place = last;
        }
    }
    place
}

fn common_divisor(one: u32, other: u32) -> u32 {
    if other == 0 { one } else { common_divisor(other, one % other) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_holds_each_kind_as_often_as_its_weight_says() {
        let mix = Mix::new(&[5, 4, 1], 1);
        for block in 0..50 {
            let mut counts = [0; 3];
            (block * 10..block * 10 + 10).for_each(|k| counts[mix.kind_of(k)] += 1);
            assert_eq!(counts, [5, 4, 1], "block {block}");
        }
    }

    #[test]
    fn the_order_differs_from_block_to_block_and_from_seed_to_seed() {
        let order =
            |seed, block: u64| (0..10).map(|k| Mix::new(&[5, 5], seed).kind_of(block * 10 + k)).collect::<Vec<_>>();
        // 5 to 5 is 1 to 1: blocks of two.
        let pairs: Vec<usize> = order(1, 0).chunks(2).map(|pair| pair[0]).collect();
        assert!(pairs.contains(&0) && pairs.contains(&1), "{pairs:?}");
        assert_ne!((0..20).map(|k| order(1, k)).collect::<Vec<_>>(), (0..20).map(|k| order(2, k)).collect::<Vec<_>>());
        assert_eq!(order(1, 3), order(1, 3));
    }

    #[test]
    fn every_second_attempt_is_no_share_of_its_own() {
        // A worker of two has every second attempt: it must see the whole mix.
        let mix = Mix::new(&[1, 1], 9);
        let first = (0..4000).filter(|k| mix.kind_of(k * 2) == 0).count();
        assert!((1850..2150).contains(&first), "{first}");
    }

    #[test]
    fn shares_and_the_most_of_a_kind_come_from_its_weight() {
        let mix = Mix::new(&[10, 30], 1);
        assert_eq!((mix.share(0), mix.share(1)), (0.25, 0.75));
        assert_eq!((mix.most(0, 8), mix.most(0, 9), mix.most(1, 10)), (2, 3, 8));
    }
}
