use std::fs;

use mmdb_writer::{Value, Writer};

use super::*;

/// Writes a database with these networks and their records.
fn database(path: &Path, records: &[(&str, Value)]) {
    let mut writer = Writer::new("Test");
    for (network, record) in records {
        writer.insert_value(network.parse::<ipnet::IpNet>().unwrap(), record.clone()).unwrap();
    }
    fs::write(path, writer.to_bytes().unwrap()).unwrap();
}

fn country_of(code: &str) -> Value {
    Value::map([("country", Value::map([("iso_code", Value::from(code))]))])
}

fn place(databases: &Databases, host: &str) -> String {
    databases.place(host.parse().unwrap()).to_string()
}

#[test]
fn the_fields_of_the_usual_databases_are_known() {
    let home = tempfile::tempdir().unwrap();
    let [maxmind, ipinfo] = ["country.mmdb", "asn.mmdb"].map(|name| home.path().join(name));
    database(&maxmind, &[("198.18.0.0/15", country_of("NL")), ("2a00::/12", country_of("de"))]);
    database(
        &ipinfo,
        &[
            (
                "198.18.5.0/24",
                Value::map([
                    ("asn", Value::from("AS64496")),
                    ("as_name", Value::from("Bad\u{1b}[31m Hosts")),
                    ("country_code", Value::from("RU")),
                ]),
            ),
            (
                "198.18.6.0/24",
                Value::map([
                    ("autonomous_system_number", Value::from(64_497_u32)),
                    ("autonomous_system_organization", Value::from("x".repeat(5000))),
                ]),
            ),
        ],
    );
    let databases = Databases::open(&[maxmind, ipinfo]);
    assert_eq!(databases.problems().count(), 0);
    assert_eq!(place(&databases, "198.18.5.1"), "NL, AS64496 Bad[31m Hosts", "the first file wins");
    let long = place(&databases, "198.18.6.1");
    assert_eq!(long, format!("NL, AS64497 {}", "x".repeat(LONGEST_NAME)));
    assert_eq!(place(&databases, "::ffff:198.18.9.9"), "NL");
    assert_eq!(place(&databases, "2a00::1"), "DE");
    assert_eq!(place(&databases, "192.0.2.1"), "");
}

#[test]
fn a_file_that_is_replaced_is_read_again_and_a_broken_one_is_not_used() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("country.mmdb");
    let files = [path.clone()];
    let shared = SharedDatabases::default();
    assert!(shared.refresh(&files));
    assert!(shared.get().is_empty());
    assert!(
        shared.get().problems().next().unwrap().ends_with("No such file or directory (os error 2)")
    );

    database(&path, &[("198.18.0.0/15", country_of("NL"))]);
    assert!(shared.refresh(&files));
    assert_eq!(place(&shared.get(), "198.18.0.1"), "NL");
    assert!(!shared.refresh(&files), "nothing has changed");

    fs::write(&path, "<html>no database</html>").unwrap();
    assert!(shared.refresh(&files));
    assert_eq!(place(&shared.get(), "198.18.0.1"), "NL");
    assert!(shared.get().problems().next().unwrap().ends_with("; what it said before is used"));

    let new = home.path().join("new");
    database(&new, &[("198.18.0.0/15", country_of("SE"))]);
    fs::rename(&new, &path).unwrap();
    assert!(shared.refresh(&files));
    assert_eq!(place(&shared.get(), "198.18.0.1"), "SE");
    assert_eq!(shared.get().problems().count(), 0);
    assert!(shared.refresh(&[]), "a file that is not configured any more");
    assert_eq!(place(&shared.get(), "198.18.0.1"), "");
}

#[test]
fn no_byte_of_a_file_makes_a_lookup_fail_badly() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("country.mmdb");
    database(&path, &[("198.18.0.0/15", country_of("NL")), ("10.0.0.0/8", Value::from(7_u32))]);
    let whole = fs::read(&path).unwrap();
    let host = "198.18.0.1".parse().unwrap();
    // Each length, and each byte changed: refused, or any answer.
    for cut in (0..whole.len()).step_by(7) {
        fs::write(&path, &whole[..cut]).unwrap();
        let _ = Databases::open(std::slice::from_ref(&path)).place(host);
    }
    for at in (0..whole.len()).step_by(3) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x5a;
        fs::write(&path, &bytes).unwrap();
        let _ = Databases::open(std::slice::from_ref(&path)).place(host);
    }
}

mod geofence {
    use super::*;
    use crate::config::{Countries, FenceAction, Mode};
    use crate::hosts::lists::Geofence;

    fn countries(action: FenceAction, codes: &[&str]) -> Countries {
        let named = codes.iter().map(|code| Country::of(code.as_bytes()).unwrap()).collect();
        Countries { action, named, mode: Mode::Observe }
    }

