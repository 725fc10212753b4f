//! What a watch shows to others over HTTP: `/healthz` and `/metrics`. Reading places no call.
//!
//! A thread of its own answers from [`Figures`], which the watch keeps up to date; it never asks the watch anything.

mod figures;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::sync::oneshot;

pub use figures::{Deliveries, Figures, Spooled};

use crate::net::{self, clock};

/// A watch that has not been heard of for so long stands still.
const ALIVE_WITHIN: Duration = Duration::from_secs(10);
/// The text format of Prometheus.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Figures that the watch writes and readers read.
#[derive(Clone, Debug)]
pub struct Board(Arc<Mutex<Written>>);

#[derive(Debug)]
struct Written {
    figures: Figures,
    at: Instant,
}

impl Board {
    /// A board with these figures.
    pub fn new(figures: Figures) -> Self {
        Self(Arc::new(Mutex::new(Written { figures, at: clock::now() })))
    }

    /// The watch is alive, and changes its figures.
    pub fn write(&self, change: impl FnOnce(&mut Figures)) {
        let mut written = self.lock();
        written.at = clock::now();
        change(&mut written.figures);
    }

    fn lock(&self) -> MutexGuard<'_, Written> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
    pub fn start(listen: SocketAddr, board: Board) -> io::Result<Self> {
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
                    served = async { axum::serve(listener, router(board)).await } => served,
                    () = until => Ok(()),
                }
            });
            if let Err(error) = served {
                tracing::error!(%error, "figures are not served any more");
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

fn router(board: Board) -> Router {
    Router::new().route("/healthz", get(healthz)).route("/metrics", get(metrics)).with_state(board)
}

async fn healthz(State(board): State<Board>) -> impl IntoResponse {
    let ago = clock::now().saturating_duration_since(board.lock().at);
    if ago <= ALIVE_WITHIN {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("the watch stands still, for {} s\n", ago.as_secs()))
    }
}

async fn metrics(State(board): State<Board>) -> impl IntoResponse {
    let text = board.lock().figures.to_string();
    ([(header::CONTENT_TYPE, TEXT)], text)
}
