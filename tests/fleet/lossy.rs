//! A server that forgets, is full, or gives what is old.

use std::io;
use std::net::Shutdown;
use std::sync::atomic::{AtomicU16, Ordering};

use asterguard::fleet::snapshot::Head;
use asterguard::fleet::state_file;

use super::*;

fn two(server: &Server, keys: &Keys) -> (Node, Node) {
    let pbx1 = Node::start("pbx1", server, keys, "");
    let pbx2 = Node::start("pbx2", server, keys, "");
    pbx1.until_connected();
    pbx2.until_connected();
    (pbx1, pbx2)
}

#[test]
fn flushall_lifts_nothing_and_all_is_published_again() {
    if !able() {
        return;
    }
    let (server, keys) = (Server::start(), keys(&["pbx1", "pbx2"]));
    let (mut pbx1, pbx2) = two(&server, &keys);
    pbx1.ban("192.0.2.1");
    pbx2.until_banned("pbx1", "192.0.2.1");
    server.ask("FLUSHALL");
    until("it is there again", || {
        server.ask("EXISTS ag:{pbx1}:b:192.0.2.1/32") == Reply::Number(1)
            && server.ask("EXISTS ag:{pbx1}:s") == Reply::Number(1)
    });
    assert!(pbx2.has("pbx1", "192.0.2.1"));
    // Only a part is lost, as with a server that was restored from yesterday's file.
    server.ask("DEL ag:{pbx1}:b:192.0.2.1/32");
    server.ask("CLIENT KILL TYPE normal");
    until("what is missing is there again", || {
        server.ask("EXISTS ag:{pbx1}:b:192.0.2.1/32") == Reply::Number(1)
    });
    let pbx3 = Node::start("pbx2", &server, &keys, "");
    pbx3.until_banned("pbx1", "192.0.2.1");
}

#[test]
fn a_trimmed_stream_is_made_up_by_the_snapshot() {
    if !able() {
        return;
    }
    let (server, keys) = (Server::start(), keys(&["pbx1", "pbx2"]));
    let (mut pbx1, mut pbx2) = two(&server, &keys);
    pbx1.ban("192.0.2.1");
    pbx2.until_banned("pbx1", "192.0.2.1");
    pbx2.child.kill().unwrap();
    pbx2.child.wait().unwrap();
    for number in 1..=600 {
        pbx1.ban(&format!("198.51.{}.{}", number / 250, number % 250));
    }
    until("all are published", || pbx1.status().published == 601);
    server.ask("XTRIM ag:{pbx1}:e MAXLEN 3");
    // Another snapshot, as it comes after so many records.
    pbx1.ban("192.0.2.2");
    pbx2.restart();
    until("nearly all are there", || pbx2.bans().len() >= 500);
    pbx2.until_banned("pbx1", "192.0.2.2");
    pbx2.until_connected();
    pbx1.ban("192.0.2.3");
    pbx2.until_banned("pbx1", "192.0.2.3");
}

#[test]
fn connected_is_said_when_both_connections_work() {
    if !able() {
        return;
    }
    let (mut server, keys) = (Server::start(), keys(&["pbx1", "pbx2"]));
    let (mut pbx1, _pbx2) = two(&server, &keys);
    pbx1.ban("192.0.2.1");
    let stored = |server: &Server| server.ask("EXISTS ag:{pbx1}:b:192.0.2.1/32");
    until("it is published", || stored(&server) == Reply::Number(1));
    for _ in 0..3 {
        server.restart();
        until("the loss is said", || !pbx1.status().connected);
        pbx1.until_connected();
        assert_eq!(stored(&server), Reply::Number(1), "what publishes was not connected");
    }
    // One of the connections is lost, and the server is there.
    server.ask("CLIENT KILL TYPE pubsub");
    until("the loss is said", || !pbx1.status().connected);
    pbx1.until_connected();
    assert_eq!(server.ask("PUBSUB NUMSUB ag:{pbx2}:c").items().last(), Some(&Reply::Number(1)));
}

#[test]
fn a_full_server_is_said_and_goes_on_when_it_has_room() {
    if !able() {
        return;
    }
    let (server, keys) = (Server::start(), keys(&["pbx1", "pbx2"]));
    let (mut pbx1, pbx2) = two(&server, &keys);
    server.ask("CONFIG SET maxmemory 1");
    pbx1.ban("192.0.2.1");
    until("it is said", || {
        pbx1.status().trouble.is_some_and(|trouble| trouble.contains("maxmemory"))
    });
    assert_eq!((pbx1.status().waiting, pbx2.bans().len()), (1, 0));
    server.ask("CONFIG SET maxmemory 0");
    pbx2.until_banned("pbx1", "192.0.2.1");
    until("it is well", || pbx1.status().trouble.is_none());
}

