//! Finds the log files that a list of patterns means.
//!
//! A rotated name is never a log of its own: the next rotation would replace it by a file full of
//! old lines, which would then be counted a second time.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use glob::MatchOptions;

use crate::sys::text_file::{self, FileError};

/// The most paths that one list of patterns can give; the rest is left out. A directory that
/// somebody fills with files must not make the guard open all of them.
pub const MAX_PATHS: usize = 256;

/// Suffixes of compressed files.
const COMPRESSED: [&[u8]; 8] =
    [b".gz", b".xz", b".bz2", b".zst", b".lz4", b".lzma", b".Z", b".zip"];

/// Suffixes of copies that people and editors leave behind.
const PUT_ASIDE: [&[u8]; 6] = [b"~", b".old", b".bak", b".orig", b".save", b".prev"];

/// The paths to follow for `patterns`, in their order, without duplicates (two names of one file
/// count once). Look again from time to time: files come and go.
///
/// - A pattern with `*`, `?` or `[` stands for the regular files that it matches now. `*` does not
///   match a leading dot.
/// - A plain path stands for itself, even if there is no such file yet, and, when it has no
///   extension, also for the same path with `.log` appended if that exists.
/// - Rotated and compressed names ([`is_rotated_name`]) are left out, even if they are given.
/// - A file called `full` or `full.log` is left out while another path of the list is a file: it
///   repeats what the others hold, in between free text.
#[must_use]
pub fn resolve<'a>(patterns: impl IntoIterator<Item = &'a String>) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        patterns.into_iter().flat_map(|pattern| expand(pattern)).collect();
    paths.retain(|path| !is_rotated_name(path));
    if paths.iter().any(|path| !holds_everything(path) && path.is_file()) {
        paths.retain(|path| !holds_everything(path));
    }
    let mut names = HashSet::new();
    let mut files = HashSet::new();
    paths.retain(|path| {
        names.insert(path.clone())
            && fs::metadata(path).map_or(true, |meta| files.insert((meta.dev(), meta.ino())))
    });
    paths.truncate(MAX_PATHS);
    paths
}

/// The reason why nothing is read for a pattern now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// It matches no file. One that appears is read.
    NoFile,
    /// Only rotated logs have such names.
    Rotated,
    /// Something else than a file has this name: its kind.
    Irregular(&'static str),
}

/// Returns why nothing is read for `pattern` now, if that shows; a plain path without a file is awaited.
#[must_use]
pub fn unread(pattern: &str) -> Option<Unread> {
    let found = expand(pattern);
    if found.is_empty() {
        return Some(Unread::NoFile);
    }
    if found.iter().all(|path| is_rotated_name(path)) {
        return Some(Unread::Rotated);
    }
    let kinds: Option<Vec<_>> = found.iter().map(|path| irregular(path)).collect();
    kinds?.first().copied().map(Unread::Irregular)
}

/// Returns what has this name, if it is there and no file.
#[must_use]
pub fn irregular(path: &Path) -> Option<&'static str> {
    match text_file::refuse_irregular(&fs::metadata(path).ok()?) {
        Err(FileError::NotRegular(kind)) => Some(kind),
        _ => None,
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Irregular("directory") => {
                "is a directory, of which nothing is read; name the log files in it"
            }
            Self::Irregular(kind) => {
                return write!(f, "is a {kind}, of which nothing is read; name a log file");
            }
            Self::NoFile => "matches no file yet",
            Self::Rotated => {
                "names only logs that were rotated away, and these are never followed; name the log that Asterisk writes"
            }
        })
    }
}

fn expand(pattern: &str) -> Vec<PathBuf> {
    if pattern.contains(['*', '?', '[']) {
        let options = MatchOptions { require_literal_leading_dot: true, ..MatchOptions::new() };
        // A text that is no valid pattern can still be a path.
        if let Ok(matches) = glob::glob_with(pattern, options) {
            // Directories that cannot be read are skipped; they are tried again the next time.
            return matches.filter_map(Result::ok).filter(|path| path.is_file()).collect();
        }
    }
    let path = PathBuf::from(pattern);
    let with_log = path.with_extension("log");
    let also = path.extension().is_none() && with_log.is_file();
    if also { vec![path, with_log] } else { vec![path] }
}

/// Whether this is the log into which Asterisk writes everything, VERBOSE lines included.
fn holds_everything(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "full" || name == "full.log")
}

/// Whether this is the name of a log that was rotated away, compressed or put aside: `messages.0`,
/// `messages.2.gz`, `messages-20261122`, `messages.1795309297`, `messages.1.log`, `messages.old`,
/// `messages~`. Only the file name counts.
#[must_use]
pub fn is_rotated_name(path: &Path) -> bool {
    path.file_name().is_some_and(|name| Rotated::parse(name).is_some())
}

