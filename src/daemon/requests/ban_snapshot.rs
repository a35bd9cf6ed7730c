//! The bans in force as the engine had them, and their counters as the kernel has them.

use std::collections::HashMap;
use std::sync::Arc;

use super::status::named_ban;
use crate::control::Problem;
use crate::control::banned::{BanStatus, NamedBan};
use crate::daemon::{Daemon, Kernel};
use crate::decide::ban_table::end;
use crate::decide::engine::Engine;
use crate::decide::plan::Plan;
use crate::model::event::Ban;
use crate::model::subject::Subject;
use crate::sys::clock::now;

/// The bans that are asked for.
#[derive(Debug)]
pub(super) enum Selection {
    /// All.
    All,
    /// Those of the jail with this name.
    Jail(String),
    /// Those that hold this host or any port of it, or this port of a host.
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
}

impl Snapshot {
    /// Returns those that the engine has now.
    fn new(engine: &Engine, selection: &Selection) -> Self {
        let (plan, bans) = (engine.plan(), engine.bans().iter());
        let bans = bans.filter(|ban| selection.has(plan, ban)).copied().collect();
        Self { plan: Arc::clone(plan), bans }
    }

    /// Returns the bans, longest first, with what was dropped of them if they are not more than `most`.
    pub(super) fn named(self, kernel: &Kernel, most: usize) -> Vec<NamedBan> {
        let Self { plan, mut bans } = self;
        bans.sort_by_key(|ban| std::cmp::Reverse(end(ban)));
        let counts = if (1..=most).contains(&bans.len()) {
            kernel.counters.banned(&plan.structure)
        } else {
            HashMap::new()
        };
        let now = now();
        let named = |ban: &Ban| {
            let count = counts.get(&(ban.scope, ban.subject));
            let dropped = count.map(|count| count.dropped).into();
            let knocked = count.and_then(|count| count.moved).map(crate::model::time::Time::secs);
            let named = named_ban(&plan, ban, now);
            NamedBan { ban: BanStatus { dropped, knocked, ..named.ban }, ..named }
        };
        bans.iter().map(named).collect()
    }
}

/// Returns a snapshot of the bans that the engine has.
pub(super) async fn take(daemon: &Daemon, selection: Selection) -> Result<Snapshot, Problem> {
    daemon.engine.ask(move |core| Snapshot::new(&core.engine, &selection)).await
}
