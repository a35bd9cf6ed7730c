//! One guard for each network namespace: whoever is in charge of the kernel's table has a name there that no
//! second process can have.
//!
//! The name is that of an abstract local socket: it belongs to the network namespace as the table does, needs no
//! file, and is free again when the process ends, however it does. Anybody could take it, to keep the guard
//! from starting; so it counts only if it is held by somebody who may run one.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::geteuid;
use tokio::net::UnixStream;
use tokio::net::unix::UCred;
use tracing::warn;

use crate::daemon::{RunError, STATE_DIR};

/// What `ss -xl` shows as `@asterguard`.
const NAME: &[u8] = b"asterguard";

/// Takes the name, which is held until the listener is closed. `None` where it cannot be had for a reason
/// that is no other guard: that must not keep this one from starting.
///
/// # Errors
/// When another guard has it.
pub fn take(state_dir: &Path) -> Result<Option<UnixListener>, RunError> {
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

/// Turns away whoever asks who has the name: the kernel has told him by then.
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

/// Who has the name. Never waits: a stranger may have it, and not answer.
fn holder() -> io::Result<UCred> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new_abstract_name(NAME)?)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _inside = runtime.enter();
    UnixStream::from_std(socket.into())?.peer_cred()
}

/// The number of a process, where it is one of those that this one can see.
fn pid(process: &UCred) -> String {
    process.pid().filter(|pid| *pid > 0).map_or("unknown".to_owned(), |pid| pid.to_string())
}

/// Whether a process may be a guard, by whose it is: root's, ours, or the user's that keeps a guard's state.
fn may_guard(process: &UCred, state_dir: &Path) -> bool {
    let owner = |directory: &Path| std::fs::metadata(directory).ok().map(|found| found.uid());
    let keeps = [state_dir, Path::new(STATE_DIR)].map(owner).contains(&Some(process.uid()));
    [0, geteuid().as_raw()].contains(&process.uid()) || keeps
}
