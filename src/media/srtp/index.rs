//! Packet indices: the guess of the rollover counter (RFC 3711 §3.3.1 and appendix A) and the replay list (§3.3.2).

/// Indices that are remembered; RFC 3711 §3.3.2 asks for 64 at least.
const WINDOW: u64 = 128;
/// Sources that are remembered; a further one takes the place of the one that was proved longest ago.
const MOST_SOURCES: usize = 4;

/// The index of a packet with this sequence number, closest to the highest so far; `None` where it lies before the
/// first of all.
pub(super) fn guess(highest: u64, sequence: u16) -> Option<u64> {
    let (roc, last) = (highest >> 16, highest as u16);
    let sequence_ahead = u64::from(sequence);
    let roc = if last < 0x8000 {
        if i32::from(sequence) - i32::from(last) > 0x8000 { roc.checked_sub(1)? } else { roc }
    } else if i32::from(last) - 0x8000 > i32::from(sequence) {
        roc + 1
    } else {
        roc
    };
    Some(roc << 16 | sequence_ahead)
}

/// Indices that were proved.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    highest: Option<u64>,
    /// Bit i: the index `highest − i` was proved.
    bits: u128,
}

impl Window {
    /// The index of a sequence number; `None` where it is older than all.
    pub(super) fn index_of(&self, sequence: u16) -> Option<u64> {
        match self.highest {
            Some(highest) => guess(highest, sequence),
            None => Some(u64::from(sequence)),
        }
    }

    /// Whether the index was proved before, or is too old to tell.
    pub(super) fn has(&self, index: u64) -> bool {
        let Some(age) = self.highest.and_then(|highest| highest.checked_sub(index)) else { return false };
        age >= WINDOW || self.bits >> age & 1 == 1
    }

    pub(super) fn add(&mut self, index: u64) {
        let highest = self.highest.unwrap_or(index);
        match index.checked_sub(highest) {
            Some(ahead) => {
                self.bits = if ahead < WINDOW { self.bits << ahead } else { 0 } | 1;
                self.highest = Some(index);
            }
            None if highest - index < WINDOW => self.bits |= 1 << (highest - index),
            None => {}
        }
    }
}

/// What was proved of one source.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Source {
    pub(super) rtp: Window,
    pub(super) rtcp: Window,
}

/// The sources that were proved last.
#[derive(Clone, Debug, Default)]
pub(super) struct Sources {
    known: [Option<(u32, Source)>; MOST_SOURCES],
}

impl Sources {
    pub(super) fn get(&self, ssrc: u32) -> Option<&Source> {
        self.known.iter().flatten().find(|(known, _)| *known == ssrc).map(|(_, source)| source)
    }

    /// Notes a packet of a source, which comes first from now on.
    pub(super) fn note(&mut self, ssrc: u32, note: impl FnOnce(&mut Source)) {
        let at = self.known.iter().position(|place| place.is_some_and(|(known, _)| known == ssrc));
        let end = at.unwrap_or(MOST_SOURCES - 1);
        if at.is_none() {
            self.known[end] = Some((ssrc, Source::default()));
        }
        self.known[..=end].rotate_right(1);
        if let Some((_, source)) = &mut self.known[0] {
            note(source);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_is_guessed_around_every_edge() {
        assert_eq!(guess(0xFFFF, 0), Some(0x1_0000));
        assert_eq!(guess(0x1_0000, 0xFFFF), Some(0xFFFF));
        assert_eq!(guess(0x0000, 0xFFFF), None, "before the first packet");
        assert_eq!(guess(0x7FFF, 0x8000), Some(0x8000));
        assert_eq!(guess(0x5_8000, 0x0001), Some(0x5_0001));
        assert_eq!(guess(0x5_8002, 0x0001), Some(0x6_0001));
        assert_eq!(guess(0x5_7FFF, 0xFFFF), Some(0x5_FFFF));
        assert_eq!(guess(0x5_7FFE, 0xFFFF), Some(0x4_FFFF));
    }

    #[test]
    fn an_index_is_let_in_once_and_not_when_it_is_too_old() {
        let mut window = Window::default();
        assert!(!window.has(0));
        for index in [1_000, 1_002, 1_001] {
            assert!(!window.has(index), "{index}");
            window.add(index);
            assert!(window.has(index), "{index}");
        }
        assert!(!window.has(1_002 - 127));
        assert!(window.has(1_002 - 128), "too old to tell");
        window.add(2_000);
        assert!(!window.has(1_999) && window.has(1_002));
        window.add(1_999);
        assert!(window.has(1_999) && window.has(2_000));
    }

    #[test]
    fn the_source_that_was_heard_longest_ago_is_forgotten() {
        let mut sources = Sources::default();
        for ssrc in [1, 2, 3, 4, 1, 5] {
            sources.note(ssrc, |source| source.rtp.add(u64::from(ssrc)));
        }
        let known: Vec<bool> = (1..=5).map(|ssrc| sources.get(ssrc).is_some()).collect();
        assert_eq!(known, [true, false, true, true, true]);
    }
}
