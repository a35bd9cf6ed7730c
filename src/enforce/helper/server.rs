//! The firewall helper's side: carries out what the guard asks for.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::connections::Connections;
use super::policy_guard::{CheckedSink, check_lists};
use super::{Channel, Request};
use crate::enforce::{CounterSocket, ListSink, Monitor, NetlinkSink, SinkError};
use crate::exchange::capture::nflog_socket;
use crate::sys::peer::Peers;
use crate::sys::program::Program;

/// The most connections besides the first.
const MOST: usize = 10;

/// Serves the guard at the other end of `channel` until that closes. At the sockets of `peers`, our other processes listen.
///
/// # Errors
/// When the guard says something that makes no sense.
pub fn serve(mut channel: Channel, peers: &Peers) -> io::Result<()> {
    let (mut sink, mut beside): (Option<CheckedSink>, Option<Beside>) = (None, None);
    let connections = AtomicUsize::new(0);
    while let Some((request, fd)) = next(&mut channel)? {
        match (request, &mut sink, fd) {
            (Request::Open, None, _) => {
                let opened = open().map(|(opened, watch)| {
                    let connections = Connections::start().ok();
                    sink = Some(CheckedSink::new(Box::new(opened), connections));
                    beside = Some(Beside::new(Some(watch), peers.clone()));
                });
                channel.answer(&opened)?;
            }
            (Request::Connect, Some(_), Some(end))
                if connections.fetch_add(1, Ordering::Relaxed) < MOST =>
            {
                let served = beside.as_mut().map(Beside::split).map_or(Ok(()), |beside| {
                    thread::Builder::new().spawn(move || beside.serve(end.into())).map(drop)
                });
                channel.answer(&served.map_err(SinkError::Io))?;
            }
            (Request::Sink(operation), Some(sink), _) => sink.answer(operation, &mut channel)?,
            _ => return Err(out_of_place()),
        }
    }
    Ok(())
}

/// Receives the guard's next request; `None` if there is no guard any more.
fn next(channel: &mut Channel) -> io::Result<Option<(Request<'static>, Option<OwnedFd>)>> {
    match channel.receive() {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(None),
        received => received.map(Some),
    }
}

fn out_of_place() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the guard asks for what has no place here")
}

/// Returns the sink, and what hears of others that change what it holds.
fn open() -> Result<(NetlinkSink, Monitor), SinkError> {
    let mut sink = NetlinkSink::new(Program::nft())?;
    let watch = sink.watch()?;
    Ok((sink, watch))
}

/// Hands the guard a socket.
fn hand(channel: &mut Channel, socket: io::Result<OwnedFd>) -> io::Result<()> {
    match socket {
        Ok(socket) => channel.send(&Ok::<_, SinkError>(()), Some(socket.as_fd())),
        Err(error) => channel.answer::<()>(&Err(error.into())),
    }
}

/// The sockets of a connection other than that of the bans. They are opened when they are needed.
struct Beside {
    watch: Option<Monitor>,
    lists: Option<ListSink>,
    counters: Option<CounterSocket>,
    /// The sockets of our other processes.
    peers: Peers,
}

impl Beside {
    fn new(watch: Option<Monitor>, peers: Peers) -> Self {
        Self { watch, lists: None, counters: None, peers }
    }

    /// One for another connection, which gets the ear if there is one left.
    fn split(&mut self) -> Self {
        Self::new(self.watch.take(), self.peers.clone())
    }

    /// Serves until the connection closes, or makes no sense.
    fn serve(mut self, mut channel: Channel) {
        while let Ok(Some((request, _))) = next(&mut channel) {
            if self.answer(request, &mut channel).is_err() {
                return;
            }
        }
    }

    fn answer(&mut self, request: Request<'_>, channel: &mut Channel) -> io::Result<()> {
        match request {
            Request::Listen => {
                let watch = self.watch.as_mut().ok_or_else(out_of_place)?;
                channel.answer(&watch.wait().map_err(SinkError::Io))
            }
            Request::Fill(contents) => {
                let lists = check_lists(&contents).and_then(|()| self.lists());
                channel.answer(&lists.and_then(|lists| lists.fill(&contents)))
            }
            Request::Sweep(used) => channel.answer(&self.lists().and_then(|l| l.sweep(&used))),
            Request::Admit { known, ready } => {
                channel.answer(&self.lists().and_then(|lists| lists.admit(&known, ready)))
            }
            Request::Abroad => channel.answer(&self.counters().and_then(CounterSocket::abroad)),
            Request::Banned(structure) => {
                channel.answer(&self.counters().and_then(|c| c.banned(&structure)))
            }
            Request::Held(structure, now) => {
                channel.answer(&self.counters().and_then(|c| c.held(&structure, now)))
            }
            Request::Blocked(sets) => {
                channel.answer(&self.counters().and_then(|c| Ok((c.blocked(&sets)?, c.by_hand()?))))
            }
            Request::Named(name) => channel.answer(&self.counters().and_then(|c| c.named(&name))),
            Request::Limited => channel.answer(&self.counters().and_then(CounterSocket::limited)),
            Request::Talked(flow) => channel.answer(&self.counters().and_then(|c| c.talked(flow))),
            Request::Served(flow) => channel.answer(&self.counters().and_then(|c| c.served(flow))),
            Request::Passed => channel.answer(&self.counters().and_then(CounterSocket::passed)),
            Request::Wire(group) => hand(channel, nflog_socket(group)),
            Request::Dial(peer) => {
                let path = self.peers.socket(peer).ok_or_else(out_of_place)?;
                hand(channel, UnixStream::connect(path).map(OwnedFd::from))
            }
            _ => Err(out_of_place()),
        }
    }

    fn lists(&mut self) -> Result<&mut ListSink, SinkError> {
        if self.lists.is_none() {
            self.lists = Some(ListSink::netlink(Program::nft())?);
        }
        self.lists.as_mut().ok_or_else(|| out_of_place().into())
    }

    fn counters(&mut self) -> Result<&mut CounterSocket, SinkError> {
        if self.counters.is_none() {
            self.counters = Some(CounterSocket::open()?);
        }
        self.counters.as_mut().ok_or_else(|| out_of_place().into())
    }
}
