//! `asterguard test`

mod hosts;
mod lines;
mod summary;
mod verdict;

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use clap::Args;
use clap::builder::PossibleValuesParser;
use indicatif::ProgressBar;
use serde::Serialize;

pub use verdict::{LineVerdict, in_words, is_ignored, verdict};

use super::line_forms::{LineForms, Writer};
use super::log_file::{self, unrecognized};
use super::output::{Failure, Output};
use super::text::{printable, wrapped};
use super::{ConfigArg, Exit};
use crate::decide::plan::Plan;
use crate::decide::plan_files::{PlanError, load_plan_with};
use crate::detect::scanner::{Clock, Scanner};
use crate::input::line_splitter::{LineSplitter, Region};
use crate::model::event::{ChannelId, Class, Event, Meaning, RuleId};
use crate::model::time::Time;
use crate::rules::date_pattern::Dates;
use crate::rules::trial::{FILTER, Trial};
use crate::rules::{Grammar, RulesError};
use crate::sys::clock;
use lines::{Choice, Kind, LinesArgs};
use summary::{Subject, Summary};
use verdict::{headline, judged};

/// Bytes that are read at once.
const READ_SIZE: usize = 1 << 17;

#[derive(Debug, Args)]
pub struct TestArgs {
    /// A log line, the name of a file (also packed: .gz), or - for standard input
    #[arg(value_name = "LINE|FILE|-")]
    subject: String,
    #[command(flatten)]
    lines: LinesArgs,
    /// Also name the rules that match no line
    #[arg(long, short)]
    verbose: bool,
    #[command(flatten)]
    trial: TrialArgs,
    #[command(flatten)]
    config: ConfigArg,
}

#[derive(Debug, Args)]
struct TrialArgs {
    /// Try this failregex instead of the rules; can be given more than once
    #[arg(long, value_name = "FAILREGEX", allow_hyphen_values = true)]
    regex: Vec<String>,
    /// Ignore the lines in which this regex matches anywhere in the message; can be given more than once
    #[arg(long, value_name = "REGEX", allow_hyphen_values = true, requires = "regex")]
    ignoreregex: Vec<String>,
    /// Class of the lines that the regexes match
    #[arg(long, default_value = "guess", requires = "regex", value_parser = classes())]
    class: String,
    /// Prefix that is removed from a line before the regexes see it
    #[arg(long, default_value = "asterisk", requires = "regex", value_parser = ["asterisk", "kernel", "none", "fail2ban"])]
    prefix: String,
}

fn classes() -> PossibleValuesParser {
    let all = Class::ALL.iter().map(|(_, name)| *name);
    PossibleValuesParser::new(all.chain(["success", "ignored"]))
}

impl TrialArgs {
    fn meaning(&self) -> Meaning {
        let class = Class::ALL.iter().find(|(_, name)| *name == self.class);
        match (class, self.class.as_str()) {
            (Some((class, _)), _) => Meaning::Offence(*class),
            (None, "success") => Meaning::Success,
            (None, _) => Meaning::Ignored,
        }
    }

    fn grammar(&self) -> Grammar {
        match self.prefix.as_str() {
            "none" => Grammar::None,
            "fail2ban" => Grammar::Fail2ban,
            "kernel" => Grammar::Kernel,
            _ => Grammar::Asterisk,
        }
    }

    /// The plan, with the failregexes that are tried as one more rule file.
    fn plan(&self, config: Option<&Path>) -> Result<Plan, PlanError> {
        let (meaning, grammar) = (self.meaning(), self.grammar());
        let (failregex, ignoreregex) = (&self.regex, &self.ignoreregex);
        let trial = Trial { failregex, ignoreregex, meaning, grammar };
        let tried = if self.regex.is_empty() {
            None
        } else {
            Some(trial.file().map_err(RulesError::Wrong)?)
        };
        load_plan_with(config, tried)
    }
}

