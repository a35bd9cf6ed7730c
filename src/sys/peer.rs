//! The processes that reach what the guard may not, and how it gets connections to them.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A process that does one thing for the guard, started by systemd at each connection to its socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Peer {
    /// Looks names up.
    Names,
    /// Reads the journal.
    Journal,
    /// Reads events of Asterisk's manager interface.
    Ami,
    /// Tells people and programs what the guard does. Other than the others, it is one process for all connections.
    Notify,
    /// Reaches the fleet's server. It is one process for all connections, too.
    Fleet,
}

impl Peer {
    /// The unit of its socket.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::Names => "asterguard-names.socket",
            Self::Journal => "asterguard-journal.socket",
            Self::Ami => "asterguard-ami.socket",
            Self::Notify => "asterguard-notify.socket",
            Self::Fleet => "asterguard-fleet.socket",
        }
    }

    /// The option of `asterguard run` that names its socket.
    #[must_use]
    pub fn option(self) -> &'static str {
        match self {
            Self::Names => "--names",
            Self::Journal => "--journal",
            Self::Ami => "--ami",
            Self::Notify => "--notify",
            Self::Fleet => "--fleet",
        }
    }
}

/// The sockets of these processes; `None` where there is none.
#[derive(Clone, Debug, Default)]
pub struct Peers {
    /// [`Peer::Names`].
    pub names: Option<PathBuf>,
    /// [`Peer::Journal`].
    pub journal: Option<PathBuf>,
    /// [`Peer::Ami`].
    pub ami: Option<PathBuf>,
    /// [`Peer::Notify`].
    pub notify: Option<PathBuf>,
    /// [`Peer::Fleet`].
    pub fleet: Option<PathBuf>,
}

impl Peers {
    /// The socket of one of them.
    #[must_use]
    pub fn socket(&self, peer: Peer) -> Option<&Path> {
        match peer {
            Peer::Names => self.names.as_deref(),
            Peer::Journal => self.journal.as_deref(),
            Peer::Ami => self.ami.as_deref(),
            Peer::Notify => self.notify.as_deref(),
            Peer::Fleet => self.fleet.as_deref(),
        }
    }

    /// Those that there are, each with its socket.
    pub fn each(&self) -> impl Iterator<Item = (Peer, &Path)> {
        let all = [Peer::Names, Peer::Journal, Peer::Ami, Peer::Notify, Peer::Fleet];
        all.into_iter().filter_map(|peer| Some((peer, self.socket(peer)?)))
    }
}

/// Returns a new connection to one of these processes.
pub type Connect = Arc<dyn Fn() -> io::Result<UnixStream> + Send + Sync>;
