//! Finds out which hosts are never banned, and keeps watch over it: the threads that do, and what they know.
//!
//! One thread puts everything together; once a second it looks whether files have changed. One
//! waits for what the kernel says about addresses and routes, one waits for name servers. None of
//! them is waited for by the engine, which gets a new list whenever there is one.

mod addresses;
pub mod asterisk_ports;
mod conf_files;
mod dns;
pub mod dns_helper;
mod logins;
mod name_servers;
mod trunk_files;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use tracing::{info, warn};

use crate::config::Config;
use crate::hosts::asterisk::hep_conf::HepConf;
use crate::hosts::asterisk::ports::Listening;
use crate::hosts::asterisk::trunks::{Trunk, TrunkHost, Trunks};
use crate::hosts::exempt::{IgnoreList, words};
use crate::hosts::lists::Lists;
use crate::model::hostname::HostName;
use crate::model::listed::{ExemptNetwork, ExemptReason};
use crate::model::trouble::Trouble;
use addresses::Network;
pub use conf_files::ConfFiles;
use dns::{LookupResult, NameLookups};
use dns_helper::Resolver;

/// The time between two looks at files.
const TICK: Duration = Duration::from_secs(1);

/// The hosts that the configuration asks to be found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The names in `[default]`'s `ignoreip`.
    names: Vec<HostName>,
    /// Those in the jails' own.
    jail_names: Vec<HostName>,
    /// Those in the lists to let pass.
    allow: Vec<ExemptNetwork>,
    /// The directory of Asterisk's configuration, if the trunks in it are wanted.
    asterisk: Option<PathBuf>,
}

impl Wanted {
    /// Returns what this configuration asks for.
    #[must_use]
    pub fn by(config: &Config, lists: &Lists) -> Self {
        Self {
            names: config.ignorenames.clone(),
            jail_names: config.jails.iter().flat_map(|jail| jail.ignorenames.clone()).collect(),
            allow: lists.allowed(),
            asterisk: config.trunks.then(|| config.asteriskconf.clone()),
        }
    }
}

/// Returns the hosts that are there now, and what was left out, for people. No name is looked up.
#[must_use]
pub fn scan(wanted: &Wanted) -> (IgnoreList, Vec<String>) {
    let mut found = Discovered { wanted: wanted.clone(), ..Discovered::default() };
    found.network = addresses::current().unwrap_or_default();
    found.look();
    (found.list(), found.trunks.found().left_out.clone())
}

/// Returns the directories that Asterisk's configuration is read from: its own, and those of the files that
/// are included there, wherever links lead. Not `/`, for the sake of a file that lies there: all is below it.
#[must_use]
pub fn conf_directories(asterisk: &Path) -> BTreeSet<PathBuf> {
    let mut disk = ConfFiles::new(asterisk);
    Trunks::find(&mut disk);
    let (mut seen, _) = disk.finish();
    // What both read is read twice: each has a bound of its own.
    let mut disk = ConfFiles::new(asterisk);
    Listening::read(&mut disk);
    let _ = HepConf::read(&mut disk);
    seen.extend(disk.finish().0);
    let there = seen.into_keys().filter_map(|path| path.canonicalize().ok());
    let directory =
        |path: PathBuf| if path.is_dir() { Some(path) } else { path.parent().map(Path::to_owned) };
    there.filter_map(directory).filter(|path| path.parent().is_some()).collect()
}

/// The way to the threads.
#[derive(Debug)]
pub struct Finder {
    inbox: Sender<FinderMessage>,
}

enum FinderMessage {
    Wanted(Wanted),
    Network(Network),
    Name(HostName, LookupResult),
}

impl Finder {
    /// Starts the threads; `resolver` looks names up. Also returns what is there now; what changes, `tell` is told, until it
    /// says that nobody listens any more. Names are not waited for.
    ///
    /// # Errors
    /// Returns an error if no thread can be started.
    pub fn start(
        wanted: Wanted,
        resolver: Resolver,
        tell: impl Fn(Arc<IgnoreList>) -> bool + Send + 'static,
    ) -> io::Result<(Self, Arc<IgnoreList>)> {
        let (inbox, messages) = channel();
        let mut found = Discovered { wanted, ..Discovered::default() };
        let told = inbox.clone();
        match addresses::watch(move |network| told.send(FinderMessage::Network(network)).is_ok()) {
            Ok(network) => found.network = network,
            Err(error) => {
                warn!("cannot follow addresses and routes: {error}; put yours into ignoreip");
                found.blind = true;
            }
        }
        found.look();
        let told = inbox.clone();
        let tell_name = move |name, answer| told.send(FinderMessage::Name(name, answer)).is_ok();
        let names = NameLookups::start(resolver, tell_name)?;
        names.ask(found.names());
        let list = Arc::new(found.list());
        info!("never banned, beside ignoreip: {}", words(&list.counts()));
        let last = Arc::clone(&list);
        thread::Builder::new()
            .name("finder".into())
            .spawn(move || found.run(&messages, &names, last, &tell))?;
        Ok((Self { inbox }, list))
    }

    /// Goes by another configuration from now on; all names are looked up again.
    pub fn change(&self, wanted: Wanted) {
        // The thread ends only with the engine's.
        let _ = self.inbox.send(FinderMessage::Wanted(wanted));
    }
}

