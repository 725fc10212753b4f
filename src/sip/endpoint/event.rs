//! What the endpoint tells its application, and what it counts.

use std::time::Instant;

use crate::sip::exchange::Cause;
use crate::sip::token::Handle;

/// What the endpoint tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A provisional response to our INVITE, 100 included.
    Provisional {
        /// The session.
        session: Handle,
        /// 100–199.
        code: u16,
    },
    /// A 2xx to our INVITE. It is acknowledged already, but for one that brings the offer: see `acknowledge`.
    Answered {
        /// The session.
        session: Handle,
    },
    /// A 2xx crossed our CANCEL; it is acknowledged, and BYE is under way.
    AnsweredAfterCancel {
        /// The session.
        session: Handle,
    },
    /// Our INVITE failed; the session is over.
    Refused {
        /// The session.
        session: Handle,
        /// 300–699.
        code: u16,
        /// Whether the code was received.
        cause: Cause,
    },
    /// A call came in.
    Invited {
        /// The session.
        session: Handle,
    },
    /// The caller gave up before we answered; 487 is sent.
    Cancelled {
        /// The session.
        session: Handle,
    },
    /// Our 2xx was acknowledged; where it brought the offer, the ACK at hand has the answer.
    Acknowledged {
        /// The session.
        session: Handle,
    },
    /// Our 2xx was never acknowledged; BYE is under way.
    NotAcknowledged {
        /// The session.
        session: Handle,
    },
    /// An INVITE within the dialog; it waits for `respond`.
    Reinvited {
        /// The session.
        session: Handle,
    },
    /// An UPDATE or PRACK with an offer; it waits for `answer_offer`.
    Offered {
        /// The session.
        session: Handle,
    },
    /// A change that we asked for has its final response, or will have none. Where the far end knows nothing of the
    /// call any more, BYE is under way.
    Changed {
        /// The session.
        session: Handle,
        /// Final code, 408 or 503 when concluded here.
        code: u16,
        /// Whether the code was received.
        cause: Cause,
    },
    /// The session was not refreshed in time (RFC 4028); BYE is under way.
    SessionExpired {
        /// The session.
        session: Handle,
    },
    /// A reliable provisional response of ours was never acknowledged; 504 is sent and the session is over.
    ProvisionalNotAcknowledged {
        /// The session.
        session: Handle,
    },
    /// The far end ended the call; 200 is sent and the session is over.
    ByeReceived {
        /// The session.
        session: Handle,
    },
    /// Our BYE has its final response, or none in time; the session is over.
    ByeAnswered {
        /// The session.
        session: Handle,
        /// Final code, 408 or 503 when concluded here.
        code: u16,
        /// Whether the code was received.
        cause: Cause,
    },
    /// An INFO with candidates of ICE that belong to an earlier description; 200 is sent.
    Trickled {
        /// The session.
        session: Handle,
    },
    /// An INFO with candidates of ours has its final response, or will have none.
    CandidatesAnswered {
        /// The session.
        session: Handle,
        /// Final code, 408 or 503 when concluded here.
        code: u16,
        /// Whether the code was received.
        cause: Cause,
    },
    /// The far end was asked whether it knows of the session.
    Probed {
        /// The session.
        session: Handle,
        /// It answered, and not with 481.
        alive: bool,
    },
    /// The connection of an established session broke; the session is over.
    LinkLost {
        /// The session.
        session: Handle,
    },
    /// The binding stands.
    Registered {
        /// The registration.
        registration: Handle,
        /// Expiry granted, seconds.
        expires: Option<u32>,
        /// It was a refresh.
        refreshed: bool,
        /// When its REGISTER was first sent.
        asked: Instant,
    },
    /// The binding was refused or lost; the registration is over.
    RegistrationFailed {
        /// The registration.
        registration: Handle,
        /// Final code, 408 or 503 when concluded here.
        code: u16,
        /// Whether the code was received.
        cause: Cause,
        /// It was a refresh: a binding that stood is lost.
        refresh: bool,
        /// When its REGISTER was first sent.
        asked: Instant,
    },
    /// Which bindings stand was asked.
    Queried {
        /// The registration.
        registration: Handle,
        /// Ours is among them; `None` where the registrar refused to say. No answer at all is none.
        bound: Option<bool>,
    },
    /// The binding was removed, or could not be; the registration is over.
    Unregistered {
        /// The registration.
        registration: Handle,
        /// Final code.
        code: u16,
        /// Whether the code was received.
        cause: Cause,
    },
    /// Our OPTIONS has its final response, or none in time.
    OptionsAnswered {
        /// The request.
        request: Handle,
        /// Final code.
        code: u16,
        /// Whether the code was received.
        cause: Cause,
    },
    /// The place that our INVITE, REGISTER or OPTIONS went to does not serve it (RFC 3263 §4.3): it waits for
    /// [`move_to`](super::Endpoint::move_to) or [`give_up`](super::Endpoint::give_up). Told only where
    /// [`Config::fails_over`](super::Config::fails_over).
    Unserved {
        /// The session, registration or request.
        entry: Handle,
        /// 503, or 408 for no response in time.
        code: u16,
        /// Whether the code was received.
        cause: Cause,
    },
    /// Our INVITE, REGISTER or OPTIONS is larger than it may be as a datagram: it waits for
    /// [`move_to`](super::Endpoint::move_to), with a connection where there is one, or
    /// [`give_up`](super::Endpoint::give_up).
    TooLarge {
        /// The session, registration or request.
        entry: Handle,
    },
    /// A REGISTER came in; answer it with [`reply`](super::Endpoint::reply).
    RegisterReceived,
}

/// What belonged to nobody or could not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams that are no SIP message, or a request without a field that every one must have.
    pub malformed: u64,
    /// Responses to nothing of ours, and those with more than one Via.
    pub stray_responses: u64,
    /// Requests within a dialog that is not ours or is over.
    pub stray_requests: u64,
    /// Requests that came again.
    pub copies: u64,
}
