//! A capture file at rest, pcap or pcapng: its packets, one after the other.
//!
//! Formats: <https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-06.html> and
//! <https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-04.html>. Files are hostile: whatever a length says, only
//! what is there takes memory, [`MOST_BLOCK`] at most. What comes before damage is read.

use std::io::{self, ErrorKind, Read};

use pcap_parser::{
    Block, EnhancedPacketBlock, InterfaceDescriptionBlock, LegacyPcapBlock, Linktype, PcapHeader,
    SimplePacketBlock, parse_block_be, parse_block_le, parse_pcap_frame, parse_pcap_frame_be,
    parse_pcap_frame_modified, parse_pcap_header,
};
use thiserror::Error;

use crate::model::time::Time;

/// The longest record of pcap, and the longest block of pcapng that matters: 1 MiB, four times the longest packet
/// that tcpdump copies.
pub const MOST_BLOCK: usize = 1 << 20;
/// Interfaces of one section; packets of further ones have no link type.
const MOST_INTERFACES: usize = 4096;
/// The bytes that are asked for at a time.
const PIECE: usize = 1 << 16;

const PCAP_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
/// A variant of pcap that some old kernels' tools wrote has 8 more bytes.
const MODIFIED_RECORD_HEADER: usize = 24;
/// Type and length of a block, and the byte order of a section.
const BLOCK_HEADER: usize = 12;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;
const LITTLE_ENDIAN: [u8; 4] = [0x4d, 0x3c, 0x2b, 0x1a];
const BIG_ENDIAN: [u8; 4] = [0x1a, 0x2b, 0x3c, 0x4d];

/// One packet as it was captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapturedPacket {
    /// Its number in the file, from 1, as Wireshark counts.
    pub number: u64,
    /// The time when it was captured; `None`: the file does not say.
    pub time: Option<Time>,
    /// The kind of header that it begins with, a number of <https://www.tcpdump.org/linktypes.html>; `None`: the file
    /// does not say.
    pub link_type: Option<u16>,
    /// The bytes that were copied.
    pub bytes: Vec<u8>,
    /// The length that it had.
    pub length: usize,
}

/// The reason why a capture file cannot be read, or not to its end.
#[derive(Debug, Error)]
pub enum CaptureFileError {
    /// It is something else.
    #[error("it is neither pcap nor pcapng")]
    Unrecognized,
    /// The rest is missing.
    #[error("it ends in the middle of what begins at byte {0}")]
    CutOff(u64),
    /// What stands there cannot be.
    #[error("it is damaged at byte {0}")]
    Damaged(u64),
    /// It could not be read.
    #[error("{error} (at byte {at})")]
    Io {
        /// The first byte that could not be had.
        at: u64,
        /// The reason.
        error: io::Error,
    },
}

/// A capture file that is being read.
pub struct CaptureFile<R> {
    source: R,
    /// Bytes that were read, from [`at`](Self::at) on not yet used.
    buffer: Vec<u8>,
    used: usize,
    /// The place in the file where the unused bytes begin.
    at: u64,
    format: Option<Format>,
    packets: u64,
}

enum Format {
    Pcap(PcapHeader),
    PcapNg(Section),
}

#[derive(Default)]
struct Section {
    big_endian: bool,
    interfaces: Vec<Interface>,
}

/// An interface of a section: what its packets begin with, and what their times mean.
#[derive(Clone, Copy)]
struct Interface {
    link_type: u16,
    snaplen: u32,
    resolution: u8,
    offset: i64,
}

impl<R: Read> CaptureFile<R> {
    /// Reads from `source`, which is at the beginning of a file.
    pub fn new(source: R) -> Self {
        Self { source, buffer: Vec::new(), used: 0, at: 0, format: None, packets: 0 }
    }

    /// Returns the number of packets so far.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Returns the next packet; `None` at the end.
    ///
    /// # Errors
    /// When the file is none, ends in the middle, is damaged, or cannot be read. Nothing more can be read then.
    pub fn next_packet(&mut self) -> Result<Option<CapturedPacket>, CaptureFileError> {
        if self.format.is_none() {
            self.format = Some(self.begin()?);
        }
        let packet = match &self.format {
            Some(Format::Pcap(header)) => {
                let header = header.clone();
                self.record(&header)?
            }
            _ => self.blocks()?,
        };
        self.packets += u64::from(packet.is_some());
        Ok(packet)
    }

