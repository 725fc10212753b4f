//! A target as it is used by a scenario: the target itself, its pools, its hotlines, its guard rails.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::doc::{At, Report};
use super::numbers::is_dialable;
use super::ways::{SERVER_FORM, check_scheme, servers, transport};
use super::{Input, accounts, codecs, headers, ice, request, safety, server, session, srtp, tls, websocket};
use crate::scenario::diagnostic::did_you_mean;
use crate::scenario::file::TargetFile;
use crate::scenario::file::target::{
    LargeRequestsWord, MediaFile, MediaSocketsWord, SipFile, SocketsWord, SrtpWord, TransportWord, TrunkFile,
};
use crate::scenario::lab::LabPlan;
use crate::scenario::plan::{KeepAlive, LargeRequests, Licence, Pool, PublicAddress, Server, Target, Trunk};
use crate::sip::session::Extensions;
use crate::units::Period;

/// A target as it is used by a scenario.
pub(super) struct Site {
    pub(super) target: Arc<Target>,
    /// Its servers: that of `sip:` and that of `websocket:`.
    pub(super) sip: Option<Server>,
    pub(super) web: Option<Server>,
    pub(super) pools: BTreeMap<String, Arc<Pool>>,
    /// Pools that the file names, whether they could be read or not.
    pub(super) pool_names: BTreeSet<String>,
    /// Number and trunk by name.
    pub(super) hotlines: BTreeMap<String, (String, Option<String>)>,
    /// The lab that has to be started for it.
    pub(super) lab: Option<Arc<LabPlan>>,
    pub(super) mask_numbers: bool,
    /// The file has mistakes: what is missing may have been there.
    pub(super) lossy: bool,
}

/// Compiles a target file.
pub(super) fn compile(input: &Input<'_>, file: &TargetFile, at: At<'_>, report: &mut Report) -> Site {
    let numbers = plain_numbers(file, at, report);
    let hotlines = hotlines(file, at, report);
    let mut trunks = trunks(file, &numbers, &hotlines, at.key("trunks"), report);
    let mut pools = BTreeMap::new();
    for (name, pool) in &file.accounts {
        if let Some(pool) = accounts::pool(input, name, pool, at.key("accounts").name(name), report) {
            pools.insert(name.clone(), Arc::new(pool));
        }
    }
    let safety = Arc::new(safety::compile(file, &numbers, &hotlines, &trunks, at, report));
    let sip = &file.sip;
    let at_sip = at.key("sip");
    let web = file.websocket.as_ref().map(|web| websocket::compile(input, web, at.key("websocket"), report));
    let (server, host) = servers(file, at_sip, report);
    let host = host.or_else(|| Some(web.as_ref()?.as_ref()?.host.clone()));
    let domain = domain(sip, host.unwrap_or_default(), at_sip, report);
    let tls = tls::settings(input, &sip.into(), at_sip, report);
    let server = server.map(|server| tls::secured(server, &tls, &domain));
    let unreadable = matches!(web, Some(None));
    let web = web.flatten();
    let wants_web = matches!(sip.transport, Some(TransportWord::Ws | TransportWord::Wss));
    let first = if wants_web { web.clone() } else { server.clone().or_else(|| web.clone()) };
    if first.is_none() && !unreadable && !at.doc().lossy {
        let help = "add `sip: { server: … }` or `websocket: { url: … }`";
        report.add(at, "the target has no server", help);
    }
    if let (true, Some(word), Some(web)) = (wants_web, sip.transport, &web) {
        check_scheme(word, web, at_sip.key("transport"), report);
    }
    for trunk in trunks.values_mut() {
        trunk.peer = trunk.peer.take().map(|peer| tls::secured(peer, &tls, &domain));
    }
    headers::check(&sip.headers, at_sip.key("headers"), report);
    let target = Target {
        name: file.target.clone(),
        lab: false,
        server: first.unwrap_or_default(),
        domain,
        public_address: public_address(sip, at_sip, report),
        local_addresses: local_addresses(sip, at_sip.key("local_addresses"), report),
        local_port: sip.local_port.unwrap_or(0),
        socket_each: socket_each(sip, at_sip, report),
        large_requests: match sip.large_requests {
            LargeRequestsWord::Fragment => LargeRequests::Fragment,
            LargeRequestsWord::Tcp => LargeRequests::Tcp,
        },
        keep_alive: keep_alive(sip, at_sip, report),
        headers: sip.headers.iter().map(|(name, value)| (name.clone(), value.0.clone())).collect(),
        speaks: session::extensions(sip.reliable, sip.session_timer.as_ref(), Extensions::default(), at_sip, report),
        gruu: sip.gruu,
        outbound: sip.outbound,
        user_agent: sip.user_agent.clone(),
        codecs: codecs::compile(file.media.codecs.as_deref(), at.key("media"), report),
        opus: codecs::opus(file.media.codecs.as_deref(), file.media.opus, at.key("media"), report),
        srtp: srtp::compile(file.media.srtp, file.media.crypto.as_deref(), at.key("media"), report).unwrap_or_default(),
        ice: ice::compile(input, &file.media, at.key("media"), report),
        application: Arc::new(request::application(input, file.application.as_ref(), at.key("application"), report)),
        rtp_ports: rtp_ports(file, at.key("media").key("rtp_ports"), report),
        shared_media: shared_media(&file.media, at.key("media"), report),
        trunks,
        pairing_header: sip.pairing_header.clone(),
        numbers,
        licence: file.licence.map(|l| Licence { extensions: l.extensions, provisioned: l.provisioned }),
        labels: labels(file),
        safety,
    };
    Site {
        target: Arc::new(target),
        sip: server,
        web,
        pools,
        pool_names: file.accounts.keys().cloned().collect(),
        hotlines,
        lab: None,
        mask_numbers: file.mask_numbers,
        lossy: at.doc().lossy,
    }
}

