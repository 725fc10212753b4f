//! From packets to frames: which came whole, and which of them could be shown.
//!
//! A frame is the packets of one timestamp, up to the marker bit (RFC 7741 §4.1, RFC 6184 §5.1). It could be shown where it is
//! whole and needs no other, or where it is whole and so was every frame since the last one that needs no other. That is
//! what a browser shows; a telephone that goes on with a broken picture shows more.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{Size, VideoCodec};
use crate::media::rtp::Header;

/// A packet that is missing may come this much later than the first one of the next frame.
const WAIT: Duration = Duration::from_millis(100);
/// Frames that may wait for packets of the one before them.
pub(super) const MOST_OPEN: usize = 8;
/// Different sizes that are remembered.
const MOST_SIZES: usize = 8;

/// A frame that could be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// When the last packet that it needed arrived.
    pub at: Instant,
}

/// The frames of one stream.
#[derive(Clone, Debug, Default)]
pub struct Frames {
    /// Frames that are not settled, in the order of their timestamps.
    pub(super) open: VecDeque<Open>,
    /// The number that the next frame begins with, where the last one settled was whole.
    next: Option<u16>,
    /// Timestamp of the last frame settled.
    settled: Option<u32>,
    /// Nothing is missing since the last key frame.
    sound: bool,
    /// A frame came that could not be shown.
    stuck: bool,
    whole: u64,
    keys: u64,
    broken: u64,
    sizes: Vec<Size>,
}

/// A frame of which packets have come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    timestamp: u32,
    began: Instant,
    /// The lowest number so far.
    lowest: u16,
    /// Whether that packet begins the frame, where the format tells.
    starts: Option<bool>,
    /// Number of the packet with the marker bit.
    end: Option<u16>,
    packets: u16,
    key: bool,
    size: Option<Size>,
}

impl Frames {
    /// Takes a packet that came neither twice nor from another source than the one before, and gives each frame that
    /// could be shown now to `shown`.
    pub fn add(
        &mut self,
        codec: VideoCodec,
        arrived: Instant,
        header: &Header,
        payload: &[u8],
        mut shown: impl FnMut(Shown),
    ) {
        if payload.is_empty() {
            // Padding to see what the path carries.
            self.next = self.next.map(|next| if next == header.sequence { next.wrapping_add(1) } else { next });
            return self.settle(arrived, &mut shown);
        }
        let is_late = self.settled.is_some_and(|settled| ahead(settled, header.timestamp) <= 0);
        let Some(look) = codec.look(payload).filter(|_| !is_late) else { return };
        let place = self.open.iter().position(|open| ahead(header.timestamp, open.timestamp) >= 0);
        let index = place.unwrap_or(self.open.len());
        if self.open.get(index).is_none_or(|open| open.timestamp != header.timestamp) {
            let (timestamp, lowest, began) = (header.timestamp, header.sequence, arrived);
            let (starts, end, size) = (look.starts, None, None);
            let open = Open { timestamp, began, lowest, starts, end, packets: 0, key: false, size };
            self.open.insert(index, open);
        }
        let open = &mut self.open[index];
        open.packets = open.packets.saturating_add(1);
        if (header.sequence.wrapping_sub(open.lowest) as i16) < 0 {
            (open.lowest, open.starts) = (header.sequence, look.starts);
        }
        if header.marker {
            open.end = Some(header.sequence);
        }
        open.key |= look.key;
        open.size = look.size.or(open.size);
        self.settle(arrived, &mut shown);
    }

    /// Another source: what is open is nothing any more.
    pub fn restart(&mut self) {
        self.open.clear();
        (self.next, self.settled, self.sound, self.stuck) = (None, None, false, false);
    }

    /// Whether a frame came that cannot be shown, and only a key frame can be next.
    pub fn wants_key(&self) -> bool {
        self.stuck
    }

    /// Frames that came whole.
    pub fn whole(&self) -> u64 {
        self.whole
    }

    /// Of them, those that need no other.
    pub fn keys(&self) -> u64 {
        self.keys
    }

    /// Frames of which something came and something did not.
    pub fn broken(&self) -> u64 {
        self.broken
    }

    /// Sizes of pictures, in the order in which they came; the last is the current one. One that comes again stands where it
    /// came last.
    pub fn sizes(&self) -> &[Size] {
        &self.sizes
    }

    fn settle(&mut self, now: Instant, shown: &mut impl FnMut(Shown)) {
        while let Some(front) = self.open.front().copied() {
            let end = front.end_if_whole();
            let follows = self.next.is_none_or(|next| front.lowest == next);
            let waited = self.open.get(1).is_some_and(|after| now.saturating_duration_since(after.began) >= WAIT);
            let crowded = self.open.len() > MOST_OPEN;
            match end {
                // What is missing before it is not needed for it.
                Some(end) if follows || front.key || waited || crowded => {
                    self.open.pop_front();
                    self.take_whole(&front, end, follows, now, shown);
                }
                None if waited || crowded => {
                    self.open.pop_front();
                    self.broken += 1;
                    (self.sound, self.stuck) = (false, true);
                    self.settled = Some(front.timestamp);
                    self.next = front.end.map(|end| end.wrapping_add(1));
                }
                _ => return,
            }
        }
    }

    fn take_whole(&mut self, frame: &Open, end: u16, follows: bool, at: Instant, shown: &mut impl FnMut(Shown)) {
        self.whole += 1;
        self.keys += u64::from(frame.key);
        (self.settled, self.next) = (Some(frame.timestamp), Some(end.wrapping_add(1)));
        self.sound = frame.key || self.sound && follows;
        self.stuck = !self.sound;
        if let Some(size) = frame.size {
            self.note(size);
        }
        if self.sound {
            shown(Shown { at });
        }
    }

    fn note(&mut self, size: Size) {
        if self.sizes.last() == Some(&size) {
            return;
        }
        self.sizes.retain(|known| *known != size);
        if self.sizes.len() == MOST_SIZES {
            self.sizes.remove(0);
        }
        self.sizes.push(size);
    }
}

impl Open {
    /// Number of its last packet, where none of it is missing. Where the format does not tell the first packet, one that is
    /// missing looks like a lost frame before this one; neither is shown.
    fn end_if_whole(&self) -> Option<u16> {
        let end = self.end.filter(|_| self.starts != Some(false))?;
        let length = end.wrapping_sub(self.lowest).wrapping_add(1);
        (self.packets == length).then_some(end)
    }
}

/// How far `timestamp` lies after `than`.
fn ahead(than: u32, timestamp: u32) -> i32 {
    timestamp.wrapping_sub(than).cast_signed()
}
