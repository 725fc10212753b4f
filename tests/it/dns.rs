//! RFC 3263 with real packets: a small name server on loopback, and a run that finds its lab through it.

#![expect(clippy::disallowed_methods, reason = "the name server of these tests is not the product's")]

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use ringfleet::engine::{LookedUp, Names, Renewal};
use ringfleet::net::resolve::locate;
use ringfleet::record::Class;
use ringfleet::scenario::plan::{Server, Transport};
use ringfleet::sip::flow::Hop;
use ringfleet::sip::locate::{LocateError, Located, Wanted};

use crate::cli::{Desk, code, records, text};

const A: u16 = 1;
const CNAME: u16 = 5;
const SRV: u16 = 33;
const NAPTR: u16 = 35;

type Zone = Vec<(&'static str, u16, Vec<u8>)>;

fn name(text: &str) -> Vec<u8> {
    let labels = text.split('.').flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat());
    labels.chain([0]).collect()
}

fn srv(priority: u16, port: u16, target: &str) -> Vec<u8> {
    [&priority.to_be_bytes()[..], &[0, 0], &port.to_be_bytes(), &name(target)].concat()
}

fn naptr(order: u16, flags: &str, service: &str, replacement: &str) -> Vec<u8> {
    let text = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
    [&order.to_be_bytes()[..], &[0, 0], &text(flags), &text(service), &[0], &name(replacement)].concat()
}

/// Answers from a zone until the test ends; what is not in it has no records.
fn serve(zone: Zone) -> SocketAddr {
    serve_changing(60, move || Some(zone.clone()))
}

/// Answers from the zone of the moment; without one the server says that it failed.
fn serve_changing(ttl: u32, zone: impl Fn() -> Option<Zone> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("bound");
    std::thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut query) {
            let zone = zone();
            let end = 12 + query[12..length].iter().position(|byte| *byte == 0).expect("a name") + 1;
            let asked = query[12..end].to_ascii_lowercase();
            let kind = u16::from_be_bytes([query[end], query[end + 1]]);
            let found: Vec<_> = zone
                .iter()
                .flatten()
                .filter(|(owner, it, _)| name(owner) == asked && (*it == kind || *it == CNAME))
                .collect();
            let mut answer = query[..2].to_vec();
            answer.extend([0x81, if zone.is_some() { 0x80 } else { 0x82 }, 0, 1, 0, found.len() as u8, 0, 0, 0, 0]);
            answer.extend(&query[12..end + 4]);
            for (_, it, data) in found {
                answer.extend([0xc0, 12]);
                answer.extend(it.to_be_bytes());
                answer.extend([0, 1]);
                answer.extend(ttl.to_be_bytes());
                answer.extend((data.len() as u16).to_be_bytes());
                answer.extend(data);
            }
            let _ = socket.send_to(&answer, from);
        }
    });
    address
}

fn wanted(host: &str) -> Wanted {
    Wanted { host: host.to_owned(), port: None, transport: None, sips: false }
}

#[test]
fn a_domain_is_followed_from_its_services_to_its_addresses() {
    let server = serve(vec![
        ("pbx.test", NAPTR, naptr(2, "s", "SIP+D2U", "_sip._udp.pbx.test")),
        ("pbx.test", NAPTR, naptr(1, "s", "SIP+D2T", "_sip._tcp.pbx.test")),
        ("_sip._tcp.pbx.test", SRV, srv(2, 5062, "b.pbx.test")),
        ("_sip._tcp.pbx.test", SRV, srv(1, 5061, "a.pbx.test")),
        ("_sip._udp.pbx.test", SRV, srv(1, 5060, "a.pbx.test")),
        ("a.pbx.test", A, vec![127, 0, 0, 2]),
        ("b.pbx.test", A, vec![127, 0, 0, 3]),
    ]);
    let located = locate(wanted("pbx.test"), Some(server), 1).expect("found");
    assert_eq!((located.ttl, located.took.is_some()), (Some(Duration::from_secs(60)), true));
    let hops: Vec<_> = located.hops.iter().map(|hop| format!("{} {}", hop.transport, hop.address)).collect();
    assert_eq!(hops, ["tcp 127.0.0.2:5061", "tcp 127.0.0.3:5062", "udp 127.0.0.2:5060"]);
}

#[test]
fn names_that_lead_in_a_circle_end_and_say_so() {
    let server = serve(vec![
        ("a.test", NAPTR, naptr(1, "", "SIP+D2U", "b.test")),
        ("b.test", NAPTR, naptr(1, "", "SIP+D2U", "a.test")),
        ("c.test", CNAME, name("d.test")),
        ("d.test", CNAME, name("c.test")),
    ]);
    assert_eq!(locate(wanted("a.test"), Some(server), 1), Err(LocateError::Loop("a.test".into())));
    let error = locate(wanted("c.test"), Some(server), 1).expect_err("a circle has no address");
    assert!(matches!(&error, LocateError::NoAddress(host) | LocateError::Failed(host, _) if host == "c.test"));
}

