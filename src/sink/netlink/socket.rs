//! The socket to `nf_tables`: whole transactions, and lists.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::sockopt::{
    Timeout, set_socket_recv_buffer_size_force, set_socket_send_buffer_size_force,
    set_socket_timeout,
};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::net::{bind, recv, send, socket_with};

use super::message::{Found, Reply, Transaction, list, replies};

/// What the kernel may keep for us to send and receive, in bytes: more than a transaction and an
/// answer to each of its messages.
const BUFFER: usize = 32 << 20;

/// What is received at once, in bytes. Parts of lists have 32 KiB at most.
const PART: usize = 64 << 10;

/// How long the kernel may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often a list is begun anew because something changed while it was read.
const ATTEMPTS: usize = 16;

/// A socket to `nf_tables`, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub(super) struct Socket {
    fd: OwnedFd,
    /// The number of the next message.
    next: u32,
    part: Vec<u8>,
}

/// A message that the kernel refused: its number, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) number: u32,
    pub(super) errno: Errno,
}

impl Socket {
    /// Opens it.
    pub(super) fn open() -> io::Result<Self> {
        let fd = socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            Some(netlink::NETFILTER),
        )?;
        bind(&fd, &SocketAddrNetlink::new(0, 0))?;
        set_socket_timeout(&fd, Timeout::Recv, Some(PATIENCE))?;
        // Without permission for that there is none to change anything either, which the first
        // transaction is told.
        let _ = set_socket_send_buffer_size_force(&fd, BUFFER);
        let _ = set_socket_recv_buffer_size_force(&fd, BUFFER);
        Ok(Self { fd, next: 1, part: vec![0; PART] })
    }

    /// A transaction to be filled.
    pub(super) fn transaction(&self) -> Transaction {
        Transaction::begin(self.next)
    }

    /// Has the kernel carry out a transaction. It did if nothing is refused; else it did nothing.
    pub(super) fn carry_out(&mut self, transaction: Transaction) -> io::Result<Vec<Refusal>> {
        let (bytes, next) = transaction.end();
        self.next = next;
        // What a transaction that failed half-way left unread is none of ours.
        while self.receive(RecvFlags::DONTWAIT)?.is_some() {}
        send(&self.fd, &bytes, SendFlags::empty())?;
        // The kernel has done it all, and queued all answers, before `send` returns.
        let mut refusals = Vec::new();
        while let Some(length) = self.receive(RecvFlags::DONTWAIT)? {
            for reply in replies(self.part.get(..length).unwrap_or_default()) {
                if let Reply::Status { number, errno: errno @ 1.. } = reply {
                    refusals.push(Refusal { number, errno: Errno::from_raw_os_error(errno) });
                }
            }
        }
        Ok(refusals)
    }

    /// All elements of a set.
    pub(super) fn list(&mut self, set: &str) -> io::Result<Vec<Found>> {
        for _ in 0..ATTEMPTS {
            if let Some(found) = self.list_once(set)? {
                return Ok(found);
            }
        }
        Err(io::Error::other("the set changed each time that it was read"))
    }

    /// As [`Socket::list`]; `None` if the set changed meanwhile.
    fn list_once(&mut self, set: &str) -> io::Result<Option<Vec<Found>>> {
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        send(&self.fd, &list(set, number), SendFlags::empty())?;
        let (mut all, mut interrupted) = (Vec::new(), false);
        loop {
            let Some(length) = self.receive(RecvFlags::empty())? else {
                return Err(io::ErrorKind::TimedOut.into());
            };
            for reply in replies(self.part.get(..length).unwrap_or_default()) {
                match reply {
                    Reply::Status { errno: errno @ 1.., .. } => {
                        return Err(io::Error::from_raw_os_error(errno));
                    }
                    Reply::Elements { found, interrupted: again } => {
                        all.extend(found);
                        interrupted |= again;
                    }
                    Reply::Done => return Ok((!interrupted).then_some(all)),
                    Reply::Status { .. } | Reply::Other => {}
                }
            }
        }
    }

    /// Receives into the buffer: how many bytes; `None` if there is nothing (in time).
    fn receive(&mut self, flags: RecvFlags) -> io::Result<Option<usize>> {
        loop {
            match recv(&self.fd, self.part.as_mut_slice(), flags) {
                Ok((length, _)) => return Ok(Some(length)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
