//! `ringfleet check --live FILE...`: the servers of the files, reached step by step: DNS, TCP, TLS and until when its certificate
//! holds, the upgrade to WebSocket, OPTIONS, the STUN and TURN servers that a target names and, where a scenario says with
//! which account, REGISTER. Nothing is dialled.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::run::{addresses, security};
use super::session::run_id;
use crate::engine::{Lab, Names, Settings, Told, Workers};
use crate::net::dialer::Dialer;
use crate::net::tls::{self, dtls_identity};
use crate::net::{clock, ice};
use crate::pace::Load;
use crate::reactor::Security;
use crate::record::{Anchor, CallRecord, Class, Origin};
use crate::scenario::compile::Compiled;
use crate::scenario::plan::{Actor, Options, Plan, Register, Registered, Server, Step};
use crate::sip::flow::Hop;
use crate::sip::locate::Located;
use crate::sip::sdp::crypto::{KeySource, Suite};
use crate::webrtc::{self, Credentials};

/// A server that says nothing is given up after this: Timer F (RFC 3261 §17.1.2.2), and a connection's time before it.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long each step of a look at a certificate may take.
const LOOK: Duration = Duration::from_secs(5);
/// A certificate that ends in fewer days is told to be renewed.
const RENEW_DAYS: i64 = 14;
/// Expiry of the binding that is made and removed, seconds.
const EXPIRES: u32 = 60;

/// Climbs to every server of a plan. Whether all of them were reached.
pub(super) fn climb(compiled: &Compiled, out: &mut impl Write) -> io::Result<bool> {
    let lab = compiled.lab.as_ref().map(|plan| Lab::start((**plan).clone(), SocketAddr::from(([127, 0, 0, 1], 0))));
    let lab = match lab.transpose() {
        Ok(lab) => lab,
        Err(error) => {
            writeln!(out, "  {error}")?;
            return Ok(false);
        }
    };
    let (mut well, mut known) = (true, Vec::<&Server>::new());
    for actor in &compiled.plan.actors {
        let server = &actor.target.server;
        if !known.contains(&server) {
            known.push(server);
            writeln!(out, "  {}: {server}", actor.target.name)?;
            well &= climb_to(&compiled.plan, actor, lab.as_ref(), out)?;
        }
    }
    lab.map(Lab::stop);
    Ok(well)
}

/// Climbs to the server of an actor. Whether it was reached.
fn climb_to(plan: &Plan, actor: &Actor, lab: Option<&Lab>, out: &mut impl Write) -> io::Result<bool> {
    let ping = plan_of(plan, actor, Step::Options(Options { expect: None }));
    let found = addresses(&ping, lab, None);
    let servers = match found {
        Ok(servers) => servers,
        Err(nowhere) => return failed(out, "dns", nowhere.class.name(), &nowhere.text()),
    };
    let took: Duration = servers.iter().filter_map(|(_, located)| located.took).sum();
    let places = servers.iter().filter(|(server, _)| !server.turn);
    let places = places.flat_map(|(_, located)| located.hops.iter().map(|hop| hop.address.to_string()));
    passed(out, "dns", took.as_secs_f64() * 1e3, &places.collect::<Vec<_>>().join(", "))?;
    let security = match security(&servers, lab) {
        Ok(security) => security,
        Err(refused) => return failed(out, "tls", Class::TransportTls.name(), refused.text()),
    };
    let settings = |plan| Settings {
        plan: Arc::new(plan),
        servers: servers.clone(),
        names: Names::default(),
        fail_over: false,
        security: security.clone(),
        workers: 1,
        listen: None,
        run_id: run_id(clock::timestamp()),
        anchor: Anchor { instant: clock::now(), timestamp: clock::timestamp() },
        site: None,
        closes: None,
        watched_legs: 0,
        whole_every: 1,
    };
    let Some(record) = attempt(&settings(ping)) else {
        return failed(out, "options", Class::Unknown.name(), "the attempt came to nothing");
    };
    let steps = [("tcp", record.tcp_ms), ("tls", record.tls_ms), ("ws upgrade", record.ws_upgrade_ms)];
    let mut holds = true;
    for (name, took) in steps {
        let Some(took) = took else { continue };
        passed(out, name, took, "")?;
        let place = servers.iter().position(|(server, _)| name == "tls" && *server == actor.target.server);
        if let Some((hops, dialer)) = place.and_then(|at| Some((&servers[at].1.hops, security.servers.get(at)?)))
            && let Some(hop) = hops.iter().find(|hop| hop.transport.is_secure())
        {
            holds = certificate(out, hop, dialer)?;
        }
    }
    let reason = record.reason.as_deref().unwrap_or_default();
    let rung = match record.class {
        Class::Ok | Class::TransportOptions => "options",
        Class::TransportRefused | Class::TransportUnreachable | Class::TransportTcp => "connect",
        Class::TransportTls => "tls",
        Class::TransportWsUpgrade => "ws upgrade",
        _ => "options",
    };
    if record.class != Class::Ok && !is_refusal(&record) {
        return failed(out, rung, record.class.name(), reason);
    }
    let whole = record.started_at.map(|started| record.ended_at.duration_since(started).as_secs_f64() * 1e3);
    let took = whole.unwrap_or_default() - record.connect_ms.unwrap_or_default();
    passed(out, "options", took.max(0.0), &record.code.map_or_else(String::new, |code| format!("{code} {reason}")))?;
    let well = climb_to_relays(actor, (&servers, &security), out)? && holds;
    if actor.pool.is_none() {
        return Ok(well);
    }
    let register = Register { expires: EXPIRES, retry: None, expect: None };
    match attempt(&settings(plan_of(plan, actor, Step::Register(register)))) {
        Some(record) if record.class == Class::Ok => {
            let who = record.account.as_deref().unwrap_or_default();
            passed(out, "register", record.rrd_ms.unwrap_or_default(), who)?;
            Ok(well)
        }
        Some(record) => {
            let reason = record.reason.as_deref().unwrap_or_default();
            let code = record.code.map_or_else(String::new, |code| format!("{code} "));
            failed(out, "register", record.class.name(), &format!("{code}{reason}"))
        }
        None => failed(out, "register", Class::Unknown.name(), "the attempt came to nothing"),
    }
}

