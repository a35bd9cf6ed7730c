//! The two processes: the firewall helper is started, and this one gives up what it does not need.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Arc, Mutex};

use rustix::fs::Mode;
use rustix::process::umask;
use tokio::sync::oneshot;
use tracing::warn;

use super::drop_root::drop_root;
use super::sandbox_paths;
use crate::config::Config;
use crate::daemon::{Options, RunError};
use crate::enforce::helper::{Channel, FirewallHelper, Remote, Request};
use crate::enforce::{BanSink, DryRunSink, ListSink, SinkError, SinkKind};
use crate::hosts::discover::dns_helper::Resolver;
use crate::sys::mutex::lock;
use crate::sys::peer::{Connect, Peer};
use crate::sys::sandbox::{self, SandboxError};

/// The processes, once they are two.
pub struct Parted {
    /// The one that may change the firewall; `None` if it is not to be changed.
    pub helper: Option<FirewallHelper>,
    /// The reason why this one still can.
    pub incomplete: Option<SandboxError>,
    /// What the administrator should know, once there is a log.
    pub notes: Vec<String>,
}

/// Stops being root, starts the process that may change the firewall, if it is to be changed, and makes this one
/// unable to do so any more; or says why it still can. It is the first thing that is done: the
/// firewall helper has read nothing then, nor has this one anything that others wrote.
pub fn part(options: &Options) -> Result<Parted, RunError> {
    let notes = drop_root(options)?;
    let helper = match options.sink {
        SinkKind::DryRun => None,
        SinkKind::Netlink => {
            let failed = |error| SinkError::NoHelper(format!("it cannot be started: {error}"));
            Some(FirewallHelper::start(&options.peers).map_err(failed)?)
        }
    };
    Ok(Parted { helper, incomplete: sandbox::give_up_capabilities().err(), notes })
}

/// What goes by the connections to our other processes.
pub struct Dialers {
    /// Looks names up.
    pub resolver: Resolver,
    /// The ways to the helpers that read sources.
    pub sources: Vec<(Peer, Connect)>,
    /// The way to the process that tells people.
    pub notify: Option<Connect>,
    /// The way to the process that reaches the fleet's server.
    pub fleet: Option<Connect>,
}

/// The channels by which the firewall helper is asked for connections to our other processes.
pub struct DialChannels {
    /// To the one that looks names up.
    names: Channel,
    /// To those that read sources.
    sources: Channel,
}

/// Returns what goes by our other processes. Without `channels`, as in a dry run, this process connects to them.
pub fn dialers(options: &Options, channels: Option<DialChannels>) -> Dialers {
    let (names, sources) = match channels {
        Some(DialChannels { names, sources }) => (Some(shared(names)), Some(shared(sources))),
        None => (None, None),
    };
    let connect = |peer, socket: &Path, channel: Option<&SharedChannel>| -> Connect {
        let (socket, channel) = (socket.to_owned(), channel.cloned());
        Arc::new(move || match &channel {
            Some(channel) => Ok(lock(channel).socket(&Request::Dial(peer))?.into()),
            None => UnixStream::connect(&socket),
        })
    };
    let resolver = options.peers.socket(Peer::Names).map_or(Resolver::Here, |socket| {
        Resolver::Helper(socket.to_owned(), connect(Peer::Names, socket, names.as_ref()))
    });
    let notify = options.peers.socket(Peer::Notify);
    let notify = notify.map(|socket| connect(Peer::Notify, socket, sources.as_ref()));
    let fleet = options.peers.socket(Peer::Fleet);
    let fleet = fleet.map(|socket| connect(Peer::Fleet, socket, sources.as_ref()));
    let is_reader = |peer| matches!(peer, Peer::Journal | Peer::Ami);
    let readers = options.peers.each().filter(|(peer, _)| is_reader(*peer));
    let sources = readers.map(|(peer, socket)| (peer, connect(peer, socket, sources.as_ref())));
    Dialers { resolver, sources: sources.collect(), notify, fleet }
}

/// A channel that several threads use.
type SharedChannel = Arc<Mutex<Channel>>;

fn shared(channel: Channel) -> SharedChannel {
    Arc::new(Mutex::new(channel))
}

/// Gives up all files and system calls that are not needed, and says which files may be read from now on;
/// `None`: all. The guard goes on without what the kernel does not do, and says so.
///
/// No mode can be changed any more, so files that are made from now on get the right one at once: nothing is for others than
/// user and group, or for execution.
pub fn confine(
    options: &Options,
    config: &Config,
    before: Option<SandboxError>,
) -> Option<Vec<PathBuf>> {
    let needs = sandbox_paths::needs(options, config);
    umask(Mode::from_raw_mode(0o117));
    let failed: Vec<_> = before.into_iter().chain(sandbox::confine(&needs)).collect();
    for error in &failed {
        warn!("sandbox incomplete: {error}");
    }
    let files = |error: &SandboxError| error.is_about_files();
    (!failed.iter().any(files)).then_some(needs.read)
}

/// The channels for the wire, for the kernel's limiter, and for what was sent on connections that cannot be read.
pub struct WireChannels {
    pub wire: Channel,
    pub limiter: Channel,
    pub talked: Channel,
}

/// Handles to the kernel.
pub struct KernelHandles {
    pub sink: Box<dyn BanSink + Send>,
    pub lists: ListSink,
    /// Reports changes that other programs make to what the sink holds.
    pub watch: Option<Channel>,
    pub counters: Option<Channel>,
    /// Lists the bans that are too many to be listed at the start.
    pub held: Option<Channel>,
    /// Lists what comes through from banned hosts.
    pub passed: Option<Channel>,
    /// The channels for what is seen of the PBX.
    pub wire: Option<WireChannels>,
    /// Hand out connections to our other processes.
    pub dial: Option<DialChannels>,
    /// The process that they lead to.
    pub child: Option<Child>,
}

impl KernelHandles {
    /// Opens the handles by the writer, or to nowhere if there is none.
    ///
    /// # Errors
    /// When the firewall helper cannot open its sockets.
    pub fn open(writer: Option<FirewallHelper>) -> Result<Self, SinkError> {
        let Some(writer) = writer else {
            let (sink, lists) = (Box::new(DryRunSink::new()), ListSink::DryRun);
            let (watch, counters, held, passed) = (None, None, None, None);
            let (wire, dial, child) = (None, None, None);
            return Ok(Self { sink, lists, watch, counters, held, passed, wire, dial, child });
        };
        let (remote, child) = writer.open()?;
        #[rustfmt::skip]
        let Remote { bans, watch, lists, counters, held, limiter, wire, talked, passed, names, sources } = remote;
        Ok(Self {
            sink: Box::new(bans),
            lists: ListSink::Remote(lists),
            watch: Some(watch),
            counters: Some(counters),
            held: Some(held),
            passed: Some(passed),
            wire: Some(WireChannels { wire, limiter, talked }),
            dial: Some(DialChannels { names, sources }),
            child: Some(child),
        })
    }
}

/// Says when the process has ended, and how.
pub fn until_it_ends(mut child: Child) -> std::io::Result<oneshot::Receiver<String>> {
    let (tell, told) = oneshot::channel();
    let wait = move || {
        let how = child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        // Fails when nobody wants to know any more.
        let _ = tell.send(how);
    };
    std::thread::Builder::new().name("writer".into()).spawn(wait)?;
    Ok(told)
}
