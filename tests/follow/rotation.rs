//! Files that are renamed, deleted, switched and truncated.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, symlink};
use std::time::{Duration, SystemTime};

use asterguard::input::{Origin, SourceEvent};

use crate::{Bench, appender, numbered, numbers};

#[test]
fn the_old_file_is_drained_before_the_new_one_is_read() {
    let mut bench = Bench::new();
    bench.append("log", "1\n2\n");
    assert_eq!(bench.read(), ["1", "2"]);
    let mut writer = appender(&bench.at("log"));
    bench.rename("log", "log.1");
    File::create(bench.at("log")).unwrap();
    // The writer has not been told yet, as with logrotate's `create`.
    for line in ["3", "4"] {
        writeln!(writer, "{line}").unwrap();
        assert_eq!(bench.read(), [line]);
        assert!(bench.is_following());
    }
    write!(writer, "5\n6\n").unwrap();
    bench.append("log", "7\n");
    assert_eq!(bench.read(), ["5", "6", "7"]);
    assert_eq!(bench.open_files(), 2, "the writer's and the follower's");
}

#[test]
fn a_missing_path_does_not_end_the_reading() {
    let mut bench = Bench::new();
    bench.append("log", "1\n");
    assert_eq!(bench.read(), ["1"]);
    let mut writer = appender(&bench.at("log"));
    fs::remove_file(bench.at("log")).unwrap();
    writeln!(writer, "2").unwrap();
    assert_eq!(bench.read(), ["2"]);
    assert_eq!(
        bench.follower.state().to_string(),
        "waiting: there is no such file yet; it is followed as soon as it appears"
    );
    writeln!(writer, "3").unwrap();
    bench.append("log", "4\n");
    assert_eq!(bench.read(), ["3", "4"]);
    assert!(bench.is_following());
}

#[test]
fn the_cut_end_of_a_file_is_never_a_line() {
    let mut bench = Bench::new();
    bench.append("log", "1\nfailed for '203.0.113.2");
    assert_eq!(bench.read(), ["1"]);
    bench.rename("log", "log.1");
    bench.append("log", "3\n");
    assert_eq!(bench.read(), ["3"]);
    assert!(bench.events.contains(&SourceEvent::RestDropped { bytes: 23 }));

    // But the writer may still finish it while the new file is empty.
    bench.append("log", "4\nfai");
    assert_eq!(bench.read(), ["4"]);
    bench.rename("log", "log.2");
    File::create(bench.at("log")).unwrap();
    assert_eq!(bench.read(), [""; 0]);
    bench.append("log.2", "led\n");
    assert_eq!(bench.read(), ["failed"]);
}

#[test]
fn history_reaches_over_a_rotation() {
    let mut bench = Bench::new();
    bench.append("log", "<--- SIP read from UDP:198.51.100.7:5060 --->\nhalf a li");
    bench.read();
    bench.rename("log", "log.1");
    bench.append("log", "[date] forged\n");
    let mut history = Vec::new();
    bench.follower.poll(u64::MAX, &mut |region| {
        history = region.bytes[..region.start].to_vec();
    });
    assert_eq!(history, b"<--- SIP read from UDP:198.51.100.7:5060 --->\nhalf a li");
}

/// Rotates `log` away, `count` times in a row without a poll in between, with names as `rename`
/// gives them. Each file holds three lines.
fn rotate_unseen(bench: &mut Bench, next: &mut u64, count: usize, rename: &mut dyn FnMut(&Bench)) {
    let first = *next;
    bench.append("log", numbered(*next, 1));
    bench.read();
    bench.append("log", numbered(*next + 1, 2));
    *next += 3;
    for _ in 0..count {
        rename(bench);
        bench.append("log.1.gz", "[99999999] packed\n");
        bench.append("log", numbered(*next, 3));
        *next += 3;
    }
    let lines = bench.read();
    assert_eq!(numbers(&lines), (first + 1..*next).collect::<Vec<_>>(), "{:?}", bench.opened());
    assert_eq!(bench.open_files(), 1);
}

