//! Counts offences and logins, and decides which ban follows from them, and of which part of a host.

use ipnet::IpNet;

use super::{Engine, never, subject};
use crate::config::Mode;
use crate::decide::account_networks::LoginPlace;
use crate::decide::ban_table;
use crate::decide::hour_counts::Counted;
use crate::decide::known_good::Weight;
use crate::decide::offences::Key;
use crate::decide::plan::Plan;
use crate::decide::policy;
use crate::decide::recent_ports::MANY;
use crate::decide::shared::Part;
use crate::decide::totals::OffenceKind;
use crate::model::event::{
    Ban, Basis, Decision, Event, Evidence, JailId, Meaning, SIP_RESPONSES, ScopeId,
};
use crate::model::subject::Subject;
use crate::model::time::Time;

/// Events whose hosts are looked up together.
pub const TOGETHER: usize = 8;
/// Entries that are looked up together: most offences count in three or four jails.
const ENTRIES: usize = 4 * TOGETHER;

impl Engine {
    /// Reads what will be looked up about these events, so that the processor waits for memory once and not for each
    /// of them: under attack, each is of another host. Nothing else follows from it.
    pub fn look_ahead(&self, events: &[Event]) {
        let mut places = [(0, 0); ENTRIES];
        let offences = events.iter().filter(|event| matches!(event.meaning, Meaning::Offence(_)));
        let counted = offences.take(TOGETHER).flat_map(|event| {
            let key = Key::from(self.known_as(event.host));
            let jails = self.plan.counted_by(event.rule).iter().map(|id| usize::from(id.0));
            jails.map(move |jail| (jail, key))
        });
        let mut known = 0;
        for (place, (jail, key)) in places.iter_mut().zip(counted) {
            let Some(state) = self.states.get(jail) else { continue };
            *place = (jail, state.offences.first_place(&key));
            known += 1;
        }
        for (jail, place) in places.into_iter().take(known) {
            self.states.get(jail).into_iter().for_each(|state| state.offences.touch(place));
        }
    }

    /// Counts an event by the evidence that it has.
    pub(super) fn decide(&mut self, plan: &Plan, event: &Event, out: &mut Vec<Decision>) {
        match event.meaning {
            Meaning::Offence(_) => self.on_offence(plan, event, out),
            // A line that a stranger may have written proves no login.
            Meaning::Success if event.evidence > Evidence::Hearsay => {
                self.on_login(plan, event, out);
            }
            Meaning::Tampered => {
                self.hours.count(Counted::Ambiguous, event.time, Some(event.rule));
            }
            Meaning::Success | Meaning::Ignored => {}
        }
        self.recent.push(event);
    }

    /// Takes up a login. One from a network that its account never used protects nobody.
    fn on_login(&mut self, plan: &Plan, event: &Event, out: &mut Vec<Decision>) {
        let (list, countries) = (&self.ignored, &self.countries);
        // Whoever administers a machine does so from anywhere; phones stay where they are.
        let is_phone = plan.rules.get(event.rule).is_none_or(|it| it.service.port_list().is_none());
        let is_trusted = || {
            let host = event.host;
            list.holds(host) || policy::covers(&plan.config.ignoreip, &IpNet::from(host))
        };
        let country = || countries.ask(event.host);
        if is_phone && self.networks.login(event, country, is_trusted, out) == LoginPlace::New {
            return;
        }
        let host = self.known_as(event.host);
        self.logins.note(host, event.time);
        self.known.login(host, event);
        self.forgive(plan, event);
    }

