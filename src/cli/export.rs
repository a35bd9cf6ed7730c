//! `asterguard export`, and `asterguard import` of bans

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use super::SocketArg;
use super::client::ask;
use super::output::{Failure, Output};
use super::text::printable_text;
use super::without_daemon::PlacesArgs;
use crate::config::{FLEET, MANUAL};
use crate::control::SubjectText;
use crate::control::banned::{BannedRequest, NamedBan};
use crate::control::import::{ImportRequest, Imported, ImportedBan, ImportedHistory};
use crate::fail2ban::database::{self, PastBans, StoredBan};
use crate::model::event::Evidence;
use crate::model::words::counted;
use crate::sys::clock::now;

/// The longest line that is read, in bytes.
const LONGEST_LINE: u64 = 16 << 10;
/// Bytes of bans in one request, at most.
const PART: usize = 32 << 10;
/// Hosts in one request, at most: each takes about 80 bytes.
const HISTORY_PART: usize = 400;
/// Lines that were not taken and are told one by one.
const MOST_TOLD: usize = 20;

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// File to write; `-` is standard output
    #[arg(default_value = "-")]
    file: PathBuf,
    #[command(flatten)]
    places: PlacesArgs,
}

/// Writes the bans in force, one JSON object a line, with end, reason and person.
pub fn export(args: &ExportArgs, output: &Output) -> Result<(), Failure> {
    let bans = match args.places.ask(&BannedRequest { host: None, observe: false })? {
        Some(bans) => bans,
        None => args.places.bans(None, output)?,
    };
    if args.file == Path::new("-") {
        for ban in &bans {
            output.object(ban);
        }
        return Ok(());
    }
    write(&args.file, &bans).map_err(|error| Failure::new(format!("{error:#}")))?;
    output.done(&format!("{} written to {}", counted(bans.len(), "ban"), args.file.display()));
    Ok(())
}

fn write(path: &Path, bans: &[NamedBan]) -> anyhow::Result<()> {
    let context = || format!("cannot write {}", path.display());
    let mut file = io::BufWriter::new(File::create(path).with_context(context)?);
    for ban in bans {
        serde_json::to_writer(&mut file, ban).map_err(io::Error::from).with_context(context)?;
        file.write_all(b"\n").with_context(context)?;
    }
    file.flush().with_context(context)
}

/// Takes up bans until the times at which they end; those that are in force for as long stay as they are.
pub fn import(path: &Path, socket: &SocketArg, output: &Output) -> Result<(), Failure> {
    let name = path.display();
    let reader: Box<dyn BufRead> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        let file = File::open(path)
            .map_err(|error| Failure::new(format!("cannot read {name}: {error}")))?;
        Box::new(BufReader::new(file))
    };
    let mut failed = None;
    let numbered = (1_u64..).zip(lines(reader));
    let bans = numbered.map_while(|(number, line)| match line {
        Ok(line) => Some((number, line)),
        Err(error) => {
            failed = Some(Failure::new(format!("cannot read {name}: {error}")));
            None
        }
    });
    let bans = bans.filter(|(_, line)| !line.trim_ascii().is_empty()).map(|(number, line)| {
        let ban = serde_json::from_slice::<ImportedBan>(&line);
        ban.map(|ban| (ban, line.len())).map_err(|error| format!("{name}:{number}: {error}"))
    });
    let mut of_peers = 0;
    let is_own = |ban: &Result<(ImportedBan, usize), String>| {
        let is_peers = ban.as_ref().is_ok_and(|(ban, _)| ban.jail == FLEET);
        of_peers += usize::from(is_peers);
        !is_peers
    };
    let taken = take_up(bans.filter(is_own), socket);
    if of_peers > 0 && !output.json {
        let of_peers = counted(of_peers, "ban");
        output.line(format_args!(
            "left out: {of_peers} of the fleet's peers, which bring theirs themselves"
        ));
    }
    if let Some(failure) = failed {
        return Err(failure);
    }
    let (sum, wrong) = taken?;
    told(&sum, &wrong, output)
}

/// Has the daemon take up bans, each with about the bytes that it takes, and returns what became of them, and what was no ban.
fn take_up(
    bans: impl Iterator<Item = Result<(ImportedBan, usize), String>>,
    socket: &SocketArg,
) -> Result<(Imported, Vec<String>), Failure> {
    let mut sum = Imported::default();
    let mut sent = |bans: &mut Vec<ImportedBan>| -> Result<(), Failure> {
        let request = ImportRequest { bans: std::mem::take(bans), earlier: Vec::new() };
        let Imported { new, known, over, earlier: _, refused } = ask(&socket.socket, &request)?;
        (sum.new, sum.known, sum.over) = (sum.new + new, sum.known + known, sum.over + over);
        sum.refused.extend(refused);
        Ok(())
    };
    let (mut waiting, mut length, mut wrong) = (Vec::new(), 0, Vec::new());
    for ban in bans {
        match ban {
            Ok((ban, size)) => {
                length += size;
                waiting.push(ban);
            }
            Err(error) => wrong.push(error),
        }
        if length > PART {
            sent(&mut waiting)?;
            length = 0;
        }
    }
    if !waiting.is_empty() {
        sent(&mut waiting)?;
    }
    Ok((sum, wrong))
}

