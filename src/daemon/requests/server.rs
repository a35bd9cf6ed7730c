//! The control socket: requests in, answers out, one line of JSON each.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use rustix::fs::{Mode, chmod, chown};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::net::{bind, socket_with};
use tokio::io::{
    AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;
use tracing::warn;

use super::dispatch::{dispatch, may_be_long};
use crate::control::{Answer, Call, LONGEST_REQUEST, Problem, Request};
use crate::daemon::{Daemon, RunError};
use crate::model::orders::Caller;
use crate::sys::user::group;

/// The time that a caller may take to send its request, and to read each part of the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of an answer that are such a part.
const PART: usize = 64 << 10;
/// Callers that are told something long at the same time; more wait for their turn.
pub(crate) const LISTINGS: usize = 4;
/// Callers whose requests are carried out and answered at the same time; more wait for their turn.
const CALLERS: u32 = 64;
/// Of those who may ask for metrics only.
const READING: usize = 4;
/// Callers that are connected and have not sent their request; more have the oldest of them dropped.
const SILENT: usize = 64;
/// Callers that the kernel keeps until they are accepted.
const BACKLOG: i32 = 1024;
/// The group that may ask for metrics, and for nothing else.
const READERS: &str = "asterguard-metrics";

/// What is answered at a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Offer {
    /// All requests.
    All,
    /// Those for metrics. Whoever may connect there may do nothing else.
    Metrics,
}

/// Makes room for a control socket at `path`: its directory, and no socket of a daemon that has
/// ended without removing it. Anything else that is there stays, and is in the way. Returns the socket, which has no
/// name yet.
pub fn make_room(path: &Path) -> Result<OwnedFd, RunError> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).with_context(|| {
            format!("cannot make the directory {} for the control socket", directory.display())
        })?;
    }
    let in_the_way = |what: &str| {
        Err(anyhow!("cannot replace the control socket {}: {what}", path.display()).into())
    };
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return in_the_way(&error.to_string()),
        Ok(metadata) if !metadata.file_type().is_socket() => return in_the_way("it is no socket"),
        Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
            return in_the_way(
                "another asterguard listens there; give this one a --socket of its own",
            );
        }
        Ok(_) => match std::fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return in_the_way(&error.to_string());
            }
            _ => {}
        },
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
        .with_context(|| format!("cannot make the control socket {}", path.display()))
        .map_err(Into::into)
}

/// Listens at `path`, in place of a process that has ended without removing its socket. The process's mask says who may
/// connect.
///
/// # Errors
/// When something else is there, or the socket cannot be made.
pub fn listen_at(path: &Path) -> Result<std::os::unix::net::UnixListener, RunError> {
    let socket = make_room(path)?;
    bind_and_listen(&socket, path)
        .with_context(|| format!("cannot listen at {}", path.display()))?;
    Ok(socket.into())
}

fn bind_and_listen(socket: &OwnedFd, path: &Path) -> std::io::Result<()> {
    bind(socket, &SocketAddrUnix::new(path)?)?;
    Ok(rustix::net::listen(socket, BACKLOG)?)
}

/// Makes the socket at which nothing but metrics can be asked for, for root, the guard's own group, or [`READERS`] if the
/// guard is a member of it. It does not listen yet. Without it, all else goes on: what is wrong is logged.
pub fn make_numbers(path: &Path) -> Option<OwnedFd> {
    let make = || -> anyhow::Result<OwnedFd> {
        let socket = make_room(path)?;
        bind(&socket, &SocketAddrUnix::new(path)?)?;
        // Nobody can connect before it listens.
        chmod(path, Mode::from_raw_mode(0o660))?;
        Ok(socket)
    };
    let socket = make().inspect_err(|error| warn!("no socket for metrics: {error:#}")).ok()?;
    let gid = group(READERS).ok().flatten();
    if let Some(Err(error)) = gid.map(|gid| chown(path, None, Some(gid))) {
        warn!(
            "the group {READERS} cannot be let in at {}: {error}; make the guard's user a member (usermod -aG {READERS} asterguard)",
            path.display()
        );
    }
    Some(socket)
}

