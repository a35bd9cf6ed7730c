//! What an administrator writes takes effect: `check --show`, `get`, and what replayed attacks would have been banned
//! for, by configurations as they are written by somebody who comes from fail2ban.

use serde_json::{Value, json};

use crate::kit::guard::{Guard, Home};
use crate::kit::{self, Netns};
use crate::offline::{at, objects, run};
use crate::{CONFIG, large_packet_line, record, wrong_password_line};

/// Packets of an Asterisk: a host guesses seven times by UDP, with nonces that it was sent.
const CAPTURE: &[u8] = include_bytes!("../data/pbx.pcap");
const GUESSER: &str = "198.51.100.115";
const FORGED: &str = "198.51.100.7";
const STRANGER: &str = "198.51.100.8";
const YEAR: u64 = 31_557_600;

/// A configuration, and what is expected of it.
struct Case {
    text: &'static str,
    /// Values in force: jail, key, value, and the line where it is written, 0 if it is built in.
    values: &'static [(&'static str, &'static str, &'static str, usize)],
    /// What a guesser is banned for whose round trip is proven: attempts, seconds (`None`: for ever), ports.
    proven: (u64, Option<u64>, &'static str),
    /// The same of one that may be forged, …
    forged: (u64, Option<u64>, &'static str),
    /// … and of one that sends by TCP what no phone sends.
    stranger: (u64, Option<u64>, &'static str),
}

const BUILT_IN: Case = Case {
    text: "",
    values: &[],
    proven: (5, Some(600), "sip"),
    forged: (5, Some(600), "sip"),
    stranger: (3, Some(3600), "all"),
};

#[expect(clippy::too_many_lines, reason = "a table")]
fn cases() -> Vec<(&'static str, Case)> {
    const GUESS: &str = "asterisk-guess";
    const SCAN: &str = "asterisk-scan";
    const WIRE: &str = "asterisk-wire";
    vec![
        // A year for three attempts in a day, all ports; the same in the jails, forged or not.
        (
            "01",
            Case {
                text: include_str!("../data/configurations/01.toml"),
                values: &[
                    (GUESS, "maxretry", "3", 3),
                    (SCAN, "findtime", "\"1d\"", 4),
                    (WIRE, "bantime", "\"1y\"", 5),
                    ("recidive", "port", "\"all\"", 6),
                    (GUESS, "ignoreip", "[\"127.0.0.0/8\", \"192.168.0.0/24\"]", 2),
                    (GUESS, "filter", "[\"asterisk-*\"]", 0),
                ],
                proven: (3, Some(YEAR), "all"),
                forged: (3, Some(600), "sip"),
                stranger: (3, Some(YEAR), "all"),
            },
        ),
        (
            "01b",
            Case {
                text: include_str!("../data/configurations/01b.toml"),
                values: &[(SCAN, "unverified", "\"as-proven\"", 7), (GUESS, "maxretry", "3", 10)],
                forged: (3, Some(YEAR), "all"),
                stranger: (3, Some(YEAR), "all"),
                ..BUILT_IN
            },
        ),
        (
            "02",
            Case {
                text: include_str!("../data/configurations/02.toml"),
                values: &[
                    (WIRE, "bantime", "\"3d\"", 4),
                    (GUESS, "logpath", "[\"/var/log/asterisk/messages\"]", 2),
                ],
                proven: (5, Some(259_200), "all"),
                stranger: (5, Some(259_200), "all"),
                ..BUILT_IN
            },
        ),
        (
            "03",
            Case {
                text: include_str!("../data/configurations/03.toml"),
                values: &[
                    ("firewall3", "bantime", "\"3d\"", 12),
                    ("firewall3", "filter", "[\"kernel-firewall\"]", 9),
                ],
                ..BUILT_IN
            },
        ),
        (
            "04",
            Case {
                text: include_str!("../data/configurations/04.toml"),
                values: &[
                    (SCAN, "bantime", "\"1h\"", 8),
                    (GUESS, "findtime", "\"6h\"", 12),
                    ("recidive", "bantime", "\"7d\"", 15),
                ],
                forged: (10, Some(600), "sip"),
                stranger: (10, Some(3600), "sip"),
                ..BUILT_IN
            },
        ),
        (
            "05",
            Case {
                text: include_str!("../data/configurations/05.toml"),
                values: &[(GUESS, "logpath", "[\"/var/log/asterisk/fail2ban\"]", 3)],
                ..BUILT_IN
            },
        ),
        (
            "06",
            Case {
                text: include_str!("../data/configurations/06.toml"),
                values: &[(
                    GUESS,
                    "logpath",
                    "[\"/srv/pbx*/log/messages\", \"/srv/pbx*/log/security\", \"/var/log/asterisk/messages\"]",
                    2,
                )],
                ..BUILT_IN
            },
        ),
        (
            "07",
            Case {
                text: include_str!("../data/configurations/07.toml"),
                values: &[
                    ("myivr", "maxretry", "1", 4),
                    ("myivr", "bantime", "\"1d\"", 5),
                    ("myivr", "findtime", "\"10m\"", 0),
                ],
                ..BUILT_IN
            },
        ),
        (
            "08",
            Case {
                text: include_str!("../data/configurations/08.toml"),
                values: &[(WIRE, "mode", "\"observe\"", 2), ("recidive", "mode", "\"observe\"", 2)],
                ..BUILT_IN
            },
        ),
        (
            "09",
            Case {
                text: include_str!("../data/configurations/09.toml"),
                values: &[
                    (GUESS, "bantime", "\"permanent\"", 2),
                    (WIRE, "blocktype", "\"reject\"", 3),
                ],
                proven: (5, None, "sip"),
                stranger: (3, None, "all"),
                ..BUILT_IN
            },
        ),
        (
            "10",
            Case {
                text: include_str!("../data/configurations/10.toml"),
                values: &[
                    (
                        GUESS,
                        "bantime",
                        "{ first = \"1h\", factor = 2, max = \"28d\", rndtime = \"10m\", overalljails = true }",
                        2,
                    ),
                    (
                        GUESS,
                        "unverified",
                        "{ bantime = { first = \"1h\", factor = 4, max = \"28d\" }, port = \"all\" }",
                        3,
                    ),
                ],
                proven: (5, Some(3600), "sip"),
                forged: (5, Some(3600), "all"),
                stranger: (3, Some(3600), "all"),
            },
        ),
        (
            "11",
            Case {
                text: include_str!("../data/configurations/11.toml"),
                values: &[
                    (GUESS, "hearsay", "\"count\"", 3),
                    (SCAN, "logpath", "[\"/var/log/asterisk/full\"]", 2),
                ],
                ..BUILT_IN
            },
        ),
        (
            "12",
            Case {
                text: include_str!("../data/configurations/12.toml"),
                values: &[(GUESS, "ipv6prefix", "48", 2)],
                ..BUILT_IN
            },
        ),
    ]
}

/// A home with a configuration, and attacks to be replayed.
fn home(text: &str) -> Home {
    let home = Home::new(&format!("{text}\n"));
    home.write("rules.d/my-ivr.toml", include_str!("../data/configurations/my-ivr.toml"));
    home.write("pbx/pjsip.conf", "[u]\ntype=transport\nprotocol=udp\nbind=0.0.0.0:5060\n");
    for list in ["allowSites", "blockSites", "drop.txt"] {
        home.write(list, "");
    }
    // Ten within ten minutes of each; what stands in a file of objects alone is true.
    let minute = |n: u32, line: &str| at(&format!("2026-11-22 10:{n:02}:00"), line);
    let odd = large_packet_line(STRANGER);
    let ten = |line: &str| -> Vec<_> { (0..10).map(|n| minute(n, line)).collect() };
    home.append("guesses", &ten(&wrong_password_line(FORGED)));
    home.append("odd", &ten(&odd).iter().map(|line| record(line)).collect::<Vec<_>>());
    home.append_bytes("pbx.pcap", CAPTURE);
    home
}

/// The first ban of a host: its offences, length and ports.
fn first_ban(bans: &[Value], host: &str) -> (u64, Option<u64>, String) {
    let ban =
        bans.iter().find(|ban| ban["host"] == host).unwrap_or_else(|| panic!("{host}: {bans:#?}"));
    let ports = ban["scope"].as_str().unwrap().to_owned();
    (ban["offences"].as_u64().unwrap(), ban["bantime"].as_u64(), ports)
}

#[test]
fn configurations_from_fail2ban_take_effect() {
    for (name, case) in cases() {
        let home = home(case.text);
        let file = home.path("asterguard.toml").display().to_string();
        let (code, out, said) = run(&home, &["check", "--show", "--json"]);
        assert_eq!((code, said.as_str()), (0, ""), "{name}");
        let settings = objects(&out);
        for (jail, key, value, line) in case.values {
            let section = format!("jail.{jail}");
            let setting = settings
                .iter()
                .find(|setting| setting["section"] == *section && setting["key"] == *key)
                .unwrap_or_else(|| panic!("{name}: no {key} of {jail}"));
            let place = (*line > 0).then(|| format!("{file}:{line}"));
            assert_eq!(
                (&setting["value"], &setting["place"]),
                (&json!(value), &json!(place)),
                "{name}: {jail}"
            );
        }
        // What is shown is a configuration itself, and the same.
        let (_, shown, _) = run(&home, &["check", "--show"]);
        let again = self::home(&shown);
        let values = |text: &str| -> Vec<_> {
            objects(text)
                .iter()
                .map(|one| (one["section"].clone(), one["key"].clone(), one["value"].clone()))
                .collect()
        };
        let (code, out_again, said) = run(&again, &["check", "--show", "--json"]);
        assert_eq!(code, 0, "{name}: {said}");
        assert!(values(&out_again) == values(&out), "{name}: {out_again}");

        let [log, odd, capture] =
            ["guesses", "odd", "pbx.pcap"].map(|file| home.path(file).display().to_string());
        let replayed = |args: &[&str]| {
            let (code, out, said) = run(&home, args);
            assert_eq!((code, said.as_str()), (0, ""), "{name}: {out}");
            objects(&out)
        };
        // What `rndtime` adds.
        let more = if case.text.contains("rndtime") { 600 } else { 0 };
        let is_banned =
            |bans: &[Value], host, (offences, seconds, ports): (u64, Option<u64>, &str)| {
                let (counted, length, scope) = first_ban(bans, host);
                assert_eq!((counted, scope.as_str()), (offences, ports), "{name}: {host}");
                let fits =
                    length == seconds || length >= seconds && length <= seconds.map(|s| s + more);
                assert!(fits, "{name}: {host} {length:?} {seconds:?}");
            };
        let bans = replayed(&["replay", "--json", &log, &odd]);
        is_banned(&bans, FORGED, case.forged);
        is_banned(&bans, STRANGER, case.stranger);
        let bans = replayed(&["replay", "--json", "--pcap", &capture, "--own", "203.0.113.250"]);
        is_banned(&bans, GUESSER, case.proven);
    }
}

#[test]
fn a_guard_tells_the_values_of_a_jail() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    let file = guard.path("asterguard.toml").display().to_string();
    let all = guard.order(&["get", "asterisk-guess"]);
    assert!(all.starts_with("\n[jail.asterisk-guess]\nenabled = true "), "{all}");
    let line = CONFIG.lines().position(|line| line == "maxretry = 5").unwrap() + 1;
    let expected = format!("maxretry = 5{}# {file}:{line}\n", " ".repeat(38));
    assert!(all.contains(&expected), "{all}");
    assert_eq!(guard.order(&["get", "asterisk-guess", "bantime"]), "\"10m\"\n");
    let json = guard.order(&["get", "asterisk-scan", "maxretry", "--json"]);
    assert_eq!(
        objects(&json),
        [
            json!({ "schema": 1, "section": "jail.asterisk-scan", "key": "maxretry", "value": "3", "place": null })
        ]
    );
    // They are those of the guard, not those of the file on disk.
    guard.write("asterguard.toml", &CONFIG.replace("maxretry = 5", "maxretry = 7"));
    assert_eq!(guard.order(&["get", "asterisk-guess", "maxretry"]), "5\n");
    guard.order(&["reload"]);
    assert_eq!(guard.order(&["get", "asterisk-guess", "maxretry"]), "7\n");
    let (code, _, said) = guard.ctl(&["get", "asterisk-guess", "maxretries"]);
    assert!(
        code == 2 && said.contains("there is no value `maxretries`; there are enabled, "),
        "{said}"
    );
}