    /// Finds out what the file is. A section of pcapng begins again with the block that says so.
    fn begin(&mut self) -> Result<Format, CaptureFileError> {
        let there = self.fill(PCAP_HEADER)?;
        let bytes = self.unused();
        if bytes.get(..4) == Some(&SECTION.to_ne_bytes()) {
            return Ok(Format::PcapNg(Section::default()));
        }
        match parse_pcap_header(bytes) {
            Ok((_, header)) => {
                self.consume(PCAP_HEADER);
                Ok(Format::Pcap(header))
            }
            Err(nom) if nom.is_incomplete() && there > 0 => Err(CaptureFileError::CutOff(self.at)),
            Err(_) => Err(CaptureFileError::Unrecognized),
        }
    }

    /// Returns the next record of pcap.
    fn record(&mut self, header: &PcapHeader) -> Result<Option<CapturedPacket>, CaptureFileError> {
        let head = if header.is_modified_format() { MODIFIED_RECORD_HEADER } else { RECORD_HEADER };
        if !self.whole(head)? {
            return Ok(None);
        }
        let length = self.number(8, header.is_bigendian());
        let whole = head + self.sane(length)?;
        self.whole(whole)?;
        let damaged = CaptureFileError::Damaged(self.at);
        let bytes = self.unused();
        let parsed = match (header.is_modified_format(), header.is_bigendian()) {
            (true, _) => parse_pcap_frame_modified(bytes),
            (false, true) => parse_pcap_frame_be(bytes),
            (false, false) => parse_pcap_frame(bytes),
        };
        let Ok((_, record)) = parsed else { return Err(damaged) };
        let per_second = if header.is_nanosecond_precision() { 1_000_000_000 } else { 1_000_000 };
        if record.ts_usec >= per_second {
            return Err(damaged);
        }
        let LegacyPcapBlock { ts_sec, ts_usec, origlen, data, .. } = record;
        let millis = i64::from(ts_sec) * 1000 + i64::from(ts_usec / (per_second / 1000));
        let packet = CapturedPacket {
            number: self.packets + 1,
            time: Some(Time::from_millis(millis)),
            link_type: link_type(header.network),
            bytes: data.to_vec(),
            length: usize::try_from(origlen).unwrap_or(usize::MAX),
        };
        self.consume(whole);
        Ok(Some(packet))
    }

    /// Returns the packet of the next block of pcapng that has one.
    fn blocks(&mut self) -> Result<Option<CapturedPacket>, CaptureFileError> {
        while self.whole(BLOCK_HEADER)? {
            let Some(Format::PcapNg(section)) = &mut self.format else { return Ok(None) };
            let bytes = self.buffer.get(self.used..).unwrap_or_default();
            let is_section = bytes.get(..4) == Some(&SECTION.to_ne_bytes());
            if is_section {
                section.big_endian = match bytes.get(8..12) {
                    Some(order) if order == LITTLE_ENDIAN => false,
                    Some(order) if order == BIG_ENDIAN => true,
                    _ => return Err(CaptureFileError::Damaged(self.at)),
                };
                section.interfaces.clear();
            }
            let big_endian = section.big_endian;
            let (kind, length) = (self.number(0, big_endian), self.number(4, big_endian));
            if length % 4 != 0 || length < 12 {
                return Err(CaptureFileError::Damaged(self.at));
            }
            if !matches!(kind, INTERFACE | SIMPLE_PACKET | ENHANCED_PACKET) {
                self.pass(u64::from(length))?;
                continue;
            }
            let length = self.sane(length)?;
            self.whole(length)?;
            let packet = self.block(length, big_endian)?;
            self.consume(length);
            if packet.is_some() {
                return Ok(packet);
            }
        }
        Ok(None)
    }

    /// Reads a block that is there as a whole, and returns the packet in it.
    fn block(
        &mut self,
        length: usize,
        big_endian: bool,
    ) -> Result<Option<CapturedPacket>, CaptureFileError> {
        let number = self.packets + 1;
        let bytes = self.buffer.get(self.used..self.used + length).unwrap_or_default();
        let parse = if big_endian { parse_block_be } else { parse_block_le };
        let Some(Format::PcapNg(section)) = &mut self.format else { return Ok(None) };
        match parse(bytes) {
            Ok((_, Block::InterfaceDescription(interface))) => {
                if section.interfaces.len() < MOST_INTERFACES {
                    section.interfaces.push(Interface::of(&interface));
                }
                Ok(None)
            }
            Ok((_, Block::EnhancedPacket(block))) => Ok(Some(section.enhanced(&block, number))),
            Ok((_, Block::SimplePacket(block))) => Ok(Some(section.simple(&block, number))),
            Ok(_) | Err(_) => Err(CaptureFileError::Damaged(self.at)),
        }
    }

    /// Returns a length that a file gives, if it can be one.
    fn sane(&self, length: u32) -> Result<usize, CaptureFileError> {
        let length = usize::try_from(length).ok().filter(|length| *length <= MOST_BLOCK);
        length.ok_or(CaptureFileError::Damaged(self.at))
    }

