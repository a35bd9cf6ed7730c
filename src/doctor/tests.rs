//! Tests what each check says of a made-up machine.

use std::fs;
use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::config::Mode;
use crate::control::Answer;
use crate::control::status::Status;
use crate::decide::plan::Plan;
use crate::doctor::other_tables::Ruleset;
use crate::model::time::Time;
use crate::rules::RuleSet;
use crate::sys::sock_diag::{Listener, Protocol};

/// A machine with these files in Asterisk's directory, and a guard that reads `messages` and
/// `security` next to them.
struct Machine {
    home: TempDir,
    world: World,
}

impl Machine {
    fn new(files: &[(&str, &str)]) -> Self {
        Self::with_config(files, "")
    }

    fn with_config(files: &[(&str, &str)], config: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().display().to_string();
        for (name, text) in files {
            fs::write(home.path().join(name), text.replace("$DIR", &path)).unwrap();
        }
        let main = home.path().join("asterguard.toml");
        let logs = format!("['{path}/messages', '{path}/security', '{path}/full']");
        let text = format!("asteriskconf = '{path}'\n{config}\n[default]\nlogpath = {logs}\n");
        fs::write(&main, text).unwrap();
        let rules = Arc::new(RuleSet::load(None).unwrap());
        let config = crate::config::load(Some(&main), &rules.filters()).unwrap();
        let plan = Plan::new(config, rules);
        let world = World {
            logs: crate::daemon::engine_thread::log_reader::files(&plan),
            plan: Ok(plan),
            journal: Vec::new(),
            unread: Vec::new(),
            asterisk: home.path().to_owned(),
            status: Err(NoStatus::Dead("no daemon answers".to_owned())),
            ruleset: Err("not permitted".to_owned()),
            nft: Ok("nftables v1.0.6 (Lester Gooch #5)".to_owned()),
            version: Err("there is no `asterisk` here".to_owned()),
            filter: Err("there is no `asterisk` here".to_owned()),
            kernel: Some("6.1.0-13-amd64\n".to_owned()),
            sockets: Ok(Vec::new()),
            destroys: Ok(()),
            fetch_timer: None,
            processes: vec!["asterisk".to_owned()],
            now: crate::sys::clock::now(),
        };
        Self { home, world }
    }

    /// Returns what a check found, as `verdict: seen`.
    fn says(&self, check: &str) -> Vec<String> {
        let (_, run) = CHECKS.iter().find(|(name, _)| *name == check).unwrap();
        let found = run(&self.world);
        assert!(!found.is_empty(), "{check}");
        for finding in &found {
            assert_eq!(finding.check, check);
            let wrong = finding.verdict >= Verdict::Advice;
            let told = finding.place.is_some() || finding.change.is_some();
            assert!(!wrong || told, "{finding:?} says neither where nor what to do");
        }
        let text = |finding: &Finding| {
            let at = self.home.path().display().to_string();
            let place = finding.place.as_ref().map_or(String::new(), |place| format!(" ({place})"));
            format!("{:?}: {}{place}", finding.verdict, finding.seen).replace(&at, "$DIR")
        };
        found.iter().map(text).collect()
    }

    /// Asserts that the one thing that a check says begins with this.
    fn says_one(&self, check: &str, begin: &str) {
        let said = self.says(check);
        assert!(said.len() == 1 && said[0].starts_with(begin), "{check}: {said:#?}, not {begin}");
    }
}

const LOGGER: &str = "[general]\n[logfiles]\n$DIR/messages => notice,warning,error\n\
                      $DIR/security => security\nconsole => notice\n";

