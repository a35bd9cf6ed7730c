//! What must never be, counted: a host named that did nothing, an attacker missed, and a guard that others' text
//! blinds.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use asterguard::model::event::{Ban, Basis, Evidence};
use asterguard::model::subject::Subject;

use crate::guard::{Flaw, Found, Outcome, is_weighed, plan, run};
use crate::scene::{Item, Scene, Truth, What};

/// The refusals within findtime that the built-in jails ban for.
const MAXRETRY: usize = 5;
/// So long a line may wait for its exchange, and for a tick.
const WAITS: Duration = Duration::from_secs(2);
/// A host of which so many connections were banned is banned itself.
const PORTS: usize = 3;
/// Packets that shrinking tries to leave out one by one.
const SHRINKING: usize = 2000;

/// What went wrong, and whom it concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// It did nothing of that kind, and an offence or a ban says so.
    Named(IpAddr, Evidence),
    /// It did not log in, and it is said to.
    LoggedIn(Subject),
    /// It was refused often enough, and is not banned.
    Missed(IpAddr),
    /// It is banned if nobody else's text is there.
    Blinded(Subject),
}

/// How often each of it happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub named: u64,
    pub missed: u64,
    pub blinded: u64,
}

impl Count {
    pub fn add(&mut self, other: Self) {
        self.named += other.named;
        self.missed += other.missed;
        self.blinded += other.blinded;
    }

    pub fn of(all: &[Wrong]) -> Self {
        let mut count = Self::default();
        for wrong in all {
            match wrong {
                Wrong::Named(..) | Wrong::LoggedIn(_) => count.named += 1,
                Wrong::Missed(_) => count.missed += 1,
                Wrong::Blinded(_) => count.blinded += 1,
            }
        }
        count
    }
}

/// What was judged in a scene.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    pub wrong: Vec<Wrong>,
    /// Hosts that had to be banned for what the PBX was seen to do.
    pub due: u64,
    /// Bans that others' text must not prevent.
    pub compared: u64,
}

/// Judges what the guard makes of a scene.
pub fn judge(scene: &Scene, flaw: Option<Flaw>) -> Verdict {
    let all: Vec<&Item> = scene.items.iter().collect();
    judge_items(scene, &all, flaw)
}

fn judge_items(scene: &Scene, items: &[&Item], flaw: Option<Flaw>) -> Verdict {
    let outcome = run(scene, items.iter().copied(), true, flaw);
    let mut wrong = named(scene, &outcome);
    let due = due(scene, items);
    let banned = |host: IpAddr| outcome.bans.iter().any(|it| it.subject == Subject::of(host, 64));
    wrong.extend(due.iter().copied().filter(|host| !banned(*host)).map(Wrong::Missed));
    let mut verdict = Verdict { wrong, due: due.len() as u64, compared: 0 };
    if items.iter().any(|item| scene.is_junk(item)) {
        let honest = items.iter().copied().filter(|item| !scene.is_junk(item));
        let alone = run(scene, honest, false, flaw);
        verdict.compared = alone.bans.len() as u64;
        verdict.wrong.extend(blinded(&outcome, &alone));
    }
    verdict
}

fn named(scene: &Scene, outcome: &Outcome) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    let nothing = Truth::default();
    let truth = |host: &IpAddr| scene.truth.get(host).unwrap_or(&nothing);
    let mut bounds = Vec::new();
    // Whoever asks for one account by OPTIONS is a monitor; that counts for no ban by itself.
    for found in outcome.found.iter().filter(|found| !found.event.is_probe()) {
        let truth = truth(&found.host);
        let did = match found.event.evidence {
            Evidence::Proven => truth.proven,
            Evidence::Unverified => truth.offence,
            Evidence::Hearsay => false,
        };
        let bound = is_within_bounds(scene, found);
        bounds.extend(bound.then_some(*found));
        if !did && !bound {
            wrong.push(Wrong::Named(found.host, found.event.evidence));
        }
    }
    for ban in &outcome.bans {
        let truth = truth(&ban.host);
        let did = match ban.evidence {
            Evidence::Proven => truth.proven,
            _ => truth.offence,
        };
        let bound = ban.evidence == Evidence::Unverified && may_ban(outcome, ban, &bounds);
        if !bound && (!did || truth.spared) {
            wrong.push(Wrong::Named(ban.host, ban.evidence));
        }
    }
    let logged_in: Vec<Subject> = (scene.truth.iter())
        .filter(|(_, truth)| truth.login)
        .map(|(host, _)| Subject::of(*host, 64))
        .collect();
    let forged = outcome.logins.iter().filter(|subject| !logged_in.contains(subject));
    wrong.extend(forged.map(|subject| Wrong::LoggedIn(*subject)));
    wrong.dedup();
    wrong
}

/// Whether offences that cannot be told from true ones make up for a ban. Where they are about encrypted
/// connections, they close those alone; and the host, where there are three.
fn may_ban(outcome: &Outcome, ban: &Ban, bounds: &[Found]) -> bool {
    let of_host = bounds.iter().filter(|found| found.host == ban.host);
    let by_text = of_host.clone().any(|found| found.event.basis == Basis::Text);
    let ports: BTreeSet<u16> = of_host
        .filter(|found| found.event.basis == Basis::Talked)
        .map(|found| found.event.clue.port)
        .collect();
    let flows = outcome.bans.iter().filter(|it| it.host == ban.host && it.subject.is_flow());
    match ban.subject.port() {
        Some(port) => ports.contains(&port),
        None => by_text || (ports.len() >= PORTS && flows.count() + 1 >= PORTS),
    }
}

