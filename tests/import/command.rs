//! The command as it is used: what it writes and leaves, what it prints, and how it compares.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::guards::fail2ban;

const JAIL: &str = "[DEFAULT]\nignoreip = 127.0.0.1/8\n[asterisk]\nenabled = true\nfilter = pbx\nlogpath = /var/log/asterisk/messages\n\
    maxretry = 3\nignorecommand = /usr/bin/ask <ip>\nmaxlines = 5\nlogencoding = utf-8\nbantime.increment = true\n\
    bantime.formula = __import__('os').system('id')\naction = abuseipdb[key=x]\n  mail-whois[dest=a@example.com]\n";
const PBX: &str = "[Definition]\nfailregex = NOTICE.* failed for '<HOST>(?::\\d+)?' - Wrong password$\n  ^\\[\\] NOTICE\\[\\d+\\] door\\.c: <HOST> knocked$\n";

struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(home.path().join("fail2ban/filter.d")).unwrap();
        fs::write(home.path().join("fail2ban/jail.local"), JAIL).unwrap();
        fs::write(home.path().join("fail2ban/filter.d/pbx.conf"), PBX).unwrap();
        Self(home)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn import(&self, arguments: &[&str], path: Option<&Path>) -> (i32, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_asterguard"));
        if let Some(path) = path {
            command.env("PATH", path);
        }
        let said =
            command.arg("import").arg(self.path("fail2ban")).args(arguments).output().unwrap();
        let text = [said.stdout, said.stderr].concat();
        (said.status.code().unwrap(), String::from_utf8(text).unwrap())
    }
}

#[test]
fn without_out_nothing_is_written() {
    let home = Home::new();
    let (code, said) = home.import(&[], None);
    assert_eq!(code, 0, "{said}");
    let flat = said.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in [
        "nothing was written",
        "cannot ignorecommand = /usr/bin/ask <ip>",
        "no program is run for a host",
        "cannot maxlines = 5",
        "better logencoding = utf-8",
        "it is Python, and is never run",
        "nothing is reported to others",
        "taken failregex",
    ] {
        assert!(flat.contains(words), "{words}: {said}");
    }
    assert_eq!(fs::read_dir(home.0.path()).unwrap().count(), 1);
}

#[test]
fn files_of_others_are_never_replaced() {
    let home = Home::new();
    let out = home.path("out");
    let out = out.to_str().unwrap();
    assert_eq!(home.import(&["--out", out], None).0, 0);
    // A file that it wrote, for a jail that is gone, goes too.
    let gone = home.path("out/rules.d/fail2ban-gone.toml");
    fs::copy(home.path("out/rules.d/fail2ban-asterisk.toml"), &gone).unwrap();
    let own = home.path("out/rules.d/fail2ban-mine.toml");
    fs::write(&own, "# mine\n").unwrap();
    let config = home.path("out/conf.d/fail2ban.toml");
    let before = fs::read_to_string(&config).unwrap();
    fs::remove_file(&own).unwrap();
    assert_eq!(home.import(&["--out", out], None).0, 0);
    assert!(!gone.exists());
    assert_eq!(fs::read_to_string(&config).unwrap(), before);
    fs::write(&config, "# mine\n").unwrap();
    let (code, said) = home.import(&["--out", out], None);
    assert!(code == 1 && said.contains("is not a file that `import` wrote"), "{code} {said}");
    assert_eq!(fs::read_to_string(&config).unwrap(), "# mine\n");
}

#[test]
fn what_it_finds_is_told_as_json() {
    let home = Home::new();
    let (code, said) = home.import(&["--json"], None);
    assert_eq!(code, 0, "{said}");
    let objects: Vec<Value> =
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (last, items) = objects.split_last().unwrap();
    assert!(items.iter().all(|item| item["verdict"].is_string() && item["why"].is_string()));
    assert_eq!(
        (&last["result"], &last["changed"], &last["jails"][0]),
        (&"done".into(), &false.into(), &"asterisk".into())
    );
    assert!(last["config"].as_str().unwrap().contains("maxretry = 3"));
}

#[test]
fn the_way_to_change_over_starts_ours_first() {
    let home = Home::new();
    let (_, said) = home.import(&["--switch"], None);
    let place = |words: &str| said.find(words).unwrap_or_else(|| panic!("{words}: {said}"));
    assert!(place("systemctl enable --now asterguard") < place("systemctl disable --now fail2ban"));
    let (code, said) = home.import(&["--jail", "sshd"], None);
    assert!(
        code == 2 && said.contains("no enabled jail `sshd`; there are asterisk"),
        "{code} {said}"
    );
}

#[test]
fn who_can_write_its_files_is_told() {
    let home = Home::new();
    fs::set_permissions(home.path("fail2ban/filter.d"), fs::Permissions::from_mode(0o777)).unwrap();
    let (_, said) = home.import(&[], None);
    assert!(said.contains("filter.d can be written by others"), "{said}");
}

#[test]
fn both_guards_are_run_on_a_log() {
    let Some(place) = fail2ban() else { return };
    let home = Home::new();
    // fail2ban-regex as an installed one is found.
    let bin = home.path("bin");
    fs::create_dir(&bin).unwrap();
    let script = format!(
        "#!/bin/sh\nPYTHONPATH={} exec /usr/bin/python3 {} \"$@\"\n",
        place.join("usr/lib/python3/dist-packages").display(),
        place.join("usr/bin/fail2ban-regex").display()
    );
    fs::write(bin.join("fail2ban-regex"), script).unwrap();
    fs::set_permissions(bin.join("fail2ban-regex"), fs::Permissions::from_mode(0o755)).unwrap();
    let line = |second: u32, host: &str| {
        format!(
            "[2026-11-22 10:00:{second:02}] NOTICE[1638] chan_sip.c: Registration from '\"100\"<sip:100@192.0.2.10>' failed for '{host}:5071' - Wrong password\n"
        )
    };
    let mut log = String::new();
    for second in 1..7 {
        log += &line(second, "203.0.113.1");
    }
    log += &line(8, "203.0.113.2");
    fs::write(home.path("log"), log).unwrap();
    let (out, log) = (home.path("out"), home.path("log"));
    let arguments = ["--json", "--out", out.to_str().unwrap(), "--check", log.to_str().unwrap()];
    let (code, said) = home.import(&arguments, Some(&bin));
    assert_eq!(code, 0, "{said}");
    let objects: Vec<Value> =
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let compared: Vec<_> = objects.iter().filter(|object| object["fail2ban"].is_array()).collect();
    assert_eq!(compared.len(), 1, "{said}");
    assert_eq!(
        (&compared[0]["host"], &compared[0]["fail2ban"][0]),
        (&"203.0.113.1".into(), &"asterisk".into())
    );
    assert_eq!(compared[0]["asterguard"][0], "asterisk-guess", "{said}");
    // Where it is not installed, that is said.
    fs::remove_file(bin.join("fail2ban-regex")).unwrap();
    let (_, said) = home.import(&arguments[1..], Some(&bin));
    assert!(said.contains("fail2ban-regex is not installed"), "{said}");
}
