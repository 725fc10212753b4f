//! Changes of a session by re-INVITE or UPDATE of ours: hold, resume, refresh; and what happens when both sides want
//! one at the same time (RFC 3261 §14, RFC 3311, RFC 4028 §7.4).

use std::time::{Duration, Instant};

use super::caller::{Inviting, write_extensions};
use super::{Offer, Purpose, Session, State};
use crate::sip::authenticator::Rounds;
use crate::sip::endpoint::Event;
use crate::sip::exchange::{self, Cause};
use crate::sip::header::{self, Name};
use crate::sip::message::Message;
use crate::sip::outbox::Context;
use crate::sip::transaction::Client;
use crate::sip::write;

/// How often a change is tried again after a glare.
const MAX_RETRIES: u8 = 10;
/// Longest Retry-After that a change waits for, seconds; §14.2 has the far end choose 0 to 10.
const MAX_RETRY_AFTER: u32 = 10;
/// Changes that may wait.
const MAX_CHANGES: usize = 8;

/// How a session is changed or refreshed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Means {
    /// INVITE within the dialog (RFC 3261 §14).
    #[default]
    Reinvite,
    /// UPDATE (RFC 3311) where the far end allows it, else re-INVITE.
    Update,
}

/// A change that is wanted.
#[derive(Debug)]
pub(super) struct Change {
    /// The offer; empty where nothing but the session timer is refreshed.
    sdp: Box<[u8]>,
    means: Means,
    /// Our own refresh of the session, which the application does not know of.
    refresh: bool,
    under_way: bool,
    retry_at: Option<Instant>,
    retry_after: Option<u32>,
    retries: u8,
}

impl Change {
    pub(super) fn new(sdp: Box<[u8]>, means: Means, refresh: bool) -> Self {
        Self { sdp, means, refresh, under_way: false, retry_at: None, retry_after: None, retries: 0 }
    }

    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry_at.filter(|_| !self.under_way)
    }

    pub(super) fn is_refresh(&self) -> bool {
        self.refresh
    }
}

impl Session {
    /// Offers another description. False where the session is not up.
    pub fn change(&mut self, context: &mut Context<'_>, sdp: &[u8], means: Means) -> bool {
        if self.state != State::Up || self.changes.len() >= MAX_CHANGES {
            return false;
        }
        self.changes.push(Change::new(sdp.into(), means, false));
        self.send_change_if_due(context);
        true
    }

    /// Sends the next change where nothing stands in its way. What does calls this again when it is over.
    pub(super) fn send_change_if_due(&mut self, context: &mut Context<'_>) {
        let busy = self.invite.is_some() || self.offer != Offer::Settled || self.is_serving();
        let Some(change) = self.changes.first_mut().filter(|_| self.state == State::Up && !busy) else { return };
        if change.under_way || change.retry_at.is_some_and(|at| at > context.now) {
            return;
        }
        (change.under_way, change.retry_at, change.retry_after) = (true, None, None);
        let (means, sdp, refresh) = (change.means, change.sdp.clone(), change.refresh);
        let sent = if means == Means::Update && self.updates {
            self.send_update(context, if refresh { b"" } else { &sdp })
        } else {
            self.send_reinvite(context, &sdp)
        };
        if !sent {
            self.conclude_change(context, 503, Cause::Transport);
        }
    }

    fn send_update(&mut self, context: &mut Context<'_>, sdp: &[u8]) -> bool {
        let fields = self.refresh_fields();
        let mut headers: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        headers.push(("Supported", "timer"));
        if !sdp.is_empty() {
            self.offer = Offer::Ours;
        }
        self.send_request(context, Purpose::Update, &headers, sdp)
    }

    fn send_reinvite(&mut self, context: &mut Context<'_>, sdp: &[u8]) -> bool {
        let Some(link) = context.link(self.flow) else { return false };
        self.dialog.local_cseq += 1;
        let (number, cseq) = (self.take_number(), self.dialog.local_cseq);
        let branch = context.salt.branch(context.handle, number);
        let mut extensions = self.extensions;
        extensions.timer.expires = None;
        let mut bytes = Vec::with_capacity(600 + sdp.len());
        let mut writer = self.dialog.request(&mut bytes, link, "INVITE", cseq, branch);
        writer.contact(link, &self.contact);
        writer.field("Allow", write::ALLOW).field("User-Agent", context.agent);
        write_extensions(&mut writer, &extensions);
        for (name, value) in self.refresh_fields() {
            writer.field(name, value);
        }
        writer.body("application/sdp", sdp);
        let bytes = exchange::with_known_credentials(context, bytes, &mut self.authenticator);
        let flow = self.dialog.next_hop(self.flow, link.transport);
        self.offer = Offer::Ours;
        let client = Client::new(context.now, context.timers, true, true, number, Box::default());
        let offers = !sdp.is_empty();
        let invite = Inviting { client, flow, cseq, rounds: Rounds::default(), raises: 0, offers };
        self.send_invite(context, invite, number, bytes);
        true
    }

    /// A refusal may say when to come again.
    pub(super) fn note_retry_after(&mut self, response: &Message<'_>) {
        let after = response.header(Name::RetryAfter).and_then(header::number);
        if let Some(change) = self.changes.first_mut() {
            change.retry_after = after;
        }
    }

    /// A change has its final response, or will have none.
    pub(super) fn conclude_change(&mut self, context: &mut Context<'_>, code: u16, cause: Cause) {
        self.offer = Offer::Settled;
        if let Some(wait) = self.retry_after(context, code) {
            let change = self.changes.first_mut().expect("retry_after found it");
            (change.under_way, change.retries) = (false, change.retries + 1);
            change.retry_at = Some(context.now + wait);
            return;
        }
        if self.changes.is_empty() {
            return;
        }
        let change = self.changes.remove(0);
        let session = context.handle;
        if !change.sdp.is_empty() && code < 300 {
            self.sdp = change.sdp;
        }
        if !change.refresh {
            context.tell(Event::Changed { session, code, cause });
        }
        // §12.2.1.2: the far end knows nothing of the dialog any more, or is gone.
        let gone = matches!(code, 408 | 481) || cause == Cause::Transport;
        if gone && self.state == State::Up {
            if change.refresh {
                context.tell(Event::SessionExpired { session });
            }
            return self.send_bye(context, None);
        }
        self.send_change_if_due(context);
    }

    /// How long to wait before a change that met one of the far end is tried again; `None` where it is not.
    fn retry_after(&mut self, context: &mut Context<'_>, code: u16) -> Option<Duration> {
        let change = self.changes.first().filter(|change| change.retries < MAX_RETRIES && self.state == State::Up)?;
        match code {
            // §14.1: in steps of 10 ms, and never the same for both sides: 2.1 to 4 s for the owner of the Call-ID,
            // 0 to 2 s for the other.
            491 => {
                let (least, steps) = if self.caller { (2100, 191) } else { (0, 201) };
                Some(Duration::from_millis(least + 10 * (context.random.next_u64() % steps)))
            }
            500 => change.retry_after.filter(|after| *after <= MAX_RETRY_AFTER).map(|s| Duration::from_secs(s.into())),
            _ => None,
        }
    }
}
