//! The guard's side: starts the firewall helper, and is a sink to the guard.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde::de::DeserializeOwned;

use super::{Channel, Request};
use crate::enforce::{Operation, SinkError};
use crate::sys::peer::Peers;

/// A firewall helper that has been started.
#[derive(Debug)]
pub struct FirewallHelper {
    channel: Channel,
    /// The process.
    pub child: Child,
}

/// The connections to an opened firewall helper.
#[derive(Debug)]
pub struct Remote {
    /// Bans.
    pub bans: RemoteSink,
    /// [`Request::Listen`].
    pub watch: Channel,
    /// For lists.
    pub lists: Channel,
    /// Counters of bans and lists.
    pub counters: Channel,
    /// [`Request::Held`].
    pub held: Channel,
    /// [`Request::Limited`].
    pub limiter: Channel,
    /// [`Request::Wire`].
    pub wire: Channel,
    /// [`Request::Talked`].
    pub talked: Channel,
    /// [`Request::Passed`].
    pub passed: Channel,
    /// [`Request::Dial`], to the process that looks names up.
    pub names: Channel,
    /// [`Request::Dial`], to those that read sources.
    pub sources: Channel,
}

impl FirewallHelper {
    /// Starts it, with the capabilities and in the network namespace that this thread has now. It ends
    /// when it and the ways to the kernel that come of it are dropped. It connects to no sockets but those of
    /// `peers`.
    ///
    /// # Errors
    /// When this program cannot be executed.
    pub fn start(peers: &Peers) -> io::Result<Self> {
        // The very program that runs, whatever has been installed in its place since.
        Self::spawn(Path::new("/proc/self/exe"), peers)
    }

    /// Does the same, by another program, and without other processes.
    ///
    /// # Errors
    /// When it cannot be executed.
    pub fn start_program(program: &Path) -> io::Result<Self> {
        Self::spawn(program, &Peers::default())
    }

    fn spawn(program: &Path, peers: &Peers) -> io::Result<Self> {
        let (channel, end) = Channel::pair()?;
        // A group of its own, so that whoever interrupts the guard at a terminal does not end the firewall helper
        // ahead of it.
        let child = Command::new(program)
            .arg0("asterguard")
            .arg("writer")
            .args(
                peers.each().flat_map(|(peer, path)| [OsStr::new(peer.option()), path.as_os_str()]),
            )
            .stdin(Stdio::from(end))
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()?;
        Ok(Self { channel, child })
    }

    /// Makes it open its sockets to the kernel.
    ///
    /// # Errors
    /// When it may not, or cannot.
    pub fn open(self) -> Result<(Remote, Child), SinkError> {
        let Self { mut channel, child } = self;
        channel.call::<()>(&Request::Open)?;
        // The first is the one that can listen.
        let [watch, lists, counters, held, limiter, wire, talked, passed, names, sources] = [();
            10]
            .map(|()| connect(&mut channel))
            .into_iter()
            .collect::<Result<Vec<_>, _>>()?
            .try_into()
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        let bans = RemoteSink(channel);
        #[rustfmt::skip]
        let remote = Remote { bans, watch, lists, counters, held, limiter, wire, talked, passed, names, sources };
        Ok((remote, child))
    }
}

fn connect(channel: &mut Channel) -> Result<Channel, SinkError> {
    let (ours, theirs): (_, OwnedFd) = Channel::pair()?;
    channel.exchange::<()>(&Request::Connect, Some(theirs.as_fd()))?;
    Ok(ours)
}

/// The firewall helper's sink.
#[derive(Debug)]
pub struct RemoteSink(Channel);

impl RemoteSink {
    pub(in crate::enforce) fn ask<T: DeserializeOwned>(
        &mut self,
        operation: Operation<'_>,
    ) -> Result<T, SinkError> {
        self.0.call(&Request::Sink(operation))
    }
}
