//! Destroys the TCP connections of hosts that have been banned, in a thread of its own.
//!
//! The kernel's sets drop every further packet. What Asterisk has in its buffers already it would go on
//! answering; a destroyed connection leaves it what it has read.

#![expect(
    clippy::disallowed_methods,
    reason = "an edge: how long others are waited for is a matter of time"
)]

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

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

/// The time for which more hosts are waited for while only peers have banned some: going through all connections takes a
/// processor for a millisecond, and who attacks others has hardly sent anything here yet.
const GATHERED: Duration = Duration::from_millis(100);

/// A host, network or flow, and the ports here that are closed to it.
type Closed = (Subject, Ports);

/// Who has banned a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Issuer {
    /// This guard: Asterisk may have more of it to answer.
    Own,
    /// A guard of the fleet.
    Peer,
}

/// The thread's inbox.
pub(super) struct Connections(SyncSender<(Closed, Issuer)>);

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
    pub(super) fn destroy(&self, host: Subject, ports: &Ports, issuer: Issuer) {
        let _ = self.0.try_send(((host, ports.clone()), issuer));
    }
}

/// Waits for the next hosts; `None`: there will be none.
fn next(inbox: &Receiver<(Closed, Issuer)>) -> Option<Vec<Closed>> {
    let (first, mut issuer) = inbox.recv().ok()?;
    let (mut closed, until) = (vec![first], Instant::now() + GATHERED);
    while issuer == Issuer::Peer && closed.len() < TOGETHER {
        let rest = until.saturating_duration_since(Instant::now());
        let Ok((another, by)) = inbox.recv_timeout(rest) else { break };
        closed.push(another);
        issuer = by;
    }
    let room = TOGETHER.saturating_sub(closed.len());
    closed.extend(inbox.try_iter().take(room).map(|(another, _)| another));
    Some(closed)
}

fn run(inbox: &Receiver<(Closed, Issuer)>) {
    let mut diag = SockDiag::open();
    let mut kernel = CounterSocket::open().ok();
    while let Some(closed) = next(inbox) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(number: u8) -> Closed {
        (Subject::of([203, 0, 113, number].into(), 64), Ports::All)
    }

    #[test]
    fn own_bans_wait_for_nothing_and_those_of_peers_for_more() {
        let (sender, inbox) = sync_channel(QUEUE);
        let send = |number, issuer| sender.send((closed(number), issuer)).unwrap();
        send(1, Issuer::Own);
        let begin = Instant::now();
        assert_eq!(next(&inbox), Some(vec![closed(1)]));
        assert!(begin.elapsed() < GATHERED);

        send(1, Issuer::Peer);
        send(2, Issuer::Peer);
        send(3, Issuer::Own);
        send(4, Issuer::Peer);
        assert_eq!(next(&inbox), Some([1, 2, 3, 4].map(closed).to_vec()), "nobody waits longer");

        send(1, Issuer::Peer);
        let begin = Instant::now();
        assert_eq!(next(&inbox), Some(vec![closed(1)]));
        assert!(begin.elapsed() >= GATHERED);

        send(1, Issuer::Peer);
        drop(sender);
        assert_eq!((next(&inbox), next(&inbox)), (Some(vec![closed(1)]), None));
    }
}
