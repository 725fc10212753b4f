//! A bounded store of raw messages, one per worker. The oldest messages are overwritten, and an attempt whose messages
//! were says so ([`Ring::complete`]).
//!
//! Bytes lie in one arena and entries in one queue of fixed length, chained per attempt: nothing is allocated per
//! message once the ring has been filled, and reading an attempt's messages looks at those only. Attempts are told
//! apart by an id that is never used again; [`Ring::forget`] ends one, so that only live attempts take space.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use rustc_hash::FxHashMap;

/// Bytes that a ring holds unless told otherwise.
pub const DEFAULT_CAPACITY: usize = 32 * 1024 * 1024;

/// Arena bytes per entry of the queue. SIP messages are longer, so bytes run out before entries do.
const BYTES_PER_ENTRY: usize = 256;

/// Raw messages of many attempts, the newest of them.
#[derive(Debug)]
pub struct Ring {
    arena: Vec<u8>,
    /// Where the next message is written.
    head: usize,
    /// Oldest first. Their places in the arena follow one another, with one jump back to its start.
    entries: VecDeque<Entry>,
    /// Entries kept at most.
    limit: usize,
    /// Number of the entry at the front; entries are numbered from 0 and never renumbered.
    first: u64,
    trails: FxHashMap<u64, Trail>,
}

/// A message as it was sent or received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// When it was sent, or when it arrived.
    pub at: Instant,
    /// We sent it.
    pub sent: bool,
    /// Our address.
    pub local: SocketAddr,
    /// The other side's.
    pub remote: SocketAddr,
    /// `UDP`, `TCP` …
    pub transport: &'static str,
    /// Its bytes.
    pub bytes: &'a [u8],
}

#[derive(Debug)]
struct Entry {
    id: u64,
    /// Number of the next message of the same attempt.
    next: Option<u64>,
    at: Instant,
    local: SocketAddr,
    remote: SocketAddr,
    transport: &'static str,
    sent: bool,
    offset: usize,
    length: usize,
}

/// The messages of one attempt: a chain through the entries.
#[derive(Debug, Default)]
struct Trail {
    /// First and last message that are still there.
    ends: Option<(u64, u64)>,
    overwritten: bool,
}

