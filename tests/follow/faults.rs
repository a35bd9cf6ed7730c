//! Paths that are no files, and files that hold no text.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use asterguard::input::{Follower, Origin, State, Why};

use crate::{Bench, append, appender, numbered, numbers, programs};

#[test]
fn a_missing_file_is_awaited_and_read_from_its_start() {
    for origin in [Origin::Start, Origin::End] {
        let mut bench = Bench::with(origin, |_| {});
        assert_eq!(bench.read(), [""; 0]);
        assert_eq!(*bench.follower.state(), State::Waiting { why: Why::Missing });
        bench.append("log", "1\n2\n");
        assert_eq!(bench.read(), ["1", "2"]);
        assert!(bench.is_following());
    }
}

#[test]
fn a_directory_may_appear_and_vanish() {
    let dir = tempfile::tempdir().unwrap();
    let parent = dir.path().join("a/b");
    let path = parent.join("log");
    let mut follower = Follower::new(&path, Origin::End);
    let mut lines = Vec::new();
    let mut poll = |expected: &[&[u8]]| {
        follower.poll(u64::MAX, &mut |region| {
            lines.extend(region.lines().map(|(_, line)| line.to_vec()));
        });
        assert_eq!(lines, expected);
        follower.state().clone()
    };
    assert_eq!(poll(&[]), State::Waiting { why: Why::Missing });
    fs::create_dir_all(&parent).unwrap();
    assert_eq!(poll(&[]), State::Waiting { why: Why::Missing });
    append(&path, "1\n");
    assert_eq!(poll(&[b"1"]), State::Following);
    fs::remove_dir_all(dir.path().join("a")).unwrap();
    assert_eq!(poll(&[b"1"]), State::Waiting { why: Why::Missing });
    append(&dir.path().join("a"), "a file in place of the directory");
    assert_eq!(poll(&[b"1"]), State::Waiting { why: Why::Missing });
    fs::remove_file(dir.path().join("a")).unwrap();
    fs::create_dir_all(&parent).unwrap();
    append(&path, "2\n");
    assert_eq!(poll(&[b"1", b"2"]), State::Following);
}

#[test]
fn the_end_is_after_the_last_complete_line() {
    let mut bench = Bench::with(Origin::End, |log| append(log, "old\nold\nbeg"));
    bench.append("log", "un\nnew\n");
    assert_eq!(bench.read(), ["begun", "new"]);
    let cases = [("", "a\n", vec!["a"]), ("old", "a\n", vec!["olda"]), ("old\n", "a\n", vec!["a"])];
    for (old, new, expected) in cases {
        let mut bench = Bench::with(Origin::End, |log| append(log, old));
        bench.append("log", new);
        assert_eq!(bench.read(), expected, "{old:?} {new:?}");
    }
    // A line that began too long ago is not given out; what comes before it is history.
    let mut bench = Bench::with(Origin::End, |log| append(log, vec![b'x'; 100_000]));
    bench.append("log", "end\nnew\n");
    let mut history = 0;
    bench.follower.poll(u64::MAX, &mut |region| {
        assert_eq!(&region.bytes[region.start..], b"new\n");
        history = region.start;
    });
    assert_eq!(history, 8192);
}

#[test]
fn non_regular_file_is_refused_without_waiting() {
    for kind in ["directory", "named pipe", "device", "socket"] {
        let make = |path: &Path| match kind {
            "directory" => fs::create_dir(path).unwrap(),
            "named pipe" => assert!(Command::new("mkfifo").arg(path).status().unwrap().success()),
            "device" => symlink("/dev/zero", path).unwrap(),
            _ => drop(UnixListener::bind(path).unwrap()),
        };
        let mut bench = Bench::with(Origin::End, make);
        assert_eq!(bench.read(), [""; 0]);
        assert_eq!(*bench.follower.state(), State::Unreadable { why: Why::NotAFile(kind) });
        bench.rename("log", "aside");
        bench.append("log", "1\n");
        assert_eq!(bench.read(), ["1"], "after the {kind}");
        // In the place of a file that was read: the file is read on.
        let mut writer = appender(&bench.at("log"));
        bench.rename("log", "log.1");
        make(&bench.at("log"));
        writer.write_all(b"2\n").unwrap();
        assert_eq!(bench.read(), ["2"]);
        assert!(!bench.is_following());
    }
}

#[test]
fn an_empty_file_is_followed() {
    let mut bench = Bench::with(Origin::Start, |log| append(log, ""));
    assert_eq!(bench.read(), [""; 0]);
    assert!(bench.is_following());
    bench.append("log", "1\n");
    assert_eq!(bench.read(), ["1"]);
}

#[test]
fn lines_come_when_they_are_complete() {
    let text = b"one\r\n\n\0\xff two\n\n";
    let mut bench = Bench::new();
    let mut writer = appender(&bench.at("log"));
    for (at, byte) in text.iter().enumerate() {
        writer.write_all(&[*byte]).unwrap();
        bench.poll();
        let complete = text[..=at].split(|byte| *byte == b'\n').count() - 1;
        assert_eq!(bench.seen.len(), complete);
    }
    assert_eq!(bench.seen, [b"one\r".as_slice(), b"", b"\0\xff two", b""]);
}

