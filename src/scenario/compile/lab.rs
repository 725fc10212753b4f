//! The lab as a target, and lab files.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::accounts::users_of;
use super::doc::{At, Report};
use super::secret::{self, Rules};
use super::site::Site;
use super::{Input, codecs, lab_limits, licence, request, server, session, srtp, websocket};
use crate::scenario::file::LabFile;
use crate::scenario::file::lab::{BehaviourFile, FaultFile, LabAccountsFile, LabApplicationFile};
use crate::scenario::file::step::RejectFile;
use crate::scenario::file::target::TransportWord;
use crate::scenario::lab::{Behaviour, Extension, Fault, LAB_PASSWORD, LabApplication, LabPlan, LabTrunk};
use crate::scenario::plan::{
    Account, Ice, KeepAlive, LargeRequests, Licence, Pool, PublicAddress, Reject, Roots, Server, Target, TlsSettings,
    Transport, Trunk, Wishes,
};
use crate::scenario::safety::Safety;
use crate::sip::session::Extensions;
use crate::units::Period;

/// Pool of the lab's accounts.
const POOL: &str = "agents";

/// The lab as a scenario sees it: its extensions are `numbers:`, its trunks are chosen by their prefix.
pub(super) fn site(name: &str, plan: LabPlan, lossy: bool) -> Site {
    let numbers: BTreeMap<_, _> = plan.extensions.iter().map(|e| (e.name.clone(), e.number.clone())).collect();
    let trunk = |trunk: &LabTrunk| Trunk {
        name: trunk.name.clone(),
        prefix: Some(trunk.prefix.clone()),
        contracted_calls: trunk.limit.places.as_ref().map(|places| places.limit),
        contracted_cps: trunk
            .limit
            .rate
            .as_ref()
            .map(|rate| rate.meter.per_second().round() as u32)
            .filter(|rate| *rate > 0),
        ..Trunk::default()
    };
    let trunks: BTreeMap<_, _> = plan.trunks.iter().map(|t| (t.name.clone(), trunk(t))).collect();
    let mut safety = Safety::lab();
    safety.numbers.prefixes = plan.trunks.iter().map(|trunk| trunk.prefix.clone()).collect();
    let tls = TlsSettings { name: plan.domain.clone(), roots: Roots::Lab, ..TlsSettings::default() };
    let sip = Server { tls: Arc::new(tls), ..Server::new("127.0.0.1", None, plan.transport) };
    let web = Server { web: Some(Arc::new(websocket::of_lab(&plan.domain))), ..sip.clone() };
    let target = Target {
        name: name.to_owned(),
        lab: true,
        server: if plan.transport.is_web() { web.clone() } else { sip.clone() },
        domain: plan.domain.clone(),
        public_address: PublicAddress::Local,
        local_addresses: Vec::new(),
        local_port: 0,
        socket_each: false,
        large_requests: LargeRequests::default(),
        keep_alive: KeepAlive::default(),
        headers: Vec::new(),
        speaks: Extensions::default(),
        gruu: false,
        outbound: false,
        user_agent: None,
        codecs: plan.codecs.clone(),
        opus: Wishes::default(),
        srtp: plan.srtp.clone().unwrap_or_default(),
        ice: Ice::default(),
        application: Arc::new(request::of_lab(plan.application.is_some())),
        rtp_ports: None,
        shared_media: false,
        trunks,
        pairing_header: Some("X-Ringfleet-Call".into()),
        numbers,
        licence: plan.licence.as_ref().map(|licence| Licence {
            extensions: licence.places,
            provisioned: u32::try_from(plan.accounts.len()).ok(),
        }),
        labels: BTreeMap::new(),
        safety: Arc::new(safety),
    };
    let pool = Pool { name: POOL.to_owned(), accounts: plan.accounts.clone(), calls_each: None };
    Site {
        target: Arc::new(target),
        sip: Some(sip),
        web: Some(web),
        pools: BTreeMap::from([(POOL.to_owned(), Arc::new(pool))]),
        pool_names: BTreeSet::from([POOL.to_owned()]),
        hotlines: BTreeMap::new(),
        lab: Some(Arc::new(plan)),
        mask_numbers: false,
        lossy,
    }
}

