//! Five fields that say which minutes of civil time are meant: `*/5 8-18 * * mon-fri`.
//!
//! Own, because what a time zone does to such minutes has to be stated and tested, and no clock may be read:
//!
//! * Minutes that a clock change **leaves out** come once, together, at its end: `30 2 * * *` starts at 03:00.
//! * Minutes that a clock change **repeats** come the first time only where the hours are chosen, and both times where
//!   every hour is meant: `30 2 * * *` starts once, `*/5 * * * *` goes on every five minutes.

use std::str::FromStr;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// Minutes of civil time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Both the day of the month and the weekday are chosen: either will do (POSIX crontab).
    either_day: bool,
}

/// Why a text is no [`Cron`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// Not five fields.
    #[error("`{0}` has not five fields: write minute hour day month weekday, as in `*/5 8-18 * * mon-fri`")]
    Fields(String),
    /// A field says something that it cannot.
    #[error("`{text}` is not {a}: write {values}, several with commas, `a-b`, `*` or `*/n`")]
    Field {
        /// What stands there.
        text: String,
        /// Which field.
        a: &'static str,
        /// What may stand there.
        values: &'static str,
    },
    /// It never comes.
    #[error("`{0}` never comes: no month that it names has such a day")]
    Never(String),
}

const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
/// The 29th of February comes again within eight years.
const DAYS_AHEAD: u32 = 366 * 8 + 2;
/// Clock changes that one search passes at most.
const CHANGES: usize = 64;

/// One of the five fields.
struct Field {
    a: &'static str,
    values: &'static str,
    range: (u32, u32),
    names: &'static [&'static str],
    /// What the first name counts as.
    first: u32,
}

const FIELDS: [Field; 5] = [
    Field { a: "a minute", values: "0-59", range: (0, 59), names: &[], first: 0 },
    Field { a: "an hour", values: "0-23", range: (0, 23), names: &[], first: 0 },
    Field { a: "a day of the month", values: "1-31", range: (1, 31), names: &[], first: 1 },
    Field { a: "a month", values: "1-12 or jan-dec", range: (1, 12), names: &MONTHS, first: 1 },
    Field { a: "a weekday", values: "0-7 or sun-sat", range: (0, 7), names: &WEEKDAYS, first: 0 },
];

impl FromStr for Cron {
    type Err = CronError;

    fn from_str(text: &str) -> Result<Self, CronError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let Ok([minutes, hours, days, months, weekdays]): Result<[&str; 5], _> = words.try_into() else {
            return Err(CronError::Fields(text.to_owned()));
        };
        let [minute, hour, day, month, weekday] = &FIELDS;
        let mut of_week = weekday.read(weekdays)?;
        // 7 is Sunday too.
        of_week = (of_week | of_week >> 7) & 0x7f;
        let cron = Self {
            minutes: minute.read(minutes)?,
            hours: hour.read(hours)?,
            days: day.read(days)?,
            months: month.read(months)?,
            weekdays: of_week,
            either_day: !days.starts_with('*') && !weekdays.starts_with('*'),
        };
        // Eight years from any day hold every date; this one begins no leap year.
        match cron.next_civil(jiff::civil::date(2001, 1, 1).at(0, 0, 0, 0)) {
            Some(_) => Ok(cron),
            None => Err(CronError::Never(text.to_owned())),
        }
    }
}

impl Field {
    fn read(&self, text: &str) -> Result<u64, CronError> {
        let wrong = || CronError::Field { text: text.to_owned(), a: self.a, values: self.values };
        let mut set = 0;
        for part in text.split(',') {
            let (range, step) = match part.split_once('/') {
                Some((range, step)) => (range, step.parse().ok().filter(|step| *step > 0).ok_or_else(wrong)?),
                None => (part, 1),
            };
            let (from, to) = match range.split_once('-') {
                _ if range == "*" => self.range,
                Some((from, to)) => (self.value(from).ok_or_else(wrong)?, self.value(to).ok_or_else(wrong)?),
                // `5/15` begins at 5 and goes on to the end.
                None => {
                    let from = self.value(range).ok_or_else(wrong)?;
                    (from, if part.contains('/') { self.range.1 } else { from })
                }
            };
            if from > to {
                return Err(wrong());
            }
            (from..=to).step_by(step).for_each(|value| set |= 1 << value);
        }
        Ok(set)
    }

    fn value(&self, text: &str) -> Option<u32> {
        let lower = text.to_ascii_lowercase();
        let named = self.names.iter().position(|name| *name == lower).map(|index| self.first + index as u32);
        let number = || text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
        named.or_else(number).filter(|value| (self.range.0..=self.range.1).contains(value))
    }
}

