//! Captures of packets at rest, and the events that what the PBX did in them is.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use indicatif::ProgressBar;
use serde::Serialize;

use super::super::log_file;
use crate::decide::engine::Sight;
use crate::decide::exchange_event::event;
use crate::decide::joins::BY_DATES;
use crate::decide::plan::Plan;
use crate::exchange::direction::{Ours, Talks};
use crate::exchange::{Numbers, Observation, Observer, PATIENCE, ROUND_TRIP};
use crate::input::capture_file::{CaptureFile, CaptureFileError};
use crate::input::link_layer::{Content, content};
use crate::model::event::Event;
use crate::model::scope::{Ports, merged};
use crate::model::time::Time;
use crate::sip::nflog::Path;
use crate::sip::packet::Packet;

/// Packets of a file that are held back until those before them are sure to be there (several interfaces write into
/// one file), and the most bytes that they may have together.
const MOST_HELD: usize = 1024;
const MOST_HELD_BYTES: usize = 8 << 20;
/// The time between two ticks, as with the running guard.
const TICK: Duration = Duration::from_secs(1);
/// Link types that are told apart.
const MOST_LINK_TYPES: usize = 64;

/// The numbers of what was in the captures, and of what of it was left out.
#[derive(Debug, Default, Serialize)]
pub struct CaptureNumbers {
    /// The addresses that were taken for the PBX's.
    pub own: Vec<IpAddr>,
    /// Packets in the files.
    pub packets: u64,
    /// Those among them at the PBX's SIP ports, and those by HEP. (TLS is among the former.)
    pub relevant: u64,
    /// SIP messages that were read in these: requests of hosts, answers of ours.
    pub sip: u64,
    /// Of these, the ones by HEP.
    pub hep: u64,
    /// The other packets of known link types.
    pub other: u64,
    /// Packets of which the capture has only the beginning.
    pub cut: u64,
    /// Packets without a time.
    pub undated: u64,
    /// Packets of unknown link types, by their numbers.
    pub link_types: BTreeMap<u16, u64>,
    /// Exchanges that were forgotten early because there were too many.
    pub forgotten: u64,
}

/// All captures, merged by the times of their packets.
pub struct Captures {
    plan: Arc<Plan>,
    ours: Ours,
    observer: Observer,
    files: Vec<File>,
    numbers: CaptureNumbers,
    /// Events that are not taken yet, and the files whose packets completed them.
    pub events: VecDeque<(usize, Event)>,
    /// The time of the first packet.
    first: Option<Time>,
    /// The time of the last packet, which never goes back, and of the last tick.
    now: Option<Time>,
    ticked: Time,
    /// The last packet: its file and number.
    last: (usize, u64),
    at_end: bool,
}

/// One capture that is being read.
struct File {
    path: PathBuf,
    capture: CaptureFile<Box<dyn Read>>,
    /// Packets that are held back, from their IP headers on.
    held: BTreeMap<(Time, u64), (Path, Vec<u8>)>,
    bytes: usize,
    at_end: bool,
    broken: Option<CaptureFileError>,
}

impl Captures {
    /// Opens captures. `own` are the addresses of the PBX; without any, the captures are read a first time to find
    /// out.
    ///
    /// # Errors
    /// Says which file cannot be opened, and why.
    pub fn open(
        paths: &[PathBuf],
        own: &[IpAddr],
        plan: Arc<Plan>,
        progress: &ProgressBar,
    ) -> Result<Self, (PathBuf, io::Error)> {
        let scope = plan.structure.scopes.iter().find(|scope| scope.name == "sip");
        let services = plan.structure.services.clone();
        let services =
            [&services.iax, &services.ami, &services.http].into_iter().flatten().copied();
        let sip = match scope.map(|scope| &scope.ports) {
            Some(Ports::All) => Ports::All,
            Some(Ports::Ranges(ranges)) => {
                Ports::Ranges(merged(ranges.iter().copied().chain(services)))
            }
            None => Ports::Ranges(merged(services)),
        };
        let hep = plan.config.wire.hep.clone();
        let mut addresses: BTreeSet<IpAddr> = own.iter().map(IpAddr::to_canonical).collect();
        if addresses.is_empty() && !paths.is_empty() {
            let mut talks = Talks::default();
            for path in paths {
                look(path, progress, |packet| talks.note(packet, &sip, hep.as_ref()))
                    .map_err(|error| (path.clone(), error))?;
            }
            addresses = talks.addresses();
        }
        let mut files = Vec::new();
        for path in paths {
            let reader = log_file::open(path, progress).map_err(|error| (path.clone(), error))?;
            files.push(File {
                path: path.clone(),
                capture: CaptureFile::new(reader),
                held: BTreeMap::new(),
                bytes: 0,
                at_end: false,
                broken: None,
            });
        }
        let mut observer = Observer::default();
        observer.change(plan.config.asterisk.clone(), plan.structure.services.clone());
        let own = addresses.iter().copied().collect();
        Ok(Self {
            plan,
            ours: Ours { addresses, sip, hep },
            observer,
            files,
            numbers: CaptureNumbers { own, ..CaptureNumbers::default() },
            events: VecDeque::new(),
            first: None,
            now: None,
            ticked: Time::default(),
            last: (0, 0),
            at_end: false,
        })
    }

    /// Returns what they show of the PBX at a time: nothing before the first packet and after the last.
    #[must_use]
    pub fn sight(&self, at: Time) -> Sight {
        let began = self.first.is_some_and(|first| at.plus(BY_DATES) >= first);
        let ended = self.at_end && self.now.is_none_or(|last| last.plus(BY_DATES) < at);
        let answers = began && !ended;
        let Numbers { hep, iax, ami, .. } = self.observer.numbers();
        Sight {
            answers,
            hep: answers && hep > 0,
            talked: false,
            served: false,
            iax: answers && iax > 0,
            ami: answers && ami > 0,
        }
    }

