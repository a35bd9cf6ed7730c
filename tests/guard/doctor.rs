//! `doctor`, and what `explain` finds in the rest of the firewall.

use serde_json::Value;

use crate::kit::guard::{Guard, Home, PROGRAM, told};
use crate::kit::{self, Netns};
use crate::{CONFIG, wrong_password};

/// Asterisk's configuration in `$DIR`, and one log.
const ASTERISK: &str = "asteriskconf = \"$DIR\"\n";

pub fn findings(home: &Home, netns: &Netns) -> (i32, Vec<Value>) {
    let config = home.path("asterguard.toml");
    let args = ["doctor", "--json", "--config", config.to_str().unwrap()];
    let (code, out, complaint) = home.ctl_in(netns, &args);
    assert_eq!(complaint, "");
    (code, out.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// The verdicts of a check.
pub fn verdicts<'a>(findings: &'a [Value], check: &str) -> Vec<&'a str> {
    let of_check = findings.iter().filter(|finding| finding["check"] == check);
    of_check.map(|finding| finding["verdict"].as_str().unwrap()).collect()
}

#[test]
fn doctor_looks_at_the_whole_machine() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let home = Home::new(&format!("{ASTERISK}{CONFIG}"));
    let logger = format!(
        "[general]\ndateformat=%s\n[logfiles]\n{0} => notice\n{0}2 => security\n",
        home.path("messages").display()
    );
    home.write("logger.conf", &logger);
    home.write(
        "sip.conf",
        "[general]\nallowguest=no\n[1000]\ntype=friend\nhost=dynamic\nsecret=x\n",
    );
    home.append("messages", &[wrong_password("198.51.100.14")]);

    // Without a daemon, and before there is a table.
    let (_, found) = findings(&home, &netns);
    assert_eq!(verdicts(&found, "daemon"), ["problem"], "{found:#?}");
    assert_eq!(verdicts(&found, "table"), ["advice"]);
    assert_eq!(verdicts(&found, "jails"), ["unchecked"]);
    assert_eq!(verdicts(&found, "health"), ["unchecked"]);
    assert_eq!(verdicts(&found, "logger"), ["ok", "problem"]);
    assert_eq!(verdicts(&found, "guests"), ["ok"]);

    // With one, and everything in order but what nobody can help here.
    let logger = logger.replace("notice\n", "notice,security\n");
    home.write("logger.conf", &logger);
    let run = home.run(netns.command(PROGRAM));
    let guard = Guard::start_in(home, run);
    let (code, found) = findings(&guard, &netns);
    for check in [
        "configuration",
        "daemon",
        "logger",
        "logpath",
        "permissions",
        "table",
        "table-order",
        "nft",
    ] {
        assert!(verdicts(&found, check).iter().all(|v| *v == "ok"), "{check}: {found:#?}");
    }
    let wrong: Vec<_> = found.iter().filter(|finding| finding["verdict"] == "problem").collect();
    assert_eq!(code, i32::from(!wrong.is_empty()), "{wrong:#?}");

    // After a heal, the limiter's chain stands ahead of ours in the listing.
    netns.exec("nft flush ruleset");
    guard.says("put back");
    kit::until("all is back", || {
        let (code, _, _) = guard.ctl(&["verify"]);
        code == 0
            && !netns.try_exec("nft list chain inet asterguard limiter_input").stdout.is_empty()
    });
    let (_, found) = findings(&guard, &netns);
    assert_eq!(verdicts(&found, "table"), ["ok"], "{found:#?}");

    // What others do ahead of ours, and what happens to ours.
    netns.exec(
        "nft 'add table ip first; add chain ip first c { type filter hook prerouting priority -400; };
              add rule ip first c ip saddr 203.0.113.66 drop'",
    );
    let (_, found) = findings(&guard, &netns);
    assert_eq!(verdicts(&found, "table-order"), ["advice"]);
    guard.order(&["pause"]);
    let (code, found) = findings(&guard, &netns);
    assert_eq!((code, verdicts(&found, "pause")), (1, vec!["problem"]));

    // For people.
    let config = guard.path("asterguard.toml");
    let (code, out, _) = guard.ctl_in(&netns, &["doctor", "--config", config.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(
        out.contains("problem  pause: nothing is dropped until ")
            && out.contains("\n         do: asterguard resume"),
        "{out}"
    );
    assert!(!out.contains('\u{1b}'), "no colours where nobody sees them");
    assert!(out.trim_end().lines().last().unwrap().starts_with("problems: "), "{out}");
}

/// That the limiter drops is no help to those that were banned.
#[test]
fn doctor_sees_that_no_host_is_dropped() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, &format!("[wire]\nlimiter = \"ban\"\n{CONFIG}"));
    let home = guard.stop();
    // So that the limiter's chain is the first in the listing.
    let table = netns.exec("nft list table inet asterguard");
    home.write("table", &table);
    let place = home.path("table").display().to_string();
    netns.exec(&format!("nft flush ruleset; nft -f {place}"));
    let (_, found) = findings(&home, &netns);
    assert_eq!(verdicts(&found, "table"), ["ok"], "{found:#?}");
    netns.exec("nft flush chain inet asterguard prerouting");
    let (code, found) = findings(&home, &netns);
    assert_eq!((code, verdicts(&found, "table")), (1, vec!["problem"]), "{found:#?}");
}

