//! Has Asterisk read its changed configuration, provokes a line of its log, and waits until that line arrives: in the
//! file, and at the guard if it runs.
//!
//! The line is about a REGISTER of an unknown account, sent from this machine to itself, and about a call to a context
//! that does not exist. The guard counts neither: it never bans this machine.
#![expect(
    clippy::disallowed_methods,
    reason = "an edge: it waits for what the running Asterisk does"
)]

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::plan::HEP_MODULES;
use super::record::{Entry, Record};
use super::survey::{Survey, ask};
use crate::control::status::Status;
use crate::hosts::asterisk::ports::{Driver, Transport};

/// The time that a line may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The time between two looks.
const PAUSE: Duration = Duration::from_millis(250);
/// The time between two attempts to provoke a line.
const AGAIN: Duration = Duration::from_secs(5);
/// Requests at once, if one is not enough: Asterisk may report an unknown account only from the fifth within 5 s on
/// (`unidentified_request_count` of pjsip.conf).
const REQUESTS: usize = 6;
/// Bytes of a log that are searched for the line, at most.
const MOST_BYTES: u64 = 4 << 20;

/// The running guard, as the command line reaches it.
pub struct Guard<'a> {
    /// Its state; `None` if none answers.
    pub status: &'a dyn Fn() -> Option<Status>,
    /// Has it read its configuration again; an error is for people.
    pub reload: &'a dyn Fn() -> Result<(), String>,
}

/// What came of a trial.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What works.
    pub seen: Vec<String>,
    /// What does not, and what to do.
    pub missing: Vec<String>,
}

/// A part of the configuration that has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Asterisk's logger.
    Logger,
    /// What Asterisk sends by HEP.
    Hep,
    /// The users of the manager interface.
    Manager,
    /// The groups of the service's user.
    Groups,
}

/// Whether a setup is made or taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// It is made.
    There,
    /// It is taken back.
    Back,
}

/// Has Asterisk and the guard read what has changed.
pub fn reload(
    parts: &[Part],
    direction: Direction,
    record: &mut Record,
    guard: &Guard<'_>,
    out: &mut Outcome,
) {
    let tell = |words: &str| ask(&["asterisk", "-rx", words]);
    // What does not run reads everything when it starts.
    let runs = tell("core show version").is_some();
    if runs && parts.contains(&Part::Logger) && tell("logger reload").is_none() {
        out.missing.push("`asterisk -rx 'logger reload'` failed: run it yourself".to_owned());
    }
    if runs && parts.contains(&Part::Manager) && tell("manager reload").is_none() {
        out.missing.push("`asterisk -rx 'manager reload'` failed: run it yourself".to_owned());
    }
    if runs && parts.contains(&Part::Hep) {
        for name in HEP_MODULES {
            let module = format!("{name}.so");
            let shown = tell(&format!("module show like {module}")).unwrap_or_default();
            let loaded = shown.lines().any(|line| line.starts_with(&module));
            if !loaded && direction == Direction::Back {
                continue;
            }
            let verb = if loaded { "reload" } else { "load" };
            let answer = tell(&format!("module {verb} {module}")).unwrap_or_default();
            if !loaded && !answer.contains("Loaded ") {
                out.missing.push(format!("Asterisk does not load {module}: {answer}"));
            } else if !loaded && record.add(Entry::Module { name: module.clone() }).is_err() {
                out.missing.push(format!("`--undo` will leave {module} loaded"));
            }
        }
    }
    if parts.contains(&Part::Groups) && Path::new("/run/systemd/system").is_dir() {
        // A process gets its groups when it starts.
        if ask(&["systemctl", "try-restart", "asterguard.service"]).is_none() {
            out.missing.push("restart the service: systemctl restart asterguard".to_owned());
        }
    } else if (guard.status)().is_some() {
        if let Err(why) = (guard.reload)() {
            out.missing.push(format!("the guard does not read its configuration again: {why}"));
        }
    }
}

/// Has Asterisk unload a module that it loaded for setup.
pub fn unload(module: &str) {
    // Where Asterisk does not run, there is nothing to unload.
    let _ = ask(&["asterisk", "-rx", &format!("module unload {module}")]);
}