/// Has the socket for metrics listen.
pub fn listen_for_numbers(socket: OwnedFd) -> std::io::Result<UnixListener> {
    rustix::net::listen(&socket, BACKLOG)?;
    UnixListener::from_std(socket.into())
}

/// Has the socket listen on `path`, for root and the socket's group: the process's mask sees to that.
pub fn listen(socket: OwnedFd, path: &Path) -> Result<UnixListener, RunError> {
    bind_and_listen(&socket, path)
        .and_then(|()| UnixListener::from_std(socket.into()))
        .with_context(|| format!("cannot listen on the control socket {}", path.display()))
        .map_err(Into::into)
}

/// Answers callers, side by side, until the guard is to leave and all of them have their answers.
pub(crate) async fn serve(daemon: Arc<Daemon>, listener: UnixListener) {
    let places = Arc::new(Semaphore::new(CALLERS as usize));
    tokio::select! {
        () = accept(&daemon, &listener, &places, Offer::All) => {}
        () = daemon.leaving() => {}
    }
    // Nobody waits for a caller that does not read for ever.
    let _ = timeout(PATIENCE, places.acquire_many(CALLERS)).await;
}

/// Answers those who may ask for metrics only, for ever.
pub(crate) async fn serve_numbers(daemon: Arc<Daemon>, listener: Option<UnixListener>) {
    match listener {
        Some(listener) => {
            let places = Arc::new(Semaphore::new(READING));
            accept(&daemon, &listener, &places, Offer::Metrics).await;
        }
        None => std::future::pending().await,
    }
}

async fn accept(
    daemon: &Arc<Daemon>,
    listener: &UnixListener,
    places: &Arc<Semaphore>,
    offer: Offer,
) {
    let mut silent = Silent::default();
    loop {
        tokio::select! {
            // What has been sent comes first: nobody who has sent its request is dropped for others.
            biased;
            Some(asked) = silent.next() => {
                // Never closed, so there is always a place in the end.
                let Ok(place) = Arc::clone(places).acquire_owned().await else { return };
                let daemon = Arc::clone(daemon);
                tokio::spawn(async move {
                    asked.answer(&daemon, offer).await;
                    drop(place);
                });
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    silent.add(stream);
                    // A crowd that connects all at once keeps nobody from being read meanwhile.
                    tokio::task::yield_now().await;
                }
                // Out of file descriptors, for example: some will be free in a moment.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
        }
    }
}

/// The callers that have not sent their requests yet. They take no place from those that have.
#[derive(Default)]
struct Silent {
    reading: JoinSet<Option<Asked>>,
    /// The same, the one that has been there the longest first.
    order: VecDeque<AbortHandle>,
}

impl Silent {
    /// Waits for a caller's request, too. Of [`SILENT`] others, the oldest is dropped for it.
    fn add(&mut self, caller: UnixStream) {
        self.order.retain(|reading| !reading.is_finished());
        if self.order.len() >= SILENT {
            if let Some(oldest) = self.order.pop_front() {
                oldest.abort();
            }
        }
        self.order.push_back(self.reading.spawn(Asked::read(caller)));
    }

    /// Returns the next request; `None` if nobody is there. Nothing is lost when this is not awaited to its end.
    async fn next(&mut self) -> Option<Asked> {
        loop {
            // Those that were dropped, or went away, asked for nothing.
            if let Ok(Some(asked)) = self.reading.join_next().await? {
                return Some(asked);
            }
        }
    }
}

/// What a caller sent, and where the answer goes.
struct Asked {
    line: std::io::Result<String>,
    /// The caller's user id.
    uid: u32,
    caller: OwnedWriteHalf,
}

impl Asked {
    /// Reads a caller's request; `None` if none comes in time.
    async fn read(stream: UnixStream) -> Option<Self> {
        // Nobody without a user id can be connected.
        let uid = stream.peer_cred().map_or(u32::MAX, |cred| cred.uid());
        let (reading, caller) = stream.into_split();
        let mut line = String::new();
        let mut reader = BufReader::new(reading.take(LONGEST_REQUEST));
        match timeout(PATIENCE, reader.read_line(&mut line)).await.ok()? {
            Ok(0) => None,
            read => Some(Self { line: read.map(|_| line), uid, caller }),
        }
    }

