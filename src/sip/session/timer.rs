//! How long a session lasts unless it is refreshed (RFC 4028).

use std::time::{Duration, Instant};

use super::change::Change;
use super::reliable::supports;
use super::{Means, Session, State};
use crate::sip::endpoint::Event;
use crate::sip::header::{self, Name};
use crate::sip::message::Message;
use crate::sip::outbox::Context;

/// Shortest interval that RFC 4028 §4 allows, and the default of Min-SE, seconds.
const MIN_SE: u32 = 90;

/// What a session wants of session timers. The extension is always spoken; whether it is used is asked here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionTimer {
    /// Session-Expires asked for, seconds; `None` asks for none, and takes what the far end wants.
    pub expires: Option<u32>,
    /// Shortest interval that is accepted, seconds; a shorter one is refused with 422. Default 90.
    pub min_se: u32,
    /// Who is to refresh. Default: the far end of the one who asks chooses.
    pub refresher: Option<Refresher>,
    /// With what we refresh.
    pub by: Means,
}

/// Who refreshes a session, seen from the request that says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refresher {
    /// The one who sent the request.
    Uac,
    /// The one who answered it.
    Uas,
}

/// The interval of a session that is up.
#[derive(Debug)]
pub(super) struct Refresh {
    interval: u32,
    ours: bool,
    /// When to refresh, or to end the session that was not.
    pub(super) at: Instant,
    /// When it ends for the refresher, whose refresh was refused.
    ends: Instant,
}

/// What a request says of the session's interval.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asked {
    pub(super) supported: bool,
    pub(super) expires: Option<u32>,
    min_se: Option<u32>,
    refresher: Option<Refresher>,
}

impl Default for SessionTimer {
    fn default() -> Self {
        Self { expires: None, min_se: MIN_SE, refresher: None, by: Means::default() }
    }
}

impl Refresher {
    const fn name(self) -> &'static str {
        match self {
            Self::Uac => "uac",
            Self::Uas => "uas",
        }
    }

    fn read(value: &[u8]) -> Option<Self> {
        let word = header::param(value.get(value.iter().position(|byte| *byte == b';')?..)?, "refresher")?;
        [Self::Uac, Self::Uas].into_iter().find(|it| word.eq_ignore_ascii_case(it.name().as_bytes()))
    }
}

impl SessionTimer {
    /// A far end wants at least so many seconds.
    pub(super) fn raise(&mut self, least: u32) {
        self.min_se = self.min_se.max(least);
        self.expires = Some(self.expires.map_or(least, |expires| expires.max(least)));
    }

    /// Session-Expires and Min-SE of a request; none where no interval is asked for.
    pub(super) fn fields(&self) -> Vec<(&'static str, String)> {
        let Some(expires) = self.expires else { return Vec::new() };
        let refresher = self.refresher.map(|it| format!(";refresher={}", it.name())).unwrap_or_default();
        let mut fields = vec![("Session-Expires", format!("{expires}{refresher}"))];
        if self.min_se != MIN_SE {
            fields.push(("Min-SE", self.min_se.to_string()));
        }
        fields
    }
}

impl Asked {
    pub(super) fn of(request: &Message<'_>) -> Self {
        let value = request.header(Name::SessionExpires);
        Self {
            supported: supports(request, "timer"),
            expires: value.and_then(header::number),
            min_se: request.header(Name::MinSe).and_then(header::number),
            refresher: value.and_then(Refresher::read),
        }
    }

    /// Whether the interval is shorter than we accept, from one who can send a longer one (§9).
    pub(super) fn is_too_small(&self, timer: &SessionTimer) -> bool {
        self.supported && self.expires.is_some_and(|expires| expires < timer.min_se)
    }
}

impl Refresh {
    fn new(now: Instant, interval: u32, ours: bool) -> Self {
        let whole = Duration::from_secs(interval.into());
        // §10: half way through; the other side gives up a little before the end.
        let early = Duration::from_secs((interval / 3).min(32).into());
        let at = if ours { now + whole / 2 } else { now + whole - early };
        Self { interval, ours, at, ends: now + whole }
    }
}

