//! Lists that are taken: plain ones, JSON, and pages of APIBAN.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use crate::{DROP, KEY, Lists, able};

#[test]
fn list_is_fetched_when_it_is_due_and_only_if_it_changed() {
    if !able() {
        return;
    }
    let lists = Lists::start(DROP);
    assert_eq!(lists.fetch(&[]), (0, "drop: 1000 networks\n".to_owned()));
    let request = lists.request();
    assert!(request["headers"]["if-none-match"].is_null(), "{request}");
    let list = lists.list("drop");
    assert_eq!((list.lines().count(), list.lines().next()), (1000, Some("198.51.0.0/32")));
    let path = lists.home.path("lists/drop.list");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);

    let (code, said) = lists.fetch(&[]);
    assert!(code == 0 && said.starts_with("drop: due in 5"), "{said}");
    // The command is asked for another time: the server says that it has not changed.
    let due = |lists: &Lists| {
        let mut record = lists.record("drop");
        record["tried"] = 1.into();
        lists.home.write("lists/drop.list.state", &record.to_string());
    };
    due(&lists);
    lists.mode("same");
    let before = fs::metadata(&path).unwrap().ctime_nsec();
    assert_eq!(lists.fetch(&[]), (0, "drop: not changed, 1000 networks\n".to_owned()));
    let headers = lists.request()["headers"].clone();
    assert_eq!(
        (&headers["if-none-match"], headers["if-modified-since"].is_string()),
        (&"\"v1\"".into(), true)
    );
    assert_eq!(fs::metadata(&path).unwrap().ctime_nsec(), before, "the guard need not read it");
    assert!(lists.record("drop")["fetched"].as_i64().unwrap() > 1);

    // Another list, and one that is the same in other words.
    due(&lists);
    lists.mode("other");
    assert_eq!(lists.fetch(&["drop"]), (0, "drop: 1001 networks\n".to_owned()));
    assert_eq!(lists.request()["headers"]["if-none-match"], "\"v1\"");
    assert_eq!(lists.fetch(&["--force"]), (0, "drop: not changed, 1001 networks\n".to_owned()));
    assert!(lists.request()["headers"]["if-none-match"].is_null());

    // Of a list that is gone or was changed, nothing is known.
    fs::remove_file(&path).unwrap();
    due(&lists);
    lists.mode("same");
    assert_eq!(lists.fetch(&[]), (0, "drop: 1000 networks\n".to_owned()));
    assert!(lists.request()["headers"]["if-none-match"].is_null());
    // So it is with another address.
    lists.configure(&DROP.replace("/list'\n", "/list?other'\n"));
    assert_eq!(lists.fetch(&[]), (0, "drop: not changed, 1000 networks\n".to_owned()));
    let request = lists.request();
    assert!(
        request["path"] == "/list?other" && request["headers"]["if-none-match"].is_null(),
        "{request}"
    );
}

#[test]
fn json_is_read_where_its_path_leads() {
    if !able() {
        return;
    }
    let config = format!("{DROP}format = 'json'\njsonpath = 'data[].ipAddress'\n");
    let lists = Lists::start(&config);
    lists.mode("json");
    assert_eq!(lists.fetch(&[]), (0, "drop: 1000 networks\n".to_owned()));
    let list = lists.list("drop");
    for (mode, why) in [
        ("deep", "the JSON is not whole"),
        ("half", "the JSON is not whole"),
        ("page", "it is no JSON"),
        ("empty", "it has 0 networks, and the last one had 1000"),
    ] {
        lists.mode(mode);
        let (code, said) = lists.fetch(&["--timeout", "30s"]);
        assert_eq!(code, 0, "not due: {said}");
        let mut record = lists.record("drop");
        record["tried"] = 1.into();
        lists.home.write("lists/drop.list.state", &record.to_string());
        let (code, said) = lists.fetch(&["--timeout", "30s"]);
        assert!(code == 1 && said.contains(why), "{mode}: {said}");
        assert_eq!(lists.list("drop"), list, "{mode}");
        // As if it had been long ago, and well.
        record["error"] = serde_json::Value::Null;
        record["tried"] = serde_json::Value::from(asterguard::sys::clock::now().secs());
        lists.home.write("lists/drop.list.state", &record.to_string());
    }
    lists.mode("json");
    lists.configure(&config.replace("ipAddress", "ip"));
    let (code, said) = lists.fetch(&[]);
    assert!(code == 1 && said.contains("there is no text where jsonpath leads"), "{said}");
    assert_eq!(lists.list("drop"), list);
}