#[test]
fn doctor_reports_configuration_errors_and_goes_on() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let home = Home::new("[default]\nmaxrety = 5\n");
    let (code, found) = findings(&home, &netns);
    assert_eq!((code, verdicts(&found, "configuration")), (1, vec!["problem"]));
    assert!(found[0]["seen"].as_str().unwrap().contains("maxrety"), "{found:#?}");
    assert_eq!(verdicts(&found, "nft"), ["ok"]);
}

#[test]
fn explain_says_when_another_table_drops_the_host() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    netns.exec(
        "nft 'add table inet f2b-table; add set inet f2b-table addr-set-sshd { type ipv4_addr; };
              add element inet f2b-table addr-set-sshd { 198.51.100.7 };
              add set inet f2b-table nets6 { type ipv6_addr; flags interval; };
              add element inet f2b-table nets6 { 2001:db8:7::/48 };
              add chain inet f2b-table c { type filter hook input priority -1; };
              add rule inet f2b-table c tcp dport 22 ip saddr @addr-set-sshd reject;
              add rule inet f2b-table c ip6 saddr @nets6 drop'",
    );
    // Our own ban is no other table's.
    guard.order(&["ban", "198.51.100.8"]);
    let explain = |host: &str| -> Value {
        let (_, out, complaint) = guard.ctl_in(&netns, &["explain", "--json", host]);
        assert_eq!(complaint, "");
        serde_json::from_str(&out).unwrap()
    };
    for host in ["198.51.100.8", "2001:db8:8::1"] {
        assert_eq!(explain(host)["elsewhere"], serde_json::json!([]), "{host}");
    }
    let found = &explain("198.51.100.7")["elsewhere"];
    assert_eq!(found[0]["table"], "inet f2b-table", "{found}");
    assert_eq!((&found[0]["set"], &found[0]["partly"]), (&"addr-set-sshd".into(), &true.into()));
    assert_eq!(explain("2001:db8:7::9")["elsewhere"][0]["partly"], false);
    let (_, out, _) = guard.ctl_in(&netns, &["explain", "198.51.100.7"]);
    let words = "dropped, of certain packets, elsewhere too: table inet f2b-table, chain c, handle";
    assert!(out.contains(words), "{out}");

    // Who may not look is told that.
    let mut explain = netns.command("setpriv");
    explain.args(["--bounding-set", "-all", "--inh-caps", "-all", PROGRAM]);
    let (_, out, _) =
        told(&guard.program(&mut explain, &["explain", "198.51.100.7"]).output().unwrap());
    assert!(out.contains("other tables were not looked at: "), "{out}");
}
