//! The burst ratio of ITU-T G.107 from a two-state chain of received and lost packets.

/// Counts transitions between packets that are neighbours in sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    last: Option<bool>,
    from_received: u64,
    received_to_lost: u64,
    from_lost: u64,
    lost_to_received: u64,
}

impl Chain {
    /// Adds the next packet in sequence.
    pub fn push(&mut self, received: bool) {
        match self.last {
            Some(true) => {
                self.from_received += 1;
                self.received_to_lost += u64::from(!received);
            }
            Some(false) => {
                self.from_lost += 1;
                self.lost_to_received += u64::from(received);
            }
            None => {}
        }
        self.last = Some(received);
    }

    /// The next packet belongs to another sequence.
    pub fn cut(&mut self) {
        self.last = None;
    }

    /// The transitions of several sequences together.
    pub fn joined(chains: impl IntoIterator<Item = Self>) -> Self {
        chains.into_iter().fold(Self::default(), |sum, chain| Self {
            last: None,
            from_received: sum.from_received + chain.from_received,
            received_to_lost: sum.received_to_lost + chain.received_to_lost,
            from_lost: sum.from_lost + chain.from_lost,
            lost_to_received: sum.lost_to_received + chain.lost_to_received,
        })
    }

    /// `1 / (p + q)`, p from received to lost and q back, but at least 1 (random loss); `None` where nothing was lost.
    pub fn burst_r(&self) -> Option<f64> {
        if self.received_to_lost == 0 || self.from_lost == 0 {
            return None;
        }
        let p = self.received_to_lost as f64 / self.from_received as f64;
        let q = self.lost_to_received as f64 / self.from_lost as f64;
        Some((1.0 / (p + q)).max(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(pattern: &str, times: usize) -> Chain {
        let mut chain = Chain::default();
        pattern.repeat(times).chars().for_each(|c| chain.push(c == '+'));
        chain
    }

    #[test]
    fn without_loss_there_is_no_burst_ratio() {
        assert_eq!(chain("+", 100).burst_r(), None);
        assert_eq!(Chain::default().burst_r(), None);
    }

    #[test]
    fn losses_in_pairs_are_burstier_than_single_ones() {
        // Of 98 steps from a received packet one leads to a loss, every step from a single loss leads back.
        assert_eq!(chain(&format!("{}-", "+".repeat(99)), 10).burst_r(), Some(1.0));
        let pairs = chain(&format!("{}--", "+".repeat(98)), 100).burst_r().expect("lost");
        assert!((pairs - 1.96).abs() < 0.01, "{pairs}");
    }
}
