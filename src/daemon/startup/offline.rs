//! Bans in the kernel and in the state file where no daemon runs: listing and lifting them.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnet::IpNet;
use thiserror::Error;

use super::restore::{Stored, stored};
use crate::config::load::parse;
use crate::decide::plan::Plan;
use crate::decide::plan_files::{PlanError, load_plan};
use crate::enforce::{ListOrigin, NftProgram, SinkError};
use crate::hosts::exempt::IgnoreList;
use crate::model::event::{Ban, Element, Evidence};
use crate::model::orders::{AllowedNetwork, TooMany};
use crate::model::subject::Subject;
use crate::rules::RuleSet;
use crate::store::{self, StoreError};
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

    /// Returns what of our table drops a host without a ban: `block`, feeds, and what somebody put into `block4` and `block6`.
    ///
    /// # Errors
    /// When nft cannot be asked.
    pub fn listed(&self, host: IpAddr) -> Result<Vec<(ListOrigin, IpNet)>, SinkError> {
        self.nft.listed(host)
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

    /// Lets a network through, in the kernel and by the state file.
    ///
    /// # Errors
    /// When the state file cannot be written, or there are too many such networks; or when nft does not do it.
    pub fn allow(&self, new: AllowedNetwork) -> Result<(), OrderError> {
        let net = new.net;
        store::change_orders(&self.state_dir, |orders| {
            orders.expire(now());
            orders.allow(new).map(drop).map_err(OrderError::from)
        })?;
        without_table(self.nft.allow(net)).map_err(OrderError::from)
    }

    /// Lets a network through no longer. In the kernel it stays where something else that is let through overlaps it, until
    /// the guard starts. Whether there was an order about it.
    ///
    /// # Errors
    /// As [`Offline::allow`].
    pub fn disallow(&self, net: IpNet) -> Result<bool, OrderError> {
        let (was_there, others) = store::change_orders(&self.state_dir, |orders| {
            let was_there = orders.disallow(&net).is_some();
            let others: Vec<_> = orders.allowed.iter().map(|known| known.net).collect();
            Ok::<_, OrderError>((was_there, others))
        })?;
        let configured = self.plan.allowed(&IgnoreList::default());
        let overlaps = |other: &IpNet| other.contains(&net) || net.contains(other);
        if was_there && !others.iter().chain(&configured).any(overlaps) {
            without_table(self.nft.disallow(net))?;
        }
        Ok(was_there)
    }
}

/// Where there is no table, nobody is kept out; and what is not there need not be taken out.
fn without_table(done: Result<(), SinkError>) -> Result<(), SinkError> {
    if matches!(done, Err(SinkError::NoTable)) { Ok(()) } else { done }
}

/// The reason why an order was not carried out without a daemon.
#[derive(Debug, Error)]
pub enum OrderError {
    /// The state file cannot be written.
    #[error("the state file cannot be written: {0}")]
    Store(#[from] StoreError),
    /// There are too many.
    #[error(transparent)]
    TooMany(#[from] TooMany),
    /// nft did not do it.
    #[error(transparent)]
    Sink(#[from] SinkError),
}
