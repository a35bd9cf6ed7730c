//! Serves the metrics by HTTP/1.1 at a Unix socket, or at a port that only this machine reaches.
//!
//! Whoever may connect is bounded: in the number of connections, in time, in the bytes of a request, and in how often the
//! guard is asked for it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HOST, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::net::sockopt::socket_type;
use rustix::net::{AddressFamily, SocketType, getsockname};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use crate::model::time::Time;
use crate::sys::clock::monotonic_now;
use crate::sys::mutex::lock;

/// Connections at the same time. For one more, the oldest is dropped: who asks is answered in milliseconds.
const MOST_CONNECTIONS: usize = 32;
/// The time that a client may take to send the head of its request.
const PATIENCE: Duration = Duration::from_secs(5);
/// The time that a connection may last.
const LIFETIME: Duration = Duration::from_secs(40);
/// Bytes of the head of a request.
const MOST_BYTES: usize = 16 << 10;
/// Headers of a request.
const MOST_HEADERS: usize = 64;
/// The guard is asked once within this time, however many clients there are.
const FRESH: Duration = Duration::from_secs(1);
/// The media type of the text format.
const TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Where clients come from.
#[derive(Debug)]
pub enum Listener {
    /// A Unix socket: its mode and group say who may connect.
    Unix(UnixListener),
    /// A port of this machine.
    Tcp(TcpListener),
}

impl Listener {
    /// Returns the listener that a socket is.
    ///
    /// # Errors
    /// When it is neither a Unix socket nor at a loopback address.
    pub fn from_socket(socket: OwnedFd) -> io::Result<Self> {
        let address = getsockname(&socket)?;
        if socket_type(&socket)? != SocketType::STREAM {
            return Err(io::Error::other("this socket has no connections"));
        }
        if address.address_family() == AddressFamily::UNIX {
            return Ok(Self::Unix(socket.into()));
        }
        let address = SocketAddr::try_from(address)
            .map_err(|_| io::Error::other("this socket is neither a Unix socket nor TCP"))?;
        is_loopback(address.ip()).then(|| Self::Tcp(socket.into())).ok_or_else(|| refused(address))
    }

    /// Listens at a port of this machine.
    ///
    /// # Errors
    /// When others could connect too, or the port cannot be had.
    pub fn at_port(address: SocketAddr) -> io::Result<Self> {
        if !is_loopback(address.ip()) {
            return Err(refused(address));
        }
        TcpListener::bind(address).map(Self::Tcp)
    }
}

/// Whether only this machine reaches it.
fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

fn refused(address: SocketAddr) -> io::Error {
    let port = address.port();
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!(
            "{address} is not a loopback address: others could read the metrics; write 127.0.0.1:{port} or [::1]:{port}, and \
             let a proxy with encryption and passwords ask there"
        ),
    )
}

/// Serves until the process ends. `text` asks the guard; it may take long.
///
/// # Errors
/// When the socket does not listen.
pub fn serve(
    listener: Listener,
    text: impl Fn() -> String + Send + Sync + 'static,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let page = Arc::new(Page {
        text: Box::new(text),
        last: Mutex::new(None),
        turn: Arc::new(Semaphore::new(1)),
    });
    runtime.block_on(async {
        match listener {
            Listener::Unix(listener) => {
                listener.set_nonblocking(true)?;
                let listener = tokio::net::UnixListener::from_std(listener)?;
                let accept = async || listener.accept().await.map(|(stream, _)| stream);
                accept_all(accept, &page, Hosts::Any).await
            }
            Listener::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                let listener = tokio::net::TcpListener::from_std(listener)?;
                let accept = async || listener.accept().await.map(|(stream, _)| stream);
                accept_all(accept, &page, Hosts::Local).await
            }
        }
    })
}

/// The hosts that a request may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hosts {
    /// Whatever it says.
    Any,
    /// This machine: a web page of somebody else, whose name leads here, must not read the metrics in a browser.
    Local,
}