/// The same after rotations of which some were seen, for one, two and five rotations in a row.
/// Everything happens within a few ticks of the file system's clock.
fn every_file_is_read_once(mut rename: impl FnMut(&Bench)) {
    let mut bench = Bench::new();
    // Older files, from before the follower started, and one that would have to be unpacked.
    for old in ["log.100", "log.101", "log-20200101", "log.99.log", "log.old", "log.1.gz"] {
        bench.append(old, "[99999999] old\n");
        let day_ago = SystemTime::now() - Duration::from_secs(86_400);
        File::options().write(true).open(bench.at(old)).unwrap().set_modified(day_ago).unwrap();
    }
    let mut next = 0;
    for count in [2, 1, 5, 1, 2, 0, 3] {
        rotate_unseen(&mut bench, &mut next, count, &mut rename);
    }
}

#[test]
fn rotations_in_a_row_named_by_sequential() {
    let mut number = 101;
    every_file_is_read_once(|bench| {
        number += 1;
        bench.rename("log", &format!("log.{number}"));
    });
}

#[test]
fn rotations_in_a_row_named_by_rotate() {
    every_file_is_read_once(|bench| {
        for number in (0..60).rev() {
            let from = bench.at(&format!("log.{number}"));
            if from.exists() {
                fs::rename(from, bench.at(&format!("log.{}", number + 1))).unwrap();
            }
        }
        bench.rename("log", "log.0");
    });
}

#[test]
fn rotations_in_a_row_named_by_timestamp() {
    let mut time = 1_795_309_297;
    every_file_is_read_once(|bench| {
        time += 1;
        bench.rename("log", &format!("log.{time}"));
    });
}

#[test]
fn rotations_in_a_row_named_by_date() {
    let mut hour = 2_026_112_200;
    every_file_is_read_once(|bench| {
        hour += 1;
        bench.rename("log", &format!("log-{hour}"));
    });
}

#[test]
fn a_copy_of_a_file_is_not_read_beside_it() {
    let mut bench = Bench::new();
    bench.append("log", numbered(0, 20));
    bench.read();
    bench.rename("log", "log.1");
    fs::copy(bench.at("log.1"), bench.at("log.bak")).unwrap();
    bench.append("log", numbered(20, 20));
    fs::copy(bench.at("log"), bench.at("log.old")).unwrap();
    assert_eq!(numbers(&bench.read()), (20..40).collect::<Vec<_>>());
}

#[test]
fn an_edited_file_goes_on_where_it_was() {
    let mut bench = Bench::new();
    bench.append("log", numbered(0, 20));
    bench.read();
    fs::copy(bench.at("log"), bench.at("edited")).unwrap();
    bench.rename("edited", "log");
    bench.append("log", numbered(20, 1));
    assert_eq!(numbers(&bench.read()), [20]);
}

#[test]
fn a_link_can_be_switched_and_switched_back() {
    let mut bench = Bench::new();
    let switch = |bench: &Bench, to: &str| {
        symlink(bench.at(to), bench.at("link")).unwrap();
        bench.rename("link", "log");
    };
    bench.append("a", numbered(0, 10));
    switch(&bench, "a");
    assert_eq!(numbers(&bench.read()), (0..10).collect::<Vec<_>>());
    bench.append("a", numbered(10, 1));
    bench.append("b", numbered(11, 2));
    switch(&bench, "b");
    assert_eq!(numbers(&bench.read()), [10, 11, 12]);
    bench.append("a", numbered(13, 2));
    switch(&bench, "a");
    assert_eq!(numbers(&bench.read()), [13, 14]);
    fs::remove_file(bench.at("a")).unwrap();
    assert_eq!(bench.read(), [""; 0]);
    assert!(!bench.is_following());
    bench.append("a", "[00000015] new\n");
    assert_eq!(numbers(&bench.read()), [15]);
}

