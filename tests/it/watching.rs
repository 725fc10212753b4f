//! A `ringfleet watch` that runs, for the tests that look at what it says and whom it tells.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cli::Desk;

/// A watch that runs, and the lines that it prints.
pub(crate) struct Watching {
    child: Child,
    lines: Receiver<String>,
    /// What a line may be waited for.
    patience: Duration,
}

impl Watching {
    pub(crate) fn start(desk: &Desk, arguments: &[&str], patience: Duration) -> Self {
        Self::of(desk.command(arguments), patience)
    }

    pub(crate) fn of(mut command: Command, patience: Duration) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
        let (sender, lines) = sync_channel(100_000);
        let (out, err) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        let other = sender.clone();
        std::thread::spawn(move || {
            BufReader::new(out).lines().map_while(Result::ok).try_for_each(|it| sender.send(it))
        });
        std::thread::spawn(move || BufReader::new(err).lines().map_while(Result::ok).try_for_each(|it| other.send(it)));
        Self { child, lines, patience }
    }

    /// Waits for a line that holds these words.
    pub(crate) fn wait_for(&self, words: &str) -> String {
        let mut seen = Vec::new();
        loop {
            match self.lines.recv_timeout(self.patience) {
                Ok(line) if line.contains(words) => return line,
                Ok(line) => seen.push(line),
                Err(error) => panic!("no `{words}`: {error}\n{}", seen.join("\n")),
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("it runs");
    }

    /// Ends it from one moment to the next.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    pub(crate) fn end(mut self) -> Option<i32> {
        self.signal(Signal::SIGTERM);
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
