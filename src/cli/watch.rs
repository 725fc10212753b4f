//! `ringfleet watch`: the file, the folder and the signals of a watch.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use super::args::Watch as Args;
use super::exit;
use super::load::{self, Overrides};
use super::out::note;
use super::run::{NotStarted, credentials, start_sink};
use super::screen::{counted, trouble_of};
use super::session::{run_id, runs_dir, watched_legs};
use super::signals::{HangUp, Interrupt};
use crate::net::clock;
use crate::scenario::compile;
use crate::scenario::watch::{Influx, Page, Watch};
use crate::serve::{Board, Figures, Reading, Server, Shows};
use crate::sink::RunFolder;
use crate::sink::influx::{Credentials, InfluxTarget};
use crate::watch::{self, Asked, Ended, Options, Said, Store, WatchError};

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let load = || load::with_input(&args.file, &Overrides::default(), compile::watch);
    let watch = match load() {
        Ok(watch) => watch,
        Err(diagnostics) => {
            note!("{diagnostics}");
            return Ok(exit::USAGE);
        }
    };
    let interrupt = Interrupt::watch()?;
    let hang_up = HangUp::watch()?;
    match start(args, watch, &interrupt, &hang_up, &load) {
        Ok(code) => Ok(code),
        Err(refused) => Ok(refused.tell()),
    }
}

fn start(
    args: &Args,
    watch: Watch,
    interrupt: &Interrupt,
    hang_up: &HangUp,
    load: &dyn Fn() -> Result<Watch, crate::scenario::diagnostic::Diagnostics>,
) -> Result<u8, NotStarted> {
    let started = clock::timestamp();
    let influx = watch.influx.as_ref().map(influx_target).transpose()?;
    let runs = runs_dir(args.out.as_deref());
    let folder = RunFolder::create(args.out.as_deref(), &runs, &watch.name, started)
        .map_err(|error| NotStarted::without_folder(&error))?;
    let path = folder.path().to_owned();
    let watched_legs = watched_legs(influx.as_ref());
    let collector = influx.map(|target| start_sink(&target, &path, &runs)).transpose()?;
    let store = if args.once { None } else { Some(store(&runs.join(format!("{}.redb", watch.name)))?) };
    if !args.quiet {
        let (checks, lines): (usize, usize) =
            (watch.checks.len(), watch.checks.iter().map(|check| check.lines().len()).sum());
        note!("{}: {checks} checks, {lines} lines; results in {}", watch.name, path.display());
    }
    let board = Board::new(Figures { watch: watch.name.clone(), ..Figures::default() });
    let _servers = if args.once { Vec::new() } else { serve(&watch, &board, &path, args.quiet)? };
    let options = Options {
        run_id: run_id(started),
        nameserver: args.nameserver,
        once: args.once,
        watched_legs,
        folder,
        collector,
        store,
        board,
        page: watch.page.is_some() && !args.once,
    };
    let asked = Asked { to_stop: &|| interrupt.came(), to_reload: &|| hang_up.came(), load };
    let quiet = args.quiet;
    let mut say = |said: Said| {
        let time = clock::timestamp().strftime("%H:%M:%S");
        match said {
            // Nobody may read it any more: a watch goes on.
            Said::Call(text) if !quiet => drop(writeln!(std::io::stdout(), "{time}  {text}")),
            Said::Call(_) => {}
            Said::Note(text) => drop(writeln!(std::io::stderr(), "{time}  {text}")),
        }
    };
    let ended = watch::run(watch, options, &asked, &mut say).map_err(|error| match error {
        WatchError::Alert(error) => NotStarted::usage(format!("notify: {error}")),
        error => NotStarted::environment(error.to_string()),
    })?;
    Ok(conclude(args, &ended, &path))
}

/// Serves figures and page, at one address where the file gives them the same.
fn serve(watch: &Watch, board: &Board, folder: &Path, quiet: bool) -> Result<Vec<Server>, NotStarted> {
    let reading = |page: &Page| Reading { token: page.token.clone(), folder: folder.to_owned() };
    let mut shown: Vec<(SocketAddr, Shows)> = Vec::new();
    if let Some(listen) = watch.metrics {
        shown.push((listen, Shows { figures: true, page: None }));
    }
    if let Some(page) = &watch.page {
        match shown.iter_mut().find(|(listen, _)| *listen == page.listen && listen.port() != 0) {
            Some((_, shows)) => shows.page = Some(reading(page)),
            None => shown.push((page.listen, Shows { figures: false, page: Some(reading(page)) })),
        }
    }
    let start = |(listen, shows): (SocketAddr, Shows)| {
        let (figures, page) = (shows.figures, shows.page.is_some());
        let started = Server::start(listen, board.clone(), shows);
        let server = started.map_err(|error| {
            let what = if page { "the page" } else { "figures" };
            NotStarted::environment(format!("cannot serve {what} at {listen}: {error}"))
        })?;
        if figures && !quiet {
            note!("  figures at http://{}/metrics", server.address);
        }
        if page && !quiet {
            note!("  page at http://{}/", server.address);
        }
        Ok(server)
    };
    shown.into_iter().map(start).collect()
}

/// Says how it ended, and gives the exit code.
fn conclude(args: &Args, ended: &Ended, path: &Path) -> u8 {
    if let Some(trouble) = &ended.trouble {
        note!("ringfleet: {trouble}");
    }
    if let Some(sink) = &ended.sink {
        if !args.quiet {
            note!("  {}", counted(sink));
        }
        if let Some(trouble) = trouble_of(sink, path) {
            note!("  {trouble}");
        }
    }
    if args.once && !args.quiet {
        let Ended { checks, failed, .. } = ended;
        note!("{} of {checks} checks hold", checks - failed);
    }
    match ended {
        // A watch without end is ended by a signal: that is no failure.
        Ended { interrupted: true, .. } => {
            if args.once {
                exit::INTERRUPTED
            } else {
                exit::PASS
            }
        }
        Ended { trouble: Some(_), .. } => exit::GENERATOR_LIMITED,
        Ended { checks, unreachable, .. } if *checks > 0 && checks == unreachable => exit::NOT_STARTED,
        Ended { late, .. } if *late > 0 => exit::GENERATOR_LIMITED,
        Ended { failed, checks, .. } if *failed > 0 || *checks == 0 => exit::FAIL,
        _ => exit::PASS,
    }
}

fn influx_target(influx: &Influx) -> Result<InfluxTarget, NotStarted> {
    let credentials = match &influx.token {
        Some(token) => Credentials::token(token.reveal()),
        None => credentials(),
    };
    InfluxTarget::from_url(&influx.url, credentials).map_err(|error| NotStarted::usage(format!("influxdb: {error}")))
}

/// What an earlier watch of this name knew.
fn store(path: &Path) -> Result<Store, NotStarted> {
    let (store, told) = Store::open(path).map_err(|error| NotStarted::environment(error.to_string()))?;
    if let Some(told) = told {
        note!("  {told}");
    }
    Ok(store)
}
