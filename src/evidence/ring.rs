//! A bounded store of raw messages, one per worker. When it is full the oldest messages make room, and an attempt whose
//! messages did says so ([`Ring::complete`]).
//!
//! Bytes lie in blocks, and a block in which no attempt has messages any more is the next to be filled: a load of short
//! calls goes round in a few of them, which stay in the caches of the processor. Messages are chained per attempt: nothing is
//! allocated per message once there are blocks enough, and reading an attempt's messages looks at those only. Attempts are told
//! apart by an id that is never used again; [`Ring::forget`] ends one, so that only live attempts take space.

use std::net::SocketAddr;
use std::time::Instant;

use rustc_hash::FxHashMap;

/// Bytes that a ring holds unless told otherwise.
pub const DEFAULT_CAPACITY: usize = 32 * 1024 * 1024;

/// Smallest capacity.
const SMALLEST: usize = 64 * 1024;
/// A block takes this share of the capacity, and so many bytes at most: some twenty calls.
const BLOCKS: usize = 16;
const MAX_BLOCK: usize = 64 * 1024;
/// Bytes of a block per message in it, at least. SIP messages are longer, so bytes run out before places do.
const BYTES_PER_ENTRY: usize = 256;

/// Raw messages of many attempts, the newest of them.
#[derive(Debug)]
pub struct Ring {
    capacity: usize,
    block: usize,
    blocks: Vec<Block>,
    /// Blocks without messages; the one that was emptied last is the next to be filled.
    empty: Vec<u32>,
    /// Places of blocks that were given up, as one for a message longer than others have.
    vacant: Vec<u32>,
    /// Of the blocks with messages, the oldest and the one that is being filled.
    ends: Option<(u32, u32)>,
    /// Bytes of all blocks.
    allocated: usize,
    trails: FxHashMap<u64, Trail>,
}

/// Messages that came one after the other.
#[derive(Debug, Default)]
struct Block {
    /// Bytes that it takes.
    size: usize,
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// Messages of attempts that were not forgotten.
    live: usize,
    /// The block that was begun before, and after.
    older: Option<u32>,
    newer: Option<u32>,
}

/// Where an entry is: its block, and its place there.
type At = (u32, u32);

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
    live: bool,
    /// The next message of the same attempt.
    next: Option<At>,
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
    ends: Option<(At, At)>,
    overwritten: bool,
}

impl Block {
    fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.live = 0;
    }
}

