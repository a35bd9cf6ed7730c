//! The counts of an engine, to be stored and restored.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::{Engine, Tally};
use crate::config::{Counting, Jail};
pub use crate::decide::account_networks::{AccountChanges, StoredAccounts};
pub use crate::decide::hour_counts::HourCount;
pub use crate::decide::known_good::KnownHosts;
use crate::decide::offences::{OffenceTable, Pages};
use crate::model::event::{BANS, ChannelId, Event, JailId, RuleId, SIP_RESPONSES};
use crate::model::subject::Subject;
use crate::model::time::Time;

/// The name of the table that counts strangers at hosts that are known good. No jail has it.
const STRANGERS: &str = "known good by account";

/// The changes in an offence table, and the terms on which it counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffenceCounts {
    /// The name of the jail that it belongs to.
    pub name: String,
    /// The jail's maxretry when it counted: these terms say what its entries mean.
    pub maxretry: u32,
    /// The jail's findtime then, in seconds.
    pub findtime: u64,
    /// The bits of IPv6 addresses that counted then.
    pub ipv6prefix: u8,
    /// The entries.
    pub pages: Pages,
}

/// The totals of a jail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JailTotals {
    /// Its name.
    pub jail: String,
    /// All that it has counted.
    pub tally: Tally,
}

/// The state for old lines: those that were written while the guard did not run.
#[derive(Clone, Debug, Default)]
pub(super) struct Backlog {
    /// The present, while an old line is counted.
    pub now: Option<Time>,
    /// The time from which lines of a subject count for a jail: before, they had their ban, or it
    /// was lifted.
    pub marks: BTreeMap<(JailId, Subject), Time>,
}

impl Backlog {
    /// Whether a line counts for a jail no more, because it is an old one.
    pub fn is_past(&self, event: &Event, id: JailId, jail: &Jail, subject: Subject) -> bool {
        let Some(now) = self.now else { return false };
        let mark = self.marks.get(&(id, subject));
        event.time.plus(jail.findtime) <= now || mark.is_some_and(|mark| event.time < *mark)
    }
}

impl Engine {
    /// Counts the event of an old line, with its own time; a ban begins `now`. Lines that
    /// are older than findtime do not count, nor those from before their host's last ban, or before
    /// that was lifted.
    pub fn on_old_event(
        &mut self,
        event: &Event,
        now: Time,
        out: &mut Vec<crate::model::event::Decision>,
    ) {
        self.late.now = Some(now);
        self.on_event(event, out);
        self.late.now = None;
    }

    /// Ends the backlog: there are no old lines any more.
    pub fn has_caught_up(&mut self) {
        self.late.marks.clear();
    }

    /// Records what changes in the counts from now on, and counts all of it as changed.
    pub fn note_changes(&mut self) {
        for state in &mut self.states {
            state.offences.note_changes();
            state.stored = None;
        }
        self.earlier.note_changes();
        self.known.note_changes();
        self.networks.note_changes();
        self.hours.note_changes();
    }

    /// Returns what has changed in the counts since the last call.
    pub fn take_changes(&mut self) -> Vec<OffenceCounts> {
        let plan = &self.plan;
        let jails = plan.jails().map(|(_, jail)| terms(jail));
        let mut changed: Vec<_> = self
            .states
            .iter_mut()
            .zip(jails)
            .filter_map(|(state, terms)| with(terms, &mut state.offences))
            .collect();
        changed.extend(with(strangers(plan), self.known.strangers()));
        changed
    }

    /// The names of all tables that there are.
    #[must_use]
    pub fn counter_names(&self) -> Vec<String> {
        let jails = self.plan.jails().map(|(_, jail)| table_name(jail));
        jails.chain([STRANGERS.to_owned()]).collect()
    }

    /// Returns the hosts that are known good, if that has changed since the last call.
    pub fn take_logins(&mut self) -> Option<KnownHosts> {
        self.known.take_changes()
    }

    /// Returns the accounts that have logged in, where that has changed since the last call.
    pub fn take_accounts(&mut self) -> Option<AccountChanges> {
        self.networks.take_changes()
    }

    /// Restores stored accounts, as of `now`.
    pub fn restore_accounts(&mut self, accounts: &StoredAccounts, now: Time) {
        self.networks.restore(accounts, now);
    }

