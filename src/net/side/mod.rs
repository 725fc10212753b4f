//! Requests beside the calls: HTTP and WebSockets towards the applications that agents work in.
//!
//! A thread of its own with tokio, so that no worker waits: orders come over a bounded channel, and what came of them is
//! told back. Every answer and message is bounded, and so is every wait.

mod http;
mod websocket;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{clock, tls};
use crate::record::SideFault;
use crate::scenario::plan::{Application, Base};
use crate::station::side::{News, Order, Request, Told, Wish};

/// Orders that may wait.
const ORDERS: usize = 4096;
/// Between two tries to tell something where the box of the one who is told is full.
const FULL: Duration = Duration::from_millis(2);
/// How often that is tried: 5 s. What is told by then is of no use: the step has ended by its own time-out, or will.
const MOST_TRIES: usize = 2500;
/// How long WebSockets may take to close when all is over.
const FAREWELL: Duration = Duration::from_millis(500);

/// Takes what came; gives it back where there is no room for it now.
pub type Teller = Arc<dyn Fn(Told) -> Result<(), Told> + Send + Sync>;

/// The thread that asks; it ends when this is dropped.
#[derive(Debug)]
pub struct Side {
    orders: Option<mpsc::Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

impl Side {
    /// Starts it.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(teller: Teller) -> io::Result<Self> {
        let (orders, inbox) = mpsc::channel(ORDERS);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("side".into()).spawn(move || {
            runtime.block_on(serve(inbox, Voice(teller)));
        })?;
        Ok(Self { orders: Some(orders), thread: Some(thread) })
    }

    /// Has something done. False where too much waits already: then it is not done, and nothing will be told of it.
    pub fn order(&self, order: Order) -> bool {
        self.orders.as_ref().is_some_and(|orders| orders.try_send(order).is_ok())
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Who is told.
#[derive(Clone)]
struct Voice(Teller);

impl Voice {
    async fn tell(&self, seat: u64, news: News) {
        let mut told = Told { seat, at: clock::now(), news };
        for _ in 0..MOST_TRIES {
            match (self.0)(told) {
                Ok(()) => return,
                Err(back) => told = back,
            }
            tokio::time::sleep(FULL).await;
        }
    }
}

/// Why a request came to nothing.
type Failure = (SideFault, String);

fn unreachable(text: impl Into<String>) -> Failure {
    (SideFault::Unreachable, text.into())
}

/// The WebSockets of a leg, by their URL.
type Sockets = HashMap<String, mpsc::Sender<Box<Request>>>;

async fn serve(mut inbox: mpsc::Receiver<Order>, voice: Voice) {
    let mut desk = Desk::default();
    let mut tasks = JoinSet::new();
    let mut seats: HashMap<u64, Sockets> = HashMap::new();
    loop {
        let order = tokio::select! {
            order = inbox.recv() => order,
            Some(_) = tasks.join_next() => continue,
        };
        let Some(Order { seat, wish }) = order else { break };
        match wish {
            Wish::Leave => drop(seats.remove(&seat)),
            Wish::Ask(request) => match desk.access(&request) {
                Ok((url, client, _)) => {
                    let voice = voice.clone();
                    tasks.spawn(async move { http::ask(seat, *request, url, client, voice).await });
                }
                Err((fault, text)) => voice.tell(seat, News::Failed { number: request.number, fault, text }).await,
            },
            Wish::Say(request) => match desk.access(&request) {
                Ok((url, _, config)) => {
                    let sockets = seats.entry(seat).or_default();
                    sockets.retain(|_, socket| !socket.is_closed());
                    let url = websocket::url_of(&url);
                    let socket = sockets.entry(url.clone()).or_insert_with(|| {
                        let (socket, said) = mpsc::channel(SAID);
                        tasks.spawn(websocket::keep(seat, url, config, said, voice.clone()));
                        socket
                    });
                    let number = request.number;
                    if socket.try_send(request).is_err() {
                        let text = "the WebSocket takes no more messages".to_owned();
                        voice.tell(seat, News::Failed { number, fault: SideFault::Unreachable, text }).await;
                    }
                }
                Err((fault, text)) => voice.tell(seat, News::Failed { number: request.number, fault, text }).await,
            },
        }
    }
    // Sockets close when nobody can say anything over them any more.
    drop(seats);
    let _ = tokio::time::timeout(FAREWELL, async { while tasks.join_next().await.is_some() {} }).await;
}

/// Applications whose connections are kept; a watch that reads its files again and again meets others each time.
const APPLICATIONS: usize = 64;

/// Messages of a leg that may wait to be sent over one WebSocket.
const SAID: usize = 16;

/// What is made once for each application: its TLS, and the client with its connections.
#[derive(Default)]
struct Desk {
    known: Vec<(Arc<Application>, reqwest::Client, Arc<ClientConfig>)>,
}

impl Desk {
    fn access(&mut self, request: &Request) -> Result<(String, reqwest::Client, Arc<ClientConfig>), Failure> {
        let url = match (&request.access.base, request.url.reveal()) {
            (Base::Url(base), path) if path.starts_with('/') => format!("{}{path}", base.reveal()),
            (_, path) if path.starts_with('/') => return Err(unreachable("there is no application to ask")),
            (_, whole) => whole.to_owned(),
        };
        if let Some((_, client, config)) = self.known.iter().find(|(known, ..)| Arc::ptr_eq(known, &request.access)) {
            return Ok((url, client.clone(), Arc::clone(config)));
        }
        let config = tls::config(&request.access.tls, None).map_err(|error| unreachable(error.to_string()))?;
        let client = http::client(config.clone()).map_err(|error| unreachable(error.to_string()))?;
        let config = Arc::new(config);
        if self.known.len() == APPLICATIONS {
            self.known.remove(0);
        }
        self.known.push((Arc::clone(&request.access), client.clone(), Arc::clone(&config)));
        Ok((url, client, config))
    }
}

/// The innermost cause says it best. The address, which may be a secret, is no part of it.
fn cause_of(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    loop {
        if let Some(io) = cause.downcast_ref::<io::Error>()
            && tls::is_tls(io)
        {
            return tls::describe(io);
        }
        match cause.source() {
            Some(deeper) => cause = deeper,
            None => return cause.to_string(),
        }
    }
}

/// Where a host is reached, one place after the other.
async fn places(host: &str, port: u16) -> Result<Vec<SocketAddr>, Failure> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let found = tokio::net::lookup_host((host, port)).await;
    let found = found.map_err(|error| unreachable(format!("the name {host} is not known: {error}")))?;
    let mut places: Vec<SocketAddr> = found.collect();
    // IPv4 first, as most equipment has it.
    places.sort_by_key(SocketAddr::is_ipv6);
    Ok(places)
}