impl Session {
    /// What a 2xx to a request of ours says of the interval (§7.2). One without Session-Expires ends it.
    pub(super) fn take_refresh(&mut self, now: Instant, response: &Message<'_>) {
        let value = response.header(Name::SessionExpires);
        self.refresh = value.and_then(|value| Some((header::number(value)?, Refresher::read(value)))).map(
            |(interval, refresher)| {
                let ours = refresher.unwrap_or(Refresher::Uac) == Refresher::Uac;
                Box::new(Refresh::new(now, interval.max(2), ours))
            },
        );
    }

    /// Agrees on an interval in a 2xx of ours (§9); the fields that say so.
    pub(super) fn agree_refresh(&mut self, now: Instant, asked: &Asked) -> Vec<(&'static str, String)> {
        let wanted = self.extensions.timer;
        let floor = asked.min_se.unwrap_or(0).max(wanted.min_se);
        let interval = match (asked.expires, wanted.expires) {
            (Some(theirs), Some(ours)) => ours.clamp(floor.min(theirs), theirs),
            (Some(theirs), None) => theirs,
            (None, Some(ours)) => ours.max(floor),
            (None, None) => {
                self.refresh = None;
                return Vec::new();
            }
        };
        let refresher = match (asked.supported, asked.refresher, wanted.refresher) {
            (false, ..) => Refresher::Uas,
            (true, Some(theirs), _) => theirs,
            (true, None, Some(ours)) => ours,
            (true, None, None) => Refresher::Uac,
        };
        self.refresh = Some(Box::new(Refresh::new(now, interval, refresher == Refresher::Uas)));
        let mut fields = vec![("Session-Expires", format!("{interval};refresher={}", refresher.name()))];
        if refresher == Refresher::Uac {
            fields.push(("Require", "timer".to_owned()));
        }
        fields
    }

    /// Session-Expires of a refresh: who refreshes goes on to.
    pub(super) fn refresh_fields(&self) -> Vec<(&'static str, String)> {
        let Some(refresh) = &self.refresh else { return Vec::new() };
        let refresher = if refresh.ours { Refresher::Uac } else { Refresher::Uas };
        let timer =
            SessionTimer { expires: Some(refresh.interval), refresher: Some(refresher), ..self.extensions.timer };
        timer.fields()
    }

    pub(super) fn handle_refresh_timeout(&mut self, context: &mut Context<'_>) {
        let due = self.state == State::Up && self.refresh.as_ref().is_some_and(|it| it.at <= context.now);
        let Some(refresh) = self.refresh.as_mut().filter(|_| due) else { return };
        if refresh.ours && refresh.at < refresh.ends {
            // A refusal that does not end the dialog leaves the session to expire.
            refresh.at = refresh.ends;
            if !self.changes.iter().any(Change::is_refresh) {
                self.changes.push(Change::new(self.sdp.clone(), self.extensions.timer.by, true));
            }
            return;
        }
        context.tell(Event::SessionExpired { session: context.handle });
        self.send_bye(context, Some("SIP;cause=408;text=\"Session expired\""));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refresher_is_read_from_the_parameters() {
        assert_eq!(Refresher::read(b"90;refresher=uas"), Some(Refresher::Uas));
        assert_eq!(Refresher::read(b"90; refresher = UAC"), Some(Refresher::Uac));
        assert_eq!(Refresher::read(b"90"), None);
    }

    #[test]
    fn the_refresher_acts_half_way_and_the_other_a_third_but_at_most_32_s_before_the_end() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do as the origin of virtual time")]
        let now = Instant::now();
        let at = |interval, ours| (Refresh::new(now, interval, ours).at - now).as_secs();
        assert_eq!((at(90, true), at(90, false)), (45, 60));
        assert_eq!((at(1800, true), at(1800, false)), (900, 1768));
    }
}
