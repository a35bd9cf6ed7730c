//! The geofence: hosts of some countries do not reach the SIP ports, except those that come first.

use std::fs;

use mmdb_writer::{Value, Writer};
use serde_json::Value as Json;

use crate::kit::Fate::{Arrived, Dropped};
use crate::kit::guard::{Guard, Home, PROGRAM};
use crate::kit::{self, EVE, EVE_V6, Lab, MALLORY, MALLORY_V6, SIP, WEB};
use crate::{CONFIG, elements, login_line};

/// Writes a database in which these networks are in these countries, as its owner does: under another name, then
/// renamed.
fn write_places(home: &Home, networks: &[(&str, &str)]) {
    let mut writer = Writer::new("Test");
    for (network, country) in networks {
        let record = Value::map([("country", Value::map([("iso_code", Value::from(*country))]))]);
        writer.insert_value(network.parse::<ipnet::IpNet>().unwrap(), record).unwrap();
    }
    fs::write(home.path("new"), writer.to_bytes().unwrap()).unwrap();
    fs::rename(home.path("new"), home.path("places.mmdb")).unwrap();
}

/// The attackers' networks, and others.
const PLACES: [(&str, &str); 4] = [
    ("192.0.2.0/24", "RU"),
    ("198.51.100.0/24", "DE"),
    ("2001:db8::/32", "CN"),
    ("2a00::/32", "DE"),
];

fn config(countries: &str) -> String {
    let all = CONFIG.replace("\"asterisk-sip\"", "\"asterisk-*\"");
    format!(
        "asteriskconf = \"$DIR/asterisk\"\n{all}\n[geoip]\nfiles = [\"$DIR/places.mmdb\"]\n[lists]\n{countries}\n"
    )
}

fn start(lab: &Lab, countries: &str, places: &[(&str, &str)]) -> Guard {
    let home = Home::new(&config(countries));
    fs::create_dir(home.path("asterisk")).unwrap();
    // MALLORY is a trunk.
    home.write("asterisk/pjsip.conf", &format!("[provider]\ntype=identify\nmatch={MALLORY}\n"));
    write_places(&home, places);
    let run = home.run(lab.pbx.command(PROGRAM));
    Guard::start_in(home, run)
}

fn change(guard: &Guard, countries: &str) {
    let home = guard.path("").display().to_string();
    let home = home.trim_end_matches('/');
    guard.write("asterguard.toml", &config(countries).replace("$DIR", home));
    guard.order(&["reload"]);
}

fn fence(guard: &Guard) -> Json {
    serde_json::from_str(&guard.order(&["list", "countries", "--json"])).unwrap()
}

