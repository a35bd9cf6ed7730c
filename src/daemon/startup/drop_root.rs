//! Has a guard that was started as root run as the service's user.

use std::ffi::OsStr;
use std::path::Path;

use rustix::process::geteuid;

use super::handover::{Outcome, hand_over};
use crate::control::metrics::numbers_socket;
use crate::daemon::{Options, RunError, USER};
use crate::sys::user::{User, become_user, may_become};

/// The user that stays root.
const ROOT: &str = "root";

/// Becomes the service's user, if this is root, and makes over to it what a guard wrote as root. Returns what the
/// administrator should know. Where no user was named and there is none, it stays root, and that is said.
///
/// # Errors
/// When it cannot run as the user that was named.
pub fn drop_root(options: &Options) -> Result<Vec<String>, RunError> {
    let named = options.user.as_deref();
    let name = named.unwrap_or(USER);
    if !geteuid().is_root() {
        return match named.map(User::find) {
            None => Ok(Vec::new()),
            Some(Ok(Some(user))) if user.uid == geteuid() => Ok(Vec::new()),
            Some(_) => Err(RunError::User(format!(
                "only root can become the user {name}: start it as root, or leave --user out"
            ))),
        };
    }
    if name == ROOT {
        return Ok(Vec::new());
    }
    match usable(name) {
        Ok(user) => {
            let notes = make_over(options, name, &user);
            become_user(&user).map_err(|error| {
                RunError::User(format!(
                    "cannot become the user {name}: {error}; to go on as root: --user {ROOT}"
                ))
            })?;
            Ok(notes)
        }
        Err(why) if named.is_none() => Ok(vec![format!("the guard goes on as root: {why}")]),
        Err(why) => Err(RunError::User(why)),
    }
}

/// Returns the user of this name, or why this process cannot become it.
fn usable(name: &str) -> Result<User, String> {
    let found =
        User::find(name).map_err(|error| format!("cannot look up the user {name}: {error}"))?;
    let user = found.ok_or_else(|| {
        format!(
            "there is no user {name}; make that user (useradd --system {name}), or name another one by --user"
        )
    })?;
    match may_become() {
        Ok(true) => Ok(user),
        _ => Err(format!("it cannot become the user {name} without CAP_SETUID and CAP_SETGID")),
    }
}

/// Makes over the directories that the guard writes to. Returns which of them stay as they are, and why.
fn make_over(options: &Options, name: &str, user: &User) -> Vec<String> {
    let kept = |path: &Path, own: &[&OsStr], option: &str| {
        let why = match hand_over(path, own, user) {
            Ok(Outcome::Done) => return None,
            Ok(Outcome::Others) => {
                "it is another user's, or its path leads through a link, or others than root can write above it"
                    .to_owned()
            }
            Ok(Outcome::Shared) => "there is more in it than the files of asterguard".to_owned(),
            Err(error) => error.to_string(),
        };
        let path = path.display();
        // Writing may be permitted all the same. If not, that is said where it fails.
        Some(format!(
            "{path} was not made over to the user {name}, who writes there: {why}; see to it by hand (chown), or give \
             another directory by {option}"
        ))
    };
    let state = kept(&options.state_dir, &[], "--state-dir");
    let beside = options.socket.parent();
    let numbers = numbers_socket(&options.socket);
    let own: Vec<_> =
        [options.socket.file_name(), numbers.file_name()].into_iter().flatten().collect();
    let socket = beside.and_then(|path| kept(path, &own, "--socket"));
    state.into_iter().chain(socket).collect()
}
