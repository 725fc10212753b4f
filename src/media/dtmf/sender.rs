//! What goes out at each point of the send grid while keys are pressed.
//!
//! | | while a key is held | in the pause after it |
//! |---|---|---|
//! | event | a report of it, its duration growing by a packet; the last one has the end bit | that one twice more (RFC 4733 §2.5.1.4), then audio |
//! | in-band | its two tones | silence, as before the first of several |
//!
//! Every report of an event has the timestamp of its first. An event that lasts longer than the duration field can say goes on
//! as a further segment (§2.5.1.3): the report that fills the field is sent three times as well, without the end bit, and the
//! next segment begins where it ended.

use std::collections::VecDeque;
use std::time::Duration;

use crate::media::codec::LISTENING_RATE;

use super::{Event, Key, Keys, Press, Way, packets};

/// Times that the last report of an event or segment is sent again.
const REPEATS: u8 = 2;
/// Packets of silence before tones: coders that go by what went before (G.722) come to agree on where they are.
pub(super) const LEAD_IN: u32 = 3;
/// Presses that may wait: a far end that sends back what it hears must not be filled up.
const MOST_WAITING: usize = 64;

/// A point of the send grid.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// Timestamp of the audio that would go out there.
    pub timestamp: u32,
    /// Time between points.
    pub ptime: Duration,
    /// Clock of timestamps, Hz.
    pub clock: u32,
    /// Clock that was agreed on for events, Hz: that of the audio, but some peers know only the one of 8000.
    pub event_clock: u32,
}

/// What goes out at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// What the leg sends otherwise.
    Audio,
    /// Silence.
    Silence,
    /// Both tones of a key.
    Tone {
        /// The key.
        key: Key,
        /// Level of each tone, dBm0.
        level: i8,
        /// Samples of it that have gone out, at the listening rate.
        from: usize,
    },
    /// A report of an event.
    Event {
        /// When the event, or this segment of it, began.
        timestamp: u32,
        /// It is the first of the event: the packet has the marker bit (RFC 4733 §2.2).
        first: bool,
        /// The payload.
        event: Event,
    },
}

/// Presses keys.
#[derive(Clone, Debug, Default)]
pub struct Sender {
    waiting: VecDeque<Press>,
    /// Keys of the press in front that have been begun.
    begun: usize,
    /// Packets of silence since audio or an event, so far as they lead to tones; tones follow each other without more.
    led_in: u32,
    held: Option<Held>,
    sent: Keys,
    way: Option<Way>,
}

/// The key that is held, or was before the pause that is under way.
#[derive(Clone, Copy, Debug)]
struct Held {
    key: Key,
    press: Press,
    /// Packets since it was pressed, those that it lasts, and those with the pause.
    elapsed: u32,
    lasts: u32,
    whole: u32,
    /// Timestamp of the segment, and units in those before it.
    segment: u32,
    before: u32,
    /// The report that was sent last, and how often it is sent again.
    last: (u32, Event),
    repeats: u8,
    ended: bool,
}

impl Sender {
    /// Presses keys, behind those that wait. False where too many do.
    pub fn press(&mut self, press: Press) -> bool {
        let room = self.waiting.len() < MOST_WAITING;
        if room && !press.keys.is_empty() {
            self.waiting.push_back(press);
        }
        room
    }

    /// Whether nothing is pressed and nothing waits, pauses included.
    pub fn is_idle(&self) -> bool {
        self.held.is_none() && self.waiting.is_empty()
    }

    /// Keys that have not gone out whole.
    pub fn unsent(&self) -> usize {
        let waiting: usize = self.waiting.iter().map(|press| press.keys.len()).sum();
        waiting - self.begun + usize::from(self.held.is_some_and(|held| !held.ended))
    }

    /// Keys that went out whole, and how the last did.
    pub fn sent(&self) -> (Keys, Option<Way>) {
        (self.sent, self.way)
    }

