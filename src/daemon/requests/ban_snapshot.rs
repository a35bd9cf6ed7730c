//! The bans in force as the engine had them, and their counters as the kernel has them.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::status::placed_ban;
use crate::control::Problem;
use crate::control::banned::{BanStatus, Issuer, NamedBan};
use crate::daemon::engine_thread::Core;
use crate::daemon::{Daemon, Kernel};
use crate::decide::ban_table::end;
use crate::decide::plan::Plan;
use crate::geo::Databases;
use crate::model::event::{Ban, JailId};
use crate::model::subject::Subject;
use crate::store::{self, ban_record};
use crate::sys::clock::now;

/// Issuers of one ban that are shown.
const MOST_ISSUERS: usize = 16;

/// The bans that are asked for.
#[derive(Debug)]
pub(super) enum Selection {
    /// All.
    All,
    /// Those of the jail with this name.
    Jail(String),
    /// Those that hold this host or any port of it, or this port of a host; of a network, also those in it.
    Whom(Subject),
}

impl Selection {
    /// Whether a ban is asked for.
    pub(super) fn has(&self, plan: &Plan, ban: &Ban) -> bool {
        match self {
            Self::All => true,
            Self::Jail(name) => plan.jail_named(name) == Some(ban.jail),
            Self::Whom(whom) => ban.subject.overlaps(whom),
        }
    }
}

/// The bans in force, as the engine had them.
pub(super) struct Snapshot {
    plan: Arc<Plan>,
    bans: Vec<Ban>,
    /// The issuers of those that are peers'.
    issuers: HashMap<Subject, Vec<Issuer>>,
    /// The jails whose bans are not in force for now.
    paused: Vec<JailId>,
    /// The directory of the state file, which says who ordered bans.
    state_dir: PathBuf,
    /// What is known of where hosts are.
    places: Arc<Databases>,
}

impl Snapshot {
    /// Returns those that the engine has now.
    fn new(core: &Core, selection: &Selection, state_dir: PathBuf, places: Arc<Databases>) -> Self {
        let (plan, bans) = (core.engine.plan(), core.engine.bans());
        let is_paused = |id: &JailId| core.paused.is_on() || bans.is_paused(*id);
        let paused = plan.jails().map(|(id, _)| id).filter(is_paused).collect();
        let bans: Vec<Ban> = bans.iter().filter(|ban| selection.has(plan, ban)).copied().collect();
        let of_peers = bans.iter().filter(|ban| ban.jail == plan.fleet());
        let issuers = |ban: &Ban| {
            let issued = core.engine.peers().of(ban.subject);
            (ban.subject, issued.iter().take(MOST_ISSUERS).map(Issuer::from).collect())
        };
        let issuers = of_peers.map(issuers).collect();
        Self { plan: Arc::clone(plan), bans, issuers, paused, state_dir, places }
    }

    /// Returns the bans, longest first, with what was dropped of them if they are not more than `most`.
    pub(super) fn named(self, kernel: &Kernel, most: usize) -> Vec<NamedBan> {
        let Self { plan, mut bans, issuers, paused, state_dir, places } = self;
        bans.sort_by_key(|ban| (std::cmp::Reverse(end(ban)), ban.subject, ban.jail));
        let counts = if (1..=most).contains(&bans.len()) {
            kernel.counters.banned(&plan.structure)
        } else {
            HashMap::new()
        };
        let by_hand = bans.iter().any(|ban| ban.offences == 0);
        let notes = if by_hand { store::notes(&state_dir) } else { HashMap::new() };
        let now = now();
        let named = |ban: &Ban| {
            let note = ban_record::key(&plan, ban).and_then(|key| notes.get(&key));
            let (by, comment) = note.map(|note| (note.by.clone(), note.comment.clone())).unzip();
            let paused = paused.contains(&ban.jail);
            let count = counts.get(&(ban.scope, ban.subject));
            let dropped = count.map(|count| count.dropped).into();
            let knocked = count.and_then(|count| count.moved).map(crate::model::time::Time::secs);
            let named = placed_ban(&plan, ban, now, &places);
            let comment = comment.flatten();
            let of_peers = issuers.get(&ban.subject).filter(|_| ban.jail == plan.fleet());
            let issuers = of_peers.cloned().unwrap_or_default();
            let ban = BanStatus { by, comment, paused, issuers, dropped, knocked, ..named.ban };
            NamedBan { ban, ..named }
        };
        bans.iter().map(named).collect()
    }
}

/// Returns a snapshot of the bans that the engine has.
pub(super) async fn take(daemon: &Daemon, selection: Selection) -> Result<Snapshot, Problem> {
    let (state_dir, places) = (daemon.options.state_dir.clone(), daemon.places.get());
    daemon.engine.ask(move |core| Snapshot::new(core, &selection, state_dir, places)).await
}