/// A feed of APIBAN at the server of the tests.
const APIBAN: &str = "[feed.apiban]\nformat = 'apiban'\nurl = '$URL/api/{key}/banned'\nkeyfile = '$KEYFILE'\n$TLS\npath = '$LISTS/apiban.list'\n";

#[test]
fn pages_of_apiban_are_read_to_the_last_and_keys_are_not_told() {
    if !able() {
        return;
    }
    let lists = Lists::start(APIBAN);
    assert_eq!(lists.fetch(&[]), (0, "apiban: 3 networks\n".to_owned()));
    let paths: Vec<_> = (0..3).map(|_| lists.request()["path"].clone()).collect();
    let expected = ["", "/1700000001", "/1700000002"].map(|id| format!("/api/{KEY}/banned{id}"));
    assert_eq!(paths, expected);
    let list = lists.list("apiban");
    assert_eq!(list, "198.51.100.1/32\n198.51.100.2/32\n203.0.113.0/24\n");

    for (mode, why) in [("often", "is asked too often (429)"), ("around", "more than 400 pages")] {
        lists.mode(mode);
        let (code, said) = lists.fetch(&["--force"]);
        assert!(code == 1 && said.contains(why) && said.contains("the last list stays"), "{said}");
        assert_eq!(lists.list("apiban"), list, "half of the pages are no list");
    }
    // Another key, and files that do not hold one.
    lists.mode("good");
    let key = lists.home.path("key");
    for (text, mode, why) in [
        ("wrong-key", 0o640, "does not let us in (401)"),
        ("a/../b", 0o640, "does not hold a key"),
        ("two\nlines", 0o640, "does not hold one line"),
        (KEY, 0o644, "others may read or change"),
    ] {
        fs::write(&key, text).unwrap();
        fs::set_permissions(&key, Permissions::from_mode(mode)).unwrap();
        let (code, said) = lists.fetch(&["--force"]);
        assert!(code == 1 && said.contains(why) && !said.contains(text), "{text}: {said}");
        assert_eq!(lists.list("apiban"), list);
    }
}

#[test]
fn keys_go_into_headers_and_not_to_other_hosts() {
    if !able() {
        return;
    }
    let feed = format!("{DROP}keyfile = '$KEYFILE'\n");
    let lists = Lists::start(&feed);
    assert_eq!(lists.fetch(&[]).0, 0);
    assert_eq!(lists.request()["headers"]["authorization"], format!("Bearer {KEY}"));
    lists.configure(&format!("{feed}keyheader = 'Key'\n"));
    lists.mode("moved");
    assert_eq!(lists.fetch(&["--force"]).0, 0);
    for path in ["/list", "/moved/s3cretkey"] {
        let request = lists.request();
        assert_eq!((&request["path"], &request["headers"]["key"]), (&path.into(), &KEY.into()));
    }
    lists.configure(&format!("{feed}redirecthosts = ['localhost']\n"));
    lists.mode("localhost");
    let (code, said) = lists.fetch(&["--force"]);
    // It is followed as far as the certificate, which is of another name.
    assert!(code == 1 && said.contains("the certificate of localhost:"), "{said}");
}

#[test]
fn names_and_wrong_feeds_are_told() {
    if !able() {
        return;
    }
    let lists = Lists::start(&format!("{DROP}[feed.own]\npath = '/var/lib/own.list'\n"));
    for name in ["own", "other", "../drop", ""] {
        let (code, said) = lists.fetch(&[name]);
        assert!(code == 2 && said.contains("with a url; with one: drop"), "{said}");
    }
    lists.configure("[feed.own]\npath = '/var/lib/own.list'\n");
    let (code, said) = lists.fetch(&[]);
    assert!(code == 0 && said.contains("there is nothing to fetch"), "{said}");
    lists.configure(&DROP.replace("feed.drop", "feed.\"../drop\""));
    let (code, said) = lists.fetch(&[]);
    assert!(code == 3 && said.contains("cannot be a name"), "{said}");
    lists.configure(&DROP.replace("$LISTS", "/nonexistent"));
    let (code, said) = lists.fetch(&[]);
    assert!(code == 1 && said.contains("cannot write /nonexistent/drop.list"), "{said}");
}
