//! Where hosts are: in listings, events and the log, from files that are replaced and damaged.

use std::fs;

use mmdb_writer::{Value, Writer};
use serde_json::{Value as Json, json};

use crate::kit::guard::{Guard, Home};
use crate::kit::{self, EVE, Netns};
use crate::{CONFIG, wrong_password};

/// Writes a database in which all of IPv4 is in this country, as its owner does: under another name, then renamed.
fn is_in(home: &Home, country: &str) {
    let mut writer = Writer::new("Test");
    let record = Value::map([
        ("country", Value::map([("iso_code", Value::from(country))])),
        ("autonomous_system_number", Value::from(64_496_u32)),
        ("autonomous_system_organization", Value::from("Evil \u{1b}[31m<b>Hosting")),
    ]);
    writer.insert_value("0.0.0.0/0".parse::<ipnet::IpNet>().unwrap(), record).unwrap();
    fs::write(home.path("new"), writer.to_bytes().unwrap()).unwrap();
    fs::rename(home.path("new"), home.path("places.mmdb")).unwrap();
}

fn banned(guard: &Guard) -> Json {
    serde_json::from_str(&guard.order(&["banned", "--json"])).unwrap()
}

fn problems(guard: &Guard) -> Vec<Json> {
    let status = guard.status();
    let checks = status["checks"].as_array().unwrap().iter();
    checks
        .filter(|check| check["check"] == "geoip" && check["state"] == "problem")
        .cloned()
        .collect()
}

#[test]
fn a_country_is_said_wherever_a_host_is() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let home = Home::new(&format!("{CONFIG}\n[geoip]\nfiles = [\"$DIR/places.mmdb\"]\n"));
    is_in(&home, "NL");
    let run = home.run(netns.command(kit::guard::PROGRAM));
    let guard = Guard::start_in(home, run);
    guard.append("messages", &vec![wrong_password(EVE); 5]);
    guard.says(&format!("Ban {EVE}"));
    let ban = banned(&guard);
    assert_eq!((&ban["country"], &ban["asn"]), (&json!("NL"), &json!(64_496)), "{ban}");
    assert_eq!(ban["organisation"], "Evil [31m<b>Hosting", "without the control character");
    let table = guard.order(&["banned"]);
    assert!(table.starts_with("HOST") && table.contains("CC") && table.contains(" NL "), "{table}");
    assert!(table.contains("  AS64496 Evil [31m<b>Hosting\n"), "{table}");
    let report = guard.order(&["explain", EVE]);
    assert!(report.contains("\n  in NL, AS64496 Evil [31m<b>Hosting\n"), "{report}");
    assert_eq!(problems(&guard), [Json::Null; 0]);

    // What is damaged changes nothing, and is said.
    fs::write(guard.path("places.mmdb"), "no database").unwrap();
    guard.order(&["reload"]);
    let found = problems(&guard);
    assert!(
        found[0]["seen"].as_str().unwrap().ends_with("what it said before is used"),
        "{found:?}"
    );
    assert_eq!(banned(&guard)["country"], "NL");
    // A new one is used by itself.
    is_in(&guard, "SE");
    kit::until("the new file is used", || banned(&guard)["country"] == "SE");
    assert_eq!(problems(&guard), [Json::Null; 0]);
}