fn plain_numbers(file: &TargetFile, at: At<'_>, report: &mut Report) -> BTreeMap<String, String> {
    let mut numbers = BTreeMap::new();
    for (name, number) in &file.numbers {
        check_name(name, at.key("numbers").name(name), report);
        check_number(&number.0, at.key("numbers").key(name), report);
        numbers.insert(name.clone(), number.0.trim().to_owned());
    }
    numbers
}

fn hotlines(file: &TargetFile, at: At<'_>, report: &mut Report) -> BTreeMap<String, (String, Option<String>)> {
    let mut hotlines = BTreeMap::new();
    for (name, hotline) in &file.hotlines {
        let at = at.key("hotlines").key(name);
        check_name(name, at, report);
        check_number(&hotline.number.0, at.key("number"), report);
        if file.numbers.contains_key(name) {
            report.add(at, format!("`{name}` is in `numbers` as well"), "give one of the two another name");
        }
        if let Some(trunk) = &hotline.trunk {
            check_trunk(trunk, file.trunks.keys(), at.key("trunk"), report);
        }
        hotlines.insert(name.clone(), (hotline.number.0.trim().to_owned(), hotline.trunk.clone()));
    }
    hotlines
}

/// A name that could be dialled would hide a number.
fn check_name(name: &str, at: At<'_>, report: &mut Report) {
    if is_dialable(name) {
        let help = "begin it with a letter, so that it cannot be taken for a number";
        report.add(at, format!("`{name}` cannot be a name"), help);
    }
}

fn check_number(number: &str, at: At<'_>, report: &mut Report) {
    if !is_dialable(number.trim()) {
        report.add(at, format!("`{number}` is not a number"), "write digits, + * #, or a sip: or tel: URI");
    }
}

/// A label that is not among the target's trunks, where it has some.
pub(super) fn check_trunk<'t>(label: &str, trunks: impl Iterator<Item = &'t String>, at: At<'_>, report: &mut Report) {
    let labels: Vec<&str> = trunks.map(String::as_str).collect();
    if !labels.is_empty() && !labels.contains(&label) {
        report.add(at, format!("unknown trunk `{label}`"), did_you_mean(label, "a trunk of the target", &labels));
    }
}

fn trunks(
    file: &TargetFile,
    numbers: &BTreeMap<String, String>,
    hotlines: &BTreeMap<String, (String, Option<String>)>,
    at: At<'_>,
    report: &mut Report,
) -> BTreeMap<String, Trunk> {
    let mut trunks = BTreeMap::new();
    for (label, trunk) in &file.trunks {
        let at = at.key(label);
        let mut from = None;
        if let Some(wanted) = trunk.select.as_ref().and_then(|select| select.from.as_ref()) {
            let wanted = wanted.0.trim();
            let known = numbers.get(wanted).or_else(|| hotlines.get(wanted).map(|(number, _)| number));
            let names: Vec<&str> = numbers.keys().chain(hotlines.keys()).map(String::as_str).collect();
            let at = at.key("select").key("from");
            match known {
                Some(number) => from = Some(number.clone()),
                None if is_dialable(wanted) => from = Some(wanted.to_owned()),
                None => report.add(at, format!("unknown number `{wanted}`"), did_you_mean(wanted, "a number", &names)),
            }
        }
        let compiled = Trunk {
            name: label.clone(),
            carrier: trunk.carrier.clone(),
            gateway: trunk.gateway.clone(),
            contracted_calls: trunk.contracted_calls,
            contracted_cps: trunk.contracted_cps,
            prefix: prefix(trunk, at, report),
            from,
            peer: peer(trunk, file, at, report),
        };
        trunks.insert(label.clone(), compiled);
    }
    trunks
}