/// Whether an unverified offence is of those that cannot be told from true ones.
fn is_within_bounds(scene: &Scene, found: &Found) -> bool {
    let event = &found.event;
    event.evidence == Evidence::Unverified
        && match event.basis {
            // Text alone, behind a message that nobody knows.
            Basis::Text => found.free && !is_weighed(event, scene.sight),
            // A connection was encrypted, its port leaked, and the PBX was sending on it.
            Basis::Talked => found.talked,
            _ => false,
        }
}

/// The hosts whose credentials were refused so often, as the guard saw, that they have to be banned.
fn due(scene: &Scene, items: &[&Item]) -> Vec<IpAddr> {
    let is_there = |host: IpAddr, at: i64| {
        items.iter().any(|item| match &item.what {
            What::Heard(flow, _) => item.at == at && flow.host == host,
            _ => false,
        })
    };
    let is_due = |(host, truth): &(&IpAddr, &Truth)| {
        let refused = truth.refused.iter().filter(|at| is_there(**host, **at));
        // Failures of an account that has logged in are a phone's.
        !truth.spoofed && !truth.login && refused.count() >= MAXRETRY
    };
    scene.truth.iter().filter(is_due).map(|(host, _)| *host).collect()
}

fn blinded(with: &Outcome, without: &Outcome) -> Vec<Wrong> {
    let mut wrong: Vec<Wrong> = Vec::new();
    for ban in &without.bans {
        // Lines of two logs share what was sent on an encrypted connection, so that others' text may change which of
        // them count there. But some do.
        let host = |found: &Found| found.host == ban.host && found.event.basis == Basis::Talked;
        if ban.subject.is_flow() && with.found.iter().any(host) {
            continue;
        }
        // A file of records is true where it holds nothing else. Behind a line of text it is text, too, and of encrypted
        // connections that closes the port.
        let framed = |found: &Found| found.event.basis == Basis::Framed;
        let rests_on_framed =
            without.found.iter().filter(|found| found.host == ban.host).all(framed);
        let is_closed = |other: &Ban| other.host == ban.host && other.subject.is_flow();
        if rests_on_framed && with.found.iter().any(host) && with.bans.iter().any(is_closed) {
            continue;
        }
        // A milder ban, which others' text brought earlier, begins the count anew.
        let same = with.bans.iter().any(|other| {
            other.subject.holds(&ban.subject)
                && other.since <= ban.since.plus(WAITS)
                && (other.jail == ban.jail || other.evidence >= ban.evidence)
        });
        if !same && !wrong.contains(&Wrong::Blinded(ban.subject)) {
            wrong.push(Wrong::Blinded(ban.subject));
        }
    }
    wrong
}

/// What is wrong, and the fewest packets that it takes.
pub fn complaint(scene: &Scene, wrong: Wrong, seed: u64, index: u64, flaw: Option<Flaw>) -> String {
    let mut items: Vec<&Item> = scene.items.iter().collect();
    let still = |items: &[&Item]| judge_items(scene, items, flaw).wrong.contains(&wrong);
    for actor in 0..scene.actors.len() {
        let fewer: Vec<_> = items.iter().copied().filter(|item| item.actor != actor).collect();
        if still(&fewer) {
            items = fewer;
        }
    }
    for packet in (0..scene.packets).take(SHRINKING) {
        let fewer: Vec<_> = items.iter().copied().filter(|item| item.packet != packet).collect();
        if fewer.len() < items.len() && still(&fewer) {
            items = fewer;
        }
    }
    let outcome = run(scene, items.iter().copied(), true, flaw);
    let mut text = format!("{wrong:?} with {:?}\nseed {seed}, scene {index}\n", scene.sight);
    for found in outcome.found {
        let rule = plan().0.rule_name(found.event.rule).unwrap_or_default();
        let Found { host, event, free, talked } = found;
        let _ = writeln!(
            text,
            "  counted: {host}, {rule}, {}, {:?}, free {free}, talked {talked}",
            event.evidence, event.basis
        );
    }
    for ban in outcome.bans {
        let jail = plan().0.jail(ban.jail).map_or("", |jail| &jail.name);
        let _ = writeln!(text, "  ban: {} by {jail}, {}", ban.subject, ban.evidence);
    }
    for item in items {
        let actor = scene.actors[item.actor].name;
        let _ = write!(text, "{:6} {actor}: ", item.at - crate::scene::BEGIN);
        let (head, bytes) = match &item.what {
            What::Heard(flow, bytes) => (format!("SIP {} {}", flow.host, flow.port), &bytes[..]),
            What::Sent(host, port) => (format!("sent to {host}:{port}"), &[][..]),
            What::Record(record) => {
                let shadow = record.shadow;
                (format!("log {} {:?} {shadow:?}", record.log, record.kind), &record.bytes[..])
            }
        };
        let cut = &bytes[..bytes.len().min(1200)];
        let more = if cut.len() < bytes.len() { "…" } else { "" };
        let _ = writeln!(text, "{head} {}{more}", cut.escape_ascii());
    }
    text
}
