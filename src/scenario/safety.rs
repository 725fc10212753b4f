//! Guard rails that a production line needs, on by default.
//!
//! [`Safety::permits`] looks at what is really sent: the user part of the final Request-URI, with a trunk's prefix.
//! Nothing on the command line or in a scenario reaches it; only the target file says what may be dialled.

use std::collections::BTreeSet;
use std::time::Duration;

use regex_lite::Regex;

use super::emergency::{self, Country};
use crate::sip::raw::Raw;

/// Bounds on every dialled number and on the run as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Safety {
    /// Attempts at the same time, default 200.
    pub max_concurrent: u32,
    /// Attempts per second, default 200.
    pub max_cps: f64,
    /// Attempts in all, default 10,000.
    pub max_calls: u64,
    /// Length of the run, minutes, default 60.
    pub max_minutes: u32,
    /// Whether lines may be filled to their limit.
    pub saturate: Saturate,
    /// Which numbers may be dialled.
    pub numbers: NumberGuard,
}

/// Which numbers may be dialled.
#[derive(Clone, Debug, Default)]
pub struct NumberGuard {
    /// Patterns of which one has to match the whole number. `None`: only [`Self::named`].
    pub allow: Option<Vec<Regex>>,
    /// Numbers that stand in the target file, with and without the prefixes of its trunks.
    pub named: BTreeSet<String>,
    /// Countries whose emergency numbers are blocked; empty means all that are known.
    pub countries: Vec<&'static Country>,
    /// Digits that lead to an outside line, of the PBX or of a trunk.
    pub prefixes: Vec<String>,
}

impl PartialEq for NumberGuard {
    /// Patterns are the same where their texts are.
    fn eq(&self, other: &Self) -> bool {
        let Self { allow, named, countries, prefixes } = self;
        let texts = |allow: &Option<Vec<Regex>>| {
            allow.as_ref().map(|allow| allow.iter().map(|pattern| pattern.as_str().to_owned()).collect::<Vec<_>>())
        };
        texts(allow) == texts(&other.allow)
            && (named, countries, prefixes) == (&other.named, &other.countries, &other.prefixes)
    }
}

/// Whether lines of a target may be filled to their limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Saturate {
    /// They may.
    pub allowed: bool,
    /// Local times of day, from midnight, between which they may; it may span midnight. `None` is at any time.
    pub window: Option<(Duration, Duration)>,
    /// Nobody else uses them meanwhile: what a search finds free is all there is.
    pub exclusive: bool,
}

/// Why a number is not dialled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It reaches an emergency service.
    #[error("`{number}` reaches the emergency number {emergency}: never dialled, and no option lifts that")]
    Emergency {
        /// As it would be sent.
        number: String,
        /// What it reaches.
        emergency: &'static str,
    },
    /// Its characters cannot be judged.
    #[error("`{0}` cannot be judged: only ASCII characters are dialled")]
    Unreadable(String),
    /// No pattern of the allow-list matches it.
    #[error("`{0}` is not allowed: no pattern under `safety.allow` of the target matches it")]
    NotAllowed(String),
    /// The target has no allow-list and the number does not stand in it.
    #[error("`{0}` is not allowed: it is none of the target's numbers, and it has no `safety.allow`")]
    NotNamed(String),
}

impl Default for Safety {
    fn default() -> Self {
        Self {
            max_concurrent: 200,
            max_cps: 200.0,
            max_calls: 10_000,
            max_minutes: 60,
            saturate: Saturate::default(),
            numbers: NumberGuard::default(),
        }
    }
}

impl Safety {
    /// What holds for the lab: it is ours, so only emergency numbers are blocked (a habit worth keeping) and the caps
    /// are those of a large machine.
    pub fn lab() -> Self {
        let anything = Regex::new(".*").expect("a valid pattern");
        Self {
            max_concurrent: 100_000,
            max_cps: 10_000.0,
            max_calls: 100_000_000,
            max_minutes: 7 * 24 * 60,
            saturate: Saturate { allowed: true, exclusive: true, window: None },
            numbers: NumberGuard { allow: Some(vec![anything]), ..NumberGuard::default() },
        }
    }

