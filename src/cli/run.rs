//! `ringfleet run`: compile, resolve, start the lab if the target is one, run, judge.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use super::args::Run as Args;
use super::exit;
use super::load::{self, Overrides};
use super::out::{note, say};
use super::results::Results;
use super::screen::Screen;
use super::session::{Session, run_id, runs_dir, watched_legs};
use super::signals::Interrupt;
use crate::engine::{Lab, Names, Settings, Workers};
use crate::net::clock;
use crate::net::dialer::Dialer;
use crate::net::resolve::locate;
use crate::reactor::Security;
use crate::record::{Anchor, Class};
use crate::report::Summary;
use crate::scenario::compile::Compiled;
use crate::scenario::plan::{Plan, Server};
use crate::sink::influx::{Credentials, InfluxTarget};
use crate::sink::{self, Collector, FolderError, RunFolder};
use crate::sip::flow::Hop;
use crate::sip::locate::{LocateError, Located};

/// What keeps a run from starting, with its exit code.
pub(super) struct NotStarted {
    code: u8,
    text: String,
}

impl NotStarted {
    pub(super) fn usage(text: impl Into<String>) -> Self {
        Self { code: exit::USAGE, text: text.into() }
    }

    /// What it is.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Says it, and gives the exit code.
    pub(super) fn tell(&self) -> u8 {
        note!("ringfleet: {}", self.text);
        self.code
    }

    /// A folder that is somebody else's is a mistake; a disk that takes nothing is not.
    pub(super) fn without_folder(error: &FolderError) -> Self {
        match error {
            FolderError::Foreign { .. } | FolderError::Name(_) => Self::usage(error.to_string()),
            FolderError::Io { .. } => Self::environment(error.to_string()),
        }
    }

    pub(super) fn environment(text: impl Into<String>) -> Self {
        Self { code: exit::NOT_STARTED, text: text.into() }
    }
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let overrides = Overrides { target: args.target.clone(), set: args.set.clone() };
    let mut plans = Vec::new();
    for path in &args.scenarios {
        match load::scenario(path, &overrides) {
            Ok(compiled) => plans.push(compiled),
            Err(diagnostics) => {
                note!("{diagnostics}");
                return Ok(exit::USAGE);
            }
        }
    }
    if args.out.is_some() && plans.len() > 1 {
        note!("ringfleet: --out names one run folder, and there are {} scenarios", plans.len());
        return Ok(exit::USAGE);
    }
    let interrupt = Interrupt::watch()?;
    let mut codes = Vec::new();
    for compiled in plans {
        match run_one(args, compiled, &interrupt)? {
            Ok(summary) => {
                if args.json {
                    say!("{}", serde_json::to_string_pretty(&summary)?);
                }
                codes.push(summary.exit_code);
            }
            Err(refused) => codes.push(refused.tell()),
        }
        if interrupt.came() {
            break;
        }
    }
    Ok(exit::worst(&codes))
}

fn run_one(args: &Args, mut compiled: Compiled, interrupt: &Interrupt) -> anyhow::Result<Result<Summary, NotStarted>> {
    let started = clock::timestamp();
    let influx = match influx_target(args.influx.as_deref()) {
        Ok(influx) => influx,
        Err(refused) => return Ok(Err(refused)),
    };
    let closes = match compiled.plan.may_start_at(clock::time_of_day()) {
        Ok(left) => left.map(|left| clock::now() + left),
        Err(closed) => return Ok(Err(NotStarted::usage(format!("{closed}; nothing was dialled")))),
    };
    let lab = match compiled.lab.take() {
        None => None,
        Some(plan) => match Lab::start((*plan).clone(), SocketAddr::from(([127, 0, 0, 1], 0))) {
            Ok(lab) => Some(lab),
            Err(error) => return Ok(Err(NotStarted::environment(error.to_string()))),
        },
    };
    if let Some(application) = lab.as_ref().and_then(|lab| lab.application) {
        compiled.plan.serve_application(&format!("http://{application}"));
    }
    let located = addresses(&compiled.plan, lab.as_ref(), args.nameserver).map_err(NotStarted::from);
    let located = located.and_then(|servers| Ok((security(&servers, lab.as_ref())?, servers)));
    let (security, servers) = match located {
        Ok(located) => located,
        Err(refused) => return Ok(Err(refused)),
    };
    let plan = Arc::new(compiled.plan);
    let runs = runs_dir(args.out.as_deref());
    let settings = Settings {
        plan: Arc::clone(&plan),
        servers,
        names: Names { nameserver: args.nameserver, ..Names::default() },
        fail_over: plan.load.search().is_none(),
        security,
        workers: usize::from(args.workers),
        listen: None,
        run_id: run_id(started),
        anchor: Anchor { instant: clock::now(), timestamp: clock::timestamp() },
        site: args.site.clone(),
        closes,
        watched_legs: watched_legs(influx.as_ref()),
        whole_every: args.records.whole_every(plan.load.planned()),
    };
    let workers = match Workers::prepare(&settings) {
        Ok(workers) => workers,
        Err(error) => return Ok(Err(NotStarted::environment(error.to_string()))),
    };
    let folder = match RunFolder::create(args.out.as_deref(), &runs, &plan.scenario, started) {
        Ok(folder) => folder,
        Err(error) => return Ok(Err(NotStarted::without_folder(&error))),
    };
    let collector = match influx.map(|target| start_sink(&target, folder.path(), &runs)).transpose() {
        Ok(collector) => collector,
        Err(refused) => return Ok(Err(refused)),
    };
    let workers = match workers.start() {
        Ok(workers) => workers,
        Err(error) => return Ok(Err(NotStarted::environment(error.to_string()))),
    };
    let screen = Screen::new(&plan, args.quiet || args.json);
    let results = Results::new(folder, collector);
    let mut session = Session::new(&plan, results, screen, started, args.site.clone(), workers.count());
    let ending = session.count(&workers, interrupt)?;
    workers.join();
    let lab_cpu = lab.as_ref().map(Lab::cpu);
    if let Some(lab) = lab {
        lab.stop();
    }
    Ok(Ok(session.finish(ending, lab_cpu)))
}