#[test]
fn a_machine_without_anything_is_not_found_guilty() {
    let mut machine = Machine::new(&[]);
    machine.world.processes.clear();
    for (check, _) in CHECKS.iter().filter(|(check, _)| !["logpath", "daemon"].contains(check)) {
        for said in machine.says(check) {
            assert!(!said.starts_with("Problem"), "{check}: {said}");
        }
    }
    machine.says_one("logpath", "Problem: none of the logs");
    machine.says_one("daemon", "Problem: no daemon answers");
    machine.world.status = Err(NoStatus::NotPermitted("you may not ask".to_owned()));
    machine.says_one("daemon", "Unchecked: you may not ask");
    machine.says_one("logger", "Unchecked: there is no $DIR/logger.conf");
    machine.says_one("guests", "Unchecked: there is neither $DIR/pjsip.conf nor");
}

#[test]
fn a_machine_as_it_should_be_passes() {
    let machine = Machine::new(&[
        ("logger.conf", LOGGER),
        ("messages", "x\n"),
        ("security", "x\n"),
        (
            "pjsip.conf",
            "[1000]\ntype=endpoint\nauth=a\nacl=office\nrtp_timeout=60\n[a]\ntype=auth\nusername=1000\npassword=Tr0ub4dor\n",
        ),
        ("manager.conf", "[general]\nenabled=yes\nbindaddr=127.0.0.1\n[x]\nsecret=Tr0ub4dor\n"),
    ]);
    for check in [
        "configuration",
        "logger",
        "logger-files",
        "dateformat",
        "logpath",
        "log-queue",
        "guests",
        "account-names",
        "passwords",
        "acl",
        "manager",
        "rtp-timeout",
        "trunks",
        "nft",
        "kernel",
    ] {
        for said in machine.says(check) {
            assert!(said.starts_with("Ok"), "{check}: {said}");
        }
    }
}

#[test]
fn a_part_of_the_journal_without_entries_is_found() {
    let mut machine = Machine::new(&[]);
    machine.says_one("journal", "Ok: not read");
    let mut with = |last: Result<&str, &str>| {
        let last = last.map(str::to_owned).map_err(str::to_owned);
        machine.world.journal = vec![("asterisk.service".parse().unwrap(), last)];
        machine.says("journal").concat()
    };
    assert_eq!(with(Ok("Asterisk Ready.\n")), "Ok: journal:asterisk.service has entries");
    let nothing = with(Ok("\n"));
    assert!(nothing.starts_with("Problem: journal:asterisk.service: the journal has no entry"));
    let unknown = "Unchecked: journal:asterisk.service: no journalctl";
    assert_eq!(with(Err("no journalctl")), unknown);
    // Where the journal alone is read, no file is missing.
    machine.says_one("logpath", "Ok: read: journal:asterisk.service");
}

#[test]
fn logs_that_say_nothing_are_found() {
    let logger = |lines: &str| {
        Machine::new(&[
            ("messages", ""),
            ("logger.conf", &format!("[general]\n[logfiles]\n{lines}")),
        ])
    };
    let said = logger("$DIR/messages => notice\n").says("logger");
    assert!(said[0].starts_with("Ok: NOTICE goes to $DIR/messages"), "{said:?}");
    assert!(said[1].starts_with("Problem: no file gets SECURITY"), "{said:?}");
    let said = logger("$DIR/messages => warning\n").says("logger");
    assert!(said[0].starts_with("Problem: no file gets NOTICE"), "{said:?}");
    let said = logger("syslog.local0 => notice\n").says("logger");
    assert!(said[0].starts_with("Advice: NOTICE goes to syslog"), "{said:?}");
    // Everything in one file, VERBOSE lines too: hearsay.
    let said = logger("$DIR/full => *\n").says("logger");
    assert!(said.iter().all(|said| said.contains("among VERBOSE lines")), "{said:?}");
    let said = logger("$DIR/full => [json]*\n").says("logger");
    assert!(said.iter().all(|said| !said.contains("VERBOSE")), "{said:?}");
    let said = logger("other => notice\n").says("logger");
    assert!(
        said[0].starts_with("Problem: no jail reads what NOTICE goes to: /var/log/asterisk/other"),
        "{said:?}"
    );
    let both = "$DIR/messages => notice,security,verbose(3)\n";
    let said = logger(both).says("logger-files");
    assert!(said[0].starts_with("Problem: $DIR/messages holds VERBOSE lines"), "{said:?}");
    // What can be believed of it stands in another file.
    let spare = "$DIR/messages => notice,verbose\n$DIR/security => [json]notice,security\n";
    let said = logger(spare).says("logger-files");
    assert!(said[0].starts_with("Ok"), "{said:?}");
}