    /// Reads on until there is an event, or the end.
    pub fn fill(&mut self) {
        while self.events.is_empty() && !self.at_end {
            for file in &mut self.files {
                file.fill(&self.ours, &mut self.numbers);
            }
            let next = |(index, file): (usize, &File)| Some((file.held.keys().next()?.0, index));
            match self.files.iter().enumerate().filter_map(next).min() {
                Some((_, index)) => self.step(index),
                None => self.finish(),
            }
        }
    }

    /// Takes the next packet of a file.
    fn step(&mut self, index: usize) {
        let Some(file) = self.files.get_mut(index) else { return };
        let Some(((time, number), (path, bytes))) = file.held.pop_first() else { return };
        file.bytes -= bytes.len();
        let now = self.now.map_or(time, |now| now.max(time));
        if self.now.is_none() {
            self.first = Some(now);
            self.ticked = now;
        }
        self.pass_time(now);
        self.now = Some(now);
        self.last = (index, number);
        let mut observations = Vec::new();
        self.observer.packet(&bytes, None, path, now, &mut observations);
        self.take_up(&observations);
    }

    /// Lets time pass until `now`: second by second as long as exchanges are open, then at once.
    fn pass_time(&mut self, now: Time) {
        let mut observations = Vec::new();
        let busy = self.ticked.plus(PATIENCE + ROUND_TRIP + TICK);
        while now.since(self.ticked) >= TICK {
            let next = self.ticked.plus(TICK);
            self.ticked = if next <= busy { next } else { now };
            self.observer.tick(self.ticked, &mut observations);
        }
        self.take_up(&observations);
    }

    /// Waits for what may still come of open challenges.
    fn finish(&mut self) {
        if let Some(now) = self.now {
            self.pass_time(now.plus(PATIENCE + TICK));
        }
        self.at_end = true;
    }

    fn take_up(&mut self, observations: &[Observation]) {
        self.observer.tell(observations);
        let (file, number) = self.last;
        for observation in observations {
            if let Some(event) = event(&self.plan, observation, number, observation.time) {
                self.events.push_back((file, event));
            }
        }
    }

    /// Returns what was in them, as far as they were read.
    #[must_use]
    pub fn numbers(mut self) -> (CaptureNumbers, Vec<String>) {
        let Numbers { packets, requests, answers, hep, forgotten, .. } = self.observer.numbers();
        self.numbers.packets = self.files.iter().map(|file| file.capture.packets()).sum();
        self.numbers.relevant = packets + self.numbers.undated;
        // Messages by HEP are requests and answers, too.
        self.numbers.sip = requests + answers;
        (self.numbers.hep, self.numbers.forgotten) = (hep, forgotten);
        let broken = |file: &File| {
            let (path, error) = (log_file::name(&file.path), file.broken.as_ref()?);
            let packets = file.capture.packets();
            Some(format!("cannot read on in {path} after packet {packets}: {error}"))
        };
        let broken = self.files.iter().filter_map(broken).collect();
        (self.numbers, broken)
    }
}

impl CaptureNumbers {
    /// Counts a packet of a link type that is not known.
    fn unknown(&mut self, link_type: u16) {
        let room = self.link_types.len() < MOST_LINK_TYPES;
        if room || self.link_types.contains_key(&link_type) {
            *self.link_types.entry(link_type).or_default() += 1;
        }
    }
}

impl File {
    /// Reads on until enough packets are held back, or to the end.
    fn fill(&mut self, ours: &Ours, numbers: &mut CaptureNumbers) {
        while !self.at_end && self.held.len() < MOST_HELD && self.bytes < MOST_HELD_BYTES {
            let captured = match self.capture.next_packet() {
                Ok(Some(captured)) => captured,
                Ok(None) => {
                    self.at_end = true;
                    continue;
                }
                Err(error) => {
                    (self.at_end, self.broken) = (true, Some(error));
                    continue;
                }
            };
            let bytes = match captured.link_type.map(|kind| (kind, content(kind, &captured.bytes)))
            {
                Some((_, Content::Ip(bytes))) => bytes,
                Some((kind, Content::UnknownLinkType)) => {
                    numbers.unknown(kind);
                    continue;
                }
                Some((_, Content::Other)) | None => {
                    numbers.other += 1;
                    continue;
                }
            };
            let packet = Packet::read(bytes);
            let Some((path, packet)) = packet.and_then(|p| Some((ours.path(&p)?, p))) else {
                numbers.other += 1;
                continue;
            };
            numbers.cut += u64::from(packet.payload.len() < packet.whole);
            let Some(time) = captured.time else {
                numbers.undated += 1;
                continue;
            };
            self.bytes += bytes.len();
            self.held.insert((time, captured.number), (path, bytes.to_vec()));
        }
    }
}

/// Looks at the packets of a capture, as far as it can be read.
fn look(
    path: &FilePath,
    progress: &ProgressBar,
    mut note: impl FnMut(&Packet<'_>),
) -> io::Result<()> {
    if log_file::is_stdin(path) || !path.metadata()?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is no file that can be read twice: say with --own which address is the PBX's",
        ));
    }
    let mut capture = CaptureFile::new(log_file::open(path, progress)?);
    // What is wrong with it is said when it is read again.
    while let Ok(Some(captured)) = capture.next_packet() {
        let Some(kind) = captured.link_type else { continue };
        if let Content::Ip(bytes) = content(kind, &captured.bytes) {
            if let Some(packet) = Packet::read(bytes) {
                note(&packet);
            }
        }
    }
    Ok(())
}
