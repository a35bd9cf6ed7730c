//! Filling list sets: by netlink, by the `nft` program, through the firewall helper, or not at all.

use std::borrow::Cow;

use crate::enforce::SinkError;
use crate::enforce::helper::{Line, Request};
use crate::enforce::netlink::ListSocket;
use crate::enforce::nft_program::no_table;
use crate::model::network_set::Keys;
use crate::sys::program::Program;
use crate::table::list_sets::{Contents, ListSet, PREFIX, declared};
use crate::table::structure::TABLE;

/// Elements in one transaction of the `nft` program.
const NFT_BATCH: usize = 50_000;

/// Where the networks of lists go.
#[derive(Debug)]
pub enum ListSink {
    /// To the kernel, by netlink.
    Netlink(Program, ListSocket),
    /// To the kernel, by the `nft` program.
    Nft(Program),
    /// To another process, which does one of these.
    Remote(Line),
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
                contents.0.iter().try_for_each(|(set, keys)| socket.fill(&set.name, keys))
            }
            Self::Nft(nft) => {
                nft.run(&["-f", "-"], declared(&sets).as_bytes())?;
                contents.0.iter().try_for_each(|(set, keys)| fill(nft, &set.name, keys))
            }
            Self::Remote(line) => line.call(&Request::Fill(Cow::Borrowed(contents))),
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
            Self::Remote(line) => line.call(&Request::Sweep(Cow::Borrowed(used))),
            Self::Netlink(_, socket) => {
                let sets = socket.sets()?;
                sets.iter().filter(|name| idle(name)).try_for_each(|name| socket.delete(name))
            }
            Self::Nft(nft) => {
                let sets = crate::enforce::nft_program::set_names(nft)?;
                for name in sets.iter().filter(|name| idle(name)) {
                    nft.run(&["delete", "set", "inet", TABLE, name], b"").map_err(no_table)?;
                }
                Ok(())
            }
            Self::DryRun => Ok(()),
        }
    }
}

fn fill(nft: &Program, set: &str, keys: &Keys) -> Result<(), SinkError> {
    let mut keys = keys.iter();
    loop {
        let part: Vec<_> = keys.by_ref().take(NFT_BATCH).map(|key| key.to_string()).collect();
        if part.is_empty() {
            return Ok(());
        }
        let text = format!("add element inet {TABLE} {set} {{ {} }}\n", part.join(", "));
        nft.run(&["-f", "-"], text.as_bytes()).map_err(no_table)?;
    }
}