/// The application beside a lab.
fn application(file: &LabApplicationFile, at: At<'_>, report: &mut Report) -> LabApplication {
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    let listen = file.listen.as_ref().and_then(|text| {
        let parsed = text.parse().ok();
        if parsed.is_none() {
            report.add(at.key("listen"), format!("`{text}` is no address to listen at"), "as 127.0.0.1:8080");
        }
        parsed
    });
    LabApplication { listen: listen.unwrap_or(local), ready_after: file.ready_after.map_or(Duration::ZERO, |it| it.0) }
}

/// Compiles a lab file; what it leaves out is as in the built-in lab.
pub(super) fn compile(input: &Input<'_>, file: &LabFile, at: At<'_>, report: &mut Report) -> LabPlan {
    let mut plan = LabPlan::default();
    if let Some(domain) = &file.domain {
        if !server::is_host(domain) {
            report.add(
                at.key("domain"),
                format!("`{domain}` is no domain"),
                "write a host name, without sip: and port",
            );
        }
        plan.domain.clone_from(domain);
    }
    plan.speaks = session::extensions(file.reliable, file.session_timer.as_ref(), plan.speaks, at, report);
    plan.transport = match file.transport {
        None | Some(TransportWord::Udp) => Transport::Udp,
        Some(TransportWord::Tcp) => Transport::Tcp,
        Some(TransportWord::Tls) => Transport::Tls,
        Some(TransportWord::Ws) => Transport::Ws,
        Some(TransportWord::Wss) => Transport::Wss,
    };
    plan.codecs = codecs::compile(file.media.codecs.as_deref(), at.key("media"), report);
    plan.srtp = srtp::compile(file.media.srtp, file.media.crypto.as_deref(), at.key("media"), report);
    let connections = &file.connections;
    plan.application = file.application.as_ref().map(|file| application(file, at.key("application"), report));
    plan.keeps_calls = connections.keep_calls.map_or(plan.keeps_calls, |period| period.0);
    plan.pings_every = connections.ping_every.map(|period| period.0);
    if plan.pings_every.is_some_and(|every| every < Duration::from_secs(1)) {
        let help = "write 1s or more, or leave it out for no pings";
        report.add(at.key("connections").key("ping_every"), "pings come too often", help);
    }
    plan.challenge = file.challenge.unwrap_or(plan.challenge);
    if let Some(accounts) = &file.accounts {
        plan.accounts = lab_accounts(input, accounts, at.key("accounts"), report);
    }
    if let Some(extensions) = &file.extensions {
        plan.extensions.clear();
        for (name, extension) in extensions {
            let at = at.key("extensions").key(name);
            let number = extension.number.0.trim().to_owned();
            if !digits(&number) {
                report.add(at.key("number"), format!("`{number}` is not a number"), "write digits, + * #");
            }
            if let Some(other) = plan.extensions.iter().find(|other| other.number == number) {
                let message = format!("`{}` has the number {number} as well", other.name);
                report.add(at.key("number"), message, "give each extension a number of its own");
            }
            plan.extensions.push(Extension { name: name.clone(), number, behaviour: behaviour(&extension.does) });
        }
    }
    if let Some(trunks) = &file.trunks {
        plan.trunks.clear();
        for (name, trunk) in trunks {
            let prefix = trunk.prefix.0.trim().to_owned();
            if !digits(&prefix) {
                report.add(
                    at.key("trunks").key(name).key("prefix"),
                    format!("`{prefix}` is no prefix"),
                    "write digits",
                );
            }
            let limit = lab_limits::of_trunk(trunk, at.key("trunks").key(name), report);
            plan.trunks.push(LabTrunk { name: name.clone(), prefix, limit });
        }
    }
    plan.calls = lab_limits::of_calls(&file.calls, at.key("calls"), report);
    plan.registrations = lab_limits::of_registrations(&file.registrations, at.key("registrations"), report);
    if let Some(licence) = &file.licence {
        plan.licence = Some(licence::compile(licence, &plan.accounts, at.key("licence"), report));
    }
    let at = at.key("faults");
    plan.faults =
        file.faults.iter().enumerate().map(|(index, file)| fault(file, &plan, at.index(index), report)).collect();
    plan
}

