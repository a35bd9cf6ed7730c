//! The sink in a process of its own: the only one that may change the firewall.
//!
//! The guard reads what strangers wrote, so it holds no capability. It starts the writer before it has
//! read anything, and tells it by [`Request`]s on a socket what to do; what comes back is the answer of
//! the sink's own methods. The writer believes no request more than it has to: see [`policy_guard`]. It ends
//! with the guard, when the socket closes; bans stay in force.

mod channel;
mod client;
mod policy_guard;
mod server;

use std::borrow::Cow;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::model::event::{Change, Element, ScopeId};
use crate::model::time::Time;
use crate::table::list_sets::{Contents, ListSet};
use crate::table::structure::Structure;

pub use channel::Line;
pub use client::{Remote, RemoteSink, Writer};
pub use server::serve;

/// What the guard asks the writer for. Each is answered by a `Result` of what the method of the same
/// name returns.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request<'a> {
    /// Open the sink. The first of all.
    Open,
    /// Serve the socket that comes with this too, for what takes long.
    Connect,

    // Those of `BanSink`.
    Load(Cow<'a, Structure>),
    LoadRekeyed(Cow<'a, Structure>, Cow<'a, [ScopeId]>, Cow<'a, [Element]>, Time),
    LoadWire(Cow<'a, Structure>),
    Allow(Cow<'a, [IpNet]>),
    Adopt(Time),
    Apply(Cow<'a, [Change]>, Time),
    Inspect,
    Mend(Cow<'a, Structure>),
    Restore(Cow<'a, [Element]>, Time),
    Compare(Cow<'a, [Element]>, Time),
    Pause(Option<Duration>),
    Resume,
    Paused(Time),

    // Those of other sockets, by connections of their own.
    /// Wait until others have changed the table.
    Listen,
    Fill(Cow<'a, Contents>),
    Sweep(Cow<'a, [ListSet]>),
    Banned(Cow<'a, Structure>),
    Blocked(Cow<'a, [ListSet]>),
    Named(Cow<'a, str>),
    Limited,
    /// Open a socket that gets the packets of this NFLOG group; it comes with the answer.
    Wire(u16),
}
