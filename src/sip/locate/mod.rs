//! Where a server is (RFC 3263 §4), as a machine: queries out, answers in, no resolver and no clock.
//!
//! ```text
//! address, or port written ──────────────────────────────► A/AAAA
//! transport known ─────────────► SRV _sip._udp.NAME ─────► A/AAAA of each target, by priority and weight
//! neither ─► NAPTR NAME ───────► SRV of each service ────►   "
//!              └─ none: SRV of each transport in turn; none: A/AAAA of NAME
//! ```
//!
//! What comes out is a list to be tried in order (§4.3). Names that lead back to themselves end, as every machine here
//! asks a bounded number of questions.

mod record;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

pub use record::{Naptr, Srv};

use super::flow::{Hop, Transport};
use crate::units::Random;

/// Questions asked for one server at most: an honest domain needs a handful.
const MAX_QUERIES: usize = 24;
/// Places kept for one server at most.
const MAX_HOPS: usize = 16;

/// The server wanted, as its URI says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Host name or address.
    pub host: String,
    /// Port, where written.
    pub port: Option<u16>,
    /// Transport, where written.
    pub transport: Option<Transport>,
    /// `sips:`.
    pub sips: bool,
}

/// Where a server is, as DNS says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Located {
    /// Its places, in the order to try them.
    pub hops: Vec<Hop>,
    /// How long that holds: the shortest TTL of the records that led there. `None` where DNS was not asked.
    pub ttl: Option<Duration>,
    /// How long the questions took together; `None` where none was needed, as for an address.
    pub took: Option<Duration>,
}

impl From<Vec<Hop>> for Located {
    /// Places that DNS was not asked for.
    fn from(hops: Vec<Hop>) -> Self {
        Self { hops, ttl: None, took: None }
    }
}

/// A question for DNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// Which services a domain has (RFC 3403).
    Naptr(String),
    /// Where a service is (RFC 2782).
    Srv(String),
    /// Addresses of a host, A and AAAA.
    Address(String),
}

/// What DNS says. A name or a record that does not exist is an empty list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To [`Query::Naptr`].
    Naptr(Vec<Naptr>),
    /// To [`Query::Srv`].
    Srv(Vec<Srv>),
    /// To [`Query::Address`].
    Address(Vec<IpAddr>),
    /// Nobody could say: a refusal, a chain of aliases without end.
    Failed(String),
    /// Nobody answered: it is our own name server that is away, or the way to it.
    Unanswered(String),
}

/// Why a server has no place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocateError {
    /// DNS knows no address.
    #[error("{0} has no address")]
    NoAddress(String),
    /// The domain says that it has no such service (RFC 2782, a target of ".").
    #[error("{0} says that it has no SIP service")]
    NoService(String),
    /// Names lead to names without end.
    #[error("{0} leads from name to name without end")]
    Loop(String),
    /// The resolver failed.
    #[error("{0} cannot be resolved: {1}")]
    Failed(String, String),
    /// No name server answers: that says nothing of the server.
    #[error("{0} cannot be resolved, as no name server answers: {1}")]
    Unanswered(String, String),
}

/// What the machine wants next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// An answer to this; give it to [`Locator::handle_answer`].
    Ask(Query),
    /// Nothing: these are the places, in the order to try them.
    Found(Vec<Hop>),
    /// Nothing: there is no place.
    Failed(LocateError),
}

/// A question still to ask, and what its answer is for.
#[derive(Clone, Debug)]
enum Task {
    Naptr(String),
    /// By which transport; `last` resort follows when all of them came to nothing.
    Srv(String, Transport),
    Address(String, u16, Transport),
}

/// Finds the places of one server.
#[derive(Debug)]
pub struct Locator {
    wanted: Wanted,
    tasks: VecDeque<Task>,
    asked: usize,
    visited: Vec<String>,
    found: Vec<Hop>,
    trouble: Option<LocateError>,
    /// The host's own address is still to be tried, where no service is found.
    plain: bool,
    random: Random,
}

impl Locator {
    /// Begins to look for a server. `seed` decides between targets of equal priority.
    pub fn new(wanted: Wanted, seed: u64) -> Self {
        let mut locator = Self {
            tasks: VecDeque::new(),
            asked: 0,
            visited: Vec::new(),
            found: Vec::new(),
            trouble: None,
            plain: false,
            random: Random::new(seed),
            wanted,
        };
        locator.begin();
        locator
    }

    fn begin(&mut self) {
        let default = if self.wanted.sips { Transport::Tls } else { Transport::Udp };
        let transport = self.wanted.transport;
        if let Ok(ip) = self.wanted.host.parse::<IpAddr>() {
            let transport = transport.unwrap_or(default);
            let port = self.wanted.port.unwrap_or_else(|| transport.default_port());
            self.found.push(Hop { transport, address: (ip, port).into() });
        } else if let Some(port) = self.wanted.port.or_else(|| self.local_port(transport.unwrap_or(default))) {
            self.tasks.push_back(Task::Address(self.wanted.host.clone(), port, transport.unwrap_or(default)));
        } else if let Some(transport) = transport {
            self.plain = true;
            self.tasks.push_back(Task::Srv(service(transport, &self.wanted.host), transport));
        } else {
            self.plain = true;
            self.tasks.push_back(Task::Naptr(self.wanted.host.clone()));
        }
    }

    /// A name of one label is a host of this network, as in a hosts file or a container's, and no domain with services.
    fn local_port(&self, transport: Transport) -> Option<u16> {
        (!self.wanted.host.contains('.')).then(|| transport.default_port())
    }

