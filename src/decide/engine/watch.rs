//! The bans for somebody who looks on all the time: in parts, and then what changes. Each takes the engine no time worth
//! mentioning, however many are banned.

use super::Engine;
use crate::decide::ban_table::JournalEntry;
use crate::model::event::Ban;

/// A ban, and what its jail remembers of its subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchedBan {
    /// The ban.
    pub ban: Ban,
    /// The attempts that this and the earlier bans counted which are remembered.
    pub tries: u32,
    /// The number of these bans; 1 if none was before.
    pub bans: u32,
}

/// A change of the bans in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchedChange {
    /// This ban is in force, in place of one with the same jail, subject and scope.
    Entered(WatchedBan),
    /// This one no longer is.
    Struck(Ban),
}

impl Engine {
    /// Keeps what changes in the bans from now on, for [`Engine::watched`] to be called often.
    pub fn watch(&mut self) {
        self.bans.watch();
    }

    /// Ends that.
    pub fn unwatch(&mut self) {
        self.bans.unwatch();
    }

    /// Returns at most `most` bans: those after a ban, or the first.
    #[must_use]
    pub fn page(&self, after: Option<&Ban>, most: usize) -> Vec<WatchedBan> {
        self.bans.page(after, most).map(|ban| self.remembered(ban)).collect()
    }

    /// Returns what has changed since the last call; `None` if that is not known, and somebody has to look at all bans.
    pub fn watched(&mut self) -> Option<Vec<WatchedChange>> {
        let entries = self.bans.take_watched()?;
        let change = |entry| match entry {
            JournalEntry::Entered(ban) => WatchedChange::Entered(self.remembered(&ban)),
            JournalEntry::Struck(ban, _) => WatchedChange::Struck(ban),
        };
        Some(entries.into_iter().map(change).collect())
    }

    /// Returns a ban with what its jail remembers of its subject.
    #[must_use]
    pub fn remembered(&self, ban: &Ban) -> WatchedBan {
        let state = self.states.get(usize::from(ban.jail.0));
        let past = state.and_then(|state| state.history.get(&(ban.subject, ban.evidence)));
        let (tries, bans) = past.map_or((0, 0), |past| (past.tries, past.bans));
        WatchedBan { ban: *ban, tries: tries.max(ban.offences), bans: bans.max(1) }
    }
}
