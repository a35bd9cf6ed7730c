//! Writes `docs/coverage.md`: what asterguard and other programs make of each message of `messages.toml`.
//!
//! `make coverage` runs it. `cargo test` runs its tests, which need no other program: they are the net
//! under the rules, for all messages of all versions, and under what exchanges prove.

mod exchanges;
mod judge;
mod messages;
mod others;
mod ours;
mod page;

use std::env;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::judge::Judged;
use crate::messages::Message;
use crate::others::{crowdsec, fail2ban};
use crate::ours::Asterguard;

const MESSAGES: &str = include_str!("messages.toml");
const PAGE: &str = "docs/coverage.md";

fn main() -> Result<()> {
    let mut unpacked = env::args_os().skip(1);
    let mut place = |what: &str| unpacked.next().with_context(|| format!("where is {what}?"));
    let packages = [place("fail2ban")?, place("the newest fail2ban")?, place("CrowdSec")?];
    let [old, new, crowdsec] = packages.each_ref().map(Path::new);
    let messages = messages::read(MESSAGES)?;
    let asterguard = Asterguard::new()?;
    let others = [
        fail2ban::ask(old, &messages)?,
        fail2ban::ask(new, &messages)?,
        crowdsec::ask(crowdsec, &messages)?,
    ];
    let rows = messages.iter().map(|message| page::Row::new(message, &asterguard, &others));
    let rows = rows.collect::<Result<Vec<_>>>()?;
    std::fs::write(PAGE, page::write(&rows, &others)).context(PAGE)?;
    println!("{PAGE}: {}", page::in_short(&rows, &others));
    let behind = page::families_behind(&rows, &others);
    ensure!(behind.is_empty(), "others count more messages of: {}", behind.join(", "));
    complain(&messages, &asterguard)
}

/// Fails if asterguard says something else than `messages.toml`, names a host that it must not name,
/// or misses one without a reason.
fn complain(messages: &[Message], asterguard: &Asterguard) -> Result<()> {
    let mut complaints: Vec<_> = messages
        .iter()
        .flat_map(Message::records)
        .filter_map(|record| judge::complaint(&record, &asterguard.by_text(&record)))
        .collect();
    for message in messages {
        complaints.extend(Judged::of(message, asterguard)?.complaint(message));
    }
    if !complaints.is_empty() {
        bail!("{}", complaints.join("\n"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_message_gets_the_verdict_that_is_written_beside_it() {
        complain(&messages::read(MESSAGES).unwrap(), &Asterguard::new().unwrap()).unwrap();
    }

    fn page() -> String {
        read(PAGE)
    }

    fn read(path: &str) -> String {
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
    }

    /// The columns of other programs stand at the end of a row, so that the rest can be compared without them.
    #[test]
    fn the_page_says_what_we_say_today() {
        let messages = messages::read(MESSAGES).unwrap();
        let asterguard = Asterguard::new().unwrap();
        let page = page();
        let mut rest = page.as_str();
        for message in &messages {
            let judged = Judged::of(message, &asterguard).unwrap();
            let row = page::our_columns(message, &judged, &asterguard).unwrap();
            let at = rest.find(&row).unwrap_or_else(|| panic!("run `make coverage`: {row}"));
            rest = &rest[at + row.len()..];
        }
    }

    #[test]
    fn the_sums_are_those_of_today() {
        let messages = messages::read(MESSAGES).unwrap();
        let asterguard = Asterguard::new().unwrap();
        let row = |message| page::Row::new(message, &asterguard, &[]).unwrap();
        let rows: Vec<_> = messages.iter().map(row).collect();
        let page = page();
        for sums in [page::sums(&rows, &[]), page::harm(&rows, &[])] {
            let table = sums.lines().filter(|line| line.starts_with("| ")).skip(1);
            for line in table {
                let is_there = page.lines().any(|there| there.starts_with(line));
                assert!(is_there, "run `make coverage`: {line}");
            }
        }
    }

    #[test]
    fn the_readme_has_the_sums_of_the_page() {
        let page = page();
        let all: Vec<Vec<&str>> = page
            .lines()
            .filter_map(|line| line.strip_prefix("| **all** | "))
            .map(|line| line.trim_end_matches(" |").split(" | ").collect())
            .collect();
        let [sums, harm] = all.as_slice() else { panic!("{all:?}") };
        let [messages, attackers, text, _, exchanges, old, new, crowdsec] = sums.as_slice() else {
            panic!("{sums:?}")
        };
        let [harm_text, harm_exchanges, harm_old, harm_new, harm_crowdsec] = harm.as_slice() else {
            panic!("{harm:?}")
        };
        let readme = read("README.md");
        for row in [
            format!(
                "| attack messages of Asterisk 1.2 to 23 that count against the sender, of {attackers} | {exchanges}; by text alone {text} | {new} | {old} | {crowdsec} |"
            ),
            format!(
                "| messages that count against an innocent host, of {messages} | {harm_exchanges}; by text alone {harm_text} | {harm_new} | {harm_old} | {harm_crowdsec} |"
            ),
        ] {
            assert!(readme.contains(&row), "README.md lacks: {row}");
        }
    }

    #[test]
    fn every_exchange_is_some_messages() {
        let messages = messages::read(MESSAGES).unwrap();
        let named: BTreeSet<_> = messages
            .iter()
            .flat_map(|message| [message.exchange(), message.innocent.as_deref()])
            .flatten()
            .collect();
        let asterguard = Asterguard::new().unwrap();
        let unused: Vec<_> = asterguard.scripts().filter(|name| !named.contains(name)).collect();
        assert_eq!(unused, [""; 0]);
    }
}
