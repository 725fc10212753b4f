//! `ringfleet check FILE...`: every mistake at once, else what would be done. Nothing is dialled.

use std::io::{self, Write};
use std::path::PathBuf;

use super::load::{self, Overrides};
use crate::scenario::compile::{self, Input, kind_of};
use crate::scenario::diagnostic::Diagnostics;
use crate::scenario::preview::Preview;
use crate::scenario::schema::FileKind;

/// Checks files of any kind and prints to `out`; gives the exit code, 0 or 2.
///
/// # Errors
/// Only where `out` cannot be written.
pub fn run(files: &[PathBuf], overrides: &Overrides, live: bool, out: &mut impl Write) -> io::Result<u8> {
    let mut mistakes = 0;
    for path in files {
        match load::with_input(path, overrides, check) {
            Ok(text) => write!(out, "{}: valid\n{text}", path.display())?,
            Err(diagnostics) => {
                mistakes += diagnostics.0.len();
                for diagnostic in &diagnostics.0 {
                    writeln!(out, "{diagnostic}\n")?;
                }
            }
        }
    }
    if live {
        writeln!(out, "--live is not supported yet: nothing was sent")?;
        return Ok(2);
    }
    match mistakes {
        0 => return Ok(0),
        1 => writeln!(out, "1 mistake; nothing would be dialled")?,
        count => writeln!(out, "{count} mistakes; nothing would be dialled")?,
    }
    Ok(2)
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