/// Names that the lab does not have would be a fault that never shows.
fn fault(file: &FaultFile, plan: &LabPlan, at: At<'_>, report: &mut Report) -> Fault {
    let users = file.accounts.as_ref().and_then(|users| users_of(&users.0, at.key("accounts"), report));
    let accounts = users.unwrap_or_default();
    if let Some(user) = accounts.iter().find(|user| !plan.accounts.iter().any(|account| account.user == **user)) {
        report.add(at.key("accounts"), format!("the lab has no account {user}"), "write accounts that it has");
    }
    for (index, name) in file.trunks.iter().enumerate() {
        if !plan.trunks.iter().any(|trunk| trunk.name == *name) {
            let names: Vec<&str> = plan.trunks.iter().map(|trunk| trunk.name.as_str()).collect();
            let help = format!("it has {}", names.join(", "));
            report.add(at.key("trunks").index(index), format!("the lab has no trunk `{name}`"), &help);
        }
    }
    let numbers = file.numbers.iter().map(|number| number.0.trim().to_owned()).collect();
    Fault { accounts, trunks: file.trunks.clone(), numbers, behaviour: behaviour(&file.does) }
}

fn lab_accounts(input: &Input<'_>, file: &LabAccountsFile, at: At<'_>, report: &mut Report) -> Vec<Account> {
    let template = file.password.as_ref().map_or(LAB_PASSWORD, |password| &password.0);
    let Some(secret) = secret::resolve(input, template, Rules::Lab, at.key("password"), report) else {
        return Vec::new();
    };
    let account = |user: String| Account {
        // Only this one placeholder has a meaning here; a password may hold any other braces.
        password: Some(crate::units::Secret::new(secret.reveal().replace("{{ account.user }}", &user))),
        user,
        ..Account::default()
    };
    users_of(&file.users.0, at.key("users"), report).unwrap_or_default().into_iter().map(account).collect()
}

fn behaviour(file: &BehaviourFile) -> Behaviour {
    let time = |period: Option<Period>| period.map_or(Duration::ZERO, |period| period.0);
    match file {
        BehaviourFile::Echo(echo) => Behaviour::Echo { answer_after: time(echo.answer_after) },
        BehaviourFile::Keys => Behaviour::Keys,
        BehaviourFile::Silence => Behaviour::Silence,
        BehaviourFile::NoMedia => Behaviour::NoMedia,
        BehaviourFile::RingForever => Behaviour::RingForever,
        BehaviourFile::EarlyMedia(early) => {
            Behaviour::EarlyMedia { announce: early.announce.0, then: reject(&early.then) }
        }
        BehaviourFile::Reject(refusal) => Behaviour::Reject {
            after: time(refusal.after),
            ring: refusal.ring,
            reject: Reject {
                code: refusal.code,
                reason: refusal.reason.clone(),
                q850: refusal.q850,
                retry_after: refusal.retry_after,
            },
        },
        BehaviourFile::NoResponse => Behaviour::NoResponse,
        BehaviourFile::FarEndBye(bye) => Behaviour::FarEndBye { after: bye.after.0, q850: bye.q850 },
        BehaviourFile::Redirect(contact) => Behaviour::Redirect { contact: contact.clone() },
    }
}

/// A refusal as a file has it.
pub(super) fn reject(file: &RejectFile) -> Reject {
    Reject { code: file.code, reason: file.reason.clone(), q850: file.q850, retry_after: file.retry_after }
}

/// The refusal that a file has, else one of this code.
pub(super) fn reject_or(file: Option<&RejectFile>, code: u16) -> Reject {
    file.map_or_else(|| Reject::new(code, None), reject)
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'*' | b'#'))
}
