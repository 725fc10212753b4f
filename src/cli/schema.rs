//! `ringfleet schema KIND`: the JSON Schema of a kind of file, for editors.

use std::io::{self, Write};

use crate::scenario::diagnostic::did_you_mean;
use crate::scenario::schema::FileKind;

/// Prints the schema of `kind` to `out`, or to `err` why not; gives the exit code, 0 or 2.
///
/// # Errors
/// Only where `out` or `err` cannot be written.
pub fn run(kind: &str, out: &mut impl Write, err: &mut impl Write) -> io::Result<u8> {
    let names: Vec<&str> = FileKind::ALL.iter().map(|kind| kind.name()).collect();
    match FileKind::ALL.iter().find(|known| known.name() == kind) {
        Some(kind) => {
            out.write_all(kind.schema_text().as_bytes())?;
            Ok(0)
        }
        None => {
            writeln!(err, "unknown kind of file `{kind}`: {}", did_you_mean(kind, "a kind", &names))?;
            Ok(2)
        }
    }
}