#[test]
fn log_names_are_made_as_asterisk_makes_them() {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let named = Machine::new(&[
        ("asterisk.conf", "[directories]\nastlogdir => $DIR\n"),
        ("logger.conf", "[general]\nappendhostname=yes\n[logfiles]\nmessages => notice,security\n"),
    ]);
    let said = named.says("logger");
    let path = format!("no jail reads what NOTICE goes to: $DIR/messages.{}", host.trim());
    assert!(said[0].contains(&path), "{said:?}");
    // A template is what the sample has; Asterisk ignores it.
    let sample = Machine::new(&[
        ("asterisk.conf", "[directories](!)\nastlogdir => $DIR\n"),
        ("logger.conf", "[logfiles]\nmessages => notice\n"),
    ]);
    assert!(sample.says("logger")[0].contains("/var/log/asterisk/messages"));
}

#[test]
fn dates_and_filters_are_looked_at() {
    let format = |format: &str| {
        Machine::new(&[("logger.conf", &format!("[general]\ndateformat={format}\n[logfiles]\n"))])
    };
    format("%F %T").says_one("dateformat", "Ok: `%F %T`");
    format("pbx").says_one("dateformat", "Advice: no time can be read from `pbx`");
    let mut machine = Machine::new(&[]);
    machine.world.filter = Ok("  1 tenants\n1 channel group currently enabled".to_owned());
    machine.says_one("logger-filter", "Problem: a `logger filter` is set");
    machine.world.filter = Ok("No filtering currently active".to_owned());
    machine.says_one("logger-filter", "Ok");
}

#[test]
fn the_end_of_a_log_tells_of_clocks_and_lost_lines() {
    let now = crate::sys::clock::now();
    let line = |time: Time, text: &str| format!("[{}] WARNING[7] {text}\n", time.secs());
    let fine = line(now, "x.c: y");
    Machine::new(&[("messages", &fine)]).says_one("clock", "Ok");
    Machine::new(&[("messages", &fine)]).says_one("log-queue", "Ok");
    let late = line(Time::from_secs(now.secs() - 7200), "x.c: y");
    let said = Machine::new(&[("messages", &late)]).says("clock");
    assert!(said[0].starts_with("Advice") && said[0].contains("another time zone"), "{said:?}");
    let full = line(now, "logger: Log queue threshold (1000) exceeded.  Discarding new messages.");
    let said = Machine::new(&[("messages", &full.repeat(3))]).says("log-queue");
    assert!(said[0].starts_with("Problem: Asterisk dropped messages 3 times"), "{said:?}");
}

#[test]
fn what_strangers_may_do_is_found() {
    let sip = "[general]\nallowguest=yes\ncontext=public\nalwaysauthreject=no\n\
               [1000]\ntype=friend\nhost=dynamic\nsecret=1000\n\
               [1001]\ntype=friend\nhost=dynamic\n\
               [carrier]\ntype=peer\nhost=192.0.2.5\n";
    let machine = Machine::new(&[("sip.conf", sip)]);
    machine.says_one("guests", "Problem: chan_sip lets calls of strangers into the context public");
    machine.says_one("account-names", "Problem: chan_sip tells attackers");
    let said = machine.says("passwords");
    assert!(said[0].starts_with("Problem: 1 accounts need no password"), "{said:?}");
    assert!(said[0].ends_with("(sip.conf [1001])"), "{said:?}");
    assert!(said[1].ends_with("(sip.conf [1000])"), "{said:?}");
    machine.says_one("acl", "Advice: 2 of 3 accounts may log in from anywhere");
    machine.says_one("rtp-timeout", "Advice: calls of 3 of 3 accounts");
    // A driver that is not loaded lets nobody in.
    let off = Machine::new(&[
        ("sip.conf", sip),
        ("modules.conf", "[modules]\nautoload=yes\nnoload => chan_sip.so\n"),
    ]);
    off.says_one("account-names", "Ok: chan_sip is not in use");
    off.says_one("guests", "Unchecked");
}