impl Ring {
    /// A ring for `capacity` bytes of messages, at least 64 KiB. Its index takes up to half as much again, and memory is
    /// touched only as it fills.
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.max(64 * 1024);
        let limit = capacity / BYTES_PER_ENTRY;
        Self {
            arena: vec![0; capacity],
            head: 0,
            entries: VecDeque::with_capacity(limit),
            limit,
            first: 0,
            trails: FxHashMap::default(),
        }
    }

    /// Keeps a message of the attempt `id`. One that is larger than the whole ring is only noted as overwritten.
    pub fn push(&mut self, id: u64, message: &Message<'_>) {
        let length = message.bytes.len();
        if length > self.arena.len() {
            self.trails.entry(id).or_default().overwritten = true;
            return;
        }
        // An empty message takes a byte, so that no two messages start at the same place.
        let offset = self.make_room(length.max(1));
        self.arena[offset..offset + length].copy_from_slice(message.bytes);
        let Message { at, sent, local, remote, transport, .. } = *message;
        let number = self.first + self.entries.len() as u64;
        self.entries.push_back(Entry { id, next: None, at, local, remote, transport, sent, offset, length });
        let trail = self.trails.entry(id).or_default();
        let last = trail.ends.map(|(_, last)| last);
        trail.ends = Some((trail.ends.map_or(number, |(first, _)| first), number));
        if let Some(last) = last {
            let place = usize::try_from(last - self.first).expect("entries are counted in usize");
            self.entries[place].next = Some(number);
        }
    }

    /// The messages of an attempt that are still there, in the order in which they were pushed.
    pub fn messages_of(&self, id: u64) -> impl Iterator<Item = Message<'_>> {
        let mut next = self.trails.get(&id).and_then(|trail| trail.ends).map(|(first, _)| first);
        std::iter::from_fn(move || {
            let entry = self.entry(next?)?;
            next = entry.next;
            Some(Message {
                at: entry.at,
                sent: entry.sent,
                local: entry.local,
                remote: entry.remote,
                transport: entry.transport,
                bytes: &self.arena[entry.offset..entry.offset + entry.length],
            })
        })
    }

    /// Whether all messages pushed for the attempt are still there.
    pub fn complete(&self, id: u64) -> bool {
        self.trails.get(&id).is_none_or(|trail| !trail.overwritten)
    }

    /// Ends an attempt: its messages can no longer be read.
    pub fn forget(&mut self, id: u64) {
        self.trails.remove(&id);
    }

    fn entry(&self, number: u64) -> Option<&Entry> {
        self.entries.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// Drops the oldest messages until `length` bytes in a row are free, and takes them.
    fn make_room(&mut self, length: usize) -> usize {
        if self.head + length > self.arena.len() {
            // What lies behind the head is from the last lap, the oldest there is; it must go before the jump, or
            // the order of entries would no longer be that of the arena.
            while self.entries.front().is_some_and(|oldest| oldest.offset >= self.head) {
                self.drop_oldest();
            }
            self.head = 0;
        }
        let end = self.head + length;
        let taken = self.head..end;
        while self.entries.len() == self.limit
            || self.entries.front().is_some_and(|oldest| taken.contains(&oldest.offset))
        {
            self.drop_oldest();
        }
        std::mem::replace(&mut self.head, end)
    }

    fn drop_oldest(&mut self) {
        let Some(oldest) = self.entries.pop_front() else { return };
        let number = self.first;
        self.first += 1;
        // A trail that starts elsewhere is a new one under a forgotten id.
        let trail = self.trails.get_mut(&oldest.id).filter(|trail| trail.ends.is_some_and(|(at, _)| at == number));
        if let Some(trail) = trail {
            trail.overwritten = true;
            trail.ends = oldest.next.zip(trail.ends.map(|(_, last)| last));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The arena of the smallest ring.
    const SMALLEST: usize = 64 * 1024;

    #[expect(clippy::disallowed_methods, reason = "an Instant to start from; the tests never look at the clock again")]
    fn start() -> Instant {
        Instant::now()
    }

    fn message(at: Instant, bytes: &[u8]) -> Message<'_> {
        Message {
            at,
            sent: true,
            local: ([127, 0, 0, 1], 5060).into(),
            remote: ([127, 0, 0, 1], 5070).into(),
            transport: "UDP",
            bytes,
        }
    }

    fn texts(ring: &Ring, id: u64) -> Vec<&[u8]> {
        ring.messages_of(id).map(|message| message.bytes).collect()
    }

    #[test]
    fn messages_come_back_per_attempt_and_in_order() {
        let (mut ring, at) = (Ring::new(0), start());
        for (id, bytes) in [(1, b"a1".as_slice()), (2, b"b1"), (1, b""), (1, b"a3"), (2, b"b2")] {
            ring.push(id, &message(at, bytes));
        }
        assert_eq!(texts(&ring, 1), [b"a1".as_slice(), b"", b"a3"]);
        assert_eq!(texts(&ring, 2), [b"b1", b"b2"]);
        assert_eq!(ring.messages_of(1).next(), Some(message(at, b"a1")));
        assert!(ring.complete(1) && ring.complete(2));
        assert!(texts(&ring, 3).is_empty());
    }

    #[test]
    fn an_attempt_whose_messages_were_overwritten_says_so() {
        let (mut ring, at) = (Ring::new(0), start());
        let third = vec![b'x'; SMALLEST / 3];
        ring.push(1, &message(at, &third));
        ring.push(2, &message(at, &third));
        ring.push(1, &message(at, b"short"));
        assert!(ring.complete(1));
        ring.push(2, &message(at, &third));
        assert!(!ring.complete(1));
        assert!(ring.complete(2));
        assert_eq!(texts(&ring, 1), [b"short"]);
        assert_eq!(texts(&ring, 2).len(), 2);
    }

    #[test]
    fn an_attempt_that_lost_all_its_messages_stays_incomplete() {
        let (mut ring, at) = (Ring::new(0), start());
        ring.push(1, &message(at, b"first"));
        ring.push(2, &message(at, &vec![b'x'; SMALLEST]));
        assert!(texts(&ring, 1).is_empty());
        ring.push(1, &message(at, b"second"));
        assert_eq!(texts(&ring, 1), [b"second"]);
        assert!(!ring.complete(1));
    }

    #[test]
    fn a_message_larger_than_the_ring_is_noted_as_lost() {
        let (mut ring, at) = (Ring::new(0), start());
        ring.push(1, &message(at, &vec![b'x'; SMALLEST + 1]));
        assert!(!ring.complete(1));
        assert!(texts(&ring, 1).is_empty());
    }

    #[test]
    fn a_forgotten_attempt_takes_no_space_and_hurts_no_later_one() {
        let (mut ring, at) = (Ring::new(0), start());
        ring.push(1, &message(at, b"old"));
        ring.forget(1);
        assert!(texts(&ring, 1).is_empty());
        assert!(ring.trails.is_empty());
        ring.push(1, &message(at, b"new"));
        ring.push(2, &message(at, &vec![b'x'; SMALLEST - 6]));
        ring.push(2, &message(at, b"xxx"));
        assert_eq!(ring.entries.len(), 3, "the old message is gone");
        assert_eq!(texts(&ring, 1), [b"new"]);
        assert!(ring.complete(1));
    }

    #[test]
    fn a_filled_ring_allocates_nothing_per_message() {
        let (mut ring, at) = (Ring::new(0), start());
        let bytes = [b'x'; 700];
        let fill = |ring: &mut Ring, ids: std::ops::Range<u64>| {
            for id in ids {
                for _ in 0..5 {
                    ring.push(id, &message(at, &bytes));
                }
                ring.forget(id);
            }
        };
        fill(&mut ring, 0..100);
        let used = allocation_counter::measure(|| fill(&mut ring, 100..200));
        assert_eq!(used.count_total, 0);
    }

    proptest! {
        #[test]
        fn the_ring_holds_the_newest_messages_and_knows_what_it_lost(
            pushes in prop::collection::vec((0_u64..4, 0_usize..SMALLEST / 3), 1..60),
        ) {
            let (mut ring, at) = (Ring::new(0), start());
            let mut pushed: Vec<(u64, Vec<u8>)> = Vec::new();
            for (number, (id, length)) in pushes.into_iter().enumerate() {
                let bytes = vec![number as u8; length];
                ring.push(id, &message(at, &bytes));
                pushed.push((id, bytes));
                for id in 0..4 {
                    let all: Vec<&[u8]> = pushed.iter().filter(|(of, _)| *of == id).map(|(_, b)| b.as_slice()).collect();
                    let kept = texts(&ring, id);
                    prop_assert!(all.ends_with(&kept));
                    prop_assert_eq!(ring.complete(id), kept.len() == all.len());
                }
                // At least a third is in use, whatever the lengths: a jump wastes less than one message.
                let kept: usize = ring.entries.iter().map(|entry| entry.length).sum();
                let total: usize = pushed.iter().map(|(_, bytes)| bytes.len()).sum();
                prop_assert!(kept >= total.min(SMALLEST / 3));
            }
        }

        #[test]
        fn many_small_messages_stay_within_the_index(lengths in prop::collection::vec(0_usize..8, 0..600)) {
            let (mut ring, at) = (Ring::new(0), start());
            for length in lengths {
                ring.push(1, &message(at, &[b'x'; 8][..length]));
                prop_assert!(ring.entries.len() <= ring.limit);
                prop_assert_eq!(ring.messages_of(1).count(), ring.entries.len());
            }
        }
    }
}
