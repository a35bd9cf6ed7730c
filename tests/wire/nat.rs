//! An office of ten phones behind one address that a router translates, one of them with an old password.

use crate::kit::{self, Netns, Peer};
use crate::{CONFIG, OFFICE, PBX, banned, guard, plugged};

/// An office behind a router that gives all of its phones the address [`OFFICE`].
struct Office {
    pbx: Netns,
    _router: Netns,
    _lan: Netns,
    phones: Peer,
    _server: Peer,
}

impl Office {
    fn new() -> Self {
        let (pbx, router) = plugged();
        let lan = Netns::new();
        router.exec(&format!(
            "ip link add lan type veth peer name eth0 netns {}
             ip address add 10.0.0.1/24 dev lan; ip link set lan up
             sysctl -qw net.ipv4.ip_forward=1
             nft 'table ip nat {{ chain postrouting {{
                 type nat hook postrouting priority srcnat
                 oifname eth0 ip saddr 10.0.0.0/24 snat to {OFFICE}
             }}
             }}'",
            lan.name()
        ));
        lan.exec(
            "ip link set eth0 up
             for n in $(seq 10 19); do ip address add 10.0.0.$n/24 dev eth0; done
             ip route add default via 10.0.0.1",
        );
        let server = Peer::run(&pbx, include_str!("../kit/sip.py"), &["serve"]);
        let phones = Peer::run(&lan, include_str!("../kit/sip.py"), &["play"]);
        Self { pbx, _router: router, _lan: lan, phones, _server: server }
    }

    /// How many of so many phones register again and place a call.
    fn calling(&mut self, phones: u32) -> usize {
        let called = |n: &u32| {
            let asked = format!("desk 20{n} phone{n} 10.0.0.1{n} {PBX} right 1");
            // A challenge, a registration, and three answers to an INVITE.
            self.phones.ask(&asked) == "5"
        };
        (0..phones).filter(called).count()
    }

    /// How many of so many registrations of the tenth phone are answered, from its nth port.
    fn old_password(&mut self, port: usize, tries: u32) -> u32 {
        let asked = format!("desk 209 port{port} 10.0.0.19 {PBX} wrong {tries}");
        self.phones.ask(&asked).parse().unwrap()
    }
}

#[test]
fn a_bad_phone_costs_its_office_nothing_until_it_changes_its_port_twice() {
    if !kit::usable() {
        return;
    }
    let _turn = crate::no_flood();
    let mut office = Office::new();
    let guard = guard(&office.pbx, CONFIG);
    assert_eq!(office.calling(9), 9);
    kit::until("they are known", || guard.status()["wire"]["logins"].as_u64() >= Some(9));

    for port in 1..=2 {
        let answered = office.old_password(port, 4);
        assert!((3..=5).contains(&answered), "{answered}");
        kit::until("its port is banned", || banned(&guard).len() == port);
        assert_eq!(office.old_password(port, 1), 0, "its flow is dropped");
        assert_eq!(office.calling(9), 9);
        let held = banned(&guard);
        assert!(held.iter().all(|ban| ban.starts_with(&format!("{OFFICE}:"))), "{held:?}");
    }
    // Whoever comes back from a third port within ten minutes guesses.
    office.old_password(3, 4);
    kit::until("the host is banned", || banned(&guard).contains(&format!("{OFFICE} proven")));
    assert_eq!(office.calling(1), 0);
    let explained = guard.order(&["explain", OFFICE]);
    assert!(explained.contains("account 209 fails beside them"), "{explained}");
}