/// The InfluxDB that results go to, with what opens it from the environment.
pub(super) fn influx_target(url: Option<&str>) -> Result<Option<InfluxTarget>, NotStarted> {
    let Some(url) = url else { return Ok(None) };
    let target = InfluxTarget::from_url(url, credentials());
    target.map(Some).map_err(|error| NotStarted::usage(format!("--influx: {error}")))
}

/// What the environment holds to open a database.
pub(super) fn credentials() -> Credentials {
    Credentials::from_environment(|name| std::env::var(name).ok())
}

/// Starts the sink; what earlier runs left for it is delivered too.
pub(super) fn start_sink(target: &InfluxTarget, run_dir: &Path, runs: &Path) -> Result<Collector, NotStarted> {
    let settings = sink::Settings { runs_dir: Some(runs.to_owned()), ..sink::Settings::default() };
    let started = Collector::start(target, run_dir, settings);
    started.map_err(|error| NotStarted::environment(format!("cannot start the InfluxDB sink: {error}")))
}

/// Why it is not known where a server is reached.
pub(super) struct Nowhere {
    pub(super) class: Class,
    target: String,
    error: LocateError,
}

impl Nowhere {
    /// What it is, without its class.
    pub(super) fn text(&self) -> String {
        format!("target {}: {}", self.target, self.error)
    }
}

impl From<Nowhere> for NotStarted {
    fn from(nowhere: Nowhere) -> Self {
        let Nowhere { class, target, error } = nowhere;
        Self::environment(format!("target {target}: {class}: {error}"))
    }
}

/// Where every server that a plan names is reached.
pub(super) fn addresses(
    plan: &Plan,
    lab: Option<&Lab>,
    nameserver: Option<SocketAddr>,
) -> Result<Vec<(Server, Located)>, Nowhere> {
    let mut known: Vec<(Server, Located)> = Vec::new();
    for actor in &plan.actors {
        let target = &actor.target;
        for server in target.servers() {
            if known.iter().any(|(other, _)| other == server) {
                continue;
            }
            let located = match lab.filter(|_| target.lab && *server == target.server) {
                Some(lab) => {
                    let hop = Hop { transport: server.transport.unwrap_or_default(), address: lab.address };
                    vec![hop].into()
                }
                None => locate(server.wanted(), nameserver, clock::seed()).map_err(|error| {
                    let own = matches!(error, LocateError::Unanswered(..));
                    let class = if own { Class::ProbeNoDns } else { Class::TransportDns };
                    Nowhere { class, target: target.name.clone(), error }
                })?,
            };
            known.push((server.clone(), located));
        }
    }
    Ok(known)
}

/// How connections to each server are made.
pub(super) fn security(servers: &[(Server, Located)], lab: Option<&Lab>) -> Result<Security, NotStarted> {
    let dialer = |(server, located): &(Server, Located)| {
        let dialer = Dialer::new(server, &located.hops, lab.map(|lab| lab.ca.as_str()));
        dialer.map_err(|error| NotStarted::environment(format!("server {server}: {error}")))
    };
    let servers = servers.iter().map(dialer).collect::<Result<_, _>>()?;
    Ok(Security { servers, acceptor: None })
}
