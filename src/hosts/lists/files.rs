//! Reads the files of the lists: those of one's own as strictly as the configuration, feeds as far
//! as they make sense.

use std::path::Path;
use std::sync::Arc;

use ipnet::IpNet;
use thiserror::Error;

use super::parse::{self, LineError};
use super::{Feed, Lists, MOST_ALLOWED, MOST_BLOCKED, MOST_FED, Networks, covers_too_much};
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::{ListConfig, ListFile};
use crate::model::listed::{FileLine, ListedNetwork};
use crate::sys::file_stamp::stamp;
use crate::sys::text_file::{self, TextError};

/// Bytes that a file may have: a million of the longest networks, and comments.
const LARGEST: u64 = 128 << 20;

/// The reason why the lists cannot be used.
#[derive(Debug, Error)]
pub enum ListsError {
    /// A list of one's own cannot be read, or is not text.
    #[error(transparent)]
    Text(#[from] TextError),
    /// The content of the files is wrong.
    #[error(transparent)]
    Wrong(#[from] Diagnostics),
    /// There are more entries than the kernel should be given.
    #[error("`{key}` and its files list {count} networks, more than {most}: {help}")]
    TooMany { key: &'static str, count: usize, most: usize, help: &'static str },
}

/// Reads all lists. A feed that cannot be read, or makes no sense, stays what it was `before`.
///
/// # Errors
/// For all that is wrong in the files of one's own.
pub fn load(config: &ListConfig, before: &Lists) -> Result<Lists, ListsError> {
    let mut errors = Vec::new();
    let mut allow = config.allow.clone();
    let mut block = config.block.clone();
    for (files, list, check) in [
        (&config.allowfiles, &mut allow, anybody as Check),
        (&config.blockfiles, &mut block, crate::model::listed::unblockable),
    ] {
        for path in files {
            own(path, check, list, &mut errors)?;
        }
        list.sort_unstable();
        list.dedup_by(|again, first| again.net == first.net);
    }
    if !errors.is_empty() {
        return Err(Diagnostics(errors).into());
    }
    let help = "write networks instead of addresses";
    few_enough("allow", allow.len(), MOST_ALLOWED, help)?;
    few_enough("block", block.len(), MOST_BLOCKED, "make a [feed.NAME] of them")?;
    let mut room = MOST_FED;
    let feeds = config.feeds.iter().map(|file| feed(file, before, &mut room)).collect();
    Ok(Lists { allow, block, feeds, geofence: None })
}

/// Reads the feeds again that are fetched, if one of them has changed; all else stays as it was `before`.
#[must_use]
pub fn refreshed(config: &ListConfig, before: &Lists) -> Option<Lists> {
    let old = |file: &ListFile| {
        let is_it = |feed: &&Feed| feed.name == file.name && feed.path == file.path;
        before.feeds.iter().find(is_it)
    };
    let is_new = |file: &ListFile| {
        file.fetch.is_some() && old(file).is_none_or(|old| old.stamp != stamp(&file.path))
    };
    if !config.feeds.iter().any(is_new) {
        return None;
    }
    let mut room = MOST_FED;
    let feeds = config.feeds.iter().map(|file| match old(file) {
        Some(old) if file.fetch.is_none() => {
            room -= old.networks.len().min(room);
            old.clone()
        }
        _ => feed(file, before, &mut room),
    });
    let feeds = feeds.collect();
    Some(Lists { feeds, ..before.clone() })
}

type Check = fn(&IpNet) -> Option<&'static str>;

fn anybody(_: &IpNet) -> Option<&'static str> {
    None
}

fn few_enough(
    key: &'static str,
    count: usize,
    most: usize,
    help: &'static str,
) -> Result<(), ListsError> {
    if count > most { Err(ListsError::TooMany { key, count, most, help }) } else { Ok(()) }
}

/// Reads a list of one's own.
fn own(
    path: &Path,
    check: Check,
    list: &mut Vec<ListedNetwork>,
    errors: &mut Vec<Diagnostic>,
) -> Result<(), TextError> {
    let text = text_file::read_text(path, LARGEST)?;
    let file: Arc<str> = path.to_string_lossy().into();
    let mut wrong = Vec::new();
    for (number, start, line) in lines(text.as_bytes()) {
        match parse::line(line) {
            Ok(None) => {}
            Ok(Some(net)) => match check(&net) {
                None => {
                    let place = FileLine { file: Arc::clone(&file), line: number };
                    list.push(ListedNetwork { net, place });
                }
                Some(message) => {
                    let (span, help) = (0..line.len(), "leave it out");
                    wrong.push((start, LineError { span, message: message.to_owned(), help }));
                }
            },
            Err(error) => wrong.push((start, error)),
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let source: Arc<str> = text.into();
    errors.extend(wrong.into_iter().map(|(start, wrong)| Diagnostic {
        path: path.to_owned(),
        source: Arc::clone(&source),
        span: start + wrong.span.start..start + wrong.span.end,
        message: wrong.message,
        help: Some(wrong.help.to_owned()),
    }));
    Ok(())
}

/// Reads a feed, of which at most `room` networks are taken.
fn feed(file: &ListFile, before: &Lists, room: &mut usize) -> Feed {
    let old = before.feeds.iter().find(|feed| feed.name == file.name && feed.path == file.path);
    // Before the file: what is written meanwhile is read again.
    let blank = Feed {
        name: file.name.clone(),
        path: file.path.clone(),
        is_fetched: file.fetch.is_some(),
        stamp: stamp(&file.path),
        networks: Arc::default(),
        skipped: 0,
        problem: None,
    };
    let mut feed = match text_file::read_bytes(&file.path, LARGEST) {
        Ok(bytes) => fresh(blank, &bytes),
        Err(_) if blank.is_fetched && blank.stamp.is_none() => {
            Feed { problem: Some("it was not fetched yet".to_owned()), ..blank }
        }
        Err(error) => {
            let problem = Some(format!("cannot read {}: {error}", file.path.display()));
            Feed { problem, ..blank }
        }
    };
    if let (Some(problem), Some(old)) = (&mut feed.problem, old) {
        problem.push_str("; what it said before stays in force");
        feed.networks = Arc::clone(&old.networks);
    }
    if feed.networks.len() > *room {
        let more = feed.networks.len() - *room;
        feed.problem = Some(format!("{more} networks are left out: there are too many"));
        feed.networks = Arc::new(Networks::new(feed.networks.iter().take(*room)));
    }
    *room -= feed.networks.len().min(*room);
    feed
}

fn fresh(feed: Feed, bytes: &[u8]) -> Feed {
    let (mut nets, mut skipped, mut broken, mut first) = (Vec::new(), 0, 0, None);
    for (number, _, line) in lines(bytes) {
        match parse::line(line) {
            Ok(Some(net)) if parse::unfeedable(&net).is_none() => nets.push(net),
            Ok(Some(_)) => skipped += 1,
            Ok(None) => {}
            Err(_) => {
                broken += 1;
                first.get_or_insert(number);
            }
        }
    }
    let path = feed.path.display();
    // Half of it: an error page, or another kind of file.
    let nonsense = first.filter(|_| broken > nets.len());
    let mut problem =
        nonsense.map(|line| format!("{path} is no list of networks (see line {line})"));
    let mut networks = Networks::new(nets);
    if covers_too_much(&networks) {
        problem = Some(format!("{path} blocks more than half of all IPv4 addresses"));
    }
    if problem.is_some() {
        networks = Networks::default();
    }
    Feed { networks: Arc::new(networks), skipped: skipped + broken, problem, ..feed }
}

/// The lines with their numbers and where they begin; a byte order mark is none of the first.
fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, usize, &[u8])> {
    let mark = if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let mut start = mark;
    let rest = bytes.get(mark..).unwrap_or_default();
    (1..).zip(rest.split(|byte| *byte == b'\n')).map(move |(number, line)| {
        let begin = start;
        start += line.len() + 1;
        (number, begin, line)
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    fn config(directory: &Path, files: [&[&str]; 3]) -> ListConfig {
        let paths =
            |names: &[&str]| names.iter().map(|name| directory.join(name)).collect::<Vec<_>>();
        let [allow, block, feeds] = files.map(paths);
        let feed = |path: PathBuf| ListFile {
            name: path.file_name().unwrap().to_str().unwrap().to_owned(),
            path,
            fetch: None,
        };
        ListConfig {
            allowfiles: allow,
            blockfiles: block,
            feeds: feeds.into_iter().map(feed).collect(),
            ..ListConfig::default()
        }
    }

    fn nets(list: &[ListedNetwork]) -> Vec<String> {
        list.iter().map(|one| format!("{} {}", one.net, one.place.line)).collect()
    }

    #[test]
    fn lists_are_read_with_the_places_of_their_entries() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let text = "\u{feff}# ours\r\n203.0.113.7\r\n\r\n2001:db8::/32 ; them\r\n203.0.113.7";
        fs::write(path.join("own"), text).unwrap();
        let lists = load(&config(path, [&["own"], &["own"], &[]]), &Lists::default()).unwrap();
        assert_eq!(nets(&lists.allow), ["203.0.113.7/32 2", "2001:db8::/32 4"]);
        assert_eq!(lists.block, lists.allow);
        assert!(lists.allow[0].place.to_string().ends_with("/own:2"));
    }

    #[test]
    fn mistakes_in_ones_own_lists_are_all_shown() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        fs::write(path.join("a"), "203.0.113.7\r\n  203.0.113.x\r\n0.0.0.0/0\n").unwrap();
        fs::write(path.join("b"), "0.0.0.0/0 # all\nsip.example.com\n").unwrap();
        let error = load(&config(path, [&["a"], &["b"], &[]]), &Lists::default()).unwrap_err();
        let shown = error.to_string().replace(path.to_str().unwrap(), "");
        insta::assert_snapshot!(shown, @r#"
        /a:2:3: "203.0.113.x" is not an address or network
        2 |   203.0.113.x
          |   ^^^^^^^^^^^
        help: write an address such as 203.0.113.10, or a network, 203.0.113.0/24

        /b:1:1: networks wider than /8 (IPv6: /16) are not blocked
        1 | 0.0.0.0/0 # all
          | ^^^^^^^^^^^^^^^
        help: leave it out

        /b:2:1: "sip.example.com" is not an address or network
        2 | sip.example.com
          | ^^^^^^^^^^^^^^^
        help: write an address such as 203.0.113.10, or a network, 203.0.113.0/24
        "#);
        let missing = load(&config(path, [&["no"], &[], &[]]), &Lists::default()).unwrap_err();
        assert!(missing.to_string().ends_with("/no: No such file or directory (os error 2)"));
        fs::write(path.join("c"), b"# 1\n# caf\xe9\n").unwrap();
        let strange = load(&config(path, [&[], &["c"], &[]]), &Lists::default()).unwrap_err();
        assert!(strange.to_string().ends_with("/c:2: not UTF-8: save the file as UTF-8"));
    }

    #[test]
    fn feeds_are_taken_as_far_as_they_make_sense() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let config = config(path, [&[], &[], &["feed"]]);
        let feed = |before: &Lists| load(&config, before).unwrap();
        let gone = feed(&Lists::default());
        assert!(gone.feeds[0].networks.is_empty());
        assert!(gone.problems().next().unwrap().seen.starts_with("feed feed: cannot read /"));

        fs::write(
            path.join("feed"),
            b"198.51.100.0/24\n198.51.100.7\n10.0.0.0/8\n0.0.0.0/0\n\nwhat\n\xff\n2001:db8::1\n",
        )
        .unwrap();
        let good = feed(&gone);
        assert_eq!((good.feeds[0].networks.len(), good.feeds[0].skipped), (2, 4));
        assert_eq!(good.feeds[0].problem, None);

        for nonsense in ["<html>\n<p>Too many requests\n198.51.100.1", "1 2\n3 4\n"] {
            fs::write(path.join("feed"), nonsense).unwrap();
            let kept = feed(&good);
            assert_eq!(kept.feeds[0].networks, good.feeds[0].networks);
            assert_eq!(
                kept.problems().next().unwrap().seen.replace(path.to_str().unwrap(), ""),
                "feed feed: /feed is no list of networks (see line 1); what it said before stays in force"
            );
        }
        fs::write(path.join("feed"), "").unwrap();
        assert!(feed(&good).feeds[0].networks.is_empty(), "an empty list is a list");
    }

    #[test]
    fn there_is_an_end_to_entries() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let many = |count: usize| -> String {
            let line = |n: usize| format!("198.{}.{}.{}", n >> 16, n >> 8 & 255, n & 255);
            (0..count).map(line).collect::<Vec<_>>().join("\n")
        };
        fs::write(path.join("many"), many(MOST_ALLOWED + 1)).unwrap();
        let error = load(&config(path, [&["many"], &[], &[]]), &Lists::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`allow` and its files list 4097 networks, more than 4096: write networks instead of addresses"
        );
        assert_eq!(
            load(&config(path, [&[], &["many"], &[]]), &Lists::default()).unwrap().block.len(),
            MOST_ALLOWED + 1
        );
        let mut room = 10;
        let file = ListFile { name: "many".to_owned(), path: path.join("many"), fetch: None };
        let feed = feed(&file, &Lists::default(), &mut room);
        assert_eq!((feed.networks.len(), room), (10, 0));
        assert_eq!(feed.problem.unwrap(), "4087 networks are left out: there are too many");
    }
}
