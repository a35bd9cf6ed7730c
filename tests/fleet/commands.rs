//! The commands, as people type them, with a server that asks for TLS, certificates and passwords.

use std::sync::atomic::{AtomicU16, Ordering};

use super::lossy::leading_to;
use super::*;

/// Runs a command beside this configuration; returns its exit code and what it says.
pub fn run(home: &Home, words: &[&str]) -> (i32, String) {
    let output = Command::new(PROGRAM)
        .arg("fleet")
        .args(words)
        .args(["--config", home.path("asterguard.toml").to_str().unwrap()])
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(said).unwrap())
}

/// Returns the public key of the last line that has one.
pub fn public(text: &str) -> String {
    let mut words = text.split_whitespace().rev();
    words.find(|word| word.len() == 44 && word.ends_with('=')).unwrap().to_owned()
}

#[test]
fn two_nodes_join_by_commands_and_one_leaves() {
    if !able() {
        return;
    }
    let server = Server::start();
    let place = server.url().replace("redis://", "");
    let [one, two] = ["", ""].map(Home::new);
    let join = |home: &Home, node: &str| {
        let (code, said) = run(home, &["join", &format!("redis://{node}@{place}"), "--node", node]);
        assert_eq!(code, 0, "{said}");
        let line = said.lines().find_map(|line| line.trim().strip_prefix("ACL ")).unwrap();
        assert_eq!(server.ask(&format!("ACL {line}")), Reply::Text("OK".to_owned()));
        public(&said)
    };
    let (key_of_one, key_of_two) = (join(&one, "pbx1"), join(&two, "pbx2"));
    server.ask("ACL SETUSER default off");
    let operator = run(&one, &["keygen", "--out"]);
    assert_eq!(operator.0, 2);
    let file = one.path("operator.key");
    let keygen = Command::new(PROGRAM).args(["fleet", "keygen", "--out"]).arg(&file).output();
    let operator = public(&String::from_utf8(keygen.unwrap().stdout).unwrap());
    for (home, peer, key) in [(&one, "pbx2", &key_of_two), (&two, "pbx1", &key_of_one)] {
        let (code, said) = run(home, &["trust", peer, key]);
        assert!(code == 0 && said.contains("is a peer"), "{said}");
        let text = home.read("conf.d/fleet.toml");
        home.write(
            "conf.d/fleet.toml",
            &text.replace("[fleet]", &format!("[fleet]\noperator = \"{operator}\"")),
        );
        fs::create_dir(home.path("state")).unwrap();
    }
    let (mut one, mut two) = (Node::in_home("pbx1", one), Node::in_home("pbx2", two));
    one.until_connected();
    two.until_connected();
    one.ban("192.0.2.1");
    two.until_banned("pbx1", "192.0.2.1");
    two.ban("192.0.2.1");
    one.until_banned("pbx2", "192.0.2.1");

    // The operator's key lifts for all, and no other one does.
    let socket = two.home.path("fleet.sock");
    let unban = |key: &std::path::Path| {
        let (key, socket) = (key.to_str().unwrap(), socket.to_str().unwrap());
        run(&two.home, &["unban", "192.0.2.1", "--key", key, "--helper", socket])
    };
    let own = two.home.path("fleet/node.key");
    let (code, said) = unban(&own);
    assert!(code == 2 && said.contains("not the operator's"), "{said}");
    assert_eq!(unban(&file).0, 0);
    let unbanned = |node: &Node| {
        let told = node.told.lock().unwrap();
        told.iter().any(|it| matches!(it, FromFleet::Unban { by, .. } if by.as_str() == "pbx2"))
    };
    until("both guards are told", || unbanned(&one) && unbanned(&two));

    let (code, said) = run(&one.home, &["join", "redis://127.0.0.1", "--node", "pbx1"]);
    assert!(code == 2 && said.contains("is there already"), "{said}");
    let (code, said) = run(&two.home, &["trust", "pbx1", "--revoke"]);
    assert_eq!(code, 0, "{said}");
    assert!(two.home.read("conf.d/fleet.toml").contains("pbx1 = \"revoked\""));
    let socket = one.home.path("fleet.sock");
    let (code, said) = run(&one.home, &["leave", "--helper", socket.to_str().unwrap()]);
    assert!(code == 0 && said.contains("keys are removed"), "{said}");
    assert!(one.home.read("conf.d/fleet.toml").contains("enabled = false"));
    until("the process has ended", || one.child.try_wait().unwrap().is_some());
    let (code, said) = run(&one.home, &["acl"]);
    assert_eq!(code, 2, "{said}");
}

