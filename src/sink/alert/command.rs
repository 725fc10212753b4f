//! A program that is run for each alert: no shell, the alert as JSON on its standard input.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{Alert, Outcome, words};

/// What it gets of our environment; the rest may hold secrets.
const PASSED_ON: [&str; 7] = ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "USER", "TMPDIR"];
/// Most of what it says that is kept, bytes; the rest is read and dropped.
const MOST_OUTPUT: usize = 2048;
/// What it has started may hold its output open; that is waited for no longer than this.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// A program and its arguments.
#[derive(Debug)]
pub struct Command {
    run: Vec<String>,
    time_out: Duration,
}

impl Command {
    pub(super) fn new(run: Vec<String>, time_out: Duration) -> Self {
        Self { run, time_out }
    }

    /// Runs it once. Exit code 0 says that the alert was taken.
    pub(super) async fn deliver(&self, alert: &Alert) -> Outcome {
        let Some((program, arguments)) = self.run.split_first() else {
            return Outcome::Refused("no command".to_owned());
        };
        let passed_on = PASSED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        let child = tokio::process::Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(passed_on)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own: what it has started ends with it, and our Ctrl-C is none of its business.
            .process_group(0)
            .kill_on_drop(true)
            .spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(error) => return Outcome::unavailable(format!("{program} cannot be run: {error}")),
        };
        let group = child.id().and_then(|id| i32::try_from(id).ok());
        let (out, err) = (beginning(child.stdout.take()), beginning(child.stderr.take()));
        let body = serde_json::to_vec(alert).expect("an alert is plain data");
        let input = child.stdin.take();
        let write = async {
            if let Some(mut input) = input {
                // One that needs no input may end without reading it.
                let _ = input.write_all(&body).await;
            }
        };
        let ended = timeout(self.time_out, async { tokio::join!(write, child.wait()).1 }).await;
        let Ok(status) = ended else {
            if let Some(group) = group {
                let _ = nix::sys::signal::killpg(nix::unistd::Pid::from_raw(group), nix::sys::signal::Signal::SIGKILL);
            }
            let seconds = self.time_out.as_secs();
            return Outcome::unavailable(format!("{program} took longer than {seconds} s and was ended"));
        };
        match status {
            Ok(status) if status.success() => Outcome::Accepted,
            Ok(status) => {
                let said = said(err).await + &said(out).await;
                Outcome::unavailable(words(&format!("{program} ended with {status}: {said}"), &[]))
            }
            Err(error) => Outcome::unavailable(format!("{program}: {error}")),
        }
    }
}

/// Reads until the end, and keeps the beginning.
fn beginning(from: Option<impl AsyncRead + Unpin + Send + 'static>) -> JoinHandle<Vec<u8>> {
    tokio::spawn(async move {
        let mut kept = Vec::new();
        let Some(mut from) = from else { return kept };
        let mut buffer = [0; 1024];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            let room = MOST_OUTPUT.saturating_sub(kept.len());
            kept.extend_from_slice(&buffer[..read.min(room)]);
        }
        kept
    })
}

async fn said(by: JoinHandle<Vec<u8>>) -> String {
    let bytes = timeout(LAST_WORDS, by).await.ok().and_then(Result::ok).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}