impl Ring {
    /// A ring for `capacity` bytes of messages, at least 64 KiB. Its index takes up to half as much again, and memory is
    /// taken only as it fills.
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.max(SMALLEST);
        Self {
            capacity,
            block: (capacity / BLOCKS).min(MAX_BLOCK),
            blocks: Vec::new(),
            empty: Vec::new(),
            vacant: Vec::new(),
            ends: None,
            allocated: 0,
            trails: FxHashMap::default(),
        }
    }

    /// Keeps a message of the attempt `id`. One that is larger than the whole ring is only noted as overwritten.
    pub fn push(&mut self, id: u64, message: &Message<'_>) {
        let length = message.bytes.len();
        if length > self.capacity {
            self.trails.entry(id).or_default().overwritten = true;
            return;
        }
        let index = self.block_for(length);
        let block = &mut self.blocks[index as usize];
        let (offset, at) = (block.bytes.len(), (index, block.entries.len() as u32));
        block.bytes.extend_from_slice(message.bytes);
        let Message { at: moment, sent, local, remote, transport, .. } = *message;
        block.entries.push(Entry {
            id,
            live: true,
            next: None,
            at: moment,
            local,
            remote,
            transport,
            sent,
            offset,
            length,
        });
        block.live += 1;
        let trail = self.trails.entry(id).or_default();
        let ends = trail.ends;
        trail.ends = Some((ends.map_or(at, |(first, _)| first), at));
        if let Some((_, last)) = ends {
            self.entry_mut(last).next = Some(at);
        }
    }

    /// The messages of an attempt that are still there, in the order in which they were pushed.
    pub fn messages_of(&self, id: u64) -> impl Iterator<Item = Message<'_>> {
        let mut next = self.trails.get(&id).and_then(|trail| trail.ends).map(|(first, _)| first);
        std::iter::from_fn(move || {
            let (block, place) = next?;
            let block = &self.blocks[block as usize];
            let entry = &block.entries[place as usize];
            next = entry.next;
            Some(Message {
                at: entry.at,
                sent: entry.sent,
                local: entry.local,
                remote: entry.remote,
                transport: entry.transport,
                bytes: &block.bytes[entry.offset..entry.offset + entry.length],
            })
        })
    }

    /// Whether all messages pushed for the attempt are still there.
    pub fn complete(&self, id: u64) -> bool {
        self.trails.get(&id).is_none_or(|trail| !trail.overwritten)
    }

    /// Ends an attempt: its messages can no longer be read.
    pub fn forget(&mut self, id: u64) {
        let mut next = self.trails.remove(&id).and_then(|trail| trail.ends).map(|(first, _)| first);
        while let Some((index, place)) = next {
            let block = &mut self.blocks[index as usize];
            let entry = &mut block.entries[place as usize];
            (next, entry.live) = (entry.next, false);
            block.live -= 1;
            if block.live > 0 {
                continue;
            }
            block.clear();
            // The one that is being filled is filled again from its beginning.
            if block.size != self.block || self.ends.is_none_or(|(_, newest)| newest != index) {
                self.take_out(index);
            }
        }
    }

    fn entry_mut(&mut self, (block, place): At) -> &mut Entry {
        &mut self.blocks[block as usize].entries[place as usize]
    }

    /// The block that takes the next message.
    fn block_for(&mut self, length: usize) -> u32 {
        if let Some((_, newest)) = self.ends {
            let block = &self.blocks[newest as usize];
            if block.size - block.bytes.len() >= length && block.entries.len() < block.entries.capacity() {
                return newest;
            }
        }
        let size = length.max(self.block);
        let index = self.empty_block(size).unwrap_or_else(|| {
            while self.allocated + size > self.capacity {
                match (self.empty.pop(), self.ends) {
                    (Some(empty), _) => self.give_up(empty),
                    (None, Some((oldest, _))) => self.overwrite(oldest),
                    // Nothing is left to give up, and no message is larger than all there may be.
                    (None, None) => break,
                }
            }
            self.allocate(size)
        });
        let newest = self.ends.map(|(_, newest)| newest);
        self.blocks[index as usize].older = newest;
        if let Some(newest) = newest {
            self.blocks[newest as usize].newer = Some(index);
        }
        self.ends = Some((self.ends.map_or(index, |(oldest, _)| oldest), index));
        index
    }

    /// An empty block of this size, where there is one or the oldest has it.
    fn empty_block(&mut self, size: usize) -> Option<u32> {
        if size != self.block {
            return None;
        }
        if self.empty.is_empty() && self.allocated + size > self.capacity {
            self.overwrite(self.ends?.0);
        }
        self.empty.pop()
    }

    fn allocate(&mut self, size: usize) -> u32 {
        self.allocated += size;
        let block = Block {
            size,
            bytes: Vec::with_capacity(size),
            entries: Vec::with_capacity(size / BYTES_PER_ENTRY),
            ..Block::default()
        };
        if let Some(index) = self.vacant.pop() {
            self.blocks[index as usize] = block;
            return index;
        }
        self.blocks.push(block);
        self.blocks.len() as u32 - 1
    }

    /// Gives the memory of an empty block back.
    fn give_up(&mut self, index: u32) {
        let block = std::mem::take(&mut self.blocks[index as usize]);
        self.allocated -= block.size;
        self.vacant.push(index);
    }

    /// The messages of the oldest block make room. They are the first of their attempts.
    fn overwrite(&mut self, oldest: u32) {
        for place in 0..self.blocks[oldest as usize].entries.len() {
            let entry = &self.blocks[oldest as usize].entries[place];
            let (id, next) = (entry.id, entry.next);
            let trail = self.trails.get_mut(&id).filter(|_| entry.live);
            if let Some(trail) = trail {
                trail.overwritten = true;
                trail.ends = next.zip(trail.ends.map(|(_, last)| last));
            }
        }
        self.blocks[oldest as usize].clear();
        self.take_out(oldest);
    }

    /// A block that was cleared waits to be filled again.
    fn take_out(&mut self, index: u32) {
        let block = &mut self.blocks[index as usize];
        let size = block.size;
        let (older, newer) = (block.older.take(), block.newer.take());
        if let Some(older) = older {
            self.blocks[older as usize].newer = newer;
        }
        if let Some(newer) = newer {
            self.blocks[newer as usize].older = older;
        }
        self.ends = self.ends.and_then(|(oldest, newest)| {
            let oldest = if oldest == index { newer } else { Some(oldest) };
            oldest.zip(if newest == index { older } else { Some(newest) })
        });
        if size == self.block { self.empty.push(index) } else { self.give_up(index) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Messages that are kept.
    fn live(ring: &Ring) -> Vec<&Entry> {
        ring.blocks.iter().flat_map(|block| &block.entries).filter(|entry| entry.live).collect()
    }

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
        ring.push(2, &message(at, &vec![b'x'; SMALLEST - SMALLEST / BLOCKS]));
        ring.push(1, &message(at, &[b'x'; 1000][..0]));
        assert_eq!(live(&ring).len(), 3, "the old message is gone");
        assert_eq!(texts(&ring, 1), [b"new".as_slice(), b""]);
        assert!(ring.complete(1));
    }

    #[test]
    fn short_attempts_go_round_in_one_block_beside_a_long_one() {
        let (mut ring, at) = (Ring::new(DEFAULT_CAPACITY), start());
        ring.push(0, &message(at, b"the long one"));
        for id in 1..10_000 {
            (0..6).for_each(|_| ring.push(id, &message(at, &[b'x'; 450])));
            ring.forget(id);
        }
        assert_eq!((ring.allocated, live(&ring).len()), (2 * MAX_BLOCK, 1));
        assert!(ring.complete(0));
        ring.forget(0);
        assert_eq!((ring.empty.len(), live(&ring).len()), (1, 0), "the other one is filled again");
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
                // At least a third is in use, whatever the lengths: what a block has left is less than one message.
                let kept: usize = live(&ring).iter().map(|entry| entry.length).sum();
                let total: usize = pushed.iter().map(|(_, bytes)| bytes.len()).sum();
                prop_assert!(kept >= total.min(SMALLEST / 3));
            }
        }

        #[test]
        fn many_small_messages_stay_within_the_index(lengths in prop::collection::vec(0_usize..8, 0..600)) {
            let (mut ring, at) = (Ring::new(0), start());
            for length in lengths {
                ring.push(1, &message(at, &[b'x'; 8][..length]));
                prop_assert!(live(&ring).len() <= SMALLEST / BYTES_PER_ENTRY);
                prop_assert_eq!(ring.messages_of(1).count(), live(&ring).len());
                let sizes: usize = ring.blocks.iter().map(|block| block.size).sum();
                prop_assert_eq!(sizes, ring.allocated);
            }
        }
    }
}
