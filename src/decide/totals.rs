//! How many offences and bans there were since the start, by what they are: for metrics. All keys are of the
//! configuration, so there are few of them, whatever senders do.

use std::collections::BTreeMap;

use crate::model::event::{Ban, Class, Evidence, JailId, ScopeId};
use crate::model::subject::Family;

/// What offences are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OffenceKind {
    /// The jail that counted.
    pub jail: JailId,
    /// The kind of attempt.
    pub class: Class,
    /// The evidence that it counted as.
    pub evidence: Evidence,
}

/// What bans are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BanKind {
    /// The jail whose ban it is.
    pub jail: JailId,
    /// The evidence that it rests on.
    pub evidence: Evidence,
    /// The kind of address of the host.
    pub family: Family,
    /// What is closed to the host.
    pub scope: ScopeId,
}

impl From<&Ban> for BanKind {
    fn from(ban: &Ban) -> Self {
        let Ban { jail, evidence, scope, subject, .. } = *ban;
        Self { jail, evidence, family: subject.family(), scope }
    }
}

/// The numbers since the start of the process. They are not stored.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    offences: BTreeMap<OffenceKind, u64>,
    bans: BTreeMap<BanKind, u64>,
}

impl Totals {
    /// Counts an offence.
    pub fn offence(&mut self, kind: OffenceKind) {
        *self.offences.entry(kind).or_default() += 1;
    }

    /// Counts a ban.
    pub fn ban(&mut self, ban: &Ban) {
        *self.bans.entry(ban.into()).or_default() += 1;
    }

    /// The offences.
    pub fn offences(&self) -> impl Iterator<Item = (&OffenceKind, u64)> {
        self.offences.iter().map(|(kind, count)| (kind, *count))
    }

    /// The bans.
    pub fn bans(&self) -> impl Iterator<Item = (&BanKind, u64)> {
        self.bans.iter().map(|(kind, count)| (kind, *count))
    }

    /// Goes by the numbers of another plan; what has none there is forgotten.
    pub fn renumber(
        &mut self,
        jail: impl Fn(JailId) -> Option<JailId>,
        scope: impl Fn(ScopeId) -> Option<ScopeId>,
    ) {
        let offences = std::mem::take(&mut self.offences).into_iter();
        self.offences = offences
            .filter_map(|(kind, count)| {
                Some((OffenceKind { jail: jail(kind.jail)?, ..kind }, count))
            })
            .collect();
        let bans = std::mem::take(&mut self.bans).into_iter();
        let renumbered = |(kind, count): (BanKind, u64)| {
            let (jail, scope) = (jail(kind.jail)?, scope(kind.scope)?);
            Some((BanKind { jail, scope, ..kind }, count))
        };
        self.bans = bans.filter_map(renumbered).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_follow_their_jails_into_another_plan() {
        let kind = |jail| OffenceKind {
            jail: JailId(jail),
            class: Class::Guess,
            evidence: Evidence::Proven,
        };
        let mut totals = Totals::default();
        for jail in [0, 1, 1] {
            totals.offence(kind(jail));
        }
        // The first jail is gone, and the second one is the first now.
        totals.renumber(|jail| jail.0.checked_sub(1).map(JailId), Some);
        assert_eq!(totals.offences().collect::<Vec<_>>(), [(&kind(0), 2)]);
    }
}
