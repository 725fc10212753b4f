//! A front that speaks the write APIs of InfluxDB 1.x, 2 and 3: it checks who writes where, with the words of each, and
//! can be told to fail in each way that a sink must survive. Lines go to a store in memory, or to `/write` of a real
//! InfluxDB 1.x.
//!
//! `POST /faults?next=503,hang` queues faults for the next writes; `GET /stats` counts what happened.

mod http;
mod store;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use http::{Request, Response};
pub(crate) use store::Store;

/// What a write gets instead of an honest answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// This status, with this Retry-After.
    Status(u16, Option<String>),
    /// This status with these words.
    Words(u16, String),
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
    /// The token that opens the bucket; of 1.x the password of the user `me`.
    pub(crate) token: String,
    /// The organisation.
    pub(crate) org: String,
    /// The bucket; of 1.x and 3 the database.
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
            "/write" => write(&request, &state, &V1).await,
            "/api/v2/write" => write(&request, &state, &V2).await,
            "/api/v3/write_lp" => write(&request, &state, &V3).await,
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

/// How one version of the API words things.
struct Api {
    /// Scheme of the Authorization header.
    scheme: &'static str,
    /// The parameter that names the database.
    database: &'static str,
    precision: &'static str,
    unauthorized: &'static str,
    /// The field of an error body that holds the words.
    words: &'static str,
}

const V1: Api =
    Api { scheme: "Basic", database: "db", precision: "ns", unauthorized: "authorization failed", words: "error" };
const V2: Api =
    Api { scheme: "Token", database: "bucket", precision: "ns", unauthorized: "unauthorized access", words: "message" };
const V3: Api = Api {
    scheme: "Bearer",
    database: "db",
    precision: "nanosecond",
    unauthorized: "the request was not authenticated",
    words: "error",
};

impl Api {
    fn error(&self, status: u16, words: &str) -> Response {
        Response::new(status, &serde_json::json!({ self.words: words }).to_string())
    }

    fn authorization(&self, token: &str) -> String {
        let credentials = match self.scheme {
            "Basic" => STANDARD.encode(format!("me:{token}")),
            _ => token.to_owned(),
        };
        format!("{} {credentials}", self.scheme)
    }
}

/// One write; `None` closes the connection without an answer.
async fn write(request: &Request, state: &State, api: &Api) -> Option<Response> {
    state.store().requests += 1;
    let fault = state.faults().pop_front();
    match fault {
        Some(Fault::Status(status, retry_after)) => {
            let mut response = api.error(status, &format!("injected {status}"));
            response.retry_after = retry_after;
            Some(response)
        }
        Some(Fault::Words(status, words)) => Some(api.error(status, &words)),
        Some(Fault::Hang) => {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            None
        }
        Some(Fault::Drop) => None,
        Some(Fault::StoredThenDrop) => {
            store(request, state, api).await;
            None
        }
        None => Some(store(request, state, api).await),
    }
}

async fn store(request: &Request, state: &State, api: &Api) -> Response {
    let config = &state.config;
    if request.header("authorization") != Some(&api.authorization(&config.token)) {
        return api.error(401, api.unauthorized);
    }
    // InfluxDB 3 serves this path too, and has no organisations.
    if request.parameter("org").is_some_and(|org| org != config.org) {
        return api.error(404, "org not found");
    }
    if request.parameter(api.database).as_ref() != Some(&config.bucket) {
        return api.error(404, &format!("{} not found", api.database));
    }
    if request.parameter("precision").as_deref() != Some(api.precision) {
        return api.error(400, &format!("invalid precision, this front wants {}", api.precision));
    }
    let Some(body) = request.decompressed() else {
        return api.error(400, "the body is not what Content-Encoding says");
    };
    if body.len() > config.max_body {
        return api.error(413, "request too large");
    }
    match &config.upstream {
        Some((server, database)) => http::forward(server, database, &body).await,
        None => match state.store().write(&body, config.keeps_good_lines, config.refuse.as_deref()) {
            Ok(()) => Response::new(204, ""),
            Err(reason) => api.error(400, &reason),
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
