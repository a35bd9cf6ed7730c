//! A log file that several senders had a part in, and who of them did what.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::logger::{Logger, Record, Shape};
use crate::messages::{self, Deed, Kind, Sender, Transport, Version};
use crate::random::Random;
use crate::tricks::{Bank, Forger, Plain};

/// A record as it stands in the file, and what caused it.
pub struct Entry {
    pub bytes: Vec<u8>,
    pub kind: Kind,
    /// The number of the packet that caused it.
    pub packet: usize,
}

/// The file and the truth about it.
pub struct Stream {
    pub entries: Vec<Entry>,
    /// What each host did; who is not in here did nothing.
    pub truth: HashMap<IpAddr, Deeds>,
    /// Hosts that attacked without tricks, each once, and by what.
    pub plain: Vec<(IpAddr, Kind)>,
    /// Whether nobody in it used tricks.
    pub honest: bool,
    /// Whether it holds all levels.
    pub complete: bool,
    pub packets: usize,
    /// How many bytes arrive at once.
    pub piece: usize,
}

/// What a host did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Deeds {
    pub offence: bool,
    /// The worst of it was of somebody who got our answer.
    pub proven: bool,
    pub login: bool,
}

/// Which levels the file holds.
#[derive(Clone, Copy)]
enum Levels {
    Messages,
    Security,
    Both,
}

/// What is written about these may go on for 8192 bytes with their sender's text.
const OVERSHADOWING: [Kind; 3] = [Kind::PjsipDump, Kind::AmiUnknownUser, Kind::AmiUnknownUserByWeb];

const STAMPS: [&str; 5] =
    ["Nov 22 10:00:00", "2026-11-22 10:00:00.123", "", "[2026-11-22] 01:01:57", "1795309297"];

impl Stream {
    /// Number `index` of the streams that `seed` stands for.
    pub fn new(seed: u64, index: u64) -> Self {
        let random = &mut Random::new(seed, index);
        let shape =
            *random.pick(&[Shape::File, Shape::File, Shape::File, Shape::Plain, Shape::Syslog]);
        let logger = Logger { shape, stamp: STAMPS[random.below(STAMPS.len())] };
        let version = Version {
            ports: random.chance(75),
            old_pjsip: random.chance(25),
            old_invite: random.chance(25),
        };
        let levels =
            *random.pick(&[Levels::Messages, Levels::Security, Levels::Both, Levels::Both]);
        let honest = random.chance(15);
        let packets = 2 + random.below(10);
        let victim = victim(random);
        // One packet's record is cut, and the next packet's goes on with it.
        let cut = random.chance(10).then(|| random.below(packets - 1));
        let listed = &Kind::ALL[..Kind::ALL.len() - Kind::FREE.len()];
        let mut kinds: Vec<Kind> = (0..packets).map(|_| *random.pick(listed)).collect();
        // Where nobody uses tricks, nothing may stand that makes hearsay of so much after it.
        kinds.retain(|kind| !honest || !OVERSHADOWING.contains(kind));
        if let Some(next) = cut.and_then(|cut| kinds.get_mut(cut + 1)).filter(|_| random.chance(50))
        {
            *next = *random.pick(&[Kind::SipInviteRefused, Kind::SipFrom]);
        }
        let (bank, ranges) = bank(&kinds, victim, version, &logger, random);
        let mut stream = Self {
            entries: Vec::new(),
            truth: HashMap::new(),
            plain: Vec::new(),
            honest,
            complete: matches!(levels, Levels::Both),
            packets,
            piece: *random.pick(&[1 << 17, 4096, 97]),
        };
        let mut waiting: Vec<Vec<Entry>> = Vec::new();
        for (number, (kind, range)) in kinds.iter().zip(&ranges).enumerate() {
            let hostile = !honest && random.chance(75);
            let sender = sender(*kind, number, hostile, victim, random);
            let (records, deed) = if hostile {
                let mut copy = Random::new(random.number(), 0);
                let mut forger = Forger::new(&mut copy, &bank, range.clone(), &logger);
                if cut == Some(number) {
                    forger = forger.cutting();
                } else if cut.is_some_and(|cut| cut + 1 == number) {
                    forger = forger.completing(ranges[number - 1].clone());
                }
                messages::write(*kind, &sender, version, random, &mut forger)
            } else {
                let mut copy = Random::new(random.number(), 0);
                messages::write(*kind, &sender, version, random, &mut Plain(&mut copy))
            };
            stream.note(&sender, deed);
            let records: Vec<Record> = records.into_iter().filter(|r| holds(levels, r)).collect();
            if !hostile && deed > Deed::Nothing && deed < Deed::Login && !records.is_empty() {
                stream.plain.push((sender.host, *kind));
            }
            let entry = |record| Entry { bytes: logger.write(record), kind: *kind, packet: number };
            waiting.push(records.iter().map(entry).collect());
        }
        stream.entries = interleaved(waiting, random);
        stream
    }

