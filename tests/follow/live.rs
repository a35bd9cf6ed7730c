//! Follower and watcher together, without the safety tick.

use std::fs;
use std::io::Write;
use std::time::{Duration, Instant};

use asterguard::input::{Origin, Watcher};
use tokio::time::timeout;

use crate::{Bench, appender};

/// Polls after each wake-up, and only then, until the follower has seen `line`.
async fn sees(bench: &mut Bench, watcher: &mut Watcher, line: &str) -> Duration {
    let written = Instant::now();
    while bench.seen.last().is_none_or(|last| last != line.as_bytes()) {
        let woken = timeout(Duration::from_secs(5), watcher.changed()).await;
        woken.unwrap_or_else(|_| panic!("no wake-up for {line:?}")).unwrap();
        while bench.poll().more {}
    }
    written.elapsed()
}

/// Takes up all wake-ups that are under way.
async fn settle(bench: &mut Bench, watcher: &mut Watcher) {
    while timeout(Duration::from_millis(20), watcher.changed()).await.is_ok() {
        bench.poll();
    }
}

#[tokio::test]
async fn each_line_wakes_the_reader_after_any_file_change() {
    let mut bench = Bench::with(Origin::Start, |log| drop(appender(log)));
    let mut watcher = Watcher::new();
    watcher.watch(bench.at("log")).await;
    let mut delays = Vec::new();
    let mut expected = Vec::new();
    for rotation in 0..48 {
        match rotation % 4 {
            0 => bench.rename("log", &format!("log.{rotation}")),
            // The follower holds it open, so the kernel does not say that it is gone.
            1 => fs::remove_file(bench.at("log")).unwrap(),
            2 => {
                bench.append("next", "");
                bench.rename("next", "log");
            }
            _ => fs::write(bench.at("log"), "").unwrap(),
        }
        let mut writer = appender(&bench.at("log"));
        for line in 0..2 {
            // The first line comes after the change was noticed, or right with it.
            if line > 0 || rotation % 3 == 0 {
                settle(&mut bench, &mut watcher).await;
            }
            let line = format!("{rotation} {line}");
            writeln!(writer, "{line}").unwrap();
            delays.push(sees(&mut bench, &mut watcher, &line).await);
            expected.push(line.into_bytes());
        }
    }
    assert_eq!(bench.seen, expected);
    delays.sort();
    eprintln!("median {:?}, slowest {:?}", delays[delays.len() / 2], delays[delays.len() - 1]);
}