#[test]
fn old_keys_of_a_server_are_not_taken_again() {
    if !able() {
        return;
    }
    let (server, keys) = (Server::start(), keys(&["pbx1", "pbx2"]));
    let (mut pbx1, mut pbx2) = two(&server, &keys);
    pbx1.say(&[ToFleet::Begin, ToFleet::Ban(own("192.0.2.1")), ToFleet::Complete]);
    pbx2.until_banned("pbx1", "192.0.2.1");
    // The server keeps a snapshot with this ban, and gives it again when it was lifted long ago.
    pbx1.restart();
    pbx1.say(&[ToFleet::Begin, ToFleet::Ban(own("192.0.2.1")), ToFleet::Complete]);
    pbx1.until_connected();
    pbx2.until_connected();
    let old: Vec<_> = ["ag:{pbx1}:s", "ag:{pbx1}:s:0", "ag:{pbx1}:b:192.0.2.1/32"]
        .map(|key| (key, server.ask(&format!("GET {key}"))))
        .into_iter()
        .filter_map(|(key, value)| Some((key, value.bytes()?.to_vec())))
        .collect();
    assert!(!old.is_empty());
    pbx1.lift("192.0.2.1");
    until("it is lifted", || !pbx2.has("pbx1", "192.0.2.1"));
    pbx1.restart();
    pbx1.ban("192.0.2.2");
    pbx2.until_banned("pbx1", "192.0.2.2");
    pbx2.restart();
    pbx2.until_banned("pbx1", "192.0.2.2");
    pbx2.until_connected();
    // It is past the time in which positions are kept.
    let newest = Head::read(server.ask("GET ag:{pbx1}:s").bytes().unwrap()).unwrap().at;
    until("positions are kept", || {
        let read = state_file::read(&pbx2.home.path("state"));
        read.get(&"pbx1".parse().unwrap()).is_some_and(|(_, snapshot)| *snapshot >= newest)
    });
    let mut client = server.client();
    for (key, value) in &old {
        client.ask_one(&[b"SET", key.as_bytes(), value, b"PX", b"3600000"]).unwrap();
    }
    pbx2.restart();
    until("it is refused", || pbx2.refused("pbx1", "replayed") > 0);
    assert!(!pbx2.has("pbx1", "192.0.2.1"));
}

/// An address that leads to whichever server is the primary. Returns its port.
pub fn leading_to(primary: &Arc<AtomicU16>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let primary = Arc::clone(primary);
    thread::spawn(move || {
        for from in listener.incoming().map_while(Result::ok) {
            let port = primary.load(Ordering::Relaxed);
            let Ok(to) = TcpStream::connect(("127.0.0.1", port)) else { continue };
            for (mut from, mut to) in [(&from, &to), (&to, &from)]
                .map(|(from, to)| (from.try_clone().unwrap(), to.try_clone().unwrap()))
            {
                thread::spawn(move || {
                    let _ = io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Both);
                });
            }
        }
    });
    port
}

#[test]
fn a_replica_takes_over_and_nothing_is_lost() {
    if !able() {
        return;
    }
    let (mut first, keys) = (Server::start(), keys(&["pbx1", "pbx2"]));
    let replica = Server::start();
    replica.ask(&format!("REPLICAOF 127.0.0.1 {}", first.port));
    let primary = Arc::new(AtomicU16::new(first.port));
    let url = format!("redis://127.0.0.1:{}", leading_to(&primary));
    let [mut pbx1, pbx2] =
        ["pbx1", "pbx2"].map(|name| Node::start_with(name, &config(name, &url, &keys, ""), &keys));
    pbx1.until_connected();
    pbx2.until_connected();
    pbx1.ban("192.0.2.1");
    pbx2.until_banned("pbx1", "192.0.2.1");
    until("the replica has it", || {
        replica.ask("EXISTS ag:{pbx1}:b:192.0.2.1/32") == Reply::Number(1)
    });
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    // While no server is there.
    pbx1.ban("192.0.2.2");
    pbx1.lift("192.0.2.1");
    replica.ask("REPLICAOF NO ONE");
    primary.store(replica.port, Ordering::Relaxed);
    pbx2.until_banned("pbx1", "192.0.2.2");
    until("it is lifted", || !pbx2.has("pbx1", "192.0.2.1"));
    pbx2.until_connected();
    assert_eq!(replica.ask("EXISTS ag:{pbx1}:b:192.0.2.1/32"), Reply::Number(0));
}