#[test]
fn pjsip_is_read_through_its_templates() {
    let pjsip = "[phone](!)\ntype=endpoint\nrtp_timeout=60\n\
                 [1000](phone)\nauth=1000\n[1000]\ntype=auth\nusername=u\npassword=U\n\
                 [open](phone)\n\
                 [trunk](phone)\n[t]\ntype=identify\nendpoint=trunk\nmatch=192.0.2.9\n\
                 [anonymous](phone)\ncontext=from-outside\n";
    let machine = Machine::new(&[("pjsip.conf", pjsip)]);
    let said = machine.says("guests");
    assert!(
        said[0].starts_with("Advice: PJSIP lets calls of strangers into the context from-outside"),
        "{said:?}"
    );
    let said = machine.says("passwords");
    assert!(
        said[0].ends_with("(pjsip.conf [open])") && said[1].ends_with("(pjsip.conf [1000])"),
        "{said:?}"
    );
    machine.says_one("rtp-timeout", "Ok");
    machine.says_one("acl", "Advice: 2 of 3");
    let limited = format!("{pjsip}[all]\ntype=acl\ndeny=0.0.0.0/0\n");
    Machine::new(&[("pjsip.conf", &limited)]).says_one("acl", "Ok");
}

#[test]
fn no_password_is_ever_printed() {
    let machine = Machine::new(&[
        (
            "sip.conf",
            "[general]\n[a]\ntype=friend\nhost=dynamic\nsecret=hunter2\n[hunter3]\ntype=friend\nhost=dynamic\nsecret=Hunter3\n",
        ),
        (
            "pjsip.conf",
            "[b]\ntype=endpoint\nauth=b\n[b]\ntype=auth\nusername=b\npassword=hunter4\n",
        ),
        ("manager.conf", "[general]\nenabled=yes\n[m]\nsecret=hunter5\n"),
        ("iax.conf", "[c]\ntype=friend\nhost=dynamic\nsecret=hunter6\n"),
    ]);
    for (_, check) in CHECKS {
        let said = format!("{:?}", check(&machine.world));
        for secret in ["hunter2", "Hunter3", "hunter4", "hunter5", "hunter6"] {
            assert!(!said.contains(secret), "{said}");
        }
    }
    machine.says_one("manager", "Problem: it listens at 0.0.0.0, and 1 users");
}

fn ruleset(objects: &str) -> Ruleset {
    Ruleset::parse(format!("{{\"nftables\": [{objects}]}}").as_bytes()).unwrap()
}

#[test]
fn other_guards_are_known_by_what_they_leave() {
    let mut machine = Machine::new(&[]);
    machine.world.ruleset = Ok(ruleset(""));
    machine.says_one("other-guards", "Ok");
    machine.world.processes.push("fail2ban-server".to_owned());
    machine.says_one("other-guards", "Advice: fail2ban runs beside this guard");
    machine.world.ruleset = Ok(ruleset(
        r#"{"table": {"family": "inet", "name": "f2b-table"}},
           {"set": {"family": "inet", "table": "f2b-table", "name": "addr-set-asterisk"}},
           {"chain": {"family": "ip", "table": "filter", "name": "fpbxfirewall"}}"#,
    ));
    let said = machine.says("other-guards");
    assert!(said[0].starts_with("Problem: fail2ban runs and bans for Asterisk too"), "{said:?}");
    assert!(said[0].ends_with("(set inet f2b-table addr-set-asterisk)"), "{said:?}");
    assert!(
        said[1].starts_with("Advice: FreePBX's firewall does not run, but its rules"),
        "{said:?}"
    );
}

