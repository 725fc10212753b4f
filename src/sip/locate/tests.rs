use super::*;

fn wanted(host: &str) -> Wanted {
    Wanted { host: host.to_owned(), port: None, transport: None, sips: false }
}

fn naptr(order: u16, flags: &str, service: &str, replacement: &str) -> Naptr {
    let text = str::to_owned;
    Naptr { order, preference: 0, flags: text(flags), service: text(service), replacement: text(replacement) }
}

fn srv(priority: u16, weight: u16, port: u16, target: &str) -> Srv {
    Srv { priority, weight, port, target: target.to_owned() }
}

/// Asks a zone until nothing is asked any more: what was asked, and what came of it.
fn locate(
    wanted: Wanted,
    seed: u64,
    zone: impl Fn(&Query) -> Answer,
) -> (Vec<String>, Result<Vec<String>, LocateError>) {
    let mut locator = Locator::new(wanted, seed);
    let mut asked = Vec::new();
    loop {
        match locator.poll() {
            Step::Ask(query) => {
                asked.push(match &query {
                    Query::Naptr(name) => format!("NAPTR {name}"),
                    Query::Srv(name) => format!("SRV {name}"),
                    Query::Address(name) => format!("A {name}"),
                });
                assert!(asked.len() <= MAX_QUERIES, "{asked:?}");
                locator.handle_answer(zone(&query));
            }
            Step::Found(hops) => {
                let hops = hops.iter().map(|hop| format!("{} {}", hop.transport, hop.address)).collect();
                return (asked, Ok(hops));
            }
            Step::Failed(error) => return (asked, Err(error)),
        }
    }
}

fn nothing(query: &Query) -> Answer {
    match query {
        Query::Naptr(_) => Answer::Naptr(Vec::new()),
        Query::Srv(_) => Answer::Srv(Vec::new()),
        Query::Address(_) => Answer::Address(Vec::new()),
    }
}

/// A domain with two services and three hosts.
fn example(query: &Query) -> Answer {
    match query {
        Query::Naptr(name) if name == "example.com" => Answer::Naptr(vec![
            naptr(60, "s", "SIP+D2U", "_sip._udp.example.com"),
            naptr(50, "S", "SIPS+D2T", "_sips._tcp.example.com"),
            naptr(40, "s", "SIP+D2S", "_sip._sctp.example.com"),
            naptr(30, "u", "E2U+sip", "x"),
        ]),
        Query::Srv(name) if name == "_sip._udp.example.com" => {
            Answer::Srv(vec![srv(10, 0, 5060, "b.example.com"), srv(5, 0, 5070, "a.example.com")])
        }
        Query::Srv(name) if name == "_sips._tcp.example.com" => Answer::Srv(vec![srv(1, 1, 5061, "c.example.com")]),
        Query::Address(name) => Answer::Address(match name.as_str() {
            "a.example.com" => vec![[192, 0, 2, 1].into(), "2001:db8::1".parse().expect("valid")],
            "b.example.com" => vec![[192, 0, 2, 2].into()],
            "c.example.com" => vec![[192, 0, 2, 3].into()],
            "example.com" => vec![[192, 0, 2, 9].into()],
            _ => Vec::new(),
        }),
        other => nothing(other),
    }
}

#[test]
fn services_come_in_the_order_of_naptr_and_their_targets_by_priority() {
    let (asked, found) = locate(wanted("example.com"), 1, example);
    let places =
        ["tls 192.0.2.3:5061", "udp 192.0.2.1:5070", "udp [2001:db8::1]:5070", "udp 192.0.2.2:5060"].map(String::from);
    assert_eq!(found, Ok(places.to_vec()));
    assert_eq!(asked[0], "NAPTR example.com");
    assert_eq!(asked.len(), 6, "{asked:?}");
}

#[test]
fn sips_takes_services_of_tls_only() {
    let (_, found) = locate(Wanted { sips: true, ..wanted("example.com") }, 1, example);
    assert_eq!(found, Ok(vec!["tls 192.0.2.3:5061".to_owned()]));
}