    fn on_offence(&mut self, plan: &Plan, event: &Event, out: &mut Vec<Decision>) {
        let Some(rule) = plan.rules.get(event.rule) else { return };
        if self.announced.tells_again(event, rule.announces) {
            return;
        }
        // An exchange is one attempt, and has one line.
        let per_attempt = if event.exchange().is_some() { 1 } else { rule.per_attempt };
        let mut weight = None;
        let (mut counts, mut is_untrusted) = (false, false);
        // Whether the host is banned, and by how many bans in all that was known.
        let mut banned = (usize::MAX, false);
        let key = Key::from(self.known_as(event.host));
        let subject = key.subject;
        for id in plan.counted_by(event.rule) {
            if event.channel != SIP_RESPONSES && !self.reads(event.channel, *id) {
                continue;
            }
            let (Some(jail), Some(state)) =
                (plan.jail(*id), self.states.get_mut(usize::from(id.0)))
            else {
                continue;
            };
            let Some(evidence) = policy::counts_as(jail, event.evidence) else {
                state.tally.hearsay += 1;
                is_untrusted = true;
                continue;
            };
            if policy::ignored(jail, event.host) || never(&self.ignored, jail, event.host) {
                state.tally.ignored += 1;
                continue;
            }
            let counted = if jail.ipv6prefix == plan.config.ipv6prefix {
                key
            } else {
                super::subject(&self.ignored, event.host, jail.ipv6prefix).into()
            };
            if self.late.is_past(event, *id, jail, counted.subject) {
                continue;
            }
            // The host is the same for all jails: it is judged once.
            let (known, shared) = (&mut self.known, &mut self.shared);
            let weight = *weight.get_or_insert_with(|| {
                let weight = known.weigh(subject, event, evidence, per_attempt);
                if weight == Weight::Shared {
                    shared.note(subject, event);
                }
                weight
            });
            if weight == Weight::Nothing {
                state.tally.excused += 1;
                continue;
            }
            let event = Event { evidence, ..*event };
            if banned.0 != self.bans.len() {
                banned = (self.bans.len(), self.bans.of(subject).next().is_some());
            }
            let may_be_held = banned.1 || counted.subject != subject;
            if may_be_held && self.is_held(plan, *id, counted.subject, &event) {
                // What was written before another jail's ban took hold is no further offence.
                continue;
            }
            counts |= self.offence(plan, *id, (counted, &event), per_attempt, weight, out);
        }
        if counts || is_untrusted {
            let what = if counts { Counted::Attempt } else { Counted::Untrusted };
            self.hours.count(what, event.time, Some(event.rule));
        }
        self.attempts += u64::from(counts);
        if weight.is_some_and(|weight| weight != Weight::Nothing) {
            self.note_target(event, out);
        }
    }

    /// Whether another jail's ban closes what this one would close for an event.
    fn is_held(&self, plan: &Plan, id: JailId, subject: Subject, event: &Event) -> bool {
        self.bans.of(subject).any(|ban| holds(plan, ban, id, event))
    }

    /// Records which account a host failed at, if it is certain that it did.
    fn note_target(&mut self, event: &Event, out: &mut Vec<Decision>) {
        let (Some(account), Basis::Exchange(_)) = (event.account, event.basis) else { return };
        if event.evidence == Evidence::Proven && event.channel == SIP_RESPONSES {
            let subject = self.known_as(event.host);
            let targeted = self.targeted.note(account, subject, event.time);
            out.extend(targeted.map(Decision::AccountTargeted));
        }
    }

    /// Forgets the failures of an account at a host that it has logged in from: somebody typed its name or password
    /// wrong.
    fn forgive(&mut self, plan: &Plan, event: &Event) {
        let (Some(account), Evidence::Proven) = (event.account, event.evidence) else { return };
        for ((_, jail), state) in plan.jails().zip(&mut self.states) {
            let subject = subject(&self.ignored, event.host, jail.ipv6prefix);
            state.offences.forgive(&subject, account);
        }
    }

    /// Counts an offence of a subject in a jail; returns whether it counts there.
    pub(super) fn offence(
        &mut self,
        plan: &Plan,
        id: JailId,
        (key, event): (Key, &Event),
        per_attempt: u8,
        weight: Weight,
        out: &mut Vec<Decision>,
    ) -> bool {
        let subject = key.subject;
        let (Some(jail), Some(state)) = (plan.jail(id), self.states.get_mut(usize::from(id.0)))
        else {
            return false;
        };
        state.tally.failed += 1;
        state.tally.last = Some(event.time);
        if let Meaning::Offence(class) = event.meaning {
            self.totals.offence(OffenceKind { jail: id, class, evidence: event.evidence });
        }
        let count = state.offences.add(key, event, per_attempt);
        let (host, channel) = (event.host, event.channel);
        out.push(Decision::Found { jail: id, host, offences: count.all, channel });
        if let Some(evidence) = policy::verdict(jail, count) {
            self.on_enough(plan, id, (subject, event), (count.all, evidence), weight, out);
        }
        true
    }

