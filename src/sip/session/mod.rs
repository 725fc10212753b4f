//! An INVITE session from either side (RFC 3261 §12–15): one dialog, its INVITE transaction and requests besides.
//!
//! ```text
//! caller:  Calling ─18x─► Calling ─2xx─► Up ─bye()──► Closing ─2xx to BYE─► Over
//!             └─cancel()─► Cancelling ─487─► Over (lingers to acknowledge again)
//! called:  Invited ─respond(2xx)─► Answering ─ACK─► Up ─BYE received─► Over
//!             └─respond(≥300)─► Refusing ─ACK─► Over
//! ```
//!
//! | subject | where |
//! |---|---|
//! | our INVITE: responses, ACK, CANCEL | `caller` |
//! | another place for it | `elsewhere` |
//! | further answers to it | `fork` |
//! | the far end's INVITE | `called` |
//! | PRACK both ways | `reliable` |
//! | re-INVITE and UPDATE of ours, and their repetition after a glare | `change` |
//! | requests of the far end within the dialog | `within` |
//! | how long the session lasts unless it is refreshed | `timer` |
//! | candidates of ICE that follow a description | `trickle` |
//! | what is kept of one that is over | `remnant` |

mod called;
mod caller;
mod change;
mod elsewhere;
mod fork;
mod reliable;
mod remnant;
mod timer;
mod trickle;
mod within;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use smallvec::SmallVec;
use smol_str::SmolStr;
use thin_vec::ThinVec;

use super::authenticator::Authenticator;
use super::dialog::Dialog;
use super::endpoint::Event;
use super::exchange::{self, Cause, Exchange, Heard, Login};
use super::flow::Flow;
use super::message::{Message, Method};
use super::outbox::Context;
use super::raw::Raw;
use super::sdp::peering::FRAGMENT;
use super::transaction::{Server, soonest};
use super::write;

pub use called::Response;
pub use caller::Invite;
pub use change::Means;
pub use reliable::Reliable;
pub use remnant::Remnant;
pub use timer::{Refresher, SessionTimer};
pub use trickle::speaks as speaks_trickle;

use called::Served;
use caller::Inviting;
use change::Change;
use elsewhere::{Left, Unserved};
use fork::{Acknowledged, Early, Forks};
use reliable::Provisionals;
use timer::Refresh;
use trickle::Trickle;
use within::{Answered, Offered};

/// Extensions that a session speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// Provisional responses that are acknowledged (RFC 3262).
    pub reliable: Reliable,
    /// How long the session lasts unless it is refreshed (RFC 4028).
    pub timer: SessionTimer,
    /// Candidates of ICE that come in INFO requests (RFC 8840): offered, and said of ourselves where the caller speaks it. Default false.
    pub trickle: bool,
}

/// An INVITE session.
#[derive(Debug)]
pub struct Session {
    /// The application's number for it.
    pub owner: u64,
    flow: Flow,
    state: State,
    /// We placed the call, so its Call-ID is ours.
    caller: bool,
    dialog: Dialog,
    authenticator: Authenticator,
    extensions: Extensions,
    /// User part of our Contact, or the whole field value when it begins with `<`.
    contact: SmolStr,
    /// The INVITE of ours under way.
    invite: Option<Box<Inviting>>,
    /// The INVITE that was not served where it went: it waits for another place.
    unserved: Option<Box<Unserved>>,
    /// The INVITE that makes the call goes as a datagram up to this size, bytes.
    largest_datagram: Option<NonZeroU32>,
    /// INVITEs that went to another place without an answer.
    left: ThinVec<Left>,
    challenged: bool,
    /// Number of the INVITE that a 2xx came to, and until when further ones are taken (RFC 6026 §8.4, Timer M).
    accepted: Option<(u32, Instant)>,
    acknowledged: ThinVec<Acknowledged>,
    early: ThinVec<Early>,
    forks: Forks,
    /// The answer in a reliable provisional response, where the 2xx repeats none.
    early_answer: Option<Box<[u8]>>,
    /// Our requests besides INVITE that are under way.
    requests: ThinVec<Pending>,
    /// The INVITE of the far end under way.
    served: Option<Box<Served>>,
    provisionals: Provisionals,
    /// Requests of the far end that were answered last: repeated when they come again.
    answered: ThinVec<Answered>,
    /// A request of the far end with an offer that the application answers.
    offered: Option<Box<Offered>>,
    offer: Offer,
    /// What is to change in the session; the first is under way or waits for its moment.
    changes: ThinVec<Change>,
    refresh: Option<Box<Refresh>>,
    /// Candidates of ours that follow our description.
    trickle: Option<Box<Trickle>>,
    /// The far end takes UPDATE.
    updates: bool,
    /// Our last description.
    sdp: Box<[u8]>,
    /// BYE goes out once our 2xx is acknowledged (§15): with this Reason. Boxed, as few sessions ever have one.
    bye_after_ack: Option<Box<Option<Box<str>>>>,
    /// Under which the endpoint finds copies of the INVITE that made the session.
    invited_key: Option<u64>,
    next_number: u32,
    linger_until: Option<Instant>,
    /// Its link is gone, and so long it waits for the far end to come back over another.
    lost_until: Option<Instant>,
    /// What our INVITE gets wrong on purpose.
    raw: Option<Arc<Raw>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Calling,
    /// We want to give up; CANCEL goes out as soon as a provisional response allows it.
    Cancelling,
    Invited,
    Answering,
    Refusing,
    Up,
    /// Our BYE is under way.
    Closing,
    Over,
}

