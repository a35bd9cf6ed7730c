//! The lists that an administrator keeps or fetches: which hosts to let pass and to block.

pub mod files;
pub mod geofence;
pub mod parse;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use crate::model::listed::{ExemptNetwork, ExemptReason};
use crate::model::listed::{FileLine, ListedNetwork};
pub use crate::model::network_set::Networks;
use crate::model::time::Time;
use crate::model::trouble::Trouble;
use crate::sys::file_stamp::FileStamp;
pub use files::{ListsError, load, refreshed};
pub use geofence::Geofence;

/// Entries of `allow` and `allowfiles` together; about 200 bytes each. They go into a set of
/// intervals, which slows every run of `nft` while it is large.
pub const MOST_ALLOWED: usize = 4096;

/// Entries of `block` and `blockfiles` together; about 60 bytes each besides the names of the files.
pub const MOST_BLOCKED: usize = 131_072;

/// Networks of all feeds together, of 8 bytes (IPv4) or 32 bytes (IPv6) each.
pub const MOST_FED: usize = 1 << 20;

/// A list of bad hosts that others make, as it was last read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feed {
    /// Its name.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// Whether `asterguard fetch` puts the file there.
    pub is_fetched: bool,
    /// The file that was read.
    pub stamp: FileStamp,
    /// The networks in it.
    pub networks: Arc<Networks>,
    /// Lines that are no networks, or such as no feed may block.
    pub skipped: usize,
    /// The reason why it is not what its file says.
    pub problem: Option<String>,
}

impl Feed {
    /// Returns when its file was written last; `None` if that cannot be seen.
    #[must_use]
    pub fn written(&self) -> Option<Time> {
        let modified = std::fs::metadata(&self.path).ok()?.modified().ok()?;
        Some(Time::default().plus(modified.duration_since(UNIX_EPOCH).ok()?))
    }
}

/// Whether these are more than half of all IPv4 addresses: no list of bad hosts has that many.
#[must_use]
pub fn covers_too_much(networks: &Networks) -> bool {
    let (v4, _) = networks.addresses();
    v4 > 1 << 31
}

/// All lists, as they were last read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    /// The networks to let pass.
    pub allow: Vec<ListedNetwork>,
    /// The networks to block, in the order of their addresses, wider networks first.
    pub block: Vec<ListedNetwork>,
    /// The feeds, by name.
    pub feeds: Vec<Feed>,
    /// The geofence, if there is to be one. [`load`] does not know it: it comes from other files.
    pub geofence: Option<Geofence>,
}

impl Lists {
    /// Returns the networks to let pass, as something that is never banned.
    #[must_use]
    pub fn allowed(&self) -> Vec<ExemptNetwork> {
        let entry = |listed: &ListedNetwork| {
            let FileLine { file, line } = listed.place.clone();
            ExemptNetwork::new(listed.net, ExemptReason::Allow { file, line })
        };
        self.allow.iter().map(entry).collect()
    }

    /// The networks to block.
    #[must_use]
    pub fn blocked(&self) -> Networks {
        Networks::new(self.block.iter().map(|listed| listed.net))
    }

    /// The networks of all feeds.
    #[must_use]
    pub fn fed(&self) -> Networks {
        Networks::new(self.feeds.iter().flat_map(|feed| feed.networks.iter()))
    }

    /// The entries of `block` that hold `host`.
    pub fn blocking(&self, host: IpAddr) -> impl Iterator<Item = &ListedNetwork> {
        self.block.iter().filter(move |listed| listed.net.contains(&host))
    }

    /// Returns what is wrong with them, and what to do about it.
    pub fn problems(&self) -> impl Iterator<Item = Trouble> {
        let feeds = self.feeds.iter().filter_map(|feed| {
            let why = feed.problem.as_ref()?;
            let todo = if feed.is_fetched {
                format!("asterguard fetch {}", feed.name)
            } else {
                "put the list there again, then: asterguard reload".to_owned()
            };
            Some(Trouble::new(format!("feed {}: {why}", feed.name), todo))
        });
        let fence = self.geofence.iter().filter_map(Geofence::problem);
        feeds.chain(fence.map(|seen| Trouble::new(seen, geofence::MEND)))
    }
}
