//! `asterguard export`, and `asterguard import` of bans

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use super::SocketArg;
use super::client::ask;
use super::output::{Failure, Output};
use super::without_daemon::PlacesArgs;
use crate::control::banned::{BannedRequest, NamedBan};
use crate::control::import::{ImportRequest, Imported, ImportedBan};
use crate::model::words::counted;

/// The longest line that is read, in bytes.
const LONGEST_LINE: u64 = 16 << 10;
/// Bytes of bans in one request, at most.
const PART: usize = 32 << 10;
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
    let mut sum = Imported::default();
    let mut sent = |bans: &mut Vec<ImportedBan>| -> Result<(), Failure> {
        let request = ImportRequest { bans: std::mem::take(bans) };
        let Imported { new, known, over, refused } = ask(&socket.socket, &request)?;
        (sum.new, sum.known, sum.over) = (sum.new + new, sum.known + known, sum.over + over);
        sum.refused.extend(refused);
        Ok(())
    };
    let (mut waiting, mut length, mut wrong) = (Vec::new(), 0, Vec::new());
    for (number, line) in (1_u64..).zip(lines(reader)) {
        let line = line.map_err(|error| Failure::new(format!("cannot read {name}: {error}")))?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        match serde_json::from_slice::<ImportedBan>(&line) {
            Ok(ban) => {
                length += line.len();
                waiting.push(ban);
            }
            Err(error) => wrong.push(format!("{name}:{number}: {error}")),
        }
        if length > PART {
            sent(&mut waiting)?;
            length = 0;
        }
    }
    if !waiting.is_empty() {
        sent(&mut waiting)?;
    }
    told(&sum, &wrong, output)
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
    let Imported { new, known, over, refused } = sum;
    if output.json {
        output.object(&serde_json::json!({
            "result": "done", "changed": *new > 0, "new": new, "known": known, "over": over,
            "refused": refused, "unreadable": wrong,
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