#[test]
fn who_leaves_while_the_server_is_away_leaves_again_and_comes_back() {
    if !able() {
        return;
    }
    let server = Server::start();
    let way = Arc::new(AtomicU16::new(server.port));
    let url = format!("redis://127.0.0.1:{}", leading_to(&way));
    let home = Home::new("");
    fs::create_dir(home.path("state")).unwrap();
    let (code, joined) = run(&home, &["join", &url, "--node", "pbx1"]);
    assert_eq!(code, 0, "{joined}");
    let stranger = PrivateKey::generate().unwrap().0.public();
    assert_eq!(run(&home, &["trust", "pbx2", &stranger.to_string()]).0, 0);
    let mut node = Node::in_home("pbx1", home);
    node.ban("192.0.2.1");
    let stored = || server.ask("EXISTS ag:{pbx1}:b:192.0.2.1/32 ag:{pbx1}:s");
    until("it is published", || stored() == Reply::Number(2));

    way.store(1, Ordering::Relaxed);
    let socket = node.home.path("fleet.sock");
    let leave = |home: &Home| run(home, &["leave", "--helper", socket.to_str().unwrap()]);
    let (code, said) = leave(&node.home);
    assert!(code == 1 && said.contains("then again: asterguard fleet leave"), "{said}");
    assert!(node.home.read("conf.d/fleet.toml").contains("enabled = false"));
    until("the process has ended", || node.child.try_wait().unwrap().is_some());
    drop(std::mem::replace(
        &mut node.listener,
        UnixListener::bind(node.home.path("other")).unwrap(),
    ));
    let (code, said) = leave(&node.home);
    assert!(code == 1 && said.contains("then again"), "{said}");
    assert_eq!(stored(), Reply::Number(2));
    way.store(server.port, Ordering::Relaxed);
    let (code, said) = leave(&node.home);
    assert!(code == 0 && said.contains("keys are removed"), "{said}");
    assert_eq!(stored(), Reply::Number(0));
    // And nothing is wrong with once more.
    assert_eq!(leave(&node.home).0, 0);

    // It comes back with its key, and knows its peers; the server may be another one.
    let (code, said) = run(&node.home, &["join", &server.url(), "--node", "pbx1"]);
    assert!(code == 0 && said.contains("those of before"), "{said}");
    assert!(said.contains(&key_of("pbx1", &joined)), "{said}");
    let text = node.home.read("conf.d/fleet.toml");
    assert!(
        text.contains(&format!("pbx2 = \"{stranger}\"")) && !text.contains("enabled"),
        "{text}"
    );
    assert!(text.contains(&server.url()) && text.matches("server").count() == 1, "{text}");
    fs::remove_file(&socket).unwrap();
    node.listener = UnixListener::bind(&socket).unwrap();
    node.child = spawn(&node.home, &node.listener);
    node.guard_is_back();
    until("it is published again", || stored() == Reply::Number(2));
    let (code, said) = run(&node.home, &["join", &server.url(), "--node", "pbx1"]);
    assert!(code == 2 && said.contains("is there already"), "{said}");
}

/// The key in the line by which others trust a node.
fn key_of(node: &str, joined: &str) -> String {
    let (_, rest) = joined.split_once(&format!("asterguard fleet trust {node} ")).unwrap();
    rest.split_whitespace().next().unwrap().to_owned()
}

#[test]
fn a_node_writes_nothing_of_another_one() {
    if !able() {
        return;
    }
    let server = Server::start();
    let home = Home::new("");
    let url = server.url().replace("redis://", "redis://pbx1@");
    let (_, said) = run(&home, &["join", &url, "--node", "pbx1"]);
    let line = said.lines().find_map(|line| line.trim().strip_prefix("ACL ")).unwrap();
    server.ask(&format!("ACL {line}"));
    let fleet = asterguard::config::load::load_fleet(Some(&home.path("asterguard.toml")));
    let mut client = Client::connect(&fleet.unwrap().unwrap()).unwrap();
    let mut refused = |command: &str| {
        let words: Vec<_> = command.split(' ').map(str::as_bytes).collect();
        client.ask_one(&words).is_err()
    };
    for own in ["SET ag:{pbx1}:s x", "XADD ag:{pbx1}:e 1-1 r x", "GET ag:{pbx2}:s", "TIME"] {
        assert!(!refused(own), "{own}");
    }
    for foreign in [
        "SET ag:{pbx2}:s x",
        "DEL ag:{pbx2}:s",
        "XADD ag:{pbx2}:e 1-1 r x",
        "GET other",
        "FLUSHALL",
        "KEYS *",
        "CONFIG GET maxmemory",
        "EVAL return 0",
    ] {
        assert!(refused(foreign), "{foreign}");
    }
}

#[test]
fn a_server_with_tls_wants_a_certificate_and_is_known_by_its_own() {
    if !able() {
        return;
    }
    let files = Home::new("");
    let make = "set -e; cd $DIR
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=ca -keyout ca.key -out ca.crt
        for name in server node; do
            openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=$name -keyout $name.key -out $name.csr
            printf 'subjectAltName=IP:127.0.0.1\\n' >ext
            openssl x509 -req -in $name.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out $name.crt
        done; chmod 640 node.key";
    files.write("make", make);
    let made = Command::new("bash").arg(files.path("make")).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let path = |name: &str| files.path(name).to_str().unwrap().to_owned();
    let server = Server::start_with(&[
        "--tls-port",
        "PORT",
        "--port",
        "0",
        "--tls-cert-file",
        &path("server.crt"),
        "--tls-key-file",
        &path("server.key"),
        "--tls-ca-cert-file",
        &path("ca.crt"),
    ]);
    let keys = keys(&["pbx1"]);
    let url = server.url().replace("redis://", "rediss://");
    let ca = format!("tls_ca = \"{}\"\n", path("ca.crt"));
    let certificate =
        format!("tls_cert = \"{}\"\ntls_key = \"{}\"\n", path("node.crt"), path("node.key"));
    let good =
        Node::start_with("pbx1", &config("pbx1", &url, &keys, &(ca.clone() + &certificate)), &keys);
    good.until_connected();
    let trouble = |more: &str, words: &str| {
        let node = Node::start_with("pbx1", &config("pbx1", &url, &keys, more), &keys);
        until(words, || node.status().trouble.is_some_and(|trouble| trouble.contains(words)));
        let said = node.status();
        assert!(!said.connected && !said.trouble.unwrap().contains("alert"));
    };
    trouble(&certificate, "let tls_ca in [fleet] name");
    trouble(&ca, "the server asks for a certificate; do: write tls_cert and tls_key into [fleet]");
    // It is gone without a word.
    drop(server);
    until("it is said", || good.status().trouble.is_some());
    let trouble = good.status().trouble.unwrap();
    assert!(!trouble.contains("docs.rs") && !trouble.contains("close_notify"), "{trouble}");
}
