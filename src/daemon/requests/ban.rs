//! `ban`: bans hosts and networks by hand.

use std::time::Duration;

use ipnet::IpNet;

use super::{jail_named, note};
use crate::config::FLEET;
use crate::control::ban::{BanManner, BanRequest};
use crate::control::{Done, Problem, SubjectText};
use crate::daemon::Daemon;
use crate::daemon::engine_thread::Core;
use crate::decide::engine::{Engine, Manner, ManualBan, Ordered};
use crate::decide::policy;
use crate::model::event::Ban;
use crate::model::guard_event::GuardEvent;
use crate::model::listed::unblockable;
use crate::model::orders::{Caller, Note};
use crate::model::subject::{Subject, bannable, written};
use crate::model::time::{BanDuration, Time};
use crate::model::words::counted;
use crate::sys::clock::now;

/// Hosts that are named, where there may be many.
const MOST_NAMED: usize = 3;

pub(super) async fn answer(
    daemon: &Daemon,
    request: BanRequest,
    caller: Caller,
) -> Result<Done, Problem> {
    let note = note(&caller, request.comment.as_deref())?;
    daemon.engine.order(move |core| ban(core, &request, note)).await?
}

fn ban(core: &mut Core, request: &BanRequest, note: Note) -> Result<Done, Problem> {
    let BanRequest { host: SubjectText(whom), jail, seconds, permanent, manner, sure, .. } =
        request;
    let (whom, now) = (*whom, now());
    let jail = jail_named(core.engine.plan(), jail.as_deref())?;
    if jail == Some(core.engine.plan().fleet()) {
        return Err(Problem::refused(format!(
            "`{FLEET}` is the jail of what peers ban: leave --jail out, and the fleet hears of this ban"
        )));
    }
    may_be_banned(&core.engine, whom)?;
    if !sure && *manner != BanManner::Confirm {
        nobody_logged_in(&core.engine, whom, now)?;
    }
    let length = if *permanent {
        Some(BanDuration::Permanent)
    } else {
        seconds.map(|seconds| BanDuration::For(Duration::from_secs(seconds)))
    };
    let manner = match manner {
        BanManner::Set => Manner::Set,
        BanManner::Ensure => Manner::Ensure,
        BanManner::Try => Manner::Try,
        BanManner::Confirm => Manner::Confirm,
    };
    let order = ManualBan { whom, jail, length, manner };
    let ordered = core.engine.ban(&order, now, &mut core.decisions);
    core.carry_out();
    match ordered {
        Ordered::Banned { ban, before } => {
            let words = format!("{} was ordered by {}", ban.subject, in_words(&note));
            core.events.tell(GuardEvent::order(now, words, &note.by).about(ban.subject));
            core.recorder.annotate(&mut core.engine, &ban, note, now);
            let before = before.map_or(String::new(), |ban| format!(" (before: {})", end(&ban)));
            let inside = let_through(&core.engine, ban.subject);
            Ok(Done::changing(
                true,
                format!("{} is banned {}{before}{inside}", ban.subject, end(&ban)),
            ))
        }
        Ordered::Kept(ban)
            if ban.subject.net() != whom.net()
                && ban.subject.holds(&whom)
                && !whom.is_one_address() =>
        {
            Ok(Done::changing(
                false,
                format!(
                    "{whom} is within {}, which is banned {}: nothing changed",
                    ban.subject,
                    end(&ban)
                ),
            ))
        }
        Ordered::Kept(ban) => Ok(Done::changing(
            false,
            format!("{} is banned already, {}: nothing changed", ban.subject, end(&ban)),
        )),
        ordered => Err(no_room(whom, &ordered)),
    }
}

/// Returns the problem that a ban was not entered.
pub(super) fn no_room(whom: Subject, ordered: &Ordered) -> Problem {
    match ordered {
        Ordered::Overlaps(other) => Problem::refused(format!(
            "{whom} overlaps {}, which is banned {}: `asterguard unban {}` first, or let it last as long (--for)",
            other.subject,
            end(other),
            other.subject
        )),
        _ => Problem::failed("there are too many bans"),
    }
}

/// Returns who ordered something, and why.
fn in_words(Note { by, comment }: &Note) -> String {
    comment.as_ref().map_or(by.clone(), |comment| format!("{by}: {comment}"))
}

fn end(ban: &Ban) -> String {
    ban.until.map_or("until it is lifted".to_owned(), |end| format!("until {end}"))
}

/// Refuses what cannot or must not be banned.
pub(super) fn may_be_banned(engine: &Engine, whom: Subject) -> Result<(), Problem> {
    // Of a port, all that follows is about its host.
    let whom = whom.host();
    let (net, host) = (whom.net(), whom.address());
    if whom.is_one_address() && !bannable(host) {
        return Err(Problem::refused(format!(
            "{host} is loopback, link-local, multicast or unspecified: banning it would cut this machine off"
        )));
    }
    if let Some(why) = unblockable(&net) {
        return Err(Problem::refused(format!("{whom} is not banned: {why}")));
    }
    if policy::covers(&engine.plan().config.ignoreip, &net) {
        return Err(Problem::refused(format!(
            "{whom} is in ignoreip: the kernel always lets it through"
        )));
    }
    let holds = |entry: &&crate::model::listed::ExemptNetwork| entry.net.contains(&net);
    if let Some(entry) = engine.ignored().entries().iter().find(holds) {
        return Err(Problem::refused(format!(
            "{whom} is {}: the kernel always lets it through",
            entry.origin
        )));
    }
    if !whom.is_one_address() && engine.ignored().on_link(&net) {
        return Err(Problem::refused(format!(
            "{whom} has addresses of this machine's own network in it: ban single hosts of it"
        )));
    }
    Ok(())
}

/// Asks whether the caller is sure, where somebody has logged in lately.
fn nobody_logged_in(engine: &Engine, whom: Subject, now: Time) -> Result<(), Problem> {
    let known = engine.known_within(whom, now);
    let Some((_, first)) = known.first() else { return Ok(()) };
    let last = known.iter().map(|(_, standing)| standing.login.time).max();
    let last = last.unwrap_or(first.login.time);
    let named: Vec<_> = known.iter().take(MOST_NAMED).map(|(host, _)| host.to_string()).collect();
    let others = match known.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        others => format!(" and {}", counted(others, "other")),
    };
    Err(Problem::unsure(format!(
        "somebody has logged in from {}{others}, the last time at {last}",
        named.join(", ")
    )))
}

/// Returns what is said of hosts in a banned network that are let through all the same.
fn let_through(engine: &Engine, subject: Subject) -> String {
    if subject.is_one_address() {
        return String::new();
    }
    let net = subject.net();
    let ignored = engine.plan().config.ignoreip.iter().map(|net| (*net, "in ignoreip".to_owned()));
    let found = engine.ignored().entries().iter();
    let all = ignored.chain(found.map(|entry| (entry.net, entry.origin.to_string())));
    let inside: Vec<(IpNet, String)> = all.filter(|(inner, _)| net.contains(inner)).collect();
    let named = inside.iter().take(MOST_NAMED);
    let named: Vec<_> = named.map(|(net, why)| format!("{} ({why})", written(net))).collect();
    match (named.is_empty(), inside.len().saturating_sub(MOST_NAMED)) {
        (true, _) => String::new(),
        (false, 0) => format!("; still let through: {}", named.join(", ")),
        (false, others) => {
            format!("; still let through: {} and {}", named.join(", "), counted(others, "other"))
        }
    }
}