    /// The bytes that are not used yet.
    fn unused(&self) -> &[u8] {
        self.buffer.get(self.used..).unwrap_or_default()
    }

    /// A number among the unused bytes.
    fn number(&self, at: usize, big_endian: bool) -> u32 {
        let bytes = self.unused().get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, if big_endian { u32::from_be_bytes } else { u32::from_le_bytes })
    }

    /// Has `count` unused bytes; `false`: there is nothing any more.
    fn whole(&mut self, count: usize) -> Result<bool, CaptureFileError> {
        match self.fill(count)? {
            0 => Ok(false),
            there if there < count => Err(CaptureFileError::CutOff(self.at)),
            _ => Ok(true),
        }
    }

    /// Reads on until `count` bytes are unused, or to the end, and returns how many are.
    fn fill(&mut self, count: usize) -> Result<usize, CaptureFileError> {
        while self.unused().len() < count {
            self.buffer.drain(..self.used);
            self.used = 0;
            let there = self.buffer.len();
            self.buffer.resize(there + PIECE, 0);
            let read = self.source.read(self.buffer.get_mut(there..).unwrap_or_default());
            self.buffer.truncate(there + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    let at = self.at + u64::try_from(there).unwrap_or(u64::MAX);
                    return Err(CaptureFileError::Io { at, error });
                }
            }
        }
        Ok(self.unused().len())
    }

    fn consume(&mut self, count: usize) {
        self.used = (self.used + count).min(self.buffer.len());
        self.at += u64::try_from(count).unwrap_or(u64::MAX);
    }

    /// Passes over bytes, however many there are.
    fn pass(&mut self, count: u64) -> Result<(), CaptureFileError> {
        let (begin, end) = (self.at, self.at.saturating_add(count));
        while self.at < end {
            let there = self.fill(1)?;
            if there == 0 {
                return Err(CaptureFileError::CutOff(begin));
            }
            self.consume(there.min(usize::try_from(end - self.at).unwrap_or(usize::MAX)));
        }
        Ok(())
    }
}

impl Section {
    fn enhanced(&self, block: &EnhancedPacketBlock<'_>, number: u64) -> CapturedPacket {
        let interface = usize::try_from(block.if_id).ok().and_then(|id| self.interfaces.get(id));
        let since = (u64::from(block.ts_high) << 32) | u64::from(block.ts_low);
        CapturedPacket {
            number,
            time: interface.and_then(|interface| interface.time(since)),
            link_type: interface.map(|interface| interface.link_type),
            bytes: cut(block.data, block.caplen),
            length: usize::try_from(block.origlen).unwrap_or(usize::MAX),
        }
    }

    fn simple(&self, block: &SimplePacketBlock<'_>, number: u64) -> CapturedPacket {
        let interface = self.interfaces.first();
        let snaplen = interface.map_or(0, |interface| interface.snaplen);
        let copied = if snaplen == 0 { block.origlen } else { block.origlen.min(snaplen) };
        CapturedPacket {
            number,
            time: None,
            link_type: interface.map(|interface| interface.link_type),
            bytes: cut(block.data, copied),
            length: usize::try_from(block.origlen).unwrap_or(usize::MAX),
        }
    }
}

impl Interface {
    fn of(block: &InterfaceDescriptionBlock<'_>) -> Self {
        Self {
            link_type: link_type(block.linktype).unwrap_or(u16::MAX),
            snaplen: block.snaplen,
            resolution: block.if_tsresol,
            offset: block.if_tsoffset,
        }
    }

    /// Returns the instant `units` after the epoch. The highest bit of the resolution says whether a unit is a
    /// negative power of 2 or of 10; a unit too small for 64 bits of them to reach a second is none.
    fn time(self, units: u64) -> Option<Time> {
        let power = u32::from(self.resolution & 0x7f);
        let base: u128 = if self.resolution & 0x80 == 0 { 10 } else { 2 };
        let per_second = base.checked_pow(power)?;
        let millis = u128::from(units).checked_mul(1000)? / per_second;
        let millis = i64::try_from(millis).ok()?;
        Some(Time::from_millis(millis.checked_add(self.offset.checked_mul(1000)?)?))
    }
}

/// A packet without what fills up its block.
fn cut(bytes: &[u8], length: u32) -> Vec<u8> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    bytes.get(..length).unwrap_or(bytes).to_vec()
}

/// The number of a link type. In pcap, the upper half says something else.
fn link_type(link_type: Linktype) -> Option<u16> {
    u16::try_from(link_type.0 & 0xffff).ok()
}

#[cfg(test)]
mod tests;
