//! Files with secrets, which nobody else may read: one check for all of them.

use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
use thiserror::Error;

use super::text_file::{FileError, open_regular};
use crate::model::trouble::Trouble;

/// The most that the mode of such a file may allow: its owner reads and writes it, its group reads it.
pub const MODE: u32 = 0o640;
/// The bytes that such a file may have.
pub const LARGEST: u64 = 4096;

/// The reason why a file with a secret is not read.
#[derive(Debug, Error)]
pub enum SecretFileError {
    /// It cannot be read.
    #[error("cannot read the secret in {}: {error}", path.display())]
    Unreadable { path: PathBuf, error: FileError },
    /// Others may read or change it.
    #[error("others may read or change {} (mode {mode:04o})", path.display())]
    Mode { path: PathBuf, mode: u32 },
    /// It belongs to somebody else.
    #[error("{} belongs to the user with the number {owner}", path.display())]
    Owner { path: PathBuf, owner: u32 },
}

impl SecretFileError {
    /// Whether there is no such file.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Unreadable { error: FileError::Io(error), .. } if error.kind() == io::ErrorKind::NotFound)
    }

    /// Returns what is wrong and what to do.
    #[must_use]
    pub fn trouble(&self) -> Trouble {
        let todo = match self {
            Self::Unreadable { path, .. } => {
                let path = path.display();
                format!("chown root:asterguard {path}; chmod 640 {path}")
            }
            Self::Mode { path, .. } => format!("chmod 640 {}", path.display()),
            Self::Owner { path, .. } => format!("chown root:asterguard {}", path.display()),
        };
        Trouble::new(self.to_string(), todo)
    }
}

/// Reads a file with a secret. Only root, or the user of this process, may own it; nobody but the owner may write it, and
/// others may not read it.
///
/// # Errors
/// See [`SecretFileError`].
pub fn read(path: &Path) -> Result<String, SecretFileError> {
    let unreadable = |error| SecretFileError::Unreadable { path: path.to_owned(), error };
    let (file, metadata) = open_regular(path).map_err(unreadable)?;
    let (mode, owner) = (metadata.mode() & 0o7777, metadata.uid());
    if mode & !MODE != 0 {
        return Err(SecretFileError::Mode { path: path.to_owned(), mode });
    }
    if owner != 0 && owner != geteuid().as_raw() {
        return Err(SecretFileError::Owner { path: path.to_owned(), owner });
    }
    let mut text = String::new();
    let read = file.take(LARGEST + 1).read_to_string(&mut text);
    read.map_err(|error| unreadable(error.into()))?;
    if text.len() as u64 > LARGEST {
        let long = io::Error::new(io::ErrorKind::InvalidData, "longer than 4096 bytes");
        return Err(unreadable(long.into()));
    }
    Ok(text)
}

/// Reads a file with one secret on one line, without the end of the line.
///
/// # Errors
/// When it cannot be read (see [`read`]), or holds something else.
pub fn read_line(path: &Path) -> Result<String, Trouble> {
    let text = read(path).map_err(|error| error.trouble())?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() || line.chars().any(char::is_control) {
        return Err(Trouble::new(
            format!("{} does not hold one line with a secret", path.display()),
            format!("write the secret, and nothing else, into {}", path.display()),
        ));
    }
    Ok(line.to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn one_line_is_read_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        let read = |text: &str, mode: u32| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            read_line(&path)
        };
        assert_eq!(read("s3cret\r\n", 0o640).unwrap(), "s3cret");
        for text in ["", "\n", "two\nlines\n", "a\tb"] {
            let trouble = read(text, 0o640).unwrap_err();
            assert!(trouble.todo.starts_with("write the secret"), "{trouble}");
            assert!(!trouble.to_string().contains("two"), "{trouble}");
        }
        assert!(read("s3cret", 0o644).unwrap_err().todo.starts_with("chmod 640"));
        let long = "x".repeat(5000);
        assert!(read(&long, 0o640).unwrap_err().seen.ends_with("longer than 4096 bytes"));
    }
}