    fn note(&mut self, sender: &Sender, deed: Deed) {
        let deeds = self.truth.entry(sender.host).or_default();
        // Who can send in somebody's name can have him do anything that UDP shows.
        deeds.offence |= sender.spoofed || matches!(deed, Deed::Offence | Deed::ProvenOffence);
        // Who holds a connection has got our answers, whatever he sent.
        deeds.proven |= !sender.spoofed
            && (deed == Deed::ProvenOffence
                || sender.transport == Transport::Tcp && deed == Deed::Offence);
        deeds.login |= deed == Deed::Login;
        if deed == Deed::Login && sender.maddr != sender.host {
            // He logged in; the host that he named did not.
            self.truth.entry(sender.maddr).or_default();
        }
    }
}

fn holds(levels: Levels, record: &Record) -> bool {
    match levels {
        Levels::Messages => record.level != "SECURITY",
        Levels::Security => record.level == "SECURITY",
        Levels::Both => true,
    }
}

/// A host that does nothing.
fn victim(random: &mut Random) -> IpAddr {
    let victims = ["192.0.2.66", "192.0.2.6", "2001:db8:66::6", "9.9.9.9"];
    random.pick(&victims).parse().unwrap()
}

/// Genuine messages of the kinds that will be sent, all naming the victim; for each kind which they are.
fn bank(
    kinds: &[Kind],
    victim: IpAddr,
    version: Version,
    logger: &Logger,
    random: &mut Random,
) -> (Bank, Vec<std::ops::Range<usize>>) {
    let (mut messages, mut lines, mut ranges) = (Vec::new(), Vec::new(), Vec::new());
    for kind in kinds {
        let begin = messages.len();
        let transport = *random.pick(&[Transport::Udp, Transport::Tcp]);
        let (port, spoofed, maddr, nonce) = (5060, false, victim, 0x1a);
        let sender = Sender { host: victim, port, transport, spoofed, maddr, nonce };
        let mut copy = Random::new(random.number(), 0);
        let (records, _) = messages::write(*kind, &sender, version, random, &mut Plain(&mut copy));
        for record in records {
            lines.push(logger.write(&record));
            messages.push(record.message);
        }
        ranges.push(begin..messages.len());
    }
    (Bank { messages, lines, victim: victim.to_string() }, ranges)
}

/// Who sends packet `number`: a host of its own. In one of ten packets that can be forged, it is the
/// victim's address that stands in it.
fn sender(kind: Kind, number: usize, hostile: bool, victim: IpAddr, random: &mut Random) -> Sender {
    use Kind::*;
    let number = u8::try_from(number).unwrap();
    let own: IpAddr = if random.chance(15) {
        format!("2001:db8:bad::{number:x}").parse().unwrap()
    } else {
        [198, 51, 100, 10 + number].into()
    };
    let over_tcp = matches!(
        kind,
        SipTooLarge
            | Websocket
            | AmiUnknownUser
            | AmiUnknownUserByWeb
            | AmiWrongSecret
            | AmiAcl
            | AmiNotAllowed
            | AmiGarbage
            | AmiLongLine
            | AmiLogin
    );
    let over_udp = matches!(
        kind,
        IaxUnknownPeer
            | IaxWrongDigest
            | IaxWrongPassword
            | IaxEmpty
            | IaxStranger
            | IaxNoExtension
            | IaxNoToken
            | IaxTooNew
    );
    let transport = match random.chance(30) {
        _ if over_tcp => Transport::Tcp,
        true if !over_udp => Transport::Tcp,
        _ => Transport::Udp,
    };
    // For these a host must have got an answer.
    let answered = matches!(
        kind,
        SipWrongPassword
            | SipMisdial
            | SipLogin
            | PjsipMisdial
            | PjsipTooManyContacts
            | PjsipLogin
            | PjsipNoHint
    );
    let spoofed = hostile && transport == Transport::Udp && !answered && random.chance(10);
    let host = if spoofed { victim } else { own };
    let maddr = if hostile && random.chance(50) { victim } else { host };
    let port = 1024 + u16::from(number) * 11;
    Sender { host, port, transport, spoofed, maddr, nonce: 0x1a }
}

/// The records of all packets in one order; those of one packet stay in theirs.
fn interleaved(mut waiting: Vec<Vec<Entry>>, random: &mut Random) -> Vec<Entry> {
    let mixed = random.chance(30);
    for records in &mut waiting {
        records.reverse();
    }
    let mut entries = Vec::new();
    while !waiting.is_empty() {
        let index = if mixed { random.below(waiting.len()) } else { 0 };
        match waiting[index].pop() {
            Some(entry) => entries.push(entry),
            None => {
                waiting.remove(index);
            }
        }
    }
    entries
}