/// Whether a server refused OPTIONS: it is there, and many do. A code that we took for the lack of an answer is none.
fn is_refusal(record: &CallRecord) -> bool {
    record.class == Class::TransportOptions && record.code.is_some() && record.code_origin == Some(Origin::Received)
}

/// Asks the STUN and TURN servers of an actor. Whether all of them gave what they are there for.
fn climb_to_relays(
    actor: &Actor,
    (servers, security): (&[(Server, Located)], &Security),
    out: &mut impl Write,
) -> io::Result<bool> {
    let ice = &actor.target.ice;
    if ice.servers.is_empty() {
        return Ok(true);
    }
    let identity = match dtls_identity() {
        Ok(identity) => identity,
        Err(error) => return failed(out, "stun", Class::Unknown.name(), &error.to_string()),
    };
    let mut keys = KeySource::new(clock::secret());
    // Whether a way by UDP, and one by a connection, came to something.
    let (mut udp, mut connection, mut well) = (None, None, true);
    for server in &ice.servers {
        let rung = if server.login.is_some() { "turn" } else { "stun" };
        let found = servers.iter().position(|(known, _)| *known == server.server);
        let Some((index, hop)) = found.and_then(|index| Some((index, *servers[index].1.hops.first()?))) else {
            continue;
        };
        let (credentials, dialer) = (
            Credentials::of(&keys.next(Suite::AesCm128Sha1_80)),
            security.servers.get(index).cloned().unwrap_or_default(),
        );
        let asked = webrtc::Server {
            name: server.uri.clone(),
            address: hop.address,
            reliable: hop.transport.is_reliable(),
            login: server.login.clone().map(|(username, password)| webrtc::Login { username, password }),
        };
        let asked = ice::ask(asked, (hop.transport, &dialer), Arc::clone(&identity), credentials, ice.within);
        let of_way = if hop.transport.is_reliable() { &mut connection } else { &mut udp };
        *of_way = Some(asked.is_ok() || *of_way == Some(true));
        match asked {
            Ok(took) => {
                passed(out, rung, took.as_secs_f64() * 1e3, &server.uri)?;
                well &= certificate(out, &hop, &dialer)?;
            }
            Err(text) => well = failed(out, rung, Class::MediaNoRelay.name(), &text)?,
        }
    }
    if (udp, connection) == (Some(false), Some(true)) {
        let text =
            "no server answers by UDP, and one does by TCP: UDP is blocked here, and media can go by that relay only";
        return failed(out, "udp", Class::MediaFirewallBlocked.name(), text);
    }
    Ok(well)
}