/// What is tested: where its lines come from.
enum Source<'a> {
    /// Lines of the command line.
    Text(&'a [u8]),
    /// A file, or standard input.
    File(&'a Path),
}

impl<'a> Source<'a> {
    fn new(subject: &'a str) -> Result<Self, Failure> {
        let path = Path::new(subject);
        if log_file::is_stdin(path) || path.exists() {
            return Ok(Self::File(path));
        }
        if subject.contains(' ') {
            return Ok(Self::Text(subject.as_bytes()));
        }
        // No log line is one word: somebody mistyped a file's name.
        let name = log_file::name(path);
        let exit = Exit::Failed;
        let message = format!(
            "there is no file {name}, and one word is no log line (to test it anyway, write it to standard input: `echo '{name}' | asterguard test -`)"
        );
        Err(Failure { exit, message })
    }
}

/// Tests lines. The exit code is [`Exit::NotFound`] if no rule hit one.
pub fn test(args: &TestArgs, output: &Output) -> Result<Exit, Failure> {
    let plan = args.trial.plan(args.config.config.as_deref())?;
    let all: Vec<_> = plan.rules.iter().map(|(id, _)| id).collect();
    let matcher = plan.matcher(&all).map_err(PlanError::from)?;
    let source = Source::new(&args.subject)?;
    let (size, reference) = match source {
        Source::Text(text) => (text.len() as u64, clock::now()),
        Source::File(path) => (log_file::size(path), log_file::written(path)),
    };
    let progress = match source {
        Source::Text(_) => ProgressBar::hidden(),
        Source::File(path) => log_file::progress(size, log_file::is_stdin(path)),
    };
    let mut test = Test {
        tried: Tried::new(&plan, args),
        plan: &plan,
        scanner: Scanner::new(Arc::new(matcher), ChannelId(0)),
        forms: LineForms::new(plan.tags(), log_file::date_parser(&plan, reference)),
        choice: Choice::new(&args.lines, output.json),
        summary: Summary::default(),
        events: Vec::new(),
        unseen: None,
        output,
        progress: &progress,
    };
    let path = match source {
        Source::Text(text) => {
            read(text, &mut |region| test.region(region, true)).0?;
            return Ok(test.exit());
        }
        Source::File(path) => path,
    };
    let named =
        |error: io::Error| Failure::new(format!("cannot read {}: {error}", log_file::name(path)));
    let log = log_file::open(path, &progress).map_err(named)?;
    let (whole, oversized) = read(log, &mut |region| test.region(region, false));
    progress.finish_and_clear();
    test.summary.oversized = oversized;
    test.summary.lines += oversized;
    test.finish(path, args.verbose);
    whole.map_err(named)?;
    Ok(test.exit())
}

/// Reads lines to the end, or as far as they can be read; and how many were too long.
fn read(mut from: impl Read, each: &mut impl FnMut(&Region<'_>)) -> (io::Result<()>, u64) {
    let mut splitter = LineSplitter::new(READ_SIZE);
    let whole = loop {
        let count = match from.read(splitter.space()) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => break Err(error),
            Ok(count) => count,
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
            break Ok(());
        }
    };
    (whole, splitter.oversized())
}

/// The rules whose hits count.
struct Tried {
    rules: Vec<RuleId>,
    /// The first of the failregexes of the command line; rules before it are passed over.
    first: RuleId,
    /// Of a trial, what it reads.
    grammar: Grammar,
}

impl Tried {
    fn new(plan: &Plan, args: &TestArgs) -> Self {
        let is_trial = !args.trial.regex.is_empty();
        let mut rules = Vec::new();
        for (id, rule) in plan.rules.iter().filter(|(_, rule)| !rule.patterns.is_empty()) {
            let own = plan.rules.file_of(rule).is_some_and(|file| file.name == FILTER);
            if own == is_trial {
                rules.push(id);
            }
        }
        let first = rules.first().copied().filter(|_| is_trial).unwrap_or(RuleId(0));
        Self { rules, first, grammar: args.trial.grammar() }
    }

    /// Whether they read a line of this writer.
    fn read(&self, writer: Writer) -> bool {
        match self.grammar {
            Grammar::Asterisk => writer == Writer::Report,
            Grammar::Kernel => writer == Writer::Kernel,
            Grammar::None | Grammar::Syslog | Grammar::Fail2ban => true,
        }
    }
}

/// A test that is under way.
struct Test<'a> {
    plan: &'a Plan,
    tried: Tried,
    scanner: Scanner,
    forms: LineForms,
    choice: Choice,
    summary: Summary,
    /// The events of a region.
    events: Vec<Event>,
    /// What a failregex sees of the first line that none hit.
    unseen: Option<String>,
    output: &'a Output,
    progress: &'a ProgressBar,
}

