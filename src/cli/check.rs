//! `ringfleet check FILE...`: every mistake at once, else what would be done. Nothing is dialled, and with `--live` servers
//! are asked whether they are there.

use std::io::{self, Write};
use std::path::PathBuf;

use super::load::{self, Overrides};
use super::{exit, live};
use crate::scenario::compile::{self, Compiled, Input, kind_of};
use crate::scenario::diagnostic::Diagnostics;
use crate::scenario::preview::Preview;
use crate::scenario::schema::FileKind;

/// Checks files of any kind and prints to `out`; gives the exit code, 0 or 2, or 4 where a server is not reached.
///
/// # Errors
/// Only where `out` cannot be written.
pub fn run(files: &[PathBuf], overrides: &Overrides, live: bool, out: &mut impl Write) -> io::Result<u8> {
    let (mut mistakes, mut reached) = (0, true);
    for path in files {
        match load::with_input(path, overrides, check) {
            Ok(text) => {
                write!(out, "{}: valid\n{text}", path.display())?;
                if let Some(compiled) = live.then(|| load::with_input(path, overrides, plan_to_climb).ok()).flatten() {
                    reached &= live::climb(&compiled, out)?;
                }
            }
            Err(diagnostics) => {
                mistakes += diagnostics.0.len();
                for diagnostic in &diagnostics.0 {
                    writeln!(out, "{diagnostic}\n")?;
                }
            }
        }
    }
    match mistakes {
        0 if !reached => return Ok(exit::NOT_STARTED),
        0 => return Ok(exit::PASS),
        1 => writeln!(out, "1 mistake; nothing would be dialled")?,
        count => writeln!(out, "{count} mistakes; nothing would be dialled")?,
    }
    Ok(exit::USAGE)
}

/// What reaches the servers of a scenario or of a target.
fn plan_to_climb(input: &Input<'_>) -> Result<Compiled, Diagnostics> {
    let target = input.path.to_string_lossy();
    // A path, wherever it is: a bare name would be looked for in `targets/`.
    let target = if target.contains('/') { target.into_owned() } else { format!("./{target}") };
    match kind_of(input.text) {
        FileKind::Scenario => compile::scenario(input),
        FileKind::Target | FileKind::Lab => compile::scenario(&Input {
            path: input.path,
            text: "scenario: live\ncaller: { steps: [options] }\n",
            target: Some(&target),
            set: &[],
            env: input.env,
            read: input.read,
        }),
        FileKind::Watch => Err(Diagnostics::default()),
    }
}

/// Says what a file comes to.
fn check(input: &Input<'_>) -> Result<String, Diagnostics> {
    match kind_of(input.text) {
        FileKind::Scenario => Ok(Preview::new(&compile::scenario(input)?.plan).to_string()),
        FileKind::Target => {
            let target = compile::target(input)?;
            let (numbers, trunks) = (target.numbers.len(), target.trunks.len());
            Ok(format!("  target            {}: {numbers} numbers, {trunks} trunks\n", target.name))
        }
        FileKind::Watch => Ok(compile::watch(input)?.to_string()),
        FileKind::Lab => {
            let lab = compile::lab(input)?;
            let (accounts, extensions) = (lab.accounts.len(), lab.extensions.len());
            Ok(format!("  lab               {}: {accounts} accounts, {extensions} numbers\n", lab.domain))
        }
    }
}