    /// Whether `final_user` may be sent: the user part of the Request-URI, or a whole `sip:` or `tel:` URI.
    ///
    /// # Errors
    /// [`Refusal`] says why not.
    pub fn permits(&self, final_user: &str) -> Result<(), Refusal> {
        let Some(number) = normal_form(final_user) else { return Err(Refusal::Unreadable(final_user.to_owned())) };
        if let Some(emergency) = self.numbers.emergency(&number) {
            return Err(Refusal::Emergency { number: final_user.to_owned(), emergency });
        }
        match &self.numbers.allow {
            Some(patterns) if patterns.iter().any(|pattern| pattern.is_match(&number)) => Ok(()),
            Some(_) => Err(Refusal::NotAllowed(number)),
            None if self.numbers.named.contains(&number) => Ok(()),
            None => Err(Refusal::NotNamed(number)),
        }
    }

    /// Whether a request may be sent with these changes: what its first line calls must be allowed, and no URI in its
    /// fields, and no line of its body that could be taken for a request, may reach an emergency service.
    ///
    /// # Errors
    /// [`Refusal`] says why not.
    pub fn permits_raw(&self, raw: &Raw) -> Result<(), Refusal> {
        let first_line = raw.start_line.iter().chain(&raw.method);
        for word in first_line.flat_map(|line| line.split_whitespace().skip(1)) {
            if !word.to_ascii_uppercase().starts_with("SIP/") {
                self.permits(word)?;
            }
        }
        let values = raw.headers.iter().flat_map(|(_, values)| values).map(String::as_str);
        let lines = raw.body.iter().flat_map(|body| body.lines());
        for text in values.chain(lines) {
            // Wherever in the text it stands: in brackets, behind a name, as a parameter.
            let starts = ["sip:", "sips:", "tel:"].into_iter().flat_map(|scheme| {
                let lower = text.to_ascii_lowercase();
                let found: Vec<usize> = lower.match_indices(scheme).map(|(at, _)| at).collect();
                found
            });
            for start in starts {
                let uri = text[start..].split(|c: char| c.is_whitespace() || "<>\",".contains(c)).next();
                if let Err(refusal @ (Refusal::Emergency { .. } | Refusal::Unreadable(_))) =
                    self.permits(uri.unwrap_or(""))
                {
                    return Err(refusal);
                }
            }
        }
        Ok(())
    }

    /// The bounds of two targets of one run together: the smaller cap, the emergency numbers of both, and a number may
    /// be dialled where either allows it. The exact check of one target is that target's own.
    pub fn join(&self, other: &Self) -> Self {
        let allow = match (&self.numbers.allow, &other.numbers.allow) {
            (None, None) => None,
            (one, two) => Some(one.iter().chain(two).flatten().cloned().chain(self.named_as_patterns(other)).collect()),
        };
        let both_name_countries = !self.numbers.countries.is_empty() && !other.numbers.countries.is_empty();
        let countries = [&self.numbers.countries[..], &other.numbers.countries].concat();
        Self {
            max_concurrent: self.max_concurrent.min(other.max_concurrent),
            max_cps: self.max_cps.min(other.max_cps),
            max_calls: self.max_calls.min(other.max_calls),
            max_minutes: self.max_minutes.min(other.max_minutes),
            saturate: if self.saturate.allowed { other.saturate.clone() } else { self.saturate.clone() },
            numbers: NumberGuard {
                allow,
                named: self.numbers.named.union(&other.numbers.named).cloned().collect(),
                countries: if both_name_countries { countries } else { Vec::new() },
                prefixes: [&self.numbers.prefixes[..], &other.numbers.prefixes].concat(),
            },
        }
    }

    /// Named numbers as patterns, of those of the two that have no patterns of their own.
    fn named_as_patterns(&self, other: &Self) -> Vec<Regex> {
        let without = [self, other].into_iter().filter(|safety| safety.numbers.allow.is_none());
        without.flat_map(|safety| &safety.numbers.named).filter_map(|number| exactly(number)).collect()
    }
}

impl NumberGuard {
    /// The emergency number that `number` reaches, directly or behind prefixes and country codes.
    fn emergency(&self, number: &str) -> Option<&'static str> {
        let mut forms = vec![number.to_owned()];
        let mut next = 0;
        // Prefixes may stand one behind another (a trunk's, then the PBX's); each form is shorter than its origin.
        while next < forms.len() {
            let form = forms[next].clone();
            next += 1;
            if let Some(found) = emergency::find(&form, &self.countries) {
                return Some(found);
            }
            let prefixes = self.prefixes.iter().filter(|prefix| !prefix.is_empty());
            let behind = prefixes.filter_map(|prefix| form.strip_prefix(prefix.as_str()));
            for rest in behind.chain(emergency::without_international(&form, &self.countries)) {
                if !rest.is_empty() && !forms.iter().any(|known| known == rest) {
                    forms.push(rest.to_owned());
                }
            }
        }
        None
    }
}