/// All that is known.
#[derive(Default)]
struct Discovered {
    wanted: Wanted,
    network: Network,
    /// Whether the network cannot be followed.
    blind: bool,
    resolvers: name_servers::NameServers,
    sessions: logins::LoginHosts,
    trunks: trunk_files::TrunkFiles,
    /// The facts that are known of each name that is looked up.
    names: BTreeMap<HostName, dns::KnownName>,
}

impl Discovered {
    fn run(
        mut self,
        inbox: &Receiver<FinderMessage>,
        names: &NameLookups,
        mut last: Arc<IgnoreList>,
        tell: &dyn Fn(Arc<IgnoreList>) -> bool,
    ) {
        let mut asked = self.names();
        loop {
            let mut message = match inbox.recv_timeout(TICK) {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let told = message.is_some();
            let mut again = false;
            while let Some(next) = message {
                again |= matches!(next, FinderMessage::Wanted(_));
                self.take(next);
                message = inbox.try_recv().ok();
            }
            if !self.look() && !told {
                continue;
            }
            let now = self.names();
            if again || now != asked {
                self.names.retain(|name, _| now.contains(name));
                names.ask(now.clone());
                asked = now;
            }
            let list = self.list();
            if list != *last {
                if list.entries() != last.entries() {
                    info!("never banned from now on, beside ignoreip: {}", words(&list.counts()));
                }
                last = Arc::new(list);
                if !tell(Arc::clone(&last)) {
                    return;
                }
            }
        }
    }

    fn take(&mut self, message: FinderMessage) {
        match message {
            FinderMessage::Wanted(wanted) => self.wanted = wanted,
            FinderMessage::Network(network) => self.network = network,
            // One that has been taken out of the configuration meanwhile is nobody's.
            FinderMessage::Name(name, answer) if self.names().contains(&name) => {
                self.names.entry(name.clone()).or_default().take(&name, answer);
            }
            FinderMessage::Name(..) => {}
        }
    }

    /// Reads the files that have changed, and says whether any has.
    fn look(&mut self) -> bool {
        let resolvers = self.resolvers.look();
        let sessions = self.sessions.look();
        let trunks = self.trunks.look(self.wanted.asterisk.as_deref());
        resolvers || sessions || trunks
    }

    /// The names to be looked up, each once, the administrator's first.
    fn names(&self) -> Vec<HostName> {
        let own = self.wanted.names.iter().chain(&self.wanted.jail_names);
        let trunks = self.trunks.found().trunks.iter().filter_map(|trunk| match &trunk.target {
            TrunkHost::Name(name) => Some(name),
            TrunkHost::Net(_) => None,
        });
        let mut seen = BTreeSet::new();
        own.chain(trunks).filter(|name| seen.insert(*name)).take(dns::MOST).cloned().collect()
    }

    fn list(&self) -> IgnoreList {
        let addresses = |name| self.names.get(name).map_or(&[][..], dns::KnownName::addresses);
        let named = self.wanted.names.iter().flat_map(|name| {
            let origin = ExemptReason::Ignoreip { entry: name.to_string() };
            addresses(name).iter().map(move |address| ExemptNetwork::new(*address, origin.clone()))
        });
        let trunks = self.trunks.found().trunks.iter().flat_map(|trunk| {
            let Trunk { name, file, target } = trunk;
            let origin = ExemptReason::Trunk { name: name.clone(), file: file.clone() };
            let nets = match target {
                TrunkHost::Net(net) => vec![*net],
                TrunkHost::Name(name) => addresses(name).iter().map(|ip| (*ip).into()).collect(),
            };
            nets.into_iter().map(move |net| ExemptNetwork::new(net, origin.clone()))
        });
        let own =
            self.network.own.iter().map(|own| ExemptNetwork::new(own.addr(), ExemptReason::Own));
        let gateways = self
            .network
            .gateways
            .iter()
            .map(|gateway| ExemptNetwork::new(*gateway, ExemptReason::Gateway));
        let entries = named
            .chain(self.wanted.allow.iter().cloned())
            .chain(own)
            .chain(gateways)
            .chain(self.resolvers.entries())
            .chain(self.sessions.entries())
            .chain(trunks)
            .collect();
        let jail_names = self.wanted.jail_names.iter();
        let jail_names = jail_names.map(|name| (name.clone(), addresses(name).to_vec())).collect();
        let mut list = IgnoreList::new(entries, jail_names).with_on_link(self.network.on_link());
        list.problems.extend(self.problems());
        list
    }

    /// Returns what the administrator has to know: which hosts are meant to be protected, and are not.
    fn problems(&self) -> Vec<Trouble> {
        let blind = self.blind.then(|| {
            Trouble::new(
                "this machine's addresses and routes cannot be followed",
                "write its addresses and its gateway into `ignoreip`",
            )
        });
        let own = self.wanted.names.iter().chain(&self.wanted.jail_names);
        let unknown = own.filter_map(|name| {
            let why = self.names.get(name)?.never_known()?;
            let seen =
                format!("{name} in ignoreip can be banned, for its address is not known: {why}");
            Some(Trouble::new(seen, "write its address into `ignoreip` too, or correct the name"))
        });
        blind.into_iter().chain(self.trunks.problem()).chain(unknown).collect()
    }
}
