//! Receives the kernel's notifications of what others do to our table.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::sockopt::set_socket_recv_buffer_size_force;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};
use rustix::net::{bind, getsockname, recv, socket_with};

use super::notification::Decoder;
use crate::enforce::drift::external_changes::ExternalChanges;
use crate::sys::program::Program;

/// The group of `nf_tables`, `NFNLGRP_NFTABLES`, as a bit.
const GROUP: u32 = 1 << (7 - 1);

/// The most that the kernel may keep for us, in bytes, where nothing else is said.
pub const BUFFER: usize = 8 << 20;

/// The most that is received in one call, in bytes. The kernel writes what fits into a page, or one message.
const PART: usize = 64 << 10;

/// The number of these that are taken together, at most.
const PARTS_MAX: u32 = 4096;

/// Starts and stops the notifications that a [`Monitor`] gets.
#[derive(Debug)]
pub(super) struct Subscription {
    fd: OwnedFd,
    port: u32,
}

impl Subscription {
    /// From now on the kernel sends none.
    pub(super) fn stop(&self) -> io::Result<()> {
        Ok(bind(&self.fd, &SocketAddrNetlink::new(self.port, 0))?)
    }

    /// From now on the kernel sends all.
    pub(super) fn start(&self) -> io::Result<()> {
        Ok(bind(&self.fd, &SocketAddrNetlink::new(self.port, GROUP))?)
    }
}

/// Hears what others do, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Monitor {
    fd: OwnedFd,
    part: Vec<u8>,
    decoder: Decoder,
    nft: Program,
}

impl Monitor {
    /// Listens from now on. What comes by the socket `own`, or is done by runs of `nft`, is ours.
    pub(super) fn open(own: u32, nft: Program, buffer: usize) -> io::Result<Self> {
        let fd = socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            Some(netlink::NETFILTER),
        )?;
        // Without permission there is less room, and more is lost; that is noticed and made up for.
        let _ = set_socket_recv_buffer_size_force(&fd, buffer);
        bind(&fd, &SocketAddrNetlink::new(0, GROUP))?;
        Ok(Self { fd, part: vec![0; PART], decoder: Decoder::new(own), nft })
    }

    /// Returns the subscription of this monitor.
    pub(super) fn subscription(&self) -> io::Result<Subscription> {
        let name: SocketAddrNetlink = getsockname(&self.fd)?.try_into()?;
        Ok(Subscription { fd: self.fd.try_clone()?, port: name.pid() })
    }

    /// Waits until others have done something to our table, and says what.
    ///
    /// # Errors
    /// When the socket does not work any more.
    pub fn wait(&mut self) -> io::Result<ExternalChanges> {
        let (mut heard, mut parts) = (ExternalChanges::default(), 0);
        while parts < PARTS_MAX {
            // Everything that is there already belongs to it.
            let flags = if heard.is_empty() {
                RecvFlags::empty()
            } else {
                parts += 1;
                RecvFlags::DONTWAIT
            };
            match recv(&self.fd, self.part.as_mut_slice(), flags) {
                Ok((length, _)) => {
                    let bytes = self.part.get(..length).unwrap_or_default();
                    self.decoder.decode(bytes, |pid| self.nft.ran(pid), &mut heard);
                }
                Err(Errno::INTR) => {}
                Err(Errno::NOBUFS) => self.decoder.lose_track(&mut heard),
                Err(Errno::AGAIN) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(heard)
    }
}
