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
use crate::units::Random;

/// What the bindings of a registrar have in common: a hundred thousand of them share one.
#[derive(Clone, Debug, Default)]
pub struct Registrar {
    /// `sip` or `sips`: of the Request-URI and of addresses of record.
    pub scheme: &'static str,
    /// Its domain, which is that of addresses of record too.
    pub domain: String,
    /// Further header fields.
    pub headers: Vec<(String, String)>,
    /// Bytes of the largest REGISTER that is sent as a datagram; a larger one waits for another flow
    /// ([`Event::TooLarge`]). `None` sends any.
    pub largest_datagram: Option<usize>,
    /// A GRUU is asked for (RFC 5627); needs an instance.
    pub gruu: bool,
    /// Bindings are of a flow (RFC 5626): the next one of the same instance takes its place. Needs an instance.
    pub outbound: bool,
}

/// A binding to make.
#[derive(Clone, Debug)]
pub struct Binding {
    /// Where REGISTER goes.
    pub flow: Flow,
    /// The application's number for it; 0 is nobody's.
    pub owner: u64,
    /// Whom it is made at.
    pub registrar: Arc<Registrar>,
    /// User part of the address of record and of the Contact.
    pub user: Box<str>,
    /// Expiry asked for, seconds.
    pub expires: u32,
    /// What to answer a challenge with.
    pub credentials: Option<Arc<Login>>,
    /// Whether it is refreshed before it expires.
    pub refresh: bool,
    /// Value of `+sip.instance`, as `urn:uuid:…`.
    pub instance: Option<Box<str>>,
}

/// A binding and the request that makes, keeps or removes it.
#[derive(Debug)]
pub struct Registration {
    binding: Binding,
    authenticator: Authenticator,
    cseq: u32,
    next_number: u32,
    state: State,
    /// The request under way.
    exchange: Option<Box<Exchange>>,
    /// When it was first sent, or the last one was.
    asked: Instant,
    refresh_at: Option<Instant>,
    interval_raised: bool,
    /// One that was too large for a datagram goes as it is now.
    held_back: bool,
    /// The address that the REGISTER under way has in its Contact.
    contact: SocketAddr,
    /// The address of the binding that stands.
    bound: Option<SocketAddr>,
    /// The binding was made anew because our public address is another one; once, as a NAT may give one per request.
    corrected: bool,
    /// What most registrars do not give.
    given: Option<Box<Given>>,
    /// The REGISTER was not served where it went, and waits for another place.
    unserved: bool,
}

/// What a registrar gives an account besides its binding.
#[derive(Debug)]
struct Given {
    /// Route that requests of the account are to take (RFC 3608).
    service_route: Vec<String>,
    gruu: Option<String>,
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
    pub fn start(context: &mut Context<'_>, mut binding: Binding) -> Option<Self> {
        let contact = context.link(binding.flow)?.contact;
        let mut registration = Self {
            authenticator: Authenticator::new(binding.credentials.take()),
            binding,
            cseq: 0,
            next_number: 1,
            state: State::Registering,
            exchange: None,
            asked: context.now,
            refresh_at: None,
            interval_raised: false,
            held_back: false,
            contact,
            bound: None,
            corrected: false,
            given: None,
            unserved: false,
        };
        registration.send(context);
        Some(registration)
    }

    /// The application's number for it.
    pub fn owner(&self) -> u64 {
        self.binding.owner
    }

    /// Whether it is that of `user@domain`.
    pub fn is_of(&self, address: &str) -> bool {
        address.rsplit_once('@') == Some((&self.binding.user, &self.binding.registrar.domain))
    }

    /// Route that requests of the account are to take (RFC 3608), in order.
    pub fn service_route(&self) -> &[String] {
        self.given.as_ref().map_or(&[], |given| &given.service_route)
    }

    /// The public GRUU that the registrar gave our Contact.
    pub fn gruu(&self) -> Option<&str> {
        self.given.as_ref()?.gruu.as_deref()
    }

    /// Link of its flow.
    pub fn flow(&self) -> Flow {
        self.binding.flow
    }

    /// Whether the last exchange answered a challenge.
    pub fn was_challenged(&self) -> bool {
        self.exchange.as_ref().is_some_and(|exchange| exchange.was_challenged())
    }

