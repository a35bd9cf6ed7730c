//! Carries out bans that are due, or withholds them, and decides how long they are.

use std::hash::BuildHasher as _;
use std::time::Duration;

use super::{Engine, never, subject};
use crate::config::Counting;
use crate::decide::ban_rate_limit::Admission;
use crate::decide::hour_counts::Counted;
use crate::decide::known_good::Weight;
use crate::decide::plan::Plan;
use crate::decide::policy;
use crate::model::event::{BANS, Ban, Class, Decision, Event, Evidence, JailId, Meaning, Origin};
use crate::model::subject::Subject;
use crate::model::time::{BanDuration, BanTime, Time};

impl Engine {
    /// Returns the length of a subject's next ban.
    pub(super) fn next_length(
        &self,
        id: JailId,
        subject: Subject,
        evidence: Evidence,
        bantime: &BanTime,
        now: Time,
    ) -> BanDuration {
        let whose = (subject, evidence);
        let quiet = self.quiet(&whose, now);
        let own = usize::from(id.0);
        let jails = if bantime.overalljails {
            self.states.as_slice()
        } else {
            self.states.get(own..=own).unwrap_or_default()
        };
        let others = self.earlier.of(&subject, now);
        let earlier = jails.iter().enumerate().map(|(index, state)| {
            let is_own = !bantime.overalljails || index == own;
            state.earlier(&whose, bantime, quiet, others.filter(|_| is_own))
        });
        bantime.after(earlier.fold(0, u32::saturating_add), self.chance.hash_one((subject, now)))
    }

    /// Returns for how long a subject has been neither banned nor done anything that brings a ban.
    /// The time in a ban of any jail does not count: the subject could do nothing then.
    pub(super) fn quiet(&self, whose: &(Subject, Evidence), now: Time) -> Duration {
        let bans = self.states.iter().filter_map(|state| state.history.get(whose));
        bans.map(|earlier| earlier.last.1.map_or(Duration::ZERO, |end| now.since(end)))
            .chain(self.earlier.of(&whose.0, now).map(|earlier| earlier.quiet(now)))
            .min()
            .unwrap_or_default()
    }

    /// Reports the subject that a jail in observe mode would ban: once for as long as the ban would
    /// have lasted.
    pub(super) fn observe(&mut self, ban: Ban, bantime: &BanTime, out: &mut Vec<Decision>) {
        let quiet = self.quiet(&(ban.subject, ban.evidence), ban.since);
        let Some(state) = self.states.get_mut(usize::from(ban.jail.0)) else { return };
        let said = state.history.get(&(ban.subject, ban.evidence));
        if said.is_none_or(|said| said.last.1.is_some_and(|until| until <= ban.since)) {
            state.remember(&ban, bantime, quiet, self.earlier.of(&ban.subject, ban.since));
            state.tally.observed += 1;
            self.observed.put(ban);
            self.hours.count(Counted::Observed, ban.since, ban.cause.map(|(rule, _)| rule));
            out.push(Decision::Observed(ban));
        }
    }

    /// Whether this unverified ban may be carried out: not when there are too many of them by the same
    /// origin.
    pub(super) fn is_no_flood(
        &mut self,
        ban: &Ban,
        origin: Origin,
        out: &mut Vec<Decision>,
    ) -> bool {
        let limit = self.floods.iter_mut().find(|(known, _)| *known == origin);
        let verdict = limit.map_or(Admission::Pass, |(_, limit)| limit.judge(ban.since));
        if verdict == Admission::Begins {
            out.push(Decision::FloodBegins(origin));
        }
        let passes = verdict == Admission::Pass;
        if let Some(state) = self.states.get_mut(usize::from(ban.jail.0)) {
            state.tally.withheld += u64::from(!passes);
        }
        passes
    }

    /// Enters a ban, and has the kernel carry it out.
    pub(super) fn issue_ban(&mut self, ban: Ban, bantime: &BanTime, out: &mut Vec<Decision>) {
        let quiet = self.quiet(&(ban.subject, ban.evidence), ban.since);
        if let Some(state) = self.states.get_mut(usize::from(ban.jail.0)) {
            state.tally.banned += 1;
            state.remember(&ban, bantime, quiet, self.earlier.of(&ban.subject, ban.since));
            self.totals.ban(&ban);
        }
        self.enter(ban, out);
    }

    /// Counts this ban in the jail `recidive`: bans for scans, and for guesses at more than one account, have the
    /// host banned there, and those of a phone with an old password never do.
    pub(super) fn count_recidive(
        &mut self,
        plan: &Plan,
        ban: &Ban,
        event: &Event,
        out: &mut Vec<Decision>,
    ) {
        let Some((id, jail)) = plan.recidive().filter(|(id, _)| *id != ban.jail) else { return };
        if policy::ignored(jail, ban.host) || never(&self.ignored, jail, ban.host) {
            return;
        }
        // Each ban is a line of its own.
        let line = self.states.get(usize::from(id.0)).map_or(0, |state| state.tally.failed + 1);
        let is_scan = plan.jail(ban.jail).is_some_and(|jail| jail.count == Counting::Accounts);
        let meaning = if is_scan { Meaning::Offence(Class::Scan) } else { event.meaning };
        let event = Event { channel: BANS, line, meaning, ..*event };
        let subject = subject(&self.ignored, event.host, jail.ipv6prefix);
        self.offence(plan, id, (subject.into(), &event), 1, Weight::Whole, out);
    }
}
