//! Reads text files that people write, up to a bound, and lists those of a directory. Never waits:
//! what is no regular file is refused with a message instead of read.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use thiserror::Error;

/// The reason why a file is not read.
#[derive(Debug, Error)]
pub enum FileError {
    /// Something else goes by its name: a pipe or a device could block or never end.
    #[error("it is a {0}, not a regular file")]
    NotRegular(&'static str),
    /// It has more bytes than the caller takes: this many MiB.
    #[error("larger than {0} MiB")]
    TooLarge(u64),
    /// The error that the system gave instead.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The reason why there is no text.
#[derive(Debug, Error)]
pub enum TextError {
    /// A file or a directory cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Unreadable { path: PathBuf, error: FileError },
    /// A file is not text.
    #[error("{}:{line}: not UTF-8: save the file as UTF-8", path.display())]
    NotUtf8 { path: PathBuf, line: usize },
}

/// Opens the regular file that `path` (or the symbolic link there) names. Never waits, and never
/// opens anything else: opening a pipe or a device can have effects of its own.
///
/// # Errors
/// When it is not there, may not be read, or is no regular file.
pub fn open_regular(path: &Path) -> Result<(File, Metadata), FileError> {
    refuse_irregular(&fs::metadata(path)?)?;
    // Something else can have taken the name since, hence NONBLOCK and the second look.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    refuse_irregular(&metadata)?;
    Ok((file, metadata))
}

/// Refuses what is no regular file, by the name of its kind.
///
/// # Errors
/// [`FileError::NotRegular`].
pub fn refuse_irregular(metadata: &Metadata) -> Result<(), FileError> {
    let kind = metadata.file_type();
    let name = match () {
        () if kind.is_file() => return Ok(()),
        () if kind.is_dir() => "directory",
        () if kind.is_fifo() => "named pipe",
        () if kind.is_socket() => "socket",
        () => "device",
    };
    Err(FileError::NotRegular(name))
}

/// Reads a regular file of at most `largest` bytes, which is a number of whole MiB.
///
/// # Errors
/// See [`FileError`].
pub fn read_bytes(path: &Path, largest: u64) -> Result<Vec<u8>, FileError> {
    let (file, _) = open_regular(path)?;
    let mut bytes = Vec::new();
    file.take(largest + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > largest { Err(FileError::TooLarge(largest >> 20)) } else { Ok(bytes) }
}

/// Reads a text of at most `largest` bytes, which is a number of whole MiB.
///
/// # Errors
/// See [`TextError`].
pub fn read_text(path: &Path, largest: u64) -> Result<String, TextError> {
    let bytes = read_bytes(path, largest)
        .map_err(|error| TextError::Unreadable { path: path.to_owned(), error })?;
    String::from_utf8(bytes).map_err(|error| {
        let (good, _) = error.as_bytes().split_at(error.utf8_error().valid_up_to());
        let line = memchr::memchr_iter(b'\n', good).count() + 1;
        TextError::NotUtf8 { path: path.to_owned(), line }
    })
}

/// Lists the files `*.toml` of a directory by name; none if there is no such directory. Hidden files
/// are left out: editors put their locks and copies there.
///
/// # Errors
/// When the directory cannot be read.
pub fn toml_files(directory: &Path) -> Result<Vec<PathBuf>, TextError> {
    let unreadable = |error: io::Error| TextError::Unreadable {
        path: directory.to_owned(),
        error: error.into(),
    };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(unreadable)?.file_name();
        if is_toml_name(&name) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names.into_iter().map(|name| directory.join(name)).collect())
}

/// Whether a file of this name is read: `*.toml`, and not hidden.
#[must_use]
pub fn is_toml_name(name: &OsStr) -> bool {
    let bytes = name.as_encoded_bytes();
    bytes.ends_with(b".toml") && !bytes.starts_with(b".")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    const LARGEST: u64 = 1 << 20;

    fn fifo(path: &Path) {
        mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    }

    #[test]
    fn only_regular_files_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("text"), "caf\u{e9}\n").unwrap();
        symlink("text", at("link")).unwrap();
        assert_eq!(read_text(&at("link"), LARGEST).unwrap(), "caf\u{e9}\n");

        fifo(&at("fifo"));
        symlink("fifo", at("link to a fifo")).unwrap();
        symlink("/dev/zero", at("zero")).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        fs::create_dir(at("directory")).unwrap();
        for (name, kind) in [
            ("fifo", "named pipe"),
            ("link to a fifo", "named pipe"),
            ("zero", "device"),
            ("socket", "socket"),
            ("directory", "directory"),
        ] {
            let error = read_text(&at(name), LARGEST).unwrap_err().to_string();
            let path = at(name);
            let expected =
                format!("cannot read {}: it is a {kind}, not a regular file", path.display());
            assert_eq!(error, expected);
        }
        symlink("nowhere", at("dangling")).unwrap();
        let error = read_text(&at("dangling"), LARGEST).unwrap_err().to_string();
        assert!(error.ends_with("/dangling: No such file or directory (os error 2)"), "{error}");
    }

    #[test]
    fn size_is_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("text");
        let text = " ".repeat(1 << 20);
        fs::write(&path, &text).unwrap();
        assert_eq!(read_text(&path, LARGEST).unwrap(), text);
        fs::write(&path, text + "\n").unwrap();
        let error = read_text(&path, LARGEST).unwrap_err().to_string();
        assert_eq!(error, format!("cannot read {}: larger than 1 MiB", path.display()));
    }

    #[test]
    fn line_that_is_not_utf8_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("text");
        fs::write(&path, b"# 1\n# 2\n# caf\xe9\n").unwrap();
        let error = read_text(&path, LARGEST).unwrap_err().to_string();
        assert_eq!(error, format!("{}:3: not UTF-8: save the file as UTF-8", path.display()));
    }

    #[test]
    fn toml_files_are_sorted_without_hidden_ones() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for name in ["b.toml", "a.toml", ".c.toml", "d.toml.bak", "toml"] {
            fs::write(at(name), "").unwrap();
        }
        // An Emacs lock.
        symlink("me@pbx.example.com.4711:1700000000", at(".#a.toml")).unwrap();
        // A file that cannot be read is told when it is read.
        fifo(&at("e.toml"));
        let found = toml_files(directory.path()).unwrap();
        assert_eq!(found, [at("a.toml"), at("b.toml"), at("e.toml")]);
        assert_eq!(toml_files(&at("nowhere")).unwrap(), [""; 0].map(PathBuf::from));
        let error = toml_files(&at("toml")).unwrap_err().to_string();
        assert!(error.ends_with("/toml: Not a directory (os error 20)"), "{error}");
    }
}
