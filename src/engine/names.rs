//! Names that are looked up again while a run goes on: what DNS said holds for its TTL.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::net::{clock, resolve};
use crate::scenario::plan::Server;
use crate::sip::flow::Hop;
use crate::sip::locate::Located;

/// How the servers of a run were found.
#[derive(Clone, Debug)]
pub struct Names {
    /// Asked instead of the system's.
    pub nameserver: Option<SocketAddr>,
    /// A name is asked for no more often than this, however short its TTL; and so long after a look-up that failed.
    /// Default 30 s.
    pub not_before: Duration,
}

impl Default for Names {
    fn default() -> Self {
        Self { nameserver: None, not_before: Duration::from_secs(30) }
    }
}

/// A look-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookedUp {
    /// Index of the server.
    pub number: usize,
    /// The server.
    pub server: Server,
    /// Its places now; where nothing was found, why: what was known is kept.
    pub found: Result<Located, String>,
    /// It brought other places, failed, or is the first that did not fail any more.
    pub is_news: bool,
}

/// The thread that looks names up. It ends after this is dropped, with the look-up that it is at.
#[derive(Debug)]
pub struct Renewal {
    _until_dropped: Sender<()>,
}

/// A server whose name is looked up again.
struct Known {
    number: usize,
    server: Server,
    hops: Vec<Hop>,
    due: Instant,
    /// The last look-up found nothing.
    failing: bool,
}

impl Renewal {
    /// Looks names up when their time has come, and tells what came of it. `None` where there is nothing to look up.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(
        names: &Names,
        servers: &[(Server, Located)],
        mut tell: impl FnMut(LookedUp) + Send + 'static,
    ) -> std::io::Result<Option<Self>> {
        let (now, nameserver, not_before) = (clock::now(), names.nameserver, names.not_before);
        let mut known: Vec<Known> = Vec::new();
        for (number, (server, located)) in servers.iter().enumerate() {
            if let Some(ttl) = located.ttl {
                let (due, hops) = (now + ttl.max(not_before), located.hops.clone());
                let failing = hops.is_empty();
                known.push(Known { number, server: server.clone(), hops, due, failing });
            }
        }
        if known.is_empty() {
            return Ok(None);
        }
        let (until_dropped, stopped) = bounded(0);
        std::thread::Builder::new().name("names".into()).spawn(move || {
            while wait(&stopped, &known) {
                let now = clock::now();
                for known in known.iter_mut().filter(|known| known.due <= now) {
                    tell(look_up(known, nameserver, not_before));
                }
            }
        })?;
        Ok(Some(Self { _until_dropped: until_dropped }))
    }
}

/// Waits for the next name; false at the end of the run.
fn wait(stopped: &Receiver<()>, known: &[Known]) -> bool {
    let Some(due) = known.iter().map(|known| known.due).min() else { return false };
    stopped.recv_deadline(due) == Err(RecvTimeoutError::Timeout)
}

fn look_up(known: &mut Known, nameserver: Option<SocketAddr>, not_before: Duration) -> LookedUp {
    let found = resolve::locate(known.server.wanted(), nameserver, clock::seed());
    let ttl = found.as_ref().ok().and_then(|located| located.ttl);
    known.due = clock::now() + ttl.unwrap_or_default().max(not_before);
    let found = found.map_err(|error| error.to_string());
    let failed_before = std::mem::replace(&mut known.failing, found.is_err());
    let is_news = failed_before || found.as_ref().map_or(true, |located| located.hops != known.hops);
    if let Ok(located) = &found {
        known.hops.clone_from(&located.hops);
    }
    LookedUp { number: known.number, server: known.server.clone(), found, is_news }
}
