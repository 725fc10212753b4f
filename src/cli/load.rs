//! Files and environment for `scenario::compile`: the one place that reads them.

use std::fs;
use std::io;
use std::path::Path;

use crate::scenario::compile::{self, Compiled, Input};
use crate::scenario::diagnostic::{Diagnostic, Diagnostics};

/// Scenario, target and account files are at most this large.
const MAX_BYTES: u64 = 64 << 20;

/// What the command line adds to a scenario.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--target`.
    pub target: Option<String>,
    /// `--set KEY=VALUE`, in order.
    pub set: Vec<(String, String)>,
}

/// Reads and compiles a scenario.
///
/// # Errors
/// [`Diagnostics`] holds every mistake of every file.
pub fn scenario(path: &Path, overrides: &Overrides) -> Result<Compiled, Diagnostics> {
    with_input(path, overrides, compile::scenario)
}

/// Reads a file and hands it to one of the functions of `scenario::compile`.
///
/// # Errors
/// [`Diagnostics`] holds every mistake of every file.
pub fn with_input<T>(
    path: &Path,
    overrides: &Overrides,
    compile: impl FnOnce(&Input<'_>) -> Result<T, Diagnostics>,
) -> Result<T, Diagnostics> {
    let text = read(path).map_err(|error| {
        let file = path.display().to_string();
        Diagnostics(vec![Diagnostic::whole(&file, format!("cannot be read: {error}"), None)])
    })?;
    compile(&Input {
        path,
        text: &text,
        target: overrides.target.as_deref(),
        set: &overrides.set,
        env: &|name| std::env::var(name).ok(),
        read: &read,
    })
}

/// Splits `KEY=VALUE`.
///
/// # Errors
/// What to write instead.
pub fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        // The text is not repeated: it may be a password.
        _ => Err("write KEY=VALUE, as in --set load.calls=10".to_owned()),
    }
}

fn read(path: &Path) -> io::Result<String> {
    let about = fs::metadata(path)?;
    if about.is_dir() {
        return Err(io::Error::other("it is a folder"));
    }
    if about.len() > MAX_BYTES {
        return Err(io::Error::other("it is larger than 64 MiB"));
    }
    fs::read_to_string(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_of_a_setting_may_hold_equal_signs() {
        assert_eq!(key_value("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert_eq!(key_value("a="), Ok(("a".into(), String::new())));
        assert!(key_value("hunter2").is_err_and(|text| !text.contains("hunter2")));
        assert!(key_value("=x").is_err());
    }
}
