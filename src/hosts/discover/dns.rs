//! Looks names up, in threads that may wait for name servers as long as it takes.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use tracing::{info, warn};

use super::dns_helper::Resolver;
use crate::model::hostname::HostName;
use crate::model::subject::{bannable, canonical};

/// Names at most.
pub const MOST: usize = 1024;
/// Addresses of a name at most.
pub(super) const MOST_ADDRESSES: usize = 64;
/// The number of names that are looked up at the same time.
const AT_ONCE: usize = 8;
/// The time for which an answer is good. `getaddrinfo` does not tell the time to live that DNS has.
const AGAIN: Duration = Duration::from_secs(5 * 60);
/// The time before trying again when a name server did not answer.
const AFTER_FAILURE: Duration = Duration::from_secs(30);

/// The addresses of a name, or the reason why there are none.
pub type LookupResult = Result<Vec<IpAddr>, String>;

/// The last known addresses of a name.
#[derive(Debug, Default)]
pub struct KnownName {
    /// The last that was heard.
    addresses: Vec<IpAddr>,
    failed: Option<String>,
}

impl KnownName {
    /// The addresses that it had when it was last found.
    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// Returns the reason why it was never found; `None` if it was.
    pub fn never_known(&self) -> Option<&str> {
        self.failed.as_deref().filter(|_| self.addresses.is_empty())
    }

    /// Records an answer. A failure leaves the addresses as they are, and is told once.
    pub fn take(&mut self, name: &HostName, answer: LookupResult) {
        match answer {
            Ok(addresses) => {
                if self.failed.take().is_some() {
                    info!("{name} is found again");
                }
                self.addresses = addresses;
            }
            Err(error) => {
                if self.failed.is_none() {
                    let kept = if self.addresses.is_empty() {
                        ""
                    } else {
                        "; its last known addresses stay ignored"
                    };
                    warn!("cannot look up {name}: {error}{kept}");
                }
                self.failed = Some(error);
            }
        }
    }
}

/// Handle to the thread that looks names up.
pub struct NameLookups {
    inbox: Sender<LookupMessage>,
}

enum LookupMessage {
    Ask(Vec<HostName>),
    Answered(HostName, LookupResult),
}

impl NameLookups {
    /// Starts the thread; `tell` hears every answer, until it says that nobody listens any more.
    pub fn start(
        resolver: Resolver,
        tell: impl Fn(HostName, LookupResult) -> bool + Send + 'static,
    ) -> io::Result<Self> {
        let (inbox, messages) = channel();
        let round = Round::new(resolver, inbox.clone());
        thread::Builder::new().name("names".into()).spawn(move || round.run(&messages, &tell))?;
        Ok(Self { inbox })
    }

    /// Makes the thread look these names up now, and from time to time, in place of others.
    pub fn ask(&self, names: Vec<HostName>) {
        // The thread ends only with the one that asks.
        let _ = self.inbox.send(LookupMessage::Ask(names));
    }
}

/// The names that are being looked up. Each name has a thread while it is: one that no server answers for
/// keeps no other waiting.
struct Round {
    resolver: Resolver,
    told: Sender<LookupMessage>,
    names: Vec<HostName>,
    due: VecDeque<HostName>,
    busy: BTreeSet<HostName>,
    /// Whether a name was not found this time.
    failed: bool,
}

impl Round {
    fn new(resolver: Resolver, told: Sender<LookupMessage>) -> Self {
        let (due, busy) = (VecDeque::new(), BTreeSet::new());
        Self { resolver, told, names: Vec::new(), due, busy, failed: false }
    }

    fn run(
        mut self,
        inbox: &Receiver<LookupMessage>,
        tell: &dyn Fn(HostName, LookupResult) -> bool,
    ) {
        loop {
            let wait = if self.failed { AFTER_FAILURE } else { AGAIN };
            match inbox.recv_timeout(wait) {
                Ok(LookupMessage::Ask(names)) => {
                    self.names = names;
                    self.begin();
                }
                Ok(LookupMessage::Answered(name, answer)) => {
                    self.busy.remove(&name);
                    self.failed |= answer.is_err();
                    if !tell(name, answer) {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.begin(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.look_up();
        }
    }

    /// Begins again with all names.
    fn begin(&mut self) {
        self.due = self.names.iter().cloned().collect();
        self.failed = false;
    }

    /// Looks as many up as can be at the same time. One that is being looked up waits for its turn: what it
    /// is told then may be newer.
    fn look_up(&mut self) {
        for _ in 0..self.due.len() {
            let Some(name) = self.due.pop_front() else { return };
            if self.busy.len() >= AT_ONCE || self.busy.contains(&name) {
                self.due.push_back(name);
                continue;
            }
            let (resolver, told, asked) = (self.resolver.clone(), self.told.clone(), name.clone());
            let spawned = thread::Builder::new().name("name".into()).spawn(move || {
                let answer = resolver.look_up(&asked);
                // Nobody listens any more: the daemon is ending.
                let _ = told.send(LookupMessage::Answered(asked, answer));
            });
            match spawned {
                Ok(_) => drop(self.busy.insert(name)),
                Err(error) => {
                    warn!("cannot look up {name}: {error}");
                    self.failed = true;
                }
            }
        }
    }
}

/// Asks `getaddrinfo`, and so whatever this machine goes by: `/etc/hosts`, DNS, or others.
pub(super) fn look_up(name: &HostName) -> LookupResult {
    let found = (name.as_str(), 0).to_socket_addrs().map_err(|error| {
        let words = error.to_string();
        words.strip_prefix("failed to lookup address information: ").unwrap_or(&words).to_owned()
    })?;
    Ok(usable(found.map(|socket| socket.ip()).collect()))
}

/// Those of a name's addresses that anything follows from, in order.
pub(super) fn usable(mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    for address in &mut addresses {
        *address = canonical(*address);
    }
    addresses.sort_unstable();
    addresses.dedup();
    addresses.retain(|address| bannable(*address));
    addresses.truncate(MOST_ADDRESSES);
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_known_last_stays_known() {
        let (name, here): (HostName, IpAddr) =
            ("a.example".parse().unwrap(), "192.0.2.1".parse().unwrap());
        let mut known = KnownName::default();
        assert_eq!(known.never_known(), None, "nobody has asked yet");
        known.take(&name, Err("down".to_owned()));
        assert_eq!(known.never_known(), Some("down"));
        known.take(&name, Ok(vec![here]));
        assert_eq!((known.addresses(), known.never_known()), (&[here][..], None));
        known.take(&name, Err("down".to_owned()));
        assert_eq!((known.addresses(), known.never_known()), (&[here][..], None));
        known.take(&name, Ok(Vec::new()));
        assert_eq!(known.addresses(), &[] as &[IpAddr]);
    }
}
