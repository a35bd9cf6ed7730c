//! Filling list sets: by netlink, through the firewall helper, or not at all.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use crate::enforce::SinkError;
use crate::enforce::helper::{Channel, Request};
use crate::enforce::netlink::ListSocket;
use crate::sys::program::Program;
use crate::table::list_sets::{Contents, ListSet, PREFIX, declared};

/// The place that the networks of lists go to.
#[derive(Debug)]
pub enum ListSink {
    /// To the kernel: declared by `nft`, filled by netlink.
    Netlink(Program, ListSocket),
    /// To another process, which does one of these.
    Remote(Channel),
    /// Nowhere.
    DryRun,
}

impl ListSink {
    /// By netlink, in the network namespace of the thread that calls this.
    ///
    /// # Errors
    /// When there is no netlink socket to be had.
    pub fn netlink(nft: Program) -> Result<Self, SinkError> {
        Ok(Self::Netlink(nft, ListSocket::open()?))
    }

    /// Declares the sets, and fills them a part at a time, so that others get their turn between
    /// two parts. What is in them already does no harm. Nothing is dropped by them until a
    /// structure that has them is loaded.
    ///
    /// # Errors
    /// When the kernel does not take all of it.
    pub fn fill(&mut self, contents: &Contents) -> Result<(), SinkError> {
        if contents.is_empty() {
            return Ok(());
        }
        let sets = contents.sets();
        match self {
            Self::Netlink(nft, socket) => {
                nft.run(&["-f", "-"], declared(&sets).as_bytes())?;
                contents.iter().try_for_each(|(set, keys)| socket.fill(&set.name, keys))
            }
            Self::Remote(channel) => channel.call(&Request::Fill(Cow::Borrowed(contents))),
            Self::DryRun => Ok(()),
        }
    }

    /// Replaces the hosts that the geofence lets through by these, each for so long. With `ready`, it goes by its sets
    /// from now on: they have to be filled.
    ///
    /// # Errors
    /// When the kernel does not take them.
    pub fn admit(&mut self, known: &[(IpAddr, Duration)], ready: bool) -> Result<(), SinkError> {
        match self {
            Self::Netlink(_, socket) => socket.admit(known, ready),
            Self::Remote(channel) => {
                channel.call(&Request::Admit { known: Cow::Borrowed(known), ready })
            }
            Self::DryRun => Ok(()),
        }
    }

    /// Removes the list sets that are none of `used`.
    ///
    /// # Errors
    /// When the sets cannot be listed. One that cannot be removed stays.
    pub fn sweep(&mut self, used: &[ListSet]) -> Result<(), SinkError> {
        let idle =
            |name: &String| name.starts_with(PREFIX) && !used.iter().any(|set| set.name == *name);
        match self {
            Self::Remote(channel) => channel.call(&Request::Sweep(Cow::Borrowed(used))),
            Self::Netlink(_, socket) => {
                let sets = socket.sets()?;
                sets.iter().filter(|name| idle(name)).try_for_each(|name| socket.delete(name))
            }
            Self::DryRun => Ok(()),
        }
    }
}
