//! The command line: one file per subcommand, wiring only.

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod answer;
mod args;
mod bandwidth;
pub mod check;
mod evidence;
pub mod exit;
pub mod explain;
mod lab;
mod live;
pub mod load;
mod out;
mod report;
mod results;
mod run;
pub mod schema;
mod screen;
mod session;
mod sheet;
mod signals;
mod watch;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Args, Command};
use out::note;

use crate::incident::Numbers;

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // --help and --version come as errors that are none.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(exit::USAGE) } else { ExitCode::SUCCESS };
        }
    };
    start_log();
    let done = match args.command {
        Command::Run(run) => run::run(&run),
        Command::Check { files, target, set, live, bandwidth, mbps } => {
            let (overrides, mut out) = (load::Overrides { target, set }, out::stdout());
            let checked = check::run(&files, &overrides, live, &mut out);
            let measured = checked.and_then(|code| match bandwidth.filter(|_| code != exit::USAGE) {
                Some(to) if !bandwidth::run(to, mbps, &mut out)? => Ok(exit::NOT_STARTED),
                _ => Ok(code),
            });
            measured.map_err(Into::into)
        }
        Command::Watch(watch) => watch::run(&watch),
        Command::Answer(answer) => answer::run(&answer),
        Command::Lab(lab) => lab::run(&lab),
        Command::Evidence { run_dir, call_id } => evidence::run(&run_dir, &call_id),
        Command::Sheet { run_dir, id, json, mask_numbers } => {
            let numbers = if mask_numbers { Numbers::Masked } else { Numbers::Shown };
            sheet::run(&run_dir, &id, json, numbers)
        }
        Command::Report { run_dir, flush } => report::run(&run_dir, flush),
        Command::Explain { class } => explain::run(&class),
        Command::Schema { kind } => schema::run(&kind, &mut out::stdout(), &mut out::stderr()).map_err(Into::into),
    };
    done.map_or_else(
        |error: anyhow::Error| {
            note!("ringfleet: {error:#}");
            ExitCode::from(exit::USAGE)
        },
        ExitCode::from,
    )
}

/// Log lines on stderr; `RUST_LOG` chooses, warnings by default.
fn start_log() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(out::stderr).with_target(false).init();
}
