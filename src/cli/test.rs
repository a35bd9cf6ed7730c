//! `asterguard test`

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use clap::Args;
use indicatif::ProgressBar;
use serde::Serialize;

use super::log_file::{is_message, unrecognized};
use super::output::{Failure, Output};
use super::{ConfigArg, log_file};
use crate::decide::plan::Plan;
use crate::decide::plan_files::{PlanError, load_plan};
use crate::decide::policy;
use crate::detect::scanner::{Clock, Scanner};
use crate::input::line_splitter::{LineSplitter, Region};
use crate::model::event::{ChannelId, Class, Event, Evidence, Meaning};
use crate::model::time::Time;
use crate::model::words::counted;

#[derive(Debug, Args)]
pub struct TestArgs {
    /// A log line, the name of a file, or - for standard input
    #[arg(value_name = "LINE|FILE|-")]
    subject: String,
    #[command(flatten)]
    config: ConfigArg,
}

/// The verdict of the rules on a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Offence,
    Tampered,
    Success,
    Ignored,
    None,
}

#[derive(Debug, Serialize)]
pub(super) struct LineVerdict<'a> {
    line: u64,
    verdict: Verdict,
    host: Option<std::net::IpAddr>,
    filter: Option<&'a str>,
    rule: Option<&'a str>,
    class: Option<Class>,
    evidence: Option<Evidence>,
    /// Whether it looks like a line that Asterisk writes, or that a rule is for.
    recognized: bool,
}

#[derive(Debug, Default)]
struct Sums {
    lines: u64,
    offences: u64,
    tampered: u64,
    ignored: u64,
    successes: u64,
    hearsay: u64,
    recognized: u64,
}

pub fn test(args: &TestArgs, output: &Output) -> Result<(), Failure> {
    let plan = load_plan(args.config.config.as_deref())?;
    let all: Vec<_> = plan.rules.iter().map(|(id, _)| id).collect();
    let matcher = plan.matcher(&all).map_err(PlanError::from)?;
    let mut scanner = Scanner::new(Arc::new(matcher), ChannelId(0));
    let mut sums = Sums::default();
    let mut each = |region: &Region<'_>| report(&plan, &mut scanner, region, output, &mut sums);
    let path = Path::new(&args.subject);
    if args.subject == "-" {
        read(io::stdin().lock(), &mut each)?;
    } else if path.exists() {
        let named =
            |error: io::Error| Failure::new(format!("cannot read {}: {error}", path.display()));
        let log = log_file::open(path, &ProgressBar::hidden()).map_err(named)?;
        read(log, &mut each).map_err(named)?;
    } else if args.subject.contains(' ') {
        read(args.subject.as_bytes(), &mut each)?;
    } else {
        // No log line is one word: somebody mistyped a file's name.
        return Err(Failure::new(format!("there is no file {}", path.display())));
    }
    if !output.json {
        let Sums { lines, offences, tampered, ignored, successes, hearsay, recognized } = sums;
        let missed = lines - offences - tampered - ignored - successes;
        let lines = counted(lines, "line");
        output.line(format_args!(
            "Lines: {lines}, {offences} matched (of these {hearsay} hearsay), {ignored} ignored, {successes} successes, {tampered} tampered, {missed} missed"
        ));
        // A line that was typed here is no file.
        if recognized == 0 && (args.subject == "-" || path.exists()) {
            output.line(unrecognized(&args.subject));
        }
    }
    Ok(())
}

fn read(mut from: impl Read, each: &mut impl FnMut(&Region<'_>)) -> io::Result<()> {
    let mut splitter = LineSplitter::new(1 << 17);
    loop {
        let count = match from.read(splitter.space()) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            count => count?,
        };
        splitter.filled(count);
        while let Some(region) = splitter.next_region() {
            each(&region);
        }
        if count == 0 {
            // The file is at rest: a last line without a line feed is whole.
            if let Some(region) = splitter.finish() {
                each(&region);
            }
            return Ok(());
        }
    }
}

