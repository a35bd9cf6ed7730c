//! How long it takes to join a fleet: `make bench-fleet`.

use super::*;

/// Bans of the node that is there.
const BANS: usize = 100_000;

#[test]
#[ignore = "it measures: make bench-fleet"]
fn joining_with_a_hundred_thousand_bans() {
    if !able() {
        return;
    }
    let (server, keys) = (Server::start(), keys(&["pbx1", "pbx2"]));
    let mut pbx1 = Node::start("pbx1", &server, &keys, "");
    pbx1.until_connected();
    let host = |it: usize| format!("10.{}.{}.{}", it >> 16, it >> 8 & 255, it & 255);
    let mut lines = vec![ToFleet::Begin];
    lines.extend((0..BANS).map(|it| ToFleet::Ban(own(&host(it + 256)))));
    lines.push(ToFleet::Complete);
    let began = Instant::now();
    pbx1.say(&lines);
    until("all are published", || pbx1.status().published == BANS as u64);
    println!("{BANS} bans published in {:?}", began.elapsed());
    let memory = server.ask("INFO memory");
    let used = memory.bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    println!("{}", used.unwrap().lines().nth(2).unwrap());
    let began = Instant::now();
    let pbx2 = Node::start("pbx2", &server, &keys, "max_bans = 200000\n");
    let told = || {
        let told = pbx2.told.lock().unwrap();
        told.iter().filter(|it| matches!(it, FromFleet::Ban(_))).count()
    };
    until("all are there", || told() >= BANS);
    println!("{BANS} bans verified and told to the guard in {:?}", began.elapsed());
    assert_eq!(told(), BANS);
}

#[test]
#[ignore = "it measures: make bench-fleet"]
fn one_ban_from_guard_to_guard() {
    if !able() {
        return;
    }
    let names = ["pbx1", "pbx2", "pbx3", "pbx4", "pbx5", "pbx6"];
    let (server, keys) = (Server::start(), keys(&names));
    let mut nodes: Vec<_> =
        names.iter().map(|name| Node::start(name, &server, &keys, "")).collect();
    for node in &nodes {
        node.until_connected();
    }
    let mut times = Vec::new();
    for number in 0..200 {
        let host = format!("192.0.2.{number}");
        let told: Vec<_> = nodes.iter().map(|node| Arc::clone(&node.told)).collect();
        let seen = |told: &Arc<Mutex<Vec<FromFleet>>>| {
            let told = told.lock().unwrap();
            told.iter()
                .rev()
                .any(|it| matches!(it, FromFleet::Ban(ban) if ban.host.to_string() == host))
        };
        let began = Instant::now();
        nodes[0].ban(&host);
        while !told[1..].iter().all(seen) {
            assert!(began.elapsed() < PATIENCE);
            thread::sleep(Duration::from_micros(50));
        }
        times.push(began.elapsed());
    }
    times.sort_unstable();
    println!("to five guards: median {:?}, p99 {:?}", times[100], times[197]);
    let number = |question: &str| match server.ask(question) {
        Reply::Number(number) => number,
        other => panic!("{question}: {other:?}"),
    };
    println!(
        "a record has {} bytes; on the server, a ban takes {}, and its entry of the stream {}",
        number("STRLEN ag:{pbx1}:b:192.0.2.1/32"),
        number("MEMORY USAGE ag:{pbx1}:b:192.0.2.1/32"),
        number("MEMORY USAGE ag:{pbx1}:e SAMPLES 0") / 200,
    );
    let clients = server.ask("CLIENT LIST");
    let clients = String::from_utf8_lossy(clients.bytes().unwrap()).into_owned();
    let memory = clients.split_whitespace().filter_map(|word| word.strip_prefix("tot-mem="));
    let memory: Vec<usize> = memory.map(|bytes| bytes.parse().unwrap()).collect();
    println!(
        "{} connections of {} bytes",
        memory.len(),
        memory.iter().sum::<usize>() / memory.len()
    );
}