/// Whose offer waits for its answer (RFC 3264 §4, RFC 3311 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Offer {
    Settled,
    Ours,
    Theirs,
}

/// A request of ours other than INVITE.
#[derive(Debug)]
struct Pending {
    purpose: Purpose,
    flow: Flow,
    exchange: Exchange,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Cancel,
    Bye,
    /// BYE to an answer that nobody needs.
    ForkBye,
    Prack,
    Update,
    /// INFO with candidates, to this fork.
    Candidates(u64),
    /// OPTIONS: whether the far end still knows of the session (§11.2).
    Options,
}

impl Purpose {
    const fn method(self) -> &'static str {
        match self {
            Self::Cancel => "CANCEL",
            Self::Bye | Self::ForkBye => "BYE",
            Self::Prack => "PRACK",
            Self::Update => "UPDATE",
            Self::Candidates(_) => "INFO",
            Self::Options => "OPTIONS",
        }
    }

    const fn content_type(self) -> &'static str {
        match self {
            Self::Candidates(_) => FRAGMENT,
            _ => "application/sdp",
        }
    }
}

impl Session {
    fn new(flow: Flow, dialog: Dialog, state: State) -> Self {
        Self {
            owner: 0,
            flow,
            state,
            caller: state == State::Calling,
            dialog,
            authenticator: Authenticator::default(),
            extensions: Extensions::default(),
            contact: SmolStr::default(),
            raw: None,
            invite: None,
            unserved: None,
            largest_datagram: None,
            left: ThinVec::new(),
            challenged: false,
            accepted: None,
            acknowledged: ThinVec::new(),
            early: ThinVec::new(),
            forks: Forks::default(),
            early_answer: None,
            requests: ThinVec::new(),
            served: None,
            provisionals: Provisionals::default(),
            answered: ThinVec::new(),
            offered: None,
            offer: Offer::Settled,
            changes: ThinVec::new(),
            refresh: None,
            trickle: None,
            updates: false,
            sdp: Box::default(),
            bye_after_ack: None,
            invited_key: None,
            next_number: 1,
            linger_until: None,
            lost_until: None,
        }
    }

    /// Call-ID.
    pub fn call_id(&self) -> &[u8] {
        self.dialog.call_id()
    }

    /// The flow its INVITE took.
    pub fn flow(&self) -> Flow {
        self.flow
    }

    /// Whether we have answered a challenge to the INVITE.
    pub fn was_challenged(&self) -> bool {
        self.challenged
    }

    /// The answer to our offer that came in a reliable provisional response.
    pub fn early_answer(&self) -> Option<&[u8]> {
        self.early_answer.as_deref()
    }

    /// Places that rang or answered for our INVITE, by the tag of To; `None` where none did. Those beyond 32 are not told
    /// apart.
    pub fn forks(&self) -> Option<u32> {
        self.forks.count()
    }

    /// Credentials for requests of a session that was received.
    pub fn set_credentials(&mut self, credentials: Option<Arc<Login>>) {
        self.authenticator = Authenticator::new(credentials);
    }

    /// Whether nothing more can happen; `now` ends its lingering.
    pub fn is_over(&self, now: Instant) -> bool {
        let lingers = self.linger_until.is_some_and(|until| until > now);
        self.state == State::Over && !lingers && self.requests.is_empty()
    }

    /// Whether the endpoint must find copies of an INVITE under this key.
    pub fn served_key(&self) -> Option<u64> {
        self.invited_key
    }

