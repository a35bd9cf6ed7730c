//! Lists that are refused: the last one stays, and that is said.

use std::time::Instant;

use crate::{DROP, Lists, able};

/// Ways of a server to answer, and what is said about them.
const REFUSED: [(&str, &str); 20] = [
    ("truncated", "did not send the whole list"),
    ("torn", "did not send the whole list"),
    ("endless", "does not say where its list ends"),
    ("many", "it has more than 1048576 networks"),
    ("large", "larger than 64 MiB"),
    ("announced", "larger than 64 MiB"),
    ("slow", "did not send the list within 3s"),
    ("silent", "did not send the list within 3s"),
    ("page", "it is a page (HTML), not a list"),
    ("words", "it is no list of networks: 1 of 1 entries are none (see line 1)"),
    ("empty", "it has 0 networks, and the last one had 1000"),
    ("few", "it has 1 networks, and the last one had 1000"),
    ("packed", "sent a packed list"),
    ("broken", "cannot answer now (503)"),
    ("elsewhere", "leads to another host: 127.0.0.2:"),
    ("localhost", "leads to another host: localhost:"),
    ("plainly", "and not by https"),
    ("loop", "more than 5 times"),
    ("nowhere", "does not say where"),
    ("json", "it is no list of networks"),
];

#[test]
fn what_is_no_whole_list_leaves_the_last_one() {
    if !able() {
        return;
    }
    let lists = Lists::start(DROP);
    assert_eq!(lists.fetch(&[]).0, 0);
    let (list, record) = (lists.list("drop"), lists.record("drop"));
    for (mode, why) in REFUSED {
        let mut due = record.clone();
        due["tried"] = 1.into();
        lists.home.write("lists/drop.list.state", &due.to_string());
        lists.mode(mode);
        let patience = if mode == "slow" || mode == "silent" { "3s" } else { "5m" };
        let start = Instant::now();
        let (code, said) = lists.fetch(&["--timeout", patience]);
        assert_eq!(code, 1, "{mode}: {said}");
        assert!(patience == "5m" || start.elapsed().as_secs() < 20, "{mode}");
        assert!(said.starts_with("drop: FAILED: ") && said.contains(why), "{mode}: {said}");
        assert!(said.contains("; the last list stays, 1000 networks\n  do: "), "{mode}: {said}");
        assert_eq!(lists.list("drop"), list, "{mode}");
        let after = lists.record("drop");
        assert!(after["error"].as_str().unwrap().contains(why), "{after}");
        for kept in ["fetched", "etag", "networks", "bytes"] {
            assert_eq!(after[kept], record[kept], "{mode}: {kept}");
        }
    }
    // That it has not changed is no answer to one who did not say what is there.
    lists.mode("teapot");
    let (code, said) = lists.fetch(&["--force"]);
    assert!(code == 1 && said.contains("answered with status 304"), "{said}");
    assert_eq!(lists.list("drop"), list);
    // One that has lost nearly everything is taken if that is ordered.
    lists.mode("few");
    assert_eq!(lists.fetch(&["--force"]), (0, "drop: 1 network\n".to_owned()));
    assert_eq!(lists.list("drop"), "198.51.100.1/32\n");
    let left: Vec<_> = std::fs::read_dir(lists.home.path("lists")).unwrap().collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn servers_without_a_believed_certificate_are_refused() {
    if !able() {
        return;
    }
    // One of another authority, and one of none.
    let own = Lists::start_with(&["own.crt", "own.key"], DROP);
    let system = Lists::start(&DROP.replace("$TLS\n", ""));
    for lists in [&own, &system] {
        let (code, said) = lists.fetch(&[]);
        assert!(code == 1 && said.contains("the certificate of 127.0.0.1:"), "{said}");
        assert!(said.contains(" is not believed: ") && lists.list("drop").is_empty(), "{said}");
    }
    // No TLS at all.
    let plain = Lists::start_with(&[], DROP);
    let (code, said) = plain.fetch(&[]);
    assert!(code == 1 && said.contains("no answer of 127.0.0.1:"), "{said}");
    // And nobody there.
    plain.configure(&DROP.replace("$URL", "https://127.0.0.1:1"));
    let (code, said) = plain.fetch(&[]);
    assert!(code == 1 && said.contains("no answer of 127.0.0.1:1: "), "{said}");
}
