//! A ban as it is stored: with names, because numbers of jails, sets and rules are a run's own.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::decide::plan::Plan;
use crate::model::account::Account;
use crate::model::event::{Ban, Element, Evidence, JailId, Lifted, RuleId, ScopeId};
use crate::model::orders::Note;
use crate::model::subject::Subject;
use crate::model::time::Time;
use crate::table::structure::SetKind;

/// A ban as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BanRecord {
    /// The banned host or network.
    pub host: Subject,
    /// The jail that banned it.
    pub jail: Arc<str>,
    /// The set of the kernel that it is in, which says what is closed to the host.
    pub set: Arc<str>,
    /// The exact address whose line completed the count.
    pub address: IpAddr,
    /// The time when it was decided.
    pub since: Time,
    /// The time when it ends; `None`: never.
    pub until: Option<Time>,
    /// Offences counted.
    pub attempts: u32,
    /// The weakest evidence that it rests on.
    pub evidence: Evidence,
    /// The rule that completed the count, as `filter/id`, and the line's number.
    pub rule: Option<(Arc<str>, u64)>,
    /// The time and way that it ended; `None`: it is in force.
    pub ended: Option<(Time, Lifted)>,
    /// Who ordered it, if somebody did. Stored by [`annotate`](super::bans::annotate).
    pub note: Option<Note>,
    /// The accounts that the host tried, as far as they are known. Stored by [`tried`](super::bans::tried).
    pub accounts: Vec<Account>,
    /// When an account had last logged in from there, before the ban. Stored likewise.
    pub login: Option<Time>,
}

/// The key that a ban is found by: host, jail and set.
pub type StoredKey = (String, String, String);

/// Returns host, jail and set of a ban by name; `None` if the plan does not know them.
#[must_use]
pub fn key(plan: &Plan, ban: &Ban) -> Option<StoredKey> {
    let (jail, set) = names(plan, ban)?;
    Some((ban.subject.to_string(), jail.to_owned(), set))
}

/// Returns the names of a ban's jail and set; `None` if the plan does not know them.
pub(super) fn names<'a>(plan: &'a Plan, ban: &Ban) -> Option<(&'a str, String)> {
    let jail = plan.jail(ban.jail)?.name.as_str();
    Some((jail, plan.structure.scope(ban.scope)?.set_of(ban.subject)))
}

impl BanRecord {
    /// Returns a ban in force as it is stored; `None` if the plan does not know its jail or set.
    #[must_use]
    pub fn of(plan: &Plan, ban: &Ban) -> Option<Self> {
        let (jail, set) = names(plan, ban)?;
        let rule = |(rule, line)| Some((plan.rule_name(rule)?.into(), line));
        Some(Self {
            host: ban.subject,
            jail: jail.into(),
            set: set.into(),
            address: ban.host,
            since: ban.since,
            until: ban.until,
            attempts: ban.offences,
            evidence: ban.evidence,
            rule: ban.cause.and_then(rule),
            ended: None,
            note: None,
            accounts: Vec::new(),
            login: None,
        })
    }

    /// Returns the key that it is found by.
    #[must_use]
    pub fn key(&self) -> StoredKey {
        (self.host.to_string(), self.jail.to_string(), self.set.to_string())
    }

    /// Returns the ban that is stored, as the numbers of `names` have it; `None` if its set is gone from
    /// the configuration.
    #[must_use]
    pub fn ban(&self, names: &PlanIndex) -> Option<Ban> {
        let (scope, kind, ipv6prefix) = names.scope(&self.set)?;
        // Networks of another length than the sets have now: the address says which one is meant.
        let bits = self.host.net().prefix_len();
        let fits = kind != SetKind::Hosts
            || !self.host.is_ipv6()
            || bits == ipv6prefix
            || self.host.is_single_within(ipv6prefix);
        Some(Ban {
            jail: names.jail(&self.jail),
            subject: if fits { self.host } else { Subject::of(self.address, ipv6prefix) },
            host: self.address,
            scope,
            since: self.since,
            until: self.until,
            offences: self.attempts,
            evidence: self.evidence,
            cause: self.rule.as_ref().and_then(|(name, line)| Some((names.rule(name)?, *line))),
        })
    }

    /// Returns the same of a ban that may be over, for what it says of its host; `None` if its jail
    /// is gone.
    #[must_use]
    pub fn past(&self, names: &PlanIndex) -> Option<Ban> {
        let jail = *names.jails.get(&*self.jail)?;
        Some(Ban {
            jail,
            subject: self.host,
            host: self.address,
            scope: ScopeId(0),
            since: self.since,
            until: self.until,
            offences: self.attempts,
            evidence: self.evidence,
            cause: None,
        })
    }

    /// Returns up to when lines of the host do not count for the jail any more: they had this ban,
    /// or it was lifted in spite of them.
    #[must_use]
    pub fn mark(&self, names: &PlanIndex) -> Option<(JailId, Subject, Time)> {
        let lifted = match self.ended {
            Some((ended, Lifted::ByHand | Lifted::Ignored)) => ended,
            _ => self.since,
        };
        Some((*names.jails.get(&*self.jail)?, self.host, lifted.max(self.since)))
    }

    /// Returns the element that it was in the kernel.
    #[must_use]
    pub fn element(&self, names: &PlanIndex) -> Option<Element> {
        let ban = self.ban(names)?;
        Some(Element { scope: ban.scope, subject: ban.subject, until: ban.until, jail: ban.jail })
    }
}

/// The names that bans have in common: a million bans have a few of them.
#[derive(Debug, Default)]
pub struct SharedNames(HashSet<Arc<str>, RandomState>);

impl SharedNames {
    /// Returns a name, which takes memory once.
    pub fn shared(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.0.get(name) {
            return Arc::clone(known);
        }
        let new = Arc::from(name);
        self.0.insert(Arc::clone(&new));
        new
    }
}

/// The numbers that names have in a plan.
#[derive(Debug)]
pub struct PlanIndex {
    jails: HashMap<String, JailId, RandomState>,
    manual: JailId,
    /// Scope, kind and length of IPv6 networks of each set.
    sets: HashMap<String, (ScopeId, SetKind, u8), RandomState>,
    rules: HashMap<String, RuleId, RandomState>,
}

impl PlanIndex {
    /// Returns the numbers of `plan`.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        let all = |(id, kind, set)| {
            let ipv6prefix = plan.structure.scope(id).map_or(64, |scope| scope.ipv6prefix);
            (set, (id, kind, ipv6prefix))
        };
        let named = |(id, _)| Some((plan.rule_name(id)?, id));
        Self {
            jails: plan.jails().map(|(id, jail)| (jail.name.clone(), id)).collect(),
            manual: plan.manual(),
            sets: plan.structure.sets().map(all).collect(),
            rules: plan.rules.iter().filter_map(named).collect(),
        }
    }

    /// Returns a jail; the one for bans by hand if there is none of that name any more.
    #[must_use]
    pub fn jail(&self, name: &str) -> JailId {
        self.jails.get(name).copied().unwrap_or(self.manual)
    }

    fn scope(&self, set: &str) -> Option<(ScopeId, SetKind, u8)> {
        self.sets.get(set).copied()
    }

    /// Returns a rule.
    #[must_use]
    pub fn rule(&self, name: &str) -> Option<RuleId> {
        self.rules.get(name).copied()
    }
}