    /// What to do next. Asks the same again until it is answered.
    pub fn poll(&mut self) -> Step {
        // A resolver that fails for services may still know the host: a hosts file has nothing else.
        let hopeful = matches!(self.trouble, None | Some(LocateError::Failed(..) | LocateError::Unanswered(..)));
        if self.tasks.is_empty() && self.found.is_empty() && self.plain && hopeful {
            self.plain = false;
            let default = if self.wanted.sips { Transport::Tls } else { Transport::Udp };
            let transport = self.wanted.transport.unwrap_or(default);
            self.tasks.push_back(Task::Address(self.wanted.host.clone(), transport.default_port(), transport));
        }
        let host = || self.wanted.host.clone();
        match self.tasks.front() {
            Some(_) if self.asked >= MAX_QUERIES && self.found.is_empty() => Step::Failed(LocateError::Loop(host())),
            Some(task) if self.asked < MAX_QUERIES && self.found.len() < MAX_HOPS => Step::Ask(match task {
                Task::Naptr(name) => Query::Naptr(name.clone()),
                Task::Srv(name, _) => Query::Srv(name.clone()),
                Task::Address(name, ..) => Query::Address(name.clone()),
            }),
            _ if !self.found.is_empty() => Step::Found(self.found.clone()),
            _ => Step::Failed(self.trouble.clone().unwrap_or_else(|| LocateError::NoAddress(host()))),
        }
    }

    /// The answer to what was asked.
    pub fn handle_answer(&mut self, answer: Answer) {
        let Some(task) = self.tasks.pop_front() else { return };
        self.asked += 1;
        match (task, answer) {
            (Task::Naptr(name), Answer::Naptr(records)) => self.take_services(&name, records),
            (Task::Srv(name, transport), Answer::Srv(records)) => self.take_targets(&name, transport, records),
            (Task::Address(_, port, transport), Answer::Address(addresses)) => {
                for ip in addresses {
                    let hop = Hop { transport, address: (ip, port).into() };
                    if self.found.len() < MAX_HOPS && !self.found.contains(&hop) {
                        self.found.push(hop);
                    }
                }
            }
            // A domain may have no NAPTR and a resolver that says so by failing: the other ways are still open.
            (Task::Naptr(_), Answer::Failed(_) | Answer::Unanswered(_)) => self.guess_services(),
            (_, Answer::Failed(text)) => {
                let host = self.wanted.host.clone();
                self.trouble.get_or_insert(LocateError::Failed(host, text));
            }
            (_, Answer::Unanswered(text)) => {
                let host = self.wanted.host.clone();
                self.trouble.get_or_insert(LocateError::Unanswered(host, text));
            }
            (task, _) => self.tasks.push_front(task),
        }
    }

    /// §4.1: services in order of preference, as far as we speak them.
    fn take_services(&mut self, name: &str, mut records: Vec<Naptr>) {
        records.sort_by_key(|record| (record.order, record.preference));
        let known = self.tasks.len();
        for record in records {
            let Some(transport) = record.transport().filter(|it| !self.wanted.sips || *it == Transport::Tls) else {
                continue;
            };
            match record.flags.to_ascii_lowercase().as_str() {
                "s" => self.tasks.push_back(Task::Srv(record.replacement, transport)),
                "a" => {
                    let port = transport.default_port();
                    self.tasks.push_back(Task::Address(record.replacement, port, transport));
                }
                // Not terminal: another NAPTR.
                "" => self.follow(record.replacement),
                _ => {}
            }
        }
        if self.tasks.len() == known && self.trouble.is_none() && name == self.wanted.host {
            self.guess_services();
        }
    }

    fn follow(&mut self, name: String) {
        let name = name.to_ascii_lowercase();
        if self.visited.contains(&name) || name == self.wanted.host {
            self.trouble.get_or_insert_with(|| LocateError::Loop(self.wanted.host.clone()));
            return;
        }
        self.visited.push(name.clone());
        self.tasks.push_back(Task::Naptr(name));
    }

    /// No NAPTR: every transport that we speak is asked for.
    fn guess_services(&mut self) {
        let all: &[Transport] =
            if self.wanted.sips { &[Transport::Tls] } else { &[Transport::Udp, Transport::Tcp, Transport::Tls] };
        for transport in all {
            self.tasks.push_back(Task::Srv(service(*transport, &self.wanted.host), *transport));
        }
    }

    fn take_targets(&mut self, name: &str, transport: Transport, records: Vec<Srv>) {
        if matches!(records.as_slice(), [only] if only.target.trim_end_matches('.').is_empty()) {
            self.trouble.get_or_insert_with(|| LocateError::NoService(name.to_owned()));
            return;
        }
        // In front of other services: the targets of one are tried before the next service is.
        for record in record::in_order(records, &mut self.random).into_iter().rev() {
            self.tasks.push_front(Task::Address(record.target, record.port, transport));
        }
    }
}

fn service(transport: Transport, host: &str) -> String {
    let prefix = match transport {
        Transport::Udp => "_sip._udp",
        Transport::Tcp => "_sip._tcp",
        Transport::Tls => "_sips._tcp",
        // RFC 7118 has services of its own, but a WebSocket server is known by its URL: nobody asks.
        Transport::Ws => "_sip._ws",
        Transport::Wss => "_sips._ws",
    };
    format!("{prefix}.{host}")
}

#[cfg(test)]
mod tests;
