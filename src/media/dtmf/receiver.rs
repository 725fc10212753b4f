//! The keys that arrive as telephone events (RFC 4733 §2.5.2), each once, whatever is lost, doubled or late of its packets.
//!
//! What makes an event one is its timestamp: all of its packets have it, so any of them is enough to know it by, and neither
//! the marker bit nor the end bit is needed. A later segment of a long event has a timestamp of its own, exactly where the
//! segment before it ended.

use std::collections::VecDeque;

use super::{Event, Key};

/// Keys whose packets may still come: more than a network can hold back.
const RECENT: usize = 16;

/// A key that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tone {
    /// The key.
    pub key: Key,
    /// How long it was held so far, in units of the clock of events.
    pub duration: u32,
    /// A packet with the end bit came.
    pub ended: bool,
    /// Timestamps of its first segment and of its last.
    first: u32,
    last: u32,
    /// Units in segments before the last.
    before: u32,
}

/// Takes events of one leg.
#[derive(Clone, Debug, Default)]
pub struct Receiver {
    source: Option<u32>,
    /// The last keys of the source, by their timestamps.
    recent: VecDeque<Tone>,
}

impl Receiver {
    /// Takes a packet of an event. Where it is the first to be known of a key: the key, and how many that were pressed after it
    /// are known already.
    pub fn take(&mut self, (ssrc, timestamp): (u32, u32), event: &Event) -> Option<(Key, usize)> {
        let key = Key::of_event(event.code)?;
        if self.source != Some(ssrc) {
            // Timestamps of another source say nothing about those of before.
            self.source = Some(ssrc);
            self.recent.clear();
        }
        if let Some(known) = self.recent.iter_mut().rev().find(|tone| tone.key == key && tone.is_at(timestamp)) {
            known.note(timestamp, event);
            return None;
        }
        if let Some(last) = self.recent.back_mut().filter(|tone| tone.key == key && tone.goes_on_at(timestamp)) {
            last.before = last.duration;
            last.last = timestamp;
            last.note(timestamp, event);
            return None;
        }
        let tone = Tone {
            key,
            duration: event.duration.into(),
            ended: event.end,
            first: timestamp,
            last: timestamp,
            before: 0,
        };
        // One of which only a late packet came belongs before those that were pressed after it.
        let later = self.recent.iter().rev().take_while(|tone| is_before(timestamp, tone.first)).count();
        self.recent.insert(self.recent.len() - later, tone);
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
        Some((key, later))
    }

    /// The last keys of the current source, with how long they were held.
    pub fn recent(&self) -> impl Iterator<Item = &Tone> {
        self.recent.iter()
    }
}

impl Tone {
    fn is_at(&self, timestamp: u32) -> bool {
        timestamp == self.last || !is_before(timestamp, self.first) && is_before(timestamp, self.last)
    }

    /// A segment ends where its duration says: by the field's end, or before, where the sender cuts it sooner.
    fn goes_on_at(&self, timestamp: u32) -> bool {
        let step = timestamp.wrapping_sub(self.last);
        !self.ended && (step == u32::from(u16::MAX) || step == self.duration - self.before)
    }

    fn note(&mut self, timestamp: u32, event: &Event) {
        if timestamp == self.last {
            self.duration = self.duration.max(self.before + u32::from(event.duration));
            self.ended |= event.end;
        }
    }
}