/// Prints the verdict on each line of a region; for people, only where there is something to say.
fn report(
    plan: &Plan,
    scanner: &mut Scanner,
    region: &Region<'_>,
    output: &Output,
    sums: &mut Sums,
) {
    let mut events = Vec::new();
    scanner.scan(region, &mut Clock::At(Time::default()), &mut events);
    let mut events = events.as_slice();
    for (number, line) in region.lines() {
        sums.lines += 1;
        let own = events.iter().take_while(|event| event.line == number).count();
        let (here, rest) = events.split_at(own);
        events = rest;
        let said = verdict(plan, number, line, here);
        sums.recognized += u64::from(said.recognized);
        match said.verdict {
            Verdict::Offence => sums.offences += 1,
            Verdict::Tampered => sums.tampered += 1,
            Verdict::Ignored => sums.ignored += 1,
            Verdict::Success => sums.successes += 1,
            Verdict::None => {}
        }
        sums.hearsay +=
            u64::from(said.verdict == Verdict::Offence && said.evidence == Some(Evidence::Hearsay));
        if output.json {
            output.object(&said);
        } else if said.verdict != Verdict::None {
            output.line(in_words(&said, line));
        }
    }
}

/// Returns what the rules make of the line `text`, of which these are the `events`.
pub(super) fn verdict<'a>(
    plan: &'a Plan,
    line: u64,
    text: &[u8],
    events: &[Event],
) -> LineVerdict<'a> {
    let recognized = !events.is_empty() || is_message(text, &plan.tags(), &mut Vec::new());
    let nothing = LineVerdict {
        line,
        verdict: Verdict::None,
        host: None,
        filter: None,
        rule: None,
        class: None,
        evidence: None,
        recognized,
    };
    let Some(event) = events.first() else { return nothing };
    let Some(rule) = plan.rules.get(event.rule) else { return nothing };
    let class = match rule.meaning {
        Meaning::Offence(class) => Some(class),
        _ => None,
    };
    let verdict = match event.meaning {
        Meaning::Offence(_) if is_ignored(plan, event) => Verdict::Ignored,
        Meaning::Offence(_) => Verdict::Offence,
        Meaning::Success => Verdict::Success,
        Meaning::Ignored => Verdict::Ignored,
        Meaning::Tampered => Verdict::Tampered,
    };
    LineVerdict {
        line,
        verdict,
        host: (verdict != Verdict::Tampered).then_some(event.host),
        filter: plan.rules.file_of(rule).map(|file| file.name.as_str()),
        rule: Some(&rule.id),
        class,
        evidence: Some(event.evidence),
        recognized,
    }
}

/// Whether no jail would ever ban the host for it.
fn is_ignored(plan: &Plan, event: &Event) -> bool {
    let mut jails =
        plan.counted_by(event.rule).iter().filter_map(|jail| plan.jail(*jail)).peekable();
    if jails.peek().is_none() {
        return !crate::model::subject::bannable(event.host);
    }
    jails.all(|jail| policy::ignored(jail, event.host))
}

/// Formats a verdict for people, with the line escaped: its bytes are somebody else's.
pub(super) fn in_words(said: &LineVerdict<'_>, line: &[u8]) -> String {
    let word = match said.verdict {
        Verdict::Offence => "offence",
        Verdict::Tampered => "TAMPERED",
        Verdict::Success => "success",
        Verdict::Ignored => "ignored",
        Verdict::None => "",
    };
    if said.verdict == Verdict::None {
        return format!("{}: no rule matches\n    {}", said.line, printable(line));
    }
    let host = said.host.map_or("two hosts".to_owned(), |host| host.to_string());
    let evidence = said.evidence.map_or(String::new(), |evidence| evidence.to_string());
    format!(
        "{}: {word} {host} {evidence} {}/{}\n    {}",
        said.line,
        said.filter.unwrap_or_default(),
        said.rule.unwrap_or_default(),
        printable(line)
    )
}

/// Returns a line with all that could do something to a terminal, or that is not ASCII, as escapes.
fn printable(line: &[u8]) -> String {
    let byte = |byte: &u8| match byte {
        b' '..=b'~' => char::from(*byte).to_string(),
        _ => byte.escape_ascii().to_string(),
    };
    line.iter().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_cannot_act_on_the_terminal() {
        assert_eq!(
            printable(b"from '\"a\\b\"' \x1b[2J\r\x9b\xff\t"),
            r#"from '"a\b"' \x1b[2J\r\x9b\xff\t"#
        );
    }
}
