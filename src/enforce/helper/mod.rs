//! The sink in a process of its own: the only one that may change the firewall.
//!
//! The guard reads what strangers wrote, so it holds no capability. It starts the firewall helper before it has
//! read anything, and tells it by [`Request`]s on a socket what to do; what comes back is the answer of
//! the sink's own methods. The firewall helper believes no request more than it has to: see [`policy_guard`]. It ends
//! with the guard, when the socket closes; bans stay in force.

mod channel;
mod client;
mod connections;
mod policy_guard;
mod server;

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::enforce::Operation;
use crate::model::subject::Subject;
use crate::model::time::Time;
use crate::sys::peer::Peer;
use crate::table::list_sets::{Contents, ListSet};
use crate::table::structure::Structure;

pub use channel::Channel;
pub use client::{FirewallHelper, Remote, RemoteSink};
pub use server::serve;

/// A request of the guard to the firewall helper. An [`Operation`] is answered by a `Result` of what the
/// method of the same name returns, and so are the others.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request<'a> {
    /// Open the sink. The first of all.
    Open,
    /// Serve the socket that comes with this too, for what takes long.
    Connect,

    /// Carry out an operation of the sink.
    Sink(Operation<'a>),

    // Those of other sockets, by connections of their own.
    /// Wait until others have changed the table.
    Listen,
    Fill(Cow<'a, Contents>),
    Sweep(Cow<'a, [ListSet]>),
    /// Replace the hosts that the geofence lets through.
    Admit {
        known: Cow<'a, [(IpAddr, Duration)]>,
        ready: bool,
    },
    /// List the hosts that the geofence has stopped.
    Abroad,
    Banned(Cow<'a, Structure>),
    /// List the bans that there are, at this time; see [`CounterSocket::held`](crate::enforce::CounterSocket::held).
    Held(Cow<'a, Structure>, Time),
    Blocked(Cow<'a, [ListSet]>),
    Named(Cow<'a, str>),
    Limited,
    /// Open a socket that gets the packets of this NFLOG group; it comes with the answer.
    Wire(u16),
    /// Count the segments that went to a host and port lately; see
    /// [`CounterSocket::talked`](crate::enforce::CounterSocket::talked).
    Talked(Subject),
    /// Count those that went to a host from a port of ours; see
    /// [`CounterSocket::served`](crate::enforce::CounterSocket::served).
    Served(Subject),
    /// List what comes through from banned hosts; see
    /// [`CounterSocket::passed`](crate::enforce::CounterSocket::passed).
    Passed,
    /// Connect to one of our other processes, at the socket that this one was started with; the connection comes
    /// with the answer.
    Dial(Peer),
}