    /// What goes out at the next point of the grid.
    pub fn poll(&mut self, point: &Point) -> Frame {
        if self.held.is_none() {
            let tones = self.waiting.front().is_some_and(|press| press.way == Way::Inband);
            if tones && self.led_in < LEAD_IN {
                self.led_in += 1;
                return Frame::Silence;
            }
            self.led_in = if tones { LEAD_IN } else { 0 };
            self.held = self.next(point);
        }
        let Some(held) = &mut self.held else { return Frame::Audio };
        held.elapsed += 1;
        let before = held.ended;
        let frame = match held.press.way {
            Way::Event => held.report(point),
            Way::Inband => held.tone(point),
        };
        if held.ended && !before {
            self.sent.push(held.key);
            self.way = Some(held.press.way);
        }
        if held.ended && held.repeats == 0 && held.elapsed >= held.whole {
            self.held = None;
            if self.waiting.is_empty() {
                self.led_in = 0;
            }
        }
        frame
    }

    fn next(&mut self, point: &Point) -> Option<Held> {
        let press = *self.waiting.front()?;
        let key = press.keys.get(self.begun)?;
        self.begun += 1;
        if self.begun == press.keys.len() {
            self.waiting.pop_front();
            self.begun = 0;
        }
        let lasts = packets(press.duration, point.ptime);
        let whole = lasts + packets(press.pause, point.ptime);
        let volume = press.level.unsigned_abs();
        let last = (point.timestamp, Event { code: key.event(), end: false, volume, duration: 0 });
        Some(Held {
            key,
            press,
            elapsed: 0,
            lasts,
            whole,
            segment: point.timestamp,
            before: 0,
            last,
            repeats: 0,
            ended: false,
        })
    }
}

impl Held {
    fn tone(&mut self, point: &Point) -> Frame {
        if self.elapsed > self.lasts {
            return Frame::Silence;
        }
        self.ended = self.elapsed == self.lasts;
        let from = (self.elapsed - 1) * units(point.ptime, LISTENING_RATE);
        Frame::Tone { key: self.key, level: self.press.level, from: from as usize }
    }

    fn report(&mut self, point: &Point) -> Frame {
        let first = self.elapsed == 1;
        if self.repeats > 0 {
            self.repeats -= 1;
        } else if self.ended {
            return Frame::Audio;
        } else {
            self.go_on(point);
        }
        let (timestamp, event) = self.last;
        Frame::Event { timestamp, first, event }
    }

    /// The next report that says something new.
    fn go_on(&mut self, point: &Point) {
        let total = self.elapsed.min(self.lasts) * units(point.ptime, point.event_clock);
        let within = u16::try_from(total.saturating_sub(self.before));
        let event = Event { duration: within.unwrap_or(u16::MAX), ..self.last.1 };
        self.ended = within.is_ok() && self.elapsed >= self.lasts;
        self.last = (self.segment, Event { end: self.ended, ..event });
        if within.is_err() {
            self.before += u32::from(u16::MAX);
            let units = u64::from(u16::MAX) * u64::from(point.clock) / u64::from(point.event_clock.max(1));
            self.segment = self.segment.wrapping_add(units as u32);
        }
        self.repeats = if self.ended || within.is_err() { REPEATS } else { 0 };
    }
}

