//! The bans in force as the engine had them, and their counters as the kernel has them.

use std::collections::HashMap;
use std::sync::Arc;

use super::status::ban_status;
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

/// The bans in force, as the engine had them.
pub(super) struct Snapshot {
    plan: Arc<Plan>,
    bans: Vec<Ban>,
}

impl Snapshot {
    /// Returns those that the engine has now.
    fn new(engine: &Engine, selection: &Selection) -> Self {
        let (plan, bans) = (engine.plan(), engine.bans().iter().copied());
        let bans = match selection {
            Selection::All => bans.collect(),
            Selection::Jail(name) => {
                let jail = plan.jail_named(name);
                bans.filter(|ban| Some(ban.jail) == jail).collect()
            }
            Selection::Whom(whom) => bans.filter(|ban| ban.subject.overlaps(whom)).collect(),
        };
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
            let ban_status = BanStatus { dropped, knocked, ..ban_status(&plan, ban, now) };
            let jail = plan.jail(ban.jail).map_or_else(String::new, |jail| jail.name.clone());
            NamedBan { jail, ban: ban_status }
        };
        bans.iter().map(named).collect()
    }
}

/// Returns a snapshot of the bans that the engine has.
pub(super) async fn take(daemon: &Daemon, selection: Selection) -> Result<Snapshot, Problem> {
    daemon.engine.ask(move |core| Snapshot::new(&core.engine, &selection)).await
}