    /// Whether nothing more can happen.
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// The next moment at which [`handle_timeout`](Self::handle_timeout) has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let exchange = match self.state {
            State::Registering | State::Refreshing | State::Querying | State::Removing => {
                self.exchange.as_ref().and_then(|exchange| exchange.deadline())
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
        let largest = self.largest_datagram();
        let awaited = |exchange: &&mut Box<Exchange>| exchange.number() == number && !self.unserved;
        let Some(exchange) = self.exchange.as_mut().filter(awaited) else { return };
        let auth = (&mut self.authenticator, &mut self.next_number);
        let heard = exchange.handle_response(context, flow, response, auth, largest);
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
            (self.refresh_at, self.state, self.asked) = (None, State::Refreshing, context.now);
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
            self.asked = context.now;
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

    /// Makes the binding again now, over this flow, as a device does that has come back.
    pub fn rebind(&mut self, context: &mut Context<'_>, flow: Flow) {
        if matches!(self.state, State::Over | State::Removing) {
            return;
        }
        (self.binding.flow, self.state, self.asked) = (flow, State::Refreshing, context.now);
        (self.unserved, self.refresh_at) = (false, None);
        self.send(context);
    }

    /// Forgets the binding without a word to the registrar, as a device that is gone.
    pub fn abandon(&mut self) {
        (self.state, self.exchange, self.refresh_at) = (State::Over, None, None);
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
        let link = context.link(self.binding.flow);
        if self.state == State::Querying {
            let bound = own_contact(response, (link, self.bound.unwrap_or(self.contact)), &self.binding).is_some();
            self.rest();
            return context.tell(Event::Queried { registration: context.handle, bound: Some(bound) });
        }
        self.bound = Some(self.contact);
        let moved = link.is_some_and(|link| link.contact != self.contact && link.invalid.is_none());
        if moved && !self.corrected {
            self.corrected = true;
            return self.send(context);
        }
        self.corrected = false;
        let refreshed = self.state == State::Refreshing;
        let mine = own_contact(response, (link, self.contact), &self.binding);
        let expires = granted(response, mine);
        let gruu = mine.and_then(|params| header::param(params, "pub-gruu")).map(header::text);
        let route = response.headers(Name::ServiceRoute).flat_map(header::split_list);
        let service_route: Vec<String> = route.map(header::text).collect();
        let gives = gruu.is_some() || !service_route.is_empty();
        self.given = gives.then(|| Box::new(Given { service_route, gruu }));
        self.rest();
        if self.binding.refresh {
            let after = refresh_after(expires.unwrap_or(self.binding.expires), refreshed, context.random);
            self.refresh_at = Some(context.now + after);
        }
        context.tell(Event::Registered { registration: context.handle, expires, refreshed, asked: self.asked });
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
        let heard = self.exchange.as_ref().is_some_and(|exchange| exchange.was_heard());
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
            self.rest();
            let bound = (cause == Cause::Timeout).then_some(false);
            return context.tell(Event::Queried { registration, bound });
        }
        let event = match self.state {
            State::Removing => Event::Unregistered { registration, code, cause },
            state => {
                let (refresh, asked) = (state != State::Registering, self.asked);
                Event::RegistrationFailed { registration, code, cause, refresh, asked }
            }
        };
        self.state = State::Over;
        self.refresh_at = None;
        context.tell(event);
    }

    fn send(&mut self, context: &mut Context<'_>) {
        let Some(link) = context.link(self.binding.flow) else { return self.fail(context, 503, Cause::Transport) };
        self.cseq += 1;
        let number = self.next_number;
        self.next_number += 1;
        let mut bytes = Vec::with_capacity(600);
        let registrar = Arc::clone(&self.binding.registrar);
        let Registrar { scheme, domain, headers, .. } = &*registrar;
        let aor = format!("{scheme}:{}@{domain}", self.binding.user);
        let mut writer = Writer::request(&mut bytes, b"REGISTER", format!("{scheme}:{domain}").as_bytes());
        writer.via(link, context.salt.branch(context.handle, number));
        writer.field("Max-Forwards", "70");
        writer.field("From", format!("<{aor}>;tag={}", context.salt.tag(context.handle)));
        writer.field("To", format!("<{aor}>")).field("Call-ID", context.salt.call_id(context.handle));
        writer.cseq(self.cseq, b"REGISTER");
        if self.state != State::Querying {
            self.write_contacts(&mut writer, link);
        }
        writer.field("User-Agent", context.agent);
        for (name, value) in headers {
            writer.field(name, value);
        }
        writer.body("", b"");
        let flow = (self.binding.flow, self.binding.owner);
        let bytes = exchange::with_known_credentials(context, bytes, &mut self.authenticator);
        if exchange::is_too_large(context, flow.0, bytes.len(), self.largest_datagram()) {
            return self.hold_back(context);
        }
        self.exchange = Some(Box::new(Exchange::start(context, flow, (number, self.cseq), bytes)));
    }

    /// The REGISTER is too large for a datagram: it waits, once, for another flow. One that removes or asks is not looked
    /// after by anybody, and goes as it is.
    fn hold_back(&mut self, context: &mut Context<'_>) {
        self.held_back = true;
        if matches!(self.state, State::Registering | State::Refreshing) {
            self.unserved = true;
            context.tell(Event::TooLarge { entry: context.handle });
        } else {
            self.send(context);
        }
    }

