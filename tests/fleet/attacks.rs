//! Nodes that lie, and strangers with a connection to the server.

use super::*;

#[test]
fn nothing_but_signed_records_of_one_host_is_taken() {
    if !able() {
        return;
    }
    let (server, mut keys) = (Server::start(), keys(&["pbx1", "pbx2", "liar", "revoked"]));
    let mut liar = Liar::new("liar", &keys, &server);
    let mut revoked = Liar::new("revoked", &keys, &server);
    keys.get_mut("revoked").unwrap().1 = "revoked".to_owned();
    let mut pbx1 = Node::start("pbx1", &server, &keys, "");
    let pbx2 = Node::start("pbx2", &server, &keys, "");
    pbx1.until_connected();
    pbx2.until_connected();
    pbx1.ban("192.0.2.1");
    pbx2.until_banned("pbx1", "192.0.2.1");

    let forged = liar.ban("192.0.2.66");
    liar.publish("pbx1", &forged);
    let mut forger = Liar::new("liar", &keys_of_another("pbx1"), &server);
    forger.name = "pbx1".to_owned();
    let forged = forger.ban("192.0.2.67");
    liar.publish("pbx1", &forged);
    liar.publish("pbx1", &vec![0; 100_000]);
    liar.publish("pbx1", &vec![0; 1 << 20]);
    let of_revoked = revoked.ban("192.0.2.68");
    revoked.publish("revoked", &of_revoked);
    let first = liar.record(Operation::Ban(signed("192.0.2.69")));
    liar.at.sequence = 0;
    let record = liar.ban("192.0.2.70");
    liar.publish("liar", &record);
    pbx2.until_banned("liar", "192.0.2.70");
    liar.publish("liar", &record);
    for wide in ["0.0.0.0/0", "192.0.2.0/24", "127.0.0.1", "::/0", "2001:db8::/48"] {
        let record = liar.ban(wide);
        liar.publish("liar", &record);
    }
    let lift = liar.record(Operation::Lift(Host::of(&"192.0.2.1".parse().unwrap())));
    liar.publish("liar", &lift);
    let last = liar.ban("192.0.2.71");
    liar.publish("liar", &last);
    pbx2.until_banned("liar", "192.0.2.71");
    // Out of order: it was overtaken.
    drop(first);
    let (second, third) = (liar.ban("192.0.2.72"), liar.ban("192.0.2.73"));
    liar.publish("liar", &third);
    liar.publish("liar", &second);

    until("all was counted", || pbx2.refused("liar", "not-a-host") == 5);
    let count = |peer: &str, reason: &str| pbx2.refused(peer, reason);
    until("names", || count("pbx1", "foreign-name") == 1);
    assert_eq!([count("pbx1", "forged"), count("pbx1", "too-large")], [1, 2]);
    assert_eq!(count("liar", "replayed"), 1);
    let banned: Vec<_> = pbx2.bans().into_keys().map(|(_, host)| host).collect();
    for innocent in ["192.0.2.66", "192.0.2.67", "192.0.2.68", "192.0.2.69", "0.0.0.0/0", "::/0"] {
        assert!(!banned.contains(&innocent.to_owned()), "{banned:?}");
    }
    assert!(pbx2.has("pbx1", "192.0.2.1"), "a foreign lift");
    // The others go on.
    pbx1.ban("192.0.2.2");
    pbx2.until_banned("pbx1", "192.0.2.2");
}

/// Keys under the name `liar` that nobody knows.
fn keys_of_another(_: &str) -> Keys {
    keys(&["liar"])
}

#[test]
fn a_flood_of_one_node_stays_within_its_limits() {
    if !able() {
        return;
    }
    let seconds = std::env::var("FLEET_FLOOD_SECONDS").map_or(4, |text| text.parse().unwrap());
    let (server, keys) = (Server::start(), keys(&["pbx1", "pbx2", "liar"]));
    let more = "max_rate = 10\nmax_bans = 200\n";
    let mut pbx1 = Node::start("pbx1", &server, &keys, "");
    let pbx2 = Node::start("pbx2", &server, &keys, more);
    pbx1.until_connected();
    pbx2.until_connected();
    let mut liar = Liar::new("liar", &keys, &server);
    let (began, mut said, mut slowest) = (Instant::now(), 0_u32, Duration::ZERO);
    let mut own_bans = 0;
    while began.elapsed() < Duration::from_secs(seconds) {
        for _ in 0..500 {
            said += 1;
            let record = liar.ban(&format!("10.{}.{}.{}", said >> 16, said >> 8 & 255, said & 255));
            liar.publish("liar", &record);
        }
        own_bans += 1;
        let host = format!("192.0.2.{}", own_bans % 250 + 1);
        let asked = Instant::now();
        if own_bans <= 20 {
            pbx1.ban(&host);
            pbx2.until_banned("pbx1", &host);
            slowest = slowest.max(asked.elapsed());
        }
    }
    let of_liar = pbx2.bans().into_keys().filter(|(issuer, _)| issuer == "liar").count();
    let most = (100 + 10 * usize::try_from(began.elapsed().as_secs() + 2).unwrap()).min(200);
    assert!((1..=most).contains(&of_liar), "{of_liar} of {said}, at most {most}");
    until("they are counted", || pbx2.refused("liar", "too-fast") > 100);
    eprintln!("{said} records in {seconds} s: {of_liar} taken; a good node's ban took {slowest:?}");
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
}
