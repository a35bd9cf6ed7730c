//! Makes directories of a guard that ran as root over to the user that it becomes.
//!
//! That is done as root, in directories which the user may be able to write to. So no link is followed, and nothing is made
//! over but what root made there itself.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{Dir, FileType, Mode, OFlags, Stat};
use rustix::fs::{fchown, fstat, mkdirat, open, openat};
use rustix::io::Errno;

use crate::sys::user::User;

/// What the names of all files in the state directory begin with.
const OURS: &[u8] = b"asterguard.";

/// What became of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is the user's, and so are our files in it.
    Done,
    /// It is another user's, or somebody but root may have chosen it: a link leads there, or others can write above it.
    Others,
    /// It is root's, and there is more in it than the files of a guard.
    Shared,
}

/// Makes the directory at `path` over to `user`, with what a guard made in it as root; it is made if it is not there.
/// Besides the state's files, those by the names `own` may be in it.
///
/// # Errors
/// When it cannot be made, read or made over.
pub fn hand_over(path: &Path, own: &[&OsStr], user: &User) -> io::Result<Outcome> {
    let Some(directory) = descend(path)? else { return Ok(Outcome::Others) };
    let owner = fstat(&directory)?.st_uid;
    let names = names(&directory)?;
    let is_ours = |name: &Vec<u8>| name.starts_with(OURS) || own.contains(&OsStr::from_bytes(name));
    if owner == 0 && !names.iter().all(is_ours) {
        return Ok(Outcome::Shared);
    }
    if owner != 0 && owner != user.uid.as_raw() {
        return Ok(Outcome::Others);
    }
    for name in names.iter().filter(|name| name.starts_with(OURS)) {
        hand_over_file(&directory, OsStr::from_bytes(name), user)?;
    }
    if owner == 0 {
        fchown(&directory, Some(user.uid), Some(user.gid))?;
    }
    Ok(Outcome::Done)
}

/// Opens a directory, and makes what is not there; `None` if somebody but root could put another one there, or if there is a
/// link on the way.
fn descend(path: &Path) -> io::Result<Option<OwnedFd>> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut directory = open("/", flags, Mode::empty())?;
    for part in std::path::absolute(path)?.iter().skip(1) {
        if !is_safe(&fstat(&directory)?) {
            return Ok(None);
        }
        let mut next = openat(&directory, part, flags, Mode::empty());
        if matches!(next, Err(Errno::NOENT)) {
            mkdirat(&directory, part, Mode::from_raw_mode(0o755))?;
            next = openat(&directory, part, flags, Mode::empty());
        }
        directory = match next {
            Ok(next) => next,
            Err(Errno::LOOP | Errno::NOTDIR) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
    }
    Ok(Some(directory))
}

/// Whether nobody but root can replace what root has in this directory.
fn is_safe(directory: &Stat) -> bool {
    let mode = Mode::from_raw_mode(directory.st_mode);
    let is_sticky = mode.contains(Mode::SVTX);
    directory.st_uid == 0 && (is_sticky || !mode.intersects(Mode::WGRP | Mode::WOTH))
}

/// Returns the names in a directory.
fn names(directory: &OwnedFd) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    Ok(names)
}

