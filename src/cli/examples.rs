//! Examples of commands, for `--help` and the manual pages.

use clap::Command;

/// Each command with lines that can be typed, and what they do.
const EXAMPLES: [(&str, &[(&str, &str)]); 32] = [
    (
        "run",
        &[
            ("asterguard run", "in the foreground, as root"),
            ("asterguard run --dry-run", "show which hosts it would ban, and change nothing"),
        ],
    ),
    ("reload", &[("asterguard reload", "after a change of the configuration")]),
    (
        "status",
        &[
            ("asterguard status", "whether it works, and one line for each jail"),
            ("asterguard status asterisk-guess", "all about one jail"),
            ("asterguard status --check", "for monitoring: exit code 1 unless all is well"),
            ("asterguard status --check --nagios", "the same, as a plugin for Nagios or Icinga"),
        ],
    ),
    (
        "metrics",
        &[
            ("asterguard metrics", "the numbers in the text format of Prometheus"),
            (
                "asterguard metrics --textfile /var/lib/prometheus/node-exporter/asterguard.prom",
                "for node_exporter",
            ),
            ("asterguard metrics --listen 127.0.0.1:9587", "serve them to this machine"),
        ],
    ),
    (
        "banned",
        &[
            ("asterguard banned", "all bans"),
            ("asterguard banned 198.51.100.7", "is this host banned?"),
            ("asterguard banned --sort dropped --limit 10", "the hosts that send the most packets"),
        ],
    ),
    (
        "history",
        &[
            ("asterguard history 198.51.100.7", "all bans that this host had"),
            ("asterguard history --since 7d --jail asterisk-guess", "a week of one jail"),
            ("asterguard history --account 1000", "hosts that tried this account"),
        ],
    ),
    (
        "events",
        &[
            ("asterguard events", "what happened last"),
            ("asterguard events -f", "what happens from now on"),
            ("asterguard events --since 1d --kind order,health", "orders and problems of a day"),
        ],
    ),
    (
        "fetch",
        &[
            ("asterguard fetch", "the lists that are due"),
            ("asterguard fetch --force drop", "[feed.drop] now, even if nothing has changed"),
        ],
    ),
    (
        "report",
        &[
            ("asterguard report", "the last seven days"),
            ("asterguard report --since 30d --html month.html", "a month, as a page"),
            ("asterguard report --mail", "the last seven days, by mail"),
        ],
    ),
    (
        "top",
        &[
            ("asterguard top", "the screen; `?` shows its keys, q ends it"),
            ("asterguard top --once > now.txt", "one report as text"),
            ("asterguard top --sort dropped", "first those that send the most packets"),
        ],
    ),
    (
        "list",
        &[
            ("asterguard list allow", "which hosts are never blocked, and why"),
            ("asterguard list block 198.51.100.7", "which entries contain this host"),
        ],
    ),
    (
        "ban",
        &[
            ("asterguard ban 198.51.100.7 --for 2d --comment 'ticket 4711'", "one host"),
            ("asterguard ban 198.51.100.0/24 --for 1h", "a network"),
            ("asterguard ban 198.51.100.7:40000 --for 10m", "one port of a host"),
            ("asterguard ban 198.51.100.7 --confirm 60s", "remove it again unless you press Enter"),
        ],
    ),
    (
        "unban",
        &[
            ("asterguard unban 198.51.100.7", "remove its bans"),
            ("asterguard unban 198.51.100.7 --allow-for 1h", "and let it through for an hour"),
            ("asterguard unban --all --jail asterisk-scan", "all bans of a jail"),
        ],
    ),
    (
        "fleet",
        &[
            (
                "asterguard fleet join rediss://pbx1@valkey.example.org:6380 --node pbx1",
                "become a node, and print what the others need",
            ),
            ("asterguard fleet status", "each peer, and what was refused"),
            ("asterguard fleet acl", "what to tell the server about this node"),
            (
                "asterguard fleet trust pbx2 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
                "take bans of a peer",
            ),
            ("asterguard fleet trust pbx2 --revoke", "take nothing of it any more"),
            (
                "asterguard fleet unban 198.51.100.7 --key operator.key",
                "lift all bans of a host in the whole fleet",
            ),
        ],
    ),
    (
        "notify",
        &[
            ("asterguard notify test", "send a test message by each notifier"),
            ("asterguard notify test office", "by [notify.office] only"),
        ],
    ),
    (
        "ami-user",
        &[
            ("asterguard ami-user", "the section for manager.conf"),
            ("asterguard ami-user --generate", "the same, with a new secret that is stored"),
        ],
    ),
    (
        "allow",
        &[
            ("asterguard allow 203.0.113.7 --for 8h --comment 'on a train'", "for a working day"),
            ("asterguard allow --list", "the hosts on this list"),
            ("asterguard allow 203.0.113.7 --remove", "remove it from this list"),
        ],
    ),
    (
        "accounts",
        &[
            ("asterguard accounts", "who logged in, and from which networks"),
            ("asterguard accounts ack 1001", "its login from a new network is right"),
            ("asterguard accounts ack --all 203.0.113.0/24", "a whole site has new addresses"),
            ("asterguard accounts forget 1001", "its networks are learned anew"),
        ],
    ),
    ("export", &[("asterguard export bans.json", "all bans, with end, reason and person")]),
    (
        "import",
        &[
            ("asterguard import", "what becomes of /etc/fail2ban, line by line"),
            (
                "asterguard import --out /etc/asterguard --switch",
                "write it, and how to change over",
            ),
            ("asterguard import /var/lib/fail2ban/fail2ban.sqlite3", "the bans of fail2ban"),
            (
                "asterguard import /var/lib/fail2ban/fail2ban.sqlite3 --history",
                "and how often it banned each host",
            ),
            ("asterguard import bans.json", "on another machine, or later"),
        ],
    ),
    (
        "pause",
        &[
            ("asterguard pause", "nothing is blocked for 15 minutes"),
            ("asterguard pause --jail asterisk-guess --for 1h", "only the bans of a jail"),
        ],
    ),
    ("resume", &[("asterguard resume", "block again now")]),
    (
        "get",
        &[
            ("asterguard get asterisk-guess", "all its values, and where they are written"),
            ("asterguard get asterisk-guess maxretry", "one of its values"),
            ("asterguard get ignoreip", "which hosts are never banned"),
        ],
    ),
    ("ruleset", &[("asterguard ruleset > asterguard.nft", "to include it in your firewall")]),
    ("verify", &[("asterguard verify --repair", "repair the table in the kernel")]),
    (
        "check",
        &[
            ("asterguard check", "before a reload"),
            ("asterguard check --show", "every value in force, with file and line"),
        ],
    ),
    ("doctor", &[("asterguard doctor", "problems, and what to do")]),
    (
        "setup",
        &[
            ("asterguard setup --dry-run", "what it would change"),
            ("asterguard setup", "change it, after asking"),
            ("asterguard setup --enforce --yes", "begin to ban"),
            ("asterguard setup --undo", "take all of it back"),
        ],
    ),
    ("test", &[("asterguard test /var/log/asterisk/messages", "what the rules find in a log")]),
    ("explain", &[("asterguard explain 198.51.100.7", "why it is banned, or not")]),
    (
        "replay",
        &[
            ("asterguard replay /var/log/asterisk/messages", "which hosts it would have banned"),
            ("asterguard replay --pcap pbx.pcap", "the same for a capture"),
        ],
    ),
    ("restore", &[("asterguard restore", "at boot, before the network comes up")]),
];

/// Adds its examples to the help of each command.
pub fn add(program: Command) -> Command {
    EXAMPLES.iter().fold(program, |program, (name, examples)| {
        let width = examples.iter().map(|(line, _)| line.chars().count()).max().unwrap_or(0);
        let lines = examples.iter().map(|(line, does)| format!("  {line:<width$}   {does}\n"));
        let text = format!("Examples:\n{}", lines.collect::<String>());
        program.mut_subcommand(*name, |command| command.after_help(text.trim_end().to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_examples_that_can_be_typed() {
        let program = crate::cli::command();
        for command in program.get_subcommands().filter(|command| !command.is_hide_set()) {
            let name = command.get_name();
            let (_, examples) = EXAMPLES
                .iter()
                .find(|(known, _)| *known == name)
                .unwrap_or_else(|| panic!("{name} has no examples"));
            for (line, _) in *examples {
                let line = line.split(" > ").next().unwrap();
                // Quotes hold two words together at most.
                let quoted =
                    line.replace("'ticket 4711'", "ticket").replace("'on a train'", "train");
                let words = quoted.split(' ');
                let parsed = program.clone().try_get_matches_from(words);
                assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
            }
        }
    }
}