/// Looks until when the certificate of a server of TLS holds. Whether it does now; nothing is told where there is no TLS.
fn certificate(out: &mut impl Write, hop: &Hop, dialer: &Dialer) -> io::Result<bool> {
    let begun = clock::now();
    let Some(end) = dialer.certificate_end(hop, LOOK) else { return Ok(true) };
    let took = clock::now().saturating_duration_since(begun);
    match end.map(|end| Validity::of(end, clock::timestamp())) {
        Ok(Validity::Long(text)) => passed(out, "certificate", took.as_secs_f64() * 1e3, &text).map(|()| true),
        Ok(Validity::Short(text)) => writeln!(out, "    certificate SOON: {text}").map(|()| true),
        Ok(Validity::Over(text)) => failed(out, "certificate", Class::TransportTls.name(), &text),
        Err(error) => failed(out, "certificate", Class::TransportTls.name(), &tls::describe(&error)),
    }
}

/// How long a certificate still holds, in words.
#[derive(Debug, PartialEq, Eq)]
enum Validity {
    Long(String),
    Short(String),
    Over(String),
}

impl Validity {
    fn of(end: Timestamp, now: Timestamp) -> Self {
        let (day, days) = (end.strftime("%Y-%m-%d"), end.duration_since(now).as_hours() / 24);
        match days {
            // One that is over passes TLS where the target says `insecure: true`.
            _ if end <= now => Self::Over(format!("it has expired, on {day}")),
            ..RENEW_DAYS => Self::Short(format!("it expires on {day}, in {days} days; renew it")),
            _ => Self::Long(format!("until {day}")),
        }
    }
}

/// One attempt of one step, by the server of an actor.
fn plan_of(plan: &Plan, actor: &Actor, step: Step) -> Plan {
    let actor = Actor { steps: vec![step], registered: Registered::BySteps, when: None, ..actor.clone() };
    Plan {
        actors: vec![actor],
        load: Load::calls(1),
        kinds: None,
        warm_up: Duration::ZERO,
        abort_when: Vec::new(),
        test_call: None,
        expect: Vec::new(),
        filled: Vec::new(),
        ..plan.clone()
    }
}

fn attempt(settings: &Settings) -> Option<CallRecord> {
    let workers = Workers::prepare(settings).and_then(|prepared| prepared.start()).ok()?;
    let until = clock::now() + PATIENCE;
    let mut record = None;
    loop {
        let left = until.saturating_duration_since(clock::now()).max(Duration::from_millis(1));
        match workers.told.recv_timeout(left) {
            Ok(Told::Finished(finished, _)) => record = Some(finished.record),
            Ok(Told::Ended { .. }) | Err(crossbeam_channel::RecvTimeoutError::Disconnected) => break,
            Ok(_) if clock::now() < until => {}
            Ok(_) | Err(crossbeam_channel::RecvTimeoutError::Timeout) => {
                workers.stop();
                break;
            }
        }
    }
    workers.join();
    record
}

pub(super) fn passed(out: &mut impl Write, rung: &str, took_ms: f64, more: &str) -> io::Result<()> {
    writeln!(out, "{}", format!("    {rung:<11} ok {took_ms:>9.1} ms  {more}").trim_end())
}

pub(super) fn failed(out: &mut impl Write, rung: &str, class: &str, reason: &str) -> io::Result<bool> {
    writeln!(out, "    {rung:<11} FAILED: {class}: {reason}")?;
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_never_answers_options_is_not_reached() {
        let line = include_str!("../../tests/data/influx/record.json");
        let record: CallRecord = serde_json::from_str(line).expect("valid");
        let of = |class, code, origin| is_refusal(&CallRecord { class, code, code_origin: origin, ..record.clone() });
        let options = Class::TransportOptions;
        assert!(of(options, Some(405), Some(Origin::Received)));
        assert!(!of(options, Some(408), Some(Origin::Local)), "our own time-out");
        assert!(!of(options, None, None));
        assert!(!of(Class::TransportRefused, Some(503), Some(Origin::Local)));
    }

    #[test]
    fn a_certificate_is_told_to_be_renewed_two_weeks_before_its_end() {
        let of = |end: &str| {
            let now = "2026-01-01T12:00:00Z".parse().expect("a time");
            Validity::of(end.parse().expect("a time"), now)
        };
        assert_eq!(of("2026-01-15T12:00:00Z"), Validity::Long("until 2026-01-15".into()));
        let short = |text: &str| Validity::Short(text.into());
        assert_eq!(of("2026-01-15T11:59:59Z"), short("it expires on 2026-01-15, in 13 days; renew it"));
        assert_eq!(of("2026-01-01T12:00:01Z"), short("it expires on 2026-01-01, in 0 days; renew it"));
        assert_eq!(of("2026-01-01T12:00:00Z"), Validity::Over("it has expired, on 2026-01-01".into()));
    }
}