/// The parts of a rotated name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rotated<'a> {
    /// The name of the live log, without its kept extension.
    stem: &'a [u8],
    /// The extension that was kept at the end: `.log` or nothing.
    extension: &'a [u8],
    /// The digits of the count, date or epoch; 0 if there are none.
    pub(super) number: u64,
    /// Whether the bytes have to be unpacked first.
    pub(super) compressed: bool,
}

impl<'a> Rotated<'a> {
    /// Splits a file name into its parts; `None` if it is not a rotated one.
    pub(super) fn parse(name: &'a OsStr) -> Option<Self> {
        let name = name.as_bytes();
        let unpacked = strip_any(name, &COMPRESSED);
        let compressed = unpacked.is_some();
        let name = unpacked.unwrap_or(name);
        let (inner, extension) = match name.strip_suffix(b".log") {
            Some(inner) => name.split_at(inner.len()),
            None => (name, &b""[..]),
        };
        let (stem, number) = match strip_marks(inner) {
            Some(found) => found,
            None if compressed => (inner, 0),
            None => return None,
        };
        (!stem.is_empty()).then_some(Self { stem, extension, number, compressed })
    }

    /// Whether this is a rotation of the log with the name `live`.
    pub(super) fn is_of(&self, live: &OsStr) -> bool {
        live.as_bytes().strip_prefix(self.stem) == Some(self.extension)
    }

    /// The name of the log that was rotated.
    pub(super) fn live_name(&self) -> OsString {
        OsString::from_vec([self.stem, self.extension].concat())
    }
}

/// Strips marks of rotation from the end of `name`: its stem, and the number of the first one stripped.
fn strip_marks(name: &[u8]) -> Option<(&[u8], u64)> {
    let (mut stem, number) = strip_mark(name)?;
    while let Some((shorter, _)) = strip_mark(stem) {
        stem = shorter;
    }
    Some((stem, number))
}

fn strip_mark(name: &[u8]) -> Option<(&[u8], u64)> {
    if let Some(stem) = strip_any(name, &PUT_ASIDE) {
        return Some((stem, 0));
    }
    let length = name.iter().rev().take_while(|byte| b"0123456789-_:T".contains(byte)).count();
    let (head, tail) = name.split_at(name.len() - length);
    let is_count = !tail.is_empty() && tail.iter().all(u8::is_ascii_digit);
    match head.strip_suffix(b".") {
        Some(stem) if is_count || is_date(tail) => Some((stem, digits(tail))),
        _ => match tail {
            [b'-' | b'_', date @ ..] if is_date(date) => Some((head, digits(date))),
            _ => None,
        },
    }
}

/// Whether this is a date with its year first, perhaps with a time of day, or seconds since 1970.
fn is_date(text: &[u8]) -> bool {
    if text.len() == 10 && text.iter().all(u8::is_ascii_digit) {
        return true;
    }
    let day: Vec<u8> = text.iter().copied().filter(u8::is_ascii_digit).take(8).collect();
    let [b'1' | b'2', b'0' | b'9', _, _, m, n, d, e] = day[..] else { return false };
    let two = |tens: u8, units: u8| (tens - b'0') * 10 + (units - b'0');
    (1..=12).contains(&two(m, n)) && (1..=31).contains(&two(d, e))
}

fn digits(text: &[u8]) -> u64 {
    text.iter()
        .filter(|byte| byte.is_ascii_digit())
        .fold(0_u64, |sum, byte| sum.saturating_mul(10).saturating_add(u64::from(byte - b'0')))
}