    /// Decides on a ban, once a jail has counted enough of a subject: so many offences, on this evidence.
    fn on_enough(
        &mut self,
        plan: &Plan,
        id: JailId,
        (subject, event): (Subject, &Event),
        (offences, evidence): (u32, Evidence),
        weight: Weight,
        out: &mut Vec<Decision>,
    ) {
        let Some(jail) = plan.jail(id) else { return };
        let begin = self.late.now.unwrap_or(event.time);
        let is_shared = weight == Weight::Shared;
        let banned = match self.part_to_ban(subject, event, is_shared, begin) {
            Part::Host => subject,
            Part::Port(flow) => flow,
            Part::Nothing => return self.report_shared(id, event, out),
        };
        // What comes from other ports of a shared host goes on counting.
        if let Some(state) =
            self.states.get_mut(usize::from(id.0)).filter(|_| !(is_shared && banned.is_flow()))
        {
            state.offences.clear(&subject);
        }
        let terms = if is_shared { Evidence::Unverified } else { evidence };
        let (scope, bantime) = plan.ban_terms(jail, terms);
        let length = self.next_length(id, banned, evidence, &bantime, begin);
        let ban = Ban {
            jail: id,
            subject: banned,
            host: event.host,
            scope,
            since: begin,
            until: length.until(begin),
            offences,
            evidence,
            cause: Some((event.rule, event.line)),
        };
        if self.bans.of(subject).chain(self.bans.of(ban.subject)).any(|known| covers(known, &ban)) {
            // Lines that were written before the ban took hold.
            return;
        }
        if jail.mode == Mode::Observe {
            return self.observe(ban, &bantime, out);
        }
        if evidence == Evidence::Unverified && !self.is_no_flood(&ban, event.origin(), out) {
            return;
        }
        self.issue_ban(ban, &bantime, out);
        if evidence == Evidence::Proven && !is_shared {
            self.count_recidive(plan, &ban, event, out);
        }
    }

    /// Returns what is banned for an offence of `subject`. Where only a line tells of it, on a connection
    /// that cannot be read, it is the port of that connection, until there have been enough of them. Where others are
    /// logged in from there, it is [as little as will do](crate::decide::shared).
    fn part_to_ban(&mut self, subject: Subject, event: &Event, is_shared: bool, now: Time) -> Part {
        let flow = Subject::flow(event.host, event.clue.port);
        match flow.filter(|_| event.basis == Basis::Talked) {
            Some(flow) if self.talked.ports(subject, now) < MANY => Part::Port(flow),
            None if is_shared => {
                let whole = self.known_as(event.host);
                self.shared.part(whole, event, self.plan.config.knowngood.maxtries)
            }
            _ => Part::Host,
        }
    }

    /// Says, once in a while, that an account fails beside others that are logged in, and that nobody is banned.
    fn report_shared(&mut self, jail: JailId, event: &Event, out: &mut Vec<Decision>) {
        let subject = self.known_as(event.host);
        let report = self.shared.report(subject, event.time);
        let others = self.known.standing(&subject, event.time).map_or(0, |known| known.accounts);
        out.extend(report.map(|report| Decision::StrangerFails {
            jail,
            subject,
            account: report.account,
            failures: report.failures,
            since: report.since,
            others,
        }));
    }
}

/// Whether another jail's ban closes what `jail` would close for an event.
fn holds(plan: &Plan, ban: &Ban, jail: JailId, event: &Event) -> bool {
    let own = || plan.jail(jail).map(|jail| plan.ban_terms(jail, event.evidence).0);
    ban.jail != jail
        && ban.jail != plan.manual()
        && ban.jail != plan.fleet()
        && ban.evidence >= event.evidence
        && ban.until.is_none_or(|until| until > event.time)
        && (ban.scope == ScopeId(0) || Some(ban.scope) == own())
}

/// Whether a ban in force makes another one of the same jail pointless.
fn covers(known: &Ban, new: &Ban) -> bool {
    known.jail == new.jail
        && (known.scope == new.scope || known.scope == ScopeId(0))
        && known.evidence >= new.evidence
        && known.until.is_none_or(|until| until > new.since)
        && (known.evidence > new.evidence
            || known.scope == new.scope
            || ban_table::end(known) >= ban_table::end(new))
}