#[test]
fn a_denied_country_is_observed_first_and_then_dropped_but_for_those_that_come_first() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let guard = start(&lab, "countries = { deny = [\"RU\", \"CN\"] }", &PLACES);
    // Observed: nothing is dropped, and what would be is told.
    for host in [EVE, EVE_V6, MALLORY] {
        assert_eq!(lab.udp(host, SIP), Arrived, "{host}");
    }
    assert_eq!(lab.tcp(EVE, SIP), Arrived);
    let told = fence(&guard);
    assert_eq!((&told["action"], &told["mode"]), (&"deny".into(), &"observe".into()));
    assert_eq!((&told["networks"], &told["packets"]), (&2.into(), &3.into()), "{told}");
    assert_eq!(told["lately"][0], serde_json::json!({"country": "RU", "hosts": 1, "packets": 2}));
    assert_eq!(told["hosts"][0]["host"], EVE);
    let text = guard.order(&["list", "countries"]);
    assert!(
        text.starts_with(
            "deny CN, RU (2 networks, observed only)\n3 packets would have been dropped\n"
        ),
        "{text}"
    );
    let text = guard.order(&["explain", EVE]);
    assert!(text.contains("would be dropped at the SIP ports by the geofence"), "{text}");

    // An account logs in from a denied country. Then it is enforced.
    guard.append("messages", &[login_line(EVE)]);
    kit::until("it is let through", || elements(&lab.pbx, "known4").len() == 1);
    change(&guard, "countries = { deny = [\"RU\", \"CN\"], mode = \"enforce\" }");
    for (host, fate) in
        [(EVE, Arrived), (MALLORY, Arrived), (EVE_V6, Dropped), (MALLORY_V6, Dropped)]
    {
        assert_eq!(lab.udp(host, SIP), fate, "{host}");
        assert_eq!(lab.tcp(host, SIP), fate, "{host}");
        assert_eq!(lab.udp(host, WEB), Arrived, "only the SIP ports: {host}");
    }
    let text = guard.order(&["explain", MALLORY_V6]);
    assert!(text.contains("  dropped at the SIP ports by the geofence: its network"), "{text}");
    for host in [EVE, MALLORY] {
        assert!(!guard.order(&["explain", host]).contains("geofence"), "{host}");
    }
    assert_eq!(fence(&guard)["packets"], 4);
    assert!(guard.order(&["status"]).contains("  geofence: deny CN, RU (2 networks)\n"));

    // The table is lost: all of it comes back, with the host that is known.
    lab.pbx.exec("nft flush ruleset");
    guard.says("networks are in the kernel again");
    kit::until("it drops again", || lab.udp(EVE_V6, SIP) == Dropped);
    assert_eq!((lab.udp(EVE, SIP), lab.udp(MALLORY, SIP)), (Arrived, Arrived));

    // Taken out, it is gone.
    change(&guard, "");
    assert_eq!(lab.udp(EVE_V6, SIP), Arrived);
    assert_eq!(guard.order(&["list", "countries"]), "there is no geofence\n");
    assert_eq!(lab.pbx.exec("nft list sets inet").matches("set list_").count(), 0);
}

#[test]
fn an_allow_list_follows_its_database_and_a_bad_file_locks_nobody_out() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let countries = "countries = { allow = [\"DE\"], mode = \"enforce\" }";
    // Of IPv6, this database knows nothing.
    let guard = start(&lab, countries, &[("192.0.2.0/24", "DE"), ("198.51.100.0/24", "RU")]);
    assert_eq!((lab.udp(EVE, SIP), lab.udp(EVE_V6, SIP)), (Arrived, Arrived));
    assert_eq!(guard.status()["health"], "OK");

    // Replaced: the country of EVE is another one.
    write_places(&guard, &PLACES);
    kit::until("the new database is used", || lab.udp(EVE, SIP) == Dropped);
    assert_eq!(lab.udp(EVE_V6, SIP), Dropped);
    assert_eq!((lab.udp(MALLORY, SIP), lab.tcp(MALLORY, SIP)), (Arrived, Arrived));
    let outside = format!("{EVE} is outside: allow DE (2 networks)\n");
    kit::until("it is told, too", || {
        let (code, out, _) = guard.ctl(&["list", "countries", EVE]);
        code == 0 && out == outside
    });
    assert_eq!(guard.ctl(&["list", "countries", "198.51.100.9"]).0, 9);
    assert_eq!(guard.ctl(&["list", "countries", "10.0.0.1"]).0, 9, "no country has it");

    // Damaged, or without the countries: what it said before stays, and that is said.
    for (damage, words) in [
        (None, "what it said before is used"),
        (
            Some([("203.0.113.0/24", "FR")]),
            "know no network of these countries; the networks before",
        ),
    ] {
        match damage {
            None => fs::write(guard.path("places.mmdb"), "no database").unwrap(),
            Some(places) => write_places(&guard, &places),
        }
        guard.order(&["reload"]);
        assert!(
            guard.status()["problems"].to_string().contains(words),
            "{}",
            guard.status()["problems"]
        );
        assert_eq!((lab.udp(EVE, SIP), lab.udp(MALLORY, SIP)), (Dropped, Arrived));
    }

    // A guard that starts with such a file has no geofence, and lets everybody through.
    let home = guard.stop();
    let run = home.run(lab.pbx.command(PROGRAM));
    let guard = Guard::start_in(home, run);
    assert_eq!(lab.udp(EVE, SIP), Arrived);
    let problems = guard.status()["problems"].to_string();
    assert!(problems.contains("so there is no geofence"), "{problems}");
    assert!(guard.order(&["status"]).contains("  geofence: allow DE (off)\n"));
}