    /// The next moment at which [`handle_timeout`](Self::handle_timeout) has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let invite = self.invite.as_ref().and_then(|invite| invite.client.deadline());
        let requests = self.requests.iter().filter_map(|request| request.exchange.deadline()).min();
        let served = self.served.as_ref().and_then(|served| served.timer.as_ref()).and_then(Server::deadline);
        let change = self.changes.first().and_then(Change::retry_at);
        let refresh = self.refresh.as_ref().filter(|_| self.state == State::Up).map(|refresh| refresh.at);
        let (provisional, forget) = (self.provisionals.deadline(), self.forget_at());
        let others = [requests, served, provisional, change, refresh, forget, self.linger_until, self.lost_until];
        others.into_iter().fold(invite, soonest)
    }

    /// Ends the call (§15). `reason` is a Reason field (RFC 3326). Where our 2xx is not acknowledged yet, BYE waits for
    /// the ACK, or for the end of waiting for it.
    pub fn bye(&mut self, context: &mut Context<'_>, reason: Option<&str>) {
        match self.state {
            State::Up => self.send_bye(context, reason),
            State::Answering => self.bye_after_ack = Some(Box::new(reason.map(Box::from))),
            _ => {}
        }
    }

    /// Asks the far end whether it knows of the session. False where the session is not up.
    pub fn probe(&mut self, context: &mut Context<'_>) -> bool {
        self.state == State::Up && self.send_request(context, Purpose::Options, &[("Accept", "application/sdp")], b"")
    }

    fn send_bye(&mut self, context: &mut Context<'_>, reason: Option<&str>) {
        self.state = State::Closing;
        (self.refresh, self.offered) = (None, None);
        self.changes.clear();
        self.requests.retain(|request| request.purpose == Purpose::ForkBye);
        let reason = reason.map(|reason| ("Reason", reason));
        if !self.send_request(context, Purpose::Bye, reason.as_slice(), b"") {
            self.lose_bye(context, Cause::Transport);
        }
    }

    /// Sends a request within the dialog. False where the link is closed.
    fn send_request(
        &mut self,
        context: &mut Context<'_>,
        purpose: Purpose,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> bool {
        let Some(link) = context.link(self.flow) else { return false };
        self.dialog.local_cseq += 1;
        let (number, cseq) = (self.take_number(), self.dialog.local_cseq);
        let branch = context.salt.branch(context.handle, number);
        let mut bytes = Vec::with_capacity(500 + body.len());
        let mut writer = self.dialog.request(&mut bytes, link, purpose.method(), cseq, branch);
        if purpose == Purpose::Update {
            writer.contact(link, &self.contact);
            writer.field("Allow", write::ALLOW);
        }
        writer.field("User-Agent", context.agent);
        for (name, value) in headers {
            writer.field(name, value);
        }
        writer.body(purpose.content_type(), body);
        let bytes = exchange::with_known_credentials(context, bytes, &mut self.authenticator);
        let flow = self.dialog.next_hop(self.flow, link.transport);
        let exchange = Exchange::start(context, (flow, self.owner), (number, cseq), bytes);
        self.requests.push(Pending { purpose, flow, exchange });
        true
    }

    // --- what comes in --------------------------------------------------------------------------------------------

    /// A response to the transaction `number` of this session. False where it belongs to none that stands.
    pub fn handle_response(&mut self, context: &mut Context<'_>, response: &Message<'_>, number: u32) -> bool {
        let renamed = self.raw.is_some() && self.invite.as_ref().is_some_and(|invite| invite.client.number == number);
        match response.method() {
            Some(Method::Cancel) => self.handle_request_response(context, response, Method::Cancel, number),
            // An INVITE that goes by another name on purpose is answered by that name.
            _ if renamed => self.handle_invite_response(context, response, number),
            Some(Method::Invite) => self.handle_invite_response(context, response, number),
            Some(method) => self.handle_request_response(context, response, method, number),
            None => false,
        }
    }

    /// The link of its flow is gone.
    pub fn handle_link_lost(&mut self, context: &mut Context<'_>) {
        match self.state {
            State::Calling | State::Cancelling => self.fail_invite(context, 503, Cause::Transport),
            State::Closing => self.lose_bye(context, Cause::Transport),
            State::Over => self.linger_until = None,
            // Its end was told when it was refused; only the ACK is missing.
            State::Refusing => self.end(None),
            State::Up if !context.keeps_lost.is_zero() => {
                self.lost_until = Some(context.now + context.keeps_lost);
                (self.invite, self.offer) = (None, Offer::Settled);
                self.changes.clear();
            }
            _ => {
                self.end(None);
                context.tell(Event::LinkLost { session: context.handle });
            }
        }
        // Nothing can be sent to any fork either.
        self.requests.clear();
        self.forget_fragments();
    }

    /// Its requests go over another flow from now on: one of the two sides has come back by another way.
    pub fn reroute(&mut self, flow: Flow) {
        (self.flow, self.lost_until) = (flow, None);
    }

    /// Nobody is at the other end: a request without any response yet will get none.
    pub fn handle_unreachable(&mut self, context: &mut Context<'_>) {
        match self.state {
            State::Calling | State::Cancelling if self.invite.as_ref().is_some_and(|it| !it.client.is_proceeding()) => {
                self.fail_invite(context, 503, Cause::Transport);
            }
            State::Closing => self.lose_bye(context, Cause::Transport),
            _ => {}
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, context: &mut Context<'_>) {
        if self.lost_until.is_some_and(|until| until <= context.now) {
            self.end(None);
            return context.tell(Event::LinkLost { session: context.handle });
        }
        self.forget_acknowledged(context.now);
        self.handle_invite_timeout(context);
        self.handle_request_timeouts(context);
        self.handle_served_timeout(context);
        self.handle_provisional_timeout(context);
        self.handle_refresh_timeout(context);
        self.send_change_if_due(context);
    }

    fn handle_request_timeouts(&mut self, context: &mut Context<'_>) {
        let mut timed_out: SmallVec<[Purpose; 1]> = SmallVec::new();
        let owner = self.owner;
        self.requests.retain_mut(|request| {
            let over = request.exchange.handle_timeout(context, (request.flow, owner));
            if over {
                timed_out.push(request.purpose);
            }
            !over
        });
        for purpose in timed_out {
            self.conclude(context, purpose, 408, Cause::Timeout);
        }
    }

    fn handle_request_response(
        &mut self,
        context: &mut Context<'_>,
        response: &Message<'_>,
        method: Method<'_>,
        number: u32,
    ) -> bool {
        let ours = |request: &Pending| {
            request.exchange.number() == number && request.purpose.method().as_bytes() == method.as_bytes()
        };
        let Some(place) = self.requests.iter().position(ours) else { return false };
        let Pending { purpose, flow, exchange } = &mut self.requests[place];
        let (purpose, flow) = (*purpose, (*flow, self.owner));
        let auth = (&mut self.authenticator, &mut self.next_number);
        let heard = exchange.handle_response(context, flow, response, auth, None);
        if purpose != Purpose::ForkBye {
            self.dialog.local_cseq = self.dialog.local_cseq.max(exchange.cseq());
        }
        if let Heard::Final(code) = heard {
            self.requests.remove(place);
            if purpose == Purpose::Update && code < 300 {
                self.dialog.refresh_target(response);
                self.take_refresh(context.now, response);
            }
            if purpose == Purpose::Update {
                self.note_retry_after(response);
            }
            self.conclude(context, purpose, code, Cause::Response);
        }
        true
    }

    /// A request of ours has its final response, or will have none.
    fn conclude(&mut self, context: &mut Context<'_>, purpose: Purpose, code: u16, cause: Cause) {
        match purpose {
            Purpose::Bye if self.state == State::Closing => {
                self.end_lingering();
                context.tell(Event::ByeAnswered { session: context.handle, code, cause });
            }
            Purpose::Update => self.conclude_change(context, code, cause),
            Purpose::Candidates(to) => self.conclude_fragment(context, to, code, cause),
            // §12.2.1.2: 481 and 408 say that there is no such session any more.
            Purpose::Options => {
                let alive = cause == Cause::Response && !matches!(code, 408 | 481);
                context.tell(Event::Probed { session: context.handle, alive });
            }
            // The final response to CANCEL says nothing of the INVITE: that has its own. A PRACK that is refused leaves
            // it to the far end to end the call (RFC 3262 §3).
            Purpose::Bye | Purpose::Cancel | Purpose::ForkBye | Purpose::Prack => {}
        }
    }

    fn lose_bye(&mut self, context: &mut Context<'_>, cause: Cause) {
        self.end_lingering();
        let code = if cause == Cause::Timeout { 408 } else { 503 };
        context.tell(Event::ByeAnswered { session: context.handle, code, cause });
    }

    fn take_number(&mut self) -> u32 {
        self.next_number += 1;
        self.next_number - 1
    }

    /// The dialog is over, but answers of forks may still come (RFC 6026 §8.4).
    fn end_lingering(&mut self) {
        self.end(self.accepted.map(|(_, until)| until));
    }

    fn end(&mut self, linger_until: Option<Instant>) {
        self.state = State::Over;
        self.linger_until = linger_until;
        (self.invite, self.unserved, self.refresh, self.lost_until) = (None, None, None, None);
        (self.offered, self.bye_after_ack, self.trickle) = (None, None, None);
        self.changes.clear();
        self.early.clear();
        self.provisionals.clear();
        self.requests.retain(|request| request.purpose == Purpose::ForkBye);
        if let Some(served) = &mut self.served {
            served.timer = None;
        }
    }
}