fn prefix(trunk: &TrunkFile, at: At<'_>, report: &mut Report) -> Option<String> {
    let prefix = trunk.select.as_ref()?.prefix.as_ref()?.0.trim();
    if !is_dialable(prefix) || prefix.contains(':') {
        report.add(at.key("select").key("prefix"), format!("`{prefix}` is no prefix"), "write digits, + * #");
        return None;
    }
    Some(prefix.to_owned())
}

fn peer(trunk: &TrunkFile, file: &TargetFile, at: At<'_>, report: &mut Report) -> Option<Server> {
    if trunk.auth.is_some() && trunk.peer.is_none() {
        report.add(at.name("auth"), "`auth` is said of a peer, and this trunk has none", "add `peer: sip:HOST`");
    }
    let transport = transport(file.sip.transport);
    let peer = trunk.peer.as_ref()?;
    server::parse(peer, transport).map_err(|error| report.add(at.key("peer"), error.to_string(), SERVER_FORM)).ok()
}

fn domain(sip: &SipFile, host: String, at: At<'_>, report: &mut Report) -> String {
    let Some(domain) = &sip.domain else { return host };
    if !server::is_host(domain) && domain.parse::<IpAddr>().is_err() {
        report.add(at.key("domain"), format!("`{domain}` is no domain"), "write a host name, without sip: and port");
    }
    domain.clone()
}

fn socket_each(sip: &SipFile, at: At<'_>, report: &mut Report) -> bool {
    let each = sip.sockets == SocketsWord::PerAccount;
    if each && sip.local_port.is_some() {
        let help = "leave one of the two out: a port can be bound once";
        report.add(at.name("sockets"), "`sockets: per_account` and `local_port` are both given", help);
    }
    each
}

/// Addresses of this machine that calls go out from.
fn local_addresses(sip: &SipFile, at: At<'_>, report: &mut Report) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = Vec::new();
    for (index, text) in sip.local_addresses.iter().enumerate() {
        match text.parse() {
            Ok(address) if addresses.contains(&address) => {
                report.add(at.index(index), format!("`{text}` is given twice"), "name each address once");
            }
            Ok(address) => addresses.push(address),
            Err(_) => {
                report.add(at.index(index), format!("`{text}` is no IP address"), "as [192.0.2.10, 192.0.2.11]");
            }
        }
    }
    addresses
}

fn public_address(sip: &SipFile, at: At<'_>, report: &mut Report) -> PublicAddress {
    let Some(text) = &sip.public_address else { return PublicAddress::Local };
    if text == "auto" {
        return PublicAddress::Learned;
    }
    text.parse().map_or_else(
        |_| {
            report.add(at.key("public_address"), format!("`{text}` is no IP address"), "write 203.0.113.7, or auto");
            PublicAddress::Local
        },
        PublicAddress::Fixed,
    )
}

fn keep_alive(sip: &SipFile, at: At<'_>, report: &mut Report) -> KeepAlive {
    let Some(text) = sip.keep_alive.as_ref().map(|text| text.0.trim()) else { return KeepAlive::Usual };
    let allowed = Duration::from_secs(1)..=Duration::from_secs(15 * 60);
    match text.parse::<Period>() {
        _ if text == "off" => KeepAlive::Off,
        _ if text == "stun" => KeepAlive::Stun,
        Ok(Period(every)) if allowed.contains(&every) => KeepAlive::Every(every),
        _ => {
            let help = "write an interval from 1s to 15m, as 30s, or stun, or off";
            report.add(at.key("keep_alive"), format!("`{text}` is no interval of keep-alives"), help);
            KeepAlive::Usual
        }
    }
}

fn rtp_ports(file: &TargetFile, at: At<'_>, report: &mut Report) -> Option<(u16, u16)> {
    let text = file.media.rtp_ports.as_ref()?;
    let ports = text.split_once('-').and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
    let ports = ports.filter(|(first, last): &(u16, u16)| *first >= 1024 && first < last);
    if ports.is_none() {
        let help = "write the first and the last port, from 1024 to 65535, as 20000-20999";
        report.add(at, format!("`{text}` is no range of ports"), help);
    }
    ports
}

fn shared_media(media: &MediaFile, at: At<'_>, report: &mut Report) -> bool {
    let shared = media.sockets == MediaSocketsWord::Shared;
    if shared && media.srtp == Some(SrtpWord::Dtls) {
        let help = "leave one of the two out: ICE needs a socket for each call";
        report.add(at.name("sockets"), "`sockets: shared` and `srtp: dtls` are both given", help);
    }
    shared
}

fn labels(file: &TargetFile) -> BTreeMap<String, String> {
    let environment = file.environment.clone().unwrap_or_default();
    let company = file.company.clone().unwrap_or_default();
    [
        ("environment", environment.name),
        ("login_url", environment.login_url),
        ("company", company.name),
        ("tax_id", company.tax_id.map(|id| id.0)),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), value?)))
    .collect()
}