#[test]
fn a_line_of_ten_megabytes_is_skipped_and_counted() {
    let mut bench = Bench::new();
    bench.append("log", "1\n");
    bench.append("log", vec![b'x'; 10_000_000]);
    assert_eq!(bench.read(), ["1"]);
    bench.append("log", "\n3\n");
    bench.append("log", vec![0; 100_000]);
    bench.append("log", "\n5\n");
    assert_eq!(bench.read(), ["3", "5"]);
    assert_eq!(bench.follower.oversized(), 2);
}

#[test]
fn a_budget_ends_a_poll_and_loses_nothing() {
    let mut bench = Bench::with(Origin::Start, |log| append(log, numbered(0, 30_000)));
    let mut lines = Vec::new();
    let mut polls = 0;
    loop {
        let poll = bench.follower.poll(1000, &mut |region| {
            lines
                .extend(region.lines().map(|(_, line)| String::from_utf8_lossy(line).into_owned()));
        });
        polls += 1;
        assert!(poll.bytes <= 131_072);
        if !poll.more {
            break;
        }
    }
    assert_eq!(numbers(&lines), (0..30_000).collect::<Vec<_>>());
    assert!(polls > 5);
    assert!(bench.follower.poll(0, &mut |_| {}).more);
}

#[test]
fn a_reused_inode_number_is_a_new_file() {
    let mut bench = Bench::with(Origin::Start, |log| append(log, numbered(0, 9)));
    bench.read();
    let position = bench.follower.position().unwrap();
    let path = bench.at("log");
    bench.follower = Follower::new(bench.at("other"), Origin::Start);
    // File systems that reuse numbers do it soon; the follower holds none open now.
    let reused = (0..1000).any(|_| {
        fs::remove_file(&path).unwrap();
        File::create(&path).unwrap().metadata().unwrap().ino() == position.ino
    });
    if !reused {
        eprintln!("this file system does not reuse inode numbers: a position is made up instead");
    }
    let ino = fs::metadata(&path).unwrap().ino();
    append(&path, numbered(50, 20));
    bench.follower = Follower::resume(&path, asterguard::input::Position { ino, ..position });
    assert_eq!(numbers(&bench.read()), (50..70).collect::<Vec<_>>());
}

/// Root may read everything, so as root this runs again without privileges.
#[test]
fn a_file_that_becomes_readable_is_followed() {
    const NAME: &str = "faults::a_file_that_becomes_readable_is_followed";
    let may_read_all = rustix::process::geteuid().is_root();
    if may_read_all {
        // Where others than root may enter, which the directory of the test binary need not be.
        let open = tempfile::tempdir().unwrap();
        fs::set_permissions(open.path(), Permissions::from_mode(0o755)).unwrap();
        let own = open.path().join("follow");
        let mut copy = Command::new("install");
        copy.args(["-m", "755"]).arg(std::env::current_exe().unwrap()).arg(&own);
        assert!(copy.status().unwrap().success());
        let unprivileged = || {
            let mut command = Command::new("setpriv");
            command.args([
                "--reuid=65534",
                "--regid=65534",
                "--clear-groups",
                "--bounding-set=-all",
            ]);
            command.arg(&own);
            command
        };
        let runs = unprivileged().arg("--list").output();
        if !runs.is_ok_and(|output| output.status.success()) {
            return programs::skip("nothing can be executed in the directory for temporary files");
        }
        let output = unprivileged().args(["--exact", NAME]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    let chmod = |path: &Path, mode| {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    };
    let denied = State::Unreadable { why: Why::Denied };

    let mut bench = Bench::with(Origin::Start, |log| {
        append(log, "1\n");
        chmod(log, 0o000);
    });
    assert_eq!(bench.read(), [""; 0]);
    assert_eq!(*bench.follower.state(), denied);
    chmod(&bench.at("log"), 0o600);
    assert_eq!(bench.read(), ["1"]);

    // logrotate creates the new file with the wrong mode.
    let mut writer = appender(&bench.at("log"));
    bench.rename("log", "log.1");
    append(&bench.at("log"), "4\n");
    chmod(&bench.at("log"), 0o000);
    writer.write_all(b"2\n").unwrap();
    assert_eq!(bench.read(), ["2"]);
    assert_eq!(*bench.follower.state(), denied);
    writer.write_all(b"3\n").unwrap();
    chmod(&bench.at("log"), 0o600);
    assert_eq!(bench.read(), ["3", "4"]);
    assert!(bench.is_following());

    // The directory may not be searched for a while.
    chmod(bench.dir.path(), 0o000);
    assert_eq!(bench.read(), [""; 0]);
    assert_eq!(*bench.follower.state(), denied);
    chmod(bench.dir.path(), 0o700);
    bench.append("log", "5\n");
    assert_eq!(bench.read(), ["5"]);

    // Old lines do not become new ones by becoming readable.
    let mut bench = Bench::with(Origin::End, |log| {
        append(log, "old\n");
        chmod(log, 0o000);
    });
    bench.read();
    chmod(&bench.at("log"), 0o600);
    assert_eq!(bench.read(), [""; 0]);
    bench.append("log", "new\n");
    assert_eq!(bench.read(), ["new"]);
}