fn strip_any<'a>(name: &'a [u8], suffixes: &[&[u8]]) -> Option<&'a [u8]> {
    suffixes.iter().find_map(|suffix| name.strip_suffix(*suffix))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn rotated_names_are_told_from_live_ones() {
        let rotated = [
            "messages.0",
            "messages.1",
            "messages.12",
            "messages.1795309297",
            "messages.2.gz",
            "messages.gz",
            "messages.1.xz",
            "messages.1.bz2",
            "messages.1.zst",
            "messages-20261122",
            "messages-20261122.gz",
            "messages-2026112203",
            "messages-2026-11-22",
            "messages_2026-11-22",
            "messages.2026-11-22T03:00:00",
            "messages-20261122-1795309297",
            "messages-1795309297",
            "messages-20261122.1",
            "messages.old",
            "messages.1.old",
            "messages~",
            "messages.log.1",
            "messages.log.1.gz",
            "messages.1.log",
            "messages.1.log.gz",
            "messages-20261122.log",
            "messages.log-20261122",
            "messages.log~",
            "messages.bak",
        ];
        let live = [
            "messages",
            "messages.log",
            "full",
            "security",
            "queue_log",
            "asterisk-18",
            "pbx-1",
            "pbx-10.20.30.40.log.d",
            "host-192-168-10-20",
            "log2026",
            "20261122",
            ".1",
            "~",
            ".gz",
            "messages.txt",
            "golden.gold",
        ];
        for name in rotated {
            assert!(is_rotated_name(&Path::new("/var/log/asterisk").join(name)), "{name}");
        }
        for name in live {
            assert!(!is_rotated_name(&Path::new("/var/log/asterisk.1").join(name)), "{name}");
        }
        assert!(!is_rotated_name(Path::new("/")));
    }

    #[test]
    fn a_rotated_name_knows_its_log_and_number() {
        let parse = |name| Rotated::parse(OsStr::new(name)).unwrap();
        for (name, live, number) in [
            ("messages.7", "messages", 7),
            ("messages-20261122", "messages", 20_261_122),
            ("messages.7.log", "messages.log", 7),
            ("messages.log.7", "messages.log", 7),
            ("messages.log-20261122.1", "messages.log", 1),
            ("messages.old", "messages", 0),
        ] {
            let rotated = parse(name);
            assert!(rotated.is_of(OsStr::new(live)), "{name}");
            assert_eq!(rotated.live_name(), live);
            assert_eq!(rotated.number, number, "{name}");
            assert!(!rotated.compressed);
        }
        assert!(!parse("messages.7").is_of(OsStr::new("messages.log")));
        assert!(!parse("messages.7.log").is_of(OsStr::new("messages")));
        assert!(!parse("messages.7").is_of(OsStr::new("message")));
        assert!(parse("messages.7.gz").compressed);
        let endless = format!("messages.{}", "9".repeat(200));
        assert_eq!(parse(&endless).number, u64::MAX);
    }

    struct Dir(tempfile::TempDir);

    impl Dir {
        fn with(names: &[&str]) -> Self {
            let dir = Self(tempfile::tempdir().unwrap());
            for name in names {
                File::create(dir.0.path().join(name)).unwrap();
            }
            dir
        }

        /// Returns what the patterns give, as names in this directory.
        fn resolve(&self, patterns: &[&str]) -> Vec<String> {
            let dir = self.0.path().to_str().unwrap();
            let patterns: Vec<_> = patterns.iter().map(|name| format!("{dir}/{name}")).collect();
            let name = |path: &PathBuf| path.strip_prefix(dir).unwrap().display().to_string();
            resolve(&patterns).iter().map(name).collect()
        }
    }

    #[test]
    fn plain_paths_are_awaited_and_globs_are_not() {
        let dir = Dir::with(&["a.log", "b.log", "b.log.1", "b.1.log", "b.log.2.gz", ".b.log"]);
        fs::create_dir(dir.0.path().join("c.log")).unwrap();
        assert_eq!(dir.resolve(&["missing", "*.log", "x*"]), ["missing", "a.log", "b.log"]);
        assert_eq!(dir.resolve(&["b.log.1", "b.log.2.gz"]), [""; 0]);
        assert_eq!(dir.resolve(&["no [pattern"]), ["no [pattern"]);
    }

    #[test]
    fn a_path_without_extension_is_also_tried_with_log() {
        let dir = Dir::with(&["messages.log", "security", "security.log", "a.b.log"]);
        assert_eq!(
            dir.resolve(&["messages", "security", "other", "a.b"]),
            ["messages", "messages.log", "security", "security.log", "other", "a.b"]
        );
    }

    #[test]
    fn full_is_read_only_when_there_is_nothing_else() {
        let both = ["messages", "full"];
        assert_eq!(
            Dir::with(&["full", "full.log"]).resolve(&both),
            ["messages", "full", "full.log"]
        );
        assert_eq!(Dir::with(&["full", "messages"]).resolve(&both), ["messages"]);
        assert_eq!(
            Dir::with(&["full", "messages.log"]).resolve(&both),
            ["messages", "messages.log"]
        );
        assert_eq!(Dir::with(&["full"]).resolve(&["full"]), ["full"]);
        assert_eq!(Dir::with(&[]).resolve(&["full"]), ["full"]);
        assert_eq!(Dir::with(&["full", "full2"]).resolve(&["full*"]), ["full2"]);
    }

    #[test]
    fn two_names_of_one_file_count_once() {
        let dir = Dir::with(&["real.log"]);
        symlink(dir.0.path().join("real.log"), dir.0.path().join("link.log")).unwrap();
        fs::hard_link(dir.0.path().join("real.log"), dir.0.path().join("hard.log")).unwrap();
        assert_eq!(dir.resolve(&["*.log"]), ["hard.log"]);
        assert_eq!(dir.resolve(&["real.log", "link.log", "none", "none"]), ["real.log", "none"]);
    }

    #[test]
    fn a_flooded_directory_is_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..MAX_PATHS + 10 {
            File::create(dir.path().join(format!("x{n}y"))).unwrap();
        }
        let pattern = dir.path().join("*").to_str().unwrap().to_owned();
        assert_eq!(resolve(&[pattern]).len(), MAX_PATHS);
    }
}
