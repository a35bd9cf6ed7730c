//! Puts a file in the place of another, whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Writes a file so that whoever reads it finds the old bytes or the new ones, whatever happens. The new file is made with
/// `mode`, less the process's umask, and `dress` gives it what else it must have before anybody sees it.
///
/// The bytes are written beside the file first, into a hidden one whose name ends with `.new`.
///
/// # Errors
/// When the path has no name, or the file cannot be written; then the old one is as it was.
pub fn replace(
    path: &Path,
    bytes: &[u8],
    mode: u32,
    dress: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<()> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let beside = directory.join(format!(".{}.new", name.to_string_lossy()));
    // That of a process that was killed.
    let _ = fs::remove_file(&beside);
    let mut file = File::options().write(true).create_new(true).mode(mode).open(&beside)?;
    let replaced = file
        .write_all(bytes)
        .and_then(|()| dress(&file))
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&beside, path));
    if replaced.is_err() {
        // What went wrong is told.
        let _ = fs::remove_file(&beside);
    }
    replaced?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(directory.path().join(".file.new"), "half of it").unwrap();
        replace(&path, b"one", 0o600, |_| Ok(())).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        replace(&path, b"two", 0o600, |_| Err(io::Error::other("no"))).unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), b"one");
        replace(&path, b"two", 0o600, |_| Ok(())).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside");
        replace(Path::new("/"), b"x", 0o600, |_| Ok(())).unwrap_err();
    }
}
