//! Bans in the kernel and in the state file where no daemon runs: listing and lifting them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::restore::{Stored, stored};
use crate::config::load::parse;
use crate::decide::plan::Plan;
use crate::decide::plan_files::{PlanError, load_plan};
use crate::enforce::{NftProgram, SinkError};
use crate::model::event::{Ban, Element, Evidence};
use crate::model::subject::Subject;
use crate::rules::RuleSet;
use crate::store;
use crate::sys::clock::now;
use crate::sys::program::Program;

/// Tries to lift bans while others end in between, of which nft refuses all then.
const TRIES: usize = 3;

/// What there is without a daemon.
#[derive(Debug)]
pub struct Offline {
    plan: Arc<Plan>,
    nft: NftProgram,
    state_dir: PathBuf,
    /// What was stored when this began.
    stored: Option<Stored>,
}

/// What was lifted without a daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiftedOffline {
    /// Bans that were in the kernel.
    pub bans: usize,
    /// The reason why the state file was not told, so that the next start may put them back.
    pub problem: Option<String>,
}

impl Offline {
    /// Looks at the configuration. Where it cannot be used, goes by what is built in, and returns why.
    ///
    /// # Errors
    /// When not even what is built in can be used.
    pub fn new(
        config: Option<&Path>,
        state_dir: &Path,
    ) -> Result<(Self, Option<String>), PlanError> {
        let (plan, problem) = match load_plan(config) {
            Ok(plan) => (plan, None),
            Err(error) => {
                let rules = RuleSet::load(None)?;
                let config =
                    parse(&[], &rules.filters()).map_err(crate::config::LoadError::from)?;
                let why = error.to_string();
                let first = why.lines().next().unwrap_or_default().to_owned();
                (Plan::new(config, Arc::new(rules)), Some(first))
            }
        };
        let (plan, nft) = (Arc::new(plan), NftProgram::new(Program::nft()));
        let stored = stored(&plan, state_dir);
        Ok((Self { plan, nft, state_dir: state_dir.to_owned(), stored }, problem))
    }

    /// Returns what the guard goes by.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Returns the bans that the kernel holds, with what is stored of them: all, or those that hold this host, ports of
    /// it, or this port of a host.
    ///
    /// # Errors
    /// When nft cannot be asked.
    pub fn bans(&self, whom: Option<Subject>) -> Result<Vec<Ban>, SinkError> {
        let now = now();
        let stored = self.stored.as_ref().map(|stored| stored.engine.bans());
        let bans = self.nft.bans(&self.plan.structure, now)?.into_iter().filter_map(|found| {
            let Element { scope, subject, until, jail } = found.element;
            whom.is_none_or(|whom| subject.overlaps(&whom)).then(|| {
                let known = stored.and_then(|bans| bans.of(subject).find(|ban| ban.scope == scope));
                let fresh = Ban {
                    jail: if found.known_jail { jail } else { self.plan.manual() },
                    subject,
                    host: subject.address(),
                    scope,
                    since: now,
                    until,
                    offences: 0,
                    evidence: Evidence::Proven,
                    cause: None,
                };
                known.map_or(fresh, |known| Ban { until, ..*known })
            })
        });
        Ok(bans.collect())
    }

    /// Lifts all bans, or those that hold `whom` or lie in it, or only those of one jail, in the kernel and in the state file.
    ///
    /// # Errors
    /// When nft does not take them out.
    pub fn unban(
        &self,
        whom: Option<Subject>,
        jail: Option<&str>,
    ) -> Result<LiftedOffline, SinkError> {
        let of_jail = |name: &str| jail.is_none_or(|jail| jail == name);
        let name = |ban: &Ban| self.plan.jail(ban.jail).map_or("", |jail| &jail.name);
        let is_meant = |held: &Subject| whom.is_none_or(|whom| whom.means(held));
        let mut tries = 0;
        let bans = loop {
            let bans = self.bans(whom)?.into_iter();
            let meant = bans.filter(|ban| of_jail(name(ban)) && is_meant(&ban.subject));
            let meant: Vec<_> = meant.map(|ban| (ban.scope, ban.subject)).collect();
            tries += 1;
            match self.nft.lift(&self.plan.structure, &meant) {
                Ok(()) => break meant.len(),
                Err(_) if tries < TRIES => {}
                Err(error) => return Err(error),
            }
        };
        let meant = |ban: &store::BanRecord| of_jail(&ban.jail) && is_meant(&ban.host);
        let problem = store::lift(&self.state_dir, meant, now()).err();
        Ok(LiftedOffline { bans, problem: problem.map(|error| error.to_string()) })
    }
}
