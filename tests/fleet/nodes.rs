//! Nodes that mean well: bans arrive, outlive restarts, and end where their issuer says so.

use super::*;

#[test]
fn a_large_fleet_is_heard_by_one_pattern() {
    if !able() {
        return;
    }
    let names: Vec<_> = (1..=502).map(|number| format!("pbx{number}")).collect();
    let keys = keys(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let server = Server::start();
    let mut pbx1 = Node::start("pbx1", &server, &keys, "");
    let pbx2 = Node::start("pbx2", &server, &keys, "");
    pbx1.until_connected();
    pbx2.until_connected();
    assert_eq!(server.ask("PUBSUB NUMPAT"), Reply::Number(1));
    assert_eq!(server.ask("PUBSUB CHANNELS"), Reply::Array(Vec::new()));
    pbx1.ban("192.0.2.1");
    pbx2.until_banned("pbx1", "192.0.2.1");
    // Whoever is no peer is heard, too, and not believed.
    let mut stranger = Liar::new("pbx1", &keys, &server);
    "stranger".clone_into(&mut stranger.name);
    let record = stranger.ban("192.0.2.2");
    stranger.publish("stranger", &record);
    until("it is counted", || pbx2.status().refused.get("stranger") == Some(&1));
    pbx1.ban("192.0.2.3");
    pbx2.until_banned("pbx1", "192.0.2.3");
    assert!(!pbx2.bans().keys().any(|(_, host)| host == "192.0.2.2"));
}

#[test]
fn a_ban_arrives_once_and_its_issuer_lifts_it() {
    if !able() {
        return;
    }
    let (server, keys) = (Server::start(), keys(&["pbx1", "pbx2"]));
    let mut pbx1 = Node::start("pbx1", &server, &keys, "");
    let mut pbx2 = Node::start("pbx2", &server, &keys, "");
    pbx1.until_connected();
    pbx2.until_connected();
    let began = Instant::now();
    pbx1.ban("192.0.2.7");
    pbx2.until_banned("pbx1", "192.0.2.7");
    eprintln!("from one guard's line to the other's: {:?}", began.elapsed());
    pbx2.ban("2001:db8::/64");
    pbx1.until_banned("pbx2", "2001:db8::/64");
    let remaining = pbx2.bans()[&("pbx1".to_owned(), "192.0.2.7".to_owned())];
    assert!((3_590_000..=3_600_000).contains(&remaining), "{remaining}");
    // The server ends it by itself.
    let Reply::Number(left) = server.ask("PTTL ag:{pbx1}:b:192.0.2.7/32") else { panic!() };
    assert!((3_580_000..=3_600_000).contains(&left), "{left}");
    pbx1.lift("192.0.2.7");
    until("it is lifted", || !pbx2.has("pbx1", "192.0.2.7"));
    assert_eq!(server.ask("EXISTS ag:{pbx1}:b:192.0.2.7/32"), Reply::Number(0));
    assert!(pbx1.has("pbx2", "2001:db8::/64"));
}

#[test]
fn a_node_that_comes_later_reads_what_there_is() {
    if !able() {
        return;
    }
    let (server, keys) = (Server::start(), keys(&["pbx1", "pbx2"]));
    let mut pbx1 = Node::start("pbx1", &server, &keys, "");
    pbx1.until_connected();
    let mut lines = vec![ToFleet::Begin];
    lines.extend(
        (0..1500).map(|it| ToFleet::Ban(own(&format!("198.51.{}.{}", it / 250, it % 250)))),
    );
    lines.push(ToFleet::Complete);
    pbx1.say(&lines);
    until("all are published", || pbx1.status().published == 1500);
    pbx1.ban("192.0.2.7");
    let pbx2 = Node::start("pbx2", &server, &keys, "");
    until("all are there", || pbx2.bans().len() == 1501);
    pbx2.until_connected();
    // And one that is there reads them from the snapshot as well.
    let mut lines = vec![ToFleet::Begin];
    lines
        .extend((0..3000).map(|it| ToFleet::Ban(own(&format!("203.0.{}.{}", it / 250, it % 250)))));
    lines.push(ToFleet::Complete);
    pbx1.say(&lines);
    until("all are there, too", || pbx2.bans().len() >= 3000);
}

#[test]
fn killed_processes_come_back_and_lose_nothing() {
    if !able() {
        return;
    }
    let (mut server, keys) = (Server::start(), keys(&["pbx1", "pbx2"]));
    let mut pbx1 = Node::start("pbx1", &server, &keys, "");
    let mut pbx2 = Node::start("pbx2", &server, &keys, "");
    pbx1.until_connected();
    pbx2.until_connected();
    let kept = pbx2.home.path("state").join("read");
    let before = fs::read(&kept).ok();
    pbx1.ban("192.0.2.1");
    pbx2.until_banned("pbx1", "192.0.2.1");
    until("it is kept that this was read", || fs::read(&kept).ok() != before);
    // The reader is killed, and what happens meanwhile is read.
    pbx2.child.kill().unwrap();
    pbx1.ban("192.0.2.2");
    until("it is published", || pbx1.status().published == 2);
    pbx2.restart();
    pbx2.until_banned("pbx1", "192.0.2.1");
    pbx2.until_banned("pbx1", "192.0.2.2");
    pbx2.until_connected();
    pbx1.lift("192.0.2.1");
    until("a ban from before the restart is lifted", || !pbx2.has("pbx1", "192.0.2.1"));
    pbx1.ban("192.0.2.1");
    pbx2.until_banned("pbx1", "192.0.2.1");
    // The writer is killed, and begins again where nobody takes it for a replay.
    pbx1.restart();
    pbx1.ban("192.0.2.3");
    pbx2.until_banned("pbx1", "192.0.2.3");
    // Its state is lost, too, and it finds its own last record on the server.
    fs::write(pbx1.home.path("state").join("epoch"), "5\n").unwrap();
    pbx1.restart();
    pbx1.ban("192.0.2.4");
    pbx2.until_banned("pbx1", "192.0.2.4");
    // The server is killed, and has nothing any more.
    server.restart();
    until("it is there again", || {
        server.ask("EXISTS ag:{pbx1}:b:192.0.2.4/32") == Reply::Number(1)
    });
    pbx1.ban("192.0.2.5");
    pbx2.until_banned("pbx1", "192.0.2.5");
    assert!(pbx2.has("pbx1", "192.0.2.3"), "what the server lost, nobody lifts");
    assert_eq!(pbx2.refused("pbx1", "replayed") + pbx2.refused("pbx1", "forged"), 0);
}

#[test]
fn a_clock_two_hours_wrong_harms_nobody() {
    if !able() {
        return;
    }
    let (server, keys) = (Server::start(), keys(&["pbx1", "pbx2"]));
    let mut pbx1 = Node::start("pbx1", &server, &keys, "");
    pbx1.home.write("clock.c", include_str!("../kit/clock.c"));
    fs::write(pbx1.home.path("clock"), (-7_200_000_i64).to_le_bytes()).unwrap();
    let [source, library] = ["clock.c", "clock.so"].map(|name| pbx1.home.path(name));
    let built =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([library, source]).status();
    assert!(built.unwrap().success());
    let mut pbx2 = Node::start("pbx2", &server, &keys, "");
    pbx1.restart();
    pbx1.until_connected();
    pbx2.until_connected();
    // The guard of this node has the same clock.
    let off = |time: Time| Time::from_millis(time.millis() - 7_200_000);
    let ban = own("192.0.2.7");
    let ban = OwnBan { since: off(ban.since), until: ban.until.map(off), ..ban };
    pbx1.say(&[ToFleet::Ban(ban)]);
    pbx2.until_banned("pbx1", "192.0.2.7");
    let remaining = pbx2.bans()[&("pbx1".to_owned(), "192.0.2.7".to_owned())];
    assert!((3_590_000..=3_600_000).contains(&remaining), "{remaining}");
    pbx2.ban("192.0.2.8");
    pbx1.until_banned("pbx2", "192.0.2.8");
    let remaining = pbx1.bans()[&("pbx2".to_owned(), "192.0.2.8".to_owned())];
    assert!((3_590_000..=3_600_000).contains(&remaining), "{remaining}");
    let clock = || pbx2.status().peers[&"pbx1".parse().unwrap()].clock;
    until("the clock is said", || clock().is_some_and(|ahead| (-7260..-7140).contains(&ahead)));
}

#[test]
fn what_was_lifted_while_the_process_was_down_is_lifted_by_the_next_one() {
    if !able() {
        return;
    }
    let (server, keys) = (Server::start(), keys(&["pbx1", "pbx2"]));
    let mut pbx1 = Node::start("pbx1", &server, &keys, "");
    let pbx2 = Node::start("pbx2", &server, &keys, "");
    pbx1.until_connected();
    pbx2.until_connected();
    // One is in the snapshot, and one in the stream only.
    pbx1.ban("192.0.2.1");
    pbx2.until_banned("pbx1", "192.0.2.1");
    pbx1.restart();
    pbx1.until_connected();
    pbx1.ban("192.0.2.2");
    pbx1.ban("192.0.2.3");
    pbx2.until_banned("pbx1", "192.0.2.3");
    assert!(["192.0.2.1", "192.0.2.2"].iter().all(|host| pbx2.has("pbx1", host)));
    pbx1.own.retain(|host| host == "192.0.2.3");
    pbx1.restart();
    until("they are lifted", || pbx2.bans().len() == 1);
    assert!(pbx2.has("pbx1", "192.0.2.3"));
    pbx1.ban("192.0.2.2");
    pbx2.until_banned("pbx1", "192.0.2.2");
}
