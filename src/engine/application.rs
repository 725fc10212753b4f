//! The application of a lab over HTTP and WebSocket, on a thread of its own.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use tokio::sync::{broadcast, oneshot};

use super::host::StartError;
use crate::net::{clock, listen};
use crate::pbx::desk::{Desk, Reply};
use crate::scenario::lab::{LabApplication, LabPlan};

/// Changes that a WebSocket may be behind; one that is further behind looks at its state all the same.
const CHANGES: usize = 64;

/// An application that is served until this is dropped.
#[derive(Debug)]
pub(super) struct Served {
    /// Where.
    pub(super) address: SocketAddr,
    until_dropped: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone)]
struct Shared {
    desk: Arc<Mutex<Desk>>,
    /// Told whenever a state may have changed.
    changes: broadcast::Sender<()>,
    ready_after: Duration,
}

impl Served {
    pub(super) fn start(plan: &LabPlan, application: LabApplication) -> Result<Self, StartError> {
        let LabApplication { listen: address, ready_after } = application;
        let listener = listen::listen(address).map_err(|source| StartError::Listen { address, source })?;
        let address = listener.local_addr().map_err(StartError::Worker)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::Worker)?;
        let desk = Arc::new(Mutex::new(Desk::new(&plan.accounts, ready_after, clock::seed())));
        let shared = Shared { desk, changes: broadcast::Sender::new(CHANGES), ready_after };
        let (until_dropped, dropped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("lab-application".into()).spawn(move || {
            let served = runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                let router = Router::new().route("/events", get(events)).fallback(answer).with_state(shared);
                tokio::select! {
                    served = async { axum::serve(listener, router).await } => served,
                    _ = dropped => Ok(()),
                }
            });
            if let Err(error) = served {
                tracing::error!(%error, "the application of the lab has ended");
            }
        });
        Ok(Self { address, until_dropped: Some(until_dropped), thread: Some(thread.map_err(StartError::Worker)?) })
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.until_dropped.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn ask<T>(&self, ask: impl FnOnce(&mut Desk) -> T) -> T {
        ask(&mut self.desk.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets those who watch look now, and again when who wants to be ready is.
    fn tell_change(&self) {
        // Nobody may watch.
        let _ = self.changes.send(());
        if !self.ready_after.is_zero() {
            let (changes, wait) = (self.changes.clone(), self.ready_after);
            tokio::spawn(async move {
                tokio::time::sleep(wait).await;
                let _ = changes.send(());
            });
        }
    }
}

fn token_of(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

fn response_of((status, json): Reply) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, "application/json")], json.to_string()).into_response()
}

async fn answer(State(shared): State<Shared>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let request = (method.as_str(), uri.path());
    let reply = shared.ask(|desk| desk.handle(clock::now(), request, token_of(&headers), &body));
    shared.tell_change();
    response_of(reply)
}

async fn events(State(shared): State<Shared>, headers: HeaderMap, upgrade: WebSocketUpgrade) -> Response {
    let token = token_of(&headers).unwrap_or_default().to_owned();
    let reply = shared.ask(|desk| desk.state(clock::now(), Some(&token)));
    if reply.0 != 200 {
        return response_of(reply);
    }
    upgrade.on_upgrade(move |socket| watch(socket, shared, token))
}

/// Takes what an agent wants, and tells it every change of its state until it is signed out or gone.
async fn watch(mut socket: WebSocket, shared: Shared, token: String) {
    let mut changes = shared.changes.subscribe();
    let mut told = None;
    loop {
        let (status, state) = shared.ask(|desk| desk.state(clock::now(), Some(&token)));
        if status != 200 {
            break;
        }
        if told.as_ref() != Some(&state) {
            if socket.send(Message::text(state.to_string())).await.is_err() {
                return;
            }
            told = Some(state);
        }
        tokio::select! {
            changed = changes.recv() => match changed {
                Ok(()) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return,
            },
            came = socket.recv() => match came {
                Some(Ok(Message::Text(text))) => {
                    let reply = shared.ask(|desk| desk.handle_message(clock::now(), &token, &text));
                    shared.tell_change();
                    if socket.send(Message::text(reply.to_string())).await.is_err() {
                        return;
                    }
                    told = Some(reply);
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
        }
    }
    let _ = socket.send(Message::Close(None)).await;
}