/// Provokes a line, and waits until it is in one of these logs, and at the guard.
pub fn wait(
    survey: &Survey,
    logs: &[PathBuf],
    guard: &Guard<'_>,
    expects_hep: bool,
    mut step: impl FnMut(&str),
) -> Outcome {
    let mut out = Outcome::default();
    if logs.is_empty() {
        out.missing.push(
            "Asterisk writes no log that the guard reads and can believe: see `asterguard doctor`"
                .to_owned(),
        );
        return out;
    }
    let mark = format!("asterguard-setup-{}", std::process::id());
    let begins: BTreeMap<&PathBuf, u64> = logs.iter().map(|log| (log, length(log))).collect();
    let before = (guard.status)();
    let lines_before = lines(before.as_ref(), logs);
    let hep_before = before.as_ref().map_or(0, |status| status.wire.numbers.hep);
    let sockets = sockets(survey);
    let (began, mut last) = (Instant::now(), None::<Instant>);
    let mut awaited: Vec<&PathBuf> = logs.iter().collect();
    let (mut read, mut copied) = (before.is_none(), !expects_hep || before.is_none());
    while began.elapsed() < PATIENCE {
        if last.is_none_or(|last| last.elapsed() >= AGAIN) {
            step("provoking a line");
            provoke(&sockets, &mark, if last.is_none() { 1 } else { REQUESTS });
            last = Some(Instant::now());
        }
        step("waiting for it");
        std::thread::sleep(PAUSE);
        let holds = |log: &&PathBuf| has_line(log, begins.get(log).copied().unwrap_or(0), &mark);
        awaited.retain(|log| !holds(log));
        let some = awaited.len() < logs.len();
        let now = if some && before.is_some() { (guard.status)() } else { None };
        if let Some(status) = &now {
            read |= lines(Some(status), logs) > lines_before;
            copied |= status.wire.numbers.hep > hep_before;
        }
        if awaited.is_empty() && read && copied {
            break;
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    let names = |logs: &[&PathBuf]| {
        logs.iter().map(|log| log.display().to_string()).collect::<Vec<_>>().join(", ")
    };
    let there: Vec<_> = logs.iter().filter(|log| !awaited.contains(log)).collect();
    if !there.is_empty() {
        out.seen.push(format!("a line arrived in {} after {seconds:.1} s", names(&there)));
    }
    if !awaited.is_empty() {
        out.missing.push(format!(
            "no line arrived within {} s in {}: is that what the running Asterisk writes (asterisk -rx 'logger show channels'), and may it write there?",
            PATIENCE.as_secs(),
            names(&awaited)
        ));
    }
    match (&before, read) {
        (None, _) => out.missing.push("no guard runs: systemctl start asterguard".to_owned()),
        (Some(_), true) => out.seen.push("the guard read it".to_owned()),
        (Some(_), false) if !there.is_empty() => out.missing.push(
            "the guard has not read it: `asterguard status` shows which files it follows, and why not".to_owned(),
        ),
        (Some(_), false) => {}
    }
    if expects_hep && before.is_some() {
        if copied {
            out.seen.push("copies of SIP messages arrive (HEP)".to_owned());
        } else {
            out.missing.push(
                "no copy of a SIP message arrived (HEP): asterisk -rx 'module show like res_hep', and `asterguard doctor`".to_owned(),
            );
        }
    }
    out
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |meta| meta.len())
}

/// Whether the mark is in what was written to a log since it had this length.
fn has_line(log: &Path, begin: u64, mark: &str) -> bool {
    let Ok(file) = fs::File::open(log) else { return false };
    let length = length(log);
    // It was rotated meanwhile.
    let begin = if length < begin { 0 } else { begin };
    let size = usize::try_from((length - begin).min(MOST_BYTES)).unwrap_or(0);
    let mut bytes = vec![0; size];
    let read = file.read_at(&mut bytes, begin).unwrap_or(0);
    memchr::memmem::find(bytes.get(..read).unwrap_or_default(), mark.as_bytes()).is_some()
}

/// Returns how many lines of these logs a guard has read.
fn lines(status: Option<&Status>, logs: &[PathBuf]) -> u64 {
    let ours = |name: &str| logs.iter().any(|log| log.as_os_str() == name);
    let sources = status.into_iter().flat_map(|status| &status.sources);
    sources.filter(|source| ours(&source.path)).map(|source| source.lines).sum()
}

/// Returns a socket for each UDP port of PJSIP, connected to it.
fn sockets(survey: &Survey) -> Vec<UdpSocket> {
    let ports = survey.listening.sip.iter();
    let ports =
        ports.filter(|port| port.driver == Driver::Pjsip && port.transport == Transport::Udp);
    // One port may be open at several addresses.
    let ports: BTreeMap<u16, Option<IpAddr>> =
        ports.map(|port| (port.number, port.address)).collect();
    let connect = |(number, address): (u16, Option<IpAddr>)| {
        let to = match address {
            Some(address) if !address.is_unspecified() => address,
            Some(IpAddr::V6(_)) => Ipv6Addr::LOCALHOST.into(),
            _ => Ipv4Addr::LOCALHOST.into(),
        };
        let any: IpAddr =
            if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0)).ok()?;
        socket.connect((to, number)).ok()?;
        Some(socket)
    };
    ports.into_iter().filter_map(connect).collect()
}

/// Does what Asterisk logs as NOTICE, with `mark` in the line.
fn provoke(sockets: &[UdpSocket], mark: &str, requests: usize) {
    for socket in sockets {
        let (Ok(from), Ok(to)) = (socket.local_addr(), socket.peer_addr()) else { continue };
        for number in 0..requests {
            // What does not arrive is sent again.
            let _ = socket.send(register(from, to, mark, number).as_bytes());
        }
    }
    let call = format!("channel originate Local/{mark}@asterguard-setup application NoOp");
    let _ = ask(&["asterisk", "-rx", &call]);
}

/// Returns a REGISTER of an account that is not there.
fn register(from: SocketAddr, to: SocketAddr, mark: &str, number: usize) -> String {
    format!(
        "REGISTER sip:{to} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK-{mark}-{number};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:{mark}@{to}>;tag={number}\r\nTo: <sip:{mark}@{to}>\r\n\
         Call-ID: {mark}-{number}@{from}\r\nCSeq: 1 REGISTER\r\nContact: <sip:{mark}@{from}>\r\n\
         Expires: 60\r\nUser-Agent: asterguard setup\r\nContent-Length: 0\r\n\r\n"
    )
}
