//! One registration: REGISTER, refresh before expiry, and removal (RFC 3261 §10.2).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::authenticator::Authenticator;
use super::endpoint::Event;
use super::exchange::{self, Cause, Exchange, Heard, Login};
use super::flow::{Flow, Link};
use super::header::{self, Name};
use super::message::Message;
use super::outbox::Context;
use super::transaction::soonest;
use super::uri::{NameAddr, Uri};
use super::write::Writer;

/// A binding to make.
#[derive(Clone, Debug)]
pub struct Binding {
    /// Where REGISTER goes.
    pub flow: Flow,
    /// The application's number for it; not 0.
    pub owner: u64,
    /// Request-URI: the registrar's domain, as `sip:pbx.example`.
    pub registrar: String,
    /// Address of record, as `sip:1001@pbx.example`.
    pub aor: String,
    /// User part of the Contact.
    pub user: String,
    /// Expiry asked for, seconds.
    pub expires: u32,
    /// Further header fields.
    pub headers: Vec<(String, String)>,
    /// Pre-loaded Route fields.
    pub route: Vec<String>,
    /// Bytes of the largest REGISTER that is sent as a datagram; a larger one waits for another flow
    /// ([`Event::TooLarge`]). `None` sends any.
    pub largest_datagram: Option<usize>,
    /// What to answer a challenge with.
    pub credentials: Option<Arc<Login>>,
    /// Whether it is refreshed before it expires.
    pub refresh: bool,
    /// Value of `+sip.instance`, as `urn:uuid:…`.
    pub instance: Option<String>,
    /// A GRUU is asked for (RFC 5627); needs an instance.
    pub gruu: bool,
    /// The binding is of a flow (RFC 5626): the next one of the same instance takes its place. Needs an instance.
    pub outbound: bool,
}

/// A binding and the request that makes, keeps or removes it.
#[derive(Debug)]
pub struct Registration {
    binding: Binding,
    authenticator: Authenticator,
    call_id: String,
    cseq: u32,
    state: State,
    exchange: Option<Exchange>,
    refresh_at: Option<Instant>,
    next_number: u32,
    interval_raised: bool,
    /// The address that the REGISTER under way has in its Contact.
    contact: SocketAddr,
    /// The address of the binding that stands.
    bound: Option<SocketAddr>,
    /// The binding was made anew because our public address is another one; once, as a NAT may give one per request.
    corrected: bool,
    /// Route that requests of the account are to take (RFC 3608).
    service_route: Vec<String>,
    gruu: Option<String>,
    /// The REGISTER was not served where it went, and waits for another place.
    unserved: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Registering,
    Registered,
    Refreshing,
    /// Asks which bindings stand (§10.2.3).
    Querying,
    Removing,
    Over,
}

impl Registration {
    /// Sends the first REGISTER. `None` where the flow's link is closed.
    pub fn start(context: &mut Context<'_>, binding: Binding) -> Option<Self> {
        let contact = context.link(binding.flow)?.contact;
        let call_id = format!("{:016x}{:08x}@ringfleet", context.random.next_u64(), context.random.next_u32());
        let mut registration = Self {
            authenticator: Authenticator::new(binding.credentials.clone()),
            binding,
            call_id,
            cseq: 0,
            state: State::Registering,
            exchange: None,
            refresh_at: None,
            next_number: 1,
            interval_raised: false,
            contact,
            bound: None,
            corrected: false,
            service_route: Vec::new(),
            gruu: None,
            unserved: false,
        };
        registration.send(context);
        Some(registration)
    }

    /// The application's number for it.
    pub fn owner(&self) -> u64 {
        self.binding.owner
    }

    /// Call-ID.
    pub fn call_id(&self) -> &str {
        &self.call_id
    }

    /// Address of record.
    pub fn aor(&self) -> &str {
        &self.binding.aor
    }

    /// Route that requests of the account are to take (RFC 3608), in order.
    pub fn service_route(&self) -> &[String] {
        &self.service_route
    }

