//! The files that the guard reads and writes, as its configuration has it: all that it may.

use std::fs;
use std::path::{Path, PathBuf};

use crate::config::load::MAIN;
use crate::config::{Config, ListConfig};
use crate::daemon::{Options, SinkKind};
use crate::hosts::discover::conf_directories;
use crate::input::SourceKey;
use crate::sys::sandbox::{Needs, Sockets};

/// The paths that it reads whatever the configuration says: logs, who is logged in, name servers,
/// time zones, and what the system's libraries look up.
const ALWAYS: [&str; 7] = ["/etc", "/run", "/usr", "/lib", "/lib64", "/var/log", "/dev/urandom"];

/// The most links in a directory that are followed.
const LINKS: usize = 4096;

/// Returns what the guard needs with this configuration.
#[must_use]
pub fn needs(options: &Options, config: &Config) -> Needs {
    let beside = |path: &Path| path.parent().map(existing);
    Needs {
        read: [read(options, config), included(config)].concat(),
        write: std::iter::once(existing(&options.state_dir))
            .chain(beside(&options.socket))
            .collect(),
        execute: Vec::new(),
        sockets: match (&options.peers.names, options.sink) {
            (None, _) => Sockets::Internet,
            // The firewall helper connects for it.
            (Some(_), SinkKind::Netlink) => Sockets::None,
            (Some(_), SinkKind::DryRun) => Sockets::Local,
        },
    }
}

/// Returns the first of these paths that is not in or below what may be read.
pub fn out_of_reach(readable: &[PathBuf], needed: Vec<PathBuf>) -> Option<PathBuf> {
    needed.into_iter().find(|path| !readable.iter().any(|known| path.starts_with(known)))
}

/// Returns the directories of the lists that must be right.
pub fn own_lists(lists: &ListConfig) -> Vec<PathBuf> {
    let files = lists.allowfiles.iter().chain(&lists.blockfiles);
    files.filter_map(|path| path.parent()).map(existing).collect()
}

/// Returns the directories that Asterisk's configuration includes files from, for the trunks and ports in
/// them.
pub fn included(config: &Config) -> Vec<PathBuf> {
    conf_directories(&config.asteriskconf).into_iter().flat_map(with_links).collect()
}

/// Returns what the guard reads with this configuration.
pub fn read(options: &Options, config: &Config) -> Vec<PathBuf> {
    let main = options.config.as_deref().unwrap_or(Path::new(MAIN));
    let lists = &config.lists;
    let files = lists.allowfiles.iter().chain(&lists.blockfiles);
    let files = files.chain(lists.feeds.iter().map(|feed| &feed.path)).map(PathBuf::as_path);
    let files = files.chain(config.geoip.files.iter().map(PathBuf::as_path));
    let files = files.chain([main]).filter_map(Path::parent).map(Path::to_owned);
    let logs = config.jails.iter().flat_map(|jail| &jail.logpath);
    let logs = logs.filter(|path| SourceKey::named(path).is_none() && !is_far(path));
    let logs = logs.map(|path| directory(path));
    let configured = files.chain(logs).chain([config.asteriskconf.clone()]);
    let configured = configured.map(|path| existing(&path)).flat_map(with_links);
    let mut all: Vec<_> = ALWAYS.iter().map(PathBuf::from).chain(configured).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Whether nothing of the directories of a pattern is there: to wait for it, the guard would have to be allowed to
/// read the whole machine. When they come, a reload asks for a restart.
fn is_far(pattern: &str) -> bool {
    pattern.contains(['*', '?', '[']) && existing(&directory(pattern)) == Path::new("/")
}

/// Returns the directory that all files of a pattern are in or below.
fn directory(pattern: &str) -> PathBuf {
    let plain = pattern.find(['*', '?', '[']).and_then(|at| pattern.get(..at)).unwrap_or(pattern);
    let end = plain.rfind('/').map_or(0, |at| at + 1);
    PathBuf::from(plain.get(..end).unwrap_or_default())
}

/// Returns where this is, or, if it has yet to come, the nearest directory above it that is there.
fn existing(path: &Path) -> PathBuf {
    let path = if path == Path::new("") { Path::new(".") } else { path };
    path.ancestors().find_map(|path| path.canonicalize().ok()).unwrap_or_else(|| path.to_owned())
}

/// Returns the directory, and where the links in it lead.
fn with_links(directory: PathBuf) -> Vec<PathBuf> {
    let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
    let links = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_symlink()));
    let ends = links.take(LINKS).filter_map(|link| fs::canonicalize(link.path()).ok());
    let ends = ends.filter_map(|end| end.parent().map(Path::to_owned));
    let mut all: Vec<_> = ends.collect();
    all.push(directory);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_in_directories() {
        for (pattern, parent) in [
            ("/var/log/asterisk/messages", "/var/log/asterisk/"),
            ("/srv/*/log/messages", "/srv/"),
            ("/srv/a[12]/log", "/srv/"),
            ("messages", ""),
        ] {
            assert_eq!(directory(pattern), Path::new(parent), "{pattern}");
        }
    }

    #[test]
    fn a_pattern_far_away_opens_nothing() {
        assert!(is_far("/no-such-directory-here/*/messages"));
        for near in ["/no-such-directory-here/messages", "/var/no-such-directory-here/*/messages"] {
            assert!(!is_far(near), "{near}");
        }
    }

    #[test]
    fn what_is_not_there_yet_is_awaited_above() {
        let home = tempfile::tempdir().unwrap();
        let base = home.path().canonicalize().unwrap();
        assert_eq!(existing(&base.join("a/b")), base);
        fs::create_dir_all(base.join("logs")).unwrap();
        fs::create_dir_all(base.join("disk/x")).unwrap();
        fs::write(base.join("disk/x/full"), "").unwrap();
        std::os::unix::fs::symlink("../disk/x/full", base.join("logs/full")).unwrap();
        let mut all = with_links(base.join("logs"));
        all.sort_unstable();
        assert_eq!(all, [base.join("disk/x"), base.join("logs")]);
    }
}