    async fn answer(mut self, daemon: &Arc<Daemon>, offer: Offer) {
        // Held until the caller has the answer.
        let mut turn = None;
        let request = self.line.map_err(|error| format!("cannot read the request: {error}"));
        let request = request.and_then(|line| {
            serde_json::from_str(&line).map_err(|error| format!("invalid request: {error}"))
        });
        let answer = match request {
            Ok(Call { request, .. }) if offer == Offer::Metrics && request != Request::Metrics => {
                Answer::Failed(Problem::refused(
                    "nothing but metrics can be asked for at this socket: asterguard metrics",
                ))
            }
            Ok(Call { request, sudo }) if !may_be_long(&request) => {
                dispatch(daemon, request, Caller::new(self.uid, sudo)).await
            }
            Ok(Call { request, sudo }) => match timeout(PATIENCE, daemon.listing.acquire()).await {
                Ok(permit) => {
                    turn = permit.ok();
                    dispatch(daemon, request, Caller::new(self.uid, sudo)).await
                }
                Err(_) => Answer::Failed(Problem::failed(format!(
                    "{LISTINGS} others are being sent long lists and do not read on; ask again later"
                ))),
            },
            Err(problem) => Answer::Failed(Problem::refused(problem)),
        };
        // Written where it keeps nobody waiting: it may tell of a great many bans.
        let written = tokio::task::spawn_blocking(move || {
            let mut text = serde_json::to_string(&answer).unwrap_or_default();
            text.push('\n');
            text
        });
        if let Ok(text) = written.await {
            tell(&mut self.caller, text.as_bytes(), PATIENCE).await;
        }
        drop(turn);
    }
}

/// Tells a caller an answer, as long as it reads on: each part within `patience`. Returns whether it has all.
async fn tell(caller: &mut (impl AsyncWrite + Unpin), answer: &[u8], patience: Duration) -> bool {
    for part in answer.chunks(PART) {
        // A caller that does not wait for the answer does not get it.
        if !matches!(timeout(patience, caller.write_all(part)).await, Ok(Ok(()))) {
            return false;
        }
    }
    true
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a caller that takes its time")]
mod tests {
    use std::io::Read as _;
    use std::time::Instant;

    use super::*;

    /// Tells a caller something that takes `rest` between the parts that it reads, and returns what
    /// it has got when the answer is over, whether that was told to be all, and how long it took.
    fn told(answer: &[u8], patience: Duration, rest: Duration) -> (Vec<u8>, bool, Duration) {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let (over, is_over) = std::sync::mpsc::channel::<()>();
        let caller = std::thread::spawn(move || {
            let (mut got, mut part) = (Vec::new(), vec![0; PART]);
            loop {
                // Whoever rests for longer than there is patience reads on when it is over.
                let _ = is_over.recv_timeout(rest);
                match (&theirs).read(&mut part).unwrap() {
                    0 => return got,
                    n => got.extend_from_slice(part.get(..n).unwrap()),
                }
            }
        });
        let begin = Instant::now();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let all = runtime.block_on(async {
            ours.set_nonblocking(true).unwrap();
            let mut ours = UnixStream::from_std(ours).unwrap();
            tell(&mut ours, answer, patience).await
        });
        let took = begin.elapsed();
        drop((over, runtime));
        (caller.join().unwrap(), all, took)
    }

    #[test]
    fn who_reads_slowly_but_steadily_gets_all() {
        let answer = vec![b'x'; 8 << 20];
        let patience = Duration::from_secs(1);
        let (got, all, took) = told(&answer, patience, Duration::from_millis(15));
        assert!(all && got.len() == answer.len(), "{} bytes", got.len());
        assert!(took > patience, "{took:?}");
    }

    #[test]
    fn who_does_not_read_is_dropped() {
        let answer = vec![b'x'; 8 << 20];
        let (got, all, took) = told(&answer, Duration::from_millis(100), Duration::from_secs(600));
        assert!(!all && got.len() < answer.len(), "{} bytes", got.len());
        assert!(took < Duration::from_secs(60), "{took:?}");
    }
}