#[test]
fn a_run_finds_its_server_by_srv_and_a_name_without_address_is_exit_code_4() {
    let desk = Desk::new();
    let lab = desk.listen(&["lab", "--listen", "127.0.0.1:0"]);
    let server = serve(vec![
        ("_sip._tcp.pbx.test", SRV, srv(1, lab.address.port(), "a.pbx.test")),
        ("a.pbx.test", A, vec![127, 0, 0, 1]),
    ]);
    let call = "scenario: call\ntarget: pbx\ncaller: { account: agents, steps: [{ dial: { number: busy, expect: { code: [486] } } }] }\n";
    desk.write("call.yaml", call);
    for (host, exit) in [("pbx.test", 0), ("none.test", 4)] {
        let target = format!(
            "target: pbx\nsip: {{ server: \"sip:{host}\", domain: lab.ringfleet.invalid }}\naccounts:\n  \
             agents: {{ users: \"1001..1020\", password: \"${{PROBE_PASSWORD}}\" }}\nnumbers: {{ busy: \"3486\" }}\n\
             safety: {{ allow: [\"^[0-9]{{4,}}$\"] }}\n"
        );
        desk.write("targets/pbx.yaml", &target);
        let output = desk.run(&["run", "call.yaml", "--out", host, "--nameserver", &server.to_string()]);
        assert_eq!(code(&output), Some(exit), "{}{}", text(&output.stdout), text(&output.stderr));
        if exit == 0 {
            let record = &records(&desk.path(host))[0];
            assert_eq!((record.class, record.transport.as_deref()), (Class::CallCalleeBusy, Some("tcp")));
            assert!(record.dns_ms.is_some_and(|took| took > 0.0), "{record:#?}");
        } else {
            let said = text(&output.stderr);
            assert!(said.contains("target pbx: transport.dns: none.test has no address"), "{said}");
        }
    }
}

#[test]
fn a_name_is_looked_up_again_when_its_ttl_is_over_and_one_that_fails_then_keeps_what_is_known() {
    // The last byte of the address, 0 for a server that fails.
    let last = Arc::new(AtomicU8::new(3));
    let shown = Arc::clone(&last);
    let nameserver = serve_changing(0, move || {
        let last = shown.load(Ordering::Relaxed);
        (last != 0).then(|| vec![("pbx.test", A, vec![127, 0, 0, last])])
    });
    let server = Server::new("pbx.test", Some(5060), Transport::Udp);
    let hop = |last| Hop { transport: Transport::Udp, address: ([127, 0, 0, last], 5060).into() };
    let (teller, told) = crossbeam_channel::unbounded();
    let names = Names { nameserver: Some(nameserver), not_before: Duration::ZERO };
    let known = Located { ttl: Some(Duration::ZERO), ..vec![hop(2)].into() };
    let renewal = Renewal::start(&names, &[(server, known)], move |looked_up| {
        let _ = teller.send(looked_up);
    });
    let next = || told.recv_timeout(Duration::from_secs(30)).expect("told");
    let places = |looked_up: LookedUp| looked_up.found.map(|located| (located.hops, located.took.is_some()));
    let news = || std::iter::repeat_with(next).find(|looked_up| looked_up.is_news).map(places).expect("without end");
    assert_eq!(news(), Ok((vec![hop(3)], true)));
    let again = next();
    assert_eq!((again.is_news, places(again)), (false, Ok((vec![hop(3)], true))), "how long it took is told each time");
    last.store(0, Ordering::Relaxed);
    assert!(news().is_err_and(|error| error.contains("pbx.test")));
    last.store(4, Ordering::Relaxed);
    let changed = std::iter::repeat_with(news).find(Result::is_ok);
    assert_eq!(changed, Some(Ok((vec![hop(4)], true))));
    drop(renewal.expect("a thread").expect("there is a name"));
    while told.recv_timeout(Duration::from_secs(30)).is_ok() {}
}

#[test]
fn an_address_is_not_looked_up() {
    let located = locate(wanted("127.0.0.1"), None, 1).expect("it is one");
    assert_eq!((located.ttl, located.took), (None, None));
    let names = Names::default();
    let server = Server::new("127.0.0.1", None, Transport::Udp);
    assert!(Renewal::start(&names, &[(server, located)], |_| {}).expect("no thread is needed").is_none());
}

#[test]
fn a_run_goes_on_to_the_second_server_of_a_domain_where_nobody_listens_at_the_first() {
    let desk = Desk::new();
    let lab = desk.listen(&["lab", "--listen", "127.0.0.1:0"]);
    // A port that was free a moment ago.
    let dead = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
    let call = "scenario: call\ntarget: pbx\ncaller: { account: agents, steps: [register, { dial: { number: busy, expect: { code: [486] } } }] }\n\
                load: { calls: 2, rate: 10/s }\n";
    desk.write("call.yaml", call);
    for (service, transport) in [("_sip._udp.pbx.test", "udp"), ("_sip._tcp.pbx.test", "tcp")] {
        let server = serve(vec![
            (service, SRV, srv(1, dead, "a.pbx.test")),
            (service, SRV, srv(2, lab.address.port(), "a.pbx.test")),
            ("a.pbx.test", A, vec![127, 0, 0, 1]),
        ]);
        let target = format!(
            "target: pbx\nsip: {{ server: \"sip:pbx.test\", transport: {transport}, domain: lab.ringfleet.invalid }}\n\
             accounts:\n  agents: {{ users: \"1001..1020\", password: \"${{PROBE_PASSWORD}}\" }}\n\
             numbers: {{ busy: \"3486\" }}\nsafety: {{ allow: [\"^[0-9]{{4,}}$\"] }}\n"
        );
        desk.write("targets/pbx.yaml", &target);
        let output = desk.run(&["run", "call.yaml", "--out", transport, "--nameserver", &server.to_string()]);
        assert_eq!(code(&output), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
        for record in &records(&desk.path(transport)) {
            // The REGISTER before it has found out.
            assert_eq!((record.class, record.hops_tried), (Class::CallCalleeBusy, Some(1)));
            assert_eq!(record.next_hop, Some(lab.address.to_string()));
        }
    }
}