/// Whether a timestamp lies before another, which may have gone round since.
fn is_before(timestamp: u32, other: u32) -> bool {
    timestamp.wrapping_sub(other).cast_signed() < 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Frame, Keys, Point, Press, Sender, Way};
    use super::*;
    use std::time::Duration;

    const MS: Duration = Duration::from_millis(1);

    /// The packets of keys that are pressed at 8 kHz from this timestamp on.
    fn packets(press: Press, from: u32) -> Vec<(u32, Event)> {
        let mut sender = Sender::default();
        sender.press(press);
        let mut packets = Vec::new();
        for point in 0.. {
            let timestamp = from.wrapping_add(point * 160);
            let frame = sender.poll(&Point { timestamp, ptime: 20 * MS, clock: 8_000, event_clock: 8_000 });
            if let Frame::Event { timestamp, event, .. } = frame {
                packets.push((timestamp, event));
            }
            if sender.is_idle() {
                break;
            }
        }
        packets
    }

    fn press(text: &str) -> Press {
        Press::new(text.parse().expect("keys"), Way::Event)
    }

    /// What comes of packets: the keys that were told, all of them in their order, and their durations.
    fn heard(packets: impl IntoIterator<Item = (u32, Event)>) -> (String, String, Vec<u32>) {
        let (mut receiver, mut told, mut keys) = (Receiver::default(), String::new(), Keys::default());
        for (at, event) in packets {
            if let Some((key, later)) = receiver.take((1, at), &event) {
                told.push(key.name());
                keys.insert(keys.len() - later, key);
            }
        }
        (told, keys.to_string(), receiver.recent().map(|tone| tone.duration).collect())
    }

    fn whole(keys: &str, durations: &[u32]) -> (String, String, Vec<u32>) {
        (keys.to_owned(), keys.to_owned(), durations.to_vec())
    }

    #[test]
    fn each_key_is_told_once_with_its_duration_also_the_same_one_again() {
        assert_eq!(heard(packets(press("1123#"), 5)), whole("1123#", &[800; 5]));
    }

    #[test]
    fn a_key_is_known_by_any_one_of_its_packets() {
        let all = packets(press("5"), 5);
        for (i, packet) in all.iter().enumerate() {
            let duration = (160 * (i as u32 + 1)).min(800);
            assert_eq!(heard([*packet]), whole("5", &[duration]), "{i}");
        }
    }

    #[test]
    fn the_same_key_twice_is_two_though_every_end_is_lost() {
        let packets = packets(press("44"), 5).into_iter().filter(|(_, event)| !event.end);
        assert_eq!(heard(packets), whole("44", &[640; 2]));
    }

    #[test]
    fn a_late_packet_of_an_earlier_key_is_none_of_a_new_one() {
        let mut packets = packets(press("12"), u32::MAX - 500);
        // The last end of the first key comes behind the whole second one, and the timestamps go round between them.
        let late = packets.remove(6);
        packets.push(late);
        assert_eq!(heard(packets), whole("12", &[800; 2]));
    }

    #[test]
    fn a_key_of_which_only_a_late_packet_comes_has_its_place() {
        let packets = packets(press("123"), 5);
        let (one, two, three) = (packets[0], packets[13], packets[14]);
        assert_eq!(heard([one, three, two]), ("132".into(), "123".into(), vec![160, 800, 160]));
    }

    #[test]
    fn segments_of_one_long_event_are_one_key() {
        let long = Press { duration: 10_000 * MS, ..press("9") };
        let all = packets(long, 5);
        assert_eq!(heard(all.clone()), whole("9", &[80_000]));
        // Another one is told from it.
        let again = packets(press("9"), 5 + 81_600);
        assert_eq!(heard(all.into_iter().chain(again)), whole("99", &[80_000, 800]));
    }

    #[test]
    fn another_source_begins_anew_and_its_keys_come_behind() {
        let (mut receiver, mut told) = (Receiver::default(), Vec::new());
        for (ssrc, key, from) in [(1, "12", 5_000), (2, "1", 5), (2, "3", 5)] {
            let packets = packets(press(key), from);
            told.extend(packets.into_iter().filter_map(|(at, event)| receiver.take((ssrc, at), &event)));
        }
        let told: Vec<(char, usize)> = told.into_iter().map(|(key, later)| (key.name(), later)).collect();
        assert_eq!(told, [('1', 0), ('2', 0), ('1', 0), ('3', 0)]);
    }

    #[test]
    fn events_that_are_no_key_are_passed_over() {
        let flash = Event { code: 16, end: false, volume: 0, duration: 160 };
        assert_eq!(heard([(5, flash)]), whole("", &[]));
    }

    proptest! {
        #[test]
        fn keys_come_whole_through_loss_doubling_and_reordering(
            codes in proptest::collection::vec(0..16_u8, 1..12),
            from in any::<u32>(),
            fates in proptest::collection::vec((0..10_u8, 0..40_u32), 84),
            kept in proptest::collection::vec(0..7_usize, 12),
        ) {
            let keys: Keys = codes.iter().filter_map(|code| Key::of_event(*code)).collect();
            let mut arriving = Vec::new();
            for (i, packet) in packets(Press::new(keys, Way::Event), from).into_iter().enumerate() {
                let (fate, late) = fates[i];
                // A half is lost, but one of each key comes.
                if fate < 5 && i % 7 != kept[i / 7] {
                    continue;
                }
                arriving.push((20 * i as u32 + late, packet));
                if fate == 9 {
                    arriving.push((20 * i as u32 + 2 * late, packet));
                }
            }
            arriving.sort_by_key(|(at, _)| *at);
            let (told, heard, _) = heard(arriving.into_iter().map(|(_, packet)| packet));
            prop_assert_eq!(&heard, &keys.to_string());
            prop_assert_eq!(told.len(), heard.len());
        }

        #[test]
        fn any_packets_in_any_order_are_taken(
            packets in proptest::collection::vec((0..3_u32, any::<u32>(), any::<[u8; 4]>()), 0..300)
        ) {
            let mut receiver = Receiver::default();
            let mut told = 0;
            for (ssrc, timestamp, bytes) in packets {
                let event = Event::parse(&bytes).expect("four bytes");
                if let Some((_, later)) = receiver.take((ssrc, timestamp), &event) {
                    prop_assert!(later <= told);
                    told += 1;
                }
            }
            prop_assert!(receiver.recent().count() <= RECENT);
        }
    }
}
