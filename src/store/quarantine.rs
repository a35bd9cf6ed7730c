//! Keeps state files that are of no use next to the new one, for the administrator to look at.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::model::time::Time;

/// The number of files that are kept.
const MOST: usize = 3;
/// The files that `SQLite` keeps next to a file, as part of it.
const COMPANIONS: [&str; 2] = ["-wal", "-shm"];

/// Renames the file at `path` to `path.broken-TIME`, with all that belongs to it, removes the
/// oldest of such files when there are more than three, and returns the new name.
///
/// # Errors
/// When it cannot be renamed; it is still there then.
pub fn quarantine_file(path: &Path, now: Time) -> io::Result<PathBuf> {
    // Later than all others, whatever the clock says.
    let last = all_kept(path).last().map_or(0, |(number, _)| number.saturating_add(1));
    let kept = with(path, &format!(".broken-{}", now.millis().max(last)));
    fs::rename(path, &kept)?;
    for companion in COMPANIONS {
        // A log of changes left behind would be played into the new file.
        match fs::rename(with(path, companion), with(&kept, companion)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                fs::remove_file(with(path, companion))?;
            }
            _ => {}
        }
    }
    remove_oldest(path);
    Ok(kept)
}

/// Removes what `SQLite` kept next to a file that is gone: it would be replayed into the next one
/// there.
pub fn remove_companions(path: &Path) -> io::Result<()> {
    COMPANIONS.iter().try_for_each(|companion| match fs::remove_file(with(path, companion)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    })
}

/// Returns a path with something added to its end.
pub(super) fn with(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    name.into()
}

/// Returns the files in quarantine, by the number in their names.
fn all_kept(path: &Path) -> Vec<(i64, PathBuf)> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Vec::new() };
    let prefix = format!("{}.broken-", name.to_string_lossy());
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    let time = |entry: fs::DirEntry| {
        let number = entry.file_name().to_str()?.strip_prefix(&prefix)?.parse::<i64>().ok()?;
        Some((number, entry.path()))
    };
    let mut kept: Vec<_> = entries.filter_map(Result::ok).filter_map(time).collect();
    kept.sort_unstable();
    kept
}

/// Removes the oldest files, as a best effort: a file too many does no harm.
fn remove_oldest(path: &Path) {
    for (_, old) in all_kept(path).iter().rev().skip(MOST) {
        for end in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(with(old, end));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_three_files_are_kept_with_their_companions() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("state.db");
        for round in 0..5 {
            fs::write(&path, format!("bad {round}")).unwrap();
            fs::write(with(&path, "-wal"), "changes").unwrap();
            // In the same millisecond.
            quarantine_file(&path, Time::from_secs(7)).unwrap();
            assert!(!path.exists() && !with(&path, "-wal").exists());
        }
        let mut names: Vec<_> = fs::read_dir(home.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let expected: Vec<_> = (7002..7005)
            .flat_map(|n| ["", "-wal"].map(|end| format!("state.db.broken-{n}{end}")))
            .collect();
        assert_eq!(names, expected);
        assert_eq!(fs::read_to_string(home.path().join("state.db.broken-7004")).unwrap(), "bad 4");
    }
}
