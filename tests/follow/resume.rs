//! Going on at a position that was taken earlier.

use std::fs;

use asterguard::input::{
    Follower, LineSource as _, Origin, Position, Remotes, SourceCheckpoint, SourceKey,
};

use crate::{Bench, append, numbered, numbers};

/// Stops the follower, does `meanwhile`, and goes on from its checkpoint, kept as bytes.
fn restart(bench: &mut Bench, meanwhile: impl FnOnce(&Bench)) {
    let bytes = bench.follower.checkpoint().unwrap().as_bytes().to_vec();
    bench.follower = Follower::new(bench.at("nothing"), Origin::Start);
    meanwhile(bench);
    let position = Position::from_checkpoint(&SourceCheckpoint::new(bytes)).unwrap();
    bench.follower = Follower::resume(bench.at("log"), position);
}

#[test]
fn no_line_is_lost_or_read_twice_wherever_it_stops() {
    let text = numbered(0, 6);
    for stop in 0..text.len() {
        let mut bench = Bench::with(Origin::Start, |log| append(log, &text[..stop]));
        let mut lines = bench.read();
        restart(&mut bench, |bench| bench.append("log", &text[stop..]));
        lines.extend(bench.read());
        assert_eq!(numbers(&lines), (0..6).collect::<Vec<_>>(), "stopped after {stop} bytes");
    }
}

#[test]
fn the_history_is_there_after_a_restart() {
    let mut bench = Bench::with(Origin::Start, |log| append(log, numbered(0, 1000)));
    bench.read();
    restart(&mut bench, |bench| bench.append("log", numbered(1000, 1)));
    let mut history = Vec::new();
    bench.follower.poll(u64::MAX, &mut |region| {
        history = region.bytes[..region.start].to_vec();
    });
    let before = numbered(0, 1000);
    assert_eq!(history, &before.as_bytes()[before.len() - 8192..]);
}

#[test]
fn rest_of_an_overlong_line_is_skipped_after_a_restart() {
    let mut bench = Bench::with(Origin::Start, |log| append(log, vec![b'x'; 9000]));
    bench.read();
    restart(&mut bench, |bench| bench.append("log", "failed for '203.0.113.9'\nnew\n"));
    assert_eq!(bench.read(), ["new"]);
}

#[test]
fn files_that_were_rotated_meanwhile_are_read_in_order() {
    for rotations in 1..4 {
        let mut bench = Bench::with(Origin::Start, |log| append(log, numbered(0, 20)));
        let mut lines = bench.read();
        restart(&mut bench, |bench| {
            bench.append("log", numbered(20, 5));
            for rotation in 0..rotations {
                for number in (0..rotation).rev() {
                    bench.rename(&format!("log.{number}"), &format!("log.{}", number + 1));
                }
                bench.rename("log", "log.0");
                bench.append("log", numbered(25 + 5 * rotation, 5));
            }
        });
        lines.extend(bench.read());
        assert_eq!(numbers(&lines), (0..25 + 5 * rotations).collect::<Vec<_>>());
    }
}

#[test]
fn unreadable_file_resumes_where_it_ended() {
    let bench = Bench::new();
    assert_eq!(Position::end_of(&bench.at("log")).unwrap(), None);
    assert!(Position::end_of(bench.dir.path()).is_err(), "a directory has no lines");
    // Up to the end of a line, in the middle of one, and before the first.
    for before in ["0\n1\n", "0\n1", ""] {
        for rotated in [false, true] {
            let mut bench = Bench::with(Origin::Start, |log| append(log, before));
            let position = Position::end_of(&bench.at("log")).unwrap().unwrap();
            bench.append("log", "rest\n2\n");
            if rotated {
                bench.rename("log", "log.1");
                bench.append("log", "3\n");
            }
            bench.follower = Follower::resume(bench.at("log"), position);
            let mut expected = vec!["rest", "2", "3"];
            expected.truncate(if rotated { 3 } else { 2 });
            // The end of a line that was entered in its middle is none.
            let cut = usize::from(before.ends_with('1'));
            assert_eq!(bench.read(), expected[cut..], "{before:?} {rotated}");
        }
    }
}

#[test]
fn a_copy_that_was_made_meanwhile_is_read_on() {
    let mut bench = Bench::with(Origin::Start, |log| append(log, numbered(0, 20)));
    let mut lines = bench.read();
    restart(&mut bench, |bench| {
        bench.append("log", numbered(20, 5));
        fs::copy(bench.at("log"), bench.at("log.1")).unwrap();
        fs::write(bench.at("log"), numbered(25, 20)).unwrap();
    });
    lines.extend(bench.read());
    assert_eq!(numbers(&lines), (0..45).collect::<Vec<_>>());
}

