//! The secret of our user of the manager interface: a file that nobody else may read.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::process::Gid;
use thiserror::Error;

use crate::model::trouble::Trouble;
use crate::services::ami_session::{NoSecret, Secret, hex};
use crate::sys::secret_file::{self, MODE, SecretFileError};

/// The name of the secret among systemd's credentials (`LoadCredential=ami-secret:/path`).
const CREDENTIAL: &str = "ami-secret";
/// The random bytes of a new secret; it is written in hexadecimal digits.
const RANDOM: usize = 24;

/// The reason why there is no secret.
#[derive(Debug, Error)]
pub enum SecretError {
    /// Its file is not read.
    #[error(transparent)]
    File(#[from] SecretFileError),
    /// It holds something else.
    #[error("{} does not hold a secret: {error}", path.display())]
    NoSecret { path: PathBuf, error: NoSecret },
}

impl SecretError {
    /// Returns what is wrong and what to do.
    #[must_use]
    pub fn trouble(&self) -> Trouble {
        let todo = match self {
            Self::File(error) if error.is_missing() => "asterguard ami-user --generate".to_owned(),
            Self::File(error) => return error.trouble(),
            Self::NoSecret { path, .. } => {
                format!("write the secret of manager.conf into {}", path.display())
            }
        };
        Trouble::new(self.to_string(), todo)
    }
}

/// Reads the secret: what the service manager hands over in the directory `credentials` if it is there, otherwise this
/// file; see [`secret_file`].
///
/// # Errors
/// See [`SecretError`].
pub fn read(file: &Path, credentials: Option<&Path>) -> Result<Secret, SecretError> {
    let handed = credentials.map(|directory| directory.join(CREDENTIAL));
    let path = handed.filter(|path| path.exists()).unwrap_or_else(|| file.to_owned());
    let text = secret_file::read(&path)?;
    Secret::new(&text).map_err(|error| SecretError::NoSecret { path, error })
}

/// Makes a random secret, and a file with it that this group may read. A file that is there is never changed.
///
/// # Errors
/// When the file is there, or cannot be made.
pub fn generate(path: &Path, group: Option<Gid>) -> io::Result<String> {
    let mut random = [0; RANDOM];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    let secret = hex(&random);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(path)?;
    let written = rustix::fs::fchown(&file, None, group)
        .map_err(io::Error::from)
        .and_then(|()| writeln!(file, "{secret}"))
        .and_then(|()| file.sync_all());
    if let Err(error) = written {
        // Half of a secret is none.
        let _ = std::fs::remove_file(path);
        return Err(error);
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;

    fn file(mode: u32, text: &str) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        (directory, path)
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        for (mode, is_right) in [
            (0o640, true),
            (0o600, true),
            (0o440, true),
            (0o644, false),
            (0o660, false),
            (0o650, false),
            (0o4640, false),
        ] {
            let (_directory, path) = file(mode, "s3cret\n");
            let secret = read(&path, None);
            assert_eq!(secret.is_ok(), is_right, "{mode:o}: {secret:?}");
            if let Err(error) = secret {
                assert!(error.trouble().todo.starts_with("chmod 640 /"), "{error}");
            }
        }
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        let missing = read(Path::new("/nonexistent/secret"), None).unwrap_err().trouble();
        assert_eq!(missing.todo, "asterguard ami-user --generate");
        let (_directory, path) = file(0o600, "two\nlines\n");
        let error = read(&path, None).unwrap_err();
        assert!(error.trouble().todo.starts_with("write the secret of manager.conf"), "{error}");
        assert!(!format!("{error} {error:?}").contains("two"), "{error:?}");
    }

    #[test]
    fn a_credential_comes_first() {
        let (directory, path) = file(0o600, "own\n");
        assert_eq!(read(&path, Some(directory.path())).unwrap(), Secret::new("own").unwrap());
        let (other, handed) = file(0o400, "handed");
        fs::rename(handed, other.path().join(CREDENTIAL)).unwrap();
        assert_eq!(read(&path, Some(other.path())).unwrap(), Secret::new("handed").unwrap());
    }

    #[test]
    fn a_new_secret_is_random_and_replaces_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        let secret = generate(&path, None).unwrap();
        assert!(
            secret.len() == 2 * RANDOM && fs::metadata(&path).unwrap().mode() & 0o7777 == 0o640
        );
        assert_eq!(read(&path, None).unwrap(), Secret::new(&secret).unwrap());
        assert_eq!(generate(&path, None).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(read(&path, None).unwrap(), Secret::new(&secret).unwrap());
        assert_ne!(generate(&directory.path().join("other"), None).unwrap(), secret);
    }
}
