//! A front that speaks InfluxDB v2's `/api/v2/write`: it checks token, org and bucket, and can be told to fail in
//! each way that a sink must survive. Lines go to a store in memory, or to `/write` of a real InfluxDB 1.x.
//!
//! `POST /faults?next=503,hang` queues faults for the next writes; `GET /stats` counts what happened.

mod http;
mod store;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use http::{Request, Response};
pub(crate) use store::Store;

/// What a write gets instead of an honest answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// This status, with this Retry-After.
    Status(u16, Option<String>),
    /// No answer, until the client gives up.
    Hang,
    /// The connection is closed without an answer.
    Drop,
    /// The lines are stored, and the connection is closed without an answer.
    StoredThenDrop,
}

/// What the front expects and where lines go.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Where to listen; port 0 takes a free one.
    pub(crate) listen: SocketAddr,
    /// The token that opens the bucket.
    pub(crate) token: String,
    /// The organisation.
    pub(crate) org: String,
    /// The bucket.
    pub(crate) bucket: String,
    /// Largest body, bytes after decompression; larger ones are answered 413.
    pub(crate) max_body: usize,
    /// Of a batch with a bad line, whether the good lines are stored (InfluxDB 1.x) or none (InfluxDB 3 Core).
    pub(crate) keeps_good_lines: bool,
    /// Lines that hold this text are refused.
    pub(crate) refuse: Option<String>,
    /// Host, port and database of a real InfluxDB 1.x, instead of the store in memory.
    pub(crate) upstream: Option<(String, String)>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: ([127, 0, 0, 1], 0).into(),
            token: "t0ken".into(),
            org: "o".into(),
            bucket: "b".into(),
            max_body: usize::MAX,
            keeps_good_lines: false,
            refuse: None,
            upstream: None,
        }
    }
}

/// A running front. Dropping it closes its port and its connections.
pub(crate) struct Front {
    /// Where it listens.
    pub(crate) addr: SocketAddr,
    state: Arc<State>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct State {
    config: Config,
    faults: Mutex<VecDeque<Fault>>,
    store: Mutex<Store>,
}

impl Front {
    /// Starts a front with an empty store.
    pub(crate) fn start(config: Config) -> std::io::Result<Self> {
        Self::start_with(config, Store::default())
    }

    /// Starts a front that already holds points: a server that comes back.
    pub(crate) fn start_with(config: Config, store: Store) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind(config.listen))?;
        let addr = listener.local_addr()?;
        let state = Arc::new(State { config, faults: Mutex::default(), store: Mutex::new(store) });
        let (stop, stopped) = oneshot::channel::<()>();
        let served = Arc::clone(&state);
        let thread = thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, served) => {}
                    _ = stopped => {}
                }
            });
        });
        Ok(Self { addr, state, stop: Some(stop), thread: Some(thread) })
    }

    /// Queues faults for the next writes.
    pub(crate) fn fail_next(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state.faults().extend(faults);
    }

    /// What has arrived.
    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        self.state.store()
    }

    /// Stops the front and hands over what it holds.
    pub(crate) fn stop(mut self) -> Store {
        self.close();
        std::mem::take(&mut *self.state.store())
    }

    fn close(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.close();
    }
}

impl std::str::FromStr for Fault {
    type Err = String;

    /// `503`, `429:2` (Retry-After: 2), `hang`, `drop`, `stored-drop`.
    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "hang" => Self::Hang,
            "drop" => Self::Drop,
            "stored-drop" => Self::StoredThenDrop,
            _ => {
                let (status, retry_after) = text.split_once(':').map_or((text, None), |(a, b)| (a, Some(b.to_owned())));
                let status = status.parse().map_err(|_| format!("`{text}` is not a fault"))?;
                Self::Status(status, retry_after)
            }
        })
    }
}

impl State {
    fn faults(&self) -> MutexGuard<'_, VecDeque<Fault>> {
        self.faults.lock().expect("no thread panics with it")
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().expect("no thread panics with it")
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream, Arc::clone(&state)));
    }
}

/// Serves a connection until one side closes it.
async fn serve(mut stream: TcpStream, state: Arc<State>) {
    let mut buffer = Vec::new();
    while let Some(request) = http::read(&mut stream, &mut buffer).await {
        let response = match request.path.as_str() {
            "/api/v2/write" => write(&request, &state).await,
            "/faults" => queue(&request, &state),
            "/stats" => Some(Response::new(200, &state.store().stats())),
            _ => Some(Response::new(404, "no such page")),
        };
        let Some(response) = response else { return };
        if http::write(&mut stream, &response).await.is_err() {
            return;
        }
    }
}

/// One write; `None` closes the connection without an answer.
async fn write(request: &Request, state: &State) -> Option<Response> {
    state.store().requests += 1;
    let fault = state.faults().pop_front();
    match fault {
        Some(Fault::Status(status, retry_after)) => {
            let mut response = Response::new(status, &format!(r#"{{"message":"injected {status}"}}"#));
            response.retry_after = retry_after;
            Some(response)
        }
        Some(Fault::Hang) => {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            None
        }
        Some(Fault::Drop) => None,
        Some(Fault::StoredThenDrop) => {
            store(request, state).await;
            None
        }
        None => Some(store(request, state).await),
    }
}

async fn store(request: &Request, state: &State) -> Response {
    let config = &state.config;
    if request.header("authorization") != Some(&format!("Token {}", config.token)) {
        return Response::new(401, r#"{"code":"unauthorized","message":"unauthorized access"}"#);
    }
    for (name, wanted) in [("org", &config.org), ("bucket", &config.bucket)] {
        if request.parameter(name).as_ref() != Some(wanted) {
            return Response::new(404, &format!(r#"{{"code":"not found","message":"{name} not found"}}"#));
        }
    }
    if request.parameter("precision").as_deref() != Some("ns") {
        return Response::new(400, r#"{"message":"this front wants precision=ns"}"#);
    }
    let Some(body) = request.decompressed() else {
        return Response::new(400, r#"{"message":"the body is not what Content-Encoding says"}"#);
    };
    if body.len() > config.max_body {
        return Response::new(413, r#"{"message":"request too large"}"#);
    }
    match &config.upstream {
        Some((server, database)) => http::forward(server, database, &body).await,
        None => match state.store().write(&body, config.keeps_good_lines, config.refuse.as_deref()) {
            Ok(()) => Response::new(204, ""),
            Err(reason) => {
                let body = serde_json::json!({ "code": "invalid", "message": reason });
                Response::new(400, &body.to_string())
            }
        },
    }
}

fn queue(request: &Request, state: &State) -> Option<Response> {
    let faults: Result<Vec<Fault>, String> =
        request.parameter("next").unwrap_or_default().split(',').filter(|f| !f.is_empty()).map(str::parse).collect();
    Some(match faults {
        Ok(faults) => {
            *state.faults() = faults.into();
            Response::new(204, "")
        }
        Err(reason) => Response::new(400, &reason),
    })
}
