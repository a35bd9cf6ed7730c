//! One guard for each state directory, and one for each network namespace.
//!
//! A lock in the state directory keeps a second daemon out. Besides, the guard that is in charge of the
//! kernel's table has a name in its network namespace that no second process can have.
//!
//! The name is that of an abstract local socket: it belongs to the network namespace as the table does, needs no
//! file, and is free again when the process ends, however it does. Anybody could take it, to keep the guard
//! from starting; so it counts only if it is held by somebody who may run one.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use rustix::fs::{FlockOperation, flock};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::geteuid;
use tokio::net::UnixStream;
use tokio::net::unix::UCred;
use tracing::warn;

use crate::daemon::{RunError, STATE_DIR};

/// The name that `ss -xl` shows as `@asterguard`.
const NAME: &[u8] = b"asterguard";

/// The proof that this process is the only one of its kind, until it is dropped.
#[derive(Debug)]
pub struct Claim {
    /// `None` where no lock can be made; see [`claim_instance`].
    _lock: Option<File>,
    /// `None` if this is no guard of the kernel's table, or if the name cannot be had.
    pub name: Option<UnixListener>,
}

/// Makes sure that this is the only daemon with its state directory, and the only guard of the kernel's
/// table if it `guards` one. A lock or name that cannot be had for another reason than a second guard
/// does not keep this one from starting.
///
/// # Errors
/// When another one runs.
pub fn claim_instance(state_dir: &Path, guards: bool) -> Result<Claim, RunError> {
    let lock = lock(state_dir)?;
    let name = if guards { claim_name(state_dir)? } else { None };
    Ok(Claim { _lock: lock, name })
}

/// Does the same for a process that only puts bans into the kernel, and makes no state directory.
///
/// # Errors
/// When another one runs.
pub fn claim_for_restore(state_dir: &Path) -> Result<Claim, RunError> {
    let lock = if state_dir.exists() { lock(state_dir)? } else { None };
    Ok(Claim { _lock: lock, name: claim_name(state_dir)? })
}

/// Acquires the lock in `directory`, which is made if it is not there. It is held until the file is
/// closed, however this process ends. `None` where no lock can be made, because nothing can
/// be written there: that must not keep the guard from starting, and the control socket keeps a
/// second one out too.
fn lock(directory: &Path) -> Result<Option<File>, RunError> {
    std::fs::create_dir_all(directory)
        .with_context(|| format!("cannot make the state directory {}", directory.display()))?;
    let path = directory.join("asterguard.lock");
    let open = |write: bool| {
        OpenOptions::new().create(write).truncate(false).read(true).write(write).open(&path)
    };
    // A lock that is there already holds as well if it can only be read.
    let mut file = match open(true).or_else(|error| open(false).map_err(|_| error)) {
        Ok(file) => file,
        Err(error) => {
            warn!("cannot make the lock {}: {error}", path.display());
            return Ok(None);
        }
    };
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        let mut pid = String::new();
        // The holder is only for the message.
        let _ = (&file).take(20).read_to_string(&mut pid);
        return Err(RunError::Running { pid: pid.trim().to_owned(), lock: path });
    }
    let written = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()));
    // A full disk must not keep the guard from starting; the lock holds without the number.
    drop(written);
    Ok(Some(file))
}

/// Acquires the name, which is held until the listener is closed. `None` where it cannot be had for
/// a reason that is no other guard: that must not keep this one from starting.
///
/// # Errors
/// When another guard has it.
fn claim_name(state_dir: &Path) -> Result<Option<UnixListener>, RunError> {
    match SocketAddr::from_abstract_name(NAME).and_then(|name| UnixListener::bind_addr(&name)) {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => match holder() {
            Ok(holder) if may_guard(&holder, state_dir) => {
                Err(RunError::Guarded { pid: pid(&holder) })
            }
            Ok(holder) => {
                let (pid, uid) = (pid(&holder), holder.uid());
                warn!(
                    "going on, although the user {uid} (pid {pid}) has taken the name @asterguard: no guard of this machine runs as that user"
                );
                Ok(None)
            }
            Err(error) => {
                warn!(
                    "going on, although the name @asterguard is taken, and it cannot be seen by whom: {error}"
                );
                Ok(None)
            }
        },
        Err(error) => {
            warn!(
                "cannot take the name @asterguard: a second guard would not know of this one: {error}"
            );
            Ok(None)
        }
    }
}

/// Accepts and closes the connections of those that ask which process has the name: the kernel has told
/// them by then.
pub async fn turn_away(name: Option<&UnixListener>) {
    let listener = name.and_then(|name| {
        name.set_nonblocking(true).ok()?;
        tokio::net::UnixListener::from_std(name.try_clone().ok()?).ok()
    });
    let Some(listener) = listener else { return std::future::pending().await };
    loop {
        if listener.accept().await.is_err() {
            // Out of file descriptors, for example: some will be free in a moment.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Returns the process that has the name. Never waits: a stranger may have it, and not answer.
fn holder() -> io::Result<UCred> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new_abstract_name(NAME)?)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _inside = runtime.enter();
    UnixStream::from_std(socket.into())?.peer_cred()
}

/// Returns the number of a process, where it is one of those that this one can see.
fn pid(process: &UCred) -> String {
    process.pid().filter(|pid| *pid > 0).map_or("unknown".to_owned(), |pid| pid.to_string())
}

/// Whether a process may be a guard, by whose it is: root's, ours, or the user's that keeps a guard's state.
fn may_guard(process: &UCred, state_dir: &Path) -> bool {
    let owner = |directory: &Path| std::fs::metadata(directory).ok().map(|found| found.uid());
    let keeps = [state_dir, Path::new(STATE_DIR)].map(owner).contains(&Some(process.uid()));
    [0, geteuid().as_raw()].contains(&process.uid()) || keeps
}
