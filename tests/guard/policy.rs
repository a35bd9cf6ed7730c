//! What follows from what is known: sites that log in well, and floods of forged packets.

use crate::kit::guard::Guard;
use crate::kit::{self, Netns};
use crate::{
    CONFIG, addresses, large_packet_line, odd_packet, record, wrong_password, wrong_password_line,
};

const OFFICE: &str = "203.0.113.7";

fn config() -> String {
    CONFIG
        .replace("filter = \"asterisk-sip\"", "filter = \"asterisk-*\"")
        .replace("[\"$DIR/messages\"]", "[\"$DIR/messages\", \"$DIR/security\"]")
}

/// A SECURITY event of `chan_pjsip`, as Asterisk 22 writes it.
fn event(name: &str, severity: &str, account: &str, transport: &str, rest: &str) -> String {
    format!(
        "[2026-11-22 01:12:24] SECURITY[13181] res_security_log.c: SecurityEvent=\"{name}\",\
         EventTV=\"2026-11-22T01:12:24.659+0000\",Severity=\"{severity}\",Service=\"PJSIP\",\
         EventVersion=\"1\",AccountID=\"{account}\",SessionID=\"4f9a{account}\",\
         LocalAddress=\"IPV4/{transport}/192.0.2.10/5060\",\
         RemoteAddress=\"IPV4/{transport}/{OFFICE}/5071\"{rest}"
    )
}

fn login(account: &str) -> String {
    event("SuccessfulAuth", "Informational", account, "UDP", ",UsingPassword=\"1\"")
}

/// What one failed login leaves in both logs.
fn failure(account: &str, transport: &str) -> (String, String) {
    let notice = format!(
        "[2026-11-22 01:12:24] NOTICE[13171] res_pjsip/pjsip_distributor.c: Request 'REGISTER' from \
         '<sip:{account}@192.0.2.10>' failed for '{OFFICE}:5071' (callid: 4f9a{account}) - Failed to \
         authenticate"
    );
    let rest = ",Challenge=\"1795310188/ece7\",Response=\"8e18d5a3\",ExpectedResponse=\"\"";
    (notice, event("ChallengeResponseFailed", "Error", account, transport, rest))
}

#[test]
fn phones_with_an_old_password_are_reported_not_banned() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, &config());
    let phones: Vec<_> = (0..30).map(|n| format!("10{n:02}")).collect();
    guard.append("security", &phones.iter().map(|phone| record(&login(phone))).collect::<Vec<_>>());
    kit::until("the logins are read", || guard.status()["sources"][1]["lines"] == 30);
    // Some over UDP, some over TLS, several times, in both logs.
    for transport in ["UDP", "TLS", "UDP"] {
        let (notices, events): (Vec<_>, Vec<_>) =
            phones.iter().map(|phone| failure(phone, transport)).unzip();
        guard.append("messages", &notices);
        let events: Vec<_> = events.iter().map(|event| record(event)).collect();
        guard.append("security", &events);
    }
    // The notices are hearsay, the events are excused.
    kit::until("all is read", || {
        let jail = guard.jail("asterisk-guess");
        (&jail["excused"], &jail["hearsay"]) == (&90.into(), &90.into())
    });
    assert_eq!(guard.count("] Ban "), 0, "{:#?}", guard.log_lines());
    assert_eq!(guard.jail("asterisk-guess")["total_failed"], 0);

    // Somebody in that office guesses at an account that is not of there: over TLS that is proof.
    guard.append("security", &vec![record(&failure("2000", "TLS").1); 5]);
    guard.says(&format!("[asterisk-guess] Ban {OFFICE}"));
    // The others go on: it is that phone's port that is shut out.
    let ports = || netns.exec("nft list set inet asterguard sip_flow4");
    kit::until("it is shut out", || ports().contains(&format!("{OFFICE} . ")));
    assert!(addresses(&netns, "sip4").is_empty());
}

#[test]
fn forged_flood_raises_one_alarm_and_spares_no_attacker() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, &config());
    let host = |n: u32| std::net::Ipv4Addr::from(0x0b00_0000 + n).to_string();
    let lines = |from: u32, to: u32| -> Vec<String> {
        (from..to).flat_map(|n| vec![odd_packet(&host(n)); 3]).collect()
    };
    guard.append("messages", &lines(0, 10_000));
    guard.append("messages", &vec![wrong_password("198.51.100.9"); 5]);
    guard.append("messages", &lines(10_000, 20_000));
    kit::until("all is read", || guard.status()["sources"][0]["lines"] == 60_005);
    let ours = |address: &String| address.starts_with("11.");
    kit::until("the bans are in force", || addresses(&netns, "sip4").len() == 101);
    assert_eq!(addresses(&netns, "sip4").iter().filter(|address| ours(address)).count(), 100);
    assert!(addresses(&netns, "sip4").contains(&"198.51.100.9".to_owned()));

    assert_eq!(guard.count("source addresses are being forged"), 1);
    assert_eq!(guard.count("] Ban "), 101);
    let status = guard.status();
    assert_eq!(status["health"], "DEGRADED");
    let problem = status["problems"][0].as_str().unwrap();
    assert!(problem.contains("19900 unverified bans by the logs were withheld"), "{problem}");
    assert_eq!(guard.jail("asterisk-scan")["withheld"], 19_900);
    assert!(guard.order(&["status"]).contains("! since "), "for people too");
}

