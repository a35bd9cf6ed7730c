//! Checks whether the user that the guard runs as may read the logs.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::Finding;
use super::facts::World;
use crate::control::health::Check;
use crate::control::status::SourceStatus;

/// Bits of capabilities by which files can be read whatever their mode says: `CAP_DAC_OVERRIDE` and
/// `CAP_DAC_READ_SEARCH`.
const READS_ALL: u64 = (1 << 1) | (1 << 2);

/// The process that reads.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Reader {
    /// The description of it, in words.
    who: String,
    uid: u32,
    gids: BTreeSet<u32>,
    reads_all: bool,
}

impl Reader {
    /// Reads what a `/proc/PID/status` says of its process.
    fn parse(status: &str, who: String) -> Option<Self> {
        let line = |key: &str| status.lines().find_map(|line| line.strip_prefix(key));
        let numbers =
            |key: &str| line(key).into_iter().flat_map(str::split_whitespace).map(str::parse);
        // Real, effective, saved, and the one that counts for files.
        let uid = numbers("Uid:").nth(3)?.ok()?;
        let gids = numbers("Gid:").skip(3).chain(numbers("Groups:")).flatten().collect();
        let caps = u64::from_str_radix(line("CapEff:")?.trim(), 16).ok()?;
        Some(Self { who, uid, gids, reads_all: caps & READS_ALL != 0 })
    }

    /// Returns the daemon if it runs, else whoever asks.
    fn find(world: &World) -> Option<Self> {
        let (process, who) = match &world.status {
            Ok(status) => (status.pid.to_string(), format!("the daemon (pid {})", status.pid)),
            Err(_) => ("self".to_owned(), "you".to_owned()),
        };
        Self::parse(&fs::read_to_string(format!("/proc/{process}/status")).ok()?, who)
    }

    /// Whether a file with this mode and these owners grants it what `bit` (4: read, 1: enter) says.
    fn may(&self, meta: &fs::Metadata, bit: u32) -> bool {
        let shift = if meta.uid() == self.uid {
            6
        } else if self.gids.contains(&meta.gid()) {
            3
        } else {
            0
        };
        self.reads_all || meta.mode() >> shift & bit != 0
    }

    /// Returns the file or directory that keeps it from reading `path`.
    fn obstacle<'p>(&self, path: &'p Path) -> Option<&'p Path> {
        let shut =
            |directory: &&Path| fs::metadata(directory).is_ok_and(|meta| !self.may(&meta, 1));
        let directories: Vec<_> = path.ancestors().skip(1).collect();
        let closed = directories.into_iter().rev().find(shut);
        closed.or_else(|| fs::metadata(path).ok().filter(|meta| !self.may(meta, 4)).map(|_| path))
    }
}

/// Whether the daemon says itself that it cannot read a log.
fn is_said(world: &World, log: &Path) -> bool {
    let unreadable = |source: &SourceStatus| {
        Path::new(&source.path) == log && source.state.starts_with("unreadable")
    };
    world.status.as_ref().is_ok_and(|status| status.sources.iter().any(unreadable))
}

/// Checks whether the logs can be read: also when they are opened again.
pub fn permissions(world: &World) -> Vec<Finding> {
    const CHECK: &str = "permissions";
    let Some(reader) = Reader::find(world) else {
        return vec![Finding::unchecked(CHECK, "/proc does not tell who the guard runs as")];
    };
    if world.logs.is_empty() {
        return vec![Finding::unchecked(CHECK, "it is not known which logs are read")];
    }
    let who = &reader.who;
    let mut found = Vec::new();
    for log in world.logs.iter().filter(|log| !is_said(world, log)) {
        let Some(closed) = reader.obstacle(log) else { continue };
        let seen = format!("{who} (uid {}) may not read {}", reader.uid, log.display());
        let what = if closed == log { "g+r" } else { "g+x" };
        found.push(Finding::problem(CHECK, seen).at(closed.display().to_string()).change(format!(
            "make that user a member of the group that owns it, and: chmod {what} {}",
            closed.display()
        )));
    }
    if found.is_empty() && !world.has_problem(Check::LogAccess) {
        found.push(Finding::ok(CHECK, format!("{who} may read the logs")));
    }
    found
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const STATUS: &str = "Name:\tasterguard\nUid:\t0\t0\t0\t998\nGid:\t0\t0\t0\t997\nGroups:\t4 5 \nCapEff:\t0000000000001000\n";

    #[test]
    fn a_process_tells_who_it_reads_as() {
        let reader = Reader::parse(STATUS, "it".into()).unwrap();
        assert_eq!((reader.uid, reader.reads_all), (998, false));
        assert_eq!(reader.gids, BTreeSet::from([997, 4, 5]));
        let root = STATUS.replace("1000\n", "1004\n");
        assert!(Reader::parse(&root, "it".into()).unwrap().reads_all);
        assert_eq!(Reader::parse("", "it".into()), None);
    }

    #[test]
    fn what_is_in_the_way_is_named() {
        let home = tempfile::tempdir().unwrap();
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        mode(home.path(), 0o755);
        let (directory, log) =
            (home.path().join("asterisk"), home.path().join("asterisk/messages"));
        fs::create_dir(&directory).unwrap();
        fs::write(&log, "x").unwrap();
        let stranger =
            Reader { who: "x".into(), uid: u32::MAX - 1, gids: BTreeSet::new(), reads_all: false };
        mode(&directory, 0o755);
        mode(&log, 0o644);
        assert_eq!(stranger.obstacle(&log), None);
        mode(&log, 0o640);
        assert_eq!(stranger.obstacle(&log), Some(&*log));
        mode(&directory, 0o750);
        assert_eq!(stranger.obstacle(&log), Some(&*directory));
        let member =
            Reader { gids: BTreeSet::from([fs::metadata(&log).unwrap().gid()]), ..stranger };
        assert_eq!(member.obstacle(&log), None);
        let missing = home.path().join("gone/messages");
        assert_eq!(member.obstacle(&missing), None);
    }
}