/// Serves all clients that `accept` brings.
async fn accept_all<S>(
    accept: impl AsyncFn() -> io::Result<S>,
    page: &Arc<Page>,
    hosts: Hosts,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut clients = JoinSet::new();
    let mut order = VecDeque::<AbortHandle>::new();
    loop {
        tokio::select! {
            biased;
            Some(_) = clients.join_next() => {}
            accepted = accept() => match accepted {
                Ok(stream) => {
                    order.retain(|client| !client.is_finished());
                    if order.len() >= MOST_CONNECTIONS {
                        order.pop_front().inspect(AbortHandle::abort);
                    }
                    order.push_back(clients.spawn(client(stream, Arc::clone(page), hosts)));
                    // A crowd that connects all at once keeps nobody from being answered meanwhile.
                    tokio::task::yield_now().await;
                }
                // Out of file descriptors, for example: some will be free in a moment.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
        }
    }
}

/// Answers one request.
async fn client<S>(stream: S, page: Arc<Page>, hosts: Hosts)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let answer = move |request: Request<Incoming>| {
        let page = Arc::clone(&page);
        async move { Ok::<_, Infallible>(answer(&request, &page, hosts).await) }
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(MOST_BYTES)
        .max_headers(MOST_HEADERS)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service_fn(answer));
    // A client that sends nonsense, or nothing, is not told more than hyper says.
    let _ = timeout(LIFETIME, connection).await;
}

async fn answer(
    request: &Request<Incoming>,
    page: &Arc<Page>,
    hosts: Hosts,
) -> Response<Full<Bytes>> {
    let say = |status, text: &'static str| response(status, Bytes::from_static(text.as_bytes()));
    if hosts == Hosts::Local && !request.headers().get(HOST).is_some_and(is_this_machine) {
        return say(StatusCode::FORBIDDEN, "the host of the request is not this machine\n");
    }
    match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => response(StatusCode::OK, page.get().await),
        (&Method::GET | &Method::HEAD, "/") => {
            say(StatusCode::OK, "asterguard: the metrics are at /metrics\n")
        }
        (&Method::GET | &Method::HEAD, _) => {
            say(StatusCode::NOT_FOUND, "the metrics are at /metrics\n")
        }
        _ => {
            let mut refused = say(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            refused
        }
    }
}

/// Whether a `Host` header names this machine: a loopback address, or `localhost`.
fn is_this_machine(host: &HeaderValue) -> bool {
    let Ok(host) = host.to_str() else { return false };
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    let name = name.map_or(host, |(name, _)| name);
    let address = name.trim_start_matches('[').trim_end_matches(']').parse().ok();
    name.eq_ignore_ascii_case("localhost") || address.is_some_and(is_loopback)
}

fn response(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(TYPE));
    response
}

/// The text, as it was last asked for.
struct Page {
    text: Box<dyn Fn() -> String + Send + Sync>,
    last: Mutex<Option<(Time, Bytes)>>,
    /// Held by the one that asks the guard, until it has the answer: also if its client has gone away meanwhile.
    turn: Arc<Semaphore>,
}

impl Page {
    /// Returns the text, which was asked for within [`FRESH`].
    async fn get(self: &Arc<Self>) -> Bytes {
        // Never closed, so there is always a turn in the end.
        let Ok(turn) = Arc::clone(&self.turn).acquire_owned().await else { return Bytes::new() };
        if let Some(text) = self.fresh() {
            return text;
        }
        let page = Arc::clone(self);
        let ask = move || {
            let text = Bytes::from((page.text)());
            *lock(&page.last) = Some((monotonic_now(), text.clone()));
            drop(turn);
            text
        };
        tokio::task::spawn_blocking(ask).await.unwrap_or_default()
    }

    fn fresh(&self) -> Option<Bytes> {
        let last = lock(&self.last);
        let (time, text) = last.as_ref()?;
        (monotonic_now().since(*time) < FRESH).then(|| text.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_may_be_asked_for() {
        for (host, is_here) in [
            ("127.0.0.1:9587", true),
            ("localhost", true),
            ("LOCALHOST:1", true),
            ("[::1]:9587", true),
            ("[::ffff:127.0.0.1]:9587", true),
            ("evil.example:9587", false),
            ("127.0.0.1.evil.example", false),
            ("192.0.2.1", false),
            ("", false),
        ] {
            assert_eq!(is_this_machine(&HeaderValue::from_static(host)), is_here, "{host}");
        }
    }

    #[test]
    fn only_loopback_addresses_are_listened_at() {
        for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:9587"] {
            let error = Listener::at_port(address.parse().unwrap()).unwrap_err();
            assert!(error.to_string().contains("is not a loopback address"), "{error}");
        }
        let everywhere = TcpListener::bind("0.0.0.0:0").unwrap();
        Listener::from_socket(everywhere.into()).unwrap_err();
        let here = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(matches!(Listener::from_socket(here.into()), Ok(Listener::Tcp(_))));
        let datagrams = std::os::unix::net::UnixDatagram::unbound().unwrap();
        Listener::from_socket(datagrams.into()).unwrap_err();
    }
}