#[test]
fn a_link_to_dated_files_is_followed_through_them() {
    let mut bench = Bench::new();
    for day in 0..4 {
        let name = format!("log-2026112{day}");
        bench.append(&name, numbered(day * 2, 2));
        symlink(bench.at(&name), bench.at("link")).unwrap();
        bench.rename("link", "log");
        // The third switch is not seen.
        if day != 2 {
            let expected = if day == 3 { 4..8 } else { day * 2..day * 2 + 2 };
            assert_eq!(numbers(&bench.read()), expected.collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_truncated_file_is_read_from_its_start() {
    let mut bench = Bench::new();
    bench.append("log", "one\ntwo\nthr");
    assert_eq!(bench.read(), ["one", "two"]);
    fs::write(bench.at("log"), "").unwrap();
    bench.append("log", "1\n2\n");
    assert_eq!(bench.read(), ["1", "2"]);
    assert!(bench.events.contains(&SourceEvent::Truncated { copy: None }));
    assert!(bench.events.contains(&SourceEvent::RestDropped { bytes: 3 }));
    // Grown beyond its former size before anybody looked.
    fs::write(bench.at("log"), "3\n4\n5\n6\n7\n").unwrap();
    assert_eq!(bench.read(), ["3", "4", "5", "6", "7"]);
    // To exactly its former size.
    fs::write(bench.at("log"), "8\n9\na\nb\nc\n").unwrap();
    assert_eq!(bench.read(), ["8", "9", "a", "b", "c"]);
    // Still the same file, as ever.
    bench.append("log", "d\n");
    assert_eq!(bench.read(), ["d"]);
}

#[test]
fn a_file_that_begins_as_before_it_was_truncated_is_read_from_its_start() {
    let mut bench = Bench::new();
    // As objects of one program do, up to the message.
    let line = |message: &str| format!("{}{message}", "x".repeat(600));
    bench.append("log", line("one") + "\n");
    assert_eq!(bench.read(), [line("one")]);
    for messages in [["two", "three"], ["four", "five"]] {
        let lines = messages.map(line);
        fs::write(bench.at("log"), lines.join("\n") + "\n").unwrap();
        assert_eq!(bench.read(), lines);
    }
}

#[test]
fn lines_unread_before_a_truncation_come_from_the_copy() {
    let mut bench = Bench::with(Origin::Start, |log| crate::append(log, numbered(0, 30)));
    bench.append("log", "[00000030] cut");
    assert_eq!(numbers(&bench.read()), (0..30).collect::<Vec<_>>());
    bench.append("log", " here\n");
    bench.append("log", numbered(31, 2));
    // An older copy, and one that has nothing to do with it.
    bench.append("log.2", numbered(500, 90));
    fs::copy(bench.at("log"), bench.at("log.1")).unwrap();
    fs::write(bench.at("log"), "").unwrap();
    assert_eq!(numbers(&bench.read()), [30, 31, 32]);
    assert!(bench.events.contains(&SourceEvent::Truncated { copy: Some(bench.at("log.1")) }));
    bench.append("log", numbered(33, 20));
    assert_eq!(numbers(&bench.read()), (33..53).collect::<Vec<_>>());

    // Nothing is looked for if all of it was read.
    bench.events.clear();
    fs::copy(bench.at("log"), bench.at("log.0")).unwrap();
    fs::write(bench.at("log"), "").unwrap();
    assert_eq!(bench.read(), [""; 0]);
    assert_eq!(bench.events, [SourceEvent::Truncated { copy: None }]);
}

#[test]
fn empty_files_in_a_row_are_passed() {
    let mut bench = Bench::new();
    bench.append("log", numbered(0, 1));
    bench.read();
    for rotation in 0..5 {
        bench.rename("log", &format!("log.{rotation}"));
        File::create(bench.at("log")).unwrap();
    }
    bench.append("log", numbered(1, 1));
    assert_eq!(numbers(&bench.read()), [1]);
}

/// Nobody waits for the first line of a new file to read what was rotated away before it.
#[test]
fn files_between_are_read_while_the_new_one_is_empty() {
    let mut bench = Bench::new();
    bench.append("log", numbered(0, 1));
    assert_eq!(numbers(&bench.read()), [0]);
    let mut writer = appender(&bench.at("log"));
    bench.rename("log", "log.1");
    File::create(bench.at("log")).unwrap();
    assert_eq!(bench.read(), [""; 0]);
    writer.write_all(numbered(1, 1).as_bytes()).unwrap();
    for (line, file) in [(2, "log.2"), (3, "log.3")] {
        bench.append("log", numbered(line, 1));
        bench.rename("log", file);
        File::create(bench.at("log")).unwrap();
    }
    assert_eq!(numbers(&bench.read()), [1, 2, 3]);
    // Its writer may still write to the last of them.
    bench.append("log.3", numbered(4, 1));
    assert_eq!(numbers(&bench.read()), [4]);
    bench.append("log", numbered(5, 1));
    assert_eq!(numbers(&bench.read()), [5]);
}

#[test]
fn rotations_behind_a_link_are_found() {
    let mut bench = Bench::new();
    fs::create_dir(bench.at("data")).unwrap();
    symlink(bench.at("data/messages"), bench.at("log")).unwrap();
    bench.append("data/messages", numbered(0, 1));
    bench.read();
    for rotation in 1..4 {
        bench.rename("data/messages", &format!("data/messages.{rotation}"));
        bench.append("data/messages", numbered(rotation, 1));
    }
    assert_eq!(numbers(&bench.read()), [1, 2, 3]);
}

#[test]
fn a_short_truncated_file_is_found_in_its_copy_too() {
    let mut bench = Bench::with(Origin::Start, |log| crate::append(log, numbered(0, 2)));
    assert_eq!(numbers(&bench.read()), [0, 1]);
    bench.append("log", numbered(2, 1));
    fs::copy(bench.at("log"), bench.at("log.1")).unwrap();
    fs::write(bench.at("log"), numbered(3, 9)).unwrap();
    assert_eq!(numbers(&bench.read()), (2..12).collect::<Vec<_>>());
}

#[test]
fn a_file_that_was_cut_short_is_read_from_its_start() {
    let mut bench = Bench::with(Origin::Start, |log| crate::append(log, numbered(0, 50)));
    bench.read();
    let length = numbered(0, 10).len() as u64;
    File::options().write(true).open(bench.at("log")).unwrap().set_len(length).unwrap();
    bench.append("log", numbered(10, 1));
    assert_eq!(numbers(&bench.read()), (0..11).collect::<Vec<_>>());
}

#[test]
fn files_with_the_same_first_line_are_different_files() {
    let mut bench = Bench::new();
    bench.append("log", "same\n");
    assert_eq!(bench.read(), ["same"]);
    bench.rename("log", "log.1");
    bench.append("log", "same\n2\n");
    bench.rename("log", "log.2");
    bench.append("log", "same\n3\n");
    assert_eq!(bench.read(), ["same", "2", "same", "3"]);
}

#[test]
fn an_old_file_is_not_newer_for_being_touched() {
    let mut bench = Bench::new();
    bench.append("log.9", "[99999999] old\n");
    let Ok(old) = fs::metadata(bench.at("log.9")).unwrap().created() else {
        eprintln!("skipped: this file system does not know when a file was created");
        return;
    };
    crate::until("the next tick of the file system's clock", || {
        let _ = fs::remove_file(bench.at("log"));
        bench.append("log", numbered(0, 1));
        fs::metadata(bench.at("log")).unwrap().created().unwrap() > old
    });
    bench.read();
    bench.rename("log", "log.1");
    bench.append("log.9", "[99999999] touched\n");
    bench.append("log", numbered(1, 1));
    assert_eq!(numbers(&bench.read()), [1]);
}

#[test]
fn empty_file_is_not_mistaken_for_a_later_one() {
    let mut bench = Bench::with(Origin::Start, |log| drop(appender(log)));
    let number = |bench: &Bench, name: &str| fs::metadata(bench.at(name)).unwrap().ino();
    let empty = number(&bench, "log");
    fs::remove_file(bench.at("log")).unwrap();
    bench.append("log", numbered(0, 1));
    assert_eq!(numbers(&bench.read()), [0]);
    // Now the number is free again.
    let names: Vec<_> = (0..500).map(|n| format!("try{n}")).collect();
    let reused = names.iter().find(|name| {
        bench.append(name, numbered(1, 1));
        number(&bench, name) == empty
    });
    let Some(reused) = reused else {
        eprintln!("skipped: this file system does not reuse inode numbers");
        return;
    };
    bench.rename("log", "log.1");
    bench.rename(reused, "log.2");
    bench.append("log", numbered(2, 1));
    assert_eq!(numbers(&bench.read()), [1, 2]);
}
