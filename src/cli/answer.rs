//! `ringfleet answer`: the far end. It is a plan too: one actor that waits for calls, and an attempt per call.

use std::collections::BTreeMap;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use super::args::{Answer as Args, Records};
use super::bandwidth;
use super::out::say;
use super::results::Results;
use super::run::{NotStarted, influx_target, start_sink};
use super::screen::Screen;
use super::session::{Session, run_id, runs_dir, watched_legs};
use super::signals::Interrupt;
use crate::engine::{Names, Settings, Workers};
use crate::media::codec::opus::Wishes;
use crate::media::{Codec, Listen, Source};
use crate::net::clock;
use crate::net::tls::SelfSigned;
use crate::net::udp::own_address;
use crate::pace::{Length, Load, Schedule, Stop};
use crate::reactor::Security;
use crate::record::Anchor;
use crate::scenario::plan::{
    Actor, Answer, Ice, KeepAlive, LargeRequests, MediaMode, Plan, Policy, PublicAddress, Registered, Reject, Server,
    Srtp, Step, Talk, Target, Transport, Trickle,
};
use crate::scenario::safety::Safety;
use crate::sink::RunFolder;
use crate::sip::sdp::Direction;
use crate::sip::session::Extensions;

/// What is done with a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Behaviour {
    /// Answer and send this.
    Talk(Source),
    /// 180 and nothing more.
    Ring,
    /// Refuse with this code.
    Reject(u16),
}

/// Reads `--behaviour`.
pub(super) fn behaviour(text: &str) -> Result<Behaviour, String> {
    Ok(match text {
        "echo" => Behaviour::Talk(Source::Echo),
        "keys" => Behaviour::Talk(Source::Keys),
        "speech" | "play" => Behaviour::Talk(Source::Speech),
        "tone" => Behaviour::Talk(Source::Tone),
        "silence" => Behaviour::Talk(Source::Silence),
        "nothing" => Behaviour::Talk(Source::Nothing),
        "ring" => Behaviour::Ring,
        code => match u16::from_str(code) {
            Ok(code @ 300..700) => Behaviour::Reject(code),
            _ => {
                return Err(
                    "use echo, speech, keys, tone, silence, nothing, ring, or a code from 300 to 699".to_owned()
                );
            }
        },
    })
}

