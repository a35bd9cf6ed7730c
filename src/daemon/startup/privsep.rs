//! The two processes: the firewall helper is started, and this one gives up what it does not need.

use std::path::PathBuf;
use std::process::Child;

use tokio::sync::oneshot;
use tracing::warn;

use super::sandbox_paths;
use crate::config::Config;
use crate::daemon::Options;
use crate::enforce::helper::{Channel, FirewallHelper, Remote};
use crate::enforce::{BanSink, DryRunSink, ListSink, SinkError, SinkKind};
use crate::sys::sandbox::{self, SandboxError};

/// Starts the process that may change the firewall, if it is to be changed, and makes this one
/// unable to do so any more; or says why it still can. It is the first thing that is done: the
/// firewall helper has read nothing then, nor has this one anything that others wrote.
pub fn part(kind: SinkKind) -> Result<(Option<FirewallHelper>, Option<SandboxError>), SinkError> {
    let writer = match kind {
        SinkKind::DryRun => None,
        SinkKind::Netlink => {
            let failed = |error| SinkError::NoHelper(format!("it cannot be started: {error}"));
            Some(FirewallHelper::start().map_err(failed)?)
        }
    };
    Ok((writer, sandbox::give_up_capabilities().err()))
}

/// Gives up all files and system calls that are not needed, and says which files may be read from now on;
/// `None`: all. The guard goes on without what the kernel does not do, and says so.
pub fn confine(
    options: &Options,
    config: &Config,
    before: Option<SandboxError>,
) -> Option<Vec<PathBuf>> {
    let needs = sandbox_paths::needs(options, config);
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
    /// Lists what comes through from banned hosts.
    pub passed: Option<Channel>,
    /// The channels for what is seen of the PBX.
    pub wire: Option<WireChannels>,
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
            let (watch, counters, passed) = (None, None, None);
            return Ok(Self { sink, lists, watch, counters, passed, wire: None, child: None });
        };
        let (remote, child) = writer.open()?;
        let Remote { bans, watch, lists, counters, limiter, wire, talked, passed } = remote;
        Ok(Self {
            sink: Box::new(bans),
            lists: ListSink::Remote(lists),
            watch: Some(watch),
            counters: Some(counters),
            passed: Some(passed),
            wire: Some(WireChannels { wire, limiter, talked }),
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
