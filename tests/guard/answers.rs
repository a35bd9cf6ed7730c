//! Long answers: the control socket tells of very many bans, and to callers of all kinds.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::CONFIG;
use crate::kit::guard::{Guard, Home, PROGRAM};
use crate::kit::{self, Netns};

/// More than a `status` has counters of.
const MANY: usize = 25_000;

/// A guard that found so many bans in the kernel.
fn with_many_bans(netns: &Netns) -> Guard {
    let first = Guard::start(netns, CONFIG);
    let home = first.stop();
    let mut text = String::new();
    for n in 0..MANY {
        let (a, b) = (n / 250, n % 250);
        writeln!(text, "add element inet asterguard ban4 {{ 10.7.{a}.{b} timeout 1h }}").unwrap();
    }
    netns.nft().run(&["-f", "-"], text.as_bytes()).unwrap();
    let run = home.run(netns.command(PROGRAM));
    Guard::start_in(home, run)
}

#[test]
fn status_with_many_bans_is_immediate() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = with_many_bans(&netns);

    // Callers that want it all, and do not read it.
    let lazy: Vec<_> = (0..4)
        .map(|_| {
            let mut lazy = UnixStream::connect(guard.path("socket")).unwrap();
            lazy.write_all(b"{\"command\":\"banned\",\"host\":null}\n").unwrap();
            // It has begun to answer.
            lazy.read_exact(&mut [0]).unwrap();
            lazy
        })
        .collect();
    // What is short is told to others all the same, and orders are carried out.
    let begin = Instant::now();
    guard.order(&["ban", "198.51.100.7"]);
    assert!(!guard.order(&["explain", "198.51.100.7"]).is_empty());

    // The first line needs no list.
    let mut program = netns.command(PROGRAM);
    let status = guard.program(&mut program, &["status"]).stdout(Stdio::piped());
    let mut child = status.spawn().unwrap();
    let mut headline = [0; 20];
    child.stdout.as_mut().unwrap().read_exact(&mut headline).unwrap();
    assert_eq!(String::from_utf8_lossy(&headline), "OK: 25001 hosts bann");
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    child.kill().unwrap();
    child.wait().unwrap();

    // Nor does a crowd that asks for nothing end what they are being told.
    let crowd = crowd(&guard, b"");
    guard.order(&["explain", "198.51.100.7"]);
    for mut lazy in lazy {
        let mut answer = String::new();
        lazy.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("}\n") && answer.matches("10.7.").count() >= MANY);
    }
    drop(crowd);

    let banned = guard.order(&["banned", "--json"]);
    assert_eq!(banned.lines().count(), MANY + 1);
    for line in banned.lines() {
        let ban: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(ban["packets"], 0, "{ban}");
    }
    let status = guard.status();
    assert!(
        status["jails"]
            .as_array()
            .unwrap()
            .iter()
            .any(|jail| { jail["banned"].as_array().is_some_and(|bans| bans.len() == MANY + 1) })
    );
}

/// Callers that send this and no more.
fn crowd(guard: &Guard, begin: &[u8]) -> Vec<UnixStream> {
    let caller = |_| {
        let mut caller = UnixStream::connect(guard.path("socket")).unwrap();
        // Those that came first may be dropped by then.
        let _ = caller.write_all(begin);
        caller
    };
    (0..200).map(caller).collect()
}

#[test]
fn idle_callers_keep_nobody_waiting() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    for begin in [&b""[..], b"{\"command\":\"status\"", b"{"] {
        let crowd = crowd(&guard, begin);
        let asked = Instant::now();
        assert!(guard.order(&["status"]).starts_with("OK"));
        assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
        // The last ones still may send the rest.
        let mut last = crowd.into_iter().next_back().unwrap();
        let whole = "{\"command\":\"status\",\"jail\":null}\n";
        last.write_all(&whole.as_bytes()[begin.len()..]).unwrap();
        let mut answer = String::new();
        last.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("\"health\":\"OK\""), "{answer}");
    }
}

#[test]
fn slow_senders_keep_nobody_waiting() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    let mut crowd = crowd(&guard, b"{");
    // A byte now and then prolongs nothing: each has ten seconds for all of its request.
    let dropped = |caller: &mut UnixStream| caller.write_all(b" ").is_err();
    kit::until("all of them are dropped", || {
        assert!(guard.order(&["status"]).starts_with("OK"));
        crowd.retain_mut(|caller| !dropped(caller));
        crowd.is_empty()
    });
}

/// What a command says to a daemon that answers `text` and ends.
fn asked_of(text: &'static str, args: &[&str]) -> (i32, String, String) {
    let home = Home::new("");
    let listener = UnixListener::bind(home.path("socket")).unwrap();
    let daemon = thread::spawn(move || {
        let (mut caller, _) = listener.accept().unwrap();
        let mut request = [0; 1000];
        assert_ne!(caller.read(&mut request).unwrap(), 0);
        caller.write_all(text.as_bytes()).unwrap();
    });
    let told = home.ctl(args);
    daemon.join().unwrap();
    told
}

#[test]
fn truncated_answer_is_a_failure() {
    // Even one that is whole as far as JSON goes: its end is missing.
    let whole = r#"{"answer":"banned","bans":[]}"#;
    for text in [&whole[..10], whole] {
        for args in [&["banned"][..], &["banned", "--json"], &["status"], &["status", "--json"]] {
            let (code, out, said) = asked_of(text, args);
            assert_eq!((code, out.as_str()), (1, ""), "{args:?}: {said}");
            assert!(said.contains("broke off its answer after"), "{said}");
        }
    }
    let (code, out, said) = asked_of("", &["banned"]);
    assert_eq!((code, out.as_str()), (4, ""), "{said}");
}