#[test]
fn file_is_recognised_by_its_head_and_last_bytes_read() {
    let ends = [
        // Another beginning, and another end, of the same length.
        numbered(100, 10) + &numbered(10, 10),
        numbered(0, 10) + &numbered(110, 10),
    ];
    for text in ends {
        let mut bench = Bench::with(Origin::Start, |log| append(log, numbered(0, 20)));
        bench.read();
        restart(&mut bench, |bench| fs::write(bench.at("log"), &text).unwrap());
        assert_eq!(bench.read(), text.lines().collect::<Vec<_>>());
    }
}

#[test]
fn an_unknown_file_is_read_from_its_start() {
    let mut bench = Bench::with(Origin::Start, |log| append(log, numbered(0, 20)));
    bench.read();
    restart(&mut bench, |bench| fs::write(bench.at("log"), numbered(100, 30)).unwrap());
    assert_eq!(numbers(&bench.read()), (100..130).collect::<Vec<_>>());

    // A position that makes no sense is as good as none.
    let nonsense = Position {
        dev: u64::MAX,
        ino: u64::MAX,
        offset: u64::MAX,
        fingerprint: vec![b'['; 10_000],
        before: vec![b'x'; 10_000],
    };
    bench.follower = Follower::resume(bench.at("log"), nonsense);
    assert_eq!(numbers(&bench.read()), (100..130).collect::<Vec<_>>());
}

#[test]
fn source_is_known_by_its_key_and_resumes_from_bytes() {
    let bench = Bench::with(Origin::Start, |log| append(log, numbered(0, 20)));
    let key = SourceKey::File(bench.at("log"));
    assert_eq!(SourceKey::from_bytes(&key.to_bytes()), Some(key.clone()));
    for named in ["journal:asterisk.service", "ami:"].map(|name| SourceKey::named(name).unwrap()) {
        assert_eq!(SourceKey::from_bytes(&named.to_bytes()), Some(named.clone()));
        assert_eq!(SourceKey::named(&named.to_string()), Some(named));
    }
    assert_eq!(SourceKey::from_bytes(b"kafka:asterisk"), None);
    assert_eq!(SourceKey::from_bytes(b""), None);

    let end = key.end().unwrap().unwrap();
    bench.append("log", numbered(20, 1));
    let mut resumed = key.resume(&end, &Remotes::default()).unwrap();
    assert!(resumed.found);
    let mut lines = Vec::new();
    resumed.source.poll(u64::MAX, &mut |region| {
        lines.extend(region.lines().map(|(_, line)| String::from_utf8(line.to_vec()).unwrap()));
    });
    assert_eq!(numbers(&lines), [20]);
    for nonsense in [&b""[..], b"{}", b"\xff"] {
        assert!(
            key.resume(&SourceCheckpoint::new(nonsense.to_vec()), &Remotes::default()).is_none()
        );
    }
}

#[test]
fn a_file_that_is_missing_at_the_restart_is_awaited() {
    let mut bench = Bench::with(Origin::Start, |log| append(log, numbered(0, 20)));
    let mut lines = bench.read();
    restart(&mut bench, |bench| {
        bench.append("log", numbered(20, 1));
        bench.rename("log", "log.0");
    });
    lines.extend(bench.read());
    bench.append("log", numbered(21, 1));
    lines.extend(bench.read());
    assert_eq!(numbers(&lines), (0..22).collect::<Vec<_>>());
}

#[test]
fn long_backlog_keeps_newest_bytes() {
    for most in [0, 40, 100, 170, 300, 450, 10_000] {
        let mut bench = Bench::with(Origin::Start, |log| append(log, numbered(0, 20)));
        bench.read();
        let mut missed = String::new();
        let position = bench.follower.position().unwrap();
        for rotation in 0..4 {
            let text = numbered(20 + 5 * rotation, 5);
            bench.append("log", &text);
            missed += &text;
            if rotation < 3 {
                bench.rename("log", &format!("log.{rotation}"));
            }
        }
        bench.follower = Follower::resume_within(bench.at("log"), position, most);
        let lines = bench.read();
        let read = numbers(&lines);
        let fits = missed.lines().rev().scan(0, |bytes, line| {
            *bytes += line.len() as u64 + 1;
            (*bytes <= most).then_some(())
        });
        let fits = fits.count();
        assert_eq!(read, (40 - fits as u64..40).collect::<Vec<_>>(), "{most} bytes");
        // What comes now is new, however much there was.
        bench.append("log", numbered(40, 50));
        assert_eq!(numbers(&bench.read()), (40..90).collect::<Vec<_>>(), "{most} bytes");
    }
}