impl Saturate {
    /// Whether lines may be filled at this local time of day.
    pub fn open_at(&self, time_of_day: Duration) -> bool {
        self.allowed
            && self.window.is_none_or(|(from, to)| {
                if from <= to { (from..to).contains(&time_of_day) } else { time_of_day >= from || time_of_day < to }
            })
    }

    /// How long the window stays open from this local time of day on; `None` where there is none.
    pub fn closes_in(&self, time_of_day: Duration) -> Option<Duration> {
        let (_, to) = self.window?;
        Some(if time_of_day < to { to - time_of_day } else { to + DAY - time_of_day })
    }
}

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A pattern that has to match the whole number.
///
/// # Errors
/// The text of what is wrong with it.
pub fn whole(pattern: &str) -> Result<Regex, regex_lite::Error> {
    Regex::new(&format!("^(?:{pattern})$"))
}

fn exactly(number: &str) -> Option<Regex> {
    let escaped: String =
        number.chars().map(|c| if c.is_alphanumeric() { c.into() } else { format!("\\{c}") }).collect();
    whole(&escaped).ok()
}

/// What is dialled, as the far end will read it: scheme, host, parameters and separators gone, escapes undone.
pub fn normal_form(final_user: &str) -> Option<String> {
    let text = final_user.trim();
    let lower = text.to_ascii_lowercase();
    let scheme = ["sip:", "sips:", "tel:"].into_iter().find(|scheme| lower.starts_with(scheme));
    let rest = &text[scheme.map_or(0, str::len)..];
    let user = match (scheme, rest.split_once('@')) {
        (Some("sip:" | "sips:"), Some((user, _))) => user,
        (Some("sip:" | "sips:"), None) => rest.split([';', '?', ':', '>']).next().unwrap_or(rest),
        (_, Some((user, _))) => user,
        (_, None) => rest,
    };
    let decoded = unescape(user)?;
    if !decoded.is_ascii() {
        return None;
    }
    // Parameters (RFC 3966 §3), a password, and pauses that some equipment dials past.
    let number = decoded.split([';', ':', ',', '?']).next().unwrap_or("");
    let separators = [' ', '-', '.', '(', ')', '/', '\t', '"', '<', '>'];
    Some(number.chars().filter(|c| !separators.contains(c)).map(|c| c.to_ascii_lowercase()).collect())
}