/// `full`, where callers can write whatever they like: nothing of it is believed, unless somebody says
/// so. A login is not believed even then.
#[test]
fn hearsay_counts_where_it_is_told_to() {
    if !kit::usable() {
        return;
    }
    let verbose = "[2026-11-22 01:12:20] VERBOSE[1] pbx.c: Executing [s@default:1]".to_owned();
    let lines = [
        vec![verbose],
        vec![login("1000")],
        vec![failure("1000", "TLS").1; 5],
        vec![wrong_password_line("198.51.100.9"); 5],
    ]
    .concat();
    for (hearsay, banned) in [("ignore", vec![]), ("count", vec!["198.51.100.9", OFFICE])] {
        let netns = Netns::new();
        let config = config().replace("[default]", &format!("[default]\nhearsay = '{hearsay}'"));
        let guard = Guard::start(&netns, &config);
        guard.append("messages", &lines);
        kit::until("all is read", || guard.status()["sources"][0]["lines"] == 12);
        assert_eq!(guard.status()["sources"][0]["free_text"], true);
        kit::until("the bans are in force", || addresses(&netns, "sip4") == banned);
        for host in &banned {
            assert!(guard.says(&format!("] Ban {host} ")).contains("5 offences, unverified"));
        }
        // Told which rules they are of, whether they count or not.
        let status = guard.order(&["status"]);
        assert!(status.contains("    hearsay: 5 × asterisk-sip/wrong-password\n"), "{status}");
    }
}

/// What a jail in observe mode would do is counted and listed, until it is let.
#[test]
fn observing_is_seen_for_what_it_is() {
    const EVE: &str = "198.51.100.14";
    const MALLORY: &str = "198.51.100.15";
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let config = CONFIG.replace("[default]\n", "[default]\nmode = \"observe\"\n");
    let guard = Guard::start(&netns, &config);
    let first_line = || guard.order(&["status"]).lines().next().unwrap().to_owned();
    assert!(first_line().starts_with("OK, observing only: 0 would be banned, 0 hosts banned; "));
    assert!(guard.order(&["banned", "--observe"]).starts_with("nobody would be banned"));

    guard.append("messages", &vec![wrong_password(EVE); 7]);
    guard.says(&format!("[asterisk-guess] Would ban {EVE}"));
    kit::until("all is read", || guard.jail("asterisk-guess")["total_failed"] == 7);
    assert!(first_line().starts_with("OK, observing only: 1 would be banned, 0 hosts banned; "));
    let jail = guard.jail("asterisk-guess");
    assert_eq!((&jail["currently_observed"], &jail["total_observed"]), (&1.into(), &1.into()));
    let listed = guard.order(&["banned", "--observe"]);
    assert!(listed.contains(&format!("\n{EVE}  asterisk-guess  sip    9m ")), "{listed}");
    assert_eq!(guard.order(&["banned"]), "nobody is banned\n");
    let explained = guard.order(&["explain", EVE]);
    assert!(explained.contains("  would be banned [asterisk-guess] "), "{explained}");
    assert!(explained.contains("(the jail only observes)"), "{explained}");
    assert!(addresses(&netns, "sip4").is_empty());

    // One jail is let: what it would have done is past, what the others would do is not.
    guard.append("messages", &vec![record(&large_packet_line(MALLORY)); 3]);
    guard.says(&format!("[asterisk-scan] Would ban {MALLORY}"));
    guard.write("conf.d/a.toml", "[jail.asterisk-guess]\nmode = \"enforce\"\n");
    guard.order(&["reload"]);
    let line = first_line();
    assert!(
        line.starts_with("OK: 0 hosts banned, 1 more would be by 12 observing jails; "),
        "{line}"
    );
    guard.append("messages", &vec![wrong_password(EVE); 5]);
    guard.says(&format!("[asterisk-guess] Ban {EVE}"));
    kit::until("it is banned", || addresses(&netns, "sip4") == [EVE]);
}