/// A line that somebody asked for.
#[derive(Serialize)]
struct PrintedLine<'a> {
    #[serde(flatten)]
    said: &'a LineVerdict<'a>,
    /// With escapes.
    text: String,
}

impl Test<'_> {
    /// Takes up lines; `in_full`: each is told with all that is known of it.
    fn region(&mut self, region: &Region<'_>, in_full: bool) {
        let mut events = std::mem::take(&mut self.events);
        events.clear();
        self.scanner.scan(region, &mut Clock::At(Time::default()), &mut events);
        events.retain(|event| event.rule >= self.tried.first);
        let mut rest = events.as_slice();
        for (number, line) in region.lines() {
            let own = rest.iter().take_while(|event| event.line == number).count();
            let (here, behind) = rest.split_at(own);
            rest = behind;
            self.line(number, line, here, in_full);
        }
        self.events = events;
    }

    fn line(&mut self, number: u64, line: &[u8], events: &[Event], in_full: bool) {
        let writer = self.forms.note(number, line);
        let said = judged(self.plan, number, writer != Writer::Unknown, events.first());
        let missed = events.is_empty() && self.tried.read(writer);
        self.summary.note(&said, events.first(), missed);
        if missed && self.unseen.is_none() {
            self.unseen = self.seen(line);
        }
        if in_full {
            self.tell_in_full(&said, line, events);
        } else if self.choice.takes(Kind::of(said.verdict, missed)) {
            self.progress.suspend(|| self.tell(&said, line, events));
        }
    }

    /// Tells a line that was asked for.
    fn tell(&self, said: &LineVerdict<'_>, line: &[u8], events: &[Event]) {
        if self.output.json && self.choice.asked {
            self.output.object(&PrintedLine { said, text: printable(line) });
            return;
        }
        if self.output.json {
            self.output.object(said);
            return;
        }
        self.output.line(headline(said));
        for event in events.iter().skip(1) {
            self.output.line(headline(&judged(self.plan, said.line, true, Some(event))));
        }
        self.output.line(format_args!("    {}", printable(line)));
    }

    /// Tells a line that was given by itself.
    fn tell_in_full(&mut self, said: &LineVerdict<'_>, line: &[u8], events: &[Event]) {
        self.tell(said, line, events);
        if self.output.json {
            return;
        }
        let form = self.forms.in_words(line);
        let form =
            form.unwrap_or_else(|| "neither Asterisk nor the kernel begins lines so".to_owned());
        self.output.line(wrapped(&format!("  form: {form}"), 4));
        if events.is_empty() {
            if let Some(seen) = self.seen(line) {
                self.output.line(format_args!("  a failregex sees: {seen}"));
            }
        }
    }

    /// Returns what a failregex sees of a line, where that is not all of it.
    fn seen(&mut self, line: &[u8]) -> Option<String> {
        match self.tried.grammar {
            Grammar::None | Grammar::Syslog => Some(printable(line)),
            Grammar::Fail2ban => {
                let dates = Dates::new(None).ok()?;
                let date = dates.find(line).unwrap_or_default();
                let around = [line.get(..date.start)?, line.get(date.end..)?];
                Some(printable(&around.concat()))
            }
            _ => self.forms.body(line),
        }
    }

    fn finish(&self, path: &Path, verbose: bool) {
        let known = self.forms.recognize() || self.summary.has_hits();
        let is_empty = self.summary.lines == 0;
        let subject = Subject {
            plan: self.plan,
            forms: &self.forms,
            left_out: &self.choice.left_out,
            rules: self.tried.rules.clone(),
            verbose,
            unrecognized: (!known).then(|| unrecognized(&log_file::name(path), is_empty)),
        };
        self.summary.print(&subject, self.output);
        let is_trial = self.tried.first != RuleId(0);
        if let (true, false, false, Some(seen)) =
            (is_trial, self.summary.has_hits(), self.output.json, &self.unseen)
        {
            self.output.line(format_args!(
                "\nOf the first line that was missed, a failregex sees:\n  {seen}"
            ));
        }
    }

    fn exit(&self) -> Exit {
        if self.summary.has_hits() { Exit::Done } else { Exit::NotFound }
    }
}
