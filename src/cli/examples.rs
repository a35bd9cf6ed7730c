//! Examples of commands, for `--help` and the manual pages.

use clap::Command;

/// Each command with lines that can be typed, and what they do.
const EXAMPLES: [(&str, &[(&str, &str)]); 22] = [
    (
        "run",
        &[
            ("asterguard run", "in the foreground, as root"),
            ("asterguard run --dry-run", "say whom it would ban, and change nothing"),
        ],
    ),
    ("reload", &[("asterguard reload", "after a change of the configuration")]),
    (
        "status",
        &[
            ("asterguard status", "how it is, and each jail in a line"),
            ("asterguard status asterisk-guess", "all about one jail"),
            ("asterguard status --check", "for monitoring: exit code 1 unless all is well"),
        ],
    ),
    (
        "banned",
        &[
            ("asterguard banned", "all bans"),
            ("asterguard banned 198.51.100.7", "is this host banned?"),
            ("asterguard banned --sort dropped --limit 10", "who sends the most"),
        ],
    ),
    (
        "list",
        &[
            ("asterguard list allow", "who is never dropped, and why"),
            ("asterguard list block 198.51.100.7", "which entries hold this host"),
        ],
    ),
    (
        "ban",
        &[
            ("asterguard ban 198.51.100.7 --for 2d --comment 'ticket 4711'", "one host"),
            ("asterguard ban 198.51.100.0/24 --for 1h", "a network"),
            ("asterguard ban 198.51.100.7:40000 --for 10m", "one port of a host"),
            ("asterguard ban 198.51.100.7 --confirm 60s", "let it go again unless you press Enter"),
        ],
    ),
    (
        "unban",
        &[
            ("asterguard unban 198.51.100.7", "let it in"),
            ("asterguard unban 198.51.100.7 --allow-for 1h", "and whatever it does for an hour"),
            ("asterguard unban --all --jail asterisk-scan", "all bans of a jail"),
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
            ("asterguard allow 203.0.113.7 --for 8h --comment 'on a train'", "for a day's work"),
            ("asterguard allow --list", "what is let through by order"),
            ("asterguard allow 203.0.113.7 --remove", "no longer"),
        ],
    ),
    ("export", &[("asterguard export bans.json", "all bans, with end, reason and person")]),
    ("import", &[("asterguard import bans.json", "on another machine, or later")]),
    (
        "pause",
        &[
            ("asterguard pause", "nothing is dropped for 15 minutes"),
            ("asterguard pause --jail asterisk-guess --for 1h", "only the bans of a jail"),
        ],
    ),
    ("resume", &[("asterguard resume", "drop again now")]),
    (
        "get",
        &[
            ("asterguard get asterisk-guess", "all its values, and where they are written"),
            ("asterguard get asterisk-guess maxretry", "one of them"),
            ("asterguard get ignoreip", "who is never banned"),
        ],
    ),
    ("ruleset", &[("asterguard ruleset > asterguard.nft", "to be included in your firewall")]),
    ("verify", &[("asterguard verify --repair", "make the kernel hold what it should")]),
    (
        "check",
        &[
            ("asterguard check", "before a reload"),
            ("asterguard check --show", "every value in force, with file and line"),
        ],
    ),
    ("doctor", &[("asterguard doctor", "what goes wrong, and what to do")]),
    ("test", &[("asterguard test /var/log/asterisk/messages", "what the rules make of a log")]),
    ("explain", &[("asterguard explain 198.51.100.7", "why it is banned, or not")]),
    (
        "replay",
        &[
            ("asterguard replay /var/log/asterisk/messages", "whom it would have banned"),
            ("asterguard replay --pcap pbx.pcap", "the same of a capture"),
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