/// Makes a file over, if it is one that root made there: a regular one, by no other name, and root's.
fn hand_over_file(directory: &OwnedFd, name: &OsStr, user: &User) -> io::Result<()> {
    // Nor is a pipe waited for.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    // It is gone, a link, or a socket.
    let Ok(file) = openat(directory, name, flags, Mode::empty()) else { return Ok(()) };
    let found = fstat(&file)?;
    let is_file = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
    if is_file && found.st_nlink == 1 && found.st_uid == 0 {
        fchown(&file, Some(user.uid), Some(user.gid))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
    use std::path::PathBuf;

    use rustix::process::{Gid, Uid, geteuid};
    use tempfile::TempDir;

    use super::*;

    const NOBODY: u32 = 65534;

    fn nobody() -> User {
        User { uid: Uid::from_raw(NOBODY), gid: Gid::from_raw(NOBODY), groups: Vec::new() }
    }

    /// A directory for a test that takes root.
    fn home() -> Option<(TempDir, PathBuf)> {
        if !geteuid().is_root() {
            assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "this takes root");
            eprintln!("skipped: this takes root");
            return None;
        }
        let home = tempfile::tempdir().unwrap();
        let state = home.path().join("state");
        fs::create_dir(&state).unwrap();
        Some((home, state))
    }

    fn owner(path: impl AsRef<Path>) -> u32 {
        fs::symlink_metadata(path).unwrap().uid()
    }

    #[test]
    fn what_root_made_is_made_over() {
        let Some((home, state)) = home() else { return };
        let files =
            ["asterguard.lock", "asterguard.db", "asterguard.db-wal", "socket", "socket-numbers"];
        for name in files {
            fs::write(state.join(name), "").unwrap();
        }
        let done =
            hand_over(&state, &[OsStr::new("socket"), OsStr::new("socket-numbers")], &nobody())
                .unwrap();
        assert_eq!((done, owner(&state)), (Outcome::Done, NOBODY));
        assert_eq!(files.map(|name| owner(state.join(name))), [NOBODY, NOBODY, NOBODY, 0, 0]);
        // One that is not there yet, and what root left in the user's.
        let new = home.path().join("a/new");
        assert_eq!(hand_over(&new, &[], &nobody()).unwrap(), Outcome::Done);
        assert_eq!((owner(&new), owner(home.path().join("a"))), (NOBODY, 0));
        fs::write(new.join("asterguard.db-shm"), "").unwrap();
        assert_eq!(hand_over(&new, &[], &nobody()).unwrap(), Outcome::Done);
        assert_eq!(owner(new.join("asterguard.db-shm")), NOBODY);
    }

    #[test]
    fn what_a_user_planted_stays_roots() {
        let Some((home, state)) = home() else { return };
        let secret = home.path().join("secret");
        fs::write(&secret, "").unwrap();
        symlink(&secret, state.join("asterguard.db")).unwrap();
        fs::hard_link(&secret, state.join("asterguard.lock")).unwrap();
        fs::create_dir(state.join("asterguard.d")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, state.join("asterguard.pipe"), Mode::RUSR).unwrap();
        chown(&state, Some(NOBODY), Some(NOBODY)).unwrap();
        assert_eq!(hand_over(&state, &[], &nobody()).unwrap(), Outcome::Done);
        let planted = ["asterguard.db", "asterguard.lock", "asterguard.d", "asterguard.pipe"];
        assert_eq!(planted.map(|name| owner(state.join(name))), [0; 4]);
        assert_eq!(owner(&secret), 0);
        // A directory below the user's own, and a link to somebody else's in its place.
        for path in [state.join("asterguard.d"), state.join("new")] {
            assert_eq!(hand_over(&path, &[], &nobody()).unwrap(), Outcome::Others);
        }
        assert!(!state.join("new").exists());
        let elsewhere = home.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        for link in [state.join("link"), home.path().join("link")] {
            symlink(&elsewhere, &link).unwrap();
            assert_eq!(hand_over(&link, &[], &nobody()).unwrap(), Outcome::Others);
            assert_eq!(hand_over(&link.join("new"), &[], &nobody()).unwrap(), Outcome::Others);
        }
        assert_eq!((owner(state.join("asterguard.d")), owner(&elsewhere)), (0, 0));
        assert!(!elsewhere.join("new").exists());
    }

    #[test]
    fn directories_of_others_stay_theirs() {
        let Some((home, state)) = home() else { return };
        fs::write(state.join("letters"), "").unwrap();
        assert_eq!(hand_over(&state, &[], &nobody()).unwrap(), Outcome::Shared);
        assert_eq!(hand_over(Path::new("/etc"), &[], &nobody()).unwrap(), Outcome::Shared);
        assert_eq!((owner(&state), owner("/etc")), (0, 0));
        fs::remove_file(state.join("letters")).unwrap();
        chown(&state, Some(4711), None).unwrap();
        assert_eq!(hand_over(&state, &[], &nobody()).unwrap(), Outcome::Others);
        assert_eq!(owner(&state), 4711);
        // Where anybody may put another one in its place.
        chown(&state, Some(0), None).unwrap();
        fs::set_permissions(home.path(), Permissions::from_mode(0o777)).unwrap();
        assert_eq!(hand_over(&state, &[], &nobody()).unwrap(), Outcome::Others);
        assert_eq!(owner(&state), 0);
    }
}