/// Units of a clock in a time.
fn units(time: Duration, clock: u32) -> u32 {
    (time.as_nanos() * u128::from(clock) / 1_000_000_000) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const PTIME: Duration = Duration::from_millis(20);

    fn keys(text: &str) -> Keys {
        text.parse().expect("keys")
    }

    /// What goes out from timestamp 1000 on, point by point, until the sender is idle.
    fn sent(press: Press, (clock, event_clock): (u32, u32)) -> Vec<Frame> {
        let mut sender = Sender::default();
        assert!(sender.is_idle() && sender.press(press) && !sender.is_idle());
        let mut frames = Vec::new();
        while !sender.is_idle() {
            let timestamp = 1_000 + frames.len() as u32 * clock / 50;
            frames.push(sender.poll(&Point { timestamp, ptime: PTIME, clock, event_clock }));
        }
        assert_eq!((sender.sent(), sender.unsent()), ((press.keys, Some(press.way)), 0));
        frames
    }

    /// Timestamp, marker, code, end and duration of each packet of an event.
    fn reports(frames: &[Frame]) -> Vec<(u32, bool, u8, bool, u16)> {
        let report = |frame: &Frame| match *frame {
            Frame::Event { timestamp, first, event } => Some((timestamp, first, event.code, event.end, event.duration)),
            _ => None,
        };
        frames.iter().filter_map(report).collect()
    }

    #[test]
    fn an_event_has_one_timestamp_a_growing_duration_one_marker_and_three_ends() {
        let frames = sent(Press::new(keys("#"), Way::Event), (8_000, 8_000));
        let expected = [
            (1_000, true, 11, false, 160),
            (1_000, false, 11, false, 320),
            (1_000, false, 11, false, 480),
            (1_000, false, 11, false, 640),
            (1_000, false, 11, true, 800),
            (1_000, false, 11, true, 800),
            (1_000, false, 11, true, 800),
        ];
        assert_eq!(reports(&frames), expected);
        assert_eq!(frames[7..], [Frame::Audio; 3], "the rest of the pause is audio");
    }

    #[test]
    fn each_key_begins_where_the_pause_before_it_ends() {
        let press = Press { pause: Duration::from_millis(40), ..Press::new(keys("77"), Way::Event) };
        let frames = sent(press, (8_000, 8_000));
        let reports = reports(&frames);
        assert_eq!((frames.len(), reports.len()), (14, 14));
        assert_eq!((reports[6], reports[7]), ((1_000, false, 7, true, 800), (2_120, true, 7, false, 160)));
    }

    #[test]
    fn durations_are_of_the_clock_that_was_agreed_on_for_events() {
        let last = |clocks| reports(&sent(Press::new(keys("5"), Way::Event), clocks)).pop();
        assert_eq!(last((48_000, 48_000)), Some((1_000, false, 5, true, 4_800)));
        assert_eq!(last((48_000, 8_000)), Some((1_000, false, 5, true, 800)));
    }

    #[test]
    fn a_time_that_is_no_whole_packets_is_rounded_up() {
        let press = Press { duration: Duration::from_millis(50), ..Press::new(keys("0"), Way::Event) };
        assert_eq!(reports(&sent(press, (8_000, 8_000))).pop(), Some((1_000, false, 0, true, 480)));
        assert_eq!(press.length(), Duration::from_millis(160));
    }

    #[test]
    fn an_event_that_is_longer_than_its_field_goes_on_as_segments() {
        // 1.4 s at 48 kHz are 67200 units, 65535 of them in the first segment.
        let press = Press { duration: Duration::from_millis(1_400), ..Press::new(keys("*"), Way::Event) };
        let reports = reports(&sent(press, (48_000, 48_000)));
        let full = (1_000, false, 10, false, 65_535);
        assert_eq!(reports[67], (1_000, false, 10, false, 65_280));
        assert_eq!(reports[68..71], [full; 3]);
        let end = (66_535, false, 10, true, 1_665);
        // The key was let go while that was sent again, so that its end comes two packets late.
        assert_eq!(reports[71..], [end; 3]);
        assert_eq!(reports.iter().filter(|report| report.1).count(), 1, "one marker");
    }

    #[test]
    fn tones_follow_each_other_without_a_break_and_pauses_are_silent() {
        let press = Press { level: -6, ..Press::new(keys("D"), Way::Inband) };
        let frames = sent(press, (8_000, 8_000));
        assert_eq!(frames[..3], [Frame::Silence; 3]);
        let frames = &frames[3..];
        let key = keys("D").get(0).expect("one");
        for (i, frame) in frames[..5].iter().enumerate() {
            assert_eq!(*frame, Frame::Tone { key, level: -6, from: 160 * i });
        }
        assert_eq!(frames[5..], [Frame::Silence; 5]);
        assert_eq!(press.length(), Duration::from_millis(260), "with what goes before");
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut sender = Sender::default();
        let press = Press::new(keys("1"), Way::Event);
        assert_eq!((0..100).filter(|_| sender.press(press)).count(), 64);
        assert_eq!(sender.unsent(), 64);
    }
}
