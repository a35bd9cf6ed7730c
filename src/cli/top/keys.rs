//! The keys of `asterguard top`: what its help page, its manual and its documentation say.

/// A key that is pressed, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A character.
    Char(char),
    /// A letter with Ctrl.
    Ctrl(char),
    Enter,
    Esc,
    Backspace,
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
}

/// Each key, and what it does.
pub const KEYS: [(&str, &str); 18] = [
    ("Up, Down", "choose a host"),
    ("PgUp, PgDn", "go a page up or down"),
    ("Home, End", "go to the first or last host that is shown"),
    ("s", "sort by the next column: last, tries, dropped, left, bans"),
    ("f", "filter by address, network, part of a jail's name, or account"),
    ("Enter", "explain: why the host is banned, its log lines and earlier bans"),
    ("u", "unban the host (asks)"),
    ("U", "unban the host, and let it through for 1 hour (asks)"),
    ("b", "ban a host or network (asks)"),
    ("a", "let a host or network through (asks)"),
    ("w", "whois: the network of the host, and where to complain"),
    ("o", "show what jails in observe mode would have banned, or the bans again"),
    ("p", "pause all blocking for 15 minutes, or end a pause (asks)"),
    ("t", "show times in UTC, or in local time again"),
    ("?", "this help"),
    ("Esc", "go back, or remove the filter"),
    ("Ctrl-Z", "suspend; the shell's `fg` brings it back"),
    ("q", "quit"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_has_every_key() {
        let page = include_str!("../../../docs/top.md");
        for (key, does) in KEYS {
            let row = format!("| `{}` | {does} |", key.replace(", ", "`, `"));
            assert!(page.contains(&row), "docs/top.md lacks: {row}");
        }
        let rows = page.lines().filter(|line| line.starts_with("| `")).count();
        assert_eq!(rows, KEYS.len(), "docs/top.md has other keys");
    }
}