/// Has the daemon take over how often hosts were banned, by all jails together, and returns of how many that is news.
fn take_over(past: impl Iterator<Item = PastBans>, socket: &SocketArg) -> Result<usize, Failure> {
    let mut hosts: BTreeMap<IpAddr, ImportedHistory> = BTreeMap::new();
    for PastBans { host, bans, until, .. } in past {
        let sum = hosts.entry(host).or_insert(ImportedHistory { host, bans: 0, until });
        sum.bans = sum.bans.saturating_add(bans);
        // A ban without an end ends last.
        sum.until = sum.until.zip(until).map(|(one, other)| one.max(other));
    }
    let hosts: Vec<_> = hosts.into_values().collect();
    let mut news = 0;
    for earlier in hosts.chunks(HISTORY_PART) {
        let request = ImportRequest { bans: Vec::new(), earlier: earlier.to_vec() };
        news += ask(&socket.socket, &request)?.earlier;
    }
    Ok(news)
}

/// Takes up the bans of fail2ban's database that its jails for Asterisk made, and those of the jails `also`: as bans by hand,
/// on all ports. With `history`, also how often each host was banned.
pub fn import_of_fail2ban(
    path: &Path,
    also: &[String],
    history: bool,
    socket: &SocketArg,
    output: &Output,
) -> Result<(), Failure> {
    let found = database::read(path, now().secs())
        .map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
    let wanted = |jail: &str| is_about_asterisk(jail) || also.iter().any(|name| name == jail);
    let (taken, left): (Vec<_>, Vec<_>) = found.bans.into_iter().partition(|ban| wanted(&ban.jail));
    let bans = taken.into_iter().map(|StoredBan { jail, host, since, until }| {
        let ban = ImportedBan {
            jail: MANUAL.to_owned(),
            host: SubjectText(host),
            scope: "all".to_owned(),
            since,
            until,
            offences: 0,
            evidence: Evidence::Unverified,
            rule: None,
            by: Some("fail2ban".to_owned()),
            comment: Some(format!("jail {}", printable_text(&jail))),
        };
        Ok((ban, 200))
    });
    let past = found.history.into_iter().filter(|past| history && wanted(&past.jail));
    let earlier = take_over(past, socket)?;
    let (mut sum, wrong) = take_up(bans, socket)?;
    sum.over += found.over;
    sum.earlier = earlier;
    if history && !output.json {
        output.line(format_args!("{} banned before", counted(earlier, "host")));
    }
    if !output.json {
        let jails: BTreeSet<_> = left.iter().map(|ban| printable_text(&ban.jail)).collect();
        for jail in jails {
            output
                .line(format_args!("left out: the bans of {jail} (--jail {jail} takes them, too)"));
        }
        if !found.others.is_empty() {
            output.line(format_args!(
                "left out: {} that are no addresses",
                counted(found.others.len(), "ban")
            ));
        }
    }
    told(&sum, &wrong, output)
}

/// Returns whether a jail of fail2ban is about Asterisk, by its name.
pub fn is_about_asterisk(jail: &str) -> bool {
    let small = jail.to_lowercase();
    ["asterisk", "pbx", "sip"].iter().any(|word| small.contains(word))
}

/// Returns the lines of a file; one that is too long ends it.
fn lines(mut reader: Box<dyn BufRead>) -> impl Iterator<Item = io::Result<Vec<u8>>> {
    std::iter::from_fn(move || {
        let mut line = Vec::new();
        match reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
            Ok(0) => None,
            Ok(length) if length as u64 == LONGEST_LINE => {
                Some(Err(io::Error::other("a line is too long: this is no list of bans")))
            }
            Ok(_) => Some(Ok(line)),
            Err(error) => Some(Err(error)),
        }
    })
}

fn told(sum: &Imported, wrong: &[String], output: &Output) -> Result<(), Failure> {
    let Imported { new, known, over, earlier, refused } = sum;
    if output.json {
        output.object(&serde_json::json!({
            "result": "done", "changed": *new + *earlier > 0, "new": new, "known": known, "over": over,
            "earlier": earlier, "refused": refused, "unreadable": wrong,
        }));
    } else {
        output.line(format_args!("{new} new, {known} in force already, {over} over"));
    }
    let all: Vec<_> = wrong.iter().chain(refused).collect();
    if all.is_empty() {
        return Ok(());
    }
    let mut message = format!("{} not taken up:", counted(all.len(), "ban"));
    for why in all.iter().take(MOST_TOLD) {
        message = format!("{message}\n  {why}");
    }
    if all.len() > MOST_TOLD {
        message = format!("{message}\n  and {} more", all.len() - MOST_TOLD);
    }
    Err(Failure::new(message))
}
