//! What `whois` knows of a host: for mails, and for people who ask.

use std::net::IpAddr;
use std::time::Duration;

use crate::model::guard_event::{EventKind, GuardEvent};
use crate::model::subject::Subject;
use crate::notify::words::plain;
use crate::sys::program::Program;

/// The time that it may take for a mail: it asks servers of the registries.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes that it may print.
const MOST_PRINTED: usize = 256 << 10;
/// Lines of it that are told, and characters of each.
const MOST_LINES: usize = 40;
const LONGEST_LINE: usize = 160;

/// Returns what is known of the host of a ban, or why nothing is, as a list with its title; `None` if it is no ban, or of
/// a host that no registry knows.
pub(super) fn of_banned(event: &GuardEvent) -> Option<(&'static str, Vec<String>)> {
    let host: Subject = event.host.as_deref()?.parse().ok()?;
    let lines = || of_host(host.address(), PATIENCE);
    (event.kind == EventKind::Ban).then(lines).flatten().map(|lines| ("whois", lines))
}

/// Returns what is known of a host, or why nothing is; `None` if no registry knows such an address. It takes `patience` at
/// most.
#[must_use]
pub fn of_host(host: IpAddr, patience: Duration) -> Option<Vec<String>> {
    let host = host.to_canonical();
    is_public(host).then(|| ask("whois", host, patience))
}

fn ask(program: &str, host: IpAddr, patience: Duration) -> Vec<String> {
    // An address, and never a word that strangers chose.
    let whois = Program::with_argv([program.to_owned(), "--".to_owned(), host.to_string()]);
    match whois.limited(patience).capped(MOST_PRINTED).bare().run(&[], &[]) {
        Ok(printed) => facts(&String::from_utf8_lossy(&printed)),
        Err(error) => vec![plain(&format!("not known: {error}"), LONGEST_LINE)],
    }
}

/// Returns the lines that say something: no comments, no empty ones.
fn facts(printed: &str) -> Vec<String> {
    let says = |line: &&str| !line.trim().is_empty() && !line.starts_with(['%', '#']);
    let lines = printed.lines().filter(says).take(MOST_LINES);
    lines.map(|line| plain(line.trim_end(), LONGEST_LINE)).collect()
}

/// Whether registries may know an address.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !(v4.is_private() || v4.is_loopback() || v4.is_link_local()),
        IpAddr::V6(v6) => !(v6.is_unique_local() || v6.is_loopback() || v6.is_unicast_link_local()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::tests::ban;

    #[test]
    fn lines_that_say_something_are_told() {
        let printed = "% comment\n\nnetname:  EVIL\u{1b}[2J\n# more\ncountry:  XX\n";
        assert_eq!(facts(printed), ["netname:  EVIL\u{fffd}[2J", "country:  XX"]);
        assert_eq!(facts(&"a\n".repeat(1000)).len(), MOST_LINES);
    }

    #[test]
    fn only_hosts_of_the_internet_are_asked_for() {
        for host in ["10.0.0.7", "192.168.1.0/24", "fd00::7", "not a host", "-h example.com"] {
            assert_eq!(of_banned(&ban(host)), None, "{host}");
        }
        let unban = GuardEvent { kind: EventKind::Unban, ..ban("198.51.100.7") };
        assert_eq!(of_banned(&unban), None);
        let (_, lines) = of_banned(&ban("198.51.100.7:5060")).unwrap();
        assert!(!lines.is_empty());
    }

    #[test]
    fn a_program_that_is_not_there_is_told() {
        let lines = ask("/no/such/whois", "198.51.100.7".parse().unwrap(), PATIENCE);
        assert!(lines[0].starts_with("not known: "), "{lines:?}");
    }
}