    /// Returns the totals of the jails where they have changed since the last call.
    pub fn take_totals(&mut self) -> Vec<JailTotals> {
        let jails = self.plan.jails().map(|(_, jail)| &jail.name);
        let totals = self.states.iter_mut().zip(jails).filter_map(|(state, jail)| {
            let tally = state.tally;
            let changed = state.stored.replace(tally) != Some(tally);
            changed.then(|| JailTotals { jail: jail.clone(), tally })
        });
        totals.collect()
    }

    /// Returns the counts of hours where they have changed since the last call, as of `now`.
    pub fn take_hours(&mut self, now: Time) -> Vec<HourCount> {
        let plan = &self.plan;
        self.hours.settle(|rule| plan.rule_name(rule));
        self.hours.take_changes(now)
    }

    /// Restores the counts of the last hours.
    pub fn restore_hours(&mut self, stored: &[HourCount]) {
        self.hours.restore(stored);
    }

    /// Restores stored totals, as of `now`: the clock may have been set back since.
    pub fn restore_totals(&mut self, totals: &[JailTotals], now: Time) {
        for JailTotals { jail, tally } in totals {
            let id = self.plan.jail_named(jail);
            let state = id.and_then(|id| self.states.get_mut(usize::from(id.0)));
            if let Some(state) = state {
                state.tally = Tally { last: tally.last.map(|last| last.min(now)), ..*tally };
            }
        }
    }

    /// Restores stored counts. `channels` and `rules` map the stored numbers to those of today.
    pub fn restore_counts(
        &mut self,
        counters: &[OffenceCounts],
        logins: &KnownHosts,
        channels: &HashMap<u16, ChannelId>,
        rules: &[Option<RuleId>],
        now: Time,
    ) {
        let plan = std::sync::Arc::clone(&self.plan);
        let channel = |id: u16| match id {
            _ if id == BANS.0 || id == SIP_RESPONSES.0 => Some(id),
            _ => channels.get(&id).map(|id| id.0),
        };
        let rule = |id: u16| rules.get(usize::from(id)).copied().flatten().map(|id| id.0);
        for stored in counters {
            let jail = plan.jails().find(|(_, jail)| table_name(jail) == stored.name);
            let (terms, table) = match jail.map(|(id, _)| id) {
                Some(id) => match (plan.jail(id), self.states.get_mut(usize::from(id.0))) {
                    (Some(jail), Some(state)) => (terms(jail), &mut state.offences),
                    _ => continue,
                },
                None if stored.name == STRANGERS => (strangers(&plan), self.known.strangers()),
                None => continue,
            };
            // The configuration may have changed since.
            table.change_terms(stored.maxretry, Duration::from_secs(stored.findtime));
            table.restore(&stored.pages, now, channel, rule);
            table.change_terms(terms.maxretry, Duration::from_secs(terms.findtime));
            if stored.ipv6prefix != terms.ipv6prefix {
                table.forget_ipv6();
            }
        }
        self.known.restore(logins, now, channel);
        for (host, time) in logins.logins() {
            self.logins.note(host, time);
        }
    }
}

/// Returns the name of a jail's table: one with accounts in it is laid out differently.
fn table_name(jail: &Jail) -> String {
    match jail.count {
        Counting::Attempts => jail.name.clone(),
        Counting::Accounts | Counting::Bans => format!("{} by account", jail.name),
    }
}

fn terms(jail: &Jail) -> OffenceCounts {
    OffenceCounts {
        name: table_name(jail),
        maxretry: jail.maxretry,
        findtime: jail.findtime.as_secs(),
        ipv6prefix: jail.ipv6prefix,
        pages: Pages::default(),
    }
}

fn strangers(plan: &crate::decide::plan::Plan) -> OffenceCounts {
    let terms = &plan.config.knowngood;
    OffenceCounts {
        name: STRANGERS.to_owned(),
        maxretry: terms.maxunknown,
        findtime: terms.findtime.as_secs(),
        ipv6prefix: plan.config.ipv6prefix,
        pages: Pages::default(),
    }
}

fn with(terms: OffenceCounts, table: &mut OffenceTable) -> Option<OffenceCounts> {
    table.take_changes().map(|pages| OffenceCounts { pages, ..terms })
}