    /// The public GRUU that the registrar gave our Contact.
    pub fn gruu(&self) -> Option<&str> {
        self.gruu.as_deref()
    }

    /// Link of its flow.
    pub fn flow(&self) -> Flow {
        self.binding.flow
    }

    /// Whether the last exchange answered a challenge.
    pub fn was_challenged(&self) -> bool {
        self.exchange.as_ref().is_some_and(Exchange::was_challenged)
    }

    /// Whether nothing more can happen.
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// The next moment at which [`handle_timeout`](Self::handle_timeout) has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let exchange = match self.state {
            State::Registering | State::Refreshing | State::Querying | State::Removing => {
                self.exchange.as_ref().and_then(Exchange::deadline)
            }
            State::Registered | State::Over => None,
        };
        let exchange = exchange.filter(|_| !self.unserved);
        soonest(exchange, self.refresh_at.filter(|_| self.state != State::Querying))
    }

    /// Asks the registrar whether the binding stands (§10.2.3). False where it does not anyway, or another request is
    /// under way.
    pub fn query(&mut self, context: &mut Context<'_>) -> bool {
        if self.state != State::Registered {
            return false;
        }
        self.state = State::Querying;
        self.send(context);
        true
    }

    /// Removes the binding.
    pub fn remove(&mut self, context: &mut Context<'_>) {
        if matches!(self.state, State::Registered | State::Refreshing | State::Querying) {
            self.state = State::Removing;
            (self.refresh_at, self.unserved) = (None, false);
            self.send(context);
        }
    }

    /// A response to the transaction `number`.
    pub fn handle_response(&mut self, context: &mut Context<'_>, response: &Message<'_>, number: u32) {
        let flow = (self.binding.flow, self.binding.owner);
        let awaited = |exchange: &&mut Exchange| exchange.number() == number && !self.unserved;
        let Some(exchange) = self.exchange.as_mut().filter(awaited) else { return };
        let auth = (&mut self.authenticator, &mut self.next_number);
        let heard = exchange.handle_response(context, flow, response, auth, self.binding.largest_datagram);
        self.cseq = self.cseq.max(exchange.cseq());
        if exchange.number() != number
            && let Some(link) = context.link(self.binding.flow)
            && self.state != State::Removing
        {
            // The answer to the challenge has the address that the challenge told.
            self.contact = link.contact;
        }
        match heard {
            Heard::Nothing => {}
            Heard::TooLarge => self.hold_back(context),
            Heard::Final(423) if !self.interval_raised => self.raise_interval(context, response),
            Heard::Final(code @ 200..300) => self.handle_success(context, response, code),
            Heard::Final(code) => self.fail(context, code, Cause::Response),
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, context: &mut Context<'_>) {
        if self.state != State::Querying && self.refresh_at.is_some_and(|at| at <= context.now) {
            self.refresh_at = None;
            self.state = State::Refreshing;
            return self.send(context);
        }
        let flow = (self.binding.flow, self.binding.owner);
        let waiting = !self.unserved && !matches!(self.state, State::Registered | State::Over);
        if waiting && self.exchange.as_mut().is_some_and(|exchange| exchange.handle_timeout(context, flow)) {
            self.fail(context, 408, Cause::Timeout);
        }
    }

    /// The link of its flow is gone.
    pub fn handle_link_lost(&mut self, context: &mut Context<'_>) {
        if self.state == State::Registered {
            // The binding leads nowhere: it is made again at another place, where there is one.
            (self.state, self.refresh_at, self.exchange) = (State::Refreshing, None, None);
        }
        if self.state != State::Over {
            self.fail(context, 503, Cause::Transport);
        }
    }

    /// Sends the REGISTER that was not served over another flow.
    pub fn move_to(&mut self, context: &mut Context<'_>, flow: Flow) {
        if std::mem::take(&mut self.unserved) {
            self.binding.flow = flow;
            self.send(context);
        }
    }

    /// There is no other place for the REGISTER that was not served.
    pub fn give_up(&mut self, context: &mut Context<'_>, code: u16, cause: Cause) {
        if std::mem::take(&mut self.unserved) {
            self.end(context, code, cause);
        }
    }

    /// Nobody is at the other end: a request under way will get no response.
    pub fn handle_unreachable(&mut self, context: &mut Context<'_>) {
        if !matches!(self.state, State::Registered | State::Over) {
            self.fail(context, 503, Cause::Transport);
        }
    }

    fn handle_success(&mut self, context: &mut Context<'_>, response: &Message<'_>, code: u16) {
        if self.state == State::Removing {
            self.state = State::Over;
            return context.tell(Event::Unregistered { registration: context.handle, code, cause: Cause::Response });
        }
        if self.state == State::Querying {
            let bound = own_contact(response, self.bound.unwrap_or(self.contact), &self.binding).is_some();
            self.rest();
            return context.tell(Event::Queried { registration: context.handle, bound });
        }
        self.bound = Some(self.contact);
        let moved = context.link(self.binding.flow).is_some_and(|link| link.contact != self.contact);
        if moved && !self.corrected {
            self.corrected = true;
            return self.send(context);
        }
        self.corrected = false;
        let refreshed = self.state == State::Refreshing;
        let mine = own_contact(response, self.contact, &self.binding);
        let expires = granted(response, mine);
        self.gruu = mine.and_then(|params| header::param(params, "pub-gruu")).map(header::text);
        let route = response.headers(Name::ServiceRoute).flat_map(header::split_list);
        self.service_route = route.map(header::text).collect();
        self.rest();
        if self.binding.refresh {
            self.refresh_at = Some(context.now + refresh_after(expires.unwrap_or(self.binding.expires)));
        }
        context.tell(Event::Registered { registration: context.handle, expires, refreshed });
    }

    /// The binding stands. Nothing is kept of the request that made it: it is a kilobyte, and most registrations only
    /// stand.
    fn rest(&mut self) {
        (self.state, self.exchange) = (State::Registered, None);
    }

    fn raise_interval(&mut self, context: &mut Context<'_>, response: &Message<'_>) {
        self.interval_raised = true;
        match response.header(Name::MinExpires).and_then(header::number) {
            Some(least) if least > self.binding.expires => {
                self.binding.expires = least;
                self.send(context);
            }
            _ => self.fail(context, 423, Cause::Response),
        }
    }

    fn fail(&mut self, context: &mut Context<'_>, code: u16, cause: Cause) {
        if self.unserved {
            return;
        }
        let heard = self.exchange.as_ref().is_some_and(Exchange::was_heard);
        let movable = context.fails_over && matches!(self.state, State::Registering | State::Refreshing);
        if movable && cause.is_unserved(code, heard) {
            self.unserved = true;
            return context.tell(Event::Unserved { entry: context.handle, code, cause });
        }
        self.end(context, code, cause);
    }

    fn end(&mut self, context: &mut Context<'_>, code: u16, cause: Cause) {
        let registration = context.handle;
        if self.state == State::Querying && cause != Cause::Transport {
            self.state = State::Registered;
            return context.tell(Event::Queried { registration, bound: false });
        }
        let event = match self.state {
            State::Removing => Event::Unregistered { registration, code, cause },
            state => Event::RegistrationFailed { registration, code, cause, refresh: state != State::Registering },
        };
        self.state = State::Over;
        self.refresh_at = None;
        context.tell(event);
    }

    fn send(&mut self, context: &mut Context<'_>) {
        let binding = &self.binding;
        let Some(link) = context.link(binding.flow) else { return self.fail(context, 503, Cause::Transport) };
        self.cseq += 1;
        let number = self.next_number;
        self.next_number += 1;
        let mut bytes = Vec::with_capacity(600);
        let mut writer = Writer::request(&mut bytes, b"REGISTER", binding.registrar.as_bytes());
        writer.via(link.transport.name(), link.advertised, context.salt.branch(context.handle, number));
        writer.field("Max-Forwards", "70");
        for route in &binding.route {
            writer.field("Route", route);
        }
        writer.field("From", format!("<{}>;tag={}", binding.aor, context.salt.tag(context.handle)));
        writer.field("To", format!("<{}>", binding.aor)).field("Call-ID", &self.call_id);
        writer.field_fmt("CSeq", format_args!("{} REGISTER", self.cseq));
        if self.state != State::Querying {
            self.write_contacts(&mut writer, link);
        }
        writer.field("User-Agent", context.agent);
        for (name, value) in &self.binding.headers {
            writer.field(name, value);
        }
        writer.body("", b"");
        let flow = (self.binding.flow, self.binding.owner);
        let bytes = exchange::with_known_credentials(context, bytes, &mut self.authenticator);
        if exchange::is_too_large(context, flow.0, bytes.len(), self.binding.largest_datagram) {
            return self.hold_back(context);
        }
        self.exchange = Some(Exchange::start(context, flow, (number, self.cseq), bytes));
    }

    /// The REGISTER is too large for a datagram: it waits, once, for another flow. One that removes or asks is not looked
    /// after by anybody, and goes as it is.
    fn hold_back(&mut self, context: &mut Context<'_>) {
        self.binding.largest_datagram = None;
        if matches!(self.state, State::Registering | State::Refreshing) {
            self.unserved = true;
            context.tell(Event::TooLarge { entry: context.handle });
        } else {
            self.send(context);
        }
    }

    /// The binding that is asked for, and the end of one with another address.
    fn write_contacts(&mut self, writer: &mut Writer<'_>, link: Link) {
        let binding = &self.binding;
        let expires = if self.state == State::Removing { 0 } else { binding.expires };
        let at = |contact: SocketAddr| Link { contact, ..link }.contact_uri(&binding.user);
        self.contact = match (self.state, self.bound) {
            (State::Removing, Some(bound)) => bound,
            _ => link.contact,
        };
        let replaced = self.bound.filter(|bound| *bound != self.contact && !binding.outbound);
        if let Some(bound) = replaced {
            // First of the two, so that a registrar with a limit has room for the other.
            writer.field("Contact", format!("<{}>;expires=0", at(bound)));
        }
        let instance = binding.instance.as_ref().map(|urn| format!(";+sip.instance=\"<{urn}>\"")).unwrap_or_default();
        // RFC 5626 §4.2.1: one flow for each instance, so its number is always the same.
        let flow = if binding.outbound { ";reg-id=1" } else { "" };
        writer.field("Contact", format!("<{}>{instance}{flow};expires={expires}", at(self.contact)));
        let asked = [("path", true), ("gruu", binding.gruu), ("outbound", binding.outbound)];
        let tags: Vec<&str> = asked.into_iter().filter_map(|(tag, asked)| asked.then_some(tag)).collect();
        writer.field("Supported", tags.join(", "));
        writer.field_fmt("Expires", format_args!("{expires}"));
    }
}

/// The parameters of our Contact in a 2xx (§10.2.4).
fn own_contact<'m>(response: &Message<'m>, ours: SocketAddr, binding: &Binding) -> Option<&'m [u8]> {
    response.headers(Name::Contact).flat_map(header::split_list).find_map(|value| {
        let contact = NameAddr::parse(value);
        let uri = Uri::parse(contact.uri)?;
        let same = uri.user == binding.user.as_bytes() && uri.port.unwrap_or(5060) == ours.port();
        same.then_some(contact.params)
    })
}

/// The expiry that the registrar granted our Contact: its `expires` parameter, else the Expires field (§10.2.4).
fn granted(response: &Message<'_>, mine: Option<&[u8]>) -> Option<u32> {
    let own = mine.and_then(|params| header::param(params, "expires")).and_then(header::number);
    own.or_else(|| response.header(Name::Expires).and_then(header::number))
}

/// When to refresh: with a tenth of the time left, but at least five seconds before the end where there is room.
fn refresh_after(expires: u32) -> Duration {
    let expires = f64::from(expires);
    Duration::from_secs_f64((expires * 0.9).min(expires - 5.0).max(expires * 0.5))
}