#[test]
fn tables_are_judged_by_their_order() {
    let ours = r#"{"table": {"family": "inet", "name": "asterguard"}},
        {"chain": {"family": "inet", "table": "asterguard", "name": "prerouting", "hook": "prerouting", "prio": -300, "policy": "accept"}},
        {"rule": {"family": "inet", "table": "asterguard", "chain": "prerouting", "handle": 1, "expr": [{"drop": null}]}}"#;
    let other = |priority: i64, verdict: &str| {
        format!(
            r#"{{"chain": {{"family": "ip", "table": "t", "name": "c", "hook": "prerouting", "prio": {priority}, "policy": "accept"}}}},
            {{"rule": {{"family": "ip", "table": "t", "chain": "c", "handle": 1, "expr": [{{"{verdict}": null}}]}}}}"#
        )
    };
    let mut machine = Machine::new(&[]);
    machine.says_one("table", "Unchecked: not permitted");
    machine.world.ruleset = Ok(ruleset(""));
    machine.says_one("table", "Advice: it is not there");
    machine.world.ruleset = Ok(ruleset(ours));
    machine.says_one("table", "Ok");
    machine.says_one("table-order", "Ok");
    // The limiter's chain is at the same hook, and stands first in the listing after a heal.
    let limiter = |rules: &str| {
        format!(
            r#"{{"chain": {{"family": "inet", "table": "asterguard", "name": "limiter_input", "hook": "prerouting", "prio": -299, "policy": "accept"}}}},
            {rules}{ours}"#
        )
    };
    let drops = r#"{"rule": {"family": "inet", "table": "asterguard", "chain": "limiter_input", "handle": 9, "expr": [{"drop": null}]}},"#;
    machine.world.ruleset = Ok(ruleset(&limiter("")));
    machine.says_one("table", "Ok");
    let flushed = limiter(drops);
    let (flushed, _) = flushed.rsplit_once(",\n").unwrap();
    machine.world.ruleset = Ok(ruleset(flushed));
    machine.says_one("table", "Problem: its chain has no rules");
    for (priority, verdict, expected) in
        [(-400, "drop", "Advice"), (-400, "accept", "Ok"), (-200, "drop", "Ok")]
    {
        machine.world.ruleset = Ok(ruleset(&format!("{ours},{}", other(priority, verdict))));
        machine.says_one("table-order", expected);
    }
    machine.world.ruleset =
        Ok(ruleset(r#"{"flowtable": {"family": "inet", "name": "fast", "table": "t"}}"#));
    machine.says_one("table-order", "Advice: a flow table takes");
    machine.world.nft = Ok("nftables v0.9.0 (Fearless Fosdick)".to_owned());
    machine.says_one("nft", "Advice");
    machine.world.nft = Err("there is no `nft` here".to_owned());
    machine.says_one("nft", "Problem: there is no `nft` here");
    machine.world.kernel = Some("5.4.0-1\n".to_owned());
    machine.says_one("kernel", "Problem");
}

#[test]
fn versions_that_drop_what_is_read_first_are_named() {
    let mut machine = Machine::new(&[("logger.conf", LOGGER)]);
    machine.says_one("logger-limit", "Unchecked: 1000 messages wait at most; which are dropped");
    machine.world.version = Ok("Asterisk 22.11.0".to_owned());
    machine.says_one("logger-limit", "Advice: in a flood, Asterisk 22.11 drops NOTICE");
    let mut status = status(60, &jail(0, 0, 0));
    "listening".clone_into(&mut status.wire.state);
    machine.world.status = Ok(status);
    machine.says_one("logger-limit", "Ok: 1000 messages");
    let few = LOGGER.replace("[general]\n", "[general]\nlogger_queue_limit = 250\n");
    let mut machine = Machine::new(&[("logger.conf", &few)]);
    machine.world.version = Ok("Asterisk 22.10.0".to_owned());
    machine.says_one("logger-limit", "Advice: only 250 messages wait");
}

#[test]
fn events_that_the_manager_leaves_out_are_named() {
    let says = |text: &str| Machine::new(&[("manager.conf", text)]).says("manager-events");
    let on = "[general]\nenabled = yes\n";
    assert_eq!(
        says("[general]\nenabled = no\ndisabledevents = FailedACL\n"),
        ["Ok: it is switched off"]
    );
    let said =
        says(&format!("{on}disabledevents = Newexten, invalidpassword\n[x]\nread = security\n"));
    assert_eq!(
        said,
        ["Advice: `disabledevents` leaves out InvalidPassword for all users ($DIR/manager.conf)"]
    );
    let said = says(&format!(
        "{on}[a]\nread=call\neventfilter=x\n[b]\nread=call,security\neventfilter=!Event: x\n"
    ));
    assert!(said.len() == 1 && said[0].contains("for 1 user:"), "{said:?}");
    assert!(said[0].ends_with("(manager.conf [b])"), "{said:?}");
    assert_eq!(says(on), ["Ok: it leaves out no event about logins"]);
}

#[test]
fn refusals_of_iax_that_nobody_sees_are_named() {
    let mut machine = Machine::new(&[("iax.conf", "[general]\nport = 4569\n")]);
    machine.says_one("iax-authdebug", "Advice: refused registrations over IAX2 are not logged");
    let mut status = status(60, &jail(0, 0, 0));
    "listening".clone_into(&mut status.wire.state);
    machine.world.status = Ok(status);
    machine.says_one("iax-authdebug", "Ok: refused registrations over IAX2 are not logged, and");
    let logged = [("iax.conf", "[general]\nauthdebug = yes\n")];
    Machine::new(&logged).says_one("iax-authdebug", "Ok: refused");
    let none = [("modules.conf", "[modules]\nautoload=yes\nnoload=chan_iax2.so\n")];
    Machine::new(&none).says_one("iax-authdebug", "Ok: chan_iax2 is not in use");
}

#[test]
fn trunks_that_could_be_banned_are_named() {
    let pjsip =
        "[carrier]\ntype=identify\nmatch=203.0.113.1\n[world]\ntype=identify\nmatch=0.0.0.0/0\n";
    let said = Machine::new(&[("pjsip.conf", pjsip)]).says("trunks");
    assert!(said[0].starts_with("Advice: 0.0.0.0/0 of the trunk world"), "{said:?}");
    assert!(said[1].starts_with("Ok: 1 addresses"), "{said:?}");
    let off = Machine::with_config(&[("pjsip.conf", pjsip)], "trunks = false");
    let said = off.says("trunks");
    assert!(said[1].starts_with("Problem: trunks can be banned: carrier"), "{said:?}");
}

#[test]
fn lists_that_nothing_fetches_are_told() {
    let none = Machine::with_config(&[], "[feed.own]\npath = '/x'");
    assert_eq!(none.says("feeds"), ["Ok: no feed has a url"]);
    let mut machine = Machine::with_config(&[], "[feed.drop]\nurl = 'https://lists.example.com/'");
    let mut says = |timer: Option<bool>| {
        machine.world.fetch_timer = timer;
        machine.says("feeds").remove(0)
    };
    assert!(says(Some(true)).starts_with("Ok: asterguard-fetch.timer fetches drop"));
    let off = says(Some(false));
    assert!(
        off.starts_with("Problem: nothing fetches drop: asterguard-fetch.timer is off"),
        "{off}"
    );
    assert!(says(None).starts_with("Unchecked: there is no systemd here"));
}

/// Returns the status of a guard with one jail, as the daemon tells it.
fn status(uptime: u64, jail: &str) -> Status {
    let jail = format!(
        r#"{{"jail":"asterisk-scan","mode":"enforce","currently_failed":0,"ignored":0,"excused":0,"withheld":0,
        "last_failed":null,"files":[],"currently_banned":0,"banned":[],{jail}}}"#
    );
    let text = format!(
        r#"{{"answer":"status","health":"OK","problems":[],"version":"0","pid":1,"uptime":{uptime},"dry_run":false,
        "paused_until":null,"jails":[{jail}],"sources":[],"never_banned":{{}},"queue":0,"sinks":[],
        "logins":{{"last":null,"ago":null,"host":null,"lately":0,"banned":0,"banned_hosts":[]}}}}"#
    );
    match serde_json::from_str(&text).unwrap() {
        Answer::Status(status) => *status,
        other => panic!("{other:?}"),
    }
}

