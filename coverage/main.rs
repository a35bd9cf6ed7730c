//! Writes `docs/coverage.md`: what asterguard and fail2ban make of each message of `messages.toml`.
//!
//! `make coverage` runs it. `cargo test` runs its tests, which need no fail2ban: they are the net
//! under the rules, for all messages of all versions.

mod fail2ban;
mod judge;
mod messages;
mod ours;
mod page;

use std::env;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::fail2ban::Fail2ban;
use crate::messages::Message;
use crate::ours::Asterguard;

const MESSAGES: &str = include_str!("messages.toml");
const PAGE: &str = "docs/coverage.md";

fn main() -> Result<()> {
    let unpacked = env::args_os().nth(1).context("where is fail2ban's package unpacked?")?;
    let messages = messages::read(MESSAGES)?;
    let asterguard = Asterguard::new()?;
    let fail2ban = Fail2ban::ask(Path::new(&unpacked), &messages)?;
    let rows: Vec<_> =
        messages.iter().map(|message| page::Row::new(message, &asterguard, &fail2ban)).collect();
    std::fs::write(PAGE, page::write(&rows, fail2ban.version())).context(PAGE)?;
    println!("{PAGE}: {} messages, fail2ban {}", rows.len(), fail2ban.version());
    let behind = page::families_behind(&rows);
    ensure!(
        behind.is_empty(),
        "fail2ban catches as many messages or more of: {}",
        behind.join(", ")
    );
    complain(&messages, &asterguard)
}

/// Fails if asterguard says something else than `messages.toml`, names a host that it must not name,
/// or misses one without a reason.
fn complain(messages: &[Message], asterguard: &Asterguard) -> Result<()> {
    let complaints: Vec<_> = messages
        .iter()
        .flat_map(Message::records)
        .filter_map(|record| judge::complaint(&record, &asterguard.verdict(&record.log())))
        .collect();
    if !complaints.is_empty() {
        bail!("{}", complaints.join("\n"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_gets_the_verdict_that_is_written_beside_it() {
        complain(&messages::read(MESSAGES).unwrap(), &Asterguard::new().unwrap()).unwrap();
    }

    /// fail2ban's columns stand at the end of a row, so that the rest can be compared without it.
    #[test]
    fn the_page_says_what_we_say_today() {
        let messages = messages::read(MESSAGES).unwrap();
        let asterguard = Asterguard::new().unwrap();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
        let page = std::fs::read_to_string(path).unwrap();
        let mut rest = page.as_str();
        for message in &messages {
            let row = page::our_columns(message, &asterguard);
            let at = rest.find(&row).unwrap_or_else(|| panic!("run `make coverage`: {row}"));
            rest = &rest[at + row.len()..];
        }
    }
}