/// Reads `--srtp`.
pub(super) fn srtp(text: &str) -> Result<Policy, String> {
    match text {
        "required" => Ok(Policy::Required),
        "offered" => Ok(Policy::Offered),
        "dtls" => Ok(Policy::Dtls),
        "off" => Ok(Policy::Off),
        _ => Err("use required, offered, dtls or off".to_owned()),
    }
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let started = clock::timestamp();
    let interrupt = Interrupt::watch()?;
    let influx = match influx_target(args.influx.as_deref()) {
        Ok(influx) => influx,
        Err(refused) => return Ok(refused.tell()),
    };
    let plan = Arc::new(plan(args));
    let runs = runs_dir(args.out.as_deref());
    let signed = SelfSigned::new(&host_name(args), args.listen.ip())?;
    if let Some(path) = &args.write_ca {
        std::fs::write(path, &signed.ca).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let settings = Settings {
        names: Names::default(),
        fail_over: true,
        plan: Arc::clone(&plan),
        servers: Vec::new(),
        security: Security { acceptor: Some(signed.acceptor), servers: Vec::new() },
        workers: 1,
        listen: Some(args.listen),
        run_id: run_id(started),
        anchor: Anchor { instant: clock::now(), timestamp: clock::timestamp() },
        site: args.site.clone(),
        closes: None,
        watched_legs: watched_legs(influx.as_ref()),
        whole_every: Records::Sample.whole_every(plan.load.planned()),
    };
    // The ports first: where one is taken, no folder is left behind.
    let responder = match bandwidth::respond(args.bandwidth) {
        Ok(responder) => responder,
        Err(refused) => return Ok(refused.tell()),
    };
    let workers = match Workers::prepare(&settings) {
        Ok(workers) => workers,
        Err(error) => return Ok(NotStarted::environment(error.to_string()).tell()),
    };
    let folder = match RunFolder::create(args.out.as_deref(), &runs, &plan.scenario, started) {
        Ok(folder) => folder,
        Err(error) => return Ok(NotStarted::without_folder(&error).tell()),
    };
    let collector = match influx.map(|target| start_sink(&target, folder.path(), &runs)).transpose() {
        Ok(collector) => collector,
        Err(refused) => return Ok(refused.tell()),
    };
    let workers = match workers.start() {
        Ok(workers) => workers,
        Err(error) => return Ok(NotStarted::environment(error.to_string()).tell()),
    };
    if let Some(address) = workers.listening.filter(|_| !args.quiet) {
        say!("answering on {address} (udp, tcp, tls, ws, wss); end it with Ctrl-C");
    }
    if let Some(responder) = responder.as_ref().filter(|_| !args.quiet) {
        say!("bandwidth is measured at {} (udp)", responder.address);
    }
    let screen = Screen::new(&plan, args.quiet);
    let results = Results::new(folder, collector);
    let mut session = Session::new(&plan, results, screen, started, args.site.clone(), 1);
    let mut ending = session.count(&workers, &interrupt)?;
    workers.join();
    // For a far end that was given no end, the interruption is the end.
    if args.calls.is_none() && args.period.is_none() {
        ending = crate::report::Ending::Complete;
    }
    Ok(session.finish(ending, None).exit_code)
}

/// The name in our certificate: the address that callers know us by.
fn host_name(args: &Args) -> String {
    args.public_address.unwrap_or_else(|| own_address(args.listen.ip())).to_string()
}

fn plan(args: &Args) -> Plan {
    let reject = match args.behaviour {
        Behaviour::Reject(code) => Some(Reject::new(code, None)),
        _ => None,
    };
    let (after, send) = match args.behaviour {
        // Longer than any caller waits: only its CANCEL ends the ringing.
        Behaviour::Ring => (Duration::from_secs(24 * 3600), Source::Nothing),
        Behaviour::Talk(source) => (args.after.0, source),
        Behaviour::Reject(_) => (args.after.0, Source::Nothing),
    };
    let mut steps = vec![Step::Answer(Answer {
        within: Duration::from_secs(60),
        ring: reject.is_none(),
        after,
        reject: reject.clone(),
        direction: Direction::SendRecv,
        optional: false,
        media: if args.no_media { MediaMode::None } else { MediaMode::Audio },
        video: (!args.no_media).then(Box::default),
        speaks: Extensions::default(),
    })];
    if reject.is_none() {
        steps.push(Step::Talk(Talk { duration: args.hangup_after.map(|period| Length::Fixed(period.0)), send }));
    }
    let server = Server::new(args.listen.ip().to_string(), Some(args.listen.port()), Transport::Udp);
    let target = Target {
        name: "answer".into(),
        lab: false,
        server,
        domain: args.listen.to_string(),
        public_address: args.public_address.map_or(PublicAddress::Local, PublicAddress::Fixed),
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
        codecs: vec![Codec::Pcma, Codec::Pcmu, Codec::G722, Codec::Opus],
        opus: Wishes::default(),
        srtp: Srtp::new(args.srtp),
        ice: Ice { trickle: Trickle::Half, ..Ice::default() },
        application: Arc::default(),
        rtp_ports: None,
        shared_media: args.shared_media,
        trunks: BTreeMap::new(),
        pairing_header: Some(args.pairing_header.clone()),
        numbers: BTreeMap::new(),
        licence: None,
        labels: BTreeMap::new(),
        safety: Arc::new(Safety::lab()),
    };
    let actor = Actor {
        name: "answer".into(),
        target: Arc::new(target),
        pool: None,
        account_of: None,
        registered: Registered::BySteps,
        expires: 0,
        when: None,
        steps,
    };
    Plan {
        scenario: "answer".into(),
        description: "Calls that came in.".into(),
        actors: vec![actor],
        load: Load {
            schedule: Schedule::OnDemand,
            stop: Stop { calls: args.calls, after: args.period.map(|period| period.0) },
        },
        seed: 1,
        kinds: None,
        warm_up: Duration::ZERO,
        abort_when: Vec::new(),
        test_call: None,
        expect: Vec::new(),
        safety: Safety::lab(),
        filled: Vec::new(),
        honour_retry_after: true,
        mask_numbers: args.mask_numbers,
        listen: if args.tones { Listen::Tones } else { Listen::Full },
    }
}