#[test]
fn a_transport_that_is_written_skips_naptr_and_a_port_skips_srv() {
    let (asked, found) = locate(Wanted { transport: Some(Transport::Udp), ..wanted("example.com") }, 1, example);
    assert_eq!((asked[0].as_str(), found.map(|it| it.len())), ("SRV _sip._udp.example.com", Ok(3)));
    let (asked, found) = locate(Wanted { transport: Some(Transport::Tcp), ..wanted("example.com") }, 1, example);
    // No such service: the host itself at the transport's port.
    assert_eq!(asked, ["SRV _sip._tcp.example.com", "A example.com"]);
    assert_eq!(found, Ok(vec!["tcp 192.0.2.9:5060".to_owned()]));
    let (asked, found) = locate(Wanted { port: Some(5090), ..wanted("example.com") }, 1, example);
    assert_eq!((asked, found), (vec!["A example.com".to_owned()], Ok(vec!["udp 192.0.2.9:5090".to_owned()])));
    let (asked, found) = locate(Wanted { sips: true, ..wanted("192.0.2.7") }, 1, example);
    assert_eq!((asked.len(), found), (0, Ok(vec!["tls 192.0.2.7:5061".to_owned()])));
}

#[test]
fn without_naptr_every_transport_is_asked_for_and_then_the_host() {
    let (asked, found) = locate(wanted("b.example.com"), 1, example);
    let services = ["_sip._udp", "_sip._tcp", "_sips._tcp"].map(|service| format!("SRV {service}.b.example.com"));
    assert_eq!(asked[0], "NAPTR b.example.com");
    assert_eq!(asked[1..4], services);
    assert_eq!(found, Ok(vec!["udp 192.0.2.2:5060".to_owned()]));
}

#[test]
fn naptr_that_leads_in_a_circle_ends() {
    let circle = |query: &Query| match query {
        Query::Naptr(name) if name == "a.test" => Answer::Naptr(vec![naptr(1, "", "SIP+D2U", "b.test")]),
        Query::Naptr(_) => Answer::Naptr(vec![naptr(1, "", "SIP+D2U", "a.test")]),
        other => nothing(other),
    };
    assert_eq!(locate(wanted("a.test"), 1, circle).1, Err(LocateError::Loop("a.test".into())));
    // A chain of new names without end is cut by the count.
    let endless = |query: &Query| match query {
        Query::Naptr(name) => Answer::Naptr(vec![naptr(1, "", "SIP+D2U", &format!("x{name}"))]),
        other => nothing(other),
    };
    assert_eq!(locate(wanted("a.test"), 1, endless).1, Err(LocateError::Loop("a.test".into())));
}

#[test]
fn what_cannot_be_found_says_why() {
    assert_eq!(locate(wanted("a.test"), 1, nothing).1, Err(LocateError::NoAddress("a.test".into())));
    let none = |query: &Query| match query {
        Query::Srv(_) => Answer::Srv(vec![srv(0, 0, 0, ".")]),
        other => nothing(other),
    };
    let transport = Some(Transport::Udp);
    let no_service = Err(LocateError::NoService("_sip._udp.a.test".into()));
    assert_eq!(locate(Wanted { transport, ..wanted("a.test") }, 1, none).1, no_service);
    let failed = |_: &Query| Answer::Failed("refused".into());
    assert_eq!(locate(wanted("a.test"), 1, failed).1, Err(LocateError::Failed("a.test".into(), "refused".into())));
    let silent = |_: &Query| Answer::Unanswered("timed out".into());
    let nobody = LocateError::Unanswered("a.test".into(), "timed out".into());
    assert_eq!(locate(wanted("a.test"), 1, silent).1, Err(nobody));
}

#[test]
fn weights_share_the_load_and_a_seed_decides() {
    let heavy = |seed| {
        let records = vec![srv(0, 3, 1, "heavy"), srv(0, 1, 1, "light"), srv(1, 100, 1, "spare")];
        let ordered = record::in_order(records, &mut Random::new(seed));
        assert_eq!(ordered[2].target, "spare");
        ordered[0].target == "heavy"
    };
    let first = (0..4000).filter(|seed| heavy(*seed)).count();
    // Lots from 0 to 4: 0 and 1 fall to the light one, which stands first (RFC 2782).
    assert!((2250..2550).contains(&first), "{first}");
    assert_eq!(heavy(7), heavy(7));
}
