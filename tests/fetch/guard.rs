//! The guard takes up what was fetched, and nothing comes through meanwhile.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::kit::Fate::{Arrived, Dropped};
use crate::kit::guard::{Guard, Home, PROGRAM};
use crate::kit::{self, EVE, Lab, MALLORY, SIP};

const CONFIG: &str = "[wire]\nenabled = false\n[default]\nlogpath = ['$DIR/messages']\n";
const FEED: &str = "[feed.drop]\nurl = 'https://127.0.0.1:1/list'\nevery = '1h'\npath = '$DIR/lists/drop.list'\n[lists]\nblockfiles = '$DIR/own.list'\n";

/// Puts a list in its place, as `asterguard fetch` does.
fn put(home: &Home, text: &str, record: &str) {
    for (name, text) in [("lists/drop.list", text), ("lists/drop.list.state", record)] {
        home.write("new", text);
        fs::rename(home.path("new"), home.path(name)).unwrap();
    }
}

fn record(ago: i64, more: &str) -> String {
    let time = kit::now().secs() - ago;
    format!(r#"{{"tried":{time},"fetched":{time}{more}}}"#)
}

fn start(lab: &Lab) -> Guard {
    let home = Home::new(&format!("{CONFIG}{FEED}"));
    fs::create_dir(home.path("lists")).unwrap();
    home.write("own.list", "");
    let run = home.run(lab.pbx.command(PROGRAM));
    Guard::start_in(home, run)
}

#[test]
fn fetched_lists_are_taken_up_without_a_reload() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let guard = start(&lab);
    let problems = || guard.status()["problems"].to_string();
    assert!(
        problems().contains("feed drop: it was not fetched yet; do: asterguard fetch drop"),
        "{}",
        problems()
    );
    let hour = record(0, "");
    put(&guard, &format!("{EVE}\n"), &hour);
    guard.says("taken up what was fetched");
    assert_eq!((lab.udp(EVE, SIP), lab.udp(MALLORY, SIP)), (Dropped, Arrived));
    kit::until("all is well", || guard.status()["health"] == "OK");
    let text = guard.order(&["status"]);
    assert!(text.contains("  feed drop: 1 network, fetched "), "{text}");

    // Lists of one's own wait for a reload, whatever else is taken up.
    guard.write("own.list", &format!("{MALLORY}\n"));
    put(&guard, &format!("{EVE}\n203.0.113.0/24\n"), &hour);
    guard.says_times("taken up what was fetched", 2);
    assert_eq!((lab.udp(EVE, SIP), lab.udp(MALLORY, SIP)), (Dropped, Arrived));

    // What the fetcher's process could write if it were somebody else's: nothing that opens or closes everything.
    for (hostile, words) in [
        ("<html>\n", "is no list of networks"),
        (
            &(1..=140).map(|n| format!("{n}.0.0.0/8\n")).collect::<Vec<_>>().concat(),
            "more than half of all IPv4",
        ),
    ] {
        put(&guard, hostile, &record(0, r#","error":"\u001b[2J no","todo":7"#));
        kit::until("it is a problem", || problems().contains(words));
        assert_eq!((lab.udp(EVE, SIP), lab.udp(MALLORY, SIP)), (Dropped, Arrived), "{words}");
    }

    // An old list is said to be one, with the reason.
    let old =
        record(4 * 3600, r#","error":"it is a page (HTML), \u001b[2Jnot a list","todo":"see url""#);
    put(&guard, &format!("{EVE}\n"), &old);
    kit::until("it is too old", || {
        problems().contains(", and not every 1h: it is a page (HTML), ")
    });
    assert!(!problems().contains('\u{1b}'));
    assert_eq!(guard.status()["health"], "DEGRADED");
    let text = guard.order(&["list", "feed"]);
    assert!(
        text.contains(" ago; the last try, 4h") && text.contains(" ago: it is a page (HTML), "),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'), "{text}");
    assert_eq!(lab.udp(EVE, SIP), Dropped);
}

#[test]
fn no_packet_of_a_listed_host_comes_through_meanwhile() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let guard = start(&lab);
    put(&guard, &format!("{EVE}\n"), &record(0, ""));
    guard.says("taken up what was fetched");
    assert_eq!((lab.udp(EVE, SIP), lab.udp(MALLORY, SIP)), (Dropped, Arrived));
    let (done, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let (done, sent, lab) = (&done, &sent, &mut lab);
        scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                assert_eq!(lab.udp(EVE, SIP), Dropped);
                sent.fetch_add(1, Ordering::Relaxed);
            }
        });
        // Lists of other lengths, so that other sets and other rules hold the host.
        for (number, list) in
            ["192.0.2.64/26", "192.0.2.66", "192.0.2.0/25", "192.0.2.66/31", "192.0.2.66"]
                .iter()
                .enumerate()
        {
            let before = sent.load(Ordering::Relaxed);
            let many: Vec<_> =
                (0..20_000).map(|n| format!("198.18.{}.{}\n", n >> 8, n & 255)).collect();
            let many = many.concat();
            put(&guard, &format!("{list}\n{many}# {number}\n"), &record(0, ""));
            guard.says_times("taken up what was fetched", number + 2);
            kit::until("packets were sent", || sent.load(Ordering::Relaxed) > before);
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(sent.load(Ordering::Relaxed) > 5);
    assert_eq!(guard.status()["health"], "OK");
}