/// Returns the counts of a jail.
fn jail(failed: u64, banned: u64, hearsay: u64) -> String {
    format!(r#""total_failed":{failed},"total_banned":{banned},"hearsay":{hearsay}"#)
}

#[test]
fn jails_without_effect_are_named() {
    let mut machine = Machine::new(&[]);
    for (uptime, failed, banned, hearsay, expected) in [
        (3600, 0, 0, 0, "Ok"),
        (90_000, 0, 0, 0, "Advice: not one attempt in 1d 1h"),
        (3600, 24_500, 0, 0, "Problem: 24500 attempts and not one ban"),
        (3600, 24_500, 1, 0, "Ok"),
        (3600, 0, 0, 500, "Problem: 500 attempts, and all of them hearsay"),
    ] {
        machine.world.status = Ok(status(uptime, &jail(failed, banned, hearsay)));
        machine.says_one("jails", expected);
    }
    machine.says_one("daemon", "Ok: pid 1");
}

#[test]
fn one_setting_is_told_once_for_all_jails() {
    let mut machine = Machine::new(&[]);
    let mut status = status(3600, &jail(0, 0, 0));
    status.jails[0].mode = Mode::Observe;
    machine.world.status = Ok(status.clone());
    machine.says_one("jails", "Advice: it observes and bans nobody");
    status.jails.push(status.jails[0].clone());
    machine.world.status = Ok(status.clone());
    machine.says_one("jails", "Advice: all jails observe: nobody is banned");
    status.jails[1].mode = Mode::Enforce;
    machine.world.status = Ok(status);
    machine.says_one("jails", "Advice: it observes and bans nobody");
}

const PJSIP: &str = "[u]\ntype=transport\nprotocol=udp\nbind=0.0.0.0:5160\n\
                     [t]\ntype=transport\nprotocol=tls\nbind=0.0.0.0:5161\n";

#[test]
fn ports_are_told_with_where_they_are_opened() {
    let mut machine = Machine::new(&[("pjsip.conf", PJSIP)]);
    machine.says_one("ports", "Unchecked: nobody listens at 5160/udp ($DIR/pjsip.conf), 5161/tls");
    let listener = Listener {
        protocol: Protocol::Udp,
        address: std::net::Ipv4Addr::UNSPECIFIED.into(),
        port: 5160,
        uid: 101,
    };
    machine.world.sockets = Ok(vec![listener]);
    let said = machine.says("ports");
    assert_eq!(said[0], "Ok: SIP at 5160/udp ($DIR/pjsip.conf)", "{said:#?}");
    assert!(said[1].starts_with("Unchecked: nobody listens at 5161/tls"), "{said:#?}");
    machine.world.sockets = Err("not permitted".to_owned());
    machine.says_one("ports", "Unchecked: SIP at 5160/udp");
}

#[test]
fn a_service_at_other_ports_than_the_configured_is_a_problem() {
    let name = "service-ports";
    Machine::new(&[]).says_one(name, "Ok: no jail guards a service beside Asterisk");
    let on = "[jail.sshd]\nenabled = true\n[jail.postfix-sasl]\nenabled = true\n[ports]\nssh = [22, '2200-2210']";
    let mut machine = Machine::with_config(&[], on);
    let listener = |port| Listener {
        protocol: Protocol::Tcp,
        address: std::net::Ipv4Addr::UNSPECIFIED.into(),
        port,
        uid: 0,
    };
    machine.world.sockets = Ok(vec![listener(25), listener(2222)]);
    let said = machine.says(name);
    assert!(said[0].starts_with("Ok: mail at 25"), "{said:#?}");
    assert_eq!(
        said[1],
        "Problem: nothing listens at TCP port 22, 2200-2210: no line about ssh counts, and a ban closes the wrong ports \
         (`ssh` below [ports])"
    );
    machine.world.sockets = Ok(vec![listener(25), listener(2205)]);
    assert_eq!(machine.says(name)[1], "Ok: ssh at 22, 2200-2210");
    machine.world.sockets = Err("not permitted".to_owned());
    machine.says_one(name, "Unchecked: not permitted");
}

#[test]
fn hep_is_recommended_where_asterisk_speaks_what_cannot_be_read() {
    let udp = PJSIP.split_once("[t]").unwrap().0;
    Machine::new(&[]).says_one("hep", "Unchecked: there is no chan_pjsip here");
    Machine::new(&[("pjsip.conf", udp)]).says_one("hep", "Ok: it is off");
    let machine = Machine::new(&[("pjsip.conf", PJSIP)]);
    machine.says_one("hep", "Advice: it is off: what comes by TLS or WebSocket (ports 5161)");
    let change = sip_sources::hep(&machine.world)[0].change.clone().unwrap();
    assert!(change.contains("capture_address = 127.0.0.1:9060") && change.contains("uuid_type"));
}

#[test]
fn hep_that_does_not_work_is_found() {
    let says = |hep: &str, modules: &str| {
        let files = [("pjsip.conf", PJSIP), ("hep.conf", hep), ("modules.conf", modules)];
        Machine::new(&files).says("hep")
    };
    let (general, all) = ("[general]\nenabled=yes\n", "[modules]\nautoload=yes\n");
    let sound = format!("{general}capture_address=127.0.0.1:9060\ncapture_password=x\n");
    assert_eq!(says(&sound, all), ["Ok: Asterisk sends to 127.0.0.1:9060"]);
    let said = says(general, all);
    assert!(said[0].starts_with("Problem: capture_address is no address"), "{said:#?}");
    assert!(said[1].starts_with("Advice: there is no capture_password"), "{said:#?}");
    let said = says(&format!("{general}capture_address=homer:9060\n"), all);
    assert!(said[0].starts_with("Problem: capture_address is the name homer"), "{said:#?}");
    let said = says(&sound, "[modules]\nautoload=yes\nnoload=res_hep.so\n");
    assert_eq!(said[1], "Problem: Asterisk does not load res_hep ($DIR/modules.conf)");
}

#[test]
fn wire_that_is_not_there_is_a_problem() {
    let mut machine = Machine::new(&[]);
    machine.says_one("wire", "Unchecked: no guard runs");
    let mut status = status(60, &jail(0, 0, 0));
    for (state, trouble, expected) in [
        ("listening", None, "Ok: listening, 0 answers"),
        ("listening over UDP only", Some("@ih"), "Advice: listening over UDP only: @ih"),
        ("off", None, "Advice: off: only the logs are seen ([wire])"),
    ] {
        status.wire.state = state.to_owned();
        status.wire.trouble = trouble.map(str::to_owned);
        machine.world.status = Ok(status.clone());
        machine.says_one("wire", expected);
    }
}