    fn largest_datagram(&self) -> Option<usize> {
        self.binding.registrar.largest_datagram.filter(|_| !self.held_back)
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
        let Registrar { gruu, outbound, .. } = *binding.registrar;
        // A name stays the same from connection to connection.
        let replaced = self.bound.filter(|bound| *bound != self.contact && !outbound && link.invalid.is_none());
        if let Some(bound) = replaced {
            // First of the two, so that a registrar with a limit has room for the other.
            writer.field("Contact", format!("<{}>;expires=0", at(bound)));
        }
        let instance = binding.instance.as_ref().map(|urn| format!(";+sip.instance=\"<{urn}>\"")).unwrap_or_default();
        // RFC 5626 §4.2.1: one flow for each instance, so its number is always the same.
        let flow = if outbound { ";reg-id=1" } else { "" };
        writer.field("Contact", format!("<{}>{instance}{flow};expires={expires}", at(self.contact)));
        let asked = [("path", true), ("gruu", gruu), ("outbound", outbound)];
        let tags: Vec<&str> = asked.into_iter().filter_map(|(tag, asked)| asked.then_some(tag)).collect();
        writer.field("Supported", tags.join(", "));
        writer.field_fmt("Expires", format_args!("{expires}"));
    }
}

/// The parameters of our Contact in a 2xx (§10.2.4).
fn own_contact<'m>(
    response: &Message<'m>,
    (link, ours): (Option<Link>, SocketAddr),
    binding: &Binding,
) -> Option<&'m [u8]> {
    response.headers(Name::Contact).flat_map(header::split_list).find_map(|value| {
        let contact = NameAddr::parse(value);
        let uri = Uri::parse(contact.uri)?;
        let named = link.and_then(|link| link.is_named(uri.host));
        let same = named.unwrap_or_else(|| uri.port.unwrap_or(5060) == ours.port());
        (same && uri.user == binding.user.as_bytes()).then_some(contact.params)
    })
}

/// The expiry that the registrar granted our Contact: its `expires` parameter, else the Expires field (§10.2.4).
fn granted(response: &Message<'_>, mine: Option<&[u8]>) -> Option<u32> {
    let own = mine.and_then(|params| header::param(params, "expires")).and_then(header::number);
    own.or_else(|| response.header(Name::Expires).and_then(header::number))
}

/// When to refresh a binding that is granted for so many seconds: by chance, so that bindings which began together (a
/// power cut, the begin of a load) are not refreshed together ever after. The first time any moment between a ninth of the
/// latest and the latest is as likely as another, which spreads them over the whole expiry at once; from then on the last
/// ninth keeps them apart. The latest leaves a tenth of the time, and at least five seconds where there is room.
fn refresh_after(expires: u32, refreshed: bool, random: &mut Random) -> Duration {
    let expires = f64::from(expires);
    let latest = (expires * 0.9).min(expires - 5.0).max(expires * 0.5);
    let earliest = latest * if refreshed { 8.0 / 9.0 } else { 1.0 / 9.0 };
    Duration::from_secs_f64(earliest + (latest - earliest) * random.unit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refresh_falls_between_a_tenth_and_nine_tenths_of_the_expiry_and_later_ones_in_its_last_ninth() {
        let mut random = Random::new(2);
        let seconds = |expires, refreshed, random: &mut Random| {
            let drawn: Vec<f64> =
                (0..10_000).map(|_| refresh_after(expires, refreshed, random).as_secs_f64()).collect();
            let round = |value: f64| value.round() as u64;
            let (least, most) = drawn.iter().fold((f64::MAX, 0f64), |(a, b), at| (a.min(*at), b.max(*at)));
            let mean = drawn.iter().sum::<f64>() / 10_000.0;
            (round(least), round(mean / 30.0) * 30, round(most))
        };
        assert_eq!(seconds(3600, false, &mut random), (360, 1800, 3240));
        assert_eq!(seconds(3600, true, &mut random), (2880, 3060, 3240));
        // Five seconds are left where there is room, else half of the time.
        assert_eq!(seconds(20, true, &mut random), (13, 0, 15));
        assert_eq!(seconds(4, true, &mut random), (2, 0, 2));
    }

    #[test]
    fn refreshes_of_bindings_that_began_together_are_spread_evenly_from_the_first_one_on() {
        let mut random = Random::new(1);
        let mut minutes = vec![0u32; 50];
        for _ in 0..10_000 {
            let mut at = Duration::ZERO;
            let mut refreshed = false;
            while at < Duration::from_secs(3000) {
                at += refresh_after(600, refreshed, &mut random);
                refreshed = true;
                if let Some(count) = minutes.get_mut(at.as_secs() as usize / 60) {
                    *count += 1;
                }
            }
        }
        // Ten thousand every 510 s are 1,176 a minute; a herd would be 10,000 in one and none in the next eight.
        assert_eq!(minutes[0], 0, "none before a tenth of the time");
        assert!(minutes[10..].iter().all(|count| (750..1350).contains(count)), "{minutes:?}");
    }
}
