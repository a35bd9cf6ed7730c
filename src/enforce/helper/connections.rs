//! Destroys the TCP connections of hosts that have been banned, in a thread of its own.
//!
//! The kernel's sets drop every further packet. What Asterisk has in its buffers already it would go on
//! answering; a destroyed connection leaves it what it has read.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use crate::enforce::CounterSocket;
use crate::model::pause::Pause;
use crate::model::scope::Ports;
use crate::model::subject::Subject;
use crate::sys::clock::now;
use crate::sys::sock_diag::SockDiag;

/// Hosts that may wait; about 100 bytes each. For more, the sets have to do.
const QUEUE: usize = 4096;
/// Hosts whose connections are destroyed together: the kernel goes through all connections once.
const TOGETHER: usize = 1024;

/// A host, network or flow, and the ports here that are closed to it.
type Closed = (Subject, Ports);

/// The thread's inbox.
pub(super) struct Connections(SyncSender<Closed>);

impl Connections {
    /// Starts the thread, in the network namespace of the one that calls.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(super) fn start() -> std::io::Result<Self> {
        let (sender, inbox) = sync_channel(QUEUE);
        thread::Builder::new().name("connections".into()).spawn(move || run(&inbox))?;
        Ok(Self(sender))
    }

    /// Has the connections of a host destroyed; never waits.
    pub(super) fn destroy(&self, host: Subject, ports: &Ports) {
        let _ = self.0.try_send((host, ports.clone()));
    }
}

fn run(inbox: &Receiver<Closed>) {
    let mut diag = SockDiag::open();
    let mut kernel = CounterSocket::open().ok();
    while let Ok(first) = inbox.recv() {
        let closed: Vec<_> =
            std::iter::once(first).chain(inbox.try_iter().take(TOGETHER - 1)).collect();
        // While a pause is in force, they may go on. Asked here, because whoever bans waits for nothing.
        if kernel.as_mut().is_some_and(|kernel| kernel.paused(now()).is_ok_and(Pause::is_on)) {
            continue;
        }
        // The ban is in force with or without this, so nobody is told that it failed; whether the kernel
        // can do it, `doctor` says.
        match &mut diag {
            Ok(open) => drop(open.destroy(&closed)),
            Err(_) => diag = SockDiag::open(),
        }
    }
}