/// Undoes `%31`; escapes of escapes too, because a second element on the way may do the same.
fn unescape(text: &str) -> Option<String> {
    let mut text = text.to_owned();
    for _ in 0..4 {
        if !text.contains('%') {
            return Some(text);
        }
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let Some((&first, tail)) = rest.split_first() {
            let value = (first == b'%')
                .then(|| tail.get(..2))
                .flatten()
                .and_then(|hex| std::str::from_utf8(hex).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok()));
            bytes.push(value.unwrap_or(first));
            rest = if value.is_some() { &tail[2..] } else { tail };
        }
        let decoded = String::from_utf8(bytes).ok()?;
        if decoded == text {
            return Some(text);
        }
        text = decoded;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taiwan() -> Safety {
        let mut safety = Safety::default();
        safety.numbers.allow = Some(vec![whole("[0-9+*#]*|.*").expect("valid")]);
        safety.numbers.countries = vec![emergency::country("TW").expect("known")];
        safety.numbers.prefixes = vec!["9".into(), "0".into(), "900".into()];
        safety
    }

    #[test]
    fn emergency_numbers_are_blocked_in_every_disguise() {
        for number in [
            "110",
            "119",
            "112",
            "911",
            "9110",
            "0119",
            "900119",
            "9009119",
            "1-1-0",
            "(1)1.0",
            "+110",
            "%31%31%30",
            "%2531%2531%2530",
            "sip:110@pbx.example",
            "SIP:1%310@pbx.example;user=phone",
            "tel:110",
            "tel:1-10;phone-context=+886",
            "+886110",
            "00886110",
            "110#",
            "*110",
            "110;ext=1",
            "110,,1",
            "sos",
            "sip:110",
            "sip:110;transport=udp",
            " 110 ",
        ] {
            let refusal = taiwan().permits(number).expect_err(number);
            assert!(matches!(refusal, Refusal::Emergency { .. }), "{number}: {refusal}");
        }
    }

    #[test]
    fn a_request_made_wrong_on_purpose_calls_no_emergency_service_either() {
        let field =
            |name: &str, value: &str| Raw { headers: vec![(name.into(), vec![value.into()])], ..Raw::default() };
        let line = |text: &str| Raw { start_line: Some(text.into()), ..Raw::default() };
        let body = |text: &str| Raw { body: Some(text.into()), ..Raw::default() };
        for raw in [
            line("INVITE sip:110@pbx SIP/2.0"),
            line("INVITE  sip:9110@pbx"),
            line("INVITE 119 SIP/9.9"),
            Raw { method: Some("INVITE sip:110@pbx".into()), ..Raw::default() },
            field("To", "<sip:110@pbx>"),
            field("Route", "<sip:pbx;lr>, \"x\" <SIP:1%310@pbx;lr>"),
            field("Refer-To", "tel:119"),
            body("v=0\r\n\r\nINVITE sip:110@pbx SIP/2.0\r\n"),
        ] {
            assert!(matches!(taiwan().permits_raw(&raw), Err(Refusal::Emergency { .. })), "{raw:?}");
        }
        assert_eq!(taiwan().permits_raw(&field("Contact", "<sip:1001@192.0.2.1:5060>;expires=1")), Ok(()));
        let mut safety = taiwan();
        safety.numbers.allow = Some(vec![whole("2000").expect("valid")]);
        assert_eq!(safety.permits_raw(&line("INVITE sip:2000@pbx SIP/2.0")), Ok(()));
        assert_eq!(safety.permits_raw(&line("INVITE sip:2001@pbx SIP/2.0")), Err(Refusal::NotAllowed("2001".into())));
    }

    #[test]
    fn ordinary_numbers_pass() {
        for number in ["2000", "0800000123", "91100", "+886212345678", "9002000", "sip:echo@pbx.example", "1001"] {
            assert_eq!(taiwan().permits(number), Ok(()), "{number}");
        }
    }

    #[test]
    fn without_a_country_those_of_every_country_are_blocked() {
        let safety = Safety::lab();
        for number in ["110", "000", "999", "117", "190"] {
            assert!(safety.permits(number).is_err(), "{number}");
        }
        assert_eq!(safety.permits("2000"), Ok(()));
        assert_eq!(safety.permits("9002000"), Ok(()));
    }

    #[test]
    fn a_pattern_has_to_match_the_whole_number() {
        let mut safety = taiwan();
        safety.numbers.allow = Some(vec![whole("08[0-9]{8}|2000").expect("valid")]);
        assert_eq!(safety.permits("0800-000-123"), Ok(()));
        assert_eq!(safety.permits("20001"), Err(Refusal::NotAllowed("20001".into())));
        assert_eq!(safety.permits("12000"), Err(Refusal::NotAllowed("12000".into())));
    }

    #[test]
    fn without_patterns_only_the_targets_own_numbers_are_dialled() {
        let mut safety = taiwan();
        safety.numbers.allow = None;
        safety.numbers.named = ["2000".to_owned()].into();
        assert_eq!(safety.permits("2000"), Ok(()));
        assert_eq!(safety.permits("2001"), Err(Refusal::NotNamed("2001".into())));
    }

    #[test]
    fn digits_of_other_scripts_are_not_dialled() {
        assert!(matches!(taiwan().permits("１１０"), Err(Refusal::Unreadable(_))));
    }

    #[test]
    fn two_targets_together_keep_the_smaller_caps_and_all_emergency_numbers() {
        let mut one = taiwan();
        one.numbers.allow = None;
        one.numbers.named = ["+2000".to_owned()].into();
        one.max_calls = 5;
        let both = one.join(&Safety::lab());
        assert_eq!((both.max_calls, both.max_concurrent), (5, 200));
        assert!(both.permits("999").is_err());
        assert!(!both.saturate.allowed);
    }

    #[test]
    fn a_window_may_span_midnight() {
        let hours = |h: u64| Duration::from_secs(h * 3600);
        let open = |from, to, at| {
            Saturate { allowed: true, window: Some((hours(from), hours(to))), exclusive: false }.open_at(hours(at))
        };
        assert!(open(2, 4, 3) && !open(2, 4, 4) && !open(2, 4, 1));
        assert!(open(23, 1, 0) && open(23, 1, 23) && !open(23, 1, 12));
        assert!(!Saturate::default().open_at(hours(3)));
        let closes = |from, to, at| {
            Saturate { allowed: true, window: Some((hours(from), hours(to))), exclusive: false }.closes_in(hours(at))
        };
        assert_eq!(
            (closes(2, 4, 3), closes(23, 1, 23), closes(23, 1, 0)),
            (Some(hours(1)), Some(hours(2)), Some(hours(1)))
        );
    }
}
