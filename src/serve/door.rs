//! Connections of readers, bounded: each holds a place until it is closed, and one on which nothing moves is closed. Who finds
//! none is told to come again, in a few bytes and without a look at what was asked.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep, timeout};

/// Connections that are served at the same time; a browser has six at most.
pub(super) const PLACES: usize = 256;
/// And those that are told that there is no place; further ones are closed at once.
const TOLD: usize = 64;
/// A connection on which nothing moved for so long is closed; a page that is shown asks every five seconds.
const IDLE: Duration = Duration::from_secs(60);
/// Who is told that there is no place has so long to read it.
const PATIENCE: Duration = Duration::from_secs(1);
const NO_PLACE: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 40\r\nConnection: close\r\n\r\ntoo many readers at once: come back soon";

/// A listener that lets in so many.
pub(super) struct Door {
    listener: TcpListener,
    places: Arc<Semaphore>,
    told: Arc<Semaphore>,
    idle: Duration,
}

impl Door {
    pub(super) fn new(listener: TcpListener) -> Self {
        let (places, told) = (Semaphore::new(PLACES), Semaphore::new(TOLD));
        Self { listener, places: Arc::new(places), told: Arc::new(told), idle: IDLE }
    }

    #[cfg(test)]
    fn with(listener: TcpListener, places: usize, idle: Duration) -> Self {
        Self { places: Arc::new(Semaphore::new(places)), idle, ..Self::new(listener) }
    }
}

impl Listener for Door {
    type Io = Guest;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Guest, SocketAddr) {
        loop {
            // Waits and goes on where the system gives no descriptor.
            let (stream, address) = Listener::accept(&mut self.listener).await;
            if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
                let idle = Box::pin(sleep(self.idle));
                return (Guest { stream, idle, every: self.idle, _place: place }, address);
            }
            if let Ok(place) = Arc::clone(&self.told).try_acquire_owned() {
                tokio::spawn(async move {
                    let _ = timeout(PATIENCE, send_away(stream)).await;
                    drop(place);
                });
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

async fn send_away(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(NO_PLACE).await?;
    stream.shutdown().await?;
    // What is not read when a socket is closed takes along what was sent.
    let mut asked = [0; 1024];
    while stream.read(&mut asked).await? > 0 {}
    Ok(())
}

/// A connection with its place.
pub(super) struct Guest {
    stream: TcpStream,
    idle: Pin<Box<Sleep>>,
    every: Duration,
    _place: OwnedSemaphorePermit,
}

impl Guest {
    fn moved(&mut self) {
        let at = Instant::now() + self.every;
        self.idle.as_mut().reset(at);
    }

    /// Nothing can be done now; an error where that has been so for too long.
    fn waits<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        ready!(self.idle.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Guest {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Pending => self.waits(context),
            done => {
                self.moved();
                done
            }
        }
    }
}

impl AsyncWrite for Guest {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(context, bytes) {
            Poll::Pending => self.waits(context),
            done => {
                self.moved();
                done
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write_vectored(context, parts) {
            Poll::Pending => self.waits(context),
            done => {
                self.moved();
                done
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;

    use super::*;

    /// What is answered until the connection is closed.
    async fn rest(stream: &mut TcpStream) -> String {
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text).await;
        text
    }

    async fn asked(address: SocketAddr) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("it is open");
        stream
    }

    async fn first_line(stream: &mut TcpStream) -> String {
        let mut line = [0; 12];
        stream.read_exact(&mut line).await.expect("an answer");
        String::from_utf8_lossy(&line).into_owned()
    }

    #[tokio::test]
    async fn one_reader_too_many_is_told_so_and_a_place_that_is_left_is_taken_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
        let address = listener.local_addr().expect("it listens");
        let door = Door::with(listener, 2, Duration::from_secs(60));
        let router = Router::new().route("/", get(|| async { "here" }));
        let server = tokio::spawn(async move { axum::serve(door, router).await });
        let (mut first, mut second) = (asked(address).await, asked(address).await);
        assert_eq!(first_line(&mut first).await, "HTTP/1.1 200");
        assert_eq!(first_line(&mut second).await, "HTTP/1.1 200");
        // Both stay connected.
        let told = rest(&mut asked(address).await).await;
        assert!(told.starts_with("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\n"), "{told}");
        let (head, body) = told.split_once("\r\n\r\n").expect("an HTTP message");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{told}");
        drop(first);
        let end = Instant::now() + Duration::from_secs(20);
        while first_line(&mut asked(address).await).await != "HTTP/1.1 200" {
            assert!(Instant::now() < end, "the place that was left stays taken");
        }
        server.abort();
    }

    #[tokio::test]
    async fn a_reader_that_says_nothing_loses_its_place() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
        let address = listener.local_addr().expect("it listens");
        let door = Door::with(listener, 1, Duration::from_millis(200));
        let router = Router::new().route("/", get(|| async { "here" }));
        let server = tokio::spawn(async move { axum::serve(door, router).await });
        let mut silent = TcpStream::connect(address).await.expect("it listens");
        silent.write_all(b"GET / HT").await.expect("it is open");
        assert_eq!(timeout(Duration::from_secs(20), rest(&mut silent)).await.as_deref(), Ok(""), "it is closed");
        let end = Instant::now() + Duration::from_secs(20);
        while first_line(&mut asked(address).await).await != "HTTP/1.1 200" {
            assert!(Instant::now() < end, "its place stays taken");
        }
        server.abort();
    }
}
