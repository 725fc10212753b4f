//! Standard output and error. Where nobody reads them any more (`ringfleet … | head -1`) what is written is gone, and what is
//! under way goes on: a run has its verdict, its folder and its exit code.

use std::io::{self, ErrorKind, Write};

/// A line on standard output beside results that are kept elsewhere.
macro_rules! say {
    ($($word:tt)*) => {{ use std::io::Write as _; drop(writeln!($crate::cli::out::stdout(), $($word)*)); }};
}

/// A line on standard error.
macro_rules! note {
    ($($word:tt)*) => {{ use std::io::Write as _; drop(writeln!(std::io::stderr(), $($word)*)); }};
}

pub(super) use {note, say};

/// What passes everything on, and takes note of all errors but that nobody reads any more.
#[derive(Debug)]
pub(super) struct Out<W>(W);

/// Standard output, for what a command is asked for: an error is the command's.
pub(super) fn stdout() -> Out<io::StdoutLock<'static>> {
    Out(io::stdout().lock())
}

/// Standard error.
pub(super) fn stderr() -> Out<io::StderrLock<'static>> {
    Out(io::stderr().lock())
}

impl<W: Write> Write for Out<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.write(bytes) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(bytes.len()),
            written => written,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0.flush() {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            flushed => flushed,
        }
    }
}