impl Cron {
    /// The first minute after a moment, in a time zone. `None` only at the end of time.
    pub fn next_after(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let minute = after.as_second().div_euclid(60) + 1;
        let first = Timestamp::from_second(minute * 60).ok()?;
        // A change may come with that minute itself: what it leaves out is asked for by the offset before it.
        let mut from = after;
        let mut not_again = self.repeated_until(from, zone);
        for _ in 0..CHANGES {
            let offset = zone.to_offset(from);
            let civil = offset.to_datetime(from.max(first));
            let found = self.next_civil(not_again.map_or(civil, |until| until.max(civil)))?;
            let at = offset.to_timestamp(found).ok()?;
            let Some(change) = zone.following(from).next().filter(|change| at >= change.timestamp()) else {
                return Some(at);
            };
            from = change.timestamp();
            let (until, goes_on) = (offset.to_datetime(from), change.offset().to_datetime(from));
            if goes_on > until && found < goes_on {
                return Some(from);
            }
            not_again = (!self.means_every_hour()).then_some(until);
        }
        None
    }

    /// Starts on a day on which it comes, but for clock changes.
    pub fn per_day(&self) -> u32 {
        self.minutes.count_ones() * self.hours.count_ones()
    }

    /// Starts in an hour in which it comes.
    pub fn per_hour(&self) -> u32 {
        self.minutes.count_ones()
    }

    fn means_every_hour(&self) -> bool {
        self.hours.count_ones() == 24
    }

    /// Where civil times of before a change are coming again, and are not meant to: their end.
    fn repeated_until(&self, from: Timestamp, zone: &TimeZone) -> Option<DateTime> {
        if self.means_every_hour() {
            return None;
        }
        let tick = SignedDuration::from_nanos(1);
        let change = zone.preceding(from.checked_add(tick).ok()?).next()?;
        let before = zone.to_offset(change.timestamp().checked_sub(tick).ok()?);
        Some(before.to_datetime(change.timestamp())).filter(|until| zone.to_datetime(from) < *until)
    }

    /// The first minute meant from a civil time on.
    fn next_civil(&self, from: DateTime) -> Option<DateTime> {
        let mut date = from.date();
        let mut earliest = (from.hour() as u32, from.minute() as u32 + u32::from(from.second() > 0));
        for _ in 0..DAYS_AHEAD {
            if self.is_day(date)
                && let Some((hour, minute)) = self.next_time(earliest)
            {
                return Some(date.at(hour as i8, minute as i8, 0, 0));
            }
            date = date.tomorrow().ok()?;
            earliest = (0, 0);
        }
        None
    }

    fn is_day(&self, date: Date) -> bool {
        let day = self.days >> date.day() & 1 == 1;
        let weekday = self.weekdays >> date.weekday().to_sunday_zero_offset() & 1 == 1;
        let meant = if self.either_day { day || weekday } else { day && weekday };
        meant && self.months >> date.month() & 1 == 1
    }

    fn next_time(&self, (hour, minute): (u32, u32)) -> Option<(u32, u32)> {
        if self.hours >> hour & 1 == 1
            && let Some(minute) = next_bit(self.minutes, minute)
        {
            return Some((hour, minute));
        }
        Some((next_bit(self.hours, hour + 1)?, self.minutes.trailing_zeros()))
    }
}