    fn networks(fence: &Geofence) -> Vec<String> {
        fence.networks.iter().map(|net| net.to_string()).collect()
    }

    #[test]
    fn networks_are_merged_and_partial_ones_are_let_through() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("country.mmdb");
        database(
            &path,
            &[
                ("198.18.0.0/24", country_of("RU")),
                ("198.18.1.0/25", country_of("RU")),
                ("198.18.1.128/25", country_of("ru")),
                ("198.18.2.0/26", country_of("RU")),
                ("2a00::/32", country_of("RU")),
                ("2a01::/48", country_of("RU")),
                ("203.0.113.0/24", country_of("DE")),
            ],
        );
        let databases = Databases::open(&[path]);
        let denied = databases.geofence(&countries(FenceAction::Deny, &["RU", "VA"]), None);
        assert_eq!(networks(&denied), ["198.18.0.0/23", "2a00::/32"]);
        assert_eq!(denied.missing, [Country::of(b"VA").unwrap()]);
        assert!(denied.problem().unwrap().ends_with("no network of VA"));
        let allowed = databases.geofence(&countries(FenceAction::Allow, &["RU"]), None);
        // Both parts of the networks that are split count.
        assert_eq!(
            networks(&allowed),
            ["198.18.0.0/23", "198.18.2.0/24", "2a00::/32", "2a01::/32"]
        );
        assert_eq!(allowed.problem(), None);
    }

    #[test]
    fn the_first_file_that_knows_a_country_is_right() {
        let home = tempfile::tempdir().unwrap();
        let [own, other] = ["own.mmdb", "other.mmdb"].map(|name| home.path().join(name));
        database(&own, &[("198.18.1.0/24", country_of("DE")), ("198.18.3.0/24", country_of("RU"))]);
        database(
            &other,
            &[("198.18.0.0/22", country_of("RU")), ("203.0.113.0/24", country_of("RU"))],
        );
        let databases = Databases::open(&[own, other]);
        let denied = databases.geofence(&countries(FenceAction::Deny, &["RU"]), None);
        for (host, stops) in [
            ("198.18.0.1", true),
            ("198.18.1.1", false),
            ("198.18.3.1", true),
            ("203.0.113.1", true),
        ] {
            let host = host.parse().unwrap();
            assert_eq!(denied.stops(host), stops, "{host}");
            assert_eq!(databases.country(host) == Country::of(b"RU"), stops, "{host}");
        }
    }

    #[test]
    fn a_file_that_says_much_less_changes_nothing() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("country.mmdb");
        let wanted = countries(FenceAction::Allow, &["DE"]);
        let none = Databases::open(std::slice::from_ref(&path)).geofence(&wanted, None);
        assert!(
            none.networks.is_empty() && none.problem().unwrap().contains("no database can be read")
        );
        database(&path, &[("198.18.0.0/22", country_of("DE"))]);
        let whole = Databases::open(std::slice::from_ref(&path)).geofence(&wanted, Some(&none));
        assert_eq!((networks(&whole), whole.problem()), (vec!["198.18.0.0/22".to_owned()], None));
        for less in ["198.18.0.0/24", "2a00::/32"] {
            database(&path, &[(less, country_of("DE"))]);
            let databases = Databases::open(std::slice::from_ref(&path));
            let kept = databases.geofence(&wanted, Some(&whole));
            assert_eq!(networks(&kept), networks(&whole));
            assert!(kept.problem().unwrap().contains("less than half"), "{:?}", kept.problem());
            // It is right for other countries, and after a restart.
            let other = countries(FenceAction::Deny, &["DE"]);
            assert_eq!(networks(&databases.geofence(&other, Some(&whole))), [less]);
            assert_eq!(networks(&databases.geofence(&wanted, None)), [less]);
        }
        database(&path, &[("198.18.0.0/23", country_of("DE"))]);
        let half = Databases::open(&[path]).geofence(&wanted, Some(&whole));
        assert_eq!((networks(&half), half.problem()), (vec!["198.18.0.0/23".to_owned()], None));
    }

    #[test]
    fn no_byte_of_a_file_makes_it_fail_badly() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("country.mmdb");
        database(&path, &[("198.18.0.0/15", country_of("NL")), ("2a00::/12", country_of("DE"))]);
        let whole = fs::read(&path).unwrap();
        let wanted = countries(FenceAction::Allow, &["NL"]);
        for at in (0..whole.len()).step_by(11) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x5a;
            fs::write(&path, &bytes).unwrap();
            let fence = Databases::open(std::slice::from_ref(&path)).geofence(&wanted, None);
            assert!(fence.networks.is_empty() == fence.problem.is_some());
        }
    }
}
