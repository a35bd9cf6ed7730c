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
use rustix::net::{bind, getsockname, recv, send, socket_with};

use super::message::{Key, Question, Transaction};
use super::reply::{Count, Found, Reply, counter, found, generation_of, items, replies, set_name};
use crate::model::time::Time;
use crate::sys::clock::monotonic_now;

/// The most that the kernel may keep for us to send and receive, in bytes: more than a transaction and
/// an answer to each of its messages.
const BUFFER: usize = 32 << 20;

/// The most that is received in one call, in bytes. Parts of lists have 32 KiB at most.
const PART: usize = 64 << 10;

/// The time that the kernel may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The number of times that a list is begun again because something changed while it was read.
const ATTEMPTS: usize = 16;

/// A socket to `nf_tables`, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub(super) struct Socket {
    fd: OwnedFd,
    /// The number of the next message.
    next: u32,
    /// The number of transactions that the kernel has carried out.
    carried_out: u32,
    part: Vec<u8>,
    /// When an answer is waited for no longer, by the monotonic clock, and how many pieces are waited for in any case.
    give_up: Option<(Time, u32)>,
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
        Ok(Self { fd, next: 1, carried_out: 0, part: vec![0; PART], give_up: None })
    }

    /// Waits for no answer any longer than until then, by the monotonic clock, once so many pieces of lists have come:
    /// [`io::ErrorKind::TimedOut`]. After a list that was given up, the socket is of no use.
    pub(super) fn give_up(&mut self, when: Time, pieces: u32) {
        self.give_up = Some((when, pieces));
    }

    /// Returns a transaction to be filled.
    pub(super) fn transaction(&self) -> Transaction {
        Transaction::begin(self.next)
    }

    /// Makes the kernel carry out a transaction. It did if nothing is refused; else it did nothing.
    pub(super) fn carry_out(&mut self, transaction: Transaction) -> io::Result<Vec<Refusal>> {
        let (bytes, next) = transaction.end();
        self.next = next;
        // Messages that a transaction that failed half-way left unread are none of ours.
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
        self.carried_out = self.carried_out.wrapping_add(u32::from(refusals.is_empty()));
        Ok(refusals)
    }

    /// Returns the number by which the kernel knows this socket.
    pub(super) fn port(&self) -> io::Result<u32> {
        let name: SocketAddrNetlink = getsockname(&self.fd)?.try_into()?;
        Ok(name.pid())
    }

    /// Returns the number of transactions that there have been that were none of this socket's.
    pub(super) fn others(&mut self) -> io::Result<u32> {
        let all = self.ask(Question::Generation, |all: &mut Option<u32>, _, generation| {
            *all = all.or(generation_of(generation));
        })?;
        let all = all.ok_or(io::ErrorKind::InvalidData)?;
        Ok(all.wrapping_sub(self.carried_out))
    }

    /// Returns all elements of a set.
    pub(super) fn list(&mut self, set: &str) -> io::Result<Vec<Found>> {
        self.ask(Question::Elements(set), |all: &mut Vec<Found>, _, list| {
            all.extend(items(list).filter_map(found));
        })
    }

    /// Returns one element of a set, however many there are; `ENOENT`: it is not there, or the set is not.
    pub(super) fn element(&mut self, set: &str, key: Key) -> io::Result<Option<Found>> {
        let take = |one: &mut Option<Found>, _, list: &[u8]| *one = items(list).find_map(found);
        self.ask_once(Question::Element(set, key), take).map(|(one, _)| one)
    }

    /// Hands each element of a set to `take`, once. While the set changes, some may be missed.
    pub(super) fn each(&mut self, set: &str, mut take: impl FnMut(Found)) -> io::Result<()> {
        self.ask_once(Question::Elements(set), |(), _, list| {
            items(list).filter_map(found).for_each(&mut take);
        })
        .map(drop)
    }

    /// Returns the names of all sets of the table.
    pub(super) fn names(&mut self) -> io::Result<Vec<String>> {
        self.ask(Question::Sets, |names: &mut Vec<String>, _, set| names.extend(set_name(set)))
    }

    /// Returns the named counters of the table.
    pub(super) fn counters(&mut self) -> io::Result<Vec<(String, Count)>> {
        self.ask(Question::Counters, |counters: &mut Vec<_>, _, object| {
            counters.extend(counter(object));
        })
    }

    /// Asks something, and has `take` gather the kinds and attributes of the messages that answer it.
    /// It is asked again where something changed meanwhile.
    pub(super) fn ask<T: Default>(
        &mut self,
        question: Question<'_>,
        take: impl Fn(&mut T, u16, &[u8]),
    ) -> io::Result<T> {
        for _ in 0..ATTEMPTS {
            if let (answer, true) = self.ask_once(question, &take)? {
                return Ok(answer);
            }
        }
        Err(io::Error::other("the ruleset changed each time that it was read"))
    }

    /// Does the same once; the flag says whether nothing changed meanwhile.
    fn ask_once<T: Default>(
        &mut self,
        question: Question<'_>,
        mut take: impl FnMut(&mut T, u16, &[u8]),
    ) -> io::Result<(T, bool)> {
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        // Messages that an answer that was given up half-way left unread are none of ours.
        while self.receive(RecvFlags::DONTWAIT)?.is_some() {}
        send(&self.fd, &question.bytes(number), SendFlags::empty())?;
        let (mut answer, mut whole) = (T::default(), true);
        loop {
            if let Some((when, pieces)) = &mut self.give_up {
                if *pieces == 0 && monotonic_now() >= *when {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                *pieces = pieces.saturating_sub(1);
            }
            let Some(length) = self.receive(RecvFlags::empty())? else {
                return Err(io::ErrorKind::TimedOut.into());
            };
            for reply in replies(self.part.get(..length).unwrap_or_default()) {
                match reply {
                    Reply::Status { errno: errno @ 1.., .. } => {
                        return Err(io::Error::from_raw_os_error(errno));
                    }
                    Reply::Part { kind, attributes, interrupted } => {
                        take(&mut answer, kind, attributes);
                        whole &= !interrupted;
                        if !question.is_list() {
                            return Ok((answer, whole));
                        }
                    }
                    Reply::Done => return Ok((answer, whole)),
                    Reply::Status { .. } => {}
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