/// The first bit that is set from this one on.
fn next_bit(set: u64, from: u32) -> Option<u32> {
    let left = set.checked_shr(from)?;
    (left != 0).then(|| from + left.trailing_zeros())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Central Europe: 02:00 becomes 03:00 on the last Sunday of March, 03:00 becomes 02:00 on that of October.
    fn berlin() -> TimeZone {
        TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("valid")
    }

    fn starts(cron: &str, zone: &TimeZone, after: &str, count: usize) -> Vec<String> {
        let cron: Cron = cron.parse().expect("valid");
        let mut at: Timestamp = after.parse().expect("valid");
        let mut next = || {
            at = cron.next_after(at, zone).expect("it comes");
            zone.to_datetime(at).strftime("%m-%d %H:%M").to_string() + &zone.to_offset(at).to_string()
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn fields_lists_ranges_steps_and_names_are_read() {
        let utc = TimeZone::UTC;
        assert_eq!(
            starts("*/20 8-9 * * mon-fri", &utc, "2026-11-20T09:00:00Z", 4),
            ["11-20 09:20+00", "11-20 09:40+00", "11-23 08:00+00", "11-23 08:20+00"]
        );
        assert_eq!(
            starts("5/25 0 1 jan,7 *", &utc, "2026-01-01T00:05:00Z", 3),
            ["01-01 00:30+00", "01-01 00:55+00", "07-01 00:05+00"]
        );
        assert_eq!(starts("0 12 * * 7", &utc, "2026-11-21T18:00:00Z", 1), ["11-22 12:00+00"], "7 is Sunday");
        assert_eq!(starts("0 0 29 2 *", &utc, "2026-01-01T00:00:00Z", 1), ["02-29 00:00+00"]);
        // Both days chosen: either will do.
        assert_eq!(
            starts("0 0 13 * fri", &utc, "2026-11-01T00:00:00Z", 3),
            ["11-06 00:00+00", "11-13 00:00+00", "11-20 00:00+00"]
        );
    }

    #[test]
    fn a_start_comes_strictly_after_the_moment_asked_for() {
        assert_eq!(starts("* * * * *", &TimeZone::UTC, "2026-11-21T18:00:00Z", 1), ["11-21 18:01+00"]);
        assert_eq!(starts("* * * * *", &TimeZone::UTC, "2026-11-21T18:00:59.999Z", 1), ["11-21 18:01+00"]);
    }

    #[test]
    fn what_a_clock_change_leaves_out_comes_once_at_its_end() {
        let zone = berlin();
        assert_eq!(
            starts("30 2 * * *", &zone, "2026-03-27T12:00:00Z", 3),
            ["03-28 02:30+01", "03-29 03:00+02", "03-30 02:30+02"]
        );
        assert_eq!(
            starts("*/30 * * * *", &zone, "2026-03-29T00:20:00Z", 3),
            ["03-29 01:30+01", "03-29 03:00+02", "03-29 03:30+02"]
        );
    }

    #[test]
    fn what_a_clock_change_leaves_out_comes_at_its_end_though_it_was_asked_for_in_the_minute_before() {
        let zone = berlin();
        for second in ["00", "01", "30", "59"] {
            let asked = format!("2026-03-29T00:59:{second}Z");
            assert_eq!(starts("30 2 * * *", &zone, &asked, 2), ["03-29 03:00+02", "03-30 02:30+02"], "{asked}");
            assert_eq!(starts("0 3 * * *", &zone, &asked, 2), ["03-29 03:00+02", "03-30 03:00+02"], "{asked}");
            assert_eq!(starts("15 3 * * *", &zone, &asked, 1), ["03-29 03:15+02"], "{asked}");
            // And in autumn in the minute before the hour that comes again.
            let asked = format!("2026-10-25T00:59:{second}Z");
            assert_eq!(starts("0 2 * * *", &zone, &asked, 1), ["10-26 02:00+01"], "{asked}");
            assert_eq!(starts("0 3 * * *", &zone, &asked, 1), ["10-25 03:00+01"], "{asked}");
            assert_eq!(starts("0 * * * *", &zone, &asked, 2), ["10-25 02:00+01", "10-25 03:00+01"], "{asked}");
        }
        assert_eq!(starts("30 2 * * *", &zone, "2026-03-29T01:00:00Z", 1), ["03-30 02:30+02"], "it was then");
    }

    #[test]
    fn what_a_clock_change_repeats_comes_once_where_hours_are_chosen_and_goes_on_where_they_are_not() {
        let zone = berlin();
        assert_eq!(starts("30 2 * * *", &zone, "2026-10-24T12:00:00Z", 2), ["10-25 02:30+02", "10-26 02:30+01"]);
        // Asked in the middle of the hour that comes again.
        assert_eq!(starts("30 2 * * *", &zone, "2026-10-25T01:10:00Z", 1), ["10-26 02:30+01"]);
        assert_eq!(starts("30 3 * * *", &zone, "2026-10-25T01:10:00Z", 1), ["10-25 03:30+01"]);
        assert_eq!(
            starts("*/30 * * * *", &zone, "2026-10-24T23:45:00Z", 5),
            ["10-25 02:00+02", "10-25 02:30+02", "10-25 02:00+01", "10-25 02:30+01", "10-25 03:00+01"]
        );
    }

    #[test]
    fn what_cannot_be_read_says_what_to_write() {
        let error = |text: &str| text.parse::<Cron>().expect_err(text).to_string();
        assert_eq!(
            error("*/5 * * *"),
            "`*/5 * * *` has not five fields: write minute hour day month weekday, as in `*/5 8-18 * * mon-fri`"
        );
        assert_eq!(error("60 * * * *"), "`60` is not a minute: write 0-59, several with commas, `a-b`, `*` or `*/n`");
        assert_eq!(error("0 0 30 feb *"), "`0 0 30 feb *` never comes: no month that it names has such a day");
        for text in ["*/0 * * * *", "5-1 * * * *", "a * * * *", "+1 * * * *", ", * * * *", "0 0 0 * *", "0 0 * * mo"] {
            assert!(text.parse::<Cron>().is_err(), "{text}");
        }
    }
}
