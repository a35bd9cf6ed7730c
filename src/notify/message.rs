//! The words of a message: what happened, in the form that a person reads. Pure.
//!
//! All that strangers may have written is on one line and without invisible characters here; each channel escapes its
//! markup beyond that.

use std::fmt::Write as _;

use super::batch::{Batch, Count};
use super::words::{html, plain};
use crate::model::event::Evidence;
use crate::model::guard_event::{BanDetails, EventKind, GuardEvent};
use crate::model::time::{RoughDuration, Time};
use crate::model::words::counted;

/// Characters of a subject.
const LONGEST_SUBJECT: usize = 150;
/// Characters of a value, and of a log line.
const LONGEST_VALUE: usize = 300;
const LONGEST_LINE: usize = 512;
/// Events that a digest names, and hosts in its list.
const MOST_NAMED: usize = 20;
const MOST_HOSTS: usize = 10;
/// Jails that a digest counts apart.
const MOST_JAILS: usize = 20;

/// A message for people, of bounded length: about 20 KiB.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// One line.
    pub subject: String,
    /// One more sentence, in the case of a single event.
    pub sentence: String,
    /// Values with their names.
    pub facts: Vec<(&'static str, String)>,
    /// Lists with their titles.
    pub lists: Vec<(&'static str, Vec<String>)>,
    /// What to do, with the command.
    pub todo: Option<(&'static str, String)>,
    /// Whether something is wrong with the guard itself.
    pub urgent: bool,
}

/// Returns the words for a batch of events on a machine of this name.
#[must_use]
pub fn message(batch: &Batch, machine: &str) -> Message {
    match batch.single() {
        Some(event) => single(event, machine),
        None => digest(batch, machine),
    }
}

fn subject(machine: &str, words: &str) -> String {
    plain(&format!("asterguard on {machine}: {words}"), LONGEST_SUBJECT)
}

fn single(event: &GuardEvent, machine: &str) -> Message {
    let host = event.host.as_deref().map(|host| plain(host, 80));
    let jail = event.jail.as_deref().map(|jail| plain(jail, 80));
    let of_jail = jail.as_ref().map_or(String::new(), |jail| format!(" [{jail}]"));
    let whom = host.clone().unwrap_or_else(|| "a host".to_owned());
    let text = plain(&event.text, LONGEST_LINE);
    let account = event.account.as_deref().map(|account| plain(account, 80));
    let words = match event.kind {
        EventKind::Ban => format!("banned {whom}{of_jail}"),
        EventKind::Unban => format!("no longer banned: {whom}{of_jail}"),
        EventKind::Observed => format!("would have banned {whom}{of_jail}"),
        EventKind::Login => format!(
            "login of {} from a new network: {whom}",
            account.as_deref().unwrap_or("an account")
        ),
        EventKind::Health if event.good == Some(true) => format!("well again: {text}"),
        EventKind::Health => format!("problem: {text}"),
        EventKind::Order => format!("order: {text}"),
        EventKind::Heal => format!("the firewall was put back: {text}"),
        EventKind::Start => "started".to_owned(),
        EventKind::Stop => "stopped".to_owned(),
        EventKind::Lost => format!("lines were lost: {text}"),
    };
    let mut message = Message {
        subject: subject(machine, &words),
        sentence: text,
        urgent: event.kind == EventKind::Health && event.good != Some(true),
        ..Message::default()
    };
    let mut fact = |name, value: String| message.facts.push((name, value));
    fact("Machine", plain(machine, 80));
    fact("Time", event.at.to_string());
    let place = (!event.place.is_unknown()).then(|| plain(&event.place.to_string(), LONGEST_VALUE));
    let named = [("Host", &host), ("Country, network", &place), ("Jail", &jail)];
    for (name, value) in named.into_iter().chain([("Account", &account)]) {
        if let Some(value) = value {
            fact(name, value.clone());
        }
    }
    if let Some(evidence) = event.evidence {
        fact("Evidence", evidence_words(evidence).to_owned());
    }
    if let Some(by) = &event.by {
        fact("Ordered by", plain(by, LONGEST_VALUE));
    }
    if let Some(ban) = &event.ban {
        ban_facts(ban, event.at, &mut message);
    }
    let is_ban = event.kind == EventKind::Ban;
    message.todo = event
        .host
        .as_deref()
        .filter(|host| is_ban && is_host(host))
        .map(|host| ("To remove this ban", format!("asterguard unban {host}")));
    message
}

fn ban_facts(ban: &BanDetails, at: Time, message: &mut Message) {
    let mut fact = |name, value: String| message.facts.push((name, value));
    if ban.attempts > 0 {
        fact("Failed attempts", ban.attempts.to_string());
    }
    let until = match ban.until {
        Some(until) => format!("{until} ({})", RoughDuration(until.since(at))),
        None => "removed by hand (it does not end by itself)".to_owned(),
    };
    fact("Until", until);
    if !ban.ports.is_empty() {
        fact("Ports", plain(&ban.ports, LONGEST_VALUE));
    }
    if let Some(rule) = &ban.rule {
        fact("Rule", plain(rule, LONGEST_VALUE));
    }
    if !ban.accounts.is_empty() {
        let accounts: Vec<_> = ban.accounts.iter().take(MOST_NAMED).map(String::as_str).collect();
        fact("Accounts tried", plain(&accounts.join(", "), LONGEST_VALUE));
    }
    if !ban.lines.is_empty() {
        let lines = ban.lines.iter().take(MOST_NAMED).map(|line| plain(line, LONGEST_LINE));
        message.lists.push(("Log lines", lines.collect()));
    }
}

fn evidence_words(evidence: Evidence) -> &'static str {
    match evidence {
        Evidence::Proven => "proven (this host sent it)",
        Evidence::Unverified => "unverified (the sender's address can be forged)",
        Evidence::Hearsay => "hearsay (a stranger may have written the text)",
    }
}

/// Whether this is a host as commands take it, and nothing that a shell reads in another way.
fn is_host(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_hexdigit() || b".:/[]".contains(&byte);
    (1..=64).contains(&text.len())
        && text.bytes().all(fits)
        && !text.starts_with('[')
        && text.bytes().any(|byte| byte.is_ascii_digit() || byte == b':')
}

fn digest(batch: &Batch, machine: &str) -> Message {
    let kinds = batch.kinds();
    let words: Vec<_> = kinds.iter().map(|(kind, number)| kind_words(*kind, *number)).collect();
    let first = batch.events.iter().map(|event| event.at).min().unwrap_or(batch.last);
    let mut message = Message {
        subject: subject(machine, &words.join(", ")),
        facts: vec![
            ("Machine", plain(machine, 80)),
            ("From", first.to_string()),
            ("Until", batch.last.to_string()),
        ],
        urgent: batch
            .events
            .iter()
            .any(|event| event.kind == EventKind::Health && event.good != Some(true)),
        ..Message::default()
    };
    let mut counts: Vec<_> = batch.counts.iter().collect();
    counts.sort_by_key(|count| std::cmp::Reverse(count.number));
    let lines = counts.iter().take(MOST_JAILS).map(|Count { kind, jail, number }| {
        let jail = if jail.is_empty() { String::new() } else { format!(" [{}]", plain(jail, 80)) };
        format!("{}{jail}", kind_words(*kind, *number))
    });
    let mut lines: Vec<_> = lines.collect();
    if counts.len() > MOST_JAILS {
        lines.push(format!("and {} more jails", counts.len() - MOST_JAILS));
    }
    message.lists.push(("Counts", lines));
    let bans: Vec<_> = batch.events.iter().filter(|event| event.kind == EventKind::Ban).collect();
    let mut hosts = Vec::new();
    for (host, place) in
        bans.iter().filter_map(|event| Some((event.host.as_deref()?, &event.place)))
    {
        let country = place.country.map_or(String::new(), |country| format!(" ({country})"));
        let host = plain(host, 80) + &country;
        if hosts.len() < MOST_HOSTS && !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    if !hosts.is_empty() {
        let all = kinds.get(&EventKind::Ban).copied().unwrap_or_default();
        let more = all.saturating_sub(hosts.len() as u64);
        if more > 0 {
            hosts.push(format!("and {more} more (asterguard banned)"));
        }
        message.lists.push(("Banned hosts", hosts));
    }
    let others: Vec<_> = batch.events.iter().filter(|event| event.kind != EventKind::Ban).collect();
    if !others.is_empty() {
        let line = |event: &&GuardEvent| {
            let well = if event.good == Some(true) { "well again: " } else { "" };
            plain(&format!("{} {}: {well}{}", event.at, event.kind, event.text), LONGEST_LINE)
        };
        let mut lines: Vec<_> = others.iter().take(MOST_NAMED).map(line).collect();
        let all = batch.total().saturating_sub(kinds.get(&EventKind::Ban).copied().unwrap_or(0));
        let more = all.saturating_sub(lines.len() as u64);
        if more > 0 {
            lines.push(format!("and {more} more (asterguard events)"));
        }
        message.lists.push(("Other events", lines));
    }
    if !bans.is_empty() {
        message.todo = Some(("To remove a ban", "asterguard unban HOST".to_owned()));
    }
    message
}

fn kind_words(kind: EventKind, number: u64) -> String {
    let thing = match kind {
        EventKind::Ban => "ban",
        EventKind::Unban => "ended ban",
        EventKind::Observed => "ban in observe mode",
        EventKind::Login => "login from a new network",
        EventKind::Health => "change of health",
        EventKind::Order => "order",
        EventKind::Heal => "repair of the firewall",
        EventKind::Start => "start",
        EventKind::Stop => "stop",
        EventKind::Lost => "gap in a log",
    };
    match (kind, number) {
        (_, 1) => format!("1 {thing}"),
        (EventKind::Observed, _) => format!("{number} bans in observe mode"),
        (EventKind::Login, _) => format!("{number} logins from new networks"),
        (EventKind::Health, _) => format!("{number} changes of health"),
        (EventKind::Lost, _) => format!("{number} gaps in logs"),
        (EventKind::Heal, _) => format!("{number} repairs of the firewall"),
        _ => counted(number, thing),
    }
}

impl Message {
    /// Returns the message as lines of text, without the subject.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.sentence.is_empty() {
            lines.extend([self.sentence.clone(), String::new()]);
        }
        let width = self.facts.iter().map(|(name, _)| name.len() + 1).max().unwrap_or_default();
        lines.extend(self.facts.iter().map(|(name, value)| {
            let name = format!("{name}:");
            format!("{name:<width$} {value}")
        }));
        for (title, items) in &self.lists {
            lines.extend([String::new(), format!("{title}:")]);
            lines.extend(items.iter().map(|item| format!("  {item}")));
        }
        if let Some((what, command)) = &self.todo {
            lines.extend([String::new(), format!("{what}: {command}")]);
        }
        lines
    }

    /// Returns the message as a page of HTML. It loads nothing from elsewhere.
    #[must_use]
    pub fn html(&self) -> String {
        const CELL: &str = "style=\"text-align:left;vertical-align:top;padding:2px 12px 2px 0\"";
        let mut page = format!(
            "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"><title>{0}</title></head>\n<body style=\"font-family:sans-serif\">\n<h3>{0}</h3>\n",
            html(&self.subject)
        );
        // Writing to a string does not fail.
        if !self.sentence.is_empty() {
            let _ = writeln!(page, "<p>{}</p>", html(&self.sentence));
        }
        page.push_str("<table style=\"border-collapse:collapse\">\n");
        for (name, value) in &self.facts {
            let (name, value) = (html(name), html(value));
            let _ = writeln!(page, "<tr><th {CELL}>{name}</th><td {CELL}>{value}</td></tr>");
        }
        page.push_str("</table>\n");
        for (title, items) in &self.lists {
            let _ =
                writeln!(page, "<h4>{}</h4>\n<pre style=\"white-space:pre-wrap\">", html(title));
            for item in items {
                let _ = writeln!(page, "{}", html(item));
            }
            page.push_str("</pre>\n");
        }
        if let Some((what, command)) = &self.todo {
            let _ = writeln!(page, "<p>{}: <code>{}</code></p>", html(what), html(command));
        }
        page.push_str("</body></html>\n");
        page
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::notify::tests::{any_event, ban};

    #[test]
    fn a_ban_is_told_with_all_that_is_known() {
        let message = message(&Batch::of(ban("203.0.113.9")), "pbx1");
        assert_eq!(message.subject, "asterguard on pbx1: banned 203.0.113.9 [asterisk-guess]");
        let text = message.lines().join("\n");
        assert_eq!(
            text,
            "203.0.113.9 banned\n\
             \n\
             Machine:         pbx1\n\
             Time:            2026-11-22T00:52:46Z\n\
             Host:            203.0.113.9\n\
             Jail:            asterisk-guess\n\
             Evidence:        proven (this host sent it)\n\
             Failed attempts: 5\n\
             Until:           2026-11-22T01:52:46Z (1h)\n\
             Ports:           sip\n\
             Rule:            asterisk-security/wrong-password\n\
             Accounts tried:  1000, 1001\n\
             \n\
             Log lines:\n  \
             [2026-11-22 00:52:46] SECURITY[1] res_security_log.c: SecurityEvent=\"InvalidPassword\"\n\
             \n\
             To remove this ban: asterguard unban 203.0.113.9"
        );
        assert!(message.html().contains("SecurityEvent=&quot;InvalidPassword&quot;"));
    }

    #[test]
    fn a_thousand_bans_are_one_message() {
        let mut batch = Batch::default();
        for number in 0..1000 {
            batch.add(ban(&format!("198.51.{}.{}", number / 250, number % 250)));
        }
        batch.add(GuardEvent::new(Time::from_secs(1_795_308_767), EventKind::Health, "logs: gone"));
        let message = message(&batch, "pbx1");
        assert_eq!(message.subject, "asterguard on pbx1: 1000 bans, 1 change of health");
        let text = message.lines().join("\n");
        assert!(text.contains("1000 bans [asterisk-guess]"), "{text}");
        assert!(text.contains("198.51.0.9\n  and 990 more (asterguard banned)"), "{text}");
        assert!(text.len() < 4000, "{}", text.len());
    }

    #[test]
    fn no_command_is_made_of_what_is_no_host() {
        for host in ["$(reboot)", "a; reboot", "-x", "", "[x]", "abc", "1\n2"] {
            let event = GuardEvent { host: Some(host.to_owned()), ..ban("203.0.113.9") };
            assert_eq!(message(&Batch::of(event), "pbx1").todo, None, "{host:?}");
        }
        for host in ["203.0.113.9", "2001:db8::/64", "203.0.113.0/24"] {
            assert!(message(&Batch::of(ban(host)), "pbx1").todo.is_some(), "{host}");
        }
    }

    proptest! {
        #[test]
        fn hostile_values_stay_on_their_lines(events in prop::collection::vec(any_event(), 1..4), machine: String) {
            let mut batch = Batch::default();
            for event in events {
                batch.add(event);
            }
            let message = message(&batch, &machine);
            prop_assert!(!message.subject.chars().any(char::is_control));
            prop_assert!(message.subject.chars().count() <= LONGEST_SUBJECT);
            for line in message.lines() {
                prop_assert!(!line.chars().any(char::is_control), "{line:?}");
            }
            let page = message.html();
            let tags = |text: &str| text.matches('<').count();
            let empty = Message {
                subject: String::new(),
                sentence: message.sentence.chars().take(1).map(|_| 'x').collect(),
                facts: message.facts.iter().map(|(name, _)| (*name, String::new())).collect(),
                lists: message.lists.iter().map(|(title, _)| (*title, Vec::new())).collect(),
                todo: message.todo.clone(),
                urgent: false,
            };
            prop_assert_eq!(tags(&page), tags(&empty.html()));
        }
    }
}
