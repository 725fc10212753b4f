//! What a watch shows to others over HTTP: `/healthz`, `/metrics`, a page for people and an API. Reading places no call.
//!
//! A thread of its own answers from the [`Board`], on which the watch puts [`Figures`] and whole [`view::View`]s; it never
//! asks the watch anything, and holds no lock while it writes an answer.

mod access;
mod api;
mod door;
mod figures;
mod openapi;
mod page;
mod routes;
pub mod view;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

pub use figures::{Deliveries, Figures, Spooled};

use crate::net::{self, clock};
use crate::units::Secret;
use door::Door;
use view::View;

/// A watch that has not been heard of for so long stands still.
const ALIVE_WITHIN: Duration = Duration::from_secs(10);

/// What the watch writes and readers read.
#[derive(Clone, Debug)]
pub struct Board(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    figures: Mutex<Written>,
    published: Mutex<Arc<Published>>,
}

#[derive(Debug)]
struct Written {
    figures: Figures,
    at: Instant,
}

/// A view, and the page of it once somebody has asked for it.
#[derive(Debug, Default)]
struct Published {
    view: View,
    page: OnceLock<String>,
}

impl Board {
    /// A board with these figures and nothing to see yet.
    pub fn new(figures: Figures) -> Self {
        let figures = Mutex::new(Written { figures, at: clock::now() });
        Self(Arc::new(Shared { figures, published: Mutex::default() }))
    }

    /// The watch makes its checks.
    pub fn alive(&self) {
        self.lock().at = clock::now();
    }

    /// Changes figures, which alone does not say that checks are made.
    pub fn write(&self, change: impl FnOnce(&mut Figures)) {
        change(&mut self.lock().figures);
    }

    /// Something of its figures as they are now.
    pub fn read<T>(&self, look: impl FnOnce(&Figures) -> T) -> T {
        look(&self.lock().figures)
    }

    /// From now on readers see this.
    pub fn publish(&self, view: View) {
        let published = Arc::new(Published { view, page: OnceLock::new() });
        let before = std::mem::replace(&mut *self.lock_published(), published);
        // Outside the lock: a thousand lines take a while to drop.
        drop(before);
    }

    /// What readers see.
    fn published(&self) -> Arc<Published> {
        Arc::clone(&self.lock_published())
    }

    /// How long nothing was heard of the watch.
    fn silent_for(&self) -> Duration {
        clock::now().saturating_duration_since(self.lock().at)
    }

    fn lock(&self) -> MutexGuard<'_, Written> {
        self.0.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_published(&self) -> MutexGuard<'_, Arc<Published>> {
        self.0.published.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is shown at an address.
#[derive(Clone, Debug, Default)]
pub struct Shows {
    /// `/metrics`.
    pub figures: bool,
    /// The page and its API.
    pub page: Option<Reading>,
}

/// Who may read the page, and what evidence it leads to.
#[derive(Clone, Debug)]
pub struct Reading {
    /// What a reader has to show; without one the address has to be of this machine alone.
    pub token: Option<Secret>,
    /// The folder of the watch, with `evidence/`.
    pub folder: PathBuf,
}

/// A server that answers until it is dropped.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    until_dropped: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens and answers from the board.
    ///
    /// # Errors
    /// The system's: the address is taken, or not of this machine.
    pub fn start(listen: SocketAddr, board: Board, shows: Shows) -> io::Result<Self> {
        let listener = net::listen::listen(listen)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (until_dropped, dropped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("serve".into()).spawn(move || {
            let served = runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                let until = async move {
                    // Ends with its sender.
                    let _ = dropped.await;
                };
                tokio::select! {
                    served = async { axum::serve(Door::new(listener), routes::router(board, shows)).await } => served,
                    () = until => Ok(()),
                }
            });
            if let Err(error) = served {
                tracing::error!(%error, "figures and page are not served any more");
            }
        })?;
        Ok(Self { address, until_dropped: Some(until_dropped), thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.until_dropped.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
