//! How to change over from fail2ban: the commands, in an order in which nobody is unguarded. Pure.

use std::path::Path;

use super::super::export::is_about_asterisk;
use super::super::text::printable_text;
use crate::fail2ban::translation::Translation;

/// Where fail2ban keeps its bans, if its configuration does not say.
const DATABASE: &str = "/var/lib/fail2ban/fail2ban.sqlite3";
/// The jail that watches over all others.
const RECIDIVE: &str = "recidive";

/// Returns the lines to run, with comments between. `base` is fail2ban's directory, `database` its file
/// with bans, and `out` our directory.
pub fn lines(
    base: &Path,
    database: Option<&str>,
    translation: &Translation,
    out: Option<&Path>,
) -> Vec<String> {
    let jails = handed_over(translation);
    let out = out.unwrap_or(Path::new("/etc/asterguard")).join("asterguard.toml");
    let import = import(database, &jails);
    let mut lines = vec![
        "# Both guards may run side by side: each has its own tables. So ours starts first.".to_owned(),
        format!("asterguard check --config {}", quoted(&out.to_string_lossy())),
        "systemctl enable --now asterguard".to_owned(),
        "asterguard reload".to_owned(),
        "asterguard status".to_owned(),
        "# Go on only if the first line says OK, and nothing of observing: from here on, ours has to ban.".to_owned(),
        "# fail2ban makes no new bans now, and keeps those that it has:".to_owned(),
    ];
    lines.extend(jails.iter().map(|jail| format!("fail2ban-client set {} idle on", quoted(jail))));
    lines.push(
        "# Ours takes these bans over, each until its end, and how often each host was banned:"
            .to_owned(),
    );
    lines.push(import.clone());
    lines.extend(stop(base, translation, &jails));
    lines.push("# What fail2ban still stored meanwhile, if anything:".to_owned());
    lines.push(import);
    lines
}

/// Returns the jails that fail2ban stops. What watches over all its jails goes on as long as there are others.
fn handed_over(translation: &Translation) -> Vec<&str> {
    let goes = |jail: &&str| translation.stay.is_empty() || *jail != RECIDIVE;
    translation.taken.iter().map(String::as_str).filter(goes).collect()
}

fn import(database: Option<&str>, jails: &[&str]) -> String {
    let database = database.filter(|path| path.starts_with('/'));
    let mut line = format!("asterguard import {} --history", quoted(database.unwrap_or(DATABASE)));
    for jail in jails.iter().filter(|jail| !is_about_asterisk(jail)) {
        line = format!("{line} --jail {}", quoted(jail));
    }
    line
}

/// Returns what ends fail2ban, or its jails, for good.
fn stop(base: &Path, translation: &Translation, jails: &[&str]) -> Vec<String> {
    if translation.stay.is_empty() {
        return vec![
            "# fail2ban ends, and does not start again:".to_owned(),
            "systemctl disable --now fail2ban".to_owned(),
        ];
    }
    let names: Vec<_> = jails.iter().map(|jail| quoted(jail)).collect();
    let file = base.join("jail.d/zz-asterguard.local");
    let file = quoted(&file.to_string_lossy());
    let mut lines = vec![
        format!("# fail2ban goes on with {}.", printable_text(&translation.stay.join(", "))),
        "# These jails end, and do not start again:".to_owned(),
        format!("printf '[%s]\\nenabled = false\\n' {} >{file}", names.join(" ")),
    ];
    lines.extend(names.iter().map(|jail| format!("fail2ban-client stop {jail}")));
    lines
}

/// Returns a word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", printable_text(word).replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The commands for these jails, without the comments.
    fn commands(taken: &[&str], stay: &[&str]) -> Vec<String> {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let translation =
            Translation { taken: owned(taken), stay: owned(stay), ..Translation::default() };
        let base = Path::new("/etc/fail2ban");
        let mut lines = lines(base, None, &translation, None);
        lines.retain(|line| !line.starts_with('#'));
        lines
    }

    fn place(commands: &[String], start: &str) -> usize {
        let found = commands.iter().position(|line| line.starts_with(start));
        found.unwrap_or_else(|| panic!("{start}: {commands:#?}"))
    }

    #[test]
    fn ours_guards_before_theirs_ends() {
        let commands = commands(&["asterisk", "recidive"], &[]);
        let order = [
            "systemctl enable --now asterguard",
            "fail2ban-client set asterisk idle on",
            "asterguard import /var/lib/fail2ban/fail2ban.sqlite3 --history --jail recidive",
            "systemctl disable --now fail2ban",
        ];
        let places = order.map(|start| place(&commands, start));
        assert!(places.is_sorted(), "{commands:#?}");
        assert_eq!(commands.last(), commands.get(places[2]));
    }

    #[test]
    fn what_guards_other_services_goes_on() {
        let commands = commands(&["asterisk", "voip", "recidive"], &["sshd"]);
        let text = commands.join("\n");
        assert!(!text.contains("systemctl disable") && !text.contains(RECIDIVE), "{text}");
        let file = "printf '[%s]\\nenabled = false\\n' asterisk voip >/etc/fail2ban/jail.d/zz-asterguard.local";
        assert!(place(&commands, file) < place(&commands, "fail2ban-client stop asterisk"));
        // The name of this jail says nothing of Asterisk.
        place(
            &commands,
            "asterguard import /var/lib/fail2ban/fail2ban.sqlite3 --history --jail voip",
        );
    }

    #[test]
    fn no_name_of_a_jail_is_a_command() {
        let text = commands(&["x'; reboot #", "$(reboot)\nreboot"], &["sshd"]).join("\n");
        assert!(!text.lines().any(|line| line.starts_with("reboot")), "{text}");
        assert!(text.contains(r"'x'\''; reboot #'") && text.contains("'$(reboot)"), "{text}");
    }
}
